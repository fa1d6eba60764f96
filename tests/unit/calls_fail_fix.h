/* calls_fail_fix.h: a task in a process of its own, in which one call to the system fails: the
 * k-th, for each k. Used by the test_wal_*_fail files, after unit.h. */
#ifndef CALLS_FAIL_FIX_H
#define CALLS_FAIL_FIX_H
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/log.h"
#include "wal_file_fix.h"

enum { DONE = 0, SAID_NO = 3, NOT_MET = 4, DIED = 74, OLD = 7, NEW = 9, OBJ_BYTES = 300 };

#define OLD_ID (SEG_BLOB | OLD)
#define NEW_ID (SEG_BLOB | NEW)

/* ---- replaced calls ---- */

static struct {
    unsigned at; /* this one fails; 0: none */
    unsigned n;  /* calls so far */
    int why;
} fail;

static inline bool fails(void)
{
    if (fail.at == 0 || ++fail.n != fail.at)
        return false;
    errno = fail.why;
    return true;
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = (flags & O_CREAT) != 0 ? va_arg(ap, int) : 0;
    va_end(ap);
    return fails() ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int fsync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t n)
{
    return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int rename(const char *from, const char *to)
{
    return fails() ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    return fails() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int mkdir(const char *path, mode_t mode)
{
    return fails() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int flock(int fd, int how)
{
    return fails() ? -1 : (int)syscall(SYS_flock, fd, how);
}

int stat(const char *restrict path, struct stat *restrict info)
{
    return fails() ? -1 : fstatat(AT_FDCWD, path, info, 0);
}

ssize_t pread(int fd, void *p, size_t n, off_t off)
{
    return fails() ? -1 : syscall(SYS_pread64, fd, p, n, off);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return fails() ? -1 : syscall(SYS_pwrite64, fd, p, n, off);
}

/* Half of it when it has two pieces: the rest has to follow. */
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
    if (fails())
        return -1;
    return syscall(SYS_pwritev, fd, iov, n > 1 ? 1 : n, off & 0xffffffff, off >> 32);
}

/* ---- a place: stores 0 and 1, each with a log and an object; a backup of it ---- */

struct place {
    struct dir d;
    char dest[72], back[72];
};

static inline void put_object(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t id)
{
    struct obj_name o = {store, epoch, id};
    char bytes[OBJ_BYTES];
    struct iovec iov = {bytes, sizeof bytes};
    struct err e;

    memset(bytes, (int)(id & 0xff), sizeof bytes);
    assert_int_equal(ss->ops->obj_create(ss, &o, &e), SS_OK);
    assert_int_equal(ss->ops->obj_append(ss, &o, 0, &iov, 1, &e), SS_OK);
    assert_int_equal(ss->ops->obj_finish(ss, &o, &e), SS_OK);
}

static inline void make_place(struct place *p)
{
    struct ss_super one;

    memset(p, 0, sizeof *p);
    new_dir(&p->d);
    (void)snprintf(p->dest, sizeof p->dest, "%s.dest", p->d.path);
    (void)snprintf(p->back, sizeof p->back, "%s.back", p->d.path);
    p->d.f.seed = 5;
    p->d.f.segment_bytes = 400;
    open_store(&p->d);
    assert_int_equal(fix_open(&p->d.f), ST_OK);
    some_groups(&p->d.f, 3);
    put_object(p->d.f.ss, 0, p->d.f.super.epoch, OLD_ID);
    assert_int_equal(p->d.f.ss->ops->acquire(p->d.f.ss, 1, &one, &p->d.f.e), SS_OK);
    put_object(p->d.f.ss, 1, one.epoch, OLD_ID);
    close_store(&p->d);
}

static inline void end_place(struct place *p)
{
    struct err e;

    assert_int_equal(fs_remove_tree(p->d.path, &e), ST_OK);
    assert_int_equal(fs_remove_tree(p->dest, &e), ST_OK);
    assert_int_equal(fs_remove_tree(p->back, &e), ST_OK);
}

/* Of another process's doing: the log holds what it held; an object is whole or not there. */
static inline bool has_object(struct seg_store *ss, uint64_t id)
{
    struct obj_name o = {0, 0, id};
    char bytes[OBJ_BYTES];
    uint64_t len = 0;
    struct err e;

    if (ss->ops->obj_stat(ss, &o, &len, &e) != SS_OK)
        return false;
    assert_int_equal(len, OBJ_BYTES);
    assert_int_equal(ss->ops->obj_read(ss, &o, 0, bytes, OBJ_BYTES, &e), SS_OK);
    for (size_t i = 0; i < OBJ_BYTES; i++)
        assert_int_equal(bytes[i], id & 0xff);
    return true;
}

static inline void open_again(struct place *p)
{
    open_store(&p->d);
    assert_int_equal(fix_open(&p->d.f), ST_OK);
    fix_verify(&p->d.f, 0);
}

/* ---- the loop ---- */

struct task {
    bool (*run)(struct place *p);              /* in the child */
    void (*check)(struct place *p, bool done); /* afterwards */
    void (*prepare)(struct place *p);          /* before; may be NULL */
};

static inline int in_child(struct place *p, const struct task *t, unsigned at, int why)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        bool done;

        log_set_level(LOG_ERROR_ + 1);
        fail.at = at;
        fail.why = why;
        done = t->run(p);
        fail.at = 0;
        if (fail.n < at && done)
            _exit(NOT_MET);
        _exit(done ? DONE : SAID_NO);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static inline void each_call_fails(const struct task *t, int why)
{
    unsigned refused = 0;
    struct place p;
    int end = DONE;

    for (unsigned at = 1; end != NOT_MET; at++) {
        assert_true(at < 1000);
        make_place(&p);
        if (t->prepare != NULL)
            t->prepare(&p);
        end = in_child(&p, t, at, why);
        if (end != DONE && end != SAID_NO && end != NOT_MET && end != DIED)
            fail_msg("call %u failing with %d: exit status %d", at, why, end);
        refused += end == SAID_NO || end == DIED;
        t->check(&p, end == DONE || end == NOT_MET);
        end_place(&p);
    }
    assert_true(refused > 3); /* it does meet calls that matter */
}

static inline void each_call_fails_each_way(const struct task *t)
{
    static const int why[] = {EIO, ENOSPC, EINTR};

    for (size_t i = 0; i < COUNT_OF(why); i++)
        each_call_fails(t, why[i]);
}

#endif
