/* tests/unit/test_couch_keys.c: the bytes of every LevelDB key, and that they sort and nest as
 * ranges need. */
#include "unit.h"

#include "couch/keys.h"

static void assert_bytes(struct slice key, const char *want, size_t n)
{
    assert_int_equal(key.n, n);
    assert_memory_equal(key.p, want, n);
}

static void test_layout(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    assert_bytes(key_store(a, 'A'), "\0A", 2);
    assert_bytes(key_catalog(a, SLICE_LIT("db/x")), "\1db/x", 5);
    assert_bytes(key_segment(a, 0x0102030405060708), "\2\1\2\3\4\5\6\7\10", 9);
    assert_bytes(key_dropping(a, 0x01020304), "\3\1\2\3\4", 5);
    assert_bytes(key_db(a, 258, KEY_META, slice_of(NULL, 0)), "\x10\0\0\1\2m", 6);
    assert_bytes(key_db(a, 1, KEY_INFO, SLICE_LIT("doc")), "\x10\0\0\0\1idoc", 9);
    assert_bytes(key_db(a, 1, KEY_LOCAL, SLICE_LIT("x")), "\x10\0\0\0\1lx", 7);
    assert_bytes(key_seq(a, 1, 259), "\x10\0\0\0\1s\0\0\0\0\0\0\1\3", 14);
    assert_bytes(key_db_end(a, 1, KEY_INFO), "\x10\0\0\0\1j", 6);
    arena_free(a);
}

static void test_order(void **state)
{
    struct arena *a = arena_new();
    struct slice keys[] = {
        key_store(a, 'A'),
        key_store(a, 'V'),
        key_catalog(a, SLICE_LIT("a")),
        key_catalog(a, SLICE_LIT("b")),
        key_segment(a, 255),
        key_segment(a, 256),
        key_dropping(a, UINT32_MAX),
        key_db(a, 1, KEY_INFO, SLICE_LIT("\xff\xff\xff")),
        key_db_end(a, 1, KEY_INFO),
        key_db(a, 1, KEY_LOCAL, SLICE_LIT("")),
        key_db(a, 1, KEY_META, SLICE_LIT("")),
        key_seq(a, 1, 0),
        key_seq(a, 1, 255),
        key_seq(a, 1, 256),
        key_seq(a, 1, UINT64_MAX),
        key_db_end(a, 1, KEY_SEQ),
        key_db(a, 2, KEY_INFO, SLICE_LIT("")),
        key_db(a, 256, KEY_INFO, SLICE_LIT("")),
        key_db(a, UINT32_MAX, KEY_INFO, SLICE_LIT("")),
    };

    (void)state;
    for (size_t i = 1; i < sizeof keys / sizeof keys[0]; i++)
        assert_true(slice_cmp(keys[i - 1], keys[i]) < 0);
    arena_free(a);
}

static void test_decode(void **state)
{
    struct arena *a = arena_new();
    struct slice key = key_db(a, 7, KEY_INFO, SLICE_LIT("doc")), rest = {0};

    (void)state;
    assert_true(key_db_rest(key, 7, KEY_INFO, &rest));
    assert_true(slice_eq(rest, SLICE_LIT("doc")));
    assert_false(key_db_rest(key, 8, KEY_INFO, &rest));
    assert_false(key_db_rest(key, 7, KEY_SEQ, &rest));
    for (size_t n = 0; n < 6; n++)
        assert_false(key_db_rest(slice_of(key.p, n), 7, KEY_INFO, &rest));
    assert_true(key_db_rest(slice_of(key.p, 6), 7, KEY_INFO, &rest));
    assert_int_equal(rest.n, 0);
    assert_false(key_db_rest(key_db_end(a, 7, KEY_INFO), 7, KEY_INFO, &rest));
    assert_true(key_catalog_name(key_catalog(a, SLICE_LIT("db")), &rest));
    assert_true(slice_eq(rest, SLICE_LIT("db")));
    assert_false(key_catalog_name(key, &rest));
    assert_false(key_catalog_name(SLICE_LIT("\1"), &rest));
    assert_false(key_catalog_name(SLICE_LIT(""), &rest));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
