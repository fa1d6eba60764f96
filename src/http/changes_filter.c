/* http/changes_filter.c: the filters of _changes (couchdb-surface A.9): _doc_ids, _design,
 * _selector. A filter that is a function of a design document is looked up, so that a wrong name is
 * told from a right one, and then refused: there is no JavaScript. Runs on workers.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "couch/changes.h"
#include "http/handlers.h"
#include "mango/selector.h"

/* ---- _doc_ids ---- */

struct id_list {
    struct slice *ids; /* sorted, no doubles */
    uint32_t n;
};

static int id_cmp(const void *x, const void *y)
{
    return slice_cmp(*(const struct slice *)x, *(const struct slice *)y);
}

static bool id_is_listed(void *arg, const struct seqrow *row, const struct doc_body *body)
{
    const struct id_list *l = arg;

    (void)body;
    return bsearch(&row->docid, l->ids, l->n, sizeof(*l->ids), id_cmp) != NULL;
}

/* NULL: something in it is no id. */
static struct id_list *make_list(struct arena *a, const struct json *ids)
{
    struct id_list *l = arena_zalloc(a, sizeof(*l));
    uint32_t n = 0;

    l->ids = arena_array(a, (size_t)ids->count + 1, sizeof(*l->ids));
    for (const struct json *v = json_unpack(a, ids)->first; v != NULL; v = v->next) {
        if (v->type != JSON_STRING)
            return NULL;
        l->ids[n++] = v->text;
    }
    qsort(l->ids, n, sizeof(*l->ids), id_cmp);
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || !slice_eq(l->ids[i], l->ids[l->n - 1]))
            l->ids[l->n++] = l->ids[i];
    return l;
}

static enum status parse_doc_ids(struct request *rq, struct changes_opts *o)
{
    const struct json *body, *ids = NULL;
    struct id_list *list;

    if (rq->method == M_POST) {
        TRY(rq_object(rq, &body));
        ids = json_get(body, "doc_ids");
    } else {
        TRY(rq_json_param(rq, "doc_ids", &ids));
    }
    list = json_is(ids, JSON_ARRAY) ? make_list(rq->arena, ids) : NULL;
    if (list == NULL)
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "`doc_ids` filter parameter is not a list of doc ids.");
    o->filter = id_is_listed;
    o->filter_arg = list;
    o->ids = list->ids;
    o->nids = list->n;
    return ST_OK;
}

/* ---- _design ---- */

static bool id_is_design(void *arg, const struct seqrow *row, const struct doc_body *body)
{
    (void)arg;
    (void)body;
    return slice_starts(row->docid, SLICE_LIT("_design/"));
}

/* ---- _selector ---- */

struct selecting {
    struct db *db;
    const struct selector *selector;
};

/* A document that cannot be read as JSON passes: the reader gets to see its trouble. */
static bool doc_is_selected(void *arg, const struct seqrow *row, const struct doc_body *body)
{
    const struct selecting *s = arg;
    struct arena *a = arena_new();
    const struct json *doc;
    bool yes = true;
    struct buf text;
    struct err e;

    buf_init(&text, LIMIT_JSON_BYTES);
    if (doc_write_winner(s->db, row->docid, &row->winner, (row->flags & DOCINFO_DELETED) != 0, body,
                         &text, &e) == ST_OK &&
        json_parse(a, buf_slice(&text), &doc, &e) == ST_OK)
        yes = selector_match(s->selector, doc, a);
    buf_free(&text);
    arena_free(a);
    return yes;
}

static enum status parse_selector(struct request *rq, struct db *db, struct changes_opts *o)
{
    struct selecting *s = arena_zalloc(rq->arena, sizeof(*s));
    const struct json *body;
    struct selector *sel;

    if (rq->method != M_POST)
        return err_set(&rq->err, ST_BAD_REQUEST, "`_selector` filter needs a POST");
    TRY(rq_object(rq, &body));
    body = json_get(body, "selector");
    if (!json_is(body, JSON_OBJECT))
        return err_set(&rq->err, ST_BAD_REQUEST, "Selector error: expected a JSON object");
    if (selector_compile(rq->arena, body, &sel, &rq->err) != ST_OK) {
        rq->err.word = NULL; /* as CouchDB: here the reason is Mango's, the word is not */
        return ST_BAD_REQUEST;
    }
    *s = (struct selecting){db, sel};
    o->filter = doc_is_selected;
    o->filter_arg = s;
    o->filter_needs_body = true;
    return ST_OK;
}

/* ---- functions of design documents ---- */

/* "ddoc/name" in member `kind` of the design document. */
static enum status find_function(struct request *rq, struct db *db, struct slice path,
                                 const char *kind)
{
    const char *slash = path.n != 0 ? memchr(path.p, '/', path.n) : NULL;
    const struct json *ddoc, *all;
    struct docinfo info;
    struct doc_body body;
    struct slice name, id;
    int node;

    if (slash == NULL || memchr(slash + 1, '/', (size_t)(path.p + path.n - slash - 1)) != NULL)
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "`%s` parameter must be of the form `designname/%sname`", kind, kind);
    name = slice_of(slash + 1, (size_t)(path.p + path.n - slash - 1));
    id = arena_printf(rq->arena, "_design/%.*s", (int)(slash - path.p), path.p);
    TRY(doc_find(db, id, slice_of(NULL, 0), rq->arena, &info, &node, &rq->err));
    TRY(doc_winner(db, id, rq->arena, &info, &body, &rq->err));
    TRY(json_parse(rq->arena, body.json, &ddoc, &rq->err));
    all = json_get(ddoc, slice_eq(slice_str(kind), SLICE_LIT("view")) ? "views" : "filters");
    if (all == NULL)
        return err_set(&rq->err, ST_NOT_FOUND, "missing json key: %ss", kind);
    if (json_get_s(all, name) == NULL)
        return err_set(&rq->err, ST_NOT_FOUND, "missing json key: %.*s",
                       (int)(name.n < 80 ? name.n : 80), name.p);
    return err_set(&rq->err, ST_NOT_IMPLEMENTED,
                   "functions of design documents need JavaScript, which is not there");
}

enum status changes_filter_parse(struct request *rq, struct db *db, struct changes_opts *opts)
{
    const struct slice *v = rq_param(rq, "filter"), *view = rq_param(rq, "view");

    if (v == NULL || v->n == 0)
        return ST_OK;
    if (slice_eq(*v, SLICE_LIT("_doc_ids")))
        return parse_doc_ids(rq, opts);
    if (slice_eq(*v, SLICE_LIT("_selector")))
        return parse_selector(rq, db, opts);
    if (slice_eq(*v, SLICE_LIT("_design"))) {
        opts->filter = id_is_design;
        return ST_OK;
    }
    if (slice_eq(*v, SLICE_LIT("_view")) && view == NULL)
        return err_set(&rq->err, ST_BAD_REQUEST, "`view` filter parameter is not provided.");
    if (slice_eq(*v, SLICE_LIT("_view")))
        return find_function(rq, db, *view, "view");
    if (slice_starts(*v, SLICE_LIT("_")))
        return err_set(&rq->err, ST_BAD_REQUEST, "unknown builtin filter name");
    return find_function(rq, db, *v, "filter");
}
