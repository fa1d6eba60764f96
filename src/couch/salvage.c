/* couch/salvage.c: `divan serve --salvage`: a store that lost bytes of its log opens again.
 *
 * salvage_begin, before the log is opened: wal/salvage.h mends the log. salvage_finish, after the
 * records were applied and before anybody is served:
 *   1 LSNs that the log does not have any more go into a LOG_GONE record
 *   2 databases whose name is lost get one
 *   3 every document's leaves are read. A document of which one cannot be read keeps its row:
 *     asking for that revision goes on answering 500, and nothing older takes its place. Its row
 *     goes into the log again (a moved record without bodies), so that an index made from the log
 *     alone says the same
 *   4 counts are made to agree with the rows; databases and _local documents go into the log again
 *   5 blobs that no document names go into quarantine
 *   6 what is lost, and what may be older than it was, is listed in DATA/<n>/salvage-<time>.txt
 * A crash in between: --salvage starts over. Threads: the opener; the committer runs.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/time.h"
#include "couch/compact_priv.h"
#include "couch/local.h"
#include "couch/purge.h"
#include "wal/salvage.h"

enum {
    REPORT_MAX = 256 << 20,
    LINE_BYTES = 1024,
    SHOWN_ID = 400,
    PATH_BYTES = 4096,
    BLOB_STEP = 1 << 20
};

static const char adopted_security[] = "{\"admins\":{\"names\":[],\"roles\":[\"_admin\"]},"
                                       "\"members\":{\"names\":[],\"roles\":[\"_admin\"]}}";

struct hint { /* a record that is lost, by what is left of its header */
    uint64_t lsn, seg;
    uint32_t dbnum, off;
    struct slice id;
};

struct salvage_run {
    struct store *s;
    struct log_salvage log;
    struct arena *a;
    struct hint *hints;
    size_t nhints, hints_cap;
    struct buf text;
    uint64_t lost_docs, lines;
    struct compact_work *w;
    /* the database whose rows are looked at */
    struct db *db;
    struct db_counts found;
};

__attribute__((format(printf, 2, 3))) static void line(struct salvage_run *r, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->lines++;
    log_warn("salvage: %s", text);
    buf_printf(&r->text, "%s\n", text);
}

static int shown(struct slice id)
{
    return (int)(id.n < SHOWN_ID ? id.n : SHOWN_ID);
}

/* ---- before the log is opened ---- */

static void say(void *arg, const char *text)
{
    line(arg, "%s", text);
}

static void note_hint(void *arg, const struct log_salvage_hint *h)
{
    struct salvage_run *r = arg;

    if (r->nhints == r->hints_cap) {
        r->hints_cap = r->hints_cap * 2 + 64;
        r->hints = mem_realloc(r->hints, r->hints_cap * sizeof(*r->hints));
    }
    r->hints[r->nhints++] =
        (struct hint){h->lsn, h->seg, h->dbnum, h->off, arena_dup(r->a, h->docid)};
}

void salvage_free(struct salvage_run *r)
{
    if (r == NULL)
        return;
    log_salvage_free(&r->log);
    buf_free(&r->text);
    arena_free(r->a);
    mem_free(r->hints);
    mem_free(r);
}

enum status salvage_begin(struct store *s, struct err *e)
{
    struct salvage_run *r = mem_zalloc(sizeof(*r));
    enum status st;

    r->s = s;
    r->a = arena_new();
    buf_init(&r->text, REPORT_MAX);
    r->log = (struct log_salvage){.say = say, .hint = note_hint, .arg = r};
    st = log_salvage(s->segs, s->number, &s->super, &r->log, e);
    if (st == ST_OK)
        s->salvage = r;
    else
        salvage_free(r);
    return st;
}

void salvage_missing(struct salvage_run *r, uint64_t first, uint64_t last)
{
    line(r, "the log ends before LSN %llu, the index at %llu", (unsigned long long)first,
         (unsigned long long)last);
    gone_add(&r->log.missing, first, last);
    gone_add(&r->log.lost, first, last);
}

/* ---- databases ---- */

static enum status tell_missing(struct salvage_run *r, struct err *e)
{
    const struct gone *m = &r->log.missing;
    struct gone table = {0};
    struct slice v;
    struct buf b;
    enum status st;

    if (m->n == 0)
        return ST_OK;
    st = kv_get(r->s->kv, NULL, key_store(r->w->a, 'G'), r->w->a, &v, e);
    if (st == ST_OK)
        st = gone_decode(v, &table, e);
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    for (size_t i = 0; i < m->n; i++)
        gone_add(&table, m->v[i].first, m->v[i].last);
    buf_init(&b, LIMIT_RECORD_BYTES);
    buf_varint(&b, 0);
    gone_encode(&table, &b);
    compact_next_op(r->w, NULL, MOVE_GONE, 0)->move->bodies = arena_dup(r->w->a, buf_slice(&b));
    buf_free(&b);
    gone_free(&table);
    return compact_flush(r->w, e);
}

static bool has_num(void *arg, struct slice name, void *value)
{
    struct hint *h = arg;

    (void)name;
    if (db_num(value) == h->dbnum)
        h->id = db_name(value);
    return h->id.n == 0;
}

static struct slice name_of(struct salvage_run *r, uint32_t dbnum)
{
    struct hint h = {.dbnum = dbnum};

    mutex_lock(&r->s->catalog_mu);
    map_each(r->s->catalog, has_num, &h);
    mutex_unlock(&r->s->catalog_mu);
    return h.id;
}

/* Rows of a database whose creation is lost. */
static void adopt(struct salvage_run *r, uint32_t dbnum)
{
    struct cat_row row = {.dbnum = dbnum,
                          .created_us = time_wall_us(),
                          .revs_limit = LIMIT_REVS_DEFAULT,
                          .purged_infos_limit = LIMIT_PURGED_INFOS_DEFAULT,
                          .security = slice_str(adopted_security)};
    unsigned long long number = r->s->number; /* names are unique over all stores */
    struct slice name = number == 0
                            ? arena_printf(r->w->a, "salvaged-%u", (unsigned)dbnum)
                            : arena_printf(r->w->a, "salvaged-%u-%llu", (unsigned)dbnum, number);
    struct db_counts none = {.purge_first = 1};
    struct db *db;
    struct err e;

    if (purge_range(r->s->kv, dbnum, &none.purge_first, &none.purge_seq, &e) != ST_OK)
        none.purge_seq = 0;
    random_bytes(row.uuid, sizeof(row.uuid));
    db = db_new(r->s, name, &row, &none);
    mutex_lock(&r->s->catalog_mu);
    map_put(r->s->catalog, name, db);
    mutex_unlock(&r->s->catalog_mu);
    line(r, "database number %u: its name is lost; its documents are in \"%.*s\"", (unsigned)dbnum,
         (int)name.n, name.p);
}

static enum status adopt_orphans(struct salvage_run *r, struct err *e)
{
    struct kv_iter *it = kv_iter_new(r->s->kv, NULL);
    uint32_t dbnum = 0;
    enum status st = ST_OK;
    struct slice v;

    while (st == ST_OK) {
        struct slice any = key_db(r->w->a, dbnum, KEY_INFO, SLICE_LIT(""));

        kv_iter_seek(it, slice_of(any.p, any.n - 1));
        if (!kv_iter_valid(it) || kv_iter_key(it).n < any.n || kv_iter_key(it).p[0] != any.p[0])
            break;
        dbnum = get_be32(kv_iter_key(it).p + 1);
        st = kv_get(r->s->kv, NULL, key_dropping(r->w->a, dbnum), r->w->a, &v, e);
        if (st == ST_NOT_FOUND && name_of(r, dbnum).n == 0)
            adopt(r, dbnum);
        if (st == ST_NOT_FOUND)
            st = ST_OK;
        if (dbnum >= r->s->next_dbnum)
            r->s->next_dbnum = dbnum + 1; /* before the committer has anything to do */
        if (dbnum++ == UINT32_MAX)
            break;
    }
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    return st;
}

/* ---- documents ---- */

static bool can_read(struct salvage_run *r, const struct seg_ptr *p, char **bytes)
{
    struct err e;

    if (p->len > LIMIT_RECORD_BYTES)
        return false;
    *bytes = arena_alloc(r->w->a, (size_t)p->len + 1);
    return log_read(r->s->log, p, *bytes, &e) == ST_OK;
}

static bool can_read_blob(struct salvage_run *r, const struct att *att)
{
    struct blob_ref ref = {.id = att->ptr.seg, .len = att->stored_len, .crc = att->ptr.crc};
    enum status st;
    struct blob_reader *b;
    struct buf bytes;
    struct err e;

    if (blob_open(blobs_home(r->s->blobs), &ref, &b, &e) != ST_OK)
        return false;
    buf_init(&bytes, (size_t)2 * BLOB_STEP);
    st = ST_OK;
    for (uint64_t off = 0; off < ref.len && st == ST_OK; off += BLOB_STEP) {
        buf_clear(&bytes);
        st = blob_read(b, off, BLOB_STEP, &bytes, &e);
    }
    buf_free(&bytes);
    blob_close(b);
    return st == ST_OK;
}

static bool can_read_att(struct salvage_run *r, const struct att *att)
{
    char *bytes;

    if (att->stored_len == 0)
        return true;
    return seg_is_blob(att->ptr.seg) ? can_read_blob(r, att) : can_read(r, &att->ptr, &bytes);
}

/* A leaf that cannot be read whole is told of; whether there is one. */
static bool leaf_is_lost(struct salvage_run *r, struct slice id, const struct revnode *n)
{
    struct slice rev = rev_text(r->w->a, &n->rev), name = db_name(r->db);
    struct doc_body b = {0};
    bool lost = false;
    struct err e;
    char *bytes;

    if (!can_read(r, &n->ptr, &bytes) ||
        doc_body_decode(r->w->a, slice_of(bytes, n->ptr.len), &n->ptr, &b, &e) != ST_OK) {
        line(r, "%.*s: document \"%.*s\": revision %.*s cannot be read", shown(name), name.p,
             shown(id), id.p, (int)rev.n, rev.p);
        return true;
    }
    for (uint32_t i = 0; i < b.natts; i++) {
        if (can_read_att(r, &b.atts[i]))
            continue;
        line(r, "%.*s: document \"%.*s\": attachment \"%.*s\" of revision %.*s cannot be read",
             shown(name), name.p, shown(id), id.p, shown(b.atts[i].name), b.atts[i].name.p,
             (int)rev.n, rev.p);
        lost = true;
    }
    return lost;
}

static void count_doc(struct salvage_run *r, const struct docinfo *d)
{
    r->found.docs += (d->flags & DOCINFO_DELETED) == 0;
    r->found.deleted += (d->flags & DOCINFO_DELETED) != 0;
    r->found.external_bytes += d->winner_ptr.len;
    if (d->seq > r->found.update_seq)
        r->found.update_seq = d->seq;
}

/* What of a leaf that can be read lay in a record that is lost gets a record again. */
static void carry(struct salvage_run *r, struct revnode *n)
{
    struct revnode was = *n;
    size_t at = r->w->bodies.n;
    struct err e;

    r->w->seg = n->ptr.seg;
    if (compact_carry_leaf(r->w, n, &e) == ST_OK)
        return;
    *n = was;
    r->w->bodies.n = at;
}

static enum status look_doc(struct salvage_run *r, struct slice id, struct slice v, struct err *e)
{
    struct docinfo *d = arena_zalloc(r->w->a, sizeof(*d));
    bool lost = false, again = false;
    struct commit_op *op;

    v = arena_dup(r->w->a, v);
    id = arena_dup(r->w->a, id);
    r->w->looked++;
    TRY(docinfo_decode(r->w->a, v, d, e));
    count_doc(r, d);
    buf_clear(&r->w->bodies);
    for (uint32_t i = 0; i < d->tree.n; i++) {
        struct revnode *n = &d->tree.nodes[i];
        bool hit = n->has_body && log_salvage_hit(&r->log, &n->ptr);

        if (!n->leaf || !n->has_body)
            continue;
        if (leaf_is_lost(r, id, n))
            lost = true;
        else if (hit)
            carry(r, n);
        again |= hit;
    }
    r->lost_docs += lost;
    if (!lost && !again)
        return ST_OK;
    op = compact_next_op(r->w, r->db, MOVE_DOC, 0);
    op->docid = id;
    op->move->row = v;
    op->move->info = d;
    op->move->bodies = arena_dup(r->w->a, buf_slice(&r->w->bodies));
    r->w->bytes += r->w->bodies.n + v.n;
    return ST_OK;
}

static enum status look_local(struct salvage_run *r, struct slice id, struct slice v, struct err *e)
{
    struct slice json, name = db_name(r->db);
    struct commit_op *op;
    struct seg_ptr p;
    bool is_inline;
    char *bytes = NULL;
    uint64_t n;

    v = arena_dup(r->w->a, v);
    TRY(local_row_decode(v, &n, &is_inline, &json, &p, e));
    if (!is_inline && !can_read(r, &p, &bytes)) {
        line(r, "%.*s: document \"_local/%.*s\" cannot be read", shown(name), name.p, shown(id),
             id.p);
        return ST_OK;
    }
    if (r->log.damaged == 0)
        return ST_OK;
    op = compact_next_op(r->w, r->db, MOVE_LOCAL, 0);
    op->docid = arena_dup(r->w->a, id);
    op->move->row = v;
    op->move->bodies = is_inline ? json : slice_of(bytes, p.len);
    op->move->local_n = n;
    r->w->bytes += v.n;
    return ST_OK;
}

/* The rows of r->db are all seen. */
static void settle_counts(struct salvage_run *r)
{
    struct db *db = r->db;
    struct slice name = db_name(db);
    struct db_counts *c = &r->found, *p = &db->published;

    mutex_lock(&db->mu);
    if (c->docs != p->docs || c->deleted != p->deleted || c->external_bytes != p->external_bytes ||
        c->update_seq > p->update_seq) {
        line(r, "%.*s: %llu documents and %llu deleted ones are there; the counts said %llu, %llu",
             shown(name), name.p, (unsigned long long)c->docs, (unsigned long long)c->deleted,
             (unsigned long long)db->published.docs, (unsigned long long)db->published.deleted);
        atomic_fetch_add(&r->s->external_bytes, c->external_bytes - db->published.external_bytes);
        p->docs = c->docs;
        p->deleted = c->deleted;
        p->external_bytes = c->external_bytes;
        if (p->update_seq < c->update_seq)
            p->update_seq = c->update_seq;
        db->staged = *p;
        atomic_store(&db->update_seq, p->update_seq);
    }
    mutex_unlock(&db->mu);
}

static enum status look_row(struct salvage_run *r, struct slice key, struct slice v, struct err *e)
{
    struct slice rest;
    uint32_t dbnum;

    if (key.n < 6)
        return ST_OK;
    dbnum = get_be32(key.p + 1);
    if (r->db == NULL || db_num(r->db) != dbnum) {
        if (r->db != NULL)
            settle_counts(r);
        r->db = compact_db_of(r->w, dbnum);
        memset(&r->found, 0, sizeof(r->found));
    }
    if (r->db == NULL)
        return ST_OK;
    if (key_db_rest(key, dbnum, KEY_INFO, &rest))
        return look_doc(r, rest, v, e);
    return key_db_rest(key, dbnum, KEY_LOCAL, &rest) ? look_local(r, rest, v, e) : ST_OK;
}

static enum status look_rows(struct salvage_run *r, struct err *e)
{
    struct kv_iter *it = kv_iter_new(r->s->kv, NULL);
    struct slice any = key_db(r->a, 0, KEY_INFO, SLICE_LIT(""));
    enum status st = ST_OK;

    for (kv_iter_seek(it, slice_of(any.p, any.n - 1)); st == ST_OK && kv_iter_valid(it);
         kv_iter_next(it)) {
        st = compact_flush_when_full(r->w, e);
        if (st == ST_OK)
            st = look_row(r, kv_iter_key(it), kv_iter_value(it), e);
    }
    if (st == ST_OK && r->db != NULL)
        settle_counts(r);
    if (st == ST_OK)
        st = kv_iter_error(it, e);
    kv_iter_free(it);
    return st == ST_OK ? compact_flush(r->w, e) : st;
}

/* ---- what the log lacks ---- */

/* Whether a record of the document that is newer than the lost one led to its row. */
static bool is_newer(const struct docinfo *d, const struct hint *h)
{
    for (uint32_t i = 0; i < d->tree.n; i++) {
        const struct revnode *n = &d->tree.nodes[i];

        if (n->leaf && n->has_body &&
            (n->ptr.seg > h->seg || (n->ptr.seg == h->seg && n->ptr.off > h->off)))
            return true;
    }
    return false;
}

static void tell_hint(struct salvage_run *r, const struct hint *h)
{
    struct slice name = name_of(r, h->dbnum), row, rev;
    struct docinfo d = {0};
    struct err e;

    if (h->lsn <= r->s->recovered_from || name.n == 0)
        return;
    if (kv_get(r->s->kv, NULL, key_db(r->a, h->dbnum, KEY_INFO, h->id), r->a, &row, &e) != ST_OK) {
        line(r, "%.*s: document \"%.*s\" is lost (LSN %llu)", shown(name), name.p, shown(h->id),
             h->id.p, (unsigned long long)h->lsn);
        return;
    }
    if (docinfo_decode(r->a, row, &d, &e) != ST_OK || is_newer(&d, h))
        return;
    rev = rev_text(r->a, &d.tree.nodes[revtree_winner(&d.tree)].rev);
    line(r, "%.*s: document \"%.*s\": a newer revision than %.*s is lost (LSN %llu)", shown(name),
         name.p, shown(h->id), h->id.p, (int)rev.n, rev.p, (unsigned long long)h->lsn);
}

/* Records that the index had not seen: what it shows instead may be older. */
static void tell_lost(struct salvage_run *r)
{
    const struct gone *l = &r->log.lost;

    for (size_t i = 0; i < r->nhints; i++)
        tell_hint(r, &r->hints[i]);
    for (size_t i = 0; i < l->n; i++) {
        bool known = l->v[i].last <= r->s->recovered_from;

        line(r, "records with LSN %llu to %llu are lost%s", (unsigned long long)l->v[i].first,
             (unsigned long long)l->v[i].last,
             known ? "; the index still had what they said"
                   : "; what they said and no later record says again is older now, or missing");
    }
}

/* ---- all of it ---- */

static bool state_of(void *arg, struct slice name, void *db)
{
    struct map *v = arg;

    map_put(v, name, db_ref(db));
    return true;
}

struct states {
    struct salvage_run *r;
    enum status st;
    struct err *e;
};

static bool write_state(void *arg, struct slice name, void *db)
{
    struct states *x = arg;

    (void)name;
    if (x->st == ST_OK)
        x->st = compact_flush_when_full(x->r->w, x->e);
    if (x->st == ST_OK)
        (void)compact_next_op(x->r->w, db, MOVE_DB, 0);
    db_release(db);
    return true;
}

static enum status write_states(struct salvage_run *r, struct err *e)
{
    struct states x = {r, ST_OK, e};
    struct map *all = map_new();

    mutex_lock(&r->s->catalog_mu);
    map_each(r->s->catalog, state_of, all);
    mutex_unlock(&r->s->catalog_mu);
    map_each(all, write_state, &x);
    map_free(all);
    TRY(x.st);
    (void)compact_next_op(r->w, NULL, MOVE_NEXT, 0);
    return compact_flush(r->w, e);
}

static enum status write_report(struct salvage_run *r, struct err *e)
{
    char path[PATH_BYTES], when[32];

    if (r->lines == 0) {
        log_info("salvage: nothing is damaged");
        return ST_OK;
    }
    time_rfc3339(time_wall_ms(), when);
    if (snprintf(path, sizeof(path), "%s/salvage-%s.txt", r->s->dir, when) >= PATH_BYTES)
        return err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    TRY(fs_write_atomic(path, buf_slice(&r->text), e));
    log_warn("salvage: %llu documents cannot be read whole; all that was found is in %s",
             (unsigned long long)r->lost_docs, path);
    return ST_OK;
}

enum status salvage_finish(struct store *s, struct err *e)
{
    struct salvage_run *r = s->salvage;
    static const struct compact_pace pace = {.moved = compact_no_pace};
    unsigned long long kept = 0;
    enum status st;

    r->w = compact_work_new(s, 0, &pace);
    st = tell_missing(r, e);
    if (st == ST_OK)
        st = adopt_orphans(r, e);
    compact_list_dbs(r->w);
    if (st == ST_OK)
        st = look_rows(r, e);
    if (st == ST_OK && r->lines != 0)
        st = write_states(r, e);
    tell_lost(r);
    if (st == ST_OK)
        st = salvage_keep_blobs(s, r->lines != 0, &kept, e);
    if (kept != 0)
        line(r, "%llu attachments that no document names are kept in quarantine", kept);
    if (st == ST_OK)
        st = write_report(r, e);
    compact_work_free(r->w);
    s->salvage = NULL;
    salvage_free(r);
    return st;
}
