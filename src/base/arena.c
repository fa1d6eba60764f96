/* base/arena.c: chunked bump allocator.
 *
 * Format: a list of chunks, the newest first. The arena's own struct lies at the start of its first
 * chunk (8 KiB), and each thread keeps a few such chunks, so that the arena of a small request
 * costs no call of malloc. Later chunks double up to 1 MiB; a request that would waste
 * much of a chunk gets one of its own behind the current one. A few chunks of 1 MiB are kept for
 * all threads: what goes back to the system costs a page fault every 4 KiB when it comes again,
 * which was a tenth of a _bulk_docs.
 * Under AddressSanitizer nothing is kept and the unused part of a chunk is poisoned, so that a
 * use after arena_free or past an allocation is reported.
 * Threads: an arena has one user at a time; it may be freed by another thread than its maker.
 */
#include "base/arena.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum {
    ARENA_FIRST = 8 << 10,
    ARENA_CHUNK_MAX = 1 << 20,
    ARENA_CACHED = 16, /* first chunks that a thread keeps */
    ARENA_KEPT = 8     /* of ARENA_CHUNK_MAX, for all threads */
};

struct chunk {
    struct chunk *next;
    size_t size; /* with this header */
};

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct chunk head; /* of the first chunk; head.next links cached arenas */
    char *p, *end;     /* free part of the current chunk */
    struct chunk *chunks;
    struct deferred *deferred;
    size_t bytes;
    size_t next_size;
};

/* ---- the per-thread cache of first chunks ---- */

#ifndef ARENA_ASAN
static _Thread_local struct arena *cache;
static _Thread_local unsigned cached;
static pthread_key_t cache_key;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;

static void cache_drop(void *unused)
{
    (void)unused;
    while (cache != NULL) {
        struct arena *a = cache;

        cache = (struct arena *)(void *)a->head.next;
        mem_free(a);
    }
    cached = ARENA_CACHED; /* the thread ends: keep no more */
}

static void cache_make_key(void)
{
    ASSERT(pthread_key_create(&cache_key, cache_drop) == 0);
}

static struct arena *cache_take(void)
{
    struct arena *a = cache;

    if (a != NULL) {
        cache = (struct arena *)(void *)a->head.next;
        cached--;
    }
    return a;
}

static bool cache_give(struct arena *a)
{
    if (cached >= ARENA_CACHED)
        return false;
    if (cache == NULL) {
        ASSERT(pthread_once(&cache_once, cache_make_key) == 0);
        if (pthread_setspecific(cache_key, a) != 0)
            return false;
    }
    a->head.next = (struct chunk *)(void *)cache;
    cache = a;
    cached++;
    return true;
}

/* ---- the largest chunks, for all threads ---- */

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct chunk *kept[ARENA_KEPT];
static unsigned nkept;

static struct chunk *kept_take(size_t size)
{
    struct chunk *c = NULL;

    if (size != ARENA_CHUNK_MAX)
        return NULL;
    pthread_mutex_lock(&kept_lock);
    if (nkept != 0)
        c = kept[--nkept];
    pthread_mutex_unlock(&kept_lock);
    return c;
}

static bool kept_give(struct chunk *c)
{
    bool taken;

    if (c->size != ARENA_CHUNK_MAX)
        return false;
    pthread_mutex_lock(&kept_lock);
    taken = nkept < ARENA_KEPT;
    if (taken)
        kept[nkept++] = c;
    pthread_mutex_unlock(&kept_lock);
    return taken;
}
#else
static struct arena *cache_take(void)
{
    return NULL;
}

static struct chunk *kept_take(size_t size)
{
    (void)size;
    return NULL;
}

static bool kept_give(struct chunk *c)
{
    (void)c;
    return false;
}

static bool cache_give(struct arena *a)
{
    (void)a;
    return false;
}
#endif

/* ---- the arena ---- */

static void arena_start(struct arena *a)
{
    a->head.next = NULL;
    a->head.size = ARENA_FIRST;
    a->p = (char *)a + ((sizeof *a + 15) & ~(size_t)15);
    a->end = (char *)a + ARENA_FIRST;
    a->chunks = NULL;
    a->deferred = NULL;
    a->bytes = ARENA_FIRST;
    a->next_size = (size_t)2 * ARENA_FIRST;
    ASAN_POISON_MEMORY_REGION(a->p, (size_t)(a->end - a->p));
}

struct arena *arena_new(void)
{
    struct arena *a = cache_take();

    if (a == NULL)
        a = mem_align(16, ARENA_FIRST);
    arena_start(a);
    return a;
}

/* The deferred calls may still use the arena's memory, so they run first. */
static void arena_drop_chunks(struct arena *a)
{
    while (a->deferred != NULL) {
        struct deferred *d = a->deferred;

        a->deferred = d->next;
        d->fn(d->arg);
    }
    while (a->chunks != NULL) {
        struct chunk *c = a->chunks;

        a->chunks = c->next;
        ASAN_UNPOISON_MEMORY_REGION(c, c->size);
        if (kept_give(c))
            continue;
        if (c->size >= ARENA_CHUNK_MAX)
            mem_free_large(c, c->size);
        else
            mem_free(c);
    }
}

void arena_free(struct arena *a)
{
    if (a == NULL)
        return;
    arena_drop_chunks(a);
    ASAN_UNPOISON_MEMORY_REGION(a, ARENA_FIRST);
    if (!cache_give(a))
        mem_free(a);
}

void arena_reset(struct arena *a)
{
    arena_drop_chunks(a);
    arena_start(a);
}

/* The slow path: a new chunk, current if what is left of the old one is the smaller loss. */
static void *arena_alloc_chunk(struct arena *a, size_t n)
{
    bool own = n > a->next_size / 4;
    size_t size = own ? n + 16 + sizeof(struct chunk) : a->next_size;
    struct chunk *c = kept_take(size);
    char *p;

    ASSERT(n < SIZE_MAX / 2);
    if (c == NULL)
        c = mem_align(16, size);
    c->size = size;
    c->next = a->chunks;
    a->chunks = c;
    a->bytes += size;
    p = (char *)c + sizeof *c;
    ASAN_POISON_MEMORY_REGION(p, size - sizeof *c);
    if (!own) {
        a->p = p + ((n + 7) & ~(size_t)7);
        a->end = (char *)c + size;
        if (a->next_size < ARENA_CHUNK_MAX)
            a->next_size *= 2;
    }
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t pad = n >= 16 ? (size_t)(-(uintptr_t)a->p & 15) : 0;
    size_t left = (size_t)(a->end - a->p);
    char *p;

    /* left is a multiple of 8, and so is pad: rounding n up cannot pass the end */
    if (pad > left || n > left - pad)
        return arena_alloc_chunk(a, n);
    p = a->p + pad;
    a->p = p + ((n + 7) & ~(size_t)7);
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);

    memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t total;

    ASSERT(!__builtin_mul_overflow(n, size, &total));
    return arena_alloc(a, total);
}

char *arena_cstr(struct arena *a, struct slice s)
{
    char *p;

    ASSERT(s.n < SIZE_MAX / 2);
    p = arena_alloc(a, s.n + 1);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    return (struct slice){arena_cstr(a, s), s.n};
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    if ((size_t)n < sizeof small)
        return arena_dup(a, slice_of(small, (size_t)n));
    p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return slice_of(p, (size_t)n);
}

size_t arena_bytes(const struct arena *a)
{
    return a->bytes;
}

void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = arena_alloc(a, sizeof *d);

    d->next = a->deferred;
    d->fn = fn;
    d->arg = arg;
    a->deferred = d;
}
