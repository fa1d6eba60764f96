/* vector/segment.c: the segment in memory. Threads: immutable once shared. */
#include "vector/segment_priv.h"

#include <sys/mman.h>

#include "base/alloc.h"
#include "base/assert.h"

void *seg_alloc(uint64_t n)
{
    const size_t huge = 2u << 20;
    void *p;

    if (n < 4 * huge)
        return mem_align(64, n + 64);
    p = mem_align(huge, n);
    (void)madvise(p, n, MADV_HUGEPAGE); /* only speed depends on it */
    return p;
}

bool seg_part_sizes(const struct vseg *s, uint64_t id_bytes, uint64_t len[PART_COUNT])
{
    uint64_t n = s->rows.n, g = s->graph.n;

    if (id_bytes > (1ull << 48) || s->graph.m > 64)
        return false;
    len[PART_VEC] = n * s->rows.dims * sizeof(float);
    len[PART_NORM] = n * sizeof(float);
    len[PART_DOCNUM] = n * 8;
    len[PART_HASH] = n * 8;
    len[PART_ELEM] = n * 4;
    len[PART_IDOFF] = (n + 1) * 8;
    len[PART_IDS] = id_bytes;
    len[PART_LINKS0] = g * 2 * s->graph.m * 4;
    len[PART_UPPER_START] = g * 4;
    len[PART_UPPER] = (uint64_t)s->graph.nupper * s->graph.m * 4;
    return true;
}

void seg_parts(const struct vseg *s, struct seg_range out[PART_COUNT])
{
    const void *p[PART_COUNT] = {
        s->rows.vec,     s->rows.norm,         s->docnum,     s->hash, s->elem, s->idoff, s->ids,
        s->graph.links0, s->graph.upper_start, s->graph.upper};
    uint64_t len[PART_COUNT];

    ASSERT(seg_part_sizes(s, s->idoff[s->rows.n], len));
    for (int i = 0; i < PART_COUNT; i++)
        out[i] = (struct seg_range){p[i], len[i]};
}

void seg_set_parts(struct vseg *s, char *base, const uint64_t off[PART_COUNT])
{
    s->rows.vec = (const void *)(base + off[PART_VEC]);
    s->rows.norm = (const void *)(base + off[PART_NORM]);
    s->docnum = (const void *)(base + off[PART_DOCNUM]);
    s->hash = (const void *)(base + off[PART_HASH]);
    s->elem = (const void *)(base + off[PART_ELEM]);
    s->idoff = (const void *)(base + off[PART_IDOFF]);
    s->ids = base + off[PART_IDS];
    s->graph.links0 = (const void *)(base + off[PART_LINKS0]);
    s->graph.upper_start = (const void *)(base + off[PART_UPPER_START]);
    s->graph.upper = (const void *)(base + off[PART_UPPER]);
}

struct vseg *vseg_new(enum vmetric metric, uint32_t n, uint32_t dims, uint64_t id_bytes,
                      struct vseg_fill *fill)
{
    struct seg_box *b = mem_zalloc(sizeof(*b));
    struct vseg *s = &b->s;
    uint64_t len[PART_COUNT], off[PART_COUNT], at = 0;
    char *base;

    atomic_init(&b->refs, 1);
    s->metric = metric;
    s->rows.n = n;
    s->rows.dims = dims;
    ASSERT(seg_part_sizes(s, id_bytes, len));
    for (int i = 0; i < PART_COUNT; i++) {
        off[i] = at;
        at += seg_round(len[i]);
    }
    base = b->mem[0] = seg_alloc(at);
    s->bytes = at;
    seg_set_parts(s, base, off);
    s->graph = (struct vgraph){0};
    *fill = (struct vseg_fill){(void *)(base + off[PART_VEC]),  (void *)(base + off[PART_DOCNUM]),
                               (void *)(base + off[PART_HASH]), (void *)(base + off[PART_IDOFF]),
                               (void *)(base + off[PART_ELEM]), base + off[PART_IDS]};
    return s;
}

void vseg_finish(struct vseg *s)
{
    float *norm = (float *)(uintptr_t)s->rows.norm; /* our own, not shared yet */

    s->max_norm = 0;
    for (uint32_t i = 0; i < s->rows.n; i++) {
        norm[i] = vrow_norm(s->metric, s->rows.vec + (size_t)i * s->rows.dims, s->rows.dims);
        s->max_norm = norm[i] > s->max_norm ? norm[i] : s->max_norm;
    }
}

struct vseg *vseg_ref(struct vseg *s)
{
    struct seg_box *b = (struct seg_box *)s;

    atomic_fetch_add(&b->refs, 1);
    return s;
}

void vseg_release(struct vseg *s)
{
    struct seg_box *b = (struct seg_box *)s;

    if (s == NULL || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    for (int i = 0; i < SEG_MEMS; i++)
        mem_free(b->mem[i]);
    mem_free(b);
}

uint32_t vseg_find(const struct vseg *s, uint64_t docnum, uint32_t *first)
{
    uint32_t lo = 0, hi = s->rows.n, n = 0;

    if (hi == 0 || docnum > s->docnum[hi - 1])
        return 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (s->docnum[mid] < docnum)
            lo = mid + 1;
        else
            hi = mid;
    }
    *first = lo;
    while (lo + n < s->rows.n && s->docnum[lo + n] == docnum)
        n++;
    return n;
}

/* ---- calibration curve ---- */

double vcurve_recall(const struct vcurve *c, uint32_t ef)
{
    double best = 0;

    for (uint32_t i = 0; i < c->n && c->at[i].ef <= ef; i++)
        best = (double)c->at[i].recall > best ? (double)c->at[i].recall : best;
    return best;
}

uint32_t vcurve_ef(const struct vcurve *c, double target, uint32_t k)
{
    uint32_t ef = 512, i;

    for (i = 0; i < c->n; i++) {
        ef = c->at[i].ef;
        if ((double)c->at[i].recall >= target)
            break;
    }
    if (c->n > 0 && i == c->n)
        ef *= 2;                                  /* the data are harder than the curve goes */
    ef = ef < VCURVE_EF_MIN ? VCURVE_EF_MIN : ef; /* stored vectors are easier than real queries */
    /* Beyond ten answers the walk must hold them all, with the margin it had for ten. */
    return k <= 10 ? ef : k + k / 4 + ef;
}
