/* tests/unit/vector_fix.h: a store with vector indexes to test with: documents with random vectors,
 * queries, and the brute-force answers. Included by one file of each test program, after unit.h. */
#ifndef VECTOR_FIX_H
#define VECTOR_FIX_H
#include "couch_fix.h"

#include <math.h>

#include "base/text.h"
#include "base/time.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "vector/vector.h"

enum { D = 8, N = 300 };

struct vec_fix {
    struct fix *x;
    struct vectors *v;
    struct db *db;
    float row[N][D];
    bool there[N];
    uint64_t seed;
};

/* ---- helpers ---- */

static inline void open_vectors(struct vec_fix *f)
{
    struct vectors_options o = {0};

    assert_ok(f->x, vectors_open(f->x->all, &o, &f->v, &f->x->e));
}

static inline int setup(void **state)
{
    struct vec_fix *f = mem_zalloc(sizeof(*f));

    f->x = fix_new(false, 0);
    f->seed = 99;
    open_vectors(f);
    f->db = make_db(f->x, "v");
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct vec_fix *f = *state;
    void *x = f->x;

    vectors_close(f->v);
    db_release(f->db);
    mem_free(f);
    return fix_end(&x);
}

static inline void restart(struct vec_fix *f, void (*between)(struct vec_fix *f))
{
    vectors_close(f->v);
    db_release(f->db);
    fix_close(f->x);
    if (between != NULL)
        between(f);
    fix_open(f->x);
    open_vectors(f);
    f->db = open_db(f->x, "v");
}

static inline const struct json *parse(struct vec_fix *f, struct slice text)
{
    const struct json *j = NULL;

    assert_ok(f->x, json_parse(f->x->a, arena_dup(f->x->a, text), &j, &f->x->e));
    return j;
}

static inline struct slice current_rev(struct vec_fix *f, const char *id)
{
    struct docinfo info;
    int node;

    if (doc_find(f->db, slice_str(id), SLICE_LIT(""), f->x->a, &info, &node, &f->x->e) != ST_OK)
        return SLICE_LIT("");
    return rev_text(f->x->a, &info.tree.nodes[node].rev);
}

static inline void put_doc(struct vec_fix *f, const char *id, const char *json)
{
    struct doc_edit ed = {.id = slice_str(id), .rev = current_rev(f, id), .new_edits = true};
    struct commit_op op;

    ed.delete_it = json == NULL;
    ed.doc = json != NULL ? parse(f, slice_str(json)) : NULL;
    assert_ok(f->x, doc_edit_prepare(f->db, f->x->a, &ed, &op, &f->x->e));
    assert_ok(f->x, run1(f->x, &op));
}

static inline struct slice floats(struct vec_fix *f, const float *v, bool base64)
{
    struct buf b;
    struct slice s;

    buf_init(&b, 1u << 20);
    if (base64) {
        char *p = arena_alloc(f->x->a, base64_encoded_len(D * 4));
        base64_encode(v, D * 4, p);
        json_write_str(&b, slice_of(p, base64_encoded_len(D * 4)));
    } else {
        for (int i = 0; i < D; i++) {
            buf_char(&b, i == 0 ? '[' : ',');
            json_write_num(&b, (double)v[i]);
        }
        buf_char(&b, ']');
    }
    s = arena_dup(f->x->a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static inline void random_row(struct vec_fix *f, float *v)
{
    for (int i = 0; i < D; i++)
        v[i] = (float)(int)(unit_random(&f->seed) % 2001) / 1000.0f - 1;
}

static inline const char *doc_id(struct vec_fix *f, int i)
{
    return arena_printf(f->x->a, "d%03d", i).p;
}

static inline void put_row(struct vec_fix *f, int i)
{
    struct slice v;

    random_row(f, f->row[i]);
    f->there[i] = true;
    v = floats(f, f->row[i], i % 3 == 0);
    put_doc(f, doc_id(f, i),
            arena_printf(f->x->a, "{\"n\":%d,\"g\":\"%s\",\"v\":%.*s}", i,
                         i % 5 == 0 ? "five" : "other", (int)v.n, v.p)
                .p);
}

static inline void drop_row(struct vec_fix *f, int i)
{
    f->there[i] = false;
    put_doc(f, doc_id(f, i), NULL);
}

static inline const struct json *call_create(struct vec_fix *f, const char *body)
{
    struct buf b;
    const struct json *j;

    buf_init(&b, 1u << 20);
    assert_ok(f->x,
              vectors_index_create(f->v, f->db, parse(f, slice_str(body)), f->x->a, &b, &f->x->e));
    j = parse(f, buf_slice(&b));
    buf_free(&b);
    return j;
}

static inline void create(struct vec_fix *f, const char *metric)
{
    const struct json *j = call_create(
        f, arena_printf(f->x->a,
                        "{\"type\":\"vector\",\"ddoc\":\"sem\",\"name\":\"v\",\"index\":"
                        "{\"fields\":[{\"name\":\"v\",\"dims\":%d,\"metric\":\"%s\"}]}}",
                        D, metric)
               .p);

    assert_true(slice_eq(json_get(j, "result")->text, SLICE_LIT("created")));
}

static inline enum status find_st(struct vec_fix *f, struct slice body, const struct json **out)
{
    struct find_request rq;
    struct buf b;
    enum status st = find_request_parse(f->x->a, parse(f, body), &rq, &f->x->e);

    *out = NULL;
    if (st != ST_OK)
        return st;
    assert_non_null(rq.vector);
    buf_init(&b, 64u << 20);
    st = vectors_find(f->v, f->db, &rq, f->x->a, &b, &f->x->e);
    if (st == ST_OK)
        *out = parse(f, buf_slice(&b));
    buf_free(&b);
    return st;
}

#define FIND(f, out, ...) assert_ok((f)->x, find_st(f, arena_printf((f)->x->a, __VA_ARGS__), out))

struct scored {
    double score;
    int i;
};
static inline int scored_cmp(const void *x, const void *y)
{
    const struct scored *a = x, *b = y;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->i - b->i;
}

static inline double score_of(const char *metric, const float *q, const float *v)
{
    double dot = 0, qq = 0, vv = 0, dd = 0;

    for (int i = 0; i < D; i++) {
        double a = (double)q[i], b = (double)v[i];
        dot += a * b;
        qq += a * a;
        vv += b * b;
        dd += (a - b) * (a - b);
    }
    if (metric[0] == 'l')
        return 1 / (1 + sqrt(dd));
    return metric[0] == 'd' ? dot : dot / sqrt(qq * vv);
}

/* The answer's hits are the brute-force ones. */
static inline void assert_hits(struct vec_fix *f, const struct json *ans, const char *metric,
                               const float *q, bool (*keep)(int i), uint32_t limit)
{
    struct scored s[N];
    uint32_t n = 0;
    const struct json *h = json_get(ans, "hits")->first, *d = json_get(ans, "docs")->first;

    for (int i = 0; i < N; i++)
        if (f->there[i] && (keep == NULL || keep(i)))
            s[n++] = (struct scored){score_of(metric, q, f->row[i]), i};
    qsort(s, n, sizeof(s[0]), scored_cmp);
    n = n < limit ? n : limit;
    assert_int_equal(json_get(ans, "hits")->count, n);
    assert_int_equal(json_get(ans, "docs")->count, n);
    for (uint32_t i = 0; i < n; i++, h = h->next, d = d->next) {
        assert_true(slice_eq(json_get(h, "id")->text, slice_str(doc_id(f, s[i].i))));
        assert_true(fabs(json_double(json_get(h, "score")) - s[i].score) < 1e-9);
        assert_true(slice_eq(json_get(d, "_id")->text, json_get(h, "id")->text));
    }
}

static inline void check_all(struct vec_fix *f, const char *metric)
{
    const struct json *ans;
    float q[D];
    struct slice v;

    random_row(f, q);
    v = floats(f, q, true);
    FIND(f, &ans, "{\"selector\":{},\"limit\":20,\"vector\":{\"field\":\"v\",\"near\":%.*s}}",
         (int)v.n, v.p);
    assert_hits(f, ans, metric, q, NULL, 20);
}

static inline void fill(struct vec_fix *f)
{
    for (int i = 0; i < N; i++)
        put_row(f, i);
}

static inline bool is_five(int i)
{
    return i % 5 == 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#endif
