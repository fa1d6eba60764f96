/* couch/local.c: the bytes of a _local document's row. Pure; any thread. */
#include "couch/local.h"

#include "base/bytes.h"

enum { LOCAL_INLINE = 0, LOCAL_POINTER = 1 };

void local_row_encode(uint64_t n, struct slice json, const struct seg_ptr *p, struct buf *out)
{
    unsigned char ptr[SEG_PTR_BYTES];

    buf_varint(out, n);
    buf_char(out, p == NULL ? LOCAL_INLINE : LOCAL_POINTER);
    if (p == NULL) {
        buf_add(out, json);
        return;
    }
    seg_ptr_put(ptr, p);
    buf_append(out, ptr, sizeof(ptr));
}

enum status local_row_decode(struct slice v, uint64_t *n, bool *is_inline, struct slice *json,
                             struct seg_ptr *p, struct err *e)
{
    struct rd r = rd_of(v);
    struct slice rest;
    uint8_t kind;

    *n = rd_varint(&r);
    kind = rd_u8(&r);
    if (r.bad || kind > LOCAL_POINTER)
        return err_set(e, ST_CORRUPT, "row of a local document: %zu bytes, kind %u", v.n,
                       (unsigned)kind);
    rest = rd_bytes(&r, rd_left(&r));
    *is_inline = kind == LOCAL_INLINE;
    *json = (struct slice){"", 0};
    if (*is_inline) {
        *json = rest;
        return ST_OK;
    }
    if (rest.n != SEG_PTR_BYTES)
        return err_set(e, ST_CORRUPT, "row of a local document: pointer of %zu bytes", rest.n);
    *p = seg_ptr_get((const unsigned char *)rest.p);
    return ST_OK;
}
