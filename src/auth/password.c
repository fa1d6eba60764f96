/* auth/password.c: hashes in the forms that CouchDB writes and reads. Pure; any thread. */
#include "auth/auth_priv.h"
#include "base/digest.h"
#include "base/text.h"

static unsigned clamp(unsigned n)
{
    if (n < PASSWORD_ITERATIONS_MIN)
        return PASSWORD_ITERATIONS_MIN;
    return n > PASSWORD_ITERATIONS_MAX ? PASSWORD_ITERATIONS_MAX : n;
}

bool password_matches(const struct password *p, struct slice text, unsigned iterations)
{
    const struct password nobody = {.prf = "sha256",
                                    .salt = {"00000000000000000000000000000000", 32},
                                    .iterations = clamp(iterations),
                                    .key_len = 32};
    const struct password *h = p != NULL ? p : &nobody;
    unsigned char key[PASSWORD_KEY_MAX];

    if (h->simple)
        sha1_two(text, h->salt, key);
    else if (!pbkdf2(h->prf, text, h->salt, h->iterations, key, h->key_len))
        return false;
    return secret_eq(key, h->key, h->key_len) && p != NULL;
}

void password_make(struct password *p, struct slice text, struct slice salt, unsigned iterations)
{
    *p = (struct password){
        .prf = "sha256", .salt = salt, .iterations = clamp(iterations), .key_len = 32};
    (void)pbkdf2(p->prf, text, salt, p->iterations, p->key, p->key_len);
}

static bool set_key(struct password *p, struct slice hex)
{
    p->key_len = hex.n / 2;
    return hex.n >= 40 && hex.n <= (size_t)2 * PASSWORD_KEY_MAX && hex_decode(hex, p->key);
}

/* "<dk hex>,<salt>[,<iterations>]" behind the prefix that names the function. */
static bool read_hash(struct password *p, struct slice rest)
{
    struct slice dk = slice_cut(&rest, ','), salt = slice_cut(&rest, ',');
    uint64_t iterations = 1;

    if (p->simple ? rest.p != NULL || dk.n != 40 : !parse_u64(rest, &iterations))
        return false;
    p->salt = salt;
    p->iterations = (unsigned)iterations;
    return salt.n != 0 && iterations >= 1 && iterations <= PASSWORD_ITERATIONS_MAX &&
           set_key(p, dk);
}

bool password_parse_admin(struct slice text, struct password *p, bool *malformed)
{
    static const struct {
        const char *prefix, *prf;
    } schemes[] = {{"-pbkdf2:sha256-", "sha256"},
                   {"-pbkdf2:sha512-", "sha512"},
                   {"-pbkdf2:sha224-", "sha224"},
                   {"-pbkdf2:sha384-", "sha384"},
                   {"-pbkdf2:sha-", "sha"},
                   {"-pbkdf2-", "sha"},
                   {"-hashed-", ""}};

    *p = (struct password){0};
    *malformed = false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        struct slice prefix = slice_str(schemes[i].prefix);

        if (!slice_starts(text, prefix))
            continue;
        p->simple = schemes[i].prf[0] == '\0';
        memcpy(p->prf, schemes[i].prf, strlen(schemes[i].prf) + 1);
        *malformed = !read_hash(p, slice_of(text.p + prefix.n, text.n - prefix.n));
        return !*malformed;
    }
    /* Another scheme of CouchDB's is no clear text: its hash would become the password. */
    *malformed = slice_starts(text, SLICE_LIT("-pbkdf2"));
    return false;
}

static struct slice text_of(const struct json *doc, const char *name)
{
    const struct json *v = json_get(doc, name);

    return json_is(v, JSON_STRING) ? v->text : slice_of(NULL, 0);
}

static bool known_prf(struct slice prf, char out[8])
{
    static const char *const known[] = {"sha", "sha224", "sha256", "sha384", "sha512"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_eq(prf, slice_str(known[i]))) {
            memcpy(out, known[i], strlen(known[i]) + 1);
            return true;
        }
    return false;
}

bool password_of_doc(const struct json *doc, struct password *p)
{
    struct slice scheme = text_of(doc, "password_scheme");
    int64_t iterations = 10; /* what CouchDB takes when it is not said */

    *p = (struct password){.salt = text_of(doc, "salt")};
    if (scheme.p == NULL || slice_eq(scheme, SLICE_LIT("simple"))) {
        p->simple = true;
        return text_of(doc, "password_sha").n == 40 && set_key(p, text_of(doc, "password_sha"));
    }
    if (!slice_eq(scheme, SLICE_LIT("pbkdf2")))
        return false;
    if (json_get(doc, "pbkdf2_prf") == NULL)
        memcpy(p->prf, "sha", 4);
    else if (!known_prf(text_of(doc, "pbkdf2_prf"), p->prf))
        return false;
    if (json_get(doc, "iterations") != NULL && !json_int(json_get(doc, "iterations"), &iterations))
        return false;
    p->iterations = (unsigned)iterations;
    return iterations >= 1 && iterations <= PASSWORD_ITERATIONS_MAX &&
           set_key(p, text_of(doc, "derived_key"));
}

struct slice password_admin_text(const struct password *p, struct arena *arena)
{
    char key[2 * PASSWORD_KEY_MAX + 1];

    hex_encode(p->key, p->key_len, key);
    key[2 * p->key_len] = '\0';
    if (p->simple)
        return arena_printf(arena, "-hashed-%s,%.*s", key, (int)p->salt.n, p->salt.p);
    return arena_printf(arena, "-pbkdf2:%s-%s,%.*s,%u", p->prf, key, (int)p->salt.n, p->salt.p,
                        p->iterations);
}
