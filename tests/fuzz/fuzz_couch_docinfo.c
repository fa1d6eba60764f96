/* tests/fuzz/fuzz_couch_docinfo.c: the first byte chooses the decoder, the rest is its input. What
 * is accepted must encode to the same bytes where the encoding has only one form. */
#include <stdint.h>

#include "base/assert.h"
#include "couch/docinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(struct buf *b, struct slice in)
{
    ASSERT(buf_ok(b));
    ASSERT(slice_eq(buf_slice(b), in));
}

static void one_docinfo(struct arena *a, struct slice in, struct buf *b)
{
    struct docinfo_head head;
    struct docinfo d;
    struct err e;
    bool ok = docinfo_head_decode(a, in, &head, &e) == ST_OK;

    if (docinfo_decode(a, in, &d, &e) != ST_OK)
        return; /* the head alone may be fine: it does not look at inner pointers */
    docinfo_encode(&d, b);
    same(b, in);
    ASSERT(ok && head.seq == d.seq);
    ASSERT(rev_eq(&head.winner, &d.tree.nodes[revtree_winner(&d.tree)].rev));
}

static void one_body(struct arena *a, struct slice in, struct buf *b)
{
    struct seg_ptr at = {3, 1000, (uint32_t)in.n, 0};
    struct doc_body d;
    struct err e;

    if (doc_body_decode(a, in, &at, &d, &e) != ST_OK)
        return;
    for (uint32_t i = 0; i < d.natts; i++)
        if (d.atts[i].ptr.seg == SEG_SELF)
            return;
    doc_body_encode(&d, b);
    ASSERT(buf_ok(b) && b->n == in.n);
}

static void one_record(struct arena *a, struct slice in, struct buf *b)
{
    struct doc_record r;
    struct revtree t;
    struct err e;

    if (doc_record_decode(a, in, &r, &t, &e) != ST_OK)
        return;
    ASSERT(revtree_valid(&t));
    revtree_resolve(&t, 1, 0);
    doc_record_encode_head(&r, b);
    ASSERT(buf_ok(b) && b->n <= in.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct seqrow row;
    struct buf b;
    struct err e;

    if (size > 0) {
        struct slice in = slice_of(data + 1, size - 1);

        buf_init(&b, size);
        switch (data[0] % 4) {
        case 0:
            one_docinfo(a, in, &b);
            break;
        case 1:
            if (seqrow_decode(in, &row, &e) == ST_OK) {
                seqrow_encode(&row, &b);
                same(&b, in);
            }
            break;
        case 2:
            one_body(a, in, &b);
            break;
        default:
            one_record(a, in, &b);
            break;
        }
        buf_free(&b);
    }
    arena_free(a);
    return 0;
}
