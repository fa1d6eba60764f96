/* auth/auth.c: who a request's sender is: server admins, the server's secret, and the ways to show
 * who one is, in CouchDB's order (security notes C1).
 *
 * A stored hash costs 100 ms, so nobody computes one where other requests would wait: auth_check
 * says needs_hash first and is called again on a thread that may. */
#include "auth/auth.h"

#include "auth/auth_priv.h"
#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/time.h"

void auth_options_default(struct auth_options *o)
{
    *o = (struct auth_options){.iterations = PASSWORD_ITERATIONS,
                               .timeout_s = 600,
                               .persistent = true,
                               .same_site = SLICE_LIT("lax"),
                               .lockout = true,
                               .lockout_after = 5,
                               .lockout_s = 300,
                               .roles_name = SLICE_LIT("_couchdb.roles")};
}

static void random_secret(struct auth *a)
{
    unsigned char raw[32];

    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), a->secret);
}

struct auth *auth_new(const struct auth_options *opt)
{
    struct auth *a = mem_zalloc(sizeof(*a));
    struct auth_options defaults;

    if (opt == NULL) {
        auth_options_default(&defaults);
        opt = &defaults;
    }
    auth_set_options(a, opt);
    mutex_init(&a->lock, RANK_LEAF);
    a->admins = map_new();
    a->cache = cache_new();
    random_secret(a);
    a->secret_text = auth_opt(a)->secret.n != 0 ? auth_opt(a)->secret : slice_str(a->secret);
    return a;
}

void auth_set_options(struct auth *a, const struct auth_options *opt)
{
    struct options *o = mem_zalloc(sizeof(*o));

    o->opt = *opt;
    o->older = atomic_load(&a->options);
    atomic_store(&a->options, o);
}

const struct auth_options *auth_opt(struct auth *a)
{
    return &((struct options *)atomic_load(&a->options))->opt;
}

static bool free_admin(void *arg, struct slice key, void *value)
{
    struct admin *ad = value;

    (void)arg, (void)key;
    mem_free(ad->text);
    mem_free(ad);
    return true;
}

void auth_free(struct auth *a)
{
    struct options *older;

    if (a == NULL)
        return;
    map_each(a->admins, free_admin, NULL);
    map_free(a->admins);
    cache_free(a->cache);
    mutex_fini(&a->lock);
    for (struct options *o = atomic_load(&a->options); o != NULL; o = older) {
        older = o->older;
        mem_free(o);
    }
    mem_free(a);
}

static enum status read_secret(struct auth *a, const char *file, struct err *e)
{
    struct buf b;
    enum status st;

    buf_init(&b, 4096);
    st = fs_read_file(file, &b, e);
    if (st == ST_OK && b.n < 64)
        st = err_set(e, ST_BAD_REQUEST, "%s does not hold a secret", file);
    if (st == ST_OK)
        memcpy(a->secret, b.p, 64);
    buf_free(&b);
    return st;
}

enum status auth_attach(struct auth *a, struct stores *all, const char *secret_file, struct err *e)
{
    char line[66];

    a->stores = all;
    if (fs_exists(secret_file))
        return read_secret(a, secret_file, e);
    memcpy(line, a->secret, 64);
    line[64] = '\n';
    return fs_write_atomic(secret_file, slice_of(line, 65), e); /* 0600 */
}

/* ---- admins ---- */

/* The salt of a clear password is the same at every start, and another one for another password. */
static void hash_clear(struct auth *a, struct admin *ad, struct slice name, struct slice password)
{
    unsigned char mac[32], inner[32];

    hmac_sha256(slice_str(a->secret), password, inner);
    hmac_sha256(slice_of(inner, sizeof(inner)), name, mac);
    ad->text = mem_zalloc(2 * PASSWORD_SALT_BYTES + 1);
    hex_encode(mac, PASSWORD_SALT_BYTES, ad->text);
    password_make(&ad->password, password, slice_str(ad->text), auth_opt(a)->iterations);
}

static enum status set_password(struct auth *a, struct admin *ad, struct slice name,
                                struct slice password, struct err *e)
{
    bool malformed;
    struct slice copy;

    ad->text = mem_dup(password.p, password.n);
    copy = slice_of(ad->text, password.n);
    if (password_parse_admin(copy, &ad->password, &malformed))
        return ST_OK;
    if (malformed)
        return err_set(e, ST_BAD_REQUEST, "the stored password of admin \"%.*s\" is malformed",
                       (int)name.n, name.p);
    mem_free(ad->text);
    hash_clear(a, ad, name, password);
    return ST_OK;
}

enum status auth_add_admin(struct auth *a, struct slice name, struct slice password, struct err *e)
{
    struct admin *ad;
    enum status st;

    if (name.n == 0 || name.p[0] == '_' || memchr(name.p, ':', name.n) != NULL)
        return err_set(e, ST_BAD_REQUEST,
                       "an admin's name may not be empty, start with '_' or hold a ':'");
    if (password.n == 0)
        return err_set(e, ST_BAD_REQUEST, "the password of admin \"%.*s\" is empty", (int)name.n,
                       name.p);
    ad = mem_zalloc(sizeof(*ad));
    st = set_password(a, ad, name, password, e);
    mutex_lock(&a->lock);
    if (st == ST_OK)
        ad = map_put(a->admins, name, ad);
    mutex_unlock(&a->lock);
    if (ad != NULL)
        (void)free_admin(NULL, name, ad);
    return st;
}

void auth_remove_admin(struct auth *a, struct slice name)
{
    struct admin *ad;

    mutex_lock(&a->lock);
    ad = map_remove(a->admins, name);
    mutex_unlock(&a->lock);
    if (ad != NULL)
        (void)free_admin(NULL, name, ad);
}

bool auth_find_admin(struct auth *a, struct slice name, struct arena *arena, struct password *out)
{
    const struct admin *ad;

    mutex_lock(&a->lock);
    ad = map_get(a->admins, name);
    if (ad != NULL) {
        *out = ad->password;
        out->salt = arena_dup(arena, ad->password.salt);
    }
    mutex_unlock(&a->lock);
    return ad != NULL;
}

struct listing {
    struct arena *arena;
    struct json *to;
};

static bool list_admin(void *arg, struct slice name, void *value)
{
    struct listing *l = arg;

    json_put_key(l->arena, l->to, arena_dup(l->arena, name),
                 json_str(l->arena, password_admin_text(value, l->arena)));
    return true;
}

struct json *auth_list_admins(struct auth *a, struct arena *arena)
{
    struct listing l = {arena, json_object(arena)};

    mutex_lock(&a->lock);
    map_each(a->admins, list_admin, &l);
    mutex_unlock(&a->lock);
    return l.to;
}

enum status auth_hash_admin(struct auth *a, struct slice password, struct arena *arena,
                            struct slice *out, struct err *e)
{
    char *salt = arena_zalloc(arena, 2 * PASSWORD_SALT_BYTES + 1);
    unsigned char raw[PASSWORD_SALT_BYTES];
    struct password p;
    bool malformed;

    *out = password;
    if (password_parse_admin(password, &p, &malformed))
        return ST_OK;
    if (malformed || password.n == 0)
        return err_set(e, ST_BAD_REQUEST, "the password is empty, or a malformed hash");
    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), salt);
    password_make(&p, password, slice_str(salt), auth_opt(a)->iterations);
    *out = password_admin_text(&p, arena);
    return ST_OK;
}

bool auth_has_admin(struct auth *a)
{
    size_t n;

    mutex_lock(&a->lock);
    n = map_count(a->admins);
    mutex_unlock(&a->lock);
    return n != 0;
}

/* ---- passwords ---- */

static enum status compute(struct auth *a, const struct attempt *t, struct err *e)
{
    bool ok;

    if (!cache_hash_begin(a->cache))
        return err_set(e, ST_UNAVAILABLE, "too many logins at once");
    ok = password_matches(t->password, t->text, auth_opt(a)->iterations);
    cache_hash_end(a->cache);
    if (!ok) {
        cache_failed(a->cache, t, auth_opt(a)->lockout_s);
        return err_set(e, ST_UNAUTHORIZED, "Name or password is incorrect.");
    }
    cache_remember(a->cache, t);
    return ST_OK;
}

struct login {
    struct attempt t;
    struct account acc;
    bool may_hash;
};

/* The lock comes first: a locked guesser must not learn from the cache what is right. */
static enum status check_password(struct auth *a, struct login *l, struct arena *arena,
                                  struct auth_user *out, struct err *e)
{
    struct attempt *t = &l->t;

    TRY(account_find(a, t->name, arena, &l->acc, e));
    t->password = l->acc.has_password ? &l->acc.password : NULL;
    if (auth_opt(a)->lockout && cache_locked(a->cache, t, auth_opt(a)->lockout_after))
        return err_set(e, ST_FORBIDDEN,
                       "Account is temporarily locked due to multiple authentication failures");
    if (!cache_was_verified(a->cache, t)) {
        if (!l->may_hash) {
            out->needs_hash = true;
            return ST_OK;
        }
        TRY(compute(a, t, e));
    }
    cache_succeeded(a->cache, t);
    account_to_user(&l->acc, t->name, "default", out);
    return ST_OK;
}

static enum status check_basic(struct auth *a, const struct auth_request *rq, struct arena *arena,
                               struct auth_user *out, struct err *e)
{
    struct slice h = rq->authorization, text;
    struct login l = {.t = {.peer = rq->peer}, .may_hash = rq->may_hash};
    const char *colon;
    char *plain;
    size_t n;

    if (h.n < 6 || !slice_ieq(slice_of(h.p, 6), SLICE_LIT("Basic ")))
        return ST_OK; /* no credentials, or a scheme that we do not know: ignored (A.2) */
    text = slice_trim(slice_of(h.p + 6, h.n - 6));
    plain = arena_alloc(arena, text.n + 4);
    if (!base64_decode(text, plain, &n))
        return err_set(e, ST_BAD_REQUEST, "Authorization header has invalid base64 value");
    colon = memchr(plain, ':', n);
    if (colon == NULL)
        return err_set(e, ST_BAD_REQUEST, "Authorization header has no colon");
    if (slice_eq(slice_of(plain, n), SLICE_LIT("_:_")))
        return ST_OK; /* how a browser is made to forget */
    l.t.name = slice_of(plain, (size_t)(colon - plain));
    l.t.text = slice_of(colon + 1, n - l.t.name.n - 1);
    return check_password(a, &l, arena, out, e);
}

/* ---- sessions ---- */

static struct slice salt_of(const struct account *acc)
{
    return acc->has_password ? acc->password.salt : SLICE_LIT("");
}

static struct slice new_session(struct auth *a, const struct account *acc, struct slice name,
                                struct arena *arena)
{
    struct slice v = session_make(arena, a->secret_text, name, salt_of(acc), time_wall_ms() / 1000);

    return session_header(auth_opt(a), arena, v);
}

static enum status check_cookie(struct auth *a, struct slice header, struct arena *arena,
                                struct auth_user *out, struct err *e)
{
    struct slice value = session_cookie(header);
    uint64_t now = time_wall_ms() / 1000;
    struct account acc;
    struct session s;

    if (value.n == 0 || value.n > LIMIT_COOKIE_BYTES)
        return ST_OK;
    if (!session_parse(arena, value, &s))
        return err_set(e, ST_BAD_REQUEST,
                       "Malformed AuthSession cookie. Please clear your cookies.");
    if (now >= s.time_s + auth_opt(a)->timeout_s || s.time_s > now + auth_opt(a)->timeout_s)
        return ST_OK;
    TRY(account_find(a, s.user, arena, &acc, e));
    if (!acc.found || !acc.has_password || !session_valid(&s, a->secret_text, salt_of(&acc)))
        return ST_OK;
    account_to_user(&acc, s.user, "cookie", out);
    if ((s.time_s + auth_opt(a)->timeout_s - now) * 10 < (uint64_t)auth_opt(a)->timeout_s * 9)
        out->set_cookie = new_session(a, &acc, s.user, arena);
    return ST_OK;
}

enum status auth_login(struct auth *a, const struct auth_login *in, struct arena *arena,
                       struct auth_user *out, struct err *e)
{
    struct login l = {.t = {.name = in->name, .text = in->password, .peer = in->peer},
                      .may_hash = true};

    *out = (struct auth_user){0};
    TRY(check_password(a, &l, arena, out, e));
    out->set_cookie = new_session(a, &l.acc, in->name, arena);
    return ST_OK;
}

struct slice auth_logout_cookie(struct auth *a, struct arena *arena)
{
    return session_header(auth_opt(a), arena, SLICE_LIT(""));
}

unsigned auth_handlers(struct auth *a, const char *names[4])
{
    unsigned n = 0;

    names[n++] = "cookie";
    if (auth_opt(a)->proxy)
        names[n++] = "proxy";
    if (auth_opt(a)->jwt)
        names[n++] = "jwt";
    names[n++] = "default";
    return n;
}

enum status auth_check(struct auth *a, const struct auth_request *rq, struct arena *arena,
                       struct auth_user *out, struct err *e)
{
    struct slice h = rq->authorization;

    *out = (struct auth_user){0};
    TRY(check_cookie(a, rq->cookie, arena, out, e));
    if (out->by != NULL)
        return ST_OK;
    if (auth_opt(a)->proxy && proxy_check(a->secret_text, rq, arena, out))
        return ST_OK;
    if (auth_opt(a)->jwt && h.n > 7 && slice_ieq(slice_of(h.p, 7), SLICE_LIT("Bearer ")))
        return token_check(auth_opt(a), slice_trim(slice_of(h.p + 7, h.n - 7)), arena, out, e);
    return check_basic(a, rq, arena, out, e);
}
