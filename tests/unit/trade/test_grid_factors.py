"""Grid factors: weighted by energy, over exactly the five years of the rule, and never from a partial mix."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from apps.trade.cli import app
from apps.trade.grid_factors import GridFactorError, default_factor_t_per_mwh, yearly_factor_t_per_mwh
from apps.trade.ingests import grid
from apps.trade.ingests.__main__ import main as ingest

FACTORS = {"gas": Decimal("0.4"), "wind": Decimal(0)}


def test_the_mean_is_weighted_by_energy_and_not_plain() -> None:
    assert yearly_factor_t_per_mwh({"gas": Decimal(1), "wind": Decimal(3)}, FACTORS) == Decimal("0.1")


@given(gas=st.decimals(0, 10**6, places=3), wind=st.decimals(1, 10**6, places=3))
def test_a_mix_lies_between_its_parts(gas: Decimal, wind: Decimal) -> None:
    assert 0 <= yearly_factor_t_per_mwh({"gas": gas, "wind": wind}, FACTORS) <= Decimal("0.4")


def test_a_type_without_a_factor_is_refused_and_not_taken_for_clean() -> None:
    with pytest.raises(GridFactorError, match=r"^coal: no emission factor given"):
        yearly_factor_t_per_mwh({"gas": Decimal(1), "coal": Decimal(1)}, FACTORS)


def test_a_year_without_generation_has_no_factor() -> None:
    with pytest.raises(GridFactorError, match="nothing was generated"):
        yearly_factor_t_per_mwh({"gas": Decimal(0)}, FACTORS)


def test_the_default_is_the_mean_of_the_five_years_before_the_last() -> None:
    yearly = {year: Decimal(year - 2018) for year in range(2019, 2027)}
    assert default_factor_t_per_mwh(yearly, 2026) == Decimal(4)  # 2020 to 2024


def test_a_missing_year_is_named() -> None:
    yearly = {year: Decimal(1) for year in (2020, 2022, 2024)}
    with pytest.raises(GridFactorError, match=r"^2021, 2023: no factor; the mean for 2026 needs five years"):
        default_factor_t_per_mwh(yearly, 2026)


def test_the_command_gives_the_planted_mix(tmp_path: Path) -> None:
    out, factors = tmp_path / "grid.parquet", tmp_path / "factors.csv"
    assert ingest(["grid_generation", "--synthetic", "--seed", "7", "--out", str(out)]) == 0
    factors.write_text("production_type,factor_t_per_mwh\nNuclear,0\nFossil Gas,0.4\nWind Onshore,0\nSolar,0\n")
    result = CliRunner().invoke(app, ["grid-factor", "--generation", str(out), "--factors", str(factors)])
    planted = Decimal("0.4") * grid.PLANTED_MW["Fossil Gas"] / sum(grid.PLANTED_MW.values())
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("10YSYNTHETIC---Z 2026: 0.114285714")
    assert str(planted)[:11] in result.stdout
    lacking = [*("grid-factor", "--generation", str(out), "--factors", str(factors)), "--default-for", "2026"]
    assert "2020, 2021, 2022, 2023, 2024: no factor" in CliRunner().invoke(app, lacking).stderr
    factors.write_text("production_type,factor_t_per_mwh\nNuclear,0\n")
    refused = CliRunner().invoke(app, ["grid-factor", "--generation", str(out), "--factors", str(factors)])
    assert (refused.exit_code, "Fossil Gas: no emission factor given" in refused.stderr) == (2, True)
