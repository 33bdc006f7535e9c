"""The Commission's worked examples come out right to a relative 1e-12, from their inputs alone."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import yaml

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
ORACLE = ROOT / "tests" / "oracles" / "cbam_examples.yaml"
NUMBERS = ("see_direct_t_per_t", "see_indirect_t_per_t")


def measure() -> list[Measurement]:
    """The largest relative error over every example and number, by the transitional and by the definitive method."""
    oracle = yaml.safe_load(ORACLE.read_text("utf-8"))
    command = [sys.executable, "-m", "apps.trade", "examples", "--json"]
    computed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)
    return [
        Measurement(
            name=f"trade-examples-{mode}",
            value=float(
                largest_error(held["products"], [row for row in computed if row["rule_pack"] == held["rule_pack"]])
            ),
            unit="relative-error",
            bound=float(oracle["relative_bound"]),
            note=f"{len(held['products'])} products",
        )
        for mode, held in (("transitional", oracle), ("definitive", oracle["definitive"]))
    ]


def largest_error(expected: Sequence[Mapping[str, str]], computed: Sequence[Mapping[str, str]]) -> Decimal:
    """Largest relative error; an example that was not computed is a KeyError, not a pass."""
    found = {(row["installation_id"], row["cn_code"]): row for row in computed}
    return max(
        _error(Decimal(found[each["installation_id"], each["cn_code"]][name]), Decimal(each[name]))
        for each in expected
        for name in NUMBERS
    )


def _error(value: Decimal, wanted: Decimal) -> Decimal:
    """Relative, and against a zero absolute: what does not count must be exactly nothing."""
    return abs(value / wanted - 1) if wanted else abs(value)
