"""Twenty attacks on signed readings, the handbook's twelve and eight more: each is detected or earns nothing."""

import re
import subprocess
import sys

from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
ATTACKS = "tests/unit/tamper/test_attacks.py"
OUTCOME = re.compile(r"(\d+) (passed|failed|error)")


def measure() -> list[Measurement]:
    """Run each attack through the hub's pledges, books, verifier and postings; an attack that pays is a failed test."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "test_an_attack", ATTACKS]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    outcomes = {what: int(count) for count, what in OUTCOME.findall(said.strip().splitlines()[-1])}
    if not outcomes:
        raise WireError(f"pytest ran no attack: {said[-500:]}")
    paid = outcomes.get("failed", 0) + outcomes.get("error", 0)
    return [
        Measurement(name="energy-tamper", value=paid, unit="attacks-that-pay", bound=0),
        Measurement(
            name="energy-tamper-detected", value=outcomes.get("passed", 0), unit="attacks", bound=20, at_most=False
        ),
    ]
