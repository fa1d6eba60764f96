/* mango/ddoc_fields.h: what the members of a design document must be, whether run or not. */
#ifndef MANGO_DDOC_FIELDS_H
#define MANGO_DDOC_FIELDS_H
#include "base/status.h"
#include "json/json.h"

/* ST_BAD_DDOC, in CouchDB's words: a member has another type than the one it
 * must have, or a view has no map. */
enum status ddoc_fields_check(const struct json *doc, struct err *e) MUST_CHECK;
#endif
