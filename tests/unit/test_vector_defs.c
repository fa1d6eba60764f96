/* test_vector_defs.c: definitions of vector indexes in design documents, what they leave out,
 * errors of the clause, dropped databases, explain. */
#include "unit.h"

#include "vector_fix.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_malformed_vectors_are_counted),
        T(test_errors),
        T(test_definitions),
        T(test_partial_and_replicated_definition),
        T(test_dropped_database),
        T(test_explain_and_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
