/* http/rights.c: see rights.h. Runs on workers. */
#include "http/rights.h"

#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "http/router.h"

/* ---- routes ---- */

enum status rights_valid_user(struct request *rq)
{
    if (!web_now(rq->svc)->require_valid_user || rq->user.name.n != 0)
        return ST_OK;
    if (rq->nseg == 1 && slice_eq(rq->seg[0], SLICE_LIT("_up")))
        return ST_OK;
    if (rq->nseg == 1 && slice_eq(rq->seg[0], SLICE_LIT("_session")) && rq->method == M_POST)
        return ST_OK;
    return err_set(&rq->err, ST_UNAUTHORIZED, "Authentication required.");
}

static enum status denied(struct request *rq, const char *reason)
{
    return err_set(&rq->err, rq->user.name.n == 0 ? ST_UNAUTHORIZED : ST_FORBIDDEN, "%s", reason);
}

static enum status deny_db(struct request *rq)
{
    return denied(rq, rq->user.name.n == 0 ? "You are not authorized to access this db."
                                           : "You are not allowed to access this db.");
}

/* CouchDB answers 401 here whoever asks. */
static enum status deny_server(struct request *rq)
{
    return err_set(&rq->err, ST_UNAUTHORIZED, "You are not a server admin.");
}

static enum status deny_metrics(struct request *rq)
{
    return err_set(&rq->err, ST_UNAUTHORIZED,
                   "You are not a server admin or read-only metrics user");
}

static enum status load_security(struct request *rq, const struct json **sec)
{
    struct db *db;

    TRY(rq_db(rq, &db));
    return json_parse(rq->arena, db_security(db, rq->arena), sec, &rq->err);
}

/* Users have their own document there, and nobody lists or searches others. Who is nobody may only
 * write, and only where the security object lets everybody in: to sign up. */
static enum status authorize_users(struct request *rq, const struct json *sec)
{
    enum need need = rq->route->need;

    if (need != NEED_DOC_READ && need != NEED_DOC_WRITE)
        return deny_server(rq);
    if (rq->user.name.n != 0)
        return ST_OK;
    return need == NEED_DOC_WRITE && auth_is_member(&rq->user, sec) ? ST_OK : deny_db(rq);
}

static enum status authorize_db(struct request *rq)
{
    const struct json *sec;

    TRY(load_security(rq, &sec));
    rq->db_admin = auth_is_db_admin(&rq->user, sec);
    if (rq->db_admin)
        return ST_OK;
    if (auth_is_users_db(rq_arg(rq, "db")))
        return authorize_users(rq, sec);
    /* Documents there hold passwords for other servers. */
    if (slice_eq(rq_arg(rq, "db"), SLICE_LIT("_replicator")) || !auth_is_member(&rq->user, sec))
        return deny_db(rq);
    if (rq->route->need == NEED_DB_ADMIN)
        return denied(rq, "You are not a db or server admin.");
    return ST_OK;
}

enum status router_authorize(struct request *rq)
{
    switch (rq->route->need) {
    case NEED_NONE:
        return ST_OK;
    case NEED_USER:
        return rq->user.name.n != 0 ? ST_OK : deny_db(rq);
    case NEED_METRICS:
        return rq->user.admin || auth_has_role(&rq->user, SLICE_LIT("_metrics")) ? ST_OK
                                                                                 : deny_metrics(rq);
    case NEED_ADMIN:
        return rq->user.admin ? ST_OK : deny_server(rq);
    case NEED_DB_READER:
    case NEED_DB_WRITER:
    case NEED_DOC_READ:
    case NEED_DOC_WRITE:
    case NEED_DB_ADMIN:
        rq->db_admin = rq->user.admin;
        return rq->db_admin ? ST_OK : authorize_db(rq);
    }
    return deny_server(rq);
}

/* ---- documents ---- */

static struct slice edit_id(const struct doc_edit *ed)
{
    const struct json *id = json_get(ed->doc, "_id");

    if (ed->id.n != 0)
        return ed->id;
    return json_is(id, JSON_STRING) ? id->text : slice_of(NULL, 0);
}

static enum status prepare_user(struct request *rq, struct db *db, struct doc_edit *ed)
{
    struct auth_user_edit u = {.db = db,
                               .user = &rq->user,
                               .db_admin = rq->db_admin,
                               .id = ed->id,
                               .rev = ed->rev,
                               .new_edits = ed->new_edits,
                               .delete_it = ed->delete_it,
                               .attachment = ed->att != NULL,
                               .doc = ed->doc};

    if (json_get(ed->doc, "password") != NULL && rq->passwords++ >= LIMIT_BULK_PASSWORDS)
        return err_set(&rq->err, ST_TOO_LARGE, "more than %d passwords to hash",
                       LIMIT_BULK_PASSWORDS);
    TRY(auth_users_prepare(rq->svc->auth, &u, rq->arena, &rq->err));
    ed->doc = u.doc;
    return ST_OK;
}

enum status rights_may_edit(struct request *rq, struct slice id)
{
    if (!rq->db_admin && slice_starts(id, SLICE_LIT("_design/")))
        return denied(rq, "You are not a db or server admin.");
    return ST_OK;
}

enum status rq_edit_prepare(struct request *rq, struct db *db, struct doc_edit *ed,
                            struct commit_op *op)
{
    TRY(rights_may_edit(rq, edit_id(ed)));
    if (auth_is_users_db(db_name(db)))
        TRY(prepare_user(rq, db, ed));
    ed->user = &(struct doc_user){rq->user.name, rq->user.roles, rq->user.nroles};
    return doc_edit_prepare(db, rq->arena, ed, op, &rq->err);
}

bool rights_error_is_row(enum status st)
{
    return st == ST_FORBIDDEN || st == ST_UNAUTHORIZED || doc_error_is_row(st);
}

bool rights_limited(const struct request *rq)
{
    return !rq->db_admin && auth_is_users_db(rq_arg(rq, "db"));
}

enum status rights_may_read(struct request *rq, struct slice id)
{
    if (!rights_limited(rq) || auth_owns_user_doc(&rq->user, id))
        return ST_OK;
    if (slice_starts(id, SLICE_LIT("_design/")))
        return err_set(&rq->err, ST_FORBIDDEN,
                       "Only administrators can view design docs in the users database.");
    return err_set(&rq->err, ST_NOT_FOUND, "missing");
}

enum status rights_read_user(struct request *rq, struct reply *rp, struct db *db)
{
    struct doc_read_opts opts = {0};
    struct slice id = rq_arg(rq, "docid");
    const struct json *doc;
    struct docinfo info;
    struct slice text;
    struct buf b;
    enum status st;
    int node;

    TRY(rights_may_read(rq, id));
    TRY(doc_find(db, id, slice_of(NULL, 0), rq->arena, &info, &node, &rq->err));
    buf_init(&b, LIMIT_REQUEST_BYTES);
    st = doc_write_json(db, id, &info, node, &opts, rq->arena, &b, &rq->err);
    text = arena_dup(rq->arena, buf_slice(&b));
    buf_free(&b);
    TRY(st);
    TRY(json_parse(rq->arena, text, &doc, &rq->err));
    reply_etag(rp, rev_text(rq->arena, &info.tree.nodes[node].rev));
    reply_json(rp, 200, auth_users_redact(doc, rq->arena));
    return ST_OK;
}
