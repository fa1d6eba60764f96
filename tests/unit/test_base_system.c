/* Unit tests of base over the system: threads, locks and their ranks, files, time, signals, log. */
#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/signals.h"
#include "base/thread.h"
#include "base/time.h"

/* ---- threads ---- */

static void set_flag(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
}

static void thread_runs(void **state)
{
    atomic_int flag = 0;
    struct thread t = {0};

    (void)state;
    thread_join(&t);
    thread_start(&t, "a-name-longer-than-fifteen", set_flag, &flag);
    thread_join(&t);
    assert_int_equal(atomic_load(&flag), 1);
    thread_join(&t);
}

enum { JOBS = 2000 };

struct counted {
    struct job job;
    unsigned order;
    struct tally *tally;
};

struct tally {
    struct mutex mu;
    unsigned n;
    unsigned order[JOBS];
};

static void run_counted(struct job *j)
{
    struct counted *c = (struct counted *)(void *)j;

    mutex_lock(&c->tally->mu);
    c->tally->order[c->tally->n++] = c->order;
    mutex_unlock(&c->tally->mu);
}

static void pool_of(unsigned threads)
{
    static struct counted jobs[JOBS];
    static struct tally tally;
    struct pool *p = pool_new("test", threads, THREAD_HEAVY);
    unsigned char seen[JOBS] = {0};

    mutex_init(&tally.mu, RANK_LEAF);
    tally.n = 0;
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct counted){{run_counted, NULL}, i, &tally};
        pool_push(p, &jobs[i].job);
    }
    pool_stop(p); /* runs what is queued */
    assert_int_equal(tally.n, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(seen[tally.order[i]], 0);
        seen[tally.order[i]] = 1;
        if (threads == 1)
            assert_int_equal(tally.order[i], i); /* first in, first out */
    }
    mutex_fini(&tally.mu);
}

static void pool_runs_all(void **state)
{
    (void)state;
    pool_of(1);
    pool_of(4);
    pool_stop(pool_new("idle", 2, THREAD_QUICK));
    pool_stop(NULL);
}

/* ---- locks ---- */

struct shared {
    struct mutex mu;
    struct cond c;
    int turn;
};

static void answer(void *arg)
{
    struct shared *s = arg;

    mutex_lock(&s->mu);
    while (s->turn != 1)
        cond_wait(&s->c, &s->mu);
    s->turn = 2;
    cond_broadcast(&s->c);
    mutex_unlock(&s->mu);
}

static void cond_wakes(void **state)
{
    struct shared s = {.turn = 0};
    struct thread t = {0};
    uint64_t before;

    (void)state;
    mutex_init(&s.mu, RANK_DB);
    cond_init(&s.c);
    mutex_lock(&s.mu);
    before = time_mono_us();
    while (cond_wait_us(&s.c, &s.mu, 20000)) /* a spurious wakeup is allowed */
        continue;
    assert_true(time_mono_us() - before >= 20000);
    assert_false(cond_wait_us(&s.c, &s.mu, -5));
    mutex_unlock(&s.mu);
    thread_start(&t, "answer", answer, &s);
    mutex_lock(&s.mu);
    s.turn = 1;
    cond_signal(&s.c);
    while (s.turn != 2)
        cond_wait(&s.c, &s.mu);
    mutex_unlock(&s.mu);
    thread_join(&t);
    cond_fini(&s.c);
    mutex_fini(&s.mu);
}

/* Runs fn in a child whose stderr is dropped; true when it was aborted. */
static bool aborts(void (*fn)(void))
{
    int how;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        (void)dup2(null, STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        fn();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    return WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT;
}

UNCHECKED static void lock_two(enum lock_rank first, enum lock_rank second)
{
    struct mutex x, y;

    mutex_init(&x, first);
    mutex_init(&y, second);
    mutex_lock(&x);
    mutex_lock(&y);
    mutex_unlock(&x); /* any order of release */
    mutex_unlock(&y);
    mutex_lock(&x);
    mutex_unlock(&x);
}

static void lock_upwards(void)
{
    lock_two(RANK_CATALOG, RANK_COMMIT);
}
static void lock_downwards(void)
{
    lock_two(RANK_COMMIT, RANK_CATALOG);
}
static void lock_level(void)
{
    lock_two(RANK_DB, RANK_DB);
}
UNCHECKED static void unlock_free(void)
{
    struct mutex x;

    mutex_init(&x, RANK_DB);
    mutex_unlock(&x);
}
static void assert_one_is_two(void)
{
    volatile int one = 1;

    ASSERT(one == 2);
}

/* Two threads on one core: each sees the other go on long before its turn of some ms is over. */
struct shared_core {
    atomic_uint steps;
    atomic_bool stop;
};

static void count_steps(void *arg)
{
    struct shared_core *c = arg;

    while (!atomic_load(&c->stop)) {
        atomic_fetch_add(&c->steps, 1);
        thread_pause();
    }
}

static uint64_t own_cpu_us(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void a_pause_lets_others_in(void **state)
{
    struct shared_core c = {0};
    struct thread t = {0};
    cpu_set_t before, one;
    unsigned switches = 0, seen, now;
    uint64_t began;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    thread_start(&t, "steps", count_steps, &c); /* on the same core */
    while ((seen = atomic_load(&c.steps)) == 0)
        sched_yield();
    for (began = own_cpu_us(); switches < 200; switches += now != seen, seen = now) {
        thread_pause();
        now = atomic_load(&c.steps);
    }
    assert_true(own_cpu_us() - began < 200 * 500); /* without pauses turns are 3 ms and more */
    atomic_store(&c.stop, true);
    thread_join(&t);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

static void ranks_are_enforced(void **state)
{
    (void)state;
    assert_false(aborts(lock_upwards));
    assert_true(aborts(lock_downwards));
    assert_true(aborts(lock_level));
    assert_true(aborts(unlock_free));
    assert_true(aborts(assert_one_is_two));
}

/* ---- files ---- */

static char root[] = "/tmp/divan-unit-XXXXXX";

static const char *in_root(const char *name)
{
    static char path[4][300];
    static int next;
    char *p = path[next++ % 4];

    (void)snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

static int make_root(void **state)
{
    (void)state;
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    struct err e;

    (void)state;
    return fs_remove_tree(root, &e) != ST_OK || fs_exists(root);
}

static void fs_directories(void **state)
{
    struct err e;
    struct stat sb;

    (void)state;
    assert_int_equal(fs_mkdirs(in_root("a/b//c/"), &e), ST_OK);
    assert_int_equal(fs_mkdirs(in_root("a/b/c"), &e), ST_OK);
    assert_int_equal(stat(in_root("a/b"), &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0700);
    assert_int_equal(fs_sync_dir(in_root("a"), &e), ST_OK);
    assert_int_equal(fs_sync_dir(in_root("none"), &e), ST_NOT_FOUND);
    assert_non_null(strstr(e.reason, "none"));
    assert_int_equal(fs_write_atomic(in_root("a/file"), SLICE_LIT("x"), &e), ST_OK);
    assert_int_equal(fs_mkdirs(in_root("a/file"), &e), ST_IO);
    assert_int_equal(fs_mkdirs(in_root("a/file/d"), &e), ST_IO);
    assert_int_equal(symlink("/etc", in_root("a/link")), 0);
    assert_int_equal(fs_remove_tree(in_root("a"), &e), ST_OK);
    assert_false(fs_exists(in_root("a")));
    assert_true(fs_exists("/etc/passwd")); /* links are not followed */
    assert_int_equal(fs_remove_tree(in_root("a"), &e), ST_OK);
}

static void fs_files(void **state)
{
    struct err e;
    struct stat sb;
    struct buf b;
    char big[200000];
    const char *path = in_root("file");

    (void)state;
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7);
    buf_init(&b, sizeof big);
    assert_int_equal(fs_read_file(path, &b, &e), ST_NOT_FOUND);
    assert_int_equal(fs_write_atomic(path, slice_of(big, 1), &e), ST_OK);
    assert_int_equal(fs_write_atomic(path, slice_of(big, sizeof big), &e), ST_OK);
    assert_int_equal(stat(path, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    assert_int_equal(fs_read_file(path, &b, &e), ST_OK); /* just its maximum */
    assert_int_equal(b.n, sizeof big);
    assert_memory_equal(b.p, big, sizeof big);
    buf_free(&b);
    buf_init(&b, sizeof big - 1);
    assert_int_equal(fs_read_file(path, &b, &e), ST_TOO_LARGE);
    buf_free(&b);
    assert_int_equal(fs_write_atomic(path, slice_of(NULL, 0), &e), ST_OK);
    buf_init(&b, 0);
    assert_int_equal(fs_read_file(path, &b, &e), ST_OK);
    assert_int_equal(b.n, 0);
    buf_free(&b);
    assert_int_equal(fs_write_atomic(in_root("no/file"), SLICE_LIT("x"), &e), ST_NOT_FOUND);
    assert_int_equal(fs_unlink(path, &e), ST_OK);
    assert_int_equal(fs_unlink(path, &e), ST_OK);
    assert_false(fs_exists(path));
}

static void fs_places(void **state)
{
    struct err e;
    char got[8];
    int fd = open(in_root("places"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fs_pwrite_full(fd, "abcdef", 6, 10, &e), ST_OK);
    assert_int_equal(fs_pread_full(fd, got, 6, 10, &e), ST_OK);
    assert_memory_equal(got, "abcdef", 6);
    assert_int_equal(fs_pread_full(fd, got, 7, 10, &e), ST_TORN);
    assert_int_equal(fs_pread_full(-1, got, 1, 0, &e), ST_IO);
    assert_int_equal(fs_pwrite_full(-1, got, 1, 0, &e), ST_IO);
    (void)close(fd);
    fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(fs_pwrite_full(fd, "x", 1, 0, &e), ST_NO_SPACE);
    (void)close(fd);
}

static enum status count_name(void *arg, const char *name)
{
    int *n = arg;

    assert_true(strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
    return ++*n == 3 ? ST_CONFLICT : ST_OK;
}

static void fs_lists(void **state)
{
    struct err e;
    int n = 0;

    (void)state;
    assert_int_equal(fs_mkdirs(in_root("list/x"), &e), ST_OK);
    assert_int_equal(fs_list(in_root("list"), count_name, &n, &e), ST_OK);
    assert_int_equal(n, 1);
    assert_int_equal(fs_write_atomic(in_root("list/y"), SLICE_LIT(""), &e), ST_OK);
    assert_int_equal(fs_list(in_root("list"), count_name, &n, &e), ST_CONFLICT);
    assert_int_equal(n, 3);
    assert_int_equal(fs_list(in_root("none"), count_name, &n, &e), ST_NOT_FOUND);
}

/* ---- the rest ---- */

static void times(void **state)
{
    char text[32];
    uint64_t before = time_mono_us();

    (void)state;
    time_http(784111777000, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    time_rfc3339(784111777999, text);
    assert_string_equal(text, "1994-11-06T08:49:37Z");
    time_http(0, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    time_rfc3339(UINT64_MAX, text); /* only has to stay inside */
    assert_int_equal(strlen(text), 20);
    time_sleep_us(5000);
    assert_true(time_mono_us() - before >= 5000);
    assert_true(time_wall_ms() > 1600000000000);
    assert_true(time_wall_us() / 1000 - time_wall_ms() + 1000 < 2000);
}

static void log_one_line(void **state)
{
    char text[8192] = "";
    int fds[2], keep = dup(STDERR_FILENO);
    ssize_t n;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    (void)dup2(fds[1], STDERR_FILENO);
    log_info("hello %d\nforged", 5);
    log_debug("not shown");
    log_set_level(LOG_ERROR_);
    log_warn("not shown");
    log_error("%05000d", 1);
    log_set_level(LOG_INFO_);
    (void)dup2(keep, STDERR_FILENO);
    n = read(fds[0], text, sizeof text - 1);
    assert_true(n > 0);
    assert_non_null(strstr(text, "Z info hello 5?forged\n"));
    assert_null(strstr(text, "shown"));
    assert_int_equal(text[n - 1], '\n');
    assert_true(n < 2200);
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(keep);
}

static void signals_come_as_values(void **state)
{
    (void)state;
    signals_block();
    assert_int_equal(kill(getpid(), SIGPIPE), 0); /* ignored */
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(signals_wait(), SIGTERM);
    assert_int_equal(kill(getpid(), SIGINT), 0);
    assert_int_equal(signals_wait(), SIGINT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_runs),        cmocka_unit_test(pool_runs_all),
        cmocka_unit_test(cond_wakes),         cmocka_unit_test(a_pause_lets_others_in),
        cmocka_unit_test(ranks_are_enforced), cmocka_unit_test(fs_directories),
        cmocka_unit_test(fs_files),           cmocka_unit_test(fs_places),
        cmocka_unit_test(fs_lists),           cmocka_unit_test(times),
        cmocka_unit_test(log_one_line),       cmocka_unit_test(signals_come_as_values),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
