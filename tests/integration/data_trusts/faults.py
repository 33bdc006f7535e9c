"""What happens to a machine: a process is killed at any step, a disk is full."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

PRELUDE = """
import os, signal, sys
from pathlib import Path
from data_trusts.catalog import Warehouse
left = int(sys.argv[1])
def counted(step):
    def run(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*arguments, **named)
    return run
"""


def killed_at(step: int, script: str, *arguments: object) -> bool:
    """Run a script that ends as SIGKILL ends it at the n-th step that it counts; whether it came so far.

    It finds its arguments from `sys.argv[2]` on.
    """
    argv = [sys.executable, "-c", PRELUDE + script, str(step), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode != 0


@contextmanager
def disk_of(size_bytes: int) -> Iterator[None]:
    """No file may grow beyond a size: the same call fails as on a full disk, with the next error number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
