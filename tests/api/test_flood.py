"""More writes than the disk takes: 503 with Retry-After, bounded memory, nothing lost. More large
requests than threads: small ones do not wait for them."""

import contextlib
import json
import os
import socket
import tempfile
import threading
import time

import pytest
from support.server import Server, binary

CLIENTS = 90
DOC_BYTES = 7_000_000
MOST_MEMORY = 1700 << 20  # LIMIT_INFLIGHT_BYTES, LIMIT_COMMIT_QUEUE_BYTES, what workers parse


@pytest.fixture
def slow_disk():
    """A server whose every fdatasync takes a fifth of a second."""
    lib = os.path.join(os.path.dirname(binary()), "bin", "fault_fail.so")
    if not os.path.exists(lib):
        pytest.skip("fault_fail.so is not built")
    if os.environ.get("DIVAN_SANITIZE"):
        pytest.skip("a preloaded library comes before the sanitizer's runtime")
    with tempfile.TemporaryDirectory(prefix="divan-flood-") as folder:
        data = os.path.join(folder, "data")
        env = {"LD_PRELOAD": lib, "FAIL": "fdatasync:1:slow:sticky", "FAIL_ROOT": data}
        server = Server(data=data, env=env)
        with server:
            yield server


def peak_memory(server):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")


def test_flood_of_writers(slow_disk):
    server = slow_disk
    assert server.put("/flood").status == 201
    body = b'{"text":"' + b"x" * DOC_BYTES + b'"}'
    replies = {}

    def write(n):
        name = "doc-%03d" % n
        kind = {"Content-Type": "application/json"}
        replies[name] = server.put("/flood/" + name, body, headers=kind)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == CLIENTS
    written = {name for name, reply in replies.items() if reply.status == 201}
    refused = [reply for name, reply in replies.items() if name not in written]
    assert written and refused, (len(written), len(refused))
    for reply in refused:
        assert reply.status == 503, reply
        assert reply.headers["retry-after"] == "1"
        assert reply.json()["error"] == "service_unavailable"
    assert peak_memory(server) < MOST_MEMORY, peak_memory(server)
    # and it goes on
    assert server.put("/flood/after", {"n": 1}).status == 201
    rows = server.get("/flood/_all_docs").json()["rows"]
    assert {row["id"] for row in rows} == written | {"after"}


def test_small_requests_pass_large_ones(server, db):
    """Large bodies, many more than there are workers, all complete at the same moment: small
    requests do not wait for a quarter of them."""
    count, large = 8000, 24
    body = json.dumps({"docs": [{"n": n, "more": list(range(250))} for n in range(count)]}).encode()
    head = "POST %s/_bulk_docs HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\n" % (
        db.path,
        server.auth_header(),
    )
    head += "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    seen = [0]
    with contextlib.ExitStack() as stack:
        conns = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 120))
            for _ in range(large)
        ]
        for conn in conns:
            conn.sendall(head.encode() + body[:-1])
        time.sleep(1)  # the server has read them
        for conn in conns:
            conn.sendall(body[-1:])
        while seen[-1] != large * count:
            seen.append(server.get(db.path).json()["doc_count"])
        for conn in conns:
            assert conn.recv(12) == b"HTTP/1.1 201"
    jump = max(b - a for a, b in zip(seen, seen[1:]))
    assert jump < large * count / 4, (jump, len(seen))
