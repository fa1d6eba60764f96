/* vector/bookmark.c: where the next page begins. base64url of: version(1) 1, signature(16), query
 * hash(8), key bits(8), count(4), check(4) of all the rest, last id. Opaque to clients; the check
 * only tells accidents, everything else is compared or bounded. Threads: any; pure. */
#include "base/bytes.h"
#include "base/digest.h"
#include "base/text.h"
#include "vector/vfind_priv.h"

#define MARK_MAX ((size_t)LIMIT_DOCID_BYTES * 2)
enum { VERSION = 1, CHECK = 1 + VSEG_SIG + 8 + 8 + 4, HEAD = CHECK + 4 };

static enum status bad(struct err *e, const char *why)
{
    return err_word(e, ST_BAD_REQUEST, "invalid_bookmark", "%s", why);
}

static uint32_t check(const unsigned char *raw, size_t n)
{
    return crc32c(crc32c(0, raw, CHECK), raw + HEAD, n - HEAD);
}

enum status vfind_bookmark(struct vfind *f, struct err *e)
{
    struct slice in = f->rq->bookmark;
    unsigned char *raw;
    uint64_t bits;
    size_t n;

    if (in.n == 0)
        return ST_OK;
    if (in.n > MARK_MAX)
        return bad(e, "the bookmark is too long");
    raw = arena_alloc(f->a, in.n + 8);
    if (!base64url_decode(in, raw, &n) || n < HEAD || raw[0] != VERSION ||
        get_le32(raw + CHECK) != check(raw, n))
        return bad(e, "the bookmark is not one of this server");
    if (memcmp(raw + 1, f->field.sig, VSEG_SIG) != 0)
        return bad(e, "the bookmark belongs to another index");
    if (get_le64(raw + 1 + VSEG_SIG) != f->hash)
        return bad(e, "the bookmark belongs to another query");
    bits = get_le64(raw + 9 + VSEG_SIG);
    memcpy(&f->after_key, &bits, sizeof(bits));
    f->after_count = get_le32(raw + 17 + VSEG_SIG);
    f->after_id = slice_of(raw + HEAD, n - HEAD);
    if (f->after_count + f->rq->limit > LIMIT_FIND_RESULTS)
        return err_word(e, ST_BAD_REQUEST, "invalid_value",
                        "more than %d results: use min_score ranges", LIMIT_FIND_RESULTS);
    return ST_OK;
}

void vfind_bookmark_write(const struct vfind *f, struct buf *out)
{
    const struct vhit *last = f->nhits > 0 ? &f->hit[f->nhits - 1] : NULL;
    unsigned char *raw;
    uint64_t bits;
    size_t n;
    char *text;

    if (last == NULL) { /* as CouchDB: a page with rows has a bookmark, even the last one */
        buf_str(out, "nil");
        return;
    }
    raw = arena_alloc(f->a, HEAD + last->id.n);
    raw[0] = VERSION;
    memcpy(raw + 1, f->field.sig, VSEG_SIG);
    put_le64(raw + 1 + VSEG_SIG, f->hash);
    memcpy(&bits, &last->key, sizeof(bits));
    put_le64(raw + 9 + VSEG_SIG, bits);
    put_le32(raw + 17 + VSEG_SIG, f->after_count + (uint32_t)vfind_skip(f) + f->nhits);
    memcpy(raw + HEAD, last->id.p, last->id.n);
    n = HEAD + last->id.n;
    put_le32(raw + CHECK, check(raw, n));
    text = arena_alloc(f->a, n * 2 + 4);
    n = base64url_encode(raw, n, text);
    buf_append(out, text, n);
}
