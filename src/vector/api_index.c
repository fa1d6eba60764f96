/* vector/api_index.c: POST, GET and DELETE of _index: definitions live in design documents and are
 * written through the ordinary write path. Threads: a worker per request. */
#include "base/text.h"
#include "couch/doc_write.h"
#include "vector/vecdb_priv.h"

enum { TRIES = 5, NAME_MAX_BYTES = 240 };

/* ---- the design document ---- */

struct ddoc {
    struct slice id;        /* with "_design/" */
    const struct json *doc; /* NULL: not there */
    struct slice rev;
};

static enum status read_ddoc(struct db *db, struct arena *a, struct ddoc *d, struct err *e)
{
    struct doc_read_opts o = {0};
    struct docinfo info;
    struct buf b;
    int node;
    enum status st = doc_find(db, d->id, SLICE_LIT(""), a, &info, &node, e);

    d->doc = NULL;
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    buf_init(&b, LIMIT_JSON_BYTES);
    st = doc_write_json(db, d->id, &info, node, &o, a, &b, e);
    if (st == ST_OK)
        st = json_parse(a, arena_dup(a, buf_slice(&b)), &d->doc, e);
    buf_free(&b);
    if (st == ST_OK)
        d->rev = rev_text(a, &info.tree.nodes[node].rev);
    return st;
}

static enum status write_ddoc(struct db *db, struct arena *a, const struct doc_edit *ed,
                              struct err *e)
{
    struct commit_op op;

    TRY(doc_edit_prepare(db, a, ed, &op, e));
    TRY(commit_wait(db_store(db), &op, 1, e));
    if (op.st != ST_OK)
        *e = op.err;
    return op.st;
}

/* A copy of obj in which member `name` is v (NULL: taken out). */
static struct json *with_member(struct arena *a, const struct json *obj, struct slice name,
                                const struct json *v)
{
    struct json *o = json_object(a);
    bool put = false;

    for (const struct json *m = obj != NULL ? obj->first : NULL; m != NULL; m = m->next) {
        if (!slice_eq(m->key, name)) {
            json_put_key(a, o, m->key, m);
        } else if (v != NULL && !put) {
            json_put_key(a, o, name, v);
            put = true;
        }
    }
    if (v != NULL && !put)
        json_put_key(a, o, name, v);
    return o;
}

static bool same_json(const struct json *x, const struct json *y)
{
    struct buf b;
    bool same;
    size_t n;

    buf_init(&b, 32u << 20);
    json_write(&b, x);
    n = b.n;
    json_write(&b, y);
    same = b.n == 2 * n && memcmp(b.p, b.p + n, n) == 0;
    buf_free(&b);
    return same;
}

/* ---- create ---- */

struct creation {
    struct slice ddoc, name; /* ddoc with "_design/" */
    struct vdef def;
};

static enum status name_member(const struct json *body, const char *member, const char *word,
                               struct slice *out, struct err *e)
{
    const struct json *v = json_get(body, member);

    *out = slice_of("", 0);
    if (v == NULL || v->type == JSON_NULL)
        return ST_OK;
    if (v->type != JSON_STRING || v->text.n == 0 || v->text.n > NAME_MAX_BYTES)
        return err_word(e, ST_BAD_REQUEST, word, "%s must be a string of 1 to %d bytes", member,
                        NAME_MAX_BYTES);
    *out = v->text;
    return ST_OK;
}

static enum status check_members(const struct json *body, struct err *e)
{
    static const char *const names[] = {"index", "type", "name", "ddoc", "w", "partitioned"};

    for (const struct json *m = body->first; m != NULL; m = m->next) {
        bool ok = false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            ok = ok || slice_eq(m->key, slice_str(names[i]));
        if (!ok)
            return err_word(e, ST_BAD_REQUEST, "invalid_key", "Invalid key %.*s for this request",
                            (int)(m->key.n > 60 ? 60 : m->key.n), m->key.p);
    }
    return ST_OK;
}

static enum status parse_creation(struct arena *a, const struct json *body, struct creation *c,
                                  struct err *e)
{
    struct slice ddoc;

    if (!json_is(body, JSON_OBJECT))
        return err_set(e, ST_BAD_REQUEST, "the request body must be an object");
    TRY(check_members(body, e));
    if (json_get(body, "index") == NULL)
        return err_word(e, ST_BAD_REQUEST, "missing_required_key", "Missing required key: index");
    TRY(vdef_parse(a, json_get(body, "index"), &c->def, e));
    TRY(name_member(body, "name", "invalid_index_name", &c->name, e));
    TRY(name_member(body, "ddoc", "invalid_ddoc_name", &ddoc, e));
    if (c->name.n == 0)
        c->name = vdef_auto_name(a, &c->def);
    if (ddoc.n == 0)
        ddoc = c->name;
    c->ddoc = slice_starts(ddoc, SLICE_LIT("_design/"))
                  ? ddoc
                  : arena_printf(a, "_design/%.*s", (int)ddoc.n, ddoc.p);
    return doc_id_check(c->ddoc, e);
}

/* The new design document; NULL: it holds this very definition already. */
static enum status new_ddoc(struct arena *a, const struct creation *c, const struct ddoc *old,
                            const struct json **out, struct err *e)
{
    const struct json *lang = json_get(old->doc, "language"), *all, *mine;
    struct json *row = json_object(a), *doc;

    *out = NULL;
    if (old->doc != NULL &&
        (!json_is(lang, JSON_STRING) || !slice_eq(lang->text, SLICE_LIT("query"))))
        return err_word(e, ST_BAD_REQUEST, "invalid_index",
                        "the design document's language is not \"query\"");
    all = json_get(old->doc, "vectors");
    mine = json_get(json_get_s(json_is(all, JSON_OBJECT) ? all : NULL, c->name), "index");
    if (mine != NULL && same_json(mine, c->def.json))
        return ST_OK;
    json_put(a, row, "index", c->def.json);
    all = with_member(a, json_is(all, JSON_OBJECT) ? all : NULL, c->name, row);
    doc = with_member(a, old->doc, SLICE_LIT("_id"), json_str(a, c->ddoc));
    doc = with_member(a, doc, SLICE_LIT("language"), json_str(a, SLICE_LIT("query")));
    *out = with_member(a, doc, SLICE_LIT("vectors"), all);
    return ST_OK;
}

static enum status try_create(struct db *db, struct arena *a, const struct creation *c,
                              bool *created, struct err *e)
{
    struct ddoc old = {.id = c->ddoc};
    struct doc_edit ed = {.id = c->ddoc, .new_edits = true};

    TRY(read_ddoc(db, a, &old, e));
    TRY(new_ddoc(a, c, &old, &ed.doc, e));
    *created = ed.doc != NULL;
    return *created ? write_ddoc(db, a, &ed, e) : ST_OK;
}

enum status vectors_index_create(struct vectors *v, struct db *db, const struct json *body,
                                 struct arena *a, struct buf *out, struct err *e)
{
    struct creation c = {0};
    bool created = false;
    enum status st = ST_CONFLICT;

    (void)v;
    TRY(parse_creation(a, body, &c, e));
    for (int i = 0; i < TRIES && st == ST_CONFLICT; i++)
        st = try_create(db, a, &c, &created, e);
    if (st != ST_OK)
        return st;
    buf_printf(out, "{\"result\":\"%s\",\"id\":", created ? "created" : "exists");
    json_write_str(out, c.ddoc);
    buf_str(out, ",\"name\":");
    json_write_str(out, c.name);
    buf_char(out, '}');
    return ST_OK;
}

/* ---- list ---- */

enum status vectors_index_list(struct vectors *v, struct db *db, struct arena *a, struct buf *out,
                               struct err *e)
{
    struct vdb *d = vdb_get(v, db);
    struct vdefs *l = NULL;
    enum status st = vdb_defs(d, &l, e);

    if (st == ST_OK) {
        buf_printf(out,
                   "{\"total_rows\":%u,\"indexes\":[{\"ddoc\":null,\"name\":\"_all_docs\","
                   "\"type\":\"special\",\"def\":{\"fields\":[{\"_id\":\"asc\"}]}}",
                   l->n + 1);
        for (uint32_t i = 0; i < l->n; i++) {
            buf_char(out, ',');
            vdef_write(&l->def[i], true, a, out);
        }
        buf_str(out, "]}");
    }
    vdefs_put(d, l);
    vdb_put(d);
    return st;
}

/* ---- delete ---- */

static bool holds_more(const struct json *doc)
{
    static const char *const keys[] = {"vectors", "views", "indexes", "nouveau"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct json *m = json_get(doc, keys[i]);
        if (json_is(m, JSON_OBJECT) && m->count > 0)
            return true;
    }
    return false;
}

static enum status try_delete(struct db *db, struct slice id, struct slice name, struct arena *a,
                              struct err *e)
{
    struct ddoc old = {.id = id};
    struct doc_edit ed = {.id = id, .new_edits = true};
    const struct json *all, *doc;

    TRY(read_ddoc(db, a, &old, e));
    all = json_get(old.doc, "vectors");
    if (!json_is(all, JSON_OBJECT) || json_get_s(all, name) == NULL)
        return err_word(e, ST_NOT_FOUND, "index_not_found", "index not found");
    doc = with_member(a, old.doc, SLICE_LIT("vectors"), with_member(a, all, name, NULL));
    if (holds_more(doc)) {
        ed.doc = doc;
    } else {
        ed.delete_it = true;
        ed.rev = old.rev;
    }
    return write_ddoc(db, a, &ed, e);
}

enum status vectors_index_delete(struct vectors *v, struct db *db, struct slice ddoc,
                                 struct slice name, struct arena *a, struct err *e)
{
    enum status st = ST_CONFLICT;
    struct slice id = slice_starts(ddoc, SLICE_LIT("_design/"))
                          ? ddoc
                          : arena_printf(a, "_design/%.*s", (int)ddoc.n, ddoc.p);

    (void)v;
    for (int i = 0; i < TRIES && st == ST_CONFLICT; i++)
        st = try_delete(db, id, name, a, e);
    return st;
}
