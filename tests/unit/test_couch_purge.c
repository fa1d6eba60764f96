/* tests/unit/test_couch_purge.c: purges: what goes and what stays, the rows they leave, and that
 * neither a rebuild from the log nor any order of compaction, drop and re-creation brings back what
 * was purged.
 */
#include "unit.h"

#include "base/time.h"
#include "couch/changes.h"
#include "couch/doc_read.h"
#include "couch/purge.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

enum { SEGMENT = 16 << 10 };

static int small_files(void **state)
{
    *state = fix_new(false, SEGMENT);
    return 0;
}

/* How many of the revisions were taken away. */
static unsigned purge(struct fix *x, struct db *db, const char *id, const struct rev *revs,
                      uint32_t n)
{
    bool gone[16] = {0};
    struct commit_op op = {.kind = COMMIT_PURGE,
                           .db = db,
                           .docid = slice_str(id),
                           .path = revs,
                           .npath = n,
                           .purged = gone};
    unsigned k = 0;

    assert_true(n <= 16);
    assert_ok(x, run1(x, &op));
    for (uint32_t i = 0; i < n; i++)
        k += gone[i] ? 1 : 0;
    return k;
}

static unsigned purge1(struct fix *x, struct db *db, const char *id, struct rev r)
{
    return purge(x, db, id, &r, 1);
}

static void graft(struct fix *x, struct db *db, const char *id, const struct rev *revs, uint32_t n)
{
    struct commit_op op = op_path(x, db, id, revs, n);

    assert_ok(x, run1(x, &op));
}

static struct db_counts counts(struct db *db)
{
    struct db_counts c;

    db_get_counts(db, &c);
    return c;
}

static void set_limit(struct fix *x, struct db *db, uint32_t n)
{
    struct commit_op op = {
        .kind = COMMIT_DB_PROPS, .db = db, .docid = db_name(db), .purged_infos_limit = n};

    assert_ok(x, run1(x, &op));
    assert_int_equal(db_purged_infos_limit(db), n);
}

/* ---- trees ---- */

static void a_document_goes_with_its_last_leaf(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), none = {0};
    struct docinfo d;

    assert_ok(x, put(x, db, "a", none, r1));
    assert_ok(x, put(x, db, "a", r1, r2));
    assert_ok(x, put(x, db, "b", none, r1));
    assert_int_equal(purge1(x, db, "a", r1), 0); /* no leaf: stays, and is remembered */
    assert_counts(db, 2, 0, 4);
    assert_int_equal(purge1(x, db, "a", r2), 1);
    assert_counts(db, 1, 0, 5);
    assert_int_equal(read_info(x, db, "a", &d), ST_NOT_FOUND);
    assert_int_equal(count_rows(x, db, KEY_SEQ), 1);
    assert_int_equal(count_rows(x, db, KEY_PURGE), 2);
    assert_int_equal(purge1(x, db, "a", r2), 0); /* again */
    assert_int_equal(purge1(x, db, "never", r2), 0);
    assert_counts(db, 1, 0, 7);
    assert_int_equal(counts(db).purge_seq, 4);
    assert_ok(x, put(x, db, "a", none, r1)); /* a first revision once more */
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.docnum, 8);
    assert_counts(db, 2, 0, 8);
    db_release(db);
    assert_rebuilds(x);
    db = open_db(x, "db");
    assert_int_equal(counts(db).purge_seq, 4);
    assert_int_equal(counts(db).purge_first, 1);
    db_release(db);
}

static void a_branch_goes_up_to_the_fork(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev a[4] = {rev_n(x, 4, 1), rev_n(x, 3, 1), rev_n(x, 2, 1), rev_n(x, 1, 1)};
    struct rev b[3] = {rev_n(x, 3, 2), rev_n(x, 2, 1), rev_n(x, 1, 1)};
    struct rev two[2] = {a[0], a[0]};
    struct docinfo d;
    uint64_t ext;

    graft(x, db, "d", b, 3);
    ext = counts(db).external_bytes;
    graft(x, db, "d", a, 4);
    assert_int_equal(purge(x, db, "d", two, 2), 1); /* named twice, gone once */
    assert_ok(x, read_info(x, db, "d", &d));
    assert_true(revtree_valid(&d.tree));
    assert_int_equal(d.tree.n, 3);
    assert_int_equal(d.flags, 0);
    assert_true(rev_eq(&d.tree.nodes[revtree_winner(&d.tree)].rev, &b[0]));
    assert_int_equal(d.seq, 3);
    assert_int_equal(counts(db).external_bytes, ext);
    assert_true(
        slice_starts(read_json(x, &d, revtree_winner(&d.tree)), SLICE_LIT("{\"rev\":\"3-")));
    assert_counts(db, 1, 0, 3);
    graft(x, db, "d", a, 4); /* a peer brings it back */
    assert_ok(x, read_info(x, db, "d", &d));
    assert_int_equal(d.flags, DOCINFO_CONFLICTS);
    db_release(db);
    assert_rebuilds(x);
}

static void the_last_live_leaf_leaves_a_deleted_one(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev a[2] = {rev_n(x, 2, 1), rev_n(x, 1, 1)}, b[1] = {rev_n(x, 1, 2)};
    struct commit_op op = op_path(x, db, "d", a, 2);
    struct docinfo d;

    op.deleted = true;
    assert_ok(x, run1(x, &op));
    graft(x, db, "d", b, 1);
    assert_counts(db, 1, 0, 2);
    assert_int_equal(purge1(x, db, "d", b[0]), 1);
    assert_counts(db, 0, 1, 3);
    assert_ok(x, read_info(x, db, "d", &d));
    assert_int_equal(d.flags, DOCINFO_DELETED);
    assert_int_equal(purge1(x, db, "d", a[0]), 1);
    assert_counts(db, 0, 0, 4);
    db_release(db);
    assert_rebuilds(x);
}

static void leaves_by_the_model(void **state)
{
    struct arena *a = arena_new();
    uint64_t rnd = 11;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        struct revtree t, was;
        bool gone[64] = {0}, keep[64] = {0};
        uint32_t n = 0;

        revtree_init(&t, a);
        for (int i = 0; i < 12; i++) { /* paths of up to 5 over a few hashes */
            struct rev path[5];
            uint32_t len = 1 + (uint32_t)(unit_random(&rnd) % 5);
            int leaf;

            for (uint32_t k = 0; k < len; k++)
                path[k] = (struct rev){len - k, false,
                                       arena_printf(a, "%u", (unsigned)(unit_random(&rnd) % 3))};
            (void)revtree_merge(&t, path, len, false, &leaf);
        }
        assert_true(t.n <= 64);
        was = t;
        was.nodes = arena_array(a, t.n, sizeof(*t.nodes));
        memcpy(was.nodes, t.nodes, t.n * sizeof(*t.nodes));
        for (uint32_t i = 0; i < t.n; i++)
            gone[i] = t.nodes[i].leaf && unit_random(&rnd) % 2 != 0;
        for (uint32_t i = 0; i < was.n; i++) /* what a leaf that stays needs */
            for (int k = was.nodes[i].leaf && !gone[i] ? (int)i : -1; k >= 0;
                 k = was.nodes[k].parent)
                keep[k] = true;
        revtree_remove_leaves(&t, gone);
        assert_true(revtree_valid(&t));
        for (uint32_t i = 0; i < was.n; i++) {
            int at = revtree_find(&t, &was.nodes[i].rev);

            n += keep[i] ? 1 : 0;
            assert_int_equal(at >= 0, keep[i]);
            if (at >= 0)
                assert_int_equal(t.nodes[at].leaf, was.nodes[i].leaf);
        }
        assert_int_equal(t.n, n);
        arena_reset(a);
    }
    arena_free(a);
}

/* ---- one group ---- */

/* A worker prepares an edit, the document is purged, the edit is committed. */
static void what_was_read_before_the_purge(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), none = {0};
    struct commit_seen seen;

    assert_ok(x, put(x, db, "d", none, r1));
    seen = look_up(x, db, "d");
    assert_int_equal(purge1(x, db, "d", r1), 1);
    assert_st(x, put_seen(x, db, "d", seen, r1, rev_n(x, 2, 2)), ST_CONFLICT);
    assert_ok(x, put_seen(x, db, "d", look_up(x, db, "d"), none, r1));
    db_release(db);
    assert_rebuilds(x);
}

static void edits_and_purges_in_one_batch(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), none = {0};
    bool gone[4] = {0};
    struct commit_op ops[5] = {
        op_edit(x, db, "a", none, r1),
        {.kind = COMMIT_PURGE, .db = db, .docid = SLICE_LIT("a"), .path = &r1, .npath = 1},
        op_edit(x, db, "a", none, r1),
        op_edit(x, db, "a", r1, r2),
        {.kind = COMMIT_PURGE, .db = db, .docid = SLICE_LIT("a"), .path = &r2, .npath = 1},
    };
    struct docinfo d;

    ops[1].purged = &gone[0];
    ops[4].purged = &gone[1];
    assert_ok(x, commit_wait(x->s, ops, 5, &x->e));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ops[i].st, ST_OK);
        assert_int_equal(ops[i].seq, i + 1);
    }
    assert_true(gone[0] && gone[1]);
    assert_int_equal(read_info(x, db, "a", &d), ST_NOT_FOUND);
    assert_counts(db, 0, 0, 5);
    db_release(db);
    assert_rebuilds(x);
}

/* ---- infos ---- */

static void only_the_newest_infos_are_kept(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r = rev_n(x, 1, 1), none = {0};
    struct purge_walk *w;
    struct purge_info p;
    uint64_t n;
    bool got;

    for (int i = 0; i < 10; i++)
        (void)purge1(x, db, "a", r);
    assert_int_equal(count_rows(x, db, KEY_PURGE), 10);
    set_limit(x, db, 3);
    assert_int_equal(count_rows(x, db, KEY_PURGE), 10); /* until the next one */
    assert_ok(x, put(x, db, "b", none, r));
    assert_int_equal(purge1(x, db, "b", r), 1);
    assert_int_equal(count_rows(x, db, KEY_PURGE), 3);
    w = purge_walk_new(store_kv(x->s), db_num(db), 0);
    for (uint64_t i = 9; i <= 11; i++) {
        assert_ok(x, purge_walk_next(w, &n, &p, &got, &x->e));
        assert_true(got);
        assert_int_equal(n, i);
        assert_int_equal(p.seq, i == 11 ? 12 : i);
        assert_int_equal(p.nrevs, 1);
        assert_true(rev_eq(&p.revs[0], &r));
        assert_true(slice_eq(p.docid, slice_str(i == 11 ? "b" : "a")));
    }
    assert_ok(x, purge_walk_next(w, &n, &p, &got, &x->e));
    assert_false(got);
    purge_walk_free(w);
    db_release(db);
    assert_rebuilds(x);
    db = open_db(x, "db");
    assert_int_equal(db_purged_infos_limit(db), 3);
    assert_int_equal(counts(db).purge_seq, 11);
    assert_int_equal(counts(db).purge_first, 9);
    (void)purge1(x, db, "b", r);
    assert_int_equal(count_rows(x, db, KEY_PURGE), 3);
    db_release(db);
}

/* ---- compaction ---- */

/* All sealed segments; or, drawn, a few of them in any order. */
static void compact_some(struct fix *x, uint64_t *rnd)
{
    struct log_seg_info *v;
    size_t n = log_segments(store_log(x->s), &v);

    for (size_t k = 0; k + 1 < n; k++) {
        size_t i = rnd == NULL ? k : (size_t)(unit_random(rnd) % (n - 1));

        if (!v[i].sealed || (rnd != NULL && unit_random(rnd) % 4 != 0))
            continue;
        assert_ok(x, compact_segment(x->s, v[i].seg, &x->e));
        v[i].sealed = false;
    }
    mem_free(v);
}

/* The segment in use becomes a sealed one. */
static void roll(struct fix *x)
{
    fix_close(x);
    fix_open(x);
}

/* The purge and what it purged lie in different segments; whichever goes first, and whatever goes
 * again, the document stays gone. */
static void compaction_brings_nothing_back(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), none = {0};
    struct rev a[2] = {rev_n(x, 2, 1), rev_n(x, 1, 1)}, b[1] = {rev_n(x, 1, 2)};
    struct docinfo d;
    uint64_t seg;

    assert_ok(x, put(x, db, "gone", none, r1));
    assert_ok(x, put(x, db, "again", none, r1));
    graft(x, db, "part", a, 2);
    graft(x, db, "part", b, 1);
    assert_ok(x, put(x, db, "stays", none, r1));
    db_release(db);
    roll(x);
    db = open_db(x, "db");
    assert_int_equal(purge1(x, db, "gone", r1), 1);
    assert_int_equal(purge1(x, db, "again", r1), 1);
    assert_int_equal(purge1(x, db, "part", a[0]), 1);
    set_limit(x, db, 1);
    (void)purge1(x, db, "other", r1); /* the infos above are no longer kept */
    seg = log_tail_seg(store_log(x->s));
    db_release(db);
    roll(x);
    db = open_db(x, "db");
    assert_ok(x, put(x, db, "again", none, rev_n(x, 1, 3)));
    db_release(db);
    assert_ok(x,
              compact_segment(x->s, seg, &x->e)); /* the purges; the documents' segment is older */
    assert_rebuilds(x);
    for (int i = 0; i < 3; i++) {
        compact_some(x, NULL);
        assert_rebuilds(x);
        db = open_db(x, "db");
        assert_int_equal(read_info(x, db, "gone", &d), ST_NOT_FOUND);
        assert_ok(x, read_info(x, db, "again", &d));
        assert_true(rev_eq(&d.tree.nodes[0].rev, &(struct rev){1, true, rev_n(x, 1, 3).id}));
        assert_ok(x, read_info(x, db, "part", &d));
        assert_int_equal(d.tree.n, 1);
        (void)read_json(x, &d, 0);
        assert_ok(x, read_info(x, db, "stays", &d));
        assert_int_equal(counts(db).purge_seq, 4);
        assert_counts(db, 3, 0, 10);
        db_release(db);
    }
}

/* Out of the window, and nothing older is left: the record of the purge goes at last. */
static void purge_records_go_with_the_oldest_segment(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), none = {0};
    char id[16];

    set_limit(x, db, 1);
    for (int i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "d%d", i);
        assert_ok(x, put(x, db, id, none, r1));
        assert_int_equal(purge1(x, db, id, r1), 1);
    }
    db_release(db);
    for (int i = 0; i < 4; i++) {
        roll(x);
        compact_some(x, NULL);
    }
    assert_true(atomic_load(&x->s->log_bytes) < 8192);
    assert_rebuilds(x);
    db = open_db(x, "db");
    assert_counts(db, 0, 0, 400);
    assert_int_equal(counts(db).purge_seq, 200);
    db_release(db);
}

/* ---- everything, at random ---- */

enum { DOCS = 40, DBS = 2 };

struct rand_doc {
    uint32_t leaves[8]; /* numbers of revisions: 1-n, each a root */
    uint32_t n;
};

static void rand_step(struct fix *x, struct db **db, struct rand_doc doc[DBS][DOCS], uint64_t *rnd)
{
    uint32_t k = (uint32_t)(unit_random(rnd) % DBS), i = (uint32_t)(unit_random(rnd) % DOCS);
    struct rand_doc *d = &doc[k][i];
    char id[16], name[8];
    struct rev r;

    snprintf(id, sizeof(id), "d%u", (unsigned)i);
    snprintf(name, sizeof(name), "db%u", (unsigned)k);
    switch (unit_random(rnd) % 16) {
    case 0: /* a database lives for some rounds */
        if (unit_random(rnd) % 30 != 0)
            return;
        assert_ok(x, drop_db(x, db[k]));
        db_release(db[k]);
        db[k] = make_db(x, name);
        memset(doc[k], 0, sizeof(doc[k]));
        return;
    case 1:
        set_limit(x, db[k], 1 + (uint32_t)(unit_random(rnd) % 6));
        return;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        if (d->n == 0)
            return;
        r = rev_n(x, 1, d->leaves[d->n - 1]);
        assert_int_equal(purge1(x, db[k], id, r), 1);
        d->n--;
        return;
    default:
        if (d->n == 8)
            return;
        d->leaves[d->n] = 1 + (uint32_t)(unit_random(rnd) % 1000000);
        r = rev_n(x, 1, d->leaves[d->n]);
        graft(x, db[k], id, &r, 1);
        d->n++;
        return;
    }
}

static void rand_look(struct fix *x, struct db **db, struct rand_doc doc[DBS][DOCS])
{
    for (int k = 0; k < DBS; k++) {
        uint64_t there = 0;

        for (int i = 0; i < DOCS; i++) {
            struct docinfo d;
            char id[16];
            enum status st;

            snprintf(id, sizeof(id), "d%d", i);
            st = read_info(x, db[k], id, &d);
            assert_int_equal(st, doc[k][i].n == 0 ? ST_NOT_FOUND : ST_OK);
            there += doc[k][i].n != 0 ? 1 : 0;
            if (st != ST_OK)
                continue;
            assert_int_equal(d.tree.n, doc[k][i].n);
            for (uint32_t l = 0; l < doc[k][i].n; l++) {
                struct rev r = rev_n(x, 1, doc[k][i].leaves[l]);
                int at = revtree_find(&d.tree, &r);

                assert_true(at >= 0);
                (void)read_json(x, &d, at);
            }
        }
        assert_int_equal(counts(db[k]).docs, there);
    }
}

static void random_purges_moves_and_drops(void **state)
{
    struct fix *x = *state;
    struct rand_doc doc[DBS][DOCS] = {0};
    struct db *db[DBS] = {make_db(x, "db0"), make_db(x, "db1")};
    uint64_t rnd = 5;

    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 60; i++)
            rand_step(x, db, doc, &rnd);
        compact_some(x, &rnd);
        rand_look(x, db, doc);
        db_release(db[0]);
        db_release(db[1]);
        if (round % 3 == 0)
            assert_rebuilds(x);
        else
            roll(x);
        db[0] = open_db(x, "db0");
        db[1] = open_db(x, "db1");
        rand_look(x, db, doc);
        arena_reset(x->a);
    }
    db_release(db[0]);
    db_release(db[1]);
}

/* A purge must not pass what LevelDB remembers of all infos that were kept before. */
static void purges_stay_fast(void **state)
{
    enum { PARTS = 12, PART = 1500 };
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    uint64_t us[PARTS], start;

    atomic_store(&db->purged_infos_limit, 1);
    for (unsigned i = 0; i < PARTS; i++) {
        struct rev r = rev_n(x, 1, 1);
        bool gone[1];

        start = time_mono_us();
        for (unsigned k = 0; k < PART; k += 100) {
            struct commit_op ops[100],
                op = {.kind = COMMIT_PURGE, .db = db, .path = &r, .npath = 1};
            op.purged = gone;
            for (unsigned n = 0; n < 100; n++) {
                ops[n] = op;
                ops[n].docid = arena_printf(x->a, "%u", n);
            }
            assert_ok(x, commit_wait(x->s, ops, 100, &x->e));
            assert_int_equal(ops[99].st, ST_OK);
        }
        arena_reset(x->a);
        us[i] = time_mono_us() - start;
    }
    assert_true(us[PARTS - 1] < 10 * us[0] + 200000);
    db_release(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_document_goes_with_its_last_leaf, small_files, fix_end),
        cmocka_unit_test_setup_teardown(a_branch_goes_up_to_the_fork, small_files, fix_end),
        cmocka_unit_test_setup_teardown(the_last_live_leaf_leaves_a_deleted_one, small_files,
                                        fix_end),
        cmocka_unit_test(leaves_by_the_model),
        cmocka_unit_test_setup_teardown(what_was_read_before_the_purge, small_files, fix_end),
        cmocka_unit_test_setup_teardown(edits_and_purges_in_one_batch, small_files, fix_end),
        cmocka_unit_test_setup_teardown(only_the_newest_infos_are_kept, small_files, fix_end),
        cmocka_unit_test_setup_teardown(compaction_brings_nothing_back, small_files, fix_end),
        cmocka_unit_test_setup_teardown(purge_records_go_with_the_oldest_segment, small_files,
                                        fix_end),
        cmocka_unit_test_setup_teardown(random_purges_moves_and_drops, small_files, fix_end),
        cmocka_unit_test_setup_teardown(purges_stay_fast, small_files, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
