/* mango/find.c: answering _find by walking the documents by id. Runs on workers; each request has
 * its own reader, so what it sees is one moment of the database.
 *
 * A row's memory is given back before the next row: only its answer and the last id stay.
 */
#include "base/thread.h"
#include "base/time.h"
#include "couch/changes.h"
#include "mango/find_priv.h"

struct scan {
    struct db *db;
    const struct find_request *rq;
    struct find_plan plan;
    struct arena *row; /* one document's */
    struct buf *out;
    struct buf last; /* id of the last row returned */
    bool head_only;  /* the selector asks for _id and _rev alone */
    uint64_t keys, docs, skipped, results, started_us;
};

/* ---- documents as values ---- */

const struct json *find_doc_json(struct arena *a, struct slice id, const struct rev *rev,
                                 struct slice body_json, struct err *e)
{
    const struct json *body;
    struct json *doc;
    struct err why;

    if (json_parse(a, body_json, &body, &why) != ST_OK || body->type != JSON_OBJECT) {
        (void)err_set(e, ST_CORRUPT, "the body of a document is no JSON object");
        return NULL;
    }
    doc = json_object(a);
    json_put_str(a, doc, "_id", id);
    json_put_str(a, doc, "_rev", rev_text(a, rev));
    if (body->first != NULL) { /* the members stay where they are, behind ours */
        doc->last->next = body->first;
        doc->last = body->last;
        doc->count += body->count;
    }
    doc->dup = body->dup;
    return doc;
}

/* A document on its way into the answer. */
struct found {
    struct slice id;
    const struct docinfo_head *head;
    struct doc_body body;
    const struct json *value; /* NULL: nobody looks into it */
    struct slice text;        /* the whole document when more than its body is asked; else empty */
};

/* With attachments or conflicts a document is more than its body: its text, parsed again. *gone: it
 * was deleted since the scan began. */
static enum status load_whole(struct scan *s, struct found *f, bool *gone, struct err *e)
{
    static const struct doc_read_opts with_conflicts = {.conflicts = true};
    struct docinfo info;
    struct buf b;
    enum status st;

    buf_init(&b, LIMIT_RECORD_BYTES);
    if (!s->rq->conflicts || (f->head->flags & DOCINFO_CONFLICTS) == 0) {
        st = doc_write_winner(s->db, f->id, &f->head->winner, false, &f->body, &b, e);
    } else {
        st = doc_info(s->db, NULL, f->id, s->row, &info, e);
        *gone = st == ST_NOT_FOUND || (st == ST_OK && (info.flags & DOCINFO_DELETED) != 0);
        if (*gone)
            st = ST_OK;
        else if (st == ST_OK)
            st = doc_write_json(s->db, f->id, &info, revtree_winner(&info.tree), &with_conflicts,
                                s->row, &b, e);
    }
    if (st == ST_OK && !*gone) {
        f->text = arena_dup(s->row, buf_slice(&b));
        st = buf_ok(&b) ? json_parse(s->row, f->text, &f->value, e)
                        : err_set(e, ST_TOO_LARGE, "one document is too large");
    }
    buf_free(&b);
    return st;
}

/* Compaction took the body away since the row was read: where it is now, or the winner as it is. */
static enum status load_moved(struct scan *s, struct found *f, bool *gone, struct err *e)
{
    struct docinfo_head *head = arena_alloc(s->row, sizeof(*head));
    struct doc_again again;
    const struct revnode *n;
    enum status st = doc_load_again(s->db, f->id, &f->head->winner, false, s->row, &again, e);

    *gone = st == ST_NOT_FOUND; /* purged */
    if (*gone)
        return ST_OK;
    TRY(st);
    n = &again.info.tree.nodes[again.node];
    *head = (struct docinfo_head){.seq = again.info.seq,
                                  .docnum = again.info.docnum,
                                  .flags = again.info.flags,
                                  .winner_ptr = n->ptr,
                                  .winner = n->rev};
    *gone = n->deleted;
    f->head = head;
    f->body = again.body;
    return ST_OK;
}

static enum status load(struct scan *s, struct found *f, bool *gone, struct err *e)
{
    enum status st;

    *gone = false;
    s->docs++;
    st = doc_load_body(s->db, &f->head->winner_ptr, s->row, &f->body, e);
    if (st == ST_NOT_FOUND)
        TRY(load_moved(s, f, gone, e));
    else
        TRY(st);
    if (*gone)
        return ST_OK;
    if (f->body.natts != 0 || (s->rq->conflicts && (f->head->flags & DOCINFO_CONFLICTS) != 0))
        return load_whole(s, f, gone, e);
    if ((selector_is_all(s->rq->selector) || s->head_only) && s->rq->fields.n == 0)
        return ST_OK;
    f->value = find_doc_json(s->row, f->id, &f->head->winner, f->body.json, e);
    return f->value != NULL ? ST_OK : ST_CORRUPT;
}

/* ---- rows ---- */

static enum status write_row(struct scan *s, const struct found *f, struct err *e)
{
    const struct projection *p = &s->rq->fields;

    if (s->results != 0)
        buf_char(s->out, ',');
    buf_char(s->out, '\n');
    if (p->n != 0)
        json_write(s->out, projection_apply(p, f->value, s->row));
    else if (f->text.n != 0)
        buf_add(s->out, f->text);
    else
        TRY(doc_write_winner(s->db, f->id, &f->head->winner, false, &f->body, s->out, e));
    s->results++;
    buf_clear(&s->last);
    buf_add(&s->last, f->id);
    return buf_ok(s->out) ? ST_OK : err_set(e, ST_TOO_LARGE, "the answer is too large");
}

/* Whether _id and _rev alone refuse the document, before its body is read. */
static bool refused_by_head(struct scan *s, const struct found *f, struct err *e)
{
    const struct json *v;

    if (!s->head_only || selector_is_all(s->rq->selector))
        return false;
    v = find_doc_json(s->row, f->id, &f->head->winner, SLICE_LIT("{}"), e);
    return v != NULL && !selector_match(s->rq->selector, v, s->row);
}

static enum status one_row(struct scan *s, struct found *f, struct err *e)
{
    bool gone = false;

    if (slice_starts(f->id, SLICE_LIT("_design/")) ||
        (s->plan.resume && slice_eq(f->id, s->plan.after)))
        return ST_OK;
    s->keys++;
    if (refused_by_head(s, f, e))
        return ST_OK;
    TRY(load(s, f, &gone, e));
    if (gone ||
        (!s->head_only && f->value != NULL && !selector_match(s->rq->selector, f->value, s->row)))
        return ST_OK;
    if (s->skipped < s->rq->skip) {
        s->skipped++;
        return ST_OK;
    }
    return write_row(s, f, e);
}

static struct all_docs *open_range(const struct scan *s)
{
    const struct find_plan *p = &s->plan;
    struct slice lo = p->lo, hi = p->hi;
    bool has_lo = p->has_lo, has_hi = p->has_hi;
    struct all_docs_opts o = {.descending = p->descending, .inclusive_end = true};

    if (p->resume && !p->descending && (!has_lo || slice_cmp(p->after, lo) > 0)) {
        lo = p->after;
        has_lo = true;
    } else if (p->resume && p->descending && (!has_hi || slice_cmp(p->after, hi) < 0)) {
        hi = p->after;
        has_hi = true;
    }
    o.limit = UINT64_MAX;
    o.start = p->descending ? hi : lo;
    o.has_start = p->descending ? has_hi : has_lo;
    o.end = p->descending ? lo : hi;
    o.has_end = p->descending ? has_lo : has_hi;
    return all_docs_new(s->db, &o);
}

static enum status walk(struct scan *s, struct err *e)
{
    uint64_t deadline = s->started_us + (uint64_t)LIMIT_FIND_DEADLINE_MS * 1000;
    struct all_docs *rows = open_range(s);
    enum status st = ST_OK;
    bool got = true;

    while (st == ST_OK && s->results < s->rq->limit) {
        struct docinfo_head head;
        struct found f = {.head = &head};

        thread_pause();
        arena_reset(s->row);
        st = all_docs_next_doc(rows, &f.id, &head, &got, e);
        if (st != ST_OK || !got)
            break;
        if (time_mono_us() > deadline)
            st = err_set(e, ST_TIMEOUT, "The request took longer than %d seconds",
                         LIMIT_FIND_DEADLINE_MS / 1000);
        else
            st = one_row(s, &f, e);
    }
    all_docs_free(rows);
    return st;
}

/* ---- the answer ---- */

static void add_warning(struct buf *b, const char *text)
{
    if (b->n != 0)
        buf_char(b, '\n');
    buf_str(b, text);
}

static void write_warning(const struct scan *s)
{
    struct buf b;

    buf_init(&b, 2048);
    if (s->plan.unused_index != NULL)
        add_warning(&b, s->plan.unused_index);
    if (!s->plan.by_id)
        add_warning(&b, FIND_NO_INDEX);
    if (s->docs > FIND_RATIO * (s->results != 0 ? s->results : 1))
        add_warning(&b, FIND_HIGH_RATIO);
    if (b.n != 0) {
        buf_str(s->out, ",\n\"warning\":");
        json_write_str(s->out, buf_slice(&b));
    }
    buf_free(&b);
}

static void write_stats(const struct scan *s)
{
    buf_printf(s->out,
               ",\n\"execution_stats\":{\"total_keys_examined\":%llu,\"total_docs_examined\":%llu,"
               "\"total_quorum_docs_examined\":0,\"results_returned\":%llu,\"execution_time_ms\":",
               (unsigned long long)s->keys, (unsigned long long)s->docs,
               (unsigned long long)s->results);
    json_write_num(s->out, (double)(time_mono_us() - s->started_us) / 1000);
    buf_char(s->out, '}');
}

static bool asks_head_only(const struct selector *s)
{
    const struct slice *names;
    uint32_t n = selector_fields(s, &names);

    for (uint32_t i = 0; i < n; i++)
        if (!slice_eq(names[i], SLICE_LIT("_id")) && !slice_eq(names[i], SLICE_LIT("_rev")))
            return false;
    return true;
}

enum status find_run(struct db *db, const struct find_request *rq, struct arena *a, struct buf *out,
                     struct err *e)
{
    struct scan s = {.db = db, .rq = rq, .out = out, .started_us = time_mono_us()};
    enum status st;

    TRY(find_plan_make(rq, a, &s.plan, e));
    s.head_only = asks_head_only(rq->selector);
    s.row = arena_new();
    buf_init(&s.last, LIMIT_DOCID_BYTES);
    buf_str(out, "{\"docs\":[");
    st = walk(&s, e);
    if (st == ST_OK) {
        buf_str(out, "\n],\n\"bookmark\":");
        json_write_str(out, s.results != 0 ? find_bookmark(a, s.plan.descending, buf_slice(&s.last))
                                           : SLICE_LIT("nil"));
        write_warning(&s);
        if (rq->execution_stats)
            write_stats(&s);
        buf_char(out, '}');
    }
    arena_free(s.row);
    buf_free(&s.last);
    return st;
}
