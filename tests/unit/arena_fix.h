/* tests/unit/arena_fix.h: one arena for a whole test program. Included by one file of each. */
#ifndef ARENA_FIX_H
#define ARENA_FIX_H
#include "base/arena.h"
#include "unit.h"

static struct arena *arena;

static inline int setup(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

#endif
