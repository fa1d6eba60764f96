/* The changes reader: order, last_seq and pending, going on after the end, styles and documents;
 * the cursor's read-ahead against plain reads. */
#include "base/assert.h"
#include "base/thread.h"
#include "couch_fixture.h"

/* All rows there are now, each on a line with its seq cut down to the number. */
static char *rows(struct fixture *f, struct changes *c)
{
    struct buf lines;
    bool got = true;

    buf_init(&lines, 64u << 20);
    while (got) {
        OK(f, changes_next(c, &f->out, &got, &f->e));
        if (!got)
            break;
        char *row = take(f), *dash = strchr(row, '-');
        if (strncmp(row, "{\"seq\":\"", 8) == 0 && dash != NULL) {
            buf_append(&lines, row, (size_t)(dash - row));
            row = strchr(dash, '"');
        }
        buf_str(&lines, row);
        buf_char(&lines, '\n');
    }
    struct slice s = arena_dup(f->a, buf_slice(&lines));
    buf_free(&lines);
    return arena_cstr(f->a, s);
}

static void three(struct fixture *f)
{
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1}"));
    OK(f, graft(f, "{\"_id\":\"b\",\"_rev\":\"1-b\",\"v\":2}"));
    OK(f, graft(f, "{\"_id\":\"c\",\"_rev\":\"1-c\",\"_deleted\":true,\"why\":3}"));
}

#define ROW_A "{\"seq\":\"1\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}\n"
#define ROW_B "{\"seq\":\"2\",\"id\":\"b\",\"changes\":[{\"rev\":\"1-b\"}]}\n"
#define ROW_C "{\"seq\":\"3\",\"id\":\"c\",\"changes\":[{\"rev\":\"1-c\"}],\"deleted\":true}\n"

static void test_rows(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX};
    struct changes *c = changes_new(f->db, &o);

    assert_string_equal(rows(f, c), "");
    assert_true(changes_at_end(c));
    assert_int_equal(changes_last_seq(c), 0);
    three(f);
    assert_string_equal(rows(f, c), ROW_A ROW_B ROW_C);
    assert_int_equal(changes_last_seq(c), 3);
    assert_int_equal(changes_pending(c), 0);
    assert_true(changes_at_end(c) && !changes_done(c));
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-0\"}"));
    assert_string_equal(rows(f, c),
                        "{\"seq\":\"4\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}\n");
    assert_int_equal(changes_last_seq(c), 4);
    changes_free(c);
    o.since = 2;
    c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c),
                        ROW_C "{\"seq\":\"4\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}]}\n");
    changes_free(c);
    o.since = 100;
    c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c), "");
    assert_int_equal(changes_last_seq(c), 100);
    assert_int_equal(changes_pending(c), 0);
    changes_free(c);
    changes_free(NULL);
}

static void test_limit(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = 0};

    three(f);
    OK(f, graft(f, "{\"_id\":\"b\",\"_rev\":\"1-0\"}")); /* seq 4; 2 is gone */
    struct changes *c = changes_new(f->db, &o);
    assert_true(changes_done(c));
    assert_string_equal(rows(f, c), "");
    assert_int_equal(changes_last_seq(c), 0);
    assert_int_equal(changes_pending(c), 3);
    changes_free(c);
    for (uint64_t since = 0; since < 5; since++) {
        o = (struct changes_opts){.limit = 1, .since = since};
        c = changes_new(f->db, &o);
        char *got = rows(f, c);
        static const uint64_t last[] = {1, 3, 3, 4, 4};
        static const uint64_t pending[] = {2, 1, 1, 0, 0};
        assert_int_equal(changes_last_seq(c), last[since]);
        assert_int_equal(changes_pending(c), pending[since]);
        assert_int_equal(got[0] != '\0', since < 4);
        assert_int_equal(changes_done(c), since < 4);
        changes_free(c);
    }
}

static void test_descending(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX, .descending = true};

    three(f);
    struct changes *c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c), ROW_C ROW_B ROW_A);
    assert_true(changes_at_end(c));
    OK(f, put(f, "later", "{}"));
    assert_string_equal(rows(f, c), "");
    changes_free(c);
    o = (struct changes_opts){.limit = 1, .descending = true, .since = 1};
    c = changes_new(f->db, &o);
    assert_non_null(strstr(rows(f, c), "\"later\""));
    assert_int_equal(changes_pending(c), 2);
    changes_free(c);
}

static void test_docs_and_styles(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX, .include_docs = true};

    three(f);
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-0\"}"));
    struct changes *c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c),
                        "{\"seq\":\"2\",\"id\":\"b\",\"changes\":[{\"rev\":\"1-b\"}],\"doc\":{"
                        "\"_id\":\"b\",\"_rev\":\"1-b\",\"v\":2}}\n"
                        "{\"seq\":\"3\",\"id\":\"c\",\"changes\":[{\"rev\":\"1-c\"}],\"deleted\":"
                        "true,\"doc\":{\"_id\":\"c\",\"_rev\":\"1-c\",\"why\":3,\"_deleted\":true}}"
                        "\n{\"seq\":\"4\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}],\"doc\":{"
                        "\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1}}\n");
    changes_free(c);
    o = (struct changes_opts){.limit = UINT64_MAX,
                              .since = 3,
                              .include_docs = true,
                              .conflicts = true,
                              .style_all_docs = true};
    c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c),
                        "{\"seq\":\"4\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"},{\"rev\":"
                        "\"1-0\"}],\"doc\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1,\"_conflicts\":"
                        "[\"1-0\"]}}\n");
    changes_free(c);
}

static void test_seq_interval(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX, .seq_interval = 2};

    three(f);
    struct changes *c = changes_new(f->db, &o);
    char *got = rows(f, c);
    assert_non_null(strstr(got, "{\"seq\":\"1\",\"id\":\"a\""));
    assert_non_null(strstr(got, "{\"seq\":null,\"id\":\"b\""));
    assert_non_null(strstr(got, "{\"seq\":\"3\",\"id\":\"c\""));
    changes_free(c);
    o.limit = 25; /* counted down from the limit */
    c = changes_new(f->db, &o);
    got = rows(f, c);
    assert_non_null(strstr(got, "{\"seq\":null,\"id\":\"a\""));
    assert_non_null(strstr(got, "{\"seq\":\"2\",\"id\":\"b\""));
    assert_non_null(strstr(got, "{\"seq\":null,\"id\":\"c\""));
    changes_free(c);
}

static bool only_body_two(void *arg, const struct seqrow *row, const struct doc_body *body)
{
    unsigned *calls = arg;

    (*calls)++;
    return row->docid.n == 1 && slice_eq(body->json, SLICE_LIT("{\"v\":2}"));
}

static bool nothing(void *arg, const struct seqrow *row, const struct doc_body *body)
{
    (void)arg;
    (void)row;
    assert_null(body);
    return false;
}

static void test_filters(void **state)
{
    struct fixture *f = *state;
    unsigned calls = 0;
    struct changes_opts o = {.limit = UINT64_MAX,
                             .filter = only_body_two,
                             .filter_arg = &calls,
                             .filter_needs_body = true};

    three(f);
    struct changes *c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c), ROW_B);
    assert_int_equal(calls, 3);
    assert_int_equal(changes_last_seq(c), 3);
    changes_free(c);
    o.filter = nothing;
    o.filter_needs_body = false;
    c = changes_new(f->db, &o);
    assert_string_equal(rows(f, c), "");
    assert_int_equal(changes_last_seq(c), 3);
    changes_free(c);
}

/* ---- many documents ---- */

static void bulk(struct fixture *f, unsigned from, unsigned n, size_t pad)
{
    struct commit_op *ops = arena_array(f->a, n, sizeof *ops);
    char *fill = arena_zalloc(f->a, pad + 1);

    memset(fill, 'p', pad);
    for (unsigned i = 0; i < n; i++) {
        struct slice text = arena_printf(f->a, "{\"_id\":\"%06u\",\"n\":%u,\"pad\":\"%s\"}",
                                         from + i, from + i, fill + (from + i) % (pad + 1));
        struct doc_edit ed = {.new_edits = true, .doc = parse(f, arena_cstr(f->a, text))};

        OK(f, doc_edit_prepare(f->db, f->a, &ed, &ops[i], &f->e));
    }
    OK(f, commit_wait(f->store, ops, n, &f->e));
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(ops[i].st, ST_OK);
}

static void test_filter_pauses(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX, .filter = nothing};
    bool got;

    bulk(f, 0, LIMIT_CHANGES_SCAN + 10, 10);
    struct changes *c = changes_new(f->db, &o);
    OK(f, changes_next(c, &f->out, &got, &f->e));
    assert_false(got || changes_at_end(c) || changes_done(c));
    assert_int_equal(changes_last_seq(c), LIMIT_CHANGES_SCAN);
    assert_int_equal(changes_pending(c), 10);
    OK(f, changes_next(c, &f->out, &got, &f->e));
    assert_true(!got && changes_at_end(c));
    changes_free(c);
}

/* Every body through the window is the body that a plain read gives, whatever the order of the rows
 * and the sizes: small ones, some beyond the window, some rewritten. */
static void test_read_ahead(void **state)
{
    struct fixture *f = *state;
    uint64_t seq, seed = 3;
    struct seqrow row;
    unsigned n = 0;
    bool got;

    bulk(f, 0, 400, 1000);
    for (unsigned i = 0; i < 60; i++) {
        unsigned at = (unsigned)(unit_random(&seed) >> 40) % 400;
        struct doc_edit ed = {.new_edits = true};
        struct docinfo info;
        int node;
        char *id = arena_cstr(f->a, arena_printf(f->a, "%06u", at));
        char *fill = arena_zalloc(f->a, 400001);

        memset(fill, 'q', i % 20 == 0 ? 400000 : 10);
        OK(f, doc_find(f->db, slice_str(id), SLICE_LIT(""), f->a, &info, &node, &f->e));
        f->given_rev = rev_text(f->a, &info.tree.nodes[node].rev);
        ed.id = slice_str(id);
        ed.doc = parse(f, arena_cstr(f->a, arena_printf(f->a, "{\"f\":\"%s\"}", fill)));
        OK(f, edit(f, &ed));
    }
    bulk(f, 400, 50, 100000);
    for (int direction = 0; direction < 2; direction++) {
        struct changes_cursor *c = changes_cursor_new(f->db, 0, direction == 1);
        for (n = 0;; n++) {
            struct doc_body through, plain;

            OK(f, changes_cursor_next(c, &seq, &row, &got, &f->e));
            if (!got)
                break;
            OK(f, changes_cursor_body(c, &row, f->a, &through, &f->e));
            OK(f, doc_load_body(f->db, &row.winner_ptr, f->a, &plain, &f->e));
            assert_true(slice_eq(through.json, plain.json));
        }
        assert_int_equal(n, 450);
        changes_cursor_free(c);
    }
}

/* ---- a feed and a writer at once ---- */

enum { WRITES = 300, WRITTEN_IDS = 40 };

/* Rewrites a few documents again and again; its own memory, since the fixture is the reader's. */
static void write_all(void *arg)
{
    struct fixture *f = arg;
    struct arena *a = arena_new();
    struct err e;

    for (unsigned i = 0; i < WRITES; i++) {
        struct slice text = arena_printf(
            a, "{\"_id\":\"%u\",\"_revisions\":{\"start\":%u,\"ids\":[\"x\"%s]},\"n\":%u}",
            i % WRITTEN_IDS, i / WRITTEN_IDS + 1, i < WRITTEN_IDS ? "" : ",\"x\"", i);
        struct doc_edit ed = {0};
        struct commit_op op;

        ASSERT(json_parse(a, text, &ed.doc, &e) == ST_OK);
        ASSERT(doc_edit_prepare(f->db, a, &ed, &op, &e) == ST_OK);
        ASSERT(commit_wait(f->store, &op, 1, &e) == ST_OK && op.st == ST_OK);
    }
    arena_free(a);
}

/* Every sequence that is still a row at the end was seen, in rising order, with its body. */
static void test_feed_while_writing(void **state)
{
    struct fixture *f = *state;
    struct changes_opts o = {.limit = UINT64_MAX, .include_docs = true};
    struct changes *c = changes_new(f->db, &o);
    struct thread writer = {0};
    uint64_t last = 0, seen[WRITTEN_IDS] = {0};
    bool got;

    thread_start(&writer, "writer", write_all, f);
    while (changes_last_seq(c) < WRITES) {
        OK(f, changes_next(c, &f->out, &got, &f->e));
        if (!got)
            continue;
        uint64_t seq = changes_last_seq(c);
        const struct json *row = parse(f, take(f));
        const struct json *id = json_get(row, "id");

        assert_true(seq > last);
        ASSERT(id != NULL);
        last = seq;
        seen[strtoul(arena_cstr(f->a, id->text), NULL, 10)] = seq;
        assert_non_null(json_get(json_get(row, "doc"), "n"));
    }
    thread_join(&writer);
    changes_free(c);
    for (unsigned i = 0; i < WRITTEN_IDS; i++)
        assert_true(seen[i] > WRITES - WRITTEN_IDS);
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_rows),
        WITH_STORE(test_limit),
        WITH_STORE(test_descending),
        WITH_STORE(test_docs_and_styles),
        WITH_STORE(test_seq_interval),
        WITH_STORE(test_filters),
        WITH_STORE(test_filter_pauses),
        WITH_STORE(test_read_ahead),
        WITH_STORE(test_feed_while_writing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
