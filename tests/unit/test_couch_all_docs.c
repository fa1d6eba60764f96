/* _all_docs: every range over a small set of ids against a plain filter, keys, documents,
 * offsets. */
#include "couch_fixture.h"

static const char *const ids[] = {"0", "10", "A", "_design/x", "_design/z",
                                  "a", "aa", "b", "\xc3\xa9"};
static const char *const bounds[] = {"",  "0",     "5",  "_design/x", "_design0",
                                     "a", "a\x01", "aa", "zz",        "\xff"};

static void fill(struct fixture *f)
{
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        OK(f, put(f, ids[i], "{\"v\":1}"));
    OK(f, put(f, "dead", "{}"));
    OK(f, erase(f, "dead", arena_cstr(f->a, slice_str(f->rev))));
}

/* The ids of the answer, separated by blanks. */
static char *walk(struct fixture *f, const struct all_docs_opts *o, uint64_t *offset)
{
    struct all_docs *r = all_docs_new(f->db, o);
    struct docinfo_head head;
    struct slice id;
    struct buf b;
    bool got = true;

    buf_init(&b, 1u << 20);
    while (got) {
        OK(f, all_docs_next_doc(r, &id, &head, &got, &f->e));
        if (got) {
            buf_add(&b, id);
            buf_char(&b, ' ');
        }
    }
    *offset = all_docs_offset(r);
    assert_int_equal(all_docs_total(r), COUNT_OF(ids));
    all_docs_free(r);
    char *s = arena_cstr(f->a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static bool inside(const struct all_docs_opts *o, struct slice id)
{
    int sign = o->descending ? -1 : 1;

    if (!slice_starts(id, o->prefix))
        return false;
    if (o->has_start && slice_cmp(id, o->start) * sign < 0)
        return false;
    int c = o->has_end ? slice_cmp(id, o->end) * sign : -1;
    return c < 0 || (c == 0 && o->inclusive_end);
}

static void check(struct fixture *f, const struct all_docs_opts *o)
{
    uint64_t skip = o->skip, limit = o->limit, before = 0, offset;
    size_t n = COUNT_OF(ids);
    bool reached = false;
    struct buf want;

    buf_init(&want, 1u << 20);
    for (size_t i = 0; i < n; i++) {
        struct slice id = slice_str(ids[o->descending ? n - 1 - i : i]);

        if (!inside(o, id)) {
            before += !reached;
            continue;
        }
        reached = true;
        if (skip > 0) {
            skip--;
        } else if (limit > 0) {
            limit--;
            buf_add(&want, id);
            buf_char(&want, ' ');
        }
    }
    char *got = walk(f, o, &offset);
    assert_string_equal(got, arena_cstr(f->a, buf_slice(&want)));
    if (want.n > 0)
        assert_int_equal(offset, before + o->skip);
    buf_free(&want);
}

static void check_paging(struct fixture *f, struct all_docs_opts o)
{
    static const uint64_t limits[] = {0, 1, 3, UINT64_MAX}, skips[] = {0, 1, 4, 100};

    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        for (size_t k = 0; k < COUNT_OF(skips); k++) {
            o.limit = limits[i];
            o.skip = skips[k];
            check(f, &o);
        }
    }
}

/* start, end, which of them is set, direction, inclusive, prefix: all of them. */
static void test_ranges(void **state)
{
    struct fixture *f = *state;

    fill(f);
    for (size_t s = 0; s < COUNT_OF(bounds); s++) {
        for (size_t n = 0; n < COUNT_OF(bounds); n++) {
            for (unsigned bits = 0; bits < 32; bits++) {
                struct all_docs_opts o = {.has_start = (bits & 1) != 0,
                                          .has_end = (bits & 2) != 0,
                                          .descending = (bits & 4) != 0,
                                          .inclusive_end = (bits & 8) != 0,
                                          .start = slice_str(bounds[s]),
                                          .end = slice_str(bounds[n]),
                                          .limit = UINT64_MAX};
                if ((bits & 16) != 0)
                    o.prefix = SLICE_LIT("_design/");
                check(f, &o);
                if (s == n)
                    check_paging(f, o);
            }
        }
    }
}

static char *rows(struct fixture *f, const struct all_docs_opts *o)
{
    struct all_docs *r = all_docs_new(f->db, o);
    bool got = true;

    while (got) {
        OK(f, all_docs_next(r, &f->out, &got, &f->e));
        buf_char(&f->out, '\n');
    }
    all_docs_free(r);
    return take(f);
}

static void two(struct fixture *f)
{
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-0\",\"v\":2}"));
    OK(f, graft(f, "{\"_id\":\"b\\\"\",\"_rev\":\"1-b\",\"_attachments\":{\"t\":{\"content_type\":"
                   "\"a/b\",\"data\":\"aGVsbG8=\"}}}"));
    OK(f, graft(f, "{\"_id\":\"dead\",\"_rev\":\"1-d\",\"_deleted\":true}"));
}

#define HEAD_A "{\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-a\"}"
#define HEAD_B "{\"id\":\"b\\\"\",\"key\":\"b\\\"\",\"value\":{\"rev\":\"1-b\"}"

static void test_rows(void **state)
{
    struct fixture *f = *state;
    struct all_docs_opts o = {.limit = UINT64_MAX};

    two(f);
    assert_string_equal(rows(f, &o), HEAD_A "}\n" HEAD_B "}\n\n");
    o.include_docs = o.conflicts = o.attachments = true;
    assert_string_equal(
        rows(f, &o), HEAD_A
        ",\"doc\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1,\"_conflicts\":[\"1-0\"]}}\n" HEAD_B
        ",\"doc\":{\"_id\":\"b\\\"\",\"_rev\":\"1-b\",\"_attachments\":{\"t\":{"
        "\"content_type\":\"a/b\",\"revpos\":1,\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\","
        "\"data\":\"aGVsbG8=\"}}}}\n\n");
}

static char *key(struct fixture *f, const char *id, const struct all_docs_opts *o)
{
    OK(f, all_docs_key(f->db, slice_str(id), o, f->a, &f->out, &f->e));
    return take(f);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct all_docs_opts o = {.limit = UINT64_MAX};

    two(f);
    assert_string_equal(key(f, "a", &o), HEAD_A "}");
    assert_string_equal(key(f, "never\"", &o), "{\"key\":\"never\\\"\",\"error\":\"not_found\"}");
    assert_string_equal(
        key(f, "dead", &o),
        "{\"id\":\"dead\",\"key\":\"dead\",\"value\":{\"rev\":\"1-d\",\"deleted\":true}}");
    o.include_docs = true;
    assert_string_equal(key(f, "dead", &o),
                        "{\"id\":\"dead\",\"key\":\"dead\",\"value\":{\"rev\":\"1-d\",\"deleted\":"
                        "true},\"doc\":null}");
    assert_string_equal(key(f, "a", &o),
                        HEAD_A ",\"doc\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1}}");
}

/* A reader sees its moment: writes after it was made do not show. */
static void test_snapshot(void **state)
{
    struct fixture *f = *state;
    struct all_docs_opts o = {.limit = UINT64_MAX, .include_docs = true, .conflicts = true};
    bool got;

    two(f);
    struct all_docs *r = all_docs_new(f->db, &o);
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"z\",\"a\"]}}"));
    OK(f, put(f, "aa", "{}"));
    OK(f, all_docs_next(r, &f->out, &got, &f->e));
    assert_string_equal(take(f), HEAD_A ",\"doc\":{\"_id\":\"a\",\"_rev\":\"1-a\",\"v\":1,"
                                        "\"_conflicts\":[\"1-0\"]}}");
    OK(f, all_docs_next(r, &f->out, &got, &f->e));
    assert_memory_equal(take(f), HEAD_B, sizeof(HEAD_B) - 1);
    OK(f, all_docs_next(r, &f->out, &got, &f->e));
    assert_false(got);
    all_docs_free(r);
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_ranges),
        WITH_STORE(test_rows),
        WITH_STORE(test_keys),
        WITH_STORE(test_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
