/* base/bytes.h: integers to bytes and back. Files are little-endian, LevelDB keys big-endian (so
 * that they sort); no struct is ever cast onto bytes. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/slice.h"

/* Through memcpy: gcc keeps a loop over the bytes as a loop. */
static inline void put_le16(void *q, uint16_t v)
{
    v = htole16(v);
    memcpy(q, &v, sizeof(v));
}
static inline uint16_t get_le16(const void *q)
{
    uint16_t v;

    memcpy(&v, q, sizeof(v));
    return le16toh(v);
}
static inline void put_le32(void *q, uint32_t v)
{
    v = htole32(v);
    memcpy(q, &v, sizeof(v));
}
static inline uint32_t get_le32(const void *q)
{
    uint32_t v;

    memcpy(&v, q, sizeof(v));
    return le32toh(v);
}
static inline void put_le64(void *q, uint64_t v)
{
    v = htole64(v);
    memcpy(q, &v, sizeof(v));
}
static inline uint64_t get_le64(const void *q)
{
    uint64_t v;

    memcpy(&v, q, sizeof(v));
    return le64toh(v);
}
static inline void put_be32(void *q, uint32_t v)
{
    v = htobe32(v);
    memcpy(q, &v, sizeof(v));
}
static inline uint32_t get_be32(const void *q)
{
    uint32_t v;

    memcpy(&v, q, sizeof(v));
    return be32toh(v);
}
static inline void put_be64(void *q, uint64_t v)
{
    v = htobe64(v);
    memcpy(q, &v, sizeof(v));
}
static inline uint64_t get_be64(const void *q)
{
    uint64_t v;

    memcpy(&v, q, sizeof(v));
    return be64toh(v);
}

/* A reader over untrusted bytes: after the first short read `bad` sticks and every further read
 * yields zeros, so a decoder tests it once at the end. */
struct rd {
    const char *p, *end;
    bool bad;
};
struct rd rd_of(struct slice s);
static inline uint8_t rd_u8(struct rd *r)
{
    if (r->p != r->end)
        return (uint8_t)*r->p++;
    r->bad = true;
    return 0;
}
uint32_t rd_le32(struct rd *r);
uint64_t rd_le64(struct rd *r);
uint64_t rd_varint(struct rd *r);              /* canonical LEB128 of at most 10 bytes, else bad */
struct slice rd_bytes(struct rd *r, size_t n); /* borrowed from the input; empty when bad */
static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}
#endif
