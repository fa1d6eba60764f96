/* vector/search.c: candidates from every part, exact scores, one hit per document.
 * Threads: any; works on a pinned view. */
#include "vector/search.h"

#include <stdlib.h>

#include "base/alloc.h"

struct pick { /* a candidate row */
    float key;
    uint32_t part, row;
};
struct picks {
    struct pick *p;
    size_t n, cap;
};

int vhit_cmp(const void *x, const void *y)
{
    const struct vhit *a = x, *b = y;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->docnum != b->docnum)
        return slice_cmp(a->id, b->id);
    return (a->elem > b->elem) - (a->elem < b->elem);
}

static int pick_cmp(const void *x, const void *y)
{
    const struct pick *a = x, *b = y;

    return (a->key > b->key) - (a->key < b->key);
}

static int hit_cmp_doc(const void *x, const void *y)
{
    const struct vhit *a = x, *b = y;

    if (a->docnum != b->docnum)
        return a->docnum < b->docnum ? -1 : 1;
    return vhit_cmp(x, y);
}

static void picks_add(struct picks *l, const struct vcand *c, uint32_t n, uint32_t part)
{
    if (l->n + n > l->cap) {
        l->cap = (l->n + n) * 2;
        l->p = mem_realloc(l->p, l->cap * sizeof(l->p[0]));
    }
    for (uint32_t i = 0; i < n; i++)
        l->p[l->n++] = (struct pick){c[i].key, part, c[i].row};
}

/* ---- scans ---- */

struct block {
    const float *vec, *norm;
    uint32_t n, first; /* rows here; number of the first */
};

static void scan_block(const struct vquery *q, const struct block *b, const struct vbits *dead,
                       struct vtop *t)
{
    for (uint32_t i = 0; i < b->n; i += 4) {
        uint32_t n = b->n - i < 4 ? b->n - i : 4;
        const float *x[4];
        float norm[4], key[4];

        for (uint32_t j = 0; j < 4; j++) {
            uint32_t at = i + (j < n ? j : 0);
            x[j] = b->vec + (size_t)at * q->dims;
            norm[j] = b->norm[at];
        }
        vkey4(q, x, norm, key);
        for (uint32_t j = 0; j < n; j++)
            if (vtop_wants(t, key[j]) && !vbits_get(dead, b->first + i + j))
                vtop_push(t, key[j], b->first + i + j);
    }
}

static void scan_part(const struct vquery *q, const struct vpart *p, struct vtop *t)
{
    if (p->seg != NULL) {
        struct block b = {p->seg->rows.vec, p->seg->rows.norm, p->n, 0};
        scan_block(q, &b, p->dead, t);
        return;
    }
    for (uint32_t at = 0; at < p->n; at += VMEM_CHUNK) {
        const struct vchunk *c = vmem_chunk(p->mem, at);
        uint32_t n = p->n - at < VMEM_CHUNK ? p->n - at : VMEM_CHUNK;
        struct block b = {c->vec, c->norm, n, at};
        scan_block(q, &b, p->dead, t);
    }
}

static void collect_scan(struct vsearch *s, uint32_t part, uint32_t want, struct picks *l)
{
    const struct vpart *p = &s->view->part[part];
    struct vtop t = {NULL, 0, want < p->n ? want : p->n};

    t.heap = mem_array((size_t)t.k + 1, sizeof(t.heap[0]));
    scan_part(s->q, p, &t);
    s->scored += p->n;
    picks_add(l, t.heap, t.n, part);
    mem_free(t.heap);
}

bool vsearch_graph(const struct vsearch *s, const struct vpart *p, uint32_t want, uint32_t *ef)
{
    /* Widening: several rows of one document. */
    uint32_t k = want > s->k + s->k / 4 + 64 ? want : s->k;

    if (s->exact || p->seg == NULL || p->seg->graph.n == 0)
        return false;
    *ef = s->effort != 0 ? s->effort : vcurve_ef(&p->seg->curve, s->target, k);
    *ef = *ef < want ? want : *ef;
    return vgraph_pays(*ef, p->n);
}

static void collect(struct vsearch *s, uint32_t want, struct picks *l)
{
    l->n = 0;
    s->used_graph = false;
    for (uint32_t i = 0; i < s->view->nparts; i++) {
        const struct vpart *p = &s->view->part[i];
        uint32_t ef;

        if (vpart_live(p) == 0)
            continue;
        if (vsearch_graph(s, p, want, &ef)) {
            struct vgraph_query gq = {&p->seg->graph, &p->seg->rows, s->q,
                                      p->dead != NULL ? p->dead->w : NULL, ef};
            const struct vcand *c;
            uint32_t n = vgraph_search(&gq, s->ctx, &c, &s->scored);

            picks_add(l, c, n < want ? n : want, i);
            s->used_graph = true;
            s->ef_used = ef > s->ef_used ? ef : s->ef_used;
        } else {
            collect_scan(s, i, want, l);
        }
    }
    if (l->n > 1)
        qsort(l->p, l->n, sizeof(l->p[0]), pick_cmp);
    l->n = l->n < want ? l->n : want;
}

/* ---- exact scores ---- */

static void score_row(const struct vsearch *s, uint32_t part, uint32_t row, struct vhit *out)
{
    struct vrow r;

    vpart_row(&s->view->part[part], row, &r);
    *out = (struct vhit){vkey_exact(s->q, r.vec), r.docnum, r.id, r.elem, part, row};
}

/* Keeps the nearest row of each document, then puts the documents in order. */
static uint32_t by_document(struct vhit *h, size_t n)
{
    uint32_t docs = 0;

    if (n > 1)
        qsort(h, n, sizeof(h[0]), hit_cmp_doc);
    for (size_t i = 0; i < n; i++)
        if (docs == 0 || h[docs - 1].docnum != h[i].docnum)
            h[docs++] = h[i];
    if (docs > 1)
        qsort(h, docs, sizeof(h[0]), vhit_cmp);
    return docs;
}

static float max_norm(const struct vview *v)
{
    float max = 0;

    for (uint32_t i = 0; i < v->nparts; i++) {
        const struct vpart *p = &v->part[i];
        if (p->seg != NULL) {
            max = p->seg->max_norm > max ? p->seg->max_norm : max;
            continue;
        }
        for (uint32_t r = 0; r < p->n; r++) {
            float norm = vmem_chunk(p->mem, r)->norm[r % VMEM_CHUNK];
            max = norm > max ? norm : max;
        }
    }
    return max;
}

/* Can a row outside, whose float key is at least `edge`, be as near as `last`? */
static bool certain(const struct vsearch *s, double last, float edge)
{
    float norm = s->q->metric == VMETRIC_DOT ? max_norm(s->view) : 1;

    return last < (double)edge - vkey_error(s->q, (double)edge, norm);
}

uint32_t vsearch_run(struct vsearch *s, struct vhit **out)
{
    uint64_t live = s->view->live;
    uint64_t want = vsearch_want(s->k);
    struct picks l = {0};
    struct vhit *h = NULL;
    uint32_t docs = 0;

    *out = NULL;
    if (s->k == 0 || live == 0)
        return 0;
    for (;;) {
        bool all;

        want = want < live ? want : live;
        collect(s, (uint32_t)want, &l);
        h = mem_realloc(h, (l.n + 1) * sizeof(h[0]));
        for (size_t i = 0; i < l.n; i++)
            score_row(s, l.p[i].part, l.p[i].row, &h[i]);
        docs = by_document(h, l.n);
        all = want >= live;
        if (all && (!s->used_graph || l.n >= live))
            break;
        if (docs >= s->k && (s->used_graph || certain(s, h[s->k - 1].key, l.p[l.n - 1].key)))
            break;
        if (all) { /* a graph did not reach every row: look at all of them */
            s->exact = true;
            continue;
        }
        want *= docs < s->k ? 2 : 4;
    }
    docs = docs < s->k ? docs : s->k;
    *out = arena_array(s->arena, docs + 1u, sizeof(h[0]));
    memcpy(*out, h, docs * sizeof(h[0]));
    mem_free(h);
    mem_free(l.p);
    return docs;
}
