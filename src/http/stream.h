/* http/stream.h: answers that are produced piece by piece: large lists and feeds.
 *
 * A stream is a producer with a state of its own. The first piece is made before the status line
 * leaves, so that early errors carry the right code; when the first call already ends the stream,
 * the answer goes out with a Content-Length. Later pieces are made by workers only when the last
 * one is on its way (back-pressure), and never by the thread that sends.
 */
#ifndef HTTP_STREAM_H
#define HTTP_STREAM_H
#include "base/buf.h"
#include "base/status.h"
#include "couch/db.h"

enum stream_state {
    STREAM_MORE, /* call again when this piece is sent */
    STREAM_WAIT, /* call again on a write to `db` (`updates`) past `since`, or at the deadline */
    STREAM_DONE
};
struct stream {
    /* Appends at most about LIMIT_STREAM_CHUNK bytes. A status that is not ST_OK in a later piece
     * cuts the answer off. */
    enum status (*produce)(struct stream *s, struct buf *out, enum stream_state *state,
                           struct err *e);
    void (*free)(struct stream *s);
    bool sized; /* it will have `size` bytes: a Content-Length, and HEAD makes no piece */
    uint64_t size;
    /* for STREAM_WAIT: */
    struct db *db;
    struct updates *updates; /* instead of db: what happens to any database */
    uint64_t since;
    uint64_t deadline_us; /* monotonic */
    bool stopping;        /* the server stops: finish at once */
};
#endif
