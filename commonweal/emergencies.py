"""When an access beyond every grant is open, until when, and whether trustees still owe a review of it.

Two people of two trustees open it; the clock starts when the object is created, so that nobody's word moves it. What
is open becomes a live grant of the policy (commonweal/grants.py), and everything that a trust denies stays denied.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from commonweal.grants import EmergencyNote, LiveGrant, Policy
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.emergency_access import EmergencyAccess, EmergencyReason, Opening, ReviewReason
from commonweal.transparency import Json, canonical_json

REVIEW_DUE = "ReviewDue"
_ONCE_OPEN = (ReviewReason.STILL_OPEN, ReviewReason.AWAITING_REVIEW, ReviewReason.REVIEWED)
PEOPLE = 2  # one person may err or be forced; two of different members hardly both


@dataclass(frozen=True, kw_only=True)
class EmergencyState:
    """The Ready condition of an EmergencyAccess, and when it changes by itself (None: not by the clock)."""

    ready: bool
    reason: EmergencyReason
    message: str
    changes_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewState:
    """The ReviewDue condition."""

    due: bool
    reason: ReviewReason
    message: str


def ends_at(access: EmergencyAccess) -> datetime:
    """When an access ends by itself.

    Raises:
        ValueError: the object was never created, so that its clock never started.
    """
    created = access.metadata.creation_timestamp
    if created is None:
        raise ValueError("metadata.creationTimestamp: is missing; read the object from the hub")
    return created + timedelta(hours=access.spec.hours)


def emergency_state(access: EmergencyAccess, trust: DataTrust | None, now: datetime) -> EmergencyState:
    """Decide whether an access is open.

    Closed outranks everything: no later fact opens it again. What can never open says so before it wakes a second
    trustee.
    """
    if access.spec.closed:
        return _shut(EmergencyReason.CLOSED, "Closed by a trustee; open a new one if it is needed again")
    if trust is None or trust.metadata.name != access.spec.trust:
        return _shut(EmergencyReason.UNKNOWN_TRUST, f"spec.trust: there is no DataTrust {access.spec.trust}")
    unfit = _unfit(access, trust)
    if unfit is not None:
        return _shut(*unfit)
    until = ends_at(access)
    if now >= until:
        return _shut(EmergencyReason.ENDED, f"Ended at {until.isoformat()}; ask for a grant")
    speaking = _speaking(access, trust)
    if not _opened(speaking):
        said = ", ".join(sorted(each.trustee for each in speaking)) or "nobody"
        message = f"Opened by {said}; {PEOPLE} people of different trustees are needed before {until.isoformat()}"
        return EmergencyState(ready=False, reason=EmergencyReason.AWAITING_TRUSTEES, message=message, changes_at=until)
    people = ", ".join(f"{each.person} for {each.trustee}" for each in speaking)
    message = f"Open until {until.isoformat()} by {people}: {access.spec.reason}"
    return EmergencyState(ready=True, reason=EmergencyReason.OPEN, message=message, changes_at=until)


def recorded(access: EmergencyAccess) -> bool:
    """Whether its status says that it was open; before that no policy carries it, so that no opening goes unseen."""
    conditions = access.status.conditions if access.status else ()
    return any(each.type == REVIEW_DUE and each.reason in _ONCE_OPEN for each in conditions)


def review_state(access: EmergencyAccess, trust: DataTrust | None, now: datetime) -> ReviewState:
    """Decide whether a review is due: once it was open and is not any more, until a quorum of trustees gave one."""
    if emergency_state(access, trust, now).ready:
        message = "A review is due when it has ended or was closed"
        return ReviewState(due=False, reason=ReviewReason.STILL_OPEN, message=message)
    if not recorded(access):
        return ReviewState(due=False, reason=ReviewReason.NEVER_OPENED, message="It was not open; nothing to review")
    if trust is None or trust.metadata.name != access.spec.trust:
        message = f"There is no DataTrust {access.spec.trust} whose trustees could review it; restore the trust"
        return ReviewState(due=True, reason=ReviewReason.AWAITING_REVIEW, message=message)
    reviews = {review.trustee: review for review in access.spec.reviews if review.trustee in trust.spec.trustees}
    if len(reviews) < trust.spec.quorum:
        waiting = ", ".join(sorted(set(trust.spec.trustees) - set(reviews)))
        message = f"{len(reviews)} of {trust.spec.quorum} trustees reviewed it; {waiting} may still do so"
        return ReviewState(due=True, reason=ReviewReason.AWAITING_REVIEW, message=message)
    found = "; ".join(f"{name}: {review.finding}" for name, review in sorted(reviews.items()))
    return ReviewState(due=False, reason=ReviewReason.REVIEWED, message=found)


def live_emergencies(accesses: Iterable[EmergencyAccess], trust: DataTrust, now: datetime) -> tuple[LiveGrant, ...]:
    """Return what is open now, and known to be, as the policy carries it: under the trust's own rules alone."""
    return tuple(
        LiveGrant(
            name=access.metadata.name,
            beneficiary=access.spec.beneficiary.pilot_app,
            purpose=access.spec.purpose,
            datasets=tuple(sorted(access.spec.datasets)),
            expires_at=ends_at(access),
            hash=_hash(access),
            emergency=EmergencyNote(
                reason=access.spec.reason,
                opened_by=tuple(f"{each.trustee}: {each.person}" for each in _speaking(access, trust)),
            ),
        )
        for access in sorted(accesses, key=lambda each: each.metadata.name)
        if recorded(access) and emergency_state(access, trust, now).ready
    )


def _hash(access: EmergencyAccess) -> str:
    """Names what was opened, as an agreement's hash names what was agreed."""
    said = access.spec.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"openings", "closed", "reviews"}
    )
    text = canonical_json({**said, "version": "commonweal-emergency-v1", "name": access.metadata.name})
    return sha256(text).hexdigest()


def emergency_entry(policy: Policy | None, grant: str) -> dict[str, Json]:
    """What an audit entry says of the emergency under which a question is asked; nothing where there is none."""
    live = None if policy is None else policy.grant(grant)
    if live is None or live.emergency is None:
        return {}
    return {"emergency": {"reason": live.emergency.reason, "opened_by": list(live.emergency.opened_by)}}


def _shut(reason: EmergencyReason, message: str) -> EmergencyState:
    return EmergencyState(ready=False, reason=reason, message=message)


def _unfit(access: EmergencyAccess, trust: DataTrust) -> tuple[EmergencyReason, str] | None:
    """Why an access asks for what its trust does not have, or None where it fits."""
    spec, most = access.spec, trust.spec.emergency_hours
    if not most:
        return EmergencyReason.NOT_ALLOWED, f"spec.trust: {spec.trust} allows no emergency access; ask for a grant"
    if spec.hours > most:
        return EmergencyReason.TOO_LONG, f"spec.hours: {spec.hours} is above the {most} that {spec.trust} allows"
    if spec.purpose not in trust.spec.purposes:
        declared = ", ".join(trust.spec.purposes)
        return EmergencyReason.UNDECLARED_PURPOSE, f"spec.purpose: {spec.trust} serves {declared} only"
    unknown = sorted(set(spec.datasets) - {dataset.name for dataset in trust.spec.datasets})
    if unknown:
        return EmergencyReason.UNKNOWN_DATASET, f"spec.datasets: {spec.trust} has no dataset {', '.join(unknown)}"
    return None


def _speaking(access: EmergencyAccess, trust: DataTrust) -> tuple[Opening, ...]:
    """Openings by trustees of the trust, in a fixed order."""
    spoken = (each for each in access.spec.openings if each.trustee in trust.spec.trustees)
    return tuple(sorted(spoken, key=lambda each: each.trustee))


def _opened(openings: Iterable[Opening]) -> bool:
    """Whether two people of two trustees are among them; one person who speaks for two trustees is one."""
    spoken = tuple(openings)
    return min(len({each.trustee for each in spoken}), len({each.person for each in spoken})) >= PEOPLE
