"""Large answers: written by workers to sockets that take them slowly, late, or no more."""

import contextlib
import json
import os
import socket
import threading
import time

import pytest

from support.server import Server

DOCS = 3000
TEXT = "lorem ipsum \u00fc " * 150  # about 2 KB: an answer of some 7 MB
PATH = "/big/_changes?include_docs=true"


@pytest.fixture(scope="module")
def big():
    with Server() as server:
        assert server.put("/big").status == 201
        for start in range(0, DOCS, 1000):
            docs = [{"_id": "d%05d" % i, "text": TEXT} for i in range(start, start + 1000)]
            assert server.post("/big/_bulk_docs", {"docs": docs}).status == 201
        yield server


@pytest.fixture(scope="module")
def whole(big):
    """What every reader must get."""
    body = big.get(PATH).body
    rows = json.loads(body)["results"]
    assert [r["doc"]["_id"] for r in rows] == ["d%05d" % i for i in range(DOCS)]
    return body


def request(server, path=PATH, version="1.1", more=""):
    head = "GET %s HTTP/%s\r\nHost: h\r\nAuthorization: %s\r\nAccept: application/json\r\n%s\r\n"
    return (head % (path, version, server.auth_header(), more)).encode()


@contextlib.contextmanager
def opened(server, data, window=None):
    """A socket with little room, on which the request is sent."""
    with contextlib.closing(socket.socket()) as s:
        if window:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        s.settimeout(60)
        s.connect(("127.0.0.1", server.port))
        s.sendall(data)
        yield s


def chunks(file):
    """The body of one chunked answer, its head read; every chunk must be well-formed."""
    parts = []
    while True:
        line = file.readline()
        assert line.endswith(b"\r\n"), line
        size = int(line, 16)
        parts.append(file.read(size))
        assert len(parts[-1]) == size and file.read(2) == b"\r\n"
        if size == 0:
            return b"".join(parts)


def head(file):
    lines = []
    while (line := file.readline()) not in (b"\r\n", b""):
        lines.append(line.rstrip().lower())
    return lines


def sockets(server):
    folder = "/proc/%d/fd/" % server.process.pid
    found = 0
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # closed since
            found += os.readlink(folder + name).startswith("socket:")
    return found


def settled(check, seconds=20):
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_idle(server):
    """Whether it waits without work."""
    before = server.cpu_seconds()
    time.sleep(0.3)
    return server.cpu_seconds() - before < 0.03


def test_chunks_one_after_the_other(big, whole):
    """Two on one connection, the second sent before the first was read; then an ordinary one."""
    data = request(big) + request(big) + request(big, "/big/d00001")
    with opened(big, data) as s, s.makefile("rb") as file:
        for _ in range(2):
            lines = head(file)
            assert lines[0].startswith(b"http/1.1 200")
            assert b"transfer-encoding: chunked" in lines
            assert chunks(file) == whole
        lines = head(file)
        length = [int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length")][0]
        assert json.loads(file.read(length))["text"] == TEXT


def test_a_slow_reader_gets_all_and_keeps_nobody_waiting(big, whole):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(opened(big, request(big), 4096)) for _ in range(20)]
        settled(lambda: is_idle(big), 60)  # more sockets are full than there are threads
        for i in range(50):
            assert big.get("/big/d%05d" % i).status == 200
        assert big.get(PATH).body == whole
        for s in slow[:3]:
            file = stack.enter_context(s.makefile("rb"))
            assert head(file)[0].startswith(b"http/1.1 200")
            assert chunks(file) == whole


def test_readers_in_parallel(big, whole):
    bodies = []

    def read(window):
        with opened(big, request(big), window) as s, s.makefile("rb") as file:
            head(file)
            bodies.append(chunks(file) == whole)

    threads = [threading.Thread(target=read, args=(w,)) for w in (None, 4096, 65536, 9999) * 3]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert bodies == [True] * len(threads)


@pytest.mark.parametrize("late", [0, 0.03], ids=["at once", "when it waits"])
@pytest.mark.parametrize("linger", [False, True], ids=["end", "reset"])
def test_a_reader_that_leaves(big, late, linger):
    before = sockets(big)
    for _ in range(30):
        with opened(big, request(big), 4096) as s:
            if linger:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            time.sleep(late)
    # each one's socket is closed again, so its answer has ended
    settled(lambda: sockets(big) <= before)
    assert big.get("/big/d00000").status == 200


def test_a_reader_that_has_nothing_more_to_say(big, whole):
    """It closed its side: it takes the answer all the same."""
    with opened(big, request(big), 4096) as s, s.makefile("rb") as file:
        assert head(file)[0].startswith(b"http/1.1 200")
        s.shutdown(socket.SHUT_WR)
        time.sleep(2.5)  # the look at the clients that are gone has come by
        assert chunks(file) == whole


def test_http_1_0_takes_no_chunks(big, whole):
    with opened(big, request(big, version="1.0")) as s, s.makefile("rb") as file:
        lines = head(file)
        assert not [x for x in lines if x.startswith(b"transfer-encoding")]
        assert file.read() == whole


def test_head_of_a_stream(big):
    """Has no body, also no last chunk: the next answer follows."""
    data = request(big).replace(b"GET", b"HEAD") + request(big, "/big/d00001")
    with opened(big, data) as s, s.makefile("rb") as file:
        assert head(file)[0].startswith(b"http/1.1 200")
        assert head(file)[0].startswith(b"http/1.1 200")


def test_a_server_with_slow_readers_stops():
    """In a while: what nobody takes is cut off."""
    with Server() as server, contextlib.ExitStack() as stack:
        server.put("/big")
        docs = [{"_id": "d%05d" % i, "text": TEXT} for i in range(DOCS)]
        server.post("/big/_bulk_docs", {"docs": docs})
        for _ in range(10):
            stack.enter_context(opened(server, request(server), 4096))
        time.sleep(0.3)
        began = time.monotonic()
        server.stop()  # its exit status must be 0
        assert time.monotonic() - began < 30


def test_a_large_body_among_small_requests(big):
    """Read in turns; whole, whatever the pieces in which it comes."""
    docs = [{"_id": "x%05d" % i, "text": TEXT + str(i)} for i in range(DOCS)]
    body = json.dumps({"docs": docs}).encode()
    assert len(body) > 5 << 20
    assert big.put("/turns").status == 201
    head_text = "POST /turns/_bulk_docs HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n"
    head_text += "Content-Type: application/json\r\n%s\r\n\r\n"
    chunked = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 77777]), body[i : i + 77777])
        for i in range(0, len(body), 77777)
    )
    kinds = [
        ("Content-Length: %d" % len(body), body),
        ("Transfer-Encoding: chunked", chunked + b"0\r\n\r\n"),
    ]
    for framing, data in kinds:
        with opened(big, (head_text % (big.auth_header(), framing)).encode()) as s:
            for start in range(0, len(data), 300_001):
                s.sendall(data[start : start + 300_001])
                assert big.get("/big/d00000").status == 200
            with s.makefile("rb") as file:
                assert head(file)[0].startswith(b"http/1.1 201")
    assert big.get("/turns").json()["doc_count"] == DOCS
    assert big.get("/turns/x00042").json()["text"] == TEXT + "42"
    # the second time each document was there already
    assert big.get("/turns").json()["update_seq"].split("-")[0] == str(DOCS)
