/* repl/spec.c: the body of POST /_replicate, and the id of the replication that it describes. */
#include "base/digest.h"
#include "base/text.h"
#include "repl/repl_priv.h"

static enum status bad(struct err *e, const char *what)
{
    return err_set(e, ST_BAD_REQUEST, "%s", what);
}

static enum status opt_bool(const struct json *body, const char *name, bool *out, struct err *e)
{
    const struct json *v = json_get(body, name);

    if (v != NULL && !json_bool(v, out))
        return err_set(e, ST_BAD_REQUEST, "%s must be a boolean", name);
    return ST_OK;
}

static enum status parse_filters(const struct json *body, struct repl_spec *out, struct err *e)
{
    out->doc_ids = json_get(body, "doc_ids");
    out->selector = json_get(body, "selector");
    if (json_get(body, "filter") != NULL)
        return err_set(e, ST_NOT_IMPLEMENTED, "filter functions are not supported yet");
    if (out->doc_ids != NULL && out->selector != NULL)
        return bad(e, "`doc_ids` and `selector` exclude each other");
    if (out->doc_ids != NULL && out->doc_ids->type != JSON_ARRAY)
        return bad(e, "`doc_ids` must be an array");
    if (out->selector != NULL && out->selector->type != JSON_OBJECT)
        return bad(e, "`selector` must be an object");
    return ST_OK;
}

static enum status parse_target(const struct json *v, struct slice *out, struct err *e)
{
    const struct json *url = json_is(v, JSON_OBJECT) ? json_get(v, "url") : v;

    if (!json_is(url, JSON_STRING) || url->text.n == 0)
        return bad(e, "`target` must be the name of a database");
    if (slice_starts(url->text, SLICE_LIT("http://")) ||
        slice_starts(url->text, SLICE_LIT("https://")))
        return err_set(e, ST_NOT_IMPLEMENTED,
                       "pushing to a remote target is not supported yet: name a local database");
    *out = url->text;
    return db_name_check(*out, e);
}

static void add_json(struct buf *b, const struct json *v)
{
    if (v != NULL)
        json_write(b, v);
    buf_char(b, '\0');
}

/* Over what decides which documents travel; not over passwords, so that a new one does not start a
 * replication anew. */
static void make_id(struct repl_spec *s, const char *uuid)
{
    unsigned char sum[16];
    struct buf b;

    buf_init(&b, LIMIT_REQUEST_BYTES);
    buf_str(&b, uuid);
    buf_char(&b, '\0');
    buf_add(&b, s->source.url);
    buf_char(&b, '\0');
    buf_add(&b, s->source.user);
    buf_char(&b, '\0');
    buf_add(&b, s->target);
    buf_char(&b, '\0');
    add_json(&b, s->doc_ids);
    add_json(&b, s->selector);
    buf_add(&b, s->since_seq);
    md5(b.p, b.n, sum);
    buf_free(&b);
    hex_encode(sum, sizeof(sum), s->id);
    s->id[32] = '\0';
}

/* Which replication to cancel, when its id is given instead of what it was started with. */
static bool named(const struct json *body, struct repl_spec *out)
{
    static const char *const names[] = {"replication_id", "id", "_local_id"};
    const struct json *v = NULL;
    struct slice id, rest;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && v == NULL; i++)
        v = json_get(body, names[i]);
    if (!json_is(v, JSON_STRING))
        return false;
    rest = v->text;
    id = slice_cut(&rest, '+');
    out->continuous = slice_eq(rest, SLICE_LIT("continuous"));
    if (id.n == sizeof(out->id) - 1) /* another length is nobody's */
        memcpy(out->id, id.p, id.n);
    return true;
}

enum status repl_spec_parse(const struct json *body, const char *uuid, struct repl_spec *out,
                            struct err *e)
{
    const struct json *source = json_get(body, "source"), *since = json_get(body, "since_seq");
    struct buf text;

    out->use_checkpoints = true;
    TRY(opt_bool(body, "cancel", &out->cancel, e));
    if (out->cancel && named(body, out))
        return ST_OK;
    if (source == NULL)
        return bad(e, "`source` is missing");
    if (json_get(body, "target") == NULL)
        return bad(e, "`target` is missing");
    if (json_is(source, JSON_STRING) && memchr(source->text.p, ':', source->text.n) == NULL)
        return err_set(e, ST_NOT_IMPLEMENTED,
                       "a local source is not supported yet: give the URL of a database");
    TRY(peer_addr_parse(out->arena, source, &out->source, e));
    TRY(parse_target(json_get(body, "target"), &out->target, e));
    TRY(opt_bool(body, "create_target", &out->create_target, e));
    TRY(opt_bool(body, "continuous", &out->continuous, e));
    TRY(opt_bool(body, "use_checkpoints", &out->use_checkpoints, e));
    TRY(parse_filters(body, out, e));
    if (since != NULL) {
        buf_init(&text, 4096);
        json_write(&text, since);
        out->since_seq = arena_dup(out->arena, buf_slice(&text));
        buf_free(&text);
    }
    make_id(out, uuid);
    return ST_OK;
}
