/* couch/att_io.h: the bytes of attachments as streams, in bounded memory, wherever they lie: small
 * ones (up to LIMIT_ATT_INLINE) in the log beside their document, larger ones each in a blob
 * (wal/blob.h), written once and never moved.
 *
 * Writing: open, add any number of pieces, finish; then the attachment goes into a doc_edit like
 * any other. A blob is durable when finish returns, so before any record that names it. Blobs that
 * no document came to name are dropped: at once by att_writer_free, after a crash by the sweep.
 * Threads: one at a time per writer or reader; they wait for the disk, so workers only.
 */
#ifndef COUCH_ATT_IO_H
#define COUCH_ATT_IO_H
#include "couch/db.h"

struct att_writer;
/* max: 413 attachment_too_large beyond it. ST_NO_SPACE when the disk is full. */
enum status att_writer_open(struct db *db, uint64_t max, struct att_writer **out,
                            struct err *e) MUST_CHECK;
enum status att_writer_add(struct att_writer *w, struct slice bytes, struct err *e) MUST_CHECK;
/* Bytes so far. */
uint64_t att_writer_len(const struct att_writer *w);
/* Fills att: md5, stored_len, len (== stored_len; the caller sets encoding and len for gzip), and
 * either data (arena) or ptr. The blob stays protected from collection until att_writer_free, which
 * must come after the commit that names it is done. */
enum status att_writer_finish(struct att_writer *w, struct arena *a, struct att *att,
                              struct err *e) MUST_CHECK;
/* NULL is fine. Unfinished, or finished and named by no row: the blob is dropped (collection
 * decides by looking, so that calling it after a commit of unknown outcome loses nothing). */
void att_writer_free(struct att_writer *w);

/* Reading: any range of the stored bytes. Each piece is checked by its checksum before any of it is
 * handed out. The reader keeps the bytes from being collected while it is open.
 * ST_NOT_FOUND: collected since the entry was read (look the document up again). */
struct att_reader;
enum status att_reader_open(struct db *db, const struct att *att, struct att_reader **out,
                            struct err *e) MUST_CHECK;
/* Appends up to n bytes from off on; fewer only at the end. */
enum status att_reader_read(struct att_reader *r, uint64_t off, size_t n, struct buf *out,
                            struct err *e) MUST_CHECK;
void att_reader_close(struct att_reader *r); /* NULL is fine */

/* All of it, appended; for callers that bound their buffer. */
enum status att_read_all(struct db *db, const struct att *att, struct buf *out,
                         struct err *e) MUST_CHECK;
/* More than LIMIT_ATT_INLINE in t->data becomes a blob, protected for the arena's life. */
enum status att_store_large(struct db *db, struct arena *a, struct att *t,
                            struct err *e) MUST_CHECK;
#endif
