"""Heat and electricity of one unit share its emissions without rest, by how well each could be made alone."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from apps.trade.cli import app
from apps.trade.cogeneration import CogenerationError, Unit, factors

# 100 TJ of fuel give 45 TJ of heat and 10,000 MWh, which are 36 TJ.
UNIT = Unit(
    emissions_t=Decimal(5610),
    heat_tj=Decimal(45),
    power_mwh=Decimal(10_000),
    fuel_tj=Decimal(100),
    reference_heat=Decimal("0.9"),
    reference_power=Decimal("0.4"),
)
amounts = st.decimals(min_value="0.1", max_value=10_000, places=2)


def test_a_unit_is_shared_by_its_efficiencies_over_the_references() -> None:
    """0.45 / 0.9 is a half and 0.36 / 0.4 nine tenths: heat bears 5 of 14 parts."""
    found = factors(UNIT)
    assert round(found.heat_share * 14, 20) == 5
    assert round(found.heat_t_per_tj * 45 * 14 / 5, 20) == 5610
    assert round(found.power_t_per_mwh * 10_000 * 14 / 9, 20) == 5610


def test_without_the_fuels_energy_the_standard_efficiencies_hold() -> None:
    found = factors(replace(UNIT, fuel_tj=None, reference_heat=Decimal("0.55"), reference_power=Decimal("0.5")))
    assert round(found.heat_share * 3, 20) == 2


def test_a_better_reference_for_heat_leaves_it_a_smaller_share() -> None:
    assert factors(replace(UNIT, reference_heat=Decimal("0.95"))).heat_share < factors(UNIT).heat_share


@given(emissions_t=amounts, heat_tj=amounts, power_mwh=amounts, loss=st.decimals(1, 5, places=2))
def test_both_factors_give_back_the_units_emissions(
    emissions_t: Decimal, heat_tj: Decimal, power_mwh: Decimal, loss: Decimal
) -> None:
    fuel_tj = (heat_tj + power_mwh) * loss
    unit = replace(UNIT, emissions_t=emissions_t, heat_tj=heat_tj, power_mwh=power_mwh, fuel_tj=fuel_tj)
    found = factors(unit)
    again = found.heat_t_per_tj * heat_tj + found.power_t_per_mwh * power_mwh
    assert abs(again / emissions_t - 1) < Decimal("1e-20")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"heat_tj": Decimal(0)}, "heat_tj: not above 0"),
        ({"power_mwh": Decimal(0)}, "power_mwh: not above 0"),
        ({"reference_heat": Decimal(0)}, "reference_heat: not above 0"),
        ({"reference_power": Decimal(-1)}, "reference_power: not above 0"),
        ({"emissions_t": Decimal(-1)}, "emissions_t: below 0"),
        ({"fuel_tj": Decimal(0)}, "fuel_tj: 0 TJ gave 81.0000 TJ"),
        ({"fuel_tj": Decimal(80)}, "fuel_tj: 80 TJ gave 81.0000 TJ of heat and electricity; correct one of them"),
    ],
)
def test_a_unit_that_cannot_be_is_refused_by_its_figure(changes: dict[str, Decimal], said: str) -> None:
    with pytest.raises(CogenerationError, match=said):
        factors(replace(UNIT, **changes))


def test_a_unit_without_losses_or_emissions_is_possible() -> None:
    assert factors(replace(UNIT, fuel_tj=Decimal(81), emissions_t=Decimal(0))).heat_t_per_tj == 0


def test_the_command_says_both_factors() -> None:
    given = ["--emissions-t", "5610", "--heat-tj", "45", "--power-mwh", "10000", "--fuel-tj", "100"]
    shown = CliRunner().invoke(app, ["chp-factor", *given, "--reference-heat", "0.9", "--reference-power", "0.4"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == ["heat: 44.523809524 t CO2 per TJ", "electricity: 0.360642857 t CO2 per MWh"]
    wrong = CliRunner().invoke(app, ["chp-factor", *given, "--reference-heat", "x", "--reference-power", "0.4"])
    assert (wrong.exit_code, wrong.stderr) == (2, "--reference-heat: 'x' is no number; give digits and a point\n")
    none = CliRunner().invoke(app, ["chp-factor", *given, "--reference-heat", "0", "--reference-power", "0.4"])
    assert none.exit_code == 2
    assert "reference_heat: not above 0" in none.stderr
