/* vector/index.c: the index between its writer and its readers: apply, publish, pin.
 * Threads: see index.h. */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/log.h"
#include "vector/index_priv.h"

/* ---- parts ---- */

struct dpart *vindex_add_part(struct vindex *ix, uint32_t at, const struct vpart *p)
{
    if (ix->nparts == ix->cap) {
        ix->cap = ix->cap == 0 ? 8 : ix->cap * 2;
        ix->part = mem_realloc(ix->part, ix->cap * sizeof(ix->part[0]));
    }
    memmove(&ix->part[at + 1], &ix->part[at], (ix->nparts - at) * sizeof(ix->part[0]));
    ix->nparts++;
    ix->part[at] = (struct dpart){.p = *p}; /* takes over the caller's references */
    return &ix->part[at];
}

void vindex_drop_part(struct vindex *ix, uint32_t at)
{
    struct dpart *d = &ix->part[at];

    vbits_release(d->p.dead);
    vbits_release(d->dead_saved);
    vseg_release(d->p.seg);
    vmem_release(d->p.mem);
    ix->nparts--;
    memmove(d, d + 1, (ix->nparts - at) * sizeof(*d));
}

struct vbits *vindex_own_dead(struct dpart *d)
{
    if (!d->own_dead) {
        struct vbits *old = d->p.dead;
        uint32_t n = d->p.seg != NULL ? d->p.seg->rows.n : vmem_cap(d->p.mem);

        d->p.dead = old != NULL ? vbits_copy(old) : vbits_new(n);
        d->own_dead = true;
        vbits_release(old);
    }
    return d->p.dead;
}

/* ---- open, close ---- */

static enum status open_segment(struct vindex *ix, const struct mseg *m, struct err *e)
{
    char path[4096];
    struct vpart p = {0};
    struct dpart *d;

    vpath_seg(path, ix->dir, m->number);
    TRY(vseg_load(path, ix->o.sig, &m->file, &p.seg, e));
    p.n = p.seg->rows.n;
    p.seg->number = m->number;
    d = vindex_add_part(ix, ix->nparts, &p);
    d->number = m->number;
    d->file = m->file;
    if (p.seg->metric != ix->o.metric || p.seg->rows.dims != ix->o.dims || p.n != m->rows)
        return err_set(e, ST_CORRUPT, "segment %u is of another shape", m->number);
    if (m->dead_gen == 0)
        return ST_OK;
    vpath_dead(path, ix->dir, m->number, m->dead_gen);
    TRY(dead_read(path, p.n, m->dead_crc, &d->p.dead, e));
    d->dead_gen = m->dead_gen;
    d->dead_crc = m->dead_crc;
    d->dead_saved = vbits_ref(d->p.dead);
    return ST_OK;
}

static void add_skip(struct vindex *ix, uint64_t docnum, struct slice id, const char *reason)
{
    struct vskip *s, *old;

    if (map_count(ix->skips) >= VSKIP_MAX) {
        ix->skips_over++;
        return;
    }
    s = mem_alloc(sizeof(*s) + id.n);
    memcpy(s + 1, id.p, id.n);
    *s = (struct vskip){docnum, slice_of(s + 1, id.n), vskip_reason(reason), NULL};
    old = map_put(ix->skips, slice_of(&docnum, sizeof(docnum)), s);
    mem_free(old);
}

static void drop_all(struct vindex *ix)
{
    while (ix->nparts > 0)
        vindex_drop_part(ix, ix->nparts - 1);
    ix->applied = ix->indexed_seq = ix->saved_seq = 0;
    ix->next_number = 1;
}

static enum status open_folder(struct vindex *ix, uint64_t db_seq, struct arena *a, struct err *e)
{
    struct manifest m;

    TRY(manifest_read(ix->dir, a, &m, e));
    if (memcmp(m.uuid, ix->o.uuid, sizeof(m.uuid)) != 0 ||
        memcmp(m.sig, ix->o.sig, sizeof(m.sig)) != 0)
        return err_set(e, ST_CORRUPT, "manifest of another database or definition");
    if (m.seq > db_seq)
        return err_set(e, ST_CORRUPT, "index is newer than the database");
    for (uint32_t i = 0; i < m.n; i++)
        TRY(open_segment(ix, &m.seg[i], e));
    for (uint32_t i = 0; i < m.nskips; i++)
        add_skip(ix, m.skip[i].docnum, m.skip[i].id, m.skip[i].reason);
    ix->skips_over = m.skips_over;
    ix->applied = ix->indexed_seq = ix->saved_seq = m.seq;
    ix->next_number = m.next_number;
    manifest_sweep(ix->dir, &m);
    return ST_OK;
}

enum status vindex_open(const struct vindex_opts *o, uint64_t db_seq, struct vindex **out,
                        struct err *e)
{
    struct vindex *ix = mem_zalloc(sizeof(*ix));
    struct arena *a = arena_new();
    enum status st;

    ix->o = *o;
    ix->dir = mem_strdup(o->dir);
    ix->o.dir = ix->dir;
    if (ix->o.graph_min == 0)
        ix->o.graph_min = LIMIT_GRAPH_ROWS;
    ix->next_number = 1;
    ix->skips = map_new();
    mutex_init(&ix->mu, RANK_LEAF);
    cond_init(&ix->cv);
    st = open_folder(ix, db_seq, a, e);
    if (st != ST_OK) {
        if (st != ST_NOT_FOUND)
            log_warn("vector index %s is discarded and rebuilt: %s", ix->dir, e->reason);
        drop_all(ix);
        st = fs_remove_tree(ix->dir, e);
        if (st == ST_OK)
            st = fs_mkdirs(ix->dir, e);
    }
    arena_free(a);
    ix->changed = true;
    vindex_publish(ix, ix->applied);
    *out = ix;
    if (st != ST_OK) {
        vindex_close(ix, false);
        *out = NULL;
    }
    return st;
}

static bool free_skip(void *arg, struct slice key, void *value)
{
    (void)arg;
    (void)key;
    mem_free(value);
    return true;
}

void vindex_close(struct vindex *ix, bool save)
{
    struct err e;
    bool did = true;

    if (ix == NULL)
        return;
    if (save) {
        enum status st = ST_OK;

        if (ix->active && vmem_rows(ix->part[ix->nparts - 1].p.mem) > 0) {
            vindex_begin(ix);
            vindex_freeze(ix);
            vindex_end(ix);
        }
        while (did && st == ST_OK)
            st = vindex_flush(ix, &did, &e);
        if (st == ST_OK) {
            ix->indexed_seq = ix->applied;
            st = vindex_save(ix, &e);
        }
        if (st != ST_OK)
            log_warn("vector index %s was not saved: %s", ix->dir, e.reason);
    }
    drop_all(ix);
    vview_release(ix->cur);
    map_each(ix->skips, free_skip, NULL);
    map_free(ix->skips);
    mem_free(ix->part);
    mem_free(ix->dir);
    cond_fini(&ix->cv);
    mutex_fini(&ix->mu);
    mem_free(ix);
}

/* ---- readers ---- */

struct vview *vindex_pin(struct vindex *ix)
{
    struct vview *v;

    mutex_lock(&ix->mu);
    v = vview_ref(ix->cur);
    mutex_unlock(&ix->mu);
    return v;
}

uint64_t vindex_seq(struct vindex *ix)
{
    uint64_t seq;

    mutex_lock(&ix->mu);
    seq = ix->cur->seq;
    mutex_unlock(&ix->mu);
    return seq;
}

/* ---- the writer ---- */

void vindex_begin(struct vindex *ix)
{
    mutex_lock(&ix->mu);
    while (ix->token)
        cond_wait(&ix->cv, &ix->mu);
    ix->token = true;
    mutex_unlock(&ix->mu);
}

void vindex_end(struct vindex *ix)
{
    mutex_lock(&ix->mu);
    ix->token = false;
    cond_signal(&ix->cv);
    mutex_unlock(&ix->mu);
}

void vindex_publish(struct vindex *ix, uint64_t seq)
{
    struct vpart *p;
    struct vview *v, *old;

    if (!ix->changed && ix->cur != NULL) {
        mutex_lock(&ix->mu);
        if (atomic_load(&ix->cur->refs) == 1) { /* ours alone: nobody can be reading it */
            ix->cur->seq = seq;
            mutex_unlock(&ix->mu);
            return;
        }
        mutex_unlock(&ix->mu);
    }
    p = mem_array(ix->nparts + 1u, sizeof(*p));
    for (uint32_t i = 0; i < ix->nparts; i++) {
        p[i] = ix->part[i].p;
        if (p[i].mem != NULL)
            p[i].n = vmem_rows(p[i].mem);
        ix->part[i].p.n = p[i].n;
        ix->part[i].own_dead = false;
    }
    v = vview_new(seq, p, ix->nparts);
    mem_free(p);
    mutex_lock(&ix->mu);
    old = ix->cur;
    ix->cur = v;
    mutex_unlock(&ix->mu);
    vview_release(old);
    ix->changed = false;
}

void vindex_freeze(struct vindex *ix)
{
    if (!ix->active)
        return;
    ix->part[ix->nparts - 1].freeze_seq = ix->applied;
    ix->active = false;
}

static struct vmem *room_for(struct vindex *ix, uint32_t n)
{
    struct vmem *m = ix->active ? ix->part[ix->nparts - 1].p.mem : NULL;
    struct vpart p = {0};

    if (m != NULL && vmem_cap(m) - vmem_rows(m) >= n)
        return m;
    vindex_freeze(ix);
    p.mem = vmem_new(ix->o.metric, ix->o.dims, n);
    (void)vindex_add_part(ix, ix->nparts, &p);
    ix->active = true;
    return p.mem;
}

static bool same_rows(const struct vpart *p, uint32_t first, const struct vdoc_rows *d)
{
    for (uint32_t i = 0; i < d->n; i++) {
        struct vrow r;

        vpart_row(p, first + i, &r);
        if (r.hash != d->hash[i] || r.elem != d->elem[i])
            return false;
    }
    return true;
}

static void forget_skip(struct vindex *ix, uint64_t docnum)
{
    if (map_count(ix->skips) == 0)
        return;
    mutex_lock(&ix->mu);
    mem_free(map_remove(ix->skips, slice_of(&docnum, sizeof(docnum))));
    mutex_unlock(&ix->mu);
}

bool vindex_apply(struct vindex *ix, uint64_t seq, const struct vdoc_rows *d)
{
    bool changed = false;

    forget_skip(ix, d->docnum);
    for (uint32_t i = ix->nparts; i-- > 0;) {
        struct dpart *dp = &ix->part[i];
        uint32_t first, n = vpart_find(&dp->p, d->docnum, &first);

        if (n == 0)
            continue;
        if (n == d->n && same_rows(&dp->p, first, d)) {
            ix->applied = seq;
            return false;
        }
        for (uint32_t j = 0; j < n; j++)
            (void)vbits_set(vindex_own_dead(dp), first + j);
        changed = true;
        break;
    }
    if (d->n > 0) {
        vmem_append(room_for(ix, d->n), d);
        changed = true;
    }
    ix->applied = seq;
    ix->changed = ix->changed || changed;
    return changed;
}

/* Rows die rather than parts go: the builder may be at work on them. */
void vindex_clear(struct vindex *ix)
{
    vindex_freeze(ix);
    for (uint32_t i = 0; i < ix->nparts; i++) {
        struct dpart *dp = &ix->part[i];
        uint32_t n = dp->p.seg != NULL ? dp->p.seg->rows.n : vmem_rows(dp->p.mem);

        dp->freeze_seq = 0;
        for (uint32_t j = 0; j < n; j++)
            (void)vbits_set(vindex_own_dead(dp), j);
    }
    mutex_lock(&ix->mu);
    map_each(ix->skips, free_skip, NULL);
    map_free(ix->skips);
    ix->skips = map_new();
    ix->skips_over = 0;
    ix->applied = ix->indexed_seq = 0;
    mutex_unlock(&ix->mu);
    ix->changed = true;
}

/* ---- skipped documents, numbers ---- */

void vindex_skip(struct vindex *ix, const struct vdoc_rows *d, const char *reason)
{
    mutex_lock(&ix->mu);
    add_skip(ix, d->docnum, d->id, reason);
    mutex_unlock(&ix->mu);
}

struct skip_list {
    struct arena *a;
    struct vskip *out;
    uint32_t n;
};

static bool take_skip(void *arg, struct slice key, void *value)
{
    struct skip_list *l = arg;
    const struct vskip *s = value;

    (void)key;
    if (l->n == VSKIP_SAMPLES)
        return false;
    l->out[l->n] = *s;
    l->out[l->n++].id = arena_dup(l->a, s->id);
    return true;
}

uint32_t vindex_skipped(struct vindex *ix, struct arena *a, struct vskip *out, uint32_t *nout)
{
    struct skip_list l = {a, out, 0};
    uint32_t n;

    mutex_lock(&ix->mu);
    n = (uint32_t)map_count(ix->skips) + ix->skips_over;
    map_each(ix->skips, take_skip, &l);
    mutex_unlock(&ix->mu);
    *nout = l.n;
    return n;
}

void vindex_get_stats(struct vindex *ix, struct vindex_stats *out)
{
    struct vview *v = vindex_pin(ix);

    out->seq = v->seq;
    out->ram = 0;
    for (uint32_t i = 0; i < v->nparts; i++)
        out->ram += v->part[i].seg != NULL ? v->part[i].seg->bytes
                                           : (uint64_t)v->part[i].n * (ix->o.dims * 4u + 48u);
    mutex_lock(&ix->mu);
    out->indexed_seq = ix->saved_seq;
    out->disk = ix->disk;
    mutex_unlock(&ix->mu);
    vview_release(v);
}
