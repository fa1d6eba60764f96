/* tests/fault/fault.h: the two campaigns of fault_run (main.c). */
#ifndef FAULT_FAULT_H
#define FAULT_FAULT_H
#include "check.h"
#include "plans.h"

struct fault_args {
    uint64_t n;        /* crash: states; inject: runs */
    uint64_t seed;     /* which ones */
    const char *only;  /* crash: a plan; inject: a script; NULL: all */
    const char *state; /* crash: only this one, "PREFIX:KIND:ARG" */
    const char *under; /* where to put files */
    bool keep, verbose;
};
/* One power cut at the end of a trace that somebody else made: the directory `base` is what was
 * there before it, `out`, empty, becomes what is left. Prints which state was chosen. */
struct cut_args {
    const char *base, *trace, *root, *out;
    uint64_t seed;
};
int cut_run(const struct cut_args *args);
/* 0: no violation */
int crash_run(const struct fault_args *args);
int inject_run(const struct fault_args *args);
#endif
