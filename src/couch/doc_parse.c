/* couch/doc_parse.c: takes a client's document apart: special members here, the rest as the body's
 * bytes (couchdb-surface A.6). Pure; any thread. */
#include "base/alloc.h"
#include "couch/doc_priv.h"

#define DOC_VALIDATION "doc_validation"

enum member {
    MEMBER_BODY,
    MEMBER_ID,
    MEMBER_REV,
    MEMBER_DELETED,
    MEMBER_REVISIONS,
    MEMBER_ATTACHMENTS,
    MEMBER_IGNORED,
    MEMBER_BAD
};
static const struct {
    struct slice name;
    enum member what;
} special[] = {
    {{"_id", 3}, MEMBER_ID},
    {{"_rev", 4}, MEMBER_REV},
    {{"_deleted", 8}, MEMBER_DELETED},
    {{"_revisions", 10}, MEMBER_REVISIONS},
    {{"_attachments", 12}, MEMBER_ATTACHMENTS},
    {{"_revs_info", 10}, MEMBER_IGNORED},
    {{"_local_seq", 10}, MEMBER_IGNORED},
    {{"_conflicts", 10}, MEMBER_IGNORED},
    {{"_deleted_conflicts", 18}, MEMBER_IGNORED},
    {{"_access", 7}, MEMBER_BODY},
    {{"_replication_state", 18}, MEMBER_BODY},
    {{"_replication_state_time", 23}, MEMBER_BODY},
    {{"_replication_state_reason", 25}, MEMBER_BODY},
    {{"_replication_id", 15}, MEMBER_BODY},
    {{"_replication_stats", 18}, MEMBER_BODY},
};

static enum member member_kind(struct slice key)
{
    if (key.n == 0 || key.p[0] != '_')
        return MEMBER_BODY;
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (slice_eq(key, special[i].name))
            return special[i].what;
    return MEMBER_BAD;
}

static enum status bad_member(struct slice key, struct err *e)
{
    struct slice k = doc_clip(key, 200);

    return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "Bad special document member: %.*s",
                    (int)k.n, k.p);
}

/* {"start":N,"ids":[newest, ...]} as a path. */
static enum status parse_revisions(struct arena *a, const struct json *v, struct doc_parts *out,
                                   struct err *e)
{
    const struct json *ids = json_get(v, "ids");
    struct rev *path;
    int64_t start;
    uint32_t i = 0;

    if (!json_int(json_get(v, "start"), &start))
        return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "_revisions.start isn't an integer.");
    if (!json_is(ids, JSON_ARRAY))
        return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "_revisions.ids isn't a array.");
    if (ids->packed)
        return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "RevId isn't a string");
    if (ids->count > LIMIT_REVS_PATH)
        return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "_revisions.ids has more than %d ids",
                        LIMIT_REVS_PATH);
    if (start < (int64_t)ids->count || start > (int64_t)LIMIT_REV_GEN)
        return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "_revisions.start is out of range");
    path = arena_array(a, ids->count, sizeof *path);
    for (const struct json *id = ids->first; id != NULL; id = id->next, i++) {
        if (id->type != JSON_STRING)
            return err_word(e, ST_BAD_REQUEST, DOC_VALIDATION, "RevId isn't a string");
        TRY(rev_parse_hash(a, (uint32_t)start - i, id->text, &path[i], e));
    }
    out->path = path;
    out->npath = ids->count;
    return ST_OK;
}

/* Checked even when _revisions decides. */
static enum status parse_rev(struct arena *a, const struct json *v, bool local,
                             struct doc_parts *out, struct err *e)
{
    struct rev *r;

    if (v->type != JSON_STRING)
        return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
    out->rev_text = v->text;
    if (local)
        return ST_OK;
    r = arena_alloc(a, sizeof *r);
    TRY(rev_parse(a, v->text, r, e));
    if (out->path == NULL) {
        out->path = r;
        out->npath = 1;
    }
    return ST_OK;
}

static enum status parse_id(const struct json *v, struct doc_parts *out, struct err *e)
{
    if (v->type != JSON_STRING)
        return err_word(e, ST_BAD_REQUEST, "illegal_docid", "Document id must be a string");
    out->has_id = true;
    out->id = v->text;
    return ST_OK;
}

/* One special member; a value of the wrong type is as bad as an unknown name. */
static enum status parse_special(struct arena *a, const struct json *m, enum member kind,
                                 bool local, struct doc_parts *out, struct err *e)
{
    switch (kind) {
    case MEMBER_ID:
        return parse_id(m, out, e);
    case MEMBER_REV:
        return parse_rev(a, m, local, out, e);
    case MEMBER_DELETED:
        return json_bool(m, &out->deleted) ? ST_OK : bad_member(m->key, e);
    case MEMBER_REVISIONS:
        if (local)
            return ST_OK;
        return m->type == JSON_OBJECT ? parse_revisions(a, m, out, e) : bad_member(m->key, e);
    case MEMBER_ATTACHMENTS:
        if (local)
            return ST_OK;
        if (m->type != JSON_OBJECT)
            return bad_member(m->key, e);
        out->atts = m->count > 0 ? m : NULL;
        return ST_OK;
    case MEMBER_BAD:
        return bad_member(m->key, e);
    case MEMBER_BODY:
    case MEMBER_IGNORED:
        break;
    }
    return ST_OK;
}

enum status doc_parse(struct arena *a, const struct json *doc, bool local, struct doc_parts *out,
                      struct err *e)
{
    enum status st = ST_OK;
    struct buf b;

    *out = (struct doc_parts){0};
    if (!json_is(doc, JSON_OBJECT))
        return err_set(e, ST_BAD_REQUEST, "Document must be a JSON object");
    buf_init(&b, LIMIT_JSON_BYTES);
    buf_reserve(&b, doc->raw.n + 2);
    buf_char(&b, '{');
    for (const struct json *m = doc->first; m != NULL && st == ST_OK; m = m->next) {
        enum member kind = member_kind(m->key);

        if (kind != MEMBER_BODY) {
            st = parse_special(a, m, kind, local, out, e);
            continue;
        }
        if (b.n > 1)
            buf_char(&b, ',');
        json_write_str(&b, m->key);
        buf_char(&b, ':');
        json_write(&b, m);
    }
    buf_char(&b, '}');
    if (st == ST_OK && !buf_ok(&b))
        st = err_word(e, ST_TOO_LARGE, "document_too_large", "the document is too large");
    if (st == ST_OK)
        out->json = arena_dup(a, buf_slice(&b));
    buf_free(&b);
    return st;
}
