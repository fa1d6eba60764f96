/* http/h_db.c: the endpoints of a database as a whole. */
#include "base/limits.h"
#include "base/text.h"
#include "couch/stores.h"
#include "http/handlers.h"

static void put_start_time(struct arena *a, struct json *o, const struct db *db)
{
    json_put_str(a, o, "instance_start_time",
                 arena_printf(a, "%llu", (unsigned long long)db_created_us(db)));
}

struct json *db_info_json(struct arena *a, struct db *db)
{
    struct json *o = json_object(a), *sizes = json_object(a), *cluster = json_object(a);
    struct json *props = json_object(a);
    struct db_counts c;
    struct db_disk disk;
    struct buf seq;

    db_get_counts(db, &c);
    buf_init(&seq, 64);
    seq_write(&seq, db, c.update_seq);
    json_put_str(a, o, "db_name", db_name(db));
    json_put_str(a, o, "update_seq", arena_dup(a, buf_slice(&seq)));
    buf_clear(&seq);
    seq_write(&seq, db, c.purge_seq);
    json_put_str(a, o, "purge_seq", arena_dup(a, buf_slice(&seq)));
    buf_free(&seq);
    db_get_disk(db, &disk);
    json_put_i64(a, sizes, "file", (int64_t)disk.file);
    json_put_i64(a, sizes, "external", (int64_t)disk.external);
    json_put_i64(a, sizes, "active", (int64_t)disk.active);
    json_put(a, o, "sizes", sizes);
    if (db_partitioned(db))
        json_put_bool(a, props, "partitioned", true);
    if (db_is_own(db))
        json_put_cstr(a, props, "placement", "own");
    json_put(a, o, "props", props);
    json_put_i64(a, o, "doc_del_count", (int64_t)c.deleted);
    json_put_i64(a, o, "doc_count", (int64_t)c.docs);
    json_put_i64(a, o, "disk_format_version", 1);
    json_put_bool(a, o, "compact_running", db_compact_running(db));
    for (const char *const *k = (const char *const[]){"q", "n", "w", "r", NULL}; *k != NULL; k++)
        json_put_i64(a, cluster, *k, 1);
    json_put(a, o, "cluster", cluster);
    put_start_time(a, o, db);
    return o;
}

enum status rq_outcome(struct request *rq, const struct commit_op *op)
{
    if (op->st != ST_OK)
        rq->err = op->err;
    return op->st;
}

/* GET /{db} */
enum status h_db_get(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    reply_json(rp, 200, db_info_json(rq->arena, db));
    return ST_OK;
}

static enum status db_created(struct request *rq, struct reply *rp)
{
    struct commit_op *op = rq->batch.ops;

    TRY(rq_outcome(rq, op));
    db_release(op->created);
    reply_header(rp, "Location",
                 arena_printf(rq->arena, "/%.*s", (int)rq->raw_path.n - 1, rq->raw_path.p + 1));
    reply_ok(rp, 201);
    return ST_OK;
}

/* Shards and replicas are CouchDB's: checked and without effect. */
static enum status check_shards(struct request *rq, const char *name)
{
    const struct slice *v = rq_param(rq, name);
    uint64_t n;

    if (v == NULL || (parse_u64(*v, &n) && n >= 1))
        return ST_OK;
    return err_set(&rq->err, ST_BAD_REQUEST, "The `%s` value should be a positive integer.", name);
}

static enum status check_partitioned(struct request *rq, bool *out)
{
    const struct slice *v = rq_param(rq, "partitioned");

    *out = v != NULL && slice_eq(*v, SLICE_LIT("true"));
    if (v != NULL && !*out && !slice_eq(*v, SLICE_LIT("false")))
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid `partitioned` parameter");
    if (*out && rq_arg(rq, "db").p[0] == '_')
        return err_set(&rq->err, ST_BAD_REQUEST, "Cannot partition a system database");
    return ST_OK;
}

/* PUT /{db} */
enum status h_db_put(struct request *rq, struct reply *rp)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));
    const struct slice *where = rq_param(rq, "placement");

    TRY(db_name_check(rq_arg(rq, "db"), &rq->err));
    TRY(check_shards(rq, "q"));
    TRY(check_shards(rq, "n"));
    TRY(check_partitioned(rq, &op->partitioned));
    op->kind = COMMIT_DB_CREATE;
    op->docid = rq_arg(rq, "db");
    if (where != NULL && slice_eq(*where, SLICE_LIT("own"))) {
        rq->batch = (struct commit_batch){.ops = op, .n = 1}; /* rare, and some fsyncs: it waits */
        TRY(stores_create_own(rq->svc->stores, op, &rq->err));
        return db_created(rq, rp);
    }
    rq_commit(rq, op, 1, db_created);
    return ST_OK;
}

static enum status simple_done(struct request *rq, struct reply *rp)
{
    TRY(rq_outcome(rq, rq->batch.ops));
    reply_ok(rp, 200);
    return ST_OK;
}

/* DELETE /{db}; ?rev= means that somebody meant a document. */
enum status h_db_delete(struct request *rq, struct reply *rp)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));

    (void)rp;
    if (rq_param(rq, "rev") != NULL)
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "You tried to DELETE a database with a ?rev= parameter. Did you mean to "
                       "DELETE a document instead?");
    TRY(rq_db(rq, &op->db));
    op->kind = COMMIT_DB_DROP;
    op->docid = db_name(op->db);
    rq_commit(rq, op, 1, simple_done);
    return ST_OK;
}

/* POST /{db}/_ensure_full_commit: every acknowledged write is durable already. */
enum status h_db_ensure_full_commit(struct request *rq, struct reply *rp)
{
    struct json *o = json_object(rq->arena);
    struct db *db;

    TRY(rq_db(rq, &db));
    json_put_bool(rq->arena, o, "ok", true);
    put_start_time(rq->arena, o, db);
    reply_json(rp, 201, o);
    return ST_OK;
}

/* ---- compaction ---- */

static enum status compact_marked(struct request *rq, struct reply *rp)
{
    struct commit_op *op = rq->batch.ops;

    TRY(rq_outcome(rq, op));
    db_compact_start(op->db);
    reply_ok(rp, 202);
    return ST_OK;
}

/* POST /{db}/_compact: the revisions that are no leaves are given up at once, by one record; their
 * bytes are reclaimed in the background. */
enum status h_db_compact(struct request *rq, struct reply *rp)
{
    struct commit_op *op = arena_zalloc(rq->arena, sizeof(*op));

    (void)rp;
    TRY(rq_db(rq, &op->db));
    op->kind = COMMIT_DB_PROPS;
    op->docid = db_name(op->db);
    op->compact = true;
    rq_commit(rq, op, 1, compact_marked);
    return ST_OK;
}

/* ---- security and limits: one record holds all, the committer fills in what stays ---- */

enum status rq_change_props(struct request *rq, const struct commit_op *what)
{
    struct commit_op *op = arena_alloc(rq->arena, sizeof(*op));

    *op = *what;
    op->kind = COMMIT_DB_PROPS;
    op->docid = db_name(op->db);
    rq_commit(rq, op, 1, simple_done);
    return ST_OK;
}

enum status h_db_security_get(struct request *rq, struct reply *rp)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    buf_add(&rp->body, db_security(db, rq->arena));
    reply_body(rp, 200);
    return ST_OK;
}

static bool all_strings(struct arena *a, const struct json *list)
{
    if (!json_is(list, JSON_ARRAY))
        return false;
    list = json_unpack(a, list);
    for (const struct json *v = list->first; v != NULL; v = v->next)
        if (v->type != JSON_STRING)
            return false;
    return true;
}

static enum status check_group(struct request *rq, const struct json *sec, const char *name)
{
    const struct json *g = json_get(sec, name);

    if (g == NULL)
        return ST_OK;
    if (g->type != JSON_OBJECT)
        return err_set(&rq->err, ST_BAD_REQUEST, "%s must be a JSON object", name);
    for (const char *const *k = (const char *const[]){"names", "roles", NULL}; *k != NULL; k++)
        if (json_get(g, *k) != NULL && !all_strings(rq->arena, json_get(g, *k)))
            return err_set(&rq->err, ST_BAD_REQUEST, "%s.%s must be a JSON list of strings", name,
                           *k);
    return ST_OK;
}

enum status h_db_security_put(struct request *rq, struct reply *rp)
{
    const struct json *sec;
    struct db *db;
    struct buf text;
    struct slice s;

    (void)rp;
    TRY(rq_db(rq, &db));
    if (auth_is_users_db(db_name(db)) && !web_now(rq->svc)->users_security_editable)
        return err_set(&rq->err, ST_FORBIDDEN,
                       "You can't edit the security object of the user database.");
    TRY(rq_object(rq, &sec));
    if (json_has_dup(sec))
        return err_set(&rq->err, ST_BAD_REQUEST, "a member is named twice");
    if (rq->body.n > LIMIT_SECURITY_BYTES)
        return err_set(&rq->err, ST_TOO_LARGE, "the security object is too large");
    TRY(check_group(rq, sec, "admins"));
    TRY(check_group(rq, sec, "members"));
    buf_init(&text, LIMIT_SECURITY_BYTES);
    json_write(&text, sec);
    s = arena_dup(rq->arena, buf_slice(&text));
    buf_free(&text);
    return rq_change_props(rq, &(struct commit_op){.db = db, .security = s});
}

/* ---- GET, PUT /{db}/_revs_limit, _purged_infos_limit ---- */

static enum status limit_get(struct request *rq, struct reply *rp,
                             uint32_t (*limit)(const struct db *db))
{
    struct db *db;

    TRY(rq_db(rq, &db));
    buf_u64(&rp->body, limit(db));
    reply_body(rp, 200);
    return ST_OK;
}

/* *n: 0 if the body is no integer, which no limit may be. */
static enum status limit_read(struct request *rq, struct db **db, int64_t *n)
{
    const struct json *v;

    TRY(rq_db(rq, db));
    TRY(rq_json(rq, &v));
    if (!json_int(v, n))
        *n = 0;
    return ST_OK;
}

enum status h_db_revs_limit_get(struct request *rq, struct reply *rp)
{
    return limit_get(rq, rp, db_revs_limit);
}

enum status h_db_revs_limit_put(struct request *rq, struct reply *rp)
{
    struct db *db;
    int64_t n;

    (void)rp;
    TRY(limit_read(rq, &db, &n));
    if (n < 1 || n > LIMIT_REVS_PATH)
        return err_set(&rq->err, ST_BAD_REQUEST, "revs_limit must be an integer from 1 to %d",
                       LIMIT_REVS_PATH);
    return rq_change_props(rq, &(struct commit_op){.db = db, .revs_limit = (uint32_t)n});
}

enum status h_db_purged_infos_limit_get(struct request *rq, struct reply *rp)
{
    return limit_get(rq, rp, db_purged_infos_limit);
}

enum status h_db_purged_infos_limit_put(struct request *rq, struct reply *rp)
{
    struct db *db;
    int64_t n;

    (void)rp;
    TRY(limit_read(rq, &db, &n));
    if (n < 1)
        return err_set(&rq->err, ST_BAD_REQUEST, "`purged_infos_limit` must be positive integer");
    if (n > LIMIT_PURGED_INFOS)
        return err_set(&rq->err, ST_BAD_REQUEST, "purged_infos_limit must be at most %d",
                       LIMIT_PURGED_INFOS);
    return rq_change_props(rq, &(struct commit_op){.db = db, .purged_infos_limit = (uint32_t)n});
}
