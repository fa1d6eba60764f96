/* couch/maint.c: the maintenance thread: barriers, and the rows of dropped databases.
 *
 * A barrier makes LevelDB durable up to the applied LSN, so that recovery has little to replay:
 * what comes between two barriers, and what comes while one is made, which LevelDB bounds by
 * stopping writers when two of its write buffers are full. It runs beside the committer. A drop
 * deletes rows in chunks; the marker (03 dbnum) goes with the last chunk, so a stop in between is
 * only a pause: the next start finds the marker.
 * Neither is in the log: what they change in LevelDB is the same whenever it happens.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "base/time.h"
#include "couch/local.h"
#include "couch/store_priv.h"

enum {
    TICK_US = 1000000,
    BARRIER_US = 60 * 1000000,
    BARRIER_BYTES = 64 << 20,
    BARRIER_RECORDS = 1 << 15, /* about a third of a second of replay */
    DROP_KEY_MAX = LIMIT_DOCID_BYTES + 64
};

/* ---- barriers ---- */

enum status maint_barrier(struct store *s, struct err *e)
{
    uint64_t hint = atomic_load(&s->tail_seg); /* before the LSN: never past its segment */
    uint64_t bytes = log_appended(s->log);
    uint64_t lsn = atomic_load(&s->applied_lsn);
    struct arena *a = arena_new();
    unsigned char v[8];
    enum status st;
    enum ss_rc rc;

    put_le64(v, lsn);
    KILL_POINT("barrier.begin");
    st = kv_barrier(s->kv, key_store(a, 'K'), slice_of(v, sizeof(v)), e);
    arena_free(a);
    if (st != ST_OK)
        return st;
    KILL_POINT("barrier.flushed");
    atomic_store(&s->barrier_lsn, lsn);
    atomic_store(&s->barrier_appended, bytes);
    s->barrier_us = time_mono_us();
    atomic_store(&s->barrier_called, false);
    rc = s->segs->ops->checkpoint(s->segs, s->number, s->super.epoch, hint, false, e);
    if (rc == SS_FENCED)
        store_set_trouble(s, "another process took the store over");
    else if (rc != SS_OK)
        log_warn("store %s: hint for the next start: %s", s->dir, e->reason);
    return ST_OK;
}

static bool has_enough(struct store *s)
{
    return log_appended(s->log) - atomic_load(&s->barrier_appended) >= BARRIER_BYTES ||
           atomic_load(&s->applied_lsn) - atomic_load(&s->barrier_lsn) >= BARRIER_RECORDS;
}

static bool barrier_due(struct store *s)
{
    if (atomic_load(&s->applied_lsn) == atomic_load(&s->barrier_lsn))
        return false;
    return has_enough(s) || time_mono_us() - s->barrier_us >= BARRIER_US;
}

/* A barrier when one is due, or somebody waits for one. */
static enum status keep_up(struct store *s, struct err *e)
{
    bool due;

    mutex_lock(&s->maint_mu);
    due = s->maint_want > s->maint_done;
    mutex_unlock(&s->maint_mu);
    if (!due && !barrier_due(s))
        return ST_OK;
    TRY(maint_barrier(s, e));
    mutex_lock(&s->maint_mu);
    /* What recovery applied is durable after the first barrier of this life, not before. */
    if (s->maint_done != atomic_load(&s->barrier_lsn)) {
        s->maint_done = atomic_load(&s->barrier_lsn); /* whoever waits may have begun to just now */
        cond_broadcast(&s->maint_cond);
    }
    mutex_unlock(&s->maint_mu);
    return ST_OK;
}

void maint_applied(struct store *s)
{
    if (atomic_load(&s->barrier_called) || !has_enough(s))
        return;
    mutex_lock(&s->maint_mu);
    atomic_store(&s->barrier_called, true);
    mutex_unlock(&s->maint_mu);
    cond_broadcast(&s->maint_cond);
}

/* ---- drops ---- */

struct chunk {
    struct kv_batch *batch;
    struct blob_drops dropped;
};

/* What a row that goes away kept alive. The accounts' rows are written with the next group: after a
 * crash before it a segment may count as fuller than it is, until compaction looks at it. */
static void forget_live(struct store *s, struct slice key, struct slice prefix, struct slice v,
                        struct chunk *c)
{
    struct arena *a = arena_new();
    struct err e = {0};
    struct docinfo d;
    struct slice rest, json;
    struct seg_ptr p;
    bool is_inline;
    uint64_t n;

    rest = slice_of(key.p + prefix.n + 1, key.n - prefix.n - 1);
    if (key.p[prefix.n] == KEY_INFO && docinfo_decode(a, v, &d, &e) == ST_OK) {
        struct blob_doc gone = {.dbnum = get_be32(prefix.p + 1), .docid = rest, .old = &d};

        accounts_doc(s->accounts, gone.dbnum, rest.n, v.n, &d, -1);
        blobs_write_rows(s->blobs, &gone, c->batch, a, &c->dropped);
    } else if (key.p[prefix.n] == KEY_LOCAL &&
               local_row_decode(v, &n, &is_inline, &json, &p, &e) == ST_OK && !is_inline) {
        accounts_local(s->accounts, &p, -1);
    }
    arena_free(a);
}

/* Deletes up to LIMIT_DROP_CHUNK rows from key `from` on; *last is where to go on. */
static enum status drop_chunk(struct store *s, struct slice prefix, struct buf *from, size_t *n,
                              struct err *e)
{
    struct chunk c = {.batch = kv_batch_new()};
    struct kv_iter *it = kv_iter_new(s->kv, NULL);
    enum status st;

    *n = 0;
    for (kv_iter_seek(it, buf_slice(from)); *n < LIMIT_DROP_CHUNK && kv_iter_valid(it);
         kv_iter_next(it)) {
        struct slice key = kv_iter_key(it);

        if (!slice_starts(key, prefix))
            break;
        forget_live(s, key, prefix, kv_iter_value(it), &c);
        kv_batch_delete(c.batch, key);
        buf_clear(from);
        buf_add(from, key);
        (*n)++;
    }
    st = kv_iter_error(it, e);
    kv_iter_free(it);
    if (st == ST_OK && *n != 0)
        st = kv_write(s->kv, c.batch, e);
    if (st == ST_OK) {
        blobs_dropped(s->blobs, &c.dropped);
        atomic_fetch_add(&s->changes, 1);
    }
    kv_batch_free(c.batch);
    mem_free(c.dropped.v);
    return st;
}

static enum status drop_rows(struct store *s, uint32_t dbnum, struct err *e)
{
    struct arena *a = arena_new();
    struct kv_batch *b = kv_batch_new();
    struct slice any = key_db(a, dbnum, KEY_META, SLICE_LIT(""));
    struct slice prefix = slice_of(any.p, any.n - 1); /* without the class */
    enum status st = ST_OK;
    size_t n = LIMIT_DROP_CHUNK;
    struct buf from;

    buf_init(&from, DROP_KEY_MAX);
    buf_add(&from, prefix);
    while (st == ST_OK && n == LIMIT_DROP_CHUNK && !atomic_load(&s->maint_quit)) {
        st = drop_chunk(s, prefix, &from, &n, e);
        KILL_POINT("drop.chunk");
        if (st == ST_OK) /* a huge database takes minutes, and a start would replay these */
            st = keep_up(s, e);
        if (st == ST_OK && !buf_ok(&from))
            st = err_set(e, ST_CORRUPT, "a key longer than any that is written");
    }
    if (st == ST_OK && n < LIMIT_DROP_CHUNK) {
        kv_batch_delete(b, key_dropping(a, dbnum));
        st = kv_write(s->kv, b, e);
    }
    buf_free(&from);
    kv_batch_free(b);
    arena_free(a);
    return st;
}

/* The first database with a drop marker that is above `after`; *got false: none. */
static enum status next_marker(struct store *s, uint32_t after, uint32_t *dbnum, bool *got,
                               struct err *e)
{
    struct arena *a = arena_new();
    struct kv_iter *it = kv_iter_new(s->kv, NULL);
    struct slice first = key_dropping(a, after + 1), key;
    enum status st;

    *got = false;
    kv_iter_seek(it, first);
    if (kv_iter_valid(it)) {
        key = kv_iter_key(it);
        *got = key.n == first.n && key.p[0] == first.p[0];
        if (*got)
            *dbnum = get_be32(key.p + key.n - 4);
    }
    st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}

enum status maint_drops(struct store *s, struct err *e)
{
    uint32_t dbnum = 0;
    bool got = true;

    while (!atomic_load(&s->maint_quit)) {
        TRY(next_marker(s, dbnum, &dbnum, &got, e));
        if (!got)
            return ST_OK;
        TRY(drop_rows(s, dbnum, e));
        KILL_POINT("drop.done");
    }
    return ST_OK;
}

/* ---- the thread ---- */

static void maint_main(void *arg)
{
    struct store *s = arg;

    for (;;) {
        struct err e = {0};
        bool stop, drop;

        mutex_lock(&s->maint_mu);
        if (!s->maint_stopping && !s->maint_drop && s->maint_want <= s->maint_done &&
            !atomic_load(&s->barrier_called))
            cond_wait_us(&s->maint_cond, &s->maint_mu, TICK_US);
        stop = s->maint_stopping;
        drop = s->maint_drop;
        s->maint_drop = false;
        mutex_unlock(&s->maint_mu);
        if (stop)
            return;
        if (drop && maint_drops(s, &e) != ST_OK)
            store_die(s, "deleting the rows of a dropped database", &e);
        if (keep_up(s, &e) != ST_OK)
            store_die(s, "barrier", &e);
    }
}

bool maint_barrier_at(struct store *s, uint64_t lsn)
{
    bool done;

    mutex_lock(&s->maint_mu);
    if (s->maint_want < lsn)
        s->maint_want = lsn;
    cond_broadcast(&s->maint_cond);
    while (s->maint_done < lsn && !s->maint_stopping)
        cond_wait(&s->maint_cond, &s->maint_mu);
    done = s->maint_done >= lsn;
    mutex_unlock(&s->maint_mu);
    return done;
}

void maint_start(struct store *s)
{
    s->barrier_us = time_mono_us();
    s->maint_drop = true; /* markers of the last life */
    thread_start(&s->maint, "maint", maint_main, s);
}

void maint_stop(struct store *s)
{
    atomic_store(&s->maint_quit, true);
    mutex_lock(&s->maint_mu);
    s->maint_stopping = true;
    mutex_unlock(&s->maint_mu);
    cond_broadcast(&s->maint_cond);
    thread_join(&s->maint);
}

void maint_wake(struct store *s)
{
    mutex_lock(&s->maint_mu);
    s->maint_drop = true;
    mutex_unlock(&s->maint_mu);
    cond_signal(&s->maint_cond);
}
