/* tests/fault/driver.h: how scripts (scripts.c) work on a store and say what they ask of it.
 *
 * Marks in the trace (oracle.c reads them):
 *   Q<n> NL then lines: "+key TAB value", "-key", "*prefix"    request n would change these lines
 *   A<n>                                                      request n was acknowledged
 *   R<n>                                                      request n was refused: it must not be
 *   D NL then all lines                                       this was read: it must stay so
 */
#ifndef FAULT_DRIVER_H
#define FAULT_DRIVER_H
#include "couch/stores.h"

struct drive {
    char *dir;
    uint32_t segment_bytes;
    unsigned phase;
    struct stores *all;
    struct store *s; /* store 0 */
    struct arena *a;
    unsigned requests; /* how many were marked */
    struct err e;
};

enum { EXIT_REFUSED = 3 }; /* the store did not open */
#define FAULT_SECURITY "{\"members\":{\"roles\":[\"r\"]}}"

void drive_open(struct drive *d); /* and marks what is there; exits EXIT_REFUSED */
void drive_close(struct drive *d);
void drive_forget(struct drive *d); /* the references to databases */
void drive_dump(struct drive *d);
/* Opens or creates; NULL when that was refused. The reference is the arena's. */
struct db *drive_db(struct drive *d, const char *name);
struct db *drive_own_db(struct drive *d, const char *name); /* with a store of its own */
void drive_drop(struct drive *d, const char *name);
void drive_props(struct drive *d, struct db *db, uint32_t revs_limit, const char *security);

/* An operation on a document: an update of its winner, or its first revision. */
struct commit_op drive_op(struct drive *d, struct db *db, const char *id, struct slice json);
/* One that follows `before`, which is not written yet. */
struct commit_op drive_after(struct drive *d, const struct commit_op *before, struct slice json);
/* A replicated revision `gen` with the number `branch` in it and in its ancestors. */
struct commit_op drive_graft(struct drive *d, struct db *db, const char *id, uint32_t gen,
                             uint64_t branch);
struct commit_op drive_local(struct drive *d, struct db *db, const char *id, uint64_t n,
                             struct slice json);
/* Adds an attachment of n bytes. */
void drive_attach(struct drive *d, struct commit_op *op, const char *name, size_t n);
struct slice drive_json(struct drive *d, size_t n); /* an object of about n bytes */

/* Marks, commits as one batch, marks the answers. db NULL in the first: nothing happens. */
void drive_run(struct drive *d, struct commit_op *ops, size_t n);
/* As many batches of one operation, all submitted before the first answer. */
void drive_run_apart(struct drive *d, struct commit_op *ops, size_t n);
/* As one batch that is written whole or not at all: one request. */
void drive_run_atomic(struct drive *d, struct commit_op *ops, size_t n);
void drive_put(struct drive *d, struct db *db, const char *id, size_t bytes);
void drive_delete(struct drive *d, struct db *db, const char *id);
/* Purges leaves of the document: the winner, or all; of one that is not there, a revision. */
void drive_purge(struct drive *d, struct db *db, const char *id, bool all);
/* So many infos of purges are kept. */
void drive_purge_limit(struct drive *d, struct db *db, uint32_t n);

/* blob_scripts.c */
void script_blobs(struct drive *d);
void script_blobs_compact(struct drive *d);
void script_blobs_lives(struct drive *d);
#define BLOB_SCRIPTS                                                                               \
    {"blobs", script_blobs, 0}, {"blobs_compact", script_blobs_compact, 4 << 10},                  \
    {                                                                                              \
        "blobs_lives", script_blobs_lives, 0                                                       \
    }

void script_own_store(struct drive *d); /* scripts_own.c */
void script_own_again(struct drive *d);
void script_run(struct drive *d, const char *name); /* exits 2 for an unknown one */
#endif
