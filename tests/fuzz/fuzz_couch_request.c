/* tests/fuzz/fuzz_couch_request.c: what clients send to a database: sequence tokens (behind a first
 * byte 'S'), revisions ('R'), and the documents of a _bulk_docs body. */
#include <stdint.h>

#include "base/assert.h"
#include "couch/doc_priv.h"
#include "couch/partition.h"
#include "couch/store_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is taken is one of ours, or reads as a number; ours comes back as it went. */
static void fuzz_seq(struct slice text)
{
    static struct db db = {.uuid = {0xab, 0xcd, 0xef, 1}};
    struct buf b;
    uint64_t seq, again;
    struct err e;

    atomic_store(&db.update_seq, 1000);
    if (seq_parse(&db, text, &seq, &e) != ST_OK)
        return;
    buf_init(&b, 128);
    seq_write(&b, &db, seq);
    ASSERT(seq_parse(&db, buf_slice(&b), &again, &e) == ST_OK);
    ASSERT(again == (seq > 1000 ? 0 : seq));
    buf_free(&b);
}

static void fuzz_rev(struct arena *a, struct slice text)
{
    struct rev r, again;
    struct err e;

    if (rev_parse(a, text, &r, &e) == ST_OK)
        ASSERT(rev_parse(a, rev_text(a, &r), &again, &e) == ST_OK && rev_eq(&r, &again));
}

static void fuzz_bulk(struct arena *a, struct slice text)
{
    const struct json *body, *docs;
    struct doc_parts parts;
    struct err e;

    if (json_parse(a, text, &body, &e) != ST_OK)
        return;
    docs = json_get(body, "docs");
    if (!json_is(docs, JSON_ARRAY))
        return;
    docs = json_unpack(a, docs);
    for (const struct json *doc = docs->first; doc != NULL; doc = doc->next) {
        if (doc->type != JSON_OBJECT)
            continue;
        if (doc_parse(a, doc, false, &parts, &e) != ST_OK || !parts.has_id)
            continue;
        if (doc_id_check(parts.id, &e) == ST_OK && partition_check_id(parts.id, &e) == ST_OK)
            ASSERT(parts.id.n != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct slice s = {(const char *)data, size};

    if (size != 0 && data[0] == 'S')
        fuzz_seq(slice_of(s.p + 1, s.n - 1));
    else if (size != 0 && data[0] == 'R')
        fuzz_rev(a, slice_of(s.p + 1, s.n - 1));
    else
        fuzz_bulk(a, s);
    arena_free(a);
    return 0;
}
