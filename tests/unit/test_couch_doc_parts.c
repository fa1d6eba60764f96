/* Documents whose attachments travel beside them: "follows":true on the way in and out, and the
 * list of revisions for an answer in parts. */
#include "base/text.h"
#include "couch/att_upload.h"
#include "couch/doc_priv.h"
#include "couch_fixture.h"

/* gzip of "hello hello hello hello hello" */
#define ZIPPED  "H4sIAAAAAAACA8tIzcnJV8jATgIA9tJTOB0AAAA="
#define ABC_MD5 "md5-kAFQmDzST7DWlj99KOF/cg=="

/* gzip: all of them are said to be. */
static struct att *upload(struct fixture *f, const struct slice *parts, uint32_t n, bool gzip)
{
    struct att *atts = arena_zalloc(f->a, (n + 1) * sizeof(*atts));

    for (uint32_t i = 0; i < n; i++) {
        struct att_upload *u;

        OK(f, att_upload_open(f->db, SLICE_LIT("x"), gzip, &u, &f->e));
        OK(f, att_upload_add(u, parts[i], &f->e));
        OK(f, att_upload_end(u, f->a, &atts[i], &f->e));
        att_upload_free(u);
    }
    return atts;
}

static enum status put_parts(struct fixture *f, const char *doc, const struct slice *parts,
                             uint32_t n)
{
    struct doc_edit ed = {.id = SLICE_LIT("a"),
                          .new_edits = strstr(doc, "_revisions") == NULL,
                          .doc = parse(f, doc),
                          .nfollows = n};

    ed.follows = parts != NULL ? upload(f, parts, n, strstr(doc, "gzip") != NULL) : NULL;
    return edit(f, &ed);
}

static void test_follows(void **state)
{
    struct fixture *f = *state;
    struct slice parts[] = {SLICE_LIT("abc"), {NULL, 0}, SLICE_LIT("defg")};
    struct doc_read_opts data = {.attachments = true};

    OK(f, put_parts(f,
                    "{\"_attachments\":{\"x\":{\"follows\":true,\"length\":3,\"digest\":\"" ABC_MD5
                    "\",\"content_type\":\"a/b\"},\"in\":{\"data\":\"aGVsbG8=\"},"
                    "\"e\":{\"follows\":true,\"length\":0},\"y\":{\"follows\":true}}}",
                    parts, 3));
    char *doc = get_with(f, "a", "", &data);
    assert_non_null(strstr(doc, "\"x\":{\"content_type\":\"a/b\",\"revpos\":1,\"digest\":"
                                "\"" ABC_MD5 "\",\"data\":\"YWJj\"}"));
    assert_non_null(strstr(doc, "\"data\":\"aGVsbG8=\"}"));
    assert_non_null(strstr(doc, "\"data\":\"\"}"));
    assert_non_null(strstr(doc, "\"data\":\"ZGVmZw==\"}"));
}

static void test_follows_replicated(void **state)
{
    struct fixture *f = *state;
    unsigned char z[64];
    size_t n;

    assert_true(base64_decode(slice_str(ZIPPED), z, &n));
    struct slice part = slice_of(z, n);
    char *doc = arena_cstr(
        f->a, arena_printf(f->a,
                           "{\"_id\":\"a\",\"_revisions\":{\"start\":3,\"ids\":[\"c\",\"b\"]},"
                           "\"_attachments\":{\"z\":{\"follows\":true,\"revpos\":2,\"length\":29,"
                           "\"encoding\":\"gzip\",\"encoded_length\":%zu}}}",
                           n));
    OK(f, put_parts(f, doc, &part, 1));
    struct doc_follows send;
    struct doc_read_opts opts = {.follows = &send};
    char *got = get_with(f, "a", "", &opts);
    char *tail =
        arena_cstr(f->a, arena_printf(f->a,
                                      "\"length\":29,\"follows\":true,\"encoding\":\"gzip\","
                                      "\"encoded_length\":%zu}}}",
                                      n));
    assert_non_null(strstr(got, tail));
    assert_non_null(strstr(got, "\"revpos\":2"));
    assert_int_equal(send.n, 1);
    OK(f, doc_att_data(f->db, &send.atts[0], &f->out, &f->e));
    assert_int_equal(f->out.n, n);
    assert_memory_equal(f->out.p, z, n);
    buf_clear(&f->out);
    /* Known already: the parts are looked at all the same, and the answer is that all is well. */
    OK(f, put_parts(f, doc, &part, 1));
}

static void test_parts_that_do_not_fit(void **state)
{
    struct fixture *f = *state;
    struct slice parts[] = {SLICE_LIT("abc"), SLICE_LIT("def")};
    static const struct {
        const char *att, *reason;
        uint32_t n;
    } bad[] = {
        {"{\"follows\":true,\"length\":4}", "attachment shorter than expected", 1},
        {"{\"follows\":true,\"length\":2}", "attachment longer than expected", 1},
        {"{\"follows\":true,\"length\":3}", "attachment shorter than expected", 0},
        {"{\"follows\":true,\"length\":3}", "2 attachments follow, but the document names 1", 2},
        {"{\"data\":\"\"}", "1 attachments follow, but the document names 0", 1},
        {"{\"follows\":true,\"length\":-1}", "Invalid attachment data for x", 1},
        {"{\"follows\":true,\"length\":\"3\"}", "Invalid attachment data for x", 1},
        {"{\"follows\":true,\"length\":3,\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\"}",
         "Possible message corruption.", 1},
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct slice doc = arena_printf(f->a, "{\"_attachments\":{\"x\":%s}}", bad[i].att);

        assert_int_equal(put_parts(f, arena_cstr(f->a, doc), parts, bad[i].n), ST_BAD_REQUEST);
        assert_reason(f, bad[i].reason);
    }
    assert_word(f, "content_md5_mismatch");
    assert_int_equal(put_parts(f, "{}", parts, 1), ST_BAD_REQUEST);
    assert_int_equal(put_parts(f, "{\"_attachments\":{\"x\":{\"follows\":true}}}", NULL, 0),
                     ST_BAD_REQUEST);
    assert_reason(f, "Attachments that follow need a multipart request");
    OK(f, put_parts(f, "{\"v\":1}", parts, 0));
    assert_int_equal(db_update_seq(f->db), 1);
}

static void test_what_follows(void **state)
{
    struct fixture *f = *state;
    struct rev since = {.gen = 1, .id = SLICE_LIT("a")};
    struct doc_follows send = {.n = 77};
    struct doc_read_opts opts = {
        .atts_since = &since, .natts_since = 1, .has_atts_since = true, .follows = &send};

    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]},"
                   "\"_attachments\":{\"t\":{\"data\":\"aGVsbG8=\",\"revpos\":1},\"u\":{\"data\":"
                   "\"aGVsbG8=\",\"revpos\":2}}}"));
    char *doc = get_with(f, "a", "", &opts);
    assert_non_null(strstr(doc, "\"length\":5,\"stub\":true},\"u\":{"));
    assert_non_null(strstr(doc, "\"length\":5,\"follows\":true}}}"));
    assert_int_equal(send.n, 1);
    assert_true(slice_eq(send.atts[0].name, SLICE_LIT("u")));
    opts.has_atts_since = false;
    (void)get_with(f, "a", "", &opts);
    assert_int_equal(send.n, 2);
    OK(f, graft(f, "{\"_id\":\"plain\",\"_rev\":\"1-a\"}"));
    (void)get_with(f, "plain", "", &opts);
    assert_int_equal(send.n, 0);
}

static void test_open_list(void **state)
{
    struct fixture *f = *state;
    struct slice revs[] = {SLICE_LIT("2-b"), SLICE_LIT("9-n"), SLICE_LIT("1-a")};
    struct doc_open want = {.revs = revs, .nrevs = 3};
    struct doc_picks p;

    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"a\"]}}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"c\",\"a\"]}}"));
    OK(f, doc_open_list(f->db, SLICE_LIT("a"), &want, f->a, &p, &f->e));
    assert_int_equal(p.n, 3);
    assert_true(p.v[0].node >= 0 && p.v[1].node < 0 && p.v[2].node < 0);
    assert_true(slice_eq(p.v[1].missing, SLICE_LIT("9-n")));
    assert_true(slice_eq(p.v[2].missing, SLICE_LIT("1-a"))); /* known, but without a body */
    want.latest = true;
    OK(f, doc_open_list(f->db, SLICE_LIT("a"), &want, f->a, &p, &f->e));
    assert_int_equal(p.n, 3);
    assert_true(p.v[0].node >= 0 && p.v[1].node < 0 && p.v[2].node >= 0);
    want = (struct doc_open){.all = true};
    OK(f, doc_open_list(f->db, SLICE_LIT("a"), &want, f->a, &p, &f->e));
    assert_int_equal(p.n, 2);
    assert_int_equal(doc_open_list(f->db, SLICE_LIT("x"), &want, f->a, &p, &f->e), ST_NOT_FOUND);
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(test_follows),
        WITH_STORE(test_follows_replicated),
        WITH_STORE(test_parts_that_do_not_fit),
        WITH_STORE(test_what_follows),
        WITH_STORE(test_open_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
