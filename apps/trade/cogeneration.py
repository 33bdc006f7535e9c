"""What heat and electricity of one cogeneration unit emit: its emissions shared by how well each could be made alone.

Pure, in decimals. Equations 47 to 52 of Implementing Regulation (EU) 2025/2547, Annex III, A.2.2. The reference
efficiencies are those of its Annex II, point G, by fuel and year of construction; the caller gives them.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext

from apps.trade.emissions import LEGAL, ONE, ZERO

TJ_PER_MWH = Decimal("0.0036")
# Where efficiencies can neither be determined nor read in the unit's documents: conservative standard values.
STANDARD_HEAT = Decimal("0.55")
STANDARD_POWER = Decimal("0.25")


class CogenerationError(ValueError):
    """Factors that cannot be given; names the figure and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One unit in one year: emissions (fuels, flue gas cleaning), net heat, electricity, and fuel energy if known."""

    emissions_t: Decimal
    heat_tj: Decimal
    power_mwh: Decimal
    fuel_tj: Decimal | None
    reference_heat: Decimal
    reference_power: Decimal


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Emission factors of heat and electricity; together they give back the unit's emissions."""

    heat_t_per_tj: Decimal
    power_t_per_mwh: Decimal
    heat_share: Decimal


def factors(unit: Unit) -> Factors:
    """Factors of heat (51) and electricity (52).

    Raises:
        CogenerationError: a figure is not above zero, or the unit gives more energy than it takes.

    """
    for name in ("heat_tj", "power_mwh", "reference_heat", "reference_power"):
        if getattr(unit, name) <= 0:
            raise CogenerationError(f"{name}: not above 0; a unit that makes one of the two alone is no cogeneration")
    if unit.emissions_t < 0:
        raise CogenerationError("emissions_t: below 0; give the emissions of its fuels and flue gas cleaning")
    with localcontext(LEGAL):
        heat, power = _efficiencies(unit)
        by_heat, by_power = heat / unit.reference_heat, power / unit.reference_power
        share = by_heat / (by_heat + by_power)
        return Factors(
            heat_t_per_tj=unit.emissions_t * share / unit.heat_tj,
            power_t_per_mwh=unit.emissions_t * (ONE - share) / unit.power_mwh,
            heat_share=share,
        )


def _efficiencies(unit: Unit) -> tuple[Decimal, Decimal]:
    """Of heat (47) and of electricity (48); the standard values where the fuel's energy is not known."""
    if unit.fuel_tj is None:
        return STANDARD_HEAT, STANDARD_POWER
    power_tj = unit.power_mwh * TJ_PER_MWH
    if unit.fuel_tj <= ZERO or unit.heat_tj + power_tj > unit.fuel_tj:
        raise CogenerationError(
            f"fuel_tj: {unit.fuel_tj} TJ gave {unit.heat_tj + power_tj} TJ of heat and electricity; correct one of them"
        )
    return unit.heat_tj / unit.fuel_tj, power_tj / unit.fuel_tj
