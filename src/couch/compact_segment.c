/* couch/compact_segment.c: empties one sealed segment and deletes it.
 *
 *   1 the segment is named as victim; once what was staged before is applied, no operation makes a
 *     new pointer into it (commit_move.c, commit_fix_atts)
 *   2 its records are read: of each document that they tell of, what the present row still has in
 *     the segment (leaves' bodies, their attachments) is written again through the committer;
 *     likewise _local documents, the state of databases, and removals that an older record
 *     elsewhere could contradict
 *   3 they are read again: nothing is left, and the accounts agree; if not, all rows are looked at
 *     (compact_sweep.c)
 *   4 LevelDB is durable up to the last move and the segment's last record: no recovery will ask
 *     for the segment
 *   5 a LOG_GONE record names the LSNs; then the segment is deleted
 *
 * A crash at any point leaves the segment, or all that was in it elsewhere: moved records say what
 * the old ones say. Readers that hold an old pointer read the row again (doc_read.c).
 * Threads: one caller at a time.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "couch/compact_priv.h"
#include "couch/local.h"

enum { BATCH_BYTES = 512 << 10, STATES_MAX = 8, ROUNDS = 32, LOOK_MAX = 1000 };

/* ---- databases by number ---- */

static bool add_db(void *arg, struct slice name, void *value)
{
    struct compact_work *w = arg;
    unsigned char key[4];

    (void)name;
    put_be32(key, db_num(value));
    (void)map_put(w->dbs, slice_of(key, sizeof(key)), db_ref(value));
    return true;
}

void compact_list_dbs(struct compact_work *w)
{
    mutex_lock(&w->s->catalog_mu);
    map_each(w->s->catalog, add_db, w);
    mutex_unlock(&w->s->catalog_mu);
}

struct db *compact_db_of(struct compact_work *w, uint32_t dbnum)
{
    unsigned char key[4];
    struct db *db;

    put_be32(key, dbnum);
    db = map_get(w->dbs, slice_of(key, sizeof(key)));
    return db == NULL || db_dropped(db) ? NULL : db;
}

static bool release_one(void *arg, struct slice key, void *db)
{
    (void)arg;
    (void)key;
    db_release(db);
    return true;
}

/* ---- batches ---- */

struct commit_op *compact_next_op(struct compact_work *w, struct db *db, enum move_what what,
                                  uint64_t ver)
{
    struct commit_op *op = &w->ops[w->n];
    struct commit_move *m = &w->moves[w->n];

    ASSERT(w->n < COMPACT_BATCH);
    w->n++;
    *m = (struct commit_move){.what = what, .ver = ver};
    *op = (struct commit_op){.kind = COMMIT_MOVE, .db = db, .move = m};
    return op;
}

/* What changed before its move came through is looked at again; a document that goes on changing
 * has nothing in the segment soon. */
static enum status again(struct compact_work *w, struct db *db, struct slice id, struct err *e)
{
    bool is_in = true;

    for (int i = 0; i < ROUNDS && is_in; i++) {
        w->n = 0;
        TRY(compact_look_doc(w, db, id, 0, &is_in, e));
        if (!is_in)
            break;
        TRY(commit_wait(w->s, w->ops, w->n, e));
        if (w->ops[0].st == ST_NOT_FOUND)
            break;
        if (w->ops[0].st != ST_OK && w->ops[0].st != ST_CONFLICT) {
            *e = w->ops[0].err;
            return w->ops[0].st;
        }
    }
    w->n = 0;
    return ST_OK; /* the last look over the segment tells whether that was enough */
}

enum status compact_flush(struct compact_work *w, struct err *e)
{
    struct {
        struct db *db;
        struct slice id;
    } changed[COMPACT_BATCH];
    size_t n = 0;

    if (w->n == 0)
        return ST_OK;
    TRY(commit_wait(w->s, w->ops, w->n, e));
    KILL_POINT("compact.batch");
    for (size_t i = 0; i < w->n; i++) {
        const struct commit_op *op = &w->ops[i];

        if (op->st == ST_CONFLICT && op->move->what == MOVE_DOC) {
            changed[n].db = op->db;
            changed[n++].id = op->docid;
        } else if (op->st != ST_OK && op->st != ST_CONFLICT && op->st != ST_NOT_FOUND) {
            *e = op->err;
            return op->st;
        }
    }
    for (size_t i = 0; i < n; i++)
        TRY(again(w, changed[i].db, changed[i].id, e));
    if (!w->pace->moved(w->pace->arg, w->bytes))
        return err_set(e, ST_UNAVAILABLE, "the store closes");
    w->n = w->bytes = w->looked = 0;
    arena_reset(w->a);
    return ST_OK;
}

enum status compact_flush_when_full(struct compact_work *w, struct err *e)
{
    if (w->n == 0 && w->looked > LOOK_MAX) {
        arena_reset(w->a);
        w->looked = 0;
    }
    if (w->n == COMPACT_BATCH || w->bytes >= BATCH_BYTES || w->looked > LOOK_MAX)
        return compact_flush(w, e);
    return ST_OK;
}

/* ---- records ---- */

static enum status see_doc(struct compact_work *w, const struct log_record *rec, struct err *e)
{
    struct db *db = compact_db_of(w, rec->dbnum);
    struct rd r = rd_of(rec->body);
    uint64_t n = rd_varint(&r);
    struct slice id;
    bool is_in;

    if (db == NULL)
        return ST_OK;
    id = rd_bytes(&r, n > rd_left(&r) ? rd_left(&r) + 1 : (size_t)n);
    if (r.bad || id.n == 0)
        return err_set(e, ST_CORRUPT, "document record %llu", (unsigned long long)rec->lsn);
    TRY(compact_look_doc(w, db, id, rec->ver, &is_in, e));
    if (is_in || w->counting || (rec->flags & LOG_F_MOVED) == 0)
        return ST_OK;
    return compact_look_bare(w, db, rec, e);
}

/* Whether the row is what this record says. */
static bool local_is_current(const struct log_record *rec, const struct local_record *r,
                             struct slice row)
{
    struct slice json;
    struct seg_ptr p;
    struct err e;
    bool is_inline;
    uint64_t n;

    if (row.n == 0 || r->deleted)
        return row.n == 0 && r->deleted;
    if (local_row_decode(row, &n, &is_inline, &json, &p, &e) != ST_OK || n != r->n)
        return false;
    if (is_inline)
        return slice_eq(json, r->json);
    return p.seg == rec->seg && p.off == rec->body_off + (uint32_t)(r->json.p - rec->body.p);
}

static enum status see_local(struct compact_work *w, const struct log_record *rec, struct err *e)
{
    struct db *db = compact_db_of(w, rec->dbnum);
    struct local_record r;
    struct commit_op *op;
    struct slice row, key;
    enum status st;

    if (db == NULL || w->counting)
        return ST_OK;
    TRY(local_record_decode(rec->body, &r, e));
    key = key_db(w->a, rec->dbnum, KEY_LOCAL, r.id);
    st = kv_get(w->s->kv, NULL, key, w->a, &row, e);
    if (st == ST_NOT_FOUND)
        row = SLICE_LIT("");
    else
        TRY(st);
    if (!local_is_current(rec, &r, row) || (r.deleted && w->oldest))
        return ST_OK;
    op = compact_next_op(w, db, MOVE_LOCAL, rec->ver);
    op->docid = arena_dup(w->a, r.id);
    op->deleted = r.deleted;
    op->move->row = row;
    op->move->bodies = arena_dup(w->a, r.json);
    op->move->local_n = r.n;
    w->bytes += rec->body.n;
    return ST_OK;
}

static enum status see_dbmeta(struct compact_work *w, const struct log_record *rec, struct err *e)
{
    struct db *db = rec->dbnum != 0 ? compact_db_of(w, rec->dbnum) : NULL;
    unsigned char key[4];
    struct commit_op *op;
    struct dbmeta m;

    if (w->counting)
        return ST_OK;
    TRY(dbmeta_decode(rec->body, &m, e));
    put_be32(key, rec->dbnum);
    w->needs_next = w->needs_next || m.op == DBMETA_CREATE || m.op == DBMETA_NEXT;
    if (db != NULL)
        map_put(w->states, slice_of(key, sizeof(key)), db);
    if (m.op != DBMETA_DROP || w->oldest)
        return ST_OK;
    op = compact_next_op(w, NULL, MOVE_DROP, rec->ver);
    op->docid = arena_dup(w->a, m.name);
    op->move->dbnum = rec->dbnum;
    return ST_OK;
}

static enum status see(void *arg, const struct log_record *rec, struct err *e)
{
    struct compact_work *w = arg;

    if (w->first_lsn == 0)
        w->first_lsn = rec->lsn;
    w->last_lsn = rec->lsn;
    TRY(compact_flush_when_full(w, e));
    switch (rec->type) {
    case LOG_DOC:
        return see_doc(w, rec, e);
    case LOG_LOCAL:
        return see_local(w, rec, e);
    case LOG_DBMETA:
        return see_dbmeta(w, rec, e);
    case LOG_EPOCH:
    case LOG_PAD:
    case LOG_GONE: /* a newer one is written before the segment goes */
        return ST_OK;
    case LOG_PURGE:
        return compact_see_purge(w, rec, e);
    case LOG_NODE:
        break;
    }
    return err_set(e, ST_CORRUPT, "a record of kind %d", (int)rec->type);
}

/* ---- the steps ---- */

static enum status sync(struct compact_work *w, struct err *e)
{
    (void)compact_next_op(w, NULL, MOVE_SYNC, 0);
    return compact_flush(w, e);
}

struct state_walk {
    struct compact_work *w;
    enum status st;
    struct err *e;
};

static bool move_state(void *arg, struct slice key, void *db)
{
    struct state_walk *x = arg;

    (void)key;
    if (x->w->n == STATES_MAX) /* each has a group of its own: writers have a turn between */
        x->st = compact_flush(x->w, x->e);
    if (x->st == ST_OK)
        (void)compact_next_op(x->w, db, MOVE_DB, 0);
    return x->st == ST_OK;
}

static enum status move_all(struct compact_work *w, struct err *e)
{
    struct state_walk x = {w, ST_OK, e};

    TRY(log_scan_seg(w->s->log, w->seg, see, w, e));
    TRY(compact_flush(w, e));
    map_each(w->states, move_state, &x);
    TRY(x.st);
    TRY(compact_flush(w, e));
    if (w->needs_next)
        (void)compact_next_op(w, NULL, MOVE_NEXT, 0);
    return compact_flush(w, e);
}

/* Nothing is left, by the records and by the accounts. */
static enum status verify(struct compact_work *w, struct err *e)
{
    w->counting = true;
    w->needed = 0;
    TRY(log_scan_seg(w->s->log, w->seg, see, w, e));
    if (w->needed != 0)
        return err_set(e, ST_CONFLICT, "%llu documents of segment %llu keep changing",
                       (unsigned long long)w->needed, (unsigned long long)w->seg);
    if (accounts_live(w->s->accounts, w->seg) == 0)
        return ST_OK;
    w->counting = false;
    TRY(compact_sweep(w, e));
    w->counting = true;
    w->needed = 0;
    TRY(compact_sweep(w, e));
    if (w->needed != 0)
        return err_set(e, ST_CONFLICT, "documents keep changing");
    accounts_settle(w->s->accounts, w->seg);
    return ST_OK;
}

/* The log's own records do not move the applied LSN: a segment that ends with one would still lie
 * above it, and recovery would ask for it. */
static enum status pass_last(struct compact_work *w, struct err *e)
{
    if (atomic_load(&w->s->applied_lsn) >= w->last_lsn)
        return ST_OK;
    (void)compact_next_op(w, NULL, MOVE_NEXT, 0);
    TRY(compact_flush(w, e));
    if (atomic_load(&w->s->applied_lsn) < w->last_lsn)
        return err_set(e, ST_INTERNAL, "record %llu is not applied",
                       (unsigned long long)w->last_lsn);
    return ST_OK;
}

static enum status run(struct compact_work *w, struct err *e)
{
    enum status st;

    TRY(sync(w, e));
    compact_list_dbs(w); /* one that is created from now on has nothing in the segment */
    KILL_POINT("compact.victim");
    TRY(move_all(w, e));
    KILL_POINT("compact.moved");
    TRY(verify(w, e));
    TRY(pass_last(w, e));
    KILL_POINT("compact.verified");
    if (!maint_barrier_at(w->s, atomic_load(&w->s->applied_lsn)))
        return err_set(e, ST_UNAVAILABLE, "the store closes");
    KILL_POINT("compact.barrier");
    if (!store_may_delete(w->s))
        return err_set(e, ST_UNAVAILABLE, "a backup needs the files");
    st = compact_take_away(w, e);
    store_deleted(w->s);
    return st;
}

static bool is_oldest(struct store *s, uint64_t seg)
{
    struct log_seg_info *v;
    bool oldest = log_segments(s->log, &v) != 0 && v[0].seg == seg && !s->undeleted;

    mem_free(v);
    return oldest;
}

struct compact_work *compact_work_new(struct store *s, uint64_t seg,
                                      const struct compact_pace *pace)
{
    struct compact_work *w = mem_zalloc(sizeof(*w));

    w->s = s;
    w->pace = pace;
    w->seg = seg;
    w->a = arena_new();
    w->dbs = map_new();
    w->states = map_new();
    buf_init(&w->bodies, (size_t)2 * LIMIT_RECORD_BYTES);
    return w;
}

void compact_work_free(struct compact_work *w)
{
    map_each(w->dbs, release_one, NULL);
    map_free(w->dbs);
    map_free(w->states);
    buf_free(&w->bodies);
    arena_free(w->a);
    mem_free(w);
}

enum status compact_one(struct store *s, uint64_t seg, const struct compact_pace *pace,
                        struct err *e)
{
    struct compact_work *w = compact_work_new(s, seg, pace);
    enum status st;

    w->oldest = is_oldest(s, seg);
    atomic_store(&s->victim, seg);
    st = run(w, e);
    atomic_store(&s->victim, 0);
    compact_work_free(w);
    return st;
}

bool compact_no_pace(void *arg, uint64_t bytes)
{
    (void)arg;
    (void)bytes;
    return true;
}

enum status compact_segment(struct store *s, uint64_t seg, struct err *e)
{
    const struct compact_pace pace = {.moved = compact_no_pace, .wait = compact_no_pace};

    return compact_one(s, seg, &pace, e);
}
