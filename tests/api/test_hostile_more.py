"""More of what test_hostile.py does: identities, special members, parameters, parts, smuggling."""

import base64
import gzip
import json
import socket
import time

import pytest
from support.people import basic

DUPLICATES = {
    "id": '{"_id":"x","_id":"y"}',
    "rev": '{"_rev":"1-a","_rev":"2-b"}',
    "deleted": '{"_deleted":false,"_deleted":true}',
    "attachments": '{"_attachments":{},"_attachments":{"a":{"data":"eA=="}}}',
    "attachment name": '{"_attachments":{"a":{"data":"eA=="},"a":{"data":"eQ=="}}}',
    "attachment data": '{"_attachments":{"a":{"data":"eA==","data":5}}}',
    "revisions": '{"_revisions":{"start":1,"ids":["a"]},"_revisions":{"start":9,"ids":["b"]}}',
    "plain": '{"a":1,"a":2}',
}
COOKIES = {
    "empty": "",
    "no base64": "***",
    "one part": base64.urlsafe_b64encode(b"admin").decode(),
    "two parts": base64.urlsafe_b64encode(b"admin:5F000000").decode(),
    "bad time": base64.urlsafe_b64encode(b"admin:zz:" + b"m" * 32).decode(),
    "long time": base64.urlsafe_b64encode(b"admin:" + b"F" * 500 + b":" + b"m" * 32).decode(),
    "short mac": base64.urlsafe_b64encode(b"admin:5F000000:m").decode(),
    "future": base64.urlsafe_b64encode(b"admin:FFFFFFFF:" + b"m" * 32).decode(),
    "nul name": base64.urlsafe_b64encode(b"ad\0min:5F000000:" + b"m" * 32).decode(),
    "colons": base64.urlsafe_b64encode(b"::::::::").decode(),
    "high bytes": "\u00ff\u00fe",
    "quoted": '"YWRtaW46NUYwMDAwMDA6bQ"',
    "very long": "A" * 6000,
}
AUTHORIZATIONS = {
    "empty": "",
    "basic alone": "Basic",
    "basic blank": "Basic ",
    "no base64": "Basic ***",
    "no colon": "Basic YWRtaW4=",
    "half padding": "Basic YWRtaW46cA=",
    "colon scheme": "Basic: YWRtaW46cA==",
    "control bytes": "Basic " + base64.b64encode(b"a\nb:c\r\nd").decode(),
    "nul": "Basic " + base64.b64encode(b"admin\0:pw").decode(),
    "not utf8": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(),
    "long name": "Basic " + base64.b64encode(b"n" * 4000 + b":p").decode(),
    "bearer": "Bearer x",
    "bearer parts": "Bearer a.b.c",
    "bearer none": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "digest": 'Digest username="admin"',
}
PARAMS = {
    "_all_docs": {
        "limit": ["-1", "x", "1e3", "", "0x5", "9" * 30],
        "skip": ["-1", "x", "1.5"],
        "descending": ["1", "yes"],
        "include_docs": ["1", "x"],
        "startkey": ["x", "{", "[1", '"a'],
        "keys": ["x", "5", '"a"', "{}", "[1,"],
        "inclusive_end": ["0"],
        "update_seq": ["x"],
    },
    "_changes": {
        "since": ["x", "-1", "[]", "{", "1e5"],
        "limit": ["-1", "x"],
        "feed": ["x", ""],
        "heartbeat": ["0", "-1", "x", "1.5"],
        "timeout": ["-1", "x"],
        "style": ["x", ""],
        "seq_interval": ["0", "-1", "x"],
        "filter": ["_x", "x", "a/b/c", "_doc_ids", "_selector"],
    },
    "doc": {
        "rev": ["x", "1-", "-1-a", "1", "99999999999999999999-a"],
        "open_revs": ["x", "[", "{}", "[1]", '["x"]'],
        "atts_since": ["x", "[", '["x"]', "[1]"],
    },
}
ALL_PARAMS = [(p, n, v) for p, of in PARAMS.items() for n, vs in of.items() for v in vs]
SMUGGLING = {
    "folded length": b"Content-Length:\r\n 2\r\n",
    "length twice": b"Content-Length: 2\r\nContent-Length: 2\r\n",
    "length list": b"Content-Length: 2, 2\r\n",
    "length plus": b"Content-Length: +2\r\n",
    "length hex": b"Content-Length: 0x2\r\n",
    "length blank inside": b"Content-Length: 2 2\r\n",
    "chunked after length": b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    "chunked before length": b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunked and identity": b"Transfer-Encoding: chunked, identity\r\n",
    "xchunked": b"Transfer-Encoding: xchunked\r\n",
    "vertical tab": b"Transfer-Encoding:\x0bchunked\r\n",
    "blank before colon": b"Transfer-Encoding : chunked\r\n",
    "bare cr": b"X: a\rTransfer-Encoding: chunked\r\n",
}


def fine(server, reply):
    """A refusal in CouchDB's form, or an answer; never a failure of the server's."""
    assert reply.status < 500, reply
    if reply.status >= 400 and reply.body:
        assert set(reply.json()) >= {"error", "reason"}
    assert server.alive()


@pytest.mark.parametrize("name", DUPLICATES)
def test_members_named_twice(server, db, name):
    """One parser, one meaning: what was checked is what is stored."""
    reply = db.put("x", DUPLICATES[name])
    fine(server, reply)
    stored = db.get("x?attachments=true", headers={"Accept": "application/json"})
    if reply.status == 201 and stored.status == 200:
        text = stored.body.decode("utf-8")
        pairs = json.loads(text, object_pairs_hook=lambda p: p)
        assert len({k for k, _ in pairs}) == len(pairs), text
    fine(server, db.post("_bulk_docs", '{"docs":[%s],"docs":[]}' % DUPLICATES[name]))


@pytest.mark.parametrize("name", COOKIES)
def test_cookies(server, name):
    value = "AuthSession=" + COOKIES[name]
    reply = server.get("/_all_dbs", headers={"Cookie": value}, auth=False)
    assert reply.status in (400, 401, 431), reply
    fine(server, reply)


@pytest.mark.parametrize("name", AUTHORIZATIONS)
def test_authorizations(server, name):
    headers = {"Authorization": AUTHORIZATIONS[name]}
    reply = server.get("/_all_dbs", headers=headers, auth=False)
    assert reply.status in (400, 401, 403), reply
    fine(server, reply)


def test_logins(server):
    for body in ("", "{}", "[]", "5", '{"name":5,"password":[]}', '{"name":"a"}', "\xff", "name=a"):
        fine(server, server.post("/_session", body, auth=False))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in ("", "name", "name=%zz&password=x", "name=a&name=b&password=c", "&&&==="):
        fine(server, server.post("/_session", body, headers=form, auth=False))
    headers = basic("x" * 3000, "y")
    assert server.get("/", headers=headers, auth=False).status in (400, 401, 403, 503)


@pytest.mark.parametrize("path,name,value", ALL_PARAMS)
def test_parameters(server, db, path, name, value):
    db.save("doc", {})
    reply = db.get(
        "%s?%s=%s" % (path, name, value.replace('"', "%22").replace("{", "%7B")),
        headers={"Accept": "application/json"},
    )
    assert reply.status in (400, 404), reply
    fine(server, reply)


@pytest.mark.parametrize("name", SMUGGLING)
def test_two_readings_of_one_request(server, db, name):
    """Whatever the headers say, what follows the body is never taken for a request of its own: no
    document `evil` appears. But for a folded header, which may be unfolded (RFC 9112, 5.2): then all
    read the same, and what follows is the next request."""
    auth = server.auth_header().encode("ascii")
    head = b"POST " + db.path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    evil = b"PUT " + db.path.encode() + b"/evil HTTP/1.1\r\nHost: x\r\nAuthorization: " + auth
    body = b"0\r\n\r\n" + evil + b"\r\nContent-Length: 2\r\n\r\n{}"
    sent = head + b"Authorization: " + auth + b"\r\n" + SMUGGLING[name] + b"\r\n" + body
    got = server.raw(sent, timeout=3)
    assert not got.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")) or name == "bare cr", got[:200]
    if name != "folded length":
        time.sleep(0.2)  # it would come after the answer to the first
        assert db.get("evil").status == 404
    assert server.alive()


def test_bodies_that_grow(server, db):
    coded = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    bomb = gzip.compress(b'{"a":"' + b"x" * (100 << 20) + b'"}')
    for path in ("", "_bulk_docs", "_find"):
        reply = db.post(path, bomb, headers=coded)
        assert reply.status in (400, 413), reply
        fine(server, reply)
    twice = gzip.compress(bomb)
    assert db.post("", twice, headers=coded).status == 400
    assert db.post("", bomb[:100], headers=coded).status == 400
    assert db.post("", b"", headers=coded).status == 400
    assert db.post("", b"{}", headers=dict(coded, **{"Content-Encoding": "br"})).status == 415


def parts(*more):
    return b"".join((b"--b\r\nContent-Type: application/json\r\n\r\n",) + more)


MULTIPART = {
    "empty": b"",
    "no boundary in it": b"hello",
    "only the end": b"--b--",
    "no end": parts(b"{}"),
    "no head": b"--b\r\n{}\r\n--b--",
    "truncated head": b"--b\r\nContent-Ty",
    "json broken": parts(b"{", b"\r\n--b--"),
    "json missing": parts(b"\r\n--b--"),
    "part missing": parts(b'{"_attachments":{"a":{"follows":true,"length":3}}}', b"\r\n--b--"),
    "part short": parts(
        b'{"_attachments":{"a":{"follows":true,"length":9}}}', b"\r\n--b\r\n\r\nabc\r\n--b--"
    ),
    "part long": parts(
        b'{"_attachments":{"a":{"follows":true,"length":1}}}', b"\r\n--b\r\n\r\nabc\r\n--b--"
    ),
    "length negative": parts(b'{"_attachments":{"a":{"follows":true,"length":-1}}}', b"\r\n--b--"),
    "length huge": parts(b'{"_attachments":{"a":{"follows":true,"length":1e30}}}', b"\r\n--b--"),
    "cut in a part": parts(b'{"_attachments":{"a":{"follows":true,"length":3}}}', b"\r\n--b\r\n\r\na"),
}


@pytest.mark.parametrize("name", MULTIPART)
def test_parts(server, db, name):
    kind = {"Content-Type": 'multipart/related; boundary="b"'}
    reply = db.put("x", MULTIPART[name], headers=kind)
    assert 400 <= reply.status < 500, reply
    fine(server, reply)
    assert db.get("x").status == 404


def test_pipelined_mixture(server, db):
    auth = b"Authorization: " + server.auth_header().encode("ascii") + b"\r\n"
    path = db.path.encode()
    one = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n"
    bad = b"GET " + path + b"/%zz HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n"
    put = b"PUT " + path + b"/p HTTP/1.1\r\nHost: x\r\n" + auth + b"Content-Length: 2\r\n\r\n{}"
    last = one.replace(b"Host: x", b"Host: x\r\nConnection: close")
    got = b""
    with socket.create_connection(("127.0.0.1", server.port), 10) as s:
        s.sendall(one + bad + put + one + bad + last)
        while True:
            part = s.recv(65536)
            if not part:
                break
            got += part
    lines = [line for line in got.split(b"\r\n") if b"HTTP/1.1 " in line]
    statuses = [line.split(b"HTTP/1.1 ")[1][:3] for line in lines]
    assert statuses == [b"200", b"400", b"201", b"200", b"400", b"200"], got
