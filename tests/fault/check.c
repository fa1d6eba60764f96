/* tests/fault/check.c: see check.h.
 *
 * Each look at a store happens in a child, so that a crash of it is a finding and not our end, and
 * so that it can stop as a killed process does. The children do not wait for a disk: fsync does
 * nothing here, and no space is reserved, since the state they work on is thrown away anyway.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/time.h"
#include "couch/store_priv.h"
#include "couch/stores.h"
#include "dump.h"

enum { SHARED_BYTES = 4 << 20, WHY_BYTES = 2048, HANG_S = 60, SEGMENT_BYTES = 1 << 20, STORES = 8 };
enum { COLLECT_TRIES = 250, COLLECT_WAIT_US = 20000 };

/* ---- instead of libc's, in this program ---- */

int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

int fallocate(int fd, int mode, off_t off, off_t len)
{
    (void)fd;
    (void)mode;
    (void)off;
    (void)len;
    errno = EOPNOTSUPP;
    return -1;
}

/* ---- the children ---- */

static struct shared {
    char why[WHY_BYTES];
    size_t n;
    char dump[SHARED_BYTES];
} * shared;
static bool verbose;

void check_verbose(void)
{
    verbose = true;
}

struct slice check_dump(void)
{
    return slice_of(shared->dump, shared->n);
}

static void wrong(const char *what, const struct err *e)
{
    size_t n = strlen(shared->why);

    (void)snprintf(shared->why + n, WHY_BYTES - n, "%s%s: %s", n != 0 ? "; " : "", what, e->reason);
}

static void report(void *arg, const char *text)
{
    struct err e;

    (void)arg;
    (void)err_set(&e, ST_CORRUPT, "%s", text);
    wrong("check", &e);
}

static bool look(struct stores *s, struct buf *b)
{
    struct err e = {0};

    buf_init(b, SHARED_BYTES);
    if (dump_stores(s, b, &e) == ST_OK)
        return true;
    wrong("reading what is there", &e);
    return false;
}

/* First life after the crash: ends as if killed. */
static void first_life(const char *dir)
{
    struct store_options opt = {.dir = dir, .segment_bytes = SEGMENT_BYTES};
    struct stores *s = NULL;
    struct err e = {0};
    struct buf b;

    if (stores_open(&opt, &s, &e) != ST_OK) {
        wrong("recovery", &e);
        return;
    }
    if (!look(s, &b))
        return;
    if (b.n != 0)
        memcpy(shared->dump, b.p, b.n);
    shared->n = b.n;
}

static bool go_on(void *arg)
{
    (void)arg;
    return true;
}

static enum status none_stays(struct store *s, struct err *e)
{
    struct obj_info *v = NULL;
    size_t n = 0;
    enum status st = ss_status(s->segs->ops->obj_list(s->segs, 0, &v, &n, e));

    for (size_t i = 0; i < n && st == ST_OK; i++) {
        bool has = false;

        st = blobs_has_rows(s->kv, v[i].id, &has, e);
        if (st == ST_OK && (!has || !v[i].finished))
            st = err_set(e, ST_CORRUPT, "blob %016llx stays", (unsigned long long)v[i].id);
    }
    mem_free(v);
    return st;
}

/* What nobody needs goes, and nothing else: all that is left is named by a row. The compactor may
 * be collecting as well: what it has taken on goes a little later. */
static void collect_blobs(struct store *s)
{
    struct err e = {0};
    enum status st = blobs_sweep(s->blobs, go_on, NULL, &e);

    if (st == ST_OK)
        st = store_collect_blobs(s, &e);
    if (st == ST_OK)
        st = none_stays(s, &e);
    for (int i = 0; i < COLLECT_TRIES && st == ST_CORRUPT; i++) {
        time_sleep_us(COLLECT_WAIT_US);
        st = none_stays(s, &e);
    }
    if (st != ST_OK)
        wrong("collecting blobs", &e);
}

static void write_something(struct stores *s)
{
    struct commit_op create = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("after_the_crash")};
    struct rev rev = {1, true, SLICE_LIT("0123456789abcdef")};
    struct commit_op put = {.kind = COMMIT_DOC,
                            .docid = SLICE_LIT("new"),
                            .new_edits = true,
                            .path = &rev,
                            .npath = 1,
                            .body = {.json = SLICE_LIT("{\"works\":true}")}};
    struct err e = {0};
    struct buf b;

    if (commit_wait(stores_main(s), &create, 1, &e) != ST_OK || create.st != ST_OK) {
        wrong("creating a database", create.st != ST_OK ? &create.err : &e);
        return;
    }
    put.db = create.created;
    if (commit_wait(stores_main(s), &put, 1, &e) != ST_OK || put.st != ST_OK)
        wrong("a new write", put.st != ST_OK ? &put.err : &e);
    db_release(create.created);
    collect_blobs(stores_main(s));
    (void)err_set(&e, ST_CORRUPT, "the new document is not there");
    if (look(s, &b) && b.n != 0 &&
        memmem(b.p, b.n, SLICE_LIT("d/after_the_crash/new/").p, 22) == NULL)
        wrong("a new write", &e);
    buf_free(&b);
}

/* The log alone must say the same: after compaction too. */
static void life_without_index(const char *dir, struct slice before)
{
    struct store_options opt = {.dir = dir, .segment_bytes = SEGMENT_BYTES};
    struct stores *s = NULL;
    struct err e = {0};
    uint64_t bad = 0;
    char path[4096];
    struct buf b;

    for (unsigned n = 0; n < STORES; n++) {
        (void)snprintf(path, sizeof path, "%s/%u/idx", dir, n);
        if (fs_remove_tree(path, &e) != ST_OK)
            wrong("removing the index", &e);
    }
    if (stores_open(&opt, &s, &e) != ST_OK) {
        wrong("rebuild", &e);
        return;
    }
    (void)err_set(&e, ST_CORRUPT, "it holds something else than before");
    if (look(s, &b) && !slice_eq(buf_slice(&b), before))
        wrong("rebuild", &e);
    buf_free(&b);
    stores_close(s);
    if (store_check(dir, report, NULL, &bad, &e) != ST_OK)
        wrong("check of what was rebuilt", &e);
}

static void second_life(const char *dir)
{
    struct store_options opt = {.dir = dir, .segment_bytes = SEGMENT_BYTES};
    struct stores *s = NULL;
    struct err e = {0};
    uint64_t bad = 0;
    struct buf b;

    if (stores_open(&opt, &s, &e) != ST_OK) {
        wrong("second recovery", &e);
        return;
    }
    (void)err_set(&e, ST_CORRUPT, "it holds something else than after the first");
    if (look(s, &b) && !slice_eq(buf_slice(&b), check_dump()))
        wrong("second recovery", &e);
    buf_free(&b);
    write_something(s);
    if (!look(s, &b))
        return;
    stores_close(s);
    if (store_check(dir, report, NULL, &bad, &e) != ST_OK)
        wrong("check", &e);
    life_without_index(dir, buf_slice(&b));
    buf_free(&b);
}

/* fn(dir) in a child; false: shared->why says what was wrong. */
static bool in_child(void (*fn)(const char *dir), const char *dir, const char *name)
{
    int status = 0;
    struct err e;
    pid_t pid = fork();

    if (pid < 0)
        fault_die("fork: errno %d", errno);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);

        if (!verbose)
            (void)dup2(null, STDERR_FILENO);
        log_set_level(verbose ? LOG_INFO_ : LOG_ERROR_);
        alarm(HANG_S);
        fn(dir);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) != pid)
        fault_die("waitpid: errno %d", errno);
    if (status != 0) {
        (void)err_set(&e, ST_CORRUPT, "ended with status %d, signal %d",
                      WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                      WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        wrong(name, &e);
    }
    return shared->why[0] == '\0';
}

const char *check_state(const char *dir, struct oracle *o)
{
    const char *why;

    if (shared == NULL) {
        shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
            fault_die("mmap: errno %d", errno);
    }
    shared->why[0] = '\0';
    shared->n = 0;
    if (!in_child(first_life, dir, "recovery"))
        return shared->why;
    why = oracle_objects(o, check_dump());
    if (why != NULL)
        return why;
    return in_child(second_life, dir, "second life") ? NULL : shared->why;
}

/* ---- running scripts ---- */

void place_begin(struct place *p, const char *under)
{
    ssize_t n = readlink("/proc/self/exe", p->bin, sizeof p->bin - 1);
    int len = snprintf(p->dir, sizeof p->dir, "%s/divan-fault-XXXXXX", under);

    if (n < 0 || len < 0 || (size_t)len >= sizeof p->dir || mkdtemp(p->dir) == NULL)
        fault_die("cannot make a directory in %s", under);
    p->bin[n] = '\0';
    *strrchr(p->bin, '/') = '\0';
}

void place_end(const struct place *p)
{
    struct err e;

    if (fs_remove_tree(p->dir, &e) != ST_OK)
        (void)fprintf(stderr, "%s\n", e.reason);
}

char *place_fresh(const struct place *p, const char *name, struct arena *a)
{
    char *path = arena_cstr(a, arena_printf(a, "%s/%s", p->dir, name));
    struct err e;

    if (fs_remove_tree(path, &e) != ST_OK || fs_mkdirs(path, &e) != ST_OK)
        fault_die("%s", e.reason);
    return path;
}

/* In the child: NOLINT for setenv, since it has one thread. */
static void exec_script(const struct place *p, const struct run *r)
{
    char driver[2048], preload[4096], data[2048], phase[16], log[2048];
    bool fails = r->fail[0] != '\0';
    int fd;

    (void)snprintf(driver, sizeof driver, "%s/fault_driver", p->bin);
    (void)snprintf(preload, sizeof preload, "%s%s%s%s/fault_trace.so", fails ? p->bin : "",
                   fails ? "/fault_fail.so" : "", fails ? ":" : "", p->bin);
    (void)snprintf(data, sizeof data, "%s/d", r->root);
    (void)snprintf(phase, sizeof phase, "%u", r->phase);
    (void)snprintf(log, sizeof log, "%s.log", r->root);
    /* a sanitizer's runtime need not be the first library: ours only pass calls on */
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1); /* NOLINT(concurrency-mt-unsafe) */
    setenv("LD_PRELOAD", preload, 1);                      /* NOLINT(concurrency-mt-unsafe) */
    setenv("TRACE_ROOT", r->root, 1);                      /* NOLINT(concurrency-mt-unsafe) */
    setenv("TRACE_FILE", r->trace, 1);                     /* NOLINT(concurrency-mt-unsafe) */
    if (fails) {
        setenv("FAIL", r->fail, 1);      /* NOLINT(concurrency-mt-unsafe) */
        setenv("FAIL_ROOT", r->root, 1); /* NOLINT(concurrency-mt-unsafe) */
        if (r->report != NULL)
            setenv("FAIL_REPORT", r->report, 1); /* NOLINT(concurrency-mt-unsafe) */
    }
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    (void)dup2(fd, STDERR_FILENO);
    execl(driver, driver, r->script, phase, data, (char *)NULL);
    _exit(127);
}

enum run_end run_script(const struct place *p, const struct run *r)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        fault_die("fork: errno %d", errno);
    if (pid == 0)
        exec_script(p, r);
    if (waitpid(pid, &status, 0) != pid)
        fault_die("waitpid: errno %d", errno);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? RUN_KILLED : RUN_WRONG;
    switch (WEXITSTATUS(status)) {
    case 0:
        return RUN_DONE;
    case 3:
        return RUN_REFUSED;
    case 74:
        return RUN_STOPPED;
    default:
        return RUN_WRONG;
    }
}
