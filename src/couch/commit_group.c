/* couch/commit_group.c: one group: operations in, one log append, one LevelDB batch, answers out.
 *
 *   stage      every operation against the present state; refusals are decided here
 *   append     log_append: durable (ST_NO_SPACE: as if the group had never been)
 *   apply      rows and the applied LSN in one LevelDB batch: readable
 *   publish    counts, observers, waiters, then done() of the batches that are complete
 *
 * Until the append nothing is changed that readers see; `staged` counts go back when it fails.
 * Buffers and the arena are reused from group to group. Runs on the committer thread only.
 */
#include "base/alloc.h"
#include "base/kill_point.h"
#include "base/thread.h"
#include "couch/commit_priv.h"

enum {
    GROUP_KEEP_BYTES = 4 << 20, /* buffers that one huge document made larger are given back */
    PRESSED_BYTES = 64 << 10    /* of writers in a group without moves, when held back */
};

/* ---- building blocks of staging ---- */

struct slot *group_slot(struct group *g)
{
    struct slot *sl = &g->slots[g->n];

    *sl = (struct slot){.body_off = g->bodies.n};
    return sl;
}

struct log_record *group_record(struct group *g)
{
    return &g->recs[g->n];
}

void group_add(struct group *g, struct commit_op *op)
{
    struct slot *sl = &g->slots[g->n];

    ASSERT(buf_ok(&g->bodies));
    sl->op = op;
    sl->body_n = g->bodies.n - sl->body_off;
    g->n++;
}

void group_touch(struct group *g, struct db *db)
{
    if (db->touched)
        return;
    db->touched = true;
    db->touched_next = g->touched;
    g->touched = db;
}

/* ---- stage ---- */

static bool is_db_op(const struct commit_op *op)
{
    return op->kind == COMMIT_DB_CREATE || op->kind == COMMIT_DB_DROP ||
           op->kind == COMMIT_DB_PROPS || (op->kind == COMMIT_MOVE && op->move->what >= MOVE_DB);
}

/* What may use the disk's reserve (wal/log_append.c). */
static bool makes_room(const struct commit_op *op)
{
    return op->kind == COMMIT_MOVE || op->kind == COMMIT_PURGE || op->deleted;
}

/* What holds for documents of both kinds. */
static bool may_write(struct commit_op *op)
{
    if (db_dropped(op->db))
        op->st = err_set(&op->err, ST_NOT_FOUND, "Database does not exist.");
    else if (op->docid.n == 0 || op->docid.n > LIMIT_DOCID_BYTES)
        op->st = err_word(&op->err, ST_BAD_REQUEST, "illegal_docid", "Document id of %zu bytes",
                          op->docid.n);
    else
        op->st = ST_OK;
    return op->st == ST_OK;
}

static enum staged stage_op(struct group *g, struct commit_op *op)
{
    if (atomic_load(&g->s->in_trouble)) {
        op->st = err_set(&op->err, ST_UNAVAILABLE, "%s", g->s->trouble);
        return STAGED_NOTHING;
    }
    if (g->n != 0 && (is_db_op(op) || is_db_op(g->slots[0].op)))
        return STAGED_LATER;
    if (g->n != 0 && !g->atomic && g->apart && makes_room(op) != makes_room(g->slots[0].op))
        return STAGED_LATER;
    if (g->n != 0 && !g->atomic && g->bodies.n + commit_op_bytes(op) > g->limit)
        return STAGED_LATER;
    if ((op->kind == COMMIT_DOC || op->kind == COMMIT_LOCAL || op->kind == COMMIT_PURGE) &&
        !may_write(op))
        return STAGED_NOTHING;
    switch (op->kind) {
    case COMMIT_DOC:
        return stage_doc(g, op);
    case COMMIT_LOCAL:
        return stage_local(g, op);
    case COMMIT_DB_CREATE:
        return stage_create(g, op);
    case COMMIT_DB_DROP:
        return stage_drop(g, op);
    case COMMIT_DB_PROPS:
        return stage_props(g, op);
    case COMMIT_PURGE:
        return stage_purge(g, op);
    case COMMIT_MOVE:
        return stage_move(g, op);
    }
    op->st = err_set(&op->err, ST_INTERNAL, "operation of kind %d", (int)op->kind);
    return STAGED_NOTHING;
}

static void unstage_counts(struct group *g)
{
    for (struct db *db = g->touched; db != NULL; db = db->touched_next) {
        db->staged = db->published; /* only this thread changes either */
        db->touched = false;
    }
    g->touched = NULL;
}

/* The group as it was before its first operation. */
static void take_back(struct group *g, struct commit_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct commit_op *op = &b->ops[i];

        op->seq = 0;
        op->aborted = op->st == ST_OK;
        if (op->aborted)
            op->st = err_set(&op->err, ST_CONFLICT, "Not written, as others were refused.");
    }
    unstage_counts(g);
    g->n = 0;
    buf_clear(&g->bodies);
    memset(g->hash, 0, sizeof(g->hash));
}

/* An atomic batch begins a group, so that all of it fits in; false: it must begin the next one.
 * Every operation is looked at, so that the answer names all that are refused. */
static bool stage_atomic(struct group *g, struct commit_batch *b)
{
    bool ok = true;

    if (g->considered != 0)
        return false;
    g->batches++;
    g->atomic = true;
    for (; b->next_op < b->n; b->next_op++) {
        struct commit_op *op = &b->ops[b->next_op];

        g->considered++;
        if (stage_op(g, op) == STAGED_LATER)
            op->st = err_set(&op->err, ST_INTERNAL, "an atomic write did not fit in its group");
        ok &= op->st == ST_OK;
    }
    g->atomic = false;
    if (!ok)
        take_back(g, b);
    return true;
}

/* Compaction's operations come first in a group. Under pressure writers get no more than it moves:
 * what it frees is at least as much. */
static void set_limit(struct group *g, const struct commit_batch *b)
{
    bool moves = b->n != 0 && b->ops[0].kind == COMMIT_MOVE;

    if (moves || g->s->hold_us == 0)
        g->limit = LIMIT_GROUP_BYTES;
    else if (g->limit == LIMIT_GROUP_BYTES) /* the first that is no move */
        g->limit = g->bodies.n + (g->bodies.n > PRESSED_BYTES ? g->bodies.n : PRESSED_BYTES);
}

/* Goes on with a batch; false: the group is full. Refused operations count too, so that a stream
 * of them does not hold up the answers. */
static bool stage_batch(struct group *g, struct commit_batch *b)
{
    if (b->atomic)
        return stage_atomic(g, b);
    set_limit(g, b);
    g->batches++;
    while (b->next_op < b->n) {
        if (g->n == LIMIT_GROUP_OPS || g->considered == (size_t)4 * LIMIT_GROUP_OPS)
            return false;
        thread_pause_at(g->considered++);
        if (stage_op(g, &b->ops[b->next_op]) == STAGED_LATER)
            return false;
        b->next_op++;
    }
    return true;
}

static void stage(struct group *g)
{
    struct store *s = g->s;
    struct commit_batch *b;

    while ((b = s->pending) != NULL && stage_batch(g, b)) {
        s->pending = b->next;
        if (s->pending == NULL)
            s->pending_tail = &s->pending;
        b->next = NULL;
        s->moves_pending -= b->n != 0 && b->ops[0].kind == COMMIT_MOVE ? 1 : 0;
        *g->finished_tail = b;
        g->finished_tail = &b->next;
    }
}

/* ---- append ---- */

static void undo(struct group *g, enum status st, const struct err *e)
{
    for (size_t i = 0; i < g->n; i++) {
        g->slots[i].op->st = st;
        g->slots[i].op->err = *e;
        g->slots[i].op->seq = 0;
    }
    unstage_counts(g);
}

/* WRITE PATH 6/8: log_append is the moment of durability. */
static enum status append(struct group *g)
{
    struct store *s = g->s;
    struct err e = {0};
    enum status st;

    for (size_t i = 0; i < g->n; i++)
        g->recs[i].body = slice_of(g->bodies.p + g->slots[i].body_off, g->slots[i].body_n);
    st = log_append(s->log, g->recs, g->n, &e);
    if (st == ST_OK) {
        atomic_store(&s->log_bytes, log_bytes(s->log));
        atomic_store(&s->tail_seg, log_tail_seg(s->log));
        return ST_OK;
    }
    if (st == ST_NO_SPACE) {
        struct err why = e;

        err_set(&e, ST_NO_SPACE, "No space left on device: %.280s", why.reason);
    } else {
        store_set_trouble(s, e.reason);
        st = ST_UNAVAILABLE;
    }
    undo(g, st, &e);
    return st;
}

/* ---- apply ---- */

/* WRITE PATH 7/8: rows into LevelDB, by the functions that recovery uses. */
static void apply(struct group *g)
{
    struct err e = {0};
    enum status st = ST_OK;

    for (size_t i = 0; i < g->n && st == ST_OK; i++) {
        thread_pause_at(i);
        if (g->recs[i].type == LOG_DOC)
            st = apply_doc(&g->ap, &g->recs[i], &g->slots[i].rec, g->slots[i].key, &g->slots[i].was,
                           &e);
        else
            st = apply_record(&g->ap, &g->recs[i], &e);
    }
    if (st == ST_OK)
        st = apply_flush(&g->ap, &e);
    if (st != ST_OK) {
        store_set_trouble(g->s, e.reason);
        store_die(g->s, "writing the index", &e);
    }
    for (size_t i = 0; i < g->n; i++)
        g->s->written[g->recs[i].keyhash & (STORE_WRITTEN - 1)] = g->recs[i].lsn;
    atomic_store(&g->s->applied_lsn, g->recs[g->n - 1].lsn);
    maint_applied(g->s);
}

/* ---- publish ---- */

static void doc_event(struct commit_event *ev, const struct slot *sl)
{
    *ev = (struct commit_event){.db = sl->op->db,
                                .seq = sl->rec.seq,
                                .docnum = sl->rec.docnum,
                                .docid = sl->op->docid,
                                .deleted = sl->deleted,
                                .winner_in_json = sl->winner_is_new,
                                .json = sl->op->body.json};
}

static void tell_observers(struct group *g)
{
    size_t n = 0;

    if (g->s->nobservers == 0)
        return;
    for (size_t i = 0; i < g->n; i++) {
        if (g->slots[i].op->kind == COMMIT_DOC || g->slots[i].op->kind == COMMIT_PURGE)
            doc_event(&g->events[n++], &g->slots[i]);
        else if (g->slots[i].op->kind == COMMIT_DB_DROP)
            g->events[n++] = (struct commit_event){.db = g->slots[i].op->db, .dropped = true};
    }
    for (size_t i = 0; n != 0 && i < g->s->nobservers; i++)
        g->s->observers[i].fn(g->s->observers[i].arg, g->events, n);
}

static void publish_slot(struct group *g, struct slot *sl, struct db_waiter **woken)
{
    if (sl->op->kind != COMMIT_MOVE)
        atomic_fetch_add(&g->s->changes, 1);
    switch (sl->op->kind) {
    case COMMIT_DOC:
    case COMMIT_LOCAL:
    case COMMIT_PURGE:
        break;
    case COMMIT_MOVE:
        if (sl->op->move->what == MOVE_DROP)
            maint_wake(g->s); /* its marker is there again */
        break;
    case COMMIT_DB_CREATE:
        publish_create(g, sl, woken);
        break;
    case COMMIT_DB_DROP:
        publish_drop(g, sl, woken);
        break;
    case COMMIT_DB_PROPS:
        publish_props(sl);
        break;
    }
}

/* WRITE PATH 8/8: update_seq moves, then observers (indexes), then waiters (feeds). */
static void publish(struct group *g)
{
    struct db_waiter *woken = NULL;
    struct db *next;

    for (size_t i = 0; i < g->n; i++)
        publish_slot(g, &g->slots[i], &woken);
    for (struct db *db = g->touched; db != NULL; db = next) {
        next = db->touched_next;
        db->touched = false;
        db_publish(db, &woken);
        updates_note(g->s->updates, db_name(db), DB_UPDATED, &woken);
    }
    g->touched = NULL;
    tell_observers(g);
    db_wake_all(woken);
}

static void complete(struct group *g)
{
    struct store *s = g->s;
    struct commit_batch *b, *next;
    size_t bytes = 0;

    for (b = g->finished; b != NULL; b = b->next)
        bytes += b->bytes;
    if (bytes != 0) {
        mutex_lock(&s->queue_mu);
        s->inflight_bytes -= bytes;
        mutex_unlock(&s->queue_mu);
    }
    for (b = g->finished; b != NULL; b = next) {
        next = b->next; /* b is its owner's again once it is done */
        b->done(b);
    }
}

/* ---- the group ---- */

struct group *group_new(struct store *s)
{
    struct group *g = mem_zalloc(sizeof(*g));

    g->s = s;
    applier_init(&g->ap, s->kv, s->accounts);
    g->ap.blobs = s->blobs;
    buf_init(&g->bodies, (size_t)2 * LIMIT_RECORD_BYTES);
    buf_init(&g->region, LIMIT_RECORD_BYTES);
    buf_init(&g->head, LIMIT_RECORD_BYTES);
    return g;
}

void group_free(struct group *g)
{
    applier_fini(&g->ap);
    buf_free(&g->bodies);
    buf_free(&g->region);
    buf_free(&g->head);
    mem_free(g);
}

static void recycle(struct buf *b)
{
    size_t max = b->max;

    buf_clear(b);
    if (b->cap <= GROUP_KEEP_BYTES)
        return;
    buf_free(b);
    buf_init(b, max);
}

static void reset(struct group *g)
{
    g->n = g->considered = g->batches = 0;
    g->limit = LIMIT_GROUP_BYTES;
    g->apart = log_is_short(g->s->log);
    recycle(&g->bodies);
    recycle(&g->region);
    recycle(&g->head);
    recycle(&g->ap.value);
    memset(g->hash, 0, sizeof(g->hash));
    arena_reset(g->ap.arena); /* apply_flush did, unless nothing was written */
    g->finished = NULL;
    g->finished_tail = &g->finished;
}

void group_run(struct store *s, struct group *g)
{
    reset(g);
    stage(g);
    s->last_batches = g->batches;
    s->only_moves = g->n != 0 && g->slots[g->n - 1].op->kind == COMMIT_MOVE;
    KILL_POINT("commit.staged");
    if (g->n != 0 && append(g) == ST_OK) {
        KILL_POINT("commit.durable");
        apply(g);
        KILL_POINT("commit.applied");
        publish(g);
        KILL_POINT("commit.published");
    }
    complete(g);
    KILL_POINT("commit.answered");
}
