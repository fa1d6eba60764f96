/* couch/commit_move.c: stages what compaction writes: records that say again what is already so,
 * in a new place. Since the committer orders them among all other writes, a moved record is as true
 * at its LSN as any other: a rebuild applies what is left of the log in the order of LSNs.
 * Runs on the committer.
 */
#include "base/bytes.h"
#include "base/digest.h"
#include "couch/commit_priv.h"

static enum staged refuse(struct commit_op *op, enum status st, const char *why)
{
    op->st = err_set(&op->err, st, "%s", why);
    return STAGED_NOTHING;
}

/* Whether the row is still what the compactor looked at. */
static enum status same_row(struct group *g, struct slice key, const struct commit_op *op,
                            struct slice *row, struct err *e)
{
    enum status st = kv_get(g->s->kv, NULL, key, g->ap.arena, row, e);

    if (st == ST_NOT_FOUND)
        *row = SLICE_LIT("");
    else if (st != ST_OK)
        return st;
    return slice_eq(*row, op->move->row) ? ST_OK : err_set(e, ST_CONFLICT, "changed meanwhile");
}

static enum staged move_doc(struct group *g, struct commit_op *op)
{
    struct slice key, row = {0};
    const struct docinfo *d = op->move->info;
    const struct db_counts *c;
    uint64_t h;
    struct slot *sl;
    size_t place;

    ASSERT(op->db != NULL);
    c = &op->db->staged;
    key = key_db(g->ap.arena, op->db->num, KEY_INFO, op->docid);
    h = hash64(key.p, key.n);
    if (group_find(g, key, h, &place) != NULL)
        return STAGED_LATER;
    op->st = same_row(g, key, op, &row, &op->err);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    sl = group_slot(g);
    sl->op = op;
    sl->key = key;
    sl->was = row;
    sl->tree = d->tree;
    sl->deleted = revtree_is_deleted(&sl->tree);
    sl->rec = (struct doc_record){.docid = op->docid,
                                  .seq = d->seq,
                                  .prev_seq = c->update_seq,
                                  .docnum = d->docnum,
                                  .doc_count = c->docs,
                                  .del_count = c->deleted,
                                  .external_bytes = c->external_bytes,
                                  .tree = &sl->tree};
    buf_clear(&g->head);
    doc_record_encode_head(&sl->rec, &g->head);
    if (!buf_ok(&g->head) || g->head.n + op->move->bodies.n > LIMIT_RECORD_BYTES)
        return refuse(op, ST_TOO_LARGE, "a document that is too large to be moved");
    sl->head_n = g->head.n;
    buf_add(&g->bodies, buf_slice(&g->head));
    buf_add(&g->bodies, op->move->bodies);
    *group_record(g) =
        (struct log_record){.type = LOG_DOC,
                            .flags = LOG_F_MOVED | (sl->deleted ? LOG_F_TOMBSTONE : 0),
                            .dbnum = op->db->num,
                            .ver = op->move->ver,
                            .keyhash = h};
    g->hash[place] = (uint16_t)(g->n + 1);
    group_add(g, op);
    return STAGED_RECORD;
}

/* Two records of one _local document in a group are applied in their order, like any others; but
 * the row that this one was compared with must be the newest: so it starts the next group. */
static bool local_in_group(const struct group *g, uint64_t h)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->recs[i].type == LOG_LOCAL && g->recs[i].keyhash == h)
            return true;
    return false;
}

static enum staged move_local(struct group *g, struct commit_op *op)
{
    struct slice key, row = {0};
    struct local_record r = {
        .id = op->docid, .json = op->move->bodies, .n = op->move->local_n, .deleted = op->deleted};
    uint64_t h;

    ASSERT(op->db != NULL);
    key = key_db(g->ap.arena, op->db->num, KEY_LOCAL, op->docid);
    h = hash64(key.p, key.n);
    if (local_in_group(g, h))
        return STAGED_LATER;
    op->st = same_row(g, key, op, &row, &op->err);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    group_slot(g);
    *group_record(g) =
        (struct log_record){.type = LOG_LOCAL,
                            .flags = LOG_F_MOVED | (op->deleted ? LOG_F_TOMBSTONE : 0),
                            .dbnum = op->db->num,
                            .ver = op->move->ver,
                            .keyhash = h};
    local_record_encode(&r, &g->bodies);
    group_add(g, op);
    return STAGED_RECORD;
}

static void db_row(struct group *g, struct db *db, struct buf *out)
{
    struct cat_row row = {.dbnum = db->num,
                          .created_us = db->created_us,
                          .revs_limit = db_revs_limit(db),
                          .security = db_security(db, g->ap.arena),
                          .compact_seq = atomic_load(&db->compact_seq),
                          .purged_infos_limit = db_purged_infos_limit(db),
                          .partitioned = db_partitioned(db)};

    memcpy(row.uuid, db->uuid, sizeof(row.uuid));
    cat_row_encode(&row, out);
}

/* Alone in its group, so that staged counts are what is published. */
static enum staged move_meta(struct group *g, struct commit_op *op)
{
    struct commit_move *m = op->move;
    struct dbmeta d = {.op = DBMETA_STATE, .name = op->docid, .row = SLICE_LIT("")};
    unsigned char next[4];
    struct slice key;

    group_slot(g);
    buf_clear(&g->region);
    if (m->what == MOVE_DB) {
        ASSERT(op->db != NULL);
        m->dbnum = op->db->num;
        d.name = db_name(op->db);
        db_row(g, op->db, &g->region);
        d.row = buf_slice(&g->region);
        d.counts = op->db->staged;
    } else if (m->what == MOVE_DROP) {
        d.op = DBMETA_DROP;
    } else {
        d.op = DBMETA_NEXT;
        d.name = SLICE_LIT("");
        put_le32(next, g->s->next_dbnum);
        d.row = slice_of(next, sizeof(next));
    }
    key = d.op == DBMETA_NEXT ? key_store(g->ap.arena, 'N') : key_catalog(g->ap.arena, d.name);
    *group_record(g) = (struct log_record){.type = LOG_DBMETA,
                                           .flags = LOG_F_MOVED,
                                           .dbnum = m->dbnum,
                                           .ver = m->ver,
                                           .keyhash = hash64(key.p, key.n)};
    dbmeta_encode(&d, &g->bodies);
    group_add(g, op);
    return STAGED_RECORD;
}

static enum staged move_gone(struct group *g, struct commit_op *op)
{
    group_slot(g);
    *group_record(g) = (struct log_record){.type = LOG_GONE, .flags = LOG_F_MOVED};
    buf_add(&g->bodies, op->move->bodies);
    group_add(g, op);
    return STAGED_RECORD;
}

enum staged stage_move(struct group *g, struct commit_op *op)
{
    op->st = ST_OK;
    if (op->db != NULL && db_dropped(op->db))
        return refuse(op, ST_NOT_FOUND, "Database does not exist.");
    switch (op->move->what) {
    case MOVE_SYNC:
        return STAGED_NOTHING;
    case MOVE_DOC:
        return move_doc(g, op);
    case MOVE_LOCAL:
        return move_local(g, op);
    case MOVE_DB:
    case MOVE_DROP:
    case MOVE_NEXT:
        return move_meta(g, op);
    case MOVE_PURGE:
        return stage_purge_move(g, op);
    case MOVE_GONE:
        return move_gone(g, op);
    }
    return refuse(op, ST_INTERNAL, "a move of an unknown kind");
}

/* ---- attachments that an operation carries over ---- */

/* The same bytes in one of the document's leaves as it is now. */
static bool find_again(struct group *g, const struct docinfo *was, struct att *want)
{
    for (uint32_t i = 0; i < was->natts; i++) {
        const struct revnode *n = &was->tree.nodes[was->atts[i].node];
        char *bytes = arena_alloc(g->ap.arena, n->ptr.len);
        struct doc_body b = {0};
        struct err e;

        if (log_read(g->s->log, &n->ptr, bytes, &e) != ST_OK ||
            doc_body_decode(g->ap.arena, slice_of(bytes, n->ptr.len), &n->ptr, &b, &e) != ST_OK)
            continue;
        for (uint32_t k = 0; k < b.natts; k++)
            if (b.atts[k].stored_len == want->stored_len &&
                memcmp(b.atts[k].md5, want->md5, sizeof(want->md5)) == 0 &&
                b.atts[k].ptr.seg != atomic_load(&g->s->victim) &&
                log_has_seg(g->s->log, b.atts[k].ptr.seg)) {
                want->ptr = b.atts[k].ptr;
                return true;
            }
    }
    return false;
}

/* Its bytes become the operation's own. */
static bool copy_in(struct group *g, struct att *t)
{
    char *bytes = arena_alloc(g->ap.arena, t->ptr.len + 1);
    struct err e;

    if (log_read(g->s->log, &t->ptr, bytes, &e) != ST_OK)
        return false;
    t->data = slice_of(bytes, t->ptr.len);
    return true;
}

enum status commit_fix_atts(struct group *g, const struct docinfo *was, struct commit_op *op)
{
    uint64_t victim = atomic_load(&g->s->victim);

    for (uint32_t i = 0; i < op->body.natts; i++) {
        struct att *t = &op->body.atts[i];

        if (seg_is_blob(t->ptr.seg) && t->data.p == NULL) {
            if (!blobs_pinned(g->s->blobs, t->ptr.seg))
                return err_set(&op->err, ST_INTERNAL, "a blob that nobody holds");
            continue;
        }
        if (t->data.p != NULL || t->stored_len == 0 ||
            (t->ptr.seg != victim && log_has_seg(g->s->log, t->ptr.seg)))
            continue;
        if (!find_again(g, was, t) && !copy_in(g, t))
            return err_word(&op->err, ST_UNAVAILABLE, "attachment_moved",
                            "An attachment was moved meanwhile; try again.");
    }
    return ST_OK;
}
