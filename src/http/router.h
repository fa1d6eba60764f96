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
/* A reader of "_design%2Fx" is sent to "_design/x", as CouchDB does; *to: where. */
bool router_moved(struct request *rq, struct slice uri, struct slice *to);
extern const struct route routes[];
extern const size_t routes_count;
extern const struct upload uploads[];
extern const size_t uploads_count;
#endif
