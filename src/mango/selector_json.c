/* mango/selector_json.c: a compiled selector as JSON: the normalised form (couchdb-surface D.2).
 * Compiling it again gives the same selector. Threads: any.
 */
#include "mango/selector_priv.h"

static const struct json *node_json(struct arena *a, const struct sel_node *n);

static struct json *wrap(struct arena *a, const char *name, const struct json *v)
{
    struct json *obj = json_object(a);

    json_put(a, obj, name, v);
    return obj;
}

/* NOLINTNEXTLINE(misc-no-recursion): see node_json */
static const struct json *leaf_json(struct arena *a, const struct sel_node *n)
{
    const struct json *arg = n->arg;
    struct json *cond, *obj;

    if (n->op == SEL_EXISTS)
        arg = json_boolean(a, n->want);
    else if (n->op == SEL_ELEM || n->op == SEL_EVERY || n->op == SEL_KEYS)
        arg = node_json(a, n->kids[0]);
    cond = wrap(a, sel_op_name(n->op), arg);
    if (n->negate)
        cond = wrap(a, "$not", cond);
    if (n->path.n == 0)
        return cond;
    obj = json_object(a);
    json_put_key(a, obj, n->field, cond);
    return obj;
}

/* Recursion: two nodes for each of LIMIT_SELECTOR_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static const struct json *node_json(struct arena *a, const struct sel_node *n)
{
    struct json *list = json_array(a);

    if (n->op == SEL_FALSE) /* not {"$or":[]}: below the top that is true */
        return wrap(a, "_id", wrap(a, "$in", list));
    if (n->op != SEL_TRUE && n->op != SEL_AND && n->op != SEL_OR)
        return leaf_json(a, n);
    for (uint32_t i = 0; i < n->n; i++)
        json_add(a, list, node_json(a, n->kids[i]));
    return wrap(a, sel_op_name(n->op == SEL_OR ? SEL_OR : SEL_AND), list);
}

const struct json *selector_json(struct arena *a, const struct selector *s)
{
    if (s->root->op == SEL_TRUE)
        return json_object(a);
    if (s->root->op == SEL_FALSE)
        return wrap(a, "$or", json_array(a));
    return node_json(a, s->root);
}
