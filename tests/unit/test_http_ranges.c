/* tests/unit/test_http_ranges.c: the header Range, against lengths of 10 and of nothing; and random
 * ones against what a range means. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "http/ranges.h"

/* "from+n" of each range, with commas; or the outcome. */
static const char *parse(const char *value, uint64_t len, char *out, size_t size)
{
    struct range r[RANGES_MAX];
    uint32_t n = 0;
    size_t at = 0;

    switch (ranges_parse(slice_str(value), len, r, &n)) {
    case RANGES_NONE:
        return "whole";
    case RANGES_OUTSIDE:
        return "outside";
    case RANGES_SOME:
        break;
    }
    for (uint32_t i = 0; i < n; i++) {
        assert_true(r[i].n != 0 && r[i].from < len && r[i].n <= len - r[i].from);
        at += (size_t)snprintf(out + at, size - at, "%s%d+%d", i != 0 ? "," : "", (int)r[i].from,
                               (int)r[i].n);
    }
    return out;
}

static void cases(void **state)
{
    static const struct {
        const char *value, *ten, *none;
    } all[] = {
        {"bytes=0-", "whole", "whole"},
        {"bytes=0-9", "0+10", "outside"},
        {"bytes=0-10", "0+10", "outside"},
        {"BYTES= 1 - 2 ", "1+2", "outside"},
        {"bytes=9-", "9+1", "outside"},
        {"bytes=10-", "outside", "outside"},
        {"bytes=3-2", "outside", "outside"},
        {"bytes=12-11", "outside", "outside"},
        {"bytes=-1", "9+1", "outside"},
        {"bytes=-10", "0+10", "outside"},
        {"bytes=-11", "0+10", "outside"},
        {"bytes=-0", "outside", "outside"},
        {"bytes=0-0,2-3,-1", "0+1,2+2,9+1", "outside"},
        {"bytes=0-0,0-", "whole", "outside"},
        {"bytes=1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1", "1+1,1+1,1+1,1+1,1+1,1+1,1+1,1+1,1+1",
         "outside"},
        {"bytes=1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,1-1,99-", "whole", "whole"},
        {"bytes=0-18446744073709551615", "0+10", "outside"},
        {"bytes=18446744073709551615-18446744073709551615", "outside", "outside"},
        {"bytes=0-18446744073709551616", "whole", "whole"},
        {"bytes=", "whole", "whole"},
        {"bytes", "whole", "whole"},
        {"", "whole", "whole"},
        {"bytes=-", "whole", "whole"},
        {"bytes=1", "whole", "whole"},
        {"bytes=1-2-3", "whole", "whole"},
        {"bytes=1-2,", "whole", "whole"},
        {"bytes=,1-2", "whole", "whole"},
        {"bytes=+1-2", "whole", "whole"},
        {"lines=1-2", "whole", "whole"},
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_string_equal(parse(all[i].value, 10, text, sizeof(text)), all[i].ten);
        assert_string_equal(parse(all[i].value, 0, text, sizeof(text)), all[i].none);
    }
}

static void random_ones(void **state)
{
    (void)state;
    srandom(5);
    for (int i = 0; i < 20000; i++) {
        uint64_t len = 1 + (uint64_t)random() % 20, a = (uint64_t)random() % 25;
        uint64_t b = (uint64_t)random() % 25, end = b < len ? b + 1 : len;
        char value[64];
        struct range r[RANGES_MAX];
        uint32_t n;

        (void)snprintf(value, sizeof(value), "bytes=%u-%u", (unsigned)a, (unsigned)b);
        if (a > b || a >= len) {
            assert_int_equal(ranges_parse(slice_str(value), len, r, &n), RANGES_OUTSIDE);
            continue;
        }
        assert_int_equal(ranges_parse(slice_str(value), len, r, &n), RANGES_SOME);
        assert_int_equal(n, 1);
        assert_int_equal(r[0].from, a);
        assert_int_equal(r[0].from + r[0].n, end);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(random_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
