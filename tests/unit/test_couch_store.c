/* couch/{store,recover,apply,maint}.c: what was acknowledged is there after any stop; the index is
 * disposable and rebuilds to the same bytes; a database that was dropped stays away.
 */
#include "unit.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/digest.h"
#include "base/time.h"
#include "couch_fix.h"

static const struct rev none;

/* One batch that writes the same few documents again and again: branches, twigs, tombstones. */
static void random_batch(struct fix *x, struct db *db, uint64_t *rng)
{
    struct commit_op ops[30];
    char id[32];

    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        uint64_t r = unit_random(rng);
        uint32_t gen = 1 + (uint32_t)(r % 4);
        struct rev path[4];

        for (uint32_t k = 0; k < gen; k++)
            path[k] = rev_n(x, gen - k, k == 0 ? r >> 40 : (r >> 40) % 3);
        snprintf(id, sizeof(id), "often-%u", (unsigned)(r >> 8) % 3);
        ops[i] = op_path(x, db, id, path, gen);
        ops[i].deleted = (r >> 16) % 4 == 0;
    }
    assert_ok(x, commit_wait(x->s, ops, COUNT_OF(ops), &x->e));
    for (size_t i = 0; i < COUNT_OF(ops); i++)
        assert_int_equal(ops[i].st, ST_OK);
}

/* Some of everything, from a seed: documents, conflicts, tombstones, locals, several databases. */
static void random_history(struct fix *x, struct db *db, uint64_t seed, unsigned steps)
{
    uint64_t rng = seed;
    char id[32];

    for (unsigned i = 0; i < steps; i++) {
        uint64_t r = unit_random(&rng);
        struct commit_op op;
        struct docinfo d;

        snprintf(id, sizeof(id), "doc-%u", (unsigned)(r % 40));
        if (r >> 60 == 0) {
            op = (struct commit_op){.kind = COMMIT_LOCAL,
                                    .db = db,
                                    .docid = slice_str(id),
                                    .deleted = (r >> 59) & 1,
                                    .body = {.json = SLICE_LIT("{\"local\":true}")},
                                    .local_rev = {0, false, SLICE_LIT("7")}};
        } else if (read_info(x, db, id, &d) == ST_NOT_FOUND) {
            op = op_edit(x, db, id, none, rev_n(x, 1, r));
        } else if (r >> 61 == 1) { /* a branch at the root */
            op = op_path(x, db, id, (struct rev[]){rev_n(x, 1, r)}, 1);
        } else {
            const struct revnode *w = &d.tree.nodes[revtree_winner(&d.tree)];

            op = op_edit(x, db, id, w->rev, rev_n(x, w->rev.gen + 1, r));
            op.deleted = !w->deleted && r >> 62 == 3;
        }
        assert_ok(x, run1(x, &op));
        if (i % 20 == 19)
            random_batch(x, db, &rng);
    }
}

static void what_is_closed_opens_again(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char uuid[33];
    unsigned char db_id[16];
    struct slice rows;

    random_history(x, db, 1, 200);
    rows = dump_rows(x);
    memcpy(uuid, store_uuid(x->s), 33);
    memcpy(db_id, db_uuid(db), 16);
    db_release(db);
    for (int i = 0; i < 3; i++) {
        fix_close(x);
        fix_open(x);
        assert_true(slice_eq(rows, dump_rows(x)));
        assert_string_equal(uuid, store_uuid(x->s));
        db = open_db(x, "db");
        assert_memory_equal(db_id, db_uuid(db), 16);
        db_release(db);
    }
    assert_check_clean(x);
}

/* Deleting idx/ costs time, nothing else. */
static void the_index_rebuilds_to_the_same_bytes(void **state)
{
    struct fix *x = *state;
    struct db *one = make_db(x, "one"), *two = make_db(x, "two"), *gone = make_db(x, "gone");
    struct commit_op props = {.kind = COMMIT_DB_PROPS,
                              .db = two,
                              .revs_limit = 5,
                              .security = SLICE_LIT("{\"admins\":{}}")};
    struct slice rows;

    random_history(x, one, 11, 300);
    random_history(x, gone, 12, 50);
    assert_ok(x, run1(x, &props));
    random_history(x, two, 13, 300);
    assert_ok(x, drop_db(x, gone));
    db_release(gone);
    gone = make_db(x, "gone");
    random_history(x, gone, 14, 20);
    db_release(one);
    db_release(two);
    db_release(gone);
    wait_for_drops(x);
    rows = dump_rows(x);

    fix_close(x);
    fix_remove_index(x);
    fix_open(x);
    wait_for_drops(x);
    assert_true(slice_eq(rows, dump_rows(x)));
    assert_check_clean(x);
}

/* An index that cannot be used is moved aside, not believed and not deleted. */
static void a_foreign_index_is_moved_aside(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char path[128];
    struct slice rows;
    struct kv_batch *b;

    random_history(x, db, 3, 100);
    db_release(db);
    rows = dump_rows(x);
    b = kv_batch_new();
    kv_batch_put(b, slice_of("\0V", 2), SLICE_LIT("another store's uuid"));
    assert_ok(x, kv_write(store_kv(x->s), b, &x->e));
    kv_batch_free(b);
    fix_close(x);
    fix_open(x);
    assert_true(slice_eq(rows, dump_rows(x)));
    snprintf(path, sizeof(path), "%s/0/idx.bad.1", x->dir);
    assert_true(fs_exists(path));

    fix_close(x);
    snprintf(path, sizeof(path), "%s/0/idx/CURRENT", x->dir);
    assert_ok(x, fs_write_atomic(path, SLICE_LIT("nonsense"), &x->e));
    fix_open(x);
    assert_true(slice_eq(rows, dump_rows(x)));
    snprintf(path, sizeof(path), "%s/0/idx.bad.2", x->dir);
    assert_true(fs_exists(path));
}

/* LevelDB knows of a record that the log does not have: an older copy of the log was put back. */
static void a_log_rolled_back_is_refused(void **state)
{
    struct fix *x = *state;
    struct store_options o = {.dir = x->dir};
    struct db *db = make_db(x, "db");
    unsigned char lsn[8];
    struct kv_batch *b = kv_batch_new();

    assert_ok(x, put(x, db, "a", none, rev_n(x, 1, 1)));
    db_release(db);
    put_le64(lsn, log_last_lsn(store_log(x->s)) + 100);
    kv_batch_put(b, slice_of("\0A", 2), slice_of(lsn, 8));
    assert_ok(x, kv_write(store_kv(x->s), b, &x->e));
    kv_batch_free(b);
    fix_close(x);
    assert_st(x, store_open(&o, &x->s, &x->e), ST_CORRUPT);
    x->s = NULL;
    assert_non_null(strstr(x->e.reason, "rolled back"));
}

/* ---- SIGKILL ---- */

/* In a child: writes documents until it is killed, telling the pipe of each acknowledged one. */
static _Noreturn void child_writes(const char *dir, int fd)
{
    struct fix x = {.a = arena_new()};
    struct db *db = NULL;
    char id[16];

    snprintf(x.dir, sizeof(x.dir), "%s", dir);
    if (store_open(&(struct store_options){.dir = dir}, &x.s, &x.e) != ST_OK ||
        db_open(x.s, SLICE_LIT("db"), &db, &x.e) != ST_OK)
        _exit(1);
    for (uint32_t i = (uint32_t)db_update_seq(db);; i++) {
        struct commit_op op;

        snprintf(id, sizeof(id), "%u", i);
        op = op_edit(&x, db, id, none, rev_n(&x, 1, i));
        if (run1(&x, &op) != ST_OK || write(fd, &i, sizeof(i)) != sizeof(i))
            _exit(2);
        if (i % 31 == 0 && kv_barrier(store_kv(x.s), slice_of("\0K", 2), SLICE_LIT("12345678"),
                                      &x.e) != ST_OK) /* the index knows part of it */
            _exit(4);
        arena_reset(x.a);
    }
}

/* Kills the child after some writes; returns the number of the last acknowledged document. */
static uint32_t kill_a_writer(struct fix *x, unsigned after)
{
    int fds[2], status;
    uint32_t last = 0, i;
    unsigned n = 0;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) { /* a fresh process: LevelDB's thread does not survive a fork */
        char fd[16];

        snprintf(fd, sizeof(fd), "%d", fds[1]);
        execl("/proc/self/exe", "test_couch_store", "child", x->dir, fd, (char *)NULL);
        _exit(3);
    }
    close(fds[1]);
    while (read(fds[0], &i, sizeof(i)) == sizeof(i)) {
        last = i;
        if (++n == after)
            assert_int_equal(kill(pid, SIGKILL), 0);
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return last;
}

static void killed_writers_lose_nothing(void **state)
{
    struct fix *x = *state;
    struct docinfo d;
    uint32_t last = 0;
    uint64_t seq;
    char id[16];
    struct db *db;

    db_release(make_db(x, "db"));
    for (unsigned round = 0; round < 4; round++) {
        fix_close(x);
        for (unsigned k = 0; k < 3; k++) /* three lives, each opens what a dead one left */
            last = kill_a_writer(x, 1 + 37 * k + 11 * round);
        fix_open(x);
        db = open_db(x, "db");
        seq = db_update_seq(db);
        assert_true(seq == last + 1u || seq == last + 2u); /* one may be done and not told */
        for (uint32_t i = 0; i < seq; i++) {
            snprintf(id, sizeof(id), "%u", i);
            assert_ok(x, read_info(x, db, id, &d));
            assert_int_equal(d.seq, i + 1);
        }
        db_release(db);
        assert_check_clean(x);
    }
}

/* The memory store's crash: whole appends, then a torn one. */
static void torn_appends_vanish(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct seg_store *copy;
    struct slice rows;
    uint64_t seq;

    random_history(x, db, 21, 60);
    seq = db_update_seq(db);
    rows = dump_rows(x);
    copy = seg_mem_crash(x->segs, 100);
    db_release(db);
    fix_close(x);
    x->segs->ops->close(x->segs);
    x->segs = copy;
    fix_open(x);
    assert_true(slice_eq(rows, dump_rows(x)));
    db = open_db(x, "db");
    assert_int_equal(db_update_seq(db), seq);
    assert_ok(x, put(x, db, "new", none, rev_n(x, 1, 1)));
    assert_true(db_update_seq(db) == seq + 1);
    db_release(db);
}

/* ---- drops ---- */

static void a_new_database_never_sees_old_rows(void **state)
{
    struct fix *x = *state;
    struct docinfo d;
    uint32_t num = 0;

    for (unsigned i = 0; i < 5; i++) {
        struct db *db = make_db(x, "db");

        assert_true(db_num(db) > num);
        num = db_num(db);
        assert_int_equal(db_update_seq(db), 0);
        assert_st(x, read_info(x, db, "doc-1", &d), ST_NOT_FOUND);
        assert_int_equal(count_rows(x, db, KEY_SEQ), 0);
        random_history(x, db, i + 1, 60);
        assert_ok(x, drop_db(x, db));
        assert_true(db_dropped(db));
        assert_st(x, drop_db(x, db), ST_NOT_FOUND);
        assert_st(x, put(x, db, "late", none, rev_n(x, 1, 1)), ST_NOT_FOUND);
        db_release(db);
    }
    wait_for_drops(x);
    assert_check_clean(x);
}

/* After a stop in order nothing that counts is in LevelDB's own log, which was never synced. */
static void a_clean_stop_leaves_all_in_tables(void **state)
{
    struct fix *x = *state;
    struct kv_options opt = {.clean = false}; /* deletes that log */
    struct kv *kv = NULL;
    char path[128];
    struct slice v;
    struct db *db;
    uint64_t last;

    db = make_db(x, "db");
    random_history(x, db, 3, 60);
    db_release(db);
    last = log_last_lsn(store_log(x->s));
    fix_close(x);
    snprintf(path, sizeof(path), "%s/0/idx", x->dir);
    assert_ok(x, kv_open(path, &opt, &kv, &x->e));
    assert_ok(x, kv_get(kv, NULL, key_store(x->a, 'A'), x->a, &v, &x->e));
    assert_int_equal(get_le64(v.p), last);
    kv_close(kv);
    fix_open(x);
}

/* The number of a database that is gone is not given again in another life. */
static void numbers_are_never_used_again(void **state)
{
    struct fix *x = *state;
    uint32_t last = 0;

    for (unsigned life = 0; life < 4; life++) {
        struct db *db = make_db(x, "db");

        assert_true(db_num(db) > last);
        last = db_num(db);
        assert_ok(x, put(x, db, "a", none, rev_n(x, 1, 1)));
        assert_ok(x, drop_db(x, db));
        db_release(db);
        fix_close(x);
        fix_open(x);
    }
}

/* A stop in the middle of a drop: the marker is still there at the next start. */
static void drops_go_on_after_a_stop(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    uint32_t num = db_num(db);
    struct kv_batch *b = kv_batch_new();
    struct kv_iter *it;

    assert_ok(x, drop_db(x, db));
    db_release(db);
    wait_for_drops(x);
    /* As if the drop had only begun. */
    kv_batch_put(b, key_dropping(x->a, num), SLICE_LIT(""));
    for (uint64_t i = 1; i <= 40500; i++)
        kv_batch_put(b, key_seq(x->a, num, i), SLICE_LIT("row"));
    assert_ok(x, kv_write(store_kv(x->s), b, &x->e));
    kv_batch_free(b);
    fix_close(x);
    for (unsigned i = 0; i < 3; i++) { /* lives that end in the middle of it */
        fix_open(x);
        fix_close(x);
    }
    fix_open(x);
    wait_for_drops(x);
    it = kv_iter_new(store_kv(x->s), NULL);
    kv_iter_seek(it, slice_of("\x10", 1));
    assert_false(kv_iter_valid(it));
    kv_iter_free(it);
    assert_check_clean(x);
}

static void one_process_at_a_time(void **state)
{
    struct fix *x = *state;
    struct store_options o = {.dir = x->dir};
    struct store *second;
    uint64_t bad;

    assert_st(x, store_open(&o, &second, &x->e), ST_EXISTS);
    assert_st(x, store_check(x->dir, show_finding, NULL, &bad, &x->e), ST_EXISTS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_closed_opens_again, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(the_index_rebuilds_to_the_same_bytes, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_foreign_index_is_moved_aside, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_log_rolled_back_is_refused, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(killed_writers_lose_nothing, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(torn_appends_vanish, fix_memory, fix_end),
        cmocka_unit_test_setup_teardown(a_new_database_never_sees_old_rows, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(a_clean_stop_leaves_all_in_tables, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(numbers_are_never_used_again, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(drops_go_on_after_a_stop, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(one_process_at_a_time, fix_files, fix_end),
    };

    if (argc == 4 && strcmp(argv[1], "child") == 0)
        child_writes(argv[2], (int)strtol(argv[3], NULL, 10));
    return cmocka_run_group_tests_name("couch_store", tests, NULL, NULL);
}
