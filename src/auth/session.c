/* auth/session.c: the cookie AuthSession, CouchDB's format:
 *   base64url-no-pad( user ":" upper-case hex of unix seconds ":" raw HMAC )
 * HMAC key: the server's secret followed by the user's salt, message: user ":" hex. So a changed
 * password (a new salt) ends all sessions of its user. Pure; any thread. */
#include "auth/auth_priv.h"
#include "base/digest.h"
#include "base/text.h"
#include "base/time.h"

static struct slice join(struct arena *a, struct slice x, struct slice y)
{
    char *p = arena_alloc(a, x.n + y.n + 1);

    memcpy(p, x.p != NULL ? x.p : "", x.n);
    memcpy(p + x.n, y.p != NULL ? y.p : "", y.n);
    return slice_of(p, x.n + y.n);
}

struct slice session_make(struct arena *arena, struct slice secret, struct slice user,
                          struct slice salt, uint64_t now_s)
{
    struct slice time = arena_printf(arena, ":%llX", (unsigned long long)now_s);
    struct slice message = join(arena, user, time), whole;
    unsigned char mac[33] = ":";
    char *text;

    hmac_sha256(join(arena, secret, salt), message, mac + 1);
    whole = join(arena, message, slice_of(mac, sizeof(mac)));
    text = arena_alloc(arena, base64_encoded_len(whole.n));
    return slice_of(text, base64url_encode(whole.p, whole.n, text));
}

static bool parse_hex(struct slice s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 15)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v << 4 | (uint64_t)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

bool session_parse(struct arena *arena, struct slice value, struct session *out)
{
    char *text = arena_alloc(arena, value.n + 4);
    const char *colon, *end;
    size_t n;

    while (value.n != 0 && value.p[value.n - 1] == '=')
        value.n--;
    if (!base64url_decode(value, text, &n) || (colon = memchr(text, ':', n)) == NULL)
        return false;
    *out = (struct session){.user = slice_of(text, (size_t)(colon - text))};
    colon++;
    n -= (size_t)(colon - text);
    end = n != 0 ? memchr(colon, ':', n) : NULL;
    out->time_text = slice_of(colon, end != NULL ? (size_t)(end - colon) : n);
    if (end != NULL) /* the MAC may hold colons */
        out->mac = slice_of(end + 1, n - out->time_text.n - 1);
    if (!parse_hex(out->time_text, &out->time_s))
        out->time_s = 0;
    return true;
}

bool session_valid(const struct session *s, struct slice secret, struct slice salt)
{
    struct arena *a = arena_new();
    struct slice message = join(a, join(a, s->user, SLICE_LIT(":")), s->time_text);
    const char *prf = s->mac.n == 32 ? "sha256" : s->mac.n == 20 ? "sha" : NULL;
    unsigned char mac[64];
    size_t n;
    bool ok = prf != NULL && hmac(prf, join(a, secret, salt), message, mac, &n) && n == s->mac.n &&
              secret_eq(mac, s->mac.p, n);

    arena_free(a);
    return ok;
}

struct slice session_cookie(struct slice header)
{
    while (header.n != 0) {
        struct slice c = slice_trim(slice_cut(&header, ';'));

        if (!slice_starts(c, SLICE_LIT("AuthSession=")))
            continue;
        c = slice_of(c.p + 12, c.n - 12);
        if (c.n >= 2 && c.p[0] == '"' && c.p[c.n - 1] == '"')
            c = slice_of(c.p + 1, c.n - 2);
        return c;
    }
    return slice_of(NULL, 0);
}

static const char *same_site(const struct auth_options *opt)
{
    if (slice_ieq(opt->same_site, SLICE_LIT("lax")))
        return "; SameSite=Lax";
    if (slice_ieq(opt->same_site, SLICE_LIT("strict")))
        return "; SameSite=Strict";
    return slice_ieq(opt->same_site, SLICE_LIT("none")) ? "; SameSite=None" : "";
}

/* nano reads Expires and not Max-Age, CouchDB's replicator the other way round. */
static struct slice lifetime(struct arena *arena, unsigned seconds)
{
    char when[32];

    time_http(time_wall_ms() + (uint64_t)seconds * 1000, when);
    when[7] = when[11] = '-'; /* as CouchDB writes it */
    return arena_printf(arena, "; Expires=%s; Max-Age=%u", when, seconds);
}

struct slice session_header(const struct auth_options *opt, struct arena *arena, struct slice value)
{
    struct slice age = SLICE_LIT(""), domain = SLICE_LIT("");

    if (value.n == 0)
        age = SLICE_LIT("; Expires=Thu, 01-Jan-1970 00:00:00 GMT; Max-Age=0");
    else if (opt->persistent)
        age = lifetime(arena, opt->timeout_s);
    if (opt->domain.n != 0)
        domain = arena_printf(arena, "; Domain=%.*s", (int)opt->domain.n, opt->domain.p);
    return arena_printf(arena, "AuthSession=%.*s; Version=1%.*s; Path=/; HttpOnly%s%.*s%s",
                        (int)value.n, value.p, (int)age.n, age.p, opt->secure ? "; Secure" : "",
                        (int)domain.n, domain.p, same_site(opt));
}
