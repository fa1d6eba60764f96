/* tests/unit/test_mango_random.c: random selectors on random documents against a second evaluator
 * that never pushes a negation down. */
#include "mango_fix.h"

/* The second evaluator walks the selector's JSON itself. It answers for a condition and for its
 * negation by De Morgan over three outcomes, so that "a missing field never matches" holds under
 * any nesting: a leaf on a missing field is unknown, and unknown negated stays unknown. */

enum truth { NO, YES, UNKNOWN };

static enum truth not_t(enum truth t)
{
    return t == UNKNOWN ? UNKNOWN : t == YES ? NO : YES;
}

static enum truth and_t(enum truth x, enum truth y)
{
    if (x == NO || y == NO)
        return NO;
    return x == UNKNOWN || y == UNKNOWN ? UNKNOWN : YES;
}

static enum truth or_t(enum truth x, enum truth y)
{
    return not_t(and_t(not_t(x), not_t(y)));
}

static enum truth naive_op(struct slice op, const struct json *arg, const struct json *v)
{
    int c;

    if (slice_eq(op, SLICE_LIT("$exists")))
        return (v != NULL) == (arg->type == JSON_TRUE) ? YES : NO;
    if (v == NULL)
        return UNKNOWN;
    if (slice_eq(op, SLICE_LIT("$in"))) {
        for (uint32_t i = 0; i < arg->count; i++)
            if (json_collate(v, json_at(arg, i)) == 0 ||
                (v->type == JSON_ARRAY && json_collate(v->first, json_at(arg, i)) == 0))
                return YES; /* the arrays of the documents here have one element */
        return NO;
    }
    if (slice_eq(op, SLICE_LIT("$type")))
        return slice_eq(arg->text, SLICE_LIT("number")) == (v->type == JSON_NUMBER) ? YES : NO;
    c = json_collate(v, arg);
    if (slice_eq(op, SLICE_LIT("$eq")))
        return c == 0 ? YES : NO;
    if (slice_eq(op, SLICE_LIT("$ne")))
        return c != 0 ? YES : NO;
    if (slice_eq(op, SLICE_LIT("$lt")))
        return c < 0 ? YES : NO;
    return c >= 0 ? YES : NO; /* $gte */
}

static enum truth naive(const struct json *sel, const struct json *doc, const struct json *v);

/* Recursion here and below: as deep as random_selector builds. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static enum truth naive_list(const struct json *list, bool any, const struct json *doc,
                             const struct json *v)
{
    enum truth t = any ? NO : YES;

    for (const struct json *m = list->first; m != NULL; m = m->next)
        t = any ? or_t(t, naive(m, doc, v)) : and_t(t, naive(m, doc, v));
    return t;
}

/* v: the value of the field that sel is a condition of, when under one (doc NULL then). */
/* NOLINTNEXTLINE(misc-no-recursion) */
static enum truth naive(const struct json *sel, const struct json *doc, const struct json *v)
{
    enum truth t = YES;

    for (const struct json *m = sel->first; m != NULL; m = m->next) {
        enum truth one;

        if (slice_eq(m->key, SLICE_LIT("$and")))
            one = naive_list(m, false, doc, v);
        else if (slice_eq(m->key, SLICE_LIT("$or")))
            one = naive_list(m, true, doc, v);
        else if (slice_eq(m->key, SLICE_LIT("$nor")))
            one = not_t(naive_list(m, true, doc, v));
        else if (slice_eq(m->key, SLICE_LIT("$not")))
            one = not_t(naive(m, doc, v));
        else if (m->key.p[0] == '$')
            one = naive_op(m->key, m, v);
        else
            one = naive(m, NULL, json_get_s(doc, m->key));
        t = and_t(t, one);
    }
    return t;
}

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(unit_random(&seed) >> 33) % n;
}

static void random_value(struct buf *b)
{
    static const char *const values[] = {"null", "false", "true",  "0",   "1",        "1.0",
                                         "2",    "\"a\"", "\"b\"", "[1]", "{\"x\":1}"};

    buf_str(b, values[below(COUNT_OF(values))]);
}

static void random_selector(struct buf *b, unsigned depth, bool in_field);

/* Recursion here and below: depth. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static void random_list(struct buf *b, unsigned depth, bool in_field)
{
    unsigned n = 1 + below(3);

    buf_char(b, '[');
    for (unsigned i = 0; i < n; i++) {
        if (i != 0)
            buf_char(b, ',');
        random_selector(b, depth - 1, in_field);
    }
    buf_char(b, ']');
}

static void random_leaf(struct buf *b)
{
    static const char *const ops[] = {"$eq", "$ne", "$lt", "$gte"};
    unsigned k = below(7);

    if (k == 0) {
        buf_printf(b, "{\"$exists\":%s}", below(2) ? "true" : "false");
    } else if (k == 1) {
        buf_str(b, "{\"$type\":\"number\"}");
    } else if (k == 2) {
        buf_str(b, "{\"$in\":[1,\"b\",null]}");
    } else {
        buf_printf(b, "{\"%s\":", ops[k - 3]);
        random_value(b);
        buf_char(b, '}');
    }
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static void random_selector(struct buf *b, unsigned depth, bool in_field)
{
    static const char *const lists[] = {"$and", "$or", "$nor"};
    unsigned k = depth == 0 ? 5 : below(6);

    if (k < 3) {
        buf_printf(b, "{\"%s\":", lists[k]);
        random_list(b, depth, in_field);
        buf_char(b, '}');
    } else if (k == 3) {
        buf_str(b, "{\"$not\":");
        random_selector(b, depth - 1, in_field);
        buf_char(b, '}');
    } else if (in_field) {
        random_leaf(b);
    } else {
        buf_printf(b, "{\"%c\":", 'a' + (char)below(3));
        random_selector(b, depth == 0 ? 0 : depth - 1, true);
        if (below(4) == 0) {
            buf_str(b, ",\"d\":");
            random_leaf(b);
        }
        buf_char(b, '}');
    }
}

static void random_document(struct buf *b)
{
    bool some = false;

    buf_char(b, '{');
    for (int c = 'a'; c <= 'd'; c++) {
        if (below(3) == 0)
            continue;
        buf_printf(b, "%s\"%c\":", some ? "," : "", c);
        random_value(b);
        some = true;
    }
    buf_char(b, '}');
}

static void one_random(void)
{
    struct buf sel, doc, neg;
    struct selector *s, *not_s;
    enum truth want;

    buf_init(&sel, 1u << 20);
    buf_init(&doc, 1u << 20);
    buf_init(&neg, 1u << 20);
    random_selector(&sel, 4, false);
    buf_printf(&neg, "{\"$not\":%.*s}", (int)sel.n, sel.p);
    s = compile(arena_cstr(arena, buf_slice(&sel)));
    not_s = compile(arena_cstr(arena, buf_slice(&neg)));
    for (int i = 0; i < 8; i++) {
        const struct json *d;

        buf_clear(&doc);
        random_document(&doc);
        d = parse(arena_cstr(arena, buf_slice(&doc)));
        want = naive(parse(arena_cstr(arena, buf_slice(&sel))), d, NULL);
        if (selector_match(s, d, arena) != (want == YES))
            fail_msg("%.*s on %.*s: not %d", (int)sel.n, sel.p, (int)doc.n, doc.p, (int)want);
        if (selector_match(not_s, d, arena) != (want == NO))
            fail_msg("%.*s on %.*s: not %d", (int)neg.n, neg.p, (int)doc.n, doc.p, want == NO);
        check(arena_cstr(arena, buf_slice(&sel)), arena_cstr(arena, buf_slice(&doc)), want == YES);
    }
    buf_free(&sel);
    buf_free(&doc);
    buf_free(&neg);
}

static void test_random(void **state)
{
    (void)state;
    seed = 20240607;
    for (int i = 0; i < 5000; i++) {
        one_random();
        arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, setup, teardown);
}
