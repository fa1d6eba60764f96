/* wal/seg_file.h: a seg_store of files: DIR/LOCK, DIR/<store>/STORE, DIR/<store>/log/%016x.seg,
 * DIR/<store>/blob/%016x.blb (objects; %016x.tmp before they are finished).
 *
 * free_bytes answers what the log may still fill: what the file system has free less the floor,
 * min(512 MiB, 5 % of the file system), which stays for deletes, purges and compaction.
 * A failed fsync, or a failed write whose traces cannot be removed, ends the process with status
 * 74 on the spot: the kernel may have dropped the pages, so nothing later could be believed.
 */
#ifndef WAL_SEG_FILE_H
#define WAL_SEG_FILE_H
#include "wal/seg_store.h"

struct seg_store *seg_file_new(const char *dir); /* touches nothing before acquire or lock */
/* `divan check` on a stopped server: takes DIR/LOCK without an epoch and without writing; reading
 * and listing work, nothing else. ST_EXISTS: a server runs. ST_NOT_FOUND: no such directory. */
enum status seg_file_lock(struct seg_store *s, struct err *e) MUST_CHECK;
/* What STORE says, unchanged: out->epoch is the last owner's. ST_NOT_FOUND: no such store. */
enum status seg_file_peek(struct seg_store *s, uint64_t store, struct ss_super *out,
                          struct err *e) MUST_CHECK;
/* ---- salvage (salvage.c), on a store that was acquired ---- */
/* A durable copy of the segment in DATA/<n>/quarantine. */
enum status seg_file_keep(struct seg_store *s, uint64_t store, uint64_t seg,
                          struct err *e) MUST_CHECK;
/* Moves it there. */
enum status seg_file_set_aside(struct seg_store *s, uint64_t store, uint64_t seg,
                               struct err *e) MUST_CHECK;
/* Moves a finished object there; durable. */
enum status seg_file_set_aside_obj(struct seg_store *s, uint64_t store, uint64_t id,
                                   struct err *e) MUST_CHECK;
/* Writes over bytes of it; durable. */
enum status seg_file_patch(struct seg_store *s, uint64_t store, uint64_t seg, uint32_t off,
                           struct slice bytes, struct err *e) MUST_CHECK;
#endif
