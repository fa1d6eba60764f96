/* Every call to the system that the file store and the backup make fails once: the k-th one of a
 * task, for each k, in a process of its own. Whatever the task then says, or however the process
 * ends: who was told "done" finds it done, and nothing that was there before is lost or half. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "base/log.h"
#include "wal/backup.h"
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

static bool fails(void)
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

static void put_object(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t id)
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

static void make_place(struct place *p)
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

static void end_place(struct place *p)
{
    struct err e;

    assert_int_equal(fs_remove_tree(p->d.path, &e), ST_OK);
    assert_int_equal(fs_remove_tree(p->dest, &e), ST_OK);
    assert_int_equal(fs_remove_tree(p->back, &e), ST_OK);
}

/* Of another process's doing: the log holds what it held; an object is whole or not there. */
static bool has_object(struct seg_store *ss, uint64_t id)
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

static void open_again(struct place *p)
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

static int in_child(struct place *p, const struct task *t, unsigned at, int why)
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

static void each_call_fails(const struct task *t, int why)
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

static void each_call_fails_each_way(const struct task *t)
{
    static const int why[] = {EIO, ENOSPC, EINTR};

    for (size_t i = 0; i < COUNT_OF(why); i++)
        each_call_fails(t, why[i]);
}

/* ---- objects ---- */

static bool write_objects(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super super;
    char bytes[OBJ_BYTES];
    struct iovec iov[2] = {{bytes, 100}, {bytes + 100, OBJ_BYTES - 100}};
    struct obj_name o = {.id = NEW_ID}, old = {.id = OLD_ID};
    struct obj_info *v = NULL;
    uint64_t len;
    size_t n = 0;
    struct err e;
    bool ok;

    memset(bytes, NEW, sizeof bytes);
    ok = ss->ops->acquire(ss, 0, &super, &e) == SS_OK;
    o.epoch = old.epoch = super.epoch;
    ok = ok && ss->ops->obj_create(ss, &o, &e) == SS_OK &&
         ss->ops->obj_append(ss, &o, 0, iov, 2, &e) == SS_OK &&
         ss->ops->obj_finish(ss, &o, &e) == SS_OK &&
         ss->ops->obj_read(ss, &o, 1, bytes, 9, &e) == SS_OK && bytes[8] == NEW &&
         ss->ops->obj_stat(ss, &old, &len, &e) == SS_OK &&
         ss->ops->obj_list(ss, 0, &v, &n, &e) == SS_OK && n == 2 &&
         ss->ops->obj_del(ss, &old, &e) == SS_OK;
    mem_free(v);
    ss->ops->close(ss);
    return ok;
}

static void objects_are_whole(struct place *p, bool done)
{
    open_again(p);
    assert_true(has_object(p->d.f.ss, NEW_ID) || !done);
    assert_true(!has_object(p->d.f.ss, OLD_ID) || !done);
    close_store(&p->d);
}

static void an_object_is_whole_or_not_there(void **state)
{
    static const struct task t = {write_objects, objects_are_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- stores ---- */

static bool destroy_store(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super zero, one;
    uint64_t *v = NULL;
    size_t n = 0;
    int token;
    struct err e;
    bool ok;

    ss->segment_bytes = 400;
    ok = ss->ops->acquire(ss, 0, &zero, &e) == SS_OK && ss->ops->acquire(ss, 1, &one, &e) == SS_OK;
    if (ok) {
        struct obj_name a = {0, zero.epoch, NEW_ID}, b = {1, one.epoch, NEW_ID};
        char head[64] = {0};

        /* of both something is open; only the one's is closed */
        ok = ss->ops->obj_create(ss, &a, &e) == SS_OK && ss->ops->obj_create(ss, &b, &e) == SS_OK &&
             ss->ops->seg_create(ss, 1, one.epoch, 1, head, 64, &e) == SS_OK &&
             ss->ops->reclaim_begin(ss, &token, &e) == SS_OK;
    }
    if (ok) {
        ok = ss->ops->destroy(ss, 1, one.epoch, &e) == SS_OK;
        ss->ops->reclaim_end(ss, token);
    }
    ok = ok && ss->ops->stores(ss, &v, &n, &e) == SS_OK && n == 1 && v[0] == 0;
    mem_free(v);
    ss->ops->close(ss);
    return ok;
}

static void store_is_gone_or_whole(struct place *p, bool done)
{
    uint64_t *v = NULL;
    struct ss_super super;
    size_t n = 0;
    char path[96];
    struct err e;

    open_again(p);
    assert_int_equal(p->d.f.ss->ops->stores(p->d.f.ss, &v, &n, &e), SS_OK);
    assert_int_equal(v[0], 0);
    assert_true(n == 1 || (n == 2 && v[1] == 1 && !done));
    if (n == 2)
        assert_int_equal(p->d.f.ss->ops->acquire(p->d.f.ss, 1, &super, &e), SS_OK);
    mem_free(v);
    (void)snprintf(path, sizeof path, "%s/1.gone", p->d.path);
    assert_false(fs_exists(path));
    assert_true(has_object(p->d.f.ss, OLD_ID));
    close_store(&p->d);
}

static void a_store_is_gone_or_whole(void **state)
{
    static const struct task t = {destroy_store, store_is_gone_or_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- what salvage does to files ---- */

static bool mend_files(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super super;
    struct err e;
    bool ok = ss->ops->acquire(ss, 0, &super, &e) == SS_OK &&
              seg_file_keep(ss, 0, 1, &e) == ST_OK && seg_file_keep(ss, 0, 1, &e) == ST_OK &&
              seg_file_patch(ss, 0, 1, 20, "x", 1, &e) == ST_OK &&
              seg_file_set_aside(ss, 0, 1, &e) == ST_OK &&
              seg_file_set_aside_obj(ss, 0, OLD_ID, &e) == ST_OK;

    ss->ops->close(ss);
    return ok;
}

struct kept {
    const char *dir;
    unsigned segs, objs;
};

static enum status see_kept(void *arg, const char *name)
{
    struct kept *k = arg;
    char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", k->dir, name);
    k->segs += strstr(name, ".seg") != NULL && size_of(path) > 64;
    k->objs += strstr(name, ".blb") != NULL && size_of(path) == OBJ_BYTES;
    return ST_OK;
}

static void nothing_is_lost(struct place *p, bool done)
{
    char dir[96], seg[96], obj[96];
    struct kept k = {.dir = dir};
    struct err e;

    (void)snprintf(dir, sizeof dir, "%s/0/quarantine", p->d.path);
    (void)snprintf(seg, sizeof seg, "%s/0/log/%016x.seg", p->d.path, 1);
    (void)snprintf(obj, sizeof obj, "%s/0/blob/%016llx.blb", p->d.path, (unsigned long long)OLD_ID);
    if (fs_exists(dir))
        assert_int_equal(fs_list(dir, see_kept, &k, &e), ST_OK);
    if (done) {
        assert_int_equal(k.segs, 3);
        assert_int_equal(k.objs, 1);
    }
    assert_true(fs_exists(seg) != done || !done);
    assert_true(fs_exists(seg) || k.segs >= 3);
    assert_int_equal(fs_exists(obj) + k.objs, 1);
}

static void what_is_mended_is_kept(void **state)
{
    static const struct task t = {mend_files, nothing_is_lost, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- backups ---- */

static bool take_backup(struct place *p)
{
    struct backup_report r;
    struct err e;

    return backup_run(p->d.path, p->dest, &r, &e) == ST_OK;
}

static bool bring_back(struct place *p)
{
    struct backup_report r;
    struct err e;

    return backup_restore(p->dest, p->back, &r, &e) == ST_OK;
}

/* The log in the folder that was brought back is the one that was copied. */
static void is_the_same(struct place *p)
{
    struct dir other = p->d;

    assert_true(strlen(p->back) < sizeof other.path);
    memcpy(other.path, p->back, strlen(p->back) + 1);
    open_store(&other);
    assert_int_equal(fix_open(&other.f), ST_OK);
    fix_verify(&other.f, 0);
    assert_true(has_object(other.f.ss, OLD_ID));
    close_store(&other);
}

static void backup_is_whole(struct place *p, bool done)
{
    struct backup_report r;
    struct err e;
    enum status st = backup_verify(p->dest, &r, &e);

    assert_true(st == ST_OK || (st == ST_NOT_FOUND && !done));
    assert_true(take_backup(p)); /* whatever the failed one left */
    assert_true(bring_back(p));
    is_the_same(p);
    open_again(p);
    close_store(&p->d);
}

static void a_backup_is_whole_or_none(void **state)
{
    static const struct task t = {take_backup, backup_is_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

static void take_first(struct place *p)
{
    assert_true(take_backup(p));
    open_again(p);
    some_groups(&p->d.f, 2);
    put_object(p->d.f.ss, 0, p->d.f.super.epoch, NEW_ID);
    close_store(&p->d);
}

static void second_backup_is_whole(struct place *p, bool done)
{
    struct backup_report r;
    struct err e;

    (void)done;
    assert_int_equal(backup_verify(p->dest, &r, &e), ST_OK); /* the one before, or the new one */
    backup_is_whole(p, done);
}

static void the_backup_before_stays(void **state)
{
    static const struct task t = {take_backup, second_backup_is_whole, take_first};

    (void)state;
    each_call_fails(&t, EIO);
    each_call_fails(&t, ENOSPC);
}

static void starts_only_when_done(struct place *p, bool done)
{
    struct seg_store *ss;
    struct ss_super super;
    struct err e;
    char store[96];

    if (done) {
        is_the_same(p);
        return;
    }
    (void)snprintf(store, sizeof store, "%s/0/log", p->back);
    if (!fs_exists(store))
        return;
    ss = seg_file_new(p->back);
    if (ss->ops->acquire(ss, 0, &super, &e) == SS_OK && !super.created) {
        ss->ops->close(ss); /* only a sync of what is all there failed */
        is_the_same(p);
        return;
    }
    ss->ops->close(ss);
}

static void first_backup(struct place *p)
{
    assert_true(take_backup(p));
}

static void what_is_brought_back_is_all_there(void **state)
{
    static const struct task t = {bring_back, starts_only_when_done, first_backup};

    (void)state;
    each_call_fails_each_way(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_whole_or_not_there),
        cmocka_unit_test(a_store_is_gone_or_whole),
        cmocka_unit_test(what_is_mended_is_kept),
        cmocka_unit_test(a_backup_is_whole_or_none),
        cmocka_unit_test(the_backup_before_stays),
        cmocka_unit_test(what_is_brought_back_is_all_there),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
