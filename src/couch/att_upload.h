/* couch/att_upload.h: one attachment on its way in: the writer and, for bytes that a client has
 * compressed, how long they are without that. Threads: as att_io.h: workers, one at a time.
 */
#ifndef COUCH_ATT_UPLOAD_H
#define COUCH_ATT_UPLOAD_H
#include "couch/att_io.h"

struct att_upload;
/* gzip: the client says that the bytes are compressed. name is for the reason of an error. */
enum status att_upload_open(struct db *db, struct slice name, bool gzip, struct att_upload **out,
                            struct err *e) MUST_CHECK;
enum status att_upload_add(struct att_upload *u, struct slice bytes, struct err *e) MUST_CHECK;
/* Fills md5, lengths, encoding, and data or ptr of att; durable when it returns. Bytes that were
 * said to be gzip and are not are ATT_IDENTITY. */
enum status att_upload_end(struct att_upload *u, struct arena *a, struct att *att,
                           struct err *e) MUST_CHECK;
/* Only after the commit that names it is done; NULL is fine. */
void att_upload_free(struct att_upload *u);
#endif
