/* Unit tests of json/parse.c: what is refused, spans, packed arrays, duplicate names, bounds. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "json/json.h"

/* The text in a block of just its size, so that AddressSanitizer sees a read past its end. */
static enum status parse_n(struct arena *a, struct slice text, const struct json **out,
                           struct err *e)
{
    char *exact = mem_alloc(text.n);
    struct arena *borrowed = arena_new();
    const struct json *v = NULL;
    enum status st;

    if (text.n != 0)
        memcpy(exact, text.p, text.n);
    st = json_parse(borrowed, slice_of(exact, text.n), &v, e);
    arena_free(borrowed);
    mem_free(exact);
    if (st == ST_OK)
        assert_int_equal(json_parse(a, arena_dup(a, text), out, e), ST_OK);
    return st;
}

static const struct json *parse(struct arena *a, const char *text)
{
    const struct json *v = NULL;
    struct err e = {NULL, ""};

    if (parse_n(a, slice_str(text), &v, &e) != ST_OK)
        fail_msg("%s: %s", text, e.reason);
    return v;
}

static bool refused(const char *text, size_t n)
{
    struct arena *a = arena_new();
    const struct json *v;
    struct err e = {NULL, ""};
    enum status st = parse_n(a, slice_of(text, n), &v, &e);

    arena_free(a);
    if (st != ST_OK) {
        assert_int_equal(st, ST_BAD_REQUEST);
        assert_int_equal(strncmp(e.reason, "invalid UTF-8 JSON", 18), 0);
        assert_null(strchr(e.reason, '\n'));
    }
    return st != ST_OK;
}

static void same(struct slice got, const char *want)
{
    if (!slice_eq(got, slice_str(want)))
        fail_msg("got %.*s, want %s", (int)got.n, got.p, want);
}

/* Equal as values, seen through nodes: packed or not must not matter. */
/* NOLINTNEXTLINE(misc-no-recursion): depth of the texts in this file */
static bool same_value(struct arena *a, const struct json *x, const struct json *y)
{
    const struct json *cx, *cy;

    if (x->type != y->type || x->count != y->count)
        return false;
    if (x->type == JSON_NUMBER || x->type == JSON_STRING)
        return slice_eq(x->text, y->text);
    x = json_unpack(a, x);
    y = json_unpack(a, y);
    for (cx = x->first, cy = y->first; cx != NULL && cy != NULL; cx = cx->next, cy = cy->next)
        if (!slice_eq(cx->key, cy->key) || !same_value(a, cx, cy))
            return false;
    return cx == NULL && cy == NULL;
}

static const char *const samples[] = {
    "{}",
    "[]",
    "\"\"",
    "\"\\u00e9\\\\\\\"\\/\\b\\f\\n\\r\\t\"",
    "[null,true,false,0,-0,1e5,-1.25E-3]",
    "{\"a\":1,\"b\":[1,2,{\"c\":\"d\"}],\"\":null}",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,\"x\",18]",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,[18],19]",
    "{\"v\":[1,-2.5,3e1,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18],\"w\":true}",
    "[[[[[]]]],{\"a\":{\"b\":{}}}]",
    "\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"",
    "[\"a\\\\\",\"b\\\\\\\"\",\"c\"]",
    "{\"a\\u0000b\":\"\\u0000\"}",
    "[12345678901234567890,1.0,1e400,-0.0,0.1e-7]",
};

static void prefixes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        size_t n = strlen(samples[i]);

        assert_false(refused(samples[i], n));
        for (size_t cut = 0; cut < n; cut++)
            if (!refused(samples[i], cut))
                fail_msg("prefix of %zu bytes taken: %s", cut, samples[i]);
    }
}

static void writes_what_it_read(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct json *v = parse(a, samples[i]), *again;
        struct buf b;

        buf_init(&b, 10000);
        json_write(&b, v);
        same(buf_slice(&b), samples[i]); /* they are compact */
        buf_char(&b, '\0');
        again = parse(a, b.p);
        assert_true(same_value(a, v, again));
        buf_free(&b);
    }
    arena_free(a);
}

/* Whitespace at every place where it may stand: the same value, the same compact text. */
static void whitespace_is_nothing(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        const struct json *v = parse(a, samples[i]), *wide;
        bool string = false;
        struct buf b, out;

        buf_init(&b, 10000);
        buf_init(&out, 10000);
        for (const char *p = samples[i]; *p != '\0'; p++) {
            bool quote = *p == '"' && (p == samples[i] || p[-1] != '\\' ||
                                       (p - samples[i] > 1 && p[-2] == '\\' && p[-3] != '\\'));

            if (!string && strchr("{}[],:\"", *p) != NULL)
                buf_str(&b, " \n\t\r");
            buf_char(&b, *p);
            if (quote)
                string = !string;
            if (!string && strchr("{}[],:\"", *p) != NULL)
                buf_str(&b, "\n ");
        }
        buf_char(&b, '\0');
        wide = parse(a, b.p);
        assert_true(same_value(a, v, wide));
        json_write(&out, wide);
        same(buf_slice(&out), samples[i]);
        buf_clear(&out);
        json_write(&out, json_raw(a, slice_str(b.p)));
        same(buf_slice(&out), samples[i]);
        buf_free(&b);
        buf_free(&out);
    }
    arena_free(a);
}

static const char *const bad[] = {
    "",
    " ",
    "nul",
    "nulll",
    "True",
    "'a'",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{1:2}",
    "{\"a\" 1}",
    "[1}",
    "{\"a\":1]",
    "]",
    "}",
    "[]]",
    "{}{}",
    "1 2",
    "[] x",
    "\"a\"\"b\"",
    "01",
    "-",
    "-a",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x1",
    "1.e5",
    "NaN",
    "Infinity",
    "-Infinity",
    "--1",
    "1.2.3",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\\"",
    "\"a\nb\"",
    "\"a\tb\"",
    "\"\x01\"",
    "/* c */ 1",
    "1 // c",
    "\xef\xbb\xbf{}",
    "\v1",
    "[1,\f2]",
    "[\v]",
    "\"\v\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800x\"",
    "\"\\ud800\\n\"",
    "\"\\ud800\\u0041\"",
    "\"\\ud800\\ud800\\udc00\"",
    "\"\\udc00\\ud800\"",
    "\"\\uDBFF\"",
    "{\"\\ud800\":1}",
    "{\"a\":\"\\udfff\"}",
    "\"\xff\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe2\x82\"",
    "\x80",
    "{\"a\":\"b\" \"c\":1}",
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,]",
    "[true false]",
    "[1-2]",
    "[\"a\":1]",
    "\\u0031",
    "\xc2\xa0[]",
};

static void refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (!refused(bad[i], strlen(bad[i])))
            fail_msg("taken: %s", bad[i]);
    assert_true(refused("\0", 1));
    assert_true(refused("1\0", 2));
    assert_true(refused("[1]\0", 4));
    assert_true(refused("\"\0\"", 3));
}

static void accepts(void **state)
{
    struct arena *a = arena_new();
    const struct json *v;

    (void)state;
    v = parse(a, "\"\\ud83d\\ude00\\uD83D\\uDE00\"");
    same(v->text, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
    v = parse(a, "\"\\\\ud800\""); /* a backslash, then text */
    same(v->text, "\\ud800");
    v = parse(a, "\"\\\\\\u0041\\\\\"");
    same(v->text, "\\A\\");
    v = parse(a, "\"a\\u0000b\"");
    assert_true(slice_eq(v->text, SLICE_LIT("a\0b")));
    v = parse(a, "\"\\u0000\"");
    assert_true(slice_eq(v->text, SLICE_LIT("\0")));
    v = parse(a, "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\x7f\"");
    assert_int_equal(v->text.n, 11);
    v = parse(a, " \n\t\r 7 \n");
    same(v->text, "7");
    same(v->raw, "7");
    v = parse(a, "-12.5e+07");
    same(v->raw, "-12.5e+07");
    arena_free(a);
}

/* Every value's span, also next to escapes and whitespace. */
static void spans(void **state)
{
    struct arena *a = arena_new();
    const struct json *v =
        parse(a, " { \"a\\n\" : \"x\\ty\" ,\"b\":[ 1 , \"\\u0041\\\"\" ] , \"c\":"
                 "{}, \"d\" : 1.50 , \"e\":true,\"f\" :null ,\"g\":\"plain\" } ");
    const struct json *b;

    (void)state;
    assert_int_equal(v->count, 7);
    assert_int_equal(v->raw.p[0], '{');
    assert_int_equal(v->raw.p[v->raw.n - 1], '}');
    same(json_get(v, "a\n")->raw, "\"x\\ty\"");
    same(json_get(v, "a\n")->text, "x\ty");
    b = json_get(v, "b");
    same(b->raw, "[ 1 , \"\\u0041\\\"\" ]");
    same(json_at(b, 0)->raw, "1");
    same(json_at(b, 1)->raw, "\"\\u0041\\\"\"");
    same(json_at(b, 1)->text, "A\"");
    same(json_get(v, "c")->raw, "{}");
    same(json_get(v, "d")->raw, "1.50");
    same(json_get(v, "e")->raw, "true");
    same(json_get(v, "f")->raw, "null");
    same(json_get(v, "g")->raw, "\"plain\"");
    arena_free(a);
}

/* ---- packed arrays ---- */

/* n numbers, then what `tail` says, from any place among the numbers on. */
static void numbers_text(struct buf *b, unsigned n, unsigned at, const char *other)
{
    buf_char(b, '[');
    for (unsigned i = 0; i < n; i++) {
        if (i != 0)
            buf_str(b, i % 3 == 0 ? " , " : ",");
        if (other != NULL && i == at)
            buf_str(b, other);
        else
            buf_printf(b, "%d.%ue%d", (int)i - 5, i, (int)(i % 7) - 3);
    }
    buf_str(b, n % 2 == 0 ? " ]" : "]");
    buf_char(b, '\0');
}

static void packed_or_not(void **state)
{
    static const char *const others[] = {NULL, "\"s\"", "[1,2]", "{\"k\":[]}", "null", "\"\\n\""};
    struct arena *a = arena_new();

    (void)state;
    for (unsigned n = 0; n < 40; n++)
        for (unsigned k = 0; k < COUNT_OF(others) * 40; k++) {
            const char *other = others[k / 40];
            const struct json *v, *u;
            bool mixed = other != NULL && k % 40 < n;
            struct buf b;

            buf_init(&b, 10000);
            numbers_text(&b, n, k % 40, other);
            v = parse(a, b.p);
            u = json_unpack(a, v);
            assert_int_equal(v->count, n);
            assert_int_equal(v->packed, !mixed && n > JSON_PACK_MIN);
            assert_false(u->packed);
            assert_int_equal(u->count, n);
            for (uint32_t i = 0; i < n; i++) {
                const struct json *x = json_elem(a, v, i), *y = json_at(u, i);
                char want[32];

                assert_true(same_value(a, x, y));
                assert_true(slice_eq(x->raw, y->raw));
                (void)snprintf(want, sizeof want, "%d.%ue%d", (int)i - 5, i, (int)(i % 7) - 3);
                same(y->raw, mixed && i == k % 40 ? other : want);
                assert_ptr_equal(json_at(v, i) == NULL, v->packed);
            }
            assert_null(json_at(u, n));
            assert_null(json_elem(a, v, n));
            assert_int_equal(json_collate(v, u), 0);
            buf_free(&b);
            arena_reset(a);
        }
    arena_free(a);
}

static void packed_is_one_node(void **state)
{
    struct arena *a = arena_new();
    struct buf b;
    const struct json *v;
    struct err e;
    size_t before;

    (void)state;
    buf_init(&b, 100000);
    buf_char(&b, '[');
    for (int i = 0; i < 1536; i++)
        buf_printf(&b, "%s0.%d", i != 0 ? "," : "", i + 1);
    buf_char(&b, ']');
    before = arena_bytes(a);
    assert_int_equal(json_parse(a, buf_slice(&b), &v, &e), ST_OK);
    assert_true(v->packed);
    assert_int_equal(arena_bytes(a), before); /* nothing but one node */
    assert_true(slice_eq(v->raw, buf_slice(&b)));
    assert_true(slice_eq(v->text, v->raw));
    buf_free(&b);
    arena_free(a);
}

/* ---- duplicate names ---- */

static void last_one_wins(void **state)
{
    struct arena *a = arena_new();
    const struct json *v =
        parse(a, "{\"o\":{\"a\":1,\"b\":[1,2],\"\\u0061\":{\"x\": \"y\"}},\"p\":[{}]}");
    const struct json *o = json_get(v, "o");
    struct buf b;

    (void)state;
    assert_true(json_has_dup(v));
    assert_true(json_has_dup(o));
    assert_false(json_has_dup(json_get(v, "p")));
    assert_false(json_has_dup(NULL));
    assert_int_equal(v->raw.n, 0);
    assert_int_equal(o->raw.n, 0);
    assert_int_equal(o->count, 2);
    same(o->first->key, "b");
    same(o->last->key, "a"); /* at its own place */
    same(o->last->raw, "{\"x\": \"y\"}");
    same(json_get(v, "p")->raw, "[{}]");
    buf_init(&b, 1000);
    json_write(&b, v);
    same(buf_slice(&b), "{\"o\":{\"b\":[1,2],\"a\":{\"x\":\"y\"}},\"p\":[{}]}");
    buf_free(&b);
    v = parse(a, "{\"a\":{\"x\":1,\"y\":2},\"b\":0,\"a\":7,\"a\":[true]}");
    assert_int_equal(v->count, 2);
    same(v->first->key, "b");
    assert_int_equal(v->last->type, JSON_ARRAY);
    assert_int_equal(v->last->count, 1);
    assert_ptr_equal(v->last, v->first->next);
    assert_null(v->last->next);
    v = parse(a, "[{\"a\":1},{\"a\":1}]");
    assert_false(json_has_dup(v));
    v = parse(a, "{\"a\":{\"q\":1,\"q\":2},\"a\":3}"); /* the inner one is gone, was seen though */
    assert_true(json_has_dup(v));
    arena_free(a);
}

/* With n names, each twice: below, at and above the size from which a table is used. */
static void many_names(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (unsigned n = 1; n < 200; n += n < 40 ? 1 : 37) {
        const struct json *v, *c;
        struct buf b;
        unsigned i = 0;

        buf_init(&b, 1 << 20);
        for (unsigned k = 0; k < 2 * n; k++)
            buf_printf(&b, "%s\"k%u\":%u", k != 0 ? "," : "{", k % n, k);
        buf_str(&b, "}");
        buf_char(&b, '\0');
        v = parse(a, b.p);
        assert_int_equal(v->count, n);
        for (c = v->first; c != NULL; c = c->next, i++) {
            char want[16];

            (void)snprintf(want, sizeof want, "k%u", i);
            same(c->key, want);
            assert_int_equal(json_double(c), n + i);
        }
        buf_free(&b);
        arena_reset(a);
    }
    arena_free(a);
}

static void large_object_is_not_quadratic(void **state)
{
    struct arena *a = arena_new();
    const struct json *v;
    struct err e;
    struct buf b;

    (void)state;
    buf_init(&b, 32 << 20);
    for (unsigned k = 0; k < 200000; k++) /* hours if each were compared with each */
        buf_printf(&b, "%s\"key%06u\":0", k != 0 ? "," : "{", k % 199999);
    buf_str(&b, "}");
    assert_int_equal(json_parse(a, buf_slice(&b), &v, &e), ST_OK);
    assert_int_equal(v->count, 199999);
    assert_true(json_has_dup(v));
    buf_free(&b);
    arena_free(a);
}

/* ---- bounds ---- */

static void depth(void **state)
{
    (void)state;
    for (unsigned extra = 0; extra < 2; extra++)
        for (unsigned kind = 0; kind < 2; kind++) {
            struct buf b;

            buf_init(&b, 10000);
            for (unsigned i = 0; i < LIMIT_JSON_DEPTH + extra; i++)
                buf_str(&b, kind != 0 ? "[" : "{\"a\":");
            buf_str(&b, "0");
            for (unsigned i = 0; i < LIMIT_JSON_DEPTH + extra; i++)
                buf_str(&b, kind != 0 ? "]" : "}");
            assert_int_equal(refused(b.p, b.n), extra == 1);
            buf_free(&b);
        }
}

static void sizes(void **state)
{
    struct arena *a = arena_new();
    size_t n = LIMIT_JSON_BYTES + 1;
    char *text = mem_alloc(n);
    const struct json *v;
    struct err e;

    (void)state;
    memset(text, ' ', n);
    text[0] = '1';
    assert_int_equal(json_parse(a, slice_of(text, n), &v, &e), ST_TOO_LARGE);
    assert_int_equal(json_parse(a, slice_of(text, n - 1), &v, &e), ST_OK);
    /* more values than allowed: told from many numbers at once, so without making them */
    text[0] = '[';
    for (size_t i = 1; i + 4 < n - 1; i += 2)
        memcpy(text + i, (const char[2]){'1', ','}, 2);
    memcpy(text + n - 6, (const char[4]){'"', '"', ' ', ']'}, 4);
    assert_int_equal(json_parse(a, slice_of(text, n - 1), &v, &e), ST_TOO_LARGE);
    mem_free(text);
    assert_true(arena_bytes(a) < 1 << 20);
    arena_free(a);
}

/* Long escaped strings outgrow the memory that the parser sets aside for yajl. */
static void long_escapes(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (size_t n = 1; n < 300000; n = n * 3 + 1) {
        const struct json *v;
        struct buf b;

        buf_init(&b, 4 << 20);
        buf_str(&b, "[\"");
        for (size_t i = 0; i < n; i++)
            buf_str(&b, i % 5 == 0 ? "\\n" : "ab");
        buf_str(&b, "\",\"\\t\"]");
        buf_char(&b, '\0');
        v = parse(a, b.p);
        assert_int_equal(json_at(v, 0)->text.n, 2 * n - (n + 4) / 5);
        same(json_at(v, 1)->text, "\t");
        buf_free(&b);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_are_refused),
        cmocka_unit_test(writes_what_it_read),
        cmocka_unit_test(whitespace_is_nothing),
        cmocka_unit_test(refuses),
        cmocka_unit_test(accepts),
        cmocka_unit_test(spans),
        cmocka_unit_test(packed_or_not),
        cmocka_unit_test(packed_is_one_node),
        cmocka_unit_test(last_one_wins),
        cmocka_unit_test(many_names),
        cmocka_unit_test(large_object_is_not_quadratic),
        cmocka_unit_test(depth),
        cmocka_unit_test(sizes),
        cmocka_unit_test(long_escapes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
