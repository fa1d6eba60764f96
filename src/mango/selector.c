/* mango/selector.c: compiling selectors: checks, normalises, pushes negations down (couchdb-surface
 * D.2). The result borrows from the JSON and lives in the arena. Threads: any, one per call.
 *
 * Two deviations from CouchDB, on purpose: a condition without a field name is an error at every
 * level, and $exists:false holds for whatever is not there, also below a value that is no object.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "mango/selector_priv.h"

struct compile {
    struct arena *a;
    struct err *e;
    uint32_t clauses;
};

/* Where in the selector the compiler is. */
struct place {
    struct slice field; /* path so far; empty: none */
    bool elem;          /* about elements or keys: conditions need no field */
    bool neg;           /* under an odd number of negations */
    unsigned depth;
};

/* ---- operators ---- */

static const struct {
    const char *name;
    enum sel_op op, opposite; /* opposite == op: none, a negation stays outside */
} operators[] = {
    {"$eq", SEL_EQ, SEL_NE},
    {"$ne", SEL_NE, SEL_EQ},
    {"$lt", SEL_LT, SEL_GTE},
    {"$lte", SEL_LTE, SEL_GT},
    {"$gt", SEL_GT, SEL_LTE},
    {"$gte", SEL_GTE, SEL_LT},
    {"$exists", SEL_EXISTS, SEL_EXISTS},
    {"$type", SEL_TYPE, SEL_TYPE},
    {"$in", SEL_IN, SEL_NIN},
    {"$nin", SEL_NIN, SEL_IN},
    {"$all", SEL_ALL, SEL_ALL},
    {"$size", SEL_SIZE, SEL_SIZE},
    {"$elemMatch", SEL_ELEM, SEL_ELEM},
    {"$allMatch", SEL_EVERY, SEL_EVERY},
    {"$keyMapMatch", SEL_KEYS, SEL_KEYS},
    {"$mod", SEL_MOD, SEL_MOD},
    {"$regex", SEL_REGEX, SEL_REGEX},
    {"$beginsWith", SEL_BEGINS, SEL_BEGINS},
    {"$and", SEL_AND, SEL_OR},
    {"$or", SEL_OR, SEL_AND},
    {"$not", SEL_NOT, SEL_NOT},
    {"$nor", SEL_NOR, SEL_NOR},
    {"$text", SEL_REFUSED, SEL_REFUSED},
    {"$where", SEL_REFUSED, SEL_REFUSED},
    {"$geoWithin", SEL_REFUSED, SEL_REFUSED},
    {"$geoIntersects", SEL_REFUSED, SEL_REFUSED},
    {"$near", SEL_REFUSED, SEL_REFUSED},
    {"$nearSphere", SEL_REFUSED, SEL_REFUSED},
};
enum { NOPERATORS = sizeof operators / sizeof operators[0] };

const char *sel_op_name(enum sel_op op)
{
    for (int i = 0; i < NOPERATORS; i++)
        if (operators[i].op == op)
            return operators[i].name;
    return "?";
}

static enum sel_op opposite(enum sel_op op)
{
    for (int i = 0; i < NOPERATORS; i++)
        if (operators[i].op == op)
            return operators[i].opposite;
    return op;
}

static bool find_op(struct slice name, enum sel_op *op)
{
    for (int i = 0; i < NOPERATORS; i++) {
        if (slice_eq(name, slice_str(operators[i].name))) {
            *op = operators[i].op;
            return true;
        }
    }
    return false;
}

static enum status bad_arg(struct compile *c, enum sel_op op, const struct json *arg)
{
    return err_word(c->e, ST_BAD_REQUEST, "bad_arg", "Bad argument for operator %s: %s",
                    sel_op_name(op), mango_show(c->a, arg));
}

/* ---- nodes ---- */

static enum status node_new(struct compile *c, enum sel_op op, struct sel_node **out)
{
    if (++c->clauses > LIMIT_SELECTOR_CLAUSES)
        return err_word(c->e, ST_BAD_REQUEST, "invalid_selector",
                        "Selector has more than %d conditions", LIMIT_SELECTOR_CLAUSES);
    *out = arena_zalloc(c->a, sizeof **out);
    (*out)->op = op;
    return ST_OK;
}

/* A leaf at w, its operator turned round when w is negated. */
static enum status leaf_new(struct compile *c, enum sel_op op, const struct json *arg,
                            const struct place *w, struct sel_node **out)
{
    struct sel_node *n;

    TRY(node_new(c, w->neg ? opposite(op) : op, out));
    n = *out;
    n->arg = arg;
    n->negate = w->neg && opposite(op) == op && op != SEL_EXISTS;
    n->field = w->field;
    if (w->field.n != 0)
        return path_parse(c->a, w->field, &n->path, c->e);
    if (w->elem)
        return ST_OK;
    return err_word(c->e, ST_BAD_REQUEST, "invalid_selector",
                    "One or more conditions is missing a field name.");
}

static enum status constant(struct compile *c, bool value, struct sel_node **out)
{
    return node_new(c, value ? SEL_TRUE : SEL_FALSE, out);
}

static enum status comp_cond(struct compile *c, const struct json *v, const struct place *w,
                             struct sel_node **out);
static enum status comp_member(struct compile *c, const struct json *m, const struct place *w,
                               struct sel_node **out);

/* A conjunction or disjunction of what stands in list: members of an object, or elements. */
/* NOLINTNEXTLINE(misc-no-recursion): see comp_cond */
static enum status comp_list(struct compile *c, enum sel_op op, const struct json *list,
                             const struct place *w, struct sel_node **out)
{
    struct sel_node *n;

    if (list->count > LIMIT_SELECTOR_CLAUSES)
        c->clauses = LIMIT_SELECTOR_CLAUSES; /* node_new says no before anything is unpacked */
    TRY(node_new(c, w->neg ? opposite(op) : op, out));
    n = *out;
    n->kids = arena_array(c->a, list->count, sizeof(struct sel_node *));
    list = json_unpack(c->a, list);
    for (const struct json *v = list->first; v != NULL; v = v->next) {
        struct sel_node **kid = &n->kids[n->n];

        if (list->type == JSON_OBJECT)
            TRY(comp_member(c, v, w, kid));
        else
            TRY(comp_cond(c, v, w, kid));
        if ((*kid)->op != SEL_TRUE || n->op != SEL_AND)
            n->n++;
    }
    if (n->n == 0)
        n->op = SEL_TRUE; /* all of nothing but what is true */
    return ST_OK;
}

/* ---- operators with arguments to prepare ---- */

static int by_collation(const void *x, const void *y)
{
    return sel_compare(false, *(const struct json *const *)x, *(const struct json *const *)y);
}

static int by_bytes(const void *x, const void *y)
{
    return sel_compare(true, *(const struct json *const *)x, *(const struct json *const *)y);
}

static enum status prepare_values(struct compile *c, enum sel_op op, struct sel_node *n)
{
    const struct json *list = n->arg;

    if (list->type != JSON_ARRAY)
        return bad_arg(c, op, n->arg);
    if (list->count > (op == SEL_ALL ? LIMIT_SELECTOR_CLAUSES : LIMIT_SELECTOR_VALUES))
        return err_word(c->e, ST_BAD_REQUEST, "bad_arg", "Too many values for operator %s",
                        sel_op_name(op));
    list = json_unpack(c->a, list);
    n->vals = arena_array(c->a, list->count, sizeof(struct json *));
    for (const struct json *v = list->first; v != NULL; v = v->next)
        n->vals[n->n++] = v;
    if (op != SEL_ALL && n->n > 1)
        qsort(n->vals, n->n, sizeof(struct json *), n->raw ? by_bytes : by_collation);
    return ST_OK;
}

static enum status prepare_type(struct compile *c, struct sel_node *n)
{
    static const struct {
        const char *name;
        unsigned types;
    } names[] = {{"null", 1u << JSON_NULL},     {"boolean", 1u << JSON_FALSE | 1u << JSON_TRUE},
                 {"number", 1u << JSON_NUMBER}, {"string", 1u << JSON_STRING},
                 {"array", 1u << JSON_ARRAY},   {"object", 1u << JSON_OBJECT}};

    for (size_t i = 0; n->arg->type == JSON_STRING && i < sizeof names / sizeof names[0]; i++)
        if (slice_eq(n->arg->text, slice_str(names[i].name)))
            n->types = names[i].types;
    return n->types != 0 ? ST_OK : bad_arg(c, SEL_TYPE, n->arg);
}

static enum status prepare_mod(struct compile *c, struct sel_node *n)
{
    const struct json *arg = n->arg;

    if (arg->type != JSON_ARRAY || arg->count != 2 || !json_int(json_at(arg, 0), &n->num) ||
        !json_int(json_at(arg, 1), &n->rest) || n->num == 0)
        return bad_arg(c, SEL_MOD, arg);
    return ST_OK;
}

static enum status prepare_regex(struct compile *c, struct sel_node *n)
{
    struct err why;

    if (n->arg->type != JSON_STRING)
        return bad_arg(c, SEL_REGEX, n->arg);
    if (regex_compile(c->a, n->arg->text, &n->re, &why) == ST_OK)
        return ST_OK;
    return err_word(c->e, ST_BAD_REQUEST, "bad_arg", "Bad argument for operator $regex: %s (%s)",
                    mango_show(c->a, n->arg), why.reason);
}

static enum status prepare(struct compile *c, enum sel_op op, bool neg, struct sel_node *n)
{
    bool ok = true;

    if (op == SEL_TYPE)
        return prepare_type(c, n);
    if (op == SEL_MOD)
        return prepare_mod(c, n);
    if (op == SEL_REGEX)
        return prepare_regex(c, n);
    if (op == SEL_IN || op == SEL_NIN || op == SEL_ALL)
        return prepare_values(c, op, n);
    if (op == SEL_EXISTS) {
        ok = json_bool(n->arg, &n->want);
        n->want = n->want != neg;
    } else if (op == SEL_SIZE) {
        ok = json_int(n->arg, &n->num) && n->num >= 0;
    } else if (op == SEL_BEGINS) {
        ok = n->arg->type == JSON_STRING;
    }
    return ok ? ST_OK : bad_arg(c, op, n->arg); /* the comparisons take any value */
}

/* NOLINTNEXTLINE(misc-no-recursion): see comp_cond */
static enum status comp_inner(struct compile *c, enum sel_op op, const struct json *arg,
                              const struct place *w, struct sel_node **out)
{
    struct place inside = {.elem = true, .depth = w->depth + 1};

    if (arg->type != JSON_OBJECT)
        return bad_arg(c, op, arg);
    TRY(leaf_new(c, op, arg, w, out));
    (*out)->kids = arena_array(c->a, 1, sizeof(struct sel_node *));
    return comp_cond(c, arg, &inside, &(*out)->kids[0]);
}

/* NOLINTNEXTLINE(misc-no-recursion): see comp_cond */
static enum status comp_bool(struct compile *c, enum sel_op op, const struct json *arg,
                             const struct place *w, struct sel_node **out)
{
    struct place inside = *w;

    inside.depth++;
    if (op == SEL_NOT || op == SEL_NOR)
        inside.neg = !w->neg;
    if (arg->type != (op == SEL_NOT ? JSON_OBJECT : JSON_ARRAY))
        return bad_arg(c, op, arg);
    if (op == SEL_NOT)
        return comp_cond(c, arg, &inside, out);
    if (arg->count == 0) /* as in CouchDB, an empty $or below the top is true */
        return constant(c, op != SEL_AND || !w->neg, out);
    return comp_list(c, op == SEL_NOR ? SEL_OR : op, arg, &inside, out);
}

/* NOLINTNEXTLINE(misc-no-recursion): see comp_cond */
static enum status comp_op(struct compile *c, const struct json *m, const struct place *w,
                           struct sel_node **out)
{
    enum sel_op op;

    if (!find_op(m->key, &op))
        return err_word(c->e, ST_BAD_REQUEST, "invalid_operator", "Invalid operator: %s",
                        mango_show_text(c->a, m->key));
    if (op == SEL_REFUSED)
        return err_word(c->e, ST_BAD_REQUEST, "not_supported", "Unsupported operator: %s",
                        mango_show_text(c->a, m->key));
    if (op == SEL_AND || op == SEL_OR || op == SEL_NOT || op == SEL_NOR)
        return comp_bool(c, op, m, w, out);
    if (op == SEL_ELEM || op == SEL_EVERY || op == SEL_KEYS)
        return comp_inner(c, op, m, w, out);
    TRY(leaf_new(c, op, m, w, out));
    (*out)->raw = slice_eq(w->field, SLICE_LIT("_id"));
    return prepare(c, op, w->neg, *out);
}

/* ---- selectors ---- */

static enum status field_join(struct compile *c, struct slice above, struct slice name,
                              struct slice *out)
{
    size_t n = above.n != 0 ? above.n + 1 + name.n : name.n;
    char *p;

    if (name.n == 0 || n > LIMIT_PATH_BYTES)
        return err_word(c->e, ST_BAD_REQUEST, "invalid_field_name", "Invalid field name: %s",
                        mango_show_text(c->a, name));
    *out = name;
    if (above.n == 0)
        return ST_OK;
    p = arena_alloc(c->a, n);
    memcpy(p, above.p, above.n);
    p[above.n] = '.';
    memcpy(p + above.n + 1, name.p, name.n);
    *out = slice_of(p, n);
    return ST_OK;
}

/* One member of a selector: an operator, or a field and its condition. */
/* NOLINTNEXTLINE(misc-no-recursion): see comp_cond */
static enum status comp_member(struct compile *c, const struct json *m, const struct place *w,
                               struct sel_node **out)
{
    struct place below = *w;

    if (m->key.n != 0 && m->key.p[0] == '$')
        return comp_op(c, m, w, out);
    below.depth++;
    TRY(field_join(c, w->field, m->key, &below.field));
    return comp_cond(c, m, &below, out);
}

/* A selector or a condition. A bare value, {} for a field included, asks for equality.
 * Recursion: LIMIT_SELECTOR_DEPTH times through comp_member, comp_op and comp_list. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static enum status comp_cond(struct compile *c, const struct json *v, const struct place *w,
                             struct sel_node **out)
{
    if (w->depth > LIMIT_SELECTOR_DEPTH)
        return err_word(c->e, ST_BAD_REQUEST, "invalid_selector",
                        "Selector is nested deeper than %d", LIMIT_SELECTOR_DEPTH);
    if (v->type == JSON_OBJECT && v->count == 1)
        return comp_member(c, v->first, w, out);
    if (v->type == JSON_OBJECT && v->count > 1)
        return comp_list(c, SEL_AND, v, w, out);
    if (v->type == JSON_OBJECT && w->field.n == 0 && !w->elem)
        return constant(c, !w->neg, out);
    TRY(leaf_new(c, SEL_EQ, v, w, out));
    (*out)->raw = slice_eq(w->field, SLICE_LIT("_id"));
    return ST_OK;
}

/* Recursion: two nodes for each of LIMIT_SELECTOR_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void collect_fields(struct selector *s, const struct sel_node *n)
{
    if (n->op == SEL_AND || n->op == SEL_OR) {
        for (uint32_t i = 0; i < n->n; i++)
            collect_fields(s, n->kids[i]);
        return;
    }
    if (n->path.n == 0)
        return;
    for (uint32_t i = 0; i < s->nfields; i++)
        if (slice_eq(s->fields[i], n->path.seg[0]))
            return;
    s->fields[s->nfields++] = n->path.seg[0];
}

enum status selector_compile(struct arena *a, const struct json *sel, struct selector **out,
                             struct err *e)
{
    struct compile c = {.a = a, .e = e};
    struct place top = {.depth = 0};
    struct selector *s = arena_zalloc(a, sizeof *s);

    if (!json_is(sel, JSON_OBJECT))
        return err_word(e, ST_BAD_REQUEST, "invalid_selector_json",
                        "Selector must be a JSON object, not: %s",
                        sel != NULL ? mango_show(a, sel) : "nothing");
    if (sel->count == 1 && slice_eq(sel->first->key, SLICE_LIT("$or")) &&
        sel->first->type == JSON_ARRAY && sel->first->count == 0)
        TRY(constant(&c, false, &s->root)); /* at the top an empty $or finds nothing */
    else
        TRY(comp_cond(&c, sel, &top, &s->root));
    s->fields = arena_array(a, c.clauses, sizeof *s->fields);
    collect_fields(s, s->root);
    *out = s;
    return ST_OK;
}

bool selector_is_all(const struct selector *s)
{
    return s->root->op == SEL_TRUE;
}

uint32_t selector_fields(const struct selector *s, const struct slice **names)
{
    *names = s->fields;
    return s->nfields;
}
