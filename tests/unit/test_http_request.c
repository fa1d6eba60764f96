/* tests/unit/test_http_request.c: what handlers ask a request: bodies, revisions, conditions. */
#include "unit.h"

#include "http/request.h"

static const char *names[4], *values[4];

struct slice rq_header(const struct request *rq, const char *name)
{
    (void)rq;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return slice_str(values[i]);
    return slice_of(NULL, 0);
}

static void header(size_t i, const char *name, const char *value)
{
    names[i] = name;
    values[i] = value;
}

static int setup(void **state)
{
    static struct request rq;

    memset(names, 0, sizeof(names));
    rq = (struct request){.arena = arena_new()};
    *state = &rq;
    return 0;
}

static int teardown(void **state)
{
    struct request *rq = *state;

    arena_free(rq->arena);
    return 0;
}

static void none_match(void **state)
{
    static const struct {
        const char *v;
        bool hit;
    } cases[] = {{"\"1-a\"", true},
                 {"W/\"1-a\"", true},
                 {"\"x\", \"1-a\"", true},
                 {"\"x\",W/\"1-a\" ,", true},
                 {"*", true},
                 {" * ", true},
                 {"1-a", false},
                 {"\"1-ab\"", false},
                 {"\"\"", false},
                 {"\"", false},
                 {"W/", false},
                 {"", false}};
    struct request *rq = *state;

    assert_false(rq_none_match(rq, SLICE_LIT("1-a")));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        header(0, "If-None-Match", cases[i].v);
        assert_int_equal(rq_none_match(rq, SLICE_LIT("1-a")), cases[i].hit);
    }
}

static void revision_comes_from_query_or_if_match(void **state)
{
    struct param rev = {SLICE_LIT("rev"), SLICE_LIT("2-b")};
    struct request *rq = *state;
    struct slice out;

    assert_int_equal(rq_rev(rq, &out), ST_OK);
    assert_int_equal(out.n, 0);
    header(0, "If-Match", "\"1-a\"");
    assert_int_equal(rq_rev(rq, &out), ST_OK);
    assert_true(slice_eq(out, SLICE_LIT("1-a")));
    rq->params = &rev;
    rq->nparams = 1;
    assert_int_equal(rq_rev(rq, &out), ST_BAD_REQUEST);
    header(0, "If-Match", "2-b");
    assert_int_equal(rq_rev(rq, &out), ST_OK);
    assert_true(slice_eq(out, SLICE_LIT("2-b")));
}

static void json_bodies(void **state)
{
    struct request *rq = *state;
    const struct json *v;

    rq->body = SLICE_LIT("[1]");
    assert_int_equal(rq_object(rq, &v), ST_BAD_REQUEST);
    assert_string_equal(rq->err.reason, "Request body must be a JSON object");
    rq->body_json_ = NULL;
    rq->body = SLICE_LIT("{\"a\":");
    assert_int_equal(rq_json(rq, &v), ST_BAD_REQUEST);
    rq->body = SLICE_LIT("{\"a\":1}");
    assert_int_equal(rq_object(rq, &v), ST_OK);
    assert_non_null(json_get(v, "a"));
}

static void compressed_bodies(void **state)
{
    /* gzip of {"a":1} */
    static const unsigned char gz[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                       0xff, 0xab, 0x56, 0x4a, 0x54, 0xb2, 0x32, 0xac, 0x05,
                                       0x00, 0xaf, 0xac, 0x1b, 0x56, 0x07, 0x00, 0x00, 0x00};
    struct request *rq = *state;
    const struct json *v;

    rq->body = slice_of(gz, sizeof(gz));
    header(0, "Content-Encoding", "deflate");
    assert_int_equal(rq_json(rq, &v), ST_MEDIA_TYPE);
    header(0, "Content-Encoding", "gzip");
    rq->body.n--;
    assert_int_equal(rq_json(rq, &v), ST_BAD_REQUEST);
    rq->body.n++;
    assert_int_equal(rq_json(rq, &v), ST_OK);
    assert_non_null(json_get(v, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(none_match, setup, teardown),
        cmocka_unit_test_setup_teardown(revision_comes_from_query_or_if_match, setup, teardown),
        cmocka_unit_test_setup_teardown(json_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(compressed_bodies, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
