/* tests/unit/test_http_router.c: targets, the table of routes, and who may use them. Headers come
 * from a table of this file instead of a connection. */
#include "unit.h"

#include "http/handlers.h"
#include "http/rights.h"
#include "http/router.h"

static const char *header_name, *header_value;

struct slice rq_header(const struct request *rq, const char *name)
{
    (void)rq;
    if (header_name != NULL && strcmp(header_name, name) == 0)
        return slice_str(header_value);
    return slice_of(NULL, 0);
}

static void rq_start(struct request *rq, enum method m)
{
    *rq = (struct request){.arena = arena_new(), .method = m};
    header_name = NULL;
}

static void rq_stop(struct request *rq)
{
    arena_free(rq->arena);
}

static enum status parse(struct request *rq, enum method m, const char *uri)
{
    rq_start(rq, m);
    return request_parse(rq, slice_str(uri));
}

static void assert_slice(struct slice s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    if (s.n != 0)
        assert_memory_equal(s.p, want, s.n);
}

/* ---- targets ---- */

static void an_origin_is_left_out(void **state)
{
    static const char *const same[] = {"/db/a%2Fb?x=1", "http://h:5984/db/a%2Fb?x=1",
                                       "HTTPS://h/db/a%2Fb?x=1"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct request rq;

        assert_int_equal(parse(&rq, M_GET, same[i]), ST_OK);
        assert_int_equal(rq.nseg, 2);
        assert_slice(rq.seg[1], "a/b");
        assert_int_equal(rq.nparams, 1);
        arena_free(rq.arena);
    }
    for (size_t i = 0; i < 2; i++) {
        struct request rq;

        assert_int_equal(parse(&rq, M_GET, i != 0 ? "http://h" : "/"), ST_OK);
        assert_int_equal(rq.nseg, 0);
        arena_free(rq.arena);
        assert_int_equal(parse(&rq, M_GET, i != 0 ? "ftp://h/db" : "http:/db"), ST_BAD_REQUEST);
        arena_free(rq.arena);
    }
}

static void paths_are_split_then_decoded(void **state)
{
    static const struct {
        const char *uri;
        const char *seg[6];
    } cases[] = {
        {"/", {NULL}},
        {"//", {NULL}},
        {"/db", {"db"}},
        {"/db/", {"db"}},
        {"/db///", {"db"}},
        {"/a%2Fb", {"a/b"}},
        {"/a+b", {"a b"}},
        {"/a%2Bb/x", {"a+b", "x"}},
        {"/db//x", {"db", "", "x"}},
        {"/db/_design/x", {"db", "_design/x"}},
        {"/db/_design%2Fx", {"db", "_design/x"}},
        {"/db/_design/a%2Fb/att/er", {"db", "_design/a/b", "att", "er"}},
        {"/db/_local/x", {"db", "_local/x"}},
        {"/_node/_local/_stats", {"_node", "_local", "_stats"}},
        {"/db/_local/", {"db", "_local"}},
        {"/db/_design", {"db", "_design"}},
        {"/db/_index/_design/x/vector/n", {"db", "_index", "_design/x", "vector", "n"}},
        {"/db/x/_design/y", {"db", "x", "_design", "y"}},
        {"/db/%2e%2e", {"db", ".."}},
    };
    struct request rq;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t n = 0;

        assert_int_equal(parse(&rq, M_GET, cases[i].uri), ST_OK);
        for (; n < 6 && cases[i].seg[n] != NULL; n++)
            assert_slice(rq.seg[n], cases[i].seg[n]);
        assert_int_equal(rq.nseg, n);
        rq_stop(&rq);
    }
}

static void bad_escapes_are_refused(void **state)
{
    static const char *const cases[] = {"/%",       "/%4",         "/db/%zz", "/db?a=%",
                                        "/db?%x=1", "db",          "*",       "",
                                        "/a%00b",   "/db/..%00zz", "?a=1",    "ftp://h/db"};
    struct request rq;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(parse(&rq, M_GET, cases[i]), ST_BAD_REQUEST);
        assert_true(rq.err.reason[0] != '\0');
        rq_stop(&rq);
    }
    assert_int_equal(parse(&rq, M_GET, "/%zz"), ST_BAD_REQUEST);
    assert_string_equal(rq.err.reason, "invalid_url_encoding");
    rq_stop(&rq);
}

static void queries_are_decoded(void **state)
{
    struct request rq;
    bool b = false;
    uint64_t n = 7;

    (void)state;
    assert_int_equal(parse(&rq, M_GET, "/db?a=1+2&b=%26%3D&&c&a=x%2By&t=true&n=18&=&neg=-1"),
                     ST_OK);
    assert_slice(*rq_param(&rq, "a"), "x+y"); /* the last one */
    assert_slice(*rq_param(&rq, "b"), "&=");
    assert_slice(*rq_param(&rq, "c"), "");
    assert_null(rq_param(&rq, "d"));
    assert_int_equal(rq_bool(&rq, "t", &b), ST_OK);
    assert_true(b);
    assert_int_equal(rq_bool(&rq, "n", &b), ST_BAD_REQUEST);
    assert_string_equal(rq.err.word, "query_parse_error");
    assert_int_equal(rq_u64(&rq, "n", &n), ST_OK);
    assert_int_equal(n, 18);
    assert_int_equal(rq_u64(&rq, "neg", &n), ST_BAD_REQUEST);
    assert_int_equal(rq_u64(&rq, "absent", &n), ST_OK);
    assert_int_equal(n, 18);
    rq_stop(&rq);
}

/* ---- the table ---- */

/* A target for a pattern: each placeholder gets a name that fits. */
static void target_of(const char *pattern, char *out, size_t max)
{
    static const struct {
        const char *hole, *name;
    } fill[] = {{"{db}", "db"},       {"{docid}", "doc"}, {"{att*}", "a/b"},    {"{ddoc}", "ddoc"},
                {"{type}", "vector"}, {"{name}", "n"},    {"{node}", "_local"}, {"{section}", "s"},
                {"{key}", "k"},       {"{id}", "i"}};
    size_t n = 0;

    while (*pattern != '\0') {
        bool hit = false;

        for (size_t i = 0; i < COUNT_OF(fill) && !hit; i++) {
            size_t len = strlen(fill[i].hole);

            if (strncmp(pattern, fill[i].hole, len) != 0)
                continue;
            hit = true;
            pattern += len;
            memcpy(out + n, fill[i].name, strlen(fill[i].name));
            n += strlen(fill[i].name);
        }
        if (!hit)
            out[n++] = *pattern++;
        assert_true(n < max - 8);
    }
    out[n] = '\0';
}

static const enum method all_methods[] = {M_GET, M_HEAD, M_POST, M_PUT, M_DELETE, M_COPY};

/* The rights that need no database: who is nobody and who is somebody without rights. Those that do
 * are walked by tests/api/test_rights.py. */
static void assert_guarded(struct request *rq)
{
    if (rq->route->need == NEED_NONE) {
        assert_int_equal(router_authorize(rq), ST_OK);
        return;
    }
    if (rq->route->need == NEED_ADMIN) {
        assert_int_equal(router_authorize(rq), ST_UNAUTHORIZED);
        rq->user.name = SLICE_LIT("joe");
        assert_int_equal(router_authorize(rq), ST_UNAUTHORIZED); /* as CouchDB */
    }
    rq->user.name = SLICE_LIT("root");
    rq->user.admin = true;
    assert_int_equal(router_authorize(rq), ST_OK);
}

/* Every row is reached by its methods, and by no other way; nobody passes without a right. */
static void every_route_is_reached_and_guarded(void **state)
{
    char uri[200];
    unsigned open = 0;

    (void)state;
    for (size_t i = 0; i < routes_count; i++) {
        const struct route *r = &routes[i];

        target_of(r->pattern, uri, sizeof(uri));
        for (size_t k = 0; k < COUNT_OF(all_methods); k++) {
            enum method m = all_methods[k];
            struct request rq;

            if ((r->methods & (unsigned)m) == 0 && !(m == M_HEAD && (r->methods & M_GET) != 0))
                continue;
            assert_int_equal(parse(&rq, m, uri), ST_OK);
            header_name = "Content-Type";
            header_value = "application/json; charset=utf-8";
            assert_int_equal(router_find(&rq), ST_OK);
            assert_ptr_equal(rq.route, r);
            open += r->need == NEED_NONE;
            assert_guarded(&rq);
            rq_stop(&rq);
        }
    }
    /* GET and HEAD of /, /_up, /_session, /_uuids; POST and DELETE of /_session */
    assert_int_equal(open, 10);
}

static void open_routes_are_four(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count; i++) {
        const char *p = routes[i].pattern;
        bool session = strcmp(p, "/_session") == 0;
        bool listed =
            session || strcmp(p, "/") == 0 || strcmp(p, "/_up") == 0 || strcmp(p, "/_uuids") == 0;

        assert_int_equal(routes[i].need == NEED_NONE, listed);
        assert_true(!listed || session || routes[i].methods == M_GET);
    }
}

static void posts_of_json_must_say_so(void **state)
{
    static const struct {
        const char *type;
        enum status st;
    } cases[] = {{"application/json", ST_OK},
                 {"Application/JSON ;x=y", ST_OK},
                 {"text/plain", ST_MEDIA_TYPE},
                 {"application/jsonx", ST_MEDIA_TYPE},
                 {"multipart/form-data", ST_MEDIA_TYPE},
                 {NULL, ST_MEDIA_TYPE}};
    char uri[200];

    (void)state;
    for (size_t i = 0; i < routes_count; i++)
        for (size_t k = 0; k < COUNT_OF(cases) && (routes[i].methods & M_POST) != 0; k++) {
            struct request rq;

            if (routes[i].handler == h_ddoc_function || routes[i].handler == h_session_post)
                continue; /* 501 and nothing done; a form by design, looks at the origin */
            assert_true(routes[i].json_body); /* the guard against forms of other sites */
            target_of(routes[i].pattern, uri, sizeof(uri));
            assert_int_equal(parse(&rq, M_POST, uri), ST_OK);
            header_name = cases[k].type != NULL ? "Content-Type" : NULL;
            header_value = cases[k].type;
            assert_int_equal(router_find(&rq), cases[k].st);
            rq_stop(&rq);
        }
}

static void find_args(const char *uri, enum method m, const char *db, const char *doc,
                      const char *att)
{
    struct request rq;

    assert_int_equal(parse(&rq, m, uri), ST_OK);
    assert_int_equal(router_find(&rq), ST_OK);
    assert_slice(rq_arg(&rq, "db"), db);
    assert_slice(rq_arg(&rq, "docid"), doc);
    assert_slice(rq_arg(&rq, "att"), att);
    rq_stop(&rq);
}

static void arguments_are_bound(void **state)
{
    (void)state;
    find_args("/db/x", M_GET, "db", "x", "");
    find_args("/a%2Fb/x%2Fy/", M_PUT, "a/b", "x/y", "");
    find_args("/_users/x", M_GET, "_users", "x", "");
    find_args("/db/_design/d", M_GET, "db", "_design/d", "");
    find_args("/db/_design/d/a/b/c", M_GET, "db", "_design/d", "a/b/c");
    find_args("/db/x/_design/y", M_GET, "db", "x", "_design/y");
    find_args("/db/_local/l", M_PUT, "db", "_local/l", "");
    find_args("/db/x//y", M_GET, "db", "x", "/y");
}

static void find_fails(const char *uri, enum method m, enum status st, const char *reason)
{
    struct request rq;

    assert_int_equal(parse(&rq, m, uri), ST_OK);
    assert_int_equal(router_find(&rq), st);
    assert_string_equal(rq.err.reason, reason);
    rq_stop(&rq);
}

static void what_is_not_there(void **state)
{
    (void)state;
    find_fails("/_nothing", M_GET, ST_NOT_FOUND, "missing");
    find_fails("/_nothing/x", M_PUT, ST_NOT_FOUND, "missing");
    find_fails("/db/_nothing", M_GET, ST_NOT_FOUND, "missing");
    find_fails("/db/_design", M_GET, ST_NOT_FOUND, "missing");
    find_fails("/db/_changes/x", M_GET, ST_NOT_FOUND, "missing");
    find_fails("/db//x", M_PUT, ST_NOT_FOUND, "missing");
    find_fails("//db", M_GET, ST_NOT_FOUND, "missing");
    find_fails("/db/_x", M_PUT, ST_BAD_REQUEST,
               "Only reserved document ids may start with underscore.");
    find_fails("/", M_PUT, ST_METHOD, "Only GET,HEAD allowed");
    find_fails("/db", M_COPY, ST_METHOD, "Only DELETE,GET,HEAD,POST,PUT allowed");
    find_fails("/db/_all_docs", M_DELETE, ST_METHOD, "Only GET,HEAD,POST allowed");
    find_fails("/db/_bulk_docs", M_PUT, ST_METHOD, "Only POST allowed");
    find_fails("/db/_security", M_DELETE, ST_METHOD, "Only GET,HEAD,PUT allowed");
    find_fails("/db/x", M_UNKNOWN, ST_METHOD, "Only COPY,DELETE,GET,HEAD,PUT allowed");
    find_fails("/_session", M_PUT, ST_METHOD, "Only DELETE,GET,HEAD,POST allowed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_left_out),
        cmocka_unit_test(paths_are_split_then_decoded),
        cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(queries_are_decoded),
        cmocka_unit_test(every_route_is_reached_and_guarded),
        cmocka_unit_test(open_routes_are_four),
        cmocka_unit_test(posts_of_json_must_say_so),
        cmocka_unit_test(arguments_are_bound),
        cmocka_unit_test(what_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
