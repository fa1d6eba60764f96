/* http/feed_params.c: see feed_params.h. Runs on workers. */
#include "http/feed_params.h"

#include "base/limits.h"
#include "base/metrics.h"
#include "base/text.h"

static enum status parse_feed(struct request *rq, struct feed_params *f)
{
    const struct slice *v = rq_param(rq, "feed");

    f->feed = FEED_NORMAL;
    if (v == NULL || slice_eq(*v, SLICE_LIT("normal")))
        return ST_OK;
    if (slice_eq(*v, SLICE_LIT("longpoll")))
        f->feed = FEED_LONGPOLL;
    else if (slice_eq(*v, SLICE_LIT("continuous")) || slice_eq(*v, SLICE_LIT("live")))
        f->feed = FEED_CONTINUOUS;
    else if (slice_eq(*v, SLICE_LIT("eventsource")))
        f->feed = FEED_EVENTSOURCE;
    else
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "Supported `feed` types: normal, continuous, live, longpoll, eventsource");
    return ST_OK;
}

enum status feed_params_parse(struct request *rq, struct feed_params *f)
{
    const struct slice *hb = rq_param(rq, "heartbeat");
    uint64_t timeout_ms = LIMIT_CHANGES_TIMEOUT_MS, heartbeat_ms = LIMIT_CHANGES_TIMEOUT_MS;

    TRY(parse_feed(rq, f));
    TRY(rq_u64(rq, "timeout", &timeout_ms));
    if (timeout_ms > LIMIT_CHANGES_TIMEOUT_MS)
        timeout_ms = LIMIT_CHANGES_TIMEOUT_MS;
    if (hb != NULL && !slice_eq(*hb, SLICE_LIT("false"))) {
        f->heartbeats = true;
        if (!slice_eq(*hb, SLICE_LIT("true")) &&
            (!parse_u64(*hb, &heartbeat_ms) || heartbeat_ms == 0))
            return err_set(&rq->err, ST_BAD_REQUEST,
                           "Invalid heartbeat value. Expecting a positive integer value "
                           "(in milliseconds).");
        if (heartbeat_ms > LIMIT_CHANGES_TIMEOUT_MS)
            heartbeat_ms = LIMIT_CHANGES_TIMEOUT_MS;
    }
    f->timeout_us = timeout_ms * 1000;
    f->heartbeat_us = heartbeat_ms * 1000;
    return ST_OK;
}

const struct slice *feed_since(struct request *rq, const struct feed_params *f,
                               struct slice *header)
{
    const struct slice *v = rq_param(rq, "since");

    *header = rq_header(rq, "Last-Event-ID");
    if (v == NULL)
        v = rq_param(rq, "last-event-id");
    /* A browser that connects again repeats the URL: its header is newer. */
    if (f->feed == FEED_EVENTSOURCE && header->n != 0)
        v = header;
    return v;
}

void feed_begin(const struct feed_params *f, struct stream *s, struct reply *rp)
{
    if (f->feed != FEED_NORMAL)
        metrics_add(METRIC_FEEDS, 1);
    if (f->feed == FEED_EVENTSOURCE) {
        rp->content_type = "text/event-stream";
        reply_header(rp, "Cache-Control", SLICE_LIT("no-cache"));
    }
    rp->stream = s;
}

void feed_end(const struct feed_params *f)
{
    if (f->feed != FEED_NORMAL)
        metrics_sub(METRIC_FEEDS, 1);
}
