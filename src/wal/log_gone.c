/* wal/log_gone.c: what compaction needs of the log: the table of segments, the records of one of
 * them, and its deletion. Threads: the compactor; log_has_seg by any. */
#include "base/alloc.h"
#include "base/assert.h"
#include "wal/log_priv.h"

size_t log_segments(struct log *log, struct log_seg_info **out)
{
    struct log_seg_info *v;
    size_t n;

    mutex_lock(&log->mu);
    n = log->nsegs;
    v = mem_array(n + 1, sizeof(*v));
    for (size_t i = 0; i < n; i++) {
        const struct log_seg *s = &log->segs[i];

        v[i] = (struct log_seg_info){.seg = s->seg, .first_lsn = s->first_lsn, .len = s->len};
        v[i].sealed = i + 1 < n && s->seg != log->seal.seg;
    }
    mutex_unlock(&log->mu);
    *out = v;
    return n;
}

bool log_has_seg(struct log *log, uint64_t seg)
{
    bool has;

    mutex_lock(&log->mu);
    has = log_seg_find(log, seg) != NULL;
    mutex_unlock(&log->mu);
    return has;
}

enum status log_scan_seg(struct log *log, uint64_t seg,
                         enum status (*fn)(void *arg, const struct log_record *rec, struct err *e),
                         void *arg, struct err *e)
{
    const struct log_seg *found;
    struct log_seg s = {0};
    enum status st = ST_OK;
    bool bad = false;
    struct walk w;

    mutex_lock(&log->mu);
    found = log_seg_find(log, seg);
    if (found != NULL)
        s = *found;
    mutex_unlock(&log->mu);
    if (found == NULL || !s.good)
        return err_set(e, ST_NOT_FOUND, "segment %llu is gone", (unsigned long long)seg);
    if (s.first_lsn == 0)
        return ST_OK;
    walk_init(&w, log->ss, log->store, &s, 1);
    w.off = FRAME_SEG_BYTES;
    w.next_lsn = s.first_lsn;
    while (st == ST_OK) {
        struct frame_group g;
        struct slice payload;
        uint32_t off;

        st = walk_next(&w, &g, &payload, &off, e);
        if (st != ST_OK) {
            bad = st == ST_CORRUPT || st == ST_TORN || (st == ST_NOT_FOUND && w.off != s.len);
            break;
        }
        st = log_visit_group(&s, off, payload, &(struct log_visit){0, fn, arg}, e);
    }
    if (bad && st != ST_CORRUPT)
        st = err_set(e, ST_CORRUPT, "segment %llu: %u of %u bytes can be read",
                     (unsigned long long)seg, (unsigned)w.off, (unsigned)s.len);
    if (bad)
        log_note_damage(log, seg, e);
    walk_fini(&w);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status log_delete_seg(struct log *log, uint64_t seg, struct err *e)
{
    struct log_seg *s;
    enum status st;

    mutex_lock(&log->mu);
    s = log_seg_find(log, seg);
    if (s == NULL || s == &log->segs[log->nsegs - 1] || seg == log->seal.seg || log->stop) {
        mutex_unlock(&log->mu);
        return err_set(e, ST_NOT_FOUND, "segment %llu cannot be deleted", (unsigned long long)seg);
    }
    while (log->del_seg != 0)
        cond_wait(&log->cv, &log->mu);
    s = log_seg_find(log, seg); /* the table may have moved */
    ASSERT(s != NULL);
    atomic_fetch_sub(&log->bytes, s->len);
    memmove(s, s + 1, (size_t)(&log->segs[log->nsegs] - (s + 1)) * sizeof(*s));
    log->nsegs--;
    log->del_seg = seg;
    cond_broadcast(&log->cv);
    while (log->del_seg != 0)
        cond_wait(&log->cv, &log->mu);
    st = log->del_status;
    if (st != ST_OK)
        *e = log->del_err;
    mutex_unlock(&log->mu);
    return st;
}

void log_want_roll(struct log *log)
{
    atomic_store(&log->want_roll, true);
}

uint64_t log_gaps(const struct log *log)
{
    return log->gaps;
}
