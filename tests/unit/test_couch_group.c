/* couch/commit*: groups: faults of the log, many clients at once, observers. What is acknowledged
 * is there, in order, once; what is not has changed nothing.
 */
#include "unit.h"

#include "base/thread.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

static const struct rev none;

static void a_full_disk_changes_nothing(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct commit_op ops[] = {op_edit(x, db, "b", none, rev_n(x, 1, 1)),
                              op_edit(x, db, "a", none, rev_n(x, 1, 9)),
                              op_edit(x, db, "c", none, rev_n(x, 1, 1))};
    struct commit_op create = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("other")};
    struct slice before;
    struct db *none_such;

    assert_ok(x, put(x, db, "a", none, rev_n(x, 1, 1)));
    before = dump_rows(x);
    seg_mem_fail_append(x->segs, 1, SEG_MEM_NOSPC, true);
    assert_ok(x, commit_wait(x->s, ops, 3, &x->e));
    assert_int_equal(ops[0].st, ST_NO_SPACE);
    assert_int_equal(strncmp(ops[0].err.reason, "No space left on device", 23), 0);
    assert_int_equal(ops[0].seq, 0);
    assert_int_equal(ops[1].st, ST_CONFLICT);
    assert_int_equal(ops[2].st, ST_NO_SPACE);
    assert_st(x, run1(x, &create), ST_NO_SPACE);
    assert_st(x, drop_db(x, db), ST_NO_SPACE);
    assert_false(db_dropped(db));
    assert_st(x, db_open(x->s, SLICE_LIT("other"), &none_such, &x->e), ST_NOT_FOUND);
    assert_true(slice_eq(before, dump_rows(x)));
    assert_counts(db, 1, 0, 1);
    assert_string_equal(store_trouble(x->s), "");

    seg_mem_fail_append(x->segs, 1, SEG_MEM_NONE, false);
    assert_ok(x, commit_wait(x->s, ops, 3, &x->e));
    assert_int_equal(ops[0].st, ST_OK);
    assert_int_equal(ops[0].seq, 2);
    assert_int_equal(ops[2].seq, 3);
    assert_counts(db, 3, 0, 3);
    assert_ok(x, run1(x, &create));
    db_release(create.created);
    db_release(db);
}

static uint64_t no_room(struct seg_store *ss)
{
    (void)ss;
    return 0;
}

/* What takes room may not spoil the group of what makes room, or a disk that is full would stay
 * full for as long as somebody tries to write. */
static void a_full_disk_takes_deletes_that_come_with_writes(void **state)
{
    static struct seg_store_ops ops;
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1);
    bool purged = false;
    struct commit_op v[5], graft = op_edit(x, db, "k", none, rev_n(x, 1, 7));

    assert_ok(x, put(x, db, "a", none, r1));
    assert_ok(x, put(x, db, "b", none, r1));
    assert_ok(x, put(x, db, "k", none, r1));
    graft.new_edits = false;
    assert_ok(x, run1(x, &graft)); /* a conflict */
    db_release(db);
    fix_close(x);
    ops = *x->segs->ops;
    ops.free_bytes = no_room; /* but for the reserve, of which there is enough */
    x->segs->ops = &ops;
    fix_open(x);
    db = open_db(x, "db");
    v[0] = op_edit(x, db, "c", none, r1);
    v[1] = op_edit(x, db, "a", r1, rev_n(x, 2, 2));
    v[1].deleted = true;
    v[2] = (struct commit_op){.kind = COMMIT_PURGE, .db = db, .docid = SLICE_LIT("b")};
    v[2].path = &r1;
    v[2].npath = 1;
    v[2].purged = &purged;
    v[3] = op_edit(x, db, "d", none, r1);
    v[4] = op_edit(x, db, "k", r1, rev_n(x, 2, 2)); /* one leaf: the document is not deleted */
    v[4].deleted = true;
    assert_ok(x, commit_wait(x->s, v, 5, &x->e));
    assert_int_equal(v[0].st, ST_NO_SPACE);
    assert_int_equal(v[1].st, ST_OK);
    assert_int_equal(v[2].st, ST_OK);
    assert_true(purged);
    assert_int_equal(v[3].st, ST_NO_SPACE);
    assert_int_equal(v[4].st, ST_OK);
    assert_counts(db, 1, 1, 7);
    db_release(db);
}

/* The answer of an append got lost: whatever it was, what is acknowledged is there. */
static void lost_answers_lose_nothing(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char id[16];

    for (unsigned i = 0; i < 20; i++) {
        struct docinfo d;
        enum status st;

        seg_mem_fail_append(x->segs, 1, i % 2 == 0 ? SEG_MEM_UNKNOWN_DONE : SEG_MEM_UNKNOWN_NOT,
                            false);
        snprintf(id, sizeof(id), "d%u", i);
        st = put(x, db, id, none, rev_n(x, 1, i));
        seg_mem_fail_append(x->segs, 1, SEG_MEM_NONE, false);
        assert_int_equal(read_info(x, db, id, &d), st == ST_OK ? ST_OK : ST_NOT_FOUND);
        if (st != ST_OK)
            assert_ok(x, put(x, db, id, none, rev_n(x, 1, i)));
    }
    assert_counts(db, 20, 0, 20);
    db_release(db);
}

/* ---- many at once ---- */

enum { WRITERS = 8, WRITES = 1250, PER_BATCH = 5 };

struct writer {
    struct thread t;
    struct store *s;
    struct db *db;
    unsigned n;
    uint64_t seqs[WRITES];
};

static void write_batch(struct writer *w, unsigned first)
{
    struct commit_op ops[PER_BATCH];
    struct rev revs[PER_BATCH];
    char ids[PER_BATCH][32];
    struct err e;

    for (unsigned i = 0; i < PER_BATCH; i++) {
        int n = snprintf(ids[i], sizeof(ids[i]), "w%u-%05u", w->n, first + i);

        revs[i] = (struct rev){1, true, SLICE_LIT("0123456789abcdef")};
        ops[i] = (struct commit_op){.kind = COMMIT_DOC,
                                    .db = w->db,
                                    .docid = slice_of(ids[i], (size_t)n),
                                    .new_edits = true,
                                    .path = &revs[i],
                                    .npath = 1,
                                    .body = {.json = SLICE_LIT("{\"x\":1}")}};
    }
    assert_int_equal(commit_wait(w->s, ops, PER_BATCH, &e), ST_OK);
    for (unsigned i = 0; i < PER_BATCH; i++) {
        assert_int_equal(ops[i].st, ST_OK);
        w->seqs[first + i] = ops[i].seq;
        assert_true(db_update_seq(w->db) >= ops[i].seq);
    }
}

static void writer_main(void *arg)
{
    struct writer *w = arg;

    for (unsigned i = 0; i < WRITES; i += PER_BATCH)
        write_batch(w, i);
}

static void writers_at_once(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct writer *w = mem_zalloc(WRITERS * sizeof(*w));
    bool *seen = mem_zalloc(WRITERS * WRITES + 1);

    for (unsigned i = 0; i < WRITERS; i++) {
        w[i].s = x->s;
        w[i].db = db;
        w[i].n = i;
        thread_start(&w[i].t, "writer", writer_main, &w[i]);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        thread_join(&w[i].t);
    assert_counts(db, WRITERS * WRITES, 0, WRITERS * WRITES);
    assert_int_equal(count_rows(x, db, KEY_INFO), WRITERS * WRITES);
    assert_int_equal(count_rows(x, db, KEY_SEQ), WRITERS * WRITES);
    for (unsigned i = 0; i < WRITERS; i++) { /* each sequence once, rising for each client */
        for (unsigned k = 0; k < WRITES; k++) {
            assert_true(k == 0 || w[i].seqs[k] > w[i].seqs[k - 1]);
            assert_false(seen[w[i].seqs[k]]);
            seen[w[i].seqs[k]] = true;
        }
    }
    mem_free(w);
    mem_free(seen);
    db_release(db);
    assert_check_clean(x);
}

/* ---- observers ---- */

struct seen {
    unsigned docs, dropped, order_faults, rows_missing;
    uint64_t last_seq;
};

/* Whoever is told of a write can read it. */
static bool row_is_there(const struct commit_event *ev)
{
    struct arena *a = arena_new();
    struct slice v, key = key_db(a, db_num(ev->db), KEY_INFO, ev->docid);
    struct docinfo d;
    struct err e;
    bool there = kv_get(store_kv(db_store(ev->db)), NULL, key, a, &v, &e) == ST_OK &&
                 docinfo_decode(a, v, &d, &e) == ST_OK && d.seq >= ev->seq;

    arena_free(a);
    return there;
}

static void observe(void *arg, const struct commit_event *ev, size_t n)
{
    struct seen *seen = arg;

    for (size_t i = 0; i < n; i++) {
        if (ev[i].dropped) {
            seen->dropped++;
            continue;
        }
        seen->docs++;
        if (!row_is_there(&ev[i]))
            seen->rows_missing++;
        if (ev[i].seq != seen->last_seq + 1 || db_update_seq(ev[i].db) < ev[i].seq)
            seen->order_faults++;
        seen->last_seq = ev[i].seq;
    }
}

static void observers_see_all_in_order(void **state)
{
    struct fix *x = *state;
    struct seen seen = {0};
    struct db *db;
    char id[16];

    store_observe(x->s, observe, &seen);
    db = make_db(x, "db");
    for (unsigned i = 0; i < 50; i++) {
        snprintf(id, sizeof(id), "%u", i % 40);
        (void)put(x, db, id, none, rev_n(x, 1, 1)); /* ten of them conflict */
    }
    assert_ok(x, drop_db(x, db));
    assert_int_equal(seen.docs, 40);
    assert_int_equal(seen.dropped, 1);
    assert_int_equal(seen.order_faults, 0);
    assert_int_equal(seen.rows_missing, 0);
    db_release(db);
}

/* ---- compaction goes first, and starves nobody ---- */

enum { MOVERS = 4 };

struct mover {
    struct thread t;
    struct store *s;
    atomic_bool *stop;
};

static void mover_main(void *arg)
{
    struct mover *m = arg;
    struct commit_move sync = {.what = MOVE_SYNC};
    struct err e;

    while (!atomic_load(m->stop)) {
        struct commit_op op = {.kind = COMMIT_MOVE, .move = &sync};

        assert_int_equal(commit_wait(m->s, &op, 1, &e), ST_OK);
        assert_int_equal(op.st, ST_OK);
    }
}

struct atomic_write {
    struct commit_batch b;
    atomic_bool done;
};

static void atomic_done(struct commit_batch *b)
{
    atomic_store(&((struct atomic_write *)b)->done, true);
}

static void write_atomic(struct fix *x, struct db *db)
{
    struct commit_op ops[2] = {op_edit(x, db, "a1", (struct rev){0}, rev_n(x, 1, 1)),
                               op_edit(x, db, "a2", (struct rev){0}, rev_n(x, 1, 1))};
    struct atomic_write w = {.b = {.ops = ops, .n = 2, .atomic = true, .done = atomic_done}};

    assert_ok(x, commit_submit(x->s, &w.b, &x->e));
    while (!atomic_load(&w.done))
        usleep(100);
    assert_int_equal(ops[0].st, ST_OK);
    assert_int_equal(ops[1].st, ST_OK);
}

/* The log becomes much longer than what is live. */
static void hold_back(struct fix *x)
{
    enum { UPDATES = 100, BODY = 8192 };
    struct db *db = make_db(x, "dead");
    char *body = mem_zalloc(BODY);

    for (uint32_t gen = 1; gen <= UPDATES; gen++) {
        struct rev parent = gen > 1 ? rev_n(x, gen - 1, 1) : none;
        struct commit_op op = op_edit(x, db, "d", parent, rev_n(x, gen, 1));

        op.body.json = slice_of(body, BODY);
        assert_ok(x, run1(x, &op));
    }
    mem_free(body);
    db_release(db);
    x->s->segs->segment_bytes = 1;
    atomic_store(&x->s->compacts, true);
    /* the rows of the database that was dropped count as live until they are deleted */
    for (int i = 0; i < 5000 && compact_hold_us(x->s) == 0; i++)
        usleep(1000);
    assert_true(compact_hold_us(x->s) != 0);
}

static void held_back_writers_go_on(void **state)
{
    struct fix *x = *state;
    struct mover m[MOVERS];
    atomic_bool stop = false;
    struct writer *w = mem_zalloc(sizeof(*w));
    struct db *db;

    fix_close(x); /* no other thread decides who waits */
    assert_ok(
        x, store_open(&(struct store_options){.dir = x->dir, .no_compaction = true}, &x->s, &x->e));
    for (unsigned i = 0; i < MOVERS; i++) {
        m[i] = (struct mover){.s = x->s, .stop = &stop};
        thread_start(&m[i].t, "mover", mover_main, &m[i]);
    }
    for (int held = 0; held < 2; held++) {
        if (held != 0)
            hold_back(x);
        db = make_db(x, held ? "held" : "free");
        write_atomic(x, db);
        *w = (struct writer){.s = x->s, .db = db};
        writer_main(w);
        assert_counts(db, WRITES + 2, 0, WRITES + 2);
        assert_ok(x, drop_db(x, db));
        db_release(db);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < MOVERS; i++)
        thread_join(&m[i].t);
    /* nothing moves, and still it goes on */
    db_release(make_db(x, "alone"));
    mem_free(w);
}

static void an_empty_batch_is_done(void **state)
{
    struct fix *x = *state;

    assert_ok(x, commit_wait(x->s, NULL, 0, &x->e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_full_disk_changes_nothing, fix_memory, fix_end),
        cmocka_unit_test_setup_teardown(a_full_disk_takes_deletes_that_come_with_writes, fix_memory,
                                        fix_end),
        cmocka_unit_test_setup_teardown(lost_answers_lose_nothing, fix_memory, fix_end),
        cmocka_unit_test_setup_teardown(writers_at_once, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(observers_see_all_in_order, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(held_back_writers_go_on, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(an_empty_batch_is_done, fix_files, fix_end),
    };
    return cmocka_run_group_tests_name("couch_group", tests, NULL, NULL);
}
