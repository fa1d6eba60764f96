/* tests/fuzz/fuzz_auth_basic.c: hostile Authorization headers and stored password hashes. The input
 * is a header's value, or behind a first byte 'H' the stored password of an admin.
 */
#include <stdint.h>

#include "auth/auth.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Only what names a scheme: hashing a clear text takes its time on purpose. */
static void fuzz_hash(struct slice s)
{
    struct auth *a = auth_new(NULL);
    struct err e;

    if (slice_starts(s, SLICE_LIT("-pbkdf2")) || slice_starts(s, SLICE_LIT("-hashed-")))
        ASSERT((auth_add_admin(a, SLICE_LIT("root"), s, &e) == ST_OK) == auth_has_admin(a));
    auth_free(a);
}

/* The one admin has a hash of one round; an unknown name costs the many rounds of a real one. */
static void fuzz_header(struct slice s)
{
    static struct auth *a;
    struct arena *arena = arena_new();
    struct auth_user user;
    struct err e;

    if (a == NULL) {
        a = auth_new(NULL);
        ASSERT(auth_add_admin(a, SLICE_LIT("root"),
                              SLICE_LIT("-pbkdf2-0123456789012345678901234567890123456789,salt,1"),
                              &e) == ST_OK);
    }
    if (s.n < 200) {
        struct auth_request rq = {.authorization = s, .cookie = s, .may_hash = true};
        enum status st = auth_check(a, &rq, arena, &user, &e);

        ASSERT(st == ST_OK || st == ST_BAD_REQUEST || st == ST_UNAUTHORIZED || st == ST_FORBIDDEN);
        ASSERT(!user.admin); /* nobody finds the password of that hash */
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size != 0 && data[0] == 'H')
        fuzz_hash(slice_of(data + 1, size - 1));
    else
        fuzz_header(slice_of(data, size));
    return 0;
}
