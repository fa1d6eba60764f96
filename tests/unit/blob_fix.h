/* tests/unit/blob_fix.h: stores with large attachments, for test_couch_blobs*.c. Included once. */
#ifndef BLOB_FIX_H
#define BLOB_FIX_H
#include "unit.h"

#include "base/digest.h"
#include "base/text.h"
#include "couch/att_io.h"
#include "couch/doc_read.h"
#include "couch/doc_write.h"
#include "couch/store_priv.h"
#include "couch_fix.h"

enum { BIG = 700000 };

/* ---- a store ---- */

static inline int small_files(void **state)
{
    *state = fix_new(false, 1 << 20);
    return 0;
}

static inline int small_memory(void **state)
{
    *state = fix_new(true, 1 << 20);
    return 0;
}

static inline void forget_pins(struct fix *x)
{
    arena_reset(x->a);
}

static inline void reopen(struct fix *x)
{
    forget_pins(x);
    fix_close(x);
    fix_open(x);
}

static inline void drop_index(struct fix *x)
{
    forget_pins(x);
    fix_close(x);
    fix_remove_index(x);
    fix_open(x);
}

static inline size_t objects(struct fix *x)
{
    struct obj_info *v;
    size_t n;

    assert_int_equal(x->s->segs->ops->obj_list(x->s->segs, 0, &v, &n, &x->e), SS_OK);
    mem_free(v);
    return n;
}

/* ---- bytes ---- */

static inline char *pattern(struct fix *x, size_t n, unsigned seed)
{
    char *p = arena_alloc(x->a, n + 1);
    uint32_t v = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        v = v * 1664525u + 1013904223u;
        p[i] = (char)(v >> 24);
    }
    return p;
}

static inline struct att_writer *write_bytes(struct fix *x, struct db *db, struct slice bytes,
                                             size_t step)
{
    struct att_writer *w;

    assert_ok(x, att_writer_open(db, UINT64_MAX, &w, &x->e));
    for (size_t at = 0; at < bytes.n; at += step) {
        size_t n = bytes.n - at < step ? bytes.n - at : step;

        assert_ok(x, att_writer_add(w, slice_of(bytes.p + at, n), &x->e));
    }
    assert_int_equal(att_writer_len(w), bytes.n);
    return w;
}

static inline enum status run_edit(struct fix *x, struct db *db, const struct doc_edit *ed,
                                   char rev[64])
{
    struct commit_op op;
    enum status st = doc_edit_prepare(db, x->a, ed, &op, &x->e);
    struct slice text;

    if (st != ST_OK)
        return st;
    st = run1(x, &op);
    text = doc_op_rev(x->a, &op);
    assert_true(text.n < 64);
    memcpy(rev, text.p, text.n);
    rev[text.n] = '\0';
    return st;
}

/* Puts the bytes as attachment of a document; rev: of its parent, then its own. */
static inline void put_att(struct fix *x, struct db *db, const char *id, const char *name,
                           struct slice bytes, char rev[64])
{
    struct att_writer *w = write_bytes(x, db, bytes, 100000);
    struct att att = {.name = slice_str(name), .type = SLICE_LIT("a/b")};
    struct doc_edit ed = {.id = slice_str(id),
                          .rev = arena_dup(x->a, slice_str(rev)),
                          .new_edits = true,
                          .att = &att};

    assert_ok(x, att_writer_finish(w, x->a, &att, &x->e));
    assert_ok(x, run_edit(x, db, &ed, rev));
    att_writer_free(w);
}

static inline void put_json(struct fix *x, struct db *db, const char *id, const char *text,
                            char rev[64])
{
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true};

    ed.rev = arena_dup(x->a, slice_str(rev));
    assert_ok(x, json_parse(x->a, arena_dup(x->a, slice_str(text)), &ed.doc, &x->e));
    assert_ok(x, run_edit(x, db, &ed, rev));
}

static inline enum status find_att(struct fix *x, struct db *db, const char *id, const char *rev,
                                   const char *name, struct att *out)
{
    struct rev at;

    return doc_att(db, slice_str(id), slice_str(rev), slice_str(name), x->a, out, &at, &x->e);
}

static inline void assert_bytes(struct fix *x, struct db *db, const char *id, const char *rev,
                                struct slice want)
{
    struct att att;
    struct buf b;

    assert_ok(x, find_att(x, db, id, rev, "x", &att));
    buf_init(&b, 64 << 20);
    assert_ok(x, doc_att_data(db, &att, &b, &x->e));
    assert_int_equal(b.n, want.n);
    assert_true(want.n == 0 || memcmp(b.p, want.p, want.n) == 0);
    buf_free(&b);
}
#endif
