/* A load generator that costs little: prepared HTTP requests over keep-alive connections, one
 * thread, plain epoll.  It knows nothing of what it sends.
 *
 *     load PORT CONNECTIONS REQUESTS [answers=FILE] [seconds=S] [rate=R]
 *
 * REQUESTS is a file of records: a little-endian uint32 length, then that many bytes of a complete
 * request.  They go out in order, each on the next idle connection; with `seconds` again and again
 * until so long has passed; with `rate` so many are due each second.  `answers` receives the bodies
 * in the order of the requests, as the same kind of records (not with `seconds`).
 *
 * The time of a request counts from when it is sent; of one that was due while no connection was
 * idle from when it was due, so that a server that stalls cannot hide how many it kept waiting.
 * The result is one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, READ_SIZE = 1 << 16, EVENTS = 256, CONNECTIONS_MAX = 4096 };

struct text {
    const char *data;
    size_t len;
};

enum phase { PHASE_HEAD, PHASE_LENGTH, PHASE_CHUNK_SIZE, PHASE_CHUNK_DATA, PHASE_CHUNK_END };

struct conn {
    int fd;
    size_t request; /* index of the request under way */
    size_t sent;
    double started;
    enum phase phase;
    char head[HEAD_MAX]; /* header lines, or the line of a chunk's size */
    size_t head_len;
    uint64_t left; /* bytes of the body or chunk still to come */
    int status;
    char *body;
    size_t body_len, body_cap;
};

struct load {
    struct text *requests;
    size_t count, next, done, failed;
    double ends;          /* 0: when every request was sent once */
    double began, rate;   /* 0: as fast as connections become idle */
    struct text *answers; /* NULL: not kept */
    float *millis;        /* of every answer */
    size_t cap;
    struct conn **idle; /* of which there are nidle */
    size_t nidle;
    uint64_t received;
    int epoll;
};

static void die(const char *what)
{
    fprintf(stderr, "load: %s: errno %d\n", what, errno);
    exit(1);
}

static void *take(size_t n)
{
    void *p = calloc(n ? n : 1, 1);
    if (!p)
        die("memory");
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_requests(struct load *l, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        die(path);
    size_t size = (size_t)st.st_size;
    const char *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        die(path);
    close(fd);
    l->requests = take((size / 5 + 1) * sizeof *l->requests);
    for (size_t at = 0; at + 4 <= size;) {
        uint32_t len;
        memcpy(&len, map + at, 4);
        if (len > size - at - 4)
            die("records");
        l->requests[l->count++] = (struct text){map + at + 4, len};
        at += 4 + len;
    }
}

static void send_some(struct load *l, struct conn *c)
{
    const struct text *r = &l->requests[c->request];
    while (c->sent < r->len) {
        size_t left = r->len - c->sent;
        ssize_t n =
            send(c->fd, r->data + c->sent, left < READ_SIZE ? left : READ_SIZE, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            die("send");
        c->sent += (size_t)n;
    }
}

static bool over(const struct load *l)
{
    return l->ends != 0 ? now() >= l->ends : l->next == l->count;
}

/* When the next request is due. */
static double due(const struct load *l)
{
    return l->rate != 0 ? l->began + (double)l->next / l->rate : 0;
}

static void start_request(struct load *l, struct conn *c, double at)
{
    c->request = l->next++ % l->count;
    c->sent = 0;
    c->phase = PHASE_HEAD;
    c->head_len = c->body_len = 0;
    c->started = at;
    send_some(l, c);
}

/* Whatever is due goes out on the connections that are idle. */
static void start_due(struct load *l)
{
    while (l->nidle != 0 && !over(l)) {
        double at = now();
        if (due(l) > at)
            return;
        start_request(l, l->idle[--l->nidle], at);
    }
}

static void note_time(struct load *l, double millis)
{
    if (l->done == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4096;
        l->millis = realloc(l->millis, l->cap * sizeof *l->millis);
        if (!l->millis)
            die("memory");
    }
    l->millis[l->done++] = (float)millis;
}

static void finish(struct load *l, struct conn *c)
{
    double at = now();
    note_time(l, (at - c->started) * 1000);
    if (c->status < 200 || c->status > 299) {
        if (l->failed++ == 0)
            fprintf(stderr, "load: status %d: %.*s\n", c->status, (int)c->head_len, c->head);
    }
    if (l->answers) {
        char *copy = take(c->body_len);
        memcpy(copy, c->body, c->body_len);
        l->answers[c->request] = (struct text){copy, c->body_len};
    }
    c->status = 0;
    if (!over(l) && due(l) <= at)
        start_request(l, c, l->rate != 0 ? due(l) : at); /* it had to wait for a connection */
    else
        l->idle[l->nidle++] = c;
}

static void keep_body(struct load *l, struct conn *c, const char *data, size_t n)
{
    l->received += n;
    if (!l->answers)
        return;
    if (c->body_len + n > c->body_cap) {
        c->body_cap = (c->body_len + n) * 2;
        c->body = realloc(c->body, c->body_cap);
        if (!c->body)
            die("memory");
    }
    memcpy(c->body + c->body_len, data, n);
    c->body_len += n;
}

/* The value of a header in the complete head, or NULL. */
static const char *header(const struct conn *c, const char *name)
{
    size_t n = strlen(name);
    const char *end = c->head + c->head_len;
    for (const char *p = c->head; p < end;) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        if (!line_end)
            return NULL;
        if ((size_t)(line_end - p) > n && !strncasecmp(p, name, n) && p[n] == ':')
            return p + n + 1 + strspn(p + n + 1, " ");
        p = line_end + 1;
    }
    return NULL;
}

/* The head is complete: what follows? */
static void begin_body(struct load *l, struct conn *c)
{
    c->status = (int)strtol(c->head + 9, NULL, 10);
    const char *length = header(c, "content-length");
    const char *coding = header(c, "transfer-encoding");
    if (coding && !strncasecmp(coding, "chunked", 7)) {
        c->phase = PHASE_CHUNK_SIZE;
        c->head_len = 0;
        return;
    }
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->phase = PHASE_LENGTH;
    if (c->left == 0)
        finish(l, c);
}

/* Collect bytes up to and with `end`; how many were used.  *whole says whether it was reached. */
static size_t collect(struct conn *c, const char *data, size_t n, const char *end, bool *whole)
{
    size_t want = strlen(end);
    for (size_t i = 0; i < n; i++) {
        if (c->head_len + 1 >= sizeof c->head)
            die("header too long");
        c->head[c->head_len++] = data[i];
        c->head[c->head_len] = '\0';
        if (c->head_len >= want && data[i] == '\n' &&
            !memcmp(c->head + c->head_len - want, end, want)) {
            *whole = true;
            return i + 1;
        }
    }
    *whole = false;
    return n;
}

static void chunk_size(struct conn *c)
{
    c->left = strtoull(c->head, NULL, 16);
    c->phase = c->left ? PHASE_CHUNK_DATA : PHASE_CHUNK_END;
    c->left += c->left ? 2 : 0; /* with the line end after the data */
    c->head_len = 0;
}

static size_t body_bytes(struct load *l, struct conn *c, const char *data, size_t n)
{
    size_t use = n < c->left ? n : (size_t)c->left;
    size_t tail = c->phase == PHASE_CHUNK_DATA ? 2 : 0;
    size_t content = c->left > tail ? (size_t)(c->left - tail) : 0;
    keep_body(l, c, data, content < use ? content : use);
    c->left -= use;
    if (c->left == 0 && c->phase == PHASE_LENGTH)
        finish(l, c);
    else if (c->left == 0)
        c->phase = PHASE_CHUNK_SIZE;
    return use;
}

static size_t step(struct load *l, struct conn *c, const char *data, size_t n)
{
    bool whole;
    size_t used;
    switch (c->phase) {
    case PHASE_HEAD:
        used = collect(c, data, n, "\r\n\r\n", &whole);
        if (whole)
            begin_body(l, c);
        return used;
    case PHASE_CHUNK_SIZE:
        used = collect(c, data, n, "\r\n", &whole);
        if (whole)
            chunk_size(c);
        return used;
    case PHASE_CHUNK_END:
        used = collect(c, data, n, "\r\n", &whole);
        if (whole)
            finish(l, c);
        return used;
    case PHASE_LENGTH:
    case PHASE_CHUNK_DATA:
        return body_bytes(l, c, data, n);
    }
    return n;
}

static void receive(struct load *l, struct conn *c)
{
    static char block[READ_SIZE];
    for (;;) {
        ssize_t n = recv(c->fd, block, sizeof block, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0)
            die("the server closed a connection");
        for (size_t at = 0; at < (size_t)n;)
            at += step(l, c, block + at, (size_t)n - at);
        if ((size_t)n < sizeof block)
            return;
    }
}

static void open_connection(struct load *l, struct conn *c, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = c}};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        die("epoll_ctl");
}

/* Until something happens or the next request is due; false when nothing happened. */
static int await(const struct load *l, struct epoll_event *events)
{
    double until = !over(l) && l->nidle != 0 ? due(l) - now() : 60;
    struct timespec t;
    if (until < 0)
        until = 0;
    t.tv_sec = (time_t)until;
    t.tv_nsec = (long)((until - (double)t.tv_sec) * 1e9);
    int n = epoll_pwait2(l->epoll, events, EVENTS, &t, NULL);
    if (n == 0 && until >= 60)
        die("no answer for a minute");
    return n;
}

static void run(struct load *l, size_t width)
{
    struct epoll_event events[EVENTS];
    start_due(l);
    while (l->nidle < width || !over(l)) {
        int n = await(l, events);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->sent < l->requests[c->request].len)
                send_some(l, c);
            receive(l, c);
        }
        start_due(l);
    }
}

static void write_answers(const struct load *l, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (!f)
        die(path);
    for (size_t i = 0; i < l->count; i++) {
        uint32_t len = (uint32_t)l->answers[i].len;
        if (fwrite(&len, 4, 1, f) != 1 || fwrite(l->answers[i].data, 1, len, f) != len)
            die(path);
    }
    if (fclose(f))
        die(path);
}

static int by_value(const void *a, const void *b)
{
    const float *x = a;
    const float *y = b;
    return (*x > *y) - (*x < *y);
}

static double share(const struct load *l, double part)
{
    return l->done != 0 ? (double)l->millis[(size_t)((double)(l->done - 1) * part)] : 0;
}

static void report(struct load *l, double seconds)
{
    if (l->done != 0)
        qsort(l->millis, l->done, sizeof *l->millis, by_value);
    printf("{\"requests\":%zu,\"failed\":%zu,\"seconds\":%.6f,\"received\":%llu,"
           "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}\n",
           l->done, l->failed, seconds, (unsigned long long)l->received, share(l, 0.5),
           share(l, 0.99), share(l, 0.999), share(l, 1));
}

static const char *option(int argc, char **argv, const char *name)
{
    size_t n = strlen(name);
    for (int i = 4; i < argc; i++)
        if (!strncmp(argv[i], name, n) && argv[i][n] == '=')
            return argv[i] + n + 1;
    return NULL;
}

/* For a build that counts what is left. */
static void let_go(struct load *l, struct conn *conns, size_t width)
{
    for (size_t i = 0; i < width; i++)
        free(conns[i].body);
    for (size_t i = 0; l->answers && i < l->count; i++)
        free((void *)(uintptr_t)l->answers[i].data);
    free(conns);
    free(l->answers);
    free(l->idle);
    free(l->millis);
    free(l->requests);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr,
                "usage: load PORT CONNECTIONS REQUESTS [answers=FILE] [seconds=S] [rate=R]\n");
        return 2;
    }
    struct load l = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    int port = (int)strtol(argv[1], NULL, 10);
    size_t width = (size_t)strtoul(argv[2], NULL, 10);
    const char *answers = option(argc, argv, "answers");
    const char *seconds = option(argc, argv, "seconds");
    const char *rate = option(argc, argv, "rate");
    read_requests(&l, argv[3]);
    if (l.count == 0 || width == 0 || width > CONNECTIONS_MAX || (answers && seconds))
        die("nothing to do");
    if (answers)
        l.answers = take(l.count * sizeof *l.answers);
    struct conn *conns = take(width * sizeof *conns);
    l.idle = take(width * sizeof *l.idle);
    for (size_t i = width; i-- > 0;) {
        open_connection(&l, &conns[i], port);
        conns[i].sent = SIZE_MAX; /* nothing to send yet */
        l.idle[l.nidle++] = &conns[i];
    }
    prctl(PR_SET_TIMERSLACK, 1L, 0L, 0L, 0L); /* what is due is not to wait for company */
    l.began = now();
    l.rate = rate ? strtod(rate, NULL) : 0;
    l.ends = seconds ? l.began + strtod(seconds, NULL) : 0;
    run(&l, width);
    report(&l, now() - l.began);
    if (l.answers)
        write_answers(&l, answers);
    let_go(&l, conns, width);
    return l.failed != 0;
}
