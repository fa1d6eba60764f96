/* json/write.c: values to compact text. A parsed value is written by copying its span of the input;
 * only what was built, or lost its span to a duplicate name, is put together from nodes.
 * Threads: any. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "json/number.h"

#define REPEAT(byte) (0x0101010101010101u * (byte))

/* Nonzero when a byte of x is below n (n <= 128) or is c; exact about whether there is one. */
static inline uint64_t has_special(uint64_t x, unsigned n, unsigned char c)
{
    uint64_t y = x ^ REPEAT(c);

    return (((x - REPEAT(n)) & ~x) | ((y - REPEAT(1u)) & ~y)) & REPEAT(0x80u);
}

/* Bytes in front of p that a string can hold as they are. */
static size_t plain_run(const char *p, size_t n)
{
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        uint64_t x, y;

        memcpy(&x, p + i, 8);
        y = x ^ REPEAT('\\');
        if ((has_special(x, 0x20, '"') | ((y - REPEAT(1u)) & ~y & REPEAT(0x80u))) != 0)
            break;
    }
    while (i < n && (unsigned char)p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')
        i++;
    return i;
}

void json_write_str(struct buf *b, struct slice s)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";

    buf_char(b, '"');
    while (s.n != 0) {
        size_t run = plain_run(s.p, s.n);
        const char *found;

        buf_append(b, s.p, run);
        s = slice_of(s.p + run, s.n - run);
        if (s.n == 0)
            break;
        found = s.p[0] != '\0' ? strchr(from, s.p[0]) : NULL;
        if (found != NULL) {
            buf_append(b, (char[]){'\\', to[found - from]}, 2);
        } else {
            unsigned char c = (unsigned char)s.p[0];

            buf_append(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        }
        s = slice_of(s.p + 1, s.n - 1);
    }
    buf_char(b, '"');
}

/* 15 digits are enough for every double that has a text of at most 15, and 17 for all. Below
 * DBL_MIN a double has fewer bits, so fewer digits may do. */
size_t number_text(double v, char out[NUMBER_TEXT])
{
    int digits = fabs(v) < 2.3e-308 ? 1 : 15;
    int n;

    if (fabs(v) < 1e15 && v == (double)(int64_t)v && !(v == 0 && signbit(v)))
        return (size_t)snprintf(out, NUMBER_TEXT, "%lld", (long long)v);
    do
        n = snprintf(out, NUMBER_TEXT, "%.*g", digits++, v);
    while (digits <= 17 && strtod(out, NULL) != v);
    return (size_t)n;
}

void json_write_num(struct buf *b, double v)
{
    char digits[NUMBER_TEXT];

    if (isfinite(v))
        buf_append(b, digits, number_text(v, digits));
    else
        buf_append(b, "null", 4);
}

/* End of the run in front of p without whitespace and quotes. */
static const char *skip_bare(const char *p, const char *end)
{
    uint64_t x;

    while (end - p >= 8) {
        memcpy(&x, p, 8);
        if (has_special(x, 0x21, '"') != 0)
            break;
        p += 8;
    }
    while (p < end && (unsigned char)*p > ' ' && *p != '"')
        p++;
    return p;
}

/* p is behind the opening quote; returns the place behind the closing one. */
static const char *skip_string(const char *p, const char *end)
{
    while (p < end) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        const char *back;

        if (quote == NULL)
            return end;
        for (back = quote; back > p && back[-1] == '\\'; back--)
            continue;
        if ((quote - back) % 2 == 0)
            return quote + 1;
        p = quote + 1;
    }
    return end;
}

/* Copies text without the whitespace between its tokens. */
static void write_stripped(struct buf *b, struct slice text)
{
    const char *p = text.p, *from = text.p;
    const char *end = p + text.n;

    while (p < end) {
        p = skip_bare(p, end);
        if (p < end && *p == '"') {
            p = skip_string(p + 1, end);
            continue;
        }
        buf_append(b, from, (size_t)(p - from));
        while (p < end && (unsigned char)*p <= ' ')
            p++;
        from = p;
    }
    buf_append(b, from, (size_t)(end - from));
}

/* Recursion: at most LIMIT_JSON_DEPTH for what was parsed, and the few levels built around it. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void write_children(struct buf *b, const struct json *v)
{
    bool object = v->type == JSON_OBJECT;

    buf_char(b, object ? '{' : '[');
    for (const struct json *c = v->first; c != NULL; c = c->next) {
        if (c != v->first)
            buf_char(b, ',');
        if (object) {
            json_write_str(b, c->key);
            buf_char(b, ':');
        }
        json_write(b, c);
    }
    buf_char(b, object ? '}' : ']');
}

/* NOLINTNEXTLINE(misc-no-recursion): see write_children */
void json_write(struct buf *b, const struct json *v)
{
    if (v->raw.n != 0) {
        if (v->blank)
            write_stripped(b, v->raw);
        else
            buf_add(b, v->raw);
        return;
    }
    switch (v->type) {
    case JSON_NULL:
        buf_append(b, "null", 4);
        break;
    case JSON_FALSE:
        buf_append(b, "false", 5);
        break;
    case JSON_TRUE:
        buf_append(b, "true", 4);
        break;
    case JSON_NUMBER:
        buf_add(b, v->text);
        break;
    case JSON_STRING:
        json_write_str(b, v->text);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_children(b, v);
        break;
    }
}
