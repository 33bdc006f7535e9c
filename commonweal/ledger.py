"""Double-entry postings in integers: what flowed from which account to which, held pending, then posted or voided.

Nothing is ever updated. A transfer is pending until the audit window ends; then it is posted or voided, once. Every
event is named by the hash of its own content, so recording it twice is recording it once.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from commonweal.metering import Reading, payload_sha256
from commonweal.transparency import Json, canonical_json

POOL = "pool"
INSTANT = "%Y-%m-%dT%H:%M:%SZ"


class Unit(StrEnum):
    """What an account counts. Units never add to each other."""

    GPU_SECONDS = "gpu_seconds"
    ENERGY_MJ = "energy_mj"
    CORE_SECONDS = "core_seconds"
    GREEN_MJ = "green_mj"
    WORK_SECONDS = "work_seconds"
    ROW_SECONDS = "row_seconds"


class LedgerError(ValueError):
    """An event that would break the books; the ledger is as it was before."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """An amount from one account to another, in one unit: of one transfer, or the sum of many."""

    debit: str
    credit: str
    unit: Unit
    amount: int

    def __post_init__(self) -> None:
        """Refuse what no book can hold.

        Raises:
            LedgerError: amount not positive, or both accounts the same.
        """
        if self.amount <= 0:
            raise LedgerError(f"amount: {self.amount} is not above 0; swap debit and credit to move the other way")
        if self.debit == self.credit:
            raise LedgerError(f"credit: {self.credit} is also the debit; a transfer needs two accounts")


@dataclass(frozen=True, kw_only=True)
class Transfer(Flow):
    """A flow for one period, because of one piece of evidence."""

    period_start: datetime
    evidence_sha256: str

    def record(self) -> bytes:
        """Return the canonical bytes of the pending event."""
        return canonical_json(
            {
                "amount": self.amount,
                "credit": self.credit,
                "debit": self.debit,
                "event": "pending",
                "evidence_sha256": self.evidence_sha256,
                "period_start": f"{self.period_start:{INSTANT}}",
                "unit": self.unit,
            }
        )

    @property
    def id(self) -> str:
        """The hash of the content: the same transfer has the same name everywhere."""
        return sha256(self.record()).hexdigest()


@dataclass(frozen=True)
class Post:
    """The audit window of a pending transfer ended without a dispute."""

    transfer_id: str

    def record(self) -> bytes:
        """Return the canonical bytes of the event."""
        return canonical_json({"event": "post", "transfer_id": self.transfer_id})


@dataclass(frozen=True)
class Void:
    """A pending transfer was withdrawn; the reason stays readable for ever."""

    transfer_id: str
    reason: str

    def record(self) -> bytes:
        """Return the canonical bytes of the event."""
        return canonical_json({"event": "void", "reason": self.reason, "transfer_id": self.transfer_id})


Event = Transfer | Post | Void


def event_of(record: bytes) -> Event:
    """Read an event from its canonical bytes: what `record` returned, and nothing else.

    Raises:
        LedgerError: not an event, or not its canonical bytes.
    """
    try:
        fields = dict(json.loads(record))
        event = _event(fields.pop("event"), fields)
    except LedgerError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerError(
            f"event: cannot be read ({error!r}); give a pending, post or void as the log has it"
        ) from None
    if event.record() != record:
        raise LedgerError("event: not its canonical bytes; give the log's own, unchanged")
    return event


def _event(kind: str, fields: dict[str, str]) -> Event:
    if kind == "pending":
        return Transfer(
            debit=fields["debit"],
            credit=fields["credit"],
            unit=Unit(fields["unit"]),
            amount=int(fields["amount"]),
            period_start=datetime.strptime(fields["period_start"], INSTANT).replace(tzinfo=UTC),
            evidence_sha256=fields["evidence_sha256"],
        )
    if kind == "post":
        return Post(**fields)
    if kind == "void":
        return Void(**fields)
    raise LedgerError(f"event: {kind} is not one of pending, post, void")


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The four sums of one account in one unit."""

    debits_pending: int = 0
    credits_pending: int = 0
    debits_posted: int = 0
    credits_posted: int = 0

    @property
    def posted(self) -> int:
        """Posted credits less posted debits."""
        return self.credits_posted - self.debits_posted


class Ledger:
    """The books after the events recorded so far; recording is the only way to change them."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._events: dict[bytes, Event] = {}
        self._transfers: dict[str, Transfer] = {}
        self._resolved: dict[str, Post | Void] = {}
        for event in events:
            self.record(event)

    def __iter__(self) -> Iterator[Event]:
        """Iterate over every event in the order of recording; replaying them gives these books again."""
        return iter(self._events.values())

    def record(self, event: Event) -> bool:
        """Take an event into the books; return False where it was already there.

        Raises:
            LedgerError: it resolves a transfer that is unknown or was resolved otherwise.
        """
        content = event.record()
        if content in self._events:
            return False
        if isinstance(event, Transfer):
            self._transfers[event.id] = event
        else:
            if event.transfer_id not in self._transfers:
                raise LedgerError(f"transfer_id: {event.transfer_id} is unknown; record the transfer first")
            if event.transfer_id in self._resolved:
                done = type(self._resolved[event.transfer_id]).__name__.lower()
                raise LedgerError(f"transfer_id: {event.transfer_id} has a {done} already; correct by a new transfer")
            self._resolved[event.transfer_id] = event
        self._events[content] = event
        return True

    def pending(self) -> tuple[Transfer, ...]:
        """Return the transfers that are neither posted nor voided, oldest first."""
        return tuple(transfer for id_, transfer in self._transfers.items() if id_ not in self._resolved)

    def balances(self, period_start: datetime | None = None) -> dict[tuple[str, Unit], Balance]:
        """Return every account's sums by unit, over all periods or over one."""
        posted, pending = [], []
        for id_, transfer in self._transfers.items():
            if period_start in (None, transfer.period_start):
                resolution = self._resolved.get(id_)
                if isinstance(resolution, Post):
                    posted.append(transfer)
                elif resolution is None:
                    pending.append(transfer)
        return balances_of(posted, pending)


def balances_of(posted: Iterable[Flow], pending: Iterable[Flow] = ()) -> dict[tuple[str, Unit], Balance]:
    """Sum flows into accounts, by unit.

    Only sums are taken, so flows between the same accounts in the same unit may be summed before, by anyone.
    """
    debits_posted, credits_posted = _sides(posted)
    debits_pending, credits_pending = _sides(pending)
    return {
        key: Balance(
            debits_pending=debits_pending[key],
            credits_pending=credits_pending[key],
            debits_posted=debits_posted[key],
            credits_posted=credits_posted[key],
        )
        for key in debits_posted | credits_posted | debits_pending | credits_pending
    }


def _sides(flows: Iterable[Flow]) -> tuple[Counter[tuple[str, Unit]], Counter[tuple[str, Unit]]]:
    taken, given = Counter[tuple[str, Unit]](), Counter[tuple[str, Unit]]()
    for flow in flows:
        taken[flow.debit, flow.unit] += flow.amount
        given[flow.credit, flow.unit] += flow.amount
    return taken, given


def delivered(member: str) -> str:
    """Name the account of what a member gave to the pool."""
    return f"member/{member}/delivered"


def used(member: str, provider: str) -> str:
    """Name the account of what a member took from one provider's machines; the provider may be itself."""
    return f"member/{member}/used/{provider}"


def transfers_of(reading: Reading) -> tuple[Transfer, ...]:
    """Return what an accepted reading moves from the pool's account to its member's: device seconds and millijoules.

    Estimated energy moves nothing; a zero moves nothing; a meter around devices moves nothing.
    """
    if not reading.scope.earns:
        return ()
    amounts = ((Unit.GPU_SECONDS, reading.device_seconds), (Unit.ENERGY_MJ, reading.energy_mj))
    evidence = payload_sha256(reading.payload())
    return tuple(
        Transfer(
            debit=POOL,
            credit=delivered(reading.member),
            unit=unit,
            amount=amount,
            period_start=reading.period_start,
            evidence_sha256=evidence,
        )
        for unit, amount in amounts
        if amount
    )


def transfer_of_contribution(
    member: str, *, unit: Unit, amount: int, period_start: datetime, evidence: Json
) -> Transfer:
    """Return what a member brought that no meter reads; `period_start` is of the statement that counts it."""
    return Transfer(
        debit=POOL,
        credit=delivered(member),
        unit=unit,
        amount=amount,
        period_start=period_start,
        evidence_sha256=sha256(canonical_json(evidence)).hexdigest(),
    )


def transfer_of_use(
    member: str, provider: str, *, unit: Unit, amount: int, period_start: datetime, evidence: Json
) -> Transfer:
    """Return what a member's use of a provider's machines gives back to the pool's account."""
    return Transfer(
        debit=used(member, provider),
        credit=POOL,
        unit=unit,
        amount=amount,
        period_start=period_start,
        evidence_sha256=sha256(canonical_json(evidence)).hexdigest(),
    )
