"""Damage and failing disks: nothing that was acknowledged is silently gone or older.

fsync that fails, bytes of the log that rot while the server runs or while it is stopped, a check that
must not write, a salvage that keeps all that can be read and names the rest.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time

import pytest
from support.check import error
from support.server import Server, binary

DOCS = 300


def folder(name):
    return tempfile.mkdtemp(prefix="divan-%s-" % name)


@pytest.fixture
def server():
    made = Server()
    made.start()
    yield made
    made.kill9()
    shutil.rmtree(made.data, ignore_errors=True)
    if os.path.exists(made.log_path):
        os.unlink(made.log_path)


def fill(server, db="/db", docs=DOCS):
    """Documents of which each can be found in the log by its mark; their revisions."""
    assert server.put(db).status == 201
    revs = {}
    for first in range(0, docs, 20):
        batch = [{"_id": "d%04d" % n, "mark": "mark-%04d-" % n * 20} for n in range(first, first + 20)]
        for row in server.post(db + "/_bulk_docs", {"docs": batch}).json():
            revs[row["id"]] = row["rev"]
    return revs


def rot(data, needle, change=lambda b: bytes([b[0] ^ 0x40])):
    """Change a byte of the log inside the text; the file's name."""
    log = os.path.join(data, "0", "log")
    for name in sorted(os.listdir(log)):
        path = os.path.join(log, name)
        with open(path, "r+b") as file:
            bytes_ = file.read()
            at = bytes_.find(needle)
            if at >= 0:
                file.seek(at + 5)
                file.write(change(bytes_[at + 5 : at + 6]))
                return name
    raise AssertionError("%r is not in the log" % needle)


def snapshot(data):
    """Every name below the directory with what a writer would change."""
    seen = {}
    for place, _, names in os.walk(data):
        for name in names + ["."]:
            path = os.path.join(place, name)
            info = os.lstat(path)
            digest = ""
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
            seen[path] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode, digest)
    return seen


def start_once(server, *args):
    """Start the stopped server's program and wait for its end; (exit status, stderr)."""
    env = dict(os.environ, DIVAN_ADMIN_PASSWORD="x")
    done = subprocess.run(
        [binary(), "serve", "--data", server.data, "--port", str(server.port), *args],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


# ---- check writes nothing


def test_check_leaves_a_killed_store_alone(server, tmp_path, monkeypatch):
    fill(server)
    server.kill9()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = snapshot(server.data)
    code, text = server.check()
    assert (code, snapshot(server.data) == before) == (0, True), text
    # and the same where nothing can be written
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", server.data, server.data], capture_output=True, check=False
    )
    if mounted.returncode == 0:
        try:
            code, text = server.check()
        finally:
            subprocess.run(["umount", server.data], check=True)
        assert code == 0, text
    # what the check makes elsewhere goes away again
    assert not os.listdir(tmp_path)


def test_check_of_a_lost_index(server):
    fill(server)
    server.stop()
    server.remove_folders("idx")
    before = snapshot(server.data)
    code, text = server.check()
    assert code == 0 and snapshot(server.data) == before, text


def test_check_beside_a_server(server):
    done = subprocess.run([binary(), "check", server.data], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "in use" in done.stderr


# ---- damage met by a start


def test_a_start_refuses_damage_and_salvage_keeps_the_rest(server):
    revs = fill(server)
    server.kill9()  # the index has nothing durable: a start replays everything
    name = rot(server.data, b"mark-0123-mark")
    before = snapshot(os.path.join(server.data, "0", "log"))
    code, text = start_once(server)
    assert code == 74
    assert name in text and "offset" in text and "LSN" in text and "--salvage" in text, text
    assert {k: v[4] for k, v in snapshot(os.path.join(server.data, "0", "log")).items()} == {
        k: v[4] for k, v in before.items()
    }
    code, text = server.check()
    assert code == 1 and name in text, text
    server.args = ["--salvage"]
    server.start()
    lost = [i for i in revs if server.get("/db/" + i).status != 200]
    assert lost == ["d0123"]
    reports = [n for n in os.listdir(os.path.join(server.data, "0")) if n.startswith("salvage-")]
    with open(os.path.join(server.data, "0", reports[0]), encoding="utf-8") as file:
        report = file.read()
    assert "d0123" in report and name in report, report
    kept = os.listdir(os.path.join(server.data, "0", "quarantine"))
    assert [n for n in kept if n.startswith(name[:16])], kept
    assert server.get("/db").json()["doc_count"] == DOCS - 1
    # from then on it is a store like any other, without its index too
    server.args = []
    server.restart()
    assert server.put("/db/d0123", {"again": True}).status == 201
    server.stop()
    server.remove_folders("idx")
    server.start()
    assert server.get("/db").json()["doc_count"] == DOCS
    server.stop()
    code, text = server.check()
    assert code == 0, text


def test_salvage_of_a_body_that_only_the_index_knows_of(server):
    revs = fill(server)
    server.stop()  # the index is durable: a start meets no damage
    rot(server.data, b"mark-0123-mark")
    server.args = ["--salvage"]
    server.start()
    error(server.get("/db/d0123"), 500)
    assert server.get("/db/_all_docs").json()["total_rows"] == DOCS
    server.args = []
    server.stop()
    server.remove_folders("idx")
    server.start()  # made from the log alone: not older, not gone
    error(server.get("/db/d0123"), 500)
    rows = server.get("/db/_all_docs").json()["rows"]
    assert {r["id"]: r["value"]["rev"] for r in rows} == revs
    # a new revision heals it
    reply = server.put("/db/d0123", {"_rev": revs["d0123"], "healed": 1})
    assert reply.status == 201
    assert server.get("/db/d0123").json()["healed"] == 1


# ---- damage met while running


def test_one_rotten_document(server):
    revs = fill(server)
    server.restart()  # the log's segment is sealed
    name = rot(server.data, b"mark-0042-mark")
    assert "damaged" not in server.get("/_up").json()
    reason = error(server.get("/db/d0042"), 500)
    assert "checksum" in reason
    assert server.get("/db/d0041").status == 200
    up = server.get("/_up")
    assert up.status == 200 and up.json()["status"] == "ok"
    assert up.json()["damaged"] == ["log/" + name]
    # compaction leaves the file, and other writes go on
    for i in list(revs)[:200]:
        if i != "d0042":
            assert server.delete("/db/%s?rev=%s" % (i, revs[i])).status == 200
    assert server.post("/db/_compact", {}).status == 202
    deadline = time.monotonic() + 30
    while server.get("/db").json()["compact_running"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert name in os.listdir(os.path.join(server.data, "0", "log"))
    server.restart()
    error(server.get("/db/d0042"), 500)
    assert server.get("/_up").json()["damaged"] == ["log/" + name]
    server.stop()
    code, text = server.check()
    assert code == 1 and "d0042" in text, text


# ---- system calls that fail


def failing(what):
    lib = os.path.join(os.path.dirname(binary()), "bin", "fault_fail.so")
    if not os.path.exists(lib):
        pytest.skip("fault_fail.so is not built")
    if os.environ.get("DIVAN_SANITIZE"):
        pytest.skip("a preloaded library comes before the sanitizer's runtime")
    return {"LD_PRELOAD": lib, "FAIL": what}


@pytest.mark.parametrize("nth", [8, 9, 15])
def test_a_failed_fdatasync_ends_the_process(nth):
    data = folder("fsync")
    server = Server(data=data, env=dict(failing("fdatasync:%d:EIO" % nth), FAIL_ROOT=data))
    acked = {}
    server.port = None
    server.start()
    unsure = None
    try:
        server.put("/db")
        for n in range(200):
            unsure = "doc-%d" % n
            reply = server.put("/db/" + unsure, {"n": n})
            if reply.status != 201:
                break
            acked[unsure] = reply.json()["rev"]
    except (OSError, Exception) as broken:  # noqa: BLE001: the connection ends in many ways
        assert not isinstance(broken, AssertionError), broken
    assert server.process.wait(30) == 74
    server.process = None
    server.env = {}
    server.start()
    rows = server.get("/db/_all_docs").json().get("rows", [])
    held = {r["id"]: r["value"]["rev"] for r in rows}
    assert {i: held.get(i) for i in acked} == acked
    assert set(held) - set(acked) <= {unsure}
    server.stop()
    code, text = server.check()
    assert code == 0, text
    shutil.rmtree(data)
    os.unlink(server.log_path)


def test_no_descriptor_left_at_accept(server):
    """EMFILE: those who are connected go on, and those who come are served when there is room."""
    fill(server, docs=20)
    pid = server.process.pid
    have = len(os.listdir("/proc/%d/fd" % pid))
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=%d:4096" % (have + 4)], check=True)
    held = [server.connect(timeout=5) for _ in range(20)]
    for connection in held:
        try:
            connection.connect()
        except OSError:
            pass
    time.sleep(0.3)
    assert server.alive()
    for connection in held:
        connection.close()
    deadline = time.monotonic() + 20
    status = None
    while status != 200 and time.monotonic() < deadline:
        try:
            status = server.get("/db/d0001").status
        except (OSError, Exception):  # noqa: BLE001: refused or reset while none is left
            time.sleep(0.1)
    assert status == 200 and server.alive()
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=4096:4096"], check=True)
    assert server.put("/db/after", {}).status == 201


def test_json_shape_of_up(server):
    assert json.loads(server.get("/_up").body) == {"status": "ok", "seeds": {}}
