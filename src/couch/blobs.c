/* couch/blobs.c: pins, ids and the collection of blobs; why it is safe is in blobs.h.
 *
 * One lock guards the table of blobs in use (there is an entry while a blob is pinned or condemned)
 * and the list of candidates. It is held across no call on files or LevelDB; whoever makes such a
 * call counts itself in `busy`, so that blobs_close can wait.
 */
#include "couch/blobs.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/mutex.h"
#include "couch/keys.h"

enum { EPOCH_MAX = 0x7ffffffe, SWEEP_STEP = 64, ID_BYTES = 8 };

struct use {
    uint64_t id, len;
    unsigned pins;
    bool known;     /* the object is there */
    bool fresh;     /* written in this life, and no document has named it so far */
    bool finished;  /* when fresh */
    bool condemned; /* being deleted, or looked at for that */
};
struct candidate {
    uint64_t id, bytes;
};
struct candidates {
    struct candidate *v;
    size_t n, cap;
};

struct blobs {
    atomic_uint refs;
    struct mutex mu; /* RANK_LEAF; guards all below */
    struct cond cond;
    struct blob_home home;
    struct kv *kv;
    bool open;
    unsigned busy;
    uint32_t next; /* of this epoch's counter */
    struct map *uses;
    struct candidates dead;
    uint64_t dead_bytes, bytes;
};

/* ---- life ---- */

struct blobs *blobs_new(void)
{
    struct blobs *b = mem_zalloc(sizeof(*b));

    atomic_init(&b->refs, 1);
    mutex_init(&b->mu, RANK_LEAF);
    cond_init(&b->cond);
    b->uses = map_new();
    b->next = 1;
    return b;
}

struct blobs *blobs_ref(struct blobs *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

static bool free_use(void *arg, struct slice key, void *value)
{
    (void)arg;
    (void)key;
    mem_free(value);
    return true;
}

void blobs_unref(struct blobs *b)
{
    if (b == NULL || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    map_each(b->uses, free_use, NULL);
    map_free(b->uses);
    mem_free(b->dead.v);
    cond_fini(&b->cond);
    mutex_fini(&b->mu);
    mem_free(b);
}

void blobs_open(struct blobs *b, const struct blob_home *home)
{
    mutex_lock(&b->mu);
    b->home = *home;
    b->open = true;
    mutex_unlock(&b->mu);
}

void blobs_use_index(struct blobs *b, struct kv *kv)
{
    mutex_lock(&b->mu);
    b->kv = kv;
    mutex_unlock(&b->mu);
}

void blobs_close(struct blobs *b)
{
    mutex_lock(&b->mu);
    b->open = false;
    cond_broadcast(&b->cond);
    while (b->busy != 0)
        cond_wait(&b->cond, &b->mu);
    mutex_unlock(&b->mu);
}

const struct blob_home *blobs_home(const struct blobs *b)
{
    return &b->home;
}

/* ---- uses ---- */

static struct use *use_of(struct blobs *b, uint64_t id) REQUIRES(b->mu)
{
    unsigned char key[ID_BYTES];

    put_be64(key, id);
    return map_get(b->uses, slice_of(key, sizeof(key)));
}

static struct use *use_add(struct blobs *b, uint64_t id) REQUIRES(b->mu)
{
    struct use *u = mem_zalloc(sizeof(*u));
    unsigned char key[ID_BYTES];

    u->id = id;
    put_be64(key, id);
    map_put(b->uses, slice_of(key, sizeof(key)), u);
    return u;
}

static void use_end(struct blobs *b, struct use *u) REQUIRES(b->mu)
{
    unsigned char key[ID_BYTES];

    put_be64(key, u->id);
    (void)map_remove(b->uses, slice_of(key, sizeof(key)));
    mem_free(u);
    cond_broadcast(&b->cond);
}

static void enter(struct blobs *b) REQUIRES(b->mu)
{
    b->busy++;
}

static void leave(struct blobs *b) REQUIRES(b->mu)
{
    ASSERT(b->busy > 0);
    if (--b->busy == 0)
        cond_broadcast(&b->cond);
}

static enum status closed(struct err *e)
{
    return err_set(e, ST_UNAVAILABLE, "The store is closing.");
}

static struct obj_name name_of(const struct blobs *b, uint64_t id)
{
    return (struct obj_name){b->home.store, b->home.epoch, id};
}

enum status blobs_take_id(struct blobs *b, uint64_t *id, struct err *e)
{
    struct use *u;
    bool left;

    mutex_lock(&b->mu);
    left = b->open && b->home.epoch <= EPOCH_MAX && b->next != UINT32_MAX;
    if (left) {
        *id = SEG_BLOB | b->home.epoch << 32 | b->next++;
        u = use_add(b, *id);
        u->pins = 1;
        u->known = u->fresh = true;
    }
    mutex_unlock(&b->mu);
    return left ? ST_OK : closed(e);
}

void blobs_finished(struct blobs *b, uint64_t id, uint64_t len)
{
    struct use *u;

    mutex_lock(&b->mu);
    u = use_of(b, id);
    ASSERT(u != NULL && u->fresh);
    u->finished = true;
    u->len = blob_file_bytes(len);
    b->bytes += u->len;
    mutex_unlock(&b->mu);
}

/* Whether the object is there; a pin that turns out to be on nothing goes again. */
static enum status look(struct blobs *b, struct use *u, struct err *e)
{
    struct obj_name name = name_of(b, u->id);
    uint64_t len;
    enum ss_rc rc = b->home.ss->ops->obj_stat(b->home.ss, &name, &len, e);

    mutex_lock(&b->mu);
    u->known = u->known || rc == SS_OK;
    if (rc != SS_OK && --u->pins == 0)
        use_end(b, u);
    leave(b);
    mutex_unlock(&b->mu);
    return rc == SS_NOENT ? err_set(e, ST_NOT_FOUND, "missing") : ss_status(rc);
}

enum status blobs_pin(struct blobs *b, uint64_t id, struct err *e)
{
    struct use *u;
    bool known, open;

    mutex_lock(&b->mu);
    while ((u = use_of(b, id)) != NULL && u->condemned && b->open)
        cond_wait(&b->cond, &b->mu);
    open = b->open;
    known = u != NULL && u->known;
    if (open) {
        u = u != NULL ? u : use_add(b, id);
        u->pins++;
        if (!known)
            enter(b);
    }
    mutex_unlock(&b->mu);
    if (!open)
        return closed(e);
    return known ? ST_OK : look(b, u, e);
}

/* Nobody knows of it, so there is nobody to ask. */
static void delete_fresh(struct blobs *b, struct use *u)
{
    struct obj_name name = name_of(b, u->id);
    struct err e;

    (void)b->home.ss->ops->obj_del(b->home.ss, &name,
                                   &e); /* what stays is swept at the next start */
    mutex_lock(&b->mu);
    b->bytes -= u->len;
    use_end(b, u);
    leave(b);
    mutex_unlock(&b->mu);
}

void blobs_unpin(struct blobs *b, uint64_t id)
{
    struct use *u;
    bool drop = false;

    mutex_lock(&b->mu);
    u = use_of(b, id);
    ASSERT(u != NULL && u->pins > 0);
    if (--u->pins == 0 && !u->condemned) {
        drop = u->fresh && u->finished && b->open;
        if (drop) {
            u->condemned = true;
            enter(b);
        } else {
            use_end(b, u);
        }
    }
    mutex_unlock(&b->mu);
    if (drop)
        delete_fresh(b, u);
}

bool blobs_pinned(struct blobs *b, uint64_t id)
{
    const struct use *u;
    bool pinned;

    mutex_lock(&b->mu);
    u = use_of(b, id);
    pinned = u != NULL && u->pins != 0 && u->known;
    mutex_unlock(&b->mu);
    return pinned;
}

struct arena_pin {
    struct blobs *b;
    uint64_t id;
};

static void end_arena_pin(void *arg)
{
    struct arena_pin *p = arg;

    blobs_unpin(p->b, p->id);
    blobs_unref(p->b);
}

enum status blobs_pin_arena(struct blobs *b, uint64_t id, struct arena *a, struct err *e)
{
    struct arena_pin *p;

    TRY(blobs_pin(b, id, e));
    p = arena_alloc(a, sizeof(*p));
    *p = (struct arena_pin){blobs_ref(b), id};
    arena_defer(a, end_arena_pin, p);
    return ST_OK;
}

/* ---- rows ---- */

static bool names(const struct docinfo *d, uint64_t id, uint32_t before)
{
    for (uint32_t i = 0; d != NULL && i < before; i++)
        if (d->atts[i].seg == id)
            return true;
    return false;
}

static void add_drop(struct blob_drops *d, const struct docinfo_att *t)
{
    if (d->n == d->cap) {
        d->cap = d->cap * 2 + 16;
        d->v = mem_realloc(d->v, d->cap * sizeof(*d->v));
    }
    d->v[d->n++] = *t;
}

static void named(struct blobs *b, uint64_t id)
{
    struct use *u;

    if (b == NULL)
        return;
    mutex_lock(&b->mu);
    u = use_of(b, id);
    if (u != NULL)
        u->fresh = false;
    mutex_unlock(&b->mu);
}

void blobs_write_rows(struct blobs *b, const struct blob_doc *d, struct kv_batch *batch,
                      struct arena *a, struct blob_drops *dropped)
{
    uint32_t nold = d->old != NULL ? d->old->natts : 0, nnow = d->now != NULL ? d->now->natts : 0;

    for (uint32_t i = 0; i < nnow; i++) {
        uint64_t id = d->now->atts[i].seg;

        if (!seg_is_blob(id) || names(d->now, id, i) || names(d->old, id, nold))
            continue;
        kv_batch_put(batch, key_blob(a, id, d->dbnum, d->docid), SLICE_LIT(""));
        named(b, id);
    }
    for (uint32_t i = 0; i < nold; i++) {
        uint64_t id = d->old->atts[i].seg;

        if (!seg_is_blob(id) || names(d->old, id, i) || names(d->now, id, nnow))
            continue;
        kv_batch_delete(batch, key_blob(a, id, d->dbnum, d->docid));
        if (b != NULL)
            add_drop(dropped, &d->old->atts[i]);
    }
}

static void add_candidate(struct blobs *b, uint64_t id, uint64_t bytes) REQUIRES(b->mu)
{
    struct candidates *c = &b->dead;

    if (c->n == c->cap) {
        c->cap = c->cap * 2 + 16;
        c->v = mem_realloc(c->v, c->cap * sizeof(*c->v));
    }
    c->v[c->n++] = (struct candidate){id, bytes};
    b->dead_bytes += bytes;
}

void blobs_dropped(struct blobs *b, struct blob_drops *dropped)
{
    if (dropped->n == 0)
        return;
    mutex_lock(&b->mu);
    for (size_t i = 0; i < dropped->n; i++)
        add_candidate(b, dropped->v[i].seg, dropped->v[i].bytes);
    mutex_unlock(&b->mu);
    dropped->n = 0;
}

enum status blobs_has_rows(struct kv *kv, uint64_t id, bool *has, struct err *e)
{
    struct kv_iter *it = kv_iter_new(kv, NULL);
    struct arena *a = arena_new();
    struct slice prefix = key_blob(a, id, 0, SLICE_LIT(""));
    enum status st;

    prefix.n -= sizeof(uint32_t);
    kv_iter_seek(it, prefix);
    *has = kv_iter_valid(it) && slice_starts(kv_iter_key(it), prefix);
    st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}

/* ---- collection ---- */

static enum status sweep_one(struct blobs *b, const struct obj_info *o, struct err *e)
{
    struct obj_name name = name_of(b, o->id);
    bool has;

    if (!seg_is_blob(o->id) || ((o->id & ~SEG_BLOB) >> 32) >= b->home.epoch)
        return ST_OK; /* of this life: the table knows it */
    if (!o->finished) {
        (void)b->home.ss->ops->obj_del(b->home.ss, &name, e);
        return ST_OK;
    }
    TRY(blobs_has_rows(b->kv, o->id, &has, e));
    mutex_lock(&b->mu);
    b->bytes += o->len;
    if (!has)
        add_candidate(b, o->id, o->len);
    mutex_unlock(&b->mu);
    return ST_OK;
}

enum status blobs_sweep(struct blobs *b, bool (*more)(void *arg), void *arg, struct err *e)
{
    struct obj_info *v = NULL;
    size_t n = 0;
    enum ss_rc rc = b->home.ss->ops->obj_list(b->home.ss, b->home.store, &v, &n, e);
    enum status st = ss_status(rc);

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        if (i % SWEEP_STEP == 0 && !more(arg))
            break;
        st = sweep_one(b, &v[i], e);
    }
    mem_free(v);
    return st;
}

bool blobs_worth(struct blobs *b, uint64_t enough)
{
    bool worth;

    mutex_lock(&b->mu);
    worth =
        b->dead.n != 0 && b->dead_bytes >= enough && (enough == 0 || b->dead_bytes >= b->bytes / 3);
    mutex_unlock(&b->mu);
    return worth;
}

uint64_t blobs_bytes(struct blobs *b)
{
    uint64_t bytes;

    mutex_lock(&b->mu);
    bytes = b->bytes;
    mutex_unlock(&b->mu);
    return bytes;
}

static int by_id(const void *x, const void *y)
{
    const struct candidate *p = x, *q = y;

    return (p->id > q->id) - (p->id < q->id);
}

/* The list, without doubles; it is empty after. */
static struct candidates take(struct blobs *b)
{
    struct candidates c;
    size_t n = 0;

    mutex_lock(&b->mu);
    c = b->dead;
    b->dead = (struct candidates){0};
    b->dead_bytes = 0;
    mutex_unlock(&b->mu);
    if (c.n != 0)
        qsort(c.v, c.n, sizeof(*c.v), by_id);
    for (size_t i = 0; i < c.n; i++)
        if (i == 0 || c.v[i].id != c.v[i - 1].id)
            c.v[n++] = c.v[i];
    c.n = n;
    return c;
}

static void give_back(struct blobs *b, const struct candidate *c)
{
    mutex_lock(&b->mu);
    add_candidate(b, c->id, c->bytes);
    mutex_unlock(&b->mu);
}

/* No pin can be taken on it from now on; false: somebody has one. */
static bool condemn(struct blobs *b, uint64_t id)
{
    struct use *u;
    bool done = false;

    mutex_lock(&b->mu);
    if (use_of(b, id) == NULL) {
        u = use_add(b, id);
        u->condemned = done = true;
    }
    mutex_unlock(&b->mu);
    return done;
}

static void pardon(struct blobs *b, uint64_t id)
{
    struct use *u;

    mutex_lock(&b->mu);
    u = use_of(b, id);
    ASSERT(u != NULL && u->condemned && u->pins == 0);
    use_end(b, u);
    mutex_unlock(&b->mu);
}

/* *kept: it is condemned, and no row names it. */
static enum status judge(struct blobs *b, const struct candidate *c, bool *kept, struct err *e)
{
    bool has;
    enum status st;

    *kept = false;
    TRY(blobs_has_rows(b->kv, c->id, &has, e));
    if (has)
        return ST_OK; /* another document shares it; when that lets it go it comes again */
    if (!condemn(b, c->id)) {
        give_back(b, c);
        return ST_OK;
    }
    st = blobs_has_rows(b->kv, c->id, &has, e);
    *kept = st == ST_OK && !has;
    if (!*kept)
        pardon(b, c->id);
    return st;
}

static bool execute(struct blobs *b, const struct blobs_gate *gate, uint64_t id, struct err *e)
{
    struct obj_name name = name_of(b, id);
    uint64_t len = 0;
    enum ss_rc rc;

    if (!gate->enter(gate->arg))
        return false;
    if (b->home.ss->ops->obj_stat(b->home.ss, &name, &len, e) != SS_OK)
        len = 0;
    rc = b->home.ss->ops->obj_del(b->home.ss, &name, e);
    gate->leave(gate->arg);
    mutex_lock(&b->mu);
    if (rc == SS_OK)
        b->bytes -= len < b->bytes ? len : b->bytes;
    mutex_unlock(&b->mu);
    return rc == SS_OK || rc == SS_NOENT; /* one that a rebuild heard of is gone already */
}

enum status blobs_collect(struct blobs *b, const struct blobs_gate *gate, uint64_t *deleted,
                          struct err *e)
{
    struct candidates c = take(b);
    size_t n = 0;
    enum status st = ST_OK;
    bool go;

    *deleted = 0;
    for (size_t i = 0; i < c.n; i++) {
        bool kept = false;

        if (st == ST_OK)
            st = judge(b, &c.v[i], &kept, e);
        if (st != ST_OK)
            give_back(b, &c.v[i]);
        if (kept)
            c.v[n++] = c.v[i];
    }
    /* So that no LevelDB that a crash leaves has a row that names one of them. */
    go = n != 0 && gate->barrier(gate->arg);
    for (size_t i = 0; i < n; i++) {
        if (go && execute(b, gate, c.v[i].id, e))
            (*deleted)++;
        else
            give_back(b, &c.v[i]);
        pardon(b, c.v[i].id);
    }
    mem_free(c.v);
    return st;
}
