/* base/alloc.h: memory that is always there. Out of memory aborts: sizes that a client
 * chooses are bounded before they come here, and the log makes an abort safe. */
#ifndef BASE_ALLOC_H
#define BASE_ALLOC_H
#include <stddef.h>

void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));  /* not zeroed; n = 0 is fine */
void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull)); /* zeroed */
void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));
void *mem_array(size_t n, size_t size)
    __attribute__((malloc, returns_nonnull)); /* n*size checked */
char *mem_strdup(const char *s) __attribute__((malloc, returns_nonnull));
char *mem_dup(const void *p, size_t n) __attribute__((returns_nonnull)); /* n bytes and a NUL */
void *mem_align(size_t align, size_t n) __attribute__((malloc, returns_nonnull));
void mem_free(void *p); /* NULL is fine; frees any of the above */
/* What the n bytes hold is needed no more, their place is: whole pages in them cost no memory until
 * they are written again. */
void mem_discard(void *p, size_t n);

/* Large blocks. The system maps, moves and takes back pages under a lock that every thread needs
 * that maps memory itself: 50 MB at once keep them all waiting for milliseconds. So a large block
 * grows where it is, and its pages go back in slices. */
void *mem_map(size_t max) __attribute__((malloc, returns_nonnull)); /* addresses; no memory yet */
void mem_map_use(void *p, size_t n);           /* the first n bytes may be touched; n only grows */
void mem_map_ready(void *p, size_t n);         /* a hint: n bytes in it are about to be written */
void mem_unmap(void *p, size_t n, size_t max); /* as given to the two above */
void mem_free_large(void *p, size_t n);        /* mem_free, of a block of n bytes */
#endif
