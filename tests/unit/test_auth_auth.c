/* tests/unit/test_auth_auth.c: admins, stored hashes, Basic. Expected keys were computed with
 * Python's hashlib.pbkdf2_hmac. */
#include "unit.h"

#include <stdio.h>

#include "auth/auth.h"
#include "base/text.h"
#include "base/time.h"

struct fix {
    struct auth *auth;
    struct arena *arena;
    struct auth_user user;
    struct err e;
};

static int setup(void **state)
{
    static struct fix f;

    f = (struct fix){.auth = auth_new(NULL), .arena = arena_new()};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fix *f = *state;

    auth_free(f->auth);
    arena_free(f->arena);
    return 0;
}

static enum status add(struct fix *f, const char *name, const char *password)
{
    return auth_add_admin(f->auth, slice_str(name), slice_str(password), &f->e);
}

static enum status check(struct fix *f, const char *header)
{
    struct auth_request rq = {.authorization = slice_str(header), .may_hash = true};

    return auth_check(f->auth, &rq, f->arena, &f->user, &f->e);
}

static enum status login(struct fix *f, const char *pair)
{
    char text[256] = "Basic ";
    size_t n = base64_encoded_len(strlen(pair));

    base64_encode(pair, strlen(pair), text + 6);
    text[6 + n] = '\0';
    return check(f, text);
}

static void stored_hashes(void **state)
{
    static const char *const stored[] = {
        "-pbkdf2:sha256-10d8d4ed16d2cf08a5db41f483fa3b7268738d7a0bca0501063a17a5febc61d0,"
        "00112233445566778899aabbccddeeff,1000",
        "-pbkdf2-184155f67142297929171fda89b728b4a60c92c7,00112233445566778899aabbccddeef"
        "f,10",
        "-pbkdf2:sha-184155f67142297929171fda89b728b4a60c92c7,00112233445566778899aabbccd"
        "deeff,10",
        "-pbkdf2:sha512-f70fae3e465e3ff22b2bda5d9178a4f60f60cf6a7186f6f79d9719a18f15b0979"
        "34ad30e39ca0cd6f28b5ddeebe65be9933be9521eeb36226582c9e2ada913c0,0011223344556677"
        "8899aabbccddeeff,10"};
    struct fix *f = *state;

    for (size_t i = 0; i < COUNT_OF(stored); i++) {
        assert_int_equal(add(f, "root", stored[i]), ST_OK); /* the later one counts */
        assert_int_equal(login(f, "root:pass:word"), ST_OK);
        assert_true(f->user.admin);
        assert_true(slice_eq(f->user.name, SLICE_LIT("root")));
        assert_string_equal(f->user.by, "default");
        assert_int_equal(login(f, "root:pass:wore"), ST_UNAUTHORIZED);
        assert_string_equal(f->e.reason, "Name or password is incorrect.");
    }
    assert_true(auth_has_admin(f->auth));
}

static void malformed_hashes(void **state)
{
    static const char *const bad[] = {
        "-pbkdf2:sha256-",
        "-pbkdf2:sha256-zz,salt,10",
        "-pbkdf2-0123456789,salt,10",
        "-pbkdf2-0123456789012345678901234567890123456789,,10",
        "-pbkdf2-0123456789012345678901234567890123456789,salt,0",
        "-pbkdf2-0123456789012345678901234567890123456789,salt,1000000000",
        "-pbkdf2-0123456789012345678901234567890123456789,salt",
        "-pbkdf2-0123456789012345678901234567890123456789,salt,10,5",
        "-pbkdf2:md5-0123456789012345678901234567890123456789,salt,10",
        "-hashed-0123456789012345678901234567890123456789",
        "-hashed-01234567890123456789012345678901234567,salt",
        ""};
    struct fix *f = *state;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(add(f, "root", bad[i]), ST_BAD_REQUEST);
    assert_int_equal(add(f, "", "x"), ST_BAD_REQUEST);
    assert_int_equal(add(f, "_root", "x"), ST_BAD_REQUEST);
    assert_int_equal(add(f, "a:b", "x"), ST_BAD_REQUEST);
    assert_false(auth_has_admin(f->auth));
}

/* The second time costs no hash: a thousand logins in less than ten hashes' time. */
static void clear_text_is_hashed_and_remembered(void **state)
{
    struct fix *f = *state;
    uint64_t began;

    assert_int_equal(add(f, "root", "s3cret"), ST_OK);
    assert_int_equal(login(f, "root:s3cret"), ST_OK);
    began = time_mono_us();
    for (int i = 0; i < 1000; i++)
        assert_int_equal(login(f, "root:s3cret"), ST_OK);
    assert_true(time_mono_us() - began < 500000);
    assert_int_equal(login(f, "root:s3cre"), ST_UNAUTHORIZED);
    assert_int_equal(login(f, "root:"), ST_UNAUTHORIZED);
    assert_int_equal(login(f, "roo:s3cret"), ST_UNAUTHORIZED);
    assert_false(f->user.admin);
}

static void other_headers(void **state)
{
    static const struct {
        const char *header;
        enum status st;
    } cases[] = {{"", ST_OK},
                 {"Bearer abc", ST_OK},
                 {"Basic: cm9vdDpw", ST_OK}, /* PouchDB's tests send this: ignored */
                 {"Basic", ST_OK},
                 {"Basic !!!!", ST_BAD_REQUEST},
                 {"Basic abc", ST_BAD_REQUEST},
                 {"Basic cm9vdA==", ST_BAD_REQUEST}, /* no colon */
                 {"Basic ", ST_BAD_REQUEST}};
    struct fix *f = *state;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(check(f, cases[i].header), cases[i].st);
        assert_false(f->user.admin);
        if (cases[i].st == ST_OK)
            assert_int_equal(f->user.name.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(stored_hashes, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_hashes, setup, teardown),
        cmocka_unit_test_setup_teardown(clear_text_is_hashed_and_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(other_headers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
