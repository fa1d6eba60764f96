/* couch/commit.c: the commit queue and the committer thread.
 *
 * Submitters append batches under queue_mu; the committer moves the whole queue to its own list
 * (pending) and cuts groups from that. Between two groups it may gather: when the last group served
 * n requests at once, as many clients are probably about to come back, and waiting up to
 * GATHER_US for them makes one group of them instead of two. A lone client never waits.
 *
 * What compaction writes goes before the rest, unless it had the last group for itself. While the
 * log is so long that it must not grow (hold_us), writers get as much as compaction moves, and
 * little between its batches.
 */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "couch/store_priv.h"

enum { GATHER_US = 100, OP_OVERHEAD = 128, EXIT_STORAGE = 74 };

/* ---- submitting ---- */

size_t commit_op_bytes(const struct commit_op *op)
{
    size_t n = OP_OVERHEAD + op->docid.n + op->body.json.n + op->security.n;

    if (op->kind == COMMIT_MOVE)
        n += op->move->bodies.n;
    for (uint32_t i = 0; op->kind == COMMIT_PURGE && i < op->npath; i++)
        n += op->path[i].id.n + 16;
    for (uint32_t i = 0; i < op->body.natts; i++)
        n += op->body.atts[i].data.n + op->body.atts[i].name.n + op->body.atts[i].type.n + 64;
    return n;
}

/* WRITE PATH 5/8: a prepared batch joins the queue; nothing is promised yet. */
enum status commit_submit(struct store *s, struct commit_batch *b, struct err *e)
{
    bool urgent = b->n != 0 && b->ops[0].kind == COMMIT_MOVE, wake;
    const char *refused = NULL;

    ASSERT(!b->atomic || b->n <= LIMIT_GROUP_OPS);
    b->bytes = 0;
    b->next_op = 0;
    b->next = NULL;
    for (size_t i = 0; i < b->n; i++) {
        b->ops[i].st = ST_OK;
        b->ops[i].seq = 0;
        b->ops[i].aborted = false;
        b->ops[i].created = NULL;
        b->bytes += commit_op_bytes(&b->ops[i]);
    }
    if (atomic_load(&s->in_trouble))
        return err_set(e, ST_UNAVAILABLE, "%s", s->trouble);
    mutex_lock(&s->queue_mu);
    if (s->closing)
        refused = "The store is closing.";
    else if (s->inflight_bytes != 0 && s->inflight_bytes + b->bytes > LIMIT_COMMIT_QUEUE_BYTES)
        refused = "Too many writes are waiting.";
    if (refused != NULL) {
        mutex_unlock(&s->queue_mu);
        return err_set(e, ST_UNAVAILABLE, "%s", refused);
    }
    s->inflight_bytes += b->bytes;
    if (urgent) {
        b->next = s->urgent;
        s->urgent = b;
    } else {
        *s->queue_tail = b;
        s->queue_tail = &b->next;
    }
    s->queue_batches++;
    wake = s->queue_want != 0 && (urgent || s->queue_batches >= s->queue_want);
    if (wake)
        s->queue_want = 0;
    mutex_unlock(&s->queue_mu);
    if (wake)
        cond_signal(&s->queue_cond);
    return ST_OK;
}

struct sync_wait {
    struct commit_batch b;
    struct mutex mu;
    struct cond cond;
    bool done;
};

static void sync_done(struct commit_batch *b)
{
    struct sync_wait *w = (struct sync_wait *)b; /* b is its first member */

    mutex_lock(&w->mu);
    w->done = true;
    cond_signal(&w->cond);
    mutex_unlock(&w->mu);
}

enum status commit_wait(struct store *s, struct commit_op *ops, size_t n, struct err *e)
{
    struct sync_wait w = {.b = {.ops = ops, .n = n, .done = sync_done}};
    enum status st;

    mutex_init(&w.mu, RANK_LEAF);
    cond_init(&w.cond);
    st = commit_submit(s, &w.b, e);
    if (st == ST_OK) {
        mutex_lock(&w.mu);
        while (!w.done)
            cond_wait(&w.cond, &w.mu);
        mutex_unlock(&w.mu);
    }
    cond_fini(&w.cond);
    mutex_fini(&w.mu);
    return st;
}

/* ---- the thread ---- */

static void gather_locked(struct store *s) REQUIRES(s->queue_mu)
{
    uint64_t end, now;

    if (s->last_batches <= 1)
        return;
    now = time_mono_us();
    end = now + GATHER_US;
    while (s->queue_batches < s->last_batches && s->urgent == NULL && !s->closing && now < end) {
        s->queue_want = s->last_batches;
        cond_wait_us(&s->queue_cond, &s->queue_mu, (long)(end - now));
        now = time_mono_us();
    }
}

/* Until compaction has something to write, or for as long as it says. */
static void hold_locked(struct store *s) REQUIRES(s->queue_mu)
{
    uint64_t now = time_mono_us(), end = now + s->hold_us;

    while (now < end && s->urgent == NULL && s->moves_pending == 0 && !s->closing) {
        s->queue_want = SIZE_MAX;
        cond_wait_us(&s->queue_cond, &s->queue_mu, (long)(end - now));
        now = time_mono_us();
    }
}

/* It must be the first of its group, and nothing may keep it from that for ever. */
static bool begins_group(const struct commit_batch *b)
{
    enum commit_kind kind = b->n != 0 ? b->ops[b->next_op].kind : COMMIT_DOC;

    return b->atomic || (kind != COMMIT_DOC && kind != COMMIT_LOCAL);
}

static void take_urgent_locked(struct store *s) REQUIRES(s->queue_mu)
{
    bool second = s->pending != NULL && (s->only_moves || begins_group(s->pending));
    struct commit_batch **at = second ? &s->pending->next : &s->pending, *rest = *at;

    if (s->urgent == NULL)
        return;
    for (*at = s->urgent; *at != NULL; s->moves_pending++)
        at = &(*at)->next;
    *at = rest;
    if (rest == NULL)
        s->pending_tail = at;
    s->urgent = NULL;
}

/* Moves what was submitted to s->pending; false: the store closes and all is done. */
static bool take(struct store *s)
{
    s->hold_us = compact_hold_us(s);
    mutex_lock(&s->queue_mu);
    if (s->pending == NULL) {
        while (s->queue == NULL && s->urgent == NULL && !s->closing) {
            s->queue_want = 1;
            cond_wait(&s->queue_cond, &s->queue_mu);
        }
        gather_locked(s);
    }
    hold_locked(s);
    s->queue_want = 0;
    s->queue_batches = 0;
    if (s->queue != NULL) {
        *s->pending_tail = s->queue;
        s->pending_tail = s->queue_tail;
        s->queue = NULL;
        s->queue_tail = &s->queue;
    }
    take_urgent_locked(s);
    mutex_unlock(&s->queue_mu);
    return s->pending != NULL;
}

static void committer_main(void *arg)
{
    struct store *s = arg;
    struct group *g = group_new(s);

    /* The default slack of 50 us would make the gather half as long again. */
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    while (take(s))
        group_run(s, g);
    group_free(g);
}

void committer_start(struct store *s)
{
    s->pending_tail = &s->pending;
    thread_start(&s->committer, "commit", committer_main, s);
}

void committer_stop(struct store *s)
{
    mutex_lock(&s->queue_mu);
    s->closing = true;
    mutex_unlock(&s->queue_mu);
    cond_broadcast(&s->queue_cond);
    thread_join(&s->committer);
}

/* ---- trouble ---- */

void store_set_trouble(struct store *s, const char *reason)
{
    if (atomic_load(&s->in_trouble))
        return;
    log_error("store %s no longer writes: %s", s->dir, reason);
    snprintf(s->trouble, sizeof(s->trouble), "%s", reason);
    atomic_store(&s->in_trouble, true);
}

void store_die(const struct store *s, const char *what, const struct err *e)
{
    log_error("store %s: %s: %s; stopping, the next start repairs the index from the log", s->dir,
              what, e->reason);
    _exit(EXIT_STORAGE);
}
