/* mango/selector_match.c: does a document satisfy a selector (couchdb-surface D.3)? Comparisons
 * take no memory; the arena serves a path that names an element of a packed array. Threads: any.
 */
#include "base/assert.h"
#include "mango/selector_priv.h"

/* Raw order is Erlang's: no type is above strings, so that every id is greater than {} and []. */
int sel_compare(bool raw, const struct json *x, const struct json *y)
{
    bool sx = x->type == JSON_STRING, sy = y->type == JSON_STRING;

    if (raw && sx && sy)
        return slice_cmp(x->text, y->text);
    if (raw && sx != sy)
        return sx ? 1 : -1;
    return json_collate(x, y);
}

/* ---- $in, $all ---- */

static bool in_holds(const struct sel_node *n, const struct json *v)
{
    uint32_t lo = 0, hi = n->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = sel_compare(n->raw, v, n->vals[mid]);

        if (c == 0)
            return true;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return false;
}

static bool match_in(const struct sel_node *n, const struct json *v)
{
    const struct json *item;
    struct elems it;

    if (in_holds(n, v))
        return true;
    if (v->type != JSON_ARRAY)
        return false;
    for (it = elems_of(v); (item = elems_next(&it)) != NULL;)
        if (in_holds(n, item))
            return true;
    return false;
}

static bool is_integer(struct slice text)
{
    return memchr(text.p, '.', text.n) == NULL && memchr(text.p, 'e', text.n) == NULL &&
           memchr(text.p, 'E', text.n) == NULL;
}

/* The same term, as $all asks: 1 is not 1.0, strings by bytes, members in the same order. */
/* Recursion: LIMIT_JSON_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool same_term(const struct json *x, const struct json *y)
{
    struct elems ix, iy;

    if (x->type != y->type)
        return false;
    if (x->type == JSON_STRING)
        return slice_eq(x->text, y->text);
    if (x->type == JSON_NUMBER)
        return is_integer(x->text) == is_integer(y->text) && json_collate(x, y) == 0;
    if (x->type != JSON_ARRAY && x->type != JSON_OBJECT)
        return true;
    if (x->count != y->count)
        return false;
    for (ix = elems_of(x), iy = elems_of(y);;) {
        const struct json *vx = elems_next(&ix), *vy = elems_next(&iy);

        if (vx == NULL || vy == NULL)
            return vx == vy;
        if (x->type == JSON_OBJECT && !slice_eq(vx->key, vy->key))
            return false;
        if (!same_term(vx, vy))
            return false;
    }
}

static bool array_has(const struct json *arr, const struct json *v)
{
    const struct json *item;
    struct elems it;

    for (it = elems_of(arr); (item = elems_next(&it)) != NULL;)
        if (same_term(item, v))
            return true;
    return false;
}

static bool match_all(const struct sel_node *n, const struct json *v)
{
    uint32_t i = 0;

    if (v->type != JSON_ARRAY || n->n == 0)
        return false;
    while (i < n->n && array_has(v, n->vals[i]))
        i++;
    return i == n->n || (n->n == 1 && same_term(n->vals[0], v));
}

/* ---- the rest ---- */

static bool match_mod(const struct sel_node *n, const struct json *v)
{
    int64_t i;

    if (!json_int(v, &i))
        return false;
    return (n->num == -1 ? 0 : i % n->num) == n->rest; /* INT64_MIN % -1 traps */
}

static bool match_node(const struct sel_node *n, const struct json *v, struct arena *a);

/* NOLINTNEXTLINE(misc-no-recursion): see match_node */
static bool match_elem(const struct sel_node *n, const struct json *v, struct arena *a)
{
    bool every = n->op == SEL_EVERY;
    const struct json *item;
    struct elems it;

    if (v->type != JSON_ARRAY || v->count == 0)
        return false;
    for (it = elems_of(v); (item = elems_next(&it)) != NULL;)
        if (match_node(n->kids[0], item, a) != every)
            return !every;
    return every;
}

/* NOLINTNEXTLINE(misc-no-recursion): see match_node */
static bool match_keys(const struct sel_node *n, const struct json *v, struct arena *a)
{
    if (v->type != JSON_OBJECT)
        return false;
    for (const struct json *m = v->first; m != NULL; m = m->next) {
        struct json name = {.type = JSON_STRING, .text = m->key};
        if (match_node(n->kids[0], &name, a))
            return true;
    }
    return false;
}

/* v, which is there, against the operator. */
/* NOLINTNEXTLINE(misc-no-recursion): see match_node */
static bool match_op(const struct sel_node *n, const struct json *v, struct arena *a)
{
    switch (n->op) {
    case SEL_EQ:
        return sel_compare(n->raw, v, n->arg) == 0;
    case SEL_NE:
        return sel_compare(n->raw, v, n->arg) != 0;
    case SEL_LT:
        return sel_compare(n->raw, v, n->arg) < 0;
    case SEL_LTE:
        return sel_compare(n->raw, v, n->arg) <= 0;
    case SEL_GT:
        return sel_compare(n->raw, v, n->arg) > 0;
    case SEL_GTE:
        return sel_compare(n->raw, v, n->arg) >= 0;
    case SEL_EXISTS:
        return n->want;
    case SEL_TYPE:
        return (n->types >> v->type & 1) != 0;
    case SEL_IN:
        return match_in(n, v);
    case SEL_NIN:
        return !match_in(n, v);
    case SEL_ALL:
        return match_all(n, v);
    case SEL_SIZE:
        return v->type == JSON_ARRAY && v->count == (uint64_t)n->num;
    case SEL_ELEM:
    case SEL_EVERY:
        return match_elem(n, v, a);
    case SEL_KEYS:
        return match_keys(n, v, a);
    case SEL_MOD:
        return match_mod(n, v);
    case SEL_BEGINS:
        return v->type == JSON_STRING && slice_starts(v->text, n->arg->text);
    case SEL_REGEX:
    case SEL_TRUE:
    case SEL_FALSE:
    case SEL_AND:
    case SEL_OR:
    case SEL_NOT:
    case SEL_NOR:
    case SEL_REFUSED:
        break;
    }
    ASSERT(n->op == SEL_EQ); /* fails: the operators of a leaf are above */
    return false;
}

/* A pattern that hits a bound does not match, negated or not. */
static bool match_regex(const struct sel_node *n, const struct json *v)
{
    int r = v->type == JSON_STRING ? regex_match(n->re, v->text) : 0;

    return r >= 0 && (r == 1) != n->negate;
}

/* Recursion: two nodes for each of LIMIT_SELECTOR_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool match_node(const struct sel_node *n, const struct json *v, struct arena *a)
{
    const struct json *at;

    if (n->op == SEL_TRUE || n->op == SEL_FALSE)
        return n->op == SEL_TRUE;
    if (n->op == SEL_AND || n->op == SEL_OR) {
        bool stop = n->op == SEL_OR; /* what ends the search */
        for (uint32_t i = 0; i < n->n; i++)
            if (match_node(n->kids[i], v, a) == stop)
                return stop;
        return !stop;
    }
    at = n->path.n != 0 ? path_get(v, &n->path, a) : v;
    if (at == NULL)
        return n->op == SEL_EXISTS && !n->want;
    if (n->op == SEL_REGEX)
        return match_regex(n, at);
    return match_op(n, at, a) != n->negate;
}

bool selector_match(const struct selector *s, const struct json *doc, struct arena *a)
{
    return match_node(s->root, doc, a);
}
