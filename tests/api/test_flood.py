"""More writes than the disk takes: 503 with Retry-After, bounded memory, nothing lost."""

import os
import tempfile
import threading

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
        json = {"Content-Type": "application/json"}
        replies[name] = server.put("/flood/" + name, body, headers=json)

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
