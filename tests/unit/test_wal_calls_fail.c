/* Every call to the system that the file store makes fails once: whatever the task then says, or
 * however the process ends: who was told "done" finds it done, and nothing that was there before is
 * lost or half. */
#include "unit.h"

#include "calls_fail_fix.h"
#include "wal/salvage.h"

/* ---- objects ---- */

static bool write_objects(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super super;
    char bytes[OBJ_BYTES];
    struct iovec iov[2] = {{bytes, 100}, {bytes + 100, OBJ_BYTES - 100}};
    struct obj_name o = {.id = NEW_ID}, old = {.id = OLD_ID};
    struct obj_info *v = NULL;
    uint64_t len;
    size_t n = 0;
    struct err e;
    bool ok;

    memset(bytes, NEW, sizeof bytes);
    ok = ss->ops->acquire(ss, 0, &super, &e) == SS_OK;
    o.epoch = old.epoch = super.epoch;
    ok = ok && ss->ops->obj_create(ss, &o, &e) == SS_OK &&
         ss->ops->obj_append(ss, &o, 0, iov, 2, &e) == SS_OK &&
         ss->ops->obj_finish(ss, &o, &e) == SS_OK &&
         ss->ops->obj_read(ss, &o, 1, bytes, 9, &e) == SS_OK && bytes[8] == NEW &&
         ss->ops->obj_stat(ss, &old, &len, &e) == SS_OK &&
         ss->ops->obj_list(ss, 0, &v, &n, &e) == SS_OK && n == 2 &&
         ss->ops->obj_del(ss, &old, &e) == SS_OK;
    mem_free(v);
    ss->ops->close(ss);
    return ok;
}

static void objects_are_whole(struct place *p, bool done)
{
    open_again(p);
    assert_true(has_object(p->d.f.ss, NEW_ID) || !done);
    assert_true(!has_object(p->d.f.ss, OLD_ID) || !done);
    close_store(&p->d);
}

static void an_object_is_whole_or_not_there(void **state)
{
    static const struct task t = {write_objects, objects_are_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- stores ---- */

static bool destroy_store(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super zero, one;
    uint64_t *v = NULL;
    size_t n = 0;
    int token;
    struct err e;
    bool ok;

    ss->segment_bytes = 400;
    ok = ss->ops->acquire(ss, 0, &zero, &e) == SS_OK && ss->ops->acquire(ss, 1, &one, &e) == SS_OK;
    if (ok) {
        struct obj_name a = {0, zero.epoch, NEW_ID}, b = {1, one.epoch, NEW_ID};
        char head[64] = {0};

        /* of both something is open; only the one's is closed */
        ok = ss->ops->obj_create(ss, &a, &e) == SS_OK && ss->ops->obj_create(ss, &b, &e) == SS_OK &&
             ss->ops->seg_create(ss, 1, one.epoch, 1, head, 64, &e) == SS_OK &&
             ss->ops->reclaim_begin(ss, &token, &e) == SS_OK;
    }
    if (ok) {
        ok = ss->ops->destroy(ss, 1, one.epoch, &e) == SS_OK;
        ss->ops->reclaim_end(ss, token);
    }
    ok = ok && ss->ops->stores(ss, &v, &n, &e) == SS_OK && n == 1 && v[0] == 0;
    mem_free(v);
    ss->ops->close(ss);
    return ok;
}

static void store_is_gone_or_whole(struct place *p, bool done)
{
    uint64_t *v = NULL;
    struct ss_super super;
    size_t n = 0;
    char path[96];
    struct err e;

    open_again(p);
    assert_int_equal(p->d.f.ss->ops->stores(p->d.f.ss, &v, &n, &e), SS_OK);
    assert_int_equal(v[0], 0);
    assert_true(n == 1 || (n == 2 && v[1] == 1 && !done));
    if (n == 2)
        assert_int_equal(p->d.f.ss->ops->acquire(p->d.f.ss, 1, &super, &e), SS_OK);
    mem_free(v);
    (void)snprintf(path, sizeof path, "%s/1.gone", p->d.path);
    assert_false(fs_exists(path));
    assert_true(has_object(p->d.f.ss, OLD_ID));
    close_store(&p->d);
}

static void a_store_is_gone_or_whole(void **state)
{
    static const struct task t = {destroy_store, store_is_gone_or_whole, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

/* ---- what salvage does to files ---- */

static bool mend_files(struct place *p)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct ss_super super;
    struct err e;
    bool ok = ss->ops->acquire(ss, 0, &super, &e) == SS_OK &&
              seg_file_keep(ss, 0, 1, &e) == ST_OK && seg_file_keep(ss, 0, 1, &e) == ST_OK &&
              seg_file_patch(ss, 0, 1, 20, SLICE_LIT("x"), &e) == ST_OK &&
              seg_file_set_aside(ss, 0, 1, &e) == ST_OK &&
              seg_file_set_aside_obj(ss, 0, OLD_ID, &e) == ST_OK;

    ss->ops->close(ss);
    return ok;
}

struct kept {
    const char *dir;
    unsigned segs, objs;
};

static enum status see_kept(void *arg, const char *name)
{
    struct kept *k = arg;
    char path[200];

    (void)snprintf(path, sizeof path, "%s/%s", k->dir, name);
    k->segs += strstr(name, ".seg") != NULL && size_of(path) > 64;
    k->objs += strstr(name, ".blb") != NULL && size_of(path) == OBJ_BYTES;
    return ST_OK;
}

static void nothing_is_lost(struct place *p, bool done)
{
    char dir[96], seg[96], obj[96];
    struct kept k = {.dir = dir};
    struct err e;

    (void)snprintf(dir, sizeof dir, "%s/0/quarantine", p->d.path);
    (void)snprintf(seg, sizeof seg, "%s/0/log/%016x.seg", p->d.path, 1);
    (void)snprintf(obj, sizeof obj, "%s/0/blob/%016llx.blb", p->d.path, (unsigned long long)OLD_ID);
    if (fs_exists(dir))
        assert_int_equal(fs_list(dir, see_kept, &k, &e), ST_OK);
    if (done) {
        assert_int_equal(k.segs, 3);
        assert_int_equal(k.objs, 1);
    }
    assert_true(fs_exists(seg) != done || !done);
    assert_true(fs_exists(seg) || k.segs >= 3);
    assert_int_equal(fs_exists(obj) + k.objs, 1);
}

static void what_is_mended_is_kept(void **state)
{
    static const struct task t = {mend_files, nothing_is_lost, NULL};

    (void)state;
    each_call_fails_each_way(&t);
}

static void damage_at(struct place *p, unsigned seg, off_t off, size_t n)
{
    char path[96], bytes[64];
    int fd;

    memset(bytes, 'x', sizeof bytes);
    (void)snprintf(path, sizeof path, "%s/0/log/%016x.seg", p->d.path, seg);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, bytes, n, off), n);
    assert_int_equal(close(fd), 0);
}

/* In the second group's first record, and the whole header of a later segment. */
static void damage_the_log(struct place *p)
{
    open_again(p);
    some_groups(&p->d.f, 12);
    assert_true(log_tail_seg(p->d.f.log) > 5);
    close_store(&p->d);
    damage_at(p, 2, 64 + 48 + 8, 20);
    damage_at(p, 4, 0, 64);
}

static void no_hint(void *arg, const struct log_salvage_hint *h)
{
    (void)arg;
    (void)h;
}

static enum status mend(struct place *p, uint64_t *damaged)
{
    struct seg_store *ss = seg_file_new(p->d.path);
    struct log_salvage v = {.say = fix_report, .hint = no_hint};
    struct ss_super super;
    struct err e;
    enum status st = ss_status(ss->ops->acquire(ss, 0, &super, &e));

    if (st == ST_OK)
        st = log_salvage(ss, 0, &super, &v, &e);
    *damaged = v.damaged;
    log_salvage_free(&v);
    ss->ops->close(ss);
    return st;
}

static bool mend_log(struct place *p)
{
    uint64_t damaged;

    return mend(p, &damaged) == ST_OK && damaged != 0;
}

/* It opens, there is nothing left to mend, and what was whole is where it was. */
static void log_is_mended(struct place *p, bool done)
{
    struct log_options opt = {.segment_bytes = 400, .salvage = true};
    uint64_t damaged = 1;
    char got[FIX_BODY_MAX];
    struct fix *f = &p->d.f;
    struct err e;

    assert_int_equal(mend(p, &damaged), ST_OK); /* whatever the failed one left */
    assert_true(damaged == 0 || !done);
    assert_int_equal(mend(p, &damaged), ST_OK);
    assert_int_equal(damaged, 0);
    open_store(&p->d);
    assert_int_equal(f->ss->ops->acquire(f->ss, 0, &f->super, &e), SS_OK);
    assert_int_equal(log_open(f->ss, &opt, &f->super, 1, &f->log, &e), ST_OK);
    for (size_t i = 0; i < f->nacked; i++)
        if (f->ptr[i].seg != 2 && f->ptr[i].seg != 4)
            assert_int_equal(log_read(f->log, &f->ptr[i], got, &e), ST_OK);
    close_store(&p->d);
}

static void a_log_is_mended_in_the_end(void **state)
{
    static const struct task t = {mend_log, log_is_mended, damage_the_log};

    (void)state;
    each_call_fails(&t, EIO);
    each_call_fails(&t, ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_whole_or_not_there),
        cmocka_unit_test(a_store_is_gone_or_whole),
        cmocka_unit_test(what_is_mended_is_kept),
        cmocka_unit_test(a_log_is_mended_in_the_end),
    };

    log_set_level(LOG_ERROR_);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
