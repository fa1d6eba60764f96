/* base/kill_point.c: see kill_point.h. Empty in builds that run anywhere but in tests.
 *
 * What is asked for is read once; a pass of any other point costs a comparison. The name goes to
 * stderr before the end, so that a driver knows that it was this point. Threads: any.
 */
#include "base/kill_point.h"

#ifdef DIVAN_KILL_POINTS
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 64 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char wanted[NAME_BYTES];
static atomic_long left;

static void read_wanted(void)
{
    const char *text = getenv("DIVAN_KILL_POINT"); /* NOLINT(concurrency-mt-unsafe) */
    const char *colon = text != NULL ? strrchr(text, ':') : NULL;

    if (colon == NULL || colon - text >= NAME_BYTES)
        return;
    memcpy(wanted, text, (size_t)(colon - text));
    atomic_store(&left, strtol(colon + 1, NULL, 10));
}

void kill_point(const char *name)
{
    char line[NAME_BYTES + 32];
    int n;

    (void)pthread_once(&once, read_wanted);
    if (strcmp(name, wanted) != 0 || atomic_fetch_sub(&left, 1) != 1)
        return;
    n = snprintf(line, sizeof line, "kill point %s\n", name);
    if (write(STDERR_FILENO, line, (size_t)n) >= 0)
        (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}
#else
typedef int kill_points_are_not_compiled_in; /* a file must hold something */
#endif
