/* base/fs.h: the file calls that several layers need, with errors as statuses. ENOSPC and EDQUOT
 * are ST_NO_SPACE, ENOENT is ST_NOT_FOUND, the rest ST_IO; the reason names call, path, errno. */
#ifndef BASE_FS_H
#define BASE_FS_H
#include "base/buf.h"
#include "base/status.h"

enum status fs_mkdirs(const char *path, struct err *e) MUST_CHECK; /* 0700, fine when there */
enum status fs_sync_dir(const char *path, struct err *e) MUST_CHECK;
enum status fs_read_file(const char *path, struct buf *out, struct err *e) MUST_CHECK;
/* temp file beside it, write, fdatasync, rename, fsync of the directory; 0600 */
enum status fs_write_atomic(const char *path, struct slice data, struct err *e) MUST_CHECK;
enum status fs_unlink(const char *path, struct err *e) MUST_CHECK;      /* missing is fine */
enum status fs_remove_tree(const char *path, struct err *e) MUST_CHECK; /* missing is fine */
/* Raises the number of files that the process may have open to what the system allows, and says how
 * many that is. Before threads. */
uint64_t fs_raise_open_files(void);
bool fs_exists(const char *path);
/* Calls fn for each entry but "." and ".."; stops at the first status that is not ST_OK. */
enum status fs_list(const char *path, enum status (*fn)(void *arg, const char *name), void *arg,
                    struct err *e) MUST_CHECK;
enum status fs_pread_full(int fd, void *p, size_t n, uint64_t off, struct err *e) MUST_CHECK;
enum status fs_pwrite_full(int fd, const void *p, size_t n, uint64_t off, struct err *e) MUST_CHECK;
#endif
