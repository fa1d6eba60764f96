/* tests/unit/test_couch_revtree_random.c: the revision forest under random histories, against a
 * model that only knows sets: which revisions are there, of which of them the parent is known. */
#include "unit.h"

#include "base/alloc.h"
#include "couch/revtree.h"

static struct revtree fresh(struct arena *a)
{
    struct revtree t;

    revtree_init(&t, a);
    return t;
}

enum { WORLD = 48, PATHS = 5 };

static uint32_t seed;
static uint32_t below(uint32_t n)
{
    seed = seed * 1664525U + 1013904223U;
    return (uint32_t)(((uint64_t)seed * n) >> 32);
}

/* What really happened: a forest that no replica knows whole. */
struct world {
    struct rev rev[WORLD];
    int parent[WORLD];
    char id[WORLD][16];
};

/* What one replica knows. */
struct model {
    bool in[WORLD], edge[WORLD], deleted[WORLD]; /* edge: the parent is known */
};

static void make_world(struct world *w)
{
    for (int i = 0; i < WORLD; i++) {
        int back = 1 + (int)below(below(4) == 0 ? WORLD : 3);
        bool hex = below(2) == 0;

        w->parent[i] = i - back >= 0 && below(20) != 0 ? i - back : -1;
        w->rev[i].gen = w->parent[i] < 0 ? 1 : w->rev[w->parent[i]].gen + 1;
        memset(w->id[i], (int)('a' + below(3)), 16);
        w->id[i][15] = (char)('A' + i + (i >= '\\' - 'A')); /* no two the same */
        w->rev[i].hex = hex;
        w->rev[i].id = slice_of(w->id[i] + (hex ? 0 : below(16)), 0);
        w->rev[i].id.n = (size_t)(w->id[i] + 16 - w->rev[i].id.p);
    }
}

static uint32_t world_path(const struct world *w, int leaf, uint32_t max, struct rev *revs)
{
    uint32_t n = 0;

    for (int i = leaf; i >= 0 && n < max; i = w->parent[i])
        revs[n++] = w->rev[i];
    return n;
}

static bool model_merge(const struct world *w, struct model *m, int leaf, uint32_t max,
                        bool deleted)
{
    if (m->in[leaf])
        return false;
    m->deleted[leaf] = deleted;
    for (int i = leaf; i >= 0 && max-- > 0; i = w->parent[i]) {
        m->in[i] = true;
        m->edge[i] = m->edge[i] || (max > 0 && w->parent[i] >= 0);
    }
    return true;
}

static bool model_leaf(const struct world *w, const struct model *m, int i)
{
    for (int k = 0; k < WORLD; k++)
        if (m->in[k] && m->edge[k] && w->parent[k] == i)
            return false;
    return m->in[i];
}

static void model_stem(const struct world *w, struct model *m, uint32_t limit)
{
    struct model s = {0};

    for (int i = 0; i < WORLD; i++) {
        uint32_t n = 0;

        if (!model_leaf(w, m, i))
            continue;
        for (int k = i; n < limit; k = w->parent[k]) {
            s.in[k] = true;
            if (!m->edge[k])
                break;
            n++;
            s.edge[k] = s.edge[k] || n < limit;
        }
    }
    for (int i = 0; i < WORLD; i++)
        s.deleted[i] = s.in[i] && m->deleted[i];
    *m = s;
}

static int model_winner(const struct world *w, const struct model *m)
{
    int best = -1;

    for (int i = 0; i < WORLD; i++) {
        if (!model_leaf(w, m, i))
            continue;
        if (best < 0 || m->deleted[i] < m->deleted[best] ||
            (m->deleted[i] == m->deleted[best] && rev_cmp(&w->rev[i], &w->rev[best]) > 0))
            best = i;
    }
    return best;
}

static void assert_same(const struct world *w, const struct model *m, const struct revtree *t)
{
    uint32_t n = 0;
    int best = model_winner(w, m);

    assert_true(revtree_valid(t));
    for (int i = 0; i < WORLD; i++) {
        int k = revtree_find(t, &w->rev[i]);

        assert_int_equal(k >= 0, m->in[i]);
        if (k < 0)
            continue;
        n++;
        assert_int_equal(t->nodes[k].parent >= 0, m->edge[i]);
        if (m->edge[i])
            assert_true(rev_eq(&t->nodes[t->nodes[k].parent].rev, &w->rev[w->parent[i]]));
        assert_int_equal(t->nodes[k].leaf, model_leaf(w, m, i));
        assert_int_equal(t->nodes[k].deleted, m->deleted[i]);
    }
    assert_int_equal(n, t->n);
    if (best >= 0)
        assert_true(rev_eq(&t->nodes[revtree_winner(t)].rev, &w->rev[best]));
    else
        assert_int_equal(revtree_winner(t), -1);
}

static void assert_round_trip(const struct revtree *t)
{
    struct arena *a = t->arena;
    struct revtree u = fresh(a), v = fresh(a);
    struct buf x, y;
    struct err e;
    struct rd r;

    buf_init(&x, 1 << 20);
    buf_init(&y, 1 << 20);
    revtree_encode(t, &x);
    r = rd_of(buf_slice(&x));
    assert_int_equal(revtree_decode(&r, &u, &e), ST_OK);
    assert_int_equal(rd_left(&r), 0);
    assert_true(revtree_valid(&u));
    assert_int_equal(t->n, u.n);
    for (uint32_t i = 0; i < t->n; i++)
        assert_true(revtree_find(&u, &t->nodes[i].rev) >= 0);
    revtree_encode(&u, &y);
    assert_true(slice_eq(buf_slice(&x), buf_slice(&y)));
    for (size_t n = 0; n < x.n; n++) { /* exact allocations: an over-read is seen */
        char *prefix = mem_dup(x.p, n);

        r = rd_of(slice_of(prefix, n));
        assert_int_equal(revtree_decode(&r, &v, &e), ST_CORRUPT);
        mem_free(prefix);
    }
    buf_free(&x);
    buf_free(&y);
}

static void test_random_histories(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 400; round++) {
        struct arena *a = arena_new();
        struct revtree t = fresh(a);
        struct model m = {0};
        struct world w;

        seed = round;
        make_world(&w);
        for (int step = 0; step < 30; step++) {
            int leaf = (int)below(WORLD), got;
            uint32_t max = 1 + below(below(2) == 0 ? 4 : WORLD);
            bool deleted = below(3) == 0;
            struct rev revs[WORLD];
            uint32_t n = world_path(&w, leaf, max, revs);

            if (below(8) == 0) {
                uint32_t limit = 1 + below(6);

                model_stem(&w, &m, limit);
                (void)revtree_stem(&t, limit);
            } else {
                bool changed = model_merge(&w, &m, leaf, max, deleted);

                assert_int_equal(revtree_merge(&t, revs, n, deleted, &got), changed);
                assert_true(rev_eq(&t.nodes[got].rev, &w.rev[leaf]));
            }
            assert_same(&w, &m, &t);
        }
        assert_round_trip(&t);
        arena_free(a);
    }
}

static bool next_permutation(int *x, int n)
{
    int i = n - 2, k = n - 1;

    while (i >= 0 && x[i] > x[i + 1])
        i--;
    if (i < 0)
        return false;
    while (x[k] < x[i])
        k--;
    for (int tmp = x[i], once = 1; once; once = 0) {
        x[i] = x[k];
        x[k] = tmp;
    }
    for (int lo = i + 1, hi = n - 1; lo < hi; lo++, hi--) {
        int tmp = x[lo];

        x[lo] = x[hi];
        x[hi] = tmp;
    }
    return true;
}

struct pick {
    int leaf;
    uint32_t n;
    bool deleted;
    struct rev revs[WORLD];
};

/* Paths none of which holds another one's leaf: then every one of them changes the forest and the
 * order cannot matter. */
static int pick_paths(const struct world *w, struct pick *p)
{
    int n = 0;

    for (int tries = 0; tries < 100 && n < PATHS; tries++) {
        struct pick *x = &p[n];
        bool apart = true;

        x->leaf = (int)below(WORLD);
        x->deleted = below(3) == 0;
        x->n = world_path(w, x->leaf, 1 + below(WORLD), x->revs);
        for (int i = 0; i < n && apart; i++) {
            for (uint32_t k = 0; k < x->n; k++)
                apart = apart && !rev_eq(&x->revs[k], &p[i].revs[0]);
            for (uint32_t k = 0; k < p[i].n; k++)
                apart = apart && !rev_eq(&x->revs[0], &p[i].revs[k]);
        }
        n += apart;
    }
    return n;
}

static void test_order_does_not_matter(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 150; round++) {
        struct buf want, got;
        struct pick p[PATHS];
        struct world w;
        int order[PATHS] = {0, 1, 2, 3, 4}, n;
        bool first = true;

        seed = 7000 + round;
        make_world(&w);
        n = pick_paths(&w, p);
        assert_true(n >= 2);
        buf_init(&want, 1 << 20);
        buf_init(&got, 1 << 20);
        do {
            struct arena *a = arena_new();
            struct revtree t = fresh(a);
            int leaf;

            for (int i = 0; i < n; i++)
                assert_true(
                    revtree_merge(&t, p[order[i]].revs, p[order[i]].n, p[order[i]].deleted, &leaf));
            buf_clear(&got);
            revtree_encode(&t, first ? &want : &got);
            assert_true(first || slice_eq(buf_slice(&want), buf_slice(&got)));
            first = false;
            arena_free(a);
        } while (next_permutation(order, n));
        buf_free(&want);
        buf_free(&got);
    }
}

static void test_damage_never_crashes(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct arena *a = arena_new();
        struct revtree t = fresh(a);
        struct world w;
        struct buf b;
        struct err e;

        seed = 90000 + round;
        make_world(&w);
        for (int i = 0; i < 10; i++) {
            struct rev revs[WORLD];
            uint32_t n = world_path(&w, (int)below(WORLD), 1 + below(WORLD), revs);
            int leaf;

            (void)revtree_merge(&t, revs, n, false, &leaf);
            t.nodes[leaf].has_body = true;
        }
        buf_init(&b, 1 << 20);
        revtree_encode(&t, &b);
        for (int i = 0; i < 50; i++) {
            char *copy = mem_dup(b.p, b.n);
            struct rd r = rd_of(slice_of(copy, b.n));
            struct revtree u = fresh(a);

            for (uint32_t k = below(3) + 1; k > 0; k--)
                copy[below((uint32_t)b.n)] ^= (char)(1U << below(8));
            if (revtree_decode(&r, &u, &e) == ST_OK)
                assert_true(revtree_valid(&u));
            mem_free(copy);
        }
        buf_free(&b);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_histories),
        cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_damage_never_crashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
