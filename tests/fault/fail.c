/* tests/fault/fail.c: LD_PRELOAD library that makes one file call below FAIL_ROOT fail.
 *
 *   FAIL=<call>:<n>:<what>[:sticky]   the n-th (from 1) call of that name; sticky: and all later
 *   FAIL=count                        nothing fails
 *
 * what: an errno's name (ENOSPC, EIO, EINTR, EMFILE, ENFILE), short (half of it is done), kill (the
 * process dies before it), tear (half of it is done, then the process dies), full (half of it is
 * done, the next call of that name is ENOSPC: how a disk runs full), slow (it takes a fifth of a
 * second longer).
 *
 *   FAIL_REPORT=<file>                "hit" when something failed; with count "<call> <n>" at exit
 *
 * Goes before trace.so in LD_PRELOAD, so that what fails is not recorded. Threads: any.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "trace.h"

enum { FDS_MAX = 65536, SLOW_US = 200000 };
enum call {
    C_OPEN,
    C_WRITE,
    C_PWRITE,
    C_PWRITEV,
    C_FTRUNCATE,
    C_FALLOCATE,
    C_FSYNC,
    C_FDATASYNC,
    C_RENAME,
    C_UNLINK,
    C_MKDIR,
    C_READ,
    C_PREAD,
    C_MMAP,
    C_FLOCK,
    C_COUNT
};
static const char *const CALLS[C_COUNT] = {
    "open",   "write",  "pwrite", "pwritev", "ftruncate", "fallocate", "fsync", "fdatasync",
    "rename", "unlink", "mkdir",  "read",    "pread",     "mmap",      "flock"};
enum what { W_NONE, W_ERRNO, W_SHORT, W_KILL, W_TEAR, W_SLOW };

static const struct {
    const char *name;
    int no;
} ERRNOS[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EINTR", EINTR}, {"EMFILE", EMFILE}, {"ENFILE", ENFILE}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tracked[FDS_MAX];
static unsigned counts[C_COUNT];
static const char *root;
static size_t root_n;
static int report_fd = -1, counting;
static enum call target = C_COUNT;
static unsigned long target_n;
static enum what target_what;
static int target_errno, sticky, full;

static void read_what(const char *text)
{
    size_t n = strcspn(text, ":");

    sticky = strcmp(text + n, ":sticky") == 0;
    full = strncmp(text, "full", n) == 0;
    target_errno = ENOSPC;
    if (strncmp(text, "short", n) == 0 || full)
        target_what = W_SHORT;
    else if (strncmp(text, "kill", n) == 0)
        target_what = W_KILL;
    else if (strncmp(text, "tear", n) == 0)
        target_what = W_TEAR;
    else if (strncmp(text, "slow", n) == 0)
        target_what = W_SLOW;
    for (size_t i = 0; i < sizeof ERRNOS / sizeof *ERRNOS; i++)
        if (strlen(ERRNOS[i].name) == n && strncmp(text, ERRNOS[i].name, n) == 0) {
            target_what = W_ERRNO;
            target_errno = ERRNOS[i].no;
        }
}

__attribute__((constructor)) static void begin(void)
{
    const char *f = getenv("FAIL"), *report = getenv("FAIL_REPORT");
    char *end;
    size_t n;

    root = getenv("FAIL_ROOT");
    if (f == NULL || root == NULL)
        return;
    root_n = strlen(root);
    if (report != NULL)
        report_fd = (int)syscall(SYS_openat, AT_FDCWD, report,
                                 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    counting = strcmp(f, "count") == 0;
    n = strcspn(f, ":");
    for (int i = 0; i < C_COUNT && !counting; i++)
        if (strlen(CALLS[i]) == n && strncmp(f, CALLS[i], n) == 0)
            target = (enum call)i;
    if (target == C_COUNT)
        return;
    target_n = strtoul(f + n + 1, &end, 10);
    read_what(end + 1);
    if (target_what == W_NONE)
        abort();
}

__attribute__((destructor)) static void finish(void)
{
    char line[64];

    for (int i = 0; i < C_COUNT && counting && report_fd >= 0; i++) {
        int n = snprintf(line, sizeof line, "%s %u\n", CALLS[i], counts[i]);

        syscall(SYS_write, report_fd, line, (size_t)n);
    }
}

/* What is to happen to this call. */
/* Not between a call of another thread and its record: what comes after would find files that the
 * trace does not know. */
static void die(void)
{
    void (*hold)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "fault_trace_hold");

    if (hold != NULL)
        hold();
    raise(SIGKILL);
}

static enum what verdict(enum call c)
{
    enum what w = W_NONE;
    unsigned long n;

    pthread_mutex_lock(&lock);
    n = ++counts[c];
    if (c == target && (n == target_n || (sticky && n > target_n)))
        w = target_what;
    if (c == target && full && n == target_n + 1)
        w = W_ERRNO;
    if (w != W_NONE && report_fd >= 0)
        syscall(SYS_write, report_fd, "hit\n", 4);
    pthread_mutex_unlock(&lock);
    if (w == W_KILL)
        die();
    if (w == W_ERRNO)
        errno = target_errno;
    if (w == W_SLOW)
        usleep(SLOW_US);
    return w == W_SLOW ? W_NONE : w;
}

static int ours(const char *path)
{
    return root != NULL && strncmp(path, root, root_n) == 0 &&
           (path[root_n] == '/' || path[root_n] == '\0');
}

static int known(int fd)
{
    return root != NULL && fd >= 0 && fd < FDS_MAX && tracked[fd];
}

/* The next definition of the function that this is written in. */
#define NEXT(type, name) ((type)(uintptr_t)dlsym(RTLD_NEXT, name))

typedef int (*open_fn)(const char *, int, ...);
typedef int (*fd_fn)(int);
typedef int (*path_fn)(const char *);
typedef int (*rename_fn)(const char *, const char *);
typedef int (*mkdir_fn)(const char *, mode_t);
typedef ssize_t (*write_fn)(int, const void *, size_t);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*pwritev_fn)(int, const struct iovec *, int, off_t);
typedef ssize_t (*read_fn)(int, void *, size_t);
typedef ssize_t (*pread_fn)(int, void *, size_t, off_t);
typedef int (*resize_fn)(int, off_t);
typedef int (*grow_fn)(int, int, off_t, off_t);
typedef int (*flock_fn)(int, int);
typedef void *(*mmap_fn)(void *, size_t, int, int, int, off_t);

static int failing_open(const char *path, int flags, mode_t mode)
{
    int fd;

    if (ours(path) && verdict(C_OPEN) == W_ERRNO)
        return -1;
    fd = NEXT(open_fn, "open")(path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX)
        tracked[fd] = ours(path) ? 1 : 0;
    return fd;
}

#define OPEN_AS(name)                                                                              \
    int name(const char *path, int flags, ...);                                                    \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = (flags & O_CREAT) != 0 ? (mode_t)va_arg(ap, int) : 0;                        \
        va_end(ap);                                                                                \
        return failing_open(path, flags, mode);                                                    \
    }
#define OPEN2_AS(name)                                                                             \
    int name(const char *path, int flags);                                                         \
    int name(const char *path, int flags)                                                          \
    {                                                                                              \
        return failing_open(path, flags, 0);                                                       \
    }
OPEN_AS(open)
OPEN_AS(open64)
OPEN2_AS(__open_2)
OPEN2_AS(__open64_2)

int close(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        tracked[fd] = 0;
    return NEXT(fd_fn, "close")(fd);
}

ssize_t write(int fd, const void *p, size_t n)
{
    write_fn next = NEXT(write_fn, "write");
    enum what w = known(fd) ? verdict(C_WRITE) : W_NONE;

    if (w == W_ERRNO)
        return -1;
    if (w == W_SHORT)
        return next(fd, p, n / 2 + n % 2);
    if (w == W_TEAR) {
        (void)!next(fd, p, n / 2);
        die();
    }
    return next(fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
    pwrite_fn next = NEXT(pwrite_fn, "pwrite");
    enum what w = known(fd) ? verdict(C_PWRITE) : W_NONE;

    if (w == W_ERRNO)
        return -1;
    if (w == W_SHORT)
        return next(fd, p, n / 2 + n % 2, off);
    if (w == W_TEAR) {
        (void)!next(fd, p, n / 2, off);
        die();
    }
    return next(fd, p, n, off);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off);
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t off)
{
    return pwrite(fd, p, n, off);
}

/* The first piece and half of the second: enough to be in the middle of a record. */
static ssize_t some(pwritev_fn next, int fd, const struct iovec *v, int n, off_t off)
{
    struct iovec part[2] = {v[0]};

    if (n == 1) {
        part[0].iov_len = part[0].iov_len / 2 + part[0].iov_len % 2;
        return next(fd, part, 1, off);
    }
    part[1] = v[1];
    part[1].iov_len /= 2;
    return next(fd, part, 2, off);
}

ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off)
{
    pwritev_fn next = NEXT(pwritev_fn, "pwritev");
    enum what w = known(fd) ? verdict(C_PWRITEV) : W_NONE;

    if (w == W_ERRNO)
        return -1;
    if (w == W_SHORT)
        return some(next, fd, v, n, off);
    if (w == W_TEAR) {
        (void)some(next, fd, v, n, off);
        die();
    }
    return next(fd, v, n, off);
}

ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off);
ssize_t pwritev64(int fd, const struct iovec *v, int n, off64_t off)
{
    return pwritev(fd, v, n, off);
}

ssize_t read(int fd, void *p, size_t n)
{
    enum what w = known(fd) ? verdict(C_READ) : W_NONE;

    if (w == W_ERRNO)
        return -1;
    return NEXT(read_fn, "read")(fd, p, w == W_SHORT ? n / 2 + n % 2 : n);
}

ssize_t pread(int fd, void *p, size_t n, off_t off)
{
    enum what w = known(fd) ? verdict(C_PREAD) : W_NONE;

    if (w == W_ERRNO)
        return -1;
    return NEXT(pread_fn, "pread")(fd, p, w == W_SHORT ? n / 2 + n % 2 : n, off);
}

ssize_t pread64(int fd, void *p, size_t n, off64_t off);
ssize_t pread64(int fd, void *p, size_t n, off64_t off)
{
    return pread(fd, p, n, off);
}

int ftruncate(int fd, off_t len)
{
    if (known(fd) && verdict(C_FTRUNCATE) == W_ERRNO)
        return -1;
    return NEXT(resize_fn, "ftruncate")(fd, len);
}

int ftruncate64(int fd, off64_t len);
int ftruncate64(int fd, off64_t len)
{
    return ftruncate(fd, len);
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
    if (known(fd) && verdict(C_FALLOCATE) == W_ERRNO)
        return -1;
    return NEXT(grow_fn, "fallocate")(fd, mode, off, len);
}

int fallocate64(int fd, int mode, off64_t off, off64_t len);
int fallocate64(int fd, int mode, off64_t off, off64_t len)
{
    return fallocate(fd, mode, off, len);
}

/* The kernel marks the pages clean all the same: the trace must know that they are lost. */
static int sync_failed(int fd)
{
    char line[16];
    int keep = errno, n = snprintf(line, sizeof line, "!%d", fd);

    (void)!NEXT(write_fn, "write")(FAULT_MARK_FD, line, (size_t)n);
    errno = keep;
    return -1;
}

int fsync(int fd)
{
    if (known(fd) && verdict(C_FSYNC) == W_ERRNO)
        return sync_failed(fd);
    return NEXT(fd_fn, "fsync")(fd);
}

int fdatasync(int fd)
{
    if (known(fd) && verdict(C_FDATASYNC) == W_ERRNO)
        return sync_failed(fd);
    return NEXT(fd_fn, "fdatasync")(fd);
}

int rename(const char *from, const char *to)
{
    if (ours(from) && verdict(C_RENAME) == W_ERRNO)
        return -1;
    return NEXT(rename_fn, "rename")(from, to);
}

int unlink(const char *path)
{
    if (ours(path) && verdict(C_UNLINK) == W_ERRNO)
        return -1;
    return NEXT(path_fn, "unlink")(path);
}

int mkdir(const char *path, mode_t mode)
{
    if (ours(path) && verdict(C_MKDIR) == W_ERRNO)
        return -1;
    return NEXT(mkdir_fn, "mkdir")(path, mode);
}

int flock(int fd, int how)
{
    if (known(fd) && verdict(C_FLOCK) == W_ERRNO)
        return -1;
    return NEXT(flock_fn, "flock")(fd, how);
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
    if (known(fd) && verdict(C_MMAP) == W_ERRNO)
        return MAP_FAILED;
    return NEXT(mmap_fn, "mmap")(at, n, prot, flags, fd, off);
}
