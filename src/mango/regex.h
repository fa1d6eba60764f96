/* mango/regex.h: patterns of $regex: PCRE2, as in CouchDB, but over characters instead of bytes.
 * Its header is included by regex.c alone. A match is bounded in steps, depth and memory, so that
 * no pattern can hold a worker for long. Threads: a compiled pattern may be shared.
 */
#ifndef MANGO_REGEX_H
#define MANGO_REGEX_H
#include "base/arena.h"
#include "base/status.h"

struct regex;
/* Arena. ST_BAD_REQUEST: the reason says what and where. */
enum status regex_compile(struct arena *a, struct slice pattern, const struct regex **out,
                          struct err *e) MUST_CHECK;
/* Some part of text matches: 1; none: 0; a bound was hit before that was known: -1. */
int regex_match(const struct regex *re, struct slice text);
#endif
