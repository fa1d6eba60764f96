/* wal/seg_store.h: where segments live. One table of calls so that the log does not know whether
 * its bytes are files, a test's memory or (later) objects of a cluster (docs/format.md, "Segment
 * store").
 *
 *  1. A segment is append-only. It is named by (store, number); numbers are never reused.
 *  2. append is durable when it returns SS_OK, and says exactly where it must land: `expect_off`
 *     is the segment's length so far. SS_UNKNOWN: nobody knows whether it happened; call
 *     resolve() before anything else. On SS_NOSPC nothing of it remains.
 *  3. Every call that changes something names the epoch it was acquired under; a store that was
 *     acquired by another one since answers SS_FENCED for ever.
 *  4. Only src/wal opens segment files; nobody maps them.
 * Threads: appends by one thread at a time per store; seg_create, seal and del of other segments
 * by one more (the log prepares the next segment and seals the last one aside); read by any.
 */
#ifndef WAL_SEG_STORE_H
#define WAL_SEG_STORE_H
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"
#include "base/status.h"

enum ss_rc { SS_OK, SS_FENCED, SS_NOSPC, SS_UNKNOWN, SS_CORRUPT, SS_NOENT, SS_EXISTS, SS_IO };

/* 20 bytes on disk: u64 seg, u32 off, u32 len, u32 crc32c of the bytes pointed at (seeded with 0).
 * seg == SEG_SELF: in the record that holds the pointer, see docs/format.md. */
struct seg_ptr {
    uint64_t seg;
    uint32_t off, len, crc;
};
enum { SEG_PTR_BYTES = 20 };
#define SEG_SELF UINT64_MAX
/* The top bit of a segment number says that it is the id of a blob (wal/blob.h). */
#define SEG_BLOB (1ull << 63)
static inline bool seg_is_blob(uint64_t seg)
{
    return (seg & SEG_BLOB) != 0 && seg != SEG_SELF;
}
void seg_ptr_put(unsigned char out[SEG_PTR_BYTES], const struct seg_ptr *p);
struct seg_ptr seg_ptr_get(const unsigned char in[SEG_PTR_BYTES]);

struct seg_store;
struct seg_info {
    uint64_t seg;
    uint32_t len;
};

/* What the store knew when it was acquired. */
struct ss_super {
    unsigned char uuid[16];
    uint64_t epoch; /* of this acquisition: one more than any before */
    bool created;   /* the store did not exist before */
    bool clean;     /* the last owner said ss_clean and nothing came after */
    uint64_t replay_hint_seg;
};

/* Objects hold what is too large for a record (wal/blob.h). One is written front to back, then
 * finished, and never changes after: only then it counts. What a crash leaves unfinished is listed
 * and can be deleted, nothing else. An id is never used twice. Threads: any, each on objects of its
 * own; reading by all. */
struct obj_name {
    uint64_t store, epoch, id;
};
struct obj_info {
    uint64_t id, len;
    bool finished;
};

struct seg_store_ops {
    /* Takes the store for writing: returns only when every lower epoch is fenced. file: flock on
     * the data directory's LOCK (SS_EXISTS: another process holds it), epoch in STORE. */
    enum ss_rc (*acquire)(struct seg_store *s, uint64_t store, struct ss_super *out, struct err *e);
    /* Records hint and clean flag (graceful shutdown; clean is cleared by the next acquire). */
    enum ss_rc (*checkpoint)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t hint_seg,
                             bool clean, struct err *e);
    enum ss_rc (*seg_create)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                             const void *hdr, size_t n, struct err *e); /* durable, name and all */
    enum ss_rc (*append)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                         uint32_t expect_off, const struct iovec *iov, int n, struct err *e);
    enum ss_rc (*resolve)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                          uint32_t *len, struct err *e);
    enum ss_rc (*truncate)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                           uint32_t len, struct err *e); /* a torn tail at recovery; durable */
    /* Makes what is there durable although a crash may have left it only in the page cache. */
    enum ss_rc (*rewrite)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                          uint32_t len, struct err *e);
    enum ss_rc (*seal)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                       uint32_t len, struct err *e);
    enum ss_rc (*read)(struct seg_store *s, uint64_t store, uint64_t seg, uint32_t off, void *buf,
                       uint32_t len, struct err *e); /* SS_CORRUPT when the segment is shorter */
    enum ss_rc (*list)(struct seg_store *s, uint64_t store, struct seg_info **out, size_t *n,
                       struct err *e); /* ascending; caller mem_free()s */
    enum ss_rc (*del)(struct seg_store *s, uint64_t store, uint64_t epoch, uint64_t seg,
                      struct err *e);
    enum ss_rc (*obj_create)(struct seg_store *s, const struct obj_name *o, struct err *e);
    /* Not durable before obj_finish. SS_NOSPC, SS_IO: the object is of no use, delete it. */
    enum ss_rc (*obj_append)(struct seg_store *s, const struct obj_name *o, uint64_t expect_off,
                             const struct iovec *iov, int n, struct err *e);
    enum ss_rc (*obj_finish)(struct seg_store *s, const struct obj_name *o,
                             struct err *e); /* durable, name and all */
    /* Of a finished one; the epoch does not matter. SS_CORRUPT when it is shorter. */
    enum ss_rc (*obj_read)(struct seg_store *s, const struct obj_name *o, uint64_t off, void *buf,
                           uint32_t len, struct err *e);
    /* Its length; SS_NOENT when there is none, or none that is finished. */
    enum ss_rc (*obj_stat)(struct seg_store *s, const struct obj_name *o, uint64_t *len,
                           struct err *e);
    enum ss_rc (*obj_list)(struct seg_store *s, uint64_t store, struct obj_info **out, size_t *n,
                           struct err *e); /* in no order; caller mem_free()s */
    /* Finished or not. After a crash it may be there again. */
    enum ss_rc (*obj_del)(struct seg_store *s, const struct obj_name *o, struct err *e);
    /* Around everything that deletes what a copy of the store may need: SS_EXISTS while somebody
     * copies the files (wal/backup.h): delete nothing, ask again later. *token goes to end. */
    enum ss_rc (*reclaim_begin)(struct seg_store *s, int *token, struct err *e);
    void (*reclaim_end)(struct seg_store *s, int token);
    /* Numbers of the stores that there are, ascending; caller mem_free()s. When one of them is
     * acquired it also finishes a destroy that a crash cut short. */
    enum ss_rc (*stores)(struct seg_store *s, uint64_t **out, size_t *n, struct err *e);
    /* What acquire and later calls opened of one store is closed; others go on. */
    void (*release)(struct seg_store *s, uint64_t store);
    /* Removes an acquired store with everything in it, at once or (after a crash) not at all. */
    enum ss_rc (*destroy)(struct seg_store *s, uint64_t store, uint64_t epoch, struct err *e);
    /* How much may still be written; what is kept in reserve is not counted. */
    uint64_t (*free_bytes)(struct seg_store *s);
    /* The same for those who make room: they may use the reserve but for a quarter of it, which
     * the index needs to go on. */
    uint64_t (*reserve_bytes)(struct seg_store *s);
    void (*close)(struct seg_store *s); /* releases the lock, frees s */
};
struct seg_store {
    const struct seg_store_ops *ops;
    uint32_t segment_bytes; /* what a segment is going to hold: a hint for reserving; 0: default */
};

/* uri "file:DIR" (the data directory; segments of store n are DIR/<n>/log/%016x.seg) or
 * "mem:seed=7" (src/wal/seg_mem.h: fault-injecting, for tests). */
enum status seg_store_open(const char *uri, struct seg_store **out, struct err *e) MUST_CHECK;
/* Reading without an owner (`divan check` on a stopped server): wal/seg_file.h, seg_file_lock. */
enum status ss_status(enum ss_rc rc); /* SS_NOSPC -> ST_NO_SPACE, ... */
#endif
