/* http/cors.h: other origins: what a browser may ask from a page of another site, and what a page
 * of another site may not do with a cookie of ours. */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H
#include "http/request.h"

/* Whether it was a preflight that is granted; answered then. Before authentication. */
bool cors_preflight(struct request *rq, struct reply *rp);
/* The headers that let a page of another origin see the answer. */
void cors_headers(struct request *rq, struct reply *rp);
/* ST_FORBIDDEN when a page of another origin that is not allowed sent this. */
enum status cors_same_origin(struct request *rq) MUST_CHECK;
/* Writes that a cookie authenticated: same origin, and no POST that a form could send. */
enum status cors_guard(struct request *rq) MUST_CHECK;
#endif
