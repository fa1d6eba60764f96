/* tests/fuzz/fuzz_base_multipart.c: the input is a Content-Type, a line end, and a body. The body
 * in pieces, cut where its own bytes say, gives the same events as the whole; parts lie in the
 * body, in order; written again under the same boundary they are found again.
 */
#include <stdint.h>

#include "base/assert.h"
#include "base/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Heads and bytes of the parts, each with a mark before it. */
struct seen {
    struct buf all, again; /* again: the parts, written anew */
    const char *boundary;
    size_t bytes;
    bool open;
};

static enum status on_begin(void *arg, struct slice head, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    ASSERT(!s->open);
    s->open = true;
    buf_str(&s->all, "<head>");
    buf_add(&s->all, head);
    buf_str(&s->all, "<data>");
    buf_add(&s->all, multipart_header(head, "content-type"));
    multipart_type(&s->again, "x/y");
    return ST_OK;
}

static enum status on_data(void *arg, struct slice bytes, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    ASSERT(s->open && bytes.n != 0);
    buf_add(&s->all, bytes);
    buf_add(&s->again, bytes);
    s->bytes += bytes.n;
    return ST_OK;
}

static enum status on_end(void *arg, struct err *e)
{
    struct seen *s = arg;

    (void)e;
    ASSERT(s->open);
    s->open = false;
    buf_str(&s->all, "<end>");
    multipart_next(&s->again, s->boundary);
    return ST_OK;
}

/* seed 0: whole. */
static enum status feed(struct seen *s, struct slice body, const char *boundary, uint32_t seed)
{
    static const struct multipart_events events = {on_begin, on_data, on_end};
    struct multipart *m = multipart_new(slice_str(boundary), &events, s);
    enum status st = ST_OK;
    struct err e;

    *s = (struct seen){.boundary = boundary};
    buf_init(&s->all, 64u << 20);
    buf_init(&s->again, 64u << 20);
    multipart_begin(&s->again, boundary);
    while (st == ST_OK && body.n != 0) {
        size_t n = seed != 0 ? 1 + (seed >> 8) % 61 : body.n;

        seed = seed != 0 ? seed * 1664525u + 1013904223u : 0;
        n = n < body.n ? n : body.n;
        st = multipart_add(m, slice_of(body.p, n), &e);
        body = slice_of(body.p + n, body.n - n);
    }
    if (st == ST_OK)
        st = multipart_finish(m, &e);
    multipart_free(m);
    if (st == ST_OK)
        multipart_end(&s->again);
    return st;
}

static void seen_free(struct seen *s)
{
    ASSERT(buf_ok(&s->all) && buf_ok(&s->again));
    buf_free(&s->all);
    buf_free(&s->again);
}

static void check(struct slice body, const char *boundary)
{
    struct seen whole, cut, back;
    enum status st = feed(&whole, body, boundary, 0);

    ASSERT(whole.bytes <= body.n);
    for (uint32_t seed = 1; seed < 4; seed++) {
        ASSERT(feed(&cut, body, boundary, seed * 2654435761u + (uint32_t)body.n) == st);
        ASSERT(st != ST_OK || slice_eq(buf_slice(&whole.all), buf_slice(&cut.all)));
        seen_free(&cut);
    }
    if (st == ST_OK) {
        ASSERT(feed(&back, buf_slice(&whole.again), boundary, 0) == ST_OK);
        ASSERT(slice_eq(buf_slice(&whole.again), buf_slice(&back.again)));
        seen_free(&back);
    }
    seen_free(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size}, type, body, boundary;
    const char *line = size != 0 ? memchr(all.p, '\n', size) : NULL;
    struct arena *a = arena_new();
    struct err e;

    type = line != NULL ? slice_of(all.p, (size_t)(line - all.p)) : all;
    body = line != NULL ? slice_of(line + 1, size - type.n - 1) : slice_of(NULL, 0);
    (void)multipart_is(type, SLICE_LIT("multipart/related"));
    if (multipart_boundary(a, type, &boundary, &e) == ST_OK)
        check(body, arena_cstr(a, boundary));
    arena_free(a);
    return 0;
}
