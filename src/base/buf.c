/* base/buf.c: the growable buffer. Invariant: n <= cap <= max, or p is NULL; once `full` nothing is
 * appended until buf_clear. A large one is mapped: it grows where it is (base/alloc.h).
 * Threads: a buffer has one user at a time. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { BUF_FIRST = 256, BUF_LARGE = 2 << 20, BUF_AHEAD = 1 << 20 };

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    if (b->mapped)
        mem_unmap(b->p, b->cap, b->max);
    else
        mem_free(b->p);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->full = false;
}

static void buf_map(struct buf *b, size_t cap)
{
    char *small = b->p;

    b->p = mem_map(b->max);
    mem_map_use(b->p, cap);
    if (small != NULL)
        memcpy(b->p, small, b->n);
    mem_free(small);
    b->mapped = true;
    b->cap = cap;
}

/* Capacity for `need` bytes in all, which is within the maximum. */
static void buf_grow(struct buf *b, size_t need)
{
    size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;

    while (cap < need)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    if (cap > b->max)
        cap = b->max;
    if (cap > BUF_LARGE && !b->mapped)
        buf_map(b, cap);
    else if (b->mapped)
        mem_map_use(b->p, cap);
    else
        b->p = mem_realloc(b->p, cap);
    b->cap = cap;
}

void buf_reserve(struct buf *b, size_t n)
{
    size_t room = b->max - b->n;
    size_t need = b->n + (n < room ? n : room);

    if (need > b->cap)
        buf_grow(b, need);
}

void buf_ready(struct buf *b, size_t n)
{
    size_t room;

    buf_reserve(b, n);
    room = b->cap - b->n;
    if (b->mapped)
        mem_map_ready(b->p + b->n, n < room ? n : room);
}

void buf_expect(struct buf *b, size_t n)
{
    if (n <= BUF_LARGE || b->p != NULL || b->max <= BUF_LARGE)
        buf_reserve(b, n < BUF_AHEAD ? n : BUF_AHEAD);
    else
        buf_map(b, BUF_AHEAD);
}

void *buf_extend(struct buf *b, size_t n)
{
    char *p;

    if (b->full || n > b->max - b->n) {
        b->full = true;
        return NULL;
    }
    if (b->p == NULL || n > b->cap - b->n)
        buf_grow(b, b->n + n);
    p = b->p + b->n;
    b->n += n;
    return p;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
    void *q;

    if (n == 0)
        return;
    q = buf_extend(b, n);
    if (q != NULL)
        memcpy(q, p, n);
}

void buf_add(struct buf *b, struct slice s)
{
    buf_append(b, s.p, s.n);
}

void buf_str(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_char(struct buf *b, char c)
{
    buf_append(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    if ((size_t)n < sizeof small) {
        buf_append(b, small, (size_t)n);
        return;
    }
    p = mem_alloc((size_t)n + 1); /* vsnprintf wants room for a NUL, the maximum may not have it */
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf_append(b, p, (size_t)n);
    mem_free(p);
}

void buf_u64(struct buf *b, uint64_t v)
{
    char digits[20];
    size_t i = sizeof digits;

    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_append(b, digits + i, sizeof digits - i);
}

void buf_varint(struct buf *b, uint64_t v)
{
    char out[10];
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (char)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (char)v;
    buf_append(b, out, n);
}
