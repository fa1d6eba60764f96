/* tests/fault/check.h: is what a crash left as good as it must be? And running a script. */
#ifndef FAULT_CHECK_H
#define FAULT_CHECK_H
#include "oracle.h"

/* The data directory dir is recovered in a child process, what it holds is compared with the
 * oracle; then, in a second child, since the first one stops without a close, recovered again: the
 * same must be there, a new write must work, and store_check must find nothing. NULL: all is well;
 * otherwise what is not, valid until the next call. */
const char *check_state(const char *dir, struct oracle *o);
/* The lines that the last check_state saw. */
struct slice check_dump(void);
/* Messages of the store under test go to our stderr. */
void check_verbose(void);

/* Where things are, for a run of this program. */
struct place {
    char dir[64];   /* ours, removed at the end */
    char bin[1024]; /* fault_driver, fault_trace.so, fault_fail.so */
};
void place_begin(struct place *p, const char *under);
void place_end(const struct place *p);
/* dir/name, emptied and made. The string is the caller's to keep: arena. */
char *place_fresh(const struct place *p, const char *name, struct arena *a);

struct run {
    const char *script;
    unsigned phase;
    const char *root, *trace; /* DATA is root/d */
    const char *fail;         /* "" or what fail.c takes */
    const char *report;       /* fail.c's */
};
enum run_end { RUN_DONE, RUN_REFUSED, RUN_STOPPED, RUN_KILLED, RUN_WRONG };
/* RUN_REFUSED: the store did not open (3); RUN_STOPPED: 74; RUN_KILLED: SIGKILL; RUN_WRONG:
 * anything else. Its stderr goes to <root>.log. */
enum run_end run_script(const struct place *p, const struct run *r);
#endif
