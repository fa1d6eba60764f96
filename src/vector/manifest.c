/* vector/manifest.c: MANIFEST and dead-row files; docs/format-vector.md has the bytes.
 * Threads: the builder, and whoever opens an index. */
#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/log.h"
#include "vector/index_priv.h"

static const char man_magic[8] = {'D', 'I', 'V', 'V', 'M', 'A', 'N', '1'};
static const char dead_magic[8] = {'D', 'I', 'V', 'V', 'D', 'E', 'D', '1'};
enum { MANIFEST_MAX = 64 << 20, SEGMENTS_MAX = 100000 };

void vpath_seg(char out[4096], const char *dir, uint32_t number)
{
    (void)snprintf(out, 4096, "%s/seg-%06u", dir, number);
}

void vpath_dead(char out[4096], const char *dir, uint32_t number, uint32_t gen)
{
    (void)snprintf(out, 4096, "%s/dead-%06u.%u", dir, number, gen);
}

const char *vskip_reason(const char *text)
{
    static const char *const known[] = {"wrong length", "not numbers",
                                        "not finite",   "zero vector",
                                        "bad base64",   "not an array or a base64 string"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(text, known[i]) == 0)
            return known[i];
    return "malformed";
}

static void put32(struct buf *b, uint32_t v)
{
    void *p = buf_extend(b, 4);

    if (p != NULL)
        put_le32(p, v);
}

static void put64(struct buf *b, uint64_t v)
{
    void *p = buf_extend(b, 8);

    if (p != NULL)
        put_le64(p, v);
}

enum status manifest_write(const char *dir, const struct manifest *m, struct err *e)
{
    char path[4096];
    struct buf b;
    enum status st;

    buf_init(&b, MANIFEST_MAX);
    buf_append(&b, man_magic, sizeof(man_magic));
    buf_append(&b, m->uuid, sizeof(m->uuid));
    buf_append(&b, m->sig, sizeof(m->sig));
    put64(&b, m->seq);
    put32(&b, m->next_number);
    put32(&b, m->n);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct mseg *s = &m->seg[i];
        put32(&b, s->number);
        put32(&b, s->rows);
        put64(&b, s->file.bytes);
        put32(&b, s->file.crc);
        put32(&b, s->dead_gen);
        put32(&b, s->dead_crc);
    }
    put32(&b, m->skips_over);
    put32(&b, m->nskips);
    for (uint32_t i = 0; i < m->nskips; i++) {
        put64(&b, m->skip[i].docnum);
        buf_varint(&b, m->skip[i].id.n);
        buf_add(&b, m->skip[i].id);
        buf_varint(&b, strlen(m->skip[i].reason));
        buf_str(&b, m->skip[i].reason);
    }
    put32(&b, crc32c(0, b.p, b.n));
    (void)snprintf(path, sizeof(path), "%s/MANIFEST", dir);
    st = buf_ok(&b) ? fs_write_atomic(path, buf_slice(&b), e)
                    : err_set(e, ST_INTERNAL, "manifest too large");
    buf_free(&b);
    return st;
}

static void read_skips(struct rd *r, struct arena *a, struct manifest *out)
{
    out->skips_over = rd_le32(r);
    out->nskips = rd_le32(r);
    if (out->nskips > VSKIP_MAX) {
        r->bad = true;
        return;
    }
    out->skip = arena_array(a, out->nskips + 1u, sizeof(out->skip[0]));
    for (uint32_t i = 0; i < out->nskips && !r->bad; i++) {
        struct vskip *s = &out->skip[i];
        struct slice reason;

        s->docnum = rd_le64(r);
        s->id = arena_dup(a, rd_bytes(r, (size_t)rd_varint(r)));
        reason = rd_bytes(r, (size_t)rd_varint(r));
        s->reason = vskip_reason(arena_cstr(a, reason));
        s->next = NULL;
    }
}

static enum status parse(struct slice s, struct arena *a, struct manifest *out, struct err *e)
{
    struct rd r;
    struct slice got;

    if (s.n < 4 + sizeof(man_magic) || get_le32(s.p + s.n - 4) != crc32c(0, s.p, s.n - 4))
        return err_set(e, ST_CORRUPT, "manifest checksum");
    r = rd_of(slice_of(s.p, s.n - 4));
    got = rd_bytes(&r, sizeof(man_magic));
    if (!slice_eq(got, slice_of(man_magic, sizeof(man_magic))))
        return err_set(e, ST_CORRUPT, "not a manifest of this version");
    got = rd_bytes(&r, sizeof(out->uuid));
    memcpy(out->uuid, got.p, got.n);
    got = rd_bytes(&r, sizeof(out->sig));
    memcpy(out->sig, got.p, got.n);
    out->seq = rd_le64(&r);
    out->next_number = rd_le32(&r);
    out->n = rd_le32(&r);
    if (r.bad || out->n > SEGMENTS_MAX)
        return err_set(e, ST_CORRUPT, "manifest values");
    out->seg = arena_array(a, out->n + 1u, sizeof(out->seg[0]));
    for (uint32_t i = 0; i < out->n; i++) {
        struct mseg *m = &out->seg[i];
        m->number = rd_le32(&r);
        m->rows = rd_le32(&r);
        m->file.bytes = rd_le64(&r);
        m->file.crc = rd_le32(&r);
        m->dead_gen = rd_le32(&r);
        m->dead_crc = rd_le32(&r);
    }
    read_skips(&r, a, out);
    if (r.bad || rd_left(&r) != 0)
        return err_set(e, ST_CORRUPT, "manifest is short or long");
    return ST_OK;
}

enum status manifest_read(const char *dir, struct arena *a, struct manifest *out, struct err *e)
{
    char path[4096];
    struct buf b;
    enum status st;

    memset(out, 0, sizeof(*out));
    buf_init(&b, MANIFEST_MAX);
    (void)snprintf(path, sizeof(path), "%s/MANIFEST", dir);
    st = fs_read_file(path, &b, e);
    if (st == ST_OK)
        st = parse(buf_slice(&b), a, out, e);
    buf_free(&b);
    return st;
}

/* ---- dead rows ---- */

enum status dead_write(const char *path, const struct vbits *b, uint32_t *crc, struct err *e)
{
    size_t words = ((size_t)b->nbits + 63) / 64;
    struct buf out;
    enum status st;

    buf_init(&out, words * 8 + 64);
    buf_append(&out, dead_magic, sizeof(dead_magic));
    put32(&out, b->nbits);
    put32(&out, b->nset);
    for (size_t i = 0; i < words; i++)
        put64(&out, b->w[i]);
    *crc = crc32c(0, out.p, out.n);
    put32(&out, *crc);
    st = fs_write_atomic(path, buf_slice(&out), e);
    buf_free(&out);
    return st;
}

enum status dead_read(const char *path, uint32_t nbits, uint32_t crc, struct vbits **out,
                      struct err *e)
{
    size_t words = ((size_t)nbits + 63) / 64, want = 16 + words * 8 + 4;
    struct vbits *b = NULL;
    struct buf in;
    enum status st;

    *out = NULL;
    buf_init(&in, want + 1);
    st = fs_read_file(path, &in, e);
    if (st != ST_OK) {
        st = st == ST_NOT_FOUND ? ST_CORRUPT : st;
        goto out;
    }
    if (in.n != want || get_le32(in.p + want - 4) != crc || crc32c(0, in.p, want - 4) != crc ||
        memcmp(in.p, dead_magic, sizeof(dead_magic)) != 0 || get_le32(in.p + 8) != nbits) {
        st = err_set(e, ST_CORRUPT, "dead rows file %s", path);
        goto out;
    }
    b = vbits_new(nbits);
    for (size_t i = 0; i < words; i++) {
        b->w[i] = get_le64(in.p + 16 + i * 8);
        b->nset += (uint32_t)__builtin_popcountll(b->w[i]);
    }
    if (b->nset != get_le32(in.p + 12) ||
        (nbits % 64 != 0 && (b->w[words - 1] >> (nbits % 64)) != 0))
        st = err_set(e, ST_CORRUPT, "dead rows file %s", path);
out:
    if (st != ST_OK) {
        vbits_release(b);
        b = NULL;
    }
    buf_free(&in);
    *out = b;
    return st;
}

/* ---- files nobody names ---- */

struct sweep {
    const char *dir;
    const struct manifest *m;
};

static bool named(const struct manifest *m, const char *name)
{
    char want[64];

    if (strcmp(name, "MANIFEST") == 0)
        return true;
    for (uint32_t i = 0; i < m->n; i++) {
        (void)snprintf(want, sizeof(want), "seg-%06u", m->seg[i].number);
        if (strcmp(name, want) == 0)
            return true;
        (void)snprintf(want, sizeof(want), "dead-%06u.%u", m->seg[i].number, m->seg[i].dead_gen);
        if (m->seg[i].dead_gen != 0 && strcmp(name, want) == 0)
            return true;
    }
    return false;
}

static enum status sweep_one(void *arg, const char *name)
{
    const struct sweep *s = arg;
    char path[4096];
    struct err e;

    if (named(s->m, name))
        return ST_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    if (fs_unlink(path, &e) != ST_OK)
        log_warn("%s", e.reason);
    return ST_OK;
}

void manifest_sweep(const char *dir, const struct manifest *m)
{
    struct sweep s = {dir, m};
    struct err e;

    if (fs_list(dir, sweep_one, &s, &e) != ST_OK)
        log_warn("%s", e.reason);
}

enum status vindex_verify(const char *dir, struct err *e)
{
    struct arena *a = arena_new();
    struct manifest m;
    enum status st = manifest_read(dir, a, &m, e);

    for (uint32_t i = 0; i < m.n && st == ST_OK; i++) {
        struct vseg *s = NULL;
        struct vbits *b = NULL;
        char path[4096];

        vpath_seg(path, dir, m.seg[i].number);
        st = vseg_load(path, m.sig, &m.seg[i].file, &s, e);
        if (st == ST_OK && m.seg[i].dead_gen != 0) {
            vpath_dead(path, dir, m.seg[i].number, m.seg[i].dead_gen);
            st = dead_read(path, s->rows.n, m.seg[i].dead_crc, &b, e);
        }
        vbits_release(b);
        vseg_release(s);
    }
    arena_free(a);
    return st;
}
