/* couch/compact_gone.c: the last step of the compaction of a segment: the log says that its LSNs
 * are gone, then its file goes. Threads: the one that compacts.
 */
#include "base/kill_point.h"
#include "couch/compact_priv.h"
#include "wal/gone.h"

/* The whole table, with this segment's LSNs, into the log. */
static enum status tell_gone(struct compact_work *w, struct err *e)
{
    struct gone table = {0};
    struct commit_op *op;
    struct slice v;
    struct buf b;
    enum status st = kv_get(w->s->kv, NULL, key_store(w->a, 'G'), w->a, &v, e);

    if (st == ST_OK)
        st = gone_decode(v, &table, e);
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    gone_add(&table, w->first_lsn, w->last_lsn);
    buf_init(&b, LIMIT_RECORD_BYTES);
    buf_varint(&b, 1);
    buf_varint(&b, w->seg);
    gone_encode(&table, &b);
    op = compact_next_op(w, NULL, MOVE_GONE, 0);
    op->move->bodies = arena_dup(w->a, buf_slice(&b));
    st = compact_flush(w, e);
    buf_free(&b);
    gone_free(&table);
    return st;
}

enum status compact_take_away(struct compact_work *w, struct err *e)
{
    bool undeleted = w->s->undeleted;

    if (w->first_lsn != 0)
        TRY(tell_gone(w, e));
    KILL_POINT("compact.gone");
    if (!w->pace->wait(w->pace->arg, w->pace->grace_us))
        return err_set(e, ST_UNAVAILABLE, "the store closes");
    w->s->undeleted = true; /* a file that stays is read by a rebuild: then nothing is the oldest */
    KILL_POINT("compact.delete");
    TRY(log_delete_seg(w->s->log, w->seg, e));
    KILL_POINT("compact.deleted");
    w->s->undeleted = undeleted;
    atomic_store(&w->s->log_bytes, log_bytes(w->s->log));
    return ST_OK;
}
