/* wal/seg_mem.c: a seg_store in memory that fails on purpose; for tests.
 *
 * An append is all or nothing here; what a crash may leave of one that was under way is made by
 * seg_mem_crash. Threads: any; one lock guards everything.
 */
#include "wal/seg_mem.h"

#include "base/alloc.h"
#include "wal/seg_mem_priv.h"

uint64_t seg_mem_random(uint64_t *x) /* xorshift64*: a sequence that a seed repeats */
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 0x2545f4914f6cdd1dULL;
}

static struct mem_seg *find(struct seg_mem *m, uint64_t store, uint64_t seg)
{
    for (size_t i = 0; i < m->nsegs; i++)
        if (m->segs[i].store == store && m->segs[i].seg == seg)
            return &m->segs[i];
    return NULL;
}

static void set_bytes(struct mem_seg *s, uint32_t off, const void *p, size_t n)
{
    s->p = mem_realloc(s->p, off + n + 1);
    if (n != 0)
        memcpy(s->p + off, p, n);
    s->len = (uint32_t)(off + n);
}

enum ss_rc seg_mem_answer(struct err *e, enum ss_rc rc, const char *what)
{
    (void)err_set(e, ss_status(rc), "memory segments: %s", what);
    return rc;
}

enum ss_rc seg_mem_check_epoch(const struct seg_mem *m, uint64_t store, uint64_t epoch,
                               struct err *e)
{
    return store < MEM_STORES && epoch == m->owners[store].super.epoch
               ? SS_OK
               : seg_mem_answer(e, SS_FENCED, "another owner took over");
}

static enum ss_rc mem_acquire(struct seg_store *ss, uint64_t store, struct ss_super *out,
                              struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_owner *o;

    if (store >= MEM_STORES)
        return seg_mem_answer(e, SS_IO, "only the first few stores");
    o = &m->owners[store];
    mutex_lock(&m->mu);
    if (!o->known)
        for (size_t i = 0; i < sizeof o->super.uuid; i++)
            o->super.uuid[i] = (unsigned char)seg_mem_random(&m->rng);
    o->super.epoch++;
    *out = o->super;
    out->created = !o->known;
    out->clean = o->super.clean || !o->known;
    o->known = true;
    o->super.clean = false;
    mutex_unlock(&m->mu);
    return SS_OK;
}

static enum ss_rc mem_checkpoint(struct seg_store *ss, uint64_t store, uint64_t epoch,
                                 uint64_t hint_seg, bool clean, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    enum ss_rc rc;

    mutex_lock(&m->mu);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK) {
        m->owners[store].super.replay_hint_seg = hint_seg;
        m->owners[store].super.clean = clean;
    }
    mutex_unlock(&m->mu);
    return rc;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc mem_create(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                             const void *hdr, size_t n, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    enum ss_rc rc;

    mutex_lock(&m->mu);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && find(m, store, seg) != NULL)
        rc = seg_mem_answer(e, SS_EXISTS, "the segment exists");
    if (rc == SS_OK) {
        m->segs = mem_realloc(m->segs, (m->nsegs + 1) * sizeof m->segs[0]);
        m->segs[m->nsegs] = (struct mem_seg){.store = store, .seg = seg};
        set_bytes(&m->segs[m->nsegs++], 0, hdr, n);
    }
    mutex_unlock(&m->mu);
    return rc;
}

enum seg_mem_fault seg_mem_take_fault(struct seg_mem *m)
{
    if (m->fail_in == 0 || --m->fail_in > 0)
        return SEG_MEM_NONE;
    if (m->sticky)
        m->fail_in = 1;
    return m->fault;
}

/* Remembers the append's bytes; they are "under way" until last_done. */
static void remember(struct seg_mem *m, const struct mem_seg *s, const struct iovec *iov, int n)
{
    m->last.store = s->store;
    m->last.seg = s->seg;
    m->last.len = 0;
    m->last_done = false;
    for (int i = 0; i < n; i++)
        set_bytes(&m->last, m->last.len, iov[i].iov_base, iov[i].iov_len);
}

static enum ss_rc append_locked(struct seg_mem *m, struct mem_seg *s, const struct iovec *iov,
                                int n, struct err *e)
{
    enum seg_mem_fault f = seg_mem_take_fault(m);

    if (f == SEG_MEM_NOSPC)
        return seg_mem_answer(e, SS_NOSPC, "no space");
    remember(m, s, iov, n);
    if (f == SEG_MEM_NONE || f == SEG_MEM_UNKNOWN_DONE) {
        set_bytes(s, s->len, m->last.p, m->last.len);
        m->last_done = true;
    }
    if (f == SEG_MEM_NONE)
        return SS_OK;
    return seg_mem_answer(e, f == SEG_MEM_IO ? SS_IO : SS_UNKNOWN, "the append failed");
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc mem_append(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                             uint32_t expect_off, const struct iovec *iov, int n, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_seg *s;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    s = find(m, store, seg);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && s == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such segment");
    else if (rc == SS_OK && (s->sealed || s->len != expect_off))
        rc = seg_mem_answer(e, SS_IO, "sealed, or the offset is not the end");
    if (rc == SS_OK)
        rc = append_locked(m, s, iov, n, e);
    mutex_unlock(&m->mu);
    return rc;
}

static enum ss_rc mem_resolve(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                              uint32_t *len, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    const struct mem_seg *s;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    s = find(m, store, seg);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && s == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such segment");
    if (rc == SS_OK)
        *len = s->len;
    mutex_unlock(&m->mu);
    return rc;
}

/* Both ends of a segment's growth: a torn tail cut off, and sealing. */
static enum ss_rc shorten(struct seg_store *ss, uint64_t epoch, struct seg_info to, bool seal,
                          uint64_t store, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_seg *s;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    s = find(m, store, to.seg);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && s == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such segment");
    if (rc == SS_OK) {
        s->len = to.len < s->len ? to.len : s->len;
        s->sealed = s->sealed || seal;
    }
    mutex_unlock(&m->mu);
    return rc;
}

static enum ss_rc mem_truncate(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                               uint32_t len, struct err *e)
{
    return shorten(ss, epoch, (struct seg_info){seg, len}, false, store, e);
}

static enum ss_rc mem_rewrite(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                              uint32_t len, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    const struct mem_seg *s;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    s = find(m, store, seg);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && (s == NULL || s->len < len))
        rc = seg_mem_answer(e, SS_CORRUPT, "the segment is shorter");
    mutex_unlock(&m->mu);
    return rc;
}

static enum ss_rc mem_seal(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                           uint32_t len, struct err *e)
{
    return shorten(ss, epoch, (struct seg_info){seg, len}, true, store, e);
}

/* NOLINTNEXTLINE(readability-function-size): the parameters are seg_store_ops's */
static enum ss_rc mem_read(struct seg_store *ss, uint64_t store, uint64_t seg, uint32_t off,
                           void *buf, uint32_t len, struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    const struct mem_seg *s;
    enum ss_rc rc = SS_OK;

    mutex_lock(&m->mu);
    s = find(m, store, seg);
    if (s == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such segment");
    else if (off > s->len || s->len - off < len)
        rc = seg_mem_answer(e, SS_CORRUPT, "the segment is shorter");
    else if (len != 0)
        memcpy(buf, s->p + off, len);
    mutex_unlock(&m->mu);
    return rc;
}

static enum ss_rc mem_list(struct seg_store *ss, uint64_t store, struct seg_info **out, size_t *n,
                           struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct seg_info *v;
    size_t k = 0;

    (void)e;
    mutex_lock(&m->mu);
    v = mem_array(m->nsegs + 1, sizeof *v);
    for (size_t i = 0; i < m->nsegs; i++) {
        size_t at = k;

        if (m->segs[i].store != store)
            continue;
        for (; at > 0 && v[at - 1].seg > m->segs[i].seg; at--)
            v[at] = v[at - 1];
        v[at] = (struct seg_info){m->segs[i].seg, m->segs[i].len};
        k++;
    }
    mutex_unlock(&m->mu);
    *out = v;
    *n = k;
    return SS_OK;
}

static enum ss_rc mem_del(struct seg_store *ss, uint64_t store, uint64_t epoch, uint64_t seg,
                          struct err *e)
{
    struct seg_mem *m = mem_of(ss);
    struct mem_seg *s;
    enum ss_rc rc;

    mutex_lock(&m->mu);
    s = find(m, store, seg);
    rc = seg_mem_check_epoch(m, store, epoch, e);
    if (rc == SS_OK && s == NULL)
        rc = seg_mem_answer(e, SS_NOENT, "no such segment");
    if (rc == SS_OK) {
        mem_free(s->p);
        *s = m->segs[--m->nsegs];
    }
    mutex_unlock(&m->mu);
    return rc;
}

static uint64_t mem_free_bytes(struct seg_store *ss)
{
    (void)ss;
    return UINT64_MAX;
}

static void mem_close(struct seg_store *ss)
{
    struct seg_mem *m = mem_of(ss);

    for (size_t i = 0; i < m->nsegs; i++)
        mem_free(m->segs[i].p);
    for (size_t i = 0; i < m->nobjs; i++)
        mem_free(m->objs[i].p);
    mem_free(m->objs);
    mem_free(m->segs);
    mem_free(m->last.p);
    mutex_fini(&m->mu);
    mem_free(m);
}

static const struct seg_store_ops MEM_OPS = {
    .acquire = mem_acquire,
    .checkpoint = mem_checkpoint,
    .seg_create = mem_create,
    .append = mem_append,
    .resolve = mem_resolve,
    .truncate = mem_truncate,
    .rewrite = mem_rewrite,
    .seal = mem_seal,
    .read = mem_read,
    .list = mem_list,
    .del = mem_del,
    .reclaim_begin = seg_mem_reclaim_begin,
    .reclaim_end = seg_mem_reclaim_end,
    .stores = seg_mem_stores,
    .release = seg_mem_release,
    .destroy = seg_mem_destroy,
    .obj_create = seg_mem_obj_create,
    .obj_append = seg_mem_obj_append,
    .obj_finish = seg_mem_obj_finish,
    .obj_read = seg_mem_obj_read,
    .obj_stat = seg_mem_obj_stat,
    .obj_list = seg_mem_obj_list,
    .obj_del = seg_mem_obj_del,
    .free_bytes = mem_free_bytes,
    .reserve_bytes = mem_free_bytes,
    .close = mem_close,
};

struct seg_store *seg_mem_new(uint64_t seed)
{
    struct seg_mem *m = mem_zalloc(sizeof *m);

    m->base.ops = &MEM_OPS;
    m->rng = seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
    mutex_init(&m->mu, RANK_LEAF);
    return &m->base;
}

void seg_mem_fail_append(struct seg_store *s, unsigned nth, enum seg_mem_fault f, bool sticky)
{
    struct seg_mem *m = mem_of(s);

    mutex_lock(&m->mu);
    m->fail_in = f == SEG_MEM_NONE ? 0 : nth;
    m->fault = f;
    m->sticky = sticky;
    mutex_unlock(&m->mu);
}

/* Bytes that a torn write may leave: in order, with blocks that never arrived, or with noise. */
static void torn_bytes(const struct seg_mem *m, uint64_t *rng, unsigned char *out, uint32_t n)
{
    uint64_t kind = seg_mem_random(rng) % 4;
    const unsigned char *p = m->last.p;
    bool real = !m->last_done;

    for (uint32_t i = 0; i < n; i++) {
        bool hole = i % 512 == 0 && seg_mem_random(rng) % 3 == 0;

        out[i] = 0;
        if (p != NULL && i < m->last.len && (real ? kind != 3 : kind == 1))
            out[i] = p[i];
        else if (i < m->last.len && kind >= 2)
            out[i] = (unsigned char)seg_mem_random(rng);
        if (hole && kind == 2 && i + 512 < n) {
            memset(out + i, 0, 512);
            i += 511;
        }
    }
}

struct seg_store *seg_mem_crash(const struct seg_store *s, uint32_t torn)
{
    struct seg_mem *old = (struct seg_mem *)(uintptr_t)s; /* the lock is not part of its value */
    struct seg_store *copy = seg_mem_new(1);
    struct seg_mem *m = mem_of(copy);
    struct mem_seg *tail;

    mutex_lock(&old->mu);
    m->rng = old->rng ^ ((uint64_t)torn * 0x9e3779b97f4a7c15ULL);
    memcpy(m->owners, old->owners, sizeof m->owners);
    m->nsegs = old->nsegs;
    m->segs = mem_array(old->nsegs + 1, sizeof m->segs[0]);
    for (size_t i = 0; i < old->nsegs; i++) {
        m->segs[i] = old->segs[i];
        m->segs[i].p = NULL;
        m->segs[i].sealed = false;
        set_bytes(&m->segs[i], 0, old->segs[i].p, old->segs[i].len);
    }
    seg_mem_copy_objs(m, old);
    tail = find(m, old->last.store, old->last.seg);
    if (torn != 0 && tail != NULL) {
        unsigned char *bytes = mem_alloc(torn);

        torn_bytes(old, &m->rng, bytes, torn);
        set_bytes(tail, tail->len, bytes, torn);
        mem_free(bytes);
    }
    mutex_unlock(&old->mu);
    return copy;
}

void seg_mem_damage(struct seg_store *s, uint64_t seg, uint32_t off, unsigned char mask)
{
    struct seg_mem *m = mem_of(s);

    mutex_lock(&m->mu);
    for (size_t i = 0; i < m->nsegs; i++)
        if (m->segs[i].seg == seg && m->segs[i].p != NULL && off < m->segs[i].len)
            m->segs[i].p[off] ^= mask;
    mutex_unlock(&m->mu);
}

void seg_mem_fence(struct seg_store *s)
{
    struct seg_mem *m = mem_of(s);

    mutex_lock(&m->mu);
    for (size_t i = 0; i < MEM_STORES; i++)
        m->owners[i].super.epoch++;
    mutex_unlock(&m->mu);
}
