/* Reading documents: member order, options, open_revs, _bulk_get, _revs_diff, attachments. */
#include "couch_fixture.h"

/* Leaves 2-c (wins), 2-b, and the deleted 3-d. */
static void conflicted(struct fixture *f)
{
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},\"v\":1}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"c\",\"a\"]},\"v\":2}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":3,\"ids\":[\"d\",\"x\",\"a\"]},"
                   "\"v\":3,\"_deleted\":true}"));
}

static void test_options(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts all = {.revs = true,
                                .revs_info = true,
                                .conflicts = true,
                                .deleted_conflicts = true,
                                .local_seq = true};
    struct doc_read_opts conflicts = {.conflicts = true, .deleted_conflicts = true};

    conflicted(f);
    assert_string_equal(get(f, "a"), "{\"_id\":\"a\",\"_rev\":\"2-c\",\"v\":2}");
    assert_string_equal(
        get_with(f, "a", "", &all),
        "{\"_id\":\"a\",\"_rev\":\"2-c\",\"v\":2,\"_revisions\":{\"start\":2,\"ids\":[\"c\",\"a\"]}"
        ",\"_revs_info\":[{\"rev\":\"2-c\",\"status\":\"available\"},{\"rev\":\"1-a\","
        "\"status\":\"missing\"}],\"_conflicts\":[\"2-b\"],\"_deleted_conflicts\":[\"3-d\"],"
        "\"_local_seq\":3}");
    assert_string_equal(get_with(f, "a", "3-d", &(struct doc_read_opts){.revs_info = true}),
                        "{\"_id\":\"a\",\"_rev\":\"3-d\",\"v\":3,\"_deleted\":true,"
                        "\"_revs_info\":[{\"rev\":\"3-d\",\"status\":\"deleted\"},{\"rev\":\"2-x\","
                        "\"status\":\"missing\"},{\"rev\":\"1-a\",\"status\":\"missing\"}]}");
    OK(f, put(f, "lonely", "{}"));
    assert_null(strstr(get_with(f, "lonely", "", &conflicts), "conflicts"));
}

static void test_find(void **state)
{
    struct fixture *f = *state;

    conflicted(f);
    assert_int_equal(read_doc(f, "never", "", NULL), ST_NOT_FOUND);
    assert_reason(f, "missing");
    assert_int_equal(read_doc(f, "a", "9-q", NULL), ST_NOT_FOUND);
    assert_reason(f, "missing");
    assert_int_equal(read_doc(f, "a", "1-a", NULL), ST_NOT_FOUND); /* no body came with it */
    assert_reason(f, "missing");
    assert_int_equal(read_doc(f, "a", "zzz", NULL), ST_BAD_REQUEST);
    assert_reason(f, "Invalid rev format");
    OK(f, erase(f, "a", "2-c"));
    OK(f, erase(f, "a", "2-b"));
    assert_int_equal(read_doc(f, "a", "", NULL), ST_NOT_FOUND);
    assert_reason(f, "deleted");
    assert_string_equal(get_with(f, "a", "2-c", &(struct doc_read_opts){0}),
                        "{\"_id\":\"a\",\"_rev\":\"2-c\",\"v\":2}");
}

static char *open_revs(struct fixture *f, const char *id, const char *const *revs, uint32_t n,
                       bool latest)
{
    struct doc_read_opts opts = {0};
    struct slice list[8];

    for (uint32_t i = 0; i < n; i++)
        list[i] = slice_str(revs[i]);
    OK(f,
       doc_open_revs(f->db, slice_str(id), list, n, n == 0, latest, &opts, f->a, &f->out, &f->e));
    return take(f);
}

#define B "{\"ok\":{\"_id\":\"a\",\"_rev\":\"2-b\",\"v\":1}}"
#define C "{\"ok\":{\"_id\":\"a\",\"_rev\":\"2-c\",\"v\":2}}"
#define D "{\"ok\":{\"_id\":\"a\",\"_rev\":\"3-d\",\"v\":3,\"_deleted\":true}}"

static void test_open_revs(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts opts = {0};
    struct slice bad = SLICE_LIT("x");

    conflicted(f);
    assert_string_equal(open_revs(f, "a", NULL, 0, false), "[" C "," B "," D "]");
    assert_string_equal(open_revs(f, "a", (const char *[]){"2-b", "7-nope", "1-a"}, 3, false),
                        "[" B ",{\"missing\":\"7-nope\"},{\"missing\":\"1-a\"}]");
    assert_string_equal(open_revs(f, "a", (const char *[]){"1-a"}, 1, true), "[" C "," B "," D "]");
    assert_string_equal(open_revs(f, "a", (const char *[]){"2-x", "2-c"}, 2, true),
                        "[" D "," C "]");
    assert_string_equal(open_revs(f, "a", (const char *[]){"2-b", "1-a"}, 2, true),
                        "[" B "," C "," D "]");
    assert_string_equal(open_revs(f, "never", (const char *[]){"1-a"}, 1, false),
                        "[{\"missing\":\"1-a\"}]");
    assert_int_equal(
        doc_open_revs(f->db, SLICE_LIT("never"), NULL, 0, true, false, &opts, f->a, &f->out, &f->e),
        ST_NOT_FOUND);
    assert_int_equal(
        doc_open_revs(f->db, SLICE_LIT("a"), &bad, 1, false, false, &opts, f->a, &f->out, &f->e),
        ST_BAD_REQUEST);
}

static char *bulk_get(struct fixture *f, const char *item, bool latest)
{
    struct doc_read_opts opts = {0};

    OK(f, doc_bulk_get(f->db, parse(f, item), latest, &opts, f->a, &f->out, &f->e));
    return take(f);
}

static void test_bulk_get(void **state)
{
    struct fixture *f = *state;

    conflicted(f);
    assert_string_equal(bulk_get(f, "{\"id\":\"a\"}", false),
                        "{\"id\":\"a\",\"docs\":[" C "," B "," D "]}");
    assert_string_equal(bulk_get(f, "{\"id\":\"a\",\"rev\":\"2-b\"}", false),
                        "{\"id\":\"a\",\"docs\":[" B "]}");
    assert_string_equal(bulk_get(f, "{\"id\":\"a\",\"rev\":\"2-x\"}", true),
                        "{\"id\":\"a\",\"docs\":[" D "]}");
    assert_string_equal(bulk_get(f, "{\"id\":\"constructor\"}", true),
                        "{\"id\":\"constructor\",\"docs\":[{\"error\":{\"id\":\"constructor\","
                        "\"rev\":\"undefined\",\"error\":\"not_found\",\"reason\":\"missing\"}}]}");
    assert_string_equal(bulk_get(f, "{\"id\":\"a\",\"rev\":\"9-q\"}", false),
                        "{\"id\":\"a\",\"docs\":[{\"error\":{\"id\":\"a\",\"rev\":\"9-q\","
                        "\"error\":\"not_found\",\"reason\":\"missing\"}}]}");
    assert_string_equal(bulk_get(f, "{\"id\":\"__proto__\",\"rev\":\"1-a\"}", false),
                        "{\"id\":\"__proto__\",\"docs\":[{\"error\":{\"id\":\"__proto__\",\"rev\":"
                        "\"1-a\",\"error\":\"illegal_docid\",\"reason\":\"Only reserved document "
                        "ids may start with underscore.\"}}]}");
    assert_non_null(strstr(bulk_get(f, "{\"id\":\"\"}", false), "\"error\":\"illegal_docid\""));
    assert_non_null(strstr(bulk_get(f, "{\"id\":7}", false), "\"error\":\"illegal_docid\""));
    assert_non_null(strstr(bulk_get(f, "{}", false), "\"error\":\"bad_request\""));
    assert_non_null(strstr(bulk_get(f, "{\"id\":\"a\",\"rev\":\"x\"}", false),
                           "\"rev\":\"x\",\"error\":\"bad_request\",\"reason\":\"Invalid rev"));
}

static char *revs_diff(struct fixture *f, const char *req)
{
    OK(f, doc_revs_diff(f->db, parse(f, req), f->a, &f->out, &f->e));
    return take(f);
}

static void test_revs_diff(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"[]", "{\"a\":\"1-a\"}", "{\"a\":[\"bad\"]}", "{\"a\":[1]}",
                                      "{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18]}"};

    conflicted(f);
    assert_string_equal(revs_diff(f, "{}"), "{}");
    assert_string_equal(revs_diff(f, "{\"a\":[\"3-d\",\"2-x\",\"1-a\",\"2-b\"]}"), "{}");
    assert_string_equal(revs_diff(f, "{\"a\":[\"1-a\"],\"never\":[\"1-q\",\"2-r\"]}"),
                        "{\"never\":{\"missing\":[\"1-q\",\"2-r\"]}}");
    assert_string_equal(revs_diff(f, "{\"a\":[\"1-z\"],\"b\":[\"1-a\"]}"),
                        "{\"a\":{\"missing\":[\"1-z\"]},\"b\":{\"missing\":[\"1-a\"]}}");
    assert_string_equal(revs_diff(f, "{\"a\":[\"3-n\",\"2-b\",\"2-m\"]}"),
                        "{\"a\":{\"missing\":[\"3-n\",\"2-m\"],\"possible_ancestors\":[\"2-c\","
                        "\"2-b\"]}}");
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(doc_revs_diff(f->db, parse(f, bad[i]), f->a, &f->out, &f->e),
                         ST_BAD_REQUEST);
        buf_clear(&f->out);
    }
}

static void test_attachment(void **state)
{
    struct fixture *f = *state;
    struct att att;
    struct rev rev;

    OK(f, put(f, "a",
              "{\"_attachments\":{\"t\":{\"content_type\":\"a/b\",\"data\":\"aGVsbG8=\"},"
              "\"e\":{\"data\":\"\"}}}"));
    OK(f, doc_att(f->db, SLICE_LIT("a"), SLICE_LIT(""), SLICE_LIT("t"), f->a, &att, &rev, &f->e));
    assert_int_equal(att.len, 5);
    assert_int_equal(att.revpos, 1);
    assert_true(slice_eq(att.type, SLICE_LIT("a/b")));
    assert_string_equal(arena_cstr(f->a, rev_text(f->a, &rev)), f->rev);
    OK(f, doc_att_data(f->db, &att, &f->out, &f->e));
    assert_string_equal(take(f), "hello");
    OK(f,
       doc_att(f->db, SLICE_LIT("a"), slice_str(f->rev), SLICE_LIT("e"), f->a, &att, &rev, &f->e));
    OK(f, doc_att_data(f->db, &att, &f->out, &f->e));
    assert_string_equal(take(f), "");
    assert_int_equal(
        doc_att(f->db, SLICE_LIT("a"), SLICE_LIT(""), SLICE_LIT("x"), f->a, &att, &rev, &f->e),
        ST_NOT_FOUND);
    assert_reason(f, "Document is missing attachment");
    assert_int_equal(
        doc_att(f->db, SLICE_LIT("b"), SLICE_LIT(""), SLICE_LIT("x"), f->a, &att, &rev, &f->e),
        ST_NOT_FOUND);
    assert_reason(f, "missing");
}

static void test_atts_since(void **state)
{
    struct fixture *f = *state;
    struct rev since[2] = {{.gen = 1, .id = SLICE_LIT("a")}, {.gen = 9, .id = SLICE_LIT("q")}};
    struct doc_read_opts opts = {
        .attachments = true, .atts_since = since, .natts_since = 2, .has_atts_since = true};

    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},"
                   "\"_attachments\":{\"t\":{\"data\":\"aGVsbG8=\",\"revpos\":1},\"u\":{\"data\":"
                   "\"aGVsbG8=\",\"revpos\":2}}}"));
    char *doc = get_with(f, "a", "", &opts);
    assert_non_null(strstr(doc, "\"length\":5,\"stub\":true},\"u\":{"));
    assert_non_null(strstr(doc, "\"data\":\"aGVsbG8=\"}}}"));
    opts.atts_since = since + 1;
    opts.natts_since = 1;
    assert_null(strstr(get_with(f, "a", "", &opts), "stub"));
    opts.natts_since = 0;
    assert_null(strstr(get_with(f, "a", "", &opts), "stub"));
}

static void test_strings_survive(void **state)
{
    struct fixture *f = *state;
    const char *body = "\"\\u0000\":\"\\ud83d\\ude00\",\"n\":[1e400,-0.0,12345678901234567890],"
                       "\"q\\\"\":\"\\\\\"";
    struct slice text = arena_printf(f->a, "{%s}", body);

    OK(f, put(f, "quo\"te\n", arena_cstr(f->a, text)));
    char *doc = get(f, "quo\"te\n");
    assert_non_null(strstr(doc, "{\"_id\":\"quo\\\"te\\n\",\"_rev\":\"1-"));
    assert_non_null(strstr(doc, "\"n\":[1e400,-0.0,12345678901234567890]"));
    const struct json *v = parse(f, doc);
    assert_int_equal(v->count, 5);
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_options),    WITH_STORE(test_find),
        WITH_STORE(test_open_revs),  WITH_STORE(test_bulk_get),
        WITH_STORE(test_revs_diff),  WITH_STORE(test_attachment),
        WITH_STORE(test_atts_since), WITH_STORE(test_strings_survive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
