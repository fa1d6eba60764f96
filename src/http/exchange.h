/* http/exchange.h: one request on its way through the server: what server.c (requests), body.c
 * (their bodies), send.c (answers), runner.c (the worker side), feed.c (streams), direct.c (their
 * later pieces) and conns.c (slow clients) share.
 *
 * States and who moves them on:
 *   NEW      request line seen                    -> READING, or (early) RUNNING
 *   ADMITTED a worker has judged the head          -> READING, or DRAINING
 *   READING  pool thread collects the body         -> RUNNING (suspended, job pushed)
 *   DRAINING refused: pool thread drops the body   -> SENDING
 *   READING  a plain GET of a document             -> READY   (at once: runner.c)
 *   RUNNING  a worker has it                       -> READY   (runner.c, then resumed), or back to
 *            READING with a piece of the body written, or ADMITTED, or DRAINING
 *   READY    pool thread queues the answer         -> SENDING
 *   SENDING  pool thread sends; a stream's pieces are made by workers meanwhile, who also write
 *            them to the socket while the connection is suspended (direct.c)
 * The exchange is freed by libmicrohttpd's completion callback, which never runs while the
 * connection is suspended: so a worker that has it need not fear for it.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H
#include <microhttpd.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/limits.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "http/request.h"
#include "http/stream.h"

enum exchange_state {
    EX_NEW,
    EX_ADMITTED,
    EX_READING,
    EX_DRAINING,
    EX_RUNNING,
    EX_READY,
    EX_SENDING
};
#define BODY_UNKNOWN UINT64_MAX /* a length: chunked */
enum feed_state { FEED_IDLE, FEED_READY, FEED_PRODUCING, FEED_ENDED, FEED_FAILED };

struct exchange {
    struct http *http;
    struct MHD_Connection *conn;
    struct client *client;
    struct job job;
    struct request rq;
    struct reply rp;
    bool *here;        /* NULL, or: on the pool thread, at once; false: it went to a worker */
    struct slice uri;  /* raw, with the query; arena */
    _Atomic int state; /* enum exchange_state; hands the rest over to whom it names */
    struct buf body;   /* all of it, or with a sink what came since the last piece */
    uint64_t body_n;   /* what the head says of it; BODY_UNKNOWN */
    uint64_t received; /* of the body */
    size_t turn_at;    /* bytes of a large one from which on others have their turn */
    uint64_t drained;  /* of these, after the request was refused */
    size_t counted;    /* bytes of LIMIT_INFLIGHT_BYTES that are ours */
    bool heavy;        /* its work is for the heavy pool */
    bool early;        /* a worker sees it before its body */
    bool opened;       /* the body may come */
    bool refused;      /* the answer is there, the body does not matter */
    bool body_done;
    char request_id[LIMIT_REQUEST_ID_BYTES + 1];
    uint64_t body_began_us;
    uint64_t body_us;    /* how long the body took to come */
    enum status auth_st; /* of the second look at the credentials */
    /* streaming */
    bool chunked; /* pieces after the first go by direct.c, not by libmicrohttpd */
    struct buf piece;
    size_t piece_off;
    _Atomic int feed;       /* enum feed_state */
    enum stream_state next; /* what the last piece asked for */
    struct waiting {
        struct db_waiter waiter;
        uint64_t deadline_us;
        size_t heap_at;    /* 1-based place in the timer heap; 0: not in it */
        _Atomic int fired; /* the job was pushed, by the write or by the timer: once */
        _Atomic int woken; /* the committer's wake has let go of the waiter */
        bool queued;       /* db_wait took it */
        bool peer_gone;    /* the client closed while nothing was sent */
    } wait;
};

static inline struct exchange *exchange_of(struct job *j)
{
    return (struct exchange *)(void *)((char *)j - offsetof(struct exchange, job));
}

struct http {
    struct MHD_Daemon *daemon;
    struct services svc;
    struct pool *pool;
    _Atomic uint64_t disk_until_us; /* documents had to come from the disk: only workers read */
    struct pool *hash_pool;         /* logins: 100 ms of computing each */
    _Atomic unsigned hashing;       /* jobs in it */
    struct pool *heavy_pool;        /* large bodies; the pieces of streams after their first */
    struct pool *slow_pool; /* searches, large uploads: may wait, others must not wait for them */
    _Atomic size_t inflight;
    _Atomic unsigned open; /* exchanges between request line and last byte of the answer */
    _Atomic int stopping;
    struct timers *timers;
    struct sender *sender;
    struct conns *conns;
};

/* runner.c: parse, route, authorise, handle; called through the job. */
void exchange_run(struct job *j);
/* The same on a pool thread. true: x->rp is the answer; false: a worker has it, hands off. */
bool exchange_run_here(struct exchange *x);
void exchange_body_done(struct job *j);                 /* handle: an early request has its body */
void exchange_fail(struct exchange *x, enum status st); /* x->rq.err is the answer; resumes */

/* body.c: see there. Called by on_request in the states NEW; ADMITTED; READING and DRAINING. */
enum MHD_Result body_begin(struct exchange *x);
enum MHD_Result body_open(struct exchange *x);
enum MHD_Result body_take(struct exchange *x, const char *data, size_t n);
enum MHD_Result body_end(struct exchange *x);
enum status body_to_sink(struct exchange *x) MUST_CHECK;
void body_refused(struct exchange *x); /* x->rp is the answer; the rest of the body is dropped */
/* runner.c: to a worker, of the heavy pool if it is heavy; job.run is set. */
void exchange_push(struct exchange *x);
/* send.c: the worker is done with it (state READY, or a piece is made): back to the pool. */
void exchange_resume(struct exchange *x);
/* send.c: queues x->rp. false: the connection is to be closed. Pool thread. */
bool exchange_send(struct exchange *x);

/* feed.c: a stream's pieces and its waits. */
void feed_wait(struct exchange *x); /* connection suspended: make, or wait for, the next piece */
/* Makes one piece into x->piece and sets x->next; a failure ends the stream. Any worker. */
enum status feed_piece(struct exchange *x, struct err *e) MUST_CHECK;
struct timers *timers_new(void);
void timers_stop(struct timers *t);     /* joins its thread, frees */
void timers_fire_all(struct timers *t); /* the server stops: every feed ends now */

/* The stream is at its end, or broken, or libmicrohttpd is to send the piece. */
void feed_over(struct exchange *x, enum feed_state how);

/* direct.c: x->piece as a chunk to the socket, then on with the stream. The connection is
 * suspended, its client takes chunks (x->chunked), all that came before is sent; x belongs to
 * others after it. */
void direct_send(struct exchange *x);
struct sender *sender_new(void);
void sender_stop(struct sender *s); /* joins its thread, frees; no exchange is left */

/* conns.c: the connections, and the thread that cuts off clients that dribble. */
enum client_phase {
    CLIENT_IDLE, /* no request under way */
    CLIENT_HEAD, /* a new connection, or a request line without the end of its headers */
    CLIENT_BODY,
    CLIENT_BUSY,  /* it waits for us, or takes its answer from libmicrohttpd */
    CLIENT_TAKING /* it takes its answer from direct.c; since the last bytes that it took */
};
struct client;
struct conns *conns_new(void);
void conns_stop(struct conns *c); /* joins its thread, frees; every client was closed */
struct client *conns_open(struct conns *c, int fd);
void conns_close(struct conns *c, struct client *cl); /* before the socket is closed */
void conns_cut_all(struct conns *c); /* shuts every socket down: the server stops */
void client_phase(struct client *cl, enum client_phase phase);
int client_socket(const struct client *cl);
void client_got(struct client *cl, size_t body_bytes);
/* Its end of the connection is closed and nothing of it is unread. */
bool client_gone(const struct client *cl);
/* Whether a client that is `age_us` in this phase, of which it sent `bytes` of a body, is to go. */
bool client_too_slow(enum client_phase phase, uint64_t age_us, uint64_t bytes);
#endif
