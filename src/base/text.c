/* base/text.c: hex, percent escapes, UTF-8, decimal integers, trimming. Threads: any. */
#include "base/text.h"

static const char hex_digits[] = "0123456789abcdef";

void hex_encode(const void *in, size_t n, char *out)
{
    const unsigned char *p = in;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex_digits[p[i] >> 4];
        out[2 * i + 1] = hex_digits[p[i] & 15];
    }
}

/* 16 when c is no hex digit. */
static unsigned hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

bool hex_decode(struct slice in, void *out)
{
    unsigned char *q = out;

    if (in.n % 2 != 0)
        return false;
    for (size_t i = 0; i < in.n; i += 2) {
        unsigned hi = hex_value(in.p[i]), lo = hex_value(in.p[i + 1]);

        if ((hi | lo) > 15)
            return false;
        *q++ = (unsigned char)(hi << 4 | lo);
    }
    return true;
}

bool percent_decode(struct arena *a, struct slice in, bool plus_space, struct slice *out)
{
    char *p = arena_alloc(a, in.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];

        if (c == '%') {
            unsigned hi = in.n - i > 2 ? hex_value(in.p[i + 1]) : 16;
            unsigned lo = in.n - i > 2 ? hex_value(in.p[i + 2]) : 16;

            if ((hi | lo) > 15)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_space) {
            c = ' ';
        }
        p[n++] = c;
    }
    p[n] = '\0';
    *out = slice_of(p, n);
    return true;
}

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void percent_encode(struct buf *b, struct slice in)
{
    static const char upper[] = "0123456789ABCDEF";

    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        char esc[3] = {'%', upper[c >> 4], upper[c & 15]};

        if (unreserved(in.p[i]))
            buf_char(b, in.p[i]);
        else
            buf_append(b, esc, sizeof esc);
    }
}

/* Length of the well-formed sequence at p (n > 0 bytes left), or 0. Table 3-7 of Unicode. */
static size_t utf8_step(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < len)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void utf8_repair(struct buf *b, struct slice s)
{
    for (size_t i = 0, len; i < s.n; i += len) {
        len = utf8_step((const unsigned char *)s.p + i, s.n - i);
        if (len != 0)
            buf_append(b, s.p + i, len);
        else
            buf_str(b, "\xef\xbf\xbd");
        len += len == 0;
    }
}

bool utf8_valid(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;

    while (i < s.n) {
        uint64_t word;
        size_t len;

        while (s.n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if ((word & 0x8080808080808080) != 0)
                break;
            i += sizeof word;
        }
        if (i == s.n)
            break;
        len = utf8_step(p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

bool parse_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool parse_i64(struct slice s, int64_t *out)
{
    bool minus = s.n != 0 && s.p[0] == '-';
    uint64_t v;

    if (!parse_u64(minus ? slice_of(s.p + 1, s.n - 1) : s, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + (minus ? 1 : 0))
        return false;
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool slice_ieq(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

struct slice slice_trim(struct slice s)
{
    while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

struct slice slice_cut(struct slice *rest, char sep)
{
    const char *at = rest->n != 0 ? memchr(rest->p, sep, rest->n) : NULL;
    struct slice head = {rest->p, at != NULL ? (size_t)(at - rest->p) : rest->n};

    *rest = at != NULL ? slice_of(at + 1, rest->n - head.n - 1) : slice_of(NULL, 0);
    return head;
}
