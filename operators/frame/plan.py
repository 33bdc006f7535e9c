"""What a controller decided: writes in order, findings for the conditions, and when to look again.

The functions here are pure: how a finding becomes a condition, how a status becomes a patch, how a child is stamped so
that it is written only when it differs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from operators.frame.store import Store
from operators.kube import ApiResource, Json, Kube

FIELD_MANAGER = "commonweal-hub"
SPEC_HASH = "commonweal.dev/spec-hash"


class Write(Protocol):
    """One step of a plan. It may be repeated after a crash, so doing it twice must equal doing it once."""

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:
        """Do it; `writer` is passed on to the store, which then spares the writer its own echo."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A condition as a plan states it; None means Unknown. Time and generation are added by `merge_conditions`."""

    type: str
    holds: bool | None
    reason: str
    message: str

    @property
    def status(self) -> str:
        """The condition's status on the wire."""
        return {True: "True", False: "False", None: "Unknown"}[self.holds]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that a reconcile does. `status` holds every status field but the conditions; a field left out is removed."""

    writes: tuple[Write, ...] = ()
    findings: tuple[Finding, ...] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    requeue_in_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Server-side apply of a child, skipped where the cache shows that it is as it should be."""

    resource: ApiResource
    body: Json
    field_manager: str = FIELD_MANAGER

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:
        """Apply unless the live object carries the same hash and still covers what was asked."""
        body = stamped(self.body)
        live = store.get(self.resource, body["metadata"]["name"], body["metadata"].get("namespace", ""))
        if live is not None and covers(live, body):
            return
        answer = await kube.apply(self.resource, body, field_manager=self.field_manager)
        store.put(self.resource, answer, writer=writer)


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Delete a child, if the cache holds it; with its uid, so that a successor of the same name is spared."""

    resource: ApiResource
    name: str
    namespace: str = ""

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Delete what is held under this name."""
        live = store.get(self.resource, self.name, self.namespace)
        if live is not None and "deletionTimestamp" not in live["metadata"]:
            await kube.delete(self.resource, self.name, self.namespace or None, uid=live["metadata"]["uid"])


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A JSON merge patch; put metadata.resourceVersion into `body` to have it refused when the object moved on."""

    resource: ApiResource
    name: str
    body: Json
    namespace: str = ""

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:
        """Patch, and take the answer into the cache if the object is cached."""
        answer = await kube.patch(self.resource, self.name, self.body, self.namespace or None)
        store.put(self.resource, answer, writer=writer, known_only=True)


def spec_hash(body: Json) -> str:
    """SHA-256 of the canonical desired object."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def stamped(body: Json) -> Json:
    """The object with the hash of itself as an annotation."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {}) | {SPEC_HASH: spec_hash(body)}
    return body | {"metadata": metadata | {"annotations": annotations}}


def covers(live: Any, wanted: Any) -> bool:  # noqa: ANN401 - JSON has no narrower type
    """Whether everything wanted is there; defaults and other writers' fields beside it do not matter."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(name in live and covers(live[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)


def instant(moment: datetime) -> str:
    """An instant as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge_conditions(
    held: Iterable[Json], findings: Iterable[Finding], *, generation: int, now: datetime
) -> list[Json]:
    """Conditions after a reconcile: those of other writers stay, ours are replaced, time moves only on flips."""
    merged = {condition["type"]: condition for condition in held}
    for finding in findings:
        before = merged.get(finding.type)
        flipped = before is None or before["status"] != finding.status
        merged[finding.type] = {
            "type": finding.type,
            "status": finding.status,
            "reason": finding.reason,
            "message": finding.message[:32768],
            "lastTransitionTime": instant(now) if before is None or flipped else before["lastTransitionTime"],
            "observedGeneration": generation,
        }
    return list(merged.values())


def merge_patch(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> Json:
    """The smallest JSON merge patch (RFC 7396) that turns one object into the other; empty if they are equal."""
    patch: Json = {name: None for name in held if name not in wanted}
    for name, value in wanted.items():
        before = held.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_patch(before, value):
                patch[name] = inner
        elif name not in held or before != value:
            patch[name] = value
    return patch


def status_patch(live: Json, plan: Plan, now: datetime) -> Json:
    """The one patch that reports a plan, bound to the object as it was seen; empty if nothing is new."""
    metadata = live["metadata"]
    generation = metadata.get("generation", 0)
    held = live.get("status", {})
    conditions = merge_conditions(held.get("conditions", ()), plan.findings, generation=generation, now=now)
    wanted = {**plan.status, "conditions": conditions, "observedGeneration": generation}
    changes = merge_patch(held, wanted)
    if not changes:
        return {}
    seen = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    return {"metadata": seen, "status": changes}
