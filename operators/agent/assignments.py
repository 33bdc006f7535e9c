"""Does in the member's cluster what Assignments on the hub say, and reports on them.

The controller runs on the hub's connection; its writes go to the member's. While the hub is away nothing is read, so
nothing is changed: what runs keeps running.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from commonweal.kinds.assignment import Assignment
from commonweal.membership import member_namespace
from operators.agent.mirror import Mirror
from operators.agent.pilot_secrets import HeldSecret, mounted
from operators.agent.rollout import (
    ALLOWED,
    FIELD_MANAGER,
    Desired,
    Observed,
    Ref,
    assignment_of,
    refusal,
    step,
)
from operators.frame import Apply, Delete, Key, Operator, Plan, Store, Tools, Watch
from operators.frame.plan import spec_hash
from operators.kube import ApiResource, Forbidden, Invalid, Json, Kube, NotFound, Unauthorized, custom

ASSIGNMENTS = custom(Assignment)
RETRY_REFUSED_S = 30.0  # a quota or a right may change without any event that we hear
SECRET_LOOK_S = 10.0  # Secrets are looked at by name, so no event tells of them


@dataclass(frozen=True, kw_only=True)
class ApplyHere:
    """Apply one object in the member; its API server's refusal is remembered and reported, not raised."""

    mirror: Mirror
    item: Desired
    refused: Callable[[str], None]

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the hub's, not ours
        """Apply, and take the answer into the mirror, which marks the Assignment dirty."""
        write = Apply(resource=self.item.ref.resource, body=self.item.body, field_manager=FIELD_MANAGER)
        try:
            await write.perform(self.mirror.kube, self.mirror.store, None)
        except Unauthorized:
            raise  # that is about the agent, not about the object
        except (Invalid, Forbidden, NotFound) as error:
            self.refused(error.message)


@dataclass(frozen=True, kw_only=True)
class DeleteHere:
    """Delete one object in the member."""

    mirror: Mirror
    ref: Ref

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the hub's, not ours
        """Delete what the mirror holds under this name, unless it was replaced meanwhile."""
        write = Delete(resource=self.ref.resource, name=self.ref.name, namespace=self.ref.namespace)
        await write.perform(self.mirror.kube, self.mirror.store, None)


@dataclass(eq=False)
class AssignmentController:
    """The one controller of the agent. `_refusals` only spaces out retries: losing it costs one more try."""

    mirror: Mirror
    member: str
    node_address: str
    monotonic: Callable[[], float] = time.monotonic
    name: str = "assignments"
    watches: tuple[Watch, ...] = (Watch(resource=ASSIGNMENTS),)
    _refusals: dict[Key, dict[str, tuple[str, float]]] = field(default_factory=dict)

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """The Assignment from the hub's cache, and what the mirror holds around it."""
        body = tools.store.get(ASSIGNMENTS, key.name, key.namespace)
        gone = body is None or "deletionTimestamp" in body["metadata"]
        assignment = None if body is None or gone else Assignment.read(body)
        return Observed(
            member=self.member,
            node_address=self.node_address,
            assignment=assignment,
            name=key.name,
            live=self.mirror.around(key.name, _named(assignment)),
            pods=self.mirror.pods_of(key.name),
            refusals=self._recent(key),
            secrets=await self._secrets(assignment),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:  # noqa: ARG002 - the rule does not depend on time
        """Turn the rule's step into the frame's writes and report."""
        decided = step(observed)
        key = Key(member_namespace(self.member), observed.name)
        return Plan(
            writes=(
                *(DeleteHere(mirror=self.mirror, ref=ref) for ref in decided.delete),
                *(
                    ApplyHere(mirror=self.mirror, item=item, refused=self._remember(key, item))
                    for item in decided.apply
                ),
            ),
            findings=decided.findings,
            status=decided.status or {},
            # What is applied now is reported by the pass after; a refused object is tried again some time.
            requeue_in_s=0.0 if decided.unreported else _look_in_s(observed),
        )

    async def _secrets(self, assignment: Assignment | None) -> dict[str, HeldSecret]:
        """What the member says of the Secrets that an Assignment mounts; one that it does not show is not there."""
        named = mounted(assignment) if assignment else ()
        looked = {name: await self.mirror.secret(name) for name in named}
        return {name: held for name, held in looked.items() if held is not None}

    def _remember(self, key: Key, item: Desired) -> Callable[[str], None]:
        digest = spec_hash(item.body)

        def remember(answer: str) -> None:
            self._refusals.setdefault(key, {})[digest] = (answer, self.monotonic() + RETRY_REFUSED_S)

        return remember

    def _recent(self, key: Key) -> Mapping[str, str]:
        now_s = self.monotonic()
        held = {digest: entry for digest, entry in self._refusals.pop(key, {}).items() if entry[1] > now_s}
        if held:
            self._refusals[key] = held
        return {digest: answer for digest, (answer, _) in held.items()}


def _look_in_s(observed: Observed) -> float | None:
    """When to look again for what no event tells; None where events tell all."""
    if observed.assignment is not None and mounted(observed.assignment):
        return SECRET_LOOK_S
    return RETRY_REFUSED_S if observed.refusals else None


def _named(assignment: Assignment | None) -> frozenset[Ref]:
    """The names that an Assignment wants and may want."""
    if assignment is None:
        return frozenset()
    return frozenset(
        Ref(
            ALLOWED[body["apiVersion"], body["kind"], body["metadata"]["namespace"]],
            body["metadata"]["namespace"],
            body["metadata"]["name"],
        )
        for body in assignment.spec.objects
        if refusal(body) is None
    )


class AgentOperator(Operator):
    """The frame's operator on the hub, which also wakes for what happens in the member."""

    def follow(self, mirror: Mirror, controller: AssignmentController) -> None:
        """Mark an Assignment dirty whenever an object made for it changes, and once for each that exists now.

        Orphans, whose Assignment is gone from the hub, are found by the same way.
        """
        namespace = member_namespace(controller.member)

        def changed(resource: ApiResource, body: Json, writer: object) -> None:  # noqa: ARG001 - the store's listener
            if name := assignment_of(body):
                self.mark(controller.name, Key(namespace, name))

        mirror.store.listen(changed)
        for resource, where in {(resource, namespace) for (_, _, namespace), resource in ALLOWED.items()}:
            for body in mirror.store.list(resource, where):
                changed(resource, body, None)

    def mark(self, controller: str, key: Key) -> None:
        """Have a key reconciled soon."""
        self._queues[controller].add(key)
        self._wake[controller].set()

    def leads(self) -> bool:
        """Whether this process is the one agent of its member."""
        return self._leading.is_set()

    def _why_dead(self) -> str | None:
        """While the hub is away nothing is heard, and a restart would mend nothing."""
        return super()._why_dead() if self.leads() else None
