/* http/h_changes.c: the _changes feeds (couchdb-surface A.9): normal, longpoll, continuous,
 * eventsource. A feed
 * is a stream; while it waits for a write it is a suspended connection and costs no thread.
 */
#include "base/limits.h"
#include "base/time.h"
#include "couch/changes.h"
#include "http/feed_params.h"
#include "http/handlers.h"
#include "http/stream.h"

struct changes_feed {
    struct stream s;
    struct db *db;
    struct changes *reader;
    struct changes_opts opts;
    struct feed_params p;
    bool begun, sent_row;
    uint64_t ends_us, beat_us;
};

/* ---- parameters ---- */

static enum status parse_since(struct request *rq, struct changes_feed *f)
{
    struct slice header;
    const struct slice *v = feed_since(rq, &f->p, &header);

    if (v == NULL)
        return ST_OK;
    if (seq_parse(f->db, *v, &f->opts.since, &rq->err) != ST_OK)
        return err_set(&rq->err, ST_BAD_REQUEST,
                       "Malformed sequence supplied in 'since' parameter.");
    return ST_OK;
}

static enum status parse_style(struct request *rq, struct changes_opts *o)
{
    const struct slice *v = rq_param(rq, "style");

    if (v == NULL || slice_eq(*v, SLICE_LIT("main_only")))
        return ST_OK;
    if (!slice_eq(*v, SLICE_LIT("all_docs")))
        return err_set(&rq->err, ST_BAD_REQUEST, "Invalid value for style");
    o->style_all_docs = true;
    return ST_OK;
}

static enum status parse_changes(struct request *rq, struct changes_feed *f)
{
    struct changes_opts *o = &f->opts;
    const struct slice *interval = rq_param(rq, "seq_interval");
    const struct json *body;

    o->limit = UINT64_MAX;
    if (rq->method == M_POST && rq->body.n != 0) /* also where no filter reads it */
        TRY(rq_object(rq, &body));
    TRY(feed_params_parse(rq, &f->p));
    TRY(parse_since(rq, f));
    TRY(parse_style(rq, o));
    TRY(rq_u64(rq, "limit", &o->limit));
    o->descending = rq_flag(rq, "descending");
    o->include_docs = rq_flag(rq, "include_docs");
    o->conflicts = rq_flag(rq, "conflicts");
    o->attachments = rq_flag(rq, "attachments");
    o->att_encoding_info = rq_flag(rq, "att_encoding_info");
    TRY(rq_u64(rq, "seq_interval", &o->seq_interval));
    if (interval != NULL && o->seq_interval == 0)
        return err_set(&rq->err, ST_BAD_REQUEST, "seq_interval must be positive");
    return changes_filter_parse(rq, f->db, o);
}

/* ---- the feed ---- */

static void write_end(struct changes_feed *f, struct buf *out)
{
    if (f->p.feed == FEED_EVENTSOURCE) /* only events; the client connects again */
        return;
    buf_str(out, f->p.feed == FEED_CONTINUOUS ? "{\"last_seq\":\"" : "\n],\n\"last_seq\":\"");
    seq_write(out, f->db, changes_last_seq(f->reader));
    buf_str(out, "\",\"pending\":");
    buf_u64(out, changes_pending(f->reader));
    buf_str(out, "}\n");
}

static void write_row(struct changes_feed *f, struct slice row, struct buf *out)
{
    if (f->p.feed == FEED_EVENTSOURCE) {
        buf_str(out, "data: ");
        buf_add(out, row);
        buf_str(out, "\nid: \"");
        seq_write(out, f->db, changes_last_seq(f->reader));
        buf_str(out, "\"\n\n");
        return;
    }
    if (f->p.feed != FEED_CONTINUOUS && f->sent_row)
        buf_str(out, ",\r\n");
    buf_add(out, row);
    if (f->p.feed == FEED_CONTINUOUS)
        buf_char(out, '\n');
}

/* Rows until the piece is full or none is left. *some: at least one row was written. */
static enum status write_rows(struct changes_feed *f, struct buf *out, bool *some, struct err *e)
{
    struct buf row;
    enum status st = ST_OK;
    bool got = true;

    buf_init(&row, out->max);
    while (st == ST_OK && got && out->n < LIMIT_STREAM_CHUNK) {
        buf_clear(&row);
        st = changes_next(f->reader, &row, &got, e);
        if (st != ST_OK || !got)
            break;
        write_row(f, buf_slice(&row), out);
        f->sent_row = *some = true;
    }
    buf_free(&row);
    return st;
}

static bool feed_over(const struct changes_feed *f, uint64_t now)
{
    if (changes_done(f->reader) || f->s.stopping || db_dropped(f->db))
        return true;
    if (!changes_at_end(f->reader))
        return false;
    if (f->p.feed == FEED_NORMAL || (f->p.feed == FEED_LONGPOLL && f->sent_row))
        return true;
    return !f->p.heartbeats && now >= f->ends_us;
}

static void write_heartbeat(const struct changes_feed *f, struct buf *out)
{
    buf_str(out, f->p.feed == FEED_EVENTSOURCE ? "event: heartbeat\ndata: \n\n" : "\n");
}

/* A filter may hide rows for minutes: the client is to see that its server lives. */
static void beat_while_scanning(struct changes_feed *f, struct buf *out, bool some, uint64_t now)
{
    if (f->beat_us == 0 || some) {
        f->beat_us = now + f->p.heartbeat_us;
    } else if (f->p.heartbeats && now >= f->beat_us) {
        write_heartbeat(f, out);
        f->beat_us = now + f->p.heartbeat_us;
    }
}

static enum status changes_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                   struct err *e)
{
    struct changes_feed *f = (struct changes_feed *)(void *)s;
    bool some = false, woken = f->begun;
    uint64_t now;

    if (!f->begun && (f->p.feed == FEED_NORMAL || f->p.feed == FEED_LONGPOLL))
        buf_str(out, "{\"results\":[\n");
    f->begun = true;
    TRY(write_rows(f, out, &some, e));
    now = time_mono_us();
    if (some)
        f->ends_us = now + f->p.timeout_us;
    if (feed_over(f, now)) {
        write_end(f, out);
        *state = STREAM_DONE;
        return ST_OK;
    }
    if (!changes_at_end(f->reader)) {
        beat_while_scanning(f, out, some, now);
        *state = STREAM_MORE;
        return ST_OK;
    }
    if (woken && !some && f->p.heartbeats && now >= s->deadline_us)
        write_heartbeat(f, out);
    if (some || now >= s->deadline_us)
        s->deadline_us = f->p.heartbeats ? now + f->p.heartbeat_us : f->ends_us;
    s->since = changes_last_seq(f->reader);
    *state = STREAM_WAIT;
    return ST_OK;
}

static void changes_feed_free(struct stream *s)
{
    struct changes_feed *f = (struct changes_feed *)(void *)s;

    changes_free(f->reader);
    feed_end(&f->p);
}

/* GET, POST /{db}/_changes */
enum status h_changes(struct request *rq, struct reply *rp)
{
    struct changes_feed *f = arena_zalloc(rq->arena, sizeof(*f));

    TRY(rq_db(rq, &f->db));
    TRY(parse_changes(rq, f));
    if (f->p.feed == FEED_NORMAL && reply_unchanged(rq, rp, f->db))
        return ST_OK;
    f->reader = changes_new(f->db, &f->opts);
    f->ends_us = time_mono_us() + f->p.timeout_us;
    f->s = (struct stream){
        .produce = changes_produce, .free = changes_feed_free, .db = f->db, .deadline_us = 0};
    feed_begin(&f->p, &f->s, rp);
    return ST_OK;
}
