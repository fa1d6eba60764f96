/* Unit tests of base/digest.h against published vectors, and of the CRC against its definition. */
#include "unit.h"

#include <string.h>

#include "base/digest.h"
#include "base/text.h"

static void same_hex(const unsigned char *got, size_t n, const char *hex)
{
    char text[200];

    assert_int_equal(strlen(hex), 2 * n);
    hex_encode(got, n, text);
    assert_memory_equal(text, hex, 2 * n);
}

/* Bit by bit, from the definition. */
static uint32_t crc_slow(const unsigned char *p, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void crc_vectors(void **state)
{
    unsigned char p[300];
    uint64_t seed = 4;

    (void)state;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(p, 0, 32);
    assert_int_equal(crc32c(0, p, 32), 0x8a9136aa);
    memset(p, 0xff, 32);
    assert_int_equal(crc32c(0, p, 32), 0x62a8ab43);
    for (size_t i = 0; i < sizeof p; i++)
        p[i] = (unsigned char)unit_random(&seed);
    for (size_t n = 0; n < sizeof p; n++) {
        size_t cut = n / 3;

        assert_int_equal(crc32c(0, p, n), crc_slow(p, n));
        assert_int_equal(crc32c(crc32c(0, p, cut), p + cut, n - cut), crc32c(0, p, n));
    }
}

static void siphash_vectors(void **state)
{
    unsigned char key[16], in[15];

    (void)state;
    for (unsigned char i = 0; i < 16; i++)
        key[i] = i;
    for (unsigned char i = 0; i < 15; i++)
        in[i] = i;
    assert_true(siphash(key, in, 15) == 0xa129ca6149be45e5);
    assert_true(siphash(key, in, 0) == 0x726fdb47dd0e0e31);
    assert_true(siphash(key, in, 8) == 0x93f5f5799a932462);
    /* goes to disk: these must never change */
    assert_true(hash64("", 0) == hash64("x", 0));
    assert_true(hash64("divan", 5) == UINT64_C(0xc490a4197b35ed8a));
}

static void md5_vectors(void **state)
{
    unsigned char out[16];
    struct md5_ctx *c = md5_new();

    (void)state;
    md5("", 0, out);
    same_hex(out, 16, "d41d8cd98f00b204e9800998ecf8427e");
    md5(NULL, 0, out);
    same_hex(out, 16, "d41d8cd98f00b204e9800998ecf8427e");
    md5("abc", 3, out);
    same_hex(out, 16, "900150983cd24fb0d6963f7d28e17f72");
    md5_update(c, "message ", 8);
    md5_update(c, NULL, 0);
    md5_update(c, "digest", 6);
    md5_end(c, out);
    same_hex(out, 16, "f96b697d7cb7938d525a2f31aaf161d0");
}

static void sha_and_hmac(void **state)
{
    unsigned char out[32], key[20];

    (void)state;
    sha256("abc", 3, out);
    same_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(NULL, 0, out);
    same_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    memset(key, 0x0b, sizeof key); /* RFC 4231, case 1 and 2 */
    hmac_sha256(slice_of(key, 20), SLICE_LIT("Hi There"), out);
    same_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(SLICE_LIT("Jefe"), SLICE_LIT("what do ya want for nothing?"), out);
    same_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha256(slice_of(NULL, 0), slice_of(NULL, 0), out);
    same_hex(out, 32, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void pbkdf2_vectors(void **state)
{
    unsigned char out[64];

    (void)state;
    assert_true(pbkdf2("sha", SLICE_LIT("password"), SLICE_LIT("salt"), 2, out, 20)); /* RFC 6070 */
    same_hex(out, 20, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
    assert_true(pbkdf2("sha", SLICE_LIT("password"), SLICE_LIT("salt"), 4096, out, 20));
    same_hex(out, 20, "4b007901b765489abead49d926f721d065a429c1");
    assert_true(pbkdf2("sha256", SLICE_LIT("password"), SLICE_LIT("salt"), 4096, out, 32));
    same_hex(out, 32, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
    assert_true(pbkdf2("sha512", SLICE_LIT("password"), SLICE_LIT("salt"), 1, out, 64));
    same_hex(out, 64,
             "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
             "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce");
    assert_false(pbkdf2("md5", SLICE_LIT("x"), SLICE_LIT("y"), 1, out, 16));
    assert_false(pbkdf2("", SLICE_LIT("x"), SLICE_LIT("y"), 1, out, 16));
    assert_false(pbkdf2("sha256", SLICE_LIT("x"), SLICE_LIT("y"), 0, out, 16));
}

static void randomness_and_equality(void **state)
{
    unsigned char a[32], b[32];

    (void)state;
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    random_bytes(a, 0);
    assert_true(secret_eq("abc", "abc", 3));
    assert_false(secret_eq("abc", "abd", 3));
    assert_true(secret_eq("abc", "abd", 2));
    assert_true(secret_eq(NULL, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_vectors),    cmocka_unit_test(siphash_vectors),
        cmocka_unit_test(md5_vectors),    cmocka_unit_test(sha_and_hmac),
        cmocka_unit_test(pbkdf2_vectors), cmocka_unit_test(randomness_and_equality),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
