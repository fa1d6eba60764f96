/* fuzz_vector_files.c: bytes that pretend to be a segment file or a manifest. The reader says
 * ST_CORRUPT or hands out something that can be searched; it never reads outside. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/fs.h"
#include "vector/index_priv.h"

static const unsigned char sig[VSEG_SIG] = {0};
static char dir[] = "/tmp/divan-fuzz-XXXXXX";

static void remove_dir(void)
{
    struct err e;

    if (fs_remove_tree(dir, &e) != ST_OK)
        (void)fprintf(stderr, "%s\n", e.reason);
}

/* Fixes the checksums, so that mutations get past them. */
static void seal(char *p, size_t n)
{
    if (n < 4096)
        return;
    for (size_t i = 0; i < 10; i++) {
        char *row = p + 256 + 24 * i;
        uint64_t off = get_le64(row), len = get_le64(row + 8);
        if (off <= n && len <= n - off)
            put_le32(row + 16, crc32c(0, p + off, len));
    }
    put_le32(p + 4092, crc32c(0, p, 4092));
}

static void search(const struct vseg *s)
{
    float *q = mem_zalloc(s->rows.dims * sizeof(float)), *k = mem_zalloc(s->rows.dims * 4u);
    struct vctx *c = vctx_new();
    const struct vcand *out;
    uint64_t scored = 0;
    struct vquery vq;

    q[0] = 1;
    vquery_init(&vq, s->metric, s->rows.dims, q, k);
    struct vgraph_query gq = {&s->graph, &s->rows, &vq, NULL, 10};
    (void)vgraph_search(&gq, c, &out, &scored);
    vctx_free(c);
    mem_free(q);
    mem_free(k);
}

static void try_segment(const uint8_t *data, size_t size)
{
    char path[4200], *copy = mem_dup(data, size);
    struct vseg_file want = {size, 0};
    struct vseg *s;
    struct err e;

    seal(copy, size);
    if (size >= 4096)
        want.crc = get_le32(copy + 4092);
    (void)snprintf(path, sizeof(path), "%s/seg", dir);
    if (fs_write_atomic(path, slice_of(copy, size), &e) == ST_OK &&
        vseg_load(path, sig, &want, &s, &e) == ST_OK) {
        search(s);
        vseg_release(s);
    }
    mem_free(copy);
}

static void try_manifest(const uint8_t *data, size_t size)
{
    char path[4200], *copy = mem_alloc(size + 4);
    struct arena *a = arena_new();
    struct manifest m;
    struct err e;

    memcpy(copy, data, size);
    put_le32(copy + size, crc32c(0, data, size));
    (void)snprintf(path, sizeof(path), "%s/MANIFEST", dir);
    if (fs_write_atomic(path, slice_of(copy, size + 4), &e) == ST_OK &&
        manifest_read(dir, a, &m, &e) == ST_OK)
        ASSERT(m.n == 0 || m.seg != NULL);
    arena_free(a);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;

    if (!made) {
        made = mkdtemp(dir) != NULL;
        (void)atexit(remove_dir);
    }
    if (size < 1 || !made)
        return 0;
    if (data[0] % 2 == 0)
        try_segment(data + 1, size - 1);
    else
        try_manifest(data + 1, size - 1);
    return 0;
}
