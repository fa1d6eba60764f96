"""The _changes feeds."""

import os
import threading
import time

import pytest
from support.check import error
from support.server import Server, quote


def ids(feed):
    return [r["id"] for r in feed["results"]]


@pytest.fixture
def ten(db):
    for i in range(10):
        db.save("d%d" % i, {"n": i})
    return db


def test_normal(ten):
    feed = ten.changes()
    assert ids(feed) == ["d%d" % i for i in range(10)]
    assert list(feed) == ["results", "last_seq", "pending"]
    assert feed["pending"] == 0
    row = feed["results"][0]
    assert list(row) == ["seq", "id", "changes"]
    assert row["changes"] == [{"rev": ten.get("d0").json()["_rev"]}]
    assert feed["last_seq"] == feed["results"][-1]["seq"]
    assert str(feed["last_seq"]) == str(ten.get().json()["update_seq"])
    numbers = [int(str(r["seq"]).split("-")[0]) for r in feed["results"]]
    assert numbers == sorted(set(numbers))


def test_one_row_a_line(ten):
    lines = ten.get("_changes").body.decode().split("\n")
    assert lines[0].strip() == '{"results":['
    assert sum('"id":"d' in line for line in lines) == 10
    assert all(line.count('"id":') <= 1 for line in lines)


def test_empty(db):
    feed = db.changes()
    assert feed["results"] == [] and feed["pending"] == 0
    assert db.changes("?since=" + quote(str(feed["last_seq"])))["results"] == []


def test_since_and_limit_page(ten):
    since, seen = "0", []
    for _ in range(20):
        feed = ten.changes("?limit=3&since=" + quote(str(since)))
        seen += ids(feed)
        assert feed["pending"] == 10 - len(seen)
        if not feed["results"]:
            break
        since = feed["results"][-1]["seq"]
        assert feed["last_seq"] == since
    assert seen == ["d%d" % i for i in range(10)]


def test_limit_zero(ten):
    feed = ten.changes("?limit=0")
    assert feed["results"] == [] and feed["pending"] == 10
    mid = ten.changes("?limit=4")["last_seq"]
    feed = ten.changes("?limit=0&since=" + quote(str(mid)))
    assert feed["results"] == [] and feed["pending"] == 6


def test_since_beyond_the_end_and_now(ten):
    last = ten.changes()["last_seq"]
    feed = ten.changes("?since=now")
    assert feed["results"] == [] and feed["last_seq"] == last
    assert ten.changes("?since=" + quote('"%s"' % last))["results"] == []
    assert ten.changes("?since=100000")["results"] == []
    assert len(ten.changes("?since=5")["results"]) == 5


@pytest.mark.parametrize(
    "bad",
    ["since=%21%21nonsense", "limit=-1", "limit=x", "feed=bogus", "heartbeat=0", "heartbeat=x"],
)
def test_bad_parameters(ten, bad):
    error(ten.get("_changes?" + bad), 400)


def test_a_change_moves_the_document(ten):
    first = ten.changes()
    rev = ten.get("d3").json()["_rev"]
    ten.save("d3", {"_rev": rev, "n": 33})
    feed = ten.changes()
    assert ids(feed) == ["d%d" % i for i in (0, 1, 2, 4, 5, 6, 7, 8, 9, 3)]
    since = quote(str(first["last_seq"]))
    assert ids(ten.changes("?since=" + since)) == ["d3"]


def test_deleted(ten):
    rev = ten.get("d2").json()["_rev"]
    gone = ten.delete("d2?rev=" + rev).json()["rev"]
    row = ten.changes()["results"][-1]
    assert row["id"] == "d2" and row["deleted"] is True and row["changes"] == [{"rev": gone}]
    row = ten.changes("?include_docs=true")["results"][-1]
    assert row["doc"] == {"_id": "d2", "_rev": gone, "_deleted": True}


def test_include_docs(ten):
    for i, row in enumerate(ten.changes("?include_docs=true")["results"]):
        assert row["doc"] == {"_id": "d%d" % i, "_rev": row["changes"][0]["rev"], "n": i}


def test_style(db):
    db.graft({"_id": "a", "_rev": "1-a"}, {"_id": "a", "_rev": "1-b"})
    assert db.changes()["results"][0]["changes"] == [{"rev": "1-b"}]
    row = db.changes("?style=all_docs&include_docs=true&conflicts=true")["results"][0]
    assert row["changes"] == [{"rev": "1-b"}, {"rev": "1-a"}]
    assert row["doc"]["_rev"] == "1-b" and row["doc"]["_conflicts"] == ["1-a"]
    # A losing branch is news as well.
    since = quote(str(db.changes()["last_seq"]))
    db.graft({"_id": "a", "_rev": "1-0"})
    feed = db.changes("?since=" + since)
    assert feed["results"][0]["changes"] == [{"rev": "1-b"}]


def test_descending(ten):
    feed = ten.changes("?descending=true")
    assert ids(feed) == ["d%d" % i for i in range(9, -1, -1)]
    assert ids(ten.changes("?descending=true&limit=2")) == ["d9", "d8"]


def test_doc_ids_filter(ten):
    reply = ten.post("_changes?filter=_doc_ids", {"doc_ids": ["d7", "d1", "never"]})
    assert reply.status == 200, reply
    assert sorted(ids(reply.json())) == ["d1", "d7"]
    assert reply.json()["last_seq"] == ten.changes()["last_seq"]


def test_post(ten):
    reply = ten.post("_changes?limit=2", {})
    assert reply.status == 200 and ids(reply.json()) == ["d0", "d1"]


def test_unknown_parameters_are_ignored(ten):
    assert len(ten.changes("?update_seq=true&_nonce=1")["results"]) == 10


def test_longpoll_with_news_returns_at_once(ten):
    started = time.monotonic()
    feed = ten.changes("?feed=longpoll&since=0")
    assert ids(feed) == ["d%d" % i for i in range(10)]
    assert time.monotonic() - started < 2


def test_longpoll_wakes(server, ten):
    since = quote(str(ten.changes()["last_seq"]))
    waits = []
    for i in range(5):
        answer = {}

        def wait(since=since, answer=answer):
            answer["feed"] = ten.changes("?feed=longpoll&timeout=20000&since=" + since)
            answer["at"] = time.monotonic()

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.2)
        ten.save("wake%d" % i, {})
        written = time.monotonic()
        thread.join(25)
        assert ids(answer["feed"]) == ["wake%d" % i]
        waits.append(answer["at"] - written)
        since = quote(str(answer["feed"]["last_seq"]))
    assert sorted(waits)[2] < 0.1, waits


def test_longpoll_timeout(ten):
    last = ten.changes()["last_seq"]
    started = time.monotonic()
    feed = ten.changes("?feed=longpoll&timeout=600&since=" + quote(str(last)))
    assert 0.4 < time.monotonic() - started < 5
    assert feed["results"] == [] and feed["last_seq"] == last


def test_longpoll_since_now(server, ten):
    with server.stream(ten.path + "/_changes?feed=longpoll&since=now&timeout=20000") as feed:
        time.sleep(0.2)
        ten.save("later", {})
        assert b'"later"' in feed.rest()


def test_longpoll_heartbeat(server, ten):
    last = quote(str(ten.changes()["last_seq"]))
    path = ten.path + "/_changes?feed=longpoll&heartbeat=200&timeout=1500&since=" + last
    with server.stream(path) as feed:
        text = b""
        started = time.monotonic()
        while time.monotonic() - started < 1.1:
            text += feed.answer.read1(100)
        assert text.count(b"\n") >= 4, text
        ten.save("end", {})
        rest = text + feed.rest()
    import json

    assert [r["id"] for r in json.loads(rest)["results"]] == ["end"]


def test_continuous(server, ten):
    with server.stream(ten.path + "/_changes?feed=continuous&timeout=3000&since=0") as feed:
        assert feed.status == 200
        rows = [feed.row() for _ in range(10)]
        assert [r["id"] for r in rows] == ["d%d" % i for i in range(10)]
        ten.save("live1", {})
        assert feed.row()["id"] == "live1"
        ten.save("live2", {})
        assert feed.row()["id"] == "live2"
        last = feed.row()
        assert last["last_seq"] == ten.changes()["last_seq"]
        assert last["pending"] == 0
        assert feed.row() is None


def test_continuous_limit(server, ten):
    with server.stream(ten.path + "/_changes?feed=continuous&limit=3&since=0") as feed:
        assert [feed.row()["id"] for _ in range(3)] == ["d0", "d1", "d2"]
        last = feed.row()
        assert "last_seq" in last and last["pending"] == 7
        assert feed.row() is None


def test_continuous_idle_timeout_counts_from_the_last_row(server, ten):
    path = ten.path + "/_changes?feed=continuous&timeout=1000&since=now"
    with server.stream(path) as feed:
        for i in range(4):
            time.sleep(0.5)
            ten.save("idle%d" % i, {})
            assert feed.row()["id"] == "idle%d" % i
        started = time.monotonic()
        assert "last_seq" in feed.row()
        assert 0.6 < time.monotonic() - started < 4


def test_continuous_heartbeat(server, ten):
    path = ten.path + "/_changes?feed=continuous&heartbeat=200&since=now"
    with server.stream(path) as feed:
        assert [feed.line() for _ in range(4)] == [b""] * 4
        ten.save("x", {})
        assert feed.row()["id"] == "x"


def test_continuous_include_docs(server, ten):
    path = ten.path + "/_changes?feed=continuous&include_docs=true&timeout=2000&since=now"
    with server.stream(path) as feed:
        ten.save("doc", {"n": 99})
        assert feed.row()["doc"]["n"] == 99


def test_eventsource(server, ten):
    path = ten.path + "/_changes?feed=eventsource&timeout=500&since=0"
    with server.stream(path) as feed:
        assert feed.status == 200
        assert feed.answer.getheader("content-type").startswith("text/event-stream")
        line = feed.line()
        assert line.startswith(b"data: {") and b'"d0"' in line


def test_many_waiting_feeds(server, ten):
    """A hundred suspended feeds all wake, and cost no thread: other requests still answer."""
    since = quote(str(ten.changes()["last_seq"]))
    path = ten.path + "/_changes?feed=longpoll&timeout=30000&since=" + since
    connections = []
    for _ in range(100):
        connection = server.connect(40)
        connection.request("GET", path, headers=server.headers_for(None, None, True))
        connections.append(connection)
    time.sleep(0.3)
    started = time.monotonic()
    assert ten.get("d1").status == 200
    assert time.monotonic() - started < 2
    ten.save("all", {})
    for connection in connections:
        assert b'"all"' in connection.getresponse().read()
        connection.close()
    assert time.monotonic() - started < 10


def memory(server):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmRSS:")][0]


def wait_for_feeds(server, n):
    path = "/_node/_local/_stats/couchdb/httpd/clients_requesting_changes"
    end = time.monotonic() + 20
    while server.get(path).json()["value"] < n:
        assert time.monotonic() < end
        time.sleep(0.1)
    time.sleep(0.3)


@pytest.mark.skipif("DIVAN_SANITIZE" in os.environ, reason="sanitizers keep what was freed")
@pytest.mark.parametrize("kind", ["new", "used", "fed"])
def test_a_waiting_feed_is_small(kind):
    """On a connection that had another request before as well, and after many rows."""
    connections, answers = [], []
    with Server() as server:
        assert server.put("/db").status == 201
        docs = [{"_id": "d%d" % n, "text": "x" * 1000} for n in range(300)]
        assert server.post("/db/_bulk_docs", {"docs": docs}).status == 201
        head = server.headers_for(None, None, True)
        for n in range(400):
            if n == 100:  # what is made once is there
                wait_for_feeds(server, 100)
                before = memory(server)
            connections.append(server.connect(40))
            if kind == "used":
                connections[-1].request("GET", "/", headers=head)
                assert connections[-1].getresponse().read()
            path = "/db/_changes?heartbeat=60000&feed="
            if kind == "fed":
                path += "continuous&include_docs=true"
            else:
                path += "longpoll&since=now" if n % 2 else "continuous&since=now"
            connections[-1].request("GET", path, headers=head)
            if kind == "fed":
                answer = connections[-1].getresponse()
                assert all(answer.readline() for _ in docs)
                answers.append(answer)
        wait_for_feeds(server, 400)
        each = (memory(server) - before) / 300
        for connection in connections:
            connection.close()
    assert each < 24, each  # KiB


def test_clients_that_leave(server, ten):
    """Feeds whose client went away do not pile up or take the server down."""
    for _ in range(50):
        feed = server.stream(ten.path + "/_changes?feed=continuous&heartbeat=60000&since=now")
        feed.close()
    for i in range(5):
        ten.save("after%d" % i, {})
    assert server.alive()
    assert ten.get("d1").status == 200


def test_deleting_the_database_ends_its_feeds(server):
    server.put("/feedgone")
    with server.stream("/feedgone/_changes?feed=continuous&timeout=20000&since=now") as feed:
        time.sleep(0.2)
        assert server.delete("/feedgone").status == 200
        started = time.monotonic()
        feed.rest()
        assert time.monotonic() - started < 15


def test_feed_sees_every_write_in_order(server, db):
    """Writers race; the feed shows each acknowledged write, sequences strictly rising."""
    count = 200
    with server.stream(db.path + "/_changes?feed=continuous&timeout=5000&since=0") as feed:

        def write(base):
            for i in range(count // 4):
                db.save("w%d-%d" % (base, i), {})

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        rows = []
        while True:
            row = feed.row()
            if row is None or "last_seq" in row:
                break
            rows.append(row)
        for thread in threads:
            thread.join()
    numbers = [int(str(r["seq"]).split("-")[0]) for r in rows]
    assert numbers == sorted(set(numbers))
    assert len({r["id"] for r in rows}) == count == len(rows)


def test_doc_ids_are_looked_up(db):
    """Many rows and few ids: looked up; few rows and many ids: walked. The answers are the same."""
    db.bulk([{"_id": "d%04d" % i} for i in range(2000)])
    rev = db.get("d0003").json()["_rev"]
    db.delete("d0003?rev=" + rev)
    db.save("late", {})
    few = ["late", "d0003", "none", "d1999", "d0001", "d0001", "d1000"]
    many = few + ["x%d" % i for i in range(1000)]
    for params in ("", "&descending=true", "&limit=2", "&include_docs=true", "&since=1500"):
        got = [
            db.post("_changes?filter=_doc_ids" + params, {"doc_ids": ids}).json()
            for ids in (few, many)
        ]
        assert got[0]["results"] == got[1]["results"]
        if "descending" in params:  # ends with the last row that was looked at
            continue
        assert got[0]["last_seq"] == got[1]["last_seq"]
        assert got[0]["pending"] == got[1]["pending"], params
    got = db.post("_changes?filter=_doc_ids", {"doc_ids": few}).json()
    assert [row["id"] for row in got["results"]] == ["d0001", "d1000", "d1999", "d0003", "late"]
    assert got["results"][3]["deleted"] is True
    assert got["last_seq"] == db.get().json()["update_seq"]


def test_doc_ids_feed_goes_on_after_the_look_up(db):
    db.bulk([{"_id": "d%04d" % i} for i in range(500)])
    path = db.path + '/_changes?feed=continuous&filter=_doc_ids&timeout=5000&doc_ids=["d0007","new"]'
    with db.server.stream(path.replace('"', "%22")) as feed:
        assert feed.row()["id"] == "d0007"
        db.save("other", {})
        db.save("new", {})
        assert feed.row()["id"] == "new"


def test_a_filter_that_hides_everything_sends_heartbeats(db):
    db.bulk([{"_id": "d%05d" % i, "n": i} for i in range(9000)])
    body = {"selector": {"n": {"$lt": 0}}}
    reply = db.post("_changes?filter=_selector&heartbeat=1", body)
    assert reply.json()["results"] == []
    assert reply.json()["last_seq"] == db.get().json()["update_seq"]
    assert reply.body.count(b"\n") > 4  # the frame has four
