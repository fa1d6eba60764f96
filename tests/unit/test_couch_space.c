/* tests/unit/test_couch_space.c: what a store keeps for later stays bounded however long it runs:
 * the log beside what is live (couch/compact.c), and what a start replays (couch/maint.c).
 */
#include "unit.h"

#include <sys/wait.h>

#include "base/time.h"
#include "couch/account.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

enum { LIVE_DOCS = 2000, LIVE_BODY = 8192, UPDATERS = 3, SOME_SECONDS = 5 };

struct updater {
    struct thread t;
    struct fix *x;
    struct db *db;
    unsigned n;
    uint64_t end_us;
};

static void update_one(struct updater *u, const char *body, unsigned doc, uint32_t gen)
{
    char id[16], now[16] = {0}, before[16] = {0};
    struct rev path[2] = {{gen, true, slice_of(now, 16)}, {gen - 1, true, slice_of(before, 16)}};
    struct commit_op op = {.kind = COMMIT_DOC, .db = u->db, .new_edits = true, .path = path};
    struct err e;

    put_be64(now, gen);
    put_be64(before, gen - 1);
    op.docid = slice_of(id, (size_t)snprintf(id, sizeof(id), "%u-%u", u->n, doc));
    op.npath = gen > 1 ? 2 : 1;
    op.body.json = slice_of(body, LIVE_BODY);
    assert_int_equal(commit_wait(u->x->s, &op, 1, &e), ST_OK);
    assert_int_equal(op.st, ST_OK);
}

static void updater_main(void *arg)
{
    enum { DOCS = LIVE_DOCS / UPDATERS };
    struct updater *u = arg;
    uint64_t rnd = u->n + 1;
    uint32_t gen[DOCS] = {0};
    char *body = mem_zalloc(LIVE_BODY);

    for (unsigned i = 0; i < DOCS; i++)
        update_one(u, body, i, ++gen[i]);
    while (time_mono_us() < u->end_us) {
        unsigned i = (unsigned)(unit_random(&rnd) % DOCS);

        update_one(u, body, i, ++gen[i]);
    }
    mem_free(body);
}

/* As fast as they can: once compaction runs the log stays below 2.2 times what is live. It looks
 * five times a second: what a machine that has no time for it lets writers do in between may be
 * more for a moment, and is caught up with at once. */
static void updates_do_not_outrun_compaction(void **state)
{
    struct fix *x = *state;
    struct store_options o = {.dir = x->dir, .segment_bytes = 1 << 20};
    struct updater u[UPDATERS];
    uint64_t start = time_mono_us(), end = start + (uint64_t)SOME_SECONDS * 1000000;
    double most = 0, now = 0;
    uint64_t below, longest = 0;
    struct db *db;

    assert_ok(x, store_open(&o, &x->s, &x->e));
    db = make_db(x, "db");
    for (unsigned i = 0; i < UPDATERS; i++) {
        u[i] = (struct updater){.x = x, .db = db, .n = i, .end_us = end};
        thread_start(&u[i].t, "updater", updater_main, &u[i]);
    }
    below = start + 3000000;
    while (time_mono_us() < end) {
        usleep(5000);
        now = (double)log_bytes(store_log(x->s)) / (double)(accounts_all(x->s->accounts) + 1);
        if (time_mono_us() > start + 3000000 && now > most)
            most = now;
        if (now < 2.2 && time_mono_us() > below)
            below = time_mono_us();
        if (time_mono_us() > below && time_mono_us() - below > longest)
            longest = time_mono_us() - below;
    }
    for (unsigned i = 0; i < UPDATERS; i++)
        thread_join(&u[i].t);
    print_message("%.2f times at most, %.2f at the end, %llu ms too long; %llu updates\n", most,
                  now, (unsigned long long)longest / 1000, (unsigned long long)db_update_seq(db));
    assert_true(db_update_seq(db) > 2 * LIVE_DOCS);
    assert_true(longest < 500000 && most < 3);
    db_release(db);
    assert_check_clean(x);
}

/* ---- barriers ---- */

/* Rows of a dropped database go in chunks; who waits for a barrier waits for one of them. */
static void a_drop_lets_barriers_pass(void **state)
{
    enum { DROP_DOCS = 30000, DROP_BATCH = 500 };
    struct fix *x = *state;
    struct db *db, *side;
    unsigned between = 0;

    fix_open(x);
    db = make_db(x, "db");
    side = make_db(x, "side");
    for (unsigned done = 0; done < DROP_DOCS; done += DROP_BATCH) {
        struct commit_op *ops = arena_array(x->a, DROP_BATCH, sizeof(*ops));

        for (unsigned i = 0; i < DROP_BATCH; i++)
            ops[i] = op_edit(x, db, arena_printf(x->a, "%08u%c", done + i, 0).p, (struct rev){0},
                             rev_n(x, 1, 1));
        assert_ok(x, commit_wait(x->s, ops, DROP_BATCH, &x->e));
        arena_reset(x->a);
    }
    assert_ok(x, drop_db(x, db));
    db_release(db);
    for (unsigned i = 0; count_marks(x) != 0; i++) {
        assert_ok(
            x, put(x, side, arena_printf(x->a, "%u%c", i, 0).p, (struct rev){0}, rev_n(x, 1, 1)));
        assert_true(maint_barrier_at(x->s, atomic_load(&x->s->applied_lsn)));
        between += count_marks(x) != 0;
    }
    print_message("%u barriers while rows were deleted\n", between);
    assert_true(between > 0);
    db_release(side);
    assert_check_clean(x);
}

/* ---- replay ---- */

/* Without barriers it is LevelDB's memtable that bounds what is replayed: 60,000 to 66,000 here. */
enum { REPLAY_BATCH = 500, REPLAY_MOST = 60000 };

/* In a process of its own, which ends as by SIGKILL. Returns only when that went wrong. */
static int write_and_die(const char *dir, unsigned docs, unsigned first)
{
    struct fix *x = mem_zalloc(sizeof(*x));
    struct db *db;

    snprintf(x->dir, sizeof(x->dir), "%s", dir);
    x->a = arena_new();
    fix_open(x);
    db = first == 0 ? make_db(x, "db") : open_db(x, "db");
    for (unsigned done = 0; done < docs; done += REPLAY_BATCH) {
        struct commit_op *ops = arena_array(x->a, REPLAY_BATCH, sizeof(*ops));

        for (unsigned i = 0; i < REPLAY_BATCH; i++)
            ops[i] = op_edit(x, db, arena_printf(x->a, "%08u", first + done + i).p, (struct rev){0},
                             rev_n(x, 1, 1));
        if (commit_wait(x->s, ops, REPLAY_BATCH, &x->e) != ST_OK || ops[0].st != ST_OK)
            return 1;
        arena_reset(x->a);
    }
    _exit(0);
}

/* fork alone would leave LevelDB without its thread. */
static void write_in_child(struct fix *x, unsigned docs, unsigned first)
{
    char n[16], from[16];
    int how = -1;
    pid_t pid;

    snprintf(n, sizeof(n), "%u", docs);
    snprintf(from, sizeof(from), "%u", first);
    pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test_couch_space", x->dir, n, from, (char *)NULL);
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
}

static void replay_is_bounded(void **state)
{
    static const unsigned sizes[] = {25000, 300000, 60000};
    struct fix *x = *state;
    unsigned docs = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t start, replayed;

        write_in_child(x, sizes[i], docs);
        docs += sizes[i];
        start = time_mono_us();
        fix_open(x);
        start = time_mono_us() - start;
        replayed = atomic_load(&x->s->applied_lsn) - atomic_load(&x->s->barrier_lsn);
        print_message("%u documents: %llu records replayed, open in %llu ms\n", docs,
                      (unsigned long long)replayed, (unsigned long long)start / 1000);
        assert_true(replayed < REPLAY_MOST);
        assert_true(i != 0 || replayed >= sizes[i]); /* else this measures nothing */
        fix_close(x);
    }
    fix_open(x);
    assert_check_clean(x);
}

static int nothing_open(void **state)
{
    *state = fix_new(false, 0);
    fix_close(*state);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(updates_do_not_outrun_compaction, nothing_open, fix_end),
        cmocka_unit_test_setup_teardown(a_drop_lets_barriers_pass, nothing_open, fix_end),
        cmocka_unit_test_setup_teardown(replay_is_bounded, nothing_open, fix_end),
    };

    if (argc == 4)
        return write_and_die(argv[1], (unsigned)strtoul(argv[2], NULL, 10),
                             (unsigned)strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
