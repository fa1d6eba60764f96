/* tests/fuzz/fuzz_couch_revtree.c: decodes hostile bytes as a revision tree. What is accepted must
 * be a valid forest and must encode to the very bytes that were read. */
#include <stdint.h>

#include "base/assert.h"
#include "couch/revtree_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct revtree *t)
{
    uint32_t *idx, n;

    ASSERT(revtree_valid(t));
    n = revtree_leaves(t, t->arena, &idx);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *path;

        ASSERT(revtree_path(t, (int)idx[i], t->arena, &path) > 0);
    }
    (void)revtree_stem(t, 3);
    ASSERT(revtree_valid(t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct rd r = rd_of(slice_of(data, size)), whole = r;
    struct rev winner;
    struct revtree t;
    struct buf b;
    struct err e;

    revtree_init(&t, a);
    if (revtree_decode(&r, &t, &e) == ST_OK) {
        bool all = rd_left(&r) == 0;

        buf_init(&b, size + 1);
        revtree_encode(&t, &b);
        ASSERT(buf_ok(&b));
        ASSERT(slice_eq(buf_slice(&b), slice_of(data, size - rd_left(&r))));
        buf_free(&b);
        if (revtree_decode_winner(&whole, a, &winner, &e) == ST_OK)
            ASSERT(all && rev_eq(&winner, &t.nodes[revtree_winner(&t)].rev));
        else
            ASSERT(!all || t.n == 0);
        look(&t);
    } else {
        ASSERT(revtree_decode_winner(&whole, a, &winner, &e) != ST_OK);
    }
    arena_free(a);
    return 0;
}
