"""Random histories, run against the server and the model side by side.

An operation is (kind, replica, document, seed).  Everything else about it is drawn from its seed
and from what the model holds when it runs, so any subset of a history is a history too: that is
what makes shrinking simple.
"""

import base64
import json
import random

import model
from model import Att, Refused, Stub, parse_rev, show_hash, show_rev
from reads import ATT_NAMES, DOCS, REPLICAS, Reads, dumps, same, spell
from support.server import query

WEIGHTS = {
    "put": 22, "put_deleted": 3, "delete": 8, "att_put": 3, "att_delete": 2, "bulk": 5,
    "graft": 14, "push": 14, "replicate": 3, "local": 2, "limit": 0, "kill": 0,
    "purge": 6, "purge_limit": 1, "purged_infos": 1,
    "get": 6, "open_revs": 5, "bulk_get": 4, "revs_diff": 5, "changes": 4, "all_docs": 4,
    "info": 1, "att_get": 2,
}  # fmt: skip
WILD = dict(WEIGHTS, limit=3)
STEM = dict(WILD, limit=20, put=40, graft=30, purge=12)  # Short paths, set anew all the time.


def random_history(seed, kill_every=0):
    """(wild?, operations).  Wild histories stem trees and cut paths; the others must converge."""
    rng = random.Random(seed)
    wild = rng.random() < 0.5
    weights = rng.choice([WILD, WILD, STEM]) if wild else WEIGHTS
    docs = rng.randint(1, len(DOCS))
    ops = []
    for _ in range(rng.randint(20, 200)):
        kind = rng.choices(list(weights), weights=weights.values())[0]
        doc = min(rng.randrange(docs), rng.randrange(docs))
        ops.append((kind, rng.randrange(REPLICAS), doc, rng.randrange(1 << 48)))
    if kill_every and seed % kill_every == 0:
        ops.insert(rng.randrange(len(ops)), ("kill", 0, 0, 0))
    return wild, ops


def random_value(rng, depth=0):
    kind = rng.randrange(10 if depth < 3 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind <= 2:
        edges = [0, 1, 255, 256, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**64]
        return rng.choice(edges + [rng.randrange(-1000, 1000), rng.getrandbits(100)])
    if kind == 3:
        return rng.choice([0.5, -1.25, 1.0, 1e300, 5e-324, rng.gauss(0, 1)])
    if kind <= 6:
        return rng.choice(["", "text", "\u00fc\u20ac\U0001f600", 'q"\\\n', "x" * rng.randrange(300)])
    if kind == 7:
        return [rng.randrange(256) for _ in range(rng.randrange(5))]
    if kind == 8:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    names = rng.sample(["a", "b", "\u00e9", "_c", "", "length"], rng.randrange(4))
    return {name: random_value(rng, depth + 1) for name in names}


def random_body(rng):
    """Few distinct small bodies, so that replicas often make the same edit, and some rich ones."""
    if rng.random() < 0.5:
        return {"v": rng.randrange(3)}
    names = rng.sample(["v", "w", "name", "\u00e9", "constructor"], rng.randrange(4))
    return {name: random_value(rng) for name in names}


def request_atts(atts):
    """The _attachments member of a request."""
    sent = {}
    for name, att in atts.items():
        if isinstance(att, Stub):
            sent[name] = {"stub": True}
        else:
            data = base64.b64encode(att.data).decode("ascii")
            sent[name] = {"content_type": att.kind, "data": data}
        if att.revpos is not None:
            sent[name]["revpos"] = att.revpos
    return sent


class Run(Reads):
    """One history on fresh databases: what writes, and the order of things."""

    def __init__(self, server, prefix, wild):
        self.server = server
        self.names = ["%s-%d" % (prefix, i) for i in range(REPLICAS)]
        self.models = [model.Database() for _ in self.names]
        self.wild = wild
        self.script = []
        self.universe = {}  # Document -> revision -> its only parent, over all replicas.
        self.requests = 0

    # Talking.

    def expect(self, work, reply, status=201):
        """Run a write on the model; its result or refusal must be what the server said."""
        body = reply.json()
        try:
            rev = work()
        except Refused as refusal:
            got = {"status": reply.status, "error": body.get("error")}
            same("refusal", {"status": refusal.status, "error": refusal.word}, got)
            if refusal.reason:
                same("reason", refusal.reason, body.get("reason"))
            return None
        if isinstance(rev, tuple):
            rev = show_rev(rev)
        got = {"status": reply.status, "rev": body.get("rev"), "error": body.get("error")}
        same("write", {"status": status, "rev": rev, "error": None}, got)
        return rev

    # Choosing.

    def any_rev(self, rng, replica, doc):
        """A revision to name in a request: mostly a leaf, sometimes wrong; or None."""
        tree = self.models[replica].docs.get(doc)
        roll = rng.random()
        if roll < 0.06:
            return (rng.randint(1, 5), rng.randbytes(16))
        if roll < 0.10 and self.universe.get(doc):
            return rng.choice(sorted(self.universe[doc]))
        if tree is None:
            return None
        if roll < 0.17:
            return rng.choice(sorted(tree.parent))
        if roll < 0.22:
            return None
        leaves = tree.leaves()
        if tree.deleted() and roll < 0.7:
            return None
        return leaves[0] if roll < 0.65 else rng.choice(leaves)

    def edit_atts(self, rng, replica, doc, rev):
        """Attachments of an interactive edit: new ones, and stubs of what its parent has."""
        if rng.random() < 0.7:
            return {}
        atts = {}
        tree = self.models[replica].docs.get(doc)
        parent = rev if rev else (tree.winner() if tree and tree.deleted() else None)
        old = tree.record[parent].atts if tree and parent in tree.record else {}
        for name in rng.sample(ATT_NAMES, len(ATT_NAMES)):
            if name in old and rng.random() < 0.6:
                atts[name] = Stub(rng.choice([None, old[name].revpos]))
            elif rng.random() < 0.3:
                kind = rng.choice(["text/plain", "application/octet-stream"])
                atts[name] = Att(kind, rng.randbytes(rng.randrange(40)), None)
        return atts

    def learn(self, doc, path):
        """Note the parents of a path, newest first."""
        known = self.universe.setdefault(doc, {})
        for rev, parent in zip(path, path[1:] + [None]):
            if known.get(rev) is None:
                known[rev] = parent

    def known_path(self, doc, rev):
        found = []
        while rev is not None:
            found.append(rev)
            rev = self.universe[doc].get(rev)
        return found

    # Operations that write.

    def step(self, op):
        kind, replica, doc, seed = op
        rng = random.Random(seed)
        self.models[replica].request += 1
        doc = DOCS[doc]
        getattr(self, "op_" + kind)(rng, replica, doc)
        if kind in WRITERS:
            self.look(rng, replica, doc)

    def do_edit(self, replica, doc, rev, deleted, body, atts):
        """An edit on the model, noted in the universe."""
        base = self.models[replica]
        made = base.edit(doc, rev, deleted, body, atts)
        self.learn(doc, base.docs[doc].path(made))
        return made

    def op_put(self, rng, replica, doc, deleted=False):
        rev = self.any_rev(rng, replica, doc)
        body = random_body(rng)
        atts = {} if deleted else self.edit_atts(rng, replica, doc, rev)
        sent, headers, path = dict(body), {}, self.url(doc)
        if atts:
            sent["_attachments"] = request_atts(atts)
        if deleted:
            sent["_deleted"] = True
        if rev is not None:
            way = rng.randrange(7)
            if way < 5:
                sent["_rev"] = spell(rng, rev)
            if way in (4, 5):
                path += query(rev=spell(rng, rev))
            if way == 6:
                headers["If-Match"] = rng.choice(["%s", '"%s"']) % spell(rng, rev)
        if not headers and "?" not in path and rng.random() < 0.1:
            sent["_id"] = doc
            reply, status = self.send("POST", replica, "", sent), 201
        else:
            reply = self.send("PUT", replica, path, sent, headers)
            status = 200 if deleted else 201
        self.expect(lambda: self.do_edit(replica, doc, rev, deleted, body, atts), reply, status)

    def op_put_deleted(self, rng, replica, doc):
        self.op_put(rng, replica, doc, deleted=True)

    def op_delete(self, rng, replica, doc):
        rev = self.any_rev(rng, replica, doc)
        params = query(rev=spell(rng, rev)) if rev else ""
        reply = self.send("DELETE", replica, self.url(doc) + params)

        def work():
            self.models[replica].open(doc)
            return self.do_edit(replica, doc, rev, True, {}, {})

        self.expect(work, reply, status=200)

    def op_att_put(self, rng, replica, doc):
        rev = self.any_rev(rng, replica, doc)
        tree = self.models[replica].docs.get(doc)
        name = rng.choice(ATT_NAMES)
        if tree and len({*tree.record[tree.winner()].atts, name}) > 1:
            return  # The order of the others is open, and the revision id depends on it.
        if tree and rev in tree.record and len({*tree.record[rev].atts, name}) > 1:
            return
        att = Att("text/x-t", rng.randbytes(rng.randrange(50)), None)
        params = query(rev=show_rev(rev)) if rev else ""
        headers = {"Content-Type": att.kind}
        path = self.url(doc) + "/" + name + params
        reply = self.send("PUT", replica, path, att.data, headers)
        self.expect(lambda: self.do_att(replica, doc, rev, name, att), reply)

    def op_att_delete(self, rng, replica, doc):
        tree = self.models[replica].docs.get(doc)
        if tree is None or tree.deleted():
            return
        rev = rng.choice(tree.leaves())
        atts = tree.record[rev].atts
        if not 1 <= len(atts) <= 2:
            return
        name = rng.choice(sorted(atts))
        path = self.url(doc) + "/" + name + query(rev=show_rev(rev))
        reply = self.send("DELETE", replica, path)
        self.expect(lambda: self.do_att(replica, doc, rev, name, None), reply, status=200)

    def do_att(self, replica, doc, rev, name, att):
        made = self.models[replica].change_att(doc, rev, name, att)
        self.learn(doc, self.models[replica].docs[doc].path(made))
        return made

    def op_bulk(self, rng, replica, doc):
        """_bulk_docs with new_edits: a result a row."""
        docs, rows, used = [], [], set()
        for one in [doc] + rng.choices(DOCS, k=rng.randrange(4)):
            rev = self.any_rev(rng, replica, one)
            deleted = rng.random() < 0.2
            if one in used and rev is None:
                continue
            used.add(one)
            body = random_body(rng)
            sent = {"_id": one, **body}
            if rev:
                sent["_rev"] = show_rev(rev)
            if deleted:
                sent["_deleted"] = True
            docs.append(sent)
            rows.append((one, rev, deleted, body))
        reply = self.send("POST", replica, "/_bulk_docs", {"docs": docs})
        same("_bulk_docs", 201, reply.status)
        expected, fresh = [], set()
        for one, rev, deleted, body in rows:
            try:
                if (one, rev) in fresh:
                    raise model.conflict()  # A guess: nobody was told of that revision yet.
                made = self.do_edit(replica, one, rev, deleted, body, {})
                fresh.add((one, made))
                expected.append({"ok": True, "id": one, "rev": show_rev(made)})
            except Refused as refusal:
                row = {"id": one, "error": refusal.word, "reason": refusal.reason}
                expected.append(row)
        same("_bulk_docs", expected, reply.json())

    def random_hash(self, rng, generation, parent):
        """A hash never used with another parent."""
        raw = random.Random("%s %d" % (parent, rng.randrange(3))).randbytes(16)
        if rng.random() < 0.2:
            return ("x" + raw.hex()[: rng.randrange(9)] + str(generation)).encode()
        # The same text on several generations, and none at all, are revisions like others.
        return rng.choice([b"", b"same"]) if rng.random() < 0.05 else raw

    def op_graft(self, rng, replica, doc):
        """Revisions made elsewhere: a new line of 1..4 on something known, or from nothing."""
        known = self.universe.setdefault(doc, {})
        base = rng.choice(sorted(known)) if known and rng.random() < 0.85 else None
        path = self.known_path(doc, base) if base else []
        start = path[0][0] if path else (rng.randrange(6) if self.wild else 0)
        for generation in range(start + 1, start + 1 + rng.choice([1, 1, 1, 2, 3, 4])):
            parent = path[0] if path else doc
            path.insert(0, (generation, self.random_hash(rng, generation, parent)))
            if known.get(path[0]) not in (None, path[1] if path[1:] else None):
                return
        self.learn(doc, path)
        if self.wild and rng.random() < 0.4:
            path = path[: rng.randint(1, len(path))]
        atts = {}
        if rng.random() < 0.2:
            atts["a.txt"] = Att("text/plain", rng.randbytes(9), rng.randint(1, path[0][0]))
        if rng.random() < 0.15:
            tree = self.models[replica].docs.get(doc)
            before = tree.ancestor_with_content(path) if tree else None
            held = [r for r in path if tree and r in tree.parent][:1]
            if held and before and not any(r in tree.record for r in tree.path(held[0])):
                return  # Two roots that this path joins: the stub may be asked for as data.
            for name in (before.atts if before else {}) or ["b/c.bin"]:
                revpos = before.atts[name].revpos if before and before.atts else 1
                atts[name] = Stub(revpos + (rng.random() < 0.1))
        fixed = random.Random("%s %s" % (doc, path[0]))  # One revision, one content.
        self.bring(rng, replica, doc, path, fixed.random() < 0.25, random_body(fixed), atts)

    def bring(self, rng, replica, doc, path, deleted, body, atts):
        """One revision with new_edits=false."""
        sent = {"_id": doc, "_rev": show_rev(path[0]), **body}
        if len(path) > 1 or rng.random() < 0.5:
            ids = [spell(rng, r).partition("-")[2] for r in path]
            sent["_revisions"] = {"start": path[0][0], "ids": ids}
            if not atts and rng.random() < 0.2:
                del sent["_rev"]  # _revisions says it all.
        if deleted:
            sent["_deleted"] = True
        if atts:
            sent["_attachments"] = request_atts(atts)
        base = self.models[replica]

        def work():
            base.graft(doc, path, deleted, body, atts)
            return path[0]

        if rng.random() < 0.3:
            reply = self.send("PUT", replica, self.url(doc) + "?new_edits=false", sent)
            self.expect(work, reply, 200 if sent.get("_deleted") else 201)
            return
        reply = self.send("POST", replica, "/_bulk_docs", {"new_edits": False, "docs": [sent]})
        try:
            work()
        except Refused as refusal:
            # A row of its own: one bad document must not hold up a replicator's whole batch.
            rows = [{"id": r["id"], "rev": r["rev"], "error": r["error"]} for r in reply.json()]
            row = {"id": doc, "rev": show_rev(path[0]), "error": refusal.word}
            same("refusal", [201, [row]], [reply.status, rows])
        else:
            same("grafted", [201, []], [reply.status, reply.json()])

    def op_push(self, rng, replica, doc):
        """Some leaves of a document go to another replica, in any order, some twice."""
        target = (replica + rng.randrange(1, REPLICAS)) % REPLICAS
        source, base = self.models[replica], self.models[target]
        base.request += 1
        tree = source.docs.get(doc)
        if tree is None:
            return
        revs = rng.choices(tree.leaves(), k=rng.randint(1, 4))
        docs = []
        for rev in revs:
            path = tree.path(rev)
            if self.wild and rng.random() < 0.2:
                path = path[: rng.randint(1, len(path))]
            record = tree.record[rev]
            sent = source.show(doc, rev, inline=True)
            sent["_revisions"] = {"start": rev[0], "ids": [show_hash(r) for r in path]}
            docs.append(sent)
            base.graft(doc, path, record.deleted, record.body, record.atts)
        body = {"new_edits": False, "docs": docs}
        reply = self.send("POST", target, "/_bulk_docs", body)
        same("pushed", [201, []], [reply.status, reply.json()])
        self.look(rng, target, doc)

    def op_replicate(self, rng, replica, doc, target=None):
        """All that a replicator does, with the server's own answers carried over."""
        if target is None:
            target = (replica + rng.randrange(1, REPLICAS)) % REPLICAS
        source, base = self.models[replica], self.models[target]
        base.request += 1
        rows = self.fetch("GET", replica, "/_changes?style=all_docs")["results"]
        asked = {row["id"]: [c["rev"] for c in row["changes"]] for row in rows}
        parsed = {i: [parse_rev(r) for r in revs] for i, revs in asked.items()}
        diff = self.fetch("POST", target, "/_revs_diff", asked)
        self.same_diff(base.revs_diff(parsed), diff)
        items = [{"id": i, "rev": r} for i in diff for r in diff[i]["missing"]]
        if not items:
            return
        path = "/_bulk_get?revs=true&attachments=true"
        got = self.fetch("POST", replica, path, {"docs": items})["results"]
        docs = [entry["docs"][0]["ok"] for entry in got]
        for item, sent in zip(items, docs):
            rev = parse_rev(item["rev"])
            tree = source.docs[item["id"]]
            same("bulk_get", source.show(item["id"], rev, revs=True, inline=True), sent)
            record = tree.record[rev]
            line = tree.path(rev)
            base.graft(item["id"], line, record.deleted, record.body, record.atts)
        body = {"new_edits": False, "docs": docs}
        reply = self.send("POST", target, "/_bulk_docs", body)
        same("replicated", [201, []], [reply.status, reply.json()])

    def op_purge(self, rng, replica, doc):
        """Leaves of one or two documents, and revisions that are none."""
        base = self.models[replica]
        sent, expected = {}, {}
        for one in dict.fromkeys([doc] + rng.choices(DOCS, k=rng.randrange(2))):
            tree = base.docs.get(one)
            leaves = tree.leaves() if tree else []
            revs = rng.sample(leaves, rng.randint(0, len(leaves)))
            if rng.random() < 0.4:
                revs += self.some_revs(rng, replica, one)
            rng.shuffle(revs)
            sent[one] = [spell(rng, r) for r in revs]
            expected[one] = [show_rev(r) for r in base.purge(one, revs)]
        reply = self.send("POST", replica, "/_purge", sent)
        same("_purge", 201, reply.status)
        same("_purge", {"purge_seq": None, "purged": expected}, reply.json())
        for one in sent:
            self.look(rng, replica, one)

    def op_purge_limit(self, rng, replica, doc):
        limit = rng.choice([1, 2, 5, 1000])
        reply = self.send("PUT", replica, "/_purged_infos_limit", str(limit))
        same("_purged_infos_limit", 200, reply.status)
        self.models[replica].infos_limit = limit
        same("_purged_infos_limit", limit, self.fetch("GET", replica, "/_purged_infos_limit"))

    def op_limit(self, rng, replica, doc):
        limit = rng.choice([1, 1, 2, 3, 5, 10, 1000])
        reply = self.send("PUT", replica, "/_revs_limit", str(limit))
        same("_revs_limit", 200, reply.status)
        self.models[replica].limit = limit
        same("_revs_limit", limit, self.fetch("GET", replica, "/_revs_limit"))

    def op_local(self, rng, replica, doc):
        base = self.models[replica]
        name = "l%d" % rng.randrange(2)
        path = "/_local/" + name
        if rng.random() < 0.25:
            reply = self.send("DELETE", replica, path)
            self.expect(lambda: base.remove_local(name), reply, status=200)
        else:
            body = {"v": rng.randrange(100)}
            known = base.local.get(name)
            rev = known["_rev"] if known else None
            if rng.random() < 0.2:
                rev = "0-%d" % rng.randrange(9)
            sent = dict(body, _rev=rev) if rev else body
            reply = self.send("PUT", replica, path, sent)
            self.expect(lambda: base.put_local(name, rev, body), reply)
        reply = self.send("GET", replica, path)
        same("_local", base.local.get(name), reply.json() if reply.status == 200 else None)

    def op_kill(self, rng, replica, doc):
        self.script.append(("KILL", "", None, None))
        rebuild = (lambda s: s.remove_folders("idx", "vec")) if self.requests % 2 else None
        self.server.restart(kill=True, between=rebuild)
        for one in range(REPLICAS):
            self.check_all(rng, one)

    # The end.

    def converge(self, rng):
        """After everybody has everything, all say the same, whatever the order was."""
        pairs = [(a, b) for a in range(REPLICAS) for b in range(REPLICAS) if a != b]
        rng.shuffle(pairs)
        for a, b in pairs * 2:
            self.op_replicate(rng, a, None, target=b)
        options = "?conflicts=true&deleted_conflicts=true&revs=true"
        for doc in DOCS:
            seen = []
            for replica in range(REPLICAS):
                reply = self.send("GET", replica, self.url(doc) + options)
                shown = reply.json()
                shown.pop("_attachments", None)  # revpos is no part of a revision's identity.
                every = self.send("GET", replica, self.url(doc) + "?open_revs=all&revs=true")
                leaves = every.json() if every.status == 200 else []
                lines = [[e["ok"]["_rev"], e["ok"]["_revisions"]] for e in leaves]
                seen.append([reply.status, shown, sorted(map(dumps, lines))])
            same("replicas 0 and 1 agree", seen[0], seen[1])
            same("replicas 0 and 2 agree", seen[0], seen[2])

    def run(self, ops):
        for name in self.names:
            same("create", 201, self.server.put("/" + name).status)
        try:
            for op in ops:
                self.step(op)
            rng = random.Random(0)
            for replica in range(REPLICAS):
                self.check_all(rng, replica)
            if not self.wild:
                self.converge(rng)
        finally:
            if self.server.alive():
                for name in self.names:
                    self.server.delete("/" + name)


WRITERS = {"put", "put_deleted", "delete", "att_put", "att_delete", "bulk", "graft", "replicate"}


def as_script(names, script):
    """A failed run as commands for a shell; $URL is the server with its credentials."""
    lines = ["curl -s -X PUT $URL/" + name for name in names]
    reads = ("_revs_diff", "_bulk_get", "_all_docs")
    for at, (method, url, body, headers) in enumerate(script):
        reading = method == "GET" or any(word in url for word in reads)
        if reading and at < len(script) - 1:
            continue
        if method == "KILL":
            lines.append("# SIGKILL and start again")
            continue
        words = ["curl", "-s", "-X", method, "'$URL%s'" % url]
        for name, value in (headers or {}).items():
            words += ["-H", "'%s: %s'" % (name, value)]
        if isinstance(body, bytes):
            words += ["--data-binary", "$(base64 -d <<<%s)" % base64.b64encode(body).decode()]
        elif body is not None:
            text = body if isinstance(body, str) else json.dumps(body)
            words += ["-H", "content-type:application/json", "-d", "'%s'" % text]
        lines.append(" ".join(words))
    return "\n".join(lines)
