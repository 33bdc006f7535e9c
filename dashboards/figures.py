"""What a page shows, as data: a question, its answer, and figures that carry unit, as-of, log position and origin.

Pure. The pages draw it and the data routes serve it, so a download is what was on the screen.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

from commonweal.apportion import WHOLE_BP
from commonweal.kinds.equity_statement import LogPosition

Cell = str | int | bool | Decimal | datetime | None
Row = Mapping[str, Cell]

UNKNOWN = "unknown"
PERCENT_SIGN = "\u00a0%"  # never at the start of a line
MJ_PER_KJ = 1_000_000  # millijoules
ROOT_PREFIX = 12  # characters of the root hash on a page: 48 bits, enough to compare by eye; downloads have all 64


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Label(StrEnum):
    """Where a number comes from, when that is not the real thing."""

    SIMULATED = "Simulated"
    SYNTHETIC = "Synthetic"
    EXAMPLE = "Worked example"

    @property
    def meaning(self) -> str:
        """The sentence shown beside the label."""
        return _MEANINGS[self]


_MEANINGS = {
    Label.SIMULATED: "meters are simulated; no GPU was measured",
    Label.SYNTHETIC: "customs rows come from a generator; no trade was observed",
    Label.EXAMPLE: "the installations are those of the Commission's worked examples; no such plant stands anywhere",
}


class Standing(StrEnum):
    """The answer in one word; a page never turns Unknown into one of the others."""

    GOOD = "Yes"
    BAD = "No"
    UNKNOWN = "Unknown"


class Chart(StrEnum):
    """How a figure is drawn beside its table."""

    READINESS = "readiness"
    ALLOWANCE = "allowance"
    EMBEDDED = "embedded"
    SHARES = "shares"
    HISTORY = "history"


@dataclass(frozen=True, kw_only=True)
class Position:
    """When a figure was true, and how far the transparency log had come; `no_log` says why there is no log position."""

    as_of: datetime | None
    log: LogPosition | None = None
    no_log: str = "no accounting period is closed yet"

    def sentence(self) -> str:
        """As-of and log position in words."""
        log = f"no log position: {self.no_log}"
        if self.log is not None:
            log = f"log position {self.log.tree_size:,}, root {self.log.root_sha256[:ROOT_PREFIX]}…"
        return f"As of {instant(self.as_of)} · {log}"


def text(value: Cell) -> str:
    """Show a value as it is."""
    return UNKNOWN if value is None else str(value)


def count(value: Cell) -> str:
    """Show a whole number with thousands separated."""
    return UNKNOWN if value is None else f"{value:,}"


def percent(value: Cell) -> str:
    """Show basis points as per cent, exactly."""
    return UNKNOWN if value is None else f"{Decimal(str(value)) / (WHOLE_BP // 100):.2f}"


def share(value: Cell) -> str:
    """Show a part of 1 as per cent, to a hundredth; the download keeps every digit."""
    return UNKNOWN if value is None else f"{Decimal(str(value)) * 100:.2f}"


def instant(value: Cell) -> str:
    """Show an instant in UTC, to the second."""
    if not isinstance(value, datetime):
        return UNKNOWN if value is None else str(value)
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def kilojoules(value: Cell) -> str:
    """Show millijoules as kilojoules."""
    return UNKNOWN if value is None else f"{Decimal(str(value)) / MJ_PER_KJ:,.1f}"


def tonnes(value: Cell) -> str:
    """Show tonnes to four decimals; the download keeps every digit."""
    return UNKNOWN if value is None else f"{Decimal(str(value)):,.4f}"


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its key in downloads carries the unit, its heading shows it; `shown` False is for downloads alone."""

    key: str
    heading: str
    show: Callable[[Cell], str] = text
    numeric: bool = False
    link: bool = False
    shown: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure; `key` is its anchor and its file name, `sentence` says in words what chart and table show."""

    key: str
    title: str
    sentence: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    position: Position
    labels: tuple[Label, ...] = ()
    chart: Chart | None = None
    empty: str = "Nothing to show."


@dataclass(frozen=True, kw_only=True)
class Check:
    """A command that leads to the same numbers without this dashboard, and what it does."""

    command: str
    does: str


@dataclass(frozen=True, kw_only=True)
class View:
    """One page: one question, answered in `answer` and in the first figure; `check` is how anyone can check it."""

    question: str
    standing: Standing
    answer: str
    figures: tuple[Figure, ...] = ()
    check: Check | None = None

    def figure(self, key: str) -> Figure | None:
        """Return the figure with this key, if the page has it."""
        return next((figure for figure in self.figures if figure.key == key), None)


def as_csv(figure: Figure) -> str:
    """Return the figure as CSV; every row carries as-of, log position and labels; unknown is written as `unknown`.

    Text that a spreadsheet would run as a formula gets an apostrophe in front; the JSON has it as it is.
    """
    out = io.StringIO()
    origin = {key: _plain(value) for key, value in _origin(figure).items()}
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow([*(column.key for column in figure.columns), *origin])
    for row in figure.rows:
        writer.writerow([_plain(row[column.key]) for column in figure.columns] + list(origin.values()))
    return out.getvalue()


def as_json(figure: Figure) -> str:
    """Return the figure as JSON; unknown is null, decimals are strings so that no digit is lost."""
    rows = [{column.key: _exact(row[column.key]) for column in figure.columns} for row in figure.rows]
    origin = {key: _exact(value) for key, value in _origin(figure).items()}
    body = {"figure": figure.key, "title": figure.title, "sentence": figure.sentence, **origin, "rows": rows}
    return json.dumps(body, ensure_ascii=False, indent=2)


def file_name(figure: Figure, extension: str) -> str:
    """Name a download after what it holds and when that was true."""
    as_of = "unknown" if figure.position.as_of is None else f"{figure.position.as_of.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return f"commonweal-{figure.key}-{as_of}.{extension}"


def _origin(figure: Figure) -> Row:
    log = figure.position.log
    return {
        "as_of": figure.position.as_of,
        "log_tree_size": log.tree_size if log else None,
        "log_root_sha256": log.root_sha256 if log else None,
        "labels": " ".join(figure.labels) or "none",
    }


def _plain(value: Cell) -> str:
    exact = _exact(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return UNKNOWN if exact is None else str(exact)


def _exact(value: Cell) -> str | int | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return str(value)
    return value
