/* couch/check.c: a sound directory has no findings; each planted fault has at least one. */
#include "unit.h"

#include "couch_fix.h"

static const struct rev none;

static void fill(struct fix *x)
{
    struct db *db = make_db(x, "db");
    struct rev other[] = {rev_n(x, 1, 9)};
    struct commit_op op;

    assert_ok(x, put(x, db, "a", none, rev_n(x, 1, 1)));
    assert_ok(x, put(x, db, "b", none, rev_n(x, 1, 1)));
    assert_ok(x, put(x, db, "b", rev_n(x, 1, 1), rev_n(x, 2, 2)));
    assert_ok(x, put(x, db, "c", none, rev_n(x, 1, 1)));
    assert_ok(x, del(x, db, "c", rev_n(x, 1, 1), rev_n(x, 2, 2)));
    op = op_path(x, db, "a", other, 1);
    assert_ok(x, run1(x, &op));
    db_release(db);
}

/* Closes, checks, opens again: the number of findings. */
static uint64_t findings(struct fix *x)
{
    uint64_t bad = 99;
    unsigned shown = 0;

    fix_close(x);
    assert_ok(x, store_check(x->dir, swallow_finding, &shown, &bad, &x->e));
    assert_int_equal(bad, shown);
    fix_open(x);
    return bad;
}

static void sound(void **state)
{
    struct fix *x = *state;

    assert_int_equal(findings(x), 0);
    fill(x);
    assert_int_equal(findings(x), 0);
}

static void poke(struct fix *x, struct slice key, const struct slice *value)
{
    struct kv_batch *b = kv_batch_new();

    if (value != NULL)
        kv_batch_put(b, key, *value);
    else
        kv_batch_delete(b, key);
    assert_ok(x, kv_write(store_kv(x->s), b, &x->e));
    kv_batch_free(b);
}

/* Replaces or deletes a row, looks for findings, puts it back. */
static void assert_found(struct fix *x, struct slice key, const struct slice *value)
{
    struct slice old;
    enum status st = kv_get(store_kv(x->s), NULL, key, x->a, &old, &x->e);

    poke(x, key, value);
    assert_true(findings(x) > 0);
    poke(x, key, st == ST_OK ? &old : NULL);
    assert_int_equal(findings(x), 0);
}

static struct slice row(struct fix *x, struct slice key)
{
    struct slice v;

    assert_ok(x, kv_get(store_kv(x->s), NULL, key, x->a, &v, &x->e));
    return v;
}

static void planted_rows(void **state)
{
    struct fix *x = *state;
    struct slice info_a, info_b, seq_a, seq_b, meta;
    uint32_t n;
    struct db *db;

    fill(x);
    db = open_db(x, "db");
    n = db_num(db);
    db_release(db);
    info_a = key_db(x->a, n, KEY_INFO, SLICE_LIT("a"));
    info_b = key_db(x->a, n, KEY_INFO, SLICE_LIT("b"));
    seq_a = key_seq(x->a, n, 6);
    seq_b = key_seq(x->a, n, 3);
    meta = key_db(x->a, n, KEY_META, SLICE_LIT(""));

    assert_found(x, seq_b, NULL); /* a changes row is missing */
    assert_found(x, key_seq(x->a, n, 1), &(struct slice){row(x, seq_a).p, row(x, seq_a).n});
    assert_found(x, seq_b, &(struct slice){row(x, seq_a).p, row(x, seq_a).n});
    assert_found(x, seq_b, &SLICE_LIT("?"));
    assert_found(x, info_a, NULL);
    assert_found(x, info_a, &SLICE_LIT("?"));
    assert_found(x, info_a, &(struct slice){row(x, info_b).p, row(x, info_b).n});
    for (size_t i = 0; i < 3; i++) { /* one document, deleted one or byte too many */
        struct slice one = arena_dup(x->a, row(x, meta));

        ((char *)(uintptr_t)one.p)[i]++;
        assert_found(x, meta, &one);
    }
    assert_found(x, key_db(x->a, n, KEY_LOCAL, SLICE_LIT("l")), &SLICE_LIT("\1\7"));
    assert_found(x, key_db(x->a, n + 5, KEY_INFO, SLICE_LIT("a")), &SLICE_LIT("orphan"));
    assert_found(x, slice_of("\x77", 1), &SLICE_LIT("alien"));
}

/* A byte of the log flips: in a body, the index does not notice, the checksums do. */
static void damaged_log(void **state)
{
    struct fix *x = *state;
    char path[128];
    struct docinfo d;
    struct buf b;
    struct db *db;
    uint64_t bad = 0;

    fill(x);
    db = open_db(x, "db");
    assert_ok(x, read_info(x, db, "b", &d));
    db_release(db);
    fix_close(x);
    snprintf(path, sizeof(path), "%s/0/log/%016llx.seg", x->dir,
             (unsigned long long)d.winner_ptr.seg);
    buf_init(&b, (size_t)1 << 27);
    assert_ok(x, fs_read_file(path, &b, &x->e));
    b.p[d.winner_ptr.off + 3] ^= 1;
    assert_ok(x, fs_write_atomic(path, buf_slice(&b), &x->e));
    buf_free(&b);
    assert_ok(x, store_check(x->dir, swallow_finding, NULL, &bad, &x->e));
    assert_true(bad > 0);
}

static void nothing_there(void **state)
{
    struct fix *x = *state;
    uint64_t bad;

    assert_st(x, store_check("/tmp/divan-there-is-no-such-folder", show_finding, NULL, &bad, &x->e),
              ST_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(planted_rows, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(damaged_log, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(nothing_there, fix_files, fix_end),
    };
    return cmocka_run_group_tests_name("couch_check", tests, NULL, NULL);
}
