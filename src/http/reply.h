/* http/reply.h: one answer. Handlers describe it; server.c sends it. reply.c has the one table from
 * status to HTTP code and CouchDB error word. */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H
#include "base/buf.h"
#include "base/status.h"
#include "json/json.h"

struct stream;
struct reply_header {
    const char *name;
    const char *value;
    struct reply_header *next;
};
struct reply {
    struct arena *arena;
    unsigned code;
    const char *content_type; /* NULL: application/json */
    struct reply_header *headers;
    struct buf body;
    struct stream *stream; /* instead of body; owned */
};

void reply_init(struct reply *rp, struct arena *a);
void reply_fini(struct reply *rp);
void reply_header(struct reply *rp, const char *name, struct slice value); /* CR, LF dropped */
void reply_etag(struct reply *rp, struct slice tag);                       /* adds the quotes */
void reply_json(struct reply *rp, unsigned code, const struct json *v);    /* and the newline */
/* Body was written into rp->body by the handler. */
void reply_body(struct reply *rp, unsigned code);
void reply_ok(struct reply *rp, unsigned code); /* {"ok":true} */
/* {"error","reason"}: what every failed handler ends in. */
void reply_error(struct reply *rp, enum status st, const struct err *e);
/* The value of an Accept header (empty: none): does it take this type? "*" counts and no header at
 * all; q=0 refuses, whatever else is there. */
bool reply_accepts(struct slice accept, struct slice type);
bool reply_accepts_json(struct slice accept);
/* Of an Accept-Encoding header; none takes no coding, "*" takes all. */
bool reply_accepts_coding(struct slice accept, struct slice coding);
unsigned status_code(enum status st);
const char *status_word(enum status st);
/* {"error":..,"reason":..} members for a row of _bulk_docs. */
void reply_error_members(struct buf *b, enum status st, const struct err *e);
#endif
