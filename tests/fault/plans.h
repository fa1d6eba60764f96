/* tests/fault/plans.h: what is run to be crashed: scripts, in one or several lives of a store. */
#ifndef FAULT_PLANS_H
#define FAULT_PLANS_H

enum { PLAN_PHASES = 4 };
struct plan {
    const char *name;
    const char *script;
    const char *fail[PLAN_PHASES]; /* of each phase, as fail.c takes it; "": none; NULL: the end */
    unsigned weight;               /* how many times its share of the states; 0: 1 */
};
extern const struct plan PLANS[];
extern const unsigned PLANS_N;
#endif
