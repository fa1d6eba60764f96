/* base/digest.h: checksums and cryptography (GnuTLS); the only place that includes its headers. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H
#include <stdint.h>

#include "base/slice.h"

uint32_t crc32c(uint32_t crc, const void *data, size_t n); /* Castagnoli; SSE4.2 when there */
uint64_t siphash(const unsigned char key[16], const void *data, size_t n); /* SipHash-2-4 */
uint64_t hash64(const void *data, size_t n); /* siphash under a key fixed for ever: goes to disk */

void md5(const void *data, size_t n, unsigned char out[16]);
struct md5_ctx;
struct md5_ctx *md5_new(void);
void md5_update(struct md5_ctx *c, const void *data, size_t n);
void md5_end(struct md5_ctx *c, unsigned char out[16]); /* frees c */

void sha256(const void *data, size_t n, unsigned char out[32]);
void hmac_sha256(struct slice key, struct slice data, unsigned char out[32]);
void sha1_two(struct slice x, struct slice y, unsigned char out[20]); /* of x followed by y */
/* prf as below; *n: bytes written. */
bool hmac(const char *prf, struct slice key, struct slice data, unsigned char out[64], size_t *n);
/* prf: "sha" (SHA-1), "sha224", "sha256", "sha384", "sha512"; false for another one. */
bool pbkdf2(const char *prf, struct slice password, struct slice salt, unsigned iterations,
            unsigned char *out, size_t out_len);
void random_bytes(void *out, size_t n);                 /* from the system's generator */
bool secret_eq(const void *a, const void *b, size_t n); /* constant time */
/* signature.c: whether sig is a signature of data in JWS form ("RS256", "ES256") by the PEM key. */
bool signature_valid(const char *alg, struct slice pem, struct slice data, struct slice sig);
#endif
