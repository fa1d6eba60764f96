/* tests/fault/inject.c: every file call of some scripts fails in turn, once and for good.
 *
 * A run is one script with one call failing in one way. It may end in four ways and no other: to
 * its end with some requests refused; the store did not open; the store stopped the process with
 * 74; or, after a kill, killed. Whatever the end: what the files hold then, what they hold when all
 * that was not synced is lost, and two things between must each be recovered to what was
 * acknowledged, and be found in order by store_check. That is "no acknowledgement without
 * durability", also for what a fault left half done.
 */
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/time.h"

static const char *const SCRIPTS[] = {
    "mixed",          "mixed_roll", "barrier",       "attachments",   "restarts",
    "at_once",        "index_lost", "lifecycle",     "compact_kinds", "compact_restarts",
    "compact_beside", "purges",     "purge_compact", "blobs",         "blobs_compact"};
/* What can fail how. EINTR for good would be a loop by right. */
static const struct fault_way {
    const char *call, *what;
} WAYS[] = {
    {"open", "EMFILE"},
    {"open", "EIO"},
    {"open", "EMFILE:sticky"},
    {"open", "ENOSPC"},
    {"open", "EINTR"},
    {"write", "ENOSPC"},
    {"write", "EIO"},
    {"write", "ENOSPC:sticky"},
    {"write", "short"},
    {"write", "EINTR"},
    {"pwrite", "ENOSPC"},
    {"pwrite", "EIO"},
    {"pwrite", "ENOSPC:sticky"},
    {"pwrite", "short"},
    {"pwrite", "EINTR"},
    {"pwritev", "ENOSPC"},
    {"pwritev", "EIO"},
    {"pwritev", "ENOSPC:sticky"},
    {"pwritev", "EIO:sticky"},
    {"pwritev", "short"},
    {"pwritev", "EINTR"},
    {"pwritev", "tear"},
    {"pwritev", "full"},
    {"pwrite", "full"},
    {"write", "full"},
    {"ftruncate", "EIO"},
    {"ftruncate", "EIO:sticky"},
    {"ftruncate", "EINTR"},
    {"fallocate", "ENOSPC"},
    {"fallocate", "EINTR"},
    {"fallocate", "EIO:sticky"},
    {"fsync", "EIO"},
    {"fsync", "EIO:sticky"},
    {"fsync", "ENOSPC"},
    {"fsync", "EINTR"},
    {"fdatasync", "EIO"},
    {"fdatasync", "EIO:sticky"},
    {"fdatasync", "ENOSPC"},
    {"fdatasync", "EINTR"},
    {"rename", "EIO"},
    {"rename", "EIO:sticky"},
    {"rename", "ENOSPC"},
    {"unlink", "EIO"},
    {"unlink", "EIO:sticky"},
    {"mkdir", "ENOSPC"},
    {"mkdir", "EIO:sticky"},
    {"read", "EIO"},
    {"read", "short"},
    {"read", "EINTR"},
    {"pread", "EIO"},
    {"pread", "EIO:sticky"},
    {"pread", "short"},
    {"pread", "EINTR"},
    {"mmap", "EMFILE"},
    {"mmap", "EMFILE:sticky"},
    {"flock", "EIO"},
};
enum { SCRIPTS_N = sizeof SCRIPTS / sizeof *SCRIPTS, WAYS_N = sizeof WAYS / sizeof *WAYS };
enum { STATES_OF_RUN = 4, REPORT_BYTES = 1 << 16, FAIL_BYTES = 80 };

struct injected {
    unsigned script, way, n;
};
struct injection {
    const struct fault_args *args;
    struct place place;
    struct arena *a;
    char *root, *trace, *report;
    struct injected *runs;
    size_t nruns, cap;
    uint64_t ends[RUN_WRONG + 1], hits, states, violations;
};

/* What fail.c wrote in the last run; arena. */
static char *reported(struct injection *in)
{
    struct buf b;
    struct err e;
    char *text;

    buf_init(&b, REPORT_BYTES);
    if (fs_exists(in->report) && fs_read_file(in->report, &b, &e) != ST_OK)
        fault_die("%s", e.reason);
    text = arena_cstr(in->a, buf_slice(&b));
    buf_free(&b);
    return text;
}

static enum run_end run_once(struct injection *in, unsigned script, const char *fail)
{
    struct run r = {
        .script = SCRIPTS[script], .trace = in->trace, .fail = fail, .report = in->report};

    in->root = place_fresh(&in->place, "inject", in->a);
    r.root = in->root;
    (void)unlink(in->trace);
    (void)unlink(in->report);
    return run_script(&in->place, &r);
}

static void add_runs(struct injection *in, unsigned script, const char *counts)
{
    for (unsigned w = 0; w < WAYS_N; w++) {
        const char *line = strstr(counts, WAYS[w].call);
        unsigned long n;

        while (line != NULL &&
               (line[strlen(WAYS[w].call)] != ' ' || (line != counts && line[-1] != '\n')))
            line = strstr(line + 1, WAYS[w].call);
        n = line == NULL ? 0 : strtoul(line + strlen(WAYS[w].call), NULL, 10);
        for (unsigned i = 1; i <= n; i++) {
            if (in->nruns == in->cap) {
                in->cap = in->cap * 2 + 1024;
                in->runs = mem_realloc(in->runs, in->cap * sizeof *in->runs);
            }
            in->runs[in->nruns++] = (struct injected){script, w, i};
        }
    }
}

static void list_runs(struct injection *in)
{
    for (unsigned s = 0; s < SCRIPTS_N; s++) {
        if (in->args->only != NULL && strcmp(in->args->only, SCRIPTS[s]) != 0)
            continue;
        if (run_once(in, s, "count") != RUN_DONE)
            fault_die("%s fails without a fault", SCRIPTS[s]);
        add_runs(in, s, reported(in));
    }
}

static void violation(struct injection *in, const struct injected *r, const char *fail,
                      const char *state, const char *why)
{
    in->violations++;
    printf("VIOLATION %s, %s, %s: %s\n", SCRIPTS[r->script], fail, state, why);
    (void)fflush(stdout);
}

/* What is left: as it is, without what was not synced, and two random states between. */
static void check_end(struct injection *in, const struct injected *r, const char *fail)
{
    static const char *const NAMES[STATES_OF_RUN] = {"as it is", "power cut", "power cut (random)",
                                                     "power cut (pages)"};
    struct model *m = model_new();
    unsigned char *keep;

    model_read(m, in->trace, in->root);
    keep = mem_alloc(m->n + 1);
    for (unsigned i = 0; i < STATES_OF_RUN; i++) {
        struct choice c = {.prefix = m->n, .keep = keep, .torn = SIZE_MAX, .seed = r->n};
        struct oracle *o = oracle_new();
        uint64_t seed = r->n;
        const char *why = NULL;
        char *dir;

        for (size_t k = 0; k < m->n; k++)
            keep[k] = i == 0 || i == 3 || (i == 2 && fault_random(&seed) % 2 != 0);
        c.pages = i == 3 ? PAGES_MIXED : PAGES_REAL;
        if (oracle_feed(o, m, m->n, &why)) {
            dir = place_fresh(&in->place, "state", in->a);
            model_write(m, &c, dir);
            why = check_state(arena_cstr(in->a, arena_printf(in->a, "%s/d", dir)), o);
            in->states++;
        }
        if (why != NULL)
            violation(in, r, fail, NAMES[i], why);
        oracle_free(o);
    }
    mem_free(keep);
    model_free(m);
}

static void run_one(struct injection *in, const struct injected *r)
{
    char fail[FAIL_BYTES];
    const char *colon = strchr(WAYS[r->way].what, ':');
    enum run_end end;

    (void)snprintf(fail, sizeof fail, "%s:%u:%.*s%s", WAYS[r->way].call, r->n,
                   (int)strcspn(WAYS[r->way].what, ":"), WAYS[r->way].what,
                   colon != NULL ? colon : "");
    end = run_once(in, r->script, fail);
    in->ends[end]++;
    in->hits += strstr(reported(in), "hit") != NULL ? 1 : 0;
    if (end == RUN_WRONG || (end == RUN_KILLED && strcmp(WAYS[r->way].what, "tear") != 0))
        violation(in, r, fail, "the process", end == RUN_WRONG ? "crashed" : "was killed");
    if (in->args->verbose)
        printf("%s %s: end %d\n", SCRIPTS[r->script], fail, (int)end);
    if (fs_exists(in->trace))
        check_end(in, r, fail);
    arena_reset(in->a);
}

int inject_run(const struct fault_args *args)
{
    struct injection in = {.args = args};
    struct arena *keep = arena_new();
    uint64_t t0 = time_mono_us(), seed = args->seed, n;

    in.a = arena_new();
    place_begin(&in.place, args->under);
    in.trace = arena_cstr(keep, arena_printf(keep, "%s/inject.trace", in.place.dir));
    in.report = arena_cstr(keep, arena_printf(keep, "%s/inject.report", in.place.dir));
    list_runs(&in);
    n = args->n < in.nruns ? args->n : in.nruns;
    for (size_t i = 0; i < n; i++) { /* a random selection without repetition */
        size_t k = i + fault_random(&seed) % (in.nruns - i);
        struct injected r = in.runs[k];

        in.runs[k] = in.runs[i];
        run_one(&in, &r);
    }
    printf("fault injection: %llu of %zu runs, %llu with the fault met; ended: %llu done, %llu "
           "refused to open, %llu stopped (74), %llu killed; %llu states checked, %llu "
           "violations, %.1f s\n",
           (unsigned long long)n, in.nruns, (unsigned long long)in.hits,
           (unsigned long long)in.ends[RUN_DONE], (unsigned long long)in.ends[RUN_REFUSED],
           (unsigned long long)in.ends[RUN_STOPPED], (unsigned long long)in.ends[RUN_KILLED],
           (unsigned long long)in.states, (unsigned long long)in.violations,
           (double)(time_mono_us() - t0) / 1e6);
    if (!args->keep)
        place_end(&in.place);
    mem_free(in.runs);
    arena_free(in.a);
    arena_free(keep);
    return in.violations == 0 ? 0 : 1;
}
