/* json/value.c: looking into values and building new ones. Invariant: a node that is `attached` is
 * never written again, so that a parsed value can be shared and a built one can be put twice.
 * Threads: a value has no locks. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/text.h"
#include "json/number.h"

/* ---- look ---- */

const struct json *json_get_s(const struct json *obj, struct slice name)
{
    if (!json_is(obj, JSON_OBJECT))
        return NULL;
    for (const struct json *v = obj->first; v != NULL; v = v->next)
        if (slice_eq(v->key, name))
            return v;
    return NULL;
}

const struct json *json_get(const struct json *obj, const char *name)
{
    return json_get_s(obj, slice_str(name));
}

const struct json *json_at(const struct json *arr, uint32_t i)
{
    const struct json *v;

    if (!json_is(arr, JSON_ARRAY) || arr->packed)
        return NULL;
    for (v = arr->first; v != NULL && i != 0; i--)
        v = v->next;
    return v;
}

const struct json *json_elem(struct arena *a, const struct json *arr, uint32_t i)
{
    struct slice rest, token;
    struct json *v;

    if (!json_is(arr, JSON_ARRAY) || !arr->packed)
        return json_at(arr, i);
    if (i >= arr->count)
        return NULL;
    rest = arr->text;
    do
        ASSERT(number_next(&rest, &token));
    while (i-- != 0);
    v = arena_alloc(a, sizeof *v);
    *v = (struct json){.type = JSON_NUMBER, .text = token, .raw = token};
    return v;
}

const struct json *json_unpack(struct arena *a, const struct json *arr)
{
    struct json *v;

    if (!json_is(arr, JSON_ARRAY) || !arr->packed)
        return arr;
    v = arena_alloc(a, sizeof *v);
    *v = *arr;
    v->next = NULL;
    v->attached = true; /* like every value that was parsed */
    number_link(a, v, arr->text, arr->count);
    v->text = (struct slice){NULL, 0};
    return v;
}

bool json_bool(const struct json *v, bool *out)
{
    if (!json_is(v, JSON_TRUE) && !json_is(v, JSON_FALSE))
        return false;
    *out = v->type == JSON_TRUE;
    return true;
}

bool json_int(const struct json *v, int64_t *out)
{
    return json_is(v, JSON_NUMBER) && parse_i64(v->text, out);
}

double json_double(const struct json *v)
{
    return json_is(v, JSON_NUMBER) ? number_double(v->text) : 0;
}

bool json_has_dup(const struct json *v)
{
    return v != NULL && v->dup;
}

/* ---- build ---- */

static struct json *node_make(struct arena *a, enum json_type type)
{
    struct json *v = arena_alloc(a, sizeof *v);

    *v = (struct json){.type = type};
    return v;
}

struct json *json_object(struct arena *a)
{
    return node_make(a, JSON_OBJECT);
}

struct json *json_array(struct arena *a)
{
    return node_make(a, JSON_ARRAY);
}

struct json *json_null(struct arena *a)
{
    return node_make(a, JSON_NULL);
}

struct json *json_boolean(struct arena *a, bool b)
{
    return node_make(a, b ? JSON_TRUE : JSON_FALSE);
}

struct json *json_str(struct arena *a, struct slice s)
{
    struct json *v = node_make(a, JSON_STRING);

    v->text = s;
    return v;
}

struct json *json_i64(struct arena *a, int64_t value)
{
    struct json *v = node_make(a, JSON_NUMBER);

    v->text = arena_printf(a, "%lld", (long long)value);
    return v;
}

struct json *json_num(struct arena *a, double value)
{
    struct json *v = node_make(a, isfinite(value) ? JSON_NUMBER : JSON_NULL);
    char digits[NUMBER_TEXT];

    if (isfinite(value))
        v->text = arena_dup(a, slice_of(digits, number_text(value, digits)));
    return v;
}

static enum json_type type_of_text(struct slice text)
{
    switch (text.n != 0 ? text.p[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct json *json_raw(struct arena *a, struct slice raw)
{
    struct json *v;

    while (raw.n != 0 && is_space(raw.p[0]))
        raw = slice_of(raw.p + 1, raw.n - 1);
    while (raw.n != 0 && is_space(raw.p[raw.n - 1]))
        raw.n--;
    v = node_make(a, type_of_text(raw));
    v->raw = raw;
    v->blank = v->type == JSON_OBJECT || v->type == JSON_ARRAY;
    if (v->type == JSON_NUMBER)
        v->text = raw;
    return v;
}

/* v itself when it is a built value without a parent, else a shallow copy. */
static struct json *node_own(struct arena *a, const struct json *v)
{
    struct json *own;

    if (!v->attached) {
        own = (struct json *)(uintptr_t)v; /* came from a builder, which made it writable */
    } else {
        own = arena_alloc(a, sizeof *own);
        *own = *v;
    }
    own->attached = true;
    own->next = NULL;
    own->key = (struct slice){NULL, 0};
    return own;
}

void json_put_key(struct arena *a, struct json *obj, struct slice name, const struct json *v)
{
    struct json *own = node_own(a, v);

    ASSERT(obj->type == JSON_OBJECT && obj->raw.n == 0);
    own->key = name;
    node_append(obj, own);
}

void json_put(struct arena *a, struct json *obj, const char *name, const struct json *v)
{
    json_put_key(a, obj, slice_str(name), v);
}

void json_put_str(struct arena *a, struct json *obj, const char *name, struct slice s)
{
    json_put(a, obj, name, json_str(a, s));
}

void json_put_cstr(struct arena *a, struct json *obj, const char *name, const char *s)
{
    json_put(a, obj, name, json_str(a, slice_str(s)));
}

void json_put_i64(struct arena *a, struct json *obj, const char *name, int64_t v)
{
    json_put(a, obj, name, json_i64(a, v));
}

void json_put_bool(struct arena *a, struct json *obj, const char *name, bool b)
{
    json_put(a, obj, name, json_boolean(a, b));
}

void json_add(struct arena *a, struct json *arr, const struct json *v)
{
    ASSERT(arr->type == JSON_ARRAY && arr->raw.n == 0 && !arr->packed);
    node_append(arr, node_own(a, v));
}
