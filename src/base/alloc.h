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
#endif
