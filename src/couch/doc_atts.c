/* couch/doc_atts.c: attachments on their way in: inline data, stubs, standalone puts
 * (couchdb-surface A.10). Pure; any thread. */
#include "base/digest.h"
#include "base/gzip.h"
#include "base/text.h"
#include "couch/doc_priv.h"

enum { NAME_IN_REASON = 100 };

/* ---- checks ---- */

enum status doc_att_name_check(struct slice name, struct err *e)
{
    struct slice n = doc_clip(name, NAME_IN_REASON);

    if (!utf8_valid(name))
        return err_set(e, ST_BAD_REQUEST, "Attachment name is not UTF-8 encoded");
    if (name.n == 0)
        return err_set(e, ST_BAD_REQUEST, "Attachment name must not be empty");
    if (name.n > LIMIT_ATT_NAME_BYTES)
        return err_set(e, ST_BAD_REQUEST, "Attachment name '%.*s...' is too long", (int)n.n, n.p);
    if (name.p[0] == '_')
        return err_set(e, ST_BAD_REQUEST,
                       "Attachment name '%.*s' starts with prohibited character '_'", (int)n.n,
                       n.p);
    return ST_OK;
}

/* The type becomes a header: no control characters in it. */
static enum status type_check(struct slice name, struct slice type, struct err *e)
{
    struct slice n = doc_clip(name, NAME_IN_REASON);
    bool good = type.n <= LIMIT_CONTENT_TYPE_BYTES && utf8_valid(type);

    for (size_t i = 0; good && i < type.n; i++)
        good = (unsigned char)type.p[i] >= 0x20 && type.p[i] != 0x7f;
    return good ? ST_OK
                : err_set(e, ST_BAD_REQUEST, "Invalid content type of attachment %.*s", (int)n.n,
                          n.p);
}

static enum status bad_data(struct slice name, struct err *e)
{
    struct slice n = doc_clip(name, NAME_IN_REASON);

    return err_set(e, ST_BAD_REQUEST, "Invalid attachment data for %.*s", (int)n.n, n.p);
}

enum status doc_att_too_large(struct slice name, struct err *e)
{
    struct slice n = doc_clip(name, NAME_IN_REASON);

    return err_word(e, ST_TOO_LARGE, "attachment_too_large", "%.*s", (int)n.n, n.p);
}

int doc_atts_find(const struct doc_body *b, struct slice name)
{
    for (uint32_t i = 0; i < b->natts; i++)
        if (slice_eq(b->atts[i].name, name))
            return (int)i;
    return -1;
}

/* ---- one attachment ---- */

/* Digest and lengths of bytes that are to be stored. gzip: the client says they are compressed; if
 * they are not, they are stored as what they are. */
static void set_data(struct att *t, struct slice data, bool gzip)
{
    static const char none[1];

    t->data = slice_of(data.p != NULL ? data.p : none, data.n);
    t->stored_len = t->len = data.n;
    t->encoding = ATT_IDENTITY;
    md5(t->data.p, t->data.n, t->md5);
    if (gzip && gzip_length(data, LIMIT_ATT_INFLATED, &t->len))
        t->encoding = ATT_GZIP;
    else
        t->len = data.n;
}

/* What an att_upload made of bytes that came by themselves, or another document's entry. */
static void set_stored(struct att *t, const struct att *from)
{
    memcpy(t->md5, from->md5, sizeof t->md5);
    t->len = from->len;
    t->stored_len = from->stored_len;
    t->encoding = from->encoding;
    t->ptr = from->ptr;
    t->data = from->data;
}

/* MIME tools break base64 into lines; CouchDB takes them. */
static struct slice without_blanks(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != ' ' && s.p[i] != '\t')
            p[n++] = s.p[i];
    return slice_of(p, n);
}

static enum status set_inline(const struct att_source *src, const struct json *v, struct att *t,
                              struct err *e)
{
    const struct json *data = json_get(v, "data");
    const struct json *encoding = json_get(v, "encoding");
    bool gzip = json_is(encoding, JSON_STRING) && slice_eq(encoding->text, SLICE_LIT("gzip"));
    size_t n = 0;

    if (!json_is(data, JSON_STRING))
        return bad_data(t->name, e);
    char *out = arena_alloc(src->arena, data->text.n / 4 * 3 + 3);
    if (!base64_decode(data->text, out, &n) &&
        !base64_decode(without_blanks(src->arena, data->text), out, &n))
        return bad_data(t->name, e);
    set_data(t, slice_of(out, n), gzip);
    return ST_OK;
}

static enum status missing_stub(const struct att_source *src, struct slice name, struct err *e)
{
    struct slice id = doc_clip(src->docid, NAME_IN_REASON), n = doc_clip(name, NAME_IN_REASON);

    return err_set(e, ST_MISSING_STUB, "Invalid attachment stub in %.*s for %.*s", (int)id.n, id.p,
                   (int)n.n, n.p);
}

/* *keep false: a stub that may be dropped. */
static enum status set_stub(const struct att_source *src, const struct json *v, struct att *t,
                            bool *keep, struct err *e)
{
    const struct json *revpos = json_get(v, "revpos");
    int at = src->from != NULL ? doc_atts_find(src->from, t->name) : -1;
    int64_t n;

    if (at >= 0 && revpos != NULL &&
        (!json_int(revpos, &n) || n != (int64_t)src->from->atts[at].revpos))
        at = -1;
    *keep = at >= 0;
    if (at < 0)
        return src->lenient ? ST_OK : missing_stub(src, t->name, e);
    *t = src->from->atts[at];
    return ST_OK;
}

/* The next part's bytes. A peer says how many it sends, and mostly their digest. */
static enum status set_following(const struct att_source *src, const struct json *v,
                                 uint32_t *taken, struct att *t, struct err *e)
{
    const struct json *encoding = json_get(v, "encoding"), *digest = json_get(v, "digest");
    bool gzip = json_is(encoding, JSON_STRING) && slice_eq(encoding->text, SLICE_LIT("gzip"));
    const struct json *length = json_get(v, gzip ? "encoded_length" : "length");
    struct slice want = SLICE_LIT("md5-");
    const struct att *from;
    char said[sizeof t->md5 * 2];
    size_t n = 0;
    int64_t len;

    if (src->follows == NULL)
        return err_set(e, ST_BAD_REQUEST, "Attachments that follow need a multipart request");
    if (*taken == src->nfollows)
        return err_set(e, ST_BAD_REQUEST, "attachment shorter than expected");
    from = &src->follows[(*taken)++];
    if (length != NULL && (!json_int(length, &len) || len < 0))
        return bad_data(t->name, e);
    if (length != NULL && from->stored_len != (uint64_t)len)
        return err_set(e, ST_BAD_REQUEST, "attachment %s than expected",
                       from->stored_len < (uint64_t)len ? "shorter" : "longer");
    set_stored(t, from);
    if (!json_is(digest, JSON_STRING) || !slice_starts(digest->text, want) ||
        digest->text.n > want.n + base64_encoded_len(sizeof t->md5) ||
        !base64_decode(slice_of(digest->text.p + want.n, digest->text.n - want.n), said, &n) ||
        n != sizeof t->md5)
        return ST_OK; /* another algorithm's */
    return memcmp(said, t->md5, n) == 0 ? ST_OK
                                        : err_word(e, ST_BAD_REQUEST, "content_md5_mismatch",
                                                   "Possible message corruption.");
}

static uint32_t revpos_of(const struct att_source *src, const struct json *v)
{
    int64_t n;

    if (!src->new_edits && json_int(json_get(v, "revpos"), &n) && n >= 0 &&
        n <= (int64_t)LIMIT_REV_GEN)
        return (uint32_t)n;
    return src->gen;
}

static bool is_true(const struct json *v, const char *name)
{
    return json_is(json_get(v, name), JSON_TRUE);
}

/* *taken: how many of the parts are used up. */
static enum status build_one(const struct att_source *src, const struct json *v, uint32_t *taken,
                             struct att *t, bool *keep, struct err *e)
{
    const struct json *type = json_get(v, "content_type");

    *t = (struct att){.name = v->key, .type = SLICE_LIT("application/octet-stream")};
    *keep = true;
    TRY(doc_att_name_check(v->key, e));
    if (v->type != JSON_OBJECT)
        return bad_data(v->key, e);
    if (is_true(v, "stub"))
        return set_stub(src, v, t, keep, e);
    if (type != NULL && type->type != JSON_STRING)
        return err_set(e, ST_BAD_REQUEST, "Attachment content_type must be a string");
    if (type != NULL)
        t->type = type->text;
    TRY(type_check(t->name, t->type, e));
    t->revpos = revpos_of(src, v);
    return is_true(v, "follows") ? set_following(src, v, taken, t, e) : set_inline(src, v, t, e);
}

/* ---- the table ---- */

bool doc_atts_need_source(const struct json *atts)
{
    if (atts == NULL)
        return false;
    for (const struct json *v = atts->first; v != NULL; v = v->next)
        if (is_true(v, "stub"))
            return true;
    return false;
}

static enum status too_many(struct err *e)
{
    return err_word(e, ST_TOO_LARGE, "too_many_attachments",
                    "a document has at most %d attachments", LIMIT_ATTACHMENTS);
}

/* Bytes that nobody named are not dropped in silence. */
static enum status all_taken(const struct att_source *src, uint32_t taken, struct err *e)
{
    if (src->follows == NULL || taken == src->nfollows)
        return ST_OK;
    return err_set(e, ST_BAD_REQUEST, "%u attachments follow, but the document names %u",
                   src->nfollows, taken);
}

enum status doc_atts_build(const struct att_source *src, const struct json *atts,
                           struct doc_body *out, struct err *e)
{
    uint32_t n = 0, taken = 0;
    bool keep;

    out->atts = NULL;
    out->natts = 0;
    if (atts == NULL)
        return all_taken(src, 0, e);
    if (atts->count > LIMIT_ATTACHMENTS)
        return too_many(e);
    struct att *t = arena_array(src->arena, atts->count, sizeof *t);
    for (const struct json *v = atts->first; v != NULL; v = v->next) {
        TRY(build_one(src, v, &taken, &t[n], &keep, e));
        n += keep ? 1 : 0;
    }
    out->atts = t;
    out->natts = n;
    return all_taken(src, taken, e);
}

/* The source's attachments but `name`, with room for one more before them. */
static void copy_others(const struct att_source *src, struct slice name, struct doc_body *out,
                        uint32_t before)
{
    uint32_t have = src->from != NULL ? src->from->natts : 0, n = before;
    struct att *t = arena_array(src->arena, (size_t)have + 1, sizeof *t);

    for (uint32_t i = 0; i < have; i++)
        if (!slice_eq(src->from->atts[i].name, name))
            t[n++] = src->from->atts[i];
    out->atts = t;
    out->natts = n;
}

enum status doc_atts_put(const struct att_source *src, const struct att *att, struct doc_body *out,
                         struct err *e)
{
    struct att *t;

    TRY(doc_att_name_check(att->name, e));
    copy_others(src, att->name, out, 1);
    if (out->natts > LIMIT_ATTACHMENTS)
        return too_many(e);
    t = &out->atts[0];
    *t = (struct att){.name = att->name, .type = att->type, .revpos = src->gen};
    if (t->type.n == 0)
        t->type = SLICE_LIT("application/octet-stream");
    TRY(type_check(t->name, t->type, e));
    set_stored(t, att);
    return ST_OK;
}

enum status doc_atts_remove(const struct att_source *src, struct slice name, struct doc_body *out,
                            struct err *e)
{
    if (src->from == NULL || doc_atts_find(src->from, name) < 0)
        return err_set(e, ST_NOT_FOUND, "Document is missing attachment");
    copy_others(src, name, out, 0);
    return ST_OK;
}
