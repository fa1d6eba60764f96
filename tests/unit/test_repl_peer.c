/* tests/unit/test_repl_peer.c: addresses of other servers: what is taken, what is refused. */
#include "arena_fix.h"

#include <arpa/inet.h>

#include "repl/peer.h"

static struct peer_addr addr;

static enum status parse(const char *json)
{
    const struct json *v;
    struct err e;

    assert_int_equal(json_parse(arena, slice_str(json), &v, &e), ST_OK);
    return peer_addr_parse(arena, v, &addr, &e);
}

static void assert_slice(struct slice s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    if (s.n != 0)
        assert_memory_equal(s.p, want, s.n);
}

static void urls(void **state)
{
    static const struct {
        const char *json, *url, *user, *password;
    } cases[] = {
        {"\"http://h:5984/db\"", "http://h:5984/db", "", ""},
        {"\"https://h/db//\"", "https://h/db", "", ""},
        {"\"http://joe:pw@h/db\"", "http://h/db", "joe", "pw"},
        {"\"http://joe@h/db\"", "http://h/db", "joe", ""},
        {"\"http://j%40e:p%3Aw%2F@h/a%2Fb\"", "http://h/a%2Fb", "j@e", "p:w/"},
        {"\"http://joe:p@w@h/db\"", "http://h/db", "joe", "p@w"},
        {"\"http://h/db@x\"", "http://h/db@x", "", ""},
        {"{\"url\":\"http://h/db\",\"auth\":{\"basic\":{\"username\":\"u\",\"password\":\"p\"}}}",
         "http://h/db", "u", "p"},
        {"{\"url\":\"http://a:b@h/db\",\"headers\":{\"X-A\":\"1\"}}", "http://h/db", "a", "b"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(parse(cases[i].json), ST_OK);
        assert_slice(addr.url, cases[i].url);
        assert_slice(addr.user, cases[i].user);
        assert_slice(addr.password, cases[i].password);
    }
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "\"db\"",
        "\"ftp://h/db\"",
        "\"http://h\"",
        "\"http:/h/db\"",
        "\"http:///db\"",
        "\"http://u:p@/db\"",
        "\"http://u%zz@h/db\"",
        "\"http://h/db?x=1\"",
        "\"http://h/db#x\"",
        "\"http://h/d b\"",
        "\"http://h/d\\u000ab\"",
        "5",
        "{}",
        "{\"url\":7}",
        "\"\"",
        "{\"url\":\"http://h/db\",\"headers\":5}",
        "{\"url\":\"http://h/db\",\"headers\":{\"a\":5}}",
        "{\"url\":\"http://h/db\",\"headers\":{\"a\":\"x\\r\\ny: z\"}}",
        "{\"url\":\"http://h/db\",\"headers\":{\"a: b\\r\\nc\":\"x\"}}",
        "{\"url\":\"http://h/db\",\"headers\":{\"\":\"x\"}}",
        "{\"url\":\"http://h/db\",\"auth\":{\"basic\":{\"username\":\"u\"}}}"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_int_equal(parse(bad[i]), ST_BAD_REQUEST);
}

static bool v4(const char *text)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, text, &sa.sin_addr), 1);
    return peer_address_forbidden((const struct sockaddr *)(const void *)&sa);
}

static bool v6(const char *text)
{
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6};

    assert_int_equal(inet_pton(AF_INET6, text, &sa.sin6_addr), 1);
    return peer_address_forbidden((const struct sockaddr *)(const void *)&sa);
}

static void addresses(void **state)
{
    struct sockaddr local = {.sa_family = AF_UNIX};

    (void)state;
    assert_true(v4("0.0.0.0"));
    assert_true(v4("0.1.2.3"));
    assert_true(v4("169.254.169.254"));
    assert_true(v4("224.0.0.1"));
    assert_true(v4("255.255.255.255"));
    assert_false(v4("127.0.0.1"));
    assert_false(v4("10.0.0.1"));
    assert_false(v4("169.253.1.1"));
    assert_true(v6("::"));
    assert_true(v6("fe80::1"));
    assert_true(v6("ff02::1"));
    assert_true(v6("::ffff:169.254.169.254"));
    assert_true(v6("::ffff:0.0.0.0"));
    assert_false(v6("::1"));
    assert_false(v6("::ffff:10.0.0.1"));
    assert_false(v6("2001:db8::1"));
    assert_true(peer_address_forbidden(&local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls),
        cmocka_unit_test(refused),
        cmocka_unit_test(addresses),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
