"""A file system of a few megabytes for the tests of a full disk."""

import contextlib
import os
import subprocess
import tempfile

import pytest


@contextlib.contextmanager
def tmpfs(size):
    """The folder on which it is mounted; skips the test where that is not allowed."""
    folder = tempfile.mkdtemp(prefix="divan-test-disk-")
    command = ["mount", "-t", "tmpfs", "-o", "size=%d" % size, "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        os.rmdir(folder)
        pytest.skip("needs root and mount: " + mounted.stderr.decode().strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
        os.rmdir(folder)
