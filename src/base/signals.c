/* base/signals.c: SIGTERM and SIGINT are blocked in every thread and taken by sigwait in the main
 * thread; no handler ever runs. Threads: main only. */
#include "base/signals.h"

#include <signal.h>

#include "base/assert.h"

static sigset_t signals_set(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return set;
}

void signals_block(void)
{
    sigset_t set = signals_set();
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    ASSERT(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    ASSERT(sigaction(SIGPIPE, &ignore, NULL) == 0);
}

int signals_wait(void)
{
    sigset_t set = signals_set();
    int sig = 0;

    while (sigwait(&set, &sig) != 0)
        continue;
    return sig;
}
