/* tests/unit/test_couch_blobs_bad.c: large attachments on a full disk, on a damaged one, and what
 * `divan check` says of them.
 */
#include "blob_fix.h"

static void no_space(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct slice bytes = slice_of(pattern(x, BIG, 1), BIG);
    char rev[64] = "";

    for (unsigned nth = 1; nth <= 7; nth++) {
        struct att_writer *w;
        struct att att;
        enum status st = ST_OK;

        seg_mem_fail_append(x->segs, nth, nth % 2 != 0 ? SEG_MEM_NOSPC : SEG_MEM_IO, false);
        assert_ok(x, att_writer_open(db, UINT64_MAX, &w, &x->e));
        st = att_writer_add(w, bytes, &x->e);
        if (st == ST_OK)
            st = att_writer_finish(w, x->a, &att, &x->e);
        assert_st(x, st, nth == 7 ? ST_OK : nth % 2 != 0 ? ST_NO_SPACE : ST_IO);
        att_writer_free(w);
        assert_int_equal(objects(x), 0);
    }
    seg_mem_fail_append(x->segs, 0, SEG_MEM_NONE, false);
    put_att(x, db, "a", "x", bytes, rev);
    assert_bytes(x, db, "a", "", bytes);
    db_release(db);
}

static void damaged(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    struct slice bytes = slice_of(pattern(x, BIG, 1), BIG);
    uint64_t len = blob_file_bytes(BIG);
    const uint64_t at[] = {
        3, 20, 57, BLOB_HEADER_BYTES, BLOB_HEADER_BYTES + BIG - 1, len - 1, len - 30, len - 49};
    char rev[64] = "";
    struct att att;
    struct buf b;

    put_att(x, db, "a", "x", bytes, rev);
    assert_ok(x, find_att(x, db, "a", "", "x", &att));
    buf_init(&b, 64 << 20);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        seg_mem_damage_obj(x->segs, att.ptr.seg, at[i], 1);
        buf_clear(&b);
        assert_st(x, doc_att_data(db, &att, &b, &x->e), ST_CORRUPT);
        seg_mem_damage_obj(x->segs, att.ptr.seg, at[i], 1);
    }
    assert_bytes(x, db, "a", "", bytes);
    buf_free(&b);
    db_release(db);
}

/* ---- check ---- */

static void swallow(void *arg, const char *text)
{
    (void)text;
    ++*(unsigned *)arg;
}

static uint64_t findings(struct fix *x)
{
    uint64_t bad = 99;
    unsigned shown = 0;

    forget_pins(x);
    fix_close(x);
    assert_ok(x, store_check(x->dir, swallow, &shown, &bad, &x->e));
    fix_open(x);
    return bad;
}

static void checked(void **state)
{
    struct fix *x = *state;
    struct db *db = make_db(x, "db");
    char rev[64] = "", path[160], away[200];
    struct kv_batch *b;
    struct att att;
    struct slice row;
    FILE *f;

    put_att(x, db, "a", "x", slice_of(pattern(x, BIG, 1), BIG), rev);
    assert_ok(x, find_att(x, db, "a", "", "x", &att));
    snprintf(path, sizeof(path), "%s/0/blob/%016llx.blb", x->dir, (unsigned long long)att.ptr.seg);
    snprintf(away, sizeof(away), "%s.away", path);
    row = key_blob(x->a, att.ptr.seg, db_num(db), SLICE_LIT("a"));
    b = kv_batch_new();
    db_release(db);
    kv_batch_delete(b, row);
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 1);
    kv_batch_clear(b);
    row = key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("a"));
    kv_batch_put(b, row, SLICE_LIT(""));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 0);
    kv_batch_clear(b);
    row = key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("b"));
    kv_batch_put(b, row, SLICE_LIT(""));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    assert_int_equal(findings(x), 1);
    kv_batch_clear(b);
    kv_batch_delete(b, key_blob(x->a, att.ptr.seg, 1, SLICE_LIT("b")));
    assert_ok(x, kv_write(x->s->kv, b, &x->e));
    kv_batch_free(b);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(findings(x), 1);
    assert_int_equal(rename(away, path), 0);
    f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 300000, SEEK_SET), 0);
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fclose(f), 0);
    assert_int_equal(findings(x), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_space, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(damaged, small_memory, fix_end),
        cmocka_unit_test_setup_teardown(checked, small_files, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
