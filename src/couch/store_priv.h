/* couch/store_priv.h: what the files of the store share: store.c, maint.c, recover.c, commit*.c,
 * apply.c, dbmeta.c, db.c, check.c. Nobody else includes it.
 *
 * Threads of a store: the committer (the only one that appends to the log and that adds rows to
 * LevelDB), the maintenance thread (barriers, deleting the rows of dropped databases), and any
 * number of readers and submitters.
 */
#ifndef COUCH_STORE_PRIV_H
#define COUCH_STORE_PRIV_H
#include <assert.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "couch/account.h"
#include "couch/blobs.h"
#include "couch/db.h"
#include "couch/doc_write.h"
#include "couch/keys.h"
#include "couch/updates.h"

/* ---- dbmeta.c: catalogue row, meta row, LOG_DBMETA and LOG_LOCAL record bodies; pure ---- */
struct cat_row {
    uint32_t dbnum;
    unsigned char uuid[16];
    uint64_t created_us;
    uint32_t revs_limit;
    struct slice security; /* JSON */
    /* Of documents with seq <= it only leaves have bodies: the update_seq at the last _compact. */
    uint64_t compact_seq;
    uint32_t purged_infos_limit;
    bool partitioned;
};
void cat_row_encode(const struct cat_row *c, struct buf *out);
enum status cat_row_decode(struct slice v, struct cat_row *out,
                           struct err *e) MUST_CHECK; /* borrows */
void meta_row_encode(const struct db_counts *c, const struct db_sizes *z, struct buf *out);
enum status meta_row_decode(struct slice v, struct db_counts *out, struct db_sizes *z,
                            struct err *e) MUST_CHECK;

/* On disk: never renumber. */
enum dbmeta_op {
    DBMETA_CREATE = 1,
    DBMETA_DROP = 2,
    DBMETA_PROPS = 3,
    DBMETA_STATE = 4, /* by compaction: the row and the counts as they are */
    DBMETA_NEXT = 5   /* by compaction: the next database number, as row (u32); no name */
};
struct dbmeta {
    enum dbmeta_op op;
    struct slice name;
    struct slice row;        /* the catalogue row as it is to be; empty for a drop */
    struct db_counts counts; /* DBMETA_STATE */
};
void dbmeta_encode(const struct dbmeta *m, struct buf *out);
enum status dbmeta_decode(struct slice body, struct dbmeta *out,
                          struct err *e) MUST_CHECK; /* borrows */

struct local_record {
    struct slice id, json;
    uint64_t n; /* revision 0-n */
    bool deleted;
};
void local_record_encode(const struct local_record *r, struct buf *out);
enum status local_record_decode(struct slice body, struct local_record *out,
                                struct err *e) MUST_CHECK; /* borrows */

/* ---- apply.c: from log records to LevelDB rows; the committer and recovery use the same ---- */
struct apply_db {
    uint32_t dbnum;
    struct db_counts counts;
};
struct apply_purge {
    uint32_t dbnum;
    uint64_t purge_seq;
};
enum { APPLY_KEPT = 64 };
struct applier {
    struct kv *kv;
    struct kv_batch *batch;
    struct arena *arena; /* keys and decoded records; reset by apply_flush */
    struct buf value;
    struct apply_db *dbs; /* databases whose meta row this batch must write */
    size_t ndbs, dbs_cap;
    uint64_t lsn; /* of the last record in the batch; 0: none */
    size_t nrecs, bytes;
    struct accounts *accounts;
    struct blobs *blobs;        /* NULL: recovery; the sweep finds what nobody needs any more */
    struct blob_drops dropped;  /* by this batch */
    struct map *fresh;          /* rows of documents that the batch puts; NULL: none yet */
    struct apply_purge *purges; /* infos that the batch puts */
    size_t npurges, purges_cap;
    struct apply_purge kept[APPLY_KEPT]; /* by dbnum: no info with a lower purge_seq has a row */
};
void applier_init(struct applier *ap, struct kv *kv, struct accounts *accounts);
void applier_fini(struct applier *ap);
/* Rows of one document record. The tree's SEG_SELF pointers count from the record's body; they
 * are absolute afterwards. key: of the 'i' row. known: that row as LevelDB has it, empty when it is
 * not there; NULL: to be looked up. */
enum status apply_doc(struct applier *ap, const struct log_record *rec, struct doc_record *d,
                      struct slice key, const struct slice *known, struct err *e) MUST_CHECK;
/* Rows of any record, decoded from its bytes. ST_CORRUPT. */
enum status apply_record(struct applier *ap, const struct log_record *rec,
                         struct err *e) MUST_CHECK;
/* apply_purges.c: the batch puts the row of an info. */
void apply_remember_purge(struct applier *ap, uint32_t dbnum, uint64_t purge_seq);
/* Deletes the infos before `first`, which are no longer kept: of this batch, and of LevelDB. */
enum status apply_trim_purges(struct applier *ap, uint32_t dbnum, uint64_t first,
                              struct err *e) MUST_CHECK;
/* Adds meta rows and the applied LSN, writes the batch, starts an empty one. */
enum status apply_flush(struct applier *ap, struct err *e) MUST_CHECK;

/* ---- one database ---- */
struct db {
    struct store *store;
    atomic_uint refs;
    uint32_t num;
    unsigned char uuid[16];
    uint64_t created_us;
    bool partitioned;
    _Atomic uint64_t update_seq; /* a copy of published.update_seq that needs no lock */
    atomic_uint revs_limit;
    _Atomic uint64_t compact_seq; /* cat_row */
    atomic_uint purged_infos_limit;
    atomic_bool dropped, compacting;

    struct mutex mu; /* RANK_DB */
    struct db_waiter *waiters GUARDED_BY(mu);
    struct db_counts published GUARDED_BY(mu);
    char *security GUARDED_BY(mu);
    size_t security_n GUARDED_BY(mu);

    /* the committer's */
    struct db_counts staged; /* published plus the group being built */
    struct db *touched_next;
    bool touched;

    size_t name_n;
    char name[];
};
static_assert(sizeof(struct db) <= 512, "an idle database costs less than 1 KiB with its name");
struct db *db_new(struct store *s, struct slice name, const struct cat_row *row,
                  const struct db_counts *counts);
bool db_is_last(const struct db *db); /* the caller's reference is the only one */
/* Makes the staged counts what readers see, and moves the waiters that this concerns onto *woken
 * (linked by next); the caller wakes them without a lock. */
void db_publish(struct db *db, struct db_waiter **woken);
void db_mark_dropped(struct db *db, struct db_waiter **woken);
void db_set_props(struct db *db, const struct cat_row *row);
void db_wake_all(struct db_waiter *woken);
/* A list of waiters, under the mutex of its owner; prev says whether it is queued. */
void waiter_queue(struct db_waiter **list, struct db_waiter *w);
bool waiter_unqueue(struct db_waiter *w); /* false: it was not queued */
/* Reads the catalogue rows into s->catalog. */
enum status db_load_all(struct store *s, struct err *e) MUST_CHECK;

/* ---- commit_group.c ---- */
struct group;
struct group *group_new(struct store *s);
void group_free(struct group *g);
/* Takes operations off s->pending, as many as make one group; commits and completes them. */
void group_run(struct store *s, struct group *g);

/* ---- commit.c ---- */
void committer_start(struct store *s);
void committer_stop(struct store *s); /* after what was submitted is done */
/* Bytes that an operation brings along. */
size_t commit_op_bytes(const struct commit_op *op);
/* The store no longer writes; why. The first reason stays. */
void store_set_trouble(struct store *s, const char *reason);
/* The log holds what LevelDB refuses: stop the process, the next start replays. */
_Noreturn void store_die(const struct store *s, const char *what, const struct err *e);

/* ---- maint.c ---- */
void maint_start(struct store *s);
void maint_stop(struct store *s);
void maint_wake(struct store *s); /* a database was dropped */
/* After a group was applied: wakes the thread once there is enough for a barrier. */
void maint_applied(struct store *s);
enum status maint_barrier(struct store *s, struct err *e) MUST_CHECK;
/* Deletes the rows of every database that has a drop marker; stops early when told to. */
enum status maint_drops(struct store *s, struct err *e) MUST_CHECK;

/* Waits until LevelDB is durable up to lsn; false: the store closes. */
bool maint_barrier_at(struct store *s, uint64_t lsn);

/* ---- compact_blobs.c ---- */
/* Around the deletion of a file; false: a backup copies files. The compactor's. */
bool store_may_delete(struct store *s);
void store_deleted(struct store *s);
bool store_held(struct store *s);
/* Deletes blobs that nothing needs; one caller at a time. */
enum status store_collect_blobs(struct store *s, struct err *e) MUST_CHECK;

/* ---- compact.c ---- */
struct compactor;
void compactor_start(struct store *s);
void compactor_stop(struct store *s); /* before the committer stops */
/* How long writers must wait for compaction before their next group; 0: not at all. */
uint64_t compact_hold_us(struct store *s);
/* Compacts one sealed segment now; the caller is the only one that compacts. ST_CORRUPT: it cannot
 * be read and stays. */
enum status compact_segment(struct store *s, uint64_t seg, struct err *e) MUST_CHECK;

/* ---- store.c ---- */
struct store *store_new(const struct store_options *opt);
/* Log and LevelDB are closed already or were never opened. */
void store_free(struct store *s);

/* ---- salvage.c ---- */
struct salvage_run;
/* Mends the log of an acquired store. */
enum status salvage_begin(struct store *s, struct err *e) MUST_CHECK;
/* After recovery, with the committer running; frees the run. */
enum status salvage_finish(struct store *s, struct err *e) MUST_CHECK;
/* The log ends before what the index has seen. */
void salvage_missing(struct salvage_run *r, uint64_t first, uint64_t last);
void salvage_free(struct salvage_run *r); /* NULL is fine */
/* salvage_blobs.c: after damage moves the blobs that no row names to DATA/<n>/quarantine. */
enum status salvage_keep_blobs(struct store *s, bool damaged, unsigned long long *kept,
                               struct err *e) MUST_CHECK;

/* ---- recover.c ---- */
enum status store_recover(struct store *s, const struct store_options *opt,
                          struct err *e) MUST_CHECK;
/* The same without a new segment, and the log is only read: the store can be looked at. */
enum status store_recover_read_only(struct store *s, struct err *e) MUST_CHECK;

/* ---- check_open.c: a store to look at, nothing below dir is written ---- */
/* number: of the store in dir. segs: locked (seg_file_lock). ST_CORRUPT as store_open. */
enum status check_open(const char *dir, uint64_t number, struct seg_store *segs, struct store **out,
                       struct err *e) MUST_CHECK;
void check_close(struct store *s);
enum { STORE_SCHEMA = 2 };

enum { STORE_OBSERVERS_MAX = 6 };
enum { STORE_WRITTEN = 32768 }; /* a power of two, many times LIMIT_GROUP_OPS */
struct store_observer {
    commit_observer_fn fn;
    void *arg;
};
/* One per server: in the order of its locks and owners, not of least padding. */
/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct store {
    char *dir;           /* DIR/<n> */
    const char *idx_dir; /* where idx lies: dir, or a copy that a check made */
    uint64_t number;
    struct seg_store *segs;
    bool owns_segs;
    struct ss_super super;
    char uuid_hex[33];
    struct kv *kv;
    struct log *log;

    struct accounts *accounts;
    struct blobs *blobs;
    struct salvage_run *salvage; /* while it is opened with salvage */
    uint64_t recovered_from;     /* the last LSN that the index had when it was opened */

    struct mutex catalog_mu;                    /* RANK_CATALOG */
    struct map *catalog GUARDED_BY(catalog_mu); /* name -> struct db, which it references */

    struct mutex queue_mu; /* RANK_COMMIT */
    struct cond queue_cond;
    struct commit_batch *queue GUARDED_BY(queue_mu);
    struct commit_batch **queue_tail GUARDED_BY(queue_mu);
    struct commit_batch *urgent GUARDED_BY(queue_mu); /* compaction's: goes before the queue */
    size_t queue_batches GUARDED_BY(queue_mu);        /* in both */
    size_t queue_want GUARDED_BY(queue_mu);     /* wake the committer at so many; 0: it is awake */
    size_t inflight_bytes GUARDED_BY(queue_mu); /* submitted and not completed */
    bool closing GUARDED_BY(queue_mu);
    struct thread committer;

    /* the committer's */
    struct commit_batch *pending, **pending_tail;
    size_t last_batches;  /* how many requests the last group served */
    size_t moves_pending; /* batches of compaction's in pending */
    uint64_t hold_us;     /* writers are held back; 0: not */
    bool only_moves;      /* the last group was compaction's alone */
    /* By hash of a document's key: the LSN of the last record that wrote it, or another with this
     * slot. 0: none in this life. */
    uint64_t written[STORE_WRITTEN];
    uint32_t next_dbnum;

    struct updates *updates;
    bool owns_updates;
    struct store_observer observers[STORE_OBSERVERS_MAX];
    size_t nobservers;
    doc_validator_fn validate; /* NULL: none */
    void *validate_arg;
    _Atomic uint32_t max_doc;
    _Atomic uint64_t max_att;
    store_taken_fn taken; /* NULL: there are no other stores */
    void *taken_arg;

    /* Statistics and progress: each is one number that stands for itself. */
    _Atomic uint64_t applied_lsn, log_bytes, tail_seg, external_bytes;
    _Atomic uint64_t changes; /* what made something dead, or may have; not compaction's moves */
    atomic_bool in_trouble;   /* set after trouble[] is written */
    char trouble[sizeof(((struct err *)0)->reason)];

    struct mutex maint_mu; /* RANK_LEAF */
    struct cond maint_cond;
    bool maint_stopping GUARDED_BY(maint_mu);
    bool maint_drop GUARDED_BY(maint_mu);
    uint64_t maint_want GUARDED_BY(maint_mu); /* a barrier up to here is waited for ... */
    uint64_t maint_done GUARDED_BY(maint_mu); /* ... and how far they are */
    atomic_bool maint_quit;                   /* read in the middle of a long drop */
    struct thread maint;
    /* The last barrier: LevelDB is durable up to barrier_lsn. The maintenance thread writes these,
     * the committer reads them. */
    _Atomic uint64_t barrier_lsn, barrier_appended;
    uint64_t barrier_us;
    atomic_bool barrier_called; /* there is enough for another one */

    int reclaim; /* compactor's: between store_may_delete and store_deleted */

    struct compactor *compactor; /* NULL: this store is not compacted by itself */
    _Atomic uint64_t victim;     /* the segment that is being compacted; 0: none */
    atomic_bool compacts; /* by itself, just now: writers may be held back (compact_hold_us) */
    bool undeleted;       /* compactor's: a segment left the table, perhaps not the disk */
};
#endif
