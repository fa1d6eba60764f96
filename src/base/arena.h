/* base/arena.h: memory of one request or one operation, freed all at once. Not thread safe: an
 * arena has one user at a time. Everything "arena" in a contract lives until arena_free/reset. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H
#include "base/slice.h"

struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *a);  /* NULL is fine */
void arena_reset(struct arena *a); /* frees all but the first chunk */
/* 8-aligned (16 for n >= 16), not zeroed. Never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
void *arena_array(struct arena *a, size_t n, size_t size)
    __attribute__((returns_nonnull));                    /* checked */
struct slice arena_dup(struct arena *a, struct slice s); /* a copy, NUL after it for convenience */
char *arena_cstr(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const struct arena *a); /* allocated from the system */
/* Runs fn(arg) at arena_free or arena_reset, last registered first: for handles (db references,
 * iterators) that must not outlive the request. */
void arena_defer(struct arena *a, void (*fn)(void *arg), void *arg);
#endif
