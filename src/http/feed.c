/* http/feed.c: pieces of streams, and the waits of feeds.
 *
 * A waiting feed is a suspended connection with two triggers: a write to its database (db_wait, on
 * the committer thread) and its deadline (the timer thread). Whoever comes first pushes the job,
 * once
 * (`fired`). Lifetime: only the job resumes the connection, and only a resumed connection can end.
 * The timer touches a feed under its lock, which the job takes to leave the heap; the committer's
 * wake sets `woken` as its last act, and the job waits for that if it could not cancel the waiter.
 */
#include <sched.h>
#include <stddef.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/thread.h"
#include "base/time.h"
#include "couch/updates.h"
#include "http/exchange.h"

enum { PEER_LOOK_US = 5000000 };

struct timers {
    struct mutex lock; /* RANK_HTTP: the heap and every feed's heap_at */
    struct cond changed;
    struct thread thread;
    struct exchange **heap; /* 1-based, least deadline first */
    size_t n, cap;
    bool stop, all;
};

/* ---- heap ---- */

static uint64_t due(const struct exchange *x)
{
    return x->wait.deadline_us;
}

static void heap_set(struct timers *t, size_t i, struct exchange *x)
{
    t->heap[i] = x;
    x->wait.heap_at = i;
}

static void heap_up(struct timers *t, size_t i)
{
    struct exchange *x = t->heap[i];

    for (; i > 1 && due(t->heap[i / 2]) > due(x); i /= 2)
        heap_set(t, i, t->heap[i / 2]);
    heap_set(t, i, x);
}

static void heap_down(struct timers *t, size_t i)
{
    struct exchange *x = t->heap[i];

    for (size_t kid; (kid = 2 * i) <= t->n; i = kid) {
        if (kid < t->n && due(t->heap[kid + 1]) < due(t->heap[kid]))
            kid++;
        if (due(t->heap[kid]) >= due(x))
            break;
        heap_set(t, i, t->heap[kid]);
    }
    heap_set(t, i, x);
}

static void heap_insert_locked(struct timers *t, struct exchange *x)
{
    if (t->n + 2 > t->cap) {
        t->cap = t->cap != 0 ? 2 * t->cap : 64;
        t->heap = mem_realloc(t->heap, t->cap * sizeof(void *));
    }
    heap_set(t, ++t->n, x);
    heap_up(t, t->n);
}

static void heap_remove_locked(struct timers *t, struct exchange *x)
{
    size_t i = x->wait.heap_at;
    struct exchange *last;

    if (i == 0)
        return;
    ASSERT(t->heap[i] == x);
    x->wait.heap_at = 0;
    last = t->heap[t->n--];
    if (last == x)
        return;
    heap_set(t, i, last);
    heap_up(t, i);
    heap_down(t, last->wait.heap_at);
}

/* ---- triggers ---- */

static void produce_job(struct job *j);

static void fire(struct exchange *x)
{
    if (atomic_exchange(&x->wait.fired, 1) != 0)
        return;
    x->job.run = produce_job;
    pool_push(x->http->pool, &x->job);
}

static void on_write(struct db_waiter *w)
{
    struct exchange *x =
        (struct exchange *)(void *)((char *)w - offsetof(struct exchange, wait.waiter));

    fire(x);
    atomic_store(&x->wait.woken, 1);
}

static void timer_due_locked(struct timers *t, struct exchange *x, uint64_t now)
{
    heap_remove_locked(t, x);
    /* A suspended connection is not polled: a client that went away shows only here. */
    x->wait.peer_gone = client_gone(x->client);
    if (t->all || x->wait.peer_gone || now >= x->rp.stream->deadline_us) {
        fire(x);
        return;
    }
    x->wait.deadline_us = now + PEER_LOOK_US < x->rp.stream->deadline_us
                              ? now + PEER_LOOK_US
                              : x->rp.stream->deadline_us;
    heap_insert_locked(t, x);
}

static void timer_loop(void *arg)
{
    struct timers *t = arg;

    mutex_lock(&t->lock);
    while (!t->stop) {
        uint64_t now = time_mono_us();

        if (t->n == 0)
            cond_wait(&t->changed, &t->lock);
        else if (!t->all && due(t->heap[1]) > now)
            (void)cond_wait_us(&t->changed, &t->lock, (long)(due(t->heap[1]) - now));
        else
            timer_due_locked(t, t->heap[1], now);
    }
    mutex_unlock(&t->lock);
}

struct timers *timers_new(void)
{
    struct timers *t = mem_zalloc(sizeof(*t));

    mutex_init(&t->lock, RANK_HTTP);
    cond_init(&t->changed);
    thread_start(&t->thread, "timers", timer_loop, t);
    return t;
}

void timers_stop(struct timers *t)
{
    mutex_lock(&t->lock);
    t->stop = true;
    cond_signal(&t->changed);
    mutex_unlock(&t->lock);
    thread_join(&t->thread);
    cond_fini(&t->changed);
    mutex_fini(&t->lock);
    mem_free(t->heap);
    mem_free(t);
}

void timers_fire_all(struct timers *t)
{
    mutex_lock(&t->lock);
    t->all = true;
    cond_signal(&t->changed);
    mutex_unlock(&t->lock);
}

/* ---- waiting and producing ---- */

static bool source_wait(struct stream *s, struct db_waiter *w)
{
    return s->updates != NULL ? updates_wait(s->updates, w) : db_wait(s->db, w);
}

static bool source_cancel(struct stream *s, struct db_waiter *w)
{
    return s->updates != NULL ? updates_cancel(s->updates, w) : db_wait_cancel(s->db, w);
}

static void arm(struct exchange *x)
{
    struct timers *t = x->http->timers;
    struct stream *s = x->rp.stream;
    uint64_t look = time_mono_us() + PEER_LOOK_US;
    bool waits = s->db != NULL || s->updates != NULL;

    atomic_store(&x->wait.fired, 0);
    atomic_store(&x->wait.woken, 0);
    x->wait.waiter.wake = on_write;
    x->wait.waiter.since = s->since;
    x->wait.deadline_us = look < s->deadline_us ? look : s->deadline_us;
    mutex_lock(&t->lock); /* a trigger that comes now waits in disarm until we are through */
    heap_insert_locked(t, x);
    x->wait.queued = waits && source_wait(s, &x->wait.waiter);
    if (waits && !x->wait.queued)
        fire(x);
    else
        cond_signal(&t->changed);
    mutex_unlock(&t->lock);
}

static void disarm(struct exchange *x)
{
    struct timers *t = x->http->timers;

    mutex_lock(&t->lock);
    heap_remove_locked(t, x);
    mutex_unlock(&t->lock);
    if (x->wait.queued && !source_cancel(x->rp.stream, &x->wait.waiter))
        while (atomic_load(&x->wait.woken) == 0) /* a wake under way is a few instructions long */
            sched_yield();
    x->wait.queued = false;
}

void feed_wait(struct exchange *x)
{
    if (x->next == STREAM_WAIT) {
        buf_free(&x->piece); /* it is sent */
        arm(x);
        return;
    }
    x->job.run = produce_job;
    x->heavy = true; /* a stream with more than one piece: others go first */
    exchange_push(x);
}

enum status feed_piece(struct exchange *x, struct err *e)
{
    struct stream *s = x->rp.stream;

    thread_pause();
    buf_clear(&x->piece);
    x->piece_off = 0;
    s->stopping = atomic_load(&x->http->stopping) != 0;
    x->next = STREAM_DONE;
    TRY(s->produce(s, &x->piece, &x->next, e));
    return buf_ok(&x->piece) ? ST_OK : err_set(e, ST_TOO_LARGE, "one row is too large");
}

void feed_over(struct exchange *x, enum feed_state how)
{
    atomic_store(&x->feed, how);
    exchange_resume(x);
}

static void produce_job(struct job *j)
{
    struct exchange *x = exchange_of(j);
    bool waited = x->next == STREAM_WAIT;
    struct err e;
    enum status st;

    if (waited)
        disarm(x);
    do {
        st = feed_piece(x, &e);
    } while (st == ST_OK && x->piece.n == 0 && x->next == STREAM_MORE);
    if (st != ST_OK || x->wait.peer_gone)
        feed_over(x, FEED_FAILED);
    else if (x->piece.n != 0 && x->chunked)
        direct_send(x);
    else if (x->piece.n != 0)
        feed_over(x, FEED_READY);
    else if (x->next == STREAM_DONE)
        feed_over(x, FEED_ENDED);
    else
        feed_wait(x); /* woken for nothing: wait on without bothering the connection */
}
