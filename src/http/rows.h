/* http/rows.h: answers that are rows of ids: what _all_docs, _design_docs, _local_docs and their
 * queries share. Parameters are parsed on a worker; the rest is a stream's. */
#ifndef HTTP_ROWS_H
#define HTTP_ROWS_H
#include "couch/changes.h"
#include "couch/local_docs.h"
#include "http/request.h"
#include "http/stream.h"

enum rows_kind { ROWS_ALL, ROWS_DESIGN, ROWS_LOCAL };
struct rows {
    struct stream s;
    struct db *db;
    enum rows_kind kind;
    struct all_docs_opts opts;
    struct all_docs *reader;
    struct local_docs *local;
    const struct json **keys;        /* NULL: range */
    uint32_t nkeys, key_at, key_end; /* those of the answer begin with key_at */
    bool opened, begun, update_seq;
};
/* A reader of the request's memory, its parameters from the query and the members of body (NULL:
 * none); body_wins says which one counts where both name it. Nothing is opened before the first
 * piece. */
enum status rows_new(struct request *rq, struct db *db, enum rows_kind kind,
                     const struct json *body, bool body_wins, struct rows **out) MUST_CHECK;
enum status rows_produce(struct stream *s, struct buf *out, enum stream_state *state,
                         struct err *e) MUST_CHECK;
void rows_free(struct stream *s); /* what the first piece opened */
#endif
