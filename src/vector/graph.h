/* vector/graph.h: search in a hierarchical graph (HNSW) that FAISS built and a segment file holds.
 *
 * Rows are 0..n-1. Level 0: links0[row * 2m ...], ended early by VGRAPH_NONE. A row on higher
 * levels has upper_start[row] != VGRAPH_NONE; its links on level l >= 1 are
 * upper[(upper_start + l-1) * m].
 * Rows that are dead are walked through but never answered, so the walk goes on until ef live rows
 * are known.
 * Threads: a graph is immutable; a context belongs to one search at a time.
 */
#ifndef VECTOR_GRAPH_H
#define VECTOR_GRAPH_H
#include <stdbool.h>

#include "vector/dist.h"

#define VGRAPH_NONE UINT32_MAX

struct vgraph {
    uint32_t n, m, entry, max_level; /* n == 0: no graph */
    const uint32_t *links0, *upper_start, *upper;
    uint32_t nupper; /* lists of m links in upper */
};
/* The rows of a segment: vectors and what vrow_norm gave for each. */
struct vrows {
    const float *vec;
    const float *norm;
    uint32_t n, dims;
};
struct vcand {
    float key;
    uint32_t row;
};
struct vctx; /* visited marks and heaps */
struct vctx *vctx_new(void);
void vctx_free(struct vctx *c); /* NULL is fine */

/* Every link within bounds: what a reader of a file asks before it trusts the graph. */
bool vgraph_valid(const struct vgraph *g);
struct vgraph_query {
    const struct vgraph *g;
    const struct vrows *rows;
    const struct vquery *q;
    const uint64_t *dead; /* bitmap or NULL */
    uint32_t ef;
};
/* Up to ef live rows, nearest first, in *out (the context's memory, until its next use). *scored
 * grows by the distances that were computed. */
uint32_t vgraph_search(const struct vgraph_query *gq, struct vctx *c, const struct vcand **out,
                       uint64_t *scored);

/* ---- bounded selection of the k smallest keys, used by scans too ---- */
struct vtop {
    struct vcand *heap; /* room for k; largest key first */
    uint32_t n, k;
};
void vtop_push(struct vtop *t, float key, uint32_t row);
static inline bool vtop_wants(const struct vtop *t, float key)
{
    return t->n < t->k || key < t->heap[0].key;
}
void vtop_sort(struct vtop *t); /* nearest first; the heap order is gone */
#endif
