/* vector/worker.c: the two background threads. The indexer feeds what the observer queued; the
 * builder flushes, merges, builds graphs, closes indexes nobody names and removes the folders of
 * dropped databases. Threads: these two. */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/time.h"
#include "vector/vecdb_priv.h"

enum { IDLE_US = 400000, POLL_US = 100000, RETRY_US = 10000000 };

/* ---- indexer ---- */

static struct vdb *next_todo(struct vectors *v)
{
    struct vdb *d;

    mutex_lock(&v->mu);
    while (v->todo == NULL && !v->stopping)
        cond_wait(&v->cv_index, &v->mu);
    d = v->stopping ? NULL : v->todo;
    if (d != NULL) {
        v->todo = d->todo;
        d->in_todo = false;
        d->users++;
    }
    mutex_unlock(&v->mu);
    return d;
}

void vectors_indexer(void *arg)
{
    struct vectors *v = arg;
    struct vdb *d;

    while ((d = next_todo(v)) != NULL) {
        bool more = true;
        struct err e;

        if (vdb_feeder_begin(d, time_mono_us() + 1000000)) {
            enum status st = vdb_feed(d, NULL, &more, &e);

            vdb_feeder_end(d);
            if (st != ST_OK) {
                log_warn("vector indexes of database %.*s: %s", (int)db_name(d->db).n,
                         db_name(d->db).p, e.reason);
                time_sleep_us(200000);
                more = true;
            }
        }
        if (more && !db_dropped(d->db))
            vdb_todo(d);
        vdb_put(d);
    }
}

/* ---- builder ---- */

struct build { /* one index under work */
    struct vdb *d;
    struct ventry *en;
};

static bool may_go_on(void *arg, double done)
{
    struct build *b = arg;
    bool go, did = true;
    struct err e;

    mutex_lock(&b->d->mu);
    b->en->progress = done;
    go = !b->d->dropped && b->en->used;
    mutex_unlock(&b->d->mu);
    if (!go || vectors_stopping(b->d->v))
        return false;
    while (did) /* a long build must not keep memtables from the disk */
        if (vindex_flush(b->en->ix, &did, &e) != ST_OK)
            break;
    return true;
}

/* A snapshot of what to look at; entries stay, since only this thread closes them. */
static uint32_t entries_of(struct vdb *d, struct ventry **out)
{
    uint32_t n = 0;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < d->nentries; i++)
        if (d->entry[i]->work || d->entry[i]->compact)
            out[n++] = d->entry[i];
    mutex_unlock(&d->mu);
    return n;
}

static void finish(struct vdb *d, struct ventry *en, const struct vwork *w, bool quiet)
{
    mutex_lock(&d->mu);
    en->progress = -1;
    if (!quiet || !w->idle)
        en->work = true;
    else if (w->compact)
        en->compact = false;
    mutex_unlock(&d->mu);
}

/* Everything that can be done for this index now. True: something was. */
static bool work_on(struct vdb *d, struct ventry *en)
{
    struct build b = {d, en};
    uint64_t now = time_mono_us();
    struct vwork w = {.go_on = may_go_on, .arg = &b};
    struct err e;
    enum status st;
    bool did = false;

    mutex_lock(&d->mu);
    w.idle = now - en->busy_us > IDLE_US && en->live && d->queue_bytes == 0;
    w.compact = en->compact;
    if (!en->used || d->dropped || now < en->retry_us) {
        mutex_unlock(&d->mu);
        return false;
    }
    en->work = false; /* a write that comes from now on sets it again */
    mutex_unlock(&d->mu);
    st = vindex_work(en->ix, &w, &did, &e);
    if (st != ST_OK && st != ST_UNAVAILABLE) {
        log_warn("vector index %s: %s", en->dir, e.reason);
        en->retry_us = time_mono_us() + RETRY_US;
    }
    finish(d, en, &w, st == ST_OK && !did);
    return st == ST_OK && did;
}

/* An entry that no definition and no query names; taken out of the list under the lock. */
static struct ventry *take_unused(struct vdb *d)
{
    struct ventry *en = NULL;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < d->nentries && en == NULL; i++) {
        if (d->entry[i]->users != 0 || d->feeder)
            continue;
        en = d->entry[i];
        d->entry[i] = d->entry[--d->nentries];
    }
    mutex_unlock(&d->mu);
    return en;
}

static struct vdefs *take_defs(struct vdb *d)
{
    struct vdefs *l = NULL;

    mutex_lock(&d->mu);
    if (d->dropped) {
        l = d->defs;
        d->defs = NULL;
    }
    mutex_unlock(&d->mu);
    return l;
}

static bool forget(struct vectors *v, struct vdb *d)
{
    bool gone;

    mutex_lock(&v->mu);
    gone = d->users == 0 && !d->in_todo;
    for (size_t i = 0; gone && i < v->nlist; i++)
        if (v->list[i] == d)
            v->list[i--] = v->list[--v->nlist];
    mutex_unlock(&v->mu);
    return gone;
}

/* The database is dropped: close, remove the folder, free. */
static void bury(struct vectors *v, struct vdb *d)
{
    char dir[4096];
    struct ventry *en;
    struct err e;

    vdefs_put(d, take_defs(d));
    while ((en = take_unused(d)) != NULL)
        ventry_close(en, false);
    if (d->nentries > 0 || !forget(v, d))
        return; /* somebody still looks: later */
    vdb_dir(dir, d);
    if (fs_remove_tree(dir, &e) != ST_OK)
        log_warn("%s", e.reason);
    db_release(d->db);
    cond_fini(&d->cv);
    mutex_fini(&d->mu);
    mem_free(d);
}

static bool work_on_db(struct vectors *v, struct vdb *d, struct ventry **room)
{
    struct ventry *en;
    bool did = false, dropped;
    uint32_t n;

    mutex_lock(&d->mu);
    dropped = d->dropped;
    mutex_unlock(&d->mu);
    if (dropped) {
        bury(v, d);
        return false;
    }
    while ((en = take_unused(d)) != NULL)
        ventry_close(en, false);
    n = entries_of(d, room);
    for (uint32_t i = 0; i < n && !vectors_stopping(v); i++)
        did = work_on(d, room[i]) || did;
    return did;
}

/* False: stopping. */
static bool wait_for_work(struct vectors *v, bool did, size_t *nlist)
{
    bool stop;

    mutex_lock(&v->mu);
    while (v->nlist == 0 && !v->build_now && !v->stopping)
        cond_wait(&v->cv_build, &v->mu);
    if (!did && !v->build_now && !v->stopping)
        (void)cond_wait_us(&v->cv_build, &v->mu, POLL_US);
    v->build_now = false;
    stop = v->stopping;
    *nlist = v->nlist;
    mutex_unlock(&v->mu);
    return !stop;
}

static struct vdb *nth(struct vectors *v, size_t i)
{
    struct vdb *d;

    mutex_lock(&v->mu);
    d = i < v->nlist ? v->list[i] : NULL;
    mutex_unlock(&v->mu);
    return d;
}

void vectors_builder(void *arg)
{
    struct vectors *v = arg;
    struct ventry **room = mem_array(VENTRIES_MAX, sizeof(struct ventry *));
    bool did = false;
    size_t n;

    while (wait_for_work(v, did, &n)) {
        did = false;
        for (size_t i = 0; i < n; i++) {
            struct vdb *d = nth(v, i);
            if (d != NULL && work_on_db(v, d, room))
                did = true;
        }
    }
    mem_free(room);
}
