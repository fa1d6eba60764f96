/* tests/unit/test_couch_compact.c: compaction of the log: nothing is lost, old bytes go, an index
 * made from what is left has the same rows, whatever point a crash hits.
 */
#include "unit.h"

#include <sys/wait.h>

#include "couch/account.h"
#include "couch/changes.h"
#include "couch/doc_read.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

enum { SEGMENT = 16 << 10 };

static int small_files(void **state)
{
    *state = fix_new(false, SEGMENT);
    return 0;
}

static int small_memory(void **state)
{
    *state = fix_new(true, SEGMENT);
    return 0;
}

/* The edit to generation gen, with a body of n bytes, and maybe an attachment of as many. */
static struct commit_op fat_op(struct fix *x, struct db *db, const char *id, uint32_t gen, size_t n,
                               bool with_att)
{
    struct rev parent = gen > 1 ? rev_n(x, gen - 1, gen - 1) : (struct rev){0};
    struct commit_op op = op_edit(x, db, id, parent, rev_n(x, gen, gen));
    char *text = arena_alloc(x->a, n + 16);

    memset(text, 'x', n + 16);
    snprintf(text, 16, "{\"v\":\"%08u", (unsigned)gen);
    text[14] = 'x';
    text[n] = '"';
    text[n + 1] = '}';
    op.body.json = slice_of(text, n + 2);
    if (with_att) {
        op.body.atts = arena_zalloc(x->a, sizeof(*op.body.atts));
        op.body.natts = 1;
        op.body.atts[0] = (struct att){.name = SLICE_LIT("a"),
                                       .type = SLICE_LIT("text/plain"),
                                       .revpos = 1,
                                       .len = n,
                                       .stored_len = n,
                                       .data = slice_of(text, n)};
    }
    return op;
}

static void fat_put(struct fix *x, struct db *db, const char *id, uint32_t gen, size_t n, bool att)
{
    struct commit_op op = fat_op(x, db, id, gen, n, att);

    assert_ok(x, run1(x, &op));
}

/* Compacts every sealed segment that is less live than u says; returns how many. */
static unsigned compact_below(struct fix *x, double u)
{
    struct log_seg_info *v;
    size_t n = log_segments(store_log(x->s), &v);
    unsigned done = 0;

    for (size_t i = 0; i < n; i++) {
        if (!v[i].sealed || (double)accounts_live(x->s->accounts, v[i].seg) >= u * (double)v[i].len)
            continue;
        assert_ok(x, compact_segment(x->s, v[i].seg, &x->e));
        assert_false(log_has_seg(store_log(x->s), v[i].seg));
        done++;
    }
    mem_free(v);
    return done;
}

static void wait_sealed(struct fix *x)
{
    struct log_seg_info *v;
    bool open = true;

    while (open) {
        size_t n = log_segments(store_log(x->s), &v);

        open = false;
        for (size_t i = 0; i + 1 < n; i++)
            open = open || !v[i].sealed;
        mem_free(v);
    }
}

static void read_fat(struct fix *x, struct db *db, const char *id, uint32_t gen, size_t n, bool att)
{
    struct docinfo d;
    struct doc_body b = {0};
    struct buf data;
    int node;

    assert_ok(x, doc_find(db, slice_str(id), SLICE_LIT(""), x->a, &d, &node, &x->e));
    assert_int_equal(d.tree.nodes[node].rev.gen, gen);
    assert_ok(x, doc_load_body(db, &d.tree.nodes[node].ptr, x->a, &b, &x->e));
    assert_int_equal(b.json.n, n + 2);
    assert_int_equal(b.natts, att ? 1 : 0);
    if (!att)
        return;
    buf_init(&data, 1 << 20);
    assert_ok(x, doc_att_data(db, &b.atts[0], &data, &x->e));
    assert_int_equal(data.n, n);
    buf_free(&data);
}

/* A document whose attachment is another one's bytes, as COPY makes it: no record of it lies where
 * they lie. */
static void copy_att(struct fix *x, struct db *db, const char *from, const char *to)
{
    struct commit_op op = fat_op(x, db, to, 1, 300, false);
    struct doc_body b = {0};
    struct docinfo d;

    assert_ok(x, read_info(x, db, from, &d));
    assert_ok(x, doc_load_body(db, &d.winner_ptr, x->a, &b, &x->e));
    op.body.atts = b.atts;
    op.body.natts = b.natts;
    assert_ok(x, run1(x, &op));
}

/* Its attachment has no bytes: nothing keeps the segment that its pointer names. */
static void put_empty_att(struct fix *x, struct db *db, const char *id)
{
    struct commit_op op = fat_op(x, db, id, 1, 300, true);

    op.body.atts[0].len = op.body.atts[0].stored_len = 0;
    op.body.atts[0].data.n = 0;
    assert_ok(x, run1(x, &op));
}

/* Documents, some with attachments, conflicts and deletions, locals, databases come and gone. */
static struct db *fill(struct fix *x)
{
    struct db *db = make_db(x, "db"), *gone = make_db(x, "gone"), *empty = make_db(x, "empty");
    char id[16];

    put_empty_att(x, db, "void");
    for (uint32_t gen = 1; gen <= 6; gen++)
        for (int i = 0; i < 20; i++) {
            snprintf(id, sizeof(id), "d%02d", i);
            if (gen <= 1 + (uint32_t)i % 6)
                fat_put(x, db, id, gen, 300, i % 4 == 0);
        }
    for (int i = 0; i < 20; i++) {
        struct rev path[2] = {rev_n(x, 2, 1000 + (uint64_t)i), rev_n(x, 1, 1)};
        struct commit_op op;

        snprintf(id, sizeof(id), "d%02d", i);
        op = op_path(x, db, id, path, 2);
        if (i % 5 == 0)
            assert_ok(x, run1(x, &op));
    }
    assert_ok(x, del(x, db, "d05", rev_n(x, 6, 6), rev_n(x, 7, 7)));
    for (int i = 0; i < 40; i++) {
        struct commit_op op = {.kind = COMMIT_LOCAL,
                               .db = db,
                               .docid = i % 2 != 0 ? SLICE_LIT("small") : SLICE_LIT("large"),
                               .local_rev = {0, false, SLICE_LIT("7")}};

        op.body.json = i % 2 != 0 ? SLICE_LIT("{}") : fat_op(x, db, "x", 1, 5000, false).body.json;
        op.deleted = i == 39;
        assert_ok(x, run1(x, &op));
        fat_put(x, gone, "g", (uint32_t)i + 1, 400, false);
    }
    assert_ok(x, drop_db(x, gone));
    db_release(gone);
    wait_for_drops(x);
    gone = make_db(x, "gone"); /* the name again */
    fat_put(x, gone, "h", 1, 100, false);
    db_release(gone);
    for (uint32_t gen = 1; gen <= 60; gen++)
        fat_put(x, db, "hot", gen, 300, gen == 1);
    copy_att(x, db, "d04", "copy");
    copy_att(x, db, "void", "void2");
    db_release(empty);
    wait_sealed(x);
    return db;
}

static void compaction_keeps_what_is_live_and_the_rest_goes(void **state)
{
    struct fix *x = *state;
    struct db *db = fill(x);
    uint64_t before = log_bytes(store_log(x->s)), seq = db_update_seq(db);
    struct docinfo was = {0}, is = {0};

    assert_ok(x, read_info(x, db, "hot", &was));
    assert_true(compact_below(x, 2.0) > 3);
    assert_true(log_bytes(store_log(x->s)) < before / 2);
    assert_int_equal(db_update_seq(db), seq);
    assert_ok(x, read_info(x, db, "hot", &is));
    assert_int_equal(is.seq, was.seq);
    read_fat(x, db, "hot", 60, 300, false);
    read_fat(x, db, "d04", 5, 300, true);
    read_fat(x, db, "copy", 1, 300, true);
    read_fat(x, db, "d17", 6, 300, false);
    db_release(db);
    assert_rebuilds(x);
    /* once more, now that most is moved already, and the oldest segments go */
    wait_sealed(x);
    assert_true(compact_below(x, 2.0) >= 1);
    assert_rebuilds(x);
    assert_check_clean(x);
    db = open_db(x, "db");
    read_fat(x, db, "d04", 5, 300, true);
    read_fat(x, db, "copy", 1, 300, true);
    db_release(db);
}

/* Any subset of segments may be the ones that go. */
static void any_order_of_victims_rebuilds(void **state)
{
    struct fix *x = *state;
    uint64_t rnd = 11;

    db_release(fill(x));
    for (int round = 0; round < 12; round++) {
        struct log_seg_info *v;
        size_t n = log_segments(store_log(x->s), &v);
        size_t i = unit_random(&rnd) % n;
        struct db *db = open_db(x, "db");

        if (v[i].sealed)
            assert_ok(x, compact_segment(x->s, v[i].seg, &x->e));
        mem_free(v);
        fat_put(x, db, "hot", 61 + (uint32_t)round, 300, false);
        db_release(db);
        assert_rebuilds(x);
    }
}

/* A worker prepares an edit, compaction moves the document, the edit is committed. */
static void what_was_read_before_the_move(void **state)
{
    struct fix *x = *state;
    struct db *db = fill(x);
    struct commit_seen seen = look_up(x, db, "d17");
    struct rev r6 = rev_n(x, 6, 6);
    struct docinfo d;

    assert_true(compact_below(x, 2.0) > 3);
    assert_ok(x, put_seen(x, db, "d17", seen, r6, rev_n(x, 7, 7)));
    assert_ok(x, read_info(x, db, "d17", &d));
    assert_int_equal(read_json(x, &d, revtree_find(&d.tree, &r6)).n, 302);
    db_release(db);
    assert_rebuilds(x);
    assert_check_clean(x);
}

static void old_revisions_go_with_compact(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct commit_op op = {.kind = COMMIT_DB_PROPS, .db = db, .compact = true};
    struct docinfo d;
    struct rev old;
    int node;

    for (uint32_t gen = 1; gen <= 5; gen++)
        fat_put(x, db, "a", gen, 100, false);
    old = rev_n(x, 3, 3);
    assert_ok(x, doc_find(db, SLICE_LIT("a"), rev_text(x->a, &old), x->a, &d, &node, &x->e));
    op.docid = db_name(db);
    assert_ok(x, run1(x, &op));
    assert_st(x, doc_find(db, SLICE_LIT("a"), rev_text(x->a, &old), x->a, &d, &node, &x->e),
              ST_NOT_FOUND);
    /* what was a leaf then can be read after the next update, and so on */
    fat_put(x, db, "a", 6, 100, false);
    old = rev_n(x, 5, 5);
    assert_ok(x, doc_find(db, SLICE_LIT("a"), rev_text(x->a, &old), x->a, &d, &node, &x->e));
    old = rev_n(x, 4, 4);
    assert_st(x, doc_find(db, SLICE_LIT("a"), rev_text(x->a, &old), x->a, &d, &node, &x->e),
              ST_NOT_FOUND);
    db_release(db);
    assert_rebuilds(x);
    db = open_db(x, "db");
    assert_st(x, doc_find(db, SLICE_LIT("a"), rev_text(x->a, &old), x->a, &d, &node, &x->e),
              ST_NOT_FOUND);
    db_release(db);
}

/* A move is of the row that was seen, or of none. */
static void a_move_of_what_changed_is_refused(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct docinfo d;
    struct commit_move m = {.what = MOVE_DOC, .info = &d};
    struct commit_op op = {.kind = COMMIT_MOVE, .db = db, .docid = SLICE_LIT("a"), .move = &m};
    struct slice now;

    fat_put(x, db, "a", 1, 100, false);
    assert_ok(x, kv_get(store_kv(x->s), NULL, key_db(x->a, db_num(db), KEY_INFO, op.docid), x->a,
                        &m.row, &x->e));
    assert_ok(x, docinfo_decode(x->a, m.row, &d, &x->e));
    fat_put(x, db, "a", 2, 100, false);
    assert_st(x, run1(x, &op), ST_CONFLICT);
    m.row = SLICE_LIT("");
    assert_st(x, run1(x, &op), ST_CONFLICT);
    assert_ok(x, kv_get(store_kv(x->s), NULL, key_db(x->a, db_num(db), KEY_INFO, op.docid), x->a,
                        &now, &x->e));
    m.row = now;
    assert_ok(x, docinfo_decode(x->a, now, &d, &x->e));
    assert_ok(x, run1(x, &op));
    assert_int_equal(d.tree.nodes[revtree_winner(&d.tree)].rev.gen, 2);
    db_release(db);
    assert_rebuilds(x);
}

static void a_missing_segment_that_was_not_compacted_is_damage(void **state)
{
    struct fix *x = *state;
    struct log_seg_info *v;
    char path[160];
    size_t n;

    db_release(fill(x));
    n = log_segments(store_log(x->s), &v);
    assert_true(n > 4);
    assert_ok(x, compact_segment(x->s, v[1].seg, &x->e));
    fix_close(x);
    x->s = NULL;
    snprintf(path, sizeof(path), "%s/0/log/%016llx.seg", x->dir, (unsigned long long)v[2].seg);
    mem_free(v);
    assert_int_equal(unlink(path), 0);
    fix_remove_index(x);
    assert_int_equal(fix_try_open(x), ST_CORRUPT);
    assert_non_null(strstr(x->e.reason, "LSN"));
    x->s = NULL;
}

/* A life that ends as if killed: what LevelDB had not in a table is lost. LevelDB's thread does not
 * come along into a child: so nothing in this process may have used it before. */
static void in_child(struct fix *x, void (*live)(struct fix *x))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(60);
        fix_open(x);
        live(x);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int no_store(void **state)
{
    *state = fix_folder(false, SEGMENT);
    return 0;
}

static void live_fill(struct fix *x)
{
    db_release(fill(x));
    fix_close(x);
}

static void live_idle(struct fix *x)
{
    fix_close(x);
}

static void live_hot(struct fix *x)
{
    struct db *db = open_db(x, "db");

    for (uint32_t gen = 61; gen <= 300; gen++)
        fat_put(x, db, "hot", gen, 300, false);
    db_release(db);
}

/* The newest one that is empty: nothing is moved, so nothing is written before the deletion; and no
 * other barrier comes after it. */
static void live_compact(struct fix *x)
{
    struct log_seg_info *v;

    for (size_t i = log_segments(store_log(x->s), &v); i-- > 0;)
        if (v[i].sealed && accounts_live(x->s->accounts, v[i].seg) == 0)
            _exit(compact_segment(x->s, v[i].seg, &x->e) == ST_OK ? 0 : 1);
    _exit(2);
}

static bool index_was_bad(const struct fix *x)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/0/idx.bad.1", x->dir);
    return fs_exists(path);
}

/* The index that a recovery made is not durable because it was read: the first barrier of a life
 * must be one before segments go that only this index makes superfluous. */
static void the_index_is_durable_before_a_segment_goes(void **state)
{
    struct fix *x = *state;

    in_child(x, live_fill);
    in_child(x, live_hot);
    in_child(x, live_compact);
    in_child(x, live_idle);
    assert_false(index_was_bad(x));
}

/* A segment with only the log's own record lies above the applied LSN. */
static void lives_that_wrote_nothing_go(void **state)
{
    struct fix *x = *state;

    in_child(x, live_fill);
    in_child(x, live_idle);
    in_child(x, live_idle);
    in_child(x, live_compact);
    in_child(x, live_idle);
    assert_false(index_was_bad(x));
}

/* An index from before a compaction, or a rebuild cut short, is no ground to go on from. */
static void an_index_older_than_a_compaction_is_made_again(void **state)
{
    struct fix *x = *state;
    char from[128], to[128];
    struct slice before;

    db_release(fill(x));
    fix_close(x);
    snprintf(from, sizeof(from), "%s/0/idx", x->dir);
    snprintf(to, sizeof(to), "%s/0/old", x->dir);
    assert_int_equal(rename(from, to), 0);
    fix_open(x); /* rebuilt */
    live_hot(x);
    assert_true(compact_below(x, 2.0) >= 1);
    fix_close(x);
    fix_open(x);
    before = dump_rows(x);
    fix_close(x);
    fix_remove_index(x);
    assert_int_equal(rename(to, from), 0);
    fix_open(x);
    wait_for_drops(x);
    assert_true(index_was_bad(x));
    assert_true(slice_eq(before, dump_rows(x)));
    assert_check_clean(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first, see in_child */
        cmocka_unit_test_setup_teardown(the_index_is_durable_before_a_segment_goes, no_store,
                                        fix_end),
        cmocka_unit_test_setup_teardown(lives_that_wrote_nothing_go, no_store, fix_end),
        cmocka_unit_test_setup_teardown(compaction_keeps_what_is_live_and_the_rest_goes,
                                        small_files, fix_end),
        cmocka_unit_test_setup_teardown(any_order_of_victims_rebuilds, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(what_was_read_before_the_move, small_files, fix_end),
        cmocka_unit_test_setup_teardown(old_revisions_go_with_compact, small_files, fix_end),
        cmocka_unit_test_setup_teardown(a_missing_segment_that_was_not_compacted_is_damage,
                                        small_files, fix_end),
        cmocka_unit_test_setup_teardown(an_index_older_than_a_compaction_is_made_again, small_files,
                                        fix_end),
        cmocka_unit_test_setup_teardown(a_move_of_what_changed_is_refused, small_files, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
