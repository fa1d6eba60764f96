/* base/bytes.c: the reader over untrusted bytes. Invariant: p <= end; when bad, p == end. Threads:
 * a reader has one user. */
#include "base/bytes.h"

struct rd rd_of(struct slice s)
{
    return (struct rd){s.p, s.n != 0 ? s.p + s.n : s.p, false};
}

/* The next n bytes, or NULL. */
static const char *rd_take(struct rd *r, size_t n)
{
    const char *p = r->p;

    if (r->bad || n > rd_left(r)) {
        r->bad = true;
        r->p = r->end;
        return NULL;
    }
    r->p = n != 0 ? p + n : p;
    return p;
}

uint32_t rd_le32(struct rd *r)
{
    const char *p = rd_take(r, 4);

    return p != NULL ? get_le32(p) : 0;
}

uint64_t rd_le64(struct rd *r)
{
    const char *p = rd_take(r, 8);

    return p != NULL ? get_le64(p) : 0;
}

static uint64_t rd_fail(struct rd *r)
{
    r->bad = true;
    r->p = r->end;
    return 0;
}

uint64_t rd_varint(struct rd *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = rd_u8(r);

        if (r->bad)
            return 0;
        if (shift == 63 && byte > 1)
            return rd_fail(r); /* more than 64 bits, or an eleventh byte to come */
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return byte == 0 && shift != 0 ? rd_fail(r) : v; /* 0 at the end: not canonical */
    }
    return rd_fail(r);
}

struct slice rd_bytes(struct rd *r, size_t n)
{
    const char *p = rd_take(r, n);

    if (r->bad)
        return (struct slice){"", 0};
    return (struct slice){p, n};
}
