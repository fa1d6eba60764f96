"""The bounds of src/base/limits.h that a client can meet: what lies on them passes, what is above gets
the error that CouchDB would give, and the server goes on. Bounds of one area are tested with it:
atomic writes in test_atomic, options in test_config, slow clients in test_hostile."""

import os
import re

import pytest
from support.check import error
from support.people import make_user, make_users_db
from support.server import ROOT, quote


def limit(name):
    """A bound as the source has it."""
    with open(os.path.join(ROOT, "src", "base", "limits.h"), encoding="utf-8") as f:
        text = re.search(r"#define LIMIT_%s\s+(.*)" % name, f.read()).group(1)
    text = re.sub(r"/\*.*", "", text).strip().strip("()").replace("u", "").replace("ll", "")
    left, _, shift = text.partition("<<")
    return int(left) << int(shift or 0)


def ids(n):
    return ["d%d" % i for i in range(n)]


def test_uri(db):
    base = db.path + "/_all_docs?x="
    fits = limit("URI_BYTES") - len(base)
    assert db.server.get(base + "a" * fits).status == 200
    error(db.server.get(base + "a" * (fits + 1)), 414, "too_long")


def test_lists_of_ids(db):
    n = limit("KEYS")
    assert len(db.post("_all_docs", {"keys": ids(n)}).json()["rows"]) == n
    error(db.post("_all_docs", {"keys": ids(n + 1)}), 400, "bad_request")
    body = {"docs": [{"id": i} for i in ids(n + 1)]}
    error(db.post("_bulk_get", body), 400, "bad_request")
    body["docs"].pop()
    assert len(db.post("_bulk_get", body).json()["results"]) == n
    assert len(db.post("_revs_diff", {i: ["1-a"] for i in ids(n)}).json()) == n
    error(db.post("_revs_diff", {i: ["1-a"] for i in ids(n + 1)}), 400, "bad_request")
    error(db.post("_missing_revs", {i: ["1-a"] for i in ids(n + 1)}), 400, "bad_request")


def test_bulk_docs(db):
    n = limit("BULK_DOCS")
    docs = [{"_id": i} for i in ids(n + 1)]
    error(db.post("_bulk_docs", {"docs": docs}), 413, "too_large")
    assert len(db.bulk(docs[:n])) == n


def test_small_counts(server, db):
    assert len(server.get("/_uuids?count=%d" % limit("UUIDS")).json()["uuids"]) == limit("UUIDS")
    error(server.get("/_uuids?count=%d" % (limit("UUIDS") + 1)), 400, "bad_request")
    n = limit("QUERIES")
    assert db.post("_all_docs/queries", {"queries": [{"limit": 0}] * n}).status == 200
    error(db.post("_all_docs/queries", {"queries": [{}] * (n + 1)}), 400, "bad_request")
    n = limit("DBS_INFO")
    assert server.post("/_dbs_info", {"keys": ids(n)}).status == 200
    error(server.post("/_dbs_info", {"keys": ids(n + 1)}), 400, "bad_request")


def nested(depth):
    return '{"a":' * depth + "1" + "}" * depth


def test_json(db):
    n = limit("JSON_DEPTH")
    assert db.put("deep", nested(n)).status == 201
    error(db.put("deeper", nested(n + 1)), 400, "bad_request")
    error(db.put("deepest", "[" * 1000000), 400, "bad_request")


def test_documents(db):
    n = limit("DOC_BYTES")
    text = '{"a":"%s"}'
    assert db.put("fits", text % ("x" * (n - 8))).status == 201
    error(db.put("large", text % ("x" * (n - 7))), 413, "document_too_large")
    n = limit("DOCID_BYTES")
    assert db.post("", {"_id": "i" * n}).status == 201
    error(db.post("", {"_id": "i" * (n + 1)}), 400, "illegal_docid")


def test_database_names(server):
    n = limit("DBNAME_BYTES")
    assert server.put("/" + "n" * n).status == 201
    assert server.delete("/" + "n" * n).status == 200
    error(server.put("/" + "n" * (n + 1)), 400, "database_name_too_long")


def test_revisions(db):
    n = limit("REV_BYTES")
    db.graft({"_id": "r", "_rev": "1-" + "z" * n})
    bad = [
        {"_id": "s", "_rev": "1-" + "z" * (n + 1)},
        {"_id": "s", "_rev": "%d-abc" % (limit("REV_GEN") + 1)},
        {"_id": "s", "_rev": "99999999999999999999-abc"},
    ]
    for doc in bad:
        error(db.post("_bulk_docs", {"docs": [doc], "new_edits": False}), 400, "bad_request")
    n = limit("REVS_PATH")
    path = {"start": n, "ids": ["%x" % i for i in range(n)]}
    db.graft({"_id": "p", "_revisions": path})
    path = {"start": n + 1, "ids": ["%x" % i for i in range(n + 1)]}
    reply = db.post("_bulk_docs", {"docs": [{"_id": "q", "_revisions": path}], "new_edits": False})
    assert reply.status == 400
    assert db.put("_revs_limit", str(n)).status == 200
    error(db.put("_revs_limit", str(n + 1)), 400, "bad_request")


def test_leaves(db):
    n = limit("LEAVES")
    docs = [{"_id": "l", "_rev": "1-%04x" % i} for i in range(n + 1)]
    rows = db.bulk(docs, new_edits=False)
    assert len(rows) == 1 and rows[0]["error"] == "document_too_large"
    assert len(db.get("l?conflicts=true").json()["_conflicts"]) == n - 1


def test_attachments(db):
    n = limit("ATTACHMENTS")
    atts = {"a%d" % i: {"data": ""} for i in range(n)}
    assert db.put("many", {"_attachments": atts}).status == 201
    atts["one-more"] = {"data": ""}
    assert db.put("more", {"_attachments": atts}).status == 413
    n = limit("ATT_NAME_BYTES")
    assert db.put("named/" + "n" * n, b"x").status == 201
    assert db.put("names/" + "n" * (n + 1), b"x").status == 400
    n = limit("CONTENT_TYPE_BYTES")
    kind = "text/" + "x" * (n - 5)
    assert db.put("typed/a", b"x", headers={"Content-Type": kind}).status == 201
    assert db.put("types/a", b"x", headers={"Content-Type": kind + "x"}).status == 400


def test_security(db):
    names = ["n" * 1000] * (limit("SECURITY_BYTES") // 1000 + 1)
    error(db.put("_security", {"admins": {"names": names}}), 413, "too_large")
    assert db.put("_security", {"admins": {"names": names[:900]}}).status == 200


def find(db, **body):
    return db.post("_find", body)


def test_mango(db):
    def deep(n):
        sel = {"a": 1}
        for _ in range(n):
            sel = {"$not": sel}
        return sel

    assert find(db, selector=deep(limit("SELECTOR_DEPTH") // 2)).status == 200
    assert find(db, selector=deep(limit("SELECTOR_DEPTH") * 3)).status == 400
    n = limit("SELECTOR_CLAUSES")
    assert find(db, selector={"$or": [{"a": i} for i in range(n // 2)]}).status == 200
    assert find(db, selector={"$or": [{"a": i} for i in range(2 * n)]}).status == 400
    n = limit("FIND_FIELDS")
    assert find(db, selector={}, fields=ids(n)).status == 200
    assert find(db, selector={}, fields=ids(n + 1)).status == 400
    n = limit("PATH_SEGMENTS")
    assert find(db, selector={".".join("a" * n): 1}).status == 200
    assert find(db, selector={".".join("a" * (n + 1)): 1}).status == 400
    n = limit("SELECTOR_VALUES")
    assert find(db, selector={"a": {"$in": list(range(n))}}).status == 200
    assert find(db, selector={"a": {"$in": list(range(n + 1))}}).status == 400
    assert find(db, selector={"a": {"$regex": "x" * (limit("REGEX_BYTES") + 1)}}).status == 400
    assert find(db, selector={"a" * (limit("PATH_BYTES") + 1): 1}).status == 400
    n = limit("FIND_RESULTS")
    assert find(db, selector={}, limit=n + 1, skip=1).status in (200, 400)


def test_passwords(server):
    make_users_db(server)
    n = limit("BULK_PASSWORDS")
    docs = [
        {"_id": "org.couchdb.user:u%d" % i, "name": "u%d" % i, "type": "user", "roles": [],
         "password": "p"}
        for i in range(n + 1)
    ]
    error(server.post("/_users/_bulk_docs", {"docs": docs}), 413, "too_large")
    make_user(server, "one", "pw")


def test_long_cookies_and_tokens(server):
    cookie = {"Cookie": "AuthSession=" + "A" * (limit("COOKIE_BYTES") + 1)}
    assert server.get("/_session", headers=cookie, auth=False).json()["userCtx"]["name"] is None
    token = {"Authorization": "Bearer " + "A" * limit("TOKEN_BYTES")}
    assert server.get("/_session", headers=token, auth=False).status in (200, 400, 431)


@pytest.mark.parametrize("name", ["limit", "skip"])
def test_numbers_too_large_for_anything(db, name):
    assert db.get("_all_docs?%s=18446744073709551615" % name).status == 200
    error(db.get("_all_docs?%s=18446744073709551616" % name), 400, "query_parse_error")
    error(db.get("_changes?limit=" + "9" * 400), 400, "query_parse_error")


def test_an_id_in_a_url_may_be_long(db):
    doc_id = "\u00fc" * (limit("DOCID_BYTES") // 8)
    assert db.put(quote(doc_id), {}).status == 201
    assert db.get(quote(doc_id)).json()["_id"] == doc_id
