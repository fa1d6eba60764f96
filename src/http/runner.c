/* http/runner.c: the worker side of a request: parse the target, find the route, see who asks and
 * whether they may, call the handler, turn what it says into an answer.
 */
#include <stddef.h>

#include "base/limits.h"
#include "http/exchange.h"
#include "http/router.h"

/* A piece is about LIMIT_STREAM_CHUNK, but one row may be a document with its attachments. */
enum { PIECE_MAX = 4 * LIMIT_REQUEST_BYTES };

static void finish(struct exchange *x)
{
    atomic_store(&x->state, EX_READY);
    exchange_resume(x);
}

static void fail(struct exchange *x, enum status st)
{
    struct err e = x->rq.err;

    reply_fini(&x->rp);
    reply_init(&x->rp, x->rq.arena);
    if (st == ST_METHOD)
        reply_header(&x->rp, "Allow", router_allow(&x->rq));
    if (st == ST_RANGE)
        reply_header(&x->rp, "Content-Range",
                     arena_printf(x->rq.arena, "bytes */%llu", (unsigned long long)x->rq.range_of));
    if (st == ST_UNAVAILABLE)
        reply_header(&x->rp, "Retry-After", SLICE_LIT("1"));
    if (st == ST_UNAUTHORIZED && rq_header(&x->rq, "X-CouchDB-WWW-Authenticate").p != NULL)
        reply_header(&x->rp, "WWW-Authenticate", rq_header(&x->rq, "X-CouchDB-WWW-Authenticate"));
    reply_error(&x->rp, st, &e);
}

/* The first piece decides the status line; a stream that ends with it is sent as a plain body. */
static enum status first_piece(struct exchange *x)
{
    if (x->piece.max == 0)
        buf_init(&x->piece, PIECE_MAX);
    TRY(feed_piece(x, &x->rq.err));
    if (x->next == STREAM_DONE) {
        buf_free(&x->rp.body);
        x->rp.body = x->piece;
        buf_init(&x->piece, PIECE_MAX);
        x->rp.stream->free(x->rp.stream);
        x->rp.stream = NULL;
        return ST_OK;
    }
    atomic_store(&x->feed, x->piece.n != 0 ? FEED_READY : FEED_IDLE);
    return ST_OK;
}

static void step(struct exchange *x, handler_fn handler);

static void next_step_job(struct job *j)
{
    struct exchange *x = (struct exchange *)(void *)((char *)j - offsetof(struct exchange, job));
    handler_fn next = x->rq.next;

    x->rq.next = NULL;
    step(x, next);
}

void rq_continue(struct request *rq)
{
    struct exchange *x = (struct exchange *)(void *)((char *)rq - offsetof(struct exchange, rq));

    x->job.run = next_step_job;
    pool_push(x->http->pool, &x->job);
}

/* After a launch the exchange belongs to what was launched: nothing here may touch it. The error
 * goes to a place of our own for the same reason. */
static void step(struct exchange *x, handler_fn handler)
{
    enum status st = handler(&x->rq, &x->rp);
    struct err e;

    if (st == ST_OK && x->rq.launch != NULL) {
        enum status (*launch)(struct request *, struct err *) = x->rq.launch;

        x->rq.launch = NULL;
        st = launch(&x->rq, &e);
        if (st == ST_OK)
            return;
        x->rq.err = e;
    }
    if (st == ST_OK && x->rp.stream != NULL)
        st = first_piece(x);
    if (st != ST_OK)
        fail(x, st);
    finish(x);
}

static void slow_job(struct job *j)
{
    struct exchange *x = (struct exchange *)(void *)((char *)j - offsetof(struct exchange, job));

    step(x, x->rq.route->handler);
}

/* WRITE PATH 2/8: method and path to a handler, and the right it needs. */
void exchange_run(struct job *j)
{
    struct exchange *x = (struct exchange *)(void *)((char *)j - offsetof(struct exchange, job));
    enum status st;

    reply_init(&x->rp, x->rq.arena);
    st = request_parse(&x->rq, x->uri);
    if (st == ST_OK)
        st = auth_check(x->rq.svc->auth, rq_header(&x->rq, "Authorization"), x->rq.arena,
                        &x->rq.user, &x->rq.err);
    if (st == ST_OK)
        st = router_find(&x->rq);
    if (st == ST_OK)
        st = router_authorize(&x->rq);
    if (st == ST_OK && x->rq.route->slow) {
        x->job.run = slow_job;
        pool_push(x->http->slow_pool, &x->job);
        return;
    }
    if (st == ST_OK) {
        step(x, x->rq.route->handler);
        return;
    }
    fail(x, st);
    finish(x);
}
