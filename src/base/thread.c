/* base/thread.c: named threads, and a pool with one FIFO queue. Invariants: tail is NULL exactly
 * when head is; `ready` is posted once for each job and, when it stops, for each thread.
 * Threads: pool_push from any; pool_stop once, by the owner.
 *
 * A semaphore and no condition variable, because pool_push is called by threads that must not wait:
 * glibc's pthread_cond_signal waits now and then until a thread that was woken before has run,
 * which for one of low priority took milliseconds. And it is posted without the lock: who wakes may
 * take this core at once, and would go back to sleep for the lock while its holder waits for
 * another turn. */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutex.h"
#include "base/time.h"

enum { THREAD_NAME = 16 /* the kernel's, with its NUL */ };
enum {
    QUICK_TURN_NS = 100000, /* the least that Linux takes; its own default is some ms */
    HEAVY_TURN_NS = 3000000,
    HEAVY_NICE = 10, /* a tenth of the CPU time of another thread while both want it */
    PAUSE_US = 100
};

struct thread_args {
    char name[THREAD_NAME];
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *p)
{
    struct thread_args args = *(struct thread_args *)p;

    mem_free(p);
    (void)pthread_setname_np(pthread_self(), args.name); /* only a help for people */
    args.fn(args.arg);
    return NULL;
}

bool thread_try_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg)
{
    struct thread_args *args = mem_zalloc(sizeof *args);

    (void)snprintf(args->name, sizeof args->name, "%s", name);
    args->fn = fn;
    args->arg = arg;
    t->started = pthread_create(&t->id, NULL, thread_main, args) == 0;
    if (!t->started)
        mem_free(args);
    return t->started;
}

void thread_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg)
{
    ASSERT(thread_try_start(t, name, fn, arg));
}

void thread_join(struct thread *t)
{
    if (!t->started)
        return;
    ASSERT(pthread_join(t->id, NULL) == 0);
    t->started = false;
}

/* What sched_setattr(2) takes; the C library has neither it nor, beside its own header, the
 * kernel's. */
struct turn {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
};

void thread_hint(enum thread_kind kind)
{
    struct turn attr = {.size = sizeof attr, .runtime_ns = QUICK_TURN_NS};

    if (kind == THREAD_HEAVY) {
        attr.nice = HEAVY_NICE;
        attr.runtime_ns = HEAVY_TURN_NS;
    }
    if (kind != THREAD_PLAIN)
        (void)syscall(SYS_sched_setattr, 0, &attr, 0);
}

void thread_pause(void)
{
    static _Thread_local uint64_t last_us;

    if (time_mono_us() - last_us < PAUSE_US)
        return;
    (void)sched_yield();
    last_us = time_mono_us();
}

uint64_t thread_disk_reads(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? (uint64_t)u.ru_inblock + (uint64_t)u.ru_majflt : 0;
}

struct pool {
    struct mutex mu;
    sem_t ready;
    atomic_uint pushing; /* threads in pool_push: they touch the pool after a job may have run */
    struct job *head, *tail;
    enum thread_kind kind;
    unsigned count;
    struct thread threads[];
};

/* NULL: the pool stops, and has no job left for this thread. */
static struct job *pool_next(struct pool *p)
{
    struct job *j;

    while (sem_wait(&p->ready) != 0)
        ASSERT(errno == EINTR);
    mutex_lock(&p->mu);
    j = p->head;
    if (j != NULL) {
        p->head = j->next;
        if (p->head == NULL)
            p->tail = NULL;
    }
    mutex_unlock(&p->mu);
    return j;
}

static void pool_main(void *arg)
{
    struct pool *p = arg;

    thread_hint(p->kind);
    for (struct job *j = pool_next(p); j != NULL; j = pool_next(p))
        j->run(j); /* j may be gone after this */
}

struct pool *pool_new(const char *name, unsigned threads, enum thread_kind kind)
{
    struct pool *p;

    ASSERT(threads > 0 && threads <= 1024);
    p = mem_zalloc(sizeof *p + threads * sizeof p->threads[0]);
    mutex_init(&p->mu, RANK_LEAF);
    ASSERT(sem_init(&p->ready, 0, 0) == 0);
    p->kind = kind;
    p->count = threads;
    for (unsigned i = 0; i < threads; i++) {
        char full[THREAD_NAME];

        (void)snprintf(full, sizeof full, "%.11s-%u", name, i % 1000);
        thread_start(&p->threads[i], full, pool_main, p);
    }
    return p;
}

void pool_push(struct pool *p, struct job *j)
{
    atomic_fetch_add(&p->pushing, 1);
    mutex_lock(&p->mu);
    j->next = NULL;
    if (p->tail != NULL)
        p->tail->next = j;
    else
        p->head = j;
    p->tail = j;
    mutex_unlock(&p->mu);
    ASSERT(sem_post(&p->ready) == 0);
    atomic_fetch_sub(&p->pushing, 1);
}

void pool_stop(struct pool *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->count; i++)
        ASSERT(sem_post(&p->ready) == 0);
    for (unsigned i = 0; i < p->count; i++)
        thread_join(&p->threads[i]);
    while (atomic_load(&p->pushing) != 0)
        (void)sched_yield();
    ASSERT(sem_destroy(&p->ready) == 0);
    mutex_fini(&p->mu);
    mem_free(p);
}
