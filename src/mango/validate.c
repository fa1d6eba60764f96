/* mango/validate.c: see validate.h. A set holds the compiled selectors of one database; most are
 * empty, and then a write costs one look into the table. Sets are counted, so that one may be used
 * while it is forgotten. */
#include "mango/validate.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mutex.h"
#include "couch/changes.h"
#include "couch/stores.h"
#include "mango/ddoc_fields.h"
#include "mango/selector.h"

struct rule {
    struct slice ddoc;
    struct selector *selector; /* NULL: validate_doc_update is no selector; nothing passes */
};
struct rule_set {
    atomic_uint refs;
    struct arena *arena; /* NULL: no rules */
    struct rule *rules;
    uint32_t n;
};
struct validators {
    struct mutex lock; /* RANK_LEAF */
    struct map *sets;  /* uuid of the database -> struct rule_set */
    uint64_t changes;  /* of design documents, seen so far */
};

static struct slice key_of(const struct db *db)
{
    return slice_of((const char *)db_uuid(db), 16);
}

static void release(struct rule_set *set)
{
    if (set == NULL || atomic_fetch_sub(&set->refs, 1) != 1)
        return;
    arena_free(set->arena);
    mem_free(set);
}

/* ---- reading design documents ---- */

static bool is_query(const struct json *doc)
{
    const struct json *lang = json_get(doc, "language");

    return json_is(lang, JSON_STRING) && slice_eq(lang->text, SLICE_LIT("query"));
}

static struct selector *compile(struct arena *a, const struct json *sel)
{
    struct selector *out = NULL;
    const struct json *copy; /* the arena's */
    struct buf text;
    struct err e;

    buf_init(&text, LIMIT_JSON_BYTES);
    json_write(&text, sel);
    if (!buf_ok(&text) || json_parse(a, arena_dup(a, buf_slice(&text)), &copy, &e) != ST_OK ||
        copy->type != JSON_OBJECT || selector_compile(a, copy, &out, &e) != ST_OK)
        out = NULL;
    buf_free(&text);
    return out;
}

static void add_rule(struct rule_set *set, struct slice id, const struct json *sel)
{
    struct rule *rules;

    if (set->arena == NULL)
        set->arena = arena_new();
    rules = arena_array(set->arena, (size_t)set->n + 1, sizeof(*rules));
    if (set->n != 0)
        memcpy(rules, set->rules, set->n * sizeof(*rules));
    rules[set->n] = (struct rule){arena_dup(set->arena, id), compile(set->arena, sel)};
    if (rules[set->n].selector == NULL)
        log_warn("%.*s: validate_doc_update is no selector; its database takes no documents",
                 (int)id.n, id.p);
    set->rules = rules;
    set->n++;
}

static enum status read_rules(struct db *db, struct rule_set *set, struct err *e)
{
    struct all_docs_opts o = {
        .inclusive_end = true, .limit = UINT64_MAX, .prefix = SLICE_LIT("_design/")};
    struct all_docs *r = all_docs_new(db, &o);
    struct arena *a = arena_new();
    enum status st = ST_OK;
    bool got = true;

    while (st == ST_OK && got) {
        struct docinfo_head head;
        struct docinfo info;
        struct doc_body body;
        const struct json *doc, *sel;
        struct slice id;

        arena_reset(a);
        st = all_docs_next_doc(r, &id, &head, &got, e);
        if (st != ST_OK || !got || (head.flags & DOCINFO_DELETED) != 0)
            continue;
        st = doc_winner(db, id, a, &info, &body, e);
        if (st == ST_OK)
            st = json_parse(a, body.json, &doc, e);
        if (st != ST_OK || !is_query(doc))
            continue;
        sel = json_get(doc, "validate_doc_update");
        if (sel != NULL)
            add_rule(set, id, sel);
    }
    all_docs_free(r);
    arena_free(a);
    return st;
}

/* The set of this database, counted. It is kept only if no design document changed while it was
 * read: otherwise it serves this one write, which came before the change was acknowledged. */
static enum status find_set(struct validators *v, struct db *db, struct rule_set **out,
                            struct err *e)
{
    struct rule_set *set, *old = NULL;
    uint64_t changes;
    enum status st;

    mutex_lock(&v->lock);
    changes = v->changes;
    set = map_get(v->sets, key_of(db));
    if (set != NULL)
        atomic_fetch_add(&set->refs, 1);
    mutex_unlock(&v->lock);
    *out = set;
    if (set != NULL)
        return ST_OK;
    set = mem_zalloc(sizeof(*set));
    atomic_init(&set->refs, 1);
    st = read_rules(db, set, e);
    if (st != ST_OK) {
        release(set);
        return st;
    }
    mutex_lock(&v->lock);
    if (changes == v->changes && !db_dropped(db)) {
        atomic_fetch_add(&set->refs, 1);
        old = map_put(v->sets, key_of(db), set);
    }
    mutex_unlock(&v->lock);
    release(old);
    *out = set;
    return ST_OK;
}

static void observe(void *arg, const struct commit_event *ev, size_t n)
{
    struct validators *v = arg;

    for (size_t i = 0; i < n; i++) {
        struct rule_set *old;

        if (!ev[i].dropped && !slice_starts(ev[i].docid, SLICE_LIT("_design/")))
            continue;
        mutex_lock(&v->lock);
        v->changes++;
        old = map_remove(v->sets, key_of(ev[i].db));
        mutex_unlock(&v->lock);
        release(old);
    }
}

/* ---- one write ---- */

/* One revision of what is written: that one, or the one before it. */
struct version {
    const struct rev *rev;
    bool deleted;
    const struct doc_body *body;
};

static enum status parse_doc(const struct commit_op *op, const struct version *v, struct arena *a,
                             const struct json **out, struct err *e)
{
    struct buf text;
    enum status st;

    buf_init(&text, LIMIT_JSON_BYTES);
    st = doc_write_winner(op->db, op->docid, v->rev, v->deleted, v->body, &text, e);
    if (st == ST_OK)
        st = json_parse(a, arena_dup(a, buf_slice(&text)), out, e);
    buf_free(&text);
    return st;
}

/* The revision that this one replaces: the nearest ancestor that is here with its body; -1: none.
 * *known: the revision is here already, and nothing will be written. */
static int find_old(const struct revtree *t, const struct commit_op *op, bool *known)
{
    *known = revtree_find(t, &op->path[0]) >= 0;
    for (uint32_t i = 1; i < op->npath; i++) {
        int at = revtree_find(t, &op->path[i]);

        if (at < 0)
            continue;
        while (at >= 0 && !t->nodes[at].has_body)
            at = t->nodes[at].parent;
        return at >= 0 && t->nodes[at].deleted ? -1 : at;
    }
    return -1;
}

/* *old NULL: there is none. */
static enum status load_old(const struct commit_op *op, struct arena *a, const struct json **old,
                            bool *known, struct err *e)
{
    struct docinfo info;
    struct doc_body body;
    enum status st = doc_info(op->db, NULL, op->docid, a, &info, e);
    const struct revnode *n;
    int at;

    *known = false;
    *old = NULL;
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    at = find_old(&info.tree, op, known);
    if (at < 0 || *known)
        return ST_OK;
    n = &info.tree.nodes[at];
    st = doc_load_rev(op->db, op->docid, n, a, &body, e);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    return parse_doc(op, &(struct version){&n->rev, false, &body}, a, old, e);
}

static const struct json *user_json(struct arena *a, const struct commit_op *op,
                                    const struct doc_user *u)
{
    struct json *o = json_object(a), *roles = json_array(a);

    json_put_str(a, o, "db", db_name(op->db));
    if (u != NULL && u->name.n != 0)
        json_put_str(a, o, "name", u->name);
    else
        json_put(a, o, "name", json_null(a));
    for (size_t i = 0; u != NULL && i < u->nroles; i++)
        json_add(a, roles, json_str(a, u->roles[i]));
    if (u == NULL) /* the server itself: a replication */
        json_add(a, roles, json_str(a, SLICE_LIT("_admin")));
    json_put(a, o, "roles", roles);
    return o;
}

static enum status subject(const struct commit_op *op, const struct doc_user *u, struct arena *a,
                           struct json **out, struct err *e)
{
    const struct json *new_doc, *old_doc, *sec;
    bool known;

    *out = NULL;
    TRY(load_old(op, a, &old_doc, &known, e));
    if (known)
        return ST_OK;
    TRY(parse_doc(op, &(struct version){&op->path[0], op->deleted, &op->body}, a, &new_doc, e));
    TRY(json_parse(a, db_security(op->db, a), &sec, e));
    *out = json_object(a);
    json_put(a, *out, "newDoc", new_doc);
    json_put(a, *out, "oldDoc", old_doc != NULL ? old_doc : json_null(a));
    json_put(a, *out, "userCtx", user_json(a, op, u));
    json_put(a, *out, "secObj", sec);
    return ST_OK;
}

static enum status apply_rules(const struct rule_set *set, const struct json *what, struct arena *a,
                               struct err *e)
{
    for (uint32_t i = 0; i < set->n; i++)
        if (set->rules[i].selector == NULL)
            return err_set(e, ST_FORBIDDEN, "validate_doc_update of %.*s is not a selector",
                           (int)(set->rules[i].ddoc.n < 200 ? set->rules[i].ddoc.n : 200),
                           set->rules[i].ddoc.p);
        else if (!selector_match(set->rules[i].selector, what, a))
            return err_set(e, ST_FORBIDDEN, "document is not valid");
    return ST_OK;
}

static enum status check_options(const struct commit_op *op, const struct json *partitioned,
                                 struct err *e)
{
    bool yes;

    if (partitioned == NULL)
        return ST_OK;
    if (!json_bool(partitioned, &yes))
        return err_set(e, ST_BAD_DDOC, "`options.partitioned` field must have boolean type");
    if (yes && !db_partitioned(op->db))
        return err_set(e, ST_BAD_DDOC,
                       "partitioned option cannot be true in a non-partitioned database.");
    return ST_OK;
}

/* A design document says what is valid only if that can be understood. */
static enum status check_ddoc(const struct commit_op *op, struct arena *a, struct err *e)
{
    const struct json *doc, *sel;
    struct selector *compiled;
    struct err why;

    if (op->deleted || !op->new_edits)
        return ST_OK;
    TRY(json_parse(a, op->body.json, &doc, e));
    TRY(ddoc_fields_check(doc, e));
    TRY(check_options(op, json_get(json_get(doc, "options"), "partitioned"), e));
    sel = json_get(doc, "validate_doc_update");
    if (sel == NULL || !is_query(doc))
        return ST_OK;
    if (sel->type != JSON_OBJECT)
        return err_set(e, ST_BAD_DDOC, "`validate_doc_update` must be a selector");
    if (selector_compile(a, sel, &compiled, &why) != ST_OK)
        return err_set(e, ST_BAD_DDOC, "`validate_doc_update`: %.250s", why.reason);
    return ST_OK;
}

static enum status validate(void *arg, const struct commit_op *op, const struct doc_user *user,
                            struct err *e)
{
    struct arena *a;
    struct rule_set *set;
    struct json *what;
    enum status st;

    if (slice_starts(op->docid, SLICE_LIT("_design/"))) {
        a = arena_new();
        st = check_ddoc(op, a, e);
        arena_free(a);
        return st;
    }
    TRY(find_set(arg, op->db, &set, e));
    if (set->n == 0) {
        release(set);
        return ST_OK;
    }
    a = arena_new();
    st = subject(op, user, a, &what, e);
    if (st == ST_OK && what != NULL)
        st = apply_rules(set, what, a, e);
    arena_free(a);
    release(set);
    return st;
}

/* ---- life ---- */

struct validators *validators_new(struct stores *all)
{
    struct validators *v = mem_zalloc(sizeof(*v));

    mutex_init(&v->lock, RANK_LEAF);
    v->sets = map_new();
    stores_observe(all, observe, v);
    stores_set_validator(all, validate, v);
    return v;
}

static bool forget(void *arg, struct slice key, void *value)
{
    (void)arg, (void)key;
    release(value);
    return true;
}

void validators_free(struct validators *v)
{
    if (v == NULL)
        return;
    map_each(v->sets, forget, NULL);
    map_free(v->sets);
    mutex_fini(&v->lock);
    mem_free(v);
}
