/* wal/seg_file.c: segments as files: create, append, seal, read.
 *
 * An append is pwritev and fdatasync at the known end of the file. A write that did not fit is cut
 * off again before SS_NOSPC is answered, so the end stays where it was. Space is reserved ahead
 * (fallocate) while there is plenty: an append then changes no file metadata that the sync would
 * have to write; the reserved rest reads as zeros and is cut off by seal.
 * Threads: as seg_store.h; seg_create and seal of one segment may run beside appends to another.
 */
#include "wal/seg_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/thread.h"
#include "wal/seg_file_priv.h"

enum { EXIT_DISK = 74, REWRITE_CHUNK = 1 << 20, SEG_NAME_HEX = 16 };
enum { WRITE_PIECES = 32, WRITEBACK_CHUNK = 128 << 10, PAGE = 4 << 10 };

void seg_file_path(const struct seg_file *f, char out[SEG_FILE_PATH], uint64_t store,
                   const char *rest)
{
    int n = snprintf(out, SEG_FILE_PATH, "%s/%llu/%s", f->dir, (unsigned long long)store, rest);

    if (n >= SEG_FILE_PATH)
        out[0] = '\0';
}

void seg_file_seg_path(const struct seg_file *f, char out[SEG_FILE_PATH], uint64_t store,
                       uint64_t seg)
{
    char name[40];

    (void)snprintf(name, sizeof name, "log/%016llx.seg", (unsigned long long)seg);
    seg_file_path(f, out, store, name);
}

enum ss_rc seg_file_errno(struct err *e, const char *call, const char *path)
{
    int err = errno;
    bool full = err == ENOSPC || err == EDQUOT || err == EFBIG;
    char text[128];

    /* the GNU form: returns the text, which may or may not be in the buffer */
    (void)err_set(e,
                  full            ? ST_NO_SPACE
                  : err == ENOENT ? ST_NOT_FOUND
                                  : ST_IO,
                  "%s %s: %s", call, path, strerror_r(err, text, sizeof text));
    if (full)
        return SS_NOSPC;
    return err == ENOENT ? SS_NOENT : err == EEXIST ? SS_EXISTS : SS_IO;
}

_Noreturn void seg_file_die(const char *call, const char *path)
{
    struct err e;

    (void)seg_file_errno(&e, call, path);
    log_error("%s; stopping: what the disk holds can no longer be known", e.reason);
    _exit(EXIT_DISK);
}

enum ss_rc seg_file_sync_log_dir(const struct seg_file *f, uint64_t store, struct err *e)
{
    char path[SEG_FILE_PATH];

    seg_file_path(f, path, store, "log");
    if (fs_sync_dir(path, e) != ST_OK)
        seg_file_die("fsync", path);
    return SS_OK;
}

/* Space the file system has above the floor, or above a part of it, for room <= 2^64; UINT64_MAX
 * when it will not say. */
static uint64_t free_above(struct seg_store *s, unsigned floor_divided_by)
{
    struct statvfs v;
    uint64_t unit, avail, floor;

    if (statvfs(seg_file_of(s)->dir, &v) != 0)
        return UINT64_MAX;
    unit = v.f_frsize;
    avail = v.f_bavail * unit;
    floor = v.f_blocks * unit / 100 * LIMIT_FREE_PERCENT;
    if (floor > LIMIT_FREE_BYTES)
        floor = LIMIT_FREE_BYTES;
    floor /= floor_divided_by;
    return avail > floor ? avail - floor : 0;
}

static uint64_t file_free_bytes(struct seg_store *s)
{
    return free_above(s, 1);
}

static uint64_t file_reserve_bytes(struct seg_store *s)
{
    return free_above(s, LIMIT_FREE_LAST_PART);
}

/* ---- segments open for writing ---- */

static struct seg_writer *writer_find(struct seg_file *f, uint64_t store, uint64_t seg)
{
    struct seg_writer *w = NULL;

    mutex_lock(&f->mu);
    for (int i = 0; i < SEG_FILE_WRITERS && w == NULL; i++)
        if (f->writers[i].fd >= 0 && f->writers[i].store == store && f->writers[i].seg == seg)
            w = &f->writers[i];
    mutex_unlock(&f->mu);
    return w;
}

static enum ss_rc writer_add(struct seg_file *f, struct seg_writer w, struct err *e)
{
    enum ss_rc rc = SS_IO;

    mutex_lock(&f->mu);
    for (int i = 0; i < SEG_FILE_WRITERS && rc != SS_OK; i++)
        if (f->writers[i].fd < 0) {
            f->writers[i] = w;
            rc = SS_OK;
        }
    mutex_unlock(&f->mu);
    if (rc != SS_OK)
        (void)err_set(e, ST_IO, "more than %d segments open for writing", SEG_FILE_WRITERS);
    return rc;
}

static void writer_close(struct seg_file *f, uint64_t store, uint64_t seg)
{
    struct seg_writer *w = writer_find(f, store, seg);
    int fd;

    if (w == NULL)
        return;
    mutex_lock(&f->mu);
    fd = w->fd;
    w->fd = -1;
    mutex_unlock(&f->mu);
    (void)close(fd);
}

/* Only while space is plenty: on a small disk the reserve would starve everything else. */
static void reserve(struct seg_store *s, int fd, uint32_t bytes)
{
    if (file_free_bytes(s) / 8 < bytes)
        return;
    while (fallocate(fd, 0, 0, bytes) != 0 && errno == EINTR)
        ;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc file_create(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                              const void *hdr, size_t n, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    enum status st;
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);
    int fd;

    if (rc != SS_OK)
        return rc;
    seg_file_seg_path(f, path, store, seg);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return seg_file_errno(e, "open", path);
    KILL_POINT("seg.create.empty");
    reserve(s, fd, s->segment_bytes != 0 ? s->segment_bytes : LIMIT_SEGMENT_BYTES);
    st = fs_pwrite_full(fd, hdr, n, 0, e);
    if (st != ST_OK) {
        (void)close(fd);
        (void)unlink(path); /* an empty file would be harmless too */
        return st == ST_NO_SPACE ? SS_NOSPC : SS_IO;
    }
    KILL_POINT("seg.create.written");
    if (fsync(fd) != 0)
        seg_file_die("fsync", path);
    KILL_POINT("seg.create.synced");
    rc = seg_file_sync_log_dir(f, store, e);
    KILL_POINT("seg.create.named");
    if (rc == SS_OK)
        rc = writer_add(f, (struct seg_writer){store, seg, fd, (uint32_t)n}, e);
    if (rc != SS_OK)
        (void)close(fd);
    return rc;
}

/* A hint: the disk gets the whole pages of a large group while the rest is still copied, and no
 * call keeps the core for long: many kernels let nobody else run in the middle of one, and the sync
 * of some MB took milliseconds. That all is there, and every error, is the sync's to say. */
static off_t begin_writeback(int fd, off_t from, off_t to)
{
    to &= ~(off_t)(PAGE - 1);
    (void)sync_file_range(fd, from, to - from, SYNC_FILE_RANGE_WRITE);
    return to;
}

/* The kernel takes at most IOV_MAX pieces a call and may write less than asked. */
static int write_all(int fd, const struct iovec *iov, int n, uint32_t off, uint32_t *done)
{
    struct iovec part[WRITE_PIECES];
    size_t skip = 0; /* bytes of iov[0] that are written */
    off_t at = off, begun = off;

    while (n > 0) {
        int k = n < WRITE_PIECES ? n : WRITE_PIECES;
        ssize_t got;

        memcpy(part, iov, (size_t)k * sizeof *part);
        part[0].iov_base = (char *)part[0].iov_base + skip;
        part[0].iov_len -= skip;
        got = pwritev(fd, part, k, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0)
                errno = ENOSPC;
            return -1;
        }
        at += got;
        if (at - begun >= WRITEBACK_CHUNK) {
            begun = begin_writeback(fd, begun, at);
            thread_pause();
        }
        for (skip += (size_t)got; n > 0 && skip >= iov->iov_len; n--, iov++)
            skip -= iov->iov_len;
    }
    *done = (uint32_t)(at - off);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc file_append(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                              uint32_t expect_off, const struct iovec *iov, int n, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct seg_writer *w;
    char path[SEG_FILE_PATH];
    uint32_t done = 0;
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);

    if (rc != SS_OK)
        return rc;
    w = writer_find(f, store, seg);
    ASSERT(w != NULL && w->len == expect_off); /* I12: the end is the last durable byte */
    if (write_all(w->fd, iov, n, expect_off, &done) != 0) {
        seg_file_seg_path(f, path, store, seg);
        rc = seg_file_errno(e, "pwritev", path);
        if (rc != SS_NOSPC)
            seg_file_die("pwritev", path);
        if (ftruncate(w->fd, expect_off) != 0 || fdatasync(w->fd) != 0)
            seg_file_die("cutting off a failed append", path);
        return rc;
    }
    KILL_POINT("seg.append.written");
    if (fdatasync(w->fd) != 0) {
        seg_file_seg_path(f, path, store, seg);
        seg_file_die("fdatasync", path);
    }
    KILL_POINT("seg.append.synced");
    w->len = expect_off + done;
    return SS_OK;
}

static enum ss_rc file_resolve(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                               uint32_t *len, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    const struct seg_writer *w = writer_find(f, store, seg);
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);

    if (rc != SS_OK)
        return rc;
    if (w == NULL) {
        (void)err_set(e, ST_NOT_FOUND, "segment %llu is not open", (unsigned long long)seg);
        return SS_NOENT;
    }
    *len = w->len;
    return SS_OK;
}

/* ---- recovery and sealing ---- */

static enum ss_rc open_for_repair(struct seg_file *f, uint64_t store, uint64_t epoch, uint64_t seg,
                                  int *fd, struct err *e)
{
    char path[SEG_FILE_PATH];
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);

    if (rc != SS_OK)
        return rc;
    seg_file_seg_path(f, path, store, seg);
    *fd = open(path, O_RDWR | O_CLOEXEC);
    return *fd < 0 ? seg_file_errno(e, "open", path) : SS_OK;
}

static enum ss_rc file_truncate(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                                uint32_t len, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    struct stat info;
    int fd = -1;
    enum ss_rc rc = open_for_repair(f, store, epoch, seg, &fd, e);

    if (rc != SS_OK)
        return rc;
    seg_file_seg_path(f, path, store, seg);
    if (fstat(fd, &info) != 0)
        rc = seg_file_errno(e, "fstat", path);
    else if (info.st_size < (off_t)len) {
        (void)err_set(e, ST_CORRUPT, "%s: shorter than %u bytes", path, (unsigned)len);
        rc = SS_CORRUPT;
    } else if (ftruncate(fd, len) != 0 || fsync(fd) != 0)
        seg_file_die("ftruncate and fsync", path);
    (void)close(fd);
    return rc;
}

static enum ss_rc file_rewrite(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                               uint32_t len, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    char *chunk;
    int fd = -1;
    enum ss_rc rc = open_for_repair(f, store, epoch, seg, &fd, e);
    enum status st = ST_OK;

    if (rc != SS_OK)
        return rc;
    seg_file_seg_path(f, path, store, seg);
    chunk = mem_alloc(REWRITE_CHUNK);
    for (uint32_t off = 0; off < len && st == ST_OK; off += REWRITE_CHUNK) {
        uint32_t n = len - off < REWRITE_CHUNK ? len - off : REWRITE_CHUNK;

        st = fs_pread_full(fd, chunk, n, off, e);
        if (st == ST_OK)
            st = fs_pwrite_full(fd, chunk, n, off, e);
    }
    mem_free(chunk);
    KILL_POINT("recover.rewritten");
    if (st == ST_OK && fsync(fd) != 0)
        seg_file_die("fsync", path);
    (void)close(fd);
    if (st != ST_OK)
        return st == ST_NO_SPACE ? SS_NOSPC : SS_IO;
    return seg_file_sync_log_dir(f, store, e);
}

static enum ss_rc file_seal(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                            uint32_t len, struct err *e)
{
    enum ss_rc rc;

    KILL_POINT("seg.seal.begin");
    rc = file_truncate(s, store, epoch, seg, len, e);
    KILL_POINT("seg.seal.cut");
    if (rc == SS_OK)
        writer_close(seg_file_of(s), store, seg);
    return rc;
}

static enum ss_rc file_del(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                           struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);

    if (rc != SS_OK)
        return rc;
    writer_close(f, store, seg);
    seg_fds_drop(&f->readers, store, seg);
    seg_file_seg_path(f, path, store, seg);
    if (unlink(path) != 0)
        return seg_file_errno(e, "unlink", path);
    KILL_POINT("seg.del.unlinked");
    return seg_file_sync_log_dir(f, store, e);
}

/* ---- reading ---- */

enum ss_rc seg_file_read_fd(int fd, uint64_t off, void *buf, uint32_t len, struct err *e)
{
    char *p = buf;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return seg_file_errno(e, "pread", "of a segment");
        if (n == 0) {
            (void)err_set(e, ST_CORRUPT, "the segment ends %u bytes early", (unsigned)len);
            return SS_CORRUPT;
        }
        p += n;
        off += (uint64_t)n;
        len -= (uint32_t)n;
    }
    return SS_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc file_read(struct seg_store *s, uint64_t store, uint64_t seg, uint32_t off,
                            void *buf, uint32_t len, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    int fd = seg_fds_get(&f->readers, store, seg);
    bool cached = true;
    enum ss_rc rc;

    if (fd < 0) {
        char path[SEG_FILE_PATH];

        seg_file_seg_path(f, path, store, seg);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return seg_file_errno(e, "open", path);
        cached = seg_fds_put(&f->readers, store, seg, fd);
    }
    rc = seg_file_read_fd(fd, off, buf, len, e);
    if (cached)
        seg_fds_unpin(&f->readers, store, seg, fd);
    else
        (void)close(fd);
    return rc;
}

struct lister {
    const struct seg_file *f;
    uint64_t store;
    struct seg_info *v;
    size_t n, cap;
};

bool seg_file_number(const char *name, const char *ext, uint64_t *n)
{
    static const char digits[] = "0123456789abcdef";

    *n = 0;
    if (strlen(name) != SEG_NAME_HEX + strlen(ext) || strcmp(name + SEG_NAME_HEX, ext) != 0)
        return false;
    for (int i = 0; i < SEG_NAME_HEX; i++) {
        const char *d = strchr(digits, name[i]);

        if (d == NULL)
            return false;
        *n = *n << 4 | (uint64_t)(d - digits);
    }
    return true;
}

static enum status list_one(void *arg, const char *name)
{
    struct lister *l = arg;
    char path[SEG_FILE_PATH];
    struct stat info;
    uint64_t seg;

    if (!seg_file_number(name, ".seg", &seg))
        return ST_OK;
    seg_file_seg_path(l->f, path, l->store, seg);
    if (stat(path, &info) != 0)
        return ST_IO;
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 16;
        l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
    }
    l->v[l->n++] = (struct seg_info){
        seg, info.st_size > (off_t)UINT32_MAX ? UINT32_MAX : (uint32_t)info.st_size};
    return ST_OK;
}

static int by_seg(const void *a, const void *b)
{
    const struct seg_info *x = a, *y = b;

    return (x->seg > y->seg) - (x->seg < y->seg);
}

enum ss_rc seg_file_list(struct seg_store *s, uint64_t store, struct seg_info **out, size_t *n,
                         struct err *e)
{
    struct lister l = {.f = seg_file_of(s), .store = store};
    char path[SEG_FILE_PATH];
    enum status st;

    seg_file_path(l.f, path, store, "log");
    st = fs_list(path, list_one, &l, e);
    if (st != ST_OK) {
        mem_free(l.v);
        return st == ST_NOT_FOUND ? SS_NOENT : SS_IO;
    }
    if (l.n != 0)
        qsort(l.v, l.n, sizeof *l.v, by_seg);
    *out = l.v;
    *n = l.n;
    return SS_OK;
}

static void file_close(struct seg_store *s)
{
    struct seg_file *f = seg_file_of(s);

    for (int i = 0; i < SEG_FILE_WRITERS; i++)
        if (f->writers[i].fd >= 0)
            (void)close(f->writers[i].fd);
    seg_file_obj_close_all(f);
    seg_fds_fini(&f->readers);
    while (f->owned != NULL) {
        struct seg_owned *o = f->owned;

        f->owned = o->next;
        (void)close(o->fd);
        mem_free(o);
    }
    mutex_fini(&f->mu);
    if (f->lock_fd >= 0)
        (void)close(f->lock_fd); /* last: the lock covers all of the above */
    mem_free(f->dir);
    mem_free(f);
}

static const struct seg_store_ops FILE_OPS = {
    .acquire = seg_file_acquire,
    .checkpoint = seg_file_checkpoint,
    .seg_create = file_create,
    .append = file_append,
    .resolve = file_resolve,
    .truncate = file_truncate,
    .rewrite = file_rewrite,
    .seal = file_seal,
    .read = file_read,
    .list = seg_file_list,
    .del = file_del,
    .obj_create = seg_file_obj_create,
    .obj_append = seg_file_obj_append,
    .obj_finish = seg_file_obj_finish,
    .obj_read = seg_file_obj_read,
    .obj_stat = seg_file_obj_stat,
    .obj_list = seg_file_obj_list,
    .obj_del = seg_file_obj_del,
    .reclaim_begin = seg_file_reclaim_begin,
    .reclaim_end = seg_file_reclaim_end,
    .stores = seg_file_stores,
    .release = seg_file_release,
    .destroy = seg_file_destroy,
    .free_bytes = file_free_bytes,
    .reserve_bytes = file_reserve_bytes,
    .close = file_close,
};

struct seg_store *seg_file_new(const char *dir)
{
    struct seg_file *f = mem_zalloc(sizeof *f);

    f->base.ops = &FILE_OPS;
    f->dir = mem_strdup(dir);
    f->lock_fd = -1;
    seg_fds_init(&f->readers);
    mutex_init(&f->mu, RANK_LEAF);
    for (int i = 0; i < SEG_FILE_WRITERS; i++)
        f->writers[i].fd = -1;
    return &f->base;
}
