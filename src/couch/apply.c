/* couch/apply.c: turns log records into LevelDB rows.
 *
 * The committer and recovery call the same functions, so that what a replay rebuilds is what was
 * there: records carry the whole new state (tree, absolute counts). What a record replaces is
 * looked up (the committer has it at hand): for the accounts of live bytes, and because in a log
 * that was compacted the records between may be gone. Applying a record again changes nothing.
 * Rows of one group (or of some thousand replayed records) and the LSN of the last of them go into
 * LevelDB as one batch: its prefix of the write history is a prefix of the log.
 * Threads: an applier belongs to one thread.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "couch/local.h"
#include "couch/purge.h"
#include "couch/store_priv.h"
#include "wal/gone.h"

enum { APPLY_VALUE_MAX = 1 << 30, LOG_RECORD_BYTES = 40 };

void applier_init(struct applier *ap, struct kv *kv, struct accounts *accounts)
{
    *ap = (struct applier){
        .kv = kv, .batch = kv_batch_new(), .arena = arena_new(), .accounts = accounts};
    buf_init(&ap->value, APPLY_VALUE_MAX);
}

void applier_fini(struct applier *ap)
{
    kv_batch_free(ap->batch);
    arena_free(ap->arena);
    buf_free(&ap->value);
    mem_free(ap->dbs);
    mem_free(ap->dropped.v);
    map_free(ap->fresh);
    mem_free(ap->purges);
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

static bool is_moved(const struct log_record *rec)
{
    return (rec->flags & LOG_F_MOVED) != 0;
}

static void note_record(struct applier *ap, const struct log_record *rec)
{
    ASSERT(rec->lsn > ap->lsn);
    ap->lsn = rec->lsn;
    ap->nrecs++;
    accounts_record(ap->accounts, rec->seg, LOG_RECORD_BYTES + rec->body.n, rec->lsn);
}

/* ---- documents ---- */

/* The 'i' row before this record; empty: none. */
static enum status old_row(struct applier *ap, struct slice key, const struct slice *known,
                           struct slice *out, struct err *e)
{
    const struct slice *fresh = ap->fresh != NULL ? map_get(ap->fresh, key) : NULL;
    enum status st;

    *out = SLICE_LIT("");
    if (fresh != NULL || known != NULL) {
        *out = fresh != NULL ? *fresh : *known;
        return ST_OK;
    }
    st = kv_get(ap->kv, NULL, key, ap->arena, out, e);
    if (st == ST_NOT_FOUND)
        *out = SLICE_LIT("");
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static void remember_row(struct applier *ap, struct slice key, struct slice row)
{
    struct slice *copy = arena_alloc(ap->arena, sizeof(*copy));

    *copy = arena_dup(ap->arena, row);
    if (ap->fresh == NULL)
        ap->fresh = map_new();
    map_put(ap->fresh, key, copy);
}

/* The sums of a database before the first change of this life. */
static enum status know_db(struct applier *ap, uint32_t dbnum, struct err *e)
{
    struct db_sizes z = {0};
    struct db_counts c;
    struct slice v;
    enum status st;

    if (accounts_db(ap->accounts, dbnum, &z))
        return ST_OK;
    st = kv_get(ap->kv, NULL, key_db(ap->arena, dbnum, KEY_META, SLICE_LIT("")), ap->arena, &v, e);
    if (st == ST_OK)
        TRY(meta_row_decode(v, &c, &z, e));
    else if (st != ST_NOT_FOUND)
        return st;
    accounts_db_set(ap->accounts, dbnum, &z);
    return ST_OK;
}

static void add_att(struct docinfo *info, uint32_t node, uint64_t seg, uint64_t bytes)
{
    for (uint32_t i = 0; i < info->natts; i++)
        if (info->atts[i].node == node && info->atts[i].seg == seg) {
            info->atts[i].bytes += bytes;
            return;
        }
    info->atts[info->natts++] = (struct docinfo_att){node, seg, bytes};
}

/* A leaf whose body is in the record. */
static enum status atts_of_region(struct applier *ap, struct docinfo *info, uint32_t node,
                                  const struct log_record *rec, struct err *e)
{
    const struct seg_ptr *p = &info->tree.nodes[node].ptr;
    struct slice region = slice_of(rec->body.p + (p->off - rec->body_off), p->len);
    struct docinfo_att *bigger;
    struct doc_body b = {0};

    TRY(doc_body_decode(ap->arena, region, p, &b, e));
    if (b.natts == 0)
        return ST_OK;
    bigger = arena_array(ap->arena, (size_t)info->natts + b.natts, sizeof(*bigger));
    if (info->natts != 0)
        memcpy(bigger, info->atts, info->natts * sizeof(*bigger));
    info->atts = bigger;
    for (uint32_t i = 0; i < b.natts; i++)
        add_att(info, node, b.atts[i].ptr.seg, b.atts[i].stored_len);
    return ST_OK;
}

/* A leaf that was there before. */
static void atts_of_old(struct applier *ap, struct docinfo *info, uint32_t node,
                        const struct docinfo *old)
{
    int was = revtree_find(&old->tree, &info->tree.nodes[node].rev);
    struct docinfo_att *bigger;

    if (was < 0 || old->natts == 0)
        return;
    bigger = arena_array(ap->arena, (size_t)info->natts + old->natts, sizeof(*bigger));
    if (info->natts != 0)
        memcpy(bigger, info->atts, info->natts * sizeof(*bigger));
    info->atts = bigger;
    for (uint32_t i = 0; i < old->natts; i++)
        if (old->atts[i].node == (uint32_t)was)
            add_att(info, node, old->atts[i].seg, old->atts[i].bytes);
}

static enum status find_atts(struct applier *ap, struct docinfo *info, const struct docinfo *old,
                             const struct log_record *rec, struct err *e)
{
    for (uint32_t i = 0; i < info->tree.n; i++) {
        const struct revnode *n = &info->tree.nodes[i];

        if (!n->leaf || !n->has_body)
            continue;
        if (n->ptr.seg == rec->seg && n->ptr.off >= rec->body_off &&
            n->ptr.off - rec->body_off < rec->body.n)
            TRY(atts_of_region(ap, info, i, rec, e));
        else
            atts_of_old(ap, info, i, old);
    }
    return ST_OK;
}

/* The record's tree as a doc-info. */
static void make_info(const struct doc_record *d, struct docinfo *info)
{
    int w = revtree_winner(d->tree);

    ASSERT(w >= 0); /* a tree from disk was checked by its decoder */
    *info = (struct docinfo){.seq = d->seq, .docnum = d->docnum, .tree = *d->tree};
    info->flags = revtree_is_deleted(d->tree) ? DOCINFO_DELETED : 0;
    if (revtree_has_conflict(d->tree))
        info->flags |= DOCINFO_CONFLICTS;
    info->winner_ptr = d->tree->nodes[w].ptr;
}

static void put_seq_row(struct applier *ap, const struct log_record *rec,
                        const struct docinfo *info, struct slice docid)
{
    struct seqrow row = {.docnum = info->docnum,
                         .docid = docid,
                         .flags = info->flags,
                         .winner_ptr = info->winner_ptr,
                         .winner = info->tree.nodes[revtree_winner(&info->tree)].rev};

    seqrow_encode(&row, &ap->value);
    put_value(ap, key_seq(ap->arena, rec->dbnum, info->seq));
}

/* The changes row that the document had: named by the record, and by the row that it replaces. In a
 * log that was compacted these can differ, since the records between may be gone. */
static void delete_seq_rows(struct applier *ap, const struct log_record *rec,
                            const struct doc_record *d, const struct docinfo *old)
{
    uint64_t prev = is_moved(rec) ? 0 : d->prev_seq;

    if (prev != 0)
        kv_batch_delete(ap->batch, key_seq(ap->arena, rec->dbnum, prev));
    if (old->seq != 0 && old->seq != prev && old->seq != d->seq)
        kv_batch_delete(ap->batch, key_seq(ap->arena, rec->dbnum, old->seq));
}

static void set_doc_counts(struct applier *ap, const struct log_record *rec,
                           const struct doc_record *d)
{
    struct db_counts c = {.docs = d->doc_count,
                          .deleted = d->del_count,
                          .external_bytes = d->external_bytes,
                          .update_seq = is_moved(rec) ? d->prev_seq : d->seq};

    set_counts(ap, rec->dbnum, &c);
}

/* The rows of apply_doc; rec->body is the document's part of the record.
 * NOLINTNEXTLINE(readability-function-size): the contract's parameters */
static enum status doc_rows(struct applier *ap, const struct log_record *rec, struct doc_record *d,
                            struct slice key, const struct slice *known, struct err *e)
{
    struct docinfo info, old = {0};
    struct slice row;

    TRY(know_db(ap, rec->dbnum, e));
    TRY(old_row(ap, key, known, &row, e));
    if (row.n != 0)
        TRY(docinfo_decode(ap->arena, row, &old, e));
    revtree_resolve(d->tree, rec->seg, rec->body_off);
    make_info(d, &info);
    TRY(find_atts(ap, &info, &old, rec, e));
    delete_seq_rows(ap, rec, d, &old);
    blobs_write_rows(
        ap->blobs,
        &(struct blob_doc){.dbnum = rec->dbnum, .docid = d->docid, .old = &old, .now = &info},
        ap->batch, ap->arena, &ap->dropped);
    if (row.n != 0)
        accounts_doc(ap->accounts, rec->dbnum, d->docid.n, row.n, &old, -1);
    docinfo_encode(&info, &ap->value);
    remember_row(ap, key, buf_slice(&ap->value));
    accounts_doc(ap->accounts, rec->dbnum, d->docid.n, ap->value.n, &info, +1);
    put_value(ap, key);
    put_seq_row(ap, rec, &info, d->docid);
    set_doc_counts(ap, rec, d);
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status apply_doc(struct applier *ap, const struct log_record *rec, struct doc_record *d,
                      struct slice key, const struct slice *known, struct err *e)
{
    TRY(doc_rows(ap, rec, d, key, known, e));
    note_record(ap, rec);
    return ST_OK;
}

static bool wrong_seqs(const struct log_record *rec, const struct doc_record *d)
{
    if (d->seq == 0)
        return true;
    return is_moved(rec) ? d->prev_seq < d->seq : d->prev_seq >= d->seq;
}

static enum status apply_doc_bytes(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct doc_record d = {0};
    struct revtree tree;

    revtree_init(&tree, ap->arena);
    TRY(doc_record_decode(ap->arena, rec->body, &d, &tree, e));
    d.tree = &tree;
    if (tree.n == 0 || wrong_seqs(rec, &d))
        return err_set(e, ST_CORRUPT, "document record: %u revisions, sequence %llu after %llu",
                       tree.n, (unsigned long long)d.seq, (unsigned long long)d.prev_seq);
    return apply_doc(ap, rec, &d, key_db(ap->arena, rec->dbnum, KEY_INFO, d.docid), NULL, e);
}

/* ---- purges ---- */

/* A document of which nothing is left. */
static enum status gone_rows(struct applier *ap, const struct log_record *rec,
                             const struct doc_record *d, struct slice key, struct err *e)
{
    struct docinfo old = {0};
    struct slice row;

    TRY(know_db(ap, rec->dbnum, e));
    TRY(old_row(ap, key, NULL, &row, e));
    if (row.n != 0) {
        TRY(docinfo_decode(ap->arena, row, &old, e));
        accounts_doc(ap->accounts, rec->dbnum, d->docid.n, row.n, &old, -1);
    }
    delete_seq_rows(ap, rec, d, &old);
    blobs_write_rows(ap->blobs,
                     &(struct blob_doc){.dbnum = rec->dbnum, .docid = d->docid, .old = &old},
                     ap->batch, ap->arena, &ap->dropped);
    kv_batch_delete(ap->batch, key);
    remember_row(ap, key, SLICE_LIT(""));
    set_doc_counts(ap, rec, d);
    return ST_OK;
}

static enum status info_row(struct applier *ap, const struct log_record *rec,
                            const struct purge_record *p, const struct doc_record *d, struct err *e)
{
    struct purge_info info = {
        .seq = d->seq, .docnum = d->docnum, .docid = d->docid, .revs = p->revs, .nrevs = p->nrevs};

    TRY(apply_trim_purges(ap, rec->dbnum, p->first, e));
    if (p->purge_seq < p->first)
        return ST_OK;
    memcpy(info.uuid, p->uuid, sizeof(info.uuid));
    purge_info_encode(&info, &ap->value);
    put_value(ap, key_purge(ap->arena, rec->dbnum, p->purge_seq));
    apply_remember_purge(ap, rec->dbnum, p->purge_seq);
    return ST_OK;
}

static enum status apply_purge(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct log_record part = *rec;
    struct doc_record d = {0};
    struct purge_record p;
    struct revtree tree;
    struct slice key;

    TRY(purge_record_decode(ap->arena, rec->body, &p, &part.body, e));
    TRY(doc_record_decode(ap->arena, part.body, &d, &tree, e));
    part.body_off += (uint32_t)(rec->body.n - part.body.n);
    if (wrong_seqs(rec, &d) || (p.purge_seq == 0 && !is_moved(rec)) ||
        (is_moved(rec) && tree.n != 0) || ((p.flags & PURGE_INFO_ONLY) != 0 && tree.n != 0))
        return err_set(e, ST_CORRUPT, "purge record: %u revisions, sequence %llu after %llu",
                       tree.n, (unsigned long long)d.seq, (unsigned long long)d.prev_seq);
    key = key_db(ap->arena, rec->dbnum, KEY_INFO, d.docid);
    TRY(info_row(ap, rec, &p, &d, e));
    if ((p.flags & PURGE_INFO_ONLY) != 0)
        set_doc_counts(ap, rec, &d);
    else if (tree.n != 0)
        TRY(doc_rows(ap, &part, &d, key, NULL, e));
    else
        TRY(gone_rows(ap, &part, &d, key, e));
    note_record(ap, rec);
    return ST_OK;
}

/* ---- _local documents ---- */

/* The pointer of the row before, if it had one, is no longer live. */
static enum status forget_local(struct applier *ap, struct slice key, struct err *e)
{
    struct slice row, json;
    struct seg_ptr p;
    bool is_inline;
    uint64_t n;

    TRY(old_row(ap, key, NULL, &row, e));
    if (row.n == 0)
        return ST_OK;
    TRY(local_row_decode(row, &n, &is_inline, &json, &p, e));
    if (!is_inline)
        accounts_local(ap->accounts, &p, -1);
    return ST_OK;
}

static enum status apply_local(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct local_record r;
    struct seg_ptr p;
    struct slice key;

    TRY(local_record_decode(rec->body, &r, e));
    key = key_db(ap->arena, rec->dbnum, KEY_LOCAL, r.id);
    TRY(forget_local(ap, key, e));
    note_record(ap, rec);
    if (r.deleted) {
        kv_batch_delete(ap->batch, key);
        remember_row(ap, key, SLICE_LIT(""));
        return ST_OK;
    }
    if (r.json.n > LIMIT_LOCAL_INLINE) {
        p = (struct seg_ptr){.seg = rec->seg,
                             .off = rec->body_off + (uint32_t)(r.json.p - rec->body.p),
                             .len = (uint32_t)r.json.n,
                             .crc = crc32c(0, r.json.p, r.json.n)};
        local_row_encode(r.n, r.json, &p, &ap->value);
        accounts_local(ap->accounts, &p, +1);
    } else {
        local_row_encode(r.n, r.json, NULL, &ap->value);
    }
    remember_row(ap, key, buf_slice(&ap->value));
    put_value(ap, key);
    return ST_OK;
}

/* ---- databases ---- */

static void put_next(struct applier *ap, uint32_t dbnum)
{
    unsigned char next[4];

    put_le32(next, dbnum);
    kv_batch_put(ap->batch, key_store(ap->arena, 'N'), slice_of(next, sizeof(next)));
}

/* A drop that compaction wrote again: the name may be another database's by now. */
static enum status drop_name_if_its(struct applier *ap, struct slice name, uint32_t dbnum,
                                    struct err *e)
{
    struct cat_row row;
    struct slice v;
    enum status st = kv_get(ap->kv, NULL, name, ap->arena, &v, e);

    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    TRY(cat_row_decode(v, &row, e));
    if (row.dbnum == dbnum)
        kv_batch_delete(ap->batch, name);
    return ST_OK;
}

static enum status apply_dbmeta(struct applier *ap, const struct log_record *rec, struct err *e)
{
    static const struct db_counts none;
    struct dbmeta m;
    struct cat_row row;
    struct slice name;

    TRY(dbmeta_decode(rec->body, &m, e));
    if (m.op != DBMETA_DROP && m.op != DBMETA_NEXT) {
        TRY(cat_row_decode(m.row, &row, e));
        if (row.dbnum != rec->dbnum)
            return err_set(e, ST_CORRUPT, "database record %u names database %u", rec->dbnum,
                           row.dbnum);
    }
    if (m.op == DBMETA_DROP && is_moved(rec))
        TRY(apply_flush(ap, e)); /* what follows reads */
    name = key_catalog(ap->arena, m.name);
    if (m.op == DBMETA_STATE)
        TRY(know_db(ap, rec->dbnum, e));
    note_record(ap, rec);
    switch (m.op) {
    case DBMETA_CREATE:
        put_next(ap, rec->dbnum + 1);
        accounts_db_set(ap->accounts, rec->dbnum, &(struct db_sizes){0});
        set_counts(ap, rec->dbnum, &none);
        kv_batch_put(ap->batch, name, m.row);
        break;
    case DBMETA_STATE:
        set_counts(ap, rec->dbnum, &m.counts);
        kv_batch_put(ap->batch, name, m.row);
        break;
    case DBMETA_PROPS:
        kv_batch_put(ap->batch, name, m.row);
        break;
    case DBMETA_NEXT:
        put_next(ap, get_le32(m.row.p));
        break;
    case DBMETA_DROP:
        if (is_moved(rec))
            TRY(drop_name_if_its(ap, name, rec->dbnum, e));
        else
            kv_batch_delete(ap->batch, name);
        kv_batch_put(ap->batch, key_dropping(ap->arena, rec->dbnum), SLICE_LIT(""));
        break;
    }
    ap->bytes += name.n + m.row.n;
    return ST_OK;
}

/* ---- deleted segments ---- */

/* The table is kept for the next record of its kind; the accounts of the segments end. */
static enum status apply_gone(struct applier *ap, const struct log_record *rec, struct err *e)
{
    struct rd r = rd_of(rec->body);
    uint64_t n = rd_varint(&r);
    struct gone table;
    struct slice rest;

    if (r.bad || n > rd_left(&r))
        return err_set(e, ST_CORRUPT, "record of deleted segments");
    for (; n != 0 && !r.bad; n--)
        accounts_gone(ap->accounts, rd_varint(&r));
    rest = rd_bytes(&r, rd_left(&r));
    if (r.bad)
        return err_set(e, ST_CORRUPT, "record of deleted segments");
    TRY(gone_decode(rest, &table, e));
    gone_free(&table);
    note_record(ap, rec);
    kv_batch_put(ap->batch, key_store(ap->arena, 'G'), rest);
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
    case LOG_GONE:
        return apply_gone(ap, rec, e);
    case LOG_PURGE:
        return apply_purge(ap, rec, e);
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
        struct db_sizes z = {0};

        accounts_db(ap->accounts, ap->dbs[i].dbnum, &z);
        meta_row_encode(&ap->dbs[i].counts, &z, &ap->value);
        put_value(ap, key_db(ap->arena, ap->dbs[i].dbnum, KEY_META, SLICE_LIT("")));
    }
    accounts_flush(ap->accounts, ap->batch, ap->arena);
    put_le64(lsn, ap->lsn);
    kv_batch_put(ap->batch, key_store(ap->arena, 'A'), slice_of(lsn, sizeof(lsn)));
    st = kv_write(ap->kv, ap->batch, e);
    if (ap->blobs != NULL && st == ST_OK)
        blobs_dropped(ap->blobs, &ap->dropped);
    kv_batch_clear(ap->batch);
    arena_reset(ap->arena);
    map_free(ap->fresh);
    ap->fresh = NULL;
    ap->ndbs = ap->nrecs = ap->bytes = ap->npurges = 0;
    return st;
}
