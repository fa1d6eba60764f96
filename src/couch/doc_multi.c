/* couch/doc_multi.c: several revisions or documents in one answer: open_revs, _bulk_get, _revs_diff
 * (couchdb-surface A.6, A.7, B.4, C.6). What they have in common: one document's trouble is an
 * entry of the answer. Entered by workers. */
#include "couch/doc_priv.h"
#include "couch/doc_write.h"

/* ---- a choice of revisions of one document ---- */

struct choice {
    struct db *db;
    struct slice id;
    struct docinfo info;
    bool latest;
    struct doc_read_opts opts;
    struct arena *a;
    struct buf *out;
    bool *given; /* latest: by node, written already */
    uint32_t n;  /* entries written */
    /* Writes what stands for a revision that is not there. */
    void (*missing)(const struct choice *c, struct slice rev);
};

static void write_missing(const struct choice *c, struct slice rev)
{
    buf_str(c->out, "{\"missing\":");
    json_write_str(c->out, rev);
    buf_char(c->out, '}');
}

static void write_item_error(struct buf *out, struct slice id, struct slice rev, const char *word,
                             const char *reason)
{
    buf_str(out, "{\"error\":{\"id\":");
    json_write_str(out, id);
    buf_str(out, ",\"rev\":");
    json_write_str(out, rev);
    buf_str(out, ",\"error\":");
    json_write_str(out, slice_str(word));
    buf_str(out, ",\"reason\":");
    json_write_str(out, slice_str(reason));
    buf_str(out, "}}");
}

static void write_missing_item(const struct choice *c, struct slice rev)
{
    write_item_error(c->out, c->id, rev, "not_found", "missing");
}

static void separate(struct choice *c)
{
    if (c->n++ > 0)
        buf_char(c->out, ',');
}

static enum status write_node(struct choice *c, uint32_t node, struct err *e)
{
    const struct revnode *n = &c->info.tree.nodes[node];

    separate(c);
    if (!n->has_body) {
        c->missing(c, rev_text(c->a, &n->rev));
        return ST_OK;
    }
    buf_str(c->out, "{\"ok\":");
    TRY(doc_write_json(c->db, c->id, &c->info, (int)node, &c->opts, c->a, c->out, e));
    buf_char(c->out, '}');
    return ST_OK;
}

static enum status write_leaves(struct choice *c, struct err *e)
{
    uint32_t *leaves, n = revtree_leaves(&c->info.tree, c->a, &leaves);

    for (uint32_t i = 0; i < n; i++)
        TRY(write_node(c, leaves[i], e));
    return ST_OK;
}

/* The leaves at or below a node, each once in the whole answer. */
static enum status write_latest(struct choice *c, int node, struct err *e)
{
    uint32_t *leaves, n = revtree_leaves_below(&c->info.tree, node, c->a, &leaves);

    if (c->given == NULL)
        c->given = arena_zalloc(c->a, c->info.tree.n * sizeof *c->given);
    for (uint32_t i = 0; i < n; i++) {
        if (c->given[leaves[i]])
            continue;
        c->given[leaves[i]] = true;
        TRY(write_node(c, leaves[i], e));
    }
    return ST_OK;
}

static enum status write_rev(struct choice *c, const struct rev *rev, struct err *e)
{
    int node = c->info.tree.n > 0 ? revtree_find(&c->info.tree, rev) : -1;

    if (node < 0) {
        separate(c);
        c->missing(c, rev_text(c->a, rev));
        return ST_OK;
    }
    return c->latest ? write_latest(c, node, e) : write_node(c, (uint32_t)node, e);
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_open_revs(struct db *db, struct slice id, const struct slice *revs, uint32_t nrevs,
                          bool all, bool latest, const struct doc_read_opts *opts, struct arena *a,
                          struct buf *out, struct err *e)
{
    struct choice c = {.db = db,
                       .id = id,
                       .latest = latest,
                       .opts = *opts,
                       .a = a,
                       .out = out,
                       .missing = write_missing};
    struct rev *parsed = arena_array(a, (size_t)nrevs + 1, sizeof *parsed);
    bool found;

    for (uint32_t i = 0; i < nrevs && !all; i++)
        TRY(rev_parse(a, revs[i], &parsed[i], e));
    TRY(doc_lookup(db, NULL, id, a, &c.info, &found, e));
    if (!found && all)
        return err_set(e, ST_NOT_FOUND, "missing");
    if (!found)
        c.info.tree.n = 0;
    buf_char(out, '[');
    if (all)
        TRY(write_leaves(&c, e));
    for (uint32_t i = 0; i < nrevs && !all; i++)
        TRY(write_rev(&c, &parsed[i], e));
    buf_char(out, ']');
    return ST_OK;
}

/* ---- _bulk_get ---- */

/* The word of a status as an entry shows it. */
static const char *item_word(enum status st, const struct err *e)
{
    if (e->word != NULL)
        return e->word;
    if (st == ST_NOT_FOUND)
        return "not_found";
    return st == ST_BAD_REQUEST ? "bad_request" : "internal_server_error";
}

/* An item's atts_since, in opts. */
static enum status item_atts_since(const struct json *item, struct arena *a,
                                   struct doc_read_opts *opts, struct err *e)
{
    const struct json *since = json_get(item, "atts_since");
    struct rev *revs;
    uint32_t n = 0;

    if (since == NULL || since->type == JSON_NULL)
        return ST_OK;
    if (since->type != JSON_ARRAY || since->packed || since->count > LIMIT_LEAVES)
        return err_set(e, ST_BAD_REQUEST, "att_since value must be array of revs.");
    revs = arena_array(a, (size_t)since->count + 1, sizeof *revs);
    for (const struct json *v = since->first; v != NULL; v = v->next) {
        if (v->type != JSON_STRING)
            return err_set(e, ST_BAD_REQUEST, "att_since value must be array of revs.");
        TRY(rev_parse(a, v->text, &revs[n++], e));
    }
    opts->atts_since = revs;
    opts->natts_since = n;
    opts->has_atts_since = true;
    return ST_OK;
}

/* The entries of one item; rev NULL: all leaves. */
static enum status write_item(struct choice *c, const struct json *rev, const struct json *item,
                              struct err *e)
{
    struct rev r;
    bool found;

    TRY(doc_id_check(c->id, e));
    if (rev != NULL && rev->type != JSON_STRING)
        return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
    if (rev != NULL)
        TRY(rev_parse(c->a, rev->text, &r, e));
    TRY(item_atts_since(item, c->a, &c->opts, e));
    TRY(doc_lookup(c->db, NULL, c->id, c->a, &c->info, &found, e));
    if (!found)
        c->info.tree.n = 0;
    if (rev != NULL)
        return write_rev(c, &r, e);
    return found ? write_leaves(c, e) : err_set(e, ST_NOT_FOUND, "missing");
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_bulk_get(struct db *db, const struct json *item, bool latest,
                         const struct doc_read_opts *opts, struct arena *a, struct buf *out,
                         struct err *e)
{
    const struct json *id = json_get(item, "id"), *rev = json_get(item, "rev");
    struct choice c = {.db = db,
                       .latest = latest,
                       .opts = *opts,
                       .a = a,
                       .out = out,
                       .missing = write_missing_item};
    struct slice revs = SLICE_LIT("undefined");
    enum status st;
    size_t before;

    e->word = NULL;
    if (json_is(id, JSON_STRING))
        c.id = id->text;
    if (json_is(rev, JSON_STRING))
        revs = rev->text;
    buf_str(out, "{\"id\":");
    json_write_str(out, c.id);
    buf_str(out, ",\"docs\":[");
    before = out->n;
    if (id == NULL)
        st = err_set(e, ST_BAD_REQUEST, "document id missed");
    else if (id->type != JSON_STRING)
        st = err_word(e, ST_BAD_REQUEST, "illegal_docid", "Document id must be a string");
    else
        st = write_item(&c, rev, item, e);
    if (st != ST_OK) {
        out->n = before;
        write_item_error(out, c.id, revs, item_word(st, e), e->reason);
    }
    buf_str(out, "]}");
    return ST_OK;
}

/* ---- _revs_diff ---- */

struct diff {
    struct db *db;
    struct arena *a; /* reset for every document */
    struct buf *out;
    uint32_t n; /* documents written */
};

static void write_ancestors(const struct docinfo *info, uint32_t gen, struct diff *d)
{
    uint32_t *leaves, n = revtree_leaves(&info->tree, d->a, &leaves), found = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct rev *r = &info->tree.nodes[leaves[i]].rev;

        if (r->gen >= gen)
            continue;
        buf_str(d->out, found++ == 0 ? ",\"possible_ancestors\":[\"" : ",\"");
        rev_write(d->out, r);
        buf_char(d->out, '"');
    }
    if (found > 0)
        buf_char(d->out, ']');
}

static enum status diff_one(struct diff *d, const struct json *revs, struct err *e)
{
    struct docinfo info;
    struct rev r;
    uint32_t missing = 0, gen = 0;
    bool found;

    if (revs->type != JSON_ARRAY)
        return err_set(e, ST_BAD_REQUEST, "The revisions of a document must be an array");
    if (revs->packed)
        return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
    TRY(doc_lookup(d->db, NULL, revs->key, d->a, &info, &found, e));
    for (const struct json *v = revs->first; v != NULL; v = v->next) {
        if (v->type != JSON_STRING)
            return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
        TRY(rev_parse(d->a, v->text, &r, e));
        if (found && revtree_find(&info.tree, &r) >= 0)
            continue;
        if (missing++ == 0) {
            if (d->n++ > 0)
                buf_char(d->out, ',');
            json_write_str(d->out, revs->key);
            buf_str(d->out, ":{\"missing\":[\"");
        } else {
            buf_str(d->out, ",\"");
        }
        rev_write(d->out, &r);
        buf_char(d->out, '"');
        gen = r.gen > gen ? r.gen : gen;
    }
    if (missing == 0)
        return ST_OK;
    buf_char(d->out, ']');
    if (found)
        write_ancestors(&info, gen, d);
    buf_char(d->out, '}');
    return ST_OK;
}

enum status doc_revs_diff(struct db *db, const struct json *req, struct arena *a, struct buf *out,
                          struct err *e)
{
    struct diff d = {.db = db, .out = out};
    enum status st = ST_OK;

    (void)a;
    if (!json_is(req, JSON_OBJECT))
        return err_set(e, ST_BAD_REQUEST, "Request body must be a JSON object");
    d.a = arena_new();
    buf_char(out, '{');
    for (const struct json *v = req->first; v != NULL && st == ST_OK; v = v->next) {
        st = diff_one(&d, v, e);
        arena_reset(d.a);
    }
    buf_char(out, '}');
    arena_free(d.a);
    return st;
}
