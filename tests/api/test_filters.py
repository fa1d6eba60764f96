"""The filters of _changes: selectors, design documents, and functions that are not run."""

import pytest
from support.check import error


def ids(feed):
    return [r["id"] for r in feed["results"]]


@pytest.fixture
def mixed(db):
    db.save("a", {"type": "x", "n": 1})
    db.save("b", {"type": "y", "n": 2})
    db.save("c", {"type": "x", "n": 3})
    db.save("_design/d", {"filters": {"f": "function(){return true;}"}, "views": {"v": {"map": "f"}}})
    return db


def select(db, selector, query=""):
    return db.post("_changes?filter=_selector" + query, {"selector": selector})


def test_selector(mixed):
    feed = select(mixed, {"type": "x"}).json()
    assert ids(feed) == ["a", "c"]
    assert feed["last_seq"] == mixed.get().json()["update_seq"]  # past what was hidden
    assert ids(select(mixed, {"n": {"$gt": 1}}).json()) == ["b", "c"]
    assert ids(select(mixed, {"_id": {"$gte": "b"}}).json()) == ["b", "c"]
    assert ids(select(mixed, {}).json()) == ["a", "b", "c", "_design/d"]


def test_selector_sees_the_rev_and_deletion(mixed):
    rev = mixed.get("a").json()["_rev"]
    assert ids(select(mixed, {"_rev": rev}).json()) == ["a"]
    mixed.delete("c?rev=" + mixed.get("c").json()["_rev"])
    assert ids(select(mixed, {"_deleted": True}).json()) == ["c"]
    assert ids(select(mixed, {"type": "x"}).json()) == ["a"]


def test_selector_with_docs_limit_and_since(mixed):
    feed = select(mixed, {"type": "x"}, "&include_docs=true&limit=1").json()
    assert ids(feed) == ["a"] and feed["results"][0]["doc"]["n"] == 1
    rest = select(mixed, {"type": "x"}, "&since=" + feed["last_seq"]).json()
    assert ids(rest) == ["c"]


def test_selector_refused(mixed):
    error(select(mixed, {"a": {"$nonsense": 1}}), 400, "bad_request")
    error(select(mixed, "text"), 400, "bad_request")
    error(mixed.post("_changes?filter=_selector", {}), 400, "bad_request")
    error(mixed.get("_changes?filter=_selector"), 400, "bad_request")


def test_design(mixed):
    assert ids(mixed.changes("?filter=_design")) == ["_design/d"]


def test_functions_are_found_but_not_run(mixed):
    error(mixed.get("_changes?filter=d/f"), 501, "not_implemented")
    error(mixed.get("_changes?filter=d/g"), 404, "not_found")
    error(mixed.get("_changes?filter=e/f"), 404, "not_found")
    error(mixed.get("_changes?filter=_view&view=d/v"), 501, "not_implemented")
    error(mixed.get("_changes?filter=_view&view=d/w"), 404, "not_found")
    error(mixed.get("_changes?filter=_view"), 400, "bad_request")
    error(mixed.get("_changes?filter=_nonsense"), 400, "bad_request")
    error(mixed.get("_changes?filter=a/b/c"), 400, "bad_request")
    error(mixed.get("_changes?filter=plain"), 400, "bad_request")


def test_seq_interval_counts_down_from_the_limit(mixed):
    seqs = [r["seq"] for r in mixed.changes("?seq_interval=2")["results"]]
    assert [s is None for s in seqs] == [False, True, False, True]
    seqs = [r["seq"] for r in mixed.changes("?seq_interval=2&limit=25")["results"]]
    assert [s is None for s in seqs] == [True, False, True, False]


def test_every_id_is_above_what_is_no_string(mixed):
    """As CouchDB: ids compare in Erlang's order of types, other fields in the order of views."""
    for low in (None, False, 0, [], {}):
        assert ids(select(mixed, {"_id": {"$lte": low}}).json()) == []
        assert len(ids(select(mixed, {"_id": {"$gt": low}}).json())) == 4
        for op, n in (("$lt", 0), ("$gte", 3)):
            found = mixed.post("_find", {"selector": {"_id": {op: low}}}).json()["docs"]
            assert len(found) == n
    assert ids(select(mixed, {"type": {"$lt": []}}).json()) == ["a", "b", "c"]


def test_an_empty_filter_is_none(mixed):
    assert ids(mixed.get("_changes?filter=").json()) == ["a", "b", "c", "_design/d"]


def test_doc_ids_are_strings(mixed):
    for bad in ("[1]", '["a",null]', '"a"', "{}"):
        reply = mixed.get("_changes?filter=_doc_ids&doc_ids=" + bad)
        assert error(reply, 400, "bad_request") == "`doc_ids` filter parameter is not a list of doc ids."
    error(mixed.get("_changes?filter=_doc_ids&doc_ids=x"), 400, "bad_request")


def test_a_body_that_no_filter_reads_is_an_object_all_the_same(mixed):
    json = {"Content-Type": "application/json"}
    for query in ("", "?filter=_design", "?feed=longpoll"):
        assert mixed.post("_changes" + query, b"", headers=json).status == 200
        error(mixed.post("_changes" + query, b"x", headers=json), 400, "bad_request")
        error(mixed.post("_changes" + query, []), 400, "bad_request")


def test_each_leaf_is_asked_about(db):
    revs = ["1-" + c * 32 for c in "abcd"]
    docs = [{"_id": "x", "_rev": r, "n": n} for n, r in enumerate(revs[:3])]
    docs.append({"_id": "x", "_rev": revs[3], "n": 2, "_deleted": True})
    db.post("_bulk_docs", {"docs": docs, "new_edits": False})
    db.save("y", {"n": 0})

    def shown(selector, style="all_docs", more=""):
        feed = select(db, selector, "&style=" + style + more).json()
        return {r["id"]: [c["rev"] for c in r["changes"]] for r in feed["results"]}

    assert shown({"n": 0})["x"] == [revs[0]] and "y" in shown({"n": 0})
    assert shown({"n": 1}) == {"x": [revs[1]]}
    assert shown({"n": 2}) == {"x": [revs[2], revs[3]]}
    assert shown({"n": 2, "_deleted": {"$exists": False}}) == {"x": [revs[2]]}
    assert shown({"_deleted": True}) == {"x": [revs[3]]}
    assert shown({"n": 7}) == {}
    assert shown({"n": 1}, "main_only") == {}  # the winner only
    assert shown({"n": 2}, "main_only") == {"x": [revs[2]]}
    row = select(db, {"n": 1}, "&style=all_docs&include_docs=true&conflicts=true").json()["results"][0]
    assert row["doc"]["_rev"] == revs[2] and row["changes"] == [{"rev": revs[1]}]
