"""After a restart: everything that the oracle knows, compared with everything the server shows."""

import json

import book as oracle
from load import DB

SAMPLE = 4
META = ("_id", "_rev", "_deleted", "_attachments", "_conflicts")


class Violation(Exception):
    """Something acknowledged is lost, or something is there that nobody asked for."""


def want(condition, *what):
    if not condition:
        raise Violation(" ".join(str(w) for w in what))


def get(wire, path, status=200):
    answer = wire.ask("GET", path)
    want(answer.status == status, path, answer)
    return answer.json()


def number(seq):
    return int(str(seq).split("-", 1)[0])


def check_content(doc, leaf, what):
    """One revision: body, attachment, deleted or not."""
    want(bool(doc.get("_deleted")) == leaf.deleted, "DELETED?", what, doc)
    got = {k: v for k, v in doc.items() if k not in META}
    expected = {} if leaf.op is None else oracle.body(leaf.op)
    want(got == expected, "CHANGED", what, "expected op", leaf.op, "there", doc.get("op"), got)
    atts = doc.get("_attachments", {})
    if leaf.att is None:
        want(not atts, "ATTACHMENT", what, atts)
    else:
        want(set(atts) == {"a"}, "ATTACHMENT LOST", what, atts)
        want(atts["a"]["digest"] == oracle.att_digest(leaf.att), "ATTACHMENT", what, atts)
        size = len(oracle.att_data(leaf.att))
        want(atts["a"].get("length", size) == size, "ATTACHMENT LENGTH", what, atts)


def changes(wire):
    feed = get(wire, DB + "/_changes?since=0&style=all_docs&include_docs=true")
    seqs = [number(row["seq"]) for row in feed["results"]]
    want(seqs == sorted(set(seqs)), "sequences do not rise strictly", seqs)
    rows = [r for r in feed["results"] if not r["id"].startswith("_design/")]
    held = {row["id"]: row for row in rows}
    want(len(held) == len(rows), "a document is listed twice")
    return held, max(seqs, default=0)


def verify_doc(doc_id, doc, row):
    """Takes over what the open request came to; True: it happened."""
    revs = [c["rev"] for c in row["changes"]] if row else []
    leaves = doc.accept(revs)
    if leaves is None:
        word = "LOST" if not row else "CHANGED" if doc.leaves else "INVENTED"
        want(False, word, doc_id, "acked", doc.leaves, "open", doc.pending, "there", revs)
    if row:
        top = oracle.winner(leaves)
        want(row["doc"]["_rev"] == top, "WINNER", doc_id, row["doc"]["_rev"], "expected", top)
        want(bool(row.get("deleted")) == leaves[top].deleted, "DELETED?", doc_id, row)
        check_content(row["doc"], leaves[top], doc_id)
    happened = leaves is not doc.leaves
    doc.leaves, doc.pending = leaves, None
    doc.watch()
    return happened


def verify_copy(wire, book):
    """A backup: each document is as it was at some moment since the backup began."""
    held, _ = changes(wire)
    for part in book.parts:
        for doc_id, doc in part.docs.items():
            row = held.pop(doc_id, None)
            leaves = doc.was([c["rev"] for c in row["changes"]] if row else [])
            want(leaves is not None, "BACKUP", doc_id, "there", row, "may be", doc.seen)
            if row:
                check_content(row["doc"], leaves[oracle.winner(leaves)], doc_id)
    want(not held, "INVENTED IN THE BACKUP", sorted(held))


def verify_docs(wire, book):
    held, last = changes(wire)
    for part in book.parts:
        happened = {i: verify_doc(i, d, held.pop(i, None)) for i, d in part.docs.items()}
        halves = {i: happened[i] for i in part.atomic}
        want(len(set(halves.values())) <= 1, "HALF OF AN ATOMIC BULK", halves)
        part.atomic = set()
    want(not held, "INVENTED", sorted(held))
    docs = [d for part in book.parts for d in part.docs.values() if d.leaves]
    live = sum(not d.leaves[oracle.winner(d.leaves)].deleted for d in docs)
    info = get(wire, DB)
    counts = (info["doc_count"], info["doc_del_count"])
    want(counts == (live + 1, len(docs) - live), "counts", counts, live + 1, len(docs) - live)
    seq = number(info["update_seq"])
    want(seq >= max(last, book.update_seq), "update_seq", seq, last, book.update_seq)
    book.update_seq = seq


def verify_branches(wire, book, rng):
    """Every leaf of some documents, not only the winner."""
    some = [(i, d) for p in book.parts for i, d in p.docs.items() if len(d.leaves) > 1]
    for doc_id, doc in rng.sample(some, min(SAMPLE, len(some))):
        revs = json.dumps(sorted(doc.leaves)).replace(" ", "").replace('"', "%22")
        for row in get(wire, "%s/%s?open_revs=%s" % (DB, doc_id, revs)):
            want("ok" in row, "BRANCH LOST", doc_id, row)
            check_content(row["ok"], doc.leaves[row["ok"]["_rev"]], doc_id)


def verify_attachments(wire, book, rng):
    some = [
        (i, leaf.att, rev)
        for p in book.parts
        for i, d in p.docs.items()
        for rev, leaf in d.leaves.items()
        if leaf.att is not None
    ]
    for doc_id, op, rev in rng.sample(some, min(SAMPLE, len(some))):
        answer = wire.ask("GET", "%s/%s/a?rev=%s" % (DB, doc_id, rev))
        good = answer.status == 200 and answer.body == oracle.att_data(op)
        want(good, "ATTACHMENT", doc_id, rev, "op", op, answer.status, len(answer.body))


def verify_vectors(wire, book, rng):
    """Whoever is asked for by its own vector is found."""
    live = []
    for part in book.parts:
        for doc_id, doc in part.docs.items():
            leaf = doc.leaves[oracle.winner(doc.leaves)] if doc.leaves else None
            if leaf and not leaf.deleted and leaf.op is not None:
                live.append((doc_id, leaf.op))
    for doc_id, op in rng.sample(live, min(SAMPLE, len(live))):
        body = {"selector": {}, "vector": {"near": oracle.packed(op)}, "limit": 1}
        answer = wire.ask("POST", DB + "/_find", dict(body, fields=["_id"]))
        want(answer.status == 200, "_find", answer)
        hits = [h["id"] for h in answer.json()["hits"]]
        want(hits == [doc_id], "VECTOR", doc_id, hits)


def verify_locals(wire, book):
    for part in book.parts:
        for name, entry in part.locals.items():
            answer = wire.ask("GET", "%s/_local/%s" % (DB, name))
            want(answer.status in (200, 404), "_local", name, answer)
            doc = answer.json() if answer.status == 200 else {"op": None}
            want(doc["op"] in entry, "LOCAL", name, doc["op"], "may be", entry)
            if doc["op"] is not None:
                got = {k: v for k, v in doc.items() if k not in META}
                want(got == oracle.body(doc["op"]), "LOCAL", name, doc)
            entry[:] = [doc["op"]]


def temp_states(temp):
    """(birth, documents) that a database may be in."""
    now = (temp.birth, temp.docs)
    if temp.pending == "create":
        return [now, (temp.next_birth, set())]
    if temp.pending == "drop":
        return [now, (None, temp.docs)]
    if temp.pending:
        # A batch may be applied in part: it is no transaction.
        return [now, (temp.birth, temp.docs | temp.pending)]
    return [now]


def verify_temps(wire, book):
    for name, temp in book.temps.items():
        answer = wire.ask("GET", "/%s/_all_docs?include_docs=true" % name)
        births = {birth for birth, _ in temp_states(temp)}
        if answer.status == 404:
            want(None in births, "DATABASE LOST", name, temp.__dict__)
            temp.birth, temp.docs, temp.pending = None, set(), None
            continue
        want(answer.status == 200, name, answer)
        birth = max((b for b in births if b is not None), default=None)
        want(birth is not None, "DATABASE INVENTED", name, temp.__dict__)
        rows = answer.json()["rows"]
        ids = {row["id"] for row in rows}
        low = temp.docs if birth == temp.birth else set()
        high = low | temp.pending if isinstance(temp.pending, set) else low
        want(low <= ids <= high, "DATABASE", name, sorted(low - ids), sorted(ids - high))
        for row in rows:
            want(row["doc"]["birth"] == birth, "OLD DATA", name, row)
        temp.birth, temp.docs, temp.pending = birth, ids, None


def verify_settings(wire, book):
    for name, entry in book.settings.items():
        value = get(wire, oracle.SETTINGS[name][0])
        want(value in entry or oracle.ANY in entry, "SETTING", name, value, "may be", entry)
        if oracle.ANY not in entry or value in entry:
            entry[:] = [value]
        else:
            entry[:] = [oracle.ANY]


def verify(wire, book, rng):
    verify_docs(wire, book)
    verify_settings(wire, book)
    verify_branches(wire, book, rng)
    verify_attachments(wire, book, rng)
    verify_vectors(wire, book, rng)
    verify_locals(wire, book)
    verify_temps(wire, book)


def dump(wire, book):
    """What must be the same after idx and vec were made again."""
    held, last = changes(wire)
    listing = get(wire, DB + "/_all_docs?include_docs=true&conflicts=true")
    info = get(wire, DB)
    kept = {k: info[k] for k in ("doc_count", "doc_del_count", "update_seq")}
    temps = {n: wire.ask("GET", "/%s/_all_docs" % n).body for n in book.temps}
    return held, last, listing, kept, temps
