/* couch/account.c: live bytes of segments and databases; see account.h. Two sorted arrays under one
 * mutex; row 02 seg: varint record bytes, varint live bytes, varint highest LSN counted. */
#include "couch/account.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "couch/keys.h"

enum { RECORD_OVERHEAD = 40, SEG_KEY_BYTES = 9 };

struct seg_account {
    uint64_t seg, bytes, max_lsn;
    int64_t live; /* below zero only in the middle of a rebuild */
    bool dirty;
};
struct db_account {
    uint32_t dbnum;
    int64_t active, atts, blobs;
};
struct accounts {
    struct mutex mu; /* guards all */
    int64_t live;    /* of all segments */
    struct seg_account *segs;
    size_t nsegs, segs_cap;
    struct db_account *dbs;
    size_t ndbs, dbs_cap;
};

struct accounts *accounts_new(void)
{
    struct accounts *c = mem_zalloc(sizeof(*c));

    mutex_init(&c->mu, RANK_STATS);
    return c;
}

void accounts_free(struct accounts *c)
{
    if (c == NULL)
        return;
    mutex_fini(&c->mu);
    mem_free(c->segs);
    mem_free(c->dbs);
    mem_free(c);
}

static struct seg_account *seg_of(struct accounts *c, uint64_t seg) REQUIRES(c->mu)
{
    size_t lo = 0, hi = c->nsegs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c->segs[mid].seg < seg)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < c->nsegs && c->segs[lo].seg == seg)
        return &c->segs[lo];
    if (c->nsegs == c->segs_cap) {
        c->segs_cap = c->segs_cap * 2 + 16;
        c->segs = mem_realloc(c->segs, c->segs_cap * sizeof(*c->segs));
    }
    memmove(&c->segs[lo + 1], &c->segs[lo], (c->nsegs - lo) * sizeof(*c->segs));
    c->segs[lo] = (struct seg_account){.seg = seg};
    c->nsegs++;
    return &c->segs[lo];
}

static struct db_account *db_find(struct accounts *c, uint32_t dbnum, bool add) REQUIRES(c->mu)
{
    size_t lo = 0, hi = c->ndbs;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (c->dbs[mid].dbnum < dbnum)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < c->ndbs && c->dbs[lo].dbnum == dbnum)
        return &c->dbs[lo];
    if (!add)
        return NULL;
    if (c->ndbs == c->dbs_cap) {
        c->dbs_cap = c->dbs_cap * 2 + 16;
        c->dbs = mem_realloc(c->dbs, c->dbs_cap * sizeof(*c->dbs));
    }
    memmove(&c->dbs[lo + 1], &c->dbs[lo], (c->ndbs - lo) * sizeof(*c->dbs));
    c->dbs[lo] = (struct db_account){.dbnum = dbnum};
    c->ndbs++;
    return &c->dbs[lo];
}

static void move(struct accounts *c, uint64_t seg, int64_t bytes) REQUIRES(c->mu)
{
    struct seg_account *s = seg_of(c, seg);

    s->live += bytes;
    c->live += bytes;
    s->dirty = true;
}

static bool after(const struct seg_ptr *x, const struct seg_ptr *y)
{
    return x->seg > y->seg || (x->seg == y->seg && x->off > y->off);
}

void accounts_doc(struct accounts *c, uint32_t dbnum, size_t docid_n, size_t row_n,
                  const struct docinfo *d, int sign)
{
    int64_t own = (int64_t)(RECORD_OVERHEAD + docid_n + row_n), bodies = 0, atts = 0, blobs = 0;
    const struct seg_ptr *newest = NULL;
    struct db_account *db;

    mutex_lock(&c->mu);
    for (uint32_t i = 0; i < d->tree.n; i++) {
        const struct revnode *n = &d->tree.nodes[i];

        if (!n->leaf || !n->has_body)
            continue;
        move(c, n->ptr.seg, sign * (int64_t)n->ptr.len);
        bodies += n->ptr.len;
        if (newest == NULL || after(&n->ptr, newest))
            newest = &n->ptr;
    }
    for (uint32_t i = 0; i < d->natts; i++) {
        if (seg_is_blob(d->atts[i].seg))
            blobs += (int64_t)d->atts[i].bytes;
        else
            move(c, d->atts[i].seg, sign * (int64_t)d->atts[i].bytes);
        atts += (int64_t)d->atts[i].bytes;
    }
    if (newest != NULL)
        move(c, newest->seg, sign * own);
    db = db_find(c, dbnum, true);
    db->active += sign * (own + bodies + atts);
    db->atts += sign * atts;
    db->blobs += sign * blobs;
    mutex_unlock(&c->mu);
}

void accounts_local(struct accounts *c, const struct seg_ptr *p, int sign)
{
    mutex_lock(&c->mu);
    move(c, p->seg, sign * (int64_t)p->len);
    mutex_unlock(&c->mu);
}

void accounts_record(struct accounts *c, uint64_t seg, uint64_t bytes, uint64_t lsn)
{
    struct seg_account *s;

    mutex_lock(&c->mu);
    s = seg_of(c, seg);
    if (lsn > s->max_lsn) {
        s->bytes += bytes;
        s->max_lsn = lsn;
        s->dirty = true;
    }
    mutex_unlock(&c->mu);
}

void accounts_gone(struct accounts *c, uint64_t seg)
{
    struct seg_account *s;

    mutex_lock(&c->mu);
    s = seg_of(c, seg);
    s->bytes = s->max_lsn = 0;
    s->dirty = true;
    mutex_unlock(&c->mu);
}

void accounts_settle(struct accounts *c, uint64_t seg)
{
    struct seg_account *s;

    mutex_lock(&c->mu);
    s = seg_of(c, seg);
    c->live -= s->live;
    s->live = 0;
    s->dirty = true;
    mutex_unlock(&c->mu);
}

static uint64_t positive(int64_t v)
{
    return v > 0 ? (uint64_t)v : 0;
}

uint64_t accounts_live(struct accounts *c, uint64_t seg)
{
    uint64_t live;

    mutex_lock(&c->mu);
    live = positive(seg_of(c, seg)->live);
    mutex_unlock(&c->mu);
    return live;
}

uint64_t accounts_all(struct accounts *c)
{
    uint64_t all;

    mutex_lock(&c->mu);
    all = positive(c->live);
    mutex_unlock(&c->mu);
    return all;
}

uint64_t accounts_blobs(struct accounts *c)
{
    uint64_t all = 0;

    mutex_lock(&c->mu);
    for (size_t i = 0; i < c->ndbs; i++)
        all += positive(c->dbs[i].blobs);
    mutex_unlock(&c->mu);
    return all;
}

bool accounts_db(struct accounts *c, uint32_t dbnum, struct db_sizes *out)
{
    const struct db_account *db;

    mutex_lock(&c->mu);
    db = db_find(c, dbnum, false);
    *out = (struct db_sizes){0};
    if (db != NULL)
        *out = (struct db_sizes){positive(db->active), positive(db->atts), positive(db->blobs)};
    mutex_unlock(&c->mu);
    return db != NULL;
}

void accounts_db_set(struct accounts *c, uint32_t dbnum, const struct db_sizes *z)
{
    struct db_account *db;

    mutex_lock(&c->mu);
    db = db_find(c, dbnum, true);
    db->active = (int64_t)z->active;
    db->atts = (int64_t)z->atts;
    db->blobs = (int64_t)z->blobs;
    mutex_unlock(&c->mu);
}

/* ---- rows ---- */

static enum status load_row(struct accounts *c, uint64_t seg, struct slice v, struct err *e)
{
    struct rd r = rd_of(v);
    uint64_t bytes = rd_varint(&r), live = rd_varint(&r), lsn = rd_varint(&r);

    if (r.bad || rd_left(&r) != 0 || live > INT64_MAX)
        return err_set(e, ST_CORRUPT, "account of segment %llu", (unsigned long long)seg);
    mutex_lock(&c->mu);
    c->live += (int64_t)live;
    *seg_of(c, seg) =
        (struct seg_account){.seg = seg, .bytes = bytes, .live = (int64_t)live, .max_lsn = lsn};
    mutex_unlock(&c->mu);
    return ST_OK;
}

enum status accounts_load(struct accounts *c, struct kv *kv, struct err *e)
{
    struct kv_iter *it = kv_iter_new(kv, NULL);
    struct arena *a = arena_new();
    struct slice first = key_segment(a, 0);
    enum status st = ST_OK;

    for (kv_iter_seek(it, first); st == ST_OK && kv_iter_valid(it); kv_iter_next(it)) {
        struct slice key = kv_iter_key(it);

        if (key.n != SEG_KEY_BYTES || key.p[0] != first.p[0])
            break;
        st = load_row(c, get_be64(key.p + 1), kv_iter_value(it), e);
    }
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    arena_free(a);
    return st;
}

void accounts_flush(struct accounts *c, struct kv_batch *b, struct arena *a)
{
    size_t kept = 0;
    struct buf v;

    buf_init(&v, 64);
    mutex_lock(&c->mu);
    for (size_t i = 0; i < c->nsegs; i++) {
        struct seg_account *s = &c->segs[i];
        bool empty = s->bytes == 0 && s->live == 0;

        if (s->dirty && empty) {
            kv_batch_delete(b, key_segment(a, s->seg));
        } else if (s->dirty) {
            buf_clear(&v);
            buf_varint(&v, s->bytes);
            buf_varint(&v, positive(s->live));
            buf_varint(&v, s->max_lsn);
            kv_batch_put(b, key_segment(a, s->seg), buf_slice(&v));
        }
        s->dirty = false;
        if (!empty)
            c->segs[kept++] = *s;
    }
    c->nsegs = kept;
    mutex_unlock(&c->mu);
    buf_free(&v);
}
