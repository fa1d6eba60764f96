/* http/multipart.h: multipart bodies (RFC 2046): taken apart when they are complete in memory, and
 * put together piece by piece (couchdb-surface B.5). Pure; any thread.
 */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H
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
/* The parts' bytes, borrowed from body; headers of parts are skipped, and so is what is before the
 * first boundary and after the last. A boundary counts at the start of a line and when nothing but
 * blanks follows it. ST_BAD_REQUEST: cut off, or no part at all; ST_TOO_LARGE: more than
 * LIMIT_MULTIPART_PARTS, or headers of more than LIMIT_MULTIPART_HEAD_BYTES. */
enum status multipart_parse(struct arena *a, struct slice body, struct slice boundary,
                            struct slice **parts, uint32_t *n, struct err *e) MUST_CHECK;

/* ---- out ---- */
enum { MULTIPART_BOUNDARY_BYTES = 32 };
/* Nobody can guess it, so no document can contain it. */
void multipart_boundary_new(char out[MULTIPART_BOUNDARY_BYTES + 1]);
/* "--boundary": begins an answer. Every part then is: line end and headers (multipart_type or
 * multipart_att), its bytes, multipart_next; after the last one multipart_end. */
void multipart_begin(struct buf *out, const char *boundary);
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
