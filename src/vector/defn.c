/* vector/defn.c: checks a definition and brings it to its normal form. Threads: any; pure. */
#include "vector/defn.h"

#include <stdio.h>

#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"

#define INVALID(e, ...) err_word(e, ST_BAD_REQUEST, "invalid_index", __VA_ARGS__)

static const char *const metric_names[] = {"cosine", "dot", "l2"};

const char *vmetric_name(enum vmetric m)
{
    return metric_names[m];
}

bool vmetric_parse(struct slice s, enum vmetric *out)
{
    for (int i = 0; i < 3; i++)
        if (slice_eq(s, slice_str(metric_names[i]))) {
            *out = (enum vmetric)i;
            return true;
        }
    return false;
}

void vsig_hex(const unsigned char sig[VSEG_SIG], char out[2 * VSEG_SIG + 1])
{
    const size_t n = VSEG_SIG;

    hex_encode(sig, n, out);
    out[n * 2] = 0;
}

const struct vfield *vdef_field(const struct vdef *d, struct slice name)
{
    for (uint32_t i = 0; i < d->nfields; i++)
        if (slice_eq(d->field[i].name, name))
            return &d->field[i];
    return NULL;
}

/* ---- members ---- */

static bool known(struct slice key, const char *const *names)
{
    for (; *names != NULL; names++)
        if (slice_eq(key, slice_str(*names)))
            return true;
    return false;
}

static enum status only(const struct json *obj, const char *const *names, const char *where,
                        struct err *e)
{
    for (const struct json *m = obj->first; m != NULL; m = m->next)
        if (!known(m->key, names))
            return INVALID(e, "unknown member \"%.*s\" in %s", (int)(m->key.n > 60 ? 60 : m->key.n),
                           m->key.p, where);
    return ST_OK;
}

static enum status whole(const struct json *v, int64_t lo, int64_t hi, const char *what,
                         struct err *e)
{
    int64_t n;

    if (!json_int(v, &n) || n < lo || n > hi)
        return INVALID(e, "%s must be an integer from %lld to %lld", what, (long long)lo,
                       (long long)hi);
    return ST_OK;
}

static enum status optional_text(const struct json *obj, const char *name, struct slice *out,
                                 struct err *e)
{
    const struct json *v = json_get(obj, name);

    *out = slice_of("", 0);
    if (v == NULL)
        return ST_OK;
    if (v->type != JSON_STRING)
        return INVALID(e, "%s must be a string", name);
    *out = v->text;
    return ST_OK;
}

/* ---- paths ---- */

/* First ".[]" of the name that ends a segment; name.n when there is none. */
static size_t find_each(struct slice name)
{
    for (size_t i = 0; i + 3 <= name.n; i++)
        if (memcmp(name.p + i, ".[]", 3) == 0 && (i + 3 == name.n || name.p[i + 3] == '.'))
            return i;
    return name.n;
}

static enum status split_path(struct arena *a, struct vfield *f, struct err *e)
{
    size_t at = find_each(f->name);
    struct slice rest;

    f->each = at < f->name.n;
    f->head_text = slice_of(f->name.p, at);
    f->tail_text = slice_of("", 0);
    if (at == 0)
        return INVALID(e, "a field name is empty");
    if (path_parse(a, f->head_text, &f->head, e) != ST_OK)
        return INVALID(e, "bad field name \"%.*s\"", (int)(f->name.n > 60 ? 60 : f->name.n),
                       f->name.p);
    if (!f->each || at + 3 == f->name.n)
        return ST_OK;
    rest = slice_of(f->name.p + at + 4, f->name.n - at - 4);
    if (find_each(rest) < rest.n || (rest.n >= 2 && memcmp(rest.p, "[]", 2) == 0))
        return INVALID(e, "a field name may hold \".[]\" only once");
    f->tail_text = rest;
    if (path_parse(a, rest, &f->tail, e) != ST_OK)
        return INVALID(e, "bad field name \"%.*s\"", (int)(f->name.n > 60 ? 60 : f->name.n),
                       f->name.p);
    return ST_OK;
}

/* ---- fields ---- */

static enum status vector_field(struct arena *a, const struct json *v, struct vfield *f,
                                struct json *norm, struct err *e)
{
    static const char *const names[] = {"name",     "type",  "dims", "metric",
                                        "encoding", "model", NULL};
    struct slice metric, encoding;

    TRY(only(v, names, "a field", e));
    TRY(whole(json_get(v, "dims"), 1, LIMIT_DIMS, "dims", e));
    int64_t dims = 0;
    (void)json_int(json_get(v, "dims"), &dims);
    f->dims = (uint32_t)dims;
    TRY(optional_text(v, "metric", &metric, e));
    TRY(optional_text(v, "encoding", &encoding, e));
    TRY(optional_text(v, "model", &f->model, e));
    f->metric = VMETRIC_COSINE;
    if (metric.n != 0 && !vmetric_parse(metric, &f->metric))
        return INVALID(e, "metric must be \"cosine\", \"dot\" or \"l2\"");
    if (encoding.n != 0 && !slice_eq(encoding, SLICE_LIT("f32")))
        return INVALID(e, "encoding \"%.*s\" is not supported yet",
                       (int)(encoding.n > 40 ? 40 : encoding.n), encoding.p);
    TRY(split_path(a, f, e));
    json_put_str(a, norm, "name", f->name);
    json_put_cstr(a, norm, "type", "vector");
    json_put_i64(a, norm, "dims", dims);
    json_put_cstr(a, norm, "metric", vmetric_name(f->metric));
    json_put_cstr(a, norm, "encoding", "f32");
    if (f->model.n != 0)
        json_put_str(a, norm, "model", f->model);
    return ST_OK;
}

static enum status column_field(struct arena *a, const struct json *v, struct slice name,
                                struct slice type, struct json *norm, struct err *e)
{
    static const char *const names[] = {"name", "type", NULL};
    static const char *const types[] = {"string", "number", "boolean", NULL};

    if (!known(type, types))
        return INVALID(e, "type of a field must be vector, string, number or boolean");
    TRY(only(v, names, "a filter column", e));
    json_put_str(a, norm, "name", name);
    json_put_str(a, norm, "type", type);
    return ST_OK;
}

static enum status one_field(struct arena *a, const struct json *v, struct vdef *d,
                             struct json *norm, struct err *e)
{
    struct slice name, type;

    if (!json_is(v, JSON_OBJECT) || !json_is(json_get(v, "name"), JSON_STRING))
        return INVALID(e, "each of fields must be an object with a name");
    name = json_get(v, "name")->text;
    if (name.n == 0 || name.n > 1024)
        return INVALID(e, "a field name is empty or too long");
    TRY(optional_text(v, "type", &type, e));
    if (type.n == 0)
        type = json_get(v, "dims") != NULL ? SLICE_LIT("vector") : slice_of("none", 4);
    if (!slice_eq(type, SLICE_LIT("vector")))
        return column_field(a, v, name, type, norm, e);
    d->field[d->nfields].name = name;
    TRY(vector_field(a, v, &d->field[d->nfields], norm, e));
    d->nfields++;
    return ST_OK;
}

static enum status parse_fields(struct arena *a, const struct json *list, struct vdef *d,
                                struct json *norm, struct err *e)
{
    struct json *out = json_array(a);

    if (!json_is(list, JSON_ARRAY) || list->count == 0 || list->packed)
        return INVALID(e, "fields must be an array of field definitions");
    if (list->count > LIMIT_INDEX_FIELDS)
        return INVALID(e, "at most %d fields", LIMIT_INDEX_FIELDS);
    d->field = arena_zalloc(a, list->count * sizeof(d->field[0]));
    for (const struct json *v = list->first; v != NULL; v = v->next) {
        struct json *row = json_object(a);

        TRY(one_field(a, v, d, row, e));
        for (const struct json *o = out->first; o != NULL; o = o->next)
            if (slice_eq(json_get(o, "name")->text, json_get(row, "name")->text))
                return INVALID(e, "the same path is listed twice");
        json_add(a, out, row);
    }
    if (d->nfields == 0)
        return INVALID(e, "no field of type vector (dims is required)");
    json_put(a, norm, "fields", out);
    return ST_OK;
}

static enum status parse_graph(struct arena *a, const struct json *g, struct vdef *d,
                               struct json *norm, struct err *e)
{
    static const char *const names[] = {"m", "ef_construction", NULL};
    struct json *out = json_object(a);
    int64_t m = 16, efc = 100;

    if (g != NULL) {
        if (g->type != JSON_OBJECT)
            return INVALID(e, "graph must be an object");
        TRY(only(g, names, "graph", e));
        if (json_get(g, "m") != NULL) {
            TRY(whole(json_get(g, "m"), LIMIT_GRAPH_M_MIN, LIMIT_GRAPH_M_MAX, "graph.m", e));
            (void)json_int(json_get(g, "m"), &m);
        }
        if (json_get(g, "ef_construction") != NULL) {
            TRY(whole(json_get(g, "ef_construction"), LIMIT_GRAPH_EFC_MIN, LIMIT_GRAPH_EFC_MAX,
                      "graph.ef_construction", e));
            (void)json_int(json_get(g, "ef_construction"), &efc);
        }
    }
    d->m = (uint32_t)m;
    d->efc = (uint32_t)efc;
    json_put_i64(a, out, "m", m);
    json_put_i64(a, out, "ef_construction", efc);
    json_put(a, norm, "graph", out);
    return ST_OK;
}

static enum status parse_partial(struct arena *a, const struct json *sel, struct vdef *d,
                                 struct json *norm, struct err *e)
{
    if (sel == NULL || (json_is(sel, JSON_OBJECT) && sel->count == 0))
        return ST_OK;
    if (sel->type != JSON_OBJECT)
        return INVALID(e, "partial_filter_selector must be an object");
    TRY(selector_compile(a, sel, &d->partial, e));
    json_put(a, norm, "partial_filter_selector", selector_json(a, d->partial));
    return ST_OK;
}

/* What decides the content of a folder; filter columns and the model's name do not. */
static void sign(const struct vdef *d, struct vfield *f)
{
    const struct json *partial = json_get(d->json, "partial_filter_selector");
    unsigned char h[32];
    struct buf b;

    buf_init(&b, 1u << 20);
    buf_printf(&b, "divan vector 1\n%u %s f32 %u %u\n", f->dims, vmetric_name(f->metric), d->m,
               d->efc);
    buf_add(&b, f->name);
    buf_char(&b, '\n');
    if (partial != NULL)
        json_write(&b, partial);
    sha256(b.p, b.n, h);
    memcpy(f->sig, h, VSEG_SIG);
    buf_free(&b);
}

enum status vdef_parse(struct arena *a, const struct json *index, struct vdef *out, struct err *e)
{
    static const char *const names[] = {"fields", "graph", "partial_filter_selector", "enforce",
                                        NULL};
    struct json *norm = json_object(a);

    memset(out, 0, sizeof(*out));
    if (!json_is(index, JSON_OBJECT))
        return INVALID(e, "index must be an object");
    TRY(only(index, names, "index", e));
    if (json_get(index, "enforce") != NULL)
        return INVALID(e, "enforce is not supported yet");
    TRY(parse_fields(a, json_get(index, "fields"), out, norm, e));
    TRY(parse_graph(a, json_get(index, "graph"), out, norm, e));
    TRY(parse_partial(a, json_get(index, "partial_filter_selector"), out, norm, e));
    out->json = norm;
    for (uint32_t i = 0; i < out->nfields; i++)
        sign(out, &out->field[i]);
    return ST_OK;
}

struct slice vdef_auto_name(struct arena *a, const struct vdef *d)
{
    unsigned char h[32];
    char *hex = arena_alloc(a, 41);
    struct buf b;

    buf_init(&b, 1u << 20);
    json_write(&b, d->json);
    sha256(b.p, b.n, h);
    hex_encode(h, 20, hex);
    hex[40] = 0;
    buf_free(&b);
    return slice_of(hex, 40);
}

void vdef_write(const struct vdef *d, bool graph, struct arena *a, struct buf *out)
{
    struct json *def = json_object(a);
    const struct json *partial = json_get(d->json, "partial_filter_selector");

    json_put(a, def, "fields", json_get(d->json, "fields"));
    if (graph)
        json_put(a, def, "graph", json_get(d->json, "graph"));
    if (partial != NULL)
        json_put(a, def, "partial_filter_selector", partial);
    buf_str(out, "{\"ddoc\":");
    json_write_str(out, d->ddoc);
    buf_str(out, ",\"name\":");
    json_write_str(out, d->name);
    buf_str(out, ",\"type\":\"vector\",\"partitioned\":false,\"def\":");
    json_write(out, def);
    buf_char(out, '}');
}
