/* vector/vfind_priv.h: one _find with a vector clause, from its JSON to its answer.
 *
 *   clause.c   the members of `vector`, checked
 *   query.c    which index, which query vector
 *   rank.c     the hits: graph, exact, filtered; bookmark
 *   answer.c   documents, projection, the answer's JSON
 * Everything lives in the request's arena; what must be given back is in vfind_end().
 */
#ifndef VECTOR_VFIND_PRIV_H
#define VECTOR_VFIND_PRIV_H
#include "vector/extract.h"
#include "vector/search.h"
#include "vector/vecdb_priv.h"

struct clause {
    struct slice field; /* empty: the index's only one */
    const struct json *near, *away;
    bool exact, has_min, has_max, has_metric, no_vectors;
    double min_score, max_distance, diversity;
    uint32_t effort; /* 0: automatic */
    uint64_t window; /* 0: limit + skip */
    struct slice model;
    enum vmetric metric;
};
enum status clause_parse(const struct json *v, struct clause *out, struct err *e) MUST_CHECK;

struct sort_key {
    struct path path;
    bool desc;
};

struct vfind {
    struct vectors *v;
    struct db *db;
    const struct find_request *rq;
    struct arena *a;
    struct clause c;
    uint64_t start_us, until_us;
    /* the index; none: a scan over the documents */
    struct vdb *d;
    struct vdefs *defs;
    const struct vdef *def;
    struct ventry *entry;
    struct vfield field; /* of the index, or made for the scan */
    struct vview *view;
    struct vctx *ctx;
    /* the query */
    float *q;
    struct vquery vq;
    struct slice *skip_ids; /* documents that `near` names */
    uint32_t nskip;
    struct sort_key *sort;
    uint32_t nsort;
    bool windowed; /* sort or diversity: the bookmark is an offset */
    /* the bookmark that came */
    uint32_t after_count;
    double after_key;
    struct slice after_id;
    uint64_t hash; /* of what must stay the same from page to page */
    /* results */
    struct vhit *hit;
    uint32_t nhits;
    uint64_t scored, examined, matched;
    uint32_t ef_used;
    const char *plan;
    bool complete, late, more;
    struct slice warning;
};
/* Zeroes f and reads the clause, bounds and sort. */
enum status vfind_begin(struct vfind *f, struct vectors *v, struct db *db,
                        const struct find_request *rq, struct arena *a, struct err *e) MUST_CHECK;
void vfind_end(struct vfind *f); /* always, after vfind_begin */
/* Chooses the index or prepares the scan. */
enum status vfind_index(struct vfind *f, struct err *e) MUST_CHECK;
/* Waits for the index and pins its view. */
enum status vfind_wait(struct vfind *f, struct err *e) MUST_CHECK;
enum status vfind_query(struct vfind *f, struct err *e) MUST_CHECK; /* q, vq, skip_ids, hash */
enum status vfind_bookmark(struct vfind *f, struct err *e) MUST_CHECK;
void vfind_bookmark_write(const struct vfind *f, struct buf *out); /* without quotes */
enum status vfind_rank(struct vfind *f, struct err *e) MUST_CHECK;
enum status vfind_answer(struct vfind *f, struct buf *out, struct err *e) MUST_CHECK;

/* A document as selectors and clients see it; *out NULL: deleted or gone. */
enum status vfind_load(struct vfind *f, struct slice id, struct arena *a, const struct json **out,
                       struct err *e) MUST_CHECK;
uint64_t vfind_limit(const struct vfind *f); /* documents of this page */
uint64_t vfind_skip(const struct vfind *f);  /* 0 on later pages */
/* Up to n of the hits as a diverse selection (maximal marginal relevance), in place. */
void vfind_diversify(struct vfind *f, uint32_t n);
#endif
