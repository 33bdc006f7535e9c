"""Whoever sells does not measure alone: the provider claims, the consumer signs what it received, the lesser counts.

Each side may sign more than once; the most that it signed is its word, so nothing that is left out, repeated or told in
another order raises what counts, and a dispute ends early when the lower side signs more. What the two sides must not
do is agree by silence: a claim that no consumer signed for earns nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from commonweal.apportion import WHOLE_BP
from commonweal.ledger import Event, Post, Transfer, Unit, transfer_of_use
from commonweal.metering import MAX_PAYLOAD_BYTES, Instant, Name
from commonweal.transparency import canonical_json


class Side(StrEnum):
    """Who speaks: the provider, of what it gave, or the consumer, of what it received."""

    CLAIM = "claim"
    RECEIPT = "receipt"


class Reason(StrEnum):
    """Why a claim or a receipt is refused. One word that a member can search for."""

    MALFORMED = "Malformed"
    NOT_CANONICAL = "NotCanonical"
    UNKNOWN_MEMBER = "UnknownMember"
    UNSIGNED = "Unsigned"
    AMOUNT = "Amount"
    WRONG_PERIOD = "WrongPeriod"
    STILL_OPEN = "StillOpen"
    TOO_LATE = "TooLate"


class ReceiptError(ValueError):
    """A claim or a receipt that counts for nothing; the message names the field and the remedy."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Terms:
    """When two sides agree, and how long each clock runs from the end of the period (energy handbook, section 6)."""

    period_s: int
    apart_bp: int = 200  # above 2 % of the larger amount the sides disagree
    audit_s: int = 7 * 86_400  # for so long a receipt may come, and what is agreed stays pending
    dispute_s: int = 14 * 86_400  # after so long the lesser amount stands


class Usage(BaseModel):
    """What one job of a consumer took from a provider's machines in one accounting period, in whole units."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    provider: Name
    consumer: Name
    job: Name
    unit: Annotated[Unit, Field(strict=False)]
    amount: int
    period_start: Instant
    period_end: Instant

    def payload(self) -> bytes:
        """Return the canonical bytes, which are signed and kept as they are."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def key(self) -> tuple[str, str, str, Unit, datetime]:
        """What both sides speak of."""
        return self.consumer, self.provider, self.job, self.unit, self.period_start

    def signer(self, side: Side) -> str:
        """Return the member whose signature counts on this side."""
        return self.provider if side is Side.CLAIM else self.consumer


def signed_bytes(side: Side, payload: bytes) -> bytes:
    """Return what a member's Ed25519 identity signs; a claim's signature can never pass for a receipt's."""
    return f"commonweal.dev/{side}/v1\n".encode() + payload


def verify(
    side: Side,
    payload: bytes,
    signature: bytes,
    keys: Mapping[str, Ed25519PublicKey],
    *,
    terms: Terms,
    now: datetime,
) -> Usage:
    """Return what was signed, if it counts; `keys` are the identities of accepted members.

    Raises:
        ReceiptError: with the reason.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ReceiptError(Reason.MALFORMED, f"payload: {len(payload)} bytes, more than {MAX_PAYLOAD_BYTES}")
    try:
        usage = Usage.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "payload"
        raise ReceiptError(Reason.MALFORMED, f"{where}: {first['msg']}") from None
    for field in ("provider", "consumer"):
        if (member := getattr(usage, field)) not in keys:
            raise ReceiptError(Reason.UNKNOWN_MEMBER, f"{field}: {member} is no accepted member; accept it first")
    signer = usage.signer(side)
    try:
        keys[signer].verify(signature, signed_bytes(side, payload))
    except InvalidSignature:
        message = f"signature: not by {signer}; a {side} counts only when that member's identity signed it"
        raise ReceiptError(Reason.UNSIGNED, message) from None
    _refuse_what_cannot_be(usage, payload, terms, now)
    return usage


def _refuse_what_cannot_be(usage: Usage, payload: bytes, terms: Terms, now: datetime) -> None:
    if usage.payload() != payload:
        raise ReceiptError(Reason.NOT_CANONICAL, "payload: not the canonical bytes; sign what Usage.payload() returns")
    if usage.amount <= 0:
        raise ReceiptError(Reason.AMOUNT, f"amount: {usage.amount} is not above 0; leave out what was not used")
    length_s = (usage.period_end - usage.period_start) // timedelta(seconds=1)
    if length_s != terms.period_s or int(usage.period_start.timestamp()) % terms.period_s:
        message = (
            f"period_start: {usage.period_start:%FT%TZ} for {length_s} s is not a UTC period of {terms.period_s} s"
        )
        raise ReceiptError(Reason.WRONG_PERIOD, message)
    if usage.period_end > now:
        raise ReceiptError(Reason.STILL_OPEN, f"period_end: {usage.period_end:%FT%TZ} is not over; sign when it is")


class State(StrEnum):
    """Where one job's period stands between its two sides."""

    WAITING = "Waiting"  # claimed, not yet signed for
    UNSIGNED = "Unsigned"  # claimed, and nobody signed in time
    UNCLAIMED = "Unclaimed"  # signed for, but not claimed
    AGREED = "Agreed"
    DISPUTED = "Disputed"
    LAPSED = "Lapsed"  # the dispute's clock ran out


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """What counts of one job's period; `claimed` or `received` is None where that side said nothing."""

    usage: Usage
    claimed: int | None
    received: int | None
    state: State
    until: datetime
    events: tuple[Event, ...]

    @property
    def counted(self) -> int:
        """The lesser of the two; nothing where one is missing."""
        return min(self.claimed or 0, self.received or 0)

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """What moves; nothing where one side is missing."""
        return tuple(event for event in self.events if isinstance(event, Transfer))

    def message(self) -> str:
        """Say what is so and what to do about it."""
        usage, until = self.usage, f"{self.until:%Y-%m-%d %H:%M:%SZ}"
        both = f"{usage.provider} claims {self.claimed}, {usage.consumer} received {self.received} {usage.unit}"
        return {
            State.WAITING: f"{usage.consumer} has not signed; sign a receipt until {until}",
            State.UNSIGNED: f"{usage.consumer} signed nothing until {until}; a claim without a receipt earns nothing",
            State.UNCLAIMED: f"{usage.provider} has claimed nothing; sign a claim until {until}",
            State.AGREED: f"{self.counted} {usage.unit} count; the audit window ends {until}",
            State.DISPUTED: f"{both}; the lower side signs more, or the lesser stands from {until}",
            State.LAPSED: f"{both}; the lesser stands since {until}",
        }[self.state]


def settle(
    claims: Iterable[Usage], receipts: Iterable[Usage], *, terms: Terms, now: datetime
) -> tuple[Settlement, ...]:
    """Compare what verified claims and receipts say, one settlement for each job and period, sorted."""
    claimed, received = _most(claims), _most(receipts)
    usages = received | claimed
    return tuple(_settled(usages[key], claimed.get(key), received.get(key), terms, now) for key in sorted(usages))


def _most(usages: Iterable[Usage]) -> dict[tuple[str, str, str, Unit, datetime], Usage]:
    most: dict[tuple[str, str, str, Unit, datetime], Usage] = {}
    for usage in usages:
        if usage.key not in most or most[usage.key].amount < usage.amount:
            most[usage.key] = usage
    return most


def _settled(usage: Usage, claim: Usage | None, receipt: Usage | None, terms: Terms, now: datetime) -> Settlement:
    audited = usage.period_end + timedelta(seconds=terms.audit_s)
    ended = usage.period_end + timedelta(seconds=terms.dispute_s)
    until = audited
    if claim is None:
        state = State.UNCLAIMED
    elif receipt is None:
        state = State.WAITING if now < audited else State.UNSIGNED
    elif not _apart(claim.amount, receipt.amount, terms):
        state = State.AGREED
    else:
        state, until = (State.DISPUTED if now < ended else State.LAPSED), ended
    return Settlement(
        usage=usage,
        claimed=claim.amount if claim else None,
        received=receipt.amount if receipt else None,
        state=state,
        until=until,
        events=_events(claim, receipt, posted=now >= until) if claim and receipt else (),
    )


def _apart(claimed: int, received: int, terms: Terms) -> bool:
    return WHOLE_BP * abs(claimed - received) > terms.apart_bp * max(claimed, received)


def _events(claim: Usage, receipt: Usage, *, posted: bool) -> tuple[Event, ...]:
    """Return the use that moves, pending until its clock ends; its evidence is what both sides signed."""
    transfer = transfer_of_use(
        claim.consumer,
        claim.provider,
        unit=claim.unit,
        amount=min(claim.amount, receipt.amount),
        period_start=claim.period_start,
        evidence={"claim": claim.payload().decode(), "receipt": receipt.payload().decode()},
    )
    return (transfer, Post(transfer.id)) if posted else (transfer,)
