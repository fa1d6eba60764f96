/* couch/purge.h: what is kept of a purge: the LOG_PURGE record and the 'p' row (docs/
 * format-documents.md "Purges"). Encoding and decoding are pure; the rest reads LevelDB.
 *
 * A purge takes leaf revisions of one document away as if they had never been. It moves the
 * database's update_seq and its purge_seq by one each, even when nothing was there to take away, so
 * that whoever follows either notices. What was asked for stays as an info, the newest
 * purged_infos_limit of them: for GET _purged_infos and for indexes that were behind.
 */
#ifndef COUCH_PURGE_H
#define COUCH_PURGE_H
#include "couch/docinfo.h"

struct db;
struct kv;

/* The value of a 'p' row. */
struct purge_info {
    uint64_t seq;    /* update_seq that the purge had */
    uint64_t docnum; /* of the document; 0: there was none */
    unsigned char uuid[16];
    struct slice docid;
    const struct rev *revs; /* as asked for, found or not */
    uint32_t nrevs;
};
void purge_info_encode(const struct purge_info *p, struct buf *out);
/* Borrows the input, but for revs. ST_CORRUPT. */
enum status purge_info_decode(struct arena *a, struct slice v, struct purge_info *out,
                              struct err *e) MUST_CHECK;

/* A LOG_PURGE record: this head, then the body of a LOG_DOC record whose tree is what is left:
 * empty when nothing is, or when only the info is told again. */
enum purge_flag {
    PURGE_INFO_ONLY = 1 /* moved by compaction: other records say what the document is */
};
struct purge_record {
    unsigned flags;
    uint64_t purge_seq; /* 0: the info is no longer kept (moved by compaction) */
    uint64_t first;     /* the infos before this one are no longer kept */
    unsigned char uuid[16];
    const struct rev *revs;
    uint32_t nrevs;
};
void purge_record_encode(const struct purge_record *p, struct buf *out);
/* *doc: what follows the head, for doc_record_decode(). ST_CORRUPT. */
enum status purge_record_decode(struct arena *a, struct slice body, struct purge_record *out,
                                struct slice *doc, struct err *e) MUST_CHECK;

/* ---- the rows ---- */

/* Infos of a database in the order of purge_seq, from `from` on; see purge_walk_next. */
struct purge_walk;
struct purge_walk *purge_walk_new(struct kv *kv, uint32_t dbnum, uint64_t from);
/* *got false: no more. What it gives is good until the next call. */
enum status purge_walk_next(struct purge_walk *w, uint64_t *purge_seq, struct purge_info *out,
                            bool *got, struct err *e) MUST_CHECK;
void purge_walk_free(struct purge_walk *w); /* NULL is fine */
/* The least and the greatest purge_seq with a row; 1 and 0 when there is none. */
enum status purge_range(struct kv *kv, uint32_t dbnum, uint64_t *first, uint64_t *last,
                        struct err *e) MUST_CHECK;
#endif
