"""`python -m apps.trade grid-factor`: from telemetry in a member's table to the factor of a zone and year."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

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
