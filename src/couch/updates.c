/* couch/updates.c: see updates.h. A list in the order of sequence numbers, and a table by name:
 * what happens to a database takes its entry to the end. */
#include "couch/updates.h"

#include "base/alloc.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mutex.h"
#include "base/text.h"
#include "couch/store_priv.h"

enum { LIFE_BYTES = 4 };

struct entry {
    struct entry *prev, *next;
    uint64_t seq;
    enum db_update what;
    size_t name_n;
    char name[];
};
struct updates {
    struct mutex lock; /* RANK_LEAF */
    struct map *by_name;
    struct entry *first, *last;
    struct db_waiter *waiters;
    uint64_t seq;
    size_t gone;               /* entries of dropped databases */
    char life[2 * LIFE_BYTES]; /* of this server process, in tokens */
};

struct updates *updates_new(void)
{
    struct updates *u = mem_zalloc(sizeof(*u));
    unsigned char raw[LIFE_BYTES];

    mutex_init(&u->lock, RANK_LEAF);
    u->by_name = map_new();
    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), u->life);
    return u;
}

void updates_free(struct updates *u)
{
    struct entry *next;

    if (u == NULL)
        return;
    for (struct entry *en = u->first; en != NULL; en = next) {
        next = en->next;
        mem_free(en);
    }
    map_free(u->by_name);
    mutex_fini(&u->lock);
    mem_free(u);
}

struct updates *store_updates(struct store *s)
{
    return s->updates;
}

/* ---- entries ---- */

static void unlink_locked(struct updates *u, struct entry *en)
{
    *(en->prev != NULL ? &en->prev->next : &u->first) = en->next;
    *(en->next != NULL ? &en->next->prev : &u->last) = en->prev;
}

static void append_locked(struct updates *u, struct entry *en)
{
    en->next = NULL;
    en->prev = u->last;
    *(u->last != NULL ? &u->last->next : &u->first) = en;
    u->last = en;
}

static void forget_oldest_gone_locked(struct updates *u)
{
    struct entry *en = u->first;

    while (en != NULL && en->what != DB_DELETED)
        en = en->next;
    if (en == NULL)
        return;
    unlink_locked(u, en);
    (void)map_remove(u->by_name, slice_of(en->name, en->name_n));
    mem_free(en);
    u->gone--;
}

static void wake_locked(struct updates *u, struct db_waiter **woken)
{
    struct db_waiter *next;

    for (struct db_waiter *w = u->waiters; w != NULL; w = next) {
        next = w->next;
        w->prev = NULL;
        w->next = *woken;
        *woken = w;
    }
    u->waiters = NULL;
}

void updates_note(struct updates *u, struct slice name, enum db_update what,
                  struct db_waiter **woken)
{
    struct entry *en;

    mutex_lock(&u->lock);
    en = map_get(u->by_name, name);
    if (en != NULL) {
        unlink_locked(u, en);
        u->gone -= en->what == DB_DELETED;
    } else {
        en = mem_zalloc(sizeof(*en) + name.n);
        en->name_n = name.n;
        memcpy(en->name, name.p, name.n);
        (void)map_put(u->by_name, name, en);
    }
    en->what = what;
    en->seq = ++u->seq;
    append_locked(u, en);
    if (what == DB_DELETED && ++u->gone > LIMIT_GONE_DATABASES)
        forget_oldest_gone_locked(u);
    wake_locked(u, woken);
    mutex_unlock(&u->lock);
}

void updates_list(struct updates *u, uint64_t since, struct arena *a, struct update_row **rows,
                  size_t *n, uint64_t *last)
{
    struct entry *en;
    size_t count = 0;

    mutex_lock(&u->lock);
    for (en = u->last; en != NULL && en->seq > since; en = en->prev)
        count++;
    *rows = arena_array(a, count + 1, sizeof(**rows));
    *n = count;
    for (en = u->last; count != 0; en = en->prev)
        (*rows)[--count] =
            (struct update_row){arena_dup(a, slice_of(en->name, en->name_n)), en->what, en->seq};
    *last = u->seq;
    mutex_unlock(&u->lock);
}

/* ---- tokens ---- */

void updates_seq_write(const struct updates *u, struct buf *b, uint64_t seq)
{
    buf_u64(b, seq);
    buf_char(b, '-');
    buf_append(b, u->life, sizeof(u->life));
}

enum status updates_seq_parse(struct updates *u, struct slice text, uint64_t *out, struct err *e)
{
    const char *dash;

    if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
        text = slice_of(text.p + 1, text.n - 2);
    if (slice_eq(text, SLICE_LIT("now"))) {
        mutex_lock(&u->lock);
        *out = u->seq;
        mutex_unlock(&u->lock);
        return ST_OK;
    }
    dash = text.n != 0 ? memchr(text.p, '-', text.n) : NULL;
    if (!parse_u64(slice_of(text.p, dash != NULL ? (size_t)(dash - text.p) : text.n), out))
        return err_set(e, ST_BAD_REQUEST, "Malformed sequence supplied in 'since' parameter.");
    if (dash != NULL && !slice_eq(slice_of(dash + 1, (size_t)(text.p + text.n - dash - 1)),
                                  slice_of(u->life, sizeof(u->life))))
        *out = 0;
    return ST_OK;
}

/* ---- waiting ---- */

bool updates_wait(struct updates *u, struct db_waiter *w)
{
    bool queued = false;

    w->prev = NULL;
    mutex_lock(&u->lock);
    if (u->seq <= w->since) {
        waiter_queue(&u->waiters, w);
        queued = true;
    }
    mutex_unlock(&u->lock);
    return queued;
}

bool updates_cancel(struct updates *u, struct db_waiter *w)
{
    bool mine;

    mutex_lock(&u->lock);
    mine = waiter_unqueue(w);
    mutex_unlock(&u->lock);
    return mine;
}
