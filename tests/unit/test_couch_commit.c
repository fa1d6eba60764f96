/* couch/commit*: the rules of revisions, counts, sequences, bounds. Whatever is refused leaves no
 * trace. Groups, faults and many clients: test_couch_group.c.
 */
#include "unit.h"

#include "couch_fix.h"

static const struct rev none;

static void create_update_delete(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), r3 = rev_n(x, 3, 3), r4 = rev_n(x, 4, 4);
    struct docinfo d;

    assert_ok(x, put(x, db, "a", none, r1));
    assert_counts(db, 1, 0, 1);
    assert_ok(x, put(x, db, "a", r1, r2));
    assert_counts(db, 1, 0, 2);
    assert_ok(x, del(x, db, "a", r2, r3));
    assert_counts(db, 0, 1, 3);
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.flags, DOCINFO_DELETED);
    assert_ok(x, put(x, db, "a", r3, r4)); /* from the dead */
    assert_counts(db, 1, 0, 4);

    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.seq, 4);
    assert_int_equal(d.docnum, 1);
    assert_int_equal(d.flags, 0);
    assert_int_equal(d.tree.n, 4);
    assert_int_equal(count_rows(x, db, KEY_INFO), 1);
    assert_int_equal(count_rows(x, db, KEY_SEQ), 1);
    for (int i = 0; i < 4; i++) { /* older bodies stay readable */
        struct slice t = rev_text(x->a, &d.tree.nodes[i].rev);
        struct slice want = arena_printf(x->a, "{\"rev\":\"%.*s\"}", (int)t.n, t.p);

        assert_true(slice_eq(read_json(x, &d, i), want));
    }
    db_release(db);
}

static void conflicts_are_refused(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), r3 = rev_n(x, 3, 3);
    struct slice before;

    assert_ok(x, put(x, db, "a", none, r1));
    assert_ok(x, put(x, db, "a", r1, r2));
    assert_ok(x, put(x, db, "dead", none, r1));
    assert_ok(x, del(x, db, "dead", r1, r2));
    before = dump_rows(x);

    assert_st(x, put(x, db, "a", none, rev_n(x, 1, 9)), ST_CONFLICT); /* exists */
    assert_string_equal(x->e.reason, "Document update conflict.");
    assert_st(x, put(x, db, "dead", none, rev_n(x, 1, 9)), ST_CONFLICT); /* a tombstone */
    assert_st(x, put(x, db, "a", r1, rev_n(x, 2, 9)), ST_CONFLICT);      /* not a leaf */
    assert_st(x, put(x, db, "a", rev_n(x, 2, 8), r3), ST_CONFLICT);      /* unknown parent */
    assert_st(x, put(x, db, "b", r1, r2), ST_CONFLICT);                  /* no document */
    assert_st(x, del(x, db, "dead", r2, r3), ST_CONFLICT);               /* dead already */
    assert_counts(db, 1, 1, 4);
    assert_true(slice_eq(before, dump_rows(x)));
    db_release(db);
}

static void one_document_many_times_in_a_batch(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), r3 = rev_n(x, 3, 3), o2 = rev_n(x, 2, 7);
    struct commit_op ops[] = {
        op_edit(x, db, "a", none, r1),
        op_edit(x, db, "a", none, rev_n(x, 1, 5)), /* conflict */
        op_edit(x, db, "other", none, r1),
        op_edit(x, db, "a", r1, r2),
        op_edit(x, db, "a", r1, rev_n(x, 2, 6)), /* conflict */
        op_edit(x, db, "a", r2, r3),
        op_path(x, db, "a", (struct rev[]){o2, r1}, 2),
        op_path(x, db, "a", (struct rev[]){o2, r1}, 2), /* there already */
    };
    enum status want[] = {ST_OK, ST_CONFLICT, ST_OK, ST_OK, ST_CONFLICT, ST_OK, ST_OK, ST_OK};
    uint64_t seqs[] = {1, 0, 2, 3, 0, 4, 5, 0};
    struct docinfo d;
    int w;

    assert_ok(x, commit_wait(x->s, ops, COUNT_OF(ops), &x->e));
    for (size_t i = 0; i < COUNT_OF(ops); i++) {
        assert_int_equal(ops[i].st, want[i]);
        assert_int_equal(ops[i].seq, seqs[i]);
    }
    assert_counts(db, 2, 0, 5);
    assert_int_equal(count_rows(x, db, KEY_SEQ), 2);
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.flags, DOCINFO_CONFLICTS);
    assert_int_equal(d.seq, 5);
    assert_int_equal(d.tree.n, 4);
    w = revtree_winner(&d.tree);
    assert_true(rev_eq(&d.tree.nodes[w].rev, &r3));
    for (int i = 0; i < 4; i++)
        assert_true(read_json(x, &d, i).n > 0);
    db_release(db);
    assert_check_clean(x);
}

/* Bodies of a group's earlier records go along, attachments too; too many of them, and the group
 * ends. Reopening with an empty index proves that each record is whole. */
static void bodies_are_carried_along(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    enum { N = 30, EACH = 9000 };
    struct commit_op ops[N];
    struct att atts[N];
    struct docinfo d;
    char *data = mem_zalloc(EACH + N), *got = mem_alloc(EACH);

    for (size_t i = 0; i < EACH + N; i++)
        data[i] = (char)(i % 251);
    for (unsigned i = 0; i < N; i++) {
        atts[i] = (struct att){.name = SLICE_LIT("f"),
                               .type = SLICE_LIT("t"),
                               .revpos = i + 1,
                               .len = EACH,
                               .data = slice_of(data + i, EACH)};
        ops[i] = op_edit(x, db, "a", i == 0 ? none : rev_n(x, i, i), rev_n(x, i + 1, i + 1));
        ops[i].body.atts = &atts[i];
        ops[i].body.natts = 1;
    }
    assert_ok(x, commit_wait(x->s, ops, N, &x->e));
    assert_counts(db, 1, 0, N);
    db_release(db);
    fix_close(x);
    fix_remove_index(x);
    fix_open(x);
    db = open_db(x, "db");
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.tree.n, N);
    for (unsigned i = 0; i < N; i++) {
        const struct seg_ptr *p = &d.tree.nodes[i].ptr;
        char region[4096];
        struct doc_body b;

        assert_int_equal(d.tree.nodes[i].rev.gen, i + 1);
        assert_ok(x, log_read(store_log(x->s), p, region, &x->e));
        assert_ok(x, doc_body_decode(x->a, slice_of(region, p->len), p, &b, &x->e));
        assert_true(slice_eq(b.json, ops[i].body.json));
        assert_ok(x, log_read(store_log(x->s), &b.atts[0].ptr, got, &x->e));
        assert_memory_equal(got, data + i, EACH);
    }
    mem_free(data);
    mem_free(got);
    db_release(db);
    assert_check_clean(x);
}

/* What a replay would refuse is not written, and what came before it in the batch is. */
static void impossible_operations_are_refused(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev odd = {1, false, SLICE_LIT("0123456789abcdef0123456789abcdef")}; /* must be raw */
    char *longid = mem_zalloc(LIMIT_DOCID_BYTES + 2);
    struct commit_op ops[] = {op_edit(x, db, "a", none, rev_n(x, 1, 1)),
                              op_edit(x, db, "b", none, odd), op_edit(x, db, "", none, odd),
                              op_edit(x, db, "c", none, rev_n(x, 1, 1))};

    assert_ok(x, commit_wait(x->s, ops, 4, &x->e));
    assert_int_equal(ops[0].st, ST_OK);
    assert_int_equal(ops[1].st, ST_INTERNAL);
    assert_int_equal(ops[1].seq, 0);
    assert_int_equal(ops[2].st, ST_BAD_REQUEST);
    assert_int_equal(ops[3].seq, 2);
    memset(longid, 'x', LIMIT_DOCID_BYTES + 1);
    assert_st(x, put(x, db, longid, none, rev_n(x, 1, 1)), ST_BAD_REQUEST);
    assert_counts(db, 2, 0, 2);
    mem_free(longid);
    db_release(db);
    assert_check_clean(x);
}

static void replicated_revisions(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev path[] = {rev_n(x, 3, 3), rev_n(x, 2, 2), rev_n(x, 1, 1)};
    struct commit_op op = op_path(x, db, "a", path, 3);
    struct docinfo d;

    assert_ok(x, run1(x, &op));
    assert_int_equal(op.seq, 1);
    op = op_path(x, db, "a", path, 3);
    assert_ok(x, run1(x, &op)); /* again: nothing happens */
    assert_int_equal(op.seq, 0);
    op = op_path(x, db, "a", path + 1, 2);
    assert_ok(x, run1(x, &op)); /* an ancestor: nothing happens */
    assert_int_equal(op.seq, 0);
    assert_counts(db, 1, 0, 1);
    op = op_path(x, db, "a", (struct rev[]){rev_n(x, 9, 9)}, 1); /* unrelated, and deleted */
    op.deleted = true;
    assert_ok(x, run1(x, &op));
    assert_counts(db, 1, 0, 2);
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.flags & DOCINFO_DELETED, 0);
    assert_true(rev_eq(&d.tree.nodes[revtree_winner(&d.tree)].rev, &path[0]));
    assert_ok(x, del(x, db, "a", path[0], rev_n(x, 4, 4)));
    assert_counts(db, 0, 1, 3);
    db_release(db);
    assert_check_clean(x);
}

static void long_histories_are_stemmed(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct commit_op props = {
        .kind = COMMIT_DB_PROPS, .db = db, .revs_limit = 3, .security = SLICE_LIT("{}")};
    struct rev last = none;
    struct docinfo d;

    assert_int_equal(db_revs_limit(db), LIMIT_REVS_DEFAULT);
    assert_ok(x, run1(x, &props));
    assert_int_equal(db_revs_limit(db), 3);
    for (uint32_t gen = 1; gen <= 20; gen++) {
        assert_ok(x, put(x, db, "a", last, rev_n(x, gen, gen)));
        last = rev_n(x, gen, gen);
    }
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.tree.n, 3);
    assert_true(rev_eq(&d.tree.nodes[revtree_winner(&d.tree)].rev, &last));
    db_release(db);
    fix_close(x);
    fix_open(x);
    db = open_db(x, "db");
    assert_int_equal(db_revs_limit(db), 3);
    assert_true(slice_eq(db_security(db, x->a), SLICE_LIT("{}")));
    db_release(db);
}

static void leaves_are_bounded(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    size_t n = LIMIT_LEAVES + 5;
    struct commit_op *ops = mem_array(n, sizeof(*ops));
    struct docinfo d;

    for (size_t i = 0; i < n; i++)
        ops[i] = op_path(x, db, "a", (struct rev[]){rev_n(x, 1, i)}, 1);
    assert_ok(x, commit_wait(x->s, ops, n, &x->e));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ops[i].st, i < LIMIT_LEAVES ? ST_OK : ST_TOO_LARGE);
    assert_counts(db, 1, 0, LIMIT_LEAVES);
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.tree.n, LIMIT_LEAVES);
    ops[0] = op_path(x, db, "a", (struct rev[]){rev_n(x, 2, 1), rev_n(x, 1, 1)}, 2);
    assert_ok(x, run1(x, &ops[0])); /* a leaf that follows a leaf is not one more */
    mem_free(ops);
    db_release(db);
}

static void a_record_is_bounded(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char *big = mem_zalloc(LIMIT_RECORD_BYTES);
    struct att att = {.name = SLICE_LIT("f"),
                      .type = SLICE_LIT("text/plain"),
                      .revpos = 1,
                      .len = LIMIT_RECORD_BYTES,
                      .data = slice_of(big, LIMIT_RECORD_BYTES)};
    struct commit_op ops[] = {op_edit(x, db, "a", none, rev_n(x, 1, 1)),
                              op_edit(x, db, "big", none, rev_n(x, 1, 1)),
                              op_edit(x, db, "c", none, rev_n(x, 1, 1))};
    struct docinfo d;

    ops[1].body.atts = &att;
    ops[1].body.natts = 1;
    assert_ok(x, commit_wait(x->s, ops, 3, &x->e));
    assert_int_equal(ops[0].st, ST_OK);
    assert_int_equal(ops[1].st, ST_TOO_LARGE);
    assert_int_equal(ops[2].st, ST_OK);
    assert_counts(db, 2, 0, 2);

    att.data.n = att.len = 9 << 20; /* more than a group, less than a record */
    assert_ok(x, run1(x, &ops[1]));
    assert_ok(x, read_info(x, db, "big", &d));
    assert_true(read_json(x, &d, 0).n > 0);
    mem_free(big);
    db_release(db);
    assert_check_clean(x);
}

static void attachments_follow_their_body(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct att atts[] = {{.name = SLICE_LIT("x"),
                          .type = SLICE_LIT("t"),
                          .revpos = 1,
                          .len = 5,
                          .data = SLICE_LIT("hello")},
                         {.name = SLICE_LIT("y"),
                          .type = SLICE_LIT("t"),
                          .revpos = 1,
                          .len = 0,
                          .data = SLICE_LIT("")},
                         {.name = SLICE_LIT("z"),
                          .type = SLICE_LIT("t"),
                          .revpos = 1,
                          .len = 6,
                          .data = SLICE_LIT("world!")}};
    struct commit_op op = op_edit(x, db, "a", none, rev_n(x, 1, 1));
    struct docinfo d;
    struct doc_body b;
    char region[4096], data[16];

    op.body.atts = atts;
    op.body.natts = 3;
    assert_ok(x, run1(x, &op));
    assert_ok(x, read_info(x, db, "a", &d));
    assert_ok(x, log_read(store_log(x->s), &d.winner_ptr, region, &x->e));
    assert_ok(x,
              doc_body_decode(x->a, slice_of(region, d.winner_ptr.len), &d.winner_ptr, &b, &x->e));
    assert_int_equal(b.natts, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(b.atts[i].ptr.len, atts[i].data.n);
        assert_ok(x, log_read(store_log(x->s), &b.atts[i].ptr, data, &x->e));
        assert_memory_equal(data, atts[i].data.p, atts[i].data.n);
    }
    db_release(db);
}

static enum status read_local(struct fix *x, struct db *db, const char *id, uint64_t *n,
                              bool *is_inline, struct slice *json)
{
    struct slice v, key = key_db(x->a, db_num(db), KEY_LOCAL, slice_str(id));
    struct seg_ptr p;
    enum status st = kv_get(store_kv(x->s), NULL, key, x->a, &v, &x->e);
    char *bytes;

    if (st != ST_OK)
        return st;
    assert_ok(x, local_row_decode(v, n, is_inline, json, &p, &x->e));
    if (*is_inline)
        return ST_OK;
    bytes = arena_alloc(x->a, p.len);
    assert_ok(x, log_read(store_log(x->s), &p, bytes, &x->e));
    *json = slice_of(bytes, p.len);
    return ST_OK;
}

static void local_documents(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char *big = mem_zalloc(LIMIT_LOCAL_INLINE + 1);
    struct commit_op op = {.kind = COMMIT_LOCAL,
                           .db = db,
                           .docid = SLICE_LIT("cp"),
                           .body = {.json = SLICE_LIT("{\"n\":1}")},
                           .local_rev = {0, false, SLICE_LIT("1")}};
    struct slice json;
    bool is_inline;
    uint64_t n;

    assert_ok(x, run1(x, &op));
    assert_ok(x, read_local(x, db, "cp", &n, &is_inline, &json));
    assert_int_equal(n, 1);
    assert_true(is_inline);
    assert_true(slice_eq(json, op.body.json));

    memset(big, 'x', LIMIT_LOCAL_INLINE + 1);
    op.body.json = slice_of(big, LIMIT_LOCAL_INLINE + 1);
    op.local_rev.id = SLICE_LIT("300");
    assert_ok(x, run1(x, &op));
    assert_ok(x, read_local(x, db, "cp", &n, &is_inline, &json));
    assert_int_equal(n, 300);
    assert_false(is_inline);
    assert_true(slice_eq(json, op.body.json));
    assert_counts(db, 0, 0, 0); /* local documents have no sequence */
    db_release(db);
    assert_check_clean(x);

    op.db = db = open_db(x, "db");
    op.deleted = true;
    op.local_rev.id = SLICE_LIT("0");
    assert_ok(x, run1(x, &op));
    assert_st(x, read_local(x, db, "cp", &n, &is_inline, &json), ST_NOT_FOUND);
    op.local_rev.id = SLICE_LIT("x");
    assert_st(x, run1(x, &op), ST_BAD_REQUEST);
    mem_free(big);
    db_release(db);
}

/* The committer takes a worker's word for a row only while it holds. */
static void what_was_read_may_be_old(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct rev r1 = rev_n(x, 1, 1), r2 = rev_n(x, 2, 2), r3 = rev_n(x, 3, 3),
               other = rev_n(x, 2, 9);
    struct commit_seen none_yet = look_up(x, db, "a"), first, second;
    struct docinfo d;

    assert_int_equal(none_yet.row.n, 0);
    assert_ok(x, put_seen(x, db, "a", none_yet, none, r1));
    assert_st(x, put_seen(x, db, "a", none_yet, none, rev_n(x, 1, 8)), ST_CONFLICT);
    first = look_up(x, db, "a");
    assert_ok(x, put(x, db, "b", none, r1)); /* another document does not matter */
    assert_ok(x, put_seen(x, db, "a", first, r1, r2));
    assert_st(x, put_seen(x, db, "a", first, r1, other), ST_CONFLICT);
    second = look_up(x, db, "a");
    assert_st(x, put_seen(x, db, "a", second, r1, other), ST_CONFLICT);
    assert_ok(x, put_seen(x, db, "a", second, r2, r3));
    assert_ok(x, read_info(x, db, "a", &d));
    assert_int_equal(d.tree.n, 3);
    assert_int_equal(d.seq, 4);
    assert_true(
        slice_starts(read_json(x, &d, revtree_find(&d.tree, &r1)), SLICE_LIT("{\"rev\":\"1-")));
    assert_counts(db, 2, 0, 4);
    db_release(db);
    assert_rebuilds(x);
}

/* In one group, and in one that an edit of the group before has made old. */
static void what_was_read_in_a_batch(void **state)
{
    enum { N = 3000 };
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct commit_op *ops = arena_array(x->a, N, sizeof(*ops));
    struct rev r1 = rev_n(x, 1, 1);
    char id[16];
    int written = 0;

    for (int i = 0; i < N; i++) { /* each of half as many twice, the second a group later */
        snprintf(id, sizeof(id), "d%d", i % (N / 2));
        ops[i] = op_edit(x, db, id, none, i < N / 2 ? r1 : rev_n(x, 1, 2));
        ops[i].seen = look_up(x, db, id);
    }
    assert_ok(x, commit_wait(x->s, ops, N, &x->e));
    for (int i = 0; i < N; i++) {
        written += ops[i].st == ST_OK;
        assert_int_equal(ops[i].st, i < N / 2 ? ST_OK : ST_CONFLICT);
    }
    assert_counts(db, (uint64_t)written, 0, (uint64_t)written);
    db_release(db);
    assert_rebuilds(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(create_update_delete, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(conflicts_are_refused, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(one_document_many_times_in_a_batch, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(bodies_are_carried_along, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(impossible_operations_are_refused, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(replicated_revisions, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(long_histories_are_stemmed, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(leaves_are_bounded, fix_memory, fix_end),
        cmocka_unit_test_setup_teardown(a_record_is_bounded, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(attachments_follow_their_body, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(what_was_read_may_be_old, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(what_was_read_in_a_batch, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(local_documents, fix_files, fix_end),
    };
    return cmocka_run_group_tests_name("couch_commit", tests, NULL, NULL);
}
