"""What must hold between the numbers of one footprint. The specification's own examples break these rules.

Exact, in decimals: whoever rounds parts states the sum of the rounded parts.
Source: PACT Technical Specifications v3, data model, properties pcfExcludingBiogenicUptake and following.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from apps.trade.emissions import LEGAL, ZERO
from apps.trade.views import plain

if TYPE_CHECKING:
    from apps.trade.pact.footprint import CarbonFootprint, ProductFootprint

# The terms of the total without uptake, in the specification's formula. Emissions from aircraft, packaging, outbound
# logistics and fossil land management are contained in these, so they are not terms of their own.
TERMS = (
    "fossil_ghg_emissions",
    "land_use_change_ghg_emissions",
    "land_management_biogenic_co2_emissions",
    "land_management_biogenic_co2_removals",
    "biogenic_non_co2_emissions",
    "technological_co2_removals",
    "ccs_technological_co2_capture",
)
CONTAINED = ("land_management_fossil_ghg_emissions", "aircraft_ghg_emissions")
CAPTURE = ("ccs_technological_co2_capture", "technological_co2_removals", "technological_co2_capture_origin")
GEOGRAPHIES = ("geography_region_or_subregion", "geography_country", "geography_country_subdivision")
VALID_YEARS = 3


def broken(pcf: "CarbonFootprint") -> Iterator[str]:
    """Every identity that a carbon footprint breaks, as a sentence with the property and the remedy."""
    with localcontext(LEGAL):
        yield from _sums(pcf)
    if pcf.packaging_emissions_included is False and pcf.packaging_ghg_emissions is not None:
        yield "packagingGhgEmissions: stated although packagingEmissionsIncluded is false; leave it out"
    if pcf.ccs_technological_co2_capture_included is False:
        for name in CAPTURE:
            if getattr(pcf, name) is not None:
                yield f"{_alias(pcf, name)}: stated although ccsTechnologicalCO2CaptureIncluded is false; leave it out"
    stated = [_alias(pcf, name) for name in GEOGRAPHIES if getattr(pcf, name) is not None]
    if len(stated) > 1:
        yield f"{', '.join(stated)}: more than one granularity; state one, or none for a global footprint"
    if pcf.reference_period_end <= pcf.reference_period_start:
        yield "referencePeriodEnd: not after referencePeriodStart; correct the period"
    if (
        pcf.declared_unit_of_measurement == "kilogram"
        and pcf.product_mass_per_declared_unit != pcf.declared_unit_amount
    ):
        yield "productMassPerDeclaredUnit: not the declared amount, though the unit is the kilogram; state it again"


def broken_validity(footprint: "ProductFootprint") -> Iterator[str]:
    """Every rule on ids and validity that a footprint breaks, as `broken`."""
    latest = years_after(footprint.pcf.reference_period_end, VALID_YEARS)
    start, end = footprint.validity()
    if end > latest:
        yield f"validityPeriodEnd: more than {VALID_YEARS} years after referencePeriodEnd; at most {latest.isoformat()}"
    if end <= start:
        yield "validityPeriodEnd: not after validityPeriodStart; correct the period"
    if footprint.id in (footprint.preceding_pf_ids or ()):
        yield "precedingPfIds: contains the footprint's own id; list earlier ones only"


def years_after(instant: datetime, years: int) -> datetime:
    """The same day some years on; 29 February becomes 28 February."""
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:
        return (instant - timedelta(days=1)).replace(year=instant.year + years)


def _sums(pcf: "CarbonFootprint") -> Iterator[str]:
    parts = sum((_stated(pcf, name) for name in TERMS), ZERO)
    if parts != pcf.pcf_excluding_biogenic_uptake:
        yield (
            f"pcfExcludingBiogenicUptake: {plain(pcf.pcf_excluding_biogenic_uptake)} is stated and the parts add up to "
            f"{plain(parts)}; state the sum of the parts"
        )
    with_uptake = pcf.pcf_excluding_biogenic_uptake + _stated(pcf, "biogenic_co2_uptake")
    if with_uptake != pcf.pcf_including_biogenic_uptake:
        yield (
            f"pcfIncludingBiogenicUptake: {plain(pcf.pcf_including_biogenic_uptake)} is stated and "
            f"pcfExcludingBiogenicUptake with biogenicCO2Uptake is {plain(with_uptake)}; state that sum"
        )
    contained = sum((_stated(pcf, name) for name in CONTAINED), ZERO)
    if contained > pcf.fossil_ghg_emissions:
        yield (
            f"fossilGhgEmissions: {plain(pcf.fossil_ghg_emissions)} is less than the aircraft and land management "
            f"emissions in it, {plain(contained)}; correct one of them"
        )


def _stated(pcf: "CarbonFootprint", name: str) -> Decimal:
    """A part, or 0 where none is stated: what is unknown cannot be in a total either."""
    value: Decimal | None = getattr(pcf, name)
    return ZERO if value is None else value


def _alias(pcf: "CarbonFootprint", name: str) -> str:
    return type(pcf).model_fields[name].alias or name
