/* couch/compact_doc.c: what a document still has in the segment that is emptied, and the move that
 * takes it out. Threads: the one that compacts.
 */
#include "base/bytes.h"
#include "base/digest.h"
#include "couch/compact_priv.h"

enum { MOVE_BYTES = 16 << 20 /* one move takes more leaves along only up to here */ };

/* Whether leaf i's body, or an attachment of it, lies in the segment. */
static bool leaf_is_in(const struct compact_work *w, const struct docinfo *d, uint32_t i)
{
    const struct revnode *n = &d->tree.nodes[i];

    if (!n->leaf || !n->has_body)
        return false;
    if (n->ptr.seg == w->seg)
        return true;
    for (uint32_t k = 0; k < d->natts; k++)
        if (d->atts[k].node == i && d->atts[k].seg == w->seg)
            return true;
    return false;
}

static bool doc_is_in(const struct compact_work *w, const struct docinfo *d)
{
    for (uint32_t i = 0; i < d->tree.n; i++)
        if (leaf_is_in(w, d, i))
            return true;
    return false;
}

static enum status load_att(struct compact_work *w, struct att *t, struct err *e)
{
    char *bytes;

    if (t->ptr.seg != w->seg)
        return ST_OK;
    bytes = arena_alloc(w->a, (size_t)t->ptr.len + 1);
    if (t->ptr.len != 0)
        TRY(log_read(w->s->log, &t->ptr, bytes, e));
    t->data = slice_of(bytes, t->ptr.len);
    return ST_OK;
}

enum status compact_carry_leaf(struct compact_work *w, struct revnode *n, struct err *e)
{
    char *bytes = arena_alloc(w->a, n->ptr.len);
    size_t at = w->bodies.n;
    struct doc_body b = {0};
    size_t len;

    TRY(log_read(w->s->log, &n->ptr, bytes, e));
    TRY(doc_body_decode(w->a, slice_of(bytes, n->ptr.len), &n->ptr, &b, e));
    for (uint32_t i = 0; i < b.natts; i++)
        TRY(load_att(w, &b.atts[i], e));
    doc_body_encode(&b, &w->bodies);
    len = w->bodies.n - at;
    if (!buf_ok(&w->bodies) || len != n->ptr.len)
        return err_set(e, ST_CORRUPT, "a body of %u bytes is %zu bytes when written again",
                       n->ptr.len, len);
    n->ptr =
        (struct seg_ptr){SEG_SELF, (uint32_t)at, (uint32_t)len, crc32c(0, w->bodies.p + at, len)};
    for (uint32_t i = 0; i < b.natts; i++)
        if (b.atts[i].data.p != NULL)
            buf_add(&w->bodies, b.atts[i].data);
    return buf_ok(&w->bodies) ? ST_OK : err_set(e, ST_TOO_LARGE, "a document of many large leaves");
}

/* A document as its row tells of it; ver: of the record that led to it. */
struct found {
    struct slice id, row;
    struct docinfo *info;
    uint64_t ver;
};

static enum status add_doc_move(struct compact_work *w, struct db *db, const struct found *f,
                                struct err *e)
{
    struct docinfo *d = f->info;
    struct commit_op *op;

    buf_clear(&w->bodies);
    docinfo_hide_old(db, d);
    for (uint32_t i = 0; i < d->tree.n; i++) {
        struct revnode *n = &d->tree.nodes[i];

        if (!n->leaf && n->has_body && n->ptr.seg == w->seg)
            n->has_body = false;
        if (leaf_is_in(w, d, i) && (w->bodies.n == 0 || w->bodies.n + n->ptr.len < MOVE_BYTES))
            TRY(compact_carry_leaf(w, n, e));
    }
    op = compact_next_op(w, db, MOVE_DOC, f->ver);
    op->docid = arena_dup(w->a, f->id);
    op->move->row = f->row;
    op->move->info = d;
    op->move->bodies = arena_dup(w->a, buf_slice(&w->bodies));
    w->bytes += w->bodies.n + f->row.n;
    return ST_OK;
}

enum status compact_look_doc(struct compact_work *w, struct db *db, struct slice id, uint64_t ver,
                             bool *is_in, struct err *e)
{
    struct slice row, key = key_db(w->a, db_num(db), KEY_INFO, id);
    struct docinfo *d = arena_zalloc(w->a, sizeof(*d));
    enum status st = kv_get(w->s->kv, NULL, key, w->a, &row, e);

    *is_in = false;
    w->looked++;
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    TRY(docinfo_decode(w->a, row, d, e));
    *is_in = doc_is_in(w, d);
    if (!*is_in)
        return ST_OK;
    w->needed++;
    if (w->counting)
        return ST_OK;
    return add_doc_move(w, db, &(struct found){.id = id, .row = row, .info = d, .ver = ver}, e);
}

enum status compact_look_bare(struct compact_work *w, struct db *db, const struct log_record *rec,
                              struct err *e)
{
    struct docinfo *d = arena_zalloc(w->a, sizeof(*d));
    struct doc_record said;
    struct revtree tree;
    struct slice row;
    enum status st;

    revtree_init(&tree, w->a);
    TRY(doc_record_decode(w->a, rec->body, &said, &tree, e));
    for (uint32_t i = 0; i < tree.n; i++)
        if (tree.nodes[i].has_body && tree.nodes[i].ptr.seg == SEG_SELF)
            return ST_OK;
    st = kv_get(w->s->kv, NULL, key_db(w->a, db_num(db), KEY_INFO, said.docid), w->a, &row, e);
    if (st != ST_OK)
        return st == ST_NOT_FOUND ? ST_OK : st;
    TRY(docinfo_decode(w->a, row, d, e));
    if (d->seq != said.seq)
        return ST_OK;
    buf_clear(&w->bodies);
    return add_doc_move(
        w, db, &(struct found){.id = said.docid, .row = row, .info = d, .ver = rec->ver}, e);
}
