/* http/h_partition.c: /{db}/_partition/{p}: one partition of a partitioned database, and what is
 * asked of it alone. Runs on workers. */
#include "couch/partition.h"
#include "http/handlers.h"

/* The database of the route, which must be partitioned, and {p}, which must be a name. */
static enum status open_partition(struct request *rq, struct db **db)
{
    TRY(rq_db(rq, db));
    if (!db_partitioned(*db))
        return err_set(&rq->err, ST_BAD_REQUEST, "database is not partitioned");
    return partition_check(rq_arg(rq, "p"), &rq->err);
}

enum status rq_partition(struct request *rq, struct slice *prefix)
{
    struct slice p = rq_arg(rq, "p");
    struct db *db;

    *prefix = SLICE_LIT("");
    if (p.p == NULL)
        return ST_OK;
    TRY(open_partition(rq, &db));
    *prefix = arena_printf(rq->arena, "%.*s:", (int)p.n, p.p);
    return ST_OK;
}

/* GET /{db}/_partition/{p} */
enum status h_partition(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *sizes = json_object(a);
    struct partition_info info;
    struct db *db;

    TRY(open_partition(rq, &db));
    TRY(partition_read(db, rq_arg(rq, "p"), &info, &rq->err));
    json_put_str(a, o, "db_name", db_name(db));
    json_put_i64(a, sizes, "active", (int64_t)info.external);
    json_put_i64(a, sizes, "external", (int64_t)info.external);
    json_put(a, o, "sizes", sizes);
    json_put_str(a, o, "partition", rq_arg(rq, "p"));
    json_put_i64(a, o, "doc_count", (int64_t)info.docs);
    json_put_i64(a, o, "doc_del_count", (int64_t)info.deleted);
    reply_json(rp, 200, o);
    return ST_OK;
}

/* The selector that a request of one partition means: the given one, and an id that begins so. */
const struct json *rq_partition_body(struct request *rq, const struct json *body,
                                     struct slice prefix)
{
    struct arena *a = rq->arena;
    struct json *copy, *begins = json_object(a), *id = json_object(a), *both = json_array(a);
    struct json *selector = json_object(a);

    if (prefix.n == 0 || json_get(body, "selector") == NULL)
        return body;
    copy = json_object(a);
    json_put_str(a, begins, "$beginsWith", prefix);
    json_put(a, id, "_id", begins);
    json_add(a, both, json_get(body, "selector"));
    json_add(a, both, id);
    json_put(a, selector, "$and", both);
    for (const struct json *v = body->first; v != NULL; v = v->next)
        json_put_key(a, copy, v->key, slice_eq(v->key, SLICE_LIT("selector")) ? selector : v);
    return copy;
}
