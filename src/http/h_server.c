/* http/h_server.c: the endpoints of the server itself. */
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "repl/repl.h"
#include "vector/vector.h"
#include "version.h"

/* GET /: PouchDB makes replication ids from uuid. */
enum status h_root(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *features = json_array(a), *vendor = json_object(a);

    json_put_cstr(a, o, "couchdb", "Welcome");
    json_put_cstr(a, o, "version", COUCHDB_COMPAT_VERSION);
    json_put_cstr(a, o, "git_sha", DIVAN_VERSION);
    json_put_cstr(a, o, "uuid", stores_uuid(rq->svc->stores));
    for (const char *const *f = (const char *const[]){"partitioned", "scheduler", "vector", NULL};
         *f != NULL; f++)
        json_add(a, features, json_str(a, slice_str(*f)));
    json_put(a, o, "features", features);
    json_put_cstr(a, vendor, "name", "Divan");
    json_put_cstr(a, vendor, "version", DIVAN_VERSION);
    json_put(a, o, "vendor", vendor);
    reply_json(rp, 200, o);
    return ST_OK;
}

/* GET /_up: 404 while a store does not write, with the reason. */
enum status h_up(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    bool ok = stores_trouble(rq->svc->stores, &rq->err) == ST_OK;
    struct json *o = json_object(a), *list;

    json_put_cstr(a, o, "status", ok ? "ok" : "maintenance_mode");
    if (!ok)
        json_put_cstr(a, o, "reason", rq->err.reason);
    list = json_array(a);
    stores_damaged(rq->svc->stores, a, list);
    if (list->first != NULL)
        json_put(a, o, "damaged", list);
    json_put(a, o, "seeds", json_object(a));
    reply_json(rp, ok ? 200 : 404, o);
    return ST_OK;
}

void reply_tagged(struct request *rq, struct reply *rp)
{
    unsigned char sum[16];
    char tag[33];

    md5(rp->body.p, rp->body.n, sum);
    hex_encode(sum, sizeof(sum), tag);
    reply_etag(rp, slice_of(tag, 32));
    if (!rq_none_match(rq, slice_of(tag, 32))) {
        reply_body(rp, 200);
        return;
    }
    buf_clear(&rp->body);
    rp->code = 304;
}

/* GET /_uuids?count=N */
enum status h_uuids(struct request *rq, struct reply *rp)
{
    uint64_t count = 1;
    char uuid[33];

    if (rq_u64(rq, "count", &count) != ST_OK)
        return err_word(&rq->err, ST_BAD_REQUEST, "bad_request",
                        "count must be a positive integer");
    if (count > LIMIT_UUIDS)
        return err_set(&rq->err, ST_BAD_REQUEST, "count parameter too large");
    buf_str(&rp->body, "{\"uuids\":[");
    for (uint64_t i = 0; i < count; i++) {
        doc_uuid(uuid);
        buf_printf(&rp->body, "%s\"%s\"", i != 0 ? "," : "", uuid);
    }
    buf_str(&rp->body, "]}");
    reply_header(rp, "Cache-Control", SLICE_LIT("no-cache"));
    reply_header(rp, "Pragma", SLICE_LIT("no-cache"));
    reply_tagged(rq, rp);
    return ST_OK;
}

struct db_range {
    struct slice start, end;
    bool has_start, has_end, inclusive, descending;
    uint64_t limit, skip;
};

static enum status range_key(struct request *rq, const char *name, const char *alias,
                             struct slice *out, bool *has)
{
    const struct json *v;

    TRY(rq_json_param(rq, name, &v));
    if (v == NULL)
        TRY(rq_json_param(rq, alias, &v));
    if (v == NULL)
        return ST_OK;
    if (v->type != JSON_STRING)
        return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error", "%s must be a string", name);
    *out = v->text;
    *has = true;
    return ST_OK;
}

static bool in_range(const struct db_range *r, struct slice name)
{
    struct slice lo = r->descending ? r->end : r->start, hi = r->descending ? r->start : r->end;
    bool has_lo = r->descending ? r->has_end : r->has_start;
    bool has_hi = r->descending ? r->has_start : r->has_end;
    int c;

    if (has_lo) {
        c = slice_cmp(name, lo);
        if (c < 0 || (c == 0 && r->descending && !r->inclusive))
            return false;
    }
    if (has_hi) {
        c = slice_cmp(name, hi);
        if (c > 0 || (c == 0 && !r->descending && !r->inclusive))
            return false;
    }
    return true;
}

enum status db_names(struct request *rq, struct slice **out, size_t *n)
{
    struct db_range r = {.inclusive = true, .limit = UINT64_MAX};
    bool has_key = false;
    struct slice *names, key;
    size_t all;

    TRY(range_key(rq, "startkey", "start_key", &r.start, &r.has_start));
    TRY(range_key(rq, "endkey", "end_key", &r.end, &r.has_end));
    TRY(range_key(rq, "key", "key", &key, &has_key));
    if (has_key) {
        r.start = r.end = key;
        r.has_start = r.has_end = true;
    }
    TRY(rq_bool(rq, "inclusive_end", &r.inclusive));
    TRY(rq_bool(rq, "descending", &r.descending));
    TRY(rq_u64(rq, "limit", &r.limit));
    TRY(rq_u64(rq, "skip", &r.skip));
    TRY(stores_list(rq->svc->stores, rq->arena, &names, &all, &rq->err));
    *out = arena_array(rq->arena, all + 1, sizeof(**out));
    *n = 0;
    for (size_t i = 0; i < all && r.limit != 0; i++) {
        struct slice name = names[r.descending ? all - 1 - i : i];

        if (!in_range(&r, name))
            continue;
        if (r.skip != 0) {
            r.skip--;
            continue;
        }
        (*out)[(*n)++] = name;
        r.limit--;
    }
    return ST_OK;
}

/* GET /_all_dbs */
enum status h_all_dbs(struct request *rq, struct reply *rp)
{
    struct json *list = json_array(rq->arena);
    struct slice *names;
    size_t n;

    TRY(db_names(rq, &names, &n));
    for (size_t i = 0; i < n; i++)
        json_add(rq->arena, list, json_str(rq->arena, names[i]));
    json_write(&rp->body, list);
    reply_tagged(rq, rp);
    return ST_OK;
}

/* GET /_active_tasks */
enum status h_active_tasks(struct request *rq, struct reply *rp)
{
    unsigned n = 0;

    buf_char(&rp->body, '[');
    repl_tasks(rq->svc->repl, &rp->body, &n);
    stores_tasks(rq->svc->stores, &rp->body, &n);
    vectors_tasks(rq->svc->vectors, &rp->body, &n);
    buf_char(&rp->body, ']');
    reply_body(rp, 200);
    return ST_OK;
}
