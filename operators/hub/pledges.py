"""Pledges: whether a member's PooledCluster can be met, and what its last period delivered."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from commonweal.kinds.member import Member
from commonweal.kinds.meta import Resources
from commonweal.kinds.pooled_cluster import PeriodResult, PledgeReason, PooledCluster
from commonweal.membership import member_namespace, member_of
from operators.frame import Finding, Key, Plan, Store, Tools, Watch
from operators.frame.plan import instant
from operators.hub.books import Books
from operators.hub.periods import result_of, terms
from operators.hub.resources import EQUITY_STATEMENTS, MEMBERS, POOLED_CLUSTERS, charter, condition
from operators.hub.uses import agreement
from operators.kube import Json

METER_GRACE_PERIODS = 2  # one late period is normal; the second loses credit


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A pledge, its member, and what the last closed period brought; `heard` are its meters with a reading in it."""

    pledge: PooledCluster
    allocatable: Resources | None
    member_problem: str
    last: PeriodResult | None
    complaint: str
    period_s: int
    heard: int
    agreed: Finding


@dataclass(frozen=True)
class PledgeController:
    """Reports on each PooledCluster."""

    store: Store
    books: Books
    name: str = "pooledcluster"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The pledge, its member, and every statement, which closes a period."""
        return (
            Watch(resource=POOLED_CLUSTERS),
            Watch(resource=MEMBERS, keys=self._pledges_of),
            Watch(
                resource=EQUITY_STATEMENTS, keys=lambda _: map(_key, self.store.list(POOLED_CLUSTERS)), spec_only=True
            ),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the pledge, its member and the books."""
        body = tools.store.get(POOLED_CLUSTERS, key.name, key.namespace)
        name = member_of(key.namespace)
        if body is None or name is None:
            return None
        pledge, member, last = PooledCluster.read(body), tools.store.get(MEMBERS, name), self.books.last_statement()
        readings = self.books.settled_in(last[0]) if last else ()
        meters, in_force = {meter.uuid for meter in pledge.spec.meters}, terms(charter(tools.store))
        return Observed(
            pledge=pledge,
            allocatable=_allocatable(member),
            member_problem=_problem(name, member),
            last=result_of(pledge, last[1], readings) if last else None,
            complaint=self.books.complaint(name),
            period_s=in_force.period_s,
            heard=len({one.meter for one in readings if one.meter in meters}),
            agreed=agreement(tools.store, self.books, name, in_force, tools.clock()),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Judge the pledge; report the last period as it was."""
        status: Json = {"metersHealthy": observed.heard}
        if observed.last is not None:
            status["lastPeriod"] = observed.last.wire()
        return Plan(
            findings=(judge(observed, now), observed.agreed), status=status, requeue_in_s=float(observed.period_s)
        )

    def _pledges_of(self, member: Json) -> tuple[Key, ...]:
        namespace = member_namespace(member["metadata"]["name"])
        return tuple(Key(namespace, body["metadata"]["name"]) for body in self.store.list(POOLED_CLUSTERS, namespace))


def judge(observed: Observed, now: datetime) -> Finding:
    """The Ready condition of a pledge; a member that is not ready outranks what its meters say."""
    if observed.member_problem:
        return _not(PledgeReason.MEMBER_NOT_READY, observed.member_problem)
    if observed.allocatable is not None and (over := above(observed.pledge, observed.allocatable)):
        return _not(PledgeReason.ABOVE_ALLOCATABLE, over)
    if observed.complaint:
        return _not(PledgeReason.READING_REFUSED, observed.complaint)
    if observed.last is None:
        message = "The pledge can be met; its first accounting period has not closed yet"
        return Finding(type="Ready", holds=True, reason=PledgeReason.AWAITING_FIRST_PERIOD, message=message)
    return _by_period(observed, observed.last, now)


def _by_period(observed: Observed, last: PeriodResult, now: datetime) -> Finding:
    silent_for = now - last.end
    metered = bool(observed.pledge.spec.meters)
    if metered and not observed.heard and silent_for > METER_GRACE_PERIODS * timedelta(seconds=observed.period_s):
        return _not(PledgeReason.METER_SILENT, f"No reading since {instant(last.start)}; check exporter and agent")
    if last.shortfall_gpu_seconds:
        message = f"{last.shortfall_gpu_seconds} of {last.pledged_gpu_seconds} pledged GPU-seconds were not delivered"
        return _not(PledgeReason.SHORT, message)
    message = f"Delivered {last.delivered_gpu_seconds} of {last.pledged_gpu_seconds} pledged GPU-seconds"
    return Finding(type="Ready", holds=True, reason=PledgeReason.DELIVERED, message=message)


def above(pledge: PooledCluster, allocatable: Resources) -> str:
    """Which pledged resource the site does not have; empty if it has all."""
    asked = pledge.spec.pledge
    for path, amount, most in (
        ("cpuMillis", asked.cpu_millis, allocatable.cpu_millis),
        ("memoryMib", asked.memory_mib, allocatable.memory_mib),
        ("gpus", asked.gpus, allocatable.gpus),
    ):
        if amount > most:
            return f"spec.pledge.{path}: {amount} is above the site's {most}; pledge at most that"
    return ""


def _key(body: Json) -> Key:
    return Key(body["metadata"]["namespace"], body["metadata"]["name"])


def _allocatable(member: Json | None) -> Resources | None:
    status = Member.read(member).status if member else None
    return status.site.allocatable if status and status.site else None


def _problem(name: str, member: Json | None) -> str:
    if member is None:
        return f"there is no Member {name}; join first"
    held = condition(member, "Ready")
    if held.get("status") == "True":
        return ""
    return f"Member {name} is not ready: {held.get('message', 'not reported yet')}"


def _not(reason: PledgeReason, message: str) -> Finding:
    return Finding(type="Ready", holds=False, reason=reason, message=message)
