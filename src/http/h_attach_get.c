/* http/h_attach_get.c: GET and HEAD of an attachment (couchdb-surface A.10): whole, one range, or
 * multipart/byteranges; bytes that were stored compressed go out so, or inflated. A stream: at most
 * a piece of it is in memory. Runs on workers.
 */
#include "base/digest.h"
#include "base/gzip.h"
#include "base/limits.h"
#include "base/multipart.h"
#include "base/text.h"
#include "couch/att_io.h"
#include "couch/doc_read.h"
#include "http/handlers.h"
#include "http/ranges.h"
#include "http/rights.h"
#include "http/stream.h"

enum { OPEN_TRIES = 8 };

struct att_answer {
    struct stream s;
    struct att_reader *reader;
    struct att att;
    struct range ranges[RANGES_MAX];
    uint32_t n, at; /* ranges; the present one */
    uint64_t sent;  /* of it */
    bool parts;     /* multipart/byteranges */
    char boundary[MULTIPART_BOUNDARY_BYTES + 1];
    struct gunzip *gz; /* NULL: as stored */
    struct buf stored; /* what it has not taken yet */
    size_t taken;
};

/* ---- pieces ---- */

static void part_head(struct att_answer *w, const struct range *r, struct buf *out)
{
    buf_str(out, "\r\nContent-Type: ");
    buf_add(out, w->att.type);
    buf_printf(out, "\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n", (unsigned long long)r->from,
               (unsigned long long)(r->from + r->n - 1), (unsigned long long)w->att.len);
}

static enum status read_exactly(struct att_answer *w, uint64_t off, size_t n, struct buf *out,
                                struct err *e)
{
    size_t before = out->n;

    TRY(att_reader_read(w->reader, off, n, out, e));
    return out->n - before == n ? ST_OK : err_set(e, ST_CORRUPT, "an attachment ends too early");
}

static enum status add_range(struct att_answer *w, struct buf *out, struct err *e)
{
    const struct range *r = &w->ranges[w->at];
    uint64_t left = r->n - w->sent, room = LIMIT_STREAM_CHUNK - out->n;
    size_t n = (size_t)(left < room ? left : room);

    if (w->parts && w->sent == 0)
        part_head(w, r, out);
    TRY(read_exactly(w, r->from + w->sent, n, out, e));
    w->sent += n;
    if (w->sent < r->n)
        return ST_OK;
    w->sent = 0;
    w->at++;
    if (w->parts)
        multipart_next(out, w->boundary);
    return ST_OK;
}

static enum status ranges_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                  struct err *e)
{
    struct att_answer *w = (struct att_answer *)(void *)s;

    if (w->parts && w->at == 0 && w->sent == 0)
        multipart_begin(out, w->boundary);
    while (w->at < w->n && out->n < LIMIT_STREAM_CHUNK)
        TRY(add_range(w, out, e));
    *state = w->at < w->n ? STREAM_MORE : STREAM_DONE;
    if (w->parts && w->at == w->n)
        multipart_end(out);
    return ST_OK;
}

/* Keeps the inflater fed. */
static enum status refill(struct att_answer *w, struct err *e)
{
    uint64_t left = w->att.stored_len - w->sent;
    size_t n = (size_t)(left < LIMIT_STREAM_CHUNK ? left : LIMIT_STREAM_CHUNK);

    buf_clear(&w->stored);
    w->taken = 0;
    TRY(read_exactly(w, w->sent, n, &w->stored, e));
    w->sent += n;
    return ST_OK;
}

static enum status inflate_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                   struct err *e)
{
    struct att_answer *w = (struct att_answer *)(void *)s;

    while (out->n < LIMIT_STREAM_CHUNK && gunzip_len(w->gz) < w->att.len) {
        struct slice in;

        if (w->taken == w->stored.n && w->sent < w->att.stored_len)
            TRY(refill(w, e));
        in = slice_of(w->stored.p + w->taken, w->stored.n - w->taken);
        size_t before = out->n, had = in.n;

        if (!gunzip_run(w->gz, &in, LIMIT_STREAM_CHUNK - out->n, out) ||
            (had == 0 && out->n == before))
            return err_set(e, ST_CORRUPT, "a stored attachment does not inflate");
        w->taken += had - in.n;
    }
    *state = gunzip_len(w->gz) < w->att.len ? STREAM_MORE : STREAM_DONE;
    return ST_OK;
}

/* ---- the answer ---- */

static void answer_free(struct stream *s)
{
    (void)s; /* goes with the request */
}

static void release_answer(void *arg)
{
    struct att_answer *w = arg;

    att_reader_close(w->reader);
    gunzip_free(w->gz);
    buf_free(&w->stored);
}

/* Collected since its entry was read: the document has changed meanwhile. */
static enum status open_att(struct request *rq, struct att_answer *w)
{
    enum status st = ST_NOT_FOUND;
    struct slice rev;
    struct db *db;
    struct rev at;

    TRY(rq_db(rq, &db));
    TRY(rq_read_rev(rq, &rev));
    for (int i = 0; i < OPEN_TRIES && st == ST_NOT_FOUND; i++) {
        TRY(doc_att(db, rq_arg(rq, "docid"), rev, rq_arg(rq, "att"), rq->arena, &w->att, &at,
                    &rq->err));
        st = rq->method == M_HEAD ? ST_OK : att_reader_open(db, &w->att, &w->reader, &rq->err);
    }
    return st;
}

static void att_headers(struct request *rq, struct reply *rp, const struct att *att,
                        struct slice etag)
{
    reply_etag(rp, etag);
    rp->content_type = arena_cstr(rq->arena, att->type);
    reply_header(rp, "Content-Security-Policy", SLICE_LIT("sandbox"));
    reply_header(rp, "Accept-Ranges",
                 att->encoding == ATT_GZIP ? SLICE_LIT("none") : SLICE_LIT("bytes"));
}

static void send_whole(struct att_answer *w, uint64_t n)
{
    w->ranges[0] = (struct range){0, n};
    w->n = n != 0 ? 1 : 0;
    w->s.size = n;
}

/* The bytes as the client can take them: stored gzip as it is, or inflated. */
static void send_gzip(struct request *rq, struct reply *rp, struct att_answer *w)
{
    if (reply_accepts_coding(rq_header(rq, "Accept-Encoding"), SLICE_LIT("gzip"))) {
        reply_header(rp, "Content-Encoding", SLICE_LIT("gzip"));
        send_whole(w, w->att.stored_len);
        return;
    }
    w->gz = gunzip_new();
    w->s.produce = inflate_produce;
    w->s.size = w->att.len;
}

static void send_ranges(struct request *rq, struct reply *rp, struct att_answer *w)
{
    const struct range *r = &w->ranges[0];
    struct buf heads;

    rp->code = 206;
    w->s.size = r->n;
    if (w->n == 1) {
        reply_header(rp, "Content-Range",
                     arena_printf(rq->arena, "bytes %llu-%llu/%llu", (unsigned long long)r->from,
                                  (unsigned long long)(r->from + r->n - 1),
                                  (unsigned long long)w->att.len));
        return;
    }
    w->parts = true;
    multipart_boundary_new(w->boundary);
    rp->content_type =
        arena_printf(rq->arena, "multipart/byteranges; boundary=\"%s\"", w->boundary).p;
    buf_init(&heads, LIMIT_STREAM_CHUNK);
    multipart_begin(&heads, w->boundary);
    for (uint32_t i = 0; i < w->n; i++) {
        part_head(w, &w->ranges[i], &heads);
        multipart_next(&heads, w->boundary);
        w->s.size += i != 0 ? w->ranges[i].n : 0;
    }
    multipart_end(&heads);
    w->s.size += heads.n;
    buf_free(&heads);
}

static enum status send_bytes(struct request *rq, struct reply *rp, struct att_answer *w)
{
    struct slice range = rq_header(rq, "Range");

    if (w->att.encoding == ATT_GZIP) {
        send_gzip(rq, rp, w);
        return ST_OK;
    }
    switch (ranges_parse(range, w->att.len, w->ranges, &w->n)) {
    case RANGES_NONE:
        send_whole(w, w->att.len);
        return ST_OK;
    case RANGES_SOME:
        send_ranges(rq, rp, w);
        return ST_OK;
    case RANGES_OUTSIDE:
        break;
    }
    rq->range_of = w->att.len;
    return err_set(&rq->err, ST_RANGE, "Requested range not satisfiable");
}

/* GET /{db}/{docid}/{att} */
enum status h_att_get(struct request *rq, struct reply *rp)
{
    struct att_answer *w = arena_zalloc(rq->arena, sizeof(*w));
    struct slice docid = rq_arg(rq, "docid"), etag;
    char md5_text[32];

    if (slice_starts(docid, SLICE_LIT("_local/")))
        return err_set(&rq->err, ST_BAD_REQUEST, "_local documents do not accept attachments.");
    TRY(rights_may_read(rq, docid));
    w->s = (struct stream){.produce = ranges_produce, .free = answer_free, .sized = true};
    buf_init(&w->stored, LIMIT_STREAM_CHUNK);
    arena_defer(rq->arena, release_answer, w);
    rq->waits_for_disk = true;
    TRY(open_att(rq, w));
    base64_encode(w->att.md5, sizeof(w->att.md5), md5_text);
    etag = slice_of(md5_text, base64_encoded_len(sizeof(w->att.md5)));
    att_headers(rq, rp, &w->att, etag);
    if (rq_none_match(rq, etag)) {
        rp->code = 304;
        return ST_OK;
    }
    TRY(send_bytes(rq, rp, w));
    rp->stream = &w->s;
    return ST_OK;
}
