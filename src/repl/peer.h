/* repl/peer.h: HTTP to another Couch over libcurl's multi interface. One peer belongs to one job's
 * thread; several fetches may be under way, and waiting for one moves all of them on.
 */
#ifndef REPL_PEER_H
#define REPL_PEER_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "json/json.h"

/* Where the other database is. All arena memory. */
struct peer_addr {
    struct slice url; /* scheme, host, path of the database; no user info, no trailing slash */
    struct slice user, password;
    const struct json *headers; /* object of strings, or NULL */
};
/* Takes a URL string or {"url","headers","auth":{"basic":{..}}}. ST_BAD_REQUEST. */
enum status peer_addr_parse(struct arena *a, const struct json *v, struct peer_addr *out,
                            struct err *e) MUST_CHECK;

/* An address that no replication may call: nowhere, link-local, multicast; also in IPv6 clothes. */
struct sockaddr;
bool peer_address_forbidden(const struct sockaddr *sa);

void peer_init(void); /* once, before the first peer and before other threads */

struct peer;
struct peer *peer_new(const struct peer_addr *addr, const _Atomic int *stop);
void peer_free(struct peer *p);   /* ends what is under way; NULL is fine */
void peer_wakeup(struct peer *p); /* any thread: looks at the stop flag now */
/* ended: asked every second while something is waited for; true is as good as the stop flag. */
void peer_watch(struct peer *p, bool (*ended)(void *arg), void *arg);

struct fetch;
/* method "GET", "POST" or "PUT"; path is appended to the database's URL ("/_changes?..."). body is
 * copied; n == 0 with "POST" sends an empty JSON body. */
struct fetch *fetch_start(struct peer *p, const char *method, struct slice path, struct slice body);
/* Where an answer goes that is not collected: one of status 200 and this media type. */
struct fetch_sink {
    const char *type;
    /* Each try begins anew. */
    enum status (*begin)(struct fetch_sink *s, struct slice content_type, struct err *e);
    enum status (*add)(struct fetch_sink *s, struct slice bytes, struct err *e);
    bool used;      /* it has the answer; else fetch_body has */
    enum status st; /* what one of them returned: the fetch ends with it */
    struct err err;
};
/* A GET that would like such an answer, and takes JSON as well. */
struct fetch *fetch_start_sink(struct peer *p, struct slice path, struct fetch_sink *sink);
/* Runs until this fetch has an answer; connection errors, 429 and 5xx are tried again a few times.
 * *code: the HTTP status. The answer's bytes stay with the fetch. ST_UPSTREAM: no answer;
 * ST_TIMEOUT: the job was told to stop. */
enum status fetch_wait(struct peer *p, struct fetch *f, long *code, struct err *e) MUST_CHECK;
struct slice fetch_body(const struct fetch *f);
void fetch_free(struct peer *p, struct fetch *f); /* aborts it if need be; NULL is fine */

/* Start, wait and parse: the answer as JSON in the arena; any HTTP status. */
struct peer_call {
    const char *method;
    struct slice path, body;
    long code;               /* the answer */
    const struct json *json; /* the answer */
};
enum status peer_call(struct peer *p, struct arena *a, struct peer_call *call,
                      struct err *e) MUST_CHECK;
#endif
