/* couch/doc_related.h: a document that comes as multipart/related (couchdb-surface A.10, B.5), in
 * pieces: the JSON is collected, every other part goes to an att_upload, so that the document may
 * be larger than memory. Threads: as att_io.h: workers and replications, one at a time.
 */
#ifndef COUCH_DOC_RELATED_H
#define COUCH_DOC_RELATED_H
#include "couch/doc_write.h"

struct doc_related;
/* a: for the document and what belongs to it; outlives it. */
struct doc_related *doc_related_new(struct db *db, struct arena *a, struct slice boundary);
enum status doc_related_add(struct doc_related *d, struct slice bytes, struct err *e) MUST_CHECK;
/* The body has ended: ed->doc and ed->follows. */
enum status doc_related_end(struct doc_related *d, struct doc_edit *ed, struct err *e) MUST_CHECK;
/* Bytes in memory. */
size_t doc_related_held(const struct doc_related *d);
/* Only after the commit is done; NULL is fine. */
void doc_related_free(struct doc_related *d);
#endif
