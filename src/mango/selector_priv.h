/* mango/selector_priv.h: a compiled selector inside, for compiling, matching, showing and planning.
 *
 * Invariant: negations are pushed down to the leaves when a selector is compiled: AND, OR and
 * leaves are all there is, and a leaf whose field is missing never matches, but for EXISTS without
 * `want`. Every operator that has an opposite became it; the others carry `negate`. Immutable when
 * done.
 */
#ifndef MANGO_SELECTOR_PRIV_H
#define MANGO_SELECTOR_PRIV_H
#include "base/limits.h"
#include "mango/regex.h"
#include "mango/selector.h"

enum sel_op {
    SEL_TRUE,
    SEL_FALSE,
    SEL_AND,
    SEL_OR,
    SEL_EQ,
    SEL_NE,
    SEL_LT,
    SEL_LTE,
    SEL_GT,
    SEL_GTE,
    SEL_EXISTS,
    SEL_TYPE,
    SEL_IN,
    SEL_NIN,
    SEL_ALL,
    SEL_SIZE,
    SEL_ELEM,
    SEL_EVERY, /* $allMatch */
    SEL_KEYS,  /* $keyMapMatch */
    SEL_MOD,
    SEL_REGEX,
    SEL_BEGINS,
    SEL_NOT, /* only while compiling, as the next two */
    SEL_NOR,
    SEL_REFUSED
};

struct sel_node {
    enum sel_op op;
    bool negate;              /* leaf: {"$not":{op:..}} */
    bool raw;                 /* leaf: the field is _id: strings compare by bytes */
    bool want;                /* EXISTS */
    unsigned types;           /* TYPE: a bit for each enum json_type */
    uint32_t n;               /* AND, OR: kids; IN, NIN, ALL: vals */
    struct sel_node **kids;   /* AND, OR; ELEM, EVERY, KEYS have one */
    const struct json **vals; /* IN, NIN: sorted; ALL: as given */
    struct path path;         /* no segments: the value itself (inside ELEM, EVERY, KEYS) */
    struct slice field;       /* the path's text */
    const struct json *arg;
    int64_t num, rest; /* SIZE: num; MOD: divisor num, remainder rest */
    const struct regex *re;
};

struct selector {
    struct sel_node *root;
    struct slice *fields;
    uint32_t nfields;
};

const char *sel_op_name(enum sel_op op); /* "$eq" */
/* json_collate; raw: strings in byte order, and above all other types. */
int sel_compare(bool raw, const struct json *x, const struct json *y);

/* Walks the elements of an array, packed or not, without memory of its own. */
struct elems {
    const struct json *next;
    struct slice rest;
    struct json number; /* the current element of a packed array */
    bool packed;
};
struct elems elems_of(const struct json *arr);
const struct json *elems_next(struct elems *it); /* NULL at the end; borrowed from it when packed */

/* The JSON of v for an error's reason, shortened. */
const char *mango_show(struct arena *a, const struct json *v);
const char *mango_show_text(struct arena *a, struct slice s);
#endif
