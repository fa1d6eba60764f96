/* repl/checkpoint.c: the _local documents on both sides that let a replication go on where it was
 * (couchdb-surface B.2 steps 3, 4 and 11). The target's is written after the documents it vouches
 * for, through the same log, so it can never be newer than they are.
 */
#include "base/text.h"
#include "base/time.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "repl/repl_priv.h"

void repl_buf_set(struct buf *b, struct slice s)
{
    buf_clear(b);
    buf_add(b, s);
}

static struct slice checkpoint_path(struct repl_job *j, struct arena *a)
{
    return arena_printf(a, "/_local/%s", j->spec.id);
}

static void set_json(struct buf *b, const struct json *v)
{
    buf_clear(b);
    if (v != NULL)
        json_write(b, v);
}

/* ---- load ---- */

static enum status load_source(struct repl_job *j, struct arena *a, const struct json **out,
                               struct err *e)
{
    struct peer_call get = {.method = "GET", .path = checkpoint_path(j, a)};
    const struct json *rev;

    *out = NULL;
    TRY(peer_call(j->peer, a, &get, e));
    if (get.code == 404)
        return ST_OK;
    if (get.code != 200)
        return err_set(e, ST_UPSTREAM, "the source answered %ld for the checkpoint", get.code);
    rev = json_get(get.json, "_rev");
    if (json_is(rev, JSON_STRING))
        repl_buf_set(&j->source_log_rev, rev->text);
    *out = get.json;
    return ST_OK;
}

static enum status load_target(struct repl_job *j, struct arena *a, const struct json **out,
                               struct err *e)
{
    struct buf text;
    struct rev rev;
    enum status st;
    uint64_t n;

    *out = NULL;
    buf_init(&text, LIMIT_DOC_BYTES);
    st = doc_local_read(j->db, slice_str(j->spec.id), a, &text, &rev, e);
    if (st == ST_OK && parse_u64(rev.id, &n))
        j->target_log_n = n;
    if (st == ST_OK)
        st = json_parse(a, arena_dup(a, buf_slice(&text)), out, e);
    buf_free(&text);
    return st == ST_NOT_FOUND ? ST_OK : st;
}

static const struct json *find_session(const struct json *log, struct slice id)
{
    const struct json *history = json_get(log, "history");

    if (!json_is(history, JSON_ARRAY))
        return NULL;
    for (const struct json *h = history->first; h != NULL; h = h->next)
        if (json_is(json_get(h, "session_id"), JSON_STRING) &&
            slice_eq(json_get(h, "session_id")->text, id))
            return h;
    return NULL;
}

const struct json *checkpoint_common_seq(const struct json *src, const struct json *tgt)
{
    const struct json *s = json_get(src, "session_id"), *t = json_get(tgt, "session_id");
    const struct json *history = json_get(src, "history");

    if (json_is(s, JSON_STRING) && json_is(t, JSON_STRING) && slice_eq(s->text, t->text))
        return json_get(src, "source_last_seq");
    if (!json_is(history, JSON_ARRAY))
        return NULL;
    for (const struct json *h = history->first; h != NULL; h = h->next) {
        const struct json *id = json_get(h, "session_id");

        if (json_is(id, JSON_STRING) && find_session(tgt, id->text) != NULL)
            return json_get(h, "recorded_seq");
    }
    return NULL;
}

static void keep_history(struct repl_job *j, const struct json *log)
{
    const struct json *history = json_get(log, "history");
    unsigned n = 0;

    buf_clear(&j->old_history);
    if (!json_is(history, JSON_ARRAY))
        return;
    for (const struct json *h = history->first; h != NULL && n < REPL_HISTORY - 1; h = h->next)
        if (h->type == JSON_OBJECT) {
            buf_str(&j->old_history, n++ != 0 ? "," : "");
            json_write(&j->old_history, h);
        }
}

enum status checkpoint_load(struct repl_job *j, struct arena *a, struct err *e)
{
    const struct json *src = NULL, *tgt = NULL, *seq = NULL;

    if (j->spec.use_checkpoints) {
        TRY(load_source(j, a, &src, e));
        TRY(load_target(j, a, &tgt, e));
        seq = checkpoint_common_seq(src, tgt);
        keep_history(j, src);
    }
    if (seq != NULL)
        set_json(&j->start_seq, seq);
    else
        repl_buf_set(&j->start_seq, j->spec.since_seq.n != 0 ? j->spec.since_seq : SLICE_LIT("0"));
    repl_buf_set(&j->last_seq, buf_slice(&j->start_seq));
    repl_buf_set(&j->saved_seq, buf_slice(&j->start_seq));
    j->saved_us = time_mono_us();
    return ST_OK;
}

/* ---- save ---- */

void checkpoint_history_item(struct repl_job *j, struct buf *out)
{
    char start[32], end[32];
    struct repl_stats *s = &j->stats;

    time_http(j->started_ms, start);
    time_http(time_wall_ms(), end);
    buf_printf(out, "{\"session_id\":\"%s\",\"start_time\":\"%s\",\"end_time\":\"%s\"",
               j->session_id, start, end);
    buf_str(out, ",\"start_last_seq\":");
    buf_add(out, buf_slice(&j->start_seq));
    buf_str(out, ",\"end_last_seq\":");
    buf_add(out, buf_slice(&j->last_seq));
    buf_str(out, ",\"recorded_seq\":");
    buf_add(out, buf_slice(&j->last_seq));
    buf_printf(out,
               ",\"missing_checked\":%llu,\"missing_found\":%llu,\"docs_read\":%llu,"
               "\"docs_written\":%llu,\"doc_write_failures\":%llu}",
               (unsigned long long)s->missing_checked, (unsigned long long)s->missing_found,
               (unsigned long long)s->docs_read, (unsigned long long)s->docs_written,
               (unsigned long long)s->write_failures);
}

static void write_log(struct repl_job *j, struct slice rev, struct buf *out)
{
    buf_printf(out, "{\"_id\":\"_local/%s\",", j->spec.id);
    if (rev.n != 0) {
        buf_str(out, "\"_rev\":");
        json_write_str(out, rev);
        buf_char(out, ',');
    }
    buf_printf(out, "\"session_id\":\"%s\",\"source_last_seq\":", j->session_id);
    buf_add(out, buf_slice(&j->last_seq));
    buf_str(out, ",\"replication_id_version\":4,\"history\":[");
    checkpoint_history_item(j, out);
    if (j->old_history.n != 0)
        buf_char(out, ',');
    buf_add(out, buf_slice(&j->old_history));
    buf_str(out, "]}");
}

/* A source that was re-created or lost writes since we began must not be vouched for. PouchDB's
 * server always says "0" or nothing: taken as it is. */
static enum status check_source(struct repl_job *j, struct arena *a, struct err *e)
{
    struct peer_call post = {.method = "POST", .path = SLICE_LIT("/_ensure_full_commit")};
    const struct json *started;

    TRY(peer_call(j->peer, a, &post, e));
    started = json_get(post.json, "instance_start_time");
    if (post.code != 201 || !json_is(started, JSON_STRING) ||
        slice_eq(started->text, SLICE_LIT("0")) || j->start_time.n == 0 ||
        slice_eq(buf_slice(&j->start_time), SLICE_LIT("0")))
        return ST_OK;
    if (!slice_eq(started->text, buf_slice(&j->start_time)))
        return err_set(e, ST_UPSTREAM, "the source was re-created or restarted with lost writes");
    return ST_OK;
}

static enum status put_source(struct repl_job *j, struct arena *a, struct buf *text, long *code,
                              struct err *e)
{
    struct peer_call put = {.method = "PUT", .path = checkpoint_path(j, a)};
    const struct json *rev;

    buf_clear(text);
    write_log(j, buf_slice(&j->source_log_rev), text);
    put.body = buf_slice(text);
    TRY(peer_call(j->peer, a, &put, e));
    rev = json_get(put.json, "rev");
    *code = put.code;
    if ((put.code == 201 || put.code == 200 || put.code == 202) && json_is(rev, JSON_STRING)) {
        repl_buf_set(&j->source_log_rev, rev->text);
        *code = 201;
    }
    return ST_OK;
}

static enum status save_source(struct repl_job *j, struct arena *a, struct buf *text, struct err *e)
{
    const struct json *theirs;
    long code;

    TRY(put_source(j, a, text, &code, e));
    if (code == 409) { /* somebody else wrote it: take its revision, try once more */
        TRY(load_source(j, a, &theirs, e));
        TRY(put_source(j, a, text, &code, e));
    }
    if (code != 201)
        return err_set(e, ST_UPSTREAM, "the source answered %ld to the checkpoint", code);
    return ST_OK;
}

static enum status save_target(struct repl_job *j, struct arena *a, struct buf *text, struct err *e)
{
    struct doc_edit ed = {.new_edits = true};
    struct commit_op op = {0};
    const struct json *doc;

    buf_clear(text);
    ed.id = arena_printf(a, "_local/%s", j->spec.id);
    write_log(j,
              j->target_log_n != 0 ? arena_printf(a, "0-%llu", (unsigned long long)j->target_log_n)
                                   : SLICE_LIT(""),
              text);
    TRY(json_parse(a, arena_dup(a, buf_slice(text)), &doc, e));
    ed.doc = doc;
    TRY(doc_edit_prepare(j->db, a, &ed, &op, e));
    TRY(commit_wait(db_store(j->db), &op, 1, e));
    if (op.st != ST_OK) {
        *e = op.err;
        return op.st;
    }
    j->target_log_n++;
    return ST_OK;
}

enum status checkpoint_save(struct repl_job *j, struct err *e)
{
    struct arena *a;
    struct buf text;
    enum status st;

    if (!j->spec.use_checkpoints || slice_eq(buf_slice(&j->last_seq), buf_slice(&j->saved_seq)))
        return ST_OK;
    a = arena_new();
    buf_init(&text, LIMIT_DOC_BYTES);
    st = check_source(j, a, e);
    if (st == ST_OK)
        st = save_source(j, a, &text, e);
    if (st == ST_OK)
        st = save_target(j, a, &text, e);
    if (st == ST_OK) {
        repl_buf_set(&j->saved_seq, buf_slice(&j->last_seq));
        j->saved_us = time_mono_us();
    }
    buf_free(&text);
    arena_free(a);
    return st;
}
