/* couch/revtree_merge.c: changing a revision forest: a child, a replicated path, stemming. Pure;
 * any thread, one at a time per tree.
 *
 * Merging identifies a revision by generation and hash alone. As a path has one revision per
 * generation, one pass over the nodes finds everything the two have in common. The path is grafted
 * at the newest common revision. When that revision's known ancestry ends earlier than the path's,
 * the rest of the path is put above it, which may join trees that stemming had separated. Where a
 * path contradicts the known ancestry of a revision, what is known stays.
 */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "couch/revtree_priv.h"

int revtree_add_child(struct revtree *t, int parent, const struct rev *r, bool deleted)
{
    int i;

    if (revtree_find(t, r) >= 0)
        return -1;
    if (parent != REVTREE_ROOT) {
        ASSERT(parent >= 0 && (uint32_t)parent < t->n && t->nodes[parent].leaf);
        ASSERT(r->gen == t->nodes[parent].rev.gen + 1);
        t->nodes[parent].leaf = false;
    }
    i = revtree_push(t, parent, r, true);
    t->nodes[i].deleted = deleted;
    return i;
}

/* ---- merge ---- */

/* common[i]: the node that is revs[i], or -1. */
static void find_common(const struct revtree *t, const struct rev *revs, uint32_t n, int *common)
{
    uint32_t newest = revs[0].gen;

    for (uint32_t i = 0; i < n; i++)
        common[i] = -1;
    for (uint32_t k = 0; k < t->n; k++) {
        uint32_t i = newest - t->nodes[k].rev.gen; /* wraps for newer ones: then not below n */

        if (t->nodes[k].rev.gen <= newest && i < n && slice_eq(t->nodes[k].rev.id, revs[i].id))
            common[i] = (int)k;
    }
}

/* Node `at` is revs[i]. Puts what the path knows above at's root. True when a root got a parent. */
static bool extend_upwards(struct revtree *t, const struct rev *revs, uint32_t n, uint32_t i,
                           int *common)
{
    bool joined = false;
    int at = common[i];

    for (; i + 1 < n; i++) {
        int above = t->nodes[at].parent;

        if (above == REVTREE_ROOT) {
            above = common[i + 1];
            if (above < 0)
                above = revtree_push(t, REVTREE_ROOT, &revs[i + 1], true);
            t->nodes[above].leaf = false;
            t->nodes[at].parent = above;
            joined = true;
        } else if (common[i + 1] != above) {
            break; /* another ancestry than the known one */
        }
        at = above;
    }
    return joined;
}

static int gen_order_qsort(const void *x, const void *y)
{
    const struct revnode *const *a = x, *const *b = y;

    if ((*a)->rev.gen != (*b)->rev.gen)
        return (*a)->rev.gen < (*b)->rev.gen ? -1 : 1;
    return (*a < *b) ? -1 : *a > *b;
}

/* Restores "a parent before its children" after a join; returns where node i went. */
static int reorder(struct revtree *t, int i)
{
    const struct revnode **from = mem_array(t->n, sizeof(struct revnode *));
    int32_t *to = mem_array(t->n, sizeof *to);
    struct revnode *nodes = arena_array(t->arena, t->n, sizeof *nodes);

    for (uint32_t k = 0; k < t->n; k++)
        from[k] = &t->nodes[k];
    qsort(from, t->n, sizeof(struct revnode *), gen_order_qsort);
    for (uint32_t k = 0; k < t->n; k++)
        to[from[k] - t->nodes] = (int32_t)k;
    for (uint32_t k = 0; k < t->n; k++) {
        nodes[k] = *from[k];
        if (nodes[k].parent >= 0)
            nodes[k].parent = to[nodes[k].parent];
    }
    i = to[i];
    t->nodes = nodes;
    t->cap = t->n;
    mem_free(from);
    mem_free(to);
    return i;
}

bool revtree_merge(struct revtree *t, const struct rev *revs, uint32_t n, bool deleted, int *leaf)
{
    int *common;
    bool joined = false;
    uint32_t i = 0;
    int at = REVTREE_ROOT;

    ASSERT(n > 0 && n <= revs[0].gen);
    for (uint32_t k = 1; k < n; k++)
        ASSERT(revs[k].gen == revs[0].gen - k);
    *leaf = revtree_find(t, &revs[0]);
    if (*leaf >= 0)
        return false;
    common = mem_array(n, sizeof *common);
    find_common(t, revs, n, common);
    while (i < n && common[i] < 0)
        i++;
    if (i < n) {
        at = common[i];
        joined = extend_upwards(t, revs, n, i, common);
        t->nodes[at].leaf = false;
    }
    mem_free(common);
    revtree_reserve(t, i);
    while (i-- > 0) {
        at = revtree_push(t, at, &revs[i], true);
        t->nodes[at].leaf = i == 0;
    }
    t->nodes[at].deleted = deleted;
    *leaf = joined ? reorder(t, at) : at;
    return true;
}

/* ---- stem ---- */

/* Moves the kept nodes together. rank: see below; overwritten with where each node went. What is
 * exactly `limit` away from its nearest leaf is the last that a path keeps: a root from now on,
 * even where its parent stays for the sake of a nearer leaf. */
static void cut(struct revtree *t, uint32_t *rank, uint32_t limit)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n; i++) {
        struct revnode x = t->nodes[i];

        if (rank[i] > limit)
            continue;
        if (rank[i] == limit)
            x.parent = REVTREE_ROOT;
        else if (x.parent >= 0)
            x.parent = (int32_t)rank[x.parent];
        rank[i] = n;
        t->nodes[n++] = x;
    }
    t->n = n;
}

bool revtree_stem(struct revtree *t, uint32_t limit)
{
    uint32_t *rank; /* nodes from here down to the nearest leaf, both counted */
    bool changed = false;

    if (limit == 0)
        limit = 1;
    if (t->n <= limit)
        return false;
    rank = mem_array(t->n, sizeof *rank);
    for (uint32_t i = 0; i < t->n; i++)
        rank[i] = t->nodes[i].leaf ? 1 : UINT32_MAX;
    for (uint32_t i = t->n; i-- > 0;) {
        int32_t p = t->nodes[i].parent;

        if (p >= 0 && rank[i] + 1 < rank[p])
            rank[p] = rank[i] + 1;
        changed = changed || (p >= 0 && rank[i] >= limit);
    }
    if (changed)
        cut(t, rank, limit);
    mem_free(rank);
    return changed;
}

/* ---- purge ---- */

void revtree_remove_leaves(struct revtree *t, const bool *gone)
{
    int32_t *to = mem_array(t->n + 1, sizeof *to); /* -1: goes away */
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n; i++)
        to[i] = t->nodes[i].leaf && !gone[i] ? 0 : -1;
    for (uint32_t i = t->n; i-- > 0;)
        if (to[i] == 0 && t->nodes[i].parent >= 0)
            to[t->nodes[i].parent] = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct revnode x = t->nodes[i];

        if (to[i] < 0)
            continue;
        if (x.parent >= 0)
            x.parent = to[x.parent];
        to[i] = (int32_t)n;
        t->nodes[n++] = x;
    }
    t->n = n;
    mem_free(to);
}
