/* wal/seg_file*.c, wal/log_open.c: calls under another epoch, a damaged STORE, a log of which a
 * piece is missing. */
#include "unit.h"

#include "base/log.h"
#include "wal/frame.h"
#include "wal_file_fix.h"

/* Whoever names another epoch than the one that the store was acquired under changes nothing. */
static void another_epoch_is_fenced(void **state)
{
    struct dir *d = *state;
    const struct seg_store_ops *ops = d->f.ss->ops;
    uint64_t epoch = d->f.super.epoch, tail = log_tail_seg(d->f.log);
    char bytes[FRAME_SEG_BYTES] = {0};
    struct iovec iov = {bytes, 8};
    uint32_t len;
    struct err e;

    some_groups(&d->f, 3);
    for (uint64_t other = epoch - 1; other <= epoch + 1; other += 2) {
        assert_int_equal(ops->append(d->f.ss, 0, other, tail, 64, &iov, 1, &e), SS_FENCED);
        assert_int_equal(ops->seg_create(d->f.ss, 0, other, 99, bytes, 64, &e), SS_FENCED);
        assert_int_equal(ops->truncate(d->f.ss, 0, other, tail, 64, &e), SS_FENCED);
        assert_int_equal(ops->rewrite(d->f.ss, 0, other, tail, 64, &e), SS_FENCED);
        assert_int_equal(ops->seal(d->f.ss, 0, other, tail, 64, &e), SS_FENCED);
        assert_int_equal(ops->del(d->f.ss, 0, other, tail, &e), SS_FENCED);
        assert_int_equal(ops->resolve(d->f.ss, 0, other, tail, &len, &e), SS_FENCED);
        assert_int_equal(ops->checkpoint(d->f.ss, 0, other, 1, true, &e), SS_FENCED);
    }
    fix_verify(&d->f, 0);
    reopen(d);
    fix_verify(&d->f, 0);
}

/* A slot that fails its checksum may have been the newer one: nobody may count on "clean" then, and
 * its epoch was perhaps used. */
static void a_damaged_slot_counts_as_newer(void **state)
{
    struct dir *d = *state;
    struct seg_store *ss = d->f.ss;
    uint64_t epoch = d->f.super.epoch;
    struct ss_super super;
    char path[96];
    struct buf b;
    struct err e;

    fix_close(&d->f);
    assert_int_equal(ss->ops->checkpoint(ss, 0, epoch, 1, true, &e), SS_OK);
    ss->ops->close(ss);
    (void)snprintf(path, sizeof path, "%s/0/STORE", d->path);
    for (unsigned slot = 0; slot < 2; slot++) {
        buf_init(&b, 1 << 20);
        assert_int_equal(fs_read_file(path, &b, &e), ST_OK);
        b.p[slot * 4096 + 40] ^= 1; /* the epoch */
        assert_int_equal(fs_write_atomic(path, buf_slice(&b), &e), ST_OK);
        open_store(d);
        assert_int_equal(seg_file_peek(d->f.ss, 0, &super, &e), ST_OK);
        assert_false(super.clean);
        assert_true(super.epoch > epoch);
        d->f.ss->ops->close(d->f.ss);
        b.p[slot * 4096 + 40] ^= 1;
        assert_int_equal(fs_write_atomic(path, buf_slice(&b), &e), ST_OK);
        buf_free(&b);
    }
    open_store(d);
    assert_int_equal(fix_open(&d->f), ST_OK);
}

/* A group is missing, and the one after it lies where it began: nothing fails a checksum. */
static void a_group_that_is_cut_out_is_damage(void **state)
{
    struct dir *d = *state;
    char path[96];
    uint32_t from, to;
    struct buf b;
    struct err e;

    some_groups(&d->f, 3);
    from = (uint32_t)log_bytes(d->f.log);
    assert_int_equal(fix_append(&d->f, 3), ST_OK);
    to = (uint32_t)log_bytes(d->f.log);
    some_groups(&d->f, 3);
    assert_int_equal(log_tail_seg(d->f.log), 1);
    tail_path(d, path, sizeof path);
    close_store(d);
    buf_init(&b, 1 << 20);
    assert_int_equal(fs_read_file(path, &b, &e), ST_OK);
    memmove(b.p + from, b.p + to, b.n - to);
    b.n -= to - from;
    assert_int_equal(fs_write_atomic(path, buf_slice(&b), &e), ST_OK);
    buf_free(&b);
    open_store(d);
    assert_int_equal(fix_open_from(&d->f, 1), ST_CORRUPT);
    assert_non_null(strstr(d->f.e.reason, "damaged"));
    /* without it, what follows is a log of its own */
    assert_int_equal(fs_remove_tree(d->path, &e), ST_OK);
    assert_int_equal(fs_mkdirs(d->path, &e), ST_OK);
    d->f.ss->ops->close(d->f.ss);
    open_store(d);
    assert_int_equal(fix_open(&d->f), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_epoch_is_fenced, dir_begin, dir_end),
        cmocka_unit_test_setup_teardown(a_damaged_slot_counts_as_newer, dir_begin, dir_end),
        cmocka_unit_test_setup_teardown(a_group_that_is_cut_out_is_damage, dir_begin, dir_end),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
