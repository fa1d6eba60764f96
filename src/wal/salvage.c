/* wal/salvage.c: finds what is damaged in a log, keeps copies, writes what salvage_fill.c made. */
#include "wal/salvage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wal/seg_file.h"
#include "wal/walk.h"

struct salvage {
    struct seg_store *ss;
    uint64_t store;
    const struct ss_super *super;
    struct log_salvage *out;
    struct log_seg *segs;
    size_t nsegs;
    uint64_t next; /* LSN that must come; 0: not known yet */
    char *p;       /* the segment at hand, and how much of it there is */
    uint32_t len;
    bool kept; /* a copy of it lies in quarantine */
};

__attribute__((format(printf, 2, 3))) static void say(struct salvage *v, const char *fmt, ...)
{
    char text[320];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->out->damaged++;
    v->out->say(v->out->arg, text);
}

/* ---- one segment's bytes ---- */

static enum status load(struct salvage *v, uint64_t seg, uint32_t len, struct err *e)
{
    enum ss_rc rc = SS_OK;

    mem_free(v->p);
    v->p = mem_alloc((size_t)len + 1);
    v->len = len;
    v->kept = false;
    if (len != 0)
        rc = v->ss->ops->read(v->ss, v->store, seg, 0, v->p, len, e);
    return ss_status(rc);
}

static enum status keep(struct salvage *v, uint64_t seg, struct err *e)
{
    if (v->kept)
        return ST_OK;
    TRY(seg_file_keep(v->ss, v->store, seg, e));
    v->kept = true;
    return ST_OK;
}

static bool all_zero(const struct salvage *v, uint32_t off)
{
    while (off < v->len && v->p[off] == 0)
        off++;
    return off == v->len;
}

static bool group_is_whole(const struct salvage *v, uint32_t off, uint32_t salt,
                           struct frame_group *g)
{
    struct slice in = slice_of(v->p + off, v->len - off);
    struct err e;

    return frame_group_get(in, salt, g, &e) == ST_OK && in.n - FRAME_GROUP_BYTES >= g->payload &&
           frame_group_check(g, slice_of(in.p + FRAME_GROUP_BYTES, g->payload), salt, &e) == ST_OK;
}

/* The next whole group from off on that starts with LSN `from` or later. */
static bool find_group(const struct salvage *v, uint32_t *off, uint32_t salt, uint64_t from,
                       struct frame_group *g)
{
    for (; *off < v->len && v->len - *off >= FRAME_GROUP_BYTES; *off += 8)
        if (v->p[*off] == 'G' && group_is_whole(v, *off, salt, g) && g->first_lsn >= from)
            return true;
    return false;
}

/* ---- headers ---- */

/* A header made anew out of what the groups say; or the segment is of no use. */
static enum status mend_header(struct salvage *v, const struct seg_info *s, uint64_t epoch,
                               struct err *e)
{
    unsigned char bytes[FRAME_SEG_BYTES];
    struct frame_seg h = {.flags = FRAME_SEG_LOG, .seg = s->seg, .epoch = epoch};

    memcpy(h.uuid, v->super->uuid, sizeof h.uuid);
    if (salvage_salt(slice_of(v->p, v->len), &h.salt, &h.first_lsn)) {
        frame_seg_put(bytes, &h);
        TRY(keep(v, s->seg, e));
        TRY(seg_file_patch(v->ss, v->store, s->seg, 0, slice_of(bytes, sizeof bytes), e));
        say(v, "log/%016llx.seg: its header was damaged and is made again",
            (unsigned long long)s->seg);
        return ST_OK;
    }
    say(v, "log/%016llx.seg: nothing in it can be read; it is set aside",
        (unsigned long long)s->seg);
    salvage_note(v->out, s->seg, 0, UINT32_MAX);
    return seg_file_set_aside(v->ss, v->store, s->seg, e);
}

static enum status check_header(struct salvage *v, const struct seg_info *s, uint64_t *epoch,
                                struct err *e)
{
    struct frame_seg h = {0};
    struct err why;
    enum status st;

    TRY(load(v, s->seg, s->len, e));
    st = frame_seg_get(slice_of(v->p, v->len), &h, &why);
    if (st == ST_OK && h.seg == s->seg && memcmp(h.uuid, v->super->uuid, sizeof h.uuid) == 0) {
        *epoch = h.epoch;
        return ST_OK;
    }
    if (all_zero(v, v->len < FRAME_SEG_BYTES ? 0 : FRAME_SEG_BYTES))
        return ST_OK; /* its creation was cut short */
    return mend_header(v, s, *epoch, e);
}

static enum status check_headers(struct salvage *v, struct err *e)
{
    struct seg_info *infos = NULL;
    uint64_t epoch = 1;
    size_t n = 0;
    enum status st = ss_status(v->ss->ops->list(v->ss, v->store, &infos, &n, e));

    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = check_header(v, &infos[i], &epoch, e);
    mem_free(infos);
    return st;
}

/* ---- one segment ---- */

static enum status give_up(struct salvage *v, const struct log_seg *s, struct err *e)
{
    say(v, "log/%016llx.seg: it cannot be mended and is set aside", (unsigned long long)s->seg);
    salvage_note(v->out, s->seg, 0, UINT32_MAX);
    return seg_file_set_aside(v->ss, v->store, s->seg, e);
}

/* LSN that the log goes on with after segment i; 0: it does not. */
static uint64_t next_segment_lsn(const struct salvage *v, size_t i)
{
    while (++i < v->nsegs)
        if (v->segs[i].good && v->segs[i].first_lsn != 0)
            return v->segs[i].first_lsn;
    return 0;
}

/* Whether a group says that what was at the stretch was durable: else it is a torn tail. */
static bool was_acknowledged(const struct salvage *v, const struct salvage_stretch *t)
{
    struct frame_group g;
    struct err e;

    for (uint32_t off = t->off; off < v->len && v->len - off >= FRAME_GROUP_BYTES; off += 8)
        if (v->p[off] == 'G' &&
            frame_group_get(slice_of(v->p + off, v->len - off), t->salt, &g, &e) == ST_OK &&
            g.durable_lsn >= t->first)
            return true;
    return false;
}

/* Where the stretch at *off ends, and with which LSN. false: nothing was damaged there, the segment
 * ends. */
static bool measure(const struct salvage *v, size_t i, struct salvage_stretch *t)
{
    struct frame_group g;

    t->end = t->off;
    t->open_end = !find_group(v, &t->end, t->salt, t->first, &g);
    if (!t->open_end) {
        t->next = g.first_lsn;
        return true;
    }
    t->end = v->len - v->len % 8;
    t->next = next_segment_lsn(v, i);
    if (t->next != 0)
        return t->next != t->first && !all_zero(v, t->off);
    t->next = UINT64_MAX; /* the log's end: what can be read of it */
    return (v->super->clean && !all_zero(v, t->off)) || was_acknowledged(v, t);
}

static enum status write_stretch(struct salvage *v, const struct salvage_stretch *t, uint64_t seg,
                                 uint32_t stop, struct err *e)
{
    TRY(keep(v, seg, e));
    if (stop != t->off)
        TRY(seg_file_patch(v->ss, v->store, seg, t->off, slice_of(t->p + t->off, stop - t->off),
                           e));
    if (!t->open_end || stop == v->len)
        return ST_OK;
    v->len = stop;
    return ss_status(v->ss->ops->truncate(v->ss, v->store, v->super->epoch, seg, stop, e));
}

/* What is damaged at *off. ST_CORRUPT: the segment cannot be mended. */
static enum status mend(struct salvage *v, size_t i, uint32_t *off, bool *more, struct err *e)
{
    const struct log_seg *s = &v->segs[i];
    struct salvage_stretch t = {
        .p = (unsigned char *)v->p, .off = *off, .salt = s->salt, .seg = s->seg, .first = v->next};
    uint32_t stop = *off;
    uint64_t upto = 0;
    enum status st;

    *more = measure(v, i, &t);
    if (!*more)
        return all_zero(v, *off) || next_segment_lsn(v, i) != 0 ? ST_OK : keep(v, s->seg, e);
    if (!salvage_fill(&t, v->out, &stop, &upto))
        return ST_CORRUPT;
    say(v, "log/%016llx.seg: bytes %u to %u were damaged (LSN %llu to %llu)",
        (unsigned long long)s->seg, (unsigned)*off, (unsigned)t.end, (unsigned long long)v->next,
        (unsigned long long)(t.next == UINT64_MAX ? upto : t.next) - 1);
    st = write_stretch(v, &t, s->seg, stop, e);
    *off = stop;
    v->next = upto;
    *more = !t.open_end;
    return st;
}

/* Where the first record of a segment that starts with damage must be: between the last one's end
 * and it compaction may have taken LSNs away. */
static void start_segment(struct salvage *v, size_t i)
{
    struct frame_group g = {0};
    struct frame_seg h = {0};
    uint32_t off = FRAME_SEG_BYTES;
    uint64_t room, least;
    struct err e;

    if (v->segs[i].first_lsn != 0) {
        if (v->next != 0 && v->segs[i].first_lsn > v->next)
            gone_add(&v->out->missing, v->next, v->segs[i].first_lsn - 1);
        v->next = v->segs[i].first_lsn;
        return;
    }
    least = v->next != 0 ? v->next : 1;
    if (frame_seg_get(slice_of(v->p, v->len), &h, &e) == ST_OK && h.first_lsn > least)
        least = h.first_lsn;
    if (find_group(v, &off, v->segs[i].salt, least, &g)) {
        room = (off - FRAME_SEG_BYTES - FRAME_GROUP_BYTES) / FRAME_REC_BYTES;
        if (off >= FRAME_SEG_BYTES + FRAME_GROUP_BYTES && g.first_lsn - least > room)
            least = g.first_lsn - room;
    }
    if (v->next != 0 && least > v->next)
        gone_add(&v->out->missing, v->next, least - 1);
    v->next = least;
}

static enum status salvage_segment(struct salvage *v, size_t i, struct err *e)
{
    const struct log_seg *s = &v->segs[i];
    uint32_t off = FRAME_SEG_BYTES;
    enum status st = ST_OK;
    uint64_t before = v->next;
    bool more = true;

    TRY(load(v, s->seg, s->len, e));
    if (!s->good || all_zero(v, FRAME_SEG_BYTES))
        return ST_OK;
    start_segment(v, i);
    while (st == ST_OK && more) {
        struct frame_group g;

        if (off < v->len && group_is_whole(v, off, s->salt, &g) && g.first_lsn == v->next) {
            off += FRAME_GROUP_BYTES + g.payload;
            v->next += g.nrec;
        } else {
            st = mend(v, i, &off, &more, e);
        }
    }
    if (st != ST_CORRUPT)
        return st;
    v->next = before;
    return give_up(v, s, e);
}

/* ---- what was found ---- */

void log_salvage_free(struct log_salvage *v)
{
    gone_free(&v->lost);
    gone_free(&v->missing);
    mem_free(v->places);
    v->places = NULL;
}

static int by_place(const void *a, const void *b)
{
    const struct salvage_place *x = a, *y = b;

    if (x->seg != y->seg)
        return x->seg < y->seg ? -1 : 1;
    return (x->off > y->off) - (x->off < y->off);
}

bool log_salvage_hit(const struct log_salvage *v, const struct seg_ptr *p)
{
    size_t lo = 0, hi = v->nplaces;

    while (lo < hi) { /* the last place that starts at the bytes or before */
        size_t mid = lo + (hi - lo) / 2;
        const struct salvage_place *at = &v->places[mid];

        if (at->seg < p->seg || (at->seg == p->seg && at->off <= p->off))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo != 0 && v->places[lo - 1].seg == p->seg && p->off < v->places[lo - 1].end;
}

/* ---- all of it ---- */

/* The table of the last LOG_GONE record: what is missing because compaction took it away is not
 * lost. */
static enum status last_table(struct salvage *v, struct gone *out, struct err *e)
{
    for (size_t i = v->nsegs; i-- > 0;) {
        uint32_t off = FRAME_SEG_BYTES;
        struct frame_group g;
        bool found = false;

        TRY(load(v, v->segs[i].seg, v->segs[i].len, e));
        while (v->segs[i].good && find_group(v, &off, v->segs[i].salt, 1, &g)) {
            struct slice in = slice_of(v->p + off + FRAME_GROUP_BYTES, g.payload), table;
            struct log_record r = {0};
            size_t used = 0;

            for (; in.n != 0 && frame_rec_get(in, v->segs[i].salt, &r, &used, e) == ST_OK;
                 in.p += used, in.n -= used) {
                if (r.type != LOG_GONE || gone_table_of(r.body, &table, e) != ST_OK)
                    continue;
                gone_free(out);
                found = gone_decode(table, out, e) == ST_OK;
            }
            off += FRAME_GROUP_BYTES + g.payload;
        }
        if (found)
            return ST_OK;
    }
    return ST_OK;
}

static enum status sort_out_missing(struct salvage *v, struct err *e)
{
    struct gone table = {0}, all = v->out->missing;
    enum status st = ST_OK;

    v->out->missing = (struct gone){0};
    if (all.n != 0)
        st = last_table(v, &table, e);
    for (size_t i = 0; i < all.n && st == ST_OK; i++) {
        if (gone_covers(&table, all.v[i].first, all.v[i].last))
            continue;
        say(v, "records with LSN %llu to %llu are missing", (unsigned long long)all.v[i].first,
            (unsigned long long)all.v[i].last);
        gone_add(&v->out->missing, all.v[i].first, all.v[i].last);
        gone_add(&v->out->lost, all.v[i].first, all.v[i].last);
    }
    gone_free(&all);
    gone_free(&table);
    return st;
}

static enum status load_table(struct salvage *v, struct err *e)
{
    struct walk_table t = {.ss = v->ss, .store = v->store, .uuid = v->super->uuid};

    t.epoch_max = v->super->epoch;
    mem_free(v->segs);
    v->segs = NULL;
    v->nsegs = 0;
    return walk_table_load(&t, &v->segs, &v->nsegs, e);
}

enum status log_salvage(struct seg_store *ss, uint64_t store, const struct ss_super *super,
                        struct log_salvage *out, struct err *e)
{
    struct salvage v = {.ss = ss, .store = store, .super = super, .out = out};
    enum status st = check_headers(&v, e);

    if (st == ST_OK)
        st = load_table(&v, e);
    /* A log that does not start at 1 was compacted, or lost its beginning. */
    for (size_t i = 0; i < v.nsegs && v.next == 0 && st == ST_OK; i++)
        if (v.segs[i].good && v.segs[i].first_lsn != 0)
            v.next = 1;
    for (size_t i = 0; i < v.nsegs && st == ST_OK; i++)
        st = salvage_segment(&v, i, e);
    if (st == ST_OK)
        st = load_table(&v, e);
    if (st == ST_OK)
        st = sort_out_missing(&v, e);
    if (st == ST_OK && (v.nsegs == 0 ? super->replay_hint_seg != 0
                                     : super->replay_hint_seg > v.segs[v.nsegs - 1].seg))
        say(&v,
            "log/%016llx.seg is missing, and with it the end of the log: what only it said is "
            "older now, or missing",
            (unsigned long long)super->replay_hint_seg);
    if (out->nplaces != 0)
        qsort(out->places, out->nplaces, sizeof(*out->places), by_place);
    mem_free(v.segs);
    mem_free(v.p);
    return st;
}
