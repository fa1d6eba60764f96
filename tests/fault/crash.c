/* tests/fault/crash.c: crash-state enumeration. Every plan is run once under trace.so; for every
 * prefix of its file calls the states that a power cut there may leave are listed; as many of them
 * as asked for are made real, recovered and checked. Some of the recoveries are traced and cut
 * themselves.
 */
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/time.h"

enum state_kind {
    STATE_ALL,     /* nothing is lost */
    STATE_NONE,    /* everything that may be lost is */
    STATE_MISSING, /* all but one */
    STATE_ONLY,    /* one */
    STATE_RANDOM,
    STATE_TORN_ALL,  /* the last write cut at a 512-byte boundary, all else there */
    STATE_TORN_NONE, /* likewise, all else lost */
    STATE_PAGES,     /* sizes are there, bytes are zeros, garbage or either */
    STATE_NAMES_ALL, /* names lost from the end, as a journal does; all bytes there */
    STATE_NAMES_NONE /* likewise; bytes lost */
};
static const char *const KIND_NAMES[] = {"all",       "none",      "missing",   "only",
                                         "random",    "torn_all",  "torn_none", "pages",
                                         "names_all", "names_none"};
struct state {
    uint32_t prefix, arg;
    enum state_kind kind;
};
enum { ALONE_MAX = 12, RANDOMS = 8, CUTS_MAX = 8, SECTOR = 512, NAMES_MAX = 8, PAGES_SEEDS = 4 };

struct states {
    struct state *v;
    size_t n, cap;
};

static void add_states(struct states *l, size_t prefix, enum state_kind kind, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (l->n == l->cap) {
            l->cap = l->cap * 2 + 1024;
            l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
        }
        l->v[l->n++] = (struct state){(uint32_t)prefix, (uint32_t)i, kind};
    }
}

/* ---- what is pending at a prefix ---- */

struct pending {
    size_t *v; /* bytes and names, in order */
    size_t n, names;
    size_t last_write; /* SIZE_MAX: none */
};

static bool is_pending(const struct fsop *op, size_t prefix, bool journal)
{
    if (fsop_is_bytes(op))
        return op->synced >= prefix;
    return fsop_is_name(op) && (journal ? op->journaled : op->synced) >= prefix;
}

static struct pending pending_at(const struct model *m, size_t prefix, bool journal)
{
    struct pending p = {.v = mem_array(prefix + 1, sizeof *p.v), .last_write = SIZE_MAX};

    for (size_t i = 0; i < prefix; i++) {
        if (!is_pending(&m->ops[i], prefix, journal))
            continue;
        p.v[p.n++] = i;
        p.names += fsop_is_name(&m->ops[i]) ? 1 : 0;
        if (m->ops[i].kind == TRACE_WRITE)
            p.last_write = i;
    }
    return p;
}

static size_t cuts_of(const struct fsop *op)
{
    size_t n = op->len / SECTOR + 1;

    return n < CUTS_MAX ? n : CUTS_MAX;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void list_prefix(struct states *l, const struct model *m, size_t prefix)
{
    struct pending p = pending_at(m, prefix, false), j = pending_at(m, prefix, true);

    add_states(l, prefix, STATE_ALL, 1);
    add_states(l, prefix, STATE_NONE, p.n != 0 ? 1 : 0);
    if (p.n > 1) {
        add_states(l, prefix, STATE_MISSING, min_size(p.n, ALONE_MAX));
        add_states(l, prefix, STATE_ONLY, min_size(p.n, ALONE_MAX));
    }
    add_states(l, prefix, STATE_RANDOM, p.n > 2 ? RANDOMS : 0);
    if (p.last_write != SIZE_MAX) {
        add_states(l, prefix, STATE_TORN_ALL, cuts_of(&m->ops[p.last_write]));
        add_states(l, prefix, STATE_TORN_NONE, cuts_of(&m->ops[p.last_write]));
        add_states(l, prefix, STATE_PAGES, PAGES_SEEDS);
    }
    add_states(l, prefix, STATE_NAMES_ALL, min_size(j.names, NAMES_MAX));
    add_states(l, prefix, STATE_NAMES_NONE, min_size(j.names, NAMES_MAX) + 1);
    mem_free(p.v);
    mem_free(j.v);
}

static struct states list_states(const struct model *m)
{
    struct states l = {0};

    for (size_t i = 0; i < m->n; i++)
        if (m->ops[i].kind != TRACE_MARK)
            list_prefix(&l, m, i + 1);
    return l;
}

/* ---- a choice out of a state ---- */

static void keep_alone(unsigned char *keep, const struct pending *p, const struct state *s)
{
    bool missing = s->kind == STATE_MISSING;

    for (size_t i = 0; i < p->n; i++)
        keep[p->v[i]] = missing;
    keep[p->v[p->n - 1 - s->arg % p->n]] =
        !missing; /* the last ones: the earlier were last before */
}

static void keep_torn(struct choice *c, const struct model *m, const struct pending *p,
                      const struct state *s)
{
    const struct fsop *op = &m->ops[p->last_write];
    size_t cuts = op->len / SECTOR + 1, at = s->arg;

    if (cuts > CUTS_MAX) /* the first ones, the last one, and some between */
        at = s->arg < 3 ? s->arg : cuts - 1 - (CUTS_MAX - 1 - s->arg) * (cuts / CUTS_MAX);
    for (size_t i = 0; i < p->n; i++)
        c->keep[p->v[i]] = s->kind == STATE_TORN_ALL;
    c->keep[p->last_write] = 1;
    c->torn = p->last_write;
    c->torn_bytes = at * SECTOR + SECTOR - op->off % SECTOR; /* boundaries are the file's */
    if (s->arg == 0)
        c->torn_bytes = 0;
    if (c->torn_bytes > op->len)
        c->torn_bytes = op->len;
}

/* Names are lost from the end: arg + 1 of them. */
static void keep_names(struct choice *c, const struct model *m, const struct pending *p,
                       const struct state *s)
{
    size_t lost = s->kind == STATE_NAMES_ALL ? s->arg + 1 : s->arg, seen = 0;

    for (size_t i = p->n; i-- > 0;) {
        if (fsop_is_name(&m->ops[p->v[i]]))
            c->keep[p->v[i]] = seen++ >= lost;
        else
            c->keep[p->v[i]] = s->kind == STATE_NAMES_ALL;
    }
}

static struct choice choose(const struct model *m, const struct state *s)
{
    struct choice c = {.prefix = s->prefix, .torn = SIZE_MAX};
    struct pending p;

    c.keep = mem_zalloc(s->prefix + 1);
    c.seed = (uint64_t)s->prefix << 32 | (uint64_t)s->kind << 24 | s->arg;
    c.journal = s->kind == STATE_NAMES_ALL || s->kind == STATE_NAMES_NONE;
    p = pending_at(m, s->prefix, c.journal);
    for (size_t i = 0; i < p.n; i++)
        c.keep[p.v[i]] = s->kind == STATE_ALL || s->kind == STATE_PAGES;
    if (s->kind == STATE_MISSING || s->kind == STATE_ONLY)
        keep_alone(c.keep, &p, s);
    if (s->kind == STATE_TORN_ALL || s->kind == STATE_TORN_NONE)
        keep_torn(&c, m, &p, s);
    if (c.journal)
        keep_names(&c, m, &p, s);
    if (s->kind == STATE_PAGES)
        c.pages = s->arg == 0 ? PAGES_ZERO : s->arg == 1 ? PAGES_GARBAGE : PAGES_MIXED;
    if (s->kind == STATE_RANDOM) {
        uint64_t seed = c.seed;

        for (size_t i = 0; i < p.n; i++)
            c.keep[p.v[i]] = fault_random(&seed) % 2 != 0;
    }
    mem_free(p.v);
    return c;
}

/* ---- checking them ---- */

struct campaign {
    const struct fault_args *args;
    struct place place;
    const char *plan;
    uint64_t seen_n, seen_cap, *seen; /* images that were checked */
    uint64_t states, violations;
};

/* false: it was there. */
static bool seen_add(struct campaign *c, uint64_t h)
{
    h = h == 0 ? 1 : h;
    if (c->seen_n * 2 >= c->seen_cap) {
        uint64_t *old = c->seen, cap = c->seen_cap;

        c->seen_cap = cap * 2 + 1024;
        c->seen = mem_zalloc(c->seen_cap * sizeof *c->seen);
        c->seen_n = 0;
        for (uint64_t i = 0; i < cap; i++)
            if (old[i] != 0)
                (void)seen_add(c, old[i]);
        mem_free(old);
    }
    for (uint64_t i = h % c->seen_cap;; i = (i + 1) % c->seen_cap) {
        if (c->seen[i] == h)
            return false;
        if (c->seen[i] == 0) {
            c->seen[i] = h;
            c->seen_n++;
            return true;
        }
    }
}

static void violation(struct campaign *c, const struct state *s, const char *deep, const char *why)
{
    c->violations++;
    printf("VIOLATION %s%s: state %u:%s:%u: %s\n", c->plan, deep, s->prefix, KIND_NAMES[s->kind],
           s->arg, why);
    (void)fflush(stdout);
}

/* One state of a trace that began with oracle `begin`. *c->states counts it when it is new; the
 * directory that it was made in is left, or NULL. */
static const char *check_one(struct campaign *c, const struct model *m, const struct oracle *begin,
                             const struct state *s, const char *deep)
{
    struct arena *a = arena_new();
    struct choice ch = choose(m, s);
    struct oracle *o = oracle_copy(begin);
    const char *why = NULL, *data;
    char *dir;
    bool is_new = false;

    if (!oracle_feed(o, m, s->prefix, &why)) {
        violation(c, s, deep, why); /* the traced run itself read something impossible */
    } else if (seen_add(c, model_hash(m, &ch) ^ oracle_window(o) * 0x9e3779b97f4a7c15u)) {
        is_new = true;
        c->states++;
        dir = place_fresh(&c->place, "state", a);
        model_write(m, &ch, dir);
        data = arena_cstr(a, arena_printf(a, "%s/d", dir));
        why = check_state(data, o);
        if (why != NULL)
            violation(c, s, deep, why);
    }
    oracle_free(o);
    mem_free(ch.keep);
    arena_free(a);
    return is_new && why == NULL ? "" : NULL;
}

static void shuffle(struct states *l, uint64_t seed)
{
    for (size_t i = l->n; i > 1; i--) {
        size_t k = fault_random(&seed) % i;
        struct state t = l->v[i - 1];

        l->v[i - 1] = l->v[k];
        l->v[k] = t;
    }
}

/* The recovery from one state, traced and cut again. */
static void check_deep(struct campaign *c, const struct model *m, const struct state *s,
                       uint64_t budget)
{
    struct arena *a = arena_new();
    struct choice ch = choose(m, s);
    struct model *deep = model_new();
    struct oracle *o = oracle_new();
    char *root = place_fresh(&c->place, "deep", a);
    char *trace = arena_cstr(a, arena_printf(a, "%s/deep.trace", c->place.dir));
    struct run r = {.script = "nothing", .phase = 9, .root = root, .trace = trace, .fail = ""};
    char from[64];
    const char *why;
    struct states l;
    uint64_t until = c->states + budget;

    (void)unlink(trace);
    (void)snprintf(from, sizeof from, " (recovery of %u:%s:%u)", s->prefix, KIND_NAMES[s->kind],
                   s->arg);
    (void)oracle_feed(o, m, s->prefix, &why);
    model_write(m, &ch, root);
    model_begin_with(deep, root);
    if (run_script(&c->place, &r) != RUN_DONE) {
        violation(c, s, " (traced recovery)", "did not end well");
    } else {
        model_read(deep, trace, root);
        l = list_states(deep);
        shuffle(&l, c->args->seed ^ ch.seed);
        for (size_t i = 0; i < l.n && c->states < until; i++)
            (void)check_one(c, deep, o, &l.v[i], from);
        mem_free(l.v);
    }
    oracle_free(o);
    model_free(deep);
    mem_free(ch.keep);
    arena_free(a);
}

/* Runs a plan's phases; false: one of them ended as it must not. */
static bool trace_plan(struct campaign *c, const struct plan *plan, const char *root,
                       const char *trace)
{
    static const char *const ENDS[] = {"done", "refused", "stopped", "killed", "wrong"};

    (void)unlink(trace);
    for (unsigned i = 0; i < PLAN_PHASES && plan->fail[i] != NULL; i++) {
        struct run r = {plan->script, i, root, trace, plan->fail[i], NULL};
        enum run_end end = run_script(&c->place, &r);

        if (c->args->verbose)
            printf("%s: phase %u: %s\n", plan->name, i, ENDS[end]);
        if (end == RUN_WRONG || (end != RUN_DONE && plan->fail[i][0] == '\0')) {
            printf("VIOLATION %s: phase %u: the process ended: %s\n", plan->name, i, ENDS[end]);
            c->violations++;
            return false;
        }
    }
    return true;
}

static uint64_t weight(const struct campaign *c, const struct plan *plan)
{
    if (c->args->only != NULL && strcmp(c->args->only, plan->name) != 0)
        return 0;
    return plan->weight != 0 ? plan->weight : 1;
}

static void run_plan(struct campaign *c, const struct plan *plan, uint64_t budget)
{
    struct arena *a = arena_new();
    struct model *m = model_new();
    struct oracle *o = oracle_new();
    char *root = place_fresh(&c->place, "plan", a);
    char *trace = arena_cstr(a, arena_printf(a, "%s/plan.trace", c->place.dir));
    uint64_t before = c->states, t0 = time_mono_us(), deep = budget / 5, every = 0;
    struct states l = {0};

    c->plan = plan->name;
    if (trace_plan(c, plan, root, trace)) {
        model_read(m, trace, root);
        l = list_states(m);
        shuffle(&l, c->args->seed);
        every = deep / 8 + 1; /* states of each recovery that is cut */
    }
    for (size_t i = 0; i < l.n && c->states < before + budget; i++)
        if (check_one(c, m, o, &l.v[i], "") != NULL && deep != 0) {
            check_deep(c, m, &l.v[i], every);
            deep -= min_size(deep, every);
        }
    printf("%-24s %5zu calls %7zu states possible %6llu checked %6.1f s\n", plan->name, m->n, l.n,
           (unsigned long long)(c->states - before), (double)(time_mono_us() - t0) / 1e6);
    (void)fflush(stdout);
    mem_free(l.v);
    oracle_free(o);
    model_free(m);
    arena_free(a);
}

/* One state by its name, with the store's messages, left to be looked at. */
static void run_state(struct campaign *c, const struct plan *plan)
{
    struct arena *a = arena_new();
    struct model *m = model_new();
    struct oracle *o = oracle_new();
    char *root = place_fresh(&c->place, "plan", a), *end, *end2;
    char *trace = arena_cstr(a, arena_printf(a, "%s/plan.trace", c->place.dir));
    struct state s = {.prefix = (uint32_t)strtoul(c->args->state, &end, 10)};

    end = *end == ':' ? end + 1 : end;
    for (size_t i = 0; i < sizeof KIND_NAMES / sizeof *KIND_NAMES; i++)
        if (strncmp(end, KIND_NAMES[i], strcspn(end, ":")) == 0 &&
            strlen(KIND_NAMES[i]) == strcspn(end, ":"))
            s.kind = (enum state_kind)i;
    end2 = strchr(end, ':');
    s.arg = end2 != NULL ? (uint32_t)strtoul(end2 + 1, NULL, 10) : 0;
    c->plan = plan->name;
    if (trace_plan(c, plan, root, trace)) {
        model_read(m, trace, root);
        if (s.prefix <= m->n)
            (void)check_one(c, m, o, &s, "");
    }
    oracle_free(o);
    model_free(m);
    arena_free(a);
}

int cut_run(const struct cut_args *args)
{
    struct model *m = model_new();
    struct states l = {0};
    uint64_t seed = args->seed;
    struct choice ch;
    struct state s;

    m->killed = true;
    model_begin_with(m, args->base);
    model_read(m, args->trace, args->root);
    list_prefix(&l, m, m->n);
    s = l.v[fault_random(&seed) % l.n];
    ch = choose(m, &s);
    ch.seed ^= args->seed << 1; /* another run with as many calls gets other garbage */
    model_write(m, &ch, args->out);
    printf("%u:%s:%u of %zu states\n", s.prefix, KIND_NAMES[s.kind], s.arg, l.n);
    mem_free(ch.keep);
    mem_free(l.v);
    model_free(m);
    return 0;
}

int crash_run(const struct fault_args *args)
{
    struct campaign c = {.args = args};
    uint64_t t0 = time_mono_us(), shares = 0;

    place_begin(&c.place, args->under);
    for (unsigned i = 0; i < PLANS_N; i++)
        shares += weight(&c, &PLANS[i]);
    if (shares == 0)
        fault_die("no plan %s", args->only);
    for (unsigned i = 0; i < PLANS_N; i++) {
        uint64_t w = weight(&c, &PLANS[i]), left = args->n - min_size(args->n, c.states);

        if (w != 0 && args->state != NULL)
            run_state(&c, &PLANS[i]);
        else if (w != 0) /* what plans with few states leave goes to the next ones */
            run_plan(&c, &PLANS[i], (left * w + shares - 1) / shares);
        shares -= w;
    }
    printf("crash states: %llu checked, %llu violations, %.1f s\n", (unsigned long long)c.states,
           (unsigned long long)c.violations, (double)(time_mono_us() - t0) / 1e6);
    if (!args->keep)
        place_end(&c.place);
    else
        printf("kept: %s\n", c.place.dir);
    mem_free(c.seen);
    return c.violations == 0 ? 0 : 1;
}
