/* vector/segment.h: an immutable sorted run of vectors, in memory and as a file
 * (docs/format-vector.md).
 *
 * Rows are sorted by (docnum, elem). The file holds everything a search needs: vectors, norms,
 * document numbers, elements, hashes, ids, and, in a large segment, the graph and its calibration.
 * A file is read whole and every part's CRC32C is checked before a byte of it is used.
 * Threads: immutable once made; references are counted.
 */
#ifndef VECTOR_SEGMENT_H
#define VECTOR_SEGMENT_H
#include "base/slice.h"
#include "base/status.h"
#include "vector/graph.h"

enum { VCURVE_POINTS = 12, VCURVE_EF_MIN = 24, VWIDE_KS = 3, VWIDE_POINTS = 7 };
extern const uint32_t vwide_k[VWIDE_KS];    /* numbers of answers that are measured beside 10 */
extern const float vwide_mul[VWIDE_POINTS]; /* their efforts: so many times k */
static inline uint32_t vwide_ef(uint32_t ki, uint32_t point)
{
    return (uint32_t)((float)vwide_k[ki] * vwide_mul[point]);
}
/* Where a search stops being cheaper than a scan of n rows. */
static inline bool vgraph_pays(uint32_t ef, uint32_t n)
{
    return ef < n / 8;
}
/* Recall by effort, measured on stored vectors when the graph was built. */
struct vcurve {
    uint32_t n, sampled;
    bool strict; /* dot: rather no graph than less than the target */
    struct {
        uint32_t ef;
        float recall;
    } at[VCURVE_POINTS]; /* recall@10 */
    /* recall@k at vwide_ef(); 0: not measured, since less was enough or a scan is cheaper */
    float wide[VWIDE_KS][VWIDE_POINTS];
};
#define VCURVE_SCAN UINT32_MAX
/* Least ef that reaches the target for k answers, or the highest measured when none did;
 * VCURVE_SCAN: the graph is no help. */
uint32_t vcurve_ef(const struct vcurve *c, double target, uint32_t k);
double vcurve_recall(const struct vcurve *c, uint32_t ef); /* @10 */
/* What was measured at this or more answers and this or less effort; 0: nothing was. */
double vcurve_expect(const struct vcurve *c, uint32_t k, uint32_t ef);

struct vseg {
    uint32_t number; /* of its file */
    enum vmetric metric;
    struct vrows rows;
    const uint64_t *docnum, *hash, *idoff;
    const uint32_t *elem;
    const char *ids;
    float max_norm;
    struct vgraph graph; /* graph.n == 0: none */
    uint32_t efc;
    struct vcurve curve;
    uint64_t bytes; /* of memory, about that of the file */
};
/* What a builder fills in, the same memory as the const pointers of the segment. */
struct vseg_fill {
    float *vec;
    uint64_t *docnum, *hash, *idoff; /* idoff: n + 1 */
    uint32_t *elem;
    char *ids;
};
struct vseg *vseg_new(enum vmetric metric, uint32_t n, uint32_t dims, uint64_t id_bytes,
                      struct vseg_fill *fill);
void vseg_finish(struct vseg *s); /* all rows are in: norms */
struct vseg *vseg_ref(struct vseg *s);
void vseg_release(struct vseg *s); /* NULL is fine */

struct vseg_graph_opts {
    uint32_t m, efc;
    unsigned threads;
    bool (*go_on)(void *arg, double done); /* false: cancel */
    void *arg;
};
/* Builds and calibrates the graph. ST_UNAVAILABLE when cancelled, ST_INTERNAL when FAISS failed;
 * the segment is unharmed then. Before the segment is shared. */
enum status vseg_build_graph(struct vseg *s, const struct vseg_graph_opts *o,
                             struct err *e) MUST_CHECK;

struct vseg_file {
    uint64_t bytes;
    uint32_t crc; /* of the header, which holds the parts' */
};
enum { VSEG_SIG = 16 };
/* temp file, fdatasync, rename, fsync of the folder. */
enum status vseg_write(const struct vseg *s, const char *path, const unsigned char sig[VSEG_SIG],
                       struct vseg_file *out, struct err *e) MUST_CHECK;
/* ST_CORRUPT: not exactly what the manifest promised. */
enum status vseg_load(const char *path, const unsigned char sig[VSEG_SIG],
                      const struct vseg_file *want, struct vseg **out, struct err *e) MUST_CHECK;

/* Rows of a document: the first and how many; 0 when none. */
uint32_t vseg_find(const struct vseg *s, uint64_t docnum, uint32_t *first);
static inline struct slice vseg_id(const struct vseg *s, uint32_t row)
{
    return slice_of(s->ids + s->idoff[row], s->idoff[row + 1] - s->idoff[row]);
}
#endif
