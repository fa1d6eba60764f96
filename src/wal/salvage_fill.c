/* wal/salvage_fill.c: whole groups out of a damaged stretch of a segment; see salvage.h. Pure. */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"
#include "wal/frame.h"
#include "wal/salvage.h"

enum { AT_CRC = 44 };
static const uint32_t CRC_POLY = 0x82F63B78;

/* A place in the stretch that says which record it is. */
struct anchor {
    uint32_t pos, used; /* used: bytes with padding; 0: not known */
    uint64_t lsn;
    bool whole;
};

struct filler {
    const struct salvage_stretch *s;
    struct log_salvage *out;
    uint32_t pos; /* everything before it is as it shall be */
    uint64_t lsn; /* the record that comes at pos */
    /* the group under construction */
    uint32_t start;
    struct frame_group g;
};

/* ---- what can be read ---- */

static bool looks_like_record(const unsigned char *p, uint64_t from, uint64_t to)
{
    uint64_t lsn = get_le64(p + 16);

    return get_le16(p + 10) == FRAME_REC_BYTES && p[8] >= LOG_DOC && p[8] <= LOG_GONE &&
           lsn >= from && lsn < to;
}

static struct anchor anchor_at(const struct salvage_stretch *s, uint32_t pos, uint64_t lsn)
{
    struct slice in = slice_of((const char *)s->p + pos, s->end - pos);
    struct anchor a = {.pos = pos};
    struct log_record r = {0};
    uint64_t n;
    struct err e;
    size_t used;

    if (in.n < FRAME_REC_BYTES || !looks_like_record(s->p + pos, lsn, s->next))
        return a;
    a.lsn = get_le64(s->p + pos + 16);
    if (frame_rec_get(in, s->salt, &r, &used, &e) == ST_OK) {
        a.whole = true;
        a.used = (uint32_t)used;
        return a;
    }
    n = get_le32(s->p + pos + 4);
    n += FRAME_REC_BYTES + frame_pad((uint32_t)n);
    a.used = n <= in.n ? (uint32_t)n : 0;
    return a;
}

static struct anchor *find_anchors(const struct salvage_stretch *s, size_t *n)
{
    struct anchor *v = NULL;
    size_t cap = 0;
    uint64_t lsn = s->first;

    *n = 0;
    for (uint32_t pos = s->off; pos < s->end && s->end - pos >= FRAME_REC_BYTES;) {
        struct anchor a = anchor_at(s, pos, lsn);

        pos += a.whole ? a.used : 8;
        if (a.lsn == 0)
            continue;
        if (*n == cap) {
            cap = cap * 2 + 64;
            v = mem_realloc(v, cap * sizeof(*v));
        }
        v[(*n)++] = a;
        lsn = a.lsn + 1;
    }
    return v;
}

/* ---- what is written ---- */

void salvage_note(struct log_salvage *out, uint64_t seg, uint32_t off, uint32_t end)
{
    if (out->nplaces == out->places_cap) {
        out->places_cap = out->places_cap * 2 + 64;
        out->places = mem_realloc(out->places, out->places_cap * sizeof(*out->places));
    }
    out->places[out->nplaces++] = (struct salvage_place){seg, off, end};
}

static void open_group(struct filler *f)
{
    f->start = f->pos;
    f->g = (struct frame_group){.first_lsn = f->lsn, .durable_lsn = f->lsn - 1};
    f->pos += FRAME_GROUP_BYTES;
}

static void close_group(struct filler *f)
{
    f->g.payload = f->pos - f->start - FRAME_GROUP_BYTES;
    if (f->g.nrec != 0)
        frame_group_put(f->s->p + f->start, f->s->salt, &f->g);
    else
        f->pos = f->start;
}

static void count(struct filler *f, uint32_t used)
{
    f->g.crcs ^= get_le32(f->s->p + f->pos);
    f->g.nrec++;
    f->pos += used;
    f->lsn++;
}

static void tell(struct filler *f, uint32_t bytes)
{
    const unsigned char *p = f->s->p + f->pos;
    struct rd r = rd_of(slice_of((const char *)p + FRAME_REC_BYTES, bytes - FRAME_REC_BYTES));
    struct log_salvage_hint h;
    uint64_t n;

    gone_add(&f->out->lost, f->lsn, f->lsn);
    salvage_note(f->out, f->s->seg, f->pos, f->pos + bytes);
    if (!looks_like_record(p, f->lsn, f->lsn + 1) || p[8] != LOG_DOC)
        return;
    n = rd_varint(&r);
    if (r.bad || n == 0 || n > LIMIT_DOCID_BYTES || n > rd_left(&r))
        return;
    h = (struct log_salvage_hint){f->lsn, f->s->seg, f->pos, get_le32(p + 12),
                                  rd_bytes(&r, (size_t)n)};
    f->out->hint(f->out->arg, &h);
}

/* One lost record in place of the next `bytes`, a multiple of 8. */
static bool pad(struct filler *f, uint32_t bytes)
{
    struct log_record r = {.type = LOG_PAD, .lsn = f->lsn, .ver = f->lsn};

    if (bytes < FRAME_REC_BYTES || bytes - FRAME_REC_BYTES > LIMIT_RECORD_BYTES)
        return false;
    tell(f, bytes);
    r.body = slice_of((const char *)f->s->p + f->pos + FRAME_REC_BYTES, bytes - FRAME_REC_BYTES);
    frame_rec_put(f->s->p + f->pos, f->s->salt, &r);
    count(f, bytes);
    return true;
}

/* Everything up to `to`, where LSN `lsn` comes: records that are lost, or the header of a group. */
static bool bridge(struct filler *f, uint32_t to, uint64_t lsn)
{
    uint32_t gap = to - f->pos;
    uint64_t miss = lsn - f->lsn;

    if (miss == 0 && gap == FRAME_GROUP_BYTES && f->g.nrec != 0) {
        close_group(f);
        open_group(f);
        return true;
    }
    if (miss == 0 || gap / FRAME_REC_BYTES < miss)
        return miss == 0 && gap == 0;
    while (--miss != 0)
        if (!pad(f, FRAME_REC_BYTES))
            return false;
    return pad(f, to - f->pos);
}

/* The record at the anchor; `limit`: where the next anchor is. */
static bool place(struct filler *f, const struct anchor *a, uint32_t limit, bool last)
{
    if (a->whole) {
        count(f, a->used);
        return true;
    }
    if (a->used != 0 && a->pos + a->used <= limit)
        return pad(f, a->used);
    return pad(f, last ? FRAME_REC_BYTES : limit - f->pos);
}

/* An anchor counts if what lies before it can be filled. */
static bool can_bridge(const struct filler *f, const struct anchor *a)
{
    uint64_t miss = a->lsn - f->lsn;
    uint32_t gap;

    if (a->pos < f->pos || a->lsn < f->lsn)
        return false;
    gap = a->pos - f->pos;
    if (miss == 0)
        return gap == 0 || (gap == FRAME_GROUP_BYTES && f->g.nrec != 0);
    return gap / FRAME_REC_BYTES >= miss;
}

static bool fill_anchors(struct filler *f, const struct anchor *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool next_is_next = i + 1 < n && v[i + 1].lsn == v[i].lsn + 1;

        if (!can_bridge(f, &v[i]))
            continue;
        if (!bridge(f, v[i].pos, v[i].lsn) ||
            !place(f, &v[i], i + 1 < n ? v[i + 1].pos : f->s->end, !next_is_next))
            return false;
    }
    return true;
}

bool salvage_fill(const struct salvage_stretch *s, struct log_salvage *out, uint32_t *stop,
                  uint64_t *upto)
{
    struct filler f = {.s = s, .out = out, .pos = s->off, .lsn = s->first};
    size_t n = 0;
    struct anchor *v;
    bool ok = s->end - s->off >= FRAME_GROUP_BYTES;

    *stop = s->off;
    *upto = s->first;
    if (!ok)
        return s->open_end;
    v = find_anchors(s, &n);
    open_group(&f);
    ok = fill_anchors(&f, v, n);
    mem_free(v);
    if (!ok || (!bridge(&f, s->end, s->next) && !s->open_end))
        return false;
    close_group(&f);
    *stop = f.pos;
    *upto = f.lsn;
    return true;
}

/* ---- the salt ---- */

/* The seed with which the bytes have this checksum: the sum's steps backwards. */
static uint32_t seed_of(uint32_t crc, const unsigned char *p, size_t n)
{
    uint32_t s = ~crc;

    while (n-- > 0) {
        for (int bit = 0; bit < 8; bit++)
            s = s >> 31 != 0 ? ((s ^ CRC_POLY) << 1) | 1 : s << 1;
        s ^= p[n];
    }
    return ~s;
}

bool salvage_salt(struct slice segment, uint32_t *salt, uint64_t *first_lsn)
{
    struct slice in = segment;

    for (; in.n >= FRAME_GROUP_BYTES + FRAME_REC_BYTES; in.p += 8, in.n -= 8) {
        struct slice rest = slice_of(in.p + FRAME_GROUP_BYTES, in.n - FRAME_GROUP_BYTES);
        struct log_record r = {0};
        struct frame_group g;
        struct err e;
        size_t used;

        if (memcmp(in.p, "GRP1", 4) != 0)
            continue;
        *salt = seed_of(get_le32(in.p + AT_CRC), (const unsigned char *)in.p, AT_CRC);
        if (frame_group_get(in, *salt, &g, &e) != ST_OK ||
            frame_rec_get(rest, *salt, &r, &used, &e) != ST_OK || r.lsn != g.first_lsn)
            continue;
        *first_lsn = g.first_lsn;
        return true;
    }
    return false;
}
