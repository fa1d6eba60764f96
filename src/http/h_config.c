/* http/h_config.c: the configuration over HTTP (couchdb-surface A.2). What can be seen is what can
 * be changed (http/settings.h) and a few fixed bounds and names; no secret, no path. A change may
 * hash a password and writes a file, so it runs where logins do. Runs on workers. */
#include "base/limits.h"
#include "http/handlers.h"
#include "http/settings.h"
#include "version.h"

/* What is fixed, by section; text NULL: the number. */
static const struct {
    const char *section, *key, *text;
    uint64_t n;
} fixed[] = {
    {"chttpd", "changes_timeout", NULL, LIMIT_CHANGES_TIMEOUT_MS},
    {"chttpd", "max_http_request_size", NULL, LIMIT_REQUEST_BYTES},
    {"couchdb", "single_node", "true", 0},
    {"uuids", "algorithm", "sequential", 0},
    {"uuids", "max_count", NULL, LIMIT_UUIDS},
    {"vendor", "name", "Divan", 0},
    {"vendor", "version", DIVAN_VERSION, 0},
};

static struct json *section_of(struct arena *a, struct json *all, const char *name)
{
    const struct json *s = json_get(all, name);
    struct json *made;

    if (s != NULL)
        return (struct json *)(uintptr_t)s; /* all is ours */
    made = json_object(a);
    json_put(a, all, arena_cstr(a, slice_str(name)), made);
    return made;
}

static const struct json *config_tree(struct request *rq)
{
    const struct settings_ops *ops = rq->svc->settings;
    struct arena *a = rq->arena;
    struct json *all = ops->read(ops->arg, a);

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        struct json *section = section_of(a, all, fixed[i].section);

        if (fixed[i].text != NULL)
            json_put_cstr(a, section, fixed[i].key, fixed[i].text);
        else
            json_put_str(a, section, fixed[i].key,
                         arena_printf(a, "%llu", (unsigned long long)fixed[i].n));
    }
    return all;
}

/* GET /_node/{node}/_config[/{section}[/{key}]] */
enum status h_node_config(struct request *rq, struct reply *rp)
{
    const struct json *v = config_tree(rq);
    struct slice section = rq_arg(rq, "section"), key = rq_arg(rq, "key");

    TRY(rq_node(rq));
    if (section.n != 0)
        v = json_get_s(v, section);
    if (v == NULL && key.n == 0)
        v = json_object(rq->arena); /* as CouchDB answers for a section without keys */
    if (key.n != 0)
        v = v != NULL ? json_get_s(v, key) : NULL;
    if (v == NULL)
        return err_set(&rq->err, ST_NOT_FOUND, "unknown_config_value");
    reply_json(rp, 200, v);
    return ST_OK;
}

/* ---- changing ---- */

struct change {
    struct setting setting;
    struct slice old;
    enum status st;
};

static void do_change(struct request *rq)
{
    const struct settings_ops *ops = rq->svc->settings;
    struct change *c = rq->scratch;

    c->st = ops->change(ops->arg, &c->setting, rq->arena, &c->old, &rq->err);
}

static enum status changed(struct request *rq, struct reply *rp)
{
    const struct change *c = rq->scratch;

    TRY(c->st);
    reply_json(rp, 200, json_str(rq->arena, c->old));
    return ST_OK;
}

/* PUT, DELETE /_node/{node}/_config/{section}/{key}: the answer is the value that it had. */
enum status h_node_config_set(struct request *rq, struct reply *rp)
{
    struct change *c = arena_zalloc(rq->arena, sizeof(*c));
    const struct json *v;

    (void)rp;
    TRY(rq_node(rq));
    c->setting = (struct setting){.section = rq_arg(rq, "section"), .key = rq_arg(rq, "key")};
    c->setting.persist = !slice_eq(rq_header(rq, "X-Couch-Persist"), SLICE_LIT("false"));
    if (rq->method == M_PUT) {
        TRY(rq_json(rq, &v));
        if (v->type != JSON_STRING)
            return err_set(&rq->err, ST_BAD_REQUEST, "the value must be a JSON string");
        c->setting.value = v->text.n != 0 ? v->text : slice_of("", 0);
    }
    rq->scratch = c;
    rq_hash(rq, do_change, changed);
    return ST_OK;
}

static void do_reload(struct request *rq)
{
    const struct settings_ops *ops = rq->svc->settings;
    struct change *c = rq->scratch;

    c->st = ops->reload(ops->arg, &rq->err);
}

static enum status reloaded(struct request *rq, struct reply *rp)
{
    const struct change *c = rq->scratch;

    TRY(c->st);
    reply_ok(rp, 200);
    return ST_OK;
}

/* POST /_node/{node}/_config/_reload */
enum status h_node_config_reload(struct request *rq, struct reply *rp)
{
    (void)rp;
    TRY(rq_node(rq));
    rq->scratch = arena_zalloc(rq->arena, sizeof(struct change));
    rq_hash(rq, do_reload, reloaded);
    return ST_OK;
}
