"""Endpoints and refusals that clients probe for."""

from support.check import error


def test_missing_revs(db):
    rev = db.save("a", {})
    reply = db.post("_missing_revs", {"a": [rev, "9-x"], "b": ["1-q", "2-q"]})
    assert reply.status == 200
    assert reply.json() == {"missing_revs": {"a": ["9-x"], "b": ["1-q", "2-q"]}}
    assert db.post("_missing_revs", {"a": [rev]}).json() == {"missing_revs": {}}
    error(db.post("_missing_revs", {"a": ["nonsense"]}), 400, "bad_request")
    error(db.post("_missing_revs", {"a": 1}), 400, "bad_request")
    error(db.get("_missing_revs"), 405, "method_not_allowed")


def test_keys_and_a_range_exclude_each_other(db):
    db.save("a", {})
    for other in ("startkey", "endkey", "start_key", "end_key", "key"):
        error(db.post("_all_docs", {"keys": ["a"], other: "a"}), 400, "query_parse_error")
        error(db.post("_all_docs?%s=%%22a%%22" % other, {"keys": ["a"]}), 400, "query_parse_error")


def test_local_documents_have_no_attachments(db):
    db.save("_local/x", {"a": 1})
    for reply in (
        db.get("_local/x/att"),
        db.put("_local/x/att", b"bytes", headers={"Content-Type": "text/plain"}),
        db.delete("_local/x/att?rev=0-1"),
        db.get("_local/absent/att"),
    ):
        error(reply, 400, "bad_request")
        assert reply.json()["reason"] == "_local documents do not accept attachments."


def test_functions_of_design_documents_are_honest(db):
    db.save("_design/d", {"views": {"v": {"map": "function(doc){emit(1);}"}}})
    error(db.get("_design/d/_view/v"), 501, "not_implemented")
    error(db.get("_design%2Fd/_view/v"), 501, "not_implemented")
    error(db.post("_design/d/_view/v", {"keys": ["a"]}), 501, "not_implemented")
    error(db.get("_design/d/_show/s/doc"), 501, "not_implemented")
    error(db.get("_design/d/_list/l/v"), 501, "not_implemented")
    error(db.put("_design/d/_update/u/doc", {}), 501, "not_implemented")
