/* couch/compact_blobs.c: the collection of blobs of a store, and what holds off the deletion of
 * files. Threads: the compactor collects; store_hold by any.
 */
#include "base/kill_point.h"
#include "base/log.h"
#include "couch/store_priv.h"

void store_hold(struct store *s)
{
    mutex_lock(&s->hold_mu);
    s->holds++;
    while (s->deleting)
        cond_wait(&s->hold_cond, &s->hold_mu);
    mutex_unlock(&s->hold_mu);
}

void store_unhold(struct store *s)
{
    mutex_lock(&s->hold_mu);
    ASSERT(s->holds > 0);
    s->holds--;
    mutex_unlock(&s->hold_mu);
}

bool store_held(struct store *s)
{
    bool held;

    mutex_lock(&s->hold_mu);
    held = s->holds != 0;
    mutex_unlock(&s->hold_mu);
    return held;
}

bool store_may_delete(struct store *s)
{
    bool may;

    mutex_lock(&s->hold_mu);
    while (s->deleting)
        cond_wait(&s->hold_cond, &s->hold_mu);
    may = s->holds == 0;
    s->deleting = may;
    mutex_unlock(&s->hold_mu);
    return may;
}

void store_deleted(struct store *s)
{
    mutex_lock(&s->hold_mu);
    s->deleting = false;
    mutex_unlock(&s->hold_mu);
    cond_broadcast(&s->hold_cond);
}

static bool barrier(void *arg)
{
    struct store *s = arg;
    bool done;

    KILL_POINT("blob.judged");
    done = maint_barrier_at(s, atomic_load(&s->applied_lsn));
    KILL_POINT("blob.barrier");
    return done;
}

static bool enter(void *arg)
{
    return store_may_delete(arg);
}

static void leave(void *arg)
{
    KILL_POINT("blob.deleted");
    store_deleted(arg);
}

enum status store_collect_blobs(struct store *s, struct err *e)
{
    const struct blobs_gate gate = {.barrier = barrier, .enter = enter, .leave = leave, .arg = s};
    uint64_t n = 0;
    enum status st = blobs_collect(s->blobs, &gate, &n, e);

    if (n != 0)
        log_info("store %s: %llu blobs collected", s->dir, (unsigned long long)n);
    return st;
}
