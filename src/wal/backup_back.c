/* wal/backup_back.c: brings a backup back, and verifies one: see backup.h.
 *
 * Restoring writes STORE files last, store 0's after all others: a directory that a crash left in
 * the middle has segments without STORE in store 0, and a server refuses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "wal/backup_priv.h"

enum { CHUNK = 1 << 20 };

/* Reads a copied file, checks it, and writes it to `to` (NULL: only checks). */
static enum status pass_bytes(const struct backup_file *f, int in, int out, struct err *e)
{
    char *chunk = mem_alloc(CHUNK);
    enum status st = ST_OK;
    uint32_t crc = 0;

    for (uint64_t off = 0; off < f->len && st == ST_OK;) {
        size_t n = f->len - off < CHUNK ? (size_t)(f->len - off) : CHUNK;

        st = fs_pread_full(in, chunk, n, off, e);
        if (st == ST_OK && out >= 0)
            st = fs_pwrite_full(out, chunk, n, off, e);
        if (st == ST_OK)
            crc = crc32c(crc, chunk, n);
        off += n;
    }
    mem_free(chunk);
    if (st == ST_OK && crc != f->crc)
        st = err_set(e, ST_CORRUPT, "its checksum is wrong");
    return st;
}

static enum status open_copy(const char *from, const struct backup_file *f, char path[BACKUP_PATH],
                             int *fd, struct err *e)
{
    char name[BACKUP_NAME];

    backup_name(f, name);
    TRY(backup_path(path, from, name, e));
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return err_set(e, ST_CORRUPT, "%s: cannot be opened, errno %d", path, errno);
    if (lseek(*fd, 0, SEEK_END) != (off_t)f->len) {
        (void)close(*fd);
        return err_set(e, ST_CORRUPT, "%s: has another length", path);
    }
    return ST_OK;
}

static enum status check_file(const char *from, const struct backup_file *f, struct err *e)
{
    char path[BACKUP_PATH];
    struct err why;
    enum status st;
    int fd;

    TRY(open_copy(from, f, path, &fd, e));
    st = pass_bytes(f, fd, -1, &why);
    (void)close(fd);
    return st == ST_OK ? ST_OK : err_set(e, ST_CORRUPT, "%s: %s", path, why.reason);
}

static void count(struct backup_report *r, const struct backup_file *f)
{
    r->files++;
    r->bytes += f->len;
    r->stores += f->kind == BACKUP_STORE;
}

enum status backup_verify(const char *dest, struct backup_report *r, struct err *e)
{
    struct backup_manifest m;
    enum status st;

    *r = (struct backup_report){0};
    TRY(backup_newest(dest, &m, e));
    st = ST_OK;
    for (size_t i = 0; i < m.n && st == ST_OK; i++) {
        st = check_file(dest, &m.v[i], e);
        count(r, &m.v[i]);
    }
    backup_manifest_free(&m);
    return st;
}

/* ---- restoring ---- */

static enum status bring_file(const char *from, const char *data, const struct backup_file *f,
                              struct err *e)
{
    char path[BACKUP_PATH], to[BACKUP_PATH], name[BACKUP_NAME];
    struct err why = {0};
    enum status st;
    int in, out;

    backup_data_name(f, name);
    TRY(backup_path(to, data, name, e));
    TRY(open_copy(from, f, path, &in, e));
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        st = err_set(&why, errno == ENOSPC ? ST_NO_SPACE : ST_IO, "open %.200s: errno %d", to,
                     errno);
    else
        st = pass_bytes(f, in, out, &why);
    if (st == ST_OK && fsync(out) != 0)
        st = err_set(&why, ST_IO, "fsync: errno %d", errno);
    (void)close(in);
    if (out >= 0)
        (void)close(out);
    return st == ST_OK ? ST_OK : err_set(e, st, "%.150s: %s", path, why.reason);
}

static enum status each_dir(const char *data, const struct backup_manifest *m,
                            enum status (*fn)(const char *path, struct err *e), struct err *e)
{
    static const char *const subs[] = {"log", "blob", ""};
    char name[BACKUP_NAME], path[BACKUP_PATH];

    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].kind != BACKUP_STORE)
            continue;
        for (size_t k = 0; k < sizeof(subs) / sizeof(subs[0]); k++) {
            (void)snprintf(name, sizeof(name), "%llu/%s", (unsigned long long)m->v[i].store,
                           subs[k]);
            TRY(backup_path(path, data, name, e));
            TRY(fn(path, e));
        }
    }
    return fn(data, e);
}

/* Everything but STOREs; then those of the other stores; then store 0's. */
static unsigned turn_of(const struct backup_file *f)
{
    if (f->kind != BACKUP_STORE)
        return 0;
    return f->store != 0 ? 1 : 2;
}

static enum status bring_all(const char *from, const char *data, const struct backup_manifest *m,
                             struct backup_report *r, struct err *e)
{
    TRY(each_dir(data, m, fs_mkdirs, e));
    for (unsigned turn = 0; turn <= 2; turn++) {
        for (size_t i = 0; i < m->n; i++) {
            if (turn_of(&m->v[i]) != turn)
                continue;
            TRY(bring_file(from, data, &m->v[i], e));
            count(r, &m->v[i]);
        }
        TRY(each_dir(data, m, fs_sync_dir, e));
    }
    return ST_OK;
}

static enum status see_entry(void *arg, const char *name)
{
    bool *empty = arg;

    (void)name;
    *empty = false;
    return ST_OK;
}

enum status backup_restore(const char *from, const char *data, struct backup_report *r,
                           struct err *e)
{
    struct backup_manifest m;
    bool empty = true;
    enum status st;
    int lock = -1;

    *r = (struct backup_report){0};
    TRY(backup_newest(from, &m, e));
    if (backup_find(&m, BACKUP_STORE, 0, 0) == NULL)
        st = err_set(e, ST_CORRUPT, "the backup has no store 0");
    else
        st = fs_mkdirs(data, e);
    if (st == ST_OK)
        st = fs_list(data, see_entry, &empty, e);
    if (st == ST_OK && !empty)
        st = err_set(e, ST_EXISTS, "%.200s is not empty", data);
    if (st == ST_OK)
        st = backup_lock(data, "LOCK", 0, &lock, e);
    if (st == ST_OK)
        st = bring_all(from, data, &m, r, e);
    if (lock >= 0)
        (void)close(lock);
    backup_manifest_free(&m);
    return st;
}
