"""Bodies that are not collected: judged before they come, taken piece by piece, bounded memory.

DIVAN_LARGE_MIB sets the size of the large attachments (default 200; the issue asks for 1024).
"""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import random
import socket
import threading
import time
import zlib

import pytest
from support.check import error
from support.server import PASSWORD, USER, Server, complete_answer, quote

MIB = 1 << 20
LARGE = int(os.environ.get("DIVAN_LARGE_MIB", "200")) * MIB
GROWTH = 64 * MIB  # of the server's memory, whatever passes through it
SANITIZED = bool(os.environ.get("DIVAN_SANITIZE"))
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BLOCK = random.Random(7).randbytes(MIB)


def head(server, line, *headers, auth=True):
    rows = [line.encode(), b"Host: x"]
    if auth:
        rows.append(b"Authorization: " + server.auth_header().encode())
    return b"\r\n".join(rows + [h.encode() for h in headers]) + b"\r\n\r\n"


def connect(server):
    return contextlib.closing(socket.create_connection(("127.0.0.1", server.port), 20))


def answer(s):
    """One answer with its body; what came when the server closed. Not "100 Continue"."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while not complete_answer(got):
            part = s.recv(65536)
            if not part:
                break
            got = (got + part).removeprefix(CONTINUE)
    return got


def status(got):
    return int(got.split(b" ", 2)[1]) if got.startswith(b"HTTP/1.1 ") else None


def digest(data):
    return "md5-" + base64.b64encode(hashlib.md5(data).digest()).decode()


# ---- before the body ------------------------------------------------------


def early_cases(db):
    name = db.path
    long = "Content-Length: %d" % (50 * MIB)
    rev = db.save("here", {})
    return [
        (401, "PUT %s/a/t HTTP/1.1" % name, [long], False),
        (404, "PUT %s-not/a/t HTTP/1.1" % name, [long], True),
        (405, "PUT %s/_changes HTTP/1.1" % name, [long], True),
        (400, "PUT %s/a/_t HTTP/1.1" % name, [long], True),
        (400, "PUT %s/_local/a/t HTTP/1.1" % name, [long], True),
        (409, "PUT %s/here/t HTTP/1.1" % name, [long], True),
        (409, "PUT %s/here/t?rev=1-00 HTTP/1.1" % name, [long], True),
        (409, "PUT %s/nowhere/t?rev=%s HTTP/1.1" % (name, rev), [long], True),
        (413, "PUT %s/a/t HTTP/1.1" % name, ["Content-Length: %d" % (8192 * MIB)], True),
        (413, "PUT %s/a HTTP/1.1" % name, ["Content-Length: %d" % (100 * MIB)], True),
        (415, "PUT %s/a/t HTTP/1.1" % name, [long, "Content-Encoding: br"], True),
        (
            400,
            "PUT %s/a HTTP/1.1" % name,
            [long, "Content-Type: multipart/related; boundary="],
            True,
        ),
    ]


def test_refused_before_it_is_sent(server, db):
    """With Expect: 100-continue the answer comes and nobody asks for the body."""
    for want, line, headers, auth in early_cases(db):
        with connect(server) as s:
            s.sendall(head(server, line, *headers, "Expect: 100-continue", auth=auth))
            got = answer(s)
            assert status(got) == want, (line, got)
            assert s.recv(1) == b""  # the connection is of no use any more


def test_refused_although_it_is_sent(server, db):
    """Without it the body is read and dropped, so that the answer can be seen."""
    for want, line, headers, auth in early_cases(db):
        if want == 413:  # more than anybody would read
            continue
        with connect(server) as s:
            s.sendall(head(server, line, *headers, auth=auth))
            for _ in range(50):
                s.sendall(BLOCK)
            assert status(answer(s)) == want, line
            s.sendall(head(server, "GET /_up HTTP/1.1"))  # and the connection lives on
            assert status(answer(s)) == 200


def test_continue(server, db):
    for line in ("PUT %s/a/t HTTP/1.1" % db.path, "PUT %s/b HTTP/1.1" % db.path):
        with connect(server) as s:
            s.sendall(head(server, line, "Content-Length: 2", "Expect: 100-continue"))
            assert s.recv(65536) == CONTINUE
            s.sendall(b"{}")
            assert status(answer(s)) == 201
    assert db.get("a/t").body == b"{}"


def test_empty_bodies(server, db):
    for extra in ([], ["Content-Length: 0"], ["Content-Length: 0", "Expect: 100-continue"]):
        with connect(server) as s:
            doc = "e%d" % len(extra)
            s.sendall(head(server, "PUT %s/%s/t HTTP/1.1" % (db.path, doc), *extra))
            assert status(answer(s)) == 201
        assert db.get(doc).json()["_attachments"]["t"]["length"] == 0
    with connect(server) as s:
        chunked = head(server, "PUT %s/c/t HTTP/1.1" % db.path, "Transfer-Encoding: chunked")
        s.sendall(chunked + b"0\r\n\r\n")
        assert status(answer(s)) == 201
    assert db.get("c/t").body == b""


# ---- pieces ---------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 65536, 262143, 262144, 262145, 3 * MIB + 1])
def test_sizes(server, db, size):
    """Around the size of a piece, in chunks and with a length, slow and fast."""
    data = (BLOCK * 4)[:size]
    with connect(server) as s:
        s.sendall(head(server, "PUT %s/a/t HTTP/1.1" % db.path, "Content-Length: %d" % size))
        step = max(1, size // 7)
        for at in range(0, size, step):
            s.sendall(data[at : at + step])
            time.sleep(0.01)
        assert status(answer(s)) == 201
        line = "PUT %s/b/t HTTP/1.1" % db.path
        s.sendall(head(server, line, "Transfer-Encoding: chunked"))
        for at in range(0, size, 100003):
            piece = data[at : at + 100003]
            s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
        s.sendall(b"0\r\n\r\n")
        assert status(answer(s)) == 201
    for doc in ("a", "b"):
        assert db.get(doc + "/t").body == data
        assert db.get(doc).json()["_attachments"]["t"]["digest"] == digest(data)


def test_many_at_once(server, db):
    """More uploads and downloads at a time than there are workers."""
    failures = []

    def one(n):
        data = BLOCK[n:] + BLOCK[:n]
        try:
            reply = server.put("%s/d%d/t" % (db.path, n), data)
            assert reply.status == 201, reply
            assert server.get("%s/d%d/t" % (db.path, n)).body == data
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e)[:300])

    threads = [threading.Thread(target=one, args=(n,)) for n in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def blobs(server):
    return set(os.listdir(os.path.join(server.data, "0", "blob")))


def test_clients_that_go(server, db):
    """In the head, in the body, before the answer: nothing is written, nothing stays."""
    before = blobs(server)
    body = related({"_attachments": {"t": {"follows": True}}}, BLOCK)
    kind = "Content-Type: multipart/related; boundary=B0"
    for line, headers, data in (
        ("PUT %s/gone/t HTTP/1.1" % db.path, [], BLOCK),
        ("PUT %s/gone HTTP/1.1" % db.path, [kind], body),
    ):
        for sent in (0, 1000, 300000, len(data) - 1):
            with connect(server) as s:
                s.sendall(head(server, line, "Content-Length: %d" % len(data), *headers))
                s.sendall(data[:sent])
                time.sleep(0.05 if sent % 2 else 0)
    assert db.get("gone").status == 404
    deadline = time.monotonic() + 20
    while not blobs(server) <= before:
        assert time.monotonic() < deadline, blobs(server) - before
        time.sleep(0.05)


def test_clients_that_stall(server, db):
    """A body must come at a certain rate; until then others are served."""
    with connect(server) as s:
        s.sendall(head(server, "PUT %s/slow/t HTTP/1.1" % db.path, "Content-Length: %d" % MIB))
        s.sendall(BLOCK[:1000])
        began = time.monotonic()
        while time.monotonic() - began < 18:
            assert db.put("quick%f/t" % time.monotonic(), b"x").status == 201
            time.sleep(0.5)
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                assert s.recv(1) == b""
                break
        assert time.monotonic() - began < 17
    assert db.get("slow").status == 404


def test_stop_during_an_upload(server_of_its_own):
    server = server_of_its_own
    server.put("/db")
    with connect(server) as s:
        s.sendall(head(server, "PUT /db/a/t HTTP/1.1", "Content-Length: %d" % (5 * MIB)))
        s.sendall(BLOCK)
        time.sleep(0.3)
        server.stop()
    server.start()
    assert server.get("/db/a").status == 404
    server.stop()
    code, text = server.check()
    assert code == 0, text


@pytest.fixture
def server_of_its_own():
    with Server() as running:
        yield running


# ---- parts ----------------------------------------------------------------


def related(doc, *blobs, end=b"--"):
    out = b"--B0\r\nContent-Type: application/json\r\n\r\n" + json.dumps(doc).encode()
    for blob in blobs:
        out += b"\r\n--B0\r\nContent-Type: x/y\r\n\r\n" + blob
    return out + b"\r\n--B0" + end


def put_related(db, doc, body):
    kind = {"Content-Type": "multipart/related; boundary=B0"}
    return db.put(doc, body, headers=kind)


def test_parts_of_all_sizes(db):
    sizes = [0, 1, 5, 262144 - 60, 262144, 300001, 3 * MIB]
    blobs = [(BLOCK * 4)[:n] for n in sizes]
    doc = {"_attachments": {"t%d" % i: {"follows": True} for i in range(len(blobs))}}
    reply = put_related(db, "a", related(doc, *blobs))
    assert reply.status == 201, reply
    for i, blob in enumerate(blobs):
        assert db.get("a/t%d" % i).body == blob
    reply = db.get("a?attachments=true", headers={"Accept": "multipart/related"})
    for blob in blobs:
        assert b"\r\n\r\n" + blob + b"\r\n--" in reply.body


def test_what_is_wrong_with_parts(db):
    two = {"_attachments": {"a": {"follows": True}, "b": {"follows": True}}}
    error(put_related(db, "a", related(two, BLOCK)), 400)
    error(put_related(db, "a", related(two, BLOCK, BLOCK, BLOCK)), 400)
    error(put_related(db, "a", related(two, BLOCK, BLOCK, end=b"")), 400)
    error(put_related(db, "a", related({}, BLOCK)), 400)
    error(put_related(db, "a", b"--B0\r\n\r\n{\r\n--B0--"), 400)
    error(put_related(db, "a", b"--B0\r\nX: " + b"x" * 20000), 413)
    error(put_related(db, "a", b"x" * 3 * MIB), 400)
    error(put_related(db, "a", b"--B0\r\n\r\n{}" + b" " * 70 * MIB + b"\r\n--B0--"), 413)
    assert db.get("a").status == 404


# ---- encodings ------------------------------------------------------------


def test_gzip_is_kept_as_it_came(db):
    plain = b"all work and no play " * 100000
    packed = gzip.compress(plain)
    gz = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    assert db.put("a/t", packed, headers=gz).status == 201
    entry = db.get("a?att_encoding_info=true").json()["_attachments"]["t"]
    assert entry["length"] == len(plain) and entry["encoded_length"] == len(packed)
    assert entry["encoding"] == "gzip" and entry["digest"] == digest(packed)
    reply = db.get("a/t", headers={"Accept-Encoding": "gzip"})
    assert reply.body == packed and reply.headers["content-encoding"] == "gzip"
    assert reply.headers["accept-ranges"] == "none"
    reply = db.get("a/t", headers={"Range": "bytes=0-3"})
    assert reply.status == 200 and reply.body == plain
    assert "content-encoding" not in reply.headers
    reply = db.head("a/t", headers={"Accept-Encoding": "gzip"})
    assert reply.headers["content-length"] == str(len(packed))
    error(db.put("b/t", b"not gzip", headers=gz), 400)
    error(db.put("b/t", packed[:-1], headers=gz), 400)
    assert db.get("b").status == 404


def test_a_bomb_is_inflated_piece_by_piece(server, db):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    gz = {"Content-Encoding": "gzip"}
    with bounded(server):
        assert db.put("a/t", packed, headers=gz).status == 201
        with server.stream(db.url("a/t")) as s:
            assert sum(len(p) for p in iter(lambda: s.answer.read(MIB), b"")) == 200 * MIB


# ---- ranges ---------------------------------------------------------------


DIGITS = b"0123456789"


@pytest.mark.parametrize(
    "value,want",
    [
        ("bytes=0-", DIGITS),
        ("bytes=1-", b"123456789"),
        ("bytes=0-9", b"0123456789"),
        ("bytes=9-9", b"9"),
        ("bytes=5-500", b"56789"),
        ("bytes=-4", b"6789"),
        ("bytes=-40", DIGITS),
        ("bytes=10-", None),
        ("bytes=10-11", None),
        ("bytes=4-3", None),
        ("bytes=-0", None),
        ("bytes=0-1,4-3", None),
        ("bytes=0-1,20-30", None),
        ("bytes=a-b", DIGITS),
        ("bytes=", DIGITS),
        ("bytes=-", DIGITS),
        ("bytes=1", DIGITS),
        ("bytes=0-1,", DIGITS),
        ("bytes=0-1,x", DIGITS),
        ("bytes=18446744073709551616-", DIGITS),
        ("bytes=0-18446744073709551615", DIGITS),
        ("rows=0-1", DIGITS),
        ("", DIGITS),
        (",".join(["bytes=0-0"] + ["1-1"] * 9), DIGITS),
    ],
)
def test_ranges(db, value, want):
    db.put("a/t", DIGITS, headers={"Content-Type": "text/plain"})
    reply = db.get("a/t", headers={"Range": value})
    if want is None:
        error(reply, 416, "requested_range_not_satisfiable")
        assert reply.headers["content-range"] == "bytes */10"
        return
    assert reply.status in (200, 206) and reply.body == want
    assert (reply.status == 206) == ("content-range" in reply.headers)
    head_reply = db.head("a/t", headers={"Range": value})
    assert head_reply.status == reply.status
    assert head_reply.headers["content-length"] == str(len(want))


def test_byteranges(db):
    db.put("a/t", BLOCK, headers={"Content-Type": "image/png"})
    reply = db.get("a/t", headers={"Range": "bytes=0-0,-2,5-400000,0-0"})
    assert reply.status == 206
    kind, _, boundary = reply.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    parts = [(0, 0), (MIB - 2, MIB - 1), (5, 400000), (0, 0)]
    mark = b"--" + boundary.strip('"').encode()
    want = mark
    for a, b in parts:
        want += b"\r\nContent-Type: image/png\r\n"
        want += b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (a, b, MIB)
        want += BLOCK[a : b + 1] + b"\r\n" + mark
    assert reply.body == want + b"--"
    assert reply.headers["content-length"] == str(len(reply.body))


def test_not_modified_comes_before_ranges(db):
    db.put("a/t", DIGITS)
    tag = db.get("a/t").headers["etag"]
    assert db.get("a/t", headers={"Range": "bytes=50-", "If-None-Match": tag}).status == 304


# ---- large ----------------------------------------------------------------


def memory(server, field="VmRSS"):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    raise AssertionError(field)


@contextlib.contextmanager
def bounded(server):
    """The server's peak memory grows by GROWTH at most (sanitizers keep what was freed)."""
    with open("/proc/%d/clear_refs" % server.process.pid, "w", encoding="ascii") as f:
        f.write("5")
    before = memory(server)
    yield
    if not SANITIZED:
        assert memory(server, "VmHWM") - before < GROWTH


def pieces(size, pause=0):
    for n in range(size // MIB):
        if pause and n % 20 == 0:
            time.sleep(pause)
        yield b"%8d" % n + BLOCK[8:]


def md5_of(blocks):
    md5 = hashlib.md5()
    for block in blocks:
        md5.update(block)
    return base64.b64encode(md5.digest()).decode()


def send(s, blocks):
    for block in blocks:
        s.sendall(block)


def read_md5(server, path, headers=None):
    with server.stream(path, headers=headers) as s:
        assert s.status == 200
        return md5_of(iter(lambda: s.answer.read(MIB), b""))


def test_large_up_and_down(server, db):
    want = md5_of(pieces(LARGE))
    line = "PUT %s/a/t HTTP/1.1" % db.path
    with bounded(server):
        with connect(server) as s:
            s.sendall(head(server, line, "Content-Length: %d" % LARGE))
            send(s, pieces(LARGE, 0.05))
            assert status(answer(s)) == 201
        assert read_md5(server, db.url("a/t")) == want
        last = db.get("a/t", headers={"Range": "bytes=-10"})
        assert last.status == 206 and last.body == BLOCK[-10:]
    assert db.get("a").json()["_attachments"]["t"]["digest"] == "md5-" + want


def test_large_in_parts(server, db):
    """What CouchDB's replicator sends and reads."""
    want = md5_of(pieces(LARGE))
    doc = {"_attachments": {"t": {"follows": True, "length": LARGE, "digest": "md5-" + want}}}
    front, _, back = related(doc, b"@").rpartition(b"@")
    line = "PUT %s/a HTTP/1.1" % db.path
    length = "Content-Length: %d" % (len(front) + LARGE + len(back))
    with bounded(server):
        with connect(server) as s:
            kind = 'Content-Type: multipart/related; boundary="B0"'
            s.sendall(head(server, line, length, kind) + front)
            send(s, pieces(LARGE))
            s.sendall(back)
            assert status(answer(s)) == 201
        accept = {"Accept": "multipart/mixed"}
        with server.stream(db.url("a?open_revs=all&revs=true"), headers=accept) as s:
            got = s.answer.read(4096)
            at = got.index(b"\r\n\r\n", got.index(b"Content-Length")) + 4
            md5 = hashlib.md5(got[at:])
            left = LARGE - (len(got) - at)
            while left:
                part = s.answer.read(min(MIB, left))
                assert part
                md5.update(part)
                left -= len(part)
            tail = s.answer.read()
        assert base64.b64encode(md5.digest()).decode() == want
        assert tail.startswith(b"\r\n--") and tail.endswith(b"--")
    assert db.get(quote("a") + "/t", headers={"Range": "bytes=0-7"}).body == b"       0"


# ---- replication ----------------------------------------------------------


def pull(target, source, name):
    pair = quote(USER) + ":" + quote(PASSWORD)
    url = "http://%s@127.0.0.1:%d/%s" % (pair, source.port, name)
    body = {"source": url, "target": name, "create_target": True}
    reply = target.post("/_replicate", body)
    assert reply.status == 200, reply
    return reply.json()["history"][0]


def sent_bytes(server):
    text = server.get("/_node/_local/_prometheus").body.decode()
    for line in text.splitlines():
        if "response_bytes" in line and not line.startswith("#"):
            return float(line.split()[-1])
    raise AssertionError(text)


def test_large_attachments_replicate(server, server_of_its_own, db):
    """In bounded memory on both sides, and only when the target has not got them."""
    target = server_of_its_own
    want = md5_of(pieces(LARGE))
    with connect(server) as s:
        line = "PUT %s/a/t HTTP/1.1" % db.path
        s.sendall(head(server, line, "Content-Length: %d" % LARGE))
        send(s, pieces(LARGE))
        assert status(answer(s)) == 201
    packed = gzip.compress(b"text " * 100000)
    rev = db.get("a").json()["_rev"]
    gz = {"Content-Encoding": "gzip"}
    assert db.put("a/z?rev=" + rev, packed, headers=gz).status == 201
    with bounded(server), bounded(target):
        history = pull(target, server, db.name)
    assert history["docs_written"] == 1 and history["doc_write_failures"] == 0
    assert read_md5(target, db.path + "/a/t") == want
    same = "/a?att_encoding_info=true&revs=true"
    assert target.get(db.path + same).json() == server.get(db.path + same).json()

    doc = db.get("a").json()
    db.save("a", dict(doc, more=1))
    before = sent_bytes(server)
    assert pull(target, server, db.name)["docs_written"] == 1
    assert sent_bytes(server) - before < MIB
    assert target.get(db.path + same).json() == server.get(db.path + same).json()
    assert target.get(db.path + "/a/t", headers={"Range": "bytes=-10"}).body == BLOCK[-10:]
