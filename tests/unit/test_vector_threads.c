/* test_vector_threads.c: queries while documents are written, flushed, merged and a graph is built:
 * what was acknowledged is found, no document twice, scores never rise. */
#include "unit.h"

#include <stdatomic.h>

#include "base/thread.h"

#include "vector_fix.h"

enum { DOCS = 12000, BATCH = 300, READERS = 2 };

struct run {
    struct vec_fix *f;
    atomic_uint written; /* documents 0..written-1 are acknowledged */
    atomic_uint asked, failed;
    struct thread reader[READERS];
};

/* Every document has a direction of its own; cosine tells them apart. */
static void vector_of(uint32_t i, float *v)
{
    uint64_t s = i * 2654435761u + 12345;

    for (int j = 0; j < D; j++)
        v[j] = (float)(int)(unit_random(&s) % 20001) - 10000.5f;
}

static struct slice near_of(struct arena *a, uint32_t i)
{
    char *text = arena_alloc(a, base64_encoded_len(D * 4));
    float v[D];

    vector_of(i, v);
    base64_encode(v, sizeof(v), text);
    return slice_of(text, base64_encoded_len(D * 4));
}

static bool answer_is_right(struct arena *a, const struct json *ans, uint32_t i)
{
    const struct json *h = json_get(ans, "hits")->first;
    double last = 2;

    if (h == NULL || !slice_eq(json_get(h, "id")->text, arena_printf(a, "d%05u", i)))
        return false;
    for (; h != NULL; h = h->next) {
        double score = json_double(json_get(h, "score"));
        if (score > last)
            return false;
        last = score;
        for (const struct json *o = h->next; o != NULL; o = o->next)
            if (slice_eq(json_get(h, "id")->text, json_get(o, "id")->text))
                return false;
    }
    return true;
}

static bool ask(struct run *r, struct arena *a, uint32_t i)
{
    struct slice near = near_of(a, i);
    const struct json *body, *ans;
    struct find_request rq;
    struct buf b;
    struct err e;
    bool ok;

    buf_init(&b, 1u << 20);
    near = arena_printf(a,
                        "{\"selector\":{},\"limit\":10,\"fields\":[\"_id\"],\"vector\":"
                        "{\"near\":\"%.*s\"}}",
                        (int)near.n, near.p);
    ok = json_parse(a, near, &body, &e) == ST_OK && find_request_parse(a, body, &rq, &e) == ST_OK &&
         vectors_find(r->f->v, r->f->db, &rq, a, &b, &e) == ST_OK &&
         json_parse(a, buf_slice(&b), &ans, &e) == ST_OK && answer_is_right(a, ans, i);
    buf_free(&b);
    return ok;
}

static void reader(void *arg)
{
    struct run *r = arg;
    struct arena *a = arena_new();
    uint64_t seed = 7;

    while (atomic_load(&r->written) < DOCS) {
        uint32_t n = atomic_load(&r->written);
        if (n == 0)
            continue;
        /* the last one that was acknowledged, or any: a graph may miss one in a hundred */
        bool last = unit_random(&seed) % 2 == 0;
        if (!ask(r, a, last ? n - 1 : (uint32_t)(unit_random(&seed) % n)))
            atomic_fetch_add(&r->failed, 1);
        atomic_fetch_add(&r->asked, 1);
        arena_reset(a);
    }
    arena_free(a);
}

static void write_batch(struct run *r, uint32_t from)
{
    struct arena *a = arena_new();
    struct commit_op *ops = arena_zalloc(a, BATCH * sizeof(*ops));
    struct err e;

    for (uint32_t i = 0; i < BATCH; i++) {
        struct slice v = near_of(a, from + i);
        struct doc_edit ed = {.new_edits = true};
        struct slice t =
            arena_printf(a, "{\"_id\":\"d%05u\",\"v\":\"%.*s\"}", from + i, (int)v.n, v.p);
        assert_int_equal(json_parse(a, t, &ed.doc, &e), ST_OK);
        assert_int_equal(doc_edit_prepare(r->f->db, a, &ed, &ops[i], &e), ST_OK);
    }
    assert_int_equal(commit_wait(r->f->x->s, ops, BATCH, &e), ST_OK);
    for (uint32_t i = 0; i < BATCH; i++)
        assert_int_equal(ops[i].st, ST_OK);
    arena_free(a);
    atomic_store(&r->written, from + BATCH);
}

static bool graph_is_there(struct vec_fix *f)
{
    struct buf b;
    bool there;

    buf_init(&b, 1u << 20);
    assert_ok(f->x,
              vectors_info(f->v, f->db, SLICE_LIT("sem"), SLICE_LIT("v"), f->x->a, &b, &f->x->e));
    there = memmem(b.p, b.n, "\"kind\":\"graph\"", 14) != NULL;
    buf_free(&b);
    return there;
}

static void test_queries_during_everything(void **state)
{
    static struct run r;
    struct vec_fix *f = *state;
    struct arena *a = arena_new();
    unsigned found = 0;

    memset(&r, 0, sizeof(r));
    r.f = f;
    create(f, "cosine");
    for (int i = 0; i < READERS; i++)
        thread_start(&r.reader[i], "reader", reader, &r);
    for (uint32_t i = 0; i < DOCS; i += BATCH)
        write_batch(&r, i);
    for (int i = 0; i < READERS; i++)
        thread_join(&r.reader[i]);
    print_message("%u queries, %u not right\n", atomic_load(&r.asked), atomic_load(&r.failed));
    assert_true(atomic_load(&r.failed) * 50 <= atomic_load(&r.asked));
    for (int i = 0; i < 600 && !graph_is_there(f); i++)
        time_sleep_us(50000);
    assert_true(graph_is_there(f));
    for (uint32_t i = 0; i < 200; i++, arena_reset(a))
        found += ask(&r, a, i * 59);
    assert_true(found >= 190);
    write_batch(&r, DOCS); /* after the graph: memtable and segment together */
    assert_true(ask(&r, a, DOCS + 5));
    arena_free(a);
    restart(f, NULL);
    r.f = f;
    a = arena_new();
    assert_true(ask(&r, a, DOCS + 7));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_queries_during_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
