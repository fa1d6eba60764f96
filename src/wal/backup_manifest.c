/* wal/backup_manifest.c: MANIFEST.<generation>: which files a backup consists of. Text, so that
 * people can read it; its last line counts the others and has their CRC, so that half of one is
 * none. Names of copied files say what is in them: <number>-<length>-<crc>. Pure, but for reading.
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
#include "base/text.h"
#include "wal/backup_priv.h"

enum { MANIFEST_BYTES_MAX = 1 << 30, FIELDS = 8, LOCK_STEP_US = 20000 };
static const char head[] = "divan-backup 1", manifest_prefix[] = "MANIFEST.";

/* ---- names ---- */

void backup_name(const struct backup_file *f, char out[BACKUP_NAME])
{
    unsigned long long store = f->store, number = f->number, len = f->len;
    unsigned crc = f->crc;

    switch (f->kind) {
    case BACKUP_STORE:
        (void)snprintf(out, BACKUP_NAME, "%llu/STORE-%llx-%08x", store, len, crc);
        break;
    case BACKUP_LOG:
        (void)snprintf(out, BACKUP_NAME, "%llu/log/%016llx-%llx-%08x", store, number, len, crc);
        break;
    case BACKUP_BLOB:
        (void)snprintf(out, BACKUP_NAME, "%llu/blob/%016llx-%llx-%08x", store, number, len, crc);
        break;
    case BACKUP_INI:
        (void)snprintf(out, BACKUP_NAME, "local.ini-%llx-%08x", len, crc);
        break;
    }
}

void backup_data_name(const struct backup_file *f, char out[BACKUP_NAME])
{
    unsigned long long store = f->store, number = f->number;

    switch (f->kind) {
    case BACKUP_STORE:
        (void)snprintf(out, BACKUP_NAME, "%llu/STORE", store);
        break;
    case BACKUP_LOG:
        (void)snprintf(out, BACKUP_NAME, "%llu/log/%016llx.seg", store, number);
        break;
    case BACKUP_BLOB:
        (void)snprintf(out, BACKUP_NAME, "%llu/blob/%016llx.blb", store, number);
        break;
    case BACKUP_INI:
        (void)snprintf(out, BACKUP_NAME, "local.ini");
        break;
    }
}

bool backup_is_there(const char *dest, const struct backup_file *f)
{
    char name[BACKUP_NAME], path[BACKUP_PATH];
    struct stat info;
    struct err e;

    backup_name(f, name);
    return backup_path(path, dest, name, &e) == ST_OK && stat(path, &info) == 0 &&
           (uint64_t)info.st_size == f->len;
}

enum status backup_path(char out[BACKUP_PATH], const char *dir, const char *name, struct err *e)
{
    if (snprintf(out, BACKUP_PATH, "%s/%s", dir, name) >= BACKUP_PATH)
        return err_set(e, ST_BAD_REQUEST, "a path is too long");
    return ST_OK;
}

enum status backup_lock(const char *dir, const char *name, unsigned wait_ms, int *fd, struct err *e)
{
    char path[BACKUP_PATH];

    TRY(backup_path(path, dir, name, e));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0 && (errno == EACCES || errno == EROFS))
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return err_set(e, errno == ENOSPC ? ST_NO_SPACE : ST_IO, "open %s: errno %d", path, errno);
    for (uint64_t us = 0; flock(*fd, LOCK_EX | LOCK_NB) != 0; us += LOCK_STEP_US) {
        bool held = errno == EWOULDBLOCK;

        if ((held && us < 1000ull * wait_ms) || errno == EINTR) {
            (void)usleep(LOCK_STEP_US);
            continue;
        }
        (void)err_set(e, held ? ST_EXISTS : ST_IO, "%s is held by another process", path);
        (void)close(*fd);
        *fd = -1;
        return held ? ST_EXISTS : ST_IO;
    }
    return ST_OK;
}

/* ---- what is in one ---- */

void backup_add(struct backup_manifest *m, const struct backup_file *f)
{
    if (m->n == m->cap) {
        m->cap = m->cap * 2 + 64;
        m->v = mem_realloc(m->v, m->cap * sizeof(*m->v));
    }
    m->v[m->n++] = *f;
}

void backup_manifest_free(struct backup_manifest *m)
{
    mem_free(m->v);
    *m = (struct backup_manifest){0};
}

static int by_place(const void *a, const void *b)
{
    const struct backup_file *x = a, *y = b;

    if (x->store != y->store)
        return x->store < y->store ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Those that were decoded are sorted. */
const struct backup_file *backup_find(const struct backup_manifest *m, enum backup_kind kind,
                                      uint64_t store, uint64_t number)
{
    struct backup_file key = {.kind = kind, .store = store, .number = number};

    return m->n == 0 ? NULL : bsearch(&key, m->v, m->n, sizeof(key), by_place);
}

void backup_encode(const struct backup_manifest *m, struct buf *out)
{
    char hex[33] = "";

    hex_encode(m->uuid, sizeof(m->uuid), hex);
    buf_printf(out, "%s %llu %s\n", head, (unsigned long long)m->generation, hex);
    for (size_t i = 0; i < m->n; i++) {
        const struct backup_file *f = &m->v[i];

        buf_printf(out, "%c %llu %llu %llu %u %llu %llu\n", (char)f->kind,
                   (unsigned long long)f->store, (unsigned long long)f->number,
                   (unsigned long long)f->len, (unsigned)f->crc, (unsigned long long)f->source_len,
                   (unsigned long long)f->source_ns);
    }
    buf_printf(out, "end %llu %u\n", (unsigned long long)m->n, (unsigned)crc32c(0, out->p, out->n));
}

/* Cuts one field off the front, with the space or newline after it; empty: none. */
static struct slice field(struct slice *line)
{
    const char *end = line->n != 0 ? memchr(line->p, ' ', line->n) : NULL;
    struct slice f = slice_of(line->p, end != NULL ? (size_t)(end - line->p) : line->n);

    *line = end != NULL ? slice_of(end + 1, line->n - f.n - 1) : slice_of(NULL, 0);
    return f;
}

static bool numbers(struct slice line, uint64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!parse_u64(field(&line), &out[i]))
            return false;
    return line.n == 0;
}

static bool file_line(struct slice line, struct backup_file *f)
{
    static const char kinds[] = {BACKUP_STORE, BACKUP_LOG, BACKUP_BLOB, BACKUP_INI};
    struct slice kind = field(&line);
    uint64_t v[6];

    if (kind.n != 1 || memchr(kinds, kind.p[0], sizeof(kinds)) == NULL || !numbers(line, v, 6) ||
        v[3] > UINT32_MAX)
        return false;
    *f = (struct backup_file){.kind = (enum backup_kind)kind.p[0],
                              .store = v[0],
                              .number = v[1],
                              .len = v[2],
                              .crc = (uint32_t)v[3],
                              .source_len = v[4],
                              .source_ns = v[5]};
    return true;
}

static bool head_line(struct slice line, struct backup_manifest *m)
{
    struct slice rest = line, start = slice_str(head);

    if (!slice_starts(line, start) || line.n <= start.n || line.p[start.n] != ' ')
        return false;
    rest = slice_of(line.p + start.n + 1, line.n - start.n - 1);
    if (!parse_u64(field(&rest), &m->generation))
        return false;
    return rest.n == 32 && hex_decode(rest, m->uuid);
}

static bool next_line(struct slice *text, struct slice *line)
{
    const char *end = text->n != 0 ? memchr(text->p, '\n', text->n) : NULL;

    if (end == NULL)
        return false;
    *line = slice_of(text->p, (size_t)(end - text->p));
    *text = slice_of(end + 1, text->n - line->n - 1);
    return true;
}

static bool end_line(struct slice line, struct slice before, size_t n)
{
    uint64_t v[2];

    if (!slice_eq(field(&line), SLICE_LIT("end")) || !numbers(line, v, 2))
        return false;
    return v[0] == n && v[1] == crc32c(0, before.p, before.n);
}

static bool decode(struct slice in, struct backup_manifest *m)
{
    struct slice text = in, line;
    struct backup_file f;

    if (!next_line(&text, &line) || !head_line(line, m))
        return false;
    while (next_line(&text, &line)) {
        if (slice_starts(line, SLICE_LIT("end ")))
            return text.n == 0 && end_line(line, slice_of(in.p, (size_t)(line.p - in.p)), m->n);
        if (!file_line(line, &f))
            return false;
        backup_add(m, &f);
    }
    return false;
}

enum status backup_decode(struct slice in, struct backup_manifest *out, struct err *e)
{
    *out = (struct backup_manifest){0};
    if (decode(in, out)) {
        if (out->n != 0)
            qsort(out->v, out->n, sizeof(*out->v), by_place);
        return ST_OK;
    }
    backup_manifest_free(out);
    return err_set(e, ST_CORRUPT, "the manifest is damaged or of another version");
}

/* ---- the newest ---- */

struct newest {
    const char *dest;
    struct backup_manifest best;
    bool found;
};

static enum status read_one(struct newest *q, const char *name, struct err *e)
{
    struct backup_manifest m;
    char path[BACKUP_PATH];
    struct buf b;
    enum status st;

    TRY(backup_path(path, q->dest, name, e));
    buf_init(&b, MANIFEST_BYTES_MAX);
    st = fs_read_file(path, &b, e);
    if (st == ST_OK)
        st = backup_decode(buf_slice(&b), &m, e);
    buf_free(&b);
    if (st != ST_OK)
        return st;
    if (q->found && m.generation <= q->best.generation) {
        backup_manifest_free(&m);
        return ST_OK;
    }
    backup_manifest_free(&q->best);
    q->best = m;
    q->found = true;
    return ST_OK;
}

static enum status see_name(void *arg, const char *name)
{
    struct err e; /* one that cannot be read is not the newest whole one */

    if (strncmp(name, manifest_prefix, sizeof(manifest_prefix) - 1) == 0)
        (void)(read_one(arg, name, &e) == ST_OK);
    return ST_OK;
}

enum status backup_newest(const char *dest, struct backup_manifest *out, struct err *e)
{
    struct newest q = {.dest = dest};

    *out = (struct backup_manifest){0};
    TRY(fs_list(dest, see_name, &q, e));
    if (!q.found)
        return err_set(e, ST_NOT_FOUND, "%.200s holds no whole backup", dest);
    *out = q.best;
    return ST_OK;
}
