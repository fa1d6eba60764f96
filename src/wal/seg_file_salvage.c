/* wal/seg_file_salvage.c: what salvage does to files of segments and objects: copies that are kept,
 * bytes that are written over. Threads: the opener. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/time.h"
#include "wal/seg_file_priv.h"

enum { CHUNK = 1 << 20 };

/* DATA/<n>/quarantine, made, and a name in it that is free. */
static enum status kept_path(const struct seg_file *f, uint64_t store, uint64_t seg,
                             const char *ext, char out[SEG_FILE_PATH], struct err *e)
{
    char dir[SEG_FILE_PATH], parent[SEG_FILE_PATH], name[80];
    struct stat info;

    seg_file_path(f, dir, store, "quarantine");
    seg_file_path(f, parent, store, "");
    TRY(fs_mkdirs(dir, e));
    TRY(fs_sync_dir(parent, e));
    for (unsigned n = 0;; n++) {
        (void)snprintf(name, sizeof name, "quarantine/%016llx.%llu.%u.%s", (unsigned long long)seg,
                       (unsigned long long)time_wall_ms(), n, ext);
        seg_file_path(f, out, store, name);
        if (stat(out, &info) != 0) /* another error: a rename could replace what is kept there */
            return errno == ENOENT ? ST_OK : ss_status(seg_file_errno(e, "stat", out));
    }
}

static enum status sync_kept(const struct seg_file *f, uint64_t store, struct err *e)
{
    char dir[SEG_FILE_PATH];

    seg_file_path(f, dir, store, "quarantine");
    return fs_sync_dir(dir, e);
}

static enum status copy(int from, int to, struct err *e)
{
    char *chunk = mem_alloc(CHUNK);
    enum status st = ST_OK;
    uint64_t off = 0;
    ssize_t n = 1;

    while (st == ST_OK && n != 0) {
        n = pread(from, chunk, CHUNK, (off_t)off);
        if (n < 0)
            st = err_set(e, ST_IO, "pread of a segment: errno %d", errno);
        else if (n > 0)
            st = fs_pwrite_full(to, chunk, (size_t)n, off, e);
        off += n > 0 ? (uint64_t)n : 0;
    }
    mem_free(chunk);
    return st;
}

enum status seg_file_keep(struct seg_store *s, uint64_t store, uint64_t seg, struct err *e)
{
    const struct seg_file *f = seg_file_of(s);
    char from[SEG_FILE_PATH], to[SEG_FILE_PATH];
    enum status st;
    int in, out;

    TRY(kept_path(f, store, seg, "seg", to, e));
    seg_file_seg_path(f, from, store, seg);
    in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return ss_status(seg_file_errno(e, "open", from));
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    st = out < 0 ? ss_status(seg_file_errno(e, "open", to)) : copy(in, out, e);
    if (st == ST_OK && fsync(out) != 0)
        seg_file_die("fsync", to);
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return st == ST_OK ? sync_kept(f, store, e) : st;
}

enum status seg_file_set_aside(struct seg_store *s, uint64_t store, uint64_t seg, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char from[SEG_FILE_PATH], to[SEG_FILE_PATH];

    TRY(kept_path(f, store, seg, "seg", to, e));
    seg_file_seg_path(f, from, store, seg);
    if (rename(from, to) != 0)
        return ss_status(seg_file_errno(e, "rename", from));
    TRY(sync_kept(f, store, e));
    seg_fds_drop(&f->readers, store, seg);
    return ss_status(seg_file_sync_log_dir(f, store, e));
}

enum status seg_file_set_aside_obj(struct seg_store *s, uint64_t store, uint64_t id, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char from[SEG_FILE_PATH], to[SEG_FILE_PATH], name[40];

    TRY(kept_path(f, store, id, "blb", to, e));
    (void)snprintf(name, sizeof name, "blob/%016llx.blb", (unsigned long long)id);
    seg_file_path(f, from, store, name);
    if (rename(from, to) != 0)
        return ss_status(seg_file_errno(e, "rename", from));
    TRY(sync_kept(f, store, e));
    seg_fds_drop(&f->readers, store, id);
    seg_file_path(f, from, store, "blob");
    return fs_sync_dir(from, e);
}

enum status seg_file_patch(struct seg_store *s, uint64_t store, uint64_t seg, uint32_t off,
                           struct slice bytes, struct err *e)
{
    char path[SEG_FILE_PATH];
    enum status st;
    int fd;

    seg_file_seg_path(seg_file_of(s), path, store, seg);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return ss_status(seg_file_errno(e, "open", path));
    st = fs_pwrite_full(fd, bytes.p, bytes.n, off, e);
    if (st == ST_OK && fsync(fd) != 0)
        seg_file_die("fsync", path);
    (void)close(fd);
    return st;
}
