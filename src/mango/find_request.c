/* mango/find_request.c: the members of a _find request, checked (couchdb-surface D.1, D.6). Pure;
 * threads: any.
 */
#include "mango/find_priv.h"

enum { FIND_LIMIT_DEFAULT = 25 };

struct reading {
    struct arena *a;
    struct find_request *rq;
    struct err *e;
};

static enum status want_bool(struct reading *r, const struct json *v, bool *out)
{
    if (json_bool(v, out))
        return ST_OK;
    return err_word(r->e, ST_BAD_REQUEST, "invalid_boolean", "Invalid boolean value: %s",
                    mango_show(r->a, v));
}

static enum status want_count(struct reading *r, const struct json *v, uint64_t *out)
{
    int64_t n;

    if (!json_int(v, &n) || n < 0)
        return err_word(r->e, ST_BAD_REQUEST, "invalid_non_neg_integer",
                        "%s is not an integer greater than or equal to zero", mango_show(r->a, v));
    *out = (uint64_t)n;
    return ST_OK;
}

/* ---- one member each ---- */

static enum status read_selector(struct reading *r, const struct json *v)
{
    r->rq->selector_json = v;
    return selector_compile(r->a, v, &r->rq->selector, r->e);
}

static enum status read_limit(struct reading *r, const struct json *v)
{
    return want_count(r, v, &r->rq->limit);
}

static enum status read_skip(struct reading *r, const struct json *v)
{
    return want_count(r, v, &r->rq->skip);
}

static enum status read_sort(struct reading *r, const struct json *v)
{
    if (v->type != JSON_ARRAY)
        return err_word(r->e, ST_BAD_REQUEST, "invalid_sort_json",
                        "Sort must be an array of sort specs, not: %s", mango_show(r->a, v));
    r->rq->sort = v->count != 0 ? v : NULL;
    return ST_OK;
}

static enum status read_fields(struct reading *r, const struct json *v)
{
    r->rq->fields_json = v;
    return projection_parse(r->a, v, &r->rq->fields, r->e);
}

static struct slice without_design(struct slice s)
{
    return slice_starts(s, SLICE_LIT("_design/")) ? slice_of(s.p + 8, s.n - 8) : s;
}

/* "ddoc", "_design/ddoc", "ddoc/name", ["ddoc"], ["ddoc","name"]; null and [] ask for none. */
static enum status read_use_index(struct reading *r, const struct json *v)
{
    struct slice *ddoc = &r->rq->use_ddoc, *name = &r->rq->use_name;
    const struct json *first = json_at(v, 0), *second = json_at(v, 1);

    if (v->type == JSON_NULL || (v->type == JSON_ARRAY && v->count == 0))
        return ST_OK;
    if (v->type == JSON_STRING) {
        struct slice s = without_design(v->text);
        const char *slash = s.n != 0 ? memchr(s.p, '/', s.n) : NULL;

        *ddoc = s;
        if (slash != NULL) {
            ddoc->n = (size_t)(slash - s.p);
            *name = slice_of(slash + 1, s.n - ddoc->n - 1);
        }
    } else if (json_is(first, JSON_STRING) && v->count <= 2) {
        *ddoc = without_design(first->text);
        if (json_is(second, JSON_STRING))
            *name = second->text;
        else if (second != NULL)
            ddoc->n = 0;
    }
    if (ddoc->n != 0)
        return ST_OK;
    return err_word(r->e, ST_BAD_REQUEST, "invalid_index_name", "Invalid index name: %s",
                    mango_show(r->a, v));
}

static enum status read_bookmark(struct reading *r, const struct json *v)
{
    if (v->type == JSON_STRING && !slice_eq(v->text, SLICE_LIT("nil")))
        r->rq->bookmark = v->text;
    else if (v->type != JSON_STRING && v->type != JSON_NULL)
        return err_word(r->e, ST_BAD_REQUEST, "invalid_bookmark", "Invalid bookmark value: %s",
                        mango_show(r->a, v));
    return ST_OK;
}

/* Replicas are CouchDB's: checked and without effect. */
static enum status read_r(struct reading *r, const struct json *v)
{
    int64_t n;

    if (json_int(v, &n) && n > 0)
        return ST_OK;
    return err_word(r->e, ST_BAD_REQUEST, "invalid_pos_integer",
                    "%s is not an integer greater than zero", mango_show(r->a, v));
}

static enum status read_conflicts(struct reading *r, const struct json *v)
{
    return want_bool(r, v, &r->rq->conflicts);
}

static enum status read_stable(struct reading *r, const struct json *v)
{
    bool ignored;

    return want_bool(r, v, &ignored);
}

static enum status read_update(struct reading *r, const struct json *v)
{
    return want_bool(r, v, &r->rq->update);
}

static enum status read_stale(struct reading *r, const struct json *v)
{
    bool ok = v->type == JSON_STRING && slice_eq(v->text, SLICE_LIT("ok"));

    if (ok)
        r->rq->update = false;
    if (ok || v->type == JSON_FALSE ||
        (v->type == JSON_STRING && slice_eq(v->text, SLICE_LIT("false"))))
        return ST_OK;
    return err_word(r->e, ST_BAD_REQUEST, "invalid_value", "Invalid value for stale: %s",
                    mango_show(r->a, v));
}

static enum status read_partition(struct reading *r, const struct json *v)
{
    if (v->type == JSON_STRING && v->text.n == 0)
        return ST_OK;
    return err_word(r->e, ST_BAD_REQUEST, "invalid_value", "database is not partitioned");
}

static enum status read_stats(struct reading *r, const struct json *v)
{
    return want_bool(r, v, &r->rq->execution_stats);
}

static enum status read_fallback(struct reading *r, const struct json *v)
{
    return want_bool(r, v, &r->rq->allow_fallback);
}

static enum status read_vector(struct reading *r, const struct json *v)
{
    r->rq->vector = v;
    return ST_OK;
}

/* Beside `vector` only: without it the member is as unknown as to CouchDB. */
static enum status read_vectors(struct reading *r, const struct json *v)
{
    bool with;

    TRY(want_bool(r, v, &with));
    r->rq->no_vectors = !with;
    return ST_OK;
}

static const struct {
    const char *name;
    enum status (*read)(struct reading *r, const struct json *v);
} members[] = {
    {"selector", read_selector},
    {"limit", read_limit},
    {"skip", read_skip},
    {"sort", read_sort},
    {"fields", read_fields},
    {"use_index", read_use_index},
    {"bookmark", read_bookmark},
    {"r", read_r},
    {"conflicts", read_conflicts},
    {"stable", read_stable},
    {"update", read_update},
    {"stale", read_stale},
    {"partition", read_partition},
    {"execution_stats", read_stats},
    {"allow_fallback", read_fallback},
    {"vector", read_vector},
    {"vectors", read_vectors},
};
enum { NMEMBERS = sizeof members / sizeof members[0] };

static enum status read_member(struct reading *r, const struct json *m)
{
    for (int i = 0; i < NMEMBERS; i++)
        if (slice_eq(m->key, slice_str(members[i].name)))
            return members[i].read(r, m);
    return err_word(r->e, ST_BAD_REQUEST, "invalid_key", "Invalid key %s for this request.",
                    mango_show_text(r->a, m->key));
}

enum status find_request_parse(struct arena *a, const struct json *body, struct find_request *out,
                               struct err *e)
{
    struct reading r = {a, out, e};

    *out =
        (struct find_request){.limit = FIND_LIMIT_DEFAULT, .update = true, .allow_fallback = true};
    if (!json_is(body, JSON_OBJECT))
        return err_set(e, ST_BAD_REQUEST, "Request body must be a JSON object");
    if (json_get(body, "selector") == NULL)
        return err_word(e, ST_BAD_REQUEST, "missing_required_key",
                        "Missing required key: selector");
    for (const struct json *m = body->first; m != NULL; m = m->next)
        TRY(read_member(&r, m));
    if (out->vector == NULL && json_get(body, "vectors") != NULL)
        return err_word(e, ST_BAD_REQUEST, "invalid_key", "Invalid key vectors for this request.");
    return ST_OK;
}
