/* couch/store.h: a store: one log, one LevelDB, one committer thread, and the databases in it.
 *
 * Opening is recovery (ARCHITECTURE.md): the log's tail is checked, LevelDB's own log dropped, the
 * records after LevelDB's applied LSN are applied again by the very function that the committer
 * uses. Nothing is readable before it is durable, since readers see only LevelDB and LevelDB is
 * written after the log.
 */
#ifndef COUCH_STORE_H
#define COUCH_STORE_H
#include "couch/commit.h"
#include "couch/docinfo.h"
#include "kv/kv.h"
#include "wal/log.h"

struct db;
struct store;
struct updates;

struct store_options {
    const char *dir;         /* the data directory; store n lies in dir/<n>/ */
    uint64_t number;         /* 0, unless a database has its own (stores.h) */
    struct seg_store *segs;  /* NULL: file: of dir; otherwise borrowed (tests) */
    uint32_t segment_bytes;  /* 0: default */
    struct kv_options kv;    /* 0s: defaults */
    struct updates *updates; /* NULL: its own; otherwise borrowed: all stores tell one */
    bool salvage;
    bool no_compaction; /* no thread that compacts: checks, and tests that count segments */
};
enum status store_open(const struct store_options *opt, struct store **out,
                       struct err *e) MUST_CHECK;
/* Waits for what was submitted, barrier, clean flag, frees. NULL is fine. */
void store_close(struct store *s);
/* "" or why the store no longer writes (GET /_up). */
const char *store_trouble(const struct store *s);
/* uuid of the store: identifies the server to replication peers; 32 hex digits and NUL. */
const char *store_uuid(const struct store *s);
const char *store_dir(const struct store *s); /* dir/<n> */

struct kv *store_kv(struct store *s);
uint64_t store_applied(struct store *s); /* the index shows every record up to this LSN */
struct log *store_log(struct store *s);

/* What the committer made durable and visible, in order, before anyone is acknowledged. The call
 * comes from the committer thread, once a group: copy what you need, return fast, take no lock
 * below RANK_VEC_REGISTRY. Also called for dropped databases (dropped set, no docid). */
struct commit_event {
    struct db *db;
    uint64_t seq, docnum;
    struct slice docid;
    bool deleted;        /* the document: all leaves are */
    bool dropped;        /* the database */
    bool winner_in_json; /* json is the winner's body; else the winner is an older revision */
    struct slice json;   /* body of the revision this op wrote */
};
typedef void (*commit_observer_fn)(void *arg, const struct commit_event *ev, size_t n);
void store_observe(struct store *s, commit_observer_fn fn, void *arg); /* before serving */

/* Runs on the committer: whether another store has a database of this name, or is making one. */
typedef bool (*store_taken_fn)(void *arg, struct slice name);
void store_set_taken(struct store *s, store_taken_fn fn, void *arg); /* before serving */

/* divan check: offline, everything of a stopped data directory (storage notes A10: I2, I4 to I7 and
 * all checksums). Findings go to report; *bad counts them. ST_EXISTS: a server runs. */
enum status store_check(const char *dir, void (*report)(void *arg, const char *text), void *arg,
                        uint64_t *bad, struct err *e) MUST_CHECK;
#endif
