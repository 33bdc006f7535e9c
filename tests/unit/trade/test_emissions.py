"""Rules of one process; each test names the mistake that it catches."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade import emissions

TONNES = st.decimals(0, 10**8, places=6)
SHARES = st.decimals(0, 1, places=6)


def test_carbon_becomes_co2_by_the_regulations_factor_not_by_44_over_12() -> None:
    assert emissions.mass_balance_co2_t(Decimal(1), Decimal(1)) == Decimal("3.664")


def test_carbon_that_leaves_with_the_product_is_subtracted() -> None:
    assert emissions.mass_balance_co2_t(Decimal(-1000), Decimal("0.002")) == Decimal("-7.328")


def test_a_fuel_is_charged_by_energy_in_terajoules() -> None:
    assert emissions.combustion_co2_t(Decimal(88000), Decimal(25), Decimal(95)) == 209000


@given(mass_t=TONNES, biomass=SHARES)
def test_only_the_fossil_share_of_a_fuel_counts(mass_t: Decimal, biomass: Decimal) -> None:
    whole = emissions.combustion_co2_t(mass_t, Decimal(20), Decimal(83))
    assert emissions.combustion_co2_t(mass_t, Decimal(20), Decimal(83), biomass_share=biomass) == whole * (1 - biomass)


def test_unburnt_fuel_is_not_charged() -> None:
    burnt = emissions.combustion_co2_t(Decimal(100), Decimal(40), Decimal(78), oxidation=Decimal("0.98"))
    assert burnt == Decimal("305.76")


def test_a_material_is_charged_by_its_conversion() -> None:
    assert emissions.process_co2_t(Decimal(100), Decimal("0.44"), Decimal("0.9")) == Decimal("39.6")


def test_exported_waste_gas_relieves_by_two_thirds_and_imported_is_charged_in_full() -> None:
    assert emissions.waste_gas_exported_t(Decimal(12800)) == Decimal("478959.36")
    assert emissions.waste_gas_imported_t(Decimal(12800)) == Decimal(718080)


def test_heat_from_a_worse_boiler_costs_more() -> None:
    assert emissions.heat_t(Decimal(9), Decimal(56), Decimal("0.9")) == 560


@given(sources=st.lists(TONNES, max_size=5), relief=TONNES)
def test_attributed_emissions_are_never_below_zero(sources: list[Decimal], relief: Decimal) -> None:
    assert emissions.attributed_direct_t(sources, [-relief]) == max(Decimal(0), sum(sources, Decimal(0)) - relief)


def test_anode_effects_match_the_commissions_aluminium_example() -> None:
    minutes = Decimal("0.6039358521605075") * Decimal("0.25")
    found = emissions.perfluorocarbons_co2e_t(
        Decimal(200_000), minutes, Decimal("0.102"), Decimal("0.12"), Decimal("0.97")
    )
    assert round(found) == 25282


@given(mass_t=TONNES, biomass=SHARES)
def test_only_the_fossil_share_of_a_material_counts(mass_t: Decimal, biomass: Decimal) -> None:
    whole = emissions.mass_balance_co2_t(mass_t, Decimal("0.5"))
    assert emissions.mass_balance_co2_t(mass_t, Decimal("0.5"), biomass) == whole * (1 - biomass)


def test_nitrous_oxide_weighs_265_times_as_much_and_what_is_destroyed_nothing() -> None:
    assert emissions.nitrous_oxide_co2e_t(Decimal(10)) == 2650
    assert emissions.nitrous_oxide_co2e_t(Decimal(10), Decimal("0.9")) == 265


def test_electricity_is_charged_by_its_factor() -> None:
    assert emissions.electricity_t(Decimal(1000), Decimal("0.833")) == 833


def test_a_process_without_sources_emits_a_decimal_zero() -> None:
    assert isinstance(emissions.attributed_direct_t([], []), Decimal)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CO2_PER_CARBON", "3.664"),
        ("NATURAL_GAS_T_PER_TJ", "56.1"),
        ("WASTE_GAS_EXPORT_CORRECTION", "0.667"),
        ("GWP_N2O", "265"),
        ("GWP_CF4", "6630"),
        ("GWP_C2F6", "11100"),
    ],
)
def test_the_constants_of_the_regulation_are_its_own(name: str, value: str) -> None:
    assert getattr(emissions, name) == Decimal(value)
