/* base/thread.h: named threads and the worker pool.
 *
 * A pool runs small jobs from one bounded-by-admission FIFO queue. A job is embedded in its owner's
 * struct, so that queueing never allocates and never fails.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread {
    pthread_t id;
    bool started;
};
/* false: the system has no thread left; nothing happened. */
bool thread_try_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg);
/* The same for threads without which there is no server: aborts. */
void thread_start(struct thread *t, const char *name, void (*fn)(void *arg), void *arg);
void thread_join(struct thread *t); /* no-op when not started */

/* What the kernel is told of the calling thread, and those that it starts from then on. Hints: a
 * kernel that does not know them goes on as before. */
enum thread_kind {
    THREAD_PLAIN,
    THREAD_QUICK, /* short turns: is let in at once when it wakes, and gives way as soon */
    THREAD_HEAVY  /* long work: gives way to the other threads of the process */
};
void thread_hint(enum thread_kind kind);

/* Long work calls it about each 10 us, or as often as it can: other threads that wait for this core
 * get their turn after 100 us, which the kernel by itself sees to only each 1 to 4 ms, or when
 * somebody wakes. Costs a look at the clock when it is not time yet. */
void thread_pause(void);
/* The same in a loop of short steps: at each eighth. */
static inline void thread_pause_at(size_t step)
{
    if (step % 8 == 0)
        thread_pause();
}

/* Grows whenever the calling thread had to have something read from a disk. */
uint64_t thread_disk_reads(void);

struct job {
    void (*run)(struct job *j);
    struct job *next; /* the pool's */
};
struct pool;
struct pool *pool_new(const char *name, unsigned threads, enum thread_kind kind);
void pool_push(struct pool *p, struct job *j); /* j stays the caller's; may run at once */
void pool_stop(struct pool *p);                /* runs what is queued, joins, frees; NULL is fine */
#endif
