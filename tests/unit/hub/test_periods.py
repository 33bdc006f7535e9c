"""A period is closed once, in order, by a statement whose shares anyone can recompute."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.consortium import Consortium, ConsortiumSpec
from commonweal.kinds.equity_statement import EquityStatementSpec
from commonweal.kinds.pooled_cluster import PooledCluster
from commonweal.metering import Reading, Scope
from operators.hub.periods import Observed, bound_gpu_seconds, due, result_of, statement

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PERIOD = (NOON, NOON + MINUTE)
ORDERS = [("ca", 10), ("kr", 20), ("ke", 30)]


def charter() -> ConsortiumSpec:
    spec = {
        "title": "t",
        "accounting": {"periodSeconds": 60},
        "equity": {
            "weights": {"computeBp": 6000, "energyBp": 2500, "talentBp": 1500},
            "basicShareBp": 1000,
            "capBp": 5000,
            "beyondPledgeBp": 5000,
            "energyCapMilliwatts": 700_000,
            "decayHalfLifePeriods": 720,
        },
        "serviceClasses": [{"name": "public", "availabilityBp": 1, "latencyP95Ms": 1, "errorShareBp": 1}],
    }
    return Consortium.read({"kind": "Consortium", "metadata": {"name": "charter"}, "spec": spec}).spec


def pledge(member: str, gpus: int = 2, made: datetime = NOON - MINUTE) -> PooledCluster:
    spec = {
        "pledge": {"gpus": gpus},
        "location": {"country": "CA", "gridZone": "CA-QC"},
        "meters": [{"uuid": f"GPU-{member}-0000"}],
        "powerSources": [{"kind": "hydro", "shareBp": 6000}, {"kind": "biomass", "shareBp": 4000}],
    }
    metadata = {"name": "site", "namespace": f"member-{member}", "creationTimestamp": made}
    return PooledCluster.read({"kind": "PooledCluster", "metadata": metadata, "spec": spec})


def reading(member: str, start: datetime = NOON, seconds: int = 60, energy_mj: int = 1_000_000) -> Reading:
    return Reading(
        member=member,
        previous_sha256="0" * 64,
        meter=f"GPU-{member}-0000",
        sequence=1,
        period_start=start,
        period_end=start + MINUTE,
        energy_mj=energy_mj,
        estimated_mj=0,
        device_seconds=seconds,
        gpu_count=2,
        scope=Scope.GPU,
        epoch=1,
        flags=(),
        simulated=True,
    )


def observed(*readings: Reading, members: tuple[str, ...] = ("ca", "kr"), **more: object) -> Observed:
    values: dict[str, Any] = {
        "charter": charter(),
        "pledges": {member: (pledge(member),) for member in members},
        "unsettled": readings,
        "last": None,
        "published": True,
        "waiting": 0,
    }
    return Observed(**(values | more))


def closed(*readings: Reading, members: tuple[str, ...] = ("ca", "kr")) -> EquityStatementSpec:
    return statement(observed(*readings, members=members), PERIOD, readings)[0]


def test_without_readings_no_period_begins() -> None:
    assert due(observed(), NOON + timedelta(days=1)) is None


def test_a_period_closes_as_soon_as_every_meter_was_heard() -> None:
    both = observed(reading("ca"), reading("kr"))
    assert due(both, NOON + MINUTE) == PERIOD
    assert due(both, NOON + MINUTE - timedelta(seconds=1)) is None


def test_a_silent_meter_delays_a_period_by_its_grace_only() -> None:
    one = observed(reading("ca"))
    assert due(one, NOON + MINUTE + timedelta(seconds=14)) is None
    assert due(one, NOON + MINUTE + timedelta(seconds=15)) == PERIOD


def test_a_reading_that_is_not_in_the_books_yet_delays_it_too() -> None:
    assert due(observed(reading("ca"), reading("kr"), waiting=1), NOON + MINUTE) is None


def test_no_period_is_left_out() -> None:
    first = closed(reading("ca"), reading("kr"))
    following = observed(last=("statement-1", first))
    assert due(following, NOON + timedelta(hours=3)) == (NOON + MINUTE, NOON + 2 * MINUTE)


def test_a_late_reading_is_credited_by_the_next_statement() -> None:
    first = closed(reading("ca"))
    later = observed(reading("kr"), last=("statement-1", first))
    spec, _, _ = statement(later, (NOON + MINUTE, NOON + 2 * MINUTE), later.unsettled)
    assert {entry.member: entry.delivered_gpu_seconds for entry in spec.entries} == {"ca": 0, "kr": 60}
    assert spec.previous == "statement-1"


@given(st.lists(st.integers(1, 120), min_size=3, max_size=3), st.permutations(ORDERS))
def test_shares_sum_to_the_whole_and_do_not_depend_on_the_order(seconds: list[int], order: list[Any]) -> None:
    readings = [reading(member, seconds=count) for (member, _), count in zip(ORDERS, seconds, strict=True)]
    positions = [ORDERS.index(each) for each in order]
    members = tuple(member for member, _ in ORDERS)
    spec = closed(*readings, members=members)
    assert sum(entry.equity_bp for entry in spec.entries) == 10_000
    assert closed(*(readings[i] for i in positions), members=members) == spec


def test_what_a_pledge_says_of_its_sources_makes_no_energy_green() -> None:
    [entry] = closed(reading("ca"), members=("ca",)).entries
    assert (entry.energy_mj, entry.green_energy_mj) == (1_000_000, 0)


@pytest.mark.parametrize(("made", "owed"), [(NOON - MINUTE, 120), (NOON, 120), (NOON + timedelta(seconds=1), 0)])
def test_a_pledge_binds_from_the_first_period_after_it_was_made(made: datetime, owed: int) -> None:
    assert bound_gpu_seconds(pledge("ca", made=made), *PERIOD) == owed


def test_a_clusters_result_counts_its_own_meters_only() -> None:
    spec = closed(reading("ca"), reading("kr"))
    result = result_of(pledge("ca"), spec, [reading("ca", seconds=100), reading("kr")])
    assert (result.pledged_gpu_seconds, result.delivered_gpu_seconds) == (120, 100)
    assert (result.shortfall_gpu_seconds, result.beyond_pledge_gpu_seconds) == (20, 0)
    assert result.simulated


def test_a_member_that_did_nothing_still_has_an_entry() -> None:
    assert [entry.member for entry in closed(reading("ca")).entries] == ["ca", "kr"]
