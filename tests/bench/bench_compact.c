/* tests/bench/bench_compact.c: steady updates of documents, with compaction and without.
 *
 *   bench_compact DIR DOCS SECONDS SEGMENT_MIB 0|1
 *
 * DIR is empty; the last argument says whether to compact. Prints commits a second, p50 and p99 of
 * a commit, and how many times the live data the log was long, at most and at the end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/time.h"
#include "couch/store_priv.h"

enum { BODY_BYTES = 1024, CLIENTS = 8, ID_BYTES = 12, SAMPLES_MAX = 4 << 20 };

struct client {
    struct thread t;
    struct store *s;
    struct db *db;
    unsigned first, docs; /* its own */
    uint64_t end_us;
    uint32_t *took_us, n;
};

static char body[BODY_BYTES];

static uint64_t update(struct client *c, unsigned doc, uint32_t gen)
{
    char id[ID_BYTES + 1], now[16] = {0}, before[16] = {0};
    struct rev path[2] = {{gen, true, slice_of(now, 16)}, {gen - 1, true, slice_of(before, 16)}};
    struct commit_op op = {.kind = COMMIT_DOC, .db = c->db, .new_edits = true, .path = path};
    uint64_t start = time_mono_us();
    struct err e = {0};

    snprintf(id, sizeof(id), "%012u", doc);
    put_be64(now, gen);
    put_be64(before, gen - 1);
    op.docid = slice_of(id, ID_BYTES);
    op.npath = gen > 1 ? 2 : 1;
    op.body.json = slice_of(body, sizeof(body));
    if (commit_wait(c->s, &op, 1, &e) != ST_OK || op.st != ST_OK) {
        fprintf(stderr, "commit: %s %s\n", e.reason, op.err.reason);
        _Exit(1); /* the other clients still run */
    }
    return time_mono_us() - start;
}

static void client_main(void *arg)
{
    struct client *c = arg;
    uint32_t *gen = mem_zalloc(c->docs * sizeof(*gen));
    uint64_t took, r;

    ASSERT(c->docs != 0);
    for (unsigned i = 0; i < c->docs; i++)
        update(c, c->first + i, gen[i] = 1);
    while (time_mono_us() < c->end_us) {
        random_bytes(&r, sizeof(r));
        r %= c->docs;
        took = update(c, c->first + (unsigned)r, ++gen[r]);
        if (c->n < SAMPLES_MAX)
            c->took_us[c->n++] = (uint32_t)took;
    }
    mem_free(gen);
}

static int by_value(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return a < b ? -1 : a > b;
}

static double times_live(struct store *s)
{
    return (double)log_bytes(s->log) / (double)(accounts_all(s->accounts) + 1);
}

static void report(struct client *c, unsigned seconds, double most, double last)
{
    uint32_t *all = mem_array((size_t)CLIENTS * SAMPLES_MAX, sizeof(*all));
    size_t n = 0;

    for (int i = 0; i < CLIENTS; i++)
        for (uint32_t k = 0; k < c[i].n; k++)
            all[n++] = c[i].took_us[k];
    qsort(all, n, sizeof(*all), by_value);
    printf("%zu updates in %u s, p50 %u us, p99 %u us, p99.9 %u us; log %.2f x live at most, %.2f "
           "at the end\n",
           n, seconds, all[n / 2], all[n * 99 / 100], all[n * 999 / 1000], most, last);
    mem_free(all);
}

int main(int argc, char **argv)
{
    struct store_options o = {0};
    struct client c[CLIENTS] = {0};
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("b")};
    struct store *s = NULL;
    double most = 0, now = 0;
    struct err e = {0};
    unsigned docs, seconds;
    uint64_t end;

    if (argc != 6)
        return 2;
    memset(body, 'x', sizeof(body));
    docs = (unsigned)strtoul(argv[2], NULL, 10) / CLIENTS;
    if (docs == 0)
        return 2;
    seconds = (unsigned)strtoul(argv[3], NULL, 10);
    o.dir = argv[1];
    o.segment_bytes = (uint32_t)strtoul(argv[4], NULL, 10) << 20;
    o.no_compaction = argv[5][0] == '0';
    if (store_open(&o, &s, &e) != ST_OK || commit_wait(s, &op, 1, &e) != ST_OK)
        return 1;
    end = time_mono_us() + (uint64_t)seconds * 1000000;
    for (unsigned i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.s = s, .db = op.created, .first = i * docs, .docs = docs};
        c[i].end_us = end;
        c[i].took_us = mem_array(SAMPLES_MAX, sizeof(uint32_t));
        thread_start(&c[i].t, "client", client_main, &c[i]);
    }
    while (time_mono_us() < end) {
        time_sleep_us(50000);
        now = times_live(s);
        if (accounts_all(s->accounts) > (uint64_t)docs * CLIENTS * BODY_BYTES && now > most)
            most = now;
    }
    for (int i = 0; i < CLIENTS; i++)
        thread_join(&c[i].t);
    report(c, seconds, most, now);
    for (int i = 0; i < CLIENTS; i++)
        mem_free(c[i].took_us);
    db_release(op.created);
    store_close(s);
    return 0;
}
