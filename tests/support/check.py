"""Assertions shared by the black-box tests."""


def error(reply, status, word=None):
    """Assert the CouchDB error form; returns the reason for further looks."""
    assert reply.status == status, reply
    body = reply.json()
    assert isinstance(body.get("error"), str) and isinstance(body.get("reason"), str), reply
    if word is not None:
        assert body["error"] == word, reply
    return body["reason"]
