/* http/ranges.c: see ranges.h. A bad range anywhere makes the whole header one that is ignored; the
 * first one that begins behind the end, or ends before it begins, is the answer. */
#include "http/ranges.h"

#include "base/text.h"

/* As the header says it. */
struct asked {
    bool has_from, has_to;
    uint64_t from, to;
};

static bool parse_one(struct slice s, struct asked *r)
{
    const char *dash = s.n != 0 ? memchr(s.p, '-', s.n) : NULL;
    struct slice a, b;

    if (dash == NULL)
        return false;
    a = slice_trim(slice_of(s.p, (size_t)(dash - s.p)));
    b = slice_trim(slice_of(dash + 1, (size_t)(s.p + s.n - dash - 1)));
    *r = (struct asked){.has_from = a.n != 0, .has_to = b.n != 0};
    return (r->has_from || r->has_to) && (!r->has_from || parse_u64(a, &r->from)) &&
           (!r->has_to || parse_u64(b, &r->to));
}

/* false: "bytes=" is missing, or a range is none. Ranges beyond RANGES_MAX are only counted. */
static bool parse_all(struct slice v, struct asked out[RANGES_MAX], uint32_t *n)
{
    struct asked extra;

    *n = 0;
    if (v.n < 6 || !slice_ieq(slice_of(v.p, 6), SLICE_LIT("bytes=")))
        return false;
    v = slice_of(v.p + 6, v.n - 6);
    do {
        if (!parse_one(slice_cut(&v, ','), *n < RANGES_MAX ? &out[*n] : &extra))
            return false;
        ++*n;
    } while (v.p != NULL);
    return true;
}

static enum ranges resolve(const struct asked *r, uint64_t len, struct range *out)
{
    uint64_t from = r->from, end = r->has_to && r->to < len ? r->to + 1 : len;

    if (!r->has_from) { /* the last `to` bytes */
        from = r->to < len ? len - r->to : 0;
        end = len;
    } else if (from == 0 && !r->has_to) {
        return RANGES_NONE;
    }
    if (from >= end || (r->has_from && r->has_to && r->to < r->from))
        return RANGES_OUTSIDE;
    *out = (struct range){from, end - from};
    return RANGES_SOME;
}

enum ranges ranges_parse(struct slice value, uint64_t len, struct range out[RANGES_MAX],
                         uint32_t *n)
{
    struct asked asked[RANGES_MAX];
    enum ranges one;

    if (!parse_all(value, asked, n) || *n > RANGES_MAX)
        return RANGES_NONE;
    for (uint32_t i = 0; i < *n; i++) {
        one = resolve(&asked[i], len, &out[i]);
        if (one != RANGES_SOME)
            return one;
    }
    return RANGES_SOME;
}
