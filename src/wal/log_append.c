/* wal/log_append.c: one group: assign LSNs, encode, write, make durable.
 *
 * Headers, paddings and small bodies are copied into one staging buffer, large bodies are written
 * from where they lie; each record is checksummed once. WRITE PATH: the moment of durability.
 * Threads: the appender only.
 */
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/kill_point.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "wal/log_priv.h"

enum { COPY_BELOW = 4096, RESOLVE_TRIES = 8, ROOM_CHECK_US = 1000000, EXIT_DISK = 74 };

/* Bytes of the group and of its part that is staged. */
static enum status measure(const struct log_record *recs, size_t n, uint64_t *total, size_t *staged,
                           struct err *e)
{
    *total = *staged = FRAME_GROUP_BYTES;
    for (size_t i = 0; i < n; i++) {
        size_t len = recs[i].body.n;

        if (len > LIMIT_RECORD_BYTES)
            return err_set(e, ST_TOO_LARGE, "a log record of %zu bytes, at most %u", len,
                           LIMIT_RECORD_BYTES);
        *total += FRAME_REC_BYTES + len + frame_pad((uint32_t)len);
        *staged += FRAME_REC_BYTES + frame_pad((uint32_t)len) + (len < COPY_BELOW ? len : 0);
    }
    if (*total > UINT32_MAX / 2)
        return err_set(e, ST_TOO_LARGE, "a log group of %llu bytes", (unsigned long long)*total);
    return ST_OK;
}

static void make_room(struct log *log, size_t staged, size_t n)
{
    if (staged > log->stage_cap) {
        mem_free(log->stage);
        log->stage = mem_alloc(staged);
        log->stage_cap = staged;
    }
    if (2 * n + 2 > log->iov_cap) {
        mem_free(log->iov);
        log->iov_cap = 2 * n + 2;
        log->iov = mem_array(log->iov_cap, sizeof *log->iov);
    }
}

/* One record into the staging buffer at p; *run is where the piece that is not yet in iov starts.
 * Returns the end. */
static unsigned char *stage_record(struct log *log, unsigned char *p, unsigned char **run,
                                   int *niov, const struct log_record *r)
{
    uint32_t pad = frame_pad((uint32_t)r->body.n);

    p += FRAME_REC_BYTES;
    if (r->body.n < COPY_BELOW) {
        if (r->body.n != 0)
            memcpy(p, r->body.p, r->body.n);
        p += r->body.n;
    } else {
        log->iov[(*niov)++] = (struct iovec){*run, (size_t)(p - *run)};
        log->iov[(*niov)++] =
            (struct iovec){(void *)(uintptr_t)r->body.p, r->body.n}; /* pwritev only reads */
        *run = p;
    }
    memset(p, 0, pad);
    return p + pad;
}

/* The whole group as iov; returns the number of pieces. LSNs, places and `ver` are set. */
static int encode(struct log *log, struct log_record *recs, size_t n, uint64_t total,
                  uint32_t flags)
{
    struct frame_group g = {.payload = (uint32_t)(total - FRAME_GROUP_BYTES), .nrec = (uint32_t)n};
    unsigned char *p = log->stage + FRAME_GROUP_BYTES, *run = log->stage;
    uint32_t off = log->tail.len + FRAME_GROUP_BYTES;
    int niov = 0;

    g.durable_lsn = log_last_lsn(log);
    g.first_lsn = g.durable_lsn + 1;
    g.flags = flags;
    g.wall_ms = time_wall_ms();
    for (size_t i = 0; i < n; i++) {
        struct log_record *r = &recs[i];

        r->lsn = g.first_lsn + i;
        if (r->ver == 0)
            r->ver = r->lsn;
        r->seg = log->tail.seg;
        r->body_off = off + FRAME_REC_BYTES;
        off += FRAME_REC_BYTES + (uint32_t)r->body.n + frame_pad((uint32_t)r->body.n);
        g.crcs ^= frame_rec_put(p, log->tail.salt, r);
        p = stage_record(log, p, &run, &niov, r);
    }
    frame_group_put(log->stage, log->tail.salt, &g);
    if (p != run)
        log->iov[niov++] = (struct iovec){run, (size_t)(p - run)};
    ASSERT(off == log->tail.len + total);
    return niov;
}

/* The answer to an append got lost: finds out, and writes again while it did not happen. The same
 * bytes at the same place, so that a late arrival of the first attempt changes nothing. */
static enum ss_rc settle_unknown(struct log *log, int niov, uint64_t total, struct err *e)
{
    const struct seg_store_ops *ops = log->ss->ops;
    enum ss_rc rc = SS_UNKNOWN;

    for (int i = 0; i < RESOLVE_TRIES && rc == SS_UNKNOWN; i++) {
        uint64_t want = log->tail.len + total;
        uint32_t len = 0;

        if (i > 0)
            time_sleep_us((uint64_t)1000 << i);
        rc = ops->resolve(log->ss, log->store, log->epoch, log->tail.seg, &len, e);
        if (rc != SS_OK)
            continue;
        if (len == want)
            return SS_OK;
        if (len != log->tail.len) {
            (void)err_set(e, ST_IO, "segment %llu has %u bytes, neither %u nor %llu",
                          (unsigned long long)log->tail.seg, (unsigned)len, (unsigned)log->tail.len,
                          (unsigned long long)want);
            return SS_IO;
        }
        rc = ops->append(log->ss, log->store, log->epoch, log->tail.seg, log->tail.len, log->iov,
                         niov, e);
    }
    if (rc == SS_UNKNOWN) {
        log_error("log: the outcome of an append cannot be found out (%s); stopping", e->reason);
        _exit(EXIT_DISK);
    }
    return rc;
}

static enum status fail(struct log *log, enum ss_rc rc, const struct err *e)
{
    log->failed = true;
    log->failure = *e;
    log_error("log: nothing is written any more: %s", e->reason);
    return ss_status(rc);
}

static void publish(struct log *log, uint64_t total, size_t n)
{
    struct log_seg *s;

    mutex_lock(&log->mu);
    s = &log->segs[log->nsegs - 1];
    ASSERT(s->seg == log->tail.seg);
    log->tail.len += (uint32_t)total;
    if (log->tail.first_lsn == 0)
        log->tail.first_lsn = log_last_lsn(log) + 1;
    *s = log->tail;
    mutex_unlock(&log->mu);
    atomic_fetch_add(&log->bytes, total);
    atomic_fetch_add(&log->appended, total);
    atomic_fetch_add(&log->last_lsn, n);
    log->room -= total < log->room ? total : log->room;
}

/* Deletes, purges, moves and our own records may use the reserve: they are how room is made. */
static bool makes_room(const struct log_record *recs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((recs[i].flags & (LOG_F_TOMBSTONE | LOG_F_MOVED)) == 0 && recs[i].type != LOG_PURGE &&
            recs[i].type != LOG_EPOCH && recs[i].type != LOG_PAD)
            return false;
    return true;
}

/* What the disk has left is known, if not for `want` bytes then as of now. */
static void see_room(struct log *log, uint64_t want)
{
    uint64_t now = time_mono_us();

    if (want <= log->room && now - log->room_at_us <= ROOM_CHECK_US)
        return;
    log->room = log->ss->ops->free_bytes(log->ss);
    log->room_at_us = now;
}

bool log_is_short(struct log *log)
{
    see_room(log, 0);
    return log->room < LIMIT_SHORT_ROOM;
}

static enum status check_floor(struct log *log, const struct log_record *recs, size_t n,
                               uint64_t total, struct err *e)
{
    see_room(log, total);
    if (total <= log->room)
        return ST_OK;
    if (makes_room(recs, n) && total <= log->ss->ops->reserve_bytes(log->ss))
        return ST_OK;
    return err_set(e, ST_NO_SPACE, "the disk is full but for the reserve");
}

static enum status append(struct log *log, struct log_record *recs, size_t n, uint32_t flags,
                          struct err *e)
{
    uint64_t total;
    size_t staged;
    enum ss_rc rc;
    int niov;

    if (log->failed) {
        *e = log->failure;
        return ST_UNAVAILABLE;
    }
    TRY(measure(recs, n, &total, &staged, e));
    TRY(check_floor(log, recs, n, total, e));
    if (log->tail.len > FRAME_SEG_BYTES &&
        (log->tail.len + total > log->segment_bytes || atomic_exchange(&log->want_roll, false)))
        TRY(log_roll(log, e));
    make_room(log, staged, n);
    niov = encode(log, recs, n, total, flags);
    KILL_POINT("log.append");
    rc = log->ss->ops->append(log->ss, log->store, log->epoch, log->tail.seg, log->tail.len,
                              log->iov, niov, e);
    if (rc == SS_UNKNOWN)
        rc = settle_unknown(log, niov, total, e);
    if (rc == SS_OK) {
        publish(log, total, n);
        KILL_POINT("log.published");
        log_roll_ahead(log);
        return ST_OK;
    }
    for (size_t i = 0; i < n; i++)
        if (recs[i].ver == recs[i].lsn)
            recs[i].ver = 0; /* as it came: the LSN goes to somebody else */
    return rc == SS_NOSPC ? ST_NO_SPACE : fail(log, rc, e);
}

enum status log_append(struct log *log, struct log_record *recs, size_t n, struct err *e)
{
    ASSERT(log->started);
    return n == 0 ? ST_OK : append(log, recs, n, 0, e);
}

enum status log_start(struct log *log, struct err *e)
{
    unsigned char body[16];
    struct log_record r = {.type = LOG_EPOCH, .body = slice_of(body, sizeof body)};

    ASSERT(!log->started);
    if (log->tail.seg == 0)
        TRY(log_roll_begin(log, e));
    put_le64(body, log->epoch);
    put_le64(body + 8, time_wall_ms());
    TRY(append(log, &r, 1, FRAME_GROUP_FIRST, e));
    log->started = true;
    return ST_OK;
}
