/* wal/seg_fds.h: a small cache of segment files open for reading.
 *
 * Sets of 8, least recently used out first. A descriptor in use is pinned, so that another thread
 * cannot close it under a read. Threads: any.
 */
#ifndef WAL_SEG_FDS_H
#define WAL_SEG_FDS_H
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"

enum { SEG_FDS_WAYS = 8, SEG_FDS_SETS = 32 };

struct seg_fd {
    uint64_t store, seg, used;
    int fd; /* -1: empty */
    unsigned pins;
};
struct seg_fds {
    struct mutex mu; /* guards all */
    uint64_t clock;
    struct seg_fd sets[SEG_FDS_SETS][SEG_FDS_WAYS];
};

void seg_fds_init(struct seg_fds *c);
void seg_fds_fini(struct seg_fds *c);
/* The pinned descriptor, or -1: open one and seg_fds_put it. */
int seg_fds_get(struct seg_fds *c, uint64_t store, uint64_t seg);
/* Hands a fresh descriptor over, pinned. false: no room, it stays the caller's. */
bool seg_fds_put(struct seg_fds *c, uint64_t store, uint64_t seg, int fd);
void seg_fds_unpin(struct seg_fds *c, uint64_t store, uint64_t seg, int fd);
void seg_fds_drop(struct seg_fds *c, uint64_t store, uint64_t seg); /* before a deletion */
void seg_fds_drop_store(struct seg_fds *c, uint64_t store);
#endif
