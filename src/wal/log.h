/* wal/log.h: the log of one store: the write-ahead log and the value store in one.
 *
 * A log is a row of segments; a segment is a header and groups; a group is what one durable
 * append wrote: a header and records. LSNs number the records of a log from 1 without a gap.
 * Formats to the byte: docs/format.md. Design: shared storage notes A4 to A7.
 *
 * Threads: log_append by one thread at a time (the committer); log_read by any thread.
 * Failure: ST_NO_SPACE leaves the log as it was and usable. An error whose outcome cannot be known
 * (fsync failed) stops the process: log_append does not return from it.
 */
#ifndef WAL_LOG_H
#define WAL_LOG_H
#include "base/arena.h"
#include "base/buf.h"
#include "wal/seg_store.h"

/* On disk: never renumber. */
enum log_type {
    LOG_DOC = 1,
    LOG_LOCAL = 2,
    LOG_DBMETA = 3,
    LOG_PURGE = 4,
    LOG_NODE = 5,
    LOG_EPOCH = 6,
    LOG_PAD = 7,
    LOG_GONE = 8 /* segments that compaction deleted (gone.h) */
};
enum log_flag { LOG_F_TOMBSTONE = 1, LOG_F_MOVED = 2 };

struct log_record {
    enum log_type type;
    uint8_t flags;
    uint32_t dbnum;
    uint64_t lsn;      /* out */
    uint64_t ver;      /* LSN of the first commit; 0 on append means "my own lsn" */
    uint64_t keyhash;  /* hash64 of dbnum and key */
    struct slice body; /* append: borrowed; scan: borrowed from the scanner's buffer */
    uint64_t seg;      /* out: where the body lies; a SEG_SELF pointer with offset o (from the */
    uint32_t body_off; /* body's first byte) resolves to {seg, body_off + o} */
};

struct log_options {
    uint64_t store;
    uint32_t segment_bytes; /* 0: LIMIT_SEGMENT_BYTES */
    bool salvage;           /* go over what log_salvage could not mend; never the default */
    bool read_only;         /* `divan check`: nothing is cut, sealed, rewritten */
};
struct log;

/* Recovery, first half (A7 steps 5 to 8): lists segments, checks every group from the segment that
 * holds LSN `from` on, cuts a torn tail off, makes the rest durable. ST_CORRUPT: acknowledged bytes
 * are damaged, with where. `super` comes from acquire. */
enum status log_open(struct seg_store *ss, const struct log_options *opt,
                     const struct ss_super *super, uint64_t from, struct log **out,
                     struct err *e) MUST_CHECK;
/* Visits every record with lsn >= from in LSN order (EPOCH and PAD too). The record is borrowed
 * for the call. Stops at the first status that is not ST_OK and returns it. */
enum status log_scan(struct log *log, uint64_t from,
                     enum status (*fn)(void *arg, const struct log_record *rec, struct err *e),
                     void *arg, struct err *e) MUST_CHECK;
/* Recovery, last step: new segment under the acquired epoch, EPOCH record, durable. After it
 * log_append may be called. */
enum status log_start(struct log *log, struct err *e) MUST_CHECK;

/* One group: assigns LSNs, writes, makes durable. ST_NO_SPACE: nothing happened. */
enum status log_append(struct log *log, struct log_record *recs, size_t n,
                       struct err *e) MUST_CHECK;
/* So little room is left that a group which takes some may be refused. A group is refused as a
 * whole: what makes room is then not to be in one with it. The appender's. */
bool log_is_short(struct log *log);

/* The bytes a pointer names, checked against its CRC, into out (p.len bytes). ST_CORRUPT,
 * ST_NOT_FOUND (the segment is gone), ST_IO. */
enum status log_read(struct log *log, const struct seg_ptr *p, void *out, struct err *e) MUST_CHECK;
/* Bytes at a place without a check: read-ahead for callers that check each pointer themselves. The
 * range is clipped to the end of the segment; *n is what was read. */
enum status log_read_raw(struct log *log, uint64_t seg, uint32_t off, void *out, uint32_t *n,
                         struct err *e) MUST_CHECK;

/* ---- damage met while running; log_damage.c ----
 * log_read and log_scan_seg note the segment in which bytes failed their checksum (in memory: it is
 * met again after a restart). It is told once; compaction leaves such a segment alone. */
void log_note_damage(struct log *log, uint64_t seg, const struct err *why);
bool log_is_damaged(struct log *log, uint64_t seg);
/* Copies up to max of their numbers; how many there are. */
size_t log_damaged(struct log *log, uint64_t *out, size_t max);

/* ---- compaction (couch/compact.c); log_gone.c ---- */
struct log_seg_info {
    uint64_t seg, first_lsn; /* first_lsn 0: it has no group */
    uint32_t len;
    bool sealed; /* not the tail: nothing is appended to it any more */
};
/* A copy of the table in order of numbers; mem_free() it. */
size_t log_segments(struct log *log, struct log_seg_info **out);
bool log_has_seg(struct log *log, uint64_t seg);
/* Like log_scan, of one sealed segment. ST_CORRUPT also when its groups do not fill it. */
enum status log_scan_seg(struct log *log, uint64_t seg,
                         enum status (*fn)(void *arg, const struct log_record *rec, struct err *e),
                         void *arg, struct err *e) MUST_CHECK;
/* Forgets and deletes a sealed segment; durable. Its LSNs must be in a LOG_GONE record. */
enum status log_delete_seg(struct log *log, uint64_t seg, struct err *e) MUST_CHECK;
/* The next append starts a new segment, unless the tail has no group yet. */
void log_want_roll(struct log *log);
/* How many gaps log_open went over: when it started after LSN 1, the index is older than the log's
 * last compaction. */
uint64_t log_gaps(const struct log *log);

/* Salvage, before log_start: the next record has LSN lsn + 1 although the log ends before. */
void log_skip_to(struct log *log, uint64_t lsn);

uint64_t log_last_lsn(const struct log *log);
uint64_t log_bytes(const struct log *log); /* of all segments */
/* Bytes appended since log_open: never goes back, whatever compaction deletes. */
uint64_t log_appended(const struct log *log);
uint64_t log_tail_seg(const struct log *log);
void log_close(struct log *log); /* seals the tail when it was started; NULL is fine */

/* Offline verification for `divan check`: every header, group and record of every segment. Calls
 * report(arg, text) for each finding; *bad counts them. */
enum status log_check(struct seg_store *ss, uint64_t store,
                      void (*report)(void *arg, const char *text), void *arg, uint64_t *bad,
                      struct err *e) MUST_CHECK;
#endif
