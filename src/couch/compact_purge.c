/* couch/compact_purge.c: what compaction of a segment makes of a LOG_PURGE record: what is left of
 * the document may have its body in the segment; the info is kept for a while; and that the
 * document is gone must be said as long as an older record says otherwise.
 * Threads: the one that compacts.
 */
#include "couch/compact_priv.h"
#include "couch/purge.h"

static enum status row_is_there(struct compact_work *w, struct slice key, bool *there,
                                struct err *e)
{
    struct slice v;
    enum status st = kv_get(w->s->kv, NULL, key, w->a, &v, e);

    *there = st == ST_OK;
    return st == ST_NOT_FOUND ? ST_OK : st;
}

enum status compact_see_purge(struct compact_work *w, const struct log_record *rec, struct err *e)
{
    struct db *db = compact_db_of(w, rec->dbnum);
    struct purge_record p;
    struct doc_record d;
    struct revtree t;
    struct slice part;
    struct commit_op *op;
    bool is_in, info, doc;

    if (db == NULL)
        return ST_OK;
    TRY(purge_record_decode(w->a, rec->body, &p, &part, e));
    TRY(doc_record_decode(w->a, part, &d, &t, e));
    TRY(compact_look_doc(w, db, d.docid, rec->ver, &is_in, e));
    if (w->counting)
        return ST_OK;
    TRY(row_is_there(w, key_purge(w->a, rec->dbnum, p.purge_seq), &info, e));
    TRY(row_is_there(w, key_db(w->a, rec->dbnum, KEY_INFO, d.docid), &doc, e));
    if (!info && (doc || w->oldest))
        return ST_OK;
    if (w->n == COMPACT_BATCH)
        TRY(compact_flush(w, e)); /* empties the arena: nothing of it is used below */
    op = compact_next_op(w, db, MOVE_PURGE, rec->ver);
    op->docid = arena_dup(w->a, d.docid);
    op->move->purge_seq = p.purge_seq;
    op->move->seq = d.seq;
    op->move->docnum = d.docnum;
    w->bytes += rec->body.n;
    return ST_OK;
}
