/* http/h_queries.c: several questions in one request (_all_docs/queries and its kin, _dbs_info),
 * and the endpoints of a database that have one answer on a single node. Runs on workers.
 */
#include "base/limits.h"
#include "http/handlers.h"
#include "http/rows.h"

#define NODE_NAME "nonode@nohost" /* what CouchDB calls itself when it is alone */

/* ---- queries: the answers of their rows one after the other ---- */

struct queries {
    struct stream s;
    struct rows **rows;
    uint32_t n, at;
    bool begun;
};

static enum status queries_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                   struct err *e)
{
    struct queries *q = (struct queries *)(void *)s;

    if (!q->begun)
        buf_str(out, "{\"results\":[\r\n");
    q->begun = true;
    *state = STREAM_MORE;
    while (q->at < q->n && out->n < LIMIT_STREAM_CHUNK) {
        struct rows *r = q->rows[q->at];
        enum stream_state one;

        if (q->at != 0 && !r->opened)
            buf_char(out, ',');
        TRY(rows_produce(&r->s, out, &one, e));
        if (one != STREAM_DONE)
            continue;
        rows_free(&r->s);
        q->at++;
    }
    if (q->at == q->n) {
        buf_str(out, "]}\n");
        *state = STREAM_DONE;
    }
    return ST_OK;
}

static void queries_free(struct stream *s)
{
    struct queries *q = (struct queries *)(void *)s;

    for (uint32_t i = 0; i < q->n; i++)
        rows_free(&q->rows[i]->s);
}

/* Every query is looked at before the first is answered: what is wrong with any is a 400. */
static enum status start(struct request *rq, struct reply *rp, enum rows_kind kind)
{
    struct queries *q = arena_zalloc(rq->arena, sizeof(*q));
    const struct json *body, *list;
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(rq_object(rq, &body));
    list = json_get(body, "queries");
    if (!json_is(list, JSON_ARRAY))
        return err_set(&rq->err, ST_BAD_REQUEST, "POST body must include `queries` parameter.");
    if (list->count > LIMIT_QUERIES)
        return err_set(&rq->err, ST_BAD_REQUEST, "more than %d queries", LIMIT_QUERIES);
    list = json_unpack(rq->arena, list);
    q->rows = arena_array(rq->arena, (size_t)list->count + 1, sizeof(struct rows *));
    for (const struct json *v = list->first; v != NULL; v = v->next) {
        if (v->type != JSON_OBJECT)
            return err_set(&rq->err, ST_BAD_REQUEST, "`queries` must be a list of JSON objects");
        TRY(rows_new(rq, db, kind, v, true, &q->rows[q->n]));
        q->n++;
    }
    q->s = (struct stream){.produce = queries_produce, .free = queries_free};
    rp->stream = &q->s;
    return ST_OK;
}

/* POST /{db}/_all_docs/queries */
enum status h_all_docs_queries(struct request *rq, struct reply *rp)
{
    return start(rq, rp, ROWS_ALL);
}

/* POST /{db}/_design_docs/queries */
enum status h_design_docs_queries(struct request *rq, struct reply *rp)
{
    return start(rq, rp, ROWS_DESIGN);
}

/* POST /{db}/_local_docs/queries */
enum status h_local_docs_queries(struct request *rq, struct reply *rp)
{
    return start(rq, rp, ROWS_LOCAL);
}

/* ---- _dbs_info ---- */

/* false: there is no such database. */
static bool write_info(struct request *rq, struct slice name, bool comma, struct buf *out)
{
    struct arena *a;
    struct err e;
    struct db *db;

    if (stores_db(rq->svc->stores, name, &db, &e) != ST_OK)
        return false;
    a = arena_new();
    buf_str(out, comma ? ",{\"key\":" : "{\"key\":");
    json_write_str(out, name);
    buf_str(out, ",\"info\":");
    json_write(out, db_info_json(a, db));
    buf_char(out, '}');
    arena_free(a);
    db_release(db);
    return true;
}

static enum status info_of_keys(struct request *rq, struct buf *out)
{
    const struct json *body, *keys;
    bool comma = false;

    TRY(rq_object(rq, &body));
    keys = json_get(body, "keys");
    if (keys == NULL)
        return err_set(&rq->err, ST_BAD_REQUEST, "`keys` member must exist.");
    if (keys->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "`keys` member must be an array.");
    if (keys->count > LIMIT_DBS_INFO)
        return err_set(&rq->err, ST_BAD_REQUEST, "`keys` member must be at most %d long",
                       LIMIT_DBS_INFO);
    keys = json_unpack(rq->arena, keys);
    for (const struct json *v = keys->first; v != NULL; v = v->next, comma = true) {
        if (v->type == JSON_STRING && write_info(rq, v->text, comma, out))
            continue;
        buf_str(out, comma ? ",{\"key\":" : "{\"key\":");
        json_write(out, v);
        buf_str(out, ",\"error\":\"not_found\"}");
    }
    return ST_OK;
}

/* GET, POST /_dbs_info */
enum status h_dbs_info(struct request *rq, struct reply *rp)
{
    struct slice *names;
    bool comma = false;
    size_t n;

    buf_char(&rp->body, '[');
    if (rq->method == M_POST) {
        TRY(info_of_keys(rq, &rp->body));
    } else {
        TRY(db_names(rq, &names, &n));
        for (size_t i = 0; i < n; i++) /* one may have been dropped meanwhile */
            comma |= write_info(rq, names[i], comma, &rp->body);
    }
    buf_char(&rp->body, ']');
    reply_body(rp, 200);
    return ST_OK;
}

/* ---- one node ---- */

/* GET /{db}/_shards, GET /{db}/_shards/{docid}: everything is here. */
enum status h_shards(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    if (rq_arg(rq, "docid").n != 0)
        buf_str(&rp->body, "{\"range\":\"00000000-ffffffff\",\"nodes\":[\"" NODE_NAME "\"]}");
    else
        buf_str(&rp->body, "{\"shards\":{\"00000000-ffffffff\":[\"" NODE_NAME "\"]}}");
    reply_body(rp, 200);
    return ST_OK;
}

static enum status nothing_to_do(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    reply_ok(rp, 202);
    return ST_OK;
}

/* POST /{db}/_sync_shards */
enum status h_sync_shards(struct request *rq, struct reply *rp)
{
    return nothing_to_do(rq, rp);
}

/* POST /{db}/_view_cleanup: there are no view files. */
enum status h_view_cleanup(struct request *rq, struct reply *rp)
{
    return nothing_to_do(rq, rp);
}

/* POST /{db}/_temp_view */
enum status h_temp_view(struct request *rq, struct reply *rp)
{
    (void)rq;
    buf_str(&rp->body, "{\"error\":\"gone\",\"reason\":\"Temporary views are not supported in "
                       "CouchDB\"}");
    reply_body(rp, 410);
    return ST_OK;
}

/* GET /{db}/_auto_purge: nothing is purged by itself. */
enum status h_auto_purge(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    buf_str(&rp->body, "{}");
    reply_body(rp, 200);
    return ST_OK;
}

/* PUT /{db}/_auto_purge */
enum status h_auto_purge_set(struct request *rq, struct reply *rp)
{
    struct db *db;

    (void)rp;
    TRY(rq_db(rq, &db));
    return err_set(&rq->err, ST_NOT_IMPLEMENTED, "tombstones are purged by _purge, not by age");
}

/* GET, DELETE /{db}/_time_seq */
enum status h_time_seq(struct request *rq, struct reply *rp)
{
    struct db *db;

    (void)rp;
    TRY(rq_db(rq, &db));
    return err_set(&rq->err, ST_NOT_IMPLEMENTED, "times of sequences are not recorded");
}
