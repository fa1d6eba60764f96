/* tests/unit/couch_fixture.h: a real store in a temporary directory with one database, and short
 * ways to write and read documents as text. One thread. */
#ifndef COUCH_FIXTURE_H
#define COUCH_FIXTURE_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "couch/changes.h"
#include "couch/doc_write.h"
#include "unit.h"

struct fixture {
    char dir[64];
    struct store *store;
    struct db *db;
    struct arena *a;
    struct buf out;
    struct err e;
    char rev[512];          /* of the last write */
    struct slice given_rev; /* what the next edit names; cleared by it */
};

/* Asserts ST_OK and shows the reason otherwise. */
#define OK(f, call)                                                                                \
    do {                                                                                           \
        enum status st_ = (call);                                                                  \
        if (st_ != ST_OK)                                                                          \
            print_error("status %d: %s\n", (int)st_, (f)->e.reason);                               \
        assert_int_equal(st_, ST_OK);                                                              \
    } while (0)

static inline int fixture_open(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    struct store_options opt = {.dir = f->dir};
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("db")};

    memcpy(f->dir, "/tmp/divan-unit-XXXXXX", 23);
    assert_non_null(mkdtemp(f->dir));
    f->a = arena_new();
    buf_init(&f->out, 256u << 20);
    OK(f, store_open(&opt, &f->store, &f->e));
    OK(f, commit_wait(f->store, &op, 1, &f->e));
    f->e = op.err;
    OK(f, op.st);
    f->db = op.created;
    assert_non_null(f->db);
    *state = f;
    return 0;
}

static inline int fixture_close(void **state)
{
    struct fixture *f = *state;

    db_release(f->db);
    store_close(f->store);
    arena_free(f->a);
    buf_free(&f->out);
    OK(f, fs_remove_tree(f->dir, &f->e));
    mem_free(f);
    return 0;
}

static inline const struct json *parse(struct fixture *f, const char *text)
{
    const struct json *v;

    OK(f, json_parse(f->a, slice_str(text), &v, &f->e));
    return v;
}

/* Prepares and commits; the first status that is not ST_OK. */
static inline enum status edit(struct fixture *f, struct doc_edit *ed)
{
    struct commit_op op;
    enum status st;

    ed->rev = f->given_rev;
    f->given_rev = SLICE_LIT("");
    st = doc_edit_prepare(f->db, f->a, ed, &op, &f->e);
    if (st != ST_OK)
        return st;
    OK(f, commit_wait(f->store, &op, 1, &f->e));
    f->e = op.err;
    struct slice rev = doc_op_rev(f->a, &op);
    assert_true(rev.n < sizeof f->rev);
    memcpy(f->rev, rev.p, rev.n);
    f->rev[rev.n] = '\0';
    return op.st;
}

static inline enum status put(struct fixture *f, const char *id, const char *text)
{
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true, .doc = parse(f, text)};

    return edit(f, &ed);
}

/* new_edits=false */
static inline enum status graft(struct fixture *f, const char *text)
{
    struct doc_edit ed = {.doc = parse(f, text)};

    return edit(f, &ed);
}

static inline enum status erase(struct fixture *f, const char *id, const char *rev)
{
    struct doc_edit ed = {.id = slice_str(id), .new_edits = true, .delete_it = true};

    f->given_rev = slice_str(rev);
    return edit(f, &ed);
}

/* The output so far as a C string, which is then empty again. */
static inline char *take(struct fixture *f)
{
    struct slice s = arena_dup(f->a, buf_slice(&f->out));

    assert_true(buf_ok(&f->out));
    buf_clear(&f->out);
    return arena_cstr(f->a, s);
}

static inline enum status read_doc(struct fixture *f, const char *id, const char *rev,
                                   const struct doc_read_opts *opts)
{
    struct docinfo info;
    enum status st;
    int node;

    st = doc_find(f->db, slice_str(id), slice_str(rev), f->a, &info, &node, &f->e);
    if (st != ST_OK)
        return st;
    return doc_write_json(f->db, slice_str(id), &info, node, opts, f->a, &f->out, &f->e);
}

static inline char *get_with(struct fixture *f, const char *id, const char *rev,
                             const struct doc_read_opts *opts)
{
    OK(f, read_doc(f, id, rev, opts));
    return take(f);
}

static inline char *get(struct fixture *f, const char *id)
{
    static const struct doc_read_opts none;

    return get_with(f, id, "", &none);
}

static inline void assert_reason(const struct fixture *f, const char *reason)
{
    assert_string_equal(f->e.reason, reason);
}

static inline void assert_word(const struct fixture *f, const char *word)
{
    assert_non_null(f->e.word);
    assert_string_equal(f->e.word, word);
}
#endif
