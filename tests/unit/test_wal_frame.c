/* wal/frame: what goes in comes out; every prefix is torn, every flipped bit is seen. */
#include "unit.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "wal/frame.h"
#include "wal/store_slot.h"

enum { SALT = 0x1234abcd, NREC = 4, BYTES_MAX = 4096 };
static const unsigned body_len[NREC] = {0, 1, 8, 77};
static char bodies[NREC][128];

/* A whole group of NREC records; returns its length. */
static size_t make_group(unsigned char *out, uint32_t salt)
{
    struct frame_group g = {.nrec = NREC, .flags = 1, .first_lsn = 41, .durable_lsn = 40};
    unsigned char *p = out + FRAME_GROUP_BYTES;

    g.wall_ms = 1234567;
    for (unsigned i = 0; i < NREC; i++) {
        struct log_record r = {.type = LOG_DOC, .flags = LOG_F_MOVED, .dbnum = 7 + i};

        r.lsn = 41 + i;
        r.ver = 3;
        r.keyhash = 0xfeedfacecafebeefULL;
        memset(bodies[i], 'a' + (int)i, body_len[i]);
        r.body = slice_of(bodies[i], body_len[i]);
        g.crcs ^= frame_rec_put(p, salt, &r);
        memcpy(p + FRAME_REC_BYTES, bodies[i], body_len[i]);
        p += FRAME_REC_BYTES + body_len[i];
        memset(p, 0, frame_pad(body_len[i]));
        p += frame_pad(body_len[i]);
    }
    g.payload = (uint32_t)(p - out - FRAME_GROUP_BYTES);
    frame_group_put(out, salt, &g);
    return (size_t)(p - out);
}

static enum status check(const void *p, size_t n, uint32_t salt, struct frame_group *g)
{
    struct err e;
    enum status st = frame_group_get(slice_of(p, n), salt, g, &e);

    if (st != ST_OK)
        return st;
    if (n - FRAME_GROUP_BYTES < g->payload)
        return ST_TORN;
    return frame_group_check(g, slice_of((const char *)p + FRAME_GROUP_BYTES, g->payload), salt,
                             &e);
}

static void group_round_trip(void **state)
{
    unsigned char b[BYTES_MAX];
    size_t n = make_group(b, SALT);
    struct frame_group g;
    struct slice s;
    struct err e;

    (void)state;
    assert_int_equal(check(b, n, SALT, &g), ST_OK);
    assert_int_equal(g.payload, n - FRAME_GROUP_BYTES);
    assert_int_equal(g.nrec, NREC);
    assert_int_equal(g.flags, 1);
    assert_int_equal(g.first_lsn, 41);
    assert_int_equal(g.durable_lsn, 40);
    assert_int_equal(g.wall_ms, 1234567);
    s = slice_of((char *)b + FRAME_GROUP_BYTES, g.payload);
    for (unsigned i = 0; i < NREC; i++) {
        struct log_record r;
        size_t used;

        assert_int_equal(frame_rec_get(s, SALT, &r, &used, &e), ST_OK);
        assert_int_equal(used % 8, 0);
        assert_int_equal(r.type, LOG_DOC);
        assert_int_equal(r.flags, LOG_F_MOVED);
        assert_int_equal(r.dbnum, 7 + i);
        assert_int_equal(r.lsn, 41 + i);
        assert_int_equal(r.ver, 3);
        assert_true(r.keyhash == 0xfeedfacecafebeefULL);
        assert_true(slice_eq(r.body, slice_of(bodies[i], body_len[i])));
        s.p += used;
        s.n -= used;
    }
    assert_int_equal(s.n, 0);
}

static void group_prefixes_are_torn(void **state)
{
    unsigned char b[BYTES_MAX];
    size_t n = make_group(b, SALT);

    (void)state;
    for (size_t k = 0; k < n; k++) {
        struct frame_group g;
        unsigned char *exact = mem_alloc(k); /* so that a sanitizer sees a read past it */

        memcpy(exact, b, k);
        assert_int_equal(check(exact, k, SALT, &g), ST_TORN);
        mem_free(exact);
    }
}

static void group_flips_are_corrupt(void **state)
{
    unsigned char b[BYTES_MAX];
    size_t n = make_group(b, SALT);

    (void)state;
    for (size_t bit = 0; bit < n * 8; bit++) {
        struct frame_group g;

        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(check(b, n, SALT, &g), ST_CORRUPT);
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

static void group_of_another_segment_is_corrupt(void **state)
{
    unsigned char b[BYTES_MAX];
    size_t n = make_group(b, SALT);
    struct frame_group g;
    struct err e;

    (void)state;
    assert_int_equal(check(b, n, SALT + 1, &g), ST_CORRUPT);
    /* the header alone is enough to see it: what looks for groups after damage looks at headers */
    assert_int_equal(frame_group_get(slice_of((char *)b, n), SALT + 1, &g, &e), ST_CORRUPT);
}

/* A header that is in order by itself, over other records. */
static void group_of_other_records_is_corrupt(void **state)
{
    unsigned char b[BYTES_MAX];
    size_t n = make_group(b, SALT);
    struct frame_group g, as_it_is;

    (void)state;
    assert_int_equal(check(b, n, SALT, &as_it_is), ST_OK);
    g = as_it_is;
    g.nrec--;
    frame_group_put(b, SALT, &g);
    assert_int_equal(check(b, n, SALT, &g), ST_CORRUPT);
    g = as_it_is;
    g.first_lsn++;
    frame_group_put(b, SALT, &g);
    assert_int_equal(check(b, n, SALT, &g), ST_CORRUPT);
    g = as_it_is;
    g.crcs ^= 1;
    frame_group_put(b, SALT, &g);
    assert_int_equal(check(b, n, SALT, &g), ST_CORRUPT);
}

static void record_prefixes_are_torn(void **state)
{
    unsigned char b[256] = {0};
    struct log_record r = {.type = LOG_LOCAL, .lsn = 1, .ver = 1, .body = SLICE_LIT("seven by")};
    size_t n = FRAME_REC_BYTES + 8, used;
    struct err e;

    (void)state;
    (void)frame_rec_put(b, SALT, &r);
    memcpy(b + FRAME_REC_BYTES, r.body.p, r.body.n);
    assert_int_equal(frame_rec_get(slice_of(b, n), SALT, &r, &used, &e), ST_OK);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(frame_rec_get(slice_of(b, k), SALT, &r, &used, &e), ST_TORN);
    put_le32(b + 4, UINT32_MAX);
    assert_int_equal(frame_rec_get(slice_of(b, n), SALT, &r, &used, &e), ST_CORRUPT);
}

static void segment_header(void **state)
{
    struct frame_seg h = {.flags = FRAME_SEG_LOG, .salt = SALT, .seg = 9, .epoch = 5}, back;
    unsigned char b[FRAME_SEG_BYTES];
    struct err e;

    (void)state;
    h.first_lsn = 77;
    memset(h.uuid, 0x5a, sizeof h.uuid);
    frame_seg_put(b, &h);
    assert_int_equal(frame_seg_get(slice_of(b, sizeof b), &back, &e), ST_OK);
    assert_int_equal(back.flags, h.flags);
    assert_int_equal(back.salt, h.salt);
    assert_int_equal(back.seg, 9);
    assert_int_equal(back.epoch, 5);
    assert_int_equal(back.first_lsn, 77);
    assert_memory_equal(back.uuid, h.uuid, sizeof h.uuid);
    for (size_t k = 0; k < sizeof b; k++)
        assert_int_equal(frame_seg_get(slice_of(b, k), &back, &e), ST_TORN);
    for (size_t bit = 0; bit < sizeof b * 8; bit++) {
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(frame_seg_get(slice_of(b, sizeof b), &back, &e), ST_CORRUPT);
        b[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

static void pointer(void **state)
{
    struct seg_ptr p = {0x8000000000000001ULL, 2, 3, 4}, back;
    unsigned char b[SEG_PTR_BYTES];

    (void)state;
    seg_ptr_put(b, &p);
    back = seg_ptr_get(b);
    assert_true(back.seg == p.seg && back.off == 2 && back.len == 3 && back.crc == 4);
    assert_int_equal(b[0], 1); /* little-endian */
    assert_int_equal(b[7], 0x80);
}

static void slots(void **state)
{
    static unsigned char file[STORE_SLOTS * STORE_SLOT_BYTES];
    struct store_slot a = {.generation = 4, .epoch = 7, .clean = true}, b = a, got;
    struct slice s = slice_of(file, sizeof file);
    struct err e;

    (void)state;
    b.generation = 5;
    b.epoch = 8;
    b.clean = false;
    b.replay_hint_seg = 3;
    assert_int_equal(store_slot_pick(s, &got, &e), ST_NOT_FOUND);
    store_slot_put(file, &a);
    assert_int_equal(store_slot_pick(s, &got, &e), ST_OK); /* the other was never written */
    assert_true(got.epoch == 7 && got.clean);
    store_slot_put(file + STORE_SLOT_BYTES, &b);
    assert_int_equal(store_slot_pick(s, &got, &e), ST_OK);
    assert_true(got.generation == 5 && got.epoch == 8 && !got.clean && got.replay_hint_seg == 3);
    for (size_t i = 16; i < STORE_SLOT_USED; i++) { /* the newer is damaged: never clean */
        file[STORE_SLOT_BYTES + i] ^= 1;
        assert_int_equal(store_slot_pick(s, &got, &e), ST_OK);
        assert_true(got.generation == 4 && got.epoch == 8 && !got.clean);
        file[STORE_SLOT_BYTES + i] ^= 1;
    }
    file[8] = 2; /* a later version is refused */
    assert_int_equal(store_slot_pick(s, &got, &e), ST_NOT_IMPLEMENTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_round_trip),
        cmocka_unit_test(group_prefixes_are_torn),
        cmocka_unit_test(group_flips_are_corrupt),
        cmocka_unit_test(group_of_another_segment_is_corrupt),
        cmocka_unit_test(group_of_other_records_is_corrupt),
        cmocka_unit_test(record_prefixes_are_torn),
        cmocka_unit_test(segment_header),
        cmocka_unit_test(pointer),
        cmocka_unit_test(slots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
