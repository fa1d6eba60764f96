/* test_vector_find.c: indexes over a real store: definitions in design documents, _find with a vector
 * clause against brute force, updates, restarts, damaged and missing folders, errors. */
#include "unit.h"

#include "couch_fix.h"

#include <dirent.h>
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

static void open_vectors(struct vec_fix *f)
{
    struct vectors_options o = {0};

    assert_ok(f->x, vectors_open(f->x->s, &o, &f->v, &f->x->e));
}

static int setup(void **state)
{
    struct vec_fix *f = mem_zalloc(sizeof(*f));

    f->x = fix_new(false);
    f->seed = 99;
    open_vectors(f);
    f->db = make_db(f->x, "v");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct vec_fix *f = *state;
    void *x = f->x;

    vectors_close(f->v);
    db_release(f->db);
    mem_free(f);
    return fix_end(&x);
}

static void restart(struct vec_fix *f, void (*between)(struct vec_fix *f))
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

static const struct json *parse(struct vec_fix *f, struct slice text)
{
    const struct json *j = NULL;

    assert_ok(f->x, json_parse(f->x->a, arena_dup(f->x->a, text), &j, &f->x->e));
    return j;
}

static struct slice current_rev(struct vec_fix *f, const char *id)
{
    struct docinfo info;
    int node;

    if (doc_find(f->db, slice_str(id), SLICE_LIT(""), f->x->a, &info, &node, &f->x->e) != ST_OK)
        return SLICE_LIT("");
    return rev_text(f->x->a, &info.tree.nodes[node].rev);
}

static void put_doc(struct vec_fix *f, const char *id, const char *json)
{
    struct doc_edit ed = {.id = slice_str(id), .rev = current_rev(f, id), .new_edits = true};
    struct commit_op op;

    ed.delete_it = json == NULL;
    ed.doc = json != NULL ? parse(f, slice_str(json)) : NULL;
    assert_ok(f->x, doc_edit_prepare(f->db, f->x->a, &ed, &op, &f->x->e));
    assert_ok(f->x, run1(f->x, &op));
}

static struct slice floats(struct vec_fix *f, const float *v, bool base64)
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

static void random_row(struct vec_fix *f, float *v)
{
    for (int i = 0; i < D; i++)
        v[i] = (float)(int)(unit_random(&f->seed) % 2001) / 1000.0f - 1;
}

static const char *doc_id(struct vec_fix *f, int i)
{
    return arena_printf(f->x->a, "d%03d", i).p;
}

static void put_row(struct vec_fix *f, int i)
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

static void drop_row(struct vec_fix *f, int i)
{
    f->there[i] = false;
    put_doc(f, doc_id(f, i), NULL);
}

static const struct json *call_create(struct vec_fix *f, const char *body)
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

static void create(struct vec_fix *f, const char *metric)
{
    const struct json *j = call_create(
        f, arena_printf(f->x->a,
                        "{\"type\":\"vector\",\"ddoc\":\"sem\",\"name\":\"v\",\"index\":"
                        "{\"fields\":[{\"name\":\"v\",\"dims\":%d,\"metric\":\"%s\"}]}}",
                        D, metric)
               .p);

    assert_true(slice_eq(json_get(j, "result")->text, SLICE_LIT("created")));
}

static enum status find_st(struct vec_fix *f, struct slice body, const struct json **out)
{
    struct find_request rq;
    struct buf b;
    enum status st = find_request_parse(f->x->a, parse(f, body), &rq, &f->x->e);

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
static int scored_cmp(const void *x, const void *y)
{
    const struct scored *a = x, *b = y;

    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->i - b->i;
}

static double score_of(const char *metric, const float *q, const float *v)
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
static void assert_hits(struct vec_fix *f, const struct json *ans, const char *metric,
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

static void check_all(struct vec_fix *f, const char *metric)
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

/* ---- tests ---- */

static void history(struct vec_fix *f, const char *metric)
{
    create(f, metric);
    for (int i = 0; i < 60; i++) {
        put_row(f, i);
        check_all(f, metric); /* an acknowledged write is found by the next query */
    }
    for (int i = 0; i < 60; i += 2) {
        if (i % 4 == 0)
            drop_row(f, i);
        else
            put_row(f, i);
        check_all(f, metric);
    }
}

static void test_writes_are_found_l2(void **state)
{
    history(*state, "l2");
}
static void test_writes_are_found_cosine(void **state)
{
    history(*state, "cosine");
}
static void test_writes_are_found_dot(void **state)
{
    history(*state, "dot");
}

static void fill(struct vec_fix *f)
{
    for (int i = 0; i < N; i++)
        put_row(f, i);
}

static void test_index_over_existing_documents(void **state)
{
    struct vec_fix *f = *state;

    fill(f);
    create(f, "l2");
    check_all(f, "l2");
}

static void damage(struct vec_fix *f)
{
    char cmd[200];
    DIR *d;
    struct dirent *de;

    snprintf(cmd, sizeof(cmd), "%s/0/vec/%u", f->x->dir, 1u);
    d = opendir(cmd);
    if (d == NULL)
        return;
    while ((de = readdir(d)) != NULL) {
        char path[600];
        FILE *m;

        if (de->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s/MANIFEST", cmd, de->d_name);
        m = fopen(path, "r+");
        assert_non_null(m);
        assert_int_equal(fseek(m, 30, SEEK_SET), 0);
        fputc('x', m);
        fclose(m);
    }
    closedir(d);
}

static void remove_folder(struct vec_fix *f)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/0/vec", f->x->dir);
    assert_true(fs_exists(path));
    assert_int_equal(fs_remove_tree(path, &f->x->e), ST_OK);
}

static void test_restart_damage_and_loss(void **state)
{
    struct vec_fix *f = *state;

    create(f, "cosine");
    fill(f);
    check_all(f, "cosine");
    restart(f, NULL);
    check_all(f, "cosine");
    put_row(f, 3);
    drop_row(f, 4);
    restart(f, NULL);
    check_all(f, "cosine");
    restart(f, damage);
    check_all(f, "cosine");
    restart(f, remove_folder);
    check_all(f, "cosine");
}

static bool is_five(int i)
{
    return i % 5 == 0;
}
static bool is_seven(int i)
{
    return i == 7;
}

static void test_selector_filters_before_ranking(void **state)
{
    struct vec_fix *f = *state;
    const struct json *ans;
    float q[D];
    struct slice v;

    create(f, "l2");
    fill(f);
    random_row(f, q);
    v = floats(f, q, false);
    FIND(f, &ans, "{\"selector\":{\"g\":\"five\"},\"limit\":30,\"vector\":{\"near\":%.*s}}",
         (int)v.n, v.p);
    assert_hits(f, ans, "l2", q, is_five, 30);
    FIND(f, &ans, "{\"selector\":{\"n\":7},\"vector\":{\"near\":%.*s},\"execution_stats\":true}",
         (int)v.n, v.p);
    assert_hits(f, ans, "l2", q, is_seven, 30);
    ans = json_get(json_get(ans, "execution_stats"), "vector");
    assert_int_equal(json_get(ans, "complete")->type, JSON_TRUE);
    FIND(f, &ans,
         "{\"selector\":{\"g\":\"five\"},\"limit\":500,\"vector\":{\"near\":%.*s,"
         "\"exact\":true}}",
         (int)v.n, v.p);
    assert_hits(f, ans, "l2", q, is_five, 500);
}

static void test_pages_by_bookmark(void **state)
{
    struct vec_fix *f = *state;
    struct slice mark = SLICE_LIT("nil"), v;
    const struct json *ans, *whole;
    const struct json *h;
    float q[D];
    uint32_t n = 0;

    create(f, "l2");
    fill(f);
    random_row(f, q);
    v = floats(f, q, false);
    FIND(f, &whole, "{\"selector\":{},\"limit\":300,\"vector\":{\"near\":%.*s}}", (int)v.n, v.p);
    h = json_get(whole, "hits")->first;
    do {
        FIND(f, &ans,
             "{\"selector\":{},\"limit\":37,\"vector\":{\"near\":%.*s},"
             "\"bookmark\":\"%.*s\"}",
             (int)v.n, v.p, (int)mark.n, mark.p);
        mark = json_get(ans, "bookmark")->text;
        for (const struct json *x = json_get(ans, "hits")->first; x != NULL; x = x->next) {
            assert_true(slice_eq(json_get(x, "id")->text, json_get(h, "id")->text));
            h = h->next;
            n++;
        }
    } while (!slice_eq(mark, SLICE_LIT("nil")));
    assert_int_equal(n, N);
    FIND(f, &ans, "{\"selector\":{},\"limit\":5,\"vector\":{\"near\":%.*s}}", (int)v.n, v.p);
    mark = json_get(ans, "bookmark")->text;
    assert_st(f->x,
              find_st(f,
                      arena_printf(f->x->a,
                                   "{\"selector\":{\"n\":1},\"limit\":5,\"vector\":"
                                   "{\"near\":%.*s},\"bookmark\":\"%.*s\"}",
                                   (int)v.n, v.p, (int)mark.n, mark.p),
                      &ans),
              ST_BAD_REQUEST);
    assert_string_equal(f->x->e.word, "invalid_bookmark");
}

static void test_near_a_document(void **state)
{
    struct vec_fix *f = *state;
    const struct json *ans;
    uint32_t i = 0;

    create(f, "cosine");
    fill(f);
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":10,\"vector\":{\"near\":{\"_id\":\"d005\"}},"
         "\"fields\":[\"_id\",\"_score\"]}");
    f->there[5] = false; /* itself is left out */
    assert_hits(f, ans, "cosine", f->row[5], NULL, 10);
    for (const struct json *d = json_get(ans, "docs")->first; d != NULL; d = d->next, i++)
        assert_true(d->count == 2 && json_get(d, "_score") != NULL);
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":300,\"vector\":{\"near\":[{\"_id\":\"d001\"},"
         "{\"_id\":\"d002\"}],\"away\":{\"_id\":\"d003\"}}}");
    assert_int_equal(json_get(ans, "hits")->count, N - 3);
    assert_st(
        f->x,
        find_st(f, SLICE_LIT("{\"selector\":{},\"vector\":{\"near\":{\"_id\":\"nope\"}}}"), &ans),
        ST_NOT_FOUND);
}

static void test_projection(void **state)
{
    struct vec_fix *f = *state;
    const struct json *ans, *d;

    create(f, "l2");
    fill(f);
    FIND(f, &ans, "{\"selector\":{},\"limit\":1,\"vector\":{\"near\":{\"_id\":\"d001\"}}}");
    d = json_get(ans, "docs")->first;
    assert_true(json_get(d, "v") != NULL && json_get(d, "_rev") != NULL);
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":1,\"vectors\":false,"
         "\"vector\":{\"near\":{\"_id\":\"d001\"}}}");
    d = json_get(ans, "docs")->first;
    assert_true(json_get(d, "v") == NULL && json_get(d, "_rev") != NULL);
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":50,\"sort\":[{\"n\":\"desc\"}],\"fields\":[\"n\"],"
         "\"vector\":{\"near\":{\"_id\":\"d001\"}}}");
    int64_t last = N, n = 0;
    for (d = json_get(ans, "docs")->first; d != NULL; d = d->next) {
        assert_true(json_int(json_get(d, "n"), &n) && n < last);
        last = n;
    }
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":20,"
         "\"vector\":{\"near\":{\"_id\":\"d001\"},\"diversity\":0.5}}");
    assert_int_equal(json_get(ans, "hits")->count, 20);
    FIND(f, &ans,
         "{\"selector\":{},\"limit\":100,"
         "\"vector\":{\"near\":{\"_id\":\"d001\"},\"max_distance\":1.0}}");
    assert_true(json_get(ans, "hits")->count < 100);
    for (d = json_get(ans, "hits")->first; d != NULL; d = d->next)
        assert_true(json_double(json_get(d, "distance")) <= 1.0);
}

static void test_elements_of_an_array(void **state)
{
    struct vec_fix *f = *state;
    const struct json *ans, *h;

    (void)call_create(f,
                      "{\"type\":\"vector\",\"ddoc\":\"c\",\"name\":\"c\",\"index\":{\"fields\":["
                      "{\"name\":\"chunks.[].vec\",\"dims\":2,\"metric\":\"l2\"}]}}");
    put_doc(f, "a", "{\"chunks\":[{\"vec\":[0,1]},{\"t\":1},{\"vec\":[5,5]}]}");
    put_doc(f, "b", "{\"chunks\":[{\"vec\":[0,0]},{\"vec\":[5,6]}]}");
    put_doc(f, "bad", "{\"chunks\":[{\"vec\":[0,0]},{\"vec\":[5]}]}");
    FIND(f, &ans, "{\"selector\":{},\"vector\":{\"field\":\"chunks.[].vec\",\"near\":[5,5]}}");
    assert_int_equal(json_get(ans, "hits")->count, 2);
    h = json_get(ans, "hits")->first;
    assert_true(slice_eq(json_get(h, "at")->text, SLICE_LIT("chunks.2.vec")));
    assert_true(slice_eq(json_get(h->next, "at")->text, SLICE_LIT("chunks.1.vec")));
    FIND(f, &ans,
         "{\"selector\":{},\"vector\":{\"near\":{\"_id\":\"b\",\"at\":\"chunks.0.vec\"}}}");
    h = json_get(ans, "hits")->first;
    assert_true(slice_eq(json_get(h, "at")->text, SLICE_LIT("chunks.0.vec")));
    FIND(f, &ans, "{\"selector\":{},\"vectors\":false,\"vector\":{\"near\":[5,5]}}");
    h = json_get(json_get(ans, "docs")->first, "chunks");
    assert_true(h->count == 3 && json_get(h->first, "vec") == NULL);
    assert_non_null(json_get(h->first->next, "t"));
}

static const struct json *info(struct vec_fix *f, const char *ddoc, const char *name)
{
    struct buf b;
    const struct json *j;

    buf_init(&b, 1u << 20);
    assert_ok(f->x,
              vectors_info(f->v, f->db, slice_str(ddoc), slice_str(name), f->x->a, &b, &f->x->e));
    j = json_get(parse(f, buf_slice(&b)), "vector_index");
    buf_free(&b);
    return j;
}

static void test_malformed_vectors_are_counted(void **state)
{
    struct vec_fix *f = *state;
    const struct json *j;
    int64_t n = 0;

    create(f, "cosine");
    put_row(f, 1);
    put_doc(f, "short", "{\"v\":[1,2]}");
    put_doc(f, "text", "{\"v\":\"!!\"}");
    put_doc(f, "zero", "{\"v\":[0,0,0,0,0,0,0,0]}");
    put_doc(f, "big", "{\"v\":[1e400,0,0,0,0,0,0,0]}");
    put_doc(f, "none", "{\"w\":1}");
    check_all(f, "cosine");
    j = json_get(info(f, "sem", "v"), "skipped");
    assert_true(json_int(json_get(j, "count"), &n));
    assert_int_equal(n, 4);
    assert_int_equal(json_get(j, "sample")->count, 4);
    put_doc(f, "short", "{\"v\":[1,2,3,4,5,6,7,8]}");
    put_doc(f, "text", NULL);
    restart(f, NULL);
    f->x->e.reason[0] = 0;
    FIND(f, &j, "{\"selector\":{},\"vector\":{\"near\":[1,0,0,0,0,0,0,0]}}");
    assert_int_equal(json_get(j, "hits")->count, 2);
    assert_true(json_int(json_get(json_get(info(f, "sem", "v"), "skipped"), "count"), &n));
    assert_int_equal(n, 2);
}

static void expect(struct vec_fix *f, const char *body, const char *word)
{
    const struct json *ans;
    enum status st = find_st(f, slice_str(body), &ans);

    if (st == ST_OK || f->x->e.word == NULL || strcmp(f->x->e.word, word) != 0)
        print_error("%s: status %d, %s\n", body, (int)st, f->x->e.reason);
    assert_int_equal(st, ST_BAD_REQUEST);
    assert_string_equal(f->x->e.word, word);
}

static void test_errors(void **state)
{
    struct vec_fix *f = *state;

    create(f, "cosine");
    put_row(f, 1);
    expect(f, "{\"selector\":{},\"vector\":7}", "invalid_value");
    expect(f, "{\"selector\":{},\"vector\":{\"nearest\":1}}", "invalid_key");
    expect(f, "{\"selector\":{},\"vector\":{\"field\":\"v\"}}", "missing_required_key");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":[1,2]}}", "invalid_vector");
    assert_non_null(strstr(f->x->e.reason, "expects 8 numbers, got 2"));
    expect(f, "{\"selector\":{},\"vector\":{\"near\":[0,0,0,0,0,0,0,0]}}", "invalid_vector");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":[0,0,0,true,0,0,0,0]}}", "invalid_vector");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":\"@@\"}}", "invalid_vector");
    expect(f, "{\"selector\":{},\"vector\":{\"field\":\"w\",\"near\":[1]}}", "no_usable_index");
    expect(f, "{\"selector\":{},\"use_index\":\"other\",\"vector\":{\"near\":[1]}}",
           "no_usable_index");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":[1,0,0,0,0,0,0,0],\"model\":\"m\"}}",
           "model_mismatch");
    expect(f, "{\"selector\":{},\"limit\":9000,\"skip\":2000,\"vector\":{\"near\":[1]}}",
           "invalid_value");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":[1],\"effort\":10001}}", "invalid_value");
    expect(f, "{\"selector\":{},\"sort\":[{\"_score\":\"asc\"}],\"vector\":{\"near\":[1]}}",
           "unsupported_sort");
    expect(f, "{\"selector\":{},\"bookmark\":\"abcd\",\"vector\":{\"near\":[1,0,0,0,0,0,0,0]}}",
           "invalid_bookmark");
    expect(f, "{\"selector\":{},\"vector\":{\"near\":{\"text\":\"x\"}}}", "not_configured");
}

static void test_definitions(void **state)
{
    static const char *const bad[] = {
        "{\"fields\":[]}",
        "{\"fields\":[{\"name\":\"v\"}]}",
        "{\"fields\":[{\"name\":\"v\",\"type\":\"vector\"}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":8193}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":0}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":1.5}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":3,\"metric\":\"taxi\"}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":3,\"encoding\":\"int8\"}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":3},{\"name\":\"v\",\"dims\":3}]}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":3}],\"graph\":{\"m\":3}}",
        "{\"fields\":[{\"name\":\"v\",\"dims\":3}],\"other\":1}",
        "{\"fields\":[{\"name\":\"n\",\"type\":\"number\"}]}",
        "{\"fields\":[{\"name\":\"a.[].b.[].c\",\"dims\":3}]}",
    };
    struct vec_fix *f = *state;
    struct arena *a = f->x->a;
    const struct json *j;
    struct buf b;

    buf_init(&b, 1u << 20);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct slice s = arena_printf(a, "{\"type\":\"vector\",\"index\":%s}", bad[i]);
        enum status st = vectors_index_create(f->v, f->db, parse(f, s), a, &b, &f->x->e);
        if (st != ST_BAD_REQUEST)
            print_error("accepted: %s\n", bad[i]);
        assert_int_equal(st, ST_BAD_REQUEST);
        assert_string_equal(f->x->e.word, "invalid_index");
    }
    static const char same[] =
        "{\"type\":\"vector\",\"index\":{\"fields\":[{\"name\":\"v\",\"dims\":8},"
        "{\"name\":\"year\",\"type\":\"number\"}]}}";
    j = call_create(f, same);
    assert_true(slice_eq(json_get(j, "result")->text, SLICE_LIT("created")));
    assert_int_equal(json_get(j, "name")->text.n, 40);
    j = call_create(f, same);
    assert_true(slice_eq(json_get(j, "result")->text, SLICE_LIT("exists")));
    create(f, "l2");
    assert_ok(f->x, vectors_index_list(f->v, f->db, a, &b, &f->x->e));
    j = parse(f, buf_slice(&b));
    assert_int_equal(json_get(j, "indexes")->count, 3);
    assert_ok(f->x,
              vectors_index_delete(f->v, f->db, SLICE_LIT("sem"), SLICE_LIT("v"), a, &f->x->e));
    assert_st(f->x,
              vectors_index_delete(f->v, f->db, SLICE_LIT("sem"), SLICE_LIT("v"), a, &f->x->e),
              ST_NOT_FOUND);
    buf_clear(&b);
    assert_ok(f->x, vectors_index_list(f->v, f->db, a, &b, &f->x->e));
    assert_int_equal(json_get(parse(f, buf_slice(&b)), "indexes")->count, 2);
    assert_ok(f->x, vectors_cleanup(f->v, f->db, &f->x->e));
    buf_free(&b);
}

static void test_partial_and_replicated_definition(void **state)
{
    struct vec_fix *f = *state;
    const struct json *ans;
    float q[D];
    struct slice v;

    fill(f);
    put_doc(f, "_design/p",
            "{\"language\":\"query\",\"vectors\":{\"x\":{\"index\":{\"fields\":[{"
            "\"name\":\"v\",\"dims\":8,\"metric\":\"l2\"}],"
            "\"partial_filter_selector\":{\"g\":\"five\"}}}}}");
    random_row(f, q);
    v = floats(f, q, false);
    expect(f,
           arena_printf(f->x->a, "{\"selector\":{},\"vector\":{\"near\":%.*s}}", (int)v.n, v.p).p,
           "no_usable_index"); /* partial ones only when named */
    FIND(f, &ans, "{\"selector\":{},\"limit\":90,\"use_index\":\"p\",\"vector\":{\"near\":%.*s}}",
         (int)v.n, v.p);
    assert_hits(f, ans, "l2", q, is_five, 90);
    FIND(f, &ans,
         "{\"selector\":{\"n\":{\"$lt\":100}},\"limit\":9,\"vector\":{\"field\":\"v\","
         "\"metric\":\"l2\",\"exact\":true,\"near\":%.*s}}",
         (int)v.n, v.p);
    assert_non_null(json_get(ans, "warning")); /* no index: every document was read */
    assert_int_equal(json_get(ans, "hits")->count, 9);
}

static void test_dropped_database(void **state)
{
    struct vec_fix *f = *state;
    char path[200];

    create(f, "l2");
    fill(f);
    check_all(f, "l2");
    snprintf(path, sizeof(path), "%s/0/vec/%u", f->x->dir, db_num(f->db));
    assert_true(fs_exists(path));
    assert_ok(f->x, drop_db(f->x, f->db));
    for (int i = 0; i < 100 && fs_exists(path); i++)
        time_sleep_us(50000);
    assert_false(fs_exists(path));
    db_release(f->db);
    f->db = make_db(f->x, "v");
    memset(f->there, 0, sizeof(f->there));
    create(f, "l2");
    check_all(f, "l2");
    put_row(f, 9);
    check_all(f, "l2");
}

static void test_explain_and_tasks(void **state)
{
    struct vec_fix *f = *state;
    struct find_request rq;
    struct buf b;
    unsigned n = 0;
    const struct json *j;

    create(f, "l2");
    fill(f);
    buf_init(&b, 1u << 20);
    assert_ok(f->x, find_request_parse(f->x->a,
                                       parse(f, SLICE_LIT("{\"selector\":{\"n\":1},\"vector\":"
                                                          "{\"near\":{\"_id\":\"d003\"}}}")),
                                       &rq, &f->x->e));
    assert_ok(f->x, vectors_explain(f->v, f->db, &rq, f->x->a, &b, &f->x->e));
    j = parse(f, buf_slice(&b));
    assert_true(slice_eq(json_get(json_get(j, "index"), "name")->text, SLICE_LIT("v")));
    assert_non_null(json_get(json_get(j, "vector"), "plan"));
    buf_clear(&b);
    buf_char(&b, '[');
    vectors_tasks(f->v, &b, &n);
    buf_char(&b, ']');
    (void)parse(f, buf_slice(&b));
    buf_free(&b);
    assert_ok(f->x, vectors_compact(f->v, f->db, SLICE_LIT("sem"), &f->x->e));
    assert_st(f->x, vectors_compact(f->v, f->db, SLICE_LIT("nope"), &f->x->e), ST_NOT_FOUND);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_writes_are_found_l2),
        T(test_writes_are_found_cosine),
        T(test_writes_are_found_dot),
        T(test_index_over_existing_documents),
        T(test_restart_damage_and_loss),
        T(test_selector_filters_before_ranking),
        T(test_pages_by_bookmark),
        T(test_near_a_document),
        T(test_projection),
        T(test_elements_of_an_array),
        T(test_malformed_vectors_are_counted),
        T(test_errors),
        T(test_definitions),
        T(test_partial_and_replicated_definition),
        T(test_dropped_database),
        T(test_explain_and_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
