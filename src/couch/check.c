/* couch/check.c: `divan check`: everything that must hold of a stopped data directory.
 *
 * Nothing below the directory is written (check_open.c): the log is read as recovery would read it,
 * the index as a copy. Checked: every segment, group and record
 * (log_check); every row belongs to a database and decodes; every tree is a forest with right leaf
 * flags; one changes row for each document, saying the same; counts and update_seq agree with the
 * rows; the infos of purges are in order; every leaf's body and attachments can be
 * read and have their checksums; a row for each blob that a document names, and no other
 * (check_blobs.c).
 * Threads: the caller's only; nothing else writes meanwhile.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/text.h"
#include "couch/check_priv.h"
#include "couch/local.h"
#include "couch/purge.h"
#include "wal/seg_file.h"

enum { PATH_BYTES = 4096, FINDING_BYTES = 512, SHOWN_ID = 100 };

void finding(struct check *c, const char *fmt, ...)
{
    char text[FINDING_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    c->bad++;
    c->report(c->arg, text);
}

static int shown(struct slice id)
{
    return (int)(id.n < SHOWN_ID ? id.n : SHOWN_ID);
}

/* One database as its rows have it. */
struct tally {
    struct slice name;
    uint32_t dbnum;
    struct db_counts found, said;
    uint64_t seq_rows;
    uint64_t purge_seq, purge_at; /* the last info's number and sequence */
};

/* ---- bodies ---- */

static bool read_ptr(struct check *c, const struct tally *t, struct slice id,
                     const struct seg_ptr *p, const char *what)
{
    struct err e = {0};
    char *to;

    buf_clear(&c->body);
    to = buf_extend(&c->body, p->len);
    if (to == NULL) {
        finding(c, "%.*s: document %.*s: a %s of %u bytes", shown(t->name), t->name.p, shown(id),
                id.p, what, p->len);
        return false;
    }
    if (log_read(c->s->log, p, to, &e) == ST_OK)
        return true;
    finding(c, "%.*s: document %.*s: its %s: %s", shown(t->name), t->name.p, shown(id), id.p, what,
            e.reason);
    return false;
}

static void check_att(struct check *c, const struct tally *t, struct slice id, const struct att *x)
{
    struct err e = {0};

    if (x->stored_len == 0)
        return; /* there is nothing to read: its segment may be gone */
    if (!seg_is_blob(x->ptr.seg))
        read_ptr(c, t, id, &x->ptr, "attachment");
    else if (check_blob(c, t->dbnum, id, x, &e) != ST_OK)
        finding(c, "%.*s: document %.*s: its attachment %.*s: %s", shown(t->name), t->name.p,
                shown(id), id.p, shown(x->name), x->name.p, e.reason);
}

static void check_body(struct check *c, const struct tally *t, struct slice id,
                       const struct seg_ptr *p)
{
    struct doc_body b;
    struct slice region;
    struct err e = {0};

    if (!read_ptr(c, t, id, p, "body"))
        return;
    region = arena_dup(c->a, buf_slice(&c->body));
    if (doc_body_decode(c->a, region, p, &b, &e) != ST_OK) {
        finding(c, "%.*s: document %.*s: %s", shown(t->name), t->name.p, shown(id), id.p, e.reason);
        return;
    }
    for (uint32_t i = 0; i < b.natts; i++)
        check_att(c, t, id, &b.atts[i]);
}

static void check_leaves(struct check *c, const struct tally *t, struct slice id,
                         const struct revtree *tree)
{
    for (uint32_t i = 0; i < tree->n; i++) {
        const struct revnode *n = &tree->nodes[i];

        if (n->leaf && !n->has_body)
            finding(c, "%.*s: document %.*s: a leaf has no body", shown(t->name), t->name.p,
                    shown(id), id.p);
        if (n->leaf && n->has_body)
            check_body(c, t, id, &n->ptr);
    }
}

/* ---- rows ---- */

static bool same_ptr(const struct seg_ptr *x, const struct seg_ptr *y)
{
    return x->seg == y->seg && x->off == y->off && x->len == y->len && x->crc == y->crc;
}

/* The changes row that a document's row names, against it. NULL: they agree. */
static const char *seq_row_fault(struct check *c, uint32_t dbnum, struct slice id,
                                 const struct docinfo *d, const struct revnode *winner)
{
    struct err e = {0};
    struct seqrow row;
    struct slice v;
    enum status st = kv_get(c->s->kv, NULL, key_seq(c->a, dbnum, d->seq), c->a, &v, &e);

    if (st == ST_NOT_FOUND)
        return "has no changes row";
    if (st != ST_OK || seqrow_decode(v, &row, &e) != ST_OK)
        return "has a changes row that cannot be read";
    if (!slice_eq(row.docid, id))
        return "has the changes row of another document";
    if (row.flags != d->flags || row.docnum != d->docnum || !rev_eq(&row.winner, &winner->rev) ||
        !same_ptr(&row.winner_ptr, &d->winner_ptr))
        return "has a changes row that says otherwise";
    return NULL;
}

static const char *info_fault(struct check *c, const struct tally *t, struct slice id,
                              const struct docinfo *d)
{
    unsigned flags = 0;
    int w;

    if (d->tree.n == 0 || !revtree_valid(&d->tree))
        return "has an impossible revision tree";
    w = revtree_winner(&d->tree);
    flags |= revtree_is_deleted(&d->tree) ? DOCINFO_DELETED : 0;
    flags |= revtree_has_conflict(&d->tree) ? DOCINFO_CONFLICTS : 0;
    if (d->flags != flags)
        return "has flags that its tree denies";
    if (!same_ptr(&d->winner_ptr, &d->tree.nodes[w].ptr))
        return "does not point to its winner";
    if (d->seq == 0 || d->seq > t->said.update_seq || d->docnum == 0 || d->docnum > d->seq)
        return "has a sequence that was never given";
    return seq_row_fault(c, t->dbnum, id, d, &d->tree.nodes[w]);
}

static void check_info(struct check *c, struct tally *t, struct slice id, struct slice v)
{
    struct docinfo d;
    struct err e = {0};
    const char *fault;

    if (docinfo_decode(c->a, v, &d, &e) != ST_OK) {
        finding(c, "%.*s: document %.*s: %s", shown(t->name), t->name.p, shown(id), id.p, e.reason);
        return;
    }
    fault = info_fault(c, t, id, &d);
    if (fault != NULL)
        finding(c, "%.*s: document %.*s %s", shown(t->name), t->name.p, shown(id), id.p, fault);
    t->found.docs += d.flags & DOCINFO_DELETED ? 0 : 1;
    t->found.deleted += d.flags & DOCINFO_DELETED ? 1 : 0;
    t->found.external_bytes += d.winner_ptr.len;
    check_leaves(c, t, id, &d.tree);
}

static void check_local(struct check *c, const struct tally *t, struct slice id, struct slice v)
{
    struct err e = {0};
    struct seg_ptr p;
    struct slice json;
    uint64_t n;
    bool is_inline;

    if (local_row_decode(v, &n, &is_inline, &json, &p, &e) != ST_OK)
        finding(c, "%.*s: local document %.*s: %s", shown(t->name), t->name.p, shown(id), id.p,
                e.reason);
    else if (!is_inline)
        read_ptr(c, t, id, &p, "local body");
}

static void check_purge(struct check *c, struct tally *t, struct slice key, struct slice v)
{
    struct err e = {0};
    struct purge_info p;
    uint64_t n;

    if (!key_purge_seq(key, t->dbnum, &n) || purge_info_decode(c->a, v, &p, &e) != ST_OK) {
        finding(c, "%.*s: a purge info cannot be read: %s", shown(t->name), t->name.p, e.reason);
        return;
    }
    if (p.seq > t->said.update_seq || p.seq <= t->purge_at || n <= t->purge_seq)
        finding(c, "%.*s: purge %llu of sequence %llu follows purge %llu of %llu", shown(t->name),
                t->name.p, (unsigned long long)n, (unsigned long long)p.seq,
                (unsigned long long)t->purge_seq, (unsigned long long)t->purge_at);
    t->purge_seq = n;
    t->purge_at = p.seq;
}

static void check_row(struct check *c, struct tally *t, struct slice key, struct slice v)
{
    struct slice rest;
    struct seqrow row;
    struct err e = {0};

    if (key_db_rest(key, t->dbnum, KEY_INFO, &rest)) {
        check_info(c, t, rest, v);
    } else if (key_db_rest(key, t->dbnum, KEY_SEQ, &rest)) {
        t->seq_rows++;
        if (rest.n != 8 || seqrow_decode(v, &row, &e) != ST_OK)
            finding(c, "%.*s: a changes row cannot be read: %s", shown(t->name), t->name.p,
                    e.reason);
        else if (get_be64(rest.p) > t->said.update_seq)
            finding(c, "%.*s: a changes row after update_seq", shown(t->name), t->name.p);
    } else if (key_db_rest(key, t->dbnum, KEY_LOCAL, &rest)) {
        check_local(c, t, rest, v);
    } else if (key_db_rest(key, t->dbnum, KEY_PURGE, &rest)) {
        check_purge(c, t, key, v);
    } else if (!key_db_rest(key, t->dbnum, KEY_META, &rest) || rest.n != 0) {
        finding(c, "%.*s: a row of an unknown kind", shown(t->name), t->name.p);
    }
}

/* ---- databases ---- */

static void check_counts(struct check *c, const struct tally *t)
{
    const struct db_counts *f = &t->found, *m = &t->said;

    if (f->docs != m->docs || f->deleted != m->deleted || f->external_bytes != m->external_bytes)
        finding(c,
                "%.*s: counts say %llu documents, %llu deleted, %llu bytes; rows say %llu, %llu, "
                "%llu",
                shown(t->name), t->name.p, (unsigned long long)m->docs,
                (unsigned long long)m->deleted, (unsigned long long)m->external_bytes,
                (unsigned long long)f->docs, (unsigned long long)f->deleted,
                (unsigned long long)f->external_bytes);
    if (t->seq_rows != f->docs + f->deleted)
        finding(c, "%.*s: %llu changes rows for %llu documents", shown(t->name), t->name.p,
                (unsigned long long)t->seq_rows, (unsigned long long)f->docs + f->deleted);
}

/* All rows of one database; the iterator stands on the first and ends after the last. */
static void check_db(struct check *c, struct db *db, struct slice prefix)
{
    struct tally t = {.name = db_name(db), .dbnum = db_num(db)};

    db_get_counts(db, &t.said);
    while (kv_iter_valid(c->it) && slice_starts(kv_iter_key(c->it), prefix)) {
        check_row(c, &t, kv_iter_key(c->it), kv_iter_value(c->it));
        arena_reset(c->a);
        kv_iter_next(c->it);
    }
    check_counts(c, &t);
}

static enum status check_named(struct check *c, struct slice name, struct err *e)
{
    struct arena *keep = arena_new();
    struct db *db = NULL;
    struct slice any, prefix;
    enum status st = db_open(c->s, name, &db, e);

    if (st == ST_OK) {
        any = key_db(keep, db_num(db), KEY_META, SLICE_LIT(""));
        prefix = slice_of(any.p, any.n - 1);
        c->it = kv_iter_new(c->s->kv, NULL);
        kv_iter_seek(c->it, prefix);
        check_db(c, db, prefix);
        st = kv_iter_error(c->it, e);
        kv_iter_free(c->it);
        db_release(db);
    }
    arena_free(keep);
    return st;
}

struct num_search {
    uint32_t dbnum;
    bool found;
};

static bool has_num(void *arg, struct slice name, void *value)
{
    struct num_search *q = arg;

    (void)name;
    q->found = db_num(value) == q->dbnum;
    return !q->found;
}

/* Rows whose database is neither in the catalogue nor being deleted. The marker is looked for where
 * the rows were seen: meanwhile maintenance may delete both. */
static void check_orphan(struct check *c, const struct kv_snap *snap, uint32_t dbnum)
{
    struct num_search q = {.dbnum = dbnum};
    struct err e = {0};
    struct slice v;

    mutex_lock(&c->s->catalog_mu);
    map_each(c->s->catalog, has_num, &q);
    mutex_unlock(&c->s->catalog_mu);
    if (!q.found && kv_get(c->s->kv, snap, key_dropping(c->a, dbnum), c->a, &v, &e) == ST_NOT_FOUND)
        finding(c, "rows of database number %u, which does not exist", dbnum);
}

static enum status check_orphans(struct check *c, struct err *e)
{
    struct kv_snap *snap = kv_snap_new(c->s->kv);
    uint32_t dbnum = 0;
    enum status st;

    c->it = kv_iter_new(c->s->kv, snap);
    for (;;) {
        struct slice any = key_db(c->a, dbnum, KEY_INFO, SLICE_LIT("")), key;

        kv_iter_seek(c->it, slice_of(any.p, any.n - 1));
        if (!kv_iter_valid(c->it))
            break;
        key = kv_iter_key(c->it);
        if (key.n < any.n || key.p[0] != any.p[0]) {
            finding(c, "a key of an unknown class");
            break;
        }
        dbnum = get_be32(key.p + 1);
        check_orphan(c, snap, dbnum);
        arena_reset(c->a);
        if (dbnum++ == UINT32_MAX)
            break;
    }
    st = kv_iter_error(c->it, e);
    kv_iter_free(c->it);
    kv_snap_free(c->s->kv, snap);
    return st;
}

static enum status check_rows(struct check *c, struct err *e)
{
    struct arena *names_arena = arena_new();
    struct slice *names;
    size_t n = 0;
    enum status st = db_list(c->s, names_arena, &names, &n, e);

    for (size_t i = 0; i < n && st == ST_OK; i++)
        st = check_named(c, names[i], e);
    if (st == ST_OK)
        st = check_orphans(c, e);
    if (st == ST_OK)
        st = check_blob_rows(c, e);
    if (atomic_load(&c->s->applied_lsn) > log_last_lsn(c->s->log))
        finding(c, "the index is ahead of the log");
    arena_free(names_arena);
    return st;
}

/* ---- all of it ---- */

static enum status check_open_store(struct check *c, struct seg_store *segs, struct err *e)
{
    uint64_t bad = 0;
    enum status st = log_check(segs, c->number, c->report, c->arg, &bad, e);

    c->bad += bad;
    if (st != ST_OK)
        return st;
    c->a = arena_new();
    c->blobs = map_new();
    buf_init(&c->body, LIMIT_RECORD_BYTES);
    st = check_rows(c, e);
    map_free(c->blobs);
    buf_free(&c->body);
    arena_free(c->a);
    return st;
}

/* Which store has a name: more than one must not. */
static enum status check_names(struct check *c, struct map *owners, struct err *e)
{
    struct arena *a = arena_new();
    struct slice *names;
    size_t n = 0;
    enum status st = db_list(c->s, a, &names, &n, e);

    for (size_t i = 0; i < n && st == ST_OK; i++)
        if (map_put(owners, names[i], c) != NULL)
            finding(c, "%.*s: is in store %llu and in another one", shown(names[i]), names[i].p,
                    (unsigned long long)c->number);
    if (c->number != 0 && n > 1)
        finding(c, "store %llu holds %zu databases, not one", (unsigned long long)c->number, n);
    arena_free(a);
    return st;
}

static enum status check_segs(struct check *c, const char *dir, struct seg_store *segs,
                              struct map *owners, struct err *e)
{
    uint64_t bad = 0;
    enum status st = check_open(dir, c->number, segs, &c->s, e);

    if (st == ST_CORRUPT) { /* say what refuses to open, then what else is wrong with the log */
        finding(c, "%s", e->reason);
        st = log_check(segs, c->number, c->report, c->arg, &bad, e);
        c->bad += bad;
        return st == ST_CORRUPT ? ST_OK : st;
    }
    if (st == ST_NOT_FOUND && c->number != 0)
        return ST_OK; /* a crash cut its making short: the next start removes it */
    if (st != ST_OK)
        return st;
    st = check_open_store(c, segs, e);
    if (st == ST_OK)
        st = check_names(c, owners, e);
    check_close(c->s);
    return st;
}

/* A finding of a store other than 0 says which. */
static void report_numbered(void *arg, const char *text)
{
    struct check *c = arg;
    char line[FINDING_BYTES + 40];

    snprintf(line, sizeof(line), "store %llu: %s", (unsigned long long)c->number, text);
    c->out(c->out_arg, line);
}

static enum status check_stores(struct check *c, const char *dir, struct seg_store *segs,
                                struct err *e)
{
    struct map *owners = map_new();
    uint64_t *numbers = NULL;
    size_t n = 0;
    enum status st = ss_status(segs->ops->stores(segs, &numbers, &n, e));

    if (st == ST_OK && (n == 0 || numbers[0] != 0))
        st = err_set(e, ST_NOT_FOUND, "%.200s holds no data of this server", dir);
    c->out = c->report;
    c->out_arg = c->arg;
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        c->number = numbers[i];
        c->report = numbers[i] == 0 ? c->out : report_numbered;
        c->arg = numbers[i] == 0 ? c->out_arg : c;
        st = check_segs(c, dir, segs, owners, e);
        segs->ops->release(segs, numbers[i]);
    }
    mem_free(numbers);
    map_free(owners);
    return st;
}

enum status store_check(const char *dir, void (*report)(void *arg, const char *text), void *arg,
                        uint64_t *bad, struct err *e)
{
    struct check c = {.report = report, .arg = arg};
    struct seg_store *segs;
    enum status st;

    *bad = 0;
    segs = seg_file_new(dir);
    st = seg_file_lock(segs, e);
    if (st == ST_OK)
        st = check_stores(&c, dir, segs, e);
    segs->ops->close(segs);
    *bad = c.bad;
    return st;
}
