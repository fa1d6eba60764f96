/* base/mutex.c: locks with ranks. Ranks held by a thread strictly increase, so a thread holds at
 * most one lock of a rank and a bit set says which. Threads: any. */
#include "base/mutex.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "base/assert.h"

static _Thread_local uint32_t held; /* bit r: a lock of rank r */

void mutex_init(struct mutex *mu, enum lock_rank rank)
{
    ASSERT(rank >= RANK_REPL && rank <= RANK_LEAF);
    ASSERT(pthread_mutex_init(&mu->m, NULL) == 0);
    mu->rank = rank;
}

void mutex_fini(struct mutex *mu)
{
    ASSERT(pthread_mutex_destroy(&mu->m) == 0);
}

UNCHECKED void mutex_lock(struct mutex *mu)
{
    ASSERT(held >> mu->rank == 0); /* lock order */
    ASSERT(pthread_mutex_lock(&mu->m) == 0);
    held |= 1u << mu->rank;
}

UNCHECKED void mutex_unlock(struct mutex *mu)
{
    ASSERT((held >> mu->rank & 1) != 0);
    held &= ~(1u << mu->rank);
    ASSERT(pthread_mutex_unlock(&mu->m) == 0);
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;

    ASSERT(pthread_condattr_init(&attr) == 0);
    ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    ASSERT(pthread_cond_init(&c->c, &attr) == 0);
    ASSERT(pthread_condattr_destroy(&attr) == 0);
}

void cond_fini(struct cond *c)
{
    ASSERT(pthread_cond_destroy(&c->c) == 0);
}

void cond_wait(struct cond *c, struct mutex *mu)
{
    ASSERT((held >> mu->rank & 1) != 0);
    ASSERT(pthread_cond_wait(&c->c, &mu->m) == 0);
}

bool cond_wait_us(struct cond *c, struct mutex *mu, long us)
{
    struct timespec until;
    int rc;

    ASSERT((held >> mu->rank & 1) != 0);
    if (us < 0)
        us = 0;
    ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += us / 1000000;
    until.tv_nsec += us % 1000000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    rc = pthread_cond_timedwait(&c->c, &mu->m, &until);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void cond_signal(struct cond *c)
{
    ASSERT(pthread_cond_signal(&c->c) == 0);
}

void cond_broadcast(struct cond *c)
{
    ASSERT(pthread_cond_broadcast(&c->c) == 0);
}
