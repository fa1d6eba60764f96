/* wal/log_scan.c: visits records in order, for replay and rebuild. Reads what log_open checked. */
#include "base/alloc.h"
#include "base/log.h"
#include "wal/log_priv.h"

void log_lost(void *arg, const char *text)
{
    (void)arg;
    log_error("salvage: %s", text);
}

enum status log_visit_group(const struct log_seg *s, uint32_t off, struct slice payload,
                            const struct log_visit *v, struct err *e)
{
    while (payload.n != 0) {
        struct log_record r;
        size_t used;

        TRY(frame_rec_get(payload, s->salt, &r, &used, e));
        r.seg = s->seg;
        r.body_off = off + FRAME_REC_BYTES;
        if (r.lsn >= v->from)
            TRY(v->fn(v->arg, &r, e));
        payload.p += used;
        payload.n -= used;
        off += (uint32_t)used;
    }
    return ST_OK;
}

/* A copy of the table: the log may grow meanwhile. */
static struct log_seg *copy_table(struct log *log, size_t *n)
{
    struct log_seg *v;

    mutex_lock(&log->mu);
    *n = log->nsegs;
    v = mem_array(log->nsegs + 1, sizeof *v);
    if (log->nsegs != 0)
        memcpy(v, log->segs, log->nsegs * sizeof *v);
    mutex_unlock(&log->mu);
    return v;
}

enum status log_scan(struct log *log, uint64_t from,
                     enum status (*fn)(void *arg, const struct log_record *rec, struct err *e),
                     void *arg, struct err *e)
{
    struct log_visit v = {from, fn, arg};
    size_t n;
    struct log_seg *segs = copy_table(log, &n);
    struct walk w;
    enum status st;

    walk_init(&w, log->ss, log->store, segs, n);
    w.lost = log->salvage ? log_lost : NULL;
    st = walk_seek(&w, from == 0 ? 1 : from, e);
    while (st == ST_OK) {
        struct frame_group g;
        struct slice payload;
        uint32_t off;

        st = walk_next(&w, &g, &payload, &off, e);
        if (st == ST_NOT_FOUND || (st == ST_TORN && log->salvage)) {
            st = ST_OK;
            break;
        }
        if (st == ST_TORN) /* log_open cut the torn tail off */
            st = err_set(e, ST_CORRUPT, "the log ends torn");
        else if (st == ST_OK)
            st = log_visit_group(&segs[w.at], off, payload, &v, e);
    }
    walk_fini(&w);
    mem_free(segs);
    return st;
}
