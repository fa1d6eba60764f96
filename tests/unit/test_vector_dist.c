/* test_vector_dist.c: every kernel of this CPU against a plain loop; scores and their order. */
#include "unit.h"

#include <math.h>

#include "base/alloc.h"
#include "vector/dist.h"

static uint64_t seed = 88172645463325252u;
static float rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)((double)(seed >> 11) * 0x1p-53) * 2 - 1;
}

static void check_level(const struct vdist *k, uint32_t d)
{
    float *v = mem_array(5u * d, sizeof(float));
    double l2[4] = {0}, dot[4] = {0};
    float got[4];

    for (uint32_t i = 0; i < 5 * d; i++)
        v[i] = rnd();
    const float *const x[4] = {v + d, v + 2 * d, v + 3 * d, v + 4 * d};
    for (int r = 0; r < 4; r++)
        for (uint32_t i = 0; i < d; i++) {
            double t = (double)v[i] - (double)x[r][i];
            l2[r] += t * t;
            dot[r] += (double)v[i] * (double)x[r][i];
        }
    k->l2x4(v, x, d, got);
    for (int r = 0; r < 4; r++) {
        assert_true(fabs((double)got[r] - l2[r]) <= 1e-5 * (l2[r] + 1));
        assert_true(fabs((double)k->l2(v, x[r], d) - l2[r]) <= 1e-5 * (l2[r] + 1));
    }
    k->dotx4(v, x, d, got);
    for (int r = 0; r < 4; r++) {
        assert_true(fabs((double)got[r] - dot[r]) <= 1e-6 * (d + 10));
        assert_true(fabs((double)k->dot(v, x[r], d) - dot[r]) <= 1e-6 * (d + 10));
    }
    mem_free(v);
}

static void test_kernels(void **state)
{
    (void)state;
    for (int level = 0; level < 3; level++) {
        const struct vdist *k = vdist_level(level);
        for (uint32_t d = 1; k != NULL && d < 70; d++)
            check_level(k, d);
        if (k != NULL)
            check_level(k, 784);
    }
    assert_non_null(vdist_best());
}

static void test_key_error_bounds_the_key(void **state)
{
    enum { D = 300, N = 200 };
    static float x[N][D], q[D], k[D];

    (void)state;
    for (int m = 0; m < 3; m++) {
        struct vquery vq;

        for (int i = 0; i < D; i++)
            q[i] = rnd() * 3;
        vquery_init(&vq, (enum vmetric)m, D, q, k);
        for (int r = 0; r < N; r++) {
            float norm;
            double exact, key;

            for (int i = 0; i < D; i++)
                x[r][i] = rnd() * 5;
            norm = vrow_norm(vq.metric, x[r], D);
            exact = vkey_exact(&vq, x[r]);
            key = (double)vkey(&vq, x[r], norm);
            assert_true(fabs(exact - key) <= vkey_error(&vq, key, norm));
        }
    }
}

static void test_scores(void **state)
{
    const float a[3] = {3, 4, 0}, b[3] = {4, 3, 0};
    float k[3];
    struct vquery q;
    double dist, score;

    (void)state;
    vquery_init(&q, VMETRIC_COSINE, 3, a, k);
    score = vscore(VMETRIC_COSINE, vkey_exact(&q, b), &dist);
    assert_true(score == 0.96 && fabs(dist - 0.04) < 1e-15);
    score = vscore(VMETRIC_COSINE, vkey_exact(&q, a), &dist);
    assert_true(score == 1 && dist == 0); /* a vector is exactly like itself */
    vquery_init(&q, VMETRIC_L2, 3, a, k);
    score = vscore(VMETRIC_L2, vkey_exact(&q, b), &dist);
    assert_true(dist == sqrt(2) && score == 1 / (1 + sqrt(2)));
    vquery_init(&q, VMETRIC_DOT, 3, a, k);
    score = vscore(VMETRIC_DOT, vkey_exact(&q, b), &dist);
    assert_true(score == 24 && isnan(dist));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_key_error_bounds_the_key),
        cmocka_unit_test(test_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
