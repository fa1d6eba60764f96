/* Unit tests of json/value.c, write.c and number.c: looking, building, writing, numbers. */
#include "unit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"

static const struct json *parse(struct arena *a, const char *text)
{
    const struct json *v = NULL;
    struct err e = {NULL, ""};

    if (json_parse(a, slice_str(text), &v, &e) != ST_OK)
        fail_msg("%s: %s", text, e.reason);
    return v;
}

static void writes(const struct json *v, const char *want)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    json_write(&b, v);
    assert_true(buf_ok(&b));
    if (!slice_eq(buf_slice(&b), slice_str(want)))
        fail_msg("got %.*s, want %s", (int)b.n, b.p, want);
    buf_free(&b);
}

/* ---- look ---- */

static void looks(void **state)
{
    struct arena *a = arena_new();
    const struct json *v = parse(a, "{\"a\":1,\"b\":[true,false,\"x\"],\"n\\u0000\":null}");
    const struct json *arr = json_get(v, "b");
    bool b = false;

    (void)state;
    assert_true(json_is(v, JSON_OBJECT));
    assert_false(json_is(NULL, JSON_NULL));
    assert_null(json_get(v, "A"));
    assert_null(json_get(v, ""));
    assert_null(json_get(v, "n"));
    assert_non_null(json_get_s(v, SLICE_LIT("n\0")));
    assert_null(json_get(arr, "a"));
    assert_null(json_get(NULL, "a"));
    assert_null(json_at(v, 0));
    assert_null(json_at(NULL, 0));
    assert_null(json_at(arr, 3));
    assert_null(json_at(arr, UINT32_MAX));
    assert_ptr_equal(json_elem(a, arr, 2), json_at(arr, 2));
    assert_ptr_equal(json_unpack(a, arr), arr);
    assert_ptr_equal(json_unpack(a, v), v);
    assert_true(json_bool(json_at(arr, 0), &b) && b);
    assert_true(json_bool(json_at(arr, 1), &b) && !b);
    assert_false(json_bool(json_at(arr, 2), &b));
    assert_false(json_bool(NULL, &b));
    arena_free(a);
}

static void integers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"1.0", false, 0},
        {"1e3", false, 0},
        {"\"1\"", false, 0},
        {"null", false, 0},
        {"[1]", false, 0},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t got = 0;

        assert_int_equal(json_int(parse(a, cases[i].text), &got), cases[i].ok);
        assert_true(got == cases[i].value);
    }
    arena_free(a);
}

/* A decimal text of any shape that JSON allows. */
static size_t any_number(uint64_t *seed, char out[80])
{
    static const unsigned char whole[] = {1, 1, 1, 2, 5, 9, 15, 17, 19, 20, 30};
    unsigned digits = whole[unit_random(seed) % sizeof whole];
    unsigned places = (unsigned)(unit_random(seed) >> 33) % 25;
    size_t n = 0;

    if ((unit_random(seed) >> 20 & 1) != 0)
        out[n++] = '-';
    for (unsigned i = 0; i < digits; i++)
        out[n++] = (char)('0' + (unit_random(seed) >> 40) % 10);
    if (out[n - digits] == '0' && digits > 1)
        out[n - digits] = '1';
    if (places != 0) {
        out[n++] = '.';
        for (unsigned i = 0; i < places; i++)
            out[n++] = i < places / 3 && places % 2 == 0
                           ? '0'
                           : (char)('0' + (unit_random(seed) >> 40) % 10);
    }
    if ((unit_random(seed) >> 20) % 3 == 0)
        n += (size_t)snprintf(out + n, 12, "%c%d", "eE"[n % 2],
                              (int)(unit_random(seed) >> 40) % 90 - 45);
    out[n] = '\0';
    return n;
}

/* The fast paths against strtod. */
static void doubles_and_floats(void **state)
{
    struct arena *a = arena_new();
    uint64_t seed = 6;

    (void)state;
    for (int i = 0; i < 300000; i++) {
        char text[84];
        size_t n = any_number(&seed, text + 1);
        const struct json *v;
        struct err e;
        double want = strtod(text + 1, NULL);
        float f = 0;
        uint32_t bad = 9;

        text[0] = '[';
        text[n + 1] = ']';
        assert_int_equal(json_parse(a, slice_of(text, n + 2), &v, &e), ST_OK);
        if (json_double(json_at(v, 0)) != want)
            fail_msg("%s: %a, want %a", text, json_double(json_at(v, 0)), want);
        if (isfinite((float)want)) {
            assert_true(json_floats(v, &f, 1, &bad));
            if (f != (float)want)
                fail_msg("%s: %a, want %a", text, (double)f, (double)(float)want);
        } else {
            assert_false(json_floats(v, &f, 1, &bad));
            assert_int_equal(bad, 0);
        }
        if (i % 100 == 0)
            arena_reset(a);
    }
    arena_free(a);
}

/* Every float32 border case: exactly between two neighbours, and next to it. */
static void floats_at_borders(void **state)
{
    uint64_t seed = 8;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = unit_random(&seed);
        struct arena *a = arena_new();
        char text[48] = "[";
        const struct json *v;
        struct err e;
        float f;
        double d, middle;
        uint32_t exp = 90 + (uint32_t)(bits >> 40) % 70, low = (uint32_t)bits & 0x7fffff;
        uint32_t x = exp << 23 | low, y = x + 1;
        float fx, fy;
        int n;

        memcpy(&fx, &x, 4);
        memcpy(&fy, &y, 4);
        middle = ((double)fx + (double)fy) / 2;
        d = i % 3 == 0 ? middle : i % 3 == 1 ? nextafter(middle, 0) : nextafter(middle, 1e30);
        n = snprintf(text + 1, 40, "%.17g]", d);
        assert_int_equal(json_parse(a, slice_of(text, (size_t)n + 1), &v, &e), ST_OK);
        assert_true(json_floats(v, &f, 1, NULL));
        assert_true(f == (float)d);
        arena_free(a);
    }
}

static void extreme_numbers(void **state)
{
    static const char *const texts[] = {
        "1e400",
        "-1e400",
        "1e-400",
        "4.9e-324",
        "1.7976931348623157e308",
        "0e999999999999",
        "0.0000000000000000000000000000000000000000001e43",
        "9007199254740993",
        "-0",
        "-0.0",
        "123456789012345678901234567890",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "3.4028235677973366e38",
        "3.4028235677973362e38",
        "1.1754943508222875e-38",
        "1e-45",
        "7.0064923216240853e-46",
        "7.0064923216240854e-46",
        "16777217",
        "0.30000001192092896",
    };
    struct arena *a = arena_new();
    struct buf b;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        double got = json_double(parse(a, texts[i])), want = strtod(texts[i], NULL);

        assert_true(got == want && signbit(got) == signbit(want));
    }
    /* the zeros make up for an exponent of more digits than an int holds */
    buf_init(&b, 4 << 20);
    buf_str(&b, "0.");
    for (int i = 0; i < 1000000; i++)
        buf_char(&b, '0');
    buf_str(&b, "1e1000001");
    buf_char(&b, '\0');
    assert_true(json_double(parse(a, b.p)) == 1.0);
    memcpy(b.p + b.n - 8, "1100001", 7);
    assert_true(isinf(json_double(parse(a, b.p))));
    buf_free(&b);
    arena_free(a);
}

static void floats_contract(void **state)
{
    struct arena *a = arena_new();
    float out[64];
    uint32_t bad = 77;
    const struct json *v;

    (void)state;
    assert_true(json_floats(parse(a, "[]"), out, 0, &bad));
    assert_false(json_floats(parse(a, "[1,2]"), out, 3, &bad));
    assert_int_equal(bad, 2);
    assert_false(json_floats(parse(a, "[1,2,3]"), out, 2, &bad));
    assert_int_equal(bad, 2);
    assert_false(json_floats(parse(a, "[1,\"2\",3]"), out, 3, &bad));
    assert_int_equal(bad, 1);
    assert_false(json_floats(parse(a, "[1,2,1e39]"), out, 3, &bad));
    assert_int_equal(bad, 2);
    assert_false(json_floats(parse(a, "{\"a\":1}"), out, 1, &bad));
    assert_false(json_floats(NULL, out, 0, &bad));
    v = parse(a, "[1, 2,3,4,5,6,7,8,9,10,11,12,13,14,15,16, -17.5e0 ,18]");
    assert_true(v->packed);
    assert_true(json_floats(v, out, 18, &bad));
    assert_true(out[0] == 1 && out[15] == 16 && out[16] == -17.5f && out[17] == 18);
    v = parse(a, "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,-1e39,18]");
    assert_false(json_floats(v, out, 18, &bad));
    assert_int_equal(bad, 16);
    arena_free(a);
}

/* ---- build and write ---- */

static void builds(void **state)
{
    struct arena *a = arena_new();
    struct json *o = json_object(a), *arr = json_array(a);

    (void)state;
    writes(json_object(a), "{}");
    writes(json_array(a), "[]");
    json_put_cstr(a, o, "id", "x\"y");
    json_put_i64(a, o, "n", INT64_MIN);
    json_put_bool(a, o, "t", true);
    json_put(a, o, "nil", json_null(a));
    json_put_str(a, o, "s", SLICE_LIT("\0\x1f"));
    json_put_key(a, o, SLICE_LIT("k\n"), json_num(a, 0.1));
    json_put(a, o, "arr", arr);
    json_add(a, arr, json_i64(a, 1)); /* linked, not copied: still shows */
    json_add(a, arr, json_raw(a, SLICE_LIT(" {\"a\" : [1, \"b c\"] } ")));
    json_add(a, arr, json_boolean(a, false));
    assert_int_equal(o->count, 7);
    assert_int_equal(arr->count, 3);
    writes(o, "{\"id\":\"x\\\"y\",\"n\":-9223372036854775808,\"t\":true,\"nil\":null,"
              "\"s\":\"\\u0000\\u001f\",\"k\\n\":0.1,\"arr\":[1,{\"a\":[1,\"b c\"]},false]}");
    assert_true(json_double(json_get(o, "n")) == (double)INT64_MIN);
    arena_free(a);
}

/* What has a parent already is copied: neither place disturbs the other. */
static void puts_twice(void **state)
{
    struct arena *a = arena_new();
    const struct json *v = parse(a, "{\"a\":[1, {\"b\":2}],\"c\":3}");
    struct json *o = json_object(a), *arr = json_array(a), *s = json_str(a, SLICE_LIT("s"));

    (void)state;
    json_put(a, o, "x", json_get(v, "a"));
    json_put(a, o, "whole", v);
    json_add(a, arr, s);
    json_add(a, arr, s);
    json_put(a, o, "s", s);
    json_put(a, o, "arr", arr);
    json_add(a, arr, json_get(v, "c"));
    writes(o, "{\"x\":[1,{\"b\":2}],\"whole\":{\"a\":[1,{\"b\":2}],\"c\":3},\"s\":\"s\","
              "\"arr\":[\"s\",\"s\",3]}");
    writes(v, "{\"a\":[1,{\"b\":2}],\"c\":3}");
    assert_int_equal(v->first->key.n, 1);
    assert_ptr_equal(v->first->next, v->last);
    arena_free(a);
}

static void raw_types(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(json_raw(a, SLICE_LIT("\n{}"))->type, JSON_OBJECT);
    assert_int_equal(json_raw(a, SLICE_LIT("[ ]"))->type, JSON_ARRAY);
    assert_int_equal(json_raw(a, SLICE_LIT("\"a b\""))->type, JSON_STRING);
    assert_int_equal(json_raw(a, SLICE_LIT("-1"))->type, JSON_NUMBER);
    assert_int_equal(json_raw(a, SLICE_LIT("true"))->type, JSON_TRUE);
    assert_int_equal(json_raw(a, SLICE_LIT("false"))->type, JSON_FALSE);
    assert_int_equal(json_raw(a, SLICE_LIT(" null "))->type, JSON_NULL);
    writes(json_raw(a, SLICE_LIT(" \"a  b\\\" \" ")), "\"a  b\\\" \"");
    writes(json_raw(a, SLICE_LIT("[ \"a \\\\\" , \" \\\" \", 12345678 , 123456789012 ]")),
           "[\"a \\\\\",\" \\\" \",12345678,123456789012]");
    arena_free(a);
}

/* Strings of every byte, at every distance from a word's border. */
static void strings_round_trip(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (unsigned c = 0; c < 128; c++)
        for (unsigned at = 0; at < 20; at++) {
            char in[20];
            const struct json *v;
            struct err e;
            struct buf b;

            memset(in, 'z', sizeof in);
            in[at] = (char)c;
            buf_init(&b, 100);
            json_write(&b, json_str(a, slice_of(in, sizeof in)));
            assert_int_equal(json_parse(a, buf_slice(&b), &v, &e), ST_OK);
            assert_true(slice_eq(v->text, slice_of(in, sizeof in)));
            buf_free(&b);
            arena_reset(a);
        }
    writes(json_str(a, SLICE_LIT("\b\f\n\r\t\"\\/\x7f\xc3\xa9")),
           "\"\\b\\f\\n\\r\\t\\\"\\\\/\x7f\xc3\xa9\"");
    writes(json_str(a, slice_of(NULL, 0)), "\"\"");
    arena_free(a);
}

static void numbers_read_back(void **state)
{
    uint64_t seed = 10;
    struct arena *a = arena_new();
    struct buf b;

    (void)state;
    buf_init(&b, 64);
    for (int i = 0; i < 200000; i++) {
        uint64_t bits = unit_random(&seed);
        const struct json *v;
        struct err e;
        double d;

        memcpy(&d, &bits, 8);
        if (i % 4 == 0)
            d = (double)((int64_t)bits >> (i % 60)) / (i % 8 == 0 ? 1 : 1000);
        else if (i % 4 == 1)
            d = (double)(float)(1.0 / (double)(bits >> 40));
        buf_clear(&b);
        json_write_num(&b, d);
        assert_int_equal(json_parse(a, buf_slice(&b), &v, &e), ST_OK);
        if (isfinite(d)) {
            double back = json_double(v);

            assert_true(back == d && signbit(back) == signbit(d));
        } else {
            assert_int_equal(v->type, JSON_NULL);
        }
        if (i % 100 == 0)
            arena_reset(a);
    }
    buf_free(&b);
    writes(json_num(a, 1), "1");
    writes(json_num(a, 0.1), "0.1");
    writes(json_num(a, -2.5), "-2.5");
    writes(json_num(a, -0.0), "-0");
    writes(json_num(a, 5e-324), "5e-324");
    writes(json_num(a, 1e300), "1e+300");
    writes(json_num(a, 123456789012345.0), "123456789012345");
    writes(json_num(a, INFINITY), "null");
    writes(json_num(a, NAN), "null");
    arena_free(a);
}

static void write_into_a_full_buffer(void **state)
{
    struct arena *a = arena_new();
    const struct json *v = parse(a, "{\"a\": [1, 2], \"a\": \"\\n\", \"b\": [3 , 4]}");

    (void)state;
    for (size_t max = 0; max < 40; max++) {
        struct buf b;

        buf_init(&b, max);
        json_write(&b, v);
        assert_int_equal(buf_ok(&b), max >= strlen("{\"a\":\"\\n\",\"b\":[3,4]}"));
        buf_free(&b);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looks),
        cmocka_unit_test(integers),
        cmocka_unit_test(doubles_and_floats),
        cmocka_unit_test(floats_at_borders),
        cmocka_unit_test(extreme_numbers),
        cmocka_unit_test(floats_contract),
        cmocka_unit_test(builds),
        cmocka_unit_test(puts_twice),
        cmocka_unit_test(raw_types),
        cmocka_unit_test(strings_round_trip),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(write_into_a_full_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
