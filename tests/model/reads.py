"""The reads of a history: every answer of the server is compared with the model's.

Reads is the half of history.Run that changes nothing; it uses what Run's constructor sets.
"""

import json

from model import Refused, show_rev
from support.server import query, quote

REPLICAS = 3
DOCS = ["d0", "d1", "d2", "d/3", "d 4", "d\u00e9", "constructor", "_design/d7"]
ATT_NAMES = ["a.txt", "b/c.bin", "constructor"]



class Difference(Exception):
    """Server and model disagree."""

    def __init__(self, what, expected, got):
        super().__init__("%s\n  expected: %s\n  got:      %s" % (what, dumps(expected), dumps(got)))


def dumps(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def spell(rng, rev):
    """The text of a revision; hex digits are sometimes upper case, which means the same."""
    text = show_rev(rev)
    return text.upper() if len(rev[1]) == 16 and rng.random() < 0.05 else text


def same(what, expected, got):
    if dumps(expected) != dumps(got):
        raise Difference(what, expected, got)


class Reads:
    """Requests, and operations that read."""

    # Talking.

    def send(self, method, replica, path, body=None, headers=None):
        url = "/" + self.names[replica] + path
        self.script.append((method, url, body, headers))
        self.requests += 1
        return self.server.request(method, url, body, headers=headers)

    def fetch(self, method, replica, path, body=None):
        reply = self.send(method, replica, path, body)
        if reply.status != 200:
            raise Difference("%s %s" % (method, path), 200, [reply.status, reply.body.decode()])
        return reply.json()

    def url(self, doc):
        return "/" + (doc if doc.startswith("_design/") else quote(doc))

    def look(self, rng, replica, doc):
        """All leaves with their paths, and the winner with everything said about it."""
        base = self.models[replica]
        tree = base.docs.get(doc)
        path = self.url(doc)
        reply = self.send("GET", replica, path + "?open_revs=all&revs=true")
        if tree is None:
            same("open_revs=all", 404, reply.status)
            return
        same("open_revs=all", 200, reply.status)
        expected = [{"ok": base.show(doc, rev, revs=True)} for rev in tree.leaves()]
        self.same_set("open_revs=all", expected, reply.json())
        options = "?conflicts=true&deleted_conflicts=true&revs=true&revs_info=true"
        reply = self.send("GET", replica, path + options)
        if tree.deleted():
            got = [reply.status, reply.json().get("reason")]
            same("winner", [404, "deleted"], got)
            return
        expected = base.show(doc, tree.winner(), revs=True)
        expected.update(base.meta(doc, True, True, True))
        same("winner", expected, reply.json())

    def same_set(self, what, expected, got):
        same(what, sorted(map(dumps, expected)), sorted(map(dumps, got)))

    def same_diff(self, expected, got):
        for entry in got.values():
            for name in ("missing", "possible_ancestors"):
                if name in entry:
                    entry[name] = sorted(entry[name])
        same("_revs_diff", expected, got)

    def op_get(self, rng, replica, doc):
        """One revision or the winner with a choice of options."""
        base = self.models[replica]
        tree = base.docs.get(doc)
        rev = None
        if tree and rng.random() < 0.8:
            rev = rng.choice(sorted(tree.parent))
        elif rng.random() < 0.1:
            rev = (2, rng.randbytes(16))
        revs, inline = rng.random() < 0.5, rng.random() < 0.5
        params, since = {}, []
        if rev:
            params["rev"] = spell(rng, rev)
        if rev and rng.random() < 0.1:
            params["latest"] = True
            rev = None  # With a single revision it means the winner.
        if revs:
            params["revs"] = True
        if inline:
            params["attachments"] = True
            if tree and rev in tree.parent and rng.random() < 0.4:
                since = rng.sample(tree.path(rev), rng.randint(1, min(3, len(tree.path(rev)))))
                params["atts_since"] = [show_rev(r) for r in since]
        reply = self.send("GET", replica, self.url(doc) + query(**params))
        try:
            shown = base.open(doc, rev)
        except Refused as refusal:
            got = [reply.status, reply.json().get("error"), reply.json().get("reason")]
            same("get", [refusal.status, refusal.word, refusal.reason], got)
            return
        same("get", base.show(doc, shown, revs, inline, since), reply.json())

    def some_revs(self, rng, replica, doc):
        known = sorted(self.universe.get(doc, {}))
        tree = self.models[replica].docs.get(doc)
        revs = rng.sample(known, min(len(known), rng.randrange(4)))
        if tree:
            revs += rng.sample(sorted(tree.parent), rng.randint(1, min(3, len(tree.parent))))
        if rng.random() < 0.2:
            revs.append((rng.randint(1, 9), rng.randbytes(16)))
        return list(dict.fromkeys(revs))

    def op_open_revs(self, rng, replica, doc):
        base = self.models[replica]
        revs = self.some_revs(rng, replica, doc)
        if not revs:
            return  # None are as if it was not asked for.
        latest, full = rng.random() < 0.5, rng.random() < 0.5
        params = {"open_revs": [spell(rng, r) for r in revs]}
        if latest:
            params["latest"] = True
        if full:
            params["revs"] = True
        inline = rng.random() < 0.3
        if inline:
            params["attachments"] = True
        got = self.fetch("GET", replica, self.url(doc) + query(**params))
        found, absent = base.select(doc, revs, latest)
        expected = [{"ok": base.show(doc, r, full, inline)} for r in found]
        expected += [{"missing": show_rev(r)} for r in absent]
        self.same_set("open_revs", expected, got)

    def op_bulk_get(self, rng, replica, doc):
        base = self.models[replica]
        latest, inline = rng.random() < 0.5, rng.random() < 0.5
        params = {"revs": True}
        if latest:
            params["latest"] = True
        if inline:
            params["attachments"] = True
        items, expected = [], []
        for one in [doc] + rng.choices(DOCS, k=rng.randrange(4)):
            revs = self.some_revs(rng, replica, one)
            rev = rng.choice(revs) if revs and rng.random() < 0.7 else None
            items.append({"id": one, "rev": show_rev(rev)} if rev else {"id": one})
            found, absent = base.select(one, [rev] if rev else None, latest)
            docs = [{"ok": base.show(one, r, True, inline)} for r in found]
            if not found:
                text = show_rev(rev) if rev else "undefined"
                error = {"id": one, "rev": text, "error": "not_found", "reason": "missing"}
                docs = [{"error": error}]
            expected.append({"id": one, "docs": sorted(docs, key=dumps)})
        got = self.fetch("POST", replica, "/_bulk_get" + query(**params), {"docs": items})
        for entry in got["results"]:
            entry["docs"].sort(key=dumps)
        same("_bulk_get", {"results": expected}, got)

    def op_revs_diff(self, rng, replica, doc):
        asked = {}
        for one in [doc] + rng.sample(DOCS, rng.randrange(4)):
            revs = self.some_revs(rng, replica, one)
            if revs:
                asked[one] = revs
        sent = {one: [spell(rng, r) for r in revs] for one, revs in asked.items()}
        got = self.fetch("POST", replica, "/_revs_diff", sent)
        self.same_diff(self.models[replica].revs_diff(asked), got)

    def op_changes(self, rng, replica, doc):
        self.check_changes(rng, replica)

    def check_changes(self, rng, replica):
        base = self.models[replica]
        full = self.fetch("GET", replica, "/_changes?style=all_docs")
        rows = full["results"]
        expected = [base.change(i, True) for i in base.docs]
        self.same_set("_changes", expected, [without(r, "seq") for r in rows])
        written = [base.docs[r["id"]].written for r in rows]
        same("order of _changes", sorted(written), written)
        numbers = [int(r["seq"].partition("-")[0]) for r in rows]
        same("seqs", sorted(set(numbers)), numbers)
        last = int(full["last_seq"].partition("-")[0])
        same("last_seq, pending", [base.seq, 0], [last, full["pending"]])
        same("no seq after the last", [], [n for n in numbers if n > last])
        self.part_of_changes(rng, replica, full)

    def part_of_changes(self, rng, replica, full):
        """since, limit, descending, the other style and documents, against the whole list."""
        base = self.models[replica]
        rows = full["results"]
        start = rng.randint(0, len(rows))
        limit = rng.choice([0, 1, 3, 100])
        params = {"limit": limit}
        if start:
            params["since"] = rows[start - 1]["seq"]
        docs = rng.random() < 0.5
        if docs:
            params["include_docs"] = True
        part = self.fetch("GET", replica, "/_changes" + query(**params))
        rest = rows[start:]
        # limit=0 is taken as 1 by some versions; here it means no rows.
        expected = [base.change(r["id"], False, docs) for r in rest[:limit]]
        same("part of _changes", expected, [without(r, "seq") for r in part["results"]])
        same("pending", len(rest) - len(expected), part["pending"])
        same("seq in a part", [r["seq"] for r in rest[:limit]], [r["seq"] for r in part["results"]])
        down = self.fetch("GET", replica, "/_changes?descending=true&style=all_docs")
        same("descending", rows[::-1], down["results"])
        ids = rng.sample(DOCS, rng.randrange(4))
        path = "/_changes?filter=_doc_ids&style=all_docs"
        some = self.fetch("POST", replica, path, {"doc_ids": ids})
        same("_doc_ids", [r for r in rows if r["id"] in ids], some["results"])
        same("last_seq of a filter", full["last_seq"], some["last_seq"])

    def op_all_docs(self, rng, replica, doc):
        base = self.models[replica]
        live = base.live_ids()
        docs = rng.random() < 0.4
        params = {"include_docs": True, "conflicts": True} if docs else {}
        if rng.random() < 0.3:
            keys = rng.choices(DOCS + ["none"], k=rng.randrange(5))
            path = "/_all_docs" + query(**params)
            got = self.fetch("POST", replica, path, {"keys": keys})
            same("total_rows", len(live), got["total_rows"])
            same("keys", [base.row(k, docs, docs) for k in keys], got["rows"])
            return
        low, high = sorted(rng.choices(["", "c", "d", "d1", "d2", "d\u00e9", "\U0001f600"], k=2))
        end = rng.random() < 0.6
        down = rng.random() < 0.4
        ids = [i for i in live if low.encode() <= i.encode() <= high.encode()]
        if not end:
            ids = [i for i in ids if i != (low if down else high)]
            params["inclusive_end"] = False
        if down:
            ids.reverse()
        first, last = (high, low) if down else (low, high)
        params.update(descending=down, startkey=json.dumps(first), endkey=json.dumps(last))
        skip, limit = rng.choice([0, 0, 1, 2]), rng.choice([0, 1, 2, 100])
        params.update(skip=skip, limit=limit)
        got = self.fetch("GET", replica, "/_all_docs" + query(**params))
        expected = [base.row(i, docs, docs) for i in ids[skip:][:limit]]
        same("total_rows", len(live), got["total_rows"])
        same("_all_docs", expected, got["rows"])

    def op_info(self, rng, replica, doc):
        info = self.fetch("GET", replica, "")
        base = self.models[replica]
        expected = base.counts()
        same("counts", expected, {name: info[name] for name in expected})
        got = [int(info[name].partition("-")[0]) for name in ("update_seq", "purge_seq")]
        same("update_seq, purge_seq", [base.seq, base.purge_seq], got)

    def op_purged_infos(self, rng, replica, doc):
        base = self.models[replica]
        infos = [{"id": one, "revs": [show_rev(r) for r in revs]} for one, revs in base.infos]
        same("_purged_infos", {"purged_infos": infos}, self.fetch("GET", replica, "/_purged_infos"))

    def op_att_get(self, rng, replica, doc):
        base = self.models[replica]
        tree = base.docs.get(doc)
        held = [r for r in sorted(tree.record) if tree.record[r].atts] if tree else []
        if not held:
            return
        rev = rng.choice(held)
        name = rng.choice(sorted(tree.record[rev].atts))
        att = tree.record[rev].atts[name]
        path = self.url(doc) + "/" + name + query(rev=show_rev(rev))
        reply = self.send("GET", replica, path)
        same("attachment", [200, att.data.hex()], [reply.status, reply.body.hex()])
        same("attachment type", att.kind, reply.headers["content-type"])

    # Everything at once.

    def check_all(self, rng, replica):
        for doc in DOCS:
            self.look(rng, replica, doc)
        self.check_changes(rng, replica)
        self.op_info(rng, replica, None)
        self.op_purged_infos(rng, replica, None)
        live = self.models[replica].live_ids()
        got = self.fetch("GET", replica, "/_all_docs")
        rows = [self.models[replica].row(i) for i in live]
        same("_all_docs", {"total_rows": len(live), "offset": 0, "rows": rows}, got)


def without(row, name):
    return {n: v for n, v in row.items() if n != name}
