/* vector/query.c: which index answers, and the query vector. Threads: a worker per request. */
#include <math.h>

#include "base/digest.h"
#include "base/text.h"
#include "base/time.h"
#include "vector/vfind_priv.h"

#define BAD_VECTOR(e, ...) err_word(e, ST_BAD_REQUEST, "invalid_vector", __VA_ARGS__)
enum { NEAR_MAX = 100 };

/* ---- beginning and end ---- */

static enum status sort_member(struct vfind *f, struct slice name, bool desc, bool explicit_dir,
                               struct err *e)
{
    if (slice_eq(name, SLICE_LIT("_score"))) {
        if (explicit_dir && !desc)
            return err_word(e, ST_BAD_REQUEST, "unsupported_sort",
                            "documents come nearest first: _score sorts \"desc\" only");
        return ST_OK;
    }
    f->sort[f->nsort].desc = desc;
    TRY(path_parse(f->a, name, &f->sort[f->nsort].path, e));
    f->nsort++;
    return ST_OK;
}

static enum status parse_sort(struct vfind *f, struct err *e)
{
    const struct json *s = f->rq->sort;

    if (s == NULL || s->count == 0)
        return ST_OK;
    f->sort = arena_array(f->a, s->count, sizeof(f->sort[0]));
    for (const struct json *v = s->first; v != NULL; v = v->next) {
        bool desc = false, dir = false;
        struct slice name = v->text;

        if (v->type == JSON_OBJECT && v->count == 1 && v->first->type == JSON_STRING) {
            name = v->first->key;
            dir = true;
            desc = slice_eq(v->first->text, SLICE_LIT("desc"));
            if (!desc && !slice_eq(v->first->text, SLICE_LIT("asc")))
                return err_word(e, ST_BAD_REQUEST, "invalid_sort_dir", "sort is asc or desc");
        } else if (v->type != JSON_STRING) {
            return err_word(e, ST_BAD_REQUEST, "invalid_sort_json",
                            "sort must be an array of field names or {\"name\":\"asc|desc\"}");
        }
        TRY(sort_member(f, name, desc, dir, e));
    }
    return ST_OK;
}

enum status vfind_begin(struct vfind *f, struct vectors *v, struct db *db,
                        const struct find_request *rq, struct arena *a, struct err *e)
{
    memset(f, 0, sizeof(*f));
    f->v = v;
    f->db = db;
    f->rq = rq;
    f->a = a;
    f->start_us = time_mono_us();
    f->until_us = f->start_us + LIMIT_FIND_DEADLINE_MS * 1000ull;
    f->plan = "exact";
    TRY(clause_parse(rq->vector, &f->c, e));
    f->c.no_vectors = f->c.no_vectors || rq->no_vectors;
    if (rq->limit > LIMIT_FIND_RESULTS || rq->skip > LIMIT_FIND_RESULTS ||
        rq->limit + rq->skip > LIMIT_FIND_RESULTS)
        return err_word(e, ST_BAD_REQUEST, "invalid_value",
                        "limit + skip is at most %d for a vector query; use min_score ranges",
                        LIMIT_FIND_RESULTS);
    TRY(parse_sort(f, e));
    f->windowed = f->nsort > 0 || f->c.diversity > 0;
    return ST_OK;
}

void vfind_end(struct vfind *f)
{
    vview_release(f->view);
    if (f->ctx != NULL)
        vectors_ctx_back(f->v, f->ctx);
    vdefs_put(f->d, f->defs);
    if (f->d != NULL)
        vdb_put(f->d);
}

/* ---- the index ---- */

static bool named(const struct vfind *f, const struct vdef *d)
{
    struct slice ddoc = slice_of(d->ddoc.p + 8, d->ddoc.n - 8);

    if (f->rq->use_ddoc.n == 0)
        return d->partial == NULL; /* partial ones only when named */
    return slice_eq(ddoc, f->rq->use_ddoc) &&
           (f->rq->use_name.n == 0 || slice_eq(d->name, f->rq->use_name));
}

static const struct vfield *fitting(const struct vfind *f, const struct vdef *d)
{
    if (!named(f, d))
        return NULL;
    if (f->c.field.n == 0)
        return d->nfields == 1 ? &d->field[0] : NULL;
    return vdef_field(d, f->c.field);
}

static enum status no_index(const struct vfind *f, struct err *e)
{
    if (f->rq->use_ddoc.n != 0)
        return err_word(e, ST_BAD_REQUEST, "no_usable_index",
                        "use_index names no vector index for this field");
    if (f->c.field.n == 0)
        return err_word(e, ST_BAD_REQUEST, "no_usable_index",
                        "no vector index here has just one vector field: name vector.field");
    return err_word(e, ST_BAD_REQUEST, "no_usable_index",
                    "no vector index for \"%.*s\": POST /{db}/_index with {\"type\":\"vector\","
                    "\"index\":{\"fields\":[{\"name\":...,\"dims\":...}]}}, or send exact:true "
                    "to scan",
                    (int)(f->c.field.n > 80 ? 80 : f->c.field.n), f->c.field.p);
}

/* A field to scan for, as if an index had it; dims come from the query. */
static enum status scan_field(struct vfind *f, struct err *e)
{
    struct json *index = json_object(f->a), *fields = json_array(f->a), *v = json_object(f->a);
    struct vdef def;

    json_put_str(f->a, v, "name", f->c.field);
    json_put_i64(f->a, v, "dims", 1);
    json_add(f->a, fields, v);
    json_put(f->a, index, "fields", fields);
    TRY(vdef_parse(f->a, index, &def, e));
    f->field = def.field[0];
    f->field.dims = 0;
    f->field.metric = f->c.has_metric ? f->c.metric : VMETRIC_COSINE;
    f->plan = "scan";
    f->warning = SLICE_LIT("No matching index found, create an index to optimize query time.");
    return ST_OK;
}

enum status vfind_index(struct vfind *f, struct err *e)
{
    f->d = vdb_get(f->v, f->db);
    TRY(vdb_defs(f->d, &f->defs, e));
    for (uint32_t i = 0; i < f->defs->n && f->def == NULL; i++) {
        const struct vfield *field = fitting(f, &f->defs->def[i]);

        if (field == NULL)
            continue;
        f->def = &f->defs->def[i];
        f->entry = f->defs->entry[i][field - f->def->field];
        f->field = *field;
    }
    if (f->def == NULL) {
        if (!f->c.exact || f->c.field.n == 0 || f->rq->use_ddoc.n != 0 || !f->rq->allow_fallback)
            return no_index(f, e);
        return scan_field(f, e);
    }
    if (f->c.model.n != 0 && !slice_eq(f->c.model, f->field.model))
        return err_word(e, ST_BAD_REQUEST, "model_mismatch",
                        "the index holds vectors of model \"%.*s\", the query is of \"%.*s\"",
                        (int)(f->field.model.n > 80 ? 80 : f->field.model.n), f->field.model.p,
                        (int)(f->c.model.n > 80 ? 80 : f->c.model.n), f->c.model.p);
    if (f->c.has_metric && f->c.metric != f->field.metric)
        return err_word(e, ST_BAD_REQUEST, "invalid_value", "the index has metric %s",
                        vmetric_name(f->field.metric));
    return ST_OK;
}

static void still_building(struct vfind *f, uint64_t want)
{
    uint64_t seq = f->view->seq;

    if (seq >= want)
        return;
    f->warning =
        arena_printf(f->a, "The vector index is behind: it reflects %.1f %% of the database.",
                     100.0 * (double)seq / (double)want);
    f->late = true;
}

enum status vfind_wait(struct vfind *f, struct err *e)
{
    uint64_t seq = db_update_seq(f->db);
    bool done = true;

    if (f->entry == NULL)
        return ST_OK;
    if (f->rq->update)
        TRY(vdb_wait_seq(f->d, f->entry, seq, f->until_us, &done, e));
    if (!done && db_dropped(f->db))
        return err_set(e, ST_NOT_FOUND, "Database does not exist.");
    if (!done)
        return err_set(e, ST_TIMEOUT,
                       "the vector index is still being built; \"update\":false answers from "
                       "what there is");
    f->view = vindex_pin(f->entry->ix);
    f->ctx = vectors_ctx(f->v);
    still_building(f, seq);
    return ST_OK;
}

/* ---- the query vector ---- */

static enum status unreadable(const struct vfind *f, const char *what, const char *bad, uint32_t at,
                              const struct json *v, struct err *e)
{
    if (strcmp(bad, "wrong length") == 0 && v->type == JSON_ARRAY)
        return BAD_VECTOR(e, "%s: the field expects %u numbers, got %u", what, f->field.dims,
                          v->count);
    if (strcmp(bad, "wrong length") == 0)
        return BAD_VECTOR(e, "%s: the field expects %u numbers (%u bytes of float32)", what,
                          f->field.dims, f->field.dims * 4);
    if (strcmp(bad, "not numbers") == 0)
        return BAD_VECTOR(e, "%s: element %u is not a number", what, at);
    return BAD_VECTOR(e, "%s: %s (at %u)", what, bad, at);
}

static uint32_t dims_of(const struct json *v)
{
    if (json_is(v, JSON_ARRAY))
        return v->count;
    if (json_is(v, JSON_STRING)) {
        size_t pad = 0;
        while (pad < 2 && v->text.n > pad && v->text.p[v->text.n - 1 - pad] == '=')
            pad++;
        return (uint32_t)((v->text.n / 4 * 3 - pad) / 4);
    }
    return 0;
}

static void normalise(const struct vfind *f, float *v)
{
    double xx;

    if (f->field.metric != VMETRIC_COSINE)
        return;
    xx = vdot_exact(v, v, f->field.dims);
    for (uint32_t i = 0; xx > 0 && i < f->field.dims; i++)
        v[i] = (float)((double)v[i] / sqrt(xx));
}

static enum status read_value(struct vfind *f, const struct json *v, const char *what, float *out,
                              struct err *e)
{
    const char *bad;
    uint32_t at;

    bad = vector_read(v, f->field.dims, f->field.metric, out, &at);
    return bad != NULL ? unreadable(f, what, bad, at, v, e) : ST_OK;
}

/* All vectors of the document, averaged. */
static enum status doc_mean(struct vfind *f, const struct json *doc, struct slice id, float *out,
                            struct err *e)
{
    struct vdoc_rows r = {0};
    const char *bad = vector_extract(f->a, &f->field, doc, &r);

    if (bad != NULL || r.n == 0)
        return BAD_VECTOR(e, "near: document \"%.*s\" has no vector in \"%.*s\"%s%s",
                          (int)(id.n > 60 ? 60 : id.n), id.p,
                          (int)(f->field.name.n > 60 ? 60 : f->field.name.n), f->field.name.p,
                          bad != NULL ? ": " : "", bad != NULL ? bad : "");
    for (uint32_t i = 0; i < f->field.dims; i++) {
        double sum = 0;
        for (uint32_t j = 0; j < r.n; j++)
            sum += (double)r.vec[(size_t)j * f->field.dims + i];
        out[i] = (float)(sum / r.n);
    }
    return ST_OK;
}

static enum status read_by_id(struct vfind *f, const struct json *v, float *out, struct err *e)
{
    const struct json *id = json_get(v, "_id"), *at = json_get(v, "at"), *doc, *value;
    struct path p;

    if (json_get(v, "text") != NULL)
        return err_word(e, ST_BAD_REQUEST, "not_configured",
                        "near.text needs an embedding proxy; none is configured");
    if (!json_is(id, JSON_STRING) || (at != NULL && at->type != JSON_STRING) ||
        v->count != (at != NULL ? 2u : 1u))
        return BAD_VECTOR(e, "near must be an array, base64, {\"_id\"} or {\"_id\",\"at\"}");
    TRY(vfind_load(f, id->text, f->a, &doc, e));
    if (doc == NULL)
        return err_set(e, ST_NOT_FOUND, "near: document \"%.*s\" is missing",
                       (int)(id->text.n > 60 ? 60 : id->text.n), id->text.p);
    f->skip_ids[f->nskip++] = id->text;
    if (at == NULL && !f->field.each && f->field.dims == 0)
        f->field.dims = dims_of(path_get(doc, &f->field.head, f->a));
    if (at == NULL)
        return doc_mean(f, doc, id->text, out, e);
    TRY(path_parse(f->a, at->text, &p, e));
    value = path_get(doc, &p, f->a);
    if (value == NULL)
        return BAD_VECTOR(e, "near: nothing at \"%.*s\"", (int)(at->text.n > 60 ? 60 : at->text.n),
                          at->text.p);
    if (f->field.dims == 0)
        f->field.dims = dims_of(value);
    if (f->field.dims == 0 || f->field.dims > LIMIT_DIMS)
        return BAD_VECTOR(e, "near: no vector there");
    return read_value(f, value, "near", out, e);
}

static enum status read_item(struct vfind *f, const struct json *v, const char *what, float *out,
                             struct err *e)
{
    if (v->type == JSON_OBJECT)
        return read_by_id(f, v, out, e);
    return read_value(f, v, what, out, e);
}

/* Is it a list of vectors rather than one? One number among its members makes it one vector. */
static bool is_list(const struct json *v)
{
    if (v->type != JSON_ARRAY || v->packed || v->first == NULL)
        return false;
    for (const struct json *m = v->first; m != NULL; m = m->next)
        if (m->type != JSON_ARRAY && m->type != JSON_OBJECT && m->type != JSON_STRING)
            return false;
    return true;
}

/* Adds `weight` times the mean of the items to sum. */
static enum status add_mean(struct vfind *f, const struct json *v, const char *what, double weight,
                            double *sum, struct err *e)
{
    uint32_t n = is_list(v) ? v->count : 1;
    float *one = arena_array(f->a, LIMIT_DIMS, sizeof(float));
    const struct json *item = is_list(v) ? v->first : v;

    if (n > NEAR_MAX)
        return err_word(e, ST_BAD_REQUEST, "invalid_value", "%s: at most %d vectors", what,
                        NEAR_MAX);
    for (uint32_t i = 0; i < n; i++, item = item->next) {
        TRY(read_item(f, item, what, one, e));
        normalise(f, one);
        for (uint32_t j = 0; j < f->field.dims; j++)
            sum[j] += weight * (double)one[j] / n;
    }
    return ST_OK;
}

static enum status combine(struct vfind *f, struct err *e)
{
    double *sum = arena_zalloc(f->a, LIMIT_DIMS * sizeof(double));
    bool zero = true;

    TRY(add_mean(f, f->c.near, "near", f->c.away != NULL ? 2 : 1, sum, e));
    if (f->c.away != NULL)
        TRY(add_mean(f, f->c.away, "away", -1, sum, e));
    for (uint32_t i = 0; i < f->field.dims; i++) {
        f->q[i] = (float)sum[i];
        zero = zero && f->q[i] == 0;
    }
    if (zero && f->field.metric == VMETRIC_COSINE)
        return BAD_VECTOR(e, "the combined query is the zero vector");
    return ST_OK;
}

static uint64_t query_hash(const struct vfind *f)
{
    struct buf b;
    uint64_t h;

    buf_init(&b, 64u << 20);
    buf_append(&b, f->q, f->field.dims * sizeof(float));
    buf_add(&b, f->field.name);
    json_write(&b, f->rq->selector_json);
    buf_printf(&b, "%d %.17g %llu", (int)f->field.metric, f->c.diversity,
               (unsigned long long)f->c.window);
    if (f->rq->sort != NULL)
        json_write(&b, f->rq->sort);
    h = hash64(b.p, b.n);
    buf_free(&b);
    return h;
}

enum status vfind_query(struct vfind *f, struct err *e)
{
    const struct json *first = is_list(f->c.near) ? f->c.near->first : f->c.near;
    uint32_t limit = 2 * NEAR_MAX + 2;
    float *k;

    if (f->entry == NULL && first->type != JSON_OBJECT) {
        f->field.dims = dims_of(first);
        if (f->field.dims == 0 || f->field.dims > LIMIT_DIMS)
            return BAD_VECTOR(e, "near must be an array of 1 to %d numbers, or base64", LIMIT_DIMS);
    }
    f->skip_ids = arena_array(f->a, limit, sizeof(f->skip_ids[0]));
    f->q = arena_array(f->a, LIMIT_DIMS, sizeof(float));
    if (f->c.away == NULL && !is_list(f->c.near))
        TRY(read_item(f, f->c.near, "near", f->q, e)); /* as it came: no rounding */
    else
        TRY(combine(f, e));
    k = arena_array(f->a, f->field.dims + 1u, sizeof(float));
    vquery_init(&f->vq, f->field.metric, f->field.dims, f->q, k);
    f->hash = query_hash(f);
    return ST_OK;
}
