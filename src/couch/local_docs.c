/* couch/local_docs.c: _local documents in id order. There are few of them (a checkpoint for each
 * replication), so a range is a test on each row and not a seek. Runs on workers.
 */
#include "couch/local_docs.h"

#include "base/alloc.h"
#include "base/text.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"
#include "couch/local.h"

struct local_docs {
    struct db *db;
    struct all_docs_opts opts;
    struct kv_iter *it;
    struct arena *own;   /* the range's ends */
    struct arena *arena; /* one row's */
    uint64_t skipped, rows;
    bool started, ended;
};

struct local_docs *local_docs_new(struct db *db, const struct all_docs_opts *opts)
{
    struct local_docs *r = mem_zalloc(sizeof *r);

    r->db = db_ref(db);
    r->opts = *opts;
    r->own = arena_new();
    r->arena = arena_new();
    r->opts.start = arena_dup(r->own, opts->start);
    r->opts.end = arena_dup(r->own, opts->end);
    r->it = kv_iter_new(store_kv(db_store(db)), NULL);
    r->ended = opts->limit == 0;
    return r;
}

void local_docs_free(struct local_docs *r)
{
    if (r == NULL)
        return;
    kv_iter_free(r->it);
    arena_free(r->own);
    arena_free(r->arena);
    db_release(r->db);
    mem_free(r);
}

static void step(struct local_docs *r)
{
    uint32_t dbnum = db_num(r->db);

    if (r->started && r->opts.descending)
        kv_iter_prev(r->it);
    else if (r->started)
        kv_iter_next(r->it);
    else if (r->opts.descending)
        kv_iter_seek_before(r->it, key_db_end(r->arena, dbnum, KEY_LOCAL));
    else
        kv_iter_seek(r->it, key_db(r->arena, dbnum, KEY_LOCAL, SLICE_LIT("")));
    r->started = true;
}

static bool in_range(const struct all_docs_opts *o, struct slice id)
{
    int sign = o->descending ? -1 : 1;

    if (o->has_start && sign * slice_cmp(id, o->start) < 0)
        return false;
    if (!o->has_end)
        return true;
    return o->inclusive_end ? sign * slice_cmp(id, o->end) <= 0 : sign * slice_cmp(id, o->end) < 0;
}

static struct slice full_id(struct arena *a, struct slice rest)
{
    char *p = arena_alloc(a, LOCAL_PREFIX.n + rest.n);

    memcpy(p, LOCAL_PREFIX.p, LOCAL_PREFIX.n);
    if (rest.n != 0)
        memcpy(p + LOCAL_PREFIX.n, rest.p, rest.n);
    return slice_of(p, LOCAL_PREFIX.n + rest.n);
}

static enum status write_row(struct db *db, struct slice rest, bool include_docs, struct arena *a,
                             struct buf *out, struct err *e)
{
    struct slice id = full_id(a, rest);
    struct rev rev;
    struct buf doc;
    enum status st;

    buf_init(&doc, LIMIT_RECORD_BYTES);
    st = doc_local_read(db, rest, a, &doc, &rev, e);
    if (st == ST_OK) {
        buf_str(out, "{\"id\":");
        json_write_str(out, id);
        buf_str(out, ",\"key\":");
        json_write_str(out, id);
        buf_str(out, ",\"value\":{\"rev\":\"");
        rev_write(out, &rev);
        buf_str(out, "\"}");
        if (include_docs) {
            buf_str(out, ",\"doc\":");
            buf_add(out, buf_slice(&doc));
        }
        buf_char(out, '}');
    }
    buf_free(&doc);
    return st;
}

/* The next row's id without its prefix, in the row's arena. */
static enum status next_id(struct local_docs *r, struct slice *rest, bool *got, struct err *e)
{
    *got = false;
    while (!r->ended) {
        arena_reset(r->arena);
        step(r);
        if (!kv_iter_valid(r->it) ||
            !key_db_rest(kv_iter_key(r->it), db_num(r->db), KEY_LOCAL, rest)) {
            r->ended = true;
            return kv_iter_error(r->it, e);
        }
        if (!in_range(&r->opts, full_id(r->arena, *rest)))
            continue;
        if (r->skipped < r->opts.skip) {
            r->skipped++;
            continue;
        }
        *rest = arena_dup(r->arena, *rest);
        *got = true;
        return ST_OK;
    }
    return ST_OK;
}

enum status local_docs_next(struct local_docs *r, struct buf *out, bool *got, struct err *e)
{
    struct slice rest;
    enum status st;

    do {
        TRY(next_id(r, &rest, got, e));
        if (!*got)
            return ST_OK;
        /* It may have been deleted since the iterator was made. */
        st = write_row(r->db, rest, r->opts.include_docs, r->arena, out, e);
    } while (st == ST_NOT_FOUND);
    r->rows++;
    r->ended = r->rows >= r->opts.limit;
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status local_docs_key(struct db *db, struct slice id, bool include_docs, struct arena *a,
                           struct buf *out, struct err *e)
{
    enum status st = ST_NOT_FOUND;

    if (doc_is_local(id))
        st = write_row(db, slice_of(id.p + LOCAL_PREFIX.n, id.n - LOCAL_PREFIX.n), include_docs, a,
                       out, e);
    if (st != ST_NOT_FOUND)
        return st;
    buf_str(out, "{\"key\":");
    json_write_str(out, id);
    buf_str(out, ",\"error\":\"not_found\"}");
    return ST_OK;
}
