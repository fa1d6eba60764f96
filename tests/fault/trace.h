/* tests/fault/trace.h: the record of file calls that trace.c writes and model.c reads.
 *
 * A trace is a row of records: this header, then n1 bytes of a path, n2 bytes of a second one, then
 * len bytes of data for TRACE_WRITE and TRACE_MARK. Host byte order: it never leaves the machine.
 * fail.c writes "!<fd>" there when it made a sync of fd fail; that becomes TRACE_LOST.
 * What else a driver writes to FAULT_MARK_FD becomes a mark (oracle.h says which there are).
 */
#ifndef FAULT_TRACE_H
#define FAULT_TRACE_H
#include <stdint.h>

enum { FAULT_MARK_FD = 987 };

enum trace_kind {
    TRACE_START = 1, /* a process begins: no file is open */
    TRACE_OPEN,      /* fd is path now */
    TRACE_CLOSE,
    TRACE_CREATE, /* path did not exist before */
    TRACE_MKDIR,
    TRACE_WRITE, /* fd, off, data */
    TRACE_TRUNC, /* fd, len */
    TRACE_GROW,  /* fallocate: fd, off, len */
    TRACE_SYNC,  /* fd; off 1: fdatasync */
    TRACE_RENAME,
    TRACE_UNLINK, /* a file or an empty directory */
    TRACE_LOST,   /* a sync of fd failed: no later one covers what was written before */
    TRACE_MARK
};

struct trace_rec {
    uint32_t kind;
    int32_t fd;
    uint64_t off, len;
    uint32_t n1, n2;
};

/* trace.c, looked up at run time. */
void fault_trace_hold(void);
#endif
