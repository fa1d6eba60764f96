/* vector/memtable.c: chunks of rows and a hash table from document number to its newest rows.
 * Threads: one writer; readers see only rows below their view's count. */
#include "vector/memtable.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"

struct slot {
    uint64_t docnum;
    uint32_t first, n; /* n == 0: free */
};
struct vmem {
    atomic_uint refs;
    enum vmetric metric;
    uint32_t dims, cap, n;
    struct vchunk **chunk;
    struct arena *ids;
    struct slot *slots; /* the writer's */
    uint32_t nslots, used;
};

struct vmem *vmem_new(enum vmetric metric, uint32_t dims, uint32_t want)
{
    struct vmem *m = mem_zalloc(sizeof(*m));
    uint32_t cap = (uint32_t)(LIMIT_MEMTABLE_BYTES / (dims * sizeof(float)));

    cap = cap > LIMIT_MEMTABLE_VECTORS ? LIMIT_MEMTABLE_VECTORS : cap;
    cap = cap < want ? want : cap;
    atomic_init(&m->refs, 1);
    m->metric = metric;
    m->dims = dims;
    m->cap = cap;
    m->chunk = mem_zalloc(((size_t)cap / VMEM_CHUNK + 1) * sizeof(struct vchunk *));
    m->ids = arena_new();
    m->nslots = 64;
    m->slots = mem_zalloc(m->nslots * sizeof(struct slot));
    return m;
}

struct vmem *vmem_ref(struct vmem *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void vmem_release(struct vmem *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i <= m->cap / VMEM_CHUNK; i++) {
        if (m->chunk[i] != NULL)
            mem_free(m->chunk[i]->vec);
        mem_free(m->chunk[i]);
    }
    mem_free(m->chunk);
    arena_free(m->ids);
    mem_free(m->slots);
    mem_free(m);
}

uint32_t vmem_cap(const struct vmem *m)
{
    return m->cap;
}

uint32_t vmem_rows(const struct vmem *m)
{
    return m->n;
}

uint64_t vmem_bytes(const struct vmem *m)
{
    uint64_t chunks = ((uint64_t)m->n + VMEM_CHUNK - 1) / VMEM_CHUNK;

    return chunks * (sizeof(struct vchunk) + (uint64_t)VMEM_CHUNK * m->dims * sizeof(float));
}

static uint32_t slot_of(const struct vmem *m, uint64_t docnum)
{
    uint32_t i = (uint32_t)((docnum * 0x9E3779B97F4A7C15u) >> 32) & (m->nslots - 1);

    while (m->slots[i].n != 0 && m->slots[i].docnum != docnum)
        i = (i + 1) & (m->nslots - 1);
    return i;
}

static void grow_slots(struct vmem *m)
{
    struct slot *old = m->slots;
    uint32_t nold = m->nslots;

    m->nslots *= 2;
    m->slots = mem_zalloc(m->nslots * sizeof(struct slot));
    for (uint32_t i = 0; i < nold; i++)
        if (old[i].n != 0)
            m->slots[slot_of(m, old[i].docnum)] = old[i];
    mem_free(old);
}

static struct vchunk *chunk_for_write(struct vmem *m, uint32_t row)
{
    struct vchunk **c = &m->chunk[row / VMEM_CHUNK];

    if (*c == NULL) {
        *c = mem_zalloc(sizeof(struct vchunk));
        (*c)->vec = mem_align(64, (size_t)VMEM_CHUNK * m->dims * sizeof(float));
    }
    return *c;
}

void vmem_append(struct vmem *m, const struct vdoc_rows *d)
{
    struct slice id = arena_dup(m->ids, d->id);
    uint32_t i;

    ASSERT(d->n > 0 && d->n <= m->cap - m->n);
    for (i = 0; i < d->n; i++) {
        uint32_t row = m->n + i, at = row % VMEM_CHUNK;
        const float *x = d->vec + (size_t)i * m->dims;
        struct vchunk *c = chunk_for_write(m, row);

        memcpy(c->vec + (size_t)at * m->dims, x, m->dims * sizeof(float));
        c->docnum[at] = d->docnum;
        c->id[at] = id;
        c->elem[at] = d->elem[i];
        c->hash[at] = d->hash[i];
        c->norm[at] = vrow_norm(m->metric, x, m->dims);
    }
    if ((m->used + 1) * 2 > m->nslots)
        grow_slots(m);
    i = slot_of(m, d->docnum);
    m->used += m->slots[i].n == 0;
    m->slots[i] = (struct slot){d->docnum, m->n, d->n};
    m->n += d->n;
}

bool vmem_find(const struct vmem *m, uint64_t docnum, uint32_t *first, uint32_t *n)
{
    const struct slot *s = &m->slots[slot_of(m, docnum)];

    *first = s->first;
    *n = s->n;
    return s->n != 0;
}

const struct vchunk *vmem_chunk(const struct vmem *m, uint32_t row)
{
    return m->chunk[row / VMEM_CHUNK];
}

uint32_t vmem_dims(const struct vmem *m)
{
    return m->dims;
}
