/* vector/view.c: parts, bitmaps and views. Threads: see view.h. */
#include "vector/view.h"

#include "base/alloc.h"
#include "base/assert.h"

struct vbits *vbits_new(uint32_t nbits)
{
    size_t words = ((size_t)nbits + 63) / 64;
    struct vbits *b = mem_zalloc(sizeof(*b) + words * sizeof(b->w[0]));

    atomic_init(&b->refs, 1);
    b->nbits = nbits;
    return b;
}

struct vbits *vbits_copy(const struct vbits *b)
{
    struct vbits *c = vbits_new(b->nbits);

    c->nset = b->nset;
    memcpy(c->w, b->w, ((size_t)b->nbits + 63) / 64 * sizeof(b->w[0]));
    return c;
}

struct vbits *vbits_ref(struct vbits *b)
{
    if (b != NULL)
        atomic_fetch_add(&b->refs, 1);
    return b;
}

void vbits_release(struct vbits *b)
{
    if (b != NULL && atomic_fetch_sub(&b->refs, 1) == 1)
        mem_free(b);
}

bool vbits_set(struct vbits *b, uint32_t i)
{
    uint64_t bit = 1ull << (i & 63);

    ASSERT(i < b->nbits);
    if ((b->w[i >> 6] & bit) != 0)
        return false;
    b->w[i >> 6] |= bit;
    b->nset++;
    return true;
}

void vpart_row(const struct vpart *p, uint32_t row, struct vrow *out)
{
    if (p->seg != NULL) {
        const struct vseg *s = p->seg;
        *out = (struct vrow){s->rows.vec + (size_t)row * s->rows.dims,
                             s->docnum[row],
                             s->hash[row],
                             s->elem[row],
                             s->rows.norm[row],
                             vseg_id(s, row)};
    } else {
        const struct vchunk *c = vmem_chunk(p->mem, row);
        uint32_t i = row % VMEM_CHUNK;
        *out = (struct vrow){c->vec + (size_t)i * vmem_dims(p->mem),
                             c->docnum[i],
                             c->hash[i],
                             c->elem[i],
                             c->norm[i],
                             c->id[i]};
    }
}

uint32_t vpart_find(const struct vpart *p, uint64_t docnum, uint32_t *first)
{
    uint32_t n = 0, at = 0;

    if (p->seg != NULL)
        n = vseg_find(p->seg, docnum, &at);
    else if (!vmem_find(p->mem, docnum, &at, &n))
        n = 0;
    if (n == 0 || vbits_get(p->dead, at))
        return 0; /* rows of one version live and die together */
    *first = at;
    return n;
}

struct vview *vview_new(uint64_t seq, const struct vpart *parts, uint32_t n)
{
    struct vview *v = mem_alloc(sizeof(*v) + n * sizeof(parts[0]));

    atomic_init(&v->refs, 1);
    v->seq = seq;
    v->live = 0;
    v->nparts = n;
    for (uint32_t i = 0; i < n; i++) {
        v->part[i] = parts[i];
        (void)vbits_ref(parts[i].dead);
        if (parts[i].seg != NULL)
            (void)vseg_ref(parts[i].seg);
        else
            (void)vmem_ref(parts[i].mem);
        v->live += vpart_live(&parts[i]);
    }
    return v;
}

struct vview *vview_ref(struct vview *v)
{
    atomic_fetch_add(&v->refs, 1);
    return v;
}

void vview_release(struct vview *v)
{
    if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    for (uint32_t i = 0; i < v->nparts; i++) {
        vbits_release(v->part[i].dead);
        vseg_release(v->part[i].seg);
        vmem_release(v->part[i].mem);
    }
    mem_free(v);
}
