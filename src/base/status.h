/* base/status.h: how a function says it failed.
 *
 * The status is for code to branch on; the reason is for a human. The reason lives
 * in a fixed buffer so that reporting an error cannot itself fail. `word` is the
 * CouchDB error token when the default of the status (http/reply.c) is too general:
 * Mango has some twenty tokens that are all ST_BAD_REQUEST.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

enum status {
    ST_OK = 0,
    ST_NOT_FOUND,       /* 404 not_found */
    ST_CONFLICT,        /* 409 conflict */
    ST_EXISTS,          /* 412 file_exists */
    ST_MISSING_STUB,    /* 412 missing_stub */
    ST_BAD_REQUEST,     /* 400 bad_request, or err.word */
    ST_BAD_DDOC,        /* 400 invalid_design_doc */
    ST_UNAUTHORIZED,    /* 401 unauthorized */
    ST_FORBIDDEN,       /* 403 forbidden */
    ST_METHOD,          /* 405 method_not_allowed */
    ST_NOT_ACCEPTABLE,  /* 406 not_acceptable */
    ST_TOO_LARGE,       /* 413 too_large, or err.word (document_too_large, ...) */
    ST_URI_TOO_LONG,    /* 414 too_long */
    ST_MEDIA_TYPE,      /* 415 bad_content_type */
    ST_RANGE,           /* 416 requested_range_not_satisfiable */
    ST_TIMEOUT,         /* 500 timeout */
    ST_NOT_IMPLEMENTED, /* 501 not_implemented */
    ST_UPSTREAM,        /* 502 bad_gateway: a peer we called failed */
    ST_UNAVAILABLE,     /* 503 service_unavailable, with Retry-After */
    ST_NO_SPACE,        /* 507 insufficient_storage */
    ST_TORN,            /* bytes end early: what a crash leaves */
    ST_CORRUPT,         /* bytes fail their checksum or make no sense: damage */
    ST_IO,              /* the system refused; the reason names the call */
    ST_INTERNAL,        /* 500 internal_server_error */
    ST_COUNT
};

struct err {
    const char *word; /* static string, or NULL for the default of the status */
    char reason[320];
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Writes the reason, clears the word, returns st, so that "return err_set(e, ST_X, ...)" reads
 * well. */
enum status err_set(struct err *e, enum status st, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with CouchDB's error token; word must be a string literal. */
enum status err_word(struct err *e, enum status st, const char *word, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* For functions that own nothing yet; with something to release, use "goto out". */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum status st_ = (call);                                                                  \
        if (st_ != ST_OK)                                                                          \
            return st_;                                                                            \
    } while (0)
#endif
