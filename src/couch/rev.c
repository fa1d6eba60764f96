/* couch/rev.c: the text form of a revision and its order. Pure; any thread. The hash of an edit is
 * made in revid.c.
 *
 * Stricter than CouchDB in one point: a hash that is not hex may not hold control characters,
 * quotes or backslashes, because revisions go out in ETag headers and JSON strings.
 */
#include "couch/rev.h"

#include "base/arena.h"
#include "base/text.h"
#include "couch/revtree_priv.h"

enum { HEX_BYTES = 16, GEN_DIGITS_MAX = 10 };

static enum status bad_rev(struct err *e)
{
    return err_set(e, ST_BAD_REQUEST, "Invalid rev format");
}

bool rev_id_valid(struct slice id)
{
    if (id.n > LIMIT_REV_BYTES || id.n == (size_t)2 * HEX_BYTES)
        return false;
    for (size_t i = 0; i < id.n; i++) {
        unsigned char c = (unsigned char)id.p[i];

        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            return false;
    }
    return utf8_valid(id);
}

enum status rev_parse_hash(struct arena *a, uint32_t gen, struct slice text, struct rev *out,
                           struct err *e)
{
    if (text.n == (size_t)2 * HEX_BYTES) {
        char *raw = arena_alloc(a, HEX_BYTES);

        if (!hex_decode(text, raw))
            return bad_rev(e);
        *out = (struct rev){gen, true, {raw, HEX_BYTES}};
        return ST_OK;
    }
    if (!rev_id_valid(text))
        return bad_rev(e);
    *out = (struct rev){gen, false, text};
    return ST_OK;
}

enum status rev_parse(struct arena *a, struct slice text, struct rev *out, struct err *e)
{
    uint64_t gen = 0;
    size_t n = 0;

    while (n < text.n && n <= GEN_DIGITS_MAX && text.p[n] >= '0' && text.p[n] <= '9')
        gen = gen * 10 + (uint64_t)(text.p[n++] - '0');
    if (n == 0 || n == text.n || text.p[n] != '-' || gen > LIMIT_REV_GEN)
        return bad_rev(e);
    return rev_parse_hash(a, (uint32_t)gen, slice_of(text.p + n + 1, text.n - n - 1), out, e);
}

void rev_write(struct buf *b, const struct rev *r)
{
    buf_u64(b, r->gen);
    buf_char(b, '-');
    if (r->hex) {
        char *hex = buf_extend(b, (size_t)2 * HEX_BYTES);

        if (hex != NULL)
            hex_encode(r->id.p, HEX_BYTES, hex);
    } else {
        buf_add(b, r->id);
    }
}

struct slice rev_text(struct arena *a, const struct rev *r)
{
    size_t idlen = r->hex ? (size_t)2 * HEX_BYTES : r->id.n;
    char *p = arena_alloc(a, GEN_DIGITS_MAX + 1 + idlen);
    char digits[GEN_DIGITS_MAX];
    size_t nd = 0, n = 0;

    for (uint32_t g = r->gen; nd == 0 || g != 0; g /= 10)
        digits[nd++] = (char)('0' + g % 10);
    while (nd > 0)
        p[n++] = digits[--nd];
    p[n++] = '-';
    if (r->hex)
        hex_encode(r->id.p, HEX_BYTES, p + n);
    else if (idlen > 0)
        memcpy(p + n, r->id.p, idlen);
    return slice_of(p, n + idlen);
}

int rev_cmp(const struct rev *x, const struct rev *y)
{
    if (x->gen != y->gen)
        return x->gen < y->gen ? -1 : 1;
    return slice_cmp(x->id, y->id);
}

bool rev_eq(const struct rev *x, const struct rev *y)
{
    return x->gen == y->gen && slice_eq(x->id, y->id);
}
