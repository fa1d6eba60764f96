/* wal/backup.h: a copy of a data directory, taken while its server runs or not, and brought back.
 *
 * What is copied is what the store is made of: STORE, segments, blobs, and local.ini. Indexes are
 * made again. Of each store the copy is what a power cut would have left at some moment after
 * backup_run was called: every write that was acknowledged before is in it. Nobody stops writing;
 * while it copies (DATA/COPYING is held) nothing is deleted, so compaction waits.
 * A second backup into the same folder copies only what is new or changed. A copied file is never
 * written again, the manifest that names it comes last: whatever cuts a backup short leaves the one
 * before whole. Bytes: docs/format.md, "Backup". Threads: the caller's; another process than the
 * server's as a rule.
 */
#ifndef WAL_BACKUP_H
#define WAL_BACKUP_H
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct backup_report {
    uint64_t files, bytes;               /* in the backup */
    uint64_t copied_files, copied_bytes; /* of these: now */
    uint64_t removed_files;              /* of the backup before */
    uint64_t stores;
};
/* ST_NOT_FOUND: data is no data directory. ST_BAD_REQUEST: one lies in the other; dest is neither
 * empty nor a backup, or one of another server. ST_EXISTS: another backup into dest runs, or files
 * are being deleted for minutes. ST_CORRUPT: a segment is damaged. ST_NO_SPACE. */
enum status backup_run(const char *data, const char *dest, struct backup_report *r,
                       struct err *e) MUST_CHECK;
/* data must be empty or not there. ST_EXISTS: it is not. ST_NOT_FOUND: from holds no whole backup.
 * ST_CORRUPT. What an error leaves in data does not start. */
enum status backup_restore(const char *from, const char *data, struct backup_report *r,
                           struct err *e) MUST_CHECK;
/* Reads every file of the newest backup in dest. ST_CORRUPT: the first that is wrong. */
enum status backup_verify(const char *dest, struct backup_report *r, struct err *e) MUST_CHECK;
#endif
