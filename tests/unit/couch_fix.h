/* tests/unit/couch_fix.h: a store to test with, and short ways to write to it and look into it.
 * Included by one file of each test program, after unit.h.
 */
#ifndef COUCH_FIX_H
#define COUCH_FIX_H
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/fs.h"
#include "base/time.h"
#include "couch/db.h"
#include "couch/doc_priv.h"
#include "couch/keys.h"
#include "couch/local.h"
#include "couch/stores.h"
#include "wal/seg_mem.h"

struct fix {
    char dir[64];
    struct seg_store *segs; /* NULL: files */
    uint32_t segment_bytes; /* 0: all stores as a server opens them; else store 0, uncompacted */
    struct stores *all;
    struct store *s; /* store 0 of all */
    struct arena *a;
    struct err e;
};

#define assert_st(x, st, want)                                                                     \
    do {                                                                                           \
        enum status st__ = (st);                                                                   \
        if (st__ != (want))                                                                        \
            print_error("status %d: %s\n", (int)st__, (x)->e.reason);                              \
        assert_int_equal(st__, (want));                                                            \
    } while (0)
#define assert_ok(x, st) assert_st(x, st, ST_OK)

static inline enum status fix_try_open(struct fix *x)
{
    struct store_options o = {.dir = x->dir, .segs = x->segs};

    if (x->segment_bytes == 0) {
        TRY(stores_open(&o, &x->all, &x->e));
        x->s = stores_main(x->all);
        return ST_OK;
    }
    o.segment_bytes = x->segment_bytes;
    o.no_compaction = true;
    return store_open(&o, &x->s, &x->e);
}

static inline void fix_open(struct fix *x)
{
    assert_ok(x, fix_try_open(x));
}

/* Also what a test opened itself with store_open. */
static inline void fix_close(struct fix *x)
{
    if (x->all != NULL)
        stores_close(x->all);
    else
        store_close(x->s);
    x->all = NULL;
    x->s = NULL;
}

/* No store is open yet. */
static inline struct fix *fix_folder(bool in_memory, uint32_t segment_bytes)
{
    struct fix *x = mem_zalloc(sizeof(*x));

    snprintf(x->dir, sizeof(x->dir), "/tmp/divan-test-XXXXXX");
    assert_non_null(mkdtemp(x->dir));
    x->a = arena_new();
    if (in_memory)
        x->segs = seg_mem_new(7);
    x->segment_bytes = segment_bytes;
    return x;
}

static inline struct fix *fix_new(bool in_memory, uint32_t segment_bytes)
{
    struct fix *x = fix_folder(in_memory, segment_bytes);

    fix_open(x);
    return x;
}

static inline int fix_files(void **state)
{
    *state = fix_new(false, 0);
    return 0;
}

static inline int fix_memory(void **state)
{
    *state = fix_new(true, 0);
    return 0;
}

static inline int fix_end(void **state)
{
    struct fix *x = *state;

    fix_close(x);
    if (x->segs != NULL)
        x->segs->ops->close(x->segs);
    arena_free(x->a);
    assert_int_equal(fs_remove_tree(x->dir, &x->e), ST_OK);
    mem_free(x);
    return 0;
}

/* While no store is open: the next open makes the index again from the log. */
static inline void fix_remove_index(struct fix *x)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/0/idx", x->dir);
    assert_ok(x, fs_remove_tree(path, &x->e));
}

/* Revision gen-(hash made of n): the same arguments, the same revision. */
static inline struct rev rev_n(struct fix *x, uint32_t gen, uint64_t n)
{
    char *id = arena_zalloc(x->a, 16);

    put_be64(id, 0x1111111111111111u);
    put_be64(id + 8, n);
    return (struct rev){gen, true, slice_of(id, 16)};
}

/* An edit; parent.gen 0: none. */
static inline struct commit_op op_edit(struct fix *x, struct db *db, const char *id,
                                       struct rev parent, struct rev r)
{
    struct rev *path = arena_array(x->a, 2, sizeof(*path));
    struct slice text = rev_text(x->a, &r);

    path[0] = r;
    path[1] = parent;
    return (struct commit_op){
        .kind = COMMIT_DOC,
        .db = db,
        .docid = arena_dup(x->a, slice_str(id)),
        .new_edits = true,
        .path = path,
        .npath = parent.gen != 0 ? 2 : 1,
        .body = {.json = arena_printf(x->a, "{\"rev\":\"%.*s\"}", (int)text.n, text.p)}};
}

/* A replicated revision with its whole path: revs are newest first. */
static inline struct commit_op op_path(struct fix *x, struct db *db, const char *id,
                                       const struct rev *revs, uint32_t n)
{
    struct commit_op op = op_edit(x, db, id, (struct rev){0}, revs[0]);
    struct rev *path = arena_array(x->a, n, sizeof(*path));

    memcpy(path, revs, n * sizeof(*path));
    op.new_edits = false;
    op.path = path;
    op.npath = n;
    return op;
}

static inline enum status run1(struct fix *x, struct commit_op *op)
{
    enum status st = commit_wait(x->s, op, 1, &x->e);

    if (st != ST_OK)
        return st;
    if (op->st != ST_OK)
        x->e = op->err;
    return op->st;
}

static inline struct db *make_db(struct fix *x, const char *name)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = slice_str(name)};

    assert_ok(x, run1(x, &op));
    assert_non_null(op.created);
    return op.created;
}

static inline struct db *open_db(struct fix *x, const char *name)
{
    struct db *db = NULL;

    assert_ok(x, db_open(x->s, slice_str(name), &db, &x->e));
    return db;
}

static inline enum status drop_db(struct fix *x, struct db *db)
{
    struct commit_op op = {.kind = COMMIT_DB_DROP, .db = db};

    return run1(x, &op);
}

/* Creates (parent.gen 0), updates or deletes. */
static inline enum status put(struct fix *x, struct db *db, const char *id, struct rev parent,
                              struct rev r)
{
    struct commit_op op = op_edit(x, db, id, parent, r);

    return run1(x, &op);
}

static inline enum status del(struct fix *x, struct db *db, const char *id, struct rev parent,
                              struct rev r)
{
    struct commit_op op = op_edit(x, db, id, parent, r);

    op.deleted = true;
    return run1(x, &op);
}

/* ---- looking ---- */

static inline void assert_counts(struct db *db, uint64_t docs, uint64_t deleted, uint64_t seq)
{
    struct db_counts c;

    db_get_counts(db, &c);
    assert_int_equal(c.docs, docs);
    assert_int_equal(c.deleted, deleted);
    assert_int_equal(c.update_seq, seq);
    assert_int_equal(db_update_seq(db), seq);
}

static inline enum status read_info(struct fix *x, struct db *db, const char *id, struct docinfo *d)
{
    struct slice v;
    struct slice key = key_db(x->a, db_num(db), KEY_INFO, slice_str(id));
    enum status st = kv_get(store_kv(x->s), NULL, key, x->a, &v, &x->e);

    return st == ST_OK ? docinfo_decode(x->a, v, d, &x->e) : st;
}

/* What a worker that prepares an edit now would have read. */
static inline struct commit_seen look_up(struct fix *x, struct db *db, const char *id)
{
    struct commit_seen seen = {.read = true, .lsn = store_applied(x->s)};
    struct docinfo d;

    assert_ok(x, doc_lookup_row(db, slice_str(id), x->a, &seen.row, &d, &x->e));
    return seen;
}

static inline enum status put_seen(struct fix *x, struct db *db, const char *id,
                                   struct commit_seen seen, struct rev parent, struct rev r)
{
    struct commit_op op = op_edit(x, db, id, parent, r);

    op.seen = seen;
    return run1(x, &op);
}

/* JSON of node i. */
static inline struct slice read_json(struct fix *x, const struct docinfo *d, int i)
{
    const struct seg_ptr *p = &d->tree.nodes[i].ptr;
    char *bytes = arena_alloc(x->a, p->len + 1);
    struct doc_body b;

    assert_true(d->tree.nodes[i].has_body);
    assert_ok(x, log_read(store_log(x->s), p, bytes, &x->e));
    assert_ok(x, doc_body_decode(x->a, slice_of(bytes, p->len), p, &b, &x->e));
    return b.json;
}

static inline size_t count_rows(struct fix *x, struct db *db, enum key_db_class c)
{
    struct kv_iter *it = kv_iter_new(store_kv(x->s), NULL);
    struct slice rest;
    size_t n = 0;

    kv_iter_seek(it, key_db(x->a, db_num(db), c, SLICE_LIT("")));
    for (; kv_iter_valid(it) && key_db_rest(kv_iter_key(it), db_num(db), c, &rest);
         kv_iter_next(it))
        n++;
    assert_ok(x, kv_iter_error(it, &x->e));
    kv_iter_free(it);
    return n;
}

static inline size_t count_marks(struct fix *x)
{
    struct kv_iter *it = kv_iter_new(store_kv(x->s), NULL);
    size_t n = 0;

    for (kv_iter_seek(it, slice_of("\x03", 1)); kv_iter_valid(it) && kv_iter_key(it).p[0] == 3;
         kv_iter_next(it))
        n++;
    kv_iter_free(it);
    return n;
}

static inline void wait_for_drops(struct fix *x)
{
    for (unsigned i = 0; i < 30000 && count_marks(x) != 0; i++)
        time_sleep_us(1000);
    assert_int_equal(count_marks(x), 0);
}

/* Every row but the barrier's and the accounts', as "hexless" length-prefixed bytes: two stores
 * with the same rows have the same dump. */
static inline struct slice dump_rows(struct fix *x)
{
    struct kv_iter *it = kv_iter_new(store_kv(x->s), NULL);
    struct buf b;
    struct slice out;

    buf_init(&b, (size_t)1 << 30);
    for (kv_iter_seek(it, SLICE_LIT("")); kv_iter_valid(it); kv_iter_next(it)) {
        if (slice_eq(kv_iter_key(it), slice_of("\0K", 2)))
            continue;
        if (kv_iter_key(it).p[0] == 2) /* accounts follow with the next group after a drop */
            continue;
        buf_varint(&b, kv_iter_key(it).n);
        buf_add(&b, kv_iter_key(it));
        buf_varint(&b, kv_iter_value(it).n);
        buf_add(&b, kv_iter_value(it));
    }
    kv_iter_free(it);
    assert_true(buf_ok(&b));
    out = arena_dup(x->a, buf_slice(&b));
    buf_free(&b);
    return out;
}

/* Rows 02 as they are. */
static inline struct slice dump_accounts(struct fix *x)
{
    struct kv_iter *it = kv_iter_new(store_kv(x->s), NULL);
    struct buf b;
    struct slice out;

    buf_init(&b, 1 << 20);
    for (kv_iter_seek(it, slice_of("\x02", 1)); kv_iter_valid(it) && kv_iter_key(it).p[0] == 2;
         kv_iter_next(it)) {
        buf_add(&b, kv_iter_key(it));
        buf_add(&b, kv_iter_value(it));
    }
    kv_iter_free(it);
    out = arena_dup(x->a, buf_slice(&b));
    buf_free(&b);
    return out;
}

static inline void show_finding(void *arg, const char *text)
{
    (void)arg;
    print_message("finding: %s\n", text);
}

static inline void swallow_finding(void *arg, const char *text)
{
    (void)text;
    if (arg != NULL)
        ++*(unsigned *)arg;
}

/* Closes, checks, opens again. */
static inline void assert_check_clean(struct fix *x)
{
    uint64_t bad = 1;

    fix_close(x);
    assert_ok(x, store_check(x->dir, show_finding, NULL, &bad, &x->e));
    assert_int_equal(bad, 0);
    fix_open(x);
}

/* The same rows when the index is made again from what is left of the log; `divan check` has
 * nothing to say. */
static inline void assert_rebuilds(struct fix *x)
{
    struct slice before, accounts, after;

    wait_for_drops(x);
    if (x->segs == NULL)
        assert_check_clean(x);
    fix_close(x);
    fix_open(x);
    before = dump_rows(x);
    accounts = dump_accounts(x);
    fix_close(x);
    fix_remove_index(x);
    fix_open(x);
    wait_for_drops(x);
    after = dump_rows(x);
    if (!slice_eq(before, after))
        print_error("%zu bytes of rows before, %zu after\n", before.n, after.n);
    assert_true(slice_eq(before, after));
    fix_close(x); /* writes what the drop changed */
    fix_open(x);
    assert_true(slice_eq(accounts, dump_accounts(x)));
}
#endif
