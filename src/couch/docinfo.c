/* couch/docinfo.c: rows, log records and bodies of documents to bytes and back; the layouts are in
 * docinfo.h. Pure; any thread. Decoders read bytes that may be damaged: ST_CORRUPT, never an abort.
 */
#include "couch/docinfo.h"

#include "base/assert.h"
#include "base/digest.h"
#include "couch/revtree_priv.h"

enum { DOCINFO_ROW_ATTS = 4 /* in the row only: where attachments lie follows */ };
enum { DOCINFO_FLAGS = DOCINFO_DELETED | DOCINFO_CONFLICTS, ATT_BYTES_MIN = 42, MD5_BYTES = 16 };

static enum status corrupt(struct err *e, const char *what)
{
    return err_set(e, ST_CORRUPT, "%s is damaged", what);
}

/* ---- fields ---- */

static void put_text(struct buf *out, struct slice s)
{
    buf_varint(out, s.n);
    buf_add(out, s);
}

static struct slice read_text(struct rd *r)
{
    uint64_t n = rd_varint(r);

    if (n > rd_left(r)) {
        r->bad = true;
        return slice_of(NULL, 0);
    }
    return rd_bytes(r, (size_t)n);
}

static void put_ptr(struct buf *out, const struct seg_ptr *ptr)
{
    unsigned char *p = buf_extend(out, SEG_PTR_BYTES);

    if (p != NULL)
        seg_ptr_put(p, ptr);
}

static struct seg_ptr read_ptr(struct rd *r)
{
    struct slice s = rd_bytes(r, SEG_PTR_BYTES);

    return r->bad ? (struct seg_ptr){0} : seg_ptr_get((const unsigned char *)s.p);
}

/* A pointer in a row: there is no record it could be relative to. */
static struct seg_ptr read_absolute(struct rd *r)
{
    struct seg_ptr p = read_ptr(r);

    r->bad = r->bad || p.seg == SEG_SELF;
    return p;
}

static unsigned read_flags(struct rd *r)
{
    unsigned flags = rd_u8(r);

    r->bad = r->bad || (flags & ~(unsigned)DOCINFO_FLAGS) != 0;
    return flags;
}

static size_t varint_size(uint64_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* ---- doc-info ---- */

/* Where attachments lie, leaf by leaf in the order of leaves, winner first. In a row a leaf is
 * named by its place in that order: nodes are in another one after decoding, leaves never are, so
 * that a replay writes the bytes that the committer wrote. */
static void encode_atts(const struct docinfo *d, struct buf *out)
{
    uint32_t *leaves, n;

    if (d->natts == 0)
        return;
    n = revtree_leaves(&d->tree, d->tree.arena, &leaves);
    buf_varint(out, d->natts);
    for (uint32_t rank = 0; rank < n; rank++)
        for (uint32_t i = 0; i < d->natts; i++)
            if (d->atts[i].node == leaves[rank]) {
                buf_varint(out, rank);
                buf_varint(out, d->atts[i].seg);
                buf_varint(out, d->atts[i].bytes);
            }
}

void docinfo_encode(const struct docinfo *d, struct buf *out)
{
    ASSERT(d->winner_ptr.seg != SEG_SELF);
    buf_varint(out, d->seq);
    buf_varint(out, d->docnum);
    buf_char(out, (char)(d->flags | (d->natts != 0 ? DOCINFO_ROW_ATTS : 0u)));
    put_ptr(out, &d->winner_ptr);
    encode_atts(d, out);
    revtree_encode(&d->tree, out);
}

/* Flags and pointer, which both decoders read; where attachments lie into out, or skipped. */
static void read_head(struct rd *r, struct docinfo *out, struct arena *a)
{
    unsigned flags;
    uint64_t n = 0;

    out->seq = rd_varint(r);
    out->docnum = rd_varint(r);
    flags = rd_u8(r);
    r->bad = r->bad || (flags & ~(unsigned)(DOCINFO_FLAGS | DOCINFO_ROW_ATTS)) != 0;
    out->flags = flags & DOCINFO_FLAGS;
    out->winner_ptr = read_absolute(r);
    out->atts = NULL;
    out->natts = 0;
    if ((flags & DOCINFO_ROW_ATTS) != 0) {
        n = rd_varint(r);
        r->bad = r->bad || n == 0 || n > rd_left(r) / 3;
    }
    if (r->bad || n == 0)
        return;
    out->atts = arena_array(a, (size_t)n, sizeof(*out->atts));
    for (; out->natts < n; out->natts++) {
        struct docinfo_att *x = &out->atts[out->natts];
        uint64_t node = rd_varint(r);

        *x = (struct docinfo_att){(uint32_t)node, rd_varint(r), 0};
        x->bytes = rd_varint(r);
        r->bad = r->bad || node > INT32_MAX;
    }
}

/* Ranks, as the row has them, to nodes. */
static enum status name_leaves(struct arena *a, struct docinfo *d, struct err *e)
{
    uint32_t *leaves, n;

    if (d->natts == 0)
        return ST_OK;
    n = revtree_leaves(&d->tree, a, &leaves);
    for (uint32_t i = 0; i < d->natts; i++) {
        if (d->atts[i].node >= n)
            return corrupt(e, "doc-info (attachments of no leaf)");
        d->atts[i].node = leaves[d->atts[i].node];
    }
    return ST_OK;
}

enum status docinfo_decode(struct arena *a, struct slice v, struct docinfo *out, struct err *e)
{
    struct rd r = rd_of(v);

    read_head(&r, out, a);
    revtree_init(&out->tree, a);
    if (r.bad)
        return corrupt(e, "doc-info");
    TRY(revtree_decode(&r, &out->tree, e));
    for (uint32_t i = 0; i < out->tree.n; i++)
        if (out->tree.nodes[i].has_body && out->tree.nodes[i].ptr.seg == SEG_SELF)
            return corrupt(e, "doc-info (relative pointer)");
    TRY(name_leaves(a, out, e));
    if (rd_left(&r) > 0 || out->tree.n == 0)
        return corrupt(e, "doc-info");
    return ST_OK;
}

enum status docinfo_head_decode(struct arena *a, struct slice v, struct docinfo_head *out,
                                struct err *e)
{
    struct rd r = rd_of(v);
    struct docinfo d;

    read_head(&r, &d, a);
    *out = (struct docinfo_head){
        .seq = d.seq, .docnum = d.docnum, .flags = d.flags, .winner_ptr = d.winner_ptr};
    if (r.bad)
        return corrupt(e, "doc-info");
    return revtree_decode_winner(&r, a, &out->winner, e);
}

/* ---- changes row ---- */

void seqrow_encode(const struct seqrow *r, struct buf *out)
{
    buf_char(out, (char)r->flags);
    put_ptr(out, &r->winner_ptr);
    buf_varint(out, r->winner.gen);
    buf_char(out, r->winner.hex ? NODE_HEX : 0);
    put_text(out, r->winner.id);
    buf_varint(out, r->docnum);
    buf_add(out, r->docid);
}

enum status seqrow_decode(struct slice v, struct seqrow *out, struct err *e)
{
    struct rd r = rd_of(v);
    uint64_t gen;
    unsigned flag;

    out->flags = read_flags(&r);
    out->winner_ptr = read_absolute(&r);
    gen = rd_varint(&r);
    flag = rd_u8(&r);
    out->winner = (struct rev){(uint32_t)gen, flag == NODE_HEX, read_text(&r)};
    out->docnum = rd_varint(&r);
    out->docid = rd_bytes(&r, rd_left(&r));
    if (r.bad || gen == 0 || gen > UINT32_MAX || (flag != 0 && flag != NODE_HEX) ||
        out->docid.n == 0)
        return corrupt(e, "changes row");
    if (flag == NODE_HEX ? out->winner.id.n != MD5_BYTES : !rev_id_valid(out->winner.id))
        return corrupt(e, "changes row (revision)");
    return ST_OK;
}

/* ---- bodies ---- */

static size_t text_size(struct slice s)
{
    return varint_size(s.n) + s.n;
}

/* What is written for an attachment: new bytes set length and pointer. */
static struct att att_to_write(const struct att *x, uint64_t at)
{
    struct att y = *x;

    if (x->data.p == NULL) {
        ASSERT(x->ptr.seg != SEG_SELF);
        return y;
    }
    y.stored_len = x->data.n;
    y.ptr = (struct seg_ptr){SEG_SELF, (uint32_t)at, (uint32_t)x->data.n,
                             crc32c(0, x->data.p, x->data.n)};
    return y;
}

static size_t att_size(const struct att *x)
{
    uint64_t stored = x->data.p != NULL ? x->data.n : x->stored_len;

    return text_size(x->name) + text_size(x->type) + varint_size(x->revpos) + MD5_BYTES +
           varint_size(x->len) + varint_size((uint64_t)x->encoding) + varint_size(stored) +
           SEG_PTR_BYTES;
}

static void put_att(struct buf *out, const struct att *x)
{
    put_text(out, x->name);
    put_text(out, x->type);
    buf_varint(out, x->revpos);
    buf_append(out, x->md5, MD5_BYTES);
    buf_varint(out, x->len);
    buf_varint(out, (uint64_t)x->encoding);
    buf_varint(out, x->stored_len);
    put_ptr(out, &x->ptr);
}

void doc_body_encode(const struct doc_body *b, struct buf *out)
{
    uint64_t at = text_size(b->json) + varint_size(b->natts);
    size_t start = out->n;

    for (uint32_t i = 0; i < b->natts; i++)
        at += att_size(&b->atts[i]);
    buf_reserve(out, at);
    put_text(out, b->json);
    buf_varint(out, b->natts);
    if (b->natts > 0) {
        uint64_t region = at;

        for (uint32_t i = 0; i < b->natts; i++) {
            struct att x = att_to_write(&b->atts[i], at);

            put_att(out, &x);
            at += b->atts[i].data.p != NULL ? x.stored_len : 0;
        }
        ASSERT(out->full || out->n - start == region);
    }
    out->full = out->full || at > UINT32_MAX; /* no pointer could reach the last bytes */
}

/* A pointer to a blob has no length: it may be longer than one can say. */
static bool length_fits(const struct att *x)
{
    if (seg_is_blob(x->ptr.seg))
        return x->ptr.off == 0 && x->ptr.len == 0 && x->stored_len != 0;
    return x->stored_len == x->ptr.len;
}

static bool read_att(struct rd *r, size_t region, const struct seg_ptr *at, struct att *x)
{
    uint64_t revpos, encoding;
    struct slice md5;

    *x = (struct att){.name = read_text(r)};
    x->type = read_text(r);
    revpos = rd_varint(r);
    md5 = rd_bytes(r, MD5_BYTES);
    x->len = rd_varint(r);
    encoding = rd_varint(r);
    x->stored_len = rd_varint(r);
    x->ptr = read_ptr(r);
    if (r->bad || revpos > UINT32_MAX || encoding > ATT_GZIP || !length_fits(x) ||
        (encoding == ATT_IDENTITY && x->len != x->stored_len))
        return false;
    x->revpos = (uint32_t)revpos;
    x->encoding = encoding == ATT_GZIP ? ATT_GZIP : ATT_IDENTITY;
    memcpy(x->md5, md5.p, MD5_BYTES);
    if (x->ptr.seg == SEG_SELF) {
        if (x->ptr.off < region || x->ptr.off > UINT32_MAX - at->off)
            return false;
        x->ptr.seg = at->seg;
        x->ptr.off += at->off;
    }
    return true;
}

enum status doc_body_decode(struct arena *a, struct slice region, const struct seg_ptr *at,
                            struct doc_body *out, struct err *e)
{
    struct rd r = rd_of(region);
    uint64_t n;

    out->json = read_text(&r);
    n = rd_varint(&r);
    out->atts = NULL;
    out->natts = 0;
    if (r.bad || n > rd_left(&r) / ATT_BYTES_MIN)
        return corrupt(e, "document body");
    if (n > 0)
        out->atts = arena_array(a, (size_t)n, sizeof *out->atts);
    for (; out->natts < n; out->natts++)
        if (!read_att(&r, region.n, at, &out->atts[out->natts]))
            return corrupt(e, "attachment table");
    if (rd_left(&r) > 0)
        return corrupt(e, "document body");
    return ST_OK;
}

/* ---- log record ---- */

static uint32_t count_self(const struct revtree *t)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->n; i++)
        n += t->nodes[i].has_body && t->nodes[i].ptr.seg == SEG_SELF;
    return n;
}

/* The pointers were written relative to the first region; the head's length is known only now. */
static void shift_self(struct revtree *t, struct buf *out, const size_t *marks, uint32_t n,
                       uint32_t head)
{
    for (uint32_t i = 0; i < n; i++) {
        unsigned char *p = (unsigned char *)out->p + marks[i];
        struct seg_ptr ptr = seg_ptr_get(p);

        ptr.off += head;
        seg_ptr_put(p, &ptr);
    }
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].has_body && t->nodes[i].ptr.seg == SEG_SELF)
            t->nodes[i].ptr.off += head;
}

void doc_record_encode_head(struct doc_record *r, struct buf *out)
{
    size_t start = out->n;
    size_t *marks = arena_array(r->tree->arena, count_self(r->tree), sizeof *marks);
    uint32_t n;

    put_text(out, r->docid);
    buf_varint(out, r->seq);
    buf_varint(out, r->prev_seq);
    buf_varint(out, r->docnum);
    buf_varint(out, r->doc_count);
    buf_varint(out, r->del_count);
    buf_varint(out, r->external_bytes);
    n = revtree_encode_marks(r->tree, out, marks);
    if (!out->full)
        shift_self(r->tree, out, marks, n, (uint32_t)(out->n - start));
}

enum status doc_record_decode(struct arena *a, struct slice body, struct doc_record *out,
                              struct revtree *tree, struct err *e)
{
    struct rd r = rd_of(body);
    size_t head;

    out->docid = read_text(&r);
    out->seq = rd_varint(&r);
    out->prev_seq = rd_varint(&r);
    out->docnum = rd_varint(&r);
    out->doc_count = rd_varint(&r);
    out->del_count = rd_varint(&r);
    out->external_bytes = rd_varint(&r);
    out->tree = tree;
    revtree_init(tree, a);
    if (r.bad || out->docid.n == 0)
        return corrupt(e, "document record");
    TRY(revtree_decode(&r, tree, e));
    head = body.n - rd_left(&r);
    for (uint32_t i = 0; i < tree->n; i++) {
        const struct seg_ptr *p = &tree->nodes[i].ptr;

        if (tree->nodes[i].has_body && p->seg == SEG_SELF &&
            (p->off < head || p->off > body.n || p->len > body.n - p->off))
            return corrupt(e, "document record (pointer)");
    }
    return ST_OK;
}

void revtree_resolve(struct revtree *t, uint64_t seg, uint32_t body_off)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].has_body && t->nodes[i].ptr.seg == SEG_SELF) {
            t->nodes[i].ptr.seg = seg;
            t->nodes[i].ptr.off += body_off;
        }
}
