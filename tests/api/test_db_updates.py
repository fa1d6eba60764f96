"""GET /_db_updates: what happens to databases."""

import json
import time

import pytest
from support.check import error
from support.server import Server


@pytest.fixture(scope="module")
def own():
    with Server() as running:
        yield running


def updates(server, params=""):
    reply = server.get("/_db_updates" + params)
    assert reply.status == 200, reply
    return reply.json()


def names(answer):
    return [(row["db_name"], row["type"]) for row in answer["results"]]


def test_each_database_once_with_the_last_thing(own):
    for name in ("a", "b", "c"):
        assert own.put("/" + name).status == 201
    assert own.put("/a/x", {}).status == 201
    assert own.delete("/b").status == 200
    answer = updates(own)
    assert names(answer) == [("c", "created"), ("a", "updated"), ("b", "deleted")]
    assert answer["last_seq"] == answer["results"][-1]["seq"]
    assert names(updates(own, "?since=" + answer["results"][0]["seq"])) == names(answer)[1:]
    assert names(updates(own, "?descending=true")) == names(answer)[::-1]
    one = updates(own, "?limit=1")
    assert names(one) == [("c", "created")] and one["last_seq"] == one["results"][0]["seq"]
    now = updates(own, "?since=now")
    assert now["results"] == [] and now["last_seq"] == answer["last_seq"]
    assert own.put("/b").status == 201
    assert names(updates(own, "?since=" + answer["last_seq"])) == [("b", "created")]
    assert own.head("/_db_updates").status == 200


def test_a_longpoll_wakes(own):
    last = updates(own)["last_seq"]
    with own.stream("/_db_updates?feed=longpoll&timeout=30000&since=" + last) as feed:
        assert feed.line() == b'{"results":['
        assert own.put("/poll").status == 201
        began = time.monotonic()
        text = b'{"results":[' + feed.rest()
        assert time.monotonic() - began < 5
        assert names(json.loads(text)) == [("poll", "created")]


def test_continuous_with_heartbeats(own):
    with own.stream("/_db_updates?feed=continuous&since=now&heartbeat=50") as feed:
        assert feed.line() == b""
        assert own.put("/cont").status == 201
        assert feed.row()["db_name"] == "cont"
        assert own.put("/cont/doc", {}).status == 201
        row = feed.row()
        assert (row["db_name"], row["type"]) == ("cont", "updated")
        assert feed.line() == b""


def test_the_end_of_a_feed(own):
    with own.stream("/_db_updates?feed=continuous&since=now&timeout=50") as feed:
        assert set(feed.row()) == {"last_seq"}
    with own.stream("/_db_updates?feed=longpoll&since=now&timeout=50") as feed:
        assert json.loads(feed.rest())["results"] == []
    with own.stream("/_db_updates?feed=eventsource&limit=1") as feed:
        lines = feed.rest().decode().split("\n")
        assert lines[0].startswith('data: {"db_name":') and lines[1].startswith('id: "')


def test_who_and_what_is_refused(own):
    error(own.get("/_db_updates", auth=False), 401, "unauthorized")
    for params in ("feed=odd", "since=x", "limit=-1", "timeout=x", "heartbeat=0", "descending=1"):
        assert own.get("/_db_updates?" + params).status == 400, params
    assert own.post("/_db_updates", {}).status == 405


def test_after_a_restart_nobody_misses_one(own):
    answer = updates(own)
    own.restart()
    again = updates(own, "?since=" + answer["last_seq"])
    there = {row["db_name"] for row in answer["results"] if row["type"] != "deleted"}
    assert {row["db_name"] for row in again["results"]} == there
