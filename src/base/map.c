/* base/map.c: open addressing with linear probing, at most 3/4 full; a removal moves the entries
 * behind it back, so there are no tombstones. The hash is SipHash under a key drawn once per
 * process: clients choose the names. Threads: a map has one user at a time. */
#include "base/map.h"

#include <pthread.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/digest.h"

struct entry {
    char *key; /* NULL: free */
    size_t n;
    uint64_t hash;
    void *value;
};

struct map {
    struct entry *at;
    size_t cap; /* a power of two, or 0 */
    size_t count;
};

static unsigned char map_seed[16];
static pthread_once_t map_once = PTHREAD_ONCE_INIT;

static void map_draw_seed(void)
{
    random_bytes(map_seed, sizeof map_seed);
}

struct map *map_new(void)
{
    ASSERT(pthread_once(&map_once, map_draw_seed) == 0);
    return mem_zalloc(sizeof(struct map));
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->cap; i++)
        mem_free(m->at[i].key);
    mem_free(m->at);
    mem_free(m);
}

/* The place of key, or the free place where it would go. */
static size_t map_find(const struct map *m, struct slice key, uint64_t hash)
{
    size_t i = (size_t)hash & (m->cap - 1);

    while (m->at[i].key != NULL &&
           !(m->at[i].hash == hash && slice_eq(slice_of(m->at[i].key, m->at[i].n), key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

void *map_get(const struct map *m, struct slice key)
{
    size_t i;

    if (m->count == 0)
        return NULL;
    i = map_find(m, key, siphash(map_seed, key.p, key.n));
    return m->at[i].key != NULL ? m->at[i].value : NULL;
}

static void map_grow(struct map *m)
{
    struct entry *old = m->at;
    size_t old_cap = m->cap;

    m->cap = old_cap != 0 ? old_cap * 2 : 8;
    m->at = mem_zalloc(m->cap * sizeof *m->at);
    for (size_t i = 0; i < old_cap; i++) {
        size_t to = (size_t)old[i].hash & (m->cap - 1);

        if (old[i].key == NULL)
            continue;
        while (m->at[to].key != NULL)
            to = (to + 1) & (m->cap - 1);
        m->at[to] = old[i];
    }
    mem_free(old);
}

void *map_put(struct map *m, struct slice key, void *value)
{
    uint64_t hash = siphash(map_seed, key.p, key.n);
    struct entry *at;

    if ((m->count + 1) * 4 > m->cap * 3)
        map_grow(m);
    at = &m->at[map_find(m, key, hash)];
    if (at->key != NULL) {
        void *old = at->value;

        at->value = value;
        return old;
    }
    *at = (struct entry){mem_dup(key.p, key.n), key.n, hash, value};
    m->count++;
    return NULL;
}

void *map_remove(struct map *m, struct slice key)
{
    size_t mask = m->cap - 1;
    size_t hole, i;
    void *old;

    if (m->count == 0)
        return NULL;
    hole = map_find(m, key, siphash(map_seed, key.p, key.n));
    if (m->at[hole].key == NULL)
        return NULL;
    old = m->at[hole].value;
    mem_free(m->at[hole].key);
    for (i = (hole + 1) & mask; m->at[i].key != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)m->at[i].hash & mask;

        /* an entry may move back to the hole unless its home lies behind the hole */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->at[hole] = m->at[i];
            hole = i;
        }
    }
    m->at[hole] = (struct entry){0};
    m->count--;
    return old;
}

size_t map_count(const struct map *m)
{
    return m->count;
}

void map_each(const struct map *m, bool (*fn)(void *arg, struct slice key, void *value), void *arg)
{
    for (size_t i = 0; i < m->cap; i++)
        if (m->at[i].key != NULL && !fn(arg, slice_of(m->at[i].key, m->at[i].n), m->at[i].value))
            return;
}
