/* app/settings.c: see settings.h. What is effective is always made anew from the base and all
 * changes, so taking one back needs no memory of what it hid. Values are typed (config_auth.c),
 * bounded, and hold no control characters: nothing can be smuggled into the file. */
#include "app/settings.h"

#include <stdatomic.h>
#include <stdio.h>

#include "app/config_auth.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/text.h"
#include "couch/stores.h"

/* What differs from the base, in memory and in the file: a change that is not to persist leaves the
 * stored value alone. p is NULL where there is none; never in both. The settings' arena. */
struct change {
    struct change *next;
    struct slice section, key;
    struct slice value;  /* effective */
    struct slice stored; /* in the file */
};
struct web_copy {
    struct web_options opt;
    struct web_copy *older;
};
struct settings {
    struct settings_ops ops;
    const struct config *base;
    struct auth *auth;
    struct stores *stores;
    struct web *web;
    struct web_copy *webs; /* the writer's */
    char *file;
    struct mutex lock; /* RANK_HTTP: what follows */
    struct cond free;
    bool busy; /* somebody changes things, and writes the file without the lock */
    struct arena *arena;
    struct change *changes;
    struct config now; /* effective */
};

/* What may be seen and changed. Another name of a section is CouchDB's older one. */
static const struct {
    const char *section, *key, *old_section;
} allowed[] = {
    {"chttpd", "enable_cors", "httpd"},
    {"chttpd", "require_valid_user", NULL},
    {"chttpd_auth", "allow_persistent_cookies", "couch_httpd_auth"},
    {"chttpd_auth", "cookie_domain", "couch_httpd_auth"},
    {"chttpd_auth", "iterations", "couch_httpd_auth"},
    {"chttpd_auth", "require_valid_user", "couch_httpd_auth"},
    {"chttpd_auth", "same_site", "couch_httpd_auth"},
    {"chttpd_auth", "secure_cookies", "couch_httpd_auth"},
    {"chttpd_auth", "timeout", "couch_httpd_auth"},
    {"chttpd_auth_lockout", "max_lifetime", NULL},
    {"chttpd_auth_lockout", "mode", NULL},
    {"chttpd_auth_lockout", "threshold", NULL},
    {"cors", "credentials", NULL},
    {"cors", "headers", NULL},
    {"cors", "max_age", NULL},
    {"cors", "methods", NULL},
    {"cors", "origins", NULL},
    {"couchdb", "max_attachment_size", NULL},
    {"couchdb", "max_document_size", NULL},
    {"couchdb", "users_db_security_editable", NULL},
    {"log", "level", NULL},
};

static bool is_admins(struct slice section)
{
    return slice_eq(section, SLICE_LIT("admins"));
}

/* *section becomes today's name of it. */
static bool is_allowed(struct slice *section, struct slice key)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        struct slice name = slice_str(allowed[i].section);

        if (!slice_eq(key, slice_str(allowed[i].key)))
            continue;
        if (slice_eq(*section, name) || (allowed[i].old_section != NULL &&
                                         slice_eq(*section, slice_str(allowed[i].old_section)))) {
            *section = name;
            return true;
        }
    }
    return is_admins(*section);
}

static enum status check(struct setting *s, struct err *e)
{
    if (!is_allowed(&s->section, s->key))
        return err_set(e, ST_FORBIDDEN,
                       "this option cannot be changed over HTTP: give it to the server at its "
                       "start");
    if (s->value.n > LIMIT_SETTING_BYTES || s->key.n > LIMIT_SETTING_NAME_BYTES)
        return err_set(e, ST_BAD_REQUEST, "the option or its value is too long");
    for (size_t i = 0; i < s->value.n; i++)
        if ((unsigned char)s->value.p[i] < ' ' || s->value.p[i] == 0x7f)
            return err_set(e, ST_BAD_REQUEST, "a value has no control characters");
    for (size_t i = 0; i < s->key.n; i++)
        if ((unsigned char)s->key.p[i] <= ' ' || strchr("=[];#:\x7f", s->key.p[i]) != NULL)
            return err_set(e, ST_BAD_REQUEST, "a name has no blanks and none of = [ ] ; # :");
    return ST_OK;
}

/* ---- what is effective ---- */

/* Base and changes; one that makes no sense is the error. Admins are not part of it. */
static enum status combine(const struct settings *s, const struct change *changes,
                           struct config *out, struct err *e)
{
    *out = *s->base;
    out->arena = s->arena;
    for (const struct change *c = changes; c != NULL; c = c->next)
        if (c->value.p != NULL && !is_admins(c->section))
            TRY(config_set(out, c->section, c->key, c->value, e));
    return ST_OK;
}

static void publish(struct settings *s, const struct config *c)
{
    struct web_copy *w = mem_zalloc(sizeof(*w));

    w->opt = c->web;
    w->older = s->webs;
    s->webs = w;
    atomic_store(&s->web->now, &w->opt);
    auth_set_options(s->auth, &c->auth);
    log_set_level((enum log_level)c->log_level);
    stores_set_limits(s->stores, c->max_doc, c->max_att);
    mutex_lock(&s->lock);
    s->now = *c;
    mutex_unlock(&s->lock);
}

static const struct change *find(const struct change *list, struct slice section, struct slice key)
{
    while (list != NULL && !(slice_eq(list->section, section) && slice_eq(list->key, key)))
        list = list->next;
    return list;
}

static bool has_value(const struct change *list, struct slice section, struct slice key)
{
    const struct change *c = find(list, section, key);

    return c != NULL && c->value.p != NULL;
}

static enum status base_admin(struct settings *s, struct slice name, struct err *e)
{
    for (unsigned i = s->base->nadmins; i-- > 0;)
        if (slice_eq(s->base->admins[i].name, name))
            return auth_add_admin(s->auth, name, s->base->admins[i].password, e);
    auth_remove_admin(s->auth, name);
    return ST_OK;
}

static bool in_base(const struct settings *s, struct slice name)
{
    for (unsigned i = 0; i < s->base->nadmins; i++)
        if (slice_eq(s->base->admins[i].name, name))
            return true;
    return false;
}

/* From the old list to the new one. */
static enum status change_admins(struct settings *s, const struct change *old,
                                 const struct change *list, struct err *e)
{
    for (const struct change *c = list; c != NULL; c = c->next)
        if (c->value.p != NULL && is_admins(c->section))
            TRY(auth_add_admin(s->auth, c->key, c->value, e));
    for (const struct change *c = old; c != NULL; c = c->next)
        if (is_admins(c->section) && !has_value(list, c->section, c->key))
            TRY(base_admin(s, c->key, e));
    return ST_OK;
}

/* ---- the file ---- */

static enum status write_file(const struct settings *s, const struct change *list, struct err *e)
{
    struct buf b;
    enum status st;

    buf_init(&b, (size_t)4 << 20);
    buf_str(&b, "; written by the server: PUT and DELETE of /_node/_local/_config\n");
    for (const struct change *c = list; c != NULL; c = c->next)
        if (c->stored.p != NULL)
            buf_printf(&b, "[%.*s]\n%.*s = %.*s\n", (int)c->section.n, c->section.p, (int)c->key.n,
                       c->key.p, (int)c->stored.n, c->stored.p);
    st = buf_ok(&b) ? fs_write_atomic(s->file, buf_slice(&b), e)
                    : err_set(e, ST_TOO_LARGE, "too many options");
    buf_free(&b);
    return st;
}

struct reading {
    struct arena *arena;
    struct change *first, **end;
    unsigned n;
};

static enum status read_one(void *arg, struct slice section, struct slice key, struct slice value,
                            struct err *e)
{
    struct reading *r = arg;
    struct setting s = {section, key, value, true};
    struct change *c = arena_zalloc(r->arena, sizeof(*c));

    TRY(check(&s, e));
    if (++r->n > LIMIT_SETTINGS)
        return err_set(e, ST_TOO_LARGE, "more than %d options", LIMIT_SETTINGS);
    c->section = arena_dup(r->arena, s.section);
    c->key = arena_dup(r->arena, key);
    c->value = c->stored = arena_dup(r->arena, value);
    *r->end = c;
    r->end = &c->next;
    return ST_OK;
}

static enum status read_file(const struct settings *s, struct arena *a, struct change **out,
                             struct err *e)
{
    struct reading r = {.arena = a, .end = &r.first};
    struct buf b;
    enum status st;

    *out = NULL;
    if (!fs_exists(s->file))
        return ST_OK;
    buf_init(&b, (size_t)4 << 20);
    st = fs_read_file(s->file, &b, e);
    if (st == ST_OK)
        st = config_parse_ini(buf_slice(&b), read_one, &r, e);
    buf_free(&b);
    *out = r.first;
    if (st != ST_OK)
        log_error("%s: %s", s->file, e->reason);
    return st;
}

/* ---- changing ---- */

static void begin(struct settings *s)
{
    mutex_lock(&s->lock);
    while (s->busy)
        cond_wait(&s->free, &s->lock);
    s->busy = true;
    mutex_unlock(&s->lock);
}

static void end(struct settings *s)
{
    mutex_lock(&s->lock);
    s->busy = false;
    cond_signal(&s->free);
    mutex_unlock(&s->lock);
}

/* The list with this change in it; the settings' arena keeps both. */
static struct change *with(struct settings *s, const struct setting *in)
{
    struct change *first = NULL, **at = &first;
    struct change new = {.section = arena_dup(s->arena, in->section),
                         .key = arena_dup(s->arena, in->key)};
    const struct change *old = find(s->changes, in->section, in->key);

    if (in->value.p != NULL)
        new.value = arena_dup(s->arena, in->value);
    if (in->persist)
        new.stored = new.value;
    else if (old != NULL)
        new.stored = old->stored;
    for (const struct change *c = s->changes; c != NULL; c = c->next) {
        if (c == old)
            continue;
        *at = arena_alloc(s->arena, sizeof(**at));
        **at = *c;
        (*at)->next = NULL;
        at = &(*at)->next;
    }
    if (new.value.p != NULL || new.stored.p != NULL) {
        *at = arena_alloc(s->arena, sizeof(**at));
        **at = new;
    }
    return first;
}

static size_t count(const struct change *c)
{
    size_t n = 0;

    for (; c != NULL; c = c->next)
        n++;
    return n;
}

/* An admin that the start gave is there at the next one: it cannot be taken away from here. */
static enum status check_delete(const struct settings *s, const struct setting *in, struct err *e)
{
    const struct change *c = find(s->changes, in->section, in->key);

    if (in->value.p != NULL || (c != NULL && (c->value.p != NULL || in->persist)))
        return ST_OK;
    if (is_admins(in->section) && in_base(s, in->key))
        return err_set(e, ST_FORBIDDEN,
                       "this admin was given at the server's start and stays until then");
    return err_set(e, ST_NOT_FOUND, "unknown_config_value");
}

static enum status commit(struct settings *s, const struct setting *in, struct err *e)
{
    struct change *list = with(s, in), *old = s->changes;
    struct config c;

    if (count(list) > LIMIT_SETTINGS)
        return err_set(e, ST_TOO_LARGE, "more than %d options", LIMIT_SETTINGS);
    TRY(check_delete(s, in, e));
    TRY(combine(s, list, &c, e));
    if (in->persist)
        TRY(write_file(s, list, e));
    TRY(change_admins(s, old, list, e));
    s->changes = list;
    publish(s, &c);
    return ST_OK;
}

static struct json *read_all(void *arg, struct arena *a);

static enum status change(void *arg, const struct setting *in, struct arena *a, struct slice *old,
                          struct err *e)
{
    struct settings *s = arg;
    struct setting want = *in;
    const struct json *was;
    enum status st;

    *old = SLICE_LIT("");
    TRY(check(&want, e));
    if (is_admins(want.section) && want.value.p != NULL)
        TRY(auth_hash_admin(s->auth, want.value, a, &want.value, e));
    was = json_get_s(json_get_s(read_all(s, a), want.section), want.key);
    if (was != NULL)
        *old = was->text;
    begin(s);
    st = commit(s, &want, e);
    end(s);
    return st;
}

static enum status reload(void *arg, struct err *e)
{
    struct settings *s = arg;
    struct change *list;
    struct config c;
    enum status st;

    begin(s);
    st = read_file(s, s->arena, &list, e);
    if (st == ST_OK)
        st = combine(s, list, &c, e);
    if (st == ST_OK)
        st = change_admins(s, s->changes, list, e);
    if (st == ST_OK) {
        s->changes = list;
        publish(s, &c);
    }
    end(s);
    return st;
}

static struct json *read_all(void *arg, struct arena *a)
{
    struct settings *s = arg;
    struct json *all = json_object(a), *section = NULL;
    struct config now;

    mutex_lock(&s->lock);
    now = s->now;
    mutex_unlock(&s->lock);
    json_put(a, all, "admins", auth_list_admins(s->auth, a));
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (i == 0 || strcmp(allowed[i].section, allowed[i - 1].section) != 0) {
            section = json_object(a);
            json_put(a, all, allowed[i].section, section);
        }
        json_put_str(a, section, allowed[i].key,
                     config_get(&now, allowed[i].section, allowed[i].key, a));
    }
    return all;
}

/* ---- life ---- */

const struct settings_ops *settings_ops(const struct settings *s)
{
    return &s->ops;
}

static enum status start(struct settings *s, struct err *e)
{
    struct change *list;
    struct config c;

    for (unsigned i = 0; i < s->base->nadmins; i++)
        TRY(auth_add_admin(s->auth, s->base->admins[i].name, s->base->admins[i].password, e));
    TRY(read_file(s, s->arena, &list, e));
    TRY(combine(s, list, &c, e));
    TRY(change_admins(s, NULL, list, e));
    s->changes = list;
    publish(s, &c);
    return ST_OK;
}

enum status settings_start(const struct config *cfg, struct auth *auth, struct stores *stores,
                           struct web *web, struct settings **out, struct err *e)
{
    struct settings *s = mem_zalloc(sizeof(*s));
    size_t n = strlen(cfg->data) + 16;

    *out = s;
    s->ops = (struct settings_ops){s, read_all, change, reload};
    s->base = cfg;
    s->auth = auth;
    s->stores = stores;
    s->web = web;
    s->file = mem_alloc(n);
    (void)snprintf(s->file, n, "%s/local.ini", cfg->data);
    mutex_init(&s->lock, RANK_HTTP);
    cond_init(&s->free);
    s->arena = arena_new();
    return start(s, e);
}

void settings_free(struct settings *s)
{
    struct web_copy *older;

    if (s == NULL)
        return;
    for (struct web_copy *w = s->webs; w != NULL; w = older) {
        older = w->older;
        mem_free(w);
    }
    arena_free(s->arena);
    cond_fini(&s->free);
    mutex_fini(&s->lock);
    mem_free(s->file);
    mem_free(s);
}
