/* tests/fuzz/fuzz_json.c: any bytes into the JSON parser. What it takes must come out compact, read
 * back as an equal value, and survive every way to look at it. One thread. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/text.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLOATS = 64 };

/* Recursion: LIMIT_JSON_DEPTH. NOLINTNEXTLINE(misc-no-recursion) */
static void look(struct arena *a, const struct json *v, unsigned depth)
{
    const struct json *all = json_unpack(a, v);
    float out[FLOATS];
    uint32_t n = 0, bad;
    int64_t i;

    ASSERT(depth <= LIMIT_JSON_DEPTH);
    ASSERT(utf8_valid(v->text));
    ASSERT(v->raw.n != 0 || v->dup);
    if (json_int(v, &i))
        ASSERT(json_double(v) == (double)i);
    if (v->type == JSON_ARRAY && v->count <= FLOATS && json_floats(v, out, v->count, &bad))
        for (uint32_t k = 0; k < v->count; k++)
            ASSERT(out[k] == (float)json_double(json_elem(a, v, k)));
    for (const struct json *c = all->first; c != NULL; c = c->next, n++) {
        ASSERT(v->type != JSON_OBJECT || json_get_s(v, c->key) == c);
        look(a, c, depth + 1);
    }
    ASSERT(n == all->count && n == v->count);
}

/* Without the raw spans: puts the text together from the nodes. Recursion: LIMIT_JSON_DEPTH.
 * NOLINTNEXTLINE(misc-no-recursion) */
static struct json *rebuild(struct arena *a, const struct json *v)
{
    struct json *to = v->type == JSON_OBJECT ? json_object(a) : json_array(a);

    if (v->type == JSON_STRING)
        return json_str(a, v->text);
    if (v->type != JSON_OBJECT && v->type != JSON_ARRAY)
        return json_raw(a, v->raw);
    for (const struct json *c = json_unpack(a, v)->first; c != NULL; c = c->next) {
        if (v->type == JSON_OBJECT)
            json_put_key(a, to, c->key, rebuild(a, c));
        else
            json_add(a, to, rebuild(a, c));
    }
    return to;
}

static void same_again(struct arena *a, const struct json *v, const struct json *written)
{
    const struct json *again;
    struct buf b, twice;
    struct err e;

    buf_init(&b, LIMIT_JSON_BYTES);
    buf_init(&twice, LIMIT_JSON_BYTES);
    json_write(&b, written);
    ASSERT(buf_ok(&b));
    ASSERT(memchr(b.p, '\n', b.n) == NULL);
    ASSERT(json_parse(a, buf_slice(&b), &again, &e) == ST_OK);
    ASSERT(json_collate(v, again) == 0 && json_collate(again, v) == 0);
    ASSERT(!json_has_dup(again));
    json_write(&twice, again);
    ASSERT(slice_eq(buf_slice(&b), buf_slice(&twice)));
    buf_clear(&twice);
    json_write(&twice, json_raw(a, buf_slice(&b)));
    ASSERT(slice_eq(buf_slice(&b), buf_slice(&twice)));
    buf_free(&b);
    buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct arena *a = arena_new();
    const struct json *v;
    struct err e;
    enum status st = json_parse(a, text, &v, &e);

    ASSERT(st == ST_OK || st == ST_BAD_REQUEST || st == ST_TOO_LARGE);
    if (st == ST_OK) {
        ASSERT(utf8_valid(text));
        look(a, v, 0);
        same_again(a, v, v);
        same_again(a, v, rebuild(a, v));
    }
    arena_free(a);
    return 0;
}
