/* base/thread.c: named threads, and a pool with one FIFO queue. Invariant of the queue: tail is
 * NULL exactly when head is. Threads: pool_push from any; pool_stop once, by the owner. */
#include "base/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutex.h"

enum { THREAD_NAME = 16 /* the kernel's, with its NUL */ };
enum {
    QUICK_TURN_NS = 100000, /* the least that Linux takes; its own default is some ms */
    HEAVY_TURN_NS = 3000000,
    HEAVY_NICE = 10 /* a tenth of the CPU time of another thread while both want it */
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

uint64_t thread_disk_reads(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? (uint64_t)u.ru_inblock + (uint64_t)u.ru_majflt : 0;
}

struct pool {
    struct mutex mu;
    struct cond work;
    atomic_uint pushing; /* threads in pool_push: they touch the pool after a job may have run */
    struct job *head, *tail;
    bool stop;
    enum thread_kind kind;
    unsigned count;
    struct thread threads[];
};

static void pool_main(void *arg)
{
    struct pool *p = arg;

    thread_hint(p->kind);
    mutex_lock(&p->mu);
    for (;;) {
        struct job *j;

        while (p->head == NULL && !p->stop)
            cond_wait(&p->work, &p->mu);
        j = p->head;
        if (j == NULL)
            break;
        p->head = j->next;
        if (p->head == NULL)
            p->tail = NULL;
        mutex_unlock(&p->mu);
        j->run(j); /* j may be gone after this */
        mutex_lock(&p->mu);
    }
    mutex_unlock(&p->mu);
}

struct pool *pool_new(const char *name, unsigned threads, enum thread_kind kind)
{
    struct pool *p;

    ASSERT(threads > 0 && threads <= 1024);
    p = mem_zalloc(sizeof *p + threads * sizeof p->threads[0]);
    mutex_init(&p->mu, RANK_LEAF);
    cond_init(&p->work);
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
    /* Not under the lock: who wakes may take this core at once, and would go back to sleep for the
     * lock while its holder waits for another turn. */
    cond_signal(&p->work);
    atomic_fetch_sub(&p->pushing, 1);
}

void pool_stop(struct pool *p)
{
    if (p == NULL)
        return;
    mutex_lock(&p->mu);
    p->stop = true;
    cond_broadcast(&p->work);
    mutex_unlock(&p->mu);
    for (unsigned i = 0; i < p->count; i++)
        thread_join(&p->threads[i]);
    while (atomic_load(&p->pushing) != 0)
        (void)sched_yield();
    cond_fini(&p->work);
    mutex_fini(&p->mu);
    mem_free(p);
}
