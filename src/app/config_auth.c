/* app/config_auth.c: the options of identity, rights and other origins, with CouchDB's names. */
#include "app/config_auth.h"

#include <stddef.h>

#include "base/log.h"
#include "base/text.h"

enum kind { BOOL, UINT, TEXT };
struct option {
    const char *section, *key;
    enum kind kind;
    size_t at; /* in struct config */
    uint64_t min, max;
};
#define AUTH(m) offsetof(struct config, auth.m)
#define WEB(m)  offsetof(struct config, web.m)
static const struct option options[] = {
    {"chttpd_auth", "iterations", UINT, AUTH(iterations), 1, UINT32_MAX},
    {"chttpd_auth", "timeout", UINT, AUTH(timeout_s), 1, 31536000},
    {"chttpd_auth", "allow_persistent_cookies", BOOL, AUTH(persistent), 0, 0},
    {"chttpd_auth", "secure_cookies", BOOL, AUTH(secure), 0, 0},
    {"chttpd_auth", "same_site", TEXT, AUTH(same_site), 0, 0},
    {"chttpd_auth", "cookie_domain", TEXT, AUTH(domain), 0, 0},
    {"chttpd_auth", "secret", TEXT, AUTH(secret), 0, 0},
    {"chttpd_auth", "require_valid_user", BOOL, WEB(require_valid_user), 0, 0},
    {"chttpd", "require_valid_user", BOOL, WEB(require_valid_user), 0, 0},
    {"chttpd_auth_lockout", "threshold", UINT, AUTH(lockout_after), 1, 1000000},
    {"jwt_auth", "roles_claim_name", TEXT, AUTH(roles_name), 0, 0},
    {"couchdb", "users_db_security_editable", BOOL, WEB(users_security_editable), 0, 0},
    {"chttpd", "enable_cors", BOOL, WEB(cors), 0, 0},
    {"cors", "credentials", BOOL, WEB(cors_credentials), 0, 0},
    {"cors", "origins", TEXT, WEB(cors_origins), 0, 0},
    {"cors", "methods", TEXT, WEB(cors_methods), 0, 0},
    {"cors", "headers", TEXT, WEB(cors_headers), 0, 0},
    {"cors", "max_age", UINT, WEB(cors_max_age), 0, 86400},
};

void config_auth_default(struct config *c)
{
    auth_options_default(&c->auth);
    c->web = (struct web_options){.cors_max_age = 600};
}

static enum status bad_value(struct err *e, struct slice section, const char *key)
{
    return err_set(e, ST_BAD_REQUEST, "configuration: the value of [%.*s] %s makes no sense",
                   (int)section.n, section.p, key);
}

static bool set_bool(struct slice v, bool *out)
{
    *out = slice_ieq(v, SLICE_LIT("true"));
    return *out || slice_ieq(v, SLICE_LIT("false"));
}

static bool set_uint(const struct option *o, struct slice v, unsigned *out)
{
    uint64_t n;

    if (!parse_u64(v, &n) || n < o->min || n > o->max)
        return false;
    *out = (unsigned)n;
    return true;
}

static bool set_known(struct config *c, const struct option *o, struct slice v)
{
    void *at = (char *)c + o->at;

    if (o->kind == BOOL)
        return set_bool(v, at);
    if (o->kind == UINT)
        return set_uint(o, v, at);
    *(struct slice *)at = v;
    return true;
}

static bool contains(struct slice text, const char *word)
{
    return text.n != 0 && memmem(text.p, text.n, word, strlen(word)) != NULL;
}

static struct slice unescape_lines(struct arena *a, struct slice v)
{
    char *p = arena_alloc(a, v.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < v.n; i++) {
        bool end = i + 1 < v.n && v.p[i] == '\\' && v.p[i + 1] == 'n';

        p[n++] = end ? '\n' : v.p[i];
        i += end;
    }
    return slice_of(p, n);
}

static bool add_jwt_key(struct config *c, const char *id, struct slice v)
{
    struct auth_jwt_key *k = &c->auth.jwt_keys[c->auth.njwt_keys];
    char *bytes = arena_alloc(c->arena, v.n + 4);

    if (c->auth.njwt_keys == AUTH_JWT_KEYS_MAX || v.n == 0)
        return false;
    k->id = arena_dup(c->arena, slice_str(id));
    k->key = slice_of(bytes, 0);
    if (slice_starts(k->id, SLICE_LIT("hmac:"))) {
        if (!base64_decode(v, bytes, &k->key.n) || k->key.n == 0)
            return false;
    } else if (slice_starts(k->id, SLICE_LIT("rsa:")) || slice_starts(k->id, SLICE_LIT("ec:"))) {
        k->key = unescape_lines(c->arena, v);
    } else {
        return false;
    }
    c->auth.njwt_keys++;
    return true;
}

static bool set_lockout(struct config *c, const char *key, struct slice v, bool *known)
{
    uint64_t ms;

    if (strcmp(key, "mode") == 0) {
        c->auth.lockout = slice_eq(v, SLICE_LIT("enforce"));
        return c->auth.lockout || slice_eq(v, SLICE_LIT("off"));
    }
    if (strcmp(key, "max_lifetime") == 0) {
        if (!parse_u64(v, &ms) || ms < 1000 || ms > 86400000)
            return false;
        c->auth.lockout_s = (unsigned)(ms / 1000);
        return true;
    }
    *known = false;
    return true;
}

enum status config_auth_set(struct config *c, struct slice section, const char *key,
                            struct slice value, bool *known, struct err *e)
{
    bool ok = true;

    *known = true;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (slice_eq(section, slice_str(options[i].section)) && strcmp(key, options[i].key) == 0)
            return set_known(c, &options[i], value) ? ST_OK : bad_value(e, section, key);
    if (slice_eq(section, SLICE_LIT("jwt_keys"))) {
        ok = add_jwt_key(c, key, value);
    } else if (slice_eq(section, SLICE_LIT("chttpd_auth_lockout"))) {
        ok = set_lockout(c, key, value, known);
    } else if (slice_eq(section, SLICE_LIT("chttpd")) &&
               strcmp(key, "authentication_handlers") == 0) {
        c->auth.jwt = contains(value, "jwt_authentication_handler");
        c->auth.proxy = contains(value, "proxy_authentication_handler");
    } else {
        *known = false;
    }
    return ok ? ST_OK : bad_value(e, section, key);
}

static struct slice option_text(const struct config *c, const struct option *o, struct arena *a)
{
    const void *at = (const char *)c + o->at;

    if (o->kind == BOOL)
        return *(const bool *)at ? SLICE_LIT("true") : SLICE_LIT("false");
    if (o->kind == UINT)
        return arena_printf(a, "%u", *(const unsigned *)at);
    return *(const struct slice *)at;
}

struct slice config_auth_get(const struct config *c, const char *section, const char *key,
                             struct arena *a)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (strcmp(section, options[i].section) == 0 && strcmp(key, options[i].key) == 0)
            return option_text(c, &options[i], a);
    if (strcmp(key, "mode") == 0)
        return c->auth.lockout ? SLICE_LIT("enforce") : SLICE_LIT("off");
    return arena_printf(a, "%u", c->auth.lockout_s * 1000); /* max_lifetime */
}
