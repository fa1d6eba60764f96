/* base/digest.c: cryptography through GnuTLS. Its constructor initialises the library; a failing
 * digest is a broken library, so it asserts. MD5 through gnutls_hash_fast costs about 10 ns more
 * than the plain block function (0.18 us for 100 bytes), so nothing below it is used.
 * Threads: any. */
#include "base/digest.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/alloc.h"
#include "base/assert.h"

void md5(const void *data, size_t n, unsigned char out[16])
{
    ASSERT(gnutls_hash_fast(GNUTLS_DIG_MD5, n != 0 ? data : "", n, out) == 0);
}

struct md5_ctx {
    gnutls_hash_hd_t h;
};

struct md5_ctx *md5_new(void)
{
    struct md5_ctx *c = mem_zalloc(sizeof *c);

    ASSERT(gnutls_hash_init(&c->h, GNUTLS_DIG_MD5) == 0);
    return c;
}

void md5_update(struct md5_ctx *c, const void *data, size_t n)
{
    if (n != 0)
        ASSERT(gnutls_hash(c->h, data, n) == 0);
}

void md5_end(struct md5_ctx *c, unsigned char out[16])
{
    gnutls_hash_deinit(c->h, out);
    mem_free(c);
}

void sha256(const void *data, size_t n, unsigned char out[32])
{
    ASSERT(gnutls_hash_fast(GNUTLS_DIG_SHA256, n != 0 ? data : "", n, out) == 0);
}

void hmac_sha256(struct slice key, struct slice data, unsigned char out[32])
{
    ASSERT(gnutls_hmac_fast(GNUTLS_MAC_SHA256, key.n != 0 ? key.p : "", key.n,
                            data.n != 0 ? data.p : "", data.n, out) == 0);
}

/* GnuTLS wants a pointer to non-const bytes that it does not write. */
static gnutls_datum_t datum_of(struct slice s)
{
    const char *p = s.n != 0 ? s.p : "";

    return (gnutls_datum_t){(unsigned char *)(uintptr_t)p, (unsigned)s.n};
}

static gnutls_mac_algorithm_t mac_of(const char *prf)
{
    static const struct {
        const char *name;
        gnutls_mac_algorithm_t mac;
    } all[] = {{"sha", GNUTLS_MAC_SHA1},
               {"sha224", GNUTLS_MAC_SHA224},
               {"sha256", GNUTLS_MAC_SHA256},
               {"sha384", GNUTLS_MAC_SHA384},
               {"sha512", GNUTLS_MAC_SHA512}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(prf, all[i].name) == 0)
            return all[i].mac;
    return GNUTLS_MAC_UNKNOWN;
}

bool hmac(const char *prf, struct slice key, struct slice data, unsigned char out[64], size_t *n)
{
    gnutls_mac_algorithm_t mac = mac_of(prf);

    if (mac == GNUTLS_MAC_UNKNOWN)
        return false;
    *n = gnutls_hmac_get_len(mac);
    return gnutls_hmac_fast(mac, key.n != 0 ? key.p : "", key.n, data.n != 0 ? data.p : "", data.n,
                            out) == 0;
}

void sha1_two(struct slice x, struct slice y, unsigned char out[20])
{
    gnutls_hash_hd_t h;

    ASSERT(gnutls_hash_init(&h, GNUTLS_DIG_SHA1) == 0);
    if (x.n != 0)
        ASSERT(gnutls_hash(h, x.p, x.n) == 0);
    if (y.n != 0)
        ASSERT(gnutls_hash(h, y.p, y.n) == 0);
    gnutls_hash_deinit(h, out);
}

bool pbkdf2(const char *prf, struct slice password, struct slice salt, unsigned iterations,
            unsigned char *out, size_t out_len)
{
    gnutls_datum_t key = datum_of(password);
    gnutls_datum_t seed = datum_of(salt);
    gnutls_mac_algorithm_t mac = mac_of(prf);

    /* nettle aborts the process at 0 */
    return mac != GNUTLS_MAC_UNKNOWN && iterations != 0 && out_len != 0 &&
           gnutls_pbkdf2(mac, &key, &seed, iterations, out, out_len) == 0;
}

void random_bytes(void *out, size_t n)
{
    if (n != 0)
        ASSERT(gnutls_rnd(GNUTLS_RND_RANDOM, out, n) == 0);
}

bool secret_eq(const void *a, const void *b, size_t n)
{
    return n == 0 || gnutls_memcmp(a, b, n) == 0;
}
