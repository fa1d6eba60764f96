/* tests/fuzz/fuzz_couch_purge.c: the first byte chooses the decoder: the row of a purge's info, or
 * the record. What is accepted encodes to the same bytes again. */
#include <stdint.h>

#include "base/assert.h"
#include "couch/purge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_info(struct arena *a, struct slice in, struct buf *b)
{
    struct purge_info p;
    struct err e;

    if (purge_info_decode(a, in, &p, &e) != ST_OK)
        return;
    purge_info_encode(&p, b);
    ASSERT(buf_ok(b) && slice_eq(buf_slice(b), in));
}

static void one_record(struct arena *a, struct slice in, struct buf *b)
{
    struct purge_record p;
    struct doc_record d;
    struct revtree t;
    struct slice doc;
    struct err e;

    if (purge_record_decode(a, in, &p, &doc, &e) != ST_OK)
        return;
    purge_record_encode(&p, b);
    buf_add(b, doc);
    ASSERT(buf_ok(b) && slice_eq(buf_slice(b), in));
    if (doc_record_decode(a, doc, &d, &t, &e) == ST_OK)
        ASSERT(t.n == 0 || revtree_valid(&t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct buf b;

    if (size > 0) {
        struct slice in = slice_of(data + 1, size - 1);

        buf_init(&b, size);
        if (data[0] % 2 == 0)
            one_info(a, in, &b);
        else
            one_record(a, in, &b);
        buf_free(&b);
    }
    arena_free(a);
    return 0;
}
