/* couch/stores.c: opening all stores, finding a database among them, and what all are asked.
 *
 * Locks: mu (RANK_CATALOG) over the table; janitor_mu (leaf) over what wakes the janitor. No store
 * is opened or closed under either.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "couch/stores_priv.h"
#include "couch/updates.h"

/* An own store is meant for big data, but there may be many: less memory than store 0 has. */
enum { OWN_CACHE = 16 << 20, OWN_BUFFER = 4 << 20, OWN_FILES = 200, DAMAGED_SHOWN = 16 };

/* ---- finding ---- */

struct own *stores_find_locked(struct stores *all, struct slice name) REQUIRES(all->mu)
{
    struct own *o = map_get(all->names, name);

    return o != NULL && o->db != NULL && db_dropped(o->db) ? NULL : o;
}

static bool is_taken(void *arg, struct slice name)
{
    struct stores *all = arg;
    bool taken;

    if (!atomic_load(&all->any))
        return false;
    mutex_lock(&all->mu);
    taken = stores_find_locked(all, name) != NULL;
    mutex_unlock(&all->mu);
    return taken;
}

enum status stores_db(struct stores *all, struct slice name, struct db **out, struct err *e)
{
    struct own *o = NULL;

    if (atomic_load(&all->any)) {
        mutex_lock(&all->mu);
        o = stores_find_locked(all, name);
        if (o != NULL && o->db == NULL)
            o = NULL;
        if (o != NULL)
            *out = db_ref(o->db);
        mutex_unlock(&all->mu);
    }
    return o != NULL ? ST_OK : db_open(all->main, name, out, e);
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

enum status stores_list(struct stores *all, struct arena *a, struct slice **names, size_t *n,
                        struct err *e)
{
    struct slice *merged;
    size_t before;

    TRY(db_list(all->main, a, names, n, e));
    if (!atomic_load(&all->any))
        return ST_OK;
    before = *n;
    mutex_lock(&all->mu);
    merged = arena_array(a, before + all->count + 1, sizeof(*merged));
    if (before != 0)
        memcpy(merged, *names, before * sizeof(*merged));
    for (const struct own *o = all->list; o != NULL; o = o->next)
        if (!db_dropped(o->db))
            merged[(*n)++] = arena_dup(a, db_name(o->db));
    mutex_unlock(&all->mu);
    if (*n != before)
        qsort(merged, *n, sizeof(*merged), by_name);
    *names = merged;
    return ST_OK;
}

bool db_is_own(const struct db *db)
{
    return db->store->number != 0;
}

/* ---- what all stores are asked ---- */

struct store *stores_main(struct stores *all)
{
    return all->main;
}

const char *stores_uuid(const struct stores *all)
{
    return store_uuid(all->main);
}

void stores_each(struct stores *all, void (*fn)(void *arg, struct store *s), void *arg)
{
    fn(arg, all->main);
    for (const struct own *o = all->list; o != NULL; o = o->next)
        fn(arg, o->s);
}

/* While serving; fn takes leaves only. */
static void each_serving(struct stores *all, void (*fn)(void *arg, struct store *s), void *arg)
{
    mutex_lock(&all->mu);
    stores_each(all, fn, arg);
    mutex_unlock(&all->mu);
}

struct trouble {
    enum status st;
    struct err *e;
};

static void add_trouble(void *arg, struct store *s)
{
    struct trouble *t = arg;
    const char *why = store_trouble(s);

    if (why[0] != '\0' && t->st == ST_OK)
        t->st = err_set(t->e, ST_UNAVAILABLE, "%s", why);
}

enum status stores_trouble(struct stores *all, struct err *e)
{
    struct trouble t = {ST_OK, e};

    each_serving(all, add_trouble, &t);
    return t.st;
}

struct tasks {
    struct buf *out;
    unsigned *n;
};

static void add_tasks(void *arg, struct store *s)
{
    struct tasks *t = arg;

    store_tasks(s, t->out, t->n);
}

void stores_tasks(struct stores *all, struct buf *out, unsigned *n)
{
    struct tasks t = {out, n};

    each_serving(all, add_tasks, &t);
}

struct damaged {
    struct arena *a;
    struct json *list;
};

static void add_damaged(void *arg, struct store *s)
{
    struct damaged *d = arg;
    uint64_t segs[DAMAGED_SHOWN];
    size_t n = log_damaged(s->log, segs, DAMAGED_SHOWN);

    for (size_t i = 0; i < n && i < DAMAGED_SHOWN; i++) {
        unsigned long long number = s->number, seg = segs[i];

        json_add(d->a, d->list,
                 json_str(d->a, number == 0
                                    ? arena_printf(d->a, "log/%016llx.seg", seg)
                                    : arena_printf(d->a, "%llu/log/%016llx.seg", number, seg)));
    }
}

void stores_damaged(struct stores *all, struct arena *a, struct json *list)
{
    struct damaged d = {a, list};

    each_serving(all, add_damaged, &d);
}

void stores_observe(struct stores *all, commit_observer_fn fn, void *arg)
{
    ASSERT(all->nobservers < STORE_OBSERVERS_MAX);
    all->observers[all->nobservers++] = (struct store_observer){fn, arg};
    store_observe(all->main, fn, arg);
    mutex_lock(&all->mu);
    for (const struct own *o = all->list; o != NULL; o = o->next)
        store_observe(o->s, fn, arg);
    mutex_unlock(&all->mu);
}

struct validator {
    doc_validator_fn fn;
    void *arg;
};

static void set_validator(void *arg, struct store *s)
{
    struct validator *v = arg;

    store_set_validator(s, v->fn, v->arg);
}

void stores_set_validator(struct stores *all, doc_validator_fn fn, void *arg)
{
    struct validator v = {fn, arg};

    all->validate = fn;
    all->validate_arg = arg;
    stores_each(all, set_validator, &v);
}

static void set_limits(void *arg, struct store *s)
{
    const struct stores *all = arg;

    store_set_max_doc(s, all->max_doc);
    store_set_max_att(s, all->max_att);
}

void stores_set_limits(struct stores *all, uint32_t doc, uint64_t att)
{
    mutex_lock(&all->mu);
    all->max_doc = doc; /* of those that are being made, too */
    all->max_att = att;
    stores_each(all, set_limits, all);
    mutex_unlock(&all->mu);
}

/* ---- opening one ---- */

enum status stores_open_number(struct stores *all, uint64_t number, struct store **out,
                               struct err *e)
{
    struct store_options opt = all->opt;
    enum status st;

    opt.number = number;
    opt.segs = all->segs;
    if (number != 0) {
        opt.updates = store_updates(all->main);
        opt.kv = (struct kv_options){
            .cache = OWN_CACHE, .write_buffer = OWN_BUFFER, .open_files = OWN_FILES};
    }
    st = store_open(&opt, out, e);
    if (st != ST_OK) {
        all->segs->ops->release(all->segs, number);
        return st;
    }
    if (number != 0)
        store_observe(*out, stores_see_drop, all);
    store_set_validator(*out, all->validate, all->validate_arg);
    for (size_t i = 0; i < all->nobservers; i++)
        store_observe(*out, all->observers[i].fn, all->observers[i].arg);
    return ST_OK;
}

/* ---- all of them ---- */

static enum status name_is_new(struct stores *all, const struct db *db, struct err *e)
{
    struct db *other;

    if (stores_db(all, db_name(db), &other, e) == ST_NOT_FOUND)
        return ST_OK;
    db_release(other);
    return err_set(e, ST_CORRUPT,
                   "database %.*s is in store %llu and in another one: one of the two was copied "
                   "here; move it away",
                   (int)db_name(db).n, db_name(db).p, (unsigned long long)db->store->number);
}

/* The database of a store that was just opened; ST_NOT_FOUND: it has none. */
static enum status only_db(struct store *s, struct db **out, struct err *e)
{
    struct arena *a = arena_new();
    struct slice *names;
    size_t n = 0;
    enum status st = db_list(s, a, &names, &n, e);

    if (st == ST_OK && n == 0)
        st = ST_NOT_FOUND;
    else if (st == ST_OK && n != 1)
        st = err_set(e, ST_CORRUPT, "store %llu holds %zu databases, not one",
                     (unsigned long long)s->number, n);
    if (st == ST_OK)
        st = db_open(s, names[0], out, e);
    arena_free(a);
    return st;
}

static enum status open_existing(struct stores *all, uint64_t number, struct err *e)
{
    struct own *o;
    struct store *s;
    struct db *db = NULL;
    enum status st;

    TRY(stores_open_number(all, number, &s, e));
    st = only_db(s, &db, e);
    if (st == ST_NOT_FOUND) {
        stores_close_empty(all, s);
        return ST_OK;
    }
    if (st == ST_OK)
        st = name_is_new(all, db, e);
    if (st != ST_OK) {
        db_release(db);
        store_close(s);
        return st;
    }
    o = mem_zalloc(sizeof(*o));
    *o = (struct own){.s = s, .db = db};
    mutex_lock(&all->mu);
    o->next = all->list;
    all->list = o;
    all->count++;
    (void)map_put(all->names, db_name(db), o);
    atomic_store(&all->any, true);
    mutex_unlock(&all->mu);
    return ST_OK;
}

static enum status open_all(struct stores *all, struct err *e)
{
    uint64_t *numbers = NULL;
    size_t n = 0;
    enum status st = stores_open_number(all, 0, &all->main, e); /* takes the lock */

    if (st == ST_OK) {
        store_set_taken(all->main, is_taken, all);
        st = ss_status(all->segs->ops->stores(all->segs, &numbers, &n, e));
    }
    all->next_number = n == 0 ? 1 : numbers[n - 1] + 1;
    for (size_t i = 0; i < n && st == ST_OK; i++)
        if (numbers[i] != 0)
            st = open_existing(all, numbers[i], e);
    mem_free(numbers);
    return st;
}

static enum status open_segs(struct stores *all, struct err *e)
{
    struct buf uri;
    enum status st;

    all->segs = all->opt.segs;
    if (all->segs != NULL)
        return ST_OK;
    buf_init(&uri, 8192);
    buf_printf(&uri, "file:%s%c", all->opt.dir, '\0');
    st = buf_ok(&uri) ? seg_store_open(uri.p, &all->segs, e)
                      : err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    buf_free(&uri);
    all->owns_segs = st == ST_OK;
    return st;
}

static void close_own(struct stores *all)
{
    struct own *next;

    for (struct own *o = all->list; o != NULL; o = next) {
        next = o->next;
        store_close(o->s);
        db_release(o->db);
        mem_free(o);
    }
    all->list = NULL;
}

static void stores_free(struct stores *all)
{
    close_own(all);
    store_close(all->main);
    if (all->owns_segs)
        all->segs->ops->close(all->segs);
    map_free(all->names);
    cond_fini(&all->janitor_cond);
    mutex_fini(&all->janitor_mu);
    mutex_fini(&all->mu);
    mem_free(all);
}

enum status stores_open(const struct store_options *opt, struct stores **out, struct err *e)
{
    struct stores *all = mem_zalloc(sizeof(*all));
    enum status st;

    all->opt = *opt;
    all->names = map_new();
    all->max_doc = LIMIT_DOC_BYTES;
    all->max_att = LIMIT_ATT_BYTES;
    mutex_init(&all->mu, RANK_CATALOG);
    mutex_init(&all->janitor_mu, RANK_LEAF);
    cond_init(&all->janitor_cond);
    st = open_segs(all, e);
    if (st == ST_OK)
        st = open_all(all, e);
    if (st != ST_OK) {
        stores_free(all);
        return st;
    }
    thread_start(&all->janitor, "stores", stores_janitor, all);
    *out = all;
    return ST_OK;
}

void stores_close(struct stores *all)
{
    if (all == NULL)
        return;
    mutex_lock(&all->janitor_mu);
    all->stopping = true;
    mutex_unlock(&all->janitor_mu);
    cond_broadcast(&all->janitor_cond);
    thread_join(&all->janitor);
    stores_free(all);
}
