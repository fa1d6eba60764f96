/* The log over files: the same promises, with a real directory, torn copies, full disks and calls
 * that fail. The calls are replaced here, in the executable, which the static library binds to. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/thread.h"

#include "wal_file_fix.h"

/* ---- replaced calls ---- */

static struct {
    int fdatasync_errno;   /* every fdatasync fails with it */
    int pwritev_errno;     /* pwritev fails with it ... */
    size_t pwritev_budget; /* ... after this many bytes more */
    size_t pwritev_most;   /* a call writes at most this; 0: no bound */
    unsigned eintr;        /* calls that are interrupted first */
    uint64_t free_bytes;   /* what statvfs says; 0: the truth */
    unsigned syncs;
} fake;

int fdatasync(int fd)
{
    fake.syncs++;
    if (fake.fdatasync_errno != 0) {
        errno = fake.fdatasync_errno;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    size_t most = fake.pwritev_most, total = 0;

    if (fake.eintr > 0) {
        fake.eintr--;
        errno = EINTR;
        return -1;
    }
    if (fake.pwritev_errno != 0 && fake.pwritev_budget == 0) {
        errno = fake.pwritev_errno;
        return -1;
    }
    if (fake.pwritev_errno != 0 && (most == 0 || fake.pwritev_budget < most))
        most = fake.pwritev_budget;
    for (int i = 0; i < n && (most == 0 || total < most); i++) {
        size_t len = iov[i].iov_len;
        ssize_t got;

        if (most != 0 && len > most - total)
            len = most - total;
        got = pwrite(fd, iov[i].iov_base, len, off + (off_t)total);
        if (got != (ssize_t)len)
            return -1;
        total += len;
    }
    if (fake.pwritev_errno != 0)
        fake.pwritev_budget -= total;
    return (ssize_t)total;
}

int statvfs(const char *restrict path, struct statvfs *restrict v)
{
    (void)path;
    memset(v, 0, sizeof *v);
    v->f_frsize = 4096;
    v->f_blocks = 1u << 20;
    v->f_bavail = fake.free_bytes != 0 ? fake.free_bytes / 4096 : 1u << 20;
    return 0;
}

static int set_up(void **state)
{
    memset(&fake, 0, sizeof fake);
    return dir_begin(state);
}

static int tear_down(void **state)
{
    memset(&fake, 0, sizeof fake);
    return dir_end(state);
}

/* ---- tests ---- */

static void appends_rolls_and_reopens(void **state)
{
    struct dir *d = *state;

    for (int round = 0; round < 3; round++) {
        some_groups(&d->f, 150);
        fix_verify(&d->f, 0);
        reopen(d);
        fix_verify(&d->f, 0);
        assert_int_equal(d->f.super.epoch, round + 2);
        assert_false(d->f.super.created);
    }
    assert_true(log_tail_seg(d->f.log) > 5);
    assert_int_equal(fix_check(d->f.ss), 0);
}

static void one_owner_at_a_time(void **state)
{
    struct dir *d = *state;
    struct seg_store *other = seg_file_new(d->path);
    struct ss_super super;
    struct err e;

    assert_int_equal(other->ops->acquire(other, 0, &super, &e), SS_EXISTS);
    assert_int_equal(seg_file_lock(other, &e), ST_EXISTS);
    other->ops->close(other);
    assert_int_equal(fix_append(&d->f, 1), ST_OK); /* the lock is still ours */
    other = seg_file_new("/tmp/divan-there-is-no-such");
    assert_int_equal(seg_file_lock(other, &e), ST_NOT_FOUND);
    other->ops->close(other);
}

static void clean_flag_and_hint(void **state)
{
    struct dir *d = *state;
    struct fix *f = &d->f;
    struct ss_super super;

    assert_true(f->super.clean && f->super.created);
    some_groups(f, 3);
    fix_close(f);
    assert_int_equal(f->ss->ops->checkpoint(f->ss, 0, f->super.epoch, 1, true, &f->e), SS_OK);
    assert_int_equal(f->ss->ops->checkpoint(f->ss, 0, f->super.epoch - 1, 1, true, &f->e),
                     SS_FENCED);
    f->ss->ops->close(f->ss);
    open_store(d);
    assert_int_equal(seg_file_lock(f->ss, &f->e), ST_OK);
    assert_int_equal(seg_file_peek(f->ss, 0, &super, &f->e), ST_OK);
    assert_true(super.clean && super.replay_hint_seg == 1 && super.epoch == 1);
    assert_int_equal(seg_file_peek(f->ss, 7, &super, &f->e), ST_NOT_FOUND);
    assert_int_equal(fix_check(f->ss), 0);
    assert_int_equal(fix_open(f), ST_OK);
    assert_true(f->super.clean && f->super.replay_hint_seg == 1);
    fix_verify(f, 0);
    reopen(d);
    assert_false(f->super.clean); /* nobody said so this time */
}

static void store_lost_is_refused(void **state)
{
    struct dir *d = *state;
    char path[96];

    some_groups(&d->f, 2);
    close_store(d);
    (void)snprintf(path, sizeof path, "%s/0/STORE", d->path);
    assert_int_equal(unlink(path), 0);
    open_store(d);
    assert_int_equal(d->f.ss->ops->acquire(d->f.ss, 0, &d->f.super, &d->f.e), SS_CORRUPT);
    assert_int_equal(ss_status(SS_CORRUPT), ST_CORRUPT);
}

static void copy_file(const char *from, const char *to, off_t n)
{
    char *p = mem_alloc((size_t)n + 1);
    int fd = open(from, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, p, (size_t)n, 0), n);
    close(fd);
    fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(pwrite(fd, p, (size_t)n, 0), n);
    close(fd);
    mem_free(p);
}

/* The directory of a live log is copied, its last file cut anywhere inside the last group. */
static void half_written_copies(void **state)
{
    struct dir *d = *state, copy;
    char from[96], to[96];
    uint32_t before;
    struct err e;

    some_groups(&d->f, 5);
    before = (uint32_t)log_bytes(d->f.log);
    assert_int_equal(fix_append(&d->f, 2), ST_OK);
    for (uint32_t len = before; len <= log_bytes(d->f.log); len += len == before ? 1 : 13) {
        copy = *d;
        new_dir(&copy);
        (void)snprintf(to, sizeof to, "%s/0/log", copy.path);
        assert_int_equal(fs_mkdirs(to, &e), ST_OK);
        (void)snprintf(from, sizeof from, "%s/0/STORE", d->path);
        (void)snprintf(to, sizeof to, "%s/0/STORE", copy.path);
        copy_file(from, to, size_of(from));
        tail_path(d, from, sizeof from);
        (void)snprintf(to, sizeof to, "%s/0/log/%016x.seg", copy.path, 1);
        copy_file(from, to, len);
        if (len % 2 == 0) /* as if space had been reserved */
            assert_int_equal(truncate(to, 70000), 0);
        open_store(&copy);
        assert_int_equal(fix_open_from(&copy.f, 1), ST_OK);
        if (log_last_lsn(copy.f.log) != log_last_lsn(d->f.log)) {
            assert_true(len < log_bytes(d->f.log));
            assert_int_equal(size_of(to), before);
            copy.f.nacked -= 2;
        } else { /* whole, or the missing bytes were zeros and are there again */
            assert_true(len == log_bytes(d->f.log) || len % 2 == 0);
            assert_int_equal(size_of(to), log_bytes(d->f.log));
        }
        assert_int_equal(log_start(copy.f.log, &copy.f.e), ST_OK);
        fix_verify(&copy.f, 0);
        some_groups(&copy.f, 1);
        reopen(&copy);
        fix_verify(&copy.f, 0);
        close_store(&copy);
        assert_int_equal(fs_remove_tree(copy.path, &e), ST_OK);
    }
}

static void short_writes_and_interrupts(void **state)
{
    struct dir *d = *state;

    for (size_t most = 1; most < 300; most += 37) {
        fake.pwritev_most = most;
        fake.eintr = 2;
        assert_int_equal(fix_append(&d->f, 20), ST_OK);
    }
    fake.pwritev_most = 0;
    assert_int_equal(fix_append(&d->f, 512), ST_OK); /* more pieces than one call takes */
    fix_verify(&d->f, 0);
    reopen(d);
    fix_verify(&d->f, 0);
}

static void full_disk_then_room(void **state)
{
    struct dir *d = *state;
    char path[96];

    some_groups(&d->f, 3);
    for (size_t budget = 0; budget < 600; budget += 59) {
        uint64_t bytes = log_bytes(d->f.log);
        static const int why[] = {ENOSPC, EDQUOT, EFBIG};

        fake.pwritev_errno = why[budget % 3];
        fake.pwritev_budget = budget;
        assert_int_equal(fix_append(&d->f, 10), ST_NO_SPACE);
        assert_int_equal(log_bytes(d->f.log), bytes);
        tail_path(d, path, sizeof path);
        assert_true(size_of(path) <= (off_t)bytes); /* nothing of it remains */
        fake.pwritev_errno = 0;
        assert_int_equal(fix_append(&d->f, 3), ST_OK);
    }
    fix_verify(&d->f, 0);
    reopen(d);
    fix_verify(&d->f, 0);
}

static void the_floor_is_for_deletes(void **state)
{
    struct dir *d = *state;
    struct log_record r = {.type = LOG_DOC, .flags = LOG_F_TOMBSTONE, .dbnum = 1};
    uint64_t total = 4096ull << 20; /* statvfs above: 4 GiB, so the floor is 5 % of it */

    some_groups(&d->f, 3);
    fake.free_bytes = total / 100 * 5 - 4096;
    reopen(d); /* our own EPOCH record passes */
    assert_int_equal(fix_append(&d->f, 1), ST_NO_SPACE);
    r.keyhash = d->f.next;
    assert_int_equal(log_append(d->f.log, &r, 1, &d->f.e), ST_OK);
    fake.free_bytes = total / 100 * 5 + (1 << 20);
    assert_int_equal(fix_append(&d->f, 1), ST_OK);
}

/* In a child: the fault, then an append. Returns how it ended. */
static int child_status(struct dir *d, void (*fault)(void))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        fault();
        (void)fix_append(&d->f, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void sync_fails(void)
{
    fake.fdatasync_errno = EIO;
}

static void write_fails(void)
{
    fake.pwritev_errno = EIO;
}

static void repair_fails(void)
{
    fake.pwritev_errno = ENOSPC;
    fake.pwritev_budget = 20;
    fake.fdatasync_errno = EIO;
}

static void nothing_fails(void)
{
}

static void a_disk_that_lies_stops_the_process(void **state)
{
    struct dir *d = *state;

    assert_int_equal(child_status(d, sync_fails), 74);
    assert_int_equal(child_status(d, write_fails), 74);
    assert_int_equal(child_status(d, repair_fails), 74);
    assert_int_equal(child_status(d, nothing_fails), 0);
    /* the children wrote behind our back: take the log as they left it */
    fix_close(&d->f);
}

/* One group, one pwritev's worth of durability: the acknowledgement comes after a sync. */
static void every_append_syncs(void **state)
{
    struct dir *d = *state;

    for (int i = 0; i < 20; i++) {
        unsigned before = fake.syncs;

        assert_int_equal(fix_append(&d->f, 4), ST_OK);
        assert_int_equal(fake.syncs, before + 1);
    }
}

struct reader {
    const struct fix *f;
    _Atomic size_t ready; /* records that may be read */
    _Atomic bool stop;
    _Atomic size_t reads;
};

static enum status any_record(void *arg, const struct log_record *r, struct err *e)
{
    uint64_t *lsn = arg;

    (void)e;
    if (r->lsn != *lsn + 1)
        return ST_INTERNAL;
    *lsn = r->lsn;
    return ST_OK;
}

static void read_all_the_time(void *arg)
{
    struct reader *r = arg;
    char got[FIX_BODY_MAX];
    struct err e;

    for (size_t i = 0; !r->stop; i++) {
        size_t n = r->ready;
        uint64_t lsn = 0;

        if (n == 0 || log_read(r->f->log, &r->f->ptr[fix_mix(i) % n], got, &e) != ST_OK)
            continue;
        if (i % 64 != 0 || (log_scan(r->f->log, 1, any_record, &lsn, &e) == ST_OK && lsn >= n))
            r->reads++;
        else
            abort();
    }
}

static void readers_beside_the_appender(void **state)
{
    struct dir *d = *state;
    struct reader r = {.f = &d->f};
    struct thread t[2] = {{0}, {0}};

    for (int i = 0; i < 2; i++)
        thread_start(&t[i], "reader", read_all_the_time, &r);
    for (int i = 0; i < 600 || r.reads < 300; i++) {
        if (i < 600)
            assert_int_equal(fix_append(&d->f, 3), ST_OK);
        r.ready = d->f.nacked;
    }
    r.stop = true;
    for (int i = 0; i < 2; i++)
        thread_join(&t[i]);
    fix_verify(&d->f, 0);
}

static size_t open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static void descriptors_are_bounded(void **state)
{
    struct dir *d = *state;
    struct fix *f = &d->f;
    static char got[FIX_BODY_MAX];
    size_t before = open_fds();

    close_store(d);
    f->segment_bytes = 200; /* a group a segment */
    open_store(d);
    assert_int_equal(fix_open(f), ST_OK);
    for (int i = 0; i < 400; i++)
        assert_int_equal(fix_append(f, 1), ST_OK);
    assert_true(log_tail_seg(f->log) > 300);
    for (size_t i = 0; i < 2000; i++) {
        size_t k = fix_mix(i) % f->nacked;

        assert_int_equal(log_read(f->log, &f->ptr[k], got, &f->e), ST_OK);
    }
    assert_true(open_fds() < before + 256 + 16);
    fix_verify(f, 0);
    close_store(d);
    assert_true(open_fds() <= before);
    open_store(d);
    assert_int_equal(fix_open(f), ST_OK);
    fix_verify(f, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(appends_rolls_and_reopens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_owner_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clean_flag_and_hint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(store_lost_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(half_written_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(short_writes_and_interrupts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_then_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_floor_is_for_deletes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_disk_that_lies_stops_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_append_syncs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_beside_the_appender, set_up, tear_down),
        cmocka_unit_test_setup_teardown(descriptors_are_bounded, set_up, tear_down),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
