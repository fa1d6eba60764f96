/* couch/commit.h: the write path's middle: operations on their way to the committer.
 *
 * A worker prepares operations (doc_write.h) and submits a batch; the committer takes batches in
 * order, cuts them into groups, and for each group: checks every operation against the document's
 * present tree (or the group's own version of it), assigns sequence numbers, appends the log (the
 * moment of durability), applies to LevelDB, tells the observer, and completes batches.
 * Ownership: the batch and all it points to stay alive and unchanged until done() runs.
 * Threads: commit_submit by any thread; done() runs on the committer thread and must only hand over
 * (pool_push); it must not block.
 */
#ifndef COUCH_COMMIT_H
#define COUCH_COMMIT_H
#include "couch/docinfo.h"

struct db;
struct store;

enum commit_kind {
    COMMIT_DOC,
    COMMIT_LOCAL,
    COMMIT_DB_CREATE,
    COMMIT_DB_DROP,
    COMMIT_DB_PROPS, /* security and the limits; empty and 0: as they are */
    COMMIT_PURGE,    /* leaf revisions of a document go as if they had never been */
    COMMIT_MOVE      /* compaction's: what is there stays, and lies elsewhere */
};

/* What a COMMIT_MOVE writes. It moves no update_seq and changes nothing that a client can see. */
enum move_what {
    MOVE_SYNC,  /* nothing: when it is done, whatever was staged before it is applied */
    MOVE_DOC,   /* a document, if its row still is `row`; else ST_CONFLICT */
    MOVE_LOCAL, /* a _local document (op.deleted: that there is none), likewise */
    MOVE_PURGE, /* the info of purge `purge_seq`, while it is kept; that op.docid is gone, if so */
    MOVE_DB,    /* op.db's catalogue row and counts */
    MOVE_DROP,  /* that database `dbnum`, named op.docid, was dropped */
    MOVE_NEXT,  /* the next database number */
    MOVE_GONE   /* bodies: of a LOG_GONE record */
};
struct commit_move {
    enum move_what what;
    uint32_t dbnum;
    uint64_t ver;         /* of the record in the segment that goes away */
    struct slice row;     /* empty: there is no row */
    struct docinfo *info; /* row, with SEG_SELF pointers that count from the start of bodies */
    struct slice bodies;
    uint64_t local_n;
    uint64_t purge_seq, seq, docnum; /* MOVE_PURGE: as the record in the segment has them */
};

/* The row of a document as a worker read it: when nothing has written the document since, the
 * committer need not read it again. */
struct commit_seen {
    bool read;
    uint64_t lsn;     /* everything up to here was applied before the row was read */
    struct slice row; /* empty: there was none */
};

struct commit_op {
    enum commit_kind kind;
    bool new_edits; /* COMMIT_DOC: see path */
    bool deleted;
    bool partitioned;   /* COMMIT_DB_CREATE */
    bool compact;       /* COMMIT_DB_PROPS: older revisions lose their bodies */
    struct db *db;      /* referenced by the submitter; NULL for COMMIT_DB_CREATE */
    struct slice docid; /* also: the local id (without "_local/") or the database's name */
    /* COMMIT_DOC. path[0] is the new revision. new_edits: path[1], if npath is 2, the parent, which
     * must be a leaf; npath 1: the document must not exist. !new_edits: path as in _revisions.
     * COMMIT_PURGE: the revisions to take away, in any order; those that are no leaves stay. */
    const struct rev *path;
    uint32_t npath;
    struct commit_seen seen;     /* COMMIT_DOC */
    uint32_t revs_limit;         /* COMMIT_DB_PROPS */
    uint32_t purged_infos_limit; /* COMMIT_DB_PROPS */
    struct slice security;       /* COMMIT_DB_PROPS */
    struct doc_body body;        /* also: json of a _local document */
    struct rev local_rev;        /* COMMIT_LOCAL: 0-N to write; deleted says remove */
    struct commit_move *move;    /* COMMIT_MOVE */
    /* results */
    enum status st; /* ST_CONFLICT, ST_EXISTS (create), ST_NOT_FOUND (db dropped), ... */
    struct err err;
    uint64_t seq;       /* 0: nothing was written (new_edits=false and already there) */
    bool aborted;       /* another of its atomic batch was refused: st is ST_CONFLICT */
    struct db *created; /* COMMIT_DB_CREATE: referenced */
    bool *purged;       /* COMMIT_PURGE: the submitter's, npath of them: path[i] was taken away */
};

struct commit_batch {
    struct commit_op *ops;
    size_t n;
    void (*done)(struct commit_batch *b);
    /* All operations or none, after a crash as well: they share one group. At most LIMIT_GROUP_OPS
     * documents and _local documents, written as interactive edits. */
    bool atomic;
    /* the committer's */
    size_t next_op;
    size_t bytes;
    struct commit_batch *next;
};

/* ST_UNAVAILABLE: LIMIT_COMMIT_QUEUE_BYTES waiting, or the store stopped writing; then done() will
 * not run. */
enum status commit_submit(struct store *s, struct commit_batch *b, struct err *e) MUST_CHECK;
/* Submits and waits; not for HTTP workers on hot paths, fine for replication and tests. Returns
 * the submit status; look at ops[i].st. */
enum status commit_wait(struct store *s, struct commit_op *ops, size_t n, struct err *e) MUST_CHECK;
#endif
