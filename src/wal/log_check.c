/* wal/log_check.c: every byte of a log, offline. Damage is told and skipped; a torn end is what a
 * crash leaves and no finding. */
#include "base/alloc.h"
#include "wal/log_priv.h"

struct finder {
    void (*report)(void *arg, const char *text);
    void *arg;
    uint64_t *bad;
};

static void found(void *arg, const char *text)
{
    const struct finder *f = arg;

    (*f->bad)++;
    f->report(f->arg, text);
}

/* All segments are of one store. */
static enum status same_store(struct seg_store *ss, uint64_t store, const struct log_seg *segs,
                              size_t n, struct finder *f)
{
    unsigned char uuid[16];
    bool known = false;
    struct err e;

    for (size_t i = 0; i < n; i++) {
        char head[FRAME_SEG_BYTES];
        struct frame_seg h;
        enum ss_rc rc;

        if (!segs[i].good)
            continue;
        rc = ss->ops->read(ss, store, segs[i].seg, 0, head, sizeof head, &e);
        if (rc != SS_OK)
            return ss_status(rc);
        if (frame_seg_get(slice_of(head, sizeof head), &h, &e) != ST_OK)
            found(f, e.reason);
        else if (known && memcmp(uuid, h.uuid, sizeof uuid) != 0)
            found(f, "the segments are of several stores");
        memcpy(uuid, h.uuid, sizeof uuid);
        known = true;
    }
    return ST_OK;
}

enum status log_check(struct seg_store *ss, uint64_t store,
                      void (*report)(void *arg, const char *text), void *arg, uint64_t *bad,
                      struct err *e)
{
    struct finder f = {report, arg, bad};
    struct walk_table t = {.ss = ss, .store = store, .epoch_max = UINT64_MAX};
    struct log_seg *segs = NULL;
    struct walk w;
    size_t n = 0;
    enum status st;

    t.lost = found;
    t.arg = &f;
    TRY(walk_table_load(&t, &segs, &n, e));
    walk_init(&w, ss, store, segs, n);
    w.lost = found;
    w.arg = &f;
    st = same_store(ss, store, segs, n, &f);
    if (st == ST_OK)
        st = walk_seek(&w, 1, e);
    while (st == ST_OK) {
        struct frame_group g;
        struct slice payload;
        uint32_t off;

        st = walk_next(&w, &g, &payload, &off, e);
    }
    walk_fini(&w);
    mem_free(segs);
    return st == ST_NOT_FOUND || st == ST_TORN ? ST_OK : st;
}
