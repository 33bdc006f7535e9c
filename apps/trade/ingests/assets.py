"""Modelled emissions of single assets in the manner of Climate TRACE, with its words of confidence kept as words.

What the words mean in numbers is not published, so no number is made of them here. A modelled row is evidence of a
model: `method_tier` travels with it, so that nobody fuses it as an independent observation.
"""

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

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
    *("source_id", "source_name", "iso3_country", "sector", "subsector", "gas", "start_time", "end_time"),
    *("activity", "activity_units", "emissions_factor", "emissions_factor_units", "emissions_quantity"),
    *("activity_confidence", "emissions_factor_confidence", "emissions_quantity_confidence", "method_tier"),
)
Confidence = Literal["very low", "low", "medium", "high", "very high"]
DISAGREE_BY = Decimal("0.01")


class Asset(Row):
    """Emissions of one gas by one asset over one period; quantities in tonnes of the gas, CO2e where `gas` says so."""

    source_id: Text
    source_name: Text
    iso3_country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    sector: Text
    subsector: Text
    gas: Literal["co2", "ch4", "n2o", "co2e_100yr", "co2e_20yr"]
    start_time: Instant
    end_time: Instant
    activity: Annotated[Amount, Measure("activity_units")]
    activity_units: Text
    emissions_factor: Annotated[Amount, Measure("emissions_factor_units")]
    emissions_factor_units: Text
    emissions_quantity: Annotated[Amount, Measure("t")]
    activity_confidence: Confidence
    emissions_factor_confidence: Confidence
    emissions_quantity_confidence: Confidence
    method_tier: Literal["modelled", "reported", "observed"]

    @model_validator(mode="after")
    def _adds_up(self) -> "Asset":
        if self.end_time <= self.start_time:
            raise ValueError("end_time: not after start_time; correct one")
        expected = self.activity * self.emissions_factor
        if abs(self.emissions_quantity - expected) > DISAGREE_BY * expected:
            raise ValueError(
                f"emissions_quantity: {self.emissions_quantity} is not activity x emissions_factor ({expected:.3f}); "
                "look at the units"
            )
        return self


def read(content: bytes, stamp: Stamp) -> Reading:
    """Read a file of assets.

    Raises:
        IngestError: a row is wrong or repeated.

    """
    found = ((number, parsed(Asset, number, cells, stamp)) for number, cells in csv_rows(content, COLUMNS))
    rows = distinct(found, lambda row: (row.source_id, row.gas, row.start_time), "source_id")
    return Reading(rows=rows)


PLANTED_FACTOR, MONTHS, PLANTED_T = Decimal("2.1"), 12, 100_000


def generate(seed: int) -> bytes:
    """A year of one steel works whose emissions are planted, whatever the seed."""
    numbers = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    rows = []
    for pair in range(MONTHS // 2):
        more = numbers.randint(0, PLANTED_T // 2)
        for month, tonnes in ((2 * pair + 1, PLANTED_T + more), (2 * pair + 2, PLANTED_T - more)):
            start = datetime(2026, month, 1, tzinfo=UTC)
            end = datetime(2026 + month // 12, month % 12 + 1, 1, tzinfo=UTC)
            rows.append(
                (
                    *("SYN-1", "Synthetic works", "KOR", "manufacturing", "iron-and-steel", "co2e_100yr"),
                    *(
                        start.isoformat(),
                        end.isoformat(),
                        tonnes,
                        "t of steel",
                        PLANTED_FACTOR,
                        "t CO2e per t of steel",
                    ),
                    *(tonnes * PLANTED_FACTOR, "medium", "low", "low", "modelled"),
                )
            )
    return written_csv(COLUMNS, rows)


SOURCE = Source(
    dataset="asset_emissions",
    description="Modelled emissions of single assets with their words of confidence.",
    model=Asset,
    read=read,
    generate=generate,
)
