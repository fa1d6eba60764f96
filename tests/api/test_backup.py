"""divan backup and divan restore: under load, again, cut short, and with wrong input."""

import base64
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time

import pytest
from support.disk import tmpfs
from support.server import Server, binary, query


TURNS = int(os.environ.get("BACKUP_TURNS", "4"))


def divan(*args, want=0):
    done = subprocess.run(
        [binary(), *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False
    )
    text = done.stdout.decode()
    assert done.returncode == want, (args, done.returncode, text)
    return text


@pytest.fixture
def place():
    path = tempfile.mkdtemp(prefix="divan-test-backup-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def files_of(path):
    return {
        os.path.relpath(os.path.join(base, name), path)
        for base, _, names in os.walk(path)
        for name in names
    }


class Writer(threading.Thread):
    """Writes its own documents and remembers every revision it asked for, in order."""

    def __init__(self, server, db, number):
        super().__init__()
        self.server, self.db, self.rng = server, db, random.Random(number)
        self.number = number
        self.revs = {}  # id -> [revision, number of the write]
        self.acked = {}  # id -> number of the last acknowledged write
        self.asked = 0
        self.stop = False
        self.failure = None

    def run(self):
        try:
            while not self.stop:
                self.step()
        except Exception as failure:  # noqa: BLE001
            self.failure = failure

    def step(self):
        self.asked += 1
        op = self.asked
        doc_id = "w%d-%d" % (self.number, self.rng.randrange(40))
        doc = {"op": op, "pad": "x" * self.rng.choice((10, 500, 9000))}
        if doc_id in self.revs:
            doc["_rev"] = self.revs[doc_id]
        if self.rng.random() < 0.15:
            data = self.rng.randbytes(self.rng.choice((100, 90_000)))
            doc["sum"] = hashlib.md5(data).hexdigest()
            att = {"content_type": "a/b", "data": base64.b64encode(data).decode()}
            doc["_attachments"] = {"a": att}
        reply = self.server.put("/%s/%s" % (self.db, doc_id), doc)
        assert reply.status == 201, reply
        self.revs[doc_id] = reply.json()["rev"]
        self.acked[doc_id] = op


def look(server, writer, acked, asked):
    """Every document is as acknowledged before the backup, or newer; none was never asked for."""
    rows = server.get("/%s/_all_docs%s" % (writer.db, query(include_docs=True))).json()["rows"]
    docs = {r["id"]: r["doc"] for r in rows if r["id"].startswith("w%d-" % writer.number)}
    for doc_id, op in acked.items():
        assert doc_id in docs, "LOST %s" % doc_id
        assert docs[doc_id]["op"] >= op, (doc_id, docs[doc_id]["op"], op)
    for doc_id, doc in docs.items():
        assert doc["op"] <= asked, "INVENTED %s" % doc_id
        if "sum" in doc:
            data = server.get("/%s/%s/a" % (writer.db, doc_id)).body
            assert hashlib.md5(data).hexdigest() == doc["sum"], doc_id


def test_under_load(place):
    dest = os.path.join(place, "b")
    with Server() as server:
        server.put("/shared")
        server.put("/own?placement=own")
        writers = [Writer(server, db, n) for n, db in enumerate(("shared", "own", "shared", "own"))]
        for writer in writers:
            writer.start()
        for turn in range(TURNS):
            time.sleep(0.7)
            for db in ("shared", "own"):
                server.post("/%s/_compact" % db, {})
            before = [(dict(w.acked), w) for w in writers]
            divan("backup", server.data, dest)
            after = [w.asked for w in writers]
            divan("backup", "--verify", dest)
            data = os.path.join(place, "r%d" % turn)
            divan("restore", dest, data)
            with Server(data=data) as copy:
                for (acked, writer), asked in zip(before, after):
                    assert acked
                    look(copy, writer, acked, asked)
                assert copy.put("/shared/new", {}).status == 201
                copy.stop()
                code, text = copy.check()
                assert code == 0, text
        for writer in writers:
            writer.stop = True
        for writer in writers:
            writer.join()
            assert writer.failure is None, writer.failure


def copied(text):
    return int(text.split("copied now: ")[1].split(" files, ")[1].split(" bytes")[0])


def fill(server, db, first, n=300):
    pads = ["%030x" % random.getrandbits(120) * 300 for _ in range(n)]
    docs = [{"_id": "d%06d" % (first + i), "pad": pad} for i, pad in enumerate(pads)]
    assert server.post("/%s/_bulk_docs" % db, {"docs": docs}).status == 201


def test_again_copies_what_is_new(place):
    dest = os.path.join(place, "b")
    with Server() as server:
        server.put("/db")
        for turn in range(30):  # more than one segment
            fill(server, "db", 300 * turn)
        assert server.put("/db/big/a", b"y" * 500_000).status == 201
        whole = copied(divan("backup", server.data, dest))
        assert whole > 70 << 20
        fill(server, "db", 100_000, 10)
        text = divan("backup", server.data, dest)
        assert copied(text) < 66 << 20, text  # the tail and STORE, not the sealed segment or the blob
        blobs = [f for f in files_of(dest) if "/blob/" in f]
        assert len(blobs) == 1
        was = os.stat(os.path.join(dest, blobs[0])).st_mtime_ns
        # What is gone at the source goes from the backup.
        server.delete("/db")
        server.put("/other")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(os.listdir(server.data + "/0/log")) > 2:
            server.post("/other/_compact", {})
            time.sleep(0.5)
        assert os.stat(os.path.join(dest, blobs[0])).st_mtime_ns == was
        text = divan("backup", server.data, dest)
        assert copied(text) < 66 << 20, text
        assert int(text.split("removed: ")[1].split()[0]) > 0, text
        divan("backup", "--verify", dest)
        server.restart()
        server.stop()
        divan("backup", server.data, dest)  # of a stopped one
        text = divan("backup", server.data, dest)
        assert copied(text) == 8192, text  # only STORE
        data = os.path.join(place, "r")
        divan("restore", dest, data)
        with Server(data=data) as copy:
            assert copy.get("/_all_dbs").json() == ["other"]
        server.start()


def test_cut_short(place):
    dest = os.path.join(place, "b")
    rng = random.Random(5)
    with Server() as server:
        server.put("/db")
        fill(server, "db", 0)
        divan("backup", server.data, dest)
        for turn in range(12):
            fill(server, "db", 1000 * (turn + 1), 600)
            child = subprocess.Popen(
                [binary(), "backup", server.data, dest], stdout=subprocess.DEVNULL
            )
            time.sleep(rng.uniform(0, 0.05))
            child.kill()
            child.wait()
            divan("backup", "--verify", dest)
        data = os.path.join(place, "r1")
        divan("restore", dest, data)
        with Server(data=data) as copy:
            assert copy.get("/db").json()["doc_count"] >= 300
        divan("backup", server.data, dest)
        left = files_of(dest)
        assert not [f for f in left if f.endswith(".tmp")]
        assert len([f for f in left if f.startswith("MANIFEST.")]) == 1
        data = os.path.join(place, "r2")
        # A restore that is cut short does not start.
        child = subprocess.Popen([binary(), "restore", dest, data], stdout=subprocess.DEVNULL)
        while child.poll() is None and not os.path.exists(data + "/0/log"):
            pass
        child.kill()
        child.wait()
        if not os.path.exists(data + "/0/STORE") and os.listdir(data + "/0/log"):
            env = dict(os.environ, DIVAN_ADMIN_PASSWORD="x")
            done = subprocess.run(
                [binary(), "serve", "--data", data, "--port", "0"], env=env, check=False, timeout=60
            )
            assert done.returncode != 0
        assert server.get("/db").json()["doc_count"] == 300 + 12 * 600


def test_copies_that_are_gone_are_made_again(place):
    data, dest = os.path.join(place, "data"), os.path.join(place, "copy")
    with Server(data=data) as server:
        assert server.put("/db").status == 201
        fill(server, "db", 0)
        server.stop()
    divan("backup", data, dest)
    gone = [f for f in files_of(dest) if "/log/" in f]
    assert gone
    for name in gone:
        os.unlink(os.path.join(dest, name))
    divan("backup", data, dest)
    divan("backup", "--verify", dest)


def test_a_failed_backup_leaves_one_whose_manifest_is_damaged(place):
    data, dest = os.path.join(place, "data"), os.path.join(place, "copy")
    with Server(data=data) as server:
        assert server.put("/db").status == 201
        server.stop()
    divan("backup", data, dest)
    (manifest,) = [f for f in files_of(dest) if f.startswith("MANIFEST.")]
    with open(os.path.join(dest, manifest), "r+b") as file:
        file.write(b"D")
    before = files_of(dest)
    os.rename(os.path.join(data, "0", "log"), os.path.join(data, "0", "away"))
    divan("backup", data, dest, want=1)
    assert files_of(dest) == before
    os.rename(os.path.join(data, "0", "away"), os.path.join(data, "0", "log"))
    divan("backup", data, dest)
    divan("backup", "--verify", dest)


def test_wrong_input(place):
    dest = os.path.join(place, "b")
    with Server() as server:
        server.put("/db")
        fill(server, "db", 0, 10)
        inside = os.path.join(server.data, "b")
        for args, word in {
            ("backup", os.path.join(place, "none"), dest): "no data directory",
            ("backup", place, dest): "no data directory",
            ("backup", server.data, inside): "lies in the other",
            ("backup", server.data, server.data): "lies in the other",
            ("backup", server.data): "two directories",
            ("backup", "--verify", place): "no whole backup",
            ("restore", place, os.path.join(place, "r")): "no whole backup",
        }.items():
            assert word in divan(*args, want=1), args
        assert not os.path.exists(inside)
        full = os.path.join(place, "full")
        os.mkdir(full)
        open(os.path.join(full, "x"), "w").close()
        assert "neither empty nor a backup" in divan("backup", server.data, full, want=1)
        divan("backup", server.data, dest)
        assert "not empty" in divan("restore", dest, full, want=1)
        assert "not empty" in divan("restore", dest, server.data, want=1)
        with Server() as other:
            assert "another server" in divan("backup", other.data, dest, want=1)
        divan("backup", "--verify", dest)
        # A damaged copy is told and not brought back.
        name = next(f for f in sorted(files_of(dest)) if "/log/" in f)
        with open(os.path.join(dest, name), "r+b") as f:
            f.seek(5000)
            f.write(b"damage")
        assert "checksum" in divan("backup", "--verify", dest, want=1)
        assert "checksum" in divan("restore", dest, os.path.join(place, "r2"), want=1)


def test_a_damaged_log_is_not_copied(place):
    dest = os.path.join(place, "b")
    with Server() as server:
        server.put("/db")
        for turn in range(30):
            fill(server, "db", 300 * turn)
        server.stop()
        first = os.path.join(server.data, "0", "log", sorted(os.listdir(server.data + "/0/log"))[0])
        with open(first, "r+b") as f:
            f.seek(1 << 20)
            f.write(b"damage")
        assert "is damaged" in divan("backup", server.data, dest, want=1)
        assert not [f for f in files_of(dest) if "/log/" in f], "what was copied stays"
        server.data, data = place, server.data
        shutil.rmtree(data)
        server.data = tempfile.mkdtemp(prefix="divan-test-")
        server.start()


def test_a_damaged_last_group_is_not_copied_after_a_clean_stop(place):
    """No server was writing it: it was acknowledged, and a copy without it would lack it silently."""
    with Server() as server:
        server.put("/db")
        fill(server, "db", 0)
        server.put("/db/last", {"mark": "the-last-mark"})
        server.stop()
        log = os.path.join(server.data, "0", "log")
        name = sorted(os.listdir(log))[-1]
        with open(os.path.join(log, name), "r+b") as f:
            f.seek(f.read().index(b"the-last-mark"))
            f.write(b"X")
        text = divan("backup", server.data, os.path.join(place, "b"), want=1)
        assert name in text and "is damaged at byte" in text, text
        server.data, data = tempfile.mkdtemp(prefix="divan-test-"), server.data
        shutil.rmtree(data)
        server.start()


@pytest.fixture
def small_disk():
    with tmpfs(8 << 20) as folder:
        yield folder


def test_no_space(small_disk):
    dest = os.path.join(small_disk, "b")
    with Server() as server:
        server.put("/db")
        fill(server, "db", 0, 10)
        divan("backup", server.data, dest)
        before = files_of(dest)
        fill(server, "db", 1000, 1200)
        divan("backup", server.data, dest, want=1)
        divan("backup", "--verify", dest)
        assert files_of(dest) == before
