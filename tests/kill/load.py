"""The writers: mixed requests on documents of their own until the server is gone."""

import random
import threading
import time

import book as oracle
from wire import Gone, Wire, encode

DOCS = 24
LEAVES_MAX = 4
DB = "/k"
INDEX = {"fields": [{"name": "vec", "dims": oracle.DIMS, "metric": "l2"}]}


class Wrong(Exception):
    """An answer that must not be."""


class Thread(threading.Thread):
    def __init__(self, life, seed):
        super().__init__()
        self.life = life
        self.wire = Wire(life.port)
        self.rng = random.Random(seed)
        self.failure = None

    def run(self):
        try:
            while not self.life.over:
                self.step()
        except Gone:
            pass  # The kill; what was asked for stays pending.
        except Exception as failure:  # noqa: BLE001  (a thread must report, not vanish)
            self.failure = failure
        self.wire.close()

    def done(self, answer, good=(200, 201, 202)):
        """False: refused for now, and whether it happened is open."""
        if answer.status == 503:
            return False
        if answer.status not in good:
            raise Wrong("%s: %r" % (type(self).__name__, answer))
        self.life.book.acked += 1
        return True


class Writer(Thread):
    """Documents, _local documents, purges."""

    def __init__(self, life, part, seed):
        super().__init__(life, seed)
        self.part = part
        self.kinds = [(self.update, 6), (self.flight, 4), (self.remove, 2), (self.bulk, 4)]
        self.kinds += [(self.graft, 3), (self.attach, 2), (self.local, 1)]
        if life.purges:
            self.kinds.append((self.purge, 1))
        self.names = [k for k, _ in self.kinds]
        self.weights = [w for _, w in self.kinds]

    def step(self):
        self.rng.choices(self.names, self.weights)[0]()

    def pick(self, n=1):
        """Up to n documents without an open request: [(id, Doc)]."""
        found = {}
        for _ in range(n):
            doc_id = "w%d-%d" % (self.part.number, self.rng.randrange(DOCS))
            doc = self.part.docs.setdefault(doc_id, oracle.Doc())
            if doc.pending is None:
                found[doc_id] = doc
        return list(found.items())

    def edit(self, doc_id, doc, deleted=False):
        """A new revision on the winner: the JSON to send; noted as pending."""
        op = self.life.book.next_op()
        sent = dict(oracle.body(op), _id=doc_id)
        att, gone = None, ()
        if doc.leaves:
            rev = oracle.winner(doc.leaves)
            sent["_rev"], gone = rev, (rev,)
            att = doc.leaves[rev].att
            att = att if not deleted and self.rng.random() < 0.7 else None
        if att is not None:
            sent["_attachments"] = {"a": {"stub": True, "content_type": "x/y"}}
            sent["_attachments"]["a"]["digest"] = oracle.att_digest(att)
        elif not deleted and self.rng.random() < 0.1:
            att = self.life.book.next_op()
            data = oracle.base64.b64encode(oracle.att_data(att)).decode()
            sent["_attachments"] = {"a": {"content_type": "x/y", "data": data}}
        if deleted:
            sent["_deleted"] = True
        doc.ask(gone, oracle.Leaf(op, deleted, att))
        return sent

    def update(self):
        for doc_id, doc in self.pick():
            answer = self.wire.ask("PUT", "%s/%s" % (DB, doc_id), self.edit(doc_id, doc))
            if self.done(answer):
                doc.settle(answer.json()["rev"])

    def flight(self):
        """Several PUTs on the wire before the first answer."""
        some = self.pick(6)
        sent = [encode("PUT", "%s/%s" % (DB, i), self.edit(i, d)) for i, d in some]
        self.wire.send(b"".join(sent))
        for _, doc in some:
            answer = self.wire.read()
            if self.done(answer):
                doc.settle(answer.json()["rev"])

    def remove(self):
        for doc_id, doc in self.pick():
            if not doc.leaves:
                continue
            rev = oracle.winner(doc.leaves)
            if doc.leaves[rev].deleted:
                continue
            if self.rng.random() < 0.5:
                doc.ask((rev,), oracle.Leaf(None, True, None))
                answer = self.wire.ask("DELETE", "%s/%s?rev=%s" % (DB, doc_id, rev))
            else:
                sent = self.edit(doc_id, doc, deleted=True)
                answer = self.wire.ask("PUT", "%s/%s" % (DB, doc_id), sent)
            if self.done(answer):
                doc.settle(answer.json()["rev"])

    def bulk(self):
        some = dict(self.pick(self.rng.choice((3, 10, 20))))
        if not some:
            return
        docs = [self.edit(i, d) for i, d in some.items()]
        path = DB + "/_bulk_docs"
        if self.rng.random() < 0.3:
            path, self.part.atomic = path + "?atomic=true", set(some)
        answer = self.wire.ask("POST", path, {"docs": docs})
        if not self.done(answer):
            return
        self.part.atomic = set()
        for row in answer.json():
            if not row.get("ok"):
                if row.get("error") == "attachment_moved":
                    continue
                raise Wrong("bulk: %r" % row)
            some[row["id"]].settle(row["rev"])

    def graft(self):
        """Revisions made elsewhere: on the winner, or a branch of their own."""
        docs, revs, some = [], {}, dict(self.pick(self.rng.choice((1, 4, 8))))
        for doc_id, doc in some.items():
            op, new = self.life.book.next_op(), self.rng.randbytes(16).hex()
            ids, start, gone = [new], 1, ()
            if doc.leaves and (len(doc.leaves) >= LEAVES_MAX or self.rng.random() < 0.6):
                rev = self.rng.choice(sorted(doc.leaves))
                ids.append(rev.split("-", 1)[1])
                start, gone = oracle.generation(rev) + 1, (rev,)
            deleted = self.rng.random() < 0.2
            revs[doc_id] = "%d-%s" % (start, new)
            sent = dict(oracle.body(op), _id=doc_id, _revisions={"start": start, "ids": ids})
            if deleted:
                sent["_deleted"] = True
            doc.ask(gone, oracle.Leaf(op, deleted, None), revs[doc_id])
            docs.append(sent)
        body = {"docs": docs, "new_edits": False}
        answer = self.wire.ask("POST", DB + "/_bulk_docs", body)
        if not self.done(answer):
            return
        if answer.json() != []:
            raise Wrong("new_edits=false: %r" % answer)
        for doc_id, rev in revs.items():
            some[doc_id].settle(rev)

    def attach(self):
        for doc_id, doc in self.pick():
            op, path, gone, was = self.life.book.next_op(), "%s/%s/a" % (DB, doc_id), (), None
            if doc.leaves:
                rev = oracle.winner(doc.leaves)
                path, gone = path + "?rev=" + rev, (rev,)
                was = None if doc.leaves[rev].deleted else doc.leaves[rev].op
                if doc.leaves[rev].deleted:
                    continue  # What is kept of a tombstone's body is the API tests' matter.
            doc.ask(gone, oracle.Leaf(was, False, op))
            answer = self.wire.ask("PUT", path, oracle.att_data(op), "x/y")
            if self.done(answer):
                doc.settle(answer.json()["rev"])

    def local(self):
        name = "w%d-%d" % (self.part.number, self.rng.randrange(3))
        entry = self.part.locals.setdefault(name, [None])
        if len(entry) == 2:
            return
        op, path = self.life.book.next_op(), "%s/_local/%s" % (DB, name)
        if entry[0] is not None and self.rng.random() < 0.2:
            entry.append(None)
            answer = self.wire.ask("DELETE", path)
        else:
            entry.append(op)
            answer = self.wire.ask("PUT", path, oracle.body(op))
        if self.done(answer):
            entry[:] = [entry[1]]

    def purge(self):
        for doc_id, doc in self.pick():
            if not doc.leaves:
                continue
            revs = sorted(doc.leaves)
            gone = tuple(revs if self.rng.random() < 0.6 else revs[:1])
            doc.ask(gone, None)
            answer = self.wire.ask("POST", DB + "/_purge", {doc_id: list(gone)})
            if not self.done(answer):
                continue
            if sorted(answer.json()["purged"].get(doc_id, [])) != sorted(gone):
                raise Wrong("purge: %r" % answer)
            doc.settle(None)


class Chores(Thread):
    """What is not a document: databases that come and go, compaction, searches."""

    def step(self):
        roll = self.rng.random()
        if roll < 0.15:
            self.wire.ask("POST", DB + "/_compact", {})
        elif roll < 0.2:
            self.wire.ask("POST", DB + "/_compact/s", {})
        elif roll < 0.3:
            body = {"selector": {}, "vector": {"near": oracle.vector(self.rng.randrange(1000))}}
            self.wire.ask("POST", DB + "/_find", dict(body, limit=5))
        elif roll < 0.4:
            self.setting(self.rng.choice(sorted(oracle.SETTINGS)))
        else:
            self.database(self.rng.choice(sorted(self.life.book.temps)))
        time.sleep(self.rng.choice((0, 0.002, 0.01)))

    def setting(self, name):
        """Security, limits, a configuration value."""
        entry = self.life.book.settings[name]
        if len(entry) == 2:
            return
        path, value = oracle.SETTINGS[name]
        entry.append(value(self.life.book.next_op()))
        if self.done(self.wire.ask("PUT", path, entry[1])):
            entry[:] = [entry[1]]

    def database(self, name):
        temp = self.life.book.temps[name]
        if temp.pending is not None:
            return
        if temp.birth is None:
            temp.next_birth += 1
            temp.pending = "create"
            where = self.rng.choice(("", "?placement=own"))
            if self.done(self.wire.ask("PUT", "/" + name + where)):
                temp.birth, temp.docs, temp.pending = temp.next_birth, set(), None
        elif temp.docs and self.rng.random() < 0.5:
            temp.pending = "drop"
            if self.done(self.wire.ask("DELETE", "/" + name)):
                temp.birth, temp.pending = None, None
        else:
            first = len(temp.docs)
            ids = {"d%d" % (first + i) for i in range(self.rng.choice((2, 40, 80)))}
            docs = [{"_id": i, "birth": temp.birth} for i in sorted(ids)]
            temp.pending = ids
            if self.done(self.wire.ask("POST", "/%s/_bulk_docs" % name, {"docs": docs})):
                temp.docs |= ids
                temp.pending = None


def create(wire, own):
    """The database and its index; own: in a store of its own."""
    index = {"type": "vector", "ddoc": "s", "name": "v", "index": INDEX}
    where = "?placement=own" if own else ""
    for answer in (wire.ask("PUT", DB + where), wire.ask("POST", DB + "/_index", index)):
        if answer.status not in (200, 201):
            raise Wrong("create: %r" % answer)
