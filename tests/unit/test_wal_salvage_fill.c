/* wal/salvage_fill.c: a group of which records are destroyed. What is whole stays where it is with
 * the LSN that it has; between stand as many PAD records as LSNs are missing. */
#include "unit.h"

#include "wal/frame.h"
#include "wal/salvage.h"

enum { SALT = 9, NREC = 6, BODY = 24, REC = FRAME_REC_BYTES + BODY, FIRST = 41 };

static void make_group(unsigned char *out)
{
    struct frame_group g = {.nrec = NREC, .first_lsn = FIRST, .durable_lsn = FIRST - 1};
    unsigned char *p = out + FRAME_GROUP_BYTES;

    g.payload = NREC * REC;
    for (unsigned i = 0; i < NREC; i++, p += REC) {
        struct log_record r = {.type = LOG_DOC, .dbnum = 1, .lsn = FIRST + i, .ver = FIRST + i};

        memset(p + FRAME_REC_BYTES, 'a' + (int)i, BODY);
        r.body = slice_of((char *)p + FRAME_REC_BYTES, BODY);
        g.crcs ^= frame_rec_put(p, SALT, &r);
    }
    frame_group_put(out, SALT, &g);
}

static void no_hint(void *arg, const struct log_salvage_hint *h)
{
    (void)arg;
    (void)h;
}

/* Records from..to (counted from 0) are destroyed, headers and all. */
static void destroyed(unsigned from, unsigned to)
{
    unsigned char b[FRAME_GROUP_BYTES + NREC * REC];
    struct log_salvage out = {.hint = no_hint};
    struct salvage_stretch s = {.p = b, .end = sizeof b, .salt = SALT, .seg = 1, .first = FIRST};
    uint64_t upto, lsn = FIRST;
    uint32_t stop, off = 0;
    struct err e;

    s.next = FIRST + NREC;
    make_group(b);
    memset(b + FRAME_GROUP_BYTES + from * REC, 0xff, (to - from + 1) * REC);
    assert_true(salvage_fill(&s, &out, &stop, &upto));
    assert_int_equal(stop, sizeof b);
    assert_int_equal(upto, FIRST + NREC);
    assert_int_equal(out.lost.n, 1);
    assert_int_equal(out.lost.v[0].first, FIRST + from);
    assert_int_equal(out.lost.v[0].last, FIRST + to);
    while (off < sizeof b) {
        struct frame_group g;
        struct slice in = slice_of((char *)b + off, sizeof b - off), recs;

        assert_int_equal(frame_group_get(in, SALT, &g, &e), ST_OK);
        recs = slice_of(in.p + FRAME_GROUP_BYTES, g.payload);
        assert_int_equal(g.first_lsn, lsn);
        assert_int_equal(frame_group_check(&g, recs, SALT, &e), ST_OK);
        while (recs.n != 0) {
            struct log_record r = {0};
            size_t used, i = (size_t)(lsn - FIRST);

            assert_int_equal(frame_rec_get(recs, SALT, &r, &used, &e), ST_OK);
            assert_int_equal(r.lsn, lsn);
            assert_int_equal(r.type, i >= from && i <= to ? LOG_PAD : LOG_DOC);
            if (r.type == LOG_DOC) /* where it was */
                assert_ptr_equal(r.body.p, b + FRAME_GROUP_BYTES + i * REC + FRAME_REC_BYTES);
            recs = slice_of(recs.p + used, recs.n - used);
            lsn++;
        }
        off += FRAME_GROUP_BYTES + g.payload;
    }
    assert_int_equal(lsn, FIRST + NREC);
    log_salvage_free(&out);
}

static void every_run_of_records(void **state)
{
    (void)state;
    for (unsigned from = 0; from < NREC; from++)
        for (unsigned to = from; to < NREC; to++)
            destroyed(from, to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_run_of_records)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
