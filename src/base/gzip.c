/* base/gzip.c: one inflate loop over a piece of stack, for reading and for measuring. Entered by
 * any thread. */
#include "base/gzip.h"

#include <zlib.h>

#include "base/assert.h"

enum { PIECE = 16384, WINDOW_GZIP = 15 + 16 };

/* out NULL: count only. Concatenated streams are one, as gzip says. */
static bool run(z_stream *z, size_t max, struct buf *out, uint64_t *len)
{
    unsigned char piece[PIECE];
    int rc = Z_OK;

    while (rc != Z_STREAM_END) {
        z->next_out = piece;
        z->avail_out = PIECE;
        rc = inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return false;
        size_t got = PIECE - z->avail_out;
        *len += got;
        if (*len > max)
            return false;
        if (out != NULL)
            buf_append(out, piece, got);
        if (rc == Z_STREAM_END && z->avail_in > 0 && inflateReset(z) == Z_OK)
            rc = Z_OK;
    }
    return true;
}

static bool inflate_all(struct slice in, size_t max, struct buf *out, uint64_t *len)
{
    z_stream z = {0};

    *len = 0;
    if (in.n == 0 || in.n > UINT32_MAX)
        return false;
    ASSERT(inflateInit2(&z, WINDOW_GZIP) == Z_OK);
    z.next_in = (z_const Bytef *)(uintptr_t)in.p;
    z.avail_in = (uInt)in.n;
    bool ok = run(&z, max, out, len);
    (void)inflateEnd(&z);
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
