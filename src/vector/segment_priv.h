/* vector/segment_priv.h: what segment.c, segment_file.c and segment_graph.c share. */
#ifndef VECTOR_SEGMENT_PRIV_H
#define VECTOR_SEGMENT_PRIV_H
#include <stdatomic.h>

#include "vector/segment.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "parts of a segment are used in place");

enum seg_part {
    PART_VEC,
    PART_NORM,
    PART_DOCNUM,
    PART_HASH,
    PART_ELEM,
    PART_IDOFF,
    PART_IDS,
    PART_LINKS0,
    PART_UPPER_START,
    PART_UPPER,
    PART_COUNT
};
enum { SEG_ALIGN = 4096, SEG_MEMS = 4 };

struct seg_box {
    struct vseg s; /* first: a vseg pointer is a box pointer */
    atomic_uint refs;
    void *mem[SEG_MEMS];
};
struct seg_range {
    const void *p;
    uint64_t len;
};
/* Bytes of each part for these counts; false when they do not fit in 64 bits. */
bool seg_part_sizes(const struct vseg *s, uint64_t id_bytes, uint64_t len[PART_COUNT]);
void seg_parts(const struct vseg *s, struct seg_range out[PART_COUNT]);
void seg_set_parts(struct vseg *s, char *base, const uint64_t off[PART_COUNT]);
void *seg_alloc(uint64_t n); /* aligned, huge pages when large */
static inline uint64_t seg_round(uint64_t n)
{
    return (n + SEG_ALIGN - 1) / SEG_ALIGN * SEG_ALIGN;
}
#endif
