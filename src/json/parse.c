/* json/parse.c: text to values, through yajl's SAX interface and no other part of it.
 *
 * What yajl leaves open is decided here: depth is bounded; UTF-8 is checked by us for the whole
 * text (yajl takes overlong forms and encoded surrogates); \v and \f are refused (yajl takes them
 * for whitespace); escapes that name lone surrogates are refused; of members with one name the last
 * stays, where it stands (revision ids depend on the order); numbers keep their text.
 *
 * Spans: the whole text is fed at once, so a token starts after the end of the one before it and
 * the separators between them. The end of a string that had escapes (yajl hands out a decoded copy)
 * is yajl_get_bytes_consumed(), which inside a callback is the end of the current token.
 *
 * Numbers in an array are only counted while nothing else has been seen in it; nodes are made from
 * the text when something else comes, or at the end when they are few.
 *
 * Threads: any; a parser lives on the stack of its caller.
 */
#include <pthread.h>
#include <yajl/yajl_parse.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/thread.h"
#include "json/number.h"

enum {
    NAMES_LINEAR = 16,      /* members that are compared one by one; more get a table */
    CLEAN_BYTES = 64 << 10, /* some 10 us each */
    PAUSE_BYTES = 8 << 10,
    SCRATCH_BYTES = 4096 /* what yajl needs for a text without long escaped strings */
};

/* The names of one large object: open addressing, at most half full. */
struct names {
    uint32_t cap; /* a power of two */
    struct json **at;
};

/* An array or object that is not closed yet. */
struct frame {
    struct json *node;
    size_t start;       /* where its bracket is */
    size_t blanks;      /* struct parser's, when it began */
    struct slice key;   /* object: the name of the coming value */
    struct json *slot;  /* object: the member that the coming value puts out, or NULL */
    struct names names; /* object with more than NAMES_LINEAR members, else at == NULL */
    bool numbers;       /* array: only numbers so far, counted in node->count, without nodes */
};

struct parser {
    struct arena *a;
    struct slice text;
    yajl_handle yajl;
    size_t prev;   /* end of the last token */
    size_t blanks; /* whitespace between tokens so far */
    size_t pause_at;
    uint32_t nodes;
    unsigned depth;
    struct json *root;
    const char *why; /* why a callback stopped the parse */
    bool too_large;
    size_t scratch_used;
    struct frame frames[LIMIT_JSON_DEPTH];
    _Alignas(16) char scratch[SCRATCH_BYTES];
};

/* ---- memory for yajl: off the parser's scratch while it lasts ---- */

static bool in_scratch(const struct parser *p, const void *mem)
{
    uintptr_t at = (uintptr_t)mem, from = (uintptr_t)p->scratch;

    return at >= from && at < from + SCRATCH_BYTES;
}

static void *yajl_mem_alloc(void *ctx, size_t n)
{
    struct parser *p = ctx;
    size_t size = (n + 15) & ~(size_t)15;
    void *mem;

    if (size < n || size > SCRATCH_BYTES - p->scratch_used)
        return mem_alloc(n);
    mem = p->scratch + p->scratch_used;
    p->scratch_used += size;
    return mem;
}

static void yajl_mem_free(void *ctx, void *mem)
{
    if (mem != NULL && !in_scratch(ctx, mem))
        mem_free(mem);
}

static void *yajl_mem_realloc(void *ctx, void *mem, size_t n)
{
    struct parser *p = ctx;
    size_t most;
    void *moved;

    if (mem == NULL)
        return yajl_mem_alloc(ctx, n);
    if (!in_scratch(p, mem))
        return mem_realloc(mem, n);
    /* its old size is not known: what follows it in the scratch is copied as well, harmlessly */
    most = SCRATCH_BYTES - (size_t)((char *)mem - p->scratch);
    moved = mem_alloc(n);
    memcpy(moved, mem, n < most ? n : most);
    return moved;
}

/* ---- names ---- */

static unsigned char names_seed[16]; /* clients choose the names */
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void names_draw_seed(void)
{
    random_bytes(names_seed, sizeof names_seed);
}

/* The place of name, or the free place where it would go. */
static struct json **names_find(const struct names *t, struct slice name)
{
    uint32_t i = (uint32_t)siphash(names_seed, name.p, name.n) & (t->cap - 1);

    while (t->at[i] != NULL && !slice_eq(t->at[i]->key, name))
        i = (i + 1) & (t->cap - 1);
    return &t->at[i];
}

static void names_rebuild(struct parser *p, struct frame *f)
{
    struct names *t = &f->names;

    ASSERT(pthread_once(&names_once, names_draw_seed) == 0);
    t->cap = t->cap != 0 ? t->cap * 4 : NAMES_LINEAR * 4;
    t->at = arena_zalloc(p->a, t->cap * sizeof(struct json *));
    for (struct json *v = f->node->first; v != NULL; v = v->next)
        if (!v->dead)
            *names_find(t, v->key) = v;
}

static struct json *member_find(const struct frame *f, struct slice name)
{
    if (f->names.at != NULL)
        return *names_find(&f->names, name);
    for (struct json *v = f->node->first; v != NULL; v = v->next)
        if (!v->dead && slice_eq(v->key, name))
            return v;
    return NULL;
}

/* Takes the dead members out, all at once: one by one would cost clients' squares. */
static void members_bury(struct json *obj)
{
    struct json *v = obj->first, *next;

    obj->first = obj->last = NULL;
    obj->count = 0;
    for (; v != NULL; v = next) {
        next = v->next;
        v->next = NULL;
        if (!v->dead)
            node_append(obj, v);
    }
}

/* ---- nodes ---- */

static struct json *node_new(struct parser *p, uint32_t count)
{
    if (count > LIMIT_JSON_NODES - p->nodes) {
        p->too_large = true;
        return NULL;
    }
    p->nodes += count;
    return arena_alloc(p->a, sizeof(struct json));
}

/* Something else than a number comes into an array of numbers, at text offset `at`. */
static bool numbers_end(struct parser *p, struct frame *f, size_t at)
{
    uint32_t count = f->node->count;

    f->numbers = false;
    if (count > LIMIT_JSON_NODES - p->nodes) {
        p->too_large = true;
        return false;
    }
    p->nodes += count;
    number_link(p->a, f->node, slice_of(p->text.p + f->start, at - f->start), count);
    ASSERT(f->node->count == count);
    return true;
}

static struct json *node_into_object(struct parser *p, struct frame *f)
{
    struct json *v;

    if (f->slot != NULL)
        f->slot->dead = f->node->dup = true;
    v = node_new(p, 1);
    if (v == NULL)
        return NULL;
    *v = (struct json){.key = f->key, .attached = true};
    node_append(f->node, v);
    if (f->names.at != NULL)
        *names_find(&f->names, v->key) = v;
    if (f->node->count > NAMES_LINEAR && f->node->count * 2 > f->names.cap)
        names_rebuild(p, f);
    return v;
}

/* A node in its place for the value that starts at `at`; NULL stops the parse. */
static struct json *node_add(struct parser *p, enum json_type type, size_t at)
{
    struct frame *f = p->depth != 0 ? &p->frames[p->depth - 1] : NULL;
    struct json *v;

    if (f != NULL && f->node->type == JSON_OBJECT) {
        v = node_into_object(p, f);
        if (v == NULL)
            return NULL;
        v->type = type;
        return v;
    }
    if (f != NULL && f->numbers && !numbers_end(p, f, at))
        return NULL;
    v = node_new(p, 1);
    if (v == NULL)
        return NULL;
    *v = (struct json){.type = type, .attached = true};
    if (f != NULL)
        node_append(f->node, v);
    else
        p->root = v;
    return v;
}

/* ---- tokens ---- */

/* Where the current token starts: behind the separators that follow the last one. */
static size_t token_start(struct parser *p)
{
    size_t at = p->prev;

    for (; at < p->text.n; at++) {
        char c = p->text.p[at];

        if (c == ' ' || c == '\n' || c == '\t' || c == '\r')
            p->blanks++;
        else if (c != ',' && c != ':')
            break;
    }
    return at;
}

/* Notes the token [at, at + n) as taken and returns its text. */
static struct slice token_take(struct parser *p, size_t at, size_t n)
{
    ASSERT(n <= p->text.n - at);
    p->prev = at + n;
    if (p->prev >= p->pause_at) {
        p->pause_at = p->prev + PAUSE_BYTES;
        thread_pause();
    }
    return slice_of(p->text.p + at, n);
}

static bool in_text(const struct parser *p, const unsigned char *s)
{
    uintptr_t at = (uintptr_t)s, from = (uintptr_t)p->text.p;

    return at >= from && at < from + p->text.n;
}

static unsigned hex4(const char *p)
{
    unsigned char out[2] = {0, 0};

    (void)hex_decode(slice_of(p, 4), out); /* the lexer has seen to it that they are hex */
    return (unsigned)out[0] << 8 | out[1];
}

/* Escapes in a token that the lexer accepted: every \ud800-\udbff is followed by \udc00-\udfff
 * and none of the latter stands alone. */
static bool surrogates_paired(struct slice raw)
{
    const char *end = raw.p + raw.n;
    const char *p = raw.p;

    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        unsigned unit;

        if (end - p < 6 || p[1] != 'u') {
            p += 2;
            continue;
        }
        unit = hex4(p + 2);
        p += 6;
        if (unit < 0xd800 || unit > 0xdfff)
            continue;
        if (unit > 0xdbff || end - p < 6 || p[0] != '\\' || p[1] != 'u')
            return false;
        unit = hex4(p + 2);
        if (unit < 0xdc00 || unit > 0xdfff)
            return false;
        p += 6;
    }
    return true;
}

/* The decoded text of a string token: of the input, or a copy when it had escapes. */
static bool token_string(struct parser *p, const unsigned char *s, size_t n, struct slice *text,
                         struct slice *raw)
{
    size_t at = token_start(p);

    if (in_text(p, s)) {
        *raw = token_take(p, at, n + 2);
        *text = slice_of(p->text.p + at + 1, n);
        return true;
    }
    *raw = token_take(p, at, yajl_get_bytes_consumed(p->yajl) - at);
    if (!surrogates_paired(*raw)) {
        p->why = "lone surrogate";
        return false;
    }
    *text = arena_dup(p->a, slice_of(s, n));
    return true;
}

/* ---- callbacks; 0 stops the parse ---- */

static int on_word(struct parser *p, enum json_type type, size_t n)
{
    size_t at = token_start(p);
    struct json *v = node_add(p, type, at);

    if (v == NULL)
        return 0;
    v->raw = token_take(p, at, n);
    return 1;
}

static int on_null(void *ctx)
{
    return on_word(ctx, JSON_NULL, 4);
}

static int on_boolean(void *ctx, int value)
{
    return value != 0 ? on_word(ctx, JSON_TRUE, 4) : on_word(ctx, JSON_FALSE, 5);
}

static int on_number(void *ctx, const char *s, size_t n)
{
    struct parser *p = ctx;
    struct frame *f = p->depth != 0 ? &p->frames[p->depth - 1] : NULL;
    size_t at = token_start(p);
    struct json *v;

    (void)s; /* a number that ends the text comes from yajl's own buffer */
    if (f != NULL && f->numbers) {
        f->node->count++;
        (void)token_take(p, at, n);
        return 1;
    }
    v = node_add(p, JSON_NUMBER, at);
    if (v == NULL)
        return 0;
    v->raw = v->text = token_take(p, at, n);
    return 1;
}

static int on_string(void *ctx, const unsigned char *s, size_t n)
{
    struct parser *p = ctx;
    struct slice text, raw;
    struct json *v;

    if (!token_string(p, s, n, &text, &raw))
        return 0;
    v = node_add(p, JSON_STRING, (size_t)(raw.p - p->text.p));
    if (v == NULL)
        return 0;
    v->text = text;
    v->raw = raw;
    return 1;
}

static int on_key(void *ctx, const unsigned char *s, size_t n)
{
    struct parser *p = ctx;
    struct frame *f = &p->frames[p->depth - 1];
    struct slice raw;

    if (!token_string(p, s, n, &f->key, &raw))
        return 0;
    f->slot = member_find(f, f->key);
    return 1;
}

static int on_open(struct parser *p, enum json_type type)
{
    size_t at = token_start(p);
    struct frame *f;
    struct json *v;

    if (p->depth == LIMIT_JSON_DEPTH) {
        p->why = "nested too deeply";
        return 0;
    }
    v = node_add(p, type, at);
    if (v == NULL)
        return 0;
    (void)token_take(p, at, 1);
    f = &p->frames[p->depth++];
    *f = (struct frame){.node = v, .start = at, .blanks = p->blanks, .numbers = type == JSON_ARRAY};
    return 1;
}

static int on_close(void *ctx)
{
    struct parser *p = ctx;
    struct frame *f = &p->frames[p->depth - 1];
    size_t at = token_start(p);
    struct json *v = f->node;
    struct slice raw;

    (void)token_take(p, at, 1);
    raw = slice_of(p->text.p + f->start, at + 1 - f->start);
    if (f->numbers && v->count > JSON_PACK_MIN) {
        v->packed = true;
        v->text = raw;
    } else if (f->numbers && v->count != 0 && !numbers_end(p, f, at)) {
        return 0;
    }
    v->blank = p->blanks != f->blanks;
    if (v->dup && v->type == JSON_OBJECT)
        members_bury(v);
    if (!v->dup)
        v->raw = raw;
    p->depth--;
    if (v->dup && p->depth != 0)
        p->frames[p->depth - 1].node->dup = true;
    return 1;
}

static int on_open_map(void *ctx)
{
    return on_open(ctx, JSON_OBJECT);
}

static int on_open_array(void *ctx)
{
    return on_open(ctx, JSON_ARRAY);
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_open_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_close,
    .yajl_start_array = on_open_array,
    .yajl_end_array = on_close,
};

/* ---- the whole ---- */

static bool piece_clean(struct slice text)
{
    return utf8_valid(text) && memchr(text.p, '\v', text.n) == NULL &&
           memchr(text.p, '\f', text.n) == NULL;
}

/* Without what yajl would take although JSON does not. Piece by piece: a text may be large. */
static bool text_clean(struct slice text)
{
    for (size_t at = 0, n; at < text.n; at += n) {
        n = text.n - at < CLEAN_BYTES ? text.n - at : CLEAN_BYTES;
        while (at + n < text.n && (text.p[at + n] & 0xc0) == 0x80)
            n++; /* a character ends in the piece that it begins in */
        if (!piece_clean(slice_of(text.p + at, n)))
            return false;
        if (at + n < text.n)
            thread_pause();
    }
    return true;
}

static enum status parse_failed(struct parser *p, yajl_status how, struct err *e)
{
    size_t at = how == yajl_status_error ? yajl_get_bytes_consumed(p->yajl) : p->prev;
    unsigned char *text;

    if (p->too_large)
        return err_set(e, ST_TOO_LARGE, "more than %u JSON values", LIMIT_JSON_NODES);
    if (p->why != NULL)
        return err_set(e, ST_BAD_REQUEST, "invalid UTF-8 JSON: %s at byte %zu", p->why, at);
    text = yajl_get_error(p->yajl, 0, (const unsigned char *)p->text.p, p->text.n);
    err_set(e, ST_BAD_REQUEST, "invalid UTF-8 JSON: %.*s at byte %zu",
            text != NULL ? (int)strcspn((char *)text, "\n") : 0, text != NULL ? (char *)text : "",
            at);
    yajl_free_error(p->yajl, text);
    return ST_BAD_REQUEST;
}

enum status json_parse(struct arena *a, struct slice text, const struct json **out, struct err *e)
{
    struct parser p;
    yajl_alloc_funcs funcs = {yajl_mem_alloc, yajl_mem_realloc, yajl_mem_free, &p};
    enum status st = ST_OK;
    yajl_status how;

    if (text.n > LIMIT_JSON_BYTES)
        return err_set(e, ST_TOO_LARGE, "more than %u bytes of JSON", LIMIT_JSON_BYTES);
    if (!text_clean(text))
        return err_set(e, ST_BAD_REQUEST, "invalid UTF-8 JSON");
    /* by hand: clearing the frames would cost more than parsing a small text */
    p.a = a;
    p.text = text;
    p.prev = p.blanks = p.scratch_used = 0;
    p.pause_at = PAUSE_BYTES;
    p.nodes = p.depth = 0;
    p.root = NULL;
    p.why = NULL;
    p.too_large = false;
    p.yajl = yajl_alloc(&callbacks, &funcs, &p);
    ASSERT(p.yajl != NULL);
    yajl_config(p.yajl, yajl_dont_validate_strings, 1);
    how = yajl_parse(p.yajl, (const unsigned char *)text.p, text.n);
    if (how == yajl_status_ok)
        how = yajl_complete_parse(p.yajl);
    if (how != yajl_status_ok)
        st = parse_failed(&p, how, e);
    else
        *out = p.root;
    yajl_free(p.yajl);
    return st;
}
