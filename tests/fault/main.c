/* tests/fault/main.c: fault_run: crash-state enumeration and fault injection of the storage engine.
 *
 *   fault_run crash|inject [-n COUNT] [-s SEED] [-o PLAN|SCRIPT] [-x STATE] [-d DIR] [-k] [-v]
 *   fault_run cut -b BASE -t TRACE -r ROOT -d OUT [-s SEED]
 *
 * cut: what a power cut at the end of TRACE may leave, one of many by SEED; TRACE is of a process
 * under fault_trace.so with TRACE_ROOT=ROOT, BASE a copy of ROOT from before it, OUT empty.
 * -n   crash: states to check; inject: runs      (FAULT_STATES and FAULT_RUNS in the environment)
 * -x   crash, with -o: one state as a violation names it, with the store's messages
 * -d   where to put files: /dev/shm when it is there, /tmp otherwise
 * -k   leaves the files there
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "fault.h"

enum { STATES = 1000, RUNS = 200 };

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */

    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static bool read_args(struct fault_args *a, struct cut_args *cut, int argc, char **argv)
{
    int c;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while ((c = getopt(argc, argv, "n:s:o:x:d:kvb:t:r:")) != -1) {
        if (c == 'b')
            cut->base = optarg;
        else if (c == 't')
            cut->trace = optarg;
        else if (c == 'r')
            cut->root = optarg;
        else if (c == 'n')
            a->n = strtoull(optarg, NULL, 10);
        else if (c == 's')
            a->seed = strtoull(optarg, NULL, 10);
        else if (c == 'o')
            a->only = optarg;
        else if (c == 'x')
            a->state = optarg;
        else if (c == 'd')
            a->under = optarg;
        else if (c == 'k')
            a->keep = true;
        else if (c == 'v')
            a->verbose = true;
        else
            return false;
    }
    return optind == argc - 1;
}

int main(int argc, char **argv)
{
    struct fault_args a = {.seed = 1, .under = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"};
    struct cut_args cut = {0};
    bool crash;

    if (!read_args(&a, &cut, argc, argv)) {
        (void)fprintf(stderr, "usage: fault_run crash|inject [-n COUNT] [-s SEED] [-o NAME] "
                              "[-x STATE] [-d DIR] [-k] [-v]\n"
                              "       fault_run cut -b BASE -t TRACE -r ROOT -d OUT [-s SEED]\n");
        return 2;
    }
    if (cut.base != NULL && cut.trace != NULL && cut.root != NULL) {
        cut.out = a.under;
        cut.seed = a.seed;
        return cut_run(&cut);
    }
    crash = strcmp(argv[optind], "crash") == 0;
    if (a.n == 0)
        a.n = crash ? number_of("FAULT_STATES", STATES) : number_of("FAULT_RUNS", RUNS);
    if (a.verbose || a.state != NULL)
        check_verbose();
    return crash ? crash_run(&a) : inject_run(&a);
}
