/* http/conns.c: every open connection, and a thread that looks at them once a second.
 *
 * libmicrohttpd's timeout starts again with every byte, so a client that sends one byte now and
 * then would hold its connection for ever (security notes C4). Here a request's head has a
 * deadline, a body a least average rate, and a connection without a request an end. A client that
 * is too slow gets its socket shut down; libmicrohttpd sees that and closes. The socket's number
 * cannot have been given to another connection by then: closing takes the lock first. So does a
 * client that closed: with edge-triggered epoll libmicrohttpd misses an end that comes together
 * with the last bytes.
 * Threads: conns_open, conns_close and the client_ functions by the pool threads, without the lock
 * where a request passes.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/time.h"
#include "http/exchange.h"

enum { LOOK_US = 1000000 };

struct client {
    int fd;
    _Atomic int phase; /* enum client_phase */
    _Atomic uint64_t since_us;
    _Atomic uint64_t bytes;
    bool cut;             /* GUARDED_BY(conns->lock) */
    struct client *next;  /* GUARDED_BY(conns->lock) */
    struct client **prev; /* GUARDED_BY(conns->lock) */
};
struct conns {
    struct mutex lock; /* RANK_LEAF */
    struct cond changed;
    struct thread thread;
    struct client *all;
    bool stop;
};

bool client_too_slow(enum client_phase phase, uint64_t age_us, uint64_t bytes)
{
    switch (phase) {
    case CLIENT_IDLE:
    case CLIENT_TAKING:
        return age_us > LIMIT_IDLE_US;
    case CLIENT_HEAD:
        return age_us > LIMIT_HEAD_US;
    case CLIENT_BODY:
        return age_us > LIMIT_BODY_GRACE_US && bytes / LIMIT_BODY_BYTES_PER_S < age_us / 1000000;
    case CLIENT_BUSY:
        return false;
    }
    return false;
}

static void cut(struct client *cl)
{
    cl->cut = true;
    (void)shutdown(cl->fd, SHUT_RDWR);
}

static void look(struct client *cl, uint64_t now)
{
    uint64_t since = atomic_load(&cl->since_us);
    enum client_phase phase = (enum client_phase)atomic_load(&cl->phase);

    if (cl->cut || phase == CLIENT_BUSY || since + LOOK_US > now)
        return;
    if (client_too_slow(phase, now - since, atomic_load(&cl->bytes)) ||
        (phase != CLIENT_TAKING && client_gone(cl))) /* it may take more than it says */
        cut(cl);
}

static void conns_loop(void *arg)
{
    struct conns *c = arg;

    mutex_lock(&c->lock);
    while (!c->stop) {
        uint64_t now = time_mono_us();

        for (struct client *cl = c->all; cl != NULL; cl = cl->next)
            look(cl, now);
        (void)cond_wait_us(&c->changed, &c->lock, LOOK_US);
    }
    mutex_unlock(&c->lock);
}

struct conns *conns_new(void)
{
    struct conns *c = mem_zalloc(sizeof(*c));

    mutex_init(&c->lock, RANK_LEAF);
    cond_init(&c->changed);
    thread_start(&c->thread, "conns", conns_loop, c);
    return c;
}

void conns_stop(struct conns *c)
{
    mutex_lock(&c->lock);
    c->stop = true;
    cond_signal(&c->changed);
    mutex_unlock(&c->lock);
    thread_join(&c->thread);
    while (c->all != NULL)
        conns_close(c, c->all);
    cond_fini(&c->changed);
    mutex_fini(&c->lock);
    mem_free(c);
}

struct client *conns_open(struct conns *c, int fd)
{
    struct client *cl = mem_zalloc(sizeof(*cl));

    cl->fd = fd;
    client_phase(cl, CLIENT_HEAD);
    mutex_lock(&c->lock);
    cl->next = c->all;
    cl->prev = &c->all;
    if (cl->next != NULL)
        cl->next->prev = &cl->next;
    c->all = cl;
    mutex_unlock(&c->lock);
    return cl;
}

void conns_close(struct conns *c, struct client *cl)
{
    mutex_lock(&c->lock);
    *cl->prev = cl->next;
    if (cl->next != NULL)
        cl->next->prev = cl->prev;
    mutex_unlock(&c->lock);
    mem_free(cl);
}

void conns_cut_all(struct conns *c)
{
    mutex_lock(&c->lock);
    for (struct client *cl = c->all; cl != NULL; cl = cl->next)
        cut(cl);
    mutex_unlock(&c->lock);
}

/* The phase is changed last: the loop may see the new time with the old phase, never the reverse,
 * and a younger phase harms nobody. */
void client_phase(struct client *cl, enum client_phase phase)
{
    atomic_store(&cl->bytes, 0);
    atomic_store(&cl->since_us, time_mono_us());
    atomic_store(&cl->phase, (int)phase);
}

int client_socket(const struct client *cl)
{
    return cl->fd;
}

void client_got(struct client *cl, size_t body_bytes)
{
    atomic_fetch_add(&cl->bytes, body_bytes);
}

bool client_gone(const struct client *cl)
{
    char c;
    ssize_t n = recv(cl->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}
