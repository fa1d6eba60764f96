/* http/h_replicate.c: POST /_replicate. A one-shot replication answers when it ends; the request is
 * parked meanwhile and costs no worker. */
#include "http/handlers.h"
#include "repl/repl.h"

static void replicate_done(void *arg)
{
    rq_continue(arg);
}

static enum status replicate_launch(struct request *rq, struct err *e)
{
    const struct json *body = rq->body_json_;
    struct repl_job **job = rq->scratch;

    return repl_start(rq->svc->repl, body, replicate_done, rq, job, e);
}

static enum status replicate_answer(struct request *rq, struct reply *rp)
{
    struct repl_job **job = rq->scratch;
    bool accepted = false;

    TRY(repl_result(*job, &rp->body, &accepted, &rq->err));
    reply_body(rp, accepted ? 202 : 200);
    return ST_OK;
}

enum status h_replicate(struct request *rq, struct reply *rp)
{
    const struct json *body;

    (void)rp;
    TRY(rq_object(rq, &body));
    rq->scratch = arena_zalloc(rq->arena, sizeof(struct repl_job *));
    rq_defer(rq, replicate_launch, replicate_answer);
    return ST_OK;
}
