/* wal/seg_mem_obj.c: objects of the segment store in memory. One that a crash catches unfinished is
 * a part of itself afterwards. Threads: any; under the store's one lock.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "wal/seg_mem_priv.h"

static struct mem_obj *find_obj(struct seg_mem *m, const struct obj_name *o)
{
    for (size_t i = 0; i < m->nobjs; i++)
        if (m->objs[i].store == o->store && m->objs[i].id == o->id)
            return &m->objs[i];
    return NULL;
}

enum ss_rc seg_mem_obj_create(struct seg_store *ss, const struct obj_name *o, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    enum ss_rc rc;

    mutex_lock(&m->mu);
    rc = seg_mem_check_epoch(m, o->store, o->epoch, e);
    if (rc == SS_OK && find_obj(m, o) != NULL)
        rc = seg_mem_answer(e, SS_EXISTS, "the object exists");
    if (rc == SS_OK) {
        m->objs = mem_realloc(m->objs, (m->nobjs + 1) * sizeof m->objs[0]);
        m->objs[m->nobjs++] = (struct mem_obj){.store = o->store, .id = o->id};
    }
    mutex_unlock(&m->mu);
    return rc;
}

static enum ss_rc extend_obj(struct seg_mem *m, struct mem_obj *x, const struct iovec *iov, int n,
                             struct err *e)
{
    enum seg_mem_fault f = seg_mem_take_fault(m);

    if (f != SEG_MEM_NONE)
        return seg_mem_answer(e, f == SEG_MEM_NOSPC ? SS_NOSPC : SS_IO, "writing an object failed");
    for (int i = 0; i < n; i++) {
        x->p = mem_realloc(x->p, x->len + iov[i].iov_len + 1);
        memcpy(x->p + x->len, iov[i].iov_base, iov[i].iov_len);
        x->len += iov[i].iov_len;
    }
    return SS_OK;
}

enum ss_rc seg_mem_obj_append(struct seg_store *ss, const struct obj_name *o, uint64_t off,
                              const struct iovec *iov, int n, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_obj *x;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    x = find_obj(m, o);
    rc = seg_mem_check_epoch(m, o->store, o->epoch, e);
    if (rc == SS_OK && (x == NULL || x->finished || x->len != off))
        rc = seg_mem_answer(e, SS_IO, "no such object to write, or the offset is not its end");
    if (rc == SS_OK)
        rc = extend_obj(m, x, iov, n, e);
    mutex_unlock(&m->mu);
    return rc;
}

enum ss_rc seg_mem_obj_finish(struct seg_store *ss, const struct obj_name *o, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_obj *x;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    x = find_obj(m, o);
    rc = seg_mem_check_epoch(m, o->store, o->epoch, e);
    if (rc == SS_OK && (x == NULL || x->finished))
        rc = seg_mem_answer(e, SS_IO, "no such object to finish");
    if (rc == SS_OK)
        rc = extend_obj(m, x, NULL, 0, e);
    ASSERT(rc != SS_OK || x != NULL);
    if (rc == SS_OK)
        x->finished = true;
    mutex_unlock(&m->mu);
    return rc;
}

enum ss_rc seg_mem_obj_read(struct seg_store *ss, const struct obj_name *o, uint64_t off, void *buf,
                            uint32_t len, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    const struct mem_obj *x;
    enum ss_rc rc = SS_OK;

    mutex_lock(&m->mu);
    x = find_obj(m, o);
    if (x == NULL || !x->finished)
        rc = seg_mem_answer(e, SS_NOENT, "no such object");
    else if (off > x->len || x->len - off < len)
        rc = seg_mem_answer(e, SS_CORRUPT, "the object is shorter");
    else if (len != 0)
        memcpy(buf, x->p + off, len);
    mutex_unlock(&m->mu);
    return rc;
}

enum ss_rc seg_mem_obj_stat(struct seg_store *ss, const struct obj_name *o, uint64_t *len,
                            struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    const struct mem_obj *x;
    enum ss_rc rc = SS_OK;

    mutex_lock(&m->mu);
    x = find_obj(m, o);
    if (x == NULL || !x->finished)
        rc = seg_mem_answer(e, SS_NOENT, "no such object");
    else
        *len = x->len;
    mutex_unlock(&m->mu);
    return rc;
}

enum ss_rc seg_mem_obj_list(struct seg_store *ss, uint64_t store, struct obj_info **out, size_t *n,
                            struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct obj_info *v;
    size_t k = 0;

    (void)e;
    mutex_lock(&m->mu);
    v = mem_array(m->nobjs + 1, sizeof *v);
    for (size_t i = 0; i < m->nobjs; i++)
        if (m->objs[i].store == store)
            v[k++] = (struct obj_info){m->objs[i].id, m->objs[i].len, m->objs[i].finished};
    mutex_unlock(&m->mu);
    *out = v;
    *n = k;
    return SS_OK;
}

enum ss_rc seg_mem_obj_del(struct seg_store *ss, const struct obj_name *o, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_obj *x;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    x = find_obj(m, o);
    rc = seg_mem_check_epoch(m, o->store, o->epoch, e);
    if (rc == SS_OK && x == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such object");
    ASSERT(rc != SS_OK || x != NULL);
    if (rc == SS_OK) {
        mem_free(x->p);
        *x = m->objs[--m->nobjs];
    }
    mutex_unlock(&m->mu);
    return rc;
}

void seg_mem_copy_objs(struct seg_mem *m, const struct seg_mem *old)
{
    m->objs = mem_array(old->nobjs + 1, sizeof m->objs[0]);
    for (size_t i = 0; i < old->nobjs; i++) {
        struct mem_obj *x = &m->objs[m->nobjs++];

        *x = old->objs[i];
        if (!x->finished && x->len != 0)
            x->len = seg_mem_random(&m->rng) % x->len;
        x->p = mem_alloc(x->len + 1);
        if (x->len != 0)
            memcpy(x->p, old->objs[i].p, x->len);
    }
}

void seg_mem_damage_obj(struct seg_store *s, uint64_t id, uint64_t off, unsigned char mask)
{
    struct seg_mem *m = mem_of(s);

    mutex_lock(&m->mu);
    for (size_t i = 0; i < m->nobjs; i++)
        if (m->objs[i].id == id && off < m->objs[i].len)
            m->objs[i].p[off] ^= mask;
    mutex_unlock(&m->mu);
}
