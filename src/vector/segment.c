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

const uint32_t vwide_k[VWIDE_KS] = {100, 300, 1000};
const float vwide_mul[VWIDE_POINTS] = {1.25f, 2, 3, 4, 6, 8, 12};

double vcurve_recall(const struct vcurve *c, uint32_t ef)
{
    double best = 0;

    for (uint32_t i = 0; i < c->n && c->at[i].ef <= ef; i++)
        best = (double)c->at[i].recall > best ? (double)c->at[i].recall : best;
    return best;
}

/* For ten answers. */
static uint32_t narrow_ef(const struct vcurve *c, double target)
{
    uint32_t ef = 512, i;

    for (i = 0; i < c->n; i++) {
        ef = c->at[i].ef;
        if ((double)c->at[i].recall >= target)
            break;
    }
    if (c->n > 0 && i == c->n) { /* the data are harder than the curve goes */
        if (c->strict)
            return VCURVE_SCAN;
        ef *= 2;
    }
    /* Stored vectors are easier than real queries. */
    return ef < VCURVE_EF_MIN ? VCURVE_EF_MIN : ef;
}

static uint32_t wide_ef(const struct vcurve *c, double target, uint32_t ki)
{
    uint32_t i = 0;

    while (i < VWIDE_POINTS && c->wide[ki][i] != 0 && (double)c->wide[ki][i] < target)
        i++;
    if (i < VWIDE_POINTS)
        return c->wide[ki][i] != 0 ? vwide_ef(ki, i) : VCURVE_SCAN;
    return c->strict ? VCURVE_SCAN : vwide_ef(ki, VWIDE_POINTS - 1);
}

uint32_t vcurve_ef(const struct vcurve *c, double target, uint32_t k)
{
    uint32_t ef10 = narrow_ef(c, target), low = ef10, low_k = 10, high, high_k, ki = 0;
    uint64_t ef, least = (uint64_t)k + k / 4 + ef10;

    if (k <= 10 || ef10 == VCURVE_SCAN)
        return ef10;
    while (ki + 1 < VWIDE_KS && vwide_k[ki] < k)
        ki++;
    if (ki > 0) {
        low_k = vwide_k[ki - 1];
        low = wide_ef(c, target, ki - 1);
    }
    high_k = vwide_k[ki];
    high = wide_ef(c, target, ki);
    if (high == VCURVE_SCAN || low == VCURVE_SCAN)
        return VCURVE_SCAN;
    if (k >= high_k)
        ef = (uint64_t)high * k / high_k;
    else if (high > low)
        ef = low + (uint64_t)(high - low) * (k - low_k) / (high_k - low_k);
    else
        ef = low;
    ef = ef > least ? ef : least; /* the walk must hold them all, with a margin */
    return ef < VCURVE_SCAN ? (uint32_t)ef : VCURVE_SCAN;
}

static double wide_recall(const struct vcurve *c, uint32_t ki, double mul)
{
    double r = 0;

    for (uint32_t i = 0; i < VWIDE_POINTS && (double)vwide_mul[i] <= mul; i++)
        r = (double)c->wide[ki][i] > r ? (double)c->wide[ki][i] : r;
    return r;
}

double vcurve_expect(const struct vcurve *c, uint32_t k, uint32_t ef)
{
    double mul = (double)ef / (k > 0 ? k : 1), low = vcurve_recall(c, ef), high;
    uint32_t ki = 0;

    if (k <= 10)
        return low;
    while (ki + 1 < VWIDE_KS && vwide_k[ki] < k)
        ki++;
    if (ki > 0)
        low = wide_recall(c, ki - 1, mul);
    high = wide_recall(c, ki, mul);
    return low < high ? low : high;
}
