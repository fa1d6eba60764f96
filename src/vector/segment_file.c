/* vector/segment_file.c: segments to files and back; docs/format-vector.md has the bytes.
 * Threads: a file is written by the builder, read when an index opens. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/limits.h"
#include "vector/segment_priv.h"

static const char magic[8] = {'D', 'I', 'V', 'V', 'S', 'E', 'G', '1'};
enum {
    SEG_VERSION = 2,
    H_VERSION = 8,
    H_METRIC = 12,
    H_DIMS = 16,
    H_ROWS = 20,
    H_M = 24,
    H_EFC = 28,
    H_ENTRY = 32,
    H_MAX_LEVEL = 36,
    H_NUPPER = 40,
    H_GRAPH_ROWS = 44,
    H_SIG = 48,
    H_SAMPLED = 64,
    H_POINTS = 68,
    H_CURVE = 72, /* VCURVE_POINTS times ef, recall */
    H_POINT_BYTES = 8,
    H_WIDE = 168,  /* VWIDE_KS times VWIDE_POINTS times recall */
    H_PARTS = 256, /* PART_COUNT times offset, length, crc, 0 */
    H_PART_BYTES = 24,
    H_CRC = SEG_ALIGN - 4
};

static size_t part_at(size_t i)
{
    return H_PARTS + H_PART_BYTES * i;
}

static size_t curve_at(size_t i)
{
    return H_CURVE + H_POINT_BYTES * i;
}

static size_t wide_at(size_t ki, size_t point)
{
    return H_WIDE + 4 * (VWIDE_POINTS * ki + point);
}

static void put_f32(unsigned char *p, float f)
{
    uint32_t u;

    memcpy(&u, &f, 4);
    put_le32(p, u);
}

static void header_encode(const struct vseg *s, const unsigned char sig[VSEG_SIG],
                          unsigned char h[SEG_ALIGN])
{
    memset(h, 0, SEG_ALIGN);
    memcpy(h, magic, sizeof(magic));
    put_le32(h + H_VERSION, SEG_VERSION);
    put_le32(h + H_METRIC, (uint32_t)s->metric);
    put_le32(h + H_DIMS, s->rows.dims);
    put_le32(h + H_ROWS, s->rows.n);
    put_le32(h + H_M, s->graph.m);
    put_le32(h + H_EFC, s->efc);
    put_le32(h + H_ENTRY, s->graph.entry);
    put_le32(h + H_MAX_LEVEL, s->graph.max_level);
    put_le32(h + H_NUPPER, s->graph.nupper);
    put_le32(h + H_GRAPH_ROWS, s->graph.n);
    memcpy(h + H_SIG, sig, VSEG_SIG);
    put_le32(h + H_SAMPLED, s->curve.sampled);
    put_le32(h + H_POINTS, s->curve.n);
    for (uint32_t i = 0; i < s->curve.n; i++) {
        put_le32(h + curve_at(i), s->curve.at[i].ef);
        put_f32(h + curve_at(i) + 4, s->curve.at[i].recall);
    }
    for (uint32_t i = 0; i < VWIDE_KS; i++)
        for (uint32_t j = 0; j < VWIDE_POINTS; j++)
            put_f32(h + wide_at(i, j), s->curve.wide[i][j]);
}

static enum status sys_err(struct err *e, const char *call, const char *path)
{
    enum status st = errno == ENOSPC || errno == EDQUOT ? ST_NO_SPACE : ST_IO;

    return err_set(e, st, "%s %s: errno %d", call, path, errno);
}

static enum status write_parts(const struct vseg *s, int fd, unsigned char h[SEG_ALIGN],
                               struct vseg_file *out, struct err *e)
{
    struct seg_range part[PART_COUNT];
    uint64_t at = SEG_ALIGN;

    seg_parts(s, part);
    for (unsigned i = 0; i < PART_COUNT; i++) {
        unsigned char *row = h + part_at(i);
        put_le64(row, at);
        put_le64(row + 8, part[i].len);
        put_le32(row + 16, part[i].len != 0 ? crc32c(0, part[i].p, part[i].len) : 0);
        if (part[i].len != 0)
            TRY(fs_pwrite_full(fd, part[i].p, part[i].len, at, e));
        at += seg_round(part[i].len);
    }
    out->bytes = at;
    out->crc = crc32c(0, h, H_CRC);
    put_le32(h + H_CRC, out->crc);
    return fs_pwrite_full(fd, h, SEG_ALIGN, 0, e);
}

static enum status sync_rename(int fd, uint64_t bytes, const char *tmp, const char *path,
                               struct err *e)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');

    KILL_POINT("vec.segment.written");
    if (ftruncate(fd, (off_t)bytes) != 0)
        return sys_err(e, "ftruncate", tmp);
    if (fdatasync(fd) != 0)
        return sys_err(e, "fdatasync", tmp);
    KILL_POINT("vec.segment.synced");
    if (rename(tmp, path) != 0)
        return sys_err(e, "rename", tmp);
    KILL_POINT("vec.segment.renamed");
    (void)snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path) : 1,
                   slash != NULL ? path : ".");
    return fs_sync_dir(dir, e);
}

enum status vseg_write(const struct vseg *s, const char *path, const unsigned char sig[VSEG_SIG],
                       struct vseg_file *out, struct err *e)
{
    unsigned char *h = mem_alloc(SEG_ALIGN);
    char tmp[4096];
    enum status st;
    int fd;

    (void)snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        st = sys_err(e, "open", tmp);
        goto out;
    }
    header_encode(s, sig, h);
    st = write_parts(s, fd, h, out, e);
    if (st == ST_OK)
        st = sync_rename(fd, out->bytes, tmp, path, e);
    (void)close(fd);
    if (st != ST_OK)
        (void)unlink(tmp);
out:
    mem_free(h);
    return st;
}

/* ---- reading ---- */

static float get_f32(const unsigned char *p)
{
    uint32_t u = get_le32(p);
    float f;

    memcpy(&f, &u, 4);
    return f;
}

static enum status bad(struct err *e, const char *what)
{
    return err_set(e, ST_CORRUPT, "vector segment: %s", what);
}

static void curve_decode(struct vseg *s, const unsigned char *h)
{
    s->curve.strict = s->metric == VMETRIC_DOT;
    for (uint32_t i = 0; i < s->curve.n; i++) {
        s->curve.at[i].ef = get_le32(h + curve_at(i));
        s->curve.at[i].recall = get_f32(h + curve_at(i) + 4);
    }
    for (uint32_t i = 0; i < VWIDE_KS; i++)
        for (uint32_t j = 0; j < VWIDE_POINTS; j++)
            s->curve.wide[i][j] = get_f32(h + wide_at(i, j));
}

static enum status header_decode(struct vseg *s, const unsigned char *h,
                                 const unsigned char sig[VSEG_SIG], struct err *e)
{
    uint32_t metric = get_le32(h + H_METRIC);

    if (memcmp(h, magic, sizeof(magic)) != 0 || get_le32(h + H_VERSION) != SEG_VERSION)
        return bad(e, "not a segment of this version");
    if (get_le32(h + H_CRC) != crc32c(0, h, H_CRC))
        return bad(e, "header checksum");
    if (memcmp(h + H_SIG, sig, VSEG_SIG) != 0 || metric > VMETRIC_L2)
        return bad(e, "belongs to another index");
    s->metric = (enum vmetric)metric;
    s->rows.dims = get_le32(h + H_DIMS);
    s->rows.n = get_le32(h + H_ROWS);
    s->graph.m = get_le32(h + H_M);
    s->efc = get_le32(h + H_EFC);
    s->graph.entry = get_le32(h + H_ENTRY);
    s->graph.max_level = get_le32(h + H_MAX_LEVEL);
    s->graph.nupper = get_le32(h + H_NUPPER);
    s->graph.n = get_le32(h + H_GRAPH_ROWS);
    s->curve.sampled = get_le32(h + H_SAMPLED);
    s->curve.n = get_le32(h + H_POINTS);
    if (s->rows.dims == 0 || s->rows.dims > LIMIT_DIMS || s->curve.n > VCURVE_POINTS ||
        (s->graph.n != 0 && s->graph.n != s->rows.n))
        return bad(e, "header values");
    curve_decode(s, h);
    return ST_OK;
}

static enum status parts_decode(struct vseg *s, char *mem, uint64_t bytes, struct err *e)
{
    uint64_t off[PART_COUNT], want[PART_COUNT];

    if (!seg_part_sizes(s, get_le64(mem + part_at(PART_IDS) + 8), want))
        return bad(e, "sizes");
    for (unsigned i = 0; i < PART_COUNT; i++) {
        const char *row = mem + part_at(i);
        uint64_t len = get_le64(row + 8);

        off[i] = get_le64(row);
        if (len != want[i] || off[i] % SEG_ALIGN != 0 || off[i] > bytes || len > bytes - off[i])
            return bad(e, "a part lies outside the file");
        if (len != 0 && crc32c(0, mem + off[i], len) != get_le32(row + 16))
            return bad(e, "checksum of a part");
    }
    seg_set_parts(s, mem, off);
    return ST_OK;
}

static enum status rows_check(struct vseg *s, uint64_t id_bytes, struct err *e)
{
    if (s->idoff[0] != 0 || s->idoff[s->rows.n] != id_bytes)
        return bad(e, "id table");
    for (uint32_t i = 0; i < s->rows.n; i++) {
        if (s->idoff[i] > s->idoff[i + 1] || (i > 0 && s->docnum[i] < s->docnum[i - 1]))
            return bad(e, "order of rows");
        s->max_norm = s->rows.norm[i] > s->max_norm ? s->rows.norm[i] : s->max_norm;
    }
    if (!vgraph_valid(&s->graph))
        return bad(e, "graph");
    return ST_OK;
}

static enum status read_whole(const char *path, uint64_t want, char **mem, struct err *e)
{
    struct stat sb;
    enum status st = ST_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *mem = NULL;
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ST_CORRUPT : ST_IO, "open %s: errno %d", path, errno);
    if (fstat(fd, &sb) != 0)
        st = sys_err(e, "fstat", path);
    else if ((uint64_t)sb.st_size != want || want < SEG_ALIGN)
        st = bad(e, "size is not the manifest's");
    if (st == ST_OK) {
        *mem = seg_alloc(want);
        st = fs_pread_full(fd, *mem, want, 0, e);
    }
    (void)close(fd);
    return st;
}

enum status vseg_load(const char *path, const unsigned char sig[VSEG_SIG],
                      const struct vseg_file *want, struct vseg **out, struct err *e)
{
    struct seg_box *b = mem_zalloc(sizeof(*b));
    struct vseg *s = &b->s;
    enum status st;
    char *mem;

    atomic_init(&b->refs, 1);
    *out = NULL;
    st = read_whole(path, want->bytes, &mem, e);
    b->mem[0] = mem;
    s->bytes = want->bytes;
    ASSERT(st != ST_OK || mem != NULL);
    if (st == ST_OK && get_le32(mem + H_CRC) != want->crc)
        st = bad(e, "not the file of the manifest");
    if (st == ST_OK)
        st = header_decode(s, (const unsigned char *)mem, sig, e);
    if (st == ST_OK)
        st = parts_decode(s, mem, want->bytes, e);
    if (st == ST_OK)
        st = rows_check(s, get_le64(mem + part_at(PART_IDS) + 8), e);
    if (st != ST_OK) {
        vseg_release(s);
        return st;
    }
    *out = s;
    return ST_OK;
}
