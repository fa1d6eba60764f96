/* http/feed_params.h: what _changes and _db_updates have in common: which kind of feed, how long it
 * waits, when it says that it is still there. */
#ifndef HTTP_FEED_PARAMS_H
#define HTTP_FEED_PARAMS_H
#include "http/reply.h"
#include "http/request.h"

enum feed { FEED_NORMAL, FEED_LONGPOLL, FEED_CONTINUOUS, FEED_EVENTSOURCE };
struct feed_params {
    enum feed feed;
    bool heartbeats;
    uint64_t heartbeat_us, timeout_us;
};
/* feed, heartbeat, timeout; ST_BAD_REQUEST. */
enum status feed_params_parse(struct request *rq, struct feed_params *f) MUST_CHECK;
/* since, last-event-id, or the header that a browser repeats; NULL: none. */
const struct slice *feed_since(struct request *rq, const struct feed_params *f,
                               struct slice *header);
/* Answers with the stream. Whoever called it calls feed_end when the stream is freed. */
void feed_begin(const struct feed_params *f, struct stream *s, struct reply *rp);
void feed_end(const struct feed_params *f);
#endif
