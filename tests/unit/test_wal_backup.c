/* tests/unit/test_wal_backup.c: manifests of backups: what is written is read, half of one or a
 * changed one is none. Whole backups: tests/api/test_backup.py. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "wal/backup_priv.h"

static struct backup_manifest example(uint64_t generation)
{
    struct backup_manifest m = {.generation = generation, .uuid = {1, 2, 3}};
    static const struct backup_file files[] = {
        {.kind = BACKUP_LOG, .number = 2, .len = 64, .source_len = 1 << 20, .crc = UINT32_MAX},
        {.kind = BACKUP_STORE, .len = 8192, .crc = 5},
        {.kind = BACKUP_BLOB, .store = 3, .number = 1ull << 63, .len = 1ull << 33, .source_ns = 9},
        {.kind = BACKUP_LOG, .number = 1, .len = 100, .crc = 7},
    };

    for (size_t i = 0; i < COUNT_OF(files); i++)
        backup_add(&m, &files[i]);
    return m;
}

static void what_is_written_is_read(void **state)
{
    struct backup_manifest m = example(7), back;
    const struct backup_file *f;
    char name[BACKUP_NAME];
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, 1 << 20);
    backup_encode(&m, &b);
    assert_int_equal(backup_decode(buf_slice(&b), &back, &e), ST_OK);
    assert_int_equal(back.generation, 7);
    assert_memory_equal(back.uuid, m.uuid, 16);
    assert_int_equal(back.n, m.n);
    f = backup_find(&back, BACKUP_LOG, 0, 2);
    assert_non_null(f);
    assert_int_equal(f->source_len, 1 << 20);
    backup_name(f, name);
    assert_string_equal(name, "0/log/0000000000000002-40-ffffffff");
    backup_data_name(backup_find(&back, BACKUP_BLOB, 3, 1ull << 63), name);
    assert_string_equal(name, "3/blob/8000000000000000.blb");
    assert_null(backup_find(&back, BACKUP_LOG, 3, 2));
    backup_manifest_free(&back);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(backup_decode(slice_of(b.p, n), &back, &e), ST_CORRUPT);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        assert_int_equal(backup_decode(buf_slice(&b), &back, &e), ST_CORRUPT);
        b.p[i] ^= 1;
    }
    buf_free(&b);
    backup_manifest_free(&m);
}

static void write_manifest(const char *dir, uint64_t generation, bool whole)
{
    struct backup_manifest m = example(generation);
    char path[256];
    struct buf b;
    struct err e;

    buf_init(&b, 1 << 20);
    backup_encode(&m, &b);
    snprintf(path, sizeof(path), "%s/MANIFEST.%016llx", dir, (unsigned long long)generation);
    assert_int_equal(fs_write_atomic(path, slice_of(b.p, b.n - !whole), &e), ST_OK);
    buf_free(&b);
    backup_manifest_free(&m);
}

static void the_newest_whole_one_counts(void **state)
{
    char dir[] = "/tmp/divan-test-XXXXXX", path[128];
    struct backup_manifest m;
    uint64_t removed = 0;
    struct err e;

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(backup_newest(dir, &m, &e), ST_NOT_FOUND);
    write_manifest(dir, 9, true);
    write_manifest(dir, 10, true);
    write_manifest(dir, 11, false);
    assert_int_equal(backup_newest(dir, &m, &e), ST_OK);
    assert_int_equal(m.generation, 10);
    /* What no manifest names goes; what is named, and what is not a backup's, stays. */
    snprintf(path, sizeof(path), "%s/0/log", dir);
    assert_int_equal(fs_mkdirs(path, &e), ST_OK);
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"0/log/0000000000000002-40-ffffffff", "0/log/x.tmp",
                                            "notes"};

        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(fs_write_atomic(path, SLICE_LIT("x"), &e), ST_OK);
    }
    backup_sweep(dir, &m, &removed);
    assert_int_equal(removed, 1);
    assert_true(fs_exists(path));
    snprintf(path, sizeof(path), "%s/0/log/0000000000000002-40-ffffffff", dir);
    assert_true(fs_exists(path));
    snprintf(path, sizeof(path), "%s/MANIFEST.%016x", dir, 9);
    assert_false(fs_exists(path));
    backup_manifest_free(&m);
    assert_int_equal(fs_remove_tree(dir, &e), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_newest_whole_one_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
