/* auth/auth.h: who is asking. Server admins with PBKDF2 hashes in CouchDB's format; Basic
 * authentication; a bounded cache of verified passwords, since a hash costs 100 ms.
 * Threads: every call by any thread; auth_check may take 100 ms (workers only). */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H
#include "base/arena.h"
#include "base/status.h"

struct auth;
struct auth_user {
    struct slice name; /* empty: anonymous */
    bool admin;
    const char *by; /* "default" for Basic, NULL for anonymous */
};
struct auth *auth_new(void);
void auth_free(struct auth *a);
/* Clear text or CouchDB's "-pbkdf2:sha256-<dk>,<salt>,<iterations>" (also sha, sha512),
 * "-pbkdf2-<dk>,..". */
enum status auth_add_admin(struct auth *a, struct slice name, struct slice password,
                           struct err *e) MUST_CHECK;
bool auth_has_admin(const struct auth *a);
/* The value of the Authorization header; empty: anonymous. Wrong credentials: ST_UNAUTHORIZED "Name
 * or password is incorrect."; malformed Basic: ST_BAD_REQUEST; other schemes are ignored. */
enum status auth_check(struct auth *a, struct slice authorization, struct arena *arena,
                       struct auth_user *out, struct err *e) MUST_CHECK;
#endif
