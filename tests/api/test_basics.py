"""The server level, databases, authentication, and the form of every answer."""

import base64
import json
import re

import pytest
from support.check import error
from support.server import PASSWORD, USER, quote


def basic(user, password):
    pair = (user + ":" + password).encode("utf-8")
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def test_welcome(server):
    reply = server.get("/")
    assert reply.status == 200
    body = reply.json()
    assert body["couchdb"] == "Welcome"
    assert isinstance(body["version"], str) and isinstance(body["uuid"], str)
    assert len(body["uuid"]) >= 32
    assert "vector" in body["features"]
    assert isinstance(body["vendor"]["name"], str)
    assert server.get("/").json()["uuid"] == body["uuid"]


def test_answers_are_compact_json_and_a_newline(server, db):
    for path in ("/", "/_up", "/_uuids", db.path, db.path + "/nothing"):
        reply = server.get(path)
        compact = json.dumps(reply.json(), separators=(",", ":"), ensure_ascii=False)
        assert reply.body == compact.encode("utf-8") + b"\n", path
        assert reply.headers["content-type"].startswith("application/json"), path
        assert "server" in reply.headers and "date" in reply.headers, path


def test_up_needs_no_login(server):
    reply = server.get("/_up", auth=False)
    assert reply.status == 200
    assert reply.json()["status"] == "ok"


def test_uuids(server):
    one = server.get("/_uuids").json()["uuids"]
    assert len(one) == 1 and re.fullmatch("[0-9a-f]{32}", one[0])
    many = server.get("/_uuids?count=1000").json()["uuids"]
    assert len(set(many)) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", u) for u in many)
    assert not set(many) & set(one)
    for count in ("1001", "-1", "x", "99999999999999999999"):
        error(server.get("/_uuids?count=" + count), 400)


def test_head_is_get_without_body(server, db):
    db.save("a", {"x": 1})
    for path in ("/", "/_up", db.path, db.path + "/", db.path + "/a", db.path + "/nothing"):
        got, head = server.get(path), server.head(path)
        assert head.status == got.status, path
        assert head.body == b"", path
        for name in ("content-type", "etag"):
            assert head.headers.get(name) == got.headers.get(name), (path, name)


def test_all_dbs(server):
    names = ["ab", "aa", "b/c", "a+b", "z_$()-9"]
    for name in names:
        assert server.put("/" + quote(name)).status == 201
    every = server.get("/_all_dbs").json()
    assert [n for n in every if n in names] == sorted(names)
    assert server.get("/_all_dbs?startkey=%22aa%22&endkey=%22ab%22").json() == ["aa", "ab"]
    assert server.get("/_all_dbs?limit=1&skip=1").json() == every[1:2]
    for name in names:
        assert server.delete("/" + quote(name)).json() == {"ok": True}
    assert not set(names) & set(server.get("/_all_dbs").json())


def test_create_and_delete(server):
    reply = server.put("/create1")
    assert reply.status == 201 and reply.json() == {"ok": True}
    assert reply.headers["location"].rstrip("/").endswith("/create1")
    error(server.put("/create1"), 412, "file_exists")
    assert server.delete("/create1").json() == {"ok": True}
    error(server.delete("/create1"), 404, "not_found")
    error(server.get("/create1"), 404, "not_found")
    reason = error(server.get("/create1/doc"), 404, "not_found")
    assert reason == "Database does not exist."
    error(server.put("/create1/doc", {}), 404, "not_found")


def test_trailing_slash_is_the_database(server):
    assert server.put("/slash/").status == 201
    assert server.get("/slash/").json()["db_name"] == "slash"
    assert server.get("/slash").json()["db_name"] == "slash"
    assert server.delete("/slash/").status == 200


def test_quorum_parameters_are_ignored(server):
    assert server.put("/quorum?q=1&n=3").status == 201
    assert server.put("/quorum/a?w=2", {}).status == 201
    assert server.get("/quorum/a?r=2").status == 200
    server.delete("/quorum")


@pytest.mark.parametrize(
    "name",
    ["A", "1a", "aB", "a.b", "a b", "_x", "a%00", "\u00e9", "a*", "a" * 400, "..", "-a", "a:b"],
)
def test_illegal_names(server, name):
    path = "/" + (name.replace(" ", "%20") if "%" in name else quote(name))
    reply = server.put(path)
    assert reply.status == 400 or (name == "_x" and reply.status in (400, 404, 405)), reply
    if reply.status == 400:
        assert reply.json()["error"] in (
            "illegal_database_name",
            "database_name_too_long",
            "bad_request",
        )


def test_info(server, db):
    info = db.get().json()
    assert info["db_name"] == db.name
    assert info["doc_count"] == 0 and info["doc_del_count"] == 0
    start = info["instance_start_time"]
    assert isinstance(start, str)
    rev = db.save("a", {})
    db.save("b", {})
    assert db.delete("a?rev=" + rev).status == 200
    info = db.get().json()
    assert info["doc_count"] == 1 and info["doc_del_count"] == 1
    assert info["instance_start_time"] == start
    assert info["compact_running"] is False
    assert {"file", "external", "active"} <= set(info["sizes"])
    for member in ("update_seq", "purge_seq", "disk_format_version", "cluster", "props"):
        assert member in info, member
    assert int(str(info["update_seq"]).split("-")[0]) == 3


def test_a_recreated_database_is_another_one(server):
    server.put("/again")
    server.put("/again/a", {})
    old = server.get("/again").json()
    server.delete("/again")
    server.put("/again")
    new = server.get("/again").json()
    assert new["doc_count"] == 0
    assert new["instance_start_time"] != old["instance_start_time"]
    error(server.get("/again/a"), 404, "not_found")
    # A sequence of the old life starts from the beginning, it does not hide documents.
    server.put("/again/b", {})
    rows = server.get("/again/_changes?since=" + quote(str(old["update_seq"]))).json()["results"]
    assert [r["id"] for r in rows] == ["b"]
    server.delete("/again")


def test_login(server, db):
    error(server.get(db.path, auth=False), 401, "unauthorized")
    error(server.put(db.path + "/x", {}, auth=False), 401, "unauthorized")
    error(server.get("/_all_dbs", auth=False), 401, "unauthorized")
    error(server.put("/noauth", auth=False), 401, "unauthorized")
    for user, password in ((USER, "wrong"), ("nobody", PASSWORD), (USER, ""), ("", "")):
        reason = error(server.get("/", headers=basic(user, password)), 401, "unauthorized")
        assert reason == "Name or password is incorrect."
    assert server.get(db.path, headers=basic(USER, PASSWORD), auth=False).status == 200
    assert db.get("x").status == 404


def test_malformed_credentials_are_a_client_error(server):
    for value in ("Basic !!!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Basic "):
        reply = server.get("/_all_dbs", headers={"Authorization": value}, auth=False)
        assert reply.status in (400, 401), (value, reply)
    # Unknown schemes are ignored, not refused; "Basic:" is one of them.
    assert server.get("/", headers={"Authorization": "Bearer x"}, auth=False).status == 200
    assert server.get("/", headers={"Authorization": "Basic: eDp5"}, auth=False).status == 200


def test_wrong_login_takes_no_database_away(server, db):
    for i in range(20):
        server.get(db.path, headers=basic("nobody%d" % i, "wrong"))
    assert db.get().status == 200


def test_unknown_and_forbidden_methods(server, db):
    for method, path in (
        ("POST", "/"),
        ("PATCH", "/"),
        ("POST", "/_up"),
        ("PUT", "/_uuids"),
        ("GET", db.path + "/_bulk_docs"),
        ("PUT", db.path + "/_bulk_docs"),
        ("DELETE", db.path + "/_changes"),
        ("GET", db.path + "/_revs_diff"),
        ("GET", db.path + "/_find"),
        ("GET", db.path + "/_ensure_full_commit"),
    ):
        reply = server.request(method, path)
        error(reply, 405, "method_not_allowed")
        assert reply.headers["allow"], (method, path)


def test_unknown_paths(server, db):
    reply = server.get("/_nothing_like_this")
    error(reply, reply.status)
    assert reply.status in (400, 404)
    for path in ("_nothing", "_design/x/_nothing/y"):
        reply = db.get(path)
        assert reply.status in (400, 404), reply
        error(reply, reply.status)


def test_json_posts_need_the_content_type(server, db):
    for path, body in (
        ("_bulk_docs", b'{"docs":[]}'),
        ("_revs_diff", b"{}"),
        ("_find", b'{"selector":{}}'),
    ):
        for kind in ("text/plain", "application/x-www-form-urlencoded"):
            reply = db.post(path, body, headers={"Content-Type": kind})
            error(reply, 415, "bad_content_type")
        kind = "application/json; charset=utf-8"
        assert db.post(path, body, headers={"Content-Type": kind}).status in (200, 201), path
    # A document may come with any type.
    assert db.put("plain", b"{}", headers={"Content-Type": "text/plain"}).status == 201


def test_ids_are_decoded_after_splitting(server, db):
    for doc_id in ("a/b", "a b", "a+b", "a?b", "a%b", "a#b", "\u00fc\u4e2d", "a\"b", "a&b=c", "x:y"):
        rev = db.save(doc_id, {"v": doc_id})
        got = db.get(quote(doc_id)).json()
        assert got == {"_id": doc_id, "_rev": rev, "v": doc_id}
    assert db.get().json()["doc_count"] == 10
    error(db.get("a%zz"), 400)
    error(db.get("a%"), 400)
    error(db.get("a%00b"), 400)


def test_request_ids(server):
    reply = server.get("/", headers={"X-Couch-Request-ID": "my-own-ID_1"})
    assert reply.headers["x-couch-request-id"] == "my-own-ID_1"
    first = server.get("/").headers["x-couch-request-id"]
    assert re.fullmatch("[0-9a-f]{10}", first)
    assert first != server.get("/").headers["x-couch-request-id"]
    odd = server.get("/", headers={"X-Couch-Request-ID": "x" * 40})
    assert odd.headers["x-couch-request-id"] != "x" * 40


def test_answers_must_be_revalidated(server, db):
    db.save("a", {})
    assert db.get("a").headers["cache-control"] == "must-revalidate"


def test_too_long_url(server):
    reply = server.get("/" + "a" * 9000)
    assert reply.status in (400, 404, 414)
    error(reply, reply.status)


def test_ensure_full_commit(server, db):
    reply = db.post("_ensure_full_commit", b"", headers={"Content-Type": "application/json"})
    assert reply.status == 201
    body = reply.json()
    assert body == {"ok": True, "instance_start_time": db.get().json()["instance_start_time"]}


def test_many_databases(server):
    for i in range(50):
        assert server.put("/many%d" % i).status == 201
        assert server.put("/many%d/a" % i, {"n": i}).status == 201
    for i in range(50):
        assert server.get("/many%d/a" % i).json()["n"] == i
        assert server.delete("/many%d" % i).status == 200
