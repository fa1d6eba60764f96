/* couch/partition.c: see partition.h. Any thread. */
#include "couch/partition.h"

#include "base/text.h"
#include "couch/docinfo.h"
#include "couch/keys.h"

#define ILLEGAL "illegal_partition"

enum status partition_check(struct slice name, struct err *e)
{
    if (name.n == 0)
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Partition must not be empty");
    if (name.p[0] == '_')
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Partition must not start with an underscore");
    if (memchr(name.p, ':', name.n) != NULL)
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Partition must not contain a colon");
    if (!utf8_valid(name))
        return err_word(e, ST_BAD_REQUEST, ILLEGAL, "Partition must be valid UTF-8");
    return ST_OK;
}

enum status partition_check_id(struct slice id, struct err *e)
{
    const char *colon;

    if (slice_starts(id, SLICE_LIT("_design/")) || slice_starts(id, SLICE_LIT("_local/")))
        return ST_OK;
    colon = id.n != 0 ? memchr(id.p, ':', id.n) : NULL;
    if (colon == NULL)
        return err_word(e, ST_BAD_REQUEST, "illegal_docid", "Doc id must be of form partition:id");
    if (colon + 1 == id.p + id.n)
        return err_word(e, ST_BAD_REQUEST, "illegal_docid", "Document id must not be empty");
    if (colon[1] == '_')
        return err_word(e, ST_BAD_REQUEST, "illegal_docid",
                        "Only reserved document ids may start with underscore.");
    return partition_check(slice_of(id.p, (size_t)(colon - id.p)), e);
}

static enum status count_rows(struct kv_iter *it, uint32_t dbnum, struct slice prefix,
                              struct partition_info *out, struct err *e)
{
    struct arena *a = arena_new();
    struct docinfo_head head;
    enum status st = ST_OK;
    struct slice id;

    for (; st == ST_OK && kv_iter_valid(it); kv_iter_next(it)) {
        if (!key_db_rest(kv_iter_key(it), dbnum, KEY_INFO, &id) || !slice_starts(id, prefix))
            break;
        st = docinfo_head_decode(a, kv_iter_value(it), &head, e);
        arena_reset(a);
        if (st != ST_OK)
            break;
        out->docs += (head.flags & DOCINFO_DELETED) == 0;
        out->deleted += (head.flags & DOCINFO_DELETED) != 0;
        out->external += head.winner_ptr.len;
    }
    arena_free(a);
    return st == ST_OK ? kv_iter_error(it, e) : st;
}

enum status partition_read(struct db *db, struct slice name, struct partition_info *out,
                           struct err *e)
{
    struct kv_iter *it = kv_iter_new(store_kv(db_store(db)), NULL);
    struct arena *a = arena_new();
    struct slice prefix = arena_printf(a, "%.*s:", (int)name.n, name.p);
    enum status st;

    *out = (struct partition_info){0};
    kv_iter_seek(it, key_db(a, db_num(db), KEY_INFO, prefix));
    st = count_rows(it, db_num(db), prefix, out, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}
