/* couch/commit_purge.c: stages purges, and what compaction says of them again. Runs on the
 * committer.
 *
 * The record has the document as it is afterwards. If something is left of it, the record carries
 * the winner's body along: so the newest record of a document always holds the body of a leaf, and
 * compaction, which moves what is live, never leaves an older record of it as the newest
 * (docs/format-documents.md "Moved records"). If nothing is left, the record is a removal like that
 * of a _local document: it is moved as long as an older record could bring the document back.
 * An operation on a document that the group writes already waits for the next group, either way.
 */
#include "base/digest.h"
#include "couch/commit_priv.h"
#include "couch/purge.h"

struct purge {
    struct commit_op *op;
    struct slice row;
    struct docinfo was; /* as it was; afterwards: with what is left as its tree */
    uint64_t docnum;
    bool some; /* something is taken away */
};

/* Which leaves go, and op->purged. True: at least one. */
static bool mark_leaves(struct arena *a, const struct revtree *t, struct commit_op *op, bool **out)
{
    bool *gone = arena_zalloc(a, t->n + 1), some = false;

    for (uint32_t i = 0; i < op->npath; i++) {
        int n = revtree_find(t, &op->path[i]);

        op->purged[i] = n >= 0 && t->nodes[n].leaf && !gone[n];
        if (!op->purged[i])
            continue;
        gone[n] = some = true;
    }
    *out = gone;
    return some;
}

/* The body of the winner that is left, as the first of the record. */
static enum status carry_winner(struct group *g, struct revtree *t, struct err *e)
{
    struct revnode *n = &t->nodes[revtree_winner(t)];
    char *bytes = arena_alloc(g->ap.arena, (size_t)n->ptr.len + 1);
    struct doc_body b = {0};

    if (!n->has_body || n->ptr.len > LIMIT_RECORD_BYTES)
        return err_set(e, ST_CORRUPT, "a leaf without a body");
    TRY(log_read(g->s->log, &n->ptr, bytes, e));
    TRY(doc_body_decode(g->ap.arena, slice_of(bytes, n->ptr.len), &n->ptr, &b, e));
    buf_clear(&g->region);
    doc_body_encode(&b, &g->region);
    if (!buf_ok(&g->region))
        return err_set(e, ST_TOO_LARGE, "a document that is too large to be purged");
    n->ptr = (struct seg_ptr){
        .seg = SEG_SELF, .len = (uint32_t)g->region.n, .crc = crc32c(0, g->region.p, g->region.n)};
    return ST_OK;
}

static void write_purge(struct group *g, const struct purge_record *p, struct doc_record *d)
{
    struct slot *sl = &g->slots[g->n];

    purge_record_encode(p, &g->bodies);
    buf_clear(&g->head);
    doc_record_encode_head(d, &g->head);
    sl->head_n = g->head.n;
    buf_add(&g->bodies, buf_slice(&g->head));
    if (d->tree->n != 0)
        buf_add(&g->bodies, buf_slice(&g->region));
}

/* Nothing goes into the log that a replay would refuse. */
static enum status check_record(struct group *g, struct slice body, struct err *e)
{
    struct slice doc;
    struct purge_record p;
    struct doc_record d;
    struct revtree t;

    if (!buf_ok(&g->head) || !buf_ok(&g->bodies) || body.n > LIMIT_RECORD_BYTES)
        return err_set(e, ST_TOO_LARGE, "a document that is too large to be purged");
    TRY(purge_record_decode(g->ap.arena, body, &p, &doc, e));
    return doc_record_decode(g->ap.arena, doc, &d, &t, e);
}

static void count_purge(struct db *db, const struct docinfo *was, const struct revtree *left)
{
    struct db_counts *c = &db->staged;
    uint32_t keep = db_purged_infos_limit(db);

    commit_count(c, was, left);
    c->purge_seq++;
    if (c->purge_seq >= keep && c->purge_first < c->purge_seq - keep + 1)
        c->purge_first = c->purge_seq - keep + 1;
}

static struct doc_record doc_part(const struct commit_op *op, const struct db_counts *c,
                                  struct revtree *left)
{
    return (struct doc_record){.docid = op->docid,
                               .doc_count = c->docs,
                               .del_count = c->deleted,
                               .external_bytes = c->external_bytes,
                               .tree = left};
}

/* The slot and its record's body. */
static enum status make_record(struct group *g, struct slot *sl, struct purge *pu)
{
    struct commit_op *op = pu->op;
    struct db_counts *c = &op->db->staged, before = *c;
    struct purge_record p = {
        .flags = pu->some ? 0 : PURGE_INFO_ONLY, .revs = op->path, .nrevs = op->npath};
    struct revtree none;
    enum status st;

    group_touch(g, op->db);
    count_purge(op->db, &pu->was, &sl->tree);
    p.purge_seq = c->purge_seq;
    p.first = c->purge_first;
    random_bytes(p.uuid, sizeof(p.uuid));
    revtree_init(&none, g->ap.arena);
    sl->rec = doc_part(op, c, pu->some ? &sl->tree : &none);
    sl->rec.seq = op->seq = c->update_seq;
    sl->rec.prev_seq = pu->was.seq;
    sl->rec.docnum = pu->was.docnum;
    write_purge(g, &p, &sl->rec);
    st =
        check_record(g, slice_of(g->bodies.p + sl->body_off, g->bodies.n - sl->body_off), &op->err);
    if (st == ST_OK)
        return ST_OK;
    *c = before;
    g->bodies.n = sl->body_off;
    op->seq = 0;
    return st;
}

enum staged stage_purge(struct group *g, struct commit_op *op)
{
    struct slice key = key_db(g->ap.arena, op->db->num, KEY_INFO, op->docid);
    uint64_t h = hash64(key.p, key.n);
    struct purge pu = {.op = op};
    struct slot *sl;
    bool *gone;
    size_t place;

    if (group_find(g, key, h, &place) != NULL)
        return STAGED_LATER;
    op->st = commit_load(g, op->db, key, &pu.row, &pu.was, &op->err);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    sl = group_slot(g);
    sl->op = op;
    sl->key = key;
    sl->tree = pu.was.tree;
    pu.some = mark_leaves(g->ap.arena, &pu.was.tree, op, &gone);
    if (pu.some)
        revtree_remove_leaves(&sl->tree, gone);
    if (pu.some && sl->tree.n != 0)
        op->st = carry_winner(g, &sl->tree, &op->err);
    if (op->st == ST_OK)
        op->st = make_record(g, sl, &pu);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    sl->deleted = sl->tree.n == 0 || revtree_is_deleted(&sl->tree);
    *group_record(g) = (struct log_record){.type = LOG_PURGE, .dbnum = op->db->num, .keyhash = h};
    g->hash[place] = (uint16_t)(g->n + 1);
    group_add(g, op);
    return STAGED_RECORD;
}

/* ---- compaction ---- */

/* What is kept of the purge, if it still is. */
static enum status kept_info(struct group *g, const struct commit_op *op, struct purge_record *p,
                             struct doc_record *d, struct err *e)
{
    const struct commit_move *m = op->move;
    struct purge_info info;
    struct slice v;
    enum status st;

    *p = (struct purge_record){.first = op->db->staged.purge_first};
    d->seq = m->seq;
    d->docnum = m->docnum;
    if (m->purge_seq < p->first)
        return ST_OK;
    st = kv_get(g->s->kv, NULL, key_purge(g->ap.arena, op->db->num, m->purge_seq), g->ap.arena, &v,
                e);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    TRY(purge_info_decode(g->ap.arena, v, &info, e));
    p->purge_seq = m->purge_seq;
    p->revs = info.revs;
    p->nrevs = info.nrevs;
    memcpy(p->uuid, info.uuid, sizeof(p->uuid));
    return ST_OK;
}

enum staged stage_purge_move(struct group *g, struct commit_op *op)
{
    struct slice row, key = key_db(g->ap.arena, op->db->num, KEY_INFO, op->docid);
    uint64_t h = hash64(key.p, key.n);
    struct purge_record p;
    struct docinfo was;
    struct revtree none;
    struct doc_record d;
    size_t place;

    if (group_find(g, key, h, &place) != NULL)
        return STAGED_LATER;
    revtree_init(&none, g->ap.arena);
    d = doc_part(op, &op->db->staged, &none);
    op->st = kept_info(g, op, &p, &d, &op->err);
    if (op->st == ST_OK)
        op->st = commit_load(g, op->db, key, &row, &was, &op->err);
    if (op->st != ST_OK || (row.n != 0 && p.purge_seq == 0))
        return STAGED_NOTHING;
    p.flags = row.n != 0 ? PURGE_INFO_ONLY : 0;
    d.prev_seq = op->db->staged.update_seq;
    group_slot(g);
    write_purge(g, &p, &d);
    *group_record(g) = (struct log_record){.type = LOG_PURGE,
                                           .flags = LOG_F_MOVED,
                                           .dbnum = op->db->num,
                                           .ver = op->move->ver,
                                           .keyhash = h};
    group_add(g, op);
    return STAGED_RECORD;
}
