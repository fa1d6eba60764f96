/* test_vector_segment.c: a segment file comes back as it went; one flipped byte, a short or a
 * foreign file is ST_CORRUPT; graph search on seeded clusters reaches its calibrated recall. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "vector/segment.h"

enum { D = 24, N = 3000, CLUSTERS = 40 };
static const unsigned char sig[VSEG_SIG] = "0123456789abcdef";
static uint64_t seed = 42;

static float rnd(void)
{
    float s = 0;

    for (int i = 0; i < 4; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        s += (float)(seed >> 40) / 16777216.0f - 0.5f;
    }
    return s;
}

static void point(float *v, unsigned cluster)
{
    uint64_t keep = seed;

    seed = cluster * 7919u + 1;
    for (int i = 0; i < D; i++)
        v[i] = rnd() * 2;
    seed = keep;
    for (int i = 0; i < D; i++)
        v[i] += rnd() * 0.6f;
}

static struct vseg *make(enum vmetric metric)
{
    struct vseg_fill f;
    struct vseg *s = vseg_new(metric, N, D, N * 5ull, &f);

    for (uint32_t i = 0; i < N; i++) {
        char id[8];

        point(f.vec + (size_t)i * D, i % CLUSTERS);
        f.docnum[i] = i * 2 + 1;
        f.elem[i] = 0;
        f.hash[i] = i;
        f.idoff[i] = i * 5ull;
        (void)snprintf(id, sizeof(id), "d%04u", i);
        memcpy(f.ids + i * 5ull, id, 5);
    }
    f.idoff[N] = N * 5ull;
    vseg_finish(s);
    return s;
}

static double recall(const struct vseg *s, uint32_t ef)
{
    struct vctx *c = vctx_new();
    uint32_t hits = 0;

    for (unsigned t = 0; t < 100; t++) {
        struct vcand heap[10];
        struct vtop top = {heap, 0, 10};
        float q[D], k[D];
        struct vquery vq;
        struct vgraph_query gq = {&s->graph, &s->rows, &vq, NULL, ef};
        const struct vcand *got;
        uint64_t scored = 0;
        uint32_t n;

        point(q, t % CLUSTERS);
        vquery_init(&vq, s->metric, D, q, k);
        for (uint32_t i = 0; i < N; i++)
            vtop_push(&top, vkey(&vq, s->rows.vec + (size_t)i * D, s->rows.norm[i]), i);
        n = vgraph_search(&gq, c, &got, &scored);
        assert_true(n >= 10 && scored < N);
        for (uint32_t i = 0; i < 10; i++)
            for (uint32_t j = 0; j < 10; j++)
                hits += got[i].row == heap[j].row;
    }
    vctx_free(c);
    return hits / 1000.0;
}

static void test_graph_recall(void **state)
{
    (void)state;
    for (int m = 0; m < 3; m++) {
        struct vseg *s = make((enum vmetric)m);
        struct vseg_graph_opts o = {16, 100, 1, NULL, NULL};
        struct err e;
        double r;

        assert_int_equal(vseg_build_graph(s, &o, &e), ST_OK);
        assert_true(vgraph_valid(&s->graph));
        assert_true(s->curve.n >= 1 && s->curve.sampled == 200);
        r = recall(s, vcurve_ef(&s->curve, 0.97, 10));
        print_message("metric %d: ef %u recall %.3f\n", m, vcurve_ef(&s->curve, 0.97, 10), r);
        assert_true(r >= 0.95);
        vseg_release(s);
    }
}

static void test_dead_rows_are_walked_not_answered(void **state)
{
    struct vseg *s = make(VMETRIC_L2);
    struct vseg_graph_opts o = {16, 100, 1, NULL, NULL};
    uint64_t dead[N / 64 + 1];
    struct vctx *c = vctx_new();
    const struct vcand *got;
    uint64_t scored = 0;
    float k[D];
    struct vquery q;
    struct vgraph_query gq = {&s->graph, &s->rows, &q, dead, 20};
    struct err e;

    (void)state;
    assert_int_equal(vseg_build_graph(s, &o, &e), ST_OK);
    memset(dead, 0, sizeof(dead)); /* the whole cluster of the query dies, nothing else */
    for (uint32_t i = 3; i < N; i += CLUSTERS)
        dead[i / 64] |= 1ull << (i % 64);
    vquery_init(&q, VMETRIC_L2, D, s->rows.vec + 3 * D, k);
    assert_int_equal(vgraph_search(&gq, c, &got, &scored), 20);
    for (int i = 0; i < 20; i++)
        assert_true(got[i].row % CLUSTERS != 3);
    vctx_free(c);
    vseg_release(s);
}

static bool stop(void *arg, double done)
{
    (void)arg;
    return done < 0.5;
}

static void test_cancel(void **state)
{
    struct vseg *s = make(VMETRIC_L2);
    struct vseg_graph_opts o = {8, 40, 1, stop, NULL};
    struct err e;

    (void)state;
    assert_int_equal(vseg_build_graph(s, &o, &e), ST_UNAVAILABLE);
    assert_int_equal(s->graph.n, 0);
    vseg_release(s);
}

static void flip(const char *path, off_t at)
{
    unsigned char c;
    int fd = open(path, O_RDWR);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= 0x10;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    assert_int_equal(close(fd), 0);
}

static void expect_corrupt(const char *path, const struct vseg_file *f)
{
    struct vseg *s = NULL;
    struct err e;

    assert_int_equal(vseg_load(path, sig, f, &s, &e), ST_CORRUPT);
    assert_null(s);
}

static void test_file(void **state)
{
    char dir[] = "/tmp/divan-seg-XXXXXX", path[64];
    struct vseg *s = make(VMETRIC_COSINE), *t;
    struct vseg_graph_opts o = {8, 40, 1, NULL, NULL};
    struct vseg_file f, g;
    struct err e;
    uint32_t first;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/seg-000001", dir);
    assert_int_equal(vseg_build_graph(s, &o, &e), ST_OK);
    assert_int_equal(vseg_write(s, path, sig, &f, &e), ST_OK);
    assert_int_equal(vseg_load(path, sig, &f, &t, &e), ST_OK);
    assert_memory_equal(t->rows.vec, s->rows.vec, sizeof(float) * N * D);
    assert_memory_equal(t->graph.links0, s->graph.links0, (size_t)N * 16 * 4);
    assert_true(t->curve.n == s->curve.n && t->graph.entry == s->graph.entry);
    assert_true(slice_eq(vseg_id(t, 77), SLICE_LIT("d0077")));
    assert_int_equal(vseg_find(t, 155, &first), 1);
    assert_int_equal(first, 77);
    assert_int_equal(vseg_find(t, 156, &first), 0);
    for (uint64_t at = 0; at < f.bytes; at += 977) { /* padding between parts is not data */
        struct vseg *u = NULL;
        flip(path, (off_t)at);
        if (vseg_load(path, sig, &f, &u, &e) == ST_OK)
            assert_memory_equal(u->rows.vec, s->rows.vec, sizeof(float) * N * D);
        vseg_release(u);
        flip(path, (off_t)at);
    }
    for (off_t at = 4096; at < 4096 + N * D * 4; at += 40961) {
        flip(path, at);
        expect_corrupt(path, &f);
        flip(path, at);
    }
    g = f;
    g.crc++;
    expect_corrupt(path, &g);
    g = f;
    g.bytes--;
    expect_corrupt(path, &g);
    assert_int_equal(truncate(path, (off_t)f.bytes / 2), 0);
    expect_corrupt(path, &f);
    vseg_release(t);
    vseg_release(s);
    assert_int_equal(fs_remove_tree(dir, &e), ST_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_recall),
        cmocka_unit_test(test_dead_rows_are_walked_not_answered),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
