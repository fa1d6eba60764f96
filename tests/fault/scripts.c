/* tests/fault/scripts.c: what the storage engine is made to do while its file calls are traced or
 * made to fail. Each script begins with an open store and is closed in order unless it dies; a plan
 * (plans.c) runs its phases one after the other, each in its own process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/mutex.h"
#include "couch/doc_read.h"
#include "couch/store_priv.h"
#include "driver.h"

static char *numbered(struct drive *d, const char *what, unsigned n)
{
    return arena_cstr(d->a, arena_printf(d->a, "%s-%u-%u", what, d->phase, n));
}

static void single_put(struct drive *d)
{
    drive_put(d, drive_db(d, "db"), "one", 100);
}

static void twice_in_group(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op ops[3];

    if (db == NULL)
        return;
    ops[0] = drive_op(d, db, "twice", drive_json(d, 300));
    ops[1] = drive_after(d, &ops[0], drive_json(d, 200));
    ops[2] = drive_after(d, &ops[1], drive_json(d, 100));
    drive_run(d, ops, 3);
    drive_put(d, db, "twice", 50);
}

static void bulk(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op ops[50];

    for (unsigned i = 0; i < 50; i++)
        ops[i] = drive_op(d, db, numbered(d, "bulk", i), drive_json(d, 40 + 13 * i));
    drive_run(d, ops, 50);
}

static void chain(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    for (size_t i = 0; i < 10; i++)
        drive_put(d, db, "chain", 50 + 90 * i);
}

static void conflicts(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    for (unsigned i = 0; i < 5 && db != NULL; i++) {
        struct commit_op op = drive_graft(d, db, "branchy", 2 + i % 3, 10 + d->requests);

        op.deleted = i == 3;
        drive_run(d, &op, 1);
    }
    drive_put(d, db, "branchy", 100);
    drive_delete(d, db, "branchy");
}

static void deletes(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    drive_put(d, db, "gone", 100);
    drive_put(d, db, "stays", 100);
    drive_delete(d, db, "gone");
    drive_put(d, db, "gone", 200);
    drive_delete(d, db, "gone");
    drive_delete(d, db, "stays");
}

static void attachments(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op op = drive_op(d, db, "att", drive_json(d, 60));
    struct docinfo info;
    struct doc_body body;
    int node;

    if (db == NULL)
        return;
    drive_attach(d, &op, "small", 100);
    drive_attach(d, &op, "middle", 5000);
    drive_attach(d, &op, "large", 20000);
    drive_run(d, &op, 1);
    /* carried over by the next revision, which lies in another record */
    if (doc_find(db, SLICE_LIT("att"), SLICE_LIT(""), d->a, &info, &node, &d->e) != ST_OK ||
        doc_load_body(db, &info.tree.nodes[node].ptr, d->a, &body, &d->e) != ST_OK)
        return;
    op = drive_op(d, db, "att", drive_json(d, 70));
    op.body.atts = body.atts;
    op.body.natts = body.natts;
    drive_attach(d, &op, "late", 3000);
    drive_run(d, &op, 1);
}

static void locals(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op op;

    for (uint64_t i = 1; i < 5 && db != NULL; i++) {
        op = drive_local(d, db, "checkpoint", i, drive_json(d, i == 3 ? 6000 : 80));
        drive_run(d, &op, 1);
    }
    op = drive_local(d, db, "other", 1, drive_json(d, 5000));
    drive_run(d, &op, 1);
    op = drive_local(d, db, "checkpoint", 5, SLICE_LIT("{}"));
    op.deleted = true;
    drive_run(d, &op, 1);
}

static void lifecycle(struct drive *d)
{
    for (unsigned i = 0; i < 3; i++) {
        struct db *db = drive_db(d, "phoenix");
        struct commit_op op = drive_local(d, db, "l", i + 1, drive_json(d, 30));

        drive_put(d, db, "same", 100 + i);
        drive_put(d, db, numbered(d, "own", i), 100);
        drive_run(d, &op, 1);
        if (i < 2)
            drive_drop(d, "phoenix");
    }
}

static void props(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    if (db == NULL)
        return;
    drive_props(d, db, 5, FAULT_SECURITY);
    drive_put(d, db, "x", 100);
    drive_props(d, db, 3, "{\"admins\":{\"names\":[\"a\"]}}");
    for (size_t i = 0; i < 6; i++) /* stemmed */
        drive_put(d, db, "x", 100 + i);
    drive_props(d, db, 1000, "{}");
}

static void roll(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    for (unsigned i = 0; i < 24; i++)
        drive_put(d, db, numbered(d, "roll", i % 9), 1500);
}

static void barrier(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    for (unsigned i = 0; i < 9; i++) {
        drive_put(d, db, numbered(d, "doc", i), 400);
        if (i % 3 == 2 && maint_barrier(d->s, &d->e) != ST_OK)
            fprintf(stderr, "barrier: %s\n", d->e.reason);
    }
}

/* Rows go into LevelDB's next log while the table of the last one is written. */
static void barriers(void *arg)
{
    struct drive *d = arg;
    struct err e;

    for (unsigned i = 0; i < 8; i++)
        if (maint_barrier(d->s, &e) != ST_OK)
            (void)fprintf(stderr, "barrier: %s\n", e.reason);
}

static void barrier_beside(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct thread t;

    drive_put(d, db, "first", 100);
    thread_start(&t, "barriers", barriers, d);
    for (unsigned i = 0; i < 30; i++)
        drive_put(d, db, numbered(d, "beside", i), 80);
    thread_join(&t);
}

static void restarts(struct drive *d)
{
    for (unsigned i = 0; i < 3; i++) {
        struct db *db = drive_db(d, "db");

        drive_put(d, db, numbered(d, "life", i), 200);
        drive_put(d, db, "always", 200);
        drive_close(d);
        drive_open(d);
    }
}

static void many_databases(struct drive *d)
{
    for (unsigned i = 0; i < 8; i++)
        drive_put(d, drive_db(d, arena_cstr(d->a, arena_printf(d->a, "db%u", i))), "doc", 60);
    drive_drop(d, "db3");
    drive_drop(d, "db5");
}

static void at_once(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op ops[12];

    if (db == NULL)
        return;
    for (unsigned i = 0; i < 12; i++)
        ops[i] = drive_op(d, db, numbered(d, "once", i), drive_json(d, 300));
    ops[7] = drive_after(d, &ops[2], drive_json(d, 100));
    drive_run_apart(d, ops, 12);
}

/* All or nothing: new ones, an update, a deletion, a _local document, one document twice; and a
 * batch that is refused for its last. */
static void together(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op ops[24];

    drive_put(d, db, "known", 300);
    drive_put(d, db, "doomed", 300);
    for (unsigned round = 0; round < 3 && db != NULL; round++) {
        for (unsigned i = 0; i < 20; i++)
            ops[i] = drive_op(d, db, numbered(d, "all", i + 7 * round), drive_json(d, 60 + 97 * i));
        ops[20] = drive_op(d, db, "known", drive_json(d, 70 << 10));
        ops[21] = drive_after(d, &ops[20], drive_json(d, 90));
        ops[22] = drive_local(d, db, "mark", round + 1, drive_json(d, 50));
        ops[23] = drive_op(d, db, "doomed", drive_json(d, 20));
        ops[23].deleted = round == 0;
        if (round == 1)
            ops[23].npath = 1; /* a conflict */
        drive_run_atomic(d, ops, 24);
    }
    drive_put(d, db, "behind", 100);
}

static void large(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    drive_put(d, db, "before", 100);
    drive_put(d, db, "large", 300000);
    drive_put(d, db, "after", 100);
}

static void nothing(struct drive *d)
{
    (void)d;
}

/* A little of everything; what exists already is updated. */
static void mixed(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op op = drive_local(d, db, "l", d->phase + 1, drive_json(d, 90));

    drive_put(d, db, "shared", 150);
    drive_put(d, db, numbered(d, "own", 1), 700);
    drive_run(d, &op, 1);
    drive_put(d, db, "shared", 250);
    op = drive_graft(d, db, "shared", 2, 77 + d->phase);
    if (db != NULL)
        drive_run(d, &op, 1);
    drive_drop(d, "side");
    drive_put(d, drive_db(d, "side"), "s", 30);
    drive_delete(d, db, "shared");
    drive_put(d, db, numbered(d, "own", 2), 1700);
}

static void mixed_barrier(struct drive *d)
{
    mixed(d);
    if (maint_barrier(d->s, &d->e) != ST_OK)
        fprintf(stderr, "barrier: %s\n", d->e.reason);
    drive_put(d, drive_db(d, "db"), "behind", 120);
}

static char *index_of(struct drive *d, const char *suffix)
{
    return arena_cstr(d->a, arena_printf(d->a, "%s/0/idx%s", d->dir, suffix));
}

/* The index is taken away between two lives. */
static void index_lost(struct drive *d)
{
    mixed(d);
    if (d->phase != 0)
        return;
    drive_close(d);
    if (rename(index_of(d, ""), index_of(d, ".away")) != 0)
        return;
    drive_open(d);
    drive_put(d, drive_db(d, "db"), "behind", 120);
}

/* More rows than one chunk of the background deletion. */
static void drop_large(struct drive *d)
{
    struct db *db = drive_db(d, "wide");
    struct commit_op *ops = arena_array(d->a, 600, sizeof *ops);

    if (db == NULL)
        return;
    for (unsigned i = 0; i < 600; i++)
        ops[i] = drive_op(d, db, numbered(d, "row", i), SLICE_LIT("{}"));
    drive_run(d, ops, 600);
    drive_drop(d, "wide");
    drive_put(d, drive_db(d, "wide"), "new", 50);
}

/* ---- compaction ---- */

/* One that does not come through without an injected failure is a finding. */
static void compact_one_of(struct drive *d, uint64_t seg)
{
    if (compact_segment(d->s, seg, &d->e) == ST_OK)
        return;
    fprintf(stderr, "segment %llu: %s\n", (unsigned long long)seg, d->e.reason);
    if (getenv("FAIL") == NULL) /* NOLINT(concurrency-mt-unsafe): nobody sets it */
        exit(9); /* NOLINT(concurrency-mt-unsafe): a finding; the rest is no matter */
}

/* Every `step`th sealed segment from the `first` on; from the newest on when `back`. */
static void compact_some(struct drive *d, size_t first, size_t step, bool back)
{
    struct log_seg_info *v;
    size_t n = log_segments(store_log(d->s), &v);

    for (size_t i = first; i < n && store_trouble(d->s)[0] == '\0'; i += step)
        if (v[back ? n - 1 - i : i].sealed)
            compact_one_of(d, v[back ? n - 1 - i : i].seg);
    mem_free(v);
}

/* What is written next begins a segment, so that what was is sealed. */
static void next_segment(struct drive *d)
{
    log_want_roll(store_log(d->s));
    drive_put(d, drive_db(d, "db"), "tick", 60);
}

/* Each kind of record, so that what is live and what is dead lies side by side. */
static void all_kinds(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op op;

    conflicts(d);
    attachments(d);
    locals(d);
    deletes(d);
    lifecycle(d);
    drive_drop(d, "phoenix");
    props(d);
    if (db == NULL)
        return;
    /* two leaves, of which one has an attachment in another segment than its body */
    op = drive_graft(d, db, "att", 2, 5 + d->requests);
    drive_attach(d, &op, "branch", 700);
    drive_run(d, &op, 1);
    drive_put(d, db, numbered(d, "once", 0), 900);
}

static void compact_kinds(struct drive *d)
{
    all_kinds(d);
    next_segment(d);
    compact_some(d, 0, 1, false);
    drive_put(d, drive_db(d, "db"), "stays", 300);
    next_segment(d);
    compact_some(d, 0, 2, false);
}

/* Newest first: then what an older segment says is contradicted only by what was moved. */
static void compact_back(struct drive *d)
{
    all_kinds(d);
    next_segment(d);
    compact_some(d, 0, 1, true);
    all_kinds(d);
    next_segment(d);
    compact_some(d, 1, 3, false);
    compact_some(d, 0, 2, true);
}

/* The index is made again from what compaction left. */
static void compact_lost(struct drive *d)
{
    compact_back(d);
    drive_close(d);
    if (rename(index_of(d, ""), index_of(d, d->phase == 0 ? ".a" : ".b")) != 0)
        return;
    drive_open(d);
    drive_put(d, drive_db(d, "db"), "behind", 120);
    next_segment(d);
    compact_some(d, 0, 1, false);
}

/* Lives that wrote nothing leave segments with nothing but the log's own record. */
static void compact_restarts(struct drive *d)
{
    for (unsigned i = 0; i < 3; i++) {
        drive_put(d, drive_db(d, "db"), "always", 200);
        drive_close(d);
        drive_open(d);
        drive_close(d);
        drive_open(d);
        if (i != 1)
            compact_some(d, 0, 1, i == 0);
    }
    compact_some(d, 0, 1, false);
}

/* The first thing after a start, when nothing has been written since. */
static void compact_first(struct drive *d)
{
    compact_some(d, 0, 1, d->phase % 2 != 0);
    mixed(d);
    drive_put(d, drive_db(d, "db"), numbered(d, "own", 3), 1700);
}

static void compacting(void *arg)
{
    struct drive *d = arg;
    struct drive own = *d;

    for (unsigned i = 0; i < 3; i++)
        compact_some(&own, i % 2, 1 + i % 2, i == 1);
}

/* Documents change while their segments are emptied. */
static void compact_beside(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct commit_op op;
    struct thread t;

    attachments(d);
    roll(d);
    thread_start(&t, "compacting", compacting, d);
    for (unsigned i = 0; i < 12 && db != NULL; i++) {
        drive_put(d, db, numbered(d, "roll", i % 9), 700);
        op = drive_local(d, db, "checkpoint", i + 1, drive_json(d, i % 3 == 0 ? 5000 : 80));
        drive_run(d, &op, 1);
        if (i % 4 == 3)
            drive_delete(d, db, numbered(d, "roll", i % 9));
        if (i == 6)
            attachments(d);
    }
    drive_drop(d, "side");
    drive_put(d, drive_db(d, "side"), "s", 30);
    thread_join(&t);
}

/* As POST /{db}/_compact does. */
static void compact_asked(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    all_kinds(d);
    for (unsigned i = 0; i < 2 && db != NULL; i++) {
        db_compact_start(db);
        drive_put(d, db, numbered(d, "asked", i), 500);
        while (db_compact_running(db))
            (void)usleep(1000);
        drive_put(d, db, "stays", 300 + i);
    }
}

/* ---- purges ---- */

/* Whole documents, branches, tombstones, what is not there, what comes again; and infos that go. */
static void purges(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    conflicts(d);
    attachments(d);
    deletes(d);
    for (unsigned i = 0; i < 2; i++) {
        drive_purge(d, db, "branchy", false);
        drive_purge(d, db, "att", i == 1);
        drive_purge(d, db, "gone", true);
        drive_purge(d, db, "never", true);
        drive_purge_limit(d, db, 3);
        drive_put(d, db, "gone", 200);
        drive_put(d, db, "stays", 200);
    }
    drive_purge(d, db, "branchy", true);
    drive_drop(d, "side");
    drive_put(d, drive_db(d, "side"), "s", 30);
    drive_purge(d, drive_db(d, "side"), "s", true);
}

/* What was purged lies in older segments than the purges, or in newer ones than what was moved. */
static void purge_compact(struct drive *d)
{
    struct db *db = drive_db(d, "db");

    purges(d);
    next_segment(d);
    compact_some(d, 1, 2, true);
    drive_purge(d, db, "stays", true);
    drive_put(d, db, "gone", 300);
    next_segment(d);
    drive_purge(d, db, "gone", true);
    compact_some(d, 0, 2, false);
    next_segment(d);
    compact_some(d, 0, 1, d->phase == 0);
}

static void purge_lost(struct drive *d)
{
    purge_compact(d);
    drive_close(d);
    if (rename(index_of(d, ""), index_of(d, d->phase == 0 ? ".a" : ".b")) != 0)
        return;
    drive_open(d);
    drive_purge(d, drive_db(d, "db"), "branchy", true);
    next_segment(d);
    compact_some(d, 0, 1, false);
}

static const struct {
    const char *name;
    void (*run)(struct drive *d);
    uint32_t segment_bytes; /* 0: 1 MiB */
} SCRIPTS[] = {
    {"single_put", single_put, 0},
    {"twice_in_group", twice_in_group, 0},
    {"bulk", bulk, 0},
    {"chain", chain, 0},
    {"conflicts", conflicts, 0},
    {"deletes", deletes, 0},
    {"attachments", attachments, 0},
    {"locals", locals, 0},
    {"lifecycle", lifecycle, 0},
    {"own_store", script_own_store, 0},
    {"own_again", script_own_again, 0},
    {"props", props, 0},
    {"roll", roll, 8 << 10},
    {"barrier", barrier, 0},
    {"barrier_beside", barrier_beside, 0},
    {"restarts", restarts, 0},
    {"many_databases", many_databases, 0},
    {"at_once", at_once, 0},
    {"large", large, 0},
    {"together", together, 0},
    {"together_roll", together, 32 << 10},
    {"nothing", nothing, 0},
    {"mixed", mixed, 0},
    {"mixed_roll", mixed, 4 << 10},
    {"mixed_barrier", mixed_barrier, 0},
    {"index_lost", index_lost, 0},
    {"drop_large", drop_large, 0},
    {"compact_kinds", compact_kinds, 4 << 10},
    {"compact_back", compact_back, 4 << 10},
    {"compact_lost", compact_lost, 4 << 10},
    {"compact_restarts", compact_restarts, 4 << 10},
    {"compact_first", compact_first, 4 << 10},
    {"compact_beside", compact_beside, 4 << 10},
    {"compact_asked", compact_asked, 4 << 10},
    {"purges", purges, 0},
    {"purge_compact", purge_compact, 4 << 10},
    {"purge_lost", purge_lost, 4 << 10},
    BLOB_SCRIPTS,
};

void script_run(struct drive *d, const char *name)
{
    for (size_t i = 0; i < sizeof SCRIPTS / sizeof *SCRIPTS; i++) {
        if (strcmp(SCRIPTS[i].name, name) != 0)
            continue;
        if (SCRIPTS[i].segment_bytes != 0)
            d->segment_bytes = SCRIPTS[i].segment_bytes;
        drive_open(d);
        SCRIPTS[i].run(d);
        if (d->s != NULL && store_trouble(d->s)[0] == '\0')
            drive_dump(d);
        return;
    }
    fprintf(stderr, "no script %s\n", name);
    exit(2); /* NOLINT(concurrency-mt-unsafe): the only thread */
}
