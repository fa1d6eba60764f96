/* kv/kv.h: the disposable index: a thin wrapper around LevelDB and the only place that sees it.
 *
 * LevelDB's own log is never trusted: after an unclean stop kv_open deletes the idx/<n>.log files,
 * what is left is an exact prefix of the write history, and our log replays the rest. Writes are
 * never synced; kv_barrier makes everything before it durable.
 * Ownership: values are copied into the caller's arena or buffer; LevelDB's memory never leaves.
 * Threads: all calls by any thread; one iterator by one thread at a time.
 */
#ifndef KV_KV_H
#define KV_KV_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"

struct kv;
struct kv_batch;
struct kv_iter;
struct kv_snap;

struct kv_options {
    size_t write_buffer; /* 0: 16 MiB */
    size_t cache;        /* 0: 64 MiB */
    int open_files;      /* 0: 1000 */
    bool clean;          /* the last stop was clean: LevelDB's log may stay */
};
/* ST_CORRUPT or ST_IO: the caller renames the folder away and opens a fresh one. */
enum status kv_open(const char *path, const struct kv_options *opt, struct kv **out,
                    struct err *e) MUST_CHECK;
void kv_close(struct kv *kv); /* NULL is fine */
/* Memtable to tables and fsynced, waits; then writes key -> value to see a background error. */
enum status kv_barrier(struct kv *kv, struct slice key, struct slice value,
                       struct err *e) MUST_CHECK;
uint64_t kv_disk_bytes(struct kv *kv);

/* ST_NOT_FOUND without a reason. snap may be NULL. out: arena memory. */
enum status kv_get(struct kv *kv, const struct kv_snap *snap, struct slice key, struct arena *a,
                   struct slice *out, struct err *e) MUST_CHECK;

struct kv_batch *kv_batch_new(void);
void kv_batch_free(struct kv_batch *b);
void kv_batch_clear(struct kv_batch *b);
void kv_batch_put(struct kv_batch *b, struct slice key, struct slice value);
void kv_batch_delete(struct kv_batch *b, struct slice key);
enum status kv_write(struct kv *kv, struct kv_batch *b,
                     struct err *e) MUST_CHECK; /* atomic, unsynced */

struct kv_snap *kv_snap_new(struct kv *kv);
void kv_snap_free(struct kv *kv, struct kv_snap *s); /* NULL is fine */

/* An iterator sees the snapshot, or the moment it was made. */
struct kv_iter *kv_iter_new(struct kv *kv, const struct kv_snap *snap);
void kv_iter_free(struct kv_iter *it);                          /* NULL is fine */
void kv_iter_seek(struct kv_iter *it, struct slice key);        /* first key >= */
void kv_iter_seek_before(struct kv_iter *it, struct slice key); /* last key < */
bool kv_iter_valid(const struct kv_iter *it);
void kv_iter_next(struct kv_iter *it);
void kv_iter_prev(struct kv_iter *it);
struct slice kv_iter_key(const struct kv_iter *it);   /* borrowed until the iterator moves */
struct slice kv_iter_value(const struct kv_iter *it); /* likewise */
enum status kv_iter_error(const struct kv_iter *it, struct err *e) MUST_CHECK;
#endif
