/* repl/pull.c: one replication (couchdb-surface B.2): read the source's changes a page ahead, ask
 * our own trees what is missing, fetch that with _bulk_get (or one by one where a source has none),
 * write it with new_edits=false, checkpoint.
 *
 * One thread. Read-ahead comes from the multi interface: while one page is worked on, the next page
 * and the next bulk are on their way.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "base/time.h"
#include "couch/doc_read.h"
#include "repl/repl_priv.h"

struct wants {
    struct repl_want *list;
    uint32_t n;
};

/* ---- changes ---- */

static void add_since(struct buf *b, struct slice seq_json)
{
    /* A string goes as its content, anything else as JSON. */
    if (seq_json.n >= 2 && seq_json.p[0] == '"')
        seq_json = slice_of(seq_json.p + 1, seq_json.n - 2);
    percent_encode(b, seq_json);
}

static struct fetch *changes_start(struct repl_job *j, struct slice since, bool longpoll)
{
    struct buf path, body;
    struct fetch *f;

    buf_init(&path, 1 << 16);
    buf_init(&body, LIMIT_REQUEST_BYTES);
    buf_printf(&path, "/_changes?style=all_docs&limit=%d&feed=%s", REPL_PAGE,
               longpoll ? "longpoll&heartbeat=10000" : "normal");
    buf_str(&path, "&since=");
    add_since(&path, since);
    if (j->spec.doc_ids != NULL) {
        buf_str(&path, "&filter=_doc_ids");
        buf_str(&body, "{\"doc_ids\":");
        json_write(&body, j->spec.doc_ids);
        buf_char(&body, '}');
    }
    if (j->spec.selector != NULL) {
        buf_str(&path, "&filter=_selector");
        buf_str(&body, "{\"selector\":");
        json_write(&body, j->spec.selector);
        buf_char(&body, '}');
    }
    f = fetch_start(j->peer, body.n != 0 ? "POST" : "GET", buf_slice(&path), buf_slice(&body));
    buf_free(&path);
    buf_free(&body);
    return f;
}

static enum status changes_finish(struct repl_job *j, struct fetch *f, struct arena *a,
                                  const struct json **rows, struct slice *last_seq, struct err *e)
{
    const struct json *page, *seq;
    struct buf text;
    long code;

    TRY(fetch_wait(j->peer, f, &code, e));
    if (code != 200)
        return err_set(e, ST_UPSTREAM, "the source answered %ld to _changes", code);
    if (json_parse(a, arena_dup(a, fetch_body(f)), &page, e) != ST_OK)
        return err_set(e, ST_UPSTREAM, "the source's _changes are no JSON");
    *rows = json_get(page, "results");
    if (!json_is(*rows, JSON_ARRAY))
        return err_set(e, ST_UPSTREAM, "the source's _changes have no results");
    /* The last row's seq is where the next page starts; last_seq counts at the end. */
    seq = json_get(page, "last_seq");
    if ((*rows)->last != NULL && json_get((*rows)->last, "seq") != NULL &&
        json_get((*rows)->last, "seq")->type != JSON_NULL)
        seq = json_get((*rows)->last, "seq");
    if (seq == NULL)
        return err_set(e, ST_UPSTREAM, "the source's _changes have no last_seq");
    buf_init(&text, 1 << 20);
    json_write(&text, seq);
    *last_seq = arena_dup(a, buf_slice(&text));
    buf_free(&text);
    return ST_OK;
}

/* ---- what is missing ---- */

static void write_diff_request(const struct json *rows, struct buf *b, uint64_t *checked)
{
    bool first = true;

    buf_char(b, '{');
    for (const struct json *r = rows->first; r != NULL; r = r->next) {
        const struct json *id = json_get(r, "id"), *changes = json_get(r, "changes");
        bool first_rev = true;

        if (!json_is(id, JSON_STRING) || id->text.n == 0 || !json_is(changes, JSON_ARRAY))
            continue;
        buf_str(b, first ? "" : ",");
        first = false;
        json_write_str(b, id->text);
        buf_str(b, ":[");
        for (const struct json *c = changes->first; c != NULL; c = c->next) {
            if (!json_is(json_get(c, "rev"), JSON_STRING))
                continue;
            buf_str(b, first_rev ? "" : ",");
            first_rev = false;
            json_write_str(b, json_get(c, "rev")->text);
            ++*checked;
        }
        buf_char(b, ']');
    }
    buf_char(b, '}');
}

static void collect_wants(struct arena *a, const struct json *diff, struct wants *w)
{
    uint32_t n = 0;

    for (const struct json *d = diff->first; d != NULL; d = d->next)
        if (json_is(json_get(d, "missing"), JSON_ARRAY))
            n += json_get(d, "missing")->count;
    w->list = arena_array(a, (size_t)n + 1, sizeof(w->list[0]));
    for (const struct json *d = diff->first; d != NULL; d = d->next) {
        const struct json *missing = json_get(d, "missing");

        if (!json_is(missing, JSON_ARRAY))
            continue;
        for (const struct json *r = missing->first; r != NULL; r = r->next)
            w->list[w->n++] =
                (struct repl_want){d->key, r->text, json_get(d, "possible_ancestors")};
    }
}

static enum status find_missing(struct repl_job *j, struct arena *a, const struct json *rows,
                                struct wants *w, struct err *e)
{
    const struct json *request, *diff;
    uint64_t checked = 0;
    struct buf b;
    enum status st;

    buf_init(&b, LIMIT_REPL_RESPONSE_BYTES);
    write_diff_request(rows, &b, &checked);
    st = json_parse(a, arena_dup(a, buf_slice(&b)), &request, e);
    buf_clear(&b);
    if (st == ST_OK)
        st = doc_revs_diff(j->db, request, a, &b, e);
    if (st == ST_OK)
        st = json_parse(a, arena_dup(a, buf_slice(&b)), &diff, e);
    buf_free(&b);
    if (st != ST_OK)
        return st;
    collect_wants(a, diff, w);
    atomic_fetch_add(&j->stats.missing_checked, checked);
    atomic_fetch_add(&j->stats.missing_found, w->n);
    return ST_OK;
}

/* ---- fetching ---- */

static struct fetch *bulk_start(struct repl_job *j, const struct repl_want *w, uint32_t n)
{
    struct buf b;
    struct fetch *f;

    buf_init(&b, LIMIT_REQUEST_BYTES);
    buf_str(&b, "{\"docs\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_str(&b, i != 0 ? ",{\"id\":" : "{\"id\":");
        json_write_str(&b, w[i].id);
        buf_str(&b, ",\"rev\":");
        json_write_str(&b, w[i].rev);
        buf_char(&b, '}');
    }
    buf_str(&b, "]}");
    f = fetch_start(j->peer, "POST", SLICE_LIT("/_bulk_get?revs=true&latest=true"), buf_slice(&b));
    buf_free(&b);
    return f;
}

/* The document of a _bulk_get entry when it is usable as it is: exactly one, no attachments. */
static const struct json *plain_doc(const struct json *entry, struct slice id)
{
    const struct json *docs = json_get(entry, "docs"), *eid = json_get(entry, "id"), *ok;

    if (!json_is(docs, JSON_ARRAY) || docs->count != 1 || !json_is(eid, JSON_STRING) ||
        !slice_eq(eid->text, id))
        return NULL;
    ok = json_get(docs->first, "ok");
    return json_is(ok, JSON_OBJECT) && json_get(ok, "_attachments") == NULL ? ok : NULL;
}

static enum status bulk_take(struct repl_job *j, struct arena *a, const struct json *results,
                             const struct repl_want *w, uint32_t n, struct err *e)
{
    struct commit_op *ops = arena_array(a, (size_t)n + 1, sizeof(*ops));
    const struct json *entry = results->first;
    bool *single = arena_zalloc(a, n);
    size_t nops = 0;

    for (uint32_t i = 0; i < n; i++, entry = entry->next) {
        const struct json *doc = plain_doc(entry, w[i].id);

        struct doc_edit ed = {.doc = doc};

        if (doc != NULL)
            TRY(repl_add_doc(j, a, &ed, ops, &nops, e));
        else
            single[i] = true;
    }
    TRY(repl_write_docs(j, ops, nops, e));
    for (uint32_t i = 0; i < n; i++)
        if (single[i])
            TRY(repl_fetch_doc(j, &w[i], e));
    return ST_OK;
}

/* Anything but a clean answer means that this source has no usable _bulk_get. */
static enum status bulk_finish(struct repl_job *j, struct fetch *f, const struct repl_want *w,
                               uint32_t n, struct err *e)
{
    struct arena *a = arena_new();
    const struct json *answer = NULL, *results;
    enum status st;
    long code;

    st = fetch_wait(j->peer, f, &code, e);
    if (st == ST_OK && code == 200 &&
        json_parse(a, arena_dup(a, fetch_body(f)), &answer, e) != ST_OK)
        answer = NULL;
    results = json_get(answer, "results");
    if (st == ST_OK && json_is(results, JSON_ARRAY) && results->count == n) {
        st = bulk_take(j, a, results, w, n, e);
    } else if (st == ST_OK) {
        j->no_bulk_get = true;
        for (uint32_t i = 0; i < n && st == ST_OK; i++)
            st = repl_fetch_doc(j, &w[i], e);
    }
    arena_free(a);
    return st;
}

static uint32_t slice_len(const struct wants *w, uint32_t from)
{
    return w->n - from < REPL_BULK ? w->n - from : REPL_BULK;
}

static enum status fetch_missing(struct repl_job *j, const struct wants *w, struct err *e)
{
    struct fetch *now = NULL, *ahead = NULL;
    enum status st = ST_OK;

    for (uint32_t at = 0; at < w->n && st == ST_OK; at += REPL_BULK) {
        uint32_t n = slice_len(w, at);

        now = ahead != NULL ? ahead : bulk_start(j, w->list + at, n);
        ahead = at + n < w->n && !j->no_bulk_get
                    ? bulk_start(j, w->list + at + n, slice_len(w, at + n))
                    : NULL;
        st = bulk_finish(j, now, w->list + at, n, e);
        fetch_free(j->peer, now);
    }
    fetch_free(j->peer, ahead);
    return st;
}

/* ---- the loop ---- */

static enum status open_target(struct repl_job *j, struct err *e)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = j->spec.target};
    enum status st = stores_db(j->stores, j->spec.target, &j->db, e);

    if (st != ST_NOT_FOUND)
        return st;
    if (!j->spec.create_target)
        return err_word(e, ST_NOT_FOUND, "db_not_found", "could not open %.*s",
                        (int)j->spec.target.n, j->spec.target.p);
    TRY(commit_wait(stores_main(j->stores), &op, 1, e));
    if (op.st == ST_EXISTS) /* made by somebody else meanwhile */
        return stores_db(j->stores, j->spec.target, &j->db, e);
    *e = op.err;
    j->db = op.created;
    return op.st;
}

static enum status open_source(struct repl_job *j, struct arena *a, struct err *e)
{
    struct peer_call get = {.method = "GET", .path = SLICE_LIT("/")};
    const struct json *started;

    TRY(peer_call(j->peer, a, &get, e));
    if (get.code == 404)
        return err_word(e, ST_NOT_FOUND, "db_not_found", "could not open %.*s",
                        (int)j->spec.source.url.n, j->spec.source.url.p);
    if (get.code == 401 || get.code == 403)
        return err_set(e, get.code == 401 ? ST_UNAUTHORIZED : ST_FORBIDDEN,
                       "the source refused the credentials");
    if (get.code != 200 || json_get(get.json, "update_seq") == NULL)
        return err_set(e, ST_UPSTREAM, "the source answered %ld: is it a database?", get.code);
    started = json_get(get.json, "instance_start_time");
    if (json_is(started, JSON_STRING))
        repl_buf_set(&j->start_time, started->text);
    return ST_OK;
}

/* One page: fetched, missing revisions written, last_seq moved. *rows_n: how many rows it had.
 * *next is the fetch of the page after it, already under way when this one was full. */
static enum status one_page(struct repl_job *j, struct fetch **next, uint32_t *rows_n,
                            struct err *e)
{
    struct arena *a = arena_new();
    struct fetch *page = *next;
    const struct json *rows = NULL;
    struct slice last = SLICE_LIT("");
    struct wants w = {0};
    enum status st;

    *next = NULL;
    st = changes_finish(j, page, a, &rows, &last, e);
    fetch_free(j->peer, page);
    if (st == ST_OK && rows != NULL) {
        *rows_n = rows->count;
        if (rows->count != 0)
            *next = changes_start(j, last, false);
        st = find_missing(j, a, rows, &w, e);
    }
    if (st == ST_OK)
        st = fetch_missing(j, &w, e);
    if (st == ST_OK)
        repl_buf_set(&j->last_seq, last);
    arena_free(a);
    return st;
}

/* A one-shot replication ends with an empty page; a continuous one waits for the next change there.
 */
static enum status run_pages(struct repl_job *j, struct err *e)
{
    struct fetch *next = changes_start(j, buf_slice(&j->last_seq), false);
    enum status st = ST_OK;

    while (st == ST_OK) {
        uint32_t rows = 0;

        st = one_page(j, &next, &rows, e);
        if (st == ST_OK &&
            (rows == 0 || time_mono_us() - j->saved_us > (uint64_t)REPL_CHECKPOINT_US))
            st = checkpoint_save(j, e);
        if (st != ST_OK || (rows == 0 && !j->spec.continuous))
            break;
        if (next == NULL)
            next = changes_start(j, buf_slice(&j->last_seq), true);
    }
    fetch_free(j->peer, next);
    return st;
}

static bool target_is_gone(void *db)
{
    return db_dropped(db);
}

enum status repl_pull(struct repl_job *j, struct err *e)
{
    struct arena *a = arena_new();
    enum status st;

    doc_uuid(j->session_id);
    st = open_source(j, a, e);
    if (st == ST_OK)
        st = open_target(j, e);
    if (st == ST_OK)
        peer_watch(j->peer, target_is_gone, j->db);
    if (st == ST_OK)
        st = checkpoint_load(j, a, e);
    arena_free(a);
    if (st == ST_OK)
        st = run_pages(j, e);
    j->target_gone = j->db != NULL && db_dropped(j->db);
    if (j->target_gone)
        st = err_word(e, ST_NOT_FOUND, "db_not_found", "could not open %.*s", (int)j->spec.target.n,
                      j->spec.target.p);
    return st;
}
