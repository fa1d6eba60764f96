/* vector/extract.c: finds a field's vectors and decodes them. Threads: any; pure. */
#include "vector/extract.h"

#include <math.h>

#include "base/digest.h"
#include "base/text.h"

static const char *check(const float *v, uint32_t dims, enum vmetric metric, uint32_t *at)
{
    bool zero = true;

    for (uint32_t i = 0; i < dims; i++) {
        *at = i;
        if (!isfinite(v[i]))
            return "not finite";
        zero = zero && v[i] == 0;
    }
    return zero && metric == VMETRIC_COSINE ? "zero vector" : NULL;
}

static const char *read_base64(struct slice s, uint32_t dims, float *out)
{
    size_t n = (size_t)dims * sizeof(float), room = n + 8, got = 0;
    char stack[4096], *raw = stack;
    struct arena *a = NULL;
    const char *bad = NULL;

    if (s.n > base64_encoded_len(n) + 4)
        return "wrong length";
    if (s.n / 4 * 3 + 3 > sizeof(stack) || room > sizeof(stack)) {
        a = arena_new();
        raw = arena_alloc(a, s.n / 4 * 3 + 3 + room);
    }
    if (!base64_decode(s, raw, &got))
        bad = "bad base64";
    else if (got != n)
        bad = "wrong length";
    else
        memcpy(out, raw, n); /* little-endian, as segment_priv.h asserts */
    arena_free(a);
    return bad;
}

const char *vector_read(const struct json *v, uint32_t dims, enum vmetric metric, float *out,
                        uint32_t *at)
{
    const char *bad = NULL;

    *at = 0;
    if (json_is(v, JSON_STRING)) {
        bad = read_base64(v->text, dims, out);
    } else if (!json_is(v, JSON_ARRAY)) {
        bad = "not an array or a base64 string";
    } else if (v->count != dims) {
        bad = "wrong length";
    } else if (!json_floats(v, out, dims, at)) {
        const struct json *x = v->packed ? NULL : json_at(v, *at);
        bad = v->packed || json_is(x, JSON_NUMBER) ? "not finite" : "not numbers";
    }
    return bad != NULL ? bad : check(out, dims, metric, at);
}

struct rows {
    float *vec;
    uint32_t *elem;
    uint64_t *hash;
    uint32_t n;
};

static const char *add(const struct vfield *f, const struct json *v, uint32_t elem, struct rows *r)
{
    float *x = r->vec + (size_t)r->n * f->dims;
    uint32_t at;
    const char *bad = vector_read(v, f->dims, f->metric, x, &at);

    if (bad != NULL)
        return bad;
    r->elem[r->n] = elem;
    r->hash[r->n] = hash64(x, f->dims * sizeof(float));
    r->n++;
    return NULL;
}

static const struct json *below(const struct vfield *f, const struct json *item, struct arena *a)
{
    return f->tail.n == 0 ? item : path_get(item, &f->tail, a);
}

static const char *each(struct arena *a, const struct vfield *f, const struct json *arr,
                        struct rows *r)
{
    uint32_t i = 0, want = 0;

    if (arr->packed)
        return f->tail.n == 0 ? "not an array or a base64 string" : NULL;
    for (const struct json *item = arr->first; item != NULL; item = item->next)
        want += below(f, item, a) != NULL;
    r->vec = arena_array(a, (size_t)want * f->dims + 1, sizeof(float));
    r->elem = arena_array(a, want + 1u, sizeof(uint32_t));
    r->hash = arena_array(a, want + 1u, sizeof(uint64_t));
    for (const struct json *item = arr->first; item != NULL; item = item->next, i++) {
        const struct json *v = below(f, item, a);
        const char *bad = v != NULL ? add(f, v, i, r) : NULL;

        if (bad != NULL)
            return bad;
    }
    return NULL;
}

const char *vector_extract(struct arena *a, const struct vfield *f, const struct json *doc,
                           struct vdoc_rows *out)
{
    const struct json *v = path_get(doc, &f->head, a);
    struct rows r = {0};
    const char *bad = NULL;

    out->n = 0;
    if (v == NULL)
        return NULL;
    if (f->each) {
        bad = v->type == JSON_ARRAY ? each(a, f, v, &r) : "not an array or a base64 string";
    } else {
        r.vec = arena_array(a, f->dims, sizeof(float));
        r.elem = arena_array(a, 1, sizeof(uint32_t));
        r.hash = arena_array(a, 1, sizeof(uint64_t));
        bad = add(f, v, 0, &r);
    }
    if (bad != NULL)
        return bad;
    out->n = r.n;
    out->vec = r.vec;
    out->elem = r.elem;
    out->hash = r.hash;
    return NULL;
}

struct slice vector_at(struct arena *a, const struct vfield *f, uint32_t elem)
{
    if (!f->each)
        return f->name;
    if (f->tail_text.n == 0)
        return arena_printf(a, "%.*s.%u", (int)f->head_text.n, f->head_text.p, elem);
    return arena_printf(a, "%.*s.%u.%.*s", (int)f->head_text.n, f->head_text.p, elem,
                        (int)f->tail_text.n, f->tail_text.p);
}
