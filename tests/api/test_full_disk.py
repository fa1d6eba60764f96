"""A full disk: 507, nothing lost, and writing goes on once there is room."""

import os
import tempfile
import time

import pytest
from support.disk import tmpfs
from support.server import PASSWORD, USER, Server, quote

SIZE = 64 * 1024 * 1024


@pytest.fixture
def small_disk():
    with tmpfs(SIZE) as folder:
        yield folder


def fill_up(folder):
    """Take every byte that is left with a file of our own."""
    path = os.path.join(folder, "ballast")
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return path


def write_until_refused(server, acked, tag, limit=3000):
    """PUT documents until one is refused; the refusal."""
    for n in range(limit):
        doc_id = "%s-%05d" % (tag, n)
        reply = server.put("/full/" + doc_id, {"n": n, "pad": "x" * 60_000})
        if reply.status == 201:
            acked[doc_id] = reply.json()["rev"]
            continue
        return reply
    raise AssertionError("the disk never filled")


def verify(server, acked):
    rows = server.get("/full/_all_docs").json()["rows"]
    held = {r["id"]: r["value"]["rev"] for r in rows}
    lost = {i: r for i, r in acked.items() if held.get(i) != r}
    assert not lost, "lost %d of %d: %r" % (len(lost), len(acked), list(lost)[:5])
    return held


def eventually_writes(server, acked, doc_id):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        reply = server.put("/full/" + doc_id, {"after": True})
        if reply.status == 201:
            acked[doc_id] = reply.json()["rev"]
            return
        assert reply.status in (507, 503), reply
        time.sleep(0.25)
    raise AssertionError("writing does not go on after room was made")


def test_full_disk(small_disk):
    data = os.path.join(small_disk, "data")
    ballast = os.path.join(small_disk, "ballast")
    # The start needs room for itself; the rest of the disk is taken afterwards.
    server = Server(data=data)
    server.log_path = tempfile.mktemp(prefix="divan-full-", suffix=".log")
    acked = {}
    with server:
        assert server.put("/full").status == 201
        with open(ballast, "wb") as file:
            file.write(b"\0" * (4 << 20))
        refused = write_until_refused(server, acked, "a")
        assert refused.status == 507, refused
        assert refused.json()["error"] == "insufficient_storage"
        fill_up(small_disk)
        for n in range(20):
            reply = server.put("/full/refused-%d" % n, {"pad": "y" * 100_000})
            assert reply.status == 507, reply
        docs = [{"_id": "r%d" % i, "pad": "z" * 90_000} for i in range(10)]
        reply = server.post("/full/_bulk_docs", {"docs": docs})
        assert reply.status in (507, 201), reply
        if reply.status == 201:
            assert all(r.get("error") == "insufficient_storage" for r in reply.json()), reply
        # A replication that cannot make its target says why.
        source = "http://%s:%s@127.0.0.1:%d/full" % (quote(USER), quote(PASSWORD), server.port)
        body = {"source": source, "target": "copy", "create_target": True}
        reply = server.post("/_replicate", body)
        assert reply.status == 507 and reply.json()["error"] == "insufficient_storage", reply
        # Reading goes on, and what was acknowledged is there.
        held = verify(server, acked)
        assert not [i for i in held if i not in acked]
        assert server.get("/full/" + next(iter(acked))).status == 200
        os.unlink(ballast)
        eventually_writes(server, acked, "after-room")
        verify(server, acked)
        # Full again, killed, started again with room: still nothing lost.
        fill_up(small_disk)
        for n in range(10):
            reply = server.put("/full/again-%d" % n, {"pad": "y" * 200_000})
            assert reply.status in (201, 507), reply
            if reply.status == 201:
                acked["again-%d" % n] = reply.json()["rev"]
        server.kill9()
        os.unlink(ballast)
        server.start()
        held = verify(server, acked)
        assert not [i for i in held if i not in acked]
        eventually_writes(server, acked, "after-restart")
        server.stop()
        code, text = server.check()
        assert code == 0, text
    os.unlink(server.log_path)


def wait_compacted(server, db="/full", seconds=60):
    deadline = time.monotonic() + seconds
    while server.get(db).json()["compact_running"]:
        assert time.monotonic() < deadline, "compaction does not end"
        time.sleep(0.1)


def test_room_comes_back_by_deleting_and_compacting(small_disk):
    """The floor refuses what grows; deletes and compaction use the reserve, and make room."""
    data = os.path.join(small_disk, "data")
    server = Server(data=data)
    server.log_path = tempfile.mktemp(prefix="divan-full-", suffix=".log")
    acked = {}
    with server:
        assert server.put("/full").status == 201
        refused = write_until_refused(server, acked, "a")
        assert refused.status == 507, refused
        # refused until room is made, and only what grows
        ids = sorted(acked)
        for i in ids[: len(ids) * 98 // 100]:
            reply = server.delete("/full/%s?rev=%s" % (i, acked.pop(i)))
            assert reply.status == 200, reply
            if len(acked) % 100 == 0:
                assert server.put("/full/no", {"pad": "x" * 60_000}).status == 507
        docs = [{"_id": i, "_rev": acked.pop(i), "_deleted": True} for i in sorted(acked)[:5]]
        reply = server.post("/full/_bulk_docs", {"docs": docs})
        assert reply.status == 201 and all(r.get("ok") for r in reply.json()), reply
        assert server.put("/full/no", {"pad": "x" * 60_000}).status == 507
        assert server.post("/full/_compact", {}).status == 202
        wait_compacted(server)
        verify(server, acked)
        eventually_writes(server, acked, "after-compaction")
        more = {}
        reply = server.put("/full/large-again", {"pad": "x" * 500_000})
        assert reply.status == 201, reply
        more["large-again"] = reply.json()["rev"]
        acked.update(more)
        server.kill9()
        server.start()
        held = verify(server, acked)
        assert set(held) == set(acked)
        server.stop()
        code, text = server.check()
        assert code == 0, text
    os.unlink(server.log_path)


def test_an_upload_that_does_not_fit(small_disk):
    """It is refused in its middle, and what was written of it goes."""
    data = os.path.join(small_disk, "data")
    with Server(data=data) as server:
        assert server.put("/full").status == 201
        reply = server.put("/full/a/t", os.urandom(SIZE))
        assert reply.status == 507 and reply.json()["error"] == "insufficient_storage", reply
        deadline = time.monotonic() + 20
        while os.statvfs(data).f_bavail * os.statvfs(data).f_frsize < SIZE // 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.get("/full/a").status == 404
        assert os.listdir(os.path.join(data, "0", "blob")) == []
        assert server.put("/full/a/t", b"x" * 100_000).status == 201
        assert server.get("/full/a/t").body == b"x" * 100_000
