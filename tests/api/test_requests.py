"""Details of requests that hold for many endpoints (couchdb-surface A.0, A.7)."""

import json
import re

import pytest
from support.check import error


def test_batch_ok(db):
    reply = db.put("a?batch=ok", {"v": 1})
    assert reply.status == 202
    assert reply.json() == {"ok": True, "id": "a"}
    assert db.get("a").json()["v"] == 1  # it is written all the same, and at once
    reply = db.post("?batch=ok", {"v": 2})
    assert reply.status == 202 and set(reply.json()) == {"ok", "id"}
    assert not {"etag", "location"} & set(reply.headers)
    error(db.put("a?batch=ok", {"v": 1}), 409, "conflict")
    assert db.put("b?batch=no", {}).status == 201


def test_quorum_parameters_do_nothing(db):
    assert db.put("a?w=3", {}).status == 201
    assert db.get("a?r=2").status == 200
    assert db.post("_bulk_docs?w=1", {"docs": [{"_id": "b"}]}).status == 201
    assert db.get("?q=1&n=3").status == 200


def test_buffer_response(db):
    docs = [{"_id": "%05d" % i, "pad": "x" * 100} for i in range(3000)]
    db.bulk(docs)
    for path in ("_all_docs?include_docs=true", "_changes?include_docs=true"):
        plain = db.get(path)
        whole = db.get(path + "&buffer_response=true")
        assert "content-length" not in plain.headers
        assert int(whole.headers["content-length"]) == len(whole.body)
        assert whole.json() == plain.json()
    assert "content-length" not in db.get("_all_docs?buffer_response=1").headers


def test_a_tag_of_the_whole(db):
    db.save("a", {})
    for path in ("_all_docs", "_changes", "_all_docs?include_docs=true", "_design_docs"):
        reply = db.get(path)
        tag = reply.headers["etag"]
        same = db.get(path, headers={"If-None-Match": tag})
        assert same.status == 304 and same.body == b"" and same.headers["etag"] == tag
        assert db.head(path, headers={"If-None-Match": tag}).status == 304
        db.save("x" + path.replace("?", "-").replace("_", ""), {})
        again = db.get(path, headers={"If-None-Match": tag})
        assert again.status == 200 and again.headers["etag"] != tag
    assert "etag" not in db.get("_changes?feed=longpoll&limit=1").headers
    assert "etag" not in db.post("_all_docs", {}).headers


def test_a_dropped_database_has_other_tags(server, db):
    db.save("a", {})
    tag = db.get("_all_docs").headers["etag"]
    db.delete("")
    server.put(db.path)
    db.save("b", {})
    assert db.get("_all_docs", headers={"If-None-Match": tag}).status == 200


def test_prefer_minimal(db):
    db.save("a", {})
    got = db.get("a", headers={"Prefer": "return=minimal"}).headers
    assert not [name for name in got if name.startswith("x-couch")]
    assert got["etag"] and got["content-type"] == "application/json"
    assert "location" not in db.put("b", {}, headers={"Prefer": "return=minimal"}).headers
    assert "x-couch-request-id" in db.get("a").headers


def test_all_or_nothing_is_not_taken_for_less(db):
    body = {"all_or_nothing": True, "docs": [{"_id": "a"}]}
    error(db.post("_bulk_docs", body), 501, "not_implemented")
    assert db.get("a").status == 404
    assert db.post("_bulk_docs", dict(body, all_or_nothing=False)).status == 201


def test_below_design_documents(db):
    js = {"views": {"v": {"map": "function (doc) {}"}}, "filters": {"f": "function () {}"}}
    for path in ("_view/v", "_info", "_show/s", "_search/x", "_nouveau/x", "_rewrite/y"):
        error(db.get("_design/none/" + path), 404, "not_found")
    location = db.put("_design/a", js).headers["location"]
    assert location == db.path + "/_design/a"
    error(db.get("_design/a/_view/v"), 501, "not_implemented")
    error(db.get("_design/a/_view/v?key=1"), 501, "not_implemented")
    error(db.post("_design/a/_view/v/queries", {"queries": []}), 501, "not_implemented")
    assert error(db.get("_design/a/_view/w"), 404, "not_found") == "missing_named_view"
    for path in ("_show/s", "_list/l/v", "_search/x", "_nouveau/x", "_rewrite/y"):
        error(db.get("_design/a/" + path), 501, "not_implemented")
    error(db.put("_design/a/_update/u", {}), 501, "not_implemented")
    info = db.get("_design/a/_info").json()
    assert info["name"] == "a" and info["view_index"]["language"] == "javascript"
    assert info["view_index"]["updates_pending"]["total"] == 0
    assert len(info["view_index"]["signature"]) == 32
    error(db.get("plain/_info"), 404, "not_found")
    rev = db.get("_design/a").json()["_rev"]
    db.delete("_design/a?rev=" + rev)
    assert error(db.get("_design/a/_info"), 404, "not_found") == "deleted"


@pytest.mark.parametrize("path", ["", "_all_docs", "_changes", "_security", "_revs_limit", "a"])
def test_head_and_trailing_slash(db, path):
    db.save("a", {"v": 1})
    got = db.get(path)
    head = db.head(path)
    assert head.status == 200 and head.body == b""
    length = int(head.headers["content-length"])
    again = db.get(path + "/")
    if path == "":  # the index may grow meanwhile
        sizes = re.compile(rb'"file":[0-9]+,')
        assert sizes.sub(b"", again.body) == sizes.sub(b"", got.body)
        assert abs(length - len(got.body)) < 8
    else:
        assert again.body == got.body
        assert length == len(got.body)


def test_method_override(db):
    db.save("a", {})
    rev = db.get("a").json()["_rev"]
    post = {"X-HTTP-Method-Override": "GET"}
    assert db.post("a", {}, headers=post).json()["_id"] == "a"
    assert db.post("b", {"v": 1}, headers={"X-HTTP-Method-Override": "PUT"}).status == 201
    both = {"X-HTTP-Method-Override": "COPY", "Destination": "c"}
    assert db.post("a", {}, headers=both).status == 201
    gone = db.post("a?rev=" + rev, {}, headers={"X-HTTP-Method-Override": "DELETE"})
    assert gone.status == 200
    # only of POST
    assert db.get("b", headers={"X-HTTP-Method-Override": "DELETE"}).json()["_id"] == "b"
    assert json.loads(db.get("b").body)["v"] == 1


def test_reasons_are_utf8(server, db):
    for path in ("/a%FFb", "/%E4", "/%s/_all_docs?limit=%%ff%%fe" % db.name):
        reply = server.put(path) if "?" not in path else server.get(path)
        assert reply.status == 400
        assert "\ufffd" in reply.body.decode("utf-8")
    # cut within a character
    reply = server.get("/%s/_all_docs?limit=%s" % (db.name, "a" + "%C3%A9" * 100))
    assert error(reply, 400, "query_parse_error") and reply.body.decode("utf-8")
