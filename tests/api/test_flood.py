"""More writes than the disk takes: 503 with Retry-After, bounded memory, nothing lost. More large
requests than threads: small ones do not wait for them."""

import json
import os
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


def test_small_requests_beside_large_ones(server, db):
    """Large bodies, more of them than there are workers, take no worker: what small requests wait
    is a small multiple of what they take alone, not the time of a large one."""
    count, quiet = 10_000, 300
    body = json.dumps({"docs": [{"n": n, "more": list(range(250))} for n in range(count)]})
    kind = {"Content-Type": "application/json"}
    under_way = [True] * 24
    replies = []

    def write(n):
        replies.append(db.post("_bulk_docs", body.encode(), headers=kind))
        under_way[n] = False

    def small():
        assert db.get("_all_docs?limit=1").status == 200

    began = time.monotonic()
    for _ in range(quiet):
        small()
    alone = (time.monotonic() - began) / quiet
    threads = [threading.Thread(target=write, args=(n,)) for n in range(len(under_way))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    answered = 0
    while any(under_way):
        small()
        answered += 1
    beside = (time.monotonic() - began) / answered
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [201] * len(under_way)
    assert server.get(db.path).json()["doc_count"] == len(under_way) * count
    assert beside < 5 * alone, (alone, beside)
