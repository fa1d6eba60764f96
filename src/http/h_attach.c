/* http/h_attach.c: standalone attachments (couchdb-surface A.10). Bytes pass through memory,
 * bounded by LIMIT_ATT_BYTES. */
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/handlers.h"

static void att_headers(struct request *rq, struct reply *rp, const struct att *att,
                        struct slice etag)
{
    reply_etag(rp, etag);
    rp->content_type = arena_cstr(rq->arena, att->type);
    reply_header(rp, "Content-Security-Policy", SLICE_LIT("sandbox"));
    reply_header(rp, "Accept-Ranges", SLICE_LIT("none"));
    if (att->encoding == ATT_GZIP)
        reply_header(rp, "Content-Encoding", SLICE_LIT("gzip"));
}

/* GET /{db}/{docid}/{att} */
enum status h_att_get(struct request *rq, struct reply *rp)
{
    const struct slice *rev_param = rq_param(rq, "rev");
    struct slice rev = rev_param != NULL ? *rev_param : slice_of(NULL, 0);
    struct slice none_match = rq_header(rq, "If-None-Match");
    char md5_text[32];
    struct slice etag;
    struct rev at;
    struct att att;
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(doc_att(db, rq_arg(rq, "docid"), rev, rq_arg(rq, "att"), rq->arena, &att, &at, &rq->err));
    base64_encode(att.md5, sizeof(att.md5), md5_text);
    etag = slice_of(md5_text, base64_encoded_len(sizeof(att.md5)));
    att_headers(rq, rp, &att, etag);
    if (none_match.n == etag.n + 2 && memcmp(none_match.p + 1, etag.p, etag.n) == 0) {
        rp->code = 304;
        return ST_OK;
    }
    TRY(doc_att_data(db, &att, &rp->body, &rq->err));
    rp->code = 200;
    return ST_OK;
}

static enum status att_written(struct request *rq, struct reply *rp)
{
    struct commit_op *op = rq->batch.ops;

    if (op->st != ST_OK) {
        rq->err = op->err;
        return op->st;
    }
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
    TRY(doc_edit_prepare(db, rq->arena, &ed, op, &rq->err));
    rq_commit(rq, op, 1, att_written);
    return ST_OK;
}

static enum status check_encoding(struct request *rq)
{
    struct slice enc = rq_header(rq, "Content-Encoding");

    if (enc.n == 0 || slice_ieq(enc, SLICE_LIT("identity")))
        return ST_OK;
    return err_word(&rq->err, ST_MEDIA_TYPE, "unsupported_media_type",
                    "Only identity encoding is supported here, not %.*s", (int)enc.n, enc.p);
}

/* PUT /{db}/{docid}/{att} */
enum status h_att_put(struct request *rq, struct reply *rp)
{
    struct slice type = rq_header(rq, "Content-Type");
    struct att *att = arena_zalloc(rq->arena, sizeof(*att));

    (void)rp;
    if (slice_starts(rq_arg(rq, "docid"), SLICE_LIT("_local/")))
        return err_set(&rq->err, ST_BAD_REQUEST, "_local documents do not accept attachments.");
    TRY(check_encoding(rq));
    if (rq->body.n > LIMIT_ATT_BYTES)
        return err_word(&rq->err, ST_TOO_LARGE, "attachment_too_large", "%.*s",
                        (int)(rq_arg(rq, "att").n & 255), rq_arg(rq, "att").p);
    att->name = rq_arg(rq, "att");
    att->type = type.n != 0 ? type : SLICE_LIT("application/octet-stream");
    att->data = rq->body.p != NULL ? rq->body : SLICE_LIT("");
    att->len = att->stored_len = rq->body.n;
    md5(att->data.p, att->data.n, att->md5);
    return edit_att(rq, att, false);
}

/* DELETE /{db}/{docid}/{att} */
enum status h_att_delete(struct request *rq, struct reply *rp)
{
    struct att *att = arena_zalloc(rq->arena, sizeof(*att));

    (void)rp;
    att->name = rq_arg(rq, "att");
    return edit_att(rq, att, true);
}
