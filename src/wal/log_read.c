/* wal/log_read.c: bytes behind a pointer, checked end to end by the pointer's own checksum. */
#include "base/digest.h"
#include "wal/log_priv.h"

enum status log_read(struct log *log, const struct seg_ptr *p, void *out, struct err *e)
{
    enum ss_rc rc = log->ss->ops->read(log->ss, log->store, p->seg, p->off, out, p->len, e);

    if (rc == SS_CORRUPT)
        log_note_damage(log, p->seg, e);
    if (rc != SS_OK)
        return ss_status(rc);
    if (crc32c(0, out, p->len) == p->crc)
        return ST_OK;
    (void)err_set(e, ST_CORRUPT, "segment %llu, offset %u: %u bytes fail their checksum",
                  (unsigned long long)p->seg, (unsigned)p->off, (unsigned)p->len);
    log_note_damage(log, p->seg, e);
    return ST_CORRUPT;
}

struct log_seg *log_seg_find(struct log *log, uint64_t seg)
{
    size_t lo = 0, hi = log->nsegs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (log->segs[mid].seg < seg)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < log->nsegs && log->segs[lo].seg == seg ? &log->segs[lo] : NULL;
}

/* Where a segment's valid bytes end. */
static bool length_of(struct log *log, uint64_t seg, uint32_t *len)
{
    const struct log_seg *s;

    mutex_lock(&log->mu);
    s = log_seg_find(log, seg);
    *len = s != NULL ? s->len : 0;
    mutex_unlock(&log->mu);
    return s != NULL;
}

enum status log_read_raw(struct log *log, uint64_t seg, uint32_t off, void *out, uint32_t *n,
                         struct err *e)
{
    uint32_t len;

    if (!length_of(log, seg, &len))
        return err_set(e, ST_NOT_FOUND, "segment %llu is gone", (unsigned long long)seg);
    if (off >= len)
        *n = 0;
    else if (*n > len - off)
        *n = len - off;
    if (*n == 0)
        return ST_OK;
    return ss_status(log->ss->ops->read(log->ss, log->store, seg, off, out, *n, e));
}
