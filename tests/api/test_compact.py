"""POST /{db}/_compact: old revisions go, everything else stays, also over restarts and rebuilds."""

import os
import time

from support.server import Server


def wait_compacted(server, name):
    end = time.monotonic() + 60
    while server.get("/" + name).json()["compact_running"]:
        assert time.monotonic() < end
        time.sleep(0.02)


def compact(server, name):
    reply = server.post("/%s/_compact" % name, {})
    assert reply.status == 202, reply
    assert reply.json() == {"ok": True}
    wait_compacted(server, name)


def test_needs_json_and_a_database(server, db):
    reply = server.post(db.path + "/_compact", b"", headers={"Content-Type": "text/plain"})
    assert reply.status == 415, reply
    assert server.post("/not-there/_compact", {}).status == 404
    compact(server, db.name)  # an empty one


def test_old_revisions_go_and_the_rest_stays(server, db):
    revs = [db.save("a", {"n": 0})]
    for n in range(1, 6):
        revs.append(db.save("a", {"n": n, "_rev": revs[-1]}))
    for n, rev in enumerate(revs):
        assert db.get("a?rev=" + rev).json()["n"] == n
    db.graft({"_id": "c", "_rev": "1-x", "v": 1}, {"_id": "c", "_rev": "1-y", "v": 2})
    gone = db.save("d", {"v": 1})
    assert db.delete("d?rev=" + gone).status == 200
    seq = db.get().json()["update_seq"]
    changes = db.changes("?include_docs=true&style=all_docs")
    compact(server, db.name)
    for rev in revs[:-1]:
        reply = db.get("a?rev=" + rev)
        assert (reply.status, reply.json()["reason"]) == (404, "missing")
    assert db.get("a").json()["n"] == 5
    info = db.get("a?revs_info=true").json()["_revs_info"]
    assert [i["status"] for i in info] == ["available"] + ["missing"] * 5
    assert db.get("c?rev=1-x").json()["v"] == 1
    assert db.get("c?rev=1-y").json()["v"] == 2
    assert db.get("d").json()["reason"] == "deleted"
    assert db.get().json()["update_seq"] == seq
    assert db.changes("?include_docs=true&style=all_docs") == changes
    # What was a leaf then is an old revision that can be read, until the next time.
    newest = db.save("a", {"n": 6, "_rev": revs[-1]})
    assert db.get("a?rev=" + revs[-1]).json()["n"] == 5
    compact(server, db.name)
    assert db.get("a?rev=" + revs[-1]).status == 404
    assert db.get("a").json() == {"_id": "a", "_rev": newest, "n": 6}


def test_again_without_a_change_does_nothing():
    """Its own records, dead as soon as they are written, are no reason to go over it all again."""
    with Server() as server:
        assert server.put("/db").status == 201
        rev = server.put("/db/a", {"n": 0}).json()["rev"]
        rev = server.put("/db/a", {"n": 1, "_rev": rev}).json()["rev"]
        log, seen = os.path.join(server.data, "0", "log"), [[]]
        for doc in (None, None, {"n": 2, "_rev": rev}, None):
            if doc is not None:
                assert server.put("/db/a", doc).status == 201
            compact(server, "db")
            names = os.listdir(log)
            stat = os.stat(os.path.join(log, max(names)))
            seen.append(sorted(names) + [stat.st_mtime_ns])
        same = [a == b for a, b in zip(seen, seen[1:])]
        assert same == [False, True, False, True], seen
        assert server.get("/db/a?rev=" + rev).status == 404


def test_sizes_and_attachments_over_restart_and_rebuild():
    with Server() as server:
        assert server.put("/db").status == 201
        data = bytes(range(256)) * 400
        rev = server.put("/db/doc/att", data, headers={"Content-Type": "x/y"}).json()["rev"]
        for n in range(30):
            body = {
                "n": n,
                "_rev": rev,
                "pad": "x" * 5000,
                "_attachments": {"att": {"stub": True}},
            }
            rev = server.put("/db/doc", body).json()["rev"]
        assert server.put("/db/_local/l", {"big": "y" * 10000}).status == 201
        assert server.put("/other").status == 201
        assert server.put("/other/x", {"v": 1}).status == 201
        before = server.get("/db").json()["sizes"]
        assert len(data) + 5000 < before["active"] < len(data) + 12000
        assert len(data) + 5000 < before["external"] < len(data) + 12000
        compact(server, "db")
        compact(server, "db")
        after = server.get("/db").json()["sizes"]
        assert after["active"] <= before["active"]  # trees without old pointers are shorter
        assert after["file"] < before["file"]

        def look():
            assert server.get("/db/doc/att").body == data
            assert server.get("/db/doc").json()["n"] == 29
            assert server.get("/db/_local/l").json()["big"] == "y" * 10000
            assert server.get("/other/x").json()["v"] == 1
            assert server.get("/db/_all_docs").json()["total_rows"] == 1
            return server.get("/db/_changes?include_docs=true").json(), server.get("/db").json()

        seen = look()
        server.stop()
        code, text = server.check()
        assert code == 0, text
        server.start()
        again = look()
        assert again[0] == seen[0]
        assert again[1]["sizes"]["active"] == seen[1]["sizes"]["active"]
        server.kill9()
        assert server.remove_folders("idx") > 0
        server.start()
        assert look()[0] == seen[0]


def test_reads_go_on_while_it_runs():
    with Server() as server:
        assert server.put("/db").status == 201
        revs = {}
        for n in range(200):
            body = {"docs": [{"_id": "d%03d" % i, "n": n, "pad": "z" * 2000} for i in range(20)]}
            for doc in body["docs"]:
                if doc["_id"] in revs:
                    doc["_rev"] = revs[doc["_id"]]
            for row in server.post("/db/_bulk_docs", body).json():
                revs[row["id"]] = row["rev"]
            if n % 20 == 19:
                assert server.post("/db/_compact", {}).status == 202
            rows = server.get("/db/_all_docs?include_docs=true").json()["rows"]
            assert [r["doc"]["n"] for r in rows] == [n] * 20
            feed = server.get("/db/_changes?include_docs=true").json()["results"]
            assert [r["doc"]["n"] for r in feed] == [n] * 20
        wait_compacted(server, "db")
        sizes = server.get("/db").json()["sizes"]
        assert sizes["active"] < 200_000
