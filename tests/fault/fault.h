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
/* 0: no violation */
int crash_run(const struct fault_args *args);
int inject_run(const struct fault_args *args);
#endif
