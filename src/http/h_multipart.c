/* http/h_multipart.c: documents in parts (couchdb-surface A.7, A.10, B.2, B.5): multipart/mixed for
 * open_revs, multipart/related for a document with its attachments, and such a body of a PUT.
 *
 * An answer is a stream: one document's JSON and a piece of an attachment are in memory at a time.
 * CouchDB's replicator keeps such an answer open while it writes to its target. A body is taken
 * apart while it comes (couch/doc_related.h).
 */
#include "base/limits.h"
#include "base/multipart.h"
#include "base/text.h"
#include "couch/att_io.h"
#include "couch/doc_read.h"
#include "couch/doc_related.h"
#include "http/handlers.h"
#include "http/stream.h"

#define TYPE_JSON    "application/json"
#define TYPE_MISSING "application/json; error=\"true\""

struct parts {
    struct stream s;
    struct db *db;
    struct slice id;
    struct doc_read_opts opts;
    struct doc_picks picks;
    uint32_t at;       /* of picks: the next document */
    bool bulk, latest; /* _bulk_get: when picks are through, those of the next item */
    const struct json *item;
    struct doc_read_opts asked; /* of all items */
    struct arena *list;         /* memory of picks */
    struct buf json;     /* the present document; empty: it is written, or there is none yet */
    struct arena *arena; /* its memory */
    struct doc_follows follows;
    uint32_t sent;             /* of follows: done */
    struct att_reader *reader; /* of the next one; NULL: not begun */
    uint64_t off;
    bool mixed, begun;
    char outer[MULTIPART_BOUNDARY_BYTES + 3], inner[MULTIPART_BOUNDARY_BYTES + 3];
    const char *related; /* the Content-Type of a document with attachments */
};

/* ---- pieces ---- */

static enum status load_doc(struct parts *p, struct err *e)
{
    int node = p->picks.v[p->at++].node;

    arena_reset(p->arena);
    buf_clear(&p->json);
    p->sent = 0;
    p->follows = (struct doc_follows){0};
    TRY(doc_write_json(p->db, p->id, &p->picks.info, node, &p->opts, p->arena, &p->json, e));
    return buf_ok(&p->json) ? ST_OK
                            : err_word(e, ST_TOO_LARGE, "document_too_large", "it is too large");
}

static void end_doc(struct parts *p, struct buf *out)
{
    if (p->mixed)
        multipart_next(out, p->outer);
}

static void write_missing(struct parts *p, struct buf *out)
{
    struct slice rev = p->picks.v[p->at++].missing;
    struct doc_bulk b = {.id = p->id, .rev = rev};

    multipart_type(out, TYPE_MISSING);
    if (p->bulk) {
        doc_bulk_error(&b, "not_found", "missing", out);
    } else {
        buf_str(out, "{\"missing\":");
        json_write_str(out, rev);
        buf_char(out, '}');
    }
    end_doc(p, out);
}

/* The next item of _bulk_get: what it picks, or why not. */
static void next_item(struct parts *p, struct buf *out)
{
    struct doc_bulk b = {.opts = p->asked};
    struct err e;
    enum status st;

    arena_reset(p->list);
    st = doc_bulk_list(p->db, p->item, p->latest, p->list, &b, &e);
    p->item = p->item->next;
    p->at = 0;
    p->id = b.id;
    p->opts = b.opts;
    p->picks = b.picks;
    if (st == ST_OK)
        return;
    p->picks.n = 0;
    multipart_type(out, TYPE_MISSING);
    doc_bulk_error(&b, doc_bulk_word(st, &e), e.reason, out);
    end_doc(p, out);
}

/* CouchDB names the document in the head of its part, where attachments follow. */
static void write_names(struct parts *p, struct buf *out)
{
    const struct revnode *n = &p->picks.info.tree.nodes[p->picks.v[p->at - 1].node];

    multipart_line(out, "X-Doc-Id", p->id);
    multipart_line(out, "X-Rev-Id", rev_text(p->arena, &n->rev));
}

static void write_json(struct parts *p, struct buf *out)
{
    bool alone = p->follows.n == 0;

    if (p->bulk && !alone)
        write_names(p, out);
    if (p->mixed)
        multipart_type(out, alone ? TYPE_JSON : p->related);
    if (!alone) {
        multipart_begin(out, p->inner);
        multipart_type(out, TYPE_JSON);
    }
    buf_add(out, buf_slice(&p->json));
    buf_clear(&p->json);
    if (alone)
        end_doc(p, out);
    else
        multipart_next(out, p->inner);
}

/* The entry's bytes may have been collected meanwhile: then the document has changed, and the
 * answer is cut off. */
static enum status begin_att(struct parts *p, struct buf *out, struct err *e)
{
    const struct att *t = &p->follows.atts[p->sent];
    struct multipart_att head = {
        .name = t->name, .type = t->type, .length = t->stored_len, .gzip = t->encoding == ATT_GZIP};

    multipart_att(out, &head);
    p->off = 0;
    return att_reader_open(p->db, t, &p->reader, e);
}

static void end_att(struct parts *p, struct buf *out)
{
    att_reader_close(p->reader);
    p->reader = NULL;
    p->sent++;
    multipart_next(out, p->inner);
    if (p->sent == p->follows.n) {
        multipart_end(out);
        end_doc(p, out);
    }
}

static enum status write_att(struct parts *p, struct buf *out, struct err *e)
{
    uint64_t left, room, before;

    if (p->reader == NULL)
        TRY(begin_att(p, out, e));
    left = p->follows.atts[p->sent].stored_len - p->off;
    room = out->n < LIMIT_STREAM_CHUNK ? LIMIT_STREAM_CHUNK - out->n : 0;
    before = out->n;
    TRY(att_reader_read(p->reader, p->off, (size_t)(left < room ? left : room), out, e));
    p->off += out->n - before;
    if (p->off == p->follows.atts[p->sent].stored_len)
        end_att(p, out);
    else if (left < room || out->n == before)
        return room == 0 ? ST_OK : err_set(e, ST_CORRUPT, "an attachment ends too early");
    return ST_OK;
}

static enum status write_next(struct parts *p, struct buf *out, struct err *e)
{
    if (p->json.n != 0) {
        write_json(p, out);
        return ST_OK;
    }
    if (p->sent < p->follows.n)
        return write_att(p, out, e);
    if (p->at == p->picks.n)
        next_item(p, out);
    else if (p->picks.v[p->at].node >= 0)
        return load_doc(p, e);
    else
        write_missing(p, out);
    return ST_OK;
}

static bool all_written(const struct parts *p)
{
    return p->json.n == 0 && p->sent == p->follows.n && p->at == p->picks.n && p->item == NULL;
}

static enum status parts_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                 struct err *e)
{
    struct parts *p = (struct parts *)(void *)s;

    if (p->mixed && !p->begun)
        multipart_begin(out, p->outer);
    p->begun = true;
    while (!all_written(p) && out->n < LIMIT_STREAM_CHUNK)
        TRY(write_next(p, out, e));
    *state = STREAM_MORE;
    if (all_written(p)) {
        if (p->mixed)
            multipart_end(out);
        *state = STREAM_DONE;
    }
    return ST_OK;
}

/* ---- answers ---- */

static void parts_free(struct stream *s)
{
    (void)s; /* goes with the request */
}

static void release_parts(void *arg)
{
    struct parts *p = arg;

    att_reader_close(p->reader);
    arena_free(p->arena);
    arena_free(p->list);
    buf_free(&p->json);
}

static const char *type_of(struct request *rq, const char *kind, const char *boundary)
{
    return arena_printf(rq->arena, "multipart/%s; boundary=\"%s\"", kind, boundary).p;
}

static struct parts *parts_new(struct request *rq, struct db *db, const struct doc_read_opts *opts)
{
    struct parts *p = arena_zalloc(rq->arena, sizeof(*p));

    *p = (struct parts){.s = {.produce = parts_produce, .free = parts_free},
                        .db = db,
                        .id = rq_arg(rq, "docid"),
                        .opts = *opts,
                        .arena = arena_new()};
    p->opts.follows = &p->follows;
    buf_init(&p->json, LIMIT_JSON_BYTES);
    multipart_boundary_new(p->outer);
    multipart_boundary_new(p->inner);
    p->related = type_of(rq, "related", p->inner);
    arena_defer(rq->arena, release_parts, p);
    rq->waits_for_disk = true;
    return p;
}

enum status reply_mixed(struct request *rq, struct reply *rp, struct db *db,
                        const struct doc_open *want, const struct doc_read_opts *opts)
{
    struct parts *p = parts_new(rq, db, opts);

    TRY(doc_open_list(db, p->id, want, rq->arena, &p->picks, &rq->err));
    p->mixed = true;
    rp->content_type = type_of(rq, "mixed", p->outer);
    rp->stream = &p->s;
    return ST_OK;
}

void reply_bulk_mixed(struct request *rq, struct reply *rp, struct db *db, const struct json *items,
                      bool latest, const struct doc_read_opts *opts)
{
    struct parts *p = parts_new(rq, db, opts);

    p->mixed = p->bulk = true;
    p->latest = latest;
    p->item = items;
    p->asked = p->opts;
    p->list = arena_new();
    memcpy(p->outer, "--", 2); /* a part of CouchDB's boundaries here */
    memcpy(p->inner, "--", 2);
    multipart_boundary_new(p->outer + 2);
    multipart_boundary_new(p->inner + 2);
    p->related = arena_printf(rq->arena, "multipart/related; boundary=%s", p->inner).p;
    rp->content_type = type_of(rq, "mixed", p->outer);
    rp->stream = &p->s;
}

enum status reply_related(struct request *rq, struct reply *rp, struct db *db,
                          const struct docinfo *info, int node, const struct doc_read_opts *opts)
{
    struct parts *p = parts_new(rq, db, opts);
    struct doc_pick *pick = arena_alloc(rq->arena, sizeof(*pick));

    *pick = (struct doc_pick){.node = node};
    p->picks = (struct doc_picks){.info = *info, .v = pick, .n = 1};
    TRY(load_doc(p, &rq->err));
    if (p->follows.n == 0) { /* nothing to go with it: a document like any other */
        rp->content_type = TYPE_JSON;
        buf_add(&rp->body, buf_slice(&p->json));
        reply_body(rp, 200);
        return ST_OK;
    }
    rp->content_type = p->related;
    rp->stream = &p->s;
    return ST_OK;
}

/* ---- requests ---- */

struct related_sink {
    struct sink s;
    struct doc_related *doc;
};

static enum status sink_add(struct sink *s, struct slice bytes, struct err *e)
{
    struct doc_related *doc = ((struct related_sink *)(void *)s)->doc;
    enum status st = doc_related_add(doc, bytes, e);

    s->held = doc_related_held(doc);
    return st;
}

static void free_sink(void *arg)
{
    doc_related_free(((struct related_sink *)arg)->doc);
}

enum status related_begin(struct request *rq)
{
    struct related_sink *s = arena_zalloc(rq->arena, sizeof(*s));
    struct slice coding = rq_header(rq, "Content-Encoding"), boundary;
    struct db *db;

    if (coding.n != 0 && !slice_ieq(coding, SLICE_LIT("identity")))
        return err_set(&rq->err, ST_MEDIA_TYPE, "a multipart body cannot be compressed as a whole");
    TRY(multipart_boundary(rq->arena, rq_header(rq, "Content-Type"), &boundary, &rq->err));
    TRY(rq_db(rq, &db));
    s->doc = doc_related_new(db, rq->arena, boundary);
    arena_defer(rq->arena, free_sink, s);
    s->s.add = sink_add;
    rq->sink = &s->s;
    rq->waits_for_disk = true;
    return ST_OK;
}

enum status related_end(struct request *rq, struct doc_edit *ed)
{
    return doc_related_end(((struct related_sink *)(void *)rq->sink)->doc, ed, &rq->err);
}
