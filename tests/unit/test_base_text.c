/* Unit tests of base/text.h: round trips over all small inputs, and what must be refused. */
#include "unit.h"

#include <string.h>

#include "base/text.h"

static void hex_round_trip(void **state)
{
    char text[4];
    unsigned char back[2];

    (void)state;
    for (unsigned v = 0; v < 65536; v++) {
        unsigned char in[2] = {(unsigned char)(v >> 8), (unsigned char)v};

        hex_encode(in, 2, text);
        assert_true(hex_decode(slice_of(text, 4), back));
        assert_memory_equal(in, back, 2);
    }
    hex_encode("\xab\x01", 2, text);
    assert_memory_equal(text, "ab01", 4);
    assert_true(hex_decode(SLICE_LIT("ABcd"), back));
    assert_memory_equal(back, "\xab\xcd", 2);
    assert_true(hex_decode(SLICE_LIT(""), back));
    assert_false(hex_decode(SLICE_LIT("abc"), back));
    for (int c = 0; c < 256; c++) {
        char pair[2] = {'0', (char)c};
        bool is_hex = c != 0 && strchr("0123456789abcdefABCDEF", c) != NULL;

        assert_int_equal(hex_decode(slice_of(pair, 2), back), is_hex);
    }
}

static void base64_known(void **state)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    char text[16];
    char back[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        size_t len = strlen(pairs[i][0]);

        assert_int_equal(base64_encoded_len(len), strlen(pairs[i][1]));
        base64_encode(pairs[i][0], len, text);
        assert_memory_equal(text, pairs[i][1], strlen(pairs[i][1]));
        assert_true(base64_decode(slice_str(pairs[i][1]), back, &n));
        assert_int_equal(n, len);
        assert_memory_equal(back, pairs[i][0], len);
    }
    assert_int_equal(base64url_encode("\xfb\xff", 2, text), 3);
    assert_memory_equal(text, "-_8", 3);
}

static void base64_round_trip(void **state)
{
    uint64_t seed = 1;

    (void)state;
    for (size_t len = 0; len < 300; len++) {
        unsigned char in[300], back[304];
        char text[404];
        size_t n;

        for (size_t i = 0; i < len; i++)
            in[i] = (unsigned char)unit_random(&seed);
        base64_encode(in, len, text);
        assert_true(base64_decode(slice_of(text, base64_encoded_len(len)), back, &n));
        assert_int_equal(n, len);
        assert_memory_equal(in, back, len);
        n = base64url_encode(in, len, text);
        assert_int_equal(n, (len * 8 + 5) / 6);
        assert_true(base64url_decode(slice_of(text, n), back, &n));
        assert_int_equal(n, len);
        assert_memory_equal(in, back, len);
    }
}

static void base64_refuses(void **state)
{
    static const char *const bad[] = {"A",    "AA",       "AAA",   "A===", "====",  "=AAA",
                                      "AA=A", "AA==AAAA", "AAAA=", "AA-_", "AAA\n", " AAA"};
    char out[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(base64_decode(slice_str(bad[i]), out, &n));
    /* every byte, in every place of a group */
    for (int c = 0; c < 256; c++) {
        bool plain = c != 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                      "0123456789",
                                      c) != NULL;
        for (size_t at = 0; at < 7; at++) {
            char text[] = "AAAAAAAA";

            text[at] = (char)c;
            assert_int_equal(base64_decode(slice_of(text, 8), out, &n),
                             plain || c == '+' || c == '/');
            assert_int_equal(base64url_decode(slice_of(text, 7), out, &n),
                             plain || c == '-' || c == '_');
        }
    }
    assert_false(base64url_decode(SLICE_LIT("AAAAA"), out, &n));
    assert_false(base64url_decode(SLICE_LIT("AA=="), out, &n));
}

static void percent_round_trip(void **state)
{
    struct arena *a = arena_new();
    struct slice back;

    (void)state;
    for (unsigned v = 0; v < 65536; v++) {
        char in[2] = {(char)(v >> 8), (char)v};
        struct buf b;

        buf_init(&b, 64);
        percent_encode(&b, slice_of(in, 2));
        for (size_t i = 0; i < b.n; i++)
            assert_true(b.p[i] > ' ' && b.p[i] < 0x7f && b.p[i] != '+' && b.p[i] != '/');
        assert_true(percent_decode(a, buf_slice(&b), (v & 1) != 0, &back));
        assert_true(slice_eq(back, slice_of(in, 2)));
        buf_free(&b);
        arena_reset(a);
    }
    arena_free(a);
}

static void percent_refuses(void **state)
{
    struct arena *a = arena_new();
    static const char *const bad[] = {"%", "%2", "a%", "%zz", "%2g", "%g2", "%%20"};
    struct slice out;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(percent_decode(a, slice_str(bad[i]), false, &out));
    assert_true(percent_decode(a, SLICE_LIT("a+b%2B%00c"), true, &out));
    assert_true(slice_eq(out, SLICE_LIT("a b+\0c")));
    assert_true(percent_decode(a, SLICE_LIT("a+b"), false, &out));
    assert_true(slice_eq(out, SLICE_LIT("a+b")));
    arena_free(a);
}

static size_t utf8_put(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 63));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 63));
        out[2] = (char)(0x80 | (code & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | (code >> 18 & 7));
    out[1] = (char)(0x80 | (code >> 12 & 63));
    out[2] = (char)(0x80 | (code >> 6 & 63));
    out[3] = (char)(0x80 | (code & 63));
    return 4;
}

static void utf8_all_codes(void **state)
{
    char out[12];

    (void)state;
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        size_t n = utf8_put(code, out + 8);
        bool surrogate = code >= 0xd800 && code <= 0xdfff;

        assert_int_equal(n, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        assert_int_equal(utf8_valid(slice_of(out + 8, n)), !surrogate);
        for (size_t cut = 1; cut < n; cut++)
            assert_false(utf8_valid(slice_of(out + 8, cut)));
        memset(out, 'a', 8); /* behind a whole word of ASCII */
        assert_int_equal(utf8_valid(slice_of(out, 8 + n)), !surrogate);
    }
}

static void utf8_refuses(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x80\x80",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x80\x80\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xc3(",
                                      "\xe2\x82(",
                                      "\xf0\x9f\x98("};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(utf8_valid(slice_str(bad[i])));
    assert_true(utf8_valid(SLICE_LIT("")));
    assert_true(utf8_valid(SLICE_LIT("\0 is fine")));
}

static void utf8_repairs(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 64);
    utf8_repair(&b, SLICE_LIT("a\xff\xc3(\xc3\xa9\xe2\x82"));
    assert_true(slice_eq(buf_slice(&b), SLICE_LIT("a\xef\xbf\xbd\xef\xbf\xbd(\xc3\xa9"
                                                  "\xef\xbf\xbd\xef\xbf\xbd")));
    assert_true(utf8_valid(buf_slice(&b)));
    buf_free(&b);
}

static void integers(void **state)
{
    uint64_t u;
    int64_t i;

    (void)state;
    assert_true(parse_u64(SLICE_LIT("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(parse_u64(SLICE_LIT("18446744073709551616"), &u));
    assert_false(parse_u64(SLICE_LIT("99999999999999999999"), &u));
    assert_false(parse_u64(SLICE_LIT(""), &u));
    assert_false(parse_u64(SLICE_LIT("+1"), &u));
    assert_false(parse_u64(SLICE_LIT("-1"), &u));
    assert_false(parse_u64(SLICE_LIT("1 "), &u));
    assert_true(parse_u64(SLICE_LIT("007"), &u));
    assert_int_equal(u, 7);
    assert_true(parse_i64(SLICE_LIT("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(parse_i64(SLICE_LIT("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_false(parse_i64(SLICE_LIT("9223372036854775808"), &i));
    assert_false(parse_i64(SLICE_LIT("-9223372036854775809"), &i));
    assert_false(parse_i64(SLICE_LIT("-"), &i));
    assert_true(parse_i64(SLICE_LIT("-12"), &i));
    assert_int_equal(i, -12);
}

static void small_things(void **state)
{
    (void)state;
    assert_true(slice_ieq(SLICE_LIT("Content-Type"), SLICE_LIT("cONTENT-tYPE")));
    assert_false(slice_ieq(SLICE_LIT("ab"), SLICE_LIT("abc")));
    assert_false(slice_ieq(SLICE_LIT("@"), SLICE_LIT("`"))); /* differ by the case bit only */
    assert_true(slice_eq(slice_trim(SLICE_LIT(" \t a b\t ")), SLICE_LIT("a b")));
    assert_int_equal(slice_trim(SLICE_LIT(" \t ")).n, 0);
    assert_int_equal(slice_trim(SLICE_LIT("")).n, 0);
    assert_true(slice_cmp(SLICE_LIT("a"), SLICE_LIT("ab")) < 0);
    assert_true(slice_cmp(SLICE_LIT("\xff"), SLICE_LIT("a")) > 0);
    assert_true(slice_starts(SLICE_LIT("abc"), SLICE_LIT("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_round_trip),     cmocka_unit_test(base64_known),
        cmocka_unit_test(base64_round_trip),  cmocka_unit_test(base64_refuses),
        cmocka_unit_test(percent_round_trip), cmocka_unit_test(percent_refuses),
        cmocka_unit_test(utf8_all_codes),     cmocka_unit_test(utf8_refuses),
        cmocka_unit_test(utf8_repairs),       cmocka_unit_test(integers),
        cmocka_unit_test(small_things),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
