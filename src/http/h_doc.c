/* http/h_doc.c: the endpoints of one document, _design and _local ones included. */
#include "base/multipart.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "http/rights.h"

static bool is_local(struct slice id)
{
    return slice_starts(id, SLICE_LIT("_local/"));
}

static struct slice local_part(struct slice id)
{
    return slice_of(id.p + 7, id.n - 7);
}

/* ---- GET ---- */

struct get_opts {
    struct doc_read_opts read;
    struct slice rev;
    bool latest;
    bool plain; /* nothing that can change while the revision stays: it may have an ETag */
    const struct json *open_revs;
    bool open_all;
};

static enum status parse_atts_since(struct request *rq, struct doc_read_opts *o)
{
    const struct json *v, *item;
    struct rev *revs;

    TRY(rq_json_param(rq, "atts_since", &v));
    if (v == NULL)
        return ST_OK;
    if (v->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid list of revisions");
    v = json_unpack(rq->arena, v);
    revs = arena_array(rq->arena, (size_t)v->count + 1, sizeof(*revs));
    for (item = v->first; item != NULL; item = item->next) {
        if (item->type != JSON_STRING)
            return err_set(&rq->err, ST_BAD_REQUEST, "Invalid rev format");
        TRY(rev_parse(rq->arena, item->text, &revs[o->natts_since++], &rq->err));
    }
    o->atts_since = revs;
    o->has_atts_since = true;
    o->attachments = true;
    return ST_OK;
}

static enum status parse_read_opts(struct request *rq, struct doc_read_opts *o)
{
    o->revs = rq_flag(rq, "revs");
    o->revs_info = rq_flag(rq, "revs_info");
    o->conflicts = rq_flag(rq, "conflicts");
    o->deleted_conflicts = rq_flag(rq, "deleted_conflicts");
    o->local_seq = rq_flag(rq, "local_seq");
    o->attachments = rq_flag(rq, "attachments");
    o->att_encoding_info = rq_flag(rq, "att_encoding_info");
    if (rq_flag(rq, "meta"))
        o->revs_info = o->conflicts = o->deleted_conflicts = true;
    return parse_atts_since(rq, o);
}

static enum status parse_open_revs(struct request *rq, struct get_opts *o)
{
    const struct slice *v = rq_param(rq, "open_revs");

    if (v == NULL)
        return ST_OK;
    if (slice_eq(*v, SLICE_LIT("all"))) {
        o->open_all = true;
        return ST_OK;
    }
    TRY(rq_json_param(rq, "open_revs", &o->open_revs));
    if (o->open_revs->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid list of revisions");
    if (o->open_revs->count == 0) /* CouchDB: as if it was not asked for */
        o->open_revs = NULL;
    return ST_OK;
}

enum status rq_read_rev(struct request *rq, struct slice *out)
{
    const struct slice *rev = rq_param(rq, "rev");

    *out = rev != NULL ? *rev : SLICE_LIT("");
    return rev == NULL || rev->n != 0 ? ST_OK
                                      : err_set(&rq->err, ST_BAD_REQUEST, "Invalid rev format");
}

static enum status parse_get(struct request *rq, struct get_opts *o)
{
    struct slice rev;

    TRY(parse_read_opts(rq, &o->read));
    o->latest = rq_flag(rq, "latest");
    TRY(parse_open_revs(rq, o));
    TRY(rq_read_rev(rq, &rev));
    if (!o->latest) /* CouchDB: latest with a plain rev serves the winner */
        o->rev = rev;
    o->plain = !o->read.revs_info && !o->read.conflicts && !o->read.deleted_conflicts &&
               !o->read.local_seq;
    return ST_OK;
}

static enum status get_open_revs(struct request *rq, struct reply *rp, struct db *db,
                                 const struct get_opts *o)
{
    struct slice *revs = NULL;
    uint32_t n = 0;

    if (!o->open_all) {
        const struct json *list = json_unpack(rq->arena, o->open_revs);

        revs = arena_array(rq->arena, (size_t)list->count + 1, sizeof(*revs));
        for (const struct json *v = list->first; v != NULL; v = v->next) {
            if (v->type != JSON_STRING)
                return err_set(&rq->err, ST_BAD_REQUEST, "Invalid rev format");
            revs[n++] = v->text;
        }
    }
    if (reply_accepts(rq_header(rq, "Accept"), SLICE_LIT("multipart/mixed"))) {
        struct doc_open want = {.revs = revs, .nrevs = n, .all = o->open_all, .latest = o->latest};

        return reply_mixed(rq, rp, db, &want, &o->read);
    }
    TRY(doc_open_revs(db, rq_arg(rq, "docid"), revs, n, o->open_all, o->latest, &o->read, rq->arena,
                      &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* Its revision may be that of another content (A.11): the tag is of what is sent. */
static enum status get_local(struct request *rq, struct reply *rp, struct db *db)
{
    struct rev rev;

    TRY(doc_local_read(db, local_part(rq_arg(rq, "docid")), rq->arena, &rp->body, &rev, &rq->err));
    reply_tagged(rq, rp);
    return ST_OK;
}

/* As far as the request tells. */
static bool is_one_small(const struct request *rq, const struct get_opts *o)
{
    return o->plain && !o->read.revs && !o->read.attachments && !o->open_all &&
           o->open_revs == NULL && !is_local(rq_arg(rq, "docid"));
}

static enum status write_revision(struct request *rq, struct reply *rp, struct db *db,
                                  struct docinfo *info, int node, const struct doc_read_opts *o)
{
    if (o->attachments && reply_accepts(rq_header(rq, "Accept"), SLICE_LIT("multipart/related")))
        return reply_related(rq, rp, db, info, node, o);
    TRY(doc_write_json(db, rq_arg(rq, "docid"), info, node, o, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* GET /{db}/{docid} */
enum status h_doc_get(struct request *rq, struct reply *rp)
{
    struct get_opts o = {.plain = true};
    struct docinfo info;
    struct slice rev;
    struct db *db;
    int node;

    TRY(rq_db(rq, &db));
    if (rights_limited(rq))
        return rights_read_user(rq, rp, db);
    if (rq->nparams != 0)
        TRY(parse_get(rq, &o));
    if (rq->at_once && !is_one_small(rq, &o)) {
        rq_elsewhere(rq, h_doc_get);
        return ST_OK;
    }
    if (o.open_all || o.open_revs != NULL) /* of a _local document none: it has no tree */
        return get_open_revs(rq, rp, db, &o);
    if (is_local(rq_arg(rq, "docid")))
        return get_local(rq, rp, db);
    TRY(doc_find(db, rq_arg(rq, "docid"), o.rev, rq->arena, &info, &node, &rq->err));
    if (rq->at_once && info.tree.nodes[node].ptr.len > LIMIT_AT_ONCE_BYTES) {
        rq_elsewhere(rq, h_doc_get);
        return ST_OK;
    }
    rev = rev_text(rq->arena, &info.tree.nodes[node].rev);
    if (o.plain && rq_none_match(rq, rev)) {
        reply_etag(rp, rev);
        rp->code = 304;
        return ST_OK;
    }
    TRY(write_revision(rq, rp, db, &info, node, &o.read));
    if (o.plain)
        reply_etag(rp, rev);
    return ST_OK;
}

/* ---- writing ---- */

void reply_written(struct request *rq, struct reply *rp, const struct commit_op *op)
{
    struct slice id = doc_op_id(rq->arena, op), rev = doc_op_rev(rq->arena, op);
    struct slice name = db_name(op->db), att = rq_arg(rq, "att");
    struct buf where;

    buf_str(&rp->body, "{\"ok\":true,\"id\":");
    json_write_str(&rp->body, id);
    buf_str(&rp->body, ",\"rev\":");
    json_write_str(&rp->body, rev);
    buf_char(&rp->body, '}');
    buf_init(&where, 4 * (id.n + name.n + att.n) + 8);
    buf_char(&where, '/');
    percent_encode(&where, name);
    buf_char(&where, '/');
    if (slice_starts(id, SLICE_LIT("_design/"))) {
        buf_str(&where, "_design/");
        id = slice_of(id.p + 8, id.n - 8);
    }
    percent_encode(&where, id);
    buf_str(&where, att.n != 0 ? "/" : "");
    percent_encode(&where, att);
    if (op->kind == COMMIT_DOC) {
        reply_header(rp, "Location", buf_slice(&where));
        reply_etag(rp, rev);
    }
    buf_free(&where);
}

/* Nothing waits to be written: the client only learns less. */
static bool is_batch(const struct request *rq)
{
    const struct slice *v = rq_param(rq, "batch");

    return v != NULL && slice_eq(*v, SLICE_LIT("ok"));
}

static enum status write_outcome(struct request *rq, struct reply *rp, unsigned code)
{
    struct commit_op *op = rq->batch.ops;

    TRY(rq_outcome(rq, op));
    if (code == 201 && is_batch(rq)) {
        buf_str(&rp->body, "{\"ok\":true,\"id\":");
        json_write_str(&rp->body, doc_op_id(rq->arena, op));
        buf_char(&rp->body, '}');
        code = 202;
    } else {
        reply_written(rq, rp, op);
    }
    reply_body(rp, code);
    return ST_OK;
}

/* A tombstone is 200, but by POST, as CouchDB has it. */
static enum status doc_created(struct request *rq, struct reply *rp)
{
    bool deleted = rq->batch.ops->deleted && rq->method == M_PUT;

    return write_outcome(rq, rp, deleted ? 200 : 201);
}

static enum status doc_deleted(struct request *rq, struct reply *rp)
{
    return write_outcome(rq, rp, 200);
}

/* WRITE PATH 3/8: request to struct doc_edit. */
static enum status edit(struct request *rq, struct doc_edit *ed, handler_fn next)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));
    const struct slice *new_edits = rq_param(rq, "new_edits");
    struct db *db;

    TRY(rq_db(rq, &db));
    ed->new_edits = new_edits == NULL || !slice_eq(*new_edits, SLICE_LIT("false"));
    if (ed->id.n != 0) /* a POST names a revision in its document only */
        TRY(rq_rev(rq, &ed->rev));
    TRY(rq_edit_prepare(rq, db, ed, op));
    rq_commit(rq, op, 1, next);
    return ST_OK;
}

/* A document in parts does not fit into memory; any other is collected. */
enum status doc_body_begin(struct request *rq, struct reply *rp)
{
    (void)rp;
    TRY(rights_may_edit(rq, rq_arg(rq, "docid")));
    return multipart_is(rq_header(rq, "Content-Type"), SLICE_LIT("multipart/related"))
               ? related_begin(rq)
               : ST_OK;
}

static enum status doc_body(struct request *rq, struct doc_edit *ed)
{
    if (rq->sink != NULL)
        TRY(related_end(rq, ed));
    else
        TRY(rq_json(rq, &ed->doc));
    if (ed->doc->type != JSON_OBJECT)
        return err_set(&rq->err, ST_BAD_REQUEST, "Document must be a JSON object");
    return ST_OK;
}

/* PUT /{db}/{docid} */
enum status h_doc_put(struct request *rq, struct reply *rp)
{
    struct doc_edit ed = {.id = rq_arg(rq, "docid")};

    (void)rp;
    TRY(doc_body(rq, &ed));
    return edit(rq, &ed, doc_created);
}

/* POST /{db} */
enum status h_doc_post(struct request *rq, struct reply *rp)
{
    struct doc_edit ed = {0};

    (void)rp;
    TRY(doc_body(rq, &ed));
    return edit(rq, &ed, doc_created);
}

/* DELETE /{db}/{docid} */
enum status h_doc_delete(struct request *rq, struct reply *rp)
{
    struct doc_edit ed = {.id = rq_arg(rq, "docid"), .delete_it = true};

    (void)rp;
    return edit(rq, &ed, doc_deleted);
}
