"""Turns the sheet of benchmarks of free allocation into this pilot's table, one row a good and production route.

A cell may carry its route and its period behind the number, as `1.370 (C)(1)`; a route may also have a column of its
own. Rows that leave the code empty continue the good above. Column A and column B of one good may name different
routes; they meet in one row where the route is the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from apps.trade.free_allocation import read_benchmark
from apps.trade.official.columns import Header, find_header
from apps.trade.official.default_sheets import CN_DIGITS, CODE, written
from apps.trade.official.grids import Grid, Line, OfficialFileError

HEADINGS = (
    ("code", re.compile(r"\bcn\b.*code|^cn$|taric")),
    ("route_a", re.compile(r"column a.*(route|indicator)|(route|indicator).*column a")),
    ("route_b", re.compile(r"column b.*(route|indicator)|(route|indicator).*column b")),
    ("column_a", re.compile(r"column a\b")),
    ("column_b", re.compile(r"column b\b")),
    ("route", re.compile("route|indicator")),
    ("good", re.compile("description|^goods?$|^product$")),
)
REQUIRED = ("code", "good", "column_a", "column_b")
COLUMNS = ("cn_prefix", "good", "route", "column_a", "column_b")
PERIODS = {1: (2026, 2027), 2: (2028, 2029, 2030)}
_MARKS = re.compile(r"\(\s*([A-L]|[12])\s*\)")
DASH = "-"


@dataclass
class TakenBenchmarks:
    """The table's rows by code, good and route, what was left out, and what is wrong by its place."""

    rows: dict[tuple[str, str, str], dict[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def table(self) -> bytes:
        """The table as this pilot reads it."""
        return written(COLUMNS, list(self.rows.values()))


@dataclass(frozen=True, kw_only=True)
class _Marked:
    """A cell without its marks: the number or dash, the route, and the period, each empty or 0 where not marked."""

    text: str
    route: str
    period: int


def take_benchmarks(grids: Sequence[Grid], period: int) -> TakenBenchmarks:
    """Every row that holds in a period, 1 (2026 and 2027) or 2 (2028 to 2030).

    Raises:
        OfficialFileError: the columns cannot be told, or no sheet is one of benchmarks.

    """
    taken = TakenBenchmarks()
    for grid in grids:
        header = find_header(grid, HEADINGS, REQUIRED)
        if header is None:
            taken.left_out.append(grid.name or "the file")
            continue
        code, good = "", ""
        for line in header.below():
            code = "".join(header.text(line, "code").split()) or code
            good = header.text(line, "good") or good
            _take(taken, header, line, (code, good), period)
    if not taken.rows and not taken.bad:
        raise OfficialFileError("the file: no sheet has CN codes and columns A and B; give the table of benchmarks")
    return taken


def _take(taken: TakenBenchmarks, header: Header, line: Line, named: tuple[str, str], period: int) -> None:
    code, good = named
    texts = {name: header.text(line, name) for name in ("column_a", "column_b")}
    if not any(texts.values()):
        taken.counts["headings"] += 1
        return
    if not CODE.fullmatch(code) or not good:
        said = f"{code!r} of {good!r} is no code with a description, and the row holds values; correct the row"
        taken.bad.append(f"{header.place(line.number, 'code')}: {said}")
        return
    for name, text in texts.items():
        cell = _unmarked(text)
        if cell.period not in {0, period}:
            taken.counts["of another period"] += 1
        elif problem := _unreadable(cell.text):
            taken.bad.append(f"{header.place(line.number, name)}: {problem}")
        else:
            route = cell.route or _route(header, line, name)
            _put(taken, header, line, (code[:CN_DIGITS], good, route), {name: cell.text})


def _put(taken: TakenBenchmarks, header: Header, line: Line, key: tuple[str, str, str], value: dict[str, str]) -> None:
    """A number joins the row of its route; two numbers for one place contradict each other."""
    row = taken.rows.get(key)
    ((name, text),) = value.items()
    if row is None:
        blank = {"column_a": DASH, "column_b": DASH}
        taken.rows[key] = {**dict(zip(COLUMNS[:3], key, strict=True)), **blank, name: text}
    elif row[name] == DASH:
        row[name] = text
    elif row[name] != text != DASH:
        said = f"{text} for route ({key[2]}), and {row[name]} stands above for the same good; remove one"
        taken.bad.append(f"{header.place(line.number, name)}: {said}")
    taken.counts["dash" if text == DASH else "number"] += 1


def _unmarked(text: str) -> _Marked:
    marks = _MARKS.findall(text)
    routes, periods = [each for each in marks if each.isalpha()], [int(each) for each in marks if each.isdigit()]
    bare = _MARKS.sub("", text).strip()
    if len(routes) > 1 or len(periods) > 1:
        return _Marked(text=text, route="", period=0)  # not understood: the reader of numbers refuses it
    return _Marked(text=bare, route="".join(routes), period=periods[0] if periods else 0)


def _unreadable(text: str) -> str | None:
    try:
        read_benchmark(text)
    except ValueError as error:
        return str(error)
    return None


def _route(header: Header, line: Line, name: str) -> str:
    own = header.text(line, f"route_{name[-1]}") or header.text(line, "route")
    return _unmarked(own).route or own.strip().strip("()")
