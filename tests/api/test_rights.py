"""Every route as everybody: who may, and what those hear who may not.

EXPECTED is written by hand after CouchDB's documentation; the test reads the table of routes out of
src/http/routes.c and fails when a route has no row here.
"""

import os
import re

import pytest
from support.check import error
from support.people import FAST, basic, ini, make_user, make_users_db
from support.server import ROOT, Server

OPEN, ADMIN, MEMBER, DB_ADMIN, USER = "open", "server admin", "member", "db admin", "user"
METRICS = "server admin or _metrics"
EXPECTED = {
    "/": OPEN,
    "/_up": OPEN,
    "/_session": OPEN,
    "/_uuids": OPEN,
    "/favicon.ico": USER,
    "/_all_dbs": ADMIN,
    "/_dbs_info": ADMIN,
    "/_db_updates": ADMIN,
    "/_membership": ADMIN,
    "/_cluster_setup": ADMIN,
    "/_active_tasks": ADMIN,
    "/_replicate": ADMIN,
    "/_node/{node}/_system": METRICS,
    "/_node/{node}/_stats": METRICS,
    "/_node/{node}/_stats/{att*}": METRICS,
    "/_node/{node}/_prometheus": METRICS,
    "GET /{db}": MEMBER,
    "PUT /{db}": ADMIN,
    "DELETE /{db}": ADMIN,
    "POST /{db}": MEMBER,
    "/{db}/_all_docs": MEMBER,
    "/{db}/_all_docs/queries": MEMBER,
    "/{db}/_design_docs": MEMBER,
    "/{db}/_design_docs/queries": MEMBER,
    "/{db}/_local_docs": DB_ADMIN,
    "/{db}/_local_docs/queries": DB_ADMIN,
    "/{db}/_partition/{p}": MEMBER,
    "GET /{db}/_auto_purge": MEMBER,
    "PUT /{db}/_auto_purge": DB_ADMIN,
    "GET /{db}/_time_seq": MEMBER,
    "DELETE /{db}/_time_seq": DB_ADMIN,
    "/{db}/_shards": MEMBER,
    "/{db}/_shards/{docid}": MEMBER,
    "/{db}/_sync_shards": ADMIN,
    "/{db}/_view_cleanup": DB_ADMIN,
    "/{db}/_temp_view": MEMBER,
    "/{db}/_changes": MEMBER,
    "/{db}/_bulk_docs": MEMBER,
    "/{db}/_bulk_get": MEMBER,
    "/{db}/_revs_diff": MEMBER,
    "/{db}/_missing_revs": MEMBER,
    "/{db}/_ensure_full_commit": MEMBER,
    "GET /{db}/_security": MEMBER,
    "PUT /{db}/_security": DB_ADMIN,
    "GET /{db}/_revs_limit": MEMBER,
    "PUT /{db}/_revs_limit": DB_ADMIN,
    "/{db}/_purge": ADMIN,
    "GET /{db}/_purged_infos": MEMBER,
    "GET /{db}/_purged_infos_limit": ADMIN,
    "PUT /{db}/_purged_infos_limit": ADMIN,
    "/{db}/_find": MEMBER,
    "/{db}/_explain": MEMBER,
    "GET /{db}/_index": MEMBER,
    "POST /{db}/_index": DB_ADMIN,
    "/{db}/_index/_bulk_delete": DB_ADMIN,
    "DELETE /{db}/_index/{ddoc}/{type}/{name}": DB_ADMIN,
    "/{db}/_vector_cleanup": DB_ADMIN,
    "/{db}/_compact": DB_ADMIN,
    "/{db}/_compact/{ddoc}": DB_ADMIN,
}
# What is not listed above by its pattern: by its beginning.
FAMILIES = (("/_node/", ADMIN), ("/_scheduler/", ADMIN), ("/{db}/{docid}", MEMBER), ("/{db}/_partition/", MEMBER))
ROW = re.compile(r'\{((?:M_\w+(?: \| )?)+),\s*"([^"]+)",\s*(\w+),\s*(NEED_\w+)', re.S)
FILL = {
    "{db}": "rights",
    "{docid}": "doc",
    "{p}": "p",
    "{att*}": "a",
    "{ddoc}": "d",
    "{type}": "vector",
    "{name}": "n",
    "{node}": "_local",
    "{section}": "chttpd",
    "{key}": "port",
    "{id}": "x",
}


def routes():
    with open(os.path.join(ROOT, "src", "http", "routes.c"), encoding="utf-8") as f:
        for methods, pattern, _, _ in ROW.findall(f.read()):
            for method in methods.split(" | "):
                yield method[2:], pattern


def expected(method, pattern):
    for key in ("%s %s" % (method, pattern), pattern):
        if key in EXPECTED:
            return EXPECTED[key]
    for start, right in FAMILIES:
        if pattern.startswith(start):
            return right
    raise AssertionError("no expectation for %s %s" % (method, pattern))


def target(pattern):
    for hole, value in FILL.items():
        pattern = pattern.replace(hole, value)
    return pattern


PEOPLE = {
    "nobody": None,
    "outsider": [],
    "member": [],
    "role": ["readers"],
    "dbadmin": [],
    "dbadminrole": ["writers"],
}
SECURITY = {
    "admins": {"names": ["dbadmin"], "roles": ["writers"]},
    "members": {"names": ["member"], "roles": ["readers"]},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(args=ini(tmp_path_factory.mktemp("ini"), FAST)) as running:
        make_users_db(running)
        for name, roles in PEOPLE.items():
            if roles is not None:
                make_user(running, name, "pw", roles)
        yield running


@pytest.fixture(autouse=True)
def database(server):
    server.put("/rights")
    server.put("/rights/doc", {})
    server.put("/rights/_security", SECURITY)


def who(name):
    return {} if name == "nobody" else basic(name, "pw")


def ask(server, name, method, path, body="{}"):
    if method in ("GET", "HEAD"):
        body = None
    return server.request(method, path, body, headers=who(name), auth=False)


def allowed(name, right):
    if right == OPEN:
        return True
    if right == USER:
        return name != "nobody"
    if right in (ADMIN, METRICS):
        return False
    if right == DB_ADMIN:
        return name.startswith("dbadmin")
    return name in ("member", "role", "dbadmin", "dbadminrole")


def denial(name, right):
    """Status and reason of a refusal."""
    if right == ADMIN:
        return 401, "You are not a server admin."
    if right == METRICS:
        return 401, "You are not a server admin or read-only metrics user"
    if name == "nobody":
        return 401, "You are not authorized to access this db."
    if right == DB_ADMIN and name in ("member", "role"):
        return 403, "You are not a db or server admin."
    return 403, "You are not allowed to access this db."


def is_denial(reply):
    return reply.status in (401, 403) and b"You are not" in reply.body


@pytest.mark.parametrize("method,pattern", sorted(set(routes())))
def test_every_route_as_everybody(server, method, pattern):
    right = expected(method, pattern)
    for name in PEOPLE:
        reply = ask(server, name, method, target(pattern))
        if not allowed(name, right):
            assert (reply.status, reply.json()["reason"]) == denial(name, right), (name, reply)
        else:
            assert not is_denial(reply), (name, reply)
        if pattern == "/{db}/_security" and method == "PUT":
            server.put("/rights/_security", SECURITY)
    if (method, pattern) != ("DELETE", "/{db}"):
        reply = server.request(method, target(pattern), None if method == "GET" else "{}")
        assert not is_denial(reply), reply
    server.put("/rights/_security", SECURITY)


def test_a_scraper_reads_figures_and_nothing_else(server):
    make_user(server, "scraper", "pw", ["_metrics"])
    for path in ("_stats", "_stats/couchdb/httpd", "_system", "_prometheus"):
        assert ask(server, "scraper", "GET", "/_node/_local/" + path).status == 200, path
    for path in ("/_node/_local/_config", "/_node/_local", "/_all_dbs", "/_active_tasks"):
        error(ask(server, "scraper", "GET", path), 401, "unauthorized")
    error(ask(server, "scraper", "GET", "/rights"), 403, "forbidden")


def test_head_needs_what_get_needs(server):
    for method, pattern in set(routes()):
        if method == "GET":
            reply = server.head(target(pattern), auth=False)
            assert (reply.status == 401) == (expected(method, pattern) != OPEN), pattern


def test_design_documents_are_the_admins(server):
    why = "You are not a db or server admin."
    for method, path, body in (
        ("PUT", "/rights/_design/x", {}),
        ("PUT", "/rights/_design%2Fx", {}),
        ("POST", "/rights", {"_id": "_design/x"}),
        ("DELETE", "/rights/_design/x?rev=1-a", None),
        ("PUT", "/rights/_design/x/att", b"x"),
        ("DELETE", "/rights/_design/x/att?rev=1-a", None),
    ):
        reply = server.request(method, path, body, headers=who("member"), auth=False)
        assert error(reply, 403, "forbidden") == why, (method, path)
    copy = dict(who("member"), Destination="_design/x")
    error(server.request("COPY", "/rights/doc", headers=copy, auth=False), 403, "forbidden")
    docs = [{"_id": "plain"}, {"_id": "_design/x"}]
    body = {"docs": docs}
    rows = server.post("/rights/_bulk_docs", body, headers=who("member"), auth=False).json()
    assert rows[0]["ok"] and rows[1] == {"id": "_design/x", "error": "forbidden", "reason": why}
    body = {"docs": [{"_id": "_design/x", "_rev": "1-a"}], "new_edits": False}
    rows = server.post("/rights/_bulk_docs", body, headers=who("member"), auth=False).json()
    assert rows[0]["error"] == "forbidden"
    assert server.get("/rights/_design/x").status == 404
    for name in ("dbadmin", "dbadminrole"):
        path = "/rights/_design/" + name
        assert server.put(path, {}, headers=who(name), auth=False).status == 201
        assert server.get(path, headers=who("member"), auth=False).status == 200
    # checkpoints are for members
    assert server.put("/rights/_local/c", {}, headers=who("member"), auth=False).status == 201


def test_new_databases_are_the_admins(server):
    server.put("/fresh")
    for name in PEOPLE:
        reply = ask(server, name, "GET", "/fresh")
        assert (reply.status, reply.json()["reason"]) == denial(name, MEMBER)


def test_without_members_a_database_is_public(server):
    server.put("/public")
    admins = {"names": ["dbadmin"], "roles": []}
    none = {"names": [], "roles": []}
    for n, sec in enumerate(({}, {"admins": admins}, {"admins": admins, "members": none})):
        assert server.put("/public/_security", sec).status == 200
        for name in PEOPLE:
            assert ask(server, name, "GET", "/public/_all_docs").status == 200
            assert ask(server, name, "POST", "/public").status == 201
            reply = ask(server, name, "PUT", "/public/_design/%s%d" % (name, n))
            assert (reply.status == 201) == (name == "dbadmin" and "admins" in sec), reply
    error(ask(server, "nobody", "PUT", "/public/_security"), 401)


def test_databases_that_are_not_there(server):
    error(ask(server, "nobody", "GET", "/absent/x"), 404, "not_found")
    error(ask(server, "nobody", "GET", "/Absent/x"), 404, "not_found")
    error(ask(server, "nobody", "PUT", "/absent"), 401, "unauthorized")


def test_replicator_documents_hold_passwords(server):
    server.put("/_replicator")
    server.put("/_replicator/_security", {})
    for name in ("nobody", "member"):
        for path in ("/_replicator/x", "/_replicator/_all_docs", "/_replicator/_changes"):
            assert ask(server, name, "GET", path).status in (401, 403)


def test_security_objects_are_checked(server):
    for sec in (
        [],
        {"admins": []},
        {"members": {"names": "x"}},
        {"members": {"roles": [1]}},
        '{"admins":{"names":[]},"admins":{"names":["eve"]}}',
    ):
        error(server.put("/rights/_security", sec), 400, "bad_request")
    assert server.get("/rights/_security").json() == SECURITY


def test_a_changed_role_counts_at_once(server):
    server.put("/roles")
    server.put("/roles/_security", {"members": {"names": [], "roles": ["team"]}})
    rev = make_user(server, "mover", "pw")
    assert ask(server, "mover", "GET", "/roles").status == 403
    doc = server.get("/_users/org.couchdb.user:mover").json()
    assert doc["_rev"] == rev
    server.put("/_users/org.couchdb.user:mover", dict(doc, roles=["team"]))
    assert ask(server, "mover", "GET", "/roles").status == 200
    assert ask(server, "mover", "POST", "/roles/_find", '{"selector":{}}').status == 200


def test_www_authenticate_is_echoed(server):
    headers = {"X-CouchDB-WWW-Authenticate": "Cookie"}
    reply = server.get("/rights", headers=headers, auth=False)
    assert reply.status == 401 and reply.headers["www-authenticate"] == "Cookie"
    assert "www-authenticate" not in server.get("/rights", auth=False).headers


def test_other_settings_leave_the_security_object_alone(server):
    for change in (
        lambda: server.post("/rights/_compact", {}),
        lambda: server.put("/rights/_revs_limit", "77"),
        lambda: server.post("/rights/_compact", {}),
    ):
        assert change().status in (200, 202)
        assert server.get("/rights/_security").json() == SECURITY
    assert server.put("/rights/_security", SECURITY).status == 200
    assert server.get("/rights/_revs_limit").json() == 77
    server.restart()
    assert server.get("/rights/_security").json() == SECURITY
    assert server.get("/rights/_revs_limit").json() == 77
