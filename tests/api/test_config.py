"""The configuration over HTTP: /_node/_local/_config."""

import os

import pytest
from support.check import error
from support.people import basic
from support.server import PASSWORD, USER, Server

CONFIG = "/_node/_local/_config"


@pytest.fixture(scope="module")
def own():
    with Server() as running:
        yield running


def read(server, path):
    reply = server.get(CONFIG + path)
    assert reply.status == 200, reply
    return reply.json()


def change(server, path, value, **more):
    """The old value."""
    reply = server.put(CONFIG + path, '"%s"' % value, **more)
    assert reply.status == 200, reply
    return reply.json()


def test_reading(own):
    everything = read(own, "")
    assert everything["cors"]["max_age"] == "600"
    assert everything["couchdb"]["max_document_size"] == "8000000"
    assert everything["couchdb"]["single_node"] == "true"
    assert everything["chttpd"]["enable_cors"] == "false"
    assert read(own, "/log") == {"level": "info"}
    assert read(own, "/nothing") == {}
    assert own.get(CONFIG + "/log/none").status == 404
    text = own.get(CONFIG).body.decode("utf-8")
    assert PASSWORD not in text and "secret" not in text


def test_cors_at_once_and_after_a_restart(own):
    origin = {"Origin": "https://app.example.org"}
    assert "access-control-allow-origin" not in own.get("/", headers=origin).headers
    assert change(own, "/httpd/enable_cors", "true") == "false"  # the older name
    assert change(own, "/cors/origins", "https://app.example.org") == ""
    assert change(own, "/cors/credentials", "true") == "false"
    assert read(own, "/chttpd/enable_cors") == "true"
    for _ in range(2):
        got = own.get("/", headers=origin).headers
        assert got["access-control-allow-origin"] == "https://app.example.org"
        assert got["access-control-allow-credentials"] == "true"
        own.restart(kill=True)
    assert os.stat(os.path.join(own.data, "local.ini")).st_mode & 0o777 == 0o600
    reply = own.delete(CONFIG + "/chttpd/enable_cors")
    assert reply.status == 200 and reply.json() == "true"
    assert "access-control-allow-origin" not in own.get("/", headers=origin).headers
    error(own.delete(CONFIG + "/chttpd/enable_cors"), 404, "not_found")


def test_an_admin_is_hashed_at_once(own):
    assert change(own, "/admins/ann", "b\\u00e4r = [x]") == ""
    stored = read(own, "/admins/ann")
    assert stored.startswith("-pbkdf2:sha256-")
    with open(os.path.join(own.data, "local.ini"), encoding="utf-8") as f:
        assert stored in f.read()
    ann = basic("ann", "b\u00e4r = [x]")
    assert own.get("/_all_dbs", headers=ann, auth=False).status == 200
    own.restart(kill=True)
    assert own.get("/_all_dbs", headers=ann, auth=False).status == 200
    assert change(own, "/admins/ann", "other") == stored
    assert own.get("/_all_dbs", headers=ann, auth=False).status == 401
    # a hash is taken as it is
    change(own, "/admins/bob", stored)
    assert own.get("/_all_dbs", headers=basic("bob", "b\u00e4r = [x]"), auth=False).status == 200
    for name in ("ann", "bob"):
        assert own.delete(CONFIG + "/admins/" + name).status == 200
        got = own.get("/_all_dbs", headers=basic(name, "other"), auth=False)
        assert got.status == 401
    assert list(read(own, "/admins")) == [USER]
    error(own.delete(CONFIG + "/admins/" + USER), 403, "forbidden")
    error(own.put(CONFIG + "/admins/" + USER, '""'), 400, "bad_request")


def test_the_start_admins_new_password_lasts(own):
    change(own, "/admins/" + USER, "changed")
    error(own.get("/_all_dbs"), 401, "unauthorized")
    now = basic(USER, "changed")
    own.restart(kill=True)
    assert own.get("/_all_dbs", headers=now, auth=False).status == 200
    assert own.delete(CONFIG + "/admins/" + USER, headers=now, auth=False).status == 200
    assert own.get("/_all_dbs").status == 200


def test_limits_and_sessions(own):
    assert own.put("/cfg").status in (201, 412)
    change(own, "/couchdb/max_document_size", "100")
    error(own.put("/cfg/a", {"v": "x" * 200}), 413, "document_too_large")
    change(own, "/couchdb/max_document_size", "20000000")
    assert own.put("/cfg/a", {"v": "x" * 9000000}).status == 201
    assert own.delete(CONFIG + "/couchdb/max_document_size").json() == "20000000"
    assert change(own, "/couch_httpd_auth/timeout", "77") == "600"
    login = own.post("/_session", {"name": USER, "password": PASSWORD}, auth=False)
    assert "Max-Age=77" in login.headers["set-cookie"]
    change(own, "/chttpd/require_valid_user", "true")
    assert own.get("/", auth=False).status == 401
    assert own.get("/_up", auth=False).status == 200
    assert own.delete(CONFIG + "/chttpd/require_valid_user").status == 200
    assert own.get("/", auth=False).status == 200


def test_not_persistent(own):
    change(own, "/cors/max_age", "5", headers={"X-Couch-Persist": "false"})
    assert read(own, "/cors/max_age") == "5"
    own.restart()
    assert read(own, "/cors/max_age") == "600"


def test_what_is_not_persistent_leaves_the_stored_value(own):
    """Neither the change itself nor the next write of the file takes it away."""
    passing = {"X-Couch-Persist": "false"}
    change(own, "/cors/max_age", "7")
    change(own, "/cors/methods", "GET")
    assert change(own, "/cors/max_age", "8", headers=passing) == "7"
    assert own.delete(CONFIG + "/cors/methods", headers=passing).json() == "GET"
    assert own.delete(CONFIG + "/cors/methods", headers=passing).status == 404
    change(own, "/cors/headers", "x-one")  # writes the file
    assert read(own, "/cors/max_age") == "8" and read(own, "/cors/methods") != "GET"
    own.restart()
    assert read(own, "/cors/max_age") == "7" and read(own, "/cors/methods") == "GET"
    change(own, "/cors/max_age", "8", headers=passing)
    own.delete(CONFIG + "/cors/methods", headers=passing)
    assert own.delete(CONFIG + "/cors/max_age").json() == "8"
    assert own.delete(CONFIG + "/cors/methods").status == 200
    assert own.delete(CONFIG + "/cors/headers").status == 200
    own.restart()
    assert read(own, "/cors/max_age") == "600" and read(own, "/cors/methods") != "GET"


@pytest.mark.parametrize(
    "path, value, status",
    [
        ("/cors/max_age", '"many"', 400),
        ("/cors/max_age", '"-1"', 400),
        ("/cors/credentials", '"yes"', 400),
        ("/cors/origins", '"a\\nadmins = x"', 400),
        ("/cors/origins", '"a\\u0000b"', 400),
        ("/cors/origins", "5", 400),
        ("/cors/origins", "nonsense", 400),
        ("/cors/origins", '"' + "x" * 9000 + '"', 400),
        ("/couchdb/max_document_size", '"0"', 400),
        ("/couchdb/max_document_size", '"99999999999"', 400),
        ("/log/level", '"loud"', 400),
        ("/admins/a%3Ab", '"x"', 400),
        ("/admins/a%0Ab", '"x"', 400),
        ("/admins/a%20b", '"x"', 400),
        ("/admins/_x", '"x"', 400),
        ("/admins/a", '"-pbkdf2-broken"', 400),
        # what must never be set over HTTP: programs, files, addresses, secrets
        ("/query_servers/javascript", '"/bin/sh"', 403),
        ("/os_daemons/x", '"/bin/sh"', 403),
        ("/log/file", '"/etc/x"', 403),
        ("/couchdb/database_dir", '"/tmp"', 403),
        ("/chttpd/bind_address", '"0.0.0.0"', 403),
        ("/chttpd/port", '"1"', 403),
        ("/chttpd/authentication_handlers", '"{x, y}"', 403),
        ("/chttpd_auth/secret", '"x"', 403),
        ("/jwt_keys/hmac:_default", '"eA=="', 403),
        ("/vendor/name", '"x"', 403),
        ("/%5Badmins%5D/x", '"x"', 403),
    ],
)
def test_refused(own, path, value, status):
    before = own.get(CONFIG).body
    reply = own.put(CONFIG + path, value)
    assert reply.status == status, reply
    assert set(reply.json()) == {"error", "reason"}
    assert own.get(CONFIG).body == before


def test_who_may(own):
    error(own.get(CONFIG, auth=False), 401, "unauthorized")
    error(own.put(CONFIG + "/cors/max_age", '"1"', auth=False), 401, "unauthorized")
    error(own.post(CONFIG + "/_reload", {}, auth=False), 401, "unauthorized")
    assert own.put("/_node/other/_config/cors/max_age", '"1"').status == 404


def test_reload(own):
    change(own, "/cors/max_age", "44")
    path = os.path.join(own.data, "local.ini")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("max_age = 44", "max_age = 45"))
    assert own.post(CONFIG + "/_reload", {}).json() == {"ok": True}
    assert read(own, "/cors/max_age") == "45"
    with open(path, "a", encoding="utf-8") as f:
        f.write("[query_servers]\nx = /bin/sh\n")
    error(own.post(CONFIG + "/_reload", {}), 403, "forbidden")
    assert read(own, "/cors/max_age") == "45"
    with open(path, "w", encoding="utf-8") as f:
        f.write("")
    assert own.post(CONFIG + "/_reload", {}).status == 200
    assert read(own, "/cors/max_age") == "600"
