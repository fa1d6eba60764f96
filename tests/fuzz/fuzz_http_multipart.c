/* tests/fuzz/fuzz_http_multipart.c: the input is a Content-Type, a line end, and a body. Parts that
 * are found lie in the body, in order, without the boundary in them; written again under the same
 * boundary they are found again.
 */
#include <stdint.h>

#include "base/assert.h"
#include "http/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct arena *a, const char *boundary, const struct slice *parts, uint32_t n)
{
    struct slice *back;
    struct err e;
    struct buf b;
    uint32_t m;

    buf_init(&b, 32u << 20);
    multipart_begin(&b, boundary);
    for (uint32_t i = 0; i < n; i++) {
        multipart_type(&b, "x/y");
        buf_add(&b, parts[i]);
        multipart_next(&b, boundary);
    }
    multipart_end(&b);
    ASSERT(buf_ok(&b));
    ASSERT(multipart_parse(a, buf_slice(&b), slice_str(boundary), &back, &m, &e) == ST_OK);
    ASSERT(m == n);
    for (uint32_t i = 0; i < n; i++)
        ASSERT(slice_eq(parts[i], back[i]));
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size}, type, body, boundary, *parts;
    const char *line = size != 0 ? memchr(all.p, '\n', size) : NULL;
    struct arena *a = arena_new();
    struct err e;
    uint32_t n;

    type = line != NULL ? slice_of(all.p, (size_t)(line - all.p)) : all;
    body = line != NULL ? slice_of(line + 1, size - type.n - 1) : slice_of(NULL, 0);
    (void)multipart_is(type, SLICE_LIT("multipart/related"));
    if (multipart_boundary(a, type, &boundary, &e) == ST_OK &&
        multipart_parse(a, body, boundary, &parts, &n, &e) == ST_OK) {
        const char *from = body.p;

        for (uint32_t i = 0; i < n; i++) {
            ASSERT(parts[i].p >= from && parts[i].p + parts[i].n <= body.p + body.n);
            from = parts[i].p + parts[i].n;
        }
        again(a, arena_cstr(a, boundary), parts, n);
    }
    arena_free(a);
    return 0;
}
