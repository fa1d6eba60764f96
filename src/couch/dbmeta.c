/* couch/dbmeta.c: the bytes of what is known about a database, and of the log records that change
 * it (docs/format-documents.md). Pure; any thread.
 *
 * A record of kind LOG_DBMETA carries the catalogue row byte for byte as it is to be, with the
 * random uuid and the time already chosen: replay needs neither a clock nor random numbers.
 */
#include "base/bytes.h"
#include "couch/store_priv.h"

enum { CAT_PARTITIONED = 1 }; /* flags of the row */

void cat_row_encode(const struct cat_row *c, struct buf *out)
{
    bool infos = c->purged_infos_limit != LIMIT_PURGED_INFOS_DEFAULT;
    unsigned char fixed[4 + 16 + 8];

    put_le32(fixed, c->dbnum);
    memcpy(fixed + 4, c->uuid, 16);
    put_le64(fixed + 20, c->created_us);
    buf_append(out, fixed, sizeof(fixed));
    buf_varint(out, c->revs_limit);
    buf_varint(out, c->security.n);
    buf_add(out, c->security);
    if (c->compact_seq != 0 || infos || c->partitioned)
        buf_varint(out, c->compact_seq);
    if (infos || c->partitioned)
        buf_varint(out, c->purged_infos_limit);
    if (c->partitioned)
        buf_varint(out, CAT_PARTITIONED);
}

enum status cat_row_decode(struct slice v, struct cat_row *out, struct err *e)
{
    struct rd r = rd_of(v);
    struct slice uuid;
    uint64_t limit, infos, flags;

    out->dbnum = rd_le32(&r);
    uuid = rd_bytes(&r, 16);
    out->created_us = rd_le64(&r);
    limit = rd_varint(&r);
    out->security = rd_bytes(&r, (size_t)rd_varint(&r));
    out->compact_seq = r.bad || rd_left(&r) == 0 ? 0 : rd_varint(&r);
    infos = r.bad || rd_left(&r) == 0 ? LIMIT_PURGED_INFOS_DEFAULT : rd_varint(&r);
    flags = r.bad || rd_left(&r) == 0 ? 0 : rd_varint(&r);
    if (r.bad || rd_left(&r) != 0 || limit == 0 || limit > UINT32_MAX || out->dbnum == 0 ||
        infos == 0 || infos > LIMIT_PURGED_INFOS || flags > CAT_PARTITIONED)
        return err_set(e, ST_CORRUPT, "catalogue row of %zu bytes", v.n);
    memcpy(out->uuid, uuid.p, 16);
    out->revs_limit = (uint32_t)limit;
    out->purged_infos_limit = (uint32_t)infos;
    out->partitioned = (flags & CAT_PARTITIONED) != 0;
    return ST_OK;
}

void meta_row_encode(const struct db_counts *c, const struct db_sizes *z, struct buf *out)
{
    buf_varint(out, c->docs);
    buf_varint(out, c->deleted);
    buf_varint(out, c->external_bytes);
    buf_varint(out, c->update_seq);
    buf_varint(out, z->active);
    buf_varint(out, z->atts);
    buf_varint(out, z->blobs);
}

enum status meta_row_decode(struct slice v, struct db_counts *out, struct db_sizes *z,
                            struct err *e)
{
    struct rd r = rd_of(v);

    out->docs = rd_varint(&r);
    out->deleted = rd_varint(&r);
    out->external_bytes = rd_varint(&r);
    out->update_seq = rd_varint(&r);
    *z = (struct db_sizes){0};
    if (rd_left(&r) != 0) {
        z->active = rd_varint(&r);
        z->atts = rd_varint(&r);
    }
    if (rd_left(&r) != 0)
        z->blobs = rd_varint(&r);
    if (r.bad || rd_left(&r) != 0)
        return err_set(e, ST_CORRUPT, "meta row of %zu bytes", v.n);
    return ST_OK;
}

void dbmeta_encode(const struct dbmeta *m, struct buf *out)
{
    buf_char(out, (char)m->op);
    buf_varint(out, m->name.n);
    buf_add(out, m->name);
    if (m->op == DBMETA_STATE) {
        buf_varint(out, m->counts.docs);
        buf_varint(out, m->counts.deleted);
        buf_varint(out, m->counts.external_bytes);
        buf_varint(out, m->counts.update_seq);
    }
    buf_add(out, m->row);
}

enum status dbmeta_decode(struct slice body, struct dbmeta *out, struct err *e)
{
    struct rd r = rd_of(body);
    uint8_t op = rd_u8(&r);

    out->name = rd_bytes(&r, (size_t)rd_varint(&r));
    out->counts = (struct db_counts){0};
    if (op == DBMETA_STATE) {
        out->counts.docs = rd_varint(&r);
        out->counts.deleted = rd_varint(&r);
        out->counts.external_bytes = rd_varint(&r);
        out->counts.update_seq = rd_varint(&r);
    }
    out->row = rd_bytes(&r, rd_left(&r));
    if (r.bad || op < DBMETA_CREATE || op > DBMETA_NEXT ||
        (op == DBMETA_NEXT) != (out->name.n == 0) || (op == DBMETA_NEXT && out->row.n != 4) ||
        (op == DBMETA_DROP) != (out->row.n == 0))
        return err_set(e, ST_CORRUPT, "database record: operation %u, %zu bytes", (unsigned)op,
                       body.n);
    out->op = (enum dbmeta_op)op;
    return ST_OK;
}

void local_record_encode(const struct local_record *r, struct buf *out)
{
    buf_varint(out, r->id.n);
    buf_add(out, r->id);
    buf_varint(out, r->n);
    buf_char(out, r->deleted ? 1 : 0);
    buf_varint(out, r->json.n);
    buf_add(out, r->json);
}

enum status local_record_decode(struct slice body, struct local_record *out, struct err *e)
{
    struct rd r = rd_of(body);
    uint8_t deleted;

    out->id = rd_bytes(&r, (size_t)rd_varint(&r));
    out->n = rd_varint(&r);
    deleted = rd_u8(&r);
    out->json = rd_bytes(&r, (size_t)rd_varint(&r));
    if (r.bad || rd_left(&r) != 0 || deleted > 1)
        return err_set(e, ST_CORRUPT, "record of a local document, %zu bytes", body.n);
    out->deleted = deleted == 1;
    return ST_OK;
}
