/* Unit tests of json_collate: CouchDB's order of values, as its own view collation test and ICU's
 * root collation have it. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/thread.h"
#include "json/json.h"

static const struct json *parse(struct arena *a, const char *text)
{
    const struct json *v = NULL;
    struct err e = {NULL, ""};

    if (json_parse(a, slice_str(text), &v, &e) != ST_OK)
        fail_msg("%s: %s", text, e.reason);
    return v;
}

static int cmp(struct arena *a, const char *x, const char *y)
{
    int c = json_collate(parse(a, x), parse(a, y));
    int back = json_collate(parse(a, y), parse(a, x));

    if (c != -back)
        fail_msg("%s and %s: %d, but %d the other way", x, y, c, back);
    return c;
}

/* Each against each: the sign must be that of the places. */
static void strictly_ascending(const char *const *texts, size_t n)
{
    struct arena *a = arena_new();

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (cmp(a, texts[i], texts[k]) != (i > k) - (i < k))
                fail_msg("%s and %s are in the wrong order", texts[i], texts[k]);
    arena_free(a);
}

static void same_key(const char *x, const char *y)
{
    struct arena *a = arena_new();

    if (cmp(a, x, y) != 0)
        fail_msg("%s and %s should be the same key", x, y);
    arena_free(a);
}

static void types_and_shapes(void **state)
{
    static const char *const order[] = {
        "null",
        "false",
        "true",
        "-1e400",
        "-1e308",
        "-10",
        "-1.5",
        "0",
        "1",
        "2",
        "3.0",
        "4",
        "1e308",
        "1e400",
        "\"\"",
        "\"a\"",
        "\"A\"",
        "\"aa\"",
        "\"b\"",
        "\"B\"",
        "\"ba\"",
        "\"bb\"",
        "\"\\ufff0\"",
        "\"\\uffff\"",
        "[]",
        "[null]",
        "[\"a\"]",
        "[\"a\",null]",
        "[\"a\",1]",
        "[\"a\",{}]",
        "[\"b\"]",
        "[\"b\",\"c\"]",
        "[\"b\",\"c\",\"a\"]",
        "[\"b\",\"d\"]",
        "[\"b\",\"d\",\"e\"]",
        "[{}]",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,\"b\":0}",
        "{\"a\":2}",
        "{\"b\":1}",
        "{\"b\":2}",
        "{\"b\":2,\"a\":1}",
        "{\"b\":2,\"c\":2}",
    };

    (void)state;
    strictly_ascending(order, COUNT_OF(order));
}

static void numbers(void **state)
{
    static const char *const order[] = {
        "-123456789012345678901234567891",
        "-123456789012345678901234567890",
        "-9007199254740993",
        "-9007199254740992",
        "-9007199254740991",
        "-1",
        "-0.5",
        "0",
        "4.9e-324",
        "0.5",
        "1",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994.0",
        "9007199254740995",
        "9223372036854775807",
        "9223372036854775808.0",
        "9223372036854775809",
        "18446744073709551616",
        "18446744073709551617",
        "1e20",
        "100000000000000000001",
        "1e22",
        "10000000000000000000001",
    };
    char huge[420];

    (void)state;
    strictly_ascending(order, COUNT_OF(order));
    same_key("0", "-0");
    same_key("0", "-0.0");
    same_key("-0", "0.0");
    same_key("1", "1.0");
    same_key("100", "1e2");
    same_key("9007199254740992", "9007199254740992.0");
    same_key("100000000000000000000", "1e20");
    same_key("0.1", "0.10");
    memset(huge, '9', 400); /* beyond every double, yet less than infinite */
    huge[400] = '\0';
    {
        struct arena *a = arena_new();

        assert_int_equal(cmp(a, huge, "1e308"), 1);
        assert_int_equal(cmp(a, huge, "1e400"), -1);
        assert_int_equal(cmp(a, huge, "-1e400"), 1);
        arena_free(a);
    }
}

/* The root collation's order of ASCII, then letters with case as the last difference. */
static void ascii_order(void **state)
{
    static const char chars[] = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
                                "aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ";
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(sizeof chars - 1, 95);
    for (size_t i = 0; i + 1 < sizeof chars; i++)
        for (size_t k = 0; k + 1 < sizeof chars; k++) {
            int c = json_collate(json_str(a, slice_of(chars + i, 1)),
                                 json_str(a, slice_of(chars + k, 1)));

            if (c != (i > k) - (i < k))
                fail_msg("'%c' and '%c' are in the wrong order", chars[i], chars[k]);
        }
    arena_free(a);
}

static void icu_order(void **state)
{
    static const char *const order[] = {
        "\"a b\"",
        "\"a_b\"",
        "\"a-b\"",
        "\"a1\"",
        "\"ab\"",
        "\"co-op\"",
        "\"coop\"",
        "\"e\"",
        "\"\xc3\xa9\"",
        "\"f\"",
        "\"ss\"",
        "\"\xc3\x9f\"",
        "\"z\"",
        "\"Z\"",
        "\"\xe4\xb8\x80\"",     /* Han */
        "\"\xf0\xa0\x80\x80\"", /* its extension B */
        "\"\\ufff0\"",
        "\"\\uffff\"",
    };

    (void)state;
    strictly_ascending(order, COUNT_OF(order));
    same_key("\"\\u00e9\"", "\"e\\u0301\""); /* the two normal forms */
    same_key("\"a\\u0001b\"", "\"ab\"");
    same_key("\"a\\u200bb\\u00ad\"", "\"ab\"");
    same_key("\"a\\u007fb\"", "\"ab\"");
    same_key("\"\\u0663\"", "\"3\"");
    same_key("\"\\u0000\"", "\"\"");
    same_key("{\"a\\u0301\":1}", "{\"\\u00e1\":1}");
    {
        struct arena *a = arena_new();

        assert_int_equal(cmp(a, "\"\xf0\x9f\x98\x80\"", "\"\\ufff0\""), -1); /* emoji */
        assert_int_equal(cmp(a, "\"abc\xf0\x9f\x98\x80\"", "\"abc\\ufff0\""), -1);
        arena_free(a);
    }
}

static void members_in_stored_order(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_int_equal(cmp(a, "{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"), -1);
    assert_int_equal(cmp(a, "{\"a\":{\"x\":[]}}", "{\"a\":{\"x\":[0]}}"), -1);
    same_key("{\"a\":[1,2],\"b\":null}", "{ \"a\" : [1.0, 2], \"b\":null}");
    arena_free(a);
}

static void packed_arrays(void **state)
{
    struct arena *a = arena_new();
    const char *v17 = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]";
    const char *v18 = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]";
    const char *other = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16.5,0]";
    const char *text = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,\"\"]";
    const char *null = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,null,1]";

    (void)state;
    assert_true(parse(a, v17)->packed);
    same_key(v17, v17);
    assert_int_equal(cmp(a, v17, v18), -1);
    assert_int_equal(cmp(a, v17, "[1,2,3]"), 1);
    assert_int_equal(cmp(a, v17, "[2]"), -1);
    assert_int_equal(cmp(a, other, v18), 1);
    assert_int_equal(cmp(a, text, v17), 1);
    assert_int_equal(cmp(a, null, v17), -1);
    arena_free(a);
}

/* A total order over random values: transitive, and equal both ways. */
static void total_order(void **state)
{
    static const char *const parts[] = {
        "null",
        "true",
        "1",
        "1.0",
        "-3",
        "9007199254740993",
        "9007199254740992.0",
        "\"a\"",
        "\"A\"",
        "\"\\u00e9\"",
        "\"e\\u0301\"",
        "[1]",
        "[1.0]",
        "{\"a\":1}",
        "{\"A\":1}",
        "[]",
        "9007199254740992",
        "1e400",
        "{}",
        "[\"a\",{}]",
    };
    struct arena *a = arena_new();
    const struct json *v[COUNT_OF(parts)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        v[i] = parse(a, parts[i]);
    for (size_t x = 0; x < COUNT_OF(parts); x++)
        for (size_t y = 0; y < COUNT_OF(parts); y++)
            for (size_t z = 0; z < COUNT_OF(parts); z++)
                if (json_collate(v[x], v[y]) <= 0 && json_collate(v[y], v[z]) <= 0)
                    assert_true(json_collate(v[x], v[z]) <= 0);
    arena_free(a);
}

static void compare_some(void *arg)
{
    struct arena *a = arena_new();
    int *ok = arg;

    *ok = json_collate(parse(a, "\"\xc3\xa9\""), parse(a, "\"f\"")) == -1;
    arena_free(a);
}

static void one_collator_a_thread(void **state)
{
    struct thread t[4] = {{0}};
    int ok[4] = {0};

    (void)state;
    for (int i = 0; i < 4; i++)
        thread_start(&t[i], "collate", compare_some, &ok[i]);
    for (int i = 0; i < 4; i++) {
        thread_join(&t[i]);
        assert_int_equal(ok[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_and_shapes),
        cmocka_unit_test(numbers),
        cmocka_unit_test(ascii_order),
        cmocka_unit_test(icu_order),
        cmocka_unit_test(members_in_stored_order),
        cmocka_unit_test(packed_arrays),
        cmocka_unit_test(total_order),
        cmocka_unit_test(one_collator_a_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
