/* vector/memtable.h: vectors that are in no segment file yet: append-only rows in chunks.
 *
 * Rows of one document version are appended together and stand next to each other. A row is written
 * once, by the one writer, before a view that counts it is published; readers look at no row beyond
 * their view's count. Which rows are dead is the view's business.
 * Threads: append, find: the writer (holder of the database's write token); accessors: any.
 */
#ifndef VECTOR_MEMTABLE_H
#define VECTOR_MEMTABLE_H
#include "base/arena.h"
#include "vector/dist.h"

enum { VMEM_CHUNK = 256 };
struct vchunk {
    uint64_t docnum[VMEM_CHUNK], hash[VMEM_CHUNK];
    struct slice id[VMEM_CHUNK];
    uint32_t elem[VMEM_CHUNK];
    float norm[VMEM_CHUNK];
    float *vec;
};
struct vmem;
/* Room for the default number of rows of this many dims, and for at least `want`. */
struct vmem *vmem_new(enum vmetric metric, uint32_t dims, uint32_t want);
struct vmem *vmem_ref(struct vmem *m);
void vmem_release(struct vmem *m); /* NULL is fine */
uint32_t vmem_dims(const struct vmem *m);
uint32_t vmem_cap(const struct vmem *m);
uint32_t vmem_rows(const struct vmem *m); /* the writer's count */
uint64_t vmem_bytes(const struct vmem *m);

struct vdoc_rows {
    uint64_t docnum;
    struct slice id;
    uint32_t n;           /* vectors of this document */
    const float *vec;     /* n * dims */
    const uint32_t *elem; /* n: place in the array; 0 for a plain field */
    const uint64_t *hash; /* n: hash64 of each vector's bytes */
};
/* The caller made sure that n rows fit. */
void vmem_append(struct vmem *m, const struct vdoc_rows *d);
/* First row of the document's newest version; false when it was never here. */
bool vmem_find(const struct vmem *m, uint64_t docnum, uint32_t *first, uint32_t *n);
const struct vchunk *vmem_chunk(const struct vmem *m, uint32_t row); /* the one that holds row */
#endif
