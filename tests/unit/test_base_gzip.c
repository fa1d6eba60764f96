/* tests/unit/test_base_gzip.c: inflating piece by piece is inflating at once, whatever the pieces
 * on both sides; output never passes what there is room for. */
#include "unit.h"

#include "base/gzip.h"
#include "base/text.h"

/* gzip of "hello hello hello hello hello", and of 50,000 zeros */
#define ZIPPED "H4sIAAAAAAACA8tIzcnJV8jATgIA9tJTOB0AAAA="
#define ZEROS                                                                                      \
    "H4sIAAAAAAACA+3BAQ0AAADCoPdPbQ8HFAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"             \
    "AAAAAAAAAAAAAAAAAE8GJbO3FlDDAAA="

enum { HELLO = 29, HELLOS = 1000, ZERO_BYTES = 50000, PLAIN = HELLO * HELLOS + ZERO_BYTES };
static char plain[PLAIN], packed[HELLOS * 40 + 1000];

/* Many streams, one after the other; the last inflates far. */
static struct slice make_input(void)
{
    size_t n = 0, got;

    memset(plain, 0, sizeof(plain));
    for (size_t i = 0; i < HELLOS; i++) {
        memcpy(plain + i * HELLO, "hello hello hello hello hello", HELLO);
        assert_true(base64_decode(SLICE_LIT(ZIPPED), packed + n, &got));
        n += got;
    }
    assert_true(base64_decode(SLICE_LIT(ZEROS), packed + n, &got));
    return slice_of(packed, n + got);
}

static void pieces(void **state)
{
    struct slice all = make_input();

    (void)state;
    for (size_t in_step = 1; in_step < 60000; in_step = in_step * 7 + 1)
        for (size_t room = 1; room < 200000; room = room * 9 + 5) {
            struct gunzip *g = gunzip_new();
            struct slice rest = all, in = slice_of(all.p, 0);
            struct buf out;
            size_t before;

            buf_init(&out, 1u << 20);
            do {
                if (in.n == 0 && rest.n != 0) {
                    in = slice_of(rest.p, in_step < rest.n ? in_step : rest.n);
                    rest = slice_of(rest.p + in.n, rest.n - in.n);
                }
                before = out.n;
                assert_true(gunzip_run(g, &in, room, &out));
                assert_true(out.n - before <= room);
                assert_true(out.n - before == room || in.n == 0);
            } while (out.n != before || in.n != 0 || rest.n != 0);
            assert_true(gunzip_ended(g));
            assert_int_equal(gunzip_len(g), PLAIN);
            assert_int_equal(out.n, PLAIN);
            assert_memory_equal(out.p, plain, PLAIN);
            buf_free(&out);
            gunzip_free(g);
        }
}

static void what_is_cut_or_damaged(void **state)
{
    struct slice all = make_input(), in;
    struct gunzip *g = gunzip_new();
    uint64_t len;

    (void)state;
    assert_true(gzip_length(all, PLAIN, &len));
    assert_int_equal(len, PLAIN);
    assert_false(gzip_length(all, PLAIN - 1, &len));
    assert_false(gzip_length(slice_of(all.p, all.n - 1), PLAIN, &len));
    assert_false(gzip_length(slice_of(all.p, 0), PLAIN, &len));
    in = slice_of(all.p, all.n - 1);
    assert_true(gunzip_run(g, &in, SIZE_MAX, NULL));
    assert_false(gunzip_ended(g));
    in = SLICE_LIT("rubbish after it, long enough to be seen");
    assert_false(gunzip_run(g, &in, SIZE_MAX, NULL));
    gunzip_free(g);
    g = gunzip_new();
    assert_false(gunzip_ended(g));
    in = SLICE_LIT("no gzip");
    assert_false(gunzip_run(g, &in, SIZE_MAX, NULL));
    gunzip_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces),
        cmocka_unit_test(what_is_cut_or_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
