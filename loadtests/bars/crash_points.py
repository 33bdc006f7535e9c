"""Hub and agent killed before and after every API call of a join and a roll-out converge, and nothing is orphaned."""

import re
import subprocess
import sys
from pathlib import Path

from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
TESTS = sorted(str(path) for path in Path("tests/integration").glob("*/test_crash_points*.py"))
OUTCOME = re.compile(r"(\d+) (passed|failed|error)")


def measure() -> list[Measurement]:
    """The crash-point tests, which count their own API calls; each is one drill over all of them."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    outcomes = {what: int(count) for count, what in OUTCOME.findall(said.strip().splitlines()[-1])}
    if not outcomes:
        raise WireError(f"pytest ran no crash-point test: {said[-500:]}")
    broken = outcomes.get("failed", 0) + outcomes.get("error", 0)
    note = f"{outcomes.get('passed', 0)} drills passed"
    return [Measurement(name="crash-points", value=broken, unit="drills-that-differ", bound=0, note=note)]
