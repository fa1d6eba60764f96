/* test_vector_dot.c: products over clusters whose rows differ in length by four. A search with the
 * effort that calibration asks for finds .95 of the nearest 10 and 100, and of the nearest 200,
 * which is what a selector of a few percent looks at; or calibration says to scan. */
#include "unit.h"

#include <math.h>

#include "base/alloc.h"
#include "vector/segment.h"

enum { D = 32, N = 8000, CLUSTERS = 80, QUERIES = 40, K_MAX = 200 };
static uint64_t seed = 7;
static float centre[CLUSTERS][D];

static float uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(seed >> 40) / 16777216.0f;
}

static float bell(void)
{
    return (uniform() + uniform() + uniform() + uniform() - 2) * 1.73f;
}

static void point(float *v, float length)
{
    unsigned c = (unsigned)(uniform() * CLUSTERS) % CLUSTERS;
    float sum = 0;

    for (int i = 0; i < D; i++) {
        v[i] = centre[c][i] + 0.7f * bell();
        sum += v[i] * v[i];
    }
    for (int i = 0; i < D; i++)
        v[i] *= length / sqrtf(sum);
}

static struct vseg *make(void)
{
    struct vseg_graph_opts o = {16, 100, 1, NULL, NULL};
    struct vseg_fill f;
    struct vseg *s = vseg_new(VMETRIC_DOT, N, D, N, &f);
    struct err e;

    for (int c = 0; c < CLUSTERS; c++)
        for (int i = 0; i < D; i++)
            centre[c][i] = bell();
    for (uint32_t i = 0; i < N; i++) {
        point(f.vec + (size_t)i * D, 0.5f * powf(4, uniform()));
        f.docnum[i] = i + 1;
        f.elem[i] = 0;
        f.hash[i] = f.idoff[i] = i;
        f.ids[i] = 'x';
    }
    memset(f.vec + (size_t)5 * D, 0, D * sizeof(float)); /* no direction at all */
    f.idoff[N] = N;
    vseg_finish(s);
    assert_int_equal(vseg_build_graph(s, &o, &e), ST_OK);
    assert_true(vgraph_valid(&s->graph));
    return s;
}

static double recall(const struct vseg *s, uint32_t k, uint32_t ef)
{
    struct vcand heap[K_MAX];
    struct vctx *c = vctx_new();
    uint32_t hits = 0;

    for (unsigned t = 0; t < QUERIES; t++) {
        struct vtop top = {heap, 0, k};
        float q[D];
        struct vquery vq;
        struct vgraph_query gq = {&s->graph, &s->rows, &vq, NULL, ef};
        const struct vcand *got;
        uint64_t scored = 0;
        uint32_t n;

        point(q, 1);
        vquery_init(&vq, s->metric, D, q, q);
        for (uint32_t i = 0; i < N; i++)
            vtop_push(&top, vkey(&vq, s->rows.vec + (size_t)i * D, s->rows.norm[i]), i);
        n = vgraph_search(&gq, c, &got, &scored);
        for (uint32_t i = 0; i < n && i < k; i++)
            hits += got[i].key <= heap[0].key;
    }
    vctx_free(c);
    return (double)hits / (QUERIES * k);
}

static void test_products_of_uneven_rows(void **state)
{
    static const uint32_t ks[] = {10, 50, 100, K_MAX};
    struct vseg *s = make();

    (void)state;
    for (int i = 0; i < 4; i++) {
        uint32_t ef = vcurve_ef(&s->curve, 0.98, ks[i]);
        double r;

        if (!vgraph_pays(ef, N)) {
            print_message("k %u: scan\n", ks[i]);
            assert_true(i > 1); /* a scan everywhere would prove nothing */
            continue;
        }
        r = recall(s, ks[i], ef);
        print_message("k %u: ef %u recall %.3f\n", ks[i], ef, r);
        assert_true(ef >= ks[i] && r >= 0.95);
    }
    vseg_release(s);
}

/* The rules of the curve, on one made by hand. */
static void test_curve(void **state)
{
    struct vcurve c = {.n = 2, .at = {{10, 0.9f}, {32, 0.99f}}};

    (void)state;
    assert_int_equal(vcurve_ef(&c, 0.98, 10), 32);
    assert_int_equal(vcurve_ef(&c, 0.98, 11), VCURVE_SCAN); /* nothing measured */
    c.wide[0][0] = 0.97f;
    c.wide[0][1] = 0.985f;
    assert_int_equal(vcurve_ef(&c, 0.98, 100), 200);
    assert_int_equal(vcurve_ef(&c, 0.98, 101), VCURVE_SCAN);
    assert_true(vcurve_expect(&c, 100, 200) > 0.984 && vcurve_expect(&c, 100, 199) < 0.971);
    assert_true(vcurve_expect(&c, 100, 120) == 0);
    for (int i = 0; i < VWIDE_POINTS; i++) /* hard to the end: the end, but for dot a scan */
        c.wide[1][i] = 0.9f;
    assert_int_equal(vcurve_ef(&c, 0.98, 300), 3600);
    c.strict = true;
    assert_int_equal(vcurve_ef(&c, 0.98, 300), VCURVE_SCAN);
    assert_int_equal(vcurve_ef(&c, 0.995, 10), VCURVE_SCAN);
    c.strict = false;
    assert_int_equal(vcurve_ef(&c, 0.995, 10), 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curve),
        cmocka_unit_test(test_products_of_uneven_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
