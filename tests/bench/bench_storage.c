/* tests/bench/bench_storage.c: one measurement of the storage engine a call; tests/bench/storage
 * calls it and makes tables. Real files, real fdatasync, no HTTP.
 *
 *   bench_storage MODE DIR [KEY=NUMBER...]
 *
 *   write   writes new documents for `seconds` or up to `docs`, `clients` at once, `batch` a time
 *   steady  writes `docs`, then updates them at random for `seconds` while `readers` read at random
 *   open    opens the store, as it was left
 *
 * Keys: clients, readers, docs, seconds, batch, body (bytes of a document), segment (MiB; 0: as a
 * server has it), compact (0 or 1), rate (updates a second by all clients; 0: as fast as they can),
 * kill (1: ends as SIGKILL would). Prints one object of JSON.
 *
 * Threads: one a client and a reader, and the one that looks on.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/fs.h"
#include "base/time.h"
#include "couch/doc_read.h"
#include "couch/store_priv.h"

enum {
    ID_BYTES = 16,
    REV_BYTES = 16,
    SAMPLES_MAX = 2 << 20,
    LOOK_US = 20000,
    PATH_BYTES = 4096,
    BATCH_MAX = 1000
};

struct options {
    unsigned clients, readers, docs, seconds, batch, body, segment, compact, rate, kill;
};

struct bench;
/* One client or reader. */
struct client {
    struct thread t;
    struct bench *b;
    unsigned first, docs; /* its own documents */
    uint32_t *gen;        /* of each */
    uint64_t random;
    uint32_t *took_us;
    size_t n;
};

/* What the process has used so far. */
struct usage {
    double at, committer, process; /* seconds */
    uint64_t device, log, docs;    /* bytes written; documents written */
};

struct bench {
    struct options o;
    const char *dir;
    struct store *s;
    struct db *db;
    char *body;
    uint64_t end_us;
    bool updating;
    struct client *clients, *readers;
    _Atomic uint64_t written;
    atomic_bool stop;
    double log_most, disk_most; /* times what is live */
};

_Noreturn static void die(const char *what, const struct err *e)
{
    (void)fprintf(stderr, "%s: %s\n", what, e != NULL ? e->reason : "");
    _Exit(EXIT_FAILURE); /* other threads run */
}

/* ---- what was used ---- */

static double thread_seconds(pthread_t t)
{
    struct timespec ts = {0};
    clockid_t clock;

    if (pthread_getcpuclockid(t, &clock) == 0)
        (void)clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double process_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What the kernel wrote, or will write, for this process; 0 where it does not say. */
static uint64_t device_bytes(void)
{
    FILE *f = fopen("/proc/self/io", "re");
    char line[80], *end;
    uint64_t written = 0, cancelled = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "write_bytes: ", 13) == 0)
            written = strtoull(line + 13, &end, 10);
        else if (strncmp(line, "cancelled_write_bytes: ", 23) == 0)
            cancelled = strtoull(line + 23, &end, 10);
    }
    if (f != NULL)
        (void)fclose(f);
    return written > cancelled ? written - cancelled : 0;
}

static void usage_now(struct bench *b, struct usage *u)
{
    *u = (struct usage){.at = (double)time_mono_us() / 1e6,
                        .committer = thread_seconds(b->s->committer.id),
                        .process = process_seconds(),
                        .device = device_bytes(),
                        .log = log_appended(b->s->log),
                        .docs = atomic_load(&b->written)};
}

struct disk {
    const char *dir;
    uint64_t bytes;
};

static enum status add_file(void *arg, const char *name)
{
    struct disk *d = arg;
    char path[PATH_BYTES];
    struct stat st;

    (void)snprintf(path, sizeof(path), "%s/%s", d->dir, name);
    if (stat(path, &st) == 0) /* else it went meanwhile */
        d->bytes += (uint64_t)st.st_blocks * 512;
    return ST_OK;
}

/* What the folder's files take on the disk, reserved space included. */
static uint64_t disk_bytes(const struct bench *b, const char *folder)
{
    char path[PATH_BYTES];
    struct disk d = {.dir = path};
    struct err e;

    (void)snprintf(path, sizeof(path), "%s/0/%s", b->dir, folder);
    return fs_list(path, add_file, &d, &e) == ST_OK ? d.bytes : 0;
}

static void look(struct bench *b)
{
    double live = (double)accounts_all(b->s->accounts) + 1;
    double log = (double)log_bytes(b->s->log) / live;
    double disk = (double)(disk_bytes(b, "log") + disk_bytes(b, "idx")) / live;

    if (log > b->log_most)
        b->log_most = log;
    if (disk > b->disk_most)
        b->disk_most = disk;
}

/* ---- documents ---- */

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static uint64_t next_random(struct client *c)
{
    c->random += 0x9e3779b97f4a7c15;
    return mix(c->random);
}

/* Ids come in no order, as most applications' do. */
static void make_id(char out[ID_BYTES + 1], uint64_t doc)
{
    (void)snprintf(out, ID_BYTES + 1, "%016llx", (unsigned long long)mix(doc + 1));
}

static void make_rev(struct rev *out, char hash[REV_BYTES], uint64_t doc, uint32_t gen)
{
    put_be64(hash, mix(doc));
    put_be64(hash + 8, mix(doc + gen));
    *out = (struct rev){gen, true, slice_of(hash, REV_BYTES)};
}

struct write {
    struct commit_op op;
    struct rev path[2];
    char id[ID_BYTES + 1], now[REV_BYTES], before[REV_BYTES];
};

/* The next revision of the client's document i. */
static void prepare(const struct client *c, unsigned i, struct write *w)
{
    uint64_t doc = (uint64_t)c->first + i;
    uint32_t gen = ++c->gen[i];

    make_id(w->id, doc);
    make_rev(&w->path[0], w->now, doc, gen);
    make_rev(&w->path[1], w->before, doc, gen - 1);
    w->op = (struct commit_op){.kind = COMMIT_DOC,
                               .db = c->b->db,
                               .new_edits = true,
                               .docid = slice_of(w->id, ID_BYTES),
                               .path = w->path,
                               .npath = gen > 1 ? 2 : 1,
                               .body = {.json = slice_of(c->b->body, c->b->o.body)}};
}

static void commit(struct client *c, struct commit_op *ops, size_t n)
{
    uint64_t start = time_mono_us();
    struct err e = {0};

    if (commit_wait(c->b->s, ops, n, &e) != ST_OK)
        die("commit", &e);
    for (size_t i = 0; i < n; i++)
        if (ops[i].st != ST_OK)
            die("commit", &ops[i].err);
    if (c->n < SAMPLES_MAX)
        c->took_us[c->n++] = (uint32_t)(time_mono_us() - start);
    atomic_fetch_add(&c->b->written, n);
}

/* A client's new documents, until they are all there or it is time. */
static void write_new(struct client *c)
{
    struct write *w = mem_array(BATCH_MAX, sizeof(*w));
    struct commit_op *ops = mem_array(BATCH_MAX, sizeof(*ops));
    unsigned done = 0;

    while (done < c->docs && time_mono_us() < c->b->end_us) {
        unsigned n = c->docs - done < c->b->o.batch ? c->docs - done : c->b->o.batch;

        for (unsigned i = 0; i < n; i++) {
            prepare(c, done + i, &w[i]);
            ops[i] = w[i].op;
        }
        commit(c, ops, n);
        done += n;
    }
    mem_free(ops);
    mem_free(w);
}

static void update_random(struct client *c)
{
    uint64_t start = time_mono_us(), due = 0;
    unsigned rate = c->b->o.rate;
    struct write w;

    for (uint64_t k = 0; time_mono_us() < c->b->end_us; k++) {
        prepare(c, (unsigned)(next_random(c) % c->docs), &w);
        commit(c, &w.op, 1);
        if (rate != 0) {
            due = start + (k + 1) * 1000000 * c->b->o.clients / rate;
            if (due > time_mono_us())
                time_sleep_us(due - time_mono_us());
        }
    }
}

static void client_main(void *arg)
{
    struct client *c = arg;

    if (c->b->updating)
        update_random(c);
    else
        write_new(c);
}

static void reader_main(void *arg)
{
    struct client *c = arg;
    struct arena *a = arena_new();

    while (!atomic_load(&c->b->stop)) {
        uint64_t start = time_mono_us();
        struct docinfo info;
        struct doc_body body = {0};
        char id[ID_BYTES + 1];
        struct err e = {0};

        make_id(id, next_random(c) % c->docs);
        if (doc_winner(c->b->db, slice_of(id, ID_BYTES), a, &info, &body, &e) != ST_OK)
            die("read", &e);
        if (body.json.n != c->b->o.body)
            die("a body of another length", NULL);
        if (c->n < SAMPLES_MAX)
            c->took_us[c->n++] = (uint32_t)(time_mono_us() - start);
        arena_reset(a);
        time_sleep_us(1000); /* a look, not a load */
    }
    arena_free(a);
}

/* ---- phases ---- */

static struct client *clients_new(struct bench *b, unsigned n, unsigned docs, bool own)
{
    struct client *v = mem_zalloc(n * sizeof(*v));

    for (unsigned i = 0; i < n; i++) {
        v[i] = (struct client){.b = b, .docs = docs, .random = i};
        v[i].first = own ? i * docs : 0;
        v[i].gen = own ? mem_zalloc((size_t)docs * sizeof(uint32_t)) : NULL;
        v[i].took_us = mem_array(SAMPLES_MAX, sizeof(uint32_t));
    }
    return v;
}

static void clients_free(struct client *v, unsigned n)
{
    for (unsigned i = 0; v != NULL && i < n; i++) {
        mem_free(v[i].gen);
        mem_free(v[i].took_us);
    }
    mem_free(v);
}

static void start_all(struct client *v, unsigned n, void (*fn)(void *arg))
{
    for (unsigned i = 0; i < n; i++) {
        v[i].n = 0;
        thread_start(&v[i].t, "bench", fn, &v[i]);
    }
}

static void join_all(struct client *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        thread_join(&v[i].t);
}

/* What all clients do until it is time; meanwhile this thread looks on. */
static void run_phase(struct bench *b, bool updating)
{
    b->updating = updating;
    b->end_us =
        updating || b->o.docs == 0 ? time_mono_us() + (uint64_t)b->o.seconds * 1000000 : UINT64_MAX;
    start_all(b->clients, b->o.clients, client_main);
    if (updating && b->readers != NULL)
        start_all(b->readers, b->o.readers, reader_main);
    while (updating && time_mono_us() < b->end_us) {
        time_sleep_us(LOOK_US);
        look(b);
    }
    join_all(b->clients, b->o.clients);
    atomic_store(&b->stop, true);
    if (updating && b->readers != NULL)
        join_all(b->readers, b->o.readers);
}

static int by_value(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return (a > b) - (a < b);
}

static void print_times(const char *name, const struct client *v, unsigned clients)
{
    size_t n = 0, at = 0;
    uint32_t *all;

    for (unsigned i = 0; i < clients; i++)
        n += v[i].n;
    all = mem_array(n + 1, sizeof(*all));
    for (unsigned i = 0; i < clients; at += v[i++].n)
        memcpy(all + at, v[i].took_us, v[i].n * sizeof(*all));
    if (n != 0)
        qsort(all, n, sizeof(*all), by_value);
    else
        all[n++] = 0;
    printf("\"%s_p50_us\":%u,\"%s_p99_us\":%u,\"%s_max_us\":%u,", name, all[n / 2], name,
           all[n * 99 / 100], name, all[n - 1]);
    mem_free(all);
}

static void print_usage(struct bench *b, const struct usage *from)
{
    double user;
    struct usage u;

    usage_now(b, &u);
    u.docs -= from->docs;
    user = (double)u.docs * (double)(b->o.body + ID_BYTES) + 1;
    printf("\"docs\":%llu,\"seconds\":%.3f,\"committer_s\":%.3f,\"process_s\":%.3f,",
           (unsigned long long)u.docs, u.at - from->at, u.committer - from->committer,
           u.process - from->process);
    printf("\"log_per_user_byte\":%.3f,\"device_per_user_byte\":%.3f,",
           (double)(u.log - from->log) / user, (double)(u.device - from->device) / user);
    printf("\"live_bytes\":%llu,\"log_bytes\":%llu,\"idx_bytes\":%llu,",
           (unsigned long long)accounts_all(b->s->accounts),
           (unsigned long long)log_bytes(b->s->log), (unsigned long long)disk_bytes(b, "idx"));
}

/* ---- modes ---- */

static void open_store(struct bench *b)
{
    struct store_options o = {
        .dir = b->dir, .segment_bytes = b->o.segment << 20, .no_compaction = b->o.compact == 0};
    struct err e = {0};

    if (store_open(&o, &b->s, &e) != ST_OK)
        die("open", &e);
}

static void create_db(struct bench *b)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("bench")};
    struct err e = {0};

    if (commit_wait(b->s, &op, 1, &e) != ST_OK)
        die("create", &e);
    if (op.st != ST_OK)
        die("create", &op.err);
    b->db = op.created;
}

static void mode_write(struct bench *b)
{
    unsigned docs = b->o.docs != 0 ? b->o.docs / b->o.clients : SAMPLES_MAX;
    struct usage from;

    open_store(b);
    create_db(b);
    b->clients = clients_new(b, b->o.clients, docs, true);
    usage_now(b, &from);
    run_phase(b, false);
    print_times("commit", b->clients, b->o.clients);
    print_usage(b, &from);
}

static void mode_steady(struct bench *b)
{
    unsigned docs = b->o.docs / b->o.clients, batch = b->o.batch;
    struct usage from;

    if (docs == 0)
        die("docs is less than clients", NULL);
    open_store(b);
    create_db(b);
    b->clients = clients_new(b, b->o.clients, docs, true);
    b->readers = b->o.readers != 0 ? clients_new(b, b->o.readers, docs, false) : NULL;
    b->o.batch = 100; /* filling is not what is measured */
    run_phase(b, false);
    b->o.batch = batch;
    atomic_store(&b->stop, false);
    usage_now(b, &from);
    run_phase(b, true);
    print_times("commit", b->clients, b->o.clients);
    if (b->readers != NULL)
        print_times("read", b->readers, b->o.readers);
    print_usage(b, &from);
    printf("\"log_most\":%.3f,\"disk_most\":%.3f,", b->log_most, b->disk_most);
}

static void mode_open(struct bench *b)
{
    uint64_t start = time_mono_us();
    double cpu = process_seconds();
    struct err e = {0};

    open_store(b);
    start = time_mono_us() - start;
    cpu = process_seconds() - cpu;
    if (db_open(b->s, SLICE_LIT("bench"), &b->db, &e) != ST_OK)
        die("the database", &e);
    printf("\"open_s\":%.3f,\"cpu_s\":%.3f,\"seq\":%llu,\"log_bytes\":%llu,", (double)start / 1e6,
           cpu, (unsigned long long)db_update_seq(b->db), (unsigned long long)log_bytes(b->s->log));
}

static bool set_option(struct options *o, const char *arg)
{
    struct {
        const char *name;
        unsigned *v;
    } known[] = {{"clients", &o->clients}, {"readers", &o->readers}, {"docs", &o->docs},
                 {"seconds", &o->seconds}, {"batch", &o->batch},     {"body", &o->body},
                 {"segment", &o->segment}, {"compact", &o->compact}, {"rate", &o->rate},
                 {"kill", &o->kill}};
    const char *eq = strchr(arg, '=');

    for (size_t i = 0; eq != NULL && i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_eq(slice_of(arg, (size_t)(eq - arg)), slice_str(known[i].name))) {
            *known[i].v = (unsigned)strtoul(eq + 1, NULL, 10);
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    struct bench b = {.o = {.clients = 1, .seconds = 5, .batch = 1, .body = 1024}};
    bool known = argc >= 3;

    for (int i = 3; i < argc; i++)
        known = known && set_option(&b.o, argv[i]);
    if (!known || b.o.clients == 0 || b.o.batch == 0 || b.o.batch > BATCH_MAX) {
        (void)fprintf(stderr, "usage: bench_storage write|steady|open DIR [KEY=NUMBER...]\n");
        return 2;
    }
    b.dir = argv[2];
    b.body = mem_zalloc(b.o.body + 1);
    memset(b.body, 'x', b.o.body);
    printf("{");
    if (strcmp(argv[1], "write") == 0)
        mode_write(&b);
    else if (strcmp(argv[1], "steady") == 0)
        mode_steady(&b);
    else
        mode_open(&b);
    printf("\"mode\":\"%s\"}\n", argv[1]);
    (void)fflush(stdout);
    if (b.o.kill != 0)
        _Exit(EXIT_SUCCESS);
    db_release(b.db);
    store_close(b.s);
    clients_free(b.clients, b.o.clients);
    clients_free(b.readers, b.o.readers);
    mem_free(b.body);
    return EXIT_SUCCESS;
}
