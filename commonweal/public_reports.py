"""What a gateway tells everyone: how often it was asked for what, and how far its audit log is witnessed.

Counts come from the audit log, hour by hour once an hour is over, and none that stands on few questions is told. Who
asked, and in which words, is in no report.
"""

import base64
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError

from commonweal.checkpoints import MAX_NOTE_BYTES
from commonweal.kinds.data_trust import Purpose
from commonweal.kinds.meta import Count, MemberName, Model, Name
from commonweal.signatures import signed_by
from commonweal.transparency import Json

HOUR = timedelta(hours=1)
KEPT = timedelta(days=7)
MINIMUM_COUNT = 5  # of fewer questions, a beneficiary could be told apart by when it asks
_PATIENCE = timedelta(hours=1)  # an entry without an outcome after that was cut off by a crash

Note = Annotated[str, StringConstraints(max_length=MAX_NOTE_BYTES)]
Vkey = Annotated[str, StringConstraints(max_length=512)]
Subject = tuple[str, str]  # trust and purpose, as an asker named them


def audit_origin(member: str) -> str:
    """The name of a member's audit log, which its checkpoints are about and its key bears."""
    return f"commonweal.dev/audit/{member}"


class ReportError(ValueError):
    """A report cannot be believed; the message says why and what to do."""


class Outcome(StrEnum):
    """How a question ended."""

    ANSWERED = "answered"
    REFUSED = "refused"


class Use(Model):
    """Questions of one hour for one purpose; None stands for at least one and fewer than `minimumCount`."""

    trust: Name | None = None
    """The trust; unset for questions about what the member's policies do not name."""
    purpose: Purpose | None = None
    """The purpose that was stated; unset as above."""
    hour: AwareDatetime
    """Start of the hour in which they ended."""
    answered: Count | None
    """Questions answered."""
    refused: Count | None
    """Questions refused."""


class Witnessed(Model):
    """What a witness cosigned last."""

    vkey: Vkey
    """The witness's public key, as the member's operators were given it."""
    note: Note
    """The checkpoint with the witness's cosignature."""


class Report(Model):
    """Everything that one gateway tells everyone."""

    version: Literal["commonweal-report-v1"] = "commonweal-report-v1"
    member: MemberName
    """Whose gateway it is."""
    as_of: AwareDatetime
    """When it was made."""
    minimum_count: Annotated[int, Field(ge=1, le=1_000_000)] = MINIMUM_COUNT
    """Counts above 0 and below this are not told."""
    uses: Annotated[tuple[Use, ...], Field(max_length=20_000)]
    """Hours that are over, of the last seven days; an hour without questions is left out."""
    vkey: Vkey
    """The public key of the member's audit log."""
    checkpoint: Note
    """The newest signed checkpoint of that log."""
    witnesses: Annotated[tuple[Witnessed, ...], Field(max_length=64)]
    """What its witnesses cosigned."""


@dataclass
class Tally:
    """Counts of a log's questions by trust, purpose and hour, entry by entry."""

    counts: Counter[tuple[Subject, datetime, Outcome]] = field(default_factory=Counter)
    _asked: dict[str, tuple[Subject, datetime]] = field(default_factory=dict)

    def add(self, entry: Mapping[str, Json]) -> None:
        """Take the next entry of the log, of whatever kind.

        A member's masked part of a federated answer is none of its own; the combiner's release is what counts.
        """
        at, request = datetime.fromisoformat(str(entry["at"])).astimezone(UTC), str(entry.get("request"))
        match entry.get("kind"):
            case "asked":
                self._asked[request] = (_subject(entry), at)
            case "refused":
                self._asked.pop(request, None)
                self._count(_subject(entry), at, Outcome.REFUSED)
            case "answered" | "released" if "masked_for" not in entry:
                asked = self._asked.pop(request, None)
                if asked is not None:
                    self._count(asked[0], at, Outcome.ANSWERED)
            case "failed":
                self._asked.pop(request, None)

    def _count(self, subject: Subject, at: datetime, outcome: Outcome) -> None:
        self.counts[subject, at.replace(minute=0, second=0, microsecond=0), outcome] += 1

    def forget(self, now: datetime) -> None:
        """Drop hours that no report tells any more, and questions that a crash left without an outcome."""
        self.counts = Counter({key: count for key, count in self.counts.items() if key[1] >= now - KEPT})
        self._asked = {request: asked for request, asked in self._asked.items() if now - asked[1] < _PATIENCE}


def _subject(entry: Mapping[str, Json]) -> Subject:
    return str(entry.get("trust")), str(entry.get("purpose"))


def uses(
    counts: Mapping[tuple[Subject, datetime, Outcome], int], declared: Collection[Subject], now: datetime
) -> tuple[Use, ...]:
    """Return what may be told: hours that are over, small counts left out, undeclared names never repeated.

    Args:
        counts: of a `Tally`.
        declared: trusts and purposes of the member's policies; an asker can write anything into the others.
        now: the current hour is not told, since who looks twice would see single questions.
    """
    told: Counter[tuple[Subject | None, datetime, Outcome]] = Counter()
    for (subject, hour, outcome), count in counts.items():
        if now - KEPT <= hour <= now - HOUR:
            told[subject if subject in declared else None, hour, outcome] += count
    lines = {(subject, hour) for subject, hour, _ in told}
    return tuple(
        Use(
            trust=subject[0] if subject else None,
            purpose=Purpose(subject[1]) if subject else None,
            hour=hour,
            answered=_told(told[subject, hour, Outcome.ANSWERED]),
            refused=_told(told[subject, hour, Outcome.REFUSED]),
        )
        for subject, hour in sorted(lines, key=lambda line: (line[1], line[0] or ("", "")))
    )


def _told(count: int) -> int | None:
    return count if count == 0 or count >= MINIMUM_COUNT else None


def envelope(report: Report, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the document that a gateway publishes, signed by its key."""
    text = report.model_dump_json(by_alias=True)
    signature = sign(_signed(report.version, text))
    return json.dumps({"report": text, "signature": base64.b64encode(signature).decode()}).encode()


def _signed(version: str, text: str) -> bytes:
    """The bytes that a gateway signs: what they are, and the report."""
    return f"{version}\n{text}".encode()


def read_report(content: bytes, member: str, certificate_pem: str) -> Report:
    """Read what a gateway published.

    Raises:
        ReportError: it is no report, not of this member, or not signed by the key of its certificate.
    """
    try:
        document = json.loads(content)
        signature = base64.b64decode(document["signature"], validate=True)
        report = Report.model_validate_json(document["report"])
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReportError(f"report of {member}: cannot be read ({type(error).__name__}); compare versions") from error
    if not signed_by(certificate_pem, _signed(report.version, document["report"]), signature):
        raise ReportError(f"report of {member}: is not signed by its gateway's key; ask the member's operators")
    if report.member != member:
        raise ReportError(f"report of {member}: is of {report.member}; ask the member's operators")
    return report
