/* http/cors.c: CORS as CouchDB answers it (couchdb-surface A.3), but that origins "*" never go with
 * credentials and that caches are told (Vary); and the rules against forged requests (security
 * notes C3). Runs on workers; pure. */
#include "http/cors.h"

#include "base/text.h"
#include "http/router.h"

static const char methods_default[] = "CONNECT, COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT, TRACE";
static const char headers_default[] =
    "accept, accept-language, authorization, content-length, content-range, content-type, "
    "destination, expires, if-match, last-modified, origin, pragma, x-couch-full-commit, "
    "x-couch-id, x-couch-persist, x-couchdb-www-authenticate, x-http-method-override, "
    "x-requested-with, x-couchdb-vhost-path";
static const char headers_exposed[] =
    "content-type, cache-control, accept-ranges, etag, server, x-couch-request-id, "
    "x-couch-update-newrev, x-couchdb-body-time";

static bool in_list(struct slice list, struct slice item, bool any_case)
{
    while (list.n != 0) {
        struct slice s = slice_trim(slice_cut(&list, ','));

        if (any_case ? slice_ieq(s, item) : slice_eq(s, item))
            return true;
    }
    return false;
}

enum origin { ORIGIN_NO, ORIGIN_ANY, ORIGIN_NAMED };

static enum origin origin_allowed(const struct request *rq, struct slice origin)
{
    const struct web_options *w = web_now(rq->svc);

    if (!w->cors || origin.n == 0)
        return ORIGIN_NO;
    if (!slice_eq(origin, SLICE_LIT("*")) && in_list(w->cors_origins, origin, true))
        return ORIGIN_NAMED;
    return in_list(w->cors_origins, SLICE_LIT("*"), false) ? ORIGIN_ANY : ORIGIN_NO;
}

/* An origin that only "*" lets in never gets what credentials show. */
static void allow_origin(struct request *rq, struct reply *rp, struct slice origin)
{
    enum origin o = origin_allowed(rq, origin);

    reply_header(rp, "Vary", SLICE_LIT("Origin"));
    if (o == ORIGIN_NO)
        return;
    reply_header(rp, "Access-Control-Allow-Origin", origin);
    if (o == ORIGIN_NAMED && web_now(rq->svc)->cors_credentials)
        reply_header(rp, "Access-Control-Allow-Credentials", SLICE_LIT("true"));
}

static bool headers_allowed(const struct request *rq, struct slice wanted)
{
    while (wanted.n != 0) {
        struct slice h = slice_trim(slice_cut(&wanted, ','));

        if (h.n != 0 && !in_list(slice_str(headers_default), h, true) &&
            !in_list(web_now(rq->svc)->cors_headers, h, true))
            return false;
    }
    return true;
}

bool cors_preflight(struct request *rq, struct reply *rp)
{
    const struct web_options *w = web_now(rq->svc);
    struct slice methods = w->cors_methods.n != 0 ? w->cors_methods : slice_str(methods_default);
    struct slice origin, method, headers;

    if (rq->method != M_OPTIONS || !w->cors)
        return false;
    origin = rq_header(rq, "Origin");
    method = rq_header(rq, "Access-Control-Request-Method");
    headers = rq_header(rq, "Access-Control-Request-Headers");
    if (origin_allowed(rq, origin) == ORIGIN_NO || method.n == 0 ||
        !in_list(methods, method, false) || !headers_allowed(rq, headers))
        return false;
    reply_header(rp, "Access-Control-Allow-Methods", methods);
    if (headers.n != 0)
        reply_header(rp, "Access-Control-Allow-Headers", headers);
    reply_header(rp, "Access-Control-Max-Age", arena_printf(rq->arena, "%u", w->cors_max_age));
    rp->code = 204;
    return true;
}

void cors_headers(struct request *rq, struct reply *rp)
{
    struct slice origin;

    if (!web_now(rq->svc)->cors)
        return;
    origin = rq_header(rq, "Origin");
    allow_origin(rq, rp, origin);
    if (origin_allowed(rq, origin) != ORIGIN_NO && rp->code != 204)
        reply_header(rp, "Access-Control-Expose-Headers", slice_str(headers_exposed));
}

static bool is_our_origin(const struct request *rq, struct slice origin)
{
    struct slice host = rq_header(rq, "Host");

    if (slice_starts(origin, SLICE_LIT("http://")))
        origin = slice_of(origin.p + 7, origin.n - 7);
    else if (slice_starts(origin, SLICE_LIT("https://")))
        origin = slice_of(origin.p + 8, origin.n - 8);
    else
        return false;
    return host.n != 0 && slice_ieq(origin, host);
}

enum status cors_same_origin(struct request *rq)
{
    struct slice origin = rq_header(rq, "Origin");

    if (origin.p == NULL || is_our_origin(rq, origin) || origin_allowed(rq, origin) == ORIGIN_NAMED)
        return ST_OK;
    return err_set(&rq->err, ST_FORBIDDEN, "This origin is not allowed.");
}

enum status cors_guard(struct request *rq)
{
    struct slice type;

    if (rq->user.by == NULL || strcmp(rq->user.by, "cookie") != 0 || rq->method == M_GET ||
        rq->method == M_HEAD || rq->method == M_OPTIONS)
        return ST_OK;
    TRY(cors_same_origin(rq));
    if (rq->method != M_POST || (rq->nseg == 1 && slice_eq(rq->seg[0], SLICE_LIT("_session"))))
        return ST_OK;
    type = rq_header(rq, "Content-Type");
    type = slice_trim(slice_cut(&type, ';'));
    if (slice_ieq(type, SLICE_LIT("application/json")) ||
        slice_ieq(type, SLICE_LIT("multipart/related")))
        return ST_OK;
    return err_set(&rq->err, ST_MEDIA_TYPE, "Content-Type must be application/json");
}
