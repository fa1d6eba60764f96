/* couch/commit_doc.c: stages one document operation: the rules of revisions against the present
 * tree, the new tree, the record. Runs on the committer, the serialisation point of all writes.
 *
 * A document that the group writes already is checked against the group's version of it. If the
 * second operation would write as well it starts the next group: its record must hold absolute
 * pointers to the bodies of the first one, and those are known only after the log has it.
 */
#include "base/digest.h"
#include "couch/commit_priv.h"

static size_t hash_slot(uint64_t h)
{
    return (size_t)h & (GROUP_HASH - 1);
}

/* The slot of this document in the group, or NULL and the place to note it at. */
static struct slot *find_in_group(struct group *g, struct slice key, uint64_t h, size_t *place)
{
    size_t i = hash_slot(h);

    for (; g->hash[i] != 0; i = (i + 1) & (GROUP_HASH - 1)) {
        struct slot *sl = &g->slots[g->hash[i] - 1];

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

/* The new revision into the tree, its body's pointer set as far as it is known. */
static enum status change_tree(struct group *g, struct revtree *t, const struct commit_op *op,
                               int parent, struct err *e)
{
    int leaf;

    if (op->new_edits)
        leaf = revtree_add_child(t, parent, &op->path[0], op->deleted);
    else if (!revtree_merge(t, op->path, op->npath, op->deleted, &leaf))
        return err_set(e, ST_INTERNAL, "a revision that was not there is there");
    buf_clear(&g->region);
    doc_body_encode(&op->body, &g->region);
    ASSERT(buf_ok(&g->region)); /* record_bound() said so */
    t->nodes[leaf].has_body = true;
    t->nodes[leaf].ptr = (struct seg_ptr){
        .seg = SEG_SELF, .len = (uint32_t)g->region.n, .crc = crc32c(0, g->region.p, g->region.n)};
    revtree_stem(t, atomic_load(&op->db->revs_limit));
    if (count_leaves(t) > LIMIT_LEAVES)
        return err_word(e, ST_TOO_LARGE, "document_too_large",
                        "A document has at most %d conflicting revisions.", LIMIT_LEAVES);
    return ST_OK;
}

/* What the database's counts will be; the old state is that of `was`. */
static void move_counts(struct db_counts *c, const struct docinfo *was, const struct slot *sl)
{
    const struct revtree *t = &sl->tree;

    if (was->seq != 0) {
        c->docs -= was->flags & DOCINFO_DELETED ? 0 : 1;
        c->deleted -= was->flags & DOCINFO_DELETED ? 1 : 0;
        c->external_bytes -= was->winner_ptr.len;
    }
    c->docs += sl->deleted ? 0 : 1;
    c->deleted += sl->deleted ? 1 : 0;
    c->external_bytes += t->nodes[revtree_winner(t)].ptr.len;
    c->update_seq++;
}

static void write_body(struct group *g, struct slot *sl)
{
    const struct commit_op *op = sl->op;

    buf_clear(&g->head);
    doc_record_encode_head(&sl->rec, &g->head);
    buf_add(&g->bodies, buf_slice(&g->head));
    buf_add(&g->bodies, buf_slice(&g->region));
    for (uint32_t i = 0; i < op->body.natts; i++)
        if (op->body.atts[i].data.p != NULL)
            buf_add(&g->bodies, op->body.atts[i].data);
    ASSERT(buf_ok(&g->head) && buf_ok(&g->bodies));
}

/* Everything about the record that follows from the new tree. */
static void make_record(struct group *g, struct slot *sl, const struct docinfo *was)
{
    struct commit_op *op = sl->op;
    struct db *db = op->db;
    int w = revtree_winner(&sl->tree);

    sl->winner_is_new = rev_eq(&sl->tree.nodes[w].rev, &op->path[0]);
    sl->deleted = revtree_is_deleted(&sl->tree);
    group_touch(g, db);
    move_counts(&db->staged, was, sl);
    sl->rec = (struct doc_record){.docid = op->docid,
                                  .seq = db->staged.update_seq,
                                  .prev_seq = was->seq,
                                  .docnum = was->seq != 0 ? was->docnum : db->staged.update_seq,
                                  .doc_count = db->staged.docs,
                                  .del_count = db->staged.deleted,
                                  .external_bytes = db->staged.external_bytes,
                                  .tree = &sl->tree};
    op->seq = sl->rec.seq;
    write_body(g, sl);
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
static bool fill_slot(struct group *g, struct slot *sl, const struct docinfo *was)
{
    struct commit_op *op = sl->op;
    struct db_counts before = op->db->staged;

    make_record(g, sl, was);
    if (is_readable(g, sl))
        return true;
    op->db->staged = before;
    g->bodies.n = sl->body_off;
    op->seq = 0;
    op->st = ST_INTERNAL;
    return false;
}

/* The document as LevelDB has it; an empty tree when it was never there. */
static enum status load(struct group *g, struct slice key, struct docinfo *d, struct err *e)
{
    struct slice v;
    enum status st = kv_get(g->s->kv, NULL, key, g->ap.arena, &v, e);

    if (st == ST_OK)
        return docinfo_decode(g->ap.arena, v, d, e);
    if (st != ST_NOT_FOUND)
        return st;
    *d = (struct docinfo){0};
    revtree_init(&d->tree, g->ap.arena);
    return ST_OK;
}

/* ST_OK: to be written. op->st otherwise; ST_OK there as well when nothing is to be written. */
static bool decide(const struct revtree *t, struct commit_op *op, int *parent)
{
    if (op->new_edits) {
        op->st = check_edit(t, op, parent, &op->err);
        return op->st == ST_OK;
    }
    *parent = REVTREE_ROOT;
    op->st = ST_OK;
    return revtree_find(t, &op->path[0]) < 0;
}

enum staged stage_doc(struct group *g, struct commit_op *op)
{
    struct slice key = key_db(g->ap.arena, op->db->num, KEY_INFO, op->docid);
    uint64_t h = hash64(key.p, key.n);
    struct docinfo was;
    struct slot *sl;
    size_t place;
    int parent;

    ASSERT(op->npath >= 1 && (!op->new_edits || op->npath <= 2));
    sl = find_in_group(g, key, h, &place);
    if (sl != NULL)
        return decide(&sl->tree, op, &parent) ? STAGED_LATER : STAGED_NOTHING;
    op->st = load(g, key, &was, &op->err);
    if (op->st != ST_OK || !decide(&was.tree, op, &parent))
        return STAGED_NOTHING;
    if (record_bound(&was.tree, op) > LIMIT_RECORD_BYTES) {
        op->st = err_word(&op->err, ST_TOO_LARGE, "document_too_large", "%.*s",
                          (int)(op->docid.n < 200 ? op->docid.n : 200), op->docid.p);
        return STAGED_NOTHING;
    }
    op->st = change_tree(g, &was.tree, op, parent, &op->err);
    if (op->st != ST_OK)
        return STAGED_NOTHING;

    sl = group_slot(g);
    sl->op = op;
    sl->key = key;
    sl->tree = was.tree;
    if (!fill_slot(g, sl, &was))
        return STAGED_NOTHING;
    *group_record(g) = (struct log_record){.type = LOG_DOC,
                                           .flags = sl->deleted ? LOG_F_TOMBSTONE : 0,
                                           .dbnum = op->db->num,
                                           .keyhash = h};
    g->hash[place] = (uint16_t)(g->n + 1);
    group_add(g, op);
    return STAGED_RECORD;
}
