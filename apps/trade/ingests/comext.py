"""Eurostat Comext bulk files: Latin-1, comma-separated, eight-digit goods, months, and names of columns that changed.

Month 52 is the year's total and would count everything twice; it is left out and counted, and so are rows whose mass is
confidential.
"""

import random
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field

from apps.trade.goods import CnCode, Country
from apps.trade.ingests.form import IngestError, Measure, Reading, Row, Source, Stamp, distinct, parsed, written_csv

# Our column, and what the files called it over the years.
NAMES: dict[str, tuple[str, ...]] = {
    "declarant": ("DECLARANT_ISO", "REPORTER", "DECLARANT"),
    "partner": ("PARTNER_ISO", "PARTNER"),
    "product_nc": ("PRODUCT_NC", "PRODUCT"),
    "flow": ("FLOW",),
    "stat_procedure": ("STAT_PROCEDURE", "STAT_REGIME"),
    "period": ("PERIOD",),
    "quantity_in_kg": ("QUANTITY_IN_KG", "QUANTITY_KG"),
    "value_in_euros": ("VALUE_IN_EUROS", "VALUE_EUR"),
}
YEAR_TOTAL = "52"


class Declaration(Row):
    """Trade of one good of one declarant with one partner in one month."""

    declarant: Country
    partner: Country
    product_nc: CnCode
    flow: Literal["1", "2"]
    stat_procedure: Annotated[str, Field(pattern=r"^[0-9]{1,2}$")]
    period: Annotated[str, Field(pattern=r"^20[0-9]{2}(0[1-9]|1[0-2])$")]
    quantity_in_kg: Annotated[int, Field(gt=0), Measure("kg")]
    value_in_euros: Annotated[int, Field(ge=0), Measure("EUR")]


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read a bulk file.

    Raises:
        IngestError: a column is missing under all of its names, or a row is wrong or there twice.

    """
    lines = content.decode("latin-1").splitlines()
    heading = [name.strip() for name in (lines[0] if lines else "").split(",")]
    places = {field: _place(heading, field) for field in NAMES}
    left_out: Counter[str] = Counter()
    taken = []
    for number, line in enumerate(lines[1:], start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(heading):
            raise IngestError(f"row {number}: {len(cells)} cells under {len(heading)} columns; correct the row")
        fields = {field: cells[place] for field, place in places.items() if cells[place]}
        why = _why_left_out(fields)
        if why is not None:
            left_out[why] += 1
        else:
            taken.append((number, parsed(Declaration, number, fields, stamp)))
    rows = distinct(taken, _key, "product_nc")
    return Reading(rows=rows, left_out=left_out)


def _place(heading: list[str], field: str) -> int:
    for name in NAMES[field]:
        if name in heading:
            return heading.index(name)
    raise IngestError(f"heading: no column {' or '.join(NAMES[field])}; give a Comext bulk file")


def _why_left_out(fields: dict[str, str]) -> str | None:
    if fields.get("period", "").endswith(YEAR_TOTAL):
        return "period 52: the year's total"
    return None if "quantity_in_kg" in fields else "quantity_in_kg: confidential or not given"


def _key(row: Declaration) -> object:
    return (row.declarant, row.partner, row.product_nc, row.flow, row.stat_procedure, row.period)


PLANTED_KG = 12_000_000


def generate(seed: int) -> bytes:
    """A year of one good from Korea to Germany whose mass is planted, whatever the seed, with its year total."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    heading = [names[0] for names in NAMES.values()]
    rows: list[tuple[object, ...]] = []
    for pair in range(6):
        more = numbers.randint(0, PLANTED_KG // 24)
        for month, mass_kg in ((2 * pair + 1, PLANTED_KG // 12 + more), (2 * pair + 2, PLANTED_KG // 12 - more)):
            rows.append(("DE", "KR", "72081000", 1, 1, f"2026{month:02d}", mass_kg, mass_kg * 640 // 1000))
    rows.append(("DE", "KR", "72081000", 1, 1, f"2026{YEAR_TOTAL}", PLANTED_KG, PLANTED_KG * 640 // 1000))
    return written_csv(heading, rows, "latin-1")


SOURCE = Source(
    dataset="comext_declarations",
    description="Monthly trade of declarants by partner and good of eight digits.",
    model=Declaration,
    read=read,
    generate=generate,
)
