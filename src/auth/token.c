/* auth/token.c: JSON web tokens and the headers of a trusted proxy. Both are off unless the
 * configuration turns them on. Pure; any thread.
 *
 * A token's alg only says which list of our keys to look into: a key has a kind of its own, so no
 * token can have an RSA key taken for an HMAC secret, and "none" is in no list. */
#include "auth/auth_priv.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/time.h"

static const struct {
    const char *alg, *kind, *prf;
} algs[] = {{"HS256", "hmac", "sha256"},
            {"HS384", "hmac", "sha384"},
            {"HS512", "hmac", "sha512"},
            {"RS256", "rsa", NULL},
            {"ES256", "ec", NULL}};

static enum status malformed(struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "Malformed token");
}

static enum status refused(struct err *e, const char *why)
{
    return err_set(e, ST_UNAUTHORIZED, "%s", why);
}

static bool decode(struct arena *a, struct slice in, struct slice *out)
{
    char *p = arena_alloc(a, in.n + 4);

    out->p = p;
    return base64url_decode(in, p, &out->n);
}

/* A part that is a JSON object in which no name is said twice. */
static bool decode_json(struct arena *a, struct slice in, const struct json **out)
{
    struct slice text;
    struct err e;

    return decode(a, in, &text) && json_parse(a, text, out, &e) == ST_OK &&
           (*out)->type == JSON_OBJECT && !json_has_dup(*out);
}

static struct slice text_of(const struct json *doc, const char *name)
{
    const struct json *v = json_get(doc, name);

    return json_is(v, JSON_STRING) ? v->text : slice_of(NULL, 0);
}

static const struct auth_jwt_key *find_key(const struct auth_options *opt, struct arena *a,
                                           const char *kind, struct slice kid)
{
    struct slice id;

    if (kid.n == 0)
        kid = SLICE_LIT("_default");
    if (memchr(kid.p, '\0', kid.n) != NULL)
        return NULL;
    id = arena_printf(a, "%s:%.*s", kind, (int)kid.n, kid.p);
    for (unsigned i = 0; i < opt->njwt_keys; i++)
        if (slice_eq(opt->jwt_keys[i].id, id))
            return &opt->jwt_keys[i];
    return NULL;
}

static bool signed_by(size_t alg, const struct auth_jwt_key *key, struct slice data,
                      struct slice sig)
{
    unsigned char mac[64];
    size_t n;

    if (algs[alg].prf == NULL)
        return signature_valid(algs[alg].alg, key->key, data, sig);
    return hmac(algs[alg].prf, key->key, data, mac, &n) && n == sig.n && secret_eq(mac, sig.p, n);
}

static enum status check_signature(const struct auth_options *opt, struct slice token,
                                   struct arena *a, const struct json **claims, struct err *e)
{
    struct slice rest = token, head = slice_cut(&rest, '.'), body = slice_cut(&rest, '.'), sig, alg;
    struct slice data = slice_of(token.p, head.n + 1 + body.n);
    const struct auth_jwt_key *key;
    const struct json *header;
    size_t i = 0;

    if (rest.n == 0 || memchr(rest.p, '.', rest.n) != NULL || !decode_json(a, head, &header) ||
        !decode(a, rest, &sig) || !decode_json(a, body, claims))
        return malformed(e);
    alg = text_of(header, "alg");
    while (i < sizeof(algs) / sizeof(algs[0]) && !slice_eq(alg, slice_str(algs[i].alg)))
        i++;
    if (i == sizeof(algs) / sizeof(algs[0]))
        return refused(e, "Invalid alg header parameter");
    if (json_get(header, "crit") != NULL)
        return refused(e, "Unknown critical header parameter");
    key = find_key(opt, a, algs[i].kind, text_of(header, "kid"));
    if (key == NULL)
        return refused(e, "Unknown kid");
    return signed_by(i, key, data, sig) ? ST_OK : refused(e, "Bad signature");
}

static enum status check_times(const struct json *claims, struct err *e)
{
    const struct json *exp = json_get(claims, "exp"), *nbf = json_get(claims, "nbf");
    double now = (double)time_wall_ms() / 1000;

    if (!json_is(exp, JSON_NUMBER))
        return refused(e, "Missing exp claim");
    if (!(json_double(exp) > now))
        return refused(e, "exp not in future");
    if (nbf != NULL && (!json_is(nbf, JSON_NUMBER) || !(json_double(nbf) <= now)))
        return refused(e, "nbf not in past");
    return ST_OK;
}

static void claim_roles(const struct auth_options *opt, const struct json *claims,
                        struct arena *arena, struct auth_user *out)
{
    const struct json *roles = json_get_s(claims, opt->roles_name);
    size_t max = json_is(roles, JSON_ARRAY) && !roles->packed ? roles->count : 0, n = 0;
    struct slice *list = arena_array(arena, max + 1, sizeof(*list));

    for (const struct json *v = max != 0 ? roles->first : NULL; v != NULL; v = v->next)
        if (v->type == JSON_STRING)
            list[n++] = v->text;
    user_set_roles(out, list, n);
}

enum status token_check(const struct auth_options *opt, struct slice token, struct arena *arena,
                        struct auth_user *out, struct err *e)
{
    const struct json *claims = NULL;
    struct slice sub;

    if (token.n > LIMIT_TOKEN_BYTES)
        return malformed(e);
    TRY(check_signature(opt, token, arena, &claims, e));
    TRY(check_times(claims, e));
    sub = text_of(claims, "sub");
    if (sub.n == 0)
        return refused(e, "Token missing sub claim.");
    *out = (struct auth_user){.name = sub, .by = "jwt"};
    claim_roles(opt, claims, arena, out);
    return ST_OK;
}

/* ---- proxy ---- */

static void split_roles(struct slice text, struct arena *arena, struct auth_user *out)
{
    struct slice *list = arena_array(arena, text.n + 1, sizeof(*list));
    size_t n = 0;

    while (text.n != 0) {
        struct slice role = slice_trim(slice_cut(&text, ','));

        if (role.n != 0)
            list[n++] = role;
    }
    user_set_roles(out, list, n);
}

/* The token is never left out: without it whoever reaches the port would be whom they say. */
bool proxy_check(struct slice secret, const struct auth_request *rq, struct arena *arena,
                 struct auth_user *out)
{
    const char *prf = rq->proxy_token.n == 64 ? "sha256" : rq->proxy_token.n == 40 ? "sha" : NULL;
    unsigned char mac[64], given[64];
    size_t n;

    if (rq->proxy_user.n == 0 || prf == NULL || secret.n == 0 ||
        !hex_decode(rq->proxy_token, given) || !hmac(prf, secret, rq->proxy_user, mac, &n) ||
        !secret_eq(mac, given, n))
        return false;
    *out = (struct auth_user){.name = rq->proxy_user, .by = "proxy"};
    split_roles(rq->proxy_roles, arena, out);
    return true;
}
