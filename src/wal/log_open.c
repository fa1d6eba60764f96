/* wal/log_open.c: recovery of the log: check, cut a torn tail off, make the rest durable.
 *
 * Order matters: nothing is cut before the walk has told a torn end from damage, and nothing that
 * the walk read is believed before it was written over and synced, because a crash after a failed
 * fsync leaves pages that look written and are not.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/kill_point.h"
#include "base/limits.h"
#include "base/log.h"
#include "wal/log_priv.h"

static enum status del_last(struct log *log, struct err *e)
{
    uint64_t seg = log->segs[log->nsegs - 1].seg;
    enum ss_rc rc = log->ss->ops->del(log->ss, log->store, log->epoch, seg, e);

    if (rc != SS_OK)
        return ss_status(rc);
    log->nsegs--;
    return ST_OK;
}

static enum status load(struct log *log, const struct ss_super *super, struct err *e)
{
    struct walk_table t = {.ss = log->ss, .store = log->store, .uuid = super->uuid};
    size_t n = 0;

    t.epoch_max = super->epoch;
    t.lost = log->salvage ? log_lost : NULL;
    TRY(walk_table_load(&t, &log->segs, &n, e));
    log->nsegs = log->cap = n;
    if (n != 0)
        log->seg_max = log->segs[n - 1].seg;
    if (super->replay_hint_seg > log->seg_max && !log->salvage)
        return err_set(e, ST_CORRUPT, "segment %llu is missing",
                       (unsigned long long)super->replay_hint_seg);
    if (super->replay_hint_seg > log->seg_max)
        log->seg_max = super->replay_hint_seg;
    return ST_OK;
}

/* Every group from `from` on. ST_OK: *w stands at the end. */
static enum status verify(struct walk *w, uint64_t from, bool clean, struct err *e)
{
    enum status st = walk_seek(w, from, e);

    while (st == ST_OK) {
        struct frame_group g;
        struct slice payload;
        uint32_t off;

        st = walk_next(w, &g, &payload, &off, e);
    }
    if (st == ST_TORN && clean)
        return err_set(e, ST_CORRUPT,
                       "the log does not end where the clean shutdown left it (LSN %llu)",
                       (unsigned long long)(w->next_lsn - 1));
    if (st == ST_TORN)
        log_info("log: a write that was cut short after LSN %llu is removed",
                 (unsigned long long)(w->next_lsn - 1));
    return st == ST_NOT_FOUND || st == ST_TORN ? ST_OK : st;
}

/* Segments that the walk went through and left end where their groups end. */
static enum status seal_before(struct log *log, size_t last, const uint32_t *file_len,
                               struct err *e)
{
    for (size_t i = 0; i < last; i++) {
        const struct log_seg *s = &log->segs[i];
        enum ss_rc rc;

        if (s->len == file_len[i])
            continue;
        rc = log->ss->ops->seal(log->ss, log->store, log->epoch, s->seg, s->len, e);
        if (rc != SS_OK)
            return ss_status(rc);
    }
    return ST_OK;
}

/* The end of the log is at segs[at], off: cuts off what follows and makes what stays durable. */
static enum status settle(struct log *log, size_t at, uint32_t off, bool clean, struct err *e)
{
    const struct seg_store_ops *ops = log->ss->ops;
    uint32_t file_len;
    struct log_seg *s;
    enum ss_rc rc = SS_OK;

    while (log->nsegs > at + 1)
        TRY(del_last(log, e));
    if (log->nsegs == 0)
        return ST_OK;
    if (off <= FRAME_SEG_BYTES) /* what lies before it was durable when it was created */
        return del_last(log, e);
    s = &log->segs[at];
    file_len = s->len;
    s->len = off;
    if (file_len != off)
        rc = ops->truncate(log->ss, log->store, log->epoch, s->seg, off, e);
    KILL_POINT("recover.cut");
    if (rc == SS_OK && !clean)
        rc = ops->rewrite(log->ss, log->store, log->epoch, s->seg, off, e);
    if (rc == SS_OK && !(clean && file_len == off))
        rc = ops->seal(log->ss, log->store, log->epoch, s->seg, off, e);
    return ss_status(rc);
}

/* The same in memory only. */
static void settle_unwritten(struct log *log, size_t at, uint32_t off)
{
    if (log->nsegs > at + 1)
        log->nsegs = at + 1;
    if (log->nsegs == at + 1 && off <= FRAME_SEG_BYTES)
        log->nsegs--;
    else if (log->nsegs == at + 1)
        log->segs[at].len = off;
}

static enum status recover(struct log *log, const struct ss_super *super, uint64_t from,
                           struct err *e)
{
    uint32_t *file_len;
    struct walk w;
    enum status st;

    TRY(load(log, super, e));
    file_len = mem_array(log->nsegs + 1, sizeof *file_len);
    for (size_t i = 0; i < log->nsegs; i++)
        file_len[i] = log->segs[i].len;
    walk_init(&w, log->ss, log->store, log->segs, log->nsegs);
    w.lost = log->salvage ? log_lost : NULL;
    st = verify(&w, from == 0 ? 1 : from, super->clean, e);
    KILL_POINT("recover.verified");
    if (st == ST_OK && log->read_only) {
        settle_unwritten(log, w.at, w.off);
    } else if (st == ST_OK) {
        st = seal_before(log, w.at, file_len, e);
        if (st == ST_OK)
            st = settle(log, w.at, w.off, super->clean, e);
    }
    atomic_store(&log->last_lsn, w.next_lsn - 1);
    log->gaps = w.gaps;
    walk_fini(&w);
    mem_free(file_len);
    return st;
}

enum status log_open(struct seg_store *ss, const struct log_options *opt,
                     const struct ss_super *super, uint64_t from, struct log **out, struct err *e)
{
    struct log *log = mem_zalloc(sizeof *log);
    uint64_t bytes = 0;
    enum status st;

    log->ss = ss;
    log->store = opt->store;
    log->epoch = super->epoch;
    memcpy(log->uuid, super->uuid, sizeof log->uuid);
    log->segment_bytes = opt->segment_bytes != 0 ? opt->segment_bytes : LIMIT_SEGMENT_BYTES;
    log->salvage = opt->salvage;
    log->read_only = opt->read_only;
    ss->segment_bytes = log->segment_bytes;
    mutex_init(&log->mu, RANK_SEGMENTS);
    cond_init(&log->cv);
    st = recover(log, super, from, e);
    if (st != ST_OK) {
        log_close(log);
        return st;
    }
    for (size_t i = 0; i < log->nsegs; i++)
        bytes += log->segs[i].len;
    atomic_store(&log->bytes, bytes);
    *out = log;
    return ST_OK;
}

void log_skip_to(struct log *log, uint64_t lsn)
{
    ASSERT(log->salvage && !log->started && lsn >= log_last_lsn(log));
    atomic_store(&log->last_lsn, lsn);
}

uint64_t log_last_lsn(const struct log *log)
{
    return atomic_load(&log->last_lsn);
}

uint64_t log_bytes(const struct log *log)
{
    return atomic_load(&log->bytes);
}

uint64_t log_appended(const struct log *log)
{
    return atomic_load(&log->appended);
}

uint64_t log_tail_seg(const struct log *log)
{
    return atomic_load(&log->tail_seg);
}

void log_close(struct log *log)
{
    if (log == NULL)
        return;
    if (log->tail.seg != 0)
        log_roll_end(log);
    cond_fini(&log->cv);
    mutex_fini(&log->mu);
    mem_free(log->damaged);
    mem_free(log->segs);
    mem_free(log->stage);
    mem_free(log->iov);
    mem_free(log);
}
