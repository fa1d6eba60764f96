/* Any bytes as the segments of a store: opening, checking, salvaging and scanning them never
 * crashes, and what a scan accepts, a check accepts. Input: the file of segment 1, then, after a
 * line "NEXT\n", that of segment 2. A good header is put before input that starts with 'H'. */
#include <stdlib.h>

#include "base/alloc.h"
#include "wal/frame.h"
#include "wal/log.h"
#include "wal/seg_mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum status visit(void *arg, const struct log_record *r, struct err *e)
{
    (void)e;
    for (size_t i = 0; i < r->body.n; i++)
        *(unsigned char *)arg ^= (unsigned char)r->body.p[i];
    return ST_OK;
}

static void report(void *arg, const char *text)
{
    *(unsigned char *)arg ^= (unsigned char)text[0];
}

static void put_segment(struct seg_store *ss, const struct ss_super *super, uint64_t seg,
                        struct slice s)
{
    unsigned char head[FRAME_SEG_BYTES];
    struct frame_seg h = {.flags = FRAME_SEG_LOG, .seg = seg, .epoch = super->epoch};
    struct iovec rest;
    struct err e;

    if (s.n != 0 && s.p[0] == 'H') {
        memcpy(h.uuid, super->uuid, sizeof h.uuid);
        frame_seg_put(head, &h);
        if (ss->ops->seg_create(ss, 0, super->epoch, seg, head, sizeof head, &e) != SS_OK)
            abort();
        rest = (struct iovec){(void *)(uintptr_t)(s.p + 1), s.n - 1};
        if (ss->ops->append(ss, 0, super->epoch, seg, sizeof head, &rest, 1, &e) != SS_OK)
            abort();
    } else if (ss->ops->seg_create(ss, 0, super->epoch, seg, s.p, s.n, &e) != SS_OK) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct seg_store *ss = seg_mem_new(1);
    struct slice in = slice_of(data, n);
    const char *next = n == 0 ? NULL : memmem(in.p, in.n, "NEXT\n", 5);
    size_t first = next == NULL ? n : (size_t)(next - in.p);
    unsigned char sink = 0;
    struct ss_super super;
    struct err e;

    if (ss->ops->acquire(ss, 0, &super, &e) != SS_OK)
        abort();
    put_segment(ss, &super, 1, slice_of(in.p, first));
    if (next != NULL)
        put_segment(ss, &super, 2, slice_of(next + 5, n - first - 5));
    for (int salvage = 0; salvage < 2; salvage++) {
        struct log_options opt = {.salvage = salvage != 0};
        struct log *log = NULL;
        uint64_t bad = 0;

        if (log_check(ss, 0, report, &sink, &bad, &e) != ST_OK)
            abort();
        super.clean = false;
        if (log_open(ss, &opt, &super, 1, &log, &e) != ST_OK)
            continue;
        if (log_scan(log, 1, visit, &sink, &e) != ST_OK)
            abort();
        if (log_check(ss, 0, report, &sink, &bad, &e) != ST_OK || (salvage == 0 && bad != 0))
            abort();
        log_close(log);
    }
    ss->ops->close(ss);
    return 0;
}
