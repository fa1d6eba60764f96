/* couch/account.h: how many bytes of each segment are live, and of each database.
 *
 * live of a segment is a function of the rows alone (docs/format-documents.md, "Accounts"): for
 * each document the lengths of its leaves' bodies and attachments where they lie, and the record's
 * own overhead where its newest body lies; for each _local row with a pointer its length. So it
 * does not matter in what way the rows came to be: a rebuild finds the same numbers. It guides
 * compaction; what compaction deletes it decides by looking at every record.
 * Blobs have no account: who needs one is said by rows (blobs.h).
 * Threads: changed by whoever applies (the committer or recovery) and by the deletion of dropped
 * databases' rows; read by any.
 */
#ifndef COUCH_ACCOUNT_H
#define COUCH_ACCOUNT_H
#include "base/mutex.h"
#include "couch/docinfo.h"
#include "kv/kv.h"

struct db_sizes {
    uint64_t active; /* bytes of live records in segments, attachments included */
    uint64_t atts;   /* of these: bytes of attachments */
    uint64_t blobs;  /* of these: bytes that lie in blobs */
};
struct accounts;
struct accounts *accounts_new(void);
void accounts_free(struct accounts *c); /* NULL is fine */
/* Reads the rows 02. */
enum status accounts_load(struct accounts *c, struct kv *kv, struct err *e) MUST_CHECK;

/* sign +1: the document's row comes to be, -1: it goes. row_n: bytes of its 'i' row. */
void accounts_doc(struct accounts *c, uint32_t dbnum, size_t docid_n, size_t row_n,
                  const struct docinfo *d, int sign);
void accounts_local(struct accounts *c, const struct seg_ptr *p, int sign);
/* A record lies in the segment: counted once however often it is applied. */
void accounts_record(struct accounts *c, uint64_t seg, uint64_t bytes, uint64_t lsn);
/* The segment was deleted. */
void accounts_gone(struct accounts *c, uint64_t seg);
/* After every document was looked at and none needs the segment: whatever says otherwise is an
 * error of the accounts. */
void accounts_settle(struct accounts *c, uint64_t seg);
uint64_t accounts_live(struct accounts *c, uint64_t seg);
/* A database's sums. false: not known in memory yet; set them from its 'm' row first. */
bool accounts_db(struct accounts *c, uint32_t dbnum, struct db_sizes *out);
void accounts_db_set(struct accounts *c, uint32_t dbnum, const struct db_sizes *z);
uint64_t accounts_all(struct accounts *c);   /* live bytes of all segments */
uint64_t accounts_blobs(struct accounts *c); /* of all databases: db_sizes.blobs */
/* Rows of what changed since the last call into the batch. */
void accounts_flush(struct accounts *c, struct kv_batch *b, struct arena *a);
#endif
