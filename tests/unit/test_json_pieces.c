/* Unit tests of json/parse.c: a long text is looked at in pieces before it is parsed. */
#include "unit.h"

#include <string.h>

#include "base/alloc.h"
#include "json/json.h"

static bool refused(const char *text, size_t n)
{
    struct arena *a = arena_new();
    const struct json *v;
    struct err e = {NULL, ""};
    enum status st = json_parse(a, slice_of(text, n), &v, &e);

    arena_free(a);
    return st == ST_BAD_REQUEST;
}

/* Characters of one to four bytes, cut at each place. */
static void characters_between_pieces(void **state)
{
    static const char *const chars[] = {"a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    enum { CHARS = 70000, PIECE = 65536 };
    char *text = mem_alloc((size_t)4 * CHARS + 16);

    (void)state;
    for (size_t k = 0; k < 16; k++) {
        size_t width = k / 4 + 1, n = k % 4;

        memset(text, ' ', n);
        text[n++] = '"';
        for (int i = 0; i < CHARS; i++, n += width)
            memcpy(text + n, chars[width - 1], width);
        text[n++] = '"';
        assert_false(refused(text, n));
        for (size_t at = PIECE - 5; at < PIECE + 5; at++) {
            char good = text[at];

            text[at] = '\xff';
            assert_true(refused(text, n));
            text[at] = '\xa0'; /* as good as any later byte of a character, never the first */
            assert_int_equal(refused(text, n), (good & 0xc0) != 0x80);
            text[at] = good;
        }
    }
    mem_free(text);
}

/* What yajl takes as a blank, although JSON does not. */
static void blanks_in_a_later_piece(void **state)
{
    enum { N = 200000 };
    char *text = mem_alloc(N);

    (void)state;
    memset(text, ' ', N);
    memcpy(text, "[1,", 3);
    text[N - 1] = ']';
    text[N - 2] = '2';
    assert_false(refused(text, N));
    for (size_t at = 3; at < N - 2; at += 9973) {
        text[at] = at % 2 != 0 ? '\v' : '\f';
        assert_true(refused(text, N));
        text[at] = ' ';
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_between_pieces),
        cmocka_unit_test(blanks_in_a_later_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
