/* test_vector_index.c: an index under random histories of writes, updates, deletes, freezes,
 * flushes, merges and restarts always answers what a plain table answers. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "vector/index.h"
#include "vector/search.h"

enum { D = 12, DOCS = 400, CHUNKS = 3 };

static uint64_t seed = 1234567;
static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 33) % n);
}

struct oracle { /* what the index should hold */
    uint32_t n[DOCS];
    float v[DOCS][CHUNKS][D];
    uint64_t seq;
};
static struct oracle truth;
static char dir[] = "/tmp/divan-vec-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/divan-vec-XXXXXX");
    memset(&truth, 0, sizeof(truth));
    return mkdtemp(dir) == NULL;
}

static int drop_dir(void **state)
{
    struct err e;

    (void)state;
    return fs_remove_tree(dir, &e) != ST_OK;
}

static struct vindex_opts options(enum vmetric metric, uint32_t graph_min)
{
    return (struct vindex_opts){.dir = dir,
                                .metric = metric,
                                .dims = D,
                                .m = 8,
                                .efc = 60,
                                .build_threads = 1,
                                .graph_min = graph_min};
}

static struct vindex *reopen(enum vmetric metric, uint32_t graph_min)
{
    struct vindex_opts o = options(metric, graph_min);
    struct vindex *ix;
    struct err e;

    assert_int_equal(vindex_open(&o, truth.seq, &ix, &e), ST_OK);
    return ix;
}

static void feed(struct vindex *ix, uint32_t doc, uint64_t seq)
{
    char id[16];
    uint32_t elem[CHUNKS] = {0, 1, 2};
    uint64_t hash[CHUNKS];
    struct vdoc_rows d = {doc + 1, {id, 0}, truth.n[doc], &truth.v[doc][0][0], elem, hash};

    d.id.n = (size_t)snprintf(id, sizeof(id), "doc%03u", doc);
    for (uint32_t i = 0; i < d.n; i++)
        hash[i] = hash64(truth.v[doc][i], sizeof(truth.v[doc][i]));
    (void)vindex_apply(ix, seq, &d);
}

static void change_one(struct vindex *ix)
{
    uint32_t doc = rnd(DOCS);

    truth.n[doc] = rnd(4);
    for (uint32_t i = 0; i < truth.n[doc]; i++)
        for (uint32_t j = 0; j < D; j++)
            truth.v[doc][i][j] = (float)rnd(9) - 4;
    for (uint32_t i = 0; i < truth.n[doc]; i++)
        truth.v[doc][i][0] += 0.5f; /* never zero */
    truth.seq++;
    feed(ix, doc, truth.seq);
}

static struct vhit best_of(const struct vquery *q, uint32_t doc, char *id)
{
    struct vhit h = {.docnum = doc + 1, .key = INFINITY};

    h.id = slice_of(id, (size_t)snprintf(id, 16, "doc%03u", doc));
    for (uint32_t i = 0; i < truth.n[doc]; i++) {
        double key = vkey_exact(q, truth.v[doc][i]);
        if (key < h.key) {
            h.key = key;
            h.elem = i;
        }
    }
    return h;
}

/* The exact answer equals the oracle's, byte for byte and in the same order. */
static void check(struct vindex *ix, enum vmetric metric)
{
    static char ids[DOCS][16];
    static struct vhit want[DOCS];
    float q[D], k[D];
    struct vquery vq;
    struct vview *v = vindex_pin(ix);
    struct vsearch s = {.view = v, .q = &vq, .exact = true, .ctx = vctx_new()};
    struct vhit *got;
    uint32_t n = 0, m;

    for (int i = 0; i < D; i++)
        q[i] = (float)rnd(9) - 4;
    q[0] += 0.5f;
    vquery_init(&vq, metric, D, q, k);
    for (uint32_t doc = 0; doc < DOCS; doc++)
        if (truth.n[doc] > 0) {
            want[n] = best_of(&vq, doc, ids[doc]);
            n++;
        }
    if (n > 1)
        qsort(want, n, sizeof(want[0]), vhit_cmp);
    s.arena = arena_new();
    s.k = 1 + rnd(DOCS);
    m = vsearch_run(&s, &got);
    assert_int_equal(v->seq, truth.seq);
    assert_false(s.used_graph);
    assert_int_equal(m, n < s.k ? n : s.k);
    for (uint32_t i = 0; i < m; i++) {
        assert_true(got[i].key == want[i].key);
        assert_int_equal(got[i].docnum, want[i].docnum);
        assert_int_equal(got[i].elem, want[i].elem);
        assert_true(slice_eq(got[i].id, want[i].id));
    }
    arena_free(s.arena);
    vctx_free(s.ctx);
    vview_release(v);
}

static void work(struct vindex *ix, bool idle, bool compact)
{
    struct vwork w = {.idle = idle, .compact = compact};
    struct err e;
    bool did;

    assert_int_equal(vindex_work(ix, &w, &did, &e), ST_OK);
}

/* After a restart, what came after the saved sequence is fed again, as a database would. */
static uint64_t last_change[DOCS];

static struct vindex *restart(struct vindex *ix, enum vmetric metric, bool clean)
{
    struct vindex_stats st;

    vindex_close(ix, clean);
    ix = reopen(metric, 150);
    vindex_get_stats(ix, &st);
    assert_true(st.seq <= truth.seq);
    if (clean)
        assert_int_equal(st.seq, truth.seq);
    vindex_begin(ix);
    for (uint64_t seq = st.seq + 1; seq <= truth.seq; seq++)
        for (uint32_t doc = 0; doc < DOCS; doc++)
            if (last_change[doc] == seq)
                feed(ix, doc, seq);
    vindex_publish(ix, truth.seq);
    vindex_end(ix);
    return ix;
}

static void note_changes(const struct oracle *before, uint64_t seq)
{
    for (uint32_t doc = 0; doc < DOCS; doc++)
        if (memcmp(before->v[doc], truth.v[doc], sizeof(truth.v[doc])) != 0 ||
            before->n[doc] != truth.n[doc])
            last_change[doc] = seq;
}

static void history(enum vmetric metric)
{
    static struct oracle before;
    struct vindex *ix = reopen(metric, 150);

    memset(last_change, 0, sizeof(last_change));
    for (int step = 0; step < 400; step++) {
        vindex_begin(ix);
        for (uint32_t i = rnd(12) + 1; i > 0; i--) {
            before = truth;
            change_one(ix);
            note_changes(&before, truth.seq);
        }
        if (rnd(5) == 0)
            vindex_freeze(ix);
        vindex_publish(ix, truth.seq);
        vindex_end(ix);
        for (uint32_t i = rnd(3); i > 0; i--)
            work(ix, rnd(2) == 0, rnd(30) == 0);
        check(ix, metric);
        if (rnd(40) == 0)
            ix = restart(ix, metric, rnd(2) == 0);
    }
    check(ix, metric);
    vindex_close(ix, true);
}

static void test_history_l2(void **state)
{
    (void)state;
    history(VMETRIC_L2);
}
static void test_history_cosine(void **state)
{
    (void)state;
    history(VMETRIC_COSINE);
}
static void test_history_dot(void **state)
{
    (void)state;
    history(VMETRIC_DOT);
}

static void test_compact_leaves_no_dead(void **state)
{
    struct vindex *ix = reopen(VMETRIC_L2, 150);
    struct vview *v;

    (void)state;
    for (int i = 0; i < 3000; i++) {
        vindex_begin(ix);
        change_one(ix);
        if (i % 300 == 0)
            vindex_freeze(ix);
        vindex_publish(ix, truth.seq);
        vindex_end(ix);
        if (i % 100 == 0)
            work(ix, false, false);
    }
    for (int i = 0; i < 50; i++)
        work(ix, true, true);
    v = vindex_pin(ix);
    for (uint32_t i = 0; i < v->nparts; i++)
        assert_int_equal(vpart_live(&v->part[i]), v->part[i].n);
    vview_release(v);
    check(ix, VMETRIC_L2);
    vindex_close(ix, false);
}

static void test_unchanged_vector_touches_nothing(void **state)
{
    struct vindex *ix = reopen(VMETRIC_L2, 150);

    (void)state;
    truth.n[7] = 1;
    truth.v[7][0][0] = 1;
    vindex_begin(ix);
    feed(ix, 7, 1);
    vindex_publish(ix, 1);
    feed(ix, 7, 2);
    vindex_publish(ix, truth.seq = 2);
    vindex_end(ix);
    struct vview *v = vindex_pin(ix);
    assert_int_equal(v->nparts, 1);
    assert_int_equal(v->part[0].n, 1);
    assert_int_equal(v->live, 1);
    vview_release(v);
    check(ix, VMETRIC_L2);
    vindex_close(ix, false);
}

static void test_foreign_or_newer_folder_is_discarded(void **state)
{
    struct vindex *ix = reopen(VMETRIC_L2, 150);
    struct vindex_opts o = options(VMETRIC_L2, 150);
    struct err e;

    (void)state;
    vindex_begin(ix);
    for (int i = 0; i < 50; i++)
        change_one(ix);
    vindex_publish(ix, truth.seq);
    vindex_end(ix);
    vindex_close(ix, true);
    assert_int_equal(vindex_verify(dir, &e), ST_OK);
    assert_int_equal(vindex_open(&o, truth.seq, &ix, &e), ST_OK);
    assert_int_equal(vindex_seq(ix), truth.seq);
    vindex_close(ix, false);
    assert_int_equal(vindex_open(&o, truth.seq - 1, &ix, &e), ST_OK); /* a restored backup */
    assert_int_equal(vindex_seq(ix), 0);
    vindex_close(ix, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_history_l2, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_history_cosine, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_history_dot, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_compact_leaves_no_dead, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_unchanged_vector_touches_nothing, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(test_foreign_or_newer_folder_is_discarded, make_dir,
                                        drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
