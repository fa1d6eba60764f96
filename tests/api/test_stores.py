"""Databases with a store of their own (?placement=own)."""

import os
import threading
import time

from support.check import error
from support.server import PASSWORD, USER, Server, quote


def own(server, name):
    reply = server.put("/%s?placement=own" % name)
    assert reply.status == 201, reply
    return reply


def stores(server):
    return sorted(int(n) for n in os.listdir(server.data) if n.isdigit())


def wait_stores(server, want):
    deadline = time.monotonic() + 20
    while stores(server) != want and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stores(server) == want


def test_own_is_a_database_like_any_other():
    with Server() as server:
        assert own(server, "mine").headers["location"].endswith("/mine")
        server.put("/shared?placement=shared")
        server.put("/other")
        assert stores(server) == [0, 1]
        assert server.get("/mine").json()["props"] == {"placement": "own"}
        assert server.get("/shared").json()["props"] == {}
        rev = server.put("/mine/a", {"v": 1}).json()["rev"]
        assert server.get("/mine/a").json() == {"_id": "a", "_rev": rev, "v": 1}
        assert server.put("/mine/a", {"v": 2}).status == 409
        bulk = [{"_id": "b%d" % i} for i in range(20)]
        assert server.post("/mine/_bulk_docs", {"docs": bulk}).status == 201
        assert server.put("/mine/_security", {"members": {"roles": ["r"]}}).status == 200
        assert server.get("/mine/_security").json() == {"members": {"roles": ["r"]}}
        assert len(server.get("/mine/_changes").json()["results"]) == 21
        assert server.get("/_all_dbs").json() == ["mine", "other", "shared"]
        infos = server.get("/_dbs_info").json()
        assert [i["key"] for i in infos] == ["mine", "other", "shared"]
        assert infos[0]["info"]["doc_count"] == 21
        names = [r["db_name"] for r in server.get("/_db_updates").json()["results"]]
        assert sorted(names) == ["mine", "other", "shared"]
        assert server.post("/mine/_compact", {}).status == 202
        error(server.put("/mine"), 412, "file_exists")
        error(server.put("/mine?placement=own"), 412, "file_exists")
        error(server.put("/other?placement=own"), 412, "file_exists")
        error(server.put("/Bad?placement=own"), 400, "illegal_database_name")
        server.restart(kill=True)
        assert server.get("/_all_dbs").json() == ["mine", "other", "shared"]
        assert server.get("/mine").json()["doc_count"] == 21
        assert server.get("/_up").status == 200
        server.stop()
        code, text = server.check()
        assert code == 0, text


def test_drop_and_create_again():
    with Server() as server:
        own(server, "x")
        server.put("/x/old", {})
        feed = threading.Thread(
            target=lambda: server.get("/x/_changes?feed=continuous&since=now&timeout=60000")
        )
        feed.start()
        time.sleep(0.2)
        assert server.delete("/x").status == 200
        error(server.get("/x"), 404, "not_found")
        own(server, "x")
        error(server.get("/x/old"), 404, "not_found")
        feed.join(20)
        assert not feed.is_alive(), "the feed of a dropped database goes on"
        wait_stores(server, [0, 2])
        server.put("/x/new", {})
        server.delete("/x")
        assert server.put("/x").status == 201
        wait_stores(server, [0])
        assert server.get("/x").json()["props"] == {}
        server.restart(kill=True)
        assert server.get("/x").json()["doc_count"] == 0


def test_vectors_of_two_stores_stay_apart():
    index = {"fields": [{"name": "v", "dims": 2, "metric": "l2"}]}
    find = {"selector": {}, "vector": {"near": [1, 1]}, "limit": 1, "fields": ["_id"]}
    with Server() as server:
        for name in ("a", "b"):
            own(server, name)
            body = {"type": "vector", "ddoc": "s", "name": "v", "index": index}
            assert server.post("/%s/_index" % name, body).status == 200
            server.put("/%s/of-%s" % (name, name), {"v": [1, 1]})
        for _ in range(2):
            for name in ("a", "b"):
                hits = server.post("/%s/_find" % name, find).json()["hits"]
                assert [h["id"] for h in hits] == ["of-" + name]
            server.restart()
        server.delete("/a")
        wait_stores(server, [0, 2])
        hits = server.post("/b/_find", find).json()["hits"]
        assert [h["id"] for h in hits] == ["of-b"]


def test_users_may_have_their_own_store():
    with Server() as server:
        own(server, "_users")
        user = {"type": "user", "name": "ann", "roles": [], "password": "secret"}
        assert server.put("/_users/org.couchdb.user:ann", user).status == 201
        login = {"name": "ann", "password": "secret"}
        assert server.post("/_session", login, auth=False).status == 200


def test_racing_creations():
    with Server() as server:
        for i in range(6):
            answers = []

            def create(path, answers=answers):
                answers.append(server.put(path).status)

            both = [
                threading.Thread(target=create, args=("/r%d%s" % (i, q),))
                for q in ("", "?placement=own", "", "?placement=own")
            ]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert answers.count(201) <= 1 and set(answers) <= {201, 412}, answers
        names = server.get("/_all_dbs").json()
        server.restart(kill=True)
        assert server.get("/_all_dbs").json() == names


def wait_until(true, seconds=15):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_idle_replication_ends_with_its_target():
    with Server() as server:
        server.put("/source")
        server.put("/source/a", {})
        own(server, "copy")
        url = "http://%s:%s@127.0.0.1:%d/source" % (quote(USER), quote(PASSWORD), server.port)
        body = {"source": url, "target": "copy", "continuous": True}
        assert server.post("/_replicate", body).status == 202
        wait_until(lambda: server.get("/copy/a").status == 200)
        assert server.get("/_scheduler/jobs").json()["total_rows"] == 1
        assert server.delete("/copy").status == 200
        wait_until(lambda: server.get("/_scheduler/jobs").json()["total_rows"] == 0)
        wait_stores(server, [0])
        assert server.get("/copy").status == 404
