"""Multipart answers and uploads, as CouchDB's own replicator reads and writes them."""

import base64
import email
import email.policy
import gzip
import hashlib
import json
import re

import pytest
from support.check import error
from support.server import query, quote

DATA = b"line one\r\n--not a boundary\r\n" + bytes(range(256))


def parts_of(reply):
    head = ("Content-Type: " + reply.headers["content-type"] + "\r\n\r\n").encode()
    message = email.message_from_bytes(head + reply.body, policy=email.policy.HTTP)
    assert message.is_multipart(), reply
    return message.get_payload()


def test_open_revs_as_multipart_mixed(db):
    db.graft({"_id": "a", "_rev": "1-x", "v": 1}, {"_id": "a", "_rev": "1-y", "v": 2})
    reply = db.get(
        "a" + query(open_revs=["1-x", "1-y", "9-n"], revs=True),
        headers={"Accept": "multipart/mixed"},
    )
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("multipart/mixed; boundary=")
    kinds = sorted(p["content-type"].replace(" ", "") for p in parts_of(reply))
    assert kinds == ["application/json", "application/json", 'application/json;error="true"']


def test_open_revs_with_attachments(db):
    data = base64.b64encode(DATA).decode()
    db.save("a", {"_attachments": {"t": {"content_type": "x/y", "data": data}}})
    reply = db.get("a?open_revs=all&revs=true", headers={"Accept": "multipart/mixed"})
    assert b"multipart/related" in reply.body and DATA in reply.body
    assert b'"follows":true' in reply.body


def test_get_with_attachments(db):
    data = base64.b64encode(DATA).decode()
    db.save("a", {"_attachments": {"t": {"content_type": "x/y", "data": data}}})
    reply = db.get("a?attachments=true", headers={"Accept": "multipart/related"})
    assert reply.headers["content-type"].startswith("multipart/related")
    assert DATA in reply.body


def related(doc, *blobs):
    body = b"--B0\r\nContent-Type: application/json\r\n\r\n" + doc + b"\r\n--B0"
    for blob in blobs:
        body += b"\r\n\r\n" + blob + b"\r\n--B0"
    return body + b"--"


def test_put_multipart_related(db):
    doc = (
        b'{"v":1,"_attachments":{"one":{"follows":true,"content_type":"x/y","length":%d},'
        b'"two":{"follows":true,"content_type":"x/z","length":3}}}' % len(DATA)
    )
    kind = {"Content-Type": 'multipart/related; boundary="B0"'}
    reply = db.put("a", related(doc, DATA, b"two"), headers=kind)
    assert reply.status == 201, reply
    assert db.get("a/one").body == DATA and db.get("a/two").body == b"two"
    assert db.get("a/two").headers["content-type"] == "x/z"


def test_put_multipart_related_new_edits_false(db):
    doc = (
        b'{"_id":"a","_rev":"2-b","_revisions":{"start":2,"ids":["b","a"]},'
        b'"_attachments":{"one":{"follows":true,"content_type":"x/y","length":3,"revpos":1}}}'
    )
    kind = {"Content-Type": "multipart/related; boundary=B0"}
    reply = db.put("a?new_edits=false", related(doc, b"abc"), headers=kind)
    assert reply.status == 201, reply
    assert db.get("a").json()["_attachments"]["one"]["revpos"] == 1


def test_put_multipart_wrong_length(db):
    doc = b'{"_attachments":{"one":{"follows":true,"content_type":"x/y","length":5}}}'
    kind = {"Content-Type": "multipart/related; boundary=B0"}
    reply = db.put("a", related(doc, b"abc"), headers=kind)
    error(reply, 400)
    assert db.get("a").status == 404
    # The connection is still in step.
    assert db.get().status == 200


def refused(db, body, reason, boundary="B0", status=400):
    kind = {"Content-Type": "multipart/related; boundary=" + boundary}
    reply = db.put("a", body, headers=kind)
    error(reply, status)
    assert reason in reply.json()["reason"], reply
    assert db.get("a").status == 404


FOLLOWS = b'{"_attachments":{"x":{"follows":true,"length":3}}}'


def test_put_what_does_not_fit(db):
    refused(db, related(FOLLOWS, b"abcd"), "attachment longer than expected")
    refused(db, related(FOLLOWS, b"ab"), "attachment shorter than expected")
    refused(db, related(FOLLOWS), "attachment shorter than expected")
    refused(db, related(FOLLOWS, b"abc", b"def"), "2 attachments follow")
    refused(db, related(FOLLOWS, b"abc")[:-2], "ends before")
    refused(db, related(FOLLOWS, b"abc"), "does not have its boundary", boundary="other")
    refused(db, related(FOLLOWS, b"abc"), "no boundary", boundary="")
    refused(db, related(b"[]"), "must be a JSON object")
    refused(db, related(b"{"), "invalid UTF-8 JSON")
    refused(db, b"", "boundary")
    many = b'{"_attachments":{"_x":{"follows":true,"length":3}}}'
    refused(db, related(many, b"abc"), "Attachment name '_x' starts with prohibited character")
    wrong = FOLLOWS.replace(b"3}", b'3,"digest":"md5-1B2M2Y8AsgTpgAmY7PhCfg=="}')
    refused(db, related(wrong, b"abc"), "Possible message corruption.")
    stub = b'{"_attachments":{"x":{"stub":true}}}'
    refused(db, related(stub), "Invalid attachment stub", status=412)


def test_put_keeps_the_rules_of_documents(db):
    kind = {"Content-Type": "multipart/related; boundary=B0"}
    first = db.put("a", related(FOLLOWS, b"abc"), headers=kind).json()["rev"]
    error(db.put("a", related(FOLLOWS, b"abc"), headers=kind), 409, "conflict")
    edit = b'{"_attachments":{"x":{"stub":true},"y":{"follows":true}}}'
    second = db.put("a?rev=" + first, related(edit, b"\0\xff"), headers=kind)
    assert second.status == 201, second
    atts = db.get("a").json()["_attachments"]
    assert [(name, atts[name]["revpos"]) for name in atts] == [("x", 1), ("y", 2)]
    assert db.get("a/x").body == b"abc" and db.get("a/y").body == b"\0\xff"
    # The same edit made inline has the same revision: attachments count, not how they came.
    data = base64.b64encode(b"abc").decode()
    assert db.save("b", {"_attachments": {"x": {"data": data}}}) == first


def test_put_gzip(db):
    plain = b"text " * 1000
    packed = gzip.compress(plain, mtime=0)
    entry = {"follows": True, "revpos": 3, "length": len(plain), "content_type": "text/plain"}
    entry.update(encoding="gzip", encoded_length=len(packed))
    entry["digest"] = "md5-" + base64.b64encode(hashlib.md5(packed).digest()).decode()
    doc = {"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}}
    doc["_attachments"] = {"t": entry}
    kind = {"Content-Type": 'multipart/related; boundary="B0"'}
    body = related(json.dumps(doc).encode(), packed)
    assert db.put("a?new_edits=false", body, headers=kind).status == 201
    assert db.get("a/t", headers={"Accept-Encoding": "gzip"}).body == packed
    assert db.get("a/t").body == plain
    stub = db.get("a?att_encoding_info=true").json()["_attachments"]["t"]
    assert stub["digest"] == entry["digest"] and stub["encoded_length"] == len(packed)
    reply = db.get("a?attachments=true", headers={"Accept": "multipart/related"})
    json_part, att = parts_of(reply)
    shown = json.loads(json_part.get_payload())["_attachments"]["t"]
    assert shown["follows"] is True and shown["encoded_length"] == len(packed)
    assert att["content-encoding"] == "gzip" and att["content-length"] == str(len(packed))
    assert packed in reply.body


def test_put_chunked(db):
    kind = {"Content-Type": "multipart/related; boundary=B0"}
    body = related(FOLLOWS, b"abc")
    connection = db.server.connect()
    headers = dict(kind, Authorization=db.server.auth_header())
    pieces = (body[i : i + 7] for i in range(0, len(body), 7))
    connection.request("PUT", db.path + "/a", body=pieces, headers=headers, encode_chunked=True)
    assert connection.getresponse().status == 201
    connection.close()
    assert db.get("a/x").body == b"abc"


@pytest.mark.parametrize(
    "accept, kind",
    [
        (None, "multipart/"),
        ("*/*", "multipart/"),
        ("multipart/*", "multipart/"),
        ("application/json, */*;q=0.1", "multipart/"),
        ("application/json", "application/json"),
        ("*/*, multipart/mixed;q=0, multipart/related;q=0", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_accept(db, accept, kind):
    data = base64.b64encode(DATA).decode()
    db.save("a", {"_attachments": {"t": {"data": data}}})
    db.save("b", {})
    for path in ("a?open_revs=all", "a?attachments=true", 'a?open_revs=["9-x"]'):
        reply = db.get(path.replace('"', "%22"), headers={"Accept": accept})
        assert reply.status == 200
        assert reply.headers["content-type"].startswith(kind), (path, reply.headers)
        head = db.head(path.replace('"', "%22"), headers={"Accept": accept})
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-type"].startswith(kind)
    # Without attachments, or without wanting them, a document is JSON.
    assert "multipart" not in db.get("b?attachments=true", headers={"Accept": accept}).headers[
        "content-type"
    ]
    assert "multipart" not in db.get("a", headers={"Accept": accept}).headers["content-type"]


def test_open_revs_errors(db):
    mixed = {"Accept": "multipart/mixed"}
    error(db.get("never?open_revs=all", headers=mixed), 404, "not_found")
    error(db.get("never?open_revs=nonsense", headers=mixed), 400)
    error(db.get("never?open_revs=%5B%22x%22%5D", headers=mixed), 400)
    reply = db.get("never" + query(open_revs=["1-a"]), headers=mixed)
    (part,) = parts_of(reply)
    assert json.loads(part.get_payload()) == {"missing": "1-a"}
    error(db.get("never" + query(open_revs=[]), headers=mixed), 404, "not_found")


def test_bytes_of_an_answer(db):
    """What CouchDB's parser reads, to the byte."""
    entry = {"content_type": "x/y", "data": base64.b64encode(b"abc").decode(), "revpos": 1}
    db.graft(
        {"_id": "a", "_rev": "1-x"},
        {"_id": "a", "_rev": "1-y", "_attachments": {'t"1': entry, "e/\u00e9": dict(entry, data="")}},
    )
    path = "a" + query(open_revs=["1-x", "9-n", "1-y"], revs=True)
    reply = db.get(path, headers={"Accept": "multipart/mixed"})
    outer = re.fullmatch('multipart/mixed; boundary="([0-9a-f]{32})"', reply.headers["content-type"])
    assert outer
    inner = re.search(rb'multipart/related; boundary="([0-9a-f]{32})"', reply.body).group(1)
    digest = "md5-" + base64.b64encode(hashlib.md5(b"abc").digest()).decode()
    empty = "md5-" + base64.b64encode(hashlib.md5(b"").digest()).decode()
    want = (
        "--O\r\nContent-Type: application/json\r\n\r\n"
        '{"_id":"a","_rev":"1-x","_revisions":{"start":1,"ids":["x"]}}\r\n'
        '--O\r\nContent-Type: application/json; error="true"\r\n\r\n{"missing":"9-n"}\r\n'
        '--O\r\nContent-Type: multipart/related; boundary="I"\r\n\r\n'
        "--I\r\nContent-Type: application/json\r\n\r\n"
        '{"_id":"a","_rev":"1-y","_revisions":{"start":1,"ids":["y"]},"_attachments":{'
        '"t\\"1":{"content_type":"x/y","revpos":1,"digest":"D","length":3,"follows":true},'
        '"e/\u00e9":{"content_type":"x/y","revpos":1,"digest":"E","length":0,"follows":true}}}\r\n'
        '--I\r\nContent-Disposition: attachment; filename="t"1"\r\nContent-Type: x/y\r\n'
        "Content-Length: 3\r\n\r\nabc\r\n"
        '--I\r\nContent-Disposition: attachment; filename="e/\u00e9"\r\nContent-Type: x/y\r\n'
        "Content-Length: 0\r\n\r\n\r\n--I--\r\n--O--"
    )
    want = want.replace('"D"', '"%s"' % digest).replace('"E"', '"%s"' % empty).encode()
    got = reply.body.replace(outer.group(1).encode(), b"O").replace(inner, b"I")
    assert got == want


def test_atts_since(db):
    def entry(data, revpos):
        return {"data": base64.b64encode(data).decode(), "revpos": revpos}

    db.graft(
        {
            "_id": "a",
            "_revisions": {"start": 3, "ids": ["c", "b", "a"]},
            "_attachments": {"old": entry(b"old one", 1), "new": entry(b"new one", 3)},
        }
    )

    def get(**more):
        reply = db.get("a" + query(**more), headers={"Accept": "multipart/*"})
        assert reply.status == 200
        return reply

    reply = get(open_revs=["3-c"], atts_since=["2-b", "1-a"], revs=True)
    assert b"old one" not in reply.body and b"new one" in reply.body
    assert b'"length":7,"stub":true' in reply.body and b'"length":7,"follows":true' in reply.body
    reply = get(atts_since=["1-a"])
    assert reply.headers["content-type"].startswith("multipart/related")
    assert b"old one" not in reply.body and b"new one" in reply.body
    reply = get(open_revs=["3-c"], atts_since=["9-z"])
    assert b"old one" in reply.body and b"new one" in reply.body
    # Nothing left to send: no inner parts.
    reply = get(open_revs=["3-c"], atts_since=["3-c"])
    assert b"multipart/related" not in reply.body and b"follows" not in reply.body
    reply = get(atts_since=["3-c"])
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["_attachments"]["new"]["stub"] is True


def test_latest(db):
    db.graft(
        {"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}, "v": 1},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["c", "a"]}, "_deleted": True},
    )
    path = "a" + query(open_revs=["1-a", "2-b"], latest=True)
    docs = [json.loads(p.get_payload()) for p in parts_of(db.get(path, headers={"Accept": "*/*"}))]
    assert sorted(d["_rev"] for d in docs) == ["2-b", "2-c"]
    assert [d.get("_deleted") for d in docs if d["_rev"] == "2-c"] == [True]


def replicate_as_couchdb(source, target, doc_id, revs, since=None):
    """Steps 8 and 10 of CouchDB's replicator for one document: parts in, the same bytes out."""
    asked = dict(revs=True, open_revs=revs, latest=True)
    if since is not None:
        asked["atts_since"] = since
    reply = source.get(quote(doc_id) + query(**asked), headers={"Accept": "multipart/mixed"})
    assert reply.status == 200
    outer = re.search('boundary="([^"]+)"', reply.headers["content-type"]).group(1).encode()
    pieces = reply.body.split(b"--" + outer)
    assert pieces[0] == b"" and pieces[-1] == b"--"
    for piece in pieces[1:-1]:
        head, payload = piece[2:-2].split(b"\r\n\r\n", 1)
        kind = head.decode().split(": ", 1)[1]
        path = quote(doc_id) + "?new_edits=false"
        if kind.startswith("multipart/related"):
            done = target.put(path, payload, headers={"Content-Type": kind})
        else:
            assert kind == "application/json"
            done = target.put(path, payload.decode())
        assert done.status == 201, done
        assert done.json()["rev"] in revs


def test_round_trip(db, server):
    blobs = {"n%d" % i: b"%d" % i * i for i in range(50)}
    blobs.update({"a/b c": DATA, "\u65e5\u672c": b"\r\n--\r\n", 'q"q': b"\r\n"})
    blobs["big"] = bytes(range(251)) * 40000
    doc = {"v": 1, "_attachments": {}}
    for name, data in blobs.items():
        doc["_attachments"][name] = {"data": base64.b64encode(data).decode()}
    first = db.save("d/1", doc)
    twin = type(db)(server, db.name + "_twin")
    assert twin.put().status == 201
    replicate_as_couchdb(db, twin, "d/1", [first])
    for name, data in blobs.items():
        assert twin.get("d%2F1/" + quote(name)).body == data, name
    # An edit that keeps all but one: only the new one travels.
    doc = db.get("d%2F1").json()
    doc["_attachments"]["n7"] = {"data": base64.b64encode(b"changed").decode()}
    second = db.save("d/1", doc)
    replicate_as_couchdb(db, twin, "d/1", [second], since=[first])
    assert twin.get("d%2F1/n7").body == b"changed" and twin.get("d%2F1/big").body == blobs["big"]
    everything = "d%2F1?open_revs=all&revs=true&attachments=true"
    assert db.get(everything).json() == twin.get(everything).json()
    seq = twin.get().json()["update_seq"]
    replicate_as_couchdb(db, twin, "d/1", [second])
    assert twin.get().json()["update_seq"] == seq
    server.delete(twin.path)


def test_bulk_get_in_parts(db):
    large = bytes(range(256)) * 1000
    rev = db.save("a", {"v": 1})
    db.put("a/t?rev=" + rev, large, headers={"Content-Type": "x/y"})
    rev = db.save("b", {"v": 2})
    docs = [{"id": "a"}, {"id": "b", "rev": rev}, {"id": "no"}, {"id": "b", "rev": "9-9"}, {}]
    accept = {"Accept": "multipart/mixed"}
    reply = db.post("_bulk_get?revs=true", {"docs": docs}, headers=accept)
    kind, _, boundary = reply.headers["content-type"].partition("; boundary=")
    assert reply.status == 200 and kind == "multipart/mixed" and boundary.startswith('"--')
    a, b, *bad = parts_of(reply)
    assert a["X-Doc-Id"] == "a" and a["X-Rev-Id"].startswith("2-")
    assert a.get_content_type() == "multipart/related"
    doc, att = a.get_payload()
    doc = json.loads(doc.get_payload())
    assert doc["_attachments"]["t"]["follows"] and doc["_revisions"]["start"] == 2
    assert att.get_payload(decode=True) == large
    assert b.get_content_type() == "application/json"
    assert json.loads(b.get_payload()) == dict(db.get("b?revs=true").json())
    errors = [json.loads(p.get_payload()) for p in bad]
    assert all(p["Content-Type"] == 'application/json; error="true"' for p in bad)
    assert [(e["id"], e["rev"], e["error"], e["reason"]) for e in errors] == [
        ("no", "undefined", "not_found", "missing"),
        ("b", "9-9", "not_found", "missing"),
        ("", "undefined", "bad_request", "document id missed"),
    ]
    for value in ("*/*", "application/json", "multipart/mixed, application/json", None):
        reply = db.post("_bulk_get", {"docs": docs[:2]}, headers={"Accept": value})
        assert "results" in reply.json()
    empty = db.post("_bulk_get", {"docs": []}, headers=accept)
    assert empty.status == 200 and empty.body.startswith(b"----") and empty.body.endswith(b"--")
