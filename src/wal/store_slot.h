/* wal/store_slot.h: the STORE file of a store: who it is and whose turn it is.
 *
 * Two slots of 4 KiB, written in turn; the valid one with the higher generation counts, so a write
 * cut short leaves the one before. docs/format.md, "STORE".
 */
#ifndef WAL_STORE_SLOT_H
#define WAL_STORE_SLOT_H
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

enum { STORE_SLOT_BYTES = 4096, STORE_SLOTS = 2, STORE_SLOT_USED = 128, STORE_VERSION = 1 };

struct store_slot {
    unsigned char uuid[16];
    uint64_t generation, epoch, replay_hint_seg, tail_hint_seg;
    bool clean;
    uint64_t created_ms;
};
void store_slot_put(unsigned char out[STORE_SLOT_BYTES], const struct store_slot *s);
/* ST_CORRUPT; ST_NOT_IMPLEMENTED: valid, but written by a version with features unknown here. */
enum status store_slot_get(const unsigned char in[STORE_SLOT_BYTES], struct store_slot *s,
                           struct err *e) MUST_CHECK;
/* The slot that counts, out of a whole STORE file. A slot that was written and is not valid makes
 * the answer unclean and its epoch one higher: the lost slot may have been the newer.
 * ST_NOT_FOUND: neither is valid. ST_NOT_IMPLEMENTED as above. */
enum status store_slot_pick(struct slice file, struct store_slot *s, struct err *e) MUST_CHECK;
#endif
