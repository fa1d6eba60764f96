/* couch/check_open.c: a stopped store to look at without writing below its directory.
 *
 * The log is read where it lies. LevelDB cannot be opened without writing, so it is opened in a new
 * folder below TMPDIR: links to its tables, which never change, and copies of the small files that
 * say which tables count. Records that it has not seen are applied there; when it does not open, or
 * is not there, all of them: that takes as much room as the index has. The folder goes at the end.
 * Threads: the caller's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "couch/store_priv.h"
#include "wal/seg_file.h"

enum { PATH_BYTES = 4096, COPY_MAX = 1 << 30 };

struct copier {
    const char *from, *to;
    bool logs; /* LevelDB's own log counts: it was closed in order */
    struct err *e;
};

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), k = strlen(end);

    return n >= k && strcmp(name + n - k, end) == 0;
}

static enum status copy_file(const char *from, const char *to, struct err *e)
{
    struct buf b;
    enum status st;

    buf_init(&b, COPY_MAX);
    st = fs_read_file(from, &b, e);
    if (st == ST_OK)
        st = fs_write_atomic(to, buf_slice(&b), e);
    buf_free(&b);
    return st;
}

static enum status copy_one(void *arg, const char *name)
{
    const struct copier *c = arg;
    char from[PATH_BYTES], to[PATH_BYTES];

    if (strcmp(name, "LOCK") == 0 || (ends_with(name, ".log") && !c->logs))
        return ST_OK;
    if (snprintf(from, sizeof(from), "%s/%s", c->from, name) >= PATH_BYTES ||
        snprintf(to, sizeof(to), "%s/%s", c->to, name) >= PATH_BYTES)
        return err_set(c->e, ST_BAD_REQUEST, "the path of the data is too long");
    if (!ends_with(name, ".ldb") && !ends_with(name, ".sst"))
        return copy_file(from, to, c->e);
    return symlink(from, to) == 0 ? ST_OK : err_set(c->e, ST_IO, "symlink %s failed", to);
}

static enum status copy_index(const struct store *s, struct err *e)
{
    char real[PATH_BYTES], from[PATH_BYTES], to[PATH_BYTES];
    struct copier c = {.from = from, .to = to, .logs = s->super.clean, .e = e};

    if (realpath(s->dir, real) == NULL)
        return err_set(e, ST_IO, "%s: no such directory", s->dir);
    if (snprintf(from, sizeof(from), "%s/idx", real) >= PATH_BYTES ||
        snprintf(to, sizeof(to), "%s/idx", s->idx_dir) >= PATH_BYTES)
        return err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    if (!fs_exists(from))
        return ST_OK;
    TRY(fs_mkdirs(to, e));
    return fs_list(from, copy_one, &c, e);
}

static enum status make_folder(struct store *s, struct err *e)
{
    const char *tmp = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */
    char path[PATH_BYTES];

    if (snprintf(path, sizeof(path), "%s/divan-check-XXXXXX", tmp != NULL ? tmp : "/tmp") >=
        PATH_BYTES)
        return err_set(e, ST_BAD_REQUEST, "TMPDIR is too long");
    if (mkdtemp(path) == NULL)
        return err_set(e, ST_IO, "%s: cannot be made", path);
    s->idx_dir = mem_strdup(path);
    return ST_OK;
}

/* Without STORE: a store whose creation was cut short, unless it has segments. */
static enum status no_super(struct store *s, struct err *e)
{
    struct seg_info *v = NULL;
    size_t n = 0;
    enum ss_rc rc = s->segs->ops->list(s->segs, s->number, &v, &n, e);

    mem_free(v);
    if (rc == SS_OK && n != 0)
        return err_set(e, ST_CORRUPT, "%.200s/STORE is missing or damaged", s->dir);
    return ss_status(rc);
}

enum status check_open(const char *dir, uint64_t number, struct seg_store *segs, struct store **out,
                       struct err *e)
{
    struct store_options opt = {.dir = dir, .number = number, .segs = segs};
    struct store *s = store_new(&opt);
    enum status st = seg_file_peek(segs, number, &s->super, e);

    if (st == ST_NOT_FOUND)
        st = no_super(s, e);
    if (st == ST_OK) {
        struct blob_home home = {.ss = segs, .store = number, .epoch = s->super.epoch};

        memcpy(home.uuid, s->super.uuid, sizeof(home.uuid));
        blobs_open(s->blobs, &home);
        st = make_folder(s, e);
    }
    if (st == ST_OK)
        st = copy_index(s, e);
    if (st == ST_OK)
        st = store_recover_read_only(s, e);
    *out = s;
    if (st != ST_OK) {
        check_close(s);
        *out = NULL;
    }
    return st;
}

void check_close(struct store *s)
{
    struct err e;

    log_close(s->log);
    kv_close(s->kv);
    if (s->idx_dir != s->dir) {
        if (fs_remove_tree(s->idx_dir, &e) != ST_OK)
            log_warn("%s stays: %s", s->idx_dir, e.reason);
        mem_free((void *)(uintptr_t)s->idx_dir);
    }
    store_free(s);
}
