"""Which footprints are refused: those whose parts do not add up, PACT's own examples among them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from apps.trade.pact import decimals
from apps.trade.pact.footprint import CarbonFootprint, ProductFootprint
from apps.trade.pact.identities import years_after

SOUND: dict[str, Any] = {
    "declaredUnitOfMeasurement": "kilogram",
    "declaredUnitAmount": "1",
    "productMassPerDeclaredUnit": "1",
    "referencePeriodStart": "2026-01-01T00:00:00Z",
    "referencePeriodEnd": "2027-01-01T00:00:00Z",
    "geographyCountry": "KR",
    "pcfExcludingBiogenicUptake": "1.7",
    "pcfIncludingBiogenicUptake": "1.7",
    "fossilGhgEmissions": "1.7",
    "fossilCarbonContent": "0",
    "ipccCharacterizationFactors": ["AR6"],
    "crossSectoralStandards": ["PACT-3.0"],
    "exemptedEmissionsPercent": "0",
}
WHOLE: dict[str, Any] = {
    "id": "b1f8c0d2-7c4e-4e67-9a9c-2e4c12345678",
    "specVersion": "3.0.0",
    "created": "2027-02-01T00:00:00Z",
    "status": "Active",
    "companyName": "Mill",
    "companyIds": ["urn:company:example:mill"],
    "productDescription": "Coil",
    "productIds": ["urn:gtin:1"],
    "productNameCompany": "Coil",
    "pcf": SOUND,
}
AMOUNTS = st.decimals(0, 10**6, places=6).map(str)
UPTAKES = st.decimals(-(10**6), 0, places=6).map(lambda each: str(each) if each else "0")


def carbon(**changes: object) -> CarbonFootprint:
    return CarbonFootprint.model_validate({**SOUND, **changes})


def refused(said: str, **changes: object) -> None:
    with pytest.raises(ValidationError, match=said):
        carbon(**changes)


def test_a_footprint_that_adds_up_is_taken() -> None:
    assert carbon().pcf_excluding_biogenic_uptake == Decimal("1.7")


# Numbers of the specification's own examples, as the handbook records them: none of them adds up.
@pytest.mark.parametrize(
    ("total", "with_uptake", "parts"),
    [
        (
            "0.384",
            "-1.23",
            {
                "fossilGhgEmissions": "0.35",
                "landManagementFossilGhgEmissions": "0.03",
                "landManagementBiogenicCO2Emissions": "0.004",
                "biogenicNonCO2Emissions": "0.002",
                "biogenicCO2Uptake": "-1.61",
            },
        ),
        (
            "5.14",
            "-14.22",
            {
                "fossilGhgEmissions": "4.78",
                "landManagementFossilGhgEmissions": "0.36",
                "packagingGhgEmissions": "0.58",
                "biogenicNonCO2Emissions": "0.024",
                "biogenicCO2Uptake": "-19.36",
            },
        ),
        ("0.42", "0.42", {"fossilGhgEmissions": "0.421"}),
        ("1.63", "1.63", {"fossilGhgEmissions": "1.85", "ccsTechnologicalCO2Capture": "-1.5"}),
    ],
)
def test_the_specifications_own_examples_are_refused(total: str, with_uptake: str, parts: dict[str, str]) -> None:
    stated = {"pcfExcludingBiogenicUptake": total, "pcfIncludingBiogenicUptake": with_uptake}
    refused(f"pcfExcludingBiogenicUptake: {total} is stated and the parts add up to", **stated, **parts)


@settings(deadline=None)
@given(parts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS, UPTAKES), uptake=UPTAKES, off=st.integers(-5, 5))
def test_a_total_is_taken_exactly_when_it_is_the_sum_of_its_parts(
    parts: tuple[str, str, str, str], uptake: str, off: int
) -> None:
    total = sum(map(Decimal, parts), Decimal(0))
    stated = total + Decimal(off).scaleb(-6)
    names = ("fossilGhgEmissions", "landUseChangeGhgEmissions", "biogenicNonCO2Emissions")
    changes = {
        **dict(zip((*names, "landManagementBiogenicCO2Removals"), parts, strict=True)),
        "biogenicCO2Uptake": uptake,
        "pcfExcludingBiogenicUptake": f"{stated:f}",
        "pcfIncludingBiogenicUptake": f"{stated + Decimal(uptake):f}",
    }
    if off:
        refused("state the sum of the parts", **changes)
    else:
        assert carbon(**changes).pcf_excluding_biogenic_uptake == total


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pcfIncludingBiogenicUptake": "1.6"}, "pcfIncludingBiogenicUptake: 1.6 is stated"),
        ({"aircraftGhgEmissions": "1.8"}, "less than the aircraft and land management emissions in it"),
        ({"packagingEmissionsIncluded": False, "packagingGhgEmissions": "0"}, "packagingGhgEmissions: stated although"),
        (
            {"ccsTechnologicalCO2CaptureIncluded": False, "ccsTechnologicalCO2Capture": "0"},
            "ccsTechnologicalCO2Capture: stated",
        ),
        ({"geographyCountrySubdivision": "KR-11"}, "more than one granularity"),
        ({"referencePeriodEnd": "2026-01-01T00:00:00Z"}, "not after referencePeriodStart"),
        ({"productMassPerDeclaredUnit": "2"}, "the unit is the kilogram"),
        ({"exemptedEmissionsPercent": "100.1"}, "exemptedEmissionsPercent"),
        ({"dqi": {"technologicalDQR": "5.1", "geographicalDQR": "1", "temporalDQR": "1"}}, "technologicalDQR"),
        ({"referencePeriodStart": "2026-01-01T00:00:00"}, "timezone"),
        ({"declaredUnitOfMeasurement": "tonne"}, "declaredUnitOfMeasurement"),
        ({"ipccCharacterizationFactors": []}, "ipccCharacterizationFactors"),
    ],
)
def test_what_contradicts_itself_is_refused_by_property(changes: dict[str, object], said: str) -> None:
    refused(said, **changes)


# The specification's own pattern, which is not anchored, accepts the first four of these.
@pytest.mark.parametrize(
    "text", ["-0.5", "abc0.5", "5abc", "1e3", "0", "-0", "", "1.", ".5", " 1", "1\n", "\N{ARABIC-INDIC DIGIT ONE}"]
)
def test_what_is_not_a_positive_decimal_is_refused(text: str) -> None:
    refused("declaredUnitAmount", declaredUnitAmount=text, productMassPerDeclaredUnit="1")


# Of a number at most 0 it accepts the first three.
@pytest.mark.parametrize("text", ["10", "100", "-1abc", "0.1", "+1"])
def test_what_is_above_zero_is_no_uptake(text: str) -> None:
    refused("biogenicCO2Uptake", biogenicCO2Uptake=text)


@pytest.mark.parametrize("number", [1, 1.7, True, None])
def test_a_number_that_is_no_string_is_refused(number: object) -> None:
    refused("fossilGhgEmissions", fossilGhgEmissions=number)


@settings(deadline=None)
@given(value=st.decimals(-(10**9), 10**9, places=9))
def test_a_decimal_keeps_its_value_as_text(value: Decimal) -> None:
    exact: TypeAdapter[Decimal] = TypeAdapter(decimals.Exact)
    assert Decimal(exact.dump_python(exact.validate_python(f"{value:f}"))) == value


def test_a_footprint_is_valid_for_three_years_unless_it_says_less() -> None:
    footprint = ProductFootprint.model_validate(WHOLE)
    assert footprint.validity() == (datetime(2027, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"validityPeriodEnd": "2030-01-02T00:00:00Z"}, "more than 3 years after referencePeriodEnd"),
        ({"validityPeriodEnd": "2027-01-01T00:00:00Z"}, "not after validityPeriodStart"),
        ({"precedingPfIds": [WHOLE["id"]]}, "contains the footprint's own id"),
        ({"companyIds": ["mill"]}, "companyIds"),
        ({"status": "active"}, "status"),
    ],
)
def test_a_footprint_that_outlives_its_data_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ProductFootprint.model_validate({**WHOLE, **changes})


def test_three_years_after_a_leap_day_is_the_day_before_march() -> None:
    assert years_after(datetime(2024, 2, 29, tzinfo=UTC), 3) == datetime(2027, 2, 28, tzinfo=UTC)
