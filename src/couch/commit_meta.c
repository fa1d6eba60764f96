/* couch/commit_meta.c: stages and publishes what is not a document: _local documents, creating,
 * dropping and setting up databases. Runs on the committer.
 *
 * An operation on a database is alone in its group (commit_group.c), so that nothing in a group
 * depends on a database that may not come to be, or on one that goes away with it.
 */
#include "base/digest.h"
#include "base/text.h"
#include "base/time.h"
#include "couch/commit_priv.h"

static const char default_security[] = "{\"admins\":{\"names\":[],\"roles\":[\"_admin\"]},"
                                       "\"members\":{\"names\":[],\"roles\":[\"_admin\"]}}";

static enum staged refuse_missing(struct commit_op *op)
{
    op->st = err_set(&op->err, ST_NOT_FOUND, "Database does not exist.");
    return STAGED_NOTHING;
}

enum staged stage_local(struct group *g, struct commit_op *op)
{
    struct local_record r = {.id = op->docid, .json = op->body.json, .deleted = op->deleted};
    struct slice key = key_db(g->ap.arena, op->db->num, KEY_LOCAL, op->docid);

    if (op->local_rev.hex || !parse_u64(op->local_rev.id, &r.n)) {
        op->st = err_set(&op->err, ST_BAD_REQUEST, "Invalid rev format");
        return STAGED_NOTHING;
    }
    if (op->deleted)
        r.json = SLICE_LIT("");
    if (commit_op_bytes(op) > LIMIT_RECORD_BYTES) {
        op->st = err_word(&op->err, ST_TOO_LARGE, "document_too_large", "a _local document");
        return STAGED_NOTHING;
    }
    op->st = ST_OK;
    group_slot(g);
    *group_record(g) = (struct log_record){.type = LOG_LOCAL,
                                           .flags = op->deleted ? LOG_F_TOMBSTONE : 0,
                                           .dbnum = op->db->num,
                                           .keyhash = hash64(key.p, key.n)};
    local_record_encode(&r, &g->bodies);
    group_add(g, op);
    return STAGED_RECORD;
}

/* The record of an operation on a database; row NULL: a drop. */
static enum staged stage_meta(struct group *g, struct commit_op *op, enum dbmeta_op what,
                              struct slice name, uint32_t dbnum)
{
    struct slot *sl = &g->slots[g->n];
    struct dbmeta m = {.op = what, .name = name, .row = SLICE_LIT("")};
    struct slice key = key_catalog(g->ap.arena, name);

    buf_clear(&g->region);
    if (what != DBMETA_DROP) {
        cat_row_encode(&sl->row, &g->region);
        m.row = buf_slice(&g->region);
    }
    op->st = ST_OK;
    *group_record(g) =
        (struct log_record){.type = LOG_DBMETA,
                            /* drops and _compact make room: they may use the disk's reserve */
                            .flags = what == DBMETA_DROP ? LOG_F_TOMBSTONE
                                     : op->compact       ? LOG_F_MOVED
                                                         : 0,
                            .dbnum = dbnum,
                            .keyhash = hash64(key.p, key.n)};
    dbmeta_encode(&m, &g->bodies);
    group_add(g, op);
    return STAGED_RECORD;
}

enum staged stage_create(struct group *g, struct commit_op *op)
{
    struct store *s = g->s;
    struct slot *sl;
    bool exists;

    op->st = db_name_check(op->docid, &op->err);
    if (op->st != ST_OK)
        return STAGED_NOTHING;
    if (op->security.n > LIMIT_SECURITY_BYTES || s->next_dbnum == UINT32_MAX) {
        op->st = err_set(&op->err, ST_TOO_LARGE, "The security object is too large.");
        return STAGED_NOTHING;
    }
    mutex_lock(&s->catalog_mu);
    exists = map_get(s->catalog, op->docid) != NULL;
    mutex_unlock(&s->catalog_mu);
    if (exists || (s->taken != NULL && s->taken(s->taken_arg, op->docid))) {
        op->st = err_set(&op->err, ST_EXISTS,
                         "The database could not be created, the file already exists.");
        return STAGED_NOTHING;
    }
    sl = group_slot(g);
    sl->row = (struct cat_row){
        .dbnum = s->next_dbnum,
        .created_us = time_wall_us(),
        .revs_limit = op->revs_limit != 0 ? op->revs_limit : LIMIT_REVS_DEFAULT,
        .purged_infos_limit = LIMIT_PURGED_INFOS_DEFAULT,
        .partitioned = op->partitioned,
        .security = op->security.n != 0 ? op->security : slice_str(default_security),
    };
    random_bytes(sl->row.uuid, sizeof(sl->row.uuid));
    return stage_meta(g, op, DBMETA_CREATE, op->docid, sl->row.dbnum);
}

enum staged stage_drop(struct group *g, struct commit_op *op)
{
    if (db_dropped(op->db))
        return refuse_missing(op);
    group_slot(g);
    return stage_meta(g, op, DBMETA_DROP, db_name(op->db), op->db->num);
}

enum staged stage_props(struct group *g, struct commit_op *op)
{
    struct db *db = op->db;
    struct slot *sl;

    if (db_dropped(db))
        return refuse_missing(op);
    if (op->security.n > LIMIT_SECURITY_BYTES) {
        op->st = err_set(&op->err, ST_TOO_LARGE, "The security object is too large.");
        return STAGED_NOTHING;
    }
    op->st = ST_OK;
    if (op->compact && atomic_load(&db->compact_seq) == db->staged.update_seq)
        return STAGED_NOTHING; /* all was given up before, and that is durable */
    sl = group_slot(g);
    sl->row = (struct cat_row){
        .dbnum = db->num,
        .created_us = db->created_us,
        .revs_limit = op->revs_limit != 0 ? op->revs_limit : db_revs_limit(db),
        .security = op->security.n != 0 ? op->security : db_security(db, g->ap.arena),
        .compact_seq = op->compact ? db->staged.update_seq : atomic_load(&db->compact_seq),
        .purged_infos_limit =
            op->purged_infos_limit != 0 ? op->purged_infos_limit : db_purged_infos_limit(db),
        .partitioned = db_partitioned(db),
    };
    memcpy(sl->row.uuid, db->uuid, sizeof(sl->row.uuid));
    return stage_meta(g, op, DBMETA_PROPS, db_name(db), db->num);
}

void publish_create(struct group *g, struct slot *sl, struct db_waiter **woken)
{
    static const struct db_counts none = {.purge_first = 1};
    struct store *s = g->s;
    struct db *db = db_new(s, sl->op->docid, &sl->row, &none);

    s->next_dbnum = sl->row.dbnum + 1;
    sl->op->created = db_ref(db);
    mutex_lock(&s->catalog_mu);
    map_put(s->catalog, sl->op->docid, db);
    mutex_unlock(&s->catalog_mu);
    updates_note(s->updates, sl->op->docid, DB_CREATED, woken);
}

void publish_drop(struct group *g, struct slot *sl, struct db_waiter **woken)
{
    struct store *s = g->s;
    struct db *db = sl->op->db;
    struct db *removed;

    mutex_lock(&s->catalog_mu);
    removed = map_remove(s->catalog, db_name(db));
    mutex_unlock(&s->catalog_mu);
    ASSERT(removed == db);
    updates_note(s->updates, db_name(db), DB_DELETED, woken);
    db_mark_dropped(db, woken); /* last: now another store may create the name */
    db_release(removed);        /* the catalogue's reference; the submitter has one */
    maint_wake(s);
}

/* What the operation left as it is came from the arena that applying has reset: not looked at. */
void publish_props(struct slot *sl)
{
    if (sl->op->security.n == 0)
        sl->row.security = slice_of(NULL, 0);
    db_set_props(sl->op->db, &sl->row);
}
