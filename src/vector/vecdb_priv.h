/* vector/vecdb_priv.h: the indexes of each database, and what feeds them.
 *
 * vectors        all of a server: map db uuid -> vdb, two threads
 *   vdb          one database: queue of commit events, definitions, indexes
 *     ventry     one index folder (by signature) and how far it has been fed
 *
 * Feeding is done by whoever holds the vdb's feeder flag: the indexer thread, or a waiting query.
 * A live entry takes events from the queue; one that is behind (new, or events were dropped)
 * follows the changes rows until it has passed everything that left the queue.
 * Locks: vectors.mu (RANK_VEC_REGISTRY) over the map and the to-do list; vdb.mu (RANK_VEC_INDEX)
 * over everything in a vdb that is not said to be the feeder's. No lock is held while documents
 * are read.
 * Lifetimes: a vdb lives until vectors_close, or until its database is dropped and nobody uses it;
 * entries are closed by the builder thread only, when no definition and no user is left.
 */
#ifndef VECTOR_VECDB_PRIV_H
#define VECTOR_VECDB_PRIV_H
#include "base/map.h"
#include "base/thread.h"
#include "couch/changes.h"
#include "couch/stores.h"
#include "vector/defn.h"
#include "vector/index.h"
#include "vector/vector.h"

enum { VENTRIES_MAX = 1000 };
#define VQUEUE_BYTES (32u << 20)

struct ventry {
    struct vfield field; /* of the entry's own arena, names included */
    struct selector *partial;
    struct arena *arena;
    struct vindex *ix;
    char *dir;
    /* under vdb.mu */
    unsigned users;
    bool used;          /* a definition names it */
    bool live;          /* takes events from the queue */
    bool compact;       /* asked for */
    bool work;          /* the builder should look */
    uint64_t busy_us;   /* last burst of writes, monotonic */
    double progress;    /* of the graph being built; < 0: none */
    uint64_t started_s; /* wall, of the present building */
    /* the feeder's */
    uint64_t fed; /* sequence it reflects, also in the view */
    struct changes_cursor *pull;
    uint64_t pull_seq; /* update_seq when the cursor was made */
    /* the builder's */
    uint64_t retry_us; /* after an error of the disk: not before */
};

struct vevent {
    struct vevent *next;
    uint64_t seq, docnum;
    struct slice docid, json; /* behind the struct */
    bool deleted, has_json;
};

struct vdef_bad { /* a definition that cannot be used */
    struct slice ddoc, name, reason;
    struct vdef_bad *next;
};
/* Definitions as last read; immutable, counted under vdb.mu. */
struct vdefs {
    unsigned refs;
    struct arena *arena;
    struct vdef *def; /* by ddoc, name */
    uint32_t n;
    struct ventry ***entry; /* [def][field] */
    struct vdef_bad *bad;
};

struct vdb {
    struct vectors *v;
    struct db *db;    /* referenced */
    struct vdb *todo; /* under vectors.mu */
    bool in_todo;
    unsigned users; /* under vectors.mu */
    struct mutex mu;
    struct cond cv; /* feeder left, or seq moved */
    bool feeder, dropped;
    uint64_t defs_wanted, defs_loaded; /* unequal: design documents changed since */
    struct vevent *head, **tail;
    size_t queue_bytes;
    uint64_t popped; /* highest sequence that left the queue */
    struct vdefs *defs;
    struct ventry *entry[VENTRIES_MAX];
    uint32_t nentries;
};

struct vectors {
    struct stores *all;
    struct vectors_options o;
    struct mutex mu;
    struct cond cv_index, cv_build;
    bool stopping;
    struct map *dbs; /* uuid of a database -> vdb */
    struct vdb **list;
    size_t nlist, cap_list;
    struct vdb *todo;
    struct thread indexer, builder;
    bool build_now;
    struct mutex ctx_mu; /* spare search contexts */
    struct vctx *ctx[16];
    unsigned nctx;
};

/* ---- registry.c ---- */
struct vdb *vdb_get(struct vectors *v, struct db *db); /* vdb_put after use */
void vdb_put(struct vdb *d);
void vdb_todo(struct vdb *d); /* wakes the indexer for it; no vdb.mu held */
void vectors_build_wake(struct vectors *v);
struct vctx *vectors_ctx(struct vectors *v);
void vectors_ctx_back(struct vectors *v, struct vctx *c);
bool vectors_stopping(struct vectors *v);
void vdb_dir(char out[4096], const struct vdb *d);
void vdb_free_queue(struct vdb *d); /* vdb.mu held */

/* ---- defs.c (feeder) ---- */
enum status vdb_load_defs(struct vdb *d, struct err *e) MUST_CHECK;
void vdefs_put(struct vdb *d, struct vdefs *defs); /* NULL is fine; vdb.mu not held */
void ventry_close(struct ventry *en, bool save);

/* ---- feed.c ---- */
/* One round: queued events, one slice of what is behind. *more: call again. */
enum status vdb_feed(struct vdb *d, struct ventry *only, bool *more, struct err *e) MUST_CHECK;
bool vdb_feeder_begin(struct vdb *d, uint64_t until_us); /* false: time is up */
void vdb_feeder_end(struct vdb *d);
/* Definitions as of every design document acknowledged so far; referenced (vdefs_put). */
enum status vdb_defs(struct vdb *d, struct vdefs **out, struct err *e) MUST_CHECK;
/* Feeds until the entry reflects seq; false in *done when the time is up first. */
enum status vdb_wait_seq(struct vdb *d, struct ventry *en, uint64_t seq, uint64_t until_us,
                         bool *done, struct err *e) MUST_CHECK;

/* ---- worker.c ---- */
void vectors_indexer(void *arg);
void vectors_builder(void *arg);
/* Recall to aim at on the stored vectors' curve, since real queries are harder. */
static inline double vrecall_target(const struct vectors *v)
{
    return v->o.target_recall + 0.6 * (1 - v->o.target_recall);
}
#endif
