/* Document edits: ids, special members, attachments, which parent an edit gets and when it is
 * refused. */
#include "base/digest.h"
#include "base/gzip.h"
#include "base/text.h"
#include "couch/doc_priv.h"
#include "couch_fixture.h"

/* gzip of "hello hello hello hello hello" */
#define ZIPPED "H4sIAAAAAAACA8tIzcnJV8jATgIA9tJTOB0AAAA="

/* ---- pure ---- */

static void test_ids(void **state)
{
    struct fixture f = {0};
    static const struct {
        const char *id, *reason;
    } bad[] = {
        {"", "Document id must not be empty"},
        {"_x", "Only reserved document ids may start with underscore."},
        {"_designx/y", "Only reserved document ids may start with underscore."},
        {"_design/", "Illegal document id `_design/`"},
        {"_local/", "Illegal document id `_local/`"},
        {"\xff", "Document id must be valid UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(doc_id_check(slice_str(bad[i].id), &f.e), ST_BAD_REQUEST);
        assert_reason(&f, bad[i].reason);
        assert_word(&f, "illegal_docid");
    }
    static const char *const good[] = {"a", "_design/x", "_local/a/b", "a b", "\xc3\xa9", "-_"};
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(doc_id_check(slice_str(good[i]), &f.e), ST_OK);
    char *longest = mem_zalloc(LIMIT_DOCID_BYTES + 1);
    memset(longest, 'a', LIMIT_DOCID_BYTES + 1);
    assert_int_equal(doc_id_check(slice_of(longest, LIMIT_DOCID_BYTES), &f.e), ST_OK);
    assert_int_equal(doc_id_check(slice_of(longest, LIMIT_DOCID_BYTES + 1), &f.e), ST_BAD_REQUEST);
    assert_reason(&f, "Document id is too long");
    mem_free(longest);
}

static void test_uuids_rise(void **state)
{
    char a[33], b[33];
    unsigned char raw[16];

    (void)state;
    doc_uuid(a);
    assert_int_equal(strlen(a), 32);
    assert_true(hex_decode(slice_of(a, 32), raw));
    for (int i = 0; i < 20000; i++) {
        doc_uuid(b);
        if (memcmp(a, b, 26) == 0)
            assert_true(strcmp(a, b) < 0);
        assert_string_not_equal(a, b);
        memcpy(a, b, sizeof a);
    }
}

static void test_clip(void **state)
{
    (void)state;
    assert_int_equal(doc_clip(slice_str("a\xc3\xa9z"), 2).n, 1);
    assert_int_equal(doc_clip(slice_str("a\xc3\xa9z"), 3).n, 3);
    assert_int_equal(doc_clip(slice_str("a\nb"), 3).n, 1);
    assert_int_equal(doc_clip(slice_str("abc"), 9).n, 3);
}

static void test_gzip(void **state)
{
    unsigned char z[64];
    size_t n;
    uint64_t len;
    struct buf out;

    (void)state;
    assert_true(base64_decode(slice_str(ZIPPED), z, &n));
    buf_init(&out, 1000);
    assert_true(gzip_inflate(slice_of(z, n), 29, &out));
    assert_int_equal(out.n, 29);
    assert_memory_equal(out.p, "hello hello", 11);
    assert_true(gzip_length(slice_of(z, n), 29, &len));
    assert_int_equal(len, 29);
    assert_false(gzip_length(slice_of(z, n), 28, &len));
    for (size_t cut = 0; cut < n; cut++)
        assert_false(gzip_inflate(slice_of(z, cut), 1000, &out));
    z[n - 6] ^= 1;
    assert_false(gzip_inflate(slice_of(z, n), 1000, &out));
    assert_int_equal(out.n, 29);
    buf_free(&out);
}

static void test_special_members(void **state)
{
    struct fixture f = {.a = arena_new()};
    struct doc_parts p;
    static const struct {
        const char *text, *word, *reason;
    } bad[] = {
        {"{\"_foo\":1}", "doc_validation", "Bad special document member: _foo"},
        {"{\"_\":1}", "doc_validation", "Bad special document member: _"},
        {"{\"_deleted\":1}", "doc_validation", "Bad special document member: _deleted"},
        {"{\"_deleted\":null}", "doc_validation", "Bad special document member: _deleted"},
        {"{\"_revisions\":1}", "doc_validation", "Bad special document member: _revisions"},
        {"{\"_attachments\":[]}", "doc_validation", "Bad special document member: _attachments"},
        {"{\"_id\":3}", "illegal_docid", "Document id must be a string"},
        {"{\"_rev\":\"x\"}", NULL, "Invalid rev format"},
        {"{\"_rev\":7}", NULL, "Invalid rev format"},
        {"{\"_rev\":\"\"}", NULL, "Invalid rev format"},
        {"{\"_rev\":\"x\",\"_revisions\":{\"start\":1,\"ids\":[\"a\"]}}", NULL,
         "Invalid rev format"},
        {"{\"_revisions\":{\"ids\":[]}}", "doc_validation", "_revisions.start isn't an integer."},
        {"{\"_revisions\":{\"start\":1.5,\"ids\":[]}}", "doc_validation",
         "_revisions.start isn't an integer."},
        {"{\"_revisions\":{\"start\":1,\"ids\":\"x\"}}", "doc_validation",
         "_revisions.ids isn't a array."},
        {"{\"_revisions\":{\"start\":1,\"ids\":[2]}}", "doc_validation", "RevId isn't a string"},
        {"{\"_revisions\":{\"start\":1,\"ids\":[\"a\",\"b\"]}}", "doc_validation",
         "_revisions.start is out of range"},
        {"[]", NULL, "Document must be a JSON object"},
        {"\"x\"", NULL, "Document must be a JSON object"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct json *v = parse(&f, bad[i].text);

        f.e.word = NULL;
        assert_int_equal(doc_parse(f.a, v, false, &p, &f.e), ST_BAD_REQUEST);
        assert_reason(&f, bad[i].reason);
        if (bad[i].word != NULL)
            assert_word(&f, bad[i].word);
        else
            assert_null(f.e.word);
    }
    arena_free(f.a);
}

static void test_parts(void **state)
{
    struct fixture f = {.a = arena_new()};
    struct doc_parts p;

    (void)state;
    const char *text = "{ \"b\" : [1, 2.0] ,\"_id\":\"x\",\"_conflicts\":[1],\"_rev\":\"1-q\","
                       "\"_revisions\":{\"start\":3,\"ids\":[\"c\",\"b\"]},\"_deleted\":true,"
                       "\"_attachments\":{},\"_replication_state\":\"x\",\"\":{\"_y\": 1}}";
    OK(&f, doc_parse(f.a, parse(&f, text), false, &p, &f.e));
    assert_true(p.has_id && p.deleted && p.atts == NULL);
    assert_int_equal(p.npath, 2);
    assert_int_equal(p.path[0].gen, 3);
    assert_int_equal(p.path[1].gen, 2);
    const char *want = "{\"b\":[1,2.0],\"_replication_state\":\"x\",\"\":{\"_y\":1}}";
    assert_string_equal(arena_cstr(f.a, p.json), want);
    OK(&f, doc_parse(f.a, parse(&f, "{\"_id\":\"x\"}"), false, &p, &f.e));
    assert_string_equal(arena_cstr(f.a, p.json), "{}");
    arena_free(f.a);
}

/* ---- interactive edits ---- */

static void test_first_edit(void **state)
{
    struct fixture *f = *state;

    OK(f, put(f, "a", "{}"));
    assert_string_equal(f->rev, "1-967a00dff5e02add41819138abb3284d");
    assert_string_equal(get(f, "a"),
                        "{\"_id\":\"a\",\"_rev\":\"1-967a00dff5e02add41819138abb3284d\"}");
    OK(f, put(f, "", "{\"_id\":\"b\",\"n\": 1.0}"));
    assert_non_null(strstr(get(f, "b"), ",\"n\":1.0}"));
    OK(f, put(f, "c", "{\"_id\":\"other\"}"));
    assert_int_equal(read_doc(f, "other", "", NULL), ST_NOT_FOUND);
    assert_int_equal(put(f, "d", "{\"_id\":\"_x\"}"), ST_BAD_REQUEST);
    assert_word(f, "illegal_docid");
    OK(f, put(f, "", "{}"));
}

static void assert_conflict(struct fixture *f, enum status st)
{
    assert_int_equal(st, ST_CONFLICT);
    assert_reason(f, "Document update conflict.");
    assert_true(doc_error_is_row(st));
}

static char *with_rev(struct fixture *f, const char *rev, const char *more)
{
    return arena_cstr(f->a, arena_printf(f->a, "{\"_rev\":\"%s\"%s}", rev, more));
}

static void test_conflicts(void **state)
{
    struct fixture *f = *state;

    OK(f, put(f, "a", "{\"v\":1}"));
    char *one = mem_strdup(f->rev);
    assert_conflict(f, put(f, "a", "{\"v\":2}"));
    OK(f, put(f, "a", with_rev(f, one, ",\"v\":2")));
    assert_conflict(f, put(f, "a", with_rev(f, one, ",\"v\":3")));
    assert_conflict(f, put(f, "new", with_rev(f, one, "")));
    assert_conflict(f, put(f, "a", with_rev(f, "2-abc", "")));
    assert_conflict(f, erase(f, "a", ""));
    assert_conflict(f, erase(f, "a", one));
    f->given_rev = SLICE_LIT("1-abc");
    assert_int_equal(put(f, "a", with_rev(f, one, "")), ST_BAD_REQUEST);
    assert_reason(f, "Document rev from request body and query string have different values");
    f->given_rev = SLICE_LIT("zzz");
    assert_int_equal(put(f, "a", "{}"), ST_BAD_REQUEST);
    assert_reason(f, "Invalid rev format");
    mem_free(one);
}

static void test_delete_and_recreate(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(erase(f, "a", ""), ST_NOT_FOUND);
    assert_reason(f, "missing");
    OK(f, put(f, "a", "{\"v\":1}"));
    char *one = arena_cstr(f->a, slice_str(f->rev));
    OK(f, erase(f, "a", one));
    assert_int_equal(f->rev[0], '2');
    char *dead = arena_cstr(f->a, slice_str(f->rev));
    assert_int_equal(erase(f, "a", dead), ST_NOT_FOUND);
    assert_reason(f, "deleted");
    assert_conflict(f, put(f, "a", with_rev(f, dead, ",\"_deleted\":true")));
    assert_conflict(f, put(f, "a", with_rev(f, one, "")));
    OK(f, put(f, "a", "{\"v\":3}"));
    assert_int_equal(f->rev[0], '3');
    struct doc_read_opts revs = {.revs = true};
    assert_non_null(strstr(get_with(f, "a", "", &revs), "\"_revisions\":{\"start\":3,\"ids\":["));
    OK(f, erase(f, "a", arena_cstr(f->a, slice_str(f->rev))));
    OK(f, put(f, "a", with_rev(f, f->rev, ",\"v\":5")));
    assert_int_equal(f->rev[0], '5');
    OK(f, put(f, "born-dead", "{\"_deleted\":true}"));
    assert_int_equal(read_doc(f, "born-dead", "", NULL), ST_NOT_FOUND);
    assert_reason(f, "deleted");
}

static void test_losing_leaf_can_be_edited(void **state)
{
    struct fixture *f = *state;

    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"b\",\"r\"]}}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":2,\"ids\":[\"c\",\"r\"]}}"));
    assert_conflict(f, put(f, "a", "{\"_rev\":\"1-r\"}"));
    OK(f, put(f, "a", "{\"_rev\":\"2-b\",\"v\":1}"));
    assert_int_equal(f->rev[0], '3');
    OK(f, erase(f, "a", "2-c"));
    assert_non_null(strstr(get(f, "a"), ",\"v\":1}"));
    OK(f, erase(f, "a", arena_cstr(f->a, slice_of(get(f, "a") + 19, 34))));
    assert_int_equal(read_doc(f, "a", "", NULL), ST_NOT_FOUND);
}

/* {"v":"xx..."} of n bytes. */
static char *long_doc(struct fixture *f, size_t n)
{
    struct slice head = SLICE_LIT("{\"v\":\"");
    char *p = arena_zalloc(f->a, n + 1);

    memset(p, 'x', n);
    memcpy(p, head.p, head.n);
    p[n - 2] = '"';
    p[n - 1] = '}';
    return p;
}

static void test_too_large(void **state)
{
    struct fixture *f = *state;

    OK(f, put(f, "fits", long_doc(f, LIMIT_DOC_BYTES)));
    assert_int_equal(put(f, "big", long_doc(f, LIMIT_DOC_BYTES + 1)), ST_TOO_LARGE);
    assert_word(f, "document_too_large");
    assert_reason(f, "big");
    assert_false(doc_error_is_row(ST_TOO_LARGE));
}

/* ---- new_edits=false ---- */

static void test_replicated(void **state)
{
    struct fixture *f = *state;
    uint64_t seq;

    assert_int_equal(graft(f, "{\"_id\":\"a\"}"), ST_BAD_REQUEST);
    assert_int_equal(graft(f, "{\"_id\":\"a\",\"_rev\":\"0-x\"}"), ST_BAD_REQUEST);
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"9-z\",\"_revisions\":{\"start\":3,\"ids\":"
                   "[\"c\",\"b\",\"a\"]},\"v\":1}"));
    assert_string_equal(get(f, "a"), "{\"_id\":\"a\",\"_rev\":\"3-c\",\"v\":1}");
    seq = db_update_seq(f->db);
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"3-c\",\"v\":2}"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"2-b\",\"v\":2}"));
    assert_int_equal(db_update_seq(f->db), seq);
    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-q\"}"));
    assert_int_equal(db_update_seq(f->db), seq + 1);
}

/* ---- attachments ---- */

#define HELLO "{\"content_type\":\"text/plain\",\"data\":\"aGVsbG8=\"}"

static void test_inline(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts data = {.attachments = true};

    OK(f, put(f, "a", "{\"v\":1,\"_attachments\":{\"t\":" HELLO ",\"e\":{\"data\":\"\"}}}"));
    char *one = arena_cstr(f->a, slice_str(f->rev));
    char *want = arena_cstr(
        f->a, arena_printf(f->a,
                           "{\"_id\":\"a\",\"_rev\":\"%s\",\"v\":1,\"_attachments\":{\"t\":{"
                           "\"content_type\":\"text/plain\",\"revpos\":1,\"digest\":"
                           "\"md5-XUFAKrxLKna5cZ2REBfFkg==\",\"length\":5,\"stub\":true},\"e\":{"
                           "\"content_type\":\"application/octet-stream\",\"revpos\":1,\"digest\":"
                           "\"md5-1B2M2Y8AsgTpgAmY7PhCfg==\",\"length\":0,\"stub\":true}}}",
                           one));
    assert_string_equal(get(f, "a"), want);
    assert_non_null(strstr(get_with(f, "a", "", &data), "\"data\":\"aGVsbG8=\"}"));
    assert_non_null(strstr(get_with(f, "a", "", &data), "\"data\":\"\"}"));
    OK(f, put(f, "a",
              with_rev(f, one,
                       ",\"_attachments\":{\"t\":{\"stub\":true,\"revpos\":1},\"u\":" HELLO "}")));
    char *doc = get(f, "a");
    assert_non_null(strstr(doc, "\"t\":{\"content_type\":\"text/plain\",\"revpos\":1,"));
    assert_non_null(strstr(doc, "\"u\":{\"content_type\":\"text/plain\",\"revpos\":2,"));
    assert_null(strstr(doc, "\"e\":"));
    assert_non_null(strstr(get_with(f, "a", one, &data), "\"e\":"));
}

#define NAMED_HELLO(name) "{\"" name "\":" HELLO "}"

static void test_bad_attachments(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "{\"t\":{\"data\":\"%%%\"}}",
        "{\"t\":{\"data\":\"abc\"}}",
        "{\"t\":{\"data\":\"a===\"}}",
        "{\"t\":{\"data\":7}}",
        "{\"t\":{}}",
        "{\"t\":1}",
        "{\"t\":{\"follows\":true}}",
        NAMED_HELLO("_x"),
        NAMED_HELLO(""),
        "{\"t\":{\"data\":\"\",\"content_type\":\"a\\nb\"}}",
        "{\"t\":{\"data\":\"\",\"content_type\":3}}",
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct slice text = arena_printf(f->a, "{\"_attachments\":%s}", bad[i]);

        assert_int_equal(put(f, "a", arena_cstr(f->a, text)), ST_BAD_REQUEST);
    }
    assert_int_equal(put(f, "a", "{\"_attachments\":{\"_x\":" HELLO "}}"), ST_BAD_REQUEST);
    assert_reason(f, "Attachment name '_x' starts with prohibited character '_'");
    assert_int_equal(db_update_seq(f->db), 0);
    OK(f, put(f, "a", "{\"_attachments\":{\"t\":{\"data\":\"aGVs\\r\\nbG8=\\n\"}}}"));
    assert_non_null(strstr(get(f, "a"), "md5-XUFAKrxLKna5cZ2REBfFkg=="));
}

static void test_missing_stubs(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, "new", "{\"_attachments\":{\"x\":{\"stub\":true}}}"), ST_MISSING_STUB);
    assert_reason(f, "Invalid attachment stub in new for x");
    OK(f, put(f, "a", "{\"_attachments\":{\"t\":" HELLO "}}"));
    char *one = arena_cstr(f->a, slice_str(f->rev));
    static const char *const bad[] = {
        ",\"_attachments\":{\"x\":{\"stub\":true}}",
        ",\"_attachments\":{\"t\":{\"stub\":true,\"revpos\":7}}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(put(f, "a", with_rev(f, one, bad[i])), ST_MISSING_STUB);
    OK(f, erase(f, "a", one));
    assert_int_equal(put(f, "a", "{\"_attachments\":{\"t\":{\"stub\":true}}}"), ST_MISSING_STUB);
}

static void test_replicated_attachments(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts data = {.attachments = true};

    OK(f,
       graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":5,\"ids\":[\"e\",\"d\",\"c\"]},"
                "\"_attachments\":{\"t\":{\"data\":\"aGVsbG8=\",\"revpos\":2},\"u\":" HELLO "}}"));
    char *doc = get(f, "a");
    assert_non_null(strstr(doc, "\"revpos\":2,"));
    assert_non_null(strstr(doc, "\"revpos\":5,"));
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":7,\"ids\":[\"g\",\"f\",\"e\"]},"
                   "\"_attachments\":{\"t\":{\"stub\":true,\"revpos\":2}}}"));
    assert_non_null(strstr(get_with(f, "a", "", &data), "\"data\":\"aGVsbG8=\""));
    assert_int_equal(
        graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":7,\"ids\":[\"h\",\"f\",\"e\"]},"
                 "\"_attachments\":{\"nope\":{\"stub\":true}}}"),
        ST_MISSING_STUB);
    assert_int_equal(graft(f, "{\"_id\":\"a\",\"_rev\":\"8-x\",\"_attachments\":"
                              "{\"t\":{\"stub\":true}}}"),
                     ST_MISSING_STUB);
    /* Known already: says nothing about its stubs. */
    OK(f, graft(f, "{\"_id\":\"a\",\"_revisions\":{\"start\":7,\"ids\":[\"g\",\"f\",\"e\"]},"
                   "\"_attachments\":{\"nope\":{\"stub\":true}}}"));
}

static void test_gzip_attachments(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts plain = {.attachments = true};
    struct doc_read_opts info = {.attachments = true, .att_encoding_info = true};
    struct doc_read_opts stubs = {.att_encoding_info = true};

    OK(f, graft(f, "{\"_id\":\"a\",\"_rev\":\"1-a\",\"_attachments\":{\"t\":{\"content_type\":"
                   "\"text/plain\",\"encoding\":\"gzip\",\"data\":\"" ZIPPED "\"},\"n\":{"
                   "\"encoding\":\"gzip\",\"data\":\"aGVsbG8=\"}}}"));
    assert_non_null(strstr(get(f, "a"), "\"length\":29,\"stub\":true}"));
    assert_non_null(strstr(get(f, "a"), "\"length\":5,\"stub\":true}"));
    assert_non_null(strstr(get_with(f, "a", "", &plain),
                           "\"data\":\"aGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8gaGVsbG8=\"}"));
    assert_non_null(strstr(get_with(f, "a", "", &info),
                           "\"data\":\"" ZIPPED "\",\"encoding\":\"gzip\",\"encoded_length\":29}"));
    assert_non_null(
        strstr(get_with(f, "a", "", &stubs), "\"length\":29,\"stub\":true,\"encoding\":\"gzip\""));
}

static enum status attach(struct fixture *f, const char *id, const char *name, const char *data,
                          const char *rev)
{
    struct att att = {.name = slice_str(name), .type = SLICE_LIT("a/b")};
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true, .att = &att};

    ed.att_delete = data == NULL;
    if (data != NULL) {
        att.data = slice_str(data);
        att.len = att.stored_len = att.data.n;
        md5(att.data.p, att.data.n, att.md5);
    }
    f->given_rev = slice_str(rev);
    return edit(f, &ed);
}

static void test_standalone(void **state)
{
    struct fixture *f = *state;
    struct doc_read_opts data = {.attachments = true};

    OK(f, put(f, "a", "{\"v\":1,\"_attachments\":{\"t\":" HELLO "}}"));
    char *one = arena_cstr(f->a, slice_str(f->rev));
    assert_conflict(f, attach(f, "a", "u", "x", ""));
    OK(f, attach(f, "a", "u", "other", one));
    char *two = arena_cstr(f->a, slice_str(f->rev));
    char *doc = get_with(f, "a", "", &data);
    assert_non_null(strstr(doc, ",\"v\":1,\"_attachments\":{\"u\":{\"content_type\":\"a/b\","
                                "\"revpos\":2,"));
    assert_non_null(strstr(doc, "\"data\":\"b3RoZXI=\""));
    assert_non_null(strstr(doc, "\"data\":\"aGVsbG8=\""));
    assert_int_equal(attach(f, "a", "nope", NULL, two), ST_NOT_FOUND);
    assert_reason(f, "Document is missing attachment");
    OK(f, attach(f, "a", "t", NULL, two));
    assert_null(strstr(get(f, "a"), "\"t\":"));
    OK(f, attach(f, "fresh", "t", "", ""));
    assert_int_equal(f->rev[0], '1');
    assert_int_equal(attach(f, "fresh", "_t", "", f->rev), ST_BAD_REQUEST);
    assert_int_equal(attach(f, "never", "t", NULL, ""), ST_NOT_FOUND);
    assert_int_equal(attach(f, "_local/x", "t", "1", ""), ST_BAD_REQUEST);
    assert_reason(f, "_local documents do not accept attachments.");
}

/* The same attachment put alone or inline is the same edit only when all members agree; here: the
 * revision depends on the digest and nothing random. */
static void test_revisions_repeat(void **state)
{
    struct fixture *f = *state;

    OK(f, put(f, "a", "{\"v\":1,\"_attachments\":{\"t\":" HELLO "}}"));
    char *one = arena_cstr(f->a, slice_str(f->rev));
    OK(f, put(f, "b", "{\"_attachments\":{\"t\":" HELLO "},\"v\":1}"));
    assert_string_equal(f->rev, one);
    OK(f, put(f, "c", "{\"v\":1}"));
    assert_string_not_equal(f->rev, one);
}

/* ---- _local ---- */

static void test_local(void **state)
{
    struct fixture *f = *state;
    struct rev r;

    OK(f, put(f, "_local/a/b", "{\"v\":1,\"_attachments\":7}"));
    assert_string_equal(f->rev, "0-1");
    OK(f, put(f, "_local/a/b", "{\"v\":2}"));
    assert_string_equal(f->rev, "0-1");
    OK(f, put(f, "_local/a/b", "{\"_rev\":\"0-1\",\"v\":3}"));
    assert_string_equal(f->rev, "0-2");
    OK(f, doc_local_read(f->db, SLICE_LIT("a/b"), f->a, &f->out, &r, &f->e));
    assert_string_equal(take(f), "{\"_id\":\"_local/a/b\",\"_rev\":\"0-2\",\"v\":3}");
    static const char *const bad[] = {"x", "1-1", "0-x", "0-", "0--1"};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_int_equal(put(f, "_local/a/b", with_rev(f, bad[i], "")), ST_BAD_REQUEST);
        assert_reason(f, "Invalid rev format");
    }
    assert_int_equal(erase(f, "_local/never", "0-1"), ST_NOT_FOUND);
    OK(f, erase(f, "_local/a/b", "0-2"));
    assert_string_equal(f->rev, "0-0");
    assert_int_equal(doc_local_read(f->db, SLICE_LIT("a/b"), f->a, &f->out, &r, &f->e),
                     ST_NOT_FOUND);
    assert_int_equal(db_update_seq(f->db), 0);
}

static void test_large_local(void **state)
{
    struct fixture *f = *state;
    struct rev r;
    const char *head = "{\"_id\":\"_local/big\",\"_rev\":\"0-1\",";
    char *text = long_doc(f, 50000);

    OK(f, put(f, "_local/big", text));
    OK(f, doc_local_read(f->db, SLICE_LIT("big"), f->a, &f->out, &r, &f->e));
    char *got = take(f);
    assert_memory_equal(got, head, strlen(head));
    assert_string_equal(got + strlen(head), text + 1);
}

/* ---- random edits against a model ---- */

/* A document that is put, deleted and re-created at random: generations rise by one, an edit is
 * accepted exactly when it names the present leaf or re-creates. */
static void test_random_edits(void **state)
{
    struct fixture *f = *state;
    char leaf[sizeof f->rev] = "", old[sizeof f->rev] = "1-dead";
    bool live = false;
    uint64_t seed = 7;

    for (unsigned i = 0; i < 300; i++) {
        unsigned what = (unsigned)(unit_random(&seed) >> 33) % 5;
        const char *name = what == 1 ? "" : what == 2 ? old : leaf;
        bool named = name[0] != '\0';
        char *text = arena_cstr(f->a, arena_printf(f->a, "{\"n\":%u}", i));
        bool good = named ? strcmp(name, leaf) == 0 : !live;
        enum status st;

        if (what == 4) {
            st = erase(f, "m", name);
            good = good && live && named;
        } else {
            f->given_rev = slice_str(name);
            st = put(f, "m", text);
        }
        assert_int_equal(st == ST_OK, good);
        if (!good)
            continue;
        assert_int_equal(strtoul(f->rev, NULL, 10), strtoul(leaf, NULL, 10) + 1);
        if (leaf[0] != '\0')
            memcpy(old, leaf, sizeof old);
        memcpy(leaf, f->rev, sizeof leaf);
        live = what != 4;
    }
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_uuids_rise),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_special_members),
        cmocka_unit_test(test_parts),
        WITH_STORE(test_first_edit),
        WITH_STORE(test_conflicts),
        WITH_STORE(test_delete_and_recreate),
        WITH_STORE(test_losing_leaf_can_be_edited),
        WITH_STORE(test_too_large),
        WITH_STORE(test_replicated),
        WITH_STORE(test_inline),
        WITH_STORE(test_bad_attachments),
        WITH_STORE(test_missing_stubs),
        WITH_STORE(test_replicated_attachments),
        WITH_STORE(test_gzip_attachments),
        WITH_STORE(test_standalone),
        WITH_STORE(test_revisions_repeat),
        WITH_STORE(test_local),
        WITH_STORE(test_large_local),
        WITH_STORE(test_random_edits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
