/* couch/doc_read.h: documents as clients see them. Runs on workers. */
#ifndef COUCH_DOC_READ_H
#define COUCH_DOC_READ_H
#include "couch/db.h"

/* The attachments whose bytes come after the JSON, in member order. */
struct doc_follows {
    const struct att *atts;
    uint32_t n;
};
struct doc_read_opts {
    bool revs, revs_info, conflicts, deleted_conflicts, local_seq;
    bool attachments; /* inline base64 data instead of stubs */
    bool att_encoding_info;
    const struct rev *atts_since; /* with attachments: only those newer than these ancestors */
    uint32_t natts_since;
    bool has_atts_since;
    /* Not NULL: for an answer in parts. Attachments are as with `attachments` and
     * att_encoding_info, but "follows":true instead of data, and are listed here (arena). */
    struct doc_follows *follows;
};
/* ST_NOT_FOUND reason "missing" when the document was never there. */
enum status doc_info(struct db *db, const struct kv_snap *snap, struct slice id, struct arena *a,
                     struct docinfo *out, struct err *e) MUST_CHECK;
/* The region behind a pointer, decoded; arena. */
enum status doc_load_body(struct db *db, const struct seg_ptr *p, struct arena *a,
                          struct doc_body *out, struct err *e) MUST_CHECK;
/* After doc_load_body said ST_NOT_FOUND: compaction moved the body since its pointer was read.
 * Reads the row again, as often as that happens. The revision `want`; when it is gone for good and
 * not `exact`, the winner as it is now. ST_NOT_FOUND "missing". */
struct doc_again {
    struct docinfo info;
    int node; /* what was loaded */
    struct doc_body body;
};
enum status doc_load_again(struct db *db, struct slice id, const struct rev *want, bool exact,
                           struct arena *a, struct doc_again *out, struct err *e) MUST_CHECK;
/* The body of a revision of document `id`, wherever compaction took it. ST_NOT_FOUND: gone. */
enum status doc_load_rev(struct db *db, struct slice id, const struct revnode *n, struct arena *a,
                         struct doc_body *out, struct err *e) MUST_CHECK;
/* The document's row and its winner's body as they are now, wherever compaction has taken it.
 * ST_NOT_FOUND only when the document was never there; a tombstone is loaded like any other. */
enum status doc_winner(struct db *db, struct slice id, struct arena *a, struct docinfo *info,
                       struct doc_body *body, struct err *e) MUST_CHECK;
/* Appends the whole JSON object of node i of info's tree: _id, _rev, body, _deleted, _attachments
 * and what opts asks for. ST_NOT_FOUND "missing" when the node has no body. */
enum status doc_write_json(struct db *db, struct slice id, const struct docinfo *info, int node,
                           const struct doc_read_opts *opts, struct arena *a, struct buf *out,
                           struct err *e) MUST_CHECK;
/* The common case from a changes or _all_docs row: winner, no options but (maybe) conflicts which
 * the caller excludes; no tree needed. `deleted` adds _deleted. */
enum status doc_write_winner(struct db *db, struct slice id, const struct rev *rev, bool deleted,
                             const struct doc_body *body, struct buf *out,
                             struct err *e) MUST_CHECK;
/* Winner or ?rev=; 404 "missing" / "deleted". node: its index. */
enum status doc_find(struct db *db, struct slice id, struct slice rev, struct arena *a,
                     struct docinfo *info, int *node, struct err *e) MUST_CHECK;
/* Which revisions open_revs asks for: what doc_open_revs writes, for an answer in parts. */
struct doc_open {
    const struct slice *revs;
    uint32_t nrevs;
    bool all, latest; /* all: revs is ignored */
};
struct doc_pick {
    int node;             /* one with a body; or -1: ... */
    struct slice missing; /* ... the revision that is not there */
};
struct doc_picks {
    struct docinfo info;
    struct doc_pick *v;
    uint32_t n;
};
enum status doc_open_list(struct db *db, struct slice id, const struct doc_open *want,
                          struct arena *a, struct doc_picks *out, struct err *e) MUST_CHECK;
/* open_revs=all (revs NULL) or a list: [{"ok":doc}|{"missing":"rev"}...] as a JSON array. */
enum status doc_open_revs(struct db *db, struct slice id, const struct slice *revs, uint32_t nrevs,
                          bool all, bool latest, const struct doc_read_opts *opts, struct arena *a,
                          struct buf *out, struct err *e) MUST_CHECK;
/* One entry of _bulk_get's results: {"id":..,"docs":[..]} (A.6); never fails the request. */
enum status doc_bulk_get(struct db *db, const struct json *item, bool latest,
                         const struct doc_read_opts *opts, struct arena *a, struct buf *out,
                         struct err *e) MUST_CHECK;
/* The same for an answer in parts: which revisions an item asks for. opts: on entry the request's,
 * on return with the item's atts_since. A failure is this item's: doc_bulk_error. id and rev are
 * set in any case. */
struct doc_bulk {
    struct slice id, rev; /* rev "undefined": none was named */
    struct doc_picks picks;
    struct doc_read_opts opts;
};
enum status doc_bulk_list(struct db *db, const struct json *item, bool latest, struct arena *a,
                          struct doc_bulk *out, struct err *e) MUST_CHECK;
const char *doc_bulk_word(enum status st, const struct err *e); /* for: */
void doc_bulk_error(const struct doc_bulk *b, const char *word, const char *reason,
                    struct buf *out); /* {"id","rev","error","reason"} */
/* One attachment of the winner or of rev: its entry; ST_NOT_FOUND "Document is missing attachment".
 */
enum status doc_att(struct db *db, struct slice id, struct slice rev, struct slice name,
                    struct arena *a, struct att *out, struct rev *at_rev, struct err *e) MUST_CHECK;
/* Its stored bytes, appended. */
enum status doc_att_data(struct db *db, const struct att *att, struct buf *out,
                         struct err *e) MUST_CHECK;
/* Body object of _revs_diff: {"id":{"missing":[..],"possible_ancestors":[..]}} for {id:[rev..]}. */
enum status doc_revs_diff(struct db *db, const struct json *req, struct arena *a, struct buf *out,
                          struct err *e) MUST_CHECK;
/* What _missing_revs says: {"id":["rev"..]}, the same revisions without ancestors. */
enum status doc_missing_revs(struct db *db, const struct json *req, struct buf *out,
                             struct err *e) MUST_CHECK;
/* _local: ST_NOT_FOUND "missing"; appends the JSON object with _id and _rev. id without prefix. */
enum status doc_local_read(struct db *db, struct slice id, struct arena *a, struct buf *out,
                           struct rev *rev, struct err *e) MUST_CHECK;
#endif
