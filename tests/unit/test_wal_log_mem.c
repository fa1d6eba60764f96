/* The log over memory segments: crashes at every length, damage, lost answers, fencing. */
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "wal_fix.h"

static struct fix *make(uint64_t seed, uint32_t segment_bytes)
{
    struct fix *f = mem_zalloc(sizeof *f);

    f->ss = seg_mem_new(seed);
    f->seed = seed;
    f->segment_bytes = segment_bytes;
    assert_int_equal(fix_open(f), ST_OK);
    return f;
}

static void destroy(struct fix *f)
{
    fix_close(f);
    f->ss->ops->close(f->ss);
    mem_free(f);
}

static void some_groups(struct fix *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(fix_append(f, 1 + fix_mix(f->seed + i) % 5), ST_OK);
}

/* The log of f after a crash, as another owner finds it; f itself goes on living. */
static struct fix *crashed(const struct fix *f, uint32_t torn)
{
    struct fix *c = mem_alloc(sizeof *c);

    *c = *f;
    c->ss = seg_mem_crash(f->ss, torn);
    c->log = NULL;
    return c;
}

static void appends_and_reopens(void **state)
{
    struct fix *f = make(1, 0);

    (void)state;
    for (int round = 0; round < 4; round++) {
        some_groups(f, 20);
        fix_verify(f, 0);
        fix_close(f);
        assert_int_equal(fix_check(f->ss), 0);
        assert_int_equal(fix_open(f), ST_OK);
        fix_verify(f, 0);
    }
    assert_int_equal(f->super.epoch, 5);
    destroy(f);
}

static void reads_through_pointers(void **state)
{
    struct fix *f = make(2, 4096);
    static char got[FIX_BODY_MAX], want[FIX_BODY_MAX];

    (void)state;
    some_groups(f, 100);
    for (size_t i = 0; i < f->nacked; i++) {
        struct seg_ptr p = f->ptr[i];
        uint32_t n = 100;

        assert_int_equal(log_read(f->log, &p, got, &f->e), ST_OK);
        assert_int_equal(fix_body(f, f->acked[i], want), p.len);
        assert_memory_equal(got, want, p.len);
        assert_int_equal(log_read_raw(f->log, p.seg, p.off, got, &n, &f->e), ST_OK);
        assert_memory_equal(got, want, n < p.len ? n : p.len);
        p.crc ^= 1;
        assert_int_equal(log_read(f->log, &p, got, &f->e), ST_CORRUPT);
        p.seg = 999;
        assert_int_equal(log_read(f->log, &p, got, &f->e), ST_NOT_FOUND);
    }
    destroy(f);
}

static void rolls_over_many_segments(void **state)
{
    struct fix *f = make(3, 1024);
    struct seg_info *segs;
    size_t n;

    (void)state;
    some_groups(f, 300);
    fix_verify(f, 0);
    fix_close(f);
    assert_int_equal(f->ss->ops->list(f->ss, 0, &segs, &n, &f->e), SS_OK);
    assert_true(n > 50);
    mem_free(segs);
    assert_int_equal(fix_check(f->ss), 0);
    assert_int_equal(fix_open(f), ST_OK);
    fix_verify(f, 0);
    destroy(f);
}

/* A scan or an open from the middle sees just what lies after. */
static void starts_from_any_lsn(void **state)
{
    struct fix *f = make(4, 2048);
    uint64_t last;

    (void)state;
    some_groups(f, 60);
    last = log_last_lsn(f->log);
    for (uint64_t from = 1; from <= last; from++) {
        struct fix *c = crashed(f, 0);
        struct fix_seen s = {.f = c};

        assert_int_equal(fix_open_from(c, from), ST_OK);
        assert_int_equal(log_last_lsn(c->log), last);
        s.n = from < 2 ? 0 : from - 2; /* LSN 1 is the EPOCH record */
        s.lsn = from - 1;
        assert_int_equal(log_scan(c->log, from, fix_visit, &s, &c->e), ST_OK);
        assert_int_equal(s.lsn, last);
        destroy(c);
    }
    destroy(f);
}

/* Many seeds; a group under way when the crash comes, cut at every length. */
static void crash_at_every_length(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fix *f = make(seed, seed % 2 == 0 ? 2000 : 0);
        size_t n = 1 + seed % 3;
        static char body[FIX_BODY_MAX];
        uint32_t whole = 48;

        some_groups(f, (unsigned)(seed * 3));
        for (size_t i = 0; i < n; i++)
            whole += 40 + (((uint32_t)fix_body(f, f->next + i, body) + 7) & ~7u);
        seg_mem_fail_append(f->ss, 1, SEG_MEM_IO, false);
        assert_int_equal(fix_append(f, n), ST_IO);
        assert_int_equal(fix_append(f, n), ST_UNAVAILABLE); /* nothing after an unknown outcome */
        for (uint32_t torn = 0; torn <= whole + 16; torn++) {
            struct fix *c = crashed(f, torn);

            assert_int_equal(fix_check(c->ss), 0);
            assert_int_equal(fix_open_from(c, 1), ST_OK);
            fix_verify(c, log_last_lsn(c->log) - log_last_lsn(f->log));
            if (torn < whole)
                assert_int_equal(log_last_lsn(c->log), log_last_lsn(f->log));
            else
                assert_true(log_last_lsn(c->log) - log_last_lsn(f->log) == n ||
                            log_last_lsn(c->log) == log_last_lsn(f->log));
            c->next = f->next;
            if (log_last_lsn(c->log) == log_last_lsn(f->log)) {
                assert_int_equal(log_start(c->log, &c->e), ST_OK); /* life goes on */
                some_groups(c, 2);
                fix_close(c);
                assert_int_equal(fix_check(c->ss), 0);
                assert_int_equal(fix_open(c), ST_OK);
                fix_verify(c, 0);
            }
            destroy(c);
        }
        destroy(f);
    }
}

/* Rubbish after an acknowledged group: zeros, noise, or a copy of the group, with its checksum. */
static void rubbish_after_the_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fix *f = make(seed, 0);

        some_groups(f, 5);
        for (uint32_t torn = 0; torn < 1500; torn += 9) {
            struct fix *c = crashed(f, torn);

            assert_int_equal(fix_open(c), ST_OK);
            fix_verify(c, 0);
            assert_int_equal(fix_append(c, 1), ST_OK);
            fix_verify(c, 0);
            destroy(c);
        }
        destroy(f);
    }
}

/* Each byte of each group but the last: damage is refused, never cut off. */
static void damage_before_the_end_is_refused(void **state)
{
    struct fix *f = make(5, 1500);
    struct seg_info *segs;
    size_t n;

    (void)state;
    some_groups(f, 12);
    assert_int_equal(f->ss->ops->list(f->ss, 0, &segs, &n, &f->e), SS_OK);
    assert_true(n > 3);
    for (size_t i = 0; segs[i].seg < log_tail_seg(f->log); i++) /* any segment before the last */
        for (uint32_t off = 0; off < segs[i].len; off += 7) {
            struct fix *c = crashed(f, 0);
            uint64_t last = log_last_lsn(f->log);

            seg_mem_damage(c->ss, segs[i].seg, off, (unsigned char)(1 << off % 8));
            assert_int_equal(fix_open_from(c, 1), ST_CORRUPT);
            assert_true(fix_check(c->ss) > 0);
            if (off >= 64) { /* not the header: records after it do not depend on it */
                assert_int_equal(fix_open_from(c, last), ST_OK);
                assert_int_equal(log_last_lsn(c->log), last);
            }
            destroy(c);
        }
    mem_free(segs);
    destroy(f);
}

/* In the last segment: damage with a group after it is refused; of the last group it looks like a
 * torn write, unless the shutdown was clean. */
static void damage_in_the_tail(void **state)
{
    struct fix *f = make(6, 0);
    uint32_t last_off;

    (void)state;
    some_groups(f, 6);
    assert_int_equal(fix_append(f, 1), ST_OK); /* only its successor tells of this one */
    last_off = (uint32_t)log_bytes(f->log);
    assert_int_equal(fix_append(f, 1), ST_OK);
    for (uint32_t off = 0; off < log_bytes(f->log); off++) {
        struct fix *c = crashed(f, 0);
        bool last = off >= last_off;

        seg_mem_damage(c->ss, 1, off, 0x10);
        assert_int_equal(fix_open_from(c, 1), last ? ST_OK : ST_CORRUPT);
        if (last) {
            c->nacked--;
            fix_verify(c, 0);
        }
        destroy(c);
    }
    fix_close(f);
    assert_int_equal(f->ss->ops->checkpoint(f->ss, 0, f->super.epoch, 1, true, &f->e), SS_OK);
    for (uint32_t off = 0; off < last_off + 48; off++) {
        struct fix *c = crashed(f, 0);

        seg_mem_damage(c->ss, 1, off, 0x10);
        assert_int_equal(fix_open_from(c, 1), ST_CORRUPT);
        destroy(c);
    }
    destroy(f);
}

static void a_missing_segment_is_refused(void **state)
{
    struct fix *f = make(7, 1500);

    (void)state;
    some_groups(f, 20);
    for (uint64_t seg = 1; seg < log_tail_seg(f->log); seg++) {
        struct fix *c = crashed(f, 0);

        assert_int_equal(c->ss->ops->del(c->ss, 0, f->super.epoch, seg, &c->e), SS_OK);
        assert_int_equal(fix_open_from(c, 1), ST_CORRUPT);
        assert_true(fix_check(c->ss) > 0);
        destroy(c);
    }
    destroy(f);
}

static enum status count(void *arg, const struct log_record *r, struct err *e)
{
    (void)r;
    (void)e;
    (*(size_t *)arg)++;
    return ST_OK;
}

static void salvage_loses_only_what_is_damaged(void **state)
{
    struct fix *f = make(8, 0), *c;
    struct log_options opt = {.salvage = true};
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(fix_append(f, 1), ST_OK);
    c = crashed(f, 0);
    seg_mem_damage(c->ss, 1, f->ptr[4].off, 1);
    assert_int_equal(fix_open_from(c, 1), ST_CORRUPT);
    assert_int_equal(c->ss->ops->acquire(c->ss, 0, &c->super, &c->e), SS_OK);
    assert_int_equal(log_open(c->ss, &opt, &c->super, 1, &c->log, &c->e), ST_OK);
    assert_int_equal(log_scan(c->log, 1, count, &n, &c->e), ST_OK);
    assert_int_equal(n, 1 + 10 - 1);
    assert_int_equal(log_last_lsn(c->log), log_last_lsn(f->log));
    destroy(c);
    destroy(f);
}

static void no_space_then_space(void **state)
{
    struct fix *f = make(9, 3000);

    (void)state;
    for (int i = 0; i < 30; i++) {
        uint64_t last = log_last_lsn(f->log);

        seg_mem_fail_append(f->ss, 1, SEG_MEM_NOSPC, true);
        assert_int_equal(fix_append(f, 3), ST_NO_SPACE);
        assert_int_equal(fix_append(f, 2), ST_NO_SPACE);
        assert_int_equal(log_last_lsn(f->log), last);
        seg_mem_fail_append(f->ss, 0, SEG_MEM_NONE, false);
        assert_int_equal(fix_append(f, 3), ST_OK);
    }
    fix_verify(f, 0);
    fix_close(f);
    assert_int_equal(fix_open(f), ST_OK);
    fix_verify(f, 0);
    destroy(f);
}

static void unknown_is_resolved_both_ways(void **state)
{
    struct fix *f = make(10, 3000);

    (void)state;
    for (int i = 0; i < 40; i++) {
        seg_mem_fail_append(f->ss, 1, i % 2 == 0 ? SEG_MEM_UNKNOWN_DONE : SEG_MEM_UNKNOWN_NOT,
                            false);
        assert_int_equal(fix_append(f, 2), ST_OK);
    }
    fix_verify(f, 0);
    fix_close(f);
    assert_int_equal(fix_check(f->ss), 0);
    assert_int_equal(fix_open(f), ST_OK);
    fix_verify(f, 0);
    destroy(f);
}

static void unknown_for_ever_stops_the_process(void **state)
{
    pid_t child = fork();
    int status = 0;

    (void)state;
    if (child == 0) {
        struct fix *f = make(11, 0);

        seg_mem_fail_append(f->ss, 1, SEG_MEM_UNKNOWN_NOT, true);
        (void)fix_append(f, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 74);
}

static void a_fenced_owner_never_writes_again(void **state)
{
    struct fix *f = make(12, 0), *b;

    (void)state;
    some_groups(f, 5);
    seg_mem_fence(f->ss);
    assert_int_equal(fix_append(f, 1), ST_UNAVAILABLE);
    assert_int_equal(fix_append(f, 1), ST_UNAVAILABLE);
    b = crashed(f, 0);
    assert_int_equal(fix_open(b), ST_OK);
    fix_verify(b, 0);
    assert_true(b->super.epoch > f->super.epoch);
    destroy(b);
    destroy(f);
}

static void large_groups(void **state)
{
    struct fix *f = make(13, 1 << 20);
    size_t big = 3u << 20;
    char *body = mem_zalloc(big);
    struct log_record r = {.type = LOG_NODE, .body = slice_of(body, big)};
    size_t n = 0;

    (void)state;
    assert_int_equal(fix_append(f, 512), ST_OK);
    fix_verify(f, 0);
    assert_int_equal(log_append(f->log, &r, 1, &f->e), ST_OK); /* larger than a segment */
    assert_int_equal(log_append(f->log, &r, 0, &f->e), ST_OK);
    r.body.n = (64u << 20) + 1;
    assert_int_equal(log_append(f->log, &r, 1, &f->e), ST_TOO_LARGE);
    fix_close(f);
    assert_int_equal(fix_check(f->ss), 0);
    assert_int_equal(fix_open(f), ST_OK);
    assert_int_equal(log_scan(f->log, 1, count, &n, &f->e), ST_OK);
    assert_int_equal(n, 1 + 512 + 1 + 1);
    mem_free(body);
    destroy(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_reopens),
        cmocka_unit_test(reads_through_pointers),
        cmocka_unit_test(rolls_over_many_segments),
        cmocka_unit_test(starts_from_any_lsn),
        cmocka_unit_test(crash_at_every_length),
        cmocka_unit_test(rubbish_after_the_end),
        cmocka_unit_test(damage_before_the_end_is_refused),
        cmocka_unit_test(damage_in_the_tail),
        cmocka_unit_test(a_missing_segment_is_refused),
        cmocka_unit_test(salvage_loses_only_what_is_damaged),
        cmocka_unit_test(no_space_then_space),
        cmocka_unit_test(unknown_is_resolved_both_ways),
        cmocka_unit_test(unknown_for_ever_stops_the_process),
        cmocka_unit_test(a_fenced_owner_never_writes_again),
        cmocka_unit_test(large_groups),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
