/* http/runner.c: the worker side of a request: parse the target, find the route, see who asks and
 * whether they may, call the handler, turn what it says into an answer.
 *
 * Two hops between threads cost a small GET as much as all the rest of it, and beside heavy work
 * each is a chance to wait for a core. So the pool thread that has read a plain GET of a document
 * does all of this itself, at once (exchange_run_here), as long as documents are found in memory.
 */
#include <stddef.h>

#include "base/limits.h"
#include "base/time.h"
#include "http/cors.h"
#include "http/exchange.h"
#include "http/handlers.h"
#include "http/rights.h"
#include "http/router.h"

enum { DISK_US = 100000 /* for so long workers read, once something was not in memory */ };

/* A piece is about LIMIT_STREAM_CHUNK, but one row may be a document with its attachments. */
enum { PIECE_MAX = 4 * LIMIT_REQUEST_BYTES };

void exchange_push(struct exchange *x)
{
    pool_push(x->heavy ? x->http->heavy_pool : x->http->pool, &x->job);
}

static void finish(struct exchange *x)
{
    cors_headers(&x->rq, &x->rp);
    if (x->rq.user.set_cookie.n != 0)
        reply_header(&x->rp, "Set-Cookie", x->rq.user.set_cookie);
    if (x->body_done)
        atomic_store(&x->state, EX_READY);
    else
        body_refused(x);
    if (x->here == NULL)
        exchange_resume(x);
}

/* From here on a worker has it: the pool thread hands it over. */
static void leave(struct exchange *x)
{
    if (x->here == NULL)
        return;
    *x->here = false;
    x->here = NULL;
    x->rq.at_once = false;
    MHD_suspend_connection(x->conn);
}

bool exchange_run_here(struct exchange *x)
{
    struct http *h = x->http;
    bool here = true;
    uint64_t reads;

    x->here = &here;
    x->rq.at_once = true;
    x->job.run = exchange_run;
    if (time_mono_us() < atomic_load(&h->disk_until_us)) {
        leave(x);
        exchange_push(x);
        return false;
    }
    reads = thread_disk_reads();
    exchange_run(&x->job);
    if (thread_disk_reads() != reads)
        atomic_store(&h->disk_until_us, time_mono_us() + DISK_US);
    if (here)
        x->here = NULL;
    return here;
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
    else if (st == ST_UNAUTHORIZED && web_now(x->rq.svc)->require_valid_user)
        reply_header(&x->rp, "WWW-Authenticate", SLICE_LIT("Basic realm=\"server\""));
    reply_error(&x->rp, st, &e);
}

void exchange_fail(struct exchange *x, enum status st)
{
    fail(x, st);
    finish(x);
}

/* ?buffer_response=true: the whole answer before the status line, so that an error in the middle
 * has one. What is larger than the bound is streamed after all. */
static enum status buffered(struct exchange *x)
{
    struct buf all;
    enum status st = ST_OK;

    if (x->next != STREAM_MORE || !rq_flag(&x->rq, "buffer_response"))
        return ST_OK;
    buf_init(&all, PIECE_MAX);
    buf_add(&all, buf_slice(&x->piece));
    while (st == ST_OK && x->next == STREAM_MORE && all.n < LIMIT_BUFFERED_BYTES) {
        st = feed_piece(x, &x->rq.err);
        buf_add(&all, buf_slice(&x->piece));
    }
    if (st == ST_OK && !buf_ok(&all))
        st = err_set(&x->rq.err, ST_TOO_LARGE, "the answer is too large to be buffered");
    buf_free(&x->piece);
    x->piece = all;
    return st;
}

/* The first piece decides the status line; a stream that ends with it is sent as a plain body. */
static enum status first_piece(struct exchange *x)
{
    if (x->rp.stream->sized && x->rq.method == M_HEAD)
        return ST_OK;
    if (x->piece.max == 0)
        buf_init(&x->piece, PIECE_MAX);
    TRY(feed_piece(x, &x->rq.err));
    TRY(buffered(x));
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
    struct exchange *x = exchange_of(j);
    handler_fn next = x->rq.next;

    x->rq.next = NULL;
    step(x, next);
}

void rq_continue(struct request *rq)
{
    struct exchange *x = (struct exchange *)(void *)((char *)rq - offsetof(struct exchange, rq));

    x->job.run = next_step_job;
    exchange_push(x);
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
        leave(x);
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

static void handler_job(struct job *j)
{
    struct exchange *x = exchange_of(j);

    step(x, x->rq.route->handler);
}

static enum status launch_elsewhere(struct request *rq, struct err *e)
{
    (void)e;
    rq_continue(rq);
    return ST_OK;
}

void rq_elsewhere(struct request *rq, handler_fn next)
{
    rq_defer(rq, launch_elsewhere, next);
}

/* ---- hashes: where they do not keep other requests waiting ---- */

static bool push_hash(struct exchange *x, void (*run)(struct job *j))
{
    if (atomic_fetch_add(&x->http->hashing, 1) >= LIMIT_HASHES_WAITING) {
        atomic_fetch_sub(&x->http->hashing, 1);
        return false;
    }
    x->job.run = run;
    leave(x);
    pool_push(x->http->hash_pool, &x->job);
    return true;
}

static enum status too_many_hashes(struct request *rq)
{
    return err_set(&rq->err, ST_UNAVAILABLE, "too many logins at once");
}

static void work_job(struct job *j)
{
    struct exchange *x = exchange_of(j);

    x->rq.work(&x->rq);
    atomic_fetch_sub(&x->http->hashing, 1);
    rq_continue(&x->rq);
}

static enum status launch_work(struct request *rq, struct err *e)
{
    struct exchange *x = (struct exchange *)(void *)((char *)rq - offsetof(struct exchange, rq));

    if (push_hash(x, work_job))
        return ST_OK;
    return err_set(e, ST_UNAVAILABLE, "too many logins at once");
}

void rq_hash(struct request *rq, void (*work)(struct request *rq), handler_fn next)
{
    rq->work = work;
    rq_defer(rq, launch_work, next);
}

/* ---- who asks, what for ---- */

static enum status authenticate(struct request *rq, bool may_hash)
{
    struct auth_request who = {.authorization = rq_header(rq, "Authorization"),
                               .cookie = rq_header(rq, "Cookie"),
                               .may_hash = may_hash};

    who.proxy_user = rq_header(rq, "X-Auth-CouchDB-UserName");
    if (who.proxy_user.n != 0) {
        who.proxy_roles = rq_header(rq, "X-Auth-CouchDB-Roles");
        who.proxy_token = rq_header(rq, "X-Auth-CouchDB-Token");
    }
    if (who.authorization.n != 0)
        who.peer = rq_peer(rq);
    return auth_check(rq->svc->auth, &who, rq->arena, &rq->user, &rq->err);
}

static const struct upload *upload_of(const struct route *r)
{
    for (size_t i = 0; i < uploads_count; i++)
        if (uploads[i].handler == r->handler)
            return &uploads[i];
    return NULL;
}

/* The request is allowed: is its body? */
static enum status begin_body(struct exchange *x)
{
    const struct upload *u = upload_of(x->rq.route);
    uint64_t max;

    if (u != NULL)
        TRY(u->begin(&x->rq, &x->rp));
    max = x->rq.sink != NULL ? LIMIT_UPLOAD_BYTES : LIMIT_REQUEST_BYTES;
    if (x->body_n != BODY_UNKNOWN && x->body_n > max)
        return err_set(&x->rq.err, ST_TOO_LARGE, "the request entity is too large");
    return ST_OK;
}

/* The body is there, or in the sink. */
static void handle(struct exchange *x)
{
    enum status st = body_to_sink(x);
    bool hop;

    if (st != ST_OK) {
        exchange_fail(x, st);
        return;
    }
    x->heavy = x->body.n >= LIMIT_HEAVY_BODY;
    x->job.run = handler_job;
    if (x->here != NULL && x->rq.route->handler == h_doc_get) {
        step(x, h_doc_get);
        return;
    }
    hop = x->heavy || x->here != NULL; /* "%5Fall_docs" looked like a document */
    leave(x);
    if (x->rq.route->slow)
        pool_push(x->http->slow_pool, &x->job);
    else if (hop)
        exchange_push(x);
    else
        step(x, x->rq.route->handler);
}

void exchange_body_done(struct job *j)
{
    handle(exchange_of(j));
}

/* WRITE PATH 2/8: method and path to a handler, and the right it needs. st: how authentication
 * ended. */
static void dispatch(struct exchange *x, enum status st)
{
    struct slice moved;

    if (st == ST_OK)
        st = rights_valid_user(&x->rq);
    if (st == ST_OK)
        st = cors_guard(&x->rq);
    if (st == ST_OK)
        st = router_find(&x->rq);
    if (st == ST_OK)
        st = router_authorize(&x->rq);
    if (st == ST_OK && router_moved(&x->rq, x->uri, &moved)) {
        reply_header(&x->rp, "Location", moved);
        x->rp.code = 301;
        finish(x);
        return;
    }
    if (st == ST_OK)
        st = begin_body(x);
    if (st != ST_OK) {
        exchange_fail(x, st);
    } else if (x->body_done) {
        handle(x);
    } else {
        atomic_store(&x->state, EX_ADMITTED);
        exchange_resume(x);
    }
}

/* The hash is in the cache now, or the request has failed. */
static void after_hash_job(struct job *j)
{
    struct exchange *x = exchange_of(j);

    dispatch(x, x->auth_st);
}

static void hash_job(struct job *j)
{
    struct exchange *x = exchange_of(j);

    x->auth_st = authenticate(&x->rq, true);
    atomic_fetch_sub(&x->http->hashing, 1);
    x->job.run = after_hash_job;
    pool_push(x->http->pool, &x->job);
}

void exchange_run(struct job *j)
{
    struct exchange *x = exchange_of(j);
    enum status st;

    reply_init(&x->rp, x->rq.arena);
    st = request_parse(&x->rq, x->uri);
    if (st == ST_OK && cors_preflight(&x->rq, &x->rp)) {
        finish(x);
        return;
    }
    if (st == ST_OK)
        st = authenticate(&x->rq, false);
    if (st == ST_OK && x->rq.user.needs_hash) {
        if (push_hash(x, hash_job))
            return;
        st = too_many_hashes(&x->rq);
    }
    dispatch(x, st);
}
