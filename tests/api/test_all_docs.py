"""_all_docs: order, ranges, keys, documents."""

import json

import pytest
from support.check import error
from support.server import query


def _j(text):
    return json.dumps(text)


IDS = sorted(
    ["A", "B", "a", "aa", "b", "~", "_design/z", "\u00e9", "\u4e2d", "\U0001f600", "0", "9", "10"],
    key=lambda i: i.encode("utf-8"),
)


@pytest.fixture
def full(db):
    rows = db.bulk([{"_id": i, "v": n} for n, i in enumerate(IDS)])
    assert all("ok" in r for r in rows), rows
    gone = db.save("dead", {})
    assert db.delete("dead?rev=" + gone).status == 200
    return db


def ids(rows):
    return [r["id"] for r in rows]


def test_order_is_bytes(full):
    reply = full.get("_all_docs").json()
    assert ids(reply["rows"]) == IDS
    assert reply["total_rows"] == len(IDS)
    assert reply["offset"] == 0
    row = reply["rows"][0]
    assert list(row) == ["id", "key", "value"]
    assert row["key"] == row["id"] and list(row["value"]) == ["rev"]
    assert ids(full.rows("_all_docs?descending=true")) == IDS[::-1]


LOWS = ["", "0", "9", "a", "aaa", "zz", "\u00e9"]
HIGHS = ["0", "a", "b", "~", "\ufff0"]


@pytest.mark.parametrize("low, high", [(a, b) for a in LOWS for b in HIGHS if a <= b])
def test_ranges(full, low, high):
    def inside(i, first, last, closed=True):
        i, first, last = (s.encode() for s in (i, first, last))
        return first <= i and (i <= last if closed else i < last)

    want = [i for i in IDS if inside(i, low, high)]
    assert ids(full.rows("_all_docs" + query(startkey=_j(low), endkey=_j(high)))) == want
    half = [i for i in IDS if inside(i, low, high, closed=False)]
    got = full.rows("_all_docs" + query(start_key=_j(low), end_key=_j(high), inclusive_end=False))
    assert ids(got) == half
    down = full.rows("_all_docs" + query(startkey=_j(high), endkey=_j(low), descending=True))
    assert ids(down) == want[::-1]

def test_reversed_range_is_empty_or_an_error(full):
    reply = full.get("_all_docs" + query(startkey='"b"', endkey='"a"'))
    assert reply.status in (200, 400)
    if reply.status == 200:
        assert reply.json()["rows"] == []


def test_limit_and_skip(full):
    for limit in (0, 1, 5, 100):
        for skip in (0, 1, 12, 13, 50):
            got = full.rows("_all_docs?limit=%d&skip=%d" % (limit, skip))
            assert ids(got) == IDS[skip : skip + limit]
    assert full.get("_all_docs?limit=0").json()["total_rows"] == len(IDS)
    for bad in ("limit=-1", "skip=-1", "limit=x", "descending=maybe", "startkey=x"):
        reply = full.get("_all_docs?" + bad)
        assert reply.status == 400, (bad, reply)


def test_key(full):
    assert ids(full.rows("_all_docs" + query(key='"aa"'))) == ["aa"]
    assert full.rows("_all_docs" + query(key='"nope"')) == []


def test_keys(full):
    keys = ["b", "never", "dead", "a", "b"]
    for reply in (
        full.post("_all_docs", {"keys": keys}),
        full.get("_all_docs" + query(keys=keys)),
        full.post("_all_docs?include_docs=true", {"keys": keys}),
    ):
        assert reply.status == 200, reply
        rows = reply.json()["rows"]
        assert [r["key"] for r in rows] == keys
        assert rows[0]["id"] == "b" and rows[0] == rows[4]
        assert rows[1] == {"key": "never", "error": "not_found"}
        assert rows[2]["value"]["deleted"] is True and rows[2]["id"] == "dead"
    assert rows[2]["doc"] is None
    assert rows[3]["doc"]["_id"] == "a"
    assert full.post("_all_docs", {"keys": []}).json()["rows"] == []
    got = full.post("_all_docs?limit=0", {"keys": keys}).json()["rows"]
    assert got == []
    got = full.post("_all_docs?limit=2&skip=1", {"keys": keys}).json()["rows"]
    assert [r["key"] for r in got] == keys[1:3]
    error(full.post("_all_docs", {"keys": "b"}), 400)


def test_include_docs(full):
    rows = full.rows("_all_docs?include_docs=true")
    for n, row in enumerate(rows):
        assert row["doc"] == {"_id": IDS[n], "_rev": row["value"]["rev"], "v": n}
    loser = "1-" + "0" * 32
    full.graft({"_id": "a", "_rev": loser, "v": "loser"})
    row = full.rows("_all_docs?include_docs=true&conflicts=true&key=%22a%22")[0]
    assert row["doc"]["_conflicts"] == [loser]


def test_posted_parameters(full):
    reply = full.post("_all_docs", {"startkey": "a", "endkey": "b", "include_docs": True})
    assert reply.status == 200
    assert ids(reply.json()["rows"]) == [i for i in IDS if b"a" <= i.encode() <= b"b"]


def test_update_seq_only_when_asked(full):
    assert "update_seq" not in full.get("_all_docs").json()
    assert "update_seq" in full.get("_all_docs?update_seq=true").json()


def test_winner_is_listed(db):
    db.graft(
        {"_id": "a", "_rev": "1-x", "v": "x"},
        {"_id": "a", "_rev": "1-y", "v": "y"},
        {"_id": "a", "_revisions": {"start": 2, "ids": ["z", "y"]}, "_deleted": True},
    )
    rows = db.rows("_all_docs?include_docs=true")
    assert [r["value"]["rev"] for r in rows] == ["1-x"]
    assert rows[0]["doc"]["v"] == "x"


def test_many_rows_in_pages(db):
    docs = [{"_id": "%06d" % (i * 7 % 10007)} for i in range(10007)]
    for start in range(0, len(docs), 2000):
        db.bulk(docs[start : start + 2000])
    want = sorted(d["_id"] for d in docs)
    assert ids(db.rows("_all_docs")) == want
    assert ids(db.rows("_all_docs?descending=true")) == want[::-1]
    seen, start = [], ""
    while True:
        rows = db.rows("_all_docs" + query(startkey=_j(start), limit=501))
        seen += ids(rows[:500])
        if len(rows) < 501:
            break
        start = rows[500]["id"]
    assert seen == want


def test_bounds_in_their_order(full):
    def keys(**params):
        return ids(full.rows("_all_docs?" + "&".join("%s=%s" % p for p in params.items())))

    assert keys(startkey='"a"', start_key='"b"', endkey='"b"') == ["b"]
    assert keys(start_key='"b"', startkey='"a"', endkey='"b"') == ["a", "aa", "b"]
    assert keys(key='"aa"', startkey='"a"') == ["a", "aa"]  # what comes later counts
    assert keys(startkey='"a"', key='"aa"') == ["aa"]
    assert keys(key='"aa"', endkey='"b"') == ["aa", "b"]
    assert keys(key='"aa"', end_key='"a"') == []


def test_what_is_no_string_comes_before_all_ids(full):
    for low in ("{}", "[]", '["x"]', "null", "7"):
        assert ids(full.rows("_all_docs?startkey=" + low)) == IDS
        assert full.rows("_all_docs?endkey=" + low) == []
        assert full.rows("_all_docs?key=" + low) == []
        assert ids(full.rows("_all_docs?descending=true&endkey=" + low)) == IDS[::-1]


def test_startkey_docid_alone_is_a_start(full):
    for name in ("startkey_docid", "start_key_doc_id"):
        assert ids(full.rows("_all_docs?%s=a&endkey=%%22b%%22" % name)) == ["a", "aa", "b"]
        assert ids(full.rows("_all_docs?startkey=%%22aa%%22&endkey=%%22b%%22&%s=a" % name)) == ["aa", "b"]
        assert ids(full.rows("_all_docs?keys=[%%22a%%22]&%s=b" % name)) == ["a"]


def test_options_of_views(full):
    harmless = ["reduce=false", "group=false", "group_level=0", "stale=ok", "update=lazy", "stable=true"]
    for fine in harmless + ["sorted=false"]:
        assert ids(full.rows("_all_docs?" + fine)) == IDS
    wrong = ["reduce=true", "group=true", "group_level=1"]
    for bad in wrong + ["%s=x" % name for name in ("reduce", "sorted", "stale", "update", "stable")]:
        for path in ("_all_docs", "_design_docs", "_local_docs"):
            error(full.get("%s?%s" % (path, bad)), 400, "query_parse_error")
    for bad in ({"reduce": True}, {"group": True}, {"group_level": 1}):
        error(full.post("_all_docs", bad), 400, "query_parse_error")
        error(full.post("_all_docs/queries", {"queries": [bad]}), 400, "query_parse_error")
    for path in ("_all_docs", "_design_docs", "_local_docs"):
        error(full.get(path + "?partition=x"), 400, "query_parse_error")


def test_a_parameter_that_is_no_json(full):
    for name in ("key", "keys", "startkey", "endkey"):
        for value in ("a", "", "%22a", "[", "%22%ff%22"):
            reply = full.get("_all_docs?%s=%s" % (name, value))
            assert error(reply, 400, "bad_request").startswith("invalid UTF-8 JSON")


def test_offsets_of_design_documents(full):
    """Counted among all documents, but never above total_rows."""
    full.save("_design/a", {})
    full.save("_design/b", {})
    for query, offset in (("", 3), ("?key=%22_design/z%22", 3), ("?startkey=%22b%22", 3), ("?limit=0", 3)):
        reply = full.get("_design_docs" + query).json()
        assert (reply["total_rows"], reply["offset"]) == (3, offset), query
