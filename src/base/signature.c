/* base/signature.c: signatures of JSON web tokens through GnuTLS. Threads: any. */
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>

#include "base/digest.h"

static gnutls_datum_t datum_of(struct slice s)
{
    const char *p = s.n != 0 ? s.p : "";

    return (gnutls_datum_t){(unsigned char *)(uintptr_t)p, (unsigned)s.n};
}

/* ES256: 32 bytes r, 32 bytes s, not the DER that GnuTLS takes. */
static bool verify_ec(gnutls_pubkey_t key, const gnutls_datum_t *data, struct slice sig)
{
    gnutls_datum_t der = {NULL, 0};
    gnutls_datum_t r, s;
    bool ok;

    if (sig.n != 64)
        return false;
    r = datum_of(slice_of(sig.p, 32));
    s = datum_of(slice_of(sig.p + 32, 32));
    if (gnutls_encode_rs_value(&der, &r, &s) < 0)
        return false;
    ok = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, data, &der) >= 0;
    gnutls_free(der.data);
    return ok;
}

bool signature_valid(const char *alg, struct slice pem, struct slice data, struct slice sig)
{
    gnutls_datum_t key_text = datum_of(pem), bytes = datum_of(data), raw = datum_of(sig);
    gnutls_pubkey_t key;
    bool ok = false;
    int kind;

    if (gnutls_pubkey_init(&key) < 0)
        return false;
    if (gnutls_pubkey_import(key, &key_text, GNUTLS_X509_FMT_PEM) >= 0) {
        kind = gnutls_pubkey_get_pk_algorithm(key, NULL);
        if (strcmp(alg, "RS256") == 0 && kind == GNUTLS_PK_RSA)
            ok = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_RSA_SHA256, 0, &bytes, &raw) >= 0;
        else if (strcmp(alg, "ES256") == 0 && kind == GNUTLS_PK_ECDSA)
            ok = verify_ec(key, &bytes, sig);
    }
    gnutls_pubkey_deinit(key);
    return ok;
}
