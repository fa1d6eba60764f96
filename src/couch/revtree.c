/* couch/revtree.c: looking at a revision forest. Pure; any thread, one at a time per tree.
 *
 * Invariants (revtree_valid): a parent lies before its children; a child's generation is its
 * parent's plus one; leaf says whether a node has children; no revision occurs twice. Nearly every
 * tree is one path and small, so lookups are scans that compare the generation first.
 */
#include "couch/revtree.h"

#include <stdlib.h>

#include "base/assert.h"
#include "couch/revtree_priv.h"

enum { FIRST_CAP = 4, PAIRWISE_MAX = 8 };

void revtree_init(struct revtree *t, struct arena *a)
{
    *t = (struct revtree){.arena = a};
}

void revtree_reserve(struct revtree *t, uint32_t n)
{
    struct revnode *nodes;
    uint32_t cap = t->cap;

    if (n <= t->cap - t->n)
        return;
    ASSERT(n <= INT32_MAX - t->n);
    if (cap == 0)
        cap = n < FIRST_CAP ? FIRST_CAP : n;
    while (cap < t->n + n)
        cap = cap > INT32_MAX / 2 ? INT32_MAX : cap * 2;
    nodes = arena_array(t->arena, cap, sizeof *nodes);
    if (t->n > 0)
        memcpy(nodes, t->nodes, t->n * sizeof *nodes);
    t->nodes = nodes;
    t->cap = cap;
}

int revtree_push(struct revtree *t, int parent, const struct rev *r, bool copy)
{
    struct revnode *x;

    revtree_reserve(t, 1);
    x = &t->nodes[t->n];
    *x = (struct revnode){.rev = *r, .parent = parent, .leaf = true};
    if (copy && r->id.n > 0) {
        char *id = arena_alloc(t->arena, r->id.n);

        memcpy(id, r->id.p, r->id.n);
        x->rev.id.p = id;
    }
    return (int)t->n++;
}

int revtree_find(const struct revtree *t, const struct rev *r)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].rev.gen == r->gen && slice_eq(t->nodes[i].rev.id, r->id))
            return (int)i;
    return -1;
}

/* ---- leaves ---- */

/* Below zero when x comes first: live before deleted, then larger generation, then larger hash. */
static int leaf_order(const struct revnode *x, const struct revnode *y)
{
    if (x->deleted != y->deleted)
        return x->deleted ? 1 : -1;
    return rev_cmp(&y->rev, &x->rev);
}

static int leaf_order_qsort(const void *x, const void *y)
{
    return leaf_order(*(const struct revnode *const *)x, *(const struct revnode *const *)y);
}

int revtree_winner(const struct revtree *t)
{
    int best = -1;

    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].leaf && (best < 0 || leaf_order(&t->nodes[i], &t->nodes[best]) < 0))
            best = (int)i;
    return best;
}

/* The leaves for which below is set (all when it is NULL), in order. */
static uint32_t sorted_leaves(const struct revtree *t, const bool *below, struct arena *a,
                              uint32_t **out)
{
    const struct revnode **leaves;
    uint32_t n = 0, k = 0;

    for (uint32_t i = 0; i < t->n; i++)
        n += t->nodes[i].leaf && (below == NULL || below[i]);
    leaves = arena_array(a, n, sizeof(struct revnode *));
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].leaf && (below == NULL || below[i]))
            leaves[k++] = &t->nodes[i];
    if (n > 1)
        qsort(leaves, n, sizeof(struct revnode *), leaf_order_qsort);
    *out = arena_array(a, n, sizeof **out);
    for (k = 0; k < n; k++)
        (*out)[k] = (uint32_t)(leaves[k] - t->nodes);
    return n;
}

uint32_t revtree_leaves(const struct revtree *t, struct arena *a, uint32_t **out)
{
    return sorted_leaves(t, NULL, a, out);
}

uint32_t revtree_leaves_below(const struct revtree *t, int i, struct arena *a, uint32_t **out)
{
    bool *below;

    ASSERT(i >= 0 && (uint32_t)i < t->n);
    below = arena_zalloc(a, t->n * sizeof *below);
    below[i] = true;
    for (uint32_t k = (uint32_t)i + 1; k < t->n; k++)
        below[k] = t->nodes[k].parent >= 0 && below[t->nodes[k].parent];
    return sorted_leaves(t, below, a, out);
}

bool revtree_is_deleted(const struct revtree *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].leaf && !t->nodes[i].deleted)
            return false;
    return true;
}

bool revtree_has_conflict(const struct revtree *t)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n && n < 2; i++)
        n += t->nodes[i].leaf;
    return n > 1;
}

/* ---- paths ---- */

uint32_t revtree_path(const struct revtree *t, int i, struct arena *a, uint32_t **out)
{
    uint32_t n = 0;

    ASSERT(i >= 0 && (uint32_t)i < t->n);
    for (int k = i; k >= 0; k = t->nodes[k].parent)
        n++;
    *out = arena_array(a, n, sizeof **out);
    n = 0;
    for (int k = i; k >= 0; k = t->nodes[k].parent)
        (*out)[n++] = (uint32_t)k;
    return n;
}

int revtree_body_above(const struct revtree *t, int i)
{
    while (i >= 0 && !t->nodes[i].has_body)
        i = t->nodes[i].parent;
    return i;
}

/* ---- self-inspection ---- */

static int rev_order_qsort(const void *x, const void *y)
{
    const struct revnode *const *a = x, *const *b = y;

    return rev_cmp(&(*a)->rev, &(*b)->rev);
}

static bool twin_among(const struct revnode **x, uint32_t n)
{
    if (n > PAIRWISE_MAX) {
        qsort(x, n, sizeof(struct revnode *), rev_order_qsort);
        for (uint32_t i = 1; i < n; i++)
            if (rev_eq(&x[i - 1]->rev, &x[i]->rev))
                return true;
        return false;
    }
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (rev_eq(&x[k]->rev, &x[i]->rev))
                return true;
    return false;
}

/* Sorts the nodes into one bucket per generation, then compares inside the buckets. */
static bool twin_by_gen(const struct revtree *t, uint32_t lo, uint32_t span)
{
    const struct revnode **x = arena_array(t->arena, t->n, sizeof(struct revnode *));
    uint32_t *end = arena_zalloc(t->arena, ((size_t)span + 1) * sizeof *end);
    uint32_t from = 0;

    for (uint32_t i = 0; i < t->n; i++)
        end[t->nodes[i].rev.gen - lo + 1]++;
    for (uint32_t g = 1; g <= span; g++)
        end[g] += end[g - 1];
    for (uint32_t i = 0; i < t->n; i++)
        x[end[t->nodes[i].rev.gen - lo]++] = &t->nodes[i];
    for (uint32_t g = 0; g < span; g++) {
        if (twin_among(x + from, end[g] - from))
            return true;
        from = end[g];
    }
    return false;
}

bool revtree_has_twin(const struct revtree *t)
{
    uint32_t lo = UINT32_MAX, hi = 0;
    const struct revnode **x;

    if (t->n < 2)
        return false;
    for (uint32_t i = 0; i < t->n; i++) {
        lo = t->nodes[i].rev.gen < lo ? t->nodes[i].rev.gen : lo;
        hi = t->nodes[i].rev.gen > hi ? t->nodes[i].rev.gen : hi;
    }
    if ((hi - lo) / 4 <= t->n)
        return twin_by_gen(t, lo, hi - lo + 1);
    x = arena_array(t->arena, t->n, sizeof(struct revnode *));
    for (uint32_t i = 0; i < t->n; i++)
        x[i] = &t->nodes[i];
    return twin_among(x, t->n);
}

bool revtree_valid(const struct revtree *t)
{
    bool *inner = arena_zalloc(t->arena, t->n + 1);

    for (uint32_t i = 0; i < t->n; i++) {
        const struct revnode *x = &t->nodes[i];

        if (x->rev.gen == 0 || (x->rev.hex ? x->rev.id.n != 16 : !rev_id_valid(x->rev.id)))
            return false;
        if (x->parent == REVTREE_ROOT)
            continue;
        if (x->parent < 0 || (uint32_t)x->parent >= i)
            return false;
        if (x->rev.gen != t->nodes[x->parent].rev.gen + 1)
            return false;
        inner[x->parent] = true;
    }
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].leaf == inner[i])
            return false;
    return !revtree_has_twin(t);
}
