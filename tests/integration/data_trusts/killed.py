"""Runs a script that ends as SIGKILL ends it, at the n-th step that it counts."""

import subprocess
import sys

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
    """Whether the script was killed; it finds its arguments from `sys.argv[2]` on."""
    argv = [sys.executable, "-c", PRELUDE + script, str(step), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, check=False, timeout=60)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode != 0
