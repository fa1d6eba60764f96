/* base/gzip.c: one inflate loop over a piece of stack, for reading and for measuring. Entered by
 * any thread. */
#include "base/gzip.h"

#include <zlib.h>

#include "base/alloc.h"
#include "base/assert.h"

enum { PIECE = 16384, WINDOW_GZIP = 15 + 16 };

struct gunzip {
    z_stream z;
    bool ended; /* at the end of a stream, where another may begin */
    uint64_t len;
};

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = mem_zalloc(sizeof(*g));

    ASSERT(inflateInit2(&g->z, WINDOW_GZIP) == Z_OK);
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (g == NULL)
        return;
    (void)inflateEnd(&g->z);
    mem_free(g);
}

/* One call of inflate. */
static bool step(struct gunzip *g, struct slice *in, size_t room, size_t *got, struct buf *out)
{
    unsigned char piece[PIECE];
    size_t n = in->n < UINT32_MAX ? in->n : UINT32_MAX;
    int rc;

    room = room < PIECE ? room : PIECE;
    if (g->ended && n != 0 && inflateReset(&g->z) != Z_OK)
        return false;
    g->ended = g->ended && n == 0;
    *got = 0;
    if (g->ended)
        return true;
    g->z.next_in = (z_const Bytef *)(uintptr_t)in->p;
    g->z.avail_in = (uInt)n;
    g->z.next_out = piece;
    g->z.avail_out = (uInt)room;
    rc = inflate(&g->z, Z_NO_FLUSH);
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return false;
    g->ended = rc == Z_STREAM_END;
    n -= g->z.avail_in;
    *in = slice_of(n != 0 ? in->p + n : in->p, in->n - n);
    *got = room - g->z.avail_out;
    g->len += *got;
    if (out != NULL)
        buf_append(out, piece, *got);
    return true;
}

bool gunzip_run(struct gunzip *g, struct slice *in, size_t room, struct buf *out)
{
    size_t got = 1;

    while (room != 0 && (in->n != 0 || got != 0)) {
        if (!step(g, in, room, &got, out))
            return false;
        room -= got;
    }
    return true;
}

uint64_t gunzip_len(const struct gunzip *g)
{
    return g->len;
}

bool gunzip_ended(const struct gunzip *g)
{
    return g->ended;
}

static bool inflate_all(struct slice in, size_t max, struct buf *out, uint64_t *len)
{
    struct gunzip *g = gunzip_new();
    bool ok = gunzip_run(g, &in, max + 1, out) && g->ended && in.n == 0 && g->len <= max;

    *len = g->len;
    gunzip_free(g);
    return ok;
}

bool gzip_inflate(struct slice in, size_t max, struct buf *out)
{
    size_t before = out->n;
    uint64_t len;

    if (inflate_all(in, max, out, &len))
        return true;
    out->n = before;
    return false;
}

bool gzip_length(struct slice in, size_t max, uint64_t *len)
{
    return inflate_all(in, max, NULL, len);
}
