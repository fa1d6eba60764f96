#!/usr/bin/env python3
"""Ends the server under mixed writes, again and again, and compares what is left with an oracle.

  kill.py plain|power|points|recovery|backup [--cycles N] [--seconds S] [--seed N] ...

plain      SIGKILL at a random moment
power      SIGKILL, and then everything is forgotten, torn or garbled that no fsync covered
           (tests/fault/trace.c saw every file call; fault_run cut makes one of the states)
points     the process ends itself at a named place (base/kill_point.h), every place in turn; half
           of the times the power goes as well. Fails when a place was never reached
recovery   SIGKILL, and then again and again while it starts: at random moments, at the places of
           recovery, with the indexes deleted or damaged before; half of the times with power cuts
backup     divan backup beside the writes, into the same folder again and again, sometimes killed;
           a backup that ended well is restored, checked, started and compared: every document is as
           it was at a moment after the backup began; then SIGKILL

Needs a build with -DDIVAN_KILL_POINTS=ON (preset kill), whose limits are small; plain and power
take any build. What has to hold is in verify.py. The seed fixes what is asked for and when; threads
and the clock decide the rest, so a failure keeps its directories: ROOT/before and ROOT/trace or
ROOT/crashed are what the server was started on.
"""

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import time

import book as oracle
from load import Chores, Writer, create
from server import Died, Server
from verify import Violation, dump, verify, verify_copy, want
from wire import Gone, Wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
WRITERS = 3
FRESH = 25  # cycles of one data directory
CHECK = 8  # cycles between two runs of divan check
REBUILD = 6  # cycles between two deletions of the indexes
POINT_SECONDS = 0.8
STARTS_MAX = 4
OFTEN = 25  # each kill point in a run of 1,000 cycles or more; with 64 of them that takes 1,750
MODES = ("plain", "power", "points", "recovery", "backup")


class Life:
    """What the threads of one life of the server share."""

    def __init__(self, port, book, purges):
        self.port = port
        self.book = book
        self.purges = purges
        self.over = False


def all_points():
    """Every KILL_POINT("name") of the sources."""
    found = []
    for path in sorted((ROOT / "src").glob("*/*.c")):
        text = path.read_text(encoding="utf-8")
        found += re.findall(r'\bKILL_POINT\("([^"]+)"\)', text)
    assert len(found) == len(set(found)), "a kill point stands in two places"
    return found


class Run:
    def __init__(self, args):
        self.args = args
        self.mode = args.mode
        self.rng = random.Random(args.seed)
        self.points = all_points() if args.mode in ("points", "recovery") else []
        self.hits = collections.Counter()
        # Of passes to ask for; learned.
        self.most = {p: 200 if p.startswith(("log.", "commit.")) else 3 for p in self.points}
        self.cycle = self.acked = self.cuts = self.kills = self.backups = 0
        self.server = Server(args.server, args.tools, args.root)
        self.wire = None
        self.purges = False
        self.saved = False  # a backup of this life ended well
        self.fresh()

    # one data directory ------------------------------------------------------

    def fresh(self):
        """An empty data directory with the database and its index."""
        self.server.remove("data", "crashed", "backup")
        self.server.remember()
        self.book = oracle.Book(WRITERS)
        self.start(None)
        create(self.wire, self.rng.random() < 0.5)
        self.book.update_seq = 0
        self.purges = self.wire.ask("GET", "/k/_purged_infos_limit").status == 200
        self.server.stop()
        self.acked_before = self.acked

    def start(self, point):
        """True: it serves. False: it ended at its kill point."""
        half = self.mode in ("points", "recovery")
        self.traced = self.mode == "power" or (half and self.rng.random() < 0.5)
        if self.traced:
            self.server.remember()
        self.server.spawn(point, self.traced)
        self.wire = Wire(self.server.port)
        return self.server.wait_ready()

    # a cycle -----------------------------------------------------------------

    def run(self):
        end = time.monotonic() + self.args.seconds if self.args.seconds else None
        began = shown = time.monotonic()
        while self.wants_more() and not (end and time.monotonic() > end):
            if self.cycle % FRESH == FRESH - 1:
                self.close_book()
                self.fresh()
            self.one()
            self.cycle += 1
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                self.show(shown - began)
        self.close_book()
        self.show(time.monotonic() - began)
        return self.table()

    def wants_more(self):
        """Cycles are left; a long run goes on a little when a point is just short."""
        if self.mode != "points" or self.args.cycles < 1000 or self.cycle < self.args.cycles:
            return self.cycle < self.args.cycles
        short = any(self.hits[p] < OFTEN for p in self.points)
        return short and self.cycle < self.args.cycles * 5 // 4

    def show(self, seconds):
        acked = self.acked + self.book.acked
        more = "%d backups compared, " % self.backups if self.mode == "backup" else ""
        print(
            "%s: %d cycles, %d kills, %d power cuts, %d acked writes, %s0 violations, %.0f s"
            % (self.mode, self.cycle, self.kills, self.cuts, acked, more, seconds),
            flush=True,
        )

    def one(self):
        point = self.choose() if self.mode == "points" else None
        up = self.start(point)
        hit = not up or self.look(point)
        if not hit:
            hit = self.load(point)
        self.note(point, hit)
        self.after_death()
        if self.mode == "recovery":
            self.break_starts()
        self.see_left()

    def look(self, point):
        """Everything is compared; True: it ended at its kill point meanwhile."""
        try:
            verify(self.wire, self.book, self.rng)
        except Gone:
            if point is None or not self.server.wait_end(5):
                raise
            return True
        return False

    def load(self, point):
        life = Life(self.server.port, self.book, self.purges)
        threads = [
            Writer(life, part, "%d %d %d" % (self.args.seed, self.cycle, part.number))
            for part in self.book.parts
        ]
        threads.append(Chores(life, "%d %d" % (self.args.seed, self.cycle)))
        for thread in threads:
            thread.start()
        if self.mode == "backup":
            self.backup()
        if point and not point[0].startswith("stop."):
            slow = 2.5 if point[0].startswith("blob.") else 1  # the last step of _compact
            hit = self.server.wait_end(slow * POINT_SECONDS) or self.server.kill()
        else:
            time.sleep(self.rng.uniform(0.01, 0.35))
            stops = bool(point) or self.rng.random() < 0.1
            hit = self.server.stop() if stops else self.server.kill()
        life.over = True
        for thread in threads:
            thread.join()
        for thread in threads:
            if thread.failure:
                raise thread.failure
        return hit

    def backup(self):
        """Beside the writes; what was acknowledged before it must be in it."""
        time.sleep(self.rng.uniform(0, 0.1))
        for part in self.book.parts:
            for doc in list(part.docs.values()):
                doc.watch()
        seconds = self.rng.uniform(0, 0.1) if self.rng.random() < 0.25 else 60
        self.saved = self.server.backup(seconds)

    def compare_backup(self):
        self.saved = False
        self.backups += 1
        copy = self.server.restored()
        found = copy.check()
        want(found is None, "divan check of the backup:", found)
        copy.spawn()
        copy.wait_ready()
        wire = Wire(copy.port)
        verify_copy(wire, self.book)
        wire.close()
        copy.kill()
        copy.remove("data")

    def after_death(self):
        self.kills += 1
        self.wire.close()
        if self.saved:
            self.compare_backup()
        if self.traced:
            self.cuts += 1
            self.server.cut_power(self.rng.getrandbits(48))

    def break_starts(self):
        """It is killed again while it starts, a few times."""
        for _ in range(self.rng.randint(1, STARTS_MAX)):
            roll = self.rng.random()
            if roll < 0.25:
                self.server.lose_index(self.rng.choice((["idx"], ["vec"], ["idx", "vec"])))
            elif roll < 0.35:
                self.server.damage_index()
            point = self.choose() if self.rng.random() < 0.6 else None
            self.traced = self.rng.random() < 0.5
            if self.traced:
                self.server.remember()
            self.server.spawn(point, self.traced)
            hit = self.server.wait_end(self.rng.uniform(0, 1.3 * self.server.start_seconds))
            hit = hit or self.server.kill()
            self.note(point, hit)
            self.after_death()

    def see_left(self):
        """Between two lives: the image is kept, and now and then looked at from outside."""
        self.server.remove("crashed")
        shutil.copytree(self.server.path("data"), self.server.path("crashed"))
        if self.cycle % CHECK == CHECK - 1:
            found = self.server.check()
            want(found is None, "divan check:", found)
        if self.cycle % REBUILD == REBUILD - 1:
            self.server.lose_index(self.rng.choice((["idx"], ["vec"], ["idx", "vec"])))

    def close_book(self):
        """Stopped well, checked, its indexes made again: the same answers."""
        self.traced = False
        self.server.spawn()
        self.wire = Wire(self.server.port)
        self.server.wait_ready()
        verify(self.wire, self.book, self.rng)
        before = dump(self.wire, self.book)
        self.server.stop()
        found = self.server.check()
        want(found is None, "divan check:", found)
        self.server.lose_index(["idx", "vec"])
        self.server.spawn()
        self.server.wait_ready()
        self.wire = Wire(self.server.port)
        verify(self.wire, self.book, self.rng)
        want(dump(self.wire, self.book) == before, "another answer after the indexes were deleted")
        self.server.stop()
        self.acked += self.book.acked
        self.book.acked = 0

    # kill points -------------------------------------------------------------

    def choose(self):
        """The point that was hit least, and which pass of it."""
        points = [p for p in self.points if self.mode == "points" or p.startswith("recover.")]
        least = min(self.hits[p] for p in points)
        name = self.rng.choice([p for p in points if self.hits[p] <= least + 1])
        if self.mode == "points" and name == "recover.aside":
            self.server.damage_index()
        return name, self.rng.randint(1, self.most[name])

    def note(self, point, hit):
        if point is None:
            return
        name, n = point
        self.hits[name] += hit
        most = min(1000, self.most[name] * 2) if hit and n == self.most[name] else self.most[name]
        self.most[name] = most if hit else max(1, n // 2)

    def table(self):
        """True: every place was reached as often as it must be."""
        if self.mode != "points":
            return True
        for name in self.points:
            print("  %-24s %5d" % (name, self.hits[name]))
        enough = OFTEN if self.cycle >= 1000 else 1
        missed = [p for p in self.points if self.hits[p] < enough]
        if self.cycle < 4 * len(self.points):
            return True  # A short run cannot reach them all.
        for name in missed:
            print("kill point %s: reached %d times, not %d" % (name, self.hits[name], enough))
        return not missed


def arguments():
    build = ROOT / "build" / "kill"
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0, help="end after this time")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--server", default=str(build / "divan"))
    parser.add_argument("--tools", help="folder of fault_run; default: bin beside the server")
    parser.add_argument("--under", help="folder for files; default: /dev/shm or the temporary one")
    args = parser.parse_args()
    args.tools = args.tools or os.path.join(os.path.dirname(args.server), "bin")
    shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    args.root = tempfile.mkdtemp(prefix="divan-kill-", dir=args.under or shm)
    return args


def main():
    args = arguments()
    print("kill.py %s --seed %d" % (args.mode, args.seed), flush=True)
    run = None
    try:
        run = Run(args)
        good = run.run()
    except (Violation, Died, Exception) as failure:  # noqa: BLE001  (all are findings)
        cycle = run.cycle if run else 0
        if run and run.server.process:
            run.server.kill()
        print("VIOLATION in cycle %d: %s: %s" % (cycle, type(failure).__name__, failure))
        print("kept: %s; again: kill.py %s --seed %d" % (args.root, args.mode, args.seed))
        raise
    shutil.rmtree(args.root)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
