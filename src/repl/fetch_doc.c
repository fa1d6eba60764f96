/* repl/fetch_doc.c: one revision with its attachments, as CouchDB's replicator fetches it
 * (couchdb-surface B.2 step 8): open_revs as multipart/mixed, a part for each revision,
 * multipart/related inside when it has attachments. These go to the disk while they come, so an
 * attachment may be larger than memory. A source without multipart answers JSON, which is
 * collected.
 *
 * The job's thread; the sink is called inside libcurl's transfer.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/multipart.h"
#include "base/text.h"
#include "couch/doc_related.h"
#include "repl/repl_priv.h"

enum { PATH_MAX_BYTES = 6000, RETRY_TAIL = 4096 };

/* A revision that came. */
struct got {
    struct got *next;
    struct doc_related *related; /* NULL: without attachments */
    struct slice json;
};
struct doc_fetch {
    struct fetch_sink sink;
    struct repl_job *job;
    struct arena *a; /* of this try */
    struct multipart *parts;
    struct doc_related *now; /* the part that is coming, when it has attachments ... */
    struct buf json;         /* ... when it has not */
    bool skip;               /* a revision that the source has not */
    struct got *got;
    uint32_t n;
};

/* ---- writing ---- */

/* Bytes that are not what their digest says are damage on the way, no reason to leave the document
 * out. */
static bool is_damage(const struct err *e)
{
    return e->word != NULL && strcmp(e->word, "content_md5_mismatch") == 0;
}

static bool ends_replication(enum status st)
{
    return st == ST_IO || st == ST_CORRUPT || st == ST_INTERNAL || st == ST_NO_SPACE ||
           st == ST_UNAVAILABLE || st == ST_UPSTREAM;
}

static enum status refuse(struct repl_job *j, const struct err *e)
{
    log_warn("replication %s: a document of the source was refused: %s", j->spec.id, e->reason);
    atomic_fetch_add(&j->stats.write_failures, 1);
    return ST_OK;
}

enum status repl_add_doc(struct repl_job *j, struct arena *a, struct doc_edit *ed,
                         struct commit_op *ops, size_t *n, struct err *e)
{
    enum status st;

    ed->new_edits = false;
    ops[*n] = (struct commit_op){0};
    st = doc_edit_prepare(j->db, a, ed, &ops[*n], e);
    if (st == ST_MISSING_STUB)
        return st;
    atomic_fetch_add(&j->stats.docs_read, 1);
    if (st == ST_OK) {
        ++*n;
        return ST_OK;
    }
    if (is_damage(e))
        return err_set(e, ST_UPSTREAM, "an attachment is not what its digest says");
    return ends_replication(st) ? st : refuse(j, e);
}

enum status repl_write_docs(struct repl_job *j, struct commit_op *ops, size_t n, struct err *e)
{
    if (n == 0)
        return ST_OK;
    TRY(commit_wait(db_store(j->db), ops, n, e));
    for (size_t i = 0; i < n; i++) {
        if (ops[i].st == ST_OK) {
            atomic_fetch_add(&j->stats.docs_written, 1);
            continue;
        }
        *e = ops[i].err;
        if (ops[i].st == ST_NO_SPACE || ops[i].st == ST_UNAVAILABLE || ops[i].st == ST_NOT_FOUND)
            return ops[i].st;
        log_warn("replication %s: a document was not written: %s", j->spec.id, e->reason);
        atomic_fetch_add(&j->stats.write_failures, 1);
    }
    return ST_OK;
}

/* ---- parts ---- */

static enum status part_begin(void *arg, struct slice head, struct err *e)
{
    struct doc_fetch *f = arg;
    struct slice type = multipart_header(head, "Content-Type"), boundary;

    buf_clear(&f->json);
    f->skip = false;
    if (multipart_is(type, SLICE_LIT("multipart/related"))) {
        TRY(multipart_boundary(f->a, type, &boundary, e));
        f->now = doc_related_new(f->job->db, f->a, boundary);
        return ST_OK;
    }
    f->skip = memmem(type.p, type.n, "error", 5) != NULL;
    return ST_OK;
}

static enum status part_data(void *arg, struct slice bytes, struct err *e)
{
    struct doc_fetch *f = arg;

    if (f->skip)
        return ST_OK;
    if (f->now != NULL)
        return doc_related_add(f->now, bytes, e);
    buf_add(&f->json, bytes);
    return buf_ok(&f->json) ? ST_OK
                            : err_word(e, ST_TOO_LARGE, "document_too_large", "it is too large");
}

static enum status part_end(void *arg, struct err *e)
{
    struct doc_fetch *f = arg;
    struct got *g;

    (void)e;
    if (f->skip)
        return ST_OK;
    g = arena_zalloc(f->a, sizeof(*g));
    g->related = f->now;
    if (f->now == NULL)
        g->json = arena_dup(f->a, buf_slice(&f->json));
    f->now = NULL;
    g->next = f->got;
    f->got = g;
    f->n++;
    return ST_OK;
}

static void release(struct doc_fetch *f)
{
    for (struct got *g = f->got; g != NULL; g = g->next)
        doc_related_free(g->related);
    doc_related_free(f->now);
    multipart_free(f->parts);
    f->got = NULL;
    f->now = NULL;
    f->parts = NULL;
    f->n = 0;
    arena_reset(f->a);
}

static enum status answer_begin(struct fetch_sink *s, struct slice content_type, struct err *e)
{
    static const struct multipart_events events = {part_begin, part_data, part_end};
    struct doc_fetch *f = (struct doc_fetch *)(void *)s;
    struct slice boundary;

    release(f);
    TRY(multipart_boundary(f->a, content_type, &boundary, e));
    f->parts = multipart_new(boundary, &events, f);
    return ST_OK;
}

static enum status answer_add(struct fetch_sink *s, struct slice bytes, struct err *e)
{
    return multipart_add(((struct doc_fetch *)(void *)s)->parts, bytes, e);
}

/* ---- the answer ---- */

static enum status take_parts(struct doc_fetch *f, struct commit_op *ops, size_t *n, struct err *e)
{
    TRY(multipart_finish(f->parts, e));
    for (struct got *g = f->got; g != NULL; g = g->next) {
        struct doc_edit ed = {0};

        if (g->related != NULL)
            TRY(doc_related_end(g->related, &ed, e));
        else
            TRY(json_parse(f->a, g->json, &ed.doc, e));
        TRY(repl_add_doc(f->job, f->a, &ed, ops, n, e));
    }
    return ST_OK;
}

/* From a source that knows no multipart: an array, attachments inside. */
static enum status take_json(struct doc_fetch *f, struct slice text, struct err *e)
{
    const struct json *list;
    struct commit_op *ops;
    size_t n = 0;

    arena_reset(f->a);
    if (json_parse(f->a, arena_dup(f->a, text), &list, e) != ST_OK || list->type != JSON_ARRAY)
        return err_set(e, ST_UPSTREAM, "the source's answer for a document is no list");
    ops = arena_array(f->a, (size_t)list->count + 1, sizeof(*ops));
    for (const struct json *r = list->first; r != NULL; r = r->next) {
        struct doc_edit ed = {.doc = json_get(r, "ok")};

        if (json_is(ed.doc, JSON_OBJECT))
            TRY(repl_add_doc(f->job, f->a, &ed, ops, &n, e));
    }
    return repl_write_docs(f->job, ops, n, e);
}

static enum status take_answer(struct doc_fetch *f, const struct fetch *fetch, long code,
                               struct err *e)
{
    struct commit_op *ops;
    enum status st;
    size_t n = 0;

    if (code == 404)
        return ST_OK;
    if (code != 200)
        return err_set(e, ST_UPSTREAM, "the source answered %ld for a document", code);
    if (!f->sink.used)
        return take_json(f, fetch_body(fetch), e);
    ops = arena_array(f->a, (size_t)f->n + 1, sizeof(*ops));
    st = take_parts(f, ops, &n, e);
    if (st == ST_BAD_REQUEST)
        return err_set(e, ST_UPSTREAM, "the source's answer for a document is damaged");
    TRY(st);
    return repl_write_docs(f->job, ops, n, e);
}

/* ---- the request ---- */

static void add_id(struct buf *b, struct slice id)
{
    buf_char(b, '/');
    if (slice_starts(id, SLICE_LIT("_design/"))) {
        buf_str(b, "_design/");
        id = slice_of(id.p + 8, id.n - 8);
    }
    percent_encode(b, id);
}

/* A JSON list of revisions as a parameter's value; as many as fit. */
static void add_revs(struct buf *b, const struct slice *revs, uint32_t n)
{
    struct buf list;

    buf_init(&list, PATH_MAX_BYTES);
    buf_char(&list, '[');
    for (uint32_t i = 0; i < n && (i == 0 || b->n + 3 * list.n < PATH_MAX_BYTES / 2); i++) {
        buf_str(&list, i != 0 ? "," : "");
        json_write_str(&list, revs[i]);
    }
    buf_char(&list, ']');
    percent_encode(b, buf_slice(&list));
    buf_free(&list);
}

/* Attachments that a revision here has already come as stubs. */
static void add_ancestors(struct buf *b, struct arena *a, const struct json *list)
{
    struct slice *revs = arena_array(a, (size_t)list->count + 1, sizeof(*revs));
    uint32_t n = 0;

    for (const struct json *v = list->first; v != NULL; v = v->next)
        if (v->type == JSON_STRING)
            revs[n++] = v->text;
    if (n == 0)
        return;
    buf_str(b, "&atts_since=");
    add_revs(b, revs, n);
}

static enum status fetch_once(struct doc_fetch *f, const struct repl_want *w, bool stubs,
                              struct err *e)
{
    struct fetch *fetch;
    enum status st;
    struct buf path;
    long code;

    buf_init(&path, 3 * w->id.n + PATH_MAX_BYTES + RETRY_TAIL);
    add_id(&path, w->id);
    buf_str(&path, "?revs=true&latest=true&attachments=true&open_revs=");
    add_revs(&path, &w->rev, 1);
    if (stubs)
        add_ancestors(&path, f->a, w->ancestors);
    fetch = fetch_start_sink(f->job->peer, buf_slice(&path), &f->sink);
    buf_free(&path);
    st = fetch_wait(f->job->peer, fetch, &code, e);
    if (st == ST_OK)
        st = take_answer(f, fetch, code, e);
    else if (st == ST_BAD_REQUEST)
        st = err_set(e, ST_UPSTREAM, "the source's answer for a document is damaged");
    else if (st == ST_TOO_LARGE)
        st = refuse(f->job, e);
    fetch_free(f->job->peer, fetch);
    release(f);
    return st;
}

enum status repl_fetch_doc(struct repl_job *j, const struct repl_want *w, struct err *e)
{
    struct doc_fetch f = {
        .sink = {.type = "multipart/mixed", .begin = answer_begin, .add = answer_add},
        .job = j,
        .a = arena_new()};
    bool stubs = json_is(w->ancestors, JSON_ARRAY) && w->ancestors->count != 0;
    enum status st;

    buf_init(&f.json, LIMIT_JSON_BYTES);
    st = fetch_once(&f, w, stubs, e);
    if (st == ST_MISSING_STUB && stubs) /* not here after all */
        st = fetch_once(&f, w, false, e);
    if (st == ST_MISSING_STUB)
        st = refuse(j, e);
    release(&f);
    buf_free(&f.json);
    arena_free(f.a);
    return st;
}
