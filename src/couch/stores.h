/* couch/stores.h: the stores of a server: store 0, where databases live together, and one store for
 * each database that was created with ?placement=own.
 *
 * Invariant: a name is in one store at most. Which store it is in no table says: every store knows
 * its own databases, and a store other than 0 that has none is removed, at once or by the next
 * start. So a database with its store comes to be, and goes, by one record in that store's log, and
 * no crash can leave half of it. Threads: any, unless said.
 */
#ifndef COUCH_STORES_H
#define COUCH_STORES_H
#include "couch/db.h"
#include "couch/doc_write.h"

struct stores;

/* Opens every store of opt->dir; opt->number is not looked at. ST_CORRUPT also when two stores have
 * a database of the same name. */
enum status stores_open(const struct store_options *opt, struct stores **out,
                        struct err *e) MUST_CHECK;
void stores_close(struct stores *all);             /* NULL is fine */
struct store *stores_main(struct stores *all);     /* store 0 */
const char *stores_uuid(const struct stores *all); /* identifies the server: store 0's */
/* ST_UNAVAILABLE, with the reason: a store no longer writes. */
enum status stores_trouble(struct stores *all, struct err *e) MUST_CHECK;

/* Adds the names of files in which something failed its checksum. The rest is served. */
void stores_damaged(struct stores *all, struct arena *a, struct json *list);

/* ST_NOT_FOUND "Database does not exist."; *out is referenced. */
enum status stores_db(struct stores *all, struct slice name, struct db **out,
                      struct err *e) MUST_CHECK;
/* Names in byte order; arena. */
enum status stores_list(struct stores *all, struct arena *a, struct slice **names, size_t *n,
                        struct err *e) MUST_CHECK;
/* A COMMIT_DB_CREATE in a new store, instead of submitting it to store 0: waits for several fsyncs.
 * Returns also what op->st says. ST_EXISTS, ST_UNAVAILABLE: LIMIT_OWN_STORES. */
enum status stores_create_own(struct stores *all, struct commit_op *op, struct err *e) MUST_CHECK;
bool db_is_own(const struct db *db); /* it has its store for itself */

/* As store_observe, for every store that is or will be. Committers call it, several at a time. */
void stores_observe(struct stores *all, commit_observer_fn fn, void *arg); /* before serving */
/* store_set_max_doc and store_set_max_att, at any time. */
void stores_set_limits(struct stores *all, uint32_t doc, uint64_t att);
/* As store_set_validator. */
void stores_set_validator(struct stores *all, doc_validator_fn fn, void *arg); /* before serving */
/* Rows of _active_tasks of every store. */
void stores_tasks(struct stores *all, struct buf *out, unsigned *n);
/* Calls fn for each store. Before serving: while stores may come and go it is not to be called. */
void stores_each(struct stores *all, void (*fn)(void *arg, struct store *s), void *arg);
#endif
