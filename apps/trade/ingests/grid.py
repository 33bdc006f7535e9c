"""Grid telemetry: generation by type, zone and quarter-hour or hour, in the long layout of ENTSO-E's data item A75.

A zone's mix is as wrong as its series is partial: wind that was not delivered for an hour makes the hour coal. So a
series with holes is refused, by zone, instant and type.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from apps.trade.ingests.form import (
    Amount,
    IngestError,
    Instant,
    Measure,
    Reading,
    Row,
    Source,
    Stamp,
    csv_rows,
    distinct,
    parsed,
    written_csv,
)

COLUMNS = ("zone_eic", "start", "resolution_min", "production_type", "generation_mw")
ProductionType = Literal[
    "Biomass",
    "Fossil Brown coal/Lignite",
    "Fossil Coal-derived gas",
    "Fossil Gas",
    "Fossil Hard coal",
    "Fossil Oil",
    "Fossil Oil shale",
    "Fossil Peat",
    "Geothermal",
    "Hydro Pumped Storage",
    "Hydro Run-of-river and poundage",
    "Hydro Water Reservoir",
    "Marine",
    "Nuclear",
    "Other",
    "Other renewable",
    "Solar",
    "Waste",
    "Wind Offshore",
    "Wind Onshore",
]


class Generation(Row):
    """Mean power of one type in one zone over one interval, in UTC."""

    zone_eic: Annotated[str, Field(pattern=r"^[0-9]{2}[A-Z0-9-]{13}[A-Z0-9]$")]
    start: Instant
    resolution_min: Annotated[int, Field(ge=15, le=60, multiple_of=15)]
    production_type: ProductionType
    generation_mw: Annotated[Amount, Measure("MW")]


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read a file and look for holes.

    Raises:
        IngestError: a row is wrong or repeated, or an interval lacks a type that its zone has elsewhere.

    """
    found = ((number, parsed(Generation, number, cells, stamp)) for number, cells in csv_rows(content, COLUMNS))
    rows = distinct(found, lambda row: (row.zone_eic, row.start, row.production_type), "start")
    _refuse_holes(rows)
    return Reading(rows=rows)


def _refuse_holes(rows: Iterable[Generation]) -> None:
    by_zone: dict[str, dict[datetime, dict[str, int]]] = {}
    for row in rows:
        by_zone.setdefault(row.zone_eic, {}).setdefault(row.start, {})[row.production_type] = row.resolution_min
    for zone, intervals in by_zone.items():
        kinds = {kind for held in intervals.values() for kind in held}
        starts = sorted(intervals)
        for start, following in zip(starts, [*starts[1:], None], strict=True):
            missing = sorted(kinds - intervals[start].keys())
            lengths = set(intervals[start].values())
            if missing:
                raise IngestError(
                    f"zone_eic {zone}, start {start.isoformat()}: {missing[0]} is missing; a partial mix is a "
                    "wrong one, so get the series again"
                )
            if len(lengths) > 1 or (following and following - start != timedelta(minutes=min(lengths))):
                raise IngestError(
                    f"zone_eic {zone}, start {start.isoformat()}: the next interval does not follow; "
                    "get the series again"
                )


PLANTED_MW = {"Nuclear": 1200, "Fossil Gas": 800, "Wind Onshore": 600, "Solar": 200}  # means of every day
HOURS = 48


def generate(seed: int) -> bytes:
    """Two days of a zone whose mean of every type is planted, whatever the seed."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    first = datetime(2026, 1, 1, tzinfo=UTC)
    rows = []
    for kind, mean_mw in PLANTED_MW.items():
        for pair in range(HOURS // 2):
            more = numbers.randint(0, mean_mw)
            for hour, power_mw in ((2 * pair, mean_mw + more), (2 * pair + 1, mean_mw - more)):
                start = (first + timedelta(hours=hour)).isoformat()
                rows.append(("10YSYNTHETIC---Z", start, 60, kind, Decimal(power_mw)))
    return written_csv(COLUMNS, rows)


SOURCE = Source(
    dataset="grid_generation",
    description="Generation by type, zone and interval in UTC, as transmission operators publish it.",
    model=Generation,
    read=read,
    generate=generate,
)
