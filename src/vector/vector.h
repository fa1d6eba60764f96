/* vector/vector.h: vector indexes: definitions in design documents, search through _find.
 *
 * Contract for users: docs/vector.md (from the vector interface). Design: ARCHITECTURE.md
 * "Vectors". The index is disposable: it is fed only with what the committer made durable, stores
 * the sequence it reflects, and is rebuilt from the documents whenever its files are missing,
 * damaged or newer than the database. Threads: every call by any thread. Queries pin an immutable
 * view; nothing blocks them but the wait for writes that were acknowledged before the query came.
 */
#ifndef VECTOR_VECTOR_H
#define VECTOR_VECTOR_H
#include "couch/db.h"
#include "mango/find.h"

struct stores;
struct vectors; /* all vector indexes of a server */

struct vectors_options {
    double target_recall;   /* 0: .95 */
    unsigned build_threads; /* 0: max(1, cores/2) */
};
/* Registers the commit observer; call before serving. Indexes open lazily or when their design
 * document is seen. */
enum status vectors_open(struct stores *all, const struct vectors_options *opt,
                         struct vectors **out, struct err *e) MUST_CHECK;
void vectors_close(struct vectors *v); /* before stores_close; cancels builds; NULL is fine */

/* POST /{db}/_index with type "vector": {"result":"created"|"exists","id","name"}. Writes the
 * design document through the ordinary write path. */
enum status vectors_index_create(struct vectors *v, struct db *db, const struct json *body,
                                 struct arena *a, struct buf *out, struct err *e) MUST_CHECK;
/* GET /{db}/_index: {"total_rows":n,"indexes":[_all_docs special, vector rows...]} */
enum status vectors_index_list(struct vectors *v, struct db *db, struct arena *a, struct buf *out,
                               struct err *e) MUST_CHECK;
/* DELETE /{db}/_index/{ddoc}/vector/{name} */
enum status vectors_index_delete(struct vectors *v, struct db *db, struct slice ddoc,
                                 struct slice name, struct arena *a, struct err *e) MUST_CHECK;
/* POST /{db}/_find whose request has a vector clause; appends the whole answer. */
enum status vectors_find(struct vectors *v, struct db *db, const struct find_request *rq,
                         struct arena *a, struct buf *out, struct err *e) MUST_CHECK;
enum status vectors_explain(struct vectors *v, struct db *db, const struct find_request *rq,
                            struct arena *a, struct buf *out, struct err *e) MUST_CHECK;
/* GET /{db}/_design/{ddoc}/_vector_info/{name} */
enum status vectors_info(struct vectors *v, struct db *db, struct slice ddoc, struct slice name,
                         struct arena *a, struct buf *out, struct err *e) MUST_CHECK;
/* POST /{db}/_compact/{ddoc}: merges segments that hold dead vectors, in the background. */
enum status vectors_compact(struct vectors *v, struct db *db, struct slice ddoc,
                            struct err *e) MUST_CHECK;
/* POST /{db}/_vector_cleanup: removes files of definitions that are gone. */
enum status vectors_cleanup(struct vectors *v, struct db *db, struct err *e) MUST_CHECK;
/* Rows of _active_tasks ({"type":"indexer",...}), each preceded by a comma if *n > 0. */
void vectors_tasks(struct vectors *v, struct buf *out, unsigned *n);
/* divan check: verifies every index folder of a stopped store (manifest, checksums). A finding
 * about an index is a warning: indexes are disposable. */
enum status vectors_check(const char *store_dir, void (*report)(void *arg, const char *text),
                          void *arg, uint64_t *bad, struct err *e) MUST_CHECK;
#endif
