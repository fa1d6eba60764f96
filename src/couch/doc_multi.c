/* couch/doc_multi.c: several revisions or documents in one answer: open_revs, _bulk_get, _revs_diff
 * (couchdb-surface A.6, A.7, B.4, C.6). What they have in common: one document's trouble is an
 * entry of the answer. Entered by workers. */
#include "base/thread.h"
#include "couch/doc_priv.h"
#include "couch/doc_write.h"

/* ---- a choice of revisions of one document ---- */

struct choice {
    struct db *db;
    struct slice id;
    struct doc_picks picks;
    bool latest;
    struct doc_read_opts opts;
    struct arena *a;
    struct buf *out;
    bool *given; /* latest: by node, picked already */
    /* Writes what stands for a revision that is not there. */
    void (*missing)(const struct choice *c, struct slice rev);
};

static void write_missing(const struct choice *c, struct slice rev)
{
    buf_str(c->out, "{\"missing\":");
    json_write_str(c->out, rev);
    buf_char(c->out, '}');
}

void doc_bulk_error(const struct doc_bulk *b, const char *word, const char *reason, struct buf *out)
{
    buf_str(out, "{\"id\":");
    json_write_str(out, b->id);
    buf_str(out, ",\"rev\":");
    json_write_str(out, b->rev);
    buf_str(out, ",\"error\":");
    json_write_str(out, slice_str(word));
    buf_str(out, ",\"reason\":");
    json_write_str(out, slice_str(reason));
    buf_char(out, '}');
}

static void write_missing_item(const struct choice *c, struct slice rev)
{
    struct doc_bulk b = {.id = c->id, .rev = rev};

    buf_str(c->out, "{\"error\":");
    doc_bulk_error(&b, "not_found", "missing", c->out);
    buf_char(c->out, '}');
}

static void pick_node(struct choice *c, uint32_t node)
{
    const struct revnode *n = &c->picks.info.tree.nodes[node];
    struct doc_pick *p = &c->picks.v[c->picks.n++];

    *p = (struct doc_pick){.node = (int)node};
    if (!n->has_body)
        *p = (struct doc_pick){.node = -1, .missing = rev_text(c->a, &n->rev)};
}

static void pick_leaves(struct choice *c)
{
    uint32_t *leaves, n = revtree_leaves(&c->picks.info.tree, c->a, &leaves);

    for (uint32_t i = 0; i < n; i++)
        pick_node(c, leaves[i]);
}

/* The leaves at or below a node, each once in the whole answer. */
static void pick_latest(struct choice *c, int node)
{
    const struct revtree *tree = &c->picks.info.tree;
    uint32_t *leaves, n = revtree_leaves_below(tree, node, c->a, &leaves);

    if (c->given == NULL)
        c->given = arena_zalloc(c->a, tree->n * sizeof *c->given);
    for (uint32_t i = 0; i < n; i++) {
        if (c->given[leaves[i]])
            continue;
        c->given[leaves[i]] = true;
        pick_node(c, leaves[i]);
    }
}

static void pick_rev(struct choice *c, const struct rev *rev)
{
    const struct revtree *tree = &c->picks.info.tree;
    int node = tree->n > 0 ? revtree_find(tree, rev) : -1;

    if (node < 0)
        c->picks.v[c->picks.n++] = (struct doc_pick){.node = -1, .missing = rev_text(c->a, rev)};
    else if (c->latest)
        pick_latest(c, node);
    else
        pick_node(c, (uint32_t)node);
}

/* Loads the tree and picks; revs NULL: all leaves. *found false: there is no such document. */
static enum status pick(struct choice *c, const struct rev *revs, uint32_t nrevs, bool *found,
                        struct err *e)
{
    struct revtree *tree = &c->picks.info.tree;

    TRY(doc_lookup(c->db, NULL, c->id, c->a, &c->picks.info, found, e));
    if (!*found)
        tree->n = 0;
    c->picks.v = arena_array(c->a, (size_t)nrevs + (revs == NULL || c->latest ? tree->n : 0) + 1,
                             sizeof *c->picks.v);
    if (revs == NULL && *found)
        pick_leaves(c);
    for (uint32_t i = 0; revs != NULL && i < nrevs; i++)
        pick_rev(c, &revs[i]);
    return ST_OK;
}

static enum status write_picks(struct choice *c, struct err *e)
{
    for (uint32_t i = 0; i < c->picks.n; i++) {
        const struct doc_pick *p = &c->picks.v[i];

        if (i > 0)
            buf_char(c->out, ',');
        if (p->node < 0) {
            c->missing(c, p->missing);
            continue;
        }
        buf_str(c->out, "{\"ok\":");
        TRY(doc_write_json(c->db, c->id, &c->picks.info, p->node, &c->opts, c->a, c->out, e));
        buf_char(c->out, '}');
    }
    return ST_OK;
}

static enum status open_picks(struct choice *c, const struct doc_open *want, struct err *e)
{
    struct rev *revs = arena_array(c->a, (size_t)want->nrevs + 1, sizeof *revs);
    bool found;

    c->latest = want->latest;
    for (uint32_t i = 0; i < want->nrevs && !want->all; i++)
        TRY(rev_parse(c->a, want->revs[i], &revs[i], e));
    TRY(pick(c, want->all ? NULL : revs, want->all ? 0 : want->nrevs, &found, e));
    return found || !want->all ? ST_OK : err_set(e, ST_NOT_FOUND, "missing");
}

enum status doc_open_list(struct db *db, struct slice id, const struct doc_open *want,
                          struct arena *a, struct doc_picks *out, struct err *e)
{
    struct choice c = {.db = db, .id = id, .a = a};

    TRY(open_picks(&c, want, e));
    *out = c.picks;
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_open_revs(struct db *db, struct slice id, const struct slice *revs, uint32_t nrevs,
                          bool all, bool latest, const struct doc_read_opts *opts, struct arena *a,
                          struct buf *out, struct err *e)
{
    struct doc_open want = {.revs = revs, .nrevs = nrevs, .all = all, .latest = latest};
    struct choice c = {
        .db = db, .id = id, .opts = *opts, .a = a, .out = out, .missing = write_missing};

    TRY(open_picks(&c, &want, e));
    buf_char(out, '[');
    TRY(write_picks(&c, e));
    buf_char(out, ']');
    return ST_OK;
}

/* ---- _bulk_get ---- */

const char *doc_bulk_word(enum status st, const struct err *e)
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
    opts->attachments |= n != 0; /* an empty list asks for nothing, as CouchDB has it */
    return ST_OK;
}

/* What one item picks, in c; without a revision all leaves. */
static enum status pick_item(struct choice *c, const struct json *item, struct err *e)
{
    const struct json *id = json_get(item, "id"), *rev = json_get(item, "rev");
    struct rev r;
    bool found;

    e->word = NULL;
    if (id == NULL)
        return err_set(e, ST_BAD_REQUEST, "document id missed");
    if (id->type != JSON_STRING)
        return err_word(e, ST_BAD_REQUEST, "illegal_docid", "Document id must be a string");
    TRY(doc_id_check(c->id, e));
    if (rev != NULL && rev->type != JSON_STRING)
        return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
    if (rev != NULL)
        TRY(rev_parse(c->a, rev->text, &r, e));
    TRY(item_atts_since(item, c->a, &c->opts, e));
    TRY(pick(c, rev != NULL ? &r : NULL, rev != NULL ? 1 : 0, &found, e));
    return found || rev != NULL ? ST_OK : err_set(e, ST_NOT_FOUND, "missing");
}

static struct doc_bulk name_item(const struct json *item)
{
    const struct json *id = json_get(item, "id"), *rev = json_get(item, "rev");

    return (struct doc_bulk){.id = json_is(id, JSON_STRING) ? id->text : SLICE_LIT(""),
                             .rev = json_is(rev, JSON_STRING) ? rev->text : SLICE_LIT("undefined")};
}

enum status doc_bulk_list(struct db *db, const struct json *item, bool latest, struct arena *a,
                          struct doc_bulk *out, struct err *e)
{
    struct choice c = {.db = db, .latest = latest, .opts = out->opts, .a = a};
    struct doc_bulk named = name_item(item);

    c.id = out->id = named.id;
    out->rev = named.rev;
    TRY(pick_item(&c, item, e));
    out->opts = c.opts;
    out->picks = c.picks;
    return ST_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the contract's parameters */
enum status doc_bulk_get(struct db *db, const struct json *item, bool latest,
                         const struct doc_read_opts *opts, struct arena *a, struct buf *out,
                         struct err *e)
{
    struct doc_bulk named = name_item(item);
    struct choice c = {.db = db,
                       .id = named.id,
                       .latest = latest,
                       .opts = *opts,
                       .a = a,
                       .out = out,
                       .missing = write_missing_item};
    enum status st;
    size_t before;

    buf_str(out, "{\"id\":");
    json_write_str(out, c.id);
    buf_str(out, ",\"docs\":[");
    before = out->n;
    st = pick_item(&c, item, e);
    if (st == ST_OK)
        st = write_picks(&c, e);
    if (st != ST_OK) {
        out->n = before;
        buf_str(out, "{\"error\":");
        doc_bulk_error(&named, doc_bulk_word(st, e), e->reason, out);
        buf_char(out, '}');
    }
    buf_str(out, "]}");
    return ST_OK;
}

/* ---- _revs_diff ---- */

struct diff {
    struct db *db;
    struct arena *a; /* reset for every document */
    struct buf *out;
    bool bare;  /* _missing_revs: the revisions and nothing else */
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
            buf_str(d->out, d->bare ? ":[\"" : ":{\"missing\":[\"");
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
    if (d->bare)
        return ST_OK;
    if (found)
        write_ancestors(&info, gen, d);
    buf_char(d->out, '}');
    return ST_OK;
}

static enum status diff_all(struct diff *d, const struct json *req, struct err *e)
{
    enum status st = ST_OK;

    if (!json_is(req, JSON_OBJECT))
        return err_set(e, ST_BAD_REQUEST, "Request body must be a JSON object");
    d->a = arena_new();
    buf_char(d->out, '{');
    for (const struct json *v = req->first; v != NULL && st == ST_OK; v = v->next) {
        thread_pause();
        st = diff_one(d, v, e);
        arena_reset(d->a);
    }
    buf_char(d->out, '}');
    arena_free(d->a);
    return st;
}

enum status doc_revs_diff(struct db *db, const struct json *req, struct arena *a, struct buf *out,
                          struct err *e)
{
    struct diff d = {.db = db, .out = out};

    (void)a;
    return diff_all(&d, req, e);
}

enum status doc_missing_revs(struct db *db, const struct json *req, struct buf *out, struct err *e)
{
    struct diff d = {.db = db, .out = out, .bare = true};

    return diff_all(&d, req, e);
}
