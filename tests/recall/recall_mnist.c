/* recall_mnist.c: 20,000 images of 784 dimensions through a real store: recall@10 over 1,000
 * queries at the default effort is at least .95 for l2 and cosine, and every answer is exact with
 * exact:true, with the graph and after a restart. Prints what it measured.
 *
 * The data: DIVAN_MNIST names a folder with base.u8.gz, query.u8.gz, truth.l2.i32 and
 * truth.cosine.i32. Without it the test is skipped (77).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/fs.h"
#include "base/gzip.h"
#include "base/text.h"
#include "base/time.h"
#include "couch/doc_write.h"
#include "couch/stores.h"
#include "vector/vector.h"

enum { DIMS = 784, BASE = 20000, QUERIES = 1000, TRUTH = 100, K = 10, BATCH = 500 };

struct bench {
    struct stores *all;
    struct store *s;
    struct vectors *v;
    struct db *db;
    struct buf base, query, truth[2];
    struct arena *a;
    char dir[64];
};
static const char *const metrics[2] = {"l2", "cosine"};

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != ST_OK) {                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, e.reason);                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static bool load(const char *dir, const char *name, size_t want, struct buf *out)
{
    char path[4096];
    struct buf raw;
    struct err e;
    bool ok;

    buf_init(&raw, 64u << 20);
    buf_init(out, 64u << 20);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    ok = fs_read_file(path, &raw, &e) == ST_OK;
    if (ok && strstr(name, ".gz") != NULL)
        ok = gzip_inflate(buf_slice(&raw), 64u << 20, out);
    else if (ok)
        buf_add(out, buf_slice(&raw));
    buf_free(&raw);
    return ok && out->n == want;
}

static void row_text(const struct buf *rows, uint32_t i, struct buf *out)
{
    static float v[DIMS];
    static char text[DIMS * 8];

    for (uint32_t j = 0; j < DIMS; j++)
        v[j] = (float)(unsigned char)rows->p[(size_t)i * DIMS + j];
    base64_encode(v, sizeof(v), text);
    buf_append(out, text, base64_encoded_len(sizeof(v)));
}

static void put_batch(struct bench *b, uint32_t from)
{
    struct commit_op *ops = mem_zalloc(BATCH * sizeof(*ops));
    struct buf t;
    struct err e;

    for (uint32_t i = 0; i < BATCH; i++) {
        struct doc_edit ed = {.new_edits = true};

        buf_init(&t, 1u << 20);
        buf_printf(&t, "{\"_id\":\"mnist-%05u\",\"n\":%u,\"image\":\"", from + i, from + i);
        row_text(&b->base, from + i, &t);
        buf_str(&t, "\"}");
        MUST(json_parse(b->a, arena_dup(b->a, buf_slice(&t)), &ed.doc, &e));
        buf_free(&t);
        MUST(doc_edit_prepare(b->db, b->a, &ed, &ops[i], &e));
    }
    MUST(commit_wait(b->s, ops, BATCH, &e));
    for (uint32_t i = 0; i < BATCH; i++) {
        e = ops[i].err;
        MUST(ops[i].st);
    }
    mem_free(ops);
    arena_reset(b->a);
}

static void start(struct bench *b)
{
    struct store_options so = {.dir = b->dir};
    struct vectors_options vo = {0};
    struct err e;

    MUST(stores_open(&so, &b->all, &e));
    b->s = stores_main(b->all);
    MUST(vectors_open(b->all, &vo, &b->v, &e));
}

static void stop(struct bench *b)
{
    vectors_close(b->v);
    db_release(b->db);
    stores_close(b->all);
}

static void create(struct bench *b, const char *metric)
{
    struct slice body =
        arena_printf(b->a,
                     "{\"type\":\"vector\",\"ddoc\":\"%s\",\"name\":\"v\",\"index\":{"
                     "\"fields\":[{\"name\":\"image\",\"dims\":784,\"metric\":\"%s\"}]}}",
                     metric, metric);
    const struct json *j;
    struct buf out;
    struct err e;

    buf_init(&out, 1u << 20);
    MUST(json_parse(b->a, body, &j, &e));
    MUST(vectors_index_create(b->v, b->db, j, b->a, &out, &e));
    buf_free(&out);
}

/* Until one graph holds everything. */
static void wait_graph(struct bench *b, const char *metric)
{
    struct buf out;
    struct err e;

    buf_init(&out, 1u << 20);
    for (int i = 0; i < 1200; i++) {
        buf_clear(&out);
        MUST(vectors_info(b->v, b->db, slice_str(metric), SLICE_LIT("v"), b->a, &out, &e));
        buf_char(&out, 0);
        if (strstr(out.p, "{\"vectors\":20000,\"kind\":\"graph\"") != NULL)
            break;
        time_sleep_us(100000);
    }
    printf("%s: %s\n", metric, out.p);
    buf_free(&out);
}

/* Of the ten true ones, how many were answered. */
static uint32_t ask(struct bench *b, int m, uint32_t q, bool exact)
{
    struct find_request rq;
    const struct json *body, *ans;
    struct buf t, out;
    struct err e;
    uint32_t hits = 0;

    buf_init(&t, 1u << 20);
    buf_init(&out, 1u << 20);
    buf_printf(&t,
               "{\"selector\":{},\"limit\":%d,\"fields\":[\"_id\"],\"use_index\":\"%s\","
               "\"vector\":{\"exact\":%s,\"near\":\"",
               K, metrics[m], exact ? "true" : "false");
    row_text(&b->query, q, &t);
    buf_str(&t, "\"}}");
    MUST(json_parse(b->a, buf_slice(&t), &body, &e));
    MUST(find_request_parse(b->a, body, &rq, &e));
    MUST(vectors_find(b->v, b->db, &rq, b->a, &out, &e));
    MUST(json_parse(b->a, buf_slice(&out), &ans, &e));
    for (const struct json *h = json_get(ans, "hits")->first; h != NULL; h = h->next) {
        struct slice id = json_get(h, "id")->text;
        uint64_t row = 0;

        (void)parse_u64(slice_of(id.p + 6, id.n - 6), &row);
        for (uint32_t i = 0; i < K; i++)
            hits += get_le32(b->truth[m].p + ((size_t)q * TRUTH + i) * 4) == row;
    }
    buf_free(&t);
    buf_free(&out);
    arena_reset(b->a);
    return hits;
}

static double measure(struct bench *b, int m, bool exact, uint32_t n)
{
    uint64_t begin = time_mono_us();
    uint32_t hits = 0;
    double recall;

    for (uint32_t q = 0; q < n; q++)
        hits += ask(b, m, q, exact);
    recall = (double)hits / (n * K);
    printf("%-6s %-7s recall@10 %.4f, %.1f us a query, parsing included\n", metrics[m],
           exact ? "exact" : "default", recall, (double)(time_mono_us() - begin) / n);
    return recall;
}

static bool measure_all(struct bench *b)
{
    bool ok = true;

    for (int m = 0; m < 2; m++) {
        ok = measure(b, m, false, QUERIES) >= 0.95 && ok;
        ok = measure(b, m, true, QUERIES / 5) == 1 && ok;
    }
    return ok;
}

static bool run(struct bench *b)
{
    struct commit_op op = {.kind = COMMIT_DB_CREATE, .docid = SLICE_LIT("m")};
    struct err e;
    bool ok;

    start(b);
    MUST(commit_wait(b->s, &op, 1, &e));
    b->db = op.created;
    create(b, "l2");
    create(b, "cosine");
    for (uint32_t i = 0; i < BASE; i += BATCH)
        put_batch(b, i);
    ok = measure(b, 0, false, 50) == 1; /* before any graph: exact */
    wait_graph(b, "l2");
    wait_graph(b, "cosine");
    ok = measure_all(b) && ok;
    stop(b);
    start(b);
    MUST(db_open(b->s, SLICE_LIT("m"), &b->db, &e));
    ok = measure(b, 0, false, QUERIES) >= 0.95 && ok;
    stop(b);
    return ok;
}

int main(void)
{
    const char *data = getenv("DIVAN_MNIST");  // NOLINT(concurrency-mt-unsafe): before any thread
    struct bench b = {.dir = "/tmp/divan-recall-XXXXXX"};
    struct err e;
    bool ok;

    if (data == NULL || !load(data, "base.u8.gz", (size_t)BASE * DIMS, &b.base) ||
        !load(data, "query.u8.gz", (size_t)QUERIES * DIMS, &b.query) ||
        !load(data, "truth.l2.i32", (size_t)QUERIES * TRUTH * 4, &b.truth[0]) ||
        !load(data, "truth.cosine.i32", (size_t)QUERIES * TRUTH * 4, &b.truth[1])) {
        fprintf(stderr, "set DIVAN_MNIST to the folder with the images\n");
        return 77;
    }
    if (mkdtemp(b.dir) == NULL)
        return 1;
    b.a = arena_new();
    ok = run(&b);
    arena_free(b.a);
    MUST(fs_remove_tree(b.dir, &e));
    return ok ? 0 : 1;
}
