/* http/h_db_updates.c: GET /_db_updates: what happens to databases, as a list or a feed. While it
 * waits it is a suspended connection, as in h_changes.c. Runs on workers. */
#include "base/time.h"
#include "couch/stores.h"
#include "couch/updates.h"
#include "http/feed_params.h"
#include "http/handlers.h"
#include "http/stream.h"

struct updates_feed {
    struct stream s;
    struct updates *updates;
    struct feed_params p;
    bool descending, begun, sent_row;
    uint64_t since, left, ends_us;
};

static bool in_one_object(const struct updates_feed *f)
{
    return f->p.feed == FEED_NORMAL || f->p.feed == FEED_LONGPOLL;
}

static void write_row(struct updates_feed *f, const struct update_row *r, struct buf *out)
{
    static const char *const words[] = {"created", "updated", "deleted"};

    if (in_one_object(f) && f->sent_row)
        buf_str(out, ",\n");
    buf_str(out, f->p.feed == FEED_EVENTSOURCE ? "data: {\"db_name\":" : "{\"db_name\":");
    json_write_str(out, r->name);
    buf_printf(out, ",\"type\":\"%s\",\"seq\":\"", words[r->what]);
    updates_seq_write(f->updates, out, r->seq);
    buf_str(out, "\"}");
    if (f->p.feed == FEED_EVENTSOURCE) {
        buf_str(out, "\nid: \"");
        updates_seq_write(f->updates, out, r->seq);
        buf_str(out, "\"\n");
    }
    if (!in_one_object(f))
        buf_char(out, '\n');
    f->sent_row = true;
}

/* *some: there was at least one. */
static void write_rows(struct updates_feed *f, struct buf *out, bool *some)
{
    struct arena *a = arena_new();
    struct update_row *rows;
    uint64_t last;
    size_t n, i;

    updates_list(f->updates, f->since, a, &rows, &n, &last);
    for (i = 0; i < n && f->left != 0; i++, f->left--)
        write_row(f, &rows[f->descending ? n - 1 - i : i], out);
    *some = i != 0;
    if (i == n)
        f->since = last;
    else if (i != 0)
        f->since = rows[f->descending ? n - i : i - 1].seq;
    arena_free(a);
}

static void write_end(struct updates_feed *f, struct buf *out)
{
    if (f->p.feed == FEED_EVENTSOURCE)
        return;
    buf_str(out, in_one_object(f) ? "\n],\"last_seq\":\"" : "{\"last_seq\":\"");
    updates_seq_write(f->updates, out, f->since);
    buf_str(out, "\"}\n");
}

static bool is_over(const struct updates_feed *f, uint64_t now)
{
    if (f->p.feed == FEED_NORMAL || f->left == 0 || f->s.stopping)
        return true;
    if (f->p.feed == FEED_LONGPOLL && f->sent_row)
        return true;
    return !f->p.heartbeats && now >= f->ends_us;
}

static enum status produce(struct stream *s, struct buf *out, enum stream_state *state,
                           struct err *e)
{
    struct updates_feed *f = (struct updates_feed *)(void *)s;
    bool some, woken = f->begun;
    uint64_t now;

    (void)e;
    if (!f->begun && in_one_object(f))
        buf_str(out, "{\"results\":[\n");
    f->begun = true;
    write_rows(f, out, &some);
    now = time_mono_us();
    if (some)
        f->ends_us = now + f->p.timeout_us;
    if (is_over(f, now)) {
        write_end(f, out);
        *state = STREAM_DONE;
        return ST_OK;
    }
    if (woken && !some && f->p.heartbeats && now >= s->deadline_us)
        buf_str(out, f->p.feed == FEED_EVENTSOURCE ? "event: heartbeat\ndata: \n\n" : "\n");
    if (some || now >= s->deadline_us)
        s->deadline_us = f->p.heartbeats ? now + f->p.heartbeat_us : f->ends_us;
    s->since = f->since;
    *state = STREAM_WAIT;
    return ST_OK;
}

static void updates_feed_free(struct stream *s)
{
    struct updates_feed *f = (struct updates_feed *)(void *)s;

    feed_end(&f->p);
}

/* GET /_db_updates */
enum status h_db_updates(struct request *rq, struct reply *rp)
{
    struct updates_feed *f = arena_zalloc(rq->arena, sizeof(*f));
    const struct slice *since;
    struct slice header;

    f->updates = store_updates(stores_main(rq->svc->stores));
    f->left = UINT64_MAX;
    TRY(feed_params_parse(rq, &f->p));
    TRY(rq_u64(rq, "limit", &f->left));
    TRY(rq_bool(rq, "descending", &f->descending));
    since = feed_since(rq, &f->p, &header);
    if (since != NULL)
        TRY(updates_seq_parse(f->updates, *since, &f->since, &rq->err));
    f->ends_us = time_mono_us() + f->p.timeout_us;
    f->s = (struct stream){.produce = produce, .free = updates_feed_free, .updates = f->updates};
    feed_begin(&f->p, &f->s, rp);
    return ST_OK;
}
