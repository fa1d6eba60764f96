/* tests/fuzz/fuzz_auth_cookie.c: hostile Cookie headers. Nothing in them may crash, and nobody gets
 * in with a session that was not made under the secret. */
#include <stdint.h>

#include "auth/auth_priv.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice SECRET = {"secret", 6}, SALT = {"salt", 4};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct slice value = session_cookie(slice_of((const char *)data, size));
    struct session s;

    if (value.n != 0 && session_parse(a, value, &s)) {
        struct slice again = session_make(a, SECRET, s.user, SALT, s.time_s);
        struct session made;

        ASSERT(!session_valid(&s, SECRET, SALT) || session_parse(a, again, &made));
        if (session_valid(&s, SECRET, SALT) && s.mac.n == made.mac.n)
            ASSERT(slice_eq(s.mac, made.mac));
    }
    arena_free(a);
    return 0;
}
