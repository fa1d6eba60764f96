/* tests/unit/test_couch_blobs.c: large attachments: written and read as streams, shared by
 * revisions and documents, collected when no leaf needs them and not before; in files and memory.
 */
#include <fcntl.h>
#include <sys/file.h>

#include "blob_fix.h"

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

/* A replicated conflict with revision first as its parent, and a stub of what that has attached. */
static void parse_conflict(struct fix *x, const char *first, const struct json **doc)
{
    assert_ok(x, json_parse(x->a,
                            arena_printf(x->a,
                                         "{\"_rev\":\"2-00000000000000000000000000000000\","
                                         "\"_revisions\":{\"start\":2,\"ids\":["
                                         "\"00000000000000000000000000000000\",\"%s\"]},"
                                         "\"_attachments\":{\"x\":{\"stub\":true}}}",
                                         first + 2),
                            doc, &x->e));
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
    parse_conflict(x, first, &ed.doc);
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
    parse_conflict(x, first, &ed.doc);
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

/* As a backup does it. */
static int hold(struct fix *x)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/COPYING", x->dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    return fd;
}

/* While a backup copies, nothing is deleted. */
static void held(void **state)
{
    struct fix *x = *state;
    int fd;
    struct db *db = make_db(x, "db");
    char rev[64] = "";

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    put_json(x, db, "a", "{}", rev);
    forget_pins(x);
    fd = hold(x);
    collect(x);
    assert_int_equal(objects(x), 1);
    close(fd);
    collect(x);
    assert_int_equal(objects(x), 0);
    db_release(db);
}

/* ---- threads ---- */

enum { WRITERS = 3, ROUNDS = 40, SOME = 70000 };

struct racer {
    struct thread t;
    struct fix *x;
    struct db *db;
    unsigned n;
    atomic_bool *stop;
    unsigned written, shared, read;
};

static enum status race_edit(struct racer *r, struct arena *a, const char *id,
                             const struct att *att, struct err *e)
{
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true, .att = att};
    struct docinfo info;
    struct commit_op op;
    int node;

    if (doc_find(r->db, ed.id, SLICE_LIT(""), a, &info, &node, e) == ST_OK)
        ed.rev = rev_text(a, &info.tree.nodes[node].rev);
    TRY(doc_edit_prepare(r->db, a, &ed, &op, e));
    TRY(commit_wait(r->x->s, &op, 1, e));
    if (op.st != ST_OK)
        *e = op.err;
    return op.st;
}

/* Whether it was refused for what may happen to anyone beside others. */
static bool is_race(enum status st)
{
    return st == ST_CONFLICT || st == ST_MISSING_STUB || st == ST_NOT_FOUND;
}

static void race_read(struct racer *r, struct arena *a, const struct att *att)
{
    unsigned char sum[16];
    struct buf b;
    struct err e;
    enum status st;

    (void)a;
    buf_init(&b, 64 << 20);
    st = doc_att_data(r->db, att, &b, &e);
    md5(b.p, b.n, sum);
    ASSERT(st == ST_NOT_FOUND || (st == ST_OK && memcmp(sum, att->md5, sizeof(sum)) == 0));
    r->read += st == ST_OK;
    buf_free(&b);
}

/* Writes its own document, shares the others' attachments, reads. */
static void race_main(void *arg)
{
    static const char *const ids[] = {"d0", "d1", "d2", "shared"};
    struct racer *r = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct arena *a = arena_new();
        struct att att = {.name = SLICE_LIT("x"), .type = SLICE_LIT("a/b")};
        struct att_writer *w = NULL;
        char *bytes = arena_alloc(a, SOME);
        struct err e = {0};
        struct rev at;
        enum status st;

        memset(bytes, (int)(i + r->n * ROUNDS), SOME);
        st = att_writer_open(r->db, SOME, &w, &e);
        ASSERT(st == ST_OK && att_writer_add(w, slice_of(bytes, SOME), &e) == ST_OK);
        ASSERT(att_writer_finish(w, a, &att, &e) == ST_OK);
        st = race_edit(r, a, ids[r->n], &att, &e);
        ASSERT(st == ST_OK); /* nobody else writes this one */
        r->written++;
        att_writer_free(w);
        st = doc_att(r->db, slice_str(ids[(r->n + i) % WRITERS]), SLICE_LIT(""), SLICE_LIT("x"), a,
                     &att, &at, &e);
        if (st == ST_OK) {
            st = race_edit(r, a, ids[WRITERS], &att, &e);
            ASSERT(st == ST_OK || is_race(st));
            r->shared += st == ST_OK;
            race_read(r, a, &att);
        }
        arena_free(a);
    }
}

static void collect_main(void *arg)
{
    struct racer *r = arg;
    struct err e;

    while (!atomic_load(r->stop))
        ASSERT(store_collect_blobs(r->x->s, &e) == ST_OK);
}

/* Writers, sharers and readers beside a collection that never rests: no leaf loses its bytes. */
static void races(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct racer r[WRITERS + 1];
    atomic_bool stop = false;
    struct att att;
    struct buf b;

    for (unsigned i = 0; i <= WRITERS; i++) {
        r[i] = (struct racer){.x = x, .db = db, .n = i, .stop = &stop};
        thread_start(&r[i].t, "racer", i < WRITERS ? race_main : collect_main, &r[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        thread_join(&r[i].t);
    atomic_store(&stop, true);
    thread_join(&r[WRITERS].t);
    collect(x);
    assert_true(r[0].shared + r[1].shared + r[2].shared > 0);
    assert_true(r[0].read + r[1].read + r[2].read > 0);
    assert_in_range(objects(x), WRITERS, WRITERS + 1);
    buf_init(&b, 64 << 20);
    assert_ok(x, find_att(x, db, "d0", "", "x", &att));
    assert_ok(x, doc_att_data(db, &att, &b, &x->e));
    assert_ok(x, find_att(x, db, "shared", "", "x", &att));
    assert_ok(x, doc_att_data(db, &att, &b, &x->e));
    buf_free(&b);
    db_release(db);
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
        cmocka_unit_test_setup_teardown(races, small_files, fix_end),
        cmocka_unit_test_setup_teardown(races, small_memory, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
