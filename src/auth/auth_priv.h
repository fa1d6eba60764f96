/* auth/auth_priv.h: what the files of this layer share. */
#ifndef AUTH_AUTH_PRIV_H
#define AUTH_AUTH_PRIV_H
#include <stdatomic.h>

#include "auth/auth.h"
#include "base/map.h"
#include "base/mutex.h"

enum {
    PASSWORD_ITERATIONS = 600000,
    PASSWORD_ITERATIONS_MIN = 1000,    /* of what we make */
    PASSWORD_ITERATIONS_MAX = 2000000, /* of what we verify: a document could ask for years */
    PASSWORD_KEY_MAX = 64,
    PASSWORD_SALT_BYTES = 16
};

/* ---- password.c: pure ---- */
struct password {
    bool simple; /* SHA-1 of password and salt */
    char prf[8];
    struct slice salt; /* as text: CouchDB hashes the hex digits */
    unsigned iterations;
    unsigned char key[PASSWORD_KEY_MAX];
    size_t key_len;
};
/* NULL: nobody's. An unknown name costs what a wrong password of a new account costs. */
bool password_matches(const struct password *p, struct slice text, unsigned iterations);
void password_make(struct password *p, struct slice text, struct slice salt, unsigned iterations);
/* The stored form of an admin's; false: clear text when *malformed is not set. Borrows. */
bool password_parse_admin(struct slice text, struct password *p, bool *malformed);
/* What password_parse_admin reads. */
struct slice password_admin_text(const struct password *p, struct arena *arena);
/* The hash in a document of _users; false: there is none that we can verify. Borrows. */
bool password_of_doc(const struct json *doc, struct password *p);

/* ---- cache.c: what was verified, who failed, how many hash at once ---- */
struct cache;
struct cache *cache_new(void);
void cache_free(struct cache *c);
struct attempt {
    struct slice name, text, peer;
    const struct password *password; /* NULL: none */
};
bool cache_was_verified(struct cache *c, const struct attempt *t);
void cache_remember(struct cache *c, const struct attempt *t);
bool cache_hash_begin(struct cache *c); /* false: too many wait */
void cache_hash_end(struct cache *c);
bool cache_locked(struct cache *c, const struct attempt *t, unsigned after);
void cache_failed(struct cache *c, const struct attempt *t, unsigned seconds);
void cache_succeeded(struct cache *c, const struct attempt *t);

/* ---- auth.c ---- */
const struct auth_options *auth_opt(struct auth *a); /* as they are now */
/* false: there is no such admin. The password is the arena's. */
bool auth_find_admin(struct auth *a, struct slice name, struct arena *arena, struct password *out);

/* ---- users.c ---- */
struct account {
    bool found, admin, has_password;
    struct password password;
    const struct slice *roles;
    size_t nroles;
};
/* Not being there is no error. */
enum status account_find(struct auth *a, struct slice name, struct arena *arena,
                         struct account *out, struct err *e) MUST_CHECK;
void account_to_user(const struct account *acc, struct slice name, const char *by,
                     struct auth_user *out);

/* ---- session.c: the cookie ---- */
struct session {
    struct slice user, time_text, mac;
    uint64_t time_s;
};
/* base64url(user ":" HEX-seconds ":" HMAC-SHA256 under secret and salt) */
struct slice session_make(struct arena *arena, struct slice secret, struct slice user,
                          struct slice salt, uint64_t now_s);
/* false: malformed. */
bool session_parse(struct arena *arena, struct slice value, struct session *out);
/* By the MAC's length: SHA-256 or SHA-1. */
bool session_valid(const struct session *s, struct slice secret, struct slice salt);
/* The value of one cookie of a Cookie header; p NULL: not there. */
struct slice session_cookie(struct slice header);
/* Set-Cookie; empty value: forget it. */
struct slice session_header(const struct auth_options *opt, struct arena *arena,
                            struct slice value);

/* ---- token.c: JWT and the headers of a proxy ---- */
enum status token_check(const struct auth_options *opt, struct slice token, struct arena *arena,
                        struct auth_user *out, struct err *e) MUST_CHECK;
bool proxy_check(struct slice secret, const struct auth_request *rq, struct arena *arena,
                 struct auth_user *out);
void user_set_roles(struct auth_user *u, const struct slice *roles, size_t n);

/* Old ones stay until the end: a request may look at them. */
struct options {
    struct auth_options opt;
    struct options *older;
};
struct auth {
    _Atomic(struct options *) options;
    struct stores *stores;               /* NULL: there are no users */
    struct mutex lock;                   /* RANK_LEAF */
    struct map *admins GUARDED_BY(lock); /* name -> struct admin */
    struct cache *cache;
    char secret[65];
    struct slice secret_text;
};
struct admin {
    struct password password;
    char *text; /* what the password's slices borrow from */
};
#endif
