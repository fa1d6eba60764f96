"""Start, stop, kill and talk to a real server from tests (standard library only).

The binary comes from the environment variable DIVAN (default build/release/divan below the
repository root).  Every test owns its servers and their data directories; nothing is shared.
DIVAN_TEST_PORTS=LOW-HIGH restricts the ports used; without it the kernel picks a free one.
"""

import base64
import contextlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
USER = "admin"
PASSWORD = "s3cret pass:w\u00f6rd"
START_TIMEOUT = float(os.environ.get("DIVAN_START_TIMEOUT", "60"))
REQUEST_TIMEOUT = float(os.environ.get("DIVAN_REQUEST_TIMEOUT", "60"))


def binary():
    """Absolute path of the server under test."""
    path = os.environ.get("DIVAN", os.path.join("build", "release", "divan"))
    return path if os.path.isabs(path) else os.path.join(ROOT, path)


def free_port():
    """A port nobody listens on right now; the caller retries when it lost the race."""
    span = os.environ.get("DIVAN_TEST_PORTS")
    if not span:
        with contextlib.closing(socket.socket()) as s:
            s.bind(("127.0.0.1", 0))
            return s.getsockname()[1]
    low, high = (int(n) for n in span.split("-"))
    ports = list(range(low, high + 1))
    random.shuffle(ports)
    for port in ports:
        with contextlib.closing(socket.socket()) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port in " + span)


def quote(segment):
    """Percent-encode one path segment or query value completely."""
    if isinstance(segment, str):
        segment = segment.encode("utf-8", "surrogatepass")
    return urllib.parse.quote(segment, safe="")


def query(**params):
    """A query string; values that are not str are sent as JSON, as CouchDB wants them."""
    pairs = []
    for name, value in params.items():
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        pairs.append(quote(name) + "=" + quote(text))
    return "?" + "&".join(pairs) if pairs else ""


class Reply:
    """One complete HTTP answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "Reply(%d, %r)" % (self.status, self.body[:400])


class ServerDied(Exception):
    """The server ended although nobody asked it to."""


class Server:
    """One server process with one data directory."""

    def __init__(self, data=None, args=(), env=None):
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="divan-test-")
        self.args = list(args)
        self.env = dict(env or {})
        self.log_path = self.data.rstrip("/") + ".log"
        self.port = None
        self.process = None
        self.local = threading.local()
        self.generation = 0

    # life ----------------------------------------------------------------

    def start(self):
        """Start and wait until GET /_up answers 200."""
        for attempt in range(5):
            if attempt or self.port is None:
                self.port = free_port()
            self.spawn()
            if self.wait_ready():
                return self
        raise ServerDied("the server does not start:\n" + self.log_tail())

    def spawn(self):
        """Start the process without waiting for it."""
        env = dict(os.environ)
        env["DIVAN_ADMIN_PASSWORD"] = PASSWORD
        env.update(self.env)
        command = [binary(), "serve", "--data", self.data, "--bind", "127.0.0.1"]
        command += ["--port", str(self.port), "--admin-user", USER] + self.args
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )
        self.generation += 1

    def wait_ready(self):
        """True when ready; False when the process ended (port taken, for one)."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                with contextlib.closing(connection):
                    connection.request("GET", "/_up")
                    if connection.getresponse().status == 200:
                        return self.process.poll() is None
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        self.kill9()
        raise ServerDied("not ready after %g s:\n%s" % (START_TIMEOUT, self.log_tail()))

    def stop(self):
        """SIGTERM; the exit status must be 0."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(START_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise ServerDied("SIGTERM did not end it:\n" + self.log_tail()) from None
        self.process = None
        assert code == 0, "exit status %d after SIGTERM:\n%s" % (code, self.log_tail())

    def kill9(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, kill=False, between=None):
        """Stop (or kill) and start again on the same port and data."""
        if kill:
            self.kill9()
        else:
            self.stop()
        if between:
            between(self)
        return self.start()

    def close(self):
        """End it for good and remove what it left."""
        try:
            self.stop()
        finally:
            self.kill9()
            if self.own_data:
                shutil.rmtree(self.data, ignore_errors=True)
                with contextlib.suppress(OSError):
                    os.unlink(self.log_path)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
            return
        print("server log:\n" + self.log_tail())
        self.kill9()
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check(self):
        """`divan check DATA` on the stopped server; returns (exit status, output)."""
        assert self.process is None
        done = subprocess.run(
            [binary(), "check", self.data],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def log_tail(self, size=4000):
        try:
            with open(self.log_path, "rb") as log:
                return log.read()[-size:].decode("utf-8", "replace")
        except OSError:
            return ""

    def remove_folders(self, *names):
        """Delete DATA/*/NAME of the stopped server (the disposable parts); how many went."""
        assert self.process is None
        gone = 0
        for store in sorted(os.listdir(self.data)):
            for name in names:
                path = os.path.join(self.data, store, name)
                if os.path.isdir(path):
                    shutil.rmtree(path)
                    gone += 1
        return gone

    def cpu_seconds(self):
        """User + system time of the server process so far."""
        clock = (~self.process.pid << 3) | 2  # clock_getcpuclockid(3): to the nanosecond
        return time.clock_gettime(clock)

    # requests ------------------------------------------------------------

    def connect(self, timeout=REQUEST_TIMEOUT):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def auth_header(self):
        pair = (USER + ":" + PASSWORD).encode("utf-8")
        return "Basic " + base64.b64encode(pair).decode("ascii")

    def headers_for(self, body, headers, auth):
        merged = {"Accept": "application/json"}
        if auth:
            merged["Authorization"] = self.auth_header()
        if body is not None and not isinstance(body, bytes):
            merged["Content-Type"] = "application/json"
        merged.update(headers or {})
        return {name: value for name, value in merged.items() if value is not None}

    def request(self, method, path, body=None, headers=None, auth=True):
        """One request on this thread's keep-alive connection; a dead one is replaced once.

        body: bytes are sent as they are (no Content-Type), str is JSON text, anything else is
        encoded as JSON.  A header value of None removes a default header.
        """
        send = self.headers_for(body, headers, auth)
        if body is not None and not isinstance(body, bytes):
            text = body if isinstance(body, str) else json.dumps(body)
            body = text.encode("utf-8")
        for attempt in (1, 2):
            connection = getattr(self.local, "connection", None)
            fresh = connection is None or self.local.generation != self.generation
            if fresh:
                connection = self.connect()
                self.local.connection = connection
                self.local.generation = self.generation
            try:
                connection.request(method, path, body=body, headers=send)
                answer = connection.getresponse()
                return Reply(answer.status, answer.getheaders(), answer.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                self.local.connection = None
                # Only a connection that the server closed while idle may be tried again.
                if fresh or attempt == 2 or method not in ("GET", "HEAD"):
                    raise
        raise AssertionError("not reached")

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def head(self, path, **more):
        return self.request("HEAD", path, **more)

    def put(self, path, body=None, **more):
        return self.request("PUT", path, body, **more)

    def post(self, path, body=None, **more):
        return self.request("POST", path, body, **more)

    def delete(self, path, **more):
        return self.request("DELETE", path, **more)

    def raw(self, data, timeout=15, half_close=False):
        """Send bytes on a new connection and return everything until the server closes it.

        An answer that arrived is returned as well when the server then keeps the connection.
        """
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout)) as s:
            got = b""
            try:
                s.sendall(data)
                if half_close:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    part = s.recv(65536)
                    if not part:
                        break
                    got += part
                    if complete_answer(got):
                        break
            except (socket.timeout, ConnectionError):
                pass
            return got

    def stream(self, path, method="GET", body=None, headers=None, timeout=REQUEST_TIMEOUT):
        """An open streaming answer: see Stream."""
        return Stream(self, method, path, body, headers, timeout)


def complete_answer(got):
    """Whether bytes hold one whole answer (Content-Length or chunked end)."""
    head, gap, rest = got.partition(b"\r\n\r\n")
    if not gap:
        return False
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return len(rest) >= int(value)
        if name.lower() == b"transfer-encoding" and b"chunked" in value.lower():
            return rest.endswith(b"0\r\n\r\n")
    return False


class Stream:
    """A feed read line by line with the time each line arrived."""

    def __init__(self, server, method, path, body, headers, timeout):
        send = server.headers_for(body, headers, True)
        if body is not None and not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode("utf-8")
        self.connection = server.connect(timeout)
        self.connection.request(method, path, body=body, headers=send)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status

    def line(self):
        """The next line without its end; None when the feed has ended."""
        text = self.answer.readline()
        return None if not text else text.rstrip(b"\r\n")

    def row(self):
        """The next line that is not blank, decoded; None at the end."""
        while True:
            text = self.line()
            if text is None:
                return None
            if text:
                return json.loads(text)

    def rest(self):
        return self.answer.read()

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
