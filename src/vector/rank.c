/* vector/rank.c: from the query vector to the hits.
 *
 *   selector {}      the view's graphs and scans, or all rows exactly
 *   a selector       candidates nearest first, each document tested once; more candidates when too
 *                    few match; when that would visit a quarter of the index, every row is ranked
 *                    exactly and tested in that order, so that the answer is complete
 *   no index         every document is read
 * The selector always decides before the ranking is cut: fewer than limit answers only when no more
 * match, or when the deadline passed (then with a warning).
 * Threads: a worker per request.
 */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/map.h"
#include "base/time.h"
#include "vector/vfind_priv.h"

uint64_t vfind_limit(const struct vfind *f)
{
    return f->rq->limit;
}

uint64_t vfind_skip(const struct vfind *f)
{
    return f->after_count > 0 ? 0 : f->rq->skip;
}

/* How many documents the ranking must hold for this page. */
static uint32_t wanted(const struct vfind *f)
{
    uint64_t n = f->after_count + vfind_skip(f) + vfind_limit(f);

    if (f->windowed) {
        uint64_t w = f->c.window;
        if (w == 0)
            w = f->rq->skip + f->rq->limit;
        if (f->c.diversity > 0 && w < 4 * f->rq->limit)
            w = 4 * f->rq->limit > 40 ? 4 * f->rq->limit : 40;
        n = w < LIMIT_FIND_RESULTS ? w : LIMIT_FIND_RESULTS;
    }
    return (uint32_t)(n < LIMIT_FIND_RESULTS ? n : LIMIT_FIND_RESULTS);
}

/* ---- what keeps a hit out whatever the selector says ---- */

static bool skipped_id(const struct vfind *f, struct slice id)
{
    for (uint32_t i = 0; i < f->nskip; i++)
        if (slice_eq(f->skip_ids[i], id))
            return true;
    return false;
}

/* Hits come nearest first: once one is too far, all that follow are. */
static bool too_far(const struct vfind *f, const struct vhit *h)
{
    double distance, score = vscore(f->field.metric, h->key, &distance);

    return (f->c.has_min && score < f->c.min_score) ||
           (f->c.has_max && distance > f->c.max_distance);
}

static bool before_bookmark(const struct vfind *f, const struct vhit *h)
{
    if (f->after_count == 0 || f->windowed)
        return false;
    if (h->key != f->after_key)
        return h->key < f->after_key;
    return slice_cmp(h->id, f->after_id) <= 0;
}

/* ---- testing documents ---- */

struct tests {
    struct vfind *f;
    struct arena *scratch;
    struct map *memo; /* docnum -> &yes or &no */
    uint64_t tested, matched;
};
static char yes, no;

static enum status test_one(struct tests *t, const struct vhit *h, bool *match, struct err *e)
{
    struct slice key = slice_of(&h->docnum, sizeof(h->docnum));
    const char *known;
    const struct json *doc;

    *match = true;
    if (selector_is_all(t->f->rq->selector))
        return ST_OK;
    known = map_get(t->memo, key);
    if (known != NULL) {
        *match = known == &yes;
        return ST_OK;
    }
    TRY(vfind_load(t->f, h->id, t->scratch, &doc, e));
    *match = doc != NULL && selector_match(t->f->rq->selector, doc, t->scratch);
    arena_reset(t->scratch);
    t->tested++;
    t->matched += *match;
    (void)map_put(t->memo, key, *match ? &yes : &no);
    return ST_OK;
}

struct pass {
    struct vhit *out; /* those that stay */
    uint32_t n, want;
    uint64_t looked;
    bool ended; /* by a cut-off or the deadline: no more can come */
};

static enum status filter(struct tests *t, const struct vhit *h, uint32_t n, struct pass *p,
                          struct err *e)
{
    struct vfind *f = t->f;

    p->out = arena_array(f->a, (n < p->want ? n : p->want) + 1u, sizeof(*h));
    p->n = 0;
    p->looked = 0;
    for (uint32_t i = 0; i < n && p->n < p->want && !p->ended; i++) {
        bool match;

        p->looked++;
        if (too_far(f, &h[i])) {
            p->ended = true;
            break;
        }
        if (skipped_id(f, h[i].id))
            continue;
        TRY(test_one(t, &h[i], &match, e));
        if (match)
            p->out[p->n++] = h[i];
        if (i % 64 == 63 && time_mono_us() > f->until_us)
            p->ended = f->late = true;
    }
    return ST_OK;
}

/* ---- over an index ---- */

static uint32_t search(struct vfind *f, uint32_t k, bool exact, struct vhit **out)
{
    struct vsearch s = {.view = f->view,
                        .q = &f->vq,
                        .k = k,
                        .effort = f->c.effort,
                        .target = vrecall_target(f->v),
                        .exact = exact,
                        .ctx = f->ctx,
                        .arena = f->a};
    uint32_t n = vsearch_run(&s, out);

    f->scored += s.scored;
    f->complete = !s.used_graph;
    f->ef_used = s.ef_used > f->ef_used ? s.ef_used : f->ef_used;
    return n;
}

static uint32_t all_rows(const struct vfind *f)
{
    return f->view->live < UINT32_MAX ? (uint32_t)f->view->live : UINT32_MAX;
}

/* How many candidates the next round should have; 0: rank everything. */
static uint32_t next_width(const struct vfind *f, const struct pass *p, uint32_t k)
{
    double need = p->n > 0 ? (double)p->looked * p->want / p->n : (double)k * 8;
    double wide = need * 1.3 > (double)k * 2 ? need * 1.3 : (double)k * 2;

    return wide > (double)f->view->live / 4 ? 0 : (uint32_t)wide;
}

static enum status rank_filtered(struct tests *t, struct pass *p, struct err *e)
{
    struct vfind *f = t->f;
    uint32_t k = 2 * p->want > 64 ? 2 * p->want : 64;
    bool exact = f->c.exact;

    f->plan = "iterative";
    while (p->want > 0) {
        struct vhit *h;
        uint32_t n;

        if (exact || k >= f->view->live / 2) {
            exact = true;
            k = all_rows(f);
            f->plan = "exact";
        }
        n = search(f, k, exact, &h);
        TRY(filter(t, h, n, p, e));
        if (p->n >= p->want || p->ended || exact)
            break;
        k = next_width(f, p, k);
        exact = k == 0;
    }
    return ST_OK;
}

/* What a page lacks no later page brings, and a graph misses most at the edge of what it was asked
 * for: later pages ask further than their own end. */
static uint32_t page_margin(const struct vfind *f)
{
    return f->after_count > 0 && !f->windowed ? f->after_count / 4 + (uint32_t)vfind_limit(f) : 0;
}

static enum status rank_index(struct tests *t, struct pass *p, struct err *e)
{
    struct vfind *f = t->f;
    struct vhit *h;
    uint32_t n;

    if (!selector_is_all(f->rq->selector))
        return rank_filtered(t, p, e);
    n = search(f, p->want + page_margin(f) + f->nskip, f->c.exact, &h);
    f->plan = f->complete ? "exact" : "graph";
    return filter(t, h, n, p, e);
}

/* ---- over the documents ---- */

struct scan {
    struct vhit *h;
    size_t n, cap, keep;
};

static void scan_keep(struct scan *s, const struct vhit *h)
{
    if (s->n == s->cap) {
        s->cap = s->cap == 0 ? 1024 : s->cap * 2;
        s->h = mem_realloc(s->h, s->cap * sizeof(*h));
    }
    s->h[s->n++] = *h;
    if (s->n >= 4 * s->keep + 4096) {
        qsort(s->h, s->n, sizeof(*h), vhit_cmp);
        s->n = s->keep;
    }
}

static void scan_doc(struct tests *t, const struct json *doc, struct vhit *h, struct scan *s)
{
    struct vfind *f = t->f;
    struct vdoc_rows r = {0};

    t->tested++;
    if (!selector_match(f->rq->selector, doc, t->scratch))
        return;
    if (vector_extract(t->scratch, &f->field, doc, &r) != NULL || r.n == 0)
        return;
    t->matched++;
    h->key = INFINITY;
    for (uint32_t i = 0; i < r.n; i++) {
        double key = vkey_exact(&f->vq, r.vec + (size_t)i * f->field.dims);
        if (key < h->key) {
            h->key = key;
            h->elem = r.elem[i];
        }
    }
    f->scored += r.n;
    h->id = arena_dup(f->a, h->id);
    scan_keep(s, h);
}

static enum status scan_all(struct tests *t, struct scan *s, struct err *e)
{
    struct all_docs_opts o = {.inclusive_end = true, .limit = UINT64_MAX};
    struct all_docs *r = all_docs_new(t->f->db, &o);
    enum status st = ST_OK;
    bool got = true;

    while (st == ST_OK && got && !t->f->late) {
        struct docinfo_head head;
        const struct json *doc;
        struct slice id;

        st = all_docs_next_doc(r, &id, &head, &got, e);
        if (st != ST_OK || !got || (head.flags & DOCINFO_DELETED) != 0 ||
            slice_starts(id, SLICE_LIT("_design/")))
            continue;
        struct vhit h = {.docnum = head.docnum, .id = id};
        st = vfind_load(t->f, id, t->scratch, &doc, e);
        if (st == ST_OK && doc != NULL)
            scan_doc(t, doc, &h, s);
        arena_reset(t->scratch);
        t->f->late = time_mono_us() > t->f->until_us;
    }
    all_docs_free(r);
    return st;
}

static enum status rank_scan(struct tests *t, struct pass *p, struct err *e)
{
    struct scan s = {.keep = p->want + t->f->nskip};
    enum status st = scan_all(t, &s, e);
    struct vhit *h;

    if (s.n > 1)
        qsort(s.h, s.n, sizeof(s.h[0]), vhit_cmp);
    h = arena_array(t->f->a, s.n + 1, sizeof(*h));
    if (s.n > 0)
        memcpy(h, s.h, s.n * sizeof(*h));
    for (size_t i = 0; i < s.n && st == ST_OK; i++) /* tested already */
        (void)map_put(t->memo, slice_of(&h[i].docnum, sizeof(h[i].docnum)), &yes);
    if (st == ST_OK)
        st = filter(t, h, (uint32_t)s.n, p, e);
    t->f->complete = !t->f->late;
    mem_free(s.h);
    return st;
}

/* ---- the page ---- */

/* Drops what earlier pages had and `skip`; notes whether more may come. */
static void cut_page(struct vfind *f, const struct pass *p)
{
    uint64_t drop = 0, limit = vfind_limit(f);

    while (!f->windowed && drop < p->n && before_bookmark(f, &p->out[drop]))
        drop++;
    drop += f->windowed ? 0 : vfind_skip(f);
    drop = drop < p->n ? drop : p->n;
    f->hit = p->out + drop;
    f->nhits = p->n - (uint32_t)drop;
    if (!f->windowed && f->nhits > limit)
        f->nhits = (uint32_t)limit;
}

static void deadline_warning(struct vfind *f)
{
    if (!f->late || f->warning.n != 0)
        return;
    f->complete = false;
    f->warning = SLICE_LIT("The time limit was reached before enough documents were examined; "
                           "more may match.");
}

static enum status rank_once(struct tests *t, struct pass *p, struct err *e)
{
    if (t->f->rq->limit == 0)
        return ST_OK;
    return t->f->entry == NULL ? rank_scan(t, p, e) : rank_index(t, p, e);
}

/* Documents that were written since the last page and rank before its end take places. */
static bool page_is_short(const struct vfind *f, const struct pass *p)
{
    return f->after_count > 0 && !f->windowed && !p->ended && p->n == p->want &&
           f->nhits < vfind_limit(f);
}

enum status vfind_rank(struct vfind *f, struct err *e)
{
    struct tests t = {.f = f, .scratch = arena_new(), .memo = map_new()};
    struct pass p = {.want = wanted(f)};
    enum status st;

    for (;;) {
        st = rank_once(&t, &p, e);
        if (st != ST_OK)
            break;
        cut_page(f, &p);
        if (!page_is_short(f, &p))
            break;
        p = (struct pass){.want = p.want + 2 * (uint32_t)vfind_limit(f)};
    }
    if (st == ST_OK) {
        deadline_warning(f);
        f->matched =
            f->entry != NULL && selector_is_all(f->rq->selector) ? f->view->live : t.matched;
        f->examined = t.tested;
    }
    map_free(t.memo);
    arena_free(t.scratch);
    return st;
}

/* ---- diversity ---- */

/* Nearness of two rows as their score. */
static double likeness(const struct vfind *f, const float *x, const float *y)
{
    struct vquery q = {f->field.metric, f->field.dims, x, NULL, vdot_exact(x, x, f->field.dims),
                       vdist_best()};
    double distance;

    return vscore(f->field.metric, vkey_exact(&q, y), &distance);
}

static const float *hit_vec(const struct vfind *f, const struct vhit *h)
{
    struct vrow r;

    vpart_row(&f->view->part[h->part], h->row, &r);
    return r.vec;
}

void vfind_diversify(struct vfind *f, uint32_t n)
{
    double *worst = arena_array(f->a, f->nhits + 1u, sizeof(double)); /* to any chosen one */
    double w = f->c.diversity;

    if (f->view == NULL)
        return;
    for (uint32_t i = 0; i < f->nhits; i++)
        worst[i] = 0;
    for (uint32_t at = 0; at < n && at < f->nhits; at++) {
        uint32_t best = at;
        double best_value = -INFINITY;
        struct vhit h;

        for (uint32_t i = at; i < f->nhits; i++) {
            double distance, s = vscore(f->field.metric, f->hit[i].key, &distance);
            double value = (1 - w) * s - w * worst[i];
            if (value > best_value) {
                best_value = value;
                best = i;
            }
        }
        h = f->hit[best]; /* those passed over keep their order */
        for (uint32_t i = best; i > at; i--) {
            f->hit[i] = f->hit[i - 1];
            worst[i] = worst[i - 1];
        }
        f->hit[at] = h;
        for (uint32_t i = at + 1; i < f->nhits; i++) {
            double l = likeness(f, hit_vec(f, &h), hit_vec(f, &f->hit[i]));
            worst[i] = at == 0 || l > worst[i] ? l : worst[i];
        }
    }
}
