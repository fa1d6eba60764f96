/* tests/unit/test_couch_docinfo.c: rows, bodies and log records of documents: round trips, where
 * the relative pointers come out, and that every damaged form is refused. */
#include "unit.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "couch/docinfo.h"

static const struct seg_ptr ptr_a = {7, 100, 50, 0xdeadbeef}, ptr_b = {8, 4000, 60, 0x12345678};

static struct rev parse(struct arena *a, const char *text)
{
    struct rev r;
    struct err e;

    assert_int_equal(rev_parse(a, slice_str(text), &r, &e), ST_OK);
    return r;
}

/* 1-a, then 2-b and (with a conflict) 2-c. */
static void make_tree(struct revtree *t, struct arena *a, bool conflict)
{
    struct rev r1 = parse(a, "1-967a00dff5e02add41819138abb3284d"), r2 = parse(a, "2-b"),
               path[2] = {parse(a, "2-c"), r1};
    int i;

    revtree_init(t, a);
    i = revtree_add_child(t, REVTREE_ROOT, &r1, false);
    t->nodes[i].has_body = true;
    t->nodes[i].ptr = ptr_a;
    i = revtree_add_child(t, i, &r2, false);
    t->nodes[i].has_body = true;
    t->nodes[i].ptr = ptr_b;
    if (conflict) {
        assert_true(revtree_merge(t, path, 2, true, &i));
        t->nodes[i].has_body = true;
        t->nodes[i].ptr = ptr_a;
    }
}

static void assert_ptr(const struct seg_ptr *x, const struct seg_ptr *y)
{
    assert_int_equal(x->seg, y->seg);
    assert_int_equal(x->off, y->off);
    assert_int_equal(x->len, y->len);
    assert_int_equal(x->crc, y->crc);
}

/* ---- doc-info ---- */

static void test_docinfo(void **state)
{
    (void)state;
    for (int conflict = 0; conflict < 2; conflict++) {
        struct arena *a = arena_new();
        struct docinfo d = {.seq = 300, .docnum = 5, .flags = 0, .winner_ptr = ptr_b}, x;
        struct docinfo_head head;
        struct buf b;
        struct err e;

        d.flags = conflict != 0 ? DOCINFO_CONFLICTS : 0;
        make_tree(&d.tree, a, conflict != 0);
        buf_init(&b, 4096);
        docinfo_encode(&d, &b);
        assert_int_equal(docinfo_decode(a, buf_slice(&b), &x, &e), ST_OK);
        assert_int_equal(docinfo_head_decode(a, buf_slice(&b), &head, &e), ST_OK);
        assert_int_equal(x.seq, 300);
        assert_int_equal(x.docnum, 5);
        assert_int_equal(x.flags, d.flags);
        assert_ptr(&x.winner_ptr, &ptr_b);
        assert_int_equal(x.tree.n, d.tree.n);
        assert_ptr(&x.tree.nodes[0].ptr, &ptr_a);
        assert_int_equal(head.seq, 300);
        assert_int_equal(head.docnum, 5);
        assert_int_equal(head.flags, d.flags);
        assert_ptr(&head.winner_ptr, &ptr_b);
        assert_true(rev_eq(&head.winner, &x.tree.nodes[revtree_winner(&x.tree)].rev));
        assert_true(slice_eq(rev_text(a, &head.winner), SLICE_LIT("2-b")));
        for (size_t n = 0; n < b.n; n++) {
            char *cut = mem_dup(b.p, n);

            assert_int_equal(docinfo_decode(a, slice_of(cut, n), &x, &e), ST_CORRUPT);
            assert_int_equal(docinfo_head_decode(a, slice_of(cut, n), &head, &e), ST_CORRUPT);
            mem_free(cut);
        }
        buf_char(&b, 0); /* a byte too many */
        assert_int_equal(docinfo_decode(a, buf_slice(&b), &x, &e), ST_CORRUPT);
        assert_int_equal(docinfo_head_decode(a, buf_slice(&b), &head, &e), ST_CORRUPT);
        b.p[3] = 4; /* an unknown flag */
        assert_int_equal(docinfo_decode(a, slice_of(b.p, b.n - 1), &x, &e), ST_CORRUPT);
        assert_int_equal(docinfo_head_decode(a, slice_of(b.p, b.n - 1), &head, &e), ST_CORRUPT);
        buf_free(&b);
        arena_free(a);
    }
}

static void test_docinfo_without_tree(void **state)
{
    struct arena *a = arena_new();
    struct docinfo d = {.seq = 1, .docnum = 1}, x;
    struct docinfo_head head;
    struct buf b;
    struct err e;

    (void)state;
    revtree_init(&d.tree, a);
    buf_init(&b, 4096);
    docinfo_encode(&d, &b);
    assert_int_equal(docinfo_decode(a, buf_slice(&b), &x, &e), ST_CORRUPT);
    assert_int_equal(docinfo_head_decode(a, buf_slice(&b), &head, &e), ST_CORRUPT);
    make_tree(&d.tree, a, false);
    d.tree.nodes[1].ptr.seg = SEG_SELF; /* relative to nothing */
    buf_clear(&b);
    docinfo_encode(&d, &b);
    assert_int_equal(docinfo_decode(a, buf_slice(&b), &x, &e), ST_CORRUPT);
    buf_free(&b);
    arena_free(a);
}

/* ---- changes row ---- */

static void test_seqrow(void **state)
{
    static const char *const revs[] = {"3-967a00dff5e02add41819138abb3284d", "1-", "2000000000-x"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct arena *a = arena_new();
        struct seqrow r = {.docnum = 1234567,
                           .flags = DOCINFO_DELETED,
                           .winner_ptr = ptr_a,
                           .winner = parse(a, revs[i]),
                           .docid = SLICE_LIT("a doc")},
                      x;
        struct buf b;
        struct err e;
        size_t docid = r.docid.n;

        buf_init(&b, 4096);
        seqrow_encode(&r, &b);
        assert_int_equal(seqrow_decode(buf_slice(&b), &x, &e), ST_OK);
        assert_int_equal(x.docnum, r.docnum);
        assert_int_equal(x.flags, DOCINFO_DELETED);
        assert_ptr(&x.winner_ptr, &ptr_a);
        assert_true(rev_eq(&x.winner, &r.winner));
        assert_int_equal(x.winner.hex, r.winner.hex);
        assert_true(slice_eq(x.docid, r.docid));
        for (size_t n = 0; n <= b.n - docid; n++) {
            char *cut = mem_dup(b.p, n);

            assert_int_equal(seqrow_decode(slice_of(cut, n), &x, &e), ST_CORRUPT);
            mem_free(cut);
        }
        b.p[0] = 8;
        assert_int_equal(seqrow_decode(buf_slice(&b), &x, &e), ST_CORRUPT);
        buf_free(&b);
        arena_free(a);
    }
}

/* ---- bodies ---- */

static struct att make_att(const char *name, struct slice data)
{
    struct att x = {.name = slice_str(name), .type = SLICE_LIT("text/plain"), .revpos = 3};

    x.data = data;
    x.len = data.n;
    memset(x.md5, name[0], sizeof x.md5);
    return x;
}

static void test_body_alone(void **state)
{
    struct arena *a = arena_new();
    struct doc_body d = {.json = SLICE_LIT("{\"a\":1}")}, x;
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, 4096);
    doc_body_encode(&d, &b);
    assert_int_equal(b.n, 1 + 7 + 1);
    assert_int_equal(doc_body_decode(a, buf_slice(&b), &ptr_a, &x, &e), ST_OK);
    assert_true(slice_eq(x.json, d.json));
    assert_int_equal(x.natts, 0);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(doc_body_decode(a, slice_of(b.p, n), &ptr_a, &x, &e), ST_CORRUPT);
    buf_free(&b);
    arena_free(a);
}

static void test_body_attachments(void **state)
{
    struct arena *a = arena_new();
    char long_data[300];
    struct att atts[4];
    struct doc_body d = {.json = SLICE_LIT("{}"), .atts = atts, .natts = 4}, x;
    struct seg_ptr at = {21, 5000, 0, 0};
    struct buf b;
    struct err e;
    size_t region;

    (void)state;
    memset(long_data, 'l', sizeof long_data);
    atts[0] = make_att("long", slice_of(long_data, sizeof long_data));
    atts[1] = make_att("stub", slice_of(NULL, 0));
    atts[1].ptr = ptr_b;
    atts[1].len = 1000; /* compressed to the pointer's 60 bytes */
    atts[1].stored_len = ptr_b.len;
    atts[1].encoding = ATT_GZIP;
    atts[2] = make_att("empty", slice_of("", 0));
    atts[3] = make_att("last", SLICE_LIT("tail"));
    buf_init(&b, 8192);
    buf_str(&b, "before"); /* offsets do not count from the buffer's start */
    doc_body_encode(&d, &b);
    region = b.n - 6;
    for (int i = 0; i < 4; i++)
        buf_add(&b, atts[i].data);
    at.len = (uint32_t)region;
    assert_int_equal(doc_body_decode(a, slice_of(b.p + 6, region), &at, &x, &e), ST_OK);
    assert_int_equal(x.natts, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(slice_eq(x.atts[i].name, atts[i].name));
        assert_true(slice_eq(x.atts[i].type, atts[i].type));
        assert_int_equal(x.atts[i].revpos, 3);
        assert_memory_equal(x.atts[i].md5, atts[i].md5, 16);
        assert_int_equal(x.atts[i].len, atts[i].len);
        assert_ptr_equal(x.atts[i].data.p, NULL);
        if (i == 1) {
            assert_ptr(&x.atts[i].ptr, &ptr_b);
            assert_int_equal(x.atts[i].encoding, ATT_GZIP);
            continue;
        }
        assert_int_equal(x.atts[i].ptr.seg, 21);
        assert_int_equal(x.atts[i].ptr.len, atts[i].data.n);
        assert_true(slice_eq(slice_of(b.p + 6 + x.atts[i].ptr.off - 5000, x.atts[i].ptr.len),
                             atts[i].data));
        assert_int_equal(x.atts[i].ptr.crc, crc32c(0, atts[i].data.p, atts[i].data.n));
    }
    for (size_t n = 0; n < region; n++) {
        char *cut = mem_dup(b.p + 6, n);

        assert_int_equal(doc_body_decode(a, slice_of(cut, n), &at, &x, &e), ST_CORRUPT);
        mem_free(cut);
    }
    at.off = UINT32_MAX - 10; /* the sum does not fit */
    assert_int_equal(doc_body_decode(a, slice_of(b.p + 6, region), &at, &x, &e), ST_CORRUPT);
    buf_free(&b);
    arena_free(a);
}

/* ---- log record ---- */

struct written {
    struct buf b;
    struct revtree tree;
    struct doc_record r;
    size_t at[2]; /* where the two regions lie in the body */
};

/* A record with two bodies: 1-a lives elsewhere, 2-b and 2-c come with it. */
static void write_record(struct arena *a, struct written *w)
{
    const struct slice json[2] = {SLICE_LIT("{\"one\":1}"), SLICE_LIT("{\"two\":22}")};
    uint32_t off = 0;
    struct buf regions;

    make_tree(&w->tree, a, true);
    buf_init(&regions, 4096);
    for (uint32_t i = 0; i < 2; i++) {
        doc_body_encode(&(struct doc_body){.json = json[i]}, &regions);
        w->tree.nodes[1 + i].ptr = (struct seg_ptr){SEG_SELF, off, (uint32_t)regions.n - off,
                                                    crc32c(0, regions.p + off, regions.n - off)};
        w->at[i] = off;
        off = (uint32_t)regions.n;
    }
    w->r = (struct doc_record){.docid = SLICE_LIT("doc"),
                               .seq = 1000,
                               .prev_seq = 999,
                               .docnum = 7,
                               .doc_count = 500,
                               .del_count = 1,
                               .external_bytes = 123456789,
                               .tree = &w->tree};
    buf_init(&w->b, 4096);
    buf_str(&w->b, "frame"); /* the body starts at 5 */
    doc_record_encode_head(&w->r, &w->b);
    w->at[0] += w->b.n - 5;
    w->at[1] += w->b.n - 5;
    buf_add(&w->b, buf_slice(&regions));
    buf_free(&regions);
}

static void test_record(void **state)
{
    struct arena *a = arena_new();
    struct slice body;
    struct doc_record x;
    struct doc_body d;
    struct written w;
    struct revtree t;
    struct err e;

    (void)state;
    write_record(a, &w);
    body = slice_of(w.b.p + 5, w.b.n - 5);
    assert_int_equal(w.tree.nodes[1].ptr.off, w.at[0]);
    assert_int_equal(w.tree.nodes[2].ptr.off, w.at[1]);
    assert_int_equal(doc_record_decode(a, body, &x, &t, &e), ST_OK);
    assert_true(slice_eq(x.docid, w.r.docid));
    assert_int_equal(x.seq, 1000);
    assert_int_equal(x.prev_seq, 999);
    assert_int_equal(x.docnum, 7);
    assert_int_equal(x.doc_count, 500);
    assert_int_equal(x.del_count, 1);
    assert_int_equal(x.external_bytes, 123456789);
    assert_ptr_equal(x.tree, &t);
    assert_int_equal(t.n, 3);
    assert_ptr(&t.nodes[0].ptr, &ptr_a);
    for (uint32_t i = 0; i < 2; i++) {
        struct seg_ptr p = t.nodes[1 + i].ptr;

        assert_ptr(&p, &w.tree.nodes[1 + i].ptr);
        assert_int_equal(crc32c(0, body.p + p.off, p.len), p.crc);
        assert_int_equal(doc_body_decode(a, slice_of(body.p + p.off, p.len), &p, &d, &e), ST_OK);
    }
    assert_true(slice_eq(d.json, SLICE_LIT("{\"two\":22}")));
    revtree_resolve(&t, 42, 10000);
    assert_ptr(&t.nodes[0].ptr, &ptr_a);
    assert_int_equal(t.nodes[1].ptr.seg, 42);
    assert_int_equal(t.nodes[1].ptr.off, 10000 + w.at[0]);
    assert_int_equal(t.nodes[2].ptr.off, 10000 + w.at[1]);
    buf_free(&w.b);
    arena_free(a);
}

static void test_record_refuses(void **state)
{
    struct arena *a = arena_new();
    struct doc_record x;
    struct written w;
    struct revtree t;
    struct err e;

    (void)state;
    write_record(a, &w);
    for (size_t n = 0; n < w.b.n - 5; n++) { /* the last body's pointer ends at the last byte */
        char *cut = mem_dup(w.b.p + 5, n);

        assert_int_equal(doc_record_decode(a, slice_of(cut, n), &x, &t, &e), ST_CORRUPT);
        mem_free(cut);
    }
    buf_clear(&w.b);
    w.r.docid.n = 0;
    doc_record_encode_head(&w.r, &w.b);
    assert_int_equal(doc_record_decode(a, buf_slice(&w.b), &x, &t, &e), ST_CORRUPT);
    buf_free(&w.b);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_docinfo),          cmocka_unit_test(test_docinfo_without_tree),
        cmocka_unit_test(test_seqrow),           cmocka_unit_test(test_body_alone),
        cmocka_unit_test(test_body_attachments), cmocka_unit_test(test_record),
        cmocka_unit_test(test_record_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
