/* http/h_purge.c: _purge and what is remembered of it (couchdb-surface C.7). */
#include "base/limits.h"
#include "couch/purge.h"
#include "http/handlers.h"
#include "http/stream.h"

/* ---- POST /{db}/_purge ---- */

static enum status read_revs(struct request *rq, const struct json *list, struct commit_op *op)
{
    const struct json *v;
    struct rev *revs;

    if (!json_is(list, JSON_ARRAY))
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid list of revisions");
    if (list->count > LIMIT_PURGE_REVS)
        return err_set(&rq->err, ST_BAD_REQUEST, "Exceeded maximum number of revisions.");
    revs = arena_array(rq->arena, (size_t)list->count + 1, sizeof(*revs));
    list = json_unpack(rq->arena, list);
    for (v = list->first; v != NULL; v = v->next) {
        if (v->type != JSON_STRING)
            return err_set(&rq->err, ST_BAD_REQUEST, "Invalid rev format");
        TRY(rev_parse(rq->arena, v->text, &revs[op->npath], &rq->err));
        op->npath += revs[op->npath].gen != 0; /* no tree has a generation 0, the log refuses it */
    }
    op->path = revs;
    op->purged = arena_zalloc(rq->arena, op->npath + 1);
    return ST_OK;
}

static enum status purged(struct request *rq, struct reply *rp)
{
    buf_str(&rp->body, "{\"purge_seq\":null,\"purged\":{");
    for (size_t i = 0; i < rq->batch.n; i++) {
        const struct commit_op *op = &rq->batch.ops[i];
        bool first = true;

        TRY(rq_outcome(rq, op));
        buf_str(&rp->body, i > 0 ? "," : "");
        json_write_str(&rp->body, op->docid);
        buf_str(&rp->body, ":[");
        for (uint32_t k = 0; k < op->npath; k++) {
            if (!op->purged[k])
                continue;
            buf_str(&rp->body, first ? "\"" : ",\"");
            rev_write(&rp->body, &op->path[k]);
            buf_char(&rp->body, '"');
            first = false;
        }
        buf_char(&rp->body, ']');
    }
    buf_str(&rp->body, "}}");
    reply_body(rp, 201);
    return ST_OK;
}

enum status h_purge(struct request *rq, struct reply *rp)
{
    const struct json *body, *m;
    struct commit_op *ops;
    uint32_t n = 0, revs = 0;
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(rq_object(rq, &body));
    if (body->count > LIMIT_PURGE_DOCS)
        return err_set(&rq->err, ST_BAD_REQUEST, "Exceeded maximum number of documents.");
    if (json_has_dup(body))
        return err_set(&rq->err, ST_BAD_REQUEST, "a document is named twice");
    ops = arena_zalloc(rq->arena, ((size_t)body->count + 1) * sizeof(*ops));
    for (m = json_unpack(rq->arena, body)->first; m != NULL; m = m->next, n++) {
        ops[n].kind = COMMIT_PURGE;
        ops[n].db = db;
        ops[n].docid = m->key;
        if (m->key.n == 0)
            return err_word(&rq->err, ST_BAD_REQUEST, "illegal_docid",
                            "Document id must not be empty");
        TRY(read_revs(rq, m, &ops[n]));
        revs += ops[n].npath;
    }
    if (revs > LIMIT_PURGE_REVS)
        return err_set(&rq->err, ST_BAD_REQUEST, "Exceeded maximum number of revisions.");
    if (n == 0)
        return purged(rq, rp);
    rq_commit(rq, ops, n, purged);
    return ST_OK;
}

/* ---- GET /{db}/_purged_infos ---- */

struct infos {
    struct stream s;
    struct purge_walk *walk;
    bool begun;
};

static void write_info(const struct purge_info *p, struct buf *out)
{
    buf_str(out, "{\"id\":");
    json_write_str(out, p->docid);
    buf_str(out, ",\"revs\":[");
    for (uint32_t i = 0; i < p->nrevs; i++) {
        buf_str(out, i > 0 ? ",\"" : "\"");
        rev_write(out, &p->revs[i]);
        buf_char(out, '"');
    }
    buf_str(out, "]}");
}

static enum status infos_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                 struct err *e)
{
    struct infos *f = (struct infos *)(void *)s;
    struct purge_info info;
    uint64_t seq;
    bool got = true;

    if (!f->begun)
        buf_str(out, "{\"purged_infos\":[");
    while (got && out->n < LIMIT_STREAM_CHUNK) {
        TRY(purge_walk_next(f->walk, &seq, &info, &got, e));
        if (!got)
            break;
        if (f->begun)
            buf_char(out, ',');
        f->begun = true;
        write_info(&info, out);
    }
    f->begun = true;
    if (!got)
        buf_str(out, "]}\n");
    *state = got ? STREAM_MORE : STREAM_DONE;
    return ST_OK;
}

static void infos_free(struct stream *s)
{
    purge_walk_free(((struct infos *)(void *)s)->walk);
}

enum status h_purged_infos(struct request *rq, struct reply *rp)
{
    struct infos *f = arena_zalloc(rq->arena, sizeof(*f));
    struct db *db;

    TRY(rq_db(rq, &db));
    f->walk = purge_walk_new(store_kv(db_store(db)), db_num(db), 0);
    f->s = (struct stream){.produce = infos_produce, .free = infos_free};
    rp->stream = &f->s;
    return ST_OK;
}
