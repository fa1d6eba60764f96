"""validate_doc_update as a selector: design documents with language "query" (A.12)."""

import pytest
from support.check import error
from support.people import make_user, make_users_db, basic
from support.server import PASSWORD, Server


def rules(db, selector, name="_design/rules"):
    return db.save(name, {"language": "query", "validate_doc_update": selector})


def refused(reply):
    assert error(reply, 403, "forbidden") == "document is not valid"


def test_every_way_to_write(server, db):
    db.save("old", {"type": "x"})
    db.save("fine", {"type": "good"})
    rules(db, {"newDoc.type": {"$in": ["good", "better"]}})
    assert db.put("a", {"type": "good"}).status == 201
    refused(db.put("b", {"type": "bad"}))
    refused(db.put("b", {}))
    refused(db.post("", {"type": "bad"}))
    refused(db.put("n?new_edits=false", {"_rev": "1-a", "type": "bad"}))
    rows = db.bulk([{"_id": "c", "type": "better"}, {"_id": "d", "type": "bad"}])
    assert rows[0]["ok"]
    assert rows[1] == {"id": "d", "error": "forbidden", "reason": "document is not valid"}
    assert db.bulk([{"_id": "e", "_rev": "1-b", "type": "bad"}], new_edits=False) == [
        {"id": "e", "rev": "1-b", "error": "forbidden", "reason": "document is not valid"}
    ]
    reply = db.post("_bulk_docs?atomic=true", {"docs": [{"_id": "f", "type": "good"}, {"_id": "g"}]})
    error(reply, 403, "forbidden")
    assert db.get("f").status == db.get("e").status == 404
    refused(db.put("att/x", b"bytes", headers={"Content-Type": "text/plain"}))
    refused(server.request("COPY", db.path + "/old", headers={"Destination": "copy"}))
    assert server.request("COPY", db.path + "/a", headers={"Destination": "copy"}).status == 201
    # a document that was there before the rule: any change must be valid
    rev = db.get("old").json()["_rev"]
    refused(db.put("old", {"_rev": rev, "type": "worse"}))
    refused(db.put("old/x?rev=" + rev, b"1", headers={"Content-Type": "text/plain"}))
    refused(db.delete("old?rev=" + rev))
    assert db.put("old", {"_rev": rev, "type": "good"}).status == 201
    # neither local nor design documents are asked about
    assert db.put("_local/x", {"type": "bad"}).status == 201
    assert db.put("_design/other", {"type": "bad"}).status == 201


def test_what_the_selector_sees(db):
    rules(
        db,
        {
            "$or": [
                {"newDoc._deleted": True},
                {"oldDoc": None, "newDoc.v": 1},
                {"oldDoc.v": {"$gte": 1}, "newDoc.v": {"$gte": 2}, "newDoc._id": {"$exists": True}},
            ]
        },
    )
    refused(db.put("a", {"v": 2}))
    rev = db.save("a", {"v": 1})
    refused(db.put("a", {"_rev": rev, "v": 1}))
    rev = db.save("a", {"_rev": rev, "v": 2})
    # replicated: the nearest ancestor that is here is the old one
    rows = db.bulk(
        [{"_id": "a", "v": 1, "_revisions": {"start": 4, "ids": ["e", "d", rev[2:]]}}],
        new_edits=False,
    )
    assert rows[0]["error"] == "forbidden"
    db.graft({"_id": "a", "v": 9, "_revisions": {"start": 4, "ids": ["d", "c", rev[2:]]}})
    # what is here already is not asked about again
    db.graft({"_id": "a", "v": 0, "_revisions": {"start": 4, "ids": ["d", "c", rev[2:]]}})
    now = db.get("a").json()
    assert now["v"] == 9
    assert db.delete("a?rev=" + now["_rev"]).status == 200
    # over a tombstone it is a new document
    refused(db.put("a", {"v": 2}))
    assert db.put("a", {"v": 1}).status == 201


def test_all_rules_hold_and_come_and_go(db):
    first = rules(db, {"newDoc.a": 1}, "_design/1")
    rules(db, {"newDoc.b": 1}, "_design/2")
    db.save("_design/js", {"validate_doc_update": "function () { throw({forbidden: 1}); }"})
    refused(db.put("x", {"a": 1}))
    refused(db.put("x", {"b": 1}))
    assert db.put("x", {"a": 1, "b": 1}).status == 201
    assert db.delete("_design/1?rev=" + first).status == 200
    assert db.put("y", {"b": 1}).status == 201
    rev = db.get("_design/2").json()["_rev"]
    db.save("_design/2", {"_rev": rev, "language": "query", "validate_doc_update": {}})
    assert db.put("z", {}).status == 201


@pytest.mark.parametrize("bad", ["function (doc) {}", 5, [], {"$no": 1}, {"$and": 5}])
def test_what_is_no_selector(db, bad):
    error(
        db.put("_design/r", {"language": "query", "validate_doc_update": bad}),
        400,
        "invalid_design_doc",
    )
    # a replicator brings it all the same; then nothing passes until it is gone
    db.graft({"_id": "_design/r", "_rev": "1-a", "language": "query", "validate_doc_update": bad})
    error(db.put("x", {}), 403, "forbidden")
    assert db.delete("_design/r?rev=1-a").status == 200
    assert db.put("x", {}).status == 201


def test_a_dropped_database_takes_its_rules_along(server, db):
    rules(db, {"newDoc.a": 1})
    refused(db.put("x", {}))
    assert db.delete("").status == 200
    assert server.put(db.path).status == 201
    assert db.put("x", {}).status == 201


def test_who_writes():
    with Server() as server:
        make_users_db(server)
        make_user(server, "ann", "pw", ["staff"])
        assert server.put("/d").status == 201
        assert server.put("/d/_security", {"members": {"names": ["ann"]}}).status == 200
        sel = {"userCtx.roles": {"$elemMatch": {"$eq": "staff"}}, "secObj.members.names.0": "ann"}
        ddoc = {"language": "query", "validate_doc_update": sel}
        assert server.put("/d/_design/r", ddoc).status == 201
        assert server.put("/d/x", {}, headers=basic("ann", "pw"), auth=False).status == 201
        refused(server.put("/d/y", {}))


def test_replication_into_it(db):
    with Server() as source:
        assert source.put("/s").status == 201
        for i in range(10):
            assert source.put("/s/d%d" % i, {"even": i % 2 == 0}).status == 201
        rules(db, {"newDoc.even": True})
        url = "http://127.0.0.1:%d/s" % source.port
        auth = {"basic": {"username": "admin", "password": PASSWORD}}
        reply = db.server.post(
            "/_replicate", {"source": {"url": url, "auth": auth}, "target": db.name}
        )
        assert reply.status == 200, reply
        session = reply.json()["history"][0]
        assert session["docs_written"] == 5 and session["doc_write_failures"] == 5
        assert len(db.rows('_all_docs?endkey="e"&startkey="d"')) == 5
