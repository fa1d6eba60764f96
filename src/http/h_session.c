/* http/h_session.c: /_session: who the server takes the caller for, logging in and out. */
#include "base/text.h"
#include "http/cors.h"
#include "http/handlers.h"
#include "http/router.h"

static void put_roles(struct request *rq, struct json *o)
{
    struct json *roles = json_array(rq->arena);

    for (size_t i = 0; i < rq->user.nroles; i++)
        json_add(rq->arena, roles, json_str(rq->arena, rq->user.roles[i]));
    json_put(rq->arena, o, "roles", roles);
}

/* GET /_session */
enum status h_session(struct request *rq, struct reply *rp)
{
    struct arena *a = rq->arena;
    struct json *o = json_object(a), *ctx = json_object(a);
    struct json *info = json_object(a), *handlers = json_array(a);
    const char *names[4];
    bool basic = false;
    unsigned n = auth_handlers(rq->svc->auth, names);

    TRY(rq_bool(rq, "basic", &basic));
    if (basic && rq->user.name.n == 0)
        return err_set(&rq->err, ST_UNAUTHORIZED, "Please login.");
    json_put_bool(a, o, "ok", true);
    json_put(a, ctx, "name", rq->user.name.n != 0 ? json_str(a, rq->user.name) : json_null(a));
    put_roles(rq, ctx);
    json_put(a, o, "userCtx", ctx);
    for (unsigned i = 0; i < n; i++)
        json_add(a, handlers, json_str(a, slice_str(names[i])));
    json_put(a, info, "authentication_handlers", handlers);
    if (rq->user.by != NULL)
        json_put_cstr(a, info, "authenticated", rq->user.by);
    json_put(a, o, "info", info);
    reply_json(rp, 200, o);
    return ST_OK;
}

struct login {
    struct slice name, password;
    struct slice next, fail; /* where to go then; empty: nowhere */
    enum status st;
};

/* A path of this server: nobody is sent elsewhere with an address of ours. */
static enum status path_param(struct request *rq, const char *name, struct slice *out)
{
    const struct slice *v = rq_param(rq, name);

    *out = slice_of(NULL, 0);
    if (v == NULL)
        return ST_OK;
    if (v->n == 0 || v->p[0] != '/' || (v->n > 1 && (v->p[1] == '/' || v->p[1] == '\\')))
        return err_set(&rq->err, ST_BAD_REQUEST, "path must begin with a /.");
    *out = *v;
    return ST_OK;
}

static bool is_name(struct slice s)
{
    return slice_eq(s, SLICE_LIT("name")) || slice_eq(s, SLICE_LIT("username"));
}

/* `name` and `username` are the same. */
static enum status set_name(struct request *rq, struct login *l, struct slice name)
{
    if (l->name.p != NULL && !slice_eq(l->name, name))
        return err_set(&rq->err, ST_BAD_REQUEST, "request body contains different usernames");
    l->name = name;
    return ST_OK;
}

static enum status read_form(struct request *rq, struct login *l)
{
    struct slice rest = rq->body;

    while (rest.n != 0) {
        struct slice value = slice_cut(&rest, '&'), name = slice_cut(&value, '=');

        if (!percent_decode(rq->arena, name, true, &name) ||
            !percent_decode(rq->arena, value, true, &value))
            return err_set(&rq->err, ST_BAD_REQUEST, "invalid_url_encoding");
        if (is_name(name))
            TRY(set_name(rq, l, value));
        else if (slice_eq(name, SLICE_LIT("password")))
            l->password = value;
    }
    return ST_OK;
}

static enum status read_text(struct request *rq, const struct json *body, const char *name,
                             struct slice *out)
{
    const struct json *v = json_get(body, name);

    if (v == NULL)
        return ST_OK;
    if (v->type != JSON_STRING)
        return err_set(&rq->err, ST_BAD_REQUEST, "%s must be a string", name);
    *out = v->text;
    return ST_OK;
}

static enum status read_json(struct request *rq, struct login *l)
{
    struct slice username = slice_of(NULL, 0);
    const struct json *body;

    TRY(rq_object(rq, &body));
    TRY(read_text(rq, body, "name", &l->name));
    TRY(read_text(rq, body, "username", &username));
    TRY(read_text(rq, body, "password", &l->password));
    return username.p != NULL ? set_name(rq, l, username) : ST_OK;
}

static void do_login(struct request *rq)
{
    struct login *l = rq->scratch;
    struct auth_login in = {l->name, l->password, rq_peer(rq)};

    l->st = auth_login(rq->svc->auth, &in, rq->arena, &rq->user, &rq->err);
}

static enum status redirect(struct reply *rp, struct slice where)
{
    reply_header(rp, "Location", where);
    reply_ok(rp, 302);
    return ST_OK;
}

static enum status logged_in(struct request *rq, struct reply *rp)
{
    struct login *l = rq->scratch;
    struct json *o = json_object(rq->arena);

    if (l->st == ST_UNAUTHORIZED || l->st == ST_FORBIDDEN) {
        rq->user = (struct auth_user){.set_cookie = auth_logout_cookie(rq->svc->auth, rq->arena)};
        return l->fail.n != 0 ? redirect(rp, l->fail) : l->st;
    }
    TRY(l->st);
    if (l->next.n != 0)
        return redirect(rp, l->next);
    json_put_bool(rq->arena, o, "ok", true);
    json_put_str(rq->arena, o, "name", rq->user.name);
    put_roles(rq, o);
    reply_json(rp, 200, o);
    return ST_OK;
}

/* POST /_session: a form or JSON. */
enum status h_session_post(struct request *rq, struct reply *rp)
{
    struct login *l = arena_zalloc(rq->arena, sizeof(*l));
    struct slice type = rq_header(rq, "Content-Type");

    (void)rp;
    TRY(cors_same_origin(rq));
    TRY(path_param(rq, "next", &l->next));
    TRY(path_param(rq, "fail", &l->fail));
    type = slice_trim(slice_cut(&type, ';'));
    if (slice_ieq(type, SLICE_LIT("application/json")))
        TRY(read_json(rq, l));
    else if (slice_ieq(type, SLICE_LIT("application/x-www-form-urlencoded")))
        TRY(read_form(rq, l));
    else
        return err_set(&rq->err, ST_MEDIA_TYPE,
                       "Content-Type must be 'application/x-www-form-urlencoded' or "
                       "'application/json'");
    if (l->name.p == NULL)
        return err_set(&rq->err, ST_BAD_REQUEST, "request body must contain a username");
    rq->scratch = l;
    rq_hash(rq, do_login, logged_in);
    return ST_OK;
}

/* DELETE /_session */
enum status h_session_delete(struct request *rq, struct reply *rp)
{
    struct slice next;

    TRY(path_param(rq, "next", &next));
    rq->user.set_cookie = auth_logout_cookie(rq->svc->auth, rq->arena);
    if (next.n != 0)
        return redirect(rp, next);
    reply_ok(rp, 200);
    return ST_OK;
}
