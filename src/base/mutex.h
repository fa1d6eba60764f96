/* base/mutex.h: locks that know their place in the lock order.
 *
 * A thread may only take a lock of a higher rank than every lock it holds; ASSERTed in every
 * build, so a wrong order fails in the first test that runs the path. No lock is held across
 * fsync, leveldb_write, network I/O, a FAISS build or a callback into another layer.
 */
#ifndef BASE_MUTEX_H
#define BASE_MUTEX_H
#include <pthread.h>
#include <stdbool.h>

#if defined(__clang__)
#define LOCKABLE      __attribute__((capability("mutex")))
#define ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define UNCHECKED     __attribute__((no_thread_safety_analysis))
#else
#define LOCKABLE
#define ACQUIRES(...)
#define RELEASES(...)
#define REQUIRES(...)
#define UNCHECKED
#endif
#define GUARDED_BY(lock) /* for readers; clang 14 cannot check it on C struct members */

enum lock_rank {
    RANK_REPL = 1,     /* replication job table */
    RANK_HTTP,         /* connection and feed tables, timers */
    RANK_CATALOG,      /* couch: name -> database */
    RANK_DB,           /* couch: one database's waiters */
    RANK_VEC_REGISTRY, /* vector: (db, signature) -> index */
    RANK_VEC_INDEX,    /* vector: one index's view */
    RANK_COMMIT,       /* couch: the commit queue */
    RANK_SEGMENTS,     /* wal: segment table */
    RANK_STATS,
    RANK_LEAF /* queues, caches: nothing is taken under it */
};

struct LOCKABLE mutex {
    pthread_mutex_t m;
    enum lock_rank rank;
};
struct cond {
    pthread_cond_t c; /* CLOCK_MONOTONIC */
};

void mutex_init(struct mutex *mu, enum lock_rank rank);
void mutex_fini(struct mutex *mu);
void mutex_lock(struct mutex *mu) ACQUIRES(*mu);
void mutex_unlock(struct mutex *mu) RELEASES(*mu);
void cond_init(struct cond *c);
void cond_fini(struct cond *c);
void cond_wait(struct cond *c, struct mutex *mu) REQUIRES(*mu);
bool cond_wait_us(struct cond *c, struct mutex *mu, long us) REQUIRES(*mu); /* false: timed out */
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);
#endif
