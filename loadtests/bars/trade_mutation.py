"""Of small faults put into the rule modules of the trade pilot one by one, the tests find at least nine in ten.

mutmut puts them in (one operator, argument, number or text of a function at a time) and runs the tests that reach the
function. It works in a copy of the tree. Which test breaks which plausible wrong rule is a table of its own,
`tests/oracles/trade_rules.yaml`; constants outside functions, which mutmut leaves alone, are in that table too.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

from loadtests.bars import Measurement
from loadtests.wire import WireError

NEEDS_DEMO = False
ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "oracles" / "trade_rules.yaml"
COPIED = (
    "apps",
    "commonweal",
    "data_trusts",
    "examples",
    "tests/oracles",
    "tests/unit/trade",
    "tests/unit/trade_bundle",
)
FILES = ("tests/__init__.py", "tests/strategies.py")
# A mutant that 25 examples do not find counts as not found; the smallest failing example is of no use here.
CONFTEST = """
from hypothesis import Phase, settings
settings.register_profile("mutants", deadline=None, max_examples=25, phases=[Phase.generate], derandomize=True)
settings.load_profile("mutants")
"""
FOUND = {"killed", "timeout", "caught by type check"}
PYTEST = ["--import-mode=importlib", "-p", "no:cacheprovider", "-x", "-q"]


def measure() -> list[Measurement]:
    """Share of the mutants found, over all rule modules, and of the module with the smallest share."""
    table = yaml.safe_load(TABLE.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy(folder, table["modules"], table["tests"])
        _run(folder)
        results = _results(folder)
    by_module: dict[str, Counter[bool]] = {}
    for mutant, status in results.items():
        by_module.setdefault(_module(mutant), Counter())[status in FOUND] += 1
    shares = {module: 100 * counts[True] / counts.total() for module, counts in by_module.items()}
    survivors = sorted(mutant for mutant, status in results.items() if status not in FOUND)
    for mutant in survivors:
        print(f"  not found: {mutant}", file=sys.stderr)
    worst = min(shares, key=lambda module: shares[module])
    found = sum(counts[True] for counts in by_module.values())
    missing = len(set(table["modules"]) - set(by_module))
    return [
        Measurement(
            name="trade-mutation",
            value=100 * found / len(results),
            unit="%",
            bound=90.0,
            at_most=False,
            note=f"{found} of {len(results)} mutants; least {shares[worst]:.0f} % in {worst}",
        ),
        Measurement(name="trade-mutation-untouched", value=missing, unit="modules", bound=0),
    ]


def _copy(folder: Path, modules: list[str], tests: list[str]) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests" / "conftest.py").write_text(CONFTEST)
    settings = {
        "source_paths": ["apps"],
        "only_mutate": modules,
        "also_copy": ["commonweal", "data_trusts", "examples", "tests"],
        "pytest_add_cli_args": PYTEST,
        "pytest_add_cli_args_test_selection": tests,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    head = '[tool.pytest.ini_options]\nasyncio_mode = "auto"\n\n[tool.mutmut]\n'
    (folder / "pyproject.toml").write_text(head + "\n".join(lines) + "\n")


def _run(folder: Path) -> None:
    """Run mutmut on every core, showing every tenth of its way."""
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(os.cpu_count() or 1)]
    tail, shown = "", -1
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        while process.stdout is not None and (chunk := process.stdout.read(4096)):
            tail = (tail + chunk)[-8192:]
            counted = re.findall(r"(\d+)/(\d+) ", tail)
            if counted and (tenth := 10 * int(counted[-1][0]) // int(counted[-1][1])) > shown:
                shown = tenth
                print(f"  {counted[-1][0]} of {counted[-1][1]} mutants tried", file=sys.stderr, flush=True)
    if shown < 0:
        raise WireError(f"mutmut: no mutant was tried; it said: {tail[-600:].strip()}")


def _results(folder: Path) -> dict[str, str]:
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    said = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"^\s+(\S+): (.+)$", said, re.MULTILINE))


def _module(mutant: str) -> str:
    return re.sub(r"\.x[_ǁ].*$", "", mutant).replace(".", "/") + ".py"
