/* http/http.h: the HTTP server: what app needs of it.
 *
 * Threads: libmicrohttpd's pool reads requests and sends answers and never touches a disk; a
 * request whose body is complete is suspended and handed to a worker; a worker that needs the
 * committer hands the request over and goes on with other work. Streams (large answers, feeds) are
 * suspended from their second piece on: workers write to the socket, while there is something.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct auth;
struct repl;
struct settings_ops;
struct stores;
struct vectors;

/* From the configuration; the slices outlive the server. */
struct web_options {
    bool require_valid_user;
    bool users_security_editable; /* PUT /_users/_security */
    bool cors, cors_credentials;
    struct slice cors_origins, cors_methods, cors_headers; /* lists with commas; empty: default */
    unsigned cors_max_age;                                 /* seconds; 600 */
};

/* As it is now; replaced as a whole, old ones stay until the end. */
struct web {
    _Atomic(const struct web_options *) now;
};

/* What the handlers work with; all outlive the server. */
struct services {
    struct stores *stores;
    struct vectors *vectors;
    struct repl *repl;
    struct auth *auth;
    const struct web *web;
    const struct settings_ops *settings; /* settings.h */
};

static inline const struct web_options *web_now(const struct services *s)
{
    return atomic_load(&s->web->now);
}

struct http_options {
    const char *bind;
    uint16_t port;
    unsigned pool_threads; /* 0: cores, at most 4 */
    unsigned workers;      /* 0: 2 * cores, 4 to 16 */
    struct services services;
};
struct http;
enum status http_start(const struct http_options *opt, struct http **out, struct err *e) MUST_CHECK;
/* Stops accepting, ends feeds, finishes what is in flight, frees. NULL is fine. */
void http_stop(struct http *h);
#endif
