"""Single documents under many clients: linearizable, with and without SIGKILL in the middle.

Every successful edit names its parent, so no search is needed.  The rules:
1. no two acknowledged edits have the same parent, and the final line of revisions holds every
   one of them and no refused one;
2. a read returns a revision that was acknowledged, or asked for and not yet answered, and never
   one older than a revision that was acknowledged or read before it began;
3. the same holds over a kill: what was acknowledged, or only read, is still there.

Deleted documents come back on top of their tombstones, so generations only grow, and "older" is
the smaller generation of the one line of revisions.  LINEAR_OPS (default 20000) is how many requests to make
in all, LINEAR_KILLS (default 3) how often the server is killed meanwhile, LINEAR_SEED the seed.
"""

import http.client
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import model  # noqa: E402
from support.server import Server  # noqa: E402

THREADS = 16
DOCS = 4
OPS = int(os.environ.get("LINEAR_OPS", "20000"))
ROUND = 20000
KILLS = int(os.environ.get("LINEAR_KILLS", "3"))
SEED = int(os.environ.get("LINEAR_SEED", str(random.randrange(1 << 30))))


class Book:
    """What the clients know of one document; every call is made under the lock."""

    def __init__(self, name, mortal):
        self.name = name
        self.mortal = mortal  # may be deleted; made first, as every edit must name its parent
        self.lock = threading.Lock()
        self.asked = {}  # rev -> parent: sent at least once, by anybody
        self.acked = {}  # rev -> parent
        self.child = {}  # parent -> the acknowledged rev that follows it
        self.tombs = set()  # those of self.asked that delete
        self.refused = set()  # answered with a conflict: must never be seen
        self.floor = None  # the newest revision that was acknowledged or read

    def ask(self, rev, parent, deleted):
        with self.lock:
            self.asked[rev] = parent
            if deleted:
                self.tombs.add(rev)

    def ack(self, rev, parent):
        with self.lock:
            assert self.asked.get(rev) == parent, "acknowledged, but nobody asked: %s" % (rev,)
            taken = self.child.setdefault(parent, rev)
            assert taken == rev and rev not in self.acked, "two children of %s" % (parent,)
            self.acked[rev] = parent
            if self.floor is None or rev[0] > self.floor[0]:
                self.floor = rev

    def refuse(self, rev):
        with self.lock:
            self.refused.add(rev)

    def lowest(self):
        with self.lock:
            return self.floor

    def saw(self, rev, lowest):
        """A read that began when `lowest` was known returned rev (None: no document)."""
        with self.lock:
            if rev is None:
                assert lowest is None, "%s was there and is no more" % (lowest,)
                return
            assert rev in self.asked, "read a revision nobody asked for: %s" % (rev,)
            assert rev not in self.refused, "read a revision that was refused: %s" % (rev,)
            assert lowest is None or rev[0] >= lowest[0], "%s is older than %s" % (rev, lowest)
            assert rev[0] != (lowest or (0,))[0] or rev == lowest, "%s beside %s" % (rev, lowest)
            if self.floor is None or rev[0] > self.floor[0]:
                self.floor = rev

    def saw_deleted(self, lowest):
        """A read that began when `lowest` was known found the document deleted."""
        with self.lock:
            least = lowest[0] if lowest else 0
            found = any(
                rev == lowest or rev[0] > least for rev in self.tombs if rev not in self.refused
            )
            assert found, "deleted, but nobody asked for that after %s" % (lowest,)

    def verify(self, line):
        """line: the final revisions, newest first; every acknowledged one must be on it."""
        for rev, parent in zip(line, line[1:] + [None]):
            assert self.asked[rev] == parent, "the line leads where nobody asked to go"
        assert not self.refused & set(line), "refused and written all the same"
        lost = set(self.acked) - set(line)
        assert not lost, "acknowledged and lost: %s" % sorted(lost)


class Client(threading.Thread):
    def __init__(self, number, server, books, budget):
        super().__init__()
        self.server = server
        self.books = books
        self.budget = budget
        self.rng = random.Random("%d %d" % (SEED, number))
        self.number = number
        self.count = self.writes = self.conflicts = 0
        self.failure = None

    def run(self):
        try:
            while self.budget.take():
                self.step()
        except Exception as failure:  # noqa: BLE001  (a thread must report, not vanish)
            self.failure = failure
            self.budget.end()

    def step(self):
        self.count += 1
        book = self.rng.choice(self.books)
        try:
            if self.rng.random() < 0.5:
                self.read(book)
            else:
                self.write(book)
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)  # The server was killed; an edit without an answer stays open.

    def read(self, book):
        lowest = book.lowest()
        if self.rng.random() < 0.7:
            reply = self.server.get("/linear/" + book.name)
            known = reply.status == 200
            assert known or reply.status == 404, reply
            if reply.status == 404 and reply.json()["reason"] == "deleted":
                book.saw_deleted(lowest)
                return
            rev = model.parse_rev(reply.json()["_rev"]) if known else None
        else:
            reply = self.server.post("/linear/_all_docs", {"keys": [book.name]})
            assert reply.status == 200, reply
            value = reply.json()["rows"][0].get("value")
            rev = model.parse_rev(value["rev"]) if value else None
            assert not value or (rev in book.tombs) == value.get("deleted", False), reply
        book.saw(rev, lowest)

    def write(self, book):
        """An edit of the newest revision known, or sometimes of an older one."""
        parent = book.lowest()
        if parent and parent[0] > 1 and self.rng.random() < 0.1:
            parent = book.asked[parent]
        elif self.rng.random() < 0.1:
            reply = self.server.get("/linear/" + book.name)
            if reply.status == 200:
                parent = model.parse_rev(reply.json()["_rev"])
        self.writes += 1
        body = {"who": self.number, "n": self.writes}
        deleted = book.mortal and parent not in book.tombs and self.rng.random() < 0.15
        rev = model.new_rev(parent, deleted, body, {})
        sent = dict(body, _rev=model.show_rev(parent)) if parent else dict(body)
        if deleted:
            sent["_deleted"] = True
        book.ask(rev, parent, deleted)
        if self.rng.random() < 0.7:
            reply = self.server.put("/linear/" + book.name, sent)
            status = reply.status
            got = reply.json().get("rev")
        else:
            docs = [dict(sent, _id=book.name)]
            reply = self.server.post("/linear/_bulk_docs", {"docs": docs})
            row = reply.json()[0]
            got = row.get("rev")
            status = 409 if row.get("error") == "conflict" else reply.status
        if status == 409:
            self.conflicts += 1
            book.refuse(rev)
            return
        assert status in (200, 201) and got == model.show_rev(rev), reply
        book.ack(rev, parent)


class Budget:
    """How many requests are still to be made."""

    def __init__(self, left):
        self.lock = threading.Lock()
        self.left = left

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def end(self):
        with self.lock:
            self.left = 0

    def wait_for(self, left):
        while self.left > left:
            time.sleep(0.01)


def final_line(server, book):
    reply = server.get("/linear/%s?open_revs=all&revs=true" % book.name)
    assert reply.status == 200, reply
    leaves = reply.json()
    assert len(leaves) == 1, "interactive edits made a branch: %r" % leaves
    doc = leaves[0]["ok"]
    start, ids = doc["_revisions"]["start"], doc["_revisions"]["ids"]
    return [model.parse_rev("%d-%s" % (start - i, text)) for i, text in enumerate(ids)]


def run_clients(ops, kills):
    """In rounds, each with its own documents: a line of revisions has a bound."""
    clients, books = [], []
    rounds = -(-ops // ROUND)
    with Server() as server:
        assert server.put("/linear").status == 201
        assert server.put("/linear/_revs_limit", "10000").status == 200
        for number in range(rounds):
            some = kills * (number + 1) // rounds - kills * number // rounds
            used, more = run_round(server, number, ops // rounds, some)
            clients += used
            books += more
    total = [sum(getattr(c, name) for c in clients) for name in ("count", "writes", "conflicts")]
    acked = sum(len(book.acked) for book in books)
    print("%d requests, %d edits, %d conflicts, %d acked, %d kills, LINEAR_SEED=%d"
          % (*total, acked, kills, SEED))  # fmt: skip
    assert acked > ops // 100


def run_round(server, number, ops, kills):
    books = [Book("doc%d-%d" % (number, i), i % 2 == 1) for i in range(DOCS)]
    for book in (b for b in books if b.mortal):
        rev = model.new_rev(None, False, {}, {})
        book.ask(rev, None, False)
        assert server.put("/linear/" + book.name, {}).status == 201
        book.ack(rev, None)
    budget = Budget(ops)
    clients = [Client(number * THREADS + i, server, books, budget) for i in range(THREADS)]
    for client in clients:
        client.start()
    for kill in range(kills):
        budget.wait_for(ops * (kills - kill) // (kills + 1))
        server.restart(kill=True)
    for client in clients:
        client.join()
    failures = [c.failure for c in clients if c.failure]
    if failures:
        raise failures[0]
    for book in books:
        book.verify(final_line(server, book))
    return clients, books


def test_sixteen_clients():
    run_clients(OPS // 2, 0)


def test_sixteen_clients_and_kills():
    run_clients(OPS - OPS // 2, KILLS)
