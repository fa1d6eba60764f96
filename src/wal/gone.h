/* wal/gone.h: which LSNs compaction took away: the body of a LOG_GONE record.
 *
 * A log whose segments were deleted has gaps. Before a segment is deleted, a LOG_GONE record says
 * so durably; every such record holds the whole table, so that the last one in the log explains all
 * gaps, and a gap that it does not explain is damage. docs/format.md, "LOG_GONE". Pure.
 */
#ifndef WAL_GONE_H
#define WAL_GONE_H
#include "base/buf.h"
#include "base/status.h"

struct gone_range {
    uint64_t first, last; /* LSNs, both gone */
};
struct gone {
    struct gone_range *v; /* ascending, not touching each other */
    size_t n;
};
void gone_free(struct gone *g); /* leaves an empty table */
void gone_add(struct gone *g, uint64_t first, uint64_t last);
bool gone_covers(const struct gone *g, uint64_t first, uint64_t last);
void gone_encode(const struct gone *g, struct buf *out);
/* Into an empty table. ST_CORRUPT. */
enum status gone_decode(struct slice table, struct gone *out, struct err *e) MUST_CHECK;
/* A record's body: varint n, n x (varint segment), the table. Cuts the segments off. */
enum status gone_table_of(struct slice body, struct slice *table, struct err *e) MUST_CHECK;
#endif
