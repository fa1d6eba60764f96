/* wal/gone.c: the table of LSNs that compaction took away; see gone.h. Pure; any thread. */
#include "wal/gone.h"

#include "base/alloc.h"
#include "base/bytes.h"

void gone_free(struct gone *g)
{
    mem_free(g->v);
    *g = (struct gone){0};
}

void gone_add(struct gone *g, uint64_t first, uint64_t last)
{
    struct gone_range *v = mem_array(g->n + 1, sizeof(*v));
    struct gone_range add = {first, last};
    bool placed = false;
    size_t n = 0;

    for (size_t i = 0; i < g->n; i++) {
        struct gone_range r = g->v[i];

        if (r.last + 1 >= add.first && add.last + 1 >= r.first) { /* they touch */
            add.first = r.first < add.first ? r.first : add.first;
            add.last = r.last > add.last ? r.last : add.last;
            continue;
        }
        if (!placed && r.first > add.last) {
            v[n++] = add;
            placed = true;
        }
        v[n++] = r;
    }
    if (!placed)
        v[n++] = add;
    mem_free(g->v);
    g->v = v;
    g->n = n;
}

bool gone_covers(const struct gone *g, uint64_t first, uint64_t last)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->v[i].first <= first && last <= g->v[i].last)
            return true;
    return false;
}

void gone_encode(const struct gone *g, struct buf *out)
{
    buf_varint(out, g->n);
    for (size_t i = 0; i < g->n; i++) {
        buf_varint(out, g->v[i].first);
        buf_varint(out, g->v[i].last);
    }
}

enum status gone_decode(struct slice table, struct gone *out, struct err *e)
{
    struct rd r = rd_of(table);
    uint64_t n = rd_varint(&r), before = 0;

    *out = (struct gone){0};
    if (r.bad || n > rd_left(&r) / 2)
        return err_set(e, ST_CORRUPT, "table of deleted LSNs");
    out->v = mem_array((size_t)n + 1, sizeof(*out->v));
    for (; out->n < n && !r.bad; out->n++) {
        struct gone_range *g = &out->v[out->n];

        g->first = rd_varint(&r);
        g->last = rd_varint(&r);
        r.bad = r.bad || g->first == 0 || g->last < g->first || g->last == UINT64_MAX ||
                (out->n != 0 && g->first <= before + 1);
        before = g->last;
    }
    if (!r.bad && rd_left(&r) == 0)
        return ST_OK;
    gone_free(out);
    return err_set(e, ST_CORRUPT, "table of deleted LSNs");
}

enum status gone_table_of(struct slice body, struct slice *table, struct err *e)
{
    struct rd r = rd_of(body);
    uint64_t n = rd_varint(&r);

    for (; n != 0 && !r.bad; n--)
        (void)rd_varint(&r);
    *table = rd_bytes(&r, rd_left(&r));
    return r.bad ? err_set(e, ST_CORRUPT, "record of deleted segments") : ST_OK;
}
