"""`make down` leaves the machine as it was before `make demo`, also after kill -9 of every part of the demo."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

from loadtests.bars import Measurement
from loadtests.machine import differences, snapshot

NEEDS_DEMO = False
RUN = Path("/run/commonweal")
KILLED = 6
SETTLE_S = 3
SEED = 20261124


def measure() -> list[Measurement]:
    """Up and down once in peace, and once with random parts killed; from a machine where no demo runs."""
    _make("down")
    before = snapshot()
    _make("demo")
    _make("down")
    peaceful = differences(before, snapshot())
    _make("demo")
    _kill_some()
    time.sleep(SETTLE_S)
    _make("down")
    killed = differences(before, snapshot())
    return [
        Measurement(name="down-clean", value=len(peaceful), unit="traces", bound=0, note="; ".join(peaceful[:5])),
        Measurement(name="down-clean-killed", value=len(killed), unit="traces", bound=0, note="; ".join(killed[:5])),
    ]


def _kill_some() -> None:
    """SIGKILL to random processes of the demo, by the pid in their own PID files."""
    files = sorted(RUN.glob("*.pid"))
    for path in random.Random(SEED).sample(files, min(KILLED, len(files))):
        os.kill(json.loads(path.read_text())["identity"]["pid"], signal.SIGKILL)


def _make(target: str) -> None:
    subprocess.run(["make", target], check=True, capture_output=True, text=True)
