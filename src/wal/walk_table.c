/* wal/walk_table.c: what segments there are and what their first bytes say; see walk.h. */
#include <stdio.h>

#include "base/alloc.h"
#include "wal/walk.h"

enum { HEAD = FRAME_SEG_BYTES + FRAME_GROUP_BYTES, CHUNK = 1 << 16 };

static enum status damage(const struct walk_table *t, uint64_t seg, const struct err *why,
                          struct err *e)
{
    struct err copy = *why;

    (void)err_set(e, ST_CORRUPT, "segment %llu: %s", (unsigned long long)seg, copy.reason);
    if (t->lost == NULL)
        return ST_CORRUPT;
    t->lost(t->arg, e->reason);
    return ST_OK;
}

/* Whether anything was ever written after the header. */
static enum status never_used(const struct walk_table *t, const struct seg_info *s, bool *unused,
                              struct err *e)
{
    char *chunk = mem_alloc(CHUNK);
    uint32_t off = FRAME_SEG_BYTES;
    enum ss_rc rc = SS_OK;

    *unused = true;
    while (rc == SS_OK && *unused && off < s->len) {
        uint32_t n = s->len - off < CHUNK ? s->len - off : CHUNK;

        rc = t->ss->ops->read(t->ss, t->store, s->seg, off, chunk, n, e);
        for (uint32_t i = 0; rc == SS_OK && i < n && *unused; i++)
            *unused = chunk[i] == 0;
        off += n;
    }
    mem_free(chunk);
    return ss_status(rc);
}

static enum status check_header(const struct walk_table *t, const struct seg_info *s,
                                struct slice head, struct frame_seg *h, struct err *e)
{
    TRY(frame_seg_get(head, h, e));
    if (h->seg != s->seg)
        return err_set(e, ST_CORRUPT, "its header says segment %llu", (unsigned long long)h->seg);
    if (t->uuid != NULL && memcmp(h->uuid, t->uuid, sizeof h->uuid) != 0)
        return err_set(e, ST_CORRUPT, "it belongs to another store");
    if (h->epoch > t->epoch_max)
        return err_set(e, ST_CORRUPT, "its epoch %llu is later than the store's %llu",
                       (unsigned long long)h->epoch, (unsigned long long)t->epoch_max);
    return ST_OK;
}

static enum status load_one(const struct walk_table *t, const struct seg_info *s,
                            struct log_seg *out, struct err *e)
{
    char head[HEAD];
    uint32_t n = s->len < HEAD ? s->len : HEAD;
    struct frame_seg h;
    struct frame_group g;
    struct err why;
    bool unused;
    enum ss_rc rc = SS_OK;

    *out = (struct log_seg){.seg = s->seg, .len = s->len};
    if (n != 0)
        rc = t->ss->ops->read(t->ss, t->store, s->seg, 0, head, n, e);
    if (rc != SS_OK)
        return ss_status(rc);
    if (check_header(t, s, slice_of(head, n), &h, &why) != ST_OK) {
        TRY(never_used(t, s, &unused, e));
        return unused ? ST_OK : damage(t, s->seg, &why, e);
    }
    out->good = true;
    out->salt = h.salt;
    out->epoch = h.epoch;
    if (frame_group_get(slice_of(head + FRAME_SEG_BYTES, n - FRAME_SEG_BYTES), h.salt, &g, &why) ==
        ST_OK)
        out->first_lsn = g.first_lsn;
    return ST_OK;
}

enum status walk_table_load(const struct walk_table *t, struct log_seg **out, size_t *n,
                            struct err *e)
{
    struct seg_info *infos = NULL;
    struct log_seg *v;
    uint64_t epoch = 0;
    enum ss_rc rc = t->ss->ops->list(t->ss, t->store, &infos, n, e);
    enum status st = ST_OK;

    if (rc != SS_OK)
        return ss_status(rc);
    v = mem_array(*n + 1, sizeof *v);
    for (size_t i = 0; i < *n && st == ST_OK; i++) {
        struct err why;

        st = load_one(t, &infos[i], &v[i], e);
        if (st != ST_OK || !v[i].good)
            continue;
        if (v[i].epoch < epoch)
            st = damage(t, v[i].seg,
                        (err_set(&why, ST_CORRUPT, "its epoch is before the last one's"), &why), e);
        epoch = v[i].epoch;
    }
    mem_free(infos);
    if (st != ST_OK) {
        mem_free(v);
        return st;
    }
    *out = v;
    return ST_OK;
}
