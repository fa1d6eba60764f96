/* json/collate.c: CouchDB's order of values; the only file that includes ICU.
 *
 * Strings go through the root collation at its default strength, as in CouchDB. Each thread opens
 * one collator at its first comparison (opening takes far longer than comparing) and closes it when
 * the thread ends. Threads: any.
 */
#include <pthread.h>
#include <unicode/ucol.h>

#include "base/assert.h"
#include "base/limits.h"
#include "json/number.h"

static _Thread_local UCollator *collator;
static pthread_key_t collator_key;
static pthread_once_t collator_once = PTHREAD_ONCE_INIT;

static void collator_close(void *c)
{
    collator = NULL;
    ucol_close(c);
}

static void collator_make_key(void)
{
    ASSERT(pthread_key_create(&collator_key, collator_close) == 0);
}

static UCollator *collator_get(void)
{
    UErrorCode rc = U_ZERO_ERROR;

    if (collator != NULL)
        return collator;
    ASSERT(pthread_once(&collator_once, collator_make_key) == 0);
    collator = ucol_open("", &rc); /* "" is the root */
    ASSERT(U_SUCCESS(rc) && collator != NULL);
    ASSERT(pthread_setspecific(collator_key, collator) == 0);
    return collator;
}

/* ucol_strcollUTF8 gives what CouchDB's ucol_strcollIter over UTF-8 iterators gives, with a fast
 * path for Latin letters. */
static int collate_strings(struct slice x, struct slice y)
{
    UErrorCode rc = U_ZERO_ERROR;
    UCollationResult r;

    if (slice_eq(x, y))
        return 0;
    ASSERT(x.n <= INT32_MAX && y.n <= INT32_MAX);
    r = ucol_strcollUTF8(collator_get(), x.n != 0 ? x.p : "", (int32_t)x.n, y.n != 0 ? y.p : "",
                         (int32_t)y.n, &rc);
    ASSERT(U_SUCCESS(rc));
    return r == UCOL_LESS ? -1 : r == UCOL_GREATER ? 1 : 0;
}

/* Walks the elements of an array, packed or not. */
struct walk {
    const struct json *next;
    struct slice rest; /* packed: the text to come */
    struct json number;
    bool packed;
};

static struct walk walk_of(const struct json *arr)
{
    return (struct walk){.next = arr->first, .rest = arr->text, .packed = arr->packed};
}

static const struct json *walk_step(struct walk *w)
{
    const struct json *v = w->next;

    if (w->packed) {
        w->number = (struct json){.type = JSON_NUMBER};
        return number_next(&w->rest, &w->number.text) ? &w->number : NULL;
    }
    if (v != NULL)
        w->next = v->next;
    return v;
}

/* Recursion: no deeper than the shallower of two values, at most LIMIT_JSON_DEPTH when parsed. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static int collate_children(const struct json *x, const struct json *y)
{
    struct walk wx = walk_of(x), wy = walk_of(y);

    for (;;) {
        const struct json *vx = walk_step(&wx), *vy = walk_step(&wy);
        int c = 0;

        if (vx == NULL || vy == NULL)
            return (vx != NULL) - (vy != NULL);
        if (x->type == JSON_OBJECT)
            c = collate_strings(vx->key, vy->key);
        if (c == 0)
            c = json_collate(vx, vy);
        if (c != 0)
            return c;
    }
}

/* NOLINTNEXTLINE(misc-no-recursion): see collate_children */
int json_collate(const struct json *x, const struct json *y)
{
    if (x->type != y->type) /* the enum is in the order of the types */
        return x->type < y->type ? -1 : 1;
    switch (x->type) {
    case JSON_NUMBER:
        return number_cmp(x->text, y->text);
    case JSON_STRING:
        return collate_strings(x->text, y->text);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return collate_children(x, y);
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        break;
    }
    return 0;
}

void json_collation_versions(struct json_collation *out)
{
    UVersionInfo v;

    _Static_assert(sizeof(out->library) >= U_MAX_VERSION_STRING_LENGTH, "room for any version");
    u_getVersion(v);
    u_versionToString(v, out->library);
    ucol_getVersion(collator_get(), v);
    u_versionToString(v, out->collator);
    ucol_getUCAVersion(collator_get(), v);
    u_versionToString(v, out->algorithm);
}
