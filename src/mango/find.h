/* mango/find.h: _find without a vector clause: a scan over all documents with the usual warning
 * until JSON indexes come. Runs on workers. */
#ifndef MANGO_FIND_H
#define MANGO_FIND_H
#include "couch/db.h"
#include "mango/selector.h"

/* The members that both kinds of _find share, checked (couchdb-surface D.1); unknown members are
 * 400 invalid_key "Invalid key x for this request"; `vector` is the caller's. */
struct find_request {
    struct selector *selector;
    const struct json *selector_json;
    uint64_t limit, skip;
    const struct json *sort; /* array or NULL */
    struct projection fields;
    const struct json *fields_json;
    struct slice use_ddoc, use_name; /* use_index; empty: none. ddoc without "_design/" */
    struct slice bookmark;           /* empty for "nil" or none */
    bool conflicts, execution_stats, allow_fallback, update;
    const struct json *vector; /* NULL: none */
    bool no_vectors;           /* "vectors": false: leave the index's vector fields out of docs */
};
enum status find_request_parse(struct arena *a, const struct json *body, struct find_request *out,
                               struct err *e) MUST_CHECK;
/* Appends the whole answer {"docs":[..],"bookmark":..,...}. */
enum status find_run(struct db *db, const struct find_request *rq, struct arena *a, struct buf *out,
                     struct err *e) MUST_CHECK;
enum status find_explain(struct db *db, const struct find_request *rq, struct arena *a,
                         struct buf *out, struct err *e) MUST_CHECK;
/* The winner of id as a whole document value (with _id, _rev): what selectors and projections see.
 */
const struct json *find_doc_json(struct arena *a, struct slice id, const struct rev *rev,
                                 struct slice body_json, struct err *e);
#endif
