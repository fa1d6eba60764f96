/* mango/find_explain.c: _explain (couchdb-surface D.5): what find_run would do. On workers. */
#include "mango/find_priv.h"

/* {"ddoc":null,"name":"_all_docs","type":"special","def":{"fields":[{"_id":"asc"}]}} */
static const char all_docs_index[] = "{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\","
                                     "\"def\":{\"fields\":[{\"_id\":\"asc\"}]}}";

static const struct json *all_fields_or(struct arena *a, const struct find_request *rq)
{
    return rq->fields.n != 0 ? rq->fields_json : json_str(a, SLICE_LIT("all_fields"));
}

static struct json *use_index(struct arena *a, const struct find_request *rq)
{
    struct json *list = json_array(a);

    if (rq->use_ddoc.n != 0)
        json_add(a, list, json_str(a, rq->use_ddoc));
    if (rq->use_name.n != 0)
        json_add(a, list, json_str(a, rq->use_name));
    return list;
}

static struct json *sort_object(struct arena *a, const struct find_request *rq, bool descending)
{
    struct json *sort = json_object(a);

    if (rq->sort != NULL)
        json_put_cstr(a, sort, "_id", descending ? "desc" : "asc");
    return sort;
}

static struct json *opts(struct arena *a, const struct find_request *rq, bool descending)
{
    struct json *o = json_object(a);

    json_put(a, o, "use_index", use_index(a, rq));
    json_put_str(a, o, "bookmark", rq->bookmark.n != 0 ? rq->bookmark : SLICE_LIT("nil"));
    json_put_i64(a, o, "limit", (int64_t)rq->limit);
    json_put_i64(a, o, "skip", (int64_t)rq->skip);
    json_put(a, o, "sort", sort_object(a, rq, descending));
    json_put(a, o, "fields", rq->fields.n != 0 ? rq->fields_json : json_array(a));
    json_put_cstr(a, o, "partition", "");
    json_put_i64(a, o, "r", 1);
    json_put_bool(a, o, "conflicts", rq->conflicts);
    json_put_bool(a, o, "stale", false);
    json_put_bool(a, o, "update", rq->update);
    json_put_bool(a, o, "stable", false);
    json_put_bool(a, o, "execution_stats", rq->execution_stats);
    json_put_bool(a, o, "allow_fallback", rq->allow_fallback);
    return o;
}

static const struct json *key_or(struct arena *a, bool has, struct slice id, const char *other)
{
    if (!has)
        return other != NULL ? json_str(a, slice_str(other)) : json_null(a);
    while (id.n != 0 && (unsigned char)id.p[id.n - 1] == 0xff) /* the end of a prefix */
        id.n--;
    return json_str(a, id);
}

static struct json *mrargs(struct arena *a, const struct find_plan *plan)
{
    const struct json *lo = key_or(a, plan->has_lo, plan->lo, NULL);
    const struct json *hi = key_or(a, plan->has_hi, plan->hi, "<MAX>");
    struct json *m = json_object(a);

    json_put_bool(a, m, "include_docs", true);
    json_put_cstr(a, m, "view_type", "map");
    json_put_bool(a, m, "reduce", false);
    json_put(a, m, "partition", json_null(a));
    json_put(a, m, "start_key", plan->descending ? hi : lo);
    json_put(a, m, "end_key", plan->descending ? lo : hi);
    json_put_cstr(a, m, "direction", plan->descending ? "rev" : "fwd");
    json_put_bool(a, m, "stable", false);
    json_put_bool(a, m, "update", true);
    json_put_cstr(a, m, "conflicts", "undefined");
    return m;
}

static void add_once(struct arena *a, struct json *list, struct slice s)
{
    for (const struct json *v = list->first; v != NULL; v = v->next)
        if (slice_eq(v->text, s))
            return;
    json_add(a, list, json_str(a, s));
}

/* Recursion: two nodes for each of LIMIT_SELECTOR_DEPTH. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void collect(struct arena *a, const struct sel_node *n, struct json *can, struct json * not )
{
    bool range = n->op == SEL_EQ || n->op == SEL_LT || n->op == SEL_LTE || n->op == SEL_GT ||
                 n->op == SEL_GTE || (n->op == SEL_BEGINS && !n->negate);

    for (uint32_t i = 0; (n->op == SEL_AND || n->op == SEL_OR) && i < n->n; i++)
        collect(a, n->kids[i], n->op == SEL_AND ? can : not, not );
    if (n->path.n != 0)
        add_once(a, range ? can : not, n->field);
}

static struct json *hints(struct arena *a, const struct selector *s)
{
    struct json *list = json_array(a), *o = json_object(a);
    struct json *can = json_array(a), *not = json_array(a);

    collect(a, s->root, can, not );
    json_put_cstr(a, o, "type", "json");
    json_put(a, o, "indexable_fields", can);
    json_put(a, o, "unindexable_fields", not );
    json_add(a, list, o);
    return list;
}

enum status find_explain(struct db *db, const struct find_request *rq, struct arena *a,
                         struct buf *out, struct err *e)
{
    struct json *o = json_object(a);
    struct find_plan plan;

    TRY(find_plan_make(rq, a, &plan, e));
    json_put_str(a, o, "dbname", db_name(db));
    json_put(a, o, "index", json_raw(a, slice_str(all_docs_index)));
    json_put_bool(a, o, "partitioned", false);
    json_put(a, o, "selector", selector_json(a, rq->selector));
    json_put(a, o, "opts", opts(a, rq, plan.descending));
    json_put_i64(a, o, "limit", (int64_t)rq->limit);
    json_put_i64(a, o, "skip", (int64_t)rq->skip);
    json_put(a, o, "fields", all_fields_or(a, rq));
    json_put(a, o, "mrargs", mrargs(a, &plan));
    json_put_bool(a, o, "covering", false);
    json_put(a, o, "selector_hints", hints(a, rq->selector));
    json_put(a, o, "index_candidates", json_array(a));
    json_write(out, o);
    return ST_OK;
}
