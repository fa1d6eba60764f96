/* mango/regex.c: see regex.h. The compiled pattern and its limits lie in the caller's arena; what a
 * match needs is one block per thread, freed when the thread ends. Threads: any.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "mango/regex.h"

#include <pcre2.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
};

static _Thread_local pcre2_match_data *match_data;
static pthread_key_t match_key;
static pthread_once_t match_once = PTHREAD_ONCE_INIT;

static void *heap_get(size_t n, void *arg)
{
    (void)arg;
    return mem_alloc(n);
}

static void heap_put(void *p, void *arg)
{
    (void)arg;
    mem_free(p);
}

static void *arena_get(size_t n, void *arena)
{
    return arena_alloc(arena, n);
}

static void arena_put(void *p, void *arena)
{
    (void)p; /* goes with the arena */
    (void)arena;
}

static void match_free(void *data)
{
    match_data = NULL;
    pcre2_match_data_free(data);
}

static void match_make_key(void)
{
    ASSERT(pthread_key_create(&match_key, match_free) == 0);
}

static pcre2_match_data *match_get(void)
{
    pcre2_general_context *gc;

    if (match_data != NULL)
        return match_data;
    gc = pcre2_general_context_create(heap_get, heap_put, NULL);
    match_data = pcre2_match_data_create(1, gc);
    pcre2_general_context_free(gc); /* the block keeps the two functions */
    ASSERT(match_data != NULL && pthread_once(&match_once, match_make_key) == 0);
    ASSERT(pthread_setspecific(match_key, match_data) == 0);
    return match_data;
}

enum status regex_compile(struct arena *a, struct slice pattern, const struct regex **out,
                          struct err *e)
{
    pcre2_general_context *gc = pcre2_general_context_create(arena_get, arena_put, a);
    pcre2_compile_context *cc = pcre2_compile_context_create(gc);
    struct regex *re = arena_alloc(a, sizeof *re);
    PCRE2_SIZE at = 0;
    int rc = 0;

    if (pattern.n > LIMIT_REGEX_BYTES)
        return err_set(e, ST_BAD_REQUEST, "longer than %d bytes", LIMIT_REGEX_BYTES);
    re->code = pcre2_compile((PCRE2_SPTR)(pattern.n != 0 ? pattern.p : ""), pattern.n,
                             PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &rc, &at, cc);
    if (re->code == NULL) {
        PCRE2_UCHAR text[128] = "";
        (void)pcre2_get_error_message(rc, text, sizeof text);
        return err_set(e, ST_BAD_REQUEST, "%s at byte %zu", (const char *)text, at);
    }
    re->limits = pcre2_match_context_create(gc);
    (void)pcre2_set_match_limit(re->limits, LIMIT_REGEX_STEPS);
    (void)pcre2_set_depth_limit(re->limits, LIMIT_REGEX_DEPTH);
    (void)pcre2_set_heap_limit(re->limits, LIMIT_REGEX_HEAP_KIB);
    *out = re;
    return ST_OK;
}

int regex_match(const struct regex *re, struct slice text)
{
    int rc = pcre2_match(re->code, (PCRE2_SPTR)(text.n != 0 ? text.p : ""), text.n, 0, 0,
                         match_get(), re->limits);

    if (rc >= 0)
        return 1; /* 0: more groups than we have room for */
    return rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}
