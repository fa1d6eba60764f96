/* tests/fuzz/fuzz_mango_selector.c: the input is one JSON array [selector, document, fields]. What
 * compiles must decide the document, in its normalised form the same way, and normalise to itself.
 */
#include <stdint.h>

#include "base/assert.h"
#include "mango/find.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice text_of(struct arena *a, const struct json *v)
{
    struct buf b;
    struct slice s;

    buf_init(&b, 16u << 20);
    json_write(&b, v);
    ASSERT(buf_ok(&b));
    s = arena_dup(a, buf_slice(&b));
    buf_free(&b);
    return s;
}

static void selectors(struct arena *a, const struct json *sel, const struct json *doc)
{
    struct selector *s, *again;
    const struct json *v;
    const struct slice *names;
    struct slice norm;
    struct err e;

    if (selector_compile(a, sel, &s, &e) != ST_OK) {
        ASSERT(e.word != NULL && e.reason[0] != '\0');
        return;
    }
    (void)selector_fields(s, &names);
    norm = text_of(a, selector_json(a, s));
    ASSERT(json_parse(a, norm, &v, &e) == ST_OK);
    /* An implicit conjunction may become one level deeper, over the bound. */
    if (selector_compile(a, v, &again, &e) != ST_OK)
        return;
    ASSERT(selector_match(s, doc, a) == selector_match(again, doc, a));
    ASSERT(slice_eq(text_of(a, selector_json(a, again)), norm));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    const struct json *v, *sel;
    struct projection p;
    struct err e;

    if (json_parse(a, slice_of(data, size), &v, &e) == ST_OK && v->type == JSON_ARRAY) {
        v = json_unpack(a, v);
        sel = json_at(v, 0);
        if (sel != NULL && json_at(v, 1) != NULL) {
            selectors(a, sel, json_at(v, 1));
            if (json_at(v, 2) != NULL && projection_parse(a, json_at(v, 2), &p, &e) == ST_OK)
                (void)text_of(a, projection_apply(&p, json_at(v, 1), a));
        }
    }
    arena_free(a);
    return 0;
}
