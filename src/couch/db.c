/* couch/db.c: database handles, the catalogue, sequence tokens and waiters.
 *
 * Every database of a store has one small handle in memory from start to drop; the catalogue holds
 * one reference, each user another. Counts become visible after LevelDB has the rows they count
 * (db_publish, by the committer), under the handle's mutex so that a reader gets a set that belongs
 * together; update_seq is also an atomic because feeds and reads ask for it alone, all the time.
 * A waiter is queued when its prev is set; publishing takes it off the list under the mutex and
 * wakes it outside, which is how db_wait_cancel knows who owns it.
 * Threads: any, except the functions of store_priv.h, which are the committer's or the opener's.
 */
#include "base/alloc.h"
#include "base/text.h"
#include "couch/purge.h"
#include "couch/store_priv.h"

/* ---- names ---- */

static bool name_char_ok(char c, bool first)
{
    if (c >= 'a' && c <= 'z')
        return true;
    return !first && ((c >= '0' && c <= '9') || (c != '\0' && strchr("_$()+/-", c) != NULL));
}

enum status db_name_check(struct slice name, struct err *e)
{
    static const char *const special[] = {"_users", "_replicator", "_global_changes"};

    if (name.n > LIMIT_DBNAME_BYTES)
        return err_word(e, ST_BAD_REQUEST, "database_name_too_long",
                        "At least one path segment of `%.*s` is too long.", LIMIT_DBNAME_BYTES,
                        name.p);
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        if (slice_eq(name, slice_str(special[i])))
            return ST_OK;
    for (size_t i = 0; i < name.n; i++) {
        if (name_char_ok(name.p[i], i == 0))
            continue;
        return err_word(e, ST_BAD_REQUEST, "illegal_database_name",
                        "Name: '%.*s'. Only lowercase characters (a-z), digits (0-9), and any of "
                        "the characters _, $, (, ), +, -, and / are allowed. Must begin with a "
                        "letter.",
                        (int)(name.n < 120 ? name.n : 120), name.p);
    }
    if (name.n == 0)
        return err_word(e, ST_BAD_REQUEST, "illegal_database_name",
                        "Name: ''. Must begin with a "
                        "letter.");
    return ST_OK;
}

/* ---- handles ---- */

struct db *db_new(struct store *s, struct slice name, const struct cat_row *row,
                  const struct db_counts *counts)
{
    struct db *db = mem_zalloc(sizeof(*db) + name.n);

    db->store = s;
    atomic_init(&db->refs, 1);
    db->num = row->dbnum;
    memcpy(db->uuid, row->uuid, sizeof(db->uuid));
    db->created_us = row->created_us;
    mutex_init(&db->mu, RANK_DB);
    db->published = db->staged = *counts;
    atomic_init(&db->update_seq, counts->update_seq);
    atomic_init(&db->revs_limit, row->revs_limit);
    atomic_init(&db->compact_seq, row->compact_seq);
    db->partitioned = row->partitioned;
    atomic_init(&db->purged_infos_limit, row->purged_infos_limit);
    db->security = mem_dup(row->security.p, row->security.n);
    db->security_n = row->security.n;
    db->name_n = name.n;
    memcpy(db->name, name.p, name.n);
    return db;
}

struct db *db_ref(struct db *db)
{
    atomic_fetch_add_explicit(&db->refs, 1, memory_order_relaxed);
    return db;
}

void db_release(struct db *db)
{
    if (db == NULL || atomic_fetch_sub_explicit(&db->refs, 1, memory_order_acq_rel) != 1)
        return;
    ASSERT(db->waiters == NULL);
    mutex_fini(&db->mu);
    mem_free(db->security);
    mem_free(db);
}

bool db_is_last(const struct db *db)
{
    return atomic_load_explicit(&db->refs, memory_order_acquire) == 1;
}

enum status db_open(struct store *s, struct slice name, struct db **out, struct err *e)
{
    struct db *db;

    mutex_lock(&s->catalog_mu);
    db = map_get(s->catalog, name);
    if (db != NULL)
        db_ref(db);
    mutex_unlock(&s->catalog_mu);
    if (db == NULL)
        return err_set(e, ST_NOT_FOUND, "Database does not exist.");
    *out = db;
    return ST_OK;
}

/* ---- catalogue rows ---- */

typedef enum status (*catalog_row_fn)(void *arg, struct slice name, struct slice row,
                                      struct err *e);

static enum status each_catalog_row(struct store *s, struct arena *a, catalog_row_fn fn, void *arg,
                                    struct err *e)
{
    struct kv_iter *it = kv_iter_new(s->kv, NULL);
    enum status st = ST_OK;
    struct slice name;

    kv_iter_seek(it, key_catalog(a, SLICE_LIT("")));
    while (st == ST_OK && kv_iter_valid(it) && key_catalog_name(kv_iter_key(it), &name)) {
        st = fn(arg, name, kv_iter_value(it), e);
        kv_iter_next(it);
    }
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    return st;
}

struct name_list {
    struct arena *a;
    struct slice *names;
    size_t n, cap;
};

static enum status list_name(void *arg, struct slice name, struct slice row, struct err *e)
{
    struct name_list *l = arg;
    struct slice *bigger;

    (void)row;
    (void)e;
    if (l->n == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        bigger = arena_array(l->a, l->cap, sizeof(*bigger));
        if (l->n != 0)
            memcpy(bigger, l->names, l->n * sizeof(*bigger));
        l->names = bigger;
    }
    l->names[l->n++] = arena_dup(l->a, name);
    return ST_OK;
}

enum status db_list(struct store *s, struct arena *a, struct slice **names, size_t *n,
                    struct err *e)
{
    struct name_list l = {.a = a};

    TRY(each_catalog_row(s, a, list_name, &l, e));
    *names = l.names;
    *n = l.n;
    return ST_OK;
}

struct loader {
    struct store *s;
    struct arena *a;
};

static enum status load_one(void *arg, struct slice name, struct slice v, struct err *e)
{
    struct loader *l = arg;
    struct db_counts counts = {0};
    struct db_sizes sizes = {0};
    struct db_waiter *nobody = NULL;
    struct cat_row row;
    struct slice meta;
    enum status st;
    struct db *db;

    arena_reset(l->a);
    TRY(cat_row_decode(v, &row, e));
    st = kv_get(l->s->kv, NULL, key_db(l->a, row.dbnum, KEY_META, SLICE_LIT("")), l->a, &meta, e);
    if (st == ST_OK)
        TRY(meta_row_decode(meta, &counts, &sizes, e));
    else if (st != ST_NOT_FOUND || l->s->salvage == NULL) /* salvage counts anew */
        return st;
    TRY(purge_range(l->s->kv, row.dbnum, &counts.purge_first, &counts.purge_seq, e));
    accounts_db_set(l->s->accounts, row.dbnum, &sizes);
    db = db_new(l->s, name, &row, &counts);
    atomic_fetch_add(&l->s->external_bytes, counts.external_bytes);
    mutex_lock(&l->s->catalog_mu);
    map_put(l->s->catalog, name, db);
    mutex_unlock(&l->s->catalog_mu);
    updates_note(l->s->updates, name, DB_UPDATED, &nobody);
    return ST_OK;
}

enum status db_load_all(struct store *s, struct err *e)
{
    struct loader l = {s, arena_new()};
    enum status st = each_catalog_row(s, l.a, load_one, &l, e);

    arena_free(l.a);
    if (st == ST_NOT_FOUND)
        return err_set(e, ST_CORRUPT, "a database without its meta row");
    return st;
}

/* ---- what a handle knows ---- */

struct store *db_store(const struct db *db)
{
    return db->store;
}

struct slice db_name(const struct db *db)
{
    return slice_of(db->name, db->name_n);
}

uint32_t db_num(const struct db *db)
{
    return db->num;
}

const unsigned char *db_uuid(const struct db *db)
{
    return db->uuid;
}

uint64_t db_created_us(const struct db *db)
{
    return db->created_us;
}

bool db_partitioned(const struct db *db)
{
    return db->partitioned;
}

bool db_dropped(const struct db *db)
{
    return atomic_load(&db->dropped);
}

uint64_t db_update_seq(const struct db *db)
{
    return atomic_load_explicit(&db->update_seq, memory_order_acquire);
}

void db_get_counts(struct db *db, struct db_counts *out)
{
    mutex_lock(&db->mu);
    *out = db->published;
    mutex_unlock(&db->mu);
}

uint32_t db_revs_limit(const struct db *db)
{
    return atomic_load(&db->revs_limit);
}

uint32_t db_purged_infos_limit(const struct db *db)
{
    return atomic_load(&db->purged_infos_limit);
}

struct slice db_security(struct db *db, struct arena *a)
{
    struct slice copy;

    mutex_lock(&db->mu);
    copy = arena_dup(a, slice_of(db->security, db->security_n));
    mutex_unlock(&db->mu);
    return copy;
}

static uint64_t part_of(uint64_t disk, uint64_t n, uint64_t all)
{
    if (all == 0 || n >= all)
        return n == 0 ? 0 : disk;
    return (uint64_t)((double)disk * ((double)n / (double)all));
}

/* The store's files are shared: a database's part of them is its part of the live bytes. */
void db_get_disk(struct db *db, struct db_disk *out)
{
    struct store *s = db->store;
    uint64_t disk = atomic_load(&s->log_bytes) + kv_disk_bytes(s->kv);
    uint64_t blobs = accounts_blobs(s->accounts), on_disk = blobs_bytes(s->blobs);
    struct db_sizes z;
    struct db_counts c;

    db_get_counts(db, &c);
    accounts_db(s->accounts, db->num, &z);
    out->active = z.active;
    out->external = c.external_bytes + z.atts;
    out->file = part_of(disk, z.active - z.blobs, accounts_all(s->accounts)) +
                part_of(on_disk > blobs ? on_disk : blobs, z.blobs, blobs);
}

void docinfo_hide_old(struct db *db, struct docinfo *d)
{
    bool given_up = d->seq <= atomic_load(&db->compact_seq), there = false;
    uint64_t asked = SEG_SELF;

    for (uint32_t i = 0; i < d->tree.n; i++) {
        struct revnode *n = &d->tree.nodes[i];

        if (n->leaf || !n->has_body)
            continue;
        if (!given_up && n->ptr.seg != asked) {
            asked = n->ptr.seg;
            there = log_has_seg(db->store->log, asked);
        }
        if (given_up || !there)
            n->has_body = false;
    }
}

/* ---- publishing and waiting ---- */

void waiter_queue(struct db_waiter **list, struct db_waiter *w)
{
    w->next = *list;
    w->prev = list;
    if (w->next != NULL)
        w->next->prev = &w->next;
    *list = w;
}

bool waiter_unqueue(struct db_waiter *w)
{
    if (w->prev == NULL)
        return false;
    *w->prev = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    w->prev = NULL;
    return true;
}

/* The list of a database, minus those that go on waiting, is put before *woken. */
static void take_waiters_locked(struct db *db, bool all, struct db_waiter **woken)
{
    struct db_waiter *next;

    for (struct db_waiter *w = db->waiters; w != NULL; w = next) {
        next = w->next;
        if (!all && db->published.update_seq <= w->since)
            continue;
        (void)waiter_unqueue(w);
        w->next = *woken;
        *woken = w;
    }
}

void db_publish(struct db *db, struct db_waiter **woken)
{
    mutex_lock(&db->mu);
    atomic_fetch_add(&db->store->external_bytes,
                     db->staged.external_bytes - db->published.external_bytes);
    db->published = db->staged;
    atomic_store_explicit(&db->update_seq, db->published.update_seq, memory_order_release);
    take_waiters_locked(db, false, woken);
    mutex_unlock(&db->mu);
}

void db_mark_dropped(struct db *db, struct db_waiter **woken)
{
    mutex_lock(&db->mu);
    atomic_store(&db->dropped, true);
    atomic_fetch_sub(&db->store->external_bytes, db->published.external_bytes);
    take_waiters_locked(db, true, woken);
    mutex_unlock(&db->mu);
}

void db_set_props(struct db *db, const struct cat_row *row)
{
    char *old = NULL;

    if (row->security.n != 0) { /* else it stays */
        char *copy = mem_dup(row->security.p, row->security.n);

        mutex_lock(&db->mu);
        old = db->security;
        db->security = copy;
        db->security_n = row->security.n;
        mutex_unlock(&db->mu);
    }
    atomic_store(&db->revs_limit, row->revs_limit);
    atomic_store(&db->compact_seq, row->compact_seq);
    atomic_store(&db->purged_infos_limit, row->purged_infos_limit);
    mem_free(old);
}

void db_wake_all(struct db_waiter *woken)
{
    struct db_waiter *next;

    for (struct db_waiter *w = woken; w != NULL; w = next) {
        next = w->next; /* w may be gone once it is woken */
        w->wake(w);
    }
}

bool db_wait(struct db *db, struct db_waiter *w)
{
    bool queued = false;

    w->prev = NULL;
    mutex_lock(&db->mu);
    if (db->published.update_seq <= w->since && !atomic_load(&db->dropped)) {
        waiter_queue(&db->waiters, w);
        queued = true;
    }
    mutex_unlock(&db->mu);
    return queued;
}

bool db_wait_cancel(struct db *db, struct db_waiter *w)
{
    bool mine;

    mutex_lock(&db->mu);
    mine = waiter_unqueue(w);
    mutex_unlock(&db->mu);
    return mine;
}

/* ---- sequence tokens ---- */

enum { TOKEN_HEX = 8 };

void seq_write(struct buf *b, const struct db *db, uint64_t seq)
{
    char hex[TOKEN_HEX];

    hex_encode(db->uuid, TOKEN_HEX / 2, hex);
    buf_u64(b, seq);
    buf_char(b, '-');
    buf_append(b, hex, sizeof(hex));
}

static enum status seq_bad(struct slice text, struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "Malformed sequence supplied in 'since' parameter: %.*s",
                   (int)(text.n < 80 ? text.n : 80), text.p);
}

enum status seq_parse(const struct db *db, struct slice text, uint64_t *out, struct err *e)
{
    struct slice t = text;
    char hex[TOKEN_HEX];
    size_t digits = 0;

    if (t.n >= 2 && t.p[0] == '"' && t.p[t.n - 1] == '"')
        t = slice_of(t.p + 1, t.n - 2);
    if (slice_eq(t, SLICE_LIT("now"))) {
        *out = db_update_seq(db);
        return ST_OK;
    }
    while (digits < t.n && t.p[digits] >= '0' && t.p[digits] <= '9')
        digits++;
    if (!parse_u64(slice_of(t.p, digits), out))
        return seq_bad(text, e);
    if (digits == t.n)
        return ST_OK;
    if (t.p[digits] != '-')
        return seq_bad(text, e);
    hex_encode(db->uuid, TOKEN_HEX / 2, hex);
    /* A sequence beyond ours was given out before the data were restored from an older copy. */
    if (!slice_eq(slice_of(t.p + digits + 1, t.n - digits - 1), slice_of(hex, sizeof(hex))) ||
        *out > db_update_seq(db))
        *out = 0;
    return ST_OK;
}
