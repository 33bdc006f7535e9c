"""Turns the sheets of default values into the one table of this pilot, and says of every cell what it was taken for.

A sheet is a country. Rows without a code are headings of a sector and hold no values; codes may be written with or
without spaces and with the ten digits of TARIC; the marked-up columns are recomputed, not read. The table that comes
out is judged by the same reader as every other (`default_tables.read_table`), so that no cell passes here that would
not pass there.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from apps.trade.default_tables import COLUMNS, ROUNDING, VALUES, BadCell, Reading, read_table
from apps.trade.defaults import BASIS_POINTS, Table, markup_bp
from apps.trade.official.columns import Header, find_header
from apps.trade.official.countries import CountryNames
from apps.trade.official.grids import Grid, Line, OfficialFileError

HEADINGS = (
    ("country", re.compile(r"^(country|territory|origin)|country of origin")),
    ("code", re.compile(r"\bcn\b.*code|^cn$|taric")),
    ("good", re.compile("description|^goods?$|^product$")),
    ("markup_2026", re.compile("2026")),
    ("markup_2027", re.compile("2027")),
    ("markup_2028", re.compile("2028")),
    ("indirect_t_per_t", re.compile("indirect")),
    ("direct_t_per_t", re.compile("direct")),
    ("total_t_per_t", re.compile("total")),
    ("route", re.compile("route")),
)
REQUIRED = ("code", "good", "total_t_per_t")
MARKED_UP = {"markup_2026": 2026, "markup_2027": 2027, "markup_2028": 2028}
CODE = re.compile(r"[0-9]{2,8}([0-9]{2})?")
CN_DIGITS = 8  # what follows is TARIC, which tells goods of one CN code apart as their descriptions do


@dataclass
class Taken:
    """What came out: the table's rows with their places, what was left out, what is wrong, and what differs."""

    rows: list[dict[str, str]] = field(default_factory=list)
    places: list[tuple[Header, int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)

    def table(self) -> bytes:
        """The table as this pilot reads it; columns that the release does not list are left out."""
        listed = [name for name in COLUMNS if any(name in row for row in self.rows)]
        return written(listed, self.rows)

    def judged(self) -> Reading:
        """The table read back; cells that cannot be used join `bad` by their place in the official file."""
        reading = read_table(self.table())
        self.bad += [self._bad(each) for each in reading.bad]
        return reading

    def _bad(self, each: BadCell) -> str:
        header, line = self.places[each.line - 2]
        return f"{header.place(line, 'code' if each.column == 'cn_prefix' else each.column)}: {each.detail}"


@dataclass(frozen=True, kw_only=True)
class _Taker:
    """Takes lines in; `rates` are the mark-ups that stated ones are compared with."""

    taken: Taken
    names: CountryNames
    rates: Table

    def take(self, header: Header, line: Line) -> None:
        """One line of a sheet."""
        code = "".join(header.text(line, "code").split())
        values = {name: header.text(line, name) for name in VALUES if name in header.columns}
        if not CODE.fullmatch(code):
            self._heading(header, line, code, has_values=any(values.values()))
            return
        if len(code) > CN_DIGITS:
            self.taken.counts["TARIC codes"] += 1
        country = self.names.code(header.text(line, "country") or header.grid.name)
        row = {"cn_prefix": code[:CN_DIGITS], "good": header.text(line, "good"), "country": country, **values}
        self.taken.rows.append({**row, "route": header.text(line, "route")})
        self.taken.places.append((header, line.number))
        for name, year in MARKED_UP.items():
            self._compare_markup(header, line, name, markup_bp(self.rates, code, year))

    def _heading(self, header: Header, line: Line, code: str, *, has_values: bool) -> None:
        """A row without a code: a sector's name, unless it holds a value, which would then belong to no good."""
        if has_values:
            said = f"{code!r} is no code of 2 to 8 or 10 digits, and the row holds values; correct the code"
            self.taken.bad.append(f"{header.place(line.number, 'code')}: {said}")
        else:
            self.taken.counts["headings"] += 1

    def _compare_markup(self, header: Header, line: Line, name: str, rate_bp: int) -> None:
        """Name where a stated mark-up is not the law's on the stated total; the rate is what counts."""
        try:
            total, stated = Decimal(header.text(line, "total_t_per_t")), Decimal(header.text(line, name))
        except InvalidOperation:
            return
        wanted = total * (BASIS_POINTS + rate_bp) / BASIS_POINTS
        if abs(stated - wanted) > ROUNDING:
            where = header.place(line.number, name)
            self.taken.differing.append(f"{where}: {stated} is not {total} with {Decimal(rate_bp) / 100} %, {wanted}")


def take_defaults(grids: Sequence[Grid], names: CountryNames, rates: Table) -> Taken:
    """Every row of every sheet.

    Raises:
        OfficialFileError: a sheet's country or columns cannot be told, or no sheet is one of default values.

    """
    taken = Taken()
    taker = _Taker(taken=taken, names=names, rates=rates)
    for grid in grids:
        header = find_header(grid, HEADINGS, REQUIRED)
        if header is None:
            taken.left_out.append(grid.name or "the file")
            continue
        if not grid.name and "country" not in header.columns:
            raise OfficialFileError(
                f"line {header.line}: the column of country is missing, and CSV has no sheets; add it"
            )
        for line in header.below():
            taker.take(header, line)
    if not taken.rows:
        raise OfficialFileError("the file: no sheet has CN codes and totals; give the table of default values")
    return taken


def written(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> bytes:
    """Rows as the CSV of a rule pack."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
