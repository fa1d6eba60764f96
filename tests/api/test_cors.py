"""Other origins: off by default, preflights, what answers say."""

import pytest
from support.check import error
from support.people import FAST, ini, login
from support.server import PASSWORD, USER, Server

ORIGIN = "https://app.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}


def preflight(server, **more):
    headers = {k: v for k, v in dict(PREFLIGHT, **more).items() if v is not None}
    return server.request("OPTIONS", "/db", headers=headers, auth=False)


def cors_names(reply):
    return {name for name in reply.headers if name.startswith("access-control")}


@pytest.fixture(scope="module")
def open_server(tmp_path_factory):
    text = FAST + "[chttpd]\nenable_cors = true\n[cors]\norigins = %s, http://localhost:8080\n" % ORIGIN
    text += "credentials = true\nheaders = x-extra\n"
    with Server(args=ini(tmp_path_factory.mktemp("ini"), text)) as running:
        running.put("/db")
        yield running


def test_off_by_default(server):
    reply = server.get("/", headers={"Origin": ORIGIN})
    assert reply.status == 200 and not cors_names(reply) and "vary" not in reply.headers
    reply = preflight(server)
    assert reply.status in (404, 405) and not cors_names(reply)


def test_preflight(open_server):
    reply = preflight(open_server, **{"Access-Control-Request-Headers": "Content-Type, X-Extra"})
    assert reply.status == 204 and reply.body == b""
    head = reply.headers
    assert head["access-control-allow-origin"] == ORIGIN
    assert head["access-control-allow-credentials"] == "true"
    assert head["access-control-allow-headers"] == "Content-Type, X-Extra"
    assert head["access-control-max-age"] == "600"
    assert head["access-control-allow-methods"] == (
        "CONNECT, COPY, DELETE, GET, HEAD, OPTIONS, POST, PUT, TRACE"
    )
    assert head["vary"] == "Origin"


@pytest.mark.parametrize(
    "more",
    [
        {"Origin": "https://evil.example"},
        {"Origin": ORIGIN + ".evil"},
        {"Origin": "null"},
        {"Origin": "*"},
        {"Origin": ""},
        {"Access-Control-Request-Method": "put"},
        {"Access-Control-Request-Method": None},
        {"Access-Control-Request-Method": "BREW"},
        {"Access-Control-Request-Headers": "content-type, x-other"},
    ],
)
def test_preflights_that_are_not_granted(open_server, more):
    reply = preflight(open_server, **more)
    assert error(reply, 405, "method_not_allowed")
    assert "access-control-allow-methods" not in reply.headers


def test_answers(open_server):
    for path, auth, status in (("/", False, 200), ("/db", True, 200), ("/db", False, 401)):
        reply = open_server.get(path, headers={"Origin": ORIGIN}, auth=auth)
        assert reply.status == status
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert reply.headers["access-control-allow-credentials"] == "true"
        assert "etag" in reply.headers["access-control-expose-headers"]
        assert reply.headers["vary"] == "Origin"
    for path in ("/db/_changes", "/db/_all_docs"):  # streams as well
        reply = open_server.get(path, headers={"Origin": ORIGIN.upper()})
        assert reply.headers["access-control-allow-origin"] == ORIGIN.upper()
    reply = open_server.get("/", headers={"Origin": "https://evil.example"}, auth=False)
    assert reply.status == 200 and not cors_names(reply) and reply.headers["vary"] == "Origin"
    assert not cors_names(open_server.get("/", auth=False))


def test_an_allowed_origin_may_use_the_cookie(open_server):
    cookie = login(open_server, USER, PASSWORD)
    good = dict(cookie, Origin=ORIGIN)
    assert open_server.post("/db", {}, headers=good, auth=False).status == 201
    evil = dict(cookie, Origin="https://evil.example")
    error(open_server.post("/db", {}, headers=evil, auth=False), 403, "forbidden")


def test_the_star_never_comes_with_credentials(tmp_path):
    text = "[chttpd]\nenable_cors = true\n[cors]\norigins = *\ncredentials = true\n"
    with Server(args=ini(tmp_path, text)) as server:
        reply = server.get("/", headers={"Origin": ORIGIN}, auth=False)
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in reply.headers
        assert preflight(server).status == 204
        cookie = login(server, USER, PASSWORD)
        evil = dict(cookie, Origin=ORIGIN)
        error(server.put("/db", headers=evil, auth=False), 403, "forbidden")
