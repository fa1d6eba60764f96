/* Every call to the system that a backup or a restore makes fails once: there is a whole backup or
 * none, the one before stays, and what is brought back is all there or does not start. */
#include "unit.h"

#include "calls_fail_fix.h"
#include "wal/backup.h"

static bool take_backup(struct place *p)
{
    struct backup_report r;
    struct err e;

    return backup_run(p->d.path, p->dest, &r, &e) == ST_OK;
}

static bool bring_back(struct place *p)
{
    struct backup_report r;
    struct err e;

    return backup_restore(p->dest, p->back, &r, &e) == ST_OK;
}

/* The log in the folder that was brought back is the one that was copied. */
static void is_the_same(struct place *p)
{
    struct dir other = p->d;

    assert_true(strlen(p->back) < sizeof other.path);
    memcpy(other.path, p->back, strlen(p->back) + 1);
    open_store(&other);
    assert_int_equal(fix_open(&other.f), ST_OK);
    fix_verify(&other.f, 0);
    assert_true(has_object(other.f.ss, OLD_ID));
    close_store(&other);
}

static void backup_is_whole(struct place *p, bool done)
{
    struct backup_report r;
    struct err e;
    enum status st = backup_verify(p->dest, &r, &e);

    assert_true(st == ST_OK || (st == ST_NOT_FOUND && !done));
    assert_true(take_backup(p)); /* whatever the failed one left */
    assert_true(bring_back(p));
    is_the_same(p);
    open_again(p);
    close_store(&p->d);
}

static void a_backup_is_whole_or_none(void **state)
{
    static const struct task t = {take_backup, backup_is_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

static void take_first(struct place *p)
{
    assert_true(take_backup(p));
    open_again(p);
    some_groups(&p->d.f, 2);
    put_object(p->d.f.ss, 0, p->d.f.super.epoch, NEW_ID);
    close_store(&p->d);
}

static void second_backup_is_whole(struct place *p, bool done)
{
    struct backup_report r;
    struct err e;

    (void)done;
    assert_int_equal(backup_verify(p->dest, &r, &e), ST_OK); /* the one before, or the new one */
    backup_is_whole(p, done);
}

static void the_backup_before_stays(void **state)
{
    static const struct task t = {take_backup, second_backup_is_whole, take_first};

    (void)state;
    each_call_fails(&t, EIO);
    each_call_fails(&t, ENOSPC);
}

static void starts_only_when_done(struct place *p, bool done)
{
    struct seg_store *ss;
    struct ss_super super;
    struct err e;
    char store[96];

    if (done) {
        is_the_same(p);
        return;
    }
    (void)snprintf(store, sizeof store, "%s/0/log", p->back);
    if (!fs_exists(store))
        return;
    ss = seg_file_new(p->back);
    if (ss->ops->acquire(ss, 0, &super, &e) == SS_OK && !super.created) {
        ss->ops->close(ss); /* only a sync of what is all there failed */
        is_the_same(p);
        return;
    }
    ss->ops->close(ss);
}

static void first_backup(struct place *p)
{
    assert_true(take_backup(p));
}

static void what_is_brought_back_is_all_there(void **state)
{
    static const struct task t = {bring_back, starts_only_when_done, first_backup};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- what is refused ---- */

static void expect(enum status want, const char *data, const char *dest)
{
    struct backup_report r;
    struct err e;

    assert_int_equal(backup_run(data, dest, &r, &e), want);
}

static void places_that_do_not_fit(void **state)
{
    struct place p, other;
    char path[128], back[] = "/dev/shm";
    struct err e;

    (void)state;
    make_place(&p);
    make_place(&other);
    expect(ST_NOT_FOUND, "/tmp/divan-there-is-no-such", p.dest);
    expect(ST_BAD_REQUEST, p.d.path, p.d.path);
    (void)snprintf(path, sizeof path, "%s/backup", p.d.path);
    expect(ST_BAD_REQUEST, p.d.path, path);
    expect(ST_BAD_REQUEST, p.d.path, access(back, W_OK) == 0 ? back : "/tmp"); /* data is in it */
    (void)snprintf(path, sizeof path, "%s/local.ini", p.d.path);
    assert_int_equal(fs_write_atomic(path, SLICE_LIT("[couchdb]\n"), &e), ST_OK);
    (void)snprintf(path, sizeof path, "%s//", p.dest);
    expect(ST_OK, p.d.path, path);
    expect(ST_BAD_REQUEST, other.d.path, p.dest); /* another server's */
    assert_true(bring_back(&p));
    assert_false(bring_back(&p)); /* not empty any more */
    (void)snprintf(path, sizeof path, "%s/local.ini", p.back);
    assert_true(fs_exists(path));
    is_the_same(&p);
    end_place(&p);
    end_place(&other);
}

/* The middle of a segment that is not the last fails its checksum: no backup pretends otherwise. */
static void a_damaged_log_is_not_copied(void **state)
{
    struct place p;
    char path[96];
    int fd;

    (void)state;
    make_place(&p);
    assert_true(take_backup(&p));
    open_again(&p);
    some_groups(&p.d.f, 12);
    close_store(&p.d);
    (void)snprintf(path, sizeof path, "%s/0/log/%016x.seg", p.d.path, 2);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "xxxxxxxx", 8, 64 + 48 + 8), 8);
    assert_int_equal(close(fd), 0);
    expect(ST_CORRUPT, p.d.path, p.dest);
    assert_true(bring_back(&p)); /* the one before */
    end_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_backup_is_whole_or_none),
        cmocka_unit_test(the_backup_before_stays),
        cmocka_unit_test(what_is_brought_back_is_all_there),
        cmocka_unit_test(places_that_do_not_fit),
        cmocka_unit_test(a_damaged_log_is_not_copied),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
