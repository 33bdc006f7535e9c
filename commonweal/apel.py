"""What members used of one member's machines in a month, as APEL's summary, sync and accelerator messages say it.

A job is one application in one accounting period. A core-second of ours is a second of a one-processor job, by wall and
by processor alike: it was reserved, and its share of the processor is not what two sides signed for. Formats: APEL's
normalised summary v0.3 and sync v0.1 (apel/db), accelerator v0.1.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from commonweal.ledger import Transfer, Unit, used
from commonweal.metering import normalised_seconds


@dataclass(frozen=True, kw_only=True)
class Site:
    """How a member's machines are known to grid accounting; `benchmark` is per core, as HEPScore23."""

    member: str
    name: str
    submit_host: str
    benchmark: Fraction
    gpu_model: str


@dataclass(frozen=True, kw_only=True)
class Messages:
    """The three messages of a month, and how many jobs they speak of."""

    summary: str
    sync: str
    accelerator: str
    jobs: int


def messages(site: Site, month: datetime, postings: Iterable[Transfer]) -> Messages:
    """Sum what was posted of a month's periods, in UTC, by consumer; a posting that comes twice counts once."""
    jobs: defaultdict[str, set[str]] = defaultdict(set)
    seconds: Counter[tuple[str, Unit]] = Counter()
    seen: set[str] = set()
    for each in postings:
        consumer = _consumer(each, site.member)
        here = (each.period_start.year, each.period_start.month) == (month.year, month.month)
        if consumer is None or not here or each.id in seen:
            continue
        seen.add(each.id)
        seconds[consumer, each.unit] += each.amount
        if each.unit is Unit.CORE_SECONDS:
            jobs[consumer].add(each.id)
    count = sum(map(len, jobs.values()))
    return Messages(
        summary="APEL-summary-job-message: v0.3\n"
        + "".join(_summary(site, month, one, seconds[one, Unit.CORE_SECONDS], len(jobs[one])) for one in sorted(jobs)),
        sync="APEL-sync-message: v0.1\n" + _record(_place(site, month) | {"NumberOfJobs": count}),
        accelerator=json.dumps(
            {
                "Type": "APEL-accelerator-message",
                "Version": "0.1",
                "UsageRecords": [
                    _accelerator(site, month, one, amount)
                    for (one, unit), amount in sorted(seconds.items())
                    if unit is Unit.GPU_SECONDS
                ],
            }
        ),
        jobs=count,
    )


def _consumer(transfer: Transfer, provider: str) -> str | None:
    """Whose use of the provider's machines a posting is; None if it is of something else."""
    parts = transfer.debit.split("/")
    return parts[1] if len(parts) == 4 and transfer.debit == used(parts[1], provider) else None


def _place(site: Site, month: datetime) -> dict[str, str | int]:
    return {"Site": site.name, "SubmitHost": site.submit_host, "Month": month.month, "Year": month.year}


def _summary(site: Site, month: datetime, consumer: str, core_seconds: int, jobs: int) -> str:
    normalised = normalised_seconds([(core_seconds, site.benchmark)])
    return _record(
        _place(site, month)
        | {
            "VO": consumer,
            "Infrastructure": "grid",
            "Processors": 1,
            "NodeCount": 1,
            "WallDuration": core_seconds,
            "CpuDuration": core_seconds,
            "NormalisedWallDuration": normalised,
            "NormalisedCpuDuration": normalised,
            "NumberOfJobs": jobs,
        }
    )


def _accelerator(site: Site, month: datetime, consumer: str, gpu_seconds: int) -> dict[str, str | int]:
    """Seconds of one device; ActiveDuration is left out, because a reservation does not say how busy it was."""
    return {
        "MeasurementMonth": month.month,
        "MeasurementYear": month.year,
        "AssociatedRecordType": "cloud",
        "AssociatedRecord": f"{site.member}-{consumer}-{month:%Y-%m}",
        "SiteName": site.name,
        "FQAN": consumer,
        "Count": 1,
        "AvailableDuration": gpu_seconds,
        "Type": "GPU",
        "Model": site.gpu_model,
    }


def _record(fields: dict[str, str | int]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields.items()) + "%%\n"
