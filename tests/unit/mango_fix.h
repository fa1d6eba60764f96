/* tests/unit/mango_fix.h: selectors and documents as text. Included by one file of each program. */
#ifndef MANGO_FIX_H
#define MANGO_FIX_H
#include "arena_fix.h"
#include "mango/selector.h"

static inline const struct json *parse(const char *text)
{
    const struct json *v = NULL;
    struct err e;

    if (json_parse(arena, slice_str(text), &v, &e) != ST_OK)
        fail_msg("%s: %s", text, e.reason);
    return v;
}

static inline struct selector *compile(const char *text)
{
    struct selector *s = NULL;
    struct err e;

    if (selector_compile(arena, parse(text), &s, &e) != ST_OK)
        fail_msg("%s: %s", text, e.reason);
    return s;
}

static inline const char *text_of(const struct json *v)
{
    struct buf b;
    const char *s;

    buf_init(&b, 1u << 20);
    json_write(&b, v);
    s = arena_cstr(arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

/* The normalised form must decide the same, and normalise to itself. */
static inline void check(const char *sel, const char *doc, bool want)
{
    struct selector *s = compile(sel);
    const char *norm = text_of(selector_json(arena, s));
    struct selector *again = compile(norm);

    if (selector_match(s, parse(doc), arena) != want)
        fail_msg("%s on %s: not %d", sel, doc, want);
    if (selector_match(again, parse(doc), arena) != want)
        fail_msg("%s as %s on %s: not %d", sel, norm, doc, want);
    assert_string_equal(text_of(selector_json(arena, again)), norm);
}
#endif
