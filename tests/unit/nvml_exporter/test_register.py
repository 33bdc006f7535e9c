"""Registers into periods: joules close to the millijoule, and what is closed is what the hub's verifier accepts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from commonweal.metering import Flag, Limits, Measurement, Reading, Scope, Verdict, adopt, signed_bytes, verify
from infra.nvml_exporter.register import Meter, Rule, Sample, advance, begin, close_overdue, resumed

RULE = Rule(period_ms=60_000, max_gap_ms=10_000)
LIMITS = Limits(period_s=60, max_power_mw=700_000, min_power_mw=0, allow_simulated=True)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def sample(at_ms: int, register_mj: int, power_mw: int | None = 300_000) -> Sample:
    return Sample(at_ms=at_ms, register_mj=register_mj, power_mw=power_mw)


def started(first: Sample, rule: Rule = RULE) -> Meter:
    return begin("GPU-1", scope=Scope.GPU, simulated=True, sample=first, rule=rule)


def run(first: Sample, *samples: Sample, rule: Rule = RULE) -> tuple[Meter, list[Measurement]]:
    meter, closed = started(first, rule), list[Measurement]()
    for each in samples:
        meter, done = advance(meter, each, rule)
        closed += done
    return meter, closed


def steady(from_s: int, to_s: int, watts: int = 300) -> list[Sample]:
    return [sample(s * 1000, s * watts * 1000) for s in range(from_s, to_s + 1)]


@st.composite
def traces(draw: st.DrawFn) -> list[Sample]:
    """Plausible lives of a device: at most 700 W, with resets, outages and a clock that steps back."""
    at_ms, register_mj = draw(st.integers(0, 60_000)), draw(st.integers(0, 2 * 10**9))
    samples = [sample(at_ms, register_mj, 700_000)]
    for _ in range(draw(st.integers(1, 25))):
        elapsed_ms = draw(st.sampled_from([100, 1000, 7_500, 10_000, 10_001, 45_000, 200_000]))
        drawn_mj = draw(st.integers(0, 700 * elapsed_ms))
        register_mj = drawn_mj if draw(st.integers(0, 9)) == 0 else register_mj + drawn_mj
        at_ms += elapsed_ms
        shown_ms = at_ms - 50_000 if draw(st.integers(0, 9)) == 0 else at_ms
        samples.append(sample(max(0, shown_ms), register_mj, draw(st.sampled_from([None, 700_000]))))
    return samples


def differences(samples: list[Sample], meter_path: list[Meter]) -> int:
    total = 0
    for each, before in zip(samples[1:], meter_path, strict=False):
        if each.at_ms > before.last.at_ms and each.at_ms >= before.period_start_ms:
            fell = each.register_mj < before.last.register_mj
            total += each.register_mj - (0 if fell else before.last.register_mj)
    return total


@given(trace=traces())
def test_every_millijoule_is_in_a_period_or_named_unplaced(trace: list[Sample]) -> None:
    meters, closed = [started(trace[0])], list[Measurement]()
    for each in trace[1:]:
        meter, done = advance(meters[-1], each, RULE)
        meters.append(meter)
        closed += done
    last = meters[-1]
    placed = sum(measurement.energy_mj for measurement in closed) + last.energy_mj
    assert placed + last.unplaced_mj == differences(trace, meters)
    assert all(m.energy_mj >= 0 and m.estimated_mj >= 0 and 0 <= m.device_seconds <= 60 for m in closed)


@given(trace=traces())
def test_whatever_a_meter_closes_the_hub_accepts(trace: list[Sample]) -> None:
    _, closed = run(trace[0], *trace[1:])
    previous: Reading | None = None
    for measurement in closed:
        reading = adopt(measurement, member="kr", previous=previous)
        verdict = judged(reading, previous)
        assert verdict.accepted, verdict.findings
        previous = reading


def judged(reading: Reading, previous: Reading | None) -> Verdict:
    return verify(
        reading.payload(),
        KEY.sign(signed_bytes(reading.payload())),
        KEY.public_key(),
        member="kr",
        previous=previous,
        limits=LIMITS,
        received_at=datetime(2026, 11, 24, tzinfo=UTC),
    )


@given(looks=st.sets(st.integers(1, 59), min_size=1))
def test_looking_less_often_within_a_period_moves_no_joule(looks: set[int]) -> None:
    rising = [each for each in steady(0, 59) if each.at_ms // 1000 in looks | {0}]
    meter, closed = run(rising[0], *rising[1:])
    assert (meter.energy_mj, closed) == (rising[-1].register_mj, [])


def test_a_reset_books_what_was_measured_and_estimates_one_interval_at_most() -> None:
    """700 W, 15 s between samples, the driver reloaded after 10 s: others book -1,996,500 J, or 0 of 10,500 J."""
    rule = Rule(period_ms=60_000, max_gap_ms=15_000)
    meter, _ = run(sample(0, 2_000_000_000, 700_000), sample(15_000, 3_500_000, 700_000), rule=rule)
    assert (meter.energy_mj, meter.estimated_mj, meter.epoch) == (3_500_000, 7_000_000, 2)
    assert meter.flags == {Flag.RESET}


def test_a_reset_while_nobody_looked_estimates_nothing() -> None:
    meter, _ = run(sample(0, 2_000_000_000), sample(30_000, 3_500_000))
    assert (meter.energy_mj, meter.estimated_mj, meter.covered_ms) == (3_500_000, 0, 0)
    assert meter.flags == {Flag.RESET, Flag.OUTAGE}


def test_a_whole_period_is_covered_to_the_second_and_says_nothing() -> None:
    _, (first, second) = run(*steady(0, 121))
    assert (first.device_seconds, first.energy_mj, first.flags) == (60, 18_000_000, ())
    assert (second.sequence, second.period_start, second.period_end) == (
        2,
        datetime(1970, 1, 1, 0, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 2, tzinfo=UTC),
    )


def test_a_first_period_shows_its_real_coverage_and_is_not_stretched() -> None:
    _, (first,) = run(*steady(37, 61))
    assert (first.device_seconds, first.energy_mj, first.flags) == (23, 6_900_000, (Flag.PARTIAL,))


def test_an_interval_across_a_boundary_is_split_by_time() -> None:
    meter, (closed,) = run(sample(59_000, 0), sample(61_500, 1000))
    assert (closed.energy_mj, meter.energy_mj) == (400, 600)
    assert (closed.device_seconds, meter.covered_ms) == (1, 1500)


def test_downtime_within_a_period_keeps_its_joules_and_loses_its_seconds() -> None:
    _, (first,) = run(*steady(0, 10), *steady(40, 61))
    assert (first.energy_mj, first.device_seconds) == (18_000_000, 30)
    assert first.flags == (Flag.PARTIAL, Flag.OUTAGE)


def test_periods_that_nobody_metered_leave_no_reading_and_their_joules_no_owner() -> None:
    meter, closed = run(*steady(0, 10), *steady(200, 241))
    assert [(m.sequence, m.energy_mj, m.period_start.minute) for m in closed] == [(1, 3_000_000, 0), (2, 12_000_000, 3)]
    assert meter.unplaced_mj == 190 * 300_000
    assert meter.energy_mj == 300_000


def test_a_lost_device_delays_no_reading() -> None:
    meter, _ = run(*steady(0, 30))
    assert close_overdue(meter, 69_999, RULE) == (meter, ())
    meter, (closed,) = close_overdue(meter, 70_000, RULE)
    assert (closed.energy_mj, closed.device_seconds, closed.flags) == (9_000_000, 30, (Flag.PARTIAL, Flag.OUTAGE))
    meter, nothing = close_overdue(meter, 500_000, RULE)
    assert nothing == ()
    meter, _ = advance(meter, sample(510_000, 510 * 300_000), RULE)
    assert (meter.unplaced_mj, meter.sequence) == (480 * 300_000, 2)


def test_a_clock_that_steps_back_counts_nothing_twice() -> None:
    meter, closed = run(*steady(0, 30), sample(10_000, 31 * 300_000), *steady(31, 61))
    assert [(m.energy_mj, m.flags) for m in closed] == [(18_000_000, (Flag.CLOCK_SHIFT,))]
    assert meter.energy_mj == 300_000


def test_a_period_cut_short_by_a_new_charter_is_credited_to_nobody() -> None:
    meter, _ = run(*steady(0, 30))
    rule = replace(RULE, period_ms=20_000)
    resumed_meter = resumed(meter, rule)
    assert (resumed_meter.energy_mj, resumed_meter.unplaced_mj) == (0, 9_000_000)
    assert timedelta(milliseconds=resumed_meter.period_start_ms) == timedelta(seconds=20)
    assert resumed(meter, RULE) is meter
