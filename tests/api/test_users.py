"""The database _users: what may be written there, what comes of passwords, who reads what."""

import hashlib

import pytest
from support.check import error
from support.people import FAST, basic, ini, make_user, make_users_db, user_doc, user_path
from support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Server(args=ini(tmp_path_factory.mktemp("ini"), FAST)) as running:
        make_users_db(running)
        yield running


def whoami(server, headers):
    return server.get("/_session", headers=headers, auth=False)


def test_a_password_is_hashed_as_couchdb_does(server):
    make_user(server, "ann", "s\u00fc\u00df", ["reader"])
    doc = server.get(user_path("ann")).json()
    assert "password" not in doc
    assert doc["password_scheme"] == "pbkdf2" and doc["pbkdf2_prf"] == "sha256"
    assert doc["iterations"] == 1000 and len(doc["salt"]) == 32
    want = hashlib.pbkdf2_hmac("sha256", "s\u00fc\u00df".encode(), doc["salt"].encode(), 1000)
    assert doc["derived_key"] == want.hex()
    ctx = whoami(server, basic("ann", "s\u00fc\u00df")).json()
    assert ctx["userCtx"] == {"name": "ann", "roles": ["reader"]}
    assert ctx["info"]["authenticated"] == "default"
    error(whoami(server, basic("ann", "wrong")), 401, "unauthorized")
    error(whoami(server, basic("nobody", "wrong")), 401, "unauthorized")


def test_every_write_path_hashes(server):
    reply = server.post("/_users", dict(user_doc("p1", "x"), _id="org.couchdb.user:p1"))
    assert reply.status == 201
    docs = [dict(user_doc(n, "x"), _id="org.couchdb.user:" + n) for n in ("p2", "p3")]
    rows = server.post("/_users/_bulk_docs", {"docs": docs}).json()
    assert [r.get("ok") for r in rows] == [True, True]
    graft = dict(user_doc("p4", "x"), _id="org.couchdb.user:p4", _rev="1-abc")
    rows = server.post("/_users/_bulk_docs", {"docs": [graft], "new_edits": False}).json()
    assert rows == []
    for name in ("p1", "p2", "p3", "p4"):
        doc = server.get(user_path(name)).json()
        assert "password" not in doc and "derived_key" in doc
        assert whoami(server, basic(name, "x")).status == 200
    gone = dict(user_doc("p4", "x"), _deleted=True, _rev=doc["_rev"])
    rev = server.put(user_path("p4"), gone).json()["rev"]
    assert "password" not in server.get(user_path("p4") + "?rev=" + rev).json()


HASHES = {
    "simple": lambda p, s: {"password_sha": hashlib.sha1((p + s).encode()).hexdigest(), "salt": s},
    "old pbkdf2": lambda p, s: {
        "password_scheme": "pbkdf2",
        "iterations": 10,
        "salt": s,
        "derived_key": hashlib.pbkdf2_hmac("sha1", p.encode(), s.encode(), 10).hex(),
    },
}
for prf in ("sha1", "sha224", "sha256", "sha384", "sha512"):
    HASHES[prf] = lambda p, s, prf=prf: {
        "password_scheme": "pbkdf2",
        "pbkdf2_prf": "sha" if prf == "sha1" else prf,
        "iterations": 1000,
        "salt": s,
        "derived_key": hashlib.pbkdf2_hmac(prf, p.encode(), s.encode(), 1000).hex(),
    }


@pytest.mark.parametrize("kind", sorted(HASHES))
def test_hashes_of_couchdb_are_read(server, kind):
    name = "h" + kind.replace(" ", "")
    salt = "00112233445566778899aabbccddeeff"
    doc = user_doc(name, **HASHES[kind]("pass:word", salt))
    assert server.put(user_path(name), doc).status == 201
    assert whoami(server, basic(name, "pass:word")).status == 200
    error(whoami(server, basic(name, "pass:wor")), 401, "unauthorized")


BAD = [
    (dict(type="usr"), "doc.type must be user"),
    (dict(name=None), "doc.name is required"),
    (dict(roles=None), "doc.roles must exist"),
    (dict(roles="x"), "doc.roles must be an array"),
    (dict(roles=[1]), "doc.roles can only contain strings"),
    (dict(roles=[1] * 40), "doc.roles can only contain strings"),
    (dict(roles=["_admin"]), "No system roles (starting with underscore) in users db."),
    (dict(name="other"), "Doc ID must be of the form org.couchdb.user:name"),
    (dict(password=1), "doc.password must be a string."),
    (dict(password_scheme="bcrypt"), "Password scheme not supported."),
    (dict(password_scheme="pbkdf2", derived_key="x"), "iterations must be a number."),
    (dict(password_sha="x"), "Users with password_sha must have a salt."),
    (
        dict(password_scheme="pbkdf2", derived_key="x", iterations=1000000000),
        "iterations must be from 1 to 2000000.",
    ),
]


@pytest.mark.parametrize("change,reason", BAD, ids=[str(n) for n in range(len(BAD))])
def test_what_is_no_user(server, change, reason):
    doc = dict(user_doc("bad"), **change)
    assert error(server.put(user_path("bad"), doc), 403, "forbidden") == reason
    rows = server.post("/_users/_bulk_docs", {"docs": [dict(doc, _id="org.couchdb.user:bad")]})
    assert rows.json()[0]["error"] == "forbidden"


def test_names_and_duplicates(server):
    reply = server.put(user_path("_x"), user_doc("_x"))
    assert error(reply, 403) == "Username may not start with underscore."
    error(server.put(user_path("a:b"), user_doc("a:b")), 403)
    error(server.put("/_users/x", user_doc("x")), 403)
    text = '{"type":"user","name":"dup","roles":["_admin"],"roles":[],"password":"x"}'
    error(server.put(user_path("dup"), text), 400, "bad_request")
    assert server.put(user_path("m"), user_doc("m", "x", ["_metrics"])).status == 201


def test_the_owner_reads_and_changes_only_the_own_document(server):
    make_user(server, "bob", "one", ["a", "b"], mail="x")
    make_user(server, "eve", "two")
    bob = dict(headers=basic("bob", "one"), auth=False)
    doc = server.get(user_path("bob"), **bob).json()
    assert doc["name"] == "bob" and doc["mail"] == "x"
    for secret in ("derived_key", "salt", "password"):
        assert secret not in doc
    for query in ("?open_revs=all", "?attachments=true", "?rev=" + doc["_rev"]):
        assert "derived_key" not in server.get(user_path("bob") + query, **bob).body.decode()
    error(server.get(user_path("eve"), **bob), 404, "not_found")
    error(server.get(user_path("nobody"), **bob), 404, "not_found")
    error(server.get(user_path("eve") + "/att", **bob), 404, "not_found")
    error(server.put(user_path("eve"), user_doc("eve", "mine"), **bob), 404, "not_found")
    error(server.delete(user_path("eve") + "?rev=1-x", **bob), 404, "not_found")
    error(server.put(user_path("eve") + "/att", b"x", **bob), 404, "not_found")
    # a change without a password leaves it as it was
    doc["mail"] = "y"
    assert server.put(user_path("bob"), doc, **bob).status == 201
    after = server.get(user_path("bob")).json()
    assert after["mail"] == "y" and "derived_key" in after
    doc = server.get(user_path("bob"), **bob).json()
    assert error(server.put(user_path("bob"), dict(doc, roles=["a"]), **bob), 403) == (
        "Only _admin may edit roles"
    )
    error(server.put(user_path("bob"), dict(doc, roles=["a", "c"]), **bob), 403)
    assert server.put(user_path("bob"), dict(doc, roles=["b", "a"]), **bob).status == 201
    error(server.put(user_path("bob"), doc, **bob), 409, "conflict")
    # nor by hash members, nor by grafting
    doc = server.get(user_path("bob"), **bob).json()
    server.put(user_path("bob"), dict(doc, iterations=2000000, salt="s", derived_key="d"), **bob)
    assert server.get(user_path("bob")).json()["iterations"] == 1000
    graft = dict(doc, _rev="9-abc", _id="org.couchdb.user:bob", roles=["_admin"])
    rows = server.post("/_users/_bulk_docs", {"docs": [graft], "new_edits": False}, **bob).json()
    assert rows[0]["error"] == "forbidden"
    doc = server.get(user_path("bob"), **bob).json()
    assert server.put(user_path("bob"), dict(doc, password="new"), **bob).status == 201
    error(server.get(user_path("bob"), **bob), 401)
    assert server.get(user_path("bob"), headers=basic("bob", "new"), auth=False).status == 200


def test_lists_and_design_documents_are_the_admins(server):
    make_user(server, "lee", "x")
    lee = dict(headers=basic("lee", "x"), auth=False)
    for path in ("", "/_all_docs", "/_changes", "/_design_docs", "/_security", "/_index"):
        error(server.get("/_users" + path, **lee), 401, "unauthorized")
    find = {"selector": {"name": "bob"}}
    error(server.post("/_users/_find", find, **lee), 401)
    error(server.post("/_users/_bulk_get", {"docs": [{"id": "org.couchdb.user:bob"}]}, **lee), 401)
    error(server.post("/_users/_revs_diff", {}, **lee), 401)
    error(server.put("/_users/_design/x", {}, **lee), 403, "forbidden")
    error(server.put("/_users/_local/x", {}, **lee), 403, "forbidden")
    error(server.get("/_users/_local/x", **lee), 404)
    assert server.put("/_users/_design/x", {}).status == 201
    error(server.get("/_users/_design/x", **lee), 403, "forbidden")
    error(server.put("/_users/_security", {}), 403, "forbidden")
    error(server.get(user_path("lee"), auth=False), 401, "unauthorized")
    error(server.put(user_path("anon"), user_doc("anon", "x"), auth=False), 401)


def test_a_name_deleted_or_in_conflict_is_nobody(server):
    rev = make_user(server, "gone", "x")
    assert whoami(server, basic("gone", "x")).status == 200
    assert server.delete(user_path("gone") + "?rev=" + rev).status == 200
    error(whoami(server, basic("gone", "x")), 401)
    make_user(server, "twice", "x")
    graft = dict(user_doc("twice", "y"), _id="org.couchdb.user:twice", _rev="1-0")
    server.post("/_users/_bulk_docs", {"docs": [graft], "new_edits": False})
    assert "conflicts must be resolved" in error(whoami(server, basic("twice", "x")), 401)


def test_signing_up_where_everybody_may(tmp_path):
    text = FAST + "[couchdb]\nusers_db_security_editable = true\n"
    with Server(args=ini(tmp_path, text)) as server:
        make_users_db(server)
        assert server.put("/_users/_security", {}).status == 200
        new = user_doc("new", "x")
        assert server.put(user_path("new"), new, auth=False).status == 201
        error(server.put(user_path("new"), new, auth=False), 409, "conflict")
        error(server.put(user_path("n2"), user_doc("n2", "x", ["r"]), auth=False), 403)
        error(server.put("/_users/x", {"_deleted": True}, auth=False), 404)
        error(server.put(user_path("n3") + "/att", b"x", auth=False), 404)
        error(server.get(user_path("new"), auth=False), 401)
        error(server.get("/_users/_all_docs", auth=False), 401)
        assert whoami(server, basic("new", "x")).json()["userCtx"]["name"] == "new"


def test_secrets_stay_out_of_the_log(tmp_path):
    canary = "canary-9f2d"
    text = FAST + "[log]\nlevel = debug\n"
    with Server(args=ini(tmp_path, text)) as server:
        make_users_db(server)
        make_user(server, "ann", canary + "-doc")
        whoami(server, basic("ann", canary + "-doc"))
        whoami(server, basic("ann", canary + "-wrong"))
        server.post("/_session?next=/" + canary, {"name": "ann", "password": canary}, auth=False)
        server.get("/_session", headers={"Cookie": "AuthSession=" + canary}, auth=False)
        server.get("/", headers={"Authorization": "Bearer " + canary}, auth=False)
        server.post("/_session", b"name=ann&password=" + canary.encode(), auth=False)
        log = server.log_tail(1 << 20)
        assert canary not in log and "s3cret" not in log
