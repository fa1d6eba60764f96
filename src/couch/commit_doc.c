/* couch/commit_doc.c: stages one document operation: the rules of revisions against the present
 * tree, the new tree, the record. Runs on the committer, the serialisation point of all writes.
 *
 * A document that the group writes already is checked against the group's version of it. Where the
 * bodies of that version will lie is known only after the log has them, and a record must be whole:
 * so the second record carries a copy of those bodies. If they are more than CARRY_MAX, the second
 * operation starts the next group instead, unless both must be in one (an atomic batch).
 */
#include "base/digest.h"
#include "couch/commit_priv.h"

enum { CARRY_MAX = 64 << 10 };

/* One operation against the document as it is. */
struct edit {
    struct commit_op *op;
    struct slice row;          /* as LevelDB has it */
    struct docinfo was;        /* an empty tree and seq 0 when it was never there */
    size_t carry_off, carry_n; /* bodies to carry along, in group.bodies */
    int parent;                /* the node that an interactive edit goes under */
};

static size_t hash_slot(uint64_t h)
{
    return (size_t)h & (GROUP_HASH - 1);
}

struct slot *group_find(struct group *g, struct slice key, uint64_t h, size_t *place)
{
    size_t i = hash_slot(h);

    for (; g->hash[i] != 0; i = (i + 1) & (GROUP_HASH - 1)) {
        struct slot *sl = &g->slots[g->hash[i] - 1];

        *place = i;
        if (g->recs[g->hash[i] - 1].keyhash == h && slice_eq(sl->key, key))
            return sl;
    }
    *place = i;
    return NULL;
}

static enum status conflict(struct err *e)
{
    return err_set(e, ST_CONFLICT, "Document update conflict.");
}

/* An interactive edit: *parent is the node it goes under. */
static enum status check_edit(const struct revtree *t, const struct commit_op *op, int *parent,
                              struct err *e)
{
    *parent = REVTREE_ROOT;
    if (op->npath == 1 && t->n != 0)
        return conflict(e);
    if (op->npath != 1) {
        *parent = revtree_find(t, &op->path[1]);
        if (*parent < 0 || !t->nodes[*parent].leaf)
            return conflict(e);
        if (op->deleted && t->nodes[*parent].deleted)
            return conflict(e);
    }
    if (revtree_find(t, &op->path[0]) >= 0)
        return conflict(e);
    return ST_OK;
}

static uint32_t count_leaves(const struct revtree *t)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n; i++)
        n += t->nodes[i].leaf ? 1 : 0;
    return n;
}

/* Bytes that head and regions take at most. */
static size_t record_bound(const struct revtree *t, const struct commit_op *op)
{
    size_t n = 256 + commit_op_bytes(op);

    for (uint32_t i = 0; i < t->n; i++)
        n += t->nodes[i].rev.id.n + 48;
    for (uint32_t i = 0; i < op->npath; i++)
        n += op->path[i].id.n + 48;
    return n;
}

static size_t data_bytes(const struct commit_op *op)
{
    size_t n = 0;

    for (uint32_t i = 0; i < op->body.natts; i++)
        n += op->body.atts[i].data.p != NULL ? op->body.atts[i].data.n : 0;
    return n;
}

/* The body of the new revision, and the places of all bodies of the record: the new one first, then
 * what is carried. */
static void place_bodies(struct group *g, struct revtree *t, const struct commit_op *op, int leaf)
{
    uint32_t after;

    buf_clear(&g->region);
    doc_body_encode(&op->body, &g->region);
    ASSERT(buf_ok(&g->region)); /* record_bound() said so */
    after = (uint32_t)(g->region.n + data_bytes(op));
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].has_body && t->nodes[i].ptr.seg == SEG_SELF)
            t->nodes[i].ptr.off += after;
    t->nodes[leaf].has_body = true;
    t->nodes[leaf].ptr = (struct seg_ptr){
        .seg = SEG_SELF, .len = (uint32_t)g->region.n, .crc = crc32c(0, g->region.p, g->region.n)};
}

/* The new revision into the tree, its body's pointer set as far as it is known. */
static enum status change_tree(struct group *g, struct edit *ed)
{
    struct revtree *t = &ed->was.tree;
    struct commit_op *op = ed->op;
    int leaf;

    if (op->new_edits)
        leaf = revtree_add_child(t, ed->parent, &op->path[0], op->deleted);
    else if (!revtree_merge(t, op->path, op->npath, op->deleted, &leaf))
        return err_set(&op->err, ST_INTERNAL, "a revision that was not there is there");
    place_bodies(g, t, op, leaf);
    revtree_stem(t, atomic_load(&op->db->revs_limit));
    if (count_leaves(t) > LIMIT_LEAVES)
        return err_word(&op->err, ST_TOO_LARGE, "document_too_large",
                        "A document has at most %d conflicting revisions.", LIMIT_LEAVES);
    return ST_OK;
}

void commit_count(struct db_counts *c, const struct docinfo *was, const struct revtree *t)
{
    if (was->seq != 0) {
        c->docs -= was->flags & DOCINFO_DELETED ? 0 : 1;
        c->deleted -= was->flags & DOCINFO_DELETED ? 1 : 0;
        c->external_bytes -= was->winner_ptr.len;
    }
    c->update_seq++;
    if (t->n == 0)
        return;
    c->docs += revtree_is_deleted(t) ? 0 : 1;
    c->deleted += revtree_is_deleted(t) ? 1 : 0;
    c->external_bytes += t->nodes[revtree_winner(t)].ptr.len;
}

static void write_body(struct group *g, struct slot *sl, const struct edit *ed)
{
    const struct commit_op *op = sl->op;
    char *copy;

    buf_clear(&g->head);
    doc_record_encode_head(&sl->rec, &g->head);
    sl->head_n = g->head.n;
    buf_add(&g->bodies, buf_slice(&g->head));
    buf_add(&g->bodies, buf_slice(&g->region));
    for (uint32_t i = 0; i < op->body.natts; i++)
        if (op->body.atts[i].data.p != NULL)
            buf_add(&g->bodies, op->body.atts[i].data);
    if (ed->carry_n != 0) {
        copy = buf_extend(&g->bodies, ed->carry_n);
        ASSERT(copy != NULL);
        memcpy(copy, g->bodies.p + ed->carry_off, ed->carry_n);
    }
    ASSERT(buf_ok(&g->head) && buf_ok(&g->bodies));
}

/* Everything about the record that follows from the new tree. */
static void make_record(struct group *g, struct slot *sl, const struct edit *ed)
{
    const struct docinfo *was = &ed->was;
    struct commit_op *op = sl->op;
    struct db *db = op->db;
    int w = revtree_winner(&sl->tree);

    sl->winner_is_new = rev_eq(&sl->tree.nodes[w].rev, &op->path[0]);
    sl->deleted = revtree_is_deleted(&sl->tree);
    group_touch(g, db);
    commit_count(&db->staged, was, &sl->tree);
    sl->rec = (struct doc_record){.docid = op->docid,
                                  .seq = db->staged.update_seq,
                                  .prev_seq = was->seq,
                                  .docnum = was->seq != 0 ? was->docnum : db->staged.update_seq,
                                  .doc_count = db->staged.docs,
                                  .del_count = db->staged.deleted,
                                  .external_bytes = db->staged.external_bytes,
                                  .tree = &sl->tree};
    op->seq = sl->rec.seq;
    write_body(g, sl, ed);
}

/* Nothing goes into the log that a replay would refuse or a reader could not read: the bytes are
 * decoded once more before they are promised. */
static bool is_readable(struct group *g, const struct slot *sl)
{
    struct slice body = slice_of(g->bodies.p + sl->body_off, g->bodies.n - sl->body_off);
    struct seg_ptr at = {.len = (uint32_t)g->region.n};
    struct doc_record rec;
    struct revtree tree;
    struct doc_body b;
    struct err *e = &sl->op->err;

    return doc_record_decode(g->ap.arena, body, &rec, &tree, e) == ST_OK &&
           doc_body_decode(g->ap.arena, buf_slice(&g->region), &at, &b, e) == ST_OK;
}

/* The slot that group_slot() gave, filled; or everything as it was. */
static bool fill_slot(struct group *g, struct slot *sl, const struct edit *ed)
{
    struct commit_op *op = sl->op;
    struct db_counts before = op->db->staged;

    make_record(g, sl, ed);
    if (is_readable(g, sl))
        return true;
    op->db->staged = before;
    g->bodies.n = sl->body_off;
    op->seq = 0;
    op->st = ST_INTERNAL;
    return false;
}

static enum status decode_row(struct group *g, struct db *db, struct slice row, struct docinfo *d,
                              struct err *e)
{
    *d = (struct docinfo){0};
    revtree_init(&d->tree, g->ap.arena);
    if (row.n == 0)
        return ST_OK;
    TRY(docinfo_decode(g->ap.arena, row, d, e));
    docinfo_hide_old(db, d);
    return ST_OK;
}

enum status commit_load(struct group *g, struct db *db, struct slice key, struct slice *row,
                        struct docinfo *d, struct err *e)
{
    enum status st = kv_get(g->s->kv, NULL, key, g->ap.arena, row, e);

    if (st == ST_NOT_FOUND)
        *row = SLICE_LIT("");
    else if (st != ST_OK)
        return st;
    return decode_row(g, db, *row, d, e);
}

/* The document as it is. The row that a worker has read is still the one when no record since then
 * was for this document, or another with the same slot: a record that LevelDB shows and `written`
 * does not know yet cannot be, as this thread does both. */
static enum status load(struct group *g, uint64_t h, struct slice key, struct edit *ed)
{
    struct commit_op *op = ed->op;

    if (!op->seen.read || g->s->written[h & (STORE_WRITTEN - 1)] > op->seen.lsn)
        return commit_load(g, op->db, key, &ed->row, &ed->was, &op->err);
    ed->row = op->seen.row;
    return decode_row(g, op->db, ed->row, &ed->was, &op->err);
}

/* The document as the group will have written it. False: too much to carry along. */
static bool load_from_group(struct group *g, const struct slot *sl, struct edit *ed)
{
    const struct revtree *t = &sl->tree;
    struct revnode *nodes;

    ed->carry_off = sl->body_off + sl->head_n;
    ed->carry_n = sl->body_n - sl->head_n;
    if (ed->carry_n > CARRY_MAX && !g->atomic)
        return false;
    nodes = arena_array(g->ap.arena, t->n, sizeof(*nodes));
    memcpy(nodes, t->nodes, t->n * sizeof(*nodes));
    for (uint32_t i = 0; i < t->n; i++)
        if (nodes[i].has_body && nodes[i].ptr.seg == SEG_SELF)
            nodes[i].ptr.off -= (uint32_t)sl->head_n;
    ed->was = (struct docinfo){.seq = sl->rec.seq,
                               .docnum = sl->rec.docnum,
                               .flags = sl->deleted ? DOCINFO_DELETED : 0,
                               .winner_ptr = nodes[revtree_winner(t)].ptr,
                               .tree = {g->ap.arena, nodes, t->n, t->n}};
    return true;
}

/* Is there something to write? If not, op->st says why; ST_OK there: it is all there already. */
static bool decide(const struct revtree *t, struct edit *ed)
{
    struct commit_op *op = ed->op;

    if (op->new_edits) {
        op->st = check_edit(t, op, &ed->parent, &op->err);
        return op->st == ST_OK;
    }
    op->st = ST_OK;
    return revtree_find(t, &op->path[0]) < 0;
}

/* STAGED_RECORD: go on. The rules against the document as it is, in the group or in LevelDB. */
static enum staged check(struct group *g, const struct slot *before, uint64_t h, struct slice key,
                         struct edit *ed)
{
    struct commit_op *op = ed->op;

    if (before != NULL && before->op->kind != COMMIT_DOC)
        return STAGED_LATER;
    if (before != NULL) {
        /* "It is there already" is no answer before the group is durable: it may yet fail. */
        if (!decide(&before->tree, ed))
            return op->st == ST_OK ? STAGED_LATER : STAGED_NOTHING;
        if (!load_from_group(g, before, ed))
            return STAGED_LATER;
    } else {
        op->st = load(g, h, key, ed);
        if (op->st != ST_OK || !decide(&ed->was.tree, ed))
            return STAGED_NOTHING;
    }
    op->st = commit_fix_atts(g, &ed->was, op);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    if (record_bound(&ed->was.tree, op) + ed->carry_n + (g->atomic ? g->bodies.n : 0) >
        LIMIT_RECORD_BYTES) {
        op->st = err_word(&op->err, ST_TOO_LARGE, "document_too_large", "%.*s",
                          (int)(op->docid.n < 200 ? op->docid.n : 200), op->docid.p);
        return STAGED_NOTHING;
    }
    op->st = change_tree(g, ed);
    return op->st == ST_OK ? STAGED_RECORD : STAGED_NOTHING;
}

enum staged stage_doc(struct group *g, struct commit_op *op)
{
    struct slice key = key_db(g->ap.arena, op->db->num, KEY_INFO, op->docid);
    uint64_t h = hash64(key.p, key.n);
    struct edit ed = {.op = op};
    struct slot *sl;
    enum staged how;
    size_t place;

    ASSERT(op->npath >= 1 && (!op->new_edits || op->npath <= 2));
    how = check(g, group_find(g, key, h, &place), h, key, &ed);
    if (how != STAGED_RECORD)
        return how;
    sl = group_slot(g);
    sl->op = op;
    sl->key = key;
    sl->was = ed.row; /* unused when the group wrote the document before */
    sl->tree = ed.was.tree;
    if (!fill_slot(g, sl, &ed))
        return STAGED_NOTHING;
    *group_record(g) = (struct log_record){.type = LOG_DOC,
                                           .flags = op->deleted ? LOG_F_TOMBSTONE : 0,
                                           .dbnum = op->db->num,
                                           .keyhash = h};
    g->hash[place] = (uint16_t)(g->n + 1);
    group_add(g, op);
    return STAGED_RECORD;
}
