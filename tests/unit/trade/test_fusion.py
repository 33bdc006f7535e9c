"""One value and its interval from several sources: what agreement, repetition and contradiction do to it."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.trade.fusion import Estimate, FusionError, detection_power, fuse, group_sd, review_requests

REPORT = Estimate(source="report", group="report", value_t_per_t=2.0, relative_sd=0.05, correlation=0, disclosed=True)
THERMAL = Estimate(source="thermal", group="thermal", value_t_per_t=2.0, relative_sd=0.15, correlation=0.3)
GRID_ERROR = 1e-3  # rounding may add one step to the grid on which the posterior is read
VALUES = st.floats(0.5, 8)
WIDTHS = st.floats(0.02, 0.5)


@st.composite
def estimates(draw: st.DrawFn) -> list[Estimate]:
    seen = [
        Estimate(
            source=f"s{number}", group=f"g{number}", value_t_per_t=draw(VALUES), relative_sd=draw(WIDTHS), correlation=0
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    if draw(st.booleans()):
        seen.append(replace(REPORT, value_t_per_t=draw(VALUES), relative_sd=draw(WIDTHS)))
    return seen


def width(*seen: Estimate) -> float:
    fused = fuse(seen)
    return math.log(fused.high_t_per_t / fused.low_t_per_t)


@given(data=st.data())
def test_the_order_of_sources_changes_nothing(data: st.DataObject) -> None:
    seen = data.draw(estimates())
    shuffled = data.draw(st.permutations(seen))
    one, other = fuse(seen), fuse(shuffled)
    assert one.value_t_per_t == pytest.approx(other.value_t_per_t, rel=GRID_ERROR)
    assert one.weights == pytest.approx(other.weights)


@given(seen=estimates(), factor=st.floats(0.01, 100))
def test_a_change_of_unit_scales_value_and_interval(seen: list[Estimate], factor: float) -> None:
    one, other = fuse(seen), fuse([replace(each, value_t_per_t=each.value_t_per_t * factor) for each in seen])
    for name in ("low_t_per_t", "value_t_per_t", "high_t_per_t"):
        assert getattr(other, name) == pytest.approx(getattr(one, name) * factor, rel=GRID_ERROR)


@given(seen=estimates())
def test_the_value_lies_in_its_interval_and_weights_sum_to_one(seen: list[Estimate]) -> None:
    fused = fuse(seen)
    assert fused.low_t_per_t < fused.value_t_per_t < fused.high_t_per_t
    assert math.fsum(fused.weights.values()) == pytest.approx(1)


def test_one_source_alone_gives_its_own_interval() -> None:
    fused = fuse([THERMAL])
    assert fused.value_t_per_t == pytest.approx(2.0)
    assert fused.high_t_per_t == pytest.approx(2.0 * math.exp(1.6448536 * 0.15))
    assert fused.p_value is None


def test_a_repeated_source_that_shares_everything_shrinks_nothing() -> None:
    same = replace(THERMAL, correlation=1)
    assert width(same, replace(same, source="again")) == pytest.approx(width(same))


def test_independent_repetition_shrinks_by_the_root_of_two() -> None:
    alone = replace(THERMAL, correlation=0)
    assert width(alone, replace(alone, source="again")) == pytest.approx(width(alone) / math.sqrt(2))


def test_a_vague_source_that_does_not_contradict_changes_next_to_nothing() -> None:
    vague = Estimate(source="route", group="route", value_t_per_t=2.4, relative_sd=2, correlation=0)
    with_it, without = fuse([THERMAL, vague]), fuse([THERMAL])
    assert with_it.value_t_per_t == pytest.approx(without.value_t_per_t, rel=2e-3)
    assert width(THERMAL, vague) == pytest.approx(width(THERMAL), rel=5e-3)


def test_sources_that_contradict_each_other_widen_the_interval_by_the_birge_ratio() -> None:
    low = Estimate(source="a", group="a", value_t_per_t=1.0, relative_sd=0.1, correlation=0)
    high = replace(low, source="b", group="b", value_t_per_t=math.e**0.4)
    assert fuse([low, high]).inflation == pytest.approx(0.4 / math.sqrt(2) / 0.1)
    assert width(low, high) == pytest.approx(2 * 1.6448536 * 0.2)


def test_a_disclosure_that_the_others_confirm_narrows_the_interval() -> None:
    assert width(REPORT, THERMAL) < width(THERMAL) / 2


def test_a_disclosure_that_the_others_contradict_moves_the_value_hardly() -> None:
    understated = replace(REPORT, value_t_per_t=1.0)
    fused = fuse([understated, THERMAL])
    assert fused.value_t_per_t == pytest.approx(2.0, rel=0.06)
    assert fused.low_t_per_t > 1.2
    assert fused.p_value is not None
    assert fused.p_value < 1e-5


# Disclosure 5 %, twelve months at 22.6 %, bias 10 %, emission factor 10 %: 0.16357.
MONTH_SD = math.hypot(0.226, 0.10, 0.10)
GAP_SD = math.hypot(group_sd(12, MONTH_SD, 0.02 / MONTH_SD**2), 0.05)


def test_a_disclosure_in_a_wrong_unit_leaves_the_other_sources_answer() -> None:
    fused = fuse([replace(REPORT, value_t_per_t=0.002), THERMAL])
    assert fused.value_t_per_t == pytest.approx(2.0, rel=1e-2)
    assert math.log(fused.high_t_per_t / fused.low_t_per_t) == pytest.approx(width(THERMAL), rel=2e-2)


def test_the_gap_of_the_handbook_has_its_standard_deviation() -> None:
    assert pytest.approx(0.163, abs=1e-3) == GAP_SD


@pytest.mark.parametrize(
    ("share", "at_5", "at_1"), [(0.10, 0.16, 0.05), (0.20, 0.39, 0.17), (0.30, 0.70, 0.44), (0.50, 0.995, 0.97)]
)
def test_the_detection_power_of_the_handbook(share: float, at_5: float, at_1: float) -> None:
    assert detection_power(share, GAP_SD, 0.05) == pytest.approx(at_5, abs=5e-3)
    assert detection_power(share, GAP_SD, 0.01) == pytest.approx(at_1, abs=5e-3)


def test_review_requests_follow_the_example_of_benjamini_and_hochberg() -> None:
    # Benjamini and Hochberg (1995), section 3.2: 15 p-values, of which the four smallest pass at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528]
    p += [0.7590, 1.0]
    named = {f"P{number}": value for number, value in enumerate(p)}
    assert review_requests(named, 0.05) == {"P0", "P1", "P2", "P3"}


def test_nobody_to_compare_means_nobody_to_ask() -> None:
    assert review_requests({}, 0.1) == frozenset()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ([], "estimates: there are none"),
        ([replace(THERMAL, value_t_per_t=0)], "value_t_per_t: 0 of thermal is not a number above 0"),
        ([replace(THERMAL, value_t_per_t=math.nan)], "value_t_per_t: nan"),
        ([replace(THERMAL, relative_sd=0)], "relative_sd: 0 of thermal"),
        ([replace(THERMAL, correlation=1.1)], "correlation: 1.1 of thermal"),
        ([THERMAL, replace(THERMAL, correlation=0)], "group: estimates of thermal differ"),
        ([THERMAL, replace(THERMAL, disclosed=True)], "group: estimates of thermal differ"),
    ],
)
def test_what_cannot_be_fused_is_refused_by_name(seen: list[Estimate], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        fuse(seen)


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_false_discovery_share_out_of_bounds_is_refused(share: float) -> None:
    with pytest.raises(FusionError, match="false_discovery_share"):
        review_requests({"P": 0.01}, share)
