"""Random histories on three replicas: the server and the model must never differ.

MODEL_OPS (default 5000) is how many operations to run, MODEL_SEED the first seed (default: new
every time; it is printed).  A failing history is shrunk to a minimal one and printed as a script.
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import model  # noqa: E402
from history import Run, as_script, random_history  # noqa: E402
from support.server import Server  # noqa: E402

OPS = int(os.environ.get("MODEL_OPS", "5000"))
SEED = int(os.environ.get("MODEL_SEED", str(random.randrange(1 << 30))))
KILL_EVERY = int(os.environ.get("MODEL_KILL_EVERY", "10"))
SHRINK_SECONDS = float(os.environ.get("MODEL_SHRINK_SECONDS", "60"))


class Runner:
    """Runs histories on one server; every run has its own databases."""

    def __init__(self, server):
        self.server = server
        self.runs = 0
        self.requests = 0

    def run(self, wild, ops):
        """None, or (the difference, the run) when the server and the model differ."""
        self.runs += 1
        if not self.server.alive():
            self.server.start()
        run = Run(self.server, "m%d" % self.runs, wild)
        try:
            run.run(ops)
        except Exception as failure:  # noqa: BLE001  (a crash on either side is a finding too)
            return failure, run
        finally:
            self.requests += run.requests
        return None

    def shrink(self, wild, ops):
        """Leave out ever smaller pieces as long as the rest still fails."""
        deadline = time.monotonic() + SHRINK_SECONDS
        size = len(ops) // 2
        found = None
        while size and time.monotonic() < deadline:
            at = 0
            while at < len(ops) and time.monotonic() < deadline:
                fewer = ops[:at] + ops[at + size :]
                result = self.run(wild, fewer)
                if result:
                    ops, found = fewer, result
                else:
                    at += size
            size = min(size // 2, len(ops) // 2) if size > 1 else 0
        return ops, found or self.run(wild, ops)


def report(seed, ops, found):
    failure, run = found
    print("history of seed %d, shrunk to %d operations:" % (seed, len(ops)))
    for op in ops:
        print("   ", op)
    print(as_script(run.names, run.script))
    print("%s: %s" % (type(failure).__name__, failure))


def test_the_model_itself():
    """What is known from outside: a revision id of CouchDB, and the order of leaves."""
    assert model.show_rev(model.new_rev(None, False, {}, {})) == (
        "1-967a00dff5e02add41819138abb3284d"
    )
    tree = model.Tree()
    line = [model.parse_rev(r) for r in ("4-d", "3-c", "2-b", "1-a")]
    tree.add(line, model.Record(True, {}, {}))
    assert tree.deleted()
    tree.add([(2, b"x"), (1, b"a")], model.Record(False, {}, {}))
    tree.add([(2, b"y"), (1, b"a")], model.Record(False, {}, {}))
    assert [model.show_rev(r) for r in tree.leaves()] == ["2-y", "2-x", "4-d"]
    tree.stem(2)
    assert sorted(map(model.show_rev, tree.parent)) == ["1-a", "2-x", "2-y", "3-c", "4-d"]
    assert tree.parent[(3, b"c")] is None


def test_histories():
    done = number = 0
    began = time.monotonic()
    with Server() as server:
        runner = Runner(server)
        while done < OPS:
            seed = SEED + number
            wild, ops = random_history(seed, KILL_EVERY)
            found = runner.run(wild, ops)
            if found:
                first = found[0]
                ops, found = runner.shrink(wild, ops)
                if found is None:  # It did not fail again: timing matters.
                    raise AssertionError("seed %d failed once" % seed) from first
                report(seed, ops, found)
                raise AssertionError("seed %d: %s" % (seed, found[0])) from found[0]
            done += len(ops)
            number += 1
            if number % 500 == 0:
                spent = time.monotonic() - began
                print("%d operations, %.0f s" % (done, spent), file=sys.stderr, flush=True)
        assert runner.requests > done
    spent = time.monotonic() - began
    counts = (done, number, runner.requests, spent, SEED)
    print("%d operations in %d histories, %d requests, %.1f s, MODEL_SEED=%d" % counts)
