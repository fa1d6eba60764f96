/* couch/compact_priv.h: the compaction of one segment (compact_segment.c, compact_sweep.c) and the
 * thread that chooses segments (compact.c). */
#ifndef COUCH_COMPACT_PRIV_H
#define COUCH_COMPACT_PRIV_H
#include "couch/store_priv.h"

enum { COMPACT_BATCH = 256 };

/* Tells progress and slows down; false: stop, the store closes. */
struct compact_pace {
    bool (*moved)(void *arg, uint64_t bytes);
    bool (*wait)(void *arg, uint64_t us);
    uint64_t grace_us; /* before the file goes: for readers that have just read a row */
    void *arg;
};
enum status compact_one(struct store *s, uint64_t seg, const struct compact_pace *pace,
                        struct err *e) MUST_CHECK;

/* ---- one segment's compaction: compact_segment.c and compact_sweep.c ---- */
struct compact_work {
    struct store *s;
    const struct compact_pace *pace;
    uint64_t seg, first_lsn, last_lsn;
    bool oldest;        /* no record is older than the segment's */
    bool counting;      /* only look: how much is still needed */
    bool needs_next;    /* it has records that say what the next database number is */
    uint64_t needed;    /* found while counting */
    struct map *dbs;    /* all of them: dbnum(4) -> struct db, referenced */
    struct map *states; /* databases of which it has catalogue records: dbnum(4) -> struct db */
    struct arena *a;    /* of the batch */
    struct buf bodies;
    struct commit_op ops[COMPACT_BATCH];
    struct commit_move moves[COMPACT_BATCH];
    size_t n, bytes, looked; /* looked: rows read since the arena was empty */
};

struct compact_work *compact_work_new(struct store *s, uint64_t seg,
                                      const struct compact_pace *pace);
/* Before compact_db_of: the databases that there are. */
void compact_list_dbs(struct compact_work *w);
void compact_work_free(struct compact_work *w);
bool compact_no_pace(void *arg, uint64_t bytes);
/* NULL: it does not exist (any more). Valid until the work ends. */
struct db *compact_db_of(struct compact_work *w, uint32_t dbnum);
/* A move in the batch, which must have room; valid until the next flush. db may be NULL. */
struct commit_op *compact_next_op(struct compact_work *w, struct db *db, enum move_what what,
                                  uint64_t ver);
/* Makes a move of the document if it needs the segment; *is_in says whether it does. ver: of the
 * record that led to it, or 0. */
enum status compact_look_doc(struct compact_work *w, struct db *db, struct slice id, uint64_t ver,
                             bool *is_in, struct err *e) MUST_CHECK;
/* The same of a record without a body, as salvage writes it of a document whose body is lost: while
 * nothing newer is known of the document, it is said again. */
enum status compact_look_bare(struct compact_work *w, struct db *db, const struct log_record *rec,
                              struct err *e) MUST_CHECK;
/* A leaf's body region, and those of its attachments that lie in w->seg, behind what the move
 * carries already. */
enum status compact_carry_leaf(struct compact_work *w, struct revnode *n, struct err *e) MUST_CHECK;
/* Commits the batch and empties it, and the arena. ST_UNAVAILABLE: the store closes. */
enum status compact_flush(struct compact_work *w, struct err *e) MUST_CHECK;
/* Before something is added: makes room for it. */
enum status compact_flush_when_full(struct compact_work *w, struct err *e) MUST_CHECK;
/* compact_purge.c: looks at a LOG_PURGE record of the segment; makes the moves that it needs. */
enum status compact_see_purge(struct compact_work *w, const struct log_record *rec,
                              struct err *e) MUST_CHECK;
/* compact_gone.c: the segment is empty, and LevelDB durable without it: GONE record, grace, unlink.
 * Within store_may_delete. */
enum status compact_take_away(struct compact_work *w, struct err *e) MUST_CHECK;
/* compact_sweep.c: moves, or counts, what of all rows needs the segment; ends with a flush. */
enum status compact_sweep(struct compact_work *w, struct err *e) MUST_CHECK;
#endif
