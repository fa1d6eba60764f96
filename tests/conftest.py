"""Fixtures for the black-box tests: one real server a test file, one database a test."""

import itertools
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support.server import Server, quote  # noqa: E402  (the path is set just above)

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


class Database:
    """A database and its requests; paths are relative to it."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.path = "/" + quote(name)

    def url(self, path):
        return self.path + ("/" + path if path and path[0] != "?" else path)

    def get(self, path="", **more):
        return self.server.get(self.url(path), **more)

    def head(self, path="", **more):
        return self.server.head(self.url(path), **more)

    def put(self, path="", body=None, **more):
        return self.server.put(self.url(path), body, **more)

    def post(self, path="", body=None, **more):
        return self.server.post(self.url(path), body, **more)

    def delete(self, path="", **more):
        return self.server.delete(self.url(path), **more)

    def save(self, doc_id, body, **more):
        """PUT that must succeed; the new revision."""
        reply = self.put(quote(doc_id), body, **more)
        assert reply.status in (200, 201), reply  # of a tombstone 200
        return reply.json()["rev"]

    def bulk(self, docs, **more):
        reply = self.post("_bulk_docs", dict(docs=docs, **more))
        assert reply.status == 201, reply
        return reply.json()

    def graft(self, *docs):
        """Write revisions as a replicator does; all must be taken."""
        assert self.bulk(list(docs), new_edits=False) == []

    def rows(self, path):
        reply = self.get(path)
        assert reply.status == 200, reply
        return reply.json()["rows"]

    def changes(self, params=""):
        reply = self.get("_changes" + params)
        assert reply.status == 200, reply
        return reply.json()


@pytest.fixture
def db(server):
    name = "t%d" % next(NUMBERS)
    assert server.put("/" + name).status == 201
    base = Database(server, name)
    yield base
    server.delete("/" + name)
