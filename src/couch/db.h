/* couch/db.h: databases: the catalogue and one open database.
 *
 * A name leads to a database number, which is never used again: a re-created name never sees old
 * rows. The open handle is small (no thread, no file); handles are counted.
 */
#ifndef COUCH_DB_H
#define COUCH_DB_H
#include "couch/store.h"

/* ---- catalogue ---- */
/* ^[a-z][a-z0-9_$()+/-]*$ or _users, _replicator, _global_changes; err.word set. */
enum status db_name_check(struct slice name, struct err *e) MUST_CHECK;
/* In this store; a server asks stores_db (stores.h). ST_NOT_FOUND "Database does not exist."; *out
 * is referenced. */
enum status db_open(struct store *s, struct slice name, struct db **out, struct err *e) MUST_CHECK;
struct db *db_ref(struct db *db);
void db_release(struct db *db); /* NULL is fine */
/* Names in byte order from `from` on; arena. */
enum status db_list(struct store *s, struct arena *a, struct slice **names, size_t *n,
                    struct err *e) MUST_CHECK;
/* ---- one database ---- */
struct store *db_store(const struct db *db);
struct slice db_name(const struct db *db);
uint32_t db_num(const struct db *db);
const unsigned char *db_uuid(const struct db *db); /* 16 bytes */
uint64_t db_created_us(const struct db *db);       /* instance_start_time */
bool db_partitioned(const struct db *db);          /* couch/partition.h */
bool db_dropped(const struct db *db);
uint64_t db_update_seq(const struct db *db); /* of what is readable */
struct db_counts {
    uint64_t docs, deleted, external_bytes, update_seq;
    /* Of purges so far, and the first whose info is kept (purge_seq + 1: none). */
    uint64_t purge_seq, purge_first;
};
void db_get_counts(struct db *db, struct db_counts *out);
uint32_t db_revs_limit(const struct db *db);
uint32_t db_purged_infos_limit(const struct db *db);
struct slice db_security(struct db *db, struct arena *a); /* JSON text */
struct db_disk {
    uint64_t file;     /* its part of the files: of log and index, by its part of the live bytes */
    uint64_t external; /* JSON of the winners, and attachments as they are stored */
    uint64_t active;   /* live bytes in segments */
};
void db_get_disk(struct db *db, struct db_disk *out);
/* Of a doc-info as it was read: revisions that are no leaves lose has_body where their bodies went
 * away, or were given up by _compact. Whoever decodes an 'i' row for its older revisions calls
 * it. */
void docinfo_hide_old(struct db *db, struct docinfo *d);
/* ---- compaction (compact.c) ---- */
/* Starts it after a COMMIT_DB_PROPS with `compact` was done; a second call joins the first. */
void db_compact_start(struct db *db);
bool db_compact_running(const struct db *db);
/* Rows of _active_tasks; each preceded by a comma if *n > 0. */
void store_tasks(struct store *s, struct buf *out, unsigned *n);

/* ---- sequence tokens: "<n>-<first 8 hex of uuid>", opaque to clients ---- */
void seq_write(struct buf *b, const struct db *db, uint64_t seq); /* no quotes */
/* Takes our own token, a bare integer, a quoted one; one of another incarnation or server reads as
 * 0 (replay everything, never a silent skip). ST_BAD_REQUEST: undecodable. "now": the present. */
enum status seq_parse(const struct db *db, struct slice text, uint64_t *out,
                      struct err *e) MUST_CHECK;

/* ---- waiting for writes ---- */
struct db_waiter {
    void (*wake)(struct db_waiter *w); /* once; on the committer thread: hand over, do not block */
    struct db_waiter *next;
    struct db_waiter **prev;
    uint64_t since;
};
/* Calls wake when update_seq > w->since or the database is dropped; false: already so, and the
 * waiter was not queued. */
bool db_wait(struct db *db, struct db_waiter *w);
/* true: removed, wake will not come. false: wake came or is coming. */
bool db_wait_cancel(struct db *db, struct db_waiter *w);
#endif
