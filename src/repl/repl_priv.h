/* repl/repl_priv.h: one job, as the files of this folder share it. */
#ifndef REPL_REPL_PRIV_H
#define REPL_REPL_PRIV_H
#include <stdatomic.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "couch/doc_write.h"
#include "repl/peer.h"
#include "repl/repl.h"

enum { REPL_PAGE = 500, REPL_BULK = 100, REPL_HISTORY = 50, REPL_CHECKPOINT_US = 5000000 };

struct repl_spec {
    struct arena *arena; /* of the job: holds all of this */
    struct peer_addr source;
    struct slice target;
    bool create_target, continuous, cancel, use_checkpoints;
    const struct json *doc_ids, *selector;
    struct slice since_seq; /* JSON text or empty */
    char id[33];            /* replication id: hex md5 */
};
/* ST_BAD_REQUEST, ST_NOT_IMPLEMENTED. */
enum status repl_spec_parse(const struct json *body, const char *uuid, struct repl_spec *out,
                            struct err *e) MUST_CHECK;

struct repl_stats {
    _Atomic uint64_t missing_checked, missing_found, docs_read, docs_written, write_failures;
};

struct repl_job {
    struct repl *repl;
    struct repl_job *next; /* GUARDED_BY(repl->lock) */
    struct repl_spec spec;
    struct thread thread;
    _Atomic int stop;
    _Atomic int ended; /* the thread is through with the job */
    _Atomic int refs;  /* the thread, and the handle that the caller holds */
    void (*done)(void *arg);
    void *done_arg;
    bool is_cancel; /* a handle for the answer to cancel, no thread */
    uint64_t started_ms;
    struct repl_stats stats;
    /* the result; written by the thread before done() */
    enum status st;
    struct err err;
    struct buf answer;
    /* the thread's */
    struct stores *stores;
    struct db *db;
    struct peer *peer; /* GUARDED_BY(repl->lock) for wakeups */
    char session_id[33];
    /* Sequences of the source as JSON text: "\"12-x\"" or "12". */
    struct buf start_seq, last_seq, saved_seq;
    uint64_t saved_us;
    struct buf source_log_rev; /* _rev of the source's checkpoint document; empty: none */
    uint64_t target_log_n;     /* N of 0-N of ours; 0: none */
    struct buf old_history;    /* items of earlier sessions, newest first, commas between */
    struct buf start_time;     /* instance_start_time of the source */
    bool no_bulk_get;
    bool target_gone; /* it was dropped while we wrote to it */
};

/* pull.c: the whole of one replication, on the job's thread. */
enum status repl_pull(struct repl_job *j, struct err *e) MUST_CHECK;
/* fetch_doc.c */
struct repl_want { /* one revision to fetch */
    struct slice id, rev;
    const struct json *ancestors; /* revisions of it that are here; or NULL */
};
/* Fetches it with its attachments and writes it; attachments pass in pieces from the source to the
 * disk. Absent at the source (purged meanwhile): left out. */
enum status repl_fetch_doc(struct repl_job *j, const struct repl_want *w, struct err *e) MUST_CHECK;
/* A document that we cannot take (a bad member, too large) is counted and left out, as CouchDB
 * does; a full disk or a stopping store ends the replication. ST_MISSING_STUB is for the caller. */
enum status repl_add_doc(struct repl_job *j, struct arena *a, struct doc_edit *ed,
                         struct commit_op *ops, size_t *n, struct err *e) MUST_CHECK;
enum status repl_write_docs(struct repl_job *j, struct commit_op *ops, size_t n,
                            struct err *e) MUST_CHECK;
/* checkpoint.c */
enum status checkpoint_load(struct repl_job *j, struct arena *a, struct err *e) MUST_CHECK;
/* Where to go on: source_last_seq if both logs end with the same session, else recorded_seq of the
 * newest session of the source's history that the target's knows. NULL: nowhere, from the start. */
const struct json *checkpoint_common_seq(const struct json *src, const struct json *tgt);
enum status checkpoint_save(struct repl_job *j, struct err *e) MUST_CHECK;
void checkpoint_history_item(struct repl_job *j, struct buf *out);
void repl_buf_set(struct buf *b, struct slice s);
#endif
