// vector/faiss_shim.cc: the one file that sees FAISS. Builds an HNSW graph in chunks, so that it
// can be cancelled, and copies its links into flat arrays. Threads: any; a call uses b->threads.
#include "vector/faiss_shim.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <vector>

#include <faiss/Index.h>
#include <faiss/IndexHNSW.h>

extern "C" {
#include "base/alloc.h"
// Declared here, since gcc's omp.h does not compile with clang; the library is FAISS's own.
void omp_set_num_threads(int n);
}

namespace
{

const uint32_t none = UINT32_MAX;

// Rows at..at+n as FAISS shall see them.
void prepare(const struct faiss_build *b, uint32_t at, uint32_t n, std::vector<float> &out)
{
    const size_t dims = b->dims;

    out.resize(n * dims);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = b->rows + (at + i) * dims;
        const float div = b->divide != nullptr && b->divide[at + i] > 0 ? b->divide[at + i] : 1;
        const float scale = b->scale != nullptr ? b->scale[at + i] : 1;

        for (size_t d = 0; d < dims; d++)
            out[i * dims + d] = row[d] * scale / div;
    }
}

bool add_all(faiss::IndexHNSWFlat &index, const struct faiss_build *b)
{
    const uint32_t chunk = std::max<uint32_t>(2048, b->n / 64);
    std::vector<float> prepared;

    for (uint32_t at = 0; at < b->n; at += chunk) {
        const uint32_t n = std::min(chunk, b->n - at);
        const float *rows = b->rows + static_cast<size_t>(at) * b->dims;

        if (b->go_on != nullptr && !b->go_on(b->arg, static_cast<double>(at) / b->n))
            return false;
        if (b->scale != nullptr || b->divide != nullptr) {
            prepare(b, at, n, prepared);
            rows = prepared.data();
        }
        index.add(n, rows);
    }
    return true;
}

uint32_t *array_of(size_t n)
{
    return static_cast<uint32_t *>(mem_align(64, std::max<size_t>(n, 1) * sizeof(uint32_t)));
}

// Copies `count` links from FAISS's table, ended early by -1, into a list of `room`.
void copy_list(const faiss::HNSW &h, size_t from, size_t to, uint32_t *out, uint32_t room)
{
    uint32_t n = 0;

    for (size_t i = from; i < to && n < room; i++) {
        if (h.neighbors[i] < 0)
            break;
        out[n++] = static_cast<uint32_t>(h.neighbors[i]);
    }
    for (; n < room; n++)
        out[n] = none;
}

void copy_links(const faiss::HNSW &h, uint32_t n, struct faiss_graph *out)
{
    uint32_t lists = 0;

    for (uint32_t i = 0; i < n; i++)
        lists += static_cast<uint32_t>(h.levels[i]) - 1;
    out->nupper = lists;
    out->links0 = array_of(static_cast<size_t>(n) * 2 * out->m);
    out->upper_start = array_of(n);
    out->upper = array_of(static_cast<size_t>(lists) * out->m);
    lists = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int levels = h.levels[i];
        size_t from = 0, to = 0;

        h.neighbor_range(i, 0, &from, &to);
        copy_list(h, from, to, out->links0 + static_cast<size_t>(i) * 2 * out->m, 2 * out->m);
        out->upper_start[i] = levels > 1 ? lists : none;
        for (int l = 1; l < levels; l++) {
            h.neighbor_range(i, l, &from, &to);
            copy_list(h, from, to, out->upper + static_cast<size_t>(lists) * out->m, out->m);
            lists++;
        }
    }
    out->entry = static_cast<uint32_t>(h.entry_point);
    out->max_level = static_cast<uint32_t>(std::max(h.max_level, 0));
}

/* The FAISS that is linked may use instructions that this machine lacks: a program that was built
 * elsewhere. Then there are no graphs, and everything is searched exactly. */
bool cpu_is_enough()
{
#ifdef DIVAN_FAISS_AVX2
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

void say(char *why, size_t size, const char *what)
{
    if (size > 0)
        (void)snprintf(why, size, "%s", what);
}

}  // namespace

extern "C" enum faiss_rc faiss_graph_build(const struct faiss_build *b, struct faiss_graph *out,
                                           char *why, size_t why_size)
{
    if (!cpu_is_enough()) {
        say(why, why_size, "the FAISS of this program needs AVX2, which this CPU has not");
        return FAISS_RC_FAILED;
    }
    try {
        faiss::IndexHNSWFlat index(static_cast<int>(b->dims), static_cast<int>(b->m),
                                   faiss::METRIC_L2);

        omp_set_num_threads(static_cast<int>(std::max(1u, b->threads)));
        index.hnsw.efConstruction = static_cast<int>(b->efc);
        *out = {};
        out->m = b->m;
        if (!add_all(index, b))
            return FAISS_RC_CANCELLED;
        copy_links(index.hnsw, b->n, out);
        return FAISS_RC_OK;
    } catch (const std::exception &x) {
        say(why, why_size, x.what());
    } catch (...) {
        say(why, why_size, "unknown exception");
    }
    return FAISS_RC_FAILED;
}

extern "C" const char *faiss_shim_version(void)
{
#define STR2(x) #x
#define STR(x)  STR2(x)
    return STR(FAISS_VERSION_MAJOR) "." STR(FAISS_VERSION_MINOR) "." STR(FAISS_VERSION_PATCH);
}
