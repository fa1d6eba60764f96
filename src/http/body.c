/* http/body.c: a request's body on its way in. Three ways: collected in memory, bounded; in pieces
 * to a sink (request.h), the connection suspended while a worker takes one, so that nobody reads
 * faster than the disk writes; or read and dropped, because the answer is known already.
 *
 * A request whose body may be large or must not come at all goes to a worker first (x->early):
 * rights and route are judged before the client is told "100 Continue" and before anything of the
 * body is kept. All but the two jobs runs on libmicrohttpd's pool threads.
 */
#include <microhttpd.h>

#include "base/metrics.h"
#include "base/multipart.h"
#include "base/text.h"
#include "base/time.h"
#include "http/exchange.h"

enum { BODY_PIECE = 256 << 10 };

/* ---- what the head says ---- */

struct head_look {
    unsigned framing; /* headers that say where the body ends */
    bool odd;         /* a name with a blank, a value with a bare CR: read differently elsewhere */
};

static enum MHD_Result look_at_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct head_look *l = arg;
    struct slice n = slice_of(name, strlen(name));

    (void)kind;
    l->framing += slice_ieq(n, SLICE_LIT("Content-Length"));
    l->framing += slice_ieq(n, SLICE_LIT("Transfer-Encoding"));
    l->odd |= strpbrk(name, " \t\r\v\f") != NULL;
    l->odd |= value != NULL && strpbrk(value, "\r\n") != NULL;
    return MHD_YES;
}

/* Whoever stands before us may have seen another end of the body than we: the rest of it would be
 * a request that nobody sent (RFC 9112, 11.2). */
static enum status check_framing(struct exchange *x, struct err *e)
{
    struct head_look l = {0, false};

    (void)MHD_get_connection_values(x->conn, MHD_HEADER_KIND, look_at_header, &l);
    if (l.framing > 1)
        return err_set(e, ST_BAD_REQUEST, "More than one Content-Length or Transfer-Encoding");
    return l.odd ? err_set(e, ST_BAD_REQUEST, "A header is malformed") : ST_OK;
}

/* What can be refused from the head alone; x->body_n. */
static enum status check_head(struct exchange *x, struct err *e)
{
    struct slice len = rq_header(&x->rq, "Content-Length");
    struct slice te = rq_header(&x->rq, "Transfer-Encoding");

    x->body_n = te.p != NULL ? BODY_UNKNOWN : 0;
    if (x->uri.n > LIMIT_URI_BYTES)
        return err_set(e, ST_URI_TOO_LONG, "URI longer than %d bytes", LIMIT_URI_BYTES);
    TRY(check_framing(x, e));
    if (len.p != NULL && !parse_u64(len, &x->body_n))
        return err_set(e, ST_BAD_REQUEST, "Content-Length is not a number");
    if (atomic_load(&x->http->stopping))
        return err_set(e, ST_UNAVAILABLE, "the server is stopping");
    return ST_OK;
}

/* A guess, which costs a wrong one's request a hop between threads: attachments (three slashes),
 * documents in parts, bodies that need not be sent at all. */
static bool comes_early(const struct exchange *x)
{
    struct slice uri = x->uri;
    unsigned slashes = 0;

    if (x->body_n == 0 || (x->rq.method != M_PUT && x->rq.method != M_POST))
        return false;
    if (rq_header(&x->rq, "Expect").n != 0 ||
        multipart_is(rq_header(&x->rq, "Content-Type"), SLICE_LIT("multipart/related")))
        return true;
    for (size_t i = 0; i < uri.n && uri.p[i] != '?'; i++)
        slashes += uri.p[i] == '/';
    return x->rq.method == M_PUT && slashes >= 3;
}

/* GET of one document, which is often answered at once (runner.c). Another guess. */
static bool reads_document(const struct exchange *x)
{
    struct slice uri = x->uri;
    size_t i = 1;

    if ((x->rq.method != M_GET && x->rq.method != M_HEAD) || uri.n < 4 || uri.p[1] == '_')
        return false;
    while (i < uri.n && uri.p[i] != '/' && uri.p[i] != '?')
        i++;
    if (i + 1 >= uri.n || uri.p[i] != '/' || uri.p[i + 1] == '_')
        return false;
    for (i++; i < uri.n && uri.p[i] != '?'; i++)
        if (uri.p[i] == '/')
            return false;
    return true;
}

/* An answer before the body ends in a closed connection, and one with unread bytes in it is reset:
 * the client may never see the answer. So a body that is already on its way is read and dropped,
 * if it is not absurd; a client that waits for "100 Continue" has not sent it yet. */
static bool must_drain(const struct exchange *x)
{
    return x->body_n != 0 && (x->body_n == BODY_UNKNOWN || x->body_n <= LIMIT_DRAIN_BYTES) &&
           (x->received != 0 || rq_header(&x->rq, "Expect").n == 0);
}

/* ---- refusing ---- */

static void count(struct exchange *x, size_t held)
{
    atomic_fetch_add(&x->http->inflight, held);
    atomic_fetch_sub(&x->http->inflight, x->counted);
    x->counted = held;
}

void body_refused(struct exchange *x)
{
    count(x, 0);
    buf_free(&x->body);
    x->refused = true;
    if (must_drain(x)) {
        client_phase(x->client, CLIENT_BODY);
        atomic_store(&x->state, x->early && !x->opened ? EX_ADMITTED : EX_DRAINING);
        return;
    }
    reply_header(&x->rp, "Connection", SLICE_LIT("close"));
    atomic_store(&x->state, EX_READY);
}

/* The answer is an error, without a worker. */
static void refuse(struct exchange *x, enum status st, const struct err *e)
{
    if (x->rp.arena != NULL)
        reply_fini(&x->rp);
    reply_init(&x->rp, x->rq.arena);
    reply_error(&x->rp, st, e);
    reply_header(&x->rp, "Connection", SLICE_LIT("close"));
    if (st == ST_UNAVAILABLE)
        reply_header(&x->rp, "Retry-After", SLICE_LIT("1"));
    body_refused(x);
}

static enum MHD_Result send_reply(struct exchange *x)
{
    client_phase(x->client, CLIENT_BUSY);
    return exchange_send(x) ? MHD_YES : MHD_NO;
}

/* ---- reading ---- */

static enum MHD_Result hand_to(struct pool *p, struct exchange *x, void (*run)(struct job *j))
{
    client_phase(x->client, CLIENT_BUSY);
    atomic_store(&x->state, EX_RUNNING);
    x->job.run = run;
    MHD_suspend_connection(x->conn);
    pool_push(p, &x->job);
    return MHD_YES;
}

/* To a worker; a large upload waits for the disk, in the end for all of it, where only searches
 * wait with it. */
static enum MHD_Result hand_over(struct exchange *x, void (*run)(struct job *j))
{
    bool slow = x->rq.sink != NULL && x->received >= BODY_PIECE;

    return hand_to(slow ? x->http->slow_pool : x->http->pool, x, run);
}

enum MHD_Result body_open(struct exchange *x)
{
    uint64_t n = x->body_n < LIMIT_REQUEST_BYTES ? x->body_n : 0;

    x->opened = true;
    x->body_began_us = time_mono_us();
    client_phase(x->client, CLIENT_BODY);
    atomic_store(&x->state, x->refused ? EX_DRAINING : EX_READING);
    if (x->refused)
        return MHD_YES;
    if (x->rq.sink != NULL)
        n = x->body_n < BODY_PIECE ? x->body_n : BODY_PIECE + LIMIT_CONN_MEMORY;
    buf_expect(&x->body, (size_t)n);
    return MHD_YES;
}

enum MHD_Result body_begin(struct exchange *x)
{
    struct err e;
    enum status st = check_head(x, &e);

    x->early = st == ST_OK && comes_early(x);
    if (x->early)
        return hand_over(x, exchange_run);
    if (st == ST_OK && x->body_n != BODY_UNKNOWN && x->body_n > LIMIT_REQUEST_BYTES)
        st = err_set(&e, ST_TOO_LARGE, "the request entity is too large");
    if (st == ST_OK)
        return body_open(x);
    refuse(x, st, &e);
    return atomic_load(&x->state) == EX_READY ? send_reply(x) : MHD_YES;
}

/* The sink takes what came since the last time. Worker. */
enum status body_to_sink(struct exchange *x)
{
    struct sink *s = x->rq.sink;
    enum status st = ST_OK;

    if (s == NULL)
        return ST_OK;
    if (x->body.n != 0)
        st = s->add(s, buf_slice(&x->body), &x->rq.err);
    buf_clear(&x->body);
    count(x, s->held);
    return st;
}

static void read_on(struct exchange *x)
{
    client_phase(x->client, CLIENT_BODY);
    atomic_store(&x->state, EX_READING);
    exchange_resume(x);
}

static void piece_job(struct job *j)
{
    struct exchange *x = exchange_of(j);
    enum status st = body_to_sink(x);

    if (st != ST_OK) {
        exchange_fail(x, st);
        return;
    }
    read_on(x);
}

/* A large body that is collected takes turns with what else is heavy: a pool thread that read all
 * of it in a row would keep small requests waiting, by its own work and by what it then owes
 * others. The worker also gets the memory for the next piece. */
static void turn_job(struct job *j)
{
    struct exchange *x = exchange_of(j);

    buf_ready(&x->body, BODY_PIECE);
    x->turn_at = x->body.n + BODY_PIECE;
    read_on(x);
}

enum MHD_Result body_take(struct exchange *x, const char *data, size_t n)
{
    struct err e;

    client_got(x->client, n);
    metrics_add(METRIC_REQUEST_BYTES, n);
    x->received += n;
    if (atomic_load(&x->state) == EX_DRAINING) {
        x->drained += n;
        return x->drained <= LIMIT_DRAIN_BYTES ? MHD_YES : MHD_NO;
    }
    count(x, x->counted + n);
    buf_append(&x->body, data, n);
    if (atomic_load(&x->http->inflight) > LIMIT_INFLIGHT_BYTES)
        refuse(x, err_set(&e, ST_UNAVAILABLE, "too many requests in memory"), &e);
    else if (!buf_ok(&x->body) || x->received > LIMIT_UPLOAD_BYTES)
        refuse(x, err_set(&e, ST_TOO_LARGE, "the request entity is too large"), &e);
    else if (x->rq.sink != NULL && x->body.n >= BODY_PIECE)
        return hand_over(x, piece_job);
    else if (x->body.n >= LIMIT_HEAVY_BODY && x->body.n >= x->turn_at)
        return hand_to(x->http->heavy_pool, x, turn_job);
    return atomic_load(&x->state) == EX_READY ? MHD_NO : MHD_YES;
}

enum MHD_Result body_end(struct exchange *x)
{
    if (atomic_load(&x->state) == EX_DRAINING)
        return send_reply(x);
    x->body_us = time_mono_us() - x->body_began_us;
    x->body_done = true;
    if (x->rq.sink == NULL)
        x->rq.body = buf_slice(&x->body);
    if (x->received == 0 && !x->early && reads_document(x)) {
        client_phase(x->client, CLIENT_BUSY); /* now: a worker may have it soon */
        atomic_store(&x->state, EX_RUNNING);
        return exchange_run_here(x) ? send_reply(x) : MHD_YES;
    }
    return hand_over(x, x->early ? exchange_body_done : exchange_run);
}
