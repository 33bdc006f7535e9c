"""Pilots: placed by `commonweal.placement`, one Assignment a member, moved without a gap.

A member that gives an app up is taken out of the front door first and loses its Assignment a moment later.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from commonweal.agreements import GrantState, grant_state
from commonweal.kinds.consortium import ConsortiumSpec
from commonweal.kinds.data_grant import DataGrant
from commonweal.kinds.data_trust import DataTrust
from commonweal.kinds.member import Member, MemberCondition, Site
from commonweal.kinds.meta import Resources
from commonweal.kinds.pilot_app import PILOT_LABEL, REFUSALS, PilotApp, PilotCondition, PilotPlacement, PilotReason
from commonweal.kinds.pooled_cluster import PooledCluster
from commonweal.membership import member_namespace, member_of
from commonweal.placement import Host, Placement, app_of, place, transition
from operators.frame import Apply, Delete, Finding, Key, Plan, Store, Tools, Watch
from operators.hub.books import Books
from operators.hub.front_door import FrontDoor
from operators.hub.grants import beneficiary_of, next_look_s
from operators.hub.pilot_objects import LiveGrantOf, assignment, grants_json, replicas_of
from operators.hub.resources import (
    ASSIGNMENTS,
    DATA_GRANTS,
    DATA_TRUSTS,
    MEMBERS,
    PILOT_APPS,
    PILOT_PREFIX,
    POOLED_CLUSTERS,
    charter,
    condition,
    holds,
)
from operators.kube import NAMESPACES, Json

LEAVE_DOOR_S = 2.0  # haproxy has reloaded and its last requests have gone through
UNPLACED_RETRY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Running:
    """What one member's Assignment of the app says: asked for, ready, where, and the agent's own words."""

    replicas: int
    ready: int
    endpoints: tuple[str, ...]
    current: bool
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class AskedGrant:
    """A grant that the app names, as far as it exists."""

    name: str
    grant: DataGrant | None
    trust: DataTrust | None


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A pilot and all that its placement depends on; `body` is None once it was deleted."""

    name: str
    body: Json | None
    running: Mapping[str, Running]
    app: PilotApp | None = None
    charter: ConsortiumSpec | None = None
    hosts: tuple[Host, ...] = ()
    sites: Mapping[str, Site] | None = None
    weights: Mapping[str, int] | None = None
    grants: tuple[AskedGrant, ...] = ()
    address: str = ""


@dataclass(frozen=True)
class PilotController:
    """Places pilots one after the other, so that no two of them take the same room."""

    store: Store
    books: Books
    front: FrontDoor
    name: str = "pilotapp"
    concurrency: int = 1

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The app; its Assignments; and all that decides where it may run and what it may ask."""
        return (
            Watch(resource=PILOT_APPS),
            Watch(resource=ASSIGNMENTS, keys=_pilot_of),
            Watch(resource=MEMBERS, keys=self._all),
            Watch(resource=POOLED_CLUSTERS, keys=self._all, spec_only=True),
            Watch(resource=DATA_GRANTS, keys=_beneficiary_of, spec_only=True),
            Watch(resource=DATA_TRUSTS, keys=self._all, spec_only=True),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the app and everything around it."""
        store = tools.store
        body = store.get(PILOT_APPS, key.name)
        held = {
            str(member_of(each["metadata"]["namespace"])): _running(each)
            for each in store.list(ASSIGNMENTS)
            if each["metadata"]["name"] == PILOT_PREFIX + key.name
        }
        if body is None:
            return Observed(name=key.name, body=None, running=held)
        app, last = PilotApp.read(body), self.books.last_statement()
        members = [Member.read(each) for each in store.list(MEMBERS)]
        return Observed(
            name=key.name,
            body=body,
            running=held,
            app=app,
            charter=charter(store),
            hosts=tuple(_host(store, member, besides=key.name) for member in members),
            sites={m.metadata.name: m.status.site for m in members if m.status and m.status.site},
            weights={entry.member: entry.equity_bp for entry in last[1].entries} if last else {},
            grants=tuple(_asked(store, name) for name in app.spec.grants),
            address=self._address(store, app),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Place, move without a gap, and say what came of it."""
        if observed.app is None or observed.body is None:
            return Plan(writes=tuple(_removal(observed.name, member) for member in observed.running))
        return _plan(observed, observed.app, observed.body, now)

    def _all(self, _: Json) -> tuple[Key, ...]:
        return tuple(Key("", body["metadata"]["name"]) for body in self.store.list(PILOT_APPS))

    def _address(self, store: Store, app: PilotApp) -> str:
        """The app's own address if it has one, else a free one; an address stays while the app does."""
        own = self.front.port_of(app.status.address if app.status else None)
        others = [each.get("status", {}).get("address") for each in store.list(PILOT_APPS)]
        taken = [port for port in map(self.front.port_of, others) if port is not None]
        return self.front.address(own if own is not None else self.front.free_port(taken))


def _plan(observed: Observed, app: PilotApp, body: Json, now: datetime) -> Plan:
    placement = _placement(observed, app)
    running = {member: each.replicas for member, each in observed.running.items()}
    reachable = {host.name for host in observed.hosts if host.reachable}
    ready = {member: each.ready for member, each in observed.running.items() if member in reachable}
    assigned = transition(placement, running, ready)
    in_door = {each.member for each in app.status.placements} if app.status else set()
    leaving = {m for m in running if m not in assigned and m in in_door and m in placement.outgoing}
    states = {
        each.name: grant_state(each.grant, each.trust, now, app.spec.sponsor) for each in observed.grants if each.grant
    }
    grants = grants_json(list(_live(observed, app, states)), observed.sites or {})
    writes = [
        Apply(resource=ASSIGNMENTS, body=assignment(body, app, member, count, grants))
        for member, count in sorted(assigned.items())
    ]
    gone = [_removal(observed.name, m) for m in sorted(running) if m not in assigned and m not in leaving]
    placements = _placements(observed, assigned)
    looks = [
        LEAVE_DOOR_S if leaving else None,
        UNPLACED_RETRY_S if placement.unplaced else None,
        next_look_s((state.changes_at for state in states.values()), now),
    ]
    return Plan(
        writes=(*writes, *gone),
        findings=(_placed(placement), _ready(observed, app, placement, placements, states)),
        status=_status(app, placements, observed.address),
        requeue_in_s=min((look for look in looks if look is not None), default=None),
    )


def _placement(observed: Observed, app: PilotApp) -> Placement:
    running = {member: each.replicas for member, each in observed.running.items()}
    return place(app_of(app), observed.hosts, running, observed.weights or {})


def _placements(observed: Observed, assigned: Mapping[str, int]) -> list[PilotPlacement]:
    unknown = Running(replicas=0, ready=0, endpoints=(), current=False, reason="", message="")
    held = {member: observed.running.get(member, unknown) for member in assigned}
    return [
        PilotPlacement(
            member=member,
            replicas=assigned[member],
            ready_replicas=min(each.ready, assigned[member]),
            endpoints=each.endpoints,
        )
        for member, each in sorted(held.items())
    ]


def _status(app: PilotApp, placements: list[PilotPlacement], address: str) -> Json:
    return {
        "replicas": sum(each.replicas for each in placements),
        "readyReplicas": sum(each.ready_replicas for each in placements),
        "selector": f"{PILOT_LABEL}={app.metadata.name}",
        "placements": [each.wire() for each in placements],
        "address": address,
    }


def _placed(placement: Placement) -> Finding:
    holds_ = placement.unplaced == 0
    reason = PilotReason.PLACED if holds_ else PilotReason.UNPLACEABLE
    return Finding(type=PilotCondition.PLACED, holds=holds_, reason=reason, message=placement.message)


def _ready(
    observed: Observed,
    app: PilotApp,
    placement: Placement,
    placements: list[PilotPlacement],
    states: Mapping[str, GrantState],
) -> Finding:
    """What is wrong with the app itself outranks what is wrong with where it runs."""
    for reason, message in (
        *_wrong_references(observed, app),
        *((PilotReason.UNPLACEABLE, placement.message) for _ in range(placement.unplaced and 1)),
        *((PilotReason.GRANT_NOT_READY, words) for words in _unready_grants(observed, app, states)),
        *_unready_members(observed, placements),
    ):
        return Finding(type=PilotCondition.READY, holds=False, reason=reason, message=message)
    message = f"Serves at {observed.address}: {placement.message[0].lower()}{placement.message[1:]}"
    return Finding(type=PilotCondition.READY, holds=True, reason=PilotReason.SERVING, message=message)


def _wrong_references(observed: Observed, app: PilotApp) -> list[tuple[PilotReason, str]]:
    wrong = []
    if app.spec.sponsor not in {host.name for host in observed.hosts}:
        wrong.append((PilotReason.UNKNOWN_SPONSOR, f"spec.sponsor: there is no Member {app.spec.sponsor}"))
    classes = [each.name for each in observed.charter.service_classes] if observed.charter else []
    if app.spec.service_class not in classes:
        message = f"spec.serviceClass: {app.spec.service_class} is not in the charter; use {' or '.join(classes)}"
        wrong.append((PilotReason.UNKNOWN_SERVICE_CLASS, message))
    return wrong


def _unready_grants(observed: Observed, app: PilotApp, states: Mapping[str, GrantState]) -> list[str]:
    words = []
    for each in observed.grants:
        if each.grant is None:
            words.append(f"spec.grants: there is no DataGrant {each.name}; ask the trustees for it")
        elif each.grant.spec.beneficiary.pilot_app != app.metadata.name:
            words.append(
                f"spec.grants: {each.name} is for {each.grant.spec.beneficiary.pilot_app}; ask for an own grant"
            )
        elif not states[each.name].ready:
            words.append(f"DataGrant {each.name}: {states[each.name].message}")
    return words


def _unready_members(observed: Observed, placements: list[PilotPlacement]) -> list[tuple[PilotReason, str]]:
    reachable = {host.name for host in observed.hosts if host.reachable}
    wrong = []
    for each in placements:
        held = observed.running.get(each.member)
        if each.member not in reachable:
            wrong.append((PilotReason.PROGRESSING, f"{each.member}: unreachable; keeps {each.replicas} replicas"))
        elif held is None or not held.current:
            wrong.append((PilotReason.PROGRESSING, f"{each.member}: its agent has not taken the assignment yet"))
        elif held.reason in REFUSALS:  # also while an older version of the app still serves there
            wrong.append((PilotReason(held.reason), f"{each.member}: {held.message}"))
        elif each.ready_replicas < each.replicas:
            image = held.reason == PilotReason.IMAGE_PULL_FAILED
            reason = PilotReason.IMAGE_PULL_FAILED if image else PilotReason.PROGRESSING
            words = held.message or f"{each.ready_replicas} of {each.replicas} replicas ready"
            wrong.append((reason, f"{each.member}: {words}"))
    return wrong


def _live(observed: Observed, app: PilotApp, states: Mapping[str, GrantState]) -> Iterator[LiveGrantOf]:
    for each in observed.grants:
        if each.grant is None or each.trust is None or each.grant.spec.beneficiary.pilot_app != app.metadata.name:
            continue
        if agreed := states[each.name].in_force:
            yield LiveGrantOf(grant=each.grant, trust=each.trust, datasets=agreed.datasets)


def _removal(app: str, member: str) -> Delete:
    return Delete(resource=ASSIGNMENTS, name=PILOT_PREFIX + app, namespace=member_namespace(member))


def _asked(store: Store, name: str) -> AskedGrant:
    body = store.get(DATA_GRANTS, name)
    grant = DataGrant.read(body) if body else None
    trust = store.get(DATA_TRUSTS, grant.spec.trust) if grant else None
    return AskedGrant(name=name, grant=grant, trust=DataTrust.read(trust) if trust else None)


def _running(assigned: Json) -> Running:
    status, said = assigned.get("status", {}), condition(assigned, "Ready")
    return Running(
        replicas=replicas_of(assigned),
        ready=status.get("readyReplicas", 0),
        endpoints=tuple(status.get("endpoints", ())),
        current=said.get("observedGeneration", -1) >= assigned["metadata"]["generation"],
        reason=said.get("reason", ""),
        message=said.get("message", ""),
    )


def _host(store: Store, member: Member, *, besides: str) -> Host:
    """A member with its room: what it pledged and has, less what other pilots hold there."""
    name = member.metadata.name
    body = store.get(MEMBERS, name) or {}
    site = member.status.site if member.status else None
    namespace = member_namespace(name)
    return Host(
        name=name,
        country=member.spec.country,
        engine=site.engine if site else None,
        accepted=member.spec.hub_accepts and store.get(NAMESPACES, namespace) is not None,
        reachable=holds(body, MemberCondition.REACHABLE),
        scheduling=member.spec.scheduling,
        allocatable=_room(store, namespace, site.allocatable) if site else None,
        used=_used(store, namespace, besides),
    )


def _room(store: Store, namespace: str, allocatable: Resources) -> Resources:
    pledges = [PooledCluster.read(body).spec.pledge for body in store.list(POOLED_CLUSTERS, namespace)]
    return Resources(
        cpu_millis=min(allocatable.cpu_millis, sum(each.cpu_millis for each in pledges)),
        memory_mib=min(allocatable.memory_mib, sum(each.memory_mib for each in pledges)),
        gpus=min(allocatable.gpus, sum(each.gpus for each in pledges)),
    )


def _used(store: Store, namespace: str, besides: str) -> Resources:
    cpu_millis = memory_mib = gpus = 0
    for assigned in store.list(ASSIGNMENTS, namespace):
        for app in _pilot_of(assigned):
            other = store.get(PILOT_APPS, app.name)
            if other is None or app.name == besides:
                continue
            each, count = PilotApp.read(other).spec.resources, replicas_of(assigned)
            cpu_millis += each.cpu_millis * count
            memory_mib += each.memory_mib * count
            gpus += each.gpus * count
    return Resources(cpu_millis=cpu_millis, memory_mib=memory_mib, gpus=gpus)


def _pilot_of(assigned: Json) -> tuple[Key, ...]:
    name = assigned["metadata"]["name"]
    return (Key("", name.removeprefix(PILOT_PREFIX)),) if name.startswith(PILOT_PREFIX) else ()


def _beneficiary_of(grant: Json) -> tuple[Key, ...]:
    return (Key("", beneficiary_of(grant)),)
