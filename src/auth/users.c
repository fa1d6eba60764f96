/* auth/users.c: accounts, which are documents "org.couchdb.user:NAME" of the database _users, read
 * for every request that says it is somebody: so a changed password or role counts at once. The
 * rules for writing them are those of CouchDB's own validation function, with its words.
 * Threads: workers (reads LevelDB and the log). */
#include "auth/auth_priv.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "couch/doc_read.h"
#include "couch/stores.h"

static const char prefix[] = "org.couchdb.user:";

static struct slice id_of(struct arena *a, struct slice name)
{
    size_t n = sizeof(prefix) - 1;
    char *p = arena_alloc(a, n + name.n + 1);

    memcpy(p, prefix, n);
    memcpy(p + n, name.p, name.n);
    return slice_of(p, n + name.n);
}

bool auth_owns_user_doc(const struct auth_user *u, struct slice id)
{
    size_t n = sizeof(prefix) - 1;

    return u->name.n != 0 && slice_starts(id, slice_str(prefix)) &&
           slice_eq(slice_of(id.p + n, id.n - n), u->name);
}

/* ---- reading ---- */

struct stored {
    bool found;
    bool conflicts;
    struct slice rev;
    const struct json *doc;
};

static enum status load(struct db *db, struct slice id, struct arena *arena, struct stored *out,
                        struct err *e)
{
    struct docinfo info;
    struct doc_body body;
    enum status st;

    *out = (struct stored){0};
    if (id.n > LIMIT_DOCID_BYTES)
        return ST_OK;
    st = doc_winner(db, id, arena, &info, &body, e);
    if (st == ST_NOT_FOUND || (st == ST_OK && (info.flags & DOCINFO_DELETED) != 0))
        return ST_OK;
    TRY(st);
    TRY(json_parse(arena, body.json, &out->doc, e));
    out->rev = rev_text(arena, &info.tree.nodes[revtree_winner(&info.tree)].rev);
    out->conflicts = (info.flags & DOCINFO_CONFLICTS) != 0;
    out->found = true;
    return ST_OK;
}

/* A document may have come by replication: no role that would be a right of the server's counts,
 * whatever it says. */
static bool good_role(const struct json *v)
{
    return v->type == JSON_STRING && v->text.n != 0 &&
           (v->text.p[0] != '_' || slice_eq(v->text, SLICE_LIT("_metrics")));
}

static void take_roles(struct account *acc, const struct json *roles, struct arena *arena)
{
    size_t max = json_is(roles, JSON_ARRAY) && !roles->packed ? roles->count : 0;
    struct slice *list = arena_array(arena, max + 1, sizeof(*list));

    if (acc->admin)
        list[acc->nroles++] = SLICE_LIT("_admin");
    for (const struct json *v = max != 0 ? roles->first : NULL; v != NULL; v = v->next)
        if (good_role(v))
            list[acc->nroles++] = v->text;
    acc->roles = list;
}

static bool is_account(const struct json *doc, struct slice name)
{
    const struct json *n = json_get(doc, "name"), *t = json_get(doc, "type");

    return json_is(n, JSON_STRING) && slice_eq(n->text, name) && json_is(t, JSON_STRING) &&
           slice_eq(t->text, SLICE_LIT("user"));
}

static enum status find_user(struct auth *a, struct slice name, struct arena *arena,
                             struct stored *out, struct err *e)
{
    struct db *db;
    enum status st;

    *out = (struct stored){0};
    if (a->stores == NULL || name.n == 0)
        return ST_OK;
    st = stores_db(a->stores, SLICE_LIT("_users"), &db, e);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    TRY(st);
    st = load(db, id_of(arena, name), arena, out, e);
    db_release(db);
    if (st == ST_OK && out->found && !is_account(out->doc, name))
        out->found = false;
    return st;
}

enum status account_find(struct auth *a, struct slice name, struct arena *arena,
                         struct account *out, struct err *e)
{
    struct stored s;

    *out = (struct account){0};
    out->admin = out->found = auth_find_admin(a, name, arena, &out->password);
    TRY(find_user(a, name, arena, &s, e));
    if (out->admin) {
        out->has_password = true;
    } else if (s.found) {
        if (s.conflicts)
            return err_set(e, ST_UNAUTHORIZED,
                           "User document conflicts must be resolved before the document is used "
                           "for authentication purposes.");
        out->found = true;
        /* A second factor that we cannot ask for is not left out. */
        out->has_password =
            json_get(s.doc, "totp") == NULL && password_of_doc(s.doc, &out->password);
    }
    take_roles(out, s.found ? json_get(s.doc, "roles") : NULL, arena);
    return ST_OK;
}

void user_set_roles(struct auth_user *u, const struct slice *roles, size_t n)
{
    u->roles = roles;
    u->nroles = n;
    u->admin = auth_has_role(u, SLICE_LIT("_admin"));
}

void account_to_user(const struct account *acc, struct slice name, const char *by,
                     struct auth_user *out)
{
    *out = (struct auth_user){.name = name, .by = by};
    user_set_roles(out, acc->roles, acc->nroles);
}

/* ---- writing ---- */

static enum status forbid(struct err *e, const char *reason)
{
    return err_set(e, ST_FORBIDDEN, "%s", reason);
}

static struct slice text_of(const struct json *doc, const char *name)
{
    const struct json *v = json_get(doc, name);

    return json_is(v, JSON_STRING) ? v->text : SLICE_LIT("");
}

static enum status check_roles(const struct json *doc, struct err *e)
{
    const struct json *roles = json_get(doc, "roles");

    if (roles == NULL || roles->type == JSON_NULL)
        return forbid(e, "doc.roles must exist");
    if (roles->type != JSON_ARRAY)
        return forbid(e, "doc.roles must be an array");
    if (roles->packed)
        return forbid(e, "doc.roles can only contain strings");
    for (const struct json *v = roles->first; v != NULL; v = v->next)
        if (v->type != JSON_STRING)
            return forbid(e, "doc.roles can only contain strings");
    for (const struct json *v = roles->first; v != NULL; v = v->next)
        if (v->text.n != 0 && !good_role(v))
            return forbid(e, "No system roles (starting with underscore) in users db.");
    return ST_OK;
}

static enum status check_hash(const struct json *doc, struct err *e)
{
    const struct json *iterations = json_get(doc, "iterations");
    struct slice scheme = text_of(doc, "password_scheme");
    int64_t n;

    if (json_get(doc, "password_sha") != NULL && text_of(doc, "salt").n == 0)
        return forbid(e, "Users with password_sha must have a salt.");
    if (json_get(doc, "password_scheme") == NULL || slice_eq(scheme, SLICE_LIT("simple")))
        return ST_OK;
    if (!slice_eq(scheme, SLICE_LIT("pbkdf2")))
        return forbid(e, "Password scheme not supported.");
    if (json_is(json_get(doc, "password"), JSON_STRING))
        return ST_OK; /* a new hash takes the place of this one */
    if (!json_is(iterations, JSON_NUMBER))
        return forbid(e, "iterations must be a number.");
    if (!json_int(iterations, &n) || n < 1 || n > PASSWORD_ITERATIONS_MAX)
        return err_set(e, ST_FORBIDDEN, "iterations must be from 1 to %d.",
                       PASSWORD_ITERATIONS_MAX);
    if (!json_is(json_get(doc, "derived_key"), JSON_STRING))
        return forbid(e, "derived_key must be a string.");
    return ST_OK;
}

static enum status check_form(const struct json *doc, struct slice id, struct arena *arena,
                              struct err *e)
{
    const struct json *password = json_get(doc, "password");
    struct slice name = text_of(doc, "name");

    if (!slice_eq(text_of(doc, "type"), SLICE_LIT("user")))
        return forbid(e, "doc.type must be user");
    if (name.n == 0)
        return forbid(e, "doc.name is required");
    TRY(check_roles(doc, e));
    if (!slice_eq(id, id_of(arena, name)))
        return forbid(e, "Doc ID must be of the form org.couchdb.user:name");
    if (name.p[0] == '_')
        return forbid(e, "Username may not start with underscore.");
    if (memchr(name.p, ':', name.n) != NULL)
        return forbid(e, "Character `:` is not allowed in usernames.");
    if (password != NULL && password->type != JSON_STRING && password->type != JSON_NULL)
        return forbid(e, "doc.password must be a string.");
    return check_hash(doc, e);
}

static bool has_role(const struct json *list, struct slice role)
{
    for (const struct json *v = list->first; v != NULL; v = v->next)
        if (v->type == JSON_STRING && slice_eq(v->text, role))
            return true;
    return false;
}

static bool contains_all(const struct json *list, const struct json *of)
{
    for (const struct json *v = of->first; v != NULL; v = v->next)
        if (v->type == JSON_STRING && !has_role(list, v->text))
            return false;
    return true;
}

/* What those who are no admins may change: their own document, from its newest revision, and not
 * its roles. Grafting revisions (new_edits=false) could bring back roles that were taken away. */
static enum status check_owner(const struct auth_user_edit *ed, struct slice rev,
                               const struct stored *old, struct err *e)
{
    const struct json *roles = json_get(ed->doc, "roles"), *before;

    if (!ed->new_edits)
        return forbid(e, "Only admins may write revisions of other servers to the users db.");
    if (old->found && rev.n != 0 && !slice_eq(rev, old->rev))
        return err_set(e, ST_CONFLICT, "Document update conflict.");
    if (ed->doc == NULL || roles == NULL)
        return ST_OK;
    if (!old->found)
        return roles->count == 0 ? ST_OK : forbid(e, "Only _admin may set roles");
    before = json_get(old->doc, "roles");
    if (!json_is(before, JSON_ARRAY) || before->packed)
        return roles->count == 0 ? ST_OK : forbid(e, "Only _admin may edit roles");
    if (before->count != roles->count || !contains_all(before, roles) ||
        !contains_all(roles, before))
        return forbid(e, "Only _admin may edit roles");
    return ST_OK;
}

static bool is_hash_member(struct slice key)
{
    static const char *const all[] = {"password_scheme", "pbkdf2_prf",  "iterations", "salt",
                                      "derived_key",     "password_sha"};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (slice_eq(key, slice_str(all[i])))
            return true;
    return false;
}

static void copy_members(struct arena *a, struct json *to, const struct json *from, bool hash)
{
    for (const struct json *v = from->first; v != NULL; v = v->next)
        if (is_hash_member(v->key) == hash && !slice_eq(v->key, SLICE_LIT("password")))
            json_put_key(a, to, v->key, v);
}

static enum status put_new_hash(struct auth *a, struct json *to, struct slice text,
                                struct arena *arena, struct err *e)
{
    char *salt = arena_zalloc(arena, 2 * PASSWORD_SALT_BYTES + 1), *key;
    unsigned char raw[PASSWORD_SALT_BYTES];
    struct password p;

    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), salt);
    if (!cache_hash_begin(a->cache))
        return err_set(e, ST_UNAVAILABLE, "too many passwords to hash at once");
    password_make(&p, text, slice_str(salt), auth_opt(a)->iterations);
    cache_hash_end(a->cache);
    key = arena_zalloc(arena, 2 * p.key_len + 1);
    hex_encode(p.key, p.key_len, key);
    json_put_cstr(arena, to, "password_scheme", "pbkdf2");
    json_put_cstr(arena, to, "pbkdf2_prf", "sha256");
    json_put_cstr(arena, to, "salt", salt);
    json_put_i64(arena, to, "iterations", p.iterations);
    json_put_cstr(arena, to, "derived_key", key);
    return ST_OK;
}

/* The document without a clear password, and with the hash that belongs there: a new one, the one
 * that it brings (admins: as copies from other servers do), or the one it had. */
static enum status replace_password(struct auth *a, struct auth_user_edit *ed,
                                    const struct json *old, struct arena *arena, struct err *e)
{
    const struct json *password = json_get(ed->doc, "password");
    struct json *doc = json_object(arena);
    bool deleted = json_is(json_get(ed->doc, "_deleted"), JSON_TRUE);

    copy_members(arena, doc, ed->doc, false);
    if (json_is(password, JSON_STRING) && !deleted)
        TRY(put_new_hash(a, doc, password->text, arena, e));
    else if (ed->db_admin)
        copy_members(arena, doc, ed->doc, true);
    else if (old != NULL)
        copy_members(arena, doc, old, true);
    ed->doc = doc;
    return ST_OK;
}

/* Others' documents are not there for them, and who is nobody may sign up. */
static bool may_touch(const struct auth_user_edit *ed, struct slice id)
{
    return ed->db_admin || ed->user->name.n == 0 || auth_owns_user_doc(ed->user, id);
}

enum status auth_users_prepare(struct auth *a, struct auth_user_edit *ed, struct arena *arena,
                               struct err *e)
{
    struct slice id = ed->id.n != 0 ? ed->id : text_of(ed->doc, "_id");
    struct slice rev = ed->rev.n != 0 ? ed->rev : text_of(ed->doc, "_rev");
    struct stored old = {0};
    bool deleted = ed->delete_it || json_is(json_get(ed->doc, "_deleted"), JSON_TRUE);

    if (slice_starts(id, SLICE_LIT("_design/")) || slice_starts(id, SLICE_LIT("_local/")))
        return ed->db_admin ? ST_OK : forbid(e, "Only admins may write this to the users db.");
    if (!may_touch(ed, id) || (!ed->db_admin && ed->user->name.n == 0 && (deleted || !ed->doc)))
        return err_set(e, ST_NOT_FOUND, "missing");
    if (ed->doc != NULL && json_has_dup(ed->doc))
        return err_set(e, ST_BAD_REQUEST, "a member is named twice");
    if (!deleted && ed->doc != NULL)
        TRY(check_form(ed->doc, id, arena, e));
    if (!ed->db_admin) {
        TRY(load(ed->db, id, arena, &old, e));
        if (old.found && ed->user->name.n == 0)
            return err_set(e, ST_CONFLICT, "Document update conflict.");
        if (!old.found && ed->attachment)
            return err_set(e, ST_NOT_FOUND, "missing");
        TRY(check_owner(ed, rev, &old, e));
    }
    return ed->doc != NULL ? replace_password(a, ed, old.doc, arena, e) : ST_OK;
}

const struct json *auth_users_redact(const struct json *doc, struct arena *arena)
{
    struct json *out = json_object(arena);

    copy_members(arena, out, doc, false);
    return out;
}
