"""Rounding: parts sum to the whole, order never decides, and the published roundings come out."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.apportion import decayed, kept_ppb, largest_remainder, nearest, part_bp

weights = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 10**12), min_size=1, max_size=9)


@given(total=st.integers(0, 10**15), weights=weights)
def test_parts_sum_to_the_whole_and_stay_within_one_of_their_quota(total: int, weights: dict[str, int]) -> None:
    whole = sum(weights.values())
    if whole == 0:
        return
    parts = largest_remainder(total, weights)
    assert sum(parts.values()) == total
    assert all(abs(parts[key] - Fraction(total * weights[key], whole)) < 1 for key in weights)


@given(weights=weights, data=st.data())
def test_the_order_of_the_weights_never_decides(weights: dict[str, int], data: st.DataObject) -> None:
    if sum(weights.values()) == 0:
        return
    shuffled = dict(data.draw(st.permutations(list(weights.items()))))
    assert largest_remainder(10_000, shuffled) == largest_remainder(10_000, weights)


def test_equal_remainders_go_to_the_lesser_key() -> None:
    assert largest_remainder(10_000, {"kr": 1, "ca": 1, "ke": 1}) == {"ca": 3334, "ke": 3333, "kr": 3333}


def test_what_cannot_be_split_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="all are 0, so 5 has no owner"):
        largest_remainder(5, {"ca": 0})
    with pytest.raises(ValueError, match=r"weights\['ca'\]: -1 is below 0"):
        largest_remainder(5, {"ca": -1})
    with pytest.raises(ValueError, match="total: -5 is below 0"):
        largest_remainder(-5, {"ca": 1})
    assert largest_remainder(0, {"ca": 0}) == {"ca": 0}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(Fraction(5, 2), 3), (Fraction(-5, 2), -3), (Fraction(7, 5), 1), (Fraction(-7, 5), -1), (Fraction(0), 0)],
)
def test_halves_round_away_from_zero(value: Fraction, expected: int) -> None:
    assert nearest(value) == expected


def test_basis_points_round_down() -> None:
    assert part_bp(9_999, 5_000) == 4_999


def test_one_half_life_of_periods_leaves_half_but_for_the_rounding() -> None:
    assert kept_ppb(1) == 500_000_000
    assert kept_ppb(12) == 943_874_312
    left = 10**15
    for _ in range(12):
        left = decayed(left, 12)
    assert 0 <= Fraction(1, 2) - Fraction(left, 10**15) < Fraction(1, 10**8)


def test_a_half_life_below_one_period_is_refused() -> None:
    with pytest.raises(ValueError, match="half_life_periods: 0 is below 1"):
        kept_ppb(0)
