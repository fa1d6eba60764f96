/* wal/log_roll.c: from one segment to the next; see log_priv.h for the states. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "wal/log_priv.h"

/* Creates the next segment; called by the roller, and by the appender before there is a roller. */
static enum status create(struct log *log, uint64_t seg, struct log_seg *out, struct err *e)
{
    unsigned char bytes[FRAME_SEG_BYTES];
    struct frame_seg h = {.flags = FRAME_SEG_LOG, .seg = seg, .epoch = log->epoch};

    memcpy(h.uuid, log->uuid, sizeof h.uuid);
    random_bytes(&h.salt, sizeof h.salt);
    h.first_lsn = log_last_lsn(log) + 1;
    frame_seg_put(bytes, &h);
    *out = (struct log_seg){.seg = seg, .epoch = h.epoch, .salt = h.salt, .good = true};
    out->len = FRAME_SEG_BYTES;
    return ss_status(
        log->ss->ops->seg_create(log->ss, log->store, log->epoch, seg, bytes, sizeof bytes, e));
}

static void prepare(struct log *log) REQUIRES(log->mu)
{
    uint64_t seg = ++log->seg_max;
    struct log_seg made;
    struct err e = {0};
    enum status st;

    mutex_unlock(&log->mu);
    st = create(log, seg, &made, &e);
    mutex_lock(&log->mu);
    log->next = made;
    log->next_err = e;
    log->next_status = st;
    log->next_state = st == ST_OK ? LOG_NEXT_READY : LOG_NEXT_FAILED;
    cond_broadcast(&log->cv);
}

static void seal(struct log *log, const struct log_seg *s)
{
    struct err e;
    enum ss_rc rc = log->ss->ops->seal(log->ss, log->store, log->epoch, s->seg, s->len, &e);

    if (rc != SS_OK) /* its groups are durable all the same; recovery seals it again */
        log_warn("segment %llu is not sealed: %s", (unsigned long long)s->seg, e.reason);
}

/* Compaction's, on this thread: the segment store allows one beside the appender. */
static void delete_one(struct log *log) REQUIRES(log->mu)
{
    uint64_t seg = log->del_seg;
    struct err e = {0};
    enum status st;

    mutex_unlock(&log->mu);
    st = ss_status(log->ss->ops->del(log->ss, log->store, log->epoch, seg, &e));
    mutex_lock(&log->mu);
    log->del_status = st;
    log->del_err = e;
    log->del_seg = 0;
    cond_broadcast(&log->cv);
}

static void roller(void *arg)
{
    struct log *log = arg;

    mutex_lock(&log->mu);
    for (;;) {
        if (log->next_state == LOG_NEXT_WANTED) {
            prepare(log);
        } else if (log->seal.seg != 0) {
            struct log_seg s = log->seal;

            mutex_unlock(&log->mu);
            seal(log, &s);
            mutex_lock(&log->mu);
            log->seal.seg = 0;
            cond_broadcast(&log->cv);
        } else if (log->del_seg != 0) {
            delete_one(log);
        } else if (log->stop) {
            break;
        } else {
            cond_wait(&log->cv, &log->mu);
        }
    }
    mutex_unlock(&log->mu);
}

static void add_tail(struct log *log, const struct log_seg *s) REQUIRES(log->mu)
{
    if (log->nsegs == log->cap) {
        log->cap = log->cap * 2 + 16;
        log->segs = mem_realloc(log->segs, log->cap * sizeof *log->segs);
    }
    log->segs[log->nsegs++] = *s;
    log->tail = *s;
    atomic_store(&log->tail_seg, s->seg);
    atomic_fetch_add(&log->bytes, s->len);
}

enum status log_roll(struct log *log, struct err *e)
{
    enum status st = ST_OK;

    mutex_lock(&log->mu);
    if (log->next_state == LOG_NEXT_NONE || log->next_state == LOG_NEXT_FAILED) {
        log->next_state = LOG_NEXT_WANTED;
        cond_broadcast(&log->cv);
    }
    /* One segment at a time waits to be sealed: a bound, hardly ever reached. */
    while (log->next_state == LOG_NEXT_WANTED || log->seal.seg != 0)
        cond_wait(&log->cv, &log->mu);
    if (log->next_state == LOG_NEXT_FAILED) {
        *e = log->next_err;
        st = log->next_status;
    } else {
        log->seal = log->tail;
        log->next_state = LOG_NEXT_NONE;
        add_tail(log, &log->next);
        cond_broadcast(&log->cv);
        KILL_POINT("log.rolled");
    }
    mutex_unlock(&log->mu);
    return st;
}

void log_roll_ahead(struct log *log)
{
    if (log->tail.len < log->segment_bytes / 2)
        return;
    mutex_lock(&log->mu);
    if (log->next_state == LOG_NEXT_NONE) {
        log->next_state = LOG_NEXT_WANTED;
        cond_broadcast(&log->cv);
    }
    mutex_unlock(&log->mu);
}

enum status log_roll_begin(struct log *log, struct err *e)
{
    struct log_seg s;

    ASSERT(!log->started);
    TRY(create(log, ++log->seg_max, &s, e));
    mutex_lock(&log->mu);
    add_tail(log, &s);
    mutex_unlock(&log->mu);
    thread_start(&log->roller, "log", roller, log);
    return ST_OK;
}

void log_roll_end(struct log *log)
{
    struct err e;

    mutex_lock(&log->mu);
    log->stop = true;
    cond_broadcast(&log->cv);
    mutex_unlock(&log->mu);
    thread_join(&log->roller);
    if (log->next_state == LOG_NEXT_READY &&
        log->ss->ops->del(log->ss, log->store, log->epoch, log->next.seg, &e) != SS_OK)
        log_warn("segment %llu, never used: %s", (unsigned long long)log->next.seg, e.reason);
    seal(log, &log->tail);
}
