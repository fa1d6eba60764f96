"""The scripts of the README, as far as they can be run without changing the machine."""

import os
import subprocess

from support.server import ROOT

PROGRAMS = {
    "apt-cache": 'echo "apt-cache $*" >>"$LOG"',
    "apt-get": 'echo "apt-get $*" >>"$LOG"; exit 100',
    "sudo": 'exec env "$@"',
}


def test_a_machine_that_has_heard_of_no_package(tmp_path):
    """dpkg-query fails on what dpkg does not know: once the script ended there without a word."""
    admin, programs, log = tmp_path / "dpkg", tmp_path / "bin", tmp_path / "log"
    (admin / "info").mkdir(parents=True)
    (admin / "updates").mkdir()
    (admin / "status").touch()
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text("#!/bin/sh\n%s\n" % text)
        (programs / name).chmod(0o755)
    env = dict(os.environ, DPKG_ADMINDIR=str(admin), LOG=str(log))
    env["PATH"] = "%s:%s" % (programs, env["PATH"])
    done = subprocess.run(
        [os.path.join(ROOT, "scripts", "deps"), "run"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "deps: apt-get could not install:" in done.stderr, done
    asked = [line.split() for line in log.read_text().splitlines() if " install " in line]
    for package in ("build-essential", "libmicrohttpd-dev", "libleveldb-dev", "zlib1g-dev"):
        assert package in asked[0], asked
