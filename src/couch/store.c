/* couch/store.c: opening, closing and looking at a store.
 *
 * Order of life: segment store acquired (which locks the data directory) -> recovery -> committer
 * and maintenance threads -> ... -> committer drained -> maintenance stopped -> barrier -> log and
 * LevelDB closed -> clean flag -> lock released.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/text.h"
#include "couch/store_priv.h"

static bool release_db(void *arg, struct slice name, void *value)
{
    (void)arg;
    (void)name;
    db_release(value);
    return true;
}

struct store *store_new(const struct store_options *opt)
{
    struct store *s = mem_zalloc(sizeof(*s));
    size_t n = strlen(opt->dir) + 32;

    s->dir = mem_alloc(n);
    snprintf(s->dir, n, "%s/%llu", opt->dir, (unsigned long long)opt->number);
    s->idx_dir = s->dir;
    s->number = opt->number;
    s->segs = opt->segs;
    s->catalog = map_new();
    s->queue_tail = &s->queue;
    s->accounts = accounts_new();
    s->blobs = blobs_new();
    s->updates = opt->updates != NULL ? opt->updates : updates_new();
    s->owns_updates = opt->updates == NULL;
    atomic_init(&s->max_doc, LIMIT_DOC_BYTES);
    atomic_init(&s->max_att, LIMIT_ATT_BYTES);
    mutex_init(&s->catalog_mu, RANK_CATALOG);
    mutex_init(&s->queue_mu, RANK_COMMIT);
    mutex_init(&s->maint_mu, RANK_LEAF);
    cond_init(&s->queue_cond);
    cond_init(&s->maint_cond);
    return s;
}

void store_free(struct store *s)
{
    map_each(s->catalog, release_db, NULL);
    map_free(s->catalog);
    accounts_free(s->accounts);
    blobs_close(s->blobs);
    blobs_unref(s->blobs);
    if (s->owns_updates)
        updates_free(s->updates);
    if (s->owns_segs && s->segs != NULL)
        s->segs->ops->close(s->segs);
    cond_fini(&s->maint_cond);
    cond_fini(&s->queue_cond);
    mutex_fini(&s->maint_mu);
    mutex_fini(&s->queue_mu);
    mutex_fini(&s->catalog_mu);
    mem_free(s->dir);
    mem_free(s);
}

static enum status open_files(struct store *s, const struct store_options *opt, struct err *e)
{
    struct buf uri;
    enum status st;

    buf_init(&uri, 8192);
    buf_printf(&uri, "file:%s", opt->dir);
    buf_char(&uri, '\0');
    st = buf_ok(&uri) ? seg_store_open(uri.p, &s->segs, e)
                      : err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    buf_free(&uri);
    s->owns_segs = st == ST_OK;
    return st;
}

static enum status acquire(struct store *s, const struct store_options *opt, struct err *e)
{
    struct blob_home home;
    enum ss_rc rc;

    if (s->segs == NULL)
        TRY(open_files(s, opt, e));
    ASSERT(s->segs != NULL);
    rc = s->segs->ops->acquire(s->segs, s->number, &s->super, e);
    if (rc != SS_OK)
        return ss_status(rc);
    hex_encode(s->super.uuid, 16, s->uuid_hex);
    home = (struct blob_home){.ss = s->segs, .store = s->number, .epoch = s->super.epoch};
    memcpy(home.uuid, s->super.uuid, sizeof(home.uuid));
    blobs_open(s->blobs, &home);
    return fs_mkdirs(s->dir, e);
}

enum status store_open(const struct store_options *opt, struct store **out, struct err *e)
{
    struct store *s = store_new(opt);
    enum status st = acquire(s, opt, e);

    if (st == ST_OK && opt->salvage)
        st = salvage_begin(s, e);
    if (st == ST_OK)
        st = store_recover(s, opt, e);
    if (st != ST_OK) {
        log_close(s->log);
        kv_close(s->kv);
        salvage_free(s->salvage);
        store_free(s);
        return st;
    }
    committer_start(s);
    maint_start(s);
    if (s->salvage != NULL)
        st = salvage_finish(s, e);
    if (st != ST_OK) {
        store_close(s);
        return st;
    }
    if (!opt->no_compaction)
        compactor_start(s);
    *out = s;
    return ST_OK;
}

/* What deleting the rows of dropped databases changed since the last group. */
static void flush_accounts(struct store *s)
{
    struct kv_batch *b = kv_batch_new();
    struct arena *a = arena_new();
    struct err e;

    accounts_flush(s->accounts, b, a);
    if (!atomic_load(&s->in_trouble) && kv_write(s->kv, b, &e) != ST_OK)
        store_set_trouble(s, e.reason);
    arena_free(a);
    kv_batch_free(b);
}

void store_close(struct store *s)
{
    struct err e = {0};
    bool clean;

    if (s == NULL)
        return;
    compactor_stop(s);
    committer_stop(s);
    maint_stop(s);
    blobs_close(s->blobs);
    flush_accounts(s);
    clean = !atomic_load(&s->in_trouble) && maint_barrier(s, &e) == ST_OK;
    KILL_POINT("stop.barrier");
    log_close(s->log);
    kv_close(s->kv);
    KILL_POINT("stop.closed");
    if (clean && s->segs->ops->checkpoint(s->segs, s->number, s->super.epoch,
                                          atomic_load(&s->tail_seg), true, &e) != SS_OK)
        clean = false;
    if (!clean)
        log_warn("store %s: not a clean stop: %s", s->dir, e.reason);
    store_free(s);
}

const char *store_trouble(const struct store *s)
{
    return atomic_load(&s->in_trouble) ? s->trouble : "";
}

const char *store_uuid(const struct store *s)
{
    return s->uuid_hex;
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

uint64_t store_applied(struct store *s)
{
    return atomic_load(&s->applied_lsn);
}

struct kv *store_kv(struct store *s)
{
    return s->kv;
}

struct log *store_log(struct store *s)
{
    return s->log;
}

void store_set_taken(struct store *s, store_taken_fn fn, void *arg)
{
    s->taken = fn;
    s->taken_arg = arg;
}

void store_observe(struct store *s, commit_observer_fn fn, void *arg)
{
    ASSERT(s->nobservers < STORE_OBSERVERS_MAX);
    s->observers[s->nobservers++] = (struct store_observer){fn, arg};
}

void store_set_max_doc(struct store *s, uint32_t bytes)
{
    atomic_store(&s->max_doc, bytes);
}

void store_set_max_att(struct store *s, uint64_t bytes)
{
    atomic_store(&s->max_att, bytes);
}

uint64_t store_max_att(struct store *s)
{
    return atomic_load(&s->max_att);
}

uint32_t store_max_doc(struct store *s)
{
    return atomic_load(&s->max_doc);
}

void store_set_validator(struct store *s, doc_validator_fn fn, void *arg)
{
    s->validate = fn;
    s->validate_arg = arg;
}

enum status store_validate(struct store *s, const struct commit_op *op, const struct doc_user *user,
                           struct err *e)
{
    return s->validate != NULL ? s->validate(s->validate_arg, op, user, e) : ST_OK;
}
