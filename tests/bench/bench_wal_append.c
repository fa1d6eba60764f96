/* What an append costs: CPU and wall time per record of 1 KB, in groups of 64, on real files.
 * Usage: bench_wal_append DIR [GROUPS] */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/time.h"
#include "wal/log.h"

enum { BODY = 1024, GROUP = 64 };

static double cpu_us(int who)
{
    struct rusage u;

    (void)getrusage(who, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    unsigned groups = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    struct log_options opt = {0};
    static char bodies[GROUP][BODY];
    struct seg_store *ss;
    struct ss_super super;
    struct log *log;
    char uri[512];
    struct err e;
    double cpu;
    uint64_t wall;

    if (argc < 2)
        return 2;
    (void)snprintf(uri, sizeof uri, "file:%s", argv[1]);
    if (seg_store_open(uri, &ss, &e) != ST_OK || ss->ops->acquire(ss, 0, &super, &e) != SS_OK ||
        log_open(ss, &opt, &super, 1, &log, &e) != ST_OK || log_start(log, &e) != ST_OK) {
        (void)fprintf(stderr, "%s\n", e.reason);
        return 1;
    }
    wall = time_mono_us();
    cpu = cpu_us(RUSAGE_SELF);
    for (unsigned i = 0; i < groups; i++) {
        struct log_record recs[GROUP] = {{0}};

        for (int k = 0; k < GROUP; k++) {
            bodies[k][i % BODY] = (char)(i + (unsigned)k);
            recs[k].type = LOG_DOC;
            recs[k].body = slice_of(bodies[k], BODY);
        }
        if (log_append(log, recs, GROUP, &e) != ST_OK) {
            (void)fprintf(stderr, "%s\n", e.reason);
            return 1;
        }
    }
    cpu = cpu_us(RUSAGE_SELF) - cpu;
    wall = time_mono_us() - wall;
    (void)printf("%u groups of %d records of %d bytes: %.2f us CPU and %.2f us a record\n", groups,
                 GROUP, BODY, cpu / groups / GROUP, (double)wall / groups / GROUP);
    log_close(log);
    ss->ops->close(ss);
    return 0;
}
