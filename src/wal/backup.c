/* wal/backup.c: takes a backup: see backup.h.
 *
 * Why the copy of a store is a moment of it: the segments that are there at the beginning are
 * copied newest first. When one has been read, the ones before it are complete: so none can
 * lack what a later one goes on from. Of each only whole groups count; a group that is being
 * written just then was not acknowledged when we began. Blobs come after the log, so that every one
 * that a record names is there; STORE last, so that its epoch is not below a segment's. Nothing of
 * it is deleted meanwhile (COPYING). Store 0 comes first: a name that moves to another store
 * meanwhile cannot be in both (couch/stores.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/text.h"
#include "wal/backup_priv.h"
#include "wal/frame.h"
#include "wal/seg_file.h"
#include "wal/store_slot.h"

enum { CHUNK = 1 << 20, COPYING_WAIT_MS = 120000, TORN_TRIES = 100, TORN_STEP_US = 10000 };

struct copier {
    const char *data, *dest;
    struct backup_manifest before, now;
    struct backup_report *r;
    struct seg_store *segs; /* of data: for its lists; nothing is locked or written */
    uint64_t store;
    bool later; /* a newer segment of the store has groups */
};

/* ---- one file ---- */

static enum status fail(struct err *e, const char *call, const char *path)
{
    bool full = errno == ENOSPC || errno == EDQUOT;

    return err_set(e,
                   full              ? ST_NO_SPACE
                   : errno == ENOENT ? ST_NOT_FOUND
                                     : ST_IO,
                   "%s %s: errno %d", call, path, errno);
}

static enum status stat_source(struct copier *c, struct backup_file *f, char path[BACKUP_PATH],
                               struct err *e)
{
    char name[BACKUP_NAME];
    struct stat info;

    backup_data_name(f, name);
    TRY(backup_path(path, c->data, name, e));
    if (stat(path, &info) != 0)
        return fail(e, "stat", path);
    f->source_len = (uint64_t)info.st_size;
    f->source_ns = (uint64_t)info.st_mtim.tv_sec * 1000000000u + (uint64_t)info.st_mtim.tv_nsec;
    return ST_OK;
}

static void count(struct copier *c, const struct backup_file *f, bool copied)
{
    backup_add(&c->now, f);
    c->r->files++;
    c->r->bytes += f->len;
    if (copied) {
        c->r->copied_files++;
        c->r->copied_bytes += f->len;
    }
}

/* The backup before has it as it is: what was written once is not written again. A file that is
 * still written to has more bytes than count, and is copied. */
static bool unchanged(struct copier *c, const struct backup_file *f)
{
    const struct backup_file *b = backup_find(&c->before, f->kind, f->store, f->number);

    if (b == NULL || b->source_len != f->source_len || b->source_ns != f->source_ns ||
        b->len != b->source_len || !backup_is_there(c->dest, b))
        return false;
    count(c, b, false);
    return true;
}

/* Under its final name when it is whole and durable; the folder is synced with the others. */
static enum status put_bytes(struct copier *c, struct backup_file *f, const char *bytes,
                             struct err *e)
{
    char name[BACKUP_NAME], path[BACKUP_PATH], tmp[BACKUP_PATH + 8];
    enum status st;
    int fd;

    backup_name(f, name);
    TRY(backup_path(path, c->dest, name, e));
    (void)snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(e, "open", tmp);
    st = fs_pwrite_full(fd, bytes, f->len, 0, e);
    if (st == ST_OK && fsync(fd) != 0)
        st = fail(e, "fsync", tmp);
    (void)close(fd);
    if (st == ST_OK && rename(tmp, path) != 0)
        st = fail(e, "rename", tmp);
    if (st != ST_OK)
        (void)unlink(tmp);
    else
        count(c, f, true);
    return st;
}

/* As it is now, but for two things: the log that we copied may end before the segment that it
 * hints at, and it is no clean stop. */
static enum status without_hint(struct buf *b, struct err *e)
{
    char bytes[STORE_SLOTS * STORE_SLOT_BYTES] = {0};
    struct store_slot slot;

    TRY(store_slot_pick(buf_slice(b), &slot, e));
    slot.replay_hint_seg = 0;
    slot.clean = false;
    store_slot_put((unsigned char *)bytes + slot.generation % STORE_SLOTS * STORE_SLOT_BYTES,
                   &slot);
    buf_clear(b);
    buf_append(b, bytes, sizeof(bytes));
    return ST_OK;
}

/* Small ones, in memory. */
static enum status copy_small(struct copier *c, struct backup_file *f, struct err *e)
{
    char path[BACKUP_PATH];
    struct buf b;
    enum status st = stat_source(c, f, path, e);

    if (st != ST_OK)
        return st;
    buf_init(&b, CHUNK);
    st = fs_read_file(path, &b, e);
    if (st == ST_OK && f->kind == BACKUP_STORE)
        st = without_hint(&b, e);
    f->len = b.n;
    f->source_ns = 0; /* always again */
    f->crc = crc32c(0, b.p, b.n);
    if (st == ST_OK)
        st = put_bytes(c, f, b.p != NULL ? b.p : "", e);
    buf_free(&b);
    return st;
}

/* ---- a segment ---- */

struct bytes {
    char *p;
    uint64_t n;
};

static enum status read_from(const char *path, struct bytes *b, uint64_t off, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    enum status st = ST_OK;

    if (fd < 0)
        return fail(e, "open", path);
    if (fstat(fd, &info) != 0)
        st = fail(e, "fstat", path);
    if (st == ST_OK) {
        b->n = (uint64_t)info.st_size;
        b->p = mem_realloc(b->p, b->n + 1);
    }
    while (st == ST_OK && off < b->n) {
        ssize_t got = pread(fd, b->p + off, b->n - off < CHUNK ? b->n - off : CHUNK, (off_t)off);

        if (got < 0 && errno != EINTR)
            st = fail(e, "pread", path);
        else if (got == 0) /* cut meanwhile: a server starts */
            b->n = off;
        off += got > 0 ? (uint64_t)got : 0;
    }
    (void)close(fd);
    return st;
}

static bool all_zero(const struct bytes *b, uint64_t off)
{
    while (off < b->n && b->p[off] == 0)
        off++;
    return off == b->n;
}

struct groups {
    uint32_t salt;
    uint64_t end, next_lsn; /* where whole groups end; 0: the LSN is not known */
    unsigned n;
};

/* Whole groups from g->end on. */
static void walk(const struct bytes *b, struct groups *g)
{
    struct frame_group h;
    struct err e;

    while (g->end < b->n) {
        struct slice in = slice_of(b->p + g->end, b->n - g->end);

        if (frame_group_get(in, g->salt, &h, &e) != ST_OK || in.n < FRAME_GROUP_BYTES + h.payload ||
            (g->next_lsn != 0 && h.first_lsn != g->next_lsn) ||
            frame_group_check(&h, slice_of(in.p + FRAME_GROUP_BYTES, h.payload), g->salt, &e) !=
                ST_OK)
            return;
        g->end += FRAME_GROUP_BYTES + h.payload;
        g->next_lsn = h.first_lsn + h.nrec;
        g->n++;
    }
}

/* Whether a group after the end says that what should be there was durable (walk.h). */
static bool is_damaged(const struct bytes *b, const struct groups *g)
{
    struct frame_group h;
    struct err e;

    for (uint64_t off = g->end + 8; off + FRAME_GROUP_BYTES <= b->n; off += 8)
        if (frame_group_get(slice_of(b->p + off, b->n - off), g->salt, &h, &e) == ST_OK &&
            h.durable_lsn >= g->next_lsn)
            return true;
    return false;
}

/* Cuts b to its whole groups. A group that is being written becomes whole, or zeros, in a moment;
 * then the end is where it was when we looked first. */
static enum status find_end(const struct copier *c, const char *path, struct bytes *b,
                            struct groups *g, struct err *e)
{
    struct ss_super super;
    struct groups first;
    bool torn;

    walk(b, g);
    first = *g;
    /* After a clean stop nobody was writing a group, and nobody will any more in this segment. */
    torn = !c->later && !(seg_file_peek(c->segs, c->store, &super, e) == ST_OK && super.clean);
    for (unsigned i = 0; g->end == first.end && !all_zero(b, g->end); i++) {
        if (i == TORN_TRIES)
            break;
        (void)usleep(TORN_STEP_US);
        TRY(read_from(path, b, first.end, e));
        walk(b, g);
    }
    if (g->end == first.end && !all_zero(b, g->end) && (!torn || is_damaged(b, g)))
        return err_set(e, ST_CORRUPT, "%s is damaged at byte %llu: see divan check", path,
                       (unsigned long long)g->end);
    *g = first;
    b->n = first.end;
    return ST_OK;
}

static enum status copy_segment(struct copier *c, uint64_t seg, struct err *e)
{
    struct backup_file f = {.kind = BACKUP_LOG, .store = c->store, .number = seg};
    struct groups g = {.end = FRAME_SEG_BYTES};
    struct bytes b = {0};
    char path[BACKUP_PATH];
    struct frame_seg h;
    enum status st = stat_source(c, &f, path, e);

    if (st == ST_OK && unchanged(c, &f)) {
        c->later = true;
        return ST_OK;
    }
    if (st == ST_OK)
        st = read_from(path, &b, 0, e);
    if (st == ST_NOT_FOUND || (st == ST_OK && all_zero(&b, 0))) {
        mem_free(b.p); /* prepared, never used, and gone with a stop; or not yet made */
        return ST_OK;
    }
    if (st == ST_OK)
        st = frame_seg_get(slice_of(b.p, b.n), &h, e);
    if (st == ST_OK) {
        g.salt = h.salt;
        st = find_end(c, path, &b, &g, e);
    }
    if (st == ST_OK && g.n != 0) { /* one without groups was never used */
        f.len = b.n;
        f.crc = crc32c(0, b.p, b.n);
        st = put_bytes(c, &f, b.p, e);
        c->later = true;
    }
    mem_free(b.p);
    return st;
}

/* ---- a blob: any length, never changed ---- */

static enum status copy_chunks(int in, int out, struct backup_file *f, struct err *e)
{
    char *chunk = mem_alloc(CHUNK);
    enum status st = ST_OK;

    while (st == ST_OK && f->len < f->source_len) {
        uint64_t left = f->source_len - f->len;
        size_t n = left < CHUNK ? (size_t)left : CHUNK;

        st = fs_pread_full(in, chunk, n, f->len, e);
        if (st == ST_OK)
            st = fs_pwrite_full(out, chunk, n, f->len, e);
        if (st == ST_OK)
            f->crc = crc32c(f->crc, chunk, n);
        f->len += n;
    }
    mem_free(chunk);
    if (st == ST_OK && fsync(out) != 0)
        st = err_set(e, errno == ENOSPC ? ST_NO_SPACE : ST_IO, "fsync: errno %d", errno);
    return st;
}

static enum status copy_blob(struct copier *c, uint64_t id, struct err *e)
{
    struct backup_file f = {.kind = BACKUP_BLOB, .store = c->store, .number = id};
    char from[BACKUP_PATH], tmp[BACKUP_PATH], to[BACKUP_PATH], name[BACKUP_NAME];
    enum status st = stat_source(c, &f, from, e);
    int in, out;

    if (st == ST_NOT_FOUND) /* written, and nobody named it: it may go at any time */
        return ST_OK;
    if (st != ST_OK || unchanged(c, &f))
        return st;
    (void)snprintf(name, sizeof(name), "%llu/blob/copy.tmp", (unsigned long long)c->store);
    TRY(backup_path(tmp, c->dest, name, e));
    in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return errno == ENOENT ? ST_OK : fail(e, "open", from);
    out = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    st = out < 0 ? fail(e, "open", tmp) : copy_chunks(in, out, &f, e);
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    backup_name(&f, name);
    if (st == ST_OK)
        st = backup_path(to, c->dest, name, e);
    if (st == ST_OK && rename(tmp, to) != 0)
        st = fail(e, "rename", tmp);
    if (st == ST_OK)
        count(c, &f, true);
    else
        (void)unlink(tmp);
    return st;
}

/* ---- a store ---- */

/* Those that were there at the beginning: a second list has all of them, whatever readdir did while
 * new ones came. */
static enum status list_segments(struct copier *c, struct seg_info **out, size_t *n, struct err *e)
{
    struct seg_info *v = NULL;
    uint64_t last;
    size_t k = 0;

    *n = 0;
    TRY(ss_status(c->segs->ops->list(c->segs, c->store, &v, &k, e)));
    last = k != 0 ? v[k - 1].seg : 0;
    mem_free(v);
    TRY(ss_status(c->segs->ops->list(c->segs, c->store, out, n, e)));
    while (*n != 0 && (*out)[*n - 1].seg > last)
        --*n;
    return ST_OK;
}

static enum status copy_log(struct copier *c, struct err *e)
{
    struct seg_info *v = NULL;
    size_t n = 0;
    enum status st = list_segments(c, &v, &n, e);

    c->later = false;
    while (st == ST_OK && n-- != 0)
        st = copy_segment(c, v[n].seg, e);
    mem_free(v);
    return st;
}

static enum status copy_blobs(struct copier *c, struct err *e)
{
    struct obj_info *v = NULL;
    size_t n = 0;
    enum status st = ss_status(c->segs->ops->obj_list(c->segs, c->store, &v, &n, e));

    for (size_t i = 0; i < n && st == ST_OK; i++)
        if (v[i].finished)
            st = copy_blob(c, v[i].id, e);
    mem_free(v);
    return st;
}

static enum status make_dir(const struct copier *c, const char *sub, bool sync, struct err *e)
{
    char name[BACKUP_NAME], path[BACKUP_PATH];

    (void)snprintf(name, sizeof(name), "%llu/%s", (unsigned long long)c->store, sub);
    TRY(backup_path(path, c->dest, name, e));
    return sync ? fs_sync_dir(path, e) : fs_mkdirs(path, e);
}

static enum status copy_store(struct copier *c, uint64_t store, struct err *e)
{
    struct backup_file f = {.kind = BACKUP_STORE, .store = store};
    struct ss_super super;
    size_t before = c->now.n;
    enum status st;

    c->store = store;
    st = seg_file_peek(c->segs, store, &super, e);
    if (st == ST_NOT_FOUND && store != 0)
        return ST_OK; /* it is being made: nobody was told that it is there */
    TRY(st);
    if (store == 0)
        memcpy(c->now.uuid, super.uuid, sizeof(super.uuid));
    TRY(make_dir(c, "log", false, e));
    TRY(make_dir(c, "blob", false, e));
    TRY(copy_log(c, e));
    if (c->now.n == before && store != 0)
        return ST_OK; /* likewise */
    TRY(copy_blobs(c, e));
    TRY(copy_small(c, &f, e));
    TRY(make_dir(c, "log", true, e));
    TRY(make_dir(c, "blob", true, e));
    c->r->stores++;
    return make_dir(c, "", true, e);
}

static enum status copy_stores(struct copier *c, struct err *e)
{
    struct backup_file ini = {.kind = BACKUP_INI};
    uint64_t *v = NULL;
    size_t n = 0;
    enum status st = ss_status(c->segs->ops->stores(c->segs, &v, &n, e));

    if (st == ST_OK && (n == 0 || v[0] != 0))
        st = err_set(e, ST_NOT_FOUND, "%.200s holds no data of this server", c->data);
    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = copy_store(c, v[i], e);
    mem_free(v);
    if (st != ST_OK)
        return st;
    st = copy_small(c, &ini, e);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

/* ---- all of it ---- */

static enum status write_manifest(struct copier *c, struct err *e)
{
    char name[BACKUP_NAME], path[BACKUP_PATH];
    struct buf b;
    enum status st;

    TRY(fs_sync_dir(c->dest, e));
    c->now.generation = c->before.generation + 1;
    (void)snprintf(name, sizeof(name), "MANIFEST.%016llx", (unsigned long long)c->now.generation);
    TRY(backup_path(path, c->dest, name, e));
    buf_init(&b, 1u << 30);
    backup_encode(&c->now, &b);
    st = buf_ok(&b) ? fs_write_atomic(path, buf_slice(&b), e)
                    : err_set(e, ST_TOO_LARGE, "too many files for one manifest");
    buf_free(&b);
    return st;
}

static enum status copy_held(struct copier *c, struct err *e)
{
    struct ss_super super;
    enum status st;
    int copying = -1;

    TRY(backup_lock(c->data, "COPYING", COPYING_WAIT_MS, &copying, e));
    st = seg_file_peek(c->segs, 0, &super, e);
    if (st == ST_OK && c->before.generation != 0 &&
        memcmp(super.uuid, c->before.uuid, sizeof(super.uuid)) != 0)
        st = err_set(e, ST_BAD_REQUEST, "%.200s holds the backup of another server", c->dest);
    if (st == ST_OK)
        st = copy_stores(c, e);
    (void)close(copying);
    return st;
}

static enum status take(struct copier *c, struct err *e)
{
    enum status st = backup_newest(c->dest, &c->before, e);

    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    st = copy_held(c, e);
    if (st == ST_OK)
        st = write_manifest(c, e);
    if (st == ST_OK || backup_may_sweep(c->dest, &c->before))
        backup_sweep(c->dest, st == ST_OK ? &c->now : &c->before, &c->r->removed_files);
    return st;
}

static enum status see_any(void *arg, const char *name)
{
    bool *empty = arg;

    (void)name;
    *empty = false;
    return ST_OK;
}

/* dest: made when it is not there; an empty folder, or a backup. */
static enum status open_dest(const char *dest, int *lock, struct err *e)
{
    char path[BACKUP_PATH];
    bool empty = true;

    TRY(fs_mkdirs(dest, e));
    TRY(fs_list(dest, see_any, &empty, e));
    TRY(backup_path(path, dest, "DIVAN-BACKUP", e));
    if (!empty && !fs_exists(path))
        return err_set(e, ST_BAD_REQUEST, "%.200s is neither empty nor a backup", dest);
    return backup_lock(dest, "DIVAN-BACKUP", 0, lock, e);
}

static bool is_inside(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Of a path whose last parts may not be there yet; as deep as it has parts. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool real_path(const char *path, char out[BACKUP_PATH])
{
    char parent[BACKUP_PATH], copy[BACKUP_PATH];
    const char *last;
    char *slash;

    if (realpath(path, out) != NULL)
        return true;
    if (snprintf(copy, sizeof(copy), "%s", path) >= BACKUP_PATH)
        return false;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--)
        copy[n - 1] = '\0';
    slash = strrchr(copy, '/');
    last = slash != NULL ? slash + 1 : copy;
    if (slash == copy || slash == NULL) {
        if (realpath(slash == NULL ? "." : "/", parent) == NULL)
            return false;
    } else {
        *slash = '\0';
        if (!real_path(copy, parent))
            return false;
    }
    return snprintf(out, BACKUP_PATH, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last) <
           BACKUP_PATH;
}

static enum status check_places(const char *data, const char *dest, struct err *e)
{
    char from[BACKUP_PATH], to[BACKUP_PATH], store[BACKUP_PATH];

    TRY(backup_path(store, data, "0/STORE", e));
    if (!fs_exists(store) || realpath(data, from) == NULL)
        return err_set(e, ST_NOT_FOUND, "%.200s is no data directory", data);
    if (!real_path(dest, to))
        return err_set(e, ST_BAD_REQUEST, "%.200s cannot be made", dest);
    if (is_inside(to, from) || is_inside(from, to))
        return err_set(e, ST_BAD_REQUEST, "one of %.100s and %.100s lies in the other", data, dest);
    return ST_OK;
}

enum status backup_run(const char *data, const char *dest, struct backup_report *r, struct err *e)
{
    struct copier c = {.data = data, .dest = dest, .r = r};
    enum status st;
    int lock = -1;

    *r = (struct backup_report){0};
    TRY(check_places(data, dest, e));
    TRY(open_dest(dest, &lock, e));
    c.segs = seg_file_new(data);
    st = take(&c, e);
    c.segs->ops->close(c.segs);
    backup_manifest_free(&c.before);
    backup_manifest_free(&c.now);
    (void)close(lock);
    return st;
}
