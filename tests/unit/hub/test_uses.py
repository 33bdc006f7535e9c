"""Use counts when both sides signed and the clock has run out; what is wrong is refused, and said to the member."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from commonweal.equity import Category
from commonweal.kinds.equity_statement import EquityEntry
from commonweal.ledger import Unit
from commonweal.receipts import Side, Terms, Usage, signed_bytes
from operators.frame import Delete, Key, Store
from operators.hub.books import Books, posted
from operators.hub.periods import Observed as Closing
from operators.hub.periods import ended, statement
from operators.hub.readings import Refuse
from operators.hub.resources import ASSIGNMENTS, PILOT_APPS
from operators.hub.uses import Observed, UseController, agreement, judge, side_of
from tests.unit.hub.test_periods import NOON, PERIOD, charter, observed, reading

IDENTITIES = {member: Ed25519PrivateKey.generate() for member in ("ca", "kr")}
KEYS = {member: identity.public_key() for member, identity in IDENTITIES.items()}
TERMS = Terms(period_s=60, audit_s=60, dispute_s=120)
DURING = NOON + timedelta(seconds=90)
MINUTE = timedelta(minutes=1)


def usage(amount: int = 60, *, provider: str = "kr", consumer: str = "ca", unit: Unit = Unit.GPU_SECONDS) -> Usage:
    return Usage(
        provider=provider,
        consumer=consumer,
        job="trade",
        unit=unit,
        amount=amount,
        period_start=NOON,
        period_end=NOON + MINUTE,
    )


def reported(side: Side, what: Usage, signer: str, **more: object) -> Observed:
    values: dict[str, Any] = {
        "key": Key(f"member-{signer}", f"{side}-x-trade"),
        "side": side,
        "source": f"{side} trade",
        "member": signer,
        "payload": what.payload(),
        "signature": IDENTITIES[signer].sign(signed_bytes(side, what.payload())),
        "keys": KEYS,
        "terms": TERMS,
        "recorded": False,
        "settled": False,
    }
    return Observed(**(values | more))


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books.open(tmp_path)
    yield made
    made.close()


def take(books: Books, side: Side, what: Usage) -> None:
    judged = judge(reported(side, what, what.signer(side)), DURING)
    books.accept_use(side, judged, b"signature")


def closing(books: Books, minutes: int = 1) -> tuple[dict[str, EquityEntry], Path]:
    """The statement that ends so many minutes after the used period's end, made and kept."""
    end = NOON + MINUTE + minutes * MINUTE
    terms = charter().model_copy(
        update={"accounting": charter().accounting.model_copy(update={"audit_seconds": 60, "dispute_seconds": 120})}
    )
    it: Closing = observed(
        reading("ca"), reading("kr"), charter=terms, use=books.unsettled_use(before=end - timedelta(seconds=60))
    )
    use = ended(it, end)
    spec, record, brought = statement(it, (end - MINUTE, end), it.unsettled, use)
    books.settle(f"statement-{minutes}", spec, (), record, use=use, brought=brought)
    return {entry.member: entry for entry in spec.entries}, books.path


def test_the_lesser_of_what_both_signed_is_posted_by_the_first_statement_after_the_audit(books: Books) -> None:
    take(books, Side.CLAIM, usage(60))
    take(books, Side.RECEIPT, usage(59))
    entries, path = closing(books)
    assert entries["ca"].used_gpu_seconds == 59
    assert entries["kr"].used_gpu_seconds == 0
    [(name, transfer)] = posted(path)
    assert (name, transfer.debit, transfer.credit, transfer.amount) == (
        "statement-1",
        "member/ca/used/kr",
        "pool",
        59,
    )


def test_what_was_posted_once_is_not_posted_again(books: Books) -> None:
    take(books, Side.CLAIM, usage())
    take(books, Side.RECEIPT, usage())
    closing(books)
    entries, path = closing(books, minutes=2)
    assert entries["ca"].used_gpu_seconds == 0
    assert len(list(posted(path))) == 1


@pytest.mark.parametrize("side", list(Side))
def test_what_one_side_alone_signed_is_closed_and_counts_for_nothing(books: Books, side: Side) -> None:
    take(books, side, usage())
    entries, path = closing(books)
    assert entries["ca"].used_gpu_seconds == 0
    assert list(posted(path)) == []
    assert books.use_is_settled(usage())


def test_a_dispute_is_said_with_its_clock_and_the_lesser_stands_when_it_has_run_out(books: Books) -> None:
    take(books, Side.CLAIM, usage(60))
    take(books, Side.RECEIPT, usage(30))
    for member in ("ca", "kr"):
        found = agreement(Store(), books, member, TERMS, DURING)
        assert (found.type, found.holds, found.reason) == ("UseAgreed", False, "Disputed")
        assert "kr claims 60, ca received 30 gpu_seconds" in found.message
        assert "12:03" in found.message
    assert closing(books)[0]["ca"].used_gpu_seconds == 0
    assert closing(books, minutes=2)[0]["ca"].used_gpu_seconds == 30


def test_a_dispute_ends_when_the_lower_side_signs_more(books: Books) -> None:
    take(books, Side.CLAIM, usage(60))
    take(books, Side.RECEIPT, usage(30))
    take(books, Side.RECEIPT, usage(60))
    assert agreement(Store(), books, "ca", TERMS, DURING).holds
    assert closing(books)[0]["ca"].used_gpu_seconds == 60


def test_use_of_ones_own_machines_earns_nothing(books: Books) -> None:
    own = usage(50, provider="ca")
    take(books, Side.CLAIM, own)
    take(books, Side.RECEIPT, own)
    entries, _ = closing(books)
    assert (entries["ca"].self_used_gpu_seconds, entries["ca"].used_gpu_seconds) == (50, 50)
    without = statement(observed(reading("ca"), reading("kr")), PERIOD, (reading("ca"), reading("kr")))[0]
    credit = {entry.member: entry.credit for entry in without.entries}
    assert getattr(entries["ca"].credit, Category.COMPUTE) == credit["ca"].compute - 50
    assert entries["kr"].credit == credit["kr"]


def test_use_of_others_machines_moves_no_share(books: Books) -> None:
    take(books, Side.CLAIM, usage())
    take(books, Side.RECEIPT, usage())
    entries, _ = closing(books)
    without = statement(observed(reading("ca"), reading("kr")), PERIOD, (reading("ca"), reading("kr")))[0]
    assert {member: entry.equity_bp for member, entry in entries.items()} == {
        entry.member: entry.equity_bp for entry in without.entries
    }


@pytest.mark.parametrize(
    ("changes", "now", "words"),
    [
        ({"signature": b""}, DURING, "not by kr; a claim counts only when that member's identity signed it (Unsigned)"),
        ({"keys": {"ca": KEYS["ca"]}}, DURING, "provider: kr is no accepted member"),
        ({"payload": b"{}"}, DURING, "(Malformed)"),
        ({"settled": True}, DURING, "is settled; what counts of it is final (TooLate)"),
        ({}, NOON + timedelta(seconds=180), "(TooLate)"),
    ],
)
def test_what_does_not_count_is_refused_in_words_and_removed(
    books: Books, changes: dict[str, object], now: datetime, words: str
) -> None:
    plan = UseController(store=Store(), books=books).plan(reported(Side.CLAIM, usage(), "kr", **changes), now)
    refuse, remove = plan.writes
    assert isinstance(refuse, Refuse)
    assert words in refuse.message
    assert refuse.final
    assert plan.requeue_in_s is None
    assert isinstance(remove, Delete)
    assert remove.name == "claim-x-trade"


def test_a_report_from_a_clock_that_is_ahead_waits(books: Books) -> None:
    plan = UseController(store=Store(), books=books).plan(reported(Side.CLAIM, usage(), "kr"), NOON)
    assert plan.requeue_in_s
    assert [type(write).__name__ for write in plan.writes] == ["Refuse"]


def test_a_refused_claim_stands_on_the_members_pledges_until_a_good_one(books: Books) -> None:
    books.refuse("kr", "claim trade", "amount: 0 is not above 0", b"{}")
    assert books.complaint("kr") == ""
    assert agreement(Store(), books, "kr", TERMS, DURING).message == "claim trade: amount: 0 is not above 0"
    take(books, Side.CLAIM, usage())
    assert agreement(Store(), books, "kr", TERMS, DURING).holds


def placed(*, sponsor: str = "ca", ready: str = "True", made: datetime = NOON, gpus: int = 1) -> Store:
    """A store with one application, placed on the machines of ca."""
    store, version = Store(), {"resourceVersion": "1", "uid": "u", "generation": 1}
    spec = {"sponsor": sponsor, "resources": {"cpuMillis": 0, "gpus": gpus}}
    store.put(PILOT_APPS, {"metadata": {"name": "trade", **version}, "spec": spec})
    metadata = {"name": "pilot-trade", "namespace": "member-ca", "creationTimestamp": f"{made:%FT%TZ}", **version}
    condition = {"type": "Ready", "status": ready}
    store.put(ASSIGNMENTS, {"metadata": metadata, "spec": {}, "status": {"conditions": [condition]}})
    return store


def test_own_use_that_the_placement_shows_and_nobody_signed_stands_on_the_pledge(books: Books) -> None:
    late = NOON + 3 * MINUTE
    found = agreement(placed(), books, "ca", TERMS, late)
    assert (found.holds, found.reason) == (False, "OwnUseUnsigned")
    assert "trade is placed on ca's own machines, and no use of it was signed ever" in found.message
    take(books, Side.CLAIM, usage(consumer="ca", provider="ca"))
    assert agreement(placed(), books, "ca", TERMS, late).holds
    assert (
        "no use of it was signed since 2026-11-24 12:00"
        in agreement(placed(), books, "ca", TERMS, late + MINUTE).message
    )


@pytest.mark.parametrize(
    "placement",
    [
        {"sponsor": "kr"},
        {"ready": "False"},
        {"made": NOON + MINUTE},
        {"gpus": 0},
    ],
)
def test_what_uses_nothing_of_ones_own_needs_no_signature(books: Books, placement: dict[str, Any]) -> None:
    assert agreement(placed(**placement), books, "ca", TERMS, NOON + 3 * MINUTE).holds


def test_accepting_twice_is_accepting_once(books: Books) -> None:
    for _ in range(2):
        take(books, Side.CLAIM, usage())
    assert books.position().tree_size == 1
    assert len(books.unsettled_use(before=DURING)[Side.CLAIM]) == 1
    assert base64.b64encode(b"signature") in books.connection.execute("SELECT leaf FROM log").fetchone()[0]


@pytest.mark.parametrize(
    ("name", "side"),
    [("claim-ca-trade", Side.CLAIM), ("receipt-kr-trade", Side.RECEIPT), ("reading-gpu-1-1", None), ("site", None)],
)
def test_a_report_says_by_its_name_which_side_speaks(name: str, side: Side | None) -> None:
    assert side_of(name) is side
