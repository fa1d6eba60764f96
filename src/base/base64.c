/* base/base64.c: base64 in both alphabets. Decoding looks four bytes up at a time and tests the
 * four results together: 255 marks a byte outside the alphabet, which no valid value reaches. Bits
 * left over in the last character are ignored, as CouchDB does. Threads: any. */
#include "base/text.h"

/* clang-format off */
static const unsigned char std_value[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  62, 255, 255, 255,  63,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61, 255, 255, 255, 255, 255, 255,
    255,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, 255, 255, 255, 255, 255,
    255,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
static const unsigned char url_value[256] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  62, 255, 255,
     52,  53,  54,  55,  56,  57,  58,  59,  60,  61, 255, 255, 255, 255, 255, 255,
    255,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
     15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, 255, 255, 255, 255,  63,
    255,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
     41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
/* clang-format on */
static const char std_char[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_char[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64_encoded_len(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Writes without padding, returns the length. */
static size_t encode(const char *chars, const unsigned char *p, size_t n, char *out)
{
    char *q = out;

    for (; n >= 3; n -= 3, p += 3, q += 4) {
        q[0] = chars[p[0] >> 2];
        q[1] = chars[(p[0] & 3) << 4 | p[1] >> 4];
        q[2] = chars[(p[1] & 15) << 2 | p[2] >> 6];
        q[3] = chars[p[2] & 63];
    }
    if (n == 0)
        return (size_t)(q - out);
    *q++ = chars[p[0] >> 2];
    if (n == 1) {
        *q++ = chars[(p[0] & 3) << 4];
    } else {
        *q++ = chars[(p[0] & 3) << 4 | p[1] >> 4];
        *q++ = chars[(p[1] & 15) << 2];
    }
    return (size_t)(q - out);
}

void base64_encode(const void *in, size_t n, char *out)
{
    size_t len = encode(std_char, in, n, out);

    while (len % 4 != 0)
        out[len++] = '=';
}

size_t base64url_encode(const void *in, size_t n, char *out)
{
    return encode(url_char, in, n, out);
}

/* in has no padding. */
static bool decode(const unsigned char *value, struct slice in, unsigned char *out, size_t *n)
{
    const unsigned char *p = (const unsigned char *)in.p;
    size_t left = in.n;
    unsigned char *q = out;
    unsigned bad = 0;

    for (; left >= 4; left -= 4, p += 4, q += 3) {
        unsigned a = value[p[0]], b = value[p[1]], c = value[p[2]], d = value[p[3]];
        unsigned v = a << 18 | b << 12 | c << 6 | d;

        bad |= a | b | c | d;
        q[0] = (unsigned char)(v >> 16);
        q[1] = (unsigned char)(v >> 8);
        q[2] = (unsigned char)v;
    }
    if (left == 1 || bad >= 64)
        return false;
    if (left != 0) {
        unsigned a = value[p[0]], b = value[p[1]], c = left == 3 ? value[p[2]] : 0;

        bad |= a | b | c;
        *q++ = (unsigned char)(a << 2 | b >> 4);
        if (left == 3)
            *q++ = (unsigned char)(b << 4 | c >> 2);
    }
    *n = (size_t)(q - out);
    return bad < 64;
}

bool base64_decode(struct slice in, void *out, size_t *n)
{
    if (in.n % 4 != 0)
        return false;
    for (int i = 0; i < 2 && in.n != 0 && in.p[in.n - 1] == '='; i++)
        in.n--;
    return decode(std_value, in, out, n);
}

bool base64url_decode(struct slice in, void *out, size_t *n)
{
    return decode(url_value, in, out, n);
}
