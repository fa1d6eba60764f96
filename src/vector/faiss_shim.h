/* vector/faiss_shim.h: what we take from FAISS: building an HNSW graph. Searching it is graph.c.
 *
 * Every entry catches all C++ exceptions and answers with text. FAISS runs its own OpenMP threads
 * inside a call; only the calling thread's setting is changed.
 */
#ifndef VECTOR_FAISS_SHIM_H
#define VECTOR_FAISS_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct faiss_build {
    const float *rows;
    const float *scale;  /* per row, multiplied in (unit length for cosine); NULL: none */
    const float *divide; /* per row, divided by (its length, for products); NULL: none */
    uint32_t n, dims, m, efc;
    unsigned threads;
    /* Called between chunks with the fraction done; false cancels. */
    bool (*go_on)(void *arg, double done);
    void *arg;
};
/* Flat arrays as in graph.h, from mem_align: mem_free. */
struct faiss_graph {
    uint32_t m, entry, max_level, nupper;
    uint32_t *links0;      /* n * 2m */
    uint32_t *upper_start; /* n */
    uint32_t *upper;       /* nupper * m */
};
enum faiss_rc { FAISS_RC_OK, FAISS_RC_CANCELLED, FAISS_RC_FAILED };
enum faiss_rc faiss_graph_build(const struct faiss_build *b, struct faiss_graph *out, char *why,
                                size_t why_size);
const char *faiss_shim_version(void);

#ifdef __cplusplus
}
#endif
#endif
