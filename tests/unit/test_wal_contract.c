/* wal/seg_store.h: what both kinds of store promise about calls that do not fit what is there: the
 * same answer from files and from memory. And what only memory does: the copies that a crash
 * leaves. */
#include "unit.h"

#include "base/log.h"
#include "wal_file_fix.h"

struct both {
    struct dir d; /* d.f.ss: the store under test */
    uint64_t epoch;
};

static int begin(void **state, const char *uri)
{
    struct both *b = mem_zalloc(sizeof *b);
    char file[80];

    new_dir(&b->d);
    (void)snprintf(file, sizeof file, "file:%s", b->d.path);
    assert_int_equal(seg_store_open(uri != NULL ? uri : file, &b->d.f.ss, &b->d.f.e), ST_OK);
    b->d.f.ss->segment_bytes = 4096;
    assert_int_equal(b->d.f.ss->ops->acquire(b->d.f.ss, 0, &b->d.f.super, &b->d.f.e), SS_OK);
    b->epoch = b->d.f.super.epoch;
    *state = b;
    return 0;
}

static int begin_mem(void **state)
{
    return begin(state, "mem:seed=3");
}

static int begin_file(void **state)
{
    return begin(state, NULL);
}

static int end(void **state)
{
    struct both *b = *state;
    struct err e;

    b->d.f.ss->ops->close(b->d.f.ss);
    assert_int_equal(fs_remove_tree(b->d.path, &e), ST_OK);
    mem_free(b);
    return 0;
}

static void segments(void **state)
{
    struct both *b = *state;
    struct seg_store *ss = b->d.f.ss;
    const struct seg_store_ops *ops = ss->ops;
    char head[64] = "head", got[64];
    struct iovec iov = {head, 8};
    struct seg_info *v;
    uint32_t len;
    size_t n;
    struct err e;

    assert_int_equal(ops->seg_create(ss, 0, b->epoch, 5, head, sizeof head, &e), SS_OK);
    assert_int_equal(ops->append(ss, 0, b->epoch, 5, 64, &iov, 1, &e), SS_OK);
    assert_int_equal(ops->read(ss, 0, 5, 0, got, 64, &e), SS_OK);
    assert_memory_equal(got, head, 64);
    assert_int_equal(ops->read(ss, 0, 6, 0, got, 8, &e), SS_NOENT);
    assert_int_equal(ops->resolve(ss, 0, b->epoch, 6, &len, &e), SS_NOENT);
    assert_int_equal(ops->truncate(ss, 0, b->epoch, 6, 64, &e), SS_NOENT);
    assert_int_equal(ops->del(ss, 0, b->epoch, 6, &e), SS_NOENT);
    assert_int_equal(ops->resolve(ss, 0, b->epoch, 5, &len, &e), SS_OK);
    assert_true(len >= 72);
    assert_int_equal(ops->truncate(ss, 0, b->epoch, 5, 64, &e), SS_OK);
    assert_int_equal(ops->read(ss, 0, 5, 64, got, 8, &e), SS_CORRUPT);
    assert_int_equal(ops->seal(ss, 0, b->epoch, 5, 64, &e), SS_OK);
    assert_int_equal(ops->seg_create(ss, 0, b->epoch, 4, head, sizeof head, &e), SS_OK);
    assert_int_equal(ops->list(ss, 0, &v, &n, &e), SS_OK);
    assert_int_equal(n, 2);
    assert_true(v[0].seg == 4 && v[1].seg == 5 && v[1].len == 64);
    mem_free(v);
    assert_int_equal(ops->del(ss, 0, b->epoch, 5, &e), SS_OK);
    assert_int_equal(ops->read(ss, 0, 5, 0, got, 8, &e), SS_NOENT);
}

static void objects(void **state)
{
    struct both *b = *state;
    struct seg_store *ss = b->d.f.ss;
    const struct seg_store_ops *ops = ss->ops;
    struct obj_name o = {0, b->epoch, SEG_BLOB | 1}, other = {0, b->epoch, SEG_BLOB | 2};
    struct obj_name late = {0, b->epoch + 1, SEG_BLOB | 1};
    char bytes[100] = "bytes", got[100];
    struct iovec iov = {bytes, sizeof bytes};
    struct obj_info *v;
    uint64_t len;
    size_t n;
    struct err e;

    assert_int_equal(ops->obj_list(ss, 0, &v, &n, &e), SS_OK);
    assert_int_equal(n, 0);
    mem_free(v);
    assert_int_equal(ops->obj_create(ss, &late, &e), SS_FENCED);
    assert_int_equal(ops->obj_create(ss, &o, &e), SS_OK);
    assert_int_equal(ops->obj_create(ss, &o, &e), SS_EXISTS);
    assert_int_equal(ops->obj_append(ss, &late, 0, &iov, 1, &e), SS_FENCED);
    assert_int_equal(ops->obj_append(ss, &o, 0, &iov, 1, &e), SS_OK);
    assert_int_equal(ops->obj_stat(ss, &o, &len, &e), SS_NOENT); /* not before it is finished */
    assert_int_equal(ops->obj_read(ss, &o, 0, got, 8, &e), SS_NOENT);
    assert_int_equal(ops->obj_list(ss, 0, &v, &n, &e), SS_OK);
    assert_true(n == 1 && !v[0].finished && v[0].len == 100);
    mem_free(v);
    assert_int_equal(ops->obj_finish(ss, &late, &e), SS_FENCED);
    assert_int_equal(ops->obj_finish(ss, &o, &e), SS_OK);
    assert_int_equal(ops->obj_create(ss, &o, &e), SS_EXISTS);
    assert_int_equal(ops->obj_stat(ss, &o, &len, &e), SS_OK);
    assert_int_equal(len, 100);
    assert_int_equal(ops->obj_read(ss, &o, 50, got, 50, &e), SS_OK);
    assert_memory_equal(got, bytes + 50, 50);
    assert_int_equal(ops->obj_read(ss, &o, 50, got, 51, &e), SS_CORRUPT);
    assert_int_equal(ops->obj_read(ss, &other, 0, got, 1, &e), SS_NOENT);
    assert_int_equal(ops->obj_del(ss, &late, &e), SS_FENCED);
    assert_int_equal(ops->obj_del(ss, &other, &e), SS_NOENT);
    assert_int_equal(ops->obj_create(ss, &other, &e), SS_OK);
    assert_int_equal(ops->obj_del(ss, &other, &e), SS_OK); /* unfinished ones too */
    assert_int_equal(ops->obj_del(ss, &o, &e), SS_OK);
    assert_int_equal(ops->obj_stat(ss, &o, &len, &e), SS_NOENT);
}

/* One store goes, with what is open of it; the others keep everything. */
static void stores(void **state)
{
    struct both *b = *state;
    struct seg_store *ss = b->d.f.ss;
    const struct seg_store_ops *ops = ss->ops;
    struct ss_super one, two;
    struct obj_name zero = {0, b->epoch, SEG_BLOB | 1}, gone = {1, 0, SEG_BLOB | 1};
    char bytes[64] = "bytes", got[8];
    struct iovec iov = {bytes, 64};
    uint64_t *v, len;
    size_t n;
    struct err e;

    assert_int_equal(ops->acquire(ss, 1, &one, &e), SS_OK);
    assert_int_equal(ops->acquire(ss, 2, &two, &e), SS_OK);
    gone.epoch = one.epoch;
    for (uint64_t s = 0; s < 2; s++)
        assert_int_equal(ops->seg_create(ss, s, s == 0 ? b->epoch : one.epoch, 1, bytes, 64, &e),
                         SS_OK);
    assert_int_equal(ops->obj_create(ss, &zero, &e), SS_OK);
    assert_int_equal(ops->obj_create(ss, &gone, &e), SS_OK);
    assert_int_equal(ops->obj_append(ss, &gone, 0, &iov, 1, &e), SS_OK);
    ops->release(ss, 2);
    assert_int_equal(ops->destroy(ss, 1, one.epoch + 1, &e), SS_FENCED);
    assert_int_equal(ops->destroy(ss, 1, one.epoch, &e), SS_OK);
    assert_int_equal(ops->stores(ss, &v, &n, &e), SS_OK);
    assert_true(n == 2 && v[0] == 0 && v[1] == 2);
    mem_free(v);
    assert_int_equal(ops->read(ss, 1, 1, 0, got, 8, &e), SS_NOENT);
    assert_int_equal(ops->read(ss, 0, 1, 0, got, 8, &e), SS_OK);
    assert_int_equal(ops->obj_append(ss, &zero, 0, &iov, 1, &e), SS_OK); /* still open */
    assert_int_equal(ops->obj_finish(ss, &zero, &e), SS_OK);
    assert_int_equal(ops->obj_stat(ss, &zero, &len, &e), SS_OK);
    assert_int_equal(len, 64);
    assert_int_equal(ops->acquire(ss, 1, &one, &e), SS_OK); /* a new one */
    assert_true(one.created);
}

/* What is left of an unfinished object is shorter than it was; a finished one is whole. */
static void objects_after_a_crash(void **state)
{
    struct both *b = *state;
    struct seg_store *ss = b->d.f.ss, *copy;
    struct obj_name whole = {0, b->epoch, SEG_BLOB | 1}, half = {0, b->epoch, SEG_BLOB | 2};
    char bytes[100], got[100];
    struct iovec iov = {bytes, sizeof bytes};
    struct obj_info *v;
    size_t n;
    struct err e;

    memset(bytes, 7, sizeof bytes);
    assert_int_equal(ss->ops->obj_create(ss, &whole, &e), SS_OK);
    assert_int_equal(ss->ops->obj_append(ss, &whole, 0, &iov, 1, &e), SS_OK);
    assert_int_equal(ss->ops->obj_append(ss, &whole, 3, &iov, 1, &e), SS_IO); /* not its end */
    assert_int_equal(ss->ops->obj_finish(ss, &whole, &e), SS_OK);
    assert_int_equal(ss->ops->obj_finish(ss, &whole, &e), SS_IO);
    assert_int_equal(ss->ops->obj_create(ss, &half, &e), SS_OK);
    assert_int_equal(ss->ops->obj_append(ss, &half, 0, &iov, 1, &e), SS_OK);
    copy = seg_mem_crash(ss, 0);
    assert_int_equal(copy->ops->obj_read(copy, &whole, 0, got, 100, &e), SS_OK);
    assert_memory_equal(got, bytes, 100);
    assert_int_equal(copy->ops->obj_list(copy, 0, &v, &n, &e), SS_OK);
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++)
        assert_true(v[i].finished ? v[i].len == 100 : v[i].len < 100);
    mem_free(v);
    copy->ops->close(copy);
}

static void places_that_there_are_not(void **state)
{
    struct seg_store *ss = NULL;
    struct ss_super super;
    struct err e;
    static const char *const bad[] = {"", "file:", "mem:", "mem:seed=", "mem:seed=x", "s3:a"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(seg_store_open(bad[i], &ss, &e), ST_BAD_REQUEST);
    assert_null(ss);
    ss = seg_mem_new(1);
    assert_int_equal(ss->ops->acquire(ss, 1000, &super, &e), SS_IO);
    ss->ops->close(ss);
    assert_int_equal(ss_status(SS_OK), ST_OK);
    assert_int_equal(ss_status(SS_NOSPC), ST_NO_SPACE);
    assert_int_equal(ss_status(SS_FENCED), ST_UNAVAILABLE);
    assert_int_equal(ss_status(SS_EXISTS), ST_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments, begin_mem, end),
        cmocka_unit_test_setup_teardown(segments, begin_file, end),
        cmocka_unit_test_setup_teardown(objects, begin_mem, end),
        cmocka_unit_test_setup_teardown(objects, begin_file, end),
        cmocka_unit_test_setup_teardown(stores, begin_mem, end),
        cmocka_unit_test_setup_teardown(stores, begin_file, end),
        cmocka_unit_test_setup_teardown(objects_after_a_crash, begin_mem, end),
        cmocka_unit_test(places_that_there_are_not),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
