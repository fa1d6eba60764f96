/* couch/compact.c: the thread that reclaims what is dead in the log.
 *
 * By itself it looks once a second, more often while the log grows, and takes the sealed segment
 * where (1-u)*age/(1+u) is highest, u being its live part: the emptier and the older, the better.
 * It has two ends: few bytes written again, and a log not much longer than what is live. The later
 * a segment is taken the less of it is left to move, so while the log is shorter than AT_EASE times
 * what is live only those go that are nearly empty. Beyond, it works the faster the nearer the log
 * comes to TOO_LONG times what is live; there it does not rest at all, and writers are held back
 * (commit.c) until it has caught up. Where updates are spread evenly that leaves a segment with u
 * of about 0.4 when its turn comes, so that each byte of a user costs 0.7 bytes of compaction.
 * POST /{db}/_compact asks for every segment that is less than 95 % live. compact_segment.c does
 * the work on one.
 * Once a minute it reads a sealed segment through, so that bit rot is found while copies exist.
 * Threads: its own; requests come from any.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/time.h"
#include "couch/compact_priv.h"

enum {
    LOOK_US = 1000000,
    SOON_US = LOOK_US / 5,
    RETRY_US = 60 * 1000000,
    BYTES_PER_S = 20 << 20,
    ASKED_BYTES_PER_S = 100 << 20,
    GRACE_US = 500000,
    SHORT_GRACE_US = 10000, /* readers of old pointers read their rows again */
    ASKED_GRACE_US = LIMIT_ASKED_GRACE_US,
    BUSY_BATCHES = 64,
    MANY_SEGMENTS = 32, /* then small ones are worth the trouble too */
    FEW = 4,            /* segments: nobody waits for a store of less */
    HOLD_US = 10000,
    HOLD_MAX_US = 500000,
    ROOM_BYTES = 256 << 10,
    SEAL_WAIT_US = 1000000,
    SCRUB_US = 60 * 1000000 /* a segment a minute: about 1 MB/s */
};
/* Most of a segment that is live when it is taken: at ease, beyond, under pressure, when asked. */
static const double EASY_LIVE = 0.25, AUTO_LIVE = 0.6, PRESSED_LIVE = 0.85, ASKED_LIVE = 0.95;
static const double AT_EASE = 1.5, TOO_LONG = 1.8; /* times the live bytes */
static const double HALFWAY = 0.5;

struct ask {
    struct db *db; /* referenced */
    struct ask *next;
};

struct compactor {
    struct store *s;
    struct thread thread;
    struct mutex mu; /* RANK_LEAF */
    struct cond cond;
    struct ask *asks GUARDED_BY(mu);
    bool stop GUARDED_BY(mu);
    struct db *now GUARDED_BY(mu); /* whose request is worked on */
    uint64_t total GUARDED_BY(mu), done GUARDED_BY(mu), started_ms GUARDED_BY(mu);
    /* the thread's */
    uint64_t allowance_us;          /* when the bytes written so far are paid for */
    uint64_t bad_seg, bad_until_us; /* could not be emptied; left alone for a while */
    uint64_t seen_bytes;            /* appended at the last look */
    bool asked;
    uint64_t settled;  /* s->changes + 1 at the last _compact that did all it could; 0: none */
    uint64_t scrubbed; /* the last segment that was read for its checksums */
    bool swept;        /* blobs that the last life left behind */
};

/* ---- pace ---- */

static bool stopping(struct compactor *c)
{
    bool stop;

    mutex_lock(&c->mu);
    stop = c->stop;
    mutex_unlock(&c->mu);
    return stop;
}

/* Sleeps; false: the store closes. */
static bool rest(struct compactor *c, uint64_t us)
{
    bool stop;

    mutex_lock(&c->mu);
    if (!c->stop && us != 0)
        cond_wait_us(&c->cond, &c->mu, (long)us);
    stop = c->stop;
    mutex_unlock(&c->mu);
    return !stop;
}

static bool is_busy(struct store *s)
{
    bool busy;

    mutex_lock(&s->queue_mu);
    busy = s->queue_batches > BUSY_BATCHES;
    mutex_unlock(&s->queue_mu);
    return busy;
}

static double times_live(struct store *s)
{
    return (double)atomic_load(&s->log_bytes) / ((double)accounts_all(s->accounts) + 1);
}

/* How far the log is from AT_EASE, 0, to TOO_LONG, 1. */
static double strain(struct store *s)
{
    double x = (times_live(s) - AT_EASE) / (TOO_LONG - AT_EASE);

    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* Beyond TOO_LONG they wait, the longer the further. A store of a few segments cannot be shorter
 * than these. */
uint64_t compact_hold_us(struct store *s)
{
    double x;

    if (!atomic_load(&s->compacts) ||
        atomic_load(&s->log_bytes) <= (uint64_t)FEW * s->segs->segment_bytes)
        return 0;
    x = times_live(s) - TOO_LONG;
    if (x <= 0)
        return 0;
    return x > HALFWAY ? HOLD_MAX_US : HOLD_US + (uint64_t)(x * 2 * HOLD_MAX_US);
}

static bool moved(void *arg, uint64_t bytes)
{
    struct compactor *c = arg;
    uint64_t rate = c->asked ? ASKED_BYTES_PER_S : BYTES_PER_S, now = time_mono_us();
    double x = strain(c->s);

    if (is_busy(c->s) && x < HALFWAY)
        rate /= 2;
    mutex_lock(&c->mu);
    c->done += bytes;
    mutex_unlock(&c->mu);
    if (c->allowance_us < now)
        c->allowance_us = now;
    c->allowance_us += (uint64_t)((double)bytes * 1e6 / (double)rate * (1 - x));
    while ((now = time_mono_us()) < c->allowance_us)
        if (!rest(c, c->allowance_us - now))
            return false;
    return !stopping(c);
}

static bool wait_grace(void *arg, uint64_t us)
{
    return rest(arg, us);
}

/* ---- victims ---- */

static double live_part(struct store *s, const struct log_seg_info *i)
{
    double u = (double)accounts_live(s->accounts, i->seg) / (double)i->len;

    return u > 1 ? 1 : u;
}

/* Whether reclaiming it by itself pays. */
static bool is_worth(const struct compactor *c, const struct log_seg_info *i, double u, size_t n)
{
    double dead = (1 - u) * (double)i->len, x = strain(c->s);

    if (!i->sealed || log_is_damaged(c->s->log, i->seg) ||
        u >= (x >= 1  ? PRESSED_LIVE
              : x > 0 ? AUTO_LIVE
                      : EASY_LIVE))
        return false;
    if (i->seg == c->bad_seg && time_mono_us() < c->bad_until_us)
        return false;
    return n > MANY_SEGMENTS || dead >= (double)c->s->segs->segment_bytes / 4;
}

/* 0: none. */
static uint64_t choose(struct compactor *c)
{
    struct log_seg_info *v;
    size_t n = log_segments(c->s->log, &v);
    uint64_t best = 0;
    double best_score = 0;

    for (size_t i = 0; i < n; i++) {
        double u = live_part(c->s, &v[i]);
        double score = (1 - u) * (double)(v[n - 1].seg - v[i].seg) / (1 + u);

        if (is_worth(c, &v[i], u, n) && score > best_score) {
            best = v[i].seg;
            best_score = score;
        }
    }
    mem_free(v);
    return best;
}

/* Half a segment moved to a disk that then is full would help nobody. */
static enum status has_room(struct store *s, uint64_t seg, struct err *e)
{
    uint64_t live = accounts_live(s->accounts, seg);

    if (s->segs->ops->reserve_bytes(s->segs) >= live + live / 8 + ROOM_BYTES)
        return ST_OK;
    return err_set(e, ST_NO_SPACE, "the disk has no room for the %llu bytes that are live in it",
                   (unsigned long long)live);
}

static enum status compact(struct compactor *c, uint64_t seg)
{
    const struct compact_pace pace = {.moved = moved,
                                      .wait = wait_grace,
                                      .grace_us = c->asked           ? ASKED_GRACE_US
                                                  : strain(c->s) > 0 ? SHORT_GRACE_US
                                                                     : GRACE_US,
                                      .arg = c};
    uint64_t start = time_mono_us();
    struct err e = {0};
    enum status st = has_room(c->s, seg, &e);

    if (st == ST_OK && store_held(c->s)) /* what is moved would lie there twice */
        st = err_set(&e, ST_UNAVAILABLE, "a backup needs the files");
    if (st == ST_OK)
        st = compact_one(c->s, seg, &pace, &e);
    if (st == ST_OK) {
        log_debug("store %s: segment %llu reclaimed in %llu ms", c->s->dir, (unsigned long long)seg,
                  (unsigned long long)(time_mono_us() - start) / 1000);
        return ST_OK;
    }
    c->bad_seg = seg;
    c->bad_until_us = time_mono_us() + RETRY_US;
    if (!stopping(c))
        log_warn("store %s: segment %llu stays: %s", c->s->dir, (unsigned long long)seg, e.reason);
    return st;
}

/* ---- blobs ---- */

static void collect(struct compactor *c)
{
    struct err e = {0};

    if (store_collect_blobs(c->s, &e) != ST_OK && !stopping(c))
        log_warn("store %s: collecting blobs: %s", c->s->dir, e.reason);
}

static bool go_on(void *arg)
{
    return !stopping(arg);
}

/* What a crash left goes at once; what lost its last document later goes when it is worth it: older
 * revisions can be read until then. */
static void look_at_blobs(struct compactor *c)
{
    struct store *s = c->s;
    uint64_t enough = s->segs->segment_bytes;
    struct err e = {0};

    if (!c->swept) {
        c->swept = true;
        if (blobs_sweep(s->blobs, go_on, c, &e) != ST_OK)
            log_warn("store %s: looking for blobs that nobody needs: %s", s->dir, e.reason);
        enough = 0;
    }
    if (s->segs->ops->free_bytes(s->segs) < enough)
        enough = 0;
    if (!stopping(c) && blobs_worth(s->blobs, enough))
        collect(c);
}

/* ---- requests ---- */

/* The tail becomes an ordinary segment, if something in it can be reclaimed. false: it did not. */
static bool close_tail(struct compactor *c)
{
    struct commit_move m = {.what = MOVE_NEXT};
    struct commit_op op = {.kind = COMMIT_MOVE, .move = &m};
    struct log_seg_info *v;
    size_t n = log_segments(c->s->log, &v);
    uint64_t tail = n != 0 ? v[n - 1].seg : 0, end = time_mono_us() + SEAL_WAIT_US;
    bool full = n == 0 || live_part(c->s, &v[n - 1]) >= ASKED_LIVE;
    bool sealed = false;
    struct err e;

    mem_free(v);
    if (full)
        return true;
    log_want_roll(c->s->log);
    if (commit_wait(c->s, &op, 1, &e) != ST_OK)
        return false;
    while (!sealed && time_mono_us() < end && rest(c, 1000)) {
        n = log_segments(c->s->log, &v);
        for (size_t i = 0; i < n; i++)
            sealed = sealed || (v[i].seg == tail && v[i].sealed);
        mem_free(v);
    }
    return sealed;
}

/* Every segment; false: something is left to do. */
static bool serve_segments(struct compactor *c, struct db *db)
{
    struct log_seg_info *v;
    uint64_t total = 0;
    bool all = close_tail(c);
    size_t n;

    n = log_segments(c->s->log, &v);
    for (size_t i = 0; i < n; i++) {
        v[i].sealed = v[i].sealed && live_part(c->s, &v[i]) < ASKED_LIVE &&
                      !log_is_damaged(c->s->log, v[i].seg);
        total += v[i].sealed ? accounts_live(c->s->accounts, v[i].seg) : 0;
    }
    mutex_lock(&c->mu);
    c->total = total;
    mutex_unlock(&c->mu);
    c->asked = true;
    for (size_t i = 0; i < n && !stopping(c) && !db_dropped(db); i++)
        if (v[i].sealed && compact(c, v[i].seg) != ST_OK)
            all = false; /* it was logged */
    c->asked = false;
    mem_free(v);
    return all && !stopping(c) && !db_dropped(db);
}

/* What compaction itself writes would be dead in part again at once: without a change there is
 * nothing to do. */
static void serve(struct compactor *c, struct db *db)
{
    uint64_t changes = atomic_load(&c->s->changes) + 1;

    if (c->settled != changes)
        c->settled = serve_segments(c, db) ? changes : 0;
    if (!stopping(c) && !db_dropped(db))
        collect(c);
}

static bool serve_next(struct compactor *c)
{
    struct ask *a;

    mutex_lock(&c->mu);
    a = c->stop ? NULL : c->asks;
    if (a != NULL) {
        c->asks = a->next;
        c->now = a->db;
        c->total = c->done = 0;
        c->started_ms = time_wall_ms();
    }
    mutex_unlock(&c->mu);
    if (a == NULL)
        return false;
    serve(c, a->db);
    mutex_lock(&c->mu);
    c->now = NULL;
    mutex_unlock(&c->mu);
    atomic_store(&a->db->compacting, false);
    db_release(a->db);
    mem_free(a);
    return true;
}

void db_compact_start(struct db *db)
{
    struct compactor *c = db->store->compactor;
    struct ask *a, **p;

    if (c == NULL || atomic_exchange(&db->compacting, true))
        return;
    a = mem_zalloc(sizeof(*a));
    a->db = db_ref(db);
    mutex_lock(&c->mu);
    for (p = &c->asks; *p != NULL;)
        p = &(*p)->next;
    *p = a;
    mutex_unlock(&c->mu);
    cond_broadcast(&c->cond);
}

bool db_compact_running(const struct db *db)
{
    return atomic_load(&db->compacting);
}

void store_tasks(struct store *s, struct buf *out, unsigned *n)
{
    struct compactor *c = s->compactor;
    uint64_t done, total;

    if (c == NULL)
        return;
    mutex_lock(&c->mu);
    if (c->now != NULL) {
        done = c->done < c->total ? c->done : c->total;
        total = c->total;
        if ((*n)++ != 0)
            buf_char(out, ',');
        buf_printf(out,
                   "{\"node\":\"nonode@nohost\",\"pid\":\"<0.%d.0>\","
                   "\"type\":\"database_compaction\",\"database\":\"%.*s\","
                   "\"phase\":\"segments\",\"changes_done\":%llu,\"total_changes\":%llu,"
                   "\"progress\":%llu,\"started_on\":%llu,\"updated_on\":%llu}",
                   (int)getpid(), (int)db_name(c->now).n, db_name(c->now).p,
                   (unsigned long long)done, (unsigned long long)total,
                   (unsigned long long)(total == 0 ? 0 : done * 100 / total),
                   (unsigned long long)c->started_ms / 1000, /* seconds, as CouchDB */
                   (unsigned long long)time_wall_ms() / 1000);
    }
    mutex_unlock(&c->mu);
}

/* ---- the scrubber ---- */

static enum status look_away(void *arg, const struct log_record *rec, struct err *e)
{
    (void)rec;
    if (stopping(arg))
        return err_set(e, ST_UNAVAILABLE, "the store closes");
    return ST_OK;
}

/* Reads one sealed segment, so that damage is known before a reader or compaction meets it. */
static void scrub(struct compactor *c)
{
    struct log_seg_info *v;
    size_t n = log_segments(c->s->log, &v), i = 0;
    struct err e;

    while (i < n && (!v[i].sealed || v[i].seg <= c->scrubbed))
        i++;
    c->scrubbed = i < n ? v[i].seg : 0; /* 0: from the first again */
    if (i < n && log_scan_seg(c->s->log, v[i].seg, look_away, c, &e) != ST_OK && !stopping(c))
        log_warn("store %s: segment %llu: %s", c->s->dir, (unsigned long long)v[i].seg, e.reason);
    mem_free(v);
}

/* ---- the thread ---- */

static bool has_asks(struct compactor *c)
{
    bool has;

    mutex_lock(&c->mu);
    has = c->asks != NULL;
    mutex_unlock(&c->mu);
    return has;
}

static bool has_grown(struct compactor *c)
{
    uint64_t before = c->seen_bytes;

    c->seen_bytes = log_appended(c->s->log);
    return c->seen_bytes != before;
}

static void compactor_main(void *arg)
{
    struct compactor *c = arg;
    uint64_t next = time_mono_us() + SOON_US, now, seg;
    uint64_t next_scrub = next + SCRUB_US;

    while (!stopping(c)) {
        if (serve_next(c))
            continue;
        now = time_mono_us();
        if (now >= next && !atomic_load(&c->s->in_trouble)) {
            next = now + (has_grown(c) ? SOON_US : LOOK_US);
            look_at_blobs(c);
            seg = store_held(c->s) ? 0 : choose(c);
            atomic_store(&c->s->compacts, seg != 0);
            if (seg != 0 && compact(c, seg) == ST_OK)
                next = now; /* perhaps another one */
        }
        if (now >= next_scrub) {
            scrub(c);
            next_scrub = now + SCRUB_US;
        }
        now = time_mono_us();
        if (!has_asks(c) && now < next)
            (void)rest(c, next - now);
    }
    atomic_store(&c->s->compacts, false);
}

void compactor_start(struct store *s)
{
    struct compactor *c = mem_zalloc(sizeof(*c));

    c->s = s;
    mutex_init(&c->mu, RANK_LEAF);
    cond_init(&c->cond);
    s->compactor = c;
    thread_start(&c->thread, "compact", compactor_main, c);
}

void compactor_stop(struct store *s)
{
    struct compactor *c = s->compactor;
    struct ask *next;

    if (c == NULL)
        return;
    mutex_lock(&c->mu);
    c->stop = true;
    mutex_unlock(&c->mu);
    cond_broadcast(&c->cond);
    thread_join(&c->thread);
    for (struct ask *a = c->asks; a != NULL; a = next) {
        next = a->next;
        db_release(a->db);
        mem_free(a);
    }
    cond_fini(&c->cond);
    mutex_fini(&c->mu);
    s->compactor = NULL;
    mem_free(c);
}
