/* wal/blob.h: one large value in an object of its own: written once, front to back, never moved.
 *
 * header(64), the bytes in chunks of BLOB_CHUNK without anything between them, a CRC of each chunk,
 * footer(48); to the byte in docs/format.md. Since the place of everything follows from the length,
 * any range is read and verified with two reads. Whoever names a blob keeps a blob_ref; its crc,
 * the footer's, ties the name to this one content.
 * Threads: one at a time per writer or reader.
 */
#ifndef WAL_BLOB_H
#define WAL_BLOB_H
#include "base/buf.h"
#include "wal/seg_store.h"

enum { BLOB_HEADER_BYTES = 64, BLOB_FOOTER_BYTES = 48, BLOB_CRC_BYTES = 4, BLOB_CHUNK = 256 << 10 };

/* Whose blobs: where they lie, and what is in every header. */
struct blob_home {
    struct seg_store *ss;
    uint64_t store, epoch;
    unsigned char uuid[16];
};
struct blob_ref {
    uint64_t id, len;
    uint32_t crc;
    unsigned char md5[16]; /* out: of what blob_finish wrote and blob_open found */
};

/* ---- blob_frame.c: bytes; pure ---- */
struct blob_head {
    uint64_t id, epoch;
    unsigned char uuid[16];
    uint32_t salt;
};
struct blob_foot {
    uint64_t len, chunks;
    unsigned char md5[16];
    uint32_t crc;
};
void blob_head_put(unsigned char out[BLOB_HEADER_BYTES], const struct blob_head *h);
bool blob_head_get(const unsigned char in[BLOB_HEADER_BYTES], struct blob_head *out);
/* Fills f->crc too. */
void blob_foot_put(unsigned char out[BLOB_FOOTER_BYTES], struct blob_foot *f, uint32_t salt);
bool blob_foot_get(const unsigned char in[BLOB_FOOTER_BYTES], uint32_t salt, struct blob_foot *out);
uint64_t blob_chunks(uint64_t len);
uint64_t blob_file_bytes(uint64_t len); /* of the whole object */

/* ---- writing ---- */
struct blob_writer;
/* ST_EXISTS: the id was used before. ST_NO_SPACE. */
enum status blob_create(const struct blob_home *h, uint64_t id, struct blob_writer **out,
                        struct err *e) MUST_CHECK;
enum status blob_add(struct blob_writer *w, struct slice bytes, struct err *e) MUST_CHECK;
/* Durable when it returns. After a failure, of blob_add too, only blob_writer_free is left. */
enum status blob_finish(struct blob_writer *w, struct blob_ref *out, struct err *e) MUST_CHECK;
void blob_writer_free(struct blob_writer *w); /* unfinished: deletes it; NULL is fine */

/* ---- reading ---- */
struct blob_reader;
/* ref: id, len and crc; md5 is filled in. ST_NOT_FOUND: there is none; ST_CORRUPT: it is not what
 * ref names. */
enum status blob_open(const struct blob_home *h, struct blob_ref *ref, struct blob_reader **out,
                      struct err *e) MUST_CHECK;
/* Appends up to n bytes from off on, fewer only at the end; all of them verified. */
enum status blob_read(struct blob_reader *r, uint64_t off, size_t n, struct buf *out,
                      struct err *e) MUST_CHECK;
void blob_close(struct blob_reader *r); /* NULL is fine */
#endif
