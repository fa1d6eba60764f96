/* couch/apply.c: turns log records into LevelDB rows.
 *
 * The committer and recovery call the same functions, so that what a replay rebuilds is what was
 * there: records carry the whole new state (tree, absolute counts, the sequence to delete), and
 * applying one reads nothing. Applying a record again changes nothing.
 * Rows of one group (or of some thousand replayed records) and the LSN of the last of them go into
 * LevelDB as one batch: its prefix of the write history is a prefix of the log.
 * Threads: an applier belongs to one thread.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "couch/local.h"
#include "couch/store_priv.h"

enum { APPLY_VALUE_MAX = 1 << 30 };

void applier_init(struct applier *ap, struct kv *kv)
{
    *ap = (struct applier){.kv = kv, .batch = kv_batch_new(), .arena = arena_new()};
    buf_init(&ap->value, APPLY_VALUE_MAX);
}

void applier_fini(struct applier *ap)
{
    kv_batch_free(ap->batch);
    arena_free(ap->arena);
    buf_free(&ap->value);
    mem_free(ap->dbs);
}

static void put_value(struct applier *ap, struct slice key)
{
    ASSERT(buf_ok(&ap->value));
    kv_batch_put(ap->batch, key, buf_slice(&ap->value));
    ap->bytes += key.n + ap->value.n;
    buf_clear(&ap->value);
}

static void set_counts(struct applier *ap, uint32_t dbnum, const struct db_counts *c)
{
    for (size_t i = ap->ndbs; i-- > 0;) { /* the last one used is the likely one */
        if (ap->dbs[i].dbnum == dbnum) {
            ap->dbs[i].counts = *c;
            return;
        }
    }
    if (ap->ndbs == ap->dbs_cap) {
        ap->dbs_cap = ap->dbs_cap == 0 ? 16 : ap->dbs_cap * 2;
        ap->dbs = mem_realloc(ap->dbs, ap->dbs_cap * sizeof(*ap->dbs));
    }
    ap->dbs[ap->ndbs++] = (struct apply_db){dbnum, *c};
}

static void note_record(struct applier *ap, const struct log_record *rec)
{
    ASSERT(rec->lsn > ap->lsn);
    ap->lsn = rec->lsn;
    ap->nrecs++;
}

void apply_doc(struct applier *ap, const struct log_record *rec, struct doc_record *d,
               struct slice key)
{
    struct docinfo info = {.seq = d->seq, .docnum = d->docnum};
    struct seqrow row = {.docnum = d->docnum, .docid = d->docid};
    int w;

    note_record(ap, rec);
    revtree_resolve(d->tree, rec->seg, rec->body_off);
    info.tree = *d->tree;
    info.flags = revtree_is_deleted(d->tree) ? DOCINFO_DELETED : 0;
    if (revtree_has_conflict(d->tree))
        info.flags |= DOCINFO_CONFLICTS;
    w = revtree_winner(d->tree);
    ASSERT(w >= 0); /* a tree from disk was checked by its decoder */
    info.winner_ptr = d->tree->nodes[w].ptr;
    docinfo_encode(&info, &ap->value);
    put_value(ap, key);

    row.flags = info.flags;
    row.winner_ptr = info.winner_ptr;
    row.winner = d->tree->nodes[w].rev;
    seqrow_encode(&row, &ap->value);
    put_value(ap, key_seq(ap->arena, rec->dbnum, d->seq));
    if (d->prev_seq != 0)
        kv_batch_delete(ap->batch, key_seq(ap->arena, rec->dbnum, d->prev_seq));
    set_counts(ap, rec->dbnum,
               &(struct db_counts){d->doc_count, d->del_count, d->external_bytes, d->seq});
}

static enum status apply_doc_bytes(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct doc_record d = {0};
    struct revtree tree;

    revtree_init(&tree, ap->arena);
    TRY(doc_record_decode(ap->arena, rec->body, &d, &tree, e));
    d.tree = &tree;
    if (tree.n == 0 || d.seq == 0 || d.prev_seq >= d.seq)
        return err_set(e, ST_CORRUPT, "document record: %u revisions, sequence %llu after %llu",
                       tree.n, (unsigned long long)d.seq, (unsigned long long)d.prev_seq);
    apply_doc(ap, rec, &d, key_db(ap->arena, rec->dbnum, KEY_INFO, d.docid));
    return ST_OK;
}

static enum status apply_local(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct local_record r;
    struct seg_ptr p;
    struct slice key;

    TRY(local_record_decode(rec->body, &r, e));
    note_record(ap, rec);
    key = key_db(ap->arena, rec->dbnum, KEY_LOCAL, r.id);
    if (r.deleted) {
        kv_batch_delete(ap->batch, key);
        return ST_OK;
    }
    if (r.json.n > LIMIT_LOCAL_INLINE) {
        p = (struct seg_ptr){.seg = rec->seg,
                             .off = rec->body_off + (uint32_t)(r.json.p - rec->body.p),
                             .len = (uint32_t)r.json.n,
                             .crc = crc32c(0, r.json.p, r.json.n)};
        local_row_encode(r.n, r.json, &p, &ap->value);
    } else {
        local_row_encode(r.n, r.json, NULL, &ap->value);
    }
    put_value(ap, key);
    return ST_OK;
}

static void apply_create(struct applier *ap, const struct log_record *rec)
{
    static const struct db_counts none;
    unsigned char next[4];

    put_le32(next, rec->dbnum + 1);
    kv_batch_put(ap->batch, key_store(ap->arena, 'N'), slice_of(next, sizeof(next)));
    set_counts(ap, rec->dbnum, &none);
}

static enum status apply_dbmeta(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct dbmeta m;
    struct cat_row row;
    struct slice name;

    TRY(dbmeta_decode(rec->body, &m, e));
    if (m.op != DBMETA_DROP) {
        TRY(cat_row_decode(m.row, &row, e));
        if (row.dbnum != rec->dbnum)
            return err_set(e, ST_CORRUPT, "database record %u names database %u", rec->dbnum,
                           row.dbnum);
    }
    note_record(ap, rec);
    name = key_catalog(ap->arena, m.name);
    switch (m.op) {
    case DBMETA_CREATE:
        apply_create(ap, rec);
        kv_batch_put(ap->batch, name, m.row);
        break;
    case DBMETA_PROPS:
        kv_batch_put(ap->batch, name, m.row);
        break;
    case DBMETA_DROP:
        kv_batch_delete(ap->batch, name);
        kv_batch_put(ap->batch, key_dropping(ap->arena, rec->dbnum), SLICE_LIT(""));
        break;
    }
    ap->bytes += name.n + m.row.n;
    return ST_OK;
}

enum status apply_record(struct applier *ap, const struct log_record *rec, struct err *e)
{
    switch (rec->type) {
    case LOG_DOC:
        return apply_doc_bytes(ap, rec, e);
    case LOG_LOCAL:
        return apply_local(ap, rec, e);
    case LOG_DBMETA:
        return apply_dbmeta(ap, rec, e);
    case LOG_EPOCH:
    case LOG_PAD:
        return ST_OK; /* the log's own; they do not move the applied LSN */
    case LOG_PURGE:
    case LOG_NODE:
        break;
    }
    return err_set(e, ST_CORRUPT, "record %llu is of kind %d, which this version never writes",
                   (unsigned long long)rec->lsn, (int)rec->type);
}

enum status apply_flush(struct applier *ap, struct err *e)
{
    unsigned char lsn[8];
    enum status st;

    if (ap->nrecs == 0)
        return ST_OK;
    for (size_t i = 0; i < ap->ndbs; i++) {
        meta_row_encode(&ap->dbs[i].counts, &ap->value);
        put_value(ap, key_db(ap->arena, ap->dbs[i].dbnum, KEY_META, SLICE_LIT("")));
    }
    put_le64(lsn, ap->lsn);
    kv_batch_put(ap->batch, key_store(ap->arena, 'A'), slice_of(lsn, sizeof(lsn)));
    st = kv_write(ap->kv, ap->batch, e);
    kv_batch_clear(ap->batch);
    arena_reset(ap->arena);
    ap->ndbs = ap->nrecs = ap->bytes = 0;
    return st;
}
