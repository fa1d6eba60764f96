/* couch/body_ahead.c: a window over the log for readers that walk documents in an order which is
 * mostly the log's own: bulk-loaded neighbours cost one read together. Each body is still checked
 * by its own CRC; what does not pass in the window is read again on its own, which decides.
 * One reader by one thread at a time. */
#include "base/alloc.h"
#include "base/digest.h"
#include "base/metrics.h"
#include "couch/doc_priv.h"

struct body_ahead {
    char *bytes; /* LIMIT_READ_AHEAD, on first use */
    uint64_t seg;
    uint32_t off, n;
    uint32_t ahead; /* how much the next read takes: grows while reads go forward */
};

struct body_ahead *body_ahead_new(void)
{
    struct body_ahead *w = mem_zalloc(sizeof *w);

    w->ahead = LIMIT_READ_AHEAD_MIN;
    return w;
}

void body_ahead_free(struct body_ahead *w)
{
    if (w == NULL)
        return;
    mem_free(w->bytes);
    mem_free(w);
}

static bool inside(const struct body_ahead *w, const struct seg_ptr *p)
{
    return p->seg == w->seg && p->off >= w->off && p->off - w->off <= w->n &&
           p->len <= w->n - (p->off - w->off);
}

static bool fill(struct body_ahead *w, struct db *db, const struct seg_ptr *p, struct err *e)
{
    bool forward = w->n > 0 && p->seg == w->seg && p->off >= w->off &&
                   p->off - w->off < w->n + LIMIT_READ_AHEAD / 4;

    if (!forward)
        w->ahead = LIMIT_READ_AHEAD_MIN;
    else if (w->ahead < LIMIT_READ_AHEAD)
        w->ahead *= 4;
    if (w->ahead > LIMIT_READ_AHEAD)
        w->ahead = LIMIT_READ_AHEAD;
    if (w->bytes == NULL)
        w->bytes = mem_alloc(LIMIT_READ_AHEAD);
    uint32_t n = p->len > w->ahead ? p->len : w->ahead;
    w->n = 0;
    if (log_read_raw(store_log(db_store(db)), p->seg, p->off, w->bytes, &n, e) != ST_OK)
        return false;
    w->seg = p->seg;
    w->off = p->off;
    w->n = n;
    return inside(w, p);
}

enum status body_ahead_get(struct body_ahead *w, struct db *db, const struct seg_ptr *p,
                           struct arena *a, struct doc_body *out, struct err *e)
{
    if (p->len <= LIMIT_READ_AHEAD && (inside(w, p) || fill(w, db, p, e))) {
        const char *at = w->bytes + (p->off - w->off);

        if (crc32c(0, at, p->len) == p->crc) {
            metrics_add(METRIC_DOC_READS, 1);
            return doc_body_decode(a, slice_of(at, p->len), p, out, e);
        }
    }
    return doc_load_body(db, p, a, out, e);
}
