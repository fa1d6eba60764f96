/* tests/unit/test_wal_blob.c: header and footer of a blob, to the byte (docs/format.md "Blob"). */
#include "unit.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "wal/blob.h"

static const struct blob_head HEAD = {
    .id = SEG_BLOB | 5ull << 32 | 9, .epoch = 5, .uuid = "0123456789abcde", .salt = 0x01020304};

static void head_bytes(void **state)
{
    unsigned char b[BLOB_HEADER_BYTES];
    struct blob_head h;

    (void)state;
    blob_head_put(b, &HEAD);
    assert_memory_equal(b, "DVBLOB\0\1", 8);
    assert_int_equal(get_le16(b + 8), 1);
    assert_int_equal(get_le16(b + 10), 64);
    assert_int_equal(get_le32(b + 12), 262144);
    assert_true(get_le64(b + 16) == 0x8000000500000009u);
    assert_memory_equal(b + 24, "0123456789abcde", 16);
    assert_int_equal(get_le64(b + 40), 5);
    assert_int_equal(get_le32(b + 56), 0x01020304);
    assert_int_equal(get_le32(b + 60), crc32c(0, b, 60));
    assert_true(blob_head_get(b, &h));
    assert_true(h.id == HEAD.id && h.epoch == 5 && h.salt == HEAD.salt);
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] ^= 0x10;
        assert_false(blob_head_get(b, &h));
        b[i] ^= 0x10;
    }
    h = HEAD;
    h.id = 7; /* no blob's */
    blob_head_put(b, &h);
    assert_false(blob_head_get(b, &h));
}

static void foot_bytes(void **state)
{
    struct blob_foot f = {.len = 262145, .chunks = 2, .md5 = "fedcba987654321"}, g;
    unsigned char b[BLOB_FOOTER_BYTES];

    (void)state;
    blob_foot_put(b, &f, 77);
    assert_memory_equal(b, "DVBLEND\1", 8);
    assert_int_equal(get_le64(b + 8), 262145);
    assert_memory_equal(b + 16, "fedcba987654321", 16);
    assert_int_equal(get_le64(b + 32), 2);
    assert_int_equal(get_le32(b + 44), crc32c(77, b, 44));
    assert_int_equal(get_le32(b + 44), f.crc);
    assert_true(blob_foot_get(b, 77, &g));
    assert_true(g.len == f.len && g.chunks == 2 && g.crc == f.crc);
    assert_false(blob_foot_get(b, 78, &g)); /* of another blob */
    for (size_t i = 0; i < sizeof(b); i++) {
        b[i] ^= 0x10;
        assert_false(blob_foot_get(b, 77, &g));
        b[i] ^= 0x10;
    }
    f.chunks = 3;
    blob_foot_put(b, &f, 77);
    assert_false(blob_foot_get(b, 77, &g));
}

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(blob_chunks(0), 0);
    assert_int_equal(blob_chunks(1), 1);
    assert_int_equal(blob_chunks(262144), 1);
    assert_int_equal(blob_chunks(262145), 2);
    assert_int_equal(blob_file_bytes(262145), 64 + 262145 + 8 + 48);
    assert_true(blob_file_bytes(5ull << 30) == (5ull << 30) + 64 + 48 + 4 * 20480);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_bytes),
        cmocka_unit_test(foot_bytes),
        cmocka_unit_test(sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
