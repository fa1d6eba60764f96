/* http/request.c: what handlers ask a request: arguments, parameters, body, database, revision. */
#include "http/request.h"

#include <stddef.h>

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

enum status rq_bool(struct request *rq, const char *name, bool *out)
{
    const struct slice *v = rq_param(rq, name);

    if (v == NULL)
        return ST_OK;
    if (slice_eq(*v, SLICE_LIT("true")))
        *out = true;
    else if (slice_eq(*v, SLICE_LIT("false")))
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
    if (json_parse(rq->arena, *v, out, &rq->err) != ST_OK)
        return bad_param(rq, name, "JSON value", *v);
    return ST_OK;
}

enum status rq_json(struct request *rq, const struct json **out)
{
    if (rq->body_json_ == NULL)
        TRY(json_parse(rq->arena, rq->body, &rq->body_json_, &rq->err));
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
    TRY(db_name_check(rq_arg(rq, "db"), &rq->err));
    TRY(db_open(rq->svc->store, rq_arg(rq, "db"), out, &rq->err));
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
    if (param != NULL && param->n != 0 && match.n != 0 && !slice_eq(*param, match))
        return err_set(&rq->err, ST_BAD_REQUEST, "Document rev and etag have different values");
    if (param != NULL && param->n != 0)
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
    rq->batch.done = commit_done;
    return commit_submit(rq->svc->store, &rq->batch, e);
}

void rq_commit(struct request *rq, struct commit_op *ops, size_t n, handler_fn next)
{
    rq->batch = (struct commit_batch){.ops = ops, .n = n};
    rq_defer(rq, launch_commit, next);
}
