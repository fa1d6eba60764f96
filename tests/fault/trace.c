/* tests/fault/trace.c: LD_PRELOAD library that writes every call that changes a file below
 * TRACE_ROOT to TRACE_FILE, with its data, and passes it on.
 *
 * It sees the calls of every library in the process, LevelDB's as well. One lock is held across
 * each call and its record, so the order in the trace is the order in which things happened; a sync
 * covers exactly what stands before it. Only calls that succeeded are recorded, writes with what
 * was really written. The kernel is called directly: nothing here can be interposed again.
 * Threads: any. Several processes may follow one another in one trace, not overlap.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace.h"

enum { FDS_MAX = 65536, TRACE_FD_MIN = 900, PARTS_MAX = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tracked[FDS_MAX];
static const char *root;
static size_t root_n;
static int trace_fd = -1;

static void put(struct trace_rec r, const char *path1, const char *path2, const void *data)
{
    struct iovec v[4] = {{.iov_base = &r, .iov_len = sizeof r}};
    int keep = errno;

    r.n1 = path1 != NULL ? (uint32_t)strlen(path1) : 0;
    r.n2 = path2 != NULL ? (uint32_t)strlen(path2) : 0;
    v[1] = (struct iovec){(void *)(uintptr_t)path1, r.n1};
    v[2] = (struct iovec){(void *)(uintptr_t)path2, r.n2};
    v[3] = (struct iovec){(void *)(uintptr_t)data, data != NULL ? (size_t)r.len : 0};
    if (syscall(SYS_writev, trace_fd, v, 4) < 0)
        abort();
    errno = keep;
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("TRACE_FILE");
    long fd;

    root = getenv("TRACE_ROOT");
    if (file == NULL || root == NULL)
        return;
    fd = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0)
        abort();
    trace_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, TRACE_FD_MIN);
    syscall(SYS_close, (int)fd);
    root_n = strlen(root);
    put((struct trace_rec){.kind = TRACE_START}, NULL, NULL, NULL);
}

static int ours(const char *path)
{
    return trace_fd >= 0 && strncmp(path, root, root_n) == 0 &&
           (path[root_n] == '/' || path[root_n] == '\0');
}

static int known(int fd)
{
    return trace_fd >= 0 && fd >= 0 && fd < FDS_MAX && tracked[fd];
}

#define HOLD pthread_mutex_lock(&lock)
#define LET  pthread_mutex_unlock(&lock)

/* For who ends the process: every call that was made is in the trace, and no other is made. */
__attribute__((visibility("default"))) void fault_trace_hold(void)
{
    HOLD;
}

/* ---- names ---- */

static int traced_open(int at, const char *path, int flags, mode_t mode)
{
    struct stat sb;
    int existed;
    long fd;

    if (!ours(path))
        return (int)syscall(SYS_openat, at, path, flags, mode);
    HOLD;
    existed = (flags & O_CREAT) == 0 || syscall(SYS_newfstatat, at, path, &sb, 0) == 0;
    fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        tracked[fd] = 1;
        if (!existed)
            put((struct trace_rec){.kind = TRACE_CREATE}, path, NULL, NULL);
        put((struct trace_rec){.kind = TRACE_OPEN, .fd = (int32_t)fd}, path, NULL, NULL);
        if (existed && (flags & O_TRUNC) != 0)
            put((struct trace_rec){.kind = TRACE_TRUNC, .fd = (int32_t)fd}, NULL, NULL, NULL);
    }
    LET;
    return (int)fd;
}

static mode_t mode_of(int flags, va_list ap)
{
    return (flags & O_CREAT) != 0 ? (mode_t)va_arg(ap, int) : 0;
}

#define OPEN_AS(name)                                                                              \
    int name(const char *path, int flags, ...);                                                    \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_of(flags, ap);                                                          \
        va_end(ap);                                                                                \
        return traced_open(AT_FDCWD, path, flags, mode);                                           \
    }
#define OPENAT_AS(name)                                                                            \
    int name(int at, const char *path, int flags, ...);                                            \
    int name(int at, const char *path, int flags, ...)                                             \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_of(flags, ap);                                                          \
        va_end(ap);                                                                                \
        return traced_open(at, path, flags, mode);                                                 \
    }
#define OPEN2_AS(name)                                                                             \
    int name(const char *path, int flags);                                                         \
    int name(const char *path, int flags)                                                          \
    {                                                                                              \
        return traced_open(AT_FDCWD, path, flags, 0);                                              \
    }
OPEN_AS(open)
OPEN_AS(open64)
OPENAT_AS(openat)
OPENAT_AS(openat64)
OPEN2_AS(__open_2)
OPEN2_AS(__open64_2)

/* A name that nobody has: libc's own would open it where nothing can be seen. */
int mkostemp(char *path, int flags)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz012345";
    static unsigned long made;
    char *end = path + strlen(path) - 6;
    int fd;

    do {
        unsigned long n = __atomic_add_fetch(&made, 1, __ATOMIC_RELAXED) * 2654435761u;

        for (int i = 0; i < 6; i++)
            end[i] = digits[n >> (5 * i) & 31];
        fd = traced_open(AT_FDCWD, path, flags | O_RDWR | O_CREAT | O_EXCL, 0600);
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

int mkostemp64(char *path, int flags);
int mkostemp64(char *path, int flags)
{
    return mkostemp(path, flags);
}

int close(int fd)
{
    int rc;

    if (!known(fd))
        return (int)syscall(SYS_close, fd);
    HOLD;
    tracked[fd] = 0;
    put((struct trace_rec){.kind = TRACE_CLOSE, .fd = fd}, NULL, NULL, NULL);
    rc = (int)syscall(SYS_close, fd);
    LET;
    return rc;
}

static int renamed(int at1, const char *from, int at2, const char *to)
{
    int rc;

    if (!ours(from) && !ours(to))
        return (int)syscall(SYS_renameat2, at1, from, at2, to, 0);
    HOLD;
    rc = (int)syscall(SYS_renameat2, at1, from, at2, to, 0);
    if (rc == 0)
        put((struct trace_rec){.kind = TRACE_RENAME}, from, to, NULL);
    LET;
    return rc;
}

int rename(const char *from, const char *to)
{
    return renamed(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int at1, const char *from, int at2, const char *to)
{
    return renamed(at1, from, at2, to);
}

int unlinkat(int at, const char *path, int flags)
{
    int rc;

    if (!ours(path))
        return (int)syscall(SYS_unlinkat, at, path, flags);
    HOLD;
    rc = (int)syscall(SYS_unlinkat, at, path, flags);
    if (rc == 0)
        put((struct trace_rec){.kind = TRACE_UNLINK}, path, NULL, NULL);
    LET;
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int rc = unlink(path);

    return rc != 0 && errno == EISDIR ? rmdir(path) : rc;
}

int mkdir(const char *path, mode_t mode)
{
    int rc;

    if (!ours(path))
        return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    HOLD;
    rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (rc == 0)
        put((struct trace_rec){.kind = TRACE_MKDIR}, path, NULL, NULL);
    LET;
    return rc;
}

/* ---- bytes ---- */

/* The number behind the '!'. */
static int32_t lost_fd(const char *p, size_t n)
{
    int32_t fd = 0;

    for (size_t i = 1; i < n; i++)
        fd = fd * 10 + (p[i] - '0');
    return fd;
}

static void wrote(int fd, const void *p, ssize_t n, off_t off)
{
    if (n > 0)
        put(
            (struct trace_rec){
                .kind = TRACE_WRITE, .fd = fd, .off = (uint64_t)off, .len = (uint64_t)n},
            NULL, NULL, p);
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t rc;

    if (fd == FAULT_MARK_FD) {
        if (trace_fd >= 0) {
            HOLD;
            if (n > 1 && *(const char *)p == '!')
                put((struct trace_rec){.kind = TRACE_LOST, .fd = lost_fd(p, n)}, NULL, NULL, NULL);
            else
                put((struct trace_rec){.kind = TRACE_MARK, .len = n}, NULL, NULL, p);
            LET;
        }
        return (ssize_t)n;
    }
    if (!known(fd))
        return syscall(SYS_write, fd, p, n);
    HOLD;
    rc = syscall(SYS_write, fd, p, n);
    wrote(fd, p, rc, syscall(SYS_lseek, fd, 0, SEEK_CUR) - rc);
    LET;
    return rc;
}

static ssize_t traced_pwrite(int fd, const void *p, size_t n, off_t off)
{
    ssize_t rc;

    if (!known(fd))
        return syscall(SYS_pwrite64, fd, p, n, off);
    HOLD;
    rc = syscall(SYS_pwrite64, fd, p, n, off);
    wrote(fd, p, rc, off);
    LET;
    return rc;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    return traced_pwrite(fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off);
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return traced_pwrite(fd, p, n, off);
}

/* One record: the pieces of one call are one write. */
static void wrote_parts(int fd, const struct iovec *v, ssize_t n, off_t off)
{
    struct trace_rec r = {.kind = TRACE_WRITE, .fd = fd, .off = (uint64_t)off, .len = (uint64_t)n};
    struct iovec part[PARTS_MAX + 1] = {{.iov_base = &r, .iov_len = sizeof r}};
    size_t left = n > 0 ? (size_t)n : 0;
    int k = 1;

    if (n <= 0)
        return;
    for (; left != 0 && k <= PARTS_MAX - 1; k++, v++) {
        part[k] = *v;
        if (part[k].iov_len > left)
            part[k].iov_len = left;
        left -= part[k].iov_len;
    }
    if (left != 0 || syscall(SYS_writev, trace_fd, part, k) < 0)
        abort();
}

static ssize_t traced_pwritev(int fd, const struct iovec *v, int n, off_t off)
{
    ssize_t rc;

    if (!known(fd))
        return syscall(SYS_pwritev, fd, v, n, off, 0);
    HOLD;
    rc = syscall(SYS_pwritev, fd, v, n, off, 0);
    wrote_parts(fd, v, rc, off);
    LET;
    return rc;
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off)
{
    return traced_pwritev(fd, v, n, off);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off);
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off)
{
    return traced_pwritev(fd, v, n, off);
}

static int resized(int fd, off_t len)
{
    int rc;

    if (!known(fd))
        return (int)syscall(SYS_ftruncate, fd, len);
    HOLD;
    rc = (int)syscall(SYS_ftruncate, fd, len);
    if (rc == 0)
        put((struct trace_rec){.kind = TRACE_TRUNC, .fd = fd, .len = (uint64_t)len}, NULL, NULL,
            NULL);
    LET;
    return rc;
}

int ftruncate(int fd, off_t len)
{
    return resized(fd, len);
}

int ftruncate64(int fd, off64_t len);
int ftruncate64(int fd, off64_t len)
{
    return resized(fd, len);
}

static int grown(int fd, int mode, off_t off, off_t len)
{
    int rc;

    if (!known(fd))
        return (int)syscall(SYS_fallocate, fd, mode, off, len);
    HOLD;
    rc = (int)syscall(SYS_fallocate, fd, mode, off, len);
    if (rc == 0 && mode == 0)
        put(
            (struct trace_rec){
                .kind = TRACE_GROW, .fd = fd, .off = (uint64_t)off, .len = (uint64_t)len},
            NULL, NULL, NULL);
    LET;
    return rc;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
    return grown(fd, mode, off, len);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len);
int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
    return grown(fd, mode, off, len);
}

static int synced(int fd, long call)
{
    int rc;

    if (!known(fd))
        return (int)syscall(call, fd);
    HOLD;
    rc = (int)syscall(call, fd);
    if (rc == 0)
        put((struct trace_rec){.kind = TRACE_SYNC, .fd = fd, .off = call == SYS_fdatasync}, NULL,
            NULL, NULL);
    LET;
    return rc;
}

int fsync(int fd)
{
    return synced(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return synced(fd, SYS_fdatasync);
}
