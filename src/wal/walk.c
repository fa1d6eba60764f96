/* wal/walk.c: walks groups; see walk.h. Disk bytes are only looked at through frame.c. */
#include "wal/walk.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"

enum { WINDOW = 1 << 20 };

void walk_init(struct walk *w, struct seg_store *ss, uint64_t store, struct log_seg *segs,
               size_t nsegs)
{
    *w = (struct walk){.ss = ss, .store = store, .segs = segs, .nsegs = nsegs};
    w->win_at = SIZE_MAX;
}

void walk_fini(struct walk *w)
{
    mem_free(w->buf);
    w->buf = NULL;
    gone_free(&w->gone);
}

/* Bytes from off on, as many as asked for unless the segment ends before. */
static enum status window(struct walk *w, size_t at, uint32_t off, uint64_t want, struct slice *out,
                          struct err *e)
{
    uint32_t left = off < w->segs[at].len ? w->segs[at].len - off : 0;
    uint32_t need = want < left ? (uint32_t)want : left, n;
    enum ss_rc rc;

    if (w->win_at != at || off < w->win_off || off - w->win_off > w->win_len ||
        w->win_len - (off - w->win_off) < need) {
        n = need > WINDOW ? need : WINDOW;
        if (n > left)
            n = left;
        if (n > w->cap) {
            w->buf = mem_realloc(w->buf, n);
            w->cap = n;
        }
        w->win_at = SIZE_MAX;
        rc = n == 0 ? SS_OK : w->ss->ops->read(w->ss, w->store, w->segs[at].seg, off, w->buf, n, e);
        if (rc != SS_OK)
            return rc == SS_NOENT ? ST_CORRUPT : ss_status(rc);
        w->win_at = at;
        w->win_off = off;
        w->win_len = n;
    }
    *out = slice_of(need == 0 ? "" : w->buf + (off - w->win_off), need);
    return ST_OK;
}

/* The group at (at, off), whole. ST_TORN, ST_CORRUPT, ST_IO. */
static enum status group_at(struct walk *w, size_t at, uint32_t off, struct frame_group *g,
                            struct slice *payload, struct err *e)
{
    uint32_t salt = w->segs[at].salt;
    struct slice s = {0};

    TRY(window(w, at, off, FRAME_GROUP_BYTES, &s, e));
    TRY(frame_group_get(s, salt, g, e));
    TRY(window(w, at, off, FRAME_GROUP_BYTES + (uint64_t)g->payload, &s, e));
    if (s.n - FRAME_GROUP_BYTES < g->payload)
        return err_set(e, ST_TORN, "%zu of %u group bytes", s.n - FRAME_GROUP_BYTES,
                       (unsigned)g->payload);
    *payload = slice_of(s.p + FRAME_GROUP_BYTES, g->payload);
    return frame_group_check(g, *payload, salt, e);
}

/* The group at the walk's place, if it is the one that must come next; goes past it. ST_CORRUPT: it
 * is another one, or the segment has no header. Otherwise as group_at. */
static enum status step(struct walk *w, struct frame_group *g, struct slice *payload, uint32_t *off,
                        struct err *e)
{
    if (!w->segs[w->at].good)
        return err_set(e, ST_CORRUPT, "segment header");
    TRY(group_at(w, w->at, w->off, g, payload, e));
    if (g->first_lsn != w->next_lsn)
        return err_set(e, ST_CORRUPT, "a group that starts with LSN %llu",
                       (unsigned long long)g->first_lsn);
    *off = w->off + FRAME_GROUP_BYTES;
    w->off = *off + g->payload;
    w->next_lsn += g->nrec;
    return ST_OK;
}

/* ---- what compaction took away ---- */

/* The last LOG_GONE record of segment i; its table replaces *out. */
static enum status gone_of_segment(const struct walk *w, size_t i, bool *found, struct gone *out,
                                   struct err *e)
{
    struct log_seg seg = w->segs[i];
    struct frame_group g = {0};
    struct slice payload = {0};
    struct walk one;
    uint32_t off;

    *found = false;
    walk_init(&one, w->ss, w->store, &seg, 1);
    one.off = FRAME_SEG_BYTES;
    one.next_lsn = seg.first_lsn;
    while (step(&one, &g, &payload, &off, e) == ST_OK) { /* damage is for the walk itself */
        struct log_record r;
        struct slice table;
        size_t used;

        for (; payload.n != 0; payload.p += used, payload.n -= used) {
            if (frame_rec_get(payload, seg.salt, &r, &used, e) != ST_OK)
                break;
            if (r.type != LOG_GONE)
                continue;
            gone_free(out);
            *found =
                gone_table_of(r.body, &table, e) == ST_OK && gone_decode(table, out, e) == ST_OK;
        }
    }
    walk_fini(&one);
    return ST_OK;
}

/* Each record holds the whole table, so the last one of the log counts. */
static enum status gone_load(struct walk *w, struct err *e)
{
    bool found = false;

    for (size_t i = w->nsegs; !w->gone_known && i-- > 0 && !found;)
        if (w->segs[i].good && w->segs[i].first_lsn != 0)
            TRY(gone_of_segment(w, i, &found, &w->gone, e));
    w->gone_known = true;
    return ST_OK;
}

static bool may_jump(struct walk *w, uint64_t to)
{
    struct err e;

    return to > w->next_lsn && gone_load(w, &e) == ST_OK &&
           gone_covers(&w->gone, w->next_lsn, to - 1);
}

/* ---- the walk ---- */

/* The next valid group header at or after (*at, *off). ST_NOT_FOUND. */
static enum status search(struct walk *w, size_t *at, uint32_t *off, struct frame_group *g,
                          struct err *e)
{
    for (; *at < w->nsegs; (*at)++, *off = FRAME_SEG_BYTES) {
        const struct log_seg *s = &w->segs[*at];

        for (; s->good && s->len > *off && s->len - *off >= FRAME_GROUP_BYTES; *off += 8) {
            struct slice in = {0};
            struct err ignored;

            TRY(window(w, *at, *off, FRAME_GROUP_BYTES, &in, e));
            if (in.n != 0 && in.p[0] == 'G' && frame_group_get(in, s->salt, g, &ignored) == ST_OK)
                return ST_OK;
        }
    }
    return ST_NOT_FOUND;
}

static enum status rest_is_zero(struct walk *w, bool *zero, struct err *e)
{
    *zero = true;
    for (uint32_t off = w->off; *zero && off < w->segs[w->at].len;) {
        struct slice s = {0};

        TRY(window(w, w->at, off, WINDOW, &s, e));
        *zero = s.p[0] == 0 && memcmp(s.p, s.p + 1, s.n - 1) == 0; /* each equals the one before */
        off += (uint32_t)s.n;
    }
    return ST_OK;
}

/* Nothing that can be read at (at, off); `why` says how. ST_OK: the walk moved on to the next
 * segment. Otherwise as walk_next. */
static enum status at_gap(struct walk *w, const struct err *why, struct err *e)
{
    size_t at = w->at, next = w->at + 1;
    uint32_t off = w->off;
    struct frame_group g;
    bool zero;

    while (next < w->nsegs && w->segs[next].first_lsn == 0)
        next++;
    if (next < w->nsegs && w->segs[next].first_lsn == w->next_lsn) {
        w->segs[w->at].len = w->off;
        w->at = next;
        w->off = FRAME_SEG_BYTES;
        return ST_OK;
    }
    TRY(rest_is_zero(w, &zero, e));
    if (zero && w->segs[w->at].good && next < w->nsegs && may_jump(w, w->segs[next].first_lsn)) {
        w->segs[w->at].len = w->off;
        w->at = next;
        w->off = FRAME_SEG_BYTES;
        w->next_lsn = w->segs[next].first_lsn;
        w->gaps++;
        return ST_OK;
    }
    if (zero) { /* reserved space: nothing to find in it */
        at++;
        off = FRAME_SEG_BYTES;
    }
    for (;; off += 8) {
        enum status st = search(w, &at, &off, &g, e);

        if (st == ST_NOT_FOUND)
            break;
        if (st != ST_OK)
            return st;
        if (g.durable_lsn >= w->next_lsn)
            return err_set(
                e, ST_CORRUPT,
                "log/%016llx.seg, offset %u: acknowledged records, LSN %llu to %llu, are "
                "damaged (%.100s)",
                (unsigned long long)w->segs[w->at].seg, (unsigned)w->off,
                (unsigned long long)w->next_lsn, (unsigned long long)g.first_lsn - 1, why->reason);
    }
    return zero ? ST_NOT_FOUND : ST_TORN;
}

/* Over damage to the next group that is whole. ST_OK or ST_NOT_FOUND: there is none. */
static enum status skip(struct walk *w, struct err *e)
{
    size_t at = w->at;
    uint32_t off = w->off;
    uint64_t seen = w->next_lsn;
    enum status st;
    char text[160];

    for (;; off += 8) {
        struct frame_group g;
        struct slice payload;
        struct err ignored;

        st = search(w, &at, &off, &g, e);
        if (st != ST_OK)
            break;
        if (g.first_lsn + g.nrec > seen)
            seen = g.first_lsn + g.nrec;
        if (g.first_lsn < w->next_lsn || group_at(w, at, off, &g, &payload, &ignored) != ST_OK)
            continue;
        seen = g.first_lsn;
        break;
    }
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    (void)snprintf(text, sizeof text, "records with LSN %llu to %llu are lost",
                   (unsigned long long)w->next_lsn, (unsigned long long)(seen - 1));
    w->lost(w->arg, text);
    w->next_lsn = seen;
    w->at = st == ST_OK ? at : w->nsegs - 1;
    w->off = st == ST_OK ? off : w->segs[w->nsegs - 1].len;
    return st;
}

enum status walk_seek(struct walk *w, uint64_t lsn, struct err *e)
{
    size_t best = SIZE_MAX, first = SIZE_MAX;

    for (size_t i = 0; i < w->nsegs; i++) {
        if (w->segs[i].first_lsn == 0)
            continue;
        if (first == SIZE_MAX)
            first = i;
        if (w->segs[i].first_lsn <= lsn)
            best = i;
    }
    w->at = best != SIZE_MAX ? best : first != SIZE_MAX ? first : 0;
    w->off = FRAME_SEG_BYTES;
    w->next_lsn = first == SIZE_MAX ? 1 : w->segs[w->at].first_lsn;
    if (first != SIZE_MAX && best == SIZE_MAX) {
        uint64_t start = w->next_lsn;
        bool compacted;

        w->next_lsn = lsn;
        compacted = may_jump(w, start);
        w->next_lsn = start;
        if (compacted) {
            w->gaps++;
            return ST_OK;
        }
        (void)err_set(e, ST_CORRUPT,
                      "the log starts at LSN %llu; records from LSN %llu are missing",
                      (unsigned long long)w->next_lsn, (unsigned long long)lsn);
        if (w->lost == NULL)
            return ST_CORRUPT;
        w->lost(w->arg, e->reason);
    }
    return ST_OK;
}

enum status walk_next(struct walk *w, struct frame_group *g, struct slice *payload, uint32_t *off,
                      struct err *e)
{
    while (w->at < w->nsegs) {
        struct err why;
        enum status st = step(w, g, payload, off, &why);

        if (st == ST_OK)
            return ST_OK;
        if (st == ST_IO) {
            *e = why;
            return st;
        }
        st = at_gap(w, &why, e);
        if (st == ST_CORRUPT && w->lost != NULL) {
            w->lost(w->arg, e->reason);
            st = skip(w, e);
        }
        if (st != ST_OK)
            return st;
    }
    return ST_NOT_FOUND;
}
