/* tests/unit/test_couch_revtree.c: the revision forest: the cases of CouchDB's couch_key_tree and
 * PouchDB's merge tests by hand; the random ones are in test_couch_revtree_random.c. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "couch/revtree.h"

/* ---- forests as text: "1-a 2-b<1-a! 3-c<2-b!x", ! leaf, x deleted; ascending revisions ---- */

static uint32_t parse_path(struct arena *a, const char *text, struct rev *revs)
{
    uint32_t n = 0;
    struct err e;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");

        assert_int_equal(rev_parse(a, slice_of(text, len), &revs[n++], &e), ST_OK);
        text += len + (text[len] == ' ');
    }
    return n;
}

/* Newest first: "3-c 2-b 1-a". */
static bool merge(struct revtree *t, const char *path, bool deleted)
{
    struct rev revs[64];
    uint32_t n = parse_path(t->arena, path, revs);
    int leaf;
    bool changed = revtree_merge(t, revs, n, deleted, &leaf);

    assert_true(leaf >= 0 && (uint32_t)leaf < t->n);
    assert_true(rev_eq(&t->nodes[leaf].rev, &revs[0]));
    assert_true(revtree_valid(t));
    return changed;
}

static int find(const struct revtree *t, const char *text)
{
    struct rev r;
    struct err e;

    assert_int_equal(rev_parse(t->arena, slice_str(text), &r, &e), ST_OK);
    return revtree_find(t, &r);
}

static const struct revtree *sorting;
static int by_rev(const void *x, const void *y)
{
    return rev_cmp(&sorting->nodes[*(const uint32_t *)x].rev,
                   &sorting->nodes[*(const uint32_t *)y].rev);
}

static const char *dump(const struct revtree *t)
{
    uint32_t *order = arena_array(t->arena, t->n, sizeof *order);
    struct buf b;

    for (uint32_t i = 0; i < t->n; i++)
        order[i] = i;
    sorting = t;
    if (t->n > 0)
        qsort(order, t->n, sizeof *order, by_rev);
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < t->n; i++) {
        const struct revnode *x = &t->nodes[order[i]];

        if (i > 0)
            buf_char(&b, ' ');
        rev_write(&b, &x->rev);
        if (x->parent >= 0) {
            buf_char(&b, '<');
            rev_write(&b, &t->nodes[x->parent].rev);
        }
        buf_str(&b, x->leaf ? "!" : "");
        buf_str(&b, x->deleted ? "x" : "");
    }
    const char *s = arena_cstr(t->arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

static const char *text_of(const struct revtree *t, int i)
{
    return i < 0 ? "none" : arena_cstr(t->arena, rev_text(t->arena, &t->nodes[i].rev));
}

static const char *list(const struct revtree *t, const uint32_t *idx, uint32_t n)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&b, ' ');
        rev_write(&b, &t->nodes[idx[i]].rev);
    }
    const char *s = arena_cstr(t->arena, buf_slice(&b));
    buf_free(&b);
    return s;
}

static const char *leaves(const struct revtree *t)
{
    uint32_t *idx;
    uint32_t n = revtree_leaves(t, t->arena, &idx);

    return list(t, idx, n);
}

static struct revtree fresh(struct arena *a)
{
    struct revtree t;

    revtree_init(&t, a);
    return t;
}

/* ---- merging, case by case ---- */

static void test_merge_one_path(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    (void)state;
    assert_int_equal(revtree_winner(&t), -1);
    assert_string_equal(leaves(&t), "");
    assert_true(merge(&t, "2-b 1-a", false));
    assert_string_equal(dump(&t), "1-a 2-b<1-a!");
    assert_false(merge(&t, "2-b 1-a", false)); /* itself */
    assert_false(merge(&t, "1-a", false));     /* a prefix */
    assert_string_equal(dump(&t), "1-a 2-b<1-a!");
    assert_true(merge(&t, "4-d 3-c 2-b 1-a", false));
    assert_string_equal(dump(&t), "1-a 2-b<1-a 3-c<2-b 4-d<3-c!");
    arena_free(a);
}

static void test_merge_branches(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    (void)state;
    assert_true(merge(&t, "2-b 1-a", false));
    assert_true(merge(&t, "2-c 1-a", false));
    assert_string_equal(dump(&t), "1-a 2-b<1-a! 2-c<1-a!");
    assert_true(merge(&t, "1-z", false)); /* unrelated root */
    assert_string_equal(dump(&t), "1-a 1-z! 2-b<1-a! 2-c<1-a!");
    assert_true(merge(&t, "4-e 3-d 2-b 1-a", true)); /* uneven branches */
    assert_string_equal(leaves(&t), "2-c 1-z 4-e");
    assert_true(revtree_has_conflict(&t));
    assert_false(revtree_is_deleted(&t));
    /* a similar path that differs below the fork (COUCHDB-902) */
    assert_true(merge(&t, "4-e2 3-d2 2-b 1-a", false));
    assert_string_equal(dump(&t), "1-a 1-z! 2-b<1-a 2-c<1-a! 3-d<2-b 3-d2<2-b 4-e<3-d!x "
                                  "4-e2<3-d2!");
    arena_free(a);
}

static void test_merge_stems(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    for (int depth = 1; depth <= 3; depth++) {
        static const char *const stems[] = {"5-x 4-d", "5-x 4-d 3-c", "5-x 4-d 3-c 2-b"};
        struct revtree t = fresh(a);

        assert_true(merge(&t, "4-d 3-c 2-b 1-a", false));
        assert_true(merge(&t, stems[depth - 1], false));
        assert_string_equal(dump(&t), "1-a 2-b<1-a 3-c<2-b 4-d<3-c 5-x<4-d!");
    }
    struct revtree t = fresh(a);
    assert_true(merge(&t, "2-b 1-a", false));
    assert_true(merge(&t, "9-y 8-x", false)); /* deeper than all that is there */
    assert_string_equal(dump(&t), "1-a 2-b<1-a! 8-x 9-y<8-x!");
    assert_true(merge(&t, "5-y 4-x", false));
    assert_true(merge(&t, "6-z 5-y 4-x 3-c", false)); /* a parent for a root that had none */
    assert_string_equal(dump(&t), "1-a 2-b<1-a! 3-c 4-x<3-c 5-y<4-x 6-z<5-y! 8-x 9-y<8-x!");
    /* one long path bridges all three */
    assert_true(merge(&t, "10-q 9-y 8-x 7-p 6-z 5-y 4-x 3-c 2-b 1-a", false));
    assert_string_equal(dump(&t), "1-a 2-b<1-a 3-c<2-b 4-x<3-c 5-y<4-x 6-z<5-y 7-p<6-z 8-x<7-p "
                                  "9-y<8-x 10-q<9-y!");
    arena_free(a);
}

static void test_merge_keeps_what_is_known(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    (void)state;
    assert_true(merge(&t, "3-c 2-b 1-a", false));
    t.nodes[0].has_body = true;
    t.nodes[0].ptr = (struct seg_ptr){1, 2, 3, 4};
    /* names another ancestry for 3-c: grafted at 3-c, the rest of the path is not believed */
    assert_true(merge(&t, "4-d 3-c 2-q 1-z", false));
    assert_string_equal(dump(&t), "1-a 2-b<1-a 3-c<2-b 4-d<3-c!");
    assert_int_equal(t.nodes[find(&t, "1-a")].ptr.off, 2);
    /* the same hash at another generation is another revision */
    assert_true(merge(&t, "2-a 1-a", false));
    assert_true(merge(&t, "3-a 2-a", true));
    assert_string_equal(dump(&t), "1-a 2-a<1-a 2-b<1-a 3-a<2-a!x 3-c<2-b 4-d<3-c!");
    assert_int_equal(revtree_body_above(&t, find(&t, "4-d")), find(&t, "1-a"));
    assert_int_equal(revtree_body_above(&t, find(&t, "1-a")), find(&t, "1-a"));
    /* a live child of a tombstone */
    assert_true(merge(&t, "4-b 3-a 2-a 1-a", false));
    assert_int_equal(t.nodes[find(&t, "3-a")].deleted, true);
    assert_string_equal(leaves(&t), "4-d 4-b");
    arena_free(a);
}

static void test_winner(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    (void)state;
    assert_true(merge(&t, "5-e 4-d 3-c 2-b 1-a", true));
    assert_true(revtree_is_deleted(&t));
    assert_string_equal(text_of(&t, revtree_winner(&t)), "5-e");
    assert_true(merge(&t, "2-c 1-a", false)); /* short and alive beats long and deleted */
    assert_string_equal(text_of(&t, revtree_winner(&t)), "2-c");
    assert_true(merge(&t, "2-d 1-a", false));
    assert_string_equal(text_of(&t, revtree_winner(&t)), "2-d");
    assert_true(merge(&t, "3-a 2-d 1-a", false));
    assert_string_equal(leaves(&t), "3-a 2-c 5-e");
    assert_true(merge(&t, "4-x 3-a 2-d", true));
    assert_true(merge(&t, "3-x 2-c", true));
    assert_string_equal(leaves(&t), "5-e 4-x 3-x"); /* all deleted: the largest generation */
    assert_true(revtree_is_deleted(&t));
    /* 16 raw bytes against text at the same generation: as byte strings */
    assert_true(merge(&t, "9-ff000000000000000000000000000000", false));
    assert_true(merge(&t, "9-zz", false));
    assert_string_equal(text_of(&t, revtree_winner(&t)), "9-ff000000000000000000000000000000");
    assert_true(merge(&t, "10-61000000000000000000000000000000", false));
    assert_true(merge(&t, "10-a", false)); /* a prefix of those bytes: smaller */
    assert_string_equal(text_of(&t, revtree_winner(&t)), "10-61000000000000000000000000000000");
    arena_free(a);
}

static void test_look(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);
    uint32_t *idx, n;

    (void)state;
    assert_int_equal(find(&t, "1-a"), -1);
    assert_true(merge(&t, "4-d 3-c 2-b 1-a", false));
    assert_true(merge(&t, "4-e 3-c", false));
    assert_true(merge(&t, "2-f 1-a", false));
    assert_true(merge(&t, "7-h 6-g", true));
    assert_true(find(&t, "3-c") >= 0);
    assert_int_equal(find(&t, "3-b"), -1); /* hash right, generation wrong */
    assert_int_equal(find(&t, "3-x"), -1);
    assert_int_equal(find(&t, "5-g"), -1); /* before the stem's start */
    assert_int_equal(find(&t, "9-h"), -1);
    n = revtree_path(&t, find(&t, "4-e"), a, &idx);
    assert_string_equal(list(&t, idx, n), "4-e 3-c 2-b 1-a");
    n = revtree_path(&t, find(&t, "2-b"), a, &idx);
    assert_string_equal(list(&t, idx, n), "2-b 1-a");
    n = revtree_path(&t, find(&t, "7-h"), a, &idx);
    assert_string_equal(list(&t, idx, n), "7-h 6-g");
    n = revtree_leaves_below(&t, find(&t, "1-a"), a, &idx);
    assert_string_equal(list(&t, idx, n), "4-e 4-d 2-f");
    n = revtree_leaves_below(&t, find(&t, "2-b"), a, &idx);
    assert_string_equal(list(&t, idx, n), "4-e 4-d");
    n = revtree_leaves_below(&t, find(&t, "4-d"), a, &idx);
    assert_string_equal(list(&t, idx, n), "4-d");
    n = revtree_leaves_below(&t, find(&t, "6-g"), a, &idx);
    assert_string_equal(list(&t, idx, n), "7-h");
    assert_int_equal(revtree_body_above(&t, find(&t, "4-d")), -1);
    arena_free(a);
}

static void test_add_child(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);
    char id[] = "a";
    struct rev r = {1, false, slice_of(id, 1)};
    int i;

    (void)state;
    i = revtree_add_child(&t, REVTREE_ROOT, &r, false);
    id[0] = 'b'; /* ids are copied */
    assert_string_equal(dump(&t), "1-a!");
    r.gen = 2;
    i = revtree_add_child(&t, i, &r, true);
    assert_string_equal(dump(&t), "1-a 2-b<1-a!x");
    assert_true(revtree_is_deleted(&t));
    assert_false(revtree_has_conflict(&t));
    id[0] = 'c';
    r.gen = 3;
    i = revtree_add_child(&t, i, &r, false);
    assert_string_equal(dump(&t), "1-a 2-b<1-ax 3-c<2-b!");
    /* the same edit was replicated here without its ancestry */
    assert_true(merge(&t, "4-d", false));
    id[0] = 'd';
    r.gen = 4;
    assert_int_equal(revtree_add_child(&t, i, &r, false), -1);
    assert_string_equal(dump(&t), "1-a 2-b<1-ax 3-c<2-b! 4-d!");
    assert_true(revtree_valid(&t));
    arena_free(a);
}

/* ---- stemming ---- */

static void stem_case(const char *const *paths, uint32_t limit, bool changed, const char *want)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    for (; *paths != NULL; paths++)
        assert_true(merge(&t, *paths, false));
    assert_int_equal(revtree_stem(&t, limit), changed);
    assert_string_equal(dump(&t), want);
    assert_true(revtree_valid(&t));
    assert_false(revtree_stem(&t, limit));
    arena_free(a);
}

static void test_stem(void **state)
{
    static const char *const path[] = {"4-d 3-c 2-b 1-a", NULL};
    static const char *const fork[] = {"4-d 3-c 2-b 1-a", "3-e 2-b", NULL};
    static const char *const uneven[] = {"5-e 4-d 3-c 2-b 1-a", "2-f 1-a", NULL};
    static const char *const roots[] = {"2-b 1-a", "9-c 8-b 7-a", NULL};

    (void)state;
    stem_case(path, 9, false, "1-a 2-b<1-a 3-c<2-b 4-d<3-c!");
    stem_case(path, 4, false, "1-a 2-b<1-a 3-c<2-b 4-d<3-c!");
    stem_case(path, 3, true, "2-b 3-c<2-b 4-d<3-c!");
    stem_case(path, 2, true, "3-c 4-d<3-c!");
    stem_case(path, 1, true, "4-d!");
    stem_case(path, 0, true, "4-d!");
    /* 1-a and 2-b stay for 3-e; 4-d's path ends where its share ends */
    stem_case(fork, 4, false, "1-a 2-b<1-a 3-c<2-b 3-e<2-b! 4-d<3-c!");
    stem_case(fork, 3, false, "1-a 2-b<1-a 3-c<2-b 3-e<2-b! 4-d<3-c!");
    stem_case(fork, 2, true, "2-b 3-c 3-e<2-b! 4-d<3-c!");
    stem_case(fork, 1, true, "3-e! 4-d!");
    stem_case(uneven, 3, true, "1-a 2-f<1-a! 3-c 4-d<3-c 5-e<4-d!");
    stem_case(uneven, 2, true, "1-a 2-f<1-a! 4-d 5-e<4-d!");
    stem_case(roots, 2, true, "1-a 2-b<1-a! 8-b 9-c<8-b!");
    stem_case(roots, 3, false, "1-a 2-b<1-a! 7-a 8-b<7-a 9-c<8-b!");
}

/* ---- size ---- */

static void long_path(struct rev *revs, uint32_t n, uint32_t newest, char (*ids)[16])
{
    for (uint32_t i = 0; i < n; i++) {
        memset(ids[i], 0, 16);
        memcpy(ids[i], &(uint32_t){newest - i}, 4);
        revs[i] = (struct rev){newest - i, true, slice_of(ids[i], 16)};
    }
}

static void test_deep_and_wide(void **state)
{
    enum { DEPTH = LIMIT_REVS_PATH, WIDTH = LIMIT_LEAVES };
    struct arena *a = arena_new();
    struct revtree t = fresh(a);
    struct rev *revs = mem_array(DEPTH, sizeof *revs);
    char(*ids)[16] = mem_array(DEPTH, 16);
    int leaf;

    (void)state;
    long_path(revs, DEPTH, DEPTH, ids);
    assert_true(revtree_merge(&t, revs, DEPTH, false, &leaf));
    assert_int_equal(t.n, DEPTH);
    assert_false(revtree_merge(&t, revs, DEPTH, false, &leaf));
    long_path(revs, DEPTH, DEPTH + 1, ids);
    assert_true(revtree_merge(&t, revs, DEPTH, false, &leaf));
    assert_int_equal(t.n, DEPTH + 1);
    for (unsigned i = 0; i < WIDTH; i++) { /* branches that fork off one after the other */
        char text[16];
        struct rev fork[2] = {{DEPTH - i, false, slice_of(text, 0)}, revs[i + 2]};

        fork[0].id.n = (size_t)snprintf(text, sizeof text, "f%u", i);
        assert_true(revtree_merge(&t, fork, 2, i % 2 == 0, &leaf));
    }
    assert_true(revtree_valid(&t));
    struct buf b;
    struct rd r;
    struct err e;
    struct revtree u = fresh(a);
    buf_init(&b, 1 << 20);
    revtree_encode(&t, &b);
    r = rd_of(buf_slice(&b));
    assert_int_equal(revtree_decode(&r, &u, &e), ST_OK);
    assert_int_equal(u.n, t.n);
    buf_free(&b);
    assert_true(revtree_stem(&t, 1000));
    assert_int_equal(t.n, 1000 + 1000 + WIDTH);
    assert_true(revtree_valid(&t));
    assert_true(revtree_stem(&t, 1));
    assert_int_equal(t.n, WIDTH + 1);
    mem_free(revs);
    mem_free(ids);
    arena_free(a);
}

/* ---- damaged bytes ---- */

static void assert_refused(const char *bytes, size_t n)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);
    char *copy = mem_dup(bytes, n);
    struct rd r = rd_of(slice_of(copy, n));
    struct err e;

    assert_int_equal(revtree_decode(&r, &t, &e), ST_CORRUPT);
    assert_true(strncmp(e.reason, "revision tree: ", 15) == 0);
    mem_free(copy);
    arena_free(a);
}

#define REFUSED(s) assert_refused((s), sizeof(s) - 1)

static void test_decode_refuses(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);
    struct rd r = rd_of(SLICE_LIT("\0"));
    struct err e;

    (void)state;
    assert_int_equal(revtree_decode(&r, &t, &e), ST_OK); /* the empty forest */
    assert_int_equal(t.n, 0);
    r = rd_of(SLICE_LIT("\1\1\1\1\1a\0"));
    assert_int_equal(revtree_decode(&r, &t, &e), ST_OK); /* what the cases below vary */
    assert_string_equal(dump(&t), "1-a!");
    REFUSED("");
    REFUSED("\2\1\1\1\1a\0");                                 /* a root is missing */
    REFUSED("\1\0\1\1\1a\0");                                 /* generation 0 */
    REFUSED("\1\1\0\0\0\0\0");                                /* empty run */
    REFUSED("\1\1\1\0\1a\0");                                 /* leaf bit missing */
    REFUSED("\1\1\1\x11\1a\0");                               /* unknown flag */
    REFUSED("\1\1\1\1\1\n\0");                                /* a hash we would not take */
    REFUSED("\1\1\1\5\1a\0");                                 /* pointer missing */
    REFUSED("\1\1\2\1\1a\1\1b\0");                            /* a leaf with a child */
    REFUSED("\1\1\1\0\1a\1\2\1\1\1b\0");                      /* one child: not the longest run */
    REFUSED("\1\1\1\0\1a\2\2\1\1\1c\0\2\1\1\1b\0");           /* children out of order */
    REFUSED("\1\1\1\0\1a\2\2\1\1\1b\0\2\1\1\1b\0");           /* twins */
    REFUSED("\1\1\1\0\1a\2\2\1\1\1b\0\3\1\1\1c\0");           /* a generation left out */
    REFUSED("\1\1\1\0\1a\2\2\2\0\1b\1\1d\0\2\2\0\1c\1\1d\0"); /* twins, cousins */
    REFUSED("\1\1\xff\xff\xff\xff\x0f\1\1a\0");               /* more nodes than bytes */
    REFUSED("\1\xff\xff\xff\xff\x0f\1\1\1a\0"); /* the largest generation and one more */
    REFUSED("\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\1\1\1\1a\0");
    REFUSED("\1\1\1\0\1a\xff\xff\xff\xff\x0f\2\1\1\1b\0");
    arena_free(a);
}

/* Far apart generations: the other way of finding twins. */
static void test_twins_far_apart(void **state)
{
    struct arena *a = arena_new();
    struct revtree t = fresh(a);

    (void)state;
    for (int i = 0; i < 20; i++) {
        char text[32];

        (void)snprintf(text, sizeof text, "%d-x", 1 + i * 1000);
        assert_true(merge(&t, text, false));
    }
    assert_true(revtree_valid(&t));
    t.nodes[3].rev = t.nodes[17].rev;
    assert_false(revtree_valid(&t));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_one_path),  cmocka_unit_test(test_merge_branches),
        cmocka_unit_test(test_merge_stems),     cmocka_unit_test(test_merge_keeps_what_is_known),
        cmocka_unit_test(test_winner),          cmocka_unit_test(test_look),
        cmocka_unit_test(test_add_child),       cmocka_unit_test(test_stem),
        cmocka_unit_test(test_deep_and_wide),   cmocka_unit_test(test_decode_refuses),
        cmocka_unit_test(test_twins_far_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
