"""`python -m apps.trade grid-factor` and `chp-factor`: what a MWh or a TJ emitted, for a disclosure to state."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from apps.trade.cogeneration import CogenerationError, Unit
from apps.trade.cogeneration import factors as cogeneration_factors
from apps.trade.defaults import NUMBER
from apps.trade.grid_factors import GridFactorError, default_factor_t_per_mwh, yearly_factor_t_per_mwh
from apps.trade.tables import failed, rows_of_query
from apps.trade.views import plain

# Sums stay whole numbers of 1e-9 MW x minute, so that no float rounds them.
ENERGY = """
    SELECT zone_eic, year(start AT TIME ZONE 'UTC'), production_type,
        sum(generation_mw::DECIMAL(27, 9) * resolution_min), bool_or(synthetic)
    FROM read_parquet(?) GROUP BY ALL ORDER BY ALL
"""
FACTORS = "SELECT production_type, factor_t_per_mwh FROM read_csv(?, all_varchar = true)"
MINUTES_PER_HOUR = 60


def grid_factor(
    *,
    generation: Annotated[Path, typer.Option(help="Parquet file of grid_generation")],
    factors: Annotated[Path, typer.Option(help="CSV of your own: production_type, factor_t_per_mwh")],
    default_for: Annotated[
        int | None, typer.Option(help="year of import: also the mean of five years (eq. 40)")
    ] = None,
) -> None:
    """Emission factor of every zone and year, t CO2 per MWh, weighted by energy (2025/2547, equation 39)."""
    try:
        given = {str(kind): Decimal(value) for kind, value in rows_of_query(FACTORS, str(factors), "--factors")}
    except (InvalidOperation, TypeError) as error:
        failed(f"--factors: a factor is no number ({error}); correct the file")
    energy: dict[tuple[str, int], dict[str, Decimal]] = {}
    synthetic: set[tuple[str, int]] = set()
    for zone, year, kind, megawatt_minutes, made_up in rows_of_query(ENERGY, str(generation), "--generation"):
        energy.setdefault((zone, year), {})[kind] = Decimal(megawatt_minutes) / MINUTES_PER_HOUR
        if made_up:
            synthetic.add((zone, year))
    yearly: dict[str, dict[int, Decimal]] = {}
    try:
        for (zone, year), by_kind in energy.items():
            yearly.setdefault(zone, {})[year] = yearly_factor_t_per_mwh(by_kind, given)
            _tell(zone, str(year), yearly[zone][year], made_up=(zone, year) in synthetic)
        if default_for is None:
            return
        for zone, of_zone in yearly.items():
            made_up = any((zone, year) in synthetic for year in of_zone)
            _tell(zone, f"default for {default_for}", default_factor_t_per_mwh(of_zone, default_for), made_up=made_up)
    except GridFactorError as error:
        failed(f"--factors, --generation: {error}")


def _tell(zone: str, what: str, factor_t_per_mwh: Decimal, *, made_up: bool) -> None:
    label = " (synthetic)" if made_up else ""
    typer.echo(f"{zone} {what}: {plain(round(factor_t_per_mwh, 9))} t CO2 per MWh{label}")


def chp_factor(
    *,
    emissions_t: Annotated[str, typer.Option(help="of its fuels and flue gas cleaning, t CO2")],
    heat_tj: Annotated[str, typer.Option(help="net heat, TJ")],
    power_mwh: Annotated[str, typer.Option(help="electricity, MWh")],
    reference_heat: Annotated[str, typer.Option(help="efficiency of a boiler of this fuel (Annex II, G), as 0.9")],
    reference_power: Annotated[str, typer.Option(help="efficiency of electricity of this fuel alone, as 0.5")],
    fuel_tj: Annotated[str | None, typer.Option(help="energy of its fuels; without it standard values hold")] = None,
) -> None:
    """Emission factors of heat and electricity of one cogeneration unit (2025/2547, equations 47 to 52)."""
    unit = Unit(
        emissions_t=_number("--emissions-t", emissions_t),
        heat_tj=_number("--heat-tj", heat_tj),
        power_mwh=_number("--power-mwh", power_mwh),
        fuel_tj=_number("--fuel-tj", fuel_tj) if fuel_tj is not None else None,
        reference_heat=_number("--reference-heat", reference_heat),
        reference_power=_number("--reference-power", reference_power),
    )
    try:
        found = cogeneration_factors(unit)
    except CogenerationError as error:
        failed(str(error))
    typer.echo(f"heat: {plain(round(found.heat_t_per_tj, 9))} t CO2 per TJ")
    typer.echo(f"electricity: {plain(round(found.power_t_per_mwh, 9))} t CO2 per MWh")


def _number(option: str, text: str) -> Decimal:
    if not NUMBER.fullmatch(text):
        failed(f"{option}: {text!r} is no number; give digits and a point")
    return Decimal(text)
