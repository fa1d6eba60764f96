/* http/h_find.c: _find, _explain, _index and the vector endpoints. */
#include "http/handlers.h"
#include "mango/find.h"
#include "vector/vector.h"

static enum status parse_find(struct request *rq, struct db **db, struct find_request *f)
{
    const struct json *body;
    struct slice prefix;

    TRY(rq_db(rq, db));
    TRY(rq_partition(rq, &prefix));
    TRY(rq_object(rq, &body));
    return find_request_parse(rq->arena, rq_partition_body(rq, body, prefix), f, &rq->err);
}

/* POST /{db}/_find */
enum status h_find(struct request *rq, struct reply *rp)
{
    struct find_request f;
    struct db *db;

    TRY(parse_find(rq, &db, &f));
    if (f.vector != NULL)
        TRY(vectors_find(rq->svc->vectors, db, &f, rq->arena, &rp->body, &rq->err));
    else
        TRY(find_run(db, &f, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* POST /{db}/_explain */
enum status h_explain(struct request *rq, struct reply *rp)
{
    struct find_request f;
    struct db *db;

    TRY(parse_find(rq, &db, &f));
    if (f.vector != NULL)
        TRY(vectors_explain(rq->svc->vectors, db, &f, rq->arena, &rp->body, &rq->err));
    else
        TRY(find_explain(db, &f, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* GET /{db}/_index */
enum status h_index_list(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(vectors_index_list(rq->svc->vectors, db, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* POST /{db}/_index: type "vector"; the others are not there yet. */
enum status h_index_create(struct request *rq, struct reply *rp)
{
    const struct json *body, *type;
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(rq_object(rq, &body));
    type = json_get(body, "type");
    if (type == NULL ||
        (json_is(type, JSON_STRING) &&
         (slice_eq(type->text, SLICE_LIT("json")) || slice_eq(type->text, SLICE_LIT("text")) ||
          slice_eq(type->text, SLICE_LIT("nouveau")))))
        return err_word(&rq->err, ST_NOT_IMPLEMENTED, "index_not_implemented",
                        "only indexes of type \"vector\" are implemented yet");
    if (!json_is(type, JSON_STRING) || !slice_eq(type->text, SLICE_LIT("vector")))
        return err_word(&rq->err, ST_BAD_REQUEST, "invalid_index", "unknown index type");
    TRY(vectors_index_create(rq->svc->vectors, db, body, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

static struct slice ddoc_name(struct slice s)
{
    return slice_starts(s, SLICE_LIT("_design/")) ? slice_of(s.p + 8, s.n - 8) : s;
}

/* DELETE /{db}/_index/{ddoc}/vector/{name} */
enum status h_index_delete(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    if (!slice_eq(rq_arg(rq, "type"), SLICE_LIT("vector")))
        return err_word(&rq->err, ST_NOT_FOUND, "index_not_found", "no such index");
    TRY(vectors_index_delete(rq->svc->vectors, db, ddoc_name(rq_arg(rq, "ddoc")),
                             rq_arg(rq, "name"), rq->arena, &rq->err));
    reply_ok(rp, 200);
    return ST_OK;
}

/* GET /{db}/_design/{ddoc}/_vector_info/{name} */
enum status h_vector_info(struct request *rq, struct reply *rp)
{
    struct slice id = rq_arg(rq, "docid");
    struct db *db;

    TRY(rq_db(rq, &db));
    if (!slice_starts(id, SLICE_LIT("_design/")))
        return err_set(&rq->err, ST_NOT_FOUND, "Document is missing attachment");
    TRY(vectors_info(rq->svc->vectors, db, ddoc_name(id), rq_arg(rq, "name"), rq->arena, &rp->body,
                     &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* POST /{db}/_vector_cleanup */
enum status h_vector_cleanup(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(vectors_cleanup(rq->svc->vectors, db, &rq->err));
    reply_ok(rp, 202);
    return ST_OK;
}

/* POST /{db}/_compact/{ddoc} */
enum status h_compact_ddoc(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(vectors_compact(rq->svc->vectors, db, ddoc_name(rq_arg(rq, "ddoc")), &rq->err));
    reply_ok(rp, 202);
    return ST_OK;
}
