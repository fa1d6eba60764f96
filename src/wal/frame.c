/* wal/frame.c: encodes and checks the log's headers; see frame.h. Nothing here trusts a byte that
 * it decodes, and nothing here asserts on one. */
#include "wal/frame.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/limits.h"

static const char SEG_MAGIC[8] = {'D', 'V', 'S', 'E', 'G', 0, 0, 1};
static const char GROUP_MAGIC[4] = {'G', 'R', 'P', '1'};

enum { SEG_AT_CRC = 60, GROUP_AT_CRC = 44, REC_AT_LEN = 4 };
enum { REC_FLAGS_KNOWN = LOG_F_TOMBSTONE | LOG_F_MOVED };

void frame_seg_put(unsigned char out[FRAME_SEG_BYTES], const struct frame_seg *h)
{
    memcpy(out, SEG_MAGIC, sizeof SEG_MAGIC);
    put_le16(out + 8, FRAME_VERSION);
    put_le16(out + 10, FRAME_SEG_BYTES);
    put_le32(out + 12, h->flags);
    put_le64(out + 16, h->seg);
    memcpy(out + 24, h->uuid, sizeof h->uuid);
    put_le64(out + 40, h->epoch);
    put_le64(out + 48, h->first_lsn);
    put_le32(out + 56, h->salt);
    put_le32(out + SEG_AT_CRC, crc32c(0, out, SEG_AT_CRC));
}

enum status frame_seg_get(struct slice in, struct frame_seg *h, struct err *e)
{
    const char *p = in.p;

    if (in.n < FRAME_SEG_BYTES)
        return err_set(e, ST_TORN, "%zu bytes of a segment header", in.n);
    if (memcmp(p, SEG_MAGIC, sizeof SEG_MAGIC) != 0)
        return err_set(e, ST_CORRUPT, "not a segment");
    if (get_le32(p + SEG_AT_CRC) != crc32c(0, p, SEG_AT_CRC))
        return err_set(e, ST_CORRUPT, "checksum of the segment header");
    if (get_le16(p + 8) != FRAME_VERSION || get_le16(p + 10) != FRAME_SEG_BYTES)
        return err_set(e, ST_CORRUPT, "segment version %u", (unsigned)get_le16(p + 8));
    h->flags = get_le32(p + 12);
    h->seg = get_le64(p + 16);
    memcpy(h->uuid, p + 24, sizeof h->uuid);
    h->epoch = get_le64(p + 40);
    h->first_lsn = get_le64(p + 48);
    h->salt = get_le32(p + 56);
    return ST_OK;
}

void frame_group_put(unsigned char out[FRAME_GROUP_BYTES], uint32_t salt,
                     const struct frame_group *g)
{
    memcpy(out, GROUP_MAGIC, sizeof GROUP_MAGIC);
    put_le32(out + 4, g->payload);
    put_le32(out + 8, g->nrec);
    put_le32(out + 12, g->flags);
    put_le64(out + 16, g->first_lsn);
    put_le64(out + 24, g->durable_lsn);
    put_le64(out + 32, g->wall_ms);
    put_le32(out + 40, g->crcs);
    put_le32(out + GROUP_AT_CRC, crc32c(salt, out, GROUP_AT_CRC));
}

enum status frame_group_get(struct slice in, uint32_t salt, struct frame_group *g, struct err *e)
{
    const char *p = in.p;

    if (in.n < FRAME_GROUP_BYTES)
        return err_set(e, ST_TORN, "%zu bytes of a group header", in.n);
    if (memcmp(p, GROUP_MAGIC, sizeof GROUP_MAGIC) != 0)
        return err_set(e, ST_CORRUPT, "no group here");
    if (get_le32(p + GROUP_AT_CRC) != crc32c(salt, p, GROUP_AT_CRC))
        return err_set(e, ST_CORRUPT, "checksum of the group header");
    g->payload = get_le32(p + 4);
    g->nrec = get_le32(p + 8);
    g->flags = get_le32(p + 12);
    g->first_lsn = get_le64(p + 16);
    g->durable_lsn = get_le64(p + 24);
    g->wall_ms = get_le64(p + 32);
    g->crcs = get_le32(p + 40);
    if (g->payload % 8 != 0 || g->nrec == 0 || g->payload / FRAME_REC_BYTES < g->nrec)
        return err_set(e, ST_CORRUPT, "a group of %u records in %u bytes", (unsigned)g->nrec,
                       (unsigned)g->payload);
    if (g->first_lsn == 0 || g->first_lsn > UINT64_MAX - g->nrec || g->durable_lsn >= g->first_lsn)
        return err_set(e, ST_CORRUPT, "group LSN %llu", (unsigned long long)g->first_lsn);
    return ST_OK;
}

enum status frame_group_check(const struct frame_group *g, struct slice payload, uint32_t salt,
                              struct err *e)
{
    uint64_t lsn = g->first_lsn;
    uint32_t crcs = 0;
    struct log_record r = {0};
    size_t used = 0;

    while (payload.n != 0) {
        if (frame_rec_get(payload, salt, &r, &used, e) != ST_OK)
            return ST_CORRUPT; /* the payload is whole, so a short record is damage too */
        if (r.lsn != lsn)
            return err_set(e, ST_CORRUPT, "record LSN %llu, expected %llu",
                           (unsigned long long)r.lsn, (unsigned long long)lsn);
        crcs ^= get_le32(payload.p);
        lsn++;
        payload.p += used;
        payload.n -= used;
    }
    if (lsn - g->first_lsn != g->nrec || crcs != g->crcs)
        return err_set(e, ST_CORRUPT, "the records do not match their group");
    return ST_OK;
}

uint32_t frame_rec_put(unsigned char out[FRAME_REC_BYTES], uint32_t salt,
                       const struct log_record *r)
{
    uint32_t crc;

    put_le32(out + REC_AT_LEN, (uint32_t)r->body.n);
    out[8] = (unsigned char)r->type;
    out[9] = r->flags;
    put_le16(out + 10, FRAME_REC_BYTES);
    put_le32(out + 12, r->dbnum);
    put_le64(out + 16, r->lsn);
    put_le64(out + 24, r->ver);
    put_le64(out + 32, r->keyhash);
    crc = crc32c(salt, out + REC_AT_LEN, FRAME_REC_BYTES - REC_AT_LEN);
    if (r->body.n != 0)
        crc = crc32c(crc, r->body.p, r->body.n);
    put_le32(out, crc);
    return crc;
}

static bool zeros(const char *p, uint32_t n)
{
    while (n > 0 && *p == 0) {
        p++;
        n--;
    }
    return n == 0;
}

enum status frame_rec_get(struct slice in, uint32_t salt, struct log_record *r, size_t *used,
                          struct err *e)
{
    const char *p = in.p;
    uint32_t len, pad;

    if (in.n < FRAME_REC_BYTES)
        return err_set(e, ST_TORN, "%zu bytes of a record header", in.n);
    len = get_le32(p + REC_AT_LEN);
    if (len > LIMIT_RECORD_BYTES)
        return err_set(e, ST_CORRUPT, "a record of %u bytes", (unsigned)len);
    pad = frame_pad(len);
    if (in.n - FRAME_REC_BYTES < (size_t)len + pad)
        return err_set(e, ST_TORN, "%zu of %u body bytes", in.n - FRAME_REC_BYTES, (unsigned)len);
    if (get_le32(p) != crc32c(salt, p + REC_AT_LEN, FRAME_REC_BYTES - REC_AT_LEN + (size_t)len))
        return err_set(e, ST_CORRUPT, "record checksum");
    if (p[8] < LOG_DOC || p[8] > LOG_GONE || ((unsigned char)p[9] & ~REC_FLAGS_KNOWN) != 0 ||
        get_le16(p + 10) != FRAME_REC_BYTES)
        return err_set(e, ST_CORRUPT, "record type %d, flags %d", p[8], p[9]);
    if (!zeros(p + FRAME_REC_BYTES + len, pad))
        return err_set(e, ST_CORRUPT, "padding is not zero");
    r->type = (enum log_type)p[8];
    r->flags = (uint8_t)p[9];
    r->dbnum = get_le32(p + 12);
    r->lsn = get_le64(p + 16);
    r->ver = get_le64(p + 24);
    r->keyhash = get_le64(p + 32);
    r->body = slice_of(p + FRAME_REC_BYTES, len);
    *used = FRAME_REC_BYTES + (size_t)len + pad;
    return ST_OK;
}
