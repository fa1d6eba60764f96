/* vector/registry.c: opening, closing, which database has indexes, and the commit observer.
 * Threads: the observer runs on the committer and only copies; the rest by any. */
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "vector/vecdb_priv.h"

/* ---- databases ---- */

void vdb_dir(char out[4096], const struct vdb *d)
{
    (void)snprintf(out, 4096, "%s/vec/%u", store_dir(db_store(d->db)), db_num(d->db));
}

static struct slice key_of(const struct db *db)
{
    return slice_of((const char *)db_uuid(db), 16);
}

static struct vdb *vdb_find(struct vectors *v, const struct db *db)
{
    return map_get(v->dbs, key_of(db));
}

/* v->mu held. For a database that was dropped already nothing is going to say so again. */
static struct vdb *vdb_make(struct vectors *v, struct db *db)
{
    struct vdb *d = mem_zalloc(sizeof(*d));

    d->v = v;
    d->db = db_ref(db);
    d->dropped = db_dropped(db);
    d->tail = &d->head;
    d->defs_wanted = 1;
    mutex_init(&d->mu, RANK_VEC_INDEX);
    cond_init(&d->cv);
    if (!d->dropped)
        (void)map_put(v->dbs, key_of(d->db), d);
    if (v->nlist == v->cap_list) {
        v->cap_list = v->cap_list == 0 ? 16 : v->cap_list * 2;
        v->list = mem_realloc(v->list, v->cap_list * sizeof(struct vdb *));
    }
    v->list[v->nlist++] = d;
    return d;
}

struct vdb *vdb_get(struct vectors *v, struct db *db)
{
    struct vdb *d;

    mutex_lock(&v->mu);
    d = vdb_find(v, db);
    if (d == NULL)
        d = vdb_make(v, db);
    d->users++;
    mutex_unlock(&v->mu);
    return d;
}

void vdb_put(struct vdb *d)
{
    struct vectors *v = d->v;

    mutex_lock(&v->mu);
    d->users--;
    if (db_dropped(d->db)) { /* perhaps the builder waits for this user to go */
        v->build_now = true;
        cond_signal(&v->cv_build);
    }
    mutex_unlock(&v->mu);
}

/* v->mu held. */
static void add_todo(struct vdb *d)
{
    if (d->in_todo)
        return;
    d->in_todo = true;
    d->todo = d->v->todo;
    d->v->todo = d;
    cond_signal(&d->v->cv_index);
}

void vdb_todo(struct vdb *d)
{
    mutex_lock(&d->v->mu);
    add_todo(d);
    mutex_unlock(&d->v->mu);
}

void vectors_build_wake(struct vectors *v)
{
    mutex_lock(&v->mu);
    v->build_now = true;
    cond_signal(&v->cv_build);
    mutex_unlock(&v->mu);
}

bool vectors_stopping(struct vectors *v)
{
    bool stopping;

    mutex_lock(&v->mu);
    stopping = v->stopping;
    mutex_unlock(&v->mu);
    return stopping;
}

/* ---- the observer ---- */

void vdb_free_queue(struct vdb *d)
{
    while (d->head != NULL) {
        struct vevent *ev = d->head;
        d->head = ev->next;
        d->popped = ev->seq > d->popped ? ev->seq : d->popped;
        mem_free(ev);
    }
    d->tail = &d->head;
    d->queue_bytes = 0;
}

static bool is_design(struct slice id)
{
    return slice_starts(id, SLICE_LIT("_design/"));
}

/* d->mu held. Too much waits: forget it, the changes rows have it all. */
static void overflow(struct vdb *d, uint64_t seq)
{
    vdb_free_queue(d);
    d->popped = seq > d->popped ? seq : d->popped;
    for (uint32_t i = 0; i < d->nentries; i++)
        d->entry[i]->live = false;
}

/* d->mu held. */
static void enqueue(struct vdb *d, const struct commit_event *c)
{
    bool body = c->winner_in_json && !c->deleted;
    size_t n = sizeof(struct vevent) + c->docid.n + (body ? c->json.n : 0);
    struct vevent *ev;
    char *p;

    if (d->queue_bytes + n > VQUEUE_BYTES) {
        overflow(d, c->seq);
        return;
    }
    ev = mem_alloc(n);
    p = (char *)(ev + 1);
    *ev = (struct vevent){
        .seq = c->seq, .docnum = c->docnum, .deleted = c->deleted, .has_json = body};
    memcpy(p, c->docid.p, c->docid.n);
    ev->docid = slice_of(p, c->docid.n);
    if (body)
        memcpy(p + c->docid.n, c->json.p, c->json.n);
    ev->json = slice_of(p + c->docid.n, body ? c->json.n : 0);
    *d->tail = ev;
    d->tail = &ev->next;
    d->queue_bytes += n;
}

/* v->mu held. True: the indexer has something to do. */
static bool take_event(struct vdb *d, const struct commit_event *c)
{
    bool todo = false;

    mutex_lock(&d->mu);
    if (c->dropped) {
        d->dropped = true;
        vdb_free_queue(d);
        cond_broadcast(&d->cv);
        todo = true;
    } else if (is_design(c->docid)) {
        d->defs_wanted++;
        todo = true;
    }
    if (!c->dropped && d->nentries > 0) {
        enqueue(d, c);
        todo = true;
    }
    mutex_unlock(&d->mu);
    return todo;
}

/* Most design documents have nothing to do with vectors; they need no vdb. */
static bool may_define(const struct commit_event *c)
{
    return !c->dropped && is_design(c->docid) &&
           (!c->winner_in_json || memmem(c->json.p, c->json.n, "\"vectors\"", 9) != NULL);
}

static void observe(void *arg, const struct commit_event *ev, size_t n)
{
    struct vectors *v = arg;
    struct vdb *d = NULL;

    mutex_lock(&v->mu);
    for (size_t i = 0; i < n; i++) {
        if (d == NULL || d->db != ev[i].db) {
            d = vdb_find(v, ev[i].db);
            if (d == NULL && may_define(&ev[i]))
                d = vdb_make(v, ev[i].db);
        }
        if (d != NULL && take_event(d, &ev[i]))
            add_todo(d);
        if (d != NULL && ev[i].dropped) {
            (void)map_remove(v->dbs, key_of(d->db));
            v->build_now = true;
            cond_signal(&v->cv_build);
            d = NULL;
        }
    }
    mutex_unlock(&v->mu);
}

/* ---- folders of databases that are gone ---- */

struct gone {
    struct vectors *v;
    struct map *alive;
    char root[4096];
};

static enum status remove_if_gone(void *arg, const char *name)
{
    struct gone *g = arg;
    char path[4200];
    struct err e;

    if (map_get(g->alive, slice_str(name)) != NULL)
        return ST_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", g->root, name);
    if (fs_remove_tree(path, &e) != ST_OK)
        log_warn("%s", e.reason);
    return ST_OK;
}

static void sweep_dropped(void *arg, struct store *s)
{
    struct vectors *v = arg;
    struct gone g = {.v = v, .alive = map_new()};
    struct arena *a = arena_new();
    struct slice *names;
    size_t n = 0;
    struct err e;

    (void)snprintf(g.root, sizeof(g.root), "%s/vec", store_dir(s));
    if (fs_exists(g.root) && db_list(s, a, &names, &n, &e) == ST_OK) {
        for (size_t i = 0; i < n; i++) {
            struct db *db;

            if (db_open(s, names[i], &db, &e) != ST_OK)
                continue;
            (void)map_put(g.alive, arena_printf(a, "%u", db_num(db)), v);
            db_release(db);
        }
        if (fs_list(g.root, remove_if_gone, &g, &e) != ST_OK)
            log_warn("%s", e.reason);
    }
    map_free(g.alive);
    arena_free(a);
}

/* ---- search contexts ---- */

struct vctx *vectors_ctx(struct vectors *v)
{
    struct vctx *c = NULL;

    mutex_lock(&v->ctx_mu);
    if (v->nctx > 0)
        c = v->ctx[--v->nctx];
    mutex_unlock(&v->ctx_mu);
    return c != NULL ? c : vctx_new();
}

void vectors_ctx_back(struct vectors *v, struct vctx *c)
{
    mutex_lock(&v->ctx_mu);
    if (v->nctx < sizeof(v->ctx) / sizeof(v->ctx[0])) {
        v->ctx[v->nctx++] = c;
        c = NULL;
    }
    mutex_unlock(&v->ctx_mu);
    vctx_free(c);
}

/* ---- open, close ---- */

enum status vectors_open(struct stores *all, const struct vectors_options *opt,
                         struct vectors **out, struct err *e)
{
    struct vectors *v = mem_zalloc(sizeof(*v));
    unsigned cores;

    (void)e;
    v->all = all;
    v->o = *opt;
    if (!(v->o.target_recall > 0 && v->o.target_recall <= 1))
        v->o.target_recall = 0.95;
    cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (v->o.build_threads == 0)
        v->o.build_threads = cores > 2 ? cores / 2 : 1;
    v->dbs = map_new();
    mutex_init(&v->mu, RANK_VEC_REGISTRY);
    mutex_init(&v->ctx_mu, RANK_LEAF);
    cond_init(&v->cv_index);
    cond_init(&v->cv_build);
    stores_each(all, sweep_dropped, v);
    stores_observe(all, observe, v);
    thread_start(&v->indexer, "vec-index", vectors_indexer, v);
    thread_start(&v->builder, "vec-build", vectors_builder, v);
    *out = v;
    return ST_OK;
}

static void vdb_free(struct vdb *d, bool save)
{
    vdefs_put(d, d->defs);
    for (uint32_t i = 0; i < d->nentries; i++)
        ventry_close(d->entry[i], save && !d->dropped && d->entry[i]->used);
    vdb_free_queue(d);
    db_release(d->db);
    cond_fini(&d->cv);
    mutex_fini(&d->mu);
    mem_free(d);
}

void vectors_close(struct vectors *v)
{
    if (v == NULL)
        return;
    mutex_lock(&v->mu);
    v->stopping = true;
    cond_broadcast(&v->cv_index);
    cond_broadcast(&v->cv_build);
    mutex_unlock(&v->mu);
    thread_join(&v->indexer);
    thread_join(&v->builder);
    for (size_t i = 0; i < v->nlist; i++)
        vdb_free(v->list[i], true);
    for (unsigned i = 0; i < v->nctx; i++)
        vctx_free(v->ctx[i]);
    map_free(v->dbs);
    mem_free(v->list);
    cond_fini(&v->cv_index);
    cond_fini(&v->cv_build);
    mutex_fini(&v->mu);
    mutex_fini(&v->ctx_mu);
    mem_free(v);
}
