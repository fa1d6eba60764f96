/* base/gzip.h: reading gzip streams (zlib). What comes out is bounded by the caller, so that a
 * small input cannot become an endless output. No state, any thread. */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H
#include <stdint.h>

#include "base/buf.h"

/* Appends the inflated bytes to out. false: damaged, cut short, or longer than max; out is then as
 * it was. */
bool gzip_inflate(struct slice in, size_t max, struct buf *out);
/* Only the length of what would come out. */
bool gzip_length(struct slice in, size_t max, uint64_t *len);
#endif
