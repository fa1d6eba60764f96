/* tests/unit/test_repl_checkpoint.c: where two replication logs agree. */
#include "arena_fix.h"

#include "repl/repl_priv.h"

#define SESSION(id, seq) "{\"session_id\":\"" id "\",\"recorded_seq\":" seq "}"

static const struct json *parse(const char *text)
{
    const struct json *v = NULL;
    struct err e;

    if (text != NULL)
        assert_int_equal(json_parse(arena, slice_str(text), &v, &e), ST_OK);
    return v;
}

static void logs_are_compared(void **state)
{
    static const struct {
        const char *src, *tgt, *seq; /* NULL: nothing in common */
    } cases[] = {
        {NULL, NULL, NULL},
        {"{}", NULL, NULL},
        {NULL, "{}", NULL},
        {"{}", "{}", NULL},
        {"{\"session_id\":\"a\",\"source_last_seq\":7,\"history\":[]}",
         "{\"session_id\":\"a\",\"source_last_seq\":9,\"history\":[]}", "7"},
        {"{\"session_id\":\"a\",\"source_last_seq\":\"7-x\"}", "{\"session_id\":\"a\"}", "\"7-x\""},
        /* the target's last write was lost: back to what both know */
        {"{\"session_id\":\"c\",\"source_last_seq\":30,\"history\":[" SESSION(
             "c", "30") "," SESSION("b", "20") "," SESSION("a", "10") "]}",
         "{\"session_id\":\"b\",\"source_last_seq\":20,\"history\":[" SESSION(
             "b", "20") "," SESSION("a", "10") "]}",
         "20"},
        /* the source's was */
        {"{\"session_id\":\"b\",\"source_last_seq\":20,\"history\":[" SESSION("b", "20") "]}",
         "{\"session_id\":\"c\",\"source_last_seq\":30,\"history\":[" SESSION(
             "c", "30") "," SESSION("b", "20") "]}",
         "20"},
        {"{\"session_id\":\"b\",\"history\":[" SESSION("b", "20") "]}",
         "{\"session_id\":\"c\",\"history\":[" SESSION("c", "30") "]}", NULL},
        {"{\"session_id\":5,\"history\":7}", "{\"session_id\":5,\"history\":{}}", NULL},
        {"{\"session_id\":\"a\",\"history\":[1,{},{\"session_id\":5}]}",
         "{\"session_id\":\"b\",\"history\":[1,{},{\"session_id\":5}]}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct json *seq = checkpoint_common_seq(parse(cases[i].src), parse(cases[i].tgt));
        struct buf b;

        assert_int_equal(seq != NULL, cases[i].seq != NULL);
        if (seq == NULL)
            continue;
        buf_init(&b, 100);
        json_write(&b, seq);
        assert_true(slice_eq(buf_slice(&b), slice_str(cases[i].seq)));
        buf_free(&b);
    }
}

static void a_history_item_is_complete(void **state)
{
    static const char *const members[] = {"session_id",      "start_time",        "end_time",
                                          "start_last_seq",  "end_last_seq",      "recorded_seq",
                                          "missing_checked", "missing_found",     "docs_read",
                                          "docs_written",    "doc_write_failures"};
    static struct repl_job j;
    const struct json *v;
    struct buf b;
    struct err e;

    (void)state;
    memcpy(j.session_id, "0123456789abcdef0123456789abcdef", 33);
    buf_init(&j.start_seq, 100);
    buf_init(&j.last_seq, 100);
    buf_init(&b, 10000);
    repl_buf_set(&j.start_seq, SLICE_LIT("0"));
    repl_buf_set(&j.last_seq, SLICE_LIT("\"12-x\""));
    atomic_store(&j.stats.docs_written, 3);
    checkpoint_history_item(&j, &b);
    assert_int_equal(json_parse(arena, buf_slice(&b), &v, &e), ST_OK);
    assert_int_equal(v->count, COUNT_OF(members));
    for (size_t i = 0; i < COUNT_OF(members); i++)
        assert_non_null(json_get(v, members[i]));
    assert_true(slice_eq(json_get(v, "recorded_seq")->text, SLICE_LIT("12-x")));
    assert_true(slice_eq(json_get(v, "docs_written")->text, SLICE_LIT("3")));
    buf_free(&b);
    buf_free(&j.start_seq);
    buf_free(&j.last_seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_are_compared),
        cmocka_unit_test(a_history_item_is_complete),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
