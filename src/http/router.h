/* http/router.h: from a raw target to a route. */
#ifndef HTTP_ROUTER_H
#define HTTP_ROUTER_H
#include "http/request.h"

/* Splits the raw path at '/', decodes each segment afterwards, joins "_design" and "_local" with
 * what follows, splits and decodes the query. ST_BAD_REQUEST invalid_url_encoding. */
enum status request_parse(struct request *rq, struct slice uri) MUST_CHECK;
/* Sets route and args. ST_NOT_FOUND, ST_METHOD, ST_MEDIA_TYPE. */
enum status router_find(struct request *rq) MUST_CHECK;
struct slice router_allow(struct request *rq); /* "GET,HEAD,PUT" for this path */
/* What is before sep, or all; *rest moves behind it. */
struct slice slice_cut(struct slice *rest, char sep);
extern const struct route routes[];
extern const size_t routes_count;
extern const struct upload uploads[];
extern const size_t uploads_count;
#endif
