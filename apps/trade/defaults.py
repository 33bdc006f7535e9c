"""Which default value a tonne gets when its maker disclosed nothing, and why that one.

The table says per good and country a number, a dash (no value of its own) or a heading that points elsewhere. What it
cannot say is an error: an unreadable cell that counted as a dash would silently price the fallback row.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

DASHES = frozenset({"-", "\N{EN DASH}", "\N{EM DASH}"})
BASIS_POINTS = 10_000
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")  # Decimal alone would also take 1_000, 1e3, NaN and other alphabets' digits


class Cell(StrEnum):
    """What a cell says when it says no number; `NOT_LISTED` is of a column that the release leaves out."""

    DASH = "dash"
    SEE_BELOW = "see below"
    NOT_LISTED = "not listed"


class NoDefaultError(ValueError):
    """No default value exists for this good and year; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SeveralGoodsError(NoDefaultError):
    """One code stands for several goods, and it was not said which one is meant."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One good of one country, tonnes CO2e per functional unit, before any mark-up."""

    cn_prefix: str
    good: str
    country: str
    direct_t_per_t: Decimal | Cell
    indirect_t_per_t: Decimal | Cell
    total_t_per_t: Decimal | Cell
    route: str

    @property
    def has_value(self) -> bool:
        """Whether the row, as a whole, gives a value."""
        return isinstance(self.total_t_per_t, Decimal)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The default values of one release of the annex, with its fallback and its mark-ups.

    `markup_bp` is by year of import; `flat_markup_bp`, by CN prefix, is of goods with one mark-up for all years.
    """

    rows: Sequence[Row]
    fallback: str
    fallback_name: str
    markup_bp: Mapping[int, int]
    flat_markup_bp: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def by_prefix(self) -> Mapping[str, Sequence[Row]]:
        """The rows of each heading: the whole annex has 12,540, and a year's customs rows ask for most of them."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.cn_prefix, []).append(row)
        return found


@dataclass(frozen=True, kw_only=True)
class Default:
    """The value to use, tonnes CO2e per functional unit with mark-up; parts are None where the table has no number."""

    row: Row
    direct_t_per_t: Decimal | None
    indirect_t_per_t: Decimal | None
    total_t_per_t: Decimal
    markup_bp: int
    why: str


def read_cell(text: str) -> Decimal | Cell:
    """Classify one cell of the annex.

    Raises:
        ValueError: the cell is neither a number, a dash nor `see below`; an empty one is an error too.

    """
    stripped = text.strip()
    if stripped in DASHES:
        return Cell.DASH
    if stripped.casefold() == "see below":
        return Cell.SEE_BELOW
    if not NUMBER.fullmatch(stripped):
        raise ValueError(f"{stripped!r} is neither a number from 0 up, a dash nor 'see below'; correct the cell")
    return Decimal(stripped)


def markup_bp(table: Table, cn_code: str, import_year: int) -> int:
    """Mark-up of a good in a year, in basis points; the last year of the table holds from then on.

    Raises:
        NoDefaultError: the year is before the first one of the table.

    """
    years = [year for year in table.markup_bp if year <= import_year]
    if not years:
        raise NoDefaultError(f"default values begin in {min(table.markup_bp)}, not in {import_year}")
    flat = (rate_bp for prefix, rate_bp in table.flat_markup_bp.items() if cn_code.startswith(prefix))
    return next(flat, table.markup_bp[max(years)])


def default_value(table: Table, cn_code: str, country: str, import_year: int, good: str | None = None) -> Default:
    """Choose the row and apply the year's mark-up; `good` are words of the one meant where a code stands for several.

    The fallback replaces the whole row (direct, indirect, total, route), never single columns: columns of two
    countries would describe a plant that exists nowhere.

    Raises:
        NoDefaultError: the good is not in the table, or neither row has a value.
        SeveralGoodsError: the words fit none of the goods of the code, or more than one.

    """
    rate_bp = markup_bp(table, cn_code, import_year)
    own, fallback = _rows(table, cn_code, country, good)
    row = own if own is not None and own.has_value else fallback
    if row is None or not isinstance(row.total_t_per_t, Decimal):
        raise NoDefaultError(f"neither {country} nor '{table.fallback_name}' has a default value for {cn_code}")
    factor = Decimal(BASIS_POINTS + rate_bp) / BASIS_POINTS
    return Default(
        row=row,
        direct_t_per_t=_marked_up(row.direct_t_per_t, factor),
        indirect_t_per_t=_marked_up(row.indirect_t_per_t, factor),
        total_t_per_t=row.total_t_per_t * factor,
        markup_bp=rate_bp,
        why=_why(table, row, own, country, rate_bp),
    )


def _rows(table: Table, cn_code: str, country: str, good: str | None) -> tuple[Row | None, Row | None]:
    """The country's row and the fallback row of the most specific heading that holds the code."""
    lengths = range(len(cn_code), 0, -1)
    of_heading = next((rows for length in lengths if (rows := table.by_prefix.get(cn_code[:length]))), ())
    if not of_heading:
        raise NoDefaultError(f"{cn_code} is not in the table of default values")
    goods = sorted({row.good for row in of_heading})
    meant = goods[0] if len(goods) == 1 else _meant(goods, good)
    if meant is None:
        raise SeveralGoodsError(f"{cn_code} stands for several goods in the table ({', '.join(goods)})")
    by_country = {row.country: row for row in of_heading if row.good == meant}
    return by_country.get(country), by_country.get(table.fallback)


def _meant(goods: Sequence[str], words: str | None) -> str | None:
    """The good of this name, or the only one whose name holds the words; None where that is none or several."""
    if words is None:
        return None
    named = [each for each in goods if each.casefold() == words.casefold()]
    found = named or [each for each in goods if words.casefold() in each.casefold()]
    return found[0] if len(found) == 1 else None


def _marked_up(cell: Decimal | Cell, factor: Decimal) -> Decimal | None:
    return cell * factor if isinstance(cell, Decimal) else None


def _why(table: Table, row: Row, own: Row | None, country: str, rate_bp: int) -> str:
    markup = f"with the mark-up of {Decimal(rate_bp) / 100} %"
    if row is own:
        return f"{row.good}: value of {country} {markup}"
    reason = f"{country} has no value" if own is not None else f"{country} is not listed"
    return f"{row.good}: value of '{table.fallback_name}' because {reason}, {markup}"
