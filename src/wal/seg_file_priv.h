/* wal/seg_file_priv.h: the insides of the file: segment store, shared by seg_file.c (segments),
 * seg_file_obj.c (objects), seg_file_own.c (LOCK, STORE) and seg_file_dirs.c. Only for src/wal. */
#ifndef WAL_SEG_FILE_PRIV_H
#define WAL_SEG_FILE_PRIV_H
#include "base/limits.h"
#include "wal/seg_fds.h"
#include "wal/seg_file.h"
#include "wal/store_slot.h"

/* A store has its tail, the next segment and one being sealed open; one more while it rolls. */
enum { SEG_FILE_WRITERS = 4 * (LIMIT_OWN_STORES + 1), SEG_FILE_PATH = 4096 };

/* A segment that this process may append to. */
struct seg_writer {
    uint64_t store, seg;
    int fd; /* -1: a free place */
    uint32_t len;
};

struct seg_owned { /* a store acquired by this process */
    uint64_t store;
    int fd; /* STORE */
    struct store_slot slot;
    struct seg_owned *next;
};

/* An object that is being written. */
struct obj_writer {
    uint64_t store, id, len;
    int fd;
    struct obj_writer *next;
};

struct seg_file {
    struct seg_store base;
    char *dir;
    int lock_fd;
    struct seg_fds readers;
    struct mutex mu; /* guards owned, writers, objs; leaf, never held across a system call */
    struct seg_owned *owned;
    struct obj_writer *objs;
    struct seg_writer writers[SEG_FILE_WRITERS];
};

static inline struct seg_file *seg_file_of(struct seg_store *s)
{
    return (struct seg_file *)s;
}

/* Paths into the caller's array; a path that does not fit is cut, and the call on it fails. */
void seg_file_path(const struct seg_file *f, char out[SEG_FILE_PATH], uint64_t store,
                   const char *rest);
void seg_file_seg_path(const struct seg_file *f, char out[SEG_FILE_PATH], uint64_t store,
                       uint64_t seg);
enum ss_rc seg_file_sync_log_dir(const struct seg_file *f, uint64_t store, struct err *e);
/* errno into a reason and an answer; ENOSPC and EDQUOT are SS_NOSPC. */
enum ss_rc seg_file_errno(struct err *e, const char *call, const char *path);
/* The disk's state can no longer be known: says so and ends the process, status 74. */
_Noreturn void seg_file_die(const char *call, const char *path);
enum ss_rc seg_file_check_epoch(struct seg_file *f, uint64_t store, uint64_t epoch, struct err *e);

/* The number of "%016x.ext"; other names are not ours. */
bool seg_file_number(const char *name, const char *ext, uint64_t *n);
enum ss_rc seg_file_read_fd(int fd, uint64_t off, void *buf, uint32_t len, struct err *e);

enum ss_rc seg_file_acquire(struct seg_store *s, uint64_t store, struct ss_super *out,
                            struct err *e);
enum ss_rc seg_file_checkpoint(struct seg_store *s, uint64_t store, uint64_t epoch,
                               uint64_t hint_seg, bool clean, struct err *e);
enum ss_rc seg_file_lock_dir(struct seg_file *f, struct err *e); /* LOCK; fine when it is ours */
void seg_file_disown(struct seg_file *f, uint64_t store);

/* seg_file_dirs.c: the calls of these names */
enum ss_rc seg_file_reclaim_begin(struct seg_store *s, int *token, struct err *e);
void seg_file_reclaim_end(struct seg_store *s, int token);
enum ss_rc seg_file_stores(struct seg_store *s, uint64_t **out, size_t *n, struct err *e);
void seg_file_release(struct seg_store *s, uint64_t store);
enum ss_rc seg_file_destroy(struct seg_store *s, uint64_t store, uint64_t epoch, struct err *e);

enum ss_rc seg_file_list(struct seg_store *s, uint64_t store, struct seg_info **out, size_t *n,
                         struct err *e);

/* seg_file_obj.c */
enum ss_rc seg_file_obj_create(struct seg_store *s, const struct obj_name *o, struct err *e);
enum ss_rc seg_file_obj_append(struct seg_store *s, const struct obj_name *o, uint64_t expect_off,
                               const struct iovec *iov, int n, struct err *e);
enum ss_rc seg_file_obj_finish(struct seg_store *s, const struct obj_name *o, struct err *e);
enum ss_rc seg_file_obj_read(struct seg_store *s, const struct obj_name *o, uint64_t off, void *buf,
                             uint32_t len, struct err *e);
enum ss_rc seg_file_obj_stat(struct seg_store *s, const struct obj_name *o, uint64_t *len,
                             struct err *e);
enum ss_rc seg_file_obj_list(struct seg_store *s, uint64_t store, struct obj_info **out, size_t *n,
                             struct err *e);
enum ss_rc seg_file_obj_del(struct seg_store *s, const struct obj_name *o, struct err *e);
void seg_file_obj_close_all(struct seg_file *f);
void seg_file_obj_close_store(struct seg_file *f,
                              uint64_t store); /* nobody writes to it any more */
#endif
