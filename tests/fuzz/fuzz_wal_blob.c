/* Any bytes as a blob. Input: 'R' and the bytes of an object: opening and reading it never crashes,
 * and what is read is as long as the footer says. 'M', u32 place, mask, content: a blob with that
 * content and the byte at that place (modulo its size) changed by the mask: it is read as it was
 * written, or refused. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "wal/blob.h"
#include "wal/seg_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MUTATION_BYTES = 5 };
static const uint64_t ID = SEG_BLOB | 1ull << 32 | 1;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void put_raw(const struct blob_home *h, const uint8_t *data, size_t n)
{
    struct obj_name name = {h->store, h->epoch, ID};
    struct iovec iov = {(void *)(uintptr_t)data, n};
    struct err e;

    must(h->ss->ops->obj_create(h->ss, &name, &e) == SS_OK);
    must(h->ss->ops->obj_append(h->ss, &name, 0, &iov, 1, &e) == SS_OK);
    must(h->ss->ops->obj_finish(h->ss, &name, &e) == SS_OK);
}

static void read_raw(struct blob_home *h, const uint8_t *data, size_t n)
{
    struct blob_ref ref = {.id = ID, .len = n};
    struct blob_reader *r;
    struct blob_foot foot;
    struct buf b;
    struct err e;

    put_raw(h, data, n);
    if (n >= BLOB_HEADER_BYTES)
        memcpy(h->uuid, data + 24, sizeof h->uuid);
    if (n >= BLOB_HEADER_BYTES + BLOB_FOOTER_BYTES &&
        blob_foot_get(data + n - BLOB_FOOTER_BYTES, get_le32(data + 56), &foot)) {
        ref.len = foot.len;
        ref.crc = foot.crc;
    }
    if (blob_open(h, &ref, &r, &e) != ST_OK)
        return;
    buf_init(&b, n + 1);
    if (blob_read(r, 0, n + 1, &b, &e) == ST_OK)
        must(b.n == ref.len);
    buf_free(&b);
    blob_close(r);
}

static void read_mutated(const struct blob_home *h, struct seg_store *ss, const uint8_t *data,
                         size_t n)
{
    struct slice content = slice_of((const char *)data + MUTATION_BYTES, n - MUTATION_BYTES);
    struct blob_writer *w;
    struct blob_reader *r;
    struct blob_ref ref;
    struct buf b;
    struct err e;

    must(blob_create(h, ID, &w, &e) == ST_OK && blob_add(w, content, &e) == ST_OK);
    must(blob_finish(w, &ref, &e) == ST_OK);
    blob_writer_free(w);
    seg_mem_damage_obj(ss, ID, get_le32(data) % blob_file_bytes(content.n), data[4]);
    buf_init(&b, content.n + 1);
    if (blob_open(h, &ref, &r, &e) == ST_OK) {
        if (blob_read(r, 0, content.n, &b, &e) == ST_OK)
            must(slice_eq(buf_slice(&b), content));
        blob_close(r);
    } else {
        must(data[4] != 0);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct seg_store *ss = seg_mem_new(1);
    struct blob_home h = {.ss = ss};
    struct ss_super super;
    struct err e;

    must(ss->ops->acquire(ss, 0, &super, &e) == SS_OK);
    h.epoch = super.epoch;
    if (n > 0 && data[0] == 'R')
        read_raw(&h, data + 1, n - 1);
    else if (n > MUTATION_BYTES && data[0] == 'M')
        read_mutated(&h, ss, data + 1, n - 1);
    ss->ops->close(ss);
    return 0;
}
