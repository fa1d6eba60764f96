/* wal/frame.h: the bytes of the log: segment header, group header, record header.
 *
 * Pure: no files, no locks, no clock. All integers are little-endian; docs/format.md has the
 * tables. The checksums of groups and records are seeded with the segment's salt, so that bytes
 * of another segment never validate here. A group header has a checksum of its own: its length
 * can be believed, which is what tells a write cut short (ST_TORN) from damage (ST_CORRUPT).
 */
#ifndef WAL_FRAME_H
#define WAL_FRAME_H
#include "wal/log.h"

enum { FRAME_SEG_BYTES = 64, FRAME_GROUP_BYTES = 48, FRAME_REC_BYTES = 40, FRAME_VERSION = 1 };
enum frame_seg_flag { FRAME_SEG_LOG = 1, FRAME_SEG_BLOB = 2, FRAME_SEG_COMPACTED = 4 };
enum frame_group_flag { FRAME_GROUP_FIRST = 1 /* of its owner's epoch */ };

struct frame_seg {
    uint32_t flags, salt;
    uint64_t seg, epoch;
    uint64_t first_lsn; /* no record of the segment has a smaller one */
    unsigned char uuid[16];
};
void frame_seg_put(unsigned char out[FRAME_SEG_BYTES], const struct frame_seg *h);
/* ST_TORN: fewer bytes than a header. ST_CORRUPT. */
enum status frame_seg_get(struct slice in, struct frame_seg *h, struct err *e) MUST_CHECK;

struct frame_group {
    uint32_t payload; /* bytes of records, a multiple of 8 */
    uint32_t nrec, flags;
    uint64_t first_lsn;
    uint64_t durable_lsn; /* the highest known durable when this was written */
    uint64_t wall_ms;     /* for people */
    uint32_t crcs;        /* xor of the records' */
};
void frame_group_put(unsigned char out[FRAME_GROUP_BYTES], uint32_t salt,
                     const struct frame_group *g);
/* The header alone. ST_TORN: fewer bytes than a header. ST_CORRUPT. */
enum status frame_group_get(struct slice in, uint32_t salt, struct frame_group *g,
                            struct err *e) MUST_CHECK;
/* The payload against its header: every record, the LSNs, the count, the xor. ST_CORRUPT. */
enum status frame_group_check(const struct frame_group *g, struct slice payload, uint32_t salt,
                              struct err *e) MUST_CHECK;

/* Writes the 40 header bytes of r (lsn and ver as they are); the body is only read, for the
 * checksum, which is returned. */
uint32_t frame_rec_put(unsigned char out[FRAME_REC_BYTES], uint32_t salt,
                       const struct log_record *r);
/* The record at the start of in; its body is borrowed from in, seg and body_off are left alone.
 * *used counts the padding. ST_TORN: in ends early. ST_CORRUPT. */
enum status frame_rec_get(struct slice in, uint32_t salt, struct log_record *r, size_t *used,
                          struct err *e) MUST_CHECK;

static inline uint32_t frame_pad(uint32_t n) /* zeros after a body of n bytes */
{
    return (8 - (n & 7)) & 7;
}
#endif
