"""Data trusts and grants: their conditions, and the policy that each source member's gateway obeys."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from commonweal.emergencies import REVIEW_DUE, EmergencyState, emergency_state, live_emergencies, review_state
from commonweal.grants import POLICY_KEY, POLICY_LABEL, GrantState, compile_policy, dataset_faults, grant_state
from commonweal.kinds.assignment import OwnerKind
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust, TrustReason
from commonweal.kinds.emergency_access import EmergencyAccess, EmergencyReason, ReviewReason
from commonweal.kinds.member import Member, Site
from commonweal.membership import member_namespace
from operators.frame import Apply, Delete, Finding, Key, Plan, Store, Tools, Watch, Write
from operators.hub.resources import (
    ASSIGNMENTS,
    DATA_GRANTS,
    DATA_NAMESPACE,
    DATA_TRUSTS,
    EMERGENCIES,
    MEMBERS,
    OURS,
    TRUST_PREFIX,
    child,
    condition,
    holds,
    member_of,
)
from operators.kube import NAMESPACES, Json

EMERGENCY_OPEN = "EmergencyOpen"
MIN_LOOK_S = 0.2
MAX_LOOK_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class SourceMember:
    """A member that holds rows, as the trust sees it."""

    name: str
    accepted: bool
    site: Site | None
    ready: bool
    message: str
    applied: bool


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A trust and all that its policies depend on; `body` is None once it was deleted."""

    name: str
    body: Json | None
    trust: DataTrust | None = None
    grants: tuple[DataGrant, ...] = ()
    sites: dict[str, Site] | None = None
    members: dict[str, SourceMember] | None = None
    assigned: tuple[str, ...] = ()
    emergencies: tuple[EmergencyAccess, ...] = ()


@dataclass(frozen=True)
class TrustController:
    """Writes one Assignment `policy-<trust>` for every source member, and says who serves."""

    store: Store
    name: str = "datatrust"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The trust, its grants and emergencies, every member (its issuer is in each policy), what is assigned."""
        return (
            Watch(resource=DATA_TRUSTS),
            Watch(resource=DATA_GRANTS, keys=lambda grant: (Key("", grant["spec"]["trust"]),), spec_only=True),
            Watch(resource=EMERGENCIES, keys=lambda access: (Key("", access["spec"]["trust"]),)),
            Watch(resource=MEMBERS, keys=lambda _: map(_key, self.store.list(DATA_TRUSTS))),
            Watch(resource=ASSIGNMENTS, keys=_trust_of),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the trust and everything around it."""
        store = tools.store
        body = store.get(DATA_TRUSTS, key.name)
        held = [a for a in store.list(ASSIGNMENTS) if a["metadata"]["name"] == TRUST_PREFIX + key.name]
        assigned = tuple(sorted(str(member_of(each["metadata"]["namespace"])) for each in held))
        if body is None:
            return Observed(name=key.name, body=None, assigned=assigned)
        applied = {str(member_of(each["metadata"]["namespace"])): _current(each) for each in held}
        members = {one["metadata"]["name"]: _member(store, one, applied) for one in store.list(MEMBERS)}
        return Observed(
            name=key.name,
            body=body,
            trust=DataTrust.read(body),
            grants=grants_of(store, key.name),
            sites={name: member.site for name, member in members.items() if member.site},
            members=members,
            assigned=assigned,
            emergencies=emergencies_of(store, key.name),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """A policy for every source that is there; what is assigned elsewhere goes."""
        if observed.trust is None or observed.body is None or observed.members is None or observed.sites is None:
            return Plan(writes=_removals(observed.name, observed.assigned))
        wanted = sources(observed.trust)
        here = [name for name in wanted if name in observed.members and observed.members[name].accepted]
        policies = tuple(_policy(observed.body, observed.trust, observed, name, now) for name in here)
        gone = [name for name in observed.assigned if name not in here]
        serving = [name for name in here if observed.members[name].applied and observed.members[name].ready]
        return Plan(
            writes=(*policies, *_removals(observed.name, gone)),
            findings=(judge(observed, wanted, serving), *emergency_findings(observed.emergencies, observed.trust, now)),
            status={"serving": serving},
            requeue_in_s=next_look_s(_states(observed, now), now),
        )


@dataclass(frozen=True)
class GrantController:
    """Says of every DataGrant whether it is live."""

    store: Store
    name: str = "datagrant"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The grant and its trust."""
        return (Watch(resource=DATA_GRANTS), Watch(resource=DATA_TRUSTS, keys=self._grants_of, spec_only=True))

    async def observe(self, key: Key, tools: Tools) -> tuple[DataGrant, DataTrust | None] | None:
        """Read the grant and its trust."""
        body = tools.store.get(DATA_GRANTS, key.name)
        if body is None:
            return None
        grant = DataGrant.read(body)
        trust = tools.store.get(DATA_TRUSTS, grant.spec.trust)
        return grant, DataTrust.read(trust) if trust else None

    def plan(self, observed: tuple[DataGrant, DataTrust | None], now: datetime) -> Plan:
        """As commonweal.grants decides."""
        state = grant_state(*observed, now)
        finding = Finding(type="Ready", holds=state.ready, reason=state.reason, message=state.message)
        return Plan(findings=(finding,), requeue_in_s=next_look_s([state], now))

    def _grants_of(self, trust: Json) -> tuple[Key, ...]:
        name = trust["metadata"]["name"]
        return tuple(_key(body) for body in self.store.list(DATA_GRANTS) if body["spec"]["trust"] == name)


def sources(trust: DataTrust) -> list[str]:
    """Every member that holds rows of the trust."""
    return sorted({member for dataset in trust.spec.datasets for member in dataset.sources})


def grants_of(store: Store, trust: str) -> tuple[DataGrant, ...]:
    """The grants on a trust, by name."""
    bodies = [body for body in store.list(DATA_GRANTS) if body["spec"]["trust"] == trust]
    return tuple(DataGrant.read(body) for body in sorted(bodies, key=_key))


def emergencies_of(store: Store, trust: str) -> tuple[EmergencyAccess, ...]:
    """The accesses beyond every grant that were asked for on a trust, by name."""
    bodies = [body for body in store.list(EMERGENCIES) if body["spec"]["trust"] == trust]
    return tuple(EmergencyAccess.read(body) for body in sorted(bodies, key=_key))


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


def judge(observed: Observed, wanted: list[str], serving: list[str]) -> Finding:
    """The Ready condition: every rule can be applied, and every source is there, well, and has taken its policy."""
    faults = unusable(observed.trust) if observed.trust else []
    if faults:
        message = f"{faults[0]}; until then the dataset answers nothing"
        return Finding(type="Ready", holds=False, reason=TrustReason.RULE_UNUSABLE, message=message)
    members = observed.members or {}
    unknown = [name for name in wanted if name not in members]
    if unknown:
        message = f"spec.datasets: sources {', '.join(unknown)} are no members; correct them or let them join"
        return Finding(type="Ready", holds=False, reason=TrustReason.SOURCE_UNKNOWN, message=message)
    unwell = [f"{name}: {members[name].message}" for name in wanted if not members[name].ready]
    if unwell:
        message = f"Sources are not ready ({'; '.join(unwell)})"
        return Finding(type="Ready", holds=False, reason=TrustReason.SOURCE_NOT_READY, message=message)
    pending = [name for name in wanted if name not in serving]
    if pending:
        message = f"The policy has not reached {', '.join(pending)} yet"
        return Finding(type="Ready", holds=False, reason=TrustReason.POLICY_PENDING, message=message)
    message = f"Served by {', '.join(serving)}"
    return Finding(type="Ready", holds=True, reason=TrustReason.SERVING, message=message)


def unusable(trust: DataTrust) -> list[str]:
    """Rules of a trust's datasets that cannot be applied, by their place."""
    return [
        f"spec.datasets[{dataset.name}].{fault}" for dataset in trust.spec.datasets for fault in dataset_faults(dataset)
    ]


def _states(observed: Observed, now: datetime) -> Iterable[GrantState | EmergencyState]:
    yield from (grant_state(grant, observed.trust, now) for grant in observed.grants)
    yield from (emergency_state(access, observed.trust, now) for access in observed.emergencies)


def next_look_s(states: Iterable[GrantState | EmergencyState], now: datetime) -> float | None:
    """In how many seconds the clock changes one of these states."""
    changes = [state.changes_at for state in states if state.changes_at is not None]
    if not changes:
        return None
    return min(max((min(changes) - now).total_seconds(), MIN_LOOK_S), MAX_LOOK_S)


def _policy(body: Json, trust: DataTrust, observed: Observed, member: str, now: datetime) -> Apply:
    opened = live_emergencies(observed.emergencies, trust, now)
    policy = compile_policy(trust, observed.grants, observed.sites or {}, member, now, emergencies=opened)
    config_map: Json = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": TRUST_PREFIX + observed.name,
            "namespace": DATA_NAMESPACE,
            "labels": OURS | {POLICY_LABEL: "true"},
        },
        "data": {POLICY_KEY: policy.render()},
    }
    name, namespace = TRUST_PREFIX + observed.name, member_namespace(member)
    assignment = child(ASSIGNMENTS, name, body, namespace=namespace, member=member)
    owner = {
        "kind": OwnerKind.DATA_TRUST.value,
        "name": observed.name,
        "uid": body["metadata"]["uid"],
        "generation": body["metadata"]["generation"],
    }
    assignment["spec"] = {"owner": owner, "objects": [config_map]}
    return Apply(resource=ASSIGNMENTS, body=assignment)


def _removals(trust: str, members: Iterable[str]) -> tuple[Write, ...]:
    return tuple(
        Delete(resource=ASSIGNMENTS, name=TRUST_PREFIX + trust, namespace=member_namespace(member))
        for member in members
    )


def _member(store: Store, body: Json, applied: dict[str, bool]) -> SourceMember:
    member = Member.read(body)
    name = member.metadata.name
    accepted = member.spec.hub_accepts and store.get(NAMESPACES, member_namespace(name)) is not None
    return SourceMember(
        name=name,
        accepted=accepted,
        site=member.status.site if member.status and accepted else None,
        ready=holds(body, "Ready"),
        message=condition(body, "Ready").get("message", "not reported yet"),
        applied=applied.get(name, False),
    )


def _current(assignment: Json) -> bool:
    """Whether the agent has applied the Assignment as it is now."""
    held = condition(assignment, "Ready")
    return held.get("status") == "True" and held["observedGeneration"] == assignment["metadata"]["generation"]


def _key(body: Json) -> Key:
    return Key("", body["metadata"]["name"])


def _trust_of(assignment: Json) -> tuple[Key, ...]:
    name = assignment["metadata"]["name"]
    return (Key("", name.removeprefix(TRUST_PREFIX)),) if name.startswith(TRUST_PREFIX) else ()
