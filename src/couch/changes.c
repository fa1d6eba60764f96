/* couch/changes.c: the by-seq rows of a database, and _changes on top of them.
 *
 * A cursor is one LevelDB snapshot: rows, doc-infos and the update_seq it ends at belong together.
 * A reader that came to the end drops its cursor; asked again, it makes a new one after the last
 * sequence, so that a waiting feed holds nothing. One reader by one thread at a time.
 */
#include "couch/changes.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/thread.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"

/* ---- cursor ---- */

struct changes_cursor {
    struct db *db;
    struct kv_snap *snap;
    struct kv_iter *it;
    struct body_ahead *ahead;
    uint64_t since, end_seq; /* end_seq: every row up to it is in the snapshot */
    bool descending, started, ended;
    /* Instead of a walk: the rows at these sequences, in their order. */
    uint64_t *picks;
    uint32_t npicks, at;
    struct arena *pick_arena, *row_arena;
    struct slice row;
};

enum { PICK_COST = 8 }; /* a look-up costs as much as so many rows of a walk */

struct changes_cursor *changes_cursor_new(struct db *db, uint64_t since, bool descending)
{
    struct changes_cursor *c = mem_zalloc(sizeof *c);
    struct kv *kv = store_kv(db_store(db));

    c->db = db_ref(db);
    c->since = since;
    c->descending = descending;
    c->end_seq = db_update_seq(db); /* before the snapshot: it may only hold more */
    c->snap = kv_snap_new(kv);
    c->it = kv_iter_new(kv, c->snap);
    c->ahead = body_ahead_new();
    return c;
}

void changes_cursor_free(struct changes_cursor *c)
{
    if (c == NULL)
        return;
    kv_iter_free(c->it);
    kv_snap_free(store_kv(db_store(c->db)), c->snap);
    body_ahead_free(c->ahead);
    arena_free(c->pick_arena);
    arena_free(c->row_arena);
    db_release(c->db);
    mem_free(c);
}

static int seq_cmp(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

    return a < b ? -1 : a > b;
}

/* The sequences of these documents, as far as they are past c->since. */
static enum status pick(struct changes_cursor *c, const struct slice *ids, uint32_t n,
                        struct err *e)
{
    struct kv *kv = store_kv(db_store(c->db));
    struct arena *a = arena_new();
    struct docinfo_head head;
    enum status st = ST_OK;
    struct slice row;

    c->pick_arena = arena_new();
    c->row_arena = arena_new();
    c->picks = arena_array(c->pick_arena, (size_t)n + 1, sizeof(*c->picks));
    for (uint32_t i = 0; i < n && st == ST_OK; i++) {
        arena_reset(a);
        st = kv_get(kv, c->snap, key_db(a, db_num(c->db), KEY_INFO, ids[i]), a, &row, e);
        if (st == ST_OK)
            st = docinfo_head_decode(a, row, &head, e);
        if (st == ST_OK && head.seq > c->since)
            c->picks[c->npicks++] = head.seq;
        if (st == ST_NOT_FOUND)
            st = ST_OK;
    }
    arena_free(a);
    qsort(c->picks, c->npicks, sizeof(*c->picks), seq_cmp);
    return st;
}

static enum status next_pick(struct changes_cursor *c, uint64_t *seq, struct seqrow *row, bool *got,
                             struct err *e)
{
    if (c->at == c->npicks) {
        c->ended = true;
        return ST_OK;
    }
    *seq = c->picks[c->descending ? c->npicks - 1 - c->at : c->at];
    c->at++;
    arena_reset(c->row_arena);
    TRY(kv_get(store_kv(db_store(c->db)), c->snap, key_seq(c->row_arena, db_num(c->db), *seq),
               c->row_arena, &c->row, e));
    TRY(seqrow_decode(c->row, row, e));
    *got = true;
    return ST_OK;
}

static void seek_first(struct kv_iter *it, struct db *db, uint64_t since, bool descending)
{
    struct arena *a = arena_new();

    if (descending)
        kv_iter_seek_before(it, key_db_end(a, db_num(db), KEY_SEQ));
    else
        kv_iter_seek(it, key_seq(a, db_num(db), since + 1));
    arena_free(a);
}

/* The sequence of the row under the iterator; 0 when that is no row of this database. */
static uint64_t row_seq(const struct kv_iter *it, const struct db *db)
{
    struct slice rest;

    if (!kv_iter_valid(it) || !key_db_rest(kv_iter_key(it), db_num(db), KEY_SEQ, &rest) ||
        rest.n != sizeof(uint64_t))
        return 0;
    return get_be64(rest.p);
}

enum status changes_cursor_next(struct changes_cursor *c, uint64_t *seq, struct seqrow *row,
                                bool *got, struct err *e)
{
    *got = false;
    if (c->ended)
        return ST_OK;
    if (c->picks != NULL)
        return next_pick(c, seq, row, got, e);
    if (!c->started && c->since == UINT64_MAX)
        c->ended = true;
    else if (!c->started)
        seek_first(c->it, c->db, c->since, c->descending);
    else if (c->descending)
        kv_iter_prev(c->it);
    else
        kv_iter_next(c->it);
    c->started = true;
    *seq = c->ended ? 0 : row_seq(c->it, c->db);
    if (*seq <= c->since) { /* 0: the end */
        c->ended = true;
        return kv_iter_error(c->it, e);
    }
    TRY(seqrow_decode(kv_iter_value(c->it), row, e));
    *got = true;
    return ST_OK;
}

enum status changes_cursor_body(struct changes_cursor *c, const struct seqrow *row, struct arena *a,
                                struct doc_body *out, struct err *e)
{
    struct doc_again again;
    enum status st = body_ahead_get(c->ahead, c->db, &row->winner_ptr, a, out, e);

    if (st == ST_NOT_FOUND) { /* moved, or replaced and gone: then it is in a later row too */
        TRY(doc_load_again(c->db, row->docid, &row->winner, false, a, &again, e));
        *out = again.body;
        return ST_OK;
    }
    return st;
}

/* ---- _changes ---- */

struct changes {
    struct db *db;
    struct changes_opts opts;
    struct changes_cursor *cursor; /* NULL: not begun, or at the end */
    struct arena *arena;           /* one row's; NULL without a cursor: who waits holds little */
    uint64_t last;                 /* scanned so far */
    uint64_t rows;                 /* emitted */
    uint64_t scanned;
    bool done, at_end;
    bool *shown; /* of the row's leaves; NULL: all. arena */
    bool picked; /* rows were looked up: `scanned` is not all that lie before `last` */
};

struct changes *changes_new(struct db *db, const struct changes_opts *opts)
{
    struct changes *c = mem_zalloc(sizeof *c);

    c->db = db_ref(db);
    c->opts = *opts;
    c->last = opts->since;
    c->done = opts->limit == 0;
    return c;
}

void changes_free(struct changes *c)
{
    if (c == NULL)
        return;
    changes_cursor_free(c->cursor);
    db_release(c->db);
    arena_free(c->arena);
    mem_free(c);
}

bool changes_done(const struct changes *c)
{
    return c->done;
}

bool changes_at_end(const struct changes *c)
{
    return c->at_end;
}

uint64_t changes_last_seq(const struct changes *c)
{
    return c->last;
}

static void write_leaves(const struct docinfo *info, const bool *shown, struct arena *a,
                         struct buf *out)
{
    uint32_t *leaves, n = revtree_leaves(&info->tree, a, &leaves);
    bool first = true;

    for (uint32_t i = 0; i < n; i++) {
        if (shown != NULL && !shown[i])
            continue;
        buf_str(out, first ? "{\"rev\":\"" : ",{\"rev\":\"");
        first = false;
        rev_write(out, &info->tree.nodes[leaves[i]].rev);
        buf_str(out, "\"}");
    }
}

static enum status write_doc(struct changes *c, const struct seqrow *row,
                             const struct docinfo *info, struct buf *out, struct err *e)
{
    struct doc_read_opts opts = {.conflicts = c->opts.conflicts,
                                 .attachments = c->opts.attachments,
                                 .att_encoding_info = c->opts.att_encoding_info};
    struct doc_again again;
    enum status st;
    struct doc_body body;
    struct doc_view v = {.id = row->docid,
                         .rev = &row->winner,
                         .deleted = (row->flags & DOCINFO_DELETED) != 0,
                         .body = &body,
                         .opts = &opts,
                         .info = info,
                         .node = info != NULL ? revtree_winner(&info->tree) : -1};

    st = body_ahead_get(c->cursor->ahead, c->db, &row->winner_ptr, c->arena, &body, e);
    if (st == ST_NOT_FOUND) {
        TRY(doc_load_again(c->db, row->docid, &row->winner, false, c->arena, &again, e));
        body = again.body;
        v.info = info != NULL ? &again.info : NULL;
        v.node = again.node;
        v.rev = &again.info.tree.nodes[again.node].rev;
        v.deleted = again.info.tree.nodes[again.node].deleted;
    } else {
        TRY(st);
    }
    buf_str(out, ",\"doc\":");
    return doc_view_write(c->db, &v, c->arena, out, e);
}

/* Counted as CouchDB does, down from the limit: clients expect the numbered rows where they are
 * there, and without a limit the first row is one. */
static bool row_has_seq(const struct changes *c)
{
    uint64_t limit = c->opts.limit != UINT64_MAX ? c->opts.limit : 0, n = c->opts.seq_interval;

    if (n <= 1)
        return true;
    return limit == 0 ? c->rows % n == 0 : (limit - c->rows) % n == 0;
}

static enum status write_row(struct changes *c, uint64_t seq, const struct seqrow *row,
                             struct buf *out, struct err *e)
{
    struct docinfo info;
    bool tree = (row->flags & DOCINFO_CONFLICTS) != 0 &&
                (c->opts.style_all_docs || (c->opts.include_docs && c->opts.conflicts));

    if (tree)
        TRY(doc_info(c->db, c->cursor->snap, row->docid, c->arena, &info, e));
    buf_str(out, "{\"seq\":");
    bool silent = !row_has_seq(c);
    c->rows++;
    if (silent) {
        buf_str(out, "null");
    } else {
        buf_char(out, '"');
        seq_write(out, c->db, seq);
        buf_char(out, '"');
    }
    buf_str(out, ",\"id\":");
    json_write_str(out, row->docid);
    buf_str(out, ",\"changes\":[");
    if (tree && c->opts.style_all_docs) {
        write_leaves(&info, c->shown, c->arena, out);
    } else {
        buf_str(out, "{\"rev\":\"");
        rev_write(out, &row->winner);
        buf_str(out, "\"}");
    }
    buf_char(out, ']');
    if ((row->flags & DOCINFO_DELETED) != 0)
        buf_str(out, ",\"deleted\":true");
    if (c->opts.include_docs)
        TRY(write_doc(c, row, tree ? &info : NULL, out, e));
    buf_char(out, '}');
    return ST_OK;
}

static enum status leaf_passes(struct changes *c, const struct seqrow *row, const struct revnode *n,
                               bool *pass, struct err *e)
{
    struct seqrow leaf = *row;
    struct doc_body body;
    enum status st = ST_NOT_FOUND;

    if (n->has_body)
        st = doc_load_rev(c->db, row->docid, n, c->arena, &body, e);
    if (st == ST_NOT_FOUND) /* replaced since the snapshot: then the document is in a later row */
        return ST_OK;
    TRY(st);
    leaf.winner = n->rev;
    leaf.flags &= ~(unsigned)DOCINFO_DELETED;
    leaf.flags |= n->deleted ? DOCINFO_DELETED : 0;
    *pass = c->opts.filter(c->opts.filter_arg, &leaf, &body);
    return ST_OK;
}

/* All leaves are to be shown, and the filter reads documents: each is asked about, as in CouchDB,
 * so that a replicator that filters gets a losing leaf that it wants, and no other. */
static enum status leaves_pass(struct changes *c, const struct seqrow *row, bool *pass,
                               struct err *e)
{
    struct docinfo info;
    uint32_t *leaves, n;
    enum status st = doc_info(c->db, c->cursor->snap, row->docid, c->arena, &info, e);

    *pass = false;
    if (st == ST_NOT_FOUND) /* purged since the snapshot */
        return ST_OK;
    TRY(st);
    n = revtree_leaves(&info.tree, c->arena, &leaves);
    c->shown = arena_zalloc(c->arena, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        TRY(leaf_passes(c, row, &info.tree.nodes[leaves[i]], &c->shown[i], e));
        *pass |= c->shown[i];
    }
    return ST_OK;
}

static enum status passes(struct changes *c, const struct seqrow *row, bool *pass, struct err *e)
{
    struct doc_body body;
    bool load = c->opts.filter_needs_body;

    *pass = true;
    c->shown = NULL;
    if (c->opts.filter == NULL)
        return ST_OK;
    if (load && c->opts.style_all_docs && (row->flags & DOCINFO_CONFLICTS) != 0)
        return leaves_pass(c, row, pass, e);
    if (load) {
        enum status st = changes_cursor_body(c->cursor, row, c->arena, &body, e);

        if (st == ST_NOT_FOUND) { /* purged since the snapshot, and its segment is gone */
            *pass = false;
            return ST_OK;
        }
        TRY(st);
    }
    *pass = c->opts.filter(c->opts.filter_arg, row, load ? &body : NULL);
    return ST_OK;
}

/* A cursor for what came after the last row; false: nothing did, or descending is through. */
static enum status open_cursor(struct changes *c, bool *open, struct err *e)
{
    uint64_t rows;

    *open = c->cursor != NULL;
    if (*open ||
        (c->at_end && (c->opts.descending || db_dropped(c->db) || db_update_seq(c->db) <= c->last)))
        return ST_OK;
    *open = true;
    c->at_end = false;
    c->arena = arena_new();
    c->cursor =
        changes_cursor_new(c->db, c->opts.descending ? c->opts.since : c->last, c->opts.descending);
    rows = c->cursor->end_seq > c->cursor->since ? c->cursor->end_seq - c->cursor->since : 0;
    if (c->opts.ids == NULL || (uint64_t)c->opts.nids * PICK_COST >= rows)
        return ST_OK;
    c->picked = true;
    return pick(c->cursor, c->opts.ids, c->opts.nids, e);
}

static void reach_end(struct changes *c)
{
    if (!c->opts.descending && c->cursor->end_seq > c->last)
        c->last = c->cursor->end_seq;
    changes_cursor_free(c->cursor);
    c->cursor = NULL;
    arena_free(c->arena);
    c->arena = NULL;
    c->at_end = true;
}

/* A row whose document was purged since the snapshot, and whose body is gone, is left out. */
static enum status try_row(struct changes *c, uint64_t seq, const struct seqrow *row,
                           struct buf *out, bool *got, struct err *e)
{
    size_t before = out->n;
    uint64_t rows = c->rows;
    enum status st = write_row(c, seq, row, out, e);

    if (st != ST_NOT_FOUND)
        return st;
    out->n = before;
    c->rows = rows;
    *got = false;
    return ST_OK;
}

enum status changes_next(struct changes *c, struct buf *out, bool *got, struct err *e)
{
    struct seqrow row;
    uint64_t seq;
    bool some;

    *got = false;
    if (c->done)
        return ST_OK;
    TRY(open_cursor(c, &some, e));
    if (!some)
        return ST_OK;
    for (unsigned i = 0; i < LIMIT_CHANGES_SCAN && !*got; i++) {
        thread_pause_at(c->scanned);
        arena_reset(c->arena);
        TRY(changes_cursor_next(c->cursor, &seq, &row, &some, e));
        if (!some) {
            reach_end(c);
            return ST_OK;
        }
        TRY(passes(c, &row, got, e));
        if (*got)
            TRY(try_row(c, seq, &row, out, got, e));
        c->last = seq;
        c->scanned++;
    }
    c->done = c->rows >= c->opts.limit;
    return ST_OK;
}

/* Rows with lo < seq < hi: counted up to LIMIT_PENDING_SCAN, then at most `bound`. */
static uint64_t count_rows(struct db *db, uint64_t lo, uint64_t hi, uint64_t bound)
{
    struct kv_iter *it = kv_iter_new(store_kv(db_store(db)), NULL);
    uint64_t n = 0, seq;

    for (seek_first(it, db, lo, false); (seq = row_seq(it, db)) != 0 && seq < hi; n++) {
        if (n == LIMIT_PENDING_SCAN) {
            n = bound;
            break;
        }
        thread_pause_at(n);
        kv_iter_next(it);
    }
    kv_iter_free(it);
    return n;
}

uint64_t changes_pending(const struct changes *c)
{
    struct db_counts k;
    uint64_t total;

    db_get_counts(c->db, &k);
    total = k.docs + k.deleted;
    if (c->opts.descending) {
        if (c->at_end || c->opts.since >= k.update_seq)
            return 0;
        uint64_t hi = c->scanned > 0 ? c->last : UINT64_MAX;
        return count_rows(c->db, c->opts.since, hi, total > c->scanned ? total - c->scanned : 0);
    }
    if (c->last >= k.update_seq || c->at_end)
        return 0;
    /* Every sequence is still a row, or every row was seen from the first on (and none was
     * purged): exact without a scan. */
    if (total == k.update_seq)
        return k.update_seq - c->last;
    if (!c->picked && c->opts.since == 0 && k.purge_seq == 0 && c->scanned <= total)
        return total - c->scanned;
    uint64_t bound = k.update_seq - c->last;
    return count_rows(c->db, c->last, UINT64_MAX, bound < total ? bound : total);
}
