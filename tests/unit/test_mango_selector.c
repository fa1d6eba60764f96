/* tests/unit/test_mango_selector.c: every operator with its traps, the normalised form, errors,
 * bounds, paths and projections. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "mango_fix.h"

struct row {
    const char *sel, *doc;
    bool want;
};

static void run(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(rows[i].sel, rows[i].doc, rows[i].want);
}

#define A17 "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]"

static void test_comparisons(void **state)
{
    static const struct row rows[] = {
        {"{}", "{}", true},
        {"{\"a\":1}", "{\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1.0}", true},
        {"{\"a\":1}", "{\"a\":2}", false},
        {"{\"a\":1}", "{}", false},
        {"{\"a\":null}", "{\"a\":null}", true},
        {"{\"a\":null}", "{}", false},
        {"{\"a\":\"\\u00e9\"}", "{\"a\":\"e\\u0301\"}", true},      /* equal to ICU */
        {"{\"_id\":\"\\u00e9\"}", "{\"_id\":\"e\\u0301\"}", false}, /* ids are bytes */
        {"{\"_id\":{\"$gt\":\"Z\"}}", "{\"_id\":\"a\"}", true},
        {"{\"_id\":{\"$lt\":\"a\"}}", "{\"_id\":\"B\"}", true},
        {"{\"x\":{\"$lt\":\"a\"}}", "{\"x\":\"B\"}", false},
        {"{\"_id\":{\"$gt\":null}}", "{\"_id\":\"a\"}", true},
        {"{\"_id\":{\"$in\":[\"b\",\"Z\",\"a\"]}}", "{\"_id\":\"Z\"}", true},
        {"{\"a\":{\"$ne\":1}}", "{\"a\":2}", true},
        {"{\"a\":{\"$ne\":1}}", "{\"a\":1.0}", false},
        {"{\"a\":{\"$ne\":1}}", "{}", false},          /* missing never matches */
        {"{\"a\":{\"$lt\":2}}", "{\"a\":null}", true}, /* across types */
        {"{\"a\":{\"$lt\":2}}", "{\"a\":false}", true},
        {"{\"a\":{\"$lt\":2}}", "{\"a\":true}", true},
        {"{\"a\":{\"$lt\":2}}", "{\"a\":1.5}", true},
        {"{\"a\":{\"$lt\":2}}", "{\"a\":2}", false},
        {"{\"a\":{\"$lt\":2}}", "{\"a\":\"1\"}", false},
        {"{\"a\":{\"$lt\":2}}", "{}", false},
        {"{\"a\":{\"$gte\":\"x\"}}", "{\"a\":[]}", true},
        {"{\"a\":{\"$gte\":\"x\"}}", "{\"a\":{}}", true},
        {"{\"a\":{\"$gt\":[1,2]}}", "{\"a\":[1,2,0]}", true},
        {"{\"a\":{\"$lte\":12345678901234567890}}", "{\"a\":12345678901234567891}", false},
        {"{\"a\":{\"$eq\":{\"x\":1,\"y\":2}}}", "{\"a\":{\"x\":1,\"y\":2}}", true},
        {"{\"a\":{\"$eq\":{\"x\":1,\"y\":2}}}", "{\"a\":{\"y\":2,\"x\":1}}", false},
        {"{\"a\":{}}", "{\"a\":{}}", true}, /* {} for a field asks for equality */
        {"{\"a\":{}}", "{\"a\":{\"b\":1}}", false},
        {"{\"a\":" A17 "}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$gt\":1,\"$lt\":3}}", "{\"a\":2}", true},
        {"{\"a\":{\"$gt\":1,\"$lt\":3}}", "{\"a\":3}", false},
    };

    (void)state;
    run(rows, COUNT_OF(rows));
}

static void test_kinds(void **state)
{
    static const struct row rows[] = {
        {"{\"a\":{\"$exists\":true}}", "{\"a\":null}", true},
        {"{\"a\":{\"$exists\":true}}", "{}", false},
        {"{\"a\":{\"$exists\":false}}", "{}", true},
        {"{\"a\":{\"$exists\":false}}", "{\"a\":null}", false},
        {"{\"a.b\":{\"$exists\":false}}", "{\"a\":5}", true},
        {"{\"a.0\":{\"$exists\":false}}", "{\"a\":[]}", true},
        {"{\"$not\":{\"a\":{\"$exists\":true}}}", "{}", true},
        {"{\"a\":{\"$type\":\"null\"}}", "{\"a\":null}", true},
        {"{\"a\":{\"$type\":\"boolean\"}}", "{\"a\":true}", true},
        {"{\"a\":{\"$type\":\"boolean\"}}", "{\"a\":false}", true},
        {"{\"a\":{\"$type\":\"number\"}}", "{\"a\":1e400}", true},
        {"{\"a\":{\"$type\":\"string\"}}", "{\"a\":\"\"}", true},
        {"{\"a\":{\"$type\":\"array\"}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$type\":\"object\"}}", "{\"a\":{}}", true},
        {"{\"a\":{\"$type\":\"object\"}}", "{\"a\":[]}", false},
        {"{\"a\":{\"$not\":{\"$type\":\"object\"}}}", "{\"a\":[]}", true},
        {"{\"a\":{\"$not\":{\"$type\":\"object\"}}}", "{}", false},
        {"{\"a\":{\"$size\":0}}", "{\"a\":[]}", true},
        {"{\"a\":{\"$size\":17}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$size\":1}}", "{\"a\":{\"b\":1}}", false},
        {"{\"a\":{\"$mod\":[3,1]}}", "{\"a\":7}", true},
        {"{\"a\":{\"$mod\":[3,-1]}}", "{\"a\":-7}", true}, /* truncated */
        {"{\"a\":{\"$mod\":[3,1]}}", "{\"a\":7.0}", false},
        {"{\"a\":{\"$mod\":[3,1]}}", "{\"a\":\"7\"}", false},
        {"{\"a\":{\"$mod\":[-1,0]}}", "{\"a\":-9223372036854775808}", true},
        {"{\"a\":{\"$beginsWith\":\"ab\"}}", "{\"a\":\"abc\"}", true},
        {"{\"a\":{\"$beginsWith\":\"ab\"}}", "{\"a\":\"Abc\"}", false},
        {"{\"a\":{\"$beginsWith\":\"\"}}", "{\"a\":\"\"}", true},
        {"{\"a\":{\"$beginsWith\":\"1\"}}", "{\"a\":1}", false},
        {"{\"a\":{\"$regex\":\"b+c\"}}", "{\"a\":\"abbcd\"}", true},
        {"{\"a\":{\"$regex\":\"^b\"}}", "{\"a\":\"ab\"}", false},
        {"{\"a\":{\"$regex\":\"^.$\"}}", "{\"a\":\"\\u00e9\"}", true},
        {"{\"a\":{\"$regex\":\"(?i)B\"}}", "{\"a\":\"ab\"}", true},
        {"{\"a\":{\"$regex\":\"(a)(b)(c)\"}}", "{\"a\":\"abc\"}", true},
        {"{\"a\":{\"$regex\":\"\"}}", "{\"a\":\"\"}", true},
        {"{\"a\":{\"$regex\":\"1\"}}", "{\"a\":1}", false},
        {"{\"a\":{\"$not\":{\"$regex\":\"1\"}}}", "{\"a\":1}", true},
        {"{\"a\":{\"$not\":{\"$regex\":\"1\"}}}", "{}", false},
    };

    (void)state;
    run(rows, COUNT_OF(rows));
}

static void test_arrays(void **state)
{
    static const struct row rows[] = {
        {"{\"a\":{\"$in\":[]}}", "{\"a\":1}", false},
        {"{\"a\":{\"$nin\":[]}}", "{\"a\":1}", true},
        {"{\"a\":{\"$nin\":[]}}", "{}", false},
        {"{\"a\":{\"$in\":[3,1,2]}}", "{\"a\":2.0}", true},
        {"{\"a\":{\"$in\":[3,1,2]}}", "{\"a\":4}", false},
        {"{\"a\":{\"$in\":[\"x\",null,3,true]}}", "{\"a\":null}", true},
        {"{\"a\":{\"$in\":[\"x\",null,3,true]}}", "{\"a\":false}", false},
        {"{\"a\":{\"$in\":[1,9]}}", "{\"a\":[5,9]}", true},
        {"{\"a\":{\"$in\":[[5,9]]}}", "{\"a\":[5,9]}", true},
        {"{\"a\":{\"$in\":[1,8]}}", "{\"a\":[5,9]}", false},
        {"{\"a\":{\"$in\":[40,17]}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$in\":" A17 "}}", "{\"a\":17}", true},
        {"{\"a\":{\"$in\":" A17 "}}", "{\"a\":18}", false},
        {"{\"a\":{\"$nin\":[40,17]}}", "{\"a\":" A17 "}", false},
        {"{\"a\":{\"$nin\":[40]}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$not\":{\"$in\":[1]}}}", "{\"a\":2}", true},
        {"{\"a\":{\"$not\":{\"$in\":[1]}}}", "{}", false},
        {"{\"a\":{\"$all\":[]}}", "{\"a\":[1]}", false},
        {"{\"a\":{\"$all\":[1,3]}}", "{\"a\":[3,2,1]}", true},
        {"{\"a\":{\"$all\":[1,4]}}", "{\"a\":[3,2,1]}", false},
        {"{\"a\":{\"$all\":[1]}}", "{\"a\":[1.0]}", false}, /* the same term */
        {"{\"a\":{\"$all\":[1.0]}}", "{\"a\":[1e0]}", true},
        {"{\"a\":{\"$all\":[1]}}", "{\"a\":1}", false},
        {"{\"a\":{\"$all\":[[1,2]]}}", "{\"a\":[1,2]}", true}, /* the whole field */
        {"{\"a\":{\"$all\":[{\"x\":1,\"y\":2}]}}", "{\"a\":[{\"x\":1,\"y\":2}]}", true},
        {"{\"a\":{\"$all\":[{\"x\":1,\"y\":2}]}}", "{\"a\":[{\"y\":2,\"x\":1}]}", false},
        {"{\"a\":{\"$all\":[17,1]}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$all\":[" A17 "]}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$all\":" A17 "}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$elemMatch\":{\"$eq\":1}}}", "{\"a\":[0,1]}", true},
        {"{\"a\":{\"$elemMatch\":{\"$gt\":16,\"$lt\":18}}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$elemMatch\":{\"$gt\":17}}}", "{\"a\":" A17 "}", false},
        {"{\"a\":{\"$elemMatch\":{\"b\":1,\"c\":2}}}", "{\"a\":[{\"b\":1},{\"b\":1,\"c\":2}]}",
         true},
        {"{\"a\":{\"$elemMatch\":{\"b\":1,\"c\":2}}}", "{\"a\":[{\"b\":1},{\"c\":2}]}", false},
        {"{\"a\":{\"$elemMatch\":{\"b\":{\"$exists\":false}}}}", "{\"a\":[{\"b\":1},4]}", true},
        {"{\"a\":{\"$elemMatch\":{\"$eq\":1}}}", "{\"a\":[]}", false},
        {"{\"a\":{\"$elemMatch\":{\"$eq\":1}}}", "{\"a\":1}", false},
        {"{\"a\":{\"$elemMatch\":{\"$elemMatch\":{\"$eq\":2}}}}", "{\"a\":[[1],[2]]}", true},
        {"{\"a\":{\"$elemMatch\":{\"$or\":[{\"$eq\":2},{\"$eq\":3}]}}}", "{\"a\":[3]}", true},
        {"{\"a\":{\"$elemMatch\":{\"$not\":{\"$eq\":2}}}}", "{\"a\":[2]}", false},
        {"{\"a\":{\"$not\":{\"$elemMatch\":{\"$eq\":1}}}}", "{\"a\":[2]}", true},
        {"{\"a\":{\"$not\":{\"$elemMatch\":{\"$eq\":1}}}}", "{}", false},
        {"{\"a\":{\"$allMatch\":{\"$gt\":0}}}", "{\"a\":[1,2]}", true},
        {"{\"a\":{\"$allMatch\":{\"$gt\":1}}}", "{\"a\":[1,2]}", false},
        {"{\"a\":{\"$allMatch\":{\"$gt\":0}}}", "{\"a\":[]}", false},
        {"{\"a\":{\"$allMatch\":{\"$gt\":0}}}", "{\"a\":" A17 "}", true},
        {"{\"a\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}", "{\"a\":{\"j\":1,\"k\":2}}", true},
        {"{\"a\":{\"$keyMapMatch\":{\"$beginsWith\":\"z\"}}}", "{\"a\":{\"j\":1}}", false},
        {"{\"a\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}", "{\"a\":{}}", false},
        {"{\"a\":{\"$keyMapMatch\":{\"$eq\":\"k\"}}}", "{\"a\":[\"k\"]}", false},
    };

    (void)state;
    run(rows, COUNT_OF(rows));
}

static void test_booleans(void **state)
{
    static const struct row rows[] = {
        {"{\"$and\":[]}", "{}", true},
        {"{\"$or\":[]}", "{}", false}, /* alone at the top */
        {"{\"$or\":[],\"a\":1}", "{\"a\":1}", true},
        {"{\"$nor\":[]}", "{}", true},
        {"{\"$not\":{}}", "{\"a\":1}", false},
        {"{\"$not\":{\"$and\":[]}}", "{\"a\":1}", false},
        {"{\"$or\":[{\"$not\":{}},{\"a\":1}]}", "{\"a\":1}", true},
        {"{\"$and\":[{},{\"a\":1}]}", "{\"a\":2}", false},
        {"{\"$and\":[{},{}]}", "{\"a\":2}", true},
        {"{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"b\":2}", true},
        {"{\"$or\":[{\"a\":1},{\"b\":2}],\"c\":3}", "{\"b\":2}", false},
        {"{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2,\"b\":1}", true},
        {"{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2,\"b\":2}", false},
        {"{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2}", false}, /* b is missing */
        {"{\"$not\":{\"a\":1,\"b\":2}}", "{\"a\":1,\"b\":3}", true},
        {"{\"$not\":{\"$not\":{\"a\":1}}}", "{\"a\":1}", true},
        {"{\"$not\":{\"$nor\":[{\"a\":1},{\"b\":1}]}}", "{\"b\":1}", true},
        {"{\"a\":{\"$or\":[{\"$lt\":1},{\"$gt\":5}]}}", "{\"a\":6}", true},
        {"{\"a\":{\"$or\":[1,2]}}", "{\"a\":2}", true},
        {"{\"a\":{\"$not\":{\"$gt\":3}}}", "{\"a\":3}", true},
        {"{\"a\":{\"$not\":{\"$gt\":3}}}", "{}", false},
    };

    (void)state;
    run(rows, COUNT_OF(rows));
    assert_true(selector_is_all(compile("{}")));
    assert_true(selector_is_all(compile("{\"$and\":[{},{\"$and\":[]}]}")));
    assert_false(selector_is_all(compile("{\"a\":1}")));
    assert_false(selector_is_all(compile("{\"$or\":[]}")));
}

static void test_normalised(void **state)
{
    static const char *const rows[][2] = {
        {"{}", "{}"},
        {"{\"a\":1}", "{\"a\":{\"$eq\":1}}"},
        {"{\"a\":{\"b\":{\"c\":1}}}", "{\"a.b.c\":{\"$eq\":1}}"},
        {"{\"a\":1,\"b\":2}", "{\"$and\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$eq\":2}}]}"},
        {"{\"a\":{\"$gt\":1,\"b\":2}}", "{\"$and\":[{\"a\":{\"$gt\":1}},{\"a.b\":{\"$eq\":2}}]}"},
        {"{\"a\":{\"$not\":{\"$lt\":1}}}", "{\"a\":{\"$gte\":1}}"},
        {"{\"$not\":{\"a\":{\"$in\":[1]}}}", "{\"a\":{\"$nin\":[1]}}"},
        {"{\"$not\":{\"a\":{\"$exists\":true}}}", "{\"a\":{\"$exists\":false}}"},
        {"{\"$not\":{\"a\":{\"$size\":1}}}", "{\"a\":{\"$not\":{\"$size\":1}}}"},
        {"{\"$not\":{\"$and\":[{\"a\":{\"$gt\":1}},{\"b\":{\"$lte\":2}}]}}",
         "{\"$or\":[{\"a\":{\"$lte\":1}},{\"b\":{\"$gt\":2}}]}"},
        {"{\"$nor\":[{\"a\":1},{\"$not\":{\"b\":2}}]}",
         "{\"$and\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$eq\":2}}]}"},
        {"{\"a\":{\"$elemMatch\":{\"$not\":{\"b\":1}}}}",
         "{\"a\":{\"$elemMatch\":{\"b\":{\"$ne\":1}}}}"},
        {"{\"$or\":[]}", "{\"$or\":[]}"},
    };
    const struct slice *names;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        assert_string_equal(text_of(selector_json(arena, compile(rows[i][0]))), rows[i][1]);
    assert_int_equal(selector_fields(compile("{\"a.b\":1,\"$or\":[{\"c\":1},{\"a\":2}],"
                                             "\"d\":{\"$elemMatch\":{\"x\":1}}}"),
                                     &names),
                     3);
    assert_true(slice_eq(names[0], SLICE_LIT("a")) && slice_eq(names[1], SLICE_LIT("c")) &&
                slice_eq(names[2], SLICE_LIT("d")));
}

static void test_paths(void **state)
{
    static const struct row rows[] = {
        {"{\"a.b\":1}", "{\"a\":{\"b\":1}}", true},
        {"{\"a.b\":1}", "{\"a.b\":1}", false},
        {"{\"a\\\\.b\":1}", "{\"a.b\":1}", true},
        {"{\"a\\\\.b.c\":1}", "{\"a.b\":{\"c\":1}}", true},
        {"{\"a\\\\b\":1}", "{\"a\\\\b\":1}", true}, /* only a dot is escaped */
        {"{\"a.1\":5}", "{\"a\":[4,5]}", true},
        {"{\"a.1\":5}", "{\"a\":{\"1\":5}}", true},
        {"{\"a.2\":5}", "{\"a\":[4,5]}", false},
        {"{\"a.-1\":5}", "{\"a\":[4,5]}", false},
        {"{\"a.16\":17}", "{\"a\":" A17 "}", true},
        {"{\"a.17\":{\"$exists\":true}}", "{\"a\":" A17 "}", false},
        {"{\"a.0.b\":1}", "{\"a\":[{\"b\":1}]}", true},
        {"{\"a.length\":1}", "{\"a\":[1]}", false},
    };

    (void)state;
    run(rows, COUNT_OF(rows));
}

static void refuse(const char *text, const char *word, const char *reason)
{
    struct selector *s;
    struct err e;
    enum status st = selector_compile(arena, parse(text), &s, &e);

    if (st != ST_BAD_REQUEST)
        fail_msg("%s: status %d", text, (int)st);
    assert_non_null(e.word);
    assert_string_equal(e.word, word);
    if (reason != NULL)
        assert_string_equal(e.reason, reason);
}

static void test_errors(void **state)
{
    static const char *const bad_args[] = {
        "{\"$and\":1}",
        "{\"$or\":{\"a\":1}}",
        "{\"$nor\":null}",
        "{\"$not\":[]}",
        "{\"a\":{\"$not\":5}}",
        "{\"a\":{\"$in\":1}}",
        "{\"a\":{\"$nin\":{}}}",
        "{\"a\":{\"$all\":\"x\"}}",
        "{\"a\":{\"$size\":\"x\"}}",
        "{\"a\":{\"$size\":-1}}",
        "{\"a\":{\"$size\":1.5}}",
        "{\"a\":{\"$exists\":1}}",
        "{\"a\":{\"$type\":\"int\"}}",
        "{\"a\":{\"$type\":1}}",
        "{\"a\":{\"$mod\":[0,1]}}",
        "{\"a\":{\"$mod\":[1]}}",
        "{\"a\":{\"$mod\":[1.5,1]}}",
        "{\"a\":{\"$regex\":\"(\"}}",
        "{\"a\":{\"$regex\":1}}",
        "{\"a\":{\"$regex\":\"\\\\C\"}}",
        "{\"a\":{\"$elemMatch\":1}}",
        "{\"a\":{\"$allMatch\":[]}}",
        "{\"a\":{\"$keyMapMatch\":1}}",
        "{\"a\":{\"$beginsWith\":1}}",
    };
    static const char *const unsupported[] = {"$text",       "$where",     "$near",
                                              "$nearSphere", "$geoWithin", "$geoIntersects"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad_args); i++)
        refuse(bad_args[i], "bad_arg", NULL);
    for (size_t i = 0; i < COUNT_OF(unsupported); i++) {
        snprintf(text, sizeof text, "{\"a\":{\"%s\":1}}", unsupported[i]);
        refuse(text, "not_supported", NULL);
    }
    refuse("{\"a\":{\"$mod\":" A17 "}}", "bad_arg", NULL);
    refuse("{\"a\":{\"$size\":-1}}", "bad_arg", "Bad argument for operator $size: -1");
    refuse("{\"a\":{\"$bogus\":1}}", "invalid_operator", "Invalid operator: $bogus");
    refuse("{\"$bogus\":1}", "invalid_operator", NULL);
    refuse("{\"a\":{\"$\":1}}", "invalid_operator", NULL);
    refuse("[]", "invalid_selector_json", "Selector must be a JSON object, not: []");
    refuse("null", "invalid_selector_json", NULL);
    refuse("{\"$gt\":1}", "invalid_selector", "One or more conditions is missing a field name.");
    refuse("{\"$or\":[1]}", "invalid_selector", NULL);
    refuse("{\"\":1}", "invalid_field_name", NULL);
    refuse("{\"a..b\":1}", "invalid_field_name", "Invalid field name: a..b");
    refuse("{\".a\":1}", "invalid_field_name", NULL);
    refuse("{\"a.\":1}", "invalid_field_name", NULL);
}

static const char *repeat(const char *head, const char *unit, unsigned n, const char *tail)
{
    struct buf b;
    const char *s;

    buf_init(&b, 1u << 20);
    buf_str(&b, head);
    for (unsigned i = 0; i < n; i++)
        buf_str(&b, unit);
    buf_str(&b, tail);
    s = arena_cstr(arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

static void test_bounds(void **state)
{
    const char *close = repeat("1", "}", LIMIT_SELECTOR_DEPTH, "");
    const char *close_more = repeat("1", "}", LIMIT_SELECTOR_DEPTH + 1, "");
    struct selector *s;
    const char *slow;

    (void)state;
    s = compile(repeat("", "{\"a\":", LIMIT_SELECTOR_DEPTH, close));
    assert_false(selector_match(s, parse("{}"), arena));
    refuse(repeat("", "{\"a\":", LIMIT_SELECTOR_DEPTH + 1, close_more), "invalid_selector", NULL);
    refuse(repeat("{\"a\":{\"$or\":[0", ",1", LIMIT_SELECTOR_CLAUSES - 1, "]}}"),
           "invalid_selector", NULL);
    refuse(repeat("{\"a\":{\"$or\":[0", ",1", 50000, "]}}"), "invalid_selector", NULL);
    (void)compile(repeat("{\"a\":{\"$or\":[0", ",1", LIMIT_SELECTOR_CLAUSES - 2, "]}}"));
    refuse(repeat("{\"a\":{\"$in\":[0", ",1", LIMIT_SELECTOR_VALUES, "]}}"), "bad_arg", NULL);
    refuse(repeat("{\"a", ".a", LIMIT_PATH_SEGMENTS, "\":1}"), "invalid_field_name", NULL);
    refuse(repeat("{\"", "a", LIMIT_PATH_BYTES + 1, "\":1}"), "invalid_field_name", NULL);
    refuse(repeat("{\"a\":{\"$regex\":\"", "a", LIMIT_REGEX_BYTES + 1, "\"}}"), "bad_arg", NULL);
    /* a pattern that would run for ages stops, and then matches in neither sense */
    slow = repeat("{\"s\":\"", "a", 60, "!\"}");
    assert_false(selector_match(compile("{\"s\":{\"$regex\":\"^(a+)+$\"}}"), parse(slow), arena));
    assert_false(
        selector_match(compile("{\"s\":{\"$not\":{\"$regex\":\"^(a+)+$\"}}}"), parse(slow), arena));
}

/* Simple comparisons must not take memory. */
static void test_no_memory(void **state)
{
    struct selector *s = compile("{\"n\":{\"$gte\":5,\"$lt\":9},\"tags\":{\"$in\":[\"x\",\"y\"]},"
                                 "\"v\":{\"$elemMatch\":{\"$gt\":16}},\"k\":{\"$regex\":\"^a\"}}");
    const struct json *doc = parse("{\"n\":7,\"tags\":[\"a\",\"y\"],\"v\":" A17 ",\"k\":\"ab\"}");
    struct arena *a = arena_new();
    size_t before;

    (void)state;
    assert_true(selector_match(s, doc, a));
    before = arena_bytes(a);
    for (int i = 0; i < 20000; i++)
        assert_true(selector_match(s, doc, a));
    assert_int_equal(arena_bytes(a), before);
    arena_free(a);
}

/* ---- projection ---- */

static void project(const char *fields, const char *doc, const char *want)
{
    struct projection p;
    struct err e;

    assert_int_equal(projection_parse(arena, parse(fields), &p, &e), ST_OK);
    assert_string_equal(text_of(projection_apply(&p, parse(doc), arena)), want);
}

static void refuse_fields(const char *fields, const char *word)
{
    struct projection p;
    struct err e;

    assert_int_equal(projection_parse(arena, parse(fields), &p, &e), ST_BAD_REQUEST);
    assert_string_equal(e.word, word);
}

static void test_projection(void **state)
{
    static const char doc[] = "{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"l\":[7,8],\"x.y\":9,\"n\":null}";

    (void)state;
    project("[]", doc, doc);
    project("\"all_fields\"", doc, doc);
    project("[\"n\",\"a\"]", doc, "{\"n\":null,\"a\":{\"b\":1,\"c\":{\"d\":2}}}");
    project("[\"missing\",\"a.b.c\"]", doc, "{}");
    project("[\"a.c.d\",\"a.b\"]", doc, "{\"a\":{\"c\":{\"d\":2},\"b\":1}}");
    project("[\"a\",\"a.b\",\"a\"]", doc, "{\"a\":{\"b\":1,\"c\":{\"d\":2}}}");
    project("[\"a.b\",\"a\"]", doc, "{\"a\":{\"b\":1,\"c\":{\"d\":2}}}");
    project("[\"l.1\"]", doc, "{\"l\":{\"1\":8}}");
    project("[\"x\\\\.y\"]", doc, "{\"x.y\":9}");
    project("[\"v.16\",\"v\"]", "{\"v\":" A17 "}", "{\"v\":" A17 "}");
    project("[\"v.16\"]", "{\"v\":" A17 "}", "{\"v\":{\"16\":17}}");
    refuse_fields("\"a\"", "invalid_fields");
    refuse_fields("{}", "invalid_fields");
    refuse_fields("[1]", "invalid_field");
    refuse_fields(A17, "invalid_field");
    refuse_fields("[\"\"]", "invalid_field_name");
    refuse_fields(repeat("[\"a\"", ",\"a\"", LIMIT_FIND_FIELDS, "]"), "invalid_fields");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_arrays),      cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_normalised),  cmocka_unit_test(test_paths),
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_projection),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
