/* tests/fault/blob_scripts.c: scripts about large attachments: written, committed, shared by a
 * second revision and by another document, let go, collected, dropped with their database, left
 * behind without a document. Part of scripts.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "couch/att_io.h"
#include "couch/doc_read.h"
#include "couch/store_priv.h"
#include "driver.h"

enum { MIDDLE = 70000, LARGE = 270000 }; /* one chunk and two */

static struct att_writer *write_blob(struct drive *d, struct db *db, struct att *att, size_t n)
{
    struct slice bytes = drive_json(d, n);
    struct att_writer *w;

    if (att_writer_open(db, UINT64_MAX, &w, &d->e) != ST_OK)
        return NULL;
    if (att_writer_add(w, bytes, &d->e) == ST_OK && att_writer_finish(w, d->a, att, &d->e) == ST_OK)
        return w;
    (void)fprintf(stderr, "blob: %s\n", d->e.reason);
    att_writer_free(w);
    return NULL;
}

/* An update of the document with one attachment, in a blob. */
static void put_blob(struct drive *d, struct db *db, const char *id, size_t n)
{
    struct att *att = arena_zalloc(d->a, sizeof(*att));
    struct att_writer *w;
    struct commit_op op;

    if (db == NULL)
        return;
    op = drive_op(d, db, id, drive_json(d, 60));
    att->name = SLICE_LIT("blob");
    att->type = SLICE_LIT("a/b");
    att->revpos = op.path[0].gen;
    w = write_blob(d, db, att, n);
    if (w == NULL)
        return;
    op.body.atts = att;
    op.body.natts = 1;
    drive_run(d, &op, 1);
    att_writer_free(w);
}

/* An update of `to` with the attachments of `from`, as a stub or a copy makes it. */
static void share(struct drive *d, struct db *db, const char *from, const char *to)
{
    struct arena *pins = arena_new();
    struct doc_body body = {0};
    struct docinfo info;
    struct commit_op op;
    enum status st = ST_OK;
    int node;

    if (db == NULL ||
        doc_find(db, slice_str(from), SLICE_LIT(""), d->a, &info, &node, &d->e) != ST_OK ||
        doc_load_body(db, &info.tree.nodes[node].ptr, d->a, &body, &d->e) != ST_OK)
        goto out;
    op = drive_op(d, db, to, drive_json(d, 70));
    op.body.atts = body.atts;
    op.body.natts = body.natts;
    for (uint32_t i = 0; i < body.natts && st == ST_OK; i++)
        st = blobs_pin_arena(d->s->blobs, body.atts[i].ptr.seg, pins, &d->e);
    if (st == ST_OK)
        drive_run(d, &op, 1);
out:
    arena_free(pins);
}

static bool more(void *arg)
{
    (void)arg;
    return true;
}

static void collect(struct drive *d)
{
    struct err e;

    if (store_trouble(d->s)[0] != '\0')
        return;
    if (blobs_sweep(d->s->blobs, more, NULL, &e) != ST_OK || store_collect_blobs(d->s, &e) != ST_OK)
        (void)fprintf(stderr, "collect: %s\n", e.reason);
}

void script_blobs(struct drive *d)
{
    struct db *db = drive_db(d, "db"), *side = drive_db(d, "side");
    struct att unused = {0};

    put_blob(d, db, "a", LARGE);
    share(d, db, "a", "a");
    share(d, db, "a", "copy");
    put_blob(d, side, "s", MIDDLE);
    if (db != NULL)
        att_writer_free(write_blob(d, db, &unused, MIDDLE)); /* no document names it */
    put_blob(d, db, "a", MIDDLE);
    collect(d); /* the copy still needs the first one */
    drive_delete(d, db, "copy");
    collect(d);
    drive_drop(d, "side");
    put_blob(d, db, "b", LARGE);
    drive_put(d, db, "b", 100);
    if (maint_drops(d->s, &d->e) != ST_OK)
        (void)fprintf(stderr, "drops: %s\n", d->e.reason);
    collect(d);
    share(d, db, "a", "last");
}

/* Compaction of the log moves documents whose attachments stay where they are. */
void script_blobs_compact(struct drive *d)
{
    struct db *db = drive_db(d, "db");
    struct log_seg_info *v;
    size_t n;

    for (unsigned i = 0; i < 4; i++) {
        put_blob(d, db, i % 2 != 0 ? "odd" : "even", MIDDLE + i);
        drive_put(d, db, "filler", 3000);
    }
    share(d, db, "odd", "shared");
    log_want_roll(store_log(d->s));
    drive_put(d, db, "filler", 100);
    n = log_segments(store_log(d->s), &v);
    for (size_t i = 0; i < n && store_trouble(d->s)[0] == '\0'; i++)
        if (v[i].sealed && compact_segment(d->s, v[i].seg, &d->e) != ST_OK)
            (void)fprintf(stderr, "segment: %s\n", d->e.reason);
    mem_free(v);
    collect(d);
    drive_put(d, db, "odd", 100);
    collect(d);
    drive_put(d, db, "behind", 100);
}

/* A life that ends with the blobs of the one before still to be swept. */
void script_blobs_lives(struct drive *d)
{
    struct db *db;
    struct att unused = {0};

    for (unsigned i = 0; i < 3; i++) {
        db = drive_db(d, "db");
        put_blob(d, db, i % 2 != 0 ? "a" : "b", MIDDLE + i);
        if (db != NULL && i == 1)
            att_writer_free(write_blob(d, db, &unused, MIDDLE));
        drive_put(d, db, "b", 200);
        if (i == 2)
            collect(d);
        drive_close(d);
        drive_open(d);
    }
    collect(d);
    drive_put(d, drive_db(d, "db"), "behind", 100);
}
