/* tests/unit/test_base_multipart.c: boundaries, parts, what an answer in parts looks like, and that
 * what is written is read back, however it is cut into pieces. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/multipart.h"

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

/* The parts joined by '|'. */
struct seen {
    struct buf out;
    uint32_t n;
    bool open;
    char type[32]; /* Content-Type of the last one */
};

static enum status on_begin(void *arg, struct slice head, struct err *e)
{
    struct seen *s = arg;
    struct slice type = multipart_header(head, "content-type");

    (void)e;
    assert_false(s->open);
    s->open = true;
    (void)snprintf(s->type, sizeof(s->type), "%.*s", (int)type.n, type.n != 0 ? type.p : "");
    if (s->n++ > 0)
        buf_char(&s->out, '|');
    return ST_OK;
}

static enum status on_data(void *arg, struct slice bytes, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    assert_true(s->open && bytes.n != 0);
    buf_add(&s->out, bytes);
    return ST_OK;
}

static enum status on_end(void *arg, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    assert_true(s->open);
    s->open = false;
    return ST_OK;
}

static const struct multipart_events events = {on_begin, on_data, on_end};

/* In pieces of 1 to `most` bytes (0: whole), each in memory of its own size: an over-read is seen.
 */
static enum status feed(const char *boundary, struct slice body, size_t most, struct seen *s)
{
    struct multipart *m = multipart_new(slice_str(boundary), &events, s);
    enum status st = ST_OK;
    struct err e;

    *s = (struct seen){0};
    buf_init(&s->out, 1u << 20);
    while (st == ST_OK && body.n != 0) {
        size_t n = most == 0 ? body.n : 1 + (size_t)random() % most;
        char *piece;

        n = n < body.n ? n : body.n;
        piece = malloc(n);
        assert_non_null(piece);
        memcpy(piece, body.p, n);
        st = multipart_add(m, slice_of(piece, n), &e);
        free(piece);
        body = slice_of(body.p + n, body.n - n);
    }
    if (st == ST_OK)
        st = multipart_finish(m, &e);
    multipart_free(m);
    return st;
}

/* The parts joined by '|', or the status as a word. */
static char *parse(struct arena *a, const char *boundary, struct slice body, size_t most)
{
    struct seen s;
    enum status st = feed(boundary, body, most, &s);
    char *text = st == ST_OK          ? arena_cstr(a, buf_slice(&s.out))
                 : st == ST_TOO_LARGE ? arena_cstr(a, SLICE_LIT("too large"))
                                      : arena_cstr(a, SLICE_LIT("bad"));

    buf_free(&s.out);
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
        for (size_t most = 0; most < 6; most++) {
            const char *got = parse(a, "B", slice_str(cases[i].body), most);

            if (strcmp(got, cases[i].want) != 0)
                print_error("case %zu in pieces of %zu\n", i, most);
            assert_string_equal(got, cases[i].want);
        }
    }
    arena_free(a);
}

static void bounds(void **state)
{
    struct arena *a = arena_new();
    struct buf b;

    (void)state;
    for (unsigned extra = 0; extra < 2; extra++) {
        struct seen seen;

        buf_init(&b, 1u << 20);
        for (unsigned i = 0; i < LIMIT_MULTIPART_PARTS + extra; i++)
            buf_str(&b, "\r\n--B\r\n\r\nx");
        buf_str(&b, "\r\n--B--");
        assert_int_equal(feed("B", buf_slice(&b), 0, &seen), extra == 0 ? ST_OK : ST_TOO_LARGE);
        buf_free(&seen.out);
        buf_clear(&b);
        buf_str(&b, "--B\r\nA: ");
        while (b.n < 3 + LIMIT_MULTIPART_HEAD_BYTES - 4 + extra)
            buf_char(&b, 'a');
        buf_str(&b, "\r\n\r\nx\r\n--B--");
        for (size_t most = 0; most < 5000; most += 1000)
            assert_string_equal(parse(a, "B", buf_slice(&b), most), extra == 0 ? "x" : "too large");
        buf_clear(&b);
        buf_str(&b, "--B");
        while (b.n < 3 + LIMIT_BOUNDARY_BLANKS + extra)
            buf_char(&b, ' ');
        buf_str(&b, "\r\n\r\nx\r\n--B--");
        for (size_t most = 0; most < 300; most += 60)
            assert_string_equal(parse(a, "B", buf_slice(&b), most), extra == 0 ? "x" : "bad");
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

static void headers(void **state)
{
    struct slice head = SLICE_LIT("\r\nA: one \r\ncontent-TYPE:text/x\r\nAB: two\r\nno colon\r\n");
    struct seen s;

    (void)state;
    assert_true(slice_eq(multipart_header(head, "a"), SLICE_LIT("one")));
    assert_true(slice_eq(multipart_header(head, "Ab"), SLICE_LIT("two")));
    assert_true(slice_eq(multipart_header(head, "Content-Type"), SLICE_LIT("text/x")));
    assert_null(multipart_header(head, "b").p);
    assert_null(multipart_header(SLICE_LIT("\r\n"), "a").p);
    assert_int_equal(feed("B", SLICE_LIT("--B\r\nX: y\r\nContent-Type: q/r\r\n\r\n--B--"), 1, &s),
                     ST_OK);
    assert_string_equal(s.type, "q/r");
    buf_free(&s.out);
}

/* Any bytes survive in any pieces; bits of the boundary are frequent among them. */
static void what_is_written_is_read(void **state)
{
    static const char *const bits[] = {"\r\n--BOUND", "\r\n",    "--BOUND", "--", "-",  "B", "\r",
                                       "\n",          "BOUND--", "x",       " ",  "\t", ""};
    struct buf body, want;

    (void)state;
    srandom(7);
    buf_init(&body, 1u << 20);
    buf_init(&want, 1u << 20);
    for (int round = 0; round < 20000; round++) {
        uint32_t n = 1 + (uint32_t)(random() % 8);
        struct seen s;

        buf_clear(&body);
        buf_clear(&want);
        multipart_begin(&body, "BOUND7");
        for (uint32_t i = 0; i < n; i++) {
            multipart_type(&body, "x/y");
            buf_str(&want, i != 0 ? "|" : "");
            for (long k = random() % 8; k > 0; k--) {
                const char *bit = bits[(size_t)random() % COUNT_OF(bits)];

                buf_str(&body, bit);
                buf_str(&want, bit);
            }
            multipart_next(&body, "BOUND7");
        }
        multipart_end(&body);
        assert_int_equal(feed("BOUND7", buf_slice(&body), (size_t)random() % 20, &s), ST_OK);
        assert_int_equal(s.n, n);
        assert_true(slice_eq(buf_slice(&s.out), buf_slice(&want)));
        buf_free(&s.out);
    }
    buf_free(&body);
    buf_free(&want);
}

/* Nothing but a head's worth is kept, whatever comes. */
static void a_large_part(void **state)
{
    struct seen s;
    struct buf b;

    (void)state;
    buf_init(&b, 1u << 20);
    buf_str(&b, "--B\r\n\r\n");
    while (b.n < 400000)
        buf_str(&b, "\r\n--B \t \r\r\n--");
    buf_str(&b, "\r\n--B--");
    for (size_t most = 1; most < 300000; most *= 9) {
        assert_int_equal(feed("B", buf_slice(&b), most, &s), ST_OK);
        assert_int_equal(s.out.n, b.n - 7 - 7);
        assert_memory_equal(s.out.p, b.p + 7, s.out.n);
        buf_free(&s.out);
    }
    buf_free(&b);
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
        cmocka_unit_test(headers),
        cmocka_unit_test(a_large_part),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(boundaries_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
