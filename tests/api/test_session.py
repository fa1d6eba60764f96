"""Cookie sessions, lockout, JWT, proxy headers."""

import base64
import hashlib
import hmac
import os
import shutil
import stat
import subprocess
import threading
import time

import pytest
from support.check import error
from support.people import FAST, basic, ini, jwt, login, make_user, make_users_db, unpad, user_path
from support.server import PASSWORD, USER, Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(args=ini(tmp_path_factory.mktemp("ini"), FAST)) as running:
        make_users_db(running)
        make_user(running, "ann", "pw", ["r1", "r2"])
        yield running


def name_of(server, headers):
    reply = server.get("/_session", headers=headers, auth=False)
    assert reply.status == 200, reply
    return reply.json()["userCtx"]["name"]


def secret_of(server):
    with open(os.path.join(server.data, "secret"), "rb") as f:
        return f.read().strip()


def make_cookie(server, name, when, digest="sha256", secret=None, salt=None):
    if salt is None:
        salt = server.get(user_path(name)).json()["salt"].encode()
    text = b"%s:%X" % (name.encode(), when)
    mac = hmac.new((secret or secret_of(server)) + salt, text, digest).digest()
    return {"Cookie": "AuthSession=" + unpad(text + b":" + mac)}


def test_logging_in_and_out(server):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = server.post("/_session", b"name=ann&password=p%77", headers=form, auth=False)
    assert reply.status == 200
    assert reply.json() == {"ok": True, "name": "ann", "roles": ["r1", "r2"]}
    cookie = reply.headers["set-cookie"]
    assert cookie.startswith("AuthSession=")
    for part in ("; Version=1", "; Path=/", "; HttpOnly", "; Expires=", "; Max-Age=600", "; SameSite=Lax"):
        assert part in cookie
    assert "Secure" not in cookie
    value = cookie.split(";")[0]
    for header in (value, "a=b; " + value, value + "; x=y", value.replace("=", '="', 1) + '"'):
        reply = server.get("/_session", headers={"Cookie": header}, auth=False)
        body = reply.json()
        assert body["userCtx"] == {"name": "ann", "roles": ["r1", "r2"]}, header
        assert body["info"]["authenticated"] == "cookie"
        assert body["info"]["authentication_handlers"] == ["cookie", "default"]
        assert "set-cookie" not in reply.headers  # fresh: nothing to renew
    out = server.delete("/_session", headers={"Cookie": value}, auth=False)
    assert out.status == 200 and out.json() == {"ok": True}
    assert out.headers["set-cookie"].startswith("AuthSession=;")


def test_admins_have_sessions_that_outlive_a_restart(server):
    cookie = login(server, USER, PASSWORD)
    assert server.get("/_all_dbs", headers=cookie, auth=False).status == 200
    reply = server.get("/_session", headers=cookie, auth=False).json()
    assert reply["userCtx"] == {"name": USER, "roles": ["_admin"]}
    server.restart()
    assert name_of(server, cookie) == USER
    mode = stat.S_IMODE(os.stat(os.path.join(server.data, "secret")).st_mode)
    assert mode == 0o600


def test_what_is_no_login(server):
    for kind in ("text/plain", "multipart/form-data", "application/octet-stream"):
        reply = server.post("/_session", b"name=ann&password=pw", headers={"Content-Type": kind}, auth=False)
        error(reply, 415, "bad_content_type")
        assert "set-cookie" not in reply.headers
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body, headers in (({"name": "ann", "username": "bob"}, None), (b"name=ann&username=bob", form)):
        reply = server.post("/_session", body, headers=headers or {}, auth=False)
        assert error(reply, 400, "bad_request") == "request body contains different usernames"
    for body, headers in (({}, None), ({"password": "pw"}, None), (b"", form), (b"password=pw", form)):
        reply = server.post("/_session", body, headers=headers or {}, auth=False)
        assert error(reply, 400, "bad_request") == "request body must contain a username"
        assert "set-cookie" not in reply.headers


def test_wrong_passwords(server):
    reply = server.post("/_session", {"name": "ann", "password": "no"}, auth=False)
    assert error(reply, 401, "unauthorized") == "Name or password is incorrect."
    assert reply.headers["set-cookie"].startswith("AuthSession=;")
    error(server.post("/_session", {"name": "who"}, auth=False), 401)
    error(server.post("/_session", {"name": 1}, auth=False), 400)
    error(server.post("/_session", "[]", auth=False), 400)
    error(server.get("/_session?basic=true", auth=False), 401, "unauthorized")
    assert login(server, "ann", "pw")


def test_next(server):
    body = {"username": "ann", "password": "pw"}
    reply = server.post("/_session?next=/db/x", body, auth=False)
    assert reply.status == 302 and reply.headers["location"] == "/db/x"
    assert "AuthSession=" in reply.headers["set-cookie"]
    for evil in ("//evil", "http://evil/", "/%5Cevil", "x", ""):
        error(server.post("/_session?next=" + evil, body, auth=False), 400)
    body["password"] = "no"
    reply = server.post("/_session?fail=/sorry", body, auth=False)
    assert reply.status == 302 and reply.headers["location"] == "/sorry"


def test_cookies_made_by_hand(server):
    now = int(time.time())
    assert name_of(server, make_cookie(server, "ann", now)) == "ann"
    assert name_of(server, make_cookie(server, "ann", now, "sha1")) == "ann"
    assert name_of(server, make_cookie(server, "ann", now, "sha512")) is None
    assert name_of(server, make_cookie(server, "ann", now - 601)) is None
    assert name_of(server, make_cookie(server, "ann", now + 601)) is None
    assert name_of(server, make_cookie(server, "ann", now, secret=b"guess")) is None
    assert name_of(server, make_cookie(server, "ann", now, salt=b"other")) is None
    assert name_of(server, make_cookie(server, "nobody", now, salt=b"")) is None
    assert name_of(server, {"Cookie": "AuthSession="}) is None
    assert name_of(server, {"Cookie": "AuthSession=" + unpad(b"ann:%X" % now)}) is None


@pytest.mark.parametrize("value", ["!!!", "abc", unpad(b"nocolon"), "a b"])
def test_malformed_cookies(server, value):
    reply = server.get("/_session", headers={"Cookie": "AuthSession=" + value}, auth=False)
    assert error(reply, 400, "bad_request") == (
        "Malformed AuthSession cookie. Please clear your cookies."
    )


def test_renewal(server):
    now = int(time.time())
    for age, renewed in ((0, False), (50, False), (70, True), (590, True)):
        reply = server.get("/", headers=make_cookie(server, "ann", now - age), auth=False)
        assert ("set-cookie" in reply.headers) == renewed, age
    fresh = {"Cookie": reply.headers["set-cookie"].split(";")[0]}
    assert name_of(server, fresh) == "ann"


def test_a_new_password_ends_sessions(server):
    rev = make_user(server, "tim", "one")
    cookie = login(server, "tim", "one")
    assert name_of(server, cookie) == "tim"
    doc = server.get(user_path("tim")).json()
    assert server.put(user_path("tim"), dict(doc, password="two")).status == 201
    assert name_of(server, cookie) is None
    cookie = login(server, "tim", "two")
    rev = server.get(user_path("tim")).json()["_rev"]
    server.delete(user_path("tim") + "?rev=" + rev)
    assert name_of(server, cookie) is None


def test_other_sites_cannot_use_the_cookie(server):
    server.put("/csrf")
    server.put("/csrf/_security", {"members": {"names": ["ann"]}})
    cookie = login(server, "ann", "pw")
    form = dict(cookie, **{"Content-Type": "text/plain"})
    error(server.post("/csrf", b"{}", headers=form, auth=False), 415)
    error(server.post("/csrf/_design/x/_update/y", b"{}", headers=form, auth=False), 415)
    foreign = dict(cookie, Origin="http://evil.example")
    error(server.post("/csrf", {}, headers=foreign, auth=False), 403, "forbidden")
    error(server.put("/csrf/x", {}, headers=foreign, auth=False), 403, "forbidden")
    error(server.delete("/_session", headers=foreign, auth=False), 403, "forbidden")
    body = {"name": "ann", "password": "pw"}
    evil = {"Origin": "null"}
    error(server.post("/_session", body, headers=evil, auth=False), 403)
    assert server.get("/csrf/_all_docs", headers=foreign, auth=False).status == 200
    own = dict(cookie, Origin="http://127.0.0.1:%d" % server.port)
    assert server.post("/csrf", {}, headers=own, auth=False).status == 201
    # Basic is sent by no form
    foreign = dict(basic("ann", "pw"), Origin="http://evil.example")
    assert server.post("/csrf", {}, headers=foreign, auth=False).status == 201


def test_lockout(tmp_path):
    text = FAST + "[chttpd_auth_lockout]\nmax_lifetime = 2000\n"
    with Server(args=ini(tmp_path, text)) as server:
        make_users_db(server)
        make_user(server, "ann", "pw")
        right, wrong = basic("ann", "pw"), basic("ann", "no")

        def status(headers):
            return server.get("/_session", headers=headers, auth=False).status

        assert [status(wrong) for _ in range(4)] == [401] * 4
        assert status(right) == 200  # a success starts the count anew
        assert [status(wrong) for _ in range(5)] == [401] * 5
        reply = server.get("/_session", headers=right, auth=False)
        assert "temporarily locked" in error(reply, 403, "forbidden")
        error(server.post("/_session", {"name": "ann", "password": "pw"}, auth=False), 403)
        assert status(basic(USER, PASSWORD)) == 200  # others are not
        time.sleep(2.1)
        assert status(right) == 200


def test_lockout_can_be_off(tmp_path):
    with Server(args=ini(tmp_path, FAST + "[chttpd_auth_lockout]\nmode = off\n")) as server:
        wrong = basic("who", "no")
        for _ in range(8):
            assert server.get("/", headers=wrong, auth=False).status == 401


def test_guessing_keeps_nobody_waiting():
    """Sixty hashes of 600,000 rounds are asked for at once: some are refused, others go on."""
    with Server() as server:
        assert server.get("/").status == 200  # the password is remembered
        statuses, slowest = [], 0

        def guess(n):
            statuses.append(server.get("/", headers=basic("u%d" % n, "x"), auth=False).status)

        threads = [threading.Thread(target=guess, args=(n,)) for n in range(60)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            began = time.monotonic()
            assert server.get("/_session").status == 200
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.01)
        assert set(statuses) <= {401, 503} and 401 in statuses
        assert slowest < 1, slowest


def test_require_valid_user(tmp_path):
    with Server(args=ini(tmp_path, "[chttpd]\nrequire_valid_user = true\n")) as server:
        for path in ("/", "/_session", "/_uuids", "/db"):
            reply = server.get(path, auth=False)
            assert error(reply, 401, "unauthorized") == "Authentication required."
            assert reply.headers["www-authenticate"] == 'Basic realm="server"'
        assert server.get("/_up", auth=False).status == 200
        login(server, USER, PASSWORD)
        assert server.get("/").status == 200


# ---- tokens ----

HANDLERS = "{chttpd_auth, %s_authentication_handler}, {chttpd_auth, cookie_authentication_handler}"


def bearer(token):
    return {"Authorization": "Bearer " + token}


def hs(key, digest):
    return lambda text: hmac.new(key, text, digest).digest()


def test_jwt(tmp_path):
    key, other = b"k" * 32, b"o" * 40
    text = "[chttpd]\nauthentication_handlers = %s\n[jwt_keys]\nhmac:_default = %s\nhmac:two = %s\n"
    text %= (HANDLERS % "jwt", base64.b64encode(key).decode(), base64.b64encode(other).decode())
    later = int(time.time()) + 60
    good = {"sub": "joe", "exp": later, "_couchdb.roles": ["a", "b"]}
    with Server(args=ini(tmp_path, text)) as server:

        def ask(token):
            return server.get("/_session", headers=bearer(token), auth=False)

        for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
            body = ask(jwt({"alg": alg, "typ": "JWT"}, good, hs(key, digest))).json()
            assert body["userCtx"] == {"name": "joe", "roles": ["a", "b"]}
            assert body["info"]["authenticated"] == "jwt"
        assert ask(jwt({"alg": "HS256", "kid": "two"}, good, hs(other, "sha256"))).status == 200
        admin = jwt({"alg": "HS256"}, dict(good, **{"_couchdb.roles": ["_admin"]}), hs(key, "sha256"))
        assert server.get("/_all_dbs", headers=bearer(admin), auth=False).status == 200
        for head, claims, sign in (
            ({"alg": "none"}, good, lambda t: b""),
            ({"alg": "none"}, good, hs(key, "sha256")),
            ({"alg": "HS256"}, good, hs(b"guess", "sha256")),
            ({"alg": "HS512"}, good, hs(key, "sha256")),
            ({"alg": "RS256"}, good, hs(key, "sha256")),
            ({"alg": "HS256", "kid": "two"}, good, hs(key, "sha256")),
            ({"alg": "HS256", "kid": "no"}, good, hs(key, "sha256")),
            ({"alg": "HS256", "crit": ["x"]}, good, hs(key, "sha256")),
            ({"alg": "HS256"}, {"sub": "joe"}, hs(key, "sha256")),
            ({"alg": "HS256"}, {"exp": later}, hs(key, "sha256")),
            ({"alg": "HS256"}, dict(good, exp=later - 120), hs(key, "sha256")),
            ({"alg": "HS256"}, dict(good, exp="x"), hs(key, "sha256")),
            ({"alg": "HS256"}, dict(good, nbf=later), hs(key, "sha256")),
        ):
            reply = ask(jwt(head, claims, sign))
            assert reply.status in (400, 401), (head, claims, reply)
        for token in ("x", "a.b.c", "..", "e30.e30.", "e30.e30.e30.e30", "!." * 3, "A" * 20000):
            error(ask(token), 401 if token == "e30.e30.e30" else 400)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the keys")
def test_jwt_with_public_keys(tmp_path):
    def run(*args, data=b""):
        return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout

    def key(kind, *args):
        path = str(tmp_path / kind)
        run("genpkey", *args, "-out", path)
        return path, run("pkey", "-in", path, "-pubout").decode().strip().replace("\n", "\\n")

    rsa, rsa_pem = key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    ec, ec_pem = key("ec", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")

    def raw_ec(text):
        der = run("dgst", "-sha256", "-sign", ec, data=text)
        at, out = 2, b""
        for _ in range(2):
            size = der[at + 1]
            out += int.from_bytes(der[at + 2 : at + 2 + size], "big").to_bytes(32, "big")
            at += 2 + size
        return out

    signers = {"RS256": lambda t: run("dgst", "-sha256", "-sign", rsa, data=t), "ES256": raw_ec}
    text = "[chttpd]\nauthentication_handlers = %s\n[jwt_keys]\nrsa:k = %s\nec:k = %s\n"
    claims = {"sub": "joe", "exp": int(time.time()) + 60}
    with Server(args=ini(tmp_path, text % (HANDLERS % "jwt", rsa_pem, ec_pem))) as server:
        for alg, sign in signers.items():
            token = jwt({"alg": alg, "kid": "k"}, claims, sign)
            assert name_of(server, bearer(token)) == "joe"
            bad = jwt({"alg": alg, "kid": "k"}, dict(claims, sub="eve"), lambda t, s=sign: s(b"x"))
            error(server.get("/", headers=bearer(bad), auth=False), 401)
        # a public key is no secret of an HMAC
        forged = jwt({"alg": "HS256", "kid": "k"}, claims, hs(rsa_pem.encode(), "sha256"))
        error(server.get("/", headers=bearer(forged), auth=False), 401)


def test_proxy_headers(server, tmp_path):
    secret = b"between us"
    text = "[chttpd]\nauthentication_handlers = %s\n[chttpd_auth]\nsecret = between us\n"

    def headers(digest, name=b"joe", key=secret):
        return {
            "X-Auth-CouchDB-UserName": "joe",
            "X-Auth-CouchDB-Roles": "a, b",
            "X-Auth-CouchDB-Token": hmac.new(key, name, digest).hexdigest(),
        }

    with Server(args=ini(tmp_path, text % (HANDLERS % "proxy"))) as other:
        for digest in ("sha256", "sha1"):
            body = other.get("/_session", headers=headers(digest), auth=False).json()
            assert body["userCtx"] == {"name": "joe", "roles": ["a", "b"]}
        assert name_of(other, headers("sha256", b"eve")) is None
        assert name_of(other, headers("sha256", key=b"x")) is None
        bare = {"X-Auth-CouchDB-UserName": "joe", "X-Auth-CouchDB-Roles": "_admin"}
        assert name_of(other, bare) is None
    assert name_of(server, headers("sha256", key=secret_of(server))) is None  # off by default


def test_derived_keys_by_hand():
    """The vectors of the unit tests are what hashlib says."""
    salt = b"00112233445566778899aabbccddeeff"
    assert hashlib.pbkdf2_hmac("sha1", b"pass:word", salt, 10).hex() == (
        "184155f67142297929171fda89b728b4a60c92c7"
    )
