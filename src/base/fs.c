/* base/fs.c: file calls with errors as statuses. Every write that must survive a crash is followed
 * by the fsync it needs, of the file and of the directory that names it. Threads: any. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/kill_point.h"

enum { FS_READ_CHUNK = 64 << 10, FS_WALK_FDS = 16 };

static enum status fs_fail(struct err *e, const char *call, const char *path)
{
    int no = errno;
    char text[128];
    enum status st = ST_IO;

    if (no == ENOSPC || no == EDQUOT)
        st = ST_NO_SPACE;
    else if (no == ENOENT)
        st = ST_NOT_FOUND;
    /* the GNU form: returns the text, which may or may not be in the buffer */
    return err_set(e, st, "%s %s: %s (errno %d)", call, path, strerror_r(no, text, sizeof text),
                   no);
}

/* Splits off the directory of path. */
static enum status fs_dir_of(const char *path, char out[PATH_MAX], struct err *e)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);

    if (n >= PATH_MAX)
        return err_set(e, ST_IO, "open %.100s...: path too long", path);
    memcpy(out, slash == NULL ? "." : path, n);
    out[n] = '\0';
    return ST_OK;
}

enum status fs_sync_dir(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum status st = ST_OK;

    if (fd < 0)
        return fs_fail(e, "open", path);
    if (fsync(fd) != 0)
        st = fs_fail(e, "fsync", path);
    (void)close(fd);
    return st;
}

/* One level: makes it and fsyncs its parent, so that a crash does not take it away again. */
static enum status fs_mkdir_one(const char *path, struct err *e)
{
    char dir[PATH_MAX];
    struct stat sb;

    if (mkdir(path, 0700) != 0) {
        if (errno != EEXIST)
            return fs_fail(e, "mkdir", path);
        if (stat(path, &sb) != 0)
            return fs_fail(e, "stat", path);
        if (!S_ISDIR(sb.st_mode)) {
            errno = ENOTDIR;
            return fs_fail(e, "mkdir", path);
        }
        return ST_OK;
    }
    TRY(fs_dir_of(path, dir, e));
    return fs_sync_dir(dir, e);
}

enum status fs_mkdirs(const char *path, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    if (n == 0 || n >= sizeof part)
        return err_set(e, ST_IO, "mkdir %.100s: bad length of path", path);
    memcpy(part, path, n);
    part[n] = '\0';
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        TRY(fs_mkdir_one(part, e));
        part[i] = '/';
    }
    return fs_mkdir_one(part, e);
}

/* read(2) that goes on after a signal. */
static ssize_t fs_read(int fd, void *p, size_t n)
{
    ssize_t got;

    do
        got = read(fd, p, n);
    while (got < 0 && errno == EINTR);
    return got;
}

enum status fs_read_file(const char *path, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status st = ST_OK;
    ssize_t got;

    if (fd < 0)
        return fs_fail(e, "open", path);
    do {
        char probe;
        size_t room;

        buf_reserve(out, FS_READ_CHUNK);
        room = out->cap - out->n;
        got = room != 0 ? fs_read(fd, out->p + out->n, room) : fs_read(fd, &probe, 1);
        if (got < 0) {
            st = fs_fail(e, "read", path);
        } else if (got > 0 && room == 0) {
            out->full = true;
            st = err_set(e, ST_TOO_LARGE, "read %s: more than %zu bytes", path, out->max);
        } else {
            out->n += (size_t)got;
        }
    } while (got > 0 && st == ST_OK);
    (void)close(fd);
    return st;
}

enum status fs_pread_full(int fd, void *p, size_t n, uint64_t off, struct err *e)
{
    char *q = p;

    while (n != 0) {
        ssize_t got = pread(fd, q, n, (off_t)off);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_fail(e, "pread", "");
        if (got == 0)
            return err_set(e, ST_TORN, "pread: the file ends %zu bytes early", n);
        q += got;
        off += (uint64_t)got;
        n -= (size_t)got;
    }
    return ST_OK;
}

enum status fs_pwrite_full(int fd, const void *p, size_t n, uint64_t off, struct err *e)
{
    const char *q = p;

    while (n != 0) {
        ssize_t put = pwrite(fd, q, n, (off_t)off);

        if (put < 0 && errno == EINTR)
            continue;
        if (put == 0)
            errno = ENOSPC;
        if (put <= 0)
            return fs_fail(e, "pwrite", "");
        q += put;
        off += (uint64_t)put;
        n -= (size_t)put;
    }
    return ST_OK;
}

enum status fs_write_atomic(const char *path, struct slice data, struct err *e)
{
    char temp[PATH_MAX], dir[PATH_MAX];
    enum status st;
    int fd;

    if (snprintf(temp, sizeof temp, "%s.tmp-XXXXXX", path) >= (int)sizeof temp)
        return err_set(e, ST_IO, "open %.100s...: path too long", path);
    TRY(fs_dir_of(path, dir, e));
    fd = mkostemp(temp, O_CLOEXEC); /* its mode is 0600 */
    if (fd < 0)
        return fs_fail(e, "mkostemp", temp);
    st = fs_pwrite_full(fd, data.p, data.n, 0, e);
    KILL_POINT("file.written");
    if (st == ST_OK && fdatasync(fd) != 0)
        st = fs_fail(e, "fdatasync", temp);
    if (close(fd) != 0 && st == ST_OK)
        st = fs_fail(e, "close", temp);
    KILL_POINT("file.synced");
    if (st == ST_OK && rename(temp, path) != 0)
        st = fs_fail(e, "rename", path);
    KILL_POINT("file.renamed");
    if (st != ST_OK) {
        (void)unlink(temp);
        return st;
    }
    return fs_sync_dir(dir, e);
}

enum status fs_unlink(const char *path, struct err *e)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return fs_fail(e, "unlink", path);
    return ST_OK;
}

static int fs_remove_one(const char *path, const struct stat *sb, int type, struct FTW *at)
{
    (void)sb;
    (void)type;
    (void)at;
    return remove(path) != 0 && errno != ENOENT ? -1 : 0;
}

enum status fs_remove_tree(const char *path, struct err *e)
{
    /* thread safe as long as it changes no directory (FTW_CHDIR) */
    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    if (nftw(path, fs_remove_one, FS_WALK_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return fs_fail(e, "remove", path);
    return ST_OK;
}

bool fs_exists(const char *path)
{
    struct stat sb;

    return stat(path, &sb) == 0;
}

enum status fs_list(const char *path, enum status (*fn)(void *arg, const char *name), void *arg,
                    struct err *e)
{
    DIR *d = opendir(path);
    enum status st = ST_OK;

    if (d == NULL)
        return fs_fail(e, "opendir", path);
    while (st == ST_OK) {
        const struct dirent *ent;

        errno = 0;
        ent = readdir(d); /* NOLINT(concurrency-mt-unsafe): d is ours alone */
        if (ent == NULL) {
            if (errno != 0)
                st = fs_fail(e, "readdir", path);
            break;
        }
        if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
            st = fn(arg, ent->d_name);
    }
    (void)closedir(d);
    return st;
}

uint64_t fs_raise_open_files(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        return 1024;
    if (l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
        (void)getrlimit(RLIMIT_NOFILE, &l);
    }
    return l.rlim_cur;
}
