/* auth/auth.c: admins and Basic authentication (security notes C1).
 *
 * A verified name and password is remembered for VERIFIED_US under an HMAC with a key of this
 * process: the password itself is not kept, and a hash of 600,000 rounds is paid once and not per
 * request. At most HASHES_AT_ONCE hashes run at a time: guessing costs the guesser, not the server.
 */
#include "auth/auth.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/text.h"
#include "base/time.h"

enum {
    ITERATIONS = 600000,
    ITERATIONS_MAX = 2000000,
    VERIFIED_US = 600000000,
    VERIFIED_MAX = 10000,
    HASHES_AT_ONCE = 2,
    HASHES_WAITING_MAX = 32,
    SALT_BYTES = 16,
    KEY_MAX = 64
};

struct admin {
    char prf[8];
    char *salt; /* as text: CouchDB hashes the hex digits */
    unsigned iterations;
    unsigned char key[KEY_MAX];
    size_t key_len;
};
struct verified {
    uint64_t until_us;
};
struct auth {
    struct map *admins;
    unsigned char secret[32];
    struct mutex lock; /* RANK_LEAF: verified, hashing, waiting */
    struct cond hashed;
    struct map *verified; /* HMAC -> struct verified */
    unsigned hashing, waiting;
};

struct auth *auth_new(void)
{
    struct auth *a = mem_zalloc(sizeof(*a));

    a->admins = map_new();
    a->verified = map_new();
    mutex_init(&a->lock, RANK_LEAF);
    cond_init(&a->hashed);
    random_bytes(a->secret, sizeof(a->secret));
    return a;
}

static bool free_admin(void *arg, struct slice key, void *value)
{
    struct admin *ad = value;

    (void)arg, (void)key;
    mem_free(ad->salt);
    mem_free(ad);
    return true;
}

static bool free_value(void *arg, struct slice key, void *value)
{
    (void)arg, (void)key;
    mem_free(value);
    return true;
}

void auth_free(struct auth *a)
{
    if (a == NULL)
        return;
    map_each(a->admins, free_admin, NULL);
    map_each(a->verified, free_value, NULL);
    map_free(a->admins);
    map_free(a->verified);
    cond_fini(&a->hashed);
    mutex_fini(&a->lock);
    mem_free(a);
}

/* ---- stored forms ---- */

static enum status bad_hash(struct slice name, struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "the stored password of admin \"%.*s\" is malformed",
                   (int)name.n, name.p);
}

static struct slice cut_comma(struct slice *rest)
{
    const char *at = rest->n != 0 ? memchr(rest->p, ',', rest->n) : NULL;
    struct slice head = {rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};

    *rest = at != NULL ? slice_of(at + 1, rest->n - head.n - 1) : slice_of(NULL, 0);
    return head;
}

/* "<dk hex>,<salt>,<iterations>" behind the prefix that names the function. */
static enum status read_hash(struct admin *ad, struct slice name, struct slice rest, struct err *e)
{
    struct slice dk = cut_comma(&rest), salt = cut_comma(&rest);
    uint64_t iterations;

    if (dk.n < 40 || dk.n > (size_t)2 * KEY_MAX || !hex_decode(dk, ad->key) || salt.n == 0 ||
        !parse_u64(rest, &iterations) || iterations < 1 || iterations > ITERATIONS_MAX)
        return bad_hash(name, e);
    ad->key_len = dk.n / 2;
    ad->salt = mem_dup(salt.p, salt.n);
    ad->iterations = (unsigned)iterations;
    return ST_OK;
}

static void make_hash(struct admin *ad, struct slice password)
{
    unsigned char raw[SALT_BYTES];

    random_bytes(raw, sizeof(raw));
    ad->salt = mem_zalloc(2 * SALT_BYTES + 1);
    hex_encode(raw, sizeof(raw), ad->salt);
    ad->iterations = ITERATIONS;
    ad->key_len = 32;
    memcpy(ad->prf, "sha256", 7);
    (void)pbkdf2(ad->prf, password, slice_str(ad->salt), ad->iterations, ad->key, ad->key_len);
}

/* "-pbkdf2:sha256-..", "-pbkdf2-.." (SHA-1) or clear text. Another scheme of CouchDB's is refused:
 * taken as clear text its hash would become the password. */
static enum status set_password(struct admin *ad, struct slice name, struct slice password,
                                struct err *e)
{
    static const struct {
        const char *prefix, *prf;
    } schemes[] = {{"-pbkdf2:sha256-", "sha256"},
                   {"-pbkdf2:sha512-", "sha512"},
                   {"-pbkdf2:sha-", "sha"},
                   {"-pbkdf2-", "sha"}};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct slice prefix = slice_str(schemes[i].prefix);

        if (!slice_starts(password, prefix))
            continue;
        memcpy(ad->prf, schemes[i].prf, strlen(schemes[i].prf) + 1);
        return read_hash(ad, name, slice_of(password.p + prefix.n, password.n - prefix.n), e);
    }
    if (slice_starts(password, SLICE_LIT("-pbkdf2")) ||
        slice_starts(password, SLICE_LIT("-hashed-")))
        return bad_hash(name, e);
    make_hash(ad, password);
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
    st = set_password(ad, name, password, e);
    if (st == ST_OK)
        ad = map_put(a->admins, name, ad);
    if (ad != NULL)
        (void)free_admin(NULL, name, ad);
    return st;
}

bool auth_has_admin(const struct auth *a)
{
    return map_count(a->admins) != 0;
}

/* ---- checking ---- */

static bool was_verified(struct auth *a, struct slice mac)
{
    struct verified *v;
    bool ok;

    mutex_lock(&a->lock);
    v = map_get(a->verified, mac);
    ok = v != NULL && time_mono_us() < v->until_us;
    mutex_unlock(&a->lock);
    return ok;
}

static void remember_verified(struct auth *a, struct slice mac)
{
    struct verified *v = mem_zalloc(sizeof(*v));

    v->until_us = time_mono_us() + (uint64_t)VERIFIED_US;
    mutex_lock(&a->lock);
    if (map_count(a->verified) >= VERIFIED_MAX) {
        map_each(a->verified, free_value, NULL);
        map_free(a->verified);
        a->verified = map_new();
    }
    mem_free(map_put(a->verified, mac, v));
    mutex_unlock(&a->lock);
}

static bool take_hash_slot(struct auth *a)
{
    bool ok;

    mutex_lock(&a->lock);
    ok = a->waiting < HASHES_WAITING_MAX;
    if (ok) {
        a->waiting++;
        while (a->hashing >= HASHES_AT_ONCE)
            cond_wait(&a->hashed, &a->lock);
        a->waiting--;
        a->hashing++;
    }
    mutex_unlock(&a->lock);
    return ok;
}

static void leave_hash_slot(struct auth *a)
{
    mutex_lock(&a->lock);
    a->hashing--;
    cond_signal(&a->hashed);
    mutex_unlock(&a->lock);
}

/* An unknown name costs what a wrong password costs: no timing tells which it was. */
static bool hash_matches(const struct admin *ad, struct slice password)
{
    static const struct admin nobody = {.prf = "sha256", .iterations = ITERATIONS, .key_len = 32};
    const struct admin *h = ad != NULL ? ad : &nobody;
    struct slice salt = h->salt != NULL ? slice_str(h->salt) : SLICE_LIT("none");
    unsigned char key[KEY_MAX];

    return pbkdf2(h->prf, password, salt, h->iterations, key, h->key_len) &&
           secret_eq(key, h->key, h->key_len) && ad != NULL;
}

static enum status check_password(struct auth *a, struct slice pair, struct slice name,
                                  struct slice password, struct err *e)
{
    unsigned char mac[32];
    bool ok;

    hmac_sha256(slice_of(a->secret, sizeof(a->secret)), pair, mac);
    if (was_verified(a, slice_of(mac, sizeof(mac))))
        return ST_OK;
    if (!take_hash_slot(a))
        return err_set(e, ST_UNAVAILABLE, "too many logins at once");
    ok = hash_matches(map_get(a->admins, name), password);
    leave_hash_slot(a);
    if (!ok)
        return err_set(e, ST_UNAUTHORIZED, "Name or password is incorrect.");
    remember_verified(a, slice_of(mac, sizeof(mac)));
    return ST_OK;
}

enum status auth_check(struct auth *a, struct slice authorization, struct arena *arena,
                       struct auth_user *out, struct err *e)
{
    struct slice text, pair;
    const char *colon;
    char *plain;
    size_t n;

    *out = (struct auth_user){0};
    if (authorization.n < 6 || !slice_ieq(slice_of(authorization.p, 6), SLICE_LIT("Basic ")))
        return ST_OK; /* no credentials, or a scheme that we do not know: ignored (A.2) */
    text = slice_trim(slice_of(authorization.p + 6, authorization.n - 6));
    plain = arena_alloc(arena, text.n + 4);
    if (!base64_decode(text, plain, &n))
        return err_set(e, ST_BAD_REQUEST, "Authorization header has invalid base64 value");
    colon = memchr(plain, ':', n);
    if (colon == NULL)
        return err_set(e, ST_BAD_REQUEST, "Authorization header has no colon");
    pair = slice_of(plain, n);
    out->name = slice_of(plain, (size_t)(colon - plain));
    TRY(check_password(a, pair, out->name, slice_of(colon + 1, n - out->name.n - 1), e));
    out->admin = true; /* only server admins have passwords so far */
    out->by = "default";
    return ST_OK;
}
