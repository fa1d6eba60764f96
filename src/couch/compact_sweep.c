/* couch/compact_sweep.c: looks at all rows of the store for those that need a segment. The last
 * resort of compact_segment.c, when the accounts say that there is more than the segment's records
 * tell of.
 * Threads: the one that compacts.
 */
#include "base/bytes.h"
#include "base/log.h"
#include "couch/compact_priv.h"
#include "couch/local.h"

static enum status look_row(struct compact_work *w, struct slice key, struct slice v, struct err *e)
{
    uint32_t dbnum = key.n > 5 ? get_be32(key.p + 1) : 0;
    struct slice id, json;
    struct commit_op *op;
    struct seg_ptr p;
    bool is_in, is_inline;
    struct db *db;
    uint64_t n;
    char *text;

    if (key.n < 6 || (db = compact_db_of(w, dbnum)) == NULL)
        return ST_OK;
    if (key_db_rest(key, dbnum, KEY_INFO, &id))
        return compact_look_doc(w, db, id, 0, &is_in, e);
    if (!key_db_rest(key, dbnum, KEY_LOCAL, &id))
        return ST_OK;
    TRY(local_row_decode(v, &n, &is_inline, &json, &p, e));
    if (is_inline || p.seg != w->seg)
        return ST_OK;
    w->needed++;
    if (w->counting)
        return ST_OK;
    text = arena_alloc(w->a, p.len);
    TRY(log_read(w->s->log, &p, text, e));
    op = compact_next_op(w, db, MOVE_LOCAL, 0);
    op->docid = arena_dup(w->a, id);
    op->move->row = arena_dup(w->a, v);
    op->move->bodies = slice_of(text, p.len);
    op->move->local_n = n;
    w->bytes += p.len;
    return ST_OK;
}

enum status compact_sweep(struct compact_work *w, struct err *e)
{
    struct kv_iter *it = kv_iter_new(w->s->kv, NULL);
    struct arena *a = arena_new();
    struct slice any = key_db(a, 0, KEY_INFO, SLICE_LIT(""));
    enum status st = ST_OK;

    log_warn("store %s: segment %llu: the accounts name %llu live bytes that its records do not: "
             "all rows are looked at",
             w->s->dir, (unsigned long long)w->seg,
             (unsigned long long)accounts_live(w->s->accounts, w->seg));
    for (kv_iter_seek(it, slice_of(any.p, any.n - 1)); st == ST_OK && kv_iter_valid(it);
         kv_iter_next(it)) {
        st = compact_flush_when_full(w, e);
        if (st == ST_OK)
            st = look_row(w, kv_iter_key(it), kv_iter_value(it), e);
    }
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st == ST_OK ? compact_flush(w, e) : st;
}
