"""POST /_replicate: pulling from another server (here: a second one of ours)."""

import base64
import os
import time

import pytest
from support.check import error
from support.server import PASSWORD, USER, Server, quote


@pytest.fixture(scope="module")
def remote():
    with Server() as running:
        yield running


def url(server, name, login=True):
    pair = quote(USER) + ":" + quote(PASSWORD) + "@" if login else ""
    return "http://%s127.0.0.1:%d/%s" % (pair, server.port, name)


def leaves(server, name):
    """Everything that must be equal on both sides."""
    feed = server.get("/%s/_changes?style=all_docs" % name).json()["results"]
    found = {}
    for row in feed:
        path = "/%s/%s" % (name, row["id"] if row["id"].startswith("_") else quote(row["id"]))
        docs = server.get(path + "?open_revs=all&revs=true&attachments=true").json()
        docs = sorted((d["ok"] for d in docs), key=lambda d: d["_rev"])
        found[row["id"]] = (row["changes"][0]["rev"], docs)
    return found


def fill(server, name):
    server.delete("/" + name)
    assert server.put("/" + name).status == 201
    docs = [{"_id": "d%04d" % i, "n": i, "f": 1.0, "s": "\u0000"} for i in range(1200)]
    server.post("/%s/_bulk_docs" % name, {"docs": docs})
    grafts = []
    for i in range(50):
        for tail in ("x", "y"):
            grafts.append({"_id": "c%d" % i, "_revisions": {"start": 2, "ids": [tail, "r"]}})
        grafts.append({"_id": "t%d" % i, "_rev": "3-t", "_deleted": True, "why": i})
    reply = server.post("/%s/_bulk_docs" % name, {"docs": grafts, "new_edits": False})
    assert reply.json() == []
    for i in range(10):
        data = base64.b64encode(os.urandom(30_000)).decode()
        att = {"bin": {"content_type": "x/y", "data": data}, "e": {"data": ""}}
        assert server.put("/%s/a%d" % (name, i), {"_attachments": att}).status == 201
    server.put("/%s/_design/d" % name, {"language": "query"})
    server.put("/%s/%s" % (name, quote("id with/odd+signs?\u00fc")), {"v": 1})


def replicate(server, body, status=200):
    reply = server.post("/_replicate", body)
    assert reply.status == status, reply
    return reply.json()


def test_pull(server, remote):
    fill(remote, "src")
    body = {"source": url(remote, "src"), "target": "dst", "create_target": True}
    answer = replicate(server, body)
    assert answer["ok"] is True
    first = answer["history"][0]
    assert first["doc_write_failures"] == 0
    assert first["docs_written"] == first["docs_read"] >= 1200
    assert isinstance(answer["session_id"], str) and answer["source_last_seq"]
    assert leaves(server, "dst") == leaves(remote, "src")
    # Nothing new: nothing done, and nothing moves.
    seq = server.get("/dst").json()["update_seq"]
    again = replicate(server, body)
    assert again["ok"] is True
    assert again.get("no_changes") or again["history"][0]["docs_written"] == 0
    assert server.get("/dst").json()["update_seq"] == seq
    # A little news: only that.
    rev = remote.get("/src/d0000").json()["_rev"]
    remote.delete("/src/d0000?rev=" + rev)
    remote.put("/src/news", {"v": 1})
    answer = replicate(server, body)
    assert answer["history"][0]["docs_written"] == 2
    assert leaves(server, "dst") == leaves(remote, "src")


def test_credentials_in_auth(server, remote):
    remote.put("/authsrc")
    remote.put("/authsrc/a", {})
    source = {
        "url": url(remote, "authsrc", login=False),
        "auth": {"basic": {"username": USER, "password": PASSWORD}},
    }
    answer = replicate(server, {"source": source, "target": "authdst", "create_target": True})
    assert answer["ok"] and server.get("/authdst/a").status == 200


def test_errors(server, remote):
    for body in ("{}", "[]", "5", '{"source":"x"}', '{"target":"x"}'):
        error(server.post("/_replicate", body), 400)
    missing = {"source": url(remote, "missing"), "target": "t1", "create_target": True}
    reply = server.post("/_replicate", missing)
    assert 400 <= reply.status <= 500 and "error" in reply.json(), reply
    reply = server.post("/_replicate", {"source": url(remote, "src"), "target": "nodb"})
    assert 400 <= reply.status <= 500 and "error" in reply.json(), reply
    wrong = "http://admin:wrong@127.0.0.1:%d/src" % remote.port
    reply = server.post("/_replicate", {"source": wrong, "target": "t2", "create_target": True})
    assert 400 <= reply.status <= 500 and "error" in reply.json(), reply
    assert b"wrong@" not in reply.body
    for bad in ("ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "gopher://127.0.0.1:1/x"):
        reply = server.post("/_replicate", {"source": bad, "target": "t3", "create_target": True})
        assert 400 <= reply.status < 500 or reply.status == 500, reply
        assert b"root:" not in reply.body
    dead = {"source": "http://127.0.0.1:9/x", "target": "t4", "create_target": True}
    reply = server.post("/_replicate", dead)
    assert reply.status >= 400 and "error" in reply.json()
    assert server.alive()


def test_resumes_after_a_kill(remote):
    fill(remote, "ksrc")
    with Server() as own:
        body = {"source": url(remote, "ksrc"), "target": "kdst", "create_target": True}
        import threading

        def post():
            try:
                own.post("/_replicate", body)
            except Exception:
                pass

        for wait in (0.05, 0.15, 0.3):
            thread = threading.Thread(target=post)
            thread.start()
            time.sleep(wait)
            own.kill9()
            thread.join()
            own.start()
        replicate(own, body)
        assert leaves(own, "kdst") == leaves(remote, "ksrc")


def test_purges_do_not_replicate(server, remote):
    """As in CouchDB: what one side purged stays on the other, and comes back with its next edit."""
    assert remote.put("/pu").status == 201
    revs = {n: remote.put("/pu/" + n, {"v": 1}).json()["rev"] for n in "abc"}
    body = {"source": url(remote, "pu"), "target": "pu", "create_target": True}
    replicate(server, body)
    assert remote.post("/pu/_purge", {"a": [revs["a"]]}).json()["purged"]["a"] == [revs["a"]]
    assert server.post("/pu/_purge", {"b": [revs["b"]]}).json()["purged"]["b"] == [revs["b"]]
    replicate(server, body)
    rows = [r["id"] for r in server.get("/pu/_all_docs").json()["rows"]]
    assert rows == ["a", "c"]  # b: the source has not changed since
    newer = remote.put("/pu/b", {"v": 2, "_rev": revs["b"]}).json()["rev"]
    again = remote.put("/pu/a", {"v": 3}).json()["rev"]
    answer = replicate(server, body)
    assert answer["ok"], answer
    assert server.get("/pu/b?revs=true").json()["_revisions"]["ids"] == [newer[2:], revs["b"][2:]]
    here = server.get("/pu/a?conflicts=true").json()
    assert {here["_rev"], *here.get("_conflicts", [])} == {revs["a"], again}
    assert server.get("/pu").json()["purge_seq"].startswith("1-")


def test_cancel_by_id(server, remote):
    """The id that the start answered, or /_scheduler/jobs shows: by any of CouchDB's names."""
    assert remote.put("/ci").status == 201
    body = {"source": url(remote, "ci"), "target": "ci", "create_target": True, "continuous": True}
    for name in ("replication_id", "id", "_local_id"):
        started = server.post("/_replicate", body)
        assert started.status == 202, started
        found = started.json()["_local_id"]
        assert found.endswith("+continuous")
        reply = server.post("/_replicate", {"cancel": True, name: found})
        assert reply.status == 200 and reply.json() == {"ok": True, "_local_id": found}
        end = time.monotonic() + 20
        while server.post("/_replicate", {"cancel": True, name: found}).status != 404:
            assert time.monotonic() < end  # until it has stopped it is there
            time.sleep(0.05)
        for value in (found, "x" * 32, "x", "", found[:31]):
            reply = server.post("/_replicate", {"cancel": True, name: value})
            assert reply.status == 404, reply
            assert reply.json() == {"error": "not_found", "reason": "missing"}
    # another type is no id: then what it was started with counts
    assert server.post("/_replicate", {"cancel": True, "replication_id": 5}).status == 400
