/* tests/fault/model.h: a file system that remembers what was synced.
 *
 * A trace becomes a row of operations on inodes. For each prefix of it, an operation is durable
 * when a later sync inside the prefix covered it: of the file for its bytes, of the directory for a
 * name. The others are pending: a crash may leave any of them out. A choice says which ones, and
 * what their bytes look like; model_write makes real files of it.
 */
#ifndef FAULT_MODEL_H
#define FAULT_MODEL_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "trace.h"

struct fsop {
    enum trace_kind kind;
    uint32_t ino; /* whose bytes; the inode that gets a name */
    uint64_t off, len;
    const char *data;
    uint32_t dir, dir2; /* names: where; dir2 and name2 are where a rename takes it */
    const char *name, *name2;
    size_t synced;    /* index of the sync that makes it durable; SIZE_MAX: none */
    size_t journaled; /* names: the same when every fsync writes the journal (ext4) */
};
struct model_inode {
    bool dir;
    struct slice initial;
};
struct model_name {
    uint32_t dir, ino;
    const char *name;
};
struct model {
    struct arena *a;
    struct fsop *ops;
    size_t n, cap;
    struct model_inode *inodes;
    size_t ninodes, inodes_cap;
    struct model_name *first; /* names before the trace */
    size_t nfirst, first_cap;
    struct slice trace; /* its bytes */
    bool killed;        /* its process may have been killed: the last record may be half there */
};

struct model *model_new(void);
void model_free(struct model *m);
/* The state before the trace: what is in dir. Not called: an empty directory. */
void model_begin_with(struct model *m, const char *dir);
/* root: what TRACE_ROOT was. Ends the program when the trace makes no sense. */
void model_read(struct model *m, const char *trace, const char *root);
bool fsop_is_bytes(const struct fsop *op);
bool fsop_is_name(const struct fsop *op);

enum pages { PAGES_REAL, PAGES_ZERO, PAGES_GARBAGE, PAGES_MIXED };
struct choice {
    size_t prefix;
    unsigned char *keep; /* of each operation before prefix that is not durable */
    size_t torn;         /* the write of which only torn_bytes are there; SIZE_MAX: none */
    uint64_t torn_bytes;
    enum pages pages; /* what kept, pending bytes look like */
    bool journal;     /* names are durable by `journaled` */
    uint64_t seed;
};
/* The image that a choice leaves, as one number. */
uint64_t model_hash(const struct model *m, const struct choice *c);
/* The same as files in dir, which must be empty. */
void model_write(const struct model *m, const struct choice *c, const char *dir);
_Noreturn void fault_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t fault_random(uint64_t *state);
#endif
