"""Claims and receipts of use: verified, recorded durably, and only then removed from the member's namespace on the hub.

What two sides signed is compared in commonweal/receipts.py, and posted by periods.py once its clock has run out.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from commonweal.kinds.member import Member
from commonweal.kinds.pooled_cluster import PledgeCondition, UseReason
from commonweal.membership import member_namespace, member_of
from commonweal.receipts import Reason, ReceiptError, Settlement, Side, State, Terms, Usage, settle, verify
from operators.frame import Delete, Finding, Key, Plan, Store, Tools, Watch
from operators.hub.books import Books, use_name
from operators.hub.periods import terms
from operators.hub.readings import Refuse, contents
from operators.hub.resources import (
    ASSIGNMENTS,
    MEMBERS,
    PILOT_APPS,
    PILOT_PREFIX,
    POOLED_CLUSTERS,
    charter,
    holds,
)
from operators.kube import CONFIG_MAPS, Json, Kube

DOCUMENT = "usage.json"
EARLY_RETRY_S = 5.0
COUNTED = ("cpuMillis", "gpus")  # what an application reserves without them is not use
OWN_USE_PERIODS = 3  # the one that runs, the one that is being signed, and one that may be late


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A reported claim or receipt and all that its verification depends on; `keys` are of accepted members."""

    key: Key
    side: Side
    source: str
    member: str
    payload: bytes
    signature: bytes
    keys: Mapping[str, Ed25519PublicKey]
    terms: Terms
    recorded: bool
    settled: bool


@dataclass(frozen=True, kw_only=True)
class Record:
    """Take an accepted claim or receipt into the books."""

    books: Books
    side: Side
    usage: Usage
    signature: bytes

    async def perform(self, kube: Kube, store: Store, writer: object) -> None:  # noqa: ARG002 - the protocol's shape
        """Wait for the disk; the pledges of both sides say what is agreed."""
        self.books.accept_use(self.side, self.usage, self.signature)
        for member in sorted({self.usage.provider, self.usage.consumer}):
            for pledge in store.list(POOLED_CLUSTERS, member_namespace(member)):
                store.touch(POOLED_CLUSTERS, pledge)


@dataclass(frozen=True)
class UseController:
    """Takes every ConfigMap `claim-*` and `receipt-*` of a member's namespace into the books."""

    store: Store
    books: Books
    name: str = "use"

    @property
    def watches(self) -> tuple[Watch, ...]:
        """The ConfigMaps, and no more: what is unknown today is not waited for."""
        return (Watch(resource=CONFIG_MAPS, keys=_own),)

    async def observe(self, key: Key, tools: Tools) -> Observed | None:
        """Read the report, and who may have signed it."""
        body = tools.store.get(CONFIG_MAPS, key.name, key.namespace)
        member, side = member_of(key.namespace), side_of(key.name)
        if body is None or member is None or side is None:
            return None
        payload, signature = contents(body, DOCUMENT)
        usage = _read(payload)
        return Observed(
            key=key,
            side=side,
            source=use_name(side, usage.job if usage else key.name),
            member=member,
            payload=payload,
            signature=signature,
            keys=dict(_keys(tools.store)),
            terms=terms(charter(tools.store)),
            recorded=self.books.holds_use(side, payload),
            settled=usage is not None and self.books.use_is_settled(usage),
        )

    def plan(self, observed: Observed, now: datetime) -> Plan:
        """Record and remove; refuse and remove; or wait until its period is over here too."""
        remove = Delete(resource=CONFIG_MAPS, name=observed.key.name, namespace=observed.key.namespace)
        if observed.recorded:
            return Plan(writes=(remove,))
        try:
            usage = judge(observed, now)
        except ReceiptError as error:
            early = error.reason is Reason.STILL_OPEN
            message = f"{error} ({error.reason})"
            refuse = Refuse(books=self.books, observed=observed, message=message, final=not early)
            return Plan(writes=(refuse,), requeue_in_s=EARLY_RETRY_S) if early else Plan(writes=(refuse, remove))
        record = Record(books=self.books, side=observed.side, usage=usage, signature=observed.signature)
        return Plan(writes=(record, remove))


def judge(observed: Observed, now: datetime) -> Usage:
    """Verify what was signed, and that its clock is still running.

    Raises:
        ReceiptError: with the reason.
    """
    usage = verify(observed.side, observed.payload, observed.signature, observed.keys, terms=observed.terms, now=now)
    if observed.settled or now >= usage.period_end + timedelta(seconds=observed.terms.dispute_s):
        raise ReceiptError(
            Reason.TOO_LATE, f"period_end: {usage.period_end:%FT%TZ} is settled; what counts of it is final"
        )
    return usage


def side_of(name: str) -> Side | None:
    """Which side a ConfigMap of this name speaks for; None for every other name."""
    return next((side for side in Side if name.startswith(f"{side}-")), None)


def agreement(store: Store, books: Books, member: str, in_force: Terms, now: datetime) -> Finding:
    """Whether what a member gave and received is agreed: the condition on its pledges, with the clock of a dispute."""
    use = books.unsettled_use(before=now, member=member)
    settlements = settle(use[Side.CLAIM], use[Side.RECEIPT], terms=in_force, now=now)
    disputes = [one for one in settlements if one.state is State.DISPUTED]
    if disputes:
        return _not_agreed(UseReason.DISPUTED, _dispute(disputes))
    if refused := books.complaint(member, of_use=True):
        return _not_agreed(UseReason.REFUSED, refused)
    if hidden := unsigned_own_use(store, books, member, in_force.period_s, now):
        return _not_agreed(UseReason.OWN_USE_UNSIGNED, hidden)
    waiting = sum(one.state in {State.WAITING, State.UNCLAIMED} for one in settlements)
    message = f"Nothing is in dispute; {waiting} of {len(settlements)} open amounts wait for the other side"
    return Finding(type=PledgeCondition.USE_AGREED, holds=True, reason=UseReason.AGREED, message=message)


def unsigned_own_use(store: Store, books: Books, member: str, period_s: int, now: datetime) -> str:
    """Which application of a member runs on its own machines by the placement, and is not signed for; empty if none.

    One member is both sides of its own use, so only the placement, which is the hub's, can say that some is missing.
    """
    late = timedelta(seconds=OWN_USE_PERIODS * period_s)
    for assigned in store.list(ASSIGNMENTS, member_namespace(member)):
        name = assigned["metadata"]["name"].removeprefix(PILOT_PREFIX)
        app = store.get(PILOT_APPS, name) if assigned["metadata"]["name"].startswith(PILOT_PREFIX) else None
        since = now - datetime.fromisoformat(assigned["metadata"]["creationTimestamp"])
        if app is None or app["spec"]["sponsor"] != member or not holds(assigned, "Ready") or since < late:
            continue
        if not any(app["spec"]["resources"].get(each) for each in COUNTED):
            continue
        last = books.last_own_use(member, name)
        if last is None or last < now - late:
            signed = f"since {last:%Y-%m-%d %H:%M}" if last else "ever"
            return f"{name} is placed on {member}'s own machines, and no use of it was signed {signed}; check the agent"
    return ""


def _not_agreed(reason: UseReason, message: str) -> Finding:
    return Finding(type=PledgeCondition.USE_AGREED, holds=False, reason=reason, message=message)


def _dispute(disputes: list[Settlement]) -> str:
    first = disputes[0]
    more = f"; and {len(disputes) - 1} more" if len(disputes) > 1 else ""
    return f"{first.usage.job} at {first.usage.period_start:%Y-%m-%d %H:%M}: {first.message()}{more}"


def _own(body: Json) -> tuple[Key, ...]:
    metadata = body["metadata"]
    ours = member_of(metadata["namespace"]) is not None and side_of(metadata["name"]) is not None
    return (Key(metadata["namespace"], metadata["name"]),) if ours else ()


def _read(payload: bytes) -> Usage | None:
    """What the bytes speak of, before anything in them is believed."""
    try:
        return Usage.model_validate_json(payload)
    except ValueError:
        return None


def _keys(store: Store) -> Iterator[tuple[str, Ed25519PublicKey]]:
    for body in store.list(MEMBERS):
        spec = Member.read(body).spec
        if spec.hub_accepts:
            key = Ed25519PublicKey.from_public_bytes(base64.b64decode(spec.identity_key))
            yield body["metadata"]["name"], key
