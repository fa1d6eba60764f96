/* base/bytes.h: integers to bytes and back. Files are little-endian, LevelDB keys big-endian (so
 * that they sort); no struct is ever cast onto bytes. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H
#include <stdint.h>

#include "base/slice.h"

static inline void put_le16(void *q, uint16_t v)
{
    unsigned char *p = q;
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}
static inline void put_le32(void *q, uint32_t v)
{
    unsigned char *p = q;
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}
static inline void put_le64(void *q, uint64_t v)
{
    unsigned char *p = q;
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}
static inline uint16_t get_le16(const void *q)
{
    const unsigned char *p = q;
    return (uint16_t)(p[0] | (p[1] << 8));
}
static inline uint32_t get_le32(const void *q)
{
    const unsigned char *p = q;
    uint32_t v = 0;
    for (int i = 3; i >= 0; i--)
        v = (v << 8) | p[i];
    return v;
}
static inline uint64_t get_le64(const void *q)
{
    const unsigned char *p = q;
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = (v << 8) | p[i];
    return v;
}
static inline void put_be32(void *q, uint32_t v)
{
    unsigned char *p = q;
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}
static inline void put_be64(void *q, uint64_t v)
{
    unsigned char *p = q;
    for (int i = 0; i < 8; i++)
        p[i] = (unsigned char)(v >> (56 - 8 * i));
}
static inline uint32_t get_be32(const void *q)
{
    const unsigned char *p = q;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = (v << 8) | p[i];
    return v;
}
static inline uint64_t get_be64(const void *q)
{
    const unsigned char *p = q;
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = (v << 8) | p[i];
    return v;
}

/* A reader over untrusted bytes: after the first short read `bad` sticks and every further read
 * yields zeros, so a decoder tests it once at the end. */
struct rd {
    const char *p, *end;
    bool bad;
};
struct rd rd_of(struct slice s);
uint8_t rd_u8(struct rd *r);
uint32_t rd_le32(struct rd *r);
uint64_t rd_le64(struct rd *r);
uint64_t rd_varint(struct rd *r);              /* canonical LEB128 of at most 10 bytes, else bad */
struct slice rd_bytes(struct rd *r, size_t n); /* borrowed from the input; empty when bad */
static inline size_t rd_left(const struct rd *r)
{
    return (size_t)(r->end - r->p);
}
#endif
