"""Accounting periods: each is closed once, by one EquityStatement computed from the books.

A period closes as soon as every pledged meter was heard, or when its grace is over. A reading that comes later is
credited by the statement after it. The first period is that of the first reading; from then on none is left out.
What was used is posted by the first statement that ends after its clock has run out (commonweal/receipts.py), and so is
what members brought that no meter reads (commonweal/contributions.py).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256

from commonweal.contributions import Brought, Decided, Past, bring, creditable_loads, hour_of
from commonweal.equity import NOTHING, Amounts, Category, Charter, Held, Standing, creditable_mj
from commonweal.green import Load
from commonweal.kinds.consortium import ConsortiumSpec
from commonweal.kinds.equity_statement import (
    CategoryAmounts,
    EquityEntry,
    EquityStatementSpec,
    LogPosition,
    StatementReason,
)
from commonweal.kinds.pooled_cluster import PeriodResult, PooledCluster
from commonweal.ledger import Balance, Unit, balances_of, transfers_of
from commonweal.membership import member_of
from commonweal.metering import Reading
from commonweal.receipts import Settlement, Side, Terms, Usage, settle
from commonweal.replay import contributions, follow
from commonweal.transparency import canonical_json
from operators.frame import Apply, Finding, Key, Plan, Store, Tools, Watch
from operators.hub.books import Books
from operators.hub.claims import decided_until, past_of
from operators.hub.readings import is_reading
from operators.hub.resources import (
    CHARTER,
    CONSORTIUMS,
    EQUITY_STATEMENTS,
    MEMBERS,
    OURS,
    POOLED_CLUSTERS,
    charter,
)
from operators.kube import CONFIG_MAPS, Json, Kube

LOOK_S = 2.0
NOTHING_PAST = Past()
MIN_GRACE_S = 15


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that closing depends on. `waiting` are readings that are reported but not yet in the books.

    `use` are the claims and receipts whose clocks may have run out; `decided` and `past` are of contributions.
    """

    charter: ConsortiumSpec
    pledges: Mapping[str, tuple[PooledCluster, ...]]
    unsettled: tuple[Reading, ...]
    last: tuple[str, EquityStatementSpec] | None
    published: bool
    waiting: int
    use: Mapping[Side, tuple[Usage, ...]] = field(default_factory=dict)
    decided: tuple[Decided, ...] = ()
    past: Past = NOTHING_PAST


@dataclass(frozen=True, kw_only=True)
class Settle:
    """Close a period in the books, then publish its statement."""

    books: Books
    name: str
    spec: EquityStatementSpec
    readings: tuple[Reading, ...]
    use: tuple[Settlement, ...]
    brought: Brought
    record: bytes

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:
        """First durable, then public; a crash in between is mended by the next look."""
        final = self.books.settle(self.name, self.spec, self.readings, self.record, use=self.use, brought=self.brought)
        await publication(self.name, final).perform(kube, store, writer)


@dataclass(frozen=True)
class PeriodController:
    """Closes periods. Its key is the charter; it reports nothing there."""

    store: Store
    books: Books
    name: str = "period"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The charter; every reading may complete a period."""
        return (
            Watch(resource=CONSORTIUMS),
            Watch(resource=CONFIG_MAPS, keys=lambda body: (CHARTER,) if is_reading(body) else ()),
        )

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the books and the pledges of accepted members."""
        if tools.store.get(CONSORTIUMS, key.name) is None:
            return None
        last, accounting = self.books.last_statement(), charter(tools.store).accounting
        observed = Observed(
            charter=charter(tools.store),
            pledges=pledges(tools.store),
            unsettled=self.books.unsettled(),
            last=last,
            published=last is None or tools.store.get(EQUITY_STATEMENTS, last[0]) is not None,
            waiting=sum(map(is_reading, tools.store.list(CONFIG_MAPS))),
            use=self.books.unsettled_use(before=tools.clock() - timedelta(seconds=accounting.audit_seconds)),
        )
        period = due(observed, tools.clock())
        if period is None:
            return observed
        decided = decided_until(tools.store, self.books, period[1])
        hours = {hour_of(one.period_start) for one in observed.unsettled}
        return replace(observed, decided=decided, past=past_of(self.books, decided, hours))

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Publish what is made but not public; else close the next period if it is due."""
        if observed.last is not None and not observed.published:
            return Plan(writes=(publication(*observed.last),), requeue_in_s=LOOK_S)
        period = due(observed, now)
        if period is None:
            return Plan(requeue_in_s=LOOK_S)
        readings = tuple(one for one in observed.unsettled if one.period_start < period[1])
        name = f"statement-{period[0]:%Y%m%d-%H%M%S}"
        use = ended(observed, period[1])
        spec, record, brought = statement(observed, period, readings, use)
        closing = Settle(
            books=self.books, name=name, spec=spec, readings=readings, use=use, brought=brought, record=record
        )
        return Plan(writes=(closing,), requeue_in_s=0.0)


def pledges(store: Store) -> dict[str, tuple[PooledCluster, ...]]:
    """The pledges of every accepted member; one without a pledge has an empty tuple."""
    found: defaultdict[str, list[PooledCluster]] = defaultdict(list)
    for body in store.list(POOLED_CLUSTERS):
        found[str(member_of(body["metadata"]["namespace"]))].append(PooledCluster.read(body))
    accepted = [body["metadata"]["name"] for body in store.list(MEMBERS) if body["spec"].get("hubAccepts")]
    return {name: tuple(sorted(found[name], key=lambda each: each.metadata.name)) for name in sorted(accepted)}


def due(observed: Observed, now: datetime) -> tuple[datetime, datetime] | None:
    """The next period, if it can be closed now."""
    starts = [observed.last[1].period_end] if observed.last else [one.period_start for one in observed.unsettled]
    if not starts or not observed.pledges:
        return None
    length = timedelta(seconds=observed.charter.accounting.period_seconds)
    start, end = min(starts), min(starts) + length
    if now < end:
        return None
    pledged = {meter.uuid for each in observed.pledges.values() for pledge in each for meter in pledge.spec.meters}
    heard = {one.meter for one in observed.unsettled if one.period_start == start}
    if observed.waiting == 0 and pledged <= heard:
        return start, end
    return (start, end) if now >= end + grace(length) else None


def grace(length: timedelta) -> timedelta:
    """How long a period waits for late readings: a quarter of itself, 15 s at least."""
    return max(length / 4, timedelta(seconds=MIN_GRACE_S))


def formula(spec: ConsortiumSpec) -> Charter:
    """The charter's equity formula, as the rule book takes it."""
    equity = spec.equity
    return Charter(
        weights_bp={
            Category.COMPUTE: equity.weights.compute_bp,
            Category.ENERGY: equity.weights.energy_bp,
            Category.TALENT: equity.weights.talent_bp,
            Category.DATA: equity.weights.data_bp or 0,
        },
        basic_share_bp=equity.basic_share_bp,
        cap_bp=equity.cap_bp,
        beyond_pledge_bp=equity.beyond_pledge_bp,
        energy_cap_mw=equity.energy_cap_milliwatts,
        decay_half_life_periods=equity.decay_half_life_periods,
        vesting_half_life_periods=equity.vesting_half_life_periods,
        smoothing_periods=equity.smoothing_periods,
    )


def formula_sha256(spec: ConsortiumSpec) -> str:
    """The hash of the equity formula in force, over its canonical JSON."""
    return sha256(canonical_json(spec.equity.wire())).hexdigest()


def terms(spec: ConsortiumSpec) -> Terms:
    """How long what two sides say of a job may be questioned."""
    accounting = spec.accounting
    return Terms(
        period_s=accounting.period_seconds, audit_s=accounting.audit_seconds, dispute_s=accounting.dispute_seconds
    )


def ended(observed: Observed, at: datetime) -> tuple[Settlement, ...]:
    """The jobs' periods whose clock has run out; what the two sides said of them is final."""
    claims, receipts = (observed.use.get(side, ()) for side in (Side.CLAIM, Side.RECEIPT))
    return tuple(one for one in settle(claims, receipts, terms=terms(observed.charter), now=at) if one.until <= at)


def statement(
    observed: Observed,
    period: tuple[datetime, datetime],
    readings: tuple[Reading, ...],
    use: tuple[Settlement, ...] = (),
) -> tuple[EquityStatementSpec, bytes, Brought]:
    """The statement of a period, its log position still open, the record that the log will hold, and what it counts."""
    moved = [transfer for reading in readings for transfer in transfers_of(reading)]
    moved += [transfer for one in use for transfer in one.transfers]
    pledged = pledged_gpu_seconds(observed.pledges, period)
    loads = loads_of(observed, readings, balances_of(moved), pledged)
    brought = bring(observed.decided, observed.past, loads, period[0])
    before = held_in(observed.last[1]) if observed.last else {}
    result = follow(formula(observed.charter), balances_of([*moved, *brought.transfers]), pledged, before)
    spec = EquityStatementSpec(
        period_start=period[0],
        period_end=period[1],
        charter_sha256=formula_sha256(observed.charter),
        previous=observed.last[0] if observed.last else None,
        simulated=brought.simulated or any(reading.simulated for reading in readings),
        entries=tuple(map(entry_of, result.standings)),
        log=LogPosition(tree_size=0, root_sha256="0" * 64),
    )
    return spec, result.record(), brought


def pledged_gpu_seconds(
    pledged: Mapping[str, tuple[PooledCluster, ...]], period: tuple[datetime, datetime]
) -> dict[str, int]:
    """What every accepted member pledged for a period, which its postings do not say."""
    return {member: sum(bound_gpu_seconds(each, *period) for each in clusters) for member, clusters in pledged.items()}


def loads_of(
    observed: Observed,
    readings: Iterable[Reading],
    balances: Mapping[tuple[str, Unit], Balance],
    pledged: Mapping[str, int],
) -> tuple[Load, ...]:
    """What each member's readings may have as green, by the zone that its pledge gives a meter and by the hour."""
    zones = {
        (member, meter.uuid): cluster.spec.location.grid_zone
        for member, clusters in observed.pledges.items()
        for cluster in clusters
        for meter in cluster.spec.meters
    }
    energies_mj: dict[str, Counter[tuple[str, datetime]]] = {member: Counter() for member in pledged}
    for one in readings:
        if one.scope.earns and (zone := zones.get((one.member, one.meter))):
            energies_mj[one.member][zone, hour_of(one.period_start)] += one.energy_mj
    terms_ = formula(observed.charter)
    return tuple(
        load
        for row in contributions(balances, pledged)
        for load in creditable_loads(row.member, energies_mj[row.member], creditable_mj(terms_, row))
    )


def bound_gpu_seconds(cluster: PooledCluster, start: datetime, end: datetime) -> int:
    """What a pledge owes for a period: it binds from the first one that starts after it was made."""
    made = cluster.metadata.creation_timestamp
    if made is None or made > start:
        return 0
    return cluster.spec.pledge.gpus * ((end - start) // timedelta(seconds=1))


def result_of(cluster: PooledCluster, spec: EquityStatementSpec, readings: Iterable[Reading]) -> PeriodResult:
    """What one cluster delivered in a statement's period."""
    meters = {meter.uuid for meter in cluster.spec.meters}
    ours = [
        one
        for one in readings
        if one.scope.earns and one.meter in meters and one.member == member_of(cluster.metadata.namespace or "")
    ]
    pledged = bound_gpu_seconds(cluster, spec.period_start, spec.period_end)
    delivered = sum(one.device_seconds for one in ours)
    return PeriodResult(
        start=spec.period_start,
        end=spec.period_end,
        pledged_gpu_seconds=pledged,
        delivered_gpu_seconds=delivered,
        shortfall_gpu_seconds=max(0, pledged - delivered),
        beyond_pledge_gpu_seconds=max(0, delivered - pledged),
        energy_mj=sum(one.energy_mj for one in ours),
        simulated=any(one.simulated for one in ours),
    )


def publication(name: str, spec: EquityStatementSpec) -> Apply:
    """The EquityStatement as an object on the hub."""
    body: Json = {"apiVersion": EQUITY_STATEMENTS.api_version, "kind": EQUITY_STATEMENTS.kind}
    return Apply(
        resource=EQUITY_STATEMENTS, body=body | {"metadata": {"name": name, "labels": OURS}, "spec": spec.wire()}
    )


@dataclass(frozen=True)
class StatementController:
    """Says of every published statement whether it is the one in the books."""

    books: Books
    name: str = "equitystatement"
    watches: tuple[Watch, ...] = (Watch(resource=EQUITY_STATEMENTS),)

    async def observe(self, key: Key, tools: Tools) -> tuple[Json, Json] | None:
        """The published and the kept statement."""
        body = tools.store.get(EQUITY_STATEMENTS, key.name)
        kept = self.books.statement(key.name)
        return None if body is None else (body["spec"], kept.wire() if kept else {})

    def plan(self, observed: tuple[Json, Json], now: datetime) -> Plan:  # noqa: ARG002 - does not depend on time
        """Equal or not."""
        published, kept = (EquityStatementSpec.model_validate(each) if each else None for each in observed)
        same = published == kept
        reason = StatementReason.RECOMPUTED if same else StatementReason.DIFFERS
        message = "As in the hub's books" if same else "Not what the hub's books hold; ask the hub's administrators"
        return Plan(findings=(Finding(type="Ready", holds=same, reason=reason, message=message),))


def held_in(spec: EquityStatementSpec) -> dict[str, Held]:
    """What each member of a published statement holds, as the rule book takes it."""
    return {
        entry.member: Held(
            stock=_amounts(entry.stock),
            unvested=_amounts(entry.unvested) if entry.unvested else NOTHING,
            share_ppb=entry.share_ppb,
        )
        for entry in spec.entries
    }


def _amounts(amounts: CategoryAmounts) -> Amounts:
    return {category: getattr(amounts, category) for category in Category}


def entry_of(standing: Standing) -> EquityEntry:
    """A member's standing as its statement publishes it."""
    row, held = standing.contribution, standing.held
    return EquityEntry(
        member=standing.member,
        pledged_gpu_seconds=row.pledged_gpu_seconds,
        delivered_gpu_seconds=row.delivered_gpu_seconds,
        used_gpu_seconds=row.used_gpu_seconds,
        self_used_gpu_seconds=row.self_used_gpu_seconds,
        used_core_seconds=row.used_core_seconds,
        energy_mj=row.energy_mj,
        green_energy_mj=row.green_energy_mj,
        talent_seconds=row.talent_seconds,
        kept_row_seconds=row.kept_row_seconds,
        credit=_categories(standing.credit),
        stock=_categories(held.stock),
        unvested=_categories(held.unvested) if any(held.unvested.values()) else None,
        share_ppb=held.share_ppb,
        equity_bp=standing.share_bp,
    )


def _categories(amounts: Amounts) -> CategoryAmounts:
    return CategoryAmounts(**{category.value: amounts[category] for category in Category})
