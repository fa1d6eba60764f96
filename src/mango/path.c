/* mango/path.c: paths into documents and the projection of `fields`. Pure; threads: any. */
#include "base/text.h"
#include "mango/selector_priv.h"

/* ---- showing values in errors ---- */

enum { SHOW_BYTES = 120 };

const char *mango_show_text(struct arena *a, struct slice s)
{
    size_t n = s.n;

    if (n <= SHOW_BYTES)
        return arena_cstr(a, s);
    n = SHOW_BYTES;
    while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80) /* not inside a character */
        n--;
    return arena_printf(a, "%.*s...", (int)n, s.p).p;
}

const char *mango_show(struct arena *a, const struct json *v)
{
    struct buf b;
    const char *text;

    if (v->raw.n != 0)
        return mango_show_text(a, v->raw);
    buf_init(&b, (size_t)1 << 16);
    json_write(&b, v);
    text = buf_ok(&b) ? mango_show_text(a, buf_slice(&b)) : "...";
    buf_free(&b);
    return text;
}

/* ---- elements ---- */

struct elems elems_of(const struct json *arr)
{
    return (struct elems){.next = arr->first, .rest = arr->text, .packed = arr->packed};
}

static bool in_number(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

const struct json *elems_next(struct elems *it)
{
    const struct json *v = it->next;
    const char *p = it->rest.p;
    size_t n = it->rest.n, len = 0;

    if (!it->packed) {
        if (v != NULL)
            it->next = v->next;
        return v;
    }
    for (; n != 0 && !in_number(*p); n--)
        p++;
    while (len < n && in_number(p[len]))
        len++;
    if (len == 0)
        return NULL;
    it->number = (struct json){.type = JSON_NUMBER, .text = slice_of(p, len)};
    it->rest = slice_of(p + len, n - len);
    return &it->number;
}

/* ---- paths ---- */

static enum status path_bad(struct arena *a, struct slice text, struct err *e)
{
    return err_word(e, ST_BAD_REQUEST, "invalid_field_name", "Invalid field name: %s",
                    mango_show_text(a, text));
}

/* Takes the first segment off rest: up to an unescaped dot. *last: none follows. */
static struct slice path_segment(struct arena *a, struct slice *rest, bool *last)
{
    struct slice s = *rest;
    char *out;
    size_t i = 0, n = 0, escapes = 0;

    while (i < s.n && s.p[i] != '.') {
        bool escape = s.p[i] == '\\' && i + 1 < s.n && s.p[i + 1] == '.';
        escapes += escape;
        i += escape ? 2 : 1;
    }
    *last = i == s.n;
    *rest = *last ? slice_of(s.p + s.n, 0) : slice_of(s.p + i + 1, s.n - i - 1);
    s.n = i;
    if (escapes == 0)
        return s;
    out = arena_alloc(a, s.n);
    for (i = 0; i < s.n; i++)
        if (s.p[i] != '\\' || i + 1 == s.n || s.p[i + 1] != '.')
            out[n++] = s.p[i];
    return slice_of(out, n);
}

enum status path_parse(struct arena *a, struct slice text, struct path *out, struct err *e)
{
    struct slice seg[LIMIT_PATH_SEGMENTS], rest = text;
    bool last = false;
    uint32_t n = 0;

    if (text.n == 0 || text.n > LIMIT_PATH_BYTES)
        return path_bad(a, text, e);
    while (!last) {
        if (n == LIMIT_PATH_SEGMENTS)
            return path_bad(a, text, e);
        seg[n] = path_segment(a, &rest, &last);
        if (seg[n++].n == 0)
            return path_bad(a, text, e);
    }
    out->seg = arena_array(a, n, sizeof *out->seg);
    out->n = n;
    memcpy(out->seg, seg, n * sizeof *seg);
    return ST_OK;
}

const struct json *path_get(const struct json *doc, const struct path *p, struct arena *a)
{
    const struct json *v = doc;
    uint64_t at;

    for (uint32_t i = 0; i < p->n && v != NULL; i++) {
        if (v->type == JSON_OBJECT)
            v = json_get_s(v, p->seg[i]);
        else if (v->type == JSON_ARRAY && parse_u64(p->seg[i], &at) && at < v->count)
            v = json_elem(a, v, (uint32_t)at);
        else
            v = NULL;
    }
    return v;
}

/* ---- projection ---- */

enum status projection_parse(struct arena *a, const struct json *fields, struct projection *out,
                             struct err *e)
{
    *out = (struct projection){NULL, 0};
    if (json_is(fields, JSON_STRING) && slice_eq(fields->text, SLICE_LIT("all_fields")))
        return ST_OK;
    if (!json_is(fields, JSON_ARRAY))
        return err_word(e, ST_BAD_REQUEST, "invalid_fields",
                        "Fields must be an array of strings, not: %s", mango_show(a, fields));
    if (fields->count > LIMIT_FIND_FIELDS)
        return err_word(e, ST_BAD_REQUEST, "invalid_fields", "More than %d fields",
                        LIMIT_FIND_FIELDS);
    out->paths = arena_array(a, fields->count, sizeof *out->paths);
    for (uint32_t i = 0; i < fields->count; i++) {
        const struct json *f = json_elem(a, fields, i);
        if (!json_is(f, JSON_STRING))
            return err_word(e, ST_BAD_REQUEST, "invalid_field", "Invalid JSON for field spec: %s",
                            mango_show(a, f));
        TRY(path_parse(a, f->text, &out->paths[out->n++], e));
    }
    return ST_OK;
}

/* The result while it grows: a value taken whole, or an object of which some members were asked. */
struct part {
    struct slice name;
    const struct json *whole;
    struct part *first, *last, *next;
};

static struct part *part_child(struct arena *a, struct part *of, struct slice name)
{
    struct part *p;

    for (p = of->first; p != NULL; p = p->next)
        if (slice_eq(p->name, name))
            return p;
    p = arena_zalloc(a, sizeof *p);
    p->name = name;
    if (of->last != NULL)
        of->last->next = p;
    else
        of->first = p;
    of->last = p;
    return p;
}

/* Recursion: LIMIT_PATH_SEGMENTS. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static const struct json *part_json(struct arena *a, const struct part *of)
{
    struct json *obj;

    if (of->whole != NULL)
        return of->whole;
    obj = json_object(a);
    for (const struct part *p = of->first; p != NULL; p = p->next)
        json_put_key(a, obj, p->name, part_json(a, p));
    return obj;
}

const struct json *projection_apply(const struct projection *p, const struct json *doc,
                                    struct arena *a)
{
    struct part root = {.whole = NULL};

    if (p->n == 0)
        return doc;
    for (uint32_t i = 0; i < p->n; i++) {
        const struct json *v = path_get(doc, &p->paths[i], a);
        struct part *at = &root;

        for (uint32_t k = 0; v != NULL && at->whole == NULL && k < p->paths[i].n; k++)
            at = part_child(a, at, p->paths[i].seg[k]);
        if (v != NULL && at->whole == NULL)
            at->whole = v; /* else a field above it was asked as well */
    }
    return part_json(a, &root);
}
