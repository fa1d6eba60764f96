/* couch/doc_local.c: _local documents: reading them, their revisions (couchdb-surface A.11).
 * Entered by workers. */
#include "base/text.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"
#include "couch/local.h"

#define LOCAL_N_MAX (UINT64_C(1) << 53) /* so that it stays a number in every client */

bool doc_is_local(struct slice id)
{
    return slice_starts(id, LOCAL_PREFIX);
}

enum status doc_local_rev(struct slice text, uint64_t *n, struct err *e)
{
    if (slice_starts(text, SLICE_LIT("0-")) && text.n > 2 &&
        parse_u64(slice_of(text.p + 2, text.n - 2), n) && *n < LOCAL_N_MAX)
        return ST_OK;
    return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
}

/* The row, arena memory. */
static enum status find_row(struct db *db, struct slice id, struct arena *a, struct slice *row,
                            bool *found, struct err *e)
{
    struct slice key = key_db(a, db_num(db), KEY_LOCAL, id);
    enum status st = kv_get(store_kv(db_store(db)), NULL, key, a, row, e);

    *found = st == ST_OK;
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status doc_local_exists(struct db *db, struct slice id, struct arena *a, bool *found,
                             struct err *e)
{
    struct slice row;

    return find_row(db, id, a, &row, found, e);
}

static enum status read_json(struct db *db, struct slice row, struct arena *a, uint64_t *n,
                             struct slice *json, struct err *e)
{
    struct seg_ptr p;
    bool is_inline;

    TRY(local_row_decode(row, n, &is_inline, json, &p, e));
    if (is_inline)
        return ST_OK;
    if (p.len > LIMIT_RECORD_BYTES)
        return err_set(e, ST_CORRUPT, "a local document of %u bytes", p.len);
    char *bytes = arena_alloc(a, p.len);
    *json = slice_of(bytes, p.len);
    return log_read(store_log(db_store(db)), &p, bytes, e);
}

enum status doc_local_read(struct db *db, struct slice id, struct arena *a, struct buf *out,
                           struct rev *rev, struct err *e)
{
    struct slice row, json;
    enum status st = ST_NOT_FOUND;
    uint64_t n = 0;
    bool found;

    for (int i = 0; i < AGAIN_MAX && st == ST_NOT_FOUND; i++) { /* compaction may move it */
        TRY(find_row(db, id, a, &row, &found, e));
        if (!found)
            return err_set(e, ST_NOT_FOUND, "missing");
        st = read_json(db, row, a, &n, &json, e);
    }
    if (st == ST_NOT_FOUND)
        return err_set(e, ST_CORRUPT, "a local document in a segment that is gone");
    TRY(st);
    if (json.n < 2)
        return err_set(e, ST_CORRUPT, "a local document without an object");
    *rev = (struct rev){.id = arena_printf(a, "%llu", (unsigned long long)n)};
    char *full = arena_alloc(a, LOCAL_PREFIX.n + id.n);
    memcpy(full, LOCAL_PREFIX.p, LOCAL_PREFIX.n);
    memcpy(full + LOCAL_PREFIX.n, id.p, id.n);
    buf_str(out, "{\"_id\":");
    json_write_str(out, slice_of(full, LOCAL_PREFIX.n + id.n));
    buf_str(out, ",\"_rev\":\"");
    rev_write(out, rev);
    buf_char(out, '"');
    if (json.n > 2)
        buf_char(out, ',');
    buf_append(out, json.p + 1, json.n - 1);
    return ST_OK;
}
