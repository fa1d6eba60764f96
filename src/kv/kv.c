/* kv/kv.c: opening, reading, writing and flushing LevelDB.
 *
 * LevelDB's own log is a liability: a lost or garbled piece of it is skipped in silence, so a later
 * write may survive an earlier one. Its tables are not: they are synced in order. Hence an unclean
 * open deletes the logs before LevelDB looks at them, and what is left is an exact prefix of the
 * writes. fsync of the directory after opening makes the new CURRENT durable, which LevelDB omits.
 * Nobody may fork without exec once a kv is open: LevelDB's thread does not survive it.
 */
#include "kv/kv.h"

#include <leveldb/c.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/text.h"
#include "base/thread.h"
#include "base/time.h"
#include "kv/kv_priv.h"

enum { BLOCK_BYTES = 8 << 10, FILE_BYTES = 8 << 20, OPEN_FILES = 1000, BLOOM_BITS = 10 };
enum { FLUSH_TRIES = 20, FLUSH_WAIT_US = 500 };
enum { WRITE_BUFFER = 16 << 20, CACHE = 64 << 20 };
#define NO_KEY "\xff" /* no key begins with it */

enum status kv_fail(struct err *e, const char *what, char *text)
{
    enum status st = strncmp(text, "Corruption", 10) == 0 ? ST_CORRUPT : ST_IO;

    (void)err_set(e, st, "index: %s: %.200s", what, text);
    leveldb_free(text);
    return st;
}

struct cleaner {
    const char *dir;
    size_t removed;
    struct err *e;
};

static enum status drop_log(void *arg, const char *name)
{
    struct cleaner *c = arg;
    char path[4096];
    size_t n = strlen(name);

    if (n < 5 || strcmp(name + n - 4, ".log") != 0)
        return ST_OK;
    if (snprintf(path, sizeof path, "%s/%s", c->dir, name) >= (int)sizeof path)
        return err_set(c->e, ST_IO, "%s: path too long", c->dir);
    c->removed++;
    return fs_unlink(path, c->e);
}

static enum status drop_logs(const char *dir, struct err *e)
{
    struct cleaner c = {dir, 0, e};

    TRY(fs_list(dir, drop_log, &c, e));
    KILL_POINT("recover.index.logs");
    return c.removed == 0 ? ST_OK : fs_sync_dir(dir, e);
}

static leveldb_options_t *make_options(const struct kv_options *opt, struct kv *kv)
{
    leveldb_options_t *o = leveldb_options_create();

    kv->cache = leveldb_cache_create_lru(opt->cache != 0 ? opt->cache : CACHE);
    kv->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    leveldb_options_set_create_if_missing(o, 1);
    leveldb_options_set_paranoid_checks(o, 1);
    leveldb_options_set_write_buffer_size(o, opt->write_buffer != 0 ? opt->write_buffer
                                                                    : WRITE_BUFFER);
    leveldb_options_set_max_file_size(o, FILE_BYTES);
    leveldb_options_set_block_size(o, BLOCK_BYTES);
    leveldb_options_set_max_open_files(o, opt->open_files != 0 ? opt->open_files : OPEN_FILES);
    leveldb_options_set_compression(o, leveldb_snappy_compression);
    leveldb_options_set_cache(o, kv->cache);
    leveldb_options_set_filter_policy(o, kv->filter);
    leveldb_options_set_info_log(o, NULL);
    return o;
}

/* No key is in the range: nothing is compacted, but the memtable goes to a table first. */
static void ask_flush(leveldb_t *db)
{
    leveldb_compact_range(db, NO_KEY, 1, NO_KEY NO_KEY, 2);
}

struct opening {
    struct kv *kv;
    char *text;
};

static void open_db(struct opening *o)
{
    o->kv->db = leveldb_open(o->kv->options, o->kv->path, &o->text);
}

/* LevelDB has one thread in a process, for tables, and starts it when there is first something to
 * do. What it does is long, and nobody waits for it but writers that run into its bounds: it is to
 * give way. Threads inherit that. So the process's first kv is opened by a thread that gives way,
 * which asks for something. */
static atomic_bool background;

static void open_first(void *arg)
{
    struct opening *o = arg;

    thread_hint(THREAD_HEAVY);
    open_db(o);
    if (o->text != NULL)
        return;
    ask_flush(o->kv->db);
    atomic_store(&background, true);
}

enum status kv_open(const char *path, const struct kv_options *opt, struct kv **out, struct err *e)
{
    struct opening o = {NULL, NULL};
    struct thread first = {.started = false};
    struct kv *kv;
    enum status st = ST_OK;

    TRY(fs_mkdirs(path, e));
    if (!opt->clean)
        TRY(drop_logs(path, e));
    kv = mem_zalloc(sizeof *kv);
    kv->path = mem_strdup(path);
    kv->options = make_options(opt, kv);
    kv->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(kv->read, 1);
    kv->write = leveldb_writeoptions_create();
    o.kv = kv;
    if (atomic_load(&background))
        open_db(&o);
    else
        thread_start(&first, "leveldb", open_first, &o);
    thread_join(&first);
    if (o.text != NULL)
        st = kv_fail(e, "open", o.text);
    KILL_POINT("recover.index.open");
    if (st == ST_OK)
        st = fs_sync_dir(path, e);
    if (st != ST_OK) {
        kv_close(kv);
        return st;
    }
    *out = kv;
    return ST_OK;
}

void kv_close(struct kv *kv)
{
    if (kv == NULL)
        return;
    if (kv->db != NULL)
        leveldb_close(kv->db);
    leveldb_writeoptions_destroy(kv->write);
    leveldb_readoptions_destroy(kv->read);
    leveldb_options_destroy(kv->options);
    leveldb_filterpolicy_destroy(kv->filter);
    leveldb_cache_destroy(kv->cache);
    mem_free(kv->path);
    mem_free(kv);
}

static enum status newer_log(void *arg, const char *name)
{
    uint64_t *newest = arg, n;
    size_t len = strlen(name);

    if (len > 4 && strcmp(name + len - 4, ".log") == 0 && parse_u64(slice_of(name, len - 4), &n) &&
        n > *newest)
        *newest = n;
    return ST_OK;
}

/* ask_flush is the only flush the C API has, and it returns no error. A table that cannot be
 * written fails the put after it. A new log that cannot be made fails nothing: then the memtable
 * stays, and so does the number of the newest log. That happens too when another thread's write is
 * just at work: LevelDB (1.23) takes the request to switch memtables into that write's group and
 * forgets it. So it is asked again before it counts as an error. */
static enum status flush(struct kv *kv, struct err *e)
{
    uint64_t before = 0, after = 0;

    TRY(fs_list(kv->path, newer_log, &before, e));
    for (int i = 0; i < FLUSH_TRIES; i++) {
        ask_flush(kv->db);
        TRY(fs_list(kv->path, newer_log, &after, e));
        if (after > before)
            return ST_OK;
        time_sleep_us((uint64_t)i * FLUSH_WAIT_US);
    }
    return err_set(e, ST_IO, "index: barrier: LevelDB made no new log");
}

enum status kv_barrier(struct kv *kv, struct slice key, struct slice value, struct err *e)
{
    char *text = NULL;

    TRY(flush(kv, e));
    KILL_POINT("barrier.compacted");
    leveldb_put(kv->db, kv->write, key.p, key.n, value.p, value.n, &text);
    return text == NULL ? ST_OK : kv_fail(e, "barrier", text);
}

uint64_t kv_disk_bytes(struct kv *kv)
{
    const char *from = "", *to = "\xff\xff\xff\xff";
    size_t from_n = 0, to_n = 4;
    uint64_t bytes = 0;

    leveldb_approximate_sizes(kv->db, 1, &from, &from_n, &to, &to_n, &bytes);
    return bytes;
}

static enum status get(struct kv *kv, const struct kv_snap *snap, struct slice key, char **value,
                       size_t *n, struct err *e)
{
    char *text = NULL;

    *value = leveldb_get(kv->db, snap != NULL ? snap->read : kv->read, key.p, key.n, n, &text);
    if (text != NULL)
        return kv_fail(e, "get", text);
    return *value == NULL ? ST_NOT_FOUND : ST_OK;
}

enum status kv_get(struct kv *kv, const struct kv_snap *snap, struct slice key, struct arena *a,
                   struct slice *out, struct err *e)
{
    char *value;
    size_t n;
    enum status st = get(kv, snap, key, &value, &n, e);

    if (st != ST_OK)
        return st;
    *out = arena_dup(a, slice_of(value, n));
    leveldb_free(value);
    return ST_OK;
}

struct kv_batch *kv_batch_new(void)
{
    struct kv_batch *b = mem_zalloc(sizeof *b);

    b->b = leveldb_writebatch_create();
    return b;
}

void kv_batch_free(struct kv_batch *b)
{
    if (b == NULL)
        return;
    leveldb_writebatch_destroy(b->b);
    mem_free(b);
}

void kv_batch_clear(struct kv_batch *b)
{
    leveldb_writebatch_clear(b->b);
}

void kv_batch_put(struct kv_batch *b, struct slice key, struct slice value)
{
    leveldb_writebatch_put(b->b, key.p, key.n, value.p, value.n);
}

void kv_batch_delete(struct kv_batch *b, struct slice key)
{
    leveldb_writebatch_delete(b->b, key.p, key.n);
}

enum status kv_write(struct kv *kv, struct kv_batch *b, struct err *e)
{
    char *text = NULL;

    leveldb_write(kv->db, kv->write, b->b, &text);
    return text == NULL ? ST_OK : kv_fail(e, "write", text);
}

struct kv_snap *kv_snap_new(struct kv *kv)
{
    struct kv_snap *s = mem_zalloc(sizeof *s);

    s->snap = leveldb_create_snapshot(kv->db);
    s->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(s->read, 1);
    leveldb_readoptions_set_snapshot(s->read, s->snap);
    return s;
}

void kv_snap_free(struct kv *kv, struct kv_snap *s)
{
    if (s == NULL)
        return;
    leveldb_readoptions_destroy(s->read);
    leveldb_release_snapshot(kv->db, s->snap);
    mem_free(s);
}
