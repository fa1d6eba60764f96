/* repl/peer.c: the only file that includes libcurl. See peer.h; rules for outgoing requests: http
 * and https only, no redirects, no proxy from the environment, no .netrc, addresses judged after
 * name resolution, bounded answers.
 */
#include "repl/peer.h"

#include <curl/curl.h>
#include <netinet/in.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/multipart.h"
#include "base/text.h"
#include "base/time.h"

enum { TRIES = 5, BACKOFF_MS = 250, CONNECT_S = 30, IDLE_S = 60, POLL_MS = 1000 };

struct fetch {
    CURL *easy;
    struct curl_slist *headers;
    struct buf answer;
    struct fetch_sink *sink; /* NULL: all is collected */
    bool begun;              /* this try's answer */
    char *url, *body;
    size_t body_n;
    const char *method;
    bool done, added;
    CURLcode result;
    char trouble[CURL_ERROR_SIZE];
};
struct peer {
    CURLM *multi;
    struct peer_addr addr;
    char *userpwd;
    const _Atomic int *stop;
    bool (*ended)(void *arg); /* or NULL; see peer_watch */
    void *ended_arg;
};

/* ---- addresses ---- */

static enum status bad_url(struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "source must be an http or https URL of a database");
}

/* Takes "user:password@" out of the URL. */
static enum status split_userinfo(struct arena *a, struct slice url, struct peer_addr *out,
                                  struct err *e)
{
    const char *host = memchr(url.p, '/', url.n), *end, *at, *colon;
    struct slice pair;

    if (host == NULL || host + 2 >= url.p + url.n || host[1] != '/')
        return bad_url(e);
    host += 2;
    end = memchr(host, '/', (size_t)(url.p + url.n - host));
    if (end == NULL || end == host)
        return bad_url(e);
    at = memrchr(host, '@', (size_t)(end - host)); /* the last: a password may hold one */
    out->url = url;
    if (at == NULL)
        return ST_OK;
    if (at + 1 == end)
        return bad_url(e);
    pair = slice_of(host, (size_t)(at - host));
    colon = pair.n != 0 ? memchr(pair.p, ':', pair.n) : NULL;
    if (!percent_decode(a, slice_of(pair.p, colon != NULL ? (size_t)(colon - pair.p) : pair.n),
                        false, &out->user) ||
        (colon != NULL &&
         !percent_decode(a, slice_of(colon + 1, (size_t)(at - colon - 1)), false, &out->password)))
        return bad_url(e);
    out->url = arena_printf(a, "%.*s%.*s", (int)(host - url.p), url.p,
                            (int)(url.p + url.n - at - 1), at + 1);
    return ST_OK;
}

static enum status parse_auth(const struct json *v, struct peer_addr *out, struct err *e)
{
    const struct json *basic = json_get(json_get(v, "auth"), "basic");
    const struct json *user = json_get(basic, "username"), *pw = json_get(basic, "password");

    if (basic == NULL)
        return ST_OK;
    if (!json_is(user, JSON_STRING) || !json_is(pw, JSON_STRING))
        return err_set(e, ST_BAD_REQUEST, "auth.basic needs username and password");
    out->user = user->text;
    out->password = pw->text;
    return ST_OK;
}

static bool has_control(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

static enum status check_headers(const struct json *headers, struct err *e)
{
    if (headers == NULL)
        return ST_OK;
    if (headers->type != JSON_OBJECT)
        return err_set(e, ST_BAD_REQUEST, "headers must be an object");
    for (const struct json *h = headers->first; h != NULL; h = h->next)
        if (h->type != JSON_STRING || has_control(h->text) || h->key.n == 0 ||
            has_control(h->key) || memchr(h->key.p, ':', h->key.n) != NULL ||
            memchr(h->key.p, ' ', h->key.n) != NULL)
            return err_set(e, ST_BAD_REQUEST, "headers must be strings without control bytes");
    return ST_OK;
}

enum status peer_addr_parse(struct arena *a, const struct json *v, struct peer_addr *out,
                            struct err *e)
{
    const struct json *url = json_is(v, JSON_OBJECT) ? json_get(v, "url") : v;

    *out = (struct peer_addr){0};
    if (!json_is(url, JSON_STRING) || (!slice_starts(url->text, SLICE_LIT("http://")) &&
                                       !slice_starts(url->text, SLICE_LIT("https://"))))
        return bad_url(e);
    if (has_control(url->text) || memchr(url->text.p, '?', url->text.n) != NULL ||
        memchr(url->text.p, '#', url->text.n) != NULL ||
        memchr(url->text.p, ' ', url->text.n) != NULL)
        return bad_url(e);
    TRY(split_userinfo(a, url->text, out, e));
    while (out->url.n != 0 && out->url.p[out->url.n - 1] == '/')
        out->url.n--;
    if (!json_is(v, JSON_OBJECT))
        return ST_OK;
    out->headers = json_get(v, "headers");
    TRY(check_headers(out->headers, e));
    return parse_auth(v, out, e);
}

/* ---- one peer ---- */

void peer_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct peer *peer_new(const struct peer_addr *addr, const _Atomic int *stop)
{
    struct peer *p = mem_zalloc(sizeof(*p));

    p->multi = curl_multi_init();
    p->addr = *addr;
    p->stop = stop;
    if (addr->user.n != 0) {
        size_t size = addr->user.n + addr->password.n + 2;

        p->userpwd = mem_alloc(size);
        (void)snprintf(p->userpwd, size, "%.*s:%.*s", (int)addr->user.n, addr->user.p,
                       (int)addr->password.n, addr->password.p);
    }
    return p;
}

void peer_free(struct peer *p)
{
    if (p == NULL)
        return;
    (void)curl_multi_cleanup(p->multi);
    mem_free(p->userpwd);
    mem_free(p);
}

void peer_wakeup(struct peer *p)
{
    (void)curl_multi_wakeup(p->multi);
}

static bool v4_forbidden(uint32_t ip)
{
    return ip >> 24 == 0 || ip >> 16 == 0xa9fe || ip >> 28 >= 14;
}

bool peer_address_forbidden(const struct sockaddr *sa)
{
    const struct sockaddr_in *v4 = (const void *)sa;
    const struct sockaddr_in6 *v6 = (const void *)sa;
    uint32_t ip;

    if (sa->sa_family == AF_INET)
        return v4_forbidden(ntohl(v4->sin_addr.s_addr));
    if (sa->sa_family != AF_INET6)
        return true;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(&ip, v6->sin6_addr.s6_addr + 12, sizeof(ip));
        return v4_forbidden(ntohl(ip));
    }
    return IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) || IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ||
           IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
}

/* Judged after the name was resolved, so that no name can lead to the link-local services of a
 * cloud or to nowhere. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
    (void)arg, (void)purpose;
    if (peer_address_forbidden(&addr->addr))
        return CURL_SOCKET_BAD;
    return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* Which way this answer goes. */
static void begin_answer(struct fetch *f)
{
    struct fetch_sink *s = f->sink;
    const char *type = NULL;
    long code = 0;

    f->begun = true;
    (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &code);
    (void)curl_easy_getinfo(f->easy, CURLINFO_CONTENT_TYPE, &type);
    s->used = code == 200 && type != NULL && multipart_is(slice_str(type), slice_str(s->type));
    s->st = s->used ? s->begin(s, slice_str(type), &s->err) : ST_OK;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *f = arg;

    if (f->sink != NULL && !f->begun)
        begin_answer(f);
    if (f->sink != NULL && f->sink->used) {
        if (f->sink->st == ST_OK)
            f->sink->st = f->sink->add(f->sink, slice_of(data, size * n), &f->sink->err);
        return f->sink->st == ST_OK ? size * n : 0;
    }
    buf_append(&f->answer, data, size * n);
    return buf_ok(&f->answer) ? size * n : 0;
}

static void add_headers(struct peer *p, struct fetch *f)
{
    struct arena *a;

    f->headers =
        curl_slist_append(f->headers, f->sink != NULL ? "Accept: multipart/mixed, */*;q=0.5"
                                                      : "Accept: application/json");
    f->headers = curl_slist_append(f->headers, "Content-Type: application/json");
    f->headers = curl_slist_append(f->headers, "Expect:");
    if (p->addr.headers == NULL)
        return;
    a = arena_new();
    for (const struct json *h = p->addr.headers->first; h != NULL; h = h->next)
        f->headers = curl_slist_append(
            f->headers,
            arena_printf(a, "%.*s: %.*s", (int)h->key.n, h->key.p, (int)h->text.n, h->text.p).p);
    arena_free(a);
}

static void set_rules(CURL *c)
{
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)IDLE_S);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "Divan-Replicator");
}

static void fetch_go(struct peer *p, struct fetch *f)
{
    CURL *c = f->easy;

    buf_clear(&f->answer);
    f->done = f->begun = false;
    (void)curl_easy_setopt(c, CURLOPT_URL, f->url);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
    (void)curl_easy_setopt(c, CURLOPT_PRIVATE, f);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->trouble);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, f->headers);
    if (p->userpwd != NULL) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(c, CURLOPT_USERPWD, p->userpwd);
    }
    if (strcmp(f->method, "GET") != 0) {
        (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->method);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, f->body);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body_n);
    }
    (void)curl_multi_add_handle(p->multi, c);
    f->added = true;
}

static struct fetch *start(struct peer *p, const char *method, struct slice path, struct slice body,
                           struct fetch_sink *sink)
{
    struct fetch *f = mem_zalloc(sizeof(*f));

    f->sink = sink;
    f->url = mem_alloc(p->addr.url.n + path.n + 1);
    memcpy(f->url, p->addr.url.p, p->addr.url.n);
    memcpy(f->url + p->addr.url.n, path.p, path.n);
    f->url[p->addr.url.n + path.n] = '\0';
    f->body = mem_dup(body.n != 0 ? body.p : "", body.n);
    f->body_n = body.n;
    f->method = method;
    buf_init(&f->answer, LIMIT_REPL_RESPONSE_BYTES);
    f->easy = curl_easy_init();
    set_rules(f->easy);
    add_headers(p, f);
    fetch_go(p, f);
    return f;
}

struct fetch *fetch_start(struct peer *p, const char *method, struct slice path, struct slice body)
{
    return start(p, method, path, body, NULL);
}

struct fetch *fetch_start_sink(struct peer *p, struct slice path, struct fetch_sink *sink)
{
    return start(p, "GET", path, slice_of(NULL, 0), sink);
}

void fetch_free(struct peer *p, struct fetch *f)
{
    if (f == NULL)
        return;
    if (f->added)
        (void)curl_multi_remove_handle(p->multi, f->easy);
    curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    buf_free(&f->answer);
    mem_free(f->url);
    mem_free(f->body);
    mem_free(f);
}

static void collect_finished(struct peer *p)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(p->multi, &left)) != NULL) {
        struct fetch *f = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)(void *)&f);
        f->result = m->data.result;
        f->done = true;
    }
}

/* Moves everything on until f is done or the job is told to stop. */
void peer_watch(struct peer *p, bool (*ended)(void *arg), void *arg)
{
    p->ended = ended;
    p->ended_arg = arg;
}

static bool goes_on(const struct peer *p)
{
    return atomic_load(p->stop) == 0 && (p->ended == NULL || !p->ended(p->ended_arg));
}

static bool run_until(struct peer *p, struct fetch *f)
{
    int running;

    while (!f->done && goes_on(p)) {
        (void)curl_multi_perform(p->multi, &running);
        collect_finished(p);
        if (!f->done)
            (void)curl_multi_poll(p->multi, NULL, 0, POLL_MS, NULL);
    }
    return f->done;
}

static bool is_passing(CURLcode result, long code)
{
    return (result != CURLE_OK && result != CURLE_WRITE_ERROR) || code == 429 || code >= 500;
}

static bool nap(const struct peer *p, unsigned ms)
{
    for (; ms > 0 && goes_on(p); ms -= 10 < ms ? 10 : ms)
        time_sleep_us(10000);
    return goes_on(p);
}

enum status fetch_wait(struct peer *p, struct fetch *f, long *code, struct err *e)
{
    unsigned wait_ms = BACKOFF_MS;

    for (unsigned i = 1;; i++, wait_ms *= 2) {
        if (!run_until(p, f))
            return err_set(e, ST_TIMEOUT, "the replication was stopped");
        *code = 0;
        (void)curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, code);
        if (!is_passing(f->result, *code) || i == TRIES)
            break;
        (void)curl_multi_remove_handle(p->multi, f->easy);
        f->added = false;
        if (!nap(p, wait_ms))
            return err_set(e, ST_TIMEOUT, "the replication was stopped");
        fetch_go(p, f);
    }
    if (f->sink != NULL && f->sink->used && f->sink->st != ST_OK) {
        *e = f->sink->err;
        return f->sink->st;
    }
    if (f->result == CURLE_WRITE_ERROR)
        return err_set(e, ST_UPSTREAM, "an answer of the source is larger than %u bytes",
                       (unsigned)LIMIT_REPL_RESPONSE_BYTES);
    if (f->result != CURLE_OK)
        return err_set(e, ST_UPSTREAM, "the source does not answer: %s",
                       f->trouble[0] != '\0' ? f->trouble : curl_easy_strerror(f->result));
    return ST_OK;
}

struct slice fetch_body(const struct fetch *f)
{
    return buf_slice(&f->answer);
}

enum status peer_call(struct peer *p, struct arena *a, struct peer_call *call, struct err *e)
{
    struct fetch *f = fetch_start(p, call->method, call->path, call->body);
    enum status st = fetch_wait(p, f, &call->code, e);

    if (st == ST_OK && json_parse(a, arena_dup(a, fetch_body(f)), &call->json, e) != ST_OK)
        st = err_set(e, ST_UPSTREAM, "the source answered %ld without JSON", call->code);
    fetch_free(p, f);
    return st;
}
