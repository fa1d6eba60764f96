/* kv: gets, batches, iterators both ways, snapshots; and the property that everything rests on:
 * with LevelDB's logs deleted, what is left is an exact prefix of the writes, up to a barrier or
 * later (test_idx_prefix: check again when the library changes). */
#include "unit.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/fs.h"
#include "base/thread.h"
#include "kv/kv.h"

struct dir {
    char path[64];
    struct kv *kv;
    struct err e;
};

static void open_kv(struct dir *d, bool clean)
{
    struct kv_options opt = {.write_buffer = 64 << 10, .cache = 1 << 20, .clean = clean};

    assert_int_equal(kv_open(d->path, &opt, &d->kv, &d->e), ST_OK);
}

static int set_up(void **state)
{
    struct dir *d = mem_zalloc(sizeof *d);

    (void)snprintf(d->path, sizeof d->path, "%s/divan-kv-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(d->path));
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    struct dir *d = *state;

    kv_close(d->kv);
    assert_int_equal(fs_remove_tree(d->path, &d->e), ST_OK);
    mem_free(d);
    return 0;
}

static void put(struct dir *d, const char *key, const char *value)
{
    struct kv_batch *b = kv_batch_new();

    kv_batch_put(b, slice_str(key), slice_str(value));
    assert_int_equal(kv_write(d->kv, b, &d->e), ST_OK);
    kv_batch_free(b);
}

static void gets_and_batches(void **state)
{
    struct dir *d = *state;
    struct kv_batch *b = kv_batch_new();
    struct arena *a = arena_new();
    struct slice v;

    open_kv(d, false);
    kv_batch_put(b, SLICE_LIT("a\0b"), SLICE_LIT("one"));
    kv_batch_put(b, SLICE_LIT("c"), SLICE_LIT(""));
    kv_batch_put(b, SLICE_LIT("d"), SLICE_LIT("gone"));
    kv_batch_delete(b, SLICE_LIT("d"));
    assert_int_equal(kv_write(d->kv, b, &d->e), ST_OK);
    assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("a\0b"), a, &v, &d->e), ST_OK);
    assert_true(slice_eq(v, SLICE_LIT("one")));
    assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("c"), a, &v, &d->e), ST_OK);
    assert_int_equal(v.n, 0);
    assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("a"), a, &v, &d->e), ST_NOT_FOUND);
    assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("d"), a, &v, &d->e), ST_NOT_FOUND);

    kv_batch_clear(b);
    kv_batch_delete(b, SLICE_LIT("c"));
    assert_int_equal(kv_write(d->kv, b, &d->e), ST_OK);
    assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("c"), a, &v, &d->e), ST_NOT_FOUND);
    kv_batch_free(b);
    arena_free(a);
}

static void walk(struct dir *d, const struct kv_snap *snap, const char *forward)
{
    struct kv_iter *it = kv_iter_new(d->kv, snap);
    char got[64];
    size_t n = 0, len = strlen(forward);

    for (kv_iter_seek(it, SLICE_LIT("")); kv_iter_valid(it); kv_iter_next(it))
        got[n++] = kv_iter_key(it).p[0];
    assert_int_equal(n, len);
    assert_memory_equal(got, forward, n);
    for (kv_iter_seek_before(it, SLICE_LIT("\xff")); kv_iter_valid(it); kv_iter_prev(it))
        assert_int_equal(kv_iter_key(it).p[0], forward[--n]);
    assert_int_equal(n, 0);
    assert_int_equal(kv_iter_error(it, &d->e), ST_OK);
    kv_iter_free(it);
}

static void iterators_and_snapshots(void **state)
{
    struct dir *d = *state;
    struct kv_snap *snap;
    struct kv_iter *it;
    struct arena *a = arena_new();
    struct slice v;
    struct kv_batch *b = kv_batch_new();

    open_kv(d, false);
    walk(d, NULL, "");
    put(d, "b", "1");
    put(d, "d", "2");
    put(d, "f", "3");
    snap = kv_snap_new(d->kv);
    put(d, "c", "new");
    put(d, "b", "changed");
    kv_batch_delete(b, SLICE_LIT("d"));
    assert_int_equal(kv_write(d->kv, b, &d->e), ST_OK);
    walk(d, snap, "bdf");
    walk(d, NULL, "bcf");
    assert_int_equal(kv_barrier(d->kv, SLICE_LIT("z"), SLICE_LIT("k"), &d->e), ST_OK);
    walk(d, snap, "bdf"); /* compaction keeps what a snapshot sees */
    assert_int_equal(kv_get(d->kv, snap, SLICE_LIT("b"), a, &v, &d->e), ST_OK);
    assert_true(slice_eq(v, SLICE_LIT("1")));
    assert_int_equal(kv_get(d->kv, snap, SLICE_LIT("c"), a, &v, &d->e), ST_NOT_FOUND);
    kv_snap_free(d->kv, snap);

    it = kv_iter_new(d->kv, NULL);
    put(d, "a", "after the iterator");
    kv_iter_seek(it, SLICE_LIT("bb"));
    assert_true(kv_iter_valid(it) && slice_eq(kv_iter_key(it), SLICE_LIT("c")));
    assert_true(slice_eq(kv_iter_value(it), SLICE_LIT("new")));
    kv_iter_seek_before(it, SLICE_LIT("c"));
    assert_true(kv_iter_valid(it) && slice_eq(kv_iter_key(it), SLICE_LIT("b")));
    kv_iter_seek_before(it, SLICE_LIT("b"));
    assert_false(kv_iter_valid(it));
    kv_iter_free(it);
    kv_iter_free(NULL);
    kv_snap_free(d->kv, NULL);
    kv_batch_free(b);
    arena_free(a);
}

/* Batch i: its number under a key of its own, 600 bytes of ballast, and the count so far. */
static void write_one(struct kv *kv, uint64_t i, struct err *e)
{
    struct kv_batch *b = kv_batch_new();
    char key[8], ballast[600];

    put_be64(key, i);
    memset(ballast, (int)i, sizeof ballast);
    for (size_t k = 0; k < sizeof ballast; k++)
        ballast[k] = (char)(i * 31 + k * k);
    kv_batch_put(b, slice_of(key, 8), slice_of(ballast, sizeof ballast));
    kv_batch_put(b, SLICE_LIT("A"), slice_of(key, 8));
    if (kv_write(kv, b, e) != ST_OK)
        abort();
    kv_batch_free(b);
}

/* The keys must be 0..A exactly, A as the last batch said. Returns how many. */
static uint64_t verify_prefix(struct dir *d)
{
    struct kv_iter *it = kv_iter_new(d->kv, NULL);
    struct arena *a = arena_new();
    struct slice v;
    uint64_t n = 0;

    for (kv_iter_seek(it, SLICE_LIT("")); kv_iter_valid(it); kv_iter_next(it)) {
        if (kv_iter_key(it).n != 8)
            continue;
        assert_int_equal(get_be64(kv_iter_key(it).p), n);
        n++;
    }
    assert_int_equal(kv_iter_error(it, &d->e), ST_OK);
    if (n == 0) {
        assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("A"), a, &v, &d->e), ST_NOT_FOUND);
    } else {
        assert_int_equal(kv_get(d->kv, NULL, SLICE_LIT("A"), a, &v, &d->e), ST_OK);
        assert_int_equal(get_be64(v.p), n - 1);
    }
    kv_iter_free(it);
    arena_free(a);
    return n;
}

/* In the child: opens, writes from `first` on until killed; tells each barrier it passed. */
static int child_writes(const char *path, uint64_t first, uint64_t barrier_every, int fd)
{
    struct kv_options opt = {.write_buffer = 64 << 10};
    struct kv *kv;
    struct err e;

    if (kv_open(path, &opt, &kv, &e) != ST_OK)
        abort();
    for (uint64_t i = first;; i++) {
        write_one(kv, i, &e);
        if (i % barrier_every == barrier_every - 1) {
            uint64_t done = i + 1;

            if (kv_barrier(kv, SLICE_LIT("K"), SLICE_LIT("x"), &e) != ST_OK ||
                write(fd, &done, sizeof done) != sizeof done)
                return 1;
        }
    }
}

/* LevelDB's thread does not survive a fork, so the child runs this program anew. */
static pid_t spawn_child(const char *path, uint64_t first, unsigned barrier_every, int fd)
{
    char a[24], b[24], c[24];
    pid_t child = fork();

    if (child != 0)
        return child;
    (void)snprintf(a, sizeof a, "%llu", (unsigned long long)first);
    (void)snprintf(b, sizeof b, "%u", barrier_every);
    (void)snprintf(c, sizeof c, "%d", fd);
    (void)execl("/proc/self/exe", "test_kv_kv", "write", path, a, b, c, (char *)NULL);
    _exit(1);
}

static void prefix_after_kill(void **state)
{
    struct dir *d = *state;
    uint64_t have = 0, rnd = 7;

    for (int round = 0; round < 12; round++) {
        unsigned barrier_every = 20 + (unsigned)(unit_random(&rnd) % 200);
        uint64_t flushed = have, done;
        int fds[2];
        pid_t child;

        assert_int_equal(pipe(fds), 0);
        child = spawn_child(d->path, have, barrier_every, fds[1]);
        close(fds[1]);
        for (uint64_t k = unit_random(&rnd) % 4; k > 0; k--)
            assert_int_equal(read(fds[0], &done, sizeof done), sizeof done);
        usleep((useconds_t)(unit_random(&rnd) % 30000));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(fds[0], &done, sizeof done) == sizeof done)
            flushed = done;
        close(fds[0]);
        open_kv(d, false);
        have = verify_prefix(d);
        assert_true(have >= flushed);
        kv_close(d->kv);
        d->kv = NULL;
    }
}

static void a_clean_stop_keeps_everything(void **state)
{
    struct dir *d = *state;

    open_kv(d, false);
    for (uint64_t i = 0; i < 50; i++)
        write_one(d->kv, i, &d->e);
    kv_close(d->kv);
    open_kv(d, true);
    assert_int_equal(verify_prefix(d), 50);
    kv_close(d->kv);
    open_kv(d, false); /* flushed by the open before: reopening writes the log to a table */
    assert_int_equal(verify_prefix(d), 50);
    for (uint64_t i = 50; i < 60; i++)
        write_one(d->kv, i, &d->e);
    kv_close(d->kv);
    open_kv(d, false);
    assert_int_equal(verify_prefix(d), 50); /* the log is gone, and only it */
    for (uint64_t i = 50; i < 5000; i++)
        write_one(d->kv, i, &d->e);
    assert_int_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("x"), &d->e), ST_OK);
    assert_true(kv_disk_bytes(d->kv) > 4096);
}

static enum status garble(void *arg, const char *name)
{
    struct dir *d = arg;
    char path[256];
    FILE *f;

    if (strncmp(name, "MANIFEST", 8) != 0)
        return ST_OK;
    (void)snprintf(path, sizeof path, "%s/%s", d->path, name);
    f = fopen(path, "r+");
    assert_non_null(f);
    (void)fseek(f, 10, SEEK_SET);
    (void)fputs("garbage", f);
    fclose(f);
    return ST_OK;
}

static void damage_is_reported(void **state)
{
    struct dir *d = *state;
    struct kv_options opt = {0};

    open_kv(d, false);
    write_one(d->kv, 0, &d->e);
    assert_int_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("x"), &d->e), ST_OK);
    kv_close(d->kv);
    d->kv = NULL;
    assert_int_equal(fs_list(d->path, garble, d, &d->e), ST_OK);
    assert_int_equal(kv_open(d->path, &opt, &d->kv, &d->e), ST_CORRUPT);
    assert_null(d->kv);
    assert_int_equal(kv_open("/proc/no/such", &opt, &d->kv, &d->e), ST_NOT_FOUND);
}

static enum status zero_block(void *arg, const char *name)
{
    const char *dir = arg;
    size_t n = strlen(name);
    char path[128], zeros[1024] = {0};
    FILE *log;

    if (n < 4 || strcmp(name + n - 4, ".log") != 0)
        return ST_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    log = fopen(path, "r+b");
    assert_non_null(log);
    assert_int_equal(fseek(log, 32768, SEEK_SET), 0);
    for (int i = 0; i < 32; i++)
        assert_int_equal(fwrite(zeros, sizeof(zeros), 1, log), 1);
    assert_int_equal(fclose(log), 0);
    return ST_OK;
}

/* What a power cut may make of a log that nobody synced: a block of zeros, with blocks after it.
 * The records are such that blocks end where records end: then LevelDB says nothing. */
static void a_hole_in_leveldbs_log(void **state)
{
    enum { PUTS = 256, VALUE = 481 };
    struct kv_options opt = {.write_buffer = 4 << 20, .clean = false};
    struct dir *d = *state;
    char key[16], value[VALUE + 1];
    struct arena *a = arena_new();
    bool there = true;
    struct slice v;

    assert_int_equal(kv_open(d->path, &opt, &d->kv, &d->e), ST_OK);
    memset(value, 'x', VALUE);
    value[VALUE] = '\0';
    for (int i = 0; i < PUTS; i++) {
        (void)snprintf(key, sizeof(key), "key-%04d", i);
        put(d, key, value);
    }
    kv_close(d->kv);
    d->kv = NULL;
    assert_int_equal(fs_list(d->path, zero_block, d->path, &d->e), ST_OK);
    assert_int_equal(kv_open(d->path, &opt, &d->kv, &d->e), ST_OK);
    for (int i = 0; i < PUTS; i++) { /* an exact prefix of what was written, perhaps none of it */
        enum status st;

        (void)snprintf(key, sizeof(key), "key-%04d", i);
        st = kv_get(d->kv, NULL, slice_str(key), a, &v, &d->e);
        assert_true(st == ST_OK || st == ST_NOT_FOUND);
        assert_false(st == ST_OK && !there);
        there = st == ST_OK;
    }
    arena_free(a);
}

/* LevelDB tells of a table that it could not write only with the next write. */
static void a_failed_flush_is_reported(void **state)
{
    struct dir *d = *state;

    open_kv(d, false);
    put(d, "a", "one");
    assert_int_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("1"), &d->e), ST_OK);
    put(d, "b", "two");
    for (int n = 1; n < 100; n++) { /* in the way of the next table, not of the next log */
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/%06d.ldb", d->path, n);
        (void)mkdir(path, 0700);
    }
    assert_int_not_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("2"), &d->e), ST_OK);
}

/* And of a new log that it could not make, not at all. */
static void a_flush_that_did_not_begin_is_reported(void **state)
{
    struct dir *d = *state;

    open_kv(d, false);
    put(d, "b", "two");
    for (int n = 1; n < 100; n++) {
        char path[128];

        (void)snprintf(path, sizeof(path), "%s/%06d.log", d->path, n);
        (void)mkdir(path, 0700);
    }
    assert_int_not_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("2"), &d->e), ST_OK);
    assert_int_equal(fs_remove_tree(d->path, &d->e), ST_OK);
    assert_int_not_equal(kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("3"), &d->e), ST_OK);
}

/* LevelDB forgets a request to flush that meets another thread's write. Found by tests/kill: a
 * barrier under load ended the server; before a barrier looked, it had made nothing durable. */
struct steady {
    struct kv *kv;
    atomic_bool stop;
};

static void write_steadily(void *arg)
{
    struct steady *w = arg;
    char value[2000] = "";
    struct err e;

    while (!atomic_load(&w->stop)) {
        struct kv_batch *b = kv_batch_new();

        kv_batch_put(b, SLICE_LIT("a"), slice_of(value, sizeof value));
        assert_int_equal(kv_write(w->kv, b, &e), ST_OK);
        kv_batch_free(b);
    }
}

static void barriers_beside_writes(void **state)
{
    struct dir *d = *state;
    struct steady w = {0};
    struct thread t[2];
    unsigned failed = 0;

    open_kv(d, false);
    w.kv = d->kv;
    for (int i = 0; i < 2; i++)
        thread_start(&t[i], "writer", write_steadily, &w);
    for (int i = 0; i < 200; i++)
        failed += kv_barrier(d->kv, SLICE_LIT("K"), SLICE_LIT("x"), &d->e) != ST_OK;
    atomic_store(&w.stop, true);
    for (int i = 0; i < 2; i++)
        thread_join(&t[i]);
    assert_int_equal(failed, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gets_and_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(iterators_and_snapshots, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prefix_after_kill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_clean_stop_keeps_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hole_in_leveldbs_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_flush_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_flush_that_did_not_begin_is_reported, set_up, tear_down),
        cmocka_unit_test_setup_teardown(barriers_beside_writes, set_up, tear_down),
    };

    if (argc == 6 && strcmp(argv[1], "write") == 0)
        return child_writes(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                            (int)strtol(argv[5], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
