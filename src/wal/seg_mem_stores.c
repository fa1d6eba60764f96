/* wal/seg_mem_stores.c: the stores of a segment store in memory; nobody copies it. Threads: any. */
#include "base/alloc.h"
#include "wal/seg_mem_priv.h"

enum ss_rc seg_mem_reclaim_begin(struct seg_store *ss, int *token, struct err *e)
{
    (void)ss;
    (void)e;
    *token = -1;
    return SS_OK;
}

void seg_mem_reclaim_end(struct seg_store *ss, int token)
{
    (void)ss;
    (void)token;
}

enum ss_rc seg_mem_stores(struct seg_store *ss, uint64_t **out, size_t *n, struct err *e)
{
    struct seg_mem *m = mem_of(ss);

    (void)e;
    *out = mem_array(MEM_STORES, sizeof **out);
    *n = 0;
    mutex_lock(&m->mu);
    for (uint64_t i = 0; i < MEM_STORES; i++)
        if (m->owners[i].known)
            (*out)[(*n)++] = i;
    mutex_unlock(&m->mu);
    return SS_OK;
}

void seg_mem_release(struct seg_store *ss, uint64_t store)
{
    (void)ss;
    (void)store;
}

static void remove_store(struct seg_mem *m, uint64_t store)
{
    for (size_t i = 0; i < m->nsegs;) {
        if (m->segs[i].store != store) {
            i++;
            continue;
        }
        mem_free(m->segs[i].p);
        m->segs[i] = m->segs[--m->nsegs];
    }
    for (size_t i = 0; i < m->nobjs;) {
        if (m->objs[i].store != store) {
            i++;
            continue;
        }
        mem_free(m->objs[i].p);
        m->objs[i] = m->objs[--m->nobjs];
    }
    m->owners[store] = (struct mem_owner){.known = false};
}

enum ss_rc seg_mem_destroy(struct seg_store *ss, uint64_t store, uint64_t epoch, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    enum ss_rc rc;

    mutex_lock(&m->mu);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK)
        remove_store(m, store);
    mutex_unlock(&m->mu);
    return rc;
}
