/* couch/compact_priv.h: the compaction of one segment (compact_segment.c) and the thread that
 * chooses segments (compact.c). */
#ifndef COUCH_COMPACT_PRIV_H
#define COUCH_COMPACT_PRIV_H
#include "couch/store_priv.h"

enum { COMPACT_BATCH = 64 };

/* Tells progress and slows down; false: stop, the store closes. */
struct compact_pace {
    bool (*moved)(void *arg, uint64_t bytes);
    bool (*wait)(void *arg, uint64_t us);
    uint64_t grace_us; /* before the file goes: for readers that have just read a row */
    void *arg;
};
enum status compact_one(struct store *s, uint64_t seg, const struct compact_pace *pace,
                        struct err *e) MUST_CHECK;
#endif
