"""The kill test with compaction running all the time: KILL_COMPACT_CYCLES (default 10) cycles."""

import http.client
import os
import random
import threading

import test_kill

CYCLES = int(os.environ.get("KILL_COMPACT_CYCLES", "10"))


def keep_compacting(server, book):
    try:
        while not book.stop:
            server.post("/kill/_compact", {})
    except (OSError, http.client.HTTPException):
        pass


def test_kill_while_compacting(monkeypatch):
    write_and_kill = test_kill.write_and_kill

    def with_compaction(server, book, rng):
        book.stop = False
        thread = threading.Thread(target=keep_compacting, args=(server, book))
        thread.start()
        try:
            write_and_kill(server, book, rng)
        finally:
            book.stop = True
            thread.join()

    monkeypatch.setattr(test_kill, "CYCLES", CYCLES)
    monkeypatch.setattr(test_kill, "SEED", random.randrange(1 << 30))
    monkeypatch.setattr(test_kill, "write_and_kill", with_compaction)
    runs = [name for name in dir(test_kill) if name.startswith("test_")]
    assert len(runs) == 1, runs
    getattr(test_kill, runs[0])()
