"""Attachments: inline, standalone, stubs, digests, caching."""

import base64
import gzip
import hashlib
import os

import pytest
from support.check import error
from support.server import quote

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452")


def b64(data):
    return base64.b64encode(data).decode("ascii")


def digest(data):
    return "md5-" + b64(hashlib.md5(data).digest())


def inline(data, kind="text/plain"):
    return {"content_type": kind, "data": b64(data)}


def test_inline(db):
    rev = db.save("a", {"v": 1, "_attachments": {"t": inline(b"hello"), "e": inline(b"")}})
    stubs = db.get("a").json()["_attachments"]
    assert stubs["t"] == {
        "content_type": "text/plain",
        "revpos": 1,
        "digest": digest(b"hello"),
        "length": 5,
        "stub": True,
    }
    assert stubs["e"]["length"] == 0 and stubs["e"]["digest"] == digest(b"")
    full = db.get("a?attachments=true").json()
    assert full["_rev"] == rev and full["v"] == 1
    assert full["_attachments"]["t"] == {
        "content_type": "text/plain",
        "revpos": 1,
        "digest": digest(b"hello"),
        "data": b64(b"hello"),
    }


def test_standalone(db):
    headers = {"Content-Type": "image/png"}
    reply = db.put("a/p.png", PNG, headers=headers)
    assert reply.status == 201
    assert list(reply.json()) == ["ok", "id", "rev"]
    one = reply.json()["rev"]
    got = db.get("a/p.png")
    assert got.status == 200 and got.body == PNG
    assert got.headers["content-type"] == "image/png"
    assert got.headers["etag"] == '"%s"' % digest(PNG)[4:]
    assert got.headers["content-length"] == str(len(PNG))
    error(db.put("a/p.png", b"x", headers=headers), 409, "conflict")
    two = db.put("a/p.png?rev=" + one, b"second", headers=headers).json()["rev"]
    assert db.get("a/p.png").body == b"second"
    assert db.get("a/p.png?rev=" + one).body == PNG
    assert db.get("a").json()["_attachments"]["p.png"]["revpos"] == 2
    three = db.put("a/more", b"m", headers={"Content-Type": None, "If-Match": two}).json()["rev"]
    assert db.get("a/more").headers["content-type"] == "application/octet-stream"
    error(db.delete("a/p.png"), 409, "conflict")
    reply = db.delete("a/p.png?rev=" + three)
    assert reply.status == 200
    error(db.get("a/p.png"), 404, "not_found")
    assert list(db.get("a").json()["_attachments"]) == ["more"]
    assert db.get("a/p.png?rev=" + three).body == b"second"


def test_missing(db):
    db.save("a", {})
    reason = error(db.get("a/none"), 404, "not_found")
    assert reason == "Document is missing attachment"
    error(db.get("never/none"), 404, "not_found")
    rev = db.get("a").json()["_rev"]
    reply = db.delete("a/none?rev=" + rev)
    assert reply.status in (200, 404)


def test_delete_of_what_is_not_there(db):
    rev = db.put("a/t", b"hello").json()["rev"]
    error(db.delete("a/t"), 409)
    error(db.delete("a/t?rev=1-abc"), 409)
    missing = "Document is missing attachment"
    assert error(db.delete("a/u"), 404, "not_found") == missing
    assert error(db.delete("a/u?rev=" + rev), 404, "not_found") == missing
    assert db.get("a").json()["_rev"] == rev


def test_conditional_get(db):
    db.put("a/t", b"hello", headers={"Content-Type": "text/plain"})
    tag = db.get("a/t").headers["etag"]
    reply = db.get("a/t", headers={"If-None-Match": tag})
    assert reply.status == 304 and reply.body == b""
    assert db.get("a/t", headers={"If-None-Match": '"other"'}).status == 200
    head = db.head("a/t")
    assert head.status == 200 and head.headers["content-length"] == "5" and head.body == b""


def test_who_takes_gzip(db):
    zipped = gzip.compress(b"hello" * 100)
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    assert db.put("a/t", zipped, headers=headers).status == 201
    for accept in ("gzip", "GZIP", "br, gzip;q=0.5", "*", "*;q=0.1"):
        reply = db.get("a/t", headers={"Accept-Encoding": accept})
        assert (reply.headers.get("content-encoding"), reply.body) == ("gzip", zipped), accept
    for accept in ("gzip;q=0", "x-gzip", "identity", "gzip;q=0, *", "*;q=0", "br"):
        reply = db.get("a/t", headers={"Accept-Encoding": accept})
        assert "content-encoding" not in reply.headers, accept
        assert reply.body == b"hello" * 100
    headers["Content-Encoding"] = "deflate"
    error(db.put("b/t", b"x", headers=headers), 415, "bad_content_type")


def test_ranges(db):
    db.put("a/t", b"0123456789", headers={"Content-Type": "text/plain"})
    reply = db.get("a/t", headers={"Range": "bytes=2-4"})
    assert reply.status == 206 and reply.body == b"234"
    assert reply.headers["content-range"] == "bytes 2-4/10"
    assert db.get("a/t", headers={"Range": "bytes=-3"}).body == b"789"
    reply = db.get("a/t", headers={"Range": "bytes=20-30"})
    assert reply.status == 416


def test_revpos_and_stubs(db):
    one = db.save("a", {"_attachments": {"t": inline(b"one"), "u": inline(b"u")}})
    stub = {"content_type": "text/plain", "stub": True, "revpos": 1}
    two = db.save(
        "a", {"_rev": one, "n": 2, "_attachments": {"t": stub, "u": inline(b"changed")}}
    )
    got = db.get("a").json()["_attachments"]
    assert got["t"]["revpos"] == 1 and got["t"]["digest"] == digest(b"one")
    assert got["u"]["revpos"] == 2
    assert db.get("a/t").body == b"one"
    # A name that is left out is removed; the old revision still has it.
    three = db.save("a", {"_rev": two, "_attachments": {"t": {"stub": True}}})
    assert list(db.get("a").json()["_attachments"]) == ["t"]
    assert db.get("a/u?rev=" + two).body == b"changed"
    db.save("a", {"_rev": three})
    assert "_attachments" not in db.get("a").json()


def test_missing_stub(db):
    rev = db.save("a", {"_attachments": {"t": inline(b"one")}})
    bad = {"_rev": rev, "_attachments": {"x": {"stub": True}}}
    error(db.put("a", bad), 412, "missing_stub")
    error(db.put("new", {"_attachments": {"x": {"stub": True}}}), 412, "missing_stub")
    wrong = {"_rev": rev, "_attachments": {"t": {"stub": True, "revpos": 7}}}
    error(db.put("a", wrong), 412, "missing_stub")
    assert db.get("a").json()["_rev"] == rev


def test_bad_base64(db):
    for data in ("%%%", "abc", "a===", 7, None):
        reply = db.put("a", {"_attachments": {"t": {"content_type": "a/b", "data": data}}})
        error(reply, 400)
    assert db.get("a").status == 404


def test_bad_names(db):
    reason = error(db.put("a", {"_attachments": {"_x": inline(b"1")}}), 400)
    assert reason == "Attachment name '_x' starts with prohibited character '_'"
    reason = error(db.put("a/_x", b"1", headers={"Content-Type": "a/b"}), 400)
    assert reason.startswith("Attachment name ")
    error(db.put("a", {"_attachments": []}), 400)
    error(db.put("a", {"_attachments": {"t": 1}}), 400)


def test_local_documents_take_none(db):
    reply = db.put("_local/a/t", b"1", headers={"Content-Type": "a/b"})
    reason = error(reply, 400)
    assert reason == "_local documents do not accept attachments."


def test_names_with_slashes_and_signs(db):
    rev = None
    for name in ("a/b/c.txt", "sp ace", "\u00fc.txt", "q?x", "100%", "plus+", "__proto__x"[2:]):
        path = "doc/" + (name if name == "a/b/c.txt" else quote(name))
        path += "?rev=" + rev if rev else ""
        reply = db.put(path, name.encode(), headers={"Content-Type": "text/plain"})
        assert reply.status == 201, (name, reply)
        rev = reply.json()["rev"]
        assert name in db.get("doc").json()["_attachments"]
        assert db.get("doc/" + quote(name)).body == name.encode()
    assert db.get("doc/a/b/c.txt").body == b"a/b/c.txt"


def test_design_attachments(db):
    assert db.put("_design/d/x/y", b"1", headers={"Content-Type": "a/b"}).status == 201
    assert db.get("_design/d/x/y").body == b"1"


@pytest.mark.parametrize("size", [1, 4095, 65536, 65537, 1_000_000, 5_000_001])
def test_sizes(db, size):
    data = os.urandom(size)
    assert db.put("a/blob", data, headers={"Content-Type": "x/y"}).status == 201
    got = db.get("a/blob")
    assert got.body == data
    stub = db.get("a").json()["_attachments"]["blob"]
    assert stub["length"] == size and stub["digest"] == digest(data)


def test_large_inline(db):
    data = os.urandom(12_000_000)
    rows = db.bulk([{"_id": "a", "_attachments": {"b": inline(data, "x/y")}}])
    assert rows[0]["ok"]
    assert db.get("a/b").body == data
    assert db.get("a").json()["_attachments"]["b"]["digest"] == digest(data)
    full = db.get("a?attachments=true").json()
    assert base64.b64decode(full["_attachments"]["b"]["data"]) == data


def test_chunked_upload(server, db):
    connection = server.connect()
    send = server.headers_for(b"", {"Content-Type": "x/y"}, True)
    data = [os.urandom(10000) for _ in range(30)]
    connection.request("PUT", db.path + "/a/c", body=iter(data), headers=send, encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    assert db.get("a/c").body == b"".join(data)


def test_replicated_attachments_keep_revpos(db):
    doc = {
        "_id": "a",
        "_revisions": {"start": 5, "ids": ["e", "d", "c", "b", "a"]},
        "_attachments": {"t": dict(inline(b"old"), revpos=2)},
    }
    db.graft(doc)
    stub = db.get("a").json()["_attachments"]["t"]
    assert stub["revpos"] == 2 and stub["digest"] == digest(b"old")
    # The child may name it by stub.
    child = {
        "_id": "a",
        "_revisions": {"start": 6, "ids": ["f", "e", "d"]},
        "_attachments": {"t": {"stub": True, "revpos": 2, "digest": stub["digest"]}},
    }
    db.graft(child)
    assert db.get("a/t").body == b"old"


def test_same_digest_on_another_document(db):
    for name in ("a", "b"):
        db.save(name, {"_attachments": {"t": inline(b"same" * 50000)}})
    rev = db.get("a").json()["_rev"]
    db.delete("a?rev=" + rev)
    assert db.get("b/t").body == b"same" * 50000


def test_all_docs_with_attachments(db):
    db.save("a", {"_attachments": {"t": inline(b"hello")}})
    doc = db.rows("_all_docs?include_docs=true&attachments=true")[0]["doc"]
    assert doc["_attachments"]["t"].get("data") == b64(b"hello")
    doc = db.rows("_all_docs?include_docs=true")[0]["doc"]
    assert doc["_attachments"]["t"]["stub"] is True
    doc = db.changes("?include_docs=true&attachments=true")["results"][0]["doc"]
    assert doc["_attachments"]["t"].get("data") == b64(b"hello")


def test_atts_since(db):
    one = db.save("a", {"_attachments": {"t": inline(b"one")}})
    two = db.save("a", {"_rev": one, "_attachments": {"t": {"stub": True}, "u": inline(b"two")}})
    path = "a?revs=true&open_revs=%s&atts_since=%s&attachments=true"
    reply = db.get(path % (quote('["%s"]' % two), quote('["%s"]' % one)))
    atts = reply.json()[0]["ok"]["_attachments"]
    assert atts["t"].get("stub") is True and atts["u"].get("data") == b64(b"two")
