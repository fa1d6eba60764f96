/* vector/segment_graph.c: builds a segment's graph and measures its recall on stored vectors, so
 * that a query knows how hard it must look. Threads: the builder, before the segment is shared. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "vector/faiss_shim.h"
#include "vector/segment_priv.h"

enum { SAMPLES_MAX = 200, SAMPLES_MIN = 50, WIDE_SAMPLES = 50, EDGES = 1 + VWIDE_KS, TOP = 1000 };
#define GOOD_ENOUGH 0.9995
#define GOOD_WIDE   0.995
static const uint32_t efforts[VCURVE_POINTS] = {10, 16,  24,  32,  48,  64,
                                                96, 128, 192, 256, 384, 512};

struct sample {
    uint32_t row;
    float edge[EDGES]; /* key of the last of the true k */
};
struct calib {
    struct vseg *s;
    const struct vseg_graph_opts *o;
    struct vquery q;
    float *v, *k;
    struct vctx *ctx;
    struct sample *sm;
    struct vcand *top;
    uint32_t n;
};

/* How many answers edge i is about; the row itself is not among them. */
static uint32_t edge_k(const struct vseg *s, uint32_t i)
{
    uint32_t k = i == 0 ? 10 : vwide_k[i - 1];

    return k < s->rows.n ? k : s->rows.n - 1;
}

static const float *row_of(const struct vseg *s, uint32_t row)
{
    return s->rows.vec + (size_t)row * s->rows.dims;
}

/* Stored vectors ask. With products every second one is moved by half its length in a random
 * direction: a stored vector alone would always find the same long rows. */
static void make_query(struct calib *c, uint32_t i)
{
    const struct vseg *s = c->s;
    uint32_t dims = s->rows.dims;
    uint64_t seed = (uint64_t)i * 0x9E3779B97F4A7C15u + 1;
    float len = s->rows.norm[c->sm[i].row];
    float noise = s->metric == VMETRIC_DOT && i % 2 == 1 ? 0.866f * len / sqrtf((float)dims) : 0;

    memcpy(c->v, row_of(s, c->sm[i].row), dims * sizeof(float));
    for (uint32_t d = 0; d < dims && noise > 0; d++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        c->v[d] += noise * ((float)(seed >> 40) / 8388608.0f - 1);
    }
    vquery_init(&c->q, s->metric, dims, c->v, c->k);
}

static void exact_edges(struct calib *c, struct sample *out)
{
    const struct vseg *s = c->s;
    const struct vrows *r = &s->rows;
    struct vtop t = {c->top, 0, edge_k(s, EDGES - 1)};

    for (uint32_t i = 0; i < r->n; i += 4) {
        uint32_t n = r->n - i < 4 ? r->n - i : 4;
        const float *x[4];
        float norm[4], key[4];

        for (uint32_t j = 0; j < 4; j++) {
            uint32_t row = i + (j < n ? j : 0);
            x[j] = row_of(s, row);
            norm[j] = r->norm[row];
        }
        vkey4(&c->q, x, norm, key);
        for (uint32_t j = 0; j < n; j++)
            if (i + j != out->row)
                vtop_push(&t, key[j], i + j);
    }
    vtop_sort(&t);
    for (uint32_t i = 0; i < EDGES; i++)
        out->edge[i] = c->top[edge_k(s, i) - 1].key;
}

/* Share of the true k that a search of this effort finds; equally near ones count. */
static double recall_one(struct calib *c, const struct sample *sm, uint32_t edge, uint32_t ef)
{
    uint32_t k = edge_k(c->s, edge);
    struct vgraph_query gq = {&c->s->graph, &c->s->rows, &c->q, NULL, ef < k + 1 ? k + 1 : ef};
    const struct vcand *got;
    uint64_t scored = 0;
    uint32_t n = vgraph_search(&gq, c->ctx, &got, &scored), hits = 0, taken = 0;
    float worst = sm->edge[edge];

    worst += fabsf(worst) * 1e-6f;
    for (uint32_t i = 0; i < n && taken < k; i++) {
        if (got[i].row == sm->row)
            continue;
        taken++;
        hits += got[i].key <= worst;
    }
    return (double)hits / k;
}

static bool go_on(const struct calib *c, double done)
{
    return c->o->go_on == NULL || c->o->go_on(c->o->arg, done);
}

/* Over about `most` of the samples. */
static double recall_all(struct calib *c, uint32_t edge, uint32_t ef, uint32_t most)
{
    uint32_t step = (c->n + most - 1) / most, n = 0;
    double sum = 0;

    step += step % 2 == 0; /* odd: both kinds of queries */
    for (uint32_t i = 0; i < c->n; i += step, n++) {
        make_query(c, i);
        sum += recall_one(c, &c->sm[i], edge, ef);
    }
    return sum / n;
}

static bool measure_wide(struct calib *c)
{
    for (uint32_t ki = 0; ki < VWIDE_KS; ki++) {
        for (uint32_t i = 0; i < VWIDE_POINTS; i++) {
            uint32_t ef = vwide_ef(ki, i);
            double r;

            if (!vgraph_pays(ef, c->s->rows.n))
                break;
            r = recall_all(c, ki + 1, ef, WIDE_SAMPLES);
            c->s->curve.wide[ki][i] = (float)r;
            if (!go_on(c, 0.99))
                return false;
            if (r >= GOOD_WIDE)
                break;
        }
    }
    return true;
}

static bool measure(struct calib *c)
{
    struct vcurve *cv = &c->s->curve;

    *cv = (struct vcurve){.sampled = c->n, .strict = c->s->metric == VMETRIC_DOT};
    for (uint32_t i = 0; i < VCURVE_POINTS; i++) {
        double r = recall_all(c, 0, efforts[i], SAMPLES_MAX);

        cv->at[cv->n].ef = efforts[i];
        cv->at[cv->n++].recall = (float)r;
        if (r >= GOOD_ENOUGH)
            break;
        if (!go_on(c, 0.99))
            return false;
    }
    return measure_wide(c);
}

static bool calibrate(struct vseg *s, const struct vseg_graph_opts *o)
{
    double budget = 4e10 / ((double)s->rows.n * s->rows.dims);
    struct calib c = {.s = s, .o = o, .ctx = vctx_new()};
    bool go = true;

    c.n = budget > SAMPLES_MAX ? SAMPLES_MAX
                               : (budget < SAMPLES_MIN ? SAMPLES_MIN : (uint32_t)budget);
    c.n = c.n > s->rows.n ? s->rows.n : c.n;
    c.v = mem_array(s->rows.dims, sizeof(float));
    c.k = mem_array(s->rows.dims, sizeof(float));
    c.sm = mem_zalloc(c.n * sizeof(struct sample));
    c.top = mem_array(TOP, sizeof(c.top[0]));
    for (uint32_t i = 0; i < c.n && go; i++) {
        c.sm[i].row = (uint32_t)(((uint64_t)i * 2 + 1) * s->rows.n / (2ull * c.n));
        make_query(&c, i);
        exact_edges(&c, &c.sm[i]);
        go = go_on(&c, 0.9 + 0.1 * i / c.n);
    }
    go = go && measure(&c);
    mem_free(c.v);
    mem_free(c.k);
    mem_free(c.sm);
    mem_free(c.top);
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

/* With products, too, the graph joins rows of like direction: joined by raw product, short rows
 * have no way to them; made equally long by a further dimension, they lie far from every query.
 * What a search by product finds in it is measured, and where that is too little, rows are scanned.
 */
enum status vseg_build_graph(struct vseg *s, const struct vseg_graph_opts *o, struct err *e)
{
    struct seg_box *b = (struct seg_box *)s;
    struct scaled_progress p = {o};
    struct faiss_build fb = {.rows = s->rows.vec,
                             .scale = s->metric == VMETRIC_COSINE ? s->rows.norm : NULL,
                             .divide = s->metric == VMETRIC_DOT ? s->rows.norm : NULL,
                             .n = s->rows.n,
                             .dims = s->rows.dims,
                             .m = o->m,
                             .efc = o->efc,
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
