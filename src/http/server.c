/* http/server.c: libmicrohttpd's side: connections, requests and their bodies, start and stop. With
 * send.c it is all that the pool threads ever run, but for documents in memory (runner.c): they
 * wait for no disk.
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
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/time.h"
#include "couch/stores.h"
#include "http/exchange.h"

enum { STOP_GRACE_MS = 5000, HASH_THREADS = 2, FILES_FOR_OTHERS = 2500 };

/* ---- beginning and end ---- */

/* Called with the raw request target before anything of it is interpreted. */
static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *ci =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http *h = cls;
    struct exchange *x = mem_zalloc(sizeof(*x));

    x->http = h;
    x->conn = conn;
    x->client = ci->socket_context;
    x->rq.arena = arena_new();
    x->rq.svc = &h->svc;
    x->rq.conn = conn;
    x->uri = arena_dup(x->rq.arena, slice_of(uri, strlen(uri)));
    buf_init(&x->body, LIMIT_REQUEST_BYTES);
    atomic_fetch_add(&h->open, 1);
    client_phase(x->client, CLIENT_HEAD);
    return x;
}

static void free_exchange(struct exchange *x)
{
    struct http *h = x->http;

    atomic_fetch_sub(&h->inflight, x->counted);
    buf_free(&x->body);
    buf_free(&x->piece);
    if (x->rp.arena != NULL)
        reply_fini(&x->rp);
    arena_free(x->rq.arena);
    mem_free(x);
    atomic_fetch_sub(&h->open, 1); /* last: http_stop waits for it, then the store is closed */
}

static void free_job(struct job *j)
{
    free_exchange(exchange_of(j));
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *con_cls;

    (void)cls, (void)conn, (void)code;
    if (x == NULL)
        return;
    *con_cls = NULL;
    client_phase(x->client, CLIENT_IDLE);
    if (!x->rq.waits_for_disk && !x->heavy) { /* 50 MB take milliseconds to go back */
        free_exchange(x);
        return;
    }
    x->job.run = free_job;
    exchange_push(x);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    const union MHD_ConnectionInfo *ci =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http *h = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = conns_open(h->conns, ci->connect_fd);
    } else {
        conns_close(h->conns, *socket_context);
        *socket_context = NULL;
    }
}

/* A stopping server takes no more connections: who comes now is hung up on. This instead of
 * MHD_quiesce_daemon, which takes the listening socket out of the threads' epoll sets while they
 * do so themselves: who comes second finds it gone, and libmicrohttpd (0.9.75) aborts. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *sa, socklen_t n)
{
    const struct http *h = cls;

    (void)sa, (void)n;
    return atomic_load(&h->stopping) ? MHD_NO : MHD_YES;
}

/* We decode ourselves: libmicrohttpd would turn %2F into a slash and end strings at %00. */
static size_t leave_escaped(void *cls, struct MHD_Connection *conn, char *s)
{
    (void)cls, (void)conn;
    return strlen(s);
}

/* ---- reading ---- */

static void take_request_id(struct exchange *x)
{
    struct slice id = rq_header(&x->rq, "X-Couch-Request-ID");
    unsigned char rnd[5];
    size_t i = 0;

    while (i < id.n && (id.p[i] == '-' || id.p[i] == '_' || (id.p[i] >= '0' && id.p[i] <= '9') ||
                        ((id.p[i] | 32) >= 'a' && (id.p[i] | 32) <= 'z')))
        i++;
    if (id.n != 0 && id.n <= LIMIT_REQUEST_ID_BYTES && i == id.n) {
        memcpy(x->request_id, id.p, id.n);
        return;
    }
    random_bytes(rnd, sizeof(rnd));
    hex_encode(rnd, sizeof(rnd), x->request_id);
}

static enum method method_of(struct slice s)
{
    static const struct {
        const char *name;
        enum method m;
    } all[] = {{"GET", M_GET},       {"HEAD", M_HEAD}, {"POST", M_POST},      {"PUT", M_PUT},
               {"DELETE", M_DELETE}, {"COPY", M_COPY}, {"OPTIONS", M_OPTIONS}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (slice_eq(slice_str(all[i].name), s))
            return all[i].m;
    return M_UNKNOWN;
}

/* A POST may say that it means another method (A0.1); not HEAD, whose answer has no body. */
static enum method real_method(const struct exchange *x, const char *method)
{
    enum method m = method_of(slice_str(method)), other;
    struct slice v = rq_header(&x->rq, "X-HTTP-Method-Override");

    if (m != M_POST || v.n == 0)
        return m;
    other = method_of(v);
    return other == M_HEAD || other == M_OPTIONS ? M_POST : other;
}

static enum metric metric_of(enum method m)
{
    switch (m) {
    case M_GET:
        return METRIC_GET;
    case M_HEAD:
        return METRIC_HEAD;
    case M_POST:
        return METRIC_POST;
    case M_PUT:
        return METRIC_PUT;
    case M_DELETE:
        return METRIC_DELETE;
    case M_COPY:
        return METRIC_COPY;
    case M_OPTIONS:
        return METRIC_OPTIONS;
    case M_UNKNOWN:
        break;
    }
    return METRIC_OTHER_METHOD;
}

static enum MHD_Result begin(struct exchange *x, const char *method)
{
    take_request_id(x);
    x->rq.method = real_method(x, method);
    metrics_add(METRIC_REQUESTS, 1);
    metrics_add(metric_of(x->rq.method), 1);
    return body_begin(x);
}

/* WRITE PATH 1/8: bytes to a request (body.c). Called by libmicrohttpd for the head, for each piece
 * of the body, at the body's end, and again after a resume. */
static enum MHD_Result on_request(/* NOLINT(readability-function-size): libmicrohttpd's */
                                  void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **con_cls)
{
    struct exchange *x = *con_cls;
    enum MHD_Result result;

    (void)cls, (void)conn, (void)url;
    if (x == NULL)
        return MHD_NO;
    switch ((enum exchange_state)atomic_load(&x->state)) {
    case EX_NEW:
        x->chunked = strcmp(version, "HTTP/1.0") != 0;
        return begin(x, method);
    case EX_ADMITTED:
        return body_open(x);
    case EX_READING:
    case EX_DRAINING:
        if (*upload_n == 0)
            return body_end(x);
        result = body_take(x, upload, *upload_n);
        *upload_n = 0;
        return result;
    case EX_READY:
        return exchange_send(x) ? MHD_YES : MHD_NO;
    case EX_RUNNING:
    case EX_SENDING:
        return MHD_YES;
    }
    return MHD_NO;
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

static void __attribute__((format(printf, 2, 0))) on_mhd_log(void *cls, const char *fmt, va_list ap)
{
    char line[256];

    (void)cls;
    (void)vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

/* The committer's observer: what was made durable. */
static void count_commit(void *arg, const struct commit_event *ev, size_t n)
{
    uint64_t docs = 0;

    (void)arg;
    for (size_t i = 0; i < n; i++)
        docs += !ev[i].dropped;
    metrics_add(METRIC_DOC_WRITES, docs);
    metrics_add(METRIC_COMMITS, docs != 0);
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

/* LevelDB, segments, blobs and replications need files too. */
static unsigned connection_limit(void)
{
    uint64_t files = fs_raise_open_files();
    uint64_t ours = files > 2 * (uint64_t)FILES_FOR_OTHERS ? files - FILES_FOR_OTHERS : files / 2;

    if (ours >= LIMIT_CONNECTIONS)
        return LIMIT_CONNECTIONS;
    log_warn("http: at most %llu connections, as the process may open %llu files",
             (unsigned long long)ours, (unsigned long long)files);
    return (unsigned)ours;
}

static struct MHD_Daemon *start_daemon(struct http *h, const struct http_options *opt,
                                       struct sockaddr_storage *sa)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    unsigned threads = opt->pool_threads != 0 ? opt->pool_threads : clamp(cores(), 2, 4);

    if (sa->ss_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, opt->port, on_accept, h, on_request, h, MHD_OPTION_SOCK_ADDR,
        (struct sockaddr *)(void *)sa, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, h, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped,
        h, MHD_OPTION_THREAD_POOL_SIZE, threads, MHD_OPTION_CONNECTION_LIMIT, connection_limit(),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)LIMIT_CONN_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(LIMIT_IDLE_US / 1000000),
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 512u, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

/* The daemon is gone, or never was. */
static void free_http(struct http *h)
{
    sender_stop(h->sender);
    timers_stop(h->timers);
    conns_stop(h->conns);
    mem_free(h);
}

enum status http_start(const struct http_options *opt, struct http **out, struct err *e)
{
    struct sockaddr_storage sa;
    struct http *h;

    TRY(listen_address(opt, &sa, e));
    h = mem_zalloc(sizeof(*h));
    h->svc = opt->services;
    stores_observe(h->svc.stores, count_commit, NULL);
    h->pool = pool_new("worker", opt->workers != 0 ? opt->workers : clamp(2 * cores(), 4, 16),
                       THREAD_QUICK);
    h->heavy_pool = pool_new("heavy", clamp(2 * cores(), 4, 16), THREAD_HEAVY);
    h->slow_pool = pool_new("search", clamp(2 * cores(), 4, 16), THREAD_PLAIN);
    h->hash_pool = pool_new("login", HASH_THREADS, THREAD_PLAIN);
    h->timers = timers_new();
    h->conns = conns_new();
    h->sender = sender_new();
    thread_hint(THREAD_QUICK); /* libmicrohttpd's threads inherit it; ours must not */
    h->daemon = start_daemon(h, opt, &sa);
    if (h->daemon == NULL) {
        pool_stop(h->hash_pool);
        pool_stop(h->slow_pool);
        pool_stop(h->heavy_pool);
        pool_stop(h->pool);
        free_http(h);
        return err_set(e, ST_IO, "cannot listen on %s port %u (is it in use?)", opt->bind,
                       (unsigned)opt->port);
    }
    *out = h;
    return ST_OK;
}

static bool all_done(struct http *h, unsigned ms)
{
    for (; ms != 0 && atomic_load(&h->open) != 0; ms--)
        time_sleep_us(1000);
    return atomic_load(&h->open) == 0;
}

/* A suspended connection must be resumed before libmicrohttpd may be stopped, and a worker must
 * not get a job after its pool is gone. So nothing is freed before every request has ended: feeds
 * are told to end; what is in flight has a while to finish; then sockets are shut, which ends every
 * request that waits for its client, and the rest is work of ours that comes to an end. */
void http_stop(struct http *h)
{
    if (h == NULL)
        return;
    atomic_store(&h->stopping, 1); /* on_accept sees it, and body_begin */
    timers_fire_all(h->timers);
    if (!all_done(h, STOP_GRACE_MS)) {
        log_warn("http: %u requests did not finish in time", atomic_load(&h->open));
        conns_cut_all(h->conns);
        while (!all_done(h, STOP_GRACE_MS))
            log_warn("http: still waiting for %u requests", atomic_load(&h->open));
    }
    pool_stop(h->hash_pool);
    pool_stop(h->slow_pool);
    pool_stop(h->heavy_pool);
    pool_stop(h->pool);
    MHD_stop_daemon(h->daemon);
    free_http(h);
}
