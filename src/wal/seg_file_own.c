/* wal/seg_file_own.c: who owns a data directory: LOCK (flock, one process) and STORE (the epoch,
 * one more at each acquire, durable before the first append).
 *
 * STORE is written slot by slot in turn, each write followed by fdatasync: a crash in the middle
 * leaves the slot before. Threads: acquire at start, checkpoint by the maintenance thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/time.h"
#include "wal/seg_file_priv.h"

static enum ss_rc of_status(enum status st)
{
    if (st == ST_OK)
        return SS_OK;
    if (st == ST_NO_SPACE)
        return SS_NOSPC;
    return st == ST_NOT_FOUND ? SS_NOENT : SS_IO;
}

static enum ss_rc take_lock(struct seg_file *f, const char *path, int flags, struct err *e)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd < 0)
        return seg_file_errno(e, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        enum ss_rc rc = SS_EXISTS;

        if (errno == EWOULDBLOCK)
            (void)err_set(e, ST_EXISTS, "%s is in use by another process", f->dir);
        else
            rc = seg_file_errno(e, "flock", path);
        (void)close(fd);
        return rc;
    }
    f->lock_fd = fd;
    return SS_OK;
}

enum ss_rc seg_file_lock_dir(struct seg_file *f, struct err *e)
{
    char path[SEG_FILE_PATH], pid[32];
    enum ss_rc rc;
    int n;

    if (f->lock_fd >= 0)
        return SS_OK;
    (void)snprintf(path, sizeof path, "%s/LOCK", f->dir);
    rc = take_lock(f, path, O_RDWR | O_CREAT, e);
    if (rc != SS_OK)
        return rc;
    n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(f->lock_fd, 0) != 0 || pwrite(f->lock_fd, pid, (size_t)n, 0) != n)
        log_warn("%s: the pid could not be written", path); /* only for people: the lock holds */
    return SS_OK;
}

enum status seg_file_lock(struct seg_store *s, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    char path[SEG_FILE_PATH];
    enum ss_rc rc;

    if (!fs_exists(f->dir))
        return err_set(e, ST_NOT_FOUND, "%s: no such directory", f->dir);
    (void)snprintf(path, sizeof path, "%s/LOCK", f->dir);
    rc = take_lock(f, path, O_RDONLY, e);
    return rc == SS_NOENT ? ST_OK : ss_status(rc); /* no LOCK: nobody runs, nothing is made */
}

/* SS_NOENT: no STORE, or none of its slots is valid. */
static enum ss_rc read_slot(struct seg_file *f, uint64_t store, struct store_slot *out,
                            struct err *e)
{
    char path[SEG_FILE_PATH];
    struct buf b;
    enum status st;

    seg_file_path(f, path, store, "STORE");
    buf_init(&b, (size_t)STORE_SLOTS * STORE_SLOT_BYTES);
    st = fs_read_file(path, &b, e);
    if (st == ST_OK)
        st = store_slot_pick(buf_slice(&b), out, e);
    buf_free(&b);
    return of_status(st);
}

enum status seg_file_peek(struct seg_store *s, uint64_t store, struct ss_super *out, struct err *e)
{
    struct store_slot slot;
    enum ss_rc rc = read_slot(seg_file_of(s), store, &slot, e);

    if (rc != SS_OK)
        return ss_status(rc);
    memset(out, 0, sizeof *out);
    memcpy(out->uuid, slot.uuid, sizeof out->uuid);
    out->epoch = slot.epoch;
    out->clean = slot.clean;
    out->replay_hint_seg = slot.replay_hint_seg;
    return ST_OK;
}

/* Next generation into the slot that does not count now. A failed sync ends the process. */
static enum ss_rc write_slot(const struct seg_file *f, int fd, uint64_t store,
                             struct store_slot *slot, struct err *e)
{
    unsigned char bytes[STORE_SLOT_BYTES];
    char path[SEG_FILE_PATH];
    uint64_t at;
    enum status st;

    seg_file_path(f, path, store, "STORE");
    slot->generation++;
    at = slot->generation % STORE_SLOTS * STORE_SLOT_BYTES;
    store_slot_put(bytes, slot);
    st = fs_pwrite_full(fd, bytes, sizeof bytes, at, e);
    if (st != ST_OK) {
        slot->generation--;
        return of_status(st);
    }
    KILL_POINT("store.slot.written");
    if (fdatasync(fd) != 0)
        seg_file_die("fdatasync", path);
    KILL_POINT("store.slot.synced");
    return SS_OK;
}

static enum ss_rc make_dirs(const struct seg_file *f, uint64_t store, struct err *e)
{
    char path[SEG_FILE_PATH];
    enum status st;

    seg_file_path(f, path, store, "blob");
    st = fs_mkdirs(path, e);
    seg_file_path(f, path, store, "log");
    if (st == ST_OK)
        st = fs_mkdirs(path, e);
    if (st == ST_OK)
        st = fs_sync_dir(path, e);
    if (st == ST_OK)
        st = fs_sync_dir(f->dir, e);
    return of_status(st);
}

/* No STORE that counts: new, unless segments say that there was one. */
static enum ss_rc new_slot(struct seg_file *f, uint64_t store, struct store_slot *slot,
                           struct err *e)
{
    struct seg_info *segs = NULL;
    size_t n = 0;
    enum ss_rc rc = seg_file_list(&f->base, store, &segs, &n, e);

    mem_free(segs);
    if (rc != SS_OK)
        return rc;
    if (n != 0) {
        (void)err_set(e, ST_CORRUPT, "%s/%llu: STORE is missing or damaged, but %zu segments exist",
                      f->dir, (unsigned long long)store, n);
        return SS_CORRUPT;
    }
    memset(slot, 0, sizeof *slot);
    random_bytes(slot->uuid, sizeof slot->uuid);
    slot->created_ms = time_wall_ms();
    slot->clean = true;
    return SS_OK;
}

static enum ss_rc open_slots(const struct seg_file *f, uint64_t store, int *fd, struct err *e)
{
    char path[SEG_FILE_PATH], dir[SEG_FILE_PATH];

    seg_file_path(f, path, store, "STORE");
    seg_file_path(f, dir, store, "");
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return seg_file_errno(e, "open", path);
    return of_status(fs_sync_dir(dir, e));
}

static void own(struct seg_file *f, uint64_t store, int fd, const struct store_slot *slot)
{
    struct seg_owned *o;

    mutex_lock(&f->mu);
    for (o = f->owned; o != NULL && o->store != store; o = o->next)
        ;
    if (o == NULL) {
        o = mem_zalloc(sizeof *o);
        o->store = store;
        o->fd = -1;
        o->next = f->owned;
        f->owned = o;
    }
    if (o->fd >= 0)
        (void)close(o->fd);
    o->fd = fd;
    o->slot = *slot;
    mutex_unlock(&f->mu);
}

enum ss_rc seg_file_acquire(struct seg_store *s, uint64_t store, struct ss_super *out,
                            struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct store_slot slot;
    enum ss_rc rc = of_status(fs_mkdirs(f->dir, e));
    int fd = -1;

    if (rc == SS_OK)
        rc = seg_file_lock_dir(f, e);
    if (rc == SS_OK)
        rc = make_dirs(f, store, e);
    if (rc != SS_OK)
        return rc;
    memset(out, 0, sizeof *out);
    rc = read_slot(f, store, &slot, e);
    out->created = rc == SS_NOENT;
    if (rc == SS_NOENT)
        rc = new_slot(f, store, &slot, e);
    if (rc == SS_OK)
        rc = open_slots(f, store, &fd, e);
    if (rc != SS_OK)
        goto out;
    memcpy(out->uuid, slot.uuid, sizeof out->uuid);
    out->clean = slot.clean;
    out->replay_hint_seg = slot.replay_hint_seg;
    slot.clean = false;
    slot.epoch++;
    out->epoch = slot.epoch;
    rc = write_slot(f, fd, store, &slot, e);
out:
    if (rc == SS_OK)
        own(f, store, fd, &slot);
    else if (fd >= 0)
        (void)close(fd);
    return rc;
}

void seg_file_disown(struct seg_file *f, uint64_t store)
{
    struct seg_owned *o, **p;

    mutex_lock(&f->mu);
    for (p = &f->owned; *p != NULL && (*p)->store != store;)
        p = &(*p)->next;
    o = *p;
    if (o != NULL)
        *p = o->next;
    mutex_unlock(&f->mu);
    if (o != NULL)
        (void)close(o->fd);
    mem_free(o);
}

static struct seg_owned *find_owned(struct seg_file *f, uint64_t store, uint64_t epoch)
{
    struct seg_owned *o;

    mutex_lock(&f->mu);
    for (o = f->owned; o != NULL && o->store != store; o = o->next)
        ;
    if (o != NULL && o->slot.epoch != epoch)
        o = NULL;
    mutex_unlock(&f->mu);
    return o;
}

enum ss_rc seg_file_check_epoch(struct seg_file *f, uint64_t store, uint64_t epoch, struct err *e)
{
    if (find_owned(f, store, epoch) != NULL)
        return SS_OK;
    (void)err_set(e, ST_UNAVAILABLE, "%s/%llu: not acquired under epoch %llu", f->dir,
                  (unsigned long long)store, (unsigned long long)epoch);
    return SS_FENCED;
}

enum ss_rc seg_file_checkpoint(struct seg_store *s, uint64_t store, uint64_t epoch,
                               uint64_t hint_seg, bool clean, struct err *e)
{
    struct seg_file *f = seg_file_of(s);
    struct seg_owned *o = find_owned(f, store, epoch);

    if (o == NULL)
        return seg_file_check_epoch(f, store, epoch, e);
    o->slot.replay_hint_seg = hint_seg;
    o->slot.clean = clean;
    return write_slot(f, o->fd, store, &o->slot, e);
}
