/* wal/seg_fds.c: the cache of read descriptors; see seg_fds.h. */
#include "wal/seg_fds.h"

#include <unistd.h>

#include "base/assert.h"

static struct seg_fd *set_of(struct seg_fds *c, uint64_t store, uint64_t seg)
{
    return c->sets[(seg + store * 7) % SEG_FDS_SETS];
}

void seg_fds_init(struct seg_fds *c)
{
    *c = (struct seg_fds){.clock = 0};
    mutex_init(&c->mu, RANK_LEAF);
    for (int i = 0; i < SEG_FDS_SETS; i++)
        for (int k = 0; k < SEG_FDS_WAYS; k++)
            c->sets[i][k].fd = -1;
}

void seg_fds_fini(struct seg_fds *c)
{
    for (int i = 0; i < SEG_FDS_SETS; i++)
        for (int k = 0; k < SEG_FDS_WAYS; k++)
            if (c->sets[i][k].fd >= 0)
                (void)close(c->sets[i][k].fd);
    mutex_fini(&c->mu);
}

int seg_fds_get(struct seg_fds *c, uint64_t store, uint64_t seg)
{
    struct seg_fd *set = set_of(c, store, seg);
    int fd = -1;

    mutex_lock(&c->mu);
    for (int k = 0; k < SEG_FDS_WAYS && fd < 0; k++) {
        if (set[k].fd < 0 || set[k].seg != seg || set[k].store != store)
            continue;
        fd = set[k].fd;
        set[k].pins++;
        set[k].used = ++c->clock;
    }
    mutex_unlock(&c->mu);
    return fd;
}

bool seg_fds_put(struct seg_fds *c, uint64_t store, uint64_t seg, int fd)
{
    struct seg_fd *set = set_of(c, store, seg), *best = NULL;

    mutex_lock(&c->mu);
    for (int k = 0; k < SEG_FDS_WAYS; k++) {
        if (set[k].fd < 0)
            set[k].used = 0;
        if (set[k].pins == 0 && (best == NULL || set[k].used < best->used))
            best = &set[k];
    }
    if (best != NULL) {
        if (best->fd >= 0)
            (void)close(best->fd);
        *best = (struct seg_fd){store, seg, ++c->clock, fd, 1};
    }
    mutex_unlock(&c->mu);
    return best != NULL;
}

void seg_fds_unpin(struct seg_fds *c, uint64_t store, uint64_t seg, int fd)
{
    struct seg_fd *set = set_of(c, store, seg);

    mutex_lock(&c->mu);
    for (int k = 0; k < SEG_FDS_WAYS; k++) {
        if (set[k].fd != fd)
            continue;
        ASSERT(set[k].pins > 0);
        set[k].pins--;
    }
    mutex_unlock(&c->mu);
}

/* Nobody finds it again; the put after the last unpin closes it, or this does. */
static void drop(struct seg_fd *f)
{
    if (f->pins == 0) {
        (void)close(f->fd);
        f->fd = -1;
    } else {
        f->seg = UINT64_MAX;
    }
}

void seg_fds_drop(struct seg_fds *c, uint64_t store, uint64_t seg)
{
    struct seg_fd *set = set_of(c, store, seg);

    mutex_lock(&c->mu);
    for (int k = 0; k < SEG_FDS_WAYS; k++)
        if (set[k].fd >= 0 && set[k].seg == seg && set[k].store == store)
            drop(&set[k]);
    mutex_unlock(&c->mu);
}

void seg_fds_drop_store(struct seg_fds *c, uint64_t store)
{
    mutex_lock(&c->mu);
    for (int i = 0; i < SEG_FDS_SETS; i++)
        for (int k = 0; k < SEG_FDS_WAYS; k++)
            if (c->sets[i][k].fd >= 0 && c->sets[i][k].store == store)
                drop(&c->sets[i][k]);
    mutex_unlock(&c->mu);
}
