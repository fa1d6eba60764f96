"""Attachments above 64 KiB lie in files of their own: shared, and collected when no leaf needs them."""

import base64
import hashlib
import os
import time

import pytest
from support.server import Server
from test_compact import compact
from test_full_disk import fill_up, small_disk  # noqa: F401 (a fixture)

BIG = bytes(range(256)) * 1500  # 384,000
CONFIG = "/_node/_local/_config"


@pytest.fixture
def own():
    with Server() as running:
        assert running.put("/b").status == 201
        yield running


def blobs(server):
    return sorted(os.listdir(os.path.join(server.data, "0", "blob")))


def put_big(server, path, rev=None, data=BIG):
    reply = server.put(
        path + ("?rev=" + rev if rev else ""),
        data,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert reply.status == 201, reply
    return reply.json()["rev"]


def test_one_file_for_all_that_share_it(own):
    rev = put_big(own, "/b/a/x")
    assert len(blobs(own)) == 1
    stub = own.get("/b/a").json()["_attachments"]
    assert stub["x"]["length"] == len(BIG)
    doc = {"_rev": rev, "n": 2, "_attachments": stub}
    rev = own.put("/b/a", doc).json()["rev"]
    assert own.request("COPY", "/b/a", headers={"Destination": "copy"}).status == 201
    text = base64.b64encode(BIG[:100_000]).decode()
    assert own.put("/b/inline", {"_attachments": {"i": {"data": text}}}).status == 201
    assert len(blobs(own)) == 2
    assert all(name.endswith(".blb") for name in blobs(own))
    for again in (False, True):
        assert own.get("/b/a/x").body == BIG
        assert own.get("/b/copy/x").body == BIG
        assert own.get("/b/inline/i").body == BIG[:100_000]
        if not again:
            own.restart(kill=True, between=lambda s: s.remove_folders("idx"))
    disk = own.get("/b").json()["sizes"]
    assert disk["file"] > len(BIG) and disk["external"] > 2 * len(BIG)
    # Old revisions are there until a compaction; what a leaf needs stays.
    assert own.put("/b/a", {"_rev": rev, "n": 3}).status == 201
    assert own.get("/b/a/x?rev=" + rev).body == BIG
    copy = own.get("/b/copy").json()["_rev"]
    compact(own, "b")
    assert own.get("/b/a/x?rev=" + rev).status == 404
    assert own.get("/b/copy/x").body == BIG
    assert len(blobs(own)) == 2
    assert own.delete("/b/copy?rev=" + copy).status == 200
    compact(own, "b")
    assert len(blobs(own)) == 1
    assert own.get("/b/inline/i").body == BIG[:100_000]
    own.restart(kill=True, between=lambda s: s.remove_folders("idx"))
    assert own.get("/b/inline/i").body == BIG[:100_000]
    own.stop()
    code, text = own.check()
    assert code == 0, text
    own.start()


def test_refused_writes_leave_no_file(own):
    put_big(own, "/b/a/x")
    reply = own.put("/b/a/x", BIG, headers={"Content-Type": "a/b"})
    assert reply.status == 409, reply
    text = base64.b64encode(BIG).decode()
    reply = own.put("/b/a", {"_attachments": {"i": {"data": text}, "_bad": {"data": text}}})
    assert reply.status in (400, 409), reply
    end = time.monotonic() + 10
    while len(blobs(own)) != 1 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(blobs(own)) == 1
    assert hashlib.md5(own.get("/b/a/x").body).digest() == hashlib.md5(BIG).digest()


def test_a_dropped_database_and_what_a_crash_left(own):
    put_big(own, "/b/a/x")
    with open(os.path.join(own.data, "0", "blob", "8000000100000063.tmp"), "wb") as file:
        file.write(b"half")
    assert own.delete("/b").status == 200
    own.restart(kill=True)
    end = time.monotonic() + 30
    while blobs(own) and time.monotonic() < end:
        time.sleep(0.2)
    assert blobs(own) == []


def test_the_longest_attachment(own):
    assert own.get(CONFIG + "/couchdb/max_attachment_size").json() == str(1 << 30)
    reply = own.put(CONFIG + "/couchdb/max_attachment_size", b'"100000"')
    assert reply.status == 200, reply
    put_big(own, "/b/a/x", data=BIG[:100_000])
    reply = own.put("/b/b/x", BIG[:100_001], headers={"Content-Type": "a/b"})
    assert (reply.status, reply.json()["error"]) == (413, "attachment_too_large")
    text = base64.b64encode(BIG).decode()
    reply = own.put("/b/c", {"_attachments": {"i": {"data": text}}})
    assert (reply.status, reply.json()["error"]) == (413, "attachment_too_large")
    assert len(blobs(own)) == 1
    for bad in ('"0"', '"x"', '"99999999999999"'):
        assert own.put(CONFIG + "/couchdb/max_attachment_size", bad.encode()).status == 400
    assert own.put(CONFIG + "/couchdb/max_attachment_size", b'"infinity"').status == 200
    put_big(own, "/b/b/x")


def test_full_disk(small_disk):  # noqa: F811
    server = Server(data=os.path.join(small_disk, "data"))
    with server:
        assert server.put("/b").status == 201
        put_big(server, "/b/a/x")
        assert len(blobs(server)) == 1
        ballast = fill_up(small_disk)
        for n in range(3):
            reply = server.put("/b/no%d/x" % n, BIG * 10, headers={"Content-Type": "a/b"})
            assert reply.status == 507, reply
            assert reply.json()["error"] == "insufficient_storage"
        assert len(blobs(server)) == 1
        assert server.get("/b/a/x").body == BIG
        os.unlink(ballast)
        put_big(server, "/b/c/x")
        assert len(blobs(server)) == 2
        server.stop()
        code, text = server.check()
        assert code == 0, text
