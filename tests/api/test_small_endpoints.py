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
    error(db.post("_design/d/_view/v", {"keys": ["a"]}), 501, "not_implemented")
    error(db.get("_design/d/_show/s/doc"), 501, "not_implemented")
    error(db.get("_design/d/_list/l/v"), 501, "not_implemented")
    error(db.put("_design/d/_update/u/doc", {}), 501, "not_implemented")


def test_the_url_wins_over_a_body_but_not_over_a_query_of_several(db):
    for name in ("a", "b", "c"):
        db.save(name, {})

    def ids(reply):
        return [row["key"] for row in reply.json()["rows"]]

    assert ids(db.post("_all_docs?limit=1", {"limit": 2, "keys": ["b", "c"]})) == ["b"]
    assert ids(db.post('_all_docs?start_key="b"', {"startkey": "c"})) == ["b", "c"]
    body = {"queries": [{"limit": 2}, {}]}
    answers = db.post("_all_docs/queries?limit=1", body).json()["results"]
    assert [len(answer["rows"]) for answer in answers] == [2, 1]
    reply = db.post("_all_docs", {"include_docs": "true", "key": "a"})
    assert reply.json()["rows"][0]["doc"]["_id"] == "a"
    error(db.post("_all_docs", {"include_docs": "yes"}), 400, "query_parse_error")


def test_keys_descending_come_in_the_opposite_order(db):
    for name in ("a", "b", "c"):
        db.save(name, {})
    body = {"keys": ["c", "zz", "a"], "descending": True}
    rows = db.post("_all_docs", body).json()["rows"]
    assert [row["key"] for row in rows] == ["a", "zz", "c"]
    assert rows[1]["error"] == "not_found"
    rows = db.post("_all_docs", dict(body, skip=1, limit=1)).json()["rows"]
    assert [row["key"] for row in rows] == ["zz"]


def test_design_docs_count_design_documents(db):
    db.save("a", {})
    db.save("0", {})
    db.save("_design/x", {})
    answer = db.get("_design_docs").json()
    assert (answer["total_rows"], answer["offset"], len(answer["rows"])) == (1, 1, 1)
    answer = db.post("_design_docs", {"keys": ["a", "_design/x", 1, "_design/y"]}).json()
    assert answer["total_rows"] == 1
    assert [row["key"] for row in answer["rows"]] == ["_design/x", "_design/y"]
    db.save("_local/l", {})
    answer = db.post("_local_docs", {"keys": ["a", "_local/l"]}).json()
    assert [row["key"] for row in answer["rows"]] == ["_local/l"]


def test_tags_of_what_has_no_revision(server, db):
    db.save("_local/l", {"n": 1})
    first = db.get("_local/l")
    tag = first.headers["etag"]
    reply = db.get("_local/l", headers={"If-None-Match": tag})
    assert (reply.status, reply.body) == (304, b"")
    db.save("_local/l", {"n": 2})  # the same revision, 0-1
    reply = db.get("_local/l", headers={"If-None-Match": tag})
    assert reply.status == 200 and reply.json()["_rev"] == first.json()["_rev"]
    assert reply.headers["etag"] != tag
    names = server.get("/_all_dbs")
    again = {"If-None-Match": names.headers["etag"]}
    assert server.get("/_all_dbs", headers=again).status == 304
    server.put("/another")
    assert server.get("/_all_dbs", headers=again).status == 200
    uuids = server.get("/_uuids")
    assert "no-cache" in uuids.headers["cache-control"] and uuids.headers["etag"]
    for count in ("-1", "x"):
        reply = server.get("/_uuids?count=" + count)
        error(reply, 400, "bad_request")
        assert reply.json()["reason"] == "count must be a positive integer"


def test_a_local_document_has_no_open_revisions(db):
    db.save("_local/l", {})
    accept = {"Accept": "application/json"}
    error(db.get("_local/l?open_revs=all", headers=accept), 404, "not_found")
    reply = db.get('_local/l?open_revs=["0-1"]', headers=accept)
    assert reply.json() == [{"missing": "0-1"}]
    db.save("a", {})
    error(db.get("a?rev="), 400, "bad_request")  # not the winner


def test_names_and_states_that_cannot_be(server):
    error(server.put("/_nothing"), 400, "illegal_database_name")
    error(server.put("/NoName"), 400, "illegal_database_name")
    for method in ("GET", "DELETE"):  # only who creates it is told what is wrong with it
        for path in ("/NoName", "/NoName/x", "/NoName/_all_docs"):
            if method == "GET" or "_all" not in path:
                assert error(server.request(method, path), 404) == "Database does not exist."
    error(server.get("/_nothing"), 404, "not_found")
    error(server.get("/_scheduler/docs?states=running,odd"), 400, "query_parse_error")
    error(server.get("/_scheduler/docs?limit=x"), 400, "query_parse_error")
    assert server.get("/_scheduler/docs?states=running,Failed").json()["docs"] == []
    error(server.post("/_dbs_info", {"keys": "a"}), 400, "bad_request")


def test_members_of_design_documents_have_types(db):
    for doc, reason in (
        ({"views": 1}, "`views` field must have object type"),
        ({"views": {"v": 1}}, "`views.v` field must have object type"),
        ({"views": {"v": {}}}, "View `v` must contain map function"),
        ({"views": {"v": {"map": 1}}}, "`views.v.map` field must have string type"),
        (
            {"views": {"v": {"map": "f", "reduce": {}}}},
            "`views.v.reduce` field must have string type",
        ),
        ({"language": 1}, "`language` field must have string type"),
        ({"filters": {"f": 1}}, "`filters.f` field must have string or object type"),
        ({"options": {"local_seq": 1}}, "`options.local_seq` field must have boolean type"),
        ({"validate_doc_update": 1}, "`validate_doc_update` field must have object or string type"),
    ):
        assert error(db.put("_design/bad", doc), 400, "invalid_design_doc") == reason
    views = {"lib": {"x": "exports.a = 1"}, "v": {"map": "f", "reduce": "_sum"}}
    assert db.put("_design/good", {"views": views, "rewrites": [], "other": 1}).status == 201
    view = {"map": {"fields": {"a": "asc"}}, "reduce": "_count", "options": {}}
    doc = {"language": "query", "views": {"v": view}}
    assert db.put("_design/query", doc).status == 201
    body = {"docs": [{"_id": "_design/x", "_rev": "1-a", "views": 1}], "new_edits": False}
    assert db.post("_bulk_docs", body).json() == []  # what a peer has is taken


def test_location_of_an_attachment(db):
    reply = db.put("d/a%2Fb%20c", b"x", headers={"Content-Type": "text/plain"})
    assert reply.status == 201
    assert reply.headers["location"].endswith("/d/a%2Fb%20c")
    error(db.get("d/a%2Fb%20c?rev="), 400, "bad_request")


def test_all_dbs_takes_a_key(server, db):
    assert server.get('/_all_dbs?key="%s"' % db.name).json() == [db.name]
    assert server.get('/_all_dbs?key="no"').json() == []
    assert [row["key"] for row in server.get('/_dbs_info?key="%s"' % db.name).json()] == [db.name]


def test_json_is_called_json_whatever_is_accepted(server, db):
    db.save("a", {})
    for accept in ("text/html", "image/png", "text/plain", "application/json;q=0", "x"):
        for path in ("/_up", "/%s" % db.name, "/%s/a" % db.name, "/%s/_all_docs" % db.name, "/absent"):
            reply = server.get(path, headers={"Accept": accept})
            assert reply.headers["content-type"] == "application/json", (accept, path)


def test_cache_control_is_said_once(server, db):
    def told(path):
        return server.raw(("GET %s HTTP/1.0\r\nHost: x\r\n%s\r\n" % (path, auth)).encode()).lower()

    auth = "Authorization: %s\r\n" % server.auth_header()
    for path in ("/_uuids", "/%s/_changes?feed=eventsource&timeout=1" % db.name):
        head = told(path)
        assert head.count(b"cache-control:") == 1 and b"cache-control: no-cache" in head, head
    assert told("/_up").count(b"cache-control: must-revalidate") == 1
