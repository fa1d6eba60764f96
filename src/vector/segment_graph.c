/* vector/segment_graph.c: builds a segment's graph and measures its recall on stored vectors, so
 * that a query knows how hard it must look. Threads: the builder, before the segment is shared. */
#include <math.h>

#include "base/alloc.h"
#include "vector/faiss_shim.h"
#include "vector/segment_priv.h"

enum { SAMPLES_MAX = 200, SAMPLES_MIN = 50, TOP = 10 };
static const uint32_t efforts[VCURVE_POINTS] = {10, 16,  24,  32,  48,  64,
                                                96, 128, 192, 256, 384, 512};

struct sample {
    uint32_t row;
    struct vcand truth[TOP + 1]; /* the row itself may be among them */
    uint32_t n;
};

static const float *row_of(const struct vseg *s, uint32_t row)
{
    return s->rows.vec + (size_t)row * s->rows.dims;
}

static void exact_top(const struct vseg *s, const struct vquery *q, struct sample *out)
{
    struct vtop t = {out->truth, 0, TOP};
    const struct vrows *r = &s->rows;

    for (uint32_t i = 0; i < r->n; i += 4) {
        uint32_t n = r->n - i < 4 ? r->n - i : 4;
        const float *x[4];
        float norm[4], key[4];

        for (uint32_t j = 0; j < 4; j++) {
            uint32_t row = i + (j < n ? j : 0);
            x[j] = row_of(s, row);
            norm[j] = r->norm[row];
        }
        vkey4(q, x, norm, key);
        for (uint32_t j = 0; j < n; j++)
            if (i + j != out->row)
                vtop_push(&t, key[j], i + j);
    }
    vtop_sort(&t);
    out->n = t.n;
}

/* Share of the true ten that a search of this effort finds; equally near ones count. */
static double recall_one(const struct vseg *s, const struct vquery *q, const struct sample *sm,
                         uint32_t ef, struct vctx *ctx)
{
    struct vgraph_query gq = {&s->graph, &s->rows, q, NULL, ef < TOP + 1 ? TOP + 1 : ef};
    const struct vcand *got;
    uint64_t scored = 0;
    uint32_t n = vgraph_search(&gq, ctx, &got, &scored), hits = 0, taken = 0;
    float worst = sm->truth[sm->n - 1].key;

    worst += fabsf(worst) * 1e-6f;
    for (uint32_t i = 0; i < n && taken < sm->n; i++) {
        if (got[i].row == sm->row)
            continue;
        taken++;
        hits += got[i].key <= worst;
    }
    return (double)hits / sm->n;
}

struct calib {
    struct vquery q;
    float *k;
    struct vctx *ctx;
    struct sample *sm;
    uint32_t n;
};

static double recall_all(struct vseg *s, struct calib *c, uint32_t ef)
{
    double sum = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        vquery_init(&c->q, s->metric, s->rows.dims, row_of(s, c->sm[i].row), c->k);
        sum += recall_one(s, &c->q, &c->sm[i], ef, c->ctx);
    }
    return sum / c->n;
}

static bool calibrate(struct vseg *s, const struct vseg_graph_opts *o)
{
    double budget = 4e10 / ((double)s->rows.n * s->rows.dims);
    struct calib c = {.ctx = vctx_new()};
    bool go = true;

    c.n = budget > SAMPLES_MAX ? SAMPLES_MAX
                               : (budget < SAMPLES_MIN ? SAMPLES_MIN : (uint32_t)budget);
    c.n = c.n > s->rows.n ? s->rows.n : c.n;
    c.k = mem_array(s->rows.dims, sizeof(float));
    c.sm = mem_zalloc(c.n * sizeof(struct sample));
    for (uint32_t i = 0; i < c.n && go; i++) {
        c.sm[i].row = (uint32_t)(((uint64_t)i * 2 + 1) * s->rows.n / (2ull * c.n));
        vquery_init(&c.q, s->metric, s->rows.dims, row_of(s, c.sm[i].row), c.k);
        exact_top(s, &c.q, &c.sm[i]);
        go = o->go_on == NULL || o->go_on(o->arg, 0.9 + 0.1 * i / c.n);
    }
    s->curve.sampled = c.n;
    s->curve.n = 0;
    for (uint32_t i = 0; i < VCURVE_POINTS && go; i++) {
        double r = recall_all(s, &c, efforts[i]);
        s->curve.at[s->curve.n].ef = efforts[i];
        s->curve.at[s->curve.n++].recall = (float)r;
        if (r >= 0.9995)
            break;
        go = o->go_on == NULL || o->go_on(o->arg, 0.99);
    }
    mem_free(c.k);
    mem_free(c.sm);
    vctx_free(c.ctx);
    return go;
}

struct scaled_progress {
    const struct vseg_graph_opts *o;
};

static bool go_on_scaled(void *arg, double done)
{
    const struct scaled_progress *p = arg;

    return p->o->go_on == NULL || p->o->go_on(p->o->arg, 0.9 * done);
}

enum status vseg_build_graph(struct vseg *s, const struct vseg_graph_opts *o, struct err *e)
{
    struct seg_box *b = (struct seg_box *)s;
    struct scaled_progress p = {o};
    struct faiss_build fb = {.rows = s->rows.vec,
                             .scale = s->metric == VMETRIC_COSINE ? s->rows.norm : NULL,
                             .n = s->rows.n,
                             .dims = s->rows.dims,
                             .m = o->m,
                             .efc = o->efc,
                             .inner_product = s->metric == VMETRIC_DOT,
                             .threads = o->threads,
                             .go_on = go_on_scaled,
                             .arg = &p};
    struct faiss_graph g;
    char why[200] = "";
    enum faiss_rc rc;

    if (s->rows.n < 2)
        return ST_OK;
    rc = faiss_graph_build(&fb, &g, why, sizeof(why));
    if (rc == FAISS_RC_CANCELLED)
        return err_set(e, ST_UNAVAILABLE, "graph build cancelled");
    if (rc != FAISS_RC_OK)
        return err_set(e, ST_INTERNAL, "FAISS: %s", why);
    b->mem[1] = g.links0;
    b->mem[2] = g.upper_start;
    b->mem[3] = g.upper;
    s->graph = (struct vgraph){s->rows.n, g.m,           g.entry, g.max_level,
                               g.links0,  g.upper_start, g.upper, g.nupper};
    s->efc = o->efc;
    s->bytes += (uint64_t)s->rows.n * (2 * g.m + 1) * 4 + (uint64_t)g.nupper * g.m * 4;
    if (!calibrate(s, o)) {
        s->graph = (struct vgraph){0};
        return err_set(e, ST_UNAVAILABLE, "graph build cancelled");
    }
    return ST_OK;
}
