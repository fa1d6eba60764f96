/* vector/index.h: one vector index: a folder of segments, memtables in front, a published view.
 *
 * Knows nothing of databases: it is fed (document number, sequence, vectors) in sequence order.
 *  1. One writer at a time: apply and publish happen between vindex_begin and vindex_end. The
 *     builder takes the same token, only to swap parts.
 *  2. A version's rows are appended together and die together; a document has live rows in at most
 *     one part.
 *  3. MANIFEST names only files that are durable; its sequence is the one up to which they reflect
 *     the database. What comes after is fed again when the index opens.
 * Threads: begin/apply/publish/end: any, serialised by the token. pin, info: any. vindex_work: the
 * builder thread only. open, close: nobody else inside.
 */
#ifndef VECTOR_INDEX_H
#define VECTOR_INDEX_H
#include "base/mutex.h"
#include "vector/view.h"

struct vindex_opts {
    const char *dir;
    unsigned char uuid[16]; /* of the database */
    unsigned char sig[VSEG_SIG];
    enum vmetric metric;
    uint32_t dims, m, efc;
    unsigned build_threads;
    uint32_t graph_min; /* 0: the default */
};
struct vindex;
/* Reads the folder. Damage, another uuid or signature, or a sequence above db_seq empty it: then
 * the index starts at sequence 0. Only a failure of the system is an error. */
enum status vindex_open(const struct vindex_opts *o, uint64_t db_seq, struct vindex **out,
                        struct err *e) MUST_CHECK;
/* save: what is in memory becomes a segment first. */
void vindex_close(struct vindex *ix, bool save);
struct vview *vindex_pin(struct vindex *ix); /* vview_release */
uint64_t vindex_seq(struct vindex *ix);      /* of the published view */

void vindex_begin(struct vindex *ix);
void vindex_end(struct vindex *ix);
/* The document as of seq: its vectors, or none (d->n == 0). Unchanged vectors touch nothing.
 * True: the index changed. */
bool vindex_apply(struct vindex *ix, uint64_t seq, const struct vdoc_rows *d);
void vindex_publish(struct vindex *ix, uint64_t seq);
/* Nothing is in the index and it reflects sequence 0: it is to be fed from the first row on. */
void vindex_clear(struct vindex *ix);
void vindex_freeze(struct vindex *ix); /* the memtable is ready to become a segment; in the token */

/* ---- documents that have the field but no usable vector ---- */
void vindex_skip(struct vindex *ix, const struct vdoc_rows *d, const char *reason);
struct vskip {
    uint64_t docnum;
    struct slice id;
    const char *reason; /* static */
    struct vskip *next;
};
enum { VSKIP_SAMPLES = 10, VSKIP_MAX = 10000 };
/* Up to VSKIP_SAMPLES into out (ids copied to the arena); returns the count. */
uint32_t vindex_skipped(struct vindex *ix, struct arena *a, struct vskip *out, uint32_t *nout);

/* ---- background ---- */
struct vwork {
    bool idle;                             /* no writes lately: time for graphs */
    bool compact;                          /* rewrite every part that holds dead rows */
    bool (*go_on)(void *arg, double done); /* false cancels */
    void *arg;
};
/* One unit of work; *did false: nothing to do. ST_UNAVAILABLE: cancelled. */
enum status vindex_work(struct vindex *ix, const struct vwork *w, bool *did,
                        struct err *e) MUST_CHECK;
/* Writes what is frozen; go_on may call it during a long merge. */
enum status vindex_flush(struct vindex *ix, bool *did, struct err *e) MUST_CHECK;
bool vindex_pending(struct vindex *ix); /* a frozen memtable waits */

struct vindex_stats {
    uint64_t seq, indexed_seq, disk, ram;
};
void vindex_get_stats(struct vindex *ix, struct vindex_stats *out);
/* For divan check: reads everything, changes nothing. */
enum status vindex_verify(const char *dir, struct err *e) MUST_CHECK;
#endif
