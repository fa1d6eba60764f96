/* vector/feed.c: brings indexes up to the database: queued events, or the changes rows.
 * Threads: one feeder at a time per database (indexer thread or a waiting query). */
#include "base/alloc.h"
#include "base/log.h"
#include "base/time.h"
#include "couch/purge.h"
#include "vector/extract.h"
#include "vector/vecdb_priv.h"

enum { SLICE_ROWS = 500, SLICE_US = 40000, BATCH_EVENTS = 256, BURST = 50 };

/* ---- the feeder flag ---- */

bool vdb_feeder_begin(struct vdb *d, uint64_t until_us)
{
    bool mine;

    mutex_lock(&d->mu);
    while (d->feeder) {
        uint64_t now = time_mono_us();
        if (now >= until_us)
            break;
        (void)cond_wait_us(&d->cv, &d->mu, (long)(until_us - now));
    }
    mine = !d->feeder;
    d->feeder = true;
    mutex_unlock(&d->mu);
    return mine;
}

void vdb_feeder_end(struct vdb *d)
{
    mutex_lock(&d->mu);
    d->feeder = false;
    cond_broadcast(&d->cv);
    mutex_unlock(&d->mu);
}

/* ---- one document into one entry ---- */

struct change {
    uint64_t seq, docnum;
    struct slice id;
    const struct json *doc; /* NULL: deleted, or no document for indexes */
};

/* What a selector sees of it: the body with its _id in front. */
static const struct json *with_id(struct arena *a, const struct change *c)
{
    struct json *o = json_object(a);

    json_put_str(a, o, "_id", c->id);
    for (const struct json *m = c->doc->first; m != NULL; m = m->next)
        json_put_key(a, o, m->key, m);
    return o;
}

static void apply(struct ventry *en, const struct change *c, struct arena *a, unsigned *changed)
{
    struct vdoc_rows rows = {.docnum = c->docnum, .id = c->id};
    const char *bad = NULL;

    if (c->seq <= en->fed)
        return;
    if (c->doc != NULL && (en->partial == NULL || selector_match(en->partial, with_id(a, c), a)))
        bad = vector_extract(a, &en->field, c->doc, &rows);
    *changed += vindex_apply(en->ix, c->seq, &rows);
    if (bad != NULL)
        vindex_skip(en->ix, &rows, bad);
    en->fed = c->seq;
}

static bool indexable(struct slice id)
{
    return !slice_starts(id, SLICE_LIT("_design/"));
}

static enum status parse_body(struct slice json, struct arena *a, const struct json **out)
{
    struct err e;
    enum status st = json_parse(a, json, out, &e);

    if (st != ST_OK)
        log_error("a stored document does not parse: %s", e.reason);
    return st;
}

/* The body of the document's present winner; *out NULL when it is deleted or gone. */
static enum status load_winner(struct db *db, struct slice id, struct arena *a,
                               const struct json **out, struct err *e)
{
    struct docinfo info;
    struct doc_body body;
    enum status st = doc_winner(db, id, a, &info, &body, e);

    *out = NULL;
    if (st == ST_NOT_FOUND || (st == ST_OK && (info.flags & DOCINFO_DELETED) != 0))
        return ST_OK;
    TRY(st);
    return parse_body(body.json, a, out);
}

/* ---- from the queue ---- */

static struct vevent *pop_events(struct vdb *d, bool *more)
{
    struct vevent *first, *last = NULL;
    unsigned n = 0;

    mutex_lock(&d->mu);
    first = d->head;
    for (struct vevent *ev = first; ev != NULL && n < BATCH_EVENTS; ev = ev->next, n++) {
        last = ev;
        d->queue_bytes -= sizeof(*ev) + ev->docid.n + ev->json.n;
    }
    if (last != NULL) {
        d->popped = last->seq > d->popped ? last->seq : d->popped;
        d->head = last->next;
        last->next = NULL;
        if (d->head == NULL)
            d->tail = &d->head;
    }
    *more = d->head != NULL;
    mutex_unlock(&d->mu);
    return first;
}

struct live { /* the entries that take this batch */
    struct ventry **en;
    unsigned *changed;
    uint32_t n;
};

static void list_live(struct vdb *d, struct arena *a, struct live *l)
{
    mutex_lock(&d->mu);
    l->n = 0;
    l->en = arena_array(a, d->nentries + 1u, sizeof(struct ventry *));
    for (uint32_t i = 0; i < d->nentries; i++)
        if (d->entry[i]->live && d->entry[i]->used)
            l->en[l->n++] = d->entry[i];
    mutex_unlock(&d->mu);
    l->changed = arena_zalloc(a, (l->n + 1u) * sizeof(unsigned));
}

static enum status feed_event(struct vdb *d, const struct vevent *ev, const struct live *l,
                              struct arena *a, struct err *e)
{
    struct change c = {ev->seq, ev->docnum, ev->docid, NULL};

    if (ev->has_json && indexable(ev->docid))
        TRY(parse_body(ev->json, a, &c.doc));
    else if (!ev->deleted && indexable(ev->docid))
        TRY(load_winner(d->db, ev->docid, a, &c.doc, e));
    for (uint32_t i = 0; i < l->n; i++)
        apply(l->en[i], &c, a, &l->changed[i]);
    return ST_OK;
}

static void note_work(struct vdb *d, struct ventry *en, unsigned changed)
{
    mutex_lock(&d->mu);
    if (changed > 0)
        en->work = true;
    if (changed >= BURST)
        en->busy_us = time_mono_us();
    mutex_unlock(&d->mu);
    if (changed > 0 && vindex_pending(en->ix))
        vectors_build_wake(d->v);
}

/* An entry that missed an event must follow the rows from where it is. */
static void fall_behind(struct vdb *d, const struct live *l)
{
    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < l->n; i++)
        l->en[i]->live = false;
    mutex_unlock(&d->mu);
}

static enum status feed_queue(struct vdb *d, bool *more, struct err *e)
{
    struct vevent *ev = pop_events(d, more), *next;
    struct arena *a, *scratch;
    enum status st = ST_OK;
    struct live l;

    if (ev == NULL)
        return ST_OK;
    a = arena_new();
    scratch = arena_new();
    list_live(d, a, &l);
    for (uint32_t i = 0; i < l.n; i++)
        vindex_begin(l.en[i]->ix);
    for (; ev != NULL; ev = next) {
        next = ev->next;
        if (st == ST_OK && l.n > 0)
            st = feed_event(d, ev, &l, scratch, e);
        arena_reset(scratch);
        mem_free(ev);
    }
    for (uint32_t i = 0; i < l.n; i++) {
        vindex_publish(l.en[i]->ix, l.en[i]->fed);
        vindex_end(l.en[i]->ix);
        note_work(d, l.en[i], l.changed[i]);
    }
    if (st != ST_OK)
        fall_behind(d, &l);
    arena_free(scratch);
    arena_free(a);
    return st;
}

/* ---- from the changes rows ---- */

static enum status pull_row(struct ventry *en, uint64_t seq, const struct seqrow *row,
                            struct arena *a, unsigned *changed, struct err *e)
{
    struct change c = {seq, row->docnum, row->docid, NULL};
    struct doc_body body;

    if ((row->flags & DOCINFO_DELETED) == 0 && indexable(row->docid)) {
        enum status st = changes_cursor_body(en->pull, row, a, &body, e);

        if (st == ST_OK)
            st = parse_body(body.json, a, &c.doc);
        if (st != ST_NOT_FOUND) /* purged since */
            TRY(st);
    }
    apply(en, &c, a, changed);
    return ST_OK;
}

/* What was purged since has no row that says so; its info does. *known false: the infos of some
 * purges since are no longer kept. The cursor is older than this look at the infos: what it shows
 * of a document purged later goes by that purge's event, or by the next cursor. */
static enum status forget_purged(struct vdb *d, struct ventry *en, bool *known, unsigned *changed,
                                 struct err *e)
{
    struct purge_walk *w = purge_walk_new(store_kv(db_store(d->db)), db_num(d->db), 0);
    struct purge_info info;
    enum status st;
    bool got, first = true;
    uint64_t n;

    *known = true;
    while ((st = purge_walk_next(w, &n, &info, &got, e)) == ST_OK && got && *known) {
        struct vdoc_rows none = {.docnum = info.docnum, .id = info.docid};

        *known = !first || n == 1 || info.seq <= en->fed + 1;
        first = false;
        if (*known && info.seq > en->fed)
            *changed += vindex_apply(en->ix, en->fed, &none);
    }
    purge_walk_free(w);
    return st;
}

/* A cursor on what the entry has not seen, purges included. */
static enum status begin_rows(struct vdb *d, struct ventry *en, unsigned *changed, struct err *e)
{
    bool known = true;

    en->pull_seq = db_update_seq(d->db);
    en->pull = changes_cursor_new(d->db, en->fed, false);
    if (en->fed != 0)
        TRY(forget_purged(d, en, &known, changed, e));
    if (known)
        return ST_OK;
    log_warn("vector index %s: more was purged than is remembered: it is made again", en->dir);
    vindex_clear(en->ix);
    en->fed = 0;
    changes_cursor_free(en->pull);
    en->pull_seq = db_update_seq(d->db);
    en->pull = changes_cursor_new(d->db, 0, false);
    return ST_OK;
}

/* The rows are at their end: did events leave the queue meanwhile that the cursor did not see? */
static bool go_live(struct vdb *d, struct ventry *en)
{
    bool live;

    mutex_lock(&d->mu);
    live = d->popped <= en->fed;
    en->live = live;
    mutex_unlock(&d->mu);
    return live;
}

static enum status pull_rows(struct ventry *en, struct arena *a, bool *end, unsigned *changed,
                             struct err *e)
{
    uint64_t stop = time_mono_us() + SLICE_US;

    for (int i = 0; i < SLICE_ROWS && !*end; i++) {
        struct seqrow row;
        uint64_t seq;
        bool got;

        TRY(changes_cursor_next(en->pull, &seq, &row, &got, e));
        *end = !got;
        if (got)
            TRY(pull_row(en, seq, &row, a, changed, e));
        arena_reset(a);
        if (i % 16 == 15 && time_mono_us() > stop)
            break;
    }
    return ST_OK;
}

static enum status feed_rows(struct vdb *d, struct ventry *en, bool *more, struct err *e)
{
    struct arena *a = arena_new();
    unsigned changed = 0;
    bool end = false;
    enum status st;

    vindex_begin(en->ix);
    st = en->pull == NULL ? begin_rows(d, en, &changed, e) : ST_OK;
    if (st == ST_OK)
        st = pull_rows(en, a, &end, &changed, e);
    if (end && en->fed < en->pull_seq)
        en->fed = en->pull_seq;
    vindex_publish(en->ix, en->fed);
    vindex_end(en->ix);
    if (end || st != ST_OK) {
        changes_cursor_free(en->pull);
        en->pull = NULL;
    }
    note_work(d, en, changed);
    *more = *more || (st == ST_OK && (!end || !go_live(d, en)));
    arena_free(a);
    return st;
}

/* ---- one round ---- */

static struct ventry *behind(struct vdb *d, struct ventry *only)
{
    struct ventry *en = NULL;

    mutex_lock(&d->mu);
    for (uint32_t i = 0; i < d->nentries && en == NULL; i++)
        if (d->entry[i]->used && !d->entry[i]->live && (only == NULL || only == d->entry[i]))
            en = d->entry[i];
    mutex_unlock(&d->mu);
    return en;
}

enum status vdb_feed(struct vdb *d, struct ventry *only, bool *more, struct err *e)
{
    struct ventry *en;
    bool dirty, rows = false;

    *more = false;
    mutex_lock(&d->mu);
    dirty = d->defs_wanted != d->defs_loaded;
    if (d->dropped) {
        mutex_unlock(&d->mu);
        return ST_OK;
    }
    mutex_unlock(&d->mu);
    if (dirty)
        TRY(vdb_load_defs(d, e));
    en = behind(d, only);
    if (en != NULL)
        TRY(feed_rows(d, en, &rows, e));
    TRY(feed_queue(d, more, e));
    *more = *more || rows || (only == NULL && behind(d, NULL) != NULL);
    return ST_OK;
}

enum status vdb_defs(struct vdb *d, struct vdefs **out, struct err *e)
{
    enum status st = ST_OK;
    bool dirty;

    mutex_lock(&d->mu);
    dirty = d->defs_wanted != d->defs_loaded;
    mutex_unlock(&d->mu);
    if (dirty) {
        if (!vdb_feeder_begin(d, time_mono_us() + LIMIT_FIND_DEADLINE_MS * 1000ull))
            return err_set(e, ST_TIMEOUT, "the vector indexes are busy");
        mutex_lock(&d->mu);
        dirty = d->defs_wanted != d->defs_loaded;
        mutex_unlock(&d->mu);
        if (dirty)
            st = vdb_load_defs(d, e);
        vdb_feeder_end(d);
        vdb_todo(d);
    }
    if (st != ST_OK)
        return st;
    mutex_lock(&d->mu);
    *out = d->defs;
    d->defs->refs++;
    mutex_unlock(&d->mu);
    return ST_OK;
}

/* Nothing queued and still short: the event is on its way from the committer, or it was lost. */
static void wait_for_event(struct vdb *d, struct ventry *en, uint64_t seq)
{
    mutex_lock(&d->mu);
    if (d->head == NULL && !d->dropped && !cond_wait_us(&d->cv, &d->mu, 20000) && d->head == NULL &&
        vindex_seq(en->ix) < seq)
        en->live = false; /* then the rows tell */
    mutex_unlock(&d->mu);
}

enum status vdb_wait_seq(struct vdb *d, struct ventry *en, uint64_t seq, uint64_t until_us,
                         bool *done, struct err *e)
{
    *done = false;
    for (;;) {
        bool more = true;
        enum status st;

        if (vindex_seq(en->ix) >= seq) {
            *done = true;
            return ST_OK;
        }
        if (time_mono_us() >= until_us || db_dropped(d->db))
            return ST_OK;
        if (!vdb_feeder_begin(d, until_us))
            return ST_OK;
        st = vindex_seq(en->ix) >= seq ? ST_OK : vdb_feed(d, en, &more, e);
        vdb_feeder_end(d);
        if (st != ST_OK)
            return st;
        if (vindex_seq(en->ix) < seq && !more)
            wait_for_event(d, en, seq);
    }
}
