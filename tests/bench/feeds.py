"""What waiting costs: 1,000 idle longpolls and 1,000 continuous feeds, then 10,000 idle connections.

    DIVAN=build/release/divan python3 tests/bench/feeds.py [feeds of each kind] [connections]

Prints memory and threads for each, how long a write takes to reach a feed (one alone beside the idle
ones, and all at once), and how long GETs take while the connections are open.
"""

import os
import resource
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from support.server import Server  # noqa: E402  (the path is set just above)


def status(server, name):
    with open("/proc/%d/status" % server.process.pid, encoding="ascii") as f:
        for line in f:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def open_feed(server, db, feed):
    sock = socket.create_connection(("127.0.0.1", server.port))
    head = "GET /%s/_changes?feed=%s&since=now&heartbeat=60000 HTTP/1.1\r\nHost: x\r\n" % (db, feed)
    head += "Authorization: %s\r\n\r\n" % server.auth_header()
    sock.sendall(head.encode("ascii"))
    return sock


def drain(socks, seconds):
    """Reads what comes for so long."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as sel:
        for s in socks:
            sel.register(s, selectors.EVENT_READ)
        while time.monotonic() < end:
            for key, _ in sel.select(0.05):
                key.fileobj.recv(65536)


def wake(server, db, socks):
    """Milliseconds from the write's answer, and from its start, until every feed has its row."""
    with selectors.DefaultSelector() as sel:
        for s in socks:
            sel.register(s, selectors.EVENT_READ)
        began = time.monotonic()
        assert server.post("/" + db, {}).status == 201
        answered = time.monotonic()
        left = len(socks)
        while left:
            for key, _ in sel.select(10):
                if b'"seq"' in key.fileobj.recv(65536):
                    sel.unregister(key.fileobj)
                    left -= 1
        now = time.monotonic()
    return (now - answered) * 1000, (now - began) * 1000


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def feeds(server, n):
    assert server.put("/many").status == 201 and server.put("/one").status == 201
    server.get("/one")
    before, threads = status(server, "VmRSS"), status(server, "Threads")
    socks = [open_feed(server, "many", "longpoll") for _ in range(n)]
    socks += [open_feed(server, "many", "continuous") for _ in range(n)]
    drain(socks, 2)
    after = status(server, "VmRSS")
    print("%d idle feeds: %.1f KiB each, %d threads more" % (
        len(socks), (after - before) / len(socks), status(server, "Threads") - threads))
    times = []
    for kind in ("continuous", "longpoll"):
        for _ in range(50):
            with open_feed(server, "one", kind) as sock:
                drain([sock], 0.02)
                times.append(wake(server, "one", [sock])[1])
    print("write to row of one feed beside them: median %.2f ms, p99 %.2f ms (PUT included)" % (
        percentile(times, 0.5), percentile(times, 0.99)))
    last = wake(server, "many", socks)
    print("all %d: the last has its row %.0f ms after the write's answer" % (len(socks), last[0]))
    for sock in socks:
        sock.close()


def connections(server, n):
    quiet = gets(server)
    before = status(server, "VmRSS")
    socks = []
    for _ in range(n):
        socks.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
    time.sleep(1)
    after = status(server, "VmRSS")
    busy = gets(server)
    print("%d idle connections: %.1f KiB each; GET median %.2f ms, p99 %.2f ms; before %.2f, %.2f" % (
        n, (after - before) / n, busy[0], busy[1], quiet[0], quiet[1]))
    for sock in socks:
        sock.close()


def gets(server):
    times = []
    for _ in range(500):
        began = time.monotonic()
        assert server.get("/one").status == 200
        times.append((time.monotonic() - began) * 1000)
    return percentile(times, 0.5), percentile(times, 0.99)


def main():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Server() as server:
        feeds(server, int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
        connections(server, int(sys.argv[2]) if len(sys.argv) > 2 else 10000)


if __name__ == "__main__":
    main()
