/* couch/revid.c: rev_make: the revision CouchDB would give the same edit. Pure; any thread.
 *
 * CouchDB hashes term_to_binary([Deleted, OldStart, OldRev, Body, Atts], [{minor_version, 1}]). The
 * bytes of that term are produced here without building it, into a small buffer that is flushed
 * into the digest when it fills, so memory does not grow with the document:
 *
 *   131 list;  list: 108 n(4) elements 106, empty 106, only bytes 0..255: 107 n(2) bytes
 *   object: 1-tuple (104 1) of a list of 2-tuples (104 2) name, value
 *   integer: 97 u8 | 98 i32 | 110 n(1) sign bytes, little-endian | 111 n(4) sign bytes
 *   float: 70 big-endian double;  string: 109 n(4) bytes;  true, false, null: 100 n(2) name
 *
 * Two kinds of number that Erlang cannot hold or would hold at great cost are hashed as the binary
 * of their digits: floats that overflow (1e400) and integers of more than LIMIT_REV_INT_DIGITS.
 */
#include <math.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "couch/rev.h"
#include "json/json.h"

enum {
    TAG_FLOAT = 70,
    TAG_BYTE = 97,
    TAG_INT = 98,
    TAG_ATOM = 100,
    TAG_TUPLE = 104,
    TAG_NIL = 106,
    TAG_STRING = 107,
    TAG_LIST = 108,
    TAG_BINARY = 109,
    TAG_SMALL_BIG = 110,
    TAG_LARGE_BIG = 111,
    TERM_VERSION = 131
};
enum {
    TERM_BUFFER = 4096,
    STRING_EXT_MAX = 65535,
    INT64_DIGITS = 18, /* any number of so many digits fits */
    SCALE_MAX = 27,    /* 5^27 is the last power of five that fits in 63 bits */
    BIG_LIMBS = LIMIT_REV_INT_DIGITS / 9 + 2
};

struct term {
    struct md5_ctx *ctx; /* NULL while all fits into buf */
    size_t n;
    unsigned char buf[TERM_BUFFER];
};

/* ---- bytes ---- */

static void flush(struct term *t)
{
    if (t->ctx == NULL)
        t->ctx = md5_new();
    md5_update(t->ctx, t->buf, t->n);
    t->n = 0;
}

static unsigned char *room(struct term *t, size_t n)
{
    unsigned char *p;

    ASSERT(n <= TERM_BUFFER);
    if (n > TERM_BUFFER - t->n)
        flush(t);
    p = t->buf + t->n;
    t->n += n;
    return p;
}

static void put(struct term *t, const void *p, size_t n)
{
    if (n > TERM_BUFFER) {
        flush(t);
        md5_update(t->ctx, p, n);
    } else if (n > 0) {
        memcpy(room(t, n), p, n);
    }
}

static void put_byte(struct term *t, unsigned v)
{
    *room(t, 1) = (unsigned char)v;
}

static void put_tagged32(struct term *t, unsigned tag, uint32_t v)
{
    unsigned char *p = room(t, 5);

    p[0] = (unsigned char)tag;
    put_be32(p + 1, v);
}

static void put_binary(struct term *t, struct slice s)
{
    put_tagged32(t, TAG_BINARY, (uint32_t)s.n);
    put(t, s.p, s.n);
}

static void put_atom(struct term *t, struct slice name)
{
    unsigned char *p = room(t, 3);

    p[0] = TAG_ATOM;
    p[1] = 0;
    p[2] = (unsigned char)name.n;
    put(t, name.p, name.n);
}

static void put_tuple(struct term *t, unsigned arity)
{
    unsigned char *p = room(t, 2);

    p[0] = TAG_TUPLE;
    p[1] = (unsigned char)arity;
}

/* ---- numbers ---- */

static void put_big(struct term *t, bool negative, const uint32_t *limbs, size_t nlimbs)
{
    size_t n = nlimbs * 4;

    while (n > 0 && ((limbs[(n - 1) / 4] >> (8 * ((n - 1) % 4))) & 0xff) == 0)
        n--;
    if (n <= 255) {
        put_byte(t, TAG_SMALL_BIG);
        put_byte(t, (unsigned)n);
    } else {
        put_tagged32(t, TAG_LARGE_BIG, (uint32_t)n);
    }
    put_byte(t, negative);
    for (size_t i = 0; i < n; i++)
        put_byte(t, (limbs[i / 4] >> (8 * (i % 4))) & 0xff);
}

static void put_integer(struct term *t, int64_t v)
{
    uint64_t m = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    if (v >= 0 && v <= 255) {
        put_byte(t, TAG_BYTE);
        put_byte(t, (unsigned)v);
    } else if (v >= INT32_MIN && v <= INT32_MAX) {
        put_tagged32(t, TAG_INT, (uint32_t)(int32_t)v);
    } else {
        put_big(t, v < 0, (uint32_t[]){(uint32_t)m, (uint32_t)(m >> 32)}, 2);
    }
}

static void put_long_integer(struct term *t, bool negative, struct slice digits)
{
    uint32_t limbs[BIG_LIMBS];
    size_t n = 0;

    for (size_t i = 0; i < digits.n;) {
        uint64_t carry = 0;
        uint32_t scale = 1;

        for (int k = 0; k < 9 && i < digits.n; k++, i++) {
            carry = carry * 10 + (uint64_t)(digits.p[i] - '0');
            scale *= 10;
        }
        for (size_t j = 0; j < n; j++) {
            carry += (uint64_t)limbs[j] * scale;
            limbs[j] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry != 0) {
            ASSERT(n < BIG_LIMBS);
            limbs[n++] = (uint32_t)carry;
        }
    }
    put_big(t, negative, limbs, n);
}

/* A number with a point or an exponent is a float, as in CouchDB's JSON reader. */
static bool is_float(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == '.' || text.p[i] == 'e' || text.p[i] == 'E')
            return true;
    return false;
}

/* digits / 10^scale, correctly rounded: one exact division of 127 bits by 64, whose remainder goes
 * into the last bit of the quotient, ten places below the last bit of a double. */
static double divide(uint64_t digits, unsigned scale)
{
    uint64_t five = 1, q;
    int up, by;

    for (unsigned i = 0; i < scale; i++)
        five *= 5;
    up = __builtin_clzll(digits);
    by = __builtin_clzll(five);
    five <<= by;
    __extension__ unsigned __int128 n = (unsigned __int128)(digits << up) << 63;
    q = (uint64_t)(n / five);
    q |= (uint64_t)n != q * five; /* the remainder is below 2^64 */
    return ldexp((double)q, by - up - 63 - (int)scale);
}

/* The numbers of vectors: digits and a point, no exponent. Other ones are left to json_double,
 * which for 17 digits takes several times as long. */
static bool plain_float(struct slice text, double *out)
{
    uint64_t digits = 0;
    unsigned scale = 0;
    bool point = false;
    size_t i = text.n > 0 && text.p[0] == '-';

    for (; i < text.n; i++) {
        unsigned d = (unsigned char)text.p[i] - (unsigned)'0';

        if (text.p[i] == '.') {
            point = true;
            continue;
        }
        if (d > 9 || digits > UINT64_MAX / 10 - 1)
            return false;
        digits = digits * 10 + d;
        scale += point;
    }
    if (digits == 0 || scale > SCALE_MAX)
        return false;
    *out = text.p[0] == '-' ? -divide(digits, scale) : divide(digits, scale);
    return true;
}

static void put_float(struct term *t, struct slice text)
{
    struct json number = {.type = JSON_NUMBER, .text = text};
    unsigned char *p;
    uint64_t bits;
    double d;

    if (!plain_float(text, &d))
        d = json_double(&number);
    if (!isfinite(d)) {
        put_binary(t, text);
        return;
    }
    memcpy(&bits, &d, sizeof bits);
    p = room(t, 9);
    p[0] = TAG_FLOAT;
    put_be64(p + 1, bits);
}

static void put_number(struct term *t, struct slice text)
{
    bool negative = text.n > 0 && text.p[0] == '-';
    struct slice digits = slice_of(text.p + negative, text.n - negative);
    int64_t v = 0;

    if (is_float(text)) {
        put_float(t, text);
    } else if (digits.n <= INT64_DIGITS) {
        for (size_t i = 0; i < digits.n; i++)
            v = v * 10 + (digits.p[i] - '0');
        put_integer(t, negative ? -v : v);
    } else if (digits.n <= LIMIT_REV_INT_DIGITS) {
        put_long_integer(t, negative, digits);
    } else {
        put_binary(t, text);
    }
}

/* An integer that Erlang takes for a character. -1 when it is none; "-0" is 0. */
static int byte_of(struct slice text)
{
    int v = 0;

    if (slice_eq(text, SLICE_LIT("-0")))
        return 0;
    if (text.n == 0 || text.n > 3)
        return -1;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -1;
        v = v * 10 + (text.p[i] - '0');
    }
    return v <= 255 ? v : -1;
}

/* ---- lists of numbers ---- */

/* The numbers of an array one after the other, from nodes or from the text of a packed one. */
struct numbers {
    const struct json *node;
    struct slice rest;
};

static bool number_char(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static struct numbers numbers_of(const struct json *arr)
{
    if (!arr->packed)
        return (struct numbers){.node = arr->first};
    return (struct numbers){.rest = arr->text.n > 0 ? arr->text : arr->raw};
}

/* The next one; empty after the last and for a node that is no number. */
static struct slice numbers_next(struct numbers *it)
{
    struct slice r = it->rest;
    size_t from = 0, to;

    if (it->node != NULL) {
        const struct json *v = it->node;

        it->node = v->next;
        return v->type == JSON_NUMBER ? v->text : slice_of(NULL, 0);
    }
    while (from < r.n && !number_char(r.p[from]))
        from++;
    for (to = from; to < r.n && number_char(r.p[to]); to++)
        ;
    if (from == to)
        return slice_of(NULL, 0);
    it->rest = slice_of(r.p + to, r.n - to);
    return slice_of(r.p + from, to - from);
}

static bool is_string_list(const struct json *arr)
{
    struct numbers it = numbers_of(arr);

    if (arr->count > STRING_EXT_MAX)
        return false;
    for (uint32_t i = 0; i < arr->count; i++)
        if (byte_of(numbers_next(&it)) < 0)
            return false;
    return true;
}

static void put_string_list(struct term *t, const struct json *arr)
{
    struct numbers it = numbers_of(arr);

    put_byte(t, TAG_STRING);
    put_byte(t, arr->count >> 8);
    put_byte(t, arr->count & 0xff);
    for (uint32_t i = 0; i < arr->count; i++)
        put_byte(t, (unsigned)byte_of(numbers_next(&it)));
}

/* ---- values ---- */

static void put_value(struct term *t, const struct json *v, unsigned depth);

/* NOLINTNEXTLINE(misc-no-recursion): at most LIMIT_JSON_DEPTH, which the parser enforces */
static void put_array(struct term *t, const struct json *arr, unsigned depth)
{
    if (arr->count == 0) {
        put_byte(t, TAG_NIL);
        return;
    }
    if (is_string_list(arr)) {
        put_string_list(t, arr);
        return;
    }
    put_tagged32(t, TAG_LIST, arr->count);
    if (arr->packed) {
        struct numbers it = numbers_of(arr);

        for (uint32_t i = 0; i < arr->count; i++)
            put_number(t, numbers_next(&it));
    } else {
        for (const struct json *v = arr->first; v != NULL; v = v->next)
            put_value(t, v, depth + 1);
    }
    put_byte(t, TAG_NIL);
}

/* The members with an underscore that CouchDB keeps in the body. */
static bool is_body_member(struct slice name)
{
    static const char *const kept[] = {"_access",
                                       "_replication_id",
                                       "_replication_state",
                                       "_replication_state_reason",
                                       "_replication_state_time",
                                       "_replication_stats"};

    if (name.n == 0 || name.p[0] != '_')
        return true;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (slice_eq(name, slice_str(kept[i])))
            return true;
    return false;
}

/* NOLINTNEXTLINE(misc-no-recursion): at most LIMIT_JSON_DEPTH, which the parser enforces */
static void put_object(struct term *t, const struct json *obj, unsigned depth)
{
    uint32_t n = 0;

    for (const struct json *v = obj->first; v != NULL; v = v->next)
        n += depth > 0 || is_body_member(v->key);
    put_tuple(t, 1);
    if (n > 0)
        put_tagged32(t, TAG_LIST, n);
    for (const struct json *v = obj->first; v != NULL; v = v->next) {
        if (depth == 0 && !is_body_member(v->key))
            continue;
        put_tuple(t, 2);
        put_binary(t, v->key);
        put_value(t, v, depth + 1);
    }
    put_byte(t, TAG_NIL);
}

/* NOLINTNEXTLINE(misc-no-recursion): at most LIMIT_JSON_DEPTH, which the parser enforces */
static void put_value(struct term *t, const struct json *v, unsigned depth)
{
    ASSERT(depth <= LIMIT_JSON_DEPTH);
    switch (v->type) {
    case JSON_NULL:
        put_atom(t, SLICE_LIT("null"));
        break;
    case JSON_FALSE:
        put_atom(t, SLICE_LIT("false"));
        break;
    case JSON_TRUE:
        put_atom(t, SLICE_LIT("true"));
        break;
    case JSON_NUMBER:
        put_number(t, v->text);
        break;
    case JSON_STRING:
        put_binary(t, v->text);
        break;
    case JSON_ARRAY:
        put_array(t, v, depth);
        break;
    case JSON_OBJECT:
        put_object(t, v, depth);
        break;
    }
}

static void put_atts(struct term *t, const struct rev_att *atts, size_t n)
{
    if (n > 0)
        put_tagged32(t, TAG_LIST, (uint32_t)n);
    for (size_t i = n; i-- > 0;) {
        put_tuple(t, 3);
        put_binary(t, atts[i].name);
        put_binary(t, atts[i].type);
        put_binary(t, slice_of(atts[i].md5, sizeof atts[i].md5));
    }
    put_byte(t, TAG_NIL);
}

/* NOLINTNEXTLINE(readability-function-size): each parameter is a part of what is hashed */
void rev_make(const struct rev *parent, bool deleted, const struct json *body,
              const struct rev_att *atts, size_t natts, unsigned char id16[16], struct rev *out)
{
    struct term t;
    uint32_t gen = parent->gen;

    ASSERT(body->type == JSON_OBJECT);
    t.ctx = NULL;
    t.n = 0;
    put_byte(&t, TERM_VERSION);
    put_tagged32(&t, TAG_LIST, 5);
    put_atom(&t, deleted ? SLICE_LIT("true") : SLICE_LIT("false"));
    put_integer(&t, gen);
    if (gen == 0)
        put_integer(&t, 0);
    else
        put_binary(&t, parent->id);
    put_object(&t, body, 0);
    put_atts(&t, atts, natts);
    put_byte(&t, TAG_NIL);
    if (t.ctx == NULL) {
        md5(t.buf, t.n, id16);
    } else {
        flush(&t);
        md5_end(t.ctx, id16);
    }
    *out = (struct rev){gen + 1, true, slice_of(id16, 16)};
}
