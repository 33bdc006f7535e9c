"""Claims and coalitions from a command line or a file, divided by the rule book."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import yaml
from rich.table import Table

from commonweal.division import Coalition, most_tempted, shapley
from operators.cli.terminal import CommandError


def parse_claims(pairs: Iterable[str]) -> dict[str, int]:
    """Read `--claim ca=100`.

    Raises:
        CommandError: not a name and a whole number, or a name twice.
    """
    claims: dict[str, int] = {}
    for pair in pairs:
        name, _, amount = pair.partition("=")
        if not name or not amount.isdecimal():
            raise CommandError(f"--claim {pair}: write a name and a whole number, as ca=100")
        if name in claims:
            raise CommandError(f"--claim {pair}: {name} has claimed {claims[name]} already; add its claims up")
        claims[name] = int(amount)
    return claims


def read_worths(path: Path) -> dict[Coalition, int | Fraction]:
    """Read a YAML file of what each coalition is worth, as `ca+ke: 30`.

    Raises:
        CommandError: the file is missing, or has something else in it.
    """
    if not path.is_file():
        raise CommandError(f"WORTHS: {path} does not exist; write one line a coalition, as ca+ke: 30")
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise CommandError(f"WORTHS: {path} is not YAML: {error}") from None
    if not isinstance(found, dict) or not found:
        raise CommandError(f"WORTHS: {path} has no coalitions; write one line a coalition, as ca+ke: 30")
    worths: dict[Coalition, int | Fraction] = {}
    for name, worth in found.items():
        coalition = frozenset(str(name).split("+"))
        if type(worth) is not int:
            raise CommandError(f"WORTHS: {name}: {worth} is not a whole number; state it in a smaller unit")
        if coalition in worths:
            raise CommandError(f"WORTHS: {name}: this coalition is there twice; keep one of them")
        worths[coalition] = worth
    return worths


def worth_table(worths: Mapping[Coalition, int | Fraction]) -> tuple[Table, str]:
    """What each member's joining is worth, and whether a coalition would gain by leaving."""
    value = shapley(worths)
    shown = Table(title_justify="left")
    for heading in ("member", "worth", "exactly"):
        shown.add_column(heading)
    for member, worth in value.items():
        shown.add_row(member, f"{float(worth):.6g}", str(worth))
    coalition, gain = most_tempted(worths, value)
    names = "+".join(sorted(coalition))
    return shown, f"{names} would gain {gain} by leaving" if gain > 0 else "no coalition would gain by leaving"
