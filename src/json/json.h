/* json/json.h: JSON values in an arena.
 *
 * 1. A parsed value is immutable. Strings carry lengths and may hold U+0000; numbers keep their
 *    text, so 1.0, 12345678901234567890 and 1e400 go out as they came in.
 * 2. Member order is kept. A duplicate name: the last member stays, at its own place; the raw
 *    text of every value around it is then dropped (raw.n == 0).
 * 3. An array that holds only numbers and more than JSON_PACK_MIN of them is `packed`: it has no
 *    element nodes, just its count and its text (json_floats reads it). A vector of 1,536 numbers
 *    costs one node.
 * 4. Lone surrogates, invalid UTF-8, nesting deeper than LIMIT_JSON_DEPTH and anything but
 *    whitespace after the value are ST_BAD_REQUEST. More than LIMIT_JSON_BYTES of text or
 *    LIMIT_JSON_NODES values (a packed array is one) are ST_TOO_LARGE.
 * Threads: a value has no locks; sharing a finished one between threads is fine.
 */
#ifndef JSON_JSON_H
#define JSON_JSON_H
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"

enum { JSON_PACK_MIN = 16 };
enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json {
    enum json_type type;
    bool packed;        /* array of numbers without nodes, see 3 */
    bool dup;           /* a duplicate name was seen in it or below */
    bool dead;          /* while its object is parsed: a later member has its name */
    bool blank;         /* raw may hold whitespace outside strings */
    bool attached;      /* parsed, or already a member or element of another value */
    uint32_t count;     /* elements or members */
    struct slice text;  /* string: decoded bytes; number: its digits; packed: same as raw */
    struct slice raw;   /* as it came, borrowed from the input; empty for built values */
    struct slice key;   /* decoded name, when a member of an object */
    struct json *first; /* children, in order; NULL when packed or none */
    struct json *last;
    struct json *next; /* sibling */
};

/* ---- parse ---- */
/* The text must outlive the values (they borrow from it). Error reason is CouchDB's
 * "invalid UTF-8 JSON" with where it went wrong where that helps. */
enum status json_parse(struct arena *a, struct slice text, const struct json **out,
                       struct err *e) MUST_CHECK;

/* ---- look ---- */
const struct json *json_get(const struct json *obj, const char *name); /* NULL: absent, no object */
const struct json *json_get_s(const struct json *obj, struct slice name);
const struct json *json_at(const struct json *arr, uint32_t i); /* NULL out of range or packed */
/* Like json_at but makes a node for an element of a packed array. */
const struct json *json_elem(struct arena *a, const struct json *arr, uint32_t i);
/* Gives a packed array its element nodes: a copy of arr (arr itself when not packed). */
const struct json *json_unpack(struct arena *a, const struct json *arr);
static inline bool json_is(const struct json *v, enum json_type t)
{
    return v != NULL && v->type == t;
}
bool json_bool(const struct json *v, bool *out); /* false when v is no boolean */
/* false unless an integer that fits (1.0 is no) */
bool json_int(const struct json *v, int64_t *out);
double json_double(const struct json *v); /* of a number; may be infinite (1e400) */
/* The first n numbers of a packed or ordinary array of numbers as float32. false when an element
 * is no number, is not finite as float32, or the count is not n. *bad: index of the offender. */
bool json_floats(const struct json *arr, float *out, uint32_t n, uint32_t *bad);
bool json_has_dup(const struct json *v); /* a duplicate name was seen somewhere inside */

/* ---- build (arena; names and strings are borrowed, not copied) ---- */
struct json *json_object(struct arena *a);
struct json *json_array(struct arena *a);
struct json *json_null(struct arena *a);
struct json *json_boolean(struct arena *a, bool b);
struct json *json_str(struct arena *a, struct slice s);
struct json *json_i64(struct arena *a, int64_t v);
/* The shortest digits that read back: 1.0 is 1. null when v is not finite: JSON cannot say it. */
struct json *json_num(struct arena *a, double v);
/* Text known to be valid JSON, for writing: its type is right, but it shows no children. */
struct json *json_raw(struct arena *a, struct slice raw);
/* Names are not looked up first: put each name once. */
void json_put(struct arena *a, struct json *obj, const char *name, const struct json *v);
void json_put_key(struct arena *a, struct json *obj, struct slice name, const struct json *v);
void json_put_str(struct arena *a, struct json *obj, const char *name, struct slice s);
void json_put_cstr(struct arena *a, struct json *obj, const char *name, const char *s);
void json_put_i64(struct arena *a, struct json *obj, const char *name, int64_t v);
void json_put_bool(struct arena *a, struct json *obj, const char *name, bool b);
void json_add(struct arena *a, struct json *arr, const struct json *v);
/* json_put and json_add make a shallow copy of v when it already has a parent. */

/* ---- write ---- */
/* Compact text: no whitespace outside strings, never a newline. Uses raw where it is there. */
void json_write(struct buf *b, const struct json *v);
void json_write_str(struct buf *b, struct slice s); /* quoted and escaped */
void json_write_num(struct buf *b, double v);

/* ---- order ---- */
/* CouchDB's collation: null < false < true < numbers < strings < arrays < objects. Numbers by
 * value, integers exactly; strings by ICU's root collation, where different bytes may be equal (an
 * accented letter in its two normal forms); arrays by elements; objects by members in their stored
 * order, first the name and then its value. Values made by json_raw have no children to compare. */
int json_collate(const struct json *x, const struct json *y);
/* The versions that order depends on, as text. */
struct json_collation {
    char library[24], collator[24], algorithm[24];
};
void json_collation_versions(struct json_collation *out);
#endif
