"""_bulk_docs?atomic=true: all documents or none (ours, not CouchDB's)."""

import threading

from support.check import error
from support.server import Server


def together(db, docs, **more):
    return db.post("_bulk_docs?atomic=true", dict(docs=docs, **more))


def test_all_are_written(db):
    rev = db.save("a", {"v": 1})
    reply = together(
        db,
        [
            {"_id": "a", "_rev": rev, "v": 2},
            {"_id": "b", "_attachments": {"x": {"data": "aGk="}}},
            {"_id": "_local/l", "n": 1},
            {"v": 3},
        ],
    )
    assert reply.status == 201
    rows = reply.json()
    assert [row["ok"] for row in rows] == [True] * 4
    assert rows[2] == {"ok": True, "id": "_local/l", "rev": "0-1"}
    assert db.get("a").json()["v"] == 2
    assert db.get("b/x").body == b"hi"
    assert db.get().json()["doc_count"] == 3
    assert together(db, []).json() == []


def test_a_conflict_refuses_all(db):
    rev = db.save("a", {"v": 1})
    before = db.get().json()["update_seq"]
    reply = together(
        db, [{"_id": "new"}, {"_id": "a", "v": 2}, {"_id": "b"}, {"_id": "a", "_rev": rev}]
    )
    assert error(reply, 409, "conflict") == "Nothing was written: Document update conflict."
    assert reply.json()["rows"] == [
        {"id": "a", "error": "conflict", "reason": "Document update conflict."}
    ]
    assert db.get("new").status == db.get("b").status == 404
    assert db.get("a").json()["_rev"] == rev
    assert db.get().json()["update_seq"] == before


def test_what_only_the_committer_sees(db):
    """Both know the document as it is; the second finds the first before it, or the other request."""
    reply = together(db, [{"_id": "x", "v": 1}, {"_id": "y"}, {"_id": "x", "v": 2}])
    error(reply, 409, "conflict")
    assert [row["id"] for row in reply.json()["rows"]] == ["x"]
    assert db.get("x").status == db.get("y").status == 404
    assert db.get().json()["doc_count"] == 0
    assert together(db, [{"_id": "x"}, {"_id": "y"}]).status == 201


def test_other_refusals_say_what_they_are(db):
    reply = together(
        db, [{"_id": "ok"}, {"_id": "s", "_attachments": {"a": {"stub": True, "revpos": 1}}}]
    )
    error(reply, 412, "missing_stub")
    error(together(db, [{"_id": "ok"}, {"_id": "_bad"}]), 400, "illegal_docid")
    error(together(db, [{"_id": "ok", "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}}],
                   new_edits=False), 400, "bad_request")
    error(together(db, [{"_id": "d%d" % i} for i in range(513)]), 413, "too_large")
    error(together(db, [{"_id": "d", "v": "x" * 7000000}] * 5), 413, "too_large")
    assert db.get().json()["doc_count"] == 0
    assert together(db, [{"_id": "d%d" % i} for i in range(512)]).status == 201
    error(db.post("_bulk_docs?atomic=maybe", {"docs": []}), 400, "query_parse_error")


def test_two_leaves_of_one_document(db):
    """A conflict is solved in one step: one leaf goes, the other is the merger, however large."""
    db.graft(
        {"_id": "c", "big": "x" * 200000, "_revisions": {"start": 2, "ids": ["aa", "r"]}},
        {"_id": "c", "big": "y" * 200000, "_revisions": {"start": 2, "ids": ["bb", "r"]}},
    )
    reply = together(
        db,
        [
            {"_id": "c", "_rev": "2-bb", "big": "z" * 200000},
            {"_id": "c", "_rev": "2-aa", "_deleted": True},
            {"_id": "log", "what": "merged"},
        ],
    )
    assert reply.status == 201, reply
    doc = db.get("c?conflicts=true").json()
    assert doc["_rev"] == reply.json()[0]["rev"] and "_conflicts" not in doc
    assert doc["big"][0] == "z" and db.get("log").status == 200


def test_transfers_at_once_keep_the_sum(db):
    """Clients move amounts between accounts; at any moment a reader finds the same sum."""
    together(db, [{"_id": "acc%d" % i, "v": 100} for i in range(4)])
    wrong = []

    def move(me):
        for i in range(25):
            rows = db.rows("_all_docs?include_docs=true")
            docs = [row["doc"] for row in rows]
            if sum(d["v"] for d in docs) != 400:
                wrong.append(docs)
            one, two = docs[(me + i) % 4], docs[(me + i + 1) % 4]
            one["v"] -= 7
            two["v"] += 7
            if together(db, [one, two]).status not in (201, 409):
                wrong.append("status")

    threads = [threading.Thread(target=move, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_killed_in_between():
    """After SIGKILL each request is there whole or not at all."""
    with Server() as server:
        assert server.put("/k").status == 201
        done = []

        def write():
            try:
                for i in range(10000):
                    docs = [{"_id": "%05d-%02d" % (i, k), "pad": "p" * 500} for k in range(40)]
                    if server.post("/k/_bulk_docs?atomic=true", {"docs": docs}).status == 201:
                        done.append(i)
            except Exception:  # the server is gone
                pass

        writer = threading.Thread(target=write)
        writer.start()
        while len(done) < 20:
            pass
        server.kill9()
        writer.join()
        server.start()
        counts = {}
        for row in server.get("/k/_all_docs").json()["rows"]:
            counts[row["id"][:5]] = counts.get(row["id"][:5], 0) + 1
        assert set(counts.values()) == {40}
        assert all("%05d" % i in counts for i in done)
