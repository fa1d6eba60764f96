/* http/h_all_docs.c: _all_docs, _design_docs and _local_docs: a stream of rows in id order, or the
 * rows of `keys`. */
#include "base/limits.h"
#include "http/handlers.h"
#include "http/rows.h"

/* ---- parameters: from the query, overridden by a POST body's members of the same name ---- */

static enum status bad(struct request *rq, const char *name)
{
    return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error", "Invalid value for %s", name);
}

static enum status opt_json(struct request *rq, const struct json *body, const char *name,
                            const struct json **out)
{
    *out = json_get(body, name);
    return *out != NULL ? ST_OK : rq_json_param(rq, name, out);
}

static enum status opt_bool(struct request *rq, const struct json *body, const char *name,
                            bool *out)
{
    const struct json *v = json_get(body, name);

    if (v == NULL)
        return rq_bool(rq, name, out);
    return json_bool(v, out) ? ST_OK : bad(rq, name);
}

static enum status opt_u64(struct request *rq, const struct json *body, const char *name,
                           uint64_t *out)
{
    const struct json *v = json_get(body, name);
    int64_t n;

    if (v == NULL)
        return rq_u64(rq, name, out);
    if (!json_int(v, &n) || n < 0)
        return bad(rq, name);
    *out = (uint64_t)n;
    return ST_OK;
}

static enum status opt_key(struct request *rq, const struct json *body, const char *name,
                           const char *alias, struct slice *out, bool *has)
{
    const struct json *v;

    TRY(opt_json(rq, body, name, &v));
    if (v == NULL && alias != NULL)
        TRY(opt_json(rq, body, alias, &v));
    if (v == NULL)
        return ST_OK;
    *has = true;
    if (v->type == JSON_STRING)
        *out = v->text;
    else /* ids are strings: anything of a lower type sorts before them, of a higher one behind */
        *out = v->type < JSON_STRING ? SLICE_LIT("") : SLICE_LIT("\xff\xff\xff\xff");
    return ST_OK;
}

static enum status parse_rows(struct request *rq, const struct json *body, struct rows *r)
{
    struct all_docs_opts *o = &r->opts;
    struct slice key;
    bool has_key = false;

    o->inclusive_end = true;
    o->limit = UINT64_MAX;
    TRY(opt_key(rq, body, "startkey", "start_key", &o->start, &o->has_start));
    TRY(opt_key(rq, body, "endkey", "end_key", &o->end, &o->has_end));
    TRY(opt_key(rq, body, "key", NULL, &key, &has_key));
    if (has_key) {
        o->start = o->end = key;
        o->has_start = o->has_end = true;
    }
    TRY(opt_bool(rq, body, "inclusive_end", &o->inclusive_end));
    TRY(opt_bool(rq, body, "descending", &o->descending));
    TRY(opt_bool(rq, body, "include_docs", &o->include_docs));
    TRY(opt_bool(rq, body, "conflicts", &o->conflicts));
    TRY(opt_bool(rq, body, "attachments", &o->attachments));
    TRY(opt_bool(rq, body, "att_encoding_info", &o->att_encoding_info));
    TRY(opt_bool(rq, body, "update_seq", &r->update_seq));
    TRY(opt_u64(rq, body, "limit", &o->limit));
    TRY(opt_u64(rq, body, "skip", &o->skip));
    TRY(opt_json(rq, body, "keys", &r->keys));
    if (r->keys == NULL)
        return ST_OK;
    if (r->keys->type != JSON_ARRAY)
        return err_set(&rq->err, ST_BAD_REQUEST, "`keys` member must be an array.");
    if (r->keys->count != 0 && (o->has_start || o->has_end))
        return err_word(&rq->err, ST_BAD_REQUEST, "query_parse_error",
                        "`keys` is incompatible with `key`, `start_key` and `end_key`");
    if (r->keys->count > LIMIT_KEYS)
        return err_set(&rq->err, ST_BAD_REQUEST, "more than %d keys", LIMIT_KEYS);
    r->keys = json_unpack(rq->arena, r->keys);
    return ST_OK;
}

/* ---- rows ---- */

static void write_head(struct rows *r, struct buf *out, bool has_row)
{
    uint64_t offset = UINT64_MAX;
    struct db_counts c;

    r->begun = true;
    if (r->kind == ROWS_LOCAL) {
        buf_str(out, "{\"total_rows\":null,\"offset\":null,\"rows\":[");
        buf_str(out, has_row ? "\r\n" : "");
        return;
    }
    buf_str(out, "{\"total_rows\":");
    db_get_counts(r->db, &c);
    buf_u64(out, r->reader != NULL ? all_docs_total(r->reader) : c.docs);
    if (r->update_seq) {
        buf_str(out, ",\"update_seq\":\"");
        seq_write(out, r->db, c.update_seq);
        buf_char(out, '"');
    }
    if (r->reader != NULL)
        offset = all_docs_offset(r->reader);
    buf_str(out, ",\"offset\":");
    if (offset != UINT64_MAX)
        buf_u64(out, offset);
    else /* keys, or too far to count */
        buf_str(out, "null");
    buf_str(out, ",\"rows\":[");
    if (has_row)
        buf_str(out, "\r\n");
}

static enum status next_key_row(struct rows *r, struct arena *a, struct buf *row, bool *got,
                                struct err *e)
{
    const struct json *k;

    *got = false;
    for (; r->skip != 0 && r->key != NULL; r->skip--)
        r->key = r->key->next;
    if (r->key == NULL || r->left == 0)
        return ST_OK;
    k = r->key;
    r->key = k->next;
    r->left--;
    *got = true;
    if (k->type == JSON_STRING && r->kind == ROWS_LOCAL)
        return local_docs_key(r->db, k->text, r->opts.include_docs, a, row, e);
    if (k->type == JSON_STRING && (r->kind != ROWS_ALL || slice_starts(k->text, r->opts.prefix)))
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
                     const struct json *body, struct rows **out)
{
    struct rows *r = arena_zalloc(rq->arena, sizeof(*r));

    *out = r;
    r->db = db;
    r->kind = kind;
    r->s = (struct stream){.produce = rows_produce, .free = rows_free};
    TRY(rq_partition(rq, &r->opts.prefix));
    if (kind == ROWS_DESIGN)
        r->opts.prefix = SLICE_LIT("_design/");
    TRY(parse_rows(rq, body, r));
    if (r->keys != NULL) {
        r->key = r->keys->first;
        r->left = r->opts.limit;
        r->skip = r->opts.skip;
    }
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
    TRY(rows_new(rq, db, kind, body, &r));
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
