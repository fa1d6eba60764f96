"""Users and their ways to log in, for tests."""

import base64
import json


def basic(name, password):
    pair = ("%s:%s" % (name, password)).encode("utf-8")
    return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}


def user_doc(name, password=None, roles=(), **more):
    doc = {"type": "user", "name": name, "roles": list(roles)}
    if password is not None:
        doc["password"] = password
    doc.update(more)
    return doc


def user_path(name):
    return "/_users/org.couchdb.user:" + name


def make_users_db(server):
    assert server.put("/_users").status in (201, 412)


def make_user(server, name, password, roles=(), **more):
    reply = server.put(user_path(name), user_doc(name, password, roles, **more))
    assert reply.status == 201, reply
    return reply.json()["rev"]


def login(server, name, password):
    """The session's cookie, as a header."""
    reply = server.post("/_session", {"name": name, "password": password}, auth=False)
    assert reply.status == 200, reply
    return {"Cookie": reply.headers["set-cookie"].split(";")[0]}


def ini(tmp_path, text):
    """Arguments that make a server read this configuration."""
    path = tmp_path / "divan.ini"
    path.write_text(text, encoding="utf-8")
    return ["--config", str(path)]


FAST = "[chttpd_auth]\niterations = 1000\n"


def unpad(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def jwt(head, claims, sign):
    """A token; sign(bytes) gives the signature's bytes."""
    parts = [unpad(json.dumps(part).encode()) for part in (head, claims)]
    text = ".".join(parts)
    return text + "." + unpad(sign(text.encode()))
