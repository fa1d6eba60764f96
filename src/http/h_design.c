/* http/h_design.c: what hangs below a design document and is neither the document nor an
 * attachment: functions in JavaScript, which are stored and replicated and not run, and how their
 * index is. Runs on workers. */
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "http/handlers.h"

/* ST_NOT_FOUND "missing" or "deleted". */
static enum status load_ddoc(struct request *rq, const struct json **doc)
{
    struct slice id = rq_arg(rq, "docid");
    struct docinfo info;
    struct doc_body body;
    struct db *db;
    int node;

    if (!slice_starts(id, SLICE_LIT("_design/"))) /* else it would be an attachment */
        return err_set(&rq->err, ST_NOT_FOUND, "Document is missing attachment");
    TRY(rq_db(rq, &db));
    TRY(doc_find(db, id, slice_of(NULL, 0), rq->arena, &info, &node, &rq->err));
    TRY(doc_winner(db, id, rq->arena, &info, &body, &rq->err));
    return json_parse(rq->arena, body.json, doc, &rq->err);
}

static enum status no_javascript(struct request *rq)
{
    return err_set(&rq->err, ST_NOT_IMPLEMENTED,
                   "functions of design documents need JavaScript, which is not there");
}

/* Lists, shows, updates, rewrites and other services' indexes. */
enum status h_ddoc_function(struct request *rq, struct reply *rp)
{
    const struct json *doc;

    (void)rp;
    TRY(load_ddoc(rq, &doc));
    return no_javascript(rq);
}

/* GET, POST /{db}/_design/{ddoc}/_view/{view}[/queries] */
enum status h_view(struct request *rq, struct reply *rp)
{
    struct slice name = rq_arg(rq, "att");
    const struct json *doc = NULL;
    const char *slash;

    (void)rp;
    TRY(load_ddoc(rq, &doc));
    slash = memchr(name.p, '/', name.n);
    if (slash != NULL)
        name.n = (size_t)(slash - name.p);
    if (json_get_s(json_get(doc, "views"), name) == NULL)
        return err_set(&rq->err, ST_NOT_FOUND, "missing_named_view");
    return no_javascript(rq);
}

static struct json *three_zeros(struct arena *a, const char *x, const char *y, const char *z)
{
    struct json *o = json_object(a);

    json_put_i64(a, o, x, 0);
    json_put_i64(a, o, y, 0);
    json_put_i64(a, o, z, 0);
    return o;
}

/* As far as CouchDB's: what the index depends on. */
static struct slice signature(struct arena *a, const struct json *doc)
{
    const struct json *views = json_get(doc, "views");
    unsigned char sum[16];
    char *hex = arena_zalloc(a, 2 * sizeof(sum) + 1);
    struct buf b;

    buf_init(&b, (size_t)2 * LIMIT_DOC_BYTES_MAX);
    if (views != NULL)
        json_write(&b, views);
    md5(b.p, b.n, sum);
    buf_free(&b);
    hex_encode(sum, sizeof(sum), hex);
    return slice_of(hex, 2 * sizeof(sum));
}

/* GET /{db}/_design/{ddoc}/_info: an index that nobody builds. */
enum status h_ddoc_info(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *index = json_object(a);
    struct slice id = rq_arg(rq, "docid");
    const struct json *doc = NULL, *lang;

    TRY(load_ddoc(rq, &doc));
    lang = json_get(doc, "language");
    json_put_str(a, o, "name", slice_of(id.p + 8, id.n - 8));
    json_put_str(a, index, "signature", signature(a, doc));
    json_put_str(a, index, "language",
                 json_is(lang, JSON_STRING) ? lang->text : SLICE_LIT("javascript"));
    json_put(a, index, "sizes", three_zeros(a, "file", "external", "active"));
    json_put_i64(a, index, "update_seq", 0);
    json_put_i64(a, index, "purge_seq", 0);
    json_put(a, index, "updates_pending", three_zeros(a, "minimum", "preferred", "total"));
    json_put_i64(a, index, "waiting_clients", 0);
    json_put_bool(a, index, "updater_running", false);
    json_put_bool(a, index, "waiting_commit", false);
    json_put_bool(a, index, "compact_running", false);
    json_put(a, index, "collator_versions", json_array(a));
    json_put(a, o, "view_index", index);
    reply_json(rp, 200, o);
    return ST_OK;
}
