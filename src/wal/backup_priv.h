/* wal/backup_priv.h: what the files of a backup share: backup.c (taking one), backup_back.c
 * (restoring, verifying), backup_manifest.c (what is in one). Only for these.
 */
#ifndef WAL_BACKUP_PRIV_H
#define WAL_BACKUP_PRIV_H
#include "base/buf.h"
#include "wal/backup.h"

enum { BACKUP_PATH = 4096, BACKUP_NAME = 128 };

/* On disk: never change. */
enum backup_kind { BACKUP_STORE = 'S', BACKUP_LOG = 'L', BACKUP_BLOB = 'B', BACKUP_INI = 'I' };
struct backup_file {
    enum backup_kind kind;
    uint64_t store, number; /* number: of a segment or blob */
    uint64_t len;
    uint64_t source_len, source_ns; /* of the file that it was copied from: when to copy again */
    uint32_t crc;                   /* CRC32C of its bytes, seed 0 */
};
struct backup_manifest {
    uint64_t generation;
    unsigned char uuid[16]; /* of store 0 */
    struct backup_file *v;
    size_t n, cap;
};

void backup_add(struct backup_manifest *m, const struct backup_file *f);
void backup_manifest_free(struct backup_manifest *m);
const struct backup_file *backup_find(const struct backup_manifest *m, enum backup_kind kind,
                                      uint64_t store, uint64_t number); /* NULL: not in it */
void backup_encode(const struct backup_manifest *m, struct buf *out);
enum status backup_decode(struct slice in, struct backup_manifest *out, struct err *e) MUST_CHECK;
/* The newest whole one in dest. ST_NOT_FOUND. */
enum status backup_newest(const char *dest, struct backup_manifest *out, struct err *e) MUST_CHECK;

/* Paths below the backup and below the data directory. */
void backup_name(const struct backup_file *f, char out[BACKUP_NAME]);
void backup_data_name(const struct backup_file *f, char out[BACKUP_NAME]);
enum status backup_path(char out[BACKUP_PATH], const char *dir, const char *name,
                        struct err *e) MUST_CHECK;
/* The copy lies in dest, by its length: somebody may have taken it out of the folder. */
bool backup_is_there(const char *dest, const struct backup_file *f);
/* After a backup that failed: not when there are manifests and none can be read, for then the files
 * are what is left of a backup. */
bool backup_may_sweep(const char *dest, const struct backup_manifest *before);
/* Removes from dest what m does not name; counts files. */
void backup_sweep(const char *dest, const struct backup_manifest *m, uint64_t *removed);
/* Creates or opens dir/name and takes a flock. ST_EXISTS: somebody has it for wait_ms. */
enum status backup_lock(const char *dir, const char *name, unsigned wait_ms, int *fd,
                        struct err *e) MUST_CHECK;
#endif
