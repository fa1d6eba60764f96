/* tests/fault/driver.c: runs one script against a store, under trace.so and maybe fail.so.
 *
 *   fault_driver SCRIPT PHASE DIR
 *
 * Exit: 0 the script ran to its end (requests may have been refused), 3 the store did not open,
 * 74 the store stopped the process. Threads: main; answers are marked by the committer.
 */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mutex.h"
#include "couch/keys.h"
#include "dump.h"
#include "trace.h"

enum { MARK_BYTES = 64 << 20, HANG_S = 60 };

static void mark(const struct buf *b)
{
    ASSERT(buf_ok(b));
    if (write(FAULT_MARK_FD, b->p, b->n) < 0)
        return; /* run by hand: nobody traces */
}

/* ---- what a request would change ---- */

static void mark_line_db(struct buf *b, const char *sign, struct slice name)
{
    buf_str(b, sign);
    buf_add(b, name);
}

static void mark_doc(struct buf *b, const struct commit_op *op)
{
    for (uint32_t i = 1; i < op->npath; i++) {
        buf_char(b, '-');
        dump_leaf_key(b, db_name(op->db), op->docid, &op->path[i]);
        buf_char(b, '\n');
    }
    buf_char(b, '+');
    dump_leaf_key(b, db_name(op->db), op->docid, &op->path[0]);
    buf_char(b, '\t');
    dump_leaf_value(b, op->deleted, &op->body);
    buf_char(b, '\n');
}

static void mark_local(struct buf *b, const struct commit_op *op)
{
    buf_printf(b, "%cl/%.*s/%.*s", op->deleted ? '-' : '+', (int)db_name(op->db).n,
               db_name(op->db).p, (int)op->docid.n, op->docid.p);
    if (!op->deleted) {
        buf_char(b, '\t');
        dump_local_value(b, strtoull(op->local_rev.id.p, NULL, 10), op->body.json);
    }
    buf_char(b, '\n');
}

/* One at a time: its number is the next one. */
static void mark_purge(struct buf *b, const struct commit_op *op)
{
    uint32_t keep = db_purged_infos_limit(op->db);
    struct slice name = db_name(op->db);
    struct db_counts c;

    db_get_counts(op->db, &c);
    for (uint32_t i = 0; i < op->npath; i++) {
        buf_char(b, '-');
        dump_leaf_key(b, name, op->docid, &op->path[i]);
        buf_char(b, '\n');
    }
    for (uint64_t n = c.purge_first; n + keep <= c.purge_seq + 1; n++) {
        buf_char(b, '-');
        dump_purge_key(b, name, n);
        buf_char(b, '\n');
    }
    buf_char(b, '+');
    dump_purge_key(b, name, c.purge_seq + 1);
    buf_char(b, '\t');
    dump_purge_value(b, op->docid, op->path, op->npath);
    buf_char(b, '\n');
}

static void mark_drop(struct buf *b, struct slice name)
{
    mark_line_db(b, "-b/", name);
    mark_line_db(b, "\n*d/", name);
    mark_line_db(b, "/\n*l/", name);
    mark_line_db(b, "/\n*p/", name);
    buf_str(b, "/\n");
}

static void mark_request(unsigned n, const struct commit_op *op)
{
    struct buf b;

    buf_init(&b, MARK_BYTES);
    buf_printf(&b, "Q%u\n", n);
    if (op->kind == COMMIT_DOC) {
        mark_doc(&b, op);
    } else if (op->kind == COMMIT_LOCAL) {
        mark_local(&b, op);
    } else if (op->kind == COMMIT_PURGE) {
        mark_purge(&b, op);
    } else if (op->kind == COMMIT_DB_DROP) {
        mark_drop(&b, db_name(op->db));
    } else if (op->kind == COMMIT_DB_CREATE || op->kind == COMMIT_DB_PROPS) {
        mark_line_db(&b, "+b/", op->db != NULL ? db_name(op->db) : op->docid);
        buf_char(&b, '\t');
        dump_db_value(&b, op->db != NULL ? op->revs_limit : LIMIT_REVS_DEFAULT, op->security);
        buf_char(&b, '\n');
    } /* what the store submits to itself changes no lines */
    mark(&b);
    buf_free(&b);
}

static void mark_atomic(unsigned n, const struct commit_op *ops, size_t nops)
{
    struct buf b;

    buf_init(&b, MARK_BYTES);
    buf_printf(&b, "Q%u\n", n);
    for (size_t i = 0; i < nops; i++)
        if (ops[i].kind == COMMIT_DOC)
            mark_doc(&b, &ops[i]);
        else
            mark_local(&b, &ops[i]);
    mark(&b);
    buf_free(&b);
}

static void mark_answer(unsigned n, const struct commit_op *op)
{
    struct buf b;

    buf_init(&b, MARK_BYTES);
    buf_printf(&b, "%c%u", op->st == ST_OK ? 'A' : 'R', n);
    mark(&b);
    buf_free(&b);
    if (op->st != ST_OK)
        fprintf(stderr, "request %u: status %d: %s\n", n, (int)op->st, op->err.reason);
}

/* ---- running ---- */

static struct store *store_of(const struct drive *d, const struct commit_op *op)
{
    return op->db != NULL ? db_store(op->db) : d->s;
}

static void forget(struct drive *d, unsigned first, size_t n, const struct err *e)
{
    struct commit_op op = {.st = ST_UNAVAILABLE, .err = *e};

    for (size_t i = 0; i < n; i++)
        mark_answer(first + (unsigned)i, &op);
    (void)d;
}

void drive_run(struct drive *d, struct commit_op *ops, size_t n)
{
    unsigned first = d->requests;

    if (ops[0].db == NULL && ops[0].kind != COMMIT_DB_CREATE)
        return;
    d->requests += (unsigned)n;
    for (size_t i = 0; i < n; i++)
        mark_request(first + (unsigned)i, &ops[i]);
    if (commit_wait(store_of(d, ops), ops, n, &d->e) != ST_OK) {
        forget(d, first, n, &d->e);
        return;
    }
    for (size_t i = 0; i < n; i++)
        mark_answer(first + (unsigned)i, &ops[i]);
}

struct together {
    struct commit_batch b;
    struct mutex mu;
    struct cond cond;
    bool done;
};

static void atomic_done(struct commit_batch *b)
{
    struct together *t = (struct together *)b; /* b is its first member */

    mutex_lock(&t->mu);
    t->done = true;
    cond_signal(&t->cond);
    mutex_unlock(&t->mu);
}

/* The first that was refused for itself speaks for all. */
static const struct commit_op *verdict(const struct commit_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i].st != ST_OK && !ops[i].aborted)
            return &ops[i];
    return &ops[0];
}

void drive_run_atomic(struct drive *d, struct commit_op *ops, size_t n)
{
    struct together t = {.b = {.ops = ops, .n = n, .done = atomic_done, .atomic = true}};
    unsigned request = d->requests++;

    if (ops[0].db == NULL)
        return;
    mark_atomic(request, ops, n);
    mutex_init(&t.mu, RANK_LEAF);
    cond_init(&t.cond);
    if (commit_submit(store_of(d, ops), &t.b, &d->e) == ST_OK) {
        mutex_lock(&t.mu);
        while (!t.done)
            cond_wait(&t.cond, &t.mu);
        mutex_unlock(&t.mu);
        mark_answer(request, verdict(ops, n));
    } else {
        forget(d, request, 1, &d->e);
    }
    cond_fini(&t.cond);
    mutex_fini(&t.mu);
}

struct apart {
    struct commit_batch b;
    unsigned n;
    struct waiting *w;
};

struct waiting {
    struct mutex mu;
    struct cond cond;
    size_t left;
};

static void apart_done(struct commit_batch *b)
{
    struct apart *one = (struct apart *)b; /* b is its first member */
    struct waiting *w = one->w;

    mark_answer(one->n, &b->ops[0]);
    mutex_lock(&w->mu);
    w->left--;
    cond_signal(&w->cond);
    mutex_unlock(&w->mu);
}

void drive_run_apart(struct drive *d, struct commit_op *ops, size_t n)
{
    struct apart *all = arena_array(d->a, n, sizeof *all);
    struct waiting w = {.left = n};

    if (ops[0].db == NULL)
        return;
    mutex_init(&w.mu, RANK_LEAF);
    cond_init(&w.cond);
    for (size_t i = 0; i < n; i++) {
        all[i] = (struct apart){
            .b = {.ops = &ops[i], .n = 1, .done = apart_done}, .n = d->requests++, .w = &w};
        mark_request(all[i].n, &ops[i]);
        if (commit_submit(store_of(d, ops), &all[i].b, &d->e) != ST_OK) {
            forget(d, all[i].n, 1, &d->e);
            mutex_lock(&w.mu);
            w.left--;
            mutex_unlock(&w.mu);
        }
    }
    mutex_lock(&w.mu);
    while (w.left != 0)
        cond_wait(&w.cond, &w.mu);
    mutex_unlock(&w.mu);
    cond_fini(&w.cond);
    mutex_fini(&w.mu);
}

void drive_dump(struct drive *d)
{
    struct buf b;

    buf_init(&b, MARK_BYTES);
    buf_str(&b, "D\n");
    if (dump_stores(d->all, &b, &d->e) == ST_OK)
        mark(&b);
    else
        fprintf(stderr, "dump: %s\n", d->e.reason);
    buf_free(&b);
}

void drive_open(struct drive *d)
{
    struct store_options opt = {.dir = d->dir, .segment_bytes = d->segment_bytes};

    if (stores_open(&opt, &d->all, &d->e) != ST_OK) {
        fprintf(stderr, "refused: %s\n", d->e.reason);
        exit(EXIT_REFUSED); /* NOLINT(concurrency-mt-unsafe): no thread of ours is left */
    }
    d->s = stores_main(d->all);
    drive_dump(d);
}

static void release(void *db)
{
    db_release(db);
}

void drive_forget(struct drive *d)
{
    arena_free(d->a); /* the databases' references go with it */
    d->a = arena_new();
}

void drive_close(struct drive *d)
{
    drive_forget(d);
    stores_close(d->all);
    d->all = NULL;
    d->s = NULL;
}

/* ---- operations ---- */

struct db *drive_db(struct drive *d, const char *name)
{
    struct commit_op op = {
        .kind = COMMIT_DB_CREATE, .docid = slice_str(name), .security = SLICE_LIT(FAULT_SECURITY)};
    struct db *db = NULL;

    if (stores_db(d->all, slice_str(name), &db, &d->e) != ST_OK) {
        drive_run(d, &op, 1);
        db = op.created;
    }
    if (db != NULL)
        arena_defer(d->a, release, db);
    return db;
}

struct db *drive_own_db(struct drive *d, const char *name)
{
    struct commit_op op = {
        .kind = COMMIT_DB_CREATE, .docid = slice_str(name), .security = SLICE_LIT(FAULT_SECURITY)};
    struct db *db = NULL;
    unsigned n;

    if (stores_db(d->all, op.docid, &db, &d->e) != ST_OK) {
        n = d->requests++;
        mark_request(n, &op);
        op.st = stores_create_own(d->all, &op, &op.err);
        db = op.created;
        mark_answer(n, &op);
    }
    if (db != NULL)
        arena_defer(d->a, release, db);
    return db;
}

void drive_drop(struct drive *d, const char *name)
{
    struct commit_op op = {.kind = COMMIT_DB_DROP};

    if (stores_db(d->all, slice_str(name), &op.db, &d->e) != ST_OK)
        return;
    drive_run(d, &op, 1);
    db_release(op.db);
}

void drive_props(struct drive *d, struct db *db, uint32_t revs_limit, const char *security)
{
    struct commit_op op = {.kind = COMMIT_DB_PROPS,
                           .db = db,
                           .revs_limit = revs_limit,
                           .security = slice_str(security)};

    drive_run(d, &op, 1);
}

struct slice drive_json(struct drive *d, size_t n)
{
    char *p = arena_alloc(d->a, n + 32);
    int head = snprintf(p, 32, "{\"n\":%u,\"v\":\"", d->requests);
    size_t at = (size_t)head;

    while (at < n) {
        p[at] = (char)('a' + (at * 7 + d->requests) % 26);
        at++;
    }
    memcpy(p + at, "\"}", 2);
    return slice_of(p, at + 2);
}

static struct rev new_rev(struct drive *d, uint32_t gen)
{
    char *id = arena_alloc(d->a, 16);

    random_bytes(id, 16);
    return (struct rev){gen, true, slice_of(id, 16)};
}

struct commit_op drive_op(struct drive *d, struct db *db, const char *id, struct slice json)
{
    struct rev *path = arena_zalloc(d->a, 2 * sizeof *path);
    struct commit_op op = {.kind = COMMIT_DOC, .db = db, .new_edits = true, .npath = 1};
    struct docinfo info;
    struct slice row;

    op.docid = arena_dup(d->a, slice_str(id));
    op.path = path;
    op.body.json = json;
    if (db != NULL &&
        kv_get(store_kv(d->s), NULL, key_db(d->a, db_num(db), KEY_INFO, op.docid), d->a, &row,
               &d->e) == ST_OK &&
        docinfo_decode(d->a, row, &info, &d->e) == ST_OK) {
        path[1] = info.tree.nodes[revtree_winner(&info.tree)].rev;
        op.npath = 2;
    }
    path[0] = new_rev(d, path[1].gen + 1);
    return op;
}

struct commit_op drive_after(struct drive *d, const struct commit_op *before, struct slice json)
{
    struct rev *path = arena_zalloc(d->a, 2 * sizeof *path);
    struct commit_op op = *before;

    path[1] = before->path[0];
    path[0] = new_rev(d, path[1].gen + 1);
    op.path = path;
    op.npath = 2;
    op.body = (struct doc_body){.json = json};
    return op;
}

struct commit_op drive_graft(struct drive *d, struct db *db, const char *id, uint32_t gen,
                             uint64_t branch)
{
    struct commit_op op = drive_op(d, db, id, drive_json(d, 100));
    struct rev *path = arena_array(d->a, gen, sizeof *path);

    for (uint32_t i = 0; i < gen; i++) {
        char *hash = arena_zalloc(d->a, 16);

        put_be64(hash, i == gen - 1 ? 0 : branch); /* they share the first revision */
        path[i] = (struct rev){gen - i, true, slice_of(hash, 16)};
    }
    op.new_edits = false;
    op.path = path;
    op.npath = gen;
    return op;
}

struct commit_op drive_local(struct drive *d, struct db *db, const char *id, uint64_t n,
                             struct slice json)
{
    return (struct commit_op){
        .kind = COMMIT_LOCAL,
        .db = db,
        .docid = arena_dup(d->a, slice_str(id)),
        .local_rev = {.id = arena_printf(d->a, "%llu", (unsigned long long)n)},
        .body = {.json = json}};
}

void drive_attach(struct drive *d, struct commit_op *op, const char *name, size_t n)
{
    struct att *atts = arena_zalloc(d->a, (op->body.natts + 1) * sizeof *atts);
    struct att *att = &atts[op->body.natts];
    char *data = arena_alloc(d->a, n);

    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * i + op->body.natts);
    if (op->body.natts != 0)
        memcpy(atts, op->body.atts, op->body.natts * sizeof *atts);
    *att = (struct att){.name = slice_str(name),
                        .type = SLICE_LIT("application/octet-stream"),
                        .revpos = op->path[0].gen,
                        .len = n,
                        .stored_len = n,
                        .data = slice_of(data, n)};
    md5(data, n, att->md5);
    op->body.atts = atts;
    op->body.natts++;
}

void drive_put(struct drive *d, struct db *db, const char *id, size_t bytes)
{
    struct commit_op op = drive_op(d, db, id, drive_json(d, bytes));

    drive_run(d, &op, 1);
}

void drive_delete(struct drive *d, struct db *db, const char *id)
{
    struct commit_op op = drive_op(d, db, id, SLICE_LIT("{}"));

    op.deleted = true;
    drive_run(d, &op, 1);
}

void drive_purge(struct drive *d, struct db *db, const char *id, bool all)
{
    struct commit_op op = {.kind = COMMIT_PURGE, .db = db, .docid = arena_dup(d->a, slice_str(id))};
    struct docinfo info = {0};
    struct rev *revs;
    uint32_t *leaves;
    struct slice row;

    if (db == NULL)
        return;
    if (kv_get(store_kv(d->s), NULL, key_db(d->a, db_num(db), KEY_INFO, op.docid), d->a, &row,
               &d->e) == ST_OK &&
        docinfo_decode(d->a, row, &info, &d->e) == ST_OK)
        op.npath = revtree_leaves(&info.tree, d->a, &leaves);
    if (op.npath > 1 && !all)
        op.npath = 1;
    revs = arena_array(d->a, op.npath + 1, sizeof *revs);
    for (uint32_t i = 0; i < op.npath; i++)
        revs[i] = info.tree.nodes[leaves[i]].rev;
    if (op.npath == 0)
        revs[op.npath++] = new_rev(d, 1);
    op.path = revs;
    op.purged = arena_zalloc(d->a, op.npath);
    drive_run(d, &op, 1);
}

void drive_purge_limit(struct drive *d, struct db *db, uint32_t n)
{
    struct commit_op op = {.kind = COMMIT_DB_PROPS,
                           .db = db,
                           .purged_infos_limit = n,
                           .revs_limit = 1000,
                           .security = SLICE_LIT(FAULT_SECURITY)};

    if (db != NULL) {
        op.docid = db_name(db);
        drive_run(d, &op, 1);
    }
}

int main(int argc, char **argv)
{
    struct drive d = {.segment_bytes = 1u << 20};

    if (argc != 4) {
        fprintf(stderr, "usage: fault_driver SCRIPT PHASE DIR\n");
        return 2;
    }
    log_set_level(LOG_INFO_);
    alarm(HANG_S);
    d.phase = (unsigned)strtoul(argv[2], NULL, 10);
    d.requests = d.phase * 100000;
    d.dir = argv[3];
    d.a = arena_new();
    script_run(&d, argv[1]);
    if (d.s != NULL)
        drive_close(&d);
    arena_free(d.a);
    return 0;
}
