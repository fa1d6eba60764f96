/* vector/index_build.c: the builder's side of an index: flush, merge, graphs, saving.
 *
 * New segments are made from a pinned view without the token; the token is taken only to swap them
 * in, when the deaths that happened meanwhile are carried over by document number. Files are
 * durable before MANIFEST names them; MANIFEST is durable before old files go.
 * Threads: the builder thread (vindex_close calls in after it has stopped).
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "vector/index_priv.h"

/* ---- making a segment of live rows ---- */

struct pickrow {
    uint64_t docnum;
    uint32_t elem, part, row;
};

static int pickrow_cmp(const void *x, const void *y)
{
    const struct pickrow *a = x, *b = y;

    if (a->docnum != b->docnum)
        return a->docnum < b->docnum ? -1 : 1;
    return (a->elem > b->elem) - (a->elem < b->elem);
}

struct gather {
    struct pickrow *row;
    uint32_t n;
    uint64_t id_bytes;
};

static void gather_part(struct gather *g, const struct vpart *p, uint32_t part)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct vrow r;

        if (vbits_get(p->dead, i))
            continue;
        vpart_row(p, i, &r);
        g->row[g->n++] = (struct pickrow){r.docnum, r.elem, part, i};
        g->id_bytes += r.id.n;
    }
}

/* The live rows of the view's parts that `use` marks, as a segment; NULL when there are none. */
static struct vseg *segment_of(const struct vindex *ix, const struct vview *v, const bool *use)
{
    struct gather g = {0};
    struct vseg_fill f;
    struct vseg *s = NULL;
    uint64_t live = 0, at = 0;

    for (uint32_t i = 0; i < v->nparts; i++)
        live += use[i] ? vpart_live(&v->part[i]) : 0;
    ASSERT(live < UINT32_MAX);
    g.row = mem_array(live + 1, sizeof(g.row[0]));
    for (uint32_t i = 0; i < v->nparts; i++)
        if (use[i])
            gather_part(&g, &v->part[i], i);
    if (g.n > 0) {
        qsort(g.row, g.n, sizeof(g.row[0]), pickrow_cmp);
        s = vseg_new(ix->o.metric, g.n, ix->o.dims, g.id_bytes, &f);
        for (uint32_t i = 0; i < g.n; i++) {
            struct vrow r;

            vpart_row(&v->part[g.row[i].part], g.row[i].row, &r);
            memcpy(f.vec + (size_t)i * ix->o.dims, r.vec, ix->o.dims * sizeof(float));
            f.docnum[i] = r.docnum;
            f.hash[i] = r.hash;
            f.elem[i] = r.elem;
            f.idoff[i] = at;
            memcpy(f.ids + at, r.id.p, r.id.n);
            at += r.id.n;
        }
        f.idoff[g.n] = at;
        vseg_finish(s);
    }
    mem_free(g.row);
    return s;
}

/* ---- swapping it in ---- */

static int find_part(const struct vindex *ix, const struct vpart *p)
{
    for (uint32_t i = 0; i < ix->nparts; i++)
        if (ix->part[i].p.seg == p->seg && ix->part[i].p.mem == p->mem)
            return (int)i;
    return -1;
}

/* Rows that died in `now` after `then` was taken: their documents die in the new segment. */
static void carry_deaths(const struct vpart *then, const struct vpart *now, struct dpart *to)
{
    if (now->dead == NULL || now->dead == then->dead)
        return;
    for (uint32_t i = 0; i < then->n; i++) {
        struct vrow r;
        uint32_t first, n;

        if (!vbits_get(now->dead, i) || vbits_get(then->dead, i))
            continue;
        vpart_row(then, i, &r);
        n = vseg_find(to->p.seg, r.docnum, &first);
        for (uint32_t j = 0; j < n; j++)
            (void)vbits_set(vindex_own_dead(to), first + j);
    }
}

static uint32_t count_segs(const struct vindex *ix)
{
    uint32_t n = 0;

    while (n < ix->nparts && ix->part[n].p.seg != NULL)
        n++;
    return n;
}

/* Replaces the marked parts by s (NULL: by nothing), in the token. */
static void swap_in(struct vindex *ix, const struct vview *v, const bool *use, struct vseg *s,
                    const struct vseg_file *file)
{
    struct dpart fresh = {.p = {.seg = s}};

    vindex_begin(ix);
    fresh.p.n = s != NULL ? s->rows.n : 0;
    for (uint32_t i = 0; i < v->nparts; i++) {
        int at;

        if (!use[i])
            continue;
        at = find_part(ix, &v->part[i]);
        ASSERT(at >= 0);
        if (s != NULL)
            carry_deaths(&v->part[i], &ix->part[at].p, &fresh);
        if (ix->part[at].p.mem != NULL && ix->part[at].freeze_seq > ix->indexed_seq)
            ix->indexed_seq = ix->part[at].freeze_seq;
        vindex_drop_part(ix, (uint32_t)at);
    }
    if (s != NULL) {
        uint32_t at = count_segs(ix);
        struct dpart *d = vindex_add_part(ix, at, &fresh.p);
        d->own_dead = fresh.own_dead;
        d->number = s->number;
        d->file = *file;
    }
    ix->changed = true;
    vindex_publish(ix, ix->cur->seq);
    vindex_end(ix);
    ix->manifest_dirty = true;
}

/* ---- manifest ---- */

static bool list_skip(void *arg, struct slice key, void *value)
{
    struct manifest *m = arg;

    (void)key;
    m->skip[m->nskips++] = *(struct vskip *)value;
    return true;
}

struct save {
    struct manifest m;
    struct vbits **dead; /* referenced; what each segment's bitmap is now */
    struct vbits **saved;
};

static void save_begin(struct vindex *ix, struct arena *a, struct save *s)
{
    uint32_t n;

    vindex_begin(ix);
    n = count_segs(ix);
    memset(s, 0, sizeof(*s));
    memcpy(s->m.uuid, ix->o.uuid, sizeof(s->m.uuid));
    memcpy(s->m.sig, ix->o.sig, sizeof(s->m.sig));
    s->m.seq = ix->indexed_seq;
    s->m.n = n;
    s->m.seg = arena_zalloc(a, (n + 1) * sizeof(struct mseg));
    s->dead = arena_array(a, n + 1u, sizeof(struct vbits *));
    s->saved = arena_array(a, n + 1u, sizeof(struct vbits *));
    for (uint32_t i = 0; i < n; i++) {
        const struct dpart *d = &ix->part[i];
        s->m.seg[i] = (struct mseg){d->number, d->p.seg->rows.n, d->dead_gen, d->dead_crc, d->file};
        /* Between batches no bitmap is half written, so the present one may be shared. */
        s->dead[i] = vbits_ref(d->p.dead);
        s->saved[i] = vbits_ref(d->dead_saved);
    }
    mutex_lock(&ix->mu);
    s->m.skip = arena_array(a, map_count(ix->skips) + 1, sizeof(struct vskip));
    map_each(ix->skips, list_skip, &s->m);
    for (uint32_t i = 0; i < s->m.nskips; i++)
        s->m.skip[i].id = arena_dup(a, s->m.skip[i].id);
    s->m.skips_over = ix->skips_over;
    mutex_unlock(&ix->mu);
    for (uint32_t i = 0; i < ix->nparts; i++)
        ix->part[i].own_dead = false; /* shared now: the next batch copies */
    vindex_end(ix);
    s->m.next_number = ix->next_number;
}

static enum status save_dead(const struct vindex *ix, struct save *s, struct err *e)
{
    for (uint32_t i = 0; i < s->m.n; i++) {
        struct mseg *m = &s->m.seg[i];
        char path[4096];

        if (s->dead[i] == s->saved[i] || s->dead[i] == NULL)
            continue;
        m->dead_gen++;
        vpath_dead(path, ix->dir, m->number, m->dead_gen);
        TRY(dead_write(path, s->dead[i], &m->dead_crc, e));
    }
    return ST_OK;
}

static void save_end(struct vindex *ix, const struct save *s)
{
    uint64_t disk = 4096;

    vindex_begin(ix);
    for (uint32_t i = 0; i < ix->nparts; i++) {
        struct dpart *d = &ix->part[i];

        for (uint32_t j = 0; j < s->m.n && d->p.seg != NULL; j++) {
            if (d->number != s->m.seg[j].number)
                continue;
            d->dead_gen = s->m.seg[j].dead_gen;
            d->dead_crc = s->m.seg[j].dead_crc;
            vbits_release(d->dead_saved);
            d->dead_saved = vbits_ref(s->dead[j]);
        }
    }
    vindex_end(ix);
    for (uint32_t j = 0; j < s->m.n; j++)
        disk += s->m.seg[j].file.bytes +
                (s->dead[j] != NULL ? ((uint64_t)s->dead[j]->nbits + 7) / 8 : 0);
    mutex_lock(&ix->mu);
    ix->disk = disk;
    ix->saved_seq = s->m.seq;
    mutex_unlock(&ix->mu);
}

enum status vindex_save(struct vindex *ix, struct err *e)
{
    struct arena *a = arena_new();
    struct save s;
    enum status st;

    save_begin(ix, a, &s);
    st = save_dead(ix, &s, e);
    KILL_POINT("vec.dead.written");
    if (st == ST_OK)
        st = manifest_write(ix->dir, &s.m, e);
    KILL_POINT("vec.manifest.written");
    if (st == ST_OK) {
        save_end(ix, &s);
        ix->manifest_dirty = false;
        manifest_sweep(ix->dir, &s.m);
        KILL_POINT("vec.swept");
    }
    for (uint32_t i = 0; i < s.m.n; i++) {
        vbits_release(s.dead[i]);
        vbits_release(s.saved[i]);
    }
    arena_free(a);
    return st;
}

/* ---- flush ---- */

static bool is_frozen(struct vindex *ix, const struct vpart *p)
{
    bool frozen;
    int at;

    vindex_begin(ix);
    at = find_part(ix, p);
    frozen = at >= 0 && !(ix->active && (uint32_t)at == ix->nparts - 1);
    vindex_end(ix);
    return frozen;
}

/* Index of the oldest frozen memtable of the view; -1. */
static int oldest_frozen(struct vindex *ix, const struct vview *v)
{
    for (uint32_t i = 0; i < v->nparts; i++)
        if (v->part[i].mem != NULL)
            return is_frozen(ix, &v->part[i]) ? (int)i : -1;
    return -1;
}

bool vindex_pending(struct vindex *ix)
{
    struct vview *v = vindex_pin(ix);
    bool pending = oldest_frozen(ix, v) >= 0;

    vview_release(v);
    return pending;
}

static enum status write_segment(struct vindex *ix, struct vseg *s, struct vseg_file *file,
                                 struct err *e)
{
    char path[4096];

    s->number = ix->next_number++;
    vpath_seg(path, ix->dir, s->number);
    return vseg_write(s, path, ix->o.sig, file, e);
}

enum status vindex_flush(struct vindex *ix, bool *did, struct err *e)
{
    struct vview *v = vindex_pin(ix);
    int at = oldest_frozen(ix, v);
    struct vseg_file file = {0};
    enum status st = ST_OK;
    struct vseg *s = NULL;
    bool *use = NULL;

    *did = false;
    if (at < 0)
        goto out;
    /* A view published before the freeze may miss the memtable's last rows. */
    if (v->part[at].n != vmem_rows(v->part[at].mem))
        goto out;
    use = mem_zalloc(v->nparts * sizeof(*use));
    use[at] = true;
    s = segment_of(ix, v, use);
    if (s != NULL)
        st = write_segment(ix, s, &file, e);
    if (st != ST_OK)
        goto out;
    swap_in(ix, v, use, s, &file);
    s = NULL;
    *did = true;
    st = vindex_save(ix, e);
out:
    vseg_release(s);
    mem_free(use);
    vview_release(v);
    return st;
}

/* ---- merge ---- */

static enum status merge(struct vindex *ix, const struct vview *v, const bool *use,
                         const struct vwork *w, struct err *e)
{
    struct vseg *s = segment_of(ix, v, use);
    struct vseg_file file = {0};
    enum status st = ST_OK;

    if (s != NULL && s->rows.n >= ix->o.graph_min) {
        struct vseg_graph_opts o = {ix->o.m, ix->o.efc, ix->o.build_threads, w->go_on, w->arg};
        st = vseg_build_graph(s, &o, e);
        if (st == ST_INTERNAL) { /* searched by scanning: slow, not wrong */
            log_error("vector index %s: %s", ix->dir, e->reason);
            st = ST_OK;
        }
    }
    if (st == ST_OK && s != NULL)
        st = write_segment(ix, s, &file, e);
    if (st != ST_OK) {
        vseg_release(s);
        return st;
    }
    swap_in(ix, v, use, s, &file);
    return vindex_save(ix, e);
}

static bool has_graph(const struct vpart *p)
{
    return p->seg != NULL && p->seg->graph.n != 0;
}

struct shape { /* what the choice looks at */
    uint32_t nsmall, largest_small;
    uint64_t small_live, least_graph; /* rows of the smallest graph segment */
    uint64_t active;
};

static void look(const struct vview *v, struct shape *s)
{
    *s = (struct shape){.least_graph = UINT64_MAX};
    for (uint32_t i = 0; i < v->nparts; i++) {
        uint64_t live = vpart_live(&v->part[i]);

        if (v->part[i].mem != NULL) {
            s->active += live;
        } else if (has_graph(&v->part[i])) {
            s->least_graph = live < s->least_graph ? live : s->least_graph;
        } else {
            s->nsmall++;
            s->small_live += live;
        }
    }
}

static void use_small(const struct vview *v, bool *use)
{
    for (uint32_t i = 0; i < v->nparts; i++)
        use[i] = v->part[i].seg != NULL && !has_graph(&v->part[i]);
}

static bool use_dead(const struct vview *v, bool compact, bool *use)
{
    bool any = false;

    for (uint32_t i = 0; i < v->nparts; i++) {
        const struct vpart *p = &v->part[i];
        uint32_t dead = p->n - vpart_live(p);

        use[i] = p->seg != NULL && (compact ? dead > 0 : dead >= 64 && (uint64_t)dead * 5 > p->n);
        any = any || use[i];
    }
    return any;
}

/* Four graph segments of one size class (a factor of four) become one. */
static bool use_tier(const struct vview *v, bool *use)
{
    for (unsigned tier = 12; tier < 32; tier += 2) {
        uint32_t n = 0;

        for (uint32_t i = 0; i < v->nparts; i++) {
            uint64_t live = vpart_live(&v->part[i]);
            use[i] =
                n < 4 && has_graph(&v->part[i]) && live >> tier != 0 && live >> (tier + 2) == 0;
            n += use[i];
        }
        if (n == 4)
            return true;
    }
    return false;
}

static bool use_smallest_graph(const struct vview *v, uint64_t live, bool *use)
{
    for (uint32_t i = 0; i < v->nparts; i++) {
        if (has_graph(&v->part[i]) && vpart_live(&v->part[i]) == live) {
            use[i] = true;
            return true;
        }
    }
    return false;
}

/* Marks what to merge now. */
static bool choose(const struct vindex *ix, const struct vview *v, const struct vwork *w, bool *use)
{
    struct shape s;

    if (use_dead(v, w->compact, use))
        return true;
    look(v, &s);
    use_small(v, use);
    if (s.nsmall >= 8 || (w->idle && s.nsmall >= 4))
        return true;
    if (w->idle && s.nsmall > 0 && s.least_graph != UINT64_MAX && s.small_live * 4 >= s.least_graph)
        return use_smallest_graph(v, s.least_graph, use);
    if (w->idle && s.small_live >= ix->o.graph_min)
        return true;
    return use_tier(v, use);
}

/* When writes have paused and the memtable is what keeps queries scanning, make it a segment. */
static bool freeze_wanted(const struct vindex *ix, const struct vview *v, const struct vwork *w)
{
    struct shape s;
    uint64_t loose;

    look(v, &s);
    loose = s.small_live + s.active;
    if (s.active == 0)
        return false;
    if (w->compact)
        return true;
    if (!w->idle || (s.active < 1024 && s.active * ix->o.dims < 65536))
        return false;
    return loose >= ix->o.graph_min || (s.least_graph != UINT64_MAX && loose * 4 >= s.least_graph);
}

static bool memtables_hold_dead(const struct vview *v)
{
    for (uint32_t i = 0; i < v->nparts; i++)
        if (v->part[i].mem != NULL && vpart_live(&v->part[i]) != v->part[i].n)
            return true;
    return false;
}

static void freeze_now(struct vindex *ix)
{
    vindex_begin(ix);
    vindex_freeze(ix);
    ix->changed = true;
    vindex_publish(ix, ix->cur->seq);
    vindex_end(ix);
}

/* Nothing to merge: is the manifest so far behind that opening would replay much? */
static enum status catch_up(struct vindex *ix, const struct vwork *w, bool *did, struct err *e)
{
    bool stale;

    vindex_begin(ix);
    stale = !ix->active && w->idle && ix->applied > ix->indexed_seq + 5000;
    for (uint32_t i = 0; i < ix->nparts; i++)
        stale = stale && ix->part[i].p.mem == NULL;
    if (stale)
        ix->indexed_seq = ix->applied;
    vindex_end(ix);
    if (!stale && !ix->manifest_dirty)
        return ST_OK;
    *did = true;
    return vindex_save(ix, e);
}

enum status vindex_work(struct vindex *ix, const struct vwork *w, bool *did, struct err *e)
{
    struct vview *v;
    enum status st;
    bool *use;

    st = vindex_flush(ix, did, e);
    if (st != ST_OK || *did)
        return st;
    v = vindex_pin(ix);
    use = mem_zalloc((v->nparts + 1u) * sizeof(*use));
    if (freeze_wanted(ix, v, w) && (!w->compact || memtables_hold_dead(v))) {
        freeze_now(ix);
        *did = true;
    } else if (choose(ix, v, w, use)) {
        st = merge(ix, v, use, w, e);
        *did = true;
    } else {
        st = catch_up(ix, w, did, e);
    }
    mem_free(use);
    vview_release(v);
    return st;
}
