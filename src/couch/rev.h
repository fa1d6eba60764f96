/* couch/rev.h: one revision id: generation and hash (couchdb-surface C.1, C.2).
 *
 * The hash is kept as CouchDB keeps it: 32 hex digits become 16 raw bytes, anything else stays
 * verbatim; comparison is of those bytes. A 32-byte hash that is not hex is refused.
 */
#ifndef COUCH_REV_H
#define COUCH_REV_H
#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"

struct rev {
    uint32_t gen;    /* 0: no revision */
    bool hex;        /* id is 16 raw bytes, written as 32 hex digits */
    struct slice id; /* borrowed, or arena */
};
enum { REV_TEXT_MAX = 11 + LIMIT_REV_BYTES };

/* "3-abc..." ; ST_BAD_REQUEST "Invalid rev format". The id is arena memory when decoded from hex.
 */
struct arena;
enum status rev_parse(struct arena *a, struct slice text, struct rev *out,
                      struct err *e) MUST_CHECK;
/* Only the hash part, for _revisions.ids. */
enum status rev_parse_hash(struct arena *a, uint32_t gen, struct slice text, struct rev *out,
                           struct err *e) MUST_CHECK;
void rev_write(struct buf *b, const struct rev *r); /* "3-abc", no quotes */
struct slice rev_text(struct arena *a, const struct rev *r);
int rev_cmp(const struct rev *x, const struct rev *y); /* generation, then hash bytes */
bool rev_eq(const struct rev *x, const struct rev *y);

/* The id CouchDB gives an edit: MD5 over the Erlang external term [Deleted, OldGen, OldRev, Body,
 * Atts] (C.2), so that the same edit on CouchDB and here has the same revision. `body` is the
 * parsed document, members whose name starts with '_' left out; atts are in member order.
 * parent->gen 0: none. out->id points into id16. */
struct json;
struct rev_att {
    struct slice name, type;
    unsigned char md5[16];
};
void rev_make(const struct rev *parent, bool deleted, const struct json *body,
              const struct rev_att *atts, size_t natts, unsigned char id16[16], struct rev *out);
#endif
