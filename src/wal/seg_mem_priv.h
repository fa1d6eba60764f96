/* wal/seg_mem_priv.h: the insides of the mem: segment store, shared by seg_mem.c (segments, faults)
 * seg_mem_obj.c (objects) and
 * seg_mem_stores.c (which stores there are). Only for src/wal.
 */
#ifndef WAL_SEG_MEM_PRIV_H
#define WAL_SEG_MEM_PRIV_H
#include "base/mutex.h"
#include "wal/seg_mem.h"

enum { MEM_STORES = 8 };
struct mem_owner {
    struct ss_super super; /* epoch: of the present owner */
    bool known;            /* acquired before */
};

struct mem_seg {
    uint64_t store, seg;
    unsigned char *p;
    uint32_t len;
    bool sealed;
};

struct mem_obj {
    uint64_t store, id, len;
    unsigned char *p;
    bool finished;
};

struct seg_mem {
    struct seg_store base;
    struct mutex mu; /* guards all below */
    uint64_t rng;
    struct mem_seg *segs;
    size_t nsegs;
    struct mem_obj *objs;
    size_t nobjs;
    struct mem_owner owners[MEM_STORES]; /* by number */
    unsigned fail_in;                    /* appends until the fault; 0: none planned */
    enum seg_mem_fault fault;
    bool sticky;
    struct mem_seg last; /* the last append: where, and its bytes ... */
    bool last_done;      /* ... which are in the segment */
};

static inline struct seg_mem *mem_of(struct seg_store *s)
{
    return (struct seg_mem *)s;
}

/* A number of the sequence that the seed gives. */
uint64_t seg_mem_random(uint64_t *x);
/* rc, with its reason. */
enum ss_rc seg_mem_answer(struct err *e, enum ss_rc rc, const char *what);
/* These want the lock. */
enum ss_rc seg_mem_check_epoch(const struct seg_mem *m, uint64_t store, uint64_t epoch,
                               struct err *e);
enum seg_mem_fault seg_mem_take_fault(struct seg_mem *m);
/* Into a copy that a crash left: finished objects stay, of the others a part may. */
void seg_mem_copy_objs(struct seg_mem *m, const struct seg_mem *old);

/* seg_mem_stores.c */
enum ss_rc seg_mem_reclaim_begin(struct seg_store *ss, int *token, struct err *e);
void seg_mem_reclaim_end(struct seg_store *ss, int token);
enum ss_rc seg_mem_stores(struct seg_store *ss, uint64_t **out, size_t *n, struct err *e);
void seg_mem_release(struct seg_store *ss, uint64_t store);
enum ss_rc seg_mem_destroy(struct seg_store *ss, uint64_t store, uint64_t epoch, struct err *e);

enum ss_rc seg_mem_obj_create(struct seg_store *ss, const struct obj_name *o, struct err *e);
enum ss_rc seg_mem_obj_append(struct seg_store *ss, const struct obj_name *o, uint64_t off,
                              const struct iovec *iov, int n, struct err *e);
enum ss_rc seg_mem_obj_finish(struct seg_store *ss, const struct obj_name *o, struct err *e);
enum ss_rc seg_mem_obj_read(struct seg_store *ss, const struct obj_name *o, uint64_t off, void *buf,
                            uint32_t len, struct err *e);
enum ss_rc seg_mem_obj_stat(struct seg_store *ss, const struct obj_name *o, uint64_t *len,
                            struct err *e);
enum ss_rc seg_mem_obj_list(struct seg_store *ss, uint64_t store, struct obj_info **out, size_t *n,
                            struct err *e);
enum ss_rc seg_mem_obj_del(struct seg_store *ss, const struct obj_name *o, struct err *e);
#endif
