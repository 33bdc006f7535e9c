"""Reads what a certificate costs, by quarter of import: the one fact that is new every quarter.

A file of its own that no rule pack names by digest, so that a new price changes no rule and no attested tonne.
"""

import csv
import io
import re
from collections.abc import Mapping
from decimal import Decimal

from apps.trade.defaults import NUMBER

COLUMNS = ["quarter", "eur", "source"]
_QUARTER = re.compile(r"20[0-9]{2}-Q[1-4]")


def read_prices(content: bytes) -> dict[str, Decimal]:
    """Price of one certificate, EUR, by quarter, as 2026-Q1.

    Raises:
        ValueError: a line is wrong, a quarter occurs twice, or a price has no source; the message names the line.

    """
    lines = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    if next(lines, []) != COLUMNS:
        raise ValueError(f"line 1: the columns are {', '.join(COLUMNS)}; write them so")
    found: dict[str, Decimal] = {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(COLUMNS):
            raise ValueError(f"line {number}: {len(cells)} cells under {len(COLUMNS)} columns; correct the line")
        row = dict(zip(COLUMNS, cells, strict=True))
        quarter = _checked(row, number)
        if quarter in found:
            raise ValueError(f"line {number}: quarter: {quarter} occurs twice; remove one")
        found[quarter] = Decimal(row["eur"])
    return found


def _checked(row: Mapping[str, str], line: int) -> str:
    if not _QUARTER.fullmatch(row["quarter"]):
        raise ValueError(f"line {line}: quarter: {row['quarter']!r} is not a year and quarter; write it as 2026-Q1")
    if not NUMBER.fullmatch(row["eur"]) or not Decimal(row["eur"]):
        raise ValueError(f"line {line}: eur: {row['eur']!r} is not a price above 0; give the published one")
    if not row["source"].strip():
        raise ValueError(f"line {line}: source: empty; say where the price was published")
    return row["quarter"]
