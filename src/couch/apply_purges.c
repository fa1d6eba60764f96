/* couch/apply_purges.c: the infos of purges that are kept: the newest ones of each database, a row
 * each (purge.h). Threads: the committer, or the opener. */
#include "base/alloc.h"
#include "couch/purge.h"
#include "couch/store_priv.h"

static struct apply_purge *kept_of(struct applier *ap, uint32_t dbnum)
{
    return &ap->kept[dbnum % APPLY_KEPT];
}

void apply_remember_purge(struct applier *ap, uint32_t dbnum, uint64_t purge_seq)
{
    struct apply_purge *kept = kept_of(ap, dbnum);

    if (kept->dbnum == dbnum && purge_seq < kept->purge_seq)
        kept->purge_seq = purge_seq;
    if (ap->npurges == ap->purges_cap) {
        ap->purges_cap = ap->purges_cap * 2 + 16;
        ap->purges = mem_realloc(ap->purges, ap->purges_cap * sizeof(*ap->purges));
    }
    ap->purges[ap->npurges++] = (struct apply_purge){dbnum, purge_seq};
}

enum status apply_trim_purges(struct applier *ap, uint32_t dbnum, uint64_t first, struct err *e)
{
    struct apply_purge *kept = kept_of(ap, dbnum);
    struct purge_walk *w;
    struct purge_info info;
    uint64_t seq;
    bool got = true;
    enum status st = ST_OK;

    for (size_t i = 0; i < ap->npurges; i++)
        if (ap->purges[i].dbnum == dbnum && ap->purges[i].purge_seq < first)
            kv_batch_delete(ap->batch, key_purge(ap->arena, dbnum, ap->purges[i].purge_seq));
    if (kept->dbnum != dbnum)
        *kept = (struct apply_purge){.dbnum = dbnum};
    if (first <= kept->purge_seq)
        return ST_OK;
    /* From 0 it would pass all that LevelDB remembers of rows that were deleted. */
    w = purge_walk_new(ap->kv, dbnum, kept->purge_seq);
    while (st == ST_OK && got) {
        st = purge_walk_next(w, &seq, &info, &got, e);
        got = st == ST_OK && got && seq < first;
        if (got)
            kv_batch_delete(ap->batch, key_purge(ap->arena, dbnum, seq));
    }
    purge_walk_free(w);
    if (st == ST_OK)
        kept->purge_seq = first;
    return st;
}
