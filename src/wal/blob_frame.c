/* wal/blob_frame.c: header and footer of a blob to bytes and back (docs/format.md "Blob"). Pure;
 * any thread. Decoders read bytes that may be damaged: false, never an abort.
 */
#include "base/bytes.h"
#include "base/digest.h"
#include "wal/blob.h"

enum {
    HEAD_VERSION = 8,
    HEAD_LEN = 10,
    HEAD_CHUNK = 12,
    HEAD_ID = 16,
    HEAD_UUID = 24,
    HEAD_EPOCH = 40,
    HEAD_RESERVED = 48,
    HEAD_SALT = 56,
    HEAD_CRC = 60,
    FOOT_LEN = 8,
    FOOT_MD5 = 16,
    FOOT_CHUNKS = 32,
    FOOT_RESERVED = 40,
    FOOT_CRC = 44,
    BLOB_VERSION = 1
};
static const unsigned char HEAD_MAGIC[8] = "DVBLOB\0\1", FOOT_MAGIC[8] = "DVBLEND\1";

uint64_t blob_chunks(uint64_t len)
{
    return len / BLOB_CHUNK + (len % BLOB_CHUNK != 0 ? 1 : 0);
}

uint64_t blob_file_bytes(uint64_t len)
{
    return BLOB_HEADER_BYTES + len + blob_chunks(len) * BLOB_CRC_BYTES + BLOB_FOOTER_BYTES;
}

void blob_head_put(unsigned char out[BLOB_HEADER_BYTES], const struct blob_head *h)
{
    memset(out, 0, BLOB_HEADER_BYTES);
    memcpy(out, HEAD_MAGIC, sizeof HEAD_MAGIC);
    put_le16(out + HEAD_VERSION, BLOB_VERSION);
    put_le16(out + HEAD_LEN, BLOB_HEADER_BYTES);
    put_le32(out + HEAD_CHUNK, BLOB_CHUNK);
    put_le64(out + HEAD_ID, h->id);
    memcpy(out + HEAD_UUID, h->uuid, sizeof h->uuid);
    put_le64(out + HEAD_EPOCH, h->epoch);
    put_le32(out + HEAD_SALT, h->salt);
    put_le32(out + HEAD_CRC, crc32c(0, out, HEAD_CRC));
}

bool blob_head_get(const unsigned char in[BLOB_HEADER_BYTES], struct blob_head *out)
{
    if (memcmp(in, HEAD_MAGIC, sizeof HEAD_MAGIC) != 0 ||
        get_le32(in + HEAD_CRC) != crc32c(0, in, HEAD_CRC) ||
        get_le16(in + HEAD_VERSION) != BLOB_VERSION ||
        get_le16(in + HEAD_LEN) != BLOB_HEADER_BYTES || get_le32(in + HEAD_CHUNK) != BLOB_CHUNK ||
        get_le64(in + HEAD_RESERVED) != 0)
        return false;
    *out = (struct blob_head){.id = get_le64(in + HEAD_ID),
                              .epoch = get_le64(in + HEAD_EPOCH),
                              .salt = get_le32(in + HEAD_SALT)};
    memcpy(out->uuid, in + HEAD_UUID, sizeof out->uuid);
    return seg_is_blob(out->id);
}

void blob_foot_put(unsigned char out[BLOB_FOOTER_BYTES], struct blob_foot *f, uint32_t salt)
{
    memset(out, 0, BLOB_FOOTER_BYTES);
    memcpy(out, FOOT_MAGIC, sizeof FOOT_MAGIC);
    put_le64(out + FOOT_LEN, f->len);
    memcpy(out + FOOT_MD5, f->md5, sizeof f->md5);
    put_le64(out + FOOT_CHUNKS, f->chunks);
    f->crc = crc32c(salt, out, FOOT_CRC);
    put_le32(out + FOOT_CRC, f->crc);
}

bool blob_foot_get(const unsigned char in[BLOB_FOOTER_BYTES], uint32_t salt, struct blob_foot *out)
{
    if (memcmp(in, FOOT_MAGIC, sizeof FOOT_MAGIC) != 0 ||
        get_le32(in + FOOT_CRC) != crc32c(salt, in, FOOT_CRC) || get_le32(in + FOOT_RESERVED) != 0)
        return false;
    *out = (struct blob_foot){.len = get_le64(in + FOOT_LEN),
                              .chunks = get_le64(in + FOOT_CHUNKS),
                              .crc = get_le32(in + FOOT_CRC)};
    memcpy(out->md5, in + FOOT_MD5, sizeof out->md5);
    return out->chunks == blob_chunks(out->len);
}
