/* wal/blob.c: writing and reading blobs in bounded memory: one chunk, and 4 bytes for each that was
 * written. See blob.h.
 */
#include "wal/blob.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"

/* ---- writing ---- */

struct blob_writer {
    struct seg_store *ss;
    struct obj_name name;
    struct md5_ctx *md5; /* NULL once it is finished */
    unsigned char *crcs;
    size_t ncrcs, cap;
    uint64_t len, at; /* bytes taken; where the object ends */
    uint32_t salt, n; /* n: of the chunk */
    bool finished;
    unsigned char chunk[BLOB_CHUNK];
};

static enum status append(struct blob_writer *w, const struct iovec *iov, int n, struct err *e)
{
    uint64_t bytes = 0;
    enum ss_rc rc;

    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    if (w->ss->ops->free_bytes(w->ss) < bytes)
        return err_set(e, ST_NO_SPACE, "No space left on device: it is kept for deletions");
    rc = w->ss->ops->obj_append(w->ss, &w->name, w->at, iov, n, e);
    w->at += bytes;
    return ss_status(rc);
}

enum status blob_create(const struct blob_home *h, uint64_t id, struct blob_writer **out,
                        struct err *e)
{
    struct blob_head head = {.id = id, .epoch = h->epoch};
    unsigned char bytes[BLOB_HEADER_BYTES];
    struct iovec iov = {bytes, sizeof bytes};
    struct obj_name name = {h->store, h->epoch, id};
    struct blob_writer *w;
    enum status st;

    ASSERT(seg_is_blob(id));
    TRY(ss_status(h->ss->ops->obj_create(h->ss, &name, e)));
    w = mem_alloc(sizeof *w);
    w->ss = h->ss;
    w->name = name;
    w->md5 = md5_new();
    w->crcs = NULL;
    w->ncrcs = w->cap = 0;
    w->len = w->at = w->n = 0;
    w->finished = false;
    random_bytes(&w->salt, sizeof w->salt);
    head.salt = w->salt;
    memcpy(head.uuid, h->uuid, sizeof head.uuid);
    blob_head_put(bytes, &head);
    st = append(w, &iov, 1, e);
    if (st != ST_OK) {
        blob_writer_free(w);
        return st;
    }
    *out = w;
    return ST_OK;
}

static enum status end_chunk(struct blob_writer *w, struct err *e)
{
    struct iovec iov = {w->chunk, w->n};

    if (w->n == 0)
        return ST_OK;
    if (w->ncrcs == w->cap) {
        w->cap = w->cap * 2 + 64;
        w->crcs = mem_realloc(w->crcs, w->cap * BLOB_CRC_BYTES);
    }
    put_le32(w->crcs + w->ncrcs++ * BLOB_CRC_BYTES, crc32c(w->salt, w->chunk, w->n));
    w->n = 0;
    return append(w, &iov, 1, e);
}

enum status blob_add(struct blob_writer *w, struct slice bytes, struct err *e)
{
    while (bytes.n != 0) {
        size_t n = BLOB_CHUNK - w->n;

        n = n < bytes.n ? n : bytes.n;
        memcpy(w->chunk + w->n, bytes.p, n);
        md5_update(w->md5, bytes.p, n);
        w->n += (uint32_t)n;
        w->len += n;
        bytes = slice_of(bytes.p + n, bytes.n - n);
        if (w->n == BLOB_CHUNK)
            TRY(end_chunk(w, e));
    }
    return ST_OK;
}

enum status blob_finish(struct blob_writer *w, struct blob_ref *out, struct err *e)
{
    unsigned char bytes[BLOB_FOOTER_BYTES];
    struct blob_foot foot = {.len = w->len};
    struct iovec iov[2];

    TRY(end_chunk(w, e));
    md5_end(w->md5, foot.md5);
    w->md5 = NULL;
    foot.chunks = w->ncrcs;
    blob_foot_put(bytes, &foot, w->salt);
    iov[0] = (struct iovec){w->crcs, w->ncrcs * BLOB_CRC_BYTES};
    iov[1] = (struct iovec){bytes, sizeof bytes};
    TRY(append(w, iov, 2, e));
    TRY(ss_status(w->ss->ops->obj_finish(w->ss, &w->name, e)));
    w->finished = true;
    *out = (struct blob_ref){.id = w->name.id, .len = foot.len, .crc = foot.crc};
    memcpy(out->md5, foot.md5, sizeof out->md5);
    return ST_OK;
}

void blob_writer_free(struct blob_writer *w)
{
    unsigned char unused[16];
    struct err e;

    if (w == NULL)
        return;
    if (!w->finished)
        (void)w->ss->ops->obj_del(w->ss, &w->name,
                                  &e); /* what stays is swept after the next start */
    if (w->md5 != NULL)
        md5_end(w->md5, unused);
    mem_free(w->crcs);
    mem_free(w);
}

/* ---- reading ---- */

struct blob_reader {
    struct seg_store *ss;
    struct obj_name name;
    uint64_t len, have; /* have: which chunk is in chunk[]; UINT64_MAX: none */
    uint32_t salt;
    unsigned char chunk[BLOB_CHUNK];
};

static enum status damaged(uint64_t id, const char *what, struct err *e)
{
    return err_set(e, ST_CORRUPT, "blob %016llx: %s", (unsigned long long)id, what);
}

static enum status read_at(struct blob_reader *r, uint64_t off, void *to, size_t n, struct err *e)
{
    return ss_status(r->ss->ops->obj_read(r->ss, &r->name, off, to, (uint32_t)n, e));
}

static enum status open_frame(struct blob_reader *r, const struct blob_home *h,
                              struct blob_ref *ref, struct err *e)
{
    unsigned char head_bytes[BLOB_HEADER_BYTES], foot_bytes[BLOB_FOOTER_BYTES];
    uint64_t foot_at;
    struct blob_head head;
    struct blob_foot foot;

    if (ref->len > INT64_MAX / 2) /* then no place overflows */
        return damaged(ref->id, "an impossible length", e);
    foot_at = blob_file_bytes(ref->len) - BLOB_FOOTER_BYTES;
    TRY(read_at(r, 0, head_bytes, sizeof head_bytes, e));
    if (!blob_head_get(head_bytes, &head) || head.id != ref->id ||
        memcmp(head.uuid, h->uuid, sizeof head.uuid) != 0)
        return damaged(ref->id, "its header is damaged or of another blob", e);
    r->salt = head.salt;
    TRY(read_at(r, foot_at, foot_bytes, sizeof foot_bytes, e));
    if (!blob_foot_get(foot_bytes, r->salt, &foot) || foot.len != ref->len || foot.crc != ref->crc)
        return damaged(ref->id, "its footer is damaged or of another content", e);
    memcpy(ref->md5, foot.md5, sizeof ref->md5);
    return ST_OK;
}

enum status blob_open(const struct blob_home *h, struct blob_ref *ref, struct blob_reader **out,
                      struct err *e)
{
    struct blob_reader *r = mem_alloc(sizeof *r);
    enum status st;

    r->ss = h->ss;
    r->name = (struct obj_name){h->store, h->epoch, ref->id};
    r->len = ref->len;
    r->have = UINT64_MAX;
    st = open_frame(r, h, ref, e);
    if (st == ST_OK)
        *out = r;
    else
        mem_free(r);
    return st;
}

static uint32_t chunk_bytes(const struct blob_reader *r, uint64_t chunk)
{
    uint64_t left = r->len - chunk * BLOB_CHUNK;

    return left < BLOB_CHUNK ? (uint32_t)left : BLOB_CHUNK;
}

static enum status load(struct blob_reader *r, uint64_t chunk, struct err *e)
{
    uint32_t n = chunk_bytes(r, chunk);
    unsigned char crc[BLOB_CRC_BYTES];

    if (r->have == chunk)
        return ST_OK;
    r->have = UINT64_MAX;
    TRY(read_at(r, BLOB_HEADER_BYTES + r->len + chunk * BLOB_CRC_BYTES, crc, sizeof crc, e));
    TRY(read_at(r, BLOB_HEADER_BYTES + chunk * BLOB_CHUNK, r->chunk, n, e));
    if (crc32c(r->salt, r->chunk, n) != get_le32(crc))
        return damaged(r->name.id, "a chunk fails its checksum", e);
    r->have = chunk;
    return ST_OK;
}

enum status blob_read(struct blob_reader *r, uint64_t off, size_t n, struct buf *out, struct err *e)
{
    if (off >= r->len)
        return ST_OK;
    if (n > r->len - off)
        n = (size_t)(r->len - off);
    while (n != 0) {
        uint64_t chunk = off / BLOB_CHUNK;
        uint32_t skip = (uint32_t)(off % BLOB_CHUNK), part;

        TRY(load(r, chunk, e));
        part = chunk_bytes(r, chunk) - skip;
        part = part < n ? part : (uint32_t)n;
        buf_append(out, r->chunk + skip, part);
        off += part;
        n -= part;
    }
    return buf_ok(out) ? ST_OK : err_set(e, ST_TOO_LARGE, "more bytes than may be read at once");
}

void blob_close(struct blob_reader *r)
{
    mem_free(r);
}
