/* mango/selector.h: Mango selectors: compile once, evaluate per document (couchdb-surface D.2,
 * D.3). Pure: values in, boolean out. A compiled selector is immutable and may be shared by
 * threads; it lives in the arena it was compiled into and borrows from the JSON it was compiled
 * from.
 */
#ifndef MANGO_SELECTOR_H
#define MANGO_SELECTOR_H
#include "base/arena.h"
#include "base/status.h"
#include "json/json.h"

struct selector;
/* Errors carry Mango's tokens: invalid_operator, bad_arg, invalid_selector_json, not_supported, ...
 * $regex is PCRE2 over characters; a pattern that is no pattern is bad_arg, and a match that would
 * take more than LIMIT_REGEX_STEPS steps does not match. $text, $near, ... are not_supported. */
enum status selector_compile(struct arena *a, const struct json *sel, struct selector **out,
                             struct err *e) MUST_CHECK;
/* doc: an object with _id and _rev as members when the selector may ask for them. a: scratch. */
bool selector_match(const struct selector *s, const struct json *doc, struct arena *a);
bool selector_is_all(const struct selector *s); /* {}: matches every document */
/* The normalised form, for _explain and for stored partial_filter_selectors. */
const struct json *selector_json(struct arena *a, const struct selector *s);
/* Top-level fields that decide the outcome; lets a caller parse no more of a document than needed.
 */
uint32_t selector_fields(const struct selector *s, const struct slice **names);

/* ---- paths: "a.b", "list.0", escaped dot "\\." ---- */
struct path {
    struct slice *seg;
    uint32_t n;
};
enum status path_parse(struct arena *a, struct slice text, struct path *out,
                       struct err *e) MUST_CHECK;
const struct json *path_get(const struct json *doc, const struct path *p, struct arena *a);

/* ---- projection: `fields` of _find ---- */
struct projection {
    struct path *paths;
    uint32_t n; /* 0: the whole document */
};
enum status projection_parse(struct arena *a, const struct json *fields, struct projection *out,
                             struct err *e) MUST_CHECK;
const struct json *projection_apply(const struct projection *p, const struct json *doc,
                                    struct arena *a);
#endif
