"""Every cell of a table of default values is a number, a dash, see-below or a named error; none is silently nothing."""

import csv
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from loadtests.bars import Measurement

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
HEADER = ("cn_prefix", "good", "country", "direct_t_per_t", "indirect_t_per_t", "total_t_per_t", "route")
VALUES = HEADER[3:6]
ROWS = 12_540  # of the corrected release
SEED = 20261125
READABLE = {"number": ("0.00", "1.4740000000000002", "26.64"), "see below": ("see below", "See below")}
DASHES = {"dash": ("-", "\N{EN DASH}", "\N{EM DASH}", " - ")}
# What the official files and careless exports hold where a number should be.
UNREADABLE = (
    *("", " ", "#VALUE!", "n/a", "1,41", "-1", "NaN", "Infinity", "--", "\N{MINUS SIGN}", "1_000", "1e3", "null"),
    *("1.41 (A)", "\N{FULLWIDTH DIGIT ONE}", "\N{NO-BREAK SPACE}", "None", "see"),
)
UNREADABLE_EVERY = 20  # one value cell in so many


def measure() -> list[Measurement]:
    """Cells not accounted for: of the shipped table, and of one with the official one's size and traps."""
    with tempfile.TemporaryDirectory() as name:
        planted = Path(name) / "planted.csv"
        kinds, bad = _plant(planted)
        found = _classified(planted)
    shipped = _classified(None)
    told = {(each["line"], each["column"]) for each in found["bad"]}
    lost = len(told ^ bad) + sum(abs(kinds[kind] - found["cells"].get(kind, 0)) for kind in {*kinds, *found["cells"]})
    of_shipped = shipped["rows"] - sum(shipped["cells"].values())
    return [
        Measurement(
            name="trade-defaults-planted",
            value=lost,
            unit="cells",
            bound=0,
            note=f"{3 * ROWS} cells, {len(bad)} unreadable",
        ),
        Measurement(
            name="trade-defaults-shipped",
            value=abs(of_shipped) + len(shipped["bad"]),
            unit="cells",
            bound=0,
            note=f"{shipped['cells']}",
        ),
    ]


def _plant(path: Path) -> tuple[Counter[str], set[tuple[int, str]]]:
    """Write a table of known content; returns its readable cells by kind, and the places of the others."""
    numbers = Random(SEED)
    kinds: Counter[str] = Counter()
    bad: set[tuple[int, str]] = set()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for line in range(2, ROWS + 2):
            code = f"{numbers.choice(('72', '76', '25'))}{line:06d}"
            spaced = f"{code[:4]} {code[4:6]} {code[6:]}" if line % 2 else code
            cells = [_cell(numbers, line, column, kinds, bad) for column in VALUES]
            writer.writerow((spaced, "good", numbers.choice(("KR", "TW", "OTHER")), *cells, "(C)"))
    return kinds, bad


def _cell(numbers: Random, line: int, column: str, kinds: Counter[str], bad: set[tuple[int, str]]) -> str:
    if not numbers.randrange(UNREADABLE_EVERY):
        bad.add((line, column))
        return numbers.choice(UNREADABLE)
    # Numbers stand under one column alone: whether three of them add up is another rule.
    kind, texts = numbers.choice(list({**DASHES, **(READABLE if column == VALUES[-1] else {})}.items()))
    kinds[kind] += 1
    return numbers.choice(texts)


def _classified(table: Path | None) -> dict[str, Any]:
    command = [sys.executable, "-m", "apps.trade", "defaults", "check", "--json", *([str(table)] if table else [])]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
