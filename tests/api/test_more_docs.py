"""_local_docs, queries, COPY, and _changes as events."""

import json
import threading
import time

import pytest
from support.check import error
from support.server import quote


def copy(db, source, destination, **more):
    headers = dict(more.pop("headers", {}), Destination=destination)
    return db.server.request("COPY", db.url(source), headers=headers)


# ---- _local_docs ----


@pytest.fixture
def locals_(db):
    for name in ("a", "b", "c", "d/e"):
        db.save("_local/" + name, {"n": name})
    db.save("ordinary", {})
    return db


def ids(db, query=""):
    return [row["id"] for row in db.rows("_local_docs" + query)]


def test_local_docs(locals_):
    reply = locals_.get("_local_docs").json()
    assert reply["total_rows"] is None and reply["offset"] is None
    row = {"id": "_local/a", "key": "_local/a", "value": {"rev": "0-1"}}
    assert reply["rows"][0] == row
    assert [r["id"] for r in reply["rows"]] == ["_local/" + n for n in ("a", "b", "c", "d/e")]
    doc = {"_id": "_local/a", "_rev": "0-1", "n": "a"}
    assert locals_.rows("_local_docs?include_docs=true&limit=1") == [dict(row, doc=doc)]


def test_local_docs_ranges(locals_):
    every = ["_local/" + n for n in ("a", "b", "c", "d/e")]
    for query, want in {
        "?descending=true": every[::-1],
        "?limit=2": every[:2],
        "?limit=0": [],
        "?skip=1&limit=2": every[1:3],
        '?startkey="_local/b"': every[1:],
        '?endkey="_local/b"': every[:2],
        '?endkey="_local/b"&inclusive_end=false': every[:1],
        '?startkey="_local/b"&descending=true': every[1::-1],
        '?startkey="_local/c"&endkey="_local/b"&descending=true': every[2:0:-1],
        '?startkey="_local/z"': [],
        '?startkey="a"': [],
        '?endkey="A"': [],
        '?key="_local/b"': every[1:2],
    }.items():
        assert ids(locals_, query) == want, query


def test_local_docs_keys(locals_):
    reply = locals_.post("_local_docs", {"keys": ["_local/b", "b", "_local/x", 1]}).json()
    assert reply["rows"] == [
        {"id": "_local/b", "key": "_local/b", "value": {"rev": "0-1"}},
        {"key": "_local/x", "error": "not_found"},
    ]
    locals_.delete("_local/b?rev=0-1")
    assert "_local/b" not in ids(locals_)


# ---- queries ----


def test_queries(db):
    db.bulk([{"_id": i} for i in ("a", "b", "c", "_design/x")])
    queries = [{"startkey": "b"}, {"keys": ["c", "nope"]}, {"limit": 0}]
    queries.append({"key": "a", "include_docs": True})
    results = db.post("_all_docs/queries", {"queries": queries}).json()["results"]
    assert len(results) == len(queries)
    for query, result in zip(queries, results):
        assert result == db.post("_all_docs", query).json()
    designs = db.post("_design_docs/queries", {"queries": [{}, {"descending": True}]}).json()
    assert [[r["id"] for r in q["rows"]] for q in designs["results"]] == [["_design/x"]] * 2
    db.save("_local/l", {})
    local = db.post("_local_docs/queries", {"queries": [{}, {"keys": ["_local/l"]}]}).json()
    assert [[r["id"] for r in q["rows"]] for q in local["results"]] == [["_local/l"]] * 2
    assert db.post("_all_docs/queries", {"queries": []}).json() == {"results": []}


def test_queries_stream_what_is_large(db):
    db.bulk([{"_id": "%05d" % i, "text": "x" * 200} for i in range(3000)])
    query = {"include_docs": True}
    results = db.post("_all_docs/queries", {"queries": [query, query]}).json()["results"]
    assert [len(r["rows"]) for r in results] == [3000, 3000]


def test_queries_are_checked_first(db):
    for body in ({}, {"queries": {}}, {"queries": [1]}, {"queries": [{}] * 101}):
        error(db.post("_all_docs/queries", body), 400, "bad_request")
    error(db.post("_all_docs/queries", {"queries": [{}, {"limit": -1}]}), 400, "query_parse_error")
    error(db.post("_all_docs/queries", b"{}"), 415, "bad_content_type")
    error(db.get("_all_docs/queries"), 405, "method_not_allowed")


# ---- COPY ----


def test_copy(db):
    rev = db.save("a", {"x": 1.0, "big": 12345678901234567890})
    reply = copy(db, "a", "b")
    assert reply.status == 201, reply
    body = reply.json()
    assert body["ok"] and body["id"] == "b"
    assert reply.headers["location"].endswith(db.path + "/b")
    assert reply.headers["etag"] == '"%s"' % body["rev"]
    assert b'"x":1.0' in db.get("b").body and b"12345678901234567890" in db.get("b").body
    # The same edit has the same revision whoever makes it.
    assert body["rev"] == rev == db.get("a").json()["_rev"]


def test_copy_reads_its_destination_as_a_path(db):
    db.save("a", {})
    assert copy(db, "a", "b+c").json()["id"] == "b c"
    assert copy(db, "a", "b%2Bc").json()["id"] == "b+c"
    assert copy(db, "a", "d ").json()["id"] == "d"


def test_copy_over_what_is_there(db):
    db.save("a", {"n": 1})
    there = db.save("b", {"n": 0})
    error(copy(db, "a", "b"), 409, "conflict")
    error(copy(db, "a", "b?rev=1-abc"), 409, "conflict")
    reply = copy(db, "a", "b?rev=" + there)
    assert reply.status == 201 and reply.json()["rev"].startswith("2-")
    assert db.get("b").json()["n"] == 1


def test_copy_of_a_revision(db):
    first = db.save("a", {"n": 1})
    db.save("a", {"n": 2, "_rev": first})
    assert copy(db, "a?rev=" + first, "old").status == 201
    assert db.get("old").json()["n"] == 1
    error(copy(db, "a?rev=7-abc", "x"), 404, "not_found")


def test_copy_takes_attachments_along(db):
    data = bytes(range(256)) * 20
    rev = db.save("a", {"n": 1})
    put = db.put("a/one%2Ftwo?rev=" + rev, data, headers={"Content-Type": "x/y"})
    rev = put.json()["rev"]
    db.put("a/zwei?rev=" + rev, b"second", headers={"Content-Type": "text/plain"})
    assert copy(db, "a", "b").status == 201
    got = db.get("b/one%2Ftwo")
    assert got.body == data and got.headers["content-type"] == "x/y"
    assert db.get("b/zwei").body == b"second"
    stub = db.get("b").json()["_attachments"]["one/two"]
    assert stub["revpos"] == 1 and stub["length"] == len(data)
    assert stub["digest"] == db.get("a").json()["_attachments"]["one/two"]["digest"]


def test_copy_of_special_documents(db):
    db.save("_design/d", {"language": "query"})
    assert copy(db, "_design/d", "_design/e").status == 201
    assert db.get("_design/e").json()["language"] == "query"
    db.save("_local/a", {"n": 1})
    assert copy(db, "_local/a", "_local/b").status == 201
    assert db.get("_local/b").json() == {"_id": "_local/b", "_rev": "0-1", "n": 1}
    assert copy(db, "_local/a", "plain").status == 201
    assert db.get("plain").json()["n"] == 1
    name = "ü/ä ?"
    assert copy(db, "plain", quote(name)).json()["id"] == name
    assert db.get(quote(name)).status == 200


def test_copy_that_cannot_be(db):
    db.save("a", {})
    for destination in ("http://127.0.0.1/db/x", "https://x/y", "", "%zz", "x?what=1", "_odd"):
        reply = copy(db, "a", destination)
        assert reply.status == 400, (destination, reply)
    error(db.server.request("COPY", db.url("a")), 400, "bad_request")
    error(copy(db, "absent", "x"), 404, "not_found")
    db.delete("a?rev=" + db.get("a").json()["_rev"])
    assert error(copy(db, "a", "x"), 404, "not_found") == "deleted"
    error(db.server.request("COPY", db.path), 405, "method_not_allowed")


# ---- events ----


def events(stream, n):
    """n events, each the list of its lines."""
    got, lines = [], []
    while len(got) < n:
        line = stream.line()
        if line is None:
            break
        if line:
            lines.append(line.decode())
        else:
            got.append(lines)
            lines = []
    return got


def test_eventsource(db):
    db.bulk([{"_id": "a"}, {"_id": "b"}])
    rows = db.changes()["results"]
    with db.server.stream(db.url("_changes?feed=eventsource&heartbeat=60000")) as stream:
        assert stream.status == 200
        assert stream.answer.getheader("Content-Type") == "text/event-stream"
        for row, (data, number) in zip(rows, events(stream, 2)):
            assert data.startswith("data: ") and json.loads(data[6:]) == row
            assert number == 'id: "%s"' % row["seq"]
        threading.Timer(0.2, db.save, ("c", {})).start()
        ((data, _),) = events(stream, 1)
        assert json.loads(data[6:])["id"] == "c"


def test_eventsource_goes_on_where_it_was(db):
    db.bulk([{"_id": "a"}, {"_id": "b"}, {"_id": "c"}])
    second = db.changes()["results"][1]["seq"]
    for header in (second, '"%s"' % second):
        # the header is newer than what the page's URL says
        with db.server.stream(
            db.url("_changes?feed=eventsource&timeout=100&since=0"),
            headers={"Last-Event-ID": header},
        ) as stream:
            assert [json.loads(e[0][6:])["id"] for e in events(stream, 9)] == ["c"]
    assert len(db.get("_changes", headers={"Last-Event-ID": second}).json()["results"]) == 3
    assert len(db.changes("?last-event-id=" + second)["results"]) == 1
    reply = db.get("_changes?feed=eventsource", headers={"Last-Event-ID": "what"})
    error(reply, 400, "bad_request")


def test_eventsource_heartbeats_and_end(db):
    began = time.monotonic()
    with db.server.stream(db.url("_changes?feed=eventsource&heartbeat=200")) as stream:
        assert events(stream, 2) == [["event: heartbeat", "data: "]] * 2
    assert 0.3 < time.monotonic() - began < 5
    with db.server.stream(db.url("_changes?feed=eventsource&timeout=100")) as stream:
        assert stream.rest() == b""
    db.save("a", {})
    with db.server.stream(db.url("_changes?feed=eventsource&limit=1&include_docs=true")) as stream:
        (event,) = events(stream, 9)
        assert json.loads(event[0][6:])["doc"]["_id"] == "a"


# ---- what is not done by halves ----

