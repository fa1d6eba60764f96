"""What operators, Fauxton and monitoring ask a server about itself."""

import re
import time

import pytest
from support.check import error


def ok(reply, status=200):
    assert reply.status == status, reply
    return reply.json()


def test_one_node(server):
    name = "nonode@nohost"
    assert ok(server.get("/_membership")) == {"all_nodes": [name], "cluster_nodes": [name]}
    assert ok(server.get("/_cluster_setup")) == {"state": "single_node_enabled"}
    assert ok(server.post("/_cluster_setup", {"action": "enable_single_node"}), 201)["ok"]
    error(server.post("/_cluster_setup", {"action": "enable_cluster"}), 501, "not_implemented")
    for body in ({}, {"action": "none"}, {"action": 5}):
        assert error(server.post("/_cluster_setup", body), 400, "bad_request") == "Invalid Action'"
    assert ok(server.get("/_node/_local")) == {"name": name}
    assert ok(server.get("/_node/nonode%40nohost")) == {"name": name}
    assert error(server.get("/_node/other@host"), 404, "not_found").startswith("no such node")
    error(server.get("/_node/other@host/_config"), 404, "not_found")


def test_versions_name_the_collation(server):
    v = ok(server.get("/_node/_local/_versions"))
    assert v["collation_driver"]["name"] == "libicu"
    for key in ("library_version", "collator_version", "collation_algorithm_version"):
        assert re.fullmatch(r"\d+(\.\d+)*", v["collation_driver"][key]), v
    assert v["server"]["name"] == "Divan" and v["vector_engine"]["name"] == "faiss"
    assert v["http"]["version"].count(".") >= 2


def test_system_figures_are_those_of_the_process(server):
    s = ok(server.get("/_node/_local/_system"))
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as status:
        rss = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) * 1024
    assert 0.5 * rss < s["memory"]["resident"] < 2 * rss
    assert s["memory"]["resident_peak"] >= s["memory"]["resident"] > s["memory"]["processes"] > 0
    assert 4 <= s["process_count"] < 200 and 5 < s["open_files"] < 500
    assert 0 <= s["uptime"] < 3600 and s["cpu_ms"] < 3600000
    assert s["io_input"] > 0 and s["io_output"] > 0 and s["context_switches"] > 0
    time.sleep(1.1)
    assert ok(server.get("/_node/_local/_system"))["uptime"] > s["uptime"]


def stat(server, path):
    return ok(server.get("/_node/_local/_stats/couchdb/" + path))["value"]


def test_stats_count(server, db):
    paths = [
        "httpd/requests",
        "httpd_request_methods/PUT",
        "httpd_status_codes/201",
        "httpd_status_codes/404",
        "document_writes",
        "database_reads",
        "commits",
    ]
    before = {path: stat(server, path) for path in paths}
    db.save("a", {"n": 1})
    db.save("b", {"n": 2})
    assert len(db.bulk([{"_id": "c%d" % i} for i in range(7)])) == 7
    assert db.get("a").status == 200 and db.get("absent").status == 404
    grown = {path: stat(server, path) - before[path] for path in paths}
    assert grown.pop("httpd/requests") == 12  # five, and one for each figure
    assert 1 <= grown.pop("commits") <= 3
    assert grown == {
        "httpd_request_methods/PUT": 2,
        "httpd_status_codes/201": 3,
        "httpd_status_codes/404": 1,
        "document_writes": 9,
        "database_reads": 1,
    }


def test_stats_tree(server):
    tree = ok(server.get("/_node/_local/_stats"))["couchdb"]
    for m in ("COPY", "DELETE", "GET", "HEAD", "POST", "PUT"):
        assert set(tree["httpd_request_methods"][m]) == {"value", "type", "desc"}
    assert tree["httpd"]["clients_requesting_changes"]["type"] == "gauge"
    assert ok(server.get("/_node/_local/_stats/couchdb/httpd")).keys() == tree["httpd"].keys()
    error(server.get("/_node/_local/_stats/couchdb/nothing"), 404, "not_found")
    error(server.get("/_node/_local/_stats/couchdb/httpd/requests/value/x"), 404, "not_found")


def test_open_feeds_are_a_gauge(server, db):
    path = "httpd/clients_requesting_changes"
    before = stat(server, path)
    with server.stream(db.url("_changes?feed=continuous&heartbeat=1000")):
        assert stat(server, path) == before + 1
    for _ in range(100):
        if stat(server, path) == before:
            break
        time.sleep(0.1)
    assert stat(server, path) == before
    assert db.get("_changes?feed=longpoll&timeout=10").status == 200
    assert stat(server, path) == before


def test_bytes_are_counted(server, db):
    sent, got = stat(server, "httpd/request_bytes"), stat(server, "httpd/response_bytes")
    db.save("big", {"text": "x" * 300000})
    assert 300000 < stat(server, "httpd/request_bytes") - sent < 310000
    body = len(db.get("_all_docs?include_docs=true").body) + len(db.get("big").body)
    assert db.head("big").status == 200  # sends none
    assert body < stat(server, "httpd/response_bytes") - got < body + 10000


def test_prometheus(server, db):
    db.save("a", {})
    reply = server.get("/_node/_local/_prometheus")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=2.0"
    values, types = {}, {}
    for line in reply.body.decode().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in values and name.split("{")[0] in types
            values[name] = float(value)
    assert values['couchdb_httpd_request_methods_total{method="PUT"}'] >= 2
    assert values['couchdb_httpd_status_codes_total{code="201"}'] >= 2
    assert values["couchdb_document_writes_total"] >= 1
    assert values["process_resident_memory_bytes"] > 1e6
    assert types["couchdb_httpd_clients_requesting_changes"] == "gauge"



def test_no_replications_are_scheduled(server):
    assert ok(server.get("/_scheduler/jobs")) == {"total_rows": 0, "offset": 0, "jobs": []}
    assert ok(server.get("/_scheduler/docs")) == {"total_rows": 0, "offset": 0, "docs": []}
    assert ok(server.get("/_scheduler/docs/_replicator"))["docs"] == []
    error(server.get("/_scheduler/docs/_replicator/x"), 404, "not_found")
    error(server.get("/_scheduler/jobs/x"), 404, "not_found")
    error(server.get("/_scheduler/jobs?limit=x"), 400, "query_parse_error")


def test_running_replication_is_a_job(server, db):
    url = "http://admin:secret-of-the-url@127.0.0.1:%d/nothing" % server.port
    body = {"source": url, "target": db.name, "continuous": True}
    local_id = ok(server.post("/_replicate", body), 202)["_local_id"]
    jobs = ok(server.get("/_scheduler/jobs"))
    assert jobs["total_rows"] == 1 and jobs["offset"] == 0
    (job,) = jobs["jobs"]
    assert job["id"] == local_id and job["target"] == db.name
    assert "secret-of-the-url" not in server.get("/_scheduler/jobs").body.decode()
    assert job["database"] is None and job["node"] == "nonode@nohost"
    assert [h["type"] for h in job["history"]] == ["started", "added"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", job["start_time"])
    assert ok(server.get("/_scheduler/jobs/" + local_id.replace("+", "%2B")))["id"] == local_id
    assert ok(server.get("/_scheduler/jobs/" + local_id))["id"] == local_id
    assert ok(server.get("/_scheduler/jobs?skip=1"))["jobs"] == []
    assert ok(server.get("/_scheduler/jobs?limit=0"))["total_rows"] == 1
    assert ok(server.post("/_replicate", dict(body, cancel=True)))["ok"]


def test_dbs_info(server, db):
    db.save("a", {})
    names = ok(server.get("/_all_dbs"))
    rows = ok(server.get("/_dbs_info"))
    assert [row["key"] for row in rows] == names
    info = next(row["info"] for row in rows if row["key"] == db.name)
    assert info == db.get().json() and info["doc_count"] == 1
    one = ok(server.get('/_dbs_info?startkey="%s"&limit=1' % db.name))
    assert [row["key"] for row in one] == [db.name]
    rows = ok(server.post("/_dbs_info", {"keys": ["absent", db.name, "Bad Name", 7]}))
    assert rows[0] == {"key": "absent", "error": "not_found"}
    assert rows[1] == {"key": db.name, "info": info}
    assert rows[2] == {"key": "Bad Name", "error": "not_found"}
    assert rows[3] == {"key": 7, "error": "not_found"}
    assert len(ok(server.post("/_dbs_info", {"keys": ["x"] * 100}))) == 100
    error(server.post("/_dbs_info", {"keys": ["x"] * 101}), 400, "bad_request")
    error(server.post("/_dbs_info", {}), 400, "bad_request")


def test_database_endpoints_of_a_single_node(db):
    node = "nonode@nohost"
    assert ok(db.get("_shards")) == {"shards": {"00000000-ffffffff": [node]}}
    assert ok(db.get("_shards/x")) == {"range": "00000000-ffffffff", "nodes": [node]}
    assert ok(db.post("_sync_shards", {}), 202) == {"ok": True}
    assert ok(db.post("_view_cleanup", {}), 202) == {"ok": True}
    error(db.post("_view_cleanup", b"x"), 415, "bad_content_type")
    error(db.post("_temp_view", {"map": "function(d){}"}), 410, "gone")


@pytest.mark.parametrize("path", ["/absent/_shards", "/absent/_local_docs"])
def test_of_no_database(server, path):
    error(server.get(path), 404, "not_found")


def test_what_is_not_here_says_so(server):
    for path in ("/_utils", "/_utils/", "/_utils/index.html", "/favicon.ico", "/_reload",
                 "/_reload_query_servers", "/_reshard", "/_search_analyze"):
        for auth in (True, False):
            reply = server.get(path, auth=auth)
            assert reply.status == 404 or (not auth and reply.status == 401), (path, reply)
            assert reply.json()["error"] in ("not_found", "unauthorized")


@pytest.mark.parametrize(
    "path",
    ["/_dbs_info", "/_membership", "/_cluster_setup", "/_node/_local", "/_node/_local/_stats",
     "/_node/_local/_system", "/_node/_local/_prometheus", "/_node/_local/_versions",
     "/_node/_local/_config", "/_scheduler/jobs", "/_scheduler/docs"],
)
def test_for_server_admins_only(server, path):
    error(server.get(path, auth=False), 401, "unauthorized")
