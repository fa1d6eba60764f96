/* wal/gone: the table of LSNs that compaction took away: what touches is one range, every prefix of
 * its bytes is refused. */
#include "unit.h"

#include "wal/gone.h"

static void tables_of_gone_lsns(void **state)
{
    struct gone g = {0}, h;
    struct err e;
    struct buf b;

    (void)state;
    gone_add(&g, 10, 19);
    gone_add(&g, 30, 39);
    assert_int_equal(g.n, 2);
    gone_add(&g, 20, 29);
    assert_int_equal(g.n, 1);
    gone_add(&g, 1, 3);
    assert_true(gone_covers(&g, 10, 39) && gone_covers(&g, 2, 3));
    assert_false(gone_covers(&g, 3, 10) || gone_covers(&g, 39, 40));
    buf_init(&b, 1000);
    gone_encode(&g, &b);
    assert_int_equal(gone_decode(buf_slice(&b), &h, &e), ST_OK);
    assert_int_equal(h.n, 2);
    gone_free(&h);
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(gone_decode(slice_of(b.p, n), &h, &e), ST_CORRUPT);
    gone_free(&g);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_of_gone_lsns)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
