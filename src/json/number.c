/* json/number.c: decimal texts to double and float32.
 *
 * The fast path takes up to 19 digits into an integer and scales it by a power of ten. For a double
 * it is used only where both are exact, so that one rounding happens. For a float32 the double may
 * be a few units off: it is used when no border between two float32 lies that near. Everything else
 * goes to strtod. The process never calls setlocale, so strtod knows '.' as the point.
 * Threads: any.
 */
#include "json/number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"

enum {
    DIGITS_MAX = 19,      /* 10^19 - 1 fits in 64 bits */
    EXP_EXACT = 22,       /* 10^22 is the last power of ten that a double holds exactly */
    EXP_STOP = 100000000, /* more than a text has digits, so no zeros can make up for it */
    FLOAT_MARGIN = 16     /* units of a double: several times the error of the fast path */
};

static const double pow10_exact[EXP_EXACT + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* value = (minus ? -1 : 1) * digits * 10^exp; cut: further digits were dropped */
struct decimal {
    uint64_t digits;
    int count;
    int exp;
    bool minus;
    bool cut;
};

static inline bool is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* Eight ASCII digits at once: true and *v when all eight are digits. */
static inline bool eight_digits(const char *p, uint64_t *v)
{
    uint64_t x = get_le64(p);

    if (((x & 0xf0f0f0f0f0f0f0f0) | (((x + 0x0606060606060606) & 0xf0f0f0f0f0f0f0f0) >> 4)) !=
        0x3333333333333333)
        return false;
    x = (x & 0x0f0f0f0f0f0f0f0f) * 2561 >> 8; /* pairs: 10a + b */
    x = (x & 0x00ff00ff00ff00ff) * 6553601 >> 16;
    *v = (x & 0x0000ffff0000ffff) * 42949672960001 >> 32;
    return true;
}

/* A run of digits; those after the point (step -1) lower the exponent. */
static const char *take_digits(const char *p, const char *end, struct decimal *d, int step)
{
    uint64_t eight;

    while (d->digits == 0 && p < end && *p == '0') { /* leading zeros take no room */
        d->exp += step;
        p++;
    }
    while (end - p >= 8 && d->count <= DIGITS_MAX - 8 && eight_digits(p, &eight)) {
        d->digits = d->digits * 100000000 + eight;
        d->count += 8;
        d->exp += 8 * step;
        p += 8;
    }
    for (; p < end && is_digit(*p); p++) {
        if (d->count < DIGITS_MAX) {
            d->digits = d->digits * 10 + (unsigned)(*p - '0');
            d->count++;
            d->exp += step;
        } else {
            d->cut = true;
            d->exp += step + 1; /* a digit before the point that is left out still counts */
        }
    }
    return p;
}

/* Reads the number at p, returns its end. */
static const char *take_decimal(const char *p, const char *end, struct decimal *d)
{
    *d = (struct decimal){0};
    if (p < end && *p == '-') {
        d->minus = true;
        p++;
    }
    p = take_digits(p, end, d, 0);
    if (p < end && *p == '.')
        p = take_digits(p + 1, end, d, -1);
    if (p < end && (*p == 'e' || *p == 'E')) {
        bool minus = false;
        int e = 0;

        p++;
        if (p < end && (*p == '-' || *p == '+'))
            minus = *p++ == '-';
        for (; p < end && is_digit(*p); p++)
            if (e < EXP_STOP)
                e = e * 10 + (*p - '0');
        d->exp += minus ? -e : e;
    }
    return p;
}

static double slow_double(struct slice text)
{
    char small[128];
    char *copy = text.n < sizeof small ? small : mem_alloc(text.n + 1);
    double v;

    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    v = strtod(copy, NULL);
    if (copy != small)
        mem_free(copy);
    return v;
}

static bool exact_double(const struct decimal *d, double *out)
{
    double v = (double)d->digits;

    if (d->cut || d->digits > (uint64_t)1 << DBL_MANT_DIG || d->exp > EXP_EXACT ||
        d->exp < -EXP_EXACT)
        return false;
    v = d->exp < 0 ? v / pow10_exact[-d->exp] : v * pow10_exact[d->exp];
    *out = d->minus ? -v : v;
    return true;
}

double number_double(struct slice text)
{
    struct decimal d;
    double v;

    if (text.n == 0)
        return 0;
    (void)take_decimal(text.p, text.p + text.n, &d);
    return exact_double(&d, &v) ? v : slow_double(text);
}

/* The float32 that the correctly rounded double of the text rounds to. */
static float float_of(const struct decimal *d, struct slice text)
{
    int left = d->exp < 0 ? -d->exp : d->exp;
    double v = (double)d->digits;
    uint64_t bits;
    unsigned below;

    if (left > 2 * EXP_EXACT)
        return (float)slow_double(text);
    for (; left > 0; left -= EXP_EXACT) {
        double by = pow10_exact[left < EXP_EXACT ? left : EXP_EXACT];

        v = d->exp < 0 ? v / by : v * by;
    }
    if (d->digits != 0 && (v < (double)FLT_MIN * 2 || v > (double)FLT_MAX / 2))
        return (float)slow_double(text);
    /* 29 bits of the double fall away; half of 2^29 is the border */
    memcpy(&bits, &v, sizeof bits);
    below = (unsigned)(bits & ((1u << 29) - 1));
    if (below > (1u << 28) - FLOAT_MARGIN && below < (1u << 28) + FLOAT_MARGIN)
        return (float)slow_double(text);
    return (float)(d->minus ? -v : v);
}

static const char *skip_to_number(const char *p, const char *end)
{
    while (p < end && !is_digit(*p) && *p != '-')
        p++;
    return p;
}

bool number_next(struct slice *rest, struct slice *token)
{
    const char *end = rest->p + rest->n;
    const char *p = skip_to_number(rest->p, end);
    const char *q = p;

    while (q < end &&
           (is_digit(*q) || *q == '-' || *q == '+' || *q == '.' || *q == 'e' || *q == 'E'))
        q++;
    *token = slice_of(p, (size_t)(q - p));
    *rest = slice_of(q, (size_t)(end - q));
    return token->n != 0;
}

void number_link(struct arena *a, struct json *arr, struct slice text, uint32_t count)
{
    struct json *nodes = count != 0 ? arena_array(a, count, sizeof *nodes) : NULL;
    struct slice token;
    uint32_t n = 0;

    while (n < count && number_next(&text, &token)) {
        nodes[n] =
            (struct json){.type = JSON_NUMBER, .attached = true, .text = token, .raw = token};
        if (n != 0)
            nodes[n - 1].next = &nodes[n];
        n++;
    }
    arr->packed = false;
    arr->count = n;
    arr->first = nodes;
    arr->last = n != 0 ? &nodes[n - 1] : NULL;
}

/* ---- json_floats ---- */

static bool floats_packed(struct slice text, float *out, uint32_t n, uint32_t *bad)
{
    const char *p = text.p;
    const char *end = p + text.n;

    for (uint32_t i = 0; i < n; i++) {
        struct decimal d;
        const char *q;

        p = skip_to_number(p, end);
        q = take_decimal(p, end, &d);
        out[i] = float_of(&d, slice_of(p, (size_t)(q - p)));
        p = q;
        if (!isfinite(out[i])) {
            *bad = i;
            return false;
        }
    }
    return true;
}

static bool floats_nodes(const struct json *v, float *out, uint32_t n, uint32_t *bad)
{
    for (uint32_t i = 0; i < n; i++, v = v->next) {
        struct decimal d;

        *bad = i;
        if (v->type != JSON_NUMBER)
            return false;
        (void)take_decimal(v->text.p, v->text.p + v->text.n, &d);
        out[i] = float_of(&d, v->text);
        if (!isfinite(out[i]))
            return false;
    }
    return true;
}

bool json_floats(const struct json *arr, float *out, uint32_t n, uint32_t *bad)
{
    uint32_t at = 0;
    bool ok;

    if (arr == NULL || arr->type != JSON_ARRAY) {
        ok = false;
    } else if (arr->count != n) {
        at = arr->count < n ? arr->count : n;
        ok = false;
    } else if (arr->packed) {
        ok = floats_packed(arr->text, out, n, &at);
    } else {
        ok = floats_nodes(arr->first, out, n, &at);
    }
    if (!ok && bad != NULL)
        *bad = at;
    return ok;
}

/* ---- order ---- */

bool number_is_integer(struct slice s)
{
    size_t i = s.n != 0 && s.p[0] == '-';

    if (i == s.n)
        return false;
    for (; i < s.n; i++)
        if (!is_digit(s.p[i]))
            return false;
    return true;
}

static bool is_negative(struct slice s)
{
    return s.n != 0 && s.p[0] == '-';
}

/* Two integer texts without leading zeros. */
static int cmp_integers(struct slice x, struct slice y)
{
    bool mx = is_negative(x) && !slice_eq(x, SLICE_LIT("-0"));
    bool my = is_negative(y) && !slice_eq(y, SLICE_LIT("-0"));
    int c;

    if (mx != my)
        return mx ? -1 : 1;
    if (is_negative(x))
        x = slice_of(x.p + 1, x.n - 1);
    if (is_negative(y))
        y = slice_of(y.p + 1, y.n - 1);
    c = x.n != y.n ? (x.n > y.n) - (x.n < y.n) : memcmp(x.p, y.p, x.n);
    c = (c > 0) - (c < 0);
    return mx ? -c : c;
}

static int cmp_doubles(double x, double y)
{
    return (x > y) - (x < y);
}

/* An integer text with the exact value of a double. */
static int cmp_integer_double(struct slice x, double y)
{
    const double big = 9007199254740992.0; /* 2^53: from here on every double is an integer */
    char digits[DBL_MAX_10_EXP + 8];
    int n;

    /* y is then exact, and so is x wherever its double is not at least big */
    if (isinf(y))
        return y > 0 ? -1 : 1;
    if (fabs(y) < big)
        return cmp_doubles(number_double(x), y);
    n = snprintf(digits, sizeof digits, "%.0f", y); /* all digits, exactly */
    return cmp_integers(x, slice_of(digits, (size_t)n));
}

int number_cmp(struct slice x, struct slice y)
{
    bool ix = number_is_integer(x), iy = number_is_integer(y);

    if (ix && iy)
        return cmp_integers(x, y);
    if (ix)
        return cmp_integer_double(x, number_double(y));
    if (iy)
        return -cmp_integer_double(y, number_double(x));
    return cmp_doubles(number_double(x), number_double(y));
}
