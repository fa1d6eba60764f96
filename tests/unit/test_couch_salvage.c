/* couch/salvage.c, wal/salvage*.c: a store is written, its log is damaged at random, and salvage
 * must open it: every document is as it was, or cannot be read and is in the report, or (only when
 * the index is lost too) older or missing and in the report. Afterwards the store opens without
 * salvage, with its index and without it, and says the same. */
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "blob_fix.h"

enum { DOCS = 60, EDITS = 240, SEGMENT = 16 << 10 };
enum outcome { SAME, UNREADABLE, OLDER, MISSING };
enum harm { FLIP, ZEROS, NOISE, CUT, HEADER, GONE_FILE, FIRST, WHOLE, HARMS };

struct world {
    struct fix *x;
    uint32_t gen[DOCS]; /* the newest revision of each document; 0: it has none */
    enum outcome out[DOCS];
    uint32_t seen[DOCS]; /* generation that was found */
    char *report;
};

static void open_with(struct world *w, bool salvage)
{
    struct fix *x = w->x;
    struct store_options o = {.dir = x->dir, .segment_bytes = SEGMENT, .no_compaction = true};

    o.salvage = salvage;
    assert_ok(x, store_open(&o, &x->s, &x->e));
}

static const char *id_of(struct fix *x, unsigned i)
{
    return (char *)(uintptr_t)arena_printf(x->a, "doc-%03u%c", i, 0).p;
}

static void write_all(struct world *w, uint64_t *rnd)
{
    struct fix *x = w->x;
    struct db *db = make_db(x, "db");

    for (unsigned k = 0; k < EDITS; k++) {
        unsigned i = (unsigned)(unit_random(rnd) % DOCS), g = w->gen[i];
        struct rev parent = g != 0 ? rev_n(x, g, i) : (struct rev){0};

        assert_ok(x, put(x, db, id_of(x, i), parent, rev_n(x, g + 1, i)));
        w->gen[i] = g + 1;
    }
    db_release(db);
}

/* ---- damage ---- */

static void segment_path(struct fix *x, unsigned n, char out[128])
{
    snprintf(out, 128, "%s/0/log/%016x.seg", x->dir, n);
}

static void harm_file(const char *path, enum harm h, uint64_t *rnd)
{
    int fd = open(path, O_RDWR);
    struct stat st;
    uint64_t size, off, n;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    size = (uint64_t)st.st_size;
    off = h == HEADER ? unit_random(rnd) % 64 : 64 + unit_random(rnd) % (size - 64);
    n = h == FLIP || h == HEADER ? 1 + unit_random(rnd) % 2 : 1 + unit_random(rnd) % 3000;
    if (h == FIRST || h == WHOLE)
        off = h == FIRST ? 64 + unit_random(rnd) % 90 : 0;
    if (h == WHOLE)
        n = size;
    if (h == CUT)
        assert_int_equal(ftruncate(fd, (off_t)off), 0);
    else if (h == GONE_FILE)
        assert_int_equal(unlink(path), 0);
    for (; h != CUT && h != GONE_FILE && n > 0 && off < size; n--, off++) {
        unsigned char b = 0;

        if (h != ZEROS) {
            assert_int_equal(pread(fd, &b, 1, (off_t)off), 1);
            b = (unsigned char)(b ^ (h == NOISE || h == WHOLE ? unit_random(rnd) : 1u << off % 8));
        }
        assert_int_equal(pwrite(fd, &b, 1, (off_t)off), 1);
    }
    close(fd);
}

static unsigned count_segments(struct fix *x)
{
    char path[128];
    unsigned n = 0;

    do
        segment_path(x, ++n, path);
    while (fs_exists(path));
    return n - 1;
}

/* ---- looking ---- */

static enum outcome look(struct world *w, struct db *db, unsigned i, uint32_t *gen)
{
    struct fix *x = w->x;
    struct docinfo d;
    struct doc_body b;
    char *bytes;
    enum status st = db == NULL ? ST_NOT_FOUND : read_info(x, db, id_of(x, i), &d);
    const struct revnode *n;

    *gen = 0;
    if (st == ST_NOT_FOUND)
        return w->gen[i] == 0 ? SAME : MISSING;
    assert_ok(x, st);
    n = &d.tree.nodes[revtree_winner(&d.tree)];
    *gen = n->rev.gen;
    assert_true(*gen <= w->gen[i]);
    bytes = arena_alloc(x->a, n->ptr.len + 1);
    st = log_read(store_log(x->s), &n->ptr, bytes, &x->e);
    if (st != ST_OK)
        return *gen < w->gen[i] ? OLDER : UNREADABLE;
    assert_ok(x, doc_body_decode(x->a, slice_of(bytes, n->ptr.len), &n->ptr, &b, &x->e));
    assert_true(
        slice_eq(b.json, arena_printf(x->a, "{\"rev\":\"%.*s\"}", (int)rev_text(x->a, &n->rev).n,
                                      rev_text(x->a, &n->rev).p)));
    return *gen < w->gen[i] ? OLDER : SAME;
}

static struct db *find_db(struct fix *x)
{
    struct db *db = NULL;

    if (db_open(x->s, SLICE_LIT("db"), &db, &x->e) != ST_OK &&
        db_open(x->s, SLICE_LIT("salvaged-1"), &db, &x->e) != ST_OK)
        return NULL;
    return db;
}

static void look_at_all(struct world *w, bool first)
{
    struct db *db = find_db(w->x);
    struct db_counts c = {0};
    uint64_t there = 0;

    for (unsigned i = 0; i < DOCS; i++) {
        uint32_t gen;
        enum outcome o = look(w, db, i, &gen);

        there += gen != 0;
        if (first) {
            w->out[i] = o;
            w->seen[i] = gen;
        }
        assert_int_equal(o, w->out[i]);
        assert_int_equal(gen, w->seen[i]);
    }
    if (db != NULL) {
        db_get_counts(db, &c);
        assert_int_equal(c.docs, there);
        db_release(db);
    }
}

static enum status read_report(void *arg, const char *name)
{
    struct world *w = arg;
    char path[256];
    struct buf b;

    if (strncmp(name, "salvage-", 8) != 0)
        return ST_OK;
    snprintf(path, sizeof(path), "%s/0/%s", w->x->dir, name);
    buf_init(&b, 1 << 24);
    assert_ok(w->x, fs_read_file(path, &b, &w->x->e));
    buf_char(&b, 0);
    mem_free(w->report);
    w->report = mem_dup(b.p, b.n);
    buf_free(&b);
    return ST_OK;
}

/* Whatever is not as it was must be in the report. */
static void assert_told(struct world *w, bool had_index)
{
    struct fix *x = w->x;
    char dir[128];
    bool said;

    snprintf(dir, sizeof(dir), "%s/0", x->dir);
    assert_ok(x, fs_list(dir, read_report, w, &x->e));
    for (unsigned i = 0; i < DOCS; i++) {
        if (w->out[i] == SAME)
            continue;
        assert_non_null(w->report);
        said = strstr(w->report, id_of(x, i)) != NULL;
        if (had_index) /* nothing is older or gone then, and what cannot be read is named */
            assert_true(w->out[i] == UNREADABLE && said);
        else
            assert_true(said || strstr(w->report, "is older now, or missing") != NULL);
    }
}

static void assert_same_again(struct world *w)
{
    struct fix *x = w->x;

    look_at_all(w, false);
    fix_close(x);
    open_with(w, false); /* as any start */
    look_at_all(w, false);
    fix_close(x);
    fix_remove_index(x);
    open_with(w, false); /* from the log alone */
    look_at_all(w, false);
    fix_close(x);
    open_with(w, true); /* and salvage finds no new damage */
    look_at_all(w, false);
}

/* ---- the tests ---- */

struct copier {
    const char *from, *to;
};

static enum status copy_file(void *arg, const char *name)
{
    const struct copier *c = arg;
    char from[256], to[256];
    struct buf b;
    struct err e;
    FILE *out;

    snprintf(from, sizeof(from), "%s/%s", c->from, name);
    snprintf(to, sizeof(to), "%s/%s", c->to, name);
    buf_init(&b, 1 << 28);
    if (fs_read_file(from, &b, &e) == ST_OK) { /* not a folder */
        out = fopen(to, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(b.p != NULL ? b.p : "", 1, b.n, out), b.n);
        assert_int_equal(fclose(out), 0);
    }
    buf_free(&b);
    return ST_OK;
}

static void copy_data(struct fix *x, const char *base)
{
    static const char *const dirs[] = {"", "/0", "/0/log", "/0/idx"};

    for (size_t i = 0; i < COUNT_OF(dirs); i++) {
        char from[128], to[128];
        struct copier c = {from, to};

        snprintf(from, sizeof(from), "%s%s", base, dirs[i]);
        snprintf(to, sizeof(to), "%s%s", x->dir, dirs[i]);
        assert_ok(x, fs_mkdirs(to, &x->e));
        assert_ok(x, fs_list(from, copy_file, &c, &x->e));
    }
}

static unsigned one_case(const struct world *base, uint64_t seed, enum harm h, bool lose_index)
{
    struct world w = *base;
    void *state = NULL;
    uint64_t rnd = seed;
    unsigned nsegs, changed = 0;
    char path[128];

    w.x = state = fix_folder(false, SEGMENT);
    copy_data(w.x, base->x->dir);
    nsegs = count_segments(w.x);
    assert_true(nsegs > 3);
    segment_path(w.x, 1 + (unsigned)(unit_random(&rnd) % nsegs), path);
    harm_file(path, h, &rnd);
    if (lose_index)
        fix_remove_index(w.x);
    open_with(&w, true);
    look_at_all(&w, true);
    assert_told(&w, !lose_index);
    assert_same_again(&w);
    for (unsigned i = 0; i < DOCS; i++)
        changed += w.out[i] != SAME;
    mem_free(w.report);
    fix_end(&state);
    return changed;
}

static void each_harm(bool lose_index)
{
    unsigned changed[HARMS] = {0};
    struct world base = {.x = fix_folder(false, SEGMENT)};
    void *state = base.x;
    uint64_t rnd = 1;

    open_with(&base, false);
    write_all(&base, &rnd);
    fix_close(base.x);
    for (int h = 0; h < HARMS; h++) {
        for (uint64_t seed = 1; seed <= 5; seed++)
            changed[h] += one_case(&base, seed * 77 + (unsigned)h, (enum harm)h, lose_index);
    }
    assert_true(changed[ZEROS] > 0 && changed[CUT] > 0 && changed[GONE_FILE] > 0 &&
                changed[WHOLE] > 0);
    assert_int_equal(changed[HEADER], 0); /* it is made again, nothing is lost with it */
    fix_end(&state);
}

static void damage(void **state)
{
    (void)state;
    each_harm(false);
}

static void damage_and_no_index(void **state)
{
    (void)state;
    each_harm(true);
}

static void nothing_wrong(void **state)
{
    struct fix *x = *state;
    struct world w = {.x = x};
    uint64_t rnd = 5;
    char dir[128];

    write_all(&w, &rnd);
    fix_close(x);
    open_with(&w, true);
    look_at_all(&w, true);
    snprintf(dir, sizeof(dir), "%s/0", x->dir);
    assert_ok(x, fs_list(dir, read_report, &w, &x->e));
    assert_null(w.report);
    assert_check_clean(x);
}

struct kept {
    const char *name;
    size_t *n;
};

static enum status count_kept(void *arg, const char *name)
{
    const struct kept *k = arg;

    *k->n += strncmp(name, k->name, strlen(k->name)) == 0;
    return ST_OK;
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

/* Changes every byte of the text in the file. */
static void harm_record(int fd, const char *text)
{
    size_t n = strlen(text);
    struct stat st;
    char *p, *at;

    assert_int_equal(fstat(fd, &st), 0);
    p = mem_zalloc((size_t)st.st_size);
    assert_int_equal(pread(fd, p, (size_t)st.st_size, 0), st.st_size);
    at = memmem(p, (size_t)st.st_size, text, n);
    assert_non_null(at);
    assert_int_equal(pwrite(fd, "???", n, at - p), n);
    mem_free(p);
}

/* The record that named an attachment is lost: its bytes are not, whatever collects. */
static void attachments_are_kept(void **state)
{
    enum { N = 200000 };
    struct fix *x = *state;
    struct world w = {.x = x};
    char rev[64] = "", path[256], name[40];
    struct db *db = make_db(x, "db");
    struct obj_info *v = NULL;
    size_t n = 0, kept = 0;
    uint64_t id;
    int fd;

    put_json(x, db, "first", "{}", rev);
    rev[0] = '\0';
    put_att(x, db, "a", "x", slice_of(pattern(x, N, 1), N), rev);
    rev[0] = '\0';
    put_json(x, db, "last", "{}", rev);
    db_release(db);
    forget_pins(x);
    assert_int_equal(x->s->segs->ops->obj_list(x->s->segs, 0, &v, &n, &x->e), SS_OK);
    assert_int_equal(n, 1);
    id = v[0].id;
    mem_free(v);
    fix_close(x);
    fix_remove_index(x);
    segment_path(x, 1, path);
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    harm_record(fd, "a/b");
    close(fd);
    open_with(&w, true);
    assert_int_equal(objects(x), 0);
    snprintf(path, sizeof(path), "%s/0/quarantine", x->dir);
    snprintf(name, sizeof(name), "%016llx.", (unsigned long long)id);
    assert_ok(x, fs_list(path, count_kept, &(struct kept){name, &kept}, &x->e));
    assert_int_equal(kept, 1);
    fix_close(x);
    open_with(&w, false);
    assert_ok(x, blobs_sweep(x->s->blobs, always, NULL, &x->e));
    assert_false(blobs_worth(x->s->blobs, 0));
    assert_check_clean(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damage),
        cmocka_unit_test(damage_and_no_index),
        cmocka_unit_test_setup_teardown(nothing_wrong, fix_files, fix_end),
        cmocka_unit_test_setup_teardown(attachments_are_kept, fix_files, fix_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
