/* couch/doc_read.c: finds a document, a revision of it, its body, its attachments. Entered by
 * workers. */
#include "couch/doc_read.h"

#include "base/metrics.h"
#include "couch/att_io.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"

static enum status not_found(struct err *e, const char *reason)
{
    (void)err_set(e, ST_NOT_FOUND, "%s", reason);
    return ST_NOT_FOUND;
}

/* NOLINTNEXTLINE(readability-function-size): doc_info's parameters and one more */
static enum status lookup(struct db *db, const struct kv_snap *snap, struct slice id,
                          struct arena *a, struct slice *row, struct docinfo *out, struct err *e)
{
    struct slice key = key_db(a, db_num(db), KEY_INFO, id);
    enum status st = kv_get(store_kv(db_store(db)), snap, key, a, row, e);

    if (st == ST_NOT_FOUND) {
        *row = SLICE_LIT("");
        return ST_OK;
    }
    TRY(st);
    TRY(docinfo_decode(a, *row, out, e));
    docinfo_hide_old(db, out);
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): doc_info's parameters and one more */
enum status doc_lookup(struct db *db, const struct kv_snap *snap, struct slice id, struct arena *a,
                       struct docinfo *out, bool *found, struct err *e)
{
    struct slice row;

    TRY(lookup(db, snap, id, a, &row, out, e));
    *found = row.n != 0;
    return ST_OK;
}

enum status doc_lookup_row(struct db *db, struct slice id, struct arena *a, struct slice *row,
                           struct docinfo *out, struct err *e)
{
    return lookup(db, NULL, id, a, row, out, e);
}

enum status doc_info(struct db *db, const struct kv_snap *snap, struct slice id, struct arena *a,
                     struct docinfo *out, struct err *e)
{
    bool found;

    TRY(doc_lookup(db, snap, id, a, out, &found, e));
    return found ? ST_OK : not_found(e, "missing");
}

enum status doc_load_body(struct db *db, const struct seg_ptr *p, struct arena *a,
                          struct doc_body *out, struct err *e)
{
    if (p->len > LIMIT_RECORD_BYTES)
        return err_set(e, ST_CORRUPT, "a body of %u bytes", p->len);
    char *bytes = arena_alloc(a, p->len);
    TRY(log_read(store_log(db_store(db)), p, bytes, e));
    metrics_add(METRIC_DOC_READS, 1);
    return doc_body_decode(a, slice_of(bytes, p->len), p, out, e);
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_load_again(struct db *db, struct slice id, const struct rev *want, bool exact,
                           struct arena *a, struct doc_again *out, struct err *e)
{
    enum status st = ST_NOT_FOUND;
    bool found;

    for (int i = 0; i < AGAIN_MAX && st == ST_NOT_FOUND; i++) {
        TRY(doc_lookup(db, NULL, id, a, &out->info, &found, e));
        if (!found)
            return not_found(e, "missing");
        out->node = revtree_find(&out->info.tree, want);
        if (!exact && (out->node < 0 || !out->info.tree.nodes[out->node].has_body))
            out->node = revtree_winner(&out->info.tree);
        if (out->node < 0 || !out->info.tree.nodes[out->node].has_body)
            return not_found(e, "missing");
        st = doc_load_body(db, &out->info.tree.nodes[out->node].ptr, a, &out->body, e);
    }
    return st;
}

enum status doc_load_rev(struct db *db, struct slice id, const struct revnode *n, struct arena *a,
                         struct doc_body *out, struct err *e)
{
    struct doc_again again;
    enum status st = doc_load_body(db, &n->ptr, a, out, e);

    if (st != ST_NOT_FOUND)
        return st;
    TRY(doc_load_again(db, id, &n->rev, true, a, &again, e));
    *out = again.body;
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_winner(struct db *db, struct slice id, struct arena *a, struct docinfo *info,
                       struct doc_body *body, struct err *e)
{
    enum status st = ST_NOT_FOUND;

    for (int i = 0; i < AGAIN_MAX && st == ST_NOT_FOUND; i++) {
        TRY(doc_info(db, NULL, id, a, info, e));
        st = doc_load_body(db, &info->winner_ptr, a, body, e);
    }
    /* not "it is not there": a caller would believe it */
    return st != ST_NOT_FOUND ? st : err_set(e, ST_CORRUPT, "a body in a segment that is gone");
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_write_json(struct db *db, struct slice id, const struct docinfo *info, int node,
                           const struct doc_read_opts *opts, struct arena *a, struct buf *out,
                           struct err *e)
{
    const struct revnode *n = &info->tree.nodes[node];
    struct doc_again again;
    enum status st;
    struct doc_body body;
    struct doc_view v = {.id = id,
                         .rev = &n->rev,
                         .deleted = n->deleted,
                         .body = &body,
                         .opts = opts,
                         .info = info,
                         .node = node};

    if (!n->has_body)
        return not_found(e, "missing");
    st = doc_load_body(db, &n->ptr, a, &body, e);
    if (st == ST_NOT_FOUND) {
        TRY(doc_load_again(db, id, &n->rev, true, a, &again, e));
        body = again.body;
        v.info = &again.info;
        v.node = again.node;
    } else {
        TRY(st);
    }
    return doc_view_write(db, &v, a, out, e);
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_find(struct db *db, struct slice id, struct slice rev, struct arena *a,
                     struct docinfo *info, int *node, struct err *e)
{
    struct rev r;

    if (rev.n > 0)
        TRY(rev_parse(a, rev, &r, e));
    TRY(doc_info(db, NULL, id, a, info, e));
    if (rev.n == 0) {
        *node = revtree_winner(&info->tree);
        if ((info->flags & DOCINFO_DELETED) != 0)
            return not_found(e, "deleted");
    } else {
        *node = revtree_find(&info->tree, &r);
    }
    if (*node < 0 || !info->tree.nodes[*node].has_body)
        return not_found(e, "missing");
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_att(struct db *db, struct slice id, struct slice rev, struct slice name,
                    struct arena *a, struct att *out, struct rev *at_rev, struct err *e)
{
    struct docinfo info;
    struct doc_body body = {0};
    int node, at;

    TRY(doc_find(db, id, rev, a, &info, &node, e));
    TRY(doc_load_rev(db, id, &info.tree.nodes[node], a, &body, e));
    at = doc_atts_find(&body, name);
    if (at < 0 || body.atts == NULL)
        return not_found(e, "Document is missing attachment");
    *out = body.atts[at];
    *at_rev = info.tree.nodes[node].rev;
    return ST_OK;
}

enum status doc_att_data(struct db *db, const struct att *att, struct buf *out, struct err *e)
{
    if (att->stored_len == 0)
        return ST_OK;
    if (seg_is_blob(att->ptr.seg))
        return att_read_all(db, att, out, e);
    if (att->ptr.len != att->stored_len)
        return err_set(e, ST_CORRUPT, "an attachment's lengths disagree");
    void *p = buf_extend(out, att->ptr.len);
    if (p == NULL)
        return err_word(e, ST_TOO_LARGE, "attachment_too_large", "the attachment is too large");
    return log_read(store_log(db_store(db)), &att->ptr, p, e);
}
