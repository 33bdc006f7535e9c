"""A certificate is used up once, for its own zone and hour; no score and no sum gains by telling it otherwise."""

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.green import (
    MJ_PER_KWH,
    MJ_PER_WH,
    Basis,
    Certificate,
    Factor,
    GreenError,
    Load,
    MarketBased,
    Method,
    Retirement,
    embodied_mg,
    green_mj,
    intensity,
    location_based,
    market_based,
    matched,
    pue,
    scores,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOURS = [NOON + timedelta(hours=number) for number in range(4)]
ZONES = ["CA-QC", "KR"]


def certificate(id_: str = "a", **changes: object) -> Certificate:
    values: dict[str, Any] = {"id": id_, "owner": "ca", "zone": "CA-QC", "hour": NOON, "wh": 1000}
    return Certificate(**(values | changes))


def load(wh: int = 1000, **changes: object) -> Load:
    values: dict[str, Any] = {"member": "ca", "zone": "CA-QC", "hour": NOON, "mj": wh * MJ_PER_WH}
    return Load(**(values | changes))


def factor(**changes: object) -> Factor:
    values: dict[str, Any] = {
        "zone": "CA-QC",
        "vintage": 2025,
        "method": Method.LIFECYCLE,
        "basis": Basis.CONSUMPTION,
        "source": "Ember",
        "licence": "CC-BY-4.0",
        "mg_per_kwh": 30_000,
    }
    return Factor(**(values | changes))


@st.composite
def books(draw: st.DrawFn) -> tuple[list[Certificate], list[Load]]:
    places = st.tuples(st.sampled_from(["ca", "kr"]), st.sampled_from(ZONES), st.sampled_from(HOURS))
    amounts = st.integers(1, 5000)
    issued = [
        certificate(f"gc-{number}", owner=owner, zone=zone, hour=hour, wh=wh)
        for number, ((owner, zone, hour), wh) in enumerate(draw(st.lists(st.tuples(places, amounts), max_size=12)))
    ]
    drawn = draw(st.dictionaries(places, st.integers(0, 5000 * MJ_PER_WH), max_size=12))
    return issued, [Load(member=member, zone=zone, hour=hour, mj=mj) for (member, zone, hour), mj in drawn.items()]


@given(books())
def test_no_certificate_is_used_beyond_its_wh_and_no_load_beyond_its_joules(it: tuple[list[Any], list[Any]]) -> None:
    issued, drawn = it
    done = matched(issued, drawn)
    for one in issued:
        assert sum(each.wh for each in done if each.certificate == one.id) <= one.wh
    for member in ("ca", "kr"):
        assert green_mj(done).get(member, 0) <= sum(each.mj for each in drawn if each.member == member)
    assert all(each.wh > 0 for each in done)


@given(books(), st.randoms())
def test_order_and_repetition_change_nothing(it: tuple[list[Any], list[Any]], random: Any) -> None:  # noqa: ANN401 - hypothesis' own
    issued, drawn = it
    again = [*issued, *issued], [*drawn, *drawn]
    for each in again:
        random.shuffle(each)
    assert matched(*again) == matched(issued, drawn)


@given(books())
def test_what_was_retired_once_backs_nothing_again(it: tuple[list[Any], list[Any]]) -> None:
    issued, drawn = it
    first = matched(issued, drawn)
    whole = {one.id: one.wh for one in issued}
    for each in matched(issued, drawn, first):
        assert each.wh <= whole[each.certificate] - sum(one.wh for one in first if one.certificate == each.certificate)


@given(books(), st.integers(1, 4999))
def test_a_certificate_cut_in_two_covers_the_same(it: tuple[list[Any], list[Any]], cut: int) -> None:
    issued, drawn = it
    halves = []
    for one in issued:
        first = min(cut, one.wh)
        halves.append(certificate(one.id, owner=one.owner, zone=one.zone, hour=one.hour, wh=first))
        if one.wh > first:
            halves.append(certificate(f"{one.id}-b", owner=one.owner, zone=one.zone, hour=one.hour, wh=one.wh - first))
    assert green_mj(matched(halves, drawn)) == green_mj(matched(issued, drawn))


@pytest.mark.parametrize("changes", [{"zone": "KR"}, {"hour": NOON + timedelta(hours=1)}, {"owner": "kr"}])
def test_a_certificate_of_another_zone_hour_or_owner_covers_nothing(changes: dict[str, Any]) -> None:
    assert matched([certificate(**changes)], [load()]) == ()


def test_a_part_of_a_watt_hour_is_not_covered() -> None:
    [done] = matched([certificate()], [load(mj=10 * MJ_PER_WH - 1)])
    assert done == Retirement(certificate="a", member="ca", wh=9)


def test_a_certificate_that_was_retired_beyond_its_wh_is_refused() -> None:
    with pytest.raises(GreenError, match="certificate a: retired beyond its Wh"):
        matched([certificate()], [load()], [Retirement(certificate="a", member="ca", wh=1001)])


def test_two_different_certificates_of_one_id_are_refused() -> None:
    with pytest.raises(GreenError, match="issued twice, differently"):
        matched([certificate(), certificate(wh=2)], [load()])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: certificate(wh=0), "wh: 0 is not above 0"),
        (lambda: certificate(zone=""), "zone: empty"),
        (lambda: certificate(hour=NOON + timedelta(minutes=1)), "not the start of an hour in UTC"),
        (lambda: load(hour=NOON.astimezone(timezone(timedelta(hours=9)))), "not the start of an hour in UTC"),
        (lambda: load(mj=-1), "mj: -1 is below 0"),
        (lambda: factor(zone=""), "factor.zone: empty"),
        (lambda: factor(mg_per_kwh=-1), "below 0"),
        (lambda: pue(99, 100), "at least what its IT draws"),
        (lambda: intensity(location_based(1, factor()), Fraction(0), 0), "units: 0 is not above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(made: Any, words: str) -> None:  # noqa: ANN401 - any of them
    with pytest.raises(GreenError, match=words):
        made()


def test_a_year_that_is_green_on_paper_is_green_in_half_of_its_hours() -> None:
    """Solar alone: 100 % by the year is 30 to 50 % by the hour (energy handbook, section 4)."""
    hours = [("KR", NOON + timedelta(hours=number)) for number in range(24)]
    day = dict.fromkeys(hours, 100)
    sun = {hour: 240 for number, hour in enumerate(hours) if number < 10}
    it = scores(sun, day, dict.fromkeys(hours, Fraction(1, 4)))
    assert (it.annual, it.hourly) == (Fraction(1), Fraction(10, 24))
    assert it.carbon_free == Fraction(10, 24) + Fraction(14, 24) * Fraction(1, 4)


amounts = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=24)


@given(amounts.filter(lambda rows: any(drawn for _, drawn, _ in rows)))
def test_hourly_is_the_least_of_the_scores_and_a_surplus_is_never_carried_over(
    rows: list[tuple[int, int, int]],
) -> None:
    hours = [("KR", NOON + timedelta(hours=number)) for number in range(len(rows))]
    supply, drawn, grid = (
        dict(zip(hours, column, strict=True)) for column in zip(*((c, d, g) for c, d, g in rows), strict=True)
    )
    shares = {hour: Fraction(percent, 100) for hour, percent in grid.items()}
    it = scores(supply, drawn, shares)
    assert 0 <= it.hourly <= it.annual <= 1
    assert it.hourly <= it.carbon_free <= 1
    capped = {hour: min(amount, drawn[hour]) for hour, amount in supply.items()}
    assert scores(capped, drawn, shares).hourly == it.hourly


def test_an_hour_whose_grid_is_unknown_is_refused_and_not_taken_for_zero() -> None:
    with pytest.raises(GreenError, match="grid_carbon_free: KR at 2026-11-24T12Z is None"):
        scores({}, {("KR", NOON): 1}, {})
    with pytest.raises(GreenError, match="a score of no use says nothing"):
        scores({}, {}, {})


def test_carbon_by_location_and_by_market_do_not_add() -> None:
    by_location = location_based(MJ_PER_KWH, factor())
    by_market = market_based(load(), (), factor())
    assert by_location.mg == by_market.mg == 30_000
    with pytest.raises(GreenError, match="LocationBased and MarketBased do not add"):
        by_location + by_market  # type: ignore[operator]
    with pytest.raises(GreenError, match="SCI excludes market-based measures"):
        intensity(by_market, Fraction(0), 1)  # type: ignore[arg-type]


def test_factors_of_different_methods_do_not_add() -> None:
    direct = location_based(1, factor(method=Method.DIRECT))
    with pytest.raises(GreenError, match="take both from one method and basis"):
        location_based(1, factor()) + direct
    assert (direct + direct).mg == 2 * direct.mg


def test_what_a_certificate_covers_emits_nothing_by_market_and_all_of_it_by_location() -> None:
    drawn = load(1000)
    done = matched([certificate(wh=750)], [drawn])
    assert market_based(drawn, done, factor()) == MarketBased(Fraction(7500), factor().kind)
    assert location_based(drawn.mj, factor()).mg == 30_000
    with pytest.raises(GreenError, match="but the load is in CA-QC"):
        market_based(drawn, done, factor(zone="KR"))


def test_sci_counts_the_facility_and_the_making_of_the_hardware() -> None:
    """Two hours of one GPU of eight at 700 W, PUE 1.2, 475 g/kWh; 1,312 kg over four years; per 1,000 answers."""
    facility_mj = int(700_000 * 7200 * pue(12, 10))
    made = embodied_mg(
        whole_mg=1_312_000_000, reserved_s=7200, lifespan_s=4 * 365 * 86_400, reserved_parts=1, whole_parts=8
    )
    it = intensity(location_based(facility_mj, factor(mg_per_kwh=475_000)), made, 1000)
    assert facility_mj == 6_048_000_000
    assert made == Fraction(1_312_000_000 * 7200, 4 * 365 * 86_400 * 8)
    assert it == Fraction(176_812, 219)  # 807.36 mg an answer
