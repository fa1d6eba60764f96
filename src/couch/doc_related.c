/* couch/doc_related.c: see doc_related.h. Parts belong to the attachments that say "follows":true
 * by their position (A.10); what their heads say is not looked at.
 */
#include "couch/doc_related.h"

#include "base/alloc.h"
#include "base/limits.h"
#include "base/multipart.h"
#include "couch/att_upload.h"
#include "couch/doc_priv.h"

struct doc_related {
    struct db *db;
    struct arena *a;
    struct multipart *parts;
    struct buf json;        /* the first part while it comes */
    const struct json *doc; /* when it is there */
    const struct json *at;  /* of its attachments: the next one that may follow */
    struct att_upload **up; /* one for each part after the first */
    struct att *follows;    /* what came of them */
    uint32_t begun, n, cap; /* parts after the first: begun, ended */
    size_t inlined;         /* bytes of attachments in memory */
    bool later;             /* the first part is through */
};

/* ---- the document ---- */

static enum status end_json(struct doc_related *d, struct err *e)
{
    const struct json *atts;

    d->later = true;
    TRY(json_parse(d->a, arena_dup(d->a, buf_slice(&d->json)), &d->doc, e));
    d->inlined += d->json.n;
    buf_free(&d->json);
    atts = d->doc->type == JSON_OBJECT ? json_get(d->doc, "_attachments") : NULL;
    d->at = json_is(atts, JSON_OBJECT) ? atts->first : NULL;
    d->cap = json_is(atts, JSON_OBJECT) ? atts->count : 0;
    d->cap = d->cap < LIMIT_ATTACHMENTS ? d->cap : LIMIT_ATTACHMENTS;
    d->up = arena_zalloc(d->a, (d->cap + 1) * sizeof(void *));
    d->follows = arena_zalloc(d->a, (d->cap + 1) * sizeof(d->follows[0]));
    return ST_OK;
}

static enum status add_json(struct doc_related *d, struct slice bytes, struct err *e)
{
    buf_add(&d->json, bytes);
    return buf_ok(&d->json) ? ST_OK
                            : err_word(e, ST_TOO_LARGE, "document_too_large", "it is too large");
}

/* ---- attachments ---- */

/* The attachment that the next part belongs to; NULL: none is left. */
static const struct json *next_follower(struct doc_related *d)
{
    while (d->at != NULL && !json_is(json_get(d->at, "follows"), JSON_TRUE))
        d->at = d->at->next;
    const struct json *v = d->at;
    d->at = v != NULL ? v->next : NULL;
    return v;
}

static enum status on_begin(void *arg, struct slice head, struct err *e)
{
    struct doc_related *d = arg;
    const struct json *v, *encoding;
    bool gzip;

    (void)head;
    if (!d->later)
        return ST_OK;
    v = next_follower(d);
    if (v == NULL || d->begun == d->cap)
        return err_set(e, ST_BAD_REQUEST, "%u attachments follow, but the document names %u",
                       d->begun + 1, d->begun);
    encoding = json_get(v, "encoding");
    gzip = json_is(encoding, JSON_STRING) && slice_eq(encoding->text, SLICE_LIT("gzip"));
    TRY(att_upload_open(d->db, v->key, gzip, &d->up[d->begun], e));
    d->begun++;
    return ST_OK;
}

static enum status on_data(void *arg, struct slice bytes, struct err *e)
{
    struct doc_related *d = arg;

    return d->later ? att_upload_add(d->up[d->begun - 1], bytes, e) : add_json(d, bytes, e);
}

static enum status on_end(void *arg, struct err *e)
{
    struct doc_related *d = arg;
    struct att *t;

    if (!d->later)
        return end_json(d, e);
    t = &d->follows[d->n++];
    TRY(att_upload_end(d->up[d->begun - 1], d->a, t, e));
    d->inlined += t->data.n;
    if (t->data.p != NULL) { /* in memory: nothing is to be protected */
        att_upload_free(d->up[d->begun - 1]);
        d->up[d->begun - 1] = NULL;
    }
    if (d->inlined > LIMIT_REQUEST_BYTES)
        return err_set(e, ST_TOO_LARGE, "the document and its attachments are too large together");
    return ST_OK;
}

/* ---- the whole ---- */

struct doc_related *doc_related_new(struct db *db, struct arena *a, struct slice boundary)
{
    static const struct multipart_events events = {on_begin, on_data, on_end};
    struct doc_related *d = mem_zalloc(sizeof(*d));

    d->db = db;
    d->a = a;
    d->parts = multipart_new(boundary, &events, d);
    buf_init(&d->json, LIMIT_JSON_BYTES);
    return d;
}

enum status doc_related_add(struct doc_related *d, struct slice bytes, struct err *e)
{
    return multipart_add(d->parts, bytes, e);
}

enum status doc_related_end(struct doc_related *d, struct doc_edit *ed, struct err *e)
{
    TRY(multipart_finish(d->parts, e));
    ed->doc = d->doc;
    ed->follows = d->follows;
    ed->nfollows = d->n;
    return ST_OK;
}

size_t doc_related_held(const struct doc_related *d)
{
    return d->json.n + d->inlined;
}

void doc_related_free(struct doc_related *d)
{
    if (d == NULL)
        return;
    for (uint32_t i = 0; i < d->begun; i++)
        att_upload_free(d->up[i]);
    multipart_free(d->parts);
    buf_free(&d->json);
    mem_free(d);
}
