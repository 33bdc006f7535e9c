"""A whole is shared out without rest: meters over processes, emissions over co-products."""

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.trade.attribution import (
    AttributionError,
    Output,
    attributed_activity_t,
    reconciled,
    reconciliation_factor,
)
from apps.trade.disclosures import Disclosure, DisclosureRow
from apps.trade.emissions import LEGAL
from apps.trade.rule_packs import all_packs

H2, CL2, NAOH = Decimal("2.016"), Decimal("70.906"), Decimal("39.997")
amounts = st.decimals(min_value="0.001", max_value="1000000", places=3)


def output(mass_t: str, molar: Decimal | None) -> Output:
    return Output(mass_t=Decimal(mass_t), molar_mass_g_per_mol=molar)


def test_the_meters_of_processes_are_fitted_to_that_of_the_installation() -> None:
    factor = reconciliation_factor(Decimal(110), [Decimal(60), Decimal(40)])
    assert factor == Decimal("1.1")
    assert [reconciled(part, factor) for part in (Decimal(60), Decimal(40))] == [66, 44]


@given(whole=amounts, parts=st.lists(amounts, min_size=1, max_size=6))
def test_fitted_parts_sum_to_the_whole(whole: Decimal, parts: list[Decimal]) -> None:
    with localcontext(LEGAL):
        factor = reconciliation_factor(whole, parts)
        total = sum((reconciled(part, factor) for part in parts), Decimal(0))
        assert abs(total / whole - 1) < Decimal("1e-50")


@pytest.mark.parametrize(("whole", "parts"), [("5", ["0"]), ("5", ["3", "-3"]), ("5", ["-1"]), ("-5", ["1"])])
def test_a_whole_that_its_parts_cannot_make_is_refused(whole: str, parts: list[str]) -> None:
    with pytest.raises(AttributionError, match=f"the installation's {whole} cannot be shared out over processes"):
        reconciliation_factor(Decimal(whole), [Decimal(each) for each in parts])


@pytest.mark.parametrize(("whole", "parts", "factor"), [("0", ["4"], "0"), ("2", ["1"], "2"), ("0.5", ["0.25"], "2")])
def test_small_wholes_are_wholes_too(whole: str, parts: list[str], factor: str) -> None:
    assert reconciliation_factor(Decimal(whole), [Decimal(each) for each in parts]) == Decimal(factor)


def test_carbon_that_leaves_is_fitted_with_its_sign() -> None:
    assert reconciliation_factor(Decimal(-12), [Decimal(-10)]) == Decimal("1.2")


def test_a_mole_of_each_co_product_bears_the_same() -> None:
    """Chlor-alkali: one mole of hydrogen, one of chlorine, two of sodium hydroxide: hydrogen bears a quarter."""
    outputs = [output("2.016", H2), output("70.906", CL2), output("79.994", NAOH)]
    with localcontext(LEGAL):
        by_tonne = [1 / attributed_activity_t(each, [o for o in outputs if o is not each]) for each in outputs]
        shares = [share * each.mass_t for share, each in zip(by_tonne, outputs, strict=True)]
    assert [round(each, 20) for each in shares] == [Decimal("0.25"), Decimal("0.25"), Decimal("0.5")]


def test_hydrogen_bears_far_less_by_mass_than_by_moles() -> None:
    by_moles = attributed_activity_t(output("2.016", H2), [output("70.906", CL2)])
    by_mass = attributed_activity_t(output("2.016", H2), [output("70.906", None)])
    assert by_moles == Decimal("4.032")
    assert by_mass == Decimal("72.922")


@pytest.mark.parametrize("unknown", [0, 1, 2])
def test_one_unknown_molar_mass_makes_all_share_by_mass(unknown: int) -> None:
    molar = [None if number == unknown else each for number, each in enumerate((H2, CL2, NAOH))]
    own, *others = (output(str(mass), each) for mass, each in zip((1, 2, 3), molar, strict=True))
    assert attributed_activity_t(own, others) == 6


def test_without_co_products_nothing_is_shared() -> None:
    with localcontext(LEGAL):
        assert attributed_activity_t(output("5", H2), []) == 5


@given(masses=st.lists(st.tuples(amounts, amounts), min_size=1, max_size=5))
def test_the_parts_of_all_co_products_are_the_whole(masses: list[tuple[Decimal, Decimal]]) -> None:
    outputs = [Output(mass_t=mass, molar_mass_g_per_mol=molar) for mass, molar in masses]
    with localcontext(LEGAL):
        shares = [
            each.mass_t / attributed_activity_t(each, outputs[:number] + outputs[number + 1 :])
            for number, each in enumerate(outputs)
        ]
        assert abs(sum(shares, Decimal(0)) - 1) < Decimal("1e-50")


GAS = {"kind": "combustion", "name": "gas", "amount_t": "100", "ncv_gj_per_t": "48", "factor_t_per_tj": "56.1"}
POWER = {"consumed_mwh": "1000", "factor_t_per_mwh": "0.5"}
CHLORINE = {"name": "chlorine", "mass_t": "70.906", "molar_mass_g_per_mol": "70.906"}


def product(name: str, cn_code: str, **changes: object) -> dict[str, Any]:
    base = {"name": name, "cn_codes": [cn_code], "activity_t": "2.016", "sources": [GAS], "electricity": POWER}
    return {**base, **changes}


def rows(*products: dict[str, Any], **changes: object) -> dict[tuple[str, str], DisclosureRow]:
    base = {"installation_id": "CELL-1", "country": "KR", "period": 2026, "provenance": "test"}
    disclosure = Disclosure.model_validate({**base, "products": products, **changes})
    return {(row.cn_code, row.rule_pack): row for row in disclosure.to_rows(all_packs())}


def test_hydrogen_of_a_chlor_alkali_plant_bears_half_of_it_beside_chlorine_alone() -> None:
    alone = rows(product("cell", "28041000"))["28041000", "eu-2025-2547"]
    shared = rows(product("cell", "28041000", molar_mass_g_per_mol="2.016", co_products=[CHLORINE]))
    assert list(shared) == [("28041000", "eu-2025-2547")]  # the transitional pack states no rule for it
    row = shared["28041000", "eu-2025-2547"]
    assert abs(row.see_direct_t_per_t * 2 - alone.see_direct_t_per_t) <= Decimal("1e-17")
    assert row.activity_t == alone.activity_t


def test_indirect_emissions_and_precursors_are_shared_too() -> None:
    ammonia = {
        "kind": "bought", "name": "ammonia", "cn_code": "28141000", "amount_t": "10", "direct_t_per_t": "2",
        "electricity_mwh_per_t": "0", "factor_t_per_mwh": "0", "is_default": True,
    }  # fmt: skip
    urea = product("urea", "31021010", precursors=[ammonia], molar_mass_g_per_mol="60.056")
    melamine = {"name": "melamine", "mass_t": "126.12", "molar_mass_g_per_mol": "126.12"}
    alone = rows(urea)["31021010", "eu-2025-2547"]
    shared = rows({**urea, "co_products": [melamine]})["31021010", "eu-2025-2547"]
    moles = Decimal("2.016") / Decimal("60.056")
    for name in ("see_direct_t_per_t", "see_indirect_t_per_t"):
        assert abs(getattr(shared, name) - getattr(alone, name) * moles / (moles + 1)) <= Decimal("1e-15")
    assert shared.default_share == alone.default_share


def test_steel_shares_with_nothing_by_moles() -> None:
    with pytest.raises(ValueError, match="product mill: co_products share by moles for chemicals"):
        rows(product("mill", "72081000", co_products=[CHLORINE]))


def test_a_source_is_fitted_to_the_installations_meter_in_every_process_and_no_other_source_is() -> None:
    other = {**GAS, "name": "oil"}
    slab, plate = product("slab", "72189911", sources=[GAS, other]), product("plate", "72081000")
    before = rows(slab, plate)
    after = rows(slab, plate, installation_totals=[{"data": "gas", "total": "220"}])
    key = ("72081000", "eu-2025-2547")
    assert abs(after[key].see_direct_t_per_t / before[key].see_direct_t_per_t - Decimal("1.1")) <= Decimal("1e-17")
    key = ("72189911", "eu-2025-2547")
    assert abs(after[key].see_direct_t_per_t / before[key].see_direct_t_per_t - Decimal("1.05")) <= Decimal("1e-17")


def test_electricity_is_fitted_by_its_own_name() -> None:
    cement = product("cement", "25232900", clinker_t_per_t="0.9")
    before = rows(cement)["25232900", "eu-2025-2547"]
    after = rows(cement, installation_totals=[{"data": "electricity", "total": "900"}])["25232900", "eu-2025-2547"]
    assert after.see_direct_t_per_t == before.see_direct_t_per_t
    assert abs(after.see_indirect_t_per_t / before.see_indirect_t_per_t - Decimal("0.9")) <= Decimal("1e-17")


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        ([{"data": "coal", "total": "5"}], "installation_totals: coal: no product has a source of this name"),
        ([{"data": "gas", "total": "-5"}], r"installation_totals: gas: the installation's -5 cannot be shared out"),
        ([{"data": "gas", "total": "5"}] * 2, "installation_totals: gas occurs twice; remove one"),
    ],
)
def test_a_total_that_fits_no_process_is_refused_by_name(totals: list[dict[str, str]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rows(product("mill", "72081000"), installation_totals=totals)


def test_what_was_measured_as_emissions_is_no_metered_amount() -> None:
    measured = {"kind": "measured", "name": "stack", "co2e_t": "5"}
    with pytest.raises(ValidationError, match="stack: no product has a source of this name"):
        rows(product("mill", "72081000", sources=[measured]), installation_totals=[{"data": "stack", "total": "6"}])
