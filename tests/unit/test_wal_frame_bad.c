/* The decoders of the log, of blobs and of tables, given bytes whose checksums are right and whose
 * content is not: only a program that is wrong, or somebody, writes such. Refused, each field. */
#include "unit.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "wal/blob.h"
#include "wal/frame.h"
#include "wal/gone.h"

enum { SALT = 77 };

/* A field of n bytes gets another value. */
struct wrong {
    unsigned at, n;
    uint64_t value;
};

static void put(unsigned char *p, const struct wrong *w)
{
    for (unsigned i = 0; i < w->n; i++)
        p[w->at + i] = (unsigned char)(w->value >> (8 * i));
}

static void heads_of_blobs(void **state)
{
    static const struct wrong w[] = {{8, 2, 2}, {10, 2, 72}, {12, 4, 4096}, {48, 8, 1}, {16, 8, 9}};
    struct blob_head h = {.id = SEG_BLOB | 9, .epoch = 1, .salt = SALT}, back;
    unsigned char b[BLOB_HEADER_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        blob_head_put(b, &h);
        assert_true(blob_head_get(b, &back));
        put(b, &w[i]);
        put_le32(b + 60, crc32c(0, b, 60));
        assert_false(blob_head_get(b, &back));
    }
}

static void feet_of_blobs(void **state)
{
    static const struct wrong w[] = {{40, 4, 1}, {32, 8, 7}, {8, 8, 1u << 30}};
    struct blob_foot f = {.len = 5, .chunks = 1}, back;
    unsigned char b[BLOB_FOOTER_BYTES];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        blob_foot_put(b, &f, SALT);
        assert_true(blob_foot_get(b, SALT, &back));
        put(b, &w[i]);
        put_le32(b + 44, crc32c(SALT, b, 44));
        assert_false(blob_foot_get(b, SALT, &back));
    }
}

static void headers_of_segments(void **state)
{
    static const struct wrong w[] = {{8, 2, 2}, {10, 2, 72}};
    struct frame_seg h = {.seg = 1, .salt = SALT}, back;
    unsigned char b[FRAME_SEG_BYTES];
    struct err e;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        frame_seg_put(b, &h);
        assert_int_equal(frame_seg_get(slice_of((char *)b, sizeof b), &back, &e), ST_OK);
        put(b, &w[i]);
        put_le32(b + 60, crc32c(0, b, 60));
        assert_int_equal(frame_seg_get(slice_of((char *)b, sizeof b), &back, &e), ST_CORRUPT);
    }
}

static void headers_of_groups(void **state)
{
    static const struct frame_group bad[] = {
        {.payload = 81, .nrec = 2, .first_lsn = 5}, /* not a multiple of 8 */
        {.payload = 80, .nrec = 0, .first_lsn = 5},
        {.payload = 80, .nrec = 3, .first_lsn = 5}, /* more than fit */
        {.payload = 80, .nrec = 2, .first_lsn = 0},
        {.payload = 80, .nrec = 2, .first_lsn = UINT64_MAX - 1},
        {.payload = 80, .nrec = 2, .first_lsn = 5, .durable_lsn = 5}, /* before it was written */
    };
    struct frame_group good = {.payload = 80, .nrec = 2, .first_lsn = 5, .durable_lsn = 4}, back;
    unsigned char b[FRAME_GROUP_BYTES];
    struct slice s = slice_of((char *)b, sizeof b);
    struct err e;

    (void)state;
    frame_group_put(b, SALT, &good);
    assert_int_equal(frame_group_get(s, SALT, &back, &e), ST_OK);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        frame_group_put(b, SALT, &bad[i]);
        assert_int_equal(frame_group_get(s, SALT, &back, &e), ST_CORRUPT);
    }
}

static void records(void **state)
{
    static const struct wrong w[] = {{8, 1, 0}, {8, 1, LOG_GONE + 1}, {9, 1, 0x80}, {10, 2, 48}};
    struct log_record r = {.type = LOG_DOC, .lsn = 1, .ver = 1}, back;
    unsigned char b[FRAME_REC_BYTES];
    struct slice s = slice_of((char *)b, sizeof b);
    size_t used;
    struct err e;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(w); i++) {
        (void)frame_rec_put(b, SALT, &r);
        assert_int_equal(frame_rec_get(s, SALT, &back, &used, &e), ST_OK);
        put(b, &w[i]);
        put_le32(b, crc32c(SALT, b + 4, FRAME_REC_BYTES - 4));
        assert_int_equal(frame_rec_get(s, SALT, &back, &used, &e), ST_CORRUPT);
    }
}

static void tables_of_lsns(void **state)
{
    static const uint64_t bad[][6] = {
        {1, 0, 3},                           /* LSN 0 */
        {1, 5, 4},                           /* backwards */
        {1, 5, UINT64_MAX}, {2, 5, 6, 7, 9}, /* they touch: one range */
        {2, 5, 6, 2, 3},                     /* not ascending */
        {1, 5, 6, 1},                        /* something after them */
        {40, 1, 2},                          /* fewer than it says */
    };
    static const size_t n[] = {3, 3, 3, 5, 5, 4, 3};
    struct slice table;
    struct gone g;
    struct buf b;
    struct err e;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        buf_init(&b, 100);
        for (size_t k = 0; k < n[i]; k++)
            buf_varint(&b, bad[i][k]);
        assert_int_equal(gone_decode(buf_slice(&b), &g, &e), ST_CORRUPT);
        buf_free(&b);
    }
    assert_int_equal(gone_table_of(SLICE_LIT("\2\1\1x"), &table, &e), ST_OK);
    assert_true(slice_eq(table, SLICE_LIT("x")));
    assert_int_equal(gone_table_of(SLICE_LIT("\5\1\1"), &table, &e), ST_CORRUPT);
    assert_int_equal(gone_table_of(SLICE_LIT(""), &table, &e), ST_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_of_blobs),
        cmocka_unit_test(feet_of_blobs),
        cmocka_unit_test(headers_of_segments),
        cmocka_unit_test(headers_of_groups),
        cmocka_unit_test(records),
        cmocka_unit_test(tables_of_lsns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
