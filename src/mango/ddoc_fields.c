/* mango/ddoc_fields.c: the types of a design document's members, as CouchDB checks them when one is
 * written. One table; members that are not there are fine. Pure. */
#include "mango/ddoc_fields.h"

enum { STRING = 1, OBJECT = 2, ARRAY = 4, BOOLEAN = 8 };
struct field {
    const char *name;  /* of the document */
    const char *inner; /* NULL: the member itself; "*": each of its members; else that one */
    unsigned types;
    const char *say;
};
static const struct field fields[] = {
    {"filters", NULL, OBJECT, "object"},
    {"filters", "*", OBJECT | STRING, "string or object"},
    {"language", NULL, STRING, "string"},
    {"lists", NULL, OBJECT, "object"},
    {"lists", "*", OBJECT | STRING, "string or object"},
    {"options", NULL, OBJECT, "object"},
    {"options", "include_design", BOOLEAN, "boolean"},
    {"options", "local_seq", BOOLEAN, "boolean"},
    {"rewrites", NULL, STRING | ARRAY, "array or string"},
    {"shows", NULL, OBJECT, "object"},
    {"shows", "*", OBJECT | STRING, "string or object"},
    {"updates", NULL, OBJECT, "object"},
    {"updates", "*", OBJECT | STRING, "string or object"},
    {"validate_doc_update", NULL, STRING | OBJECT, "object or string"},
    {"views", NULL, OBJECT, "object"},
    {"views", "*", OBJECT, "object"},
};

static bool is_of(const struct json *v, unsigned types)
{
    bool b;

    return ((types & STRING) != 0 && v->type == JSON_STRING) ||
           ((types & OBJECT) != 0 && v->type == JSON_OBJECT) ||
           ((types & ARRAY) != 0 && v->type == JSON_ARRAY) ||
           ((types & BOOLEAN) != 0 && json_bool(v, &b));
}

static enum status bad(const char *outer, struct slice inner, const char *say, struct err *e)
{
    return err_set(e, ST_BAD_DDOC, "`%s%s%.*s` field must have %s type", outer,
                   inner.n != 0 ? "." : "", (int)(inner.n < 120 ? inner.n : 120),
                   inner.n != 0 ? inner.p : "", say);
}

static enum status check(const struct json *doc, const struct field *f, struct err *e)
{
    const struct json *v = json_get(doc, f->name), *m;

    if (v == NULL)
        return ST_OK;
    if (f->inner == NULL)
        return is_of(v, f->types) ? ST_OK : bad(f->name, SLICE_LIT(""), f->say, e);
    for (m = v->first; m != NULL; m = m->next) {
        bool meant = f->inner[0] == '*' || slice_eq(m->key, slice_str(f->inner));

        if (meant && !is_of(m, f->types))
            return bad(f->name, m->key, f->say, e);
    }
    return ST_OK;
}

static enum status check_view(const struct json *view, bool query, struct err *e)
{
    const struct json *map = json_get(view, "map"), *reduce = json_get(view, "reduce");
    int n = (int)(view->key.n < 120 ? view->key.n : 120);

    if (map == NULL)
        return err_set(e, ST_BAD_DDOC, "View `%.*s` must contain map function", n, view->key.p);
    if (!is_of(map, query ? OBJECT : STRING))
        return err_set(e, ST_BAD_DDOC, "`views.%.*s.map` field must have %s type", n, view->key.p,
                       query ? "object" : "string");
    if (reduce != NULL && !is_of(reduce, STRING))
        return err_set(e, ST_BAD_DDOC, "`views.%.*s.reduce` field must have string type", n,
                       view->key.p);
    return ST_OK;
}

/* A selector's view has an object for its map, others have the function's text. */
static enum status check_views(const struct json *doc, struct err *e)
{
    const struct json *views = json_get(doc, "views"), *language = json_get(doc, "language");
    bool query = language != NULL && slice_eq(language->text, SLICE_LIT("query"));

    for (const struct json *v = views != NULL ? views->first : NULL; v != NULL; v = v->next)
        if (!slice_eq(v->key, SLICE_LIT("lib")))
            TRY(check_view(v, query, e));
    return ST_OK;
}

enum status ddoc_fields_check(const struct json *doc, struct err *e)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        TRY(check(doc, &fields[i], e));
    return check_views(doc, e);
}
