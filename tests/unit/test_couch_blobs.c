/* tests/unit/test_couch_blobs.c: large attachments: written and read as streams, shared by
 * revisions and documents, collected when no leaf needs them and not before; in files and memory.
 */
#include "unit.h"

#include "base/digest.h"
#include "base/text.h"
#include "couch/att_io.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

enum { BIG = 700000 };

/* ---- a store ---- */

static void open_small(struct fix *x)
{
    struct store_options o = {
        .dir = x->dir, .segs = x->segs, .segment_bytes = 1 << 20, .no_compaction = true};

    assert_ok(x, store_open(&o, &x->s, &x->e));
}

static struct fix *small_new(bool in_memory)
{
    struct fix *x = mem_zalloc(sizeof(*x));

    snprintf(x->dir, sizeof(x->dir), "/tmp/divan-test-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    x->a = arena_new();
    if (in_memory)
        x->segs = seg_mem_new(7);
    open_small(x);
    return x;
}

static int small_files(void **state)
{
    *state = small_new(false);
    return 0;
}

static int small_memory(void **state)
{
    *state = small_new(true);
    return 0;
}

static void forget_pins(struct fix *x)
{
    arena_reset(x->a);
}

static void reopen(struct fix *x)
{
    forget_pins(x);
    fix_close(x);
    open_small(x);
}

static void drop_index(struct fix *x)
{
    char path[128];

    forget_pins(x);
    fix_close(x);
    snprintf(path, sizeof(path), "%s/0/idx", x->dir);
    assert_ok(x, fs_remove_tree(path, &x->e));
    open_small(x);
}

static size_t objects(struct fix *x)
{
    struct obj_info *v;
    size_t n;

    assert_int_equal(x->s->segs->ops->obj_list(x->s->segs, 0, &v, &n, &x->e), SS_OK);
    mem_free(v);
    return n;
}

/* ---- bytes ---- */

static char *pattern(struct fix *x, size_t n, unsigned seed)
{
    char *p = arena_alloc(x->a, n + 1);
    uint32_t v = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        v = v * 1664525u + 1013904223u;
        p[i] = (char)(v >> 24);
    }
    return p;
}

static struct att_writer *write_bytes(struct fix *x, struct db *db, struct slice bytes, size_t step)
{
    struct att_writer *w;

    assert_ok(x, att_writer_open(db, UINT64_MAX, &w, &x->e));
    for (size_t at = 0; at < bytes.n; at += step) {
        size_t n = bytes.n - at < step ? bytes.n - at : step;

        assert_ok(x, att_writer_add(w, slice_of(bytes.p + at, n), &x->e));
    }
    assert_int_equal(att_writer_len(w), bytes.n);
    return w;
}

static enum status run_edit(struct fix *x, struct db *db, const struct doc_edit *ed, char rev[64])
{
    struct commit_op op;
    enum status st = doc_edit_prepare(db, x->a, ed, &op, &x->e);
    struct slice text;

    if (st != ST_OK)
        return st;
    st = run1(x, &op);
    text = doc_op_rev(x->a, &op);
    assert_true(text.n < 64);
    memcpy(rev, text.p, text.n);
    rev[text.n] = '\0';
    return st;
}

/* Puts the bytes as attachment of a document; rev: of its parent, then its own. */
static void put_att(struct fix *x, struct db *db, const char *id, const char *name,
                    struct slice bytes, char rev[64])
{
    struct att_writer *w = write_bytes(x, db, bytes, 100000);
    struct att att = {.name = slice_str(name), .type = SLICE_LIT("a/b")};
    struct doc_edit ed = {.id = slice_str(id),
                          .rev = arena_dup(x->a, slice_str(rev)),
                          .new_edits = true,
                          .att = &att};

    assert_ok(x, att_writer_finish(w, x->a, &att, &x->e));
    assert_ok(x, run_edit(x, db, &ed, rev));
    att_writer_free(w);
}

static void put_json(struct fix *x, struct db *db, const char *id, const char *text, char rev[64])
{
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true};

    ed.rev = arena_dup(x->a, slice_str(rev));
    assert_ok(x, json_parse(x->a, arena_dup(x->a, slice_str(text)), &ed.doc, &x->e));
    assert_ok(x, run_edit(x, db, &ed, rev));
}

static enum status find_att(struct fix *x, struct db *db, const char *id, const char *rev,
                            const char *name, struct att *out)
{
    struct rev at;

    return doc_att(db, slice_str(id), slice_str(rev), slice_str(name), x->a, out, &at, &x->e);
}

static void assert_bytes(struct fix *x, struct db *db, const char *id, const char *rev,
                         struct slice want)
{
    struct att att;
    struct buf b;

    assert_ok(x, find_att(x, db, id, rev, "x", &att));
    buf_init(&b, 64 << 20);
    assert_ok(x, doc_att_data(db, &att, &b, &x->e));
    assert_int_equal(b.n, want.n);
    assert_true(want.n == 0 || memcmp(b.p, want.p, want.n) == 0);
    buf_free(&b);
}

/* ---- writing and reading ---- */

static void assert_range(struct fix *x, struct att_reader *r, struct slice all, uint64_t off,
                         size_t n)
{
    size_t want = off >= all.n ? 0 : n < all.n - off ? n : (size_t)(all.n - off);
    struct buf b;

    buf_init(&b, 64 << 20);
    assert_ok(x, att_reader_read(r, off, n, &b, &x->e));
    assert_int_equal(b.n, want);
    assert_true(want == 0 || memcmp(b.p, all.p + off, want) == 0);
    buf_free(&b);
}

static void round_trip(struct fix *x, struct db *db, size_t n, size_t step)
{
    struct slice bytes = slice_of(pattern(x, n, (unsigned)n), n);
    struct att_writer *w = write_bytes(x, db, bytes, step);
    struct att att = {.name = SLICE_LIT("x")};
    struct att_reader *r;
    unsigned char digest[16];

    assert_ok(x, att_writer_finish(w, x->a, &att, &x->e));
    assert_int_equal(att.stored_len, n);
    assert_int_equal(att.len, n);
    md5(bytes.p, n, digest);
    assert_memory_equal(att.md5, digest, sizeof(digest));
    assert_true((att.data.p == NULL) == (n > LIMIT_ATT_INLINE));
    if (att.data.p == NULL) {
        assert_int_equal(objects(x), 1);
        assert_ok(x, att_reader_open(db, &att, &r, &x->e));
        assert_range(x, r, bytes, 0, n + 10);
        assert_range(x, r, bytes, n - 1, 10);
        assert_range(x, r, bytes, n, 10);
        assert_range(x, r, bytes, n / 2, 3);
        assert_range(x, r, bytes, BLOB_CHUNK - 2, 4);
        assert_range(x, r, bytes, BLOB_CHUNK, 1);
        att_reader_close(r);
    } else {
        assert_int_equal(att.data.n, n);
        assert_true(n == 0 || memcmp(att.data.p, bytes.p, n) == 0);
    }
    att_writer_free(w);
    assert_int_equal(objects(x), 0);
}

static void streams(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   LIMIT_ATT_INLINE,
                                   LIMIT_ATT_INLINE + 1,
                                   BLOB_CHUNK - 1,
                                   BLOB_CHUNK,
                                   BLOB_CHUNK + 1,
                                   2 * BLOB_CHUNK,
                                   BIG};
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct att_writer *w;
    struct slice bytes = slice_of(pattern(x, 100000, 1), 100000);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        round_trip(x, db, sizes[i], 1 << 20);
        round_trip(x, db, sizes[i], 1021);
    }
    assert_ok(x, att_writer_open(db, 150000, &w, &x->e));
    assert_ok(x, att_writer_add(w, bytes, &x->e));
    assert_st(x, att_writer_add(w, bytes, &x->e), ST_TOO_LARGE);
    assert_string_equal(x->e.word, "attachment_too_large");
    att_writer_free(w); /* unfinished */
    assert_int_equal(objects(x), 0);
    db_release(db);
}

/* A blob belongs to its document through restarts and without the index. */
static void stays(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", *text;

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    assert_int_equal(objects(x), 1);
    db_release(db);
    for (int i = 0; i < 3; i++) {
        if (i == 1)
            reopen(x);
        else if (i == 2)
            drop_index(x);
        db = open_db(x, "db");
        text = pattern(x, BIG, 1);
        assert_bytes(x, db, "a", "", slice_of(text, BIG));
        assert_bytes(x, db, "a", rev, slice_of(text, BIG));
        db_release(db);
    }
    assert_int_equal(objects(x), 1);
}

/* What comes inside JSON as base64 becomes a blob as well; stubs share it. */
static void base64(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", *text = arena_alloc(x->a, 2 * BIG);
    struct slice bytes = slice_of(pattern(x, BIG, 3), BIG);
    size_t n = (size_t)snprintf(text, 64, "{\"_attachments\":{\"x\":{\"data\":\"");

    base64_encode(bytes.p, bytes.n, text + n);
    n += base64_encoded_len(bytes.n);
    memcpy(text + n, "\"}}}", 5);
    put_json(x, db, "a", text, rev);
    assert_int_equal(objects(x), 1);
    assert_bytes(x, db, "a", "", bytes);
    put_json(x, db, "a", "{\"v\":2,\"_attachments\":{\"x\":{\"stub\":true}}}", rev);
    assert_int_equal(objects(x), 1);
    assert_bytes(x, db, "a", "", bytes);
    db_release(db);
}

/* ---- collection ---- */

static void collect(struct fix *x)
{
    assert_ok(x, store_collect_blobs(x->s, &x->e));
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

/* Old revisions are readable until the collection; what leaves name stays, whoever shares it. */
static void collected(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", first[64], other[64] = "";
    struct slice one = slice_of(pattern(x, BIG, 1), BIG), two = slice_of(pattern(x, BIG, 2), BIG);
    struct att att;
    struct buf b;

    put_att(x, db, "a", "x", one, rev);
    memcpy(first, rev, sizeof(first));
    put_json(x, db, "a", "{\"v\":2,\"_attachments\":{\"x\":{\"stub\":true}}}", rev);
    put_att(x, db, "b", "x", two, other);
    forget_pins(x);
    collect(x);
    assert_int_equal(objects(x), 2);
    put_json(x, db, "a", "{\"v\":3}", rev);
    one.p = pattern(x, BIG, 1);
    assert_bytes(x, db, "a", first, one);
    assert_ok(x, find_att(x, db, "a", first, "x", &att));
    collect(x);
    assert_int_equal(objects(x), 1);
    buf_init(&b, 64 << 20);
    assert_st(x, doc_att_data(db, &att, &b, &x->e), ST_NOT_FOUND);
    buf_free(&b);
    assert_bytes(x, db, "b", "", slice_of(pattern(x, BIG, 2), BIG));
    db_release(db);
    drop_index(x); /* old records name what is gone; no leaf does */
    db = open_db(x, "db");
    assert_ok(x, blobs_sweep(x->s->blobs, always, NULL, &x->e));
    collect(x);
    assert_bytes(x, db, "b", "", slice_of(pattern(x, BIG, 2), BIG));
    assert_int_equal(objects(x), 1);
    db_release(db);
}

/* A blob that two documents share goes with the second one; conflicting leaves count. */
static void shared(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", copy[64] = "";
    struct att att;
    struct doc_edit ed = {.id = SLICE_LIT("b"), .new_edits = true, .att = &att};
    struct slice bytes = slice_of(pattern(x, BIG, 5), BIG);

    put_att(x, db, "a", "x", bytes, rev);
    assert_ok(x, find_att(x, db, "a", "", "x", &att));
    assert_ok(x, run_edit(x, db, &ed, copy)); /* as COPY does */
    assert_int_equal(objects(x), 1);
    put_json(x, db, "a", "{}", rev);
    forget_pins(x);
    collect(x);
    assert_bytes(x, db, "b", "", slice_of(pattern(x, BIG, 5), BIG));
    put_json(x, db, "b", "{\"_deleted\":true}", copy);
    forget_pins(x);
    collect(x);
    assert_int_equal(objects(x), 0);
    db_release(db);
}

/* Whoever has a pin keeps it: a reader, a stub that is not committed yet, a writer. */
static void pinned(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", first[64];
    struct slice bytes = slice_of(pattern(x, BIG, 6), BIG);
    struct att_reader *r;
    struct att att;
    struct doc_edit ed = {.id = SLICE_LIT("a")};
    struct commit_op op;

    put_att(x, db, "a", "x", bytes, rev);
    memcpy(first, rev, sizeof(first));
    put_json(x, db, "a", "{}", rev);
    forget_pins(x);
    bytes.p = pattern(x, BIG, 6);
    assert_ok(x, find_att(x, db, "a", first, "x", &att));
    assert_ok(x, att_reader_open(db, &att, &r, &x->e));
    collect(x);
    assert_range(x, r, bytes, 5, BIG);
    /* a replicated conflict whose stub leads to a revision that is no leaf any more */
    assert_ok(x, json_parse(x->a,
                            arena_printf(x->a,
                                         "{\"_rev\":\"2-00000000000000000000000000000000\","
                                         "\"_revisions\":{\"start\":2,\"ids\":["
                                         "\"00000000000000000000000000000000\",\"%s\"]},"
                                         "\"_attachments\":{\"x\":{\"stub\":true}}}",
                                         first + 2),
                            &ed.doc, &x->e));
    assert_ok(x, doc_edit_prepare(db, x->a, &ed, &op, &x->e));
    att_reader_close(r);
    collect(x);
    assert_int_equal(objects(x), 1);
    assert_ok(x, run1(x, &op));
    forget_pins(x);
    collect(x);
    assert_bytes(x, db, "a", "2-00000000000000000000000000000000",
                 slice_of(pattern(x, BIG, 6), BIG));
    db_release(db);
}

/* A stub of what was collected is not there; an operation without a pin is refused. */
static void refused(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", first[64];
    struct doc_edit ed = {.id = SLICE_LIT("a")};
    struct commit_op op;
    struct att att;

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 6), BIG), rev);
    memcpy(first, rev, sizeof(first));
    assert_ok(x, find_att(x, db, "a", first, "x", &att));
    put_json(x, db, "a", "{}", rev);
    forget_pins(x);
    att.name = SLICE_LIT("x");
    att.type = SLICE_LIT("a/b");
    op = op_edit(x, db, "c", (struct rev){0}, rev_n(x, 1, 1));
    op.body.atts = &att;
    op.body.natts = 1;
    assert_st(x, run1(x, &op), ST_INTERNAL);
    collect(x);
    assert_int_equal(objects(x), 0);
    assert_ok(x, json_parse(x->a,
                            arena_printf(x->a,
                                         "{\"_rev\":\"2-00000000000000000000000000000000\","
                                         "\"_revisions\":{\"start\":2,\"ids\":["
                                         "\"00000000000000000000000000000000\",\"%s\"]},"
                                         "\"_attachments\":{\"x\":{\"stub\":true}}}",
                                         first + 2),
                            &ed.doc, &x->e));
    assert_st(x, doc_edit_prepare(db, x->a, &ed, &op, &x->e), ST_MISSING_STUB);
    db_release(db);
}

/* A dropped database's blobs go, and so does what a crash left: whole, and half written. */
static void dropped(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db"), *keep = make_db(x, "keep");
    struct commit_op drop = {.kind = COMMIT_DB_DROP, .db = db};
    char rev[64] = "", other[64] = "";
    bool has = true;

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    put_att(x, keep, "a", "x", slice_of(pattern(x, BIG, 2), BIG), other);
    forget_pins(x);
    assert_ok(x, run1(x, &drop));
    for (int i = 0; i < 500 && objects(x) != 1; i++) {
        usleep(10000);
        collect(x);
    }
    assert_int_equal(objects(x), 1);
    db_release(db);
    assert_bytes(x, keep, "a", "", slice_of(pattern(x, BIG, 2), BIG));
    db_release(keep);
    reopen(x);
    assert_ok(x, blobs_has_rows(x->s->kv, SEG_BLOB | 1ull << 32 | 2, &has, &x->e));
    assert_true(has);
    assert_int_equal(objects(x), 1);
}

static void swept(void **state)
{
    struct fix *x = *state;
    struct blob_home home = *blobs_home(x->s->blobs);
    struct blob_writer *w;
    struct blob_ref ref;
    struct slice bytes = slice_of(pattern(x, BIG, 2), BIG);

    assert_ok(x, blob_create(&home, SEG_BLOB | home.epoch << 32 | 77, &w, &x->e));
    assert_ok(x, blob_add(w, bytes, &x->e));
    assert_ok(x, blob_finish(w, &ref, &x->e));
    blob_writer_free(w);
    assert_ok(x, blob_create(&home, SEG_BLOB | home.epoch << 32 | 78, &w, &x->e));
    assert_ok(x, blob_add(w, bytes, &x->e));
    assert_ok(x, blobs_sweep(x->s->blobs, always, NULL, &x->e));
    collect(x);
    assert_int_equal(objects(x), 2); /* of this life: not for the sweep */
    if (x->segs == NULL) {
        char from[160], to[200];

        snprintf(from, sizeof(from), "%s/0/blob/%016llx.tmp", x->dir,
                 (unsigned long long)(SEG_BLOB | home.epoch << 32 | 78));
        snprintf(to, sizeof(to), "%s.kept", from);
        assert_int_equal(link(from, to), 0);
        blob_writer_free(w);
        assert_int_equal(rename(to, from), 0);
    }
    reopen(x);
    assert_int_equal(objects(x), 2);
    assert_ok(x, blobs_sweep(x->s->blobs, always, NULL, &x->e));
    assert_int_equal(objects(x), 1);
    collect(x);
    assert_int_equal(objects(x), 0);
    if (x->segs != NULL)
        blob_writer_free(w);
}

/* While a backup copies, nothing is deleted. */
static void held(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "";

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    put_json(x, db, "a", "{}", rev);
    forget_pins(x);
    store_hold(x->s);
    collect(x);
    assert_int_equal(objects(x), 1);
    store_unhold(x->s);
    collect(x);
    assert_int_equal(objects(x), 0);
    db_release(db);
}

/* ---- failures ---- */

static void no_space(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct slice bytes = slice_of(pattern(x, BIG, 1), BIG);
    char rev[64] = "";

    for (unsigned nth = 1; nth <= 7; nth++) {
        struct att_writer *w;
        struct att att;
        enum status st = ST_OK;

        seg_mem_fail_append(x->segs, nth, nth % 2 != 0 ? SEG_MEM_NOSPC : SEG_MEM_IO, false);
        assert_ok(x, att_writer_open(db, UINT64_MAX, &w, &x->e));
        st = att_writer_add(w, bytes, &x->e);
        if (st == ST_OK)
            st = att_writer_finish(w, x->a, &att, &x->e);
        assert_st(x, st, nth == 7 ? ST_OK : nth % 2 != 0 ? ST_NO_SPACE : ST_IO);
        att_writer_free(w);
        assert_int_equal(objects(x), 0);
    }
    seg_mem_fail_append(x->segs, 0, SEG_MEM_NONE, false);
    put_att(x, db, "a", "x", bytes, rev);
    assert_bytes(x, db, "a", "", bytes);
    db_release(db);
}

static void damaged(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct slice bytes = slice_of(pattern(x, BIG, 1), BIG);
    uint64_t len = blob_file_bytes(BIG);
    const uint64_t at[] = {
        3, 20, 57, BLOB_HEADER_BYTES, BLOB_HEADER_BYTES + BIG - 1, len - 1, len - 30, len - 49};
    char rev[64] = "";
    struct att att;
    struct buf b;

    put_att(x, db, "a", "x", bytes, rev);
    assert_ok(x, find_att(x, db, "a", "", "x", &att));
    buf_init(&b, 64 << 20);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        seg_mem_damage_obj(x->segs, att.ptr.seg, at[i], 1);
        buf_clear(&b);
        assert_st(x, doc_att_data(db, &att, &b, &x->e), ST_CORRUPT);
        seg_mem_damage_obj(x->segs, att.ptr.seg, at[i], 1);
    }
    assert_bytes(x, db, "a", "", bytes);
    buf_free(&b);
    db_release(db);
}

/* ---- check ---- */

static void swallow(void *arg, const char *text)
{
    (void)text;
    ++*(unsigned *)arg;
}

static uint64_t findings(struct fix *x)
{
    uint64_t bad = 99;
    unsigned shown = 0;

    forget_pins(x);
    fix_close(x);
    assert_ok(x, store_check(x->dir, swallow, &shown, &bad, &x->e));
    open_small(x);
    return bad;
}

static void checked(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", path[160], away[200];
    struct kv_batch *b;
    struct att att;
    struct slice row;
    FILE *f;

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    assert_ok(x, find_att(x, db, "a", "", "x", &att));
    snprintf(path, sizeof(path), "%s/0/blob/%016llx.blb", x->dir, (unsigned long long)att.ptr.seg);
    snprintf(away, sizeof(away), "%s.away", path);
    row = key_blob(x->a, att.ptr.seg, db_num(db), SLICE_LIT("a"));
    b = kv_batch_new();
    db_release(db);
    kv_batch_delete(b, row);
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 1);
    kv_batch_clear(b);
    row = key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("a"));
    kv_batch_put(b, row, SLICE_LIT(""));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 0);
    kv_batch_clear(b);
    row = key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("b"));
    kv_batch_put(b, row, SLICE_LIT(""));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 1);
    kv_batch_clear(b);
    kv_batch_delete(b, key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("b")));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    kv_batch_free(b);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(findings(x), 1);
    assert_int_equal(rename(away, path), 0);
    f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 300000, SEEK_SET), 0);
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fclose(f), 0);
    assert_int_equal(findings(x), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(streams, small_files, fix_end),
        cmocka_unit_test_setup_teardown(streams, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(stays, small_files, fix_end),
        cmocka_unit_test_setup_teardown(stays, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(base64, small_files, fix_end),
        cmocka_unit_test_setup_teardown(base64, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(collected, small_files, fix_end),
        cmocka_unit_test_setup_teardown(collected, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(shared, small_files, fix_end),
        cmocka_unit_test_setup_teardown(shared, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(pinned, small_files, fix_end),
        cmocka_unit_test_setup_teardown(pinned, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(refused, small_files, fix_end),
        cmocka_unit_test_setup_teardown(refused, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(dropped, small_files, fix_end),
        cmocka_unit_test_setup_teardown(dropped, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(swept, small_files, fix_end),
        cmocka_unit_test_setup_teardown(swept, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(held, small_files, fix_end),
        cmocka_unit_test_setup_teardown(held, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(no_space, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(damaged, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(checked, small_files, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
