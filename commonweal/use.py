"""What a job used, as one side saw it: reserved devices and cores, times the seconds that they stood ready.

Provider and consumer each look with their own clock, at what each can see, and count by the same rule; what they sign
is compared in receipts.py. A side counts only between two looks that both saw the job, so a look that is missed, a
clock that steps or a process that dies makes it count less and never more.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from commonweal.ledger import Unit
from commonweal.metering import Name
from commonweal.receipts import Usage

MAX_GAP = timedelta(seconds=30)  # a restart is bridged where both ends saw the job; a longer silence is not use
MICRO = 10**6  # thousandths of a device or core, times milliseconds, in one device- or core-second
UNITS = (Unit.GPU_SECONDS, Unit.CORE_SECONDS)


class Job(BaseModel):
    """A consumer's application on a provider's machines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Name
    consumer: Name
    name: Name


class Reserved(BaseModel):
    """What a job holds at one instant, in thousandths of a device and of a core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Job
    gpu_millis: int
    cpu_millis: int

    def millis(self, unit: Unit) -> int:
        """The reservation that a unit counts."""
        return self.gpu_millis if unit is Unit.GPU_SECONDS else self.cpu_millis


class Counted(BaseModel):
    """What a job used of one unit in one period so far, in millionths of a second of a whole device or core."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: Job
    unit: Unit
    period_start: AwareDatetime
    period_s: int
    micro_seconds: int

    @property
    def period_end(self) -> datetime:
        """The end of the period, exclusive."""
        return self.period_start + timedelta(seconds=self.period_s)


class Tally(BaseModel):
    """All that must survive a restart: the last look, what it saw, and what is counted of periods not yet signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime | None = None
    held: tuple[Reserved, ...] = ()
    counted: tuple[Counted, ...] = ()


def looked(tally: Tally, held: Iterable[Reserved], at: datetime, *, period_s: int) -> Tally:
    """Take one look into a tally: since the last one each job used the lesser of what either saw.

    A look that is not later than the last one counts nothing, and neither does the time up to it.
    """
    now = {one.job: one for one in held}
    if tally.at is not None and at < tally.at:
        return tally.model_copy(update={"held": tuple(now.values())})
    counted = {(one.job, one.unit, one.period_start, one.period_s): one.micro_seconds for one in tally.counted}
    if tally.at is not None and at - tally.at <= MAX_GAP:
        for before in tally.held:
            for key, micro_seconds in _used(before, now.get(before.job), tally.at, at, period_s):
                counted[key] = counted.get(key, 0) + micro_seconds
    rows = (
        Counted(job=job, unit=unit, period_start=start, period_s=length, micro_seconds=micro_seconds)
        for (job, unit, start, length), micro_seconds in counted.items()
    )
    return Tally(at=at, held=tuple(now.values()), counted=tuple(rows))


Key = tuple[Job, Unit, datetime, int]


def _used(
    before: Reserved, after: Reserved | None, begin: datetime, end: datetime, period_s: int
) -> Iterator[tuple[Key, int]]:
    if after is None:
        return
    for unit in UNITS:
        if millis := min(before.millis(unit), after.millis(unit)):
            for start, length in _pieces(begin, end, period_s):
                yield (before.job, unit, start, period_s), millis * (length // timedelta(milliseconds=1))


def _pieces(begin: datetime, end: datetime, period_s: int) -> Iterator[tuple[datetime, timedelta]]:
    """Cut a span at the ends of periods; a period starts at a whole multiple of its length in UTC."""
    while begin < end:
        start_s = int(begin.timestamp()) // period_s * period_s
        until = min(end, datetime.fromtimestamp(start_s + period_s, UTC))
        yield datetime.fromtimestamp(start_s, UTC), until - begin
        begin = until


def closed(tally: Tally) -> tuple[Usage, ...]:
    """Return what is to be signed: each job's whole seconds of every period that the last look is past, in order.

    A fraction of a second is dropped, by either side alike.
    """
    usages = [
        Usage(
            provider=one.job.provider,
            consumer=one.job.consumer,
            job=one.job.name,
            unit=one.unit,
            amount=one.micro_seconds // MICRO,
            period_start=one.period_start,
            period_end=one.period_end,
        )
        for one in _over(tally)
        if one.micro_seconds >= MICRO
    ]
    return tuple(sorted(usages, key=lambda usage: (usage.period_start, usage.key)))


def without_closed(tally: Tally) -> Tally:
    """Return the tally without what `closed` returns: it is signed and sent."""
    over = set(_over(tally))
    return tally.model_copy(update={"counted": tuple(one for one in tally.counted if one not in over)})


def _over(tally: Tally) -> Iterator[Counted]:
    return (one for one in tally.counted if tally.at is not None and one.period_end <= tally.at)


def total(reserved: Iterable[Reserved]) -> tuple[Reserved, ...]:
    """Sum what several pods or replicas of one job hold."""
    sums: dict[Job, tuple[int, int]] = {}
    for one in reserved:
        gpus, cpus = sums.get(one.job, (0, 0))
        sums[one.job] = gpus + one.gpu_millis, cpus + one.cpu_millis
    return tuple(Reserved(job=job, gpu_millis=gpus, cpu_millis=cpus) for job, (gpus, cpus) in sums.items())
