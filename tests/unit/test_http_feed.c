/* tests/unit/test_http_feed.c: pieces of streams, and which clients are too slow. What needs a
 * connection is in tests/api (changes, hostile). */
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "http/exchange.h"

struct fake {
    struct stream s;
    unsigned calls;
    bool saw_stopping;
    enum status st;
};

static enum status fake_produce(struct stream *s, struct buf *out, enum stream_state *state,
                                struct err *e)
{
    struct fake *f = (struct fake *)(void *)s;

    f->calls++;
    f->saw_stopping = s->stopping;
    if (f->st != ST_OK)
        return err_set(e, f->st, "no more");
    buf_printf(out, "piece %u", f->calls);
    *state = f->calls == 2 ? STREAM_DONE : STREAM_MORE;
    return ST_OK;
}

static void fake_free(struct stream *s)
{
    (void)s;
}

static void pieces_follow_each_other(void **state)
{
    struct http h = {0};
    struct fake f = {.s = {.produce = fake_produce, .free = fake_free}};
    struct exchange x = {.http = &h};
    struct err e;

    (void)state;
    x.rp.stream = &f.s;
    buf_init(&x.piece, 1000);
    assert_int_equal(feed_piece(&x, &e), ST_OK);
    assert_int_equal(x.next, STREAM_MORE);
    assert_int_equal(x.piece.n, 7);
    x.piece_off = 7;
    atomic_store(&h.stopping, 1);
    assert_int_equal(feed_piece(&x, &e), ST_OK);
    assert_true(f.saw_stopping);
    assert_int_equal(x.next, STREAM_DONE);
    assert_int_equal(x.piece_off, 0);
    assert_memory_equal(x.piece.p, "piece 2", 7);
    f.st = ST_IO;
    assert_int_equal(feed_piece(&x, &e), ST_IO);
    assert_int_equal(x.next, STREAM_DONE); /* a failure ends it */
    buf_free(&x.piece);
}

static void an_overlong_piece_fails(void **state)
{
    struct http h = {0};
    struct fake f = {.s = {.produce = fake_produce, .free = fake_free}};
    struct exchange x = {.http = &h};
    struct err e;

    (void)state;
    x.rp.stream = &f.s;
    buf_init(&x.piece, 3);
    assert_int_equal(feed_piece(&x, &e), ST_TOO_LARGE);
    buf_free(&x.piece);
}

static void slow_clients(void **state)
{
    const uint64_t s = 1000000;

    (void)state;
    assert_false(client_too_slow(CLIENT_HEAD, 10 * s, 0));
    assert_true(client_too_slow(CLIENT_HEAD, 10 * s + 1, 0));
    assert_false(client_too_slow(CLIENT_IDLE, 120 * s, 0));
    assert_true(client_too_slow(CLIENT_IDLE, 120 * s + 1, 0));
    assert_false(client_too_slow(CLIENT_TAKING, 120 * s, 0));
    assert_true(client_too_slow(CLIENT_TAKING, 120 * s + 1, 1 << 20));
    assert_false(client_too_slow(CLIENT_BODY, 10 * s, 0));
    assert_true(client_too_slow(CLIENT_BODY, 11 * s, 10 * 1024));
    assert_false(client_too_slow(CLIENT_BODY, 11 * s, 11 * 1024));
    assert_true(client_too_slow(CLIENT_BODY, 100 * s, 99 * 1024));
    assert_false(client_too_slow(CLIENT_BUSY, 100000 * s, 0));
}

static void connections_come_and_go(void **state)
{
    struct conns *c = conns_new();
    struct client *cl[3];
    int pair[3][2];
    char byte;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]), 0);
        cl[i] = conns_open(c, pair[i][0]);
    }
    assert_false(client_gone(cl[0]));
    assert_int_equal(write(pair[0][1], "x", 1), 1);
    (void)close(pair[0][1]);
    assert_false(client_gone(cl[0])); /* a byte is unread */
    assert_int_equal(read(pair[0][0], &byte, 1), 1);
    assert_true(client_gone(cl[0]));
    conns_close(c, cl[1]);
    conns_cut_all(c);
    assert_int_equal(recv(pair[2][1], &byte, 1, MSG_DONTWAIT), 0);  /* cut */
    assert_int_equal(recv(pair[1][1], &byte, 1, MSG_DONTWAIT), -1); /* no longer ours */
    conns_close(c, cl[0]);
    conns_stop(c); /* closes the third */
    for (int i = 0; i < 3; i++) {
        (void)close(pair[i][0]);
        if (i != 0)
            (void)close(pair[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_follow_each_other),
        cmocka_unit_test(an_overlong_piece_fails),
        cmocka_unit_test(slow_clients),
        cmocka_unit_test(connections_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
