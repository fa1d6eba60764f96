/* couch/all_docs.c: documents by id: _all_docs, _design_docs, and the scans of the engine itself.
 *
 * A request's range, direction and prefix become one interval of ids, lo <= id < hi, which is
 * walked from its lower or its upper end in one LevelDB snapshot. One reader by one thread at a
 * time.
 */
#include "base/alloc.h"
#include "base/thread.h"
#include "couch/changes.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"

struct all_docs {
    struct db *db;
    struct all_docs_opts opts;
    struct kv_snap *snap;
    struct kv_iter *it;
    struct body_ahead *ahead;
    struct arena *own;   /* the interval's ends */
    struct arena *arena; /* one row's */
    struct slice lo, hi;
    bool has_hi, started, ended;
    uint64_t looked_at, skipped, rows, total;
};

/* ---- the interval ---- */

/* The first id after s. */
static struct slice id_after(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return slice_of(p, s.n + 1);
}

/* The first id after all that start with s; false: there is none. */
static bool prefix_after(struct arena *a, struct slice s, struct slice *out)
{
    struct slice copy = arena_dup(a, s);
    char *p = arena_alloc(a, s.n + 1);
    size_t n = s.n;

    while (n > 0 && (unsigned char)copy.p[n - 1] == 0xff)
        n--;
    if (n == 0)
        return false;
    memcpy(p, copy.p, n);
    p[n - 1] = (char)((unsigned char)p[n - 1] + 1);
    *out = slice_of(p, n);
    return true;
}

static void lower(struct all_docs *r, struct slice hi)
{
    if (!r->has_hi || slice_cmp(hi, r->hi) < 0)
        r->hi = hi;
    r->has_hi = true;
}

static void set_interval(struct all_docs *r)
{
    const struct all_docs_opts *o = &r->opts;
    struct arena *a = r->own;
    struct slice after;

    r->lo = SLICE_LIT("");
    if (o->descending) {
        if (o->has_end)
            r->lo = o->inclusive_end ? arena_dup(a, o->end) : id_after(a, o->end);
        if (o->has_start)
            lower(r, id_after(a, o->start));
    } else {
        if (o->has_start)
            r->lo = arena_dup(a, o->start);
        if (o->has_end)
            lower(r, o->inclusive_end ? id_after(a, o->end) : arena_dup(a, o->end));
    }
    if (o->prefix.n == 0)
        return;
    if (slice_cmp(o->prefix, r->lo) > 0)
        r->lo = arena_dup(a, o->prefix);
    if (prefix_after(a, o->prefix, &after))
        lower(r, after);
}

struct all_docs *all_docs_new(struct db *db, const struct all_docs_opts *opts)
{
    struct all_docs *r = mem_zalloc(sizeof *r);
    struct kv *kv = store_kv(db_store(db));
    struct db_counts counts;

    r->db = db_ref(db);
    r->opts = *opts;
    r->own = arena_new();
    r->arena = arena_new();
    set_interval(r);
    r->opts.start = r->opts.end = r->opts.prefix = SLICE_LIT(""); /* the caller's memory */
    db_get_counts(db, &counts);
    r->total = counts.docs;
    r->snap = kv_snap_new(kv);
    r->it = kv_iter_new(kv, r->snap);
    r->ahead = body_ahead_new();
    r->ended = opts->limit == 0 || (r->has_hi && slice_cmp(r->lo, r->hi) >= 0);
    return r;
}

void all_docs_free(struct all_docs *r)
{
    if (r == NULL)
        return;
    kv_iter_free(r->it);
    kv_snap_free(store_kv(db_store(r->db)), r->snap);
    body_ahead_free(r->ahead);
    arena_free(r->own);
    arena_free(r->arena);
    db_release(r->db);
    mem_free(r);
}

/* ---- walking ---- */

static void step(struct all_docs *r)
{
    uint32_t dbnum = db_num(r->db);

    if (r->started && r->opts.descending)
        kv_iter_prev(r->it);
    else if (r->started)
        kv_iter_next(r->it);
    else if (!r->opts.descending)
        kv_iter_seek(r->it, key_db(r->arena, dbnum, KEY_INFO, r->lo));
    else if (r->has_hi)
        kv_iter_seek_before(r->it, key_db(r->arena, dbnum, KEY_INFO, r->hi));
    else
        kv_iter_seek_before(r->it, key_db_end(r->arena, dbnum, KEY_INFO));
    r->started = true;
}

static bool row_id(const struct all_docs *r, struct slice *id)
{
    if (!kv_iter_valid(r->it) || !key_db_rest(kv_iter_key(r->it), db_num(r->db), KEY_INFO, id))
        return false;
    return r->opts.descending ? slice_cmp(*id, r->lo) >= 0
                              : !r->has_hi || slice_cmp(*id, r->hi) < 0;
}

enum status all_docs_next_doc(struct all_docs *r, struct slice *id, struct docinfo_head *head,
                              bool *got, struct err *e)
{
    *got = false;
    while (!r->ended) {
        thread_pause_at(r->looked_at++);
        arena_reset(r->arena);
        step(r);
        if (!row_id(r, id)) {
            r->ended = true;
            return kv_iter_error(r->it, e);
        }
        TRY(docinfo_head_decode(r->arena, kv_iter_value(r->it), head, e));
        if ((head->flags & DOCINFO_DELETED) != 0)
            continue;
        if (r->skipped < r->opts.skip) {
            r->skipped++;
            continue;
        }
        *got = true;
        r->rows++;
        r->ended = r->rows >= r->opts.limit;
        return ST_OK;
    }
    return ST_OK;
}

/* ---- rows ---- */

static void write_head(struct buf *out, struct slice id, const struct rev *rev)
{
    size_t from = out->n + 6; /* past {"id": */

    buf_str(out, "{\"id\":");
    json_write_str(out, id);
    size_t n = out->n - from;
    buf_str(out, ",\"key\":");
    char *key = buf_extend(out, n);
    if (key != NULL)
        memcpy(key, out->p + from, n);
    buf_str(out, ",\"value\":{\"rev\":\"");
    rev_write(out, rev);
    buf_char(out, '"');
}

struct doc_place {
    struct db *db;
    struct kv_snap *snap;
    struct body_ahead *ahead; /* NULL: none */
    struct arena *a;
    const struct all_docs_opts *opts;
};

static enum status write_doc(const struct doc_place *p, struct slice id,
                             const struct docinfo_head *head, struct buf *out, struct err *e)
{
    struct doc_read_opts opts = {.conflicts = p->opts->conflicts,
                                 .attachments = p->opts->attachments,
                                 .att_encoding_info = p->opts->att_encoding_info};
    struct doc_again again;
    enum status st;
    struct doc_body body;
    struct docinfo info;
    struct doc_view v = {.id = id, .rev = &head->winner, .body = &body, .opts = &opts, .node = -1};

    if (opts.conflicts && (head->flags & DOCINFO_CONFLICTS) != 0) {
        TRY(doc_info(p->db, p->snap, id, p->a, &info, e));
        v.info = &info;
        v.node = revtree_winner(&info.tree);
    }
    st = p->ahead != NULL ? body_ahead_get(p->ahead, p->db, &head->winner_ptr, p->a, &body, e)
                          : doc_load_body(p->db, &head->winner_ptr, p->a, &body, e);
    if (st == ST_NOT_FOUND) { /* compaction: moved, or replaced and gone */
        TRY(doc_load_again(p->db, id, &head->winner, false, p->a, &again, e));
        body = again.body;
        v.rev = &again.info.tree.nodes[again.node].rev;
        v.deleted = again.info.tree.nodes[again.node].deleted;
        v.info = v.info != NULL ? &again.info : NULL;
        v.node = v.info != NULL ? again.node : -1;
    } else {
        TRY(st);
    }
    buf_str(out, ",\"doc\":");
    return doc_view_write(p->db, &v, p->a, out, e);
}

enum status all_docs_next(struct all_docs *r, struct buf *out, bool *got, struct err *e)
{
    const struct doc_place place = {r->db, r->snap, r->ahead, r->arena, &r->opts};
    struct docinfo_head head;
    struct slice id;

    size_t before = out->n;
    enum status st = ST_NOT_FOUND;

    while (st == ST_NOT_FOUND) { /* purged since the snapshot, and its segment is gone: left out */
        TRY(all_docs_next_doc(r, &id, &head, got, e));
        if (!*got)
            return ST_OK;
        out->n = before;
        write_head(out, id, &head.winner);
        buf_char(out, '}');
        st = r->opts.include_docs ? write_doc(&place, id, &head, out, e) : ST_OK;
    }
    buf_char(out, '}');
    return st;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status all_docs_key(struct db *db, struct slice id, const struct all_docs_opts *opts,
                         struct arena *a, struct buf *out, struct err *e)
{
    struct kv *kv = store_kv(db_store(db));
    struct doc_place place = {.db = db, .a = a, .opts = opts, .snap = kv_snap_new(kv)};
    struct docinfo_head head;
    struct slice row;
    enum status st = kv_get(kv, place.snap, key_db(a, db_num(db), KEY_INFO, id), a, &row, e);
    bool dead;

    if (st == ST_NOT_FOUND) {
        buf_str(out, "{\"key\":");
        json_write_str(out, id);
        buf_str(out, ",\"error\":\"not_found\"}");
        st = ST_OK;
        goto out;
    }
    if (st == ST_OK)
        st = docinfo_head_decode(a, row, &head, e);
    if (st != ST_OK)
        goto out;
    dead = (head.flags & DOCINFO_DELETED) != 0;
    write_head(out, id, &head.winner);
    buf_str(out, dead ? ",\"deleted\":true}" : "}");
    if (opts->include_docs && dead)
        buf_str(out, ",\"doc\":null");
    else if (opts->include_docs)
        st = write_doc(&place, id, &head, out, e);
    buf_char(out, '}');
out:
    kv_snap_free(kv, place.snap);
    return st;
}

/* ---- totals ---- */

uint64_t all_docs_total(const struct all_docs *r)
{
    return r->total;
}

uint64_t all_docs_count(struct db *db, struct slice prefix)
{
    struct all_docs_opts opts = {.limit = UINT64_MAX, .prefix = prefix};
    struct all_docs *r = all_docs_new(db, &opts);
    struct docinfo_head head;
    struct slice id;
    struct err e;
    uint64_t n = 0;
    bool got = true;

    while (all_docs_next_doc(r, &id, &head, &got, &e) == ST_OK && got)
        n++;
    all_docs_free(r);
    return n;
}

/* Live documents in the snapshot that come before the interval in the walk's direction. */
static uint64_t count_before(const struct all_docs *r)
{
    struct kv_iter *it = kv_iter_new(store_kv(db_store(r->db)), r->snap);
    struct arena *a = arena_new();
    uint32_t dbnum = db_num(r->db);
    uint64_t n = 0, rows = 0;
    struct slice id;

    kv_iter_seek(it, key_db(a, dbnum, KEY_INFO, r->opts.descending ? r->hi : SLICE_LIT("")));
    while (kv_iter_valid(it) && key_db_rest(kv_iter_key(it), dbnum, KEY_INFO, &id)) {
        struct docinfo_head head;
        struct err e;

        if (!r->opts.descending && slice_cmp(id, r->lo) >= 0)
            break;
        if (rows++ == LIMIT_OFFSET_SCAN) {
            n = UINT64_MAX;
            break;
        }
        thread_pause_at(rows);
        arena_reset(a);
        if (docinfo_head_decode(a, kv_iter_value(it), &head, &e) == ST_OK)
            n += (head.flags & DOCINFO_DELETED) == 0;
        kv_iter_next(it);
    }
    kv_iter_free(it);
    arena_free(a);
    return n;
}

uint64_t all_docs_offset(const struct all_docs *r)
{
    bool whole = r->opts.descending ? !r->has_hi : r->lo.n == 0;
    uint64_t before = whole ? 0 : count_before(r);

    if (before == UINT64_MAX)
        return UINT64_MAX;
    /* skip of limit=0 was not walked */
    uint64_t skipped = r->started ? r->skipped : r->opts.skip;
    return before + skipped < r->total ? before + skipped : r->total;
}
