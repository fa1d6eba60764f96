/* tests/unit/test_couch_space.c: how long the log grows while everybody updates documents, and the
 * thread that compacts (couch/compact.c) does its work beside them.
 */
#include "unit.h"

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

/* As fast as they can: once compaction runs the log stays below 2.2 times what is live. */
static void updates_do_not_outrun_compaction(void **state)
{
    struct fix *x = *state;
    struct store_options o = {.dir = x->dir, .segment_bytes = 1 << 20};
    struct updater u[UPDATERS];
    uint64_t start = time_mono_us(), end = start + (uint64_t)SOME_SECONDS * 1000000;
    double most = 0, now = 0;
    struct db *db;

    assert_ok(x, store_open(&o, &x->s, &x->e));
    db = make_db(x, "db");
    for (unsigned i = 0; i < UPDATERS; i++) {
        u[i] = (struct updater){.x = x, .db = db, .n = i, .end_us = end};
        thread_start(&u[i].t, "updater", updater_main, &u[i]);
    }
    while (time_mono_us() < end) {
        usleep(5000);
        now = (double)log_bytes(store_log(x->s)) / (double)(accounts_all(x->s->accounts) + 1);
        if (time_mono_us() > start + 3000000 && now > most)
            most = now;
    }
    for (unsigned i = 0; i < UPDATERS; i++)
        thread_join(&u[i].t);
    print_message("%.2f times at most, %.2f at the end; %llu updates\n", most, now,
                  (unsigned long long)db_update_seq(db));
    assert_true(db_update_seq(db) > 2 * LIVE_DOCS);
    assert_true(most < 2.2);
    db_release(db);
    assert_check_clean(x);
}

static int nothing_open(void **state)
{
    *state = fix_new(false);
    fix_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(updates_do_not_outrun_compaction, nothing_open, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
