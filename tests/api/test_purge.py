"""_purge, _purged_infos, _purged_infos_limit: CouchDB's answers, and nothing comes back."""

import random
import time

from support.server import Server, quote

GONE = {"error": "not_found", "reason": "missing"}


def purge(db, body):
    reply = db.post("_purge", body)
    assert reply.status == 201, reply
    answer = reply.json()
    assert set(answer) == {"purge_seq", "purged"} and answer["purge_seq"] is None
    return answer["purged"]


def infos(db):
    reply = db.get("_purged_infos")
    assert reply.status == 200, reply
    return reply.json()["purged_infos"]


def seqs(db):
    info = db.get().json()
    return tuple(int(info[k].split("-")[0]) for k in ("update_seq", "purge_seq"))


def counts(db):
    info = db.get().json()
    return info["doc_count"], info["doc_del_count"]


def test_a_document_goes_without_a_trace(db):
    rev1 = db.save("a", {"n": 1})
    rev2 = db.save("a", {"n": 2, "_rev": rev1})
    db.save("b", {})
    external = db.get().json()["sizes"]["external"]
    assert purge(db, {"a": [rev1]}) == {"a": []}  # no leaf
    assert purge(db, {"a": [rev2], "never": ["1-x"]}) == {"a": [rev2], "never": []}
    reply = db.get("a")
    assert (reply.status, reply.json()) == (404, GONE)
    assert db.get("a?rev=" + rev2).status == 404
    assert counts(db) == (1, 0)
    assert db.get().json()["sizes"]["external"] < external
    assert [r["id"] for r in db.changes()["results"]] == ["b"]
    assert [r["id"] for r in db.rows("_all_docs")] == ["b"]
    assert seqs(db) == (6, 3)
    assert purge(db, {"a": [rev2]}) == {"a": []}
    assert seqs(db) == (7, 4)
    assert infos(db) == [
        {"id": "a", "revs": [rev1]},
        {"id": "a", "revs": [rev2]},
        {"id": "never", "revs": ["1-x"]},
        {"id": "a", "revs": [rev2]},
    ]
    again = db.save("a", {"n": 3})  # a new document
    assert again.startswith("1-")
    assert db.get("a?revs=true").json()["_revisions"]["ids"] == [again[2:]]


def test_a_branch_goes_up_to_its_fork(db):
    db.graft(
        {"_id": "d", "_rev": "3-c", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}, "v": "c"},
        {"_id": "d", "_rev": "4-f", "_revisions": {"start": 4, "ids": ["f", "e", "b", "a"]}},
        {"_id": "d", "_rev": "2-z", "_deleted": True, "_revisions": {"start": 2, "ids": ["z", "a"]}},
    )
    before = seqs(db)[0]
    assert purge(db, {"d": ["4-f", "3-e", "4-f", "9-no"]}) == {"d": ["4-f"]}
    assert db.get("d").json() == {"_id": "d", "_rev": "3-c", "v": "c"}
    assert db.get("d?rev=3-e").status == 404
    row = db.changes("?style=all_docs")["results"][-1]
    assert row["seq"].startswith("%d-" % (before + 1))
    assert [c["rev"] for c in row["changes"]] == ["3-c", "2-z"]
    assert purge(db, {"d": ["3-c"]}) == {"d": ["3-c"]}
    assert counts(db) == (0, 1)  # what is left is a tombstone
    assert db.get("d").json()["reason"] == "deleted"
    assert db.changes()["results"][-1]["deleted"]
    assert purge(db, {"d": ["2-z"]}) == {"d": ["2-z"]}
    assert counts(db) == (0, 0)
    assert db.changes()["results"] == []
    # A peer that still has it brings it back.
    db.graft({"_id": "d", "_rev": "3-c", "_revisions": {"start": 3, "ids": ["c", "b", "a"]}})
    assert db.get("d").json()["_rev"] == "3-c"


def test_attachments_stay_with_what_is_left(db):
    keep = {"x.txt": {"content_type": "text/plain", "data": "aGVsbG8="}}
    db.graft(
        {"_id": "d", "_rev": "1-a", "_attachments": keep},
        {"_id": "d", "_rev": "1-b", "_attachments": {"y": dict(keep["x.txt"])}},
    )
    assert purge(db, {"d": ["1-b"]}) == {"d": ["1-b"]}
    assert db.get("d/x.txt").body == b"hello"
    assert db.get("d/y").status == 404


def test_large_attachments_go_and_stay(db):
    big = "A" * 400000  # a blob of its own
    keep = {"content_type": "text/plain", "data": big}
    db.graft(
        {"_id": "d", "_rev": "1-a", "_attachments": {"x": keep}},
        {"_id": "d", "_rev": "1-b", "_attachments": {"y": keep}},
        {"_id": "e", "_rev": "1-a", "_attachments": {"z": keep}},
    )
    assert purge(db, {"d": ["1-b"], "e": ["1-a"]}) == {"d": ["1-b"], "e": ["1-a"]}
    assert len(db.get("d/x").body) == 300000
    assert db.get().json()["sizes"]["active"] < 2 * 300000
    assert purge(db, {"d": ["1-a"]}) == {"d": ["1-a"]}
    assert db.get().json()["sizes"]["active"] < 300000


def test_bad_requests(server, db):
    def refused(body, reason, status=400):
        reply = db.post("_purge", body)
        assert (reply.status, reply.json()["reason"]) == (status, reason), reply

    refused({"a": ["nonsense"]}, "Invalid rev format")
    refused({"a": [1]}, "Invalid rev format")
    refused({"a": "1-x"}, "Invalid list of revisions")
    refused({"d%d" % n: [] for n in range(101)}, "Exceeded maximum number of documents.")
    refused({"a": ["1-x"] * 1001}, "Exceeded maximum number of revisions.")
    refused({"a": ["1-x"] * 501, "b": ["1-x"] * 500}, "Exceeded maximum number of revisions.")
    assert db.post("_purge", []).status == 400
    reply = db.post("_purge", {"": ["0-1"]})
    assert (reply.status, reply.json()["error"]) == (400, "illegal_docid"), reply
    assert db.post("_purge", b"{", headers={"Content-Type": "application/json"}).status == 400
    assert db.post("_purge", b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert db.get("_purge").status == 405
    assert server.post("/not-there/_purge", {}).status == 404
    assert purge(db, {}) == {}
    assert seqs(db) == (0, 0) and infos(db) == []
    # No tree has such a revision; it was 500 once, for the log takes no record of it.
    rev = db.save("a", {})
    assert purge(db, {"_local/x": ["0-1"], "a": ["0-1", rev]}) == {"_local/x": [], "a": [rev]}
    assert db.get("a").status == 404
    for name in ("_local/x", "_other", "_design/", "_local/"):  # nothing of them can be there
        for rev in ("0-1", "1-abc"):
            assert purge(db, {name: [rev]}) == {name: []}


def test_the_limit_of_infos(db):
    assert db.get("_purged_infos_limit").json() == 1000
    for bad in (0, -1, 1.5, [], {}, True, 10**7):
        reply = db.put("_purged_infos_limit", bad)
        assert (reply.status, reply.json()["error"]) == (400, "bad_request"), reply
    reply = db.put("_purged_infos_limit", 0)
    assert reply.json()["reason"] == "`purged_infos_limit` must be positive integer"
    assert db.post("_purged_infos_limit", 2).status == 405
    reply = db.put("_purged_infos_limit", 2)
    assert (reply.status, reply.json()) == (200, {"ok": True})
    for n in range(5):
        purge(db, {"d%d" % n: ["1-x"]})
    assert [i["id"] for i in infos(db)] == ["d3", "d4"]
    assert db.get("_revs_limit").json() == 1000
    assert db.get("_purged_infos_limit").json() == 2


def test_feeds_do_not_stop_over_a_purge(server, db):
    rev = db.save("a", {})
    cpu = server.cpu_seconds()
    with server.stream(db.path + "/_changes?feed=continuous&heartbeat=100000") as feed:
        assert feed.row()["id"] == "a"
        purge(db, {"a": [rev]})
        time.sleep(1)  # woken, and nothing to tell: it waits on
        db.save("b", {})
        assert feed.row()["id"] == "b"
    assert server.cpu_seconds() - cpu < 0.7
    assert db.changes()["pending"] == 0


def test_a_vector_query_never_shows_what_was_purged(db):
    fields = [{"name": "v", "dims": 2, "metric": "l2"}]
    index = {"type": "vector", "ddoc": "vec", "name": "v", "index": {"fields": fields}}
    reply = db.post("_index", index)
    assert reply.status == 200, reply

    def near(x):
        body = {"selector": {}, "vector": {"near": [x, 0]}, "limit": 3}
        reply = db.post("_find", body)
        assert reply.status == 200, reply
        return [d["_id"] for d in reply.json()["docs"]]

    revs = {n: db.save("d%d" % n, {"v": [n, 0]}) for n in range(5)}
    assert near(0)[0] == "d0"
    purge(db, {"d0": [revs[0]], "d2": [revs[2]]})
    assert near(0) == ["d1", "d3", "d4"]
    db.save("d0", {"v": [9, 0]})
    assert near(0) == ["d1", "d3", "d4"]
    assert near(9)[0] == "d0"
    # The winner goes, a losing revision takes its place.
    db.graft({"_id": "d1", "_rev": "1-0", "v": [20, 0]})
    purge(db, {"d1": [revs[1]]})
    assert near(0)[0] == "d3"
    assert near(20)[0] == "d1"


def test_a_vector_index_that_was_behind_hears_of_purges():
    """Purged documents have no row in _changes; their infos tell, or the index is made again."""
    fields = [{"name": "v", "dims": 2, "metric": "l2"}]
    index = {"type": "vector", "ddoc": "vec", "name": "v", "index": {"fields": fields}}
    for limit in (1000, 1):
        with Server() as server:
            assert server.put("/p").status == 201
            assert server.post("/p/_index", index).status == 200
            docs = [{"_id": "d%d" % n, "v": [n, 0]} for n in range(8)]
            revs = {r["id"]: r["rev"] for r in server.post("/p/_bulk_docs", {"docs": docs}).json()}

            def near(x):
                body = {"selector": {}, "vector": {"near": [x, 0]}, "limit": 8}
                reply = server.post("/p/_find", body)
                assert reply.status == 200, reply
                return [d["_id"] for d in reply.json()["docs"]]

            assert near(0)[0] == "d0"
            server.restart()  # the index is saved with all of them
            assert server.put("/p/_purged_infos_limit", limit).status == 200
            for name in ("d0", "d1", "d2"):
                reply = server.post("/p/_purge", {name: [revs[name]]})
                assert reply.json()["purged"] == {name: [revs[name]]}
            assert server.put("/p/d0", {"v": [90, 0]}).status == 201
            server.restart(kill=True)
            assert near(0) == ["d3", "d4", "d5", "d6", "d7", "d0"]
            assert near(90)[0] == "d0"


def wait_compacted(server, name):
    assert server.post("/%s/_compact" % name, {}).status == 202
    end = time.monotonic() + 60
    while server.get("/" + name).json()["compact_running"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_kills_rebuilds_and_compaction_bring_nothing_back():
    rnd = random.Random(3)
    with Server() as server:
        assert server.put("/p").status == 201
        live = {}
        for turn in range(6):
            for _ in range(150):
                name = "d%d" % rnd.randrange(40)
                if name in live and rnd.random() < 0.5:
                    reply = server.post("/p/_purge", {name: [live.pop(name)]})
                    assert reply.status == 201 and reply.json()["purged"][name], reply
                elif name not in live:
                    body = {"turn": turn, "pad": "x" * 500}
                    if rnd.random() < 0.1:
                        text = {"content_type": "text/plain", "data": "A" * 120000}
                        body["_attachments"] = {"a": text}
                    reply = server.put("/p/" + quote(name), body)
                    assert reply.status == 201, reply
                    live[name] = reply.json()["rev"]
            if turn % 2:
                wait_compacted(server, "p")
            rebuild = turn % 3 == 2
            server.restart(
                kill=turn % 2 == 0,
                between=(lambda s: s.remove_folders("idx", "vec")) if rebuild else None,
            )
            rows = server.get("/p/_all_docs").json()["rows"]
            assert {r["id"]: r["value"]["rev"] for r in rows} == live
            assert server.get("/p").json()["doc_count"] == len(live)
        infos = server.get("/p/_purged_infos").json()["purged_infos"]
        assert 0 < len(infos) <= 1000
        server.stop()
        code, text = server.check()
        assert code == 0, text
