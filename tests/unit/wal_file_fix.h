/* wal_file_fix.h: a log in files, a directory for each test. Used by test_wal_log_file,
 * test_wal_file_bad, test_wal_contract and calls_fail_fix.h, after unit.h. */
#ifndef WAL_FILE_FIX_H
#define WAL_FILE_FIX_H
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "wal/seg_file.h"
#include "wal_fix.h"

struct dir {
    char path[64];
    struct fix f;
};

/* In memory where there is such a place: these tests sync a lot. */
static inline void new_dir(struct dir *d)
{
    (void)snprintf(d->path, sizeof d->path, "%s/divan-wal-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(d->path));
}

static inline void open_store(struct dir *d)
{
    char uri[80];

    (void)snprintf(uri, sizeof uri, "file:%s", d->path);
    assert_int_equal(seg_store_open(uri, &d->f.ss, &d->f.e), ST_OK);
}

static inline void close_store(struct dir *d)
{
    fix_close(&d->f);
    d->f.ss->ops->close(d->f.ss);
}

static inline int dir_begin(void **state)
{
    struct dir *d = mem_zalloc(sizeof *d);

    new_dir(d);
    d->f.seed = 42;
    d->f.segment_bytes = 64 << 10;
    open_store(d);
    assert_int_equal(fix_open(&d->f), ST_OK);
    *state = d;
    return 0;
}

static inline int dir_end(void **state)
{
    struct dir *d = *state;
    struct err e;

    close_store(d);
    assert_int_equal(fs_remove_tree(d->path, &e), ST_OK);
    mem_free(d);
    return 0;
}

static inline void reopen(struct dir *d)
{
    close_store(d);
    open_store(d);
    assert_int_equal(fix_open(&d->f), ST_OK);
}

static inline void some_groups(struct fix *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(fix_append(f, 1 + fix_mix(i) % 5), ST_OK);
}

static inline void tail_path(const struct dir *d, char *out, size_t n)
{
    (void)snprintf(out, n, "%s/0/log/%016llx.seg", d->path,
                   (unsigned long long)log_tail_seg(d->f.log));
}

static inline off_t size_of(const char *path)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    return info.st_size;
}
#endif
