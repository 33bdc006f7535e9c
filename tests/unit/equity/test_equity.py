"""The charter's formula: shares sum, nothing free is earned, and a third party reaches the same numbers."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.equity import (
    NOTHING,
    Category,
    Charter,
    Contribution,
    FormulaError,
    Held,
    capped,
    changed,
    compute,
    credit,
    creditable_mj,
    effective_cap,
    equal_part,
    raw_shares,
    smoothed,
)
from commonweal.explanation import explain
from tests.strategies import charters

WEIGHTS = {Category.COMPUTE: 6000, Category.ENERGY: 2000, Category.TALENT: 2000, Category.DATA: 0}
ONLY_COMPUTE = {Category.COMPUTE: 10_000, Category.ENERGY: 0, Category.TALENT: 0, Category.DATA: 0}
MEMBERS = ("ca", "ch", "ke", "kr", "uy")


def charter(
    weights: Mapping[Category, int] = WEIGHTS, basic: int = 1000, cap: int = 10_000, **more: int | None
) -> Charter:
    return Charter(
        weights_bp=weights,
        basic_share_bp=basic,
        cap_bp=cap,
        beyond_pledge_bp=5000,
        energy_cap_mw=700_000,
        **more,
    )


def gave(
    member: str, delivered: int, *, pledged: int = 10**9, self_used: int = 0, green: int = 0, talent: int = 0
) -> Contribution:
    return Contribution(
        member=member,
        pledged_gpu_seconds=pledged,
        delivered_gpu_seconds=delivered,
        self_used_gpu_seconds=self_used,
        used_gpu_seconds=self_used,
        energy_mj=green,
        green_energy_mj=green,
        talent_seconds=talent,
    )


def shares(rule: Charter, rows: tuple[Contribution, ...], previous: Mapping[str, Held] | None = None) -> dict[str, int]:
    return {standing.member: standing.share_bp for standing in compute(rule, rows, previous).standings}


def exact(rule: Charter, rows: tuple[Contribution, ...]) -> dict[str, Fraction]:
    return {standing.member: standing.exact_share for standing in compute(rule, rows).standings}


seconds = st.integers(0, 10**7)


@st.composite
def periods(draw: st.DrawFn) -> tuple[Contribution, ...]:
    def row(member: str) -> Contribution:
        delivered = draw(seconds)
        return gave(
            member,
            delivered,
            pledged=draw(seconds),
            self_used=draw(st.integers(0, delivered)),
            green=draw(st.integers(0, 10**12)),
            talent=draw(seconds),
        )

    return tuple(row(member) for member in MEMBERS[: draw(st.integers(1, len(MEMBERS)))])


@given(rule=charters, rows=periods())
def test_shares_sum_to_the_whole_and_respect_the_cap(rule: Charter, rows: tuple[Contribution, ...]) -> None:
    result = shares(rule, rows)
    assert sum(result.values()) == 10_000
    assert sum(exact(rule, rows).values()) == 1
    cap = effective_cap(rule.cap_bp, len(rows)) * 10_000
    assert all(0 <= share < cap + 1 for share in result.values())
    assert cap.denominator > 1 or max(result.values()) <= cap


@given(rule=charters, rows=periods(), data=st.data())
def test_order_and_repetition_change_nothing(
    rule: Charter, rows: tuple[Contribution, ...], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    assert compute(rule, [*shuffled, *rows]).record() == compute(rule, rows).record()


@given(rule=charters, rows=periods(), data=st.data())
def test_dropping_any_of_ones_own_contribution_never_raises_ones_share(
    rule: Charter, rows: tuple[Contribution, ...], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from(rows))
    name = data.draw(
        st.sampled_from(["delivered_gpu_seconds", "energy_mj", "green_energy_mj", "talent_seconds", "kept_row_seconds"])
    )
    least = whole.self_used_gpu_seconds if name == "delivered_gpu_seconds" else 0
    less = changed(rows, whole.member, {name: data.draw(st.integers(least, max(least, getattr(whole, name))))})
    assert exact(rule, less)[whole.member] <= exact(rule, rows)[whole.member]
    assert shares(rule, less)[whole.member] <= shares(rule, rows)[whole.member] + 1


@given(rows=periods(), amount=seconds, data=st.data())
def test_what_a_member_runs_on_its_own_machines_earns_it_nothing(
    rows: tuple[Contribution, ...], amount: int, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(rows))
    padded = changed(
        rows,
        row.member,
        {
            "delivered_gpu_seconds": row.delivered_gpu_seconds + amount,
            "self_used_gpu_seconds": row.self_used_gpu_seconds + amount,
            "used_gpu_seconds": row.used_gpu_seconds + amount,
            "energy_mj": row.energy_mj,
        },
    )
    assert exact(charter(), padded)[row.member] <= exact(charter(), rows)[row.member]


def test_money_in_and_out_again_leaves_the_unpaid_hour_alone() -> None:
    """Slicing Pie's double dipping: what went in and was drawn out again counts nothing."""
    honest = (gave("ca", 100), gave("kr", 100))
    washed = (gave("ca", 150, self_used=50), gave("kr", 100))
    assert shares(charter(), washed) == shares(charter(), honest)


def test_a_slice_is_ones_own_over_all() -> None:
    """Slicing Pie's 4,000 slices: 1,000 for cash at four times its value, 3,000 for work at twice its value."""
    rule = charter(basic=0, weights=ONLY_COMPUTE)
    assert shares(rule, (gave("ca", 4 * 250), gave("kr", 2 * 1500))) == {"ca": 2500, "kr": 7500}


@given(rows=periods(), rule=charters, data=st.data())
def test_a_split_identity_gains_one_more_basic_share_and_nothing_else(
    rows: tuple[Contribution, ...], rule: Charter, data: st.DataObject
) -> None:
    row = data.draw(st.sampled_from(rows))
    delivered = data.draw(st.integers(0, row.delivered_gpu_seconds))
    pledged = data.draw(st.integers(0, row.pledged_gpu_seconds))
    halves = (
        gave("x", delivered, pledged=pledged, talent=row.talent_seconds),
        gave("y", row.delivered_gpu_seconds - delivered, pledged=row.pledged_gpu_seconds - pledged),
    )
    one = {r.member: credit(rule, r) for r in changed(rows, row.member, {"self_used_gpu_seconds": 0})}
    two = {m: c for m, c in one.items() if m != row.member} | {r.member: credit(rule, r) for r in halves}
    assert all(two["x"][c] + two["y"][c] <= one[row.member][c] for c in Category)
    members = len(rows)
    equal = equal_part(rule, {c: sum(stock[c] for stock in two.values()) for c in Category})
    allowed = equal * (Fraction(2, members + 1) - Fraction(1, members))
    before, after = raw_shares(rule, one)[row.member], raw_shares(rule, two)
    if equal == equal_part(rule, {c: sum(stock[c] for stock in one.values()) for c in Category}):
        assert after["x"] + after["y"] - before <= max(Fraction(0), allowed)


def test_two_members_that_merge_give_up_one_basic_share() -> None:
    apart = exact(charter(), (gave("ca", 100), gave("ke", 50), gave("kr", 50)))
    together = exact(charter(), (gave("ca", 100), gave("ke", 100)))
    assert together["ke"] < apart["ke"] + apart["kr"]


KEY = {"A": 34, "B": 22, "C": 16, "D": 12, "E": 9, "F": 7}


@pytest.mark.parametrize(
    ("cap_bp", "expected"),
    [(2500, [25, 25, "18.18", "13.64", "10.23", "7.95"]), (2000, [20, 20, 20, "17.14", "12.86", 10])],
)
def test_the_excess_over_a_cap_goes_pro_rata_until_none_is_above_it(cap_bp: int, expected: list[int | str]) -> None:
    result = capped({member: Fraction(part, 100) for member, part in KEY.items()}, cap_bp)
    assert [round(result[member] * 100, 2) for member in KEY] == [Fraction(str(value)) for value in expected]


def test_members_without_any_share_divide_an_excess_equally() -> None:
    result = capped({"ca": Fraction(1), "ke": Fraction(0), "kr": Fraction(0)}, 5000)
    assert result == {"ca": Fraction(1, 2), "ke": Fraction(1, 4), "kr": Fraction(1, 4)}


def test_a_cap_that_too_few_members_cannot_fill_becomes_an_equal_split() -> None:
    assert shares(charter(cap=2500), (gave("ca", 9), gave("ke", 1), gave("kr", 0))) == {
        "ca": 3334,
        "ke": 3333,
        "kr": 3333,
    }


def test_a_category_that_nobody_filled_is_split_equally() -> None:
    only_compute = shares(charter(basic=0), (gave("ca", 75), gave("kr", 25)))
    assert only_compute == {"ca": 6500, "kr": 3500}


def test_beyond_the_pledge_counts_at_the_charters_rate_and_a_shortfall_shows() -> None:
    row = gave("ca", 120, pledged=100)
    assert credit(charter(), row)[Category.COMPUTE] == 110
    assert compute(charter(), [row]).of("ca").beyond_gpu_seconds == 20
    assert compute(charter(), [gave("ca", 80, pledged=100)]).of("ca").shortfall_gpu_seconds == 20


def test_idle_burn_may_earn_nothing_above_what_credited_compute_may_draw() -> None:
    assert creditable_mj(charter(), gave("ca", 10, green=10**12)) == 10 * 700_000
    assert creditable_mj(charter(), gave("ca", 10, self_used=10, green=10**12)) == 0


def test_energy_beyond_what_was_metered_may_earn_nothing() -> None:
    assert creditable_mj(charter(), gave("ca", 10, green=5)) == 5


def test_matched_energy_work_and_kept_data_are_credits_of_their_own() -> None:
    row = Contribution(
        member="ca",
        pledged_gpu_seconds=0,
        delivered_gpu_seconds=0,
        green_energy_mj=7,
        talent_seconds=60,
        kept_row_seconds=9,
    )
    assert credit(charter(), row) == {
        Category.COMPUTE: 0,
        Category.ENERGY: 7,
        Category.TALENT: 60,
        Category.DATA: 9,
    }


def test_a_half_life_halves_what_was_earned_before() -> None:
    rule = charter(decay_half_life_periods=1)
    first = compute(rule, [gave("ca", 100), gave("kr", 0)])
    second = compute(rule, [gave("ca", 0), gave("kr", 50)], first.held)
    assert second.of("ca").held.stock[Category.COMPUTE] == second.of("kr").held.stock[Category.COMPUTE] == 50


def test_credit_counts_half_after_the_vesting_half_life() -> None:
    rule = charter(basic=0, weights=ONLY_COMPUTE, vesting_half_life_periods=1)
    held: Mapping[str, Held] | None = None
    counted = []
    for delivered in (100, 0, 0):
        statement = compute(rule, [gave("ca", delivered), gave("kr", 0)], held)
        held = statement.held
        counted.append(held["ca"].vested[Category.COMPUTE])
        assert held["ca"].stock[Category.COMPUTE] == 100
    assert counted == [0, 50, 75]


def test_what_has_not_vested_moves_no_share_yet() -> None:
    rule = charter(basic=0, weights=ONLY_COMPUTE, vesting_half_life_periods=1)
    first = compute(rule, [gave("ca", 100), gave("kr", 100)])
    burst = compute(rule, [gave("ca", 0), gave("kr", 10**6)], first.held)
    assert (burst.of("ca").share_bp, burst.of("kr").share_bp) == (5000, 5000)


@given(rule=charters, first=periods(), second=periods())
def test_vesting_delays_what_counts_and_changes_no_stock(
    rule: Charter, first: tuple[Contribution, ...], second: tuple[Contribution, ...]
) -> None:
    at_once = replace(rule, vesting_half_life_periods=None)
    held = compute(rule, second, compute(rule, first).held).held
    for member, plain in compute(at_once, second, compute(at_once, first).held).held.items():
        assert held[member].stock == plain.stock == plain.vested
        assert all(0 <= held[member].unvested[each] <= plain.stock[each] for each in Category)


def test_a_smoothed_share_goes_one_part_of_the_way() -> None:
    rule = charter(basic=0, weights=ONLY_COMPUTE, smoothing_periods=4)
    first = compute(rule, [gave("ca", 40), gave("kr", 60)])
    assert [one.share_bp for one in first.standings] == [4000, 6000]
    assert shares(rule, (gave("ca", 60), gave("kr", 40)), first.held) == {"ca": 4250, "kr": 5750}
    assert shares(replace(rule, smoothing_periods=1), (gave("ca", 60), gave("kr", 40)), first.held)["ca"] == 5000


def test_a_smoothed_share_arrives_even_where_one_step_is_less_than_a_basis_point() -> None:
    rule = charter(basic=0, weights=ONLY_COMPUTE, smoothing_periods=1000, decay_half_life_periods=1)
    held = {m: Held(stock=NOTHING, share_ppb=part) for m, part in (("ca", 499_000_000), ("kr", 501_000_000))}
    for _ in range(6000):
        held = compute(rule, [gave("ca", 10), gave("kr", 10)], held).held
    assert held["ca"].share_ppb is not None
    assert abs(held["ca"].share_ppb - 500_000_000) < 5_000


def test_who_leaves_takes_nothing_along_and_who_comes_starts_from_nothing() -> None:
    halves = {"ca": Fraction(1, 2), "kr": Fraction(1, 2)}
    before = {m: Held(stock=NOTHING, share_ppb=part) for m, part in (("ca", 250_000_000), ("ke", 750_000_000))}
    assert smoothed(halves, before, 2) == {"ca": Fraction(3, 4), "kr": Fraction(1, 4)}
    assert smoothed(halves, {}, 2) == halves


@given(rule=charters, first=periods(), second=periods(), cap=st.sampled_from([2500, 3400, 10_000]))
def test_smoothed_shares_sum_to_the_whole_and_respect_todays_cap(
    rule: Charter, first: tuple[Contribution, ...], second: tuple[Contribution, ...], cap: int
) -> None:
    today = replace(rule, cap_bp=cap)
    result = compute(today, second, compute(rule, first).held)
    assert sum(standing.exact_share for standing in result.standings) == 1
    assert all(standing.exact_share <= effective_cap(cap, len(second)) for standing in result.standings)


@given(rule=charters, rows=periods())
def test_every_step_of_an_explanation_can_be_redone_from_the_lines_above(
    rule: Charter, rows: tuple[Contribution, ...]
) -> None:
    before = compute(rule, rows).held
    statement = compute(rule, rows, before)
    for row in rows:
        steps = {step.name: step for step in explain(rule, rows, before, row.member)}
        standing = statement.of(row.member)
        assert steps["share, basis points"].result == standing.share_bp
        last_step = "smoothed share" if rule.smoothing_periods else "capped share"
        assert steps[last_step].result == standing.exact_share
        for category in Category:
            step = steps[f"{category} stock"]
            redone = int(step.inputs["stock before"]) * int(step.inputs["kept_ppb"]) // 10**9
            assert step.result == redone + int(step.inputs["credit"]) == standing.held.stock[category]
            if rule.vesting_half_life_periods:
                step = steps[f"{category} vested"]
                left = int(step.inputs["unvested before"]) * int(step.inputs["kept_ppb"]) // 10**9
                unvested = left * int(step.inputs["unvested_ppb"]) // 10**9 + int(step.inputs["credit"])
                assert step.result == int(step.inputs["stock"]) - unvested == standing.held.vested[category]


def test_an_explanation_reads_as_the_page_says() -> None:
    """The worked example of docs/equity.md."""
    rows = (gave("ca", 14_400, pledged=14_400), gave("ke", 7_200, pledged=14_400), gave("kr", 28_800, pledged=28_800))
    lines = [(step.name, str(step.result)) for step in explain(charter(cap=4000), rows, None, "kr")]
    assert lines == [
        ("counted, GPU-seconds", "28800"),
        ("compute credit, GPU-seconds", "28800"),
        ("used, GPU-seconds", "0"),
        ("energy credit, mJ", "0"),
        ("talent credit, seconds", "0"),
        ("data credit, row-seconds", "0"),
        ("compute stock", "28800"),
        ("energy stock", "0"),
        ("talent stock", "0"),
        ("data stock", "0"),
        ("equal part", "23/50"),
        ("raw share", "97/210"),
        ("capped share", "2/5"),
        ("share, basis points", "4000"),
    ]
    assert shares(charter(cap=4000), rows) == {"ca": 3430, "ke": 2570, "kr": 4000}


def test_a_counterfactual_is_the_same_computation_with_one_amount_changed() -> None:
    rows = (gave("ca", 100), gave("kr", 100))
    assert shares(charter(basic=0), changed(rows, "kr", {"delivered_gpu_seconds": 300}))["kr"] == 6500
    with pytest.raises(FormulaError, match="delivered: no such amount; choose one of delivered_gpu_seconds"):
        changed(rows, "kr", {"delivered": 1})
    with pytest.raises(FormulaError, match="member: fr has no contribution; members are ca, kr"):
        changed(rows, "fr", {"delivered_gpu_seconds": 1})


def test_inputs_that_cannot_be_are_refused_by_field() -> None:
    with pytest.raises(FormulaError, match="weights_bp: sums to 9999; make the weights sum to 10000"):
        charter(weights=WEIGHTS | {Category.TALENT: 1999})
    with pytest.raises(FormulaError, match="cap_bp: 0 is not between 1 and 10000"):
        charter(cap=0)
    with pytest.raises(ValueError, match="half_life_periods: 0 is below 1"):
        charter(decay_half_life_periods=0)
    with pytest.raises(FormulaError, match="smoothing_periods: 0 is below 1; leave it out"):
        charter(smoothing_periods=0)
    with pytest.raises(FormulaError, match=r"ca\.talent_seconds: -1 is below 0"):
        gave("ca", 1, talent=-1)
    with pytest.raises(FormulaError, match="contributions: none"):
        compute(charter(), [])
    with pytest.raises(FormulaError, match="ca: two different contributions"):
        compute(charter(), [gave("ca", 1), gave("ca", 2)])
    with pytest.raises(FormulaError, match="member: fr is not in the statement; its members are ca"):
        compute(charter(), [gave("ca", 1)]).of("fr")
