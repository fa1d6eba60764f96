/* couch/changes.h: readers over the by-seq rows: _changes, and everything that follows a database
 * (vector indexes, replication). Runs on workers; one reader by one thread at a time. */
#ifndef COUCH_CHANGES_H
#define COUCH_CHANGES_H
#include "couch/doc_read.h"

/* ---- rows ---- */
struct changes_cursor;
/* Rows with seq > since, ascending; descending: newest first, all with seq > since. */
struct changes_cursor *changes_cursor_new(struct db *db, uint64_t since, bool descending);
void changes_cursor_free(struct changes_cursor *c); /* NULL is fine */
/* *got false: no more rows at the moment the cursor was made. row borrows until the next call. */
enum status changes_cursor_next(struct changes_cursor *c, uint64_t *seq, struct seqrow *row,
                                bool *got, struct err *e) MUST_CHECK;
/* The body of the row's winner, read ahead in the log's order; arena or borrowed until the next
 * call of the cursor. Deleted winners have one too. */
enum status changes_cursor_body(struct changes_cursor *c, const struct seqrow *row, struct arena *a,
                                struct doc_body *out, struct err *e) MUST_CHECK;

/* ---- _changes ---- */
struct changes_opts {
    uint64_t since;
    uint64_t limit; /* UINT64_MAX: none */
    bool descending, style_all_docs, include_docs, conflicts, attachments, att_encoding_info;
    uint64_t seq_interval; /* 0 or 1: every row has a seq */
    /* NULL: all. Sees the winner's row; body is loaded only when needs_body. With style_all_docs
     * and needs_body it sees each leaf as if it was the winner, and those that pass are shown. */
    bool (*filter)(void *arg, const struct seqrow *row, const struct doc_body *body);
    void *filter_arg;
    bool filter_needs_body;
    /* The filter is "one of these ids", without doubles: rows may be looked up instead of scanned.
     * NULL: it is not. Borrowed like filter_arg. */
    const struct slice *ids;
    uint32_t nids;
};
struct changes;
struct changes *changes_new(struct db *db, const struct changes_opts *opts);
void changes_free(struct changes *c); /* NULL is fine */
/* Appends one row object (no separator, no newline) to out. *got false: nothing more now, or the
 * limit is reached (changes_done), or LIMIT_CHANGES_SCAN rows were filtered out in a row (call
 * again: it lets a feed send heartbeats while it scans; changes_idle tells). After new writes call
 * again: a reader at the end continues with them. */
enum status changes_next(struct changes *c, struct buf *out, bool *got, struct err *e) MUST_CHECK;
bool changes_done(const struct changes *c);         /* the limit is reached */
bool changes_at_end(const struct changes *c);       /* the last call saw the end of the rows */
uint64_t changes_last_seq(const struct changes *c); /* scanned so far: what last_seq must say */
uint64_t changes_pending(const struct changes *c);  /* rows after last_seq (unfiltered) */

/* ---- _all_docs ---- */
struct all_docs_opts {
    bool has_start, has_end, descending, inclusive_end, include_docs, conflicts, attachments;
    bool att_encoding_info;
    struct slice start, end; /* ids: raw byte order */
    uint64_t limit, skip;
    struct slice prefix; /* only ids with it: _design_docs; empty: all */
};
struct all_docs;
struct all_docs *all_docs_new(struct db *db, const struct all_docs_opts *opts);
void all_docs_free(struct all_docs *r);
/* Appends one row object {"id","key","value":{"rev"},"doc"?}; *got false at the end. */
enum status all_docs_next(struct all_docs *r, struct buf *out, bool *got, struct err *e) MUST_CHECK;
/* Rows of live documents before the first row of the answer; call after the first next. UINT64_MAX:
 * more than LIMIT_OFFSET_SCAN, not counted: answer null. */
uint64_t all_docs_offset(const struct all_docs *r);
uint64_t all_docs_total(const struct all_docs *r);
/* Live documents whose ids begin so, by walking them: for few. */
uint64_t all_docs_count(struct db *db, struct slice prefix);
/* Same reader for the engine's own scans (Mango): head of the row and, on demand, its body. */
enum status all_docs_next_doc(struct all_docs *r, struct slice *id, struct docinfo_head *head,
                              bool *got, struct err *e) MUST_CHECK;
/* One row of the keys= form for this id: found, deleted, or {"key","error":"not_found"}. */
enum status all_docs_key(struct db *db, struct slice id, const struct all_docs_opts *opts,
                         struct arena *a, struct buf *out, struct err *e) MUST_CHECK;
#endif
