"""What a start refuses: a port that is taken, a data directory that is taken, no admin."""
import os
import subprocess

import pytest

from support.server import Server


@pytest.fixture
def running():
    server = Server()
    server.start()
    yield server
    server.close()


def start(data, port, password="pw"):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DIVAN_ADMIN")}
    if password:
        env["DIVAN_ADMIN_PASSWORD"] = password
    binary = os.environ.get("DIVAN", "build/release/divan")
    command = [binary, "serve", "--data", str(data), "--port", str(port)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def test_a_taken_port(running, tmp_path):
    """Two servers on one port would share its connections: the second must not start."""
    done = start(tmp_path / "other", running.port)
    assert done.returncode == 1
    assert "cannot listen" in done.stderr
    assert running.get("/_up").status == 200


def test_a_taken_data_directory(running):
    done = start(running.data, running.port + 1)
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert running.get("/_up").status == 200


def test_no_admin(tmp_path):
    done = start(tmp_path / "d", 1, password=None)
    assert done.returncode == 1
    assert "DIVAN_ADMIN_PASSWORD" in done.stderr


def test_help_of_a_command():
    binary = os.environ.get("DIVAN", "build/release/divan")
    for command in (["serve", "--help"], ["check", "--help"], ["--help"]):
        done = subprocess.run([binary] + command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "divan serve" in done.stdout
