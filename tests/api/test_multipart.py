"""Multipart answers and uploads, as CouchDB's own replicator reads and writes them."""

import base64
import email
import email.policy

from support.check import error
from support.server import query

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
