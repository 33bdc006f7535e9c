"""A pledge is Ready if its member is, its site can hold it, its meters are believed, and its last period was met."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commonweal.kinds.meta import Resources
from commonweal.kinds.pooled_cluster import PeriodResult, PooledCluster
from operators.frame import Finding
from operators.hub.pledges import Observed, above, judge

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SPEC = {
    "pledge": {"cpuMillis": 1000, "memoryMib": 2048, "gpus": 2},
    "location": {"country": "CA", "gridZone": "CA-QC"},
    "meters": [{"uuid": "GPU-ca-0000"}],
}
PLEDGE = PooledCluster.read({"kind": "PooledCluster", "metadata": {"name": "site"}, "spec": SPEC})
WELL = Observed(
    pledge=PLEDGE,
    allocatable=Resources(cpu_millis=1000, memory_mib=2048, gpus=2),
    member_problem="",
    last=None,
    complaint="",
    period_s=60,
    heard=1,
    agreed=Finding(type="UseAgreed", holds=True, reason="Agreed", message=""),
)


def period(delivered: int = 120, end: datetime = NOON) -> PeriodResult:
    return PeriodResult(
        start=end - timedelta(minutes=1),
        end=end,
        pledged_gpu_seconds=120,
        delivered_gpu_seconds=delivered,
        shortfall_gpu_seconds=max(0, 120 - delivered),
        beyond_pledge_gpu_seconds=max(0, delivered - 120),
        energy_mj=1,
        simulated=False,
    )


@pytest.mark.parametrize(
    ("observed", "reason"),
    [
        (WELL, "AwaitingFirstPeriod"),
        (replace(WELL, last=period()), "Delivered"),
        (replace(WELL, last=period(119)), "Short"),
        (replace(WELL, last=period(0, NOON - timedelta(minutes=5)), heard=0), "MeterSilent"),
        (replace(WELL, last=period(), complaint="energy_mj: too much"), "ReadingRefused"),
        (replace(WELL, complaint="x", allocatable=Resources(cpu_millis=1000, memory_mib=2048)), "AboveAllocatable"),
        (replace(WELL, complaint="x", member_problem="there is no Member ca"), "MemberNotReady"),
    ],
)
def test_the_first_thing_that_is_wrong_is_the_reason(observed: Observed, reason: str) -> None:
    finding = judge(observed, NOON)
    assert finding.reason == reason
    assert finding.holds is (reason in {"AwaitingFirstPeriod", "Delivered"})


@given(st.integers(0, 240))
def test_delivering_more_never_makes_a_pledge_less_ready(delivered: int) -> None:
    less, more = (judge(replace(WELL, last=period(count)), NOON).holds for count in (delivered, delivered + 1))
    assert more or not less


def test_what_a_site_lacks_is_named_with_the_field_and_the_most() -> None:
    words = above(PLEDGE, Resources(cpu_millis=999, memory_mib=2048, gpus=2))
    assert words == "spec.pledge.cpuMillis: 1000 is above the site's 999; pledge at most that"
