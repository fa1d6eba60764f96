/* base/alloc.c: the only file that calls malloc and friends. Out of memory aborts. Threads: any. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/thread.h"

enum { MEM_SLICE = 256 << 10 /* some 10 us to take back */ };

void *mem_alloc(size_t n)
{
    void *p = malloc(n != 0 ? n : 1);

    ASSERT(p != NULL);
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n != 0 ? n : 1);

    ASSERT(p != NULL);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n != 0 ? n : 1);

    ASSERT(q != NULL);
    return q;
}

void *mem_array(size_t n, size_t size)
{
    size_t total;

    ASSERT(!__builtin_mul_overflow(n, size, &total));
    return mem_alloc(total);
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s));
}

char *mem_dup(const void *p, size_t n)
{
    char *q;

    ASSERT(n < SIZE_MAX);
    q = mem_alloc(n + 1);
    if (n != 0)
        memcpy(q, p, n);
    q[n] = '\0';
    return q;
}

void *mem_align(size_t align, size_t n)
{
    void *p = NULL;

    ASSERT(posix_memalign(&p, align, n != 0 ? n : align) == 0);
    ASSERT(p != NULL);
    return p;
}

void mem_free(void *p)
{
    free(p);
}

void mem_discard(void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)p + n) & ~(page - 1);

    /* failing changes nothing but what it costs */
    if (from < to)
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

static void discard_slices(char *p, size_t n)
{
    for (size_t at = 0; at < n; at += MEM_SLICE) {
        mem_discard(p + at, n - at < MEM_SLICE ? n - at : MEM_SLICE);
        thread_pause();
    }
}

void *mem_map(size_t max)
{
    void *p = mmap(NULL, max, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ASSERT(p != MAP_FAILED);
    return p;
}

void mem_map_use(void *p, size_t n)
{
    ASSERT(mprotect(p, n, PROT_READ | PROT_WRITE) == 0);
}

void mem_map_ready(void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (uintptr_t)p & ~(page - 1);

    (void)madvise((void *)from, (uintptr_t)p + n - from, MADV_POPULATE_WRITE); /* Linux 5.14 */
}

void mem_unmap(void *p, size_t n, size_t max)
{
    discard_slices(p, n);
    ASSERT(munmap(p, max) == 0);
}

void mem_free_large(void *p, size_t n)
{
    discard_slices(p, n);
    free(p);
}
