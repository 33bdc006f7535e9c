"""Whether an object is ready, and why not, in the words of its own Ready condition."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from commonweal.kinds.equity_statement import LogPosition
from commonweal.kinds.meta import ConditionStatus, Resource, Status
from dashboards.figures import Position
from dashboards.hub import Snapshot

READY = "Ready"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """The Ready condition of one object; UNKNOWN where nobody has reported on this generation."""

    kind: str
    name: str
    status: ConditionStatus
    reason: str | None
    message: str | None
    since: datetime | None


def readiness(item: Resource, kind: str = READY) -> Readiness:
    """Return what the object's status says of being ready, or of another condition.

    A condition about an earlier generation is not an answer about this one, as the Kubernetes API conventions have it.
    """
    status: Status | None = getattr(item, "status", None)
    found = next((one for one in status.conditions if one.type == kind), None) if status else None
    name = f"{item.metadata.namespace}/{item.metadata.name}" if item.metadata.namespace else item.metadata.name
    if found is None:
        return _unknown(item, name, "NotReported", "no operator has reported on it yet")
    if found.observed_generation < item.metadata.generation:
        return _unknown(item, name, "Outdated", "the operator has not seen the last change yet")
    return Readiness(
        kind=item.definition.kind,
        name=name,
        status=found.status,
        reason=found.reason,
        message=found.message,
        since=found.last_transition_time,
    )


def _unknown(item: Resource, name: str, reason: str, message: str) -> Readiness:
    return Readiness(
        kind=item.definition.kind,
        name=name,
        status=ConditionStatus.UNKNOWN,
        reason=reason,
        message=message,
        since=None,
    )


def word(status: ConditionStatus) -> str:
    """Name a condition's status with a sign, so that it does not rest on colour."""
    return {ConditionStatus.TRUE: "✓ ready", ConditionStatus.FALSE: "✗ not ready"}.get(status, "? unknown")


def now_of(snapshot: Snapshot) -> Position:
    """Return the position of figures that show the hub as it was read."""
    return Position(as_of=snapshot.taken_at, log=latest_log(snapshot))


def latest_log(snapshot: Snapshot) -> LogPosition | None:
    """Return the log position of the last closed period."""
    return snapshot.statements[-1].spec.log if snapshot.statements else None


def member_names(snapshot: Snapshot) -> dict[str, str]:
    """Map members to how a page names them: what they call themselves, then the name in manifests."""
    return {member.metadata.name: f"{member.spec.display_name} ({member.metadata.name})" for member in snapshot.members}


def listing(parts: Iterable[str]) -> str:
    """Join words as a sentence does."""
    *head, last = list(parts) or ["none"]
    return f"{', '.join(head)} and {last}" if head else last
