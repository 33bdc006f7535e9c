"""Reads a table of default values: every cell is a number, a dash, `see below` or an error, and none is silently empty.

Official files write codes with and without spaces, use three dashes, print `#VALUE!` and repeat one code for two goods.
A column that a release does not list is left out of the file; a cell that is there says something.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from apps.trade.defaults import Cell, Row, read_cell

TEXTS = ("cn_prefix", "good", "country")
VALUES = ("direct_t_per_t", "indirect_t_per_t", "total_t_per_t")
REQUIRED = (*TEXTS, "total_t_per_t")
COLUMNS = (*TEXTS, *VALUES, "route")
ROUNDING = Decimal("0.01")  # the most by which direct and indirect of the official files miss the total
_PREFIX = re.compile(r"[0-9]{2,8}")
_COUNTRY = re.compile(r"[A-Z]{2}|[A-Z]{5,16}")  # ISO 3166-1, or the name of the fallback


@dataclass(frozen=True, kw_only=True)
class BadCell:
    """A cell that cannot be used; lines count from 1, the header's."""

    line: int
    column: str
    detail: str

    def __str__(self) -> str:
        """The place, what is wrong and the remedy."""
        return f"line {self.line}: {self.column}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a table says; `counts` is of its value cells, and with the bad ones they are all cells."""

    rows: tuple[Row, ...]
    counts: Mapping[str, int]
    bad: tuple[BadCell, ...]


def read_table(content: bytes) -> Reading:
    """Classify every cell. Nothing is raised: what cannot be used is named in `bad`."""
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        header = next(lines, [])
        wrong = tuple(_wrong_columns(header))
        return Reading(rows=(), counts={}, bad=wrong) if wrong else _read(header, lines)
    except (UnicodeDecodeError, csv.Error) as error:
        return Reading(rows=(), counts={}, bad=(BadCell(line=1, column="file", detail=f"{error}; give CSV in UTF-8"),))


def _wrong_columns(header: list[str]) -> Iterator[BadCell]:
    for column in REQUIRED:
        if column not in header:
            yield BadCell(line=1, column=column, detail="missing from the header; add the column")
    for column in header:
        if column not in COLUMNS:
            yield BadCell(line=1, column=column, detail=f"unknown; the columns are {', '.join(COLUMNS)}")
        elif header.count(column) > 1:
            yield BadCell(line=1, column=column, detail="occurs twice; remove one")


def _read(header: list[str], lines: Iterator[list[str]]) -> Reading:
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    bad: list[BadCell] = []
    seen: dict[tuple[str, str, str], int] = {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            detail = f"{len(cells)} cells under {len(header)} columns; correct the line"
            bad.append(BadCell(line=number, column="line", detail=detail))
            continue
        texts = dict(zip(header, cells, strict=True))
        values, wrong = _values(texts, number)
        counts.update(_kind(value) for value in values.values())
        key, wrong_key = _key(texts, number, seen)
        row = Row(
            cn_prefix=key[0],
            good=key[1],
            country=key[2],
            direct_t_per_t=values.get("direct_t_per_t", Cell.NOT_LISTED),
            indirect_t_per_t=values.get("indirect_t_per_t", Cell.NOT_LISTED),
            total_t_per_t=values.get("total_t_per_t", Cell.NOT_LISTED),
            route=texts.get("route", ""),
        )
        problems = [*wrong_key, *wrong, *([] if wrong else _sums(row, number))]
        bad += problems
        if not problems:
            rows.append(row)
    return Reading(rows=tuple(rows), counts=dict(counts), bad=tuple(bad))


def _values(texts: Mapping[str, str], line: int) -> tuple[dict[str, Decimal | Cell], list[BadCell]]:
    values: dict[str, Decimal | Cell] = {}
    wrong = []
    for name in VALUES:
        if name in texts:
            try:
                values[name] = read_cell(texts[name])
            except ValueError as error:
                wrong.append(BadCell(line=line, column=name, detail=str(error)))
    return values, wrong


def _key(
    texts: Mapping[str, str], line: int, seen: dict[tuple[str, str, str], int]
) -> tuple[tuple[str, str, str], list[BadCell]]:
    """Code, good and country: together they name a row, since one code may stand for two goods."""
    prefix, good, country = texts["cn_prefix"].replace(" ", ""), texts["good"].strip(), texts["country"].strip()
    wrong = []
    if not _PREFIX.fullmatch(prefix):
        wrong.append(
            BadCell(line=line, column="cn_prefix", detail=f"{prefix!r} is not 2 to 8 digits; correct the code")
        )
    if not good:
        wrong.append(BadCell(line=line, column="good", detail="empty; name the good"))
    if not _COUNTRY.fullmatch(country):
        wrong.append(
            BadCell(line=line, column="country", detail=f"{country!r} is no country; give two capital letters")
        )
    first = seen.setdefault((prefix, good, country), line)
    if first != line:
        wrong.append(BadCell(line=line, column="cn_prefix", detail=f"the same row as line {first}; remove one"))
    return (prefix, good, country), wrong


def _sums(row: Row, line: int) -> Iterator[BadCell]:
    direct, indirect, total = row.direct_t_per_t, row.indirect_t_per_t, row.total_t_per_t
    if isinstance(direct, Decimal) and isinstance(indirect, Decimal) and isinstance(total, Decimal):
        gap = abs(direct + indirect - total)
        if gap > ROUNDING:
            detail = f"{total} is {gap} off direct + indirect, more than rounding; compare with the source"
            yield BadCell(line=line, column="total_t_per_t", detail=detail)


def _kind(value: Decimal | Cell) -> str:
    return value.value if isinstance(value, Cell) else "number"
