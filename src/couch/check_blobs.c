/* couch/check_blobs.c: the part of `divan check` that looks at blobs. Blobs that nothing names are
 * no finding: they wait for their collection. Threads: the caller's.
 */
#include "base/bytes.h"
#include "couch/check_priv.h"

enum { STEP = 1 << 20 };

static enum status read_all(struct check *c, const struct att *att, struct err *e)
{
    struct blob_ref ref = {.id = att->ptr.seg, .len = att->stored_len, .crc = att->ptr.crc};
    const struct blob_home *home = blobs_home(c->s->blobs);
    struct obj_name name = {home->store, home->epoch, ref.id};
    struct blob_reader *r;
    enum status st = ST_OK;
    uint64_t bytes;

    TRY(blob_open(home, &ref, &r, e));
    for (uint64_t off = 0; off < ref.len && st == ST_OK; off += STEP) {
        buf_clear(&c->body);
        st = blob_read(r, off, STEP, &c->body, e);
    }
    blob_close(r);
    TRY(st);
    TRY(ss_status(home->ss->ops->obj_stat(home->ss, &name, &bytes, e)));
    if (bytes != blob_file_bytes(ref.len))
        return err_set(e, ST_CORRUPT, "blob %016llx has %llu bytes more than it should",
                       (unsigned long long)ref.id,
                       (unsigned long long)(bytes - blob_file_bytes(ref.len)));
    if (memcmp(ref.md5, att->md5, sizeof(ref.md5)) != 0)
        return err_set(e, ST_CORRUPT, "blob %016llx has another digest",
                       (unsigned long long)ref.id);
    return ST_OK;
}

enum status check_blob(struct check *c, uint32_t dbnum, struct slice docid, const struct att *att,
                       struct err *e)
{
    struct slice v, row = key_blob(c->a, att->ptr.seg, dbnum, docid);
    unsigned char key[8];

    if (kv_get(c->s->kv, NULL, row, c->a, &v, e) != ST_OK)
        return err_set(e, ST_CORRUPT, "no row says that it needs blob %016llx",
                       (unsigned long long)att->ptr.seg);
    put_be64(key, att->ptr.seg);
    if (map_get(c->blobs, slice_of(key, sizeof(key))) != NULL)
        return ST_OK;
    TRY(read_all(c, att, e));
    map_put(c->blobs, slice_of(key, sizeof(key)), c);
    return ST_OK;
}

/* Whether the document of this row has the blob. */
static bool is_named(struct check *c, const struct kv_snap *snap, uint64_t id, struct slice key)
{
    struct err e = {0};
    struct docinfo d;
    struct slice v;

    if (kv_get(c->s->kv, snap, key, c->a, &v, &e) != ST_OK ||
        docinfo_decode(c->a, v, &d, &e) != ST_OK)
        return false;
    for (uint32_t i = 0; i < d.natts; i++)
        if (d.atts[i].seg == id)
            return true;
    return false;
}

enum status check_blob_rows(struct check *c, struct err *e)
{
    struct kv_snap *snap = kv_snap_new(c->s->kv);
    struct arena *keep = arena_new();
    struct slice first = key_blob(keep, 0, 0, SLICE_LIT("")), docid;
    uint32_t dbnum;
    uint64_t id;
    enum status st;

    c->it = kv_iter_new(c->s->kv, snap);
    for (kv_iter_seek(c->it, first); kv_iter_valid(c->it); kv_iter_next(c->it)) {
        if (kv_iter_key(c->it).p[0] != first.p[0])
            break;
        if (!key_blob_parts(kv_iter_key(c->it), &id, &dbnum, &docid))
            finding(c, "a row of a blob that cannot be read");
        else if (!is_named(c, snap, id, key_db(c->a, dbnum, KEY_INFO, docid)))
            finding(c, "a row says that document %.*s of database number %u needs blob %016llx",
                    (int)(docid.n < 100 ? docid.n : 100), docid.p, dbnum, (unsigned long long)id);
        arena_reset(c->a);
    }
    st = kv_iter_error(c->it, e);
    kv_iter_free(c->it);
    kv_snap_free(c->s->kv, snap);
    arena_free(keep);
    return st;
}
