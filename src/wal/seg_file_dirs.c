/* wal/seg_file_dirs.c: the stores in a data directory: which there are, letting go of one, removing
 * one; and the word between those who delete files and those who copy them.
 *
 * A store is removed by renaming its folder to <n>.gone, durably, and then deleting what is in it:
 * under its number it is whole or not there. What is left of a <n>.gone goes at the next start.
 * DATA/COPYING: who deletes holds it shared, who copies holds it exclusively; a process that dies
 * lets go. Threads: any; acquire, release and destroy of one store by one thread at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "wal/seg_file_priv.h"

static const char gone_suffix[] = ".gone";

/* ---- deleting and copying ---- */

enum ss_rc seg_file_reclaim_begin(struct seg_store *s, int *token, struct err *e)
{
    char path[SEG_FILE_PATH];
    enum ss_rc rc = SS_OK;
    int fd, got;

    (void)snprintf(path, sizeof path, "%s/COPYING", seg_file_of(s)->dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return seg_file_errno(e, "open", path);
    do
        got = flock(fd, LOCK_SH | LOCK_NB);
    while (got != 0 && errno == EINTR);
    if (got != 0 && errno == EWOULDBLOCK) {
        rc = SS_EXISTS;
        (void)err_set(e, ST_EXISTS, "the files are being copied");
    } else if (got != 0) {
        rc = seg_file_errno(e, "flock", path);
    }
    if (rc != SS_OK)
        (void)close(fd);
    else
        *token = fd;
    return rc;
}

void seg_file_reclaim_end(struct seg_store *s, int token)
{
    (void)s;
    (void)close(token);
}

/* ---- which there are ---- */

struct store_lister {
    const struct seg_file *f;
    uint64_t *v;
    size_t n, cap;
    bool owner, removed;
};

static enum status see_dir(void *arg, const char *name)
{
    struct store_lister *l = arg;
    struct slice s = slice_str(name), digits;
    bool gone = slice_ends(s, slice_str(gone_suffix));
    char path[SEG_FILE_PATH], text[32];
    uint64_t store;
    struct err e;

    digits = slice_of(s.p, s.n - (gone ? sizeof gone_suffix - 1 : 0));
    if (!parse_u64(digits, &store))
        return ST_OK;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)store);
    if (!slice_eq(digits, slice_str(text))) /* 007 is not ours */
        return ST_OK;
    if (gone && !l->owner)
        return ST_OK;
    if (gone) {
        (void)snprintf(path, sizeof path, "%s/%s", l->f->dir, name);
        l->removed = true;
        if (fs_remove_tree(path, &e) != ST_OK)
            log_warn("%s", e.reason);
        return ST_OK;
    }
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 8;
        l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
    }
    l->v[l->n++] = store;
    return ST_OK;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

enum ss_rc seg_file_stores(struct seg_store *s, uint64_t **out, size_t *n, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct store_lister l = {.f = f};
    enum status st;

    mutex_lock(&f->mu);
    l.owner = f->owned != NULL;
    mutex_unlock(&f->mu);
    st = fs_list(f->dir, see_dir, &l, e);
    if (st == ST_OK && l.removed)
        st = fs_sync_dir(f->dir, e);
    if (st != ST_OK) {
        mem_free(l.v);
        return st == ST_NOT_FOUND ? SS_NOENT : SS_IO;
    }
    if (l.n != 0)
        qsort(l.v, l.n, sizeof *l.v, by_number);
    *out = l.v;
    *n = l.n;
    return SS_OK;
}

/* ---- letting go, removing ---- */

void seg_file_release(struct seg_store *s, uint64_t store)
{
    struct seg_file *f = seg_file_of(s);

    for (int i = 0; i < SEG_FILE_WRITERS; i++) {
        int fd = -1;

        mutex_lock(&f->mu);
        if (f->writers[i].fd >= 0 && f->writers[i].store == store) {
            fd = f->writers[i].fd;
            f->writers[i].fd = -1;
        }
        mutex_unlock(&f->mu);
        if (fd >= 0)
            (void)close(fd);
    }
    seg_fds_drop_store(&f->readers, store);
    seg_file_obj_close_store(f, store);
    seg_file_disown(f, store);
}

enum ss_rc seg_file_destroy(struct seg_store *s, uint64_t store, uint64_t epoch, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char from[SEG_FILE_PATH], to[SEG_FILE_PATH];
    enum ss_rc rc = seg_file_check_epoch(f, store, epoch, e);

    if (rc != SS_OK)
        return rc;
    (void)snprintf(from, sizeof from, "%s/%llu", f->dir, (unsigned long long)store);
    if (snprintf(to, sizeof to, "%s%s", from, gone_suffix) >= (int)sizeof to)
        return seg_file_errno(e, "rename", from);
    seg_file_release(s, store);
    if (fs_remove_tree(to, e) != ST_OK)
        return SS_IO;
    if (rename(from, to) != 0)
        return seg_file_errno(e, "rename", from);
    if (fs_sync_dir(f->dir, e) != ST_OK)
        seg_file_die("fsync", f->dir);
    KILL_POINT("stores.renamed");
    if (fs_remove_tree(to, e) != ST_OK || fs_sync_dir(f->dir, e) != ST_OK)
        log_warn("%s",
                 e->reason); /* under its number it is gone; the rest goes at the next start */
    return SS_OK;
}
