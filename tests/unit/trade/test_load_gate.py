"""The load gate: what a run must show to keep its service class. Arrivals do not depend on answers."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import probes
from loadtests.bars.trade_examples import largest_error
from loadtests.trade.arrivals import Model, due_times_s
from loadtests.trade.gate import (
    Arrival,
    Run,
    ServiceClass,
    judge,
    measurement,
    percentile_ms,
    read_pilot,
    read_service_class,
)

ROOT = Path(__file__).parents[3]
PUBLIC = ServiceClass(availability_bp=9990, latency_p95_ms=500, error_share_bp=10)
GOOD = Arrival(latency_ms=5, answered=True, right=True)


def run(*arrivals: Arrival, intended: int | None = None, cpu: float = 0.1) -> Run:
    return Run(intended=intended or len(arrivals), arrivals=arrivals, generator_cpu_share=cpu)


def failed(judged: Run) -> set[str]:
    return {check.name for check in judge(judged, PUBLIC) if not check.passed}


def test_a_quick_and_right_run_passes() -> None:
    assert failed(run(*[GOOD] * 1000)) == set()


def test_six_slow_answers_in_a_hundred_break_the_latency_promise_and_five_do_not() -> None:
    slow = replace(GOOD, latency_ms=501)
    assert failed(run(*[GOOD] * 94, *[slow] * 6)) == {"latency_p95"}
    assert failed(run(*[GOOD] * 95, *[slow] * 5)) == set()


def test_a_wrong_answer_is_an_error_but_the_service_is_available() -> None:
    assert failed(run(*[GOOD] * 998, *[replace(GOOD, right=False)] * 2)) == {"error_share"}


def test_no_answer_is_neither_available_nor_right() -> None:
    assert failed(run(*[GOOD] * 500, replace(GOOD, answered=False, right=False))) == {"availability", "error_share"}


def test_arrivals_that_were_never_sent_count_against_the_run() -> None:
    assert failed(run(*[GOOD] * 980, intended=1000)) == {"offered", "availability", "error_share"}


def test_a_busy_generator_proves_nothing() -> None:
    assert failed(run(*[GOOD] * 100, cpu=0.81)) == {"generator_cpu"}


def test_a_run_without_arrivals_fails() -> None:
    assert failed(run(intended=10)) >= {"offered", "availability", "latency_p95"}
    assert failed(Run(intended=0, arrivals=(), generator_cpu_share=0)) >= {"offered", "latency_p95"}


@given(latencies=st.lists(st.floats(0, 10_000), min_size=1, max_size=200), slower=st.floats(0, 10_000))
def test_a_slower_answer_never_lowers_the_percentile(latencies: list[float], slower: float) -> None:
    raised = [latencies[0] + slower, *latencies[1:]]
    assert percentile_ms(raised, 95) >= percentile_ms(latencies, 95)


def test_constant_arrivals_keep_their_rate() -> None:
    due = list(due_times_s(Model.CONSTANT, 100, 10, seed=1))
    assert len(due) == 1000
    assert due[-1] == pytest.approx(9.99)


@given(rate=st.floats(1, 200), seed=st.integers(0, 1000))
def test_poisson_arrivals_ascend_and_end_in_time(rate: float, seed: int) -> None:
    due = list(due_times_s(Model.POISSON, rate, 5, seed))
    assert due == sorted(due)
    assert all(0 <= each < 5 for each in due)
    assert due == list(due_times_s(Model.POISSON, rate, 5, seed))


def test_poisson_arrivals_come_at_the_rate_over_time() -> None:
    assert sum(1 for _ in due_times_s(Model.POISSON, 100, 100, seed=7)) == pytest.approx(10_000, rel=0.05)


@pytest.mark.parametrize(("rate", "duration"), [(0, 1), (1, 0), (-1, 1)])
def test_a_rate_or_duration_of_nothing_is_refused(rate: float, duration: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        list(due_times_s(Model.CONSTANT, rate, duration, seed=1))


def test_the_class_is_read_from_the_charter_by_the_name_in_the_pilot() -> None:
    pilot, name = read_pilot((ROOT / "examples" / "50-trade-pilot.yaml").read_text("utf-8"))
    assert pilot == "trade"
    assert read_service_class((ROOT / "examples" / "10-charter.yaml").read_text("utf-8"), name) == PUBLIC


def test_the_class_is_read_from_plain_json() -> None:
    text = '{"availability_bp": 9990, "latency_p95_ms": 500, "error_share_bp": 10}'
    assert read_service_class(text, None) == PUBLIC


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: PilotApp", "neither a service class nor a Consortium"),
        ("availability_bp: 9990", "latency_p95_ms: None"),
        ("{availability_bp: many, latency_p95_ms: 1, error_share_bp: 1}", "availability_bp: 'many'"),
        ("{kind: Consortium, spec: {serviceClasses: [{name: public}]}}", "no service class 'gold'.*has public"),
    ],
)
def test_a_wrong_class_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_service_class(text, "gold")


NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def written(measured: Run) -> probes.Measurement:
    line = json.dumps(measurement(measured, "trade", NOON, NOON + timedelta(seconds=10)))
    seen = probes.parse([line], "run")
    assert seen.problems == ()
    return seen.measurements[0]


def test_the_dashboard_reads_what_a_run_writes_down() -> None:
    silent, wrong = replace(GOOD, answered=False, right=False), replace(GOOD, right=False)
    line = written(run(*[GOOD] * 7, silent, wrong, intended=10))
    assert (line.pilot_app, line.requests, line.failed_requests, line.latency_p95_ms) == ("trade", 10, 3, 5)
    assert line.unavailable_ms == 2000  # one unanswered and one never sent, of ten in ten seconds


def test_a_run_without_arrivals_writes_no_latency() -> None:
    assert written(run(intended=10)).latency_p95_ms is None
    assert written(Run(intended=0, arrivals=(), generator_cpu_share=0)).unavailable_ms is None


def test_a_text_without_pilot_is_refused() -> None:
    with pytest.raises(ValueError, match="no PilotApp"):
        read_pilot("kind: Consortium")


def test_the_bar_takes_the_largest_error_and_misses_no_example() -> None:
    expected = [{"installation_id": "a", "cn_code": "1", "see_direct_t_per_t": "2", "see_indirect_t_per_t": "4"}]
    computed = [{**expected[0], "see_indirect_t_per_t": "5"}]
    assert float(largest_error(expected, computed)) == 0.25
    with pytest.raises(KeyError):
        largest_error(expected, [])
