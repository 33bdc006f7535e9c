"""How a device's energy register becomes accounting periods: pure rules over samples, without a driver or a disk.

Every millijoule of every register difference is in exactly one place: a closed period, the open one, or `unplaced_mj`
(what passed while nobody looked, across a period's end; it cannot be dated, so it is credited to no period).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from commonweal.apportion import largest_remainder
from commonweal.attribution import Interval
from commonweal.metering import Flag, Measurement, Scope


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Length of a period, and the longest time between two samples in which the device counts as seen."""

    period_ms: int
    max_gap_ms: int

    def start_of(self, at_ms: int) -> int:
        """Return the start of the period that holds this instant."""
        return at_ms - at_ms % self.period_ms


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a device: UTC milliseconds, the register, and the power at that moment where it is known."""

    at_ms: int
    register_mj: int
    power_mw: int | None


@dataclass(frozen=True, kw_only=True)
class Meter:
    """All that must survive a restart: the last sample, and what the open period holds so far."""

    uuid: str
    scope: Scope
    simulated: bool
    period_ms: int
    period_start_ms: int
    last: Sample
    epoch: int = 1
    sequence: int = 1
    energy_mj: int = 0
    estimated_mj: int = 0
    covered_ms: int = 0
    flags: frozenset[Flag] = frozenset()
    unplaced_mj: int = 0


Step = tuple[Meter, tuple[Measurement, ...]]


def begin(uuid: str, *, scope: Scope, simulated: bool, sample: Sample, rule: Rule) -> Meter:
    """Start a meter at its first sample; what the register counted before belongs to nobody here."""
    return Meter(
        uuid=uuid,
        scope=scope,
        simulated=simulated,
        period_ms=rule.period_ms,
        period_start_ms=rule.start_of(sample.at_ms),
        last=sample,
    )


def resumed(meter: Meter, rule: Rule) -> Meter:
    """Take a stored meter under this rule; a period cut short by a new charter is credited to nobody."""
    if meter.period_ms == rule.period_ms:
        return meter
    return replace(
        _opened(meter, rule.start_of(meter.last.at_ms), {Flag.OUTAGE}),
        period_ms=rule.period_ms,
        unplaced_mj=meter.unplaced_mj + meter.energy_mj,
    )


def advance(meter: Meter, sample: Sample, rule: Rule) -> Step:
    """Take one sample into the meter; return the periods that it closed.

    A register that fell has been reset: a new epoch begins, what it shows was drawn since, and at most the one interval
    before is estimated from the last power. A sample from a clock that stepped back changes nothing but a flag.
    """
    if is_clock_shift(meter, sample):
        return replace(meter, flags=meter.flags | {Flag.CLOCK_SHIFT}), ()
    interval = interval_of(meter, sample, rule)
    if interval.seen:
        return _advance_seen(meter, sample, interval, rule)
    start_ms = rule.start_of(sample.at_ms)
    in_one_period = start_ms == meter.period_start_ms == rule.start_of(meter.last.at_ms)
    flags = _flags(interval) | {Flag.OUTAGE}
    if in_one_period:
        return _counted(meter, sample, energy_mj=interval.measured_mj, flags=flags), ()
    meter, closed = _turned(meter, start_ms, {Flag.OUTAGE})
    meter = _counted(meter, sample, energy_mj=0, flags=flags)
    return replace(meter, unplaced_mj=meter.unplaced_mj + interval.measured_mj), closed


def interval_of(meter: Meter, sample: Sample, rule: Rule) -> Interval:
    """Return what the register counted since the meter's last sample, in millijoules, never below 0.

    A register that fell restarted at 0, so what it shows was drawn since. What was drawn before is lost; of a gap in
    which the device counts as seen it is estimated, at the last known power, and of a longer one it is not.
    """
    length_ms = sample.at_ms - meter.last.at_ms
    reset, seen = sample.register_mj < meter.last.register_mj, length_ms <= rule.max_gap_ms
    measured_mj = sample.register_mj - (0 if reset else meter.last.register_mj)
    estimated_mj = 0
    if reset and seen and meter.last.power_mw is not None:
        estimated_mj = max(0, meter.last.power_mw * length_ms // 1000 - measured_mj)
    return Interval(measured_mj=measured_mj, estimated_mj=estimated_mj, length_ms=length_ms, reset=reset, seen=seen)


def is_clock_shift(meter: Meter, sample: Sample) -> bool:
    """Tell whether a sample is dated no later than what the meter already counted."""
    return sample.at_ms <= meter.last.at_ms or sample.at_ms < meter.period_start_ms


def close_overdue(meter: Meter, now_ms: int, rule: Rule) -> Step:
    """Close a period whose end passed without a sample, so that a lost device delays no reading."""
    if now_ms < meter.period_start_ms + rule.period_ms + rule.max_gap_ms:
        return meter, ()
    return _turned(meter, rule.start_of(now_ms), {Flag.OUTAGE})


def _advance_seen(meter: Meter, sample: Sample, interval: Interval, rule: Rule) -> Step:
    pieces = dict(_pieces(meter.last.at_ms, sample.at_ms, rule))
    energies = largest_remainder(interval.measured_mj, pieces)
    estimates = largest_remainder(interval.estimated_mj, pieces)
    closed: list[Measurement] = []
    flags = _flags(interval)
    for start_ms, covered_ms in pieces.items():
        if start_ms != meter.period_start_ms:
            meter, done = _turned(meter, start_ms, frozenset())
            closed += done
        meter = _counted(
            meter,
            sample,
            energy_mj=energies[start_ms],
            estimated_mj=estimates[start_ms],
            covered_ms=covered_ms,
            flags=flags,
        )
        flags = frozenset()
    return meter, tuple(closed)


def _flags(interval: Interval) -> frozenset[Flag]:
    return frozenset({Flag.RESET}) if interval.reset else frozenset()


def _pieces(from_ms: int, to_ms: int, rule: Rule) -> Iterator[tuple[int, int]]:
    while from_ms < to_ms:
        start_ms = rule.start_of(from_ms)
        until_ms = min(to_ms, start_ms + rule.period_ms)
        yield start_ms, until_ms - from_ms
        from_ms = until_ms


def _counted(
    meter: Meter,
    sample: Sample,
    *,
    energy_mj: int,
    estimated_mj: int = 0,
    covered_ms: int = 0,
    flags: frozenset[Flag],
) -> Meter:
    return replace(
        meter,
        last=sample,
        epoch=meter.epoch + (Flag.RESET in flags),
        energy_mj=meter.energy_mj + energy_mj,
        estimated_mj=meter.estimated_mj + estimated_mj,
        covered_ms=meter.covered_ms + covered_ms,
        flags=meter.flags | flags,
    )


def _turned(meter: Meter, start_ms: int, flags: frozenset[Flag] | set[Flag]) -> Step:
    """Close the open period and open the one at `start_ms`; a period in which nothing was seen leaves no reading."""
    if start_ms == meter.period_start_ms:
        return replace(meter, flags=meter.flags | flags), ()
    if not (meter.covered_ms or meter.energy_mj):
        return _opened(meter, start_ms, meter.flags | flags), ()
    partial = {Flag.PARTIAL} if meter.covered_ms < meter.period_ms else set()
    said = meter.flags | flags | partial
    measurement = Measurement(
        meter=meter.uuid,
        sequence=meter.sequence,
        period_start=_utc(meter.period_start_ms),
        period_end=_utc(meter.period_start_ms + meter.period_ms),
        energy_mj=meter.energy_mj,
        estimated_mj=meter.estimated_mj,
        device_seconds=meter.covered_ms // 1000,
        gpu_count=1,
        scope=meter.scope,
        epoch=meter.epoch,
        flags=tuple(flag for flag in Flag if flag in said),
        simulated=meter.simulated,
    )
    return replace(_opened(meter, start_ms, flags), sequence=meter.sequence + 1), (measurement,)


def _opened(meter: Meter, start_ms: int, flags: frozenset[Flag] | set[Flag]) -> Meter:
    return replace(meter, period_start_ms=start_ms, energy_mj=0, estimated_mj=0, covered_ms=0, flags=frozenset(flags))


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, UTC)
