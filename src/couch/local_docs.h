/* couch/local_docs.h: the _local documents of a database as rows, as CouchDB's _local_docs shows
 * them. Runs on workers; one reader by one thread at a time. */
#ifndef COUCH_LOCAL_DOCS_H
#define COUCH_LOCAL_DOCS_H
#include "couch/changes.h"

struct local_docs;
/* Of opts: range (ids with their "_local/"), descending, inclusive_end, include_docs, limit, skip.
 */
struct local_docs *local_docs_new(struct db *db, const struct all_docs_opts *opts);
void local_docs_free(struct local_docs *r); /* NULL is fine */
/* Appends {"id","key","value":{"rev":"0-N"},"doc"?}; *got false at the end. */
enum status local_docs_next(struct local_docs *r, struct buf *out, bool *got,
                            struct err *e) MUST_CHECK;
/* The row of the keys= form for this id: found, or {"key","error":"not_found"}. */
enum status local_docs_key(struct db *db, struct slice id, bool include_docs, struct arena *a,
                           struct buf *out, struct err *e) MUST_CHECK;
#endif
