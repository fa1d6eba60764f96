"""SIGKILL under mixed writes, again and again, with an oracle outside the server.

Each thread owns its documents, so for each one the oracle knows the last acknowledged state and
at most one request without an answer.  After a restart a document is in the acknowledged state
or in the one the open request asked for; anything else is a lost write or an invented one.

KILL_CYCLES (default 20) and KILL_SEED choose how long and which run.
"""

import base64
import collections
import hashlib
import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.server import Server, quote  # noqa: E402  (the path is set just above)
from support.vectors import pack  # noqa: E402

CYCLES = int(os.environ.get("KILL_CYCLES", "20"))
SEED = int(os.environ.get("KILL_SEED", str(random.randrange(1 << 30))))
THREADS = 6
DOCS = 30
DIMS = 8

# rev: None = not known; op: the number that the writing request put into the body.
State = collections.namedtuple("State", "rev op deleted att")
ABSENT = State(None, None, True, None)


def digest(data):
    return "md5-" + base64.b64encode(hashlib.md5(data).digest()).decode("ascii")


class Writer(threading.Thread):
    """Random writes to its own documents until the server is gone."""

    def __init__(self, server, number, book):
        super().__init__()
        self.server = server
        self.number = number
        self.book = book
        self.rng = random.Random("%d %d %d" % (SEED, number, book.cycle))
        self.failure = None

    def run(self):
        try:
            while not self.book.stop:
                self.step()
        except (OSError, http.client.HTTPException):
            pass  # The kill; what was asked for stays in book.pending.
        except Exception as failure:  # noqa: BLE001  (a thread must report, not vanish)
            self.failure = failure

    def step(self):
        kinds = [self.update, self.remove, self.bulk, self.graft, self.attach, self.local]
        self.rng.choices(kinds, weights=[8, 2, 3, 2, 2, 1])[0]()

    def pick(self):
        return "w%d-%02d" % (self.number, self.rng.randrange(DOCS))

    def body(self, op):
        vector = [self.rng.gauss(0, 1) for _ in range(DIMS)]
        pad = "x" * self.rng.choices([0, 10, 100, 1000, 20000], weights=[8, 8, 8, 8, 1])[0]
        return {"op": op, "vec": pack(vector), "pad": pad}

    def next_state(self, doc_id, deleted=False):
        """A new body for a document, and the state it leads to."""
        known = self.book.acked.get(doc_id, ABSENT)
        op = self.book.next_op()
        doc = self.body(op)
        if known.rev and not known.deleted:
            doc["_rev"] = known.rev
        if deleted:
            doc["_deleted"] = True
        keeps = known.att and not known.deleted and not deleted and self.rng.random() < 0.7
        if keeps:
            stub = {"stub": True, "digest": known.att, "content_type": "x/y"}
            doc["_attachments"] = {"a": stub}
        return doc, State(None, op, deleted, known.att if keeps else None)

    def settle(self, doc_id, rev):
        with self.book.lock:
            state = self.book.pending.pop(doc_id)
            self.book.acked[doc_id] = state._replace(rev=rev)
            self.book.writes += 1

    def ask(self, doc_id, state):
        with self.book.lock:
            self.book.pending[doc_id] = state
            self.book.asked += 1

    def done(self, reply, doc_id):
        if reply.status == 503:
            raise OSError("the server is going down")
        assert reply.status in (200, 201), (doc_id, reply)
        self.settle(doc_id, reply.json()["rev"])

    def update(self):
        doc_id = self.pick()
        doc, state = self.next_state(doc_id)
        self.ask(doc_id, state)
        self.done(self.server.put("/kill/" + doc_id, doc), doc_id)

    def remove(self):
        doc_id = self.pick()
        known = self.book.acked.get(doc_id, ABSENT)
        if known.deleted:
            return
        if self.rng.random() < 0.5:
            self.ask(doc_id, State(None, None, True, None))
            self.done(self.server.delete("/kill/%s?rev=%s" % (doc_id, known.rev)), doc_id)
            return
        doc, state = self.next_state(doc_id, deleted=True)
        self.ask(doc_id, state)
        self.done(self.server.put("/kill/" + doc_id, doc), doc_id)

    def bulk(self):
        docs = []
        for doc_id in {self.pick() for _ in range(self.rng.choice([2, 5, 20]))}:
            doc, state = self.next_state(doc_id)
            self.ask(doc_id, state)
            docs.append(dict(doc, _id=doc_id))
        reply = self.server.post("/kill/_bulk_docs", {"docs": docs})
        if reply.status == 503:
            raise OSError("the server is going down")
        assert reply.status == 201, reply
        for row in reply.json():
            assert row.get("ok"), row
            self.settle(row["id"], row["rev"])

    def graft(self):
        docs, revs = [], {}
        for doc_id in {self.pick() for _ in range(self.rng.choice([1, 3, 10]))}:
            known = self.book.acked.get(doc_id, ABSENT)
            doc, state = self.next_state(doc_id)
            if known.rev:
                generation, parent = known.rev.split("-", 1)
                ids, start = [self.rng.randbytes(16).hex(), parent], int(generation) + 1
            else:
                ids, start = [self.rng.randbytes(16).hex()], 1
            doc.pop("_rev", None)
            doc.update(_id=doc_id, _revisions={"start": start, "ids": ids})
            revs[doc_id] = "%d-%s" % (start, ids[0])
            self.ask(doc_id, state._replace(rev=revs[doc_id]))
            docs.append(doc)
        body = {"docs": docs, "new_edits": False}
        reply = self.server.post("/kill/_bulk_docs", body)
        if reply.status == 503:
            raise OSError("the server is going down")
        assert reply.status == 201 and reply.json() == [], reply
        for doc_id, rev in revs.items():
            self.settle(doc_id, rev)

    def attach(self):
        doc_id = self.pick()
        known = self.book.acked.get(doc_id, ABSENT)
        sizes = [0, 10, 5000, 70_000, 300_000]
        data = self.rng.randbytes(self.rng.choices(sizes, weights=[5, 10, 10, 2, 1])[0])
        path = "/kill/%s/a" % doc_id
        if known.rev and not known.deleted:
            path += "?rev=" + known.rev
            state = State(None, known.op, False, digest(data))
        else:
            state = State(None, None, False, digest(data))
        self.ask(doc_id, state)
        headers = {"Content-Type": "x/y"}
        self.done(self.server.put(path, data, headers=headers), doc_id)

    def local(self):
        name = "_local/w%d" % self.number
        op = self.book.next_op()
        with self.book.lock:
            self.book.local_pending[name] = op
        reply = self.server.put("/kill/" + name, {"op": op})
        if reply.status == 503:
            raise OSError("the server is going down")
        assert reply.status == 201, reply
        with self.book.lock:
            self.book.local_acked[name] = self.book.local_pending.pop(name)


class Book:
    """The oracle: what was acknowledged, what is open."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked = {}
        self.pending = {}
        self.local_acked = {}
        self.local_pending = {}
        self.op = 0
        self.writes = 0
        self.asked = 0
        self.cycle = 0
        self.stop = False

    def next_op(self):
        with self.lock:
            self.op += 1
            return self.op


def matches(seen, want):
    if want.rev is not None and seen.rev != want.rev:
        return False
    return (seen.op, seen.deleted, seen.att) == (want.op, want.deleted, want.att)


def seen_state(row):
    doc = row["doc"]
    att = doc.get("_attachments", {}).get("a", {}).get("digest")
    deleted = bool(doc.get("_deleted"))
    assert deleted == bool(row.get("deleted")), row
    assert [c["rev"] for c in row["changes"]] == [doc["_rev"]], row
    return State(doc["_rev"], doc.get("op"), deleted, att)


def verify_documents(server, book):
    """Every document is in a state it may be in; returns what is there."""
    reply = server.get("/kill/_changes?since=0&style=all_docs&include_docs=true")
    assert reply.status == 200, reply
    feed = reply.json()
    seqs = [int(str(r["seq"]).split("-")[0]) for r in feed["results"]]
    assert seqs == sorted(set(seqs)), "sequences do not rise strictly"
    rows = [r for r in feed["results"] if not r["id"].startswith("_design/")]
    held = {r["id"]: seen_state(r) for r in rows}
    assert len(held) == len(rows), "a document is listed twice"
    for doc_id in sorted(set(held) | set(book.acked) | set(book.pending)):
        seen = held.get(doc_id, ABSENT)
        last = book.acked.get(doc_id, ABSENT)
        if doc_id not in held:
            assert last is ABSENT, "LOST %s: %r" % (doc_id, last)
            continue
        if doc_id in book.pending and matches(seen, book.pending[doc_id]):
            book.acked[doc_id] = seen
            continue
        assert last is not ABSENT, "INVENTED %s: %r" % (doc_id, seen)
        assert matches(seen, last), "CHANGED %s: acknowledged %r, open %r, there %r" % (
            doc_id,
            last,
            book.pending.get(doc_id),
            seen,
        )
    book.pending.clear()
    return held


def verify_listing(server, book, held):
    live = {i: s.rev for i, s in held.items() if not s.deleted}
    rows = server.get("/kill/_all_docs").json()["rows"]
    listed = {r["id"]: r["value"]["rev"] for r in rows if not r["id"].startswith("_design/")}
    assert listed == live
    info = server.get("/kill").json()
    assert info["doc_count"] == len(rows)
    assert info["doc_del_count"] == len(held) - len(live)
    seq = int(str(info["update_seq"]).split("-")[0])
    # One sequence a write; the design document is the one more.
    assert book.writes <= seq - 1 <= book.asked, (book.writes, seq, book.asked)
    book.writes = seq - 1


def verify_locals(server, book):
    for name in set(book.local_acked) | set(book.local_pending):
        reply = server.get("/kill/" + name)
        got = reply.json().get("op") if reply.status == 200 else None
        allowed = {book.local_acked.get(name), book.local_pending.get(name)}
        if name in book.local_acked and name not in book.local_pending:
            allowed = {book.local_acked[name]}
        assert got in allowed, "%s: %r, may be %r" % (name, got, allowed)
        if got is not None:
            book.local_acked[name] = got
    book.local_pending.clear()


def verify_samples(server, held, rng):
    """Attachments byte for byte, and documents found by their own vector."""
    with_data = [i for i, s in held.items() if s.att and not s.deleted]
    for doc_id in rng.sample(with_data, min(5, len(with_data))):
        data = server.get("/kill/%s/a" % quote(doc_id)).body
        assert digest(data) == held[doc_id].att, doc_id
    live = [i for i, s in held.items() if not s.deleted and s.op is not None]
    for doc_id in rng.sample(live, min(8, len(live))):
        vector = server.get("/kill/" + quote(doc_id)).json()["vec"]
        body = {"selector": {}, "vector": {"near": vector}, "limit": 1, "fields": ["_id"]}
        reply = server.post("/kill/_find", body)
        assert reply.status == 200, reply
        assert [h["id"] for h in reply.json()["hits"]] == [doc_id], (doc_id, reply)


def write_and_kill(server, book, rng):
    """One round of writers ended by a kill (now and then by SIGTERM)."""
    book.stop = False
    writers = [Writer(server, n, book) for n in range(THREADS)]
    for writer in writers:
        writer.start()
    time.sleep(rng.uniform(0.02, 0.6))
    if book.cycle % 7 == 6:
        book.stop = rng.random() < 0.5
        server.stop()
    else:
        server.kill9()
    book.stop = True
    for writer in writers:
        writer.join()
    for writer in writers:
        if writer.failure:
            raise writer.failure


def bring_back(server, book, rng):
    """Check the dead directory, perhaps lose the disposable folders, start again."""
    code, text = server.check()
    assert code == 0, "divan check: %d\n%s" % (code, text)
    if book.cycle % 4 == 3:
        folders = rng.choice([["idx"], ["vec"], ["idx", "vec"]])
        assert server.remove_folders(*folders) > 0 or folders == ["vec"]
    if book.cycle % 5 == 4:
        # A kill in the middle of recovery.
        server.spawn()
        time.sleep(rng.uniform(0, 0.1))
        server.kill9()
    server.start()


def create(server):
    assert server.put("/kill").status == 201
    index = {"fields": [{"name": "vec", "dims": DIMS, "metric": "l2"}]}
    body = {"type": "vector", "ddoc": "s", "name": "v", "index": index}
    assert server.post("/kill/_index", body).status == 200


def test_kill():
    print("KILL_SEED=%d KILL_CYCLES=%d" % (SEED, CYCLES))
    rng = random.Random(SEED)
    book = Book()
    totals = {"acked": 0}
    with Server() as server:
        create(server)
        for book.cycle in range(CYCLES):
            before = book.writes
            write_and_kill(server, book, rng)
            totals["acked"] += book.writes - before
            bring_back(server, book, rng)
            held = verify_documents(server, book)
            verify_listing(server, book, held)
            book.asked = book.writes
            verify_locals(server, book)
            verify_samples(server, held, rng)
        server.stop()
        code, text = server.check()
        assert code == 0, text
    print("%d cycles, %d acknowledged writes, none lost" % (CYCLES, totals["acked"]))
