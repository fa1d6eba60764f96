/* Unit tests of base's memory: arena, buf, rd and varints, map. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/map.h"
#include "base/status.h"

/* ---- arena ---- */

static void arena_keeps_bytes_apart(void **state)
{
    struct arena *a = arena_new();
    uint64_t seed = 3;
    unsigned char *got[800];
    size_t len[800];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(got); i++) {
        len[i] = (size_t)(unit_random(&seed) % (i % 50 == 0 ? 300000 : 700));
        got[i] = arena_alloc(a, len[i]);
        assert_int_equal((uintptr_t)got[i] % (len[i] >= 16 ? 16 : 8), 0);
        memset(got[i], (int)(i & 0xff), len[i]);
    }
    for (size_t i = 0; i < COUNT_OF(got); i++)
        for (size_t k = 0; k < len[i]; k++)
            assert_int_equal(got[i][k], i & 0xff);
    arena_free(a);
}

static void note(void *arg)
{
    char **at = arg;

    *(*at)++ = 'x';
}

struct order {
    char *out;
    size_t *n;
    char mark;
};

static void note_order(void *arg)
{
    struct order *o = arg;

    o->out[(*o->n)++] = o->mark;
}

static void arena_defers(void **state)
{
    struct arena *a = arena_new();
    char out[4] = "";
    size_t n = 0;
    char marks[4], *at = marks;

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct order *o = arena_alloc(a, sizeof *o);

        *o = (struct order){out, &n, "abc"[i]};
        arena_defer(a, note_order, o);
    }
    arena_reset(a);
    assert_string_equal(out, "cba");
    arena_defer(a, note, &at);
    arena_free(a);
    assert_int_equal(at - marks, 1);
    arena_free(NULL);
}

static void arena_reset_gives_back(void **state)
{
    struct arena *a = arena_new();
    size_t first = arena_bytes(a);

    (void)state;
    assert_true(first <= 8192);
    memset(arena_alloc(a, 1 << 20), 1, 1 << 20);
    assert_true(arena_bytes(a) > 1 << 20);
    arena_reset(a);
    assert_int_equal(arena_bytes(a), first);
    for (int i = 0; i < 7; i++)
        (void)arena_alloc(a, 1000);
    assert_int_equal(arena_bytes(a), first); /* a small request stays in the first chunk */
    arena_free(a);
}

static void arena_texts(void **state)
{
    struct arena *a = arena_new();
    struct slice s = arena_dup(a, SLICE_LIT("a\0b"));
    char *zero = arena_zalloc(a, 100);

    (void)state;
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    assert_string_equal(arena_cstr(a, SLICE_LIT("xyz")), "xyz");
    for (int i = 0; i < 100; i++)
        assert_int_equal(zero[i], 0);
    assert_true(slice_eq(arena_printf(a, "%d-%s", 7, "q"), SLICE_LIT("7-q")));
    s = arena_printf(a, "%0400d", 1);
    assert_int_equal(s.n, 400);
    assert_int_equal(s.p[399], '1');
    assert_int_equal(arena_dup(a, slice_of(NULL, 0)).n, 0);
    arena_free(a);
}

/* ---- buf ---- */

static void buf_respects_its_maximum(void **state)
{
    (void)state;
    for (size_t max = 0; max < 600; max += 7) {
        struct buf b;

        buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            buf_char(&b, (char)i);
        assert_true(buf_ok(&b));
        assert_int_equal(b.n, max);
        buf_str(&b, "");
        assert_true(buf_ok(&b));
        buf_str(&b, "xy");
        assert_false(buf_ok(&b));
        assert_int_equal(b.n, max);
        assert_null(buf_extend(&b, 1));
        for (size_t i = 0; i < max; i++)
            assert_int_equal(b.p[i], (char)i);
        buf_clear(&b);
        assert_true(buf_ok(&b));
        buf_reserve(&b, SIZE_MAX);
        assert_true(b.cap <= max);
        buf_free(&b);
    }
}

static void buf_full_sticks(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    buf_str(&b, "abc");
    buf_str(&b, "de");
    buf_char(&b, 'f'); /* would fit, but would leave a hole */
    assert_true(slice_eq(buf_slice(&b), SLICE_LIT("abc")));
    assert_false(buf_ok(&b));
    assert_null(buf_extend(&b, SIZE_MAX));
    buf_free(&b);
}

static void buf_writes(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10000);
    buf_u64(&b, 0);
    buf_char(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_printf(&b, " %s", "end");
    buf_printf(&b, "%0300d", 5);
    assert_int_equal(b.n, 2 + 20 + 4 + 300);
    assert_memory_equal(b.p, "0 18446744073709551615 end000", 29);
    buf_free(&b);
    assert_int_equal(b.n, 0);
    buf_str(&b, "again");
    assert_true(slice_eq(buf_slice(&b), SLICE_LIT("again")));
    buf_free(&b);
}

/* From some MB on it grows where it is. */
static void buf_large(void **state)
{
    enum { WORDS = 5 << 20 };
    struct buf b;
    const char *p = NULL;
    unsigned moved = 0;

    (void)state;
    for (int round = 0; round < 2; round++) {
        buf_init(&b, WORDS * sizeof(uint32_t) + 3);
        for (uint32_t i = 0; i < WORDS; i++)
            buf_append(&b, &i, sizeof i);
        buf_str(&b, "end");
        assert_true(buf_ok(&b) && b.n == b.max);
        buf_char(&b, '.');
        assert_false(buf_ok(&b));
        for (uint32_t i = 0; i < WORDS; i++)
            assert_memory_equal(b.p + (size_t)4 * i, &i, sizeof i);
        buf_clear(&b);
        buf_str(&b, "again");
        assert_memory_equal(b.p, "again\0\0\0", 8); /* the bytes of before, not new memory */
        buf_free(&b);
    }
    for (int expected = 0; expected < 2; expected++) {
        size_t stays = expected ? 1 : (size_t)4 << 20;

        if (expected)
            buf_expect(&b, (size_t)16 << 20);
        for (size_t n = 0; n < ((size_t)16 << 20); n += 1 << 16) {
            memset(buf_extend(&b, 1 << 16), (int)(n >> 16), 1 << 16);
            moved += n >= stays && b.p != p;
            p = b.p;
        }
        for (size_t n = 0; n < ((size_t)16 << 20); n += 1 << 16)
            assert_int_equal((unsigned char)b.p[n + 65535], n >> 16);
        buf_free(&b);
    }
    assert_int_equal(moved, 0);
    buf_ready(&b, 1 << 20); /* small, and mapped: what is there stays, and may be written */
    for (size_t n = 0; n < ((size_t)5 << 20); n += 1 << 20) {
        memset(buf_extend(&b, 1 << 20), (int)(n >> 20) + 1, 1 << 20);
        buf_ready(&b, 300000);
        assert_true(b.cap - b.n >= 300000);
    }
    for (size_t n = 0; n < ((size_t)5 << 20); n += 1 << 16)
        assert_int_equal(b.p[n], (n >> 20) + 1);
    buf_ready(&b, SIZE_MAX); /* as much as it may have */
    assert_true(b.n == (size_t)5 << 20 && b.cap == b.max);
    buf_free(&b);
    buf_init(&b, 100); /* less than is expected, and less than is large */
    buf_expect(&b, SIZE_MAX);
    assert_true(b.cap <= 100 && b.n == 0);
    buf_free(&b);
}

/* ---- bytes ---- */

static void integers_round_trip(void **state)
{
    unsigned char p[8];
    uint64_t seed = 9;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint64_t v = unit_random(&seed) >> (i % 64);

        put_le64(p, v);
        assert_true(get_le64(p) == v);
        assert_int_equal(p[0], v & 0xff);
        put_be64(p, v);
        assert_true(get_be64(p) == v);
        assert_int_equal(p[7], v & 0xff);
        put_le32(p, (uint32_t)v);
        assert_int_equal(get_le32(p), (uint32_t)v);
        put_be32(p, (uint32_t)v);
        assert_int_equal(get_be32(p), (uint32_t)v);
        put_le16(p, (uint16_t)v);
        assert_int_equal(get_le16(p), (uint16_t)v);
    }
}

static void varint_round_trip(void **state)
{
    uint64_t seed = 5;

    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t v = i < 70000 ? i : unit_random(&seed) >> (i % 64);
        struct buf b;
        struct rd r;

        if (i < 64)
            v = UINT64_MAX >> i;
        buf_init(&b, 10);
        buf_varint(&b, v);
        assert_true(buf_ok(&b));
        r = rd_of(buf_slice(&b));
        assert_true(rd_varint(&r) == v);
        assert_false(r.bad);
        assert_int_equal(rd_left(&r), 0);
        for (size_t cut = 0; cut < b.n && i % 97 == 0; cut++) {
            r = rd_of(slice_of(b.p, cut));
            assert_int_equal(rd_varint(&r), 0);
            assert_true(r.bad);
        }
        buf_free(&b);
    }
}

static void varint_is_canonical(void **state)
{
    const struct slice bad[] = {
        SLICE_LIT("\x80\x00"),
        SLICE_LIT("\xff\x80\x00"),
        SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00"),
        SLICE_LIT("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct rd r = rd_of(bad[i]);

        assert_int_equal(rd_varint(&r), 0);
        assert_true(r.bad);
    }
}

/* Each input lies in a block of just its size, so AddressSanitizer sees a read past the end. */
static void rd_stays_inside(void **state)
{
    uint64_t seed = 11;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)(unit_random(&seed) % 24);
        char *p = mem_alloc(n);
        struct rd r;
        bool was_bad = false;

        for (size_t k = 0; k < n; k++)
            p[k] = (char)(unit_random(&seed) >> 20);
        r = rd_of(slice_of(p, n));
        for (int step = 0; step < 8; step++) {
            uint64_t v = 0;
            struct slice s = {"", 0};

            switch (unit_random(&seed) % 5) {
            case 0:
                v = rd_u8(&r);
                break;
            case 1:
                v = rd_le32(&r);
                break;
            case 2:
                v = rd_le64(&r);
                break;
            case 3:
                v = rd_varint(&r);
                break;
            default:
                s = rd_bytes(&r, (size_t)(unit_random(&seed) % 30));
                assert_true(s.n == 0 || (s.p >= p && s.p + s.n <= p + n));
            }
            assert_true(r.p >= p && r.p <= r.end && r.end == p + n);
            assert_true(!was_bad || r.bad); /* it sticks */
            assert_true(!r.bad || (v == 0 && s.n == 0 && rd_left(&r) == 0));
            was_bad = r.bad;
        }
        mem_free(p);
    }
    {
        struct rd r = rd_of(slice_of(NULL, 0));

        assert_int_equal(rd_bytes(&r, 0).n, 0);
        assert_false(r.bad);
        assert_int_equal(rd_bytes(&r, SIZE_MAX).n, 0);
        assert_true(r.bad);
    }
}

/* ---- map ---- */

static bool count_values(void *arg, struct slice key, void *value)
{
    size_t *values = arg;

    (void)key;
    *values += value != NULL;
    return true;
}

static bool stop_at_once(void *arg, struct slice key, void *value)
{
    (void)key;
    (void)value;
    (*(size_t *)arg)++;
    return false;
}

/* Against an array indexed by the key. */
static void map_is_a_map(void **state)
{
    struct map *m = map_new();
    static char cells[1000];
    void *model[1000] = {NULL};
    size_t count = 0, calls = 0;
    uint64_t seed = 2;

    (void)state;
    for (int i = 0; i < 60000; i++) {
        unsigned k = (unsigned)(unit_random(&seed) >> 30) % COUNT_OF(model);
        void *value = &cells[unit_random(&seed) % sizeof cells];
        char name[16];
        struct slice key = {name, (size_t)snprintf(name, sizeof name, "key%u", k)};

        switch (unit_random(&seed) >> 40 & 3) {
        case 0:
            assert_ptr_equal(map_put(m, key, value), model[k]);
            count += model[k] == NULL;
            model[k] = value;
            break;
        case 1:
            assert_ptr_equal(map_remove(m, key), model[k]);
            count -= model[k] != NULL;
            model[k] = NULL;
            break;
        default:
            assert_ptr_equal(map_get(m, key), model[k]);
        }
        assert_int_equal(map_count(m), count);
    }
    assert_true(count > 10);
    map_each(m, stop_at_once, &calls);
    assert_int_equal(calls, 1);
    map_free(m);
    map_free(NULL);
}

static void map_odd_keys(void **state)
{
    struct map *m = map_new();
    static char one, two, three;
    size_t sum = 0;

    (void)state;
    assert_null(map_get(m, SLICE_LIT("")));
    assert_null(map_remove(m, SLICE_LIT("")));
    map_each(m, count_values, &sum);
    assert_int_equal(sum, 0);
    assert_null(map_put(m, slice_of(NULL, 0), &one));
    assert_null(map_put(m, SLICE_LIT("\0"), &two));
    assert_null(map_put(m, SLICE_LIT("\0\0"), &three));
    assert_ptr_equal(map_get(m, SLICE_LIT("")), &one);
    assert_ptr_equal(map_get(m, SLICE_LIT("\0")), &two);
    assert_ptr_equal(map_put(m, SLICE_LIT("\0"), &one), &two);
    assert_int_equal(map_count(m), 3);
    map_each(m, count_values, &sum);
    assert_int_equal(sum, 3);
    map_free(m);
}

static void err_texts(void **state)
{
    struct err e = {"old", ""};

    (void)state;
    assert_int_equal(err_set(&e, ST_CONFLICT, "%d apples", 3), ST_CONFLICT);
    assert_null(e.word);
    assert_string_equal(e.reason, "3 apples");
    assert_int_equal(err_word(&e, ST_BAD_REQUEST, "bad_arg", "%0500d", 1), ST_BAD_REQUEST);
    assert_string_equal(e.word, "bad_arg");
    assert_int_equal(strlen(e.reason), sizeof e.reason - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_keeps_bytes_apart),
        cmocka_unit_test(arena_defers),
        cmocka_unit_test(arena_reset_gives_back),
        cmocka_unit_test(arena_texts),
        cmocka_unit_test(buf_respects_its_maximum),
        cmocka_unit_test(buf_full_sticks),
        cmocka_unit_test(buf_writes),
        cmocka_unit_test(buf_large),
        cmocka_unit_test(integers_round_trip),
        cmocka_unit_test(varint_round_trip),
        cmocka_unit_test(varint_is_canonical),
        cmocka_unit_test(rd_stays_inside),
        cmocka_unit_test(map_is_a_map),
        cmocka_unit_test(map_odd_keys),
        cmocka_unit_test(err_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
