/* http/send.c: answers on their way out. Runs on libmicrohttpd's pool threads, but for
 * exchange_resume: no disk, no locks of others.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/metrics.h"
#include "base/text.h"
#include "http/exchange.h"

/* What libmicrohttpd sets aside for a stream to a client that takes no chunks; others get pieces as
 * large as their connection's memory. */
enum { HTTP10_BLOCK = 1 << 10 };

/* JSON is called JSON whatever the client accepts, as CouchDB has it. */
static const char *content_type(const struct exchange *x)
{
    return x->rp.content_type != NULL ? x->rp.content_type : "application/json";
}

static bool names_header(const struct reply *rp, const char *name)
{
    for (const struct reply_header *h = rp->headers; h != NULL; h = h->next)
        if (strcmp(h->name, name) == 0)
            return true;
    return false;
}

static void add_headers(struct MHD_Response *r, const struct exchange *x)
{
    const struct reply *rp = &x->rp;
    bool minimal = slice_ieq(rq_header(&x->rq, "Prefer"), SLICE_LIT("return=minimal"));
    char ms[24];

    (void)snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(x->body_us / 1000));
    MHD_add_response_header(r, "Server", "Divan");
    if (!minimal) {
        MHD_add_response_header(r, "X-Couch-Request-ID", x->request_id);
        MHD_add_response_header(r, "X-CouchDB-Body-Time", ms);
    }
    if (!names_header(rp, "Cache-Control"))
        MHD_add_response_header(r, "Cache-Control", "must-revalidate");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (rp->code != 304)
        MHD_add_response_header(r, "Content-Type", content_type(x));
    for (const struct reply_header *h = rp->headers; h != NULL; h = h->next)
        if (!minimal || strcmp(h->name, "Location") != 0)
            MHD_add_response_header(r, h->name, h->value);
}

/* Ends the connection in the middle of an answer. libmicrohttpd (0.9.75) forgets one that fails
 * here, until it is its oldest; one that cannot be written to it closes at once. So a byte is left
 * that will not be sent. */
static ssize_t cut_off(const struct exchange *x, char *out)
{
    (void)shutdown(client_socket(x->client), SHUT_RDWR);
    *out = '\n';
    return 1;
}

/* Pieces of a stream: sends what a worker made; when it is sent, the connection is suspended until
 * the next one is there, or (direct.c) the last one is sent. After feed_wait x belongs to others.
 */
static ssize_t content_reader(void *cls, uint64_t pos, char *out, size_t max)
{
    struct exchange *x = cls;
    size_t left;

    (void)pos;
    switch ((enum feed_state)atomic_load(&x->feed)) {
    case FEED_READY:
        left = x->piece.n - x->piece_off;
        if (left > max)
            left = max;
        memcpy(out, x->piece.p + x->piece_off, left);
        x->piece_off += left;
        metrics_add(METRIC_RESPONSE_BYTES, left);
        if (x->piece_off == x->piece.n)
            atomic_store(&x->feed, FEED_IDLE);
        return (ssize_t)left;
    case FEED_IDLE:
        if (x->next == STREAM_DONE)
            return MHD_CONTENT_READER_END_OF_STREAM;
        atomic_store(&x->feed, FEED_PRODUCING);
        if (x->next == STREAM_WAIT || x->chunked)
            mem_discard(out, max); /* most of the connection's memory: who waits holds little */
        MHD_suspend_connection(x->conn);
        feed_wait(x);
        return 0;
    case FEED_PRODUCING: /* not while suspended */
    case FEED_FAILED:
        return cut_off(x, out);
    case FEED_ENDED:
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    return cut_off(x, out);
}

static void free_body(void *cls)
{
    struct buf *b = cls;

    buf_free(b);
    mem_free(b);
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct reply *rp = &x->rp;
    static char none[1];
    struct buf *b;

    x->chunked &= rp->stream != NULL && !rp->stream->sized;
    /* To HEAD libmicrohttpd would send the last chunk of a chunked body: the client would read it
     * as the next answer. CouchDB says "Content-Length: 0" there too. */
    if (rp->stream != NULL && (x->rq.method != M_HEAD || rp->stream->sized))
        return MHD_create_response_from_callback(
            rp->stream->sized ? rp->stream->size : MHD_SIZE_UNKNOWN,
            rp->stream->sized ? LIMIT_STREAM_CHUNK / 2 : HTTP10_BLOCK, content_reader, x, NULL);
    if (rp->body.n == 0)
        return MHD_create_response_from_buffer(0, none, MHD_RESPMEM_PERSISTENT);
    if (x->rq.method != M_HEAD)
        metrics_add(METRIC_RESPONSE_BYTES, rp->body.n);
    b = mem_alloc(sizeof(*b));
    *b = rp->body;
    buf_init(&rp->body, b->max);
    return MHD_create_response_from_buffer_with_free_callback_cls(b->n, b->p, free_body, b);
}

bool exchange_send(struct exchange *x)
{
    struct MHD_Response *r = make_response(x);
    enum MHD_Result ok;

    if (r == NULL)
        return false;
    add_headers(r, x);
    metrics_status(x->rp.code);
    atomic_store(&x->state, EX_SENDING);
    ok = MHD_queue_response(x->conn, x->rp.code, r);
    MHD_destroy_response(r);
    return ok == MHD_YES;
}

void exchange_resume(struct exchange *x)
{
    MHD_resume_connection(x->conn);
}
