"""Intervals of totals: they cover what is planted, and repeating a value makes nothing surer."""

import math
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.assessment import Book, Consignment, Disclosed, assess
from apps.trade.intervals import COVERAGE, DISCLOSED_SD, FALLBACK_SD, OWN_COUNTRY_SD, REACH, Part, interval_t, part_of
from apps.trade.rule_packs import all_packs, defaults_of

PARTS = st.lists(
    st.builds(Part, tonnes=st.floats(0.1, 1e6), log_sd=st.sampled_from([DISCLOSED_SD, OWN_COUNTRY_SD, FALLBACK_SD])),
    min_size=1,
    max_size=6,
)


def test_one_value_has_the_interval_of_its_lognormal() -> None:
    found = interval_t([Part(tonnes=100.0, log_sd=0.5)])
    assert found is not None
    assert found == pytest.approx((100 * math.exp(-REACH * 0.5), 100 * math.exp(REACH * 0.5)))
    assert pytest.approx(1.6448536, abs=1e-6) == REACH


@given(parts=PARTS, factor=st.floats(0.01, 100))
def test_the_interval_scales_with_the_tonnes(parts: list[Part], factor: float) -> None:
    one, many = interval_t(parts), interval_t([Part(tonnes=p.tonnes * factor, log_sd=p.log_sd) for p in parts])
    assert one is not None
    assert many == pytest.approx((one[0] * factor, one[1] * factor))


@given(parts=PARTS)
def test_the_order_does_not_matter_and_what_counts_nothing_changes_nothing(parts: list[Part]) -> None:
    assert interval_t([*reversed(parts), Part(tonnes=0.0, log_sd=0.8)]) == pytest.approx(interval_t(parts))


@given(parts=PARTS)
def test_the_interval_lies_above_nothing_and_holds_the_median_of_its_largest_part(parts: list[Part]) -> None:
    found = interval_t(parts)
    assert found is not None
    assert 0 < found[0] < found[1]
    assert found[1] > max(part.tonnes for part in parts)


def test_independent_values_are_surer_than_one_of_the_same_size() -> None:
    apart = interval_t([Part(tonnes=50.0, log_sd=0.5)] * 2)
    alone = interval_t([Part(tonnes=100.0, log_sd=0.5)])
    assert apart is not None
    assert alone is not None
    assert apart[1] / apart[0] < alone[1] / alone[0]


def test_where_nothing_is_counted_nothing_is_known() -> None:
    assert interval_t([]) is None
    assert interval_t([Part(tonnes=0.0, log_sd=0.5)]) is None


def test_planted_truth_lies_in_the_interval_as_often_as_it_says() -> None:
    numbers = random.Random(20261126)  # noqa: S311 - repeatable
    cells = 4000
    inside = 0
    for _ in range(cells):
        parts = [
            Part(tonnes=numbers.uniform(1, 100), log_sd=numbers.choice((DISCLOSED_SD, OWN_COUNTRY_SD, FALLBACK_SD)))
            for _ in range(numbers.randint(1, 4))
        ]
        truth = math.fsum(part.tonnes * math.exp(numbers.gauss(0, part.log_sd)) for part in parts)
        interval = interval_t(parts)
        assert interval is not None
        inside += interval[0] <= truth <= interval[1]
    assert abs(inside / cells - COVERAGE) <= 0.02


@pytest.mark.parametrize(
    ("country", "disclosed", "log_sd"),
    [("KR", True, DISCLOSED_SD), ("KR", False, OWN_COUNTRY_SD), ("VN", False, FALLBACK_SD)],
)
def test_a_disclosure_is_surer_than_a_countrys_value_and_that_than_the_value_of_others(
    country: str, disclosed: bool, log_sd: float
) -> None:
    row = Disclosed(
        installation_id="MILL-1",
        country=country,
        cn_code="72081000",
        period="2026",
        see_direct_t_per_t=Decimal("1.5"),
        see_indirect_t_per_t=Decimal(0),
        default_share=Decimal(0),
        rule_pack="eu-2025-2547",
        evidence_sha256="a" * 64,
        member="kr",
    )
    asked = Consignment(
        cn_code="72081000",
        country=country,
        installation_id="MILL-1" if disclosed else None,
        net_mass_kg=Decimal(1000),
        import_year=2026,
    )
    assessment = assess(asked, Book(all_packs(), defaults_of, [row]))
    assert part_of(assessment) == Part(tonnes=float(assessment.tonnes_counted), log_sd=log_sd)
