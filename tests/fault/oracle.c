/* tests/fault/oracle.c: see oracle.h. One thread. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/digest.h"

struct lines {
    struct slice *v; /* sorted */
    size_t n, cap;
};
struct request {
    uint64_t n;
    struct slice changes;
    char is; /* Q, A or R */
};
struct oracle {
    struct arena *a;
    struct lines base;
    struct request *reqs;
    size_t nreqs, cap;
    uint64_t resets;
    char why[512];
};

/* ---- lines ---- */

static struct slice key_of(struct slice line)
{
    const char *tab = memchr(line.p, '\t', line.n);

    return tab == NULL ? line : slice_of(line.p, (size_t)(tab - line.p));
}

/* The first line whose key is not less. */
static size_t lines_at(const struct lines *l, struct slice key)
{
    size_t lo = 0, hi = l->n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (slice_cmp(key_of(l->v[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void lines_del(struct lines *l, size_t at)
{
    memmove(&l->v[at], &l->v[at + 1], (--l->n - at) * sizeof *l->v);
}

static void lines_put(struct lines *l, struct slice line)
{
    size_t at = lines_at(l, key_of(line));

    if (at < l->n && slice_eq(key_of(l->v[at]), key_of(line))) {
        l->v[at] = line;
        return;
    }
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 32;
        l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
    }
    memmove(&l->v[at + 1], &l->v[at], (l->n++ - at) * sizeof *l->v);
    l->v[at] = line;
}

static bool next_line(struct slice *text, struct slice *line)
{
    const char *end = text->n != 0 ? memchr(text->p, '\n', text->n) : NULL;

    if (end == NULL)
        return false;
    *line = slice_of(text->p, (size_t)(end - text->p));
    *text = slice_of(end + 1, text->n - line->n - 1);
    return true;
}

static void lines_change(struct lines *l, struct slice changes)
{
    struct slice line;

    while (next_line(&changes, &line)) {
        struct slice what = slice_of(line.p + 1, line.n - 1);
        size_t at;

        if (line.p[0] == '+') {
            lines_put(l, what);
            continue;
        }
        at = lines_at(l, what);
        if (line.p[0] == '-' && at < l->n && slice_eq(key_of(l->v[at]), what))
            lines_del(l, at);
        while (line.p[0] == '*' && at < l->n && slice_starts(l->v[at], what))
            lines_del(l, at);
    }
}

static struct lines lines_copy(const struct lines *l)
{
    struct lines c = {.n = l->n, .cap = l->n};

    c.v = mem_array(l->n + 1, sizeof *c.v);
    if (l->n != 0)
        memcpy(c.v, l->v, l->n * sizeof *c.v);
    return c;
}

static struct lines lines_of(struct slice text)
{
    struct lines l = {0};
    struct slice line;

    while (next_line(&text, &line))
        lines_put(&l, line);
    return l;
}

/* The first line that is in one and not in the other; n 0: they are equal. */
static struct slice lines_differ(const struct lines *x, const struct lines *y, char *sign)
{
    for (size_t i = 0; i < x->n || i < y->n; i++) {
        int c = i >= x->n ? 1 : i >= y->n ? -1 : slice_cmp(x->v[i], y->v[i]);

        *sign = c < 0 ? '-' : '+';
        if (c != 0)
            return c < 0 ? x->v[i] : y->v[i];
    }
    return (struct slice){0};
}

/* ---- the oracle ---- */

struct oracle *oracle_new(void)
{
    struct oracle *o = mem_zalloc(sizeof *o);

    o->a = arena_new();
    return o;
}

void oracle_free(struct oracle *o)
{
    if (o == NULL)
        return;
    mem_free(o->base.v);
    mem_free(o->reqs);
    arena_free(o->a);
    mem_free(o);
}

static void add_request(struct oracle *o, struct request q)
{
    if (o->nreqs == o->cap) {
        o->cap = o->cap * 2 + 32;
        o->reqs = mem_realloc(o->reqs, o->cap * sizeof *o->reqs);
    }
    q.changes = arena_dup(o->a, q.changes);
    o->reqs[o->nreqs++] = q;
}

struct oracle *oracle_copy(const struct oracle *o)
{
    struct oracle *c = oracle_new();

    for (size_t i = 0; i < o->base.n; i++)
        lines_put(&c->base, arena_dup(c->a, o->base.v[i]));
    for (size_t i = 0; i < o->nreqs; i++)
        add_request(c, o->reqs[i]);
    c->resets = o->resets;
    return c;
}

void oracle_set(struct oracle *o, struct slice dump)
{
    mem_free(o->base.v);
    o->base = lines_of(arena_dup(o->a, dump));
    o->nreqs = 0;
    o->resets++;
}

uint64_t oracle_window(const struct oracle *o)
{
    uint64_t h = o->resets * 1000003;

    for (size_t i = 0; i < o->nreqs; i++)
        h = h * 31 + (uint64_t)o->reqs[i].is;
    return h;
}

const char *oracle_objects(struct oracle *o, struct slice dump)
{
    struct lines is = lines_of(dump), want = lines_copy(&o->base);
    size_t acked = 0, k = 0;
    struct slice line;
    char sign = '=';

    for (size_t i = 0; i < o->nreqs; i++)
        acked = o->reqs[i].is == 'A' ? i + 1 : acked;
    for (; k < acked; k++)
        if (o->reqs[k].is != 'R')
            lines_change(&want, o->reqs[k].changes);
    line = lines_differ(&want, &is, &sign);
    if (line.n != 0)
        (void)snprintf(o->why, sizeof o->why,
                       "against the %zu acknowledged of %zu requests: %c%.*s", acked, o->nreqs,
                       sign, line.n > 300 ? 300 : (int)line.n, line.p);
    for (; line.n != 0 && k < o->nreqs; k++) {
        char ignored;

        if (o->reqs[k].is == 'R')
            continue;
        lines_change(&want, o->reqs[k].changes);
        line = lines_differ(&want, &is, &ignored);
    }
    mem_free(is.v);
    mem_free(want.v);
    return line.n == 0 ? NULL : o->why;
}

bool oracle_mark(struct oracle *o, struct slice mark, const char **why)
{
    char *text = arena_cstr(o->a, mark);
    const char *end = memchr(mark.p, '\n', mark.n);
    struct slice rest =
        end == NULL ? (struct slice){0} : slice_of(end + 1, mark.n - (size_t)(end + 1 - mark.p));
    uint64_t n = strtoull(text + 1, NULL, 10);

    if (text[0] == 'D') {
        *why = oracle_objects(o, rest);
        oracle_set(o, rest);
        return *why == NULL;
    }
    if (text[0] == 'Q') {
        add_request(o, (struct request){n, rest, 'Q'});
        return true;
    }
    for (size_t i = 0; i < o->nreqs; i++)
        if (o->reqs[i].n == n)
            o->reqs[i].is = text[0];
    return true;
}

bool oracle_feed(struct oracle *o, const struct model *m, size_t prefix, const char **why)
{
    for (size_t i = 0; i < m->n && (i < prefix || m->ops[i].kind == TRACE_MARK); i++)
        if (m->ops[i].kind == TRACE_MARK &&
            !oracle_mark(o, slice_of(m->ops[i].data, m->ops[i].len), why))
            return false;
    return true;
}
