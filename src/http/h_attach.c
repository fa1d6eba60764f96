/* http/h_attach.c: standalone attachments (couchdb-surface A.10). Bytes pass through memory,
 * bounded by LIMIT_ATT_BYTES. */
#include "base/digest.h"
#include "base/gzip.h"
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "http/rights.h"

static void att_headers(struct request *rq, struct reply *rp, const struct att *att,
                        struct slice etag)
{
    reply_etag(rp, etag);
    rp->content_type = arena_cstr(rq->arena, att->type);
    reply_header(rp, "Content-Security-Policy", SLICE_LIT("sandbox"));
    reply_header(rp, "Accept-Ranges",
                 att->encoding == ATT_GZIP ? SLICE_LIT("none") : SLICE_LIT("bytes"));
}

/* "bytes=a-b", "bytes=a-", "bytes=-n" against a length: the first byte and how many. 0: no range
 * that we serve, the whole is sent; -1: outside. */
static int parse_range(struct slice v, uint64_t len, uint64_t *from, uint64_t *n)
{
    const char *dash;
    struct slice a, b;
    uint64_t lo = 0, hi = 0;

    if (v.n < 7 || !slice_ieq(slice_of(v.p, 6), SLICE_LIT("bytes=")))
        return 0;
    v = slice_of(v.p + 6, v.n - 6);
    dash = memchr(v.p, '-', v.n);
    if (dash == NULL || memchr(v.p, ',', v.n) != NULL)
        return 0;
    a = slice_trim(slice_of(v.p, (size_t)(dash - v.p)));
    b = slice_trim(slice_of(dash + 1, (size_t)(v.p + v.n - dash - 1)));
    if ((a.n != 0 && !parse_u64(a, &lo)) || (b.n != 0 && !parse_u64(b, &hi)) || a.n + b.n == 0)
        return 0;
    if (a.n == 0) { /* the last hi bytes */
        lo = hi < len ? len - hi : 0;
        hi = len - 1;
    } else if (b.n == 0 || hi >= len) {
        hi = b.n != 0 && hi < lo ? hi : len - 1;
    }
    if (lo >= len || hi < lo)
        return -1;
    *from = lo;
    *n = hi - lo + 1;
    return *n == len ? 0 : 1;
}

static enum status send_range(struct request *rq, struct reply *rp, uint64_t from, uint64_t n)
{
    uint64_t len = rp->body.n;
    struct slice text = arena_printf(rq->arena, "bytes %llu-%llu/%llu", (unsigned long long)from,
                                     (unsigned long long)(from + n - 1), (unsigned long long)len);

    memmove(rp->body.p, rp->body.p + from, n);
    rp->body.n = n;
    reply_header(rp, "Content-Range", text);
    rp->code = 206;
    return ST_OK;
}

/* The bytes as the client can take them: stored gzip as it is, or inflated. */
static enum status send_bytes(struct request *rq, struct reply *rp, struct db *db,
                              const struct att *att)
{
    struct slice accept = rq_header(rq, "Accept-Encoding");
    struct buf stored;
    enum status st;

    if (att->encoding != ATT_GZIP)
        return doc_att_data(db, att, &rp->body, &rq->err);
    if (accept.n != 0 && strstr(accept.p, "gzip") != NULL) {
        reply_header(rp, "Content-Encoding", SLICE_LIT("gzip"));
        return doc_att_data(db, att, &rp->body, &rq->err);
    }
    buf_init(&stored, LIMIT_INFLATED_BYTES);
    st = doc_att_data(db, att, &stored, &rq->err);
    if (st == ST_OK && !gzip_inflate(buf_slice(&stored), LIMIT_INFLATED_BYTES, &rp->body))
        st = err_set(&rq->err, ST_CORRUPT, "a stored attachment does not inflate");
    buf_free(&stored);
    return st;
}

static enum status refuse_local(struct request *rq)
{
    if (!slice_starts(rq_arg(rq, "docid"), SLICE_LIT("_local/")))
        return ST_OK;
    return err_set(&rq->err, ST_BAD_REQUEST, "_local documents do not accept attachments.");
}

/* GET /{db}/{docid}/{att} */
enum status h_att_get(struct request *rq, struct reply *rp)
{
    const struct slice *rev = rq_param(rq, "rev");
    struct slice range = rq_header(rq, "Range"), etag;
    uint64_t from = 0, n = 0;
    char md5_text[32];
    struct rev at;
    struct att att;
    struct db *db;
    int want = 0;

    TRY(refuse_local(rq));
    TRY(rights_may_read(rq, rq_arg(rq, "docid")));
    TRY(rq_db(rq, &db));
    TRY(doc_att(db, rq_arg(rq, "docid"), rev != NULL ? *rev : slice_of(NULL, 0), rq_arg(rq, "att"),
                rq->arena, &att, &at, &rq->err));
    base64_encode(att.md5, sizeof(att.md5), md5_text);
    etag = slice_of(md5_text, base64_encoded_len(sizeof(att.md5)));
    if (range.n != 0 && att.encoding != ATT_GZIP)
        want = parse_range(range, att.len, &from, &n);
    if (want < 0) {
        rq->range_of = att.len;
        return err_set(&rq->err, ST_RANGE, "Requested range not satisfiable");
    }
    att_headers(rq, rp, &att, etag);
    if (rq_none_match(rq, etag)) {
        rp->code = 304;
        return ST_OK;
    }
    TRY(send_bytes(rq, rp, db, &att));
    rp->code = 200;
    return want > 0 && rp->body.n == att.len ? send_range(rq, rp, from, n) : ST_OK;
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
    TRY(rq_edit_prepare(rq, db, &ed, op));
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
    TRY(refuse_local(rq));
    if (slice_starts(rq_arg(rq, "att"), SLICE_LIT("_")))
        return err_set(
            &rq->err, ST_BAD_REQUEST, "Attachment name '%.*s' starts with prohibited character '_'",
            (int)(rq_arg(rq, "att").n < 100 ? rq_arg(rq, "att").n : 100), rq_arg(rq, "att").p);
    TRY(check_encoding(rq));
    if (rq->body.n > LIMIT_ATT_BYTES)
        return err_word(&rq->err, ST_TOO_LARGE, "attachment_too_large",
                        "an attachment may have %llu bytes", LIMIT_ATT_BYTES);
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
    TRY(refuse_local(rq));
    att->name = rq_arg(rq, "att");
    return edit_att(rq, att, true);
}
