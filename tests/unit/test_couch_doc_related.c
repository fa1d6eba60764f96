/* tests/unit/test_couch_doc_related.c: documents in parts, in pieces of any size: the same
 * document; what is wrong is said; what is given up leaves nothing behind. */
#include "base/multipart.h"
#include "couch/att_io.h"
#include "couch/doc_priv.h"
#include "couch/doc_related.h"
#include "couch_fixture.h"

enum { LARGE = 300000 };

static void add_part(struct buf *b, struct slice bytes)
{
    multipart_next(b, "B");
    buf_str(b, "\r\n\r\n");
    buf_add(b, bytes);
}

/* A document with a small, an empty and a large attachment. */
static void make_body(struct buf *b, char *large)
{
    for (size_t i = 0; i < LARGE; i++)
        large[i] = "\r\n--B-x \t"[(i * i / 7) % 10];
    buf_init(b, 1u << 20);
    buf_str(b, "--B\r\nContent-Type: application/json\r\n\r\n"
               "{\"v\":1,\"_attachments\":{\"s\":{\"follows\":true,\"length\":5},"
               "\"in\":{\"data\":\"aGVsbG8=\"},\"e\":{\"follows\":true},"
               "\"l\":{\"follows\":true,\"length\":300000}}}");
    add_part(b, SLICE_LIT("small"));
    add_part(b, SLICE_LIT(""));
    add_part(b, slice_of(large, LARGE));
    multipart_next(b, "B");
    multipart_end(b);
}

static enum status feed(struct fixture *f, struct doc_related *d, struct slice body, size_t step)
{
    for (size_t n; body.n != 0; body = slice_of(body.p + n, body.n - n)) {
        n = step < body.n ? step : body.n;
        TRY(doc_related_add(d, slice_of(body.p, n), &f->e));
    }
    return ST_OK;
}

static void expect_att(struct fixture *f, const char *id, const char *name, struct slice want)
{
    struct att att;
    struct rev at;

    OK(f,
       doc_att(f->db, slice_str(id), slice_of(NULL, 0), slice_str(name), f->a, &att, &at, &f->e));
    buf_clear(&f->out);
    OK(f, doc_att_data(f->db, &att, &f->out, &f->e));
    assert_true(slice_eq(buf_slice(&f->out), want));
}

static void any_pieces(void **state)
{
    struct fixture *f = *state;
    static char large[LARGE];
    char first_rev[64] = "";
    struct buf body;

    make_body(&body, large);
    for (size_t step = 1; step < 2 * LARGE; step = step * 11 + 1) {
        struct doc_related *d = doc_related_new(f->db, f->a, SLICE_LIT("B"));
        const char *id = arena_printf(f->a, "d%zu", step).p;
        struct doc_edit ed = {.id = slice_str(id), .new_edits = true};

        OK(f, feed(f, d, buf_slice(&body), step));
        OK(f, doc_related_end(d, &ed, &f->e));
        assert_int_equal(ed.nfollows, 3);
        assert_true(doc_related_held(d) < 1000); /* the large one is not in memory */
        OK(f, edit(f, &ed));
        doc_related_free(d);
        if (first_rev[0] == '\0')
            memcpy(first_rev, f->rev, sizeof(first_rev) - 1);
        assert_string_equal(f->rev, first_rev);
        expect_att(f, id, "s", SLICE_LIT("small"));
        expect_att(f, id, "in", SLICE_LIT("hello"));
        expect_att(f, id, "e", SLICE_LIT(""));
        expect_att(f, id, "l", slice_of(large, LARGE));
    }
    buf_free(&body);
}

/* At every place, and freed in the middle. */
static void cut_off(void **state)
{
    struct fixture *f = *state;
    static char large[LARGE];
    struct doc_edit ed = {0};
    struct buf body;

    make_body(&body, large);
    for (size_t n = 0; n < body.n; n += n < 400 ? 1 : 29989) {
        struct doc_related *d = doc_related_new(f->db, f->a, SLICE_LIT("B"));

        OK(f, feed(f, d, slice_of(body.p, n), 1000));
        assert_int_equal(doc_related_end(d, &ed, &f->e), ST_BAD_REQUEST);
        doc_related_free(d);
    }
    buf_free(&body);
    assert_int_equal(db_update_seq(f->db), 0);
}

static void what_is_wrong(void **state)
{
    static const struct {
        const char *body;
        enum status st;
    } bad[] = {
        {"--B\r\n\r\n{\r\n--B--", ST_BAD_REQUEST},
        {"--B\r\n\r\n{}\r\n--B\r\n\r\nx", ST_BAD_REQUEST},
        {"--B\r\n\r\n[1]\r\n--B\r\n\r\nx", ST_BAD_REQUEST},
        {"--B\r\n\r\n{\"_attachments\":[]}\r\n--B\r\n\r\nx", ST_BAD_REQUEST},
        {"--B\r\n\r\n{\"_attachments\":{\"a\":1,\"b\":{\"stub\":true}}}\r\n--B\r\n\r\nx",
         ST_BAD_REQUEST},
        {"--B\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true}}}\r\n--B\r\n\r\nx\r\n--B\r\n\r\n",
         ST_BAD_REQUEST},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct doc_related *d = doc_related_new(f->db, f->a, SLICE_LIT("B"));

        assert_int_equal(feed(f, d, slice_str(bad[i].body), 7), bad[i].st);
        doc_related_free(d);
    }
}

#define WITH_STORE(t) cmocka_unit_test_setup_teardown(t, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(any_pieces),
        WITH_STORE(cut_off),
        WITH_STORE(what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
