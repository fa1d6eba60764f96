/* couch/doc_write.c: from a client's edit to an operation for the committer: which revision is the
 * parent, what the new one is called, what its body is (couchdb-surface C.3, C.4). What is found
 * out here about the present tree is an early answer; the committer checks again under its own
 * order. Entered by workers; one arena per call's user. */
#include "couch/doc_write.h"

#include "base/text.h"
#include "couch/att_io.h"
#include "couch/doc_priv.h"
#include "couch/partition.h"
#include "couch/store_priv.h"

/* The record around body and attachments: head and tree. */
enum { RECORD_MARGIN = 2 << 20, REV_ID_BYTES = 16 };
#define DIFFERENT_REVS "Document rev from request body and query string have different values"

struct edit {
    struct db *db;
    struct arena *a;
    const struct doc_edit *in;
    struct commit_op *op;
    const struct json *doc; /* for the revision's hash; never NULL after edit_parse */
    struct doc_parts parts;
    struct slice id;
    const struct rev *given; /* the revision that the client named; NULL: none */
    struct docinfo info;
    bool exists;
    int parent;             /* node; -1: none */
    struct doc_body source; /* body of the revision that stubs refer to */
    bool has_source;
    bool lenient; /* the revision is known already: stubs do not matter */
};

bool doc_error_is_row(enum status st)
{
    return st == ST_CONFLICT || st == ST_NOT_FOUND || st == ST_MISSING_STUB || st == ST_FORBIDDEN ||
           st ==
               ST_BAD_DDOC; /* CouchDB looks at design documents one by one, at their own writes */
}

struct slice doc_op_id(struct arena *a, const struct commit_op *op)
{
    if (op->kind != COMMIT_LOCAL)
        return op->docid;
    char *p = arena_alloc(a, LOCAL_PREFIX.n + op->docid.n);
    memcpy(p, LOCAL_PREFIX.p, LOCAL_PREFIX.n);
    memcpy(p + LOCAL_PREFIX.n, op->docid.p, op->docid.n);
    return slice_of(p, LOCAL_PREFIX.n + op->docid.n);
}

struct slice doc_op_rev(struct arena *a, const struct commit_op *op)
{
    return rev_text(a, op->kind == COMMIT_LOCAL ? &op->local_rev : &op->path[0]);
}

static enum status conflict(struct err *e)
{
    return err_set(e, ST_CONFLICT, "Document update conflict.");
}

/* ---- what the client sent ---- */

static enum status choose_id(struct edit *w, bool *local, struct err *e)
{
    const struct json *id = w->in->doc != NULL ? json_get(w->in->doc, "_id") : NULL;

    if (w->in->id.n > 0) {
        w->id = w->in->id;
    } else if (id == NULL && w->in->doc != NULL) {
        char *made = arena_alloc(w->a, 33);

        doc_uuid(made);
        w->id = slice_of(made, 32);
    } else if (json_is(id, JSON_STRING)) {
        w->id = id->text;
    } else if (w->in->doc == NULL) {
        return err_word(e, ST_BAD_REQUEST, "illegal_docid", "Document id must not be empty");
    }
    *local = doc_is_local(w->id);
    return ST_OK;
}

/* The document's parts, and the body's size. */
static enum status edit_parse(struct edit *w, bool local, struct err *e)
{
    w->doc = w->in->doc;
    if (w->doc == NULL) {
        w->doc = json_object(w->a);
        w->parts.json = SLICE_LIT("{}");
        w->parts.deleted = w->in->delete_it;
    } else {
        TRY(doc_parse(w->a, w->doc, local, &w->parts, e));
        w->parts.deleted |= w->in->delete_it;
        if (w->parts.has_id && !slice_eq(w->parts.id, w->id))
            TRY(doc_id_check(w->parts.id, e));
    }
    TRY(doc_id_check(w->id, e));
    if (db_partitioned(w->db))
        TRY(partition_check_id(w->id, e));
    if (w->parts.json.n > store_max_doc(db_store(w->db))) {
        struct slice id = doc_clip(w->id, 256);
        return err_word(e, ST_TOO_LARGE, "document_too_large", "%.*s", (int)id.n, id.p);
    }
    return ST_OK;
}

/* One revision out of ?rev= (or If-Match) and the document's own. */
static enum status choose_rev(struct edit *w, struct err *e)
{
    struct rev *r;

    w->given = w->parts.npath > 0 ? &w->parts.path[0] : NULL;
    if (w->in->rev.n == 0)
        return ST_OK;
    r = arena_alloc(w->a, sizeof *r);
    TRY(rev_parse(w->a, w->in->rev, r, e));
    if (w->given != NULL && !rev_eq(w->given, r))
        return err_set(e, ST_BAD_REQUEST, DIFFERENT_REVS);
    if (w->given == NULL) {
        w->given = r;
        w->parts.path = r;
        w->parts.npath = 1;
    }
    return ST_OK;
}

/* ---- body ---- */

static enum status load_source(struct edit *w, int node, struct err *e)
{
    const struct revnode *n = &w->info.tree.nodes[node];

    if (!n->has_body)
        return ST_OK;
    TRY(doc_load_rev(w->db, w->id, n, w->a, &w->source, e));
    w->has_source = true;
    return ST_OK;
}

static enum status check_total(const struct doc_body *b, struct err *e)
{
    uint64_t total = b->json.n;

    for (uint32_t i = 0; i < b->natts; i++)
        total += b->atts[i].data.n;
    if (total > LIMIT_RECORD_BYTES - RECORD_MARGIN)
        return err_word(e, ST_TOO_LARGE, "too_large",
                        "the document and its new attachments are too large together");
    return ST_OK;
}

/* Large bytes go into a blob; a blob that is shared, or was written by the caller, stays at least
 * until the operation is done: so long the arena lives. */
static enum status place_att(struct edit *w, struct att *t, struct err *e)
{
    struct slice id = doc_clip(w->id, 100), name = doc_clip(t->name, 100);
    enum status st;

    if (t->data.p != NULL && t->data.n > store_max_att(db_store(w->db)))
        return doc_att_too_large(t->name, e);
    if (t->data.p != NULL)
        return att_store_large(w->db, w->a, t, e);
    if (!seg_is_blob(t->ptr.seg))
        return ST_OK;
    st = blobs_pin_arena(db_store(w->db)->blobs, t->ptr.seg, w->a, e);
    return st != ST_NOT_FOUND
               ? st
               : err_set(e, ST_MISSING_STUB, "Invalid attachment stub in %.*s for %.*s", (int)id.n,
                         id.p, (int)name.n, name.p);
}

static enum status build_body(struct edit *w, uint32_t gen, struct err *e)
{
    struct att_source src = {.arena = w->a,
                             .docid = w->id,
                             .new_edits = w->op->new_edits,
                             .gen = gen,
                             .from = w->has_source ? &w->source : NULL,
                             .lenient = w->lenient,
                             .follows = w->in->follows,
                             .nfollows = w->in->nfollows};

    w->op->body.json = w->parts.json;
    if (w->in->att == NULL)
        TRY(doc_atts_build(&src, w->parts.atts, &w->op->body, e));
    else if (w->in->att_delete)
        TRY(doc_atts_remove(&src, w->in->att->name, &w->op->body, e));
    else
        TRY(doc_atts_put(&src, w->in->att, &w->op->body, e));
    for (uint32_t i = 0; i < w->op->body.natts; i++)
        TRY(place_att(w, &w->op->body.atts[i], e));
    return w->op->body.natts > 0 ? check_total(&w->op->body, e) : ST_OK;
}

/* ---- interactive edits ---- */

static enum status gone(const struct edit *w, struct err *e)
{
    return err_set(e, ST_NOT_FOUND, w->exists ? "deleted" : "missing");
}

/* Who names no revision hears first whether the attachment is there, as CouchDB has it. */
static enum status refuse_att_delete(struct edit *w, struct err *e)
{
    TRY(load_source(w, revtree_winner(&w->info.tree), e));
    return w->has_source && doc_atts_find(&w->source, w->in->att->name) >= 0
               ? conflict(e)
               : err_set(e, ST_NOT_FOUND, "Document is missing attachment");
}

/* w->parent, or why there is none. */
static enum status find_parent(struct edit *w, struct err *e)
{
    bool dead = w->exists && (w->info.flags & DOCINFO_DELETED) != 0;

    w->parent = -1;
    if ((!w->exists || dead) && (w->in->delete_it || (w->in->att_delete && w->given == NULL)))
        return gone(w, e);
    if (!w->exists)
        return w->given != NULL ? conflict(e) : ST_OK;
    if (dead && w->parts.deleted)
        return conflict(e);
    if (w->given != NULL) {
        w->parent = revtree_find(&w->info.tree, w->given);
        if (w->parent < 0 || !w->info.tree.nodes[w->parent].leaf)
            return conflict(e);
        return ST_OK;
    }
    if (!dead)
        return w->in->att_delete ? refuse_att_delete(w, e) : conflict(e);
    w->parent = revtree_winner(&w->info.tree);
    return ST_OK;
}

/* A standalone attachment keeps the body of the revision it is put on. */
static enum status adopt_body(struct edit *w, struct err *e)
{
    if (!w->has_source)
        return ST_OK;
    w->parts.json = w->source.json;
    return json_parse(w->a, w->source.json, &w->doc, e);
}

static void name_revision(struct edit *w, const struct rev *parent)
{
    const struct doc_body *b = &w->op->body;
    struct rev *path = arena_array(w->a, 2, sizeof *path);
    struct rev_att *atts = NULL;

    if (b->natts > 0)
        atts = arena_array(w->a, b->natts, sizeof *atts);
    for (uint32_t i = 0; i < b->natts; i++) {
        atts[i].name = b->atts[i].name;
        atts[i].type = b->atts[i].type;
        memcpy(atts[i].md5, b->atts[i].md5, sizeof atts[i].md5);
    }
    rev_make(parent, w->parts.deleted, w->doc, atts, b->natts, arena_alloc(w->a, REV_ID_BYTES),
             &path[0]);
    path[1] = *parent;
    w->op->path = path;
    w->op->npath = w->parent >= 0 ? 2 : 1;
}

/* Reads w->info. */
static enum status look_up(struct edit *w, struct err *e)
{
    struct commit_seen *seen = &w->op->seen;

    seen->lsn = store_applied(db_store(w->db)); /* before the row */
    TRY(doc_lookup_row(w->db, w->id, w->a, &seen->row, &w->info, e));
    seen->read = true;
    w->exists = seen->row.n != 0;
    return ST_OK;
}

static enum status prepare_interactive(struct edit *w, struct err *e)
{
    struct rev parent = {0};

    TRY(look_up(w, e));
    TRY(find_parent(w, e));
    if (w->parent >= 0)
        parent = w->info.tree.nodes[w->parent].rev;
    if (parent.gen >= LIMIT_REV_GEN)
        return err_set(e, ST_BAD_REQUEST, "the revision's generation is too high");
    /* What is re-created over a tombstone that was not named starts without attachments. */
    if (w->parent >= 0 && w->given != NULL &&
        (w->in->att != NULL || doc_atts_need_source(w->parts.atts)))
        TRY(load_source(w, w->parent, e));
    if (w->in->att != NULL)
        TRY(adopt_body(w, e));
    TRY(build_body(w, parent.gen + 1, e));
    name_revision(w, &parent);
    return ST_OK;
}

/* ---- replicated revisions ---- */

/* The nearest revision on the path that is here with a body. When the newest is here already,
 * nothing will be written, and stubs need not lead anywhere. */
static enum status find_source(struct edit *w, struct err *e)
{
    TRY(look_up(w, e));
    if (!w->exists)
        return ST_OK;
    for (uint32_t i = 0; i < w->op->npath; i++) {
        int at = revtree_find(&w->info.tree, &w->op->path[i]);

        if (at < 0)
            continue;
        if (i == 0)
            w->lenient = true;
        at = revtree_body_above(&w->info.tree, at);
        if (at >= 0) /* else the path may go on above a root that stemming made */
            return load_source(w, at, e);
    }
    return ST_OK;
}

static enum status prepare_replicated(struct edit *w, struct err *e)
{
    if (w->parts.npath == 0)
        return err_set(e, ST_BAD_REQUEST,
                       "When `new_edits: false`, the document needs `_rev` or `_revisions` "
                       "specified");
    if (w->parts.path[w->parts.npath - 1].gen == 0)
        return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
    w->op->path = w->parts.path;
    w->op->npath = w->parts.npath;
    if (doc_atts_need_source(w->parts.atts))
        TRY(find_source(w, e));
    return build_body(w, w->op->path[0].gen, e);
}

/* ---- _local ---- */

/* No history and no check of what was there: N is one more than the client says (A.11). */
static enum status prepare_local(struct edit *w, struct err *e)
{
    uint64_t n = 0, other = 0;
    bool found;

    if (w->in->att != NULL)
        return err_set(e, ST_BAD_REQUEST, "_local documents do not accept attachments.");
    TRY(edit_parse(w, true, e));
    if (w->parts.rev_text.p != NULL)
        TRY(doc_local_rev(w->parts.rev_text, &n, e));
    if (w->in->rev.n > 0) {
        TRY(doc_local_rev(w->in->rev, &other, e));
        if (w->parts.rev_text.p != NULL && n != other)
            return err_set(e, ST_BAD_REQUEST, DIFFERENT_REVS);
        n = other;
    }
    w->op->kind = COMMIT_LOCAL;
    w->op->docid = slice_of(w->id.p + LOCAL_PREFIX.n, w->id.n - LOCAL_PREFIX.n);
    w->op->deleted = w->parts.deleted;
    w->op->body.json = w->parts.json;
    w->op->local_rev = (struct rev){.id = SLICE_LIT("0")};
    if (!w->parts.deleted) {
        w->op->local_rev.id = arena_printf(w->a, "%llu", (unsigned long long)n + 1);
        return ST_OK;
    }
    TRY(doc_local_exists(w->db, w->op->docid, w->a, &found, e));
    return found ? ST_OK : err_set(e, ST_NOT_FOUND, "missing");
}

enum status doc_edit_check(struct db *db, struct arena *a, const struct doc_edit *ed, struct err *e)
{
    struct edit w = {.db = db, .a = a, .in = ed, .id = ed->id, .parent = -1};

    TRY(doc_id_check(w.id, e));
    TRY(choose_rev(&w, e));
    TRY(doc_lookup(db, NULL, w.id, a, &w.info, &w.exists, e));
    return find_parent(&w, e);
}

/* WRITE PATH 4/8: validate, make the body's bytes and the revision id. */
enum status doc_edit_prepare(struct db *db, struct arena *a, const struct doc_edit *ed,
                             struct commit_op *op, struct err *e)
{
    struct edit w = {.db = db, .a = a, .in = ed, .op = op, .parent = -1};
    bool local = false;

    *op = (struct commit_op){.kind = COMMIT_DOC, .db = db};
    op->new_edits = ed->new_edits || ed->att != NULL;
    if (ed->doc != NULL && ed->doc->type != JSON_OBJECT)
        return err_set(e, ST_BAD_REQUEST, "Document must be a JSON object");
    TRY(choose_id(&w, &local, e));
    if (local)
        return prepare_local(&w, e);
    TRY(edit_parse(&w, false, e));
    TRY(choose_rev(&w, e));
    op->docid = w.id;
    op->deleted = w.parts.deleted;
    TRY(op->new_edits ? prepare_interactive(&w, e) : prepare_replicated(&w, e));
    return store_validate(db_store(db), op, ed->user, e);
}
