/* wal/log_priv.h: the insides of a log, shared by the log_*.c files. Only for src/wal.
 *
 * The thread `roller` does what the appender must not wait for: it prepares the next segment when
 * the tail is half full and seals the one that was left. next_state says how far it is:
 *
 *   NONE --(half full, or a roll needs it)--> WANTED --(roller)--> READY --(roll)--> NONE
 *                                                \--> FAILED --(the next roll)--> WANTED
 *
 * Threads: log_append and log_start by the appender; log_read, log_scan by any; the roller.
 */
#ifndef WAL_LOG_PRIV_H
#define WAL_LOG_PRIV_H
#include <stdatomic.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "wal/log.h"
#include "wal/walk.h"

enum log_next { LOG_NEXT_NONE, LOG_NEXT_WANTED, LOG_NEXT_READY, LOG_NEXT_FAILED };

struct log {
    struct seg_store *ss;
    uint64_t store, epoch;
    unsigned char uuid[16];
    uint32_t segment_bytes;
    bool salvage, read_only, started;

    struct mutex mu; /* guards segs, nsegs and the roller's fields; never held across I/O */
    struct cond cv;
    struct log_seg *segs;
    size_t nsegs, cap;
    uint64_t seg_max;    /* highest number ever seen or used */
    struct log_seg next; /* prepared */
    struct log_seg seal; /* left behind, to be sealed; seg 0: none */
    uint64_t del_seg;    /* to be deleted; 0: none */
    enum log_next next_state;
    enum status next_status; /* FAILED: with what */
    struct err next_err;
    enum status del_status;
    struct err del_err;
    bool stop;
    struct thread roller;
    uint64_t *damaged;
    size_t ndamaged;

    _Atomic uint64_t last_lsn; /* durable; written by the appender, read by anybody */
    _Atomic uint64_t bytes, appended, tail_seg;
    uint64_t gaps; /* set by log_open */
    atomic_bool want_roll;

    /* the appender's */
    struct log_seg tail;
    bool failed; /* nothing is written any more; failure says why */
    struct err failure;
    unsigned char *stage; /* headers, paddings and small bodies of a group */
    size_t stage_cap;
    struct iovec *iov;
    size_t iov_cap;
    uint64_t room, room_at_us; /* what the disk had left, and when */
};

/* log_read.c: the row of a segment, NULL if it is gone; the table may move once mu is let go. */
struct log_seg *log_seg_find(struct log *log, uint64_t seg) REQUIRES(log->mu);
/* log_roll.c */
enum status log_roll(struct log *log, struct err *e) MUST_CHECK; /* the tail is a new segment */
void log_roll_ahead(struct log *log); /* after an append: prepare when half full */
enum status log_roll_begin(struct log *log, struct err *e) MUST_CHECK; /* first segment, thread */
void log_roll_end(struct log *log); /* stops the thread, seals the tail */
/* log_scan.c */
struct log_visit {
    uint64_t from; /* records before it are passed over */
    enum status (*fn)(void *arg, const struct log_record *rec, struct err *e);
    void *arg;
};
enum status log_visit_group(const struct log_seg *s, uint32_t off, struct slice payload,
                            const struct log_visit *v, struct err *e) MUST_CHECK;
void log_lost(void *arg, const char *text); /* walk.lost in salvage mode: logs it */
#endif
