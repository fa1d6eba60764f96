"""The oracle: what was acknowledged, and for each document the one request that has no answer yet.

Contents follow from a number: `op` is drawn for each write and stands in the body, and body, vector
and attachment are functions of it, so that nothing but numbers has to be remembered.
"""

import base64
import collections
import hashlib
import itertools
import math
import random
import struct

DIMS = 8
PADS = (0, 1, 12, 12, 120, 120, 600, 2500)
SIZES = (0, 10, 10, 3000, 3000, 20_000, 70_000, 300_000)

# op None: deleted without a body. att: op of the attachment, or None.
Leaf = collections.namedtuple("Leaf", "op deleted att")


def vector(op):
    return [math.sin(op * (k + 1.37)) for k in range(DIMS)]


def packed(op):
    return base64.b64encode(struct.pack("<%df" % DIMS, *vector(op))).decode()


def body(op):
    pad = "%08x" % (op * 2654435761 & 0xFFFFFFFF)
    return {"op": op, "vec": packed(op), "pad": pad * PADS[op % len(PADS)]}


def att_data(op):
    return random.Random(op).randbytes(SIZES[op % len(SIZES)])


def att_digest(op):
    return "md5-" + base64.b64encode(hashlib.md5(att_data(op)).digest()).decode()


def generation(rev):
    return int(rev.split("-", 1)[0])


def winner(leaves):
    """The revision that CouchDB's rule makes the winner."""
    return max(leaves, key=lambda r: (not leaves[r].deleted, generation(r), r.split("-", 1)[1]))


class Doc:
    """Acknowledged leaves by revision, and what the open request would make of them."""

    __slots__ = ("leaves", "pending", "seen")

    def __init__(self):
        self.leaves = {}
        self.pending = None  # (revisions that go, revision or None, generation, Leaf or None)
        self.seen = [{}]  # every state since watch()

    def watch(self):
        # In this order: a settle in another thread is in the copy or comes behind it.
        self.seen = seen = []
        seen.append(dict(self.leaves))

    def ask(self, gone, leaf, rev=None):
        gen = generation(rev) if rev else 1 + max((generation(r) for r in gone), default=0)
        self.pending = (gone, rev, gen, leaf)

    def settle(self, rev):
        gone, _, _, leaf = self.pending
        for old in gone:
            self.leaves.pop(old, None)
        if leaf is not None:
            self.leaves[rev] = leaf
        self.pending = None
        self.seen.append(dict(self.leaves))

    def was(self, revs):
        """The state since watch() that has these leaves, or the one that is asked for; or None."""
        for leaves in self.seen:
            if set(leaves) == set(revs):
                return leaves
        return self.accept(revs)

    def accept(self, revs):
        """The leaves that a server shows; None when they are those of neither state."""
        if set(revs) == set(self.leaves):
            return self.leaves
        if self.pending is None:
            return None
        gone, rev, gen, leaf = self.pending
        after = {r: v for r, v in self.leaves.items() if r not in gone}
        fresh = [r for r in revs if r not in after]
        if leaf is None:
            return after if not fresh and set(revs) == set(after) else None
        if len(fresh) != 1 or len(revs) != len(after) + 1:
            return None
        if (rev or fresh[0]) != fresh[0] or generation(fresh[0]) != gen:
            return None
        after[fresh[0]] = leaf
        return after


class Part:
    """What one writer knows of its own documents: no lock is needed."""

    def __init__(self, number):
        self.number = number
        self.docs = {}
        self.atomic = set()  # documents of an open _bulk_docs?atomic=true
        self.locals = {}  # name -> [acked op or None, pending op; absent when none]


# name -> (path, the value that a number stands for)
SETTINGS = {
    "security": (
        "/k/_security",
        lambda n: {
            "admins": {"names": [], "roles": ["_admin"]},
            "members": {"names": ["n%d" % n], "roles": []},
        },
    ),
    "revs_limit": ("/k/_revs_limit", lambda n: 1000 + n % 5000),
    "purged": ("/k/_purged_infos_limit", lambda n: 1000 + n % 5000),
    "config": ("/_node/_local/_config/chttpd_auth/timeout", lambda n: str(600 + n)),
}
ANY = object()


class TempDb:
    """A database that comes and goes. `birth` is written into its documents."""

    def __init__(self):
        self.birth = None  # None: it is not there
        self.docs = set()
        self.pending = None  # "create", "drop" or a set of documents
        self.next_birth = 0


class Book:
    def __init__(self, writers):
        self.parts = [Part(n) for n in range(writers)]
        self.temps = {"t%d" % n: TempDb() for n in range(3)}
        # setting -> [acked value, open one; absent when none]; ANY: as it was made.
        self.settings = {name: [ANY] for name in SETTINGS}
        self.numbers = itertools.count(1)
        self.acked = 0  # writes that were acknowledged, of all kinds
        self.update_seq = 0

    def next_op(self):
        return next(self.numbers)
