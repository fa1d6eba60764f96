/* couch/compact_blobs.c: the collection of blobs of a store, and what holds off the deletion of
 * files: a backup that copies them (seg_store.h, reclaim_begin). Threads: the compactor.
 */
#include "base/kill_point.h"
#include "base/log.h"
#include "couch/store_priv.h"

bool store_held(struct store *s)
{
    struct err e;
    int token;

    if (s->segs->ops->reclaim_begin(s->segs, &token, &e) != SS_OK)
        return true;
    s->segs->ops->reclaim_end(s->segs, token);
    return false;
}

bool store_may_delete(struct store *s)
{
    struct err e;

    return s->segs->ops->reclaim_begin(s->segs, &s->reclaim, &e) == SS_OK;
}

void store_deleted(struct store *s)
{
    s->segs->ops->reclaim_end(s->segs, s->reclaim);
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
