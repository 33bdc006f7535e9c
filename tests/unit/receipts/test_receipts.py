"""The lesser of what was claimed and what was signed for counts, and no telling of it raises that."""

import base64
from datetime import datetime, timedelta
from fractions import Fraction

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from commonweal.ledger import POOL, Ledger, Unit, used
from commonweal.receipts import (
    Reason,
    ReceiptError,
    Settlement,
    Side,
    State,
    Terms,
    Usage,
    settle,
    signed_bytes,
    verify,
)
from tests.strategies import NOON

HOUR = timedelta(hours=1)
TERMS = Terms(period_s=3600)
IDENTITIES = {name: Ed25519PrivateKey.from_private_bytes(name.encode() * 16) for name in ("ca", "kr")}
KEYS = {name: identity.public_key() for name, identity in IDENTITIES.items()}
SOON, AUDITED, ENDED = NOON + 2 * HOUR, NOON + HOUR + timedelta(days=7), NOON + HOUR + timedelta(days=14)


def usage(amount: int = 1000, job: str = "trade", unit: Unit = Unit.GPU_SECONDS, hour: int = 0) -> Usage:
    return Usage(
        provider="kr",
        consumer="ca",
        job=job,
        unit=unit,
        amount=amount,
        period_start=NOON + hour * HOUR,
        period_end=NOON + (hour + 1) * HOUR,
    )


def judged(side: Side, payload: bytes, by: str, *, signed_as: Side | None = None, now: datetime = SOON) -> Usage:
    signature = IDENTITIES[by].sign(signed_bytes(signed_as or side, payload))
    return verify(side, payload, signature, KEYS, terms=TERMS, now=now)


def settled(claimed: int | None, received: int | None, now: datetime = SOON) -> Settlement:
    claims = [usage(claimed)] if claimed else []
    [found] = settle(claims, [usage(received)] if received else [], terms=TERMS, now=now)
    return found


def counted(claims: list[Usage], receipts: list[Usage], now: datetime = SOON) -> int:
    return sum(each.counted for each in settle(claims, receipts, terms=TERMS, now=now))


def test_each_side_signs_for_itself() -> None:
    assert judged(Side.CLAIM, usage().payload(), "kr") == judged(Side.RECEIPT, usage().payload(), "ca") == usage()


@pytest.mark.parametrize(
    ("side", "by", "signed_as"),
    [(Side.RECEIPT, "kr", Side.RECEIPT), (Side.CLAIM, "ca", Side.CLAIM), (Side.RECEIPT, "ca", Side.CLAIM)],
)
def test_what_the_right_side_did_not_sign_is_refused_with_field_and_rule(side: Side, by: str, signed_as: Side) -> None:
    signer = usage().signer(side)
    with pytest.raises(ReceiptError, match=f"signature: not by {signer}; a {side} counts only when") as refused:
        judged(side, usage().payload(), by, signed_as=signed_as)
    assert refused.value.reason is Reason.UNSIGNED


@pytest.mark.parametrize(
    ("payload", "reason", "message"),
    [
        (b"{}", Reason.MALFORMED, "provider: Field required"),
        (b"x" * 5000, Reason.MALFORMED, "payload: 5000 bytes, more than 4096"),
        (usage().payload() + b" ", Reason.NOT_CANONICAL, "payload: not the canonical bytes"),
        (usage(0).payload(), Reason.AMOUNT, "amount: 0 is not above 0"),
        (usage().payload().replace(b'"kr"', b'"fr"'), Reason.UNKNOWN_MEMBER, "provider: fr is no accepted member"),
        (
            usage().payload().replace(b"T13:00:00Z", b"T14:00:00Z"),
            Reason.WRONG_PERIOD,
            "for 7200 s is not a UTC period",
        ),
        (usage(hour=2).payload(), Reason.STILL_OPEN, "period_end: 2026-11-24T15:00:00Z is not over"),
    ],
)
def test_what_cannot_have_been_is_refused_by_field(payload: bytes, reason: Reason, message: str) -> None:
    with pytest.raises(ReceiptError, match=message) as refused:
        judged(Side.RECEIPT, payload, "ca")
    assert refused.value.reason is reason


def test_the_bytes_that_are_signed_are_frozen() -> None:
    """Ed25519 is deterministic: another encoding of the same usage would be another signature."""
    signature = IDENTITIES["ca"].sign(signed_bytes(Side.RECEIPT, usage().payload()))
    assert signed_bytes(Side.RECEIPT, usage().payload()) == (
        b'commonweal.dev/receipt/v1\n{"amount":1000,"consumer":"ca","job":"trade","period_end":"2026-11-24T13:00:00Z",'
        b'"period_start":"2026-11-24T12:00:00Z","provider":"kr","unit":"gpu_seconds"}'
    )
    assert len(base64.b64encode(signature)) == 88


@pytest.mark.parametrize(
    ("said", "now", "state", "count", "ends"),
    [
        ((1000, None), SOON, State.WAITING, 0, AUDITED),
        ((1000, None), AUDITED, State.UNSIGNED, 0, AUDITED),
        ((None, 1000), SOON, State.UNCLAIMED, 0, AUDITED),
        ((1000, 1000), SOON, State.AGREED, 1000, AUDITED),
        ((1000, 980), SOON, State.AGREED, 980, AUDITED),
        ((980, 1000), SOON, State.AGREED, 980, AUDITED),
        ((1000, 979), SOON, State.DISPUTED, 979, ENDED),
        ((979, 1000), ENDED - timedelta(seconds=1), State.DISPUTED, 979, ENDED),
        ((1000, 979), ENDED, State.LAPSED, 979, ENDED),
    ],
)
def test_two_percent_apart_is_a_dispute_with_a_clock(
    said: tuple[int | None, int | None], now: datetime, state: State, count: int, ends: datetime
) -> None:
    found = settled(*said, now)
    assert (found.state, found.counted, found.until) == (state, count, ends)
    assert f"{ends:%Y-%m-%d %H:%M:%SZ}" in found.message()


@pytest.mark.parametrize(
    ("received", "now", "posted"),
    [(1000, SOON, 0), (1000, AUDITED, 1000), (900, AUDITED, 0), (900, ENDED, 900), (None, ENDED, 0)],
)
def test_use_is_posted_only_when_its_clock_has_ended(received: int | None, now: datetime, posted: int) -> None:
    balances = Ledger(settled(1000, received, now).events).balances()
    assert sum(balance.debits_posted for balance in balances.values()) == posted
    assert not received or {account for account, _ in balances} == {POOL, used("ca", "kr")}


def test_the_lower_side_ends_a_dispute_by_signing_more() -> None:
    claims, receipts = [usage(1000)], [usage(900), usage(1000)]
    [found] = settle(claims, receipts, terms=TERMS, now=SOON)
    assert (found.state, found.counted) == (State.AGREED, 1000)


usages = st.builds(
    usage,
    amount=st.integers(1, 10**9),
    job=st.sampled_from(["trade", "nature"]),
    unit=st.sampled_from(Unit),
    hour=st.integers(0, 1),
)
sides = st.lists(usages, max_size=8)
moments = st.sampled_from([SOON, AUDITED, ENDED])


@given(claims=sides, receipts=sides, now=moments)
def test_nothing_counts_beyond_what_either_side_said(claims: list[Usage], receipts: list[Usage], now: datetime) -> None:
    for found in settle(claims, receipts, terms=TERMS, now=now):
        for said in (found.claimed, found.received):
            assert found.counted <= (said or 0)
        assert {type(event).__name__ for event in found.events} <= {"Transfer", "Post"}
        assert bool(found.events) == bool(found.counted)


@given(claims=sides, receipts=sides, now=moments, data=st.data())
def test_order_and_repetition_change_nothing(
    claims: list[Usage], receipts: list[Usage], now: datetime, data: st.DataObject
) -> None:
    again = data.draw(st.permutations([*claims, *claims])), data.draw(st.permutations([*receipts, *receipts]))
    assert settle(*again, terms=TERMS, now=now) == settle(claims, receipts, terms=TERMS, now=now)


@given(claims=sides, receipts=sides, now=moments, data=st.data())
def test_leaving_out_what_was_signed_never_counts_more(
    claims: list[Usage], receipts: list[Usage], now: datetime, data: st.DataObject
) -> None:
    fewer_claims, fewer_receipts = ([each for each in side if data.draw(st.booleans())] for side in (claims, receipts))
    assert counted(fewer_claims, fewer_receipts, now) <= counted(claims, receipts, now)


@given(
    claimed=st.integers(2, 10**9), received=st.integers(2, 10**9), share=st.fractions(0, 1), other=st.fractions(0, 1)
)
def test_one_job_told_as_two_never_counts_more(claimed: int, received: int, share: Fraction, other: Fraction) -> None:
    def parts(amount: int, of: Fraction) -> list[Usage]:
        first = int(amount * of)
        return [usage(part, job) for part, job in ((first, "one"), (amount - first, "two")) if part]

    assert counted(parts(claimed, share), parts(received, other)) <= counted([usage(claimed)], [usage(received)])
