"""Satellite activity: hot spots of one night in the manner of VIIRS Nightfire, with temperature, area and radiant heat.

The three are not independent: a body of that temperature and area radiates that heat (Stefan and Boltzmann). A row in
which they disagree is in other units, or of another product, and is refused.
"""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from apps.trade.goods import InstallationId
from apps.trade.ingests.form import (
    Amount,
    Instant,
    Measure,
    Reading,
    Row,
    Source,
    Stamp,
    Text,
    csv_rows,
    distinct,
    parsed,
    written_csv,
)

COLUMNS = (
    *("detection_id", "installation_id", "observed_at", "latitude", "longitude"),
    *("temperature_k", "source_area_m2", "radiant_heat_mw"),
)
STEFAN_BOLTZMANN_MW = Decimal("5.670374419e-14")  # MW per m2 and K^4
DISAGREE_BY = Decimal("0.1")  # published values are rounded and fitted


class Detection(Row):
    """One hot spot of one overpass; `installation_id` where it lies within a known installation."""

    detection_id: Text
    installation_id: InstallationId | None = None
    observed_at: Instant
    latitude: Annotated[Decimal, Field(ge=-90, le=90, decimal_places=18)]
    longitude: Annotated[Decimal, Field(ge=-180, le=180, decimal_places=18)]
    temperature_k: Annotated[Amount, Field(ge=500, le=3000), Measure("K")]
    source_area_m2: Annotated[Amount, Field(gt=0), Measure("m2")]
    radiant_heat_mw: Annotated[Amount, Field(gt=0), Measure("MW")]

    @model_validator(mode="after")
    def _radiates_what_it_says(self) -> "Detection":
        expected_mw = radiant_heat_mw(self.temperature_k, self.source_area_m2)
        if abs(self.radiant_heat_mw / expected_mw - 1) > DISAGREE_BY:
            raise ValueError(
                f"radiant_heat_mw: {self.radiant_heat_mw} is not what {self.source_area_m2} m2 at "
                f"{self.temperature_k} K radiate ({expected_mw:.3f} MW); look at the units"
            )
        return self


def radiant_heat_mw(temperature_k: Decimal, area_m2: Decimal) -> Decimal:
    """Heat that a black body radiates, MW."""
    return STEFAN_BOLTZMANN_MW * temperature_k**4 * area_m2


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read a file of detections.

    Raises:
        IngestError: a row is wrong or repeated.

    """
    found = ((number, parsed(Detection, number, cells, stamp)) for number, cells in csv_rows(content, COLUMNS))
    rows = distinct(found, lambda row: row.detection_id, "detection_id")
    return Reading(rows=rows)


PLANTED_K, PLANTED_M2, NIGHTS = 1800, 20, 60


def generate(seed: int) -> bytes:
    """Sixty nights of one furnace whose mean area is planted, whatever the seed."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    first = datetime(2026, 1, 1, 1, 30, tzinfo=UTC)
    rows = []
    for pair in range(NIGHTS // 2):
        more = numbers.randint(0, PLANTED_M2 - 1)
        for night, area in ((2 * pair, PLANTED_M2 + more), (2 * pair + 1, PLANTED_M2 - more)):
            heat = radiant_heat_mw(Decimal(PLANTED_K), Decimal(area)).quantize(Decimal("0.001"))
            at = (first + timedelta(days=night)).isoformat()
            rows.append((f"SYN-{night:03d}", "EC-EXAMPLE-2", at, "36.0", "129.4", PLANTED_K, area, heat))
    return written_csv(COLUMNS, rows)


SOURCE = Source(
    dataset="satellite_thermal",
    description="Hot spots of single nights: temperature, area and radiant heat, by installation where known.",
    model=Detection,
    read=read,
    generate=generate,
)
