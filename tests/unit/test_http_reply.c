/* tests/unit/test_http_reply.c: the table from statuses to codes, error bodies, headers. */
#include "unit.h"

#include "http/reply.h"

static void every_status_has_code_and_word(void **state)
{
    (void)state;
    for (int st = ST_NOT_FOUND; st < ST_COUNT; st++) {
        assert_true(status_code((enum status)st) >= 400 && status_code((enum status)st) < 600);
        assert_true(strlen(status_word((enum status)st)) > 3);
    }
    assert_int_equal(status_code(ST_EXISTS), 412);
    assert_string_equal(status_word(ST_EXISTS), "file_exists");
    assert_int_equal(status_code(ST_CONFLICT), 409);
    assert_int_equal(status_code(ST_NO_SPACE), 507);
    assert_string_equal(status_word(ST_MEDIA_TYPE), "bad_content_type");
    assert_string_equal(status_word(ST_RANGE), "requested_range_not_satisfiable");
}

static void errors_are_json(void **state)
{
    struct arena *a = arena_new();
    struct reply rp;
    struct err e;

    (void)state;
    reply_init(&rp, a);
    buf_str(&rp.body, "half an answer");
    (void)err_set(&e, ST_NOT_FOUND, "say \"no\"\n");
    reply_error(&rp, ST_NOT_FOUND, &e);
    assert_int_equal(rp.code, 404);
    buf_char(&rp.body, '\0');
    assert_string_equal(rp.body.p, "{\"error\":\"not_found\",\"reason\":\"say \\\"no\\\"\\n\"}\n");
    (void)err_word(&e, ST_BAD_REQUEST, "illegal_docid", "x");
    reply_error(&rp, ST_BAD_REQUEST, &e);
    buf_char(&rp.body, '\0');
    assert_string_equal(rp.body.p, "{\"error\":\"illegal_docid\",\"reason\":\"x\"}\n");
    reply_fini(&rp);
    arena_free(a);
}

static void headers_cannot_be_split(void **state)
{
    struct arena *a = arena_new();
    struct reply rp;

    (void)state;
    reply_init(&rp, a);
    reply_header(&rp, "Location", SLICE_LIT("/a\r\nSet-Cookie: x\n"));
    assert_string_equal(rp.headers->value, "/aSet-Cookie: x");
    reply_etag(&rp, SLICE_LIT("1-abc"));
    assert_string_equal(rp.headers->value, "\"1-abc\"");
    reply_fini(&rp);
    arena_free(a);
}

static void accept_decides_on_json(void **state)
{
    static const struct {
        const char *accept;
        bool json;
    } cases[] = {{"", true},
                 {"*/*", true},
                 {"application/json", true},
                 {"text/html, application/*;q=0.8", true},
                 {"text/html,Application/JSON", true},
                 {"text/html", false},
                 {"application/json;q=0, text/plain", false},
                 {"text/*", false},
                 {",,", false}};

    (void)state;
    assert_true(reply_accepts_json(slice_of(NULL, 0)));
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(reply_accepts_json(slice_str(cases[i].accept)), cases[i].json);
}

/* CouchDB takes parts for granted: no header is as good as one that names them. */
static void accept_decides_on_parts(void **state)
{
    static const struct {
        const char *accept;
        bool parts;
    } cases[] = {{"", true},
                 {"*/*", true},
                 {"multipart/*", true},
                 {"application/json, */*;q=0.1", true},
                 {"Multipart/Mixed; q=0.5", true},
                 {"multipart/mixed;q=0.001", true},
                 {"application/json", false},
                 {"multipart/related", false},
                 {"multipart/mixed;q=0", false},
                 {"*/*;q=0", false},
                 {"*/*, multipart/mixed;level=1; q=0.00", false},
                 {"multipart/*;Q=0.,*/*", false},
                 {"multi/*", false},
                 {"/*", false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(reply_accepts(slice_str(cases[i].accept), SLICE_LIT("multipart/mixed")),
                         cases[i].parts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_code_and_word), cmocka_unit_test(errors_are_json),
        cmocka_unit_test(headers_cannot_be_split),        cmocka_unit_test(accept_decides_on_json),
        cmocka_unit_test(accept_decides_on_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
