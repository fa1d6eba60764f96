/* vector/dist.h: distances between float32 vectors.
 *
 * Two kinds. Keys (float, smaller is nearer) come from SIMD kernels chosen once for this CPU; they
 * order candidates and may differ in the last bits between CPUs. Scores (double) are what clients
 * see: one fixed summation order, the same bits everywhere.
 *   metric   key                      score            distance
 *   l2       squared distance         1/(1+distance)   Euclidean
 *   dot      -dot                     dot              none (NAN)
 *   cosine   -dot(q/|q|, x) / |x|     cosine           1-cosine
 * Threads: pure functions; the choice of kernels is made under pthread_once.
 */
#ifndef VECTOR_DIST_H
#define VECTOR_DIST_H
#include <stddef.h>
#include <stdint.h>

enum vmetric { VMETRIC_COSINE, VMETRIC_DOT, VMETRIC_L2 };

struct vdist {
    const char *name;
    float (*l2)(const float *q, const float *x, size_t d);
    float (*dot)(const float *q, const float *x, size_t d);
    void (*l2x4)(const float *q, const float *const x[4], size_t d, float out[4]);
    void (*dotx4)(const float *q, const float *const x[4], size_t d, float out[4]);
};
const struct vdist *vdist_best(void);
/* Level 0 (baseline) to 2 (AVX-512); NULL when this CPU lacks it. For tests. */
const struct vdist *vdist_level(int level);

/* A query made ready: `q` as the client gave it (scores), `k` as the kernels want it (unit length
 * for cosine). Both borrowed. */
struct vquery {
    enum vmetric metric;
    uint32_t dims;
    const float *q;
    float *k;
    double qq; /* q·q */
    const struct vdist *dist;
};
/* k: room for dims floats; it may be q itself unless the metric is cosine. */
void vquery_init(struct vquery *out, enum vmetric metric, uint32_t dims, const float *q, float *k);
/* What a row carries beside its vector: cosine 1/|x|, dot |x|, l2 0. */
float vrow_norm(enum vmetric metric, const float *x, uint32_t dims);
/* Sums of squares in the scores' own order. */
double vdot_exact(const float *a, const float *b, size_t d);

/* Keys of one row, or of four at once. */
float vkey(const struct vquery *q, const float *x, float norm);
void vkey4(const struct vquery *q, const float *const x[4], const float norm[4], float out[4]);
/* The exact value of the key, in double, and how far vkey may be from it at most for a row whose
 * key is near `key` and whose norm is at most max_norm. */
double vkey_exact(const struct vquery *q, const float *x);
double vkey_error(const struct vquery *q, double key, float max_norm);
/* From the exact key to what the client sees; *distance is NAN for dot. */
double vscore(enum vmetric metric, double key, double *distance);
#endif
