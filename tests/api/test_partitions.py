"""Partitioned databases: PUT /db?partitioned=true and /db/_partition/{p} (couchdb-surface A.5)."""

import pytest
from conftest import Database
from support.check import error
from support.server import quote


@pytest.fixture
def parts(server):
    base = Database(server, "parts")
    assert server.put("/parts?partitioned=true").status == 201
    yield base
    server.delete("/parts")


def fill(db):
    docs = [
        {"_id": "%s:%d" % (p, i), "n": i, "p": p} for p in ("a", "a-b", "b") for i in range(5)
    ]
    docs.append({"_id": "a:x:y", "n": 9})
    db.bulk(docs)
    rev = db.get("a:0").json()["_rev"]
    assert db.delete("a:0?rev=" + rev).status == 200


def test_properties(server, parts, db):
    assert parts.get().json()["props"] == {"partitioned": True}
    assert db.get().json()["props"] == {}
    server.restart(kill=True)
    assert parts.get().json()["props"] == {"partitioned": True}
    parts.put("_revs_limit", "10")
    assert parts.post("_compact", {}).status == 202
    server.restart()
    server.restart(kill=True, between=lambda s: s.remove_folders("idx"))
    assert parts.get().json()["props"] == {"partitioned": True}


def test_ids(parts, server):
    assert parts.put("p:1", {}).status == 201
    assert parts.put("p:1:2", {}).status == 201
    assert parts.put("_design/d", {}).status == 201
    assert parts.put("_local/x", {}).status == 201
    for bad in ("plain", "p:"):
        error(parts.put(quote(bad), {}), 400, "illegal_docid")
    assert error(parts.put("plain", {}), 400) == "Doc id must be of form partition:id"
    assert error(parts.put(":x", {}), 400, "illegal_partition") == "Partition must not be empty"
    error(parts.put("_x:y", {}), 400, "illegal_docid")
    error(parts.post("", {"a": 1}), 400, "illegal_docid")  # a generated id
    error(parts.post("_bulk_docs", {"docs": [{"_id": "ok:1"}, {"_id": "no"}]}), 400, "illegal_docid")
    error(
        parts.post("_bulk_docs", {"docs": [{"_id": "no", "_rev": "1-a"}], "new_edits": False}),
        400,
        "illegal_docid",
    )
    error(parts.put("no/att", b"x"), 400, "illegal_docid")
    reply = server.request("COPY", "/parts/p:1", headers={"Destination": "no"})
    error(reply, 400, "illegal_docid")
    assert parts.get().json()["doc_count"] == 3


def test_one_partition(parts):
    fill(parts)
    info = parts.get("_partition/a").json()
    assert info["sizes"].pop("active") > 0 and info["sizes"].pop("external") > 0
    assert info == {
        "db_name": "parts",
        "partition": "a",
        "doc_count": 5,
        "doc_del_count": 1,
        "sizes": {},
    }
    assert parts.get("_partition/none").json()["doc_count"] == 0
    assert parts.head("_partition/a").status == 200
    ids = [row["id"] for row in parts.rows("_partition/a/_all_docs")]
    assert ids == ["a:1", "a:2", "a:3", "a:4", "a:x:y"]
    ids = [row["id"] for row in parts.rows("_partition/a-b/_all_docs?descending=true&limit=2")]
    assert ids == ["a-b:4", "a-b:3"]
    ids = [row["id"] for row in parts.rows('_partition/a/_all_docs?startkey="a:3"&endkey="b:4"')]
    assert ids == ["a:3", "a:4", "a:x:y"]
    rows = parts.post("_partition/a/_all_docs", {"keys": ["a:1", "b:1"]}).json()["rows"]
    assert rows[0]["id"] == "a:1" and rows[1] == {"key": "b:1", "error": "not_found"}
    assert len(parts.rows("_all_docs")) == 15


def test_find(parts):
    fill(parts)
    found = parts.post("_partition/a/_find", {"selector": {"n": {"$gt": 2}}}).json()["docs"]
    assert [d["_id"] for d in found] == ["a:3", "a:4", "a:x:y"]
    plan = parts.post("_partition/a/_explain", {"selector": {"n": 1}}).json()
    assert plan["dbname"] == "parts"
    found = parts.post("_find", {"selector": {"n": 3}}).json()["docs"]
    assert [d["_id"] for d in found] == ["a-b:3", "a:3", "b:3"]
    body = {"selector": {"$or": [{"n": 1}, {"p": "b"}]}, "limit": 1}
    one = parts.post("_partition/b/_find", body).json()
    assert [d["_id"] for d in one["docs"]] == ["b:0"]
    two = parts.post("_partition/b/_find", dict(body, bookmark=one["bookmark"])).json()
    assert [d["_id"] for d in two["docs"]] == ["b:1"]
    error(parts.post("_partition/a/_find", {}), 400)


def test_what_is_refused(server, parts, db):
    for path in ("_partition/a", "_partition/a/_all_docs"):
        assert error(db.get(path), 400, "bad_request") == "database is not partitioned"
    error(db.post("_partition/a/_find", {"selector": {}}), 400, "bad_request")
    error(parts.get("_partition/_a"), 400, "illegal_partition")
    error(parts.get("_partition/a%3Ab"), 400, "illegal_partition")
    error(server.put("/other?partitioned=maybe"), 400, "bad_request")
    error(server.put("/_global_changes?partitioned=true"), 400, "bad_request")
    error(server.put("/other?q=0"), 400, "bad_request")
    error(server.put("/other?n=x"), 400, "bad_request")
    assert server.put("/other?q=8&n=1&partitioned=false&placement=z:1").status == 201
    assert server.delete("/other").status == 200
    assert parts.post("_partition/a/_all_docs").status == 415
    assert parts.delete("_partition/a").status == 405


def test_design_documents(parts, db):
    assert parts.put("_design/g", {"options": {"partitioned": False}}).status == 201
    assert parts.put("_design/p", {"options": {"partitioned": True}}).status == 201
    error(db.put("_design/p", {"options": {"partitioned": True}}), 400, "invalid_design_doc")
    error(parts.put("_design/x", {"options": {"partitioned": 1}}), 400, "invalid_design_doc")
    error(parts.get("_partition/a/_design/g/_view/v"), 404, "not_found")
    assert parts.rows("_partition/a/_all_docs") == []


def test_what_is_not_there(db):
    assert db.get("_auto_purge").json() == {}
    error(db.put("_auto_purge", {"deleted_document_ttl": 1}), 501, "not_implemented")
    error(db.get("_time_seq"), 501, "not_implemented")
    error(db.delete("_time_seq"), 501, "not_implemented")


def test_partition_as_a_parameter(parts, db):
    fill(parts)
    whole = parts.rows("_partition/a/_all_docs")
    assert whole and whole != parts.rows("_all_docs")
    assert parts.rows("_all_docs?partition=a") == whole
    assert parts.post("_all_docs", {"partition": "a"}).json()["rows"] == whole
    error(parts.get("_all_docs?partition=_a"), 400, "illegal_partition")
    error(db.get("_all_docs?partition=a"), 400, "query_parse_error")


def test_two_partitions_in_one_request(parts):
    fill(parts)
    same = parts.get("_partition/a/_all_docs?partition=a").json()
    assert same == parts.get("_partition/a/_all_docs").json()
    reply = parts.get("_partition/a/_all_docs?partition=b")
    assert (reply.status, reply.json()["error"]) == (400, "bad_request")
    assert reply.json()["reason"] == "Conflicting value for `partition` in query string"


def test_what_follows_the_partition_is_an_id_too(parts):
    reply = parts.put("a:_x", {})
    assert (reply.status, reply.json()["error"]) == (400, "illegal_docid")
