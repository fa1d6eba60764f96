"""A lean HTTP/1.1 client: one socket, many requests, pipelined when asked.

http.client costs more than the server does; a kill cycle must stay below a second.
"""

import base64
import json
import socket

USER, PASSWORD = "admin", "kill"
AUTH = base64.b64encode(("%s:%s" % (USER, PASSWORD)).encode()).decode()
HEAD = "%s %s HTTP/1.1\r\nHost: k\r\nAccept: application/json\r\n"
HEAD += "Authorization: Basic " + AUTH + "\r\n"
TIMEOUT = 30


class Gone(Exception):
    """The server closed the connection or was never there."""


class Answer:
    def __init__(self, status, body):
        self.status = status
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:300])


def encode(method, path, body=None, kind="application/json"):
    """One request as bytes; a body that is not bytes is sent as JSON."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body, separators=(",", ":")).encode()
    head = HEAD % (method, path)
    if body is not None:
        head += "Content-Type: %s\r\nContent-Length: %d\r\n" % (kind, len(body))
    return head.encode() + b"\r\n" + (body or b"")


class Wire:
    def __init__(self, port):
        self.port = port
        self.sock = None
        self.buf = b""

    def connect(self):
        try:
            self.sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as why:
            raise Gone(str(why)) from None
        self.buf = b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def send(self, data):
        if self.sock is None:
            self.connect()
        try:
            self.sock.sendall(data)
        except OSError as why:
            self.close()
            raise Gone(str(why)) from None

    def more(self):
        try:
            part = self.sock.recv(1 << 18)
        except OSError as why:
            part, self.why = b"", str(why)
        if not part:
            self.close()
            raise Gone("closed")
        self.buf += part

    def line(self):
        while True:
            end = self.buf.find(b"\r\n")
            if end >= 0:
                text, self.buf = self.buf[:end], self.buf[end + 2 :]
                return text
            self.more()

    def exactly(self, n):
        parts, have = [self.buf], len(self.buf)
        while have < n:
            self.buf = b""
            self.more()
            parts.append(self.buf)
            have += len(self.buf)
        whole = b"".join(parts)
        self.buf = whole[n:]
        return whole[:n]

    def read(self):
        status = int(self.line().split(None, 2)[1])
        length, chunked = 0, False
        while True:
            text = self.line()
            if not text:
                break
            name, _, value = text.partition(b":")
            name = name.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
        if not chunked:
            return Answer(status, self.exactly(length))
        parts = []
        while True:
            n = int(self.line().split(b";")[0], 16)
            parts.append(self.exactly(n))
            self.exactly(2)
            if n == 0:
                return Answer(status, b"".join(parts))

    def ask(self, method, path, body=None, kind="application/json"):
        self.send(encode(method, path, body, kind))
        return self.read()
