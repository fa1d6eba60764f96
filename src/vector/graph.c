/* vector/graph.c: the search loop: visited marks by epoch, two binary heaps, four distances at a
 * time, prefetching. Threads: any, each with its own context. */
#include "vector/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"

struct vctx {
    uint16_t *mark; /* mark[row] == epoch: seen in this search */
    uint32_t nmark;
    uint16_t epoch;
    struct vcand *cand; /* min heap */
    uint32_t ncand, cap_cand;
    struct vcand *res; /* max heap */
    uint32_t cap_res;
    uint32_t batch[2 * LIMIT_GRAPH_M_MAX]; /* unseen neighbours of one row */
};

struct vctx *vctx_new(void)
{
    return mem_zalloc(sizeof(struct vctx));
}

void vctx_free(struct vctx *c)
{
    if (c == NULL)
        return;
    mem_free(c->mark);
    mem_free(c->cand);
    mem_free(c->res);
    mem_free(c);
}

static void ctx_begin(struct vctx *c, uint32_t n, uint32_t ef)
{
    if (c->nmark < n) {
        mem_free(c->mark);
        c->mark = mem_zalloc((size_t)n * sizeof(c->mark[0]));
        c->nmark = n;
        c->epoch = 0;
    }
    if (++c->epoch == 0) {
        memset(c->mark, 0, (size_t)c->nmark * sizeof(c->mark[0]));
        c->epoch = 1;
    }
    if (c->cap_res < ef) {
        mem_free(c->res);
        c->res = mem_array(ef, sizeof(c->res[0]));
        c->cap_res = ef;
    }
    c->ncand = 0;
}

/* ---- heaps ---- */

static void cand_push(struct vctx *c, float key, uint32_t row)
{
    uint32_t i = c->ncand++;

    if (c->ncand > c->cap_cand) {
        c->cap_cand = c->cap_cand < 256 ? 512 : c->cap_cand * 2;
        c->cand = mem_realloc(c->cand, (size_t)c->cap_cand * sizeof(c->cand[0]));
    }
    while (i > 0 && key < c->cand[(i - 1) / 2].key) {
        c->cand[i] = c->cand[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    c->cand[i] = (struct vcand){key, row};
}

static struct vcand cand_pop(struct vctx *c)
{
    struct vcand top = c->cand[0], last = c->cand[--c->ncand];
    uint32_t i = 0, kid;

    while ((kid = 2 * i + 1) < c->ncand) {
        if (kid + 1 < c->ncand && c->cand[kid + 1].key < c->cand[kid].key)
            kid++;
        if (last.key <= c->cand[kid].key)
            break;
        c->cand[i] = c->cand[kid];
        i = kid;
    }
    c->cand[i] = last;
    return top;
}

static void top_sift(struct vtop *t, struct vcand v)
{
    uint32_t i = 0, kid;

    while ((kid = 2 * i + 1) < t->n) {
        if (kid + 1 < t->n && t->heap[kid + 1].key > t->heap[kid].key)
            kid++;
        if (v.key >= t->heap[kid].key)
            break;
        t->heap[i] = t->heap[kid];
        i = kid;
    }
    t->heap[i] = v;
}

void vtop_push(struct vtop *t, float key, uint32_t row)
{
    uint32_t i;

    if (t->k == 0)
        return;
    if (t->n == t->k) {
        if (key < t->heap[0].key)
            top_sift(t, (struct vcand){key, row});
        return;
    }
    i = t->n++;
    while (i > 0 && key > t->heap[(i - 1) / 2].key) {
        t->heap[i] = t->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    t->heap[i] = (struct vcand){key, row};
}

static int by_key(const void *x, const void *y)
{
    const struct vcand *a = x, *b = y;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

void vtop_sort(struct vtop *t)
{
    if (t->n > 1)
        qsort(t->heap, t->n, sizeof(t->heap[0]), by_key);
}

/* ---- the walk ---- */

static inline const float *row_vec(const struct vrows *r, uint32_t row)
{
    return r->vec + (size_t)row * r->dims;
}

static float row_key(const struct vgraph_query *gq, uint32_t row)
{
    return vkey(gq->q, row_vec(gq->rows, row), gq->rows->norm[row]);
}

/* To the nearest neighbour on this level; false when none is nearer. */
static bool step(const struct vgraph_query *gq, uint32_t level, struct vcand *best,
                 uint64_t *scored)
{
    const struct vgraph *g = gq->g;
    uint32_t row = best->row;
    const uint32_t *link;

    if (g->upper_start[row] == VGRAPH_NONE)
        return false;
    link = g->upper + ((size_t)g->upper_start[row] + level - 1) * g->m;
    for (uint32_t i = 0; i < g->m && link[i] != VGRAPH_NONE; i++) {
        float key = row_key(gq, link[i]);

        *scored += 1;
        if (key < best->key)
            *best = (struct vcand){key, link[i]};
    }
    return best->row != row;
}

/* From the entry down to level 1: always to the nearest neighbour, until none is nearer. */
static struct vcand descend(const struct vgraph_query *gq, uint64_t *scored)
{
    const struct vgraph *g = gq->g;
    struct vcand best = {row_key(gq, g->entry), g->entry};

    *scored += 1;
    for (uint32_t level = g->max_level; level > 0; level--)
        while (step(gq, level, &best, scored))
            ;
    return best;
}

static inline bool is_dead(const uint64_t *dead, uint32_t row)
{
    return dead != NULL && ((dead[row >> 6] >> (row & 63)) & 1) != 0;
}

static inline void offer(const struct vgraph_query *gq, struct vctx *c, struct vtop *t,
                         struct vcand v)
{
    if (!vtop_wants(t, v.key))
        return;
    cand_push(c, v.key, v.row);
    __builtin_prefetch(gq->g->links0 + (size_t)v.row * 2 * gq->g->m);
    if (!is_dead(gq->dead, v.row))
        vtop_push(t, v.key, v.row);
}

static uint32_t gather(const struct vgraph_query *gq, struct vctx *c, uint32_t row)
{
    const struct vgraph *g = gq->g;
    const uint32_t *link = g->links0 + (size_t)row * 2 * g->m;
    uint32_t n = 0;

    for (uint32_t i = 0; i < 2 * g->m && link[i] != VGRAPH_NONE; i++) {
        if (c->mark[link[i]] == c->epoch)
            continue;
        c->mark[link[i]] = c->epoch;
        c->batch[n++] = link[i];
        if (n <= 8) {
            const char *p = (const char *)row_vec(gq->rows, link[i]);
            __builtin_prefetch(p);
            __builtin_prefetch(p + 64);
            __builtin_prefetch(p + 128);
        }
    }
    return n;
}

static uint32_t expand(const struct vgraph_query *gq, struct vctx *c, struct vtop *t, uint32_t row)
{
    const struct vrows *r = gq->rows;
    uint32_t n = gather(gq, c, row), i = 0;

    for (; i + 4 <= n; i += 4) {
        const uint32_t *b = c->batch + i;
        const float *const x[4] = {row_vec(r, b[0]), row_vec(r, b[1]), row_vec(r, b[2]),
                                   row_vec(r, b[3])};
        const float norm[4] = {r->norm[b[0]], r->norm[b[1]], r->norm[b[2]], r->norm[b[3]]};
        float key[4];

        for (uint32_t j = i + 4; j < i + 8 && j < n; j++) {
            const char *p = (const char *)row_vec(r, c->batch[j]);
            __builtin_prefetch(p + 192);
            __builtin_prefetch(p + 256);
        }
        vkey4(gq->q, x, norm, key);
        for (uint32_t j = 0; j < 4; j++)
            offer(gq, c, t, (struct vcand){key[j], b[j]});
    }
    for (; i < n; i++)
        offer(gq, c, t, (struct vcand){row_key(gq, c->batch[i]), c->batch[i]});
    return n;
}

uint32_t vgraph_search(const struct vgraph_query *gq, struct vctx *c, const struct vcand **out,
                       uint64_t *scored)
{
    struct vtop t = {NULL, 0, gq->ef};
    struct vcand start;

    ctx_begin(c, gq->g->n, gq->ef);
    t.heap = c->res;
    *out = c->res;
    if (gq->g->n == 0 || gq->ef == 0)
        return 0;
    start = descend(gq, scored);
    c->mark[start.row] = c->epoch;
    offer(gq, c, &t, start);
    while (c->ncand > 0) {
        struct vcand v = cand_pop(c);

        if (t.n == t.k && v.key > t.heap[0].key)
            break;
        *scored += expand(gq, c, &t, v.row);
    }
    vtop_sort(&t);
    return t.n;
}

/* levels[row]: how many upper lists the row has. Lists lie in row order without gaps. */
static bool count_levels(const struct vgraph *g, uint8_t *levels)
{
    uint32_t next = g->nupper;

    for (uint32_t i = g->n; i-- > 0;) {
        uint32_t start = g->upper_start[i];
        levels[i] = 0;
        if (start == VGRAPH_NONE)
            continue;
        if (start >= next || next - start > 32)
            return false;
        levels[i] = (uint8_t)(next - start);
        next = start;
    }
    return next == 0 && levels[g->entry] >= g->max_level;
}

static bool upper_valid(const struct vgraph *g, const uint8_t *levels)
{
    for (uint32_t row = 0; row < g->n; row++) {
        for (uint32_t l = 0; l < levels[row]; l++) {
            const uint32_t *link = g->upper + ((size_t)g->upper_start[row] + l) * g->m;
            for (uint32_t i = 0; i < g->m; i++)
                if (link[i] != VGRAPH_NONE && (link[i] >= g->n || levels[link[i]] <= l))
                    return false;
        }
    }
    return true;
}

bool vgraph_valid(const struct vgraph *g)
{
    size_t n0 = (size_t)g->n * 2 * g->m;
    uint8_t *levels;
    bool ok;

    if (g->n == 0)
        return true;
    if (g->entry >= g->n || g->max_level > 32 || g->m == 0 || g->m > LIMIT_GRAPH_M_MAX)
        return false;
    for (size_t i = 0; i < n0; i++)
        if (g->links0[i] != VGRAPH_NONE && g->links0[i] >= g->n)
            return false;
    levels = mem_alloc(g->n);
    ok = count_levels(g, levels) && upper_valid(g, levels);
    mem_free(levels);
    return ok;
}
