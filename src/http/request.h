/* http/request.h: one request as handlers see it. Everything is arena memory of the request. A
 * handler runs on a worker; one thread at a time has the request. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H
#include "auth/auth.h"
#include "couch/commit.h"
#include "couch/stores.h"
#include "http/http.h"
#include "http/reply.h"
#include "json/json.h"

enum method {
    M_UNKNOWN = 0,
    M_GET = 1,
    M_HEAD = 2,
    M_POST = 4,
    M_PUT = 8,
    M_DELETE = 16,
    M_COPY = 32,
    M_OPTIONS = 64
};

/* The right a route needs. */
enum need {
    NEED_NONE,      /* anybody, even without credentials */
    NEED_USER,      /* any authenticated user */
    NEED_DB_READER, /* member of the database */
    NEED_DB_WRITER,
    NEED_DOC_READ, /* member; in _users: whoever owns the document */
    NEED_DOC_WRITE,
    NEED_DB_ADMIN,
    NEED_METRICS, /* server admin, or the role _metrics, which only reads figures */
    NEED_ADMIN    /* server admin */
};

struct param {
    struct slice name, value; /* decoded */
};
struct request;
typedef enum status (*handler_fn)(struct request *rq, struct reply *rp);

struct route {
    unsigned methods; /* of enum method; HEAD goes with GET */
    /* "/{db}/_bulk_docs"; "{docid}" takes "_design/x" as one, "{att*}" the rest. */
    const char *pattern;
    handler_fn handler;
    enum need need;
    bool json_body; /* a POST must say application/json (A0.7) */
    bool slow;      /* may wait or compute long: runs in the pool for such */
};

/* A handler that takes its body piece by piece instead of whole (routes.c): `begin` is called
 * before the body comes, when the request is known to be allowed; it may set rq->sink. The handler
 * is called when the sink has everything. */
struct upload {
    handler_fn handler, begin;
};
/* Where a body goes that is not collected. Frees itself with the request's arena. */
struct sink {
    /* A worker calls it, with pieces in order. A failure is the request's answer. */
    enum status (*add)(struct sink *s, struct slice bytes, struct err *e);
    size_t held; /* bytes of the body that are in memory: counted against all requests' */
};

enum { ROUTE_ARGS_MAX = 4 };
struct request {
    struct arena *arena;
    struct err err;
    const struct services *svc;
    enum method method;
    struct slice raw_path;
    struct slice *seg; /* decoded path segments, "_design/x" joined */
    uint32_t nseg;
    struct param *params;
    uint32_t nparams;
    const struct route *route;
    struct slice arg_names[ROUTE_ARGS_MAX], args[ROUTE_ARGS_MAX];
    uint32_t nargs;
    struct slice body;
    struct sink *sink;   /* it has the body; NULL: rq->body has */
    bool at_once;        /* on a thread that other requests wait for: see rq_elsewhere */
    bool waits_for_disk; /* what the request holds does when it is freed: a worker frees it */
    struct auth_user user;
    bool db_admin;                 /* of the database in the route; after router_authorize */
    unsigned passwords;            /* hashed for this request */
    const struct json *body_json_; /* parsed once */
    void *conn;                    /* server.c's */
    /* Two-step handlers (rq_commit, rq_defer). */
    enum status (*launch)(struct request *rq, struct err *e);
    handler_fn next;
    void (*work)(struct request *rq); /* rq_hash */
    struct commit_batch batch;
    uint64_t range_of; /* with ST_RANGE: the length for Content-Range */
    void *scratch;     /* from the first step to the next */
};

struct slice rq_arg(const struct request *rq, const char *name); /* empty when not in the pattern */
const struct slice *rq_param(const struct request *rq,
                             const char *name);                     /* last one; NULL absent */
struct slice rq_header(const struct request *rq, const char *name); /* p == NULL when absent */
struct slice rq_peer(const struct request *rq); /* the address it came from; peer.c */

/* Whether If-None-Match names this tag (without its quotes): a list, weak tags and "*" count. */
bool rq_none_match(const struct request *rq, struct slice tag);

/* A tag of all documents of the database as they are now, for GET; true: the client has that, and
 * the answer is 304. */
bool reply_unchanged(struct request *rq, struct reply *rp, struct db *db);

/* A parameter of documents and of _changes: CouchDB takes "true" and ignores anything else. */
bool rq_flag(const struct request *rq, const char *name);

/* ---- typed parameters: absent leaves *out alone; ST_BAD_REQUEST query_parse_error ---- */
/* In upper or lower case. */
enum status rq_bool(struct request *rq, const char *name, bool *out) MUST_CHECK;
enum status rq_u64(struct request *rq, const char *name, uint64_t *out) MUST_CHECK;
/* A parameter whose value is JSON (keys, startkey, open_revs); NULL when absent. ST_BAD_REQUEST
 * bad_request: as a body that is no JSON. */
enum status rq_json_param(struct request *rq, const char *name, const struct json **out) MUST_CHECK;

/* ---- body ---- */
enum status rq_json(struct request *rq, const struct json **out) MUST_CHECK; /* any value */
/* An object: 400 "Request body must be a JSON object". */
enum status rq_object(struct request *rq, const struct json **out) MUST_CHECK;

/* ---- database ---- */
/* Opens {db}; released with the request. */
enum status rq_db(struct request *rq, struct db **out) MUST_CHECK;
/* ?rev= or If-Match (quotes off); they must agree. Empty when neither. */
enum status rq_rev(struct request *rq, struct slice *out) MUST_CHECK;

/* Two steps without a blocked worker: the handler returns ST_OK right after one of these; the
 * runner calls launch as its last act, and next runs when somebody calls rq_continue. Between the
 * two the request belongs to what was launched: nobody else may touch it. launch failing: an error
 * answer. */
void rq_defer(struct request *rq, enum status (*launch)(struct request *rq, struct err *e),
              handler_fn next);
void rq_continue(struct request *rq); /* any thread; runner.c */
/* Another launch: the same on a worker. For what takes long, while rq->at_once; runner.c. */
void rq_elsewhere(struct request *rq, handler_fn next);
/* Another launch: work on one of the threads that compute password hashes; runner.c. */
void rq_hash(struct request *rq, void (*work)(struct request *rq), handler_fn next);
/* The usual launch: ops to the committer; next runs when they are durable and visible. */
void rq_commit(struct request *rq, struct commit_op *ops, size_t n, handler_fn next);
#endif
