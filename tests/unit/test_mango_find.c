/* _find over a real store: answers, pages, warnings, plans, errors; and the request's members. */
#include "base/text.h"
#include "couch_fixture.h"
#include "mango/find.h"

#define WARNING "No matching index found, create an index to optimize query time."

/* ---- requests ---- */

static void refuse(struct fixture *f, const char *text, const char *word, const char *reason)
{
    struct find_request rq;
    enum status st = find_request_parse(f->a, parse(f, text), &rq, &f->e);

    if (st != ST_BAD_REQUEST)
        fail_msg("%s: status %d", text, (int)st);
    assert_word(f, word);
    if (reason != NULL)
        assert_reason(f, reason);
}

static void test_request_errors(void **state)
{
    struct fixture f = {.a = arena_new()};

    (void)state;
    refuse(&f, "{}", "missing_required_key", "Missing required key: selector");
    refuse(&f, "{\"selector\":{},\"limti\":1}", "invalid_key",
           "Invalid key limti for this request.");
    refuse(&f, "{\"selector\":[]}", "invalid_selector_json", NULL);
    refuse(&f, "{\"selector\":{\"a\":{\"$x\":1}}}", "invalid_operator", NULL);
    refuse(&f, "{\"selector\":{},\"limit\":-1}", "invalid_non_neg_integer",
           "-1 is not an integer greater than or equal to zero");
    refuse(&f, "{\"selector\":{},\"limit\":1.5}", "invalid_non_neg_integer", NULL);
    refuse(&f, "{\"selector\":{},\"skip\":\"1\"}", "invalid_non_neg_integer", NULL);
    refuse(&f, "{\"selector\":{},\"r\":0}", "invalid_pos_integer", NULL);
    refuse(&f, "{\"selector\":{},\"sort\":{\"a\":\"asc\"}}", "invalid_sort_json", NULL);
    refuse(&f, "{\"selector\":{},\"fields\":\"a\"}", "invalid_fields", NULL);
    refuse(&f, "{\"selector\":{},\"fields\":[1]}", "invalid_field", NULL);
    refuse(&f, "{\"selector\":{},\"use_index\":5}", "invalid_index_name", NULL);
    refuse(&f, "{\"selector\":{},\"use_index\":\"\"}", "invalid_index_name", NULL);
    refuse(&f, "{\"selector\":{},\"use_index\":[\"a\",1]}", "invalid_index_name", NULL);
    refuse(&f, "{\"selector\":{},\"use_index\":[\"a\",\"b\",\"c\"]}", "invalid_index_name", NULL);
    refuse(&f, "{\"selector\":{},\"bookmark\":1}", "invalid_bookmark", NULL);
    refuse(&f, "{\"selector\":{},\"conflicts\":1}", "invalid_boolean", "Invalid boolean value: 1");
    refuse(&f, "{\"selector\":{},\"update\":\"x\"}", "invalid_boolean", NULL);
    refuse(&f, "{\"selector\":{},\"stale\":\"x\"}", "invalid_value", NULL);
    refuse(&f, "{\"selector\":{},\"partition\":\"x\"}", "invalid_value", NULL);
    arena_free(f.a);
}

static void expect_index(struct fixture *f, const char *use, const char *ddoc, const char *name)
{
    struct find_request rq;
    char text[128];

    snprintf(text, sizeof text, "{\"selector\":{},\"use_index\":%s}", use);
    OK(f, find_request_parse(f->a, parse(f, text), &rq, &f->e));
    assert_true(slice_eq(rq.use_ddoc, slice_str(ddoc)));
    assert_true(slice_eq(rq.use_name, slice_str(name)));
}

static void test_request(void **state)
{
    struct fixture f = {.a = arena_new()};
    struct find_request rq;

    (void)state;
    OK(&f, find_request_parse(f.a, parse(&f, "{\"selector\":{}}"), &rq, &f.e));
    assert_int_equal(rq.limit, 25);
    assert_int_equal(rq.skip, 0);
    assert_true(rq.update && rq.allow_fallback && !rq.conflicts && !rq.execution_stats);
    assert_true(rq.sort == NULL && rq.vector == NULL && rq.fields.n == 0 && rq.bookmark.n == 0);
    OK(&f,
       find_request_parse(
           f.a,
           parse(&f, "{\"selector\":{},\"limit\":0,\"skip\":3,\"sort\":[\"a\"],\"fields\":[\"b\"],"
                     "\"bookmark\":\"nil\",\"r\":2,\"conflicts\":true,\"stable\":true,"
                     "\"update\":false,\"stale\":\"ok\",\"partition\":\"\","
                     "\"execution_stats\":true,\"allow_fallback\":false,\"vector\":{\"k\":1}}"),
           &rq, &f.e));
    assert_true(rq.limit == 0 && rq.skip == 3 && rq.sort->count == 1 && rq.fields.n == 1);
    assert_true(rq.bookmark.n == 0 && rq.conflicts && !rq.update && rq.execution_stats);
    assert_true(!rq.allow_fallback && json_get(rq.vector, "k") != NULL);
    expect_index(&f, "null", "", "");
    expect_index(&f, "[]", "", "");
    expect_index(&f, "\"d\"", "d", "");
    expect_index(&f, "\"_design/d\"", "d", "");
    expect_index(&f, "\"d/n\"", "d", "n");
    expect_index(&f, "\"_design/d/n\"", "d", "n");
    expect_index(&f, "[\"_design/d\"]", "d", "");
    expect_index(&f, "[\"d\",\"n\"]", "d", "n");
    arena_free(f.a);
}

/* ---- answers ---- */

static enum status find(struct fixture *f, const char *text, const struct json **answer)
{
    struct find_request rq;
    enum status st = find_request_parse(f->a, parse(f, text), &rq, &f->e);

    buf_clear(&f->out);
    if (st == ST_OK)
        st = find_run(f->db, &rq, f->a, &f->out, &f->e);
    if (st == ST_OK)
        *answer = parse(f, take(f));
    return st;
}

static const struct json *answer_of(struct fixture *f, const char *text)
{
    const struct json *answer = NULL;

    OK(f, find(f, text, &answer));
    return answer;
}

static const char *string_of(struct fixture *f, const struct json *answer, const char *name)
{
    const struct json *v = json_get(answer, name);

    return v == NULL ? "(none)" : arena_cstr(f->a, v->text);
}

/* The ids of an answer, one after another with a space between. */
static const char *ids_of(struct fixture *f, const struct json *answer)
{
    const struct json *docs = json_get(answer, "docs");
    struct buf b;
    const char *s;

    buf_init(&b, 1u << 20);
    for (const struct json *d = docs->first; d != NULL; d = d->next) {
        if (b.n != 0)
            buf_char(&b, ' ');
        buf_add(&b, json_get(d, "_id")->text);
    }
    s = arena_cstr(f->a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static void expect(struct fixture *f, const char *text, const char *ids, const char *warning)
{
    const struct json *answer = answer_of(f, text);

    assert_string_equal(ids_of(f, answer), ids);
    assert_string_equal(string_of(f, answer, "warning"), warning);
    assert_string_equal(arena_cstr(f->a, answer->first->key), "docs");
    if (json_get(answer, "docs")->count == 0)
        assert_string_equal(string_of(f, answer, "bookmark"), "nil");
}

static int with_documents(void **state)
{
    struct fixture *f;
    char id[16], text[128];

    if (fixture_open(state) != 0)
        return -1;
    f = *state;
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof id, "d%d", i);
        snprintf(text, sizeof text, "{\"n\":%d,\"sub\":{\"even\":%s},\"list\":[%d,9]}", i,
                 i % 2 == 0 ? "true" : "false", i);
        OK(f, put(f, id, text));
    }
    OK(f, put(f, "Z", "{\"upper\":true}"));
    OK(f, put(f, "_design/x", "{\"n\":1}"));
    OK(f, put(f, "dead", "{\"n\":1}"));
    OK(f, erase(f, "dead", f->rev));
    return 0;
}

static void test_answers(void **state)
{
    struct fixture *f = *state;

    expect(f, "{\"selector\":{}}", "Z d0 d1 d2 d3 d4 d5 d6 d7", WARNING);
    expect(f, "{\"selector\":{\"n\":1}}", "d1", WARNING);
    expect(f, "{\"selector\":{\"n\":{\"$gt\":5}}}", "d6 d7", WARNING);
    expect(f, "{\"selector\":{\"sub.even\":true},\"limit\":2}", "d0 d2", WARNING);
    expect(f, "{\"selector\":{\"sub.even\":true},\"limit\":2,\"skip\":1}", "d2 d4", WARNING);
    expect(f, "{\"selector\":{},\"limit\":0}", "", WARNING);
    expect(f, "{\"selector\":{\"$or\":[]}}", "", WARNING);
    expect(f, "{\"selector\":{\"n\":99}}", "", WARNING);
    expect(f, "{\"selector\":{\"_rev\":{\"$beginsWith\":\"1-\"}},\"limit\":2}", "Z d0", WARNING);
    /* ranges of ids need no other index */
    expect(f, "{\"selector\":{\"_id\":\"d3\"}}", "d3", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$gt\":\"d5\"}}}", "d6 d7", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$gte\":\"d1\",\"$lt\":\"d3\"}}}", "d1 d2", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$gt\":null}},\"limit\":2}", "Z d0", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$beginsWith\":\"d\"}},\"limit\":1}", "d0", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$lte\":\"Z\"}}}", "Z", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$gt\":\"d5\",\"$lt\":\"d2\"}}}", "", "(none)");
    expect(f, "{\"selector\":{\"_id\":5}}", "", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$in\":[\"d7\",\"d2\",\"x\"]}}}", "d2 d7", WARNING);
    expect(f, "{\"selector\":{\"_id\":{\"$gt\":\"d2\"},\"sub.even\":true}}", "d4 d6", WARNING);
    expect(f, "{\"selector\":{\"$or\":[{\"_id\":\"d1\"},{\"n\":4}]}}", "d1 d4", WARNING);
    expect(f, "{\"selector\":{\"_id\":{\"$not\":{\"$beginsWith\":\"d\"}}}}", "Z", WARNING);
    expect(f, "{\"selector\":{\"_id\":\"_design/x\"}}", "", "(none)");
}

static void test_sort(void **state)
{
    struct fixture *f = *state;
    const struct json *answer;
    static const struct {
        const char *sort, *word;
    } bad[] = {
        {"[\"n\"]", "no_usable_index"},
        {"[\"_id\",\"n\"]", "no_usable_index"},
        {"[{\"_id\":\"up\"}]", "invalid_sort_dir"},
        {"[{\"_id\":1}]", "invalid_sort_dir"},
        {"[{}]", "invalid_sort_field"},
        {"[1]", "invalid_sort_field"},
        {"[{\"_id\":\"asc\"},{\"n\":\"desc\"}]", "unsupported_mixed_sort"},
    };

    expect(f, "{\"selector\":{\"_id\":{\"$gt\":\"d4\"}},\"sort\":[\"_id\"]}", "d5 d6 d7", "(none)");
    expect(f, "{\"selector\":{\"_id\":{\"$gt\":\"d4\"}},\"sort\":[{\"_id\":\"desc\"}]}", "d7 d6 d5",
           "(none)");
    expect(f, "{\"selector\":{},\"sort\":[{\"_id\":\"desc\"}],\"limit\":2}", "d7 d6", WARNING);
    expect(f, "{\"selector\":{},\"sort\":[],\"limit\":2}", "Z d0", WARNING);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"selector\":{},\"sort\":%s}", bad[i].sort);
        assert_int_equal(find(f, text, &answer), ST_BAD_REQUEST);
        assert_word(f, bad[i].word);
    }
    assert_int_equal(find(f, "{\"selector\":{},\"sort\":[\"n\"]}", &answer), ST_BAD_REQUEST);
    assert_reason(f, "No index exists for this sort, try indexing by the sort fields.");
}

/* Pages of every size, both ways, cover everything once and in order. */
static void test_pages(void **state)
{
    static const char *const whole[] = {"Z d0 d1 d2 d3 d4 d5 d6 d7", "d7 d6 d5 d4 d3 d2 d1 d0 Z"};
    struct fixture *f = *state;

    for (int way = 0; way < 2; way++) {
        for (unsigned limit = 1; limit <= 10; limit++) {
            const char *bookmark = "nil";
            char got[128] = "", text[256];
            unsigned pages = 0;

            for (;;) {
                snprintf(text, sizeof text,
                         "{\"selector\":{},\"limit\":%u,\"sort\":[{\"_id\":\"%s\"}],"
                         "\"bookmark\":\"%s\"}",
                         limit, way == 0 ? "asc" : "desc", bookmark);
                const struct json *answer = answer_of(f, text);
                size_t n = strlen(got);
                bookmark = string_of(f, answer, "bookmark");
                if (json_get(answer, "docs")->count == 0)
                    break;
                snprintf(got + n, sizeof got - n, "%s%s", n != 0 ? " " : "", ids_of(f, answer));
                assert_true(++pages < 12);
            }
            assert_string_equal(bookmark, "nil");
            assert_string_equal(got, whole[way]);
        }
    }
}

static void test_bookmarks(void **state)
{
    struct fixture *f = *state;
    const struct json *answer = answer_of(f, "{\"selector\":{},\"limit\":3}");
    const char *good = string_of(f, answer, "bookmark");
    char text[256], bent[128];

    for (size_t i = 0; i < strlen(good); i++) {
        snprintf(bent, sizeof bent, "%s", good);
        bent[i] = bent[i] == 'A' ? 'B' : 'A';
        snprintf(text, sizeof text, "{\"selector\":{},\"bookmark\":\"%s\"}", bent);
        /* the last character may hold bits that do not count */
        if (find(f, text, &answer) == ST_OK)
            assert_int_equal(i, strlen(good) - 1);
        else
            assert_word(f, "invalid_bookmark");
    }
    snprintf(text, sizeof text,
             "{\"selector\":{},\"sort\":[{\"_id\":\"desc\"}],\"bookmark\":\"%s\"}", good);
    assert_int_equal(find(f, text, &answer), ST_BAD_REQUEST);
    assert_word(f, "invalid_bookmark");
    assert_int_equal(find(f, "{\"selector\":{},\"bookmark\":\"!\"}", &answer), ST_BAD_REQUEST);
    assert_reason(f, "Invalid bookmark value: \"!\"");
    /* the bookmarked document may be gone, and new ones come between */
    OK(f, erase(f, "d1", string_of(f, parse(f, get(f, "d1")), "_rev")));
    OK(f, put(f, "d1b", "{}"));
    snprintf(text, sizeof text, "{\"selector\":{},\"limit\":2,\"bookmark\":\"%s\"}", good);
    expect(f, text, "d1b d2", WARNING);
    snprintf(text, sizeof text, "{\"selector\":{\"_id\":{\"$gt\":\"d4\"}},\"bookmark\":\"%s\"}",
             good);
    expect(f, text, "d5 d6 d7", "(none)");
}

static const char *only_doc(struct fixture *f, const char *text)
{
    const struct json *docs = json_get(answer_of(f, text), "docs");

    assert_int_equal(docs->count, 1);
    json_write(&f->out, docs->first);
    return take(f);
}

static void test_documents(void **state)
{
    struct fixture *f = *state;
    const char *text;

    assert_string_equal(only_doc(f, "{\"selector\":{\"n\":3}}"), get(f, "d3"));
    assert_string_equal(only_doc(f, "{\"selector\":{\"_id\":\"d3\"}}"), get(f, "d3"));
    assert_string_equal(only_doc(f, "{\"selector\":{\"n\":3},\"fields\":[]}"), get(f, "d3"));
    assert_string_equal(
        only_doc(f, "{\"selector\":{\"n\":3},\"fields\":[\"list\",\"sub.even\",\"no\",\"_id\"]}"),
        "{\"list\":[3,9],\"sub\":{\"even\":false},\"_id\":\"d3\"}");
    assert_string_equal(only_doc(f, "{\"selector\":{\"_id\":\"d3\"},\"fields\":[\"no\"]}"), "{}");
    /* attachments are stubs, and can be asked for */
    OK(f, put(f, "att",
              "{\"_attachments\":{\"a\":{\"content_type\":\"text/plain\","
              "\"data\":\"aGk=\"}}}"));
    text = only_doc(f, "{\"selector\":{\"_id\":\"att\"}}");
    assert_non_null(strstr(text, "\"stub\":true"));
    assert_string_equal(text, get(f, "att"));
    assert_string_equal(only_doc(f, "{\"selector\":{\"_attachments.a.length\":2},\"fields\":"
                                    "[\"_attachments.a.stub\"]}"),
                        "{\"_attachments\":{\"a\":{\"stub\":true}}}");
}

static void test_conflicts(void **state)
{
    struct fixture *f = *state;
    static const char ours[] = "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const char *text;

    OK(f,
       graft(f, "{\"_id\":\"c\",\"_rev\":\"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"v\":\"lost\"}"));
    OK(f,
       graft(f, "{\"_id\":\"c\",\"_rev\":\"1-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\",\"v\":\"won\"}"));
    expect(f, "{\"selector\":{\"v\":\"lost\"}}", "", WARNING);
    text = only_doc(f, "{\"selector\":{\"v\":\"won\"}}");
    assert_null(strstr(text, "_conflicts"));
    text = only_doc(f, "{\"selector\":{\"v\":\"won\"},\"conflicts\":true}");
    assert_non_null(strstr(text, ours));
    assert_string_equal(only_doc(f, "{\"selector\":{\"_id\":\"c\"},\"conflicts\":true,\"fields\":"
                                    "[\"_conflicts\"]}"),
                        "{\"_conflicts\":[\"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"]}");
    text = only_doc(f, "{\"selector\":{\"_id\":\"d1\"},\"conflicts\":true}");
    assert_null(strstr(text, "_conflicts"));
}

static void test_use_index(void **state)
{
    struct fixture *f = *state;
    const struct json *answer;

    expect(f, "{\"selector\":{\"n\":1},\"use_index\":\"x\"}", "d1",
           "_design/x was not used because it does not contain a valid index for this "
           "query.\n" WARNING);
    expect(f, "{\"selector\":{\"n\":1},\"use_index\":[\"x\",\"y\"]}", "d1",
           "_design/x, y was not used because it is not a valid index for this query.\n" WARNING);
    assert_int_equal(
        find(f, "{\"selector\":{\"n\":1},\"use_index\":\"x\",\"allow_fallback\":false}", &answer),
        ST_BAD_REQUEST);
    assert_word(f, "invalid_index");
    assert_int_equal(find(f, "{\"selector\":{\"n\":1},\"allow_fallback\":false}", &answer),
                     ST_BAD_REQUEST);
    assert_word(f, "no_usable_index");
    expect(f, "{\"selector\":{\"_id\":\"d1\"},\"allow_fallback\":false}", "d1", "(none)");
}

static void test_stats(void **state)
{
    struct fixture *f = *state;
    const struct json *stats;
    char id[16];
    int64_t n;

    stats = json_get(answer_of(f, "{\"selector\":{\"n\":{\"$lt\":3}},\"execution_stats\":true}"),
                     "execution_stats");
    assert_true(json_int(json_get(stats, "total_docs_examined"), &n) && n == 9);
    assert_true(json_int(json_get(stats, "total_keys_examined"), &n) && n == 9);
    assert_true(json_int(json_get(stats, "results_returned"), &n) && n == 3);
    assert_true(json_int(json_get(stats, "total_quorum_docs_examined"), &n) && n == 0);
    assert_true(json_is(json_get(stats, "execution_time_ms"), JSON_NUMBER));
    /* an id is decided without reading bodies */
    stats = json_get(answer_of(f, "{\"selector\":{\"_id\":{\"$in\":[\"Z\",\"d7\"]}},"
                                  "\"execution_stats\":true}"),
                     "execution_stats");
    assert_true(json_int(json_get(stats, "total_docs_examined"), &n) && n == 2);
    assert_null(json_get(answer_of(f, "{\"selector\":{}}"), "execution_stats"));
    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof id, "more%d", i);
        OK(f, put(f, id, "{}"));
    }
    expect(f, "{\"selector\":{\"n\":3}}", "d3",
           WARNING "\nThe number of documents examined is high in proportion to the number of "
                   "results returned. Consider adding a more specific index to improve this.");
}

static void test_explain(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = {"dbname", "index",    "partitioned",    "selector",
                                       "opts",   "limit",    "skip",           "fields",
                                       "mrargs", "covering", "selector_hints", "index_candidates"};
    struct find_request rq;
    const struct json *x;

    OK(f, find_request_parse(f->a,
                             parse(f, "{\"selector\":{\"_id\":{\"$gt\":\"a\"},\"n\":{\"$ne\":1}},"
                                      "\"fields\":[\"n\"],\"limit\":7}"),
                             &rq, &f->e));
    OK(f, find_explain(f->db, &rq, f->a, &f->out, &f->e));
    x = parse(f, take(f));
    for (size_t i = 0; i < COUNT_OF(keys); i++)
        assert_non_null(json_get(x, keys[i]));
    assert_string_equal(string_of(f, x, "dbname"), "db");
    assert_string_equal(string_of(f, json_get(x, "index"), "name"), "_all_docs");
    assert_string_equal(string_of(f, json_get(x, "mrargs"), "start_key"), "a");
    assert_string_equal(string_of(f, json_get(x, "mrargs"), "end_key"), "<MAX>");
    json_write(&f->out, json_get(x, "selector"));
    assert_string_equal(take(f), "{\"$and\":[{\"_id\":{\"$gt\":\"a\"}},{\"n\":{\"$ne\":1}}]}");
    json_write(&f->out, json_get(x, "selector_hints"));
    assert_string_equal(take(f), "[{\"type\":\"json\",\"indexable_fields\":[\"_id\"],"
                                 "\"unindexable_fields\":[\"n\"]}]");
    OK(f, find_request_parse(f->a, parse(f, "{\"selector\":{},\"sort\":[\"n\"]}"), &rq, &f->e));
    assert_int_equal(find_explain(f->db, &rq, f->a, &f->out, &f->e), ST_BAD_REQUEST);
    assert_word(f, "no_usable_index");
}

static void test_doc_json(void **state)
{
    struct fixture f = {.a = arena_new()};
    static const char hash[] = "\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0";
    struct rev rev = {3, true, slice_of(hash, 16)};
    const struct json *v;

    (void)state;
    buf_init(&f.out, 1u << 20);
    v = find_doc_json(f.a, SLICE_LIT("i"), &rev, SLICE_LIT("{\"a\":1,\"b\":[2]}"), &f.e);
    assert_int_equal(v->count, 4);
    json_write(&f.out, v);
    assert_string_equal(take(&f), "{\"_id\":\"i\",\"_rev\":\"3-123456789abcdef0123456789abcdef0\","
                                  "\"a\":1,\"b\":[2]}");
    v = find_doc_json(f.a, SLICE_LIT("i"), &rev, SLICE_LIT("{}"), &f.e);
    assert_int_equal(v->count, 2);
    assert_null(find_doc_json(f.a, SLICE_LIT("i"), &rev, SLICE_LIT("[]"), &f.e));
    assert_null(find_doc_json(f.a, SLICE_LIT("i"), &rev, SLICE_LIT("{"), &f.e));
    buf_free(&f.out);
    arena_free(f.a);
}

#define ON_STORE(t) cmocka_unit_test_setup_teardown(t, with_documents, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_errors),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_doc_json),
        ON_STORE(test_answers),
        ON_STORE(test_sort),
        ON_STORE(test_pages),
        ON_STORE(test_bookmarks),
        ON_STORE(test_documents),
        ON_STORE(test_conflicts),
        ON_STORE(test_use_index),
        ON_STORE(test_stats),
        ON_STORE(test_explain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
