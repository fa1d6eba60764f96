/* couch/blobs.h: the blobs of a store: their ids, who uses one just now, and which may go.
 *
 * A blob is needed while a leaf of a document names it. Which documents do is in LevelDB, written
 * in the same batch as the documents' rows (keys.h, 04). Two rules make deleting safe:
 *   - whoever is about to commit a pointer to a blob, or reads it, holds a pin. A pin is taken only
 *     on a blob that is there; the committer refuses an operation whose blobs are not pinned.
 *   - a blob is condemned under the lock, only when nobody has a pin, and nobody gets one after;
 *     then its rows are looked for, and what was committed before the last pin went has its rows.
 * So a blob without pins and rows stays without both, and its file can go.
 * Ids: 1 bit | epoch(31) | counter(32). The epoch of a store rises durably with each opening, so no
 * id is used twice, whatever is rebuilt or deleted.
 * Threads: any.
 */
#ifndef COUCH_BLOBS_H
#define COUCH_BLOBS_H
#include "couch/docinfo.h"
#include "kv/kv.h"
#include "wal/blob.h"

struct blobs;
struct blobs *blobs_new(void);
struct blobs *blobs_ref(struct blobs *b);
void blobs_unref(struct blobs *b); /* NULL is fine; pins may outlive the store */
/* After acquire, before anything else. kv may be set later, before pins are let go. */
void blobs_open(struct blobs *b, const struct blob_home *home);
void blobs_use_index(struct blobs *b, struct kv *kv);
/* The store closes: nothing is read or deleted any more. */
void blobs_close(struct blobs *b);
const struct blob_home *blobs_home(const struct blobs *b);

/* ---- pins ---- */
/* A new id, pinned. ST_UNAVAILABLE: no more in this epoch, or the store is closed. */
enum status blobs_take_id(struct blobs *b, uint64_t *id, struct err *e) MUST_CHECK;
/* blob_finish was successful: it counts. */
void blobs_finished(struct blobs *b, uint64_t id, uint64_t len);
/* ST_NOT_FOUND: it is gone. Waits while a collection decides. */
enum status blobs_pin(struct blobs *b, uint64_t id, struct err *e) MUST_CHECK;
/* The last pin of a blob that was written and that no committed document ever named deletes it. */
void blobs_unpin(struct blobs *b, uint64_t id);
bool blobs_pinned(struct blobs *b, uint64_t id);
/* For as long as the arena lives. */
enum status blobs_pin_arena(struct blobs *b, uint64_t id, struct arena *a,
                            struct err *e) MUST_CHECK;

/* ---- what documents need ---- */
/* Rows for the blobs that a document names now and did not before, and the other way round. old,
 * now: NULL or natts 0: none. Blobs that it names no more are added to *dropped (caller's; the
 * array grows), for blobs_dropped() once the batch is written. b may be NULL (recovery). */
struct blob_drops {
    struct docinfo_att *v; /* node is unused */
    size_t n, cap;
};
struct blob_doc {
    uint32_t dbnum;
    struct slice docid;
    const struct docinfo *old, *now;
};
void blobs_write_rows(struct blobs *b, const struct blob_doc *d, struct kv_batch *batch,
                      struct arena *a, struct blob_drops *dropped);
/* Candidates for collection; empties the list. */
void blobs_dropped(struct blobs *b, struct blob_drops *dropped);
/* Whether a row names it. */
enum status blobs_has_rows(struct kv *kv, uint64_t id, bool *has, struct err *e) MUST_CHECK;

/* ---- collection: one thread, the compactor ---- */
/* After the start: deletes what was never finished, finds finished ones that nothing names. Cheap
 * steps; more(arg) false: stop. */
enum status blobs_sweep(struct blobs *b, bool (*more)(void *arg), void *arg,
                        struct err *e) MUST_CHECK;
/* So much is dead, and a third of all, that collecting pays; 0: anything. */
bool blobs_worth(struct blobs *b, uint64_t enough);
/* Deletes the candidates that nothing needs. barrier: makes LevelDB durable; false: the store
 * closes. enter and leave are called around each deletion; enter false: not now. */
struct blobs_gate {
    bool (*barrier)(void *arg);
    bool (*enter)(void *arg);
    void (*leave)(void *arg);
    void *arg;
};
enum status blobs_collect(struct blobs *b, const struct blobs_gate *gate, uint64_t *deleted,
                          struct err *e) MUST_CHECK;
uint64_t blobs_bytes(struct blobs *b); /* of the finished ones that are known of */
#endif
