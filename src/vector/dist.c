/* vector/dist.c: the kernels (baseline, AVX2 with FMA, AVX-512) and their choice; exact scores.
 * Threads: any; pure but for a pthread_once. */
#include "vector/dist.h"

#include <math.h>
#include <pthread.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* scores: the same bits with and without fused multiply-add */
#endif

static float l2_tail(const float *q, const float *x, size_t i, size_t d)
{
    float s = 0;

    for (; i < d; i++)
        s += (q[i] - x[i]) * (q[i] - x[i]);
    return s;
}

static float dot_tail(const float *q, const float *x, size_t i, size_t d)
{
    float s = 0;

    for (; i < d; i++)
        s += q[i] * x[i];
    return s;
}

#if defined(__x86_64__)
static inline __m128 fma_128(__m128 a, __m128 b, __m128 c)
{
    return _mm_add_ps(_mm_mul_ps(a, b), c);
}
static inline float sum_128(__m128 v)
{
    float f[4];

    _mm_storeu_ps(f, v);
    return (f[0] + f[2]) + (f[1] + f[3]);
}
__attribute__((target("avx2,fma"))) static inline float sum_256(__m256 v)
{
    return sum_128(_mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1)));
}
__attribute__((target("avx512f"))) static inline float sum_512(__m512 v)
{
    return _mm512_reduce_add_ps(v);
}

// NOLINTBEGIN(bugprone-macro-parentheses,bugprone-implicit-widening-of-multiplication-result)
/* One body for the three widths: two accumulators for one row, one per row for four. */
#define KERNELS(sfx, attr, vec, width, load, zero, sub, add, fma, sum)                             \
    attr static float l2_##sfx(const float *q, const float *x, size_t d)                           \
    {                                                                                              \
        vec s0 = zero(), s1 = zero();                                                              \
        size_t i = 0;                                                                              \
                                                                                                   \
        for (; i + 2 * (width) <= d; i += 2 * (width)) {                                           \
            vec a = sub(load(q + i), load(x + i));                                                 \
            vec b = sub(load(q + i + (width)), load(x + i + (width)));                             \
            s0 = fma(a, a, s0);                                                                    \
            s1 = fma(b, b, s1);                                                                    \
        }                                                                                          \
        for (; i + (width) <= d; i += (width)) {                                                   \
            vec a = sub(load(q + i), load(x + i));                                                 \
            s0 = fma(a, a, s0);                                                                    \
        }                                                                                          \
        return sum(add(s0, s1)) + l2_tail(q, x, i, d);                                             \
    }                                                                                              \
    attr static float dot_##sfx(const float *q, const float *x, size_t d)                          \
    {                                                                                              \
        vec s0 = zero(), s1 = zero();                                                              \
        size_t i = 0;                                                                              \
                                                                                                   \
        for (; i + 2 * (width) <= d; i += 2 * (width)) {                                           \
            s0 = fma(load(q + i), load(x + i), s0);                                                \
            s1 = fma(load(q + i + (width)), load(x + i + (width)), s1);                            \
        }                                                                                          \
        for (; i + (width) <= d; i += (width))                                                     \
            s0 = fma(load(q + i), load(x + i), s0);                                                \
        return sum(add(s0, s1)) + dot_tail(q, x, i, d);                                            \
    }                                                                                              \
    attr static void l2x4_##sfx(const float *q, const float *const x[4], size_t d, float out[4])   \
    {                                                                                              \
        vec s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();                                    \
        size_t i = 0;                                                                              \
                                                                                                   \
        for (; i + (width) <= d; i += (width)) {                                                   \
            vec v = load(q + i);                                                                   \
            vec a = sub(v, load(x[0] + i)), b = sub(v, load(x[1] + i));                            \
            vec c = sub(v, load(x[2] + i)), e = sub(v, load(x[3] + i));                            \
            s0 = fma(a, a, s0);                                                                    \
            s1 = fma(b, b, s1);                                                                    \
            s2 = fma(c, c, s2);                                                                    \
            s3 = fma(e, e, s3);                                                                    \
        }                                                                                          \
        out[0] = sum(s0) + l2_tail(q, x[0], i, d);                                                 \
        out[1] = sum(s1) + l2_tail(q, x[1], i, d);                                                 \
        out[2] = sum(s2) + l2_tail(q, x[2], i, d);                                                 \
        out[3] = sum(s3) + l2_tail(q, x[3], i, d);                                                 \
    }                                                                                              \
    attr static void dotx4_##sfx(const float *q, const float *const x[4], size_t d, float out[4])  \
    {                                                                                              \
        vec s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();                                    \
        size_t i = 0;                                                                              \
                                                                                                   \
        for (; i + (width) <= d; i += (width)) {                                                   \
            vec v = load(q + i);                                                                   \
            s0 = fma(v, load(x[0] + i), s0);                                                       \
            s1 = fma(v, load(x[1] + i), s1);                                                       \
            s2 = fma(v, load(x[2] + i), s2);                                                       \
            s3 = fma(v, load(x[3] + i), s3);                                                       \
        }                                                                                          \
        out[0] = sum(s0) + dot_tail(q, x[0], i, d);                                                \
        out[1] = sum(s1) + dot_tail(q, x[1], i, d);                                                \
        out[2] = sum(s2) + dot_tail(q, x[2], i, d);                                                \
        out[3] = sum(s3) + dot_tail(q, x[3], i, d);                                                \
    }                                                                                              \
    static const struct vdist dist_##sfx = {#sfx, l2_##sfx, dot_##sfx, l2x4_##sfx, dotx4_##sfx};

#define NO_ATTR
#define AVX2_ATTR   __attribute__((target("avx2,fma")))
#define AVX512_ATTR __attribute__((target("avx512f")))
KERNELS(sse2, NO_ATTR, __m128, 4, _mm_loadu_ps, _mm_setzero_ps, _mm_sub_ps, _mm_add_ps, fma_128,
        sum_128)
KERNELS(avx2, AVX2_ATTR, __m256, 8, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_sub_ps,
        _mm256_add_ps, _mm256_fmadd_ps, sum_256)
KERNELS(avx512, AVX512_ATTR, __m512, 16, _mm512_loadu_ps, _mm512_setzero_ps, _mm512_sub_ps,
        _mm512_add_ps, _mm512_fmadd_ps, sum_512)

// NOLINTEND(bugprone-macro-parentheses,bugprone-implicit-widening-of-multiplication-result)

const struct vdist *vdist_level(int level)
{
    __builtin_cpu_init();
    if (level == 2)
        return __builtin_cpu_supports("avx512f") != 0 ? &dist_avx512 : NULL;
    if (level == 1)
        return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0
                   ? &dist_avx2
                   : NULL;
    return level == 0 ? &dist_sse2 : NULL;
}
#else
static float l2_any(const float *q, const float *x, size_t d)
{
    return l2_tail(q, x, 0, d);
}
static float dot_any(const float *q, const float *x, size_t d)
{
    return dot_tail(q, x, 0, d);
}
static void l2x4_any(const float *q, const float *const x[4], size_t d, float out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = l2_tail(q, x[i], 0, d);
}
static void dotx4_any(const float *q, const float *const x[4], size_t d, float out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = dot_tail(q, x[i], 0, d);
}
static const struct vdist dist_any = {"any", l2_any, dot_any, l2x4_any, dotx4_any};

const struct vdist *vdist_level(int level)
{
    return level == 0 ? &dist_any : NULL;
}
#endif

static const struct vdist *best;
static pthread_once_t best_once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    for (int level = 2; level >= 0 && best == NULL; level--)
        best = vdist_level(level);
}

const struct vdist *vdist_best(void)
{
    (void)pthread_once(&best_once, choose);
    return best;
}

/* ---- exact sums: eight lanes by index modulo 8, then one fixed tree ---- */

static double fold8(const double s[8])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* The product of two floats is exact in double, so only the order of the additions matters. */
double vdot_exact(const float *a, const float *b, size_t d)
{
    double s[8] = {0};
    size_t i = 0;

    for (; i + 8 <= d; i += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += (double)a[i + j] * (double)b[i + j];
    for (size_t j = 0; i + j < d; j++)
        s[j] += (double)a[i + j] * (double)b[i + j];
    return fold8(s);
}

static double l2_exact(const float *a, const float *b, size_t d)
{
    double s[8] = {0};
    size_t i = 0;

    for (; i + 8 <= d; i += 8) {
        double t[8];
        for (size_t j = 0; j < 8; j++)
            t[j] = (double)a[i + j] - (double)b[i + j];
        for (size_t j = 0; j < 8; j++)
            t[j] = t[j] * t[j];
        for (size_t j = 0; j < 8; j++)
            s[j] += t[j];
    }
    for (size_t j = 0; i + j < d; j++) {
        double t = (double)a[i + j] - (double)b[i + j];
        t = t * t;
        s[j] += t;
    }
    return fold8(s);
}

void vquery_init(struct vquery *out, enum vmetric metric, uint32_t dims, const float *q, float *k)
{
    double qq = vdot_exact(q, q, dims);
    double scale = metric == VMETRIC_COSINE && qq > 0 ? 1 / sqrt(qq) : 1;

    *out = (struct vquery){metric, dims, q, k, qq, vdist_best()};
    for (uint32_t i = 0; i < dims; i++)
        k[i] = (float)((double)q[i] * scale);
}

float vrow_norm(enum vmetric metric, const float *x, uint32_t dims)
{
    double xx;

    if (metric == VMETRIC_L2)
        return 0;
    xx = vdot_exact(x, x, dims);
    if (metric == VMETRIC_DOT)
        return (float)sqrt(xx);
    return xx > 0 ? (float)(1 / sqrt(xx)) : 0;
}

float vkey(const struct vquery *q, const float *x, float norm)
{
    if (q->metric == VMETRIC_L2)
        return q->dist->l2(q->k, x, q->dims);
    if (q->metric == VMETRIC_DOT)
        return -q->dist->dot(q->k, x, q->dims);
    return -q->dist->dot(q->k, x, q->dims) * norm;
}

void vkey4(const struct vquery *q, const float *const x[4], const float norm[4], float out[4])
{
    if (q->metric == VMETRIC_L2) {
        q->dist->l2x4(q->k, x, q->dims, out);
        return;
    }
    q->dist->dotx4(q->k, x, q->dims, out);
    for (int i = 0; i < 4; i++)
        out[i] = q->metric == VMETRIC_DOT ? -out[i] : -out[i] * norm[i];
}

double vkey_exact(const struct vquery *q, const float *x)
{
    double dot, xx, c;

    if (q->metric == VMETRIC_L2)
        return l2_exact(q->q, x, q->dims);
    dot = vdot_exact(q->q, x, q->dims);
    if (q->metric == VMETRIC_DOT)
        return -dot;
    xx = vdot_exact(x, x, q->dims);
    c = q->qq > 0 && xx > 0 ? dot / sqrt(q->qq * xx) : 0;
    return c > 1 ? -1 : (c < -1 ? 1 : -c);
}

double vkey_error(const struct vquery *q, double key, float max_norm)
{
    double u = ((double)q->dims + 16) * 0x1p-24;

    if (q->metric == VMETRIC_L2)
        return 2 * u * fabs(key);
    if (q->metric == VMETRIC_DOT)
        return 2 * u * sqrt(q->qq) * (double)max_norm;
    return 2 * u;
}

double vscore(enum vmetric metric, double key, double *distance)
{
    if (metric == VMETRIC_L2) {
        *distance = sqrt(key);
        return 1 / (1 + *distance);
    }
    if (metric == VMETRIC_DOT) {
        *distance = (double)NAN;
        return -key;
    }
    *distance = 1 + key;
    return -key;
}
