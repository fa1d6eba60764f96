/* http/h_bulk.c: many documents at once (couchdb-surface A.6, B.4). */
#include "base/limits.h"
#include "base/thread.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/handlers.h"
#include "http/rights.h"
#include "http/stream.h"

/* ---- _bulk_docs ---- */

/* One row of the request: an operation, or why there is none. */
struct bulk_row {
    struct commit_op *op; /* NULL: refused before the committer */
    enum status st;
    struct err *err;
    struct slice id, rev; /* for a refused row */
};
struct bulk {
    struct bulk_row *rows;
    uint32_t n;
    bool new_edits;
    bool atomic; /* ?atomic=true: all or nothing */
    uint32_t refused;
};

static void write_error_row(struct buf *b, struct arena *a, const struct bulk *k,
                            const struct bulk_row *r)
{
    enum status st = r->op != NULL ? r->op->st : r->st;
    const struct err *e = r->op != NULL ? &r->op->err : r->err;

    buf_str(b, "{\"id\":");
    json_write_str(b, r->op != NULL ? doc_op_id(a, r->op) : r->id);
    if (!k->new_edits) {
        buf_str(b, ",\"rev\":");
        json_write_str(b, r->op != NULL ? doc_op_rev(a, r->op) : r->rev);
    }
    buf_char(b, ',');
    reply_error_members(b, st, e);
    buf_char(b, '}');
}

static void write_ok_row(struct buf *b, struct arena *a, const struct commit_op *op)
{
    buf_str(b, "{\"ok\":true,\"id\":");
    json_write_str(b, doc_op_id(a, op));
    buf_str(b, ",\"rev\":");
    json_write_str(b, doc_op_rev(a, op));
    buf_char(b, '}');
}

static enum status row_status(const struct bulk_row *r)
{
    return r->op != NULL ? r->op->st : r->st;
}

/* A full disk fails the request: nothing of it that failed may look like a verdict on a document.
 */
static enum status bulk_trouble(struct request *rq, const struct bulk *k)
{
    for (uint32_t i = 0; i < k->n; i++) {
        const struct bulk_row *r = &k->rows[i];
        enum status st = row_status(r);

        if (st != ST_NO_SPACE && st != ST_UNAVAILABLE)
            continue;
        rq->err = r->op != NULL ? r->op->err : *r->err;
        return st;
    }
    return ST_OK;
}

static bool is_refused(const struct bulk_row *r)
{
    return row_status(r) != ST_OK && (r->op == NULL || !r->op->aborted);
}

/* Rows that were refused for themselves, behind the error of the first of them. Every row that was
 * fine is left out: it was not written either. */
static enum status atomic_refused(struct request *rq, struct reply *rp, const struct bulk *k,
                                  uint32_t first)
{
    struct buf *b = &rp->body;
    enum status st = row_status(&k->rows[first]);
    const struct bulk_row *r = &k->rows[first];
    const struct err *why = r->op != NULL ? &r->op->err : r->err;
    struct err e = {.word = why->word};

    (void)err_word(&e, st, why->word, "Nothing was written: %.200s", why->reason);
    buf_char(b, '{');
    reply_error_members(b, st, &e);
    buf_str(b, ",\"rows\":[");
    for (uint32_t i = first; i < k->n; i++) {
        r = &k->rows[i];
        if (!is_refused(r))
            continue;
        if (i != first)
            buf_char(b, ',');
        write_error_row(b, rq->arena, k, r);
    }
    buf_str(b, "]}");
    reply_body(rp, status_code(st));
    return ST_OK;
}

/* new_edits=false lists only failures; otherwise a row for each document, in order. */
static enum status bulk_done(struct request *rq, struct reply *rp)
{
    struct bulk *k = rq->scratch;
    bool first = true;

    TRY(bulk_trouble(rq, k));
    for (uint32_t i = 0; k->atomic && i < k->n; i++)
        if (is_refused(&k->rows[i]))
            return atomic_refused(rq, rp, k, i);
    buf_char(&rp->body, '[');
    for (uint32_t i = 0; i < k->n; i++) {
        const struct bulk_row *r = &k->rows[i];
        enum status st = row_status(r);

        thread_pause_at(i);
        if (st == ST_OK && !k->new_edits)
            continue;
        if (!first)
            buf_char(&rp->body, ',');
        first = false;
        if (st == ST_OK)
            write_ok_row(&rp->body, rq->arena, r->op);
        else
            write_error_row(&rp->body, rq->arena, k, r);
    }
    buf_char(&rp->body, ']');
    reply_body(rp, 201);
    return ST_OK;
}

/* The revision that a document names, by the newest of _revisions or by _rev, as we would write it.
 */
static struct slice named_rev(struct arena *a, const struct json *doc)
{
    const struct json *rev = json_get(doc, "_rev"), *path = json_get(doc, "_revisions");
    const struct json *newest = json_at(json_get(path, "ids"), 0);
    struct slice text = json_is(rev, JSON_STRING) ? rev->text : SLICE_LIT("");
    struct rev parsed;
    struct err e;
    int64_t start;

    if (json_is(newest, JSON_STRING) && json_int(json_get(path, "start"), &start))
        text = arena_printf(a, "%lld-%.*s", (long long)start, (int)newest->text.n, newest->text.p);
    return rev_parse(a, text, &parsed, &e) == ST_OK ? rev_text(a, &parsed) : text;
}

static void refused_row(struct request *rq, struct bulk_row *r, const struct json *doc,
                        enum status st)
{
    const struct json *id = json_get(doc, "_id");

    r->op = NULL;
    r->st = st;
    r->err = arena_alloc(rq->arena, sizeof(*r->err));
    *r->err = rq->err;
    r->id = json_is(id, JSON_STRING) ? id->text : SLICE_LIT("");
    r->rev = named_rev(rq->arena, doc);
}

static enum status prepare_rows(struct request *rq, struct db *db, const struct json *docs,
                                struct bulk *k)
{
    struct commit_op *ops = arena_array(rq->arena, (size_t)docs->count + 1, sizeof(*ops));
    uint32_t nops = 0;

    k->rows = arena_array(rq->arena, (size_t)docs->count + 1, sizeof(*k->rows));
    for (const struct json *doc = docs->first; doc != NULL; doc = doc->next) {
        struct doc_edit ed = {.new_edits = k->new_edits, .doc = doc};
        struct bulk_row *r = &k->rows[k->n++];
        enum status st;

        if (doc->type != JSON_OBJECT)
            return err_set(&rq->err, ST_BAD_REQUEST, "Document must be a JSON object");
        thread_pause_at(k->n);
        ops[nops] = (struct commit_op){0};
        st = rq_edit_prepare(rq, db, &ed, &ops[nops]);
        if (st == ST_OK)
            *r = (struct bulk_row){.op = &ops[nops++]};
        else if (!rights_error_is_row(st))
            return st;
        else
            refused_row(rq, r, doc, st);
        k->refused += st != ST_OK;
    }
    rq_commit(rq, ops, k->atomic && k->refused != 0 ? 0 : nops, bulk_done);
    rq->batch.atomic = k->atomic;
    return ST_OK;
}

/* One group of the log holds what is written together (couch/commit.h). */
static enum status check_atomic(struct request *rq, const struct bulk *k, const struct json *docs)
{
    if (!k->atomic)
        return ST_OK;
    if (!k->new_edits)
        return err_set(&rq->err, ST_BAD_REQUEST, "atomic=true does not go with new_edits:false");
    if (docs->count > LIMIT_ATOMIC_DOCS)
        return err_set(&rq->err, ST_TOO_LARGE, "more than %d documents with atomic=true",
                       LIMIT_ATOMIC_DOCS);
    if (rq->body.n > LIMIT_ATOMIC_BYTES)
        return err_set(&rq->err, ST_TOO_LARGE, "more than %u bytes with atomic=true",
                       LIMIT_ATOMIC_BYTES);
    return ST_OK;
}

/* POST /{db}/_bulk_docs */
enum status h_bulk_docs(struct request *rq, struct reply *rp)
{
    struct bulk *k = arena_zalloc(rq->arena, sizeof(*k));
    const struct json *body, *docs, *new_edits;
    bool all = false;
    struct db *db;

    TRY(rq_db(rq, &db));
    TRY(rq_bool(rq, "atomic", &k->atomic));
    TRY(rq_object(rq, &body));
    docs = json_get(body, "docs");
    new_edits = json_get(body, "new_edits");
    k->new_edits = true;
    if (json_bool(json_get(body, "all_or_nothing"), &all) && all)
        return err_set(&rq->err, ST_NOT_IMPLEMENTED,
                       "`all_or_nothing` is not implemented: see ?atomic=true");
    if (docs == NULL)
        return err_set(&rq->err, ST_BAD_REQUEST, "POST body must include `docs` parameter.");
    if (docs->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "`docs` parameter must be an array.");
    if (new_edits != NULL && !json_bool(new_edits, &k->new_edits))
        return err_set(&rq->err, ST_BAD_REQUEST, "`new_edits` parameter must be a boolean.");
    if (docs->count > LIMIT_BULK_DOCS)
        return err_set(&rq->err, ST_TOO_LARGE, "more than %d documents", LIMIT_BULK_DOCS);
    TRY(check_atomic(rq, k, docs));
    rq->scratch = k;
    TRY(prepare_rows(rq, db, json_unpack(rq->arena, docs), k));
    if (rq->batch.n != 0)
        return ST_OK;
    rq_defer(rq, NULL, NULL); /* nothing for the committer */
    return bulk_done(rq, rp);
}

/* ---- _bulk_get ---- */

struct bulk_get {
    struct stream s;
    struct db *db;
    struct doc_read_opts opts;
    bool latest, begun;
    const struct json *item;
};

static enum status bulk_get_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                    struct err *e)
{
    struct bulk_get *g = (struct bulk_get *)(void *)s;
    struct arena *a = arena_new();
    enum status st = ST_OK;

    if (!g->begun)
        buf_str(out, "{\"results\":[");
    while (g->item != NULL && out->n < LIMIT_STREAM_CHUNK && st == ST_OK) {
        if (g->begun)
            buf_char(out, ',');
        g->begun = true;
        st = doc_bulk_get(g->db, g->item, g->latest, &g->opts, a, out, e);
        g->item = g->item->next;
        arena_reset(a);
    }
    g->begun = true;
    if (g->item == NULL)
        buf_str(out, "]}\n");
    *state = g->item == NULL ? STREAM_DONE : STREAM_MORE;
    arena_free(a);
    return st;
}

static void bulk_get_free(struct stream *s)
{
    (void)s; /* arena memory */
}

/* JSON, unless the client does not take it (A0.15). */
static bool wants_parts(struct request *rq)
{
    struct slice accept = rq_header(rq, "Accept");

    return !reply_accepts_json(accept) && (reply_accepts(accept, SLICE_LIT("multipart/mixed")) ||
                                           reply_accepts(accept, SLICE_LIT("multipart/related")));
}

/* POST /{db}/_bulk_get */
enum status h_bulk_get(struct request *rq, struct reply *rp)
{
    static const char *const refused[] = {"open_revs", "new_edits", "w", "rev", "atts_since", NULL};
    struct bulk_get *g = arena_zalloc(rq->arena, sizeof(*g));
    const struct json *body, *docs;

    TRY(rq_db(rq, &g->db));
    TRY(rq_object(rq, &body));
    for (const char *const *p = refused; *p != NULL; p++)
        if (rq_param(rq, *p) != NULL)
            return err_set(&rq->err, ST_BAD_REQUEST, "`%s` query parameter is not acceptable", *p);
    docs = json_get(body, "docs");
    if (docs == NULL || docs->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "Missing JSON list of 'docs'.");
    if (docs->count > LIMIT_KEYS)
        return err_set(&rq->err, ST_BAD_REQUEST, "more than %d documents", LIMIT_KEYS);
    g->opts.revs = rq_flag(rq, "revs");
    g->opts.attachments = rq_flag(rq, "attachments");
    g->opts.att_encoding_info = rq_flag(rq, "att_encoding_info");
    g->latest = rq_flag(rq, "latest");
    g->item = json_unpack(rq->arena, docs)->first;
    if (wants_parts(rq)) {
        reply_bulk_mixed(rq, rp, g->db, g->item, g->latest, &g->opts);
        return ST_OK;
    }
    g->s = (struct stream){.produce = bulk_get_produce, .free = bulk_get_free};
    rp->stream = &g->s;
    return ST_OK;
}

/* {id: [rev, ...]}, bounded. */
static enum status rev_lists(struct request *rq, struct db **db, const struct json **body)
{
    TRY(rq_db(rq, db));
    TRY(rq_object(rq, body));
    if ((*body)->count > LIMIT_KEYS)
        return err_set(&rq->err, ST_BAD_REQUEST, "more than %d documents", LIMIT_KEYS);
    return ST_OK;
}

/* POST /{db}/_revs_diff */
enum status h_revs_diff(struct request *rq, struct reply *rp)
{
    const struct json *body;
    struct db *db;

    TRY(rev_lists(rq, &db, &body));
    TRY(doc_revs_diff(db, body, rq->arena, &rp->body, &rq->err));
    reply_body(rp, 200);
    return ST_OK;
}

/* POST /{db}/_missing_revs */
enum status h_missing_revs(struct request *rq, struct reply *rp)
{
    const struct json *body;
    struct db *db;

    TRY(rev_lists(rq, &db, &body));
    buf_str(&rp->body, "{\"missing_revs\":");
    TRY(doc_missing_revs(db, body, &rp->body, &rq->err));
    buf_char(&rp->body, '}');
    reply_body(rp, 200);
    return ST_OK;
}
