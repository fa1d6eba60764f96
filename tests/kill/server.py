"""The server under test: started, killed, its power cut, its directory copied."""

import os
import shutil
import signal
import socket
import subprocess
import time

from wire import PASSWORD, USER, Gone, Wire

INI = "[chttpd_auth]\niterations = 1\n"  # a start costs no password hash of 100 ms
START_SECONDS = 60


class Died(Exception):
    """The server ended and nobody had asked it to."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One data directory below root, one process at a time.

    root/data      what the server works on
    root/before    a copy of it from the last moment when everything in it was durable
    root/trace     every file call since then
    """

    def __init__(self, program, tools, root):
        self.program = program
        self.tools = tools  # where fault_run and fault_trace.so are
        self.root = root
        self.port = free_port()
        self.process = None
        self.point = None
        self.start_seconds = 0.05
        os.makedirs(root, exist_ok=True)
        with open(self.path("ini"), "w", encoding="ascii") as out:
            out.write(INI)
        self.log = open(self.path("log"), "ab+")  # noqa: SIM115  (as long as this object)

    def path(self, name):
        return os.path.join(self.root, name)

    def spawn(self, point=None, traced=False):
        env = dict(os.environ, DIVAN_ADMIN_PASSWORD=PASSWORD, OPENBLAS_NUM_THREADS="1")
        if point:
            env["DIVAN_KILL_POINT"] = "%s:%d" % point
        if traced:
            env["LD_PRELOAD"] = os.path.join(self.tools, "fault_trace.so")
            env["TRACE_FILE"], env["TRACE_ROOT"] = self.path("trace"), self.path("data")
        self.point = point
        self.log_from = self.log.seek(0, os.SEEK_END)
        command = [self.program, "serve", "--data", self.path("data"), "--port", str(self.port)]
        command += ["--admin-user", USER, "--config", self.path("ini")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)

    def messages(self):
        """What the process of now or the last one said."""
        self.log.seek(self.log_from)
        return self.log.read().decode("utf-8", "replace")

    def hit_point(self):
        return self.point is not None and "kill point %s\n" % self.point[0] in self.messages()

    def wait_ready(self):
        """True: it answers. False: it ended at its kill point."""
        began = time.monotonic()
        while time.monotonic() < began + START_SECONDS:
            if self.process.poll() is not None:
                return not self.ended()
            try:
                wire = Wire(self.port)
                if wire.ask("GET", "/_up").status == 200:
                    wire.close()
                    spent = time.monotonic() - began
                    self.start_seconds = 0.8 * self.start_seconds + 0.2 * spent
                    return True
            except Gone:
                time.sleep(0.002)
        raise Died("does not answer:\n" + self.messages())

    def ended(self):
        """The process is gone: True when it was its kill point."""
        code = self.process.wait()
        self.process = None
        if not self.hit_point():
            raise Died("ended with %d:\n%s" % (code, self.messages()[-6000:]))
        return True

    def wait_end(self, seconds):
        """True: it ended, at its kill point."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return self.ended()

    def kill(self):
        """True: it had ended at its kill point already."""
        hit = self.process.poll() is not None
        if hit:
            return self.ended()
        self.process.kill()
        self.process.wait()
        self.process = None
        return self.hit_point()

    def stop(self):
        """SIGTERM; True: it ended at its kill point instead of well."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(START_SECONDS)
        self.process = None
        if code != 0 and not self.hit_point():
            raise Died("SIGTERM: ended with %d:\n%s" % (code, self.messages()[-6000:]))
        return code != 0

    # the directory ---------------------------------------------------------

    def remove(self, *names):
        for name in names:
            path = self.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)

    def remember(self):
        """Everything in data is durable now."""
        self.remove("before", "trace")
        if not os.path.isdir(self.path("data")):
            os.mkdir(self.path("data"))
        subprocess.run(["cp", "-a", self.path("data"), self.path("before")], check=True)
        with open(self.path("trace"), "wb"):
            pass  # It may be killed before it opens it.

    def cut_power(self, seed):
        """Data becomes what a power cut may leave of it; the name of the state."""
        self.remove("cut")
        os.mkdir(self.path("cut"))
        command = [os.path.join(self.tools, "fault_run"), "cut", "-b", self.path("before")]
        command += ["-t", self.path("trace"), "-r", self.path("data"), "-d", self.path("cut")]
        done = subprocess.run(command + ["-s", str(seed)], stdout=subprocess.PIPE, check=True)
        self.remove("data")
        os.rename(self.path("cut"), self.path("data"))
        return done.stdout.decode().strip()

    def check(self):
        """divan check: None or what it found."""
        command = [self.program, "check", self.path("data")]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False
        )
        return None if done.returncode == 0 else done.stdout.decode("utf-8", "replace")

    def backup(self, seconds):
        """divan backup beside the server; True: it ended well. Killed after so many seconds."""
        command = [self.program, "backup", self.path("data"), self.path("backup")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said = child.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return False
        if child.returncode != 0:
            raise Died("backup: ended with %d: %s" % (child.returncode, said.decode()))
        return True

    def restored(self):
        """A server of its own, on what was brought back from the backup."""
        copy = Server(self.program, self.tools, self.path("restored"))
        copy.remove("data")
        command = [self.program, "restore", self.path("backup"), copy.path("data")]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False
        )
        if done.returncode != 0:
            raise Died("restore: ended with %d: %s" % (done.returncode, done.stdout.decode()))
        return copy

    def lose_index(self, names):
        """The folders that may be deleted are."""
        for store in os.listdir(self.path("data")):
            for name in names:
                shutil.rmtree(os.path.join(self.path("data"), store, name), ignore_errors=True)

    def damage_index(self):
        path = os.path.join(self.path("data"), "0", "idx", "CURRENT")
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as out:
                out.write("garbage\n")
