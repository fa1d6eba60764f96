/* couch/local.h: the row of a _local document in LevelDB ('l', docs/format-documents.md).
 *
 *   varint N            the revision is "0-N"
 *   u8 kind             0: the JSON follows, to the end of the row; 1: a pointer into the log
 *   json | pointer(20)
 *
 * The JSON is the object without _id and _rev, as it was in commit_op.body.json. Pure.
 */
#ifndef COUCH_LOCAL_H
#define COUCH_LOCAL_H
#include "base/buf.h"
#include "base/status.h"
#include "wal/seg_store.h"

/* Appends the row. p NULL: json goes inline; else only the pointer is written. */
void local_row_encode(uint64_t n, struct slice json, const struct seg_ptr *p, struct buf *out);
/* *is_inline: *json borrows from v and *p is unset; otherwise *p is absolute and *json empty.
 * ST_CORRUPT. */
enum status local_row_decode(struct slice v, uint64_t *n, bool *is_inline, struct slice *json,
                             struct seg_ptr *p, struct err *e) MUST_CHECK;
#endif
