/* base/buf.h: the one growable byte buffer, born with its maximum. When an append would pass the
 * maximum nothing is appended and `full` sticks; the owner tests buf_ok() once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include <stdint.h>

#include "base/slice.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool full, mapped; /* mapped: p is of mem_map(max) */
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);
void buf_clear(struct buf *b); /* n = 0, full = false; keeps the memory */
/* Room for n more bytes at the end, already counted; NULL when over the maximum. */
void *buf_extend(struct buf *b, size_t n);
void buf_append(struct buf *b, const void *p, size_t n);
void buf_add(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_u64(struct buf *b, uint64_t v);    /* decimal digits */
void buf_varint(struct buf *b, uint64_t v); /* unsigned LEB128 */
void buf_reserve(struct buf *b, size_t n);  /* capacity for n more, up to the maximum */
/* Some n bytes are to come: so that they need not be moved. An empty buffer. */
void buf_expect(struct buf *b, size_t n);
/* As buf_reserve, and the memory for these bytes is there: whoever appends them need not wait for
 * it. */
void buf_ready(struct buf *b, size_t n);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->p, b->n};
}
static inline bool buf_ok(const struct buf *b)
{
    return !b->full;
}
#endif
