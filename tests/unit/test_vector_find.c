/* test_vector_find.c: _find with a vector clause over a real store against brute force: updates,
 * restarts, damaged and missing folders, selectors, pages, projections. */
#include "unit.h"

#include <dirent.h>

#include "vector_fix.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
