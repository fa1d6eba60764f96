"""Thousands of databases in one server: what each costs, and that a dropped one is really gone.

DATABASES (default 300) is how many; the figures are printed.  The long run:
    DATABASES=5000 pytest -s tests/api/test_many_databases.py
"""

import os
import random
import time

from support.server import Server

COUNT = int(os.environ.get("DATABASES", "300"))


def resident(server):
    """Bytes of memory that are the server's own."""
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["RssAnon"].split()[0]) * 1024


def handles(server):
    base = "/proc/%d/" % server.process.pid
    return len(os.listdir(base + "fd")), len(os.listdir(base + "task"))


def timed(work, items):
    """Milliseconds of each, sorted."""
    spent = []
    for item in items:
        began = time.perf_counter()
        work(item)
        spent.append((time.perf_counter() - began) * 1000)
    return sorted(spent)


def show(what, spent):
    at = [spent[int(len(spent) * p)] for p in (0.5, 0.99)]
    print("%-8s p50 %.2f ms, p99 %.2f ms, max %.1f ms" % (what, *at, spent[-1]))
    return at


def is_empty(server, name):
    info = server.get("/" + name).json()
    assert (info["doc_count"], info["doc_del_count"]) == (0, 0)
    assert info["update_seq"].startswith("0-") and info["purge_seq"].startswith("0-")
    assert server.get("/%s/doc" % name).status == 404
    assert server.get("/%s/_local/l" % name).status == 404
    assert server.get("/%s/_changes" % name).json()["results"] == []
    assert server.get("/%s/_purged_infos" % name).json()["purged_infos"] == []
    assert server.get("/%s/_revs_limit" % name).json() == 1000


def fill(server, name):
    reply = server.put("/%s/doc" % name, {"v": 1})
    assert reply.status == 201, reply
    assert server.put("/%s/_local/l" % name, {"v": 1}).status == 201
    assert server.put("/%s/_revs_limit" % name, 7).status == 200
    rev = server.put("/%s/purged" % name, {}).json()["rev"]
    assert server.post("/%s/_purge" % name, {"purged": [rev]}).status == 201


def test_each_costs_little():
    names = ["n%05d" % n for n in range(COUNT)]
    random.Random(1).shuffle(names)
    with Server() as server:

        def create(name):
            assert server.put("/" + name).status == 201

        def drop(name):
            assert server.delete("/" + name).status == 200

        timed(create, ["warm%d" % n for n in range(50)])
        timed(drop, ["warm%d" % n for n in range(50)])
        server.restart()
        server.get("/_all_dbs")
        memory, before = resident(server), handles(server)
        creating = show("create", timed(create, names))
        growth = (resident(server) - memory) / COUNT
        after = handles(server)
        print("memory %.0f bytes each; files, threads %s, then %s" % (growth, before, after))
        assert growth < 4096 or COUNT < 1000  # of few, what the allocator rounds up shows
        assert abs(after[0] - before[0]) <= 3 and after[1] <= before[1] + 2
        assert server.get("/_all_dbs").json() == sorted(names)
        began = time.perf_counter()
        server.stop()
        stopped = time.perf_counter()
        server.start()
        print("stop %.2f s, start %.2f s" % (stopped - began, time.perf_counter() - stopped))
        assert server.get("/_all_dbs").json() == sorted(names)
        growth = (resident(server) - memory) / COUNT
        print("memory after the restart %.0f bytes each" % growth)
        assert growth < 4096 or COUNT < 1000
        server.kill9()
        began = time.perf_counter()
        server.remove_folders("idx")
        server.start()
        print("start with a rebuild %.2f s" % (time.perf_counter() - began))
        assert server.get("/_all_dbs").json() == sorted(names)
        sample = names[:20]
        for name in sample:
            fill(server, name)
        dropping = show("drop", timed(drop, names))
        assert server.get("/_all_dbs").json() == []
        for name in sample:
            create(name)
            is_empty(server, name)
        assert creating[0] < 100 and dropping[0] < 100  # a few ms, unless the machine is busy
        server.stop()
        code, text = server.check()
        assert code == 0, text


def test_names_never_see_old_data_whatever_is_killed():
    rnd = random.Random(7)
    names = ["k%d" % n for n in range(25)]
    with Server() as server:
        for turn in range(8):
            for name in names:
                reply = server.put("/" + name)
                assert reply.status == 201, reply
                is_empty(server, name)
                fill(server, name)
            if turn % 2:
                assert server.post("/%s/_compact" % names[0], {}).status == 202
            gone = set(rnd.sample(names, rnd.randrange(1, len(names))))
            for name in gone:
                assert server.delete("/" + name).status == 200
            rebuild = turn % 3 == 0
            server.restart(
                kill=turn % 4 != 3,
                between=(lambda s: s.remove_folders("idx", "vec")) if rebuild else None,
            )
            assert server.get("/_all_dbs").json() == sorted(set(names) - gone)
            for name in set(names) - gone:
                info = server.get("/" + name).json()
                assert info["doc_count"] == 1 and info["purge_seq"].startswith("1-")
                assert server.delete("/" + name).status == 200
            if turn % 2:
                server.restart(kill=True)
        server.stop()
        code, text = server.check()
        assert code == 0, text
