/* tests/unit/test_couch_stores.c: databases with a store of their own: made, found, dropped,
 * re-created, and what a crash in the middle leaves. */
#include "unit.h"

#include "couch_fix.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/thread.h"
#include "couch/doc_read.h"

static enum status create_own(struct fix *x, const char *name, struct db **out)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = slice_str(name)};
    enum status st = stores_create_own(x->all, &op, &x->e);

    if (st == ST_OK)
        *out = op.created;
    return st;
}

static struct db *make_own(struct fix *x, const char *name)
{
    struct db *db = NULL;

    assert_ok(x, create_own(x, name, &db));
    return db;
}

static enum status create_shared(struct fix *x, const char *name)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = slice_str(name)};

    assert_ok(x, commit_wait(x->s, &op, 1, &x->e));
    db_release(op.created);
    return op.st;
}

static void drop(struct fix *x, struct db *db)
{
    struct commit_op op = {.kind = COMMIT_DB_DROP, .db = db, .docid = db_name(db)};

    assert_ok(x, commit_wait(db_store(db), &op, 1, &x->e));
    assert_int_equal(op.st, ST_OK);
}

static void put_doc(struct fix *x, struct db *db, const char *id)
{
    struct commit_op op = op_edit(x, db, id, (struct rev){0}, rev_n(x, 1, 1));

    assert_ok(x, commit_wait(db_store(db), &op, 1, &x->e));
    assert_int_equal(op.st, ST_OK);
}

static enum status find(struct fix *x, const char *name, struct db **out)
{
    return stores_db(x->all, slice_str(name), out, &x->e);
}

static uint64_t docs(struct db *db)
{
    struct db_counts c;

    db_get_counts(db, &c);
    return c.docs;
}

static bool folder(struct fix *x, unsigned n, const char *suffix)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%u%s", x->dir, n, suffix);
    return fs_exists(path);
}

static void wait_gone(struct fix *x, unsigned n)
{
    for (int i = 0; folder(x, n, "") && i < 500; i++)
        usleep(10000);
    assert_false(folder(x, n, ""));
}

static void own_databases_are_found_and_survive(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "own-a"), *b = make_own(x, "own-b"), *c;
    struct slice *names;
    size_t n;

    db_release(make_db(x, "middle"));
    assert_int_equal(create_shared(x, "own-aa"), ST_OK);
    put_doc(x, a, "one");
    put_doc(x, b, "two");
    put_doc(x, b, "three");
    assert_true(db_is_own(a));
    assert_true(db_store(a) != db_store(b) && db_store(a) != x->s);
    assert_ok(x, stores_list(x->all, x->a, &names, &n, &x->e));
    assert_int_equal(n, 4);
    assert_true(slice_eq(names[0], SLICE_LIT("middle")));
    assert_true(slice_eq(names[1], SLICE_LIT("own-a")));
    assert_true(slice_eq(names[2], SLICE_LIT("own-aa")));
    db_release(a);
    db_release(b);
    fix_close(x);
    fix_open(x);
    assert_ok(x, find(x, "own-b", &c));
    assert_int_equal(docs(c), 2);
    assert_true(db_is_own(c));
    db_release(c);
    assert_ok(x, find(x, "own-aa", &c));
    assert_false(db_is_own(c));
    db_release(c);
}

static void a_name_is_in_one_store(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x"), *b = NULL;

    assert_int_equal(create_shared(x, "x"), ST_EXISTS);
    assert_int_equal(create_own(x, "x", &b), ST_EXISTS);
    assert_int_equal(create_shared(x, "y"), ST_OK);
    assert_int_equal(create_own(x, "y", &b), ST_EXISTS);
    assert_int_equal(create_own(x, "X", &b), ST_BAD_REQUEST);
    db_release(a);
    wait_gone(x, 2);
    fix_close(x);
    fix_open(x);
    assert_int_equal(create_shared(x, "x"), ST_EXISTS);
}

/* The name is free as soon as the drop is acknowledged, although somebody still uses the store. */
static void a_dropped_name_is_free_at_once(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x"), *b, *c;

    put_doc(x, a, "old");
    drop(x, a);
    assert_int_equal(find(x, "x", &b), ST_NOT_FOUND);
    b = make_own(x, "x");
    assert_int_equal(docs(b), 0);
    assert_true(folder(x, 1, ""));
    db_release(a);
    wait_gone(x, 1);
    drop(x, b);
    db_release(b);
    assert_int_equal(create_shared(x, "x"), ST_OK);
    assert_ok(x, find(x, "x", &c));
    assert_false(db_is_own(c));
    db_release(c);
    wait_gone(x, 2);
    fix_close(x);
    fix_open(x);
    assert_ok(x, find(x, "x", &c));
    assert_false(db_is_own(c));
    db_release(c);
}

/* A crash before a store's database exists, or after it was dropped, leaves a store without one. */
static void a_store_without_a_database_goes_at_the_next_start(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x");
    struct store_options o = {.dir = x->dir, .number = 7};
    struct store *s;
    char path[128];

    fix_close(x); /* a is only memory now */
    assert_ok(x, store_open(&o, &s, &x->e));
    store_close(s);
    snprintf(path, sizeof(path), "%s/9.gone/log", x->dir);
    assert_ok(x, fs_mkdirs(path, &x->e));
    snprintf(path, sizeof(path), "%s/8", x->dir);
    assert_ok(x, fs_mkdirs(path, &x->e));
    fix_open(x);
    assert_false(folder(x, 7, ""));
    assert_false(folder(x, 8, ""));
    assert_false(folder(x, 9, ".gone"));
    assert_true(folder(x, 1, ""));
    db_release(a);
    assert_ok(x, find(x, "x", &a));
    db_release(a);
}

static void the_index_of_an_own_store_is_disposable(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x");
    char path[128];

    put_doc(x, a, "one");
    db_release(a);
    fix_close(x);
    snprintf(path, sizeof(path), "%s/1/idx", x->dir);
    assert_ok(x, fs_remove_tree(path, &x->e));
    fix_open(x);
    assert_ok(x, find(x, "x", &a));
    assert_int_equal(docs(a), 1);
    db_release(a);
}

static void count_findings(void *arg, const char *text)
{
    print_message("%s\n", text);
    ++*(unsigned *)arg;
}

static void check_looks_at_every_store(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x");
    char path[128];
    unsigned told = 0;
    uint64_t bad = 0;
    struct stat info;

    for (int i = 0; i < 20; i++) {
        char id[16];

        snprintf(id, sizeof(id), "d%d", i);
        put_doc(x, a, id);
    }
    db_release(a);
    fix_close(x);
    assert_ok(x, store_check(x->dir, count_findings, &told, &bad, &x->e));
    assert_int_equal(bad, 0);
    snprintf(path, sizeof(path), "%s/1/log/%016x.seg", x->dir, 1);
    assert_int_equal(stat(path, &info), 0);
    {
        FILE *f = fopen(path, "r+");

        assert_non_null(f);
        assert_int_equal(fseek(f, info.st_size / 2, SEEK_SET), 0);
        fputs("damage", f);
        fclose(f);
    }
    assert_ok(x, store_check(x->dir, count_findings, &told, &bad, &x->e));
    assert_true(bad > 0);
    assert_int_equal(bad, told);
    snprintf(path, sizeof(path), "%s/1", x->dir);
    assert_ok(x, fs_remove_tree(path, &x->e));
    fix_open(x);
}

/* The same database in two stores: somebody copied a folder. */
static void a_name_in_two_stores_is_refused(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x");
    char from[128], to[128];
    unsigned told = 0;
    uint64_t bad = 0;

    db_release(a);
    fix_close(x);
    snprintf(from, sizeof(from), "%s/1", x->dir);
    snprintf(to, sizeof(to), "%s/aside", x->dir);
    assert_int_equal(rename(from, to), 0);
    fix_open(x);
    db_release(make_db(x, "x"));
    fix_close(x);
    assert_int_equal(rename(to, from), 0);
    {
        struct store_options o = {.dir = x->dir};

        assert_int_equal(stores_open(&o, &x->all, &x->e), ST_CORRUPT);
        x->all = NULL;
    }
    assert_ok(x, store_check(x->dir, count_findings, &told, &bad, &x->e));
    assert_int_equal(bad, 1);
    assert_ok(x, fs_remove_tree(from, &x->e));
    fix_open(x);
}

static void there_are_only_so_many(void **state)
{
    struct fix *x = *state;
    struct db *last = NULL;
    char name[16];

    for (int i = 0; i < LIMIT_OWN_STORES; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        db_release(last);
        last = make_own(x, name);
        put_doc(x, last, "one");
    }
    {
        struct db *more;

        assert_int_equal(create_own(x, "more", &more), ST_UNAVAILABLE);
        assert_int_equal(find(x, "more", &more), ST_NOT_FOUND);
    }
    drop(x, last);
    db_release(last);
    wait_gone(x, LIMIT_OWN_STORES);
    for (int i = 0; i < 500; i++) { /* the folder goes before the place is free */
        if (create_own(x, "more", &last) == ST_OK)
            break;
        usleep(10000);
    }
    db_release(last);
}

/* ---- both kinds of creation at once ---- */

enum { ROUNDS = 12 };
struct racer {
    struct fix *x;
    struct thread thread;
    bool own;
    atomic_int *turn;
    unsigned won[ROUNDS];
};

static void race(void *arg)
{
    struct racer *r = arg;
    struct err e;

    for (int i = 0; i < ROUNDS; i++) {
        char name[16];
        struct commit_op op = {.kind = COMMIT_DB_CREATE};

        snprintf(name, sizeof(name), "race%d", i);
        op.docid = slice_str(name);
        atomic_fetch_add(r->turn, 1);
        while (atomic_load(r->turn) < 2 * (i + 1))
            ;
        if (r->own && stores_create_own(r->x->all, &op, &e) == ST_OK) {
            r->won[i] = 1;
            db_release(op.created);
        } else if (!r->own && commit_wait(r->x->s, &op, 1, &e) == ST_OK && op.st == ST_OK) {
            r->won[i] = 1;
            db_release(op.created);
        }
    }
}

static void two_creations_of_a_name_make_one_database(void **state)
{
    struct fix *x = *state;
    atomic_int turn = 0;
    struct racer r[2] = {{.x = x, .own = true, .turn = &turn}, {.x = x, .turn = &turn}};

    for (int k = 0; k < 2; k++)
        thread_start(&r[k].thread, "race", race, &r[k]);
    for (int k = 0; k < 2; k++)
        thread_join(&r[k].thread);
    for (int i = 0; i < ROUNDS; i++)
        assert_true(r[0].won[i] + r[1].won[i] <= 1);
    fix_close(x);
    fix_open(x); /* refuses when a name is there twice */
}

static void stores_in_memory(void **state)
{
    struct fix *x = *state;
    struct db *a = make_own(x, "x");

    put_doc(x, a, "one");
    db_release(a);
    fix_close(x);
    fix_open(x);
    assert_ok(x, find(x, "x", &a));
    assert_int_equal(docs(a), 1);
    drop(x, a);
    db_release(a);
    wait_gone(x, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own_databases_are_found_and_survive, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_name_is_in_one_store, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_dropped_name_is_free_at_once, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_store_without_a_database_goes_at_the_next_start,
                                        fix_files, fix_end),
        cmocka_unit_test_setup_teardown(the_index_of_an_own_store_is_disposable, fix_files,
                                        fix_end),
        cmocka_unit_test_setup_teardown(check_looks_at_every_store, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_name_in_two_stores_is_refused, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(there_are_only_so_many, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(two_creations_of_a_name_make_one_database, fix_files,
                                        fix_end),
        cmocka_unit_test_setup_teardown(stores_in_memory, fix_memory, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
