/* http/h_attach.c: standalone attachments (couchdb-surface A.10) on their way in: PUT and DELETE;
 * GET is in h_attach_get.c. The bytes of a PUT go piece by piece to an att_upload. */
#include "base/limits.h"
#include "base/text.h"
#include "couch/att_upload.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "http/rights.h"

struct att_sink {
    struct sink s;
    struct att_upload *up;
};

static enum status refuse_local(struct request *rq)
{
    if (!slice_starts(rq_arg(rq, "docid"), SLICE_LIT("_local/")))
        return ST_OK;
    return err_set(&rq->err, ST_BAD_REQUEST, "_local documents do not accept attachments.");
}

static enum status att_written(struct request *rq, struct reply *rp)
{
    struct commit_op *op = rq->batch.ops;

    TRY(rq_outcome(rq, op));
    reply_written(rq, rp, op);
    reply_body(rp, rq->method == M_DELETE ? 200 : 201);
    return ST_OK;
}

static enum status edit_att(struct request *rq, const struct att *att, bool delete_it)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));
    struct doc_edit ed = {
        .id = rq_arg(rq, "docid"), .new_edits = true, .att = att, .att_delete = delete_it};
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(rq_rev(rq, &ed.rev));
    TRY(rq_edit_prepare(rq, db, &ed, op));
    rq_commit(rq, op, 1, att_written);
    return ST_OK;
}

/* ---- PUT /{db}/{docid}/{att} ---- */

static enum status check_encoding(struct request *rq, bool *gzip)
{
    struct slice enc = rq_header(rq, "Content-Encoding");

    *gzip = slice_ieq(enc, SLICE_LIT("gzip"));
    if (*gzip || enc.n == 0 || slice_ieq(enc, SLICE_LIT("identity")))
        return ST_OK;
    return err_set(&rq->err, ST_MEDIA_TYPE,
                   "Only gzip and identity content-encodings are supported");
}

/* As far as it can be said without the bytes. */
static enum status check_edit(struct request *rq, struct db *db)
{
    static const struct att any;
    struct doc_edit ed = {.id = rq_arg(rq, "docid"), .new_edits = true, .att = &any};
    struct slice len = rq_header(rq, "Content-Length"), name = rq_arg(rq, "att");
    uint64_t n, max = store_max_att(db_store(db));

    if (slice_starts(name, SLICE_LIT("_")))
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "Attachment name '%.*s' starts with prohibited character '_'",
                       (int)(name.n < 100 ? name.n : 100), name.p);
    if (len.n != 0 && parse_u64(len, &n) && n > max)
        return err_word(&rq->err, ST_TOO_LARGE, "attachment_too_large",
                        "an attachment may have %llu bytes", (unsigned long long)max);
    TRY(rights_may_edit(rq, ed.id));
    TRY(rq_rev(rq, &ed.rev));
    if (rights_limited(rq)) /* whose document it is comes first */
        return ST_OK;
    return doc_edit_check(db, rq->arena, &ed, &rq->err);
}

static enum status sink_add(struct sink *s, struct slice bytes, struct err *e)
{
    return att_upload_add(((struct att_sink *)(void *)s)->up, bytes, e);
}

static void free_sink(void *arg)
{
    att_upload_free(((struct att_sink *)arg)->up);
}

enum status att_put_begin(struct request *rq, struct reply *rp)
{
    struct att_sink *s = arena_zalloc(rq->arena, sizeof(*s));
    struct db *db;
    bool gzip;

    (void)rp;
    TRY(refuse_local(rq));
    TRY(check_encoding(rq, &gzip));
    TRY(rq_db(rq, &db));
    TRY(check_edit(rq, db));
    TRY(att_upload_open(db, rq_arg(rq, "att"), gzip, &s->up, &rq->err));
    arena_defer(rq->arena, free_sink, s);
    s->s.add = sink_add;
    rq->sink = &s->s;
    rq->waits_for_disk = true;
    return ST_OK;
}

enum status h_att_put(struct request *rq, struct reply *rp)
{
    struct att_sink *s = (struct att_sink *)(void *)rq->sink;
    struct slice type = rq_header(rq, "Content-Type");
    struct att *att = arena_zalloc(rq->arena, sizeof(*att));

    (void)rp;
    TRY(att_upload_end(s->up, rq->arena, att, &rq->err));
    if (rq_header(rq, "Content-Encoding").n == 4 && att->encoding != ATT_GZIP)
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid attachment data: it is not gzip");
    att->name = rq_arg(rq, "att");
    att->type = type.n != 0 ? type : SLICE_LIT("application/octet-stream");
    return edit_att(rq, att, false);
}

/* DELETE /{db}/{docid}/{att} */
enum status h_att_delete(struct request *rq, struct reply *rp)
{
    struct att *att = arena_zalloc(rq->arena, sizeof(*att));

    (void)rp;
    TRY(refuse_local(rq));
    att->name = rq_arg(rq, "att");
    return edit_att(rq, att, true);
}
