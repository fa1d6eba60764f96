/* tests/unit/test_auth_session.c: cookies, stored hashes, security objects. The expected bytes were
 * computed with Python's hmac and hashlib. */
#include "arena_fix.h"

#include "auth/auth_priv.h"
#include "base/digest.h"
#include "base/text.h"
#include "base/time.h"

#define SECRET SLICE_LIT("0123456789abcdef0123456789abcdef")
#define SALT   SLICE_LIT("00112233445566778899aabbccddeeff")

static const struct json *parse(const char *text)
{
    const struct json *v;
    struct err e;

    assert_int_equal(json_parse(arena, slice_str(text), &v, &e), ST_OK);
    return v;
}

static void cookies_have_the_bytes_of_couchdb(void **state)
{
    static const char sha256_cookie[] =
        "YW5uOjY1NTNGMTAwOj8n1C6211lKePnCO2dvHzlkwJ-unJrrMu1h_kDRBM1J";
    static const char sha1_cookie[] = "YW5uOjY1NTNGMTAwOs_R9Fu_RCDvAJsvJUmZkqF_DBLn";
    struct slice made = session_make(arena, SECRET, SLICE_LIT("ann"), SALT, 0x6553F100);
    struct session s;

    (void)state;
    assert_true(slice_eq(made, slice_str(sha256_cookie)));
    assert_true(session_parse(arena, made, &s));
    assert_true(slice_eq(s.user, SLICE_LIT("ann")));
    assert_int_equal(s.time_s, 0x6553F100);
    assert_true(session_valid(&s, SECRET, SALT));
    assert_false(session_valid(&s, SECRET, SLICE_LIT("other")));
    assert_false(session_valid(&s, SLICE_LIT("other"), SALT));
    assert_true(session_parse(arena, slice_str(sha1_cookie), &s));
    assert_true(session_valid(&s, SECRET, SALT));
}

/* Whatever the MAC's bytes are (colons, NULs), it comes back; one changed bit is noticed. */
static void cookies_survive_and_notice(void **state)
{
    (void)state;
    for (uint64_t t = 1; t < 2000; t++) {
        struct slice made = session_make(arena, SECRET, SLICE_LIT("j\xc3\xb6rg"), SALT, t * 7919);
        char *copy = arena_cstr(arena, made);
        struct session s;

        assert_true(session_parse(arena, made, &s));
        assert_int_equal(s.time_s, t * 7919);
        assert_true(session_valid(&s, SECRET, SALT));
        copy[t % (made.n - 1)] ^= 1;
        if (session_parse(arena, slice_of(copy, made.n), &s))
            assert_false(session_valid(&s, SECRET, SALT));
    }
}

static void malformed_cookies(void **state)
{
    static const char *const bad[] = {"!!!", "a", "YWJj" /* abc */, "a b"};
    struct session s;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(session_parse(arena, slice_str(bad[i]), &s));
    assert_true(session_parse(arena, SLICE_LIT("YTpi"), &s)); /* a:b, no MAC */
    assert_false(session_valid(&s, SECRET, SALT));
}

static void cookie_headers(void **state)
{
    static const struct {
        const char *header, *value;
    } cases[] = {{"AuthSession=x", "x"},         {"a=b; AuthSession=x; c=d", "x"},
                 {"a=b;AuthSession=\"x\"", "x"}, {"XAuthSession=x", ""},
                 {"AuthSession=", ""},           {"", ""}};
    struct auth_options o;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        assert_true(
            slice_eq(session_cookie(slice_str(cases[i].header)), slice_str(cases[i].value)));
    auth_options_default(&o);
    o.secure = true;
    o.persistent = false;
    o.domain = SLICE_LIT("x.org");
    assert_true(slice_eq(session_header(&o, arena, SLICE_LIT("v")),
                         SLICE_LIT("AuthSession=v; Version=1; Path=/; HttpOnly; Secure; "
                                   "Domain=x.org; SameSite=Lax")));
}

static void hashes_of_documents(void **state)
{
    static const struct {
        const char *doc;
        bool readable, right;
    } cases[] = {
        {"{\"password_sha\":\"936407efa6b2faf86175a41102ab334ad8622288\","
         "\"salt\":\"00112233445566778899aabbccddeeff\"}",
         true, true},
        {"{\"password_scheme\":\"pbkdf2\",\"iterations\":10,"
         "\"salt\":\"00112233445566778899aabbccddeeff\","
         "\"derived_key\":\"184155f67142297929171fda89b728b4a60c92c7\"}",
         true, true},
        {"{\"password_scheme\":\"pbkdf2\",\"pbkdf2_prf\":\"sha224\",\"iterations\":10,"
         "\"salt\":\"00112233445566778899aabbccddeeff\","
         "\"derived_key\":\"b0213750bedd1bfa0ec37d5bc1fcaf162ddb7faa128dd09e8b2cfdeb\"}",
         true, true},
        {"{\"password_scheme\":\"pbkdf2\",\"pbkdf2_prf\":\"sha384\",\"iterations\":10,"
         "\"salt\":\"00112233445566778899aabbccddeeff\",\"derived_key\":"
         "\"23063392876c51740250b7de34"
         "82ec0bb6b214e885e502dd3d92ff14de45e8a60e9d4b3df578a38a27df48d3a0abf162\"}",
         true, true},
        {"{\"password_scheme\":\"pbkdf2\",\"iterations\":11,"
         "\"salt\":\"00112233445566778899aabbccddeeff\","
         "\"derived_key\":\"184155f67142297929171fda89b728b4a60c92c7\"}",
         true, false},
        {"{\"password_scheme\":\"pbkdf2\",\"iterations\":1000000000,\"salt\":\"x\","
         "\"derived_key\":\"184155f67142297929171fda89b728b4a60c92c7\"}",
         false, false},
        {"{\"password_scheme\":\"pbkdf2\",\"iterations\":0,\"salt\":\"x\","
         "\"derived_key\":\"184155f67142297929171fda89b728b4a60c92c7\"}",
         false, false},
        {"{\"password_scheme\":\"pbkdf2\",\"pbkdf2_prf\":\"md5\",\"iterations\":10,\"salt\":\"x\","
         "\"derived_key\":\"184155f67142297929171fda89b728b4a60c92c7\"}",
         false, false},
        {"{\"password_scheme\":\"pbkdf2\",\"iterations\":10,\"salt\":\"x\",\"derived_key\":\"\"}",
         false, false},
        {"{\"password_scheme\":\"bcrypt\"}", false, false},
        {"{\"password_sha\":\"zz\"}", false, false},
        {"{}", false, false},
    };
    struct password p;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(password_of_doc(parse(cases[i].doc), &p), cases[i].readable);
        if (cases[i].readable)
            assert_int_equal(password_matches(&p, SLICE_LIT("pass:word"), 1), cases[i].right);
    }
}

static void iterations_are_clamped(void **state)
{
    struct password p;

    (void)state;
    password_make(&p, SLICE_LIT("x"), SALT, 1);
    assert_int_equal(p.iterations, PASSWORD_ITERATIONS_MIN);
    assert_true(password_matches(&p, SLICE_LIT("x"), 1));
    assert_false(password_matches(&p, SLICE_LIT("y"), 1));
}

static void security_objects(void **state)
{
    static const struct {
        const char *sec;
        bool admin, member, nobody;
    } cases[] = {
        {"{}", false, true, true},
        {"{\"members\":{\"names\":[],\"roles\":[\"_admin\"]}}", false, false, false},
        {"{\"members\":{\"names\":[\"ann\"]}}", false, true, false},
        {"{\"members\":{\"names\":[\"an\",\"annn\",\"\"]}}", false, false, false},
        {"{\"members\":{\"roles\":[\"staff\"]}}", false, true, false},
        {"{\"readers\":{\"roles\":[\"other\"]}}", false, false, false},
        {"{\"admins\":{\"names\":[\"ann\"]},\"members\":{\"names\":[\"x\"]}}", true, true, false},
        {"{\"admins\":{\"roles\":[\"staff\"]},\"members\":{\"names\":[\"x\"]}}", true, true, false},
        {"{\"admins\":{\"names\":[\"x\"]}}", false, true, true},
        {"{\"admins\":5,\"members\":[]}", false, true, true},
    };
    const struct slice roles[] = {SLICE_LIT("staff"), SLICE_LIT("b")};
    struct auth_user ann = {.name = SLICE_LIT("ann"), .roles = roles, .nroles = 2};
    struct auth_user root = {.name = SLICE_LIT("root"), .admin = true}, nobody = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct json *sec = parse(cases[i].sec);

        assert_int_equal(auth_is_db_admin(&ann, sec), cases[i].admin);
        assert_int_equal(auth_is_member(&ann, sec), cases[i].member);
        assert_false(auth_is_db_admin(&nobody, sec));
        assert_int_equal(auth_is_member(&nobody, sec), cases[i].nobody);
        assert_true(auth_is_db_admin(&root, sec) && auth_is_member(&root, sec));
    }
}

static void failures_lock_and_are_forgiven(void **state)
{
    struct cache *c = cache_new();
    struct password p = {.salt = SALT}, changed = {.salt = SLICE_LIT("s2")};
    struct attempt t = {SLICE_LIT("ann"), SLICE_LIT("x"), SLICE_LIT("10.0.0.1"), &p};
    struct attempt elsewhere = t, other = t, again = t;

    (void)state;
    elsewhere.peer = SLICE_LIT("10.0.0.2");
    other.name = SLICE_LIT("bob");
    again.password = &changed;
    for (int i = 0; i < 5; i++) {
        assert_false(cache_locked(c, &t, 5));
        cache_failed(c, &t, 1);
    }
    assert_true(cache_locked(c, &t, 5));
    assert_false(cache_locked(c, &elsewhere, 5));
    assert_false(cache_locked(c, &other, 5));
    assert_false(cache_locked(c, &again, 5)); /* a new password, a new count */
    cache_succeeded(c, &t);
    assert_false(cache_locked(c, &t, 5));
    for (int i = 0; i < 5; i++)
        cache_failed(c, &t, 1);
    time_sleep_us(1100000);
    assert_false(cache_locked(c, &t, 5));
    cache_remember(c, &t);
    assert_true(cache_was_verified(c, &t));
    assert_false(cache_was_verified(c, &other));
    assert_false(cache_was_verified(c, &again));
    cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cookies_have_the_bytes_of_couchdb, setup, teardown),
        cmocka_unit_test_setup_teardown(cookies_survive_and_notice, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_cookies, setup, teardown),
        cmocka_unit_test_setup_teardown(cookie_headers, setup, teardown),
        cmocka_unit_test_setup_teardown(hashes_of_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(iterations_are_clamped, setup, teardown),
        cmocka_unit_test_setup_teardown(security_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_lock_and_are_forgiven, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
