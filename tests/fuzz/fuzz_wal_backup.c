/* tests/fuzz/fuzz_wal_backup.c: manifests of backups: any bytes are refused or mean something that
 * encodes to a manifest with the same files. The check sum is mended, or nothing would get in.
 */
#include <stdint.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "wal/backup_priv.h"

static void same(const struct backup_manifest *m)
{
    struct backup_manifest again;
    struct buf b;
    struct err e;

    buf_init(&b, 1u << 30);
    backup_encode(m, &b);
    ASSERT(backup_decode(buf_slice(&b), &again, &e) == ST_OK);
    ASSERT(again.n == m->n && again.generation == m->generation);
    for (size_t i = 0; i < m->n; i++) {
        char name[BACKUP_NAME], other[BACKUP_NAME];

        backup_name(&m->v[i], name);
        backup_data_name(&m->v[i], other);
        ASSERT(strstr(name, "..") == NULL && name[0] != '/' && strstr(other, "..") == NULL);
    }
    backup_manifest_free(&again);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct backup_manifest m;
    unsigned long long lines = 0;
    struct buf b;
    struct err e;

    buf_init(&b, 1u << 30);
    buf_append(&b, (const char *)data, size);
    if (backup_decode(buf_slice(&b), &m, &e) == ST_OK) {
        same(&m);
        backup_manifest_free(&m);
    }
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    buf_printf(&b, "end %llu %u\n", lines != 0 ? lines - 1 : 0, (unsigned)crc32c(0, b.p, b.n));
    if (backup_decode(buf_slice(&b), &m, &e) == ST_OK) {
        same(&m);
        backup_manifest_free(&m);
    } else {
        ASSERT(e.reason[0] != '\0');
    }
    buf_free(&b);
    return 0;
}
