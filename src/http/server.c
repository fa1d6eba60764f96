/* http/server.c: libmicrohttpd's side: connections, bodies, suspending and answering. With stream
 * pieces (content_reader) it is all that the pool threads ever run: no disk, no locks of others.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "http/exchange.h"

/* ---- beginning and end of an exchange ---- */

/* Called with the raw request target before anything of it is interpreted. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct http *h = cls;
    struct exchange *x = mem_zalloc(sizeof(*x));
    unsigned char rnd[5];

    x->http = h;
    x->conn = conn;
    x->rq.arena = arena_new();
    x->rq.svc = &h->svc;
    x->rq.conn = conn;
    x->uri = arena_dup(x->rq.arena, slice_of(uri, strlen(uri)));
    buf_init(&x->body, LIMIT_REQUEST_BYTES);
    atomic_fetch_add(&h->open, 1);
    random_bytes(rnd, sizeof(rnd));
    hex_encode(rnd, sizeof(rnd), x->request_id);
    return x;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *con_cls;

    (void)cls, (void)conn, (void)code;
    if (x == NULL)
        return;
    atomic_fetch_sub(&x->http->inflight, x->counted);
    atomic_fetch_sub(&x->http->open, 1);
    buf_free(&x->body);
    buf_free(&x->piece);
    if (x->rp.arena != NULL)
        reply_fini(&x->rp);
    arena_free(x->rq.arena);
    mem_free(x);
    *con_cls = NULL;
}

/* We decode ourselves: libmicrohttpd would turn %2F into a slash and end strings at %00. */
static size_t leave_escaped(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls, (void)conn;
    return strlen(s);
}

/* ---- answering ---- */

static void add_headers(struct MHD_Response *r, const struct exchange *x)
{
    const struct reply *rp = &x->rp;

    MHD_add_response_header(r, "Server", "Divan");
    MHD_add_response_header(r, "X-Couch-Request-ID", x->request_id);
    MHD_add_response_header(r, "Cache-Control", "must-revalidate");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (rp->code != 304)
        MHD_add_response_header(r, "Content-Type",
                                rp->content_type != NULL ? rp->content_type : "application/json");
    for (const struct reply_header *h = rp->headers; h != NULL; h = h->next)
        MHD_add_response_header(r, h->name, h->value);
}

static ssize_t content_reader(void *cls, uint64_t pos, char *out, size_t max)
{
    struct exchange *x = cls;
    size_t left;

    (void)pos;
    switch (atomic_load(&x->feed)) {
    case FEED_READY:
        left = x->piece.n - x->piece_off;
        if (left > max)
            left = max;
        memcpy(out, x->piece.p + x->piece_off, left);
        x->piece_off += left;
        if (x->piece_off == x->piece.n)
            atomic_store(&x->feed, FEED_IDLE);
        return (ssize_t)left;
    case FEED_IDLE:
        if (x->next == STREAM_DONE)
            return MHD_CONTENT_READER_END_OF_STREAM;
        atomic_store(&x->feed, FEED_PRODUCING);
        MHD_suspend_connection(x->conn);
        feed_wait(x);
        return 0;
    case FEED_FAILED:
        return MHD_CONTENT_READER_END_WITH_ERROR;
    default:
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
}

static struct MHD_Response *make_response(struct exchange *x)
{
    struct reply *rp = &x->rp;
    char *bytes;
    size_t n = 0;

    if (rp->stream != NULL)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, LIMIT_STREAM_CHUNK / 2,
                                                 content_reader, x, NULL);
    bytes = buf_take(&rp->body, &n);
    return MHD_create_response_from_buffer(n, bytes,
                                           n != 0 ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_reply(struct exchange *x)
{
    struct MHD_Response *r = make_response(x);
    enum MHD_Result ok;

    if (r == NULL)
        return MHD_NO;
    add_headers(r, x);
    x->state = EX_SENDING;
    ok = MHD_queue_response(x->conn, x->rp.code, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result refuse(struct exchange *x, enum status st)
{
    reply_init(&x->rp, x->rq.arena);
    reply_error(&x->rp, st, &x->early);
    reply_header(&x->rp, "Connection", SLICE_LIT("close"));
    return send_reply(x);
}

void exchange_resume(struct exchange *x)
{
    MHD_resume_connection(x->conn);
}

/* ---- reading ---- */

/* What can be refused from the head alone is, before a body is taken in. */
static enum status check_head(struct exchange *x)
{
    const char *len = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Content-Length");
    const char *te = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, "Transfer-Encoding");
    uint64_t n = 0;

    if (x->uri.n > LIMIT_URI_BYTES)
        return err_set(&x->early, ST_URI_TOO_LONG, "URI longer than %d bytes", LIMIT_URI_BYTES);
    if (len != NULL && te != NULL)
        return err_set(&x->early, ST_BAD_REQUEST, "Content-Length and Transfer-Encoding together");
    if (len != NULL && !parse_u64(slice_str(len), &n))
        return err_set(&x->early, ST_BAD_REQUEST, "Content-Length is not a number");
    if (n > LIMIT_REQUEST_BYTES)
        return err_set(&x->early, ST_TOO_LARGE, "the request entity is too large");
    if (atomic_load(&x->http->stopping))
        return err_set(&x->early, ST_UNAVAILABLE, "the server is stopping");
    buf_reserve(&x->body, (size_t)n < (1u << 20) ? (size_t)n : 1u << 20);
    return ST_OK;
}

static void take_body(struct exchange *x, const char *data, size_t n)
{
    if (x->early_st != ST_OK)
        return; /* drained, so that the connection can be answered */
    x->counted += n;
    if (atomic_fetch_add(&x->http->inflight, n) + n > LIMIT_INFLIGHT_BYTES) {
        x->early_st = err_set(&x->early, ST_UNAVAILABLE, "too many requests in memory");
        return;
    }
    buf_append(&x->body, data, n);
    if (!buf_ok(&x->body))
        x->early_st = err_set(&x->early, ST_TOO_LARGE, "the request entity is too large");
}

static enum method method_of(const char *s)
{
    static const struct {
        const char *name;
        enum method m;
    } all[] = {{"GET", M_GET},       {"HEAD", M_HEAD}, {"POST", M_POST},      {"PUT", M_PUT},
               {"DELETE", M_DELETE}, {"COPY", M_COPY}, {"OPTIONS", M_OPTIONS}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].name, s) == 0)
            return all[i].m;
    return 0;
}

/* WRITE PATH 1/8: bytes to a request; the body is bounded. Called by libmicrohttpd for the head,
 * for each piece of the body, at the body's end, and again after a resume. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **con_cls)
{
    struct exchange *x = *con_cls;

    (void)cls, (void)conn, (void)url, (void)version;
    if (x == NULL)
        return MHD_NO;
    if (x->state == EX_NEW) {
        x->rq.method = method_of(method);
        x->early_st = check_head(x);
        if (x->early_st != ST_OK)
            return refuse(x, x->early_st);
        x->state = EX_READING;
        return MHD_YES;
    }
    if (x->state == EX_READING && *upload_n != 0) {
        take_body(x, upload, *upload_n);
        *upload_n = 0;
        return MHD_YES;
    }
    if (x->state == EX_READING) {
        if (x->early_st != ST_OK)
            return refuse(x, x->early_st);
        x->state = EX_RUNNING;
        x->rq.body = buf_slice(&x->body);
        x->job.run = exchange_run;
        MHD_suspend_connection(conn);
        pool_push(x->http->pool, &x->job);
        return MHD_YES;
    }
    if (x->state == EX_READY)
        return send_reply(x);
    return MHD_YES;
}

/* ---- headers for the handlers ---- */

struct slice rq_header(const struct request *rq, const char *name)
{
    const char *v = MHD_lookup_connection_value(rq->conn, MHD_HEADER_KIND, name);

    return v != NULL ? slice_str(v) : (struct slice){NULL, 0};
}

/* ---- start and stop ---- */

static unsigned cores(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned)n;
}

static unsigned clamp(unsigned v, unsigned lo, unsigned hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
    char line[256];

    (void)cls;
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

static enum status listen_address(const struct http_options *opt, struct sockaddr_storage *sa,
                                  struct err *e)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)sa;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)sa;

    memset(sa, 0, sizeof(*sa));
    if (inet_pton(AF_INET, opt->bind, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(opt->port);
        return ST_OK;
    }
    if (inet_pton(AF_INET6, opt->bind, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(opt->port);
        return ST_OK;
    }
    return err_set(e, ST_BAD_REQUEST, "--bind %s is not an IP address", opt->bind);
}

static struct MHD_Daemon *start_daemon(struct http *h, const struct http_options *opt,
                                       struct sockaddr_storage *sa)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    unsigned threads = opt->pool_threads != 0 ? opt->pool_threads : clamp(cores(), 2, 4);

    if (sa->ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, opt->port, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)(void *)sa, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, h, MHD_OPTION_THREAD_POOL_SIZE, threads,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)LIMIT_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_CONN_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, 120u, MHD_OPTION_LISTEN_BACKLOG_SIZE, 512u,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
}

enum status http_start(const struct http_options *opt, struct http **out, struct err *e)
{
    struct sockaddr_storage sa;
    struct http *h;

    TRY(listen_address(opt, &sa, e));
    h = mem_zalloc(sizeof(*h));
    h->svc = opt->services;
    h->pool = pool_new("worker", opt->workers != 0 ? opt->workers : clamp(2 * cores(), 4, 16));
    h->slow_pool = pool_new("search", clamp(2 * cores(), 4, 16));
    h->timers = timers_new();
    h->daemon = start_daemon(h, opt, &sa);
    if (h->daemon == NULL) {
        timers_stop(h->timers);
        pool_stop(h->pool);
        pool_stop(h->slow_pool);
        mem_free(h);
        return err_set(e, ST_IO, "cannot listen on %s port %u (is it in use?)", opt->bind,
                       (unsigned)opt->port);
    }
    *out = h;
    return ST_OK;
}

/* Suspended connections must all be resumed before libmicrohttpd may be stopped, so feeds are told
 * to end and what is in flight is waited for; new requests get 503 meanwhile. */
void http_stop(struct http *h)
{
    MHD_socket fd;

    if (h == NULL)
        return;
    atomic_store(&h->stopping, 1);
    fd = MHD_quiesce_daemon(h->daemon);
    for (unsigned i = 0; i < 15000 && atomic_load(&h->open) != 0; i++) {
        timers_fire_all(h->timers);
        time_sleep_us(1000);
    }
    if (atomic_load(&h->open) != 0)
        log_warn("http: %u requests did not finish in time", atomic_load(&h->open));
    pool_stop(h->slow_pool);
    pool_stop(h->pool);
    timers_fire_all(h->timers);
    MHD_stop_daemon(h->daemon);
    if (fd != MHD_INVALID_SOCKET)
        (void)close(fd);
    timers_stop(h->timers);
    mem_free(h);
}
