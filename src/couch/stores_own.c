/* couch/stores_own.c: making a store for a database, and removing it.
 *
 * Making: the name is reserved here, a barrier goes through store 0's committer (after it nobody
 * can be about to create the name there), the store is opened, and its first record creates the
 * database. Dropping is a record in the store's log; the janitor closes the store when nobody holds
 * the database any more, and removes it. Every crash leaves a store with its database, or a store
 * without one: those the next start removes.
 * Threads: making by any; the janitor. No store is opened or closed under a lock.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "couch/stores_priv.h"

enum { RETRY_US = 100000 };

/* ---- removing ---- */

/* Closes a store without a database and removes it. The caller holds the right to delete. */
static void destroy(struct stores *all, struct store *s)
{
    uint64_t number = s->number, epoch = s->super.epoch;
    struct buf dir;
    struct err e;

    buf_init(&dir, 8192);
    buf_printf(&dir, "%s%c", s->dir, '\0');
    store_close(s);
    if (all->segs->ops->destroy(all->segs, number, epoch, &e) != SS_OK ||
        fs_remove_tree(dir.p, &e) != ST_OK) /* segments in memory have an index on disk */
        log_warn("store %llu: removing it: %s", (unsigned long long)number, e.reason);
    buf_free(&dir);
}

void stores_close_empty(struct stores *all, struct store *s)
{
    struct err e;
    int token;

    if (all->opt.salvage || all->segs->ops->reclaim_begin(all->segs, &token, &e) != SS_OK) {
        uint64_t number = s->number;

        store_close(s); /* the next start looks again */
        all->segs->ops->release(all->segs, number);
        return;
    }
    destroy(all, s);
    all->segs->ops->reclaim_end(all->segs, token);
}

/* ---- making ---- */

static enum status reserve(struct stores *all, struct slice name, struct own *o, uint64_t *number,
                           struct err *e)
{
    enum status st = ST_OK;

    mutex_lock(&all->mu);
    if (stores_find_locked(all, name) != NULL) {
        st = err_set(e, ST_EXISTS, "The database could not be created, the file already exists.");
    } else if (all->count >= LIMIT_OWN_STORES) {
        st = err_set(e, ST_UNAVAILABLE, "At most %d databases can have a store of their own.",
                     LIMIT_OWN_STORES);
    } else {
        atomic_store(&all->any, true);
        (void)map_put(all->names, name, o); /* a dropped one is found in the list */
        all->count++;
        *number = all->next_number++;
    }
    mutex_unlock(&all->mu);
    return st;
}

/* Whoever is about to create the name in store 0 is done, whoever comes now sees it taken. */
static enum status check_main(struct stores *all, struct slice name, struct err *e)
{
    struct commit_move m = {.what = MOVE_SYNC};
    struct commit_op op = {.kind = COMMIT_MOVE, .move = &m};
    struct db *db;

    TRY(commit_wait(all->main, &op, 1, e));
    if (db_open(all->main, name, &db, e) == ST_NOT_FOUND)
        return ST_OK;
    db_release(db);
    return err_set(e, ST_EXISTS, "The database could not be created, the file already exists.");
}

static enum status make(struct stores *all, struct commit_op *op, uint64_t number, struct own *o,
                        struct err *e)
{
    struct store *s;
    enum status st;

    TRY(check_main(all, op->docid, e));
    TRY(stores_open_number(all, number, &s, e));
    KILL_POINT("stores.empty");
    st = commit_wait(s, op, 1, e);
    if (st == ST_OK && op->st != ST_OK) {
        *e = op->err;
        st = op->st;
    }
    if (st != ST_OK) {
        stores_close_empty(all, s);
        return st;
    }
    mutex_lock(&all->mu);
    o->s = s;
    store_set_max_doc(s, all->max_doc);
    store_set_max_att(s, all->max_att);
    o->db = db_ref(op->created);
    o->next = all->list;
    all->list = o;
    mutex_unlock(&all->mu);
    return ST_OK;
}

enum status stores_create_own(struct stores *all, struct commit_op *op, struct err *e)
{
    struct own *o;
    uint64_t number = 0;
    enum status st;

    TRY(db_name_check(op->docid, e));
    o = mem_zalloc(sizeof(*o));
    st = reserve(all, op->docid, o, &number, e);
    if (st != ST_OK) {
        mem_free(o);
        return st;
    }
    st = make(all, op, number, o, e);
    if (st == ST_OK)
        return ST_OK;
    mutex_lock(&all->mu);
    (void)map_remove(all->names, op->docid);
    all->count--;
    mutex_unlock(&all->mu);
    mem_free(o);
    return st;
}

/* ---- the janitor: stores whose database was dropped ---- */

/* Takes a store off the list that nobody uses any more; *more: others are still used. */
static struct own *take_unused(struct stores *all, bool *more)
{
    struct own *found = NULL;

    *more = false;
    mutex_lock(&all->mu);
    for (struct own **p = &all->list; *p != NULL && found == NULL;) {
        struct own *o = *p;

        if (db_dropped(o->db) && map_get(all->names, db_name(o->db)) == o)
            (void)map_remove(all->names, db_name(o->db));
        if (db_dropped(o->db) && db_is_last(o->db)) {
            found = o;
            *p = o->next;
            continue;
        }
        *more = *more || db_dropped(o->db);
        p = &o->next;
    }
    mutex_unlock(&all->mu);
    return found;
}

static void bury(struct stores *all, struct own *o)
{
    destroy(all, o->s);
    db_release(o->db); /* after the committer, which may still have looked at it */
    mem_free(o);
    mutex_lock(&all->mu);
    all->count--;
    mutex_unlock(&all->mu);
}

/* true: there is something left to do later. */
static bool sweep(struct stores *all)
{
    struct own *o;
    struct err e;
    bool more;
    int token;

    if (all->segs->ops->reclaim_begin(all->segs, &token, &e) != SS_OK)
        return true;
    while ((o = take_unused(all, &more)) != NULL)
        bury(all, o);
    all->segs->ops->reclaim_end(all->segs, token);
    return more;
}

void stores_janitor(void *arg)
{
    struct stores *all = arg;
    bool stop = false, more = false;

    while (!stop) {
        mutex_lock(&all->janitor_mu);
        if (!all->stopping && !all->dropped && more)
            cond_wait_us(&all->janitor_cond, &all->janitor_mu, RETRY_US);
        while (!all->stopping && !all->dropped && !more)
            cond_wait(&all->janitor_cond, &all->janitor_mu);
        stop = all->stopping;
        all->dropped = false;
        mutex_unlock(&all->janitor_mu);
        if (!stop)
            more = sweep(all);
    }
}

void stores_see_drop(void *arg, const struct commit_event *ev, size_t n)
{
    struct stores *all = arg;

    for (size_t i = 0; i < n; i++) {
        if (!ev[i].dropped)
            continue;
        mutex_lock(&all->janitor_mu);
        all->dropped = true;
        mutex_unlock(&all->janitor_mu);
        cond_signal(&all->janitor_cond);
    }
}
