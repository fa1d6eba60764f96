/* base/text.h: hex, base64, percent escapes, UTF-8. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

void hex_encode(const void *in, size_t n, char *out /* 2n, lower case, no NUL */);
bool hex_decode(struct slice in, void *out /* in.n/2 */); /* false: odd length or not hex */

size_t base64_encoded_len(size_t n);
void base64_encode(const void *in, size_t n, char *out /* base64_encoded_len(n) */);
/* Standard alphabet, padding required unless `url`, which takes the URL alphabet without padding.
 * false on any other byte. *n is the number of bytes written to out (at most in.n/4*3+3). Fast:
 * vectors arrive this way. */
bool base64_decode(struct slice in, void *out, size_t *n);
bool base64url_decode(struct slice in, void *out, size_t *n);
size_t base64url_encode(const void *in, size_t n, char *out); /* no padding; returns the length */

/* Percent-decodes into the arena; plus_space turns '+' into ' '. false on a malformed escape. */
bool percent_decode(struct arena *a, struct slice in, bool plus_space, struct slice *out);
/* Escapes all but unreserved characters (RFC 3986). */
void percent_encode(struct buf *b, struct slice in);

void utf8_repair(struct buf *b, struct slice s); /* s, U+FFFD for each byte that is no UTF-8 */
bool utf8_valid(struct slice s);                 /* no surrogates, no overlong forms */
bool parse_u64(struct slice s, uint64_t *out);   /* decimal digits only, no overflow */
bool parse_i64(struct slice s, int64_t *out);
bool slice_ieq(struct slice a, struct slice b); /* ASCII case-insensitive */
/* What is before sep, or all; *rest moves behind it. */
struct slice slice_cut(struct slice *rest, char sep);
struct slice slice_trim(struct slice s); /* spaces and tabs off both ends */
#endif
