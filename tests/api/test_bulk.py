"""_bulk_docs in both modes, _bulk_get, _revs_diff: what the replicators stand on."""

import json

import pytest
from support.check import error


def test_bulk_docs(db):
    rows = db.bulk([{"_id": "a", "v": 1}, {"v": 2}, {"_id": "c"}])
    assert [r["ok"] for r in rows] == [True, True, True]
    assert rows[0]["id"] == "a" and len(rows[1]["id"]) == 32 and rows[2]["id"] == "c"
    for row in rows:
        assert db.get(row["id"]).json()["_rev"] == row["rev"]
    assert db.get().json()["doc_count"] == 3
    assert db.bulk([]) == []


def test_conflicts_are_rows(db):
    rev = db.save("a", {"v": 1})
    rows = db.bulk([{"_id": "a", "v": 2}, {"_id": "b"}, {"_id": "a", "v": 3, "_rev": rev}])
    assert rows[0] == {"id": "a", "error": "conflict", "reason": "Document update conflict."}
    assert rows[1]["ok"] and rows[2]["ok"]
    assert db.get("a").json()["v"] == 3


def test_a_bad_design_document_is_a_row(db):
    bad = {"_id": "_design/d", "views": 1}
    rows = db.bulk([{"_id": "a"}, bad, {"_id": "b"}])
    assert rows[0]["ok"] and rows[2]["ok"]
    assert rows[1]["id"] == "_design/d" and rows[1]["error"] == "invalid_design_doc"
    assert db.get("_design/d").status == 404
    error(db.post("_bulk_docs?atomic=true", {"docs": [{"_id": "c"}, bad]}), 400)
    assert db.get("c").status == 404


def test_same_id_twice_in_one_request(db):
    rows = db.bulk([{"_id": "a", "v": 1}, {"_id": "a", "v": 2}])
    assert rows[0]["ok"] is True
    assert rows[1]["error"] == "conflict"
    assert db.get("a").json()["v"] == 1


def test_bulk_delete(db):
    rows = db.bulk([{"_id": "d%d" % i} for i in range(10)])
    gone = db.bulk([{"_id": r["id"], "_rev": r["rev"], "_deleted": True} for r in rows])
    assert all(r["ok"] for r in gone)
    assert db.get().json()["doc_del_count"] == 10
    assert db.rows("_all_docs") == []


def test_large_batch(db):
    docs = [{"_id": "%05d" % i, "n": i, "pad": "x" * 200} for i in range(5000)]
    rows = db.bulk(docs)
    assert [r["id"] for r in rows] == [d["_id"] for d in docs]
    assert db.get().json()["doc_count"] == 5000
    assert len(db.rows("_all_docs")) == 5000
    assert len(db.changes()["results"]) == 5000


@pytest.mark.parametrize(
    "doc, word, reason",
    [
        ({"_id": "x", "_foo": 1}, "doc_validation", "Bad special document member: _foo"),
        (
            {"_id": "_x"},
            "illegal_docid",
            "Only reserved document ids may start with underscore.",
        ),
        ({"_id": ""}, "illegal_docid", "Document id must not be empty"),
        ({"_id": 3}, "illegal_docid", "Document id must be a string"),
        ({"_id": "x", "_rev": "nope"}, "bad_request", "Invalid rev format"),
        ({"_id": "x", "_deleted": 1}, "doc_validation", "Bad special document member: _deleted"),
        ("text", "bad_request", "Document must be a JSON object"),
        ([], "bad_request", "Document must be a JSON object"),
        (None, "bad_request", "Document must be a JSON object"),
        ({"_id": "x", "_revisions": {"start": "a", "ids": ["b"]}}, "doc_validation", None),
        ({"_id": "x", "_revisions": {"start": 1, "ids": "b"}}, "doc_validation", None),
    ],
)
def test_a_malformed_document_fails_the_request(db, doc, word, reason):
    reply = db.post("_bulk_docs", {"docs": [{"_id": "good"}, doc]})
    got = error(reply, 400, word)
    if reason:
        assert got == reason
    assert db.get("good").status == 404
    assert db.get().json()["doc_count"] == 0


@pytest.mark.parametrize(
    "body",
    ["{}", '{"docs":{}}', '{"docs":1}', "[]", "1", '{"docs":[],"new_edits":"x"}', "{", ""],
)
def test_malformed_requests(db, body):
    error(db.post("_bulk_docs", body), 400)


def test_missing_docs_reason(db):
    assert error(db.post("_bulk_docs", {}), 400) == "POST body must include `docs` parameter."


def test_new_edits_false(db):
    db.graft(
        {"_id": "a", "_rev": "2-b", "v": 1},
        {"_id": "b", "_revisions": {"start": 3, "ids": ["z", "y", "x"]}},
        {"_id": "c", "_rev": "1-x", "_revisions": {"start": 2, "ids": ["q", "p"]}},
    )
    assert db.get("a").json() == {"_id": "a", "_rev": "2-b", "v": 1}
    assert db.get("b?revs=true").json()["_revisions"] == {"start": 3, "ids": ["z", "y", "x"]}
    assert db.get("c").json()["_rev"] == "2-q"
    assert db.get("a?revs=true").json()["_revisions"] == {"start": 2, "ids": ["b"]}


def test_new_edits_false_is_idempotent(db):
    doc = {"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}, "v": 1}
    db.graft(doc)
    seq = db.changes()["last_seq"]
    db.graft(doc, doc)
    db.graft({"_id": "a", "_rev": "1-a", "v": "inner"})
    assert db.changes()["last_seq"] == seq


def test_new_edits_false_needs_a_revision(db):
    reply = db.post("_bulk_docs", {"new_edits": False, "docs": [{"_id": "a"}]})
    if reply.status == 201:
        assert reply.json()[0]["id"] == "a" and "error" in reply.json()[0]
    else:
        error(reply, 400)


def test_stems_are_joined_in_any_order(server):
    """Three pieces of one line, in every order, give one root and one leaf.

    Only the ancestors of a revision that is held already may stay unknown: such a piece is no news.
    """
    import itertools

    pieces = [
        {"_id": "a", "_revisions": {"start": 2, "ids": ["b", "a"]}},
        {"_id": "a", "_revisions": {"start": 4, "ids": ["d", "c", "b"]}},
        {"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}},
    ]
    for n, order in enumerate(itertools.permutations(pieces)):
        path = "/stems%d" % n
        server.put(path)
        for piece in order:
            reply = server.post(path + "/_bulk_docs", {"docs": [piece], "new_edits": False})
            assert reply.json() == []
        leaves = server.get(path + "/a?open_revs=all&revs=true").json()
        assert [e["ok"]["_rev"] for e in leaves] == ["4-d"]
        assert leaves[0]["ok"]["_revisions"]["ids"] in (["d", "c", "b", "a"], ["d", "c", "b"])
        server.delete(path)


def test_branches_and_winner(db):
    db.graft(
        {"_id": "a", "_revisions": {"start": 2, "ids": ["x", "r"]}, "v": "x"},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["y", "r"]}, "v": "y"},
        {"_id": "a", "_revisions": {"start": 3, "ids": ["k", "y", "r"]}, "_deleted": True},
        {"_id": "a", "_rev": "1-other", "v": "root"},
    )
    got = db.get("a?conflicts=true&deleted_conflicts=true").json()
    assert got["_rev"] == "2-x"
    assert got["_conflicts"] == ["1-other"]
    assert got["_deleted_conflicts"] == ["3-k"]
    row = db.changes("?style=all_docs")["results"]
    assert [c["rev"] for c in row[0]["changes"]] == ["2-x", "1-other", "3-k"]
    assert "deleted" not in row[0]


def test_odd_revision_hashes(db):
    upper = "A" * 32
    db.graft({"_id": "u", "_rev": "1-" + upper})
    assert db.get("u").json()["_rev"] == "1-" + upper.lower()
    db.graft({"_id": "e", "_rev": "1-"})
    assert db.get("e").json()["_rev"] == "1-"
    db.graft({"_id": "s", "_rev": "4-x"})
    assert db.get("s").json()["_rev"] == "4-x"


def test_many_leaves(db):
    db.graft(*[{"_id": "a", "_rev": "1-%04d" % i, "n": i} for i in range(300)])
    assert len(db.get("a?open_revs=all").json()) == 300
    assert db.get("a").json()["n"] == 299
    assert len(db.get("a?conflicts=true").json()["_conflicts"]) == 299
    assert db.get().json()["doc_count"] == 1


def test_revs_diff(db):
    db.graft(
        {"_id": "a", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["x", "a"]}},
    )
    reply = db.post(
        "_revs_diff",
        {
            "a": ["3-c", "2-b", "1-a", "2-x"],
            "never": ["1-q", "2-r"],
        },
    )
    assert reply.status == 200
    assert reply.json() == {"never": {"missing": ["1-q", "2-r"]}}
    got = db.post("_revs_diff", {"a": ["4-n", "2-b", "3-m"]}).json()
    assert sorted(got["a"]["missing"]) == ["3-m", "4-n"]
    assert sorted(got["a"]["possible_ancestors"]) == ["2-x", "3-c"]
    got = db.post("_revs_diff", {"a": ["1-z"]}).json()
    assert got == {"a": {"missing": ["1-z"]}}
    assert db.post("_revs_diff", {}).json() == {}
    error(db.post("_revs_diff", {"a": ["bad"]}), 400)
    error(db.post("_revs_diff", "[]"), 400)
    error(db.post("_revs_diff", {"a": "1-a"}), 400)


def test_revs_diff_below_a_stem_is_missing(db):
    db.graft({"_id": "a", "_revisions": {"start": 5, "ids": ["e", "d"]}})
    got = db.post("_revs_diff", {"a": ["3-c", "4-d", "5-e"]}).json()
    assert got["a"]["missing"] == ["3-c"]


def test_bulk_get_shape(db):
    one = db.save("a", {"v": 1})
    two = db.save("a", {"v": 2, "_rev": one})
    wanted = [
        {"id": "a"},
        {"id": "a", "rev": one},
        {"id": "never"},
        {"id": "a", "rev": "9-nope"},
        {"id": "a"},
        {"id": "constructor"},
        {"id": "__proto__", "rev": "1-a"},
    ]
    reply = db.post("_bulk_get", {"docs": wanted})
    assert reply.status == 200
    body = reply.json()
    assert list(body) == ["results"]
    results = body["results"]
    assert [r["id"] for r in results] == [w["id"] for w in wanted]
    assert all(list(r) == ["id", "docs"] and len(r["docs"]) == 1 for r in results)
    winner = {"ok": {"_id": "a", "_rev": two, "v": 2}}
    assert results[0]["docs"] == [winner] == results[4]["docs"]
    assert results[1]["docs"] == [{"ok": {"_id": "a", "_rev": one, "v": 1}}]
    assert results[2]["docs"] == [
        {"error": {"id": "never", "rev": "undefined", "error": "not_found", "reason": "missing"}}
    ]
    assert results[3]["docs"] == [
        {"error": {"id": "a", "rev": "9-nope", "error": "not_found", "reason": "missing"}}
    ]
    assert "error" in results[5]["docs"][0] and "error" in results[6]["docs"][0]


def test_bulk_get_latest_and_leaves(db):
    db.graft(
        {"_id": "a", "_revisions": {"start": 2, "ids": ["x", "r"]}},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["y", "r"]}},
    )
    body = db.post("_bulk_get?revs=true", {"docs": [{"id": "a"}]}).json()
    revs = {d["ok"]["_rev"]: d["ok"]["_revisions"] for d in body["results"][0]["docs"]}
    assert revs == {"2-x": {"start": 2, "ids": ["x", "r"]}, "2-y": {"start": 2, "ids": ["y", "r"]}}
    body = db.post("_bulk_get?latest=true", {"docs": [{"id": "a", "rev": "1-r"}]}).json()
    assert sorted(d["ok"]["_rev"] for d in body["results"][0]["docs"]) == ["2-x", "2-y"]


def test_bulk_get_errors(db):
    assert error(db.post("_bulk_get", {}), 400) == "Missing JSON list of 'docs'."
    for bad in ("open_revs=all", "new_edits=false", "w=1", "rev=1-a", "atts_since=%5B%5D"):
        error(db.post("_bulk_get?" + bad, {"docs": []}), 400)
    body = db.post("_bulk_get", {"docs": [{"id": ""}, {"id": "_x"}]}).json()
    assert all("error" in r["docs"][0] for r in body["results"])


def test_bulk_get_attachments(db):
    import base64

    data = base64.b64encode(b"hello").decode()
    db.save("a", {"_attachments": {"t.txt": {"content_type": "text/plain", "data": data}}})
    ask = {"docs": [{"id": "a"}]}
    stub = db.post("_bulk_get", ask).json()["results"][0]["docs"][0]["ok"]
    assert stub["_attachments"]["t.txt"]["stub"] is True
    full = db.post("_bulk_get?attachments=true", ask).json()["results"][0]["docs"][0]["ok"]
    assert full["_attachments"]["t.txt"]["data"] == data
    # Who says what he has wants what is newer.
    rev = full["_rev"]
    for since, part in ([["1-other"], "data"], [[rev], "stub"], [[], "stub"]):
        ask = {"docs": [{"id": "a", "atts_since": since}]}
        got = db.post("_bulk_get", ask).json()["results"][0]["docs"][0]["ok"]
        assert part in got["_attachments"]["t.txt"], since


def test_full_commit_header_is_ignored(db):
    headers = {"X-Couch-Full-Commit": "false"}
    body = json.dumps({"docs": [{"_id": "a"}]})
    assert db.post("_bulk_docs", body, headers=headers).status == 201
