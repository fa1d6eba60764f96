/* tests/fault/dump.h: what a store says it holds, as lines, and what it ought to hold, likewise.
 *
 *   b/<database> TAB <revs_limit> <security JSON>
 *   d/<database>/<id>/<leaf revision> TAB <live|deleted> <CRC of the body>
 * [<name>:<bytes>:<MD5>]... l/<database>/<id> TAB 0-<n> <CRC of the body>
 *
 * The driver says before each request which lines it would add and remove (marks.h), the checker
 * compares lines with what a recovered store gives.
 */
#ifndef FAULT_DUMP_H
#define FAULT_DUMP_H
#include "couch/stores.h"

void dump_leaf_key(struct buf *out, struct slice db, struct slice id, const struct rev *rev);
/* Attachments by name, size and md5. */
void dump_leaf_value(struct buf *out, bool deleted, const struct doc_body *body);
void dump_local_value(struct buf *out, uint64_t n, struct slice json);
/* Of a purge's info. */
void dump_purge_key(struct buf *out, struct slice db, uint64_t purge_seq);
void dump_purge_value(struct buf *out, struct slice id, const struct rev *revs, uint32_t n);
void dump_db_value(struct buf *out, uint64_t revs_limit, struct slice security);
/* All lines, each ended by a newline. Every body and attachment is read; attachments are checked
 * against their MD5. */
enum status dump_stores(struct stores *all, struct buf *out, struct err *e) MUST_CHECK;
#endif
