/* http/h_copy.c: COPY /{db}/{docid}: a document under another id of the same database, with its
 * attachments. Runs on workers.
 */
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "http/rights.h"

/* Destination: "id" or "id?rev=revision of what is there", escaped like a path. */
static enum status parse_destination(struct request *rq, struct doc_edit *ed)
{
    struct slice to = slice_trim(rq_header(rq, "Destination")), query = slice_of(NULL, 0);
    const char *mark;
    bool ok;

    if (to.n == 0)
        return err_set(&rq->err, ST_BAD_REQUEST, "Destination header is mandatory for COPY.");
    if (slice_starts(to, SLICE_LIT("http://")) || slice_starts(to, SLICE_LIT("https://")))
        return err_set(&rq->err, ST_BAD_REQUEST, "Destination URL must be relative.");
    mark = memchr(to.p, '?', to.n);
    if (mark != NULL) {
        query = slice_of(mark + 1, (size_t)(to.p + to.n - mark - 1));
        to.n = (size_t)(mark - to.p);
    }
    ok = percent_decode(rq->arena, to, true, &ed->id);
    if (ok && slice_starts(query, SLICE_LIT("rev=")))
        ok = percent_decode(rq->arena, slice_of(query.p + 4, query.n - 4), false, &ed->rev);
    else if (query.n != 0)
        ok = false;
    if (!ok)
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid Destination header");
    return doc_id_check(ed->id, &rq->err);
}

/* The bytes that doc_write_json left out, in its order; what lies in a blob is shared. */
static enum status load_attachments(struct request *rq, struct db *db, const struct doc_follows *f,
                                    struct doc_edit *ed)
{
    struct att *atts = arena_array(rq->arena, (size_t)f->n + 1, sizeof(*atts));
    uint64_t total = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        struct buf b;
        enum status st;

        atts[i] = f->atts[i];
        if (seg_is_blob(atts[i].ptr.seg))
            continue;
        buf_init(&b, LIMIT_RECORD_BYTES);
        st = doc_att_data(db, &f->atts[i], &b, &rq->err);
        if (st == ST_OK)
            atts[i].data = arena_dup(rq->arena, buf_slice(&b));
        total += b.n;
        buf_free(&b);
        TRY(st);
        if (total > LIMIT_RECORD_BYTES)
            return err_set(&rq->err, ST_TOO_LARGE, "the attachments are too large together");
    }
    ed->follows = atts;
    ed->nfollows = f->n;
    return ST_OK;
}

static enum status read_source(struct request *rq, struct db *db, struct doc_edit *ed,
                               struct buf *text)
{
    struct slice id = rq_arg(rq, "docid"), rev;
    struct doc_follows follows = {0};
    struct doc_read_opts opts = {.follows = &follows};
    struct docinfo info;
    struct rev at;
    int node;

    TRY(rq_read_rev(rq, &rev));
    if (slice_starts(id, SLICE_LIT("_local/")))
        return doc_local_read(db, slice_of(id.p + 7, id.n - 7), rq->arena, text, &at, &rq->err);
    TRY(doc_find(db, id, rev, rq->arena, &info, &node, &rq->err));
    TRY(doc_write_json(db, id, &info, node, &opts, rq->arena, text, &rq->err));
    return load_attachments(rq, db, &follows, ed);
}

/* The source's members without what belongs to its place. */
static enum status parse_source(struct request *rq, struct slice text, struct doc_edit *ed)
{
    struct json *copy = json_object(rq->arena);
    const struct json *doc;

    TRY(json_parse(rq->arena, arena_dup(rq->arena, text), &doc, &rq->err));
    for (const struct json *v = doc->first; v != NULL; v = v->next)
        if (!slice_eq(v->key, SLICE_LIT("_id")) && !slice_eq(v->key, SLICE_LIT("_rev")))
            json_put_key(rq->arena, copy, v->key, v);
    ed->doc = copy;
    return ST_OK;
}

static enum status copied(struct request *rq, struct reply *rp)
{
    struct commit_op *op = rq->batch.ops;

    TRY(rq_outcome(rq, op));
    reply_written(rq, rp, op);
    reply_body(rp, 201);
    return ST_OK;
}

/* COPY /{db}/{docid} */
enum status h_doc_copy(struct request *rq, struct reply *rp)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));
    struct doc_edit ed = {.new_edits = true};
    enum status st;
    struct db *db;
    struct buf text;

    (void)rp;
    TRY(rq_db(rq, &db));
    TRY(parse_destination(rq, &ed));
    buf_init(&text, LIMIT_RECORD_BYTES);
    st = read_source(rq, db, &ed, &text);
    if (st == ST_OK)
        st = parse_source(rq, buf_slice(&text), &ed);
    buf_free(&text);
    TRY(st);
    TRY(rq_edit_prepare(rq, db, &ed, op));
    rq_commit(rq, op, 1, copied);
    return ST_OK;
}
