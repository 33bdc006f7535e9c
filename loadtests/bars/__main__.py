"""Runs one bar, lists them, or runs all that need no running demo."""

import argparse
import importlib
import pkgutil
import sys
from types import ModuleType

from infra.local.machine import LocalError
from loadtests import bars
from loadtests.wire import WireError


def names() -> list[str]:
    """Names of the bars, as the command line takes them."""
    return [
        module.name.replace("_", "-") for module in pkgutil.iter_modules(bars.__path__) if module.name != "__main__"
    ]


def load(name: str) -> ModuleType:
    """The bar's module."""
    return importlib.import_module(f"loadtests.bars.{name.replace('-', '_')}")


def run(name: str) -> bool:
    """Measure one bar, print its lines, say whether all passed."""
    measurements: list[bars.Measurement] = load(name).measure()
    for measurement in measurements:
        print(measurement.line(), flush=True)
    return all(measurement.passed for measurement in measurements)


def describe(name: str) -> str:
    """One line: the bar, whether it needs the demo, and what it proves."""
    module = load(name)
    what = (module.__doc__ or "").strip().splitlines()[0]
    return f"{name:16} {'demo' if module.NEEDS_DEMO else '':5} {what}"


def main() -> int:
    """Exit 0 where every measured figure keeps its bound."""
    parser = argparse.ArgumentParser(prog="make bar", description=__doc__)
    parser.add_argument("name", nargs="?", help="a bar, as trade-examples")
    parser.add_argument("--list", action="store_true", help="list the bars and what they prove")
    parser.add_argument("--standalone", action="store_true", help="run every bar that needs no running demo")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(describe(name) for name in names()))
        return 0
    if not arguments.standalone and arguments.name not in names():
        parser.error(f"NAME: no bar {arguments.name!r}; one of {', '.join(names())}")
    chosen = [name for name in names() if not load(name).NEEDS_DEMO] if arguments.standalone else [arguments.name]
    try:
        passed = [run(name) for name in chosen]
    except (WireError, LocalError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
