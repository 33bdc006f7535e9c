"""Free allocation: the worked numbers of the handbook, and the mistakes that peers made."""

from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.certificates import certificates_t
from apps.trade.emissions import LEGAL
from apps.trade.free_allocation import (
    Allocation,
    Benchmark,
    Benchmarks,
    Input,
    NoBenchmarkError,
    Producer,
    allocations,
    complex_sefa_t_per_t,
    default_sefa_t_per_t,
    own_sefa_t_per_t,
    read_benchmark,
    scaled_t_per_t,
)
from apps.trade.precursors import Made, PrecursorError
from apps.trade.rule_packs import benchmarks_of

ONE = Decimal(1)
FACTORS = {2026: 9750, 2027: 9500, 2034: 0}


def benchmark(prefix: str, route: str, own: str | None, cumulated: str | None) -> Benchmark:
    return Benchmark(
        cn_prefix=prefix,
        good=prefix,
        route=route,
        own_process_t_per_t=None if own is None else Decimal(own),
        cumulated_t_per_t=None if cumulated is None else Decimal(cumulated),
    )


TABLE = Benchmarks(
    rows=(
        benchmark("7208", "C", "0.044", "1.370"),
        benchmark("7208", "E", "0.050", "0.300"),
        benchmark("720852", "C", "0.1", "2"),
        benchmark("7207", "C", "0.038", "1.225"),
        benchmark("7202", "", None, "1.361"),
        benchmark("7205", "", "0.2", None),
    ),
    years=(2026, 2027),
    cbam_factor_bp=FACTORS,
    correction=ONE,
)


def shipped() -> Benchmarks:
    found = benchmarks_of("eu-2025-2547")
    assert found is not None
    return found


def producer(**changes: object) -> Producer:
    base = Producer(name="bars", cn_code="72070000", route="C", activity_units=Decimal(3240))
    return replace(base, **changes)  # type: ignore[arg-type]


def one(made: Producer, *others: Producer, year: int = 2026) -> Allocation:
    return allocations({each.name: each for each in (made, *others)}, TABLE, year)[made.name]


def test_the_cross_checked_example_comes_out() -> None:
    bars = producer(bought=(Input(name="billet", cn_code="72070000", units=Decimal(3520)),))
    with localcontext(LEGAL):
        sefa = one(bars).sefa_t_per_t
        assert sefa is not None
        assert round(sefa, 5) == Decimal("1.33464")
        assert round(certificates_t(Decimal(620), Decimal("3.7637"), sefa)) == 1506


def test_ferro_manganese_of_unknown_origin_comes_out() -> None:
    assert round(default_sefa_t_per_t(shipped(), "72021180", 2026), 5) == Decimal("1.32698")


def test_the_factor_scales_the_benchmark_and_not_the_bill() -> None:
    sefa = scaled_t_per_t(ONE, 9750, ONE)
    assert certificates_t(ONE, Decimal("1.2"), sefa) == Decimal("0.225")  # a bill scaled instead: 1.2 x 2.5 % = 0.03


def test_the_correction_factor_counts() -> None:
    assert scaled_t_per_t(Decimal(2), 5000, Decimal("0.9")) == Decimal("0.9")


def test_without_data_the_highest_of_several_routes_counts() -> None:
    assert default_sefa_t_per_t(TABLE, "72081000", 2026) == Decimal("0.975") * Decimal("1.370")


def test_the_most_specific_heading_counts() -> None:
    assert default_sefa_t_per_t(TABLE, "72085210", 2026) == Decimal("1.95")
    assert own_sefa_t_per_t(TABLE, "72085210", "C", 2026) == Decimal("0.0975")


def test_with_data_the_makers_own_route_counts_and_only_column_a() -> None:
    assert own_sefa_t_per_t(TABLE, "72081000", "E", 2026) == Decimal("0.975") * Decimal("0.050")


def test_the_columns_are_not_each_other() -> None:
    row = TABLE.rows[0]
    assert (row.own_process_t_per_t, row.cumulated_t_per_t) == (Decimal("0.044"), Decimal("1.370"))


@pytest.mark.parametrize(
    ("code", "route", "said"),
    [
        ("73010000", "C", "73010000 is not in the table of benchmarks"),
        ("72081000", "D", r"72081000 has no benchmark for route \(D\); the table has \(C\), \(E\)$"),
        ("72021180", "", r"72021180 by route \(\) has no benchmark of column A in the table"),
    ],
)
def test_what_the_table_does_not_hold_is_said(code: str, route: str, said: str) -> None:
    with pytest.raises(NoBenchmarkError, match=f"^{said}") as refused:
        own_sefa_t_per_t(TABLE, code, route, 2026)
    assert refused.value.reason == str(refused.value)


def test_a_good_without_column_b_has_no_default_allocation() -> None:
    with pytest.raises(NoBenchmarkError, match=r"^72050000 has no benchmark of column B in the table$"):
        default_sefa_t_per_t(TABLE, "72050000", 2026)


@pytest.mark.parametrize(
    ("year", "said"),
    [
        (2025, "^free allocation begins in 2026, not in 2025$"),
        (2028, "^free allocation begins in 2026, not in 2028$"),
    ],
)
def test_a_year_without_a_factor_is_refused(year: int, said: str) -> None:
    with pytest.raises(NoBenchmarkError, match=said):
        default_sefa_t_per_t(TABLE, "72081000", year)


def test_the_benchmarks_of_a_later_period_are_not_borrowed_from_this_one() -> None:
    with pytest.raises(
        NoBenchmarkError, match=r"^the benchmarks of 2028 are not in the table, which holds 2026 to 2027$"
    ):
        default_sefa_t_per_t(shipped(), "72081000", 2028)


@pytest.mark.parametrize("year", [2034, 2035, 2050])
def test_nothing_is_free_from_2034_on(year: int) -> None:
    assert default_sefa_t_per_t(shipped(), "72081000", year) == 0
    assert default_sefa_t_per_t(TABLE, "72081000", year) == 0


@pytest.mark.parametrize(
    ("year", "factor_bp"),
    [(2026, 9750), (2027, 9500), (2028, 9000), (2029, 7750), (2030, 5150), (2031, 3900), (2032, 2650), (2033, 1400)],
)
def test_the_shipped_factors_are_those_of_the_source(year: int, factor_bp: int) -> None:
    assert shipped().cbam_factor_bp[year] == factor_bp


def test_a_complex_good_adds_what_its_precursors_were_allocated() -> None:
    parts = [(Decimal(2), Decimal("0.5")), (Decimal("0.5"), Decimal("0.2"))]
    assert complex_sefa_t_per_t(Decimal("0.1"), parts) == Decimal("1.2")


def test_a_verified_allocation_of_the_supplier_replaces_the_benchmark() -> None:
    bought = Input(name="slab", cn_code="72070000", units=Decimal(3240), sefa_t_per_t=Decimal("0.4"))
    assert one(producer(bought=(bought,))).sefa_t_per_t == Decimal("0.975") * Decimal("0.038") + Decimal("0.4")


def test_what_embeds_nothing_is_allocated_nothing_whatever_its_supplier_says() -> None:
    scrap = Input(name="scrap", cn_code="72070000", units=ONE, sefa_t_per_t=ONE, is_zero=True)
    assert one(producer(bought=(scrap,))) == Allocation(
        sefa_t_per_t=Decimal("0.975") * Decimal("0.038"), why="column A of route (C) and 1 precursors"
    )


def test_precursors_bought_and_made_add_up() -> None:
    own = Decimal("0.975") * Decimal("0.038")
    bought = tuple(Input(name=name, cn_code="72070000", units=Decimal(3240), sefa_t_per_t=ONE) for name in "ab")
    both = producer(bought=bought, made=(Made(process="slab", mass_t=Decimal(3240)),))
    slab = producer(name="slab")
    assert one(both, slab).sefa_t_per_t == own + 2 + own


def test_the_last_year_of_the_factors_is_still_its_own() -> None:
    short = replace(TABLE, cbam_factor_bp={2026: 9750, 2027: 9500})
    assert default_sefa_t_per_t(short, "72081000", 2027) == Decimal("0.95") * Decimal("1.370")
    assert default_sefa_t_per_t(short, "72081000", 2028) == 0


def test_allocation_goes_through_precursors_made_on_site() -> None:
    bars = producer(made=(Made(process="slab", mass_t=Decimal(6480)),))
    slab = producer(name="slab", cn_code="72081000", route="E")
    assert one(bars, slab).sefa_t_per_t == Decimal("0.975") * (Decimal("0.038") + 2 * Decimal("0.050"))
    assert one(bars, slab).why == "column A of route (C) and 1 precursors"


def test_an_unknown_precursor_makes_everything_above_it_unknown_and_names_itself() -> None:
    odd = producer(name="odd", bought=(Input(name="alloy", cn_code="73010000", units=ONE),))
    bars = producer(made=(Made(process="odd", mass_t=ONE),))
    assert one(bars, odd) == Allocation(
        sefa_t_per_t=None, why="precursor odd: precursor alloy: 73010000 is not in the table of benchmarks"
    )


def test_a_good_without_precursors_says_so() -> None:
    assert one(producer()).why == "column A, no precursor"


def test_a_circle_is_refused() -> None:
    with pytest.raises(PrecursorError, match="bars <- bars"):
        one(producer(made=(Made(process="bars", mass_t=ONE),)))


@given(factor=st.integers(1, 10**6))
def test_scaling_a_plant_leaves_its_allocation_per_tonne(factor: int) -> None:
    small = producer(bought=(Input(name="billet", cn_code="72070000", units=Decimal(3240)),))
    large = replace(
        small,
        activity_units=small.activity_units * factor,
        bought=tuple(replace(each, units=each.units * factor) for each in small.bought),
    )
    assert one(small) == one(large)


@pytest.mark.parametrize("dash", ["-", "\N{EN DASH}", "\N{EM DASH}", " - "])
def test_a_dash_is_no_number(dash: str) -> None:
    assert read_benchmark(dash) is None


@pytest.mark.parametrize("text", ["", "#VALUE!", "1,2", "-1", "1e3", "see below"])
def test_an_unreadable_benchmark_is_refused_and_never_a_dash(text: str) -> None:
    with pytest.raises(ValueError, match=r"is neither a number from 0 up nor a dash; correct the cell$"):
        read_benchmark(text)


def test_a_benchmark_of_zero_is_a_number() -> None:
    assert read_benchmark(" 0.000 ") == 0
