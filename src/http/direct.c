/* http/direct.c: pieces of a chunked answer go from the worker that made them to the socket.
 *
 * libmicrohttpd sends the head, the first piece and the end. Between them the connection stays
 * suspended, so that nobody else touches its socket, and each piece is one chunk of ours: a pool
 * thread that moved the bytes of large answers would keep small requests waiting, and the scheduler
 * would rightly owe it nothing. What the socket does not take at once waits in an epoll set; its
 * thread only pushes the job again.
 * Threads: direct_send and the job on workers; the loop on the thread "sender".
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/metrics.h"
#include "http/exchange.h"

enum { EVENTS = 64, CHUNK_HEAD = 24 };

struct sender {
    int epoll, stop;
    struct thread thread;
};

/* Where a socket was before does not matter: it is closed and forgotten, or armed anew here. */
static bool await_room(struct exchange *x)
{
    struct epoll_event ev = {.events = EPOLLOUT | EPOLLONESHOT, .data = {.ptr = x}};
    int fd = client_socket(x->client), set = x->http->sender->epoll;

    return epoll_ctl(set, EPOLL_CTL_MOD, fd, &ev) == 0 ||
           (errno == ENOENT && epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) == 0);
}

/* The chunk of x->piece but for its first `skip` bytes, as `v`; how many parts. */
static size_t chunk_parts(const struct exchange *x, char *head, size_t skip, struct iovec *v)
{
    int n = snprintf(head, CHUNK_HEAD, "%zx\r\n", x->piece.n);
    static char tail[] = "\r\n";
    struct iovec all[3] = {{head, (size_t)n}, {x->piece.p, x->piece.n}, {tail, 2}};
    size_t parts = 0;

    for (size_t i = 0; i < 3; i++) {
        size_t cut = skip < all[i].iov_len ? skip : all[i].iov_len;

        skip -= cut;
        if (cut < all[i].iov_len)
            v[parts++] = (struct iovec){(char *)all[i].iov_base + cut, all[i].iov_len - cut};
    }
    return parts;
}

enum sent { SENT_ALL, SENT_SOME, SENT_FAILED };

static enum sent send_some(struct exchange *x)
{
    char head[CHUNK_HEAD];
    struct iovec v[3];
    struct msghdr m = {.msg_iov = v};
    ssize_t n;

    while ((m.msg_iovlen = chunk_parts(x, head, x->piece_off, v)) != 0) {
        thread_pause();
        n = sendmsg(client_socket(x->client), &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? SENT_SOME : SENT_FAILED;
        x->piece_off += (size_t)n;
        metrics_add(METRIC_RESPONSE_BYTES, (uint64_t)n);
        client_phase(x->client, CLIENT_TAKING);
    }
    return SENT_ALL;
}

static void send_job(struct job *j);

static void go_on(struct exchange *x)
{
    switch (send_some(x)) {
    case SENT_ALL:
        client_phase(x->client, CLIENT_BUSY);
        if (x->next == STREAM_DONE)
            feed_over(x, FEED_ENDED);
        else
            feed_wait(x);
        return;
    case SENT_SOME:
        x->job.run = send_job;
        if (await_room(x))
            return; /* the job may be running by now */
        break;
    case SENT_FAILED:
        break;
    }
    feed_over(x, FEED_FAILED);
}

static void send_job(struct job *j)
{
    go_on(exchange_of(j));
}

void direct_send(struct exchange *x)
{
    client_phase(x->client, CLIENT_TAKING);
    go_on(x);
}

/* ---- sockets that are full ---- */

static void sender_loop(void *arg)
{
    struct sender *s = arg;
    struct epoll_event ev[EVENTS];

    for (;;) {
        int n = epoll_wait(s->epoll, ev, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (ev[i].data.ptr == NULL)
                return;
            exchange_push(ev[i].data.ptr);
        }
    }
}

struct sender *sender_new(void)
{
    struct sender *s = mem_zalloc(sizeof(*s));
    struct epoll_event ev = {.events = EPOLLIN, .data = {.ptr = NULL}};

    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->stop = eventfd(0, EFD_CLOEXEC);
    ASSERT(s->epoll >= 0 && s->stop >= 0);
    ASSERT(epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->stop, &ev) == 0);
    thread_start(&s->thread, "sender", sender_loop, s);
    return s;
}

void sender_stop(struct sender *s)
{
    ASSERT(eventfd_write(s->stop, 1) == 0);
    thread_join(&s->thread);
    (void)close(s->stop);
    (void)close(s->epoll);
    mem_free(s);
}
