/* http/request.c: what handlers ask a request: arguments, parameters, body, database, revision. */
#include "http/request.h"

#include <stddef.h>

#include "base/gzip.h"
#include "base/limits.h"
#include "base/text.h"

struct slice rq_arg(const struct request *rq, const char *name)
{
    for (uint32_t i = 0; i < rq->nargs; i++)
        if (slice_eq(rq->arg_names[i], slice_str(name)))
            return rq->args[i];
    return slice_of(NULL, 0);
}

const struct slice *rq_param(const struct request *rq, const char *name)
{
    for (uint32_t i = rq->nparams; i-- > 0;)
        if (slice_eq(rq->params[i].name, slice_str(name)))
            return &rq->params[i].value;
    return NULL;
}

static enum status bad_param(struct request *rq, const char *name, const char *want,
                             struct slice got)
{
    return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error", "Invalid %s for %s: \"%.*s\"",
                    want, name, (int)(got.n < 100 ? got.n : 100), got.p);
}

bool rq_flag(const struct request *rq, const char *name)
{
    const struct slice *v = rq_param(rq, name);

    return v != NULL && slice_eq(*v, SLICE_LIT("true"));
}

enum status rq_bool(struct request *rq, const char *name, bool *out)
{
    const struct slice *v = rq_param(rq, name);

    if (v == NULL)
        return ST_OK;
    if (slice_ieq(*v, SLICE_LIT("true")))
        *out = true;
    else if (slice_ieq(*v, SLICE_LIT("false")))
        *out = false;
    else
        return bad_param(rq, name, "boolean parameter", *v);
    return ST_OK;
}

enum status rq_u64(struct request *rq, const char *name, uint64_t *out)
{
    const struct slice *v = rq_param(rq, name);

    if (v == NULL || parse_u64(*v, out))
        return ST_OK;
    return bad_param(rq, name, "value of a non-negative integer", *v);
}

enum status rq_json_param(struct request *rq, const char *name, const struct json **out)
{
    const struct slice *v = rq_param(rq, name);

    *out = NULL;
    if (v == NULL)
        return ST_OK;
    return json_parse(rq->arena, *v, out, &rq->err);
}

bool rq_none_match(const struct request *rq, struct slice tag)
{
    struct slice rest = rq_header(rq, "If-None-Match");

    while (rest.n != 0) {
        struct slice v = slice_trim(slice_cut(&rest, ','));

        if (slice_eq(v, SLICE_LIT("*")))
            return true;
        if (slice_starts(v, SLICE_LIT("W/")))
            v = slice_of(v.p + 2, v.n - 2);
        if (v.n == tag.n + 2 && v.p[0] == '"' && v.p[v.n - 1] == '"' &&
            memcmp(v.p + 1, tag.p, tag.n) == 0)
            return true;
    }
    return false;
}

bool reply_unchanged(struct request *rq, struct reply *rp, struct db *db)
{
    struct db_counts k;
    struct slice tag;
    struct buf b;

    if (rq->method != M_GET && rq->method != M_HEAD)
        return false;
    buf_init(&b, 128);
    db_get_counts(db, &k);
    seq_write(&b, db, k.update_seq);
    buf_printf(&b, "-%llu", (unsigned long long)k.purge_seq);
    tag = arena_dup(rq->arena, buf_slice(&b));
    buf_free(&b);
    reply_etag(rp, tag);
    if (!rq_none_match(rq, tag))
        return false;
    rp->code = 304;
    return true;
}

/* A0.8: JSON may come compressed. What it grows to is bounded like a plain body. */
static enum status inflate_body(struct request *rq)
{
    struct slice enc = rq_header(rq, "Content-Encoding");
    struct buf plain;
    bool ok;

    if (enc.n == 0 || slice_ieq(enc, SLICE_LIT("identity")))
        return ST_OK;
    if (!slice_ieq(enc, SLICE_LIT("gzip")))
        return err_set(&rq->err, ST_MEDIA_TYPE, "Content-Encoding must be gzip or identity");
    buf_init(&plain, LIMIT_REQUEST_BYTES);
    ok = gzip_inflate(rq->body, LIMIT_REQUEST_BYTES, &plain) && buf_ok(&plain);
    if (ok)
        rq->body = arena_dup(rq->arena, buf_slice(&plain));
    buf_free(&plain);
    return ok ? ST_OK : err_set(&rq->err, ST_BAD_REQUEST, "the gzip body is damaged or too large");
}

enum status rq_json(struct request *rq, const struct json **out)
{
    if (rq->body_json_ == NULL) {
        TRY(inflate_body(rq));
        TRY(json_parse(rq->arena, rq->body, &rq->body_json_, &rq->err));
    }
    *out = rq->body_json_;
    return ST_OK;
}

enum status rq_object(struct request *rq, const struct json **out)
{
    TRY(rq_json(rq, out));
    if (!json_is(*out, JSON_OBJECT))
        return err_set(&rq->err, ST_BAD_REQUEST, "Request body must be a JSON object");
    return ST_OK;
}

static void release_db(void *db)
{
    db_release(db);
}

enum status rq_db(struct request *rq, struct db **out)
{
    TRY(stores_db(rq->svc->stores, rq_arg(rq, "db"), out, &rq->err));
    arena_defer(rq->arena, release_db, *out);
    return ST_OK;
}

enum status rq_rev(struct request *rq, struct slice *out)
{
    const struct slice *param = rq_param(rq, "rev");
    struct slice match = rq_header(rq, "If-Match");

    *out = slice_of(NULL, 0);
    if (match.n >= 2 && match.p[0] == '"' && match.p[match.n - 1] == '"')
        match = slice_of(match.p + 1, match.n - 2);
    if (param != NULL && param->n == 0)
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid rev format");
    if (param != NULL && match.n != 0 && !slice_eq(*param, match))
        return err_set(&rq->err, ST_BAD_REQUEST, "Document rev and etag have different values");
    if (param != NULL)
        *out = *param;
    else if (match.n != 0)
        *out = match;
    return ST_OK;
}

void rq_defer(struct request *rq, enum status (*launch)(struct request *rq, struct err *e),
              handler_fn next)
{
    rq->launch = launch;
    rq->next = next;
}

static void commit_done(struct commit_batch *b)
{
    rq_continue((struct request *)(void *)((char *)b - offsetof(struct request, batch)));
}

static enum status launch_commit(struct request *rq, struct err *e)
{
    struct db *db = rq->batch.n != 0 ? rq->batch.ops[0].db : NULL; /* NULL: one is created */
    struct store *s = db != NULL ? db_store(db) : stores_main(rq->svc->stores);

    rq->batch.done = commit_done;
    return commit_submit(s, &rq->batch, e);
}

void rq_commit(struct request *rq, struct commit_op *ops, size_t n, handler_fn next)
{
    rq->batch = (struct commit_batch){.ops = ops, .n = n};
    rq_defer(rq, launch_commit, next);
}
