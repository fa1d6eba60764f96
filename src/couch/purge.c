/* couch/purge.c: bytes and rows of purges; see purge.h. Pure, or reading LevelDB; any thread.
 *
 * 'p' row:     varint seq, varint docnum, uuid(16), varint docid len, docid, revisions
 * LOG_PURGE:   flags, varint purge_seq, varint first, uuid(16), revisions, LOG_DOC body
 * revisions:   varint n, n x (varint generation, flag byte, varint len, id)
 */
#include "couch/purge.h"

#include "base/alloc.h"
#include "couch/keys.h"
#include "couch/revtree_priv.h"
#include "kv/kv.h"

enum { UUID_BYTES = 16, HEX_ID_BYTES = 16, REV_BYTES_MIN = 3 };

static enum status corrupt(struct err *e, const char *what)
{
    return err_set(e, ST_CORRUPT, "%s is damaged", what);
}

/* ---- bytes ---- */

static void put_revs(struct buf *out, const struct rev *revs, uint32_t n)
{
    buf_varint(out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_varint(out, revs[i].gen);
        buf_char(out, revs[i].hex ? NODE_HEX : 0);
        buf_varint(out, revs[i].id.n);
        buf_add(out, revs[i].id);
    }
}

static bool read_rev(struct rd *r, struct rev *out)
{
    uint64_t gen = rd_varint(r);
    unsigned flag = rd_u8(r);
    uint64_t n = rd_varint(r);

    if (r->bad || n > rd_left(r) || gen == 0 || gen > UINT32_MAX || (flag != 0 && flag != NODE_HEX))
        return false;
    *out = (struct rev){(uint32_t)gen, flag == NODE_HEX, rd_bytes(r, (size_t)n)};
    return out->hex ? n == HEX_ID_BYTES : rev_id_valid(out->id);
}

static bool read_revs(struct rd *r, struct arena *a, const struct rev **out, uint32_t *out_n)
{
    uint64_t n = rd_varint(r);
    struct rev *revs;

    if (r->bad || n > rd_left(r) / REV_BYTES_MIN)
        return false;
    revs = arena_array(a, (size_t)n, sizeof(*revs));
    for (uint64_t i = 0; i < n; i++)
        if (!read_rev(r, &revs[i]))
            return false;
    *out = revs;
    *out_n = (uint32_t)n;
    return true;
}

static void read_uuid(struct rd *r, unsigned char uuid[UUID_BYTES])
{
    struct slice s = rd_bytes(r, UUID_BYTES);

    if (!r->bad)
        memcpy(uuid, s.p, UUID_BYTES);
}

void purge_info_encode(const struct purge_info *p, struct buf *out)
{
    buf_varint(out, p->seq);
    buf_varint(out, p->docnum);
    buf_append(out, p->uuid, UUID_BYTES);
    buf_varint(out, p->docid.n);
    buf_add(out, p->docid);
    put_revs(out, p->revs, p->nrevs);
}

enum status purge_info_decode(struct arena *a, struct slice v, struct purge_info *out,
                              struct err *e)
{
    struct rd r = rd_of(v);
    uint64_t n;

    *out = (struct purge_info){.seq = rd_varint(&r), .docnum = rd_varint(&r)};
    read_uuid(&r, out->uuid);
    n = rd_varint(&r);
    if (r.bad || n == 0 || n > rd_left(&r) || out->seq == 0)
        return corrupt(e, "purge info");
    out->docid = rd_bytes(&r, (size_t)n);
    if (!read_revs(&r, a, &out->revs, &out->nrevs) || rd_left(&r) != 0)
        return corrupt(e, "purge info");
    return ST_OK;
}

void purge_record_encode(const struct purge_record *p, struct buf *out)
{
    buf_char(out, (char)p->flags);
    buf_varint(out, p->purge_seq);
    buf_varint(out, p->first);
    buf_append(out, p->uuid, UUID_BYTES);
    put_revs(out, p->revs, p->nrevs);
}

enum status purge_record_decode(struct arena *a, struct slice body, struct purge_record *out,
                                struct slice *doc, struct err *e)
{
    struct rd r = rd_of(body);

    *out = (struct purge_record){.flags = rd_u8(&r)};
    out->purge_seq = rd_varint(&r);
    out->first = rd_varint(&r);
    read_uuid(&r, out->uuid);
    if (r.bad || (out->flags & ~(unsigned)PURGE_INFO_ONLY) != 0 || out->first == 0 ||
        (out->purge_seq == 0 && out->flags != 0) || !read_revs(&r, a, &out->revs, &out->nrevs))
        return corrupt(e, "purge record");
    *doc = rd_bytes(&r, rd_left(&r));
    return ST_OK;
}

/* ---- rows ---- */

struct purge_walk {
    struct kv_iter *it;
    struct arena *a;
    uint32_t dbnum;
    bool begun;
};

struct purge_walk *purge_walk_new(struct kv *kv, uint32_t dbnum, uint64_t from)
{
    struct purge_walk *w = mem_zalloc(sizeof(*w));

    w->a = arena_new();
    w->dbnum = dbnum;
    w->it = kv_iter_new(kv, NULL);
    kv_iter_seek(w->it, key_purge(w->a, dbnum, from));
    return w;
}

void purge_walk_free(struct purge_walk *w)
{
    if (w == NULL)
        return;
    kv_iter_free(w->it);
    arena_free(w->a);
    mem_free(w);
}

enum status purge_walk_next(struct purge_walk *w, uint64_t *purge_seq, struct purge_info *out,
                            bool *got, struct err *e)
{
    arena_reset(w->a);
    if (w->begun)
        kv_iter_next(w->it);
    w->begun = true;
    *got = kv_iter_valid(w->it) && key_purge_seq(kv_iter_key(w->it), w->dbnum, purge_seq);
    if (!*got)
        return kv_iter_error(w->it, e);
    return purge_info_decode(w->a, kv_iter_value(w->it), out, e);
}

enum status purge_range(struct kv *kv, uint32_t dbnum, uint64_t *first, uint64_t *last,
                        struct err *e)
{
    struct arena *a = arena_new();
    struct kv_iter *it = kv_iter_new(kv, NULL);
    enum status st;

    kv_iter_seek_before(it, key_db_end(a, dbnum, KEY_PURGE));
    if (!kv_iter_valid(it) || !key_purge_seq(kv_iter_key(it), dbnum, last)) {
        *first = 1;
        *last = 0;
    } else {
        *first = *last;
        kv_iter_seek(it, key_purge(a, dbnum, 0));
        if (kv_iter_valid(it))
            (void)key_purge_seq(kv_iter_key(it), dbnum, first);
    }
    st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}
