"""Vector indexes and _find with a vector clause: answers, scores, pages, errors."""

import json
import math
import time

import pytest
from support.check import error
from support.server import quote
from support.vectors import f32, nearest, pack, random_vectors, score

DIMS = 16
COUNT = 300


def make_index(db, name="v", ddoc="sem", field="vec", dims=DIMS, **more):
    fields = [dict(name=field, dims=dims, **more)]
    body = {"type": "vector", "ddoc": ddoc, "name": name, "index": {"fields": fields}}
    return db.post("_index", body)


def items():
    return {"d%03d" % i: v for i, v in enumerate(random_vectors(COUNT, DIMS))}


def document(i, vector):
    number = int(i[1:])
    return {
        "_id": i,
        "vec": vector if number % 2 else pack(vector),
        "n": number,
        "even": number % 2 == 0,
        "kind": ["red", "green", "blue"][number % 3],
        "tags": ["t%d" % (number % 5), "all"],
        "sub": {"deep": number % 7},
        "name": "doc %03d" % number,
    }


def fill(db, metric="cosine"):
    assert make_index(db, metric=metric).status == 200
    held = items()
    assert all(r["ok"] for r in db.bulk([document(i, v) for i, v in held.items()]))
    return held


@pytest.fixture(params=["cosine", "dot", "l2"])
def metric_db(request, db):
    return db, request.param, fill(db, request.param)


@pytest.fixture
def full(db):
    db.held = fill(db)
    return db


QUERY = random_vectors(1, DIMS, seed=99)[0]


def find(db, near=None, selector=None, vector=None, **more):
    clause = dict(vector or {})
    if near is not None:
        clause["near"] = near
    body = {"selector": selector if selector is not None else {}, "vector": clause}
    body.update(more)
    return db.post("_find", body)


def ids(reply):
    assert reply.status == 200, reply
    body = reply.json()
    assert [h["id"] for h in body["hits"]] == [d.get("_id", h["id"]) for d, h in zip(
        body["docs"], body["hits"]
    )]
    assert len(body["docs"]) == len(body["hits"])
    return [h["id"] for h in body["hits"]]


# definitions -------------------------------------------------------------


def test_create_and_exists(db):
    reply = make_index(db)
    assert reply.status == 200
    assert reply.json() == {"result": "created", "id": "_design/sem", "name": "v"}
    assert make_index(db).json()["result"] == "exists"
    stored = db.get("_design/sem").json()
    assert stored["language"] == "query"
    field = stored["vectors"]["v"]["index"]["fields"][0]
    assert field["name"] == "vec" and field["dims"] == DIMS and field["metric"] == "cosine"
    listed = db.get("_index").json()
    assert listed["total_rows"] == len(listed["indexes"])
    rows = [r for r in listed["indexes"] if r["type"] == "vector"]
    assert rows[0]["ddoc"] == "_design/sem" and rows[0]["name"] == "v"
    assert rows[0]["def"]["fields"][0]["name"] == "vec"
    assert listed["indexes"][0]["name"] == "_all_docs"


def test_delete_index(db):
    make_index(db)
    error(db.delete("_index/sem/vector/nope"), 404)
    assert db.delete("_index/sem/vector/v").json() == {"ok": True}
    error(db.delete("_index/sem/vector/v"), 404)
    error(find(db, QUERY), 400, "no_usable_index")
    assert make_index(db).json()["result"] == "created"


@pytest.mark.parametrize(
    "index",
    [
        {"fields": [{"name": "vec", "type": "vector"}]},
        {"fields": [{"name": "vec", "dims": 0}]},
        {"fields": [{"name": "vec", "dims": -4}]},
        {"fields": [{"name": "vec", "dims": 8193}]},
        {"fields": [{"name": "vec", "dims": "16"}]},
        {"fields": [{"name": "vec", "dims": 1.5}]},
        {"fields": [{"name": "vec", "dims": 16, "metric": "manhattan"}]},
        {"fields": [{"name": "vec", "dims": 16, "encoding": "f8"}]},
        {"fields": [{"name": "vec", "dims": 16}, {"name": "vec", "dims": 16}]},
        {"fields": [{"dims": 16}]},
        {"fields": [{"name": 5, "dims": 16}]},
        {"fields": []},
        {"fields": "vec"},
        {},
        {"fields": [{"name": "vec", "dims": 16}], "graph": {"m": 2}},
        {"fields": [{"name": "vec", "dims": 16}], "graph": {"m": 65}},
        {"fields": [{"name": "vec", "dims": 16}], "graph": {"ef_construction": 5}},
    ],
)
def test_invalid_definitions(db, index):
    reply = db.post("_index", {"type": "vector", "ddoc": "x", "name": "y", "index": index})
    assert reply.status == 400, reply
    assert reply.json()["error"] in ("invalid_index", "invalid_fields", "missing_required_key")
    assert db.get("_design/x").status == 404


def test_unknown_type_and_member(db):
    index = {"fields": [{"name": "vec", "dims": 16}]}
    error(db.post("_index", {"type": "magic", "index": index}), 400, "invalid_index")
    error(db.post("_index", {"type": "vector", "index": index, "bogus": 1}), 400, "invalid_key")


def test_definition_by_design_document(db):
    """Definitions replicate: one that arrives as a design document works as well."""
    held = items()
    db.bulk([document(i, v) for i, v in held.items()])
    fields = [{"name": "vec", "type": "vector", "dims": DIMS, "metric": "l2"}]
    body = {"language": "query", "vectors": {"v": {"index": {"fields": fields}}}}
    assert db.put("_design/came", body).status == 201
    assert ids(find(db, QUERY, limit=7)) == nearest("l2", QUERY, held, 7)


# answers -----------------------------------------------------------------


def test_order_scores_and_distances(metric_db):
    db, metric, held = metric_db
    reply = find(db, QUERY, vector={"field": "vec"}, limit=20)
    assert ids(reply) == nearest(metric, QUERY, held, 20)
    for hit in reply.json()["hits"]:
        want, distance = score(metric, QUERY, held[hit["id"]])
        assert hit["score"] == pytest.approx(want, rel=1e-5, abs=1e-5)
        if distance is None:
            assert "distance" not in hit
        else:
            assert hit["distance"] == pytest.approx(distance, rel=1e-4, abs=1e-5)


def test_exact(metric_db):
    db, metric, held = metric_db
    reply = find(db, QUERY, vector={"exact": True}, limit=COUNT, execution_stats=True)
    assert ids(reply) == nearest(metric, QUERY, held, COUNT)
    assert reply.json()["execution_stats"]["vector"]["complete"] is True
    assert reply.json()["execution_stats"]["results_returned"] == COUNT


def test_default_limit_is_25(full):
    assert ids(find(full, QUERY)) == nearest("cosine", QUERY, full.held, 25)
    assert ids(find(full, QUERY, limit=0)) == []


def test_base64_and_array_give_the_same(full):
    by_array, by_text = find(full, QUERY).json(), find(full, pack(QUERY)).json()
    assert by_array["hits"] == by_text["hits"]


def test_near_a_document(full):
    got = ids(find(full, {"_id": "d007"}, limit=10))
    assert "d007" not in got
    rest = {i: v for i, v in full.held.items() if i != "d007"}
    assert got == nearest("cosine", full.held["d007"], rest, 10)
    error(find(full, {"_id": "never"}), 404, "not_found")
    full.save("bare", {"n": 1})
    error(find(full, {"_id": "bare"}), 400, "invalid_vector")


def test_itself_first(full):
    for i in ("d000", "d001", "d150", "d299"):
        reply = find(full, full.held[i], limit=1)
        assert ids(reply) == [i]
        assert reply.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_ties_by_id(db):
    make_index(db, dims=2, metric="l2")
    db.bulk([{"_id": i, "vec": [1, 0]} for i in ("b", "a", "C", "\u00e9", "aa", "10")])
    want = sorted(["b", "a", "C", "\u00e9", "aa", "10"], key=lambda i: i.encode())
    assert ids(find(db, [0, 1])) == want
    assert ids(find(db, [0, 1], limit=3)) == want[:3]
    assert ids(find(db, [0, 1], limit=2, skip=2)) == want[2:4]


def test_skip(full):
    want = nearest("cosine", QUERY, full.held, 60)
    assert ids(find(full, QUERY, limit=10, skip=50)) == want[50:]
    assert ids(find(full, QUERY, limit=10, skip=COUNT + 5)) == []


def test_min_score_and_max_distance(full):
    want = [
        i
        for i in nearest("cosine", QUERY, full.held, COUNT)
        if score("cosine", QUERY, full.held[i])[0] >= 0.25
    ]
    assert 3 < len(want) < 200
    assert ids(find(full, QUERY, vector={"min_score": 0.25}, limit=COUNT)) == want
    assert ids(find(full, QUERY, vector={"max_distance": 0.75}, limit=COUNT)) == want
    assert ids(find(full, QUERY, vector={"min_score": 0.25}, limit=2)) == want[:2]


def test_effort(full):
    want = nearest("cosine", QUERY, full.held, 10)
    for effort in (10, 64, 10000):
        assert ids(find(full, QUERY, vector={"effort": effort}, limit=10)) == want
    assert ids(find(full, QUERY, vector={"ef": 64}, limit=10)) == want


def test_projection(full):
    body = find(full, QUERY, fields=["_id", "n", "sub.deep"], limit=3).json()
    for doc, hit in zip(body["docs"], body["hits"]):
        number = int(hit["id"][1:])
        assert doc == {"_id": hit["id"], "n": number, "sub": {"deep": number % 7}}
    body = find(full, QUERY, fields=["n"], limit=3).json()
    assert all(list(d) == ["n"] for d in body["docs"])
    body = find(full, QUERY, limit=3).json()
    for doc, hit in zip(body["docs"], body["hits"]):
        assert doc == full.get(hit["id"]).json()
    body = find(full, QUERY, fields=["_id", "_score"], limit=1).json()
    assert body["docs"][0]["_score"] == body["hits"][0]["score"]


def test_vectors_false(full):
    body = find(full, QUERY, vector={"vectors": False}, limit=5)
    if body.status == 400:
        body = find(full, QUERY, vectors=False, limit=5)
    for doc in body.json()["docs"]:
        assert "vec" not in doc and doc["name"].startswith("doc ") and "_rev" in doc


def test_stats(full):
    stats = find(full, QUERY, limit=4, execution_stats=True).json()["execution_stats"]
    assert stats["results_returned"] == 4
    assert {"plan", "complete"} <= set(stats["vector"])
    assert "execution_stats" not in find(full, QUERY, limit=4).json()


# selectors ---------------------------------------------------------------

SELECTORS = [
    ({}, lambda d: True),
    ({"n": 7}, lambda d: d["n"] == 7),
    ({"n": {"$eq": 7.0}}, lambda d: d["n"] == 7),
    ({"n": {"$gte": 100, "$lt": 200}}, lambda d: 100 <= d["n"] < 200),
    ({"n": {"$gt": 290}}, lambda d: d["n"] > 290),
    ({"n": {"$lte": 3}}, lambda d: d["n"] <= 3),
    ({"n": {"$ne": 7}}, lambda d: d["n"] != 7),
    ({"even": True}, lambda d: d["even"]),
    ({"kind": "red"}, lambda d: d["kind"] == "red"),
    ({"kind": {"$in": ["red", "blue"]}}, lambda d: d["kind"] != "green"),
    ({"kind": {"$nin": ["red", "blue"]}}, lambda d: d["kind"] == "green"),
    ({"kind": {"$in": []}}, lambda d: False),
    ({"kind": "red", "even": False}, lambda d: d["kind"] == "red" and not d["even"]),
    ({"tags": "t1"}, lambda d: False),
    ({"tags": {"$in": ["t1"]}}, lambda d: "t1" in d["tags"]),
    ({"tags": {"$all": ["all", "t2"]}}, lambda d: "t2" in d["tags"]),
    ({"tags": {"$size": 2}}, lambda d: True),
    ({"tags": {"$size": 3}}, lambda d: False),
    ({"tags": {"$elemMatch": {"$eq": "t3"}}}, lambda d: "t3" in d["tags"]),
    ({"tags": {"$allMatch": {"$regex": "^(t4|all)$"}}}, lambda d: "t4" in d["tags"]),
    ({"sub.deep": 3}, lambda d: d["sub"]["deep"] == 3),
    ({"sub": {"deep": 3}}, lambda d: d["sub"]["deep"] == 3),
    ({"sub": {"deep": {"$lt": 2}}}, lambda d: d["sub"]["deep"] < 2),
    ({"sub": {"$keyMapMatch": {"$eq": "deep"}}}, lambda d: True),
    ({"missing": {"$exists": False}}, lambda d: True),
    ({"missing": {"$exists": True}}, lambda d: False),
    ({"missing": {"$ne": 1}}, lambda d: False),
    ({"missing": {"$gt": None}}, lambda d: False),
    ({"n": {"$type": "number"}}, lambda d: True),
    ({"n": {"$type": "string"}}, lambda d: False),
    ({"n": {"$mod": [10, 3]}}, lambda d: d["n"] % 10 == 3),
    ({"name": {"$regex": "^doc 0[0-4]"}}, lambda d: d["n"] < 50),
    ({"name": {"$beginsWith": "doc 1"}}, lambda d: 100 <= d["n"] < 200),
    ({"$and": [{"n": {"$gt": 5}}, {"even": True}]}, lambda d: d["n"] > 5 and d["even"]),
    ({"$and": []}, lambda d: True),
    ({"$or": [{"n": 1}, {"n": 2}, {"kind": "x"}]}, lambda d: d["n"] in (1, 2)),
    ({"$nor": [{"even": True}, {"kind": "red"}]}, lambda d: not d["even"] and d["kind"] != "red"),
    ({"$not": {"kind": "red"}}, lambda d: d["kind"] != "red"),
    ({"kind": {"$not": {"$eq": "red"}}}, lambda d: d["kind"] != "red"),
    ({"n": {"$not": {"$lt": 290}}}, lambda d: d["n"] >= 290),
    ({"_id": {"$gt": "d280"}}, lambda d: d["_id"] > "d280"),
    ({"_id": "d005"}, lambda d: d["_id"] == "d005"),
    ({"n": {"$lt": "text"}}, lambda d: True),
    ({"name": {"$gt": 5}}, lambda d: True),
    ({"n": None}, lambda d: False),
]


@pytest.mark.parametrize("exact", [False, True])
def test_selectors(full, exact):
    docs = {i: document(i, v) for i, v in full.held.items()}
    wrong = []
    for selector, keep in SELECTORS:
        chosen = {i: full.held[i] for i, d in docs.items() if keep(d)}
        want = nearest("cosine", QUERY, chosen, 12)
        reply = find(full, QUERY, selector, {"exact": exact}, limit=12)
        if reply.status != 200 or [h["id"] for h in reply.json()["hits"]] != want:
            wrong.append((selector, want, reply))
    assert not wrong, "%d of %d: %r" % (len(wrong), len(SELECTORS), wrong[:6])


@pytest.mark.parametrize(
    "selector",
    [
        {"n": {"$bogus": 1}},
        {"$bogus": []},
        {"$and": 1},
        {"$or": {"a": 1}},
        {"n": {"$in": 1}},
        {"n": {"$all": "x"}},
        {"n": {"$size": "x"}},
        {"n": {"$mod": [0, 1]}},
        {"n": {"$mod": [1]}},
        {"n": {"$type": "float"}},
        {"n": {"$exists": "yes"}},
        {"name": {"$regex": "("}},
        {"n": {"$near": [1, 2]}},
        {"n": {"$where": "1"}},
        [],
        "x",
        5,
        None,
    ],
)
def test_bad_selectors(full, selector):
    error(full.post("_find", {"selector": selector, "vector": {"near": QUERY}}), 400)


def test_selector_is_required(full):
    error(full.post("_find", {"vector": {"near": QUERY}}), 400, "missing_required_key")


def test_selector_without_vector(full):
    reply = full.post("_find", {"selector": {"n": {"$lt": 5}}})
    assert reply.status == 200
    assert [d["_id"] for d in reply.json()["docs"]] == ["d00%d" % i for i in range(5)]
    assert "hits" not in reply.json()
    warning = "No matching index found, create an index to optimize query time."
    assert reply.json()["warning"].split("\n")[0].lower() == warning.lower()


# what the index holds ----------------------------------------------------


def test_read_your_writes(full):
    rev = None
    for n in range(30):
        vector = f32([math.cos(n), math.sin(n)] + [0.001 * n] * (DIMS - 2))
        body = {"vec": vector, "n": n}
        rev = full.save("mine", dict(body, _rev=rev) if rev else body)
        reply = find(full, vector, limit=1)
        assert ids(reply) == ["mine"]
        assert reply.json()["docs"][0]["_rev"] == rev


def test_deleted_leaves_at_once(full):
    for i in ("d010", "d011", "d012"):
        assert ids(find(full, full.held[i], limit=1)) == [i]
        rev = full.get(i).json()["_rev"]
        assert full.delete(i + "?rev=" + rev).status == 200
        assert i not in ids(find(full, full.held[i], limit=COUNT))
    assert len(ids(find(full, QUERY, limit=COUNT))) == COUNT - 3


def test_changed_vector_moves(full):
    doc = full.get("d020").json()
    doc["vec"] = [-x for x in full.held["d020"]]
    full.save("d020", doc)
    got = ids(find(full, full.held["d020"], limit=COUNT))
    assert got.count("d020") == 1 and got[-1] == "d020"
    doc = full.get("d021").json()
    del doc["vec"]
    full.save("d021", doc)
    assert "d021" not in ids(find(full, QUERY, limit=COUNT))


def test_only_the_winner_is_indexed(db):
    make_index(db, dims=2)
    db.graft(
        {"_id": "a", "_rev": "1-x", "vec": [1, 0]},
        {"_id": "a", "_rev": "1-y", "vec": [0, 1]},
    )
    reply = find(db, [0, 1], limit=5)
    assert ids(reply) == ["a"]
    assert reply.json()["hits"][0]["score"] == pytest.approx(1, abs=1e-6)
    assert db.delete("a?rev=1-y").status == 200
    reply = find(db, [0, 1], limit=5)
    assert reply.json()["hits"][0]["score"] == pytest.approx(0, abs=1e-6)


BAD_VECTORS = [
    [1, 2],
    [0] * DIMS,
    ["x"] * DIMS,
    [1] * (DIMS - 1) + [None],
    [1] * (DIMS - 1) + [[1]],
    pack([1.0] * (DIMS + 1)),
    pack([0.0] * DIMS),
    pack([float("nan")] * DIMS),
    pack([1.0] * (DIMS - 1) + [float("inf")]),
    "!!!",
    "",
    {},
    7,
    True,
]


def test_malformed_vectors_are_counted(db):
    make_index(db)
    rows = db.bulk([{"_id": "bad%02d" % i, "vec": v} for i, v in enumerate(BAD_VECTORS)])
    assert all(r["ok"] for r in rows)
    db.save("huge", {"vec": [10**400] + [1] * (DIMS - 1)})
    db.save("good", {"vec": [1] * DIMS})
    db.save("none", {"x": 1})
    assert ids(find(db, QUERY, limit=50)) == ["good"]
    info = db.get("_design/sem/_vector_info/v")
    assert info.status == 200
    body = info.json()
    assert body["name"] == "v"
    index = body["vector_index"]
    assert index["vectors"] == 1 and index["docs"] == 1 and index["pending"] == 0
    assert index["skipped"]["count"] == len(BAD_VECTORS) + 1
    sample = index["skipped"]["sample"][0]
    assert sample["id"].startswith(("bad", "huge")) and sample["field"] == "vec"
    assert isinstance(sample["reason"], str)


def test_info(full):
    index = full.get("_design/sem/_vector_info/v").json()["vector_index"]
    assert index["vectors"] == COUNT and index["docs"] == COUNT
    for member in ("signature", "update_seq", "pending", "dead", "segments", "disk_size"):
        assert member in index, member
    error(full.get("_design/sem/_vector_info/nope"), 404)
    error(full.get("_design/nope/_vector_info/v"), 404)


def test_explain(full):
    body = {"selector": {"n": {"$gte": 5}}, "vector": {"near": QUERY}, "limit": 3}
    reply = full.post("_explain", body)
    assert reply.status == 200
    plan = reply.json()
    assert plan["dbname"] == full.name
    assert plan["index"]["ddoc"] == "_design/sem" and plan["index"]["type"] == "vector"
    assert plan["limit"] == 3 and plan["skip"] == 0
    assert plan["vector"]["field"] == "vec" and plan["vector"]["dims"] == DIMS
    assert plan["vector"]["metric"] == "cosine"
    error(full.post("_explain", {"selector": {}, "vector": {"near": [1]}}), 400, "invalid_vector")


def test_fill_before_the_index(db):
    held = items()
    db.bulk([document(i, v) for i, v in held.items()])
    make_index(db)
    assert ids(find(db, QUERY, limit=10)) == nearest("cosine", QUERY, held, 10)


def test_update_false_answers(full):
    reply = full.post("_find", {"selector": {}, "vector": {"near": QUERY}, "update": False})
    assert reply.status == 200


def test_nested_field(db):
    make_index(db, field="meta.vec", dims=2)
    db.save("a", {"meta": {"vec": [1, 0]}})
    db.save("b", {"meta": {"vec": [0, 1]}})
    db.save("c", {"meta.vec": [1, 1]})
    assert ids(find(db, [1, 0.1])) == ["a", "b"]


def test_two_indexes(db):
    make_index(db, name="v", ddoc="one", field="x", dims=2)
    make_index(db, name="v", ddoc="two", field="y", dims=3, metric="l2")
    db.save("a", {"x": [1, 0], "y": [0, 0, 9]})
    db.save("b", {"x": [0, 1], "y": [0, 0, 1]})
    assert ids(find(db, [1, 0], vector={"field": "x"})) == ["a", "b"]
    assert ids(find(db, [0, 0, 0], vector={"field": "y"})) == ["b", "a"]
    for use in ("two", "_design/two", ["two"], ["two", "v"], "two/v"):
        assert ids(find(db, [0, 0, 0], use_index=use)) == ["b", "a"], use


def test_average_of_examples(full):
    reply = find(full, [{"_id": "d001"}, {"_id": "d002"}], limit=10)
    assert reply.status == 200
    got = ids(reply)

    def unit(v):
        size = math.sqrt(sum(x * x for x in v))
        return [x / size for x in v]

    one, two = full.held["d001"], full.held["d002"]
    rest = {i: v for i, v in full.held.items() if i not in ("d001", "d002")}
    plain = nearest("cosine", [a + b for a, b in zip(one, two)], rest, 10)
    scaled = nearest("cosine", [a + b for a, b in zip(unit(one), unit(two))], rest, 10)
    assert got in (plain, scaled)


# paging ------------------------------------------------------------------


def test_bookmarks(full):
    want = nearest("cosine", QUERY, full.held, COUNT)
    seen, bookmark, last = [], None, 2
    for _ in range(COUNT):
        more = {"bookmark": bookmark} if bookmark else {}
        reply = find(full, QUERY, limit=37, **more)
        got = ids(reply)
        bookmark = reply.json()["bookmark"]
        if not got:
            assert bookmark == "nil"
            break
        for hit in reply.json()["hits"]:
            assert hit["score"] <= last
            last = hit["score"]
        seen += got
    assert seen == want


def test_bookmarks_over_ties(db):
    make_index(db, dims=2)
    db.bulk([{"_id": "x%02d" % i, "vec": [1, 1]} for i in range(50)])
    seen, bookmark = [], "nil"
    while True:
        reply = find(db, [1, 0], limit=7, bookmark=bookmark)
        got, bookmark = ids(reply), reply.json()["bookmark"]
        if not got:
            break
        seen += got
    assert seen == ["x%02d" % i for i in range(50)]


def test_bookmark_of_another_query(full):
    bookmark = find(full, QUERY, limit=5).json()["bookmark"]
    other = [-x for x in QUERY]
    error(find(full, other, limit=5, bookmark=bookmark), 400, "invalid_bookmark")
    reply = find(full, QUERY, {"even": True}, limit=5, bookmark=bookmark)
    error(reply, 400, "invalid_bookmark")
    for bad in ("garbage", "!!", bookmark[:-4], bookmark + "AAAA", "A" * 5000):
        error(find(full, QUERY, limit=5, bookmark=bad), 400, "invalid_bookmark")


def test_bookmark_survives_a_write(full):
    first = find(full, QUERY, limit=50)
    full.save("later", {"vec": QUERY})
    second = find(full, QUERY, limit=50, bookmark=first.json()["bookmark"])
    got = ids(first) + ids(second)
    assert len(set(got)) == 100 and "later" not in got


# errors of section 6 -----------------------------------------------------


def test_errors_of_the_clause(full):
    def clause(value):
        return full.post("_find", {"selector": {}, "vector": value})

    for value in (1, "x", None, True):
        reply = clause(value)
        error(reply, 400)
        assert reply.json()["error"] in ("invalid_key", "invalid_value"), reply
    reply = clause({"near": QUERY, "bogus": 1})
    reason = error(reply, 400)
    assert reply.json()["error"] in ("invalid_key", "invalid_value") and "bogus" in reason
    reason = error(clause({"field": "vec"}), 400, "missing_required_key")
    assert "near" in reason
    reason = error(clause({"near": [1, 2, 3]}), 400, "invalid_vector")
    assert str(DIMS) in reason and "3" in reason
    reason = error(clause({"near": pack([1, 2, 3])}), 400, "invalid_vector")
    assert str(DIMS) in reason
    for near in (
        ["x"] * DIMS,
        [1] * (DIMS - 1) + [None],
        [0] * DIMS,
        pack([0.0] * DIMS),
        pack([float("nan")] * DIMS),
        pack([float("inf")] * DIMS),
        "%%%",
        "",
        [],
        5,
        {},
        True,
        {"_id": 5},
        {"bogus": 1},
    ):
        reply = clause({"near": near})
        error(reply, 400)
        assert reply.json()["error"] in ("invalid_vector", "invalid_key", "invalid_value"), (
            near,
            reply,
        )
    reason = error(clause({"near": ["a"] + [0] * (DIMS - 1)}), 400, "invalid_vector")
    assert "element 0 is not a number" in reason
    error(clause({"near": QUERY, "where": {}}), 400, "invalid_value")
    bad = json.dumps({"selector": {}, "vector": {"near": "N"}}).replace(
        '"N"', "[" + ",".join(["1e999"] * DIMS) + "]"
    )
    error(full.post("_find", bad), 400, "invalid_vector")


def test_errors_of_values(full):
    for clause in (
        {"effort": 0},
        {"effort": -1},
        {"effort": 10001},
        {"effort": "high"},
        {"exact": "yes"},
        {"min_score": "x"},
        {"max_distance": "x"},
        {"field": 5},
    ):
        reply = find(full, QUERY, vector=clause)
        error(reply, 400)
        assert reply.json()["error"] in ("invalid_value", "invalid_key", "invalid_boolean"), (
            clause,
            reply,
        )
    error(find(full, QUERY, limit=10001), 400, "invalid_value")
    error(find(full, QUERY, limit=9000, skip=1001), 400, "invalid_value")
    assert find(full, QUERY, limit=9000, skip=1000).status == 200
    for limit in (-1, "x", 1.5, None):
        error(find(full, QUERY, limit=limit), 400)
    error(find(full, QUERY, skip=-1), 400)
    error(find(full, QUERY, fields="x"), 400)
    error(find(full, QUERY, bogus=1), 400, "invalid_key")


def test_errors_of_the_index(full):
    reason = error(find(full, QUERY, vector={"field": "other"}), 400, "no_usable_index")
    assert "index" in reason
    error(find(full, QUERY, use_index="nope"), 400, "no_usable_index")
    error(find(full, QUERY, use_index=["sem", "nope"]), 400, "no_usable_index")


def test_sort(full):
    want = nearest("cosine", QUERY, full.held, 5)
    assert ids(find(full, QUERY, limit=5, sort=["_score"])) == want
    assert ids(find(full, QUERY, limit=5, sort=[{"_score": "desc"}])) == want
    error(find(full, QUERY, sort=[{"_score": "asc"}]), 400, "unsupported_sort")


def test_sort_by_a_field(full):
    want = nearest("cosine", QUERY, full.held, 10)
    reply = find(full, QUERY, limit=10, sort=[{"n": "asc"}])
    assert ids(reply) == sorted(want)


def test_scan_without_an_index(db):
    held = dict(list(items().items())[:40])
    db.bulk([document(i, v) for i, v in held.items()])
    error(find(db, QUERY, vector={"field": "vec"}), 400, "no_usable_index")
    clause = {"field": "vec", "exact": True}
    reply = find(db, QUERY, vector=clause, limit=10)
    assert ids(reply) == nearest("cosine", QUERY, held, 10)
    assert "warning" in reply.json()
    reply = find(db, QUERY, vector=clause, limit=10, allow_fallback=False)
    error(reply, 400, "no_usable_index")


def test_models(db):
    make_index(db, dims=2, model="one")
    db.save("a", {"vec": [1, 0]})
    assert ids(find(db, [1, 0], vector={"model": "one"})) == ["a"]
    assert ids(find(db, [1, 0])) == ["a"]
    reason = error(find(db, [1, 0], vector={"model": "two"}), 400, "model_mismatch")
    assert "one" in reason and "two" in reason


def test_text_without_a_proxy(full):
    error(find(full, {"text": "words"}), 400, "not_configured")


def test_partial_index(db):
    body = {
        "type": "vector",
        "ddoc": "part",
        "name": "v",
        "index": {
            "fields": [{"name": "vec", "dims": 2}],
            "partial_filter_selector": {"kind": "paper"},
        },
    }
    assert db.post("_index", body).status == 200
    db.save("in", {"kind": "paper", "vec": [1, 0]})
    db.save("out", {"kind": "book", "vec": [1, 0]})
    error(find(db, [1, 0]), 400, "no_usable_index")
    assert ids(find(db, [1, 0], use_index="part")) == ["in"]


def test_requests_must_be_json(full):
    for text in ("", "{", "[]", "5"):
        error(full.post("_find", text), 400)


def test_quick_enough(full):
    started = time.monotonic()
    for _ in range(50):
        assert find(full, pack(QUERY), limit=10, fields=["_id"]).status == 200
    assert time.monotonic() - started < 5


def test_ids_in_answers_are_escaped(db):
    make_index(db, dims=2)
    for i in ('q"uote', "back\\slash", "\u0001", "\u00fc"):
        assert db.put(quote(i), {"vec": [1, 0]}).status == 201
    assert sorted(ids(find(db, [1, 0]))) == sorted(['q"uote', "back\\slash", "\u0001", "\u00fc"])


def test_a_stored_definition_that_cannot_be_used_says_why(db):
    bad = {"index": {"fields": [{"name": "e", "dims": -1}]}}
    db.put("_design/bad", {"language": "query", "vectors": {"q": bad}})
    reason = error(db.get("_design/bad/_vector_info/q"), 400, "invalid_index")
    assert "dims" in reason
    error(db.get("_design/bad/_vector_info/other"), 404, "not_found")
