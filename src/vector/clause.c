/* vector/clause.c: the `vector` member of _find: names, types, bounds. Threads: any; pure. */
#include <math.h>

#include "base/limits.h"
#include "vector/vfind_priv.h"

#define BAD_VALUE(e, ...) err_word(e, ST_BAD_REQUEST, "invalid_value", __VA_ARGS__)

static enum status want_bool(const struct json *v, const char *name, bool *out, struct err *e)
{
    if (!json_bool(v, out))
        return BAD_VALUE(e, "vector.%s must be a boolean", name);
    return ST_OK;
}

static enum status want_text(const struct json *v, const char *name, struct slice *out,
                             struct err *e)
{
    if (v->type != JSON_STRING)
        return BAD_VALUE(e, "vector.%s must be a string", name);
    *out = v->text;
    return ST_OK;
}

static enum status want_whole(const struct json *v, const char *name, int64_t max, int64_t *out,
                              struct err *e)
{
    if (!json_int(v, out) || *out < 1 || *out > max)
        return BAD_VALUE(e, "vector.%s must be an integer from 1 to %lld", name, (long long)max);
    return ST_OK;
}

static enum status want_number(const struct json *v, const char *name, double *out, struct err *e)
{
    *out = v->type == JSON_NUMBER ? json_double(v) : (double)NAN;
    if (!isfinite(*out))
        return BAD_VALUE(e, "vector.%s must be a number", name);
    return ST_OK;
}

static enum status set_near(const struct json *v, struct clause *c, struct err *e)
{
    (void)e;
    c->near = v;
    return ST_OK;
}
static enum status set_away(const struct json *v, struct clause *c, struct err *e)
{
    (void)e;
    c->away = v;
    return ST_OK;
}
static enum status set_field(const struct json *v, struct clause *c, struct err *e)
{
    return want_text(v, "field", &c->field, e);
}
static enum status set_model(const struct json *v, struct clause *c, struct err *e)
{
    return want_text(v, "model", &c->model, e);
}
static enum status set_exact(const struct json *v, struct clause *c, struct err *e)
{
    return want_bool(v, "exact", &c->exact, e);
}
static enum status set_vectors(const struct json *v, struct clause *c, struct err *e)
{
    bool with;

    TRY(want_bool(v, "vectors", &with, e));
    c->no_vectors = !with;
    return ST_OK;
}
static enum status set_metric(const struct json *v, struct clause *c, struct err *e)
{
    if (v->type != JSON_STRING || !vmetric_parse(v->text, &c->metric))
        return BAD_VALUE(e, "vector.metric must be \"cosine\", \"dot\" or \"l2\"");
    c->has_metric = true;
    return ST_OK;
}
static enum status set_effort(const struct json *v, struct clause *c, struct err *e)
{
    int64_t n;

    if (v->type == JSON_STRING && slice_eq(v->text, SLICE_LIT("auto")))
        return ST_OK;
    TRY(want_whole(v, "effort", LIMIT_EFFORT, &n, e));
    c->effort = (uint32_t)n;
    return ST_OK;
}
static enum status set_min(const struct json *v, struct clause *c, struct err *e)
{
    c->has_min = true;
    return want_number(v, "min_score", &c->min_score, e);
}
static enum status set_max(const struct json *v, struct clause *c, struct err *e)
{
    c->has_max = true;
    return want_number(v, "max_distance", &c->max_distance, e);
}
static enum status set_window(const struct json *v, struct clause *c, struct err *e)
{
    int64_t n;

    TRY(want_whole(v, "window", LIMIT_FIND_RESULTS, &n, e));
    c->window = (uint64_t)n;
    return ST_OK;
}
static enum status set_diversity(const struct json *v, struct clause *c, struct err *e)
{
    TRY(want_number(v, "diversity", &c->diversity, e));
    if (c->diversity < 0 || c->diversity > 1)
        return BAD_VALUE(e, "vector.diversity must be from 0 to 1");
    return ST_OK;
}
static enum status set_one(const struct json *v, struct clause *c, struct err *e)
{
    int64_t n;

    (void)c;
    if (!json_int(v, &n) || n != 1)
        return BAD_VALUE(e, "vector.%.*s other than 1 is not supported yet", (int)v->key.n,
                         v->key.p);
    return ST_OK;
}
static enum status set_where(const struct json *v, struct clause *c, struct err *e)
{
    (void)v;
    (void)c;
    return BAD_VALUE(e, "vector.where is not supported yet");
}

static const struct {
    const char *name;
    enum status (*set)(const struct json *v, struct clause *c, struct err *e);
} members[] = {
    {"field", set_field},   {"near", set_near},        {"away", set_away},
    {"exact", set_exact},   {"effort", set_effort},    {"ef", set_effort},
    {"min_score", set_min}, {"max_distance", set_max}, {"model", set_model},
    {"metric", set_metric}, {"window", set_window},    {"diversity", set_diversity},
    {"per_doc", set_one},   {"weight", set_one},       {"rescore", set_one},
    {"where", set_where},   {"vectors", set_vectors},
};

static enum status set_member(const struct json *v, struct clause *c, struct err *e)
{
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        if (slice_eq(v->key, slice_str(members[i].name)))
            return members[i].set(v, c, e);
    return err_word(e, ST_BAD_REQUEST, "invalid_key", "Invalid key vector.%.*s for this request",
                    (int)(v->key.n > 60 ? 60 : v->key.n), v->key.p);
}

enum status clause_parse(const struct json *v, struct clause *out, struct err *e)
{
    memset(out, 0, sizeof(*out));
    if (json_is(v, JSON_ARRAY))
        return BAD_VALUE(e, "vector as an array needs fuse, which is not supported yet");
    if (!json_is(v, JSON_OBJECT))
        return BAD_VALUE(e, "vector must be an object");
    for (const struct json *m = v->first; m != NULL; m = m->next)
        TRY(set_member(m, out, e));
    if (out->near == NULL)
        return err_word(e, ST_BAD_REQUEST, "missing_required_key",
                        "Missing required key: vector.near");
    return ST_OK;
}
