"""Single documents: reading, writing, conflicts, revisions, fidelity of what is stored."""

import json
import re
import socket
import time

import pytest
from support.check import error
from support.server import query, quote


def test_put_get_delete(db):
    reply = db.put("a", {"x": 1})
    assert reply.status == 201
    body = reply.json()
    assert list(body) == ["ok", "id", "rev"]
    assert body["ok"] is True and body["id"] == "a"
    assert reply.headers["etag"].strip('"') == body["rev"]
    assert reply.headers["location"].endswith(db.path + "/a")
    got = db.get("a")
    assert got.body.rstrip(b"\n") == b'{"_id":"a","_rev":"%s","x":1}' % body["rev"].encode()
    assert got.headers["etag"] == '"%s"' % body["rev"]
    gone = db.delete("a?rev=" + body["rev"])
    assert gone.status == 200
    assert gone.json()["rev"].startswith("2-")
    assert error(db.get("a"), 404, "not_found") == "deleted"
    assert error(db.get("never"), 404, "not_found") == "missing"


def test_well_known_revision(db):
    """The same edit gives the same revision as on CouchDB: nothing conflicts later."""
    assert db.save("a", {}) == "1-967a00dff5e02add41819138abb3284d"
    assert db.save("b", {}) == "1-967a00dff5e02add41819138abb3284d"


def test_revisions_depend_on_content_only(server, db):
    server.put("/other")
    try:
        for doc in ({"a": [1, 2.5, None]}, {"a": [1, 2, 3]}, {"b": {"c": "\u00fc"}}, {"n": 300}):
            one = db.post("", doc).json()
            two = server.put("/other/" + one["id"], doc).json()
            assert one["rev"] == two["rev"]
        assert db.save("p", {"a": 1}) != db.save("q", {"a": 2})
    finally:
        server.delete("/other")


def test_post_makes_an_id(db):
    reply = db.post("", {"x": 1})
    assert reply.status == 201
    body = reply.json()
    assert re.fullmatch("[0-9a-f]{32}", body["id"])
    assert db.get(body["id"]).json()["x"] == 1
    named = db.post("", {"_id": "mine", "x": 2})
    assert named.json()["id"] == "mine"
    error(db.post("", {"_id": "mine"}), 409, "conflict")


def test_url_id_wins(db):
    db.save("a", {"_id": "b", "x": 1})
    assert db.get("a").json()["_id"] == "a"
    assert db.get("b").status == 404


def test_conflicts_are_refused(db):
    first = db.save("a", {"v": 1})
    assert error(db.put("a", {"v": 2}), 409, "conflict") == "Document update conflict."
    second = db.save("a", {"v": 2, "_rev": first})
    error(db.put("a", {"v": 3, "_rev": first}), 409, "conflict")
    error(db.put("a?rev=" + first, {"v": 3}), 409, "conflict")
    error(db.put("a", {"v": 3}, headers={"If-Match": first}), 409, "conflict")
    third = db.put("a", {"v": 3}, headers={"If-Match": '"%s"' % second}).json()["rev"]
    fourth = db.put("a?rev=" + third, {"v": 4}).json()["rev"]
    error(db.put("new", {"_rev": fourth}), 409, "conflict")
    error(db.delete("a"), 409, "conflict")
    error(db.delete("a?rev=" + first), 409, "conflict")
    error(db.delete("never"), 404, "not_found")
    assert db.delete("a", headers={"If-Match": fourth}).status == 200
    error(db.delete("a?rev=" + fourth), 404)


def test_different_revisions_in_one_request(db):
    rev = db.save("a", {})
    reply = db.put("a?rev=" + rev, {"_rev": "1-abc"})
    reason = error(reply, 400, "bad_request")
    assert reason == "Document rev from request body and query string have different values"


@pytest.mark.parametrize("rev", ["x", "1", "-", "a-b", "", "1-" + "z" * 32, "-1-a", "1.5-a"])
def test_bad_revisions(db, rev):
    db.save("a", {})
    if rev:
        assert error(db.get("a?rev=" + rev), 400, "bad_request") == "Invalid rev format"
    assert error(db.put("a", {"_rev": rev}), 400, "bad_request") == "Invalid rev format"


def test_recreate(db):
    one = db.save("a", {"v": 1})
    two = db.delete("a?rev=" + one).json()["rev"]
    three = db.save("a", {"v": 3})
    assert three.startswith("3-")
    revisions = db.get("a?revs=true").json()["_revisions"]
    assert revisions == {"start": 3, "ids": [r.split("-")[1] for r in (three, two, one)]}
    error(db.put("a", {"_rev": one}), 409, "conflict")


def test_recreating_twice_the_same(db):
    revs = set()
    for _ in range(4):
        rev = db.save("a", {"same": True})
        revs.add(rev)
        gone = db.delete("a?rev=" + rev)
        revs.add(gone.json()["rev"])
    assert len(revs) == 8


def test_tombstones_keep_their_body(db):
    rev = db.save("a", {"v": 1})
    dead = db.save("a", {"_rev": rev, "_deleted": True, "why": "gone"})
    assert error(db.get("a"), 404, "not_found") == "deleted"
    got = db.get("a?rev=" + dead).json()
    assert got == {"_id": "a", "_rev": dead, "_deleted": True, "why": "gone"}
    assert db.get().json()["doc_del_count"] == 1
    error(db.put("a", {"_deleted": "yes"}), 400, "doc_validation")


def test_old_revisions_are_readable(db):
    one = db.save("a", {"v": 1})
    two = db.save("a", {"v": 2, "_rev": one})
    assert db.get("a?rev=" + one).json() == {"_id": "a", "_rev": one, "v": 1}
    assert db.get("a?rev=" + two).json()["v"] == 2
    assert error(db.get("a?rev=9-abc"), 404, "not_found") == "missing"
    got = db.get("a?revs=true").json()
    assert got["_revisions"] == {"start": 2, "ids": [two[2:], one[2:]]}
    got = db.get("a?revs_info=true").json()
    assert got["_revs_info"] == [
        {"rev": two, "status": "available"},
        {"rev": one, "status": "available"},
    ]


def conflicted(db):
    """A document with leaves 2-c (wins), 2-b, and the deleted 3-d."""
    for ids, more in (
        (["b", "a"], {"v": "b"}),
        (["c", "a"], {"v": "c"}),
        (["d", "x", "a"], {"v": "d", "_deleted": True}),
    ):
        db.graft(dict(_id="a", _revisions={"start": len(ids), "ids": ids}, **more))


def test_winner_and_conflicts(db):
    conflicted(db)
    got = db.get("a?conflicts=true&deleted_conflicts=true").json()
    assert got["_rev"] == "2-c"
    assert got["_conflicts"] == ["2-b"]
    assert got["_deleted_conflicts"] == ["3-d"]
    plain = db.get("a").json()
    assert plain == {"_id": "a", "_rev": "2-c", "v": "c"}
    meta = db.get("a?meta=true").json()
    assert meta["_conflicts"] == ["2-b"] and "_revs_info" in meta
    assert "_conflicts" not in db.get("a?rev=2-b").json()
    db.save("lonely", {})
    assert "_conflicts" not in db.get("lonely?conflicts=true").json()


def test_resolving_a_conflict(db):
    conflicted(db)
    reply = db.put("a", {"_rev": "2-b", "v": "b3"})
    assert reply.status == 201 and reply.json()["rev"].startswith("3-")
    assert db.get("a").json()["v"] == "b3"
    assert db.delete("a?rev=2-c").status == 200
    got = db.get("a?conflicts=true").json()
    assert got["v"] == "b3" and "_conflicts" not in got


def test_deleting_the_winner_shows_the_next(db):
    conflicted(db)
    assert db.delete("a?rev=2-c").status == 200
    assert db.get("a").json()["_rev"] == "2-b"
    assert db.get().json()["doc_count"] == 1
    assert db.delete("a?rev=2-b").status == 200
    assert error(db.get("a"), 404) == "deleted"
    assert db.get().json()["doc_del_count"] == 1


def leaf_list(reply):
    assert reply.status == 200, reply
    return sorted(e["ok"]["_rev"] if "ok" in e else "?" + e["missing"] for e in reply.json())


def test_open_revs(db):
    conflicted(db)
    assert leaf_list(db.get("a?open_revs=all")) == ["2-b", "2-c", "3-d"]
    dead = [e["ok"] for e in db.get("a?open_revs=all").json() if e["ok"]["_rev"] == "3-d"]
    assert dead == [{"_id": "a", "_rev": "3-d", "_deleted": True, "v": "d"}]
    some = query(open_revs=["2-b", "7-nope"])
    assert leaf_list(db.get("a" + some)) == ["2-b", "?7-nope"]
    with_revs = db.get("a" + query(open_revs=["3-d"], revs=True)).json()
    assert with_revs[0]["ok"]["_revisions"] == {"start": 3, "ids": ["d", "x", "a"]}
    error(db.get("never?open_revs=all"), 404, "not_found")
    assert db.get("never" + query(open_revs=["1-a"])).json() == [{"missing": "1-a"}]
    error(db.get("a?open_revs=nonsense"), 400)
    error(db.get("a?open_revs=%5B%22x%22%5D"), 400)


def test_open_revs_that_are_no_list(db):
    db.save("a", {"v": 1})
    for bad in ("{}", "null", "1", '"all"'):
        assert error(db.get("a?open_revs=" + quote(bad)), 400) == "Invalid list of revisions"
    assert db.get("a?open_revs=[]").json()["v"] == 1  # as if it was not asked for
    assert db.get("b?open_revs=[]").status == 404
    assert error(db.get("a?atts_since=null"), 400) == "Invalid list of revisions"
    for bad in ("open_revs=x", "open_revs=", "atts_since=%5B"):
        assert error(db.get("a?" + bad), 400, "bad_request").startswith("invalid UTF-8 JSON")


def test_open_revs_latest(db):
    conflicted(db)
    assert leaf_list(db.get("a" + query(open_revs=["1-a"], latest=True))) == ["2-b", "2-c", "3-d"]
    assert leaf_list(db.get("a" + query(open_revs=["2-x", "2-c"], latest=True))) == ["2-c", "3-d"]
    assert leaf_list(db.get("a" + query(open_revs=["1-a", "2-b"], latest=True))) == [
        "2-b",
        "2-c",
        "3-d",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "-0.0",
        "1e2",
        "1E+2",
        "12345678901234567890",
        "123456789012345678901234567890.123",
        "1e400",
        "-1e-400",
        "0.1",
        "9223372036854775808",
        "100000000000000000000000",
    ],
)
def test_numbers_keep_their_digits(db, text):
    assert db.put("n", b'{"v":%s,"a":[%s]}' % (text.encode(), text.encode())).status == 201
    assert b'"v":%s,"a":[%s]}' % (text.encode(), text.encode()) in db.get("n").body
    rows = db.get("_all_docs?include_docs=true").body
    assert b'"v":%s,' % text.encode() in rows


def test_strings_keep_their_characters(db):
    values = [
        "\u0000",
        "a\u0000b",
        "\u0001\u001f\u007f",
        "\U0001f600",
        "\u2028\u2029",
        'q"\\/',
        "\r\n\t\b\f",
        "\ufeff\uffff\ufffe",
        "e\u0301",
        "",
    ]
    for i, value in enumerate(values):
        for ascii_only in (True, False):
            doc_id = "s%d%s" % (i, ascii_only)
            text = json.dumps({"v": value, value: [value]}, ensure_ascii=ascii_only)
            if value == "":
                text = '{"v":"","":[""]}'
            assert db.put(doc_id, text).status == 201, (value, ascii_only)
            got = db.get(doc_id).json()
            assert got["v"] == value and got[value] == [value], value


def test_member_order_is_kept(db):
    text = b'{"z":1,"a":{"y":2,"b":3,"0":4},"m":[{"q":1,"c":2}],"10":5,"9":6}'
    db.put("o", text)
    assert db.get("o").body.rstrip().endswith(text[1:])


def test_duplicate_members_last_wins(db):
    assert db.put("d", b'{"a":1,"b":2,"a":3,"o":{"x":1,"x":2}}').status == 201
    body = db.get("d").body
    assert body.count(b'"a":') == 1 and body.count(b'"x":') == 1
    got = db.get("d").json()
    assert got["a"] == 3 and got["b"] == 2 and got["o"] == {"x": 2}
    # An escaped spelling is the same name.
    assert db.put("e", b'{"a":1,"\\u0061":2}').status == 201
    body = db.get("e").json()
    assert body["a"] == 2
    assert b"\\u0061" not in db.get("e").body or db.get("e").body.count(b":2") == 1
    # The last one's place counts as well: this is the revision that CouchDB gives.
    reply = db.put("f", b'{"a":{"b":1,"b":2},"c":1,"a":3}')
    assert reply.json()["rev"] == "1-2324facc4d2d372f98de87e53dc6d43b"
    assert db.get("f").body.endswith(b'"c":1,"a":3}\n')


def test_many_duplicate_members(db):
    names = ["n%d" % (i % 1000) for i in range(100000)]
    text = ",".join('"%s":%d' % (name, i) for i, name in enumerate(names))
    assert db.put("d", ("{" + text + "}").encode()).status == 201
    got = db.get("d").json()
    assert list(got)[2:] == names[-1000:]
    assert got["n0"] == 99000 and got["n999"] == 99999


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xf5\x80\x80\x80"}',
        b'{"a":"\xe2\x82"}',
        b'{"a":"x\ny"}',
        b'{"a":01}',
        b'{"a":1,}',
        b'{"a":.5}',
        b'{"a":NaN}',
        b'{"a":+1}',
        b"{'a':1}",
        b'{"a":1} x',
        b'{"a":1}{}',
        b'{"a"',
        b"",
        b" ",
        b"\xef\xbb\xbf",
        b'{"a":"\\x"}',
        b'{"a":"\\u12g4"}',
        b'{"a":tru}',
        b"// c\n{}",
        b"/* c */{}",
    ],
)
def test_bad_json(db, text):
    error(db.put("bad", text), 400)
    assert db.get("bad").status == 404


@pytest.mark.parametrize("text", ["[]", "1", '"x"', "null", "true", "[{}]"])
def test_documents_are_objects(db, text):
    error(db.put("x", text), 400)
    error(db.post("", text), 400)


def nested(depth):
    return b'{"a":' + b"[" * depth + b"]" * depth + b"}"


def test_depth_is_bounded(db):
    assert db.put("ok", nested(60)).status == 201
    assert db.get("ok").status == 200
    for depth in (5000, 200000):
        error(db.put("deep", nested(depth)), 400)
        error(db.put("deep", b'{"a":' * depth + b"1" + b"}" * depth), 400)
        error(db.put("deep", b"[" * depth), 400)


def test_reserved_members(db):
    reason = error(db.put("a", {"_x": 1}), 400, "doc_validation")
    assert reason == "Bad special document member: _x"
    for name in ("_revs_info", "_local_seq", "_conflicts", "_deleted_conflicts"):
        rev = db.save("b" + name, {name: [], "v": 1})
        assert db.get("b" + name).json() == {"_id": "b" + name, "_rev": rev, "v": 1}
    db.save("c", {"nested": {"_x": 1}})
    assert db.get("c").json()["nested"] == {"_x": 1}


def test_reserved_ids(db):
    reason = error(db.put("_x", {}), 400, "illegal_docid")
    assert reason == "Only reserved document ids may start with underscore."
    error(db.post("", {"_id": "_x"}), 400, "illegal_docid")
    assert error(db.post("", {"_id": ""}), 400, "illegal_docid") == "Document id must not be empty"
    assert (
        error(db.post("", {"_id": 7}), 400, "illegal_docid") == "Document id must be a string"
    )
    for doc_id in ("__proto__", "constructor", "toString"):
        if not doc_id.startswith("_"):
            db.save(doc_id, {"v": 1})
            assert db.get(doc_id).json()["v"] == 1


def test_design_documents(db):
    rev = db.put("_design/x", {"language": "query"}).json()["rev"]
    assert db.get("_design/x").json()["_id"] == "_design/x"
    assert db.put("_design%2Fy", {"a": 1}).status == 201
    assert db.get("_design/y").json()["a"] == 1
    assert db.delete("_design/x?rev=" + rev).status == 200
    assert db.get("_design/x").status == 404


def test_readers_of_an_escaped_design_document_are_moved(db):
    """As CouchDB does it: the rest of the target stays as it is; writers are served."""
    rev = db.put("_design/x%2Fy", {"language": "query"}).json()["rev"]
    for given, wanted in [
        ("_design%2Fx", "_design/x"),
        ("_design%2fx%2Fy?revs=true&x=%2F", "_design/x%2Fy?revs=true&x=%2F"),
        ("_design%2Fx/att%20a/b", "_design/x/att%20a/b"),
        ("_design%2Fx/_view/v?key=1", "_design/x/_view/v?key=1"),
    ]:
        for reply in (db.get(given), db.head(given)):
            assert reply.status == 301 and reply.body == b""
            assert reply.headers["location"] == db.path + "/" + wanted
    assert db.get("_local%2Fx").status == 404
    assert db.get("_design%2F").status in (400, 404)
    assert db.put("_design%2Fx", {}).status == 201
    assert db.delete("_design%2Fx%2Fy?rev=" + rev).status == 200


def test_flags_that_are_not_true_are_ignored(db):
    """CouchDB looks for "true" and nothing else, of documents and of _changes."""
    rev = db.save("a", {"v": 1})
    for name in ("revs", "revs_info", "conflicts", "local_seq", "attachments", "latest", "meta"):
        for value in ("TRUE", "1", "x", "", "false"):
            reply = db.get("a?%s=%s" % (name, value))
            assert reply.json() == {"_id": "a", "_rev": rev, "v": 1}, reply
            assert "etag" in reply.headers
    assert "doc" not in db.get("_changes?include_docs=TRUE").json()["results"][0]
    assert "doc" in db.get("_all_docs?include_docs=TRUE").json()["rows"][0]
    error(db.put("a?new_edits=FALSE", {"_rev": "3-abc"}), 409, "conflict")
    assert db.put("a?new_edits=false", {"_rev": "3-abc"}).status == 201


def test_an_empty_rev_is_none(db):
    rev = db.save("a", {})
    for reply in (
        db.get("a?rev="),
        db.put("a?rev=", {}),
        db.put("new?rev=", {}),
        db.delete("a?rev="),
        db.put("a/att?rev=", b"x"),
        db.delete("a/att?rev="),
    ):
        assert error(reply, 400, "bad_request") == "Invalid rev format"
    assert db.get("a").json()["_rev"] == rev


def test_etag(db):
    rev = db.save("a", {"v": 1})
    tag = '"%s"' % rev
    reply = db.get("a", headers={"If-None-Match": tag})
    assert reply.status == 304 and reply.body == b""
    assert db.get("a", headers={"If-None-Match": "W/" + tag}).status == 304
    assert db.get("a", headers={"If-None-Match": '"1-other"'}).status == 200
    # What the revision decides alone has its tag too; what others change has none.
    for path in ("a?revs=true", "a?rev=" + rev, "a?attachments=true", "a?latest=true"):
        assert db.get(path).headers["etag"] == tag
        assert db.get(path, headers={"If-None-Match": tag}).status == 304
    for path in ("a?meta=true", "a?conflicts=true", "a?local_seq=true", "a?open_revs=all"):
        assert "etag" not in db.get(path).headers
        assert db.get(path, headers={"If-None-Match": tag}).status == 200
    db.save("a", {"v": 2, "_rev": rev})
    assert db.get("a", headers={"If-None-Match": tag}).status == 200


def test_status_of_a_tombstone(db):
    reply = db.put("a", {"_deleted": True, "v": 1})
    assert reply.status == 200 and reply.json()["rev"].startswith("1-")
    assert db.post("", {"_id": "b", "_deleted": True}).status == 201
    assert db.put("c?new_edits=false", {"_deleted": True, "_rev": "2-x"}).status == 200


def test_post_has_no_revision_of_its_own(db):
    reply = db.post("?rev=1-abc", {"_id": "a"}, headers={"If-Match": "1-abc"})
    assert reply.status == 201 and reply.json()["rev"].startswith("1-")


@pytest.mark.parametrize("accept", [None, "*/*", "text/html", "x", "application/json;q=0"])
def test_json_whatever_is_accepted(db, accept):
    db.save("a", {})
    for path in ("a", "nope", "_all_docs", "a?rev=x"):
        reply = db.get(path, headers={"Accept": accept})
        assert reply.headers["content-type"] == "application/json"


def test_local_documents(db):
    reply = db.put("_local/ck", {"v": 1})
    assert reply.status == 201
    assert reply.json() == {"ok": True, "id": "_local/ck", "rev": "0-1"}
    assert db.get("_local/ck").json() == {"_id": "_local/ck", "_rev": "0-1", "v": 1}
    assert db.put("_local/ck", {"v": 2, "_rev": "0-1"}).json()["rev"] == "0-2"
    assert "_revisions" not in db.get("_local/ck?revs=true").json()
    assert db.get("_local%2Fck").json()["v"] == 2
    assert error(db.put("_local/ck", {"_rev": "x"}), 400) == "Invalid rev format"
    gone = db.delete("_local/ck?rev=0-2")
    assert gone.status == 200 and gone.json()["rev"] == "0-0"
    error(db.get("_local/ck"), 404, "not_found")
    error(db.delete("_local/never?rev=0-1"), 404)


def test_local_documents_stay_local(db):
    name = "_local/" + quote("a.b_c+d==/e")
    assert db.put(name, {"history": [{"n": i} for i in range(500)]}).status == 201
    assert len(db.get(name).json()["history"]) == 500
    assert db.rows("_all_docs") == []
    assert db.changes()["results"] == []
    assert db.get().json()["doc_count"] == 0


def test_local_docs_by_bulk(db):
    rows = db.bulk([{"_id": "_local/b", "v": 1}])
    assert rows[0]["rev"] == "0-1"
    assert db.get("_local/b").json()["v"] == 1


def test_large_document(db):
    rev = db.save("big", {"v": "x" * 5_000_000})
    got = db.get("big").json()
    assert got["_rev"] == rev and len(got["v"]) == 5_000_000
    reply = db.put("huge", {"v": "x" * 8_100_000})
    error(reply, 413, "document_too_large")


def test_long_ids(db):
    doc_id = "x" * 1000
    db.save(doc_id, {"v": 1})
    assert db.get(doc_id).json()["v"] == 1


def test_deep_history(db):
    rev = db.save("a", {"n": 0})
    for n in range(1, 120):
        rev = db.save("a", {"n": n, "_rev": rev})
    got = db.get("a?revs=true").json()
    assert got["_revisions"]["start"] == 120
    assert len(got["_revisions"]["ids"]) == 120
    assert len(db.changes()["results"]) == 1


def test_new_edits_false_by_put(db):
    reply = db.put("a?new_edits=false", {"_rev": "3-abc", "v": 1})
    assert reply.status == 201
    assert db.get("a").json()["_rev"] == "3-abc"
    # Again is no error and no new sequence.
    before = db.changes()["last_seq"]
    assert db.put("a?new_edits=false", {"_rev": "3-abc", "v": 1}).status == 201
    assert db.changes()["last_seq"] == before


def test_small_large_and_odd_reads(server, db):
    """Small documents are answered where the request was read, the rest by workers: no difference."""
    docs = {"small": "x", "large": "x" * 300_000}
    for name, text in docs.items():
        rev = db.save(name, {"text": text})
        tag = {"If-None-Match": '"%s"' % rev}
        for asked in (name, name + "?rev=" + rev, "%" + "%02x" % ord(name[0]) + name[1:]):
            assert db.get(asked).json() == {"_id": name, "_rev": rev, "text": text}
            head = db.head(asked)
            assert head.status == 200 and head.body == b""
            assert int(head.headers["content-length"]) > len(text)
            assert db.get(asked, headers=tag).status == 304
        assert db.get(name + "?revs=true").json()["_revisions"]["start"] == 1
        assert [row["ok"]["_rev"] for row in db.get(name + "?open_revs=all").json()] == [rev]
        error(server.get(db.path + "/" + name, auth=False), 401, "unauthorized")
        error(server.get("/nosuch/" + name), 404, "not_found")
    assert db.get("%5Fall_docs").json() == db.get("_all_docs").json()
    assert db.get("%5Fdesign_docs").json()["rows"] == []
    assert server.get("/_node/_local").status == 200
    assert server.get("/%5Fnode/_local").status == 200
    error(db.get("small?rev=2-x"), 404, "not_found")
    error(db.get("small?rev=x"), 400, "bad_request")


def test_reads_in_a_row(server, db):
    """Requests that arrive together on one connection, of both kinds, are answered in order."""
    db.save("small", {})
    db.save("large", {"text": "x" * 100_000})
    names = ["small", "large", "nosuch", "_all_docs", "small", "_design/x", "large", "small"]
    head = "HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n" % server.auth_header()
    asked = ["GET %s/%s %sConnection: %%s\r\n\r\n" % (db.path, name, head) for name in names]
    last = len(asked) - 1
    sent = "".join(text % ("close" if i == last else "keep-alive") for i, text in enumerate(asked))
    with socket.create_connection(("127.0.0.1", server.port), 30) as conn:
        conn.sendall(sent.encode())
        with conn.makefile("rb") as answers:
            got = answers.read()
    codes = [int(code) for code in re.findall(rb"HTTP/1.1 (\d+)", got)]
    assert codes == [200, 200, 404, 200, 200, 404, 200, 200]
    assert got.count(b'"_id":"small"') == 3 and got.count(b'"_id":"large"') == 2


@pytest.mark.parametrize("asked", ["large", "large?revs=true"])
def test_slow_reader(server, db, asked):
    """A client may take its time with the answer: longer than a body may dribble."""
    db.save("large", {"text": "x" * 7_000_000})
    head = "GET %s/%s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nConnection: close\r\n\r\n"
    with socket.socket() as conn:
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.settimeout(60)
        conn.connect(("127.0.0.1", server.port))
        conn.sendall((head % (db.path, asked, server.auth_header())).encode())
        time.sleep(12)  # LIMIT_BODY_GRACE_US, and the look after it
        with conn.makefile("rb") as answer:
            got = answer.read()
    assert got.startswith(b"HTTP/1.1 200") and got.rstrip().endswith(b"}")
    assert len(got) > 7_000_000
