/* base/multipart.h: multipart bodies (RFC 2046), taken apart and put together piece by piece, so
 * that a part may be larger than memory. Pure; any thread, one at a time for one body.
 */
#ifndef BASE_MULTIPART_H
#define BASE_MULTIPART_H
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"

/* ---- in ---- */
/* Whether a Content-Type is this media type, whatever its parameters. */
bool multipart_is(struct slice content_type, struct slice type);
/* The boundary parameter, quoted or not. ST_BAD_REQUEST when there is none, or none that RFC 2046
 * allows. */
enum status multipart_boundary(struct arena *a, struct slice content_type, struct slice *out,
                               struct err *e) MUST_CHECK;
/* What a body is made of, in order. A status that is not ST_OK ends the parsing. */
struct multipart_events {
    /* head: the header lines, for multipart_header; only until it returns. */
    enum status (*begin)(void *arg, struct slice head, struct err *e);
    enum status (*data)(void *arg, struct slice bytes, struct err *e); /* any number of times */
    enum status (*end)(void *arg, struct err *e);
};
/* One body under way. However the body is cut into pieces, the events say the same. What is before
 * the first boundary and after the last is skipped. A boundary counts at the start of a line and
 * when nothing but blanks (at most LIMIT_BOUNDARY_BLANKS) follows it. Keeps at most a part's head
 * of what it has not reported. */
struct multipart;
struct multipart *multipart_new(struct slice boundary, const struct multipart_events *events,
                                void *arg);
/* ST_BAD_REQUEST; ST_TOO_LARGE: more than LIMIT_MULTIPART_PARTS parts, or headers of more than
 * LIMIT_MULTIPART_HEAD_BYTES; what an event returned. After it only multipart_free. */
enum status multipart_add(struct multipart *m, struct slice bytes, struct err *e) MUST_CHECK;
/* The body has ended. ST_BAD_REQUEST: cut off, or no part at all. */
enum status multipart_finish(const struct multipart *m, struct err *e) MUST_CHECK;
void multipart_free(struct multipart *m); /* NULL is fine */
/* A header's value; p == NULL when it is not there. name without the colon. */
struct slice multipart_header(struct slice head, const char *name);

/* ---- out ---- */
enum { MULTIPART_BOUNDARY_BYTES = 32 };
/* Nobody can guess it, so no document can contain it. */
void multipart_boundary_new(char out[MULTIPART_BOUNDARY_BYTES + 1]);
/* "--boundary": begins an answer. Every part then is: line end and headers (multipart_type,
 * or multipart_att), its bytes, multipart_next; after the last one multipart_end. */
void multipart_begin(struct buf *out, const char *boundary);
void multipart_line(struct buf *out, const char *name, struct slice value); /* before the type */
void multipart_type(struct buf *out, const char *content_type);
struct multipart_att {
    struct slice name, type;
    uint64_t length;
    bool gzip;
};
void multipart_att(struct buf *out, const struct multipart_att *t);
void multipart_next(struct buf *out, const char *boundary);
void multipart_end(struct buf *out);
#endif
