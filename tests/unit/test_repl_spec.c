/* tests/unit/test_repl_spec.c: bodies of _replicate, and the id that they lead to. */
#include "unit.h"

#include "couch_fix.h"
#include "repl/repl_priv.h"

static struct fix *fix;
static struct repl_spec spec;

static enum status parse(const char *json)
{
    const struct json *v;

    spec = (struct repl_spec){.arena = fix->a};
    assert_ok(fix, json_parse(fix->a, slice_str(json), &v, &fix->e));
    return repl_spec_parse(v, store_uuid(fix->s), &spec, &fix->e);
}

static void id_of(const char *json, char out[33])
{
    assert_ok(fix, parse(json));
    assert_int_equal(strlen(spec.id), 32);
    memcpy(out, spec.id, 33);
}

static void options(void **state)
{
    (void)state;
    assert_ok(fix, parse("{\"source\":\"http://h/a\",\"target\":\"t\"}"));
    assert_false(spec.continuous || spec.cancel || spec.create_target);
    assert_true(spec.use_checkpoints);
    assert_true(slice_eq(spec.target, SLICE_LIT("t")));
    assert_int_equal(spec.since_seq.n, 0);
    assert_ok(fix, parse("{\"source\":{\"url\":\"http://h/a\"},\"target\":{\"url\":\"t\"},"
                         "\"continuous\":true,\"create_target\":true,\"cancel\":true,"
                         "\"use_checkpoints\":false,\"doc_ids\":[\"x\"],\"since_seq\":\"5-x\"}"));
    assert_true(spec.continuous && spec.cancel && spec.create_target && !spec.use_checkpoints);
    assert_non_null(spec.doc_ids);
    assert_true(slice_eq(spec.since_seq, SLICE_LIT("\"5-x\"")));
}

static void refused(void **state)
{
    static const struct {
        const char *json;
        enum status st;
    } cases[] = {
        {"{}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\"}", ST_BAD_REQUEST},
        {"{\"target\":\"t\"}", ST_BAD_REQUEST},
        {"{\"source\":\"a\",\"target\":\"t\"}", ST_NOT_IMPLEMENTED},
        {"{\"source\":\"http://h/a\",\"target\":\"http://h/b\"}", ST_NOT_IMPLEMENTED},
        {"{\"source\":\"http://h/a\",\"target\":\"Bad\"}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":5}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":\"t\",\"continuous\":1}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":\"t\",\"doc_ids\":{}}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":\"t\",\"selector\":[]}", ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":\"t\",\"selector\":{},\"doc_ids\":[]}",
         ST_BAD_REQUEST},
        {"{\"source\":\"http://h/a\",\"target\":\"t\",\"filter\":\"d/f\"}", ST_NOT_IMPLEMENTED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_int_equal(parse(cases[i].json), cases[i].st);
}

/* The id says which documents travel from where to where, not with which password or how long. */
static void ids(void **state)
{
    static const char *const same[] = {
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\"}",
        "{\"source\":\"http://u:other@h/a\",\"target\":\"t\"}",
        "{\"source\":\"http://u:pw@h/a/\",\"target\":\"t\",\"continuous\":true}",
        ("{\"source\":{\"url\":\"http://h/a\",\"auth\":{\"basic\":{\"username\":\"u\","
         "\"password\":\"x\"}}},\"target\":\"t\",\"create_target\":true}"),
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\",\"cancel\":true}"};
    static const char *const others[] = {
        "{\"source\":\"http://u:pw@h/b\",\"target\":\"t\"}",
        "{\"source\":\"http://v:pw@h/a\",\"target\":\"t\"}",
        "{\"source\":\"http://h/a\",\"target\":\"t\"}",
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t2\"}",
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\",\"doc_ids\":[\"x\"]}",
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\",\"doc_ids\":[\"y\"]}",
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\",\"selector\":{\"a\":1}}",
        "{\"source\":\"http://u:pw@h/a\",\"target\":\"t\",\"since_seq\":\"5-x\"}"};
    char first[33], id[33], seen[COUNT_OF(others)][33];

    (void)state;
    id_of(same[0], first);
    for (size_t i = 1; i < COUNT_OF(same); i++) {
        id_of(same[i], id);
        assert_string_equal(id, first);
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        id_of(others[i], seen[i]);
        assert_string_not_equal(seen[i], first);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(seen[i], seen[k]);
    }
}

static int setup(void **state)
{
    (void)state;
    fix = fix_new(true, 0);
    return 0;
}

static int teardown(void **state)
{
    void *x = fix;

    (void)state;
    return fix_end(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options),
        cmocka_unit_test(refused),
        cmocka_unit_test(ids),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
