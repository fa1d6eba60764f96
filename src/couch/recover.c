/* couch/recover.c: from what a crash left to a store that is as it was.
 *
 *   1 LevelDB: opened (its own log is dropped after an unclean stop); unusable or of another store:
 *     moved aside, an empty one takes its place, and everything is applied again from LSN 1
 *   2 A := the LSN that LevelDB says it has applied
 *   3 the log: checked, its torn tail cut (wal/log.h); A beyond its end: refused, then LevelDB has
 *     what an older copy of the log does not; records after A taken away by compaction: as in 1
 *   4 records after A applied, in batches, by apply.c
 *   5 the catalogue read; the log's new segment started
 * Every step can be interrupted and started again. Threads: the opener only.
 */
#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/fs.h"
#include "base/kill_point.h"
#include "base/log.h"
#include "couch/store_priv.h"

enum {
    REPLAY_BYTES = 8 << 20,
    PATH_BYTES = 4096,
    INDEX_ROOM_BYTES = 64 << 20,
    VERSION_BYTES = 4 + 16
};

/* ---- the index ---- */

static enum status index_path(const struct store *s, char *out, const char *suffix, unsigned n,
                              struct err *e)
{
    int len = suffix[0] == '\0' ? snprintf(out, PATH_BYTES, "%s/idx", s->idx_dir)
                                : snprintf(out, PATH_BYTES, "%s/idx%s%u", s->idx_dir, suffix, n);

    if (len < 0 || len >= PATH_BYTES)
        return err_set(e, ST_BAD_REQUEST, "the path of the data is too long");
    return ST_OK;
}

/* Renames idx to idx.bad.<n>: whatever is in it may be worth a look. */
static enum status move_aside(const struct store *s, struct err *e)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    unsigned n = 0;

    TRY(index_path(s, from, "", 0, e));
    do
        TRY(index_path(s, to, ".bad.", ++n, e));
    while (fs_exists(to));
    if (rename(from, to) != 0)
        return err_set(e, ST_IO, "rename %s: errno %d", from, errno);
    KILL_POINT("recover.aside");
    return fs_sync_dir(s->idx_dir, e);
}

static enum status write_version(struct store *s, const unsigned char *version, struct arena *a,
                                 struct err *e)
{
    struct kv_batch *b = kv_batch_new();
    enum status st;

    kv_batch_put(b, key_store(a, 'V'), slice_of(version, VERSION_BYTES));
    st = kv_write(s->kv, b, e);
    kv_batch_free(b);
    return st;
}

/* A, or a status that says the index is of no use. An empty index becomes ours. */
static enum status read_applied(struct store *s, uint64_t *applied, struct arena *a, struct err *e)
{
    unsigned char version[VERSION_BYTES];
    struct slice v;
    enum status st;

    put_le32(version, STORE_SCHEMA);
    memcpy(version + 4, s->super.uuid, 16);
    *applied = 0;
    st = kv_get(s->kv, NULL, key_store(a, 'V'), a, &v, e);
    if (st == ST_OK && !slice_eq(v, slice_of(version, sizeof(version))))
        return err_set(e, ST_CORRUPT, "the index is of another store or version");
    if (st != ST_OK && st != ST_NOT_FOUND)
        return st;
    if (st == ST_NOT_FOUND) {
        st = kv_get(s->kv, NULL, key_store(a, 'A'), a, &v, e);
        if (st == ST_OK)
            return err_set(e, ST_CORRUPT, "the index does not say whose it is");
        return st == ST_NOT_FOUND ? write_version(s, version, a, e) : st;
    }
    st = kv_get(s->kv, NULL, key_store(a, 'A'), a, &v, e);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st != ST_OK)
        return st;
    if (v.n != 8)
        return err_set(e, ST_CORRUPT, "the applied LSN has %zu bytes", v.n);
    *applied = get_le64(v.p);
    return ST_OK;
}

static enum status try_index(struct store *s, const struct store_options *opt, bool clean,
                             uint64_t *applied, struct err *e)
{
    struct kv_options ko = opt->kv;
    struct arena *a = arena_new();
    char path[PATH_BYTES];
    enum status st = index_path(s, path, "", 0, e);

    ko.clean = clean;
    if (st == ST_OK)
        st = kv_open(path, &ko, &s->kv, e);
    if (st == ST_OK)
        st = read_applied(s, applied, a, e);
    if (st != ST_OK) {
        kv_close(s->kv);
        s->kv = NULL;
    }
    arena_free(a);
    return st;
}

static bool has_room(const struct store *s)
{
    return s->idx_dir != s->dir || s->segs->ops->free_bytes(s->segs) >= INDEX_ROOM_BYTES;
}

static enum status open_index(struct store *s, const struct store_options *opt, uint64_t *applied,
                              struct err *e)
{
    char path[PATH_BYTES];

    TRY(index_path(s, path, "", 0, e));
    if (fs_exists(path)) {
        if (try_index(s, opt, s->super.clean, applied, e) == ST_OK)
            return ST_OK;
        if (!has_room(s))
            return ST_NO_SPACE; /* it would not open either way, and may be as good as ever */
        log_warn("store %s: the index is rebuilt from the log: %s", s->dir, e->reason);
        TRY(move_aside(s, e));
    }
    return try_index(s, opt, false, applied, e);
}

/* ---- replay ---- */

struct replay {
    struct applier ap;
    uint64_t next, applied;
    bool gaps; /* LSNs may be missing: salvage, or a rebuild of a compacted log */
};

static enum status replay_record(void *arg, const struct log_record *rec, struct err *e)
{
    struct replay *r = arg;

    if (rec->lsn < r->next || (rec->lsn > r->next && !r->gaps))
        return err_set(e, ST_CORRUPT, "record %llu where %llu should be",
                       (unsigned long long)rec->lsn, (unsigned long long)r->next);
    r->next = rec->lsn + 1;
    TRY(apply_record(&r->ap, rec, e));
    r->applied += rec->lsn == r->ap.lsn ? 1 : 0; /* the log's own records are not */
    if (r->ap.nrecs < LIMIT_REPLAY_RECORDS && r->ap.bytes < REPLAY_BYTES)
        return ST_OK;
    TRY(apply_flush(&r->ap, e));
    KILL_POINT("recover.batch");
    return ST_OK;
}

static enum status replay(struct store *s, uint64_t applied, bool gaps, struct err *e)
{
    struct replay r = {.next = applied + 1, .gaps = gaps};
    enum status st;

    applier_init(&r.ap, s->kv, s->accounts);
    st = log_scan(s->log, applied + 1, replay_record, &r, e);
    if (st == ST_OK)
        st = apply_flush(&r.ap, e);
    if (st == ST_OK && !gaps && r.next != log_last_lsn(s->log) + 1)
        st = err_set(e, ST_CORRUPT, "the log says it ends at %llu, its records end at %llu",
                     (unsigned long long)log_last_lsn(s->log), (unsigned long long)r.next - 1);
    atomic_store(&s->applied_lsn, r.ap.lsn > applied ? r.ap.lsn : applied);
    if (r.applied != 0)
        log_info("store %s: replayed %llu records", s->dir, (unsigned long long)r.applied);
    applier_fini(&r.ap);
    return st;
}

/* ---- all of it ---- */

static enum status read_next_dbnum(struct store *s, struct err *e)
{
    struct arena *a = arena_new();
    struct slice v;
    enum status st = kv_get(s->kv, NULL, key_store(a, 'N'), a, &v, e);

    s->next_dbnum = 1;
    if (st == ST_OK && v.n == 4)
        s->next_dbnum = get_le32(v.p);
    else if (st == ST_OK)
        st = err_set(e, ST_CORRUPT, "the next database number has %zu bytes", v.n);
    else if (st == ST_NOT_FOUND)
        st = ST_OK;
    arena_free(a);
    return st;
}

/* Compaction took away records that this index has not seen: an old copy, or a rebuild that was cut
 * short. Going on from where it is would keep rows whose removal is no longer in the log. */
static enum status start_over(struct store *s, const struct store_options *opt,
                              const struct log_options *lo, struct err *e)
{
    uint64_t applied;

    if (!has_room(s))
        return err_set(e, ST_NO_SPACE, "no room to make the index again");
    log_warn("store %s: the index is older than the log's last compaction: it is made again",
             s->dir);
    log_close(s->log);
    s->log = NULL;
    kv_close(s->kv);
    s->kv = NULL;
    TRY(move_aside(s, e));
    TRY(try_index(s, opt, false, &applied, e));
    return log_open(s->segs, lo, &s->super, 1, &s->log, e);
}

static enum status recover_rows(struct store *s, const struct store_options *opt,
                                const struct log_options *lo, struct err *e)
{
    uint64_t applied;

    KILL_POINT("recover.owned");
    TRY(open_index(s, opt, &applied, e));
    KILL_POINT("recover.index");
    TRY(log_open(s->segs, lo, &s->super, applied + 1, &s->log, e));
    if (applied > log_last_lsn(s->log) && s->salvage != NULL) {
        salvage_missing(s->salvage, log_last_lsn(s->log) + 1, applied);
        log_skip_to(s->log, applied);
    }
    if (applied > log_last_lsn(s->log))
        return err_set(e, ST_CORRUPT,
                       "log was rolled back: the index has record %llu, the log ends at %llu",
                       (unsigned long long)applied, (unsigned long long)log_last_lsn(s->log));
    if (applied != 0 && log_gaps(s->log) != 0 && !opt->salvage) {
        TRY(start_over(s, opt, lo, e));
        applied = 0;
    }
    s->recovered_from = applied;
    KILL_POINT("recover.log");
    blobs_use_index(s->blobs, s->kv);
    atomic_store(&s->barrier_lsn, applied); /* it is in tables; what is replayed is not */
    TRY(accounts_load(s->accounts, s->kv, e));
    TRY(replay(s, applied, opt->salvage || log_gaps(s->log) != 0, e));
    KILL_POINT("recover.replayed");
    TRY(read_next_dbnum(s, e));
    return db_load_all(s, e);
}

enum status store_recover_read_only(struct store *s, struct err *e)
{
    const struct log_options lo = {.store = s->number, .read_only = true};
    const struct store_options opt = {.number = s->number};

    return recover_rows(s, &opt, &lo, e);
}

enum status store_recover(struct store *s, const struct store_options *opt, struct err *e)
{
    struct log_options lo = {
        .store = s->number, .segment_bytes = opt->segment_bytes, .salvage = opt->salvage};

    TRY(recover_rows(s, opt, &lo, e));
    KILL_POINT("recover.loaded");
    TRY(log_start(s->log, e));
    KILL_POINT("recover.started");
    atomic_store(&s->log_bytes, log_bytes(s->log));
    atomic_store(&s->tail_seg, log_tail_seg(s->log));
    return ST_OK;
}
