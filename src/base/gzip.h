/* base/gzip.h: reading gzip streams (zlib). What comes out is bounded by the caller, so that a
 * small input cannot become an endless output. Any thread, one at a time for one stream. */
#ifndef BASE_GZIP_H
#define BASE_GZIP_H
#include <stdint.h>

#include "base/buf.h"

/* Appends the inflated bytes to out. false: damaged, cut short, or longer than max; out is then as
 * it was. */
bool gzip_inflate(struct slice in, size_t max, struct buf *out);
/* Only the length of what would come out. */
bool gzip_length(struct slice in, size_t max, uint64_t *len);

/* The same piece by piece. Concatenated streams are one, as gzip says. */
struct gunzip;
struct gunzip *gunzip_new(void);
/* Takes from *in and appends at most `room` bytes to out (NULL: they are only counted). Less than
 * `room` came: *in is used up. Exactly `room`: call again, also with an empty *in. false: damaged.
 */
bool gunzip_run(struct gunzip *g, struct slice *in, size_t room, struct buf *out);
uint64_t gunzip_len(const struct gunzip *g); /* what came out so far */
bool gunzip_ended(const struct gunzip *g);   /* what went in is complete */
void gunzip_free(struct gunzip *g);          /* NULL is fine */
#endif
