/* couch/doc_priv.h: what doc_*.c, changes.c and all_docs.c share and nobody else includes. */
#ifndef COUCH_DOC_PRIV_H
#define COUCH_DOC_PRIV_H
#include "couch/doc_read.h"
#include "json/json.h"

enum { AGAIN_MAX = 8 }; /* times that a row is read again because compaction moved its body */

#define LOCAL_PREFIX SLICE_LIT("_local/")

/* ---- doc_parse.c: the special members of a document ---- */
struct doc_parts {
    bool has_id;
    struct slice id;
    const struct rev *path; /* from _revisions, else _rev; newest first */
    uint32_t npath;
    bool deleted;
    const struct json *atts; /* an object; NULL: none */
    struct slice json;       /* the body's bytes, arena */
    struct slice rev_text;   /* of _rev when it is a string (also for _local) */
};
/* local: _attachments and _revisions are dropped and _rev is left to the caller. */
enum status doc_parse(struct arena *a, const struct json *doc, bool local, struct doc_parts *out,
                      struct err *e) MUST_CHECK;
/* At most `max` bytes of s, cut between characters and before control bytes: for reasons. */
struct slice doc_clip(struct slice s, size_t max);

/* ---- doc_atts.c: from _attachments to the table of a body ---- */
struct att_source {
    struct arena *arena;
    struct slice docid;
    bool new_edits;
    uint32_t gen;                /* of the new revision */
    const struct doc_body *from; /* where stubs are looked up; NULL: nowhere */
    bool lenient;                /* stubs that are not found are dropped */
    const struct att *follows;   /* as in doc_edit */
    uint32_t nfollows;
};
bool doc_atts_need_source(const struct json *atts); /* some are stubs */
enum status doc_atts_build(const struct att_source *src, const struct json *atts,
                           struct doc_body *out, struct err *e) MUST_CHECK;
/* A standalone attachment: put in front of the others, or taken out. */
enum status doc_atts_put(const struct att_source *src, const struct att *att, struct doc_body *out,
                         struct err *e) MUST_CHECK;
enum status doc_atts_remove(const struct att_source *src, struct slice name, struct doc_body *out,
                            struct err *e) MUST_CHECK;
enum status doc_att_too_large(struct slice name, struct err *e) MUST_CHECK;
enum status doc_att_name_check(struct slice name, struct err *e) MUST_CHECK;
int doc_atts_find(const struct doc_body *b, struct slice name); /* -1: no such name */

/* ---- doc_local.c ---- */
bool doc_is_local(struct slice id);
/* N of "0-N". */
enum status doc_local_rev(struct slice text, uint64_t *n, struct err *e) MUST_CHECK;
enum status doc_local_exists(struct db *db, struct slice id, struct arena *a, bool *found,
                             struct err *e) MUST_CHECK;

/* ---- doc_read.c ---- */
/* doc_info that says "not there" by *found instead of a status. */
enum status doc_lookup(struct db *db, const struct kv_snap *snap, struct slice id, struct arena *a,
                       struct docinfo *out, bool *found, struct err *e) MUST_CHECK;
/* The same with the row, in a; empty: not there. */
enum status doc_lookup_row(struct db *db, struct slice id, struct arena *a, struct slice *row,
                           struct docinfo *out, struct err *e) MUST_CHECK;

/* ---- doc_json.c: one document as JSON ---- */
struct doc_view {
    struct slice id;
    const struct rev *rev;
    bool deleted;
    const struct doc_body *body;
    const struct doc_read_opts *opts; /* NULL: nothing extra */
    const struct docinfo *info;       /* needed by opts about other revisions; else NULL */
    int node;
};
/* a: may be NULL when info is. */
enum status doc_view_write(struct db *db, const struct doc_view *v, struct arena *a,
                           struct buf *out, struct err *e) MUST_CHECK;

/* ---- body_ahead.c: bodies of neighbours in the log with one read ---- */
struct body_ahead;
struct body_ahead *body_ahead_new(void);
void body_ahead_free(struct body_ahead *w); /* NULL is fine */
/* Like doc_load_body, but what it returns may borrow from w until the next call. */
enum status body_ahead_get(struct body_ahead *w, struct db *db, const struct seg_ptr *p,
                           struct arena *a, struct doc_body *out, struct err *e) MUST_CHECK;
#endif
