/* wal/seg_file_obj.c: objects as files: DIR/<store>/blob/%016x.tmp while one is written, %016x.blb
 * from the moment that it is finished: file synced, renamed, directory synced. So a name that ends
 * in .blb is whole, whatever happened.
 *
 * A failed sync ends the process as it does for segments, but for "no space", which some file
 * systems find out only then: nobody was told of the object, so it can be thrown away.
 * Threads: any; the list of open ones has a lock, each entry belongs to its writer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "wal/seg_file_priv.h"

enum { OBJ_IOV = 8 };

static void obj_path(const struct seg_file *f, char out[SEG_FILE_PATH], const struct obj_name *o,
                     const char *ext)
{
    char name[40];

    (void)snprintf(name, sizeof name, "blob/%016llx%s", (unsigned long long)o->id, ext);
    seg_file_path(f, out, o->store, name);
}

static struct obj_writer **find_locked(struct seg_file *f, const struct obj_name *o) REQUIRES(f->mu)
{
    struct obj_writer **p = &f->objs;

    while (*p != NULL && ((*p)->id != o->id || (*p)->store != o->store))
        p = &(*p)->next;
    return p;
}

static struct obj_writer *find(struct seg_file *f, const struct obj_name *o)
{
    struct obj_writer *w;

    mutex_lock(&f->mu);
    w = *find_locked(f, o);
    mutex_unlock(&f->mu);
    return w;
}

/* Takes the writer off the list and closes its file. */
static void forget(struct seg_file *f, const struct obj_name *o)
{
    struct obj_writer **p, *w;

    mutex_lock(&f->mu);
    p = find_locked(f, o);
    w = *p;
    if (w != NULL)
        *p = w->next;
    mutex_unlock(&f->mu);
    if (w != NULL)
        (void)close(w->fd);
    mem_free(w);
}

void seg_file_obj_close_store(struct seg_file *f, uint64_t store)
{
    struct obj_writer **p, *w, *gone = NULL;

    mutex_lock(&f->mu);
    for (p = &f->objs; (w = *p) != NULL;) {
        if (w->store != store) {
            p = &w->next;
            continue;
        }
        *p = w->next;
        w->next = gone;
        gone = w;
    }
    mutex_unlock(&f->mu);
    for (; gone != NULL; gone = w) {
        w = gone->next;
        (void)close(gone->fd);
        mem_free(gone);
    }
}

void seg_file_obj_close_all(struct seg_file *f)
{
    while (f->objs != NULL) {
        struct obj_writer *w = f->objs;

        f->objs = w->next;
        (void)close(w->fd);
        mem_free(w);
    }
}

enum ss_rc seg_file_obj_create(struct seg_store *s, const struct obj_name *o, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    struct obj_writer *w;
    enum ss_rc rc = seg_file_check_epoch(f, o->store, o->epoch, e);
    int fd;

    if (rc != SS_OK)
        return rc;
    obj_path(f, path, o, ".blb");
    if (fs_exists(path)) {
        (void)err_set(e, ST_EXISTS, "%s is there already", path);
        return SS_EXISTS;
    }
    obj_path(f, path, o, ".tmp");
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return seg_file_errno(e, "open", path);
    w = mem_zalloc(sizeof *w);
    *w = (struct obj_writer){.store = o->store, .id = o->id, .fd = fd};
    mutex_lock(&f->mu);
    w->next = f->objs;
    f->objs = w;
    mutex_unlock(&f->mu);
    return SS_OK;
}

static int write_all(int fd, uint64_t off, struct iovec *iov, int n)
{
    while (n > 0) {
        ssize_t got = pwritev(fd, iov, n, (off_t)off);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got == 0)
                errno = ENOSPC;
            return -1;
        }
        off += (uint64_t)got;
        for (; n > 0 && (size_t)got >= iov->iov_len; n--, iov++)
            got -= (ssize_t)iov->iov_len;
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + got;
            iov->iov_len -= (size_t)got;
        }
    }
    return 0;
}

enum ss_rc seg_file_obj_append(struct seg_store *s, const struct obj_name *o, uint64_t expect_off,
                               const struct iovec *iov, int n, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct obj_writer *w = find(f, o);
    struct iovec part[OBJ_IOV];
    char path[SEG_FILE_PATH];
    uint64_t bytes = 0;
    enum ss_rc rc = seg_file_check_epoch(f, o->store, o->epoch, e);

    if (rc != SS_OK)
        return rc;
    ASSERT(w != NULL && w->len == expect_off && n <= OBJ_IOV);
    for (int i = 0; i < n; i++) {
        part[i] = iov[i];
        bytes += iov[i].iov_len;
    }
    if (write_all(w->fd, expect_off, part, n) != 0) {
        obj_path(f, path, o, ".tmp");
        return seg_file_errno(e, "pwritev", path);
    }
    w->len += bytes;
    return SS_OK;
}

enum ss_rc seg_file_obj_finish(struct seg_store *s, const struct obj_name *o, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct obj_writer *w = find(f, o);
    char from[SEG_FILE_PATH], to[SEG_FILE_PATH];
    enum ss_rc rc = seg_file_check_epoch(f, o->store, o->epoch, e);

    if (rc != SS_OK)
        return rc;
    ASSERT(w != NULL);
    obj_path(f, from, o, ".tmp");
    obj_path(f, to, o, ".blb");
    KILL_POINT("blob.written");
    if (fsync(w->fd) != 0) {
        rc = seg_file_errno(e, "fsync", from);
        if (rc != SS_NOSPC)
            seg_file_die("fsync", from);
        return rc;
    }
    KILL_POINT("blob.synced");
    if (rename(from, to) != 0)
        return seg_file_errno(e, "rename", from);
    KILL_POINT("blob.renamed");
    forget(f, o);
    seg_file_path(f, from, o->store, "blob");
    if (fs_sync_dir(from, e) != ST_OK)
        seg_file_die("fsync", from);
    KILL_POINT("blob.named");
    return SS_OK;
}

enum ss_rc seg_file_obj_read(struct seg_store *s, const struct obj_name *o, uint64_t off, void *buf,
                             uint32_t len, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    int fd = seg_fds_get(&f->readers, o->store, o->id);
    bool cached = true;
    enum ss_rc rc;

    if (fd < 0) {
        char path[SEG_FILE_PATH];

        obj_path(f, path, o, ".blb");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return seg_file_errno(e, "open", path);
        cached = seg_fds_put(&f->readers, o->store, o->id, fd);
    }
    rc = seg_file_read_fd(fd, off, buf, len, e);
    if (cached)
        seg_fds_unpin(&f->readers, o->store, o->id, fd);
    else
        (void)close(fd);
    return rc;
}

enum ss_rc seg_file_obj_stat(struct seg_store *s, const struct obj_name *o, uint64_t *len,
                             struct err *e)
{
    char path[SEG_FILE_PATH];
    struct stat info;

    obj_path(seg_file_of(s), path, o, ".blb");
    if (stat(path, &info) != 0)
        return seg_file_errno(e, "stat", path);
    *len = (uint64_t)info.st_size;
    return SS_OK;
}

/* ---- all of them ---- */

struct lister {
    const struct seg_file *f;
    uint64_t store;
    struct obj_info *v;
    size_t n, cap;
};

static enum status list_one(void *arg, const char *name)
{
    struct lister *l = arg;
    struct obj_name o = {.store = l->store};
    char path[SEG_FILE_PATH];
    struct stat info;
    bool finished = seg_file_number(name, ".blb", &o.id);

    if (!finished && !seg_file_number(name, ".tmp", &o.id))
        return ST_OK;
    obj_path(l->f, path, &o, finished ? ".blb" : ".tmp");
    if (stat(path, &info) != 0)
        return errno == ENOENT ? ST_OK : ST_IO; /* finished or deleted meanwhile */
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 16;
        l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
    }
    l->v[l->n++] = (struct obj_info){o.id, (uint64_t)info.st_size, finished};
    return ST_OK;
}

enum ss_rc seg_file_obj_list(struct seg_store *s, uint64_t store, struct obj_info **out, size_t *n,
                             struct err *e)
{
    struct lister l = {.f = seg_file_of(s), .store = store};
    char path[SEG_FILE_PATH];
    enum status st;

    seg_file_path(l.f, path, store, "blob");
    st = fs_list(path, list_one, &l, e);
    if (st != ST_OK && st != ST_NOT_FOUND) { /* a store from before there were blobs has none */
        mem_free(l.v);
        return SS_IO;
    }
    *out = l.v;
    *n = l.n;
    return SS_OK;
}

enum ss_rc seg_file_obj_del(struct seg_store *s, const struct obj_name *o, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    enum ss_rc rc = seg_file_check_epoch(f, o->store, o->epoch, e);

    if (rc != SS_OK)
        return rc;
    forget(f, o);
    seg_fds_drop(&f->readers, o->store, o->id);
    obj_path(f, path, o, ".blb");
    KILL_POINT("blob.delete");
    if (unlink(path) == 0)
        return SS_OK;
    if (errno == ENOENT)
        obj_path(f, path, o, ".tmp");
    return errno == ENOENT && unlink(path) == 0 ? SS_OK : seg_file_errno(e, "unlink", path);
}
