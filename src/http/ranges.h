/* http/ranges.h: the header Range (RFC 9110), read as CouchDB reads it (couchdb-surface A.10).
 * Pure; any thread. */
#ifndef HTTP_RANGES_H
#define HTTP_RANGES_H
#include <stdint.h>

#include "base/slice.h"

enum { RANGES_MAX = 9 };
struct range {
    uint64_t from, n; /* n > 0, within the length */
};
enum ranges {
    RANGES_NONE, /* the whole: no range that is understood, "0-", or more than RANGES_MAX */
    RANGES_SOME,
    RANGES_OUTSIDE /* 416 */
};
/* What `value` asks of `len` bytes: *n of out, in its order; they may overlap. */
enum ranges ranges_parse(struct slice value, uint64_t len, struct range out[RANGES_MAX],
                         uint32_t *n);
#endif
