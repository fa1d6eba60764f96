"""What was acknowledged survives SIGTERM, SIGKILL, and the loss of the disposable folders."""

import base64
import contextlib
import os
import signal
import socket
import threading
import time

import pytest
from support.server import Server, quote
from support.vectors import nearest, pack, random_vectors

DIMS = 8
STOPS = 5


@pytest.fixture
def own():
    with Server() as running:
        yield running


def fill(server):
    """Something of everything; the state to compare with."""
    assert server.put("/p").status == 201
    index = {"fields": [{"name": "vec", "dims": DIMS, "metric": "l2"}]}
    body = {"type": "vector", "ddoc": "s", "name": "v", "index": index}
    assert server.post("/p/_index", body).status == 200
    vectors = random_vectors(300, DIMS)
    docs = [
        {"_id": "d%03d" % i, "n": i, "vec": pack(v), "s": "\u0000\u00fc"}
        for i, v in enumerate(vectors)
    ]
    assert server.post("/p/_bulk_docs", {"docs": docs}).status == 201
    grafts = [
        {"_id": "c", "_rev": "1-a", "v": 1},
        {"_id": "c", "_rev": "1-b", "v": 2},
        {"_id": "c", "_revisions": {"start": 2, "ids": ["x", "a"]}, "_deleted": True},
    ]
    reply = server.post("/p/_bulk_docs", {"docs": grafts, "new_edits": False})
    assert reply.json() == []
    server.put("/p/_local/ck", {"v": 7})
    data = base64.b64encode(os.urandom(200_000)).decode()
    server.put("/p/att", {"_attachments": {"a": {"content_type": "x/y", "data": data}}})
    rev = server.put("/p/gone", {"v": 1}).json()["rev"]
    server.delete("/p/gone?rev=" + rev)
    server.put("/q%2Fr", {})
    server.put("/q%2Fr/only", {"v": 1.0})
    server.put("/dropped")
    server.put("/dropped/x", {})
    server.delete("/dropped")
    return {d["_id"]: v for d, v in zip(docs, vectors)}


def picture(server):
    """Everything a client can see that must not change."""
    info = server.get("/p").json()
    return {
        "welcome": server.get("/").json()["uuid"],
        "dbs": server.get("/_all_dbs").json(),
        "info": {k: info[k] for k in ("doc_count", "doc_del_count", "instance_start_time")},
        "seq": str(info["update_seq"]),
        "docs": server.get("/p/_all_docs?include_docs=true&conflicts=true").body,
        "changes": server.get("/p/_changes?style=all_docs").body,
        "leaves": server.get("/p/c?open_revs=all&revs=true").body,
        "local": server.get("/p/_local/ck").body,
        "attachment": server.get("/p/att/a").body,
        "gone": server.get("/p/gone").body,
        "other": server.get("/q%2Fr/only").body,
    }


def near(server, vector, limit=5):
    body = {"selector": {}, "vector": {"near": pack(vector)}, "limit": limit, "fields": ["_id"]}
    reply = server.post("/p/_find", body)
    assert reply.status == 200, reply
    return [h["id"] for h in reply.json()["hits"]]


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("lost", [(), ("idx",), ("vec",), ("idx", "vec")])
def test_restart(own, kill, lost):
    held = fill(own)
    before = picture(own)
    query = random_vectors(1, DIMS, seed=5)[0]
    want = nearest("l2", query, held, 5)
    assert near(own, query) == want
    removed = []
    for _ in range(3):
        own.restart(kill, lambda s: removed.append(s.remove_folders(*lost)))
        assert picture(own) == before
        assert near(own, query) == want
    assert not lost or removed[0] > 0, "no folder DATA/*/%s was found to delete" % (lost,)
    # Life goes on: sequences continue, nothing is reused.
    rev = own.put("/p/after", {"v": 1}).json()["rev"]
    own.restart(kill)
    assert own.get("/p/after").json()["_rev"] == rev
    feed = own.get("/p/_changes?since=" + quote(before["seq"])).json()
    assert [r["id"] for r in feed["results"]] == ["after"]
    own.stop()
    code, text = own.check()
    assert code == 0, text


def test_sigterm_finishes_what_is_in_flight(own):
    own.put("/p")
    own.put("/p/a", {"v": 1})
    feed = own.stream("/p/_changes?feed=continuous&heartbeat=1000&since=now")
    started = time.monotonic()
    own.process.send_signal(signal.SIGTERM)
    assert own.process.wait(30) == 0
    assert time.monotonic() - started < 20
    own.process = None
    feed.close()
    own.start()
    assert own.get("/p/a").status == 200


def test_sigterm_while_connections_are_opened(own):
    over = threading.Event()
    answers = []

    def visit(port):
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(b"GET /_up HTTP/1.1\r\nHost: x\r\n\r\n")
                answers.append(s.recv(15))

    for _ in range(STOPS):
        over.clear()
        answers.clear()
        visitors = [threading.Thread(target=visit, args=(own.port,)) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        while len(answers) < 20:
            time.sleep(0.005)
        own.process.send_signal(signal.SIGTERM)
        code = own.process.wait(30)
        over.set()
        for visitor in visitors:
            visitor.join()
        assert code == 0, own.log_tail()
        assert b"HTTP/1.1 200 OK" in answers
        own.process = None
        own.start()


def test_two_servers_never_share_a_directory(own):
    second = Server(data=own.data)
    second.port = None
    with pytest.raises(Exception):
        second.port = own.port + 1
        second.spawn()
        assert second.process.wait(20) != 0
        second.process = None
        raise RuntimeError("refused, as it must be")
    assert second.process is None
    assert own.get("/_up").status == 200


def test_check_refuses_a_running_server(own):
    import subprocess

    from support.server import binary

    done = subprocess.run([binary(), "check", own.data], capture_output=True, timeout=60)
    assert done.returncode != 0


def test_check_finds_damage(own):
    fill(own)
    own.stop()
    assert own.check()[0] == 0
    segments = []
    for folder, _, files in os.walk(own.data):
        segments += [os.path.join(folder, f) for f in files if f.endswith(".seg")]
    assert segments
    with open(max(segments, key=os.path.getsize), "r+b") as segment:
        segment.seek(30_000)
        was = segment.read(64)
        segment.seek(30_000)
        segment.write(bytes(b ^ 0xFF for b in was))
    code, text = own.check()
    assert code != 0, text


def test_no_admin_no_service():
    import subprocess
    import tempfile

    from support.server import binary, free_port

    env = {k: v for k, v in os.environ.items() if k != "DIVAN_ADMIN_PASSWORD"}
    with tempfile.TemporaryDirectory() as data:
        command = [binary(), "serve", "--data", data, "--port", str(free_port())]
        done = subprocess.run(command, capture_output=True, timeout=30, env=env)
        assert done.returncode != 0
        assert b"admin" in (done.stdout + done.stderr).lower()


def test_the_login_outlives_the_environment(own):
    """The admin that was set up stays one; the password is nowhere in clear."""
    from support.server import PASSWORD

    own.put("/p")
    own.stop()
    for folder, _, files in os.walk(own.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert PASSWORD.encode() not in file.read(), name


def test_drop_and_create_across_restarts(own):
    for n in range(5):
        own.put("/again")
        own.put("/again/n%d" % n, {})
        own.restart(kill=n % 2 == 0)
        rows = own.get("/again/_all_docs").json()["rows"]
        assert [r["id"] for r in rows] == ["n%d" % n]
        own.delete("/again")
    own.restart(kill=True)
    assert "again" not in own.get("/_all_dbs").json()
