/* couch/commit_priv.h: the group that the committer is building (commit_group.c), and what stages
 * one operation into it (commit_doc.c, commit_meta.c). All of it belongs to the committer thread.
 */
#ifndef COUCH_COMMIT_PRIV_H
#define COUCH_COMMIT_PRIV_H
#include "couch/store_priv.h"

/* One operation that will be a record. */
struct slot {
    struct commit_op *op;
    size_t body_off, body_n; /* the record's body in group.bodies */
    /* COMMIT_DOC */
    struct slice key; /* of the 'i' row; arena */
    struct slice was; /* that row as LevelDB has it; empty: it has none */
    struct doc_record rec;
    struct revtree tree;
    size_t head_n; /* the body regions begin here */
    bool winner_is_new, deleted;
    /* COMMIT_DB_CREATE, COMMIT_DB_PROPS: the row as it is to be; security borrows from the op, the
     * group's arena, or is static */
    struct cat_row row;
};

enum { GROUP_HASH = 2048 }; /* a power of two, at least twice LIMIT_GROUP_OPS */

struct group {
    struct store *s;
    struct applier ap; /* its arena serves staging too */
    struct buf bodies; /* of all records, one after the other */
    struct buf region, head;
    size_t n, considered, batches;
    size_t limit; /* bytes, for what is not compaction's */
    bool apart;   /* the disk is nearly full: what makes room has groups of its own */
    bool atomic;  /* an atomic batch is being staged: nothing of it may wait for the next group */
    struct slot slots[LIMIT_GROUP_OPS];
    struct log_record recs[LIMIT_GROUP_OPS];
    struct commit_event events[LIMIT_GROUP_OPS];
    /* Documents in the group by hash of their key: slot index + 1. */
    uint16_t hash[GROUP_HASH];
    struct db *touched; /* databases whose staged counts moved */
    struct commit_batch *finished, **finished_tail;
};

enum staged {
    STAGED_RECORD,  /* a slot was added */
    STAGED_NOTHING, /* the operation is decided: an error, or nothing to write */
    STAGED_LATER    /* it must start the next group */
};

/* The slot that the operation would get, zeroed, and its log record. */
struct slot *group_slot(struct group *g);
struct log_record *group_record(struct group *g);
/* The body of the new slot is what was appended to bodies since body_off. */
void group_add(struct group *g, struct commit_op *op);
void group_touch(struct group *g, struct db *db);

enum staged stage_doc(struct group *g, struct commit_op *op);   /* commit_doc.c */
enum staged stage_local(struct group *g, struct commit_op *op); /* commit_meta.c, like the rest */
enum staged stage_create(struct group *g, struct commit_op *op);
enum staged stage_drop(struct group *g, struct commit_op *op);
enum staged stage_props(struct group *g, struct commit_op *op);
enum staged stage_move(struct group *g, struct commit_op *op);  /* commit_move.c */
enum staged stage_purge(struct group *g, struct commit_op *op); /* commit_purge.c */
enum staged stage_purge_move(struct group *g, struct commit_op *op);
/* The document as LevelDB has it; an empty tree and seq 0 when it is not there. */
/* NOLINTNEXTLINE(readability-function-size): one value and where it goes */
enum status commit_load(struct group *g, struct db *db, struct slice key, struct slice *row,
                        struct docinfo *d, struct err *e) MUST_CHECK;
/* What the counts will be when the document `was` has the tree t (empty: it is gone). */
void commit_count(struct db_counts *c, const struct docinfo *was, const struct revtree *t);
/* The newest slot of this document in the group, or NULL; and the place to note one at. */
struct slot *group_find(struct group *g, struct slice key, uint64_t h, size_t *place);
/* Attachments that the operation carries over and that lie in a segment which compaction takes
 * away, or took: their new places are looked up. ST_UNAVAILABLE: there is none any more. */
enum status commit_fix_atts(struct group *g, const struct docinfo *was,
                            struct commit_op *op) MUST_CHECK;
/* After LevelDB has the rows: the handle and the catalogue follow. */
void publish_create(struct group *g, struct slot *sl, struct db_waiter **woken);
void publish_drop(struct group *g, struct slot *sl, struct db_waiter **woken);
void publish_props(struct slot *sl);
#endif
