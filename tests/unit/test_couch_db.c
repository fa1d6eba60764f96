/* couch/db.c: names, the catalogue, handles, sequence tokens, waiters. */
#include "unit.h"

#include <stdatomic.h>

#include "base/thread.h"
#include "couch_fix.h"

static const struct rev none;

static void names(void **state)
{
    static const char *const good[] = {
        "a", "abc", "a0_$()+/-", "_users", "_replicator", "_global_changes", "a/b/c"};
    static const char *const bad[] = {"",    "A",  "0a",        "_a", "_user", "a.b",
                                      "a b", "a%", "a\xc3\xa4", "aB", "-a"};
    char text[LIMIT_DBNAME_BYTES + 2];
    struct err e = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        assert_int_equal(db_name_check(slice_str(good[i]), &e), ST_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        e.word = NULL;
        assert_int_equal(db_name_check(slice_str(bad[i]), &e), ST_BAD_REQUEST);
        assert_string_equal(e.word, "illegal_database_name");
    }
    assert_int_equal(db_name_check(slice_of("a\0b", 3), &e), ST_BAD_REQUEST);
    memset(text, 'a', sizeof(text));
    assert_int_equal(db_name_check(slice_of(text, LIMIT_DBNAME_BYTES), &e), ST_OK);
    assert_int_equal(db_name_check(slice_of(text, LIMIT_DBNAME_BYTES + 1), &e), ST_BAD_REQUEST);
    assert_string_equal(e.word, "database_name_too_long");
}

static void catalogue(void **state)
{
    struct db_disk disk;
    struct fix *x = *state;
    static const char *const in[] = {"b", "a/z", "_users", "aa", "a"};
    static const char *const out[] = {"_users", "a", "a/z", "aa", "b"};
    struct commit_op again = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("aa")};
    struct slice *got;
    struct db *db;
    size_t n;

    for (size_t i = 0; i < COUNT_OF(in); i++)
        db_release(make_db(x, in[i]));
    assert_ok(x, db_list(x->s, x->a, &got, &n, &x->e));
    assert_int_equal(n, COUNT_OF(out));
    for (size_t i = 0; i < n; i++)
        assert_true(slice_eq(got[i], slice_str(out[i])));
    assert_st(x, run1(x, &again), ST_EXISTS);
    assert_string_equal(x->e.reason, "The database could not be created, the file already exists.");
    again.docid = SLICE_LIT("Nope");
    assert_st(x, run1(x, &again), ST_BAD_REQUEST);
    assert_st(x, db_open(x->s, SLICE_LIT("c"), &db, &x->e), ST_NOT_FOUND);
    assert_string_equal(x->e.reason, "Database does not exist.");

    db = open_db(x, "aa");
    assert_true(slice_eq(db_name(db), SLICE_LIT("aa")));
    assert_ptr_equal(db_store(db), x->s);
    assert_true(slice_eq(db_security(db, x->a),
                         SLICE_LIT("{\"admins\":{\"names\":[],\"roles\":[\"_admin\"]},"
                                   "\"members\":{\"names\":[],\"roles\":[\"_admin\"]}}")));
    assert_true(db_created_us(db) > 1600000000000000u);
    db_get_disk(db, &disk);
    assert_int_equal(disk.file + disk.external + disk.active, 0);
    assert_ok(x, drop_db(x, db));
    assert_true(slice_eq(db_name(db), SLICE_LIT("aa"))); /* a handle outlives its database */
    db_release(db);
    assert_ok(x, db_list(x->s, x->a, &got, &n, &x->e));
    assert_int_equal(n, COUNT_OF(out) - 1);
}

static uint64_t parsed(struct fix *x, struct db *db, struct slice text)
{
    uint64_t seq = 12345;

    assert_ok(x, seq_parse(db, text, &seq, &x->e));
    return seq;
}

static void sequence_tokens(void **state)
{
    struct fix *x = *state;
    static const char *const bad[] = {"",
                                      "-",
                                      "x",
                                      "1x",
                                      "-1",
                                      "1.5",
                                      "[1,2]",
                                      "\"",
                                      "\"\"",
                                      "nowx",
                                      "99999999999999999999",
                                      "99999999999999999999-abcdef01",
                                      " 1"};
    struct db *db = make_db(x, "db");
    struct slice t;
    struct buf b;
    uint64_t seq;
    char id[8];

    for (unsigned i = 0; i < 12; i++) {
        snprintf(id, sizeof(id), "%u", i);
        assert_ok(x, put(x, db, id, none, rev_n(x, 1, 1)));
    }
    buf_init(&b, 100);
    seq_write(&b, db, 7);
    t = buf_slice(&b);
    assert_int_equal(t.n, 2 + 8);
    assert_int_equal(parsed(x, db, t), 7);
    assert_int_equal(parsed(x, db, arena_printf(x->a, "\"%.*s\"", (int)t.n, t.p)), 7);
    assert_int_equal(parsed(x, db, SLICE_LIT("now")), 12);
    assert_int_equal(parsed(x, db, SLICE_LIT("\"now\"")), 12);
    assert_int_equal(parsed(x, db, SLICE_LIT("0")), 0);
    assert_int_equal(parsed(x, db, SLICE_LIT("5")), 5);
    assert_int_equal(parsed(x, db, SLICE_LIT("500")), 500);
    assert_int_equal(parsed(x, db, SLICE_LIT("7-")), 0);
    assert_int_equal(parsed(x, db, SLICE_LIT("7-g1AAAACTeJzLYWBgYMpgTmHgz8tPSTV0MDQy")), 0);
    buf_clear(&b);
    seq_write(&b, db, 13); /* from a future that was lost */
    assert_int_equal(parsed(x, db, buf_slice(&b)), 0);
    buf_clear(&b);
    seq_write(&b, db, 7);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_st(x, seq_parse(db, slice_str(bad[i]), &seq, &x->e), ST_BAD_REQUEST);

    assert_ok(x, drop_db(x, db));
    db_release(db);
    db = make_db(x, "db"); /* another incarnation */
    assert_int_equal(parsed(x, db, buf_slice(&b)), 0);
    buf_free(&b);
    db_release(db);
}

/* ---- waiters ---- */

struct flag {
    struct db_waiter w;
    atomic_uint woken;
};

static void wake(struct db_waiter *w)
{
    atomic_fetch_add(&((struct flag *)w)->woken, 1); /* w is its first member */
}

static void waiters(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db"), *other = make_db(x, "other");
    struct flag f[5];

    for (unsigned i = 0; i < 5; i++)
        f[i] = (struct flag){.w = {.wake = wake, .since = 1}};
    f[1].w.since = 0;
    f[4].w.since = 2;
    assert_ok(x, put(x, db, "a", none, rev_n(x, 1, 1)));
    assert_true(db_wait(db, &f[0].w));
    assert_false(db_wait(db, &f[1].w)); /* 1 > 0: already there */
    assert_true(db_wait(db, &f[2].w));
    assert_true(db_wait(db, &f[3].w));
    assert_true(db_wait(db, &f[4].w));
    assert_true(db_wait_cancel(db, &f[2].w));
    assert_false(db_wait_cancel(db, &f[2].w));
    assert_ok(x, put(x, other, "a", none, rev_n(x, 1, 1))); /* does not concern them */
    assert_int_equal(atomic_load(&f[0].woken), 0);

    assert_ok(x, put(x, db, "b", none, rev_n(x, 1, 1)));
    assert_int_equal(atomic_load(&f[0].woken), 1);
    assert_int_equal(atomic_load(&f[1].woken), 0);
    assert_int_equal(atomic_load(&f[2].woken), 0);
    assert_int_equal(atomic_load(&f[3].woken), 1);
    assert_int_equal(atomic_load(&f[4].woken), 0); /* waits for 3 */
    assert_false(db_wait_cancel(db, &f[0].w));

    assert_ok(x, drop_db(x, db));
    assert_int_equal(atomic_load(&f[4].woken), 1);
    assert_false(db_wait(db, &f[0].w)); /* nothing will ever come */
    db_release(db);
    db_release(other);
}

/* Waiting and cancelling while the committer wakes: each waiter is woken or cancelled, not both. */
struct churn {
    struct thread t;
    struct db *db;
    unsigned woken, cancelled, wrong;
};

static void churn_main(void *arg)
{
    struct churn *c = arg;

    for (unsigned i = 0; i < 2000; i++) {
        struct flag f = {.w = {.wake = wake, .since = db_update_seq(c->db)}};

        if (!db_wait(c->db, &f.w))
            continue;
        if (db_wait_cancel(c->db, &f.w)) {
            c->cancelled++;
            c->wrong += atomic_load(&f.woken);
            continue;
        }
        while (atomic_load(&f.woken) == 0)
            ;
        c->woken++;
    }
}

static void cancelling_races_waking(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct churn c[2] = {{.db = db}, {.db = db}};
    char id[16];

    for (unsigned i = 0; i < 2; i++)
        thread_start(&c[i].t, "churn", churn_main, &c[i]);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "%u", i);
        assert_ok(x, put(x, db, id, none, rev_n(x, 1, 1)));
    }
    for (unsigned i = 0; i < 2; i++) {
        thread_join(&c[i].t);
        assert_int_equal(c[i].wrong, 0);
    }
    db_release(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test_setup_teardown(catalogue, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(sequence_tokens, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(waiters, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(cancelling_races_waking, fix_memory, fix_end),
    };
    return cmocka_run_group_tests_name("couch_db", tests, NULL, NULL);
}
