/* wal_fix.h: a log under test and what it must hold: the acknowledged records, in order. Used by
 * the test_wal_log_* files. */
#ifndef WAL_FIX_H
#define WAL_FIX_H
#include <stdlib.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "wal/log.h"
#include "wal/seg_mem.h"

enum { FIX_RECORDS = 4096, FIX_BODY_MAX = 9000 };

/* Body i of a run: its length and bytes follow from (seed, i). */
struct fix {
    struct seg_store *ss;
    struct ss_super super;
    struct log *log;
    uint32_t segment_bytes;
    uint64_t seed;
    uint64_t next;               /* number of the next record to write */
    uint64_t acked[FIX_RECORDS]; /* numbers of acknowledged records, in order */
    size_t nacked;
    struct seg_ptr ptr[FIX_RECORDS];
    struct err e;
};

static inline uint64_t fix_mix(uint64_t x)
{
    return hash64(&x, sizeof x);
}

static inline size_t fix_body(const struct fix *f, uint64_t i, char *out)
{
    uint64_t x = fix_mix(f->seed * 1000003 + i);
    size_t n = x % 10 == 0 ? x / 16 % FIX_BODY_MAX : x / 16 % 200;

    for (size_t k = 0; k < n; k++)
        out[k] = (char)(x >> (k % 8 * 8)) + (char)k;
    if (n >= 8)
        memcpy(out, &i, 8);
    return n;
}

static inline enum status fix_open_from(struct fix *f, uint64_t from)
{
    struct log_options opt = {.segment_bytes = f->segment_bytes};

    f->log = NULL;
    if (f->ss->ops->acquire(f->ss, 0, &f->super, &f->e) != SS_OK)
        return ST_UNAVAILABLE;
    return log_open(f->ss, &opt, &f->super, from, &f->log, &f->e);
}

static inline enum status fix_open(struct fix *f)
{
    enum status st = fix_open_from(f, 1);

    return st == ST_OK ? log_start(f->log, &f->e) : st;
}

/* Appends a group of n records; acknowledged ones are noted. */
static inline enum status fix_append(struct fix *f, size_t n)
{
    struct log_record *recs = mem_zalloc(n * sizeof *recs);
    char *bodies = mem_alloc(n * FIX_BODY_MAX);
    enum status st;

    for (size_t i = 0; i < n; i++) {
        char *b = bodies + i * FIX_BODY_MAX;

        recs[i].type = LOG_DOC;
        recs[i].dbnum = 1;
        recs[i].keyhash = f->next + i;
        recs[i].body = slice_of(b, fix_body(f, f->next + i, b));
    }
    st = log_append(f->log, recs, n, &f->e);
    for (size_t i = 0; i < n && st == ST_OK; i++) {
        struct slice b = recs[i].body;

        assert_true(f->nacked < FIX_RECORDS);
        f->ptr[f->nacked] =
            (struct seg_ptr){recs[i].seg, recs[i].body_off, (uint32_t)b.n, crc32c(0, b.p, b.n)};
        f->acked[f->nacked++] = f->next + i;
    }
    if (st == ST_OK)
        assert_int_equal(recs[n - 1].lsn, log_last_lsn(f->log));
    else
        assert_int_equal(recs[0].ver, 0);
    f->next += n;
    mem_free(recs);
    mem_free(bodies);
    return st;
}

struct fix_seen {
    const struct fix *f;
    uint64_t lsn; /* last */
    size_t n;     /* records of ours */
    uint64_t extra;
};

static inline enum status fix_visit(void *arg, const struct log_record *r, struct err *e)
{
    struct fix_seen *s = arg;
    static char want[FIX_BODY_MAX];
    uint64_t number;

    (void)e;
    if (s->lsn != 0)
        assert_int_equal(r->lsn, s->lsn + 1);
    s->lsn = r->lsn;
    assert_int_equal(r->ver, r->lsn);
    if (r->type == LOG_EPOCH)
        return ST_OK;
    assert_int_equal(r->type, LOG_DOC);
    number = s->n < s->f->nacked ? s->f->acked[s->n] : r->keyhash;
    assert_int_equal(r->keyhash, number);
    assert_true(slice_eq(r->body, slice_of(want, fix_body(s->f, number, want))));
    if (s->n >= s->f->nacked)
        s->extra++;
    else
        assert_true(s->f->ptr[s->n].seg == r->seg && s->f->ptr[s->n].off == r->body_off);
    s->n++;
    return ST_OK;
}

/* Scans: exactly the acknowledged records, and `extra` ones after them (of a group whose answer
 * the crash swallowed). */
static inline void fix_verify(struct fix *f, uint64_t extra)
{
    struct fix_seen s = {.f = f};

    assert_int_equal(log_scan(f->log, 1, fix_visit, &s, &f->e), ST_OK);
    assert_int_equal(s.n, f->nacked + extra);
    assert_int_equal(s.lsn, log_last_lsn(f->log));
}

static inline void fix_report(void *arg, const char *text)
{
    (void)arg;
    (void)text;
}

static inline uint64_t fix_check(struct seg_store *ss)
{
    uint64_t bad = 0;
    struct err e;

    assert_int_equal(log_check(ss, 0, fix_report, NULL, &bad, &e), ST_OK);
    return bad;
}

static inline void fix_close(struct fix *f)
{
    log_close(f->log);
    f->log = NULL;
}
#endif
