/* wal/walk.h: goes through the groups of a log in order and tells a torn end from damage.
 *
 * Where the bytes stop making sense at LSN x, one question decides: does a valid group header
 * follow, here or in a later segment, that says "x was durable when I was written"? Then
 * acknowledged bytes are damaged. If not, a crash cut the last write short, and nobody was told
 * that it succeeded.
 * Threads: a walk has one user.
 */
#ifndef WAL_WALK_H
#define WAL_WALK_H
#include "wal/frame.h"
#include "wal/gone.h"

struct log_seg {
    uint64_t seg, epoch;
    uint64_t first_lsn; /* of the first group; 0: it has none */
    uint32_t salt;
    uint32_t len; /* bytes that count; of the file while nobody has checked */
    bool good;    /* the header is valid */
};

struct walk {
    struct seg_store *ss;
    uint64_t store;
    struct log_seg *segs; /* borrowed; len is set to where a segment's groups turn out to end */
    size_t nsegs;
    /* Set: damage is told and skipped. NULL: damage ends the walk. */
    void (*lost)(void *arg, const char *text);
    void *arg;
    /* the next group is at segs[at], off, and must start with next_lsn */
    size_t at;
    uint32_t off;
    uint64_t next_lsn;
    /* LSNs that compaction took away: looked for at the first gap */
    struct gone gone;
    bool gone_known;
    uint64_t gaps; /* gone over so far */
    /* a window over segment win_at */
    char *buf;
    size_t cap, win_at;
    uint32_t win_off, win_len;
};

void walk_init(struct walk *w, struct seg_store *ss, uint64_t store, struct log_seg *segs,
               size_t nsegs);
void walk_fini(struct walk *w);
/* To the segment that holds lsn, or the first one. ST_CORRUPT: the log starts later than lsn. */
enum status walk_seek(struct walk *w, uint64_t lsn, struct err *e) MUST_CHECK;
/* The next group, checked whole; payload is borrowed until the next call, *off is where it lies in
 * segs[at]. ST_NOT_FOUND: the end, nothing after it. ST_TORN: the end, with the rest of a write
 * that was cut short after it; both leave (at, off) at the end. ST_CORRUPT, ST_IO. */
enum status walk_next(struct walk *w, struct frame_group *g, struct slice *payload, uint32_t *off,
                      struct err *e) MUST_CHECK;
/* Fills the table of a store's segments: headers and first groups. uuid NULL: not compared; epochs
 * above epoch_max are damage. A bad header leaves good = false and, unless the segment never held
 * anything, counts as damage: told to lost, or ST_CORRUPT when lost is NULL. */
struct walk_table {
    struct seg_store *ss;
    uint64_t store;
    const unsigned char *uuid;
    uint64_t epoch_max;
    void (*lost)(void *arg, const char *text);
    void *arg;
};
enum status walk_table_load(const struct walk_table *t, struct log_seg **out, size_t *n,
                            struct err *e) MUST_CHECK;
#endif
