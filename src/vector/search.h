/* vector/search.h: the nearest documents of a view.
 *
 * Candidates come from graphs (approximate) and scans (exact) by their float keys; every row that
 * may be answered is then scored again in double, in one fixed order. A search that scanned every
 * part is certified: no row that was left out can be as near as the last one answered.
 * Order: key ascending (score descending), ties by id, then by elem.
 * Threads: any; a vctx belongs to one search.
 */
#ifndef VECTOR_SEARCH_H
#define VECTOR_SEARCH_H
#include "base/arena.h"
#include "vector/view.h"

struct vsearch {
    const struct vview *view;
    const struct vquery *q;
    uint32_t k;      /* documents */
    uint32_t effort; /* 0: by the segments' calibration */
    double target;   /* recall to aim at */
    bool exact;
    struct vctx *ctx;
    struct arena *arena;
    /* out */
    uint64_t scored;
    bool used_graph; /* false: complete */
    uint32_t ef_used;
};
struct vhit { /* a document by its nearest row; id is borrowed from the view */
    double key;
    uint64_t docnum;
    struct slice id;
    uint32_t elem, part, row;
};
/* Up to k documents, nearest first; arena. */
uint32_t vsearch_run(struct vsearch *s, struct vhit **out);
/* Candidates for k documents, at first. */
static inline uint64_t vsearch_want(uint32_t k)
{
    return (uint64_t)k + (k / 8 > 16 ? k / 8 : 16);
}
/* Is this part's graph walked for so many candidates, and how wide? Else its rows are scanned. */
bool vsearch_graph(const struct vsearch *s, const struct vpart *p, uint32_t want, uint32_t *ef);
int vhit_cmp(const void *x, const void *y);
#endif
