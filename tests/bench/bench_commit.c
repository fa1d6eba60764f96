/* tests/bench/bench_commit.c: how fast documents of 1 KB are committed.
 *
 *   bench_commit DIR CLIENTS DOCS PER_BATCH     DIR is empty; prints documents a second and the
 *                                               committer's CPU time for each
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/time.h"
#include "couch/store_priv.h"

enum { BODY_BYTES = 1024, CLIENTS_MAX = 256, ID_BYTES = 32 };

struct client {
    struct thread t;
    struct store *s;
    struct db *db;
    unsigned docs, per_batch;
};

static char body[BODY_BYTES];

static void write_batch(struct client *c, struct commit_op *ops, struct rev *revs, char *ids)
{
    struct err e = {0};

    random_bytes(ids, (size_t)c->per_batch * ID_BYTES);
    for (unsigned i = 0; i < c->per_batch; i++) {
        char *id = ids + (size_t)i * ID_BYTES;

        revs[i] = (struct rev){1, true, slice_of(id, 16)};
        ops[i] = (struct commit_op){.kind = COMMIT_DOC,
                                    .db = c->db,
                                    .docid = slice_of(id, ID_BYTES),
                                    .new_edits = true,
                                    .path = &revs[i],
                                    .npath = 1,
                                    .body = {.json = slice_of(body, sizeof(body))}};
    }
    if (commit_wait(c->s, ops, c->per_batch, &e) == ST_OK && ops[0].st == ST_OK)
        return;
    fprintf(stderr, "%s%s\n", e.reason, ops[0].err.reason);
    exit(EXIT_FAILURE);
}

static void client_main(void *arg)
{
    struct client *c = arg;
    struct commit_op *ops = mem_array(c->per_batch, sizeof(*ops));
    struct rev *revs = mem_array(c->per_batch, sizeof(*revs));
    char *ids = mem_array(c->per_batch, ID_BYTES);

    for (unsigned n = 0; n < c->docs; n += c->per_batch)
        write_batch(c, ops, revs, ids);
    mem_free(ops);
    mem_free(revs);
    mem_free(ids);
}

static double thread_us(pthread_t t)
{
    struct timespec ts = {0};
    clockid_t clock;

    if (pthread_getcpuclockid(t, &clock) == 0)
        clock_gettime(clock, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void run(struct store *s, struct db *db, unsigned clients, unsigned docs, unsigned per_batch)
{
    struct client *c = mem_zalloc(clients * sizeof(*c));
    uint64_t start = time_mono_us(), seq;
    double cpu = thread_us(s->committer.id), seconds;

    for (unsigned i = 0; i < clients; i++) {
        c[i] = (struct client){.s = s, .db = db, .docs = docs / clients, .per_batch = per_batch};
        thread_start(&c[i].t, "client", client_main, &c[i]);
    }
    for (unsigned i = 0; i < clients; i++)
        thread_join(&c[i].t);
    seconds = (double)(time_mono_us() - start) / 1e6;
    cpu = thread_us(s->committer.id) - cpu;
    seq = db_update_seq(db);
    printf("%u clients x %u: %.0f documents/s, committer %.2f us each\n", clients, per_batch,
           (double)seq / seconds, cpu / (double)seq);
    mem_free(c);
}

int main(int argc, char **argv)
{
    struct store_options o = {.dir = argc == 5 ? argv[1] : NULL};
    struct commit_op create = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("bench")};
    unsigned clients = argc == 5 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    unsigned per_batch = argc == 5 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    struct store *s = NULL;
    struct err e = {0};
    int rc = EXIT_FAILURE;

    if (clients == 0 || clients > CLIENTS_MAX || per_batch == 0) {
        fprintf(stderr, "usage: bench_commit DIR CLIENTS DOCS PER_BATCH\n");
        return EXIT_FAILURE;
    }
    memset(body, 'x', sizeof(body));
    if (store_open(&o, &s, &e) != ST_OK || commit_wait(s, &create, 1, &e) != ST_OK)
        goto out;
    e = create.err;
    if (create.st != ST_OK)
        goto out;
    run(s, create.created, clients, (unsigned)strtoul(argv[3], NULL, 10), per_batch);
    db_release(create.created);
    rc = EXIT_SUCCESS;
out:
    if (rc != EXIT_SUCCESS)
        fprintf(stderr, "%s\n", e.reason);
    store_close(s);
    return rc;
}
