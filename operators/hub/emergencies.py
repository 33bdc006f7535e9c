"""Emergency accesses: whether each is open and reviewed, and an Event whenever that changes.

A policy carries an access only once its status says that it is open (commonweal/emergencies.py), so nobody asks under
what trustees cannot see.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from commonweal.emergencies import REVIEW_DUE, emergency_state, review_state
from commonweal.kinds.data_trust import DataTrust, TrustReason
from commonweal.kinds.emergency_access import EmergencyAccess, EmergencyReason, ReviewReason
from operators.frame import Finding, Key, Plan, Store, Tools, Watch
from operators.frame.plan import instant
from operators.hub.grants import next_look_s
from operators.hub.resources import DATA_TRUSTS, EMERGENCIES, condition
from operators.kube import AlreadyExists, ApiResource, Json, Kube

EMERGENCY_OPEN = "EmergencyOpen"
EVENTS = ApiResource("v1", "Event", "events")
EVENTS_NAMESPACE = "default"  # where Kubernetes wants Events about objects that lie in no namespace
_TOLD = (EmergencyReason.AWAITING_TRUSTEES, EmergencyReason.OPEN, EmergencyReason.ENDED, EmergencyReason.CLOSED)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """An access as the hub holds it, read, and its trust."""

    body: Json
    access: EmergencyAccess
    trust: DataTrust | None


@dataclass(frozen=True, kw_only=True)
class Tell:
    """An Event, told once: its name says what of which object."""

    body: Json

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Create it; a crash before the status was written lets it be told again, which changes nothing."""
        with contextlib.suppress(AlreadyExists):
            await kube.create(EVENTS, self.body, EVENTS_NAMESPACE)


@dataclass(frozen=True)
class EmergencyController:
    """Says of every EmergencyAccess whether it is open and whether a review is due."""

    store: Store
    name: str = "emergencyaccess"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The access and its trust."""
        return (Watch(resource=EMERGENCIES), Watch(resource=DATA_TRUSTS, keys=self._accesses_of, spec_only=True))

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the access and its trust."""
        body = tools.store.get(EMERGENCIES, key.name)
        if body is None:
            return None
        access = EmergencyAccess.read(body)
        trust = tools.store.get(DATA_TRUSTS, access.spec.trust)
        return Observed(body=body, access=access, trust=DataTrust.read(trust) if trust else None)

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """As commonweal.emergencies decides; whoever watches is told of each change."""
        state = emergency_state(observed.access, observed.trust, now)
        review = review_state(observed.access, observed.trust, now)
        before = condition(observed.body, "Ready").get("reason")
        told = state.reason in _TOLD and state.reason != before
        return Plan(
            writes=(Tell(body=event(observed.body, state.reason, state.message, now)),) if told else (),
            findings=(
                Finding(type="Ready", holds=state.ready, reason=state.reason, message=state.message),
                Finding(type=REVIEW_DUE, holds=review.due, reason=review.reason, message=review.message),
            ),
            requeue_in_s=next_look_s([state.changes_at], now),
        )

    def _accesses_of(self, trust: Json) -> tuple[Key, ...]:
        name = trust["metadata"]["name"]
        held = self.store.list(EMERGENCIES)
        return tuple(Key("", body["metadata"]["name"]) for body in held if body["spec"]["trust"] == name)


def emergencies_of(store: Store, trust: str) -> tuple[EmergencyAccess, ...]:
    """The accesses beyond every grant that were asked for on a trust, by name."""
    bodies = [body for body in store.list(EMERGENCIES) if body["spec"]["trust"] == trust]
    return tuple(EmergencyAccess.read(body) for body in sorted(bodies, key=lambda body: str(body["metadata"]["name"])))


def emergency_findings(accesses: Iterable[EmergencyAccess], trust: DataTrust, now: datetime) -> tuple[Finding, Finding]:
    """What every trustee sees at the trust: what is open beyond the grants, and what waits for a review."""
    opened, due = [], []
    for access in accesses:
        state, review = emergency_state(access, trust, now), review_state(access, trust, now)
        opened += [f"{access.metadata.name}: {state.message}"] if state.ready else []
        due += [f"{access.metadata.name}: {review.message}"] if review.due else []
    return (
        Finding(
            type=EMERGENCY_OPEN,
            holds=bool(opened),
            reason=EmergencyReason.OPEN if opened else TrustReason.NO_EMERGENCY,
            message="; ".join(opened) or "Nothing is open beyond the grants",
        ),
        Finding(
            type=REVIEW_DUE,
            holds=bool(due),
            reason=ReviewReason.AWAITING_REVIEW if due else TrustReason.NOTHING_TO_REVIEW,
            message="; ".join(due) or "No emergency access waits for a review",
        ),
    )


def event(body: Json, reason: EmergencyReason, message: str, now: datetime) -> Json:
    """The Event about an access, in the form that `kubectl describe` and `kubectl events` show."""
    metadata = body["metadata"]
    at = instant(now)
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{metadata['name']}.{reason.lower()}.{metadata['uid'][:8]}",
            "namespace": EVENTS_NAMESPACE,
        },
        "involvedObject": {
            "apiVersion": EMERGENCIES.api_version,
            "kind": EMERGENCIES.kind,
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "reason": reason.value,
        "message": message[:1024],  # the API's own bound
        "type": "Warning" if reason is EmergencyReason.OPEN else "Normal",
        "source": {"component": "commonweal-hub"},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
