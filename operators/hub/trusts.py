"""Data trusts: their conditions, and the policy that each source member's gateway obeys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from commonweal.agreements import Negotiated, negotiate_all
from commonweal.emergencies import emergency_state, live_emergencies
from commonweal.grants import POLICY_LABEL, LiveGrant, PolicyTooLargeError, compile_policy, dataset_faults
from commonweal.kinds.assignment import OwnerKind
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust, TrustReason
from commonweal.kinds.emergency_access import EmergencyAccess
from commonweal.kinds.member import Member, Site
from commonweal.membership import member_namespace, member_of
from commonweal.policy_parcels import pack
from operators.frame import Apply, Delete, Finding, Key, Plan, Store, Tools, Watch, Write
from operators.hub.emergencies import emergencies_of, emergency_findings
from operators.hub.grants import beneficiary_of, grants_of, next_look_s, sponsors
from operators.hub.resources import (
    ASSIGNMENTS,
    DATA_GRANTS,
    DATA_NAMESPACE,
    DATA_TRUSTS,
    EMERGENCIES,
    MEMBERS,
    OURS,
    PILOT_APPS,
    TRUST_PREFIX,
    child,
    condition,
    holds,
)
from operators.kube import NAMESPACES, Json


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
    sponsors: Mapping[str, str] = field(default_factory=dict)
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
        """The trust, its grants with their sponsors, its emergencies, every member (an issuer), and what it writes."""
        return (
            Watch(resource=DATA_TRUSTS),
            Watch(resource=DATA_GRANTS, keys=lambda grant: (Key("", grant["spec"]["trust"]),), spec_only=True),
            Watch(resource=EMERGENCIES, keys=lambda access: (Key("", access["spec"]["trust"]),)),
            Watch(resource=PILOT_APPS, keys=self._trusts_of, spec_only=True),
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
            sponsors=sponsors(store),
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
        negotiated = negotiate_all(observed.trust, observed.grants, now, observed.sponsors)
        opened = live_emergencies(observed.emergencies, observed.trust, now)
        packed = {name: _packed(observed, observed.trust, negotiated, opened, name) for name in here}
        policies = tuple(_assigned(observed.body, name, values) for name, (values, _) in packed.items())
        gone = [name for name in observed.assigned if name not in here]
        serving = [name for name in here if observed.members[name].applied and observed.members[name].ready]
        too_large = next((fault for _, fault in packed.values() if fault), None)
        return Plan(
            writes=(*policies, *_removals(observed.name, gone)),
            findings=(
                judge(observed, wanted, serving, too_large),
                *emergency_findings(observed.emergencies, observed.trust, now),
            ),
            status={"serving": serving},
            requeue_in_s=next_look_s(_changes(observed, observed.trust, negotiated, now), now),
        )

    def _trusts_of(self, app: Json) -> tuple[Key, ...]:
        asking = [grant for grant in self.store.list(DATA_GRANTS) if beneficiary_of(grant) == app["metadata"]["name"]]
        return tuple({Key("", grant["spec"]["trust"]) for grant in asking})


def sources(trust: DataTrust) -> list[str]:
    """Every member that holds rows of the trust."""
    return sorted({member for dataset in trust.spec.datasets for member in dataset.sources})


def judge(observed: Observed, wanted: list[str], serving: list[str], too_large: str | None = None) -> Finding:
    """The Ready condition: every rule can be applied, and every source is there, well, and has taken its policy."""
    if too_large is not None:
        message = f"{too_large}; until then no grant is served"
        return Finding(type="Ready", holds=False, reason=TrustReason.POLICY_TOO_LARGE, message=message)
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


def _changes(observed: Observed, trust: DataTrust, negotiated: Negotiated, now: datetime) -> Iterator[datetime | None]:
    yield from (state.changes_at for _, state in negotiated)
    yield from (emergency_state(access, trust, now).changes_at for access in observed.emergencies)


def _packed(
    observed: Observed, trust: DataTrust, negotiated: Negotiated, opened: tuple[LiveGrant, ...], member: str
) -> tuple[dict[str, dict[str, str]], str | None]:
    """What a member's policy becomes in its ConfigMap, and why it is one without grants, where they do not fit.

    The one before must not stay in force: it may hold grants that are revoked by now.
    """
    sites = observed.sites or {}
    try:
        return pack(compile_policy(trust, negotiated, sites, member, emergencies=opened)), None
    except PolicyTooLargeError as error:
        return pack(compile_policy(trust, (), sites, member)), str(error)


def _assigned(trust: Json, member: str, values: dict[str, dict[str, str]]) -> Apply:
    name, namespace = TRUST_PREFIX + trust["metadata"]["name"], member_namespace(member)
    config_map: Json = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": DATA_NAMESPACE, "labels": OURS | {POLICY_LABEL: "true"}},
        **values,
    }
    assignment = child(ASSIGNMENTS, name, trust, namespace=namespace, member=member)
    owner = {
        "kind": OwnerKind.DATA_TRUST.value,
        "name": trust["metadata"]["name"],
        "uid": trust["metadata"]["uid"],
        "generation": trust["metadata"]["generation"],
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
