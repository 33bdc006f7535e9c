"""Work that members did for all: what counts is time that others approved, and no minute of a person counts twice.

An hour reported as two halves, or twice, or by two members, is an hour: of each person the union of the approved
spans counts, and where two members report one person, the earlier report has it.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from commonweal.transparency import canonical_json

SECOND = timedelta(seconds=1)


class WorkError(ValueError):
    """A record that counts for nothing; the message names the field and the remedy."""


@dataclass(frozen=True, kw_only=True)
class WorkRecord:
    """A span of one person's work for the consortium, reported by its member and approved by others.

    `person` is a pseudonym that the member keeps stable; `task` is what was done, for those who approve it.
    """

    member: str
    person: str
    task: str
    begin: datetime
    end: datetime
    approved_by: frozenset[str]

    def __post_init__(self) -> None:
        """Refuse a span that cannot have been worked.

        Raises:
            WorkError: no task or person, no whole seconds in UTC, or an end that is not after its begin.
        """
        for field in ("member", "person", "task"):
            if not getattr(self, field):
                raise WorkError(f"{field}: empty; a record names member, person and task")
        for field in ("begin", "end"):
            at: datetime = getattr(self, field)
            if at.utcoffset() != timedelta(0) or at.microsecond:
                raise WorkError(f"{field}: {at.isoformat()} is not a whole second in UTC")
        if self.end <= self.begin:
            raise WorkError(f"end: {self.end:%FT%TZ} is not after {self.begin:%FT%TZ}")

    @property
    def id(self) -> str:
        """The hash of what was reported; approvals come later and do not change it."""
        reported = {
            "begin": self.begin.isoformat(),
            "end": self.end.isoformat(),
            "member": self.member,
            "person": self.person,
            "task": self.task,
        }
        return sha256(canonical_json(reported)).hexdigest()


def refusal(record: WorkRecord, *, quorum: int, period: tuple[datetime, datetime]) -> str:
    """Why a record does not count in a period; empty if it does.

    A member does not approve its own work, and a span belongs to the period that holds all of it.
    """
    others = record.approved_by - {record.member}
    if len(others) < quorum:
        return f"approved_by: {len(others)} of {quorum} other members; ask for {quorum - len(others)} more approvals"
    if not period[0] <= record.begin < record.end <= period[1]:
        return f"begin: {record.begin:%FT%TZ} to {record.end:%FT%TZ} is not within the period; cut the span at its ends"
    return ""


def approved_seconds(
    records: Iterable[WorkRecord], *, quorum: int, period: tuple[datetime, datetime]
) -> dict[str, int]:
    """Each member's approved seconds of a period: of each person the union of spans, each second once.

    Two members that report one person's same second: it is the first's, by begin and then by the member's name.
    """
    spans: defaultdict[str, list[WorkRecord]] = defaultdict(list)
    for record in records:
        if not refusal(record, quorum=quorum, period=period):
            spans[record.person].append(record)
    seconds: defaultdict[str, int] = defaultdict(int)
    for reported in spans.values():
        until = period[0]
        for record in sorted(reported, key=lambda one: (one.begin, one.member, one.end)):
            seconds[record.member] += max(timedelta(0), record.end - max(record.begin, until)) // SECOND
            until = max(until, record.end)
    return dict(seconds)
