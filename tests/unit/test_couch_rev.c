/* tests/unit/test_couch_rev.c: text of revisions, their order, and the hashes CouchDB gives. The
 * expected hashes that are not in CouchDB's own documentation come from an independent encoder of
 * Erlang's external term format. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/digest.h"
#include "couch/rev.h"
#include "json/json.h"

static struct rev parse_ok(struct arena *a, const char *text)
{
    struct rev r;
    struct err e;

    assert_int_equal(rev_parse(a, slice_str(text), &r, &e), ST_OK);
    return r;
}

static void assert_text(struct arena *a, const struct rev *r, const char *want)
{
    struct buf b;
    struct slice s = rev_text(a, r);

    assert_true(slice_eq(s, slice_str(want)));
    buf_init(&b, REV_TEXT_MAX);
    rev_write(&b, r);
    assert_true(buf_ok(&b));
    assert_true(slice_eq(buf_slice(&b), slice_str(want)));
    buf_free(&b);
}

static void test_parse_and_write(void **state)
{
    static const struct {
        const char *text, *out;
        uint32_t gen;
        bool hex;
    } cases[] = {
        {"1-967a00dff5e02add41819138abb3284d", "1-967a00dff5e02add41819138abb3284d", 1, true},
        {"12-967A00DFF5E02ADD41819138ABB3284D", "12-967a00dff5e02add41819138abb3284d", 12, true},
        {"1-", "1-", 1, false},
        {"1-x", "1-x", 1, false},
        {"2-abc-def", "2-abc-def", 2, false},
        {"0-12", "0-12", 0, false},
        {"2000000000-z", "2000000000-z", 2000000000, false},
        {"1-\xc3\xa9", "1-\xc3\xa9", 1, false},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rev r = parse_ok(a, cases[i].text);

        assert_int_equal(r.gen, cases[i].gen);
        assert_int_equal(r.hex, cases[i].hex);
        assert_text(a, &r, cases[i].out);
    }
    arena_free(a);
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "-",
        "1",
        "x",
        "-x",
        "x-1",
        "+1-x",
        "1.0-x",
        " 1-x",
        "2000000001-x",
        "99999999999999999999-x",
        "1-zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", /* 32 bytes, not hex */
        "1-a\"b",
        "1-a\\b",
        "1-a\nb",
        "1-\xff",
    };
    struct arena *a = arena_new();
    char longest[LIMIT_REV_BYTES + 4] = "1-";
    struct rev r;
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rev_parse(a, slice_str(bad[i]), &r, &e), ST_BAD_REQUEST);
        assert_string_equal(e.reason, "Invalid rev format");
    }
    memset(longest + 2, 'a', LIMIT_REV_BYTES + 1);
    assert_int_equal(rev_parse(a, slice_of(longest, LIMIT_REV_BYTES + 3), &r, &e), ST_BAD_REQUEST);
    assert_int_equal(rev_parse(a, slice_of(longest, LIMIT_REV_BYTES + 2), &r, &e), ST_OK);
    arena_free(a);
}

static void test_order(void **state)
{
    static const char *const ascending[] = {
        "1-",
        "1-00000000000000000000000000000000",
        "1-a",
        "1-a0",
        "1-b",
        "1-ffffffffffffffffffffffffffffffff",
        "2-00000000000000000000000000000000",
        "2-a",
        "10-",
    };
    struct arena *a = arena_new();
    size_t n = sizeof ascending / sizeof ascending[0];

    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            struct rev x = parse_ok(a, ascending[i]), y = parse_ok(a, ascending[k]);
            int c = rev_cmp(&x, &y);

            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
            assert_int_equal(rev_eq(&x, &y), i == k);
        }
    arena_free(a);
}

static void assert_made(const char *parent, bool deleted, const char *json, const char *want)
{
    struct arena *a = arena_new();
    struct rev none = {0}, p = none, r;
    const struct json *body;
    unsigned char id[16];
    struct err e;
    struct slice text;

    if (parent != NULL)
        p = parse_ok(a, parent);
    assert_int_equal(json_parse(a, slice_str(json), &body, &e), ST_OK);
    rev_make(&p, deleted, body, NULL, 0, id, &r);
    text = rev_text(a, &r);
    if (!slice_eq(text, slice_str(want)))
        fail_msg("%.60s: got %s, want %s", json, arena_cstr(a, text), want);
    arena_free(a);
}

static void test_make_as_couchdb(void **state)
{
    (void)state;
    assert_made(NULL, false, "{}", "1-967a00dff5e02add41819138abb3284d");
    assert_made("1-967a00dff5e02add41819138abb3284d", true, "{}",
                "2-eec205a9d413992850a6e32678485900");
    assert_made(NULL, false, "{\"a\":1}", "1-23202479633c2b380f79507a776743d5");
    assert_made(NULL, false, "{\"_id\":\"x\",\"a\" : 1,\"_rev\":\"1-x\",\"_attachments\":{}}",
                "1-23202479633c2b380f79507a776743d5");
    assert_made(NULL, false,
                "{\"name\":\"x\",\"n\":[1,2,3],\"m\":[1,256,-1],\"e\":[],\"o\":{},\"t\":true,"
                "\"f\":false,\"z\":null}",
                "1-f72758904f3dea8d2d490c775c671f43");
    assert_made("2-abc", false, "{\"x\":\"\\u00e9\\u0000\"}", "3-6824e1efe381fbf18a486a3224cbbaca");
    assert_made(NULL, false, "{\"a\":1,\"_replication_state\":\"completed\"}",
                "1-05baacd05c0849addd5d44e82242c0bf");
}

static void test_make_numbers(void **state)
{
    (void)state;
    assert_made(NULL, false,
                "{\"i\":[0,255,256,-1,2147483647,2147483648,-2147483648,-2147483649,4294967296,"
                "9223372036854775807,-9223372036854775808,123456789012345678901234567890]}",
                "1-3f1b22b7b6457b5288ebf6369cd45861");
    assert_made(NULL, false, "{\"f\":[1.0,-0.5,1e3,2.5E-3,0.1,-0.0,1.7976931348623157e308]}",
                "1-7597db677d0b86ffe8cbf76791fc0ad0");
    /* the same value written differently is the same revision, as in CouchDB */
    assert_made(NULL, false, "{\"f\":[1.00,-5e-1,1000.0,0.0025,1e-1,-0e5,17976931348623157E292]}",
                "1-7597db677d0b86ffe8cbf76791fc0ad0");
}

static void hash_number(struct arena *a, const char *text, unsigned char id[16])
{
    struct slice doc = arena_printf(a, "{\"n\":%s}", text);
    const struct json *body;
    struct rev none = {0}, r;
    struct err e;

    assert_int_equal(json_parse(a, doc, &body, &e), ST_OK);
    rev_make(&none, false, body, NULL, 0, id, &r);
}

/* Floats without an exponent are read by revid.c itself, all others by json_double. */
static void test_make_floats_agree(void **state)
{
    static const char *const hard[] = {
        "9007199254740993.0",
        "9007199254740992.5",
        "1844674407370955160.0",
        "0.1",
        "0.30000000000000004",
        "123456789.0123456789",
        "0.000000000000000001",
        "1.0",
        "4503599627370496.5",
        "4503599627370497.5",
        "-0.5",
        "0.000000000000000000000000001",
    };
    struct arena *a = arena_new();
    unsigned char x[16], y[16];
    uint64_t seed = 1;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char text[64], with_exponent[72];
        int n;

        seed = seed * 6364136223846793005U + 1442695040888963407U;
        if (i < sizeof hard / sizeof hard[0])
            n = snprintf(text, sizeof text, "%s", hard[i]);
        else
            n = snprintf(text, sizeof text, "%s%u.%0*llu", seed & 1 ? "-" : "",
                         (unsigned)(seed >> 62), 1 + (int)(seed >> 32 & 15) + (i % 3 == 0 ? 8 : 0),
                         (unsigned long long)(seed >> (i % 60)));
        assert_true(n > 0 && n < 64);
        (void)snprintf(with_exponent, sizeof with_exponent, "%se0", text);
        hash_number(a, text, x);
        hash_number(a, with_exponent, y);
        if (memcmp(x, y, 16) != 0)
            fail_msg("%s is read differently with and without an exponent", text);
        arena_reset(a);
    }
    arena_free(a);
}

/* {"v":[from, from + 1, ...]} with n elements, or n times the same text. */
static char *numbers_doc(int from, int n, const char *same)
{
    struct buf b;
    char *p;

    buf_init(&b, 1 << 20);
    buf_str(&b, "{\"v\":[");
    for (int i = 0; i < n; i++) {
        if (same != NULL)
            buf_printf(&b, "%s%s", i > 0 ? ", " : "", same);
        else
            buf_printf(&b, "%s%d", i > 0 ? ", " : "", from + i);
    }
    buf_str(&b, "]}");
    buf_char(&b, '\0');
    p = mem_dup(b.p, b.n);
    buf_free(&b);
    return p;
}

static void assert_made_numbers(int from, int n, const char *same, const char *want)
{
    char *doc = numbers_doc(from, n, same);

    assert_made(NULL, false, doc, want);
    mem_free(doc);
}

static void test_make_packed(void **state)
{
    struct buf b;

    (void)state;
    assert_made_numbers(0, 100, NULL, "1-5bbdfd5691846b55aa0162631674d7e5");
    assert_made_numbers(-20, 40, NULL, "1-a286ecbde102a40f543cd3debdb1a87d");
    assert_made_numbers(0, 3000, NULL, "1-445ae8d6089a070ea438004e1bbeba99");
    assert_made_numbers(0, 65535, "7", "1-a34a28b3f99ad5e8791a748c5614ef47");
    assert_made_numbers(0, 65536, "7", "1-e90a16767d08c5f10f6773bb71a844cb");
    buf_init(&b, 4096);
    buf_str(&b, "{\"v\":[0.0");
    for (int i = 1; i < 40; i++)
        buf_printf(&b, ",%d.%d", i / 2, i % 2 * 5);
    buf_str(&b, "]}");
    buf_char(&b, '\0');
    assert_made(NULL, false, b.p, "1-1fd9f7c5d38a8f6a3848ab972856e336");
    buf_free(&b);
}

static void test_make_large(void **state)
{
    char *p = mem_alloc(11000);

    (void)state;
    memset(p, '9', 11000);
    memcpy(p, "{\"b\":", 5);
    memcpy(p + 705, "}", 2);
    assert_made(NULL, false, p, "1-8d129c386820e6c7292bc7cca090c4cd");
    memset(p, 'x', 11000);
    memcpy(p, "{\"s\":\"", 6);
    memcpy(p + 10006, "\"}", 3);
    assert_made(NULL, false, p, "1-5d4b0adc7ccfd766f1586ed781f6e5df");
    for (size_t i = 0; i < 90; i++) {
        memcpy(p + 5 * i, "{\"a\":", 5);
        p[451 + i] = '}';
    }
    p[450] = '1';
    p[541] = '\0';
    assert_made(NULL, false, p, "1-f135f80fc52d5770c8ab2e27b3aafc74");
    mem_free(p);
}

/* Numbers that Erlang has no value for: any hash will do if it is stable and tells them apart. */
static void test_make_odd_numbers(void **state)
{
    static const char *const docs[] = {"{\"a\":1e400}", "{\"a\":-1e400}", "{\"a\":1e401}",
                                       "{\"a\":\"1e402\"}"};
    struct arena *a = arena_new();
    unsigned char id[4][16], again[16];
    const struct json *body;
    struct rev none = {0}, r;
    struct err e;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(json_parse(a, slice_str(docs[i]), &body, &e), ST_OK);
        rev_make(&none, false, body, NULL, 0, id[i], &r);
        rev_make(&none, false, body, NULL, 0, again, &r);
        assert_memory_equal(id[i], again, 16);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(id[i], id[k], 16);
    }
    arena_free(a);
}

static void test_make_attachments(void **state)
{
    struct rev_att atts[2] = {
        {.name = SLICE_LIT("a.txt"), .type = SLICE_LIT("text/plain")},
        {.name = SLICE_LIT("b.bin"), .type = SLICE_LIT("application/octet-stream")}};
    struct arena *a = arena_new();
    const struct json *body;
    struct rev none = {0}, r;
    unsigned char id[16];
    struct err e;

    (void)state;
    md5("hi", 2, atts[0].md5);
    md5("", 0, atts[1].md5);
    assert_int_equal(json_parse(a, SLICE_LIT("{\"b\":\"c\"}"), &body, &e), ST_OK);
    rev_make(&none, false, body, atts, 2, id, &r);
    assert_text(a, &r, "1-fa0abe104752a6c021191f7c27a80d53");
    assert_ptr_equal(r.id.p, id);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_write),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_make_as_couchdb),
        cmocka_unit_test(test_make_numbers),
        cmocka_unit_test(test_make_packed),
        cmocka_unit_test(test_make_large),
        cmocka_unit_test(test_make_odd_numbers),
        cmocka_unit_test(test_make_attachments),
        cmocka_unit_test(test_make_floats_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
