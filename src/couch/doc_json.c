/* couch/doc_json.c: writes one revision of a document as JSON, in CouchDB's member order: _id,
 * _rev, body, _deleted, _revisions, _revs_info, _conflicts, _deleted_conflicts, _local_seq,
 * _attachments. The body's bytes are copied, never parsed. Entered by workers. */
#include "base/gzip.h"
#include "base/text.h"
#include "couch/doc_priv.h"

enum { MD5_BYTES = 16 };

/* ---- what is known of other revisions ---- */

static void write_quoted_rev(struct buf *out, const struct rev *r)
{
    buf_char(out, '"');
    rev_write(out, r); /* its bytes need no escaping (rev.c) */
    buf_char(out, '"');
}

static void write_hash(struct buf *out, const struct rev *r)
{
    char *p = r->hex ? buf_extend(out, 2 * r->id.n) : NULL;

    if (p != NULL)
        hex_encode(r->id.p, r->id.n, p);
    else if (!r->hex)
        buf_add(out, r->id);
}

static void write_revisions(const struct doc_view *v, struct arena *a, struct buf *out)
{
    uint32_t *path, n = revtree_path(&v->info->tree, v->node, a, &path);

    buf_str(out, ",\"_revisions\":{\"start\":");
    buf_u64(out, v->rev->gen);
    buf_str(out, ",\"ids\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_str(out, i > 0 ? ",\"" : "\"");
        write_hash(out, &v->info->tree.nodes[path[i]].rev);
        buf_char(out, '"');
    }
    buf_str(out, "]}");
}

static void write_revs_info(const struct doc_view *v, struct arena *a, struct buf *out)
{
    uint32_t *path, n = revtree_path(&v->info->tree, v->node, a, &path);

    buf_str(out, ",\"_revs_info\":[");
    for (uint32_t i = 0; i < n; i++) {
        const struct revnode *r = &v->info->tree.nodes[path[i]];

        buf_str(out, i > 0 ? ",{\"rev\":" : "{\"rev\":");
        write_quoted_rev(out, &r->rev);
        buf_str(out, ",\"status\":\"");
        buf_str(out, !r->has_body ? "missing" : r->deleted ? "deleted" : "available");
        buf_str(out, "\"}");
    }
    buf_char(out, ']');
}

/* The other leaves, living or deleted; nothing at all when there are none. */
static void write_conflicts(const struct doc_view *v, bool deleted, struct arena *a,
                            struct buf *out)
{
    uint32_t *leaves, n = revtree_leaves(&v->info->tree, a, &leaves), found = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct revnode *r = &v->info->tree.nodes[leaves[i]];

        if ((int)leaves[i] == v->node || r->deleted != deleted)
            continue;
        if (found++ == 0)
            buf_str(out, deleted ? ",\"_deleted_conflicts\":[" : ",\"_conflicts\":[");
        else
            buf_char(out, ',');
        write_quoted_rev(out, &r->rev);
    }
    if (found > 0)
        buf_char(out, ']');
}

static void write_meta(const struct doc_view *v, struct arena *a, struct buf *out)
{
    if (v->opts->revs)
        write_revisions(v, a, out);
    if (v->opts->revs_info)
        write_revs_info(v, a, out);
    if (v->opts->conflicts)
        write_conflicts(v, false, a, out);
    if (v->opts->deleted_conflicts)
        write_conflicts(v, true, a, out);
    if (v->opts->local_seq) {
        buf_str(out, ",\"_local_seq\":");
        buf_u64(out, v->info->seq);
    }
}

/* ---- attachments ---- */

static void write_base64(struct buf *out, struct slice s)
{
    char *p = buf_extend(out, base64_encoded_len(s.n));

    if (p != NULL)
        base64_encode(s.p, s.n, p);
}

/* The bytes as a client wants them: inflated unless it asks for the encoding. */
static enum status write_data(struct db *db, const struct att *t, bool encoded, struct buf *out,
                              struct err *e)
{
    struct buf stored, plain;
    enum status st;

    if (t->len > LIMIT_INFLATED_BYTES)
        return doc_att_too_large(t->name, e);
    buf_init(&stored, LIMIT_RECORD_BYTES);
    buf_init(&plain, LIMIT_INFLATED_BYTES);
    st = doc_att_data(db, t, &stored, e);
    if (st == ST_OK && t->encoding == ATT_GZIP && !encoded) {
        if (gzip_inflate(buf_slice(&stored), LIMIT_INFLATED_BYTES, &plain))
            write_base64(out, buf_slice(&plain));
        else
            st = err_set(e, ST_CORRUPT, "a compressed attachment does not inflate");
    } else if (st == ST_OK) {
        write_base64(out, buf_slice(&stored));
    }
    buf_free(&stored);
    buf_free(&plain);
    return st;
}

static enum status write_att(struct db *db, const struct att *t, const struct doc_read_opts *opts,
                             bool with_data, struct buf *out, struct err *e)
{
    bool follows = opts != NULL && opts->follows != NULL;
    bool encoding = opts != NULL && (opts->att_encoding_info || follows) && t->encoding == ATT_GZIP;

    json_write_str(out, t->name);
    buf_str(out, ":{\"content_type\":");
    json_write_str(out, t->type);
    buf_str(out, ",\"revpos\":");
    buf_u64(out, t->revpos);
    buf_str(out, ",\"digest\":\"md5-");
    write_base64(out, slice_of(t->md5, MD5_BYTES));
    if (with_data && !follows) {
        buf_str(out, "\",\"data\":\"");
        TRY(write_data(db, t, encoding, out, e));
        buf_char(out, '"');
    } else {
        buf_str(out, "\",\"length\":");
        buf_u64(out, t->len);
        buf_str(out, with_data ? ",\"follows\":true" : ",\"stub\":true");
    }
    if (encoding) {
        buf_str(out, ",\"encoding\":\"gzip\",\"encoded_length\":");
        buf_u64(out, t->stored_len);
    }
    buf_char(out, '}');
    return ST_OK;
}

/* Attachments of a later generation than this have their data sent: the newest of atts_since that
 * is an ancestor, 0 when none is. */
static uint32_t known_gen(const struct doc_view *v)
{
    const struct doc_read_opts *o = v->opts;
    uint32_t best = 0;

    if (!o->has_atts_since || v->info == NULL)
        return 0;
    for (int32_t at = v->node; at != REVTREE_ROOT; at = v->info->tree.nodes[at].parent)
        for (uint32_t i = 0; i < o->natts_since; i++)
            if (rev_eq(&o->atts_since[i], &v->info->tree.nodes[at].rev) &&
                o->atts_since[i].gen > best)
                best = o->atts_since[i].gen;
    return best;
}

static enum status write_atts(struct db *db, const struct doc_view *v, struct arena *a,
                              struct buf *out, struct err *e)
{
    struct doc_follows *follows = v->opts != NULL ? v->opts->follows : NULL;
    bool data = follows != NULL || (v->opts != NULL && v->opts->attachments);
    uint32_t known = data ? known_gen(v) : 0, n = 0;
    struct att *list = follows != NULL ? arena_array(a, v->body->natts, sizeof *list) : NULL;

    buf_str(out, ",\"_attachments\":{");
    for (uint32_t i = 0; i < v->body->natts; i++) {
        const struct att *t = &v->body->atts[i];
        bool with_data = data && (known == 0 || t->revpos > known);

        if (i > 0)
            buf_char(out, ',');
        if (with_data && list != NULL)
            list[n++] = *t;
        TRY(write_att(db, t, v->opts, with_data, out, e));
    }
    if (follows != NULL)
        *follows = (struct doc_follows){list, n};
    buf_char(out, '}');
    return ST_OK;
}

/* ---- the document ---- */

enum status doc_view_write(struct db *db, const struct doc_view *v, struct arena *a,
                           struct buf *out, struct err *e)
{
    struct slice json = v->body->json;

    if (json.n < 2)
        return err_set(e, ST_CORRUPT, "a body without an object");
    buf_reserve(out, json.n + v->id.n + 96);
    buf_append(out, "{\"_id\":", 7);
    json_write_str(out, v->id);
    buf_append(out, ",\"_rev\":", 8);
    write_quoted_rev(out, v->rev);
    if (json.n > 2) {
        buf_char(out, ',');
        buf_append(out, json.p + 1, json.n - 2);
    }
    if (v->deleted)
        buf_str(out, ",\"_deleted\":true");
    if (v->opts != NULL && v->info != NULL)
        write_meta(v, a, out);
    if (v->opts != NULL && v->opts->follows != NULL)
        *v->opts->follows = (struct doc_follows){0};
    if (v->body->natts > 0)
        TRY(write_atts(db, v, a, out, e));
    buf_char(out, '}');
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_write_winner(struct db *db, struct slice id, const struct rev *rev, bool deleted,
                             const struct doc_body *body, struct buf *out, struct err *e)
{
    struct doc_view v = {.id = id, .rev = rev, .deleted = deleted, .body = body};

    return doc_view_write(db, &v, NULL, out, e);
}
