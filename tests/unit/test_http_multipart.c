/* tests/unit/test_http_multipart.c: boundaries, parts, what an answer in parts looks like, and that
 * what is written is read back. */
#include "unit.h"

#include <stdlib.h>

#include "base/limits.h"
#include "http/multipart.h"

static void types(void **state)
{
    static const struct {
        const char *value;
        bool related;
    } cases[] = {{"multipart/related", true},    {"multipart/related; boundary=x", true},
                 {"Multipart/Related ;b", true}, {"multipart/relatedx", false},
                 {"multipart/mixed", false},     {"", false},
                 {";multipart/related", false}};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(multipart_is(slice_str(cases[i].value), SLICE_LIT("multipart/related")),
                         cases[i].related);
    assert_false(multipart_is(slice_of(NULL, 0), SLICE_LIT("multipart/related")));
}

#define SEVENTY "0123456789012345678901234567890123456789012345678901234567890123456789"

static void boundaries(void **state)
{
    static const struct {
        const char *value, *boundary; /* NULL: refused */
    } cases[] = {
        {"m/r; boundary=abc", "abc"},
        {"m/r;boundary=\"a;b=c d\"", "a;b=c d"},
        {"m/r; Boundary = abc ; x=y", "abc"},
        {"m/r; type=\"boundary=no\"; boundary=\"--yes\"", "--yes"},
        {"m/r; type=\"application/json\";\tBOUNDARY=\"q\\\"q\"", "q\"q"},
        {"m/r; boundary=" SEVENTY, SEVENTY},
        {"m/r; boundary=" SEVENTY "0", NULL},
        {"m/r; boundary=", NULL},
        {"m/r; boundary=\"\"", NULL},
        {"m/r; boundary=\"abc", NULL},
        {"m/r; boundary=\"abc\\", NULL},
        {"m/r; boundary=\"abc \"", NULL},
        {"m/r; boundary=a\tb", NULL},
        {"m/r; boundary=\xc3\xa9", NULL},
        {"m/r; boundary", NULL},
        {"m/r;", NULL},
        {"m/r", NULL},
        {"", NULL},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice b = {NULL, 0};
        struct err e;
        enum status st = multipart_boundary(a, slice_str(cases[i].value), &b, &e);

        assert_int_equal(st, cases[i].boundary != NULL ? ST_OK : ST_BAD_REQUEST);
        if (st == ST_OK)
            assert_string_equal(arena_cstr(a, b), cases[i].boundary);
    }
    arena_free(a);
}

/* The parts joined by '|', or the status as a word. */
static char *parse(struct arena *a, const char *boundary, struct slice body)
{
    /* In memory of its own size: an over-read is seen. */
    char *exact = malloc(body.n != 0 ? body.n : 1);
    struct slice *parts;
    struct buf out;
    struct err e;
    enum status st;
    uint32_t n;
    char *text;

    assert_non_null(exact);
    if (body.n != 0)
        memcpy(exact, body.p, body.n);
    buf_init(&out, 1u << 20);
    st = multipart_parse(a, slice_of(exact, body.n), slice_str(boundary), &parts, &n, &e);
    if (st != ST_OK)
        buf_str(&out, st == ST_TOO_LARGE ? "too large" : "bad");
    for (uint32_t i = 0; st == ST_OK && i < n; i++) {
        if (i > 0)
            buf_char(&out, '|');
        buf_add(&out, parts[i]);
    }
    text = arena_cstr(a, buf_slice(&out));
    buf_free(&out);
    free(exact);
    return text;
}

static void parts(void **state)
{
    static const struct {
        const char *body, *want;
    } cases[] = {
        {"--B\r\nContent-Type: x\r\n\r\none\r\n--B\r\n\r\ntwo\r\n--B--", "one|two"},
        {"--B\r\n\r\none\r\n--B--\r\n", "one"},
        {"preamble\r\n--B\r\n\r\none\r\n--B-- epilogue\r\n--B\r\n\r\nx", "one"},
        {"\r\n--B\r\n\r\none\r\n--B--", "one"},
        {"--B \t\r\n\r\none\r\n--B  \r\n\r\ntwo\r\n--B--", "one|two"},
        /* empty parts, with and without a line end of their own */
        {"--B\r\n\r\n\r\n--B\r\n\r\n\r\n--B--", "|"},
        {"--B\r\n\r\n--B\r\nA: b\r\n\r\n--B--", "|"},
        {"--B\r\n\r\n\r\n\r\n--B--", "\r\n"},
        /* looks like a boundary, is none */
        {"--B\r\n\r\n--Bx\r\nB--B\r\n\n--B\r\n\r\n--BB\r\n--B\r\n\r\n--B-\r\n--B-x\r\n--B--",
         "--Bx\r\nB--B\r\n\n--B\r\n\r\n--BB|--B-\r\n--B-x"},
        {"--B\r\n\r\n a\r\n--Bc\r\n--B \n\r\n--B--", " a\r\n--Bc\r\n--B \n"},
        {"--B\r\n\r\na\r\n\r\n--B--", "a\r\n"},
        {"--B\r\n\r\na\r\r\n--B--", "a\r"},
        /* cut off */
        {"", "bad"},
        {"--B", "bad"},
        {"--B\r\n", "bad"},
        {"--B\r\n\r\n", "bad"},
        {"--B\r\n\r\none", "bad"},
        {"--B\r\n\r\none\r\n--B", "bad"},
        {"--B\r\n\r\none\r\n--B-", "bad"},
        {"--B\r\n\r\none\r\n--B\r\n\r\ntwo\r\n", "bad"},
        {"--B--", "bad"},
        {"--C\r\n\r\none\r\n--C--", "bad"},
        {"x--B\r\n\r\none\r\n--B--", "bad"},
        /* headers that do not end */
        {"--B\r\nA: b\r\n--B\r\n\r\none\r\n--B--", "bad"},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *got = parse(a, "B", slice_str(cases[i].body));

        if (strcmp(got, cases[i].want) != 0)
            print_error("case %zu\n", i);
        assert_string_equal(got, cases[i].want);
    }
    arena_free(a);
}

static void bounds(void **state)
{
    struct arena *a = arena_new();
    struct buf b;

    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        struct slice *list;
        struct err e;
        uint32_t n = 0;

        buf_init(&b, 1u << 20);
        for (unsigned i = 0; i < LIMIT_MULTIPART_PARTS + extra; i++)
            buf_str(&b, "\r\n--B\r\n\r\nx");
        buf_str(&b, "\r\n--B--");
        assert_int_equal(multipart_parse(a, buf_slice(&b), SLICE_LIT("B"), &list, &n, &e),
                         extra == 0 ? ST_OK : ST_TOO_LARGE);
        buf_clear(&b);
        buf_str(&b, "--B\r\nA: ");
        while (b.n < 3 + LIMIT_MULTIPART_HEAD_BYTES - 4 + extra)
            buf_char(&b, 'a');
        buf_str(&b, "\r\n\r\nx\r\n--B--");
        assert_string_equal(parse(a, "B", buf_slice(&b)), extra == 0 ? "x" : "too large");
        buf_free(&b);
    }
    arena_free(a);
}

static void an_answer(void **state)
{
    struct multipart_att text = {SLICE_LIT("a\"\r\n\xc3\xa9.txt"), SLICE_LIT("text/plain"), 5,
                                 false};
    struct multipart_att zip = {SLICE_LIT("z"), SLICE_LIT("x/y"), 0, true};
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    multipart_begin(&b, "I");
    multipart_type(&b, "application/json");
    buf_str(&b, "{}");
    multipart_next(&b, "I");
    multipart_att(&b, &text);
    buf_str(&b, "hello");
    multipart_next(&b, "I");
    multipart_att(&b, &zip);
    multipart_next(&b, "I");
    multipart_end(&b);
    buf_char(&b, '\0');
    assert_string_equal(b.p, "--I\r\nContent-Type: application/json\r\n\r\n{}\r\n--I\r\n"
                             "Content-Disposition: attachment; filename=\"a\"\xc3\xa9.txt\"\r\n"
                             "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello\r\n--I\r\n"
                             "Content-Disposition: attachment; filename=\"z\"\r\n"
                             "Content-Type: x/y\r\nContent-Length: 0\r\n"
                             "Content-Encoding: gzip\r\n\r\n\r\n--I--");
    buf_free(&b);
}

/* Any bytes survive; pieces of the boundary are frequent among them. */
static void what_is_written_is_read(void **state)
{
    static const char *const bits[] = {"\r\n--BOUND", "\r\n",    "--BOUND", "--", "-",  "B", "\r",
                                       "\n",          "BOUND--", "x",       " ",  "\t", ""};
    struct arena *a = arena_new();
    struct buf body, data[8];

    (void)state;
    srandom(7);
    buf_init(&body, 1u << 20);
    for (int round = 0; round < 20000; round++) {
        uint32_t n = 1 + (uint32_t)(random() % 8), got = 0;
        struct slice *list;
        struct err e;

        buf_clear(&body);
        multipart_begin(&body, "BOUND7");
        for (uint32_t i = 0; i < n; i++) {
            buf_init(&data[i], 4096);
            for (long k = random() % 8; k > 0; k--)
                buf_str(&data[i], bits[(size_t)random() % COUNT_OF(bits)]);
            multipart_type(&body, "x/y");
            buf_add(&body, buf_slice(&data[i]));
            multipart_next(&body, "BOUND7");
        }
        multipart_end(&body);
        assert_int_equal(multipart_parse(a, buf_slice(&body), SLICE_LIT("BOUND7"), &list, &got, &e),
                         ST_OK);
        assert_int_equal(got, n);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(slice_eq(list[i], buf_slice(&data[i])));
            buf_free(&data[i]);
        }
        arena_reset(a);
    }
    buf_free(&body);
    arena_free(a);
}

static void boundaries_differ(void **state)
{
    char x[MULTIPART_BOUNDARY_BYTES + 1], y[MULTIPART_BOUNDARY_BYTES + 1];

    (void)state;
    multipart_boundary_new(x);
    multipart_boundary_new(y);
    assert_int_equal(strlen(x), MULTIPART_BOUNDARY_BYTES);
    assert_string_not_equal(x, y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(boundaries),
        cmocka_unit_test(parts),
        cmocka_unit_test(bounds),
        cmocka_unit_test(an_answer),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(boundaries_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
