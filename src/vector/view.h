/* vector/view.h: what a query sees: an immutable set of parts (segments and memtables), each with
 * the bitmap of its dead rows. Counted; a query pins one and nothing it looks at changes.
 * Threads: immutable once published; references are atomic.
 */
#ifndef VECTOR_VIEW_H
#define VECTOR_VIEW_H
#include <stdatomic.h>

#include "vector/memtable.h"
#include "vector/segment.h"

struct vbits {
    atomic_uint refs;
    uint32_t nbits, nset;
    uint64_t w[];
};
struct vbits *vbits_new(uint32_t nbits);
struct vbits *vbits_copy(const struct vbits *b); /* a private one */
struct vbits *vbits_ref(struct vbits *b);        /* NULL is fine */
void vbits_release(struct vbits *b);             /* NULL is fine */
bool vbits_set(struct vbits *b, uint32_t i);     /* true: it was clear */
static inline bool vbits_get(const struct vbits *b, uint32_t i)
{
    return b != NULL && ((b->w[i >> 6] >> (i & 63)) & 1) != 0;
}

/* One part: a segment or a memtable. n rows count. dead NULL: none is. */
struct vpart {
    struct vseg *seg;
    struct vmem *mem;
    uint32_t n;
    struct vbits *dead;
};
static inline uint32_t vpart_live(const struct vpart *p)
{
    return p->n - (p->dead != NULL ? p->dead->nset : 0);
}
/* One row, borrowed from the part. */
struct vrow {
    const float *vec;
    uint64_t docnum, hash;
    uint32_t elem;
    float norm;
    struct slice id;
};
void vpart_row(const struct vpart *p, uint32_t row, struct vrow *out);
/* Live rows of a document in this part: first and count (they stand together); 0 when none. */
uint32_t vpart_find(const struct vpart *p, uint64_t docnum, uint32_t *first);

struct vview {
    atomic_uint refs;
    uint64_t seq;    /* of the database: everything up to here is in */
    uint64_t live;   /* rows */
    uint32_t nparts; /* segments first, then memtables, oldest first */
    struct vpart part[];
};
/* References every part's pieces. */
struct vview *vview_new(uint64_t seq, const struct vpart *parts, uint32_t n);
struct vview *vview_ref(struct vview *v);
void vview_release(struct vview *v); /* NULL is fine */

#endif
