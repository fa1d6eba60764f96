/* http/h_all_docs.c: _all_docs, _design_docs and _local_docs: a stream of rows in id order, or the
 * rows of `keys`. */
#include "base/limits.h"
#include "couch/partition.h"
#include "http/handlers.h"
#include "http/rows.h"

/* ---- parameters: of the query and of a POST body's members of the same name ---- */

struct source {
    struct request *rq;
    const struct json *body; /* NULL: none */
    bool body_wins;          /* where both name one: the members of one of several queries do */
};

static enum status bad(const struct source *s, const char *name)
{
    return err_word(&s->rq->err, ST_BAD_REQUEST, "query_parse_error", "Invalid value for %s", name);
}

/* The body's value; NULL: what the query says counts. */
static const struct json *in_body(const struct source *s, const char *name)
{
    if (!s->body_wins && rq_param(s->rq, name) != NULL)
        return NULL;
    return json_get(s->body, name);
}

static enum status opt_json(const struct source *s, const char *name, const struct json **out)
{
    *out = in_body(s, name);
    return *out != NULL ? ST_OK : rq_json_param(s->rq, name, out);
}

/* A body's boolean may be a string, as CouchDB has it. */
static enum status opt_bool(const struct source *s, const char *name, bool *out)
{
    const struct json *v = in_body(s, name);

    if (v == NULL)
        return rq_bool(s->rq, name, out);
    if (json_is(v, JSON_STRING) &&
        (slice_eq(v->text, SLICE_LIT("true")) || slice_eq(v->text, SLICE_LIT("false")))) {
        *out = v->text.n == 4;
        return ST_OK;
    }
    return json_bool(v, out) ? ST_OK : bad(s, name);
}

static enum status opt_u64(const struct source *s, const char *name, uint64_t *out)
{
    const struct json *v = in_body(s, name);
    int64_t n;

    if (v == NULL)
        return rq_u64(s->rq, name, out);
    if (!json_int(v, &n) || n < 0)
        return bad(s, name);
    *out = (uint64_t)n;
    return ST_OK;
}

/* Of the last parameter of that name, counted from 1; 0: there is none. */
static uint32_t param_place(const struct request *rq, const char *name)
{
    uint32_t i = rq->nparams;

    while (i > 0 && !slice_eq(rq->params[i - 1].name, slice_str(name)))
        i--;
    return i;
}

static enum status opt_key(const struct source *s, const char *name, const char *alias,
                           struct slice *out, bool *has)
{
    const struct json *v;

    if (!s->body_wins && param_place(s->rq, name) < param_place(s->rq, alias))
        name = alias;
    TRY(opt_json(s, name, &v));
    if (v == NULL)
        TRY(opt_json(s, alias, &v));
    if (v == NULL)
        return ST_OK;
    *has = true;
    /* Ids are compared as CouchDB's storage compares them, not as views: whatever is no string, an
     * object too, comes before all of them. */
    *out = v->type == JSON_STRING ? v->text : SLICE_LIT("");
    return ST_OK;
}

/* `key` stands for both ends; an end that the URL names behind it counts more. */
static bool comes_later(const struct source *s, const char *name, const char *alias)
{
    uint32_t a = param_place(s->rq, name), b = param_place(s->rq, alias);

    if (s->body_wins && json_get(s->body, "key") != NULL)
        return false;
    return (a > b ? a : b) > param_place(s->rq, "key");
}

static enum status parse_range(const struct source *s, struct all_docs_opts *o)
{
    struct slice key;
    bool has_key = false;
    const struct slice *from = rq_param(s->rq, "startkey_docid");

    TRY(opt_key(s, "startkey", "start_key", &o->start, &o->has_start));
    TRY(opt_key(s, "endkey", "end_key", &o->end, &o->has_end));
    TRY(opt_key(s, "key", "key", &key, &has_key));
    if (has_key && !(o->has_start && comes_later(s, "startkey", "start_key"))) {
        o->start = key;
        o->has_start = true;
    }
    if (has_key && !(o->has_end && comes_later(s, "endkey", "end_key"))) {
        o->end = key;
        o->has_end = true;
    }
    /* Alone it is a start, so that who pages with it gets on. */
    if (from == NULL)
        from = rq_param(s->rq, "start_key_doc_id");
    if (!o->has_start && from != NULL && rq_param(s->rq, "keys") == NULL) {
        o->start = *from;
        o->has_start = true;
    }
    return ST_OK;
}

static enum status opt_word(const struct source *s, const char *name, const char *const *words)
{
    const struct slice *v = rq_param(s->rq, name);

    for (size_t i = 0; v != NULL && words[i] != NULL; i++)
        if (slice_eq(*v, slice_str(words[i])))
            return ST_OK;
    return v == NULL ? ST_OK
                     : err_word(&s->rq->err, ST_BAD_REQUEST, "query_parse_error",
                                "Invalid value for `%s`.", name);
}

/* What means something for views only: checked as there, so that a mistake is told. */
static enum status parse_view_options(const struct source *s)
{
    static const char *const stale[] = {"ok", "update_after", NULL};
    static const char *const update[] = {"true", "false", "lazy", NULL};
    bool reduce = false, group = false, sorted = true;
    uint64_t level = 0;

    TRY(opt_bool(s, "reduce", &reduce));
    TRY(opt_bool(s, "group", &group));
    TRY(opt_bool(s, "sorted", &sorted));
    TRY(opt_u64(s, "group_level", &level));
    TRY(opt_word(s, "stale", stale));
    TRY(opt_word(s, "update", update));
    TRY(opt_word(s, "stable", (const char *const[]){"true", "false", NULL}));
    if (reduce)
        return err_word(&s->rq->err, ST_BAD_REQUEST, "query_parse_error",
                        "Reduce is invalid for map-only views.");
    if (group || level != 0)
        return err_word(&s->rq->err, ST_BAD_REQUEST, "query_parse_error",
                        "Invalid use of grouping on a map view.");
    return ST_OK;
}

static enum status parse_flags(const struct source *s, struct rows *r)
{
    struct all_docs_opts *o = &r->opts;

    TRY(opt_bool(s, "inclusive_end", &o->inclusive_end));
    TRY(opt_bool(s, "descending", &o->descending));
    TRY(opt_bool(s, "include_docs", &o->include_docs));
    TRY(opt_bool(s, "conflicts", &o->conflicts));
    TRY(opt_bool(s, "attachments", &o->attachments));
    TRY(opt_bool(s, "att_encoding_info", &o->att_encoding_info));
    return opt_bool(s, "update_seq", &r->update_seq);
}

/* The rows of `keys` come in their order, descending in the opposite one. */
static enum status parse_keys(const struct source *s, struct rows *r)
{
    struct all_docs_opts *o = &r->opts;
    struct request *rq = s->rq;
    const struct json *keys;
    uint32_t n = 0;

    TRY(opt_json(s, "keys", &keys));
    if (keys == NULL)
        return ST_OK;
    if (keys->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "`keys` member must be an array.");
    if (keys->count != 0 && (o->has_start || o->has_end))
        return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error",
                        "`keys` is incompatible with `key`, `start_key` and `end_key`");
    if (keys->count > LIMIT_KEYS)
        return err_set(&rq->err, ST_BAD_REQUEST, "more than %d keys", LIMIT_KEYS);
    keys = json_unpack(rq->arena, keys);
    r->keys = arena_array(rq->arena, (size_t)keys->count + 1, sizeof(void *));
    r->nkeys = keys->count;
    for (const struct json *v = keys->first; v != NULL; v = v->next, n++)
        r->keys[o->descending ? r->nkeys - 1 - n : n] = v;
    return ST_OK;
}

/* ?partition=p: the rows of one, as _partition/p/_all_docs has them; there, and for lists that
 * partitions do not matter for, it is checked. */
static enum status parse_partition(const struct source *s, struct rows *r)
{
    const struct json *v = in_body(s, "partition");
    const struct slice *param = rq_param(s->rq, "partition");
    struct slice p = param != NULL ? *param : SLICE_LIT("");

    if (v == NULL && param == NULL)
        return ST_OK;
    if (v != NULL)
        p = v->type == JSON_STRING ? v->text : SLICE_LIT("");
    if (!db_partitioned(r->db))
        return err_word(&s->rq->err, ST_BAD_REQUEST, "query_parse_error",
                        "`partition` parameter is not supported on this db");
    TRY(partition_check(p, &s->rq->err));
    if (rq_arg(s->rq, "p").n != 0 && !slice_eq(rq_arg(s->rq, "p"), p))
        return err_set(&s->rq->err, ST_BAD_REQUEST,
                       "Conflicting value for `partition` in query string");
    if (r->kind == ROWS_ALL)
        r->opts.prefix = arena_printf(s->rq->arena, "%.*s:", (int)p.n, p.p);
    return ST_OK;
}

static enum status parse_rows(const struct source *s, struct rows *r)
{
    struct all_docs_opts *o = &r->opts;

    o->inclusive_end = true;
    o->limit = UINT64_MAX;
    TRY(parse_range(s, o));
    TRY(parse_flags(s, r));
    TRY(parse_view_options(s));
    TRY(opt_u64(s, "limit", &o->limit));
    TRY(opt_u64(s, "skip", &o->skip));
    return parse_keys(s, r);
}

/* ---- rows ---- */

static void write_head(struct rows *r, struct buf *out, bool has_row)
{
    uint64_t offset = UINT64_MAX, total;
    struct db_counts c;

    r->begun = true;
    if (r->kind == ROWS_LOCAL) {
        buf_str(out, "{\"total_rows\":null,\"offset\":null,\"rows\":[");
        buf_str(out, has_row ? "\r\n" : "");
        return;
    }
    buf_str(out, "{\"total_rows\":");
    db_get_counts(r->db, &c);
    if (r->kind == ROWS_DESIGN)
        total = all_docs_count(r->db, r->opts.prefix);
    else
        total = r->reader != NULL ? all_docs_total(r->reader) : c.docs;
    buf_u64(out, total);
    if (r->update_seq) {
        buf_str(out, ",\"update_seq\":\"");
        seq_write(out, r->db, c.update_seq);
        buf_char(out, '"');
    }
    if (r->reader != NULL)
        offset = all_docs_offset(r->reader);
    buf_str(out, ",\"offset\":");
    if (offset != UINT64_MAX) /* among all documents, but never above total_rows, as CouchDB */
        buf_u64(out, offset < total ? offset : total);
    else /* keys, or too far to count */
        buf_str(out, "null");
    buf_str(out, ",\"rows\":[");
    if (has_row)
        buf_str(out, "\r\n");
}

/* A key that no row of this kind can have, of _design_docs and _local_docs: it is left out. */
static bool foreign(const struct rows *r, const struct json *k)
{
    struct slice prefix = r->kind == ROWS_DESIGN ? SLICE_LIT("_design/") : SLICE_LIT("_local/");

    return r->kind != ROWS_ALL && !(json_is(k, JSON_STRING) && slice_starts(k->text, prefix));
}

static enum status next_key_row(struct rows *r, struct arena *a, struct buf *row, bool *got,
                                struct err *e)
{
    const struct json *k;

    while (r->key_at < r->key_end && foreign(r, r->keys[r->key_at]))
        r->key_at++;
    *got = r->key_at < r->key_end;
    if (!*got)
        return ST_OK;
    k = r->keys[r->key_at++];
    if (k->type == JSON_STRING && r->kind == ROWS_LOCAL)
        return local_docs_key(r->db, k->text, r->opts.include_docs, a, row, e);
    if (k->type == JSON_STRING && slice_starts(k->text, r->opts.prefix))
        return all_docs_key(r->db, k->text, &r->opts, a, row, e);
    buf_str(row, "{\"key\":");
    json_write(row, k);
    buf_str(row, ",\"error\":\"not_found\"}");
    return ST_OK;
}

static enum status next_row(struct rows *r, struct arena *a, struct buf *row, bool *got,
                            struct err *e)
{
    buf_clear(row);
    if (r->keys != NULL)
        return next_key_row(r, a, row, got, e);
    if (r->kind == ROWS_LOCAL)
        return local_docs_next(r->local, row, got, e);
    return all_docs_next(r->reader, row, got, e);
}

static void open_reader(struct rows *r)
{
    if (r->opened)
        return;
    r->opened = true;
    if (r->keys != NULL)
        return;
    if (r->kind == ROWS_LOCAL)
        r->local = local_docs_new(r->db, &r->opts);
    else
        r->reader = all_docs_new(r->db, &r->opts);
}

enum status rows_produce(struct stream *s, struct buf *out, enum stream_state *state, struct err *e)
{
    struct rows *r = (struct rows *)(void *)s;
    struct arena *a = arena_new();
    enum status st = ST_OK;
    struct buf row;
    bool got = true;

    open_reader(r);
    buf_init(&row, out->max);
    *state = STREAM_MORE;
    while (out->n < LIMIT_STREAM_CHUNK && got) {
        st = next_row(r, a, &row, &got, e);
        if (st != ST_OK)
            break;
        if (!r->begun)
            write_head(r, out, got);
        else if (got)
            buf_str(out, ",\r\n");
        buf_add(out, buf_slice(&row));
        arena_reset(a);
    }
    if (!got) {
        buf_str(out, "\r\n]}\n");
        *state = STREAM_DONE;
    }
    buf_free(&row);
    arena_free(a);
    return st;
}

void rows_free(struct stream *s)
{
    struct rows *r = (struct rows *)(void *)s;

    all_docs_free(r->reader);
    local_docs_free(r->local);
    r->reader = NULL;
    r->local = NULL;
}

enum status rows_new(struct request *rq, struct db *db, enum rows_kind kind,
                     const struct json *body, bool body_wins, struct rows **out)
{
    struct rows *r = arena_zalloc(rq->arena, sizeof(*r));
    struct source source = {.rq = rq, .body = body, .body_wins = body_wins};

    *out = r;
    r->db = db;
    r->kind = kind;
    r->s = (struct stream){.produce = rows_produce, .free = rows_free};
    TRY(rq_partition(rq, &r->opts.prefix));
    if (kind == ROWS_DESIGN)
        r->opts.prefix = SLICE_LIT("_design/");
    TRY(parse_partition(&source, r));
    TRY(parse_rows(&source, r));
    if (r->keys == NULL)
        return ST_OK;
    r->key_at = r->opts.skip < r->nkeys ? (uint32_t)r->opts.skip : r->nkeys;
    r->key_end = r->nkeys;
    if (r->opts.limit < r->nkeys - r->key_at)
        r->key_end = r->key_at + (uint32_t)r->opts.limit;
    return ST_OK;
}

static enum status rows_start(struct request *rq, struct reply *rp, enum rows_kind kind)
{
    const struct json *body = NULL;
    struct db *db;
    struct rows *r;

    TRY(rq_db(rq, &db));
    if (rq->method == M_POST)
        TRY(rq_object(rq, &body));
    TRY(rows_new(rq, db, kind, body, false, &r));
    if (kind != ROWS_LOCAL && reply_unchanged(rq, rp, db))
        return ST_OK;
    rp->stream = &r->s;
    return ST_OK;
}

/* GET, POST /{db}/_all_docs */
enum status h_all_docs(struct request *rq, struct reply *rp)
{
    return rows_start(rq, rp, ROWS_ALL);
}

/* GET, POST /{db}/_design_docs */
enum status h_design_docs(struct request *rq, struct reply *rp)
{
    return rows_start(rq, rp, ROWS_DESIGN);
}

/* GET, POST /{db}/_local_docs */
enum status h_local_docs(struct request *rq, struct reply *rp)
{
    return rows_start(rq, rp, ROWS_LOCAL);
}
