/* auth/auth.h: who is asking, and what a database's security object lets them do.
 *
 * People are server admins (configuration) and users (documents of the database _users). They show
 * who they are by Basic, by a session cookie, and, when the configuration says so, by a JWT or by
 * the headers of a trusted proxy; all as CouchDB 3.5 does it, so that its replicator and clients
 * log in here and hashes may be copied either way.
 * Threads: every call by any thread once configured; hashing takes 100 ms (see may_hash).
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H
#include "base/arena.h"
#include "base/status.h"
#include "json/json.h"

struct auth;
struct db;
struct stores;

enum { AUTH_JWT_KEYS_MAX = 16 };
struct auth_jwt_key {
    struct slice id;  /* "hmac:KID", "rsa:KID", "ec:KID"; KID "_default": tokens without one */
    struct slice key; /* hmac: the bytes; else PEM */
};
/* From the configuration; the slices outlive the auth. */
struct auth_options {
    unsigned iterations;     /* of new hashes; 600000 */
    unsigned timeout_s;      /* of a session; 600 */
    bool persistent;         /* cookies have a Max-Age; true */
    bool secure;             /* cookies are for TLS only */
    struct slice same_site;  /* "lax"; empty or "none": not said */
    struct slice domain;     /* of cookies; empty: not said */
    struct slice secret;     /* of cookies and proxies; empty: the one of the data directory */
    bool lockout;            /* true */
    unsigned lockout_after;  /* failures; 5 */
    unsigned lockout_s;      /* 300 */
    bool jwt, proxy;         /* false */
    struct slice roles_name; /* of the claim that holds roles: "_couchdb.roles" */
    struct auth_jwt_key jwt_keys[AUTH_JWT_KEYS_MAX];
    unsigned njwt_keys;
};
void auth_options_default(struct auth_options *o);

struct auth_user {
    struct slice name;         /* empty: anonymous */
    const struct slice *roles; /* "_admin" among them for a server admin */
    size_t nroles;
    bool admin;
    const char *by;          /* "default" (Basic), "cookie", "jwt", "proxy"; NULL: anonymous */
    struct slice set_cookie; /* a session to be renewed: value of Set-Cookie; or empty */
    bool needs_hash;         /* nothing is decided: ask again with may_hash */
};
/* What a request says of its sender; empty slices where it says nothing. */
struct auth_request {
    struct slice authorization, cookie; /* the headers' values */
    struct slice proxy_user, proxy_roles, proxy_token;
    struct slice peer; /* address: failures are counted for it */
    bool may_hash;     /* this thread may spend 100 ms */
};

struct auth *auth_new(const struct auth_options *opt); /* NULL: the defaults */
void auth_free(struct auth *a);
/* Where _users is, and the file that keeps the server's secret (made when it is not there). Before
 * auth_add_admin: clear passwords get a salt that depends on the secret, so that sessions of admins
 * survive a restart. */
enum status auth_attach(struct auth *a, struct stores *all, const char *secret_file,
                        struct err *e) MUST_CHECK;
/* Clear text or CouchDB's "-pbkdf2:sha256-<dk>,<salt>,<iterations>" (also sha, sha224, sha384,
 * sha512), "-pbkdf2-<dk>,..", "-hashed-<sha1>,<salt>". */
enum status auth_add_admin(struct auth *a, struct slice name, struct slice password,
                           struct err *e) MUST_CHECK;
bool auth_has_admin(struct auth *a);
/* While serving. The options' slices outlive the auth; secret and JWT keys are those of the start.
 */
void auth_set_options(struct auth *a, const struct auth_options *opt);
void auth_remove_admin(struct auth *a, struct slice name);
struct json *auth_list_admins(struct auth *a, struct arena *arena); /* name: stored hash */
/* Clear text becomes a hash of the form that auth_add_admin takes; a hash stays. 100 ms. */
enum status auth_hash_admin(struct auth *a, struct slice password, struct arena *arena,
                            struct slice *out, struct err *e) MUST_CHECK;

/* Nobody: ST_OK with an empty name. Wrong credentials: ST_UNAUTHORIZED "Name or password is
 * incorrect."; malformed ones ST_BAD_REQUEST; locked out ST_FORBIDDEN; too many hashes at once
 * ST_UNAVAILABLE; other schemes, stale and forged cookies are ignored. */
enum status auth_check(struct auth *a, const struct auth_request *rq, struct arena *arena,
                       struct auth_user *out, struct err *e) MUST_CHECK;
/* POST /_session: as Basic; out->set_cookie is the new session. Hashes. */
struct auth_login {
    struct slice name, password, peer;
};
enum status auth_login(struct auth *a, const struct auth_login *in, struct arena *arena,
                       struct auth_user *out, struct err *e) MUST_CHECK;
struct slice auth_logout_cookie(struct auth *a, struct arena *arena);
unsigned auth_handlers(struct auth *a, const char *names[4]); /* for GET /_session */

/* ---- rights: pure ---- */
bool auth_has_role(const struct auth_user *u, struct slice role);
/* sec: the security object. A server admin is both. */
bool auth_is_db_admin(const struct auth_user *u, const struct json *sec);
bool auth_is_member(const struct auth_user *u, const struct json *sec);

/* ---- documents of _users ---- */
bool auth_is_users_db(struct slice db_name);
/* One document on its way into _users: what the rules say of it, and *doc becomes what is to be
 * stored: without the clear password, with its hash. */
struct auth_user_edit {
    struct db *db;
    const struct auth_user *user;
    bool db_admin;    /* of _users */
    struct slice id;  /* empty: the document's */
    struct slice rev; /* from the URL; empty: the document's */
    bool new_edits, delete_it, attachment;
    const struct json *doc; /* NULL with delete_it or attachment */
};
enum status auth_users_prepare(struct auth *a, struct auth_user_edit *ed, struct arena *arena,
                               struct err *e) MUST_CHECK;
bool auth_owns_user_doc(const struct auth_user *u, struct slice id);
/* The document without what its owner has no use for: hash and salt. */
const struct json *auth_users_redact(const struct json *doc, struct arena *arena);
#endif
