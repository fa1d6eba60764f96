/* couch/revtree_bytes.c: the bytes of a revision forest. Pure; any thread.
 *
 *   tree  varint roots, then that many runs
 *   run   varint generation of its first node, varint n (>= 1), n x id,
 *         20-byte pointer for each node that has a body, in order,
 *         varint children (0 or >= 2), then the children's runs
 *   id    flag byte (enum node_flag), then 16 bytes when NODE_HEX, else varint length and bytes
 *
 * A run is a chain of nodes as long as possible, oldest first. Roots and children are in ascending
 * order of revision, so a forest has exactly one encoding and equal forests have equal bytes. The
 * decoder believes nothing: every other form is ST_CORRUPT.
 */
#include <stdlib.h>

#include "base/assert.h"
#include "couch/revtree_priv.h"

enum { RUN_BYTES_MIN = 5, NODE_BYTES_MIN = 2, HEX_BYTES = 16, FRAMES_FIRST = 16 };

/* ---- encode ---- */

struct enc {
    const struct revtree *t;
    struct buf *out;
    const struct revnode **kids; /* grouped by parent, the roots first; NULL: one path */
    uint32_t *first;             /* group g is kids[first[g]..first[g + 1]), g = parent + 1 */
    size_t *marks;
    uint32_t nmarks;
};

static bool is_one_path(const struct revtree *t)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (t->nodes[i].parent != (int32_t)i - 1)
            return false;
    return t->n > 0;
}

static int rev_order_qsort(const void *x, const void *y)
{
    const struct revnode *const *a = x, *const *b = y;

    return rev_cmp(&(*a)->rev, &(*b)->rev);
}

/* Groups the nodes by parent (a counting sort) and sorts each group. */
static void group_kids(struct enc *c)
{
    const struct revtree *t = c->t;
    uint32_t *first = arena_zalloc(t->arena, ((size_t)t->n + 3) * sizeof *first);

    c->kids = arena_array(t->arena, t->n, sizeof(struct revnode *));
    for (uint32_t i = 0; i < t->n; i++)
        first[t->nodes[i].parent + 3]++;
    for (uint32_t g = 1; g < t->n + 3; g++)
        first[g] += first[g - 1];
    c->first = first + 1; /* first[g + 1] is now where group g goes next, later where it ends */
    for (uint32_t i = 0; i < t->n; i++)
        c->kids[c->first[t->nodes[i].parent + 1]++] = &t->nodes[i];
    c->first = first;
    for (uint32_t g = 0; g <= t->n; g++)
        if (first[g + 1] - first[g] > 1)
            qsort(c->kids + first[g], first[g + 1] - first[g], sizeof(struct revnode *),
                  rev_order_qsort);
}

static uint32_t kid_group(const struct enc *c, const struct revnode *x,
                          const struct revnode *const **kids)
{
    uint32_t g = (uint32_t)(x - c->t->nodes) + 1;

    *kids = (const struct revnode *const *)c->kids + c->first[g];
    return c->first[g + 1] - c->first[g];
}

/* The next node of the run, NULL after its last. */
static const struct revnode *run_next(const struct enc *c, const struct revnode *x)
{
    const struct revnode *const *kids;

    if (c->kids == NULL)
        return x + 1 < c->t->nodes + c->t->n ? x + 1 : NULL;
    return kid_group(c, x, &kids) == 1 ? kids[0] : NULL;
}

static void put_id(struct buf *out, const struct revnode *x)
{
    unsigned flags = (x->leaf ? NODE_LEAF : 0U) | (x->deleted ? NODE_DELETED : 0U) |
                     (x->has_body ? NODE_BODY : 0U) | (x->rev.hex ? NODE_HEX : 0U);

    if (x->rev.hex) {
        char *p = buf_extend(out, 1 + HEX_BYTES);

        if (p == NULL)
            return;
        p[0] = (char)flags;
        memcpy(p + 1, x->rev.id.p, HEX_BYTES);
    } else {
        buf_char(out, (char)flags);
        buf_varint(out, x->rev.id.n);
        buf_add(out, x->rev.id);
    }
}

static void put_ptr(struct enc *c, const struct seg_ptr *ptr)
{
    unsigned char *p = buf_extend(c->out, SEG_PTR_BYTES);

    if (p == NULL)
        return;
    seg_ptr_put(p, ptr);
    if (c->marks != NULL && ptr->seg == SEG_SELF)
        c->marks[c->nmarks++] = c->out->n - SEG_PTR_BYTES;
}

/* Returns the run's last node. */
static const struct revnode *put_run(struct enc *c, const struct revnode *x)
{
    const struct revnode *last = x, *y;
    uint32_t n = 1;

    ASSERT(x != NULL);
    while ((y = run_next(c, last)) != NULL) {
        last = y;
        n++;
    }
    buf_varint(c->out, x->rev.gen);
    buf_varint(c->out, n);
    for (y = x; y != NULL; y = run_next(c, y))
        put_id(c->out, y);
    for (y = x; y != NULL; y = run_next(c, y))
        if (y->has_body)
            put_ptr(c, &y->ptr);
    return last;
}

uint32_t revtree_encode_marks(const struct revtree *t, struct buf *out, size_t *marks)
{
    struct enc c = {.t = t, .out = out, .marks = marks};
    const struct revnode **todo;
    uint32_t ntodo;

    if (is_one_path(t)) {
        buf_varint(out, 1);
        (void)put_run(&c, t->nodes);
        buf_varint(out, 0);
        return c.nmarks;
    }
    group_kids(&c);
    ntodo = c.first[1];
    todo = arena_array(t->arena, t->n, sizeof(struct revnode *));
    for (uint32_t i = 0; i < ntodo; i++)
        todo[i] = c.kids[ntodo - 1 - i];
    buf_varint(out, ntodo);
    while (ntodo > 0) {
        const struct revnode *const *kids;
        const struct revnode *last = put_run(&c, todo[--ntodo]);
        uint32_t n = kid_group(&c, last, &kids);

        buf_varint(out, n);
        while (n-- > 0)
            todo[ntodo++] = kids[n];
    }
    return c.nmarks;
}

void revtree_encode(const struct revtree *t, struct buf *out)
{
    (void)revtree_encode_marks(t, out, NULL);
}

/* ---- decode ---- */

/* Runs that are still to come: `left` children of node `parent`. */
struct frame {
    int32_t parent;
    uint32_t left;
    int32_t prev; /* first node of the sibling before, -1 */
};

struct dec {
    struct rd *r;
    struct revtree *t;
    struct frame *frames;
    uint32_t n, cap;
    uint32_t runs;
};

static enum status corrupt(struct err *e, const char *what)
{
    return err_set(e, ST_CORRUPT, "revision tree: %s", what);
}

static bool read_run_head(struct rd *r, uint32_t *gen, uint32_t *n)
{
    uint64_t g = rd_varint(r), k = rd_varint(r);

    if (r->bad || g == 0 || g > UINT32_MAX || k == 0 || k > rd_left(r) / NODE_BYTES_MIN ||
        k > UINT32_MAX - g)
        return false;
    *gen = (uint32_t)g;
    *n = (uint32_t)k;
    return true;
}

static bool read_id(struct rd *r, unsigned *flags, struct rev *rev)
{
    *flags = rd_u8(r);
    rev->hex = (*flags & NODE_HEX) != 0;
    if (rev->hex) {
        rev->id = rd_bytes(r, HEX_BYTES);
    } else {
        uint64_t n = rd_varint(r);

        if (n > LIMIT_REV_BYTES)
            return false;
        rev->id = rd_bytes(r, (size_t)n);
        if (!rev_id_valid(rev->id))
            return false;
    }
    return !r->bad && (*flags & ~(unsigned)NODE_FLAGS) == 0;
}

/* Children of the run that ends here; one child would have continued the run. */
static bool read_kids(struct rd *r, uint32_t *n)
{
    uint64_t k = rd_varint(r);

    *n = (uint32_t)k;
    return !r->bad && k != 1 && k <= rd_left(r) / RUN_BYTES_MIN;
}

/* Reads one run below parent; *kids: the runs to come below its last node. */
static enum status read_run(struct dec *d, int32_t parent, uint32_t *kids, struct err *e)
{
    struct revtree *t = d->t;
    uint32_t gen, n, from = t->n;
    bool leaf = false;

    if (!read_run_head(d->r, &gen, &n) || n > INT32_MAX - t->n)
        return corrupt(e, "run out of bounds");
    if (parent >= 0 && gen != t->nodes[parent].rev.gen + 1)
        return corrupt(e, "generation does not follow its parent's");
    revtree_reserve(t, n);
    for (uint32_t k = 0; k < n; k++) {
        struct revnode *x = &t->nodes[t->n];
        unsigned flags;

        *x = (struct revnode){.parent = k == 0 ? parent : (int32_t)t->n - 1, .rev.gen = gen + k};
        if (!read_id(d->r, &flags, &x->rev))
            return corrupt(e, "bad node");
        x->deleted = (flags & NODE_DELETED) != 0;
        x->has_body = (flags & NODE_BODY) != 0;
        leaf = (flags & NODE_LEAF) != 0;
        if (leaf && k + 1 < n)
            return corrupt(e, "leaf with a child");
        t->n++;
    }
    for (; from < t->n; from++)
        if (t->nodes[from].has_body) {
            struct slice p = rd_bytes(d->r, SEG_PTR_BYTES);

            if (d->r->bad)
                return corrupt(e, "pointer cut short");
            t->nodes[from].ptr = seg_ptr_get((const unsigned char *)p.p);
        }
    if (!read_kids(d->r, kids) || leaf != (*kids == 0))
        return corrupt(e, "bad number of children");
    t->nodes[t->n - 1].leaf = leaf;
    d->runs++;
    return ST_OK;
}

static void push_frame(struct dec *d, int32_t parent, uint32_t left)
{
    if (d->n == d->cap) {
        uint32_t cap = d->cap == 0 ? FRAMES_FIRST : d->cap * 2;
        struct frame *frames = arena_array(d->t->arena, cap, sizeof *frames);

        if (d->n > 0)
            memcpy(frames, d->frames, d->n * sizeof *frames);
        d->frames = frames;
        d->cap = cap;
    }
    d->frames[d->n++] = (struct frame){parent, left, -1};
}

static enum status read_forest(struct dec *d, struct err *e)
{
    while (d->n > 0) {
        struct frame *f = &d->frames[d->n - 1];
        int32_t first = (int32_t)d->t->n;
        uint32_t kids = 0;

        if (f->left == 0) {
            d->n--;
            continue;
        }
        TRY(read_run(d, f->parent, &kids, e));
        if (f->prev >= 0 && rev_cmp(&d->t->nodes[f->prev].rev, &d->t->nodes[first].rev) >= 0)
            return corrupt(e, "siblings out of order");
        f->prev = first;
        f->left--;
        if (kids > 0)
            push_frame(d, (int32_t)d->t->n - 1, kids);
    }
    return ST_OK;
}

enum status revtree_decode(struct rd *r, struct revtree *t, struct err *e)
{
    struct dec d = {.r = r, .t = t};
    uint64_t roots = rd_varint(r);
    uint32_t kids = 0;

    t->n = 0;
    if (r->bad || roots > rd_left(r) / RUN_BYTES_MIN)
        return corrupt(e, "roots out of bounds");
    if (roots == 1) { /* nearly always; and then nearly always nothing follows */
        TRY(read_run(&d, REVTREE_ROOT, &kids, e));
        if (kids == 0)
            return ST_OK;
        push_frame(&d, (int32_t)t->n - 1, kids);
    } else {
        push_frame(&d, REVTREE_ROOT, (uint32_t)roots);
    }
    TRY(read_forest(&d, e));
    if (d.runs > 1 && revtree_has_twin(t))
        return corrupt(e, "a revision occurs twice");
    return ST_OK;
}

/* True when the tree is one path and well-formed as far as looked at; *out is its leaf then. */
static bool peek_one_path(struct rd r, struct rev *out)
{
    uint32_t gen, n, bodies = 0;
    unsigned flags = 0;

    if (rd_varint(&r) != 1 || !read_run_head(&r, &gen, &n))
        return false;
    for (uint32_t k = 0; k < n; k++) {
        if (!read_id(&r, &flags, out) || ((flags & NODE_LEAF) != 0) != (k + 1 == n))
            return false;
        bodies += (flags & NODE_BODY) != 0;
    }
    out->gen = gen + n - 1;
    (void)rd_bytes(&r, (size_t)bodies * SEG_PTR_BYTES);
    return rd_varint(&r) == 0 && !r.bad && rd_left(&r) == 0;
}

enum status revtree_decode_winner(struct rd *r, struct arena *a, struct rev *out, struct err *e)
{
    struct revtree t;

    if (peek_one_path(*r, out)) {
        r->p = r->end;
        return ST_OK;
    }
    revtree_init(&t, a);
    TRY(revtree_decode(r, &t, e));
    if (t.n == 0)
        return corrupt(e, "empty");
    if (rd_left(r) > 0)
        return corrupt(e, "bytes behind the tree");
    *out = t.nodes[revtree_winner(&t)].rev;
    return ST_OK;
}
